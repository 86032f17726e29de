//! Messages as fields: how they are read from the wire, written to it, and put in the order that is signed.
//!
//! Answers are raw `name=value&…` text, notifications are ordinary form posts. Both become the same sorted fields.

use std::collections::BTreeMap;
use std::fmt;

/// Fields of one message. Sorted by name, byte by byte, which is the order that is signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, String>);

/// Fields that are looked at; real messages have about 30.
const FIELDS_MAX: usize = 200;

/// Why bytes are no message. None of these says anything about an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadMessage {
    NotUtf8,
    /// A `%` without two hexadecimal digits behind it.
    BadEscape,
    /// A part without `=`, or with nothing before it.
    NoName,
    /// One name twice: two readers could choose differently.
    Doubled,
    TooMany,
}

impl fmt::Display for BadMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadMessage::NotUtf8 => "the message is not UTF-8",
            BadMessage::BadEscape => "the message is not url-encoded",
            BadMessage::NoName => "a part of the message has no name",
            BadMessage::Doubled => "a field stands in the message twice",
            BadMessage::TooMany => "the message has too many fields",
        })
    }
}

impl std::error::Error for BadMessage {}

impl Fields {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub fn put(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Reads the body of an answer: not url-encoded, `&` separates only outside of `{…}` and `[…]`, the first `=` ends a
    /// name, and line ends inside `signPubKeyCert` are part of the value. What an opening bracket without its partner
    /// begins goes on to the end, as in UnionPay's own reader.
    pub fn read_raw(body: &[u8]) -> Result<Fields, BadMessage> {
        let text = std::str::from_utf8(body).map_err(|_| BadMessage::NotUtf8)?;
        let mut fields = Fields::default();
        let mut rest = text;
        while !rest.is_empty() {
            let (part, behind) = split_part(rest);
            let (name, value) = part.split_once('=').ok_or(BadMessage::NoName)?;
            fields.add(name.to_owned(), value.to_owned())?;
            rest = behind;
        }
        Ok(fields)
    }

    /// Reads a url-encoded form, decoded once.
    pub fn read_form(body: &[u8]) -> Result<Fields, BadMessage> {
        let mut fields = Fields::default();
        for part in body.split(|byte| *byte == b'&').filter(|part| !part.is_empty()) {
            let at = part.iter().position(|byte| *byte == b'=').ok_or(BadMessage::NoName)?;
            fields.add(decode(&part[..at])?, decode(&part[at + 1..])?)?;
        }
        Ok(fields)
    }

    /// The body of a request, every value url-encoded.
    pub fn to_form(&self) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(&self.0);
        form.finish()
    }

    /// The text that is signed: everything but `signature`, joined as `name=value` with `&`, values as they are.
    pub fn canonical(&self, empty: Empty) -> String {
        let mut text = String::new();
        for (name, value) in self.iter() {
            if name == "signature" || (empty == Empty::Dropped && value.is_empty()) {
                continue;
            }
            if !text.is_empty() {
                text.push('&');
            }
            text.push_str(name);
            text.push('=');
            text.push_str(value);
        }
        text
    }

    /// Whether the signed text says these fields and no others. Two different messages can have one signed text, because
    /// `a` = `1&b=2` reads like `a` = `1`, `b` = `2`; of those only the plain one is believed.
    pub fn is_plain(&self) -> bool {
        let read = Fields::read_raw(self.canonical(Empty::Kept).as_bytes());
        let unsigned = self.0.iter().filter(|(name, _)| *name != "signature");
        match read {
            Ok(read) => read.0.iter().eq(unsigned),
            Err(_) => false,
        }
    }

    fn add(&mut self, name: String, value: String) -> Result<(), BadMessage> {
        if name.is_empty() {
            return Err(BadMessage::NoName);
        }
        if self.0.len() == FIELDS_MAX {
            return Err(BadMessage::TooMany);
        }
        match self.0.insert(name, value) {
            None => Ok(()),
            Some(_) => Err(BadMessage::Doubled),
        }
    }
}

/// What becomes of fields without a value in the signed text. UnionPay's own code keeps them when it verifies, others
/// drop them, and none stands in the messages that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    Dropped,
    Kept,
}

