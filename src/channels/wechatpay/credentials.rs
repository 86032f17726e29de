//! What one contract with WeChat Pay consists of: the sealed record, and the keys made from it.
//!
//! Trust anchors are a set, because a merchant number has several at a time: platform certificates overlap while they
//! rotate, and while a merchant moves to the public key both kinds sign for a week. Which one signed is told by each
//! message. Source: WeChat Pay API v3, "微信支付公钥" and "平台证书".

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::check::is_merchant_number;
use super::code_v2::CodeV2;
use super::sign::BadSignature;
use crate::channels::ChannelError;
use crate::channels::form::EXPIRY_WARNING;
use crate::channels::text::shortened;
use crate::crypto::rsa::{RsaSigner, RsaVerifier};
use crate::crypto::{Certificate, Secret};
use crate::domain::method::Method;
use crate::domain::time::Timestamp;
use crate::lang::Text;

/// Bytes of an APIv3 key: used directly as an AES-256 key.
pub const API_V3_KEY_BYTES: usize = 32;
/// What the ids of public keys begin with; the rest is opaque.
pub const PUBLIC_KEY_ID_PREFIX: &str = "PUB_KEY_ID_";
/// Anchors of one account. Real accounts have one or two.
pub const ANCHORS_MAX: usize = 16;

/// The record inside a channel account's sealed credentials, as JSON.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    pub mch_id: String,
    pub app_ids: AppIds,
    /// AppSecret of the official account: finds out who a customer inside WeChat is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub official_account_secret: Option<String>,
    /// PEM of the merchant's API key (`apiclient_key.pem`): signs what we send and what customers' devices show.
    pub merchant_key: String,
    /// Serial number of the merchant's API certificate, upper-case hex.
    pub merchant_serial: String,
    /// PEM of that certificate, where it was entered: tells when it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merchant_certificate: Option<String>,
    /// Opens what the provider encrypts for the merchant.
    pub api_v3_key: String,
    /// The one before, while messages that it closes can still arrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_api_v3_key: Option<String>,
    /// The V2 API key, where codes that customers show go through that interface; else they go through v3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_v2_key: Option<String>,
    /// Public keys of the provider by their ids, as PEM.
    #[serde(default)]
    pub public_keys: BTreeMap<String, String>,
    /// Platform certificates as PEM; serial number and validity stand in them.
    #[serde(default)]
    pub platform_certificates: Vec<String>,
    pub answers: AnswersBy,
}

/// App ids that are bound to the merchant number. Each kind of app has its own, and an openid belongs to one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppIds {
    /// For codes and pages outside of WeChat: native, H5, and codes that the customer shows.
    pub default: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub official_account: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mini_program: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
}

/// The ways of paying that the provider knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Native,
    Jsapi,
    Mini,
    H5,
    App,
    /// A code that the customer shows (付款码).
    Code,
}

impl Way {
    /// `None` for what is another brand's.
    pub fn of(method: Method) -> Option<Way> {
        match method {
            Method::WechatNative => Some(Way::Native),
            Method::WechatJsapi => Some(Way::Jsapi),
            Method::WechatMini => Some(Way::Mini),
            Method::WechatH5 => Some(Way::H5),
            Method::WechatApp => Some(Way::App),
            Method::WechatBarcode => Some(Way::Code),
            Method::AlipayQr
            | Method::AlipayPage
            | Method::AlipayWap
            | Method::AlipayApp
            | Method::AlipayBarcode
            | Method::AlipayMini
            | Method::UnionpayGateway
            | Method::UnionpayWap
            | Method::UnionpayQr
            | Method::UnionpayApp
            | Method::UnionpayBarcode => None,
        }
    }
}

impl AppIds {
    /// The app that collects by this method, if the account has one.
    pub fn for_method(&self, method: Method) -> Option<&str> {
        match Way::of(method)? {
            Way::Native | Way::H5 | Way::Code => Some(&self.default),
            Way::Jsapi => self.official_account.as_deref(),
            Way::Mini => self.mini_program.as_deref(),
            Way::App => self.app.as_deref(),
        }
    }

    pub fn contains(&self, app_id: &str) -> bool {
        let others = [&self.official_account, &self.mini_program, &self.app];
        self.default == app_id || others.into_iter().any(|other| other.as_deref() == Some(app_id))
    }
}

/// Which kind of key we ask the provider to sign its answers with. Notifications are verified with all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub enum AnswersBy {
    /// Every request names this key (公钥模式).
    PublicKey { id: String },
    /// The provider chooses a platform certificate (平台证书模式); we fetch them.
    PlatformCertificate,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("mch_id", &self.mch_id).finish_non_exhaustive()
    }
}

impl Credentials {
    /// The bytes that are sealed into the channel account.
    pub fn to_secret(&self) -> Secret {
        Secret::new(serde_json::to_vec(self).expect("plain text always serialises"))
    }

