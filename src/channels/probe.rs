//! The connection test of an account: a question about an order that was never made, and what the answer shows.
//!
//! It goes through the adapter that takes real money. A provider that knows the account and believes its signature says
//! that there is no such order; anything else is a reason why no money could be taken.

use serde::{Deserialize, Serialize};

use super::errors::{self, ErrorMeaning};
use super::text::shortened_to;
use super::{Channel, ChannelError, Observation, Order, OrderRef};
use crate::domain::ids::AttemptId;
use crate::domain::merchant::ChannelKind;
use crate::domain::time::{Duration, Timestamp};
use crate::env::transport::SendError;
use crate::lang::Text;

/// Characters that are kept of the provider's own words.
const SAID_CHARS_MAX: usize = 256;
/// How long the order that is asked about would have lived.
const WOULD_LIVE: Duration = Duration::from_minutes(30);

/// What a test found. Stored: append-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    /// The provider answered as it answers those it knows.
    Works,
    /// The provider answered with something else; its own words, which hold its code.
    Refused { said: String },
    /// The answer is not signed with a key of the account.
    NotVerified,
    /// The answer is none of this provider's.
    NotUnderstood { said: String },
    /// There was no answer.
    Unreachable { why: SendError },
    /// The stored keys cannot be opened.
    Unusable,
}

/// The question, about an order with this new number; `None` when the account has no method to ask about.
pub fn question(channel: &dyn Channel, attempt: AttemptId, now: Timestamp) -> Option<Order> {
    let method = channel.terms().methods.first()?.method;
    let expires_at = now.plus(WOULD_LIVE);
    Some(Order::Query(OrderRef { attempt, method, created_at: now, expires_at, transaction_id: None }))
}

/// What the adapter's reading of the answer shows.
pub fn found(read: Result<Observation, ChannelError>) -> Found {
    let said = |detail: &str| shortened_to(detail, SAID_CHARS_MAX);
    match read {
        // An order that was never made cannot have a state, but whoever tells one has understood the question.
        Ok(
            Observation::NotFound
            | Observation::NotPaid
            | Observation::Closed
            | Observation::Accepted { .. }
            | Observation::Paid(_)
            | Observation::Declined { .. }
            | Observation::CodeLost { .. }
            | Observation::RefundProcessing { .. }
            | Observation::RefundSucceeded { .. }
            | Observation::RefundFailed { .. }
            | Observation::RefundUndeliverable { .. }
            | Observation::RefundReturned { .. },
        ) => Found::Works,
        Ok(Observation::Refused { code, detail } | Observation::Barred { code, detail, bar: _ }) => {
            Found::Refused { said: said(&format!("{code}: {detail}")) }
        }
        Ok(Observation::Unknown { detail })
        | Err(ChannelError::Credentials { detail } | ChannelError::Unfit { detail }) => {
            Found::Refused { said: said(&detail) }
        }
        Err(ChannelError::NotGenuine { .. } | ChannelError::UnknownKey { .. } | ChannelError::Probe) => {
            Found::NotVerified
        }
        Err(ChannelError::Malformed { detail }) => Found::NotUnderstood { said: said(&detail) },
        Err(ChannelError::Unsupported) => Found::Unusable,
    }
}

impl Found {
    pub fn works(&self) -> bool {
        *self == Found::Works
    }

    /// The provider's own words, where it said some.
    pub fn said(&self) -> &str {
        match self {
            Found::Refused { said } | Found::NotUnderstood { said } => said,
            Found::Works | Found::NotVerified | Found::Unreachable { .. } | Found::Unusable => "",
        }
    }

    /// A word for the audit log.
    pub fn code(&self) -> &'static str {
        match self {
            Found::Works => "works",
            Found::Refused { .. } => "refused",
            Found::NotVerified => "not_verified",
            Found::NotUnderstood { .. } => "not_understood",
            Found::Unreachable { .. } => "unreachable",
            Found::Unusable => "unusable",
        }
    }

    /// What it means, and what to do about it.
    pub fn sentence(&self, kind: ChannelKind) -> Text {
        match self {
            Found::Works => works(kind),
            Found::Refused { said } => match meaning(kind, said) {
                Some(meaning) => meaning.merchant,
                None => Text::new(
                    "渠道有应答，但没有给出预期的结果。请看它的原话，过一会儿再测。",
                    "The channel answered, but not as expected. Read its own words, and test again in a while.",
                ),
            },
            Found::NotVerified => not_verified(kind),
            Found::NotUnderstood { .. } => Text::new(
                "有应答，但不像是渠道发来的。本机的网络可能经过了代理或劫持，请检查后再测。",
                "Something answered, but not like the channel. A proxy may stand in the way; check the network and test again.",
            ),
            Found::Unreachable { why } => unreachable(why),
            Found::Unusable => Text::new(
                "密钥打不开，没有发出请求。请重新填写。",
                "The keys cannot be opened, so nothing was asked. Please enter them again.",
            ),
        }
    }
}

