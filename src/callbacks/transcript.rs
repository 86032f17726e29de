//! What is kept of one attempt, so that a shop's developer sees what we saw. Holds no secret and no control characters.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::outcome::Outcome;
use crate::domain::time::Timestamp;
use crate::env::transport::{OutgoingRequest, OutgoingResponse, SendError};

/// Bytes of the reply that are kept.
pub const EXCERPT_MAX: usize = 4096;
/// Bytes of one reply header that are kept.
pub const HEADER_VALUE_MAX: usize = 256;

/// The reply headers that explain a failure.
const HEADERS_KEPT: [&str; 4] = ["content-type", "location", "retry-after", "server"];
/// The request headers that must not be kept as they are.
const HEADERS_MASKED: [&str; 2] = ["webhook-signature", "authorization"];

/// One attempt. Written once, never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcript {
    pub trigger: Trigger,
    pub started_at: Timestamp,
    pub duration_ms: u64,
    /// Where it was sent to; the endpoint's address may change later.
    pub url: String,
    /// Who answered; unknown when nobody did.
    pub address: Option<SocketAddr>,
    /// As sent, with every signature replaced by dots.
    pub request_headers: Vec<(String, String)>,
    pub outcome: Outcome,
    pub reply_headers: Vec<(String, String)>,
    /// The beginning of the reply as text.
    pub reply_excerpt: String,
    /// The reply was longer than the excerpt.
    pub reply_cut: bool,
}

/// Why an attempt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trigger {
    /// The schedule.
    Auto,
    /// A person sent it again; the schedule is not touched.
    Manual,
    /// A test event.
    Test,
}

impl Transcript {
    /// The answer's status; none when there was no answer.
    pub fn status(&self) -> Option<u16> {
        match &self.outcome {
            Outcome::Answered { status, .. } => Some(*status),
            Outcome::Failed(_) => None,
        }
    }

