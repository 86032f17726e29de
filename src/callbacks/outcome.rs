//! What came of one attempt, reduced to what decisions need: delivered, answered otherwise, or no answer.

use serde::{Deserialize, Serialize};

use crate::domain::time::{Duration, Timestamp};
use crate::env::transport::{OutgoingResponse, SendError};

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// An HTTP answer of any status; 2xx means that the shop has taken the message.
    Answered { status: u16, retry_after: Option<Duration> },
    /// No answer.
    Failed(SendError),
}

impl Outcome {
    /// `now` turns a `Retry-After` that names a moment into a span.
    pub fn of(result: &Result<OutgoingResponse, SendError>, now: Timestamp) -> Self {
        match result {
            Ok(response) => Outcome::Answered {
                status: response.status,
                retry_after: response.header("retry-after").and_then(|value| parse_retry_after(value, now)),
            },
            Err(error) => Outcome::Failed(error.clone()),
        }
    }

    pub fn is_delivered(&self) -> bool {
        match self {
            Outcome::Answered { status, .. } => (200..300).contains(status),
            Outcome::Failed(_) => false,
        }
    }

    /// The shop says that this address is closed for good.
    pub fn is_gone(&self) -> bool {
        match self {
            Outcome::Answered { status, .. } => *status == 410,
            Outcome::Failed(_) => false,
        }
    }

    /// A stable word for filters and metrics.
    pub fn class(&self) -> &'static str {
        match self {
            Outcome::Answered { status, .. } => match status {
                200..=299 => "delivered",
                300..=399 => "redirect",
                410 => "gone",
                429 => "throttled",
                400..=499 => "rejected",
                500..=599 => "server_error",
                _ => "unexpected_status",
            },
            Outcome::Failed(error) => error.class(),
        }
    }
}

/// Seconds or an HTTP date (RFC 9110, 10.2.3). A date in the past is zero.
fn parse_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // So many digits that they do not fit are still a wish to wait long.
        return Some(Duration::from_seconds(value.parse().unwrap_or(u64::MAX)));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?;
    Some(Timestamp::from_millis(date.timestamp().as_millisecond()).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        let now = Timestamp::parse_rfc3339("1994-11-06T08:49:00Z").unwrap();
        for (value, expected) in [
            ("120", Some(Duration::from_seconds(120))),
            (" 0 ", Some(Duration::ZERO)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(Duration::from_seconds(37))),
            ("Sun, 06 Nov 1994 08:48:00 GMT", Some(Duration::ZERO)),
            ("-5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(parse_retry_after(value, now), expected, "{value:?}");
        }
        assert!(parse_retry_after("99999999999999999999999", now).unwrap() > Duration::from_days(365));
    }

    #[test]
    fn only_2xx_is_delivered() {
        for (status, class) in [
            (200, "delivered"),
            (299, "delivered"),
            (101, "unexpected_status"),
            (302, "redirect"),
            (404, "rejected"),
            (410, "gone"),
            (429, "throttled"),
            (503, "server_error"),
            (999, "unexpected_status"),
        ] {
            let outcome = Outcome::Answered { status, retry_after: None };
            assert_eq!((outcome.class(), outcome.is_delivered()), (class, class == "delivered"), "{status}");
        }
        assert!(!Outcome::Failed(SendError::Dns).is_delivered());
    }
}
