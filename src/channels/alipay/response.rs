//! What the gateway answers, and what it means in our words.

use std::collections::BTreeMap;

use super::answer::{Answer, BUSINESS, Heard, SUCCESS, WAITING, hear};
use super::{Alipay, errors, request, wire};
use crate::channels::errors::{Advice, Concerns};
use crate::channels::{
    Bar, ChannelError, CreateOrder, Observation, Order, OrderRef, PaidFacts, RefundOrder, RefundRef,
};
use crate::domain::method::{Flow, Method};
use crate::domain::money::Currency;
use crate::domain::payment::NextAction;
use crate::domain::time::{Duration, Timestamp};
use crate::env::transport::OutgoingResponse;

/// A refund that is asked about sooner may not be known yet. Source: Alipay, `alipay.trade.fastpay.refund.query`.
const REFUND_SETTLES: Duration = Duration::from_seconds(10);
/// Characters of a code's content that are passed on; real ones have about forty.
const QR_MAX: usize = 1024;
/// The application may not use this product. Source: Alipay, 网关返回码.
const NOT_PERMITTED: &str = "40006";
/// Characters of a trade's number.
const TRADE_NO_MAX: usize = 64;

pub(super) fn read(
    alipay: &Alipay,
    order: &Order,
    response: &OutgoingResponse,
    now: Timestamp,
) -> Result<Observation, ChannelError> {
    let answer = match hear(alipay, request::method_of(order)?, response, now)? {
        Heard::Genuine(answer) => answer,
        Heard::Unproven { detail, code } => {
            // The gateway cannot sign when it does not know whose key to use, and then it has done nothing.
            let barred = code.filter(|code| matches!(order, Order::Create(_)) && errors::bars_the_caller(code));
            return Ok(match barred {
                Some(code) => Observation::Barred { code: wire::shortened(&code), detail, bar: Bar::Account },
                None => Observation::Unknown { detail },
            });
        }
    };
    match answer.code.as_str() {
        SUCCESS => succeeded(order, &answer, now),
        WAITING => waiting(order, &answer),
        _ => refused(order, &answer),
    }
}

fn succeeded(order: &Order, answer: &Answer, now: Timestamp) -> Result<Observation, ChannelError> {
    match order {
        Order::Create(create) => created(create, answer, now),
        Order::Query(about) => {
            same("order", answer.out_trade_no.as_deref(), &about.attempt.bare())?;
            status(answer, now)
        }
        Order::Close(about) => closed(about, answer),
        Order::Refund(refund) => refunded(refund, answer),
        Order::QueryRefund(about) => refund_found(about, answer, now),
        Order::RedirectRefund(_) => Err(ChannelError::Unsupported),
    }
}

fn created(create: &CreateOrder, answer: &Answer, now: Timestamp) -> Result<Observation, ChannelError> {
    same("order", answer.out_trade_no.as_deref(), &create.attempt.bare())?;
    match create.method.flow() {
        Flow::BarCode => Ok(Observation::Paid(facts(answer, answer.gmt_payment.as_deref(), now)?)),
        Flow::QrCode => {
            let code = answer.qr_code.as_deref().unwrap_or("");
            let usable = !code.is_empty() && code.len() <= QR_MAX && code.bytes().all(|b| b.is_ascii_graphic());
            let data = usable.then(|| code.to_owned()).ok_or_else(|| malformed("an order without a usable code"))?;
            Ok(Observation::Accepted { next_action: NextAction::QrCode { data } })
        }
        // Given to the mini program's own sheet. Source: Alipay, `my.tradePay`, tradeNO.
        Flow::JsApi => {
            let number = answer.trade_no.clone().filter(|number| !number.is_empty() && number.len() <= TRADE_NO_MAX);
            let number = number.ok_or_else(|| malformed("an order without a trade number"))?;
            let params = BTreeMap::from([("tradeNO".to_owned(), number)]);
            Ok(Observation::Accepted { next_action: NextAction::JsApiParams { params } })
        }
        // These are carried by the customer's device, and nobody answers us.
        Flow::Redirect | Flow::App => Err(ChannelError::Unsupported),
    }
}

