//! Growing waits for those who guess.
//!
//! [`Attempts`] is stored with a user and guards the second factor: whoever gets that far knows the password.
//! [`Throttle`] lives in memory and guards the password, by login and by address. It is asked before the user is looked
//! up, so that a login that does not exist waits exactly like one that does; after a restart it begins anew, which costs
//! a guesser more than it gives.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::time::{Duration, Timestamp};

/// Failures that cost nothing but the failure itself.
pub const FREE_FAILURES: u32 = 5;
/// The wait after the fifth failure; it doubles with each further one.
pub const FIRST_WAIT: Duration = Duration::from_seconds(30);
/// The longest wait for a second factor.
pub const SECOND_FACTOR_WAIT_MAX: Duration = Duration::from_hours(1);
/// The longest wait for a password. Shorter, because a stranger can cause it by typing somebody's login.
pub const PASSWORD_WAIT_MAX: Duration = Duration::from_minutes(5);
/// Logins and addresses remembered at once; the one that is longest quiet is forgotten first.
pub const THROTTLED_MAX: usize = 10_000;

/// Failures in a row, and until when nothing more is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    pub failures: u32,
    pub locked_until: Timestamp,
}

impl Default for Attempts {
    fn default() -> Self {
        Self::NONE
    }
}

impl Attempts {
    pub const NONE: Attempts = Attempts { failures: 0, locked_until: Timestamp::MIN };

    /// How long until the next try is looked at; `None` when it may be now.
    pub fn wait(self, now: Timestamp) -> Option<Duration> {
        (self.locked_until > now).then(|| self.locked_until.since(now))
    }

    /// One more failure.
    pub fn failed(self, now: Timestamp, wait_max: Duration) -> Attempts {
        let failures = self.failures.saturating_add(1);
        let Some(doublings) = failures.checked_sub(FREE_FAILURES) else {
            return Attempts { failures, locked_until: self.locked_until };
        };
        let wait = FIRST_WAIT.as_millis().saturating_mul(1 << doublings.min(20));
        let wait = Duration::from_millis(wait).min(wait_max);
        Attempts { failures, locked_until: now.plus(wait) }
    }
}

/// Failures by login and by address, bounded, in memory.
#[derive(Default)]
pub struct Throttle {
    entries: BTreeMap<[u8; 32], (Attempts, Timestamp)>,
}

impl Throttle {
    /// The longest wait of these keys.
    pub fn wait(&self, keys: &[[u8; 32]], now: Timestamp) -> Option<Duration> {
        keys.iter().filter_map(|key| self.entries.get(key)?.0.wait(now)).max()
    }

    pub fn failed(&mut self, keys: &[[u8; 32]], now: Timestamp) {
        for key in keys {
            let before = match self.entries.get(key) {
                // Quiet for a whole longest wait after the lock: a new day.
                Some((_, last)) if now.since(*last) > Duration::from_hours(1) => Attempts::NONE,
                Some((attempts, _)) => *attempts,
                None => Attempts::NONE,
            };
            self.entries.insert(*key, (before.failed(now, PASSWORD_WAIT_MAX), now));
        }
        while self.entries.len() > THROTTLED_MAX {
            let Some(quietest) = self.entries.iter().min_by_key(|(_, (_, last))| *last).map(|(key, _)| *key) else {
                return;
            };
            self.entries.remove(&quietest);
        }
    }

    pub fn succeeded(&mut self, key: &[u8; 32]) {
        self.entries.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp::from_seconds(1_800_000_000);

    #[test]
    fn the_fifth_failure_locks_and_each_further_one_doubles_the_wait() {
        let mut attempts = Attempts::NONE;
        for _ in 0..4 {
            attempts = attempts.failed(T0, SECOND_FACTOR_WAIT_MAX);
            assert_eq!(attempts.wait(T0), None);
        }
        for seconds in [30, 60, 120, 240, 480, 960, 1920, 3600, 3600] {
            attempts = attempts.failed(T0, SECOND_FACTOR_WAIT_MAX);
            assert_eq!(attempts.wait(T0), Some(Duration::from_seconds(seconds)));
        }
        assert_eq!(attempts.wait(T0.plus(Duration::from_hours(1))), None);
        assert!(Attempts { failures: u32::MAX, ..attempts }.failed(T0, SECOND_FACTOR_WAIT_MAX).wait(T0).is_some());
    }

    #[test]
    fn a_throttle_waits_for_the_worst_key_and_forgives_after_success() {
        let mut throttle = Throttle::default();
        let (login, address) = ([1; 32], [2; 32]);
        for _ in 0..5 {
            throttle.failed(&[login, address], T0);
        }
        assert_eq!(throttle.wait(&[login, [9; 32]], T0), Some(FIRST_WAIT));
        assert_eq!(throttle.wait(&[[9; 32]], T0), None);
        throttle.succeeded(&login);
        assert_eq!(throttle.wait(&[login], T0), None);
        assert_eq!(throttle.wait(&[login, address], T0), Some(FIRST_WAIT));
    }

    #[test]
    fn a_throttle_forgets_the_quietest_when_it_is_full() {
        let mut throttle = Throttle::default();
        for i in 0..=THROTTLED_MAX as u32 {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&i.to_be_bytes());
            throttle.failed(&[key], T0.plus(Duration::from_millis(u64::from(i))));
        }
        assert_eq!(throttle.entries.len(), THROTTLED_MAX);
        assert!(!throttle.entries.contains_key(&[0; 32]));
    }
}
