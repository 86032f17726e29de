//! A merchant: one shop with its own books, and the policies it chose.

use serde::{Deserialize, Serialize};

use super::fee::FeeSchedule;
use super::ids::{AccountId, MerchantId, Scope};
use super::money::Currency;
use super::time::Timestamp;
use crate::crypto::Sealed;

/// What to do with money that a channel took after the payment had ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LatePolicy {
    /// Book it: the order counts as paid, marked late.
    Book,
    /// Book it and give it back at once.
    Refund,
    /// Keep it in suspense until a person decides.
    Hold,
}

/// What to do when one order was paid twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DuplicatePolicy {
    Refund,
    Hold,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Merchant {
    pub id: MerchantId,
    /// Shown to customers on the cashier page.
    pub name: String,
    /// IANA name, such as `Asia/Shanghai`. Times are shown and days are cut in it.
    pub zone: String,
    pub currency: Currency,
    pub fees: FeeSchedule,
    /// A full refund gives the whole fee back, parts give parts.
    pub fee_returned_on_refund: bool,
    pub late: LatePolicy,
    pub duplicate: DuplicatePolicy,
    pub created_at: Timestamp,
}

/// The merchant's default secret for callbacks, one per mode: signs what goes to a payment's own `callback_url`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallbackDefaults {
    pub secret: Sealed,
    /// Signs as well until the time beside it, after a rotation.
    pub previous: Option<(Sealed, Timestamp)>,
}

/// Which adapter speaks to the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ChannelKind {
    /// The simulated provider for test mode.
    TestWallet,
    /// WeChat Pay API v3, for merchants with a contract of their own.
    WechatPay,
    /// Alipay's gateway, version 2, for merchants with a contract of their own.
    Alipay,
    /// UnionPay ACP 5.1.0 (银联全渠道), for merchants with a contract of their own.
    Unionpay,
}

impl ChannelKind {
    pub const ALL: [ChannelKind; 4] =
        [ChannelKind::TestWallet, ChannelKind::WechatPay, ChannelKind::Alipay, ChannelKind::Unionpay];

    pub const fn code(self) -> &'static str {
        match self {
            ChannelKind::TestWallet => "test_wallet",
            ChannelKind::WechatPay => "wechatpay",
            ChannelKind::Alipay => "alipay",
            ChannelKind::Unionpay => "unionpay",
        }
    }

    pub const fn name_zh(self) -> &'static str {
        match self {
            ChannelKind::TestWallet => "测试钱包",
            ChannelKind::WechatPay => "微信支付",
            ChannelKind::Alipay => "支付宝",
            ChannelKind::Unionpay => "银联",
        }
    }

    pub const fn name_en(self) -> &'static str {
        match self {
            ChannelKind::TestWallet => "Test wallet",
            ChannelKind::WechatPay => "WeChat Pay",
            ChannelKind::Alipay => "Alipay",
            ChannelKind::Unionpay => "UnionPay",
        }
    }
}

/// One contract with a channel. Closed ones go on verifying and refunding their old orders.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChannelAccount {
    pub id: AccountId,
    pub scope: Scope,
    pub kind: ChannelKind,
    pub label: String,
    /// The channel's address; empty means the provider's own, and for the test wallet this very server.
    pub base_url: Option<String>,
    /// Keys and numbers, in the form the adapter of this kind reads.
    pub credentials: Sealed,
    /// New attempts may use it.
    pub active: bool,
    pub share: Share,
    pub created_at: Timestamp,
    /// When its keys are fetched again: the key of its one row in the queue. `None` where there is nothing to fetch.
    pub upkeep_at: Option<Timestamp>,
    /// When that last succeeded.
    pub upkept_at: Option<Timestamp>,
}

/// Which new payments an account takes, among those that could take them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Out of the sum of all weights. With 0 it is a reserve: used when no other can be.
    pub weight: u16,
    /// Smallest and largest amount, in minor units.
    pub min_minor: u64,
    pub max_minor: u64,
}

impl Share {
    pub const WEIGHT_MAX: u16 = 1_000;
    /// Everything, beside others of the same weight.
    pub const WHOLE: Share = Share { weight: 100, min_minor: 0, max_minor: u64::MAX };

    pub fn takes(self, amount_minor: u64) -> bool {
        (self.min_minor..=self.max_minor).contains(&amount_minor)
    }
}
