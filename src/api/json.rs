//! Strict JSON: raw bytes become a small tree that borrows from them. Nothing is guessed and nothing is dropped:
//! duplicate keys, byte order marks, deep nesting and endless lists are refused, each by name.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::error::{ErrorCode, FIELD_ERRORS_MAX, FieldCode, FieldError, Place, Problem, Words};

/// Bytes of one request body.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Objects and lists inside each other.
pub const DEPTH_MAX: usize = 12;
/// Members of one object; also what one object's known-field mask can hold.
pub const MEMBERS_MAX: usize = 128;
/// Elements of one list.
pub const ELEMENTS_MAX: usize = 1000;

/// A JSON value that borrows from the body where it can.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    /// A number that is no 64-bit integer. Nothing in this API is one, so its value is not kept.
    OtherNumber,
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    Object(Members<'a>),
}

/// Names and values in the order in which they were written; names are unique.
pub type Members<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

impl Value<'_> {
    /// What the value is, for sentences about wrong types.
    pub const fn type_name(&self) -> (&'static str, &'static str) {
        match self {
            Value::Null => ("null", "null"),
            Value::Bool(_) => ("布尔值", "a boolean"),
            Value::Integer(_) | Value::OtherNumber => ("数字", "a number"),
            Value::Text(_) => ("字符串", "a string"),
            Value::List(_) => ("数组", "a list"),
            Value::Object(_) => ("对象", "an object"),
        }
    }
}

/// Reads a body that must be one object. An empty body is an object without members, so that the fields it lacks are
/// named like any others.
pub fn parse_object(body: &[u8]) -> Result<Members<'_>, Problem> {
    if body.is_empty() {
        return Ok(Members::new());
    }
    if body.len() > BODY_BYTES_MAX {
        return Err(Problem::new(ErrorCode::BodyTooLarge));
    }
    match parse(body)? {
        Value::Object(members) => Ok(members),
        other => {
            let (zh, en) = other.type_name();
            let words =
                Words::new(format!("请求体必须是对象，收到的是{zh}"), format!("the body must be an object, not {en}"));
            Err(Problem::field(Place::Body("#".into()), FieldCode::WrongType, words))
        }
    }
}

fn parse(body: &[u8]) -> Result<Value<'_>, Problem> {
    if body.starts_with(b"\xef\xbb\xbf") {
        return Err(invalid("请求体以 BOM 开头，请去掉它", "the body begins with a byte order mark; remove it"));
    }
    let text = std::str::from_utf8(body).map_err(|e| {
        let at = e.valid_up_to();
        invalid(format!("第 {at} 字节起不是有效的 UTF-8"), format!("not valid UTF-8 from byte {at} on"))
    })?;
    let findings = RefCell::new(Findings::default());
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Reader { at: &Step::Root, depth: 0, findings: &findings }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    let findings = findings.into_inner();
    if let Some(limit) = findings.limit {
        return Err(Problem::field(Place::Body(limit.pointer), FieldCode::TooMany, limit.words));
    }
    let value = value.map_err(|e| {
        let (line, column) = (e.line(), e.column());
        invalid(
            format!("第 {line} 行第 {column} 列不符合 JSON 语法"),
            format!("not JSON at line {line}, column {column}"),
        )
    })?;
    if findings.duplicates.is_empty() {
        return Ok(value);
    }
    let errors = findings.duplicates.into_iter().map(|pointer| FieldError {
        place: Place::Body(pointer),
        code: FieldCode::Duplicate,
        detail: Words::new("同一个键出现了多次", "the key appears more than once"),
    });
    Err(Problem::fields(errors.collect()))
}

fn invalid(zh: impl Into<Cow<'static, str>>, en: impl Into<Cow<'static, str>>) -> Problem {
    Problem::new(ErrorCode::InvalidJson).detail(Words::new(zh, en))
}

