//! What the adapter sends: the calls to the gateway, and the signed orders that the customer's device carries there.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Alipay, sign, wire};
use crate::channels::{ChannelError, CreateOrder, Order, OrderRef, Prepared, RefundOrder, RefundRef};
use crate::domain::method::Method;
use crate::domain::money::{Currency, Money};
use crate::domain::payment::NextAction;
use crate::domain::time::Timestamp;
use crate::env::transport::{Method as Verb, OutgoingRequest};

pub const PRECREATE: &str = "alipay.trade.precreate";
pub const PAGE_PAY: &str = "alipay.trade.page.pay";
pub const WAP_PAY: &str = "alipay.trade.wap.pay";
pub const APP_PAY: &str = "alipay.trade.app.pay";
pub const CREATE: &str = "alipay.trade.create";
pub const PAY: &str = "alipay.trade.pay";
pub const QUERY: &str = "alipay.trade.query";
pub const CLOSE: &str = "alipay.trade.close";
pub const CANCEL: &str = "alipay.trade.cancel";
pub const REFUND: &str = "alipay.trade.refund";
pub const REFUND_QUERY: &str = "alipay.trade.fastpay.refund.query";

/// Under this name an app's parameters hold the order that its SDK takes as one text.
pub const ORDER_STRING: &str = "order_string";

/// Characters of `notify_url` and `return_url`. Source: Alipay, 公共请求参数.
const URL_MAX: usize = 256;
/// Characters of `subject` and `refund_reason`.
const TEXT_MAX: usize = 256;
/// Minutes of `timeout_express`: one to fifteen days.
const TIMEOUT_MAX_MINUTES: u64 = 15 * 24 * 60;

/// The content of a request, `biz_content`. What is not given is not written.
#[derive(Default, Serialize)]
struct Biz<'a> {
    out_trade_no: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_code: Option<&'static str>,
    /// The customer, to whom the trade belongs from the beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    buyer_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    buyer_open_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    op_app_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scene: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_express: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_expire: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quit_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out_request_no: Option<String>,
}

/// The ways to pay that Alipay offers here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Qr,
    Page,
    Wap,
    App,
    /// Mini programs: the trade is made here and paid there.
    Mini,
    BarCode,
}

fn way(method: Method) -> Result<Way, ChannelError> {
    match method {
        Method::AlipayQr => Ok(Way::Qr),
        Method::AlipayPage => Ok(Way::Page),
        Method::AlipayWap => Ok(Way::Wap),
        Method::AlipayApp => Ok(Way::App),
        Method::AlipayMini => Ok(Way::Mini),
        Method::AlipayBarcode => Ok(Way::BarCode),
        Method::WechatNative
        | Method::WechatJsapi
        | Method::WechatMini
        | Method::WechatH5
        | Method::WechatApp
        | Method::WechatBarcode
        | Method::UnionpayGateway
        | Method::UnionpayWap
        | Method::UnionpayQr
        | Method::UnionpayApp
        | Method::UnionpayBarcode => Err(ChannelError::Unsupported),
    }
}

/// The name of the call that an order comes down to.
pub(super) fn method_of(order: &Order) -> Result<&'static str, ChannelError> {
    Ok(match order {
        Order::Create(create) => match way(create.method)? {
            Way::Qr => PRECREATE,
            Way::Page => PAGE_PAY,
            Way::Wap => WAP_PAY,
            Way::App => APP_PAY,
            Way::Mini => CREATE,
            Way::BarCode => PAY,
        },
        Order::Query(_) => QUERY,
        // After a code that was shown both sides may be in doubt about the outcome, so that order is reversed: closed when it
        // is unpaid, given back when it is paid. Closing gives nothing back, and is for all others.
        Order::Close(about) if way(about.method)? == Way::BarCode => CANCEL,
        Order::Close(_) => CLOSE,
        Order::Refund(_) => REFUND,
        Order::QueryRefund(_) => REFUND_QUERY,
        // Alipay gives back where the money came from, and nowhere else.
        Order::RedirectRefund(_) => return Err(ChannelError::Unsupported),
    })
}

