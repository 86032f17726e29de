//! The one thread that writes: it takes all closures that wait, runs them on one batch, commits once, answers all.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError, RwLock, atomic::Ordering::Relaxed, mpsc::Receiver},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{
    error::{StoreError, guarded},
    health::Health,
    read::Snapshot,
    write::{Batch, Changes, Signal, WriteTx},
};

/// A batch takes no further closure once it holds this many bytes.
const BATCH_MAX_BYTES: usize = 16 << 20;

/// A batch waits for company this part of the time that a commit takes.
const WAIT_PART: u32 = 8;

/// Shorter waits cost more than the company brings.
const WAIT_MIN: Duration = Duration::from_micros(100);

/// Called after a commit with everything its closures signalled.
pub(super) type Listener = Box<dyn Fn(&[Signal]) + Send + Sync>;

/// What the writer shares with the handles of the store.
pub(super) struct Shared {
    /// `None` after a close.
    pub(super) database: RwLock<Option<redb::Database>>,
    pub(super) listeners: RwLock<Vec<Listener>>,
    pub(super) health: Arc<Health>,
}

impl Shared {
    pub(super) fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let database = self.database.read().map_err(|_| StoreError::Stopped)?;
        Snapshot::begin(database.as_ref().ok_or(StoreError::Stopped)?, self.health.clone())
    }
}

/// A message to the writer.
pub(super) enum Message {
    Write(Box<dyn Job>),
    /// Everything before it is written, nothing behind it.
    Close,
}

/// A closure with its types hidden.
pub(super) trait Job: Send {
    /// Runs the closure on the batch and keeps its result for the answer.
    fn run(&mut self, batch: &mut Batch, health: &Health);
    /// Sends the result, or the error of the commit that the result depends on.
    fn answer(self: Box<Self>, commit: Option<&StoreError>);
}

pub(super) struct Write<T, E, F> {
    closure: F,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Write<T, E, F> {
    pub(super) fn new(closure: F, reply: oneshot::Sender<Result<T, E>>) -> Self {
        Self { closure, result: None, reply }
    }
}

impl<T, E, F> Job for Write<T, E, F>
where
    F: Fn(&mut WriteTx<'_>) -> Result<T, E> + Send,
    E: From<StoreError> + Send,
    T: Send,
{
    fn run(&mut self, batch: &mut Batch, health: &Health) {
        self.result = Some(batch.run(&self.closure).unwrap_or_else(|panic| {
            health.count_panic();
            tracing::error!(panic = panic_text(panic.as_ref()), "a write panicked and left nothing behind");
            Err(E::from(StoreError::Panicked))
        }));
    }

    fn answer(self: Box<Self>, commit: Option<&StoreError>) {
        let result = match (commit, self.result) {
            (None, Some(result)) => result,
            // A refusal may rest on changes that are lost with the commit, so it is not answered either.
            (Some(error), _) => Err(E::from(error.clone())),
            (None, None) => Err(E::from(StoreError::Stopped)),
        };
        // A caller that went away does not need the answer.
        drop(self.reply.send(result));
    }
}

/// Bounds of one batch.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    pub(super) batch_max: usize,
    /// The longest wait for company.
    pub(super) wait: Duration,
}

/// What the writer remembers from batch to batch.
#[derive(Default)]
struct Rhythm {
    /// Writes in the last batch.
    writes: usize,
    /// What a commit took lately, on average.
    commit: Duration,
}

impl Rhythm {
    /// How long the next batch waits for company. Those who were answered together ask again together: where a commit is
    /// slow, waiting for them saves one; where it is fast, they are prepared while others are committed, and waiting only
    /// stands in the way. A lone writer never waits.
    fn wait(&self, pace: Pace) -> Option<Duration> {
        let wait = (self.commit / WAIT_PART).min(pace.wait);
        (self.writes > 1 && wait >= WAIT_MIN).then_some(wait)
    }

