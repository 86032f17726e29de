//! Signatures and certificate numbers, exact to the byte.
//!
//! RSA2 is PKCS#1 v1.5 with SHA-256 and the only kind that is sent or believed here: `RSA` with its SHA-1 is refused.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use md5::{Digest as _, Md5};

use crate::crypto::Certificate;

/// The only accepted `sign_type`.
pub const SIGN_TYPE: &str = "RSA2";

/// What a request's signature covers: every parameter with a value but `sign` itself, by name, values as they are before
/// they are encoded for the way. Source: Alipay, 自行实现签名.
pub fn request_text(params: &BTreeMap<&'static str, String>) -> String {
    let given = params.iter().filter(|(name, value)| **name != "sign" && !value.is_empty());
    let parts: Vec<String> = given.map(|(name, value)| format!("{name}={value}")).collect();
    parts.join("&")
}

/// What a notification's signature covers: every field that came but `sign` and `sign_type`, by name, as bytes in the
/// charset that it was sent in. Source: Alipay, 异步通知验签.
pub fn notification_text(fields: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut signed: Vec<&(String, Vec<u8>)> =
        fields.iter().filter(|(name, _)| name != "sign" && name != "sign_type").collect();
    signed.sort_by(|one, other| one.0.cmp(&other.0));
    let mut text = Vec::new();
    for (name, value) in signed {
        if !text.is_empty() {
            text.push(b'&');
        }
        text.extend_from_slice(name.as_bytes());
        text.push(b'=');
        text.extend_from_slice(value);
    }
    text
}

/// Whether the signed text says the named fields in one way only. Two different forms can have one signed text, because
/// `a` = `1&b=2` reads like `a` = `1`, `b` = `2`: whoever could write a trade's subject could move another amount into its
/// notification. Other fields may read as they like; a text about tea & cups = 100 is no attack.
#[must_use]
pub fn says_once(fields: &[(String, Vec<u8>)], names: &[&str]) -> bool {
    let text = notification_text(fields);
    let parts: Vec<(&[u8], &[u8])> = text
        .split(|byte| *byte == b'&')
        .filter_map(|part| part.iter().position(|byte| *byte == b'=').map(|at| (&part[..at], &part[at + 1..])))
        .collect();
    names.iter().all(|name| {
        let field = fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_slice());
        let mut read = parts.iter().filter(|(other, _)| *other == name.as_bytes()).map(|(_, value)| *value);
        (read.next(), read.next()) == (field, None)
    })
}

/// The number (SN) that Alipay names a certificate by: MD5 over issuer and decimal serial number, in lower-case hex.
/// Source: Alipay, 公钥证书 SN 计算.
pub fn certificate_sn(certificate: &Certificate) -> String {
    let text = format!("{}{}", certificate.issuer(), certificate.serial_decimal());
    HEXLOWER.encode(&Md5::digest(text.as_bytes()))
}

/// The number of a root bundle: those of its RSA members in their order, joined by `_`. Members of other families, one of
/// which strict readers cannot even read, do not count.
pub fn root_sn(bundle: &[Certificate]) -> String {
    let members = bundle.iter().filter(|member| member.is_signed_with_rsa());
    members.map(certificate_sn).collect::<Vec<_>>().join("_")
}
