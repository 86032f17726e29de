//! What the providers' error codes mean, as data: whether to ask, repeat or stop, and the sentence for those concerned.
//!
//! Each adapter has one table beside its reader of answers; the reader decides by it, and pages explain by it.

use super::{alipay, unionpay, wechatpay};
use crate::domain::merchant::ChannelKind;
use crate::lang::Text;

/// What helps after this answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// The order may have moved: ask the provider what happened before anything else.
    Ask,
    /// Nothing is decided: send the same again, later, with the same number.
    Repeat,
    /// Refused for good: the same request will never be accepted.
    Stop,
}

/// Who can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concerns {
    /// The person who pays: another card, another code.
    Customer,
    /// The shop's contract, keys or balance.
    Merchant,
    /// The provider: it is busy or has a fault.
    Provider,
    /// What was asked: the order's state, or a fault of the request.
    Request,
}

/// One code of one provider.
#[derive(Clone, Copy, Debug)]
pub struct ErrorMeaning {
    pub code: &'static str,
    pub advice: Advice,
    pub concerns: Concerns,
    /// For the person at the cashier: says what to do, never whose fault it is.
    pub customer: Text,
    /// For the shop: says what happened and where to change it.
    pub merchant: Text,
}

/// What `code` means at this channel; `None` for a code that nobody has described.
pub fn meaning(kind: ChannelKind, code: &str) -> Option<&'static ErrorMeaning> {
    let table: &[ErrorMeaning] = match kind {
        ChannelKind::TestWallet => &[],
        ChannelKind::WechatPay => return wechatpay::code_v2::errors::meaning(code),
        ChannelKind::Alipay => alipay::errors::TABLE,
        ChannelKind::Unionpay => unionpay::errors::TABLE,
    };
    find(table, code)
}

/// The entry of a table. Several codes of one meaning have an entry each, so that the table can be read aloud.
pub fn find(table: &'static [ErrorMeaning], code: &str) -> Option<&'static ErrorMeaning> {
    table.iter().find(|meaning| meaning.code == code)
}

/// Whether what was noted of a refund says that the merchant's own balance is too low. All providers' codes for it end so.
pub fn wants_balance(failure: &str) -> bool {
    failure.contains("NOT_ENOUGH")
}

/// The sentences that fit many codes, so that one situation sounds the same at every provider.
pub mod sentences {
    use crate::lang::Text;

    pub const OTHER_WAY: Text =
        Text::new("请换一种支付方式，或联系商家。", "Please pay another way, or contact the shop.");
    pub const AGAIN_SOON: Text =
        Text::new("支付暂时繁忙，请稍等片刻再试。", "Payment is busy right now. Please wait a moment and try again.");
    pub const BEING_CHECKED: Text = Text::new(
        "正在确认支付结果，请不要重复付款。",
        "We are checking whether the payment went through. Please do not pay again.",
    );
    pub const NEW_ORDER: Text =
        Text::new("这笔订单已不能支付，请重新下单。", "This order can no longer be paid. Please place it again.");
}
