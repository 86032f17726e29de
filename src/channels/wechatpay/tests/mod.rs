//! What the adapter says, believes and refuses. The provider's published vectors are in `fixtures/vectors.json`, which
//! names the source of each; the certificates beside it were made for these tests from its keys.

mod code_v2;
mod keys;
mod notifications;
mod requests;
mod responses;
mod statements;
mod vectors;

use std::collections::BTreeMap;

use data_encoding::BASE64;
use ring::aead;
use serde_json::{Value, json};

use super::*;
use crate::channels::{Bar, CreateOrder, OrderRef, RefundOrder, RefundRef, Subject};
use crate::crypto::rsa::RsaSigner;
use crate::domain::ids::{AttemptId, RefundId};
use crate::domain::money::Money;

pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);
const SEALING: Sealing = Sealing { now: NOW, nonce: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15] };
const MCH_ID: &str = "1900009191";
const APP_ID: &str = "wxd678efh567hg6787";
const KEY_ID: &str = "PUB_KEY_ID_0114232134912410000000000000000000";
const API_V3_KEY: &str = "0123456789abcdefGHIJKLMNOPQRSTUV";

const PLATFORM_OLD: &str = include_str!("../fixtures/platform_old.pem");
const PLATFORM_NEW: &str = include_str!("../fixtures/platform_new.pem");
const PLATFORM_OVER: &str = include_str!("../fixtures/platform_over.pem");
const PLATFORM_NEW_KEY: &str = include_str!("../fixtures/platform_new_key.pem");
const OLD_SERIAL: &str = "0DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C";
const NEW_SERIAL: &str = "2DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C";

