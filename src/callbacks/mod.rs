//! Messages to merchants: how one attempt is signed, sent and written down, and when the next one follows.
//!
//! Everything but [`attempt`] is pure. Queue, storage and concurrency belong to the callers.

/// When an endpoint as a whole is called.
pub mod breaker;
/// What went wrong, in a sentence.
pub mod diagnosis;
/// What came of an attempt.
pub mod outcome;
/// When a message is tried again.
pub mod schedule;
/// Standard Webhooks signatures.
pub mod signature;
/// What is kept of an attempt.
pub mod transcript;

pub use outcome::Outcome;
pub use signature::{SigningSecrets, WebhookSecret};
pub use transcript::{Transcript, Trigger};

use crate::domain::ids::EventId;
use crate::domain::time::Timestamp;
use crate::env::Clock;
use crate::env::target::TargetPolicy;
use crate::env::transport::{Limits, Method, OutgoingRequest, Transport};

/// Who calls, so that a shop's filter can let us in by name.
pub const USER_AGENT: &str = concat!("Coffer/", env!("CARGO_PKG_VERSION"));

/// The request of one attempt, signed for its time. `body` goes out byte for byte, as it was stored.
pub fn build_request(
    event: EventId,
    body: Vec<u8>,
    url: &str,
    secrets: &SigningSecrets,
    now: Timestamp,
) -> OutgoingRequest {
    let id = event.to_string();
    let signature = secrets.sign(&id, now, &body);
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("user-agent", USER_AGENT.to_owned()),
        ("webhook-id", id),
        ("webhook-timestamp", now.as_seconds().to_string()),
        ("webhook-signature", signature),
    ];
    OutgoingRequest {
        method: Method::Post,
        url: url.to_owned(),
        headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
        body,
        identity: None,
    }
}

/// Sends once and writes down what happened; never fails, because a failure is an outcome too.
pub async fn attempt(
    transport: &dyn Transport,
    clock: &dyn Clock,
    request: OutgoingRequest,
    trigger: Trigger,
    policy: &TargetPolicy,
    limits: Limits,
) -> Transcript {
    let started_at = clock.now();
    let started_ms = clock.monotonic_ms();
    let head = transcript::Head::of(&request);
    let result = transport.send(request, policy, limits).await;
    let duration_ms = clock.monotonic_ms().saturating_sub(started_ms);
    head.finish(trigger, started_at, duration_ms, &result, clock.now())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::SystemEntropy;

    #[test]
    fn a_request_names_type_sender_message_time_and_signature() {
        let now = Timestamp::from_millis(1_800_000_000_999);
        let event = EventId::new(now, [7; 10]);
        let secrets = SigningSecrets::from(WebhookSecret::generate(&SystemEntropy));
        let request = build_request(event, b"{}".to_vec(), "https://shop.example/hook", &secrets, now);
        let signature = secrets.sign(&event.to_string(), now, b"{}");
        let expected = [
            ("content-type", "application/json"),
            ("user-agent", USER_AGENT),
            ("webhook-id", &event.to_string()),
            ("webhook-timestamp", "1800000000"),
            ("webhook-signature", &signature),
        ];
        assert_eq!(request.headers, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert_eq!((request.method, request.body.as_slice()), (Method::Post, b"{}".as_slice()));
        assert!(!event.to_string().contains('.'), "a dot would let id and time be swapped under one signature");
    }

    #[test]
    fn each_attempt_is_signed_for_its_own_time() {
        let first = Timestamp::from_seconds(1_800_000_000);
        let event = EventId::new(first, [7; 10]);
        let secrets = SigningSecrets::from(WebhookSecret::generate(&SystemEntropy));
        let build = |now| build_request(event, b"{}".to_vec(), "https://shop.example/", &secrets, now).headers;
        let (a, b) = (build(first), build(first.plus(schedule::LADDER[1])));
        assert_eq!(a[2], b[2], "the message's id stays");
        assert_ne!(a[3], b[3]);
        assert_ne!(a[4], b[4]);
    }
}
