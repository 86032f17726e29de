//! The record of one contract with Alipay: numbers, keys and certificates, and the check of what a merchant typed in.
//!
//! Alipay knows two modes. In key mode (密钥) both sides exchange bare public keys; in certificate mode (证书) they exchange
//! certificates, requests name ours by its number (SN), and Alipay may change its own between two answers.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::sign;
use crate::channels::form::EXPIRY_WARNING;
use crate::crypto::rsa::BadKey;
use crate::crypto::rsa::{RsaSigner, RsaVerifier};
use crate::crypto::{Certificate, ContentKey, Secret};
use crate::domain::time::Timestamp;
use crate::lang::Text;

/// The record inside a channel account's sealed credentials, as JSON.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    pub app_id: String,
    /// The payee's number (PID), `2088…`.
    pub seller_id: String,
    /// The app's private key, PEM or bare base64, PKCS#1 or PKCS#8.
    pub private_key: String,
    pub trust: Trust,
    /// Base64 of 16 bytes; the content of requests and answers is encrypted when it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_key: Option<String>,
    /// What replaced keys verified and opened, the newest first: messages from before a replacement still arrive.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Earlier>,
}

/// Replaced keys of [`Credentials`] as far as they verify and open; what signed is gone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Earlier {
    pub trust: Trust,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_key: Option<String>,
}

/// Replacements that are remembered. Alipay tells no time after which old messages stop, so it is a number and not a time.
pub const EARLIER_MAX: usize = 2;
/// Certificates of Alipay that are kept: the one in use, its successor, and old ones for orders under way.
pub const ALIPAY_CERTIFICATES_MAX: usize = 4;

/// How each side knows the other's key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case", deny_unknown_fields)]
pub enum Trust {
    Key {
        alipay_public_key: String,
    },
    Certificate {
        /// `appCertPublicKey_….crt`.
        app_certificate: String,
        /// `alipayCertPublicKey_RSA2.crt` and those that followed it, newest first.
        alipay_certificates: Vec<String>,
        /// `alipayRootCert.crt`.
        root_certificates: String,
        /// Alipay signs with a certificate of this number, which is not here yet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wanted_sn: Option<String>,
    },
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

    /// These in the place of `old` ones of the same application: what the old ones could verify and open, the new ones can.
    /// The merchant's old private key is not kept.
    #[must_use]
    pub fn replacing(mut self, old: &Credentials) -> Credentials {
        if self.app_id != old.app_id {
            return self;
        }
        let verifies_the_same = match (&mut self.trust, &old.trust) {
            (Trust::Key { alipay_public_key }, Trust::Key { alipay_public_key: before }) => alipay_public_key == before,
            (
                Trust::Certificate { alipay_certificates, root_certificates, .. },
                Trust::Certificate { alipay_certificates: before, root_certificates: roots, .. },
            ) if root_certificates == roots => {
                // Those that Alipay changed to by itself stay beside the one that was entered.
                for file in before {
                    if alipay_certificates.len() < ALIPAY_CERTIFICATES_MAX && !alipay_certificates.contains(file) {
                        alipay_certificates.push(file.clone());
                    }
                }
                true
            }
            (Trust::Key { .. } | Trust::Certificate { .. }, Trust::Key { .. } | Trust::Certificate { .. }) => false,
        };
        self.earlier.clone_from(&old.earlier);
        if !verifies_the_same || (old.content_key.is_some() && old.content_key != self.content_key) {
            self.earlier.insert(0, Earlier { trust: old.trust.clone(), content_key: old.content_key.clone() });
            self.earlier.truncate(EARLIER_MAX);
        }
        self
    }

    /// Names the private key to people, by its public half.
    pub fn key_fingerprint(&self) -> Option<String> {
        RsaSigner::read(&self.private_key).ok().map(|key| key.public().fingerprint())
    }

    /// Until when the certificates are good, for warnings; nothing in key mode.
    pub fn expiries(&self) -> Vec<(Field, Timestamp)> {
        let Trust::Certificate { app_certificate, alipay_certificates, .. } = &self.trust else { return Vec::new() };
        let app = (Field::AppCertificate, app_certificate);
        let newest = alipay_certificates.first().map(|file| (Field::AlipayCertificate, file));
        let read = |(field, file): (Field, &String)| Some((field, Certificate::read(file).ok()?.not_after()));
        [Some(app), newest].into_iter().flatten().filter_map(read).collect()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("app_id", &self.app_id)
            .field("seller_id", &self.seller_id)
            .finish_non_exhaustive()
    }
}

/// What a merchant typed or pasted; empty means not given. Certificate mode is meant as soon as one certificate is there.
#[derive(Clone, Copy, Default)]
pub struct Typed<'a> {
    pub app_id: &'a str,
    pub seller_id: &'a str,
    pub private_key: &'a str,
    pub alipay_public_key: &'a str,
    pub app_certificate: &'a str,
    pub alipay_certificate: &'a str,
    pub root_certificates: &'a str,
    pub content_key: &'a str,
}

