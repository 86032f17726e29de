//! Signatures and encryption of WeChat Pay API v3: RSA with SHA-256 over lines of text, AES-256-GCM for what is secret.

use data_encoding::{BASE64, HEXUPPER};
use ring::aead;
use ring::digest::{SHA256, digest};

use crate::channels::text::{lines, single};
use crate::channels::{ChannelError, Sealing};
use crate::crypto::Secret;
use crate::crypto::rsa::{Digest, RsaSigner, RsaVerifier};
use crate::domain::time::{Duration, Timestamp};

/// The scheme of requests and of answers. There is another one with Chinese algorithms, which ordinary merchants never
/// meet and we never accept.
pub const SCHEME: &str = "WECHATPAY2-SHA256-RSA2048";
/// Messages whose time differs from ours by this much or more are refused. Source: WeChat Pay API v3, "如何验证签名".
pub const FRESHNESS: Duration = Duration::from_seconds(300);
/// How the signatures begin by which the provider tests whether wrong ones are refused (签名探测流量).
pub const PROBE_PREFIX: &str = "WECHATPAY/SIGNTEST/";

pub const TIMESTAMP_HEADER: &str = "wechatpay-timestamp";
pub const NONCE_HEADER: &str = "wechatpay-nonce";
pub const SIGNATURE_HEADER: &str = "wechatpay-signature";
pub const SERIAL_HEADER: &str = "wechatpay-serial";
pub const TYPE_HEADER: &str = "wechatpay-signature-type";

/// Longest nonce and longest key id that are read, in bytes.
const NONCE_MAX: usize = 128;
const SERIAL_MAX: usize = 128;

/// Why a signature proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadSignature {
    /// A header is absent, empty, doubled or unreadable.
    Missing(&'static str),
    /// Wrong on purpose, by the provider.
    Probe,
    /// Another algorithm than ours.
    Algorithm,
    /// Older or newer than [`FRESHNESS`].
    Stale,
    UnknownKey {
        id: String,
    },
    /// A certificate before or after the time in which it is valid.
    ExpiredKey {
        id: String,
    },
    /// It was made with another key or over other bytes.
    Wrong,
}

impl From<BadSignature> for ChannelError {
    fn from(bad: BadSignature) -> Self {
        let detail = match bad {
            BadSignature::Probe => return ChannelError::Probe,
            BadSignature::UnknownKey { id } => return ChannelError::UnknownKey { id },
            BadSignature::Missing(part) => format!("{part} is missing or unreadable"),
            BadSignature::Algorithm => "it is signed with an algorithm that is not ours".to_owned(),
            BadSignature::Stale => "its time is five minutes or more away from ours".to_owned(),
            BadSignature::ExpiredKey { id } => format!("signed with the certificate {id}, which is not valid now"),
            BadSignature::Wrong => "the signature is wrong".to_owned(),
        };
        ChannelError::NotGenuine { detail }
    }
}

/// Who signs our requests.
#[derive(Clone, Copy)]
pub struct Merchant<'a> {
    pub mch_id: &'a str,
    pub serial: &'a str,
    pub signer: &'a RsaSigner,
}

/// The value of the `Authorization` header. `target` is path and query exactly as sent.
pub fn authorization(
    merchant: &Merchant<'_>,
    verb: &str,
    target: &str,
    timestamp: &str,
    nonce: &str,
    body: &[u8],
) -> String {
    let text = lines(&[verb.as_bytes(), target.as_bytes(), timestamp.as_bytes(), nonce.as_bytes(), body]);
    let signature = merchant.signer.sign_sha256_base64(&text);
    let Merchant { mch_id, serial, .. } = merchant;
    format!(
        r#"{SCHEME} mchid="{mch_id}",nonce_str="{nonce}",timestamp="{timestamp}",serial_no="{serial}",signature="{signature}""#
    )
}

/// The nonce of a request: 32 hex digits.
pub fn nonce(sealing: &Sealing) -> String {
    HEXUPPER.encode(&sealing.nonce)
}

