//! Alipay's error codes: what each means, whether to ask, repeat or stop, and what to tell whom.
//!
//! Source: Alipay, 公共错误码 and the business codes of `alipay.trade.*`. A code that is not here is asked about before
//! anything is concluded from it.

use crate::channels::errors::Advice::{Ask, Repeat, Stop};
use crate::channels::errors::Concerns::{Customer, Merchant, Provider, Request};
use crate::channels::errors::sentences::{AGAIN_SOON, BEING_CHECKED, NEW_ORDER, OTHER_WAY};
use crate::channels::errors::{ErrorMeaning, find};
use crate::lang::Text;

/// A trade that nobody scanned or signed in for does not exist yet: no error while the customer may still come.
pub const TRADE_NOT_EXIST: &str = "ACQ.TRADE_NOT_EXIST";

const NEW_CODE: Text = Text::new("请刷新付款码后再试一次。", "Please refresh your payment code and try again.");
const OTHER_MEANS: Text = Text::new(
    "请在支付宝里换一种付款方式，或改用其他支付方式。",
    "Please choose another card or balance in Alipay, or pay another way.",
);
const OTHER_ACCOUNT: Text =
    Text::new("请换一个支付宝账号，或改用其他支付方式。", "Please use another Alipay account, or pay another way.");
const SWITCHED_OFF: Text = Text::new(
    "您的付款码支付已关闭。请在支付宝里开启，或改用其他支付方式。",
    "Payment by code is switched off in your Alipay. Switch it on, or pay another way.",
);
const REFUND_WAITS: Text = Text::new("退款正在处理，请稍候。", "The refund is on its way and takes a little longer.");
const SHOP_HELPS: Text = Text::new("请联系商家处理。", "Please contact the shop.");

/// What a code means, by itself or by the group that it belongs to.
pub fn meaning(code: &str) -> Option<&'static ErrorMeaning> {
    let of_group = |group: &&ErrorMeaning| code.len() > group.code.len() && code.starts_with(group.code);
    find(TABLE, code).or_else(|| GROUPS.iter().find(of_group)).or_else(|| of_bill(code))
}

/// What a code means where a bill was asked for: these come with different prefixes and spellings.
pub fn of_bill(code: &str) -> Option<&'static ErrorMeaning> {
    find(BILLS, &code.rsplit('.').next().unwrap_or("").replace('-', "_").to_ascii_uppercase())
}

/// Codes of one meaning share their sentences.
macro_rules! meanings {
    ($([$($code:expr),+] => $advice:ident, $concerns:ident, $customer:ident, $zh:literal, $en:literal;)*) => {
        &[$($(ErrorMeaning {
            code: $code,
            advice: $advice,
            concerns: $concerns,
            customer: $customer,
            merchant: Text::new($zh, $en),
        },)+)*]
    };
}