    pub fn read(record: &[u8]) -> Result<Self, ChannelError> {
        serde_json::from_slice(record).map_err(|_| bad("the record cannot be read"))
    }

    /// These in the place of `old` ones of the same merchant number: what the old ones could verify and open, the new
    /// ones can for as long as it may still arrive.
    #[must_use]
    pub fn replacing(mut self, old: &Credentials) -> Credentials {
        if self.mch_id != old.mch_id {
            return self;
        }
        if self.previous_api_v3_key.is_none() {
            let is_same = self.api_v3_key == old.api_v3_key;
            let previous = if is_same { old.previous_api_v3_key.as_ref() } else { Some(&old.api_v3_key) };
            self.previous_api_v3_key = previous.cloned();
        }
        // Ids of public keys grow, so with too many the oldest are left out; an account has one or two.
        let room = ANCHORS_MAX.saturating_sub(self.public_keys.len() + self.platform_certificates.len());
        let certificates = old.platform_certificates.iter().filter(|pem| !self.platform_certificates.contains(pem));
        let certificates: Vec<String> = certificates.take(room).cloned().collect();
        let keys = old.public_keys.iter().rev().filter(|(id, _)| !self.public_keys.contains_key(*id));
        let keys: Vec<(String, String)> =
            keys.take(room - certificates.len()).map(|(id, key)| (id.clone(), key.clone())).collect();
        self.platform_certificates.extend(certificates);
        self.public_keys.extend(keys);
        self
    }

    /// What can be used and deserves a second look all the same. The name in a merchant's certificate is the merchant's
    /// number as far as has been seen, but no document says so; hence no error.
    pub fn warnings(&self, now: Timestamp) -> Vec<Text> {
        let certificate = self.merchant_certificate.as_deref().and_then(|pem| Certificate::read(pem).ok());
        let Some(certificate) = certificate else { return Vec::new() };
        let name = certificate.common_name().unwrap_or_default();
        let foreign = is_merchant_number(&name) && name != self.mch_id;
        let soon = certificate.not_after() < now.plus(EXPIRY_WARNING);
        let texts = [
            (
                foreign,
                Text::new(
                    "商户证书上写的是另一个商户号。请核对商户号，或换成这个商户号的证书和私钥。",
                    "The merchant certificate names another merchant number. Check the number, or use its own certificate and key.",
                ),
            ),
            (
                soon,
                Text::new(
                    "商户证书 30 天内到期，请在商户平台申请新证书。",
                    "The merchant certificate ends within 30 days. Request a new one on the merchant platform.",
                ),
            ),
        ];
        texts.into_iter().filter(|(holds, _)| *holds).map(|(_, text)| text).collect()
    }

    /// What a page may show of them.
    pub fn overview(&self) -> Overview {
        let merchant = self.merchant_certificate.as_deref().and_then(|pem| Certificate::read(pem).ok());
        let key = RsaSigner::read(&self.merchant_key).ok().map(|key| key.public().fingerprint());
        let public = self.public_keys.iter().map(|(id, pem)| AnchorOverview {
            id: id.clone(),
            not_after: None,
            fingerprint: RsaVerifier::read(pem).map(|key| key.fingerprint()).unwrap_or_default(),
        });
        let certificates = self.platform_certificates.iter().filter_map(|pem| Certificate::read(pem).ok());
        let certificates = certificates.map(|certificate| AnchorOverview {
            id: certificate.serial_hex(),
            not_after: Some(certificate.not_after()),
            fingerprint: certificate.fingerprint(),
        });
        Overview {
            merchant_key: key.unwrap_or_default(),
            merchant_certificate_ends: merchant.map(|certificate| certificate.not_after()),
            anchors: public.chain(certificates).collect(),
        }
    }
}

/// Nothing secret: fingerprints, numbers and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// Fingerprint of the merchant's key; empty when it cannot be read.
    pub merchant_key: String,
    pub merchant_certificate_ends: Option<Timestamp>,
    pub anchors: Vec<AnchorOverview>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnchorOverview {
    /// `PUB_KEY_ID_…`, or a certificate's serial number.
    pub id: String,
    /// Public keys have no end.
    pub not_after: Option<Timestamp>,
    pub fingerprint: String,
}

/// The keys of an account, ready for use.
pub(super) struct Keys {
    pub signer: RsaSigner,
    pub serial: String,
    /// The present APIv3 key, then the one before.
    pub api_v3: Vec<Secret>,
    pub anchors: Anchors,
    /// Where codes that customers show go through V2.
    pub code_v2: Option<CodeV2>,
}

