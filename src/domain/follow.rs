//! How an attempt and a refund are followed: what to do next after what the channel said. Pure tables, no I/O.
//!
//! *Ask, do not wait*: channels do not guarantee their notifications. Closing is query, close, query: only the
//! channel's word ends an attempt, never the clock.

use serde::{Deserialize, Serialize};

use super::method::Flow;
use super::payment::{Attempt, AttemptEvent, AttemptState};
use super::refund::{Refund, RefundEvent};
use super::time::{Duration, Timestamp};

/// What the next follow-up of an attempt does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Tell the channel about the order.
    Create,
    /// Ask, while the customer may pay.
    Ask,
    /// Ask before closing: the money may have come already.
    AskBeforeClose,
    Close,
    /// Ask whether the close was carried out.
    AskAfterClose,
    /// Ended; ask for money that comes all the same.
    AskLate,
    /// Disputed: a person has to look at it first. Until somebody has, the channel is asked what is true.
    Hold,
    /// The channel has the order and tells its code once, and that was lost with an answer. Asked whether it is paid all the
    /// same; otherwise another order takes its place.
    AskLost,
}

impl Step {
    pub const ALL: [Step; 8] = [
        Step::Create,
        Step::Ask,
        Step::AskBeforeClose,
        Step::Close,
        Step::AskAfterClose,
        Step::AskLate,
        Step::Hold,
        Step::AskLost,
    ];

    /// The attempt goes on: nobody wants it closed yet.
    pub const fn goes_on(self) -> bool {
        match self {
            Step::Create | Step::Ask | Step::AskLost => true,
            Step::AskBeforeClose | Step::Close | Step::AskAfterClose | Step::AskLate | Step::Hold => false,
        }
    }
}

/// What the channel's answer means for following, without its details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    Accepted,
    NotPaid,
    Paid,
    Closed,
    Declined,
    NotFound,
    /// The request was refused for good.
    Refused,
    /// The order is known, and its code is not told again.
    CodeLost,
    Unknown,
}

impl Heard {
    pub const ALL: [Heard; 9] = [
        Heard::Accepted,
        Heard::NotPaid,
        Heard::Paid,
        Heard::Closed,
        Heard::Declined,
        Heard::NotFound,
        Heard::Refused,
        Heard::CodeLost,
        Heard::Unknown,
    ];
}

/// When the next step is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Now,
    /// At the next rung of the ladder.
    Ladder,
}

