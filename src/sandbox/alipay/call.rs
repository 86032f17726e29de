//! The content of a call (`biz_content`), read with the provider's limits. Source: §9, §10, §13.

use serde_json::{Map, Value};

use super::fault::{Wrong, business, invalid, parameter};
use super::view::beijing_time;
use crate::domain::money::{Currency, Money};
use crate::domain::time::{Duration, Timestamp};

/// How the payer comes to the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    Qr,
    BarCode,
    /// Mini programs.
    Create,
    Page,
    Wap,
    App,
}

impl Product {
    pub const ALL: [Product; 6] =
        [Product::Qr, Product::BarCode, Product::Create, Product::Page, Product::Wap, Product::App];

    pub const fn method(self) -> &'static str {
        match self {
            Product::Qr => "alipay.trade.precreate",
            Product::BarCode => "alipay.trade.pay",
            Product::Create => "alipay.trade.create",
            Product::Page => "alipay.trade.page.pay",
            Product::Wap => "alipay.trade.wap.pay",
            Product::App => "alipay.trade.app.pay",
        }
    }

    /// Product codes that fit, the first being the one that is meant without any. Web products have to name theirs.
    const fn codes(self) -> &'static [&'static str] {
        match self {
            Product::Qr => &["FACE_TO_FACE_PAYMENT", "QR_CODE_OFFLINE"],
            Product::BarCode => &["FACE_TO_FACE_PAYMENT"],
            Product::Create => &["FACE_TO_FACE_PAYMENT", "JSAPI_PAY"],
            Product::Page => &["FAST_INSTANT_TRADE_PAY"],
            // The second is what older documents and SDKs say.
            Product::Wap => &["QUICK_WAP_WAY", "QUICK_WAP_PAY"],
            Product::App => &["QUICK_MSECURITY_PAY"],
        }
    }

    /// Carried by the payer's browser or app, not by the merchant's server.
    pub const fn by_device(self) -> bool {
        matches!(self, Product::Page | Product::Wap | Product::App)
    }

    /// How long an order without a time of its own can be paid.
    const fn life(self) -> Duration {
        match self {
            Product::Qr | Product::BarCode | Product::Create => Duration::from_hours(3),
            Product::Page | Product::Wap | Product::App => Duration::from_days(15),
        }
    }
}

/// Until when an order can be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    At(Timestamp),
    In(Duration),
    /// Until midnight in Beijing (`1c`).
    Today,
}

/// A new order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trade {
    pub product: Product,
    pub out_trade_no: String,
    pub amount: Money,
    pub subject: String,
    pub expiry: Expiry,
    /// The digits that the payer showed.
    pub auth_code: Option<String>,
    /// The content without what may differ in a repetition.
    pub biz: Map<String, Value>,
}

