//! Balances: the fold of an account's postings, and the sums that the posting rules decide by.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::account::{AccountCode, Side};
use super::entry::Posting;

/// Everything ever debited and credited to one account in one currency, in minor units. Both only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    pub debit_minor: u128,
    pub credit_minor: u128,
}

/// A total left 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the total of an account is out of range")
    }
}

impl std::error::Error for Overflow {}

/// An account stands on the side it must never stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongSide(pub AccountCode);

impl fmt::Display for WrongSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "account {} stands on its wrong side", self.0.code())
    }
}

impl std::error::Error for WrongSide {}

impl Balance {
    pub fn apply(&self, posting: &Posting) -> Result<Balance, Overflow> {
        let minor = u128::from(posting.minor);
        let mut next = *self;
        match posting.side {
            Side::Debit => next.debit_minor = next.debit_minor.checked_add(minor).ok_or(Overflow)?,
            Side::Credit => next.credit_minor = next.credit_minor.checked_add(minor).ok_or(Overflow)?,
        }
        Ok(next)
    }

    /// What the account holds, seen from its normal side; `None` when it stands on the other one.
    pub const fn net(&self, normal: Side) -> Option<u128> {
        match normal {
            Side::Debit => self.debit_minor.checked_sub(self.credit_minor),
            Side::Credit => self.credit_minor.checked_sub(self.debit_minor),
        }
    }

    /// I4 for one account: what it holds, or that it stands on its wrong side.
    pub fn of(&self, code: AccountCode) -> Result<u128, WrongSide> {
        self.net(code.normal_side()).ok_or(WrongSide(code))
    }
}

/// What a merchant has and owes in one currency, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MerchantPosition {
    /// 2001.
    pub pending: u128,
    /// 2002.
    pub available: u128,
    /// 1101.
    pub owed: u128,
}

impl MerchantPosition {
    /// From the balances of 2001, 2002 and 1101 of one merchant.
    pub fn new(pending: Balance, available: Balance, owed: Balance) -> Result<Self, WrongSide> {
        Ok(Self {
            pending: pending.of(AccountCode::MerchantPending)?,
            available: available.of(AccountCode::MerchantAvailable)?,
            owed: owed.of(AccountCode::OwedByMerchant)?,
        })
    }
}

/// What lies at one channel account in one currency, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelPosition {
    /// 1001.
    pub in_transit: u128,
    /// 1002.
    pub settled: u128,
}

impl ChannelPosition {
    /// From the balances of 1001 and 1002 of one channel account.
    pub fn new(receivable: Balance, settled: Balance) -> Result<Self, WrongSide> {
        Ok(Self {
            in_transit: receivable.of(AccountCode::ChannelReceivable)?,
            settled: settled.of(AccountCode::Settled)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Account;

    #[test]
    fn a_balance_is_seen_from_its_normal_side_or_not_at_all() {
        let mut balance = Balance::default();
        for posting in [Posting::debit(Account::equity(), 70), Posting::credit(Account::equity(), 100)] {
            balance = balance.apply(&posting).unwrap();
        }
        assert_eq!(balance, Balance { debit_minor: 70, credit_minor: 100 });
        assert_eq!(balance.net(Side::Credit), Some(30));
        assert_eq!(balance.net(Side::Debit), None);
        assert_eq!(balance.of(AccountCode::Equity), Ok(30));
        assert_eq!(balance.of(AccountCode::ChannelCost), Err(WrongSide(AccountCode::ChannelCost)));
    }

    #[test]
    fn totals_do_not_wrap() {
        let full = Balance { debit_minor: u128::MAX, credit_minor: u128::MAX };
        assert_eq!(full.apply(&Posting::debit(Account::equity(), 1)), Err(Overflow));
        assert_eq!(full.apply(&Posting::credit(Account::equity(), 1)), Err(Overflow));
    }

    #[test]
    fn a_position_names_the_account_that_stands_wrong() {
        let credit = Balance { debit_minor: 0, credit_minor: 5 };
        let position = MerchantPosition::new(credit, credit, Balance::default());
        assert_eq!(position, Ok(MerchantPosition { pending: 5, available: 5, owed: 0 }));
        let wrong = MerchantPosition::new(credit, credit, credit);
        assert_eq!(wrong, Err(WrongSide(AccountCode::OwedByMerchant)));
        let wrong = ChannelPosition::new(Balance::default(), credit);
        assert_eq!(wrong, Err(WrongSide(AccountCode::Settled)));
    }
}
