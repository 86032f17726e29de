//! WeChat Pay's messages: JSON around something encrypted with the merchant's key, signed with RSA.

use std::collections::BTreeMap;

use coffer::channels::wechatpay::{AnswersBy, AppIds, Credentials, sign};
use coffer::crypto::Secret;
use coffer::crypto::rsa::RsaSigner;
use coffer::domain::merchant::ChannelKind;
use coffer::domain::time::Timestamp;
use data_encoding::BASE64;
use ring::aead;
use serde_json::{Value, json};

use super::provider::{Message, Provider, Signer, State, Words, garbled_json, no_json};

const MERCHANT: &str = "1900009191";
const APP: &str = "wxd678efh567hg6787";
const KEY_ID: &str = "PUB_KEY_ID_0114232134912410000000000000000000";
const API_V3_KEY: &str = "0123456789abcdefGHIJKLMNOPQRSTUV";
const NONCE: [u8; 12] = *b"fdasfjihihih";
/// The adapter's own fixtures.
const VECTORS: &str = include_str!("../../../src/channels/wechatpay/fixtures/vectors.json");
const STRANGER: &str = include_str!("../../../src/channels/wechatpay/fixtures/platform_new_key.pem");
const STRANGERS_CERTIFICATE: &str = include_str!("../../../src/channels/wechatpay/fixtures/platform_new.pem");

pub fn provider() -> Provider {
    Provider { kind: ChannelKind::WechatPay, credentials, say, spoil, garble }
}

fn published(key: &str, part: &str) -> String {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    vectors["keys"][key][part].as_str().unwrap().to_owned()
}

fn key(signer: Signer) -> RsaSigner {
    match signer {
        Signer::Genuine => RsaSigner::read(&published("go_test", "private_pkcs8_der_base64")).unwrap(),
        Signer::Stranger => RsaSigner::read(STRANGER).unwrap(),
    }
}

fn credentials(signer: Signer) -> Secret {
    let (public_keys, platform_certificates, answers) = match signer {
        Signer::Genuine => {
            let public = published("go_test", "public_spki_der_base64");
            let answers = AnswersBy::PublicKey { id: KEY_ID.to_owned() };
            (BTreeMap::from([(KEY_ID.to_owned(), public)]), Vec::new(), answers)
        }
        Signer::Stranger => (BTreeMap::new(), vec![STRANGERS_CERTIFICATE.to_owned()], AnswersBy::PlatformCertificate),
    };
    Credentials {
        mch_id: MERCHANT.to_owned(),
        app_ids: AppIds { default: APP.to_owned(), official_account: None, mini_program: None, app: None },
        official_account_secret: None,
        merchant_key: published("java_merchant_test", "private_pkcs8_der_base64"),
        merchant_serial: "5F1C72E2A8931B72A2E13AF8DEE92471EB397115".to_owned(),
        merchant_certificate: None,
        api_v3_key: API_V3_KEY.to_owned(),
        previous_api_v3_key: None,
        public_keys,
        platform_certificates,
        answers,
    }
    .to_secret()
}

fn say(signer: Signer, words: &Words, at: Timestamp) -> Message {
    let message = signed(signer, envelope(text(words).as_bytes()), at);
    match signer {
        Signer::Genuine => message,
        Signer::Stranger => message.with(sign::SERIAL_HEADER, Some("2DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C")),
    }
}

/// Encrypts what is said. The envelope says what its content is about, as the provider's does.
fn envelope(plain: &[u8]) -> Vec<u8> {
    let content: Value = serde_json::from_slice(plain).unwrap_or_default();
    let (kind, event) = match content["refund_status"].as_str() {
        Some(status) => ("refund", format!("REFUND.{status}")),
        None => ("transaction", "TRANSACTION.SUCCESS".to_owned()),
    };
    let cipher = aead::UnboundKey::new(&aead::AES_256_GCM, API_V3_KEY.as_bytes()).unwrap();
    let nonce = aead::Nonce::assume_unique_for_key(NONCE);
    let mut sealed = plain.to_vec();
    aead::LessSafeKey::new(cipher).seal_in_place_append_tag(nonce, aead::Aad::from(kind), &mut sealed).unwrap();
    let resource = json!({
        "original_type": kind, "algorithm": "AEAD_AES_256_GCM", "ciphertext": BASE64.encode(&sealed),
        "associated_data": kind, "nonce": std::str::from_utf8(&NONCE).unwrap(),
    });
    let envelope = json!({
        "id": "1", "create_time": "2026-11-18T19:06:40+08:00", "resource_type": "encrypt-resource",
        "event_type": event, "summary": "支付成功", "resource": resource,
    });
    envelope.to_string().into_bytes()
}

