//! Messages that are forms, as Alipay and UnionPay send them.

use std::collections::BTreeMap;

use super::provider::Message;

/// Sorted by name, as both providers sign them.
pub type Fields = BTreeMap<String, String>;

pub fn fields<const N: usize>(fields: [(&str, &str); N]) -> Fields {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The same fields with one said otherwise, or more.
pub fn with(fields: &Fields, name: &str, value: &str) -> Fields {
    let mut fields = fields.clone();
    fields.insert(name.to_owned(), value.to_owned());
    fields
}

pub fn without(fields: &Fields, name: &str) -> Fields {
    let mut fields = fields.clone();
    fields.remove(name);
    fields
}

pub fn joined(fields: &Fields) -> String {
    fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

pub fn read(message: &Message) -> Fields {
    url::form_urlencoded::parse(&message.body).into_owned().collect()
}

pub fn message(fields: &Fields) -> Message {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish().into_bytes();
    bytes(body)
}

pub fn bytes(body: Vec<u8>) -> Message {
    let kind = ("content-type".to_owned(), "application/x-www-form-urlencoded; charset=utf-8".to_owned());
    Message { headers: vec![kind], body }
}

/// The same message with one field said otherwise, or not at all.
pub fn but(good: &Message, name: &str, value: Option<&str>) -> Message {
    let mut fields = read(good);
    assert!(fields.remove(name).is_some(), "{name} is not there");
    fields.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    message(&fields)
}

/// The same message with something behind it.
pub fn and(good: &Message, more: &[u8]) -> Message {
    bytes([good.body.as_slice(), more].concat())
}

/// Moves what stands in `name` and behind it, up to `last`, into the value of `name`: the signed text stays the same.
pub fn merged(good: &Message, name: &str, last: &str, unsigned: &[&str]) -> Message {
    let all = read(good);
    let is_inside = |other: &&String| (name..=last).contains(&other.as_str()) && !unsigned.contains(&other.as_str());
    let inside: Fields =
        all.iter().filter(|(other, _)| is_inside(other)).map(|(n, v)| (n.clone(), v.clone())).collect();
    assert!(inside.len() > 1, "{name} and {last} are fields in this order");
    let mut fields = all.clone();
    fields.retain(|other, _| !inside.contains_key(other));
    let text = joined(&inside);
    let (_, value) = text.split_once('=').unwrap();
    fields.insert(name.to_owned(), value.to_owned());
    message(&fields)
}
