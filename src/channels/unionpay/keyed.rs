//! Signing methods 11 and 12: no certificates. Both sides hold one key (密钥), and its hash is hashed behind the text.
//!
//! Whoever can check such a signature can make one, and so do we. Nothing that we sign may therefore read as UnionPay's
//! word: our requests carry no `respCode`, and without one no message is an answer or a notification.
//!
//! Source: UnionPay ACP 5.1.0, signing with a key; checked with the published cases in `fixtures`.

use std::fmt;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::message::{Empty, Fields};
use super::sign::{BadSignature, VERSION};
use crate::crypto::Hash;

/// What is hashed with, as contract and messages name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyedMethod {
    #[serde(rename = "11")]
    Sha256,
    #[serde(rename = "12")]
    Sm3,
}

impl KeyedMethod {
    pub const ALL: [KeyedMethod; 2] = [KeyedMethod::Sha256, KeyedMethod::Sm3];

    /// `signMethod`.
    pub const fn code(self) -> &'static str {
        match self {
            KeyedMethod::Sha256 => "11",
            KeyedMethod::Sm3 => "12",
        }
    }

    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.code() == code)
    }

    pub const fn hash(self) -> Hash {
        match self {
            KeyedMethod::Sha256 => Hash::Sha256,
            KeyedMethod::Sm3 => Hash::Sm3,
        }
    }
}

/// The key of both sides, ready to sign and to verify.
pub struct SharedKey {
    method: KeyedMethod,
    /// The key's hash; all that signing needs.
    letters: Zeroizing<String>,
}

impl SharedKey {
    /// Takes any key; whether one is good enough is checked where it is entered, and where an account is opened.
    pub fn new(method: KeyedMethod, key: &str) -> Self {
        Self { method, letters: Zeroizing::new(method.hash().letters(key.as_bytes())) }
    }

    pub fn method(&self) -> KeyedMethod {
        self.method
    }

    /// Adds the signature. Everything else has to be there already.
    pub fn sign(&self, fields: &mut Fields) {
        let signature = self.signature(&fields.canonical(Empty::Dropped));
        fields.put("signature", signature);
    }

    /// Whether a holder of the key signed the message, by this method and no other.
    pub fn verify(&self, fields: &Fields) -> Result<(), BadSignature> {
        let signature = fields.get("signature").ok_or(BadSignature::Missing)?;
        if fields.get("version") != Some(VERSION) || fields.get("signMethod") != Some(self.method.code()) {
            return Err(BadSignature::OtherMethod);
        }
        if !fields.is_plain() {
            return Err(BadSignature::Ambiguous);
        }
        let fits = |empty| self.signature(&fields.canonical(empty)).as_bytes().ct_eq(signature.as_bytes()).into();
        let fits_kept = || fields.iter().any(|(_, value)| value.is_empty()) && fits(Empty::Kept);
        if fits(Empty::Dropped) || fits_kept() { Ok(()) } else { Err(BadSignature::Wrong) }
    }

    fn signature(&self, canonical: &str) -> String {
        let text = Zeroizing::new([canonical, "&", &self.letters].concat());
        self.method.hash().letters(text.as_bytes())
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKey(…)")
    }
}
