//! Checks what a merchant typed in, field by field, and makes the record of it: the form in the console asks here.
//!
//! Whatever can be found out without calling the provider is found out here, because the provider's own answer to a wrong
//! field is "signature error" for nearly all of them.

use std::collections::BTreeMap;

use super::code_v2;
use super::credentials::{
    API_V3_KEY_BYTES, AnswersBy, AppIds, Credentials, PUBLIC_KEY_ID_PREFIX, is_serial, same_serial,
};
use crate::crypto::Certificate;
use crate::crypto::rsa::{BadKey, RsaSigner, RsaVerifier};
use crate::domain::time::Timestamp;
use crate::lang::Text;

/// The fields of the form. Empty text means that nothing was entered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entered<'a> {
    pub mch_id: &'a str,
    pub app_id: &'a str,
    pub official_account_app_id: &'a str,
    pub official_account_secret: &'a str,
    pub mini_program_app_id: &'a str,
    pub app_app_id: &'a str,
    /// The content of `apiclient_key.pem`.
    pub merchant_key: &'a str,
    /// The content of `apiclient_cert.pem`; may be absent when the serial number is there.
    pub merchant_certificate: &'a str,
    pub merchant_serial: &'a str,
    pub api_v3_key: &'a str,
    pub previous_api_v3_key: &'a str,
    /// `v2`, or `v3` (which nothing means too).
    pub code_interface: &'a str,
    /// Only with V2.
    pub api_v2_key: &'a str,
    /// Both or none: without them the account uses platform certificates, which it fetches itself.
    pub public_key_id: &'a str,
    pub public_key: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    MchId,
    AppId,
    OfficialAccountAppId,
    OfficialAccountSecret,
    MiniProgramAppId,
    AppAppId,
    MerchantKey,
    MerchantCertificate,
    MerchantSerial,
    ApiV3Key,
    PreviousApiV3Key,
    CodeInterface,
    ApiV2Key,
    PublicKeyId,
    PublicKey,
}

impl Field {
    /// The name of the input in forms.
    pub const fn code(self) -> &'static str {
        match self {
            Field::MchId => "mch_id",
            Field::AppId => "app_id",
            Field::OfficialAccountAppId => "official_account_app_id",
            Field::OfficialAccountSecret => "official_account_secret",
            Field::MiniProgramAppId => "mini_program_app_id",
            Field::AppAppId => "app_app_id",
            Field::MerchantKey => "merchant_key",
            Field::MerchantCertificate => "merchant_certificate",
            Field::MerchantSerial => "merchant_serial",
            Field::ApiV3Key => "api_v3_key",
            Field::PreviousApiV3Key => "previous_api_v3_key",
            Field::CodeInterface => "code_interface",
            Field::ApiV2Key => "api_v2_key",
            Field::PublicKeyId => "public_key_id",
            Field::PublicKey => "public_key",
        }
    }
}

/// One field that is wrong, and how to put it right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    pub field: Field,
    pub text: Text,
}

/// The record for the vault, or every field that is wrong.
pub fn check(entered: &Entered<'_>, now: Timestamp) -> Result<Credentials, Vec<Problem>> {
    let mut problems = Problems::default();
    let app = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let credentials = Credentials {
        mch_id: entered.mch_id.trim().to_owned(),
        app_ids: AppIds {
            default: entered.app_id.trim().to_owned(),
            official_account: app(entered.official_account_app_id),
            mini_program: app(entered.mini_program_app_id),
            app: app(entered.app_app_id),
        },
        official_account_secret: app(entered.official_account_secret),
        merchant_key: entered.merchant_key.trim().to_owned(),
        merchant_serial: serial(entered, now, &mut problems),
        merchant_certificate: app(entered.merchant_certificate),
        api_v3_key: entered.api_v3_key.trim().to_owned(),
        previous_api_v3_key: app(entered.previous_api_v3_key),
        code_v2_key: code_v2_key(entered, &mut problems),
        public_keys: BTreeMap::new(),
        platform_certificates: Vec::new(),
        answers: AnswersBy::PlatformCertificate,
    };
    numbers(&credentials, &mut problems);
    official_account(&credentials, &mut problems);
    merchant_key(&credentials, &mut problems);
    api_v3_keys(&credentials, &mut problems);
    let credentials = with_public_key(credentials, entered, &mut problems);
    if problems.0.is_empty() { Ok(credentials) } else { Err(problems.0) }
}

