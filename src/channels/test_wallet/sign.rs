//! Signatures of the wallet's messages: HMAC-SHA256 on what the merchant sends, Ed25519 on what the provider sends.
//!
//! Both cover the raw bytes of the body and a time, as WeChat Pay API v3 does; the provider's own side in `sandbox`
//! uses the other halves of these functions.

use data_encoding::{BASE64, HEXLOWER};
use ring::{hmac, signature};

use crate::channels::Sealing;
use crate::channels::text::{lines, single};
use crate::crypto::Secret;
use crate::domain::time::{Duration, Timestamp};

/// The scheme in the `Authorization` header.
pub const SCHEME: &str = "WALLET-HMAC-SHA256";
/// Messages whose time differs from ours by more are refused. The same five minutes as at WeChat Pay.
pub const FRESHNESS: Duration = Duration::from_minutes(5);
/// A shorter HMAC key can be guessed; an empty one means that nobody entered a key.
pub const HMAC_KEY_MIN_BYTES: usize = 32;

pub const TIMESTAMP_HEADER: &str = "wallet-timestamp";
pub const NONCE_HEADER: &str = "wallet-nonce";
pub const SIGNATURE_HEADER: &str = "wallet-signature";

/// Longest nonce that is read, in bytes.
const NONCE_MAX: usize = 64;

/// Why a signature proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadSignature {
    /// A header or a part of one is absent, empty, doubled or unreadable.
    Missing(&'static str),
    /// Older or newer than [`FRESHNESS`].
    Stale,
    /// It was made with another key or over other bytes.
    Wrong,
}

impl std::fmt::Display for BadSignature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BadSignature::Missing(part) => write!(f, "{part} is missing or unreadable"),
            BadSignature::Stale => f.write_str("its time is more than five minutes away from ours"),
            BadSignature::Wrong => f.write_str("the signature is wrong"),
        }
    }
}

impl std::error::Error for BadSignature {}

/// The value of the merchant's `Authorization` header. `path` is the path as sent; the wallet has no queries.
pub fn authorization(key: &Secret, mch_id: &str, method: &str, path: &str, body: &[u8], sealing: &Sealing) -> String {
    let nonce = HEXLOWER.encode(&sealing.nonce);
    let timestamp = sealing.now.as_seconds().to_string();
    let tag = hmac::sign(&hmac_key(key), &request_text(method, path, &timestamp, &nonce, body));
    let signature = BASE64.encode(tag.as_ref());
    format!(r#"{SCHEME} mch_id="{mch_id}",nonce="{nonce}",timestamp="{timestamp}",signature="{signature}""#)
}

/// The parts of an `Authorization` header, unverified: the merchant's number is needed to find its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    pub mch_id: &'a str,
    nonce: &'a str,
    timestamp: &'a str,
    signature: &'a str,
}

impl<'a> Claim<'a> {
    pub fn parse(header: &'a str) -> Result<Self, BadSignature> {
        let rest = header.strip_prefix(SCHEME).and_then(|rest| rest.strip_prefix(' '));
        let rest = rest.ok_or(BadSignature::Missing("the signature scheme"))?;
        let (mut mch_id, mut nonce, mut timestamp, mut signature) = (None, None, None, None);
        for part in rest.split(',') {
            let (name, value) = part.split_once('=').ok_or(BadSignature::Missing("a value"))?;
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            let value = value.filter(|value| !value.is_empty()).ok_or(BadSignature::Missing("a value"))?;
            let slot = match name {
                "mch_id" => &mut mch_id,
                "nonce" => &mut nonce,
                "timestamp" => &mut timestamp,
                "signature" => &mut signature,
                _ => return Err(BadSignature::Missing("a known name")),
            };
            if slot.replace(value).is_some() {
                return Err(BadSignature::Missing("one value per name"));
            }
        }
        Ok(Self {
            mch_id: mch_id.ok_or(BadSignature::Missing("mch_id"))?,
            nonce: nonce.ok_or(BadSignature::Missing("nonce"))?,
            timestamp: timestamp.ok_or(BadSignature::Missing("timestamp"))?,
            signature: signature.ok_or(BadSignature::Missing("signature"))?,
        })
    }

    /// Whether the merchant who holds `key` sent exactly this, and just now.
    pub fn verify(
        &self,
        key: &Secret,
        method: &str,
        path: &str,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), BadSignature> {
        check_fresh(self.timestamp, now)?;
        let tag = BASE64.decode(self.signature.as_bytes()).map_err(|_| BadSignature::Missing("signature"))?;
        let text = request_text(method, path, self.timestamp, self.nonce, body);
        hmac::verify(&hmac_key(key), &text, &tag).map_err(|_| BadSignature::Wrong)
    }
}

/// The three headers that the provider puts on an answer or a notification.
pub fn provider_headers(
    key: &signature::Ed25519KeyPair,
    body: &[u8],
    sealing: &Sealing,
) -> [(&'static str, String); 3] {
    let nonce = HEXLOWER.encode(&sealing.nonce);
    let timestamp = sealing.now.as_seconds().to_string();
    let signature = BASE64.encode(key.sign(&message_text(&timestamp, &nonce, body)).as_ref());
    [(TIMESTAMP_HEADER, timestamp), (NONCE_HEADER, nonce), (SIGNATURE_HEADER, signature)]
}

/// Whether the provider with this public key sent exactly this body, and just now. Names in `headers` are lower case.
pub fn verify_provider(
    public_key: &[u8],
    headers: &[(String, String)],
    body: &[u8],
    now: Timestamp,
) -> Result<(), BadSignature> {
    let one = |name: &'static str| single(headers, name).ok_or(BadSignature::Missing(name));
    let timestamp = one(TIMESTAMP_HEADER)?;
    let nonce = one(NONCE_HEADER)?;
    let signature = one(SIGNATURE_HEADER)?;
    if nonce.len() > NONCE_MAX {
        return Err(BadSignature::Missing(NONCE_HEADER));
    }
    check_fresh(timestamp, now)?;
    let signature = BASE64.decode(signature.as_bytes()).map_err(|_| BadSignature::Missing(SIGNATURE_HEADER))?;
    signature::UnparsedPublicKey::new(&signature::ED25519, public_key)
        .verify(&message_text(timestamp, nonce, body), &signature)
        .map_err(|_| BadSignature::Wrong)
}

fn check_fresh(timestamp: &str, now: Timestamp) -> Result<(), BadSignature> {
    // Only plain digits: `parse` alone would take a sign too, and one time has one spelling.
    let digits = timestamp.len() <= 12 && timestamp.bytes().all(|b| b.is_ascii_digit());
    let seconds = timestamp.parse().ok().filter(|_| digits).ok_or(BadSignature::Missing("timestamp"))?;
    let sent = Timestamp::from_seconds(seconds);
    let distance = now.since(sent).max(sent.since(now));
    if distance > FRESHNESS { Err(BadSignature::Stale) } else { Ok(()) }
}

fn hmac_key(key: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, key.expose())
}

fn request_text(method: &str, path: &str, timestamp: &str, nonce: &str, body: &[u8]) -> Vec<u8> {
    lines(&[method.as_bytes(), path.as_bytes(), timestamp.as_bytes(), nonce.as_bytes(), body])
}

fn message_text(timestamp: &str, nonce: &str, body: &[u8]) -> Vec<u8> {
    lines(&[timestamp.as_bytes(), nonce.as_bytes(), body])
}
