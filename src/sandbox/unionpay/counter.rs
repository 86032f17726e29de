//! What the provider does for a call, inside one transaction at its desk. Source: §4 to §8 of the fact sheet.

use super::bill::{self, MASKED_CARD, Row};
use super::call::{Asked, Call, Trouble, Way};
use super::time::{beijing, day_span, read_day, settle_day};
use super::wire::Fields;
use crate::domain::money::Money;
use crate::domain::time::{Duration, Timestamp};
use crate::sandbox::provider::Desk;
use crate::sandbox::provider::fault::{Fault, Faults};
use crate::sandbox::provider::model::{
    NewOrder, NewRefund, Order, Refund, RefundRules, RefundStatus, Refusal, TradeState,
};
use crate::sandbox::provider::records::{Mood, Subject};
use crate::store::StoreError;

/// In practice eleven months. Source: §4, rules.
const REFUND_RULES: RefundRules = RefundRules {
    count_max: 50,
    gap_min: Duration::ZERO,
    window: Duration::from_days(330),
    takes: Duration::from_seconds(2),
};
/// Files are made from 09:00 on of the day behind a clearing day that ended at 23:00. Source: §8.
const FILE_READY_AFTER: Duration = Duration::from_hours(10);

/// No refund is under way for longer: a stuck one takes three days.
const REFUND_TAKES_MAX: Duration = Duration::from_days(4);

/// What a call needs from outside the transaction.
#[derive(Clone)]
pub struct Around {
    pub mer_id: String,
    /// The call's own fields.
    pub fields: Fields,
    /// For the payer's page of a new order.
    pub code: [u8; 16],
    /// Where to send notifications instead of the address in the call; `None`: that address may not be notified.
    pub notify_url: Option<String>,
    /// Where the payer goes back from, without the order's code.
    pub front_page: String,
    /// The certificate to encrypt with and the one that will replace it, as PEM; none for merchants without certificates.
    pub encryption: Option<[String; 2]>,
}

impl Around {
    fn text(&self, name: &str) -> &str {
        self.fields.get(name).map(String::as_str).unwrap_or_default()
    }

    /// What names a transaction once and for all. Source: §4, rules.
    pub fn number(&self) -> String {
        joined(self.text("orderId"), self.text("txnTime"))
    }
}

/// What the troubled answers to a call are counted under. A shop whose code was lost with an answer orders under another
/// number, so what is ordered counts, by its end and amount: else each number would begin with troubles of its own, and no
/// code would ever arrive. A file is asked for at a time of its own each time, so its day counts.
pub fn counted_under(
    desk: &mut Desk<'_, '_>,
    call: &Call,
    around: &Around,
    wire_now: Timestamp,
) -> Result<String, StoreError> {
    let number = around.number();
    let ordered = match call {
        Call::File { settle_date } => return Ok(settle_date.clone()),
        Call::Consume { .. } => ordered(&around.fields),
        Call::Query(_) => {
            let order = desk.order(&around.mer_id, &number)?;
            order.and_then(|order| serde_json::from_str::<Fields>(&order.asked.details).ok()).and_then(|f| ordered(&f))
        }
        Call::EncryptionKey | Call::Reverse | Call::GiveBack { .. } => None,
    };
    desk.forget_troubles(&around.mer_id, &format!("{ORDERED}{}", beijing(wire_now)))?;
    Ok(ordered.unwrap_or(number))
}

/// Begins what is ordered, and no number.
const ORDERED: &str = "!";

/// `None` for a code that the payer showed, which is charged once.
fn ordered(fields: &Fields) -> Option<String> {
    let text = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let until = Some(text("payTimeout")).filter(|until| !until.is_empty() && text("txnSubType") != "06")?;
    Some(format!("{ORDERED}{until} {}", text("txnAmt")))
}