/// Source: Alipay, 交易状态.
fn status(answer: &Answer, now: Timestamp) -> Result<Observation, ChannelError> {
    Ok(match answer.trade_status.as_deref().unwrap_or("") {
        "WAIT_BUYER_PAY" => Observation::NotPaid,
        "TRADE_SUCCESS" | "TRADE_FINISHED" => Observation::Paid(facts(answer, answer.send_pay_date.as_deref(), now)?),
        // Never paid, or paid and given back in full. Either way nothing is held and nothing can come: an attempt that we know
        // as paid stays paid, and its refunds are followed by themselves.
        "TRADE_CLOSED" => Observation::Closed,
        other => Observation::Unknown { detail: format!("trade_status {}", wire::shortened(other)) },
    })
}

/// The answer carries neither app nor seller: it came to our signed question, and a seller other than ours would not have
/// found the order.
fn facts(answer: &Answer, paid_at: Option<&str>, now: Timestamp) -> Result<PaidFacts, ChannelError> {
    let trade_no = answer.trade_no.clone().filter(|number| !number.is_empty());
    let currency = currency(answer.trans_currency.as_deref())?;
    let amount = answer.total_amount.as_deref().and_then(|text| wire::parse_yuan(text, currency));
    Ok(PaidFacts {
        amount: amount.ok_or_else(|| malformed("a payment without an amount"))?,
        transaction_id: trade_no.ok_or_else(|| malformed("a payment without a trade number"))?,
        // Money must not be lost for want of a time.
        paid_at: paid_at.and_then(wire::parse_beijing).unwrap_or(now),
        identity: Ok(()),
    })
}

/// Contracts within the country do not name a currency.
pub(super) fn currency(named: Option<&str>) -> Result<Currency, ChannelError> {
    match named {
        None | Some("") => Ok(Currency::CNY),
        Some(code) => Currency::parse(code).ok_or_else(|| malformed(&format!("currency {}", wire::shortened(code)))),
    }
}

fn closed(about: &OrderRef, answer: &Answer) -> Result<Observation, ChannelError> {
    if answer.out_trade_no.is_some() {
        same("order", answer.out_trade_no.as_deref(), &about.attempt.bare())?;
    }
    if about.method != Method::AlipayBarcode {
        return Ok(Observation::Closed);
    }
    if answer.retry_flag.as_deref() == Some("Y") {
        return Ok(Observation::Unknown { detail: "the reversal has to be asked for again".to_owned() });
    }
    Ok(match answer.action.as_deref().unwrap_or("") {
        "close" | "refund" => Observation::Closed,
        // A number that Alipay never saw is reversed with success all the same.
        "" => Observation::NotFound,
        other => Observation::Unknown { detail: format!("action {}", wire::shortened(other)) },
    })
}

/// `refund_fee` is the sum of all refunds of the trade; whether this one moved money is told by `fund_change` alone.
fn refunded(refund: &RefundOrder, answer: &Answer) -> Result<Observation, ChannelError> {
    same("order", answer.out_trade_no.as_deref(), &refund.about.order.attempt.bare())?;
    match answer.fund_change.as_deref() {
        Some("Y") => {
            let sum = answer.refund_fee.as_deref().and_then(|text| wire::parse_yuan(text, Currency::CNY));
            let sum = sum.ok_or_else(|| malformed("a refund without a sum"))?;
            if (refund.amount.minor()..=refund.total.minor()).contains(&sum.minor()) {
                Ok(Observation::RefundSucceeded { channel_refund_id: None, amount: refund.amount })
            } else {
                Ok(Observation::Unknown { detail: format!("a refund of {}, and the sum is {sum}", refund.amount) })
            }
        }
        // A repetition of what is done, or not done yet: the query tells which.
        Some("N") | None => Ok(Observation::RefundProcessing { channel_refund_id: None }),
        Some(other) => Ok(Observation::Unknown { detail: format!("fund_change {}", wire::shortened(other)) }),
    }
}

