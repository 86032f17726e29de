//! Alipay: a form signed with RSA over its sorted fields.

use std::sync::{Arc, OnceLock};

use coffer::channels::alipay::{
    self,
    credentials::{Credentials, Trust},
};
use coffer::channels::{Channel, Observation, Subject, VerifiedNotification};
use coffer::crypto::rsa::RsaSigner;
use coffer::domain::ids::Mode;
use coffer::domain::money::{Currency, Money};
use data_encoding::BASE64;
use url::form_urlencoded::{Serializer, parse};

use super::{Adapter, ORDER, REFUND, Wire};

pub static ADAPTER: Adapter = Adapter { name: "alipay", open, plain, seal, agrees, known: OnceLock::new() };

/// Keys that were made for tests.
pub const PROVIDER_KEY: &str = include_str!("../../../../../src/channels/alipay/fixtures/alipay_private.pem");
pub const OWN_KEY: &str = include_str!("../../../../../src/channels/alipay/fixtures/app_private.pem");

const APP: &str = "2021000000000001";
const SELLER: &str = "2088000000000001";

fn provider() -> &'static RsaSigner {
    static KEY: OnceLock<RsaSigner> = OnceLock::new();
    KEY.get_or_init(|| RsaSigner::read(PROVIDER_KEY).unwrap())
}

fn open() -> Arc<dyn Channel> {
    let credentials = Credentials {
        app_id: APP.to_owned(),
        seller_id: SELLER.to_owned(),
        private_key: OWN_KEY.to_owned(),
        trust: Trust::Key { alipay_public_key: BASE64.encode(&provider().public().to_spki()) },
        content_key: None,
        earlier: Vec::new(),
    };
    alipay::open(credentials.to_secret().expose(), Mode::Test, None, "http://127.0.0.1:8080").unwrap()
}

/// A form without its signature.
fn plain() -> Vec<(&'static str, Vec<u8>)> {
    let form = |change: &[(&str, &str)]| {
        let mut fields = vec![
            ("notify_time", "2026-11-18 19:06:41"),
            ("notify_type", "trade_status_sync"),
            ("charset", "utf-8"),
            ("app_id", APP),
            ("seller_id", SELLER),
            ("out_trade_no", ORDER),
            ("trade_no", "2026111822001"),
            ("trade_status", "TRADE_SUCCESS"),
            ("total_amount", "12.30"),
            ("gmt_payment", "2026-11-18 19:06:40"),
            ("subject", "一只马克杯 & 茶"),
        ];
        for (name, value) in change {
            fields.retain(|(other, _)| other != name);
            fields.push((name, value));
        }
        Serializer::new(String::new()).extend_pairs(fields).finish().into_bytes()
    };
    vec![
        ("paid", form(&[])),
        ("foreign", form(&[("seller_id", "2088000000000002")])),
        ("closed", form(&[("trade_status", "TRADE_CLOSED"), ("gmt_payment", "")])),
        ("waiting", form(&[("trade_status", "WAIT_BUYER_PAY"), ("gmt_payment", "")])),
        ("refund", form(&[("gmt_refund", "2026-11-18 19:06:40.123"), ("refund_fee", "6.00"), ("out_biz_no", REFUND)])),
    ]
}

/// Signs the fields in the order of their names. Source: Alipay, 异步通知验签.
fn seal(plain: &[u8]) -> Option<Wire> {
    let mut fields: Vec<(String, String)> = parse(plain).into_owned().collect();
    fields.retain(|(name, _)| name != "sign" && name != "sign_type");
    let mut sorted = fields.clone();
    sorted.sort();
    let text: Vec<String> = sorted.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let signature = provider().sign_sha256_base64(text.join("&").as_bytes());
    fields.push(("sign_type".to_owned(), "RSA2".to_owned()));
    fields.push(("sign".to_owned(), signature));
    let body = Serializer::new(String::new()).extend_pairs(fields).finish().into_bytes();
    Some((Vec::new(), body))
}

fn agrees(plain: &[u8], notification: &VerifiedNotification) -> bool {
    let fields: Vec<(String, String)> = parse(plain).into_owned().collect();
    let get = |name: &str| fields.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value.as_str());
    let ours = get("app_id") == APP && get("seller_id") == SELLER;
    let currency =
        Some(get("trans_currency")).filter(|code| !code.is_empty()).map_or(Some(Currency::CNY), Currency::parse);
    match notification.about() {
        Subject::Order(attempt) => {
            get("out_trade_no") == attempt.bare()
                && match notification.observation() {
                    Observation::Paid(facts) => {
                        // Fewer decimals mean the same amount.
                        let amount = ["", "0", ".00"]
                            .into_iter()
                            .find_map(|end| Money::parse(&format!("{}{end}", get("total_amount")), currency?).ok());
                        matches!(get("trade_status"), "TRADE_SUCCESS" | "TRADE_FINISHED")
                            && get("gmt_refund").is_empty()
                            && get("refund_fee").is_empty()
                            && amount == Some(facts.amount)
                            && get("trade_no") == facts.transaction_id
                            && facts.identity.is_ok() == ours
                    }
                    Observation::NotPaid => ours && get("trade_status") == "WAIT_BUYER_PAY",
                    Observation::Closed => {
                        ours && get("trade_status") == "TRADE_CLOSED" && get("gmt_payment").is_empty()
                    }
                    Observation::Unknown { .. } => true,
                    _ => false,
                }
        }
        // The sum is of all refunds, so the message is only a reason to ask.
        Subject::Refund(number) => {
            get("out_biz_no") == number.bare()
                && ours
                && matches!(notification.observation(), Observation::RefundProcessing { channel_refund_id: None })
        }
    }
}
