//! What the provider answers, and what it means in our words.
//!
//! Answers of the kind "done" are signed, and one that does not verify is an unknown outcome. Errors are not signed; they
//! are believed only for what they refuse, never for money that moved.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::credentials::Way;
use super::errors;
use super::{WechatPay, sign};
use crate::channels::errors::{Advice, Concerns, find};
use crate::channels::text::{encoded, shortened, shortened_to};
use crate::channels::{Bar, ChannelError, CreateOrder, Observation, Order, OrderRef, PaidFacts, RefundRef};
use crate::domain::ids::AttemptId;
use crate::domain::method::Flow;
use crate::domain::money::{Currency, Money};
use crate::domain::payment::NextAction;
use crate::domain::time::Timestamp;
use crate::env::transport::OutgoingResponse;

/// A payment as the provider tells it, in answers and in notifications. Fields that we do not know are ignored.
#[derive(Deserialize)]
pub(super) struct Transaction {
    pub out_trade_no: String,
    #[serde(default)]
    mchid: Option<String>,
    #[serde(default)]
    appid: Option<String>,
    trade_state: String,
    #[serde(default)]
    trade_state_desc: Option<String>,
    #[serde(default)]
    transaction_id: Option<String>,
    /// RFC 3339, with or without milliseconds.
    #[serde(default)]
    success_time: Option<String>,
    #[serde(default)]
    amount: Option<Amount>,
}

#[derive(Deserialize)]
struct Amount {
    /// Fen, the whole order; `payer_total` is less where a coupon paid a part.
    total: u64,
    #[serde(default)]
    currency: Option<String>,
}

impl Transaction {
    /// The same from another interface: our number, `mchid`, `appid` and state; the state's words, the provider's number and
    /// the time; fen and currency.
    pub fn told(
        [out_trade_no, mchid, appid, trade_state]: [&str; 4],
        [trade_state_desc, transaction_id, success_time]: [Option<String>; 3],
        amount: Option<(u64, Option<String>)>,
    ) -> Self {
        Self {
            out_trade_no: out_trade_no.to_owned(),
            mchid: Some(mchid.to_owned()),
            appid: Some(appid.to_owned()),
            trade_state: trade_state.to_owned(),
            trade_state_desc,
            transaction_id,
            success_time,
            amount: amount.map(|(total, currency)| Amount { total, currency }),
        }
    }
}

/// A refund as the provider tells it. Answers call its state `status`, notifications `refund_status`.
#[derive(Deserialize)]
pub(super) struct Refund {
    pub out_refund_no: String,
    pub out_trade_no: String,
    refund_id: String,
    #[serde(default)]
    pub mchid: Option<String>,
    #[serde(alias = "refund_status")]
    pub status: String,
    /// Where the money arrived, in words.
    #[serde(default)]
    user_received_account: Option<String>,
    amount: RefundAmount,
}

#[derive(Deserialize)]
struct RefundAmount {
    /// Fen, what this refund gives back in all.
    refund: u64,
    #[serde(default)]
    currency: Option<String>,
}

/// What an order call answers: one of these, by the way of paying.
#[derive(Deserialize)]
struct Prepared {
    #[serde(default)]
    code_url: Option<String>,
    #[serde(default)]
    prepay_id: Option<String>,
    #[serde(default)]
    h5_url: Option<String>,
}

#[derive(Deserialize)]
struct Reversed {
    #[serde(default)]
    out_trade_no: Option<String>,
}

/// A refusal. `detail` has another shape at every call, so only its most useful part is looked for.
#[derive(Deserialize)]
pub(super) struct Refusal {
    pub code: String,
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    detail: serde_json::Value,
}

impl Refusal {
    /// The body of an answer that is not "done", if it is the provider's.
    pub fn read(response: &OutgoingResponse) -> Option<Refusal> {
        let mut refusal: Refusal = serde_json::from_slice(&response.body).ok()?;
        refusal.code = shortened(&refusal.code);
        Some(refusal)
    }

