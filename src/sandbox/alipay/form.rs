//! Parameters of a call as they came: query and body together, in the charset that they name.

use encoding_rs::{Encoding, GBK, UTF_8};

use super::fault::{Wrong, invalid};

/// Parameters of one call that are read.
const PARAMETERS_MAX: usize = 64;

/// Every parameter with its decoded value, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Source: §1: query and body are merged. A name that comes twice must say the same both times.
    pub fn read(query: &[u8], body: &[u8]) -> Result<Self, Wrong> {
        let mut raw: Vec<(String, Vec<u8>)> = Vec::new();
        for pair in query.split(|b| *b == b'&').chain(body.split(|b| *b == b'&')).filter(|pair| !pair.is_empty()) {
            let at = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
            let name = String::from_utf8(unescaped(&pair[..at])?).map_err(|_| invalid("isv.invalid-parameter"))?;
            let value = unescaped(pair.get(at + 1..).unwrap_or_default())?;
            match raw.iter().find(|(known, _)| *known == name) {
                Some((_, known)) if *known == value => {}
                Some(_) => return Err(invalid("isv.invalid-parameter")),
                None if raw.len() == PARAMETERS_MAX => return Err(invalid("isv.invalid-parameter")),
                None => raw.push((name, value)),
            }
        }
        let charset = raw.iter().find(|(name, _)| name == "charset").map(|(_, value)| value.as_slice());
        let charset = charset_named(charset.unwrap_or(b"utf-8")).ok_or_else(|| invalid("isv.invalid-charset"))?;
        let mut read = Vec::with_capacity(raw.len());
        for (name, value) in raw {
            let value = charset.decode_without_bom_handling_and_without_replacement(&value);
            read.push((name, value.ok_or_else(|| invalid("isv.invalid-charset"))?.into_owned()));
        }
        read.sort();
        Ok(Self(read))
    }

    /// `None` when the parameter is not there or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// What the signature covers. Source: §3.
    pub fn signed_text(&self) -> String {
        let mut text = String::new();
        for (name, value) in
            self.0.iter().filter(|(name, value)| name != "sign" && !name.is_empty() && !value.is_empty())
        {
            if !text.is_empty() {
                text.push('&');
            }
            text.push_str(name);
            text.push('=');
            text.push_str(value);
        }
        text
    }

    /// The bytes of a text in the call's charset: those are signed.
    pub fn encode(&self, text: &str) -> Vec<u8> {
        let charset = self.get("charset").and_then(|name| charset_named(name.as_bytes())).unwrap_or(UTF_8);
        charset.encode(text).0.into_owned()
    }
}

/// Source: §2.
fn charset_named(name: &[u8]) -> Option<&'static Encoding> {
    match name.to_ascii_lowercase().as_slice() {
        b"utf-8" => Some(UTF_8),
        b"gbk" | b"gb2312" => Some(GBK),
        _ => None,
    }
}

fn unescaped(text: &[u8]) -> Result<Vec<u8>, Wrong> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let (value, taken) = match byte {
            b'+' => (b' ', 1),
            b'%' => {
                let digits = text.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
                let plain = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
                let value = plain.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                (value.ok_or_else(|| invalid("isv.invalid-parameter"))?, 3)
            }
            other => (*other, 1),
        };
        bytes.push(value);
        at += taken;
    }
    Ok(bytes)
}
