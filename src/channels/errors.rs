//! What the providers' error codes mean, as data: whether to ask, repeat or stop, and the sentence for those concerned.
//!
//! Each adapter has one table beside its reader of answers; the reader decides by it, and pages explain by it.

use super::{Observation, alipay, test_wallet, unionpay, wechatpay};
use crate::domain::merchant::ChannelKind;
use crate::domain::trouble::{Trouble, TroubleKind};
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

/// One line of a table; `zh` and `en` are for the shop.
pub const fn entry(
    code: &'static str,
    advice: Advice,
    concerns: Concerns,
    customer: Text,
    zh: &'static str,
    en: &'static str,
) -> ErrorMeaning {
    ErrorMeaning { code, advice, concerns, customer, merchant: Text::new(zh, en) }
}

/// What `code` means at this channel; `None` for a code that nobody has described.
pub fn meaning(kind: ChannelKind, code: &str) -> Option<&'static ErrorMeaning> {
    match kind {
        ChannelKind::TestWallet => find(test_wallet::errors::TABLE, code),
        ChannelKind::WechatPay => {
            wechatpay::code_v2::errors::meaning(code).or_else(|| find(wechatpay::errors::STATES, code))
        }
        ChannelKind::Alipay => alipay::errors::meaning(code),
        ChannelKind::Unionpay => find(unionpay::errors::TABLE, code),
    }
}

/// What went wrong by the channel's word, to be kept; `None` where it tells of no trouble. `channel` is `None` when the
/// account is gone from here.
pub fn trouble_of(channel: Option<ChannelKind>, observation: &Observation) -> Option<Trouble> {
    let (named, detail) = match observation {
        Observation::Refused { code, detail } | Observation::Barred { code, detail, .. } => {
            (Some(code.as_str()), detail)
        }
        Observation::Declined { detail }
        | Observation::RefundFailed { detail }
        | Observation::RefundUndeliverable { detail, .. }
        | Observation::CodeLost { detail }
        | Observation::Unknown { detail } => (None, detail),
        Observation::Accepted { .. }
        | Observation::NotPaid
        | Observation::Paid(_)
        | Observation::Closed
        | Observation::NotFound
        | Observation::RefundProcessing { .. }
        | Observation::RefundReturned { .. }
        | Observation::RefundSucceeded { .. } => return None,
    };
    let read = Trouble::from(detail.as_str());
    let told = read.kind == TroubleKind::Told;
    let code = named.filter(|_| told).or_else(|| code_at_start(channel?, &read.words)).map(str::to_owned);
    Some(Trouble { channel, code: read.code.clone().or(code), ..Trouble::new(read.kind, &read.words) })
}

/// The code that a sentence begins with, where the channel has such a one.
fn code_at_start(channel: ChannelKind, words: &str) -> Option<&str> {
    let first = words.split([':', ' ']).next()?;
    meaning(channel, first).map(|_| first)
}

/// What to tell people about a trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// For the person who pays, where the payment ended with it.
    pub customer: Text,
    /// For the shop.
    pub merchant: Text,
}

/// The sentences for a trouble: those of the provider's code where it is described, else those of its kind.
pub fn explain(trouble: &Trouble) -> Explanation {
    let described = trouble.channel.zip(trouble.code.as_deref()).and_then(|(channel, code)| meaning(channel, code));
    if let Some(meaning) = described {
        return Explanation { customer: meaning.customer, merchant: meaning.merchant };
    }
    let (customer, zh, en) = match trouble.kind {
        TroubleKind::Told => {
            (sentences::OTHER_WAY, "渠道给出了说明，原文见后。", "The channel said why; its own words follow.")
        }
        TroubleKind::Unfit => (
            sentences::OTHER_WAY,
            "订单不符合渠道的规则，没有发给渠道。",
            "The order does not fit the channel's rules, so it was not sent.",
        ),
        TroubleKind::Credentials => (
            sentences::OTHER_WAY,
            "渠道不接受这个账户的密钥或证书，或它们已不能用。请到“渠道”里核对并重新填写。",
            "The channel does not accept this account's keys or certificates, or they can no longer be used. Check them under Channels and enter them again.",
        ),
        TroubleKind::NotGenuine => (
            sentences::BEING_CHECKED,
            "签名或内容对不上，不能证明来自渠道，所以没有采信。",
            "Signature or content did not check out, so nothing proves that the channel sent it, and it was not believed.",
        ),
        TroubleKind::UnknownKey => (
            sentences::BEING_CHECKED,
            "签名用的密钥不在本系统里：可能是伪造，也可能渠道换了密钥。系统会自动去取新的；若持续，请到“渠道”里核对平台证书或公钥。",
            "It is signed with a key that is not known here: a forgery, or the channel has a new key. New keys are fetched by themselves; if it goes on, check the platform certificate or public key under Channels.",
        ),
        TroubleKind::Unreadable => (
            sentences::BEING_CHECKED,
            "渠道的答复看不懂，结果未知，系统会再问。",
            "The channel's message could not be understood. The outcome is unknown and is asked for again.",
        ),
        TroubleKind::Unsupported => (sentences::OTHER_WAY, "渠道没有这项功能。", "The channel does not offer this."),
        TroubleKind::NoWords => (
            sentences::BEING_CHECKED,
            "渠道没有正常答复，多为渠道或网络中途出错。结果未知，系统会再问。",
            "The channel gave no proper answer, mostly because something on the way failed. The outcome is unknown and is asked for again.",
        ),
        TroubleKind::Unreachable => (
            sentences::AGAIN_SOON,
            "连不上渠道，请求没有送到，系统会自动重试。若持续，请检查本机的网络和 DNS。",
            "The channel cannot be reached, so nothing arrived there. It is tried again; if it goes on, check this machine's network and DNS.",
        ),
        TroubleKind::NoAnswer => (
            sentences::BEING_CHECKED,
            "渠道没有在时限内答复。它可能已经收到，所以先查询结果，不会重复收款。",
            "The channel did not answer in time. It may have got the request, so it is asked what happened; nobody is charged twice.",
        ),
        TroubleKind::NoAccount => (
            sentences::OTHER_WAY,
            "渠道账户的密钥打不开，没法联系渠道。请到“渠道”里重新填写。",
            "The channel account's keys cannot be opened, so the channel cannot be asked. Enter them again under Channels.",
        ),
        TroubleKind::TooLate => (
            sentences::OTHER_WAY,
            "渠道已不受理这笔付款的退款，过了退款期限。请用转账等方式退给顾客。",
            "The channel takes no refunds of this payment any more; the time for it is over. Pay the customer another way.",
        ),
        TroubleKind::NoCard => (
            sentences::OTHER_WAY,
            "填写的银行卡已不在内存里，没有发给渠道，请再填一次。",
            "The bank card that was entered is no longer in memory, so nothing was sent. Please enter it again.",
        ),
        TroubleKind::Stranger => (
            sentences::BEING_CHECKED,
            "签名有效，但说的不是这个渠道账户的订单或退款，所以没有采信。",
            "The signature is right, but it is about no order or refund of this channel account, so it was not believed.",
        ),
    };
    Explanation { customer, merchant: Text::new(zh, en) }
}

