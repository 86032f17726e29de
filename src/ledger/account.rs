//! The chart of accounts: which accounts exist, on which side each grows, and what each is kept apart by.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{AccountId, CaseId, MerchantId, RefundId};

/// Direction of a posting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Side {
    Debit,
    Credit,
}

impl Side {
    pub const fn opposite(self) -> Side {
        match self {
            Side::Debit => Side::Credit,
            Side::Credit => Side::Debit,
        }
    }
}

/// Type of an account; it decides the normal side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Asset,
    Liability,
    Equity,
    Income,
    Expense,
}

/// An account of the chart, without its sub-key. Order is the order of the codes. Codes are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u16", try_from = "u16")]
#[repr(u16)]
pub enum AccountCode {
    /// Collected by the channel, not yet settled. Kept per channel account.
    ChannelReceivable = 1001,
    /// Settled, at the channel or in the bank. Kept per channel account.
    Settled = 1002,
    /// What a merchant owes: his balance would be negative without it. Kept per merchant.
    OwedByMerchant = 1101,
    /// The channel has less than the books say (短款挂账). Kept per case.
    SuspenseShort = 1201,
    /// The merchant's, not yet cleared against the channel's bill (待清算). Kept per merchant.
    MerchantPending = 2001,
    /// The merchant's, cleared. Kept per merchant.
    MerchantAvailable = 2002,
    /// Held for a dispute or by risk. Kept per case.
    MerchantFrozen = 2003,
    /// On its way to the merchant's bank. Kept per payout.
    PayoutInTransit = 2004,
    /// Owed to the receiver of a split. Kept per receiver.
    ReceiverPayable = 2005,
    /// Taken from the merchant, not yet confirmed to be with the customer. Kept per refund.
    RefundInTransit = 2006,
    /// The channel has more than the books know an owner for (长款挂账). Kept per case.
    SuspenseLong = 2201,
    /// Opening and closing, and what the owner paid from outside the books.
    Equity = 3001,
    FeeIncome = 4001,
    AdjustmentGain = 4002,
    ChannelCost = 5001,
    AdjustmentLoss = 5002,
}

impl AccountCode {
    pub const ALL: [AccountCode; 16] = [
        AccountCode::ChannelReceivable,
        AccountCode::Settled,
        AccountCode::OwedByMerchant,
        AccountCode::SuspenseShort,
        AccountCode::MerchantPending,
        AccountCode::MerchantAvailable,
        AccountCode::MerchantFrozen,
        AccountCode::PayoutInTransit,
        AccountCode::ReceiverPayable,
        AccountCode::RefundInTransit,
        AccountCode::SuspenseLong,
        AccountCode::Equity,
        AccountCode::FeeIncome,
        AccountCode::AdjustmentGain,
        AccountCode::ChannelCost,
        AccountCode::AdjustmentLoss,
    ];

