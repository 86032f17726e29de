//! Whose signature counts: UnionPay's certificates come inside the messages and are believed only below a configured root.
//!
//! Certificates of merchants come from the same authority, so the name in the certificate decides as much as the chain.

use std::fmt;

use crate::crypto::Certificate;
use crate::crypto::rsa::{Digest, RsaVerifier};
use crate::domain::time::Timestamp;

/// Certificates that an account may configure, and the longest way from a signer to its root.
pub const TRUSTED_MAX: usize = 8;
const CHAIN_MAX: usize = 4;

/// Third part of the signer's name. Source: UnionPay's SDK, check of the certificate's CN.
const UNIONPAY: &str = "中国银联股份有限公司";
/// The same in the test environment, where the SDK's `ifValidateCNName=false` accepts it as well.
const UNIONPAY_TEST: &str = "00040000:SIGN";

/// What an account believes.
#[derive(Clone, Debug)]
pub struct Trust {
    certificates: Vec<Certificate>,
    /// The chains in use for years are signed with SHA-1.
    accept_sha1: bool,
    accept_test_name: bool,
}

/// Why a certificate, or what was signed with it, is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    Unreadable,
    /// Before or after its time, or that of a certificate above it.
    NotValidNow,
    /// No chain leads to a configured root.
    NoChain,
    /// A chain leads there, but over signatures with SHA-1, which this account does not accept.
    Sha1,
    /// Somebody else's certificate of the same authority.
    NotUnionPay,
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Distrust::Unreadable => "signPubKeyCert is no certificate",
            Distrust::NotValidNow => "the signer's certificate is not valid now",
            Distrust::NoChain => "the signer's certificate is not from a trusted authority",
            Distrust::Sha1 => "the signer's certificate chain uses SHA-1, which this account does not accept",
            Distrust::NotUnionPay => "the signer's certificate is not UnionPay's",
        })
    }
}

impl std::error::Error for Distrust {}

impl Trust {
    /// `None` when no root is among them, or when one of them leads to none: the account could then believe nobody.
    pub fn new(certificates: Vec<Certificate>, accept_sha1: bool, accept_test_name: bool) -> Option<Trust> {
        let trust = Trust { certificates, accept_sha1, accept_test_name };
        let all_lead_to_a_root = trust.certificates.iter().all(|one| trust.leads_to_root(one, None, CHAIN_MAX));
        let usable = !trust.certificates.is_empty() && trust.certificates.len() <= TRUSTED_MAX && all_lead_to_a_root;
        usable.then_some(trust)
    }

    /// The key of UnionPay's certificate in a message, if it is that.
    pub fn signer(&self, pem: &str, now: Timestamp) -> Result<RsaVerifier, Distrust> {
        let leaf = Certificate::read(pem).map_err(|_| Distrust::Unreadable)?;
        if !leaf.is_valid_at(now) {
            return Err(Distrust::NotValidNow);
        }
        // A certificate is never its own proof, even when it is configured.
        if !self.issuers(&leaf).any(|issuer| self.leads_to_root(issuer, Some(now), CHAIN_MAX)) {
            let was_valid = self.issuers(&leaf).any(|issuer| self.leads_to_root(issuer, None, CHAIN_MAX));
            let weak = Trust { accept_sha1: true, ..self.clone() };
            let weakly = weak.issuers(&leaf).any(|issuer| weak.leads_to_root(issuer, Some(now), CHAIN_MAX));
            return Err(match (weakly, was_valid) {
                (true, _) => Distrust::Sha1,
                (false, true) => Distrust::NotValidNow,
                (false, false) => Distrust::NoChain,
            });
        }
        let name = leaf.common_name().unwrap_or_default();
        let owner = name.split('@').nth(2).unwrap_or_default();
        if owner != UNIONPAY && !(self.accept_test_name && owner == UNIONPAY_TEST) {
            return Err(Distrust::NotUnionPay);
        }
        leaf.public_key().map_err(|_| Distrust::Unreadable)
    }

    /// When the first of the configured certificates ends: what the console warns of.
    pub fn not_after(&self) -> Option<Timestamp> {
        self.certificates.iter().map(Certificate::not_after).min()
    }

    fn issuers<'a>(&'a self, of: &'a Certificate) -> impl Iterator<Item = &'a Certificate> {
        let digest_allowed = match of.signed_with() {
            Some(Digest::Sha256) => true,
            Some(Digest::Sha1) => self.accept_sha1,
            None => false,
        };
        self.certificates.iter().filter(move |issuer| digest_allowed && of.is_signed_by(issuer))
    }

    /// Whether a configured certificate is a root or leads to one; with a time, over certificates valid then.
    fn leads_to_root(&self, one: &Certificate, now: Option<Timestamp>, links: usize) -> bool {
        if links == 0 || now.is_some_and(|now| !one.is_valid_at(now)) {
            return false;
        }
        // Its own signature adds nothing: a root is believed because it was configured.
        one.is_signed_by(one) || self.issuers(one).any(|issuer| self.leads_to_root(issuer, now, links - 1))
    }
}