/// Builds and signs what an order needs.
pub(super) fn build(alipay: &Alipay, order: &Order, now: Timestamp) -> Result<Prepared, ChannelError> {
    let method = method_of(order)?;
    let create = match order {
        Order::Create(create) => create,
        Order::Query(about) | Order::Close(about) => {
            return Ok(Prepared::Call(call(alipay, method, about_order(about), now)));
        }
        Order::Refund(refund) => return Ok(Prepared::Call(call(alipay, method, refund_content(refund)?, now))),
        Order::QueryRefund(about) => return Ok(Prepared::Call(call(alipay, method, about_refund(about), now))),
        Order::RedirectRefund(_) => return Err(ChannelError::Unsupported),
    };
    let way = way(create.method)?;
    let mut params = common(alipay, method, content(alipay, create, way)?, now);
    params.insert(
        "notify_url",
        address(&create.notify_url).ok_or_else(|| unfit("the address for notifications is too long"))?,
    );
    Ok(match way {
        Way::Qr | Way::Mini | Way::BarCode => Prepared::Call(post(alipay, params)),
        Way::Page | Way::Wap => {
            // Where the customer comes back to proves nothing, so an address that Alipay would refuse is left out.
            params.insert("return_url", address(&create.return_url).unwrap_or_default());
            Prepared::Show(NextAction::Redirect { url: format!("{}?{}", alipay.pages, signed(alipay, params)) })
        }
        Way::App => {
            let params = BTreeMap::from([(ORDER_STRING.to_owned(), signed(alipay, params))]);
            Prepared::Show(NextAction::AppParams { params })
        }
    })
}

/// A call with this content, sealed.
pub(super) fn call(alipay: &Alipay, method: &str, content: impl Serialize, now: Timestamp) -> OutgoingRequest {
    post(alipay, common(alipay, method, content, now))
}

/// What every request carries, and its content.
fn common(alipay: &Alipay, method: &str, content: impl Serialize, now: Timestamp) -> BTreeMap<&'static str, String> {
    let content = serde_json::to_string(&content).expect("plain structs of text always serialise");
    let mut params: BTreeMap<&'static str, String> = [
        ("app_id", alipay.record.app_id.as_str()),
        ("method", method),
        ("format", "JSON"),
        ("charset", "utf-8"),
        ("sign_type", sign::SIGN_TYPE),
        ("version", "1.0"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into();
    params.insert("timestamp", wire::beijing(now));
    if let Some((app_sn, root_sn)) = alipay.keys.sns() {
        params.insert("app_cert_sn", app_sn.to_owned());
        params.insert("alipay_root_cert_sn", root_sn.to_owned());
    }
    let content = match &alipay.keys.content {
        None => content,
        Some(key) => {
            params.insert("encrypt_type", "AES".to_owned());
            key.close(content.as_bytes())
        }
    };
    params.insert("biz_content", content);
    params
}

/// The parameters and their signature as one encoded text, by name.
fn signed(alipay: &Alipay, mut params: BTreeMap<&'static str, String>) -> String {
    params.retain(|_, value| !value.is_empty());
    let signature = alipay.keys.signer.sign_sha256_base64(sign::request_text(&params).as_bytes());
    params.insert("sign", signature);
    let pairs: Vec<String> = params.iter().map(|(name, value)| wire::pair(name, value)).collect();
    pairs.join("&")
}

/// As Alipay's own clients send it: the content in the body, everything else in the address, so that the charset is known
/// before anything is decoded.
fn post(alipay: &Alipay, params: BTreeMap<&'static str, String>) -> OutgoingRequest {
    let pairs = signed(alipay, params);
    let (content, others): (Vec<&str>, Vec<&str>) = pairs.split('&').partition(|pair| pair.starts_with("biz_content="));
    OutgoingRequest {
        method: Verb::Post,
        url: format!("{}?{}", alipay.gateway, others.join("&")),
        headers: vec![
            ("content-type".to_owned(), "application/x-www-form-urlencoded;charset=utf-8".to_owned()),
            ("accept".to_owned(), "application/json".to_owned()),
            ("user-agent".to_owned(), concat!("coffer/", env!("CARGO_PKG_VERSION")).to_owned()),
        ],
        body: content.concat().into_bytes(),
        identity: None,
    }
}