    pub const fn code(self) -> u16 {
        self as u16
    }

    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|account| account.code() == code)
    }

    pub const fn name_zh(self) -> &'static str {
        match self {
            AccountCode::ChannelReceivable => "渠道待结算",
            AccountCode::Settled => "已结算资金",
            AccountCode::OwedByMerchant => "商户欠款",
            AccountCode::SuspenseShort => "短款挂账",
            AccountCode::MerchantPending => "待清算",
            AccountCode::MerchantAvailable => "可用余额",
            AccountCode::MerchantFrozen => "冻结资金",
            AccountCode::PayoutInTransit => "出款在途",
            AccountCode::ReceiverPayable => "应付分账",
            AccountCode::RefundInTransit => "退款在途",
            AccountCode::SuspenseLong => "长款挂账",
            AccountCode::Equity => "所有者权益",
            AccountCode::FeeIncome => "手续费收入",
            AccountCode::AdjustmentGain => "调账收益",
            AccountCode::ChannelCost => "渠道成本",
            AccountCode::AdjustmentLoss => "调账损失",
        }
    }

    pub const fn name_en(self) -> &'static str {
        match self {
            AccountCode::ChannelReceivable => "Due from the channel",
            AccountCode::Settled => "Settled funds",
            AccountCode::OwedByMerchant => "Owed by the merchant",
            AccountCode::SuspenseShort => "Unexplained shortage",
            AccountCode::MerchantPending => "Pending balance",
            AccountCode::MerchantAvailable => "Available balance",
            AccountCode::MerchantFrozen => "Frozen balance",
            AccountCode::PayoutInTransit => "Payouts in transit",
            AccountCode::ReceiverPayable => "Owed to split receivers",
            AccountCode::RefundInTransit => "Refunds in transit",
            AccountCode::SuspenseLong => "Unexplained surplus",
            AccountCode::Equity => "Owner's equity",
            AccountCode::FeeIncome => "Fee income",
            AccountCode::AdjustmentGain => "Adjustment gains",
            AccountCode::ChannelCost => "Channel costs",
            AccountCode::AdjustmentLoss => "Adjustment losses",
        }
    }

    pub const fn kind(self) -> Kind {
        match self {
            AccountCode::ChannelReceivable
            | AccountCode::Settled
            | AccountCode::OwedByMerchant
            | AccountCode::SuspenseShort => Kind::Asset,
            AccountCode::MerchantPending
            | AccountCode::MerchantAvailable
            | AccountCode::MerchantFrozen
            | AccountCode::PayoutInTransit
            | AccountCode::ReceiverPayable
            | AccountCode::RefundInTransit
            | AccountCode::SuspenseLong => Kind::Liability,
            AccountCode::Equity => Kind::Equity,
            AccountCode::FeeIncome | AccountCode::AdjustmentGain => Kind::Income,
            AccountCode::ChannelCost | AccountCode::AdjustmentLoss => Kind::Expense,
        }
    }

    /// The side on which the account grows, and on which its balance must stand.
    pub const fn normal_side(self) -> Side {
        match self.kind() {
            Kind::Asset | Kind::Expense => Side::Debit,
            Kind::Liability | Kind::Equity | Kind::Income => Side::Credit,
        }
    }

    /// Whether `sub` is the kind of key this account is kept apart by.
    pub const fn takes(self, sub: Sub) -> bool {
        match self {
            AccountCode::ChannelReceivable | AccountCode::Settled => matches!(sub, Sub::ChannelAccount(_)),
            AccountCode::OwedByMerchant | AccountCode::MerchantPending | AccountCode::MerchantAvailable => {
                matches!(sub, Sub::Merchant(_))
            }
            AccountCode::RefundInTransit => matches!(sub, Sub::Refund(_)),
            AccountCode::SuspenseShort | AccountCode::SuspenseLong | AccountCode::MerchantFrozen => {
                matches!(sub, Sub::Case(_))
            }
            // Kept per payout and per receiver: nothing can be posted here before those ids exist.
            AccountCode::PayoutInTransit | AccountCode::ReceiverPayable => false,
            AccountCode::Equity
            | AccountCode::FeeIncome
            | AccountCode::AdjustmentGain
            | AccountCode::ChannelCost
            | AccountCode::AdjustmentLoss => matches!(sub, Sub::None),
        }
    }
}

impl From<AccountCode> for u16 {
    fn from(code: AccountCode) -> u16 {
        code.code()
    }
}

impl TryFrom<u16> for AccountCode {
    type Error = BadAccount;
    fn try_from(code: u16) -> Result<Self, BadAccount> {
        Self::from_code(code).ok_or(BadAccount)
    }
}

/// What an account is kept apart by. Append-only: the position of a variant is its stored tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Sub {
    None,
    ChannelAccount(AccountId),
    Merchant(MerchantId),
    Refund(RefundId),
    Case(CaseId),
}

impl Sub {
    /// Bytes of an encoded sub-key: a tag and an id.
    pub const BYTES: usize = 17;

