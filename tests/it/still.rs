//! A clock that stands until it is told to go on, and a network that leads nowhere.

use std::sync::atomic::{AtomicI64, Ordering};

use coffer::domain::time::{Duration, Timestamp};
use coffer::env::Clock;
use coffer::env::target::TargetPolicy;
use coffer::env::transport::{Limits, OutgoingRequest, SendError, Sending, Transport};

pub struct HandClock(AtomicI64);

impl HandClock {
    pub fn at(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.as_millis()))
    }

    pub fn pass(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// Nothing leaves the house.
pub struct NoNetwork;

impl Transport for NoNetwork {
    fn send<'a>(&'a self, _: OutgoingRequest, _: &'a TargetPolicy, _: Limits) -> Sending<'a> {
        Box::pin(async { Err(SendError::Dns) })
    }
}
