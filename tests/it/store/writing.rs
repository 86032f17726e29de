//! One writer, many closures: what fails leaves nothing, what succeeds is committed with others.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use coffer::{
    domain::{
        ids::PaymentId,
        time::{Duration, Timestamp},
    },
    env::Clock,
    store::{Order, Read, Signal, SimulatedDisk, Span, Store, StoreError, StoreOptions, WriteTx},
};

use super::{COUNTS, Failure, Gate, WORDS, memory, pairs, put, words};

fn word(tx: &mut WriteTx<'_>, key: &str, value: &str) -> Result<(), StoreError> {
    tx.put(&WORDS, &key.to_owned(), &value.to_owned())
}

#[tokio::test]
async fn a_refused_and_a_panicking_write_leave_nothing_and_hurt_no_batch_mate() {
    let store = memory();
    store
        .write::<_, StoreError, _>(|tx| {
            word(tx, "old", "1")?;
            word(tx, "older", "1")
        })
        .await
        .unwrap();
    let before = store.stats();
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = told.clone();
    store.on_commit(move |signals| listener.lock().unwrap().extend_from_slice(signals));

    let (gate, held) = Gate::close(&store);
    let first = store.write::<_, Failure, _>(|tx| Ok(word(tx, "a", "1")?));
    let refused = store.write(|tx| {
        word(tx, "b", "1")?;
        word(tx, "a", "overwritten")?;
        word(tx, "old", "overwritten")?;
        tx.delete(&WORDS, &"older".to_owned())?;
        tx.signal(Signal::KeysChanged);
        Err::<(), _>(Failure::Refused)
    });
    let panicking = store.write::<(), Failure, _>(|tx| {
        word(tx, "c", "1")?;
        tx.delete(&WORDS, &"a".to_owned())?;
        tx.signal(Signal::KeysChanged);
        tx.nested(|tx| {
            word(tx, "a", "from inside")?;
            panic!("a bug, for the test")
        })
    });
    let last = store.write(|tx| {
        tx.signal(Signal::EndpointsChanged);
        word(tx, "d", "1")?;
        let seen: Vec<_> = tx.scan(&WORDS, &Span::all(), Order::Ascending, 10)?;
        Ok::<_, Failure>(seen)
    });
    let (first, refused, panicking, last, ()) = tokio::join!(first, refused, panicking, last, async { gate.open() });
    held.join().unwrap().unwrap();

    let expected = pairs([("a", "1"), ("d", "1"), ("old", "1"), ("older", "1")]);
    first.unwrap();
    assert!(matches!(refused, Err(Failure::Refused)));
    assert!(matches!(panicking, Err(Failure::Store(StoreError::Panicked))));
    assert_eq!(last.unwrap(), expected, "a later closure sees what stands and nothing of what failed");
    assert_eq!(words(&store), expected);
    assert_eq!(*told.lock().unwrap(), [Signal::EndpointsChanged]);
    let after = store.stats();
    assert_eq!((after.commits - before.commits, after.writes - before.writes), (1, 5));
    assert_eq!(after.panics, 1);
}

#[test]
fn a_failed_part_is_undone_and_the_rest_goes_on() {
    let store = memory();
    put(&store, "kept", "old").unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = told.clone();
    store.on_commit(move |signals| listener.lock().unwrap().extend_from_slice(signals));
    let payment = PaymentId::from_bytes([7; 16]);

    store
        .write_blocking::<_, Failure, _>(move |tx| {
            word(tx, "a", "1")?;
            tx.signal(Signal::Payment(payment));
            let failed = tx.nested(|tx| {
                word(tx, "a", "2")?;
                word(tx, "b", "2")?;
                tx.delete(&WORDS, &"kept".to_owned())?;
                tx.signal(Signal::KeysChanged);
                // What succeeded inside is undone with what contains it.
                tx.nested(|tx| word(tx, "c", "3").map_err(Failure::from))?;
                Err::<(), _>(Failure::Refused)
            });
            assert!(matches!(failed, Err(Failure::Refused)));
            assert!(tx.contains(&WORDS, &"kept".to_owned())?);
            tx.nested(|tx| {
                word(tx, "d", "4")?;
                tx.nested(|tx| word(tx, "e", "5").map_err(Failure::from).and(Err(Failure::Refused)))
                    .or_else(|_: Failure| word(tx, "f", "6"))?;
                Ok::<_, Failure>(())
            })
        })
        .unwrap();
    assert_eq!(words(&store), pairs([("a", "1"), ("d", "4"), ("f", "6"), ("kept", "old")]));
    assert_eq!(*told.lock().unwrap(), [Signal::Payment(payment)]);
}

