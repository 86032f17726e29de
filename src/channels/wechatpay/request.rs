//! What the adapter sends: bodies, addresses and headers of the calls, within the provider's limits.
//!
//! The same order is always put into the same words: the provider takes a number again only with an unchanged request.

use data_encoding::BASE64;
use serde::Serialize;

use super::WechatPay;
use super::credentials::{AnswersBy, Way};
use super::introduction::is_openid;
use super::sign;
use crate::channels::text::encoded;
use crate::channels::{ChannelError, CreateOrder, Order, OrderRef, RefundOrder, RefundRedirect, RefundTarget, Sealing};
use crate::domain::method::{Flow, Method};
use crate::domain::money::{Currency, Money};
use crate::domain::time::Timestamp;
use crate::env::transport::{Method as Verb, OutgoingRequest};

/// Characters of `description`. Source: WeChat Pay API v3, "Native下单".
const DESCRIPTION_MAX_CHARS: usize = 127;
/// Characters of a refund's `reason`. Source: the same, "申请退款".
const REASON_MAX_CHARS: usize = 80;
/// Bytes of `notify_url`. Source: the same, "Native下单".
const NOTIFY_URL_MAX_BYTES: usize = 255;

#[derive(Serialize)]
struct OrderBody<'a> {
    appid: &'a str,
    mchid: &'a str,
    description: String,
    out_trade_no: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_expire: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notify_url: Option<&'a str>,
    amount: AmountBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<PayerBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scene_info: Option<SceneBody<'a>>,
}

#[derive(Serialize)]
struct AmountBody {
    total: u64,
    currency: &'static str,
}

#[derive(Serialize)]
struct PayerBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    openid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_code: Option<&'a str>,
}

#[derive(Serialize)]
struct SceneBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    payer_client_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    h5_info: Option<H5Body>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store_info: Option<StoreBody<'a>>,
}

#[derive(Serialize)]
struct H5Body {
    r#type: &'static str,
}

#[derive(Serialize)]
struct StoreBody<'a> {
    /// A number that the merchant gives its own stores.
    out_id: &'a str,
}

#[derive(Serialize)]
struct CloseBody<'a> {
    mchid: &'a str,
}

#[derive(Serialize)]
struct ReverseBody<'a> {
    appid: &'a str,
    mchid: &'a str,
}

#[derive(Serialize)]
struct RefundBody<'a> {
    out_trade_no: String,
    out_refund_no: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    notify_url: &'a str,
    amount: RefundAmountBody,
}

#[derive(Serialize)]
struct RefundAmountBody {
    refund: u64,
    /// The whole amount of the order.
    total: u64,
    currency: &'static str,
}

#[derive(Serialize)]
struct RedirectBody<'a> {
    out_refund_no: String,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bank_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bank_account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    real_name: Option<String>,
}

/// Builds and signs the call for an order.
pub(super) fn build(wechat: &WechatPay, order: &Order, sealing: &Sealing) -> Result<OutgoingRequest, ChannelError> {
    let mchid = wechat.mch_id.as_str();
    let (verb, path, body) = match order {
        Order::Create(create) => {
            let (path, body) = create_body(wechat, create)?;
            (Verb::Post, format!("/v3/pay/transactions/{path}"), json(&body))
        }
        Order::Query(about) => {
            let path = match &about.transaction_id {
                Some(id) => format!("/v3/pay/transactions/id/{}", encoded(id)),
                None => order_path(about),
            };
            (Verb::Get, format!("{path}?mchid={mchid}"), Vec::new())
        }
        Order::Close(about) if about.method.flow() == Flow::BarCode => {
            let body = ReverseBody { appid: app_id(wechat, about.method)?, mchid };
            (Verb::Post, format!("{}/reverse", order_path(about)), json(&body))
        }
        Order::Close(about) => (Verb::Post, format!("{}/close", order_path(about)), json(&CloseBody { mchid })),
        Order::Refund(refund) => (Verb::Post, "/v3/refund/domestic/refunds".to_owned(), json(&refund_body(refund)?)),
        Order::QueryRefund(about) => {
            (Verb::Get, format!("/v3/refund/domestic/refunds/{}", about.refund.bare()), Vec::new())
        }
        Order::RedirectRefund(redirect) => return redirect_refund(wechat, redirect, sealing),
    };
    Ok(signed(wechat, verb, &path, body, sealing))
}

