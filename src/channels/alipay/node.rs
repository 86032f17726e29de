//! Cuts an answer into the bytes that were signed and what stands beside them.
//!
//! The signature of an answer covers the exact bytes of one member of the body's outermost object, so they are cut out
//! of the raw body and never written anew: escapes, blanks and the order of members have to survive. Source: Alipay,
//! 同步返回验签, and the cases that its own clients are tested with.

use crate::channels::ChannelError;

/// What faults at the gateway are called instead of the method's own answer.
pub const ERROR_NODE: &str = "error_response";

/// An answer, cut. Nothing of it is believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The bytes that were signed: an object, or the quoted text of an encrypted one.
    pub node: &'a [u8],
    /// The gateway refused the call before it knew the method.
    pub is_error: bool,
    pub sign: Option<String>,
    /// In certificate mode: whose key signed.
    pub cert_sn: Option<String>,
}

/// Cuts the answer to `method`. A member that comes twice, both kinds of node, or anything behind the object make the
/// answer unreadable: two readers could disagree about it.
pub fn cut<'a>(body: &'a [u8], method: &str) -> Result<Envelope<'a>, ChannelError> {
    let malformed = |detail: &str| ChannelError::Malformed { detail: detail.to_owned() };
    let members = members(body).ok_or_else(|| malformed("the answer is not one JSON object"))?;
    let own = format!("{}_response", method.replace('.', "_"));
    let (mut node, mut sign, mut cert_sn) = (None, None, None);
    for (name, value) in members {
        let doubled = if name == own.as_bytes() || name == ERROR_NODE.as_bytes() {
            node.replace((value, name != own.as_bytes())).is_some()
        } else if name == b"sign" {
            sign.replace(value).is_some()
        } else if name == b"alipay_cert_sn" {
            cert_sn.replace(value).is_some()
        } else {
            // An escape in a name could spell one of the names above to another reader.
            name.contains(&b'\\')
        };
        if doubled {
            return Err(malformed("the answer says a thing twice"));
        }
    }
    let (node, is_error) = node.ok_or_else(|| malformed("the answer is to another question"))?;
    let text = |value: Option<&[u8]>| match value {
        None => Ok(None),
        Some(raw) => {
            serde_json::from_slice::<String>(raw).map(Some).map_err(|_| malformed("a signature that is no text"))
        }
    };
    Ok(Envelope { node, is_error, sign: text(sign)?.filter(|sign| !sign.is_empty()), cert_sn: text(cert_sn)? })
}

/// Members of one object as raw name and raw value.
type Members<'a> = Vec<(&'a [u8], &'a [u8])>;

/// Members of the outermost object that are looked at; answers have three.
const MEMBERS_MAX: usize = 16;

/// `None` when the body is not exactly one object. Values are cut, not judged: whoever reads one parses it.
fn members(body: &[u8]) -> Option<Members<'_>> {
    let mut scan = Scan { body, at: 0 };
    let mut members = Vec::new();
    scan.expect(b'{')?;
    if scan.peek()? == b'}' {
        scan.at += 1;
    } else {
        loop {
            scan.blanks();
            let name = scan.string()?;
            scan.expect(b':')?;
            scan.blanks();
            let value = scan.value()?;
            if members.len() == MEMBERS_MAX {
                return None;
            }
            members.push((&name[1..name.len() - 1], value));
            match scan.peek()? {
                b',' => scan.at += 1,
                b'}' => {
                    scan.at += 1;
                    break;
                }
                _ => return None,
            }
        }
    }
    scan.blanks();
    (scan.at == body.len()).then_some(members)
}