/// The first part and what stands behind its `&`.
fn split_part(text: &str) -> (&str, &str) {
    let mut open: Option<(u8, u8, usize)> = None;
    let mut in_value = false;
    for (at, byte) in text.bytes().enumerate() {
        match (open, byte) {
            (None, b'&') => return (&text[..at], &text[at + 1..]),
            (None, b'=') => in_value = true,
            (None, b'{') if in_value => open = Some((b'{', b'}', 1)),
            (None, b'[') if in_value => open = Some((b'[', b']', 1)),
            (Some((opens, closes, depth)), byte) if byte == opens => open = Some((opens, closes, depth + 1)),
            (Some((_, closes, 1)), byte) if byte == closes => open = None,
            (Some((opens, closes, depth)), byte) if byte == closes => open = Some((opens, closes, depth - 1)),
            _ => {}
        }
    }
    (text, "")
}

fn decode(bytes: &[u8]) -> Result<String, BadMessage> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                let (digits, behind) = behind.split_at_checked(2).ok_or(BadMessage::BadEscape)?;
                decoded.extend(data_encoding::HEXUPPER_PERMISSIVE.decode(digits).map_err(|_| BadMessage::BadEscape)?);
                rest = behind;
            }
            byte => decoded.push(*byte),
        }
    }
    String::from_utf8(decoded).map_err(|_| BadMessage::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Result<Vec<(String, String)>, BadMessage> {
        Ok(Fields::read_raw(text.as_bytes())?.0.into_iter().collect())
    }

    #[test]
    fn brackets_protect_what_stands_between_them_and_an_open_one_takes_the_rest() {
        for (text, expected) in [
            ("a={b=1&c={d=2}&e=3}&f=4", vec![("a", "{b=1&c={d=2}&e=3}"), ("f", "4")]),
            ("a=[x&y]{z&}&f=4", vec![("a", "[x&y]{z&}"), ("f", "4")]),
            ("a={[&}&f=4", vec![("a", "{[&}"), ("f", "4")]),
            ("a={b=1&c=2", vec![("a", "{b=1&c=2")]),
            ("a=}&b=]&c=1==", vec![("a", "}"), ("b", "]"), ("c", "1==")]),
            ("a=1&", vec![("a", "1")]),
            ("a=+%26", vec![("a", "+%26")]),
        ] {
            let expected = expected.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            assert_eq!(raw(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_fields_is_refused() {
        for (text, why) in [
            ("a", BadMessage::NoName),
            ("=1", BadMessage::NoName),
            ("a=1&&b=2", BadMessage::NoName),
            ("a=1&a=1", BadMessage::Doubled),
            ("Invalid request.", BadMessage::NoName),
        ] {
            assert_eq!(raw(text), Err(why), "{text}");
        }
        assert_eq!(Fields::read_raw(b"a=\xff"), Err(BadMessage::NotUtf8));
        let many = (0..=FIELDS_MAX).map(|n| format!("n{n}=1")).collect::<Vec<_>>().join("&");
        assert_eq!(raw(&many), Err(BadMessage::TooMany));
    }

    #[test]
    fn forms_are_decoded_once_and_strictly() {
        let fields = Fields::read_form("a=1+2%2B&%E5%90%8D=%e9%a9%ac%2526&e=".as_bytes()).unwrap();
        let read: Vec<_> = fields.iter().collect();
        assert_eq!(read, [("a", "1 2+"), ("e", ""), ("名", "马%26")]);
        assert_eq!(Fields::read_form(fields.to_form().as_bytes()), Ok(fields));
        for (body, why) in [
            (&b"a=%"[..], BadMessage::BadEscape),
            (b"a=%4", BadMessage::BadEscape),
            (b"a=%zz", BadMessage::BadEscape),
            (b"a=%C4%E3", BadMessage::NotUtf8),
            (b"a=\xc4\xe3", BadMessage::NotUtf8),
            (b"a=1&%61=1", BadMessage::Doubled),
            (b"a", BadMessage::NoName),
        ] {
            assert_eq!(Fields::read_form(body), Err(why), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn a_value_that_reads_like_another_field_is_not_plain() {
        let mut fields = Fields::default();
        fields.put("a", "1");
        fields.put("b", "{x=1&y=2}");
        fields.put("signature", "s&t=1");
        assert!(fields.is_plain());
        for value in ["1&b=2", "{", "1&"] {
            let mut odd = fields.clone();
            odd.put("a", value);
            assert!(!odd.is_plain(), "{value}");
        }
    }
}