fn order_path(order: &OrderRef) -> String {
    format!("/v3/pay/transactions/out-trade-no/{}", order.attempt.bare())
}

fn app_id(wechat: &WechatPay, method: Method) -> Result<&str, ChannelError> {
    wechat.app_ids.for_method(method).ok_or(ChannelError::Unsupported)
}

/// The last part of the path, and the body.
fn create_body<'a>(
    wechat: &'a WechatPay,
    create: &'a CreateOrder,
) -> Result<(&'static str, OrderBody<'a>), ChannelError> {
    let appid = app_id(wechat, create.method)?;
    let out_trade_no = create.attempt.bare();
    let mut body = OrderBody {
        appid,
        mchid: &wechat.mch_id,
        description: plain_text(&create.description, DESCRIPTION_MAX_CHARS).unwrap_or_else(|| out_trade_no.clone()),
        out_trade_no,
        time_expire: Some(beijing(create.expires_at)),
        notify_url: Some(notify_url(&create.notify_url)?),
        amount: AmountBody { total: fen(create.amount)?, currency: Currency::CNY.code() },
        payer: None,
        scene_info: None,
    };
    let path = match Way::of(create.method).ok_or(ChannelError::Unsupported)? {
        Way::Native => "native",
        Way::App => "app",
        Way::Jsapi | Way::Mini => {
            let openid = create.openid.as_deref().filter(|id| is_openid(id));
            let openid = openid.ok_or_else(|| unfit("the customer's openid for this app is needed"))?;
            body.payer = Some(PayerBody { openid: Some(openid), auth_code: None });
            "jsapi"
        }
        Way::H5 => {
            let ip = create.customer_ip.ok_or_else(|| unfit("the customer's IP address is needed"))?;
            body.scene_info = Some(SceneBody {
                payer_client_ip: Some(ip.to_canonical().to_string()),
                h5_info: Some(H5Body { r#type: "Wap" }),
                store_info: None,
            });
            "h5"
        }
        Way::Code => {
            let code = create.auth_code.as_deref().filter(|code| Method::of_shown_code(code) == Some(create.method));
            let code = code.ok_or_else(|| unfit("the 18 digits of the customer's payment code are needed"))?;
            body.payer = Some(PayerBody { openid: None, auth_code: Some(code) });
            // Which of the merchant's own stores; the merchant number stands for the only one.
            let store_info = Some(StoreBody { out_id: &wechat.mch_id });
            body.scene_info = Some(SceneBody { payer_client_ip: None, h5_info: None, store_info });
            // The answer comes at once or is asked for: this call knows neither notifications nor an end.
            body.notify_url = None;
            body.time_expire = None;
            "codepay"
        }
    };
    Ok((path, body))
}

fn refund_body(refund: &RefundOrder) -> Result<RefundBody<'_>, ChannelError> {
    let (part, total) = (fen(refund.amount)?, fen(refund.total)?);
    if part > total {
        return Err(unfit("a refund cannot be larger than its order"));
    }
    Ok(RefundBody {
        // Always our own number: it is known from the beginning, and a repeated refund must say the same.
        out_trade_no: refund.about.order.attempt.bare(),
        out_refund_no: refund.about.refund.bare(),
        reason: refund.reason.as_deref().and_then(|reason| plain_text(reason, REASON_MAX_CHARS)),
        notify_url: notify_url(&refund.notify_url)?,
        amount: RefundAmountBody { refund: part, total, currency: Currency::CNY.code() },
    })
}

fn redirect_refund(
    wechat: &WechatPay,
    redirect: &RefundRedirect,
    sealing: &Sealing,
) -> Result<OutgoingRequest, ChannelError> {
    let refund_id = redirect.about.channel_refund_id.as_deref();
    let refund_id = refund_id.ok_or_else(|| unfit("the provider's number of the refund is not known yet"))?;
    let path = format!("/v3/refund/domestic/refunds/{}/apply-abnormal-refund", encoded(refund_id));
    let out_refund_no = redirect.about.refund.bare();
    let (body, sealed_with) = match &redirect.to {
        RefundTarget::Merchant => {
            let r#type = "MERCHANT_BANK_CARD";
            (RedirectBody { out_refund_no, r#type, bank_type: None, bank_account: None, real_name: None }, None)
        }
        RefundTarget::CustomerCard { bank, card_no, holder } => {
            let anchor = wechat.keys.anchors.to_encrypt(&wechat.answers, sealing.now);
            let (id, key) = anchor.ok_or_else(|| super::bad("no key of the provider to encrypt with"))?;
            let seal = |secret: &crate::crypto::Secret| {
                let sealed = key.encrypt_oaep_sha1(secret.expose()).map(|sealed| BASE64.encode(&sealed));
                sealed.ok_or_else(|| unfit("card number or name is too long"))
            };
            let body = RedirectBody {
                out_refund_no,
                r#type: "USER_BANK_CARD",
                bank_type: Some(bank),
                bank_account: Some(seal(card_no)?),
                real_name: Some(seal(holder)?),
            };
            (body, Some(id.to_owned()))
        }
    };
    let mut request = signed(wechat, Verb::Post, &path, json(&body), sealing);
    if let Some(id) = sealed_with
        && !request.headers.iter().any(|(name, _)| name == sign::SERIAL_HEADER)
    {
        request.headers.push((sign::SERIAL_HEADER.to_owned(), id));
    }
    Ok(request)
}

/// A call to `path`, which begins behind the base address and is in its encoded form.
pub(super) fn signed(wechat: &WechatPay, verb: Verb, path: &str, body: Vec<u8>, sealing: &Sealing) -> OutgoingRequest {
    signed_url(wechat, verb, format!("{}{path}", wechat.base_url), body, sealing)
}

/// A call to a whole address. What is signed is its path and query exactly as they are sent.
pub(super) fn signed_url(
    wechat: &WechatPay,
    verb: Verb,
    url: String,
    body: Vec<u8>,
    sealing: &Sealing,
) -> OutgoingRequest {
    let timestamp = sealing.now.as_seconds().to_string();
    let nonce = sign::nonce(sealing);
    let target = target_of(&url);
    let authorization = sign::authorization(&wechat.merchant(), verb.as_str(), target, &timestamp, &nonce, &body);
    let mut headers = vec![
        ("authorization".to_owned(), authorization),
        ("accept".to_owned(), "application/json".to_owned()),
        ("user-agent".to_owned(), concat!("coffer/", env!("CARGO_PKG_VERSION")).to_owned()),
    ];
    if !body.is_empty() {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    // Tells the provider which of its keys to answer with. Without it, it chooses a platform certificate.
    if let AnswersBy::PublicKey { id } = &wechat.answers {
        headers.push((sign::SERIAL_HEADER.to_owned(), id.clone()));
    }
    OutgoingRequest { method: verb, url, headers, body, identity: None }
}

/// Path and query of an absolute address, unchanged.
fn target_of(url: &str) -> &str {
    let behind = url.find("://").map_or(0, |at| at + 3);
    url[behind..].find('/').map_or("/", |at| &url[behind + at..])
}

/// `None` when nothing printable is left. Source: WeChat Pay API v3, "基本规则": UTF-8 of at most three bytes, so no
/// emoji. Backticks stand between the values of statements.
pub(super) fn plain_text(text: &str, max_chars: usize) -> Option<String> {
    let fits = |c: &char| !c.is_control() && *c != '`' && (*c as u32) <= 0xFFFF;
    let plain: String = text.trim().chars().filter(fits).take(max_chars).collect();
    let plain = plain.trim();
    (!plain.is_empty()).then(|| plain.to_owned())
}

fn notify_url(url: &str) -> Result<&str, ChannelError> {
    if url.len() > NOTIFY_URL_MAX_BYTES || url.contains(['?', '#']) {
        return Err(unfit("the address for notifications must be short and have no query"));
    }
    Ok(url)
}

pub(super) fn fen(money: Money) -> Result<u64, ChannelError> {
    if money.currency() != Currency::CNY {
        return Err(unfit("only CNY can be paid by WeChat Pay"));
    }
    if money.minor() == 0 {
        return Err(unfit("the amount must be at least 0.01"));
    }
    Ok(money.minor())
}

/// RFC 3339 in Beijing time, to the second. Source: WeChat Pay API v3, "基本规则".
fn beijing(time: Timestamp) -> String {
    time.in_zone("Asia/Shanghai").strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("plain structs of text and numbers always serialise")
}

pub(super) fn unfit(detail: &str) -> ChannelError {
    ChannelError::Unfit { detail: detail.to_owned() }
}