    /// Tag and id. Encoded keys sort as the values do.
    pub const fn to_bytes(self) -> [u8; Self::BYTES] {
        let (tag, id) = match self {
            Sub::None => (0, [0; 16]),
            Sub::ChannelAccount(id) => (1, id.to_bytes()),
            Sub::Merchant(id) => (2, id.to_bytes()),
            Sub::Refund(id) => (3, id.to_bytes()),
            Sub::Case(id) => (4, id.to_bytes()),
        };
        let mut bytes = [0; Self::BYTES];
        let (first, rest) = bytes.split_at_mut(1);
        first[0] = tag;
        rest.copy_from_slice(&id);
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote; no sub-key has two encodings.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Result<Self, BadAccount> {
        let [tag, id @ ..] = bytes;
        match tag {
            0 if id == [0; 16] => Ok(Sub::None),
            1 => Ok(Sub::ChannelAccount(AccountId::from_bytes(id))),
            2 => Ok(Sub::Merchant(MerchantId::from_bytes(id))),
            3 => Ok(Sub::Refund(RefundId::from_bytes(id))),
            4 => Ok(Sub::Case(CaseId::from_bytes(id))),
            _ => Err(BadAccount),
        }
    }
}

impl fmt::Display for Sub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sub::None => Ok(()),
            Sub::ChannelAccount(id) => id.fmt(f),
            Sub::Merchant(id) => id.fmt(f),
            Sub::Refund(id) => id.fmt(f),
            Sub::Case(id) => id.fmt(f),
        }
    }
}

/// An account that can be posted to: a code and the sub-key that belongs to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Account {
    code: AccountCode,
    sub: Sub,
}

/// Not an account: an unknown code, or a sub-key that does not belong to the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAccount;

impl fmt::Display for BadAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an account of the chart, or a sub-key of another kind")
    }
}

impl std::error::Error for BadAccount {}

impl Account {
    /// Bytes of an encoded account: the code, big-endian, and the sub-key.
    pub const BYTES: usize = 2 + Sub::BYTES;

    pub fn new(code: AccountCode, sub: Sub) -> Result<Self, BadAccount> {
        if code.takes(sub) { Ok(Self { code, sub }) } else { Err(BadAccount) }
    }

    pub const fn channel_receivable(channel: AccountId) -> Self {
        Self { code: AccountCode::ChannelReceivable, sub: Sub::ChannelAccount(channel) }
    }

    pub const fn settled(channel: AccountId) -> Self {
        Self { code: AccountCode::Settled, sub: Sub::ChannelAccount(channel) }
    }

    pub const fn owed_by_merchant(merchant: MerchantId) -> Self {
        Self { code: AccountCode::OwedByMerchant, sub: Sub::Merchant(merchant) }
    }

    pub const fn merchant_pending(merchant: MerchantId) -> Self {
        Self { code: AccountCode::MerchantPending, sub: Sub::Merchant(merchant) }
    }

    pub const fn merchant_available(merchant: MerchantId) -> Self {
        Self { code: AccountCode::MerchantAvailable, sub: Sub::Merchant(merchant) }
    }

    pub const fn refund_in_transit(refund: RefundId) -> Self {
        Self { code: AccountCode::RefundInTransit, sub: Sub::Refund(refund) }
    }

    pub const fn suspense_long(case: CaseId) -> Self {
        Self { code: AccountCode::SuspenseLong, sub: Sub::Case(case) }
    }

    pub const fn equity() -> Self {
        Self { code: AccountCode::Equity, sub: Sub::None }
    }

    pub const fn fee_income() -> Self {
        Self { code: AccountCode::FeeIncome, sub: Sub::None }
    }

    pub const fn channel_cost() -> Self {
        Self { code: AccountCode::ChannelCost, sub: Sub::None }
    }

    pub const fn code(self) -> AccountCode {
        self.code
    }

    pub const fn sub(self) -> Sub {
        self.sub
    }

    /// Code and sub-key. Encoded accounts sort as the values do: by code, then by sub-key.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..2].copy_from_slice(&self.code.code().to_be_bytes());
        bytes[2..].copy_from_slice(&self.sub.to_bytes());
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Result<Self, BadAccount> {
        let [high, low, sub @ ..] = bytes;
        let code = AccountCode::try_from(u16::from_be_bytes([high, low]))?;
        Self::new(code, Sub::from_bytes(sub)?)
    }
}

/// `2006 re_01…`, or the bare code when there is no sub-key.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code.code())?;
        match self.sub {
            Sub::None => Ok(()),
            Sub::ChannelAccount(_) | Sub::Merchant(_) | Sub::Refund(_) | Sub::Case(_) => write!(f, " {}", self.sub),
        }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The stored form, before it is known that the two belong together.
#[derive(Deserialize)]
#[serde(rename = "Account")]
struct Parts {
    code: AccountCode,
    sub: Sub,
}

