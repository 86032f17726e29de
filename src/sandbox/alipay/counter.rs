//! What the provider does for a call, inside one transaction at its desk.

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use ring::hmac;
use serde_json::{Map, Value, json};

use super::bill::{self, Move};
use super::call::{BillKind, Call, Expiry, Product, RefundAsked, Trade, Which};
use super::fault::{Wrong, business, no_trade, of_create, of_order};
use super::keys::Merchant;
use super::view::{self, Details, REFUND_WINDOW, trade_status};
use crate::domain::time::{Duration, Timestamp};
use crate::sandbox::provider::Desk;
use crate::sandbox::provider::fault::{Fault, Faults};
use crate::sandbox::provider::model::{NewOrder, NewRefund, Order, RefundRules, RefundStatus, Refusal, TradeState};
use crate::sandbox::provider::records::{Mood, Subject};
use crate::store::StoreError;

/// A QR code lives no longer, whatever its order does. Source: §10.1.
const QR_LIFE: Duration = Duration::from_hours(2);
/// Refunds are done at once, and may follow each other. Source: §10.10.
const REFUND_RULES: RefundRules =
    RefundRules { count_max: 200, gap_min: Duration::ZERO, window: REFUND_WINDOW, takes: Duration::ZERO };
/// Later a payment is refunded, not cancelled. Source: §10.9.
const CANCEL_WINDOW: Duration = Duration::from_hours(24);
/// How long the address of a bill works. Source: §13.
const BILL_LINK_LIFE: Duration = Duration::from_seconds(30);
/// Bills are made from 09:00 of the next day on, those of a month on the third day after it. Source: §13.
const DAY_READY_AFTER: Duration = Duration::from_hours(9);
const MONTH_READY_AFTER: Duration = Duration::from_hours(48 + 9);

/// What is said.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The fields of the method's node; a code among them stands for another than 10000.
    Node(Map<String, Value>),
    /// The payer's device goes to the order's page.
    Page([u8; 16]),
}

/// What a call needs from outside the transaction.
#[derive(Clone)]
pub struct Around {
    pub app_id: String,
    pub merchant: Merchant,
    /// For the phone page of a new order.
    pub code: [u8; 16],
    /// Where the merchant reaches the provider, with its prefix and without a slash at the end.
    pub base: String,
    pub wire_now: Timestamp,
    /// Where notifications go; `None`: no address, or none that may be notified.
    pub notify_url: Option<String>,
    pub return_url: Option<String>,
    /// The provider's own certificates by number, as PEM with their chain.
    pub certificates: Vec<(String, String)>,
    pub token_key: hmac::Key,
}

type Said = Result<Result<Reply, Wrong>, StoreError>;

/// Carries a call out. `faults` are those under which it is answered.
pub fn carry_out(desk: &mut Desk<'_, '_>, call: &Call, around: &Around, faults: Faults) -> Said {
    match call {
        Call::Trade(trade) => create(desk, trade, around),
        Call::Query(which) => query(desk, which, around),
        Call::Close(which) => close(desk, which, around),
        Call::Cancel(which) => cancel(desk, which, around),
        Call::Refund(asked) => refund(desk, asked, around),
        Call::RefundQuery { which, out_request_no } => refund_query(desk, which, out_request_no, around),
        Call::Bill { kind, date } => Ok(bill_link(desk.now(), *kind, date, around, faults)),
        Call::Certificate { sn } => Ok(match around.certificates.iter().find(|(known, _)| known == sn) {
            Some((_, pem)) => node(json!({ "alipay_cert_content": BASE64.encode(pem.as_bytes()) })),
            None => Err(business("CERT_NOT_EXIST", "证书不存在")),
        }),
    }
}

fn node(fields: Value) -> Result<Reply, Wrong> {
    Ok(Reply::Node(fields.as_object().cloned().unwrap_or_default()))
}

fn create(desk: &mut Desk<'_, '_>, trade: &Trade, around: &Around) -> Said {
    let now = desk.now();
    let expires_at = match trade.expiry {
        Expiry::In(life) => now.plus(life),
        Expiry::Today => view::midnight_after(now),
        // The merchant's clock knows nothing of days that were skipped.
        Expiry::At(at) => at.plus(now.since(around.wire_now)),
    };
    let known = desk.order(&around.app_id, &trade.out_trade_no)?;
    if known.is_none() && expires_at <= now {
        return Ok(Err(business("ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR", "当前时间已超过允许支付的时间")));
    }
    let new = NewOrder {
        merchant: around.app_id.clone(),
        number: trade.out_trade_no.clone(),
        amount: trade.amount,
        description: trade.subject.clone(),
        expires_at,
        notify_url: around.notify_url.clone(),
        return_url: around.return_url.clone(),
        failure_ends: trade.product == Product::BarCode,
        details: Details::write(trade.product, &around.merchant.pid, &trade.biz),
    };
    if let Some(digits) = &trade.auth_code {
        return pay(desk, &new, digits, known.as_ref(), around);
    }
    let life = expires_at.since(now);
    let life = if trade.product == Product::Qr { life.min(QR_LIFE) } else { life };
    let order = match desk.create(&new, around.code, life, false)? {
        Ok(order) => order,
        Err(why) => return Ok(Err(of_create(why))),
    };
    let number = &order.asked.number;
    Ok(match trade.product {
        Product::Qr => {
            let qr_code = format!("https://qr.alipay.com/bax{}", HEXLOWER.encode(&order.code));
            node(json!({ "out_trade_no": number, "qr_code": qr_code }))
        }
        Product::Create => node(json!({ "out_trade_no": number, "trade_no": view::trade_no(&order) })),
        Product::Page | Product::Wap | Product::App | Product::BarCode => Ok(Reply::Page(order.code)),
    })
}

