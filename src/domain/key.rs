//! API keys: what the shop proves itself with.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::ids::{KeyId, Scope};
use super::time::Timestamp;
use crate::crypto::Sealed;

/// Keys a merchant may have per mode.
pub const KEYS_MAX: usize = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    Read,
    Write,
    Refund,
    Split,
}

impl Permission {
    pub const ALL: [Permission; 4] = [Permission::Read, Permission::Write, Permission::Refund, Permission::Split];

    pub const fn code(self) -> &'static str {
        match self {
            Permission::Read => "read",
            Permission::Write => "write",
            Permission::Refund => "refund",
            Permission::Split => "split",
        }
    }

    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.code() == code)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApiKey {
    pub id: KeyId,
    pub scope: Scope,
    pub name: String,
    pub secret: KeySecret,
    pub permissions: BTreeSet<Permission>,
    /// Addresses or networks; empty means any.
    pub allowed_ips: Vec<String>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

/// What the key is checked with. The algorithm is bound to the record, so a request cannot choose a weaker one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum KeySecret {
    /// SHA-256 of the bearer token. The token's last four characters are kept to recognise it.
    Bearer { hash: [u8; 32], tail: String },
    /// RFC 9421 `hmac-sha256`.
    Hmac { secret: Sealed },
    /// RFC 9421 `ed25519`: the public key.
    Ed25519 { public: Vec<u8> },
    /// RFC 9421 `rsa-v1_5-sha256`: the public key, PKCS#1 DER.
    Rsa { public: Vec<u8> },
}
