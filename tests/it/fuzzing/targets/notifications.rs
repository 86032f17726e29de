//! Notifications of every provider: raw bytes are believed only if they mean what a genuine message means, and whatever a
//! provider might say under a good signature is understood or refused, never misread.
//!
//! A new provider is a function here that makes its [`Adapter`], and one line in [`ADAPTERS`].

use std::sync::Arc;

use coffer::channels::test_wallet::{self, sign};
use coffer::channels::{Channel, Inbound, Observation, Sealing, Subject, VerifiedNotification};
use coffer::domain::money::{Currency, Money};
use coffer::domain::time::Timestamp;
use data_encoding::BASE64;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::message::Message;
use super::{Seed, Verdict};

const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

type Headers = Vec<(String, String)>;

/// One provider.
struct Adapter {
    /// The first word of a corpus file.
    name: &'static str,
    /// An account of ours there.
    open: fn() -> Arc<dyn Channel>,
    /// What the provider says, before it is signed.
    plain: fn() -> Vec<(&'static str, Vec<u8>)>,
    /// Signs, and encrypts where the provider does; answers headers and body as they come over the wire.
    seal: fn(&[u8]) -> (Headers, Vec<u8>),
    /// Whether what was understood is what the plain message says, read by other code.
    agrees: fn(&[u8], &VerifiedNotification) -> bool,
}

/// Every provider that notifies.
const ADAPTERS: &[fn() -> Adapter] = &[wallet];

/// `NAME raw` and a whole message, or `NAME sealed` and a plain message that is signed before it is read.
pub fn run(data: &[u8]) -> Verdict {
    let Some(message) = Message::parse(data) else { return Verdict::Refused };
    let Some((name, how)) = message.first.split_once(' ') else { return Verdict::Refused };
    let Some(adapter) = ADAPTERS.iter().map(|make| make()).find(|adapter| adapter.name == name) else {
        return Verdict::Refused;
    };
    let channel = (adapter.open)();
    match how {
        "raw" => match read(channel.as_ref(), &message.headers, &message.body) {
            Some(notification) => {
                let genuine = (adapter.plain)().into_iter().filter_map(|(_, plain)| {
                    let (headers, body) = (adapter.seal)(&plain);
                    read(channel.as_ref(), &headers, &body)
                });
                let same = |other: VerifiedNotification| {
                    (other.about(), other.observation()) == (notification.about(), notification.observation())
                };
                assert!(genuine.into_iter().any(same), "{notification:?} was never said");
                Verdict::Accepted
            }
            None => Verdict::Refused,
        },
        "sealed" => {
            let (headers, body) = (adapter.seal)(&message.body);
            let Some(notification) = read(channel.as_ref(), &headers, &body) else { return Verdict::Refused };
            assert!((adapter.agrees)(&message.body, &notification), "{notification:?}");
            // The same words as another provider's, or under a signature that was made for other words, prove nothing.
            let other = [message.body.as_slice(), b" "].concat();
            let (other_headers, _) = (adapter.seal)(&other);
            assert!(read(channel.as_ref(), &other_headers, &body).is_none(), "a signature of something else");
            Verdict::Accepted
        }
        _ => Verdict::Refused,
    }
}

fn read(channel: &dyn Channel, headers: &[(String, String)], body: &[u8]) -> Option<VerifiedNotification> {
    match channel.read_notification(&Inbound { headers, body }, NOW) {
        Ok(notification) => Some(notification),
        Err(error) => {
            assert!(!error.to_string().chars().any(char::is_control), "{error:?} would break a line of the log");
            None
        }
    }
}

pub fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for adapter in ADAPTERS.iter().map(|make| make()) {
        for (case, plain) in (adapter.plain)() {
            let (headers, body) = (adapter.seal)(&plain);
            let raw = Message { first: format!("{} raw", adapter.name), headers, body };
            seeds.push((format!("{}-raw-{case}", adapter.name), raw.to_bytes()));
            let sealed = Message { first: format!("{} sealed", adapter.name), headers: Vec::new(), body: plain };
            seeds.push((format!("{}-sealed-{case}", adapter.name), sealed.to_bytes()));
        }
    }
    seeds
}

/// The simulated provider.
fn wallet() -> Adapter {
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
                "mch_id": "1900000001", "app_id": "wxtest01", "out_trade_no": "01JD3Q9W8XK2V5N7R4T6Y0ABCD",
                "trade_state": "SUCCESS", "amount": {"total": 1230, "currency": "CNY"},
                "transaction_id": "4200001", "success_time": "2026-11-18T11:06:40Z",
            });
            order.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            json!({"id": "1", "create_time": "2026-11-18T11:06:40Z", "order": order})
        };
        let refund = json!({
            "mch_id": "1900000001", "out_trade_no": "01JD3Q9W8XK2V5N7R4T6Y0ABCD",
            "out_refund_no": "01JD3Q9W8XK2V5N7R4T6Y0ABCE", "refund_id": "5000001", "status": "SUCCESS",
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
    fn seal(plain: &[u8]) -> (Headers, Vec<u8>) {
        let sealing = Sealing { now: NOW, nonce: [9; 16] };
        let headers = sign::provider_headers(&provider(), plain, &sealing);
        (headers.map(|(name, value)| (name.to_owned(), value)).to_vec(), plain.to_vec())
    }
    fn agrees(plain: &[u8], notification: &VerifiedNotification) -> bool {
        let said: Value = serde_json::from_slice(plain).expect("what was understood is JSON");
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
    Adapter { name: "test_wallet", open, plain, seal, agrees }
}