#[tokio::test]
async fn a_thousand_writes_share_commits_and_none_is_lost() {
    let store = memory();
    let before = store.stats().commits;
    let mut writes = tokio::task::JoinSet::new();
    for i in 0..1000u32 {
        let store = store.clone();
        writes.spawn(async move {
            store
                .write::<_, StoreError, _>(move |tx| {
                    let sum = tx.get(&COUNTS, &0)?.unwrap_or(0);
                    tx.put(&COUNTS, &0, &(sum + 1))?;
                    tx.put(&COUNTS, &(i + 1), &sum)
                })
                .await
        });
    }
    while let Some(done) = writes.join_next().await {
        done.unwrap().unwrap();
    }
    let rows = store.read::<_, StoreError, _>(|tx| tx.scan(&COUNTS, &Span::all(), Order::Ascending, 2000)).await;
    let mut sums: Vec<u64> = rows.unwrap().into_iter().map(|(_, sum)| sum).collect();
    assert_eq!(sums[0], 1000);
    sums[1..].sort_unstable();
    assert!(sums[1..].iter().copied().eq(0..1000), "each write saw the one before it");
    let stats = store.stats();
    assert!(stats.commits - before < 1000, "{stats:?}");
    assert_eq!(stats.writes, 1000);
    assert_eq!(stats.batch_sizes.iter().sum::<u64>(), stats.commits - before);
    assert_eq!(stats.queue_depth, 0);
}

#[test]
fn a_full_queue_answers_busy_at_once_and_recovers() {
    let store = Store::open_memory(StoreOptions { queue_max: 2, ..StoreOptions::default() }).unwrap();
    let (gate, held) = Gate::close(&store);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let waiting = |key: &'static str| {
            let store = store.clone();
            let mut write = Box::pin(async move { store.write(move |tx| word(tx, key, "1")).await });
            // The first poll puts it into the queue.
            assert!(futures_poll(&mut write).is_none());
            write
        };
        let (a, b) = (waiting("a"), waiting("b"));
        let c = store.write(|tx| word(tx, "c", "1")).await;
        assert!(matches!(c, Err(StoreError::Busy)));
        assert_eq!(store.stats().queue_depth, 2);
        assert_eq!(store.stats().busy, 1);
        gate.open();
        a.await.unwrap();
        b.await.unwrap();
    });
    held.join().unwrap().unwrap();
    put(&store, "d", "1").unwrap();
    assert_eq!(words(&store), pairs([("a", "1"), ("b", "1"), ("d", "1")]));
}

/// Polls once without caring to be woken.
fn futures_poll<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(future).poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

#[test]
fn a_batch_that_changed_nothing_is_not_committed_but_its_signals_are_told() {
    let store = memory();
    let told = Arc::new(AtomicU64::new(0));
    let listener = told.clone();
    store.on_commit(move |signals| {
        listener.fetch_add(signals.len() as u64, Relaxed);
        panic!("a listener's bug does not stop the store");
    });
    let before = store.stats().commits;
    let there = store.write_blocking::<_, StoreError, _>(|tx| {
        tx.signal(Signal::Due { lane: [1; 16], at: Timestamp::MIN });
        tx.delete(&WORDS, &"nothing".to_owned())
    });
    assert!(!there.unwrap());
    assert_eq!(store.stats().commits, before);
    assert_eq!(told.load(Relaxed), 1);
    put(&store, "a", "1").unwrap();
}

#[test]
fn a_snapshot_does_not_see_what_is_committed_later() {
    let store = memory();
    put(&store, "a", "1").unwrap();
    store
        .read_blocking::<_, StoreError, _>(|tx| {
            put(&store, "a", "2")?;
            put(&store, "b", "2")?;
            assert_eq!(tx.get(&WORDS, &"a".to_owned())?.as_deref(), Some("1"));
            assert!(!tx.contains(&WORDS, &"b".to_owned())?);
            Ok(())
        })
        .unwrap();
    assert_eq!(words(&store), pairs([("a", "2"), ("b", "2")]));
}

