//! What the provider answers, and what it means in our words.

use serde::{Deserialize, Serialize};

use super::{TestWallet, request::AmountBody, sign};
use crate::channels::text::shortened;
use crate::channels::{ChannelError, Observation, Order, PaidFacts};
use crate::domain::method::{Flow, Method};
use crate::domain::money::{Currency, Money};
use crate::domain::payment::NextAction;
use crate::domain::time::Timestamp;
use crate::env::transport::OutgoingResponse;

/// An order as the provider tells it, in answers and in notifications. Fields that we do not know are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderView {
    pub mch_id: String,
    pub app_id: String,
    pub out_trade_no: String,
    /// `NOTPAY`, `USERPAYING`, `SUCCESS`, `CLOSED`, `PAYERROR`.
    pub trade_state: String,
    pub amount: AmountBody,
    /// Where the payer's phone goes: the content of the code, or the page to open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pay_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_time: Option<String>,
}

/// A refund as the provider tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundView {
    pub mch_id: String,
    pub out_trade_no: String,
    pub out_refund_no: String,
    pub refund_id: String,
    /// `PROCESSING`, `SUCCESS`, `ABNORMAL`.
    pub status: String,
    pub amount: AmountBody,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    pub code: String,
    pub message: String,
}

pub(super) fn read(
    wallet: &TestWallet,
    order: &Order,
    response: &OutgoingResponse,
    now: Timestamp,
) -> Result<Observation, ChannelError> {
    // A cut body cannot verify, and something in between (a proxy, a crash) answers 5xx without a signature: both
    // say nothing about the order.
    if response.truncated || (response.status >= 500 && response.header(sign::SIGNATURE_HEADER).is_none()) {
        return Ok(Observation::no_words(response.status));
    }
    sign::verify_provider(wallet.provider_key(), &response.headers, &response.body, now)
        .map_err(|bad| ChannelError::NotGenuine { detail: format!("HTTP {}: {bad}", response.status) })?;
    match response.status {
        200 => match order {
            Order::Create(create) => {
                let view: OrderView = parse(&response.body)?;
                same("order", &view.out_trade_no, &create.attempt.bare())?;
                created(wallet, create.method, &view)
            }
            Order::Query(about) | Order::Close(about) => {
                let view: OrderView = parse(&response.body)?;
                same("order", &view.out_trade_no, &about.attempt.bare())?;
                observe_order(wallet, &view)
            }
            Order::Refund(refund) => {
                let view: RefundView = parse(&response.body)?;
                same("refund", &view.out_refund_no, &refund.about.refund.bare())?;
                observe_refund(wallet, &view)
            }
            Order::QueryRefund(about) => {
                let view: RefundView = parse(&response.body)?;
                same("refund", &view.out_refund_no, &about.refund.bare())?;
                observe_refund(wallet, &view)
            }
            Order::RedirectRefund(_) => Err(ChannelError::Unsupported),
        },
        status => refused(order, status, &parse(&response.body)?),
    }
}

/// What a genuine refusal means for what was asked.
fn refused(order: &Order, status: u16, error: &ErrorBody) -> Result<Observation, ChannelError> {
    let ErrorBody { code, message } = error;
    let unknown = || Observation::Unknown { detail: format!("{code}: {message}") };
    let refused = || Observation::Refused { code: code.clone(), detail: message.clone() };
    Ok(match code.as_str() {
        "SIGN_ERROR" | "MCH_NOT_EXIST" | "APPID_MCHID_NOT_MATCH" => {
            return Err(ChannelError::Credentials { detail: format!("{code}: {message}") });
        }
        "ORDER_NOT_EXIST" => match order {
            Order::Query(_) | Order::Close(_) => Observation::NotFound,
            Order::Create(_) | Order::Refund(_) | Order::QueryRefund(_) | Order::RedirectRefund(_) => refused(),
        },
        "REFUND_NOT_EXIST" => match order {
            Order::QueryRefund(_) => Observation::NotFound,
            Order::Create(_) | Order::Query(_) | Order::Close(_) | Order::Refund(_) | Order::RedirectRefund(_) => {
                unknown()
            }
        },
        "ORDERPAID" | "ORDERCLOSED" => match order {
            // The number is known: creating it once more must not look as if it had never existed. A query tells.
            Order::Create(_) => unknown(),
            Order::Query(_) | Order::Close(_) | Order::Refund(_) | Order::QueryRefund(_) | Order::RedirectRefund(_) => {
                refused()
            }
        },
        "PARAM_ERROR" | "OUT_TRADE_NO_USED" | "OUT_REFUND_NO_USED" | "NOT_ENOUGH" | "USERPAYING" => match order {
            Order::Create(_) | Order::Close(_) | Order::Refund(_) | Order::RedirectRefund(_) => refused(),
            // A question moves nothing, so its refusal says nothing about the order.
            Order::Query(_) | Order::QueryRefund(_) => unknown(),
        },
        // FREQUENCY_LIMITED, SYSTEM_ERROR, and every code that we do not know.
        _ => Observation::Unknown { detail: format!("{code}: {message} (HTTP {status})") },
    })
}

