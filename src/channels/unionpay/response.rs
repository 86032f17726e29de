//! What UnionPay answers, and what it means in our words.
//!
//! The code of an answer (`respCode`) is about the call; in the answer to a query, `origRespCode` is about the transaction.
//! Before its payTimeout a front transaction that failed, or that UnionPay does not know, can still be paid.

use super::errors::TABLE;
use super::message::Fields;
use super::time::{beijing, read_beijing, read_without_year};
use super::{PRODUCTION, UnionPay};
use crate::channels::errors::{Advice, Concerns, ErrorMeaning, find};
use crate::channels::text::shortened;
use crate::channels::{Bar, ChannelError, CreateOrder, Observation, Order, OrderRef, PaidFacts};
use crate::domain::method::Method;
use crate::domain::money::{Currency, Money};
use crate::domain::payment::NextAction;
use crate::domain::time::{Duration, Timestamp};
use crate::env::transport::OutgoingResponse;

/// How long after its payTimeout an order counts as closed: two clocks differ, and a payment under way ends.
const CLOSED_AFTER: Duration = Duration::from_seconds(60);

/// UnionPay did not accept our signature, or does not know the merchant who signed.
const SIGNATURE_REFUSED: &str = "11";
/// The number was sent before.
const REPEATED: &str = "12";

/// ISO 4217 numbers of the currencies we know.
const CURRENCIES: [(&str, Currency); 5] = [
    ("156", Currency::CNY),
    ("344", Currency::HKD),
    ("840", Currency::USD),
    ("978", Currency::EUR),
    ("392", Currency::JPY),
];

pub(super) fn read(
    account: &UnionPay,
    order: &Order,
    response: &OutgoingResponse,
    now: Timestamp,
) -> Result<Observation, ChannelError> {
    // A cut body cannot verify, and other statuses come from something in between.
    if response.truncated || response.status != 200 {
        return Ok(Observation::no_words(response.status));
    }
    let fields = genuine(account, &response.body, now)?;
    let code = match (answer_code(&fields), order) {
        (Err(ChannelError::Credentials { detail }), Order::Create(create)) => {
            about(&fields, &create.attempt.bare(), create.created_at, &["01"])?;
            return Ok(Observation::Barred { code: SIGNATURE_REFUSED.to_owned(), detail, bar: Bar::Account });
        }
        (code, _) => code?,
    };
    match order {
        Order::Create(create) => {
            about(&fields, &create.attempt.bare(), create.created_at, &["01"])?;
            account.is_named(&fields)?;
            created(account, create, &fields, code)
        }
        Order::Close(order) if order.method == Method::UnionpayBarcode => {
            about(&fields, &order.attempt.bare(), order.created_at, &["99"])?;
            account.is_named(&fields)?;
            reversed(&fields, code)
        }
        Order::Query(order) => {
            about(&fields, &order.attempt.bare(), order.created_at, &["00", "01", "99"])?;
            queried(account, order, &fields, code, now)
        }
        Order::Close(order) => {
            about(&fields, &order.attempt.bare(), order.created_at, &["00", "01"])?;
            let seen = queried(account, order, &fields, code, now)?;
            Ok(if seen == Observation::NotFound { unknown_order(order, now) } else { seen })
        }
        Order::Refund(refund) => {
            about(&fields, &refund.about.refund.bare(), refund.about.created_at, &["04"])?;
            account.is_named(&fields)?;
            refund_sent(&fields, code)
        }
        Order::RedirectRefund(_) => Err(ChannelError::Unsupported),
        Order::QueryRefund(refund) => {
            about(&fields, &refund.refund.bare(), refund.created_at, &["00", "04", "31"])?;
            account.is_named(&fields)?;
            refund_queried(&fields, code)
        }
    }
}

/// The fields of an answer that UnionPay signed.
pub(super) fn genuine(account: &UnionPay, body: &[u8], now: Timestamp) -> Result<Fields, ChannelError> {
    let fields = Fields::read_raw(body).map_err(|error| malformed(&error.to_string()))?;
    let verified = account.signing.verify(&fields, now);
    verified.map_err(|error| ChannelError::NotGenuine { detail: error.to_string() })?;
    Ok(fields)
}

/// The code of the call; one that says that our own signature was refused is an error of the account.
pub(super) fn answer_code(fields: &Fields) -> Result<&str, ChannelError> {
    match fields.get("respCode") {
        Some(SIGNATURE_REFUSED) => Err(ChannelError::Credentials { detail: detail(fields, SIGNATURE_REFUSED) }),
        Some(code) => Ok(code),
        None => Err(malformed("an answer without respCode")),
    }
}

/// What a code decides. Codes that nobody has described decide nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Success,
    /// The transaction goes on, or nobody knows yet.
    Open,
    /// Nothing happened; the same may be sent again.
    Later,
    /// Refused or failed for good.
    Final(Concerns),
}

