//! The provider's XML: one flat `<xml>` of named texts, written and read by hand.
//!
//! A general parser would read what the provider never sends and what attackers do: document types, entities of one's own,
//! nesting. Here everything that is not a flat list is refused, so nothing of it has to be limited but its length. Attributes,
//! comments, numeric references and a second field of the same name are no part of it either.

use std::fmt;

use super::Fields;

/// Bytes of a message that is read.
pub const MESSAGE_MAX_BYTES: usize = 64 * 1024;
/// Fields of a message. Real ones have about twenty, and two or three for each coupon.
pub const FIELDS_MAX: usize = 128;
/// Bytes of a field's name.
pub const NAME_MAX_BYTES: usize = 64;

/// Why a message is not one, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadXml {
    pub at: usize,
    pub why: &'static str,
}

impl fmt::Display for BadXml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.why, self.at)
    }
}

impl std::error::Error for BadXml {}

/// Values are free text; what XML has a meaning for is escaped.
pub fn write(fields: &Fields) -> Vec<u8> {
    let mut xml = String::from("<xml>");
    for (name, value) in fields {
        xml += &format!("<{name}>");
        for character in value.chars() {
            match character {
                '&' => xml += "&amp;",
                '<' => xml += "&lt;",
                '>' => xml += "&gt;",
                other => xml.push(other),
            }
        }
        xml += &format!("</{name}>");
    }
    xml += "</xml>";
    xml.into_bytes()
}

/// Reads one whole message.
pub fn read(bytes: &[u8]) -> Result<Fields, BadXml> {
    if bytes.len() > MESSAGE_MAX_BYTES {
        return Err(BadXml { at: MESSAGE_MAX_BYTES, why: "longer than any message" });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| BadXml { at: error.valid_up_to(), why: "not UTF-8" })?;
    let mut reader = Reader { text, at: 0 };
    reader.prologue()?;
    reader.expect("<xml>", "no <xml>")?;
    let mut fields = Fields::new();
    loop {
        reader.space();
        if reader.take("</xml>") {
            break;
        }
        let (name, value) = reader.field()?;
        if fields.len() >= FIELDS_MAX {
            return Err(reader.bad("more fields than any message has"));
        }
        if fields.insert(name, value).is_some() {
            return Err(reader.bad("a field that stands there twice"));
        }
    }
    reader.space();
    if reader.rest().is_empty() { Ok(fields) } else { Err(reader.bad("something behind the message")) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn bad(&self, why: &'static str) -> BadXml {
        BadXml { at: self.at, why }
    }

    fn take(&mut self, token: &str) -> bool {
        let there = self.rest().starts_with(token);
        self.at += if there { token.len() } else { 0 };
        there
    }

    fn expect(&mut self, token: &str, why: &'static str) -> Result<(), BadXml> {
        if self.take(token) { Ok(()) } else { Err(self.bad(why)) }
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    /// Everything up to `end`, which is taken as well.
    fn until(&mut self, end: &str, why: &'static str) -> Result<&'a str, BadXml> {
        let (inner, _) = self.rest().split_once(end).ok_or_else(|| self.bad(why))?;
        self.at += inner.len() + end.len();
        Ok(inner)
    }

    /// A declaration may stand in front. A document type never does.
    fn prologue(&mut self) -> Result<(), BadXml> {
        self.space();
        if self.take("<?xml ") {
            self.until("?>", "a declaration without an end")?;
            self.space();
        }
        if self.rest().starts_with("<!") { Err(self.bad("a document type or comment")) } else { Ok(()) }
    }

    fn field(&mut self) -> Result<(String, String), BadXml> {
        self.expect("<", "text outside of a field")?;
        let rest = self.rest();
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        if !(1..=NAME_MAX_BYTES).contains(&name.len()) || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.bad("no name of a field"));
        }
        self.at += name.len();
        if self.take("/>") {
            return Ok((name.to_owned(), String::new()));
        }
        self.expect(">", "something behind a field's name")?;
        let value = self.value()?;
        let closed = self.take(name) && self.take(">");
        if closed { Ok((name.to_owned(), value)) } else { Err(self.bad("a field that is not closed")) }
    }

    /// Text, with the five entities, and CDATA, up to and with `</`.
    fn value(&mut self) -> Result<String, BadXml> {
        let mut value = String::new();
        loop {
            let text = self.rest();
            let plain = &text[..text.find(['<', '&']).unwrap_or(text.len())];
            if plain.contains("]]>") {
                return Err(self.bad("the end of a CDATA section without its beginning"));
            }
            self.push(&mut value, plain)?;
            self.at += plain.len();
            if self.take("</") {
                return Ok(value);
            }
            if self.take("<![CDATA[") {
                let inner = self.until("]]>", "a CDATA section without an end")?;
                self.push(&mut value, inner)?;
            } else if self.rest().starts_with('&') {
                value.push(self.entity()?);
            } else {
                return Err(self.bad("something else than text in a field"));
            }
        }
    }

    fn entity(&mut self) -> Result<char, BadXml> {
        let known = [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>'), ("&quot;", '"'), ("&apos;", '\'')];
        let found = known.into_iter().find(|(written, _)| self.take(written));
        found.map(|(_, character)| character).ok_or_else(|| self.bad("an entity other than the five"))
    }

    /// Line ends become one character. Source: XML 1.0, 2.11, and 2.2 for what no text may contain.
    fn push(&self, value: &mut String, text: &str) -> Result<(), BadXml> {
        let forbidden =
            |c: char| c.is_control() && !matches!(c, '\t' | '\r' | '\n') || matches!(c, '\u{fffe}' | '\u{ffff}');
        if text.contains(forbidden) {
            return Err(self.bad("a control character"));
        }
        value.push_str(&text.replace("\r\n", "\n").replace('\r', "\n"));
        Ok(())
    }
}
