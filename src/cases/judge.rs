//! What the shop's answers and Coffer's own records mean. Pure.

use super::catalogue::Fault;
use super::run::{Finding, Said, Weight};
use crate::callbacks::diagnosis::{diagnose, is_web_page};
use crate::callbacks::{Outcome, Transcript};
use crate::domain::event::EventType;
use crate::domain::payment::PaymentState;
use crate::domain::time::Duration;
use crate::env::transport::{Phase, SendError};
use crate::lang::Lang;

/// An answer that takes longer will run into the limit of 15 s on a busy day.
pub const SLOW: Duration = Duration::from_seconds(5);

/// A message that the shop has to take. `refused` is what another answer than 2xx means, where it means something special.
pub fn genuine(transcript: &Transcript, refused: Option<Fault>) -> Option<Finding> {
    let (fault, weight) = match &transcript.outcome {
        Outcome::Failed(error) => (no_answer(error), Weight::Fail),
        Outcome::Answered { status, .. } => match *status {
            200..=299 if is_web_page(transcript) => (Fault::WebPage, Weight::Look),
            200..=299 if transcript.duration_ms > SLOW.as_millis() => (Fault::Slow, Weight::Look),
            200..=299 => return None,
            status => {
                let usual = match status {
                    300..=399 => Fault::Redirects,
                    500..=599 => Fault::Crashes,
                    _ => Fault::Refuses,
                };
                (refused.unwrap_or(usual), Weight::Fail)
            }
        },
    };
    let seen = if fault == Fault::Slow { took(transcript.duration_ms) } else { seen(transcript) };
    Some(Finding { fault, weight, url: Some(transcript.url.clone()), seen: Some(seen) })
}

/// A message that the shop must not believe. `believed` is what a 2xx means.
pub fn forgery(transcript: &Transcript, believed: Fault) -> Option<Finding> {
    let (fault, weight) = match &transcript.outcome {
        Outcome::Failed(_) => (Fault::ForgeryUnclear, Weight::Look),
        Outcome::Answered { status, .. } => match *status {
            200..=299 => (believed, Weight::Fail),
            400..=499 => return None,
            _ => (Fault::ForgeryUnclear, Weight::Look),
        },
    };
    let seen = match transcript.status() {
        Some(status @ 200..=299) => Said::new(format!("应答是 HTTP {status}。"), format!("It answered HTTP {status}.")),
        Some(_) | None => seen(transcript),
    };
    Some(Finding { fault, weight, url: Some(transcript.url.clone()), seen: Some(seen) })
}

fn no_answer(error: &SendError) -> Fault {
    match error {
        SendError::Timeout { phase: Phase::Reply } => Fault::TimedOut,
        SendError::Timeout { phase: Phase::Lookup | Phase::Connect | Phase::Handshake }
        | SendError::Blocked { .. }
        | SendError::InvalidRequest
        | SendError::Dns
        | SendError::Connect { .. }
        | SendError::Tls { .. }
        | SendError::Protocol => Fault::NoAnswer,
    }
}

fn seen(transcript: &Transcript) -> Said {
    Said::new(diagnose(transcript, Lang::Zh), diagnose(transcript, Lang::En))
}

fn took(ms: u64) -> Said {
    let (whole, tenth) = (ms / 1000, ms % 1000 / 100);
    Said::new(format!("用了 {whole}.{tenth} 秒。"), format!("It took {whole}.{tenth} s."))
}

/// How a payment has to stand at the end of a story.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    pub state: PaymentState,
    pub late: bool,
    /// Minor units.
    pub paid: u64,
    pub refunded: u64,
    /// How often each of these was told; others do not matter.
    pub events: &'static [(EventType, usize)],
}

/// How it stands.
#[derive(Clone, Debug)]
pub struct Found {
    pub state: PaymentState,
    pub late: bool,
    pub paid: u64,
    pub refunded: u64,
    pub events: Vec<EventType>,
    /// Journal entries of the payment.
    pub entries: usize,
}

