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

/// Bytes that are no usable key of their kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadKey {
    /// A shared secret that could be guessed.
    TooShort,
    NotEd25519,
}

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadKey::TooShort => write!(f, "a shared secret must have at least {HMAC_SECRET_BYTES_MIN} bytes"),
            BadKey::NotEd25519 => write!(f, "an Ed25519 public key has {ED25519_BYTES} bytes"),
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

    /// `public` is PKCS#1 DER. Keys below 2048 bits verify nothing.
    pub fn rsa_v1_5_sha256(public: &[u8]) -> Self {
        Self(Kind::Rsa(UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public.to_vec())))
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

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.algorithm().name())
    }
}
