//! Signatures of V2: the fields in order, the key behind them, and a hash over both.
//! Source: WeChat Pay V2, "安全规范", "签名算法".

use md5::{Digest as _, Md5};
use ring::hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::Fields;
use crate::crypto::Secret;

use data_encoding::HEXUPPER;

/// We sign with HMAC-SHA256 always. Answers come with the same; some that the provider gives before it has looked at
/// `sign_type` with MD5, which nobody without the key can make either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignType {
    HmacSha256,
    Md5,
}

impl SignType {
    /// The value of `sign_type`.
    pub const fn code(self) -> &'static str {
        match self {
            SignType::HmacSha256 => "HMAC-SHA256",
            SignType::Md5 => "MD5",
        }
    }

    /// Which one made a signature: they have different lengths.
    fn of(signature: &str) -> Option<Self> {
        match signature.len() {
            64 => Some(SignType::HmacSha256),
            32 => Some(SignType::Md5),
            _ => None,
        }
    }
}

/// The value of `sign` for these fields: upper-case hex.
pub fn sign(kind: SignType, fields: &Fields, key: &Secret) -> String {
    let text = text(fields, key);
    match kind {
        SignType::HmacSha256 => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose());
            HEXUPPER.encode(hmac::sign(&key, &text).as_ref())
        }
        SignType::Md5 => HEXUPPER.encode(&Md5::digest(&*text)),
    }
}

/// Whether somebody who has the key said exactly this.
#[must_use]
pub fn verifies(fields: &Fields, key: &Secret) -> bool {
    let Some(said) = fields.get("sign") else { return false };
    SignType::of(said).is_some_and(|kind| sign(kind, fields, key).as_bytes().ct_eq(said.as_bytes()).into())
}

/// Empty fields and the signature itself are left out.
fn text(fields: &Fields, key: &Secret) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(Vec::with_capacity(1024));
    for (name, value) in fields.iter().filter(|(name, value)| *name != "sign" && !value.is_empty()) {
        for part in [name.as_str(), "=", value, "&"] {
            text.extend_from_slice(part.as_bytes());
        }
    }
    text.extend_from_slice(b"key=");
    text.extend_from_slice(key.expose());
    text
}
