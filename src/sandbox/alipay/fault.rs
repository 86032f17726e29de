//! Refusals in the provider's own words. Source: §11.

use serde_json::{Value, json};

use crate::sandbox::provider::model::Refusal;

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub code: &'static str,
    pub sub_code: String,
    pub sub_msg: String,
    /// The gateway's own fault, told as `error_response`.
    pub at_the_gate: bool,
}

impl Wrong {
    pub fn node(&self) -> Value {
        json!({ "code": self.code, "msg": message(self.code), "sub_code": self.sub_code, "sub_msg": self.sub_msg })
    }

    /// The same, saying more.
    #[must_use]
    pub fn saying(self, sub_msg: impl Into<String>) -> Self {
        Self { sub_msg: sub_msg.into(), ..self }
    }
}

fn message(code: &str) -> &'static str {
    match code {
        "20000" => "Service Currently Unavailable",
        "40001" => "Missing Required Arguments",
        "40002" => "Invalid Arguments",
        "40005" => "Call Limited",
        "40006" => "Insufficient Permissions",
        _ => "Business Failed",
    }
}

fn at_the_gate(code: &'static str, sub_code: &str, sub_msg: &str) -> Wrong {
    Wrong { code, sub_code: sub_code.to_owned(), sub_msg: sub_msg.to_owned(), at_the_gate: true }
}

pub fn missing(sub_code: &str) -> Wrong {
    at_the_gate("40001", sub_code, "缺少必选参数")
}

pub fn invalid(sub_code: &str) -> Wrong {
    at_the_gate("40002", sub_code, "非法的参数")
}

pub fn unavailable() -> Wrong {
    at_the_gate("20000", "isp.unknow-error", "系统繁忙")
}

pub fn too_often() -> Wrong {
    at_the_gate("40005", "isv.app-call-limited", "应用调用次数超限")
}

/// Refused by the business itself.
pub fn business(sub_code: &str, sub_msg: &str) -> Wrong {
    Wrong { code: "40004", sub_code: sub_code.to_owned(), sub_msg: sub_msg.to_owned(), at_the_gate: false }
}

/// A field of the content is not as it has to be.
pub fn parameter(field: &str, rule: &str) -> Wrong {
    business("ACQ.INVALID_PARAMETER", &format!("参数有误：{field} {rule}"))
}

pub fn no_trade() -> Wrong {
    business("ACQ.TRADE_NOT_EXIST", "交易不存在")
}

pub fn of_create(refusal: Refusal) -> Wrong {
    match refusal {
        Refusal::Paid => business("ACQ.TRADE_HAS_SUCCESS", "交易已被支付"),
        Refusal::Closed => business("ACQ.TRADE_HAS_CLOSE", "交易已经关闭"),
        Refusal::OrderNumberUsed => business("ACQ.CONTEXT_INCONSISTENT", "交易信息被篡改"),
        other => of_order(other),
    }
}

pub fn of_order(refusal: Refusal) -> Wrong {
    match refusal {
        Refusal::UnknownOrder | Refusal::UnknownRefund => no_trade(),
        Refusal::Paid | Refusal::Closed | Refusal::Paying | Refusal::NotPaid | Refusal::RefundState => {
            business("ACQ.TRADE_STATUS_ERROR", "交易状态不合法")
        }
        Refusal::OrderNumberUsed => business("ACQ.CONTEXT_INCONSISTENT", "交易信息被篡改"),
        Refusal::RefundNumberUsed => business("ACQ.DISCORDANT_REPEAT_REQUEST", "请求信息不一致"),
        Refusal::TooMuch => business("ACQ.REASON_TRADE_REFUND_FEE_ERR", "退款金额有误"),
        Refusal::BalanceShort => business("ACQ.SELLER_BALANCE_NOT_ENOUGH", "卖家余额不足"),
        Refusal::TooManyRefunds | Refusal::TooSoon => business("ACQ.SYSTEM_ERROR", "系统错误"),
        Refusal::TooLate => business("ACQ.TRADE_HAS_FINISHED", "交易已完结"),
    }
}
