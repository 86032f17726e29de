//! What Alipay sends by itself: that a trade was paid, closed, finished, or that money of it was given back.

use encoding_rs::{Encoding, GBK, UTF_8};

use super::response::currency;
use super::{Alipay, sign, wire};
use crate::channels::{ChannelError, Inbound, Observation, PaidFacts, Subject, VerifiedNotification};
use crate::domain::ids::{AttemptId, RefundId};
use crate::domain::time::{Duration, Timestamp};

/// Largest notification that is read, in bytes; real ones have about 1,500.
const NOTIFICATION_MAX_BYTES: usize = 64 * 1024;
/// Alipay sends eight times within 25 hours. What is older is no resend of Alipay's. Source: Alipay, 异步通知.
const AGE_MAX: Duration = Duration::from_hours(26);
/// How far the clocks may differ the other way.
const AHEAD_MAX: Duration = Duration::from_minutes(10);

/// Every signed field that is read here.
const READ: [&str; 13] = [
    "app_id",
    "charset",
    "gmt_payment",
    "gmt_refund",
    "notify_time",
    "out_biz_no",
    "out_trade_no",
    "refund_fee",
    "seller_id",
    "total_amount",
    "trade_no",
    "trade_status",
    "trans_currency",
];

pub(super) fn read(
    alipay: &Alipay,
    message: &Inbound<'_>,
    now: Timestamp,
) -> Result<VerifiedNotification, ChannelError> {
    let fields = verified(alipay, message.body, now)?;
    fresh(&fields, now)?;
    let attempt = fields.required("out_trade_no")?;
    let attempt = AttemptId::parse_bare(attempt).map_err(|_| not_a_number(attempt))?;
    let identity = alipay.check_identity(fields.required("app_id")?, fields.get("seller_id").unwrap_or(""));
    // Money that was given back is told under the number of the trade it was paid with, and with its state. It is never a
    // payment, and the closing that a full refund brings is no closing of an unpaid order.
    if fields.get("gmt_refund").is_some() || fields.get("refund_fee").is_some() {
        identity.map_err(|detail| ChannelError::NotGenuine { detail })?;
        return Ok(refund(&fields, attempt));
    }
    let observation = match fields.required("trade_status")? {
        "TRADE_SUCCESS" | "TRADE_FINISHED" if fields.get("seller_id").is_none() => {
            Observation::Unknown { detail: "the message names no seller, so Alipay is asked".to_owned() }
        }
        "TRADE_SUCCESS" | "TRADE_FINISHED" => Observation::Paid(facts(&fields, identity)?),
        status => {
            // Money under a foreign name is worth a person's look; anything else under a foreign name is not about us.
            identity.map_err(|detail| ChannelError::NotGenuine { detail })?;
            match status {
                "WAIT_BUYER_PAY" => Observation::NotPaid,
                "TRADE_CLOSED" if fields.get("gmt_payment").is_none() => Observation::Closed,
                other => Observation::Unknown { detail: format!("trade_status {}", wire::shortened(other)) },
            }
        }
    };
    Ok(VerifiedNotification::checked(Subject::Order(attempt), observation))
}

/// The refund itself when it is one of ours, else the order that it belongs to. The sum that Alipay tells is of all refunds
/// of the trade, so only the question about this one says what it moved.
fn refund(fields: &Fields, attempt: AttemptId) -> VerifiedNotification {
    match fields.get("out_biz_no").and_then(|number| RefundId::parse_bare(number).ok()) {
        Some(refund) => {
            let observation = Observation::RefundProcessing { channel_refund_id: None };
            VerifiedNotification::checked(Subject::Refund(refund), observation)
        }
        None => {
            let sum = wire::shortened(fields.get("refund_fee").unwrap_or(""));
            let detail = format!("Alipay gave money of this trade back, {sum} yuan in all, not on our request");
            VerifiedNotification::checked(Subject::Order(attempt), Observation::Unknown { detail })
        }
    }
}

fn facts(fields: &Fields, identity: Result<(), String>) -> Result<PaidFacts, ChannelError> {
    let amount = fields.required("total_amount")?;
    let amount = wire::parse_yuan(amount, currency(fields.get("trans_currency"))?);
    let paid_at = fields.get("gmt_payment").or(fields.get("notify_time"));
    Ok(PaidFacts {
        amount: amount.ok_or_else(|| malformed("the amount cannot be read"))?,
        transaction_id: fields.required("trade_no")?.to_owned(),
        paid_at: paid_at.and_then(wire::parse_beijing).ok_or_else(|| malformed("the time cannot be read"))?,
        identity,
    })
}

/// The fields of a notification whose signature was checked.
struct Fields(Vec<(String, String)>);

impl Fields {
    /// An empty field is none.
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, value)| other == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    fn required(&self, name: &str) -> Result<&str, ChannelError> {
        self.get(name).ok_or_else(|| malformed(&format!("no {name}")))
    }
}

fn verified(alipay: &Alipay, body: &[u8], now: Timestamp) -> Result<Fields, ChannelError> {
    let not_genuine = |detail: &str| ChannelError::NotGenuine { detail: detail.to_owned() };
    if body.len() > NOTIFICATION_MAX_BYTES {
        return Err(not_genuine("too long"));
    }
    let fields = wire::parse_form(body)?;
    let ascii = |name: &str| {
        let field = fields.iter().find(|(other, value)| other == name && !value.is_empty());
        field.and_then(|(_, value)| std::str::from_utf8(value).ok())
    };
    // Whoever could choose the kind of signature would choose one that proves nothing.
    if ascii("sign_type") != Some(sign::SIGN_TYPE) {
        return Err(not_genuine("not signed with RSA2"));
    }
    let signature = ascii("sign").ok_or_else(|| not_genuine("no signature"))?;
    alipay.keys.verify(&sign::notification_text(&fields), signature, ascii("alipay_cert_sn"), now)?;
    if !sign::says_once(&fields, &READ) {
        return Err(not_genuine("a value of it reads like another field"));
    }
    let charset = charset(ascii("charset")).ok_or_else(|| malformed("a charset that Alipay does not use"))?;
    let text = |(name, value): &(String, Vec<u8>)| {
        let value = charset.decode_without_bom_handling_and_without_replacement(value)?;
        Some((name.clone(), value.into_owned()))
    };
    let decoded: Option<Vec<(String, String)>> = fields.iter().map(text).collect();
    decoded.map(Fields).ok_or_else(|| malformed("bytes that its charset does not have"))
}

/// Source: Alipay, 公共请求参数, `charset`.
fn charset(name: Option<&str>) -> Option<&'static Encoding> {
    match name.map(str::to_ascii_lowercase).as_deref() {
        None | Some("utf-8" | "utf8") => Some(UTF_8),
        Some("gbk" | "gb2312" | "gb18030") => Some(GBK),
        Some(_) => None,
    }
}

fn fresh(fields: &Fields, now: Timestamp) -> Result<(), ChannelError> {
    let sent = wire::parse_beijing(fields.required("notify_time")?);
    let sent = sent.ok_or_else(|| malformed("the time of the message cannot be read"))?;
    if now.since(sent) > AGE_MAX || sent.since(now) > AHEAD_MAX {
        return Err(ChannelError::NotGenuine { detail: "its time is too far away from ours".to_owned() });
    }
    Ok(())
}

fn not_a_number(text: &str) -> ChannelError {
    malformed(&format!("{} is not a number of ours", wire::shortened(text)))
}

fn malformed(detail: &str) -> ChannelError {
    ChannelError::Malformed { detail: detail.to_owned() }
}