    fn committed(&mut self, took: Duration) {
        self.commit = (self.commit * 7 + took) / 8;
    }
}

/// Runs until the queue is closed, then closes the file.
pub(super) fn run(shared: &Shared, queue: &Receiver<Message>, pace: Pace) {
    let latch = StopOnPanic(&shared.health);
    let mut rhythm = Rhythm::default();
    while let Ok(message) = queue.recv() {
        let Message::Write(first) = message else { break };
        if !run_batch(shared, queue, pace, first, &mut rhythm) {
            break;
        }
    }
    // Listeners may hold handles of this store.
    let listeners = std::mem::take(&mut *shared.listeners.write().unwrap_or_else(PoisonError::into_inner));
    let database = shared.database.write().unwrap_or_else(PoisonError::into_inner).take();
    drop((listeners, database));
    std::mem::forget(latch);
}

/// Runs one batch; answers whether the queue goes on.
fn run_batch(shared: &Shared, queue: &Receiver<Message>, pace: Pace, first: Box<dyn Job>, rhythm: &mut Rhythm) -> bool {
    let health = &shared.health;
    health.queued.fetch_sub(1, Relaxed);
    let begun = if health.has_failed() { Err(StoreError::Stopped) } else { shared.snapshot() };
    let mut batch = match begun {
        Ok(snapshot) => Batch::new(snapshot),
        Err(error) => {
            first.answer(Some(&error));
            return true;
        }
    };

    let mut jobs = Vec::with_capacity(pace.batch_max);
    let mut take = |mut job: Box<dyn Job>, batch: &mut Batch| {
        job.run(batch, health);
        jobs.push(job);
        jobs.len() < pace.batch_max && batch.bytes() < BATCH_MAX_BYTES
    };
    let mut more = true;
    let mut wait = rhythm.wait(pace);
    // Only those who wait already: whoever comes while these are run is prepared for the next batch by other threads, and
    // would be idle with them if this one took everybody along.
    let mut waiting = health.queued.load(Relaxed);
    let mut room = take(first, &mut batch);
    while room {
        let message = if waiting > 0 { queue.try_recv().ok() } else { None };
        let Some(message) = message else {
            let Some(wait) = wait.take() else { break };
            // Asleep and not listening, so that nobody pays for waking this thread.
            std::thread::sleep(wait);
            waiting = health.queued.load(Relaxed);
            continue;
        };
        match message {
            Message::Write(job) => {
                health.queued.fetch_sub(1, Relaxed);
                waiting -= 1;
                room = take(job, &mut batch);
            }
            Message::Close => {
                more = false;
                break;
            }
        }
    }

    health.count_batch(jobs.len());
    rhythm.writes = jobs.len();
    let changed = batch.has_changes();
    // Ends the snapshot, so that this commit can reuse what the last one freed.
    let (changes, signals) = batch.finish();
    // A read that failed inside a closure closed the latch: then nothing of the batch can be trusted.
    let commit = match (health.has_failed(), changed) {
        (true, _) => Err(StoreError::Stopped),
        (false, false) => Ok(()),
        (false, true) => {
            let begun_ms = health.now_ms();
            let committed = guarded(|| commit(shared, &changes));
            rhythm.committed(Duration::from_millis(health.now_ms().saturating_sub(begun_ms)));
            committed
        }
    };
    match commit {
        Ok(()) => {
            tell(shared, &signals);
            jobs.into_iter().for_each(|job| job.answer(None));
        }
        Err(error) => {
            let error = health.note(error);
            jobs.into_iter().for_each(|job| job.answer(Some(&error)));
        }
    }
    more
}

fn commit(shared: &Shared, changes: &Changes) -> Result<(), StoreError> {
    let database = shared.database.read().map_err(|_| StoreError::Stopped)?;
    let mut transaction = database.as_ref().ok_or(StoreError::Stopped)?.begin_write()?;
    // Immediate durability is the default. With two phases, what is on disk is never chosen by a checksum alone.
    transaction.set_two_phase_commit(true);
    changes.apply(&transaction)?;
    transaction.commit()?;
    shared.health.count_commit();
    Ok(())
}

fn tell(shared: &Shared, signals: &[Signal]) {
    if signals.is_empty() {
        return;
    }
    let Ok(listeners) = shared.listeners.read() else { return };
    for listener in listeners.iter() {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| listener(signals))) {
            tracing::error!(panic = panic_text(panic.as_ref()), "a listener of the store panicked");
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Closes the latch when the writer itself dies of a panic, so that nobody waits for it.
struct StopOnPanic<'a>(&'a Health);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        self.0.note(StoreError::Damaged { what: "the writer panicked".to_owned() });
    }
}
