//! The provider's error codes: what each means and what helps. Source: WeChat Pay API v3, "错误码" of the calls we make.

use crate::channels::errors::sentences::{AGAIN_SOON, BEING_CHECKED, NEW_ORDER, OTHER_WAY};
use crate::channels::errors::{Advice, Concerns, ErrorMeaning, entry};
use crate::lang::Text;

/// The customer's balance, or for a refund the merchant's, is too small.
pub const NOT_ENOUGH: &str = "NOT_ENOUGH";

const EXPIRED: Text = Text::new(
    "付款码一分钟内有效且只能用一次，请让顾客刷新后再扫。",
    "Payment codes live for a minute and work once. Ask for a fresh one.",
);
const UNKNOWN_ORDER: Text = Text::new("微信支付没有这笔订单。", "WeChat Pay does not know this order.");
pub(super) const UNKNOWN_FORMAT: Text = Text::new("微信支付读不懂这次请求。", "WeChat Pay could not read the request.");
const TOO_FAST: Text =
    Text::new("请求太频繁，系统会自动放慢后重试。", "Too many requests. They are repeated more slowly by themselves.");

pub(super) const NEW_CODE: Text =
    Text::new("付款码已失效，请刷新后重新出示。", "This payment code has expired. Please show a fresh one.");
pub(super) const NO_MONEY: Text = Text::new(
    "余额不足，请换一张卡或其他方式支付。",
    "Not enough money there. Please choose another card or way to pay.",
);
const CONFIRM: Text = Text::new("请在手机上确认支付。", "Please confirm the payment on your phone.");

/// V2 says the same in other letters.
pub(super) const ORDER_CLOSED: ErrorMeaning = entry(
    "ORDER_CLOSED",
    Advice::Ask,
    Concerns::Request,
    NEW_ORDER,
    "订单已关闭，不能再支付。",
    "The order is closed and can no longer be paid.",
);
pub(super) const ORDER_PAID: ErrorMeaning = entry(
    "ORDER_PAID",
    Advice::Ask,
    Concerns::Request,
    BEING_CHECKED,
    "订单已支付，正在查询结果入账。",
    "The order is already paid. The result is being fetched.",
);