fn signed(signer: Signer, body: Vec<u8>, at: Timestamp) -> Message {
    let (time, nonce) = (at.as_seconds().to_string(), "593BEC0C930BF1AFEB40B4A08C8FB242");
    let signature = key(signer).sign_sha256_base64(&sign::message_text(&time, nonce, &body));
    let headers = [
        (sign::TIMESTAMP_HEADER, time.as_str()),
        (sign::NONCE_HEADER, nonce),
        (sign::SERIAL_HEADER, KEY_ID),
        (sign::TYPE_HEADER, sign::SCHEME),
        (sign::SIGNATURE_HEADER, &signature),
    ];
    Message { headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(), body }
}

fn text(words: &Words) -> String {
    let said = match words {
        Words::Order(said) => {
            let state = match said.state {
                State::Paid => "SUCCESS",
                State::Unpaid => "NOTPAY",
                State::Closed => "CLOSED",
                State::Failed => "PAYERROR",
                State::Strange => "REVERSED",
            };
            json!({
                "mchid": if said.foreign_merchant { "1900000002" } else { MERCHANT },
                "appid": if said.foreign_app { "wxother" } else { APP },
                "out_trade_no": said.number, "transaction_id": "4200000001", "trade_type": "NATIVE",
                "trade_state": state, "trade_state_desc": "支付成功", "success_time": said.at.to_rfc3339(),
                "amount": {"total": said.total, "payer_total": said.total, "currency": said.currency},
            })
        }
        Words::Refund(said) => json!({
            "mchid": MERCHANT, "out_trade_no": said.order, "transaction_id": "4200000001", "out_refund_no": said.number,
            "refund_id": "5000000001", "refund_status": "SUCCESS", "success_time": said.at.to_rfc3339(),
            "amount": {"total": 1230, "refund": said.amount, "payer_total": 1230, "payer_refund": said.amount},
        }),
    };
    said.to_string()
}

fn spoil(good: &Message) -> Vec<(&'static str, Message)> {
    let doubled = Message { headers: [good.headers.clone(), good.headers.clone()].concat(), body: good.body.clone() };
    let signature = &good.headers.iter().find(|(name, _)| name == sign::SIGNATURE_HEADER).unwrap().1;
    let probe = format!("{}{signature}", sign::PROBE_PREFIX);
    let strangers = signed(Signer::Stranger, good.body.clone(), Timestamp::MIN);
    vec![
        ("no signature field", good.with(sign::SIGNATURE_HEADER, None)),
        ("empty signature", good.with(sign::SIGNATURE_HEADER, Some(""))),
        ("signature of nothing", good.with(sign::SIGNATURE_HEADER, Some("AAAA"))),
        ("signature of another key, long ago", strangers),
        ("a probe", good.with(sign::SIGNATURE_HEADER, Some(&probe))),
        ("another algorithm", good.with(sign::TYPE_HEADER, Some("WECHATPAY2-SM2-WITH-SM3"))),
        ("no algorithm", good.with(sign::TYPE_HEADER, Some("none"))),
        ("no time", good.with(sign::TIMESTAMP_HEADER, None)),
        ("no nonce", good.with(sign::NONCE_HEADER, None)),
        ("a key that nobody knows", good.with(sign::SERIAL_HEADER, Some("PUB_KEY_ID_1"))),
        ("no key", good.with(sign::SERIAL_HEADER, None)),
        ("two sets of headers", doubled),
        ("changed after signing", good.saying("\"id\":\"1\"", "\"id\":\"2\"")),
    ]
}

fn garble(words: &Words, at: Timestamp) -> Vec<Message> {
    let Words::Order(order) = words else { panic!("an order") };
    let plain = text(words);
    let good = String::from_utf8(envelope(plain.as_bytes())).unwrap();
    let sealed = good.split_once("\"ciphertext\":\"").unwrap().1.split_once('"').unwrap().0;
    let nonce = good.split_once("\"nonce\":\"").unwrap().1.split_once('"').unwrap().0;
    let contents = [garbled_json(&plain, &order.number), no_json(&plain)].concat();
    let mut bodies: Vec<Vec<u8>> = contents.iter().map(|plain| envelope(plain)).collect();
    bodies.extend(no_json(&good));
    for (from, to) in [
        (sealed, BASE64.encode(&[0; 64]).as_str()),
        ("\"associated_data\":\"transaction\"", "\"associated_data\":\"refund\""),
        (nonce, &nonce[1..]),
        ("AEAD_AES_256_GCM", "none"),
        ("\"event_type\"", "\"event_type\":\"x\",\"event_type\""),
    ] {
        assert!(good.contains(from), "{from} is not in {good}");
        bodies.push(good.replace(from, to).into_bytes());
    }
    bodies.into_iter().map(|body| signed(Signer::Genuine, body, at)).collect()
}