#[test]
fn walking_ends_where_the_visitor_says() {
    let store = memory();
    for key in ["a", "b", "c"] {
        put(&store, key, "1").unwrap();
    }
    let mut seen = Vec::new();
    let outcome: Result<(), Failure> = store.read_blocking(|tx| {
        tx.walk(&WORDS, &Span::all(), |key, _| {
            seen.push(key);
            Ok::<_, Failure>(if seen.len() == 2 {
                std::ops::ControlFlow::Break(())
            } else {
                std::ops::ControlFlow::Continue(())
            })
        })?;
        tx.walk(&WORDS, &Span::all(), |_, _| Err(Failure::Refused))
    });
    assert_eq!(seen, ["a", "b"]);
    assert!(matches!(outcome, Err(Failure::Refused)));
}

#[test]
fn a_record_that_cannot_be_read_is_named() {
    const OTHER: coffer::store::Table<String, u64> = coffer::store::Table::new("words", 2);
    let store = memory();
    store.write_blocking::<_, StoreError, _>(|tx| tx.put(&OTHER, &"k".to_owned(), &9)).unwrap();
    let read = store.read_blocking(|tx| tx.get(&WORDS, &"k".to_owned()));
    match read {
        Err(StoreError::Corrupt { table, key }) => assert_eq!((table.as_str(), key.as_str()), ("words", "6b0001")),
        other => panic!("read {other:?}"),
    }
    assert!(!*store.failed().borrow(), "one bad record does not stop the store");
}

struct ManualClock(AtomicU64);

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::MIN.plus(Duration::from_millis(self.monotonic_ms()))
    }
    fn monotonic_ms(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[test]
fn the_age_of_the_oldest_snapshot_is_known() {
    let clock = Arc::new(ManualClock(AtomicU64::new(5)));
    let store = Store::open_memory(StoreOptions { clock: clock.clone(), ..StoreOptions::default() }).unwrap();
    let age = || store.stats().oldest_read_ms;
    assert_eq!(age(), 0);
    let read: Result<(), StoreError> = store.read_blocking(|_| {
        clock.0.store(105, Relaxed);
        store.read_blocking::<_, StoreError, _>(|_| {
            clock.0.store(135, Relaxed);
            assert_eq!(age(), 130);
            Ok(())
        })?;
        assert_eq!(age(), 130);
        Ok(())
    });
    read.unwrap();
    assert_eq!(age(), 0);
}

#[test]
fn a_closed_store_has_written_what_waited_and_refuses_the_rest() {
    let disk = SimulatedDisk::new();
    let store = Store::open_disk(&disk, StoreOptions::default()).unwrap();
    // A listener that holds a handle must not keep the file open.
    let circle = store.clone();
    store.on_commit(move |_| assert!(!circle.stats().failed));
    let (gate, held) = Gate::close(&store);
    let waiting = {
        let store = store.clone();
        std::thread::spawn(move || put(&store, "a", "1"))
    };
    while store.stats().queue_depth < 1 {
        std::thread::yield_now();
    }
    let other = store.clone();
    gate.open();
    store.close();
    held.join().unwrap().unwrap();
    waiting.join().unwrap().unwrap();
    assert!(matches!(put(&other, "b", "1"), Err(StoreError::Stopped)));
    assert!(matches!(other.read_blocking(|tx| tx.contains(&WORDS, &"a".to_owned())), Err(StoreError::Stopped)));
    assert!(!*other.failed().borrow(), "a close is no failure");
    let again = Store::open_disk(&disk, StoreOptions::default()).unwrap();
    assert_eq!(words(&again), pairs([("a", "1")]));
}

#[test]
fn closing_does_not_wait_for_a_snapshot_and_is_no_failure_to_it() {
    let store = memory();
    put(&store, "a", "1").unwrap();
    let other = store.clone();
    let read = store.read_blocking(|tx| {
        other.close();
        tx.get(&WORDS, &"a".to_owned())
    });
    assert!(matches!(read, Err(StoreError::Stopped)), "{read:?}");
    assert!(!*store.failed().borrow());
}