fn content<'a>(alipay: &'a Alipay, create: &'a CreateOrder, way: Way) -> Result<Biz<'a>, ChannelError> {
    let common = Biz {
        out_trade_no: create.attempt.bare(),
        total_amount: Some(yuan(create.amount)?),
        subject: Some(subject(create)),
        ..Biz::default()
    };
    let time_expire = Some(wire::beijing(create.expires_at));
    Ok(match way {
        // The product code of a QR order is the contract's own when it is left out.
        Way::Qr => Biz { time_expire, ..common },
        Way::Page => Biz { product_code: Some("FAST_INSTANT_TRADE_PAY"), time_expire, ..common },
        Way::Wap => {
            let quit_url = Some(create.return_url.as_str()).filter(|url| url.len() <= URL_MAX);
            Biz { product_code: Some("QUICK_WAP_WAY"), time_expire, quit_url, ..common }
        }
        Way::App => Biz { product_code: Some("QUICK_MSECURITY_PAY"), time_expire, ..common },
        Way::Mini => {
            let buyer = create.openid.as_deref().filter(|id| is_buyer(id));
            let buyer = buyer.ok_or_else(|| unfit("the customer's openid in the mini program is needed"))?;
            // Older apps know their customers by number, newer ones by open id.
            let (buyer_id, buyer_open_id) = if is_user_id(buyer) { (Some(buyer), None) } else { (None, Some(buyer)) };
            // The mini program that asks for the money is the app of this account.
            let op_app_id = Some(alipay.record.app_id.as_str());
            Biz { product_code: Some("JSAPI_PAY"), buyer_id, buyer_open_id, op_app_id, time_expire, ..common }
        }
        Way::BarCode => {
            let auth_code = create.auth_code.as_deref().filter(|code| is_shown_code(code));
            let auth_code = Some(auth_code.ok_or_else(|| unfit("the code is not one that Alipay shows"))?);
            Biz { scene: Some("bar_code"), auth_code, timeout_express: Some(timeout(create)), ..common }
        }
    })
}

/// Source: Alipay, `alipay.trade.pay`, `auth_code`: 16 to 24 digits that begin with 25 to 30.
fn is_shown_code(code: &str) -> bool {
    let begins = code.get(..2).and_then(|two| two.parse::<u8>().ok());
    (16..=24).contains(&code.len())
        && code.bytes().all(|b| b.is_ascii_digit())
        && begins.is_some_and(|begins| (25..=30).contains(&begins))
}

/// Source: Alipay, `alipay.trade.create`, `buyer_id`: 16 digits that begin with 2088.
fn is_user_id(text: &str) -> bool {
    text.len() == 16 && text.starts_with("2088") && text.bytes().all(|b| b.is_ascii_digit())
}

/// Source: Alipay, `alipay.trade.create`, `buyer_open_id`: 128 characters.
fn is_buyer(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

fn about_order(about: &OrderRef) -> Biz<'static> {
    Biz { out_trade_no: about.attempt.bare(), ..Biz::default() }
}

fn refund_content(refund: &RefundOrder) -> Result<Biz<'_>, ChannelError> {
    let reason = refund.reason.as_deref().map(plain).filter(|reason| !reason.is_empty());
    Ok(Biz { refund_amount: Some(yuan(refund.amount)?), refund_reason: reason, ..about_refund(&refund.about) })
}

fn about_refund(about: &RefundRef) -> Biz<'static> {
    Biz { out_request_no: Some(about.refund.bare()), ..about_order(&about.order) }
}

fn yuan(amount: Money) -> Result<String, ChannelError> {
    if amount.currency() == Currency::CNY { Ok(amount.to_decimal()) } else { Err(unfit("Alipay takes yuan")) }
}

/// Alipay refuses a title with `/`, `=` or `&`, and one without anything.
fn subject(create: &CreateOrder) -> String {
    let title = plain(&create.description.replace(['/', '=', '&'], " "));
    if title.is_empty() { create.attempt.bare() } else { title }
}

/// No control characters, no blanks in a row, and not longer than Alipay takes.
fn plain(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").chars().take(TEXT_MAX).collect()
}

fn timeout(create: &CreateOrder) -> String {
    let minutes = create.expires_at.since(create.created_at).as_seconds().div_ceil(60);
    format!("{}m", minutes.clamp(1, TIMEOUT_MAX_MINUTES))
}

fn address(url: &str) -> Option<String> {
    (url.len() <= URL_MAX).then(|| url.to_owned())
}

fn unfit(detail: &str) -> ChannelError {
    ChannelError::Unfit { detail: detail.to_owned() }
}
