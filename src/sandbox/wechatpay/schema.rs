//! Which fields a request may have, with type, length and characters; everything else is refused as the provider does.

use serde_json::{Map, Value};

use super::error::WireError;

/// One field of an object.
pub struct Field {
    pub name: &'static str,
    pub required: bool,
    pub kind: Kind,
}

#[derive(Clone, Copy)]
pub enum Kind {
    /// At most so many characters, none of four bytes.
    Text(usize),
    /// The merchant's number of an order: 6–32 of `[0-9A-Za-z_\-|*]`.
    OrderNumber,
    /// The merchant's number of a refund: 1–64 of `[0-9A-Za-z_\-|*@]`.
    RefundNumber,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number of at least so much.
    Integer(i64),
    Bool,
    Object(&'static [Field]),
    Objects(&'static [Field]),
    Texts,
    /// An IPv4 or IPv6 address.
    Address,
}

pub const fn must(name: &'static str, kind: Kind) -> Field {
    Field { name, required: true, kind }
}

pub const fn may(name: &'static str, kind: Kind) -> Field {
    Field { name, required: false, kind }
}

/// Reads a body and checks all of it.
pub fn read(body: &[u8], fields: &[&[Field]]) -> Result<Map<String, Value>, WireError> {
    let not_json = || WireError::new(400, "PARAM_ERROR", "请求体不是合法的 JSON 对象").numbered(268_435_461);
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => check(&object, fields, "").map(|()| object),
        Ok(_) | Err(_) => Err(not_json()),
    }
}

pub fn is_order_number(text: &str) -> bool {
    (6..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-|*".contains(&b))
}

pub fn is_refund_number(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-|*@".contains(&b))
}

fn check(object: &Map<String, Value>, fields: &[&[Field]], path: &str) -> Result<(), WireError> {
    let fields = || fields.iter().copied().flatten();
    if let Some(name) = object.keys().find(|name| fields().all(|field| field.name != name.as_str())) {
        let at = format!("{path}/{name}");
        return Err(WireError::param(&at, "多余的参数，请删除", "body").numbered(270_924_358));
    }
    for field in fields() {
        let at = format!("{path}/{}", field.name);
        match object.get(field.name) {
            None if field.required => return Err(WireError::param(&at, "缺少必填参数", "body")),
            None => {}
            Some(value) => check_value(value, field.kind, &at)?,
        }
    }
    Ok(())
}

fn check_value(value: &Value, kind: Kind, at: &str) -> Result<(), WireError> {
    let wrong = |issue: &str| Err(WireError::param(at, issue, "body"));
    match (kind, value) {
        (Kind::Text(max), Value::String(text)) => {
            if text.is_empty() || text.chars().count() > max {
                return wrong("长度不符合要求");
            }
            // Source: the general rules of APIv3: UTF-8 of one to three bytes only.
            if text.chars().any(|c| c.len_utf8() > 3) { wrong("含有不支持的字符") } else { Ok(()) }
        }
        (Kind::OrderNumber, Value::String(text)) if is_order_number(text) => Ok(()),
        (Kind::RefundNumber, Value::String(text)) if is_refund_number(text) => Ok(()),
        (Kind::OrderNumber | Kind::RefundNumber, Value::String(_)) => wrong("长度或字符不符合要求"),
        (Kind::Word(words), Value::String(text)) if words.contains(&text.as_str()) => Ok(()),
        (Kind::Word(_), Value::String(_)) => wrong("取值不在范围内"),
        (Kind::Integer(min), Value::Number(number)) => match number.as_i64() {
            Some(number) if number >= min => Ok(()),
            Some(_) | None => Err(WireError::param(at, "取值超出范围", "body").numbered(268_435_464)),
        },
        (Kind::Bool, Value::Bool(_)) => Ok(()),
        (Kind::Address, Value::String(text)) if text.parse::<std::net::IpAddr>().is_ok() => Ok(()),
        (Kind::Address, Value::String(_)) => wrong("不是正确的 IP 地址"),
        (Kind::Object(fields), Value::Object(object)) => check(object, &[fields], at),
        (Kind::Objects(fields), Value::Array(items)) if !items.is_empty() => items
            .iter()
            .enumerate()
            .try_for_each(|(place, item)| check_value(item, Kind::Object(fields), &format!("{at}/{place}"))),
        (Kind::Texts, Value::Array(items)) if items.iter().all(Value::is_string) => Ok(()),
        (
            Kind::Text(_)
            | Kind::OrderNumber
            | Kind::RefundNumber
            | Kind::Word(_)
            | Kind::Integer(_)
            | Kind::Bool
            | Kind::Object(_)
            | Kind::Objects(_)
            | Kind::Texts
            | Kind::Address,
            _,
        ) => wrong("类型不符合要求"),
    }
}
