//! What the adapter sends: the signed fields of each call, and the form that the customer's browser posts.
//!
//! Source: UnionPay ACP 5.1.0, interfaces. A call that is repeated has the same fields, number and time included, so
//! UnionPay knows it again and answers 12 instead of doing it twice.

use super::message::Fields;
use super::sign::VERSION;
use super::time::beijing;
use super::{PRODUCTION, UnionPay};
use crate::channels::{ChannelError, CreateOrder, Order, OrderRef, Prepared, RefundOrder, RefundRef};
use crate::domain::method::Method;
use crate::domain::money::{Currency, Money};
use crate::domain::payment::NextAction;
use crate::domain::time::Timestamp;
use crate::env::transport::{Method as Verb, OutgoingRequest};

const FRONT_PATH: &str = "/gateway/api/frontTransReq.do";
const BACK_PATH: &str = "/gateway/api/backTransReq.do";
const APP_PATH: &str = "/gateway/api/appTransReq.do";
const QUERY_PATH: &str = "/gateway/api/queryTrans.do";

/// The file host of each gateway; elsewhere files come from the same place.
const FILE_HOSTS: [(&str, &str); 2] = [
    (PRODUCTION, "https://filedownload.95516.com"),
    ("https://gateway.test.95516.com", "https://filedownload.test.95516.com"),
];

/// Characters of frontUrl and backUrl.
const URL_MAX_CHARS: usize = 256;

/// Builds and signs what an order needs.
pub(super) fn build(account: &UnionPay, order: &Order) -> Result<Prepared, ChannelError> {
    let (path, fields) = match order {
        Order::Create(create) => {
            let fields = consume(account, create)?;
            match create.method {
                Method::UnionpayGateway | Method::UnionpayWap => {
                    let fields = account.sealed(fields);
                    let fields = fields.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                    let url = format!("{}{FRONT_PATH}", account.front_url);
                    return Ok(Prepared::Show(NextAction::Form { url, fields }));
                }
                Method::UnionpayApp => (APP_PATH, fields),
                _ => (BACK_PATH, fields),
            }
        }
        Order::Query(order) => (QUERY_PATH, query(account, &order.attempt.bare(), order.created_at)),
        Order::Close(order) if order.method == Method::UnionpayBarcode => (BACK_PATH, reversal(account, order)),
        // Nothing closes these but their payTimeout; the query tells whether that has come.
        Order::Close(order) => (QUERY_PATH, query(account, &order.attempt.bare(), order.created_at)),
        Order::Refund(order) => (BACK_PATH, refund(account, order)?),
        Order::RedirectRefund(_) => return Err(ChannelError::Unsupported),
        Order::QueryRefund(RefundRef { refund, created_at, .. }) => {
            (QUERY_PATH, query(account, &refund.bare(), *created_at))
        }
    };
    Ok(Prepared::Call(account.call(&format!("{}{path}", account.base_url), fields)))
}

impl UnionPay {
    /// The fields that stand in every request.
    pub(super) fn fields(&self, txn_type: &str, sub_type: &str, biz_type: &str, channel: &str) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in [
            ("version", VERSION),
            ("encoding", "UTF-8"),
            ("signMethod", self.signing.method()),
            ("txnType", txn_type),
            ("txnSubType", sub_type),
            ("bizType", biz_type),
            ("channelType", channel),
            ("accessType", "0"),
            ("merId", &self.mer_id),
        ] {
            fields.put(name, value);
        }
        if let Some(cert_id) = self.signing.cert_id() {
            fields.put("certId", cert_id);
        }
        fields
    }

    pub(super) fn call(&self, url: &str, fields: Fields) -> OutgoingRequest {
        let headers = vec![
            ("content-type".to_owned(), "application/x-www-form-urlencoded;charset=UTF-8".to_owned()),
            ("user-agent".to_owned(), concat!("coffer/", env!("CARGO_PKG_VERSION")).to_owned()),
        ];
        let body = self.sealed(fields).to_form().into_bytes();
        OutgoingRequest { method: Verb::Post, url: url.to_owned(), headers, body, identity: None }
    }

    /// Where statements are asked for.
    pub(super) fn file_url(&self) -> String {
        let host = FILE_HOSTS.iter().find(|(gateway, _)| *gateway == self.base_url).map(|(_, files)| *files);
        format!("{}/", host.unwrap_or(&self.base_url))
    }

    fn sealed(&self, mut fields: Fields) -> Fields {
        self.signing.sign(&mut fields);
        fields
    }
}

/// txnSubType, bizType and channelType of a method; `None` for those of other providers.
const fn kind(method: Method) -> Option<(&'static str, &'static str, &'static str)> {
    match method {
        // 07 is the computer, 08 the phone. Source: UnionPay ACP 5.1.0, channelType; WAP 消费.
        Method::UnionpayGateway => Some(("01", "000201", "07")),
        Method::UnionpayWap => Some(("01", "000201", "08")),
        Method::UnionpayApp => Some(("01", "000201", "08")),
        Method::UnionpayQr => Some(("07", "000000", "08")),
        Method::UnionpayBarcode => Some(("06", "000000", "08")),
        Method::WechatNative
        | Method::WechatJsapi
        | Method::WechatMini
        | Method::WechatH5
        | Method::WechatApp
        | Method::WechatBarcode
        | Method::AlipayQr
        | Method::AlipayPage
        | Method::AlipayWap
        | Method::AlipayApp
        | Method::AlipayMini
        | Method::AlipayBarcode => None,
    }
}

