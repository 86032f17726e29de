//! Fees: what a payment costs the merchant, and what of it is given back with a refund.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::money::{Money, MoneyError};

/// A rate of one is a million parts per million; 0.6 % is 6,000.
const PPM: u128 = 1_000_000;

/// Rate, minimum and maximum of a fee. The amounts are minor units of the payment's currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeRule {
    /// Parts per million of the amount.
    pub rate_ppm: u32,
    pub min_minor: u64,
    /// Stronger than the minimum.
    pub max_minor: Option<u64>,
}

impl FeeRule {
    pub const FREE: FeeRule = FeeRule { rate_ppm: 0, min_minor: 0, max_minor: None };

    /// The rate's share rounded half up to the minor unit, at least the minimum, at most the maximum, and never more
    /// than the amount itself.
    pub fn fee(&self, amount: Money) -> Money {
        let share = (u128::from(amount.minor()) * u128::from(self.rate_ppm) + PPM / 2) / PPM;
        let most = self.max_minor.unwrap_or(u64::MAX).min(amount.minor());
        let minor = share.max(u128::from(self.min_minor)).min(u128::from(most));
        Money::new(u64::try_from(minor).expect("a fee is at most the amount"), amount.currency())
    }
}

/// The rules of one merchant: one for every payment method, and exceptions by the method's code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeSchedule {
    pub default: FeeRule,
    pub methods: BTreeMap<String, FeeRule>,
}

impl FeeSchedule {
    pub fn rule(&self, method: &str) -> FeeRule {
        self.methods.get(method).copied().unwrap_or(self.default)
    }

    pub fn fee(&self, method: &str, amount: Money) -> Money {
        self.rule(method).fee(amount)
    }
}

/// The part of a fee that goes back with a refund: the share of all that was refunded, this refund included, rounded
/// down, less what went back before. A full refund in any number of parts gives back exactly the fee.
///
/// Errors: another currency; or `Overflow` when the amounts contradict each other, that is, more refunded than paid, a
/// fee above the amount, or more given back than the share.
pub fn fee_return(paid: Money, fee: Money, refunded: Money, returned: Money) -> Result<Money, MoneyError> {
    paid.checked_sub(refunded)?;
    paid.checked_sub(fee)?;
    if paid.is_zero() {
        return Ok(Money::zero(paid.currency()));
    }
    let share = u128::from(fee.minor()) * u128::from(refunded.minor()) / u128::from(paid.minor());
    let share = u64::try_from(share).expect("a share of the fee is at most the fee");
    Money::new(share, fee.currency()).checked_sub(returned)
}
