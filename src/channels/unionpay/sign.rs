//! Both ways of version 5.1.0 to sign: by certificate (method 01), where the signed text is hashed and the hash's hex letters
//! are signed, or by a shared key (`keyed.rs`). A contract has one of them, and the other is never accepted in its place.
//!
//! Sources: UnionPay ACP 5.1.0, signing and verification; checked with the published messages in `fixtures`.

use std::fmt;

use data_encoding::BASE64;

use super::chain::{Distrust, Trust};
use super::credentials::{Contract, Credentials, is_secure_key};
use super::keyed::SharedKey;
use super::message::{Empty, Fields};
use crate::crypto::rsa::{Digest, RsaSigner, RsaVerifier};
use crate::crypto::{Certificate, Hash};
use crate::domain::time::Timestamp;

pub const VERSION: &str = "5.1.0";
/// By certificate.
pub const SIGN_METHOD: &str = "01";

/// How both sides of a contract sign, with what this account needs for it.
pub struct Signing {
    way: Way,
    /// Whom replaced credentials believed.
    earlier: Vec<Trust>,
}

enum Way {
    Certificate(Box<Certified>),
    Key(SharedKey),
}

/// What signing by certificate needs.
struct Certified {
    key: RsaSigner,
    /// The decimal serial number of our certificate.
    cert_id: String,
    trust: Trust,
}

impl Signing {
    /// The error names what is absent, unreadable, or of another pair.
    pub fn open(record: &Credentials) -> Result<Self, String> {
        let earlier =
            record.earlier.iter().map(|earlier| earlier.trust().ok_or("earlier certificates lead to no root"));
        Ok(Self { earlier: earlier.collect::<Result<_, _>>()?, way: Way::open(&record.contract)? })
    }

    /// `signMethod`.
    pub fn method(&self) -> &'static str {
        match &self.way {
            Way::Certificate(_) => SIGN_METHOD,
            Way::Key(key) => key.method().code(),
        }
    }

    /// `certId`, which requests name; none where there is no certificate.
    pub fn cert_id(&self) -> Option<&str> {
        match &self.way {
            Way::Certificate(own) => Some(&own.cert_id),
            Way::Key(_) => None,
        }
    }

    /// Adds our signature to a request.
    pub fn sign(&self, fields: &mut Fields) {
        match &self.way {
            Way::Certificate(own) => sign(fields, &own.key),
            Way::Key(key) => key.sign(fields),
        }
    }

    /// Whether UnionPay signed the message, in the way of this contract or by a certificate that was believed before.
    pub fn verify(&self, fields: &Fields, now: Timestamp) -> Result<(), BadSignature> {
        let present = match &self.way {
            Way::Certificate(own) => verify(fields, &own.trust, now),
            Way::Key(key) => key.verify(fields),
        };
        present.or_else(|error| {
            let before = self.earlier.iter().any(|trust| verify(fields, trust, now).is_ok());
            if before { Ok(()) } else { Err(error) }
        })
    }
}

impl Way {
    fn open(contract: &Contract) -> Result<Self, String> {
        match contract {
            Contract::Certificate(own) => {
                let key = RsaSigner::read(&own.sign_key).map_err(|error| format!("sign_key: {error}"))?;
                let certificate = Certificate::read(&own.sign_certificate);
                let certificate = certificate.map_err(|error| format!("sign_certificate: {error}"))?;
                if certificate.public_key().as_ref() != Ok(key.public()) {
                    return Err("sign_key and sign_certificate do not belong together".to_owned());
                }
                let trust = own.trust().ok_or("trusted_certificates lead to no root")?;
                Ok(Self::Certificate(Box::new(Certified { key, cert_id: certificate.serial_decimal(), trust })))
            }
            // With an empty key anybody could sign.
            Contract::Key(own) if is_secure_key(&own.secure_key) => {
                Ok(Self::Key(SharedKey::new(own.sign_method, &own.secure_key)))
            }
            Contract::Key(_) => Err("secure_key has another form".to_owned()),
        }
    }
}

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
            BadSignature::OtherMethod => f.write_str("it is not version 5.1.0 with the contract's signing method"),
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
    Hash::Sha256.letters(canonical.as_bytes())
}