/// Names a trade; the provider's own number wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Which {
    pub trade_no: Option<String>,
    pub out_trade_no: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundAsked {
    pub which: Which,
    pub amount: Money,
    pub out_request_no: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BillKind {
    Trade,
    Funds,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Trade(Box<Trade>),
    Query(Which),
    Close(Which),
    Cancel(Which),
    Refund(RefundAsked),
    RefundQuery {
        which: Which,
        out_request_no: String,
    },
    Bill {
        kind: BillKind,
        /// `yyyy-MM-dd` or `yyyy-MM`.
        date: String,
    },
    Certificate {
        sn: String,
    },
}

pub const QUERY: &str = "alipay.trade.query";
pub const CLOSE: &str = "alipay.trade.close";
pub const CANCEL: &str = "alipay.trade.cancel";
pub const REFUND: &str = "alipay.trade.refund";
pub const REFUND_QUERY: &str = "alipay.trade.fastpay.refund.query";
pub const BILL: &str = "alipay.data.dataservice.bill.downloadurl.query";
pub const CERTIFICATE: &str = "alipay.open.app.alipaycert.download";

pub fn is_method(method: &str) -> bool {
    [QUERY, CLOSE, CANCEL, REFUND, REFUND_QUERY, BILL, CERTIFICATE].contains(&method) || product(method).is_some()
}

pub fn product(method: &str) -> Option<Product> {
    Product::ALL.into_iter().find(|product| product.method() == method)
}

impl Call {
    /// `content` is the plain text of the content.
    pub fn read(method: &str, content: &str, pid: &str) -> Result<Call, Wrong> {
        let biz: Value = serde_json::from_str(content).map_err(|_| invalid("isv.invalid-parameter"))?;
        let Value::Object(biz) = biz else { return Err(invalid("isv.invalid-parameter")) };
        if let Some(product) = product(method) {
            return trade(product, biz, pid).map(|trade| Call::Trade(Box::new(trade)));
        }
        match method {
            QUERY => which(&biz).map(Call::Query),
            CLOSE => which(&biz).map(Call::Close),
            CANCEL => which(&biz).map(Call::Cancel),
            REFUND => {
                limited(&biz, "refund_reason", 256)?;
                let out_request_no = limited(&biz, "out_request_no", 64)?.map(str::to_owned);
                let amount = amount(&biz, "refund_amount")?;
                Ok(Call::Refund(RefundAsked { which: which(&biz)?, amount, out_request_no }))
            }
            REFUND_QUERY => {
                let out_request_no = needed(&biz, "out_request_no", 64)?.to_owned();
                Ok(Call::RefundQuery { which: which(&biz)?, out_request_no })
            }
            BILL => bill(&biz),
            CERTIFICATE => Ok(Call::Certificate { sn: needed(&biz, "alipay_cert_sn", 32)?.to_owned() }),
            _ => Err(invalid("isv.invalid-method")),
        }
    }

    /// The order number by which the faults are found, and the number whose troubled answers are counted.
    pub fn numbers(&self) -> (&str, &str) {
        match self {
            Call::Trade(trade) => (&trade.out_trade_no, &trade.out_trade_no),
            Call::Query(which) | Call::Close(which) | Call::Cancel(which) => (which.order(), which.any()),
            Call::Refund(asked) => (asked.which.order(), asked.out_request_no.as_deref().unwrap_or(asked.which.any())),
            Call::RefundQuery { which, out_request_no } => (which.order(), out_request_no),
            Call::Bill { date, .. } => ("", date),
            Call::Certificate { sn } => ("", sn),
        }
    }
}

impl Which {
    fn order(&self) -> &str {
        self.out_trade_no.as_deref().unwrap_or_default()
    }

    fn any(&self) -> &str {
        self.trade_no.as_deref().or(self.out_trade_no.as_deref()).unwrap_or_default()
    }
}

fn which(biz: &Map<String, Value>) -> Result<Which, Wrong> {
    let trade_no = limited(biz, "trade_no", 64)?.map(str::to_owned);
    let out_trade_no = match limited(biz, "out_trade_no", 64)? {
        Some(_) => Some(order_number(biz)?),
        None => None,
    };
    if trade_no.is_none() && out_trade_no.is_none() {
        return Err(parameter("out_trade_no", "与 trade_no 不能同时为空"));
    }
    Ok(Which { trade_no, out_trade_no })
}

fn trade(product: Product, mut biz: Map<String, Value>, pid: &str) -> Result<Trade, Wrong> {
    let out_trade_no = order_number(&biz)?;
    let amount = amount(&biz, "total_amount")?;
    let subject = needed(&biz, "subject", 256)?.to_owned();
    if subject.contains(['/', '=', '&']) {
        return Err(parameter("subject", "不能含有 / = &"));
    }
    for (name, most) in [
        ("body", 128),
        ("operator_id", 28),
        ("store_id", 32),
        ("terminal_id", 32),
        ("passback_params", 512),
        ("quit_url", 400),
        ("merchant_order_no", 32),
    ] {
        limited(&biz, name, most)?;
    }
    for name in ["discountable_amount", "undiscountable_amount"] {
        if biz.contains_key(name) {
            yuan(&biz, name)?;
        }
    }
    if biz.get("extend_params").is_some_and(|value| !value.is_object()) {
        return Err(parameter("extend_params", "应为 JSON 对象"));
    }
    goods(&biz)?;
    if limited(&biz, "seller_id", 28)?.is_some_and(|seller| seller != pid) {
        return Err(business("ACQ.SELLER_NOT_EXIST", "卖家不存在"));
    }
    if biz.contains_key("enable_pay_channels") && biz.contains_key("disable_pay_channels") {
        return Err(parameter("enable_pay_channels", "与 disable_pay_channels 互斥"));
    }
    match limited(&biz, "product_code", 64)? {
        Some(code) if product.codes().contains(&code) => {}
        Some(_) => return Err(parameter("product_code", "与接口不符")),
        // The App's product is the only one of its interface, and the Easy SDK does not name it.
        None if product.by_device() && product != Product::App => {
            return Err(parameter("product_code", "不能为空"));
        }
        None => {}
    }
    let in_mini_program = limited(&biz, "product_code", 64)? == Some("JSAPI_PAY");
    if in_mini_program && limited(&biz, "op_app_id", 32)?.is_none() {
        return Err(parameter("op_app_id", "不能为空"));
    }
    let auth_code = if product == Product::BarCode { Some(shown_code(&biz)?) } else { None };
    if product == Product::Create
        && limited(&biz, "buyer_id", 28)?.is_none()
        && limited(&biz, "buyer_open_id", 128)?.is_none()
    {
        return Err(parameter("buyer_id", "与 buyer_open_id 不能同时为空"));
    }
    let expiry = expiry(&biz, product)?;
    for name in ["time_expire", "timeout_express", "auth_code", "out_trade_no", "total_amount", "subject"] {
        biz.remove(name);
    }
    Ok(Trade { product, out_trade_no, amount, subject, expiry, auth_code, biz })
}

/// Source: §9: every item names itself, how many of it and what one costs.
fn goods(biz: &Map<String, Value>) -> Result<(), Wrong> {
    let items = match biz.get("goods_detail") {
        None => return Ok(()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(parameter("goods_detail", "应为 JSON 数组")),
    };
    for item in items {
        let Value::Object(item) = item else { return Err(parameter("goods_detail", "元素应为 JSON 对象")) };
        needed(item, "goods_id", 64)?;
        needed(item, "goods_name", 256)?;
        if !item.get("quantity").is_some_and(|count| count.is_u64() || count.is_string()) {
            return Err(parameter("goods_detail.quantity", "不能为空"));
        }
        amount(item, "price")?;
    }
    Ok(())
}

fn shown_code(biz: &Map<String, Value>) -> Result<String, Wrong> {
    match needed(biz, "scene", 32)? {
        "bar_code" | "wave_code" | "security_code" => {}
        _ => return Err(parameter("scene", "取值不正确")),
    }
    let code = needed(biz, "auth_code", 64)?;
    let plain = (16..=24).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_digit());
    let known = code.get(..2).is_some_and(|head| ("25"..="30").contains(&head));
    if plain && known {
        Ok(code.to_owned())
    } else {
        Err(business("ACQ.PAYMENT_AUTH_CODE_INVALID", "支付授权码无效"))
    }
}

fn expiry(biz: &Map<String, Value>, product: Product) -> Result<Expiry, Wrong> {
    if let Some(text) = limited(biz, "time_expire", 32)? {
        let at = beijing_time(text).ok_or_else(|| parameter("time_expire", "格式应为 yyyy-MM-dd HH:mm:ss"))?;
        return Ok(Expiry::At(at));
    }
    let Some(text) = limited(biz, "timeout_express", 6)? else { return Ok(Expiry::In(product.life())) };
    let wrong = || parameter("timeout_express", "取值为 1m～15d，单位 m、h、d 或 1c");
    if text == "1c" {
        return Ok(Expiry::Today);
    }
    let unit = text.chars().last().ok_or_else(wrong)?;
    let count = &text[..text.len() - unit.len_utf8()];
    let count =
        Some(count).filter(|count| count.bytes().all(|b| b.is_ascii_digit())).and_then(|c| c.parse::<u64>().ok());
    let minutes = match (count, unit) {
        (Some(count), 'm') => count,
        (Some(count), 'h') => count.saturating_mul(60),
        (Some(count), 'd') => count.saturating_mul(24 * 60),
        (Some(_) | None, _) => return Err(wrong()),
    };
    if (1..=15 * 24 * 60).contains(&minutes) { Ok(Expiry::In(Duration::from_minutes(minutes))) } else { Err(wrong()) }
}

fn bill(biz: &Map<String, Value>) -> Result<Call, Wrong> {
    let kind = match needed(biz, "bill_type", 20)? {
        "trade" => BillKind::Trade,
        "signcustomer" => BillKind::Funds,
        "merchant_act" | "trade_zft_merchant" | "zft_acc" | "settlementMerge" => {
            return Err(business("TYPE_NOT_SUPPORTED", "账单类型不支持"));
        }
        _ => return Err(business("INVAILID_ARGUMENTS", "入参不合法")),
    };
    let date = needed(biz, "bill_date", 15)?;
    let shaped = |pattern: &[u8]| {
        date.len() == pattern.len()
            && date.bytes().zip(pattern).all(|(b, p)| if *p == b'-' { b == b'-' } else { b.is_ascii_digit() })
    };
    if !shaped(b"0000-00-00") && !shaped(b"0000-00") {
        return Err(business("INVAILID_ARGUMENTS", "入参不合法"));
    }
    Ok(Call::Bill { kind, date: date.to_owned() })
}

/// Source: §9: letters, digits and underscores, at most 64.
fn order_number(biz: &Map<String, Value>) -> Result<String, Wrong> {
    let number = needed(biz, "out_trade_no", 64)?;
    if number.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        Ok(number.to_owned())
    } else {
        Err(parameter("out_trade_no", "仅支持字母、数字、下划线"))
    }
}