/// The fields of the form, by the names its page gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    AppId,
    SellerId,
    PrivateKey,
    AlipayPublicKey,
    AppCertificate,
    AlipayCertificate,
    RootCertificates,
    ContentKey,
}

impl Field {
    pub const ALL: [Field; 8] = [
        Field::AppId,
        Field::SellerId,
        Field::PrivateKey,
        Field::AlipayPublicKey,
        Field::AppCertificate,
        Field::AlipayCertificate,
        Field::RootCertificates,
        Field::ContentKey,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Field::AppId => "app_id",
            Field::SellerId => "seller_id",
            Field::PrivateKey => "private_key",
            Field::AlipayPublicKey => "alipay_public_key",
            Field::AppCertificate => "app_certificate",
            Field::AlipayCertificate => "alipay_certificate",
            Field::RootCertificates => "root_certificates",
            Field::ContentKey => "content_key",
        }
    }
}

/// One field is wrong, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Complaint {
    pub field: Field,
    pub sentence: Text,
}

/// Checks what a merchant typed in, as far as that is possible without calling Alipay: every value alone, and whether keys
/// and certificates belong to each other. Names every field that is wrong.
pub fn check(typed: &Typed<'_>, now: Timestamp) -> Result<Credentials, Vec<Complaint>> {
    let mut complaints = Vec::new();
    let mut note = |result: Result<(), Complaint>| complaints.extend(result.err());
    let app_id = app_id(typed.app_id).map_err(|wrong| note(Err(wrong))).ok();
    let seller_id = seller_id(typed.seller_id).map_err(|wrong| note(Err(wrong))).ok();
    let signer = private_key(typed.private_key).map_err(|wrong| note(Err(wrong))).ok();
    let own = signer.as_ref().map(RsaSigner::public);
    let certificates = [typed.app_certificate, typed.alipay_certificate, typed.root_certificates];
    let trust = if certificates.iter().all(|file| file.trim().is_empty()) {
        note(alipay_public_key(typed.alipay_public_key, own));
        Trust::Key { alipay_public_key: typed.alipay_public_key.trim().to_owned() }
    } else {
        note(app_certificate(typed.app_certificate, app_id, own, now));
        let roots = root_certificates(typed.root_certificates).map_err(|wrong| note(Err(wrong))).ok();
        note(alipay_certificate(typed.alipay_certificate, own, roots.as_deref(), now));
        Trust::Certificate {
            app_certificate: typed.app_certificate.trim().to_owned(),
            alipay_certificates: vec![typed.alipay_certificate.trim().to_owned()],
            root_certificates: typed.root_certificates.trim().to_owned(),
            wanted_sn: None,
        }
    };
    let content_key = typed.content_key.trim();
    if !content_key.is_empty() && ContentKey::read(content_key).is_none() {
        let zh = "接口内容加密的 AES 密钥应是开放平台生成的 24 个字符（以 == 结尾）。没有开启内容加密就留空。";
        let en = "The content encryption key is the 24 characters that the open platform made, ending in ==. Leave it empty \
                  if you did not switch content encryption on.";
        note(Err(wrong(Field::ContentKey, zh, en)));
    }
    match (app_id, seller_id) {
        (Some(app_id), Some(seller_id)) if complaints.is_empty() => Ok(Credentials {
            app_id: app_id.to_owned(),
            seller_id: seller_id.to_owned(),
            private_key: typed.private_key.trim().to_owned(),
            trust,
            content_key: Some(content_key.to_owned()).filter(|key| !key.is_empty()),
            earlier: Vec::new(),
        }),
        (Some(_) | None, Some(_) | None) => Err(complaints),
    }
}

impl Credentials {
    /// What can be used and deserves a second look all the same.
    pub fn warnings(&self, now: Timestamp) -> Vec<Complaint> {
        let mut warnings = Vec::new();
        let Trust::Certificate { app_certificate, .. } = &self.trust else { return warnings };
        let name = Certificate::read(app_certificate).ok().and_then(|certificate| certificate.common_name());
        if name.as_deref().and_then(numbers_of).is_some_and(|(payee, _)| payee != self.seller_id) {
            let zh = "证书上的商家号与填写的 PID 不同。收款账号若不是应用所属账号，可以忽略；否则请核对。";
            let en = "The certificate names another merchant than the PID. Check it, unless another account than the \
                      application's own receives the money.";
            warnings.push(wrong(Field::SellerId, zh, en));
        }
        for (field, end) in self.expiries() {
            if end.since(now) < EXPIRY_WARNING {
                let (zh, en) = if field == Field::AppCertificate {
                    (
                        "应用公钥证书 30 天内到期，请准备更换。",
                        "The application's certificate expires within 30 days. Prepare its replacement.",
                    )
                } else {
                    (
                        "支付宝公钥证书 30 天内到期，新的会自动取来。",
                        "Alipay's certificate expires within 30 days. Its successor is fetched by itself.",
                    )
                };
                warnings.push(wrong(field, zh, en));
            }
        }
        warnings
    }
}

