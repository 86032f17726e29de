//! XML and signatures of V2, as the provider reads and makes them.

use std::collections::BTreeMap;

use data_encoding::HEXUPPER;
use md5::{Digest as _, Md5};
use ring::hmac;

/// The fields of a message in the order in which they are signed.
pub type Fields = BTreeMap<String, String>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignType {
    Md5,
    HmacSha256,
}

impl SignType {
    /// MD5 is what nothing means.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "" | "MD5" => Some(SignType::Md5),
            "HMAC-SHA256" => Some(SignType::HmacSha256),
            _ => None,
        }
    }
}

pub fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// `a=1&b=2&key=…`, without empty fields and without the signature.
pub fn sign(kind: SignType, fields: &Fields, key: &str) -> String {
    let signed = fields.iter().filter(|(name, value)| *name != "sign" && !value.is_empty());
    let pairs: Vec<String> = signed.map(|(name, value)| format!("{name}={value}")).collect();
    let text = format!("{}&key={key}", pairs.join("&"));
    match kind {
        SignType::Md5 => HEXUPPER.encode(&Md5::digest(text.as_bytes())),
        SignType::HmacSha256 => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
            HEXUPPER.encode(hmac::sign(&key, text.as_bytes()).as_ref())
        }
    }
}

/// Numbers plain, texts as CDATA, as the provider writes them.
pub fn write(fields: &Fields) -> Vec<u8> {
    let mut xml = "<xml>".to_owned();
    for (name, value) in fields {
        let plain = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
        let value =
            if plain { value.clone() } else { format!("<![CDATA[{}]]>", value.replace("]]>", "]]]]><![CDATA[>")) };
        xml += &format!("<{name}>{value}</{name}>\n");
    }
    (xml + "</xml>").into_bytes()
}

/// A flat `<xml>`; `None` for everything else.
pub fn read(body: &[u8]) -> Option<Fields> {
    let mut text = std::str::from_utf8(body).ok()?.trim();
    if text.starts_with("<?xml") {
        text = text.split_once("?>")?.1.trim_start();
    }
    let mut rest = text.strip_prefix("<xml>")?.strip_suffix("</xml>")?.trim_start();
    let mut fields = Fields::new();
    while !rest.is_empty() {
        let (name, behind) = rest.strip_prefix('<')?.split_once('>')?;
        let (name, value, behind) = match name.strip_suffix('/') {
            Some(name) => (name.trim_end(), String::new(), behind),
            None => {
                let (value, behind) = value(behind)?;
                (name, value, behind.strip_prefix(name)?.strip_prefix('>')?)
            }
        };
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !plain || fields.insert(name.to_owned(), value).is_some() {
            return None;
        }
        rest = behind.trim_start();
    }
    Some(fields)
}

/// A field's text, and what stands behind the `</` at its end.
fn value(mut rest: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    loop {
        let (plain, mark) = rest.split_at(rest.find(['<', '&'])?);
        value += plain;
        if let Some(behind) = mark.strip_prefix("</") {
            return Some((value, behind));
        }
        if let Some(section) = mark.strip_prefix("<![CDATA[") {
            let (inner, behind) = section.split_once("]]>")?;
            value += inner;
            rest = behind;
        } else {
            let (name, behind) = mark.strip_prefix('&')?.split_once(';')?;
            value.push(entity(name)?);
            rest = behind;
        }
    }
}

/// The five that XML has, and characters by their numbers, which some SDKs write.
fn entity(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        numbered => {
            let digits = numbered.strip_prefix('#')?;
            let code = match digits.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => digits.parse(),
            };
            char::from_u32(code.ok()?)?
        }
    })
}
