//! The simulated provider: JSON signed with Ed25519.

use std::sync::{Arc, OnceLock};

use coffer::channels::test_wallet::{self, sign};
use coffer::channels::{Channel, Observation, Sealing, Subject, VerifiedNotification};
use coffer::domain::money::{Currency, Money};
use data_encoding::BASE64;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::{Adapter, NOW, ORDER, REFUND, Wire};

pub static ADAPTER: Adapter = Adapter { name: "test_wallet", open, plain, seal, agrees, known: OnceLock::new() };

fn provider() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

fn open() -> Arc<dyn Channel> {
    let credentials = test_wallet::Credentials {
        mch_id: "1900000001".to_owned(),
        app_id: "wxtest01".to_owned(),
        hmac_key: BASE64.encode(&[1; 32]),
        provider_public_key: BASE64.encode(provider().public_key().as_ref()),
    };
    test_wallet::open(credentials.to_secret().expose(), "http://127.0.0.1:8080").unwrap()
}

fn plain() -> Vec<(&'static str, Vec<u8>)> {
    let order = |change: Value| {
        let mut order = json!({
            "mch_id": "1900000001", "app_id": "wxtest01", "out_trade_no": ORDER,
            "trade_state": "SUCCESS", "amount": {"total": 1230, "currency": "CNY"},
            "transaction_id": "4200001", "success_time": "2026-11-18T11:06:40Z",
        });
        order.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!({"id": "1", "create_time": "2026-11-18T11:06:40Z", "order": order})
    };
    let refund = json!({
        "mch_id": "1900000001", "out_trade_no": ORDER,
        "out_refund_no": REFUND, "refund_id": "5000001", "status": "SUCCESS",
        "amount": {"total": 600, "currency": "CNY"},
    });
    [
        ("paid", order(json!({}))),
        ("foreign", order(json!({"app_id": "another"}))),
        ("closed", order(json!({"trade_state": "CLOSED"}))),
        ("new-state", order(json!({"trade_state": "REVOKED"}))),
        ("refund", json!({"id": "2", "create_time": "2026-11-18T11:06:40Z", "refund": refund})),
    ]
    .map(|(case, body)| (case, body.to_string().into_bytes()))
    .to_vec()
}

fn seal(plain: &[u8]) -> Option<Wire> {
    let sealing = Sealing { now: NOW, nonce: [9; 16] };
    let headers = sign::provider_headers(&provider(), plain, &sealing);
    Some((headers.map(|(name, value)| (name.to_owned(), value)).to_vec(), plain.to_vec()))
}

fn agrees(plain: &[u8], notification: &VerifiedNotification) -> bool {
    let Ok(said) = serde_json::from_slice::<Value>(plain) else {
        // Half a character, escaped, in a field that nobody reads: the text is as it was signed.
        return std::str::from_utf8(plain).is_ok_and(|text| text.contains("\\u"));
    };
    let money = |view: &Value| {
        let currency = Currency::parse(view["amount"]["currency"].as_str()?)?;
        Some(Money::new(view["amount"]["total"].as_u64()?, currency))
    };
    match notification.about() {
        Subject::Order(attempt) => {
            let order = &said["order"];
            let ours = order["mch_id"] == "1900000001" && order["app_id"] == "wxtest01";
            order["out_trade_no"] == attempt.bare()
                && match notification.observation() {
                    Observation::Paid(facts) => {
                        order["trade_state"] == "SUCCESS"
                            && money(order) == Some(facts.amount)
                            && order["transaction_id"] == facts.transaction_id
                            && facts.identity.is_ok() == ours
                    }
                    Observation::NotPaid => {
                        ours && (order["trade_state"] == "NOTPAY" || order["trade_state"] == "USERPAYING")
                    }
                    Observation::Closed => ours && order["trade_state"] == "CLOSED",
                    Observation::Declined { .. } => ours && order["trade_state"] == "PAYERROR",
                    Observation::Unknown { .. } => ours,
                    _ => false,
                }
        }
        Subject::Refund(number) => {
            let refund = &said["refund"];
            refund["out_refund_no"] == number.bare()
                && refund["mch_id"] == "1900000001"
                && match notification.observation() {
                    Observation::RefundSucceeded { amount, .. } => {
                        refund["status"] == "SUCCESS" && money(refund) == Some(*amount)
                    }
                    Observation::RefundProcessing { .. } => refund["status"] == "PROCESSING",
                    Observation::RefundFailed { .. } => refund["status"] == "ABNORMAL",
                    Observation::Unknown { .. } => true,
                    _ => false,
                }
        }
    }
}