fn consume(account: &UnionPay, create: &CreateOrder) -> Result<Fields, ChannelError> {
    let (sub_type, biz_type, channel) = kind(create.method).ok_or(ChannelError::Unsupported)?;
    let mut fields = account.fields("01", sub_type, biz_type, channel);
    fields.put("orderId", create.attempt.bare());
    fields.put("txnTime", beijing(create.created_at));
    fields.put("txnAmt", fen(create.amount)?);
    fields.put("currencyCode", "156");
    fields.put("backUrl", address(&create.notify_url)?);
    fields.put("payTimeout", beijing(create.expires_at));
    match create.method {
        Method::UnionpayGateway | Method::UnionpayWap => {
            fields.put("frontUrl", address(&create.return_url)?);
            put_goods(&mut fields, &create.description);
        }
        Method::UnionpayApp => put_goods(&mut fields, &create.description),
        // UnionPay's sheets name no field for the goods here: riskRateInfo belongs to the gateway, WAP and the app. Source:
        // UnionPay ACP 5.1.0, 申请消费二维码 and 二维码消费（被扫）.
        Method::UnionpayQr => {}
        Method::UnionpayBarcode => {
            let digits = create.auth_code.as_deref().filter(|code| is_payer_code(code));
            let digits = digits.ok_or_else(|| unfit("the payer's code has 1 to 20 digits"))?;
            fields.put("qrNo", digits);
            if let Some(term_id) = &account.term_id {
                fields.put("termId", term_id.as_str());
            }
        }
        _ => {}
    }
    Ok(fields)
}

/// 单笔查询 of the transaction with this number and time.
fn query(account: &UnionPay, order_id: &str, created_at: Timestamp) -> Fields {
    let mut fields = account.fields("00", "00", "000000", "07");
    fields.put("orderId", order_id);
    fields.put("txnTime", beijing(created_at));
    fields
}

/// 冲正: takes a bar-code payment back whose outcome is not known, under the payment's own number and time. An undo
/// (消费撤销, 31) would need a success that is known, and that is a payment, which is refunded instead. Sources: UnionPay's
/// QR code product, ConsumeUndo ("交易状态未明的需要发起冲正交易") and the SDK's demo of the reversal.
fn reversal(account: &UnionPay, order: &OrderRef) -> Fields {
    let mut fields = account.fields("99", "01", "000000", "08");
    fields.put("orderId", order.attempt.bare());
    fields.put("txnTime", beijing(order.created_at));
    fields
}

/// 退货. Also for the whole amount on the same day, where an undo would do: a refund is never refused for the hour.
fn refund(account: &UnionPay, refund: &RefundOrder) -> Result<Fields, ChannelError> {
    let RefundRef { refund: number, created_at, order, channel_refund_id: _ } = &refund.about;
    let (_, biz_type, channel) = kind(order.method).ok_or(ChannelError::Unsupported)?;
    let mut fields = account.fields("04", "00", biz_type, channel);
    fields.put("orderId", number.bare());
    fields.put("txnTime", beijing(*created_at));
    fields.put("txnAmt", fen(refund.amount)?);
    fields.put("backUrl", address(&refund.notify_url)?);
    match &order.transaction_id {
        Some(query_id) => fields.put("origQryId", query_id.as_str()),
        None => {
            fields.put("origOrderId", order.attempt.bare());
            fields.put("origTxnTime", beijing(order.created_at));
        }
    }
    Ok(fields)
}

fn fen(amount: Money) -> Result<String, ChannelError> {
    if amount.currency() == Currency::CNY && !amount.is_zero() {
        Ok(amount.minor().to_string())
    } else {
        Err(unfit("UnionPay takes amounts in CNY above zero"))
    }
}

fn address(url: &str) -> Result<&str, ChannelError> {
    if url.len() <= URL_MAX_CHARS { Ok(url) } else { Err(unfit("an address has more than 256 characters")) }
}

/// Source: UnionPay's QR code product, qrNo: 1 to 20 digits.
fn is_payer_code(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

fn unfit(detail: &str) -> ChannelError {
    ChannelError::Unfit { detail: detail.to_owned() }
}

/// UnionPay asks for the goods. Characters that its own parser trips over are left out.
fn put_goods(fields: &mut Fields, description: &str) {
    let plain = |c: &char| !c.is_control() && !"&={}[]\"'+%<>\\".contains(*c);
    let goods: String = description.chars().filter(plain).collect();
    if !goods.trim().is_empty() {
        fields.put("riskRateInfo", format!("{{commodityName={}}}", goods.trim()));
    }
}