pub const TABLE: &[ErrorMeaning] = &[
    // What was asked.
    entry(
        "PARAM_ERROR",
        Advice::Stop,
        Concerns::Request,
        OTHER_WAY,
        "请求参数不合规，微信支付没有受理。多为 openid、金额或域名与商户号不符。",
        "WeChat Pay did not accept a field of the request: often the openid, the amount or an address that is not registered.",
    ),
    entry(
        "INVALID_REQUEST",
        Advice::Stop,
        Concerns::Request,
        OTHER_WAY,
        "请求与业务规则或当前状态不符，请看微信支付返回的说明。",
        "The request does not fit WeChat Pay's rules or the order's state. Its own words say which.",
    ),
    ORDER_CLOSED,
    ORDER_PAID,
    entry(
        "OUT_TRADE_NO_USED",
        Advice::Ask,
        Concerns::Request,
        BEING_CHECKED,
        "商户订单号已使用过，正在查询原订单。",
        "This order number was used before. The first order is being looked up.",
    ),
    ErrorMeaning {
        code: "ORDER_NOT_EXIST",
        advice: Advice::Ask,
        concerns: Concerns::Request,
        customer: BEING_CHECKED,
        merchant: UNKNOWN_ORDER,
    },
    ErrorMeaning {
        code: "ORDERNOTEXIST",
        advice: Advice::Ask,
        concerns: Concerns::Request,
        customer: BEING_CHECKED,
        merchant: UNKNOWN_ORDER,
    },
    ErrorMeaning {
        code: "ORDER_NOT_EXISTS",
        advice: Advice::Ask,
        concerns: Concerns::Request,
        customer: BEING_CHECKED,
        merchant: UNKNOWN_ORDER,
    },
    entry(
        "RESOURCE_NOT_EXISTS",
        Advice::Stop,
        Concerns::Request,
        OTHER_WAY,
        "微信支付没有这笔订单或退款，或者订单尚未支付。",
        "WeChat Pay does not know this order or refund, or the order is not paid.",
    ),
    entry(
        "TRADE_ERROR",
        Advice::Ask,
        Concerns::Customer,
        OTHER_WAY,
        "交易失败，多为付款账户受限。请让顾客换卡或换方式。",
        "The payment failed, mostly because the payer's account is restricted. Another card or way helps.",
    ),
    entry(
        "RULE_LIMIT",
        Advice::Stop,
        Concerns::Customer,
        OTHER_WAY,
        "触发微信支付的业务或风控限制，原样重试没有用。",
        "A business or risk limit of WeChat Pay applies. Repeating the same request does not help.",
    ),
    // The person who pays.
    entry(
        "USERPAYING",
        Advice::Ask,
        Concerns::Customer,
        CONFIRM,
        "顾客正在输入密码，系统会自动查询结果。",
        "The customer is entering the password. The result is asked for automatically.",
    ),
    entry(
        "AUTH_CODE_ERROR",
        Advice::Stop,
        Concerns::Customer,
        NEW_CODE,
        "付款码读错了，请重新扫描。",
        "The payment code was read wrongly. Scan it again.",
    ),
    entry(
        "AUTH_CODE_INVALID",
        Advice::Stop,
        Concerns::Customer,
        NEW_CODE,
        "这不是有效的微信付款码，请让顾客刷新后再扫。",
        "This is not a valid WeChat payment code. Ask for a fresh one.",
    ),
    ErrorMeaning {
        code: "AUTH_CODE_EXPIRE",
        advice: Advice::Stop,
        concerns: Concerns::Customer,
        customer: NEW_CODE,
        merchant: EXPIRED,
    },
    ErrorMeaning {
        code: "AUTHCODEEXPIRE",
        advice: Advice::Stop,
        concerns: Concerns::Customer,
        customer: NEW_CODE,
        merchant: EXPIRED,
    },
    entry(
        NOT_ENOUGH,
        Advice::Stop,
        Concerns::Merchant,
        NO_MONEY,
        "余额不足。收款时是顾客的，请顾客换卡或换方式；退款时是商户号的，请充值或等新收款到账，系统会用原单号自动重试。",
        "Not enough balance. In a payment it is the customer's: another card helps. In a refund it is yours: top up or wait for new income; the same refund is repeated automatically.",
    ),
    entry(
        "ACCOUNT_ERROR",
        Advice::Stop,
        Concerns::Customer,
        OTHER_WAY,
        "顾客的微信支付账户异常。",
        "The customer's WeChat Pay account has a problem.",
    ),
    entry(
        "USER_ACCOUNT_ABNORMAL",
        Advice::Stop,
        Concerns::Customer,
        OTHER_WAY,
        "顾客账户异常或已注销，不能原路退回。请在商户平台处理，或线下退款。",
        "The customer's account is closed or restricted, so the money cannot go back the same way. Use the merchant platform, or pay back otherwise.",
    ),
    entry(
        "OPENID_MISMATCH",
        Advice::Stop,
        Concerns::Request,
        OTHER_WAY,
        "openid 不属于下单的 AppID。公众号、小程序的 openid 互不通用。",
        "The openid does not belong to the app that ordered. Official accounts and mini programs each have their own.",
    ),
    entry(
        "INVALID_TRANSACTIONID",
        Advice::Stop,
        Concerns::Request,
        OTHER_WAY,
        "微信支付订单号不正确。",
        "The WeChat Pay transaction number is wrong.",
    ),
    // The shop's contract, keys and balance.
    entry(
        "APPID_MCHID_NOT_MATCH",
        Advice::Stop,
        Concerns::Merchant,
        OTHER_WAY,
        "AppID 没有绑定这个商户号。请在商户平台“产品中心 → AppID 账号管理”绑定。",
        "The app is not bound to this merchant number. Bind it on the merchant platform under AppID management.",
    ),
    entry(
        "MCH_NOT_EXISTS",
        Advice::Stop,
        Concerns::Merchant,
        OTHER_WAY,
        "商户号不存在，请检查渠道账户里的商户号。",
        "There is no such merchant number. Check it in the channel account.",
    ),
    entry(
        "NO_AUTH",
        Advice::Stop,
        Concerns::Merchant,
        OTHER_WAY,
        "商户号没有开通这个产品，或权限被暂停。请到商户平台“产品中心”查看。付款码收款遇到它，多半是只开通了 V2：在渠道账户里把“付款码接口”改为 V2。",
        "The product is not opened for this merchant number, or is suspended. Look at the product centre of the merchant platform. For payment codes it mostly means that only V2 is opened: choose V2 in the channel account.",
    ),
    entry(
        "SIGN_ERROR",
        Advice::Stop,
        Concerns::Merchant,
        AGAIN_SOON,
        "签名不被接受：请检查商户私钥、证书序列号和服务器时间。",
        "The signature was not accepted. Check the merchant key, the certificate's serial number and the server's clock.",
    ),
    entry(
        "REQUEST_BLOCKED",
        Advice::Repeat,
        Concerns::Merchant,
        AGAIN_SOON,
        "请求被微信支付拦截，稍后会自动重试；若持续，请联系微信支付客服。",
        "WeChat Pay blocked the request. It is tried again later; if it stays so, ask WeChat Pay's support.",
    ),
    // The provider.
    ErrorMeaning {
        code: "FREQUENCY_LIMITED",
        advice: Advice::Repeat,
        concerns: Concerns::Provider,
        customer: AGAIN_SOON,
        merchant: TOO_FAST,
    },
    ErrorMeaning {
        code: "RATELIMIT_EXCEEDED",
        advice: Advice::Repeat,
        concerns: Concerns::Provider,
        customer: AGAIN_SOON,
        merchant: TOO_FAST,
    },
    ErrorMeaning {
        code: "RATELIMIT_EXCEED",
        advice: Advice::Repeat,
        concerns: Concerns::Provider,
        customer: AGAIN_SOON,
        merchant: TOO_FAST,
    },
    entry(
        "SYSTEM_ERROR",
        Advice::Repeat,
        Concerns::Provider,
        BEING_CHECKED,
        "微信支付系统异常，结果未知，系统会自动查询和重试。",
        "WeChat Pay has a fault and the outcome is unknown. It is asked and repeated by itself.",
    ),
    entry(
        "BANK_ERROR",
        Advice::Repeat,
        Concerns::Provider,
        BEING_CHECKED,
        "银行系统异常，结果未知，系统会自动查询。",
        "The bank has a fault and the outcome is unknown. It is asked by itself.",
    ),
    entry(
        "SERVICE_UNAVAILABLE",
        Advice::Repeat,
        Concerns::Provider,
        AGAIN_SOON,
        "微信支付暂时不可用，系统会自动重试。",
        "WeChat Pay cannot be reached right now. It is tried again by itself.",
    ),
    // Statements.
    entry(
        "NO_STATEMENT_EXIST",
        Advice::Stop,
        Concerns::Request,
        OTHER_WAY,
        "当天没有交易，没有账单。",
        "Nothing moved on that day, so there is no statement.",
    ),
    entry(
        "STATEMENT_CREATING",
        Advice::Repeat,
        Concerns::Provider,
        AGAIN_SOON,
        "账单还在生成，稍后会自动再取。",
        "The statement is still being made. It is fetched later by itself.",
    ),
];

