//! Alipay's messages: a form, signed with RSA over its sorted fields.

use coffer::channels::alipay::credentials::{Credentials, Trust};
use coffer::crypto::Secret;
use coffer::crypto::rsa::RsaSigner;
use coffer::domain::merchant::ChannelKind;
use coffer::domain::method::Method;
use coffer::domain::time::{Duration, Timestamp};
use data_encoding::BASE64;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};

use super::form::{Fields, and, but, bytes, fields, joined, merged, message, with, without};
use super::provider::{Message, Provider, Signer, State, Words};

const APP: &str = "2021000000000001";
const SELLER: &str = "2088000000000001";
const APP_KEY: &str = include_str!("../../../src/channels/alipay/fixtures/app_private.pem");
const APP_CERTIFICATE: &str = include_str!("../../../src/channels/alipay/fixtures/app.crt");
const ROOT: &str = include_str!("../../../src/channels/alipay/fixtures/root.crt");
const KEY: &str = include_str!("../../../src/channels/alipay/fixtures/alipay_private.pem");
const CERTIFICATE: &str = include_str!("../../../src/channels/alipay/fixtures/alipay.crt");
const STRANGER: &str = include_str!("../../../src/channels/alipay/fixtures/alipay_next_private.pem");
const STRANGERS_CERTIFICATE: &str = include_str!("../../../src/channels/alipay/fixtures/alipay_next.crt");
/// Of the stranger's key, until 2025.
const EXPIRED: &str = include_str!("../../../src/channels/alipay/fixtures/expired.crt");
/// What no signature covers.
const UNSIGNED: &[&str] = &["sign", "sign_type"];

/// 密钥.
pub fn by_key() -> Provider {
    Provider {
        kind: ChannelKind::Alipay,
        method: Method::AlipayQr,
        has_app: true,
        is_live: true,
        // A message keeps its time over all tries, and the last comes after twenty-five hours.
        window: Some([Duration::from_hours(27), Duration::from_minutes(11)]),
        tells_refunds: false,
        keys: &["/trust/alipay_public_key"],
        expired: None,
        credentials: credentials::<false>,
        say,
        spoil,
        garble,
    }
}

/// 证书.
pub fn by_certificate() -> Provider {
    Provider {
        keys: &["/trust/alipay_certificates"],
        expired: Some(expired),
        credentials: credentials::<true>,
        ..by_key()
    }
}

fn key(signer: Signer) -> RsaSigner {
    RsaSigner::read(if signer == Signer::Genuine { KEY } else { STRANGER }).unwrap()
}

fn credentials<const CERTIFIED: bool>(signer: Signer) -> Secret {
    let trust = match (CERTIFIED, signer) {
        (true, Signer::Genuine) => certified(CERTIFICATE),
        (true, Signer::Stranger) => certified(STRANGERS_CERTIFICATE),
        (false, _) => Trust::Key { alipay_public_key: BASE64.encode(&key(signer).public().to_spki()) },
    };
    record(trust)
}

fn certified(certificate: &str) -> Trust {
    Trust::Certificate {
        app_certificate: APP_CERTIFICATE.to_owned(),
        alipay_certificates: vec![certificate.to_owned()],
        root_certificates: ROOT.to_owned(),
        wanted_sn: None,
    }
}

fn record(trust: Trust) -> Secret {
    let (app_id, seller_id, private_key) = (APP.to_owned(), SELLER.to_owned(), APP_KEY.to_owned());
    Credentials { app_id, seller_id, private_key, trust, content_key: None, earlier: Vec::new() }.to_secret()
}

fn expired(words: &Words, at: Timestamp) -> (Secret, Message) {
    (record(certified(EXPIRED)), say(Signer::Stranger, words, at))
}

fn say(signer: Signer, words: &Words, at: Timestamp) -> Message {
    signed(signer, text(words, at))
}

fn signed(signer: Signer, mut fields: Fields) -> Message {
    let sign = key(signer).sign_sha256_base64(joined(&fields).as_bytes());
    fields.insert("sign".to_owned(), sign);
    fields.insert("sign_type".to_owned(), "RSA2".to_owned());
    message(&fields)
}

