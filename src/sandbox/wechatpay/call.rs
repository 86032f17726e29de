//! What a merchant asks for, read from method, target and body as strictly as the provider reads them.

use serde_json::{Map, Value};

use super::error::WireError;
use super::keys::Merchant;
use super::schema::{Field, Kind, is_order_number, is_refund_number, may, must, read};
use crate::domain::money::{AMOUNT_MAX_MINOR, Currency, Money};
use crate::domain::time::Timestamp;
use crate::sandbox::provider::model::Helped;

/// How the payer pays. Source: §11, `trade_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TradeType {
    Native,
    Jsapi,
    App,
    H5,
    /// A code that the payer shows (付款码).
    Micropay,
}

impl TradeType {
    const ALL: [TradeType; 5] =
        [TradeType::Native, TradeType::Jsapi, TradeType::App, TradeType::H5, TradeType::Micropay];

    /// The word in answers.
    pub const fn code(self) -> &'static str {
        match self {
            TradeType::Native => "NATIVE",
            TradeType::Jsapi => "JSAPI",
            TradeType::App => "APP",
            TradeType::H5 => "MWEB",
            TradeType::Micropay => "MICROPAY",
        }
    }

    /// The last part of the order's path.
    const fn path(self) -> &'static str {
        match self {
            TradeType::Native => "native",
            TradeType::Jsapi => "jsapi",
            TradeType::App => "app",
            TradeType::H5 => "h5",
            TradeType::Micropay => "codepay",
        }
    }

    const fn fields(self) -> [&'static [Field]; 2] {
        match self {
            TradeType::Native | TradeType::App => [&COMMON, &ORDER],
            TradeType::Jsapi => [&COMMON, &JSAPI],
            TradeType::H5 => [&COMMON, &H5],
            TradeType::Micropay => [&CODEPAY, &[]],
        }
    }
}

/// What is asked; who asks was checked before.
#[derive(Clone, Debug)]
pub enum Call {
    Order(OrderCall),
    QueryByNumber(String),
    QueryByTransaction(String),
    Close(String),
    Reverse(String),
    Refund(RefundCall),
    QueryRefund(String),
    HelpRefund { refund_id: String, out_refund_no: String, to: Helped },
    Certificates,
    Bill(BillCall),
    Download(String),
}

#[derive(Clone, Debug)]
pub struct OrderCall {
    pub trade_type: TradeType,
    pub out_trade_no: String,
    pub amount: Money,
    pub description: String,
    /// As the merchant's clock has it.
    pub time_expire: Option<Timestamp>,
    pub notify_url: Option<String>,
    pub auth_code: Option<String>,
    /// Everything that has to be the same when the order is asked for again.
    pub body: Map<String, Value>,
}

