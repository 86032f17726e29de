//! What the provider does for a call, inside one transaction at its desk.

use data_encoding::BASE64URL_NOPAD;
use ring::hmac;
use serde_json::{Value, json};

use super::bill::{self, Move};
use super::call::{BillCall, BillKind, Call, OrderCall, RefundCall, TradeType, text};
use super::error::WireError;
use super::keys::{Merchant, Mode, Signer};
use super::view;
use crate::domain::time::{Duration, Timestamp};
use crate::sandbox::provider::Desk;
use crate::sandbox::provider::fault::{Fault, Faults};
use crate::sandbox::provider::model::{NewOrder, NewRefund, Order, Refund, RefundRules, Refusal, TradeState};
use crate::sandbox::provider::records::{Mood, Subject};
use crate::store::StoreError;

/// How long codes and prepay ids work. Source: §8.
const CODE_LIFE: Duration = Duration::from_hours(2);
/// How long the address of an H5 payment works. Source: §8.
const H5_LIFE: Duration = Duration::from_minutes(5);
/// An order without a time of its own lives so long. Source: §8.
pub const ORDER_LIFE: Duration = Duration::from_days(7);
/// A nearer `time_expire` is moved to here. Source: §8.
pub const TIME_TO_PAY_MIN: Duration = Duration::from_minutes(1);
/// Source: §12.
const REFUND_RULES: RefundRules = RefundRules {
    count_max: 50,
    gap_min: Duration::from_minutes(1),
    window: Duration::from_days(365),
    takes: Duration::from_seconds(2),
};
/// How long the address of a bill works. Source: §14, the newer pages.
const BILL_LINK_LIFE: Duration = Duration::from_minutes(5);
/// Bills are made from 09:00 of the next day on, and kept for three months. Source: §14.
const BILL_READY_AFTER: Duration = Duration::from_hours(24 + 9);
const BILL_KEPT: Duration = Duration::from_days(92);

/// What is said, before it is signed.
#[derive(Clone, Debug)]
pub enum Reply {
    Json(u16, Value),
    /// 204.
    Nothing,
    /// A file, which is never signed.
    File(Vec<u8>),
}

/// What a call needs from outside the transaction.
#[derive(Clone)]
pub struct Around {
    pub mchid: String,
    pub merchant: Merchant,
    /// For the phone page of a new order.
    pub code: [u8; 16],
    /// Where the merchant reached the provider, without a slash at the end.
    pub base: String,
    /// Where browsers reach the provider's own pages.
    pub pages: String,
    pub wire_now: Timestamp,
    /// Where to send notifications instead of the address in the call; `None`: that address may not be notified.
    pub notify_url: Option<String>,
    pub certificates: Vec<std::sync::Arc<Signer>>,
    pub token_key: hmac::Key,
}

type Said = Result<Result<Reply, WireError>, StoreError>;

/// Carries a call out. `faults` are those under which it is answered.
pub fn carry_out(desk: &mut Desk<'_, '_>, call: &Call, around: &Around, faults: Faults) -> Said {
    let mchid = around.mchid.as_str();
    match call {
        Call::Order(asked) => order(desk, asked, around),
        Call::QueryByNumber(number) => query(desk.order(mchid, number)?),
        Call::QueryByTransaction(transaction) => query(desk.order_by_transaction(mchid, transaction)?),
        Call::Close(number) => close(desk, number, around),
        Call::Reverse(number) => reverse(desk, number, around),
        Call::Refund(asked) => refund(desk, asked, around),
        Call::QueryRefund(number) => {
            let refund = desk.refund_by_number(mchid, number)?;
            tell_refund(desk, refund.ok_or(Refusal::UnknownRefund))
        }
        Call::HelpRefund { refund_id, out_refund_no, to } => {
            let refund = desk.refund_by_id(mchid, refund_id)?.filter(|refund| refund.asked.number == *out_refund_no);
            let Some(refund) = refund else { return tell_refund(desk, Err(Refusal::UnknownRefund)) };
            let helped = desk.help(&refund, *to, REFUND_RULES.takes)?;
            tell_refund(desk, helped)
        }
        Call::Certificates => Ok(certificates(around)),
        Call::Bill(asked) => bill_link(desk, asked, around, faults),
        Call::Download(token) => download(desk, token, around, faults),
    }
}