fn refund_found(about: &RefundRef, answer: &Answer, now: Timestamp) -> Result<Observation, ChannelError> {
    match answer.refund_status.as_deref() {
        Some("REFUND_SUCCESS") => {
            same("order", answer.out_trade_no.as_deref(), &about.order.attempt.bare())?;
            same("refund", answer.out_request_no.as_deref(), &about.refund.bare())?;
            let amount = answer.refund_amount.as_deref().and_then(|text| wire::parse_yuan(text, Currency::CNY));
            let amount = amount.ok_or_else(|| malformed("a refund without an amount"))?;
            Ok(Observation::RefundSucceeded { channel_refund_id: None, amount })
        }
        // Not received, not done, or failed. Sending it again under the same number is harmless and finds out.
        None | Some("") if now.since(about.created_at) >= REFUND_SETTLES => Ok(Observation::NotFound),
        None | Some("") => Ok(Observation::Unknown { detail: "asked too early about the refund".to_owned() }),
        Some(other) => Ok(Observation::Unknown { detail: format!("refund_status {}", wire::shortened(other)) }),
    }
}

fn waiting(order: &Order, answer: &Answer) -> Result<Observation, ChannelError> {
    match order {
        Order::Create(create) => {
            same("order", answer.out_trade_no.as_deref(), &create.attempt.bare())?;
            Ok(Observation::NotPaid)
        }
        Order::Query(_) | Order::Close(_) | Order::Refund(_) | Order::QueryRefund(_) | Order::RedirectRefund(_) => {
            Ok(Observation::Unknown { detail: answer.detail() })
        }
    }
}

/// What a genuine refusal means for what was asked.
fn refused(order: &Order, answer: &Answer) -> Result<Observation, ChannelError> {
    let code = answer.reason();
    let unknown = || Observation::Unknown { detail: answer.detail() };
    let refused = || Observation::Refused { code: wire::shortened(code), detail: answer.detail() };
    let meaning = errors::meaning(code);
    // Faults of keys, certificates and permissions are told outside of the business codes, and no repetition mends them.
    let by_class = || ["20001", NOT_PERMITTED].contains(&answer.code.as_str());
    let barred = |bar| Observation::Barred { code: wire::shortened(code), detail: answer.detail(), bar };
    if answer.code != BUSINESS && meaning.map_or_else(by_class, |meaning| meaning.concerns == Concerns::Merchant) {
        return match order {
            Order::Create(_) if answer.code == NOT_PERMITTED => Ok(barred(Bar::Product)),
            Order::Create(_) => Ok(barred(Bar::Account)),
            Order::Query(_) | Order::Close(_) | Order::Refund(_) | Order::QueryRefund(_) | Order::RedirectRefund(_) => {
                Err(ChannelError::Credentials { detail: answer.detail() })
            }
        };
    }
    // What nobody described is asked about before anything is concluded.
    let advice = meaning.map_or(Advice::Ask, |meaning| meaning.advice);
    let missing = code == errors::TRADE_NOT_EXIST;
    Ok(match order {
        // A question moves nothing, so its refusal says nothing about the order.
        Order::Query(_) | Order::QueryRefund(_) => {
            if missing {
                Observation::NotFound
            } else {
                unknown()
            }
        }
        Order::Close(_) if missing => Observation::NotFound,
        Order::Create(_) => match advice {
            Advice::Ask | Advice::Repeat => unknown(),
            Advice::Stop if meaning.is_some_and(|meaning| meaning.concerns == Concerns::Customer) => {
                Observation::Declined { detail: answer.detail() }
            }
            Advice::Stop if meaning.is_some_and(|meaning| meaning.concerns == Concerns::Merchant) => {
                barred(Bar::Product)
            }
            Advice::Stop => refused(),
        },
        Order::Close(_) | Order::Refund(_) => match advice {
            Advice::Repeat => unknown(),
            // Refused is asked about too: an earlier sending may have been carried out.
            Advice::Ask | Advice::Stop => refused(),
        },
        Order::RedirectRefund(_) => return Err(ChannelError::Unsupported),
    })
}

/// An old answer about something else is as genuine as the right one.
fn same(what: &str, found: Option<&str>, expected: &str) -> Result<(), ChannelError> {
    match found {
        Some(found) if found == expected => Ok(()),
        Some(found) => {
            let detail = format!("the answer is about another {what}, {}", wire::shortened(found));
            Err(ChannelError::NotGenuine { detail })
        }
        None => Err(malformed(&format!("the answer does not say which {what} it is about"))),
    }
}

fn malformed(detail: &str) -> ChannelError {
    ChannelError::Malformed { detail: detail.to_owned() }
}