struct Scan<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn blanks(&mut self) {
        while matches!(self.body.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// The next byte that is not blank.
    fn peek(&mut self) -> Option<u8> {
        self.blanks();
        self.body.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// A text with both its quotes. A backslash takes the next byte with it, whatever that is.
    fn string(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        if *self.body.get(start)? != b'"' {
            return None;
        }
        self.at += 1;
        loop {
            match *self.body.get(self.at)? {
                b'\\' => self.at += 2,
                b'"' => {
                    self.at += 1;
                    return self.body.get(start..self.at);
                }
                _ => self.at += 1,
            }
        }
    }

    /// A value: a text, something in brackets, or a bare word. Brackets count outside texts only.
    fn value(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match *self.body.get(self.at)? {
                b'"' => {
                    self.string()?;
                    if depth == 0 {
                        break;
                    }
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                    if depth == 0 {
                        break;
                    }
                }
                b',' | b'}' | b']' | b':' if depth == 0 => break,
                _ => self.at += 1,
            }
        }
        let value = self.body.get(start..self.at)?.trim_ascii_end();
        (!value.is_empty()).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        raw: String,
        node: String,
        signed_text: String,
    }

    #[test]
    fn the_signed_bytes_are_cut_as_published() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/raw_node.json")).unwrap();
        assert_eq!(cases.len(), 13);
        for case in cases {
            let is_error = case.node == ERROR_NODE;
            let name = if is_error { "alipay_trade_query_response" } else { &case.node };
            let method = name.trim_end_matches("_response").replace('_', ".");
            let cut = cut(case.raw.as_bytes(), &method).unwrap();
            assert_eq!(String::from_utf8_lossy(cut.node), case.signed_text, "{}", case.name);
            assert_eq!(cut.is_error, is_error, "{}", case.name);
            assert_eq!(cut.sign.as_deref(), (case.name != "error_without_sign").then_some("AAAA"), "{}", case.name);
            let sn = (case.name == "cert_sn_between").then_some("866efef280dec9137a87d047ac446315");
            assert_eq!(cut.cert_sn.as_deref(), sn);
        }
    }

    #[test]
    fn what_two_readers_could_read_differently_is_not_read() {
        let method = "alipay.trade.query";
        for bad in [
            r"",
            r"{}",
            r"[]",
            r#""alipay_trade_query_response""#,
            r#"{"alipay_trade_query_response":{"code":"10000"},"sign":"A"}x"#,
            r#"{"alipay_trade_query_response":{"code":"10000"},"sign":"A"}{}"#,
            r#"{"alipay_trade_query_response":{"code":"10000"},"sign":"A""#,
            r#"{"alipay_trade_query_response":{"code":"10000"},"sign":"A","sign":"B"}"#,
            r#"{"alipay_trade_query_response":{"code":"10000"},"alipay_trade_query_response":{},"sign":"A"}"#,
            r#"{"alipay_trade_query_response":{"code":"10000"},"error_response":{},"sign":"A"}"#,
            r#"{"alipay_trade_query_response":{"code":"10000"},"s\u0069gn":"A"}"#,
            r#"{"alipay_trade_query_response":{"code":"10000"},"alipay_cert_sn":"1","alipay_cert_sn":"2","sign":"A"}"#,
            r#"{"alipay_trade_query_response":{"code":"10000"},"sign":7}"#,
            r#"{"alipay_trade_query_response":,"sign":"A"}"#,
            r#"{"alipay_trade_query_response":{"code":"10000","sign":"A"}"#,
            r#"{"alipay_trade_query_response":{"code":"10000\"},"sign":"A"}"#,
            r#"{"alipay_trade_pay_response":{"code":"10000"},"sign":"A"}"#,
            r#"{"outer":{"alipay_trade_query_response":{"code":"10000"}},"sign":"A"}"#,
            "<html>busy</html>",
            "\u{feff}{}",
        ] {
            assert!(cut(bad.as_bytes(), method).is_err(), "{bad}");
        }
        let deep = format!(r#"{{"alipay_trade_query_response":{},"sign":"A"}}"#, "[".repeat(60_000));
        assert!(cut(deep.as_bytes(), method).is_err());
    }
}
