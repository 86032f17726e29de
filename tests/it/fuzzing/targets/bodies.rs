//! JSON bodies: read as any other parser reads them or refused, and what is refused is named by a pointer that leads there.

use coffer::api::endpoint::{Body, all};
use coffer::api::error::{ErrorCode, FieldCode, Place, Problem};
use coffer::api::json::{Value as Ours, parse_object};
use coffer::lang::Lang;
use serde_json::Value;

use super::{Seed, Verdict, seed};

/// The first line names an endpoint, the rest is its body.
pub fn run(data: &[u8]) -> Verdict {
    let (name, body) = match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (&data[..0], data),
    };
    let reference = serde_json::from_slice::<Value>(body).ok();
    match parse_object(body) {
        Ok(members) if body.is_empty() => assert!(members.is_empty()),
        Ok(members) => {
            let reference = reference.as_ref().expect("what we read is JSON");
            assert!(same(&Ours::Object(members), reference), "{reference} was read as something else");
        }
        Err(problem) => refused(&problem, reference.as_ref()),
    }
    let endpoint = all().find(|endpoint| endpoint.id.as_bytes() == name);
    match endpoint.and_then(|endpoint| endpoint.body.as_ref()) {
        Some(endpoint) => read(endpoint, body, reference),
        None => Verdict::Refused,
    }
}

fn read(endpoint: &Body, body: &[u8], reference: Option<Value>) -> Verdict {
    match (endpoint.accepts)(body) {
        Ok(()) => {
            let mut object = reference.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
            // Another order of members, other spacing, other escapes: the same request.
            (endpoint.accepts)(object.to_string().as_bytes()).expect("the same body, spelled another way");
            let members = object.as_object_mut().expect("a body is an object");
            members.insert("no_such_field".to_owned(), Value::Bool(true));
            let problem = (endpoint.accepts)(object.to_string().as_bytes()).expect_err("nothing is dropped silently");
            let named = |e: &coffer::api::error::FieldError| e.place == Place::Body("#/no_such_field".to_owned());
            assert!(problem.errors().iter().any(named), "{problem:?}");
            Verdict::Accepted
        }
        Err(problem) => {
            refused(&problem, reference.as_ref());
            Verdict::Refused
        }
    }
}

/// A refusal names what is wrong, in both languages, and its pointers lead into the body.
fn refused(problem: &Problem, reference: Option<&Value>) {
    for lang in [Lang::Zh, Lang::En] {
        let document: Value = serde_json::from_slice(&problem.to_json(lang, None)).expect("a problem is JSON");
        assert!(document["detail"].as_str().is_some_and(|text| !text.is_empty()), "{document}");
    }
    match problem.code {
        ErrorCode::InvalidJson | ErrorCode::BodyTooLarge => assert!(problem.errors().is_empty()),
        _ => assert!(!problem.errors().is_empty(), "{problem:?} names no field"),
    }
    for error in problem.errors() {
        let Place::Body(pointer) = &error.place else { panic!("{error:?} is about a body") };
        let Some(body) = reference else { continue };
        let pointer = pointer.strip_prefix('#').expect("a pointer in its fragment form");
        let pointer = decoded(pointer);
        let place = match error.code {
            FieldCode::Required => pointer.rsplit_once('/').map_or("", |(parent, _)| parent),
            _ => pointer.as_str(),
        };
        assert!(body.pointer(place).is_some(), "{pointer:?} leads nowhere in {body}: {:?}", error.code);
    }
}

/// RFC 3986: without the percent signs.
fn decoded(pointer: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = pointer.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || char::from(rest.next().unwrap()).to_digit(16).unwrap() as u8;
        bytes.push(if byte == b'%' { digit() * 16 + digit() } else { byte });
    }
    String::from_utf8(bytes).expect("pointers are text")
}

fn same(ours: &Ours<'_>, reference: &Value) -> bool {
    match (ours, reference) {
        (Ours::Null, Value::Null) => true,
        (Ours::Bool(a), Value::Bool(b)) => a == b,
        (Ours::Integer(a), Value::Number(b)) => b.as_i64() == Some(*a),
        (Ours::OtherNumber, Value::Number(b)) => b.as_i64().is_none(),
        (Ours::Text(a), Value::String(b)) => a == b,
        (Ours::List(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Ours::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key.as_ref()).is_some_and(|b| same(a, b)))
        }
        _ => false,
    }
}

pub fn seeds() -> Vec<Seed> {
    let samples = all().filter_map(|endpoint| Some((endpoint.id, endpoint.body.as_ref()?.sample)));
    let mut seeds: Vec<Seed> = samples.map(|(name, sample)| seed(name, &format!("{name}\n{sample}"))).collect();
    for (name, body) in [
        ("duplicates", r#"{"amount":"1","amount":"100","c":{"x/~ y":1,"x\/~ y":2},"l":[{"k":1,"\u006b":2}]}"#),
        (
            "numbers",
            r#"{"amount":{"currency":"CNY","value":9.9},"order_id":18446744073709551616,"expires_in":-0,"description":1e400}"#,
        ),
        (
            "full",
            r#"{"amount":{"currency":"JPY","value":"990"},"order_id":"A-1","description":"\u94b1匣 \ud83d\ude00","method":"alipay_qr","return_url":"https://shop.example/a?b=c#d","cancel_url":"http://shop.example","callback_url":"https://shop.example:8443/h","expires_in":600,"customer":{"ip":"2001:db8::1","email":"a@b.example","locale":"zh-CN","openid":"o1"},"metadata":{"k":"v","~/ %":""}}"#,
        ),
        ("deep", r#"{"metadata":{"a":[[[[[[[[[[[[[1]]]]]]]]]]]]]}}"#),
        ("not-utf8", "{\"description\":\"\u{7f}\u{85}\u{2028}\u{feff}\"}"),
    ] {
        seeds.push(seed(&format!("x-{name}"), &format!("create_payment\n{body}")));
    }
    seeds
}
