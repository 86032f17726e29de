//! Orders and refunds as this provider tells them, in answers and in notifications.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::call::{Product, product};
use crate::domain::money::Money;
use crate::domain::time::{Duration, Timestamp};
use crate::sandbox::provider::News;
use crate::sandbox::provider::model::{Event, Order, Refund, TradeState, number};

/// How long after the payment money can be given back; then a trade is finished. Source: §8, §10.10.
pub const REFUND_WINDOW: Duration = Duration::from_days(365);

const ZONE: &str = "Asia/Shanghai";
/// The payer, whoever it is.
const BUYER_ID: &str = "2088102100000001";
const BUYER_LOGON_ID: &str = "138****0000";

/// `yyyy-MM-dd HH:mm:ss` in Beijing. Source: §1.
pub fn beijing(at: Timestamp) -> String {
    at.in_zone(ZONE).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Reads what [`beijing`] writes, and nothing else.
pub fn beijing_time(text: &str) -> Option<Timestamp> {
    let time = DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok().filter(|_| text.len() == 19)?;
    let time = time.to_zoned(TimeZone::get(ZONE).ok()?).ok()?;
    Some(Timestamp::from_millis(time.timestamp().as_millisecond()))
}

/// The end of the day in Beijing that a moment belongs to.
pub fn midnight_after(at: Timestamp) -> Timestamp {
    let today = beijing(at);
    let midnight = beijing_time(&format!("{} 00:00:00", today.get(..10).unwrap_or_default()));
    midnight.unwrap_or(at).plus(Duration::from_days(1))
}

/// What is kept beside an order.
pub struct Details {
    pub product: Product,
    pub pid: String,
    pub biz: Map<String, Value>,
}

impl Details {
    pub fn write(product: Product, pid: &str, biz: &Map<String, Value>) -> String {
        json!({ "method": product.method(), "pid": pid, "biz": biz }).to_string()
    }

    pub fn of(order: &Order) -> Self {
        let kept: Value = serde_json::from_str(&order.asked.details).unwrap_or_default();
        let text = |name: &str| kept.get(name).and_then(Value::as_str).unwrap_or_default();
        Self {
            product: product(text("method")).unwrap_or(Product::Qr),
            pid: text("pid").to_owned(),
            biz: kept.get("biz").and_then(Value::as_object).cloned().unwrap_or_default(),
        }
    }
}

/// The trade's state; `None` while no trade exists, because nobody scanned the code or signed in. Source: §8.
pub fn trade_status(order: &Order, now: Timestamp) -> Option<&'static str> {
    let product = Details::of(order).product;
    // The payer of these is known from the beginning.
    let from_the_start = matches!(product, Product::BarCode | Product::Create);
    match order.state {
        TradeState::Paid if is_given_back(order) => Some("TRADE_CLOSED"),
        TradeState::Paid => {
            let over = order.received.as_ref().is_some_and(|received| now.since(received.at) > REFUND_WINDOW);
            Some(if over { "TRADE_FINISHED" } else { "TRADE_SUCCESS" })
        }
        TradeState::Paying => Some("WAIT_BUYER_PAY"),
        TradeState::NotPaid => from_the_start.then_some("WAIT_BUYER_PAY"),
        TradeState::Failed => Some("TRADE_CLOSED"),
        TradeState::Closed => (product != Product::Qr).then_some("TRADE_CLOSED"),
        TradeState::Revoked => (from_the_start || order.received.is_some()).then_some("TRADE_CLOSED"),
    }
}

fn is_given_back(order: &Order) -> bool {
    order.received.as_ref().is_some_and(|received| order.refunded_minor >= received.amount.minor())
}

/// The provider's own number, the same before and after the payment.
pub fn trade_no(order: &Order) -> String {
    match &order.received {
        Some(received) => received.transaction_id.clone(),
        None => number("42", &format!("{} {}", order.asked.merchant, order.asked.number)),
    }
}

pub fn yuan(minor: u64) -> String {
    format!("{}.{:02}", minor / 100, minor % 100)
}

