//! The provider's gate: public parameters, the caller's signature, and how answers are signed. Source: §2 to §6.

use data_encoding::BASE64;
use serde_json::{Map, Value, json};

use super::call::{self, is_method};
use super::fault::{Wrong, invalid, missing};
use super::form::Parameters;
use super::keys::{Merchant, Mode};
use super::view::beijing_time;
use crate::crypto::rsa::{Digest, RsaSigner, RsaVerifier};
use crate::domain::time::{Duration, Timestamp};
use crate::env::Env;

/// The provider names no bound; what is further away is a clock or zone that is wrong.
const TIMESTAMP_WINDOW: Duration = Duration::from_hours(24);
const URL_CHARS_MAX: usize = 256;

/// What a merchant has to match.
pub struct Expected<'a> {
    pub key: &'a RsaVerifier,
    pub app_cert_sn: &'a str,
    pub root_cert_sn: &'a str,
}

/// The method, once it is known to be one.
pub fn method(parameters: &Parameters) -> Result<&str, Wrong> {
    let method = parameters.get("method").ok_or_else(|| missing("isv.missing-method"))?;
    if is_method(method) { Ok(method) } else { Err(invalid("isv.invalid-method")) }
}

/// Whether the caller is who it says, and has said everything. Nothing may be signed before.
pub fn check_caller(
    parameters: &Parameters,
    merchant: &Merchant,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<(), Wrong> {
    let need = |name: &str, sub_code: &str| parameters.get(name).ok_or_else(|| missing(sub_code));
    match need("sign_type", "isv.missing-signature-type")? {
        "RSA2" => {}
        _ => return Err(invalid("isv.invalid-signature-type")),
    }
    let sign = need("sign", "isv.missing-signature")?;
    let text = parameters.signed_text();
    let signature = BASE64.decode(sign.as_bytes()).unwrap_or_default();
    if !expected.key.verifies(Digest::Sha256, &parameters.encode(&text), &signature) {
        let sub_msg =
            format!("验签出错，建议检查签名字符串或签名私钥与应用公钥是否匹配，网关生成的验签字符串为：{text}");
        return Err(invalid("isv.invalid-signature").saying(sub_msg));
    }
    if merchant.mode == Mode::Certificate {
        for (name, ours, lacking, wrong) in [
            ("app_cert_sn", expected.app_cert_sn, "isv.missing-app-cert-sn", "isv.invalid-app-cert-sn"),
            (
                "alipay_root_cert_sn",
                expected.root_cert_sn,
                "isv.missing-alipay-root-cert-sn",
                "isv.invalid-alipay-root-cert-sn",
            ),
        ] {
            if need(name, lacking)? != ours {
                return Err(invalid(wrong));
            }
        }
    }
    if parameters.get("format").is_some_and(|format| !format.eq_ignore_ascii_case("json")) {
        return Err(invalid("isv.invalid-format"));
    }
    // Alipay's client for PHP names no version where it asks for a certificate.
    let asks_for_certificate = parameters.get("method") == Some(call::CERTIFICATE);
    let version =
        if asks_for_certificate { parameters.get("version") } else { Some(need("version", "isv.missing-version")?) };
    if version.is_some_and(|version| version != "1.0") {
        return Err(invalid("isv.invalid-version"));
    }
    let sent = beijing_time(need("timestamp", "isv.missing-timestamp")?);
    let near = |sent: &Timestamp| now.since(*sent).max(sent.since(now)) <= TIMESTAMP_WINDOW;
    if sent.filter(near).is_none() {
        return Err(invalid("isv.invalid-timestamp"));
    }
    for name in ["notify_url", "return_url"] {
        let url = parameters.get(name);
        let usable = |text: &str| {
            let parsed = url::Url::parse(text).ok();
            text.chars().count() <= URL_CHARS_MAX && parsed.is_some_and(|url| matches!(url.scheme(), "http" | "https"))
        };
        if url.is_some_and(|url| !usable(url)) {
            return Err(invalid("isv.invalid-parameter").saying(format!("{name} 不正确")));
        }
    }
    Ok(())
}

/// How a caller encrypts contents, and is answered. Source: §6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    Aes,
    AesV2,
}

impl Encryption {
    /// By the name in `encrypt_type`.
    pub fn parse(name: &str) -> Result<Self, Wrong> {
        match name {
            "AES" => Ok(Encryption::Aes),
            "AES_V2" => Ok(Encryption::AesV2),
            _ => Err(invalid("isv.invalid-encrypt-type")),
        }
    }

    pub fn open(self, merchant: &Merchant, closed: &str) -> Result<String, Wrong> {
        let cipher = merchant.cipher();
        let plain = match self {
            Encryption::Aes => cipher.open(closed),
            Encryption::AesV2 => cipher.open_v2(closed),
        };
        let plain = plain.and_then(|plain| String::from_utf8(plain).ok());
        plain.ok_or_else(|| invalid("isv.decryption-error-not-valid-encrypt-key"))
    }

    pub fn close(self, merchant: &Merchant, plain: &str, env: &Env) -> String {
        match self {
            Encryption::Aes => merchant.cipher().close(plain.as_bytes()),
            Encryption::AesV2 => merchant.cipher().close_v2(&env.random(), plain.as_bytes()),
        }
    }
}

/// The content as plain text, and how the answer is to be encrypted too. Source: §6.
pub fn content(parameters: &Parameters, merchant: &Merchant) -> Result<(String, Option<Encryption>), Wrong> {
    let content = parameters.get("biz_content").unwrap_or("{}");
    match parameters.get("encrypt_type") {
        None if content.trim_start().starts_with('{') => Ok((content.to_owned(), None)),
        None => Err(missing("isv.decryption-error-missing-encrypt-type")),
        Some(name) => {
            let encryption = Encryption::parse(name)?;
            Ok((encryption.open(merchant, content)?, Some(encryption)))
        }
    }
}

/// A node as text. Slashes are escaped, as the provider does.
pub fn node_text(fields: &Map<String, Value>) -> String {
    let mut fields = fields.clone();
    fields.entry("code").or_insert_with(|| json!("10000"));
    fields.entry("msg").or_insert_with(|| json!("Success"));
    Value::Object(fields).to_string().replace('/', r"\/")
}

/// How an answer's signature is spoilt on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Properly,
    Unsigned,
    /// Changed after it was signed.
    Tampered,
}

/// A whole answer around a node. `sn` is told in certificate mode.
pub fn envelope(
    name: &str,
    node: &str,
    signer: Option<(&RsaSigner, Option<&str>)>,
    manner: Manner,
    encode: impl Fn(&str) -> Vec<u8>,
) -> Vec<u8> {
    let mut text = format!("{{\"{name}\":");
    text += node;
    let signer = signer.filter(|_| manner != Manner::Unsigned);
    if let Some((_, Some(sn))) = signer {
        text += &format!(",\"alipay_cert_sn\":\"{sn}\"");
    }
    if let Some((key, _)) = signer {
        // Slashes are plain here, unlike in the node: SDKs cut the signature out of the raw text.
        let sign = key.sign_sha256_base64(&encode(node));
        text += &format!(",\"sign\":\"{sign}\"");
    }
    text.push('}');
    if manner == Manner::Tampered {
        text = text.replacen("\"code\":\"1", "\"code\":\"3", 1).replacen("\"code\":\"4", "\"code\":\"1", 1);
        text = text.replacen("_response\":\"", "_response\":\"A", 1);
    }
    encode(&text)
}