fn pay(desk: &mut Desk<'_, '_>, new: &NewOrder, digits: &str, known: Option<&Order>, around: &Around) -> Said {
    let bad_code = || business("ACQ.PAYMENT_AUTH_CODE_INVALID", "支付授权码无效");
    if known.is_none() && !desk.code_is_good(digits)? {
        return Ok(Err(bad_code()));
    }
    let order = match desk.create(new, around.code, REFUND_WINDOW, false)? {
        Ok(order) => order,
        Err(why) => return Ok(Err(of_create(why))),
    };
    let (mood, order) = match order.state {
        TradeState::Paying => (Some(Mood::AskedForPassword), order),
        TradeState::NotPaid | TradeState::Paid | TradeState::Closed | TradeState::Revoked | TradeState::Failed => {
            match desk.pay_by_code(&order, digits)? {
                Some((mood, order)) => (Some(mood), order),
                None => (None, order),
            }
        }
    };
    Ok(match mood {
        Some(Mood::Pays) => {
            let mut fields = view::trade(&order);
            let paid_at = order.received.as_ref().map(|received| view::beijing(received.at));
            fields.insert("gmt_payment".to_owned(), json!(paid_at));
            Ok(Reply::Node(fields))
        }
        Some(Mood::AskedForPassword) => {
            let mut fields = view::trade(&order);
            fields.insert("code".to_owned(), json!("10003"));
            fields.insert("msg".to_owned(), json!("order success pay inprocess"));
            Ok(Reply::Node(fields))
        }
        Some(Mood::BalanceShort) => Err(business("ACQ.BUYER_BALANCE_NOT_ENOUGH", "买家余额不足")),
        Some(Mood::Refuses) => Err(business("ACQ.PAYMENT_FAIL", "支付失败")),
        None => Err(bad_code()),
    })
}

/// The trade that is meant, with its state; the provider's own number wins. Source: §10.7.
fn find(
    desk: &mut Desk<'_, '_>,
    which: &Which,
    around: &Around,
) -> Result<Option<(Order, Option<&'static str>)>, StoreError> {
    let order = match (&which.trade_no, &which.out_trade_no) {
        (Some(trade_no), number) => match desk.order_by_transaction(&around.app_id, trade_no)? {
            Some(order) => Some(order),
            // One that waits for its payer is not listed by the provider's number yet.
            None => match number {
                Some(number) => desk.order(&around.app_id, number)?.filter(|order| view::trade_no(order) == *trade_no),
                None => None,
            },
        },
        (None, Some(number)) => desk.order(&around.app_id, number)?,
        (None, None) => None,
    };
    let now = desk.now();
    Ok(order.map(|order| {
        let status = trade_status(&order, now);
        (order, status)
    }))
}

fn query(desk: &mut Desk<'_, '_>, which: &Which, around: &Around) -> Said {
    let Some((order, Some(status))) = find(desk, which, around)? else { return Ok(Err(no_trade())) };
    let mut fields = view::trade(&order);
    fields.insert("trade_status".to_owned(), json!(status));
    fields.insert("buyer_user_type".to_owned(), json!("PRIVATE"));
    if let Some(received) = &order.received {
        fields.insert("send_pay_date".to_owned(), json!(view::beijing(received.at)));
    }
    Ok(Ok(Reply::Node(fields)))
}

/// Only a trade that waits for its payer can be closed; a code that nobody scanned is no trade and stays payable.
fn close(desk: &mut Desk<'_, '_>, which: &Which, around: &Around) -> Said {
    let Some((order, Some(status))) = find(desk, which, around)? else { return Ok(Err(no_trade())) };
    if status != "WAIT_BUYER_PAY" {
        return Ok(Err(business("ACQ.REASON_TRADE_STATUS_INVALID", "交易状态不合法")));
    }
    let told = json!({ "out_trade_no": order.asked.number, "trade_no": view::trade_no(&order) });
    Ok(match desk.close(&around.app_id, &order.asked.number)? {
        Ok(_) => node(told),
        Err(why) => Err(of_order(why)),
    })
}