/// Yuan with at most two decimals, from 0.01 to 100,000,000; a text or a JSON number, by its digits.
fn amount(biz: &Map<String, Value>, name: &str) -> Result<Money, Wrong> {
    match yuan(biz, name)? {
        0 => Err(parameter(name, "取值范围 0.01～100000000，精确到小数点后两位")),
        minor => Ok(Money::new(minor, Currency::CNY)),
    }
}

/// The same, nothing included, in fen.
fn yuan(biz: &Map<String, Value>, name: &str) -> Result<u64, Wrong> {
    let wrong = || parameter(name, "取值范围 0.01～100000000，精确到小数点后两位");
    let text = match biz.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) | None => return Err(wrong()),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let shaped = !whole.is_empty() && digits(whole) && digits(fraction) && fraction.len() <= 2 && text.len() <= 12;
    if !shaped || text.ends_with('.') {
        return Err(wrong());
    }
    let minor = format!("{whole}{fraction:0<2}").parse::<u64>().map_err(|_| wrong())?;
    if minor <= 10_000_000_000 { Ok(minor) } else { Err(wrong()) }
}

fn needed<'a>(biz: &'a Map<String, Value>, name: &str, most: usize) -> Result<&'a str, Wrong> {
    limited(biz, name, most)?.ok_or_else(|| parameter(name, "不能为空"))
}

fn limited<'a>(biz: &'a Map<String, Value>, name: &str, most: usize) -> Result<Option<&'a str>, Wrong> {
    match biz.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if text.chars().count() <= most => Ok(Some(text)),
        Some(Value::String(_)) => Err(parameter(name, "超过长度限制")),
        Some(_) => Err(parameter(name, "应为字符串")),
    }
}