fn order(desk: &mut Desk<'_, '_>, asked: &OrderCall, around: &Around) -> Said {
    let by_code = asked.auth_code.as_deref();
    let notify_url = match (&asked.notify_url, &around.notify_url) {
        (None, _) => None,
        (Some(url), Some(address)) if is_notify_url(url) => Some(address.clone()),
        (Some(_), _) => {
            return Ok(Err(WireError::param("/notify_url", "地址不可用：须为外网可访问且不带参数", "body")));
        }
    };
    let now = desk.now();
    let expires_at = match asked.time_expire {
        None => now.plus(ORDER_LIFE),
        // The merchant's clock knows nothing of days that were skipped.
        Some(at) => at.plus(desk.ahead()?).max(now.plus(TIME_TO_PAY_MIN)),
    };
    let details = json!({ "trade_type": asked.trade_type.code(), "body": asked.body }).to_string();
    let new = NewOrder {
        merchant: around.mchid.clone(),
        number: asked.out_trade_no.clone(),
        amount: asked.amount,
        description: asked.description.clone(),
        expires_at,
        notify_url,
        return_url: None,
        failure_ends: by_code.is_some(),
        details,
    };
    if let Some(digits) = by_code {
        return pay_by_code(desk, &new, digits, around);
    }
    let (life, renew) = match asked.trade_type {
        TradeType::Native => (CODE_LIFE, true),
        TradeType::Jsapi | TradeType::App | TradeType::Micropay => (CODE_LIFE, false),
        TradeType::H5 => (H5_LIFE, true),
    };
    let order = match desk.create(&new, around.code, life, renew)? {
        Ok(order) => order,
        Err(why) => return Ok(Err(WireError::of_order(why))),
    };
    let code = data_encoding::HEXLOWER.encode(&order.code);
    let body = match asked.trade_type {
        TradeType::Native => json!({ "code_url": format!("weixin://wxpay/bizpayurl?pr={code}") }),
        TradeType::Jsapi | TradeType::App | TradeType::Micropay => json!({ "prepay_id": format!("wx{code}") }),
        TradeType::H5 => json!({ "h5_url": format!("{}/h5?prepay_id=wx{code}&package={}", around.pages, &code[..8]) }),
    };
    Ok(Ok(Reply::Json(200, body)))
}

fn pay_by_code(desk: &mut Desk<'_, '_>, new: &NewOrder, digits: &str, around: &Around) -> Said {
    let charged = match charge_code(desk, new, digits, around.code)? {
        Ok(charged) => charged,
        Err(why) => return Ok(Err(WireError::of_order(why))),
    };
    Ok(match charged {
        Some((Mood::Pays, order)) => Ok(Reply::Json(200, view::transaction(&order, None))),
        Some((Mood::AskedForPassword, _)) => {
            Ok(Reply::Json(202, json!({ "code": "USERPAYING", "message": "需要用户输入支付密码" })))
        }
        Some((Mood::BalanceShort, _)) => Err(WireError::new(403, "NOT_ENOUGH", "用户的账户余额不足，请换其他方式支付")),
        Some((Mood::Refuses, _)) => Err(WireError::new(403, "TRADE_ERROR", "用户取消了支付")),
        None => Err(WireError::new(400, "AUTH_CODE_INVALID", "付款码已失效，请用户刷新后重新扫码")),
    })
}

