//! Power losses and broken disks: what was answered is there, what was not is whole or absent, and nobody goes on.

use coffer::store::{Order, Read, SimulatedDisk, Span, Store, StoreError, StoreOptions};

use super::{COUNTS, words};

/// A small generator, so that every failure is a seed.
struct Dice(u64);

impl Dice {
    fn bit(&mut self) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 & 1 == 1
    }
}

fn open(disk: &SimulatedDisk) -> Result<Store, StoreError> {
    Store::open_disk(disk, StoreOptions::default())
}

/// One write of many rows that must appear together: row `n` counts to `n`, and row 0 holds the last `n`.
fn step(store: &Store, n: u32) -> Result<(), StoreError> {
    store.write_blocking(move |tx| {
        tx.put(&COUNTS, &0, &u64::from(n))?;
        tx.put(&COUNTS, &n, &u64::from(n))?;
        tx.put(&COUNTS, &(1_000_000 - n), &u64::from(n))
    })
}

/// The last step of a store, after checking that every step up to it is there and whole.
fn last_step(store: &Store) -> u32 {
    let rows = store.read_blocking(|tx| tx.scan(&COUNTS, &Span::all(), Order::Ascending, 10_000));
    let rows: Vec<(u32, u64)> = rows.unwrap_or_else(|error: StoreError| panic!("{error}"));
    let Some(((_, last), rest)) = rows.split_first() else { return 0 };
    let last = u32::try_from(*last).unwrap();
    let up = (1..=last).map(|n| (n, u64::from(n)));
    let down = (1..=last).rev().map(|n| (1_000_000 - n, u64::from(n)));
    assert!(rest.iter().copied().eq(up.chain(down)), "{rows:?}");
    last
}

#[test]
fn an_answered_write_survives_a_power_loss() {
    let disk = SimulatedDisk::new();
    let store = open(&disk).unwrap();
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for n in 1..=25 {
        step(&store, n).unwrap();
        for after in
            [disk.after_power_loss(|| false), disk.after_power_loss(|| true), disk.after_power_loss(|| dice.bit())]
        {
            assert_eq!(last_step(&open(&after).unwrap()), n);
        }
    }
}

#[test]
fn a_write_that_the_disk_breaks_is_whole_or_absent_and_stops_the_store() {
    let mut outcomes = [0, 0];
    for operations in 0.. {
        let disk = SimulatedDisk::new();
        let store = open(&disk).unwrap();
        for n in 1..=3 {
            step(&store, n).unwrap();
        }
        disk.break_after(operations);
        match step(&store, 4) {
            Ok(()) => {
                assert!(operations > 2, "the disk had no time to break");
                break;
            }
            Err(StoreError::Io { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
        assert!(*store.failed().borrow());
        assert!(store.stats().failed);
        assert!(matches!(step(&store, 5), Err(StoreError::Stopped)));

        let mut dice = Dice(operations + 1);
        for _ in 0..8 {
            let after = disk.after_power_loss(|| dice.bit());
            let store = open(&after).unwrap();
            let last = last_step(&store);
            assert!(last == 3 || last == 4, "after {operations} operations: {last}");
            outcomes[usize::from(last == 4)] += 1;
            step(&store, last + 1).unwrap();
        }
    }
    assert!(outcomes[0] > 0, "some loss must have hit the write: {outcomes:?}");
}

#[test]
fn a_store_dropped_without_closing_has_every_answered_write() {
    let disk = SimulatedDisk::new();
    for n in 1..=5 {
        step(&open(&disk).unwrap(), n).unwrap();
    }
    let store = open(&disk).unwrap();
    assert_eq!(last_step(&store), 5);
    assert_eq!(words(&store), []);
}