/// The entry of a table. Several codes of one meaning have an entry each, so that the table can be read aloud.
pub fn find(table: &'static [ErrorMeaning], code: &str) -> Option<&'static ErrorMeaning> {
    table.iter().find(|meaning| meaning.code == code)
}

/// Whether what was noted of a refund says that the merchant's own balance is too low. All providers' codes for it end so.
pub fn wants_balance(failure: &Trouble) -> bool {
    failure.raw().contains("NOT_ENOUGH")
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(channel: ChannelKind, observation: &Observation) -> Trouble {
        trouble_of(Some(channel), observation).expect("it tells of trouble")
    }

    #[test]
    fn the_providers_code_is_kept_and_explained_wherever_it_stands() {
        let refused = Observation::Refused { code: "NOT_ENOUGH".to_owned(), detail: "余额不足".to_owned() };
        let declined = Observation::Declined { detail: "64 余额不足".to_owned() };
        let unknown = Observation::Unknown { detail: "SYSTEM_ERROR: busy (HTTP 500)".to_owned() };
        let credentials = Observation::unknown(&Trouble::new(TroubleKind::Credentials, "SIGN_ERROR: 签名错误"));
        let closed = Observation::RefundFailed { detail: "CLOSED".to_owned() };
        let table = [
            (ChannelKind::WechatPay, refused, "NOT_ENOUGH", "余额不足"),
            (ChannelKind::Unionpay, declined, "64", "余额不足"),
            (ChannelKind::WechatPay, unknown, "SYSTEM_ERROR", "自动查询"),
            (ChannelKind::WechatPay, credentials, "SIGN_ERROR", "商户私钥"),
            (ChannelKind::WechatPay, closed, "CLOSED", "退款"),
        ];
        for (channel, observation, code, word) in table {
            let trouble = of(channel, &observation);
            assert_eq!(trouble.code.as_deref(), Some(code));
            assert!(explain(&trouble).merchant.zh.contains(word), "{code}: {}", explain(&trouble).merchant.zh);
            assert_eq!(Trouble::from(trouble.to_string()), trouble, "as it is kept");
        }
    }

    #[test]
    fn a_code_that_nobody_described_stays_beside_a_sentence_of_its_kind() {
        let new = Observation::Refused { code: "NEW_CODE".to_owned(), detail: "新的".to_owned() };
        let trouble = of(ChannelKind::Alipay, &new);
        assert_eq!((trouble.raw().as_str(), trouble.kind), ("NEW_CODE · 新的", TroubleKind::Told));
        assert_eq!(explain(&trouble).customer, sentences::OTHER_WAY);
        assert_eq!(trouble_of(None, &Observation::NotPaid), None);
        // Numbers of UnionPay are no codes elsewhere, nor in the middle of a sentence.
        let status = of(ChannelKind::Unionpay, &Observation::no_words(502));
        assert_eq!((status.kind, status.code), (TroubleKind::NoWords, None));
    }

    #[test]
    fn every_kind_speaks_both_languages_and_never_with_the_advice_for_shops_that_are_called_back() {
        for kind in TroubleKind::ALL {
            let Explanation { customer, merchant } = explain(&Trouble::new(*kind, ""));
            for text in [customer, merchant] {
                assert!(text.zh.ends_with('。') && text.en.ends_with('.') && text.en.is_ascii(), "{kind:?}");
                assert!(!text.en.contains("2xx") && !text.zh.contains("2xx"), "{kind:?}");
            }
        }
    }
}