/// Whether the provider sent exactly this body, and just now, with the key that `find` knows by the id which the message
/// names. Names in `headers` are lower case.
pub fn verify<'k>(
    find: impl FnOnce(&str) -> Result<&'k RsaVerifier, BadSignature>,
    headers: &[(String, String)],
    body: &[u8],
    now: Timestamp,
) -> Result<(), BadSignature> {
    let text = |name: &'static str| single(headers, name).ok_or(BadSignature::Missing(name));
    let signature = text(SIGNATURE_HEADER)?;
    if signature.starts_with(PROBE_PREFIX) {
        return Err(BadSignature::Probe);
    }
    let timestamp = text(TIMESTAMP_HEADER)?;
    let nonce = text(NONCE_HEADER).and_then(|n| within(n, NONCE_MAX, NONCE_HEADER))?;
    let serial = text(SERIAL_HEADER).and_then(|s| within(s, SERIAL_MAX, SERIAL_HEADER))?;
    // Messages without this header are old ones; there was no other algorithm then.
    if headers.iter().any(|(name, value)| name == TYPE_HEADER && value != SCHEME) {
        return Err(BadSignature::Algorithm);
    }
    check_fresh(timestamp, now)?;
    let key = find(serial)?;
    if key.verifies_base64(Digest::Sha256, &message_text(timestamp, nonce, body), signature) {
        Ok(())
    } else {
        Err(BadSignature::Wrong)
    }
}

/// What the provider signs: time, nonce and body, a line feed behind each.
pub fn message_text(timestamp: &str, nonce: &str, body: &[u8]) -> Vec<u8> {
    lines(&[timestamp.as_bytes(), nonce.as_bytes(), body])
}

fn within<'a>(text: &'a str, max: usize, name: &'static str) -> Result<&'a str, BadSignature> {
    if text.len() <= max { Ok(text) } else { Err(BadSignature::Missing(name)) }
}

fn check_fresh(timestamp: &str, now: Timestamp) -> Result<(), BadSignature> {
    // Only plain digits: `parse` alone would take a sign too, and one time has one spelling.
    let digits = (1..=12).contains(&timestamp.len()) && timestamp.bytes().all(|b| b.is_ascii_digit());
    let seconds: Option<i64> = timestamp.parse().ok().filter(|_| digits);
    let seconds = seconds.ok_or(BadSignature::Missing(TIMESTAMP_HEADER))?;
    let distance = now.as_seconds().abs_diff(seconds);
    if distance >= FRESHNESS.as_seconds() { Err(BadSignature::Stale) } else { Ok(()) }
}

/// A signature that the customer's device shows to WeChat: over app, time, nonce and the prepared order.
pub fn pay_sign(signer: &RsaSigner, app_id: &str, timestamp: &str, nonce: &str, package: &str) -> String {
    signer.sign_sha256_base64(&lines(&[app_id.as_bytes(), timestamp.as_bytes(), nonce.as_bytes(), package.as_bytes()]))
}

/// A nonce for [`pay_sign`] that needs no dice: as unpredictable as the prepared order that it belongs to.
pub fn pay_nonce(prepay_id: &str, timestamp: &str) -> String {
    let hash = digest(&SHA256, &lines(&[prepay_id.as_bytes(), timestamp.as_bytes()]));
    HEXUPPER.encode(&hash.as_ref()[..16])
}

/// Why an encrypted resource stays closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Not base64, or a nonce of another length than twelve bytes.
    Unreadable,
    /// None of the keys opens it.
    WrongKey,
}

/// Opens `AEAD_AES_256_GCM` with the first of `keys` that fits. Source: RFC 5116, 5.2; an absent `associated_data` is empty.
pub fn open_resource(keys: &[Secret], nonce: &str, associated_data: &str, ciphertext: &str) -> Result<Secret, Closed> {
    let sealed = BASE64.decode(ciphertext.as_bytes()).map_err(|_| Closed::Unreadable)?;
    let nonce: [u8; aead::NONCE_LEN] = nonce.as_bytes().try_into().map_err(|_| Closed::Unreadable)?;
    let opened = keys.iter().find_map(|key| open_with(&aead::AES_256_GCM, key, nonce, associated_data, &sealed));
    opened.ok_or(Closed::WrongKey)
}

fn open_with(
    algorithm: &'static aead::Algorithm,
    key: &Secret,
    nonce: [u8; aead::NONCE_LEN],
    associated_data: &str,
    sealed: &[u8],
) -> Option<Secret> {
    let key = aead::LessSafeKey::new(aead::UnboundKey::new(algorithm, key.expose()).ok()?);
    let nonce = aead::Nonce::assume_unique_for_key(nonce);
    let mut bytes = sealed.to_vec();
    let plain = key.open_in_place(nonce, aead::Aad::from(associated_data.as_bytes()), &mut bytes).ok()?;
    Some(Secret::new(&*plain))
}