    /// A reply header that was kept; `name` in lower case.
    pub fn reply_header(&self, name: &str) -> Option<&str> {
        self.reply_headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// What a transcript needs of a request that is about to be given away.
pub(super) struct Head {
    url: String,
    headers: Vec<(String, String)>,
}

impl Head {
    pub(super) fn of(request: &OutgoingRequest) -> Self {
        let headers = request.headers.iter().map(|(name, value)| (name.clone(), masked(name, value))).collect();
        Self { url: request.url.clone(), headers }
    }

    pub(super) fn finish(
        self,
        trigger: Trigger,
        started_at: Timestamp,
        duration_ms: u64,
        result: &Result<OutgoingResponse, SendError>,
        now: Timestamp,
    ) -> Transcript {
        let reply = result.as_ref().ok();
        let (reply_excerpt, reply_cut) = reply.map(|r| excerpt(&r.body, r.truncated)).unwrap_or_default();
        Transcript {
            trigger,
            started_at,
            duration_ms,
            url: self.url,
            address: reply.map(|r| r.address),
            request_headers: self.headers,
            outcome: Outcome::of(result, now),
            reply_headers: reply.map(kept_headers).unwrap_or_default(),
            reply_excerpt,
            reply_cut,
        }
    }
}

/// Version and number of signatures stay visible, because they tell whether two secrets were in use.
fn masked(name: &str, value: &str) -> String {
    if !HEADERS_MASKED.iter().any(|secret| name.eq_ignore_ascii_case(secret)) {
        return value.to_owned();
    }
    let entries: Vec<_> = value
        .split(' ')
        .map(|entry| entry.split_once(',').map_or("…".to_owned(), |(version, _)| format!("{version},…")))
        .collect();
    entries.join(" ")
}

fn kept_headers(reply: &OutgoingResponse) -> Vec<(String, String)> {
    let kept = reply.headers.iter().filter(|(name, _)| HEADERS_KEPT.contains(&name.as_str()));
    kept.take(HEADERS_KEPT.len()).map(|(name, value)| (name.clone(), printable(value, HEADER_VALUE_MAX))).collect()
}

fn excerpt(body: &[u8], truncated: bool) -> (String, bool) {
    let start = &body[..body.len().min(EXCERPT_MAX)];
    let cut = truncated || start.len() < body.len();
    let text = String::from_utf8_lossy(start);
    // A character that the cut went through is not a wrong character.
    let text = if cut { text.trim_end_matches(char::REPLACEMENT_CHARACTER) } else { &text };
    let shown = printable(text, EXCERPT_MAX);
    (shown, cut)
}

/// Keeps line breaks and tabs, drops what could steer a terminal or turn text around, and cuts to `max` bytes.
fn printable(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    for c in text.chars().filter(|c| matches!(c, '\n' | '\t') || !steers(*c)) {
        if out.len() + c.len_utf8() > max {
            break;
        }
        out.push(c);
    }
    out
}

/// Control characters, the byte order mark, and the marks that reorder text (Unicode UAX 9, explicit formatting).
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::transport::Method;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn request() -> OutgoingRequest {
        let headers = [("webhook-id", "evt_1"), ("webhook-signature", "v1,c2VjcmV0 v1,b2xkZXI=")];
        OutgoingRequest {
            method: Method::Post,
            url: "https://shop.example/hook".into(),
            headers: headers.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
            body: b"{}".to_vec(),
            identity: None,
        }
    }

    fn answered(headers: &[(&str, &str)], body: &[u8], truncated: bool) -> Transcript {
        let response = OutgoingResponse {
            status: 200,
            headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            body: body.to_vec(),
            truncated,
            address: "127.0.0.1:443".parse().unwrap(),
            connect_ms: 1,
            total_ms: 2,
        };
        Head::of(&request()).finish(Trigger::Auto, NOW, 2, &Ok(response), NOW)
    }

    #[test]
    fn signatures_are_not_kept() {
        let transcript = answered(&[], b"", false);
        assert_eq!(transcript.request_headers[1].1, "v1,… v1,…");
        assert_eq!(transcript.request_headers[0].1, "evt_1");
        assert_eq!(masked("Authorization", "Bearer canary"), "… …");
    }

    #[test]
    fn control_and_reordering_characters_are_dropped() {
        let transcript = answered(
            &[("location", "/a\u{1b}[31m\u{202e}b")],
            "ok\r\n\x1b[2J\u{feff}\u{202e}行\0\u{85}\tend".as_bytes(),
            false,
        );
        assert_eq!(transcript.reply_excerpt, "ok\n[2J行\tend");
        assert_eq!(transcript.reply_header("location"), Some("/a[31mb"));
    }

    #[test]
    fn the_first_four_kilobytes_are_kept_and_no_character_is_halved() {
        let long = "钱".repeat(2000);
        let transcript = answered(&[], long.as_bytes(), false);
        assert_eq!(transcript.reply_excerpt, "钱".repeat(EXCERPT_MAX / 3));
        assert!(transcript.reply_cut);
        assert!(!answered(&[], &[b'a'; EXCERPT_MAX], false).reply_cut);
        assert!(answered(&[], b"short", true).reply_cut);
    }

    #[test]
    fn bytes_that_are_not_utf8_become_replacement_characters_within_the_limit() {
        assert_eq!(answered(&[], b"\xff", false).reply_excerpt, "\u{fffd}");
        assert!(
            answered(&[], &[b"\xff".repeat(EXCERPT_MAX - 1), b"a".to_vec()].concat(), false).reply_excerpt.len()
                <= EXCERPT_MAX
        );
    }

    #[test]
    fn only_headers_that_explain_are_kept() {
        let long = "a".repeat(1000);
        let transcript = answered(&[("set-cookie", "sid=1"), ("server", &long)], b"", false);
        assert_eq!(transcript.reply_headers, [("server".to_owned(), "a".repeat(HEADER_VALUE_MAX))]);
    }

    #[test]
    fn a_failure_has_no_address_and_no_reply() {
        let transcript = Head::of(&request()).finish(Trigger::Test, NOW, 5, &Err(SendError::Dns), NOW);
        assert_eq!((transcript.address, transcript.status()), (None, None));
        assert_eq!(transcript.outcome, Outcome::Failed(SendError::Dns));
        assert_eq!(transcript.reply_excerpt, "");
    }
}
