//! Which call it is and whether its fields are as they have to be. Source: §2 and §4 of the fact sheet.

use super::time::{read_beijing, read_day};
use super::wire::Fields;
use crate::domain::money::{AMOUNT_MAX_MINOR, Currency, Money};
use crate::domain::time::{Duration, Timestamp};

/// By which address a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    Front,
    Back,
    App,
    Query,
    File,
}

/// A code of the provider with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub code: &'static str,
    pub text: String,
}

impl Trouble {
    pub fn new(code: &'static str, text: &str) -> Self {
        Self { code, text: text.to_owned() }
    }
}

/// How the payer is to pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Page,
    App,
    /// 主扫: the payer scans.
    Code,
    /// 被扫: the payer's code was scanned.
    ShownCode,
}

#[derive(Clone, Debug)]
pub enum Call {
    Consume {
        way: Way,
        amount: Money,
        until: Timestamp,
        qr_no: Option<String>,
    },
    Query(Asked),
    /// 冲正, of the transaction with this number and time.
    Reverse,
    /// 撤销 (31) or 退货 (04).
    GiveBack {
        whole: bool,
        amount: Money,
        original: Asked,
    },
    /// `MMDD`: which year, the provider's own day decides.
    File {
        settle_date: String,
    },
    /// 加密公钥更新查询: which certificate to encrypt with.
    EncryptionKey,
}

/// How a transaction is named.
#[derive(Clone, Debug)]
pub enum Asked {
    ByNumber { order_id: String, txn_time: String },
    ByQueryId(String),
}

/// A new transaction whose `txnTime` is older is stale, and one that is further ahead comes from a wrong clock. The sheet
/// says only "clearly stale".
const STALE_AFTER: Duration = Duration::from_days(1);
const AHEAD_MAX: Duration = Duration::from_minutes(10);

/// Reads a call whose signature was checked. `now` is the real time, by which merchants make theirs.
pub fn read(interface: Interface, fields: &Fields, now: Timestamp) -> Result<Call, Trouble> {
    fixed(fields, "accessType", &["0"])?;
    let kind = (must(fields, "txnType")?, must(fields, "txnSubType")?, must(fields, "bizType")?);
    match (interface, kind) {
        (Interface::Front, ("01", "01", "000201" | "000202")) => consume(fields, Way::Page, now),
        (Interface::App, ("01", "01", "000201")) => consume(fields, Way::App, now),
        (Interface::Back, ("01", "07", "000000")) => consume(fields, Way::Code, now),
        (Interface::Back, ("01", "06", "000000")) => consume(fields, Way::ShownCode, now),
        (Interface::Back, ("99", "01", "000000")) => {
            key(fields)?;
            Ok(Call::Reverse)
        }
        (Interface::Back, ("31", "00", "000201" | "000000")) => give_back(fields, true, now),
        (Interface::Back, ("04", "00", "000201" | "000000")) => give_back(fields, false, now),
        // Source: §3.7.
        (Interface::Back, ("95", "00", "000000")) => {
            key(fields)?;
            fresh(fields, now)?;
            fixed(fields, "channelType", &["07", "08"])?;
            fixed(fields, "certType", &["01"])?;
            Ok(Call::EncryptionKey)
        }
        (Interface::Query, ("00", "02", _)) => Ok(Call::Query(Asked::ByQueryId(query_id(fields, "queryId")?))),
        (Interface::Query, ("00", "00", _)) => {
            let (order_id, txn_time) = key(fields)?;
            Ok(Call::Query(Asked::ByNumber { order_id, txn_time }))
        }
        (Interface::File, ("76", "01", "000000")) => {
            fixed(fields, "fileType", &["00"])?;
            time(fields, "txnTime")?;
            let settle_date = must(fields, "settleDate")?;
            read_day(settle_date, now).ok_or_else(|| ill_formed("settleDate"))?;
            Ok(Call::File { settle_date: settle_date.to_owned() })
        }
        _ => Err(Trouble::new("32", "无此交易权限[2050002]")),
    }
}

/// The number and time that a message is about, where it has them.
pub fn key(fields: &Fields) -> Result<(String, String), Trouble> {
    let order_id = must(fields, "orderId")?;
    let plain = (8..=40).contains(&order_id.len()) && order_id.bytes().all(|b| b.is_ascii_alphanumeric());
    if !plain {
        return Err(ill_formed("orderId"));
    }
    time(fields, "txnTime")?;
    Ok((order_id.to_owned(), must(fields, "txnTime")?.to_owned()))
}