/// The decision: what happened to the attempt, and what is done next.
pub fn after(state: AttemptState, step: Step, heard: Heard) -> (AttemptEvent, Step, When) {
    use AttemptEvent as E;
    match heard {
        Heard::Paid => return (E::Paid, Step::AskLate, When::Ladder),
        Heard::Declined => return (E::Declined, Step::AskLate, When::Ladder),
        Heard::Closed => {
            return match step {
                // The answer to a close is a promise; what is asked afterwards is the fact.
                Step::Close => (E::OutcomeUnknown, Step::AskAfterClose, When::Now),
                Step::Create
                | Step::Ask
                | Step::AskBeforeClose
                | Step::AskAfterClose
                | Step::AskLate
                | Step::Hold
                | Step::AskLost => (E::Closed, Step::AskLate, When::Ladder),
            };
        }
        Heard::Accepted | Heard::NotPaid | Heard::NotFound | Heard::Refused | Heard::CodeLost | Heard::Unknown => {}
    }
    let never_shown = state == AttemptState::Created;
    match step {
        Step::Create => match heard {
            Heard::Accepted => (E::Accepted, Step::Ask, When::Ladder),
            Heard::Refused => (E::Declined, Step::AskLate, When::Ladder),
            Heard::CodeLost => (E::OutcomeUnknown, Step::AskLost, When::Now),
            // Asked what happened before it is told again.
            Heard::NotPaid | Heard::NotFound | Heard::Unknown | Heard::Paid | Heard::Closed | Heard::Declined => {
                (E::OutcomeUnknown, Step::Ask, When::Ladder)
            }
        },
        Step::Ask => match heard {
            // The order never arrived, so it is told again; the number is the same, so twice is once.
            Heard::NotFound if never_shown => (E::OutcomeUnknown, Step::Create, When::Now),
            // The first answer was lost; this one says that the order is there.
            Heard::Accepted if never_shown => (E::Accepted, Step::Ask, When::Ladder),
            // It arrived, but its code was lost on the way back: telling it again brings the same code.
            Heard::NotPaid if never_shown => (E::OutcomeUnknown, Step::Create, When::Now),
            _ => (E::OutcomeUnknown, Step::Ask, When::Ladder),
        },
        Step::AskBeforeClose => match heard {
            // Nobody ever saw a code, so nobody can pay.
            Heard::NotFound if never_shown => (E::Closed, Step::AskLate, When::Ladder),
            Heard::NotPaid | Heard::NotFound | Heard::Accepted => (E::OutcomeUnknown, Step::Close, When::Now),
            Heard::Refused | Heard::CodeLost | Heard::Unknown | Heard::Paid | Heard::Closed | Heard::Declined => {
                (E::OutcomeUnknown, Step::AskBeforeClose, When::Ladder)
            }
        },
        Step::Close => match heard {
            Heard::NotFound | Heard::Accepted => (E::OutcomeUnknown, Step::AskAfterClose, When::Now),
            // Refused may mean "already paid": ask first, then try again.
            _ => (E::OutcomeUnknown, Step::AskBeforeClose, When::Ladder),
        },
        Step::AskAfterClose => match heard {
            Heard::NotFound => (E::Closed, Step::AskLate, When::Ladder),
            _ => (E::OutcomeUnknown, Step::AskBeforeClose, When::Ladder),
        },
        Step::AskLate => (E::OutcomeUnknown, Step::AskLate, When::Ladder),
        Step::Hold => (E::OutcomeUnknown, Step::Hold, When::Ladder),
        Step::AskLost => match heard {
            // Nobody has its code, so it is closed while another takes its place.
            Heard::NotPaid | Heard::NotFound => (E::OutcomeUnknown, Step::AskBeforeClose, When::Now),
            _ => (E::OutcomeUnknown, Step::AskLost, When::Ladder),
        },
    }
}

/// Gaps between questions while the customer looks at the code, in seconds; afterwards every two minutes.
const LADDER_SECONDS: [u64; 7] = [3, 5, 8, 13, 21, 34, 60];
const LADDER_THEN: Duration = Duration::from_minutes(2);
/// Somebody waits for a code that has not come: asked at this pace at least, for the first minute.
const NO_CODE_GAP: Duration = Duration::from_seconds(5);
const NO_CODE_FOR: Duration = Duration::from_seconds(60);
/// A customer who showed a code stands at the counter: asked at this pace, and not longer than [`COUNTER_MAX`].
const COUNTER_GAP: Duration = Duration::from_seconds(4);
/// How long somebody may type a password before the charge is reversed. Source: WeChat Pay, code payment: query for
/// 30 to 45 s, then reverse.
pub const COUNTER_MAX: Duration = Duration::from_seconds(45);
/// Questions after the expiry, counted from it: money can still arrive. Also counted from an end before the expiry, as
/// far as they come before it: until then the customer may hold a code that works.
const AFTER_END: [Duration; 6] = [
    Duration::from_minutes(1),
    Duration::from_minutes(5),
    Duration::from_minutes(30),
    Duration::from_hours(2),
    Duration::from_hours(6),
    Duration::from_hours(24),
];