    /// For the merchant and for the provider's support: what was said, which field, and the number of the call.
    pub fn sentence(&self, response: &OutgoingResponse) -> String {
        let mut text = shortened_to(&self.message, 256);
        if let Some(field) = self.detail.get("field").and_then(serde_json::Value::as_str) {
            text += &format!(" ({})", shortened(field));
        }
        if let Some(id) = response.header("request-id") {
            text += &format!(" [Request-ID {}]", shortened(id));
        }
        text
    }

    /// The message or the number at the end of the request's id says that the order is paid, or was ordered with other
    /// parameters before: both mean that there is an order under this number. The code alone does not tell.
    fn tells_of_an_order(&self, response: &OutgoingResponse) -> bool {
        const NUMBERS: [&str; 3] = ["268449538", "268498689", "268498688"];
        let number = response.header("request-id").and_then(|id| id.rsplit('-').next());
        number.is_some_and(|number| NUMBERS.contains(&number))
            || ["重入", "已支付"].iter().any(|word| self.message.contains(word))
    }
}

pub(super) fn read(
    wechat: &WechatPay,
    order: &Order,
    response: &OutgoingResponse,
    now: Timestamp,
) -> Result<Observation, ChannelError> {
    if response.truncated {
        return Ok(Observation::no_words(response.status));
    }
    if !(200..300).contains(&response.status) {
        return refused(order, response);
    }
    wechat.verify(&response.headers, &response.body, now)?;
    match order {
        Order::Create(create) => created(wechat, create, response, now),
        Order::Query(about) => {
            let seen: Transaction = parse(&response.body)?;
            same("order", &seen.out_trade_no, &about.attempt.bare())?;
            observe_transaction(wechat, &seen)
        }
        Order::Close(about) => closed(about, response),
        Order::Refund(refund) => refunded(wechat, &refund.about, response),
        Order::QueryRefund(about) => refunded(wechat, about, response),
        Order::RedirectRefund(redirect) => refunded(wechat, &redirect.about, response),
    }
}

fn created(
    wechat: &WechatPay,
    create: &CreateOrder,
    response: &OutgoingResponse,
    now: Timestamp,
) -> Result<Observation, ChannelError> {
    let app_id = wechat.app_ids.for_method(create.method).ok_or(ChannelError::Unsupported)?;
    let way = Way::of(create.method).ok_or(ChannelError::Unsupported)?;
    let prepared = || parse::<Prepared>(&response.body);
    let text = |value: Option<String>| {
        let value = value.filter(|v| !v.is_empty() && v.len() <= 1024 && v.bytes().all(|b| b.is_ascii_graphic()));
        value.ok_or_else(|| malformed("an accepted order without its code"))
    };
    let next_action = match way {
        Way::Native => NextAction::QrCode { data: text(prepared()?.code_url)? },
        Way::H5 => {
            let url = text(prepared()?.h5_url)?;
            let join = if url.contains('?') { '&' } else { '?' };
            // Where WeChat sends the browser afterwards. Source: WeChat Pay API v3, "H5调起支付".
            NextAction::Redirect { url: format!("{url}{join}redirect_url={}", encoded(&create.return_url)) }
        }
        Way::Jsapi => {
            let mut params = page_params(wechat, app_id, &text(prepared()?.prepay_id)?, now);
            params.insert("appId".to_owned(), app_id.to_owned());
            NextAction::JsApiParams { params }
        }
        Way::Mini => {
            NextAction::JsApiParams { params: page_params(wechat, app_id, &text(prepared()?.prepay_id)?, now) }
        }
        Way::App => NextAction::AppParams { params: app_params(wechat, app_id, &text(prepared()?.prepay_id)?, now) },
        Way::Code => return charged(wechat, create.attempt, response),
    };
    Ok(Observation::Accepted { next_action })
}