/// Ordered by what happened, not by name.
pub const TABLE: &[ErrorMeaning] = meanings! {
    ["ACQ.SYSTEM_ERROR", "AQC.SYSTEM_ERROR"] =>
        Repeat, Provider, BEING_CHECKED,
        "支付宝系统繁忙，结果未知，系统会自动查询并重试。",
        "Alipay is busy and the outcome is unknown. It is asked and repeated automatically.";
    ["isp.unknow-error", "aop.unknow-error", "aop.ACQ.SYSTEM_ERROR"] =>
        Repeat, Provider, BEING_CHECKED,
        "支付宝网关暂时不可用，结果未知，系统会自动查询并重试。",
        "Alipay's gateway is not available right now. It is asked and repeated automatically.";
    ["isv.app-call-limited", "isv.method-call-limited"] =>
        Repeat, Provider, AGAIN_SOON,
        "调用次数超过支付宝的限制，稍后自动重试。",
        "Alipay limits the number of calls. It is repeated a little later.";
    ["ACQ.TRADE_SETTLE_ERROR"] =>
        Repeat, Provider, BEING_CHECKED,
        "支付宝结算尚未完成，稍后自动重试。",
        "Alipay has not finished settling yet. It is repeated a little later.";
    ["ACQ.FREQUENCY_LIMITED"] =>
        Repeat, Provider, AGAIN_SOON,
        "操作太频繁，稍后自动重试。",
        "Too many calls in a short time. It is repeated a little later.";
    ["ACQ.SELLER_BALANCE_NOT_ENOUGH", "ACQ.TXN_RESULT_ACCOUNT_BALANCE_NOT_ENOUGH"] =>
        Repeat, Merchant, REFUND_WAITS,
        "支付宝账户余额不足，退款办不了。请充值，之后会自动重试。",
        "The balance of your Alipay account does not cover the refund. Top it up; the refund is then repeated automatically.";
    ["ACQ.USER_ACCOUNT_HAD_FREEZEN"] =>
        Repeat, Merchant, BEING_CHECKED,
        "账户被冻结，稍后自动重试。请联系支付宝了解原因。",
        "The account is frozen. It is repeated later; ask Alipay for the reason.";
    ["ACQ.INVALID_PARAMETER", "ACQ.ILLEGAL_ARGUMENT", "isv.invalid-parameter", "isv.missing-method",
        "isv.invalid-method"] =>
        Stop, Request, OTHER_WAY,
        "支付宝认为请求参数有误。请把错误详情发给技术支持。",
        "Alipay finds a fault in the request. Hand the details to technical support.";
    ["ACQ.ACCESS_FORBIDDEN", "isv.insufficient-isv-permissions"] =>
        Stop, Merchant, OTHER_WAY,
        "应用没有开通这个支付产品。请在开放平台给应用绑定产品，并在商家平台签约。",
        "The application may not use this product. Add the product on the open platform and sign its contract on the merchant platform.";
    ["ACQ.PARTNER_ERROR"] =>
        Stop, Merchant, OTHER_WAY,
        "支付宝不认可商家号或应用号。请核对 APPID 与 PID。",
        "Alipay does not accept the merchant or application number. Check the APPID and the PID.";
    ["ACQ.MERCHANT_AGREEMENT_NOT_EXIST", "ACQ.MERCHANT_AGREEMENT_INVALID"] =>
        Stop, Merchant, OTHER_WAY,
        "支付产品没有签约，或合同已失效。请到商家平台查看。",
        "The contract for this product is missing or has ended. Look it up on the merchant platform.";
    ["ACQ.MERCHANT_STATUS_NOT_NORMAL", "ACQ.SELLER_BEEN_BLOCKED"] =>
        Stop, Merchant, OTHER_WAY,
        "商家账户状态异常，暂时不能收款。请联系支付宝。",
        "Your merchant account may not receive money right now. Contact Alipay.";
    ["ACQ.SELLER_NOT_EXIST", "ACQ.INVALID_RECEIVE_ACCOUNT"] =>
        Stop, Merchant, OTHER_WAY,
        "收款账号不存在或不可用。请核对 PID。",
        "The account that should receive the money does not exist or cannot be used. Check the PID.";
    ["ACQ.INVALID_STORE_ID", "ACQ.RISK_MERCHANT_IP_NOT_EXIST"] =>
        Stop, Merchant, OTHER_WAY,
        "支付宝要求的门店或商户信息缺失。请在商家平台补齐。",
        "Alipay misses information about the store or merchant. Complete it on the merchant platform.";
    ["ACQ.BEYOND_PER_RECEIPT_RESTRICTION", "ACQ.BEYOND_PER_RECEIPT_SINGLE_RESTRICTION",
        "ACQ.BEYOND_PER_RECEIPT_DAY_RESTRICTION", "ACQ.MERCHANT_PERM_RECEIPT_SUSPEND_LIMIT",
        "ACQ.MERCHANT_PERM_RECEIPT_SINGLE_LIMIT", "ACQ.MERCHANT_PERM_RECEIPT_DAY_LIMIT"] =>
        Stop, Merchant, OTHER_WAY,
        "超过了支付宝给商家的收款限额。请在商家平台查看或申请提高。",
        "This exceeds what Alipay lets you receive. Look up the limit on the merchant platform, or have it raised.";
    ["ACQ.EXIST_FORBIDDEN_WORD"] =>
        Stop, Request, OTHER_WAY,
        "商品说明里有支付宝不允许的词。请修改商品说明。",
        "The description holds a word that Alipay does not allow. Change the description.";
    ["ACQ.TOTAL_FEE_EXCEED", "ACQ.REQUEST_AMOUNT_EXCEED"] =>
        Stop, Request, OTHER_WAY,
        "订单金额超过支付宝的上限。",
        "The amount is above Alipay's limit.";
    ["ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR"] =>
        Stop, Request, NEW_ORDER,
        "订单在提交前已经超时。请重新下单。",
        "The order had expired before it reached Alipay. It has to be placed again.";
    ["ACQ.CONTEXT_INCONSISTENT"] =>
        Ask, Request, NEW_ORDER,
        "同一个订单号的内容前后不一致。系统会先查询结果。",
        "The order number is known with other content. Its outcome is asked first.";
    ["ACQ.TRADE_HAS_SUCCESS"] =>
        Ask, Request, BEING_CHECKED,
        "这笔订单已经支付过。系统会查询确认，不要重复收款。",
        "This order is already paid. Its outcome is asked; do not charge again.";
    ["ACQ.TRADE_HAS_CLOSE"] =>
        Ask, Request, NEW_ORDER,
        "这笔订单在支付宝已关闭。系统会查询确认。",
        "The order is closed at Alipay. Its outcome is asked.";
    ["ACQ.TRADE_BUYER_NOT_MATCH"] =>
        Ask, Customer, NEW_ORDER,
        "订单已被另一位顾客打开过，需要重新下单。",
        "Another customer has opened this order before. It has to be placed again.";
    ["ACQ.PAYMENT_FAIL"] =>
        Ask, Customer, BEING_CHECKED,
        "支付宝报告付款失败。系统先查询确认，再决定是否重新收款。",
        "Alipay says that the payment failed. Its outcome is asked before anything else.";
    ["ACQ.PAYMENT_AUTH_CODE_INVALID"] =>
        Stop, Customer, NEW_CODE,
        "付款码已过期或用过。请顾客刷新后重新扫码。",
        "The payment code has expired or was used. Ask the customer to refresh it and scan again.";
    ["ACQ.BUYER_BALANCE_NOT_ENOUGH", "ACQ.BUYER_BANKCARD_BALANCE_NOT_ENOUGH"] =>
        Stop, Customer, OTHER_MEANS,
        "顾客的余额或银行卡余额不足。",
        "The customer's balance or card does not cover the amount.";
    ["ACQ.ERROR_BALANCE_PAYMENT_DISABLE", "ACQ.NO_PAYMENT_INSTRUMENTS_AVAILABLE", "ACQ.NOT_SUPPORT_PAYMENT_INST"] =>
        Stop, Customer, OTHER_MEANS,
        "顾客没有可用的付款方式，例如余额支付被关闭。",
        "The customer has no usable means of payment in Alipay.";
    ["ACQ.PULL_MOBILE_CASHIER_FAIL"] =>
        Stop, Customer, NEW_CODE,
        "没能在顾客手机上打开收银台。请重新扫码。",
        "The payment page did not open on the customer's phone. Scan again.";
    ["ACQ.MOBILE_PAYMENT_SWITCH_OFF", "ACQ.USER_FACE_PAYMENT_SWITCH_OFF"] =>
        Stop, Customer, SWITCHED_OFF,
        "顾客关闭了付款码支付。",
        "The customer has switched payment by code off.";
    ["ACQ.BUYER_SELLER_EQUAL"] =>
        Stop, Customer, OTHER_ACCOUNT,
        "付款人和收款人是同一个支付宝账号。",
        "Payer and payee are the same Alipay account.";
    ["ACQ.BUYER_ENABLE_STATUS_FORBID", "ACQ.BUYER_NOT_EXIST", "ACQ.ERROR_BUYER_CERTIFY_LEVEL_LIMIT",
        "ACQ.PAYER_UNMATCHED"] =>
        Stop, Customer, OTHER_ACCOUNT,
        "顾客的支付宝账号不能付款，例如未实名或被限制。",
        "The customer's Alipay account may not pay, for instance because it is not verified.";
    ["ACQ.PAYMENT_REQUEST_HAS_RISK"] =>
        Stop, Customer, OTHER_WAY,
        "支付宝认为这笔付款有风险，已拒绝。",
        "Alipay refused the payment as risky.";
    ["ACQ.BUYER_PAYMENT_AMOUNT_DAY_LIMIT_ERROR", "ACQ.BUYER_PAYMENT_AMOUNT_MONTH_LIMIT_ERROR",
        "ACQ.BEYOND_PAY_RESTRICTION"] =>
        Stop, Customer, OTHER_MEANS,
        "顾客超过了自己的付款限额。",
        "The customer's own payment limit is reached.";
    [TRADE_NOT_EXIST] =>
        Ask, Request, BEING_CHECKED,
        "支付宝还没有这笔交易：顾客尚未扫码或登录，或单号不对。",
        "Alipay does not know the trade: nobody scanned the code or signed in yet, or the number is wrong.";
    ["ACQ.TRADE_STATUS_ERROR", "ACQ.REASON_TRADE_STATUS_INVALID", "ACQ.REASON_ILLEGAL_STATUS"] =>
        Ask, Request, BEING_CHECKED,
        "交易当前的状态不允许这个操作。系统会查询最新状态。",
        "The trade's state does not allow this. Its state is asked again.";
    ["ACQ.TRADE_HAS_FINISHED"] =>
        Stop, Request, SHOP_HELPS,
        "交易已完结，不能再退款或撤销。请用其他方式退给顾客。",
        "The trade is finished and can no longer be refunded. Give the money back another way.";
    ["ACQ.TRADE_CANCEL_TIME_OUT"] =>
        Stop, Request, SHOP_HELPS,
        "已过撤销期限，请改用退款。",
        "It is too late to reverse the payment. Refund it instead.";
    ["ACQ.CANCEL_NOT_ALLOWED"] =>
        Stop, Request, SHOP_HELPS,
        "这笔交易不能撤销，请改用关闭或退款。",
        "This trade cannot be reversed. Close or refund it instead.";
    ["ACQ.REASON_TRADE_BEEN_FREEZEN"] =>
        Stop, Merchant, SHOP_HELPS,
        "交易被支付宝冻结。请联系支付宝客服。",
        "Alipay has frozen this trade. Contact Alipay.";
    ["ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"] =>
        Stop, Request, SHOP_HELPS,
        "退款金额与订单金额不符。",
        "The refund is not the whole amount, which this refund has to be.";
    ["ACQ.REASON_TRADE_REFUND_FEE_ERR", "ACQ.REFUND_FEE_ERROR"] =>
        Ask, Request, SHOP_HELPS,
        "退款金额超过可退余额，可能已经退过。系统会查询确认。",
        "The refund is more than what is left of the trade; it may have been refunded already. Its outcome is asked.";
    ["ACQ.DISCORDANT_REPEAT_REQUEST"] =>
        Ask, Request, SHOP_HELPS,
        "同一个退款号的金额前后不一致。系统会查询确认。",
        "The refund number is known with another amount. Its outcome is asked.";
    ["ACQ.TRADE_NOT_ALLOW_REFUND", "ACQ.NOT_ALLOW_PARTIAL_REFUND", "ACQ.ONLINE_TRADE_VOUCHER_NOT_ALLOW_REFUND",
        "ACQ.ENTERPRISE_PAY_BIZ_ERROR"] =>
        Stop, Request, SHOP_HELPS,
        "支付宝不允许这笔退款，例如已过退款期或用了不可退的优惠。",
        "Alipay does not allow this refund, for instance because it is too late or a coupon cannot be returned.";
    ["ACQ.BUYER_ERROR", "ACQ.USER_NOT_MATCH_ERR", "ACQ.REFUND_ACCOUNT_NOT_EXIST"] =>
        Stop, Request, SHOP_HELPS,
        "顾客的收款账户不可用，退款退不回去。请用其他方式退给顾客。",
        "The customer's account cannot take the refund. Give the money back another way.";
    ["ACQ.REFUND_ROYALTY_PAYEE_ACCOUNT_NOT_EXIST", "ACQ.REFUNDALLOC_UNAUTH_LIMIT"] =>
        Stop, Merchant, SHOP_HELPS,
        "分账方的款项退不回来。请检查分账关系与授权。",
        "The share of another party cannot be taken back. Check the split relations and their permissions.";
    ["ACQ.ALLOC_AMOUNT_VALIDATE_ERROR", "ACQ.ROYALTY_RECEIVER_INVALID", "ACQ.ROYALTY_ACCOUNTS_EQUAL",
        "ACQ.NOT_SUPPORT_ROYALTY", "ACQ.ALLOC_REFUSE_BEFORE_SETTLE", "ACQ.ALLOC_REFUSE_AFTER_REFUND",
        "ACQ.ALREADY_FINISH_ALLOC", "ACQ.USER_LOGONID_DUP"] =>
        Stop, Merchant, SHOP_HELPS,
        "支付宝拒绝了分账。请核对分账金额、比例和接收方。",
        "Alipay refused the split. Check its amounts, ratios and receivers.";
    ["ACQ.DUP_OUT_REQUEST_NO"] =>
        Ask, Request, SHOP_HELPS,
        "分账单号重复。系统会查询确认。",
        "The split's number is known already. Its outcome is asked.";
    ["aop.invalid-auth-token", "aop.auth-token-time-out", "aop.invalid-app-auth-token",
        "aop.invalid-app-auth-token-no-api", "aop.app-auth-token-time-out", "aop.no-product-reg-by-partner"] =>
        Stop, Merchant, OTHER_WAY,
        "授权无效或已过期。请在开放平台重新授权。",
        "The authorisation is invalid or has expired. Renew it on the open platform.";
    ["isv.invalid-signature", "isv.missing-signature"] =>
        Stop, Merchant, OTHER_WAY,
        "支付宝验签失败。请确认应用私钥与开放平台上的应用公钥是一对。",
        "Alipay could not verify our signature. The private key has to belong to the public key that the open platform shows.";
    ["isv.invalid-app-id", "isv.missing-app-id"] =>
        Stop, Merchant, OTHER_WAY,
        "支付宝不认识这个 APPID，或它不属于当前环境（正式、沙箱）。",
        "Alipay does not know this APPID, or it belongs to the other environment, production or sandbox.";
    ["isv.missing-app-cert-sn", "isv.invalid-app-cert-sn", "isv.app-cert-expired", "isv.app-cert-not-exist",
        "isv.invalid-alipay-root-cert-sn", "isv.missing-alipay-root-cert-sn", "isv.alipay-cert-not-exist"] =>
        Stop, Merchant, OTHER_WAY,
        "证书不对或已过期。请在开放平台重新下载三个证书并更新账号。",
        "A certificate is wrong or has expired. Download the three certificates again and replace the account.";
    ["isv.invalid-encrypt", "isv.invalid-encrypt-type", "isv.decryption-error-missing-encrypt-type",
        "isv.decryption-error-not-valid-encrypt-key"] =>
        Stop, Merchant, OTHER_WAY,
        "接口内容加密的密钥与开放平台上的不一致。",
        "The content encryption key differs from the one on the open platform.";
    ["isv.illegal-client-ip"] =>
        Stop, Merchant, OTHER_WAY,
        "服务器 IP 不在开放平台的白名单里。",
        "The server's address is not on the open platform's allow-list.";
    ["isv.insufficient-user-permissions"] =>
        Stop, Merchant, OTHER_WAY,
        "用户授权不足，支付宝拒绝了调用。",
        "Alipay refused the call for lack of the user's permission.";
    ["isv.invalid-timestamp", "isv.missing-timestamp"] =>
        Stop, Merchant, AGAIN_SOON,
        "请求时间不被接受。请检查服务器时间。",
        "The time of the request was not accepted. Check the server's clock.";
};