/// Makes the order, or finds it, and charges the code. `None`: the code is unknown, too old or used, and made no order.
pub fn charge_code(
    desk: &mut Desk<'_, '_>,
    new: &NewOrder,
    digits: &str,
    code: [u8; 16],
) -> Result<Result<Option<(Mood, Order)>, Refusal>, StoreError> {
    if desk.order(&new.merchant, &new.number)?.is_none() && !desk.code_is_good(digits)? {
        return Ok(Ok(None));
    }
    let order = match desk.create(new, code, CODE_LIFE, false)? {
        Ok(order) => order,
        Err(why) => return Ok(Err(why)),
    };
    if order.state == TradeState::Paying {
        return Ok(Ok(Some((Mood::AskedForPassword, order))));
    }
    Ok(Ok(desk.pay_by_code(&order, digits)?))
}

/// Absolute, http or https, without query and fragment. Source: §8.
fn is_notify_url(url: &str) -> bool {
    let parsed = url::Url::parse(url).ok();
    parsed.is_some_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none()
    })
}

fn query(order: Option<Order>) -> Said {
    Ok(match order {
        Some(order) => Ok(Reply::Json(200, view::transaction(&order, None))),
        None => Err(WireError::of_order(Refusal::UnknownOrder)),
    })
}

fn close(desk: &mut Desk<'_, '_>, number: &str, around: &Around) -> Said {
    let by_code = desk.order(&around.mchid, number)?.is_some_and(|order| order.asked.failure_ends);
    if by_code {
        let error = WireError::new(400, "INVALID_REQUEST", "付款码支付的订单不能关闭，请使用撤销接口");
        return Ok(Err(error.numbered(268_449_641)));
    }
    let closed = desk.close(&around.mchid, number)?;
    Ok(closed.map(|_| Reply::Nothing).map_err(WireError::of_order))
}

fn reverse(desk: &mut Desk<'_, '_>, number: &str, around: &Around) -> Said {
    let Some(order) = desk.order(&around.mchid, number)? else {
        return Ok(Err(WireError::of_order(Refusal::UnknownOrder)));
    };
    if !order.asked.failure_ends {
        return Ok(Err(WireError::new(400, "INVALID_REQUEST", "只有付款码支付的订单可以撤销")));
    }
    let (_, body) = view::details(&order);
    let told = json!({ "appid": text(&body, "appid"), "mchid": around.mchid, "out_trade_no": number });
    let revoked = desk.revoke(&around.mchid, number)?;
    Ok(revoked.map(|_| Reply::Json(200, told)).map_err(WireError::of_order))
}

fn refund(desk: &mut Desk<'_, '_>, asked: &RefundCall, around: &Around) -> Said {
    let mchid = around.mchid.as_str();
    let by_transaction = match &asked.transaction_id {
        Some(transaction) => desk.order_by_transaction(mchid, transaction)?,
        None => None,
    };
    let order = match (&asked.transaction_id, &asked.out_trade_no) {
        (Some(_), None) => by_transaction,
        (Some(_), Some(number)) => by_transaction.filter(|order| order.asked.number == *number),
        (None, Some(number)) => desk.order(mchid, number)?,
        (None, None) => None,
    };
    let Some(order) = order else { return tell_refund(desk, Err(Refusal::UnknownOrder)) };
    if asked.total != order.asked.amount {
        return tell_refund(desk, Err(Refusal::RefundNumberUsed));
    }
    let notify_url = match (&asked.notify_url, &around.notify_url) {
        (None, _) => None,
        (Some(url), Some(address)) if is_notify_url(url) => Some(address.clone()),
        (Some(_), _) => {
            return Ok(Err(WireError::param("/notify_url", "地址不可用：须为外网可访问且不带参数", "body")));
        }
    };
    let new = NewRefund {
        merchant: mchid.to_owned(),
        order: order.asked.number.clone(),
        number: asked.out_refund_no.clone(),
        amount: asked.refund,
        notify_url,
        details: Value::Object(asked.body.clone()).to_string(),
    };
    let refunded = desk.refund(&new, REFUND_RULES)?;
    tell_refund(desk, refunded)
}