/// Coffer's own side of a story.
pub fn payment(found: &Found, expected: &Expected) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |fault, zh: String, en: String| {
        findings.push(Finding { fault, weight: Weight::Fail, url: None, seen: Some(Said::new(zh, en)) });
    };
    let stands = |state: PaymentState, late, paid: u64, refunded: u64| {
        format!("{}{}, {paid} − {refunded}", state.code(), if late { " (late)" } else { "" })
    };
    let is = stands(found.state, found.late, found.paid, found.refunded);
    let wanted = stands(expected.state, expected.late, expected.paid, expected.refunded);
    if is != wanted {
        add(Fault::WrongState, format!("应为 {wanted}，实际 {is}。"), format!("Expected {wanted}, found {is}."));
    }
    for (kind, times) in expected.events {
        let told = found.events.iter().filter(|event| *event == kind).count();
        if told != *times {
            let kind = kind.code();
            add(
                Fault::WrongEvents,
                format!("{kind} 应为 {times} 个，实际 {told} 个。"),
                format!("Expected {times} × {kind}, found {told}."),
            );
        }
    }
    if (found.entries > 0) != (expected.paid > 0) {
        let entries = found.entries;
        add(Fault::WrongBooks, format!("有 {entries} 条分录。"), format!("There are {entries} journal entries."));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callbacks::Trigger;
    use crate::domain::time::Timestamp;
    use crate::env::transport::ConnectFault;

    fn transcript(outcome: Outcome, duration_ms: u64, reply: &str) -> Transcript {
        Transcript {
            trigger: Trigger::Test,
            started_at: Timestamp::from_seconds(1_800_000_000),
            duration_ms,
            url: "https://shop.example/hook".into(),
            address: None,
            request_headers: Vec::new(),
            outcome,
            reply_headers: Vec::new(),
            reply_excerpt: reply.to_owned(),
            reply_cut: false,
        }
    }

    fn answered(status: u16) -> Transcript {
        transcript(Outcome::Answered { status, retry_after: None }, 12, "")
    }

    fn fault(finding: Option<Finding>) -> Option<(Fault, Weight)> {
        finding.map(|finding| (finding.fault, finding.weight))
    }

    #[test]
    fn a_genuine_message_wants_2xx_and_each_other_answer_has_its_fault() {
        for (status, expected) in [
            (200, None),
            (204, None),
            (301, Some(Fault::Redirects)),
            (400, Some(Fault::Refuses)),
            (404, Some(Fault::Refuses)),
            (410, Some(Fault::Refuses)),
            (500, Some(Fault::Crashes)),
            (503, Some(Fault::Crashes)),
        ] {
            assert_eq!(fault(genuine(&answered(status), None)), expected.map(|f| (f, Weight::Fail)), "{status}");
        }
        let repeat = genuine(&answered(500), Some(Fault::RepeatRefused));
        assert_eq!(fault(repeat), Some((Fault::RepeatRefused, Weight::Fail)));
    }

    #[test]
    fn slow_late_and_missing_answers_are_told_apart() {
        let ok = || Outcome::Answered { status: 200, retry_after: None };
        assert_eq!(fault(genuine(&transcript(ok(), 5_000, ""), None)), None);
        let slow = genuine(&transcript(ok(), 6_249, ""), None).unwrap();
        assert_eq!((slow.fault, slow.seen.unwrap().en.as_str()), (Fault::Slow, "It took 6.2 s."));
        let page = genuine(&transcript(ok(), 1, "<!doctype html>"), None);
        assert_eq!(fault(page), Some((Fault::WebPage, Weight::Look)));
        for (error, expected) in [
            (SendError::Timeout { phase: Phase::Reply }, Fault::TimedOut),
            (SendError::Connect { fault: ConnectFault::Refused }, Fault::NoAnswer),
            (SendError::Protocol, Fault::NoAnswer),
        ] {
            let found = genuine(&transcript(Outcome::Failed(error), 1, ""), Some(Fault::RepeatRefused));
            assert_eq!(fault(found), Some((expected, Weight::Fail)), "silence is silence, whatever was asked");
        }
    }

    #[test]
    fn a_forgery_wants_4xx() {
        let judged = |status| fault(forgery(&answered(status), Fault::ForgeryBelieved));
        assert_eq!(judged(204), Some((Fault::ForgeryBelieved, Weight::Fail)));
        assert_eq!(judged(500), Some((Fault::ForgeryUnclear, Weight::Look)));
        assert_eq!(judged(302), Some((Fault::ForgeryUnclear, Weight::Look)));
        assert!([400, 401, 403, 422].into_iter().all(|status| judged(status).is_none()));
    }

    #[test]
    fn a_payment_is_judged_by_state_sums_events_and_books() {
        let expected = Expected {
            state: PaymentState::Paid,
            late: false,
            paid: 100,
            refunded: 0,
            events: &[(EventType::PaymentPaid, 1), (EventType::PaymentFailed, 0)],
        };
        let right = Found {
            state: PaymentState::Paid,
            late: false,
            paid: 100,
            refunded: 0,
            events: vec![EventType::PaymentCreated, EventType::PaymentPaid],
            entries: 1,
        };
        assert_eq!(payment(&right, &expected), []);
        let faults = |found: Found| payment(&found, &expected).iter().map(|f| f.fault).collect::<Vec<_>>();
        assert_eq!(faults(Found { late: true, ..right.clone() }), [Fault::WrongState]);
        assert_eq!(faults(Found { refunded: 1, ..right.clone() }), [Fault::WrongState]);
        assert_eq!(faults(Found { events: vec![EventType::PaymentPaid; 2], ..right.clone() }), [Fault::WrongEvents]);
        assert_eq!(faults(Found { entries: 0, ..right }), [Fault::WrongBooks]);
    }
}