#[derive(Clone, Debug)]
pub struct RefundCall {
    pub transaction_id: Option<String>,
    pub out_trade_no: Option<String>,
    pub out_refund_no: String,
    pub refund: Money,
    pub total: Money,
    pub notify_url: Option<String>,
    pub body: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillCall {
    pub kind: BillKind,
    /// `yyyy-MM-dd`.
    pub date: String,
    pub gzip: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BillKind {
    All,
    Success,
    Refund,
    FundFlow,
    /// Of an account in which nothing moves here.
    OtherFunds,
}

const AMOUNT: [Field; 2] = [must("total", Kind::Integer(1)), may("currency", Kind::Word(&["CNY"]))];
const GOODS: [Field; 5] = [
    must("merchant_goods_id", Kind::Text(32)),
    may("wechatpay_goods_id", Kind::Text(32)),
    may("goods_name", Kind::Text(256)),
    must("quantity", Kind::Integer(1)),
    must("unit_price", Kind::Integer(1)),
];
const DETAIL: [Field; 3] = [
    may("cost_price", Kind::Integer(1)),
    may("invoice_id", Kind::Text(32)),
    may("goods_detail", Kind::Objects(&GOODS)),
];
const STORE: [Field; 4] = [
    must("id", Kind::Text(32)),
    may("name", Kind::Text(256)),
    may("area_code", Kind::Text(32)),
    may("address", Kind::Text(512)),
];
const SCENE: [Field; 3] =
    [must("payer_client_ip", Kind::Address), may("device_id", Kind::Text(32)), may("store_info", Kind::Object(&STORE))];
const H5_INFO: [Field; 5] = [
    must("type", Kind::Word(&["Wap", "iOS", "Android"])),
    may("app_name", Kind::Text(64)),
    may("app_url", Kind::Text(128)),
    may("bundle_id", Kind::Text(128)),
    may("package_name", Kind::Text(128)),
];
const H5_SCENE: [Field; 4] = [
    must("payer_client_ip", Kind::Address),
    may("device_id", Kind::Text(32)),
    may("store_info", Kind::Object(&STORE)),
    must("h5_info", Kind::Object(&H5_INFO)),
];
const SETTLE: [Field; 1] = [may("profit_sharing", Kind::Bool)];
const PAYER: [Field; 1] = [must("openid", Kind::Text(128))];

const APPID: Field = must("appid", Kind::Text(32));
const MCHID: Field = must("mchid", Kind::Text(32));
const DESCRIPTION: Field = must("description", Kind::Text(127));
const OUT_TRADE_NO: Field = must("out_trade_no", Kind::OrderNumber);
const TIME_EXPIRE: Field = may("time_expire", Kind::Text(64));
const ATTACH: Field = may("attach", Kind::Text(128));
const NOTIFY_URL: Field = must("notify_url", Kind::Text(255));
const GOODS_TAG: Field = may("goods_tag", Kind::Text(32));
const FAPIAO: Field = may("support_fapiao", Kind::Bool);
const LIMIT_PAY: Field = may("limit_pay", Kind::Texts);
const AMOUNT_FIELD: Field = must("amount", Kind::Object(&AMOUNT));
const DETAIL_FIELD: Field = may("detail", Kind::Object(&DETAIL));
const SETTLE_FIELD: Field = may("settle_info", Kind::Object(&SETTLE));

/// What orders of all kinds but those by a shown code have.
const COMMON: [Field; 13] = [
    APPID,
    MCHID,
    DESCRIPTION,
    OUT_TRADE_NO,
    TIME_EXPIRE,
    ATTACH,
    NOTIFY_URL,
    GOODS_TAG,
    FAPIAO,
    LIMIT_PAY,
    AMOUNT_FIELD,
    DETAIL_FIELD,
    SETTLE_FIELD,
];
const ORDER: [Field; 1] = [may("scene_info", Kind::Object(&SCENE))];
const JSAPI: [Field; 2] = [may("scene_info", Kind::Object(&SCENE)), must("payer", Kind::Object(&PAYER))];
const H5: [Field; 1] = [must("scene_info", Kind::Object(&H5_SCENE))];

/// Source: §10, code payment v3. `wxpay_goods_id` is spelled so here.
const CODEPAY_GOODS: [Field; 5] = [
    must("merchant_goods_id", Kind::Text(32)),
    may("wxpay_goods_id", Kind::Text(32)),
    may("goods_name", Kind::Text(256)),
    must("quantity", Kind::Integer(1)),
    must("unit_price", Kind::Integer(1)),
];
const CODEPAY_DETAIL: [Field; 3] = [
    may("cost_price", Kind::Integer(1)),
    may("invoice_id", Kind::Text(32)),
    may("goods_detail", Kind::Objects(&CODEPAY_GOODS)),
];
const CODEPAY_STORE: [Field; 2] = [may("id", Kind::Text(32)), may("out_id", Kind::Text(32))];
const CODEPAY_SCENE: [Field; 3] = [
    may("device_id", Kind::Text(32)),
    may("device_ip", Kind::Text(45)),
    may("store_info", Kind::Object(&CODEPAY_STORE)),
];
const CODEPAY_PAYER: [Field; 1] = [must("auth_code", Kind::Text(32))];
const CODEPAY: [Field; 12] = [
    APPID,
    MCHID,
    DESCRIPTION,
    OUT_TRADE_NO,
    ATTACH,
    GOODS_TAG,
    FAPIAO,
    AMOUNT_FIELD,
    must("payer", Kind::Object(&CODEPAY_PAYER)),
    must("scene_info", Kind::Object(&CODEPAY_SCENE)),
    may("detail", Kind::Object(&CODEPAY_DETAIL)),
    SETTLE_FIELD,
];
const CLOSE: [Field; 1] = [MCHID];
const REVERSE: [Field; 2] = [APPID, MCHID];

const REFUND_FROM: [Field; 2] =
    [must("account", Kind::Word(&["AVAILABLE", "UNAVAILABLE"])), must("amount", Kind::Integer(1))];
const REFUND_AMOUNT: [Field; 4] = [
    must("refund", Kind::Integer(1)),
    must("total", Kind::Integer(1)),
    must("currency", Kind::Word(&["CNY"])),
    may("from", Kind::Objects(&REFUND_FROM)),
];
const REFUND_GOODS: [Field; 6] = [
    must("merchant_goods_id", Kind::Text(32)),
    may("wechatpay_goods_id", Kind::Text(32)),
    may("goods_name", Kind::Text(256)),
    must("unit_price", Kind::Integer(1)),
    must("refund_amount", Kind::Integer(1)),
    must("refund_quantity", Kind::Integer(1)),
];
const REFUND: [Field; 8] = [
    may("transaction_id", Kind::Text(32)),
    may("out_trade_no", Kind::OrderNumber),
    must("out_refund_no", Kind::RefundNumber),
    may("reason", Kind::Text(80)),
    may("notify_url", Kind::Text(256)),
    may("funds_account", Kind::Word(&["AVAILABLE"])),
    must("amount", Kind::Object(&REFUND_AMOUNT)),
    may("goods_detail", Kind::Objects(&REFUND_GOODS)),
];
/// Banks whose debit cards can be named. Source: "发起异常退款", bank_type.
const BANKS: [&str; 15] = [
    "CMB_DEBIT",
    "COMM_DEBIT",
    "ABC_DEBIT",
    "CCB_DEBIT",
    "ICBC_DEBIT",
    "BOC_DEBIT",
    "PAB_DEBIT",
    "SPDB_DEBIT",
    "CITIC_DEBIT",
    "CEB_DEBIT",
    "CMBC_DEBIT",
    "CIB_DEBIT",
    "GDB_DEBIT",
    "PSBC_DEBIT",
    "NBCB_DEBIT",
];
const HELP: [Field; 5] = [
    must("out_refund_no", Kind::RefundNumber),
    must("type", Kind::Word(&["USER_BANK_CARD", "MERCHANT_BANK_CARD"])),
    may("bank_type", Kind::Text(16)),
    may("bank_account", Kind::Text(1024)),
    may("real_name", Kind::Text(1024)),
];

/// A request without its signature.
pub struct Asked<'a> {
    pub method: &'a str,
    /// Below the provider's root, percent-encoded, without the query.
    pub path: &'a str,
    pub query: &'a str,
    pub body: &'a [u8],
}

impl Call {
    pub fn read(asked: &Asked<'_>, mchid: &str, merchant: &Merchant) -> Result<Call, WireError> {
        let parts = asked.path.split('/').skip(1).map(decoded).collect::<Option<Vec<String>>>();
        let parts = parts.ok_or_else(nowhere)?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match (asked.method, parts.as_slice()) {
            ("POST", ["v3", "pay", "transactions", how]) => {
                let trade_type = TradeType::ALL.into_iter().find(|trade| trade.path() == *how).ok_or_else(nowhere)?;
                order(asked.body, trade_type, mchid, merchant).map(Call::Order)
            }
            ("GET", ["v3", "pay", "transactions", "out-trade-no", number]) => {
                own_number(asked.query, mchid)?;
                order_number(number).map(Call::QueryByNumber)
            }
            ("GET", ["v3", "pay", "transactions", "id", transaction]) => {
                own_number(asked.query, mchid)?;
                Ok(Call::QueryByTransaction((*transaction).to_owned()))
            }
            ("POST", ["v3", "pay", "transactions", "out-trade-no", number, "close"]) => {
                same_merchant(&read(asked.body, &[&CLOSE])?, mchid)?;
                order_number(number).map(Call::Close)
            }
            ("POST", ["v3", "pay", "transactions", "out-trade-no", number, "reverse"]) => {
                let body = read(asked.body, &[&REVERSE])?;
                same_merchant(&body, mchid)?;
                own_app(&body, merchant)?;
                order_number(number).map(Call::Reverse)
            }
            ("POST", ["v3", "refund", "domestic", "refunds"]) => refund(asked.body).map(Call::Refund),
            ("GET", ["v3", "refund", "domestic", "refunds", number]) => {
                if is_refund_number(number) {
                    Ok(Call::QueryRefund((*number).to_owned()))
                } else {
                    Err(WireError::param("/out_refund_no", "长度或字符不符合要求", "path"))
                }
            }
            ("POST", ["v3", "refund", "domestic", "refunds", refund_id, "apply-abnormal-refund"]) => {
                let body = read(asked.body, &[&HELP])?;
                let user_card = text(&body, "type") == Some("USER_BANK_CARD");
                if user_card && (text(&body, "bank_account").is_none() || text(&body, "real_name").is_none()) {
                    return Err(WireError::param("/bank_account", "缺少必填参数", "body"));
                }
                if user_card && !text(&body, "bank_type").is_some_and(|bank| BANKS.contains(&bank)) {
                    return Err(WireError::param("/bank_type", "不支持的开户银行", "body"));
                }
                let out_refund_no = text(&body, "out_refund_no").unwrap_or_default().to_owned();
                let to = if user_card { Helped::Card } else { Helped::Merchant };
                Ok(Call::HelpRefund { refund_id: (*refund_id).to_owned(), out_refund_no, to })
            }
            ("GET", ["v3", "certificates"]) => Ok(Call::Certificates),
            ("GET", ["v3", "bill", "tradebill"]) => bill(asked.query, false).map(Call::Bill),
            ("GET", ["v3", "bill", "fundflowbill"]) => bill(asked.query, true).map(Call::Bill),
            ("GET", ["v3", "billdownload", "file"]) => {
                let token = parameter(asked.query, "token");
                token.map(Call::Download).ok_or_else(|| WireError::param("/token", "缺少必填参数", "query"))
            }
            _ => Err(nowhere()),
        }
    }