/// One step from the root of the body to a value; written out only when something is wrong there.
pub enum Step<'p> {
    Root,
    Key(&'p Step<'p>, &'p str),
    Index(&'p Step<'p>, usize),
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Root => f.write_str("#"),
            Step::Index(parent, index) => write!(f, "{parent}/{index}"),
            Step::Key(parent, key) => {
                write!(f, "{parent}/")?;
                // RFC 6901, 3: `~` and `/` are escaped; the rest is percent-encoded for the fragment form.
                for byte in key.bytes() {
                    match byte {
                        b'~' => f.write_str("~0")?,
                        b'/' => f.write_str("~1")?,
                        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => write!(f, "{}", byte as char)?,
                        other => write!(f, "%{other:02X}")?,
                    }
                }
                Ok(())
            }
        }
    }
}

#[derive(Default)]
struct Findings {
    duplicates: Vec<String>,
    limit: Option<Limit>,
}

struct Limit {
    pointer: String,
    words: Words,
}

/// Builds the tree while serde_json reads the text.
#[derive(Clone, Copy)]
struct Reader<'r> {
    at: &'r Step<'r>,
    depth: usize,
    findings: &'r RefCell<Findings>,
}

impl<'r> Reader<'r> {
    /// Stops the parse; what was wrong is in the findings.
    fn over<E: de::Error>(&self, zh: String, en: String) -> E {
        self.findings.borrow_mut().limit = Some(Limit { pointer: self.at.to_string(), words: Words::new(zh, en) });
        E::custom("limit")
    }

