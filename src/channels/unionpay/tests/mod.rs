//! What the adapter says, believes and refuses. Keys and chains in `fixtures` were made with OpenSSL in the shape of
//! UnionPay's (root, middle, leaf, SHA-1, four parts in the CN); `signature_*.json` are published messages, and
//! `requests.json` was computed with an independent implementation.

mod answers;
mod keyed;
mod notifications;
mod requests;
mod statements;
mod trust;
mod typed_in;
mod vectors;

use super::credentials::{ByCertificate, ByKey, Contract, Credentials};
use super::keyed::{KeyedMethod, SharedKey};
use super::message::{Empty, Fields};
use super::*;
use crate::channels::{Bar, CreateOrder, OrderRef, RefundOrder, RefundRef};
use crate::crypto::Certificate;
use crate::crypto::rsa::RsaSigner;
use crate::domain::ids::{AttemptId, RefundId};
use crate::domain::money::Money;

/// 2026-11-18 19:06:40 in Beijing.
const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);
const SEALING: Sealing = Sealing { now: NOW, nonce: [0; 16] };
const MER_ID: &str = "777290058110048";

const ROOT: &str = include_str!("../fixtures/root.pem");
const MIDDLE: &str = include_str!("../fixtures/middle.pem");
const SIGNER: &str = include_str!("../fixtures/signer.pem");
const SIGNER_KEY: &str = include_str!("../fixtures/unionpay.key");
const MERCHANT: &str = include_str!("../fixtures/merchant.pem");
const MERCHANT_KEY: &str = include_str!("../fixtures/merchant.key");

fn own() -> ByCertificate {
    ByCertificate {
        sign_key: MERCHANT_KEY.to_owned(),
        sign_certificate: MERCHANT.to_owned(),
        trusted_certificates: [ROOT, MIDDLE].concat(),
        accept_sha1: true,
        accept_test_name: false,
    }
}

fn record() -> Credentials {
    let term_id = Some("49000002".to_owned());
    Credentials { mer_id: MER_ID.to_owned(), term_id, earlier: Vec::new(), contract: Contract::Certificate(own()) }
}

/// A merchant who has a shared key instead.
fn record_by_key(sign_method: KeyedMethod, secure_key: &str) -> Credentials {
    let contract = Contract::Key(ByKey { sign_method, secure_key: secure_key.to_owned() });
    Credentials { contract, ..record() }
}

fn opened(record: &Credentials) -> UnionPay {
    UnionPay::open(record.to_secret().expose(), "https://gateway.test.95516.com/", "https://front.example.com/")
        .unwrap()
}

fn account() -> UnionPay {
    opened(&record())
}

fn attempt() -> AttemptId {
    AttemptId::new(NOW, [1; 10])
}

fn refund() -> RefundId {
    RefundId::new(NOW, [2; 10])
}

fn expiry() -> Timestamp {
    NOW.plus(Duration::from_minutes(30))
}

fn reference(method: Method) -> OrderRef {
    OrderRef { attempt: attempt(), method, created_at: NOW, expires_at: expiry(), transaction_id: None }
}

fn refunded_at() -> Timestamp {
    NOW.plus(Duration::from_days(1))
}

fn refund_reference(method: Method) -> RefundRef {
    RefundRef { refund: refund(), created_at: refunded_at(), order: reference(method), channel_refund_id: None }
}

fn refund_order(about: RefundRef) -> Order {
    Order::Refund(RefundOrder {
        about,
        amount: Money::new(600, Currency::CNY),
        total: Money::new(1230, Currency::CNY),
        reason: None,
        notify_url: "https://pay.example.com/notify/acc".to_owned(),
    })
}

fn create(method: Method) -> CreateOrder {
    CreateOrder {
        attempt: attempt(),
        method,
        amount: Money::new(1230, Currency::CNY),
        description: "一只 马克杯 {a=b}".to_owned(),
        created_at: NOW,
        expires_at: expiry(),
        notify_url: "https://pay.example.com/notify/acc".to_owned(),
        return_url: "https://pay.example.com/c/x/return".to_owned(),
        customer_ip: None,
        openid: None,
        auth_code: (method == Method::UnionpayBarcode).then(|| "6220485073630469936".to_owned()),
    }
}

/// Fields of a message by UnionPay about an order, before it is signed.
fn said(pairs: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::default();
    let (attempt, time) = (attempt().bare(), time::beijing(NOW));
    let common = [
        ("version", "5.1.0"),
        ("encoding", "UTF-8"),
        ("signMethod", "01"),
        ("bizType", "000201"),
        ("accessType", "0"),
        ("merId", MER_ID),
        ("orderId", &attempt),
        ("txnTime", &time),
        ("txnType", "01"),
        ("txnSubType", "01"),
        ("respCode", "00"),
        ("respMsg", "成功[0000000]"),
    ];
    for (name, value) in common.iter().chain(pairs) {
        fields.put(name, *value);
    }
    fields
}

/// Facts of a payment, as queries and notifications tell them.
const PAID: [(&str, &str); 9] = [
    ("queryId", "782611181906400000001"),
    ("txnAmt", "1230"),
    ("currencyCode", "156"),
    ("settleAmt", "1230"),
    ("settleCurrencyCode", "156"),
    ("settleDate", "1118"),
    ("traceNo", "067402"),
    ("traceTime", "1118190702"),
    ("accNo", "ab+/cd=="),
];

/// The same by a refund's own number and time.
fn said_of_refund(pairs: &[(&str, &str)]) -> Fields {
    let (refund, time) = (refund().bare(), time::beijing(refunded_at()));
    let mut all = vec![("orderId", refund.as_str()), ("txnTime", &time), ("txnType", "04"), ("txnSubType", "00")];
    all.extend_from_slice(pairs);
    said(&all)
}

/// Signed by `key`, with `certificate` beside it in the lines that UnionPay sends.
fn sealed_by(mut fields: Fields, certificate: &str, key: &str) -> Fields {
    fields.put("signPubKeyCert", certificate.trim_end().replace('\n', "\r\n"));
    sign::sign(&mut fields, &RsaSigner::read(key).unwrap());
    fields
}

fn sealed(fields: Fields) -> Fields {
    sealed_by(fields, SIGNER, SIGNER_KEY)
}

/// As an answer goes over the wire: not url-encoded, the signature last.
fn raw(fields: &Fields) -> Vec<u8> {
    let signature = fields.get("signature").unwrap_or_default();
    format!("{}&signature={signature}", fields.canonical(Empty::Kept)).into_bytes()
}

fn response(status: u16, body: Vec<u8>) -> OutgoingResponse {
    OutgoingResponse {
        status,
        headers: Vec::new(),
        body,
        truncated: false,
        address: "127.0.0.1:443".parse().unwrap(),
        connect_ms: 0,
        total_ms: 1,
    }
}

fn hear_at(order: &Order, fields: Fields, now: Timestamp) -> Result<Observation, ChannelError> {
    account().read_response(order, &response(200, raw(&sealed(fields))), now)
}

fn hear(order: &Order, fields: Fields) -> Result<Observation, ChannelError> {
    hear_at(order, fields, NOW)
}

fn assert_not_genuine<T: std::fmt::Debug>(result: Result<T, ChannelError>) {
    assert!(matches!(result, Err(ChannelError::NotGenuine { .. })), "{result:?}");
}
