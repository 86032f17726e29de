//! The record of one contract with UnionPay: its number and keys, and the check of what a merchant typed in.
//!
//! Most merchants get their key as a PFX file from CFCA. It is opened once, when it is entered, and kept as a plain key under
//! the vault; its password is not kept. Others agreed on one key for both sides (密钥). A shared key that was replaced is
//! believed no longer: a leak is the usual reason, and what was said under it is asked for again under the new one. Roots
//! that were replaced stay believed, because they can sign nothing of ours and messages from before still arrive.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::chain::Trust;
use super::keyed::KeyedMethod;
use super::sign::SIGN_METHOD;
use crate::crypto::pfx::{self, BadPfx};
use crate::crypto::rsa::RsaSigner;
use crate::crypto::{Certificate, Hash, Secret};
use crate::domain::time::{Duration, Timestamp};
use crate::lang::Text;

/// UnionPay's own root and middle certificate for production, as published with its SDK: 2011 to 2041 and 2031.
const PUBLISHED: [&str; 2] = [include_str!("published/root.cer"), include_str!("published/middle.cer")];

/// Certificates that end sooner are warned of when they are entered.
const ENDS_SOON: Duration = Duration::from_days(30);

/// The record inside a channel account's sealed credentials, as JSON. What the form of contract does not know is refused.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    /// 15 letters and digits (商户号).
    pub mer_id: String,
    /// 8 letters and digits (终端号), where the contract names one; sent with bar-code payments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term_id: Option<String>,
    /// Whom replaced credentials believed, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EarlierTrust>,
    #[serde(flatten)]
    pub contract: Contract,
}

/// The part of a replaced [`ByCertificate`] that verifies.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlierTrust {
    pub trusted_certificates: String,
    pub accept_sha1: bool,
    pub accept_test_name: bool,
}

/// Replacements that are remembered. UnionPay tells no time after which old messages stop, so it is a number and not a time.
pub const EARLIER_MAX: usize = 2;

/// How both sides agreed to sign.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Contract {
    Certificate(ByCertificate),
    Key(ByKey),
}

impl Contract {
    /// `signMethod`.
    pub fn sign_method(&self) -> &'static str {
        match self {
            Contract::Certificate(_) => SIGN_METHOD,
            Contract::Key(own) => own.sign_method.code(),
        }
    }
}

/// Signing method 01.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByCertificate {
    /// PEM or bare base64, PKCS#1 or PKCS#8.
    pub sign_key: String,
    /// The certificate of that key; its decimal serial number is `certId`.
    pub sign_certificate: String,
    /// Root and middle certificates, as PEM one behind the other; empty means those UnionPay publishes for production.
    pub trusted_certificates: String,
    /// Believe chains that are signed with SHA-1: all that UnionPay has shown so far.
    pub accept_sha1: bool,
    /// Believe the signer of UnionPay's test environment. Never with real money.
    pub accept_test_name: bool,
}

/// Signing methods 11 and 12.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByKey {
    pub sign_method: KeyedMethod,
    /// As UnionPay gave it (密钥); its text is the key.
    pub secure_key: String,
}

impl Credentials {
    /// The bytes that are sealed into the channel account.
    pub fn to_secret(&self) -> Secret {
        Secret::new(serde_json::to_vec(self).expect("plain text always serialises"))
    }

    /// Reads what [`Credentials::to_secret`] wrote.
    pub fn read(record: &[u8]) -> Option<Self> {
        serde_json::from_slice(record).ok()
    }

    /// These in the place of `old` ones of the same merchant: whom the old ones believed by certificate, the new ones
    /// believe as well. Neither an old private key nor an old shared key is kept.
    #[must_use]
    pub fn replacing(mut self, old: &Credentials) -> Credentials {
        if self.mer_id != old.mer_id {
            return self;
        }
        self.earlier.clone_from(&old.earlier);
        if let Contract::Certificate(before) = &old.contract {
            let left = EarlierTrust {
                trusted_certificates: before.trusted_certificates.clone(),
                accept_sha1: before.accept_sha1,
                accept_test_name: before.accept_test_name,
            };
            self.earlier.insert(0, left);
        }
        if let Contract::Certificate(own) = &self.contract {
            self.earlier.retain(|earlier| earlier.trusted_certificates != own.trusted_certificates);
            // What is switched off is off for old roots too.
            self.earlier.iter_mut().for_each(|earlier| earlier.accept_sha1 &= own.accept_sha1);
            self.earlier.retain(|earlier| earlier.trust().is_some());
        }
        self.earlier.dedup_by(|later, kept| later.trusted_certificates == kept.trusted_certificates);
        self.earlier.truncate(EARLIER_MAX);
        self
    }