pub(super) fn verdict(code: &str) -> Option<Verdict> {
    // A6, a success with a flaw, is paid. Source: UnionPay ACP 5.1.0, answer codes.
    if code == "00" || code == "A6" {
        return Some(Verdict::Success);
    }
    let ErrorMeaning { advice, concerns, .. } = find(TABLE, code)?;
    Some(match advice {
        Advice::Ask => Verdict::Open,
        Advice::Repeat => Verdict::Later,
        Advice::Stop => Verdict::Final(*concerns),
    })
}

fn created(account: &UnionPay, create: &CreateOrder, fields: &Fields, code: &str) -> Result<Observation, ChannelError> {
    let unknown = || Observation::Unknown { detail: detail(fields, code) };
    Ok(match verdict(code) {
        Some(Verdict::Success) => match create.method {
            Method::UnionpayQr => {
                let data = fields.get("qrCode").ok_or_else(|| malformed("an accepted order without qrCode"))?;
                Observation::Accepted { next_action: NextAction::QrCode { data: data.to_owned() } }
            }
            Method::UnionpayApp => {
                let tn = fields.get("tn").ok_or_else(|| malformed("an accepted order without tn"))?;
                // The app's plug-in wants to know whose server made it: 00 production, 01 test.
                let mode = if account.base_url == PRODUCTION { "00" } else { "01" };
                let params = [("tn", tn), ("mode", mode)];
                let params = params.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                Observation::Accepted { next_action: NextAction::AppParams { params } }
            }
            // Only accepted: a query or a notification tells the result.
            Method::UnionpayBarcode => Observation::NotPaid,
            _ => return Err(ChannelError::Unsupported),
        },
        Some(Verdict::Open) if code == "05" && create.method == Method::UnionpayBarcode => Observation::NotPaid,
        // Source: §4. The code (qrCode) and the App's number (tn) are in the first answer alone.
        Some(Verdict::Open) if code == REPEATED && create.method != Method::UnionpayBarcode => {
            Observation::CodeLost { detail: detail(fields, code) }
        }
        Some(Verdict::Final(Concerns::Merchant)) => {
            Observation::Barred { code: code.to_owned(), detail: detail(fields, code), bar: Bar::Product }
        }
        Some(Verdict::Final(Concerns::Customer)) => Observation::Declined { detail: detail(fields, code) },
        Some(Verdict::Final(Concerns::Provider | Concerns::Request)) => {
            Observation::Refused { code: code.to_owned(), detail: detail(fields, code) }
        }
        Some(Verdict::Open | Verdict::Later) | None => unknown(),
    })
}

/// What the answer to a reversal says. What it did is asked for afterwards.
fn reversed(fields: &Fields, code: &str) -> Result<Observation, ChannelError> {
    Ok(match code {
        // 45: it had been reversed before.
        "00" | "A6" | "45" => Observation::Closed,
        // There is nothing to take back.
        "34" | "35" => Observation::NotFound,
        _ => Observation::Unknown { detail: detail(fields, code) },
    })
}

fn queried(
    account: &UnionPay,
    order: &OrderRef,
    fields: &Fields,
    code: &str,
    now: Timestamp,
) -> Result<Observation, ChannelError> {
    if code == "34" {
        account.is_named(fields)?;
        return Ok(Observation::NotFound);
    }
    if code != "00" {
        return Ok(Observation::Unknown { detail: detail(fields, code) });
    }
    let (result, text) = original(fields)?;
    let reversal = fields.get("txnType") == Some("99");
    Ok(match verdict(result) {
        // The number now stands for the reversal, so the payment is none any more.
        Some(Verdict::Success) if reversal => {
            account.is_named(fields)?;
            Observation::Closed
        }
        Some(Verdict::Success) => Observation::Paid(paid(account, fields)?),
        Some(Verdict::Open) if matches!(result, "74" | "75") => Observation::Unknown { detail: text },
        Some(Verdict::Open) => {
            account.is_named(fields)?;
            Observation::NotPaid
        }
        Some(Verdict::Later | Verdict::Final(_)) => {
            account.is_named(fields)?;
            // A payer whose card failed takes another one, for as long as the order is open.
            let over = order.method == Method::UnionpayBarcode || is_over(order, now);
            if over { Observation::Declined { detail: text } } else { Observation::NotPaid }
        }
        None => Observation::Unknown { detail: text },
    })
}

/// An order that UnionPay does not know and that is to be closed: it can be paid until its payTimeout.
fn unknown_order(order: &OrderRef, now: Timestamp) -> Observation {
    if is_over(order, now) { Observation::Closed } else { Observation::NotPaid }
}

fn is_over(order: &OrderRef, now: Timestamp) -> bool {
    now >= order.expires_at.plus(CLOSED_AFTER)
}

fn refund_sent(fields: &Fields, code: &str) -> Result<Observation, ChannelError> {
    let channel_refund_id = fields.get("queryId").map(str::to_owned);
    Ok(match verdict(code) {
        // 00 only says that it was accepted.
        Some(Verdict::Success) => Observation::RefundProcessing { channel_refund_id },
        Some(Verdict::Open) if code == "05" => Observation::RefundProcessing { channel_refund_id },
        Some(Verdict::Final(_)) => Observation::Refused { code: code.to_owned(), detail: detail(fields, code) },
        Some(Verdict::Open | Verdict::Later) | None => Observation::Unknown { detail: detail(fields, code) },
    })
}

