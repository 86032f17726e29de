//! What a merchant asks for, with the limits of each field.

use serde_json::{Map, Value, json};

use super::No;
use super::message::Fields;
use crate::domain::money::{AMOUNT_MAX_MINOR, Currency, Money};
use crate::domain::time::Timestamp;
use crate::sandbox::wechatpay::schema::is_order_number;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    Charge,
    Query,
    Reverse,
}

impl Path {
    pub const ALL: [Path; 3] = [Path::Charge, Path::Query, Path::Reverse];

    pub const fn text(self) -> &'static str {
        match self {
            Path::Charge => "/pay/micropay",
            Path::Query => "/pay/orderquery",
            Path::Reverse => "/secapi/pay/reverse",
        }
    }
}

#[derive(Clone, Debug)]
pub enum Call {
    Charge(Charge),
    Query(Name),
    Reverse(Name),
}

/// By whose number an order is named. The provider's counts where there are both.
#[derive(Clone, Debug)]
pub enum Name {
    Transaction(String),
    Own(String),
}

#[derive(Clone, Debug)]
pub struct Charge {
    pub number: String,
    pub amount: Money,
    pub description: String,
    pub auth_code: String,
    pub time_expire: Option<Timestamp>,
    /// Everything that has to be the same when the order is asked for again, in v3's form where v3 has it.
    pub body: Map<String, Value>,
}

/// What differs in a repeated call, and what is read for itself.
const NOT_KEPT: [&str; 4] = ["nonce_str", "sign", "sign_type", "auth_code"];
/// Longest values in characters, of those that are not read otherwise.
const LIMITS: [(&str, usize); 9] = [
    ("nonce_str", 32),
    ("device_info", 32),
    ("body", 128),
    ("detail", 6000),
    ("attach", 127),
    ("spbill_create_ip", 64),
    ("goods_tag", 32),
    ("limit_pay", 32),
    ("scene_info", 256),
];

/// Whether everything is there that each call must have.
pub fn required(path: Path, fields: &Fields) -> Result<(), No> {
    let there = |name: &&str| fields.get(*name).is_some_and(|value| !value.is_empty());
    let charged = ["body", "out_trade_no", "total_fee", "spbill_create_ip", "auth_code"];
    let common = ["appid", "mch_id", "nonce_str", "sign"];
    let all = common.iter().all(&there)
        && match path {
            Path::Charge => charged.iter().all(&there),
            Path::Query | Path::Reverse => there(&"out_trade_no") || there(&"transaction_id"),
        };
    if all { Ok(()) } else { Err(No::Unheard("缺少参数")) }
}

impl Call {
    pub fn read(path: Path, fields: &Fields) -> Result<Call, No> {
        let param = |words| No::Refused { code: "PARAM_ERROR", words };
        let text = |name: &str| fields.get(name).map_or("", String::as_str);
        for (name, max) in LIMITS {
            if text(name).chars().count() > max {
                return Err(param("参数长度超出限制"));
            }
        }
        let number = text("out_trade_no").to_owned();
        if !number.is_empty() && !is_order_number(&number) {
            return Err(param("商户订单号out_trade_no格式错误"));
        }
        let name = match text("transaction_id") {
            "" => Name::Own(number.clone()),
            id => Name::Transaction(id.to_owned()),
        };
        match path {
            Path::Query => return Ok(Call::Query(name)),
            Path::Reverse => return Ok(Call::Reverse(name)),
            Path::Charge => {}
        }
        let fen = text("total_fee").bytes().all(|b| b.is_ascii_digit()).then(|| text("total_fee").parse().ok());
        let fen = fen.flatten().filter(|fen| (1..=AMOUNT_MAX_MINOR).contains(fen));
        let fen: u64 = fen.ok_or_else(|| param("total_fee必须为正整数"))?;
        if !matches!(text("fee_type"), "" | "CNY") {
            return Err(param("货币类型fee_type不支持"));
        }
        let time_expire = match text("time_expire") {
            "" => None,
            time => Some(beijing(time).ok_or_else(|| param("time_expire格式错误"))?),
        };
        let auth_code = text("auth_code");
        let digits = auth_code.len() == 18 && auth_code.bytes().all(|b| b.is_ascii_digit());
        if !digits || !auth_code.get(..2).is_some_and(|head| ("10"..="15").contains(&head)) {
            let words = "请扫描微信支付被扫条码/二维码";
            return Err(No::Refused { code: "AUTH_CODE_INVALID", words });
        }
        let kept: Fields = fields
            .iter()
            .filter(|(name, value)| !NOT_KEPT.contains(&name.as_str()) && !value.is_empty())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let body = json!({ "appid": text("appid"), "mchid": text("mch_id"), "attach": text("attach"), "v2": kept });
        Ok(Call::Charge(Charge {
            number,
            amount: Money::new(fen, Currency::CNY),
            description: text("body").to_owned(),
            auth_code: auth_code.to_owned(),
            time_expire,
            body: body.as_object().cloned().unwrap_or_default(),
        }))
    }

    /// The number under which faults are found and troubled answers counted.
    pub fn number(&self) -> &str {
        match self {
            Call::Charge(charge) => &charge.number,
            Call::Query(Name::Own(number) | Name::Transaction(number))
            | Call::Reverse(Name::Own(number) | Name::Transaction(number)) => number,
        }
    }
}

/// `yyyyMMddHHmmss`, Beijing time.
fn beijing(time: &str) -> Option<Timestamp> {
    let digits = time.len() == 14 && time.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        return None;
    }
    let (day, clock) = time.split_at(8);
    let day = format!("{}-{}-{}", &day[..4], &day[4..6], &day[6..]);
    Timestamp::parse_rfc3339(&format!("{day}T{}:{}:{}+08:00", &clock[..2], &clock[2..4], &clock[4..]))
}