    /// The order number by which the faults are found, and the number whose troubled answers are counted.
    pub fn numbers(&self) -> (&str, &str) {
        match self {
            Call::Order(order) => (&order.out_trade_no, &order.out_trade_no),
            Call::QueryByNumber(number) | Call::Close(number) | Call::Reverse(number) => (number, number),
            Call::QueryByTransaction(transaction) => ("", transaction),
            Call::Refund(refund) => (refund.out_trade_no.as_deref().unwrap_or_default(), &refund.out_refund_no),
            Call::QueryRefund(number) => ("", number),
            Call::HelpRefund { out_refund_no, .. } => ("", out_refund_no),
            Call::Certificates => ("", "certificates"),
            Call::Bill(bill) => ("", &bill.date),
            Call::Download(_) => ("", "download"),
        }
    }
}

/// The text of a field, where there is one.
pub fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}

fn order(body: &[u8], trade_type: TradeType, mchid: &str, merchant: &Merchant) -> Result<OrderCall, WireError> {
    let mut body = read(body, &trade_type.fields())?;
    same_merchant(&body, mchid)?;
    own_app(&body, merchant)?;
    let amount = money(&body, "amount", "total")?;
    let time_expire = match body.remove("time_expire").as_ref().and_then(Value::as_str) {
        None => None,
        Some(text) => Some(rfc3339(text).ok_or_else(|| WireError::param("/time_expire", "时间格式不正确", "body"))?),
    };
    let auth_code = body.get_mut("payer").and_then(|payer| payer.as_object_mut()?.remove("auth_code"));
    let auth_code = auth_code.as_ref().and_then(Value::as_str).map(str::to_owned);
    if let Some(code) = &auth_code {
        let plain = code.len() == 18 && code.bytes().all(|b| b.is_ascii_digit());
        let known = code.get(..2).is_some_and(|head| ("10"..="15").contains(&head));
        if !plain || !known {
            return Err(WireError::new(400, "INVALID_REQUEST", "付款码无效，请用户刷新后重新扫码"));
        }
    }
    let owned = |name: &str| text(&body, name).map(str::to_owned);
    Ok(OrderCall {
        trade_type,
        out_trade_no: owned("out_trade_no").unwrap_or_default(),
        amount,
        description: owned("description").unwrap_or_default(),
        time_expire,
        notify_url: owned("notify_url"),
        auth_code,
        body,
    })
}

