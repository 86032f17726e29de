//! Answers of providers to our calls. The fuzzer has no key of theirs, so nothing that it makes up is ever money, and a
//! message that was signed as a notification is no answer.

use coffer::channels::{
    CreateOrder, Observation, Order, OrderRef, RefundOrder, RefundRedirect, RefundRef, RefundTarget,
};
use coffer::domain::ids::{AttemptId, RefundId};
use coffer::domain::method::Method;
use coffer::domain::money::{Currency, Money};
use coffer::domain::time::Duration;
use coffer::env::transport::OutgoingResponse;

use super::message::Message;
use super::notifications::{NOW, ORDER, REFUND, channel, genuine};
use super::{Seed, Verdict};

/// The first line names a provider, what was asked, and the status of the answer.
pub fn run(data: &[u8]) -> Verdict {
    let Some(message) = Message::parse(data) else { return Verdict::Refused };
    let words: Vec<&str> = message.first.split(' ').collect();
    let [name, asked, status] = words[..] else { return Verdict::Refused };
    let (Some(channel), Some(order), Ok(status)) = (channel(name), order(name, asked), status.parse()) else {
        return Verdict::Refused;
    };
    let response = OutgoingResponse {
        status,
        headers: message.headers,
        body: message.body,
        truncated: false,
        address: ([192, 0, 2, 1], 443).into(),
        connect_ms: 0,
        total_ms: 1,
    };
    let detail = match channel.read_response(&order, &response, NOW) {
        Ok(
            observation @ (Observation::Paid(_)
            | Observation::Accepted { .. }
            | Observation::CodeLost { .. }
            | Observation::Declined { .. }
            | Observation::RefundProcessing { .. }
            | Observation::RefundSucceeded { .. }
            | Observation::RefundUndeliverable { .. }
            | Observation::RefundReturned { .. }
            | Observation::RefundFailed { .. }),
        ) => panic!("{observation:?} was believed without a signature"),
        // What an unsigned error may say: that nothing is there, or that nothing was done.
        Ok(Observation::NotPaid | Observation::Closed | Observation::NotFound) => return Verdict::Accepted,
        Ok(Observation::Refused { code, detail } | Observation::Barred { code, detail, .. }) => {
            format!("{code}{detail}")
        }
        Ok(Observation::Unknown { detail }) => detail,
        Err(error) => error.to_string(),
    };
    assert!(!detail.chars().any(char::is_control), "{detail:?} would break a line of the log");
    Verdict::Refused
}

fn order(provider: &str, asked: &str) -> Option<Order> {
    let method = if provider == "alipay" { Method::AlipayQr } else { Method::WechatNative };
    let attempt = AttemptId::parse_bare(ORDER).expect("a number of ours");
    let expires_at = NOW.plus(Duration::from_minutes(30));
    let order = OrderRef { attempt, method, created_at: NOW, expires_at, transaction_id: Some("4200001".to_owned()) };
    let refund = RefundId::parse_bare(REFUND).expect("a number of ours");
    let about = RefundRef { refund, created_at: NOW, order: order.clone(), channel_refund_id: None };
    let amount = Money::new(1230, Currency::CNY);
    Some(match asked {
        "create" => Order::Create(CreateOrder {
            attempt,
            method,
            amount,
            description: "一只马克杯".to_owned(),
            created_at: NOW,
            expires_at,
            notify_url: "https://pay.shop.example/notify/acc".to_owned(),
            return_url: "https://pay.shop.example/c/x".to_owned(),
            customer_ip: None,
            openid: None,
            auth_code: None,
        }),
        "query" => Order::Query(order),
        "close" => Order::Close(order),
        "refund" => Order::Refund(RefundOrder {
            about,
            amount: Money::new(600, Currency::CNY),
            total: amount,
            reason: None,
            notify_url: "https://pay.shop.example/notify/acc".to_owned(),
        }),
        "query_refund" => Order::QueryRefund(about),
        "redirect" => Order::RedirectRefund(RefundRedirect { about, to: RefundTarget::Merchant }),
        _ => return None,
    })
}

const ALL: [&str; 6] = ["create", "query", "close", "refund", "query_refund", "redirect"];

pub fn seeds() -> Vec<Seed> {
    let message = |first: String, headers: &[(String, String)], body: &[u8]| {
        Message { first, headers: headers.to_vec(), body: body.to_vec() }.to_bytes()
    };
    let mut seeds = Vec::new();
    for (name, status, code) in [
        ("wechatpay", 404, r#"{"code":"ORDER_NOT_EXIST","message":"订单不存在"}"#),
        ("wechatpay", 400, r#"{"code":"ORDER_CLOSED","message":"订单已关闭","detail":{"field":"x"}}"#),
        ("wechatpay", 500, r#"{"code":"SYSTEM_ERROR","message":"系统异常"}"#),
        ("test_wallet", 404, r#"{"code":"ORDER_NOT_EXIST","message":"no such order"}"#),
        (
            "alipay",
            200,
            r#"{"alipay_trade_query_response":{"code":"40004","msg":"Business Failed","sub_code":"ACQ.TRADE_NOT_EXIST","sub_msg":"交易不存在"},"sign":"AAAA"}"#,
        ),
    ] {
        for asked in ["query", "close"] {
            let bytes = message(format!("{name} {asked} {status}"), &[], code.as_bytes());
            seeds.push((format!("{name}-{asked}-{status}"), bytes));
        }
    }
    // Everything that is signed by the provider and no answer.
    for (place, (name, said)) in genuine().enumerate() {
        let asked = ALL[place % ALL.len()];
        let bytes = message(format!("{name} {asked} 200"), &said.headers, &said.body);
        seeds.push((format!("notification-{name}-{place}"), bytes));
    }
    seeds
}
