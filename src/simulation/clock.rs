//! Time and randomness of a simulated machine. Its clock can be wrong; the world's cannot.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use super::dice::Dice;
use crate::domain::time::{Duration, Timestamp};
use crate::env::{Clock, Entropy};

/// When every seed begins.
const START_MS: i64 = 1_790_000_000_000;

pub(super) struct SimulatedClock {
    world_ms: AtomicI64,
    /// What somebody has added to the machine's clock.
    wrong_by_ms: AtomicI64,
}

impl SimulatedClock {
    pub(super) fn new() -> Self {
        Self { world_ms: AtomicI64::new(START_MS), wrong_by_ms: AtomicI64::new(0) }
    }

    pub(super) fn advance(&self, by: Duration) {
        self.world_ms.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Relaxed);
    }

    /// The time at the provider, which is right.
    pub(super) fn world(&self) -> Timestamp {
        Timestamp::from_millis(self.world_ms.load(Relaxed))
    }

    pub(super) fn set_wrong_by_ms(&self, by_ms: i64) {
        self.wrong_by_ms.store(by_ms, Relaxed);
    }

    /// Whether messages with the world's time look fresh on this machine: they may be five minutes off.
    pub(super) fn is_credible(&self) -> bool {
        self.wrong_by_ms.load(Relaxed).abs() < 290_000
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.world_ms.load(Relaxed) + self.wrong_by_ms.load(Relaxed))
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.world_ms.load(Relaxed) - START_MS).unwrap_or(0)
    }
}

pub(super) struct SimulatedEntropy(AtomicU64);

impl SimulatedEntropy {
    pub(super) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Entropy for SimulatedEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number = Dice::new(self.0.fetch_add(0x1234_5678_9abc_def1, Relaxed)).roll().to_be_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
    }
}