fn refund(body: &[u8]) -> Result<RefundCall, WireError> {
    let body = read(body, &[&REFUND])?;
    let owned = |name: &str| text(&body, name).map(str::to_owned);
    let (transaction_id, out_trade_no) = (owned("transaction_id"), owned("out_trade_no"));
    if transaction_id.is_none() && out_trade_no.is_none() {
        return Err(WireError::param("/transaction_id", "微信支付订单号与商户订单号须二选一", "body"));
    }
    let (refund, total) = (money(&body, "amount", "refund")?, money(&body, "amount", "total")?);
    let from = body.get("amount").and_then(|amount| amount.get("from")).and_then(Value::as_array);
    if let Some(from) = from {
        let parts = from.iter().filter_map(|part| part.get("amount").and_then(Value::as_u64));
        if parts.sum::<u64>() != refund.minor() {
            return Err(WireError::param("/amount/from", "出资金额之和须等于退款金额", "body"));
        }
    }
    if refund.minor() > total.minor() {
        return Err(WireError::param("/amount/refund", "退款金额大于订单金额", "body").numbered(268_435_464));
    }
    Ok(RefundCall {
        transaction_id,
        out_trade_no,
        out_refund_no: owned("out_refund_no").unwrap_or_default(),
        refund,
        total,
        notify_url: owned("notify_url"),
        body,
    })
}

