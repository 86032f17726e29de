//! HTTP Message Signatures (RFC 9421) with content digests (RFC 9530): who sent these bytes, and that nobody changed them.
//!
//! Everything is checked over the raw bytes, before any of them is parsed. A signature from any library is accepted as
//! long as it covers what matters: labels, parameter order, further covered components and further signatures are free.
//! What a refusal tells depends on the request alone, never on whether a key exists or how far a forgery got.

mod base;
mod digest;
mod input;
mod key;
mod reply;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use actix_web::http::header::HeaderMap;

use self::base::{Origin, SignatureBase};
pub use self::digest::content_digest;
use self::input::Candidate;
pub use self::key::{Algorithm, BadKey, VerifyingKey};
pub use self::reply::{ReplyKey, SignedReply, sign_reply};
use super::error::{ErrorCode, Problem, Words};
use crate::domain::ids::KeyId;
use crate::domain::time::{Duration, Timestamp};

/// How far `created` may lie from our clock, in either direction.
pub const CREATED_WINDOW: Duration = Duration::from_seconds(300);
/// Characters of a nonce.
pub const NONCE_CHARS: std::ops::RangeInclusive<usize> = 16..=128;
/// Signatures of one message that are looked at.
const SIGNATURES_MAX: usize = 4;

/// What of a request a signature can cover. All of it is as it came over the wire.
pub struct Message<'a> {
    pub method: &'a str,
    /// Undecoded, without the query.
    pub path: &'a str,
    /// Undecoded, without its question mark.
    pub query: Option<&'a str>,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    /// How the client reached this very socket: `http` or `https`.
    pub scheme: &'a str,
    /// Where clients reach us through a proxy, such as `https://pay.shop.example`. A client signs the address that it
    /// calls, and a proxy may call us by another.
    pub public_url: Option<&'a url::Url>,
}

/// A record of the key directory that may verify signatures.
pub trait SignatureKey {
    /// `None` for keys of another kind, such as bearer tokens.
    fn verifying_key(&self) -> Option<&VerifyingKey>;
}

/// A request whose signature is good. Whether its nonce is new is for the caller to find out, in the same commit as the
/// request's effect.
pub struct Verified<T> {
    pub key: Arc<T>,
    pub nonce: String,
    /// When `created` falls out of the window, and the nonce need not be remembered any longer.
    pub nonce_until: Timestamp,
}

impl<T> std::fmt::Debug for Verified<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verified").field("nonce", &self.nonce).finish_non_exhaustive()
    }
}

/// Whether a request carries any signature header at all.
pub fn is_signed(headers: &HeaderMap) -> bool {
    headers.contains_key("signature-input") || headers.contains_key("signature")
}

/// Checks a signed request. `find` looks a key up by `keyid`.
pub fn verify<T: SignatureKey>(
    message: &Message<'_>,
    now: Timestamp,
    find: impl Fn(&str) -> Option<Arc<T>>,
) -> Result<Verified<T>, Problem> {
    let mut named = input::parse(message.headers)?;
    named.retain(|candidate| candidate.keyid.is_some());
    // A proxy on the way may have added its own signature: those whose key id could be ours go first.
    named.sort_by_key(|candidate| !candidate.keyid.as_deref().is_some_and(|id| id.starts_with(KeyId::PREFIX)));
    // The first good one counts; without any, the first refusal is told.
    let mut refusal = None;
    for candidate in named.into_iter().take(SIGNATURES_MAX) {
        let found = candidate.keyid.as_deref().and_then(&find);
        let key = found.as_ref().and_then(|key| key.verifying_key());
        match check(message, &candidate, key, now) {
            Ok(()) => {
                let key = found.expect("without a key nothing verifies");
                let nonce = candidate.nonce.expect("the form was checked");
                let created = candidate.created.expect("the form was checked");
                return Ok(Verified { key, nonce, nonce_until: created.plus(CREATED_WINDOW) });
            }
            Err(problem) => refusal = refusal.or(Some(problem)),
        }
    }
    Err(refusal.unwrap_or_else(|| incomplete(&["keyid"])))
}

/// Form, time, body, and only then the signature itself. The same steps are taken whether the key exists or not.
fn check(
    message: &Message<'_>,
    candidate: &Candidate,
    key: Option<&VerifyingKey>,
    now: Timestamp,
) -> Result<(), Problem> {
    check_form(message, candidate)?;
    check_time(candidate, now)?;
    if !message.body.is_empty() || candidate.covers("content-digest") {
        digest::check(message.headers, message.body)?;
    }
    let reached = SignatureBase::build(message, candidate, &|| Origin::of_host(message))?;
    let algorithm_fits = |key: &VerifyingKey| candidate.alg.as_deref().is_none_or(|alg| alg == key.algorithm().name());
    let verifies = |base: &SignatureBase| match key.filter(|key| algorithm_fits(key)) {
        Some(key) => key.verify(base.as_bytes(), &candidate.signature),
        None => VerifyingKey::verify_in_vain(base.as_bytes(), &candidate.signature),
    };
    if verifies(&reached) {
        return Ok(());
    }
    if let Some(public_url) = message.public_url.filter(|_| candidate.names_origin()) {
        let public = SignatureBase::build(message, candidate, &|| Origin::of_url(public_url))?;
        if verifies(&public) {
            return Ok(());
        }
    }
    Err(Problem::new(ErrorCode::SignatureInvalid).signature_base(reached.to_show(candidate)))
}

fn check_form(message: &Message<'_>, candidate: &Candidate) -> Result<(), Problem> {
    // Both of these hold path and query.
    let whole_target = candidate.covers("@target-uri") || candidate.covers("@request-target");
    let mut missing = Vec::new();
    let mut need = |there: bool, name| {
        if !there {
            missing.push(name);
        }
    };
    need(candidate.covers("@method"), "@method");
    need(whole_target || candidate.covers("@path"), "@path");
    need(message.query.is_none() || whole_target || candidate.covers("@query"), "@query");
    need(message.body.is_empty() || candidate.covers("content-digest"), "content-digest");
    need(candidate.created.is_some(), "created");
    let nonce_chars = candidate.nonce.as_ref().map_or(0, |nonce| nonce.len());
    need(NONCE_CHARS.contains(&nonce_chars), "nonce");
    if missing.is_empty() { Ok(()) } else { Err(incomplete(&missing)) }
}

fn incomplete(missing: &[&str]) -> Problem {
    let list = missing.join(", ");
    Problem::new(ErrorCode::SignatureIncomplete).detail(Words::new(
        format!("签名缺少或不符合要求：{list}"),
        format!("the signature lacks, or has in an unusable form: {list}"),
    ))
}

fn check_time(candidate: &Candidate, now: Timestamp) -> Result<(), Problem> {
    let fresh = candidate
        .created
        .is_some_and(|created| now <= created.plus(CREATED_WINDOW) && created <= now.plus(CREATED_WINDOW));
    if fresh && candidate.expires.is_none_or(|expires| now <= expires) {
        return Ok(());
    }
    let words = Words::new(
        format!("服务器时间为 {now}，created 须在前后 300 秒以内，expires 须未过"),
        format!("the server's time is {now}; `created` must lie within 300 seconds of it and `expires` after it"),
    );
    Err(Problem::new(ErrorCode::SignatureExpired).detail(words))
}
