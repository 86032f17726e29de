//! Keys that verify signatures. The algorithm belongs to the key, so a request cannot choose a weaker one.

use std::fmt;

use ring::hmac;
use ring::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

/// Names of the registry "HTTP Signature Algorithms" (RFC 9421, 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    HmacSha256,
    Ed25519,
    RsaV15Sha256,
}

impl Algorithm {
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::HmacSha256 => "hmac-sha256",
            Algorithm::Ed25519 => "ed25519",
            Algorithm::RsaV15Sha256 => "rsa-v1_5-sha256",
        }
    }
}

/// Bytes of a shared secret. RFC 2104 asks for at least the hash's length.
pub const HMAC_SECRET_BYTES_MIN: usize = 32;
/// Bytes of an Ed25519 public key.
const ED25519_BYTES: usize = 32;
/// Bytes of an RSA modulus.
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// Bytes that are no usable key of their kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadKey {
    /// A shared secret that could be guessed.
    TooShort,
    NotEd25519,
    /// Not PKCS#1 DER of 2048 to 8192 bits.
    NotRsa,
}

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadKey::TooShort => write!(f, "a shared secret must have at least {HMAC_SECRET_BYTES_MIN} bytes"),
            BadKey::NotEd25519 => write!(f, "an Ed25519 public key has {ED25519_BYTES} bytes"),
            BadKey::NotRsa => f.write_str("an RSA public key must be PKCS#1 DER of 2048 to 8192 bits"),
        }
    }
}

impl std::error::Error for BadKey {}

/// Prepared once when keys are loaded, used for every request.
pub struct VerifyingKey(Kind);

enum Kind {
    Hmac(hmac::Key),
    Ed25519(UnparsedPublicKey<Vec<u8>>),
    Rsa(UnparsedPublicKey<Vec<u8>>),
}

impl VerifyingKey {
    pub fn hmac_sha256(secret: &[u8]) -> Result<Self, BadKey> {
        if secret.len() < HMAC_SECRET_BYTES_MIN {
            return Err(BadKey::TooShort);
        }
        Ok(Self(Kind::Hmac(hmac::Key::new(hmac::HMAC_SHA256, secret))))
    }

    pub fn ed25519(public: &[u8]) -> Result<Self, BadKey> {
        if public.len() != ED25519_BYTES {
            return Err(BadKey::NotEd25519);
        }
        Ok(Self(Kind::Ed25519(UnparsedPublicKey::new(&ED25519, public.to_vec()))))
    }

    /// `public` is PKCS#1 DER, of 2048 to 8192 bits.
    pub fn rsa_v1_5_sha256(public: &[u8]) -> Result<Self, BadKey> {
        let bytes = rsa_modulus_bytes(public).ok_or(BadKey::NotRsa)?;
        if !RSA_MODULUS_BYTES.contains(&bytes) {
            return Err(BadKey::NotRsa);
        }
        Ok(Self(Kind::Rsa(UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public.to_vec()))))
    }

    pub const fn algorithm(&self) -> Algorithm {
        match self.0 {
            Kind::Hmac(_) => Algorithm::HmacSha256,
            Kind::Ed25519(_) => Algorithm::Ed25519,
            Kind::Rsa(_) => Algorithm::RsaV15Sha256,
        }
    }

    pub(super) fn verify(&self, base: &[u8], signature: &[u8]) -> bool {
        match &self.0 {
            Kind::Hmac(key) => hmac::verify(key, base, signature).is_ok(),
            Kind::Ed25519(key) | Kind::Rsa(key) => key.verify(base, signature).is_ok(),
        }
    }

    /// Spends the time of a real check where there is no key, so that the clock does not tell which keys exist.
    pub(super) fn verify_in_vain(base: &[u8], signature: &[u8]) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[0; HMAC_SECRET_BYTES_MIN]);
        // This key is no secret, so its answer must not count.
        let _ = hmac::verify(&key, base, signature);
        false
    }

    /// The shared secret that also signs replies.
    pub(super) const fn shared(&self) -> Option<&hmac::Key> {
        match &self.0 {
            Kind::Hmac(key) => Some(key),
            Kind::Ed25519(_) | Kind::Rsa(_) => None,
        }
    }
}

/// Bytes of the modulus in `RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }` (RFC 8017, A.1.1).
/// Only as far as a wrong file has to be noticed when it is entered; the library reads the key itself at each use.
fn rsa_modulus_bytes(der: &[u8]) -> Option<usize> {
    let (sequence, rest) = der_value(der, 0x30)?;
    let (modulus, exponent) = der_value(sequence, 0x02)?;
    let (exponent, end) = der_value(exponent, 0x02)?;
    let well_formed = rest.is_empty() && end.is_empty() && !exponent.is_empty();
    // A leading zero only keeps the number positive.
    well_formed.then(|| modulus.strip_prefix(&[0]).unwrap_or(modulus).len())
}

/// The value of one DER element with this tag, and what follows it.
fn der_value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81 => rest.split_first().map(|(&a, rest)| (usize::from(a), rest))?,
        0x82 => rest.split_first_chunk().map(|(&bytes, rest)| (usize::from(u16::from_be_bytes(bytes)), rest))?,
        _ => return None,
    };
    (found == tag).then(|| rest.split_at_checked(length)).flatten()
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.algorithm().name())
    }
}