/// Fields of an answer beside those that it echoes.
pub type Said = Result<Vec<(&'static str, String)>, Trouble>;

pub fn carry_out(desk: &mut Desk<'_, '_>, call: &Call, around: &Around, faults: Faults) -> Result<Said, StoreError> {
    match call {
        Call::Consume { way, amount, until, qr_no } => consume(desk, around, *way, *amount, *until, qr_no.as_deref()),
        Call::Query(asked) => query(desk, around, asked),
        Call::Reverse => reverse(desk, around),
        Call::GiveBack { whole, amount, original } => give_back(desk, around, *whole, *amount, original),
        Call::File { settle_date } => file(desk, around, settle_date, faults),
        Call::EncryptionKey => Ok(encryption_key(around, faults)),
    }
}

/// Source: §3.7, and the kit's own remark that a contract with a shared key has no use for it.
fn encryption_key(around: &Around, faults: Faults) -> Said {
    let Some([now, next]) = &around.encryption else {
        return Err(Trouble::new("32", "无此交易权限[2050002]"));
    };
    let pem = if faults.has(Fault::NewKey) { next } else { now };
    Ok(vec![("certType", "01".to_owned()), ("encryptPubKeyCert", pem.trim_end().replace('\n', "\r\n"))])
}

fn consume(
    desk: &mut Desk<'_, '_>,
    around: &Around,
    way: Way,
    amount: Money,
    until: Timestamp,
    qr_no: Option<&str>,
) -> Result<Said, StoreError> {
    let Some(notify_url) = around.notify_url.clone() else {
        return Ok(Err(Trouble::new("10", "报文格式错误[backUrl]")));
    };
    let known = desk.order(&around.mer_id, &around.number())?;
    if let Some(known) = known {
        // A browser may post its form again and sees the order as it is.
        return Ok(if way == Way::Page {
            Ok(vec![("payerPage", data_encoding::HEXLOWER.encode(&known.code))])
        } else {
            Err(Trouble::new("12", "重复交易[2040004]"))
        });
    }
    if let Some(digits) = qr_no
        && !desk.code_is_good(digits)?
    {
        return Ok(Err(Trouble::new("01", "二维码已失效，请刷新后重新出示[3000012]")));
    }
    // The merchant's clock knows nothing of days that were skipped.
    let expires_at = until.plus(desk.ahead()?);
    let details = serde_json::to_string(&around.fields).expect("plain text always serialises");
    let new = NewOrder {
        merchant: around.mer_id.clone(),
        number: around.number(),
        amount,
        description: description(&around.fields),
        expires_at,
        notify_url: Some(notify_url),
        return_url: (way == Way::Page)
            .then(|| format!("{}/{}", around.front_page, data_encoding::HEXLOWER.encode(&around.code))),
        failure_ends: way == Way::ShownCode,
        details,
    };
    let life = expires_at.since(desk.now());
    let order = match desk.create(&new, around.code, life, false)? {
        Ok(order) => order,
        Err(_) => return Ok(Err(Trouble::new("12", "重复交易[2040004]"))),
    };
    let code = data_encoding::HEXLOWER.encode(&order.code);
    Ok(match (way, qr_no) {
        (Way::Page, _) => Ok(vec![("payerPage", code)]),
        (Way::App, _) => Ok(vec![("tn", code)]),
        (Way::Code, _) => Ok(vec![("qrCode", format!("https://qr.95516.com/00010000/{code}"))]),
        (Way::ShownCode, None) => Err(Trouble::new("13", "报文交易要素缺失[qrNo]")),
        (Way::ShownCode, Some(digits)) => match desk.pay_by_code(&order, digits)? {
            Some((Mood::Pays, _)) => Ok(Vec::new()),
            Some((Mood::AskedForPassword, _)) => Err(Trouble::new("05", "交易已受理，请稍后查询交易结果[4000005]")),
            Some((Mood::BalanceShort, _)) => Err(Trouble::new("64", "账户余额不足[1000051]")),
            Some((Mood::Refuses, _)) => Err(Trouble::new("01", "持卡人取消支付[3000001]")),
            None => Err(Trouble::new("01", "二维码已失效，请刷新后重新出示[3000012]")),
        },
    })
}

/// Source: §6.1. What was never begun has no transaction: it is unknown, before its end and after it.
fn query(desk: &mut Desk<'_, '_>, around: &Around, asked: &Asked) -> Result<Said, StoreError> {
    let unknown = || Ok(Err(Trouble::new("34", "查无此交易[2600000]")));
    if let Some(order) = find(desk, &around.mer_id, asked)? {
        let (code, text) = match order.state {
            TradeState::Paid => ("00", "成功[0000000]"),
            TradeState::Paying => ("05", "交易已受理[4000005]"),
            TradeState::Failed => ("01", "交易失败[1000000]"),
            // Nothing is known of what a reversed payment becomes; here it is one that failed.
            TradeState::Revoked => ("01", "交易已冲正[3000015]"),
            TradeState::NotPaid | TradeState::Closed => return unknown(),
        };
        let mut said = transaction(&order);
        said.extend([("origRespCode", code.to_owned()), ("origRespMsg", text.to_owned())]);
        return Ok(Ok(said));
    }
    let Asked::ByNumber { order_id, txn_time } = asked else { return unknown() };
    match desk.refund_by_number(&around.mer_id, &joined(order_id, txn_time))? {
        Some(refund) => {
            let (code, text) = match refund.status {
                RefundStatus::Processing => ("05", "交易已受理[4000005]"),
                RefundStatus::Success => ("00", "成功[0000000]"),
                RefundStatus::Abnormal => ("63", "卡状态不正确[1000062]"),
                RefundStatus::Closed => ("01", "交易失败[1000000]"),
            };
            let mut said = giving_back(&refund);
            said.extend([("origRespCode", code.to_owned()), ("origRespMsg", text.to_owned())]);
            Ok(Ok(said))
        }
        None => unknown(),
    }
}

/// 冲正: the same number and time as the payment. Source: UnionPay's QR code product.
fn reverse(desk: &mut Desk<'_, '_>, around: &Around) -> Result<Said, StoreError> {
    let gone = || Ok(Err(Trouble::new("35", "原交易不存在或状态不正确[2011000]")));
    let number = around.number();
    let Some(order) = desk.order(&around.mer_id, &number)? else { return gone() };
    if !order.asked.failure_ends {
        return gone();
    }
    Ok(match desk.revoke(&around.mer_id, &number)? {
        Ok(_) => Ok(Vec::new()),
        Err(_) => Err(Trouble::new("45", "已被成功退货或已被成功撤销[2013001]")),
    })
}

fn give_back(
    desk: &mut Desk<'_, '_>,
    around: &Around,
    whole: bool,
    amount: Money,
    original: &Asked,
) -> Result<Said, StoreError> {
    let Some(notify_url) = around.notify_url.clone() else {
        return Ok(Err(Trouble::new("10", "报文格式错误[backUrl]")));
    };
    if desk.refund_by_number(&around.mer_id, &around.number())?.is_some() {
        return Ok(Err(Trouble::new("12", "重复交易[2040004]")));
    }
    let gone = || Ok(Err(Trouble::new("35", "原交易不存在或状态不正确[2011000]")));
    let Some(order) = find(desk, &around.mer_id, original)? else { return gone() };
    let Some(received) = order.received.clone() else { return gone() };
    // Source: §4: what was paid by QR code (000000) is given back under that business type, all else under 000201.
    let paid: Fields = serde_json::from_str(&order.asked.details).unwrap_or_default();
    let by_code = |fields: &Fields| fields.get("bizType").is_some_and(|kind| kind == "000000");
    if by_code(&paid) != by_code(&around.fields) {
        return Ok(Err(Trouble::new("36", "与原交易信息不符[2010002]")));
    }
    if whole {
        // Source: §4, rules: the same clearing day, the whole amount, once, not after a refund.
        if order.refunded_minor > 0 {
            return Ok(Err(Trouble::new("45", "已被成功退货或已被成功撤销[2013001]")));
        }
        if settle_day(received.at) != settle_day(desk.now()) {
            return Ok(Err(Trouble::new("39", "交易不在受理时间范围内[2040008]")));
        }
        if amount != received.amount {
            return Ok(Err(Trouble::new("36", "与原交易信息不符[2010002]")));
        }
    }
    let details = serde_json::to_string(&around.fields).expect("plain text always serialises");
    let asked = NewRefund {
        merchant: around.mer_id.clone(),
        order: order.asked.number.clone(),
        number: around.number(),
        amount,
        notify_url: Some(notify_url),
        details,
    };
    Ok(match desk.refund(&asked, REFUND_RULES)? {
        Ok(refund) => {
            Ok(giving_back(&refund).into_iter().filter(|(name, _)| matches!(*name, "queryId" | "origQryId")).collect())
        }
        Err(why) => Err(match why {
            Refusal::TooMuch => Trouble::new("36", "退货金额大于原交易可退金额[2010003]"),
            Refusal::RefundNumberUsed => Trouble::new("12", "重复交易[2040004]"),
            Refusal::TooLate => Trouble::new("39", "交易不在受理时间范围内[2040008]"),
            Refusal::BalanceShort => Trouble::new("01", "商户账户余额不足[2030001]"),
            Refusal::TooManyRefunds | Refusal::TooSoon => Trouble::new("37", "操作过于频繁[2040009]"),
            Refusal::UnknownOrder
            | Refusal::UnknownRefund
            | Refusal::Paid
            | Refusal::Closed
            | Refusal::Paying
            | Refusal::NotPaid
            | Refusal::OrderNumberUsed
            | Refusal::RefundState => Trouble::new("35", "原交易不存在或状态不正确[2011000]"),
        }),
    })
}

fn file(desk: &mut Desk<'_, '_>, around: &Around, settle_date: &str, faults: Faults) -> Result<Said, StoreError> {
    let none = || Ok(Err(Trouble::new("98", "文件不存在[9100003]")));
    let Some(day) = read_day(settle_date, desk.now()) else { return none() };
    let Some((from, until)) = day_span(day) else { return none() };
    if desk.now() < until.plus(FILE_READY_AFTER) || faults.has(Fault::BillLate) {
        return none();
    }
    let mut rows = Vec::new();
    let within = |at: Timestamp| (from..until).contains(&at);
    // A refund is cleared on the day on which it succeeded, which may be days behind the one on which it was asked for.
    for (at, subject) in desk.moves(&around.mer_id, from.minus(REFUND_TAKES_MAX), until)? {
        match subject {
            Subject::Order { merchant, number } => {
                let Some(order) = desk.order(&merchant, &number)? else { continue };
                // One that was reversed never was.
                if order.state == TradeState::Paid && within(at) {
                    rows.push(Row::payment(&order, at));
                }
            }
            Subject::Refund { merchant, number } => {
                let Some(refund) = desk.refund_by_number(&merchant, &number)? else { continue };
                let Some(order) = desk.order(&merchant, &refund.asked.order)? else { continue };
                if refund.status == RefundStatus::Success && refund.ended_at.is_some_and(within) {
                    rows.push(Row::refund(&order, &refund));
                }
            }
        }
    }
    if rows.is_empty() {
        return none();
    }
    let name = format!("{}_{}.zip", around.mer_id, day.strftime("%Y%m%d"));
    let content = bill::write(&around.mer_id, day, rows, faults);
    Ok(Ok(vec![("fileName", name), ("fileContent", content)]))
}

fn find(desk: &mut Desk<'_, '_>, mer_id: &str, asked: &Asked) -> Result<Option<Order>, StoreError> {
    match asked {
        Asked::ByNumber { order_id, txn_time } => desk.order(mer_id, &joined(order_id, txn_time)),
        Asked::ByQueryId(query_id) => desk.order_by_short_number(mer_id, query_id),
    }
}

/// The facts of a payment. Source: §5, notifications and queries.
pub fn transaction(order: &Order) -> Vec<(&'static str, String)> {
    let mut said = echoed(&order.asked.details);
    said.push(("queryId", order.short_number()));
    said.push(("currencyCode", "156".to_owned()));
    match &order.received {
        Some(received) => {
            said.push(("txnAmt", received.amount.minor().to_string()));
            said.extend(clearing(&order.asked.number, received.amount, received.at));
            said.extend(card());
        }
        None => said.push(("txnAmt", order.asked.amount.minor().to_string())),
    }
    said
}

/// The facts of a refund or an undo.
pub fn giving_back(refund: &Refund) -> Vec<(&'static str, String)> {
    let mut said = echoed(&refund.asked.details);
    said.push(("queryId", query_id_of(refund)));
    said.push(("currencyCode", "156".to_owned()));
    said.push(("txnAmt", refund.asked.amount.minor().to_string()));
    if refund.status == RefundStatus::Success {
        said.extend(clearing(&refund.asked.number, refund.asked.amount, refund.ended_at.unwrap_or(refund.created_at)));
    }
    said
}

pub fn query_id_of(refund: &Refund) -> String {
    crate::sandbox::provider::model::short_number(&refund.asked.merchant, &refund.asked.number)
}

/// Fields of the transaction's own request that come back in every message about it.
fn echoed(details: &str) -> Vec<(&'static str, String)> {
    let fields: Fields = serde_json::from_str(details).unwrap_or_default();
    ["orderId", "txnTime", "txnType", "txnSubType", "reqReserved", "origQryId"]
        .into_iter()
        .filter_map(|name| Some((name, fields.get(name)?.clone())))
        .collect()
}

/// The payer's card, masked. Source: §5.
fn card() -> [(&'static str, String); 3] {
    [("accNo", MASKED_CARD.to_owned()), ("payCardType", "01".to_owned()), ("payType", "0001".to_owned())]
}

/// Clearing data. Source: §7.
fn clearing(number: &str, amount: Money, at: Timestamp) -> [(&'static str, String); 5] {
    [
        ("settleAmt", amount.minor().to_string()),
        ("settleCurrencyCode", "156".to_owned()),
        ("settleDate", settle_day(at).strftime("%m%d").to_string()),
        ("traceNo", trace_no(number)),
        ("traceTime", beijing(at).split_off(4)),
    ]
}

/// Six digits, the same for the same transaction.
pub fn trace_no(number: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, number.as_bytes());
    let sum = hash.as_ref().iter().take(4).fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
    format!("{:06}", sum % 1_000_000)
}

fn joined(order_id: &str, txn_time: &str) -> String {
    format!("{order_id} {txn_time}")
}

/// The goods, as far as the merchant named them: a payment by QR code has no field for them, and the phone shows the number.
fn description(fields: &Fields) -> String {
    let goods = fields.get("riskRateInfo").and_then(|info| info.strip_prefix("{commodityName="));
    let goods = goods.map(|rest| rest.split(['&', '}']).next().unwrap_or_default());
    goods.or(fields.get("orderDesc").map(String::as_str)).unwrap_or_default().to_owned()
}