fn consume(fields: &Fields, way: Way, now: Timestamp) -> Result<Call, Trouble> {
    key(fields)?;
    fresh(fields, now)?;
    let channels: &[&str] = if way == Way::Page { &["07", "08"] } else { &["08"] };
    fixed(fields, "channelType", channels)?;
    fixed(fields, "currencyCode", &["156"])?;
    url(fields, "backUrl")?;
    if way == Way::Page || fields.contains_key("frontUrl") {
        url(fields, "frontUrl")?;
    }
    let until = match fields.get("payTimeout") {
        Some(_) => time(fields, "payTimeout")?,
        None => now.plus(Duration::from_minutes(15)),
    };
    if until <= now {
        return Err(Trouble::new("10", "payTimeout 早于当前时间[9100004]"));
    }
    let qr_no = match way {
        // Source: §2: digits that start with 62, usually 19.
        Way::ShownCode => Some(must(fields, "qrNo")?).filter(|code| is_digits(code, 16..=20) && code.starts_with("62")),
        Way::Page | Way::App | Way::Code => None,
    };
    if way == Way::ShownCode && qr_no.is_none() {
        return Err(ill_formed("qrNo"));
    }
    for (name, max) in
        [("riskRateInfo", 2048), ("reserved", 2048), ("reqReserved", 1024), ("orderDesc", 32), ("termId", 8)]
    {
        if fields.get(name).is_some_and(|value| value.len() > max) {
            return Err(ill_formed(name));
        }
    }
    let goods = fields.get("riskRateInfo").is_none_or(|value| value.starts_with('{') && value.ends_with('}'));
    if !goods {
        return Err(ill_formed("riskRateInfo"));
    }
    Ok(Call::Consume { way, amount: amount(fields)?, until, qr_no: qr_no.map(str::to_owned) })
}

fn give_back(fields: &Fields, whole: bool, now: Timestamp) -> Result<Call, Trouble> {
    key(fields)?;
    fresh(fields, now)?;
    fixed(fields, "channelType", &["07", "08"])?;
    if fields.contains_key("currencyCode") {
        fixed(fields, "currencyCode", &["156"])?;
    }
    url(fields, "backUrl")?;
    let original = if fields.contains_key("origQryId") {
        Asked::ByQueryId(query_id(fields, "origQryId")?)
    } else {
        time(fields, "origTxnTime")?;
        Asked::ByNumber {
            order_id: must(fields, "origOrderId")?.to_owned(),
            txn_time: must(fields, "origTxnTime")?.to_owned(),
        }
    };
    Ok(Call::GiveBack { whole, amount: amount(fields)?, original })
}

fn must<'a>(fields: &'a Fields, name: &str) -> Result<&'a str, Trouble> {
    let value = fields.get(name).map(String::as_str).filter(|value| !value.is_empty());
    value.ok_or_else(|| Trouble::new("13", &format!("报文交易要素缺失[{name}]")))
}

fn fixed(fields: &Fields, name: &str, allowed: &[&str]) -> Result<(), Trouble> {
    if allowed.contains(&must(fields, name)?) { Ok(()) } else { Err(ill_formed(name)) }
}

fn time(fields: &Fields, name: &str) -> Result<Timestamp, Trouble> {
    read_beijing(must(fields, name)?).ok_or_else(|| ill_formed(name))
}

fn fresh(fields: &Fields, now: Timestamp) -> Result<(), Trouble> {
    let sent = time(fields, "txnTime")?;
    if now.since(sent) > STALE_AFTER || sent.since(now) > AHEAD_MAX {
        return Err(Trouble::new("10", "订单发送时间txnTime无效[9100004]"));
    }
    Ok(())
}

fn url(fields: &Fields, name: &str) -> Result<(), Trouble> {
    let text = must(fields, name)?;
    let parsed = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    if text.len() <= 256 && parsed.is_some() { Ok(()) } else { Err(ill_formed(name)) }
}

fn query_id(fields: &Fields, name: &str) -> Result<String, Trouble> {
    let text = must(fields, name)?;
    if is_digits(text, 21..=21) { Ok(text.to_owned()) } else { Err(ill_formed(name)) }
}

/// Fen, without a point and without zeros in front.
fn amount(fields: &Fields) -> Result<Money, Trouble> {
    let text = must(fields, "txnAmt")?;
    let minor = text.parse().ok().filter(|_| is_digits(text, 1..=12) && !text.starts_with('0'));
    match minor {
        Some(minor) if minor <= AMOUNT_MAX_MINOR => Ok(Money::new(minor, Currency::CNY)),
        Some(_) => Err(Trouble::new("33", "交易金额超限[2020012]")),
        None => Err(ill_formed("txnAmt")),
    }
}

fn is_digits(text: &str, length: std::ops::RangeInclusive<usize>) -> bool {
    length.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

pub fn ill_formed(name: &str) -> Trouble {
    Trouble::new("10", &format!("报文格式错误[{name}]"))
}