fn beijing(at: Timestamp) -> String {
    at.in_zone("Asia/Shanghai").strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn yuan(minor: u64) -> String {
    format!("{}.{:02}", minor / 100, minor % 100)
}

fn text(words: &Words, at: Timestamp) -> Fields {
    let mut said = fields([
        ("notify_type", "trade_status_sync"),
        ("notify_id", "2026112300222"),
        ("charset", "utf-8"),
        ("version", "1.0"),
        ("subject", "一只马克杯"),
        ("trade_no", "2026111822001"),
        ("buyer_id", "2088102100000001"),
    ]);
    let mut say = |name: &str, value: &str| said.insert(name.to_owned(), value.to_owned());
    say("notify_time", &beijing(at));
    match words {
        Words::Order(order) => {
            let status = match order.state {
                State::Paid => "TRADE_SUCCESS",
                State::Unpaid => "WAIT_BUYER_PAY",
                State::Closed | State::Failed => "TRADE_CLOSED",
                State::Strange => "TRADE_PENDING",
            };
            say("trade_status", status);
            say("app_id", if order.foreign_app { "2021000000000002" } else { APP });
            say("seller_id", if order.foreign_merchant { "2088000000000002" } else { SELLER });
            say("out_trade_no", &order.number);
            say("total_amount", &yuan(order.total));
            if order.currency != "CNY" {
                say("trans_currency", order.currency);
            }
            if matches!(order.state, State::Paid) {
                say("gmt_payment", &beijing(order.at));
            }
        }
        Words::Refund(refund) => {
            for (name, value) in [
                ("trade_status", "TRADE_SUCCESS"),
                ("app_id", APP),
                ("seller_id", SELLER),
                ("out_trade_no", &refund.order),
                ("total_amount", "12.30"),
                ("gmt_payment", &beijing(refund.at)),
                ("gmt_refund", &format!("{}.123", beijing(refund.at))),
                ("refund_fee", &yuan(refund.amount)),
                ("out_biz_no", &refund.number),
            ] {
                say(name, value);
            }
        }
    }
    said
}

fn spoil(good: &Message) -> Vec<(&'static str, Message)> {
    // Valid as a signature, but of the kind that is not believed any more.
    let weak = weakly_signed(good);
    vec![
        ("no signature field", but(good, "sign", None)),
        ("empty signature", but(good, "sign", Some(""))),
        ("signature of nothing", but(good, "sign", Some("AAAA"))),
        ("no kind of signature", but(good, "sign_type", None)),
        ("a kind of signature that proves nothing", but(good, "sign_type", Some("none"))),
        ("signed with MD5", but(good, "sign_type", Some("MD5"))),
        ("said to be signed with SHA-1", but(good, "sign_type", Some("RSA"))),
        ("signed with SHA-1", weak),
        ("changed after signing", but(good, "total_amount", Some("12.31"))),
        ("another order after signing", but(good, "out_trade_no", Some("00000000000000000000000000"))),
        ("a field more", and(good, b"&body=x")),
        ("a field less", but(good, "buyer_id", None)),
        ("an amount more", and(good, b"&total_amount=0.01")),
        ("the same amount twice", and(good, b"&total_amount=12.30")),
        ("a certificate that nobody knows", and(good, b"&alipay_cert_sn=0163beb97c5bccf6ee5b43056c8dab55")),
        ("a line end behind it", and(good, b"\r\n")),
        // The signed text of fields that were put into another's value reads the same.
        ("fields hidden in another", merged(good, "seller_id", "subject", UNSIGNED)),
        ("its amount hidden in another field", merged(good, "subject", "total_amount", UNSIGNED)),
    ]
}

fn weakly_signed(good: &Message) -> Message {
    let mut fields = super::form::read(good);
    fields.retain(|name, _| !UNSIGNED.contains(&name.as_str()));
    let pair = RsaKeyPair::from_pkcs8(&coffer::crypto::rsa::der_in(KEY).unwrap()).unwrap();
    let mut signature = vec![0; pair.public().modulus_len()];
    let text = joined(&fields);
    pair.sign(&RSA_PKCS1_SHA256, &ring::rand::SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    fields.insert("sign".to_owned(), BASE64.encode(&signature));
    fields.insert("sign_type".to_owned(), "RSA".to_owned());
    message(&fields)
}

fn garble(words: &Words, at: Timestamp) -> Vec<Message> {
    let good = text(words, at);
    let sign = |fields: Fields| signed(Signer::Genuine, fields);
    let mut all: Vec<Message> = ["total_amount", "out_trade_no", "trade_no", "app_id", "notify_time"]
        .map(|name| sign(without(&good, name)))
        .into();
    for (name, value) in [
        ("total_amount", "1.23e1"),
        ("total_amount", "-12.30"),
        ("total_amount", "12.300"),
        ("total_amount", "99999999999999999999.00"),
        ("trans_currency", "XXX"),
        ("out_trade_no", "'; DROP TABLE--"),
        ("notify_time", "2026-11-18T19:06:40+08:00"),
        ("gmt_payment", "yesterday"),
        ("charset", "utf-16"),
    ] {
        all.push(sign(with(&good, name, value)));
    }
    // Signed as a subject that reads `x&total_amount=12.30&total_b=` and an amount of one fen: the signed text is the same.
    let split = with(&with(&good, "subject", "x"), "total_b", "&total_amount=0.01");
    all.push(sign(with(&split, "total_amount", "12.30")));
    all.push(bytes(b"<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY a \"aaaa\">]><x>&a;</x>".to_vec()));
    // Chinese in GBK under a message that calls itself UTF-8, signed as it stands.
    all.push(in_gbk(&good));
    all
}

fn in_gbk(fields: &Fields) -> Message {
    let encode = |text: &str| encoding_rs::GBK.encode(text).0.into_owned();
    let sign = key(Signer::Genuine).sign_sha256_base64(&encode(&joined(fields)));
    let mut body = Vec::new();
    for (name, value) in fields {
        let value: String = url::form_urlencoded::byte_serialize(&encode(value)).collect();
        body.extend_from_slice(format!("{name}={value}&").as_bytes());
    }
    let sign: String = url::form_urlencoded::byte_serialize(sign.as_bytes()).collect();
    body.extend_from_slice(format!("sign_type=RSA2&sign={sign}").as_bytes());
    bytes(body)
}