fn created(wallet: &TestWallet, method: Method, view: &OrderView) -> Result<Observation, ChannelError> {
    let seen = observe_order(wallet, view)?;
    if seen != Observation::NotPaid {
        return Ok(seen);
    }
    let url = view.pay_url.clone().ok_or_else(|| malformed("an accepted order without an address to pay at"))?;
    let next_action = match method.flow() {
        Flow::QrCode => NextAction::QrCode { data: url },
        Flow::Redirect => NextAction::Redirect { url },
        Flow::App | Flow::JsApi | Flow::BarCode => return Err(ChannelError::Unsupported),
    };
    Ok(Observation::Accepted { next_action })
}

/// The meaning of an order's state; also what a notification about an order says.
pub(super) fn observe_order(wallet: &TestWallet, view: &OrderView) -> Result<Observation, ChannelError> {
    let identity = wallet.check_identity(&view.mch_id, &view.app_id);
    if view.trade_state == "SUCCESS" {
        let transaction_id = view.transaction_id.clone().filter(|id| !id.is_empty());
        let paid_at = view.success_time.as_deref().and_then(Timestamp::parse_rfc3339);
        return Ok(Observation::Paid(PaidFacts {
            amount: money(&view.amount)?,
            transaction_id: transaction_id.ok_or_else(|| malformed("a payment without a transaction number"))?,
            paid_at: paid_at.ok_or_else(|| malformed("a payment without a time"))?,
            identity,
        }));
    }
    // Money under a foreign name is worth a person's look; anything else under a foreign name is not about us.
    identity.map_err(|detail| ChannelError::NotGenuine { detail })?;
    Ok(match view.trade_state.as_str() {
        "NOTPAY" | "USERPAYING" => Observation::NotPaid,
        "CLOSED" => Observation::Closed,
        "PAYERROR" => Observation::Declined { detail: "PAYERROR".to_owned() },
        other => Observation::Unknown { detail: format!("trade_state {}", shortened(other)) },
    })
}

/// The meaning of a refund's state; also what a notification about a refund says.
pub(super) fn observe_refund(wallet: &TestWallet, view: &RefundView) -> Result<Observation, ChannelError> {
    if view.mch_id != wallet.mch_id() {
        return Err(ChannelError::NotGenuine { detail: format!("mch_id {} is not ours", shortened(&view.mch_id)) });
    }
    let channel_refund_id = Some(view.refund_id.clone()).filter(|id| !id.is_empty());
    Ok(match view.status.as_str() {
        "PROCESSING" => Observation::RefundProcessing { channel_refund_id },
        "SUCCESS" => Observation::RefundSucceeded { channel_refund_id, amount: money(&view.amount)? },
        "ABNORMAL" => Observation::RefundFailed { detail: "ABNORMAL".to_owned() },
        other => Observation::Unknown { detail: format!("refund status {}", shortened(other)) },
    })
}

/// Reads a body of UTF-8 JSON; serde refuses doubled keys of known fields and everything behind the object, and would let
/// other bytes pass in fields that nobody reads.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ChannelError> {
    let text = std::str::from_utf8(body).map_err(|error| malformed(&error.to_string()))?;
    serde_json::from_str(text).map_err(|error| malformed(&error.to_string()))
}

fn money(amount: &AmountBody) -> Result<Money, ChannelError> {
    let currency = Currency::parse(&amount.currency)
        .ok_or_else(|| malformed(&format!("currency {}", shortened(&amount.currency))))?;
    Ok(Money::new(amount.total, currency))
}

/// An old answer about something else is as genuine as the right one.
fn same(what: &str, found: &str, expected: &str) -> Result<(), ChannelError> {
    if found == expected {
        return Ok(());
    }
    Err(ChannelError::NotGenuine { detail: format!("the answer is about another {what}, {}", shortened(found)) })
}

fn malformed(detail: &str) -> ChannelError {
    ChannelError::Malformed { detail: detail.to_owned() }
}