const fn wrong(field: Field, zh: &'static str, en: &'static str) -> Complaint {
    Complaint { field, sentence: Text::new(zh, en) }
}

fn app_id(text: &str) -> Result<&str, Complaint> {
    let text = text.trim();
    if (10..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(text);
    }
    let zh = "APPID 是开放平台应用详情页上的一串数字，一般 16 位，例如 2021001161683774。";
    let en = "The APPID is the number on the application's page of the open platform, usually 16 digits such as \
              2021001161683774.";
    Err(wrong(Field::AppId, zh, en))
}

fn seller_id(text: &str) -> Result<&str, Complaint> {
    let text = text.trim();
    if text.len() == 16 && text.starts_with("2088") && text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(text);
    }
    let zh = "商家 PID 是 2088 开头的 16 位数字，在商家平台的账户信息里。";
    let en = "The merchant's PID has 16 digits and begins with 2088. It stands in the account information of the merchant \
              platform.";
    Err(wrong(Field::SellerId, zh, en))
}

fn private_key(text: &str) -> Result<RsaSigner, Complaint> {
    RsaSigner::read(text).map_err(|bad| {
        let (zh, en) = match bad {
            BadKey::Unreadable if RsaVerifier::read(text).is_ok() || Certificate::read(text).is_ok() => (
                "这里填的是公钥或证书。请粘贴应用私钥：密钥工具生成时保存在您电脑上的那个文件。",
                "This is a public key or a certificate. Paste the application's private key, from the file that the key tool \
                 saved on your computer.",
            ),
            BadKey::Unreadable => (
                "读不出应用私钥。请完整粘贴密钥工具保存的私钥内容，PKCS#1、PKCS#8 格式都可以。",
                "The private key cannot be read. Paste the whole content of the key file; PKCS#1 and PKCS#8 both work.",
            ),
            BadKey::Weak => (
                "应用私钥太短。支付宝的 RSA2 要求 2048 位，请重新生成密钥。",
                "The private key is too short. RSA2 at Alipay needs 2048 bits, so make a new pair of keys.",
            ),
        };
        wrong(Field::PrivateKey, zh, en)
    })
}

fn alipay_public_key(text: &str, own: Option<&RsaVerifier>) -> Result<(), Complaint> {
    let (zh, en) = match RsaVerifier::read(text) {
        Ok(key) if Some(&key) == own => (
            "这是您自己的应用公钥。请填支付宝公钥：在开放平台保存应用公钥之后，页面上另外显示的那一个。",
            "This is your own application's public key. Enter Alipay's public key, which the open platform shows beside it \
             once yours is saved.",
        ),
        Ok(_) => return Ok(()),
        Err(BadKey::Weak) => {
            ("支付宝公钥应为 2048 位的 RSA2 公钥。", "Alipay's public key must be an RSA2 key of 2048 bits.")
        }
        Err(BadKey::Unreadable) if text.trim().is_empty() => (
            "请填支付宝公钥；如果应用用的是证书模式，请改为上传三个证书。",
            "Enter Alipay's public key, or the three certificates if the application works in certificate mode.",
        ),
        Err(BadKey::Unreadable) if RsaSigner::read(text).is_ok() => (
            "这是一把私钥。这里要填的是支付宝公钥，在开放平台的接口加签方式里查看。",
            "This is a private key. Alipay's public key belongs here; the open platform shows it under the signing method.",
        ),
        Err(BadKey::Unreadable) if Certificate::read(text).is_ok() => (
            "这是一个证书。应用用证书模式时，请把三个证书分别填到证书栏。",
            "This is a certificate. For certificate mode, put the three certificates into their own fields.",
        ),
        Err(BadKey::Unreadable) => (
            "读不出支付宝公钥。请从开放平台完整复制，不要多字或少字。",
            "Alipay's public key cannot be read. Copy all of it from the open platform.",
        ),
    };
    Err(wrong(Field::AlipayPublicKey, zh, en))
}