fn vectors() -> Value {
    serde_json::from_str(include_str!("../fixtures/vectors.json")).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn key_base64(name: &str) -> String {
    text(&vectors()["keys"][name]["private_pkcs8_der_base64"]).to_owned()
}

/// The provider's key, whose public half stands under [`KEY_ID`] and in the old platform certificate.
fn provider() -> RsaSigner {
    RsaSigner::read(&key_base64("go_test")).unwrap()
}

fn credentials() -> Credentials {
    Credentials {
        mch_id: MCH_ID.to_owned(),
        app_ids: AppIds {
            default: APP_ID.to_owned(),
            official_account: Some("wx0000000000000001".to_owned()),
            mini_program: Some("wx0000000000000002".to_owned()),
            app: Some("wx0000000000000003".to_owned()),
        },
        official_account_secret: Some("0123456789abcdef0123456789abcdef".to_owned()),
        merchant_key: key_base64("java_merchant_test"),
        merchant_serial: "5F1C72E2A8931B72A2E13AF8DEE92471EB397115".to_owned(),
        merchant_certificate: None,
        api_v3_key: API_V3_KEY.to_owned(),
        previous_api_v3_key: None,
        code_v2_key: None,
        public_keys: BTreeMap::from([(
            KEY_ID.to_owned(),
            text(&vectors()["keys"]["go_test"]["public_spki_der_base64"]).to_owned(),
        )]),
        platform_certificates: Vec::new(),
        answers: AnswersBy::PublicKey { id: KEY_ID.to_owned() },
    }
}

fn opened(record: &Credentials) -> WechatPay {
    WechatPay::open(record.to_secret().expose(), HOST).unwrap()
}

fn wechat() -> WechatPay {
    opened(&credentials())
}

/// An account that has platform certificates and no public key.
fn with_certificates(certificates: &[&str]) -> Credentials {
    Credentials {
        public_keys: BTreeMap::new(),
        platform_certificates: certificates.iter().map(|&pem| pem.to_owned()).collect(),
        answers: AnswersBy::PlatformCertificate,
        ..credentials()
    }
}

fn attempt() -> AttemptId {
    AttemptId::new(NOW, [1; 10])
}

fn refund() -> RefundId {
    RefundId::new(NOW, [2; 10])
}

fn fen(minor: u64) -> Money {
    Money::new(minor, Currency::CNY)
}

fn reference(method: Method) -> OrderRef {
    let expires_at = NOW.plus(Duration::from_minutes(30));
    OrderRef { attempt: attempt(), method, created_at: NOW, expires_at, transaction_id: None }
}

fn refund_reference() -> RefundRef {
    let order = reference(Method::WechatNative);
    RefundRef { refund: refund(), created_at: NOW, order, channel_refund_id: None }
}

fn create(method: Method) -> CreateOrder {
    CreateOrder {
        attempt: attempt(),
        method,
        amount: fen(1230),
        description: "一只马克杯".to_owned(),
        created_at: NOW,
        expires_at: NOW.plus(Duration::from_minutes(30)),
        notify_url: "https://pay.example.com/notify/acc_1".to_owned(),
        return_url: "https://pay.example.com/c/x/return".to_owned(),
        customer_ip: Some("203.0.113.7".parse().unwrap()),
        openid: Some("oUpF8uMuAJO_M2pxb1Q9zNjWeS6o".to_owned()),
        auth_code: Some("134567890123456789".to_owned()),
    }
}

fn refund_order() -> RefundOrder {
    RefundOrder {
        about: refund_reference(),
        amount: fen(600),
        total: fen(1230),
        reason: Some("顾客退货".to_owned()),
        notify_url: "https://pay.example.com/notify/acc_1".to_owned(),
    }
}

/// The headers that the provider puts on a message.
fn headers_by(signer: &RsaSigner, id: &str, body: &[u8], at: Timestamp) -> Vec<(String, String)> {
    let (timestamp, nonce) = (at.as_seconds().to_string(), "593BEC0C930BF1AFEB40B4A08C8FB242");
    let signature = signer.sign_sha256_base64(&sign::message_text(&timestamp, nonce, body));
    [
        (sign::TIMESTAMP_HEADER, timestamp.as_str()),
        (sign::NONCE_HEADER, nonce),
        (sign::SERIAL_HEADER, id),
        (sign::TYPE_HEADER, sign::SCHEME),
        (sign::SIGNATURE_HEADER, &signature),
        ("request-id", "08F78BB5AF0610D302-0"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

fn headers(body: &[u8]) -> Vec<(String, String)> {
    headers_by(&provider(), KEY_ID, body, NOW)
}

fn raw_answer(status: u16, body: Vec<u8>, headers: Vec<(String, String)>) -> OutgoingResponse {
    OutgoingResponse {
        status,
        headers,
        body,
        truncated: false,
        address: "127.0.0.1:443".parse().unwrap(),
        connect_ms: 0,
        total_ms: 1,
    }
}

/// A signed answer.
fn answer(status: u16, body: &Value) -> OutgoingResponse {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let headers = headers(&body);
    raw_answer(status, body, headers)
}

/// An error, which the provider does not sign.
fn refusal(status: u16, code: &str, message: &str) -> OutgoingResponse {
    let body = json!({"code": code, "message": message}).to_string().into_bytes();
    raw_answer(status, body, vec![("request-id".to_owned(), "08F78BB5AF0610D302-268435461".to_owned())])
}

fn hear(order: &Order, response: &OutgoingResponse) -> Result<Observation, ChannelError> {
    wechat().read_response(order, response, NOW)
}

/// A paid order as the provider tells it, with changes.
fn transaction(change: Value) -> Value {
    merged(
        json!({
            "appid": APP_ID, "mchid": MCH_ID, "out_trade_no": attempt().bare(),
            "transaction_id": "4200000000202611230000000001", "trade_type": "NATIVE", "trade_state": "SUCCESS",
            "trade_state_desc": "支付成功", "bank_type": "OTHERS", "attach": "",
            "success_time": "2026-11-18T19:06:40+08:00", "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
            "amount": {"total": 1230, "payer_total": 1230, "currency": "CNY", "payer_currency": "CNY"},
        }),
        change,
    )
}

/// A refund as an answer tells it, with changes.
fn refund_view(change: Value) -> Value {
    merged(
        json!({
            "refund_id": "50000000382026112309732678859", "out_refund_no": refund().bare(),
            "transaction_id": "4200000000202611230000000001", "out_trade_no": attempt().bare(), "channel": "ORIGINAL",
            "user_received_account": "招商银行信用卡0403", "create_time": "2026-11-18T19:06:40+08:00",
            "status": "SUCCESS", "funds_account": "UNSETTLED",
            "amount": {"total": 1230, "refund": 600, "payer_total": 1230, "payer_refund": 600, "currency": "CNY"},
        }),
        change,
    )
}

/// Members of `change` take the place of those in `whole`; null takes them away.
fn merged(mut whole: Value, change: Value) -> Value {
    let members = whole.as_object_mut().unwrap();
    for (name, value) in change.as_object().unwrap() {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    whole
}

/// Encrypts as the provider does.
fn resource(plain: &[u8], original_type: &str, api_v3_key: &str) -> Value {
    let key = aead::UnboundKey::new(&aead::AES_256_GCM, api_v3_key.as_bytes()).unwrap();
    let nonce = "fdasfjihihih";
    let mut sealed = plain.to_vec();
    aead::LessSafeKey::new(key)
        .seal_in_place_append_tag(
            aead::Nonce::assume_unique_for_key(nonce.as_bytes().try_into().unwrap()),
            aead::Aad::from(original_type.as_bytes()),
            &mut sealed,
        )
        .unwrap();
    json!({
        "original_type": original_type, "algorithm": "AEAD_AES_256_GCM", "ciphertext": BASE64.encode(&sealed),
        "associated_data": original_type, "nonce": nonce,
    })
}

#[track_caller]
fn assert_not_genuine(result: Result<impl std::fmt::Debug, ChannelError>) {
    assert!(matches!(result, Err(ChannelError::NotGenuine { .. } | ChannelError::UnknownKey { .. })), "{result:?}");
}

#[track_caller]
fn assert_malformed(result: Result<impl std::fmt::Debug, ChannelError>) {
    assert!(matches!(result, Err(ChannelError::Malformed { .. })), "{result:?}");
}

fn is_unknown(heard: &Result<Observation, ChannelError>) -> bool {
    matches!(heard, Ok(Observation::Unknown { .. }))
}