impl TryFrom<Parts> for Account {
    type Error = BadAccount;
    fn try_from(parts: Parts) -> Result<Self, BadAccount> {
        Self::new(parts.code, parts.sub)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn account() -> impl Strategy<Value = Account> {
        let sub = (0..5u8, any::<[u8; 16]>()).prop_map(|(tag, id)| match tag {
            0 => Sub::None,
            1 => Sub::ChannelAccount(AccountId::from_bytes(id)),
            2 => Sub::Merchant(MerchantId::from_bytes(id)),
            3 => Sub::Refund(RefundId::from_bytes(id)),
            _ => Sub::Case(CaseId::from_bytes(id)),
        });
        (proptest::sample::select(&AccountCode::ALL[..]), sub)
            .prop_filter_map("sub-key of another kind", |(code, sub)| Account::new(code, sub).ok())
    }

    proptest! {
        #[test]
        fn an_encoded_account_reads_back_and_sorts_like_the_account(a in account(), b in account()) {
            prop_assert_eq!(Account::from_bytes(a.to_bytes()), Ok(a));
            prop_assert_eq!(Sub::from_bytes(a.sub().to_bytes()), Ok(a.sub()));
            prop_assert_eq!(a.to_bytes().cmp(&b.to_bytes()), a.cmp(&b));
            prop_assert_eq!(a.sub().to_bytes().cmp(&b.sub().to_bytes()), a.sub().cmp(&b.sub()));
            let json = serde_json::to_string(&a).unwrap();
            prop_assert_eq!(serde_json::from_str::<Account>(&json).unwrap(), a);
        }
    }

    /// The chart as an accountant reads it. A code that changes here changes every hash.
    #[test]
    fn the_chart_of_accounts() {
        let chart: Vec<String> = AccountCode::ALL
            .iter()
            .map(|a| format!("{} {:?} {:?} {:?}", a.code(), a.kind(), a.normal_side(), a))
            .collect();
        let expected = [
            "1001 Asset Debit ChannelReceivable",
            "1002 Asset Debit Settled",
            "1101 Asset Debit OwedByMerchant",
            "1201 Asset Debit SuspenseShort",
            "2001 Liability Credit MerchantPending",
            "2002 Liability Credit MerchantAvailable",
            "2003 Liability Credit MerchantFrozen",
            "2004 Liability Credit PayoutInTransit",
            "2005 Liability Credit ReceiverPayable",
            "2006 Liability Credit RefundInTransit",
            "2201 Liability Credit SuspenseLong",
            "3001 Equity Credit Equity",
            "4001 Income Credit FeeIncome",
            "4002 Income Credit AdjustmentGain",
            "5001 Expense Debit ChannelCost",
            "5002 Expense Debit AdjustmentLoss",
        ];
        assert_eq!(chart, expected);
    }

    #[test]
    fn names_are_told_apart_in_both_languages() {
        let distinct = |name: fn(AccountCode) -> &'static str| {
            AccountCode::ALL.into_iter().map(name).collect::<std::collections::BTreeSet<_>>().len()
        };
        assert_eq!((distinct(AccountCode::name_zh), distinct(AccountCode::name_en)), (16, 16));
    }

    #[test]
    fn a_sub_key_of_another_kind_makes_no_account() {
        let merchant = Sub::Merchant(MerchantId::from_bytes([7; 16]));
        assert_eq!(Account::new(AccountCode::FeeIncome, merchant), Err(BadAccount));
        assert_eq!(Account::new(AccountCode::MerchantPending, Sub::None), Err(BadAccount));
        let mut bytes = Account::merchant_pending(MerchantId::from_bytes([7; 16])).to_bytes();
        bytes[..2].copy_from_slice(&4001u16.to_be_bytes());
        assert_eq!(Account::from_bytes(bytes), Err(BadAccount));
        let stored = serde_json::json!({ "code": 4001, "sub": merchant });
        assert!(serde_json::from_value::<Account>(stored).is_err());
    }

    #[test]
    fn unknown_codes_and_tags_are_refused() {
        assert_eq!(AccountCode::from_code(1003), None);
        assert_eq!(Sub::from_bytes([5; 17]), Err(BadAccount));
        let mut none_with_rest = [0; 17];
        none_with_rest[16] = 1;
        assert_eq!(Sub::from_bytes(none_with_rest), Err(BadAccount));
    }
}
