//! The circuit breaker of one endpoint: a dead shop is asked rarely, and after days of nothing but failures no more.
//!
//! Pure. It decides when the endpoint as a whole is called; when a single message is due stands in `schedule`. A message
//! that waits for the breaker keeps its place and its number of attempts.

use serde::{Deserialize, Serialize};

use super::outcome::Outcome;
use crate::domain::time::{Duration, Timestamp};

/// Failures in a row that open the breaker.
pub const OPEN_AFTER: u32 = 5;
/// Pauses between probes; the last one repeats.
pub const PAUSES: [Duration; 5] = [
    Duration::from_seconds(30),
    Duration::from_minutes(1),
    Duration::from_minutes(2),
    Duration::from_minutes(5),
    Duration::from_minutes(10),
];
/// Nothing but failures for this long disables the endpoint …
pub const DISABLE_AFTER: Duration = Duration::from_days(5);
/// … if there were at least this many, because a quiet shop may fail twice in a week and be well in between.
pub const DISABLE_FAILURES_MIN: u32 = 10;

/// Kept with the endpoint. The default is a healthy one, and also what re-enabling writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// Since the last success.
    pub failures: u32,
    /// When the row of failures began.
    pub failing_since: Option<Timestamp>,
    /// Probes that failed since the breaker opened, the opening included.
    trips: u32,
    open_until: Option<Timestamp>,
    disabled: Option<DisabledBecause>,
}

/// Why nothing is sent any more until the merchant switches the endpoint on again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DisabledBecause {
    /// The shop answered 410.
    Gone,
    /// Days of nothing but failures.
    Failing,
}

/// What the endpoint may be asked for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Well: everything that is due is sent.
    Closed,
    /// Nothing is sent before `until`.
    Open { until: Timestamp },
    /// One message at a time, to see whether the shop is back.
    HalfOpen,
    /// Nothing is sent; messages are held.
    Disabled(DisabledBecause),
}

impl Breaker {
    /// Half-open is not stored but follows from the time, so a crash in the middle of a probe leaves nothing stuck.
    pub fn state(self, now: Timestamp) -> State {
        match (self.disabled, self.open_until) {
            (Some(because), _) => State::Disabled(because),
            (None, None) => State::Closed,
            // No pause is longer than the last; what seems so was planned before the clock was set back.
            (None, Some(until)) if now < until && until.since(now) <= PAUSES[PAUSES.len() - 1] => State::Open { until },
            (None, Some(_)) => State::HalfOpen,
        }
    }

    /// The breaker after an attempt that ended at `now`.
    #[must_use]
    pub fn next(self, outcome: &Outcome, now: Timestamp) -> Self {
        let state = self.state(now);
        if let State::Disabled(_) = state {
            // Late answers of attempts under way, and messages sent by hand: only the merchant switches on again.
            return self;
        }
        if outcome.is_delivered() {
            return Self::default();
        }
        let since = self.failing_since.unwrap_or(now);
        let failed = Self { failures: self.failures.saturating_add(1), failing_since: Some(since), ..self };
        if outcome.is_gone() {
            return Self { disabled: Some(DisabledBecause::Gone), ..failed };
        }
        if now.since(since) >= DISABLE_AFTER && failed.failures >= DISABLE_FAILURES_MIN {
            return Self { disabled: Some(DisabledBecause::Failing), ..failed };
        }
        match state {
            State::Closed if failed.failures < OPEN_AFTER => failed,
            State::Closed | State::HalfOpen => failed.trip(now),
            // Attempts that were under way when it opened say nothing new.
            State::Open { .. } | State::Disabled(_) => failed,
        }
    }

    fn trip(self, now: Timestamp) -> Self {
        let pause = PAUSES.get(self.trips as usize).unwrap_or(&PAUSES[PAUSES.len() - 1]);
        Self { trips: self.trips.saturating_add(1), open_until: Some(now.plus(*pause)), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::transport::SendError;

    const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn fail() -> Outcome {
        Outcome::Failed(SendError::Dns)
    }

    fn answer(status: u16) -> Outcome {
        Outcome::Answered { status, retry_after: None }
    }

    fn after_failures(count: u32) -> Breaker {
        (0..count).fold(Breaker::default(), |breaker, _| breaker.next(&fail(), START))
    }

    #[test]
    fn it_opens_at_the_fifth_failure_in_a_row() {
        assert_eq!(after_failures(OPEN_AFTER - 1).state(START), State::Closed);
        assert_eq!(after_failures(OPEN_AFTER).state(START), State::Open { until: START.plus(PAUSES[0]) });
    }

    #[test]
    fn a_success_in_between_starts_the_count_again() {
        let breaker = after_failures(OPEN_AFTER - 1).next(&answer(200), START).next(&fail(), START);
        assert_eq!((breaker.failures, breaker.state(START)), (1, State::Closed));
    }

    #[test]
    fn each_failed_probe_lengthens_the_pause_up_to_the_last() {
        let mut breaker = after_failures(OPEN_AFTER);
        let mut now = START;
        for i in 1..PAUSES.len() + 3 {
            now = match breaker.state(now) {
                State::Open { until } => until,
                other @ (State::Closed | State::HalfOpen | State::Disabled(_)) => panic!("{other:?}"),
            };
            assert_eq!(breaker.state(now), State::HalfOpen);
            breaker = breaker.next(&answer(502), now);
            let pause = PAUSES[i.min(PAUSES.len() - 1)];
            assert_eq!(breaker.state(now), State::Open { until: now.plus(pause) });
        }
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_keep_it_open() {
        let breaker = after_failures(OPEN_AFTER);
        assert_eq!(breaker.state(START.minus(Duration::from_hours(8))), State::HalfOpen);
        assert!(matches!(breaker.state(START.minus(Duration::from_minutes(5))), State::Open { .. }));
    }

    #[test]
    fn a_probe_that_is_delivered_closes_it() {
        let now = START.plus(PAUSES[0]);
        assert_eq!(after_failures(OPEN_AFTER).next(&answer(204), now), Breaker::default());
    }

    #[test]
    fn attempts_under_way_when_it_opened_do_not_lengthen_the_pause() {
        let opened = after_failures(OPEN_AFTER);
        assert_eq!(opened.next(&fail(), START).state(START), opened.state(START));
    }

    #[test]
    fn five_days_of_nothing_but_failures_disable_it() {
        let late = START.plus(DISABLE_AFTER);
        let just_before = START.plus(Duration::from_millis(DISABLE_AFTER.as_millis() - 1));
        let failing = after_failures(DISABLE_FAILURES_MIN);
        assert!(!matches!(failing.next(&fail(), just_before).state(just_before), State::Disabled(_)));
        assert_eq!(failing.next(&fail(), late).state(late), State::Disabled(DisabledBecause::Failing));
    }

    #[test]
    fn two_failures_a_week_apart_disable_nothing() {
        let late = START.plus(Duration::from_days(7));
        assert_eq!(after_failures(1).next(&fail(), late).state(late), State::Closed);
    }

    #[test]
    fn gone_disables_at_once() {
        let breaker = Breaker::default().next(&answer(410), START);
        assert_eq!(breaker.state(START), State::Disabled(DisabledBecause::Gone));
    }

    #[test]
    fn only_the_merchant_switches_a_disabled_endpoint_on_again() {
        let gone = Breaker::default().next(&answer(410), START);
        assert_eq!(gone.next(&answer(200), START), gone);
        assert_eq!(Breaker::default().state(START), State::Closed);
    }
}
