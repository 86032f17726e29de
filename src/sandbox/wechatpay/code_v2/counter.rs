//! What the provider does for a call, inside one transaction at its desk.

use serde_json::json;

use super::No;
use super::call::{Call, Charge, Name};
use super::message::{self, Fields};
use crate::domain::time::{Duration, Timestamp};
use crate::sandbox::provider::Desk;
use crate::sandbox::provider::model::{NewOrder, Order, Refusal, TradeState};
use crate::sandbox::provider::records::Mood;
use crate::sandbox::wechatpay::call::{TradeType, text};
use crate::sandbox::wechatpay::counter::{ORDER_LIFE, TIME_TO_PAY_MIN, charge_code};
use crate::sandbox::wechatpay::view;
use crate::store::StoreError;

/// Later a payment can only be refunded. Source: §10.
const REVERSIBLE_FOR: Duration = Duration::from_days(7);

type Said = Result<Result<Fields, No>, StoreError>;

/// Carries a call out; `code` is for the payer's page of a new order.
pub fn carry_out(desk: &mut Desk<'_, '_>, call: &Call, mch_id: &str, code: [u8; 16]) -> Said {
    match call {
        Call::Charge(asked) => charge(desk, asked, mch_id, code),
        Call::Query(name) => Ok(match find(desk, mch_id, name)? {
            Some(order) => Ok(told(&order)),
            None => no("ORDERNOTEXIST", "订单不存在"),
        }),
        Call::Reverse(name) => reverse(desk, mch_id, name),
    }
}

fn no(code: &'static str, words: &'static str) -> Result<Fields, No> {
    Err(No::Refused { code, words })
}

fn find(desk: &mut Desk<'_, '_>, mch_id: &str, name: &Name) -> Result<Option<Order>, StoreError> {
    match name {
        Name::Own(number) => desk.order(mch_id, number),
        Name::Transaction(transaction) => desk.order_by_transaction(mch_id, transaction),
    }
}

fn charge(desk: &mut Desk<'_, '_>, asked: &Charge, mch_id: &str, code: [u8; 16]) -> Said {
    let now = desk.now();
    let expires_at = match asked.time_expire {
        None => now.plus(ORDER_LIFE),
        Some(at) => at.plus(desk.ahead()?).max(now.plus(TIME_TO_PAY_MIN)),
    };
    let new = NewOrder {
        merchant: mch_id.to_owned(),
        number: asked.number.clone(),
        amount: asked.amount,
        description: asked.description.clone(),
        expires_at,
        notify_url: None,
        return_url: None,
        failure_ends: true,
        details: json!({ "trade_type": TradeType::Micropay.code(), "body": asked.body }).to_string(),
    };
    let charged = match charge_code(desk, &new, &asked.auth_code, code)? {
        Ok(charged) => charged,
        Err(why) => {
            let reversed = desk.order(mch_id, &asked.number)?.is_some_and(|order| order.state == TradeState::Revoked);
            return Ok(refused(why, reversed));
        }
    };
    Ok(match charged {
        None => no("AUTHCODEEXPIRE", "二维码已过期，请用户在微信上刷新后再试"),
        Some((Mood::Pays, order)) => Ok(told(&order)),
        Some((Mood::AskedForPassword, _)) => no("USERPAYING", "需要用户输入支付密码"),
        Some((Mood::BalanceShort, _)) => no("NOTENOUGH", "用户帐号余额不足，请用户充值或更换支付卡后再支付"),
        Some((Mood::Refuses, _)) => no("TRADE_ERROR", "用户取消了支付"),
    })
}

fn reverse(desk: &mut Desk<'_, '_>, mch_id: &str, name: &Name) -> Said {
    let Some(order) = find(desk, mch_id, name)? else { return Ok(no("ORDERNOTEXIST", "订单不存在")) };
    if !order.asked.failure_ends {
        return Ok(no("INVALID_REQUEST", "只有付款码支付的订单可以撤销"));
    }
    if desk.now().since(order.created_at) > REVERSIBLE_FOR {
        return Ok(no("REVERSE_EXPIRE", "订单无法撤销：超过7天"));
    }
    Ok(match desk.revoke(mch_id, &order.asked.number)? {
        Ok(_) => Ok(message::fields(&[("recall", "N")])),
        Err(why) => refused(why, order.state == TradeState::Revoked),
    })
}

/// The provider's words for what cannot be.
fn refused(why: Refusal, reversed: bool) -> Result<Fields, No> {
    match why {
        Refusal::Paid => no("ORDERPAID", "该订单已支付"),
        Refusal::Closed if reversed => no("ORDERREVERSED", "订单已撤销"),
        Refusal::Closed => no("ORDERCLOSED", "订单已关闭"),
        Refusal::Paying => no("USERPAYING", "需要用户输入支付密码"),
        Refusal::OrderNumberUsed => no("OUT_TRADE_NO_USED", "商户订单号重复"),
        Refusal::UnknownOrder => no("ORDERNOTEXIST", "订单不存在"),
        Refusal::RefundState => no("TRADE_ERROR", "订单已退款，不能撤销"),
        Refusal::UnknownRefund
        | Refusal::NotPaid
        | Refusal::RefundNumberUsed
        | Refusal::TooMuch
        | Refusal::BalanceShort
        | Refusal::TooManyRefunds
        | Refusal::TooSoon
        | Refusal::TooLate => no("INVALID_REQUEST", "无效请求"),
    }
}

/// An order with its state; amounts and times only when there was money.
fn told(order: &Order) -> Fields {
    let (trade_type, body) = view::details(order);
    let (state, words) = view::trade_state(order);
    let attach = text(&body, "attach").unwrap_or_default();
    let number = order.asked.number.as_str();
    let mut fields = message::fields(&[
        ("out_trade_no", number),
        ("attach", attach),
        ("trade_state", state),
        ("trade_state_desc", words),
    ]);
    if let Some(received) = &order.received {
        let fen = received.amount.minor().to_string();
        fields.extend(message::fields(&[
            ("openid", &view::openid(order)),
            ("is_subscribe", "N"),
            ("trade_type", &trade_type),
            ("bank_type", "OTHERS"),
            ("total_fee", &fen),
            ("fee_type", "CNY"),
            ("cash_fee", &fen),
            ("cash_fee_type", "CNY"),
            ("transaction_id", &received.transaction_id),
            ("time_end", &beijing(received.at)),
        ]));
    }
    fields
}

/// `yyyyMMddHHmmss`.
fn beijing(at: Timestamp) -> String {
    at.in_zone("Asia/Shanghai").strftime("%Y%m%d%H%M%S").to_string()
}
