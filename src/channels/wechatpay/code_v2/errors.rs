//! V2's own error codes; those that it shares with v3 stand in v3's table.
//! Source: WeChat Pay V2, "错误码" of the calls that we make.

use super::super::errors::{NEW_CODE, NO_MONEY, ORDER_CLOSED, ORDER_PAID, TABLE as SHARED, UNKNOWN_FORMAT};
use crate::channels::errors::sentences::{AGAIN_SOON, BEING_CHECKED, NEW_ORDER, OTHER_WAY};
use crate::channels::errors::{Advice, Concerns, ErrorMeaning, entry, find};

/// What a code of this interface means.
pub fn meaning(code: &str) -> Option<&'static ErrorMeaning> {
    find(TABLE, code).or_else(|| find(SHARED, code))
}

const fn fault(code: &'static str) -> ErrorMeaning {
    ErrorMeaning {
        code,
        advice: Advice::Stop,
        concerns: Concerns::Request,
        customer: OTHER_WAY,
        merchant: UNKNOWN_FORMAT,
    }
}

pub const TABLE: &[ErrorMeaning] = &[
    // What was asked.
    fault("XML_FORMAT_ERROR"),
    fault("LACK_PARAMS"),
    fault("NOT_UTF8"),
    fault("POST_DATA_EMPTY"),
    fault("REQUIRE_POST_METHOD"),
    ErrorMeaning { code: "ORDERPAID", ..ORDER_PAID },
    ErrorMeaning { code: "ORDERCLOSED", ..ORDER_CLOSED },
    entry(
        "ORDERREVERSED",
        Advice::Ask,
        Concerns::Request,
        NEW_ORDER,
        "订单已撤销，不能再支付。",
        "The order was reversed and can no longer be paid.",
    ),
    entry(
        "REVERSE_EXPIRE",
        Advice::Stop,
        Concerns::Request,
        BEING_CHECKED,
        "超过 7 天的付款码订单不能撤销，请改用退款。",
        "A payment by shown code cannot be reversed after seven days. Refund it instead.",
    ),
    // The person who pays.
    entry(
        "NOTENOUGH",
        Advice::Stop,
        Concerns::Customer,
        NO_MONEY,
        "顾客余额不足。请让顾客换一张卡。",
        "The customer's balance is too low. Another card helps.",
    ),
    entry(
        "NOTSUPORTCARD",
        Advice::Stop,
        Concerns::Customer,
        OTHER_WAY,
        "顾客的这张卡不支持这种付款。请让顾客换一张卡。",
        "The customer's card cannot pay this way. Another card helps.",
    ),
    entry(
        "BUYER_MISMATCH",
        Advice::Stop,
        Concerns::Customer,
        NEW_CODE,
        "同一笔订单不能换一个人付。请重新收款。",
        "One order cannot be paid by two people. Begin a new payment.",
    ),
    // The shop's contract and keys.
    entry(
        "NOAUTH",
        Advice::Stop,
        Concerns::Merchant,
        OTHER_WAY,
        "商户号没有开通付款码支付。请到商户平台“产品中心 → 付款码支付”申请。",
        "Payment codes are not opened for this merchant number. Apply at the merchant platform's product centre.",
    ),
    entry(
        "APPID_NOT_EXIST",
        Advice::Stop,
        Concerns::Merchant,
        OTHER_WAY,
        "AppID 不存在，请检查渠道账户里的 AppID。",
        "There is no such app. Check its id in the channel account.",
    ),
    entry(
        "MCHID_NOT_EXIST",
        Advice::Stop,
        Concerns::Merchant,
        OTHER_WAY,
        "商户号不存在，请检查渠道账户里的商户号。",
        "There is no such merchant number. Check it in the channel account.",
    ),
    entry(
        "SIGNERROR",
        Advice::Stop,
        Concerns::Merchant,
        AGAIN_SOON,
        "签名不被接受：请检查渠道账户里的 APIv2 密钥。",
        "The signature was not accepted. Check the APIv2 key in the channel account.",
    ),
    // The provider.
    entry(
        "SYSTEMERROR",
        Advice::Repeat,
        Concerns::Provider,
        BEING_CHECKED,
        "微信支付系统异常，结果未知，系统会自动查询，必要时撤销。",
        "WeChat Pay has a fault and the outcome is unknown. It is asked, and reversed if need be.",
    ),
    entry(
        "BANKERROR",
        Advice::Repeat,
        Concerns::Provider,
        BEING_CHECKED,
        "银行系统异常，结果未知，系统会自动查询。",
        "The bank has a fault and the outcome is unknown. It is asked by itself.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_is_explained_twice_and_each_speaks_to_both() {
        for (place, meaning) in TABLE.iter().enumerate() {
            assert!(find(SHARED, meaning.code).is_none(), "{}", meaning.code);
            assert!(TABLE[..place].iter().all(|other| other.code != meaning.code), "{}", meaning.code);
            for text in [meaning.customer, meaning.merchant] {
                assert!(text.zh.ends_with('。') && text.en.ends_with('.'), "{}", meaning.code);
            }
        }
    }

    #[test]
    fn what_may_have_moved_money_is_never_given_up() {
        for code in ["SYSTEMERROR", "BANKERROR", "ORDERPAID", "USERPAYING", "OUT_TRADE_NO_USED", "TRADE_ERROR"] {
            assert_ne!(meaning(code).unwrap().advice, Advice::Stop, "{code}");
        }
    }
}