    fn deeper<E: de::Error>(&self) -> Result<usize, E> {
        if self.depth < DEPTH_MAX {
            return Ok(self.depth + 1);
        }
        Err(self.over(format!("嵌套超过 {DEPTH_MAX} 层"), format!("nested more than {DEPTH_MAX} levels deep")))
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value<'de>;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(i64::try_from(value).map_or(Value::OtherNumber, Value::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value<'de>, E> {
        Ok(Value::OtherNumber)
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
        let depth = self.deeper()?;
        let mut list = Vec::new();
        loop {
            let at = Step::Index(self.at, list.len());
            let Some(value) = seq.next_element_seed(Reader { at: &at, depth, ..self })? else { break };
            if list.len() == ELEMENTS_MAX {
                return Err(
                    self.over(format!("最多 {ELEMENTS_MAX} 个元素"), format!("at most {ELEMENTS_MAX} elements"))
                );
            }
            list.push(value);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        let depth = self.deeper()?;
        let mut members = Members::with_capacity(8);
        while let Some(Key(key)) = map.next_key()? {
            let at = Step::Key(self.at, &key);
            let value = map.next_value_seed(Reader { at: &at, depth, ..self })?;
            if members.iter().any(|(other, _)| *other == key) {
                let duplicates = &mut self.findings.borrow_mut().duplicates;
                if duplicates.len() < FIELD_ERRORS_MAX {
                    duplicates.push(at.to_string());
                }
                continue;
            }
            if members.len() == MEMBERS_MAX {
                return Err(self.over(format!("最多 {MEMBERS_MAX} 个字段"), format!("at most {MEMBERS_MAX} fields")));
            }
            members.push((key, value));
        }
        Ok(Value::Object(members))
    }
}

/// A member's name, borrowed unless it holds escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> de::Deserialize<'de> for Key<'de> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member's name")
            }
            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(value)))
            }
            fn visit_str<E>(self, value: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(value.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &[u8]) -> (ErrorCode, Vec<(String, FieldCode)>) {
        let problem = parse_object(body).unwrap_err();
        let places = problem.errors().iter().map(|e| match &e.place {
            Place::Body(pointer) => (pointer.clone(), e.code),
            Place::Query(_) | Place::Header(_) => panic!("a body's faults are in the body"),
        });
        (problem.code, places.collect())
    }

    #[test]
    fn a_body_becomes_a_tree_that_borrows_from_it() {
        let body = br#"{"a": [1, -2, true, null], "b": {"c": "x"}, "d": 1.5, "e": 18446744073709551615}"#;
        let members = parse_object(body).unwrap();
        assert_eq!(
            members[0].1,
            Value::List(vec![Value::Integer(1), Value::Integer(-2), Value::Bool(true), Value::Null])
        );
        assert_eq!(members[1].1, Value::Object(vec![("c".into(), Value::Text("x".into()))]));
        assert_eq!((&members[2].1, &members[3].1), (&Value::OtherNumber, &Value::OtherNumber));
        assert!(matches!(&members[1].0, Cow::Borrowed("b")));
        assert_eq!(parse_object(b"").unwrap(), Members::new());
    }

    #[test]
    fn every_duplicate_key_is_named_escapes_included() {
        let (code, places) =
            refused(br#"{"amount":"1","amount":"100","c":{"x/~ y":1,"x\/~ y":2},"l":[{"k":1,"\u006b":2}]}"#);
        assert_eq!(code, ErrorCode::InvalidRequest);
        let duplicate = FieldCode::Duplicate;
        assert_eq!(
            places,
            [("#/amount".into(), duplicate), ("#/c/x~1~0%20y".into(), duplicate), ("#/l/0/k".into(), duplicate),]
        );
    }

    #[test]
    fn what_is_not_utf8_json_is_refused() {
        let cases: [&[u8]; 14] = [
            b"{",
            b"{}{}",
            b"{'a':1}",
            b"{\"a\":1,}",
            b"{\"a\":01}",
            b"{\"a\":NaN}",
            b"{\"a\":+1}",
            b"{a:1}",
            b"\xef\xbb\xbf{}",
            b"{\"a\":\"\xff\"}",
            b"{\"a\":\"\xc0\xaf\"}",
            b"{\"a\":\"\\ud800\"}",
            b"{\"a\":\"\n\"}",
            // GBK for a Chinese word.
            b"{\"a\":\"\xd6\xa7\xb8\xb6\"}",
        ];
        for body in cases {
            assert_eq!(refused(body).0, ErrorCode::InvalidJson, "{}", String::from_utf8_lossy(body));
        }
        for body in [&b"[]"[..], b"1", b"\"{}\"", b"null"] {
            assert_eq!(refused(body), (ErrorCode::InvalidRequest, vec![("#".into(), FieldCode::WrongType)]));
        }
    }

    #[test]
    fn size_depth_and_counts_are_limited() {
        let deep = |n: usize| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n)).into_bytes();
        assert!(parse_object(&deep(DEPTH_MAX)).is_ok());
        assert_eq!(refused(&deep(DEPTH_MAX + 1)).1[0].1, FieldCode::TooMany);
        // Far deeper than any stack would bear.
        assert_eq!(refused(&deep(10_000)).1[0].1, FieldCode::TooMany);
        let members = |n: usize| {
            let list: Vec<_> = (0..n).map(|i| format!("\"k{i}\":1")).collect();
            format!("{{{}}}", list.join(",")).into_bytes()
        };
        assert!(parse_object(&members(MEMBERS_MAX)).is_ok());
        assert_eq!(refused(&members(MEMBERS_MAX + 1)).1, [("#".into(), FieldCode::TooMany)]);
        let elements = |n: usize| format!("{{\"a\":[{}]}}", vec!["1"; n].join(",")).into_bytes();
        assert!(parse_object(&elements(ELEMENTS_MAX)).is_ok());
        assert_eq!(refused(&elements(ELEMENTS_MAX + 1)).1, [("#/a".into(), FieldCode::TooMany)]);
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(BODY_BYTES_MAX));
        assert_eq!(refused(large.as_bytes()).0, ErrorCode::BodyTooLarge);
    }

    proptest::proptest! {
        /// Whatever serde_json accepts as an object, this accepts too or refuses by a named rule; nothing panics.
        #[test]
        fn any_bytes_are_answered(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = parse_object(&body);
        }
    }
}