fn tell_refund(desk: &mut Desk<'_, '_>, refund: Result<Refund, Refusal>) -> Said {
    let refund = match refund {
        Ok(refund) => refund,
        Err(why) => return Ok(Err(WireError::of_refund(why))),
    };
    let order = desk.order(&refund.asked.merchant, &refund.asked.order)?;
    Ok(match order {
        Some(order) => Ok(Reply::Json(200, view::refund(&refund, &order))),
        None => Err(WireError::of_refund(Refusal::UnknownOrder)),
    })
}

/// Source: §4. For merchants in public-key mode the answer is the one that WeChat's own repository shows
/// (wechatpay-java #303, #306, #354 and #400, from 2024 to 2026), word for word. That SDK looks for a code `NOT_FOUND`
/// instead and gives up at this one, here as in life; its configuration for public keys asks for no certificates.
fn certificates(around: &Around) -> Result<Reply, WireError> {
    if around.merchant.mode == Mode::PublicKey {
        let message = "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥。可查看指引https://pay.weixin.qq.com/doc/v3/merchant/4012153196";
        return Err(WireError::new(404, "RESOURCE_NOT_EXISTS", message));
    }
    let certificate = |signer: &std::sync::Arc<Signer>| {
        let pem = crate::sandbox::provider::certificate::pem("CERTIFICATE", &signer.certificate);
        let nonce = *b"c0ffe2c0ffe2";
        json!({
            "serial_no": signer.id,
            "effective_time": view::beijing(signer.from),
            "expire_time": view::beijing(signer.until),
            "encrypt_certificate": {
                "algorithm": "AEAD_AES_256_GCM",
                "nonce": String::from_utf8_lossy(&nonce),
                "associated_data": "certificate",
                "ciphertext": around.merchant.encrypt(pem.as_bytes(), &nonce, "certificate"),
            },
        })
    };
    let data: Vec<Value> = around.certificates.iter().map(certificate).collect();
    Ok(Reply::Json(200, json!({ "data": data })))
}

/// A day as Beijing has it: its first moment.
fn day(date: &str) -> Option<Timestamp> {
    let shaped = date.len() == 10
        && date.bytes().enumerate().all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() });
    if shaped { Timestamp::parse_rfc3339(&format!("{date}T00:00:00+08:00")) } else { None }
}

fn bill_link(desk: &mut Desk<'_, '_>, asked: &BillCall, around: &Around, faults: Faults) -> Said {
    let invalid = || WireError::new(400, "INVALID_REQUEST", "账单日期不正确：只能下载三个月内、今天之前的账单");
    let Some(from) = day(&asked.date) else {
        return Ok(Err(WireError::param("/bill_date", "日期格式不正确", "query")));
    };
    let now = desk.now();
    if now.since(from) < Duration::from_hours(24) || now.since(from) > BILL_KEPT {
        return Ok(Err(invalid()));
    }
    if now.since(from) < BILL_READY_AFTER || faults.has(Fault::BillLate) {
        return Ok(Err(WireError::new(400, "STATEMENT_CREATING", "账单生成中，请稍后再试")));
    }
    let Some(file) = bill_file(desk, asked, &around.mchid, faults)? else {
        return Ok(Err(WireError::new(400, "NO_STATEMENT_EXIST", "账单不存在：当天没有交易")));
    };
    let hash = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &file);
    let mut hash = data_encoding::HEXLOWER.encode(hash.as_ref());
    if faults.has(Fault::BillHashWrong) {
        hash = hash.chars().rev().collect();
    }
    let life = if faults.has(Fault::BillLinkDead) { Duration::ZERO } else { BILL_LINK_LIFE };
    let token = Token { mchid: around.mchid.clone(), bill: asked.clone(), until: around.wire_now.plus(life) };
    let gzip = if asked.gzip { "&tartype=gzip" } else { "" };
    let url = format!("{}/v3/billdownload/file?token={}{gzip}", around.base, token.write(&around.token_key));
    Ok(Ok(Reply::Json(200, json!({ "hash_type": "SHA1", "hash_value": hash, "download_url": url }))))
}