/// Whether the gateway refuses with this code whoever signed as the account did, before it looks at the order.
pub fn bars_the_caller(code: &str) -> bool {
    let by_gateway = code.starts_with("isv.") || code.starts_with("aop.");
    by_gateway && find(TABLE, code).is_some_and(|meaning| meaning.advice == Stop && meaning.concerns == Merchant)
}

/// What the codes of a group begin with: new ones come without notice.
pub const GROUPS: &[ErrorMeaning] = meanings! {
    ["ACQ.PRODUCT_"] =>
        Stop, Merchant, OTHER_WAY,
        "支付产品没有签约、被暂停或不适用于这笔交易。请到商家平台查看。",
        "The contract for this product is missing, suspended, or does not cover this trade. Look it up on the merchant platform.";
    ["ACQ.SECONDARY_MERCHANT_", "ACQ.SUB_MERCHANT_"] =>
        Stop, Merchant, OTHER_WAY,
        "二级商户的信息有误或状态异常。请在商家平台核对。",
        "Something about the sub-merchant is wrong or not in order. Check it on the merchant platform.";
    ["ACQ.ROYALTY_ACCOUNT_", "ACQ.ROYALTY_RECEIVER_ACCOUNT_", "ACQ.ROYALTY_PAYER_ACCOUNT_"] =>
        Stop, Merchant, SHOP_HELPS,
        "分账账户有误或状态异常。请核对分账关系。",
        "An account of the split is wrong or not in order. Check the split relations.";
};