/// The fields of a trade in the answers to a query and to a payment by code.
pub fn trade(order: &Order) -> Map<String, Value> {
    let amount = order.received.as_ref().map_or(order.asked.amount, |received| received.amount);
    let mut fields = Map::new();
    let mut say = |name: &str, value: &str| fields.insert(name.to_owned(), json!(value));
    say("out_trade_no", &order.asked.number);
    say("trade_no", &trade_no(order));
    say("buyer_logon_id", BUYER_LOGON_ID);
    say("buyer_user_id", BUYER_ID);
    say("total_amount", &yuan(amount.minor()));
    for name in ["receipt_amount", "buyer_pay_amount", "invoice_amount"] {
        let paid = if order.received.is_some() { amount.minor() } else { 0 };
        say(name, &yuan(paid));
    }
    say("point_amount", "0.00");
    if order.received.is_some() {
        let funds = json!([{ "amount": yuan(amount.minor()), "fund_channel": "ALIPAYACCOUNT" }]);
        fields.insert("fund_bill_list".to_owned(), funds);
    }
    fields
}

/// What a notification says, without what is put in when it is sent. `None` where the provider says nothing: what was
/// never scanned is no trade, and its end is told to nobody. Source: §7.
pub fn notification(news: &News<'_>) -> Option<Map<String, Value>> {
    let (order, details) = (news.order, Details::of(news.order));
    let received = order.received.as_ref();
    let status = match news.event() {
        Event::Paid => "TRADE_SUCCESS",
        Event::Refunded if is_given_back(order) => "TRADE_CLOSED",
        Event::Refunded => "TRADE_SUCCESS",
        Event::OrderClosed if details.product != Product::Qr && details.product != Product::BarCode => "TRADE_CLOSED",
        Event::OrderRevoked if received.is_some() => "TRADE_CLOSED",
        Event::OrderClosed
        | Event::OrderRevoked
        | Event::PaymentFailed
        | Event::RefundAbnormal
        | Event::RefundClosed => return None,
    };
    // The amount of a refund's notice is the trade's; what was given back stands beside it.
    let amount = match news.event() {
        Event::Refunded | Event::OrderRevoked => received.map_or(order.asked.amount, |received| received.amount),
        Event::Paid | Event::OrderClosed | Event::PaymentFailed | Event::RefundAbnormal | Event::RefundClosed => {
            news.amount()
        }
    };
    let mut fields = Map::new();
    let mut say = |name: &str, value: &str| {
        if !value.is_empty() {
            fields.insert(name.to_owned(), json!(value));
        }
    };
    say("notify_type", "trade_status_sync");
    say("notify_id", &notify_id(news));
    say("app_id", &order.asked.merchant);
    say("auth_app_id", &order.asked.merchant);
    say("version", "1.0");
    say("trade_no", &trade_no(order));
    say("out_trade_no", &order.asked.number);
    say("buyer_id", BUYER_ID);
    say("buyer_logon_id", BUYER_LOGON_ID);
    say("seller_id", &details.pid);
    say("seller_email", "merchant@sim.example");
    say("trade_status", status);
    say("total_amount", &yuan(amount.minor()));
    say("subject", &order.asked.description);
    say("gmt_create", &beijing(order.created_at));
    for name in ["body", "passback_params"] {
        say(name, details.biz.get(name).and_then(Value::as_str).unwrap_or_default());
    }
    if let Some(received) = received {
        say("gmt_payment", &beijing(received.at));
        for name in ["receipt_amount", "buyer_pay_amount", "invoice_amount"] {
            say(name, &yuan(amount.minor()));
        }
        say("point_amount", "0.00");
        say("fund_bill_list", &format!(r#"[{{"amount":"{}","fundChannel":"ALIPAYACCOUNT"}}]"#, yuan(amount.minor())));
    }
    if status == "TRADE_CLOSED" {
        say("gmt_close", &beijing(order.ended_at.unwrap_or(news.notice.at)));
    }
    if matches!(news.event(), Event::Refunded | Event::OrderRevoked) {
        say("refund_fee", &yuan(order.refunded_minor));
        say("gmt_refund", &format!("{}.000", beijing(news.notice.at)));
    }
    if let Some(refund) = news.refund {
        say("out_biz_no", out_request_no(refund));
    }
    Some(fields)
}

/// Stays the same for every resend of one event.
fn notify_id(news: &News<'_>) -> String {
    let id = data_encoding::HEXLOWER.encode(&news.id);
    format!("{}{id}", news.order.created_at.in_zone(ZONE).strftime("%Y%m%d"))
}

/// Refunds are kept under both numbers, because `out_request_no` is the merchant's within one trade only.
pub fn refund_key(order: &str, out_request_no: &str) -> String {
    format!("{order}/{out_request_no}")
}

pub fn out_request_no(refund: &Refund) -> &str {
    refund.asked.number.split_once('/').map_or("", |(_, number)| number)
}

/// The provider's share: 0.6 percent, halves up.
pub fn fee_minor(amount: Money) -> u64 {
    (amount.minor() * 6 + 500) / 1000
}