fn refund_queried(fields: &Fields, code: &str) -> Result<Observation, ChannelError> {
    match code {
        "00" => {
            let (result, text) = original(fields)?;
            Ok(match verdict(result) {
                Some(Verdict::Success) => refunded(fields)?,
                Some(Verdict::Open) => {
                    Observation::RefundProcessing { channel_refund_id: fields.get("queryId").map(str::to_owned) }
                }
                Some(Verdict::Later | Verdict::Final(_)) => Observation::RefundFailed { detail: text },
                None => Observation::Unknown { detail: text },
            })
        }
        "34" => Ok(Observation::NotFound),
        _ => Ok(Observation::Unknown { detail: detail(fields, code) }),
    }
}

/// The facts of a payment, told by a query or a notification.
pub(super) fn paid(account: &UnionPay, fields: &Fields) -> Result<PaidFacts, ChannelError> {
    if fields.get("txnType") != Some("01") {
        return Err(malformed("a success that is no payment"));
    }
    let sent_at = fields.get("txnTime").and_then(read_beijing).ok_or_else(|| malformed("txnTime"))?;
    let transaction_id = fields.get("queryId").ok_or_else(|| malformed("a payment without queryId"))?;
    Ok(PaidFacts {
        amount: amount(fields, fields.get("currencyCode").ok_or_else(|| malformed("a payment without currency"))?)?,
        transaction_id: transaction_id.to_owned(),
        // Without a year, and not in every answer; the order's own time is the next best.
        paid_at: fields.get("traceTime").and_then(|text| read_without_year(text, sent_at)).unwrap_or(sent_at),
        identity: account.identity(fields),
    })
}

/// A refund that ended well.
pub(super) fn refunded(fields: &Fields) -> Result<Observation, ChannelError> {
    Ok(Observation::RefundSucceeded {
        channel_refund_id: fields.get("queryId").map(str::to_owned),
        // Not in every answer about a refund, and there is only one.
        amount: amount(fields, fields.get("currencyCode").unwrap_or("156"))?,
    })
}

impl UnionPay {
    /// `Err` names the merchant that is not this account's.
    fn identity(&self, fields: &Fields) -> Result<(), String> {
        match fields.get("merId") {
            Some(mer_id) if mer_id == self.mer_id => Ok(()),
            other => Err(format!("merId {} is not ours", shortened(other.unwrap_or_default()))),
        }
    }

    /// What is said under another merchant's number is not about us.
    pub(super) fn is_named(&self, fields: &Fields) -> Result<(), ChannelError> {
        self.identity(fields).map_err(|detail| ChannelError::NotGenuine { detail })
    }
}

/// An old answer about something else is as genuine as the right one.
fn about(fields: &Fields, order_id: &str, created_at: Timestamp, types: &[&str]) -> Result<(), ChannelError> {
    let wrong = |what: &str, found: Option<&str>| ChannelError::NotGenuine {
        detail: format!("the answer is about another {what}, {}", shortened(found.unwrap_or("none"))),
    };
    let time = beijing(created_at);
    for (name, expected) in [("orderId", order_id), ("txnTime", &time)] {
        if fields.get(name) != Some(expected) {
            return Err(wrong(name, fields.get(name)));
        }
    }
    match fields.get("txnType") {
        Some(found) if types.contains(&found) => Ok(()),
        found => Err(wrong("txnType", found)),
    }
}

/// The result of the transaction that was asked about, with its text.
fn original(fields: &Fields) -> Result<(&str, String), ChannelError> {
    let code = fields.get("origRespCode").ok_or_else(|| malformed("a query without origRespCode"))?;
    let text = format!("{} {}", shortened(code), shortened(fields.get("origRespMsg").unwrap_or_default()));
    Ok((code, text.trim_end().to_owned()))
}

/// `txnAmt`, what the order or refund was about; `settleAmt` is less where UnionPay gave a discount.
fn amount(fields: &Fields, currency: &str) -> Result<Money, ChannelError> {
    let text = fields.get("txnAmt").ok_or_else(|| malformed("an answer without txnAmt"))?;
    let currency = CURRENCIES.iter().find(|(number, _)| *number == currency);
    let (_, currency) = currency.ok_or_else(|| malformed("a currency that is not known here"))?;
    let plain =
        text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    let minor = text.parse().ok().filter(|_| plain).ok_or_else(|| malformed("txnAmt is no number of fen"))?;
    Ok(Money::new(minor, *currency))
}

/// Code and UnionPay's own words, for the timeline; the table has the sentence behind the code.
pub(super) fn detail(fields: &Fields, code: &str) -> String {
    let text = format!("{} {}", shortened(code), shortened(fields.get("respMsg").unwrap_or_default()));
    text.trim_end().to_owned()
}

pub(super) fn malformed(detail: &str) -> ChannelError {
    ChannelError::Malformed { detail: detail.to_owned() }
}