/// Without prefix and in one spelling. `INVAILID` is Alipay's. Source: Alipay, 查询对账单下载地址.
pub const BILLS: &[ErrorMeaning] = meanings! {
    ["NO_BILL_DATA", "BILL_NOT_EXIST"] =>
        Repeat, Provider, AGAIN_SOON,
        "账单还没有生成，或当天没有交易，稍后会自动再取。",
        "The bill is not made yet, or nothing moved on that day. It is fetched again later.";
    ["INVAILID_ARGUMENTS", "INVALID_ARGUMENTS"] =>
        Stop, Request, OTHER_WAY,
        "支付宝认为账单请求有误，多为日期超出范围。",
        "Alipay finds a fault in the request for the bill, mostly a day out of range.";
    ["TYPE_NOT_SUPPORTED"] =>
        Stop, Merchant, OTHER_WAY,
        "这个商家账号没有这种账单。",
        "This merchant account has no bills of this kind.";
    ["BILL_DATE_BEFORE_REGISTRATION"] =>
        Stop, Request, OTHER_WAY,
        "账单日期早于商家账号的注册时间。",
        "The day is before the merchant account was registered.";
    ["INSUFFICIENT_ISV_PERMISSIONS", "ACCESS_FORBIDDEN"] =>
        Stop, Merchant, OTHER_WAY,
        "应用没有账单权限。请在开放平台给应用添加账单接口。",
        "The application may not fetch bills. Add the bill interface to it on the open platform.";
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_explains_codes_that_nobody_has_seen_and_bills_in_any_spelling() {
        let contract = meaning("ACQ.PRODUCT_AMOUNT_LIMIT_ERROR").unwrap();
        assert_eq!((contract.advice, contract.concerns), (Stop, Merchant));
        for code in
            ["ACQ.SUB_MERCHANT_NOT_EXIST", "ACQ.SECONDARY_MERCHANT_STATUS_ERROR", "ACQ.ROYALTY_ACCOUNT_NOT_EXIST"]
        {
            assert!(meaning(code).is_some(), "{code}");
        }
        assert!(meaning("ACQ.PRODUCT_").is_none() && meaning("PRODUCT_X").is_none());
        assert_eq!(meaning("isv.bill-not-exist").unwrap().code, "BILL_NOT_EXIST");
        assert!(TABLE.iter().all(|row| meaning(row.code).unwrap().code == row.code), "groups come after the table");
    }

    #[test]
    fn every_code_stands_once_and_speaks_both_languages() {
        let all: Vec<_> = TABLE.iter().chain(GROUPS).chain(BILLS).collect();
        for (i, row) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|other| other.code != row.code), "{} twice", row.code);
            for text in [row.customer, row.merchant] {
                assert!(text.zh.ends_with('。') && text.en.ends_with('.'), "{}", row.code);
                assert!(text.en.is_ascii() && !text.zh.is_ascii(), "{}", row.code);
            }
        }
    }
}