/// When `step` is due, asked at `now` after `queries` questions; `None` when nothing is left to be learned.
pub fn due(attempt: &Attempt, step: Step, when: When, now: Timestamp) -> Option<Timestamp> {
    if when == When::Now {
        return Some(now);
    }
    if step == Step::Ask && attempt.method.flow() == Flow::BarCode && now < attempt.expires_at {
        return Some(now.plus(COUNTER_GAP).min(attempt.expires_at));
    }
    let gap = LADDER_SECONDS.get(attempt.queries as usize).map_or(LADDER_THEN, |s| Duration::from_seconds(*s));
    let waits = attempt.state == AttemptState::Created && now < attempt.created_at.plus(NO_CODE_FOR);
    let gap = if waits { gap.min(NO_CODE_GAP) } else { gap };
    match step {
        Step::Ask if now < attempt.expires_at => Some(now.plus(gap).min(attempt.expires_at)),
        Step::Create | Step::Ask | Step::AskBeforeClose | Step::Close | Step::AskAfterClose | Step::AskLost => {
            Some(now.plus(gap))
        }
        Step::Hold if now < attempt.expires_at => Some(now.plus(gap)),
        // Held beyond its end: asked as late money is, and no more than that.
        Step::AskLate | Step::Hold => match attempt.state {
            AttemptState::Paid => None,
            AttemptState::Created | AttemptState::Pending | AttemptState::Failed | AttemptState::Closed => {
                let behind = |end: Timestamp| AFTER_END.iter().map(move |after| end.plus(*after));
                let early = attempt.ended_at.into_iter().flat_map(behind).filter(|at| *at < attempt.expires_at);
                early.chain(behind(attempt.expires_at)).find(|at| *at > now)
            }
        },
    }
}

/// What the next follow-up of a refund does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefundStep {
    Send,
    Ask,
    /// Sent again after an unknown outcome, and refused: it failed if the channel does not know the first sending either.
    AskRefused,
    /// Say where it goes instead.
    Redirect,
    /// That was perhaps said: ask before it is said again, to anybody.
    AskRedirected,
}

impl RefundStep {
    pub const ALL: [RefundStep; 5] =
        [RefundStep::Send, RefundStep::Ask, RefundStep::AskRefused, RefundStep::Redirect, RefundStep::AskRedirected];
}

/// What the channel's answer means for a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundHeard {
    Processing,
    Succeeded,
    Failed,
    /// This sending was refused for good; an earlier one may have arrived.
    Refused,
    /// The channel does not know the refund.
    NotFound,
    /// The channel wants to know where it goes instead.
    Undeliverable,
    /// It went to the merchant's own account.
    Returned,
    Unknown,
}

impl RefundHeard {
    pub const ALL: [RefundHeard; 8] = [
        RefundHeard::Processing,
        RefundHeard::Succeeded,
        RefundHeard::Failed,
        RefundHeard::Refused,
        RefundHeard::NotFound,
        RefundHeard::Undeliverable,
        RefundHeard::Returned,
        RefundHeard::Unknown,
    ];
}

/// Sent once and asked for ever after; sent again only when the channel says that it does not know it.
pub fn after_refund(step: RefundStep, heard: RefundHeard) -> (RefundEvent, RefundStep) {
    match heard {
        RefundHeard::Succeeded => (RefundEvent::Succeeded, RefundStep::Ask),
        RefundHeard::Failed => (RefundEvent::Refused, RefundStep::Ask),
        RefundHeard::Processing => (RefundEvent::Accepted, RefundStep::Ask),
        RefundHeard::Returned => (RefundEvent::Returned, RefundStep::Ask),
        RefundHeard::Refused => match step {
            RefundStep::Send | RefundStep::Ask | RefundStep::AskRefused => {
                (RefundEvent::OutcomeUnknown, RefundStep::AskRefused)
            }
            // Nothing was moved, and nothing is on its way: a person may decide again.
            RefundStep::Redirect => (RefundEvent::Undeliverable, RefundStep::Ask),
            RefundStep::AskRedirected => (RefundEvent::OutcomeUnknown, RefundStep::AskRedirected),
        },
        RefundHeard::Undeliverable => match step {
            RefundStep::Send | RefundStep::Ask | RefundStep::AskRefused | RefundStep::AskRedirected => {
                (RefundEvent::Undeliverable, RefundStep::Ask)
            }
            // Said before this was heard, or not understood: it is asked what became of it.
            RefundStep::Redirect => (RefundEvent::OutcomeUnknown, RefundStep::AskRedirected),
        },
        RefundHeard::Unknown => match step {
            RefundStep::Send | RefundStep::Ask => (RefundEvent::OutcomeUnknown, RefundStep::Ask),
            RefundStep::AskRefused => (RefundEvent::OutcomeUnknown, RefundStep::AskRefused),
            RefundStep::Redirect | RefundStep::AskRedirected => {
                (RefundEvent::OutcomeUnknown, RefundStep::AskRedirected)
            }
        },
        RefundHeard::NotFound => match step {
            RefundStep::Send => (RefundEvent::OutcomeUnknown, RefundStep::Ask),
            RefundStep::Ask => (RefundEvent::OutcomeUnknown, RefundStep::Send),
            RefundStep::AskRefused => (RefundEvent::Refused, RefundStep::Ask),
            // It was known before.
            RefundStep::Redirect | RefundStep::AskRedirected => {
                (RefundEvent::OutcomeUnknown, RefundStep::AskRedirected)
            }
        },
    }
}

