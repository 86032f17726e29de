//! What the adapter sends, believes and refuses. Keys and certificates were made for these tests; expected requests and
//! numbers come from an independent implementation (`requests.json`), other vectors are published by Alipay's clients.

mod bill;
mod contract;
mod notification;
mod request;
mod response;

use serde::Deserialize;

use super::credentials::{Credentials, Trust};
use super::*;
use crate::channels::{Bar, CreateOrder, OrderRef, PaidFacts, RefundOrder, RefundRef, Subject};
use crate::crypto::rsa::RsaSigner;
use crate::domain::ids::{AttemptId, RefundId};
use crate::domain::money::Money;
use crate::domain::payment::NextAction;

/// 2026-11-18 19:06:40 in Beijing.
const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);
const SEALING: Sealing = Sealing { now: NOW, nonce: [7; 16] };
const HOST: &str = "http://127.0.0.1:8080/sim/alipay/gateway.do";

const APP_ID: &str = "2021000000000001";
const SELLER_ID: &str = "2088000000000001";
const APP_KEY: &str = include_str!("../fixtures/app_private.pem");
const ALIPAY_KEY: &str = include_str!("../fixtures/alipay_private.pem");
const ALIPAY_NEXT_KEY: &str = include_str!("../fixtures/alipay_next_private.pem");
const APP_CERT: &str = include_str!("../fixtures/app.crt");
const ALIPAY_CERT: &str = include_str!("../fixtures/alipay.crt");
const ALIPAY_NEXT_CERT: &str = include_str!("../fixtures/alipay_next.crt");
const ROOT_CERT: &str = include_str!("../fixtures/root.crt");

#[derive(Deserialize)]
struct Vectors {
    sns: Sns,
    attempt: String,
    refund: String,
    content_key: String,
    requests: Vec<Expected>,
}

#[derive(Deserialize)]
struct Sns {
    app: String,
    root: String,
    alipay: String,
    next: String,
}

#[derive(Deserialize)]
struct Expected {
    mode: String,
    order: String,
    signed_text: String,
    all: String,
    query: String,
    body: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../fixtures/requests.json")).unwrap()
}

/// Alipay's public key as its console shows it: bare base64.
fn alipay_public_key() -> String {
    use rsa::pkcs8::{DecodePrivateKey, EncodePublicKey};
    let key = rsa::RsaPrivateKey::from_pkcs8_der(&crate::crypto::rsa::der_in(ALIPAY_KEY).unwrap()).unwrap();
    data_encoding::BASE64.encode(key.to_public_key().to_public_key_der().unwrap().as_bytes())
}

fn by_key() -> Credentials {
    Credentials {
        app_id: APP_ID.to_owned(),
        seller_id: SELLER_ID.to_owned(),
        private_key: APP_KEY.to_owned(),
        trust: Trust::Key { alipay_public_key: alipay_public_key() },
        content_key: None,
        earlier: Vec::new(),
    }
}

fn by_certificate() -> Credentials {
    let trust = Trust::Certificate {
        app_certificate: APP_CERT.to_owned(),
        alipay_certificates: vec![ALIPAY_CERT.to_owned()],
        root_certificates: ROOT_CERT.to_owned(),
        wanted_sn: None,
    };
    Credentials { trust, ..by_key() }
}

fn by_key_encrypted() -> Credentials {
    Credentials { content_key: Some(vectors().content_key), ..by_key() }
}

fn opened(record: &Credentials) -> Alipay {
    Alipay::open(record.to_secret().expose(), HOST.to_owned()).unwrap()
}

fn attempt() -> AttemptId {
    AttemptId::new(NOW, [1; 10])
}

fn refund_id() -> RefundId {
    RefundId::new(NOW, [2; 10])
}

fn reference(method: Method) -> OrderRef {
    let expires_at = NOW.plus(Duration::from_minutes(30));
    OrderRef { attempt: attempt(), method, created_at: NOW, expires_at, transaction_id: None }
}

fn refund_reference() -> RefundRef {
    RefundRef { refund: refund_id(), created_at: NOW, order: reference(Method::AlipayQr), channel_refund_id: None }
}

fn create(method: Method) -> Order {
    Order::Create(create_order(method))
}

fn create_order(method: Method) -> CreateOrder {
    CreateOrder {
        attempt: attempt(),
        method,
        amount: Money::new(1230, Currency::CNY),
        description: "一只  马克杯 & \"盘子\"".to_owned(),
        created_at: NOW,
        expires_at: NOW.plus(Duration::from_minutes(30)),
        notify_url: "https://pay.example.com/notify/acc_1".to_owned(),
        return_url: "https://pay.example.com/c/abc/return?x=1&y=2".to_owned(),
        customer_ip: None,
        openid: None,
        auth_code: Some("281234567890123456".to_owned()),
    }
}

fn refund() -> Order {
    Order::Refund(RefundOrder {
        about: refund_reference(),
        amount: Money::new(600, Currency::CNY),
        total: Money::new(1230, Currency::CNY),
        reason: Some("尺寸不合适".to_owned()),
        notify_url: "https://pay.example.com/notify/acc_1".to_owned(),
    })
}

fn call(alipay: &Alipay, order: &Order) -> OutgoingRequest {
    match alipay.request(order, &SEALING) {
        Ok(Prepared::Call(request)) => request,
        other => panic!("{other:?}"),
    }
}

/// An answer as Alipay writes it: the node's bytes signed as they stand.
fn answer(node_name: &str, node: &str) -> OutgoingResponse {
    signed_answer(node_name, node, ALIPAY_KEY, None)
}

fn signed_answer(node_name: &str, node: &str, key: &str, sn: Option<&str>) -> OutgoingResponse {
    let sign = RsaSigner::read(key).unwrap().sign_sha256_base64(node.as_bytes());
    let sn = sn.map_or_else(String::new, |sn| format!(r#""alipay_cert_sn":"{sn}","#));
    raw_answer(format!(r#"{{"{node_name}":{node},{sn}"sign":"{sign}"}}"#))
}

fn raw_answer(body: impl Into<Vec<u8>>) -> OutgoingResponse {
    OutgoingResponse {
        status: 200,
        headers: vec![("content-type".to_owned(), "text/html;charset=utf-8".to_owned())],
        body: body.into(),
        truncated: false,
        address: "127.0.0.1:8080".parse().unwrap(),
        connect_ms: 0,
        total_ms: 1,
    }
}

/// The name of the node that answers an order.
fn node_of(order: &Order) -> String {
    format!("{}_response", super::request::method_of(order).unwrap().replace('.', "_"))
}

fn hear(order: &Order, node: &str) -> Result<Observation, ChannelError> {
    opened(&by_key()).read_response(order, &answer(&node_of(order), node), NOW)
}

#[track_caller]
fn assert_not_genuine(result: Result<impl std::fmt::Debug, ChannelError>) {
    assert!(matches!(result, Err(ChannelError::NotGenuine { .. } | ChannelError::UnknownKey { .. })), "{result:?}");
}

#[track_caller]
fn assert_malformed(result: Result<impl std::fmt::Debug, ChannelError>) {
    assert!(matches!(result, Err(ChannelError::Malformed { .. })), "{result:?}");
}

#[track_caller]
fn assert_unknown(result: Result<Observation, ChannelError>) {
    assert!(matches!(result, Ok(Observation::Unknown { .. })), "{result:?}");
}