fn app_certificate(
    text: &str,
    app_id: Option<&str>,
    own: Option<&RsaVerifier>,
    now: Timestamp,
) -> Result<(), Complaint> {
    let field = Field::AppCertificate;
    let Ok(certificate) = Certificate::read(text) else {
        let zh = "请填应用公钥证书：appCertPublicKey_ 开头的 .crt 文件的全部内容。";
        let en = "Enter the application's certificate: the whole content of the .crt file whose name begins with \
                  appCertPublicKey_.";
        return Err(wrong(field, zh, en));
    };
    if own.is_some_and(|own| certificate.public_key().as_ref() != Ok(own)) {
        let zh =
            "应用公钥证书与应用私钥不是一对。请用生成证书申请（CSR）时的那把私钥，或确认没有和支付宝公钥证书填反。";
        let en = "The application's certificate does not belong to the private key. Use the key that the certificate request \
                  was made with, and make sure that the two certificates are not swapped.";
        return Err(wrong(field, zh, en));
    }
    let name = certificate.common_name().unwrap_or_default();
    if let (Some((_, application)), Some(app_id)) = (numbers_of(&name), app_id)
        && application != app_id
    {
        let zh = "应用公钥证书属于另一个应用。请核对 APPID，或下载这个应用的证书。";
        let en = "The certificate belongs to another application. Check the APPID, or download this application's \
                  certificate.";
        return Err(wrong(field, zh, en));
    }
    in_time(field, &certificate, now)
}

/// Payee and application in the name of an application's certificate, `2088…-2021…`.
fn numbers_of(name: &str) -> Option<(&str, &str)> {
    name.split_once('-').filter(|(payee, application)| is_number(payee) && is_number(application))
}

fn root_certificates(text: &str) -> Result<Vec<Certificate>, Complaint> {
    let roots = Certificate::read_bundle(text);
    if sign::root_sn(&roots).is_empty() {
        let zh = "请填支付宝根证书：alipayRootCert.crt 文件的全部内容，里面有几段证书。";
        let en = "Enter Alipay's root certificates: the whole content of alipayRootCert.crt, which holds several.";
        return Err(wrong(Field::RootCertificates, zh, en));
    }
    Ok(roots)
}

fn alipay_certificate(
    text: &str,
    own: Option<&RsaVerifier>,
    roots: Option<&[Certificate]>,
    now: Timestamp,
) -> Result<(), Complaint> {
    let field = Field::AlipayCertificate;
    let chain = Certificate::read_bundle(text);
    let Some((leaf, key)) = chain.first().and_then(|leaf| Some((leaf, leaf.public_key().ok()?))) else {
        let zh = "请填支付宝公钥证书：alipayCertPublicKey_RSA2.crt 文件的全部内容。";
        let en = "Enter Alipay's certificate: the whole content of alipayCertPublicKey_RSA2.crt.";
        return Err(wrong(field, zh, en));
    };
    if Some(&key) == own {
        let zh = "这是您自己的应用公钥证书。请填支付宝公钥证书：alipayCertPublicKey_RSA2.crt。";
        let en = "This is your own application's certificate. Enter Alipay's: alipayCertPublicKey_RSA2.crt.";
        return Err(wrong(field, zh, en));
    }
    // Older downloads hold the leaf alone. The merchant fetched it from Alipay, so its missing issuer is no forgery; a
    // chain that is there has to hold.
    if chain.len() > 1 && roots.is_some_and(|roots| !is_rooted(&chain, &[], roots)) {
        let zh = "支付宝公钥证书与根证书对不上。请在同一个环境（正式或沙箱）里重新下载三个证书。";
        let en = "Alipay's certificate does not descend from the root certificates. Download all three again from the same \
                  environment, production or sandbox.";
        return Err(wrong(Field::RootCertificates, zh, en));
    }
    in_time(field, leaf, now)
}

fn in_time(field: Field, certificate: &Certificate, now: Timestamp) -> Result<(), Complaint> {
    if certificate.is_valid_at(now) {
        return Ok(());
    }
    let zh = "这个证书已过期或尚未生效。请在开放平台下载新的证书。";
    let en = "This certificate has expired or is not valid yet. Download the current one from the open platform.";
    Err(wrong(field, zh, en))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Links from a leaf to a root that are followed.
const CHAIN_MAX: usize = 8;

/// Whether the first of `chain` descends from one of `roots`, over members of `chain` and `known`.
pub fn is_rooted(chain: &[Certificate], known: &[Certificate], roots: &[Certificate]) -> bool {
    links(chain, known, roots).is_some()
}

/// The links that [`is_rooted`] finds: from the leaf to the root.
pub fn links<'a>(
    chain: &'a [Certificate],
    known: &'a [Certificate],
    roots: &'a [Certificate],
) -> Option<Vec<&'a Certificate>> {
    let mut links = vec![chain.first()?];
    while links.len() < CHAIN_MAX {
        let last = links[links.len() - 1];
        if let Some(root) = roots.iter().find(|root| last.is_signed_by(root)) {
            links.push(root);
            return Some(links);
        }
        let mut candidates = chain.iter().chain(known);
        links.push(candidates.find(|next| *next != last && last.is_signed_by(next))?);
    }
    None
}
