//! How often one caller may ask: a bucket that leaks evenly and holds a burst. Time is passed in.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::env::client_address::rate_network;

/// Addresses remembered by one [`AddressLimit`]. Those that have recovered are forgotten first; beyond that, new ones
/// share a single bucket.
const ADDRESSES_MAX: usize = 10_000;
/// A full table is searched for those this often, in milliseconds.
const CLEAR_EVERY_MS: u64 = 1000;

/// An even rate and what may come at once above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub per_second: u64,
    pub burst: u64,
}

/// The answer to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub allowed: bool,
    /// Requests that could follow at once.
    pub remaining: u64,
    /// Seconds until the bucket is whole again; when refused, until the next request is allowed.
    pub seconds: u64,
}

impl Rate {
    const MICROS_PER_SECOND: u64 = 1_000_000;

    /// Microseconds that one request costs.
    fn cost(self) -> u64 {
        (Self::MICROS_PER_SECOND / self.per_second.max(1)).max(1)
    }

    fn capacity(self) -> u64 {
        self.cost().saturating_mul(self.burst.max(1))
    }

    /// The policy as the `RateLimit-Policy` header states it: a quota and the seconds in which it grows back.
    pub fn policy(self) -> String {
        let window = self.capacity().div_ceil(Self::MICROS_PER_SECOND);
        format!("\"requests\";q={};w={}", self.burst, window.max(1))
    }

    /// The generic cell rate algorithm. `full_at` is when the bucket will be whole; answers what it becomes.
    fn decide(self, full_at: u64, now: u64) -> (u64, Verdict) {
        let next = full_at.max(now).saturating_add(self.cost());
        let used = next - now;
        let capacity = self.capacity();
        if used > capacity {
            let seconds = (used - capacity).div_ceil(Self::MICROS_PER_SECOND).max(1);
            return (full_at, Verdict { allowed: false, remaining: 0, seconds });
        }
        let remaining = (capacity - used) / self.cost();
        (next, Verdict { allowed: true, remaining, seconds: used.div_ceil(Self::MICROS_PER_SECOND) })
    }
}

impl Verdict {
    /// The `RateLimit` header (draft-ietf-httpapi-ratelimit-headers): what is left, and the seconds until it is whole.
    pub fn header(self) -> String {
        format!("\"requests\";r={};t={}", self.remaining, self.seconds)
    }
}

/// The bucket of one caller; without a lock, because every request of a busy shop passes here.
#[derive(Debug, Default)]
pub struct Bucket(AtomicU64);

impl Bucket {
    pub fn take(&self, rate: Rate, now_ms: u64) -> Verdict {
        let now = now_ms.saturating_mul(1000);
        let mut verdict = None;
        // Relaxed: nothing else is ordered by this number.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            let (next, decided) = rate.decide(full_at, now);
            verdict = Some(decided);
            decided.allowed.then_some(next)
        });
        verdict.expect("the closure runs at least once")
    }
}

/// One bucket per address, an IPv6 customer's network counted as one.
pub struct AddressLimit {
    rate: Rate,
    table: Mutex<Table>,
    overflow: Bucket,
}

#[derive(Default)]
struct Table {
    /// When each address's bucket will be whole, in microseconds.
    full_at: BTreeMap<IpAddr, u64>,
    cleared_ms: u64,
}

impl AddressLimit {
    pub fn new(rate: Rate) -> Self {
        Self { rate, table: Mutex::default(), overflow: Bucket::default() }
    }

    pub fn take(&self, address: IpAddr, now_ms: u64) -> Verdict {
        let now = now_ms.saturating_mul(1000);
        let network = rate_network(address);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.full_at.len() >= ADDRESSES_MAX && !table.full_at.contains_key(&network) {
            if now_ms >= table.cleared_ms.saturating_add(CLEAR_EVERY_MS) {
                table.cleared_ms = now_ms;
                table.full_at.retain(|_, full_at| *full_at > now);
            }
            if table.full_at.len() >= ADDRESSES_MAX {
                return self.overflow.take(self.rate, now_ms);
            }
        }
        let full_at = table.full_at.entry(network).or_default();
        let (next, verdict) = self.rate.decide(*full_at, now);
        *full_at = next;
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 5 };

    #[test]
    fn a_burst_passes_and_then_the_even_rate() {
        let bucket = Bucket::default();
        let allowed = |at_ms| (0..20).filter(|_| bucket.take(RATE, at_ms).allowed).count();
        assert_eq!(allowed(1_000), 5);
        assert_eq!(allowed(1_099), 0);
        assert_eq!(allowed(1_100), 1);
        assert_eq!(allowed(1_400), 3);
        // However long it was quiet, not more than the burst is saved up.
        assert_eq!(allowed(100_000), 5);
    }

    #[test]
    fn the_answer_says_what_is_left_and_when_to_come_back() {
        let slow = Rate { per_second: 1, burst: 2 };
        let bucket = Bucket::default();
        assert_eq!(bucket.take(slow, 0), Verdict { allowed: true, remaining: 1, seconds: 1 });
        assert_eq!(bucket.take(slow, 0), Verdict { allowed: true, remaining: 0, seconds: 2 });
        assert_eq!(bucket.take(slow, 0), Verdict { allowed: false, remaining: 0, seconds: 1 });
        assert!(bucket.take(slow, 1_000).allowed);
        assert_eq!(slow.policy(), "\"requests\";q=2;w=2");
        assert_eq!(Verdict { allowed: true, remaining: 7, seconds: 3 }.header(), "\"requests\";r=7;t=3");
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_bucket() {
        let limit = AddressLimit::new(RATE);
        let take = |address: &str| limit.take(address.parse().unwrap(), 0).allowed;
        for last in 1..=5 {
            assert!(take(&format!("2001:db8::{last}")));
        }
        assert!(!take("2001:db8::ffff:1"));
        assert!(take("2001:db8:0:1::1"));
        assert!(take("192.0.2.1") && take("192.0.2.2"));
    }

    #[test]
    fn the_table_stays_bounded_under_a_flood_of_addresses() {
        let limit = AddressLimit::new(RATE);
        let address = |n: u32| IpAddr::from(std::net::Ipv4Addr::from(n));
        for n in 0..u32::try_from(ADDRESSES_MAX).unwrap() * 2 {
            limit.take(address(n), 0);
        }
        assert_eq!(limit.table.lock().unwrap().full_at.len(), ADDRESSES_MAX);
        assert!(!limit.take(address(u32::MAX), 0).allowed, "newcomers share one bucket");
        assert!(limit.take(address(u32::MAX), 10_000).allowed, "those who recovered made room");
    }
}
