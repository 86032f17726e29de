//! WeChat Pay API v3: JSON signed with RSA, around JSON that is encrypted with AES-GCM.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use coffer::channels::wechatpay::{self, AnswersBy, AppIds, Credentials, sign};
use coffer::channels::{Channel, Observation, Subject, VerifiedNotification};
use coffer::crypto::rsa::RsaSigner;
use coffer::domain::money::{Currency, Money};
use data_encoding::BASE64;
use ring::aead;
use serde_json::{Value, json};

use super::{Adapter, NOW, ORDER, REFUND, Wire};

pub static ADAPTER: Adapter = Adapter { name: "wechatpay", open, plain, seal, agrees, known: OnceLock::new() };

const MERCHANT: &str = "1900000001";
const APP: &str = "wx2421b1c4370ec43b";
const KEY_ID: &str = "PUB_KEY_ID_0119000000012026111800000000000001";
const API_V3_KEY: &str = "0123456789abcdef0123456789abcdef";
const NONCE: &str = "fdasflkja484";

fn provider() -> &'static RsaSigner {
    static KEY: OnceLock<RsaSigner> = OnceLock::new();
    KEY.get_or_init(|| RsaSigner::read(super::alipay::PROVIDER_KEY).unwrap())
}

fn open() -> Arc<dyn Channel> {
    let credentials = Credentials {
        mch_id: MERCHANT.to_owned(),
        app_ids: AppIds { default: APP.to_owned(), official_account: None, mini_program: None, app: None },
        official_account_secret: None,
        merchant_key: super::alipay::OWN_KEY.to_owned(),
        merchant_serial: "5157F09EFDC096DE15EBE81A47057A7200000000".to_owned(),
        merchant_certificate: None,
        api_v3_key: API_V3_KEY.to_owned(),
        previous_api_v3_key: None,
        code_v2_key: None,
        public_keys: BTreeMap::from([(KEY_ID.to_owned(), BASE64.encode(&provider().public().to_spki()))]),
        platform_certificates: Vec::new(),
        answers: AnswersBy::PublicKey { id: KEY_ID.to_owned() },
    };
    wechatpay::open(credentials.to_secret().expose(), wechatpay::Hosts::at("http://127.0.0.1:8080")).unwrap()
}

/// What is encrypted.
fn plain() -> Vec<(&'static str, Vec<u8>)> {
    let order = |change: Value| {
        let mut order = json!({
            "mchid": MERCHANT, "appid": APP, "out_trade_no": ORDER, "transaction_id": "4200001",
            "trade_state": "SUCCESS", "success_time": "2026-11-18T19:06:40+08:00",
            "amount": {"total": 1230, "payer_total": 1230, "currency": "CNY"},
        });
        order.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        order
    };
    let refund = |status: &str| {
        json!({
            "mchid": MERCHANT, "out_trade_no": ORDER, "transaction_id": "4200001", "out_refund_no": REFUND,
            "refund_id": "5000001", "refund_status": status,
            "amount": {"total": 1230, "refund": 600, "payer_total": 1230, "payer_refund": 600},
        })
    };
    [
        ("paid", order(json!({}))),
        ("foreign", order(json!({"appid": "wx0000000000000000"}))),
        ("closed", order(json!({"trade_state": "CLOSED"}))),
        ("new-state", order(json!({"trade_state": "SOMETHING"}))),
        ("refund", refund("SUCCESS")),
        ("refund-abnormal", refund("ABNORMAL")),
        ("refund-returned", {
            let mut body = refund("SUCCESS");
            body["user_received_account"] = json!("商户结算银行账户");
            body
        }),
    ]
    .map(|(case, body)| (case, body.to_string().into_bytes()))
    .to_vec()
}

