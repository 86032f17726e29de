//! UnionPay's answer codes (respCode, origRespCode) and what they mean.
//!
//! Source: UnionPay ACP 5.1.0, appendix answer codes. A code that is not here decides nothing: only a later query does.

use crate::channels::errors::Advice::{Ask, Repeat, Stop};
use crate::channels::errors::Concerns::{Customer, Merchant, Provider, Request};
use crate::channels::errors::sentences::{AGAIN_SOON, BEING_CHECKED, NEW_ORDER, OTHER_WAY};
use crate::channels::errors::{ErrorMeaning, entry};
use crate::lang::Text;

const OTHER_CARD: Text = Text::new("请换一张银行卡，或换一种支付方式。", "Please use another card or pay another way.");
const BALANCE: Text = Text::new(
    "余额不足，请换一张银行卡或换一种支付方式。",
    "There is not enough money on the card. Please use another card or pay another way.",
);
const CHECK_INPUT: Text =
    Text::new("填写的信息不正确，请核对后重试。", "Something you entered is wrong. Please check it and try again.");
const ASK_BANK: Text =
    Text::new("银行没有接受这笔支付，请联系发卡银行。", "Your bank refused the payment. Please ask the bank.");
const RETURNED: Text = Text::new(
    "超过了付款时间，已扣的钱会自动退回。",
    "The time to pay had run out. Money that was taken comes back by itself.",
);
const CONFIRM: Text = Text::new("请按银行的提示完成付款。", "Please finish the payment as your bank shows.");