/// The V2 API key, where V2 was chosen.
fn code_v2_key(entered: &Entered<'_>, problems: &mut Problems) -> Option<String> {
    let key = entered.api_v2_key.trim();
    match entered.code_interface {
        "v2" => {
            if !code_v2::is_key(key) {
                let zh = "选了 V2，要填 APIv2 密钥：正好 32 个字符，在商户平台“账户中心 → API 安全”设置。";
                let en =
                    "V2 needs the APIv2 key: exactly 32 characters, set on the merchant platform under API security.";
                problems.add(Field::ApiV2Key, zh, en);
            }
            if entered.merchant_certificate.trim().is_empty() {
                let zh = "V2 撤销付款要出示商户证书。请粘贴 apiclient_cert.pem 的全部内容。";
                let en = "V2 wants the merchant certificate at reversals. Paste all of apiclient_cert.pem.";
                problems.add(Field::MerchantCertificate, zh, en);
            }
            return Some(key.to_owned());
        }
        "" | "v3" => {
            if !key.is_empty() {
                let zh = "APIv2 密钥只用于 V2。要用它，请把付款码接口选成 V2；否则留空。";
                let en = "The APIv2 key is for V2 only. Choose V2 for payment codes, or leave it empty.";
                problems.add(Field::ApiV2Key, zh, en);
            }
        }
        _ => problems.add(Field::CodeInterface, "请选 V3 或 V2。", "Choose V3 or V2."),
    }
    None
}