    /// Names the key to people: a private key by its public half, a shared one by four bytes of a hash that signs nothing,
    /// which are too few to find it by.
    pub fn key_fingerprint(&self) -> Option<String> {
        match &self.contract {
            Contract::Certificate(own) => RsaSigner::read(&own.sign_key).ok().map(|key| key.public().fingerprint()),
            Contract::Key(own) => {
                let mut letters = Hash::Sha256.letters(format!("{} {}", self.mer_id, own.secure_key).as_bytes());
                letters.truncate(8);
                Some(letters)
            }
        }
    }

    /// `certId`: the decimal serial number of the signing certificate, where there is one.
    pub fn cert_id(&self) -> Option<String> {
        match &self.contract {
            Contract::Certificate(own) => Certificate::read(&own.sign_certificate).ok().map(|own| own.serial_decimal()),
            Contract::Key(_) => None,
        }
    }

    /// Until when the certificates are good, for warnings. A shared key has no end of its own.
    pub fn expiries(&self) -> Vec<(Field, Timestamp)> {
        match &self.contract {
            Contract::Certificate(own) => {
                let leaf = Certificate::read(&own.sign_certificate).ok();
                let leaf = leaf.map(|leaf| (Field::Certificate, leaf.not_after()));
                let trusted = own.trust().and_then(|trust| trust.not_after());
                leaf.into_iter().chain(trusted.map(|end| (Field::TrustedCertificates, end))).collect()
            }
            Contract::Key(_) => Vec::new(),
        }
    }
}

impl ByCertificate {
    /// Whose messages are believed; `None` when the configured certificates lead to no root.
    pub fn trust(&self) -> Option<Trust> {
        trust(&self.trusted_certificates, self.accept_sha1, self.accept_test_name)
    }
}

impl EarlierTrust {
    /// As [`ByCertificate::trust`].
    pub fn trust(&self) -> Option<Trust> {
        trust(&self.trusted_certificates, self.accept_sha1, self.accept_test_name)
    }
}

fn trust(configured: &str, accept_sha1: bool, accept_test_name: bool) -> Option<Trust> {
    let configured = configured.trim();
    let text = if configured.is_empty() { PUBLISHED.concat() } else { configured.to_owned() };
    Trust::new(Certificate::read_bundle(&text), accept_sha1, accept_test_name)
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("mer_id", &self.mer_id).finish_non_exhaustive()
    }
}

/// What a merchant types in or uploads: the PFX file with its password, or key and certificate as text, or the shared key.
#[derive(Clone, Copy, Default)]
pub struct Typed<'a> {
    pub mer_id: &'a str,
    /// `signMethod` of the contract; empty means by certificate.
    pub sign_method: &'a str,
    pub secure_key: &'a str,
    pub pfx: &'a [u8],
    pub pfx_password: &'a str,
    pub private_key: &'a str,
    pub certificate: &'a str,
    pub trusted_certificates: &'a str,
    pub accept_sha1: bool,
    pub accept_test_name: bool,
    pub term_id: &'a str,
}

/// What of it a sentence is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    MerId,
    SignMethod,
    SecureKey,
    Pfx,
    PfxPassword,
    PrivateKey,
    Certificate,
    TrustedCertificates,
    AcceptSha1,
    TermId,
}

/// What is wrong or worth a look, and how it can be made right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Complaint {
    pub field: Field,
    pub sentence: Text,
}

/// Reads what was typed in; every field that is wrong is named.
pub fn check(typed: &Typed<'_>, now: Timestamp) -> Result<Credentials, Vec<Complaint>> {
    let mut complaints = Vec::new();
    let mer_id = typed.mer_id.trim();
    if !is_mer_id(mer_id) {
        let zh = "商户号是收单机构给的 15 位数字或字母，请核对。";
        let en = "The merchant number has 15 letters and digits; your acquirer gave it to you.";
        complaints.push(wrong(Field::MerId, zh, en));
    }
    let term_id = Some(typed.term_id.trim()).filter(|id| !id.is_empty());
    if term_id.is_some_and(|id| !is_term_id(id)) {
        let zh = "终端号是 8 位数字或字母；合同里没有就留空。";
        let en = "The terminal number has 8 letters and digits; leave it empty if your contract names none.";
        complaints.push(wrong(Field::TermId, zh, en));
    }
    let contract = match typed.sign_method.trim() {
        "" | SIGN_METHOD => by_certificate(typed, now).map(Contract::Certificate),
        code => by_key(typed, code).map(Contract::Key).map_err(|wrong| vec![wrong]),
    };
    match contract {
        Ok(contract) if complaints.is_empty() => Ok(Credentials {
            mer_id: mer_id.to_owned(),
            term_id: term_id.map(str::to_owned),
            earlier: Vec::new(),
            contract,
        }),
        Ok(_) => Err(complaints),
        Err(more) => {
            complaints.extend(more);
            Err(complaints)
        }
    }
}

