//! What the simulated provider's codes and states mean. Its reader decides by itself; pages explain by this table.

use crate::channels::errors::Advice::{Ask, Repeat, Stop};
use crate::channels::errors::Concerns::{Customer, Merchant, Provider, Request};
use crate::channels::errors::sentences::{AGAIN_SOON, BEING_CHECKED, NEW_ORDER, OTHER_WAY};
use crate::channels::errors::{ErrorMeaning, entry};

#[rustfmt::skip]
pub const TABLE: &[ErrorMeaning] = &[
    entry("PAYERROR", Stop, Customer, OTHER_WAY, "顾客的钱包拒绝了付款。", "The customer's wallet refused the payment."),
    entry("USERPAYING", Ask, Customer, BEING_CHECKED, "顾客正在输入密码。", "The customer is entering the password."),
    entry("ABNORMAL", Stop, Customer, OTHER_WAY, "顾客的账户收不了这笔退款，钱仍在商户账户里。", "The customer's account cannot take the refund; the money stays with the merchant."),
    entry("NOT_ENOUGH", Stop, Merchant, OTHER_WAY, "商户余额不足，退款办不了。", "The merchant's balance does not cover the refund."),
    entry("ORDERPAID", Ask, Request, BEING_CHECKED, "订单已支付，正在查询结果。", "The order is already paid. Its outcome is asked."),
    entry("ORDERCLOSED", Ask, Request, NEW_ORDER, "订单已关闭，不能再支付。", "The order is closed and can no longer be paid."),
    entry("ORDER_NOT_EXIST", Ask, Request, BEING_CHECKED, "测试钱包没有这笔订单。", "The test wallet does not know this order."),
    entry("REFUND_NOT_EXIST", Ask, Request, BEING_CHECKED, "测试钱包没有这笔退款。", "The test wallet does not know this refund."),
    entry("OUT_TRADE_NO_USED", Ask, Request, BEING_CHECKED, "订单号已用过。", "The order number was used before."),
    entry("OUT_REFUND_NO_USED", Ask, Request, BEING_CHECKED, "退款号已用过。", "The refund number was used before."),
    entry("PARAM_ERROR", Stop, Request, OTHER_WAY, "测试钱包没有接受请求的内容。", "The test wallet did not accept the request."),
    entry("SIGN_ERROR", Stop, Merchant, OTHER_WAY, "测试钱包不接受签名。", "The test wallet did not accept the signature."),
    entry("MCH_NOT_EXIST", Stop, Merchant, OTHER_WAY, "测试钱包没有这个商户号。", "The test wallet does not know this merchant number."),
    entry("APPID_MCHID_NOT_MATCH", Stop, Merchant, OTHER_WAY, "应用号与商户号不符。", "The application does not belong to the merchant number."),
    entry("FREQUENCY_LIMITED", Repeat, Provider, AGAIN_SOON, "请求太频繁，稍后自动重试。", "Too many requests. It is repeated a little later."),
    entry("SYSTEM_ERROR", Repeat, Provider, BEING_CHECKED, "测试钱包出错，结果未知，系统会自动查询。", "The test wallet has a fault and the outcome is unknown. It is asked by itself."),
];
