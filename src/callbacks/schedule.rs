//! When a callback is tried again. Pure; the randomness is passed in.

use super::outcome::Outcome;
use crate::domain::time::{Duration, Timestamp};
use crate::env::transport::{Phase, SendError};

/// Pause before each attempt, counted from the end of the one before; about 75 hours in all.
/// Source: Standard Webhooks 1.0.0, recommended times.
pub const LADDER: [Duration; 10] = [
    Duration::ZERO,
    Duration::from_seconds(5),
    Duration::from_minutes(5),
    Duration::from_minutes(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(14),
    Duration::from_hours(20),
    Duration::from_hours(24),
];

/// Attempts that the schedule makes by itself; a person may always send again.
pub const ATTEMPTS_MAX: usize = LADDER.len();

/// Pauses are spread by up to this much to both sides, so that a shop that was down is not met by all at once.
pub const JITTER_PERCENT: u64 = 15;

/// A shop that is too busy or too slow gets at least this much quiet, although the ladder's first pause is shorter:
/// it may still be at work on the message.
pub const BUSY_PAUSE_MIN: Duration = Duration::from_minutes(1);

/// `Retry-After` postpones an attempt by at most this much, because a mistaken header must not hold paid orders for
/// days. It never brings an attempt forward.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// What follows an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Retry(Timestamp),
    Delivered,
    /// The ladder is used up.
    Exhausted,
    /// The shop answered 410: nothing more is sent to this address.
    Gone,
}

/// Decides after attempt number `attempt_no` (the first is 1), which ended at `now`. `random` is any uniform number.
pub fn after(outcome: &Outcome, attempt_no: usize, now: Timestamp, random: u64) -> Next {
    if outcome.is_delivered() {
        return Next::Delivered;
    }
    if outcome.is_gone() {
        return Next::Gone;
    }
    let Some(pause) = LADDER.get(attempt_no) else { return Next::Exhausted };
    Next::Retry(now.plus(spread(*pause, random).max(least_pause(outcome))))
}

/// Between 85 and 115 per cent of the pause, to the tenth of a per cent.
fn spread(pause: Duration, random: u64) -> Duration {
    let permille = 1000 - JITTER_PERCENT * 10 + random % (JITTER_PERCENT * 20 + 1);
    Duration::from_millis(pause.as_millis() * permille / 1000)
}

fn least_pause(outcome: &Outcome) -> Duration {
    match outcome {
        Outcome::Answered { status, retry_after } => {
            let busy = if *status == 429 { BUSY_PAUSE_MIN } else { Duration::ZERO };
            retry_after.map_or(busy, |wish| wish.clamp(busy, RETRY_AFTER_MAX))
        }
        Outcome::Failed(SendError::Timeout { phase: Phase::Reply }) => BUSY_PAUSE_MIN,
        Outcome::Failed(
            SendError::Timeout { phase: Phase::Lookup | Phase::Connect | Phase::Handshake }
            | SendError::Blocked { .. }
            | SendError::InvalidRequest
            | SendError::Dns
            | SendError::Connect { .. }
            | SendError::Tls { .. }
            | SendError::Protocol,
        ) => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    /// The random number that leaves the pause as it is.
    const MIDDLE: u64 = 150;

    fn answered(status: u16) -> Outcome {
        Outcome::Answered { status, retry_after: None }
    }

    fn asks_for(status: u16, wait: Duration) -> Outcome {
        Outcome::Answered { status, retry_after: Some(wait) }
    }

    fn pause(outcome: &Outcome, attempt_no: usize, random: u64) -> Duration {
        match after(outcome, attempt_no, NOW, random) {
            Next::Retry(at) => at.since(NOW),
            other @ (Next::Delivered | Next::Exhausted | Next::Gone) => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_ladder_is_climbed_to_its_end_over_three_days() {
        let mut total = Duration::ZERO;
        for (attempt_no, expected) in LADDER.into_iter().enumerate().skip(1) {
            let step = pause(&answered(500), attempt_no, MIDDLE);
            assert_eq!(step, expected);
            total = Duration::from_millis(total.as_millis() + step.as_millis());
        }
        assert_eq!(total, Duration::from_seconds(((75 * 60) + 35) * 60 + 5));
        assert_eq!(after(&answered(500), ATTEMPTS_MAX, NOW, MIDDLE), Next::Exhausted);
        assert_eq!(after(&answered(500), ATTEMPTS_MAX + 1, NOW, MIDDLE), Next::Exhausted);
    }

    #[test]
    fn jitter_stays_within_fifteen_per_cent() {
        let failed = Outcome::Failed(SendError::Dns);
        assert_eq!(pause(&failed, 2, 0), Duration::from_seconds(255));
        assert_eq!(pause(&failed, 2, 300), Duration::from_seconds(345));
        assert_eq!(pause(&failed, 2, 301), Duration::from_seconds(255));
        for random in [0, 1, u64::MAX / 3, u64::MAX - 1, u64::MAX] {
            let pause = pause(&failed, 9, random);
            assert!(Duration::from_minutes(1224) <= pause && pause <= Duration::from_minutes(1656));
        }
    }

    #[test]
    fn delivered_and_gone_end_at_any_attempt() {
        for attempt_no in [1, ATTEMPTS_MAX, 99] {
            assert_eq!(after(&answered(204), attempt_no, NOW, 0), Next::Delivered);
            assert_eq!(after(&answered(410), attempt_no, NOW, 0), Next::Gone);
        }
    }

    #[test]
    fn retry_after_postpones_up_to_an_hour_and_never_hastens() {
        assert_eq!(pause(&asks_for(503, Duration::from_minutes(3)), 1, MIDDLE), Duration::from_minutes(3));
        assert_eq!(pause(&asks_for(503, Duration::from_days(30)), 1, MIDDLE), RETRY_AFTER_MAX);
        assert_eq!(pause(&asks_for(503, Duration::from_seconds(1)), 2, MIDDLE), LADDER[2]);
        assert_eq!(pause(&asks_for(503, Duration::from_days(30)), 4, MIDDLE), LADDER[4]);
    }

    #[test]
    fn a_busy_or_slow_shop_gets_a_minute_of_quiet() {
        let slow = Outcome::Failed(SendError::Timeout { phase: Phase::Reply });
        assert_eq!(pause(&slow, 1, MIDDLE), BUSY_PAUSE_MIN);
        assert_eq!(pause(&answered(429), 1, MIDDLE), BUSY_PAUSE_MIN);
        assert_eq!(pause(&asks_for(429, Duration::from_seconds(1)), 1, MIDDLE), BUSY_PAUSE_MIN);
        assert_eq!(pause(&answered(500), 1, MIDDLE), LADDER[1]);
    }
}