/// All published codes but the two of success.
#[rustfmt::skip]
pub const TABLE: &[ErrorMeaning] = &[
    entry("01", Stop, Provider, OTHER_WAY, "交易失败，原因见银联返回的说明。", "The transaction failed; UnionPay's message says why."),
    entry("02", Repeat, Provider, AGAIN_SOON, "银联系统未开放或暂时关闭，稍后自动重试。", "UnionPay is closed for the moment; it is tried again later."),
    entry("03", Ask, Provider, BEING_CHECKED, "银联与银行通讯超时，系统会继续查询结果。", "UnionPay did not hear from the bank in time; the outcome is being asked for."),
    entry("04", Ask, Provider, BEING_CHECKED, "交易状态未明，系统会继续查询，并以对账文件为准。", "The outcome is not known yet; it is being asked for, and the statement decides."),
    entry("05", Ask, Provider, BEING_CHECKED, "银联已受理，结果稍后查询。", "UnionPay accepted it; the outcome is being asked for."),
    entry("06", Repeat, Provider, AGAIN_SOON, "银联系统繁忙，稍后自动重试。", "UnionPay is busy; it is tried again later."),
    entry("10", Stop, Request, OTHER_WAY, "银联不接受报文格式，请联系技术支持。", "UnionPay refused the form of the request. Please contact support."),
    entry("11", Stop, Merchant, OTHER_WAY, "银联验证签名失败：请核对商户号和签名证书是否匹配、证书是否已更新。", "UnionPay could not verify our signature: check that merchant number and signing certificate belong together and that the certificate was not replaced."),
    entry("12", Ask, Request, BEING_CHECKED, "这个订单号和时间已提交过，系统会查询它的结果。", "This number and time were sent before; its outcome is being asked for."),
    entry("13", Stop, Request, OTHER_WAY, "报文缺少要素，请联系技术支持。", "The request lacked a field. Please contact support."),
    entry("14", Stop, Request, OTHER_WAY, "批量文件格式错误。", "The batch file has a wrong form."),
    entry("30", Stop, Customer, OTHER_CARD, "银行没有通过这笔交易，顾客可以换一张卡。", "The bank did not approve it; the customer can use another card."),
    entry("31", Stop, Merchant, OTHER_WAY, "商户状态不正确，请联系收单机构。", "The merchant's status is not in order. Please ask your acquirer."),
    entry("32", Stop, Merchant, OTHER_WAY, "商户没有开通这种交易的权限，请联系收单机构。", "The contract does not cover this kind of transaction. Please ask your acquirer."),
    entry("33", Stop, Merchant, OTHER_WAY, "金额超过限额。", "The amount is above the limit."),
    entry("34", Ask, Request, BEING_CHECKED, "银联没有这笔交易的记录。", "UnionPay does not know this transaction."),
    entry("35", Stop, Request, OTHER_WAY, "原交易不存在或状态不正确，请先查询原交易。", "The original transaction does not exist or is in another state. Look at it first."),
    entry("36", Stop, Request, OTHER_WAY, "与原交易信息不符，请核对金额和订单号。", "It does not match the original transaction. Check amount and numbers."),
    entry("37", Repeat, Request, BEING_CHECKED, "查询次数过多或过于频繁，稍后再查。", "Asked too often; it is asked again later."),
    entry("38", Stop, Customer, OTHER_WAY, "银联风险控制拒绝了这笔交易。", "UnionPay's risk control refused it."),
    entry("39", Stop, Request, OTHER_WAY, "不在受理时间内：撤销只能在当清算日做，请改用退货。", "Outside the time for it: an undo works on the same clearing day only. Use a refund."),
    entry("40", Stop, Customer, OTHER_CARD, "绑定关系检查失败。", "The card is not bound as it has to be."),
    entry("41", Stop, Request, OTHER_WAY, "批量状态不正确。", "The batch is in another state."),
    entry("42", Stop, Customer, RETURNED, "扣款成功但超过支付时间，银联会自动退款；请勿发货。", "Money was taken after the time to pay; UnionPay returns it. Do not deliver."),
    entry("43", Stop, Merchant, OTHER_WAY, "没有这项业务的权限，请联系收单机构。", "The contract does not cover this business. Please ask your acquirer."),
    entry("44", Stop, Customer, OTHER_CARD, "卡号错误，或卡未开通在线支付。", "The card number is wrong, or the card cannot pay online."),
    entry("45", Stop, Request, OTHER_WAY, "原交易已被退货或撤销，请核对账目。", "The original was refunded or undone before. Compare the books."),
    entry("60", Stop, Customer, ASK_BANK, "发卡行拒绝，顾客需咨询银行。", "The issuing bank refused; the customer has to ask it."),
    entry("61", Stop, Customer, OTHER_CARD, "卡号无效。", "The card number is not valid."),
    entry("62", Stop, Customer, OTHER_CARD, "发卡行不支持这家商户。", "The issuing bank does not serve this merchant."),
    entry("63", Stop, Customer, OTHER_CARD, "银行卡状态不正确。", "The card's status is not in order."),
    entry("64", Stop, Customer, BALANCE, "卡上余额不足。", "There is not enough money on the card."),
    entry("65", Stop, Customer, CHECK_INPUT, "密码、有效期或安全码错误。", "The password, expiry date or security code was wrong."),
    entry("66", Stop, Customer, CHECK_INPUT, "身份信息或手机号不正确。", "The personal data or phone number was wrong."),
    entry("67", Stop, Customer, OTHER_CARD, "密码错误次数超限。", "The password was wrong too often."),
    entry("68", Stop, Customer, OTHER_CARD, "这张卡暂不支持该业务。", "The card does not support this for now."),
    entry("69", Stop, Customer, NEW_ORDER, "顾客输入超时。", "The customer took too long."),
    entry("70", Ask, Customer, CONFIRM, "已跳转到网银，等待顾客输入。", "The customer is on the bank's page."),
    entry("71", Stop, Customer, CHECK_INPUT, "短信验证码错误或已失效。", "The code by text message was wrong or too old."),
    entry("72", Stop, Customer, OTHER_CARD, "银行卡尚未签约。", "The card is not signed up for this."),
    entry("73", Stop, Customer, OTHER_CARD, "银行卡已过期。", "The card has expired."),
    entry("74", Ask, Provider, BEING_CHECKED, "扣款成功，销账结果未知，系统会继续查询。", "Money was taken; whether the bill was settled is being asked for."),
    entry("75", Ask, Provider, BEING_CHECKED, "扣款成功但销账失败，请与收单机构核对。", "Money was taken but the bill was not settled. Please clear it with your acquirer."),
    entry("76", Stop, Customer, OTHER_CARD, "银行卡需验密开通。", "The card has to be activated with its password."),
    entry("77", Stop, Customer, OTHER_CARD, "银行卡未开通认证支付。", "The card is not activated for verified payments."),
    entry("78", Stop, Customer, ASK_BANK, "发卡行限制了这张卡的交易。", "The issuing bank restricts this card."),
    entry("79", Stop, Customer, OTHER_CARD, "这张卡可用，但发卡行不支持短信验证。", "The card works, but its bank sends no codes by text message."),
    entry("80", Stop, Customer, OTHER_CARD, "支付标记（Token）已过期。", "The card's token has expired."),
    entry("82", Stop, Customer, CHECK_INPUT, "需要校验密码。", "The password has to be checked."),
    entry("98", Repeat, Provider, AGAIN_SOON, "对账文件还没有生成，或当天没有交易。", "The statement is not made yet, or nothing happened on that day."),
    entry("99", Stop, Provider, OTHER_WAY, "银联返回通用错误，原因见说明。", "A general error; UnionPay's message says why."),
];