fn bill(query: &str, funds: bool) -> Result<BillCall, WireError> {
    let date = parameter(query, "bill_date").ok_or_else(|| WireError::param("/bill_date", "缺少必填参数", "query"))?;
    let wrong = |field: &str| WireError::param(field, "取值不在范围内", "query");
    let word = parameter(query, if funds { "account_type" } else { "bill_type" });
    let kind = match (funds, word.as_deref()) {
        (false, None | Some("ALL")) => BillKind::All,
        (false, Some("SUCCESS")) => BillKind::Success,
        (false, Some("REFUND")) => BillKind::Refund,
        (true, None | Some("BASIC")) => BillKind::FundFlow,
        (true, Some("OPERATION" | "FEES")) => BillKind::OtherFunds,
        (false, Some(_)) => return Err(wrong("/bill_type")),
        (true, Some(_)) => return Err(wrong("/account_type")),
    };
    let gzip = match parameter(query, "tar_type").as_deref() {
        None => false,
        Some("GZIP") => true,
        Some(_) => return Err(wrong("/tar_type")),
    };
    Ok(BillCall { kind, date, gzip })
}

fn money(body: &Map<String, Value>, object: &str, name: &str) -> Result<Money, WireError> {
    let minor = body.get(object).and_then(|amount| amount.get(name)).and_then(Value::as_u64);
    match minor.filter(|minor| *minor <= AMOUNT_MAX_MINOR) {
        Some(minor) => Ok(Money::new(minor, Currency::CNY)),
        None => Err(WireError::param(&format!("/{object}/{name}"), "取值超出范围", "body").numbered(268_435_464)),
    }
}

/// With an offset, as the provider wants it.
fn rfc3339(text: &str) -> Option<Timestamp> {
    let plain = text.len() >= 20 && text.as_bytes().get(10) == Some(&b'T');
    if plain { Timestamp::parse_rfc3339(text) } else { None }
}

fn same_merchant(body: &Map<String, Value>, mchid: &str) -> Result<(), WireError> {
    if text(body, "mchid") == Some(mchid) {
        return Ok(());
    }
    let detail = serde_json::json!({ "field": "/mchid", "issue": "与签名的商户号不一致" });
    Err(WireError::sign("Http头Authorization中的mchid与请求参数中的mchid不一致", detail))
}

fn own_app(body: &Map<String, Value>, merchant: &Merchant) -> Result<(), WireError> {
    let appid = text(body, "appid").unwrap_or_default();
    if merchant.appids.iter().any(|own| own == appid) {
        return Ok(());
    }
    Err(WireError::new(400, "APPID_MCHID_NOT_MATCH", "appid和mchid不匹配，请检查后再试").numbered(268_445_527))
}

fn own_number(query: &str, mchid: &str) -> Result<(), WireError> {
    match parameter(query, "mchid") {
        Some(named) if named == mchid => Ok(()),
        Some(_) => {
            let detail = serde_json::json!({ "field": "mchid", "location": "query" });
            Err(WireError::sign("Http头Authorization中的mchid与请求参数中的mchid不一致", detail))
        }
        None => Err(WireError::param("/mchid", "缺少必填参数", "query")),
    }
}

fn order_number(text: &str) -> Result<String, WireError> {
    if is_order_number(text) {
        Ok(text.to_owned())
    } else {
        Err(WireError::param("/out_trade_no", "长度或字符不符合要求", "path"))
    }
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

/// Percent-decoded; a plus sign stays one.
fn decoded(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == b'%' {
            let (digits, tail) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

fn nowhere() -> WireError {
    WireError::new(404, "RESOURCE_NOT_EXISTS", "没有这个接口，请检查请求方法与路径")
}