fn download(desk: &mut Desk<'_, '_>, token: &str, around: &Around, faults: Faults) -> Said {
    let refused = |message: &str| Ok(Err(WireError::new(400, "INVALID_REQUEST", message)));
    let Some(token) = Token::read(token, &around.token_key).filter(|token| token.mchid == around.mchid) else {
        return refused("下载链接不正确");
    };
    if around.wire_now >= token.until {
        return refused("下载链接已过期，请重新申请");
    }
    let Some(mut file) = bill_file(desk, &token.bill, &token.mchid, faults)? else {
        return refused("账单不存在");
    };
    if token.bill.gzip {
        file = gzip(&file);
    }
    if faults.has(Fault::BillCut) {
        file.truncate(file.len() / 2);
    }
    Ok(Ok(Reply::File(file)))
}

fn gzip(file: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(file).and_then(|()| packer.finish()).expect("writing into memory does not fail")
}

fn bill_file(
    desk: &mut Desk<'_, '_>,
    asked: &BillCall,
    mchid: &str,
    faults: Faults,
) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(from) = day(&asked.date) else { return Ok(None) };
    let mut moves = Vec::new();
    for (at, subject) in desk.moves(mchid, from, from.plus(Duration::from_hours(24)))? {
        match subject {
            Subject::Order { merchant, number } => {
                let Some(order) = desk.order(&merchant, &number)? else { continue };
                let received = order.received.as_ref().is_some_and(|received| received.at == at);
                moves.push(if received { Move::Paid { at, order } } else { Move::Revoked { at, order } });
            }
            Subject::Refund { merchant, number } => {
                let Some(refund) = desk.refund_by_number(&merchant, &number)? else { continue };
                let Some(order) = desk.order(&merchant, &refund.asked.order)? else { continue };
                moves.push(Move::Refunded { order, refund });
            }
        }
    }
    Ok(bill::write(asked.kind, mchid, &moves, faults))
}

/// What a bill's address says, under the provider's seal, so that nothing has to be kept.
struct Token {
    mchid: String,
    bill: BillCall,
    until: Timestamp,
}

impl Token {
    fn write(&self, key: &hmac::Key) -> String {
        let kind = match self.bill.kind {
            BillKind::All => "all",
            BillKind::Success => "success",
            BillKind::Refund => "refund",
            BillKind::FundFlow => "funds",
            BillKind::OtherFunds => "other",
        };
        let text = format!("{} {kind} {} {} {}", self.mchid, self.bill.date, self.bill.gzip, self.until.as_millis());
        let seal = hmac::sign(key, text.as_bytes());
        format!("{}.{}", BASE64URL_NOPAD.encode(text.as_bytes()), BASE64URL_NOPAD.encode(seal.as_ref()))
    }

    fn read(token: &str, key: &hmac::Key) -> Option<Self> {
        let (text, seal) = token.split_once('.')?;
        let text = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        hmac::verify(key, &text, &BASE64URL_NOPAD.decode(seal.as_bytes()).ok()?).ok()?;
        let text = String::from_utf8(text).ok()?;
        let parts: Vec<&str> = text.split(' ').collect();
        let [mchid, kind, date, gzip, until] = parts.as_slice() else { return None };
        let kind = match *kind {
            "all" => BillKind::All,
            "success" => BillKind::Success,
            "refund" => BillKind::Refund,
            "funds" => BillKind::FundFlow,
            _ => BillKind::OtherFunds,
        };
        Some(Self {
            mchid: (*mchid).to_owned(),
            bill: BillCall { kind, date: (*date).to_owned(), gzip: *gzip == "true" },
            until: Timestamp::from_millis(until.parse().ok()?),
        })
    }
}
