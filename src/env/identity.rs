//! As whom our end of a connection shows itself: a certificate with its private key, for providers that ask callers for
//! one (mutual TLS).

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::crypto::Secret;

/// Clones are the same identity. Another one made of the same certificate is not: each opened account has its own, and so
/// no two accounts are ever taken for each other.
#[derive(Clone)]
pub struct ClientIdentity(Arc<CertifiedKey>);

/// The key cannot be read, or belongs to another certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadIdentity;

impl ClientIdentity {
    /// `certificate` is X.509 as DER, `private_key` PKCS#8 or PKCS#1 as DER. The key is read where it lies; what stays is
    /// ring's form of it.
    pub fn new(certificate: &[u8], private_key: &Secret) -> Result<Self, BadIdentity> {
        let key = PrivateKeyDer::try_from(private_key.expose()).map_err(|_| BadIdentity)?;
        let key = any_supported_type(&key).map_err(|_| BadIdentity)?;
        let pair = CertifiedKey::new(vec![CertificateDer::from(certificate.to_vec())], key);
        pair.keys_match().map_err(|_| BadIdentity)?;
        Ok(Self(Arc::new(pair)))
    }

    /// For the handshake: shown to every server that asks.
    pub(super) fn resolver(&self) -> Arc<dyn ResolvesClientCert> {
        Arc::new(SingleCertAndKey::from(Arc::clone(&self.0)))
    }
}

impl PartialEq for ClientIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ClientIdentity {}

impl PartialOrd for ClientIdentity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ClientIdentity {
    /// By place in memory: whoever holds an identity to compare it keeps that place taken.
    fn cmp(&self, other: &Self) -> Ordering {
        Arc::as_ptr(&self.0).cmp(&Arc::as_ptr(&other.0))
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientIdentity(…)")
    }
}

impl fmt::Display for BadIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no private key that belongs to the certificate")
    }
}

impl std::error::Error for BadIdentity {}