/// Source: §10.9: closes what is unpaid, gives back what is paid, and answers success about a number it never saw.
fn cancel(desk: &mut Desk<'_, '_>, which: &Which, around: &Around) -> Said {
    let nothing = json!({ "out_trade_no": which.out_trade_no, "retry_flag": "N" });
    let Some((order, status)) = find(desk, which, around)? else {
        return Ok(if which.trade_no.is_some() { Err(no_trade()) } else { node(nothing) });
    };
    if Details::of(&order).product.by_device() {
        return Ok(Err(business("ACQ.CANCEL_NOT_ALLOWED", "撤销不被允许")));
    }
    if order.received.as_ref().is_some_and(|received| desk.now().since(received.at) > CANCEL_WINDOW) {
        return Ok(Err(business("ACQ.TRADE_CANCEL_TIME_OUT", "超过撤销时间范围")));
    }
    let action = if order.received.is_some() { "refund" } else { "close" };
    Ok(match desk.revoke(&around.app_id, &order.asked.number)? {
        Ok(_) if status.is_none() => node(nothing),
        Ok(order) => node(json!({
            "out_trade_no": order.asked.number,
            "trade_no": view::trade_no(&order),
            "retry_flag": "N",
            "action": action,
        })),
        Err(_) => Err(business("ACQ.REASON_TRADE_STATUS_INVALID", "交易状态不合法")),
    })
}

/// Source: §10.10. What was given back before is told once more, without moving anything.
fn refund(desk: &mut Desk<'_, '_>, asked: &RefundAsked, around: &Around) -> Said {
    let Some((order, Some(status))) = find(desk, &asked.which, around)? else { return Ok(Err(no_trade())) };
    let number = match &asked.out_request_no {
        Some(number) => number.clone(),
        None if order.received.as_ref().is_some_and(|received| received.amount == asked.amount) => {
            order.asked.number.clone()
        }
        None => return Ok(Err(business("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", "部分退款须传 out_request_no"))),
    };
    let key = view::refund_key(&order.asked.number, &number);
    let known = desk.refund_by_number(&around.app_id, &key)?;
    if known.is_none() && status == "TRADE_FINISHED" {
        return Ok(Err(of_order(Refusal::TooLate)));
    }
    let new = NewRefund {
        merchant: around.app_id.clone(),
        order: order.asked.number.clone(),
        number: key,
        amount: asked.amount,
        notify_url: order.asked.notify_url.clone(),
        details: String::new(),
    };
    let refund = match desk.refund(&new, REFUND_RULES)? {
        Ok(refund) => refund,
        Err(why) => return Ok(Err(of_order(why))),
    };
    let given_up = matches!(refund.status, RefundStatus::Closed | RefundStatus::Abnormal);
    if given_up && known.is_some() {
        return Ok(Err(business("ACQ.TRADE_NOT_ALLOW_REFUND", "当前交易不允许退款")));
    }
    let mut sum = 0;
    for number in desk.refunds_of(&order)? {
        let done = desk.refund_by_number(&around.app_id, &number)?;
        sum += done.filter(|done| done.status == RefundStatus::Success).map_or(0, |done| done.asked.amount.minor());
    }
    let moved = known.is_none() && refund.status == RefundStatus::Success;
    Ok(node(json!({
        "out_trade_no": order.asked.number,
        "trade_no": view::trade_no(&order),
        "buyer_logon_id": "138****0000",
        "fund_change": if moved { "Y" } else { "N" },
        "refund_fee": view::yuan(sum),
        "send_back_fee": view::yuan(if moved { asked.amount.minor() } else { 0 }),
        "gmt_refund_pay": view::beijing(desk.now()),
    })))
}

/// Source: §10.11: what is not received, under way or failed is answered with success and without refund data.
fn refund_query(desk: &mut Desk<'_, '_>, which: &Which, out_request_no: &str, around: &Around) -> Said {
    let Some((order, Some(_))) = find(desk, which, around)? else { return Ok(Err(no_trade())) };
    let key = view::refund_key(&order.asked.number, out_request_no);
    let refund = desk.refund_by_number(&around.app_id, &key)?;
    let Some(refund) = refund.filter(|refund| refund.status == RefundStatus::Success) else {
        return Ok(node(json!({})));
    };
    Ok(node(json!({
        "out_trade_no": order.asked.number,
        "trade_no": view::trade_no(&order),
        "out_request_no": out_request_no,
        "refund_status": "REFUND_SUCCESS",
        "refund_amount": view::yuan(refund.asked.amount.minor()),
        "total_amount": view::yuan(order.received.as_ref().map_or(0, |received| received.amount.minor())),
        "gmt_refund_pay": view::beijing(refund.ended_at.unwrap_or(refund.created_at)),
    })))
}