/// States of payments and refunds that speak of trouble. They are no error codes, so readers do not decide by them.
/// Source: WeChat Pay API v3, trade_state and the refund's status.
pub const STATES: &[ErrorMeaning] = &[
    entry(
        "PAYERROR",
        Advice::Stop,
        Concerns::Customer,
        OTHER_WAY,
        "顾客付款失败，多为余额不足、密码错误或放弃付款。",
        "The customer's payment failed: often too little money, a wrong password, or a change of mind.",
    ),
    entry(
        "CLOSED",
        Advice::Stop,
        Concerns::Request,
        OTHER_WAY,
        "微信支付关闭了这笔退款，钱仍在商户账户里。可以重新退款，或用其他方式退给顾客。",
        "WeChat Pay has closed this refund and the money stays with you. Refund again, or pay the customer another way.",
    ),
    entry(
        "ABNORMAL",
        Advice::Ask,
        Concerns::Customer,
        OTHER_WAY,
        "退款退不回顾客原来的账户或银行卡，需要另外指定去向。",
        "The refund cannot go back to the account or card it came from. Somebody has to say where it goes.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_stands_once_and_speaks_to_both() {
        let codes: BTreeSet<&str> = TABLE.iter().map(|meaning| meaning.code).collect();
        assert_eq!(codes.len(), TABLE.len());
        assert!(STATES.iter().all(|state| !codes.contains(state.code)));
        for meaning in TABLE.iter().chain(STATES) {
            for text in [meaning.customer, meaning.merchant] {
                assert!(text.zh.ends_with('。') && text.en.ends_with('.'), "{}", meaning.code);
            }
        }
    }

    #[test]
    fn what_may_have_moved_money_is_asked_about_or_repeated_and_never_given_up() {
        for code in ["SYSTEM_ERROR", "BANK_ERROR", "ORDER_PAID", "USERPAYING", "FREQUENCY_LIMITED", "OUT_TRADE_NO_USED"]
        {
            let meaning = crate::channels::errors::find(TABLE, code).unwrap();
            assert_ne!(meaning.advice, Advice::Stop, "{code}");
        }
    }
}