/// What a page inside WeChat or a mini program hands to the wallet. Source: WeChat Pay API v3, "JSAPI调起支付".
fn page_params(wechat: &WechatPay, app_id: &str, prepay_id: &str, now: Timestamp) -> BTreeMap<String, String> {
    let timestamp = now.as_seconds().to_string();
    let nonce = sign::pay_nonce(prepay_id, &timestamp);
    let package = format!("prepay_id={prepay_id}");
    let signature = sign::pay_sign(&wechat.keys.signer, app_id, &timestamp, &nonce, &package);
    let params = [
        ("timeStamp", timestamp),
        ("nonceStr", nonce),
        ("package", package),
        ("signType", "RSA".to_owned()),
        ("paySign", signature),
    ];
    params.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What the shop's app hands to the wallet. Source: WeChat Pay API v3, "APP调起支付".
fn app_params(wechat: &WechatPay, app_id: &str, prepay_id: &str, now: Timestamp) -> BTreeMap<String, String> {
    let timestamp = now.as_seconds().to_string();
    let nonce = sign::pay_nonce(prepay_id, &timestamp);
    let signature = sign::pay_sign(&wechat.keys.signer, app_id, &timestamp, &nonce, prepay_id);
    let params = [
        ("appid", app_id.to_owned()),
        ("partnerid", wechat.mch_id.clone()),
        ("prepayid", prepay_id.to_owned()),
        ("package", "Sign=WXPay".to_owned()),
        ("noncestr", nonce),
        ("timestamp", timestamp),
        ("sign", signature),
    ];
    params.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The answer to a charge by the customer's code: the payment, or that the customer still types a password.
fn charged(wechat: &WechatPay, attempt: AttemptId, response: &OutgoingResponse) -> Result<Observation, ChannelError> {
    if response.status == 202
        && let Some(refusal) = Refusal::read(response)
    {
        return Ok(match refusal.code.as_str() {
            "USERPAYING" => Observation::NotPaid,
            code => Observation::Unknown { detail: format!("{code}: {}", refusal.sentence(response)) },
        });
    }
    let seen: Transaction = parse(&response.body)?;
    same("order", &seen.out_trade_no, &attempt.bare())?;
    observe_transaction(wechat, &seen)
}

/// Closing answers with nothing, reversing with the number.
fn closed(about: &OrderRef, response: &OutgoingResponse) -> Result<Observation, ChannelError> {
    if about.method.flow() == Flow::BarCode {
        let reversed: Reversed = parse(&response.body)?;
        if let Some(number) = reversed.out_trade_no {
            same("order", &number, &about.attempt.bare())?;
        }
    }
    Ok(Observation::Closed)
}

fn refunded(wechat: &WechatPay, about: &RefundRef, response: &OutgoingResponse) -> Result<Observation, ChannelError> {
    let seen: Refund = parse(&response.body)?;
    same("refund", &seen.out_refund_no, &about.refund.bare())?;
    same("order", &seen.out_trade_no, &about.order.attempt.bare())?;
    observe_refund(wechat, &seen)
}

/// What a refusal means for what was asked.
fn refused(order: &Order, response: &OutgoingResponse) -> Result<Observation, ChannelError> {
    let status = response.status;
    let Some(refusal) = Refusal::read(response) else {
        return Ok(Observation::no_words(status));
    };
    let code = refusal.code.as_str();
    let sentence = refusal.sentence(response);
    let unknown = || Observation::Unknown { detail: format!("{code}: {sentence} (HTTP {status})") };
    let no = || Observation::Refused { code: code.to_owned(), detail: sentence.clone() };
    let barred = |bar| Observation::Barred { code: code.to_owned(), detail: format!("{code}: {sentence}"), bar };
    // The provider has spelled this one in three ways.
    let code_without_mark: String = code.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    match code_without_mark.as_str() {
        "SIGNERROR" | "MCHNOTEXISTS" if matches!(order, Order::Create(_)) => return Ok(barred(Bar::Account)),
        "SIGNERROR" => return Err(ChannelError::Credentials { detail: format!("{code}: {sentence}") }),
        "ORDERNOTEXIST" | "ORDERNOTEXISTS" => {
            return Ok(match order {
                Order::Query(_) | Order::Close(_) => Observation::NotFound,
                Order::Create(_) | Order::QueryRefund(_) => unknown(),
                Order::Refund(_) | Order::RedirectRefund(_) => no(),
            });
        }
        "RESOURCENOTEXISTS" => {
            return Ok(match order {
                Order::QueryRefund(_) => Observation::NotFound,
                Order::Refund(_) | Order::RedirectRefund(_) => no(),
                Order::Create(_) | Order::Query(_) | Order::Close(_) => unknown(),
            });
        }
        _ => {}
    }
    let there_is_one = refusal.tells_of_an_order(response);
    Ok(match order {
        // A question moves nothing, so its refusal says nothing about the order.
        Order::Query(_) | Order::QueryRefund(_) => unknown(),
        Order::Create(create) if code == "USERPAYING" && create.method.flow() == Flow::BarCode => Observation::NotPaid,
        // The number is known: it must not look as if nothing had been created. A query tells.
        Order::Create(_) if there_is_one => unknown(),
        Order::Close(_) if code == "ORDER_CLOSED" => Observation::Closed,
        Order::Close(_) if there_is_one => no(),
        // The merchant tops up, and the same number is sent again. Source: WeChat Pay API v3, "申请退款", NOT_ENOUGH.
        Order::Refund(_) if code == errors::NOT_ENOUGH => unknown(),
        Order::Create(_) | Order::Close(_) | Order::Refund(_) | Order::RedirectRefund(_) => {
            match find(errors::TABLE, code).map(|meaning| (meaning.advice, meaning.concerns)) {
                // Of a create it is the customer who has not enough.
                Some((Advice::Stop, Concerns::Merchant))
                    if matches!(order, Order::Create(_)) && code != errors::NOT_ENOUGH =>
                {
                    barred(Bar::Product)
                }
                Some((Advice::Stop, _)) => no(),
                Some((Advice::Ask | Advice::Repeat, _)) | None => unknown(),
            }
        }
    })
}

/// The meaning of a payment's state; also what a notification about it says.
pub(super) fn observe_transaction(wechat: &WechatPay, seen: &Transaction) -> Result<Observation, ChannelError> {
    let identity = check_identity(wechat, seen.mchid.as_deref(), seen.appid.as_deref());
    // A payment of which a part was given back is still a payment.
    if matches!(seen.trade_state.as_str(), "SUCCESS" | "REFUND") {
        let transaction_id = seen.transaction_id.clone().filter(|id| !id.is_empty() && id.len() <= 64);
        let paid_at = seen.success_time.as_deref().and_then(Timestamp::parse_rfc3339);
        let amount = seen.amount.as_ref().ok_or_else(|| malformed("a payment without an amount"))?;
        return Ok(Observation::Paid(PaidFacts {
            amount: money(amount.total, amount.currency.as_deref())?,
            transaction_id: transaction_id.ok_or_else(|| malformed("a payment without a transaction number"))?,
            paid_at: paid_at.ok_or_else(|| malformed("a payment without a time"))?,
            identity,
        }));
    }
    // Money under a foreign name is worth a person's look; anything else under a foreign name is not about us.
    identity.map_err(|detail| ChannelError::NotGenuine { detail })?;
    let described = |state: &str| match &seen.trade_state_desc {
        Some(text) if !text.is_empty() => format!("{state}: {}", shortened_to(text, 256)),
        _ => state.to_owned(),
    };
    Ok(match seen.trade_state.as_str() {
        "NOTPAY" | "USERPAYING" => Observation::NotPaid,
        // Reversed: what had been paid was given back, and it can no longer be paid.
        "CLOSED" | "REVOKED" => Observation::Closed,
        "PAYERROR" => Observation::Declined { detail: described("PAYERROR") },
        other => Observation::Unknown { detail: described(&format!("trade_state {}", shortened(other))) },
    })
}

/// The meaning of a refund's state; also what a notification about it says.
pub(super) fn observe_refund(wechat: &WechatPay, seen: &Refund) -> Result<Observation, ChannelError> {
    if let Some(mchid) = &seen.mchid
        && *mchid != wechat.mch_id
    {
        return Err(ChannelError::NotGenuine { detail: format!("mchid {} is not ours", shortened(mchid)) });
    }
    let channel_refund_id = Some(seen.refund_id.clone()).filter(|id| !id.is_empty() && id.len() <= 64);
    Ok(match seen.status.as_str() {
        "PROCESSING" => Observation::RefundProcessing { channel_refund_id },
        "SUCCESS" => {
            let amount = money(seen.amount.refund, seen.amount.currency.as_deref())?;
            if seen.user_received_account.as_deref().is_some_and(is_the_merchants) {
                Observation::RefundReturned { channel_refund_id, amount }
            } else {
                Observation::RefundSucceeded { channel_refund_id, amount }
            }
        }
        "CLOSED" => Observation::RefundFailed { detail: "CLOSED".to_owned() },
        // The money left the merchant and did not reach the customer: neither done nor failed, until somebody says where
        // it shall go. The provider then calls it PROCESSING again.
        "ABNORMAL" => Observation::RefundUndeliverable {
            channel_refund_id,
            detail: "ABNORMAL: the customer's card cannot take the money; another card has to be named".to_owned(),
        },
        other => Observation::Unknown { detail: format!("refund status {}", shortened(other)) },
    })
}

/// The words for the merchant's own accounts. Source: WeChat Pay API v3, "查询单笔退款", user_received_account, "退还商户".
fn is_the_merchants(account: &str) -> bool {
    ["商户基本账户", "商户结算银行账户"].iter().any(|own| account.contains(own))
}

/// `Err` names the number that is not this account's.
fn check_identity(wechat: &WechatPay, mchid: Option<&str>, appid: Option<&str>) -> Result<(), String> {
    if mchid != Some(wechat.mch_id.as_str()) {
        return Err(format!("mchid {} is not ours", shortened(mchid.unwrap_or("(none)"))));
    }
    if !appid.is_some_and(|appid| wechat.app_ids.contains(appid)) {
        return Err(format!("appid {} is not ours", shortened(appid.unwrap_or("(none)"))));
    }
    Ok(())
}

/// Reads a body of UTF-8 JSON; serde refuses doubled keys of known fields and everything behind the object, and would let
/// other bytes pass in fields that nobody reads.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ChannelError> {
    let text = std::str::from_utf8(body).map_err(|error| malformed(&error.to_string()))?;
    serde_json::from_str(text).map_err(|error| malformed(&error.to_string()))
}

/// An absent currency is CNY. Source: WeChat Pay API v3, "Native下单", amount.currency.
fn money(fen: u64, currency: Option<&str>) -> Result<Money, ChannelError> {
    let code = currency.unwrap_or(Currency::CNY.code());
    let currency = Currency::parse(code).ok_or_else(|| malformed(&format!("currency {}", shortened(code))))?;
    Ok(Money::new(fen, currency))
}

/// An old answer about something else is as genuine as the right one.
pub(super) fn same(what: &str, found: &str, expected: &str) -> Result<(), ChannelError> {
    if found == expected {
        return Ok(());
    }
    Err(ChannelError::NotGenuine { detail: format!("the answer is about another {what}, {}", shortened(found)) })
}

pub(super) fn malformed(detail: &str) -> ChannelError {
    ChannelError::Malformed { detail: detail.to_owned() }
}
