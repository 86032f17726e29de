//! Orders and refunds as this provider tells them, in answers and in notifications.

use serde_json::{Map, Value, json};

use super::call::text;
use crate::domain::time::Timestamp;
use crate::sandbox::provider::News;
use crate::sandbox::provider::model::{Event, Helped, Order, Refund, RefundStatus, TradeState};

/// `2018-06-08T10:34:56+08:00`: always Beijing, whole seconds.
pub fn beijing(at: Timestamp) -> String {
    at.in_zone("Asia/Shanghai").strftime("%Y-%m-%dT%H:%M:%S+08:00").to_string()
}

/// The body that the order was made with, and its trade type.
pub fn details(order: &Order) -> (String, Map<String, Value>) {
    let details: Value = serde_json::from_str(&order.asked.details).unwrap_or_default();
    let trade_type = details.get("trade_type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let body = details.get("body").and_then(Value::as_object).cloned().unwrap_or_default();
    (trade_type, body)
}

/// The state in the provider's words, with its description.
pub fn trade_state(order: &Order) -> (&'static str, &'static str) {
    match order.state {
        TradeState::Paid if order.refunds > 0 => ("REFUND", "订单发生过退款，退款详情请查询退款单"),
        TradeState::Paid => ("SUCCESS", "支付成功"),
        // Only a payer who showed a code is seen typing the password.
        TradeState::Paying if order.asked.failure_ends => ("USERPAYING", "需要用户输入支付密码"),
        TradeState::NotPaid | TradeState::Paying => ("NOTPAY", "订单未支付"),
        TradeState::Closed => ("CLOSED", "订单已关闭"),
        TradeState::Revoked => ("REVOKED", "订单已撤销"),
        TradeState::Failed => ("PAYERROR", "支付失败，请重新下单支付"),
    }
}

/// Who paid: as the merchant said, or the same stranger for each of the merchant's apps.
pub fn openid(order: &Order) -> String {
    let (_, body) = details(order);
    let named = body.get("payer").and_then(|payer| payer.get("openid")).and_then(Value::as_str);
    named.map_or_else(
        || {
            let appid = text(&body, "appid").unwrap_or_default();
            let hash = ring::digest::digest(&ring::digest::SHA256, appid.as_bytes());
            format!("o{}", data_encoding::BASE64URL_NOPAD.encode(&hash.as_ref()[..20]))
        },
        str::to_owned,
    )
}

/// The transaction object of §11. What comes after the description is absent while nothing is paid.
pub fn transaction(order: &Order, amount_minor: Option<u64>) -> Value {
    let (trade_type, body) = details(order);
    let (state, description) = trade_state(order);
    let mut view = json!({
        "appid": text(&body, "appid"),
        "mchid": order.asked.merchant,
        "out_trade_no": order.asked.number,
        "trade_state": state,
        "trade_state_desc": description,
    });
    if let (Some(received), Some(fields)) = (&order.received, view.as_object_mut()) {
        let total = amount_minor.unwrap_or(received.amount.minor());
        fields.insert("transaction_id".to_owned(), json!(received.transaction_id));
        fields.insert("trade_type".to_owned(), json!(trade_type));
        fields.insert("bank_type".to_owned(), json!("OTHERS"));
        fields.insert("attach".to_owned(), json!(text(&body, "attach").unwrap_or_default()));
        fields.insert("success_time".to_owned(), json!(beijing(received.at)));
        fields.insert("payer".to_owned(), json!({ "openid": openid(order) }));
        let amount = json!({ "total": total, "payer_total": total, "currency": "CNY", "payer_currency": "CNY" });
        fields.insert("amount".to_owned(), amount);
        let device = body.get("scene_info").and_then(|scene| scene.get("device_id"));
        if let Some(device) = device {
            fields.insert("scene_info".to_owned(), json!({ "device_id": device }));
        }
    }
    view
}

fn refund_status(refund: &Refund) -> &'static str {
    match refund.status {
        RefundStatus::Processing => "PROCESSING",
        RefundStatus::Success => "SUCCESS",
        RefundStatus::Abnormal => "ABNORMAL",
        RefundStatus::Closed => "CLOSED",
    }
}