/// Digits, at most 32; ten in practice.
pub fn is_merchant_number(text: &str) -> bool {
    (6..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// `wx` and 16 hex digits today; the manual promises no more than 32 letters and digits.
pub fn is_app_id(text: &str) -> bool {
    (6..=32).contains(&text.len()) && text.starts_with("wx") && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, field: Field, zh: &'static str, en: &'static str) {
        self.0.push(Problem { field, text: Text::new(zh, en) });
    }
}

fn numbers(credentials: &Credentials, problems: &mut Problems) {
    if !is_merchant_number(&credentials.mch_id) {
        let zh = "商户号是一串数字，一般 10 位，在商户平台“账户中心 → 商户信息”里。";
        problems.add(
            Field::MchId,
            zh,
            "The merchant number is digits only, usually ten. See the merchant platform's account page.",
        );
    }
    let AppIds { default, official_account, mini_program, app } = &credentials.app_ids;
    let optional = [
        (Field::AppId, Some(default)),
        (Field::OfficialAccountAppId, official_account.as_ref()),
        (Field::MiniProgramAppId, mini_program.as_ref()),
        (Field::AppAppId, app.as_ref()),
    ];
    for (field, app_id) in optional {
        if app_id.is_some_and(|app_id| !is_app_id(app_id)) {
            let zh = "AppID 以 wx 开头，后面是字母和数字，共 18 位。";
            problems.add(field, zh, "An AppID begins with wx, followed by letters and digits, 18 characters in all.");
        }
    }
}

/// Letters and digits, 32 today.
fn is_app_secret(text: &str) -> bool {
    (16..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn official_account(credentials: &Credentials, problems: &mut Problems) {
    let Some(secret) = &credentials.official_account_secret else { return };
    if credentials.app_ids.official_account.is_none() {
        let zh = "填了公众号 AppSecret，也要填它的 AppID。";
        problems.add(
            Field::OfficialAccountAppId,
            zh,
            "With the official account's AppSecret its app id is needed too.",
        );
    }
    if *secret == credentials.api_v3_key {
        let zh = "这是 APIv3 密钥。AppSecret 在公众平台“设置与开发 → 基本配置”里。";
        let en = "This is the APIv3 key. The AppSecret is on the official accounts platform under basic configuration.";
        problems.add(Field::OfficialAccountSecret, zh, en);
    } else if !is_app_secret(secret) {
        let zh = "AppSecret 是 32 位字母和数字，在公众平台“设置与开发 → 基本配置”里。";
        let en = "An AppSecret has 32 letters and digits; see basic configuration on the official accounts platform.";
        problems.add(Field::OfficialAccountSecret, zh, en);
    }
}

fn merchant_key(credentials: &Credentials, problems: &mut Problems) {
    let key = match RsaSigner::read(&credentials.merchant_key) {
        Ok(key) => key,
        Err(BadKey::Unreadable) => {
            let zh = "读不出私钥。请打开 apiclient_key.pem，把全部内容粘贴进来。";
            return problems.add(
                Field::MerchantKey,
                zh,
                "This is not a private key. Open apiclient_key.pem and paste all of it.",
            );
        }
        Err(BadKey::Weak) => {
            let zh = "私钥不足 2048 位，不是微信支付的商户私钥。";
            return problems.add(
                Field::MerchantKey,
                zh,
                "This key is shorter than 2048 bits, so it is not a WeChat Pay merchant key.",
            );
        }
    };
    let Some(certificate) = credentials.merchant_certificate.as_deref().and_then(|pem| Certificate::read(pem).ok())
    else {
        return;
    };
    if certificate.public_key().is_ok_and(|of_certificate| of_certificate != *key.public()) {
        let zh = "私钥与商户证书不是一对。请用同一次下载的 apiclient_key.pem 和 apiclient_cert.pem。";
        problems.add(
            Field::MerchantKey,
            zh,
            "Key and certificate do not belong together. Use apiclient_key.pem and apiclient_cert.pem of the same download.",
        );
    }
}

/// The serial number, from the certificate where there is one.
fn serial(entered: &Entered<'_>, now: Timestamp, problems: &mut Problems) -> String {
    let typed = entered.merchant_serial.trim();
    let pem = entered.merchant_certificate.trim();
    if pem.is_empty() {
        if !is_serial(typed) {
            let zh = "请填写商户证书序列号（40 位十六进制），或粘贴 apiclient_cert.pem 的内容。";
            let en = "Enter the certificate's serial number (40 hex digits), or paste apiclient_cert.pem.";
            problems.add(Field::MerchantSerial, zh, en);
        }
        return typed.to_ascii_uppercase();
    }
    let Ok(certificate) = Certificate::read(pem) else {
        let zh = "读不出证书。请打开 apiclient_cert.pem，把全部内容粘贴进来。";
        problems.add(
            Field::MerchantCertificate,
            zh,
            "This is not a certificate. Open apiclient_cert.pem and paste all of it.",
        );
        return typed.to_ascii_uppercase();
    };
    if now > certificate.not_after() {
        let zh = "商户证书已过期，请在商户平台“账户中心 → API 安全”申请新证书。";
        let en = "The merchant certificate has expired. Request a new one on the merchant platform under API security.";
        problems.add(Field::MerchantCertificate, zh, en);
    } else if now < certificate.not_before() {
        let zh = "商户证书尚未生效，请检查服务器时间。";
        problems.add(
            Field::MerchantCertificate,
            zh,
            "The merchant certificate is not valid yet. Check the server's clock.",
        );
    }
    let serial = certificate.serial_hex();
    if !typed.is_empty() && !same_serial(typed, &serial) {
        let zh = "填写的序列号与证书不一致，可以留空，会从证书里读取。";
        let en = "The serial number is not the certificate's. Leave it empty and it is read from the certificate.";
        problems.add(Field::MerchantSerial, zh, en);
    }
    serial
}

fn api_v3_keys(credentials: &Credentials, problems: &mut Problems) {
    let ascii = |key: &str| key.len() == API_V3_KEY_BYTES && key.bytes().all(|b| b.is_ascii_graphic());
    let zh = "APIv3 密钥正好 32 个字符，在商户平台“账户中心 → API 安全”设置；它不是私钥，也不是旧的 API 密钥。";
    let en = "The APIv3 key has exactly 32 characters. It is set on the merchant platform under API security, and is neither the private key nor the older API key.";
    if !ascii(&credentials.api_v3_key) {
        problems.add(Field::ApiV3Key, zh, en);
    }
    if credentials.previous_api_v3_key.as_deref().is_some_and(|key| !ascii(key)) {
        problems.add(Field::PreviousApiV3Key, zh, en);
    }
}

fn with_public_key(mut credentials: Credentials, entered: &Entered<'_>, problems: &mut Problems) -> Credentials {
    let (id, pem) = (entered.public_key_id.trim(), entered.public_key.trim());
    if id.is_empty() && pem.is_empty() {
        return credentials;
    }
    let digits = id.strip_prefix(PUBLIC_KEY_ID_PREFIX);
    if !digits.is_some_and(|rest| (1..=64).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric())) {
        let zh = "微信支付公钥 ID 以 PUB_KEY_ID_ 开头，与公钥文件在同一页。";
        let en = "The id of the WeChat Pay public key begins with PUB_KEY_ID_ and stands beside the key's download.";
        problems.add(Field::PublicKeyId, zh, en);
    }
    match RsaVerifier::read(pem) {
        Ok(key) => {
            if RsaSigner::read(&credentials.merchant_key).is_ok_and(|own| *own.public() == key) {
                let zh = "这是商户自己的公钥。这里要的是微信支付公钥（pub_key.pem）。";
                problems.add(
                    Field::PublicKey,
                    zh,
                    "This is your own public key. WeChat Pay's is needed here (pub_key.pem).",
                );
            }
            credentials.public_keys.insert(id.to_owned(), pem.to_owned());
            credentials.answers = AnswersBy::PublicKey { id: id.to_owned() };
        }
        Err(BadKey::Unreadable | BadKey::Weak) => {
            let zh = "读不出微信支付公钥。请打开下载的 pub_key.pem，把全部内容粘贴进来。";
            problems.add(
                Field::PublicKey,
                zh,
                "This is not WeChat Pay's public key. Open the downloaded pub_key.pem and paste all of it.",
            );
        }
    }
    credentials
}