impl Keys {
    pub fn open(record: &Credentials) -> Result<Self, ChannelError> {
        let signer = RsaSigner::read(&record.merchant_key).map_err(|why| bad(&format!("merchant_key: {why}")))?;
        if !is_serial(&record.merchant_serial) {
            return Err(bad("merchant_serial is not a serial number"));
        }
        let mut api_v3 = Vec::new();
        for key in std::iter::once(&record.api_v3_key).chain(&record.previous_api_v3_key) {
            if key.len() != API_V3_KEY_BYTES {
                return Err(bad("an APIv3 key does not have 32 characters"));
            }
            api_v3.push(Secret::new(key.as_bytes()));
        }
        let anchors = Anchors::open(&record.public_keys, &record.platform_certificates)?;
        if let AnswersBy::PublicKey { id } = &record.answers
            && !anchors.public_keys.contains_key(id)
        {
            return Err(bad("the public key that answers are asked for is not among the keys"));
        }
        let certificate = record.merchant_certificate.as_deref();
        let code_v2 = record.code_v2_key.as_deref().map(|key| CodeV2::open(key, &record.merchant_key, certificate));
        let serial = record.merchant_serial.to_ascii_uppercase();
        Ok(Self { signer, serial, api_v3, anchors, code_v2: code_v2.transpose()? })
    }
}

/// Everything that may have signed a message to this account.
pub(super) struct Anchors {
    public_keys: BTreeMap<String, RsaVerifier>,
    certificates: Vec<PlatformCertificate>,
}

#[derive(Clone)]
pub(super) struct PlatformCertificate {
    pub pem: String,
    pub serial: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub key: RsaVerifier,
}

impl PlatformCertificate {
    pub fn read(pem: &str) -> Result<Self, ChannelError> {
        let unreadable = |why: &dyn fmt::Display| bad(&format!("a platform certificate: {why}"));
        let certificate = Certificate::read(pem).map_err(|why| unreadable(&why))?;
        Ok(Self {
            pem: pem.to_owned(),
            serial: certificate.serial_hex(),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            key: certificate.public_key().map_err(|why| unreadable(&why))?,
        })
    }

    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }
}

impl Anchors {
    fn open(public_keys: &BTreeMap<String, String>, certificates: &[String]) -> Result<Self, ChannelError> {
        if public_keys.len() + certificates.len() > ANCHORS_MAX {
            return Err(bad("too many keys of the provider"));
        }
        let mut keys = BTreeMap::new();
        for (id, pem) in public_keys {
            let key = RsaVerifier::read(pem).map_err(|why| bad(&format!("public key {}: {why}", shortened(id))))?;
            keys.insert(id.clone(), key);
        }
        let certificates = certificates.iter().map(|pem| PlatformCertificate::read(pem)).collect::<Result<_, _>>()?;
        Ok(Self { public_keys: keys, certificates })
    }

    /// The key with this id. A certificate counts only while it is valid.
    pub fn find(&self, id: &str, now: Timestamp) -> Result<&RsaVerifier, BadSignature> {
        if let Some(key) = self.public_keys.get(id) {
            return Ok(key);
        }
        let named = self.certificates.iter().find(|certificate| same_serial(&certificate.serial, id));
        let certificate = named.ok_or_else(|| BadSignature::UnknownKey { id: shortened(id) })?;
        if certificate.is_valid_at(now) {
            Ok(&certificate.key)
        } else {
            Err(BadSignature::ExpiredKey { id: shortened(id) })
        }
    }

    pub fn certificates(&self) -> &[PlatformCertificate] {
        &self.certificates
    }

    /// The key to encrypt fields with, and its id: the public key that answers are asked for, or the newest certificate
    /// that is valid now.
    pub fn to_encrypt(&self, answers: &AnswersBy, now: Timestamp) -> Option<(&str, &RsaVerifier)> {
        match answers {
            AnswersBy::PublicKey { id } => self.public_keys.get_key_value(id).map(|(id, key)| (id.as_str(), key)),
            AnswersBy::PlatformCertificate => {
                let valid = self.certificates.iter().filter(|certificate| certificate.is_valid_at(now));
                let newest = valid.max_by_key(|certificate| certificate.not_before)?;
                Some((newest.serial.as_str(), &newest.key))
            }
        }
    }
}

/// Serial numbers are hex of whole bytes; whoever prints them may lose leading zeros.
pub(super) fn same_serial(one: &str, other: &str) -> bool {
    let plain = |serial: &str| is_serial(serial).then(|| serial.trim_start_matches('0').to_ascii_uppercase());
    plain(one).is_some_and(|one| plain(other) == Some(one))
}

/// Hex of at most 20 bytes, the longest serial number that RFC 5280 allows.
pub(super) fn is_serial(text: &str) -> bool {
    (1..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

pub(super) fn bad(detail: &str) -> ChannelError {
    ChannelError::Credentials { detail: detail.to_owned() }
}