/// Gaps between questions about a refund; afterwards every six hours, for as long as it takes.
const REFUND_LADDER: [Duration; 8] = [
    Duration::from_seconds(2),
    Duration::from_seconds(5),
    Duration::from_seconds(15),
    Duration::from_seconds(60),
    Duration::from_minutes(5),
    Duration::from_minutes(15),
    Duration::from_hours(1),
    Duration::from_hours(3),
];
const REFUND_LADDER_THEN: Duration = Duration::from_hours(6);
/// A sending whose outcome nobody knows may still be on its way to the channel. So long after a later one was refused it is
/// there or lost, and not knowing the refund means that it failed.
const REFUSAL_SETTLES: Duration = Duration::from_minutes(2);

/// When the refund's next step is due. What the channel says it does not know is sent again at once: the customer waits.
pub fn refund_due(refund: &Refund, now: Timestamp) -> Timestamp {
    let gap = REFUND_LADDER.get(refund.queries as usize).copied().unwrap_or(REFUND_LADDER_THEN);
    match refund.step {
        RefundStep::Send | RefundStep::Redirect => now,
        RefundStep::Ask | RefundStep::AskRedirected => now.plus(gap),
        RefundStep::AskRefused => now.plus(gap.max(REFUSAL_SETTLES)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_following_table_is_as_printed() {
        let mut text = String::new();
        for state in [AttemptState::Created, AttemptState::Pending] {
            for step in Step::ALL {
                for heard in Heard::ALL {
                    let (event, next, when) = after(state, step, heard);
                    text += &format!(
                        "{:<8} {:<15} heard {:<9} -> {:<15} then {:<15} {when:?}\n",
                        state.code(),
                        format!("{step:?}"),
                        format!("{heard:?}"),
                        format!("{event:?}"),
                        format!("{next:?}")
                    );
                }
            }
        }
        assert_eq!(text, include_str!("../../tests/it/follow_table.txt"));
    }

    #[test]
    fn where_a_refund_goes_is_said_again_only_after_asking() {
        for heard in RefundHeard::ALL {
            let (event, next) = after_refund(RefundStep::Redirect, heard);
            assert_ne!(next, RefundStep::Redirect, "{heard:?}");
            let asks_a_person = event == RefundEvent::Undeliverable;
            assert_eq!(
                asks_a_person,
                heard == RefundHeard::Refused,
                "{heard:?}: only a refusal says that nothing moved"
            );
        }
        for step in RefundStep::ALL {
            for heard in [RefundHeard::Unknown, RefundHeard::Processing, RefundHeard::Undeliverable] {
                let (event, _) = after_refund(step, heard);
                assert!(!matches!(event, RefundEvent::Succeeded | RefundEvent::Refused | RefundEvent::Returned));
            }
        }
    }

    #[test]
    fn only_the_channels_word_ends_an_attempt() {
        for state in AttemptState::ALL {
            for step in Step::ALL {
                for heard in [Heard::Unknown, Heard::NotPaid, Heard::Accepted] {
                    let (event, _, _) = after(state, step, heard);
                    assert!(
                        matches!(event, AttemptEvent::OutcomeUnknown | AttemptEvent::Accepted),
                        "{state:?} {step:?} {heard:?} must not end the attempt"
                    );
                }
            }
        }
    }
}