/// The envelope says what its content is about, as the provider's does.
fn seal(plain: &[u8]) -> Option<Wire> {
    let content: Value = serde_json::from_slice(plain).ok()?;
    let (kind, event) = match content["refund_status"].as_str() {
        Some(status) => ("refund", format!("REFUND.{status}")),
        None => ("transaction", "TRANSACTION.SUCCESS".to_owned()),
    };
    let key = aead::UnboundKey::new(&aead::AES_256_GCM, API_V3_KEY.as_bytes()).unwrap();
    let nonce = aead::Nonce::assume_unique_for_key(NONCE.as_bytes().try_into().unwrap());
    let mut sealed = plain.to_vec();
    let key = aead::LessSafeKey::new(key);
    key.seal_in_place_append_tag(nonce, aead::Aad::from(kind.as_bytes()), &mut sealed).unwrap();
    let body = json!({
        "id": "1", "create_time": "2026-11-18T19:06:40+08:00", "resource_type": "encrypt-resource",
        "event_type": event, "summary": "",
        "resource": {
            "original_type": kind, "algorithm": "AEAD_AES_256_GCM", "ciphertext": BASE64.encode(&sealed),
            "associated_data": kind, "nonce": NONCE,
        },
    });
    let body = body.to_string().into_bytes();
    let time = NOW.as_seconds().to_string();
    let signature = provider().sign_sha256_base64(&sign::message_text(&time, "n0nce", &body));
    let headers = [
        (sign::TIMESTAMP_HEADER, time.as_str()),
        (sign::NONCE_HEADER, "n0nce"),
        (sign::SERIAL_HEADER, KEY_ID),
        (sign::TYPE_HEADER, sign::SCHEME),
        (sign::SIGNATURE_HEADER, &signature),
    ];
    Some((headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(), body))
}

fn agrees(plain: &[u8], notification: &VerifiedNotification) -> bool {
    let Ok(said) = serde_json::from_slice::<Value>(plain) else {
        // Half a character, escaped, in a field that nobody reads: the text is as it was signed.
        return std::str::from_utf8(plain).is_ok_and(|text| text.contains("\\u"));
    };
    let money = |minor: &Value| {
        let currency = said["amount"]["currency"].as_str().map_or(Some(Currency::CNY), Currency::parse)?;
        Some(Money::new(minor.as_u64()?, currency))
    };
    match notification.about() {
        Subject::Order(attempt) => {
            let ours = said["mchid"] == MERCHANT && said["appid"] == APP;
            said["out_trade_no"] == attempt.bare()
                && match notification.observation() {
                    Observation::Paid(facts) => {
                        (said["trade_state"] == "SUCCESS" || said["trade_state"] == "REFUND")
                            && money(&said["amount"]["total"]) == Some(facts.amount)
                            && said["transaction_id"] == facts.transaction_id
                            && facts.identity.is_ok() == ours
                    }
                    Observation::NotPaid => {
                        ours && ["NOTPAY", "USERPAYING"].iter().any(|state| said["trade_state"] == *state)
                    }
                    Observation::Closed => {
                        ours && (said["trade_state"] == "CLOSED" || said["trade_state"] == "REVOKED")
                    }
                    Observation::Declined { .. } => ours && said["trade_state"] == "PAYERROR",
                    Observation::Unknown { .. } => true,
                    _ => false,
                }
        }
        Subject::Refund(number) => {
            said["out_refund_no"] == number.bare()
                && said["mchid"] == MERCHANT
                && match notification.observation() {
                    Observation::RefundSucceeded { amount, .. } => {
                        said["refund_status"] == "SUCCESS" && money(&said["amount"]["refund"]) == Some(*amount)
                    }
                    Observation::RefundProcessing { .. } => said["refund_status"] == "PROCESSING",
                    Observation::RefundFailed { .. } => said["refund_status"] == "CLOSED",
                    Observation::RefundUndeliverable { .. } => said["refund_status"] == "ABNORMAL",
                    Observation::RefundReturned { amount, .. } => {
                        said["refund_status"] == "SUCCESS"
                            && money(&said["amount"]["refund"]) == Some(*amount)
                            && said["user_received_account"].as_str().is_some_and(|to| to.contains("商户"))
                    }
                    Observation::Unknown { .. } => true,
                    _ => false,
                }
        }
    }
}
