//! The XML and the signatures by themselves.

use super::sign::{SignType, sign, verifies};
use super::xml::{self, FIELDS_MAX, MESSAGE_MAX_BYTES};
use super::{Fields, fingerprint};
use crate::crypto::Secret;

fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[track_caller]
fn refused(message: &str, why: &str) {
    let read = xml::read(message.as_bytes());
    assert_eq!(read.map_err(|bad| bad.why), Err(why), "{message:.80}");
}

#[test]
fn the_published_signatures_are_made() {
    let vectors: serde_json::Value = serde_json::from_str(include_str!("../fixtures/vectors.json")).unwrap();
    let cases = vectors["v2_sign"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let text = |name: &str| case[name].as_str().unwrap();
        let key = Secret::new(text("key"));
        let said = text("string").split('&').map(|pair| pair.split_once('=').unwrap()).collect::<Vec<_>>();
        let mut said = fields(&said);
        assert_eq!(sign(SignType::Md5, &said, &key), text("md5"));
        assert_eq!(sign(SignType::HmacSha256, &said, &key), text("hmac_sha256"));
        // Empty fields and the signature itself do not count; either algorithm is recognised.
        said.insert("attach".to_owned(), String::new());
        for name in ["md5", "hmac_sha256"] {
            said.insert("sign".to_owned(), text(name).to_owned());
            assert!(verifies(&said, &key));
        }
    }
}

#[test]
fn a_signature_is_wrong_in_each_of_its_parts() {
    let key = Secret::new("0123456789abcdefGHIJKLMNOPQRSTUV");
    let mut said = fields(&[("total_fee", "100"), ("out_trade_no", "A1")]);
    assert!(!verifies(&said, &key), "missing");
    for kind in [SignType::HmacSha256, SignType::Md5] {
        let good = sign(kind, &said, &key);
        for bad in
            [good.to_lowercase(), good[1..].to_owned(), format!("{good} "), String::new(), "0".repeat(good.len())]
        {
            said.insert("sign".to_owned(), bad);
            assert!(!verifies(&said, &key));
        }
        said.insert("sign".to_owned(), good);
        assert!(verifies(&said, &key));
        assert!(!verifies(&said, &Secret::new("another-key-of-32-characters-xyz")));
        for (name, value) in [("total_fee", "101"), ("attach", "x"), ("out_trade_no", "")] {
            let mut other = said.clone();
            other.insert(name.to_owned(), value.to_owned());
            assert!(!verifies(&other, &key), "{name}={value}");
        }
    }
}

#[test]
fn what_is_written_is_read_again() {
    for value in ["", "马克杯 & <\"茶'>", "a]]>b", "line\nbreak\ttab", "&amp;", "</body>", " room "] {
        let said = fields(&[("body", value), ("appid", "wx1")]);
        assert_eq!(xml::read(&xml::write(&said)), Ok(said), "{value}");
    }
}

#[test]
fn what_the_provider_writes_is_read() {
    let said = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<xml>\n  <return_code><![CDATA[SUCCESS]]></return_code>\r\n\
                <total_fee>100</total_fee>\n<attach><![CDATA[]]></attach><device_info/>\
                <body>a<![CDATA[<&]]>b&lt;&gt;&amp;&quot;&apos;\r\nc</body>\n</xml>\n";
    let expected = [
        ("return_code", "SUCCESS"),
        ("total_fee", "100"),
        ("attach", ""),
        ("device_info", ""),
        ("body", "a<&b<>&\"'\nc"),
    ];
    assert_eq!(xml::read(said.as_bytes()), Ok(fields(&expected)));
    assert_eq!(xml::read(b"<xml></xml>"), Ok(Fields::new()));
}

#[test]
fn everything_but_a_flat_list_is_refused() {
    let laughs = "<!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol2 \"&lol;&lol;&lol;\">]><xml><a>&lol2;</a></xml>";
    refused(laughs, "a document type or comment");
    refused(&format!("<?xml version=\"1.0\"?>\n{laughs}"), "a document type or comment");
    refused("<!DOCTYPE xml SYSTEM \"file:///etc/passwd\"><xml/>", "a document type or comment");
    refused("<xml><!DOCTYPE x><a>1</a></xml>", "no name of a field");
    refused("<xml><a>&lol;</a></xml>", "an entity other than the five");
    refused("<xml><a>&#49;</a></xml>", "an entity other than the five");
    refused("<xml><a>& b</a></xml>", "an entity other than the five");
    refused("<xml><a><b>1</b></a></xml>", "something else than text in a field");
    refused("<xml><a>1<!-- 2 --></a></xml>", "something else than text in a field");
    refused("<xml><a>1<?php ?></a></xml>", "something else than text in a field");
    refused("<xml><a b=\"1\">1</a></xml>", "something behind a field's name");
    refused("<xml><a>1</a><a>1</a></xml>", "a field that stands there twice");
    refused("<xml><a>1</a><a/></xml>", "a field that stands there twice");
    refused("<xml><a>1</b></xml>", "a field that is not closed");
    refused("<xml><a>1</ab></xml>", "a field that is not closed");
    refused("<xml><a>1", "something else than text in a field");
    refused("<xml><a>1</a>", "text outside of a field");
    refused("<xml>1</xml>", "text outside of a field");
    refused("<xml><1a>1</1a></xml>", "no name of a field");
    refused("<xml><a:b>1</a:b></xml>", "something behind a field's name");
    refused("<xml><a><![CDATA[1]]</a></xml>", "a CDATA section without an end");
    refused("<xml><a>1]]>2</a></xml>", "the end of a CDATA section without its beginning");
    refused("<xml><a>\u{1}</a></xml>", "a control character");
    refused("<xml><a><![CDATA[\u{0}]]></a></xml>", "a control character");
    refused("<xml><a>1</a></xml><xml></xml>", "something behind the message");
    refused("<?xml version=\"1.0\"", "a declaration without an end");
    refused("{\"code\":\"SIGN_ERROR\"}", "no <xml>");
    refused("", "no <xml>");
    refused("<XML></XML>", "no <xml>");
    assert_eq!(xml::read(b"<xml><a>\xff</a></xml>").unwrap_err().why, "not UTF-8");
}

#[test]
fn what_is_longer_than_any_message_is_not_looked_at() {
    let many = |count: usize| {
        let inner: String = (0..count).map(|n| format!("<f{n}>1</f{n}>")).collect();
        format!("<xml>{inner}</xml>")
    };
    assert_eq!(xml::read(many(FIELDS_MAX).as_bytes()).unwrap().len(), FIELDS_MAX);
    refused(&many(FIELDS_MAX + 1), "more fields than any message has");
    let name = "n".repeat(65);
    refused(&format!("<xml><{name}>1</{name}></xml>"), "no name of a field");
    refused(&format!("<xml><a>{}</a></xml>", "1".repeat(MESSAGE_MAX_BYTES)), "longer than any message");
    // Not deep either: the first field within a field ends it.
    refused(&format!("<xml>{}", "<a>".repeat(10_000)), "something else than text in a field");
}

#[test]
fn a_fingerprint_is_of_this_merchants_key() {
    let of = |mch_id: &str, key: &str| fingerprint(mch_id, key);
    assert_eq!(of("1900000101", "k").len(), 8);
    assert_ne!(of("1900000101", "k"), of("1900000102", "k"));
    assert_ne!(of("1900000101", "k"), of("1900000101", "l"));
}
