//! WeChat Pay's messages: JSON around something encrypted with the merchant's key, signed with RSA.

use std::collections::BTreeMap;

use coffer::channels::wechatpay::{AnswersBy, AppIds, Credentials, sign};
use coffer::crypto::Secret;
use coffer::crypto::rsa::RsaSigner;
use coffer::domain::merchant::ChannelKind;
use coffer::domain::method::Method;
use coffer::domain::time::Timestamp;
use data_encoding::BASE64;
use ring::aead;
use serde_json::{Value, json};

use super::provider::{Message, Provider, Signer, State, TEN_MINUTES, Words, garbled_json, no_json};

const MERCHANT: &str = "1900009191";
const APP: &str = "wxd678efh567hg6787";
const KEY_ID: &str = "PUB_KEY_ID_0114232134912410000000000000000000";
const API_V3_KEY: &str = "0123456789abcdefGHIJKLMNOPQRSTUV";
const NONCE: [u8; 12] = *b"fdasfjihihih";
/// The adapter's own fixtures.
const VECTORS: &str = include_str!("../../../src/channels/wechatpay/fixtures/vectors.json");
const CERTIFIED_KEY: &str = include_str!("../../../src/channels/wechatpay/fixtures/platform_new_key.pem");
const CERTIFICATE: &str = include_str!("../../../src/channels/wechatpay/fixtures/platform_new.pem");
const SERIAL: &str = "2DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C";
/// Of the same key, until 2021.
const CERTIFICATE_OVER: &str = include_str!("../../../src/channels/wechatpay/fixtures/platform_over.pem");
const SERIAL_OVER: &str = "3DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C";

/// 公钥模式.
pub fn by_public_key() -> Provider {
    Provider {
        kind: ChannelKind::WechatPay,
        method: Method::WechatNative,
        has_app: true,
        is_live: true,
        window: TEN_MINUTES,
        tells_refunds: true,
        keys: &["/public_keys"],
        expired: None,
        credentials: credentials::<false>,
        say: say::<false>,
        spoil,
        garble: garble::<false>,
    }
}

/// 平台证书模式.
pub fn by_certificate() -> Provider {
    Provider {
        keys: &["/platform_certificates"],
        expired: Some(expired),
        credentials: credentials::<true>,
        say: say::<true>,
        garble: garble::<true>,
        ..by_public_key()
    }
}

fn published(key: &str, part: &str) -> String {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    vectors["keys"][key][part].as_str().unwrap().to_owned()
}

/// Whoever is not genuine is so for accounts of the other mode.
fn is_certified<const CERTIFIED: bool>(signer: Signer) -> bool {
    CERTIFIED == (signer == Signer::Genuine)
}

fn key(certified: bool) -> RsaSigner {
    let key = if certified { CERTIFIED_KEY.to_owned() } else { published("go_test", "private_pkcs8_der_base64") };
    RsaSigner::read(&key).unwrap()
}

fn credentials<const CERTIFIED: bool>(signer: Signer) -> Secret {
    if is_certified::<CERTIFIED>(signer) { certified(CERTIFICATE) } else { by_key().to_secret() }
}

fn certified(certificate: &str) -> Secret {
    Credentials {
        public_keys: BTreeMap::new(),
        platform_certificates: vec![certificate.to_owned()],
        answers: AnswersBy::PlatformCertificate,
        ..by_key()
    }
    .to_secret()
}

fn by_key() -> Credentials {
    Credentials {
        mch_id: MERCHANT.to_owned(),
        app_ids: AppIds { default: APP.to_owned(), official_account: None, mini_program: None, app: None },
        official_account_secret: None,
        merchant_key: published("java_merchant_test", "private_pkcs8_der_base64"),
        merchant_serial: "5F1C72E2A8931B72A2E13AF8DEE92471EB397115".to_owned(),
        merchant_certificate: None,
        api_v3_key: API_V3_KEY.to_owned(),
        previous_api_v3_key: None,
        code_v2_key: None,
        public_keys: BTreeMap::from([(KEY_ID.to_owned(), published("go_test", "public_spki_der_base64"))]),
        platform_certificates: Vec::new(),
        answers: AnswersBy::PublicKey { id: KEY_ID.to_owned() },
    }
}

fn say<const CERTIFIED: bool>(signer: Signer, words: &Words, at: Timestamp) -> Message {
    signed(is_certified::<CERTIFIED>(signer), envelope(text(words).as_bytes()), at)
}

fn expired(words: &Words, at: Timestamp) -> (Secret, Message) {
    let message = signed(true, envelope(text(words).as_bytes()), at).with(sign::SERIAL_HEADER, Some(SERIAL_OVER));
    (certified(CERTIFICATE_OVER), message)
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

fn signed(certified: bool, body: Vec<u8>, at: Timestamp) -> Message {
    let (time, nonce) = (at.as_seconds().to_string(), "593BEC0C930BF1AFEB40B4A08C8FB242");
    let signature = key(certified).sign_sha256_base64(&sign::message_text(&time, nonce, &body));
    let headers = [
        (sign::TIMESTAMP_HEADER, time.as_str()),
        (sign::NONCE_HEADER, nonce),
        (sign::SERIAL_HEADER, if certified { SERIAL } else { KEY_ID }),
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
    let certified = good.headers.iter().any(|(_, value)| value == SERIAL);
    let strangers = signed(!certified, good.body.clone(), Timestamp::MIN);
    let other = if certified { KEY_ID } else { SERIAL };
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
        ("the name of another key", good.with(sign::SERIAL_HEADER, Some(other))),
        ("no key", good.with(sign::SERIAL_HEADER, None)),
        ("two sets of headers", doubled),
        ("changed after signing", good.saying("\"id\":\"1\"", "\"id\":\"2\"")),
    ]
}

fn garble<const CERTIFIED: bool>(words: &Words, at: Timestamp) -> Vec<Message> {
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
    bodies.into_iter().map(|body| signed(CERTIFIED, body, at)).collect()
}
