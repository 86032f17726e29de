//! How the store is doing: the latch that an I/O failure closes, counters, and the age of open snapshots.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::sync::watch;

use super::error::StoreError;
use crate::env::Clock;

/// Upper ends of the buckets of [`StoreStats::batch_sizes`], in writes per commit; the last bucket is open.
pub const BATCH_SIZE_BUCKETS: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// Numbers for metrics and the console.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Durable commits since the start.
    pub commits: u64,
    /// Writes that were run, refused and panicked ones included.
    pub writes: u64,
    /// Writes whose closure panicked.
    pub panics: u64,
    /// Writes turned away because the queue was full.
    pub busy: u64,
    /// Batches by their number of writes: one count per bucket of [`BATCH_SIZE_BUCKETS`], and one for larger ones.
    pub batch_sizes: [u64; BATCH_SIZE_BUCKETS.len() + 1],
    /// Writes that wait now.
    pub queue_depth: usize,
    /// Age of the oldest open snapshot in milliseconds; zero when none is open.
    pub oldest_read_ms: u64,
    /// Whether the store has stopped.
    pub failed: bool,
    /// Size of the data file in bytes; zero in memory.
    pub file_bytes: u64,
}

pub(super) struct Health {
    failed: watch::Sender<bool>,
    clock: Arc<dyn Clock>,
    /// Number of a snapshot and the monotonic milliseconds at its start. Numbers grow, so the first is the oldest.
    reads: Mutex<(u64, BTreeMap<u64, u64>)>,
    pub(super) queued: AtomicUsize,
    pub(super) busy: AtomicU64,
    commits: AtomicU64,
    writes: AtomicU64,
    panics: AtomicU64,
    batch_sizes: [AtomicU64; BATCH_SIZE_BUCKETS.len() + 1],
}

impl Health {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            failed: watch::Sender::new(false),
            clock,
            reads: Mutex::default(),
            queued: AtomicUsize::new(0),
            busy: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            batch_sizes: Default::default(),
        }
    }

    /// Monotonic milliseconds.
    pub(super) fn now_ms(&self) -> u64 {
        self.clock.monotonic_ms()
    }

    pub(super) fn has_failed(&self) -> bool {
        *self.failed.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.failed.subscribe()
    }

    /// Closes the latch if the error is one after which nothing can be relied on, and hands the error back.
    pub(super) fn note(&self, error: StoreError) -> StoreError {
        if error.is_fatal() && !self.failed.send_replace(true) {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            tracing::error!(error = %error, cause, "the store stops: nothing more is written until a restart");
        }
        error
    }

    pub(super) fn count_batch(&self, writes: usize) {
        let bucket = BATCH_SIZE_BUCKETS.iter().position(|end| writes <= *end).unwrap_or(BATCH_SIZE_BUCKETS.len());
        self.batch_sizes[bucket].fetch_add(1, Relaxed);
        self.writes.fetch_add(writes as u64, Relaxed);
    }

    pub(super) fn count_commit(&self) {
        self.commits.fetch_add(1, Relaxed);
    }

    pub(super) fn count_panic(&self) {
        self.panics.fetch_add(1, Relaxed);
    }

    pub(super) fn begin_read(self: &Arc<Self>) -> ReadAge {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        reads.0 += 1;
        let number = reads.0;
        reads.1.insert(number, self.clock.monotonic_ms());
        ReadAge { health: self.clone(), number }
    }

    pub(super) fn stats(&self, file_bytes: u64) -> StoreStats {
        let oldest = {
            let reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
            reads.1.first_key_value().map(|(_, started)| *started)
        };
        StoreStats {
            commits: self.commits.load(Relaxed),
            writes: self.writes.load(Relaxed),
            panics: self.panics.load(Relaxed),
            busy: self.busy.load(Relaxed),
            batch_sizes: std::array::from_fn(|i| self.batch_sizes[i].load(Relaxed)),
            queue_depth: self.queued.load(Relaxed),
            oldest_read_ms: oldest.map_or(0, |started| self.clock.monotonic_ms().saturating_sub(started)),
            failed: self.has_failed(),
            file_bytes,
        }
    }
}

/// Registers a snapshot for as long as it lives.
pub(super) struct ReadAge {
    health: Arc<Health>,
    number: u64,
}

impl Drop for ReadAge {
    fn drop(&mut self) {
        self.health.reads.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&self.number);
    }
}