/// First moment and end of a day or month in Beijing, and when its bill is made.
fn period(date: &str) -> Option<(Timestamp, Timestamp, Timestamp)> {
    let of_month = date.len() == 7;
    let first = if of_month { format!("{date}-01") } else { date.to_owned() };
    let begin = view::beijing_time(&format!("{first} 00:00:00"))?;
    if !of_month {
        let end = begin.plus(Duration::from_days(1));
        return Some((begin, end, end.plus(DAY_READY_AFTER)));
    }
    let (year, month) = date.split_once('-')?;
    let (year, month) = (year.parse::<u32>().ok()?, month.parse::<u32>().ok()?);
    let next = if month == 12 { format!("{}-01", year + 1) } else { format!("{year}-{:02}", month + 1) };
    let end = view::beijing_time(&format!("{next}-01 00:00:00"))?;
    Some((begin, end, end.plus(MONTH_READY_AFTER)))
}

fn bill_link(now: Timestamp, kind: BillKind, date: &str, around: &Around, faults: Faults) -> Result<Reply, Wrong> {
    let Some((_, _, ready)) = period(date) else { return Err(business("INVAILID_ARGUMENTS", "入参不合法")) };
    if now < ready || faults.has(Fault::BillLate) {
        return Err(business("BILL_NOT_EXIST", "账单不存在"));
    }
    let life = if faults.has(Fault::BillLinkDead) { Duration::ZERO } else { BILL_LINK_LIFE };
    let until = around.wire_now.plus(life);
    let token = Token { app_id: around.app_id.clone(), kind, date: date.to_owned(), until };
    let url = format!("{}/bill?token={}", around.base, token.write(&around.token_key));
    node(json!({ "bill_download_url": url }))
}

/// The file behind a bill's address; `None` when the address is wrong or too old.
pub fn bill_file(
    desk: &mut Desk<'_, '_>,
    token: &str,
    key: &hmac::Key,
    wire_now: Timestamp,
    merchant: impl FnOnce(&str) -> Option<Merchant>,
) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(token) = Token::read(token, key).filter(|token| wire_now < token.until) else { return Ok(None) };
    let (Some((begin, end, _)), Some(merchant)) = (period(&token.date), merchant(&token.app_id)) else {
        return Ok(None);
    };
    let mut moves = Vec::new();
    for (at, subject) in desk.moves(&token.app_id, begin, end)? {
        match subject {
            Subject::Order { merchant, number } => {
                let Some(order) = desk.order(&merchant, &number)? else { continue };
                let paid = order.received.as_ref().is_some_and(|received| received.at == at);
                moves.push(if paid { Move::Paid { at, order } } else { Move::Reversed { at, order } });
            }
            Subject::Refund { merchant, number } => {
                let Some(refund) = desk.refund_by_number(&merchant, &number)? else { continue };
                let Some(order) = desk.order(&merchant, &refund.asked.order)? else { continue };
                if refund.status == RefundStatus::Success {
                    moves.push(Move::Refunded { order, refund });
                }
            }
        }
    }
    let faults = desk.faults()?;
    let file = bill::write(token.kind, &merchant.pid, (begin, end), &moves, faults, desk.now());
    let whole = file.len();
    Ok(Some(if faults.has(Fault::BillCut) { file[..whole / 2].to_vec() } else { file }))
}

/// What a bill's address says, under the provider's seal, so that nothing has to be kept.
struct Token {
    app_id: String,
    kind: BillKind,
    date: String,
    until: Timestamp,
}

impl Token {
    fn write(&self, key: &hmac::Key) -> String {
        let kind = match self.kind {
            BillKind::Trade => "trade",
            BillKind::Funds => "funds",
        };
        let text = format!("{} {kind} {} {}", self.app_id, self.date, self.until.as_millis());
        let seal = hmac::sign(key, text.as_bytes());
        format!("{}.{}", BASE64URL_NOPAD.encode(text.as_bytes()), BASE64URL_NOPAD.encode(seal.as_ref()))
    }

    fn read(token: &str, key: &hmac::Key) -> Option<Self> {
        let (text, seal) = token.split_once('.')?;
        let text = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        hmac::verify(key, &text, &BASE64URL_NOPAD.decode(seal.as_bytes()).ok()?).ok()?;
        let text = String::from_utf8(text).ok()?;
        let parts: Vec<&str> = text.split(' ').collect();
        let [app_id, kind, date, until] = parts.as_slice() else { return None };
        Some(Self {
            app_id: (*app_id).to_owned(),
            kind: if *kind == "trade" { BillKind::Trade } else { BillKind::Funds },
            date: (*date).to_owned(),
            until: Timestamp::from_millis(until.parse().ok()?),
        })
    }
}