impl Credentials {
    /// What can be used and deserves a second look all the same.
    pub fn warnings(&self, now: Timestamp) -> Vec<Complaint> {
        let soon = self.expiries().into_iter().filter(|(_, end)| *end < now.plus(ENDS_SOON));
        soon.map(|(field, end)| {
            let (zh, en) = match (field == Field::TrustedCertificates, end < now) {
                (true, true) => (
                    "填入的根证书或中级证书已过期，银联的消息将无法验证。",
                    "A root or middle certificate has expired; UnionPay's messages cannot be verified.",
                ),
                (true, false) => ("填入的根证书或中级证书即将过期。", "A root or middle certificate ends soon."),
                (false, _) => (
                    "签名证书将在 30 天内过期，请尽快到 CFCA 更新。",
                    "The signing certificate ends within 30 days. Renew it at CFCA soon.",
                ),
            };
            wrong(field, zh, en)
        })
        .collect()
    }
}

fn by_certificate(typed: &Typed<'_>, now: Timestamp) -> Result<ByCertificate, Vec<Complaint>> {
    let mut complaints = Vec::new();
    if !typed.secure_key.trim().is_empty() {
        let zh = "您填了密钥，签名方式却是证书：请改选“密钥”，或清空密钥。";
        let en =
            "There is a shared key, but the way of signing is by certificate: choose the key there, or leave it out.";
        return Err(vec![wrong(Field::SignMethod, zh, en)]);
    }
    let pair = key_and_certificate(typed).map_err(|wrong| complaints.extend(wrong)).ok();
    if let Some((_, certificate)) = &pair {
        complaints.extend(validity(certificate, now).err());
    }
    let trusted = |accept_sha1| trust(typed.trusted_certificates, accept_sha1, typed.accept_test_name).is_some();
    if !trusted(typed.accept_sha1) && trusted(true) {
        let zh = "银联的根证书和中级证书本身就用 SHA-1 签名：请勾选，或填入收单机构给的 SHA-256 证书。";
        let en = "These root and middle certificates are signed with SHA-1 themselves: tick this, or enter your acquirer's \
                  certificates with SHA-256.";
        complaints.push(wrong(Field::AcceptSha1, zh, en));
    } else if !trusted(typed.accept_sha1) {
        let zh = "根证书和中级证书不完整：请把 acp_root.cer 和 acp_middle.cer 一起填入；正式环境可以留空。";
        let en = "Root and middle certificate are not complete: enter acp_root.cer and acp_middle.cer together, or leave the \
                  field empty for production.";
        complaints.push(wrong(Field::TrustedCertificates, zh, en));
    }
    match pair {
        Some((key, certificate)) if complaints.is_empty() => Ok(ByCertificate {
            sign_key: key,
            sign_certificate: pem("CERTIFICATE", certificate.to_der()),
            trusted_certificates: typed.trusted_certificates.trim().to_owned(),
            accept_sha1: typed.accept_sha1,
            accept_test_name: typed.accept_test_name,
        }),
        Some(_) | None => Err(complaints),
    }
}

fn by_key(typed: &Typed<'_>, code: &str) -> Result<ByKey, Complaint> {
    let Some(sign_method) = KeyedMethod::parse(code) else {
        let zh = "签名方式只有三种：证书（01）、密钥 SHA-256（11）、密钥 SM3（12）。";
        let en =
            "There are three ways of signing: by certificate (01), by key with SHA-256 (11), by key with SM3 (12).";
        return Err(wrong(Field::SignMethod, zh, en));
    };
    let mut of_certificate = [typed.private_key, typed.certificate, typed.trusted_certificates].into_iter();
    if !typed.pfx.is_empty() || of_certificate.any(|text| !text.trim().is_empty()) {
        let zh = "用密钥签名时没有证书：请清空 PFX、私钥和证书，或把签名方式改为证书。";
        let en = "Signing by key knows no certificates: leave PFX, key and certificates empty, or sign by certificate.";
        return Err(wrong(Field::SignMethod, zh, en));
    }
    let secure_key = typed.secure_key.trim();
    if !is_secure_key(secure_key) {
        let zh = "密钥是银联或收单机构给的一串字符，8 到 128 位，中间没有空格；请原样复制。";
        let en = "The key is a line of 8 to 128 characters without blanks, given by UnionPay or your acquirer. Copy it whole.";
        return Err(wrong(Field::SecureKey, zh, en));
    }
    Ok(ByKey { sign_method, secure_key: secure_key.to_owned() })
}

