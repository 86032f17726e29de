//! Refusals as this provider words them: HTTP status, code, message and the number at the end of `Request-ID`.

use serde_json::{Value, json};

use crate::sandbox::provider::model::Refusal;
use crate::store::StoreError;

/// A refusal as it goes over the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct WireError {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
    /// Digits after the last `-` of `Request-ID`.
    pub number: u64,
    pub detail: Option<Value>,
}

/// For what has no number of its own in the sheet.
const OTHER: u64 = 268_435_462;

impl WireError {
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), number: OTHER, detail: None }
    }

    pub fn numbered(self, number: u64) -> Self {
        Self { number, ..self }
    }

    /// Something in the request is not acceptable; `field` is a JSON pointer.
    pub fn param(field: &str, issue: &str, location: &str) -> Self {
        let detail = json!({ "field": field, "issue": issue, "location": location });
        let error = Self::new(400, "PARAM_ERROR", format!("参数错误：{field} {issue}"));
        Self { detail: Some(detail), ..error.numbered(268_435_461) }
    }

    pub fn sign(message: &str, detail: Value) -> Self {
        Self { detail: Some(detail), ..Self::new(401, "SIGN_ERROR", message).numbered(268_443_699) }
    }

    pub fn system() -> Self {
        Self::new(500, "SYSTEM_ERROR", "系统异常，请用相同参数重新调用")
    }

    pub fn body(&self) -> Value {
        let mut body = json!({ "code": self.code, "message": self.message });
        if let (Some(detail), Some(fields)) = (&self.detail, body.as_object_mut()) {
            fields.insert("detail".to_owned(), detail.clone());
        }
        body
    }

    /// A refusal about an order.
    pub fn of_order(why: Refusal) -> Self {
        match why {
            Refusal::UnknownOrder => Self::new(404, "ORDER_NOT_EXIST", "订单不存在").numbered(268_512_771),
            Refusal::Paid => Self::new(400, "ORDER_PAID", "该订单已支付").numbered(268_449_538),
            Refusal::Closed => Self::new(400, "ORDER_CLOSED", "订单已失效，请更换订单号").numbered(268_447_914),
            Refusal::Paying => Self::new(400, "INVALID_REQUEST", "用户支付中，请使用撤销接口").numbered(268_449_641),
            Refusal::OrderNumberUsed => {
                Self::new(400, "INVALID_REQUEST", "请求重入时，参数与首次请求时不一致").numbered(268_498_688)
            }
            Refusal::RefundState => Self::new(400, "INVALID_REQUEST", "订单已退款，不能撤销"),
            Refusal::UnknownRefund
            | Refusal::NotPaid
            | Refusal::RefundNumberUsed
            | Refusal::TooMuch
            | Refusal::BalanceShort
            | Refusal::TooManyRefunds
            | Refusal::TooSoon
            | Refusal::TooLate => Self::of_refund(why),
        }
    }

    /// A refusal about a refund.
    pub fn of_refund(why: Refusal) -> Self {
        let invalid = |message: &str| Self::new(400, "INVALID_REQUEST", message);
        match why {
            Refusal::UnknownOrder => Self::new(404, "RESOURCE_NOT_EXISTS", "订单不存在").numbered(268_512_771),
            Refusal::NotPaid => Self::new(404, "RESOURCE_NOT_EXISTS", "订单未支付"),
            Refusal::UnknownRefund => Self::new(404, "RESOURCE_NOT_EXISTS", "退款单不存在"),
            Refusal::RefundNumberUsed => invalid("订单金额或退款金额与之前请求不一致，请核实后再试"),
            Refusal::TooMuch => invalid("申请退款金额大于订单剩余可退金额"),
            Refusal::BalanceShort => {
                Self::new(403, "NOT_ENOUGH", "基本账户余额不足，请充值后使用原商户退款单号重新发起")
            }
            Refusal::TooManyRefunds => invalid("部分退款次数超限，一笔订单最多退款50次"),
            Refusal::TooSoon => {
                Self::new(429, "FREQUENCY_LIMITED", "同一笔订单的退款间隔需在1分钟以上").numbered(268_447_840)
            }
            Refusal::TooLate => invalid("订单已超过可退款的最大期限"),
            Refusal::RefundState => invalid("退款单状态不允许此操作"),
            Refusal::Paid | Refusal::Closed | Refusal::Paying | Refusal::OrderNumberUsed => Self::of_order(why),
        }
    }
}

impl From<StoreError> for WireError {
    fn from(error: StoreError) -> Self {
        tracing::warn!("the simulated provider could not reach the store: {error}");
        WireError::system()
    }
}