/// The refund object of §12.
pub fn refund(refund: &Refund, order: &Order) -> Value {
    let body: Value = serde_json::from_str(&refund.asked.details).unwrap_or_default();
    let (total, amount) = (order.asked.amount.minor(), refund.asked.amount.minor());
    let received = order.received.as_ref();
    let from = body.get("amount").and_then(|amount| amount.get("from")).cloned().unwrap_or_else(|| json!([]));
    let mut view = json!({
        "refund_id": refund.refund_id,
        "out_refund_no": refund.asked.number,
        "transaction_id": received.map(|received| received.transaction_id.as_str()).unwrap_or_default(),
        "out_trade_no": order.asked.number,
        "channel": match refund.helped {
            Helped::No => "ORIGINAL",
            Helped::Card | Helped::Merchant => "OTHER_BANKCARD",
        },
        "user_received_account": received_by(refund),
        "create_time": beijing(refund.created_at),
        "status": refund_status(refund),
        "funds_account": body.get("funds_account").and_then(Value::as_str).unwrap_or("UNSETTLED"),
        "amount": {
            "total": total,
            "refund": amount,
            "from": from,
            "payer_total": total,
            "payer_refund": amount,
            "settlement_refund": amount,
            "settlement_total": total,
            "discount_refund": 0,
            "currency": "CNY",
            "refund_fee": 0,
        },
        "promotion_detail": [],
    });
    succeeded_at(&mut view, refund);
    view
}

/// Where the money arrives, in the provider's words. Source: §12, user_received_account.
fn received_by(refund: &Refund) -> &'static str {
    match refund.helped {
        Helped::No => "支付用户零钱",
        Helped::Card => "用户银行卡",
        Helped::Merchant => "商户结算银行账户",
    }
}

fn succeeded_at(view: &mut Value, refund: &Refund) {
    let at = refund.ended_at.filter(|_| refund.status == RefundStatus::Success);
    if let (Some(at), Some(fields)) = (at, view.as_object_mut()) {
        fields.insert("success_time".to_owned(), json!(beijing(at)));
    }
}

/// A notification before it is encrypted: event type, original type, summary, plaintext. `None` where the provider says
/// nothing: only successful payments and the ends of refunds are told. Source: §16.
pub fn notification(news: &News<'_>) -> Option<Value> {
    let minor = news.amount().minor();
    let told = |event: &str, kind: &str, summary: &str, plain: Value| {
        Some(json!({ "event_type": event, "original_type": kind, "summary": summary, "plain": plain }))
    };
    match (news.event(), news.refund) {
        (Event::Paid, None) => {
            told("TRANSACTION.SUCCESS", "transaction", "支付成功", transaction(news.order, Some(minor)))
        }
        (Event::Refunded, Some(refund)) => {
            told("REFUND.SUCCESS", "refund", "退款成功", refund_notice(refund, news.order, minor))
        }
        (Event::RefundAbnormal, Some(refund)) => {
            told("REFUND.ABNORMAL", "refund", "退款异常", refund_notice(refund, news.order, minor))
        }
        (Event::RefundClosed, Some(refund)) => {
            told("REFUND.CLOSED", "refund", "退款关闭", refund_notice(refund, news.order, minor))
        }
        (Event::Paid | Event::Refunded | Event::RefundAbnormal | Event::RefundClosed, _)
        | (Event::PaymentFailed | Event::OrderClosed | Event::OrderRevoked, _) => None,
    }
}

fn refund_notice(refund: &Refund, order: &Order, minor: u64) -> Value {
    let total = order.asked.amount.minor();
    let received = order.received.as_ref();
    let mut view = json!({
        "mchid": order.asked.merchant,
        "out_trade_no": order.asked.number,
        "transaction_id": received.map(|received| received.transaction_id.as_str()).unwrap_or_default(),
        "out_refund_no": refund.asked.number,
        "refund_id": refund.refund_id,
        "refund_status": refund_status(refund),
        "user_received_account": received_by(refund),
        "amount": { "total": total, "refund": minor, "payer_total": total, "payer_refund": minor },
    });
    succeeded_at(&mut view, refund);
    view
}
