//! Signing method 01 of version 5.1.0: both ways. The signed text is hashed, and the hash's hex letters are signed.
//!
//! Sources: UnionPay ACP 5.1.0, signing and verification; checked with the published messages in `fixtures`.

use std::fmt;

use data_encoding::{BASE64, HEXLOWER};
use ring::digest::{SHA256, digest};

use super::chain::{Distrust, Trust};
use super::message::{Empty, Fields};
use crate::crypto::rsa::{Digest, RsaSigner, RsaVerifier};
use crate::domain::time::Timestamp;

pub const VERSION: &str = "5.1.0";
pub const SIGN_METHOD: &str = "01";

/// Why a message proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadSignature {
    /// No signature, or no certificate to check it with.
    Missing,
    /// Another version or signing method: a weaker one is never accepted instead.
    OtherMethod,
    /// A value reads like another field, so the signed text says less than the message.
    Ambiguous,
    Signer(Distrust),
    Wrong,
}

impl fmt::Display for BadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadSignature::Missing => f.write_str("there is no signature, or no certificate beside it"),
            BadSignature::OtherMethod => f.write_str("it is not version 5.1.0 with signing method 01"),
            BadSignature::Ambiguous => f.write_str("a value of it reads like another field"),
            BadSignature::Signer(distrust) => write!(f, "{distrust}"),
            BadSignature::Wrong => f.write_str("the signature is wrong"),
        }
    }
}

impl std::error::Error for BadSignature {}

/// Adds the signature. `certId` and everything else has to be there already; fields without a value must not be.
pub fn sign(fields: &mut Fields, key: &RsaSigner) {
    let signature = key.sign_sha256_base64(signed_letters(&fields.canonical(Empty::Dropped)).as_bytes());
    fields.put("signature", signature);
}

/// Whether UnionPay signed the message, by the certificate inside it and what the account believes.
pub fn verify(fields: &Fields, trust: &Trust, now: Timestamp) -> Result<(), BadSignature> {
    let signature = fields.get("signature").ok_or(BadSignature::Missing)?;
    let certificate = fields.get("signPubKeyCert").ok_or(BadSignature::Missing)?;
    if fields.get("version") != Some(VERSION) || fields.get("signMethod") != Some(SIGN_METHOD) {
        return Err(BadSignature::OtherMethod);
    }
    if !fields.is_plain() {
        return Err(BadSignature::Ambiguous);
    }
    let key = trust.signer(certificate, now).map_err(BadSignature::Signer)?;
    if is_signed(fields, &key, signature) { Ok(()) } else { Err(BadSignature::Wrong) }
}

/// Whether the signature is this key's. Says nothing about whose key it is.
#[must_use]
pub fn is_signed(fields: &Fields, key: &RsaVerifier, signature: &str) -> bool {
    let Ok(signature) = BASE64.decode(signature.as_bytes()) else { return false };
    let fits = |empty| {
        let letters = signed_letters(&fields.canonical(empty));
        key.verifies(Digest::Sha256, letters.as_bytes(), &signature)
    };
    fits(Empty::Dropped) || (fields.iter().any(|(_, value)| value.is_empty()) && fits(Empty::Kept))
}

/// The 64 lower-case letters that are signed: SHA-256 of the text in hex. Signing them hashes once more.
fn signed_letters(canonical: &str) -> String {
    HEXLOWER.encode(digest(&SHA256, canonical.as_bytes()).as_ref())
}