/// Visible ASCII, and too long to be tried out. UnionPay publishes no length, so not more is asked than keeps an empty or
/// cut one out.
pub(super) fn is_secure_key(text: &str) -> bool {
    (8..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Source: UnionPay ACP 5.1.0, merId, AN15.
pub(super) fn is_mer_id(text: &str) -> bool {
    text.len() == 15 && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Source: UnionPay ACP 5.1.0, termId, 8 characters.
pub(super) fn is_term_id(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn key_and_certificate(typed: &Typed<'_>) -> Result<(String, Certificate), Vec<Complaint>> {
    if !typed.pfx.is_empty() {
        let pair = pfx::open(typed.pfx, typed.pfx_password).map_err(|bad| vec![match bad {
            BadPfx::Unreadable => wrong(
                Field::Pfx,
                "这不是能读取的 PFX 文件，请上传从 CFCA 下载的 .pfx 原文件。",
                "This is no PFX file that can be read. Upload the .pfx file as you downloaded it from CFCA.",
            ),
            BadPfx::WrongPassword => wrong(
                Field::PfxPassword,
                "证书密码不对。它是下载证书时设置的，最多 6 位数字；测试证书是 000000。",
                "The password is wrong. It was set when the certificate was downloaded and has up to 6 digits; test files \
                 have 000000.",
            ),
            BadPfx::NoKey => wrong(
                Field::Pfx,
                "PFX 文件里没有私钥和对应的证书，请重新导出并选择“包含私钥”。",
                "The PFX file holds no private key with its certificate. Export it again, with the private key.",
            ),
        }])?;
        return Ok((pem("PRIVATE KEY", pair.key.expose()), pair.certificate));
    }
    if typed.private_key.trim().is_empty() && typed.certificate.trim().is_empty() {
        let zh = "请选择从 CFCA 下载的 .pfx 文件并填写密码；没有 PFX 时改填下面的私钥和证书。";
        let en = "Choose the .pfx file from CFCA and enter its password, or enter key and certificate below.";
        return Err(vec![wrong(Field::Pfx, zh, en)]);
    }
    let key = RsaSigner::read(typed.private_key).map_err(|_| {
        let zh = "私钥不能读取：请上传 PFX 文件，或粘贴 PEM 格式的 RSA 私钥（2048 位以上）。";
        let en =
            "The private key cannot be read: upload the PFX file, or paste an RSA key of at least 2048 bits as PEM.";
        wrong(Field::PrivateKey, zh, en)
    });
    let certificate = Certificate::read(typed.certificate).map_err(|_| {
        let zh = "签名证书不能读取，请粘贴 PEM 格式的证书（以 -----BEGIN CERTIFICATE----- 开头）。";
        let en = "The signing certificate cannot be read. Paste it as PEM; it begins with -----BEGIN CERTIFICATE-----.";
        wrong(Field::Certificate, zh, en)
    });
    let (key, certificate) = match (key, certificate) {
        (Ok(key), Ok(certificate)) => (key, certificate),
        (key, certificate) => return Err(key.err().into_iter().chain(certificate.err()).collect()),
    };
    if certificate.public_key().as_ref() != Ok(key.public()) {
        let zh = "证书和私钥不是一对，请核对是否来自同一个 PFX 文件。";
        let en = "Certificate and private key do not belong together. Check that both come from the same PFX file.";
        return Err(vec![wrong(Field::Certificate, zh, en)]);
    }
    Ok((typed.private_key.trim().to_owned(), certificate))
}

fn validity(certificate: &Certificate, now: Timestamp) -> Result<(), Complaint> {
    if certificate.not_after() < now {
        let zh = "签名证书已过期，请到 CFCA 下载新证书后再填入。";
        let en = "The signing certificate has expired. Get a new one from CFCA and enter that.";
        return Err(wrong(Field::Certificate, zh, en));
    }
    if certificate.not_before() > now {
        let zh = "签名证书还没有生效，请稍后再填入。";
        let en = "The signing certificate is not valid yet. Enter it again when it is.";
        return Err(wrong(Field::Certificate, zh, en));
    }
    Ok(())
}

fn wrong(field: Field, zh: &'static str, en: &'static str) -> Complaint {
    Complaint { field, sentence: Text::new(zh, en) }
}

/// DER as PEM, in lines of 64.
fn pem(label: &str, der: &[u8]) -> String {
    let base64 = data_encoding::BASE64.encode(der);
    let lines: Vec<&str> =
        base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64 is ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