/// The first word of an answer that the provider's table of codes describes.
fn meaning(kind: ChannelKind, said: &str) -> Option<&'static ErrorMeaning> {
    said.split([' ', ':', '：']).find_map(|word| errors::meaning(kind, word))
}

const fn works(kind: ChannelKind) -> Text {
    match kind {
        // Its refusals are not signed, so the answer to "no such order" shows only that ours was believed.
        ChannelKind::WechatPay => Text::new(
            "连接正常：微信支付认可商户号和签名。它自己的签名，会在第一笔付款时核对。",
            "It works: WeChat Pay accepts the merchant number and our signature. Its own is checked with the first payment.",
        ),
        ChannelKind::TestWallet | ChannelKind::Alipay | ChannelKind::Unionpay => Text::new(
            "连接正常：渠道认可我们的签名，它的应答也验证通过。",
            "It works: the channel accepts our signature, and its answer was verified.",
        ),
    }
}

const fn not_verified(kind: ChannelKind) -> Text {
    match kind {
        ChannelKind::Alipay => Text::new(
            "支付宝应答了，但签名对不上。请核对支付宝公钥（不是应用公钥），或重新下载三个证书。",
            "Alipay answered, but its signature does not fit. Check Alipay's public key (not the app's), or download the three certificates again.",
        ),
        ChannelKind::WechatPay => Text::new(
            "微信支付应答了，但签名对不上。请核对微信支付公钥和公钥 ID。",
            "WeChat Pay answered, but its signature does not fit. Check its public key and the key's id.",
        ),
        ChannelKind::Unionpay => Text::new(
            "银联应答了，但签名对不上。用密钥签名的请核对密钥和签名方式；用证书的请把银联根证书一栏清空，或勾选接受 SHA-1。",
            "UnionPay answered, but its signature does not fit. By key: check the key and the way of signing. By certificate: empty the field of root certificates, or accept SHA-1.",
        ),
        ChannelKind::TestWallet => Text::new("应答的签名对不上。", "The signature of the answer does not fit."),
    }
}

const fn unreachable(why: &SendError) -> Text {
    match why {
        SendError::Dns => Text::new(
            "查不到渠道的地址，没有发出请求。请检查本机能否上网、DNS 是否正常。",
            "The channel's address was not found, so nothing was asked. Check this machine's network and DNS.",
        ),
        SendError::Blocked { .. } | SendError::InvalidRequest => Text::new(
            "本机的设置不允许访问这个地址，没有发出请求。请检查账户的网关地址。",
            "The settings of this machine forbid that address, so nothing was asked. Check the account's address.",
        ),
        SendError::Tls { .. } => Text::new(
            "与渠道的加密连接建立不起来。请检查本机时间，以及网络是否经过会拆开加密的代理。",
            "No encrypted connection came about. Check this machine's clock, and whether a proxy opens the encryption.",
        ),
        SendError::Connect { .. } | SendError::Timeout { .. } | SendError::Protocol => Text::new(
            "连不上渠道，或它没有及时应答。请检查本机的网络和防火墙，过一会儿再测。",
            "The channel could not be reached, or did not answer in time. Check network and firewall, and test again in a while.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_provider_says_is_explained_by_its_table() {
        use ChannelKind::{Alipay, Unionpay, WechatPay};
        let unknown = |detail: &str| found(Ok(Observation::Unknown { detail: detail.to_owned() }));
        let keys = |detail: &str| found(Err(ChannelError::Credentials { detail: detail.to_owned() }));
        for (kind, seen, word) in [
            (WechatPay, keys("SIGN_ERROR: 签名错误"), "签名"),
            (WechatPay, unknown("HTTP 403 NO_AUTH: 商户号该产品权限未开通"), "权限"),
            (Alipay, keys("isv.invalid-signature: 验签出错"), "验签"),
            (Alipay, unknown("isv.invalid-app-id: 无效的AppID参数"), "APPID"),
            (Unionpay, keys("11 验证签名失败"), "签名"),
            (Unionpay, unknown("31 商户状态不正确"), "商户状态"),
            (Unionpay, unknown("HTTP 502 without a usable answer"), "应答"),
        ] {
            let Found::Refused { said } = &seen else { panic!("{seen:?}") };
            assert!(seen.sentence(kind).zh.contains(word), "{said}: {}", seen.sentence(kind).zh);
        }
    }

    #[test]
    fn only_an_answer_of_the_provider_is_a_success() {
        assert!(found(Ok(Observation::NotFound)).works());
        let no = [
            Err(ChannelError::NotGenuine { detail: String::new() }),
            Err(ChannelError::UnknownKey { id: String::new() }),
            Err(ChannelError::Malformed { detail: String::new() }),
            Err(ChannelError::Credentials { detail: String::new() }),
            Err(ChannelError::Unsupported),
            Ok(Observation::Unknown { detail: String::new() }),
        ];
        for read in no {
            let seen = found(read);
            assert!(!seen.works());
            for kind in ChannelKind::ALL {
                let text = seen.sentence(kind);
                assert!(!text.zh.is_empty() && !text.en.is_empty());
            }
        }
    }
}
