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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::money::{AMOUNT_MAX_MINOR, Currency};

    fn cny(minor: u64) -> Money {
        Money::new(minor, Currency::CNY)
    }

    #[test]
    fn a_fee_is_rounded_half_up_to_the_minor_unit() {
        let rule = FeeRule { rate_ppm: 6_000, ..FeeRule::FREE };
        for (amount, fee) in [(0, 0), (1, 0), (83, 0), (84, 1), (249, 1), (250, 2), (10_000, 60), (9_990, 60)] {
            assert_eq!(rule.fee(cny(amount)), cny(fee), "fee of {amount}");
        }
    }

    #[test]
    fn minimum_and_maximum_hold_but_no_fee_is_above_the_amount() {
        let rule = FeeRule { rate_ppm: 6_000, min_minor: 10, max_minor: Some(100) };
        for (amount, fee) in [(1, 1), (9, 9), (11, 10), (1_000, 10), (10_000, 60), (1_000_000, 100)] {
            assert_eq!(rule.fee(cny(amount)), cny(fee), "fee of {amount}");
        }
        let contradiction = FeeRule { rate_ppm: 0, min_minor: 10, max_minor: Some(5) };
        assert_eq!(contradiction.fee(cny(100)), cny(5));
        let absurd = FeeRule { rate_ppm: u32::MAX, min_minor: u64::MAX, max_minor: None };
        assert_eq!(absurd.fee(cny(u64::MAX)), cny(u64::MAX));
        assert_eq!(FeeRule::FREE.fee(cny(AMOUNT_MAX_MINOR)), cny(0));
    }

    #[test]
    fn a_method_has_its_own_rule_or_the_default() {
        let one_percent = FeeRule { rate_ppm: 10_000, ..FeeRule::FREE };
        let schedule =
            FeeSchedule { default: FeeRule::FREE, methods: BTreeMap::from([("card".to_owned(), one_percent)]) };
        assert_eq!(schedule.fee("card", cny(100)), cny(1));
        assert_eq!(schedule.fee("wallet", cny(100)), cny(0));
    }

    #[test]
    fn amounts_that_contradict_each_other_return_nothing() {
        let back = |paid, fee, refunded, returned| fee_return(cny(paid), cny(fee), cny(refunded), cny(returned));
        assert_eq!(back(100, 10, 50, 0), Ok(cny(5)));
        assert_eq!(back(100, 10, 101, 0), Err(MoneyError::Overflow));
        assert_eq!(back(100, 101, 50, 0), Err(MoneyError::Overflow));
        assert_eq!(back(100, 10, 50, 6), Err(MoneyError::Overflow));
        assert_eq!(back(0, 0, 0, 0), Ok(cny(0)));
        let dollar = Money::new(1, Currency::USD);
        assert_eq!(fee_return(cny(100), dollar, cny(1), cny(0)), Err(MoneyError::CurrencyMismatch));
        assert_eq!(fee_return(cny(100), cny(1), dollar, cny(0)), Err(MoneyError::CurrencyMismatch));
        assert_eq!(fee_return(cny(100), cny(1), cny(100), dollar), Err(MoneyError::CurrencyMismatch));
    }

    proptest! {
        #[test]
        fn a_full_refund_in_any_parts_gives_back_exactly_the_fee(
            parts in proptest::collection::vec(1..=AMOUNT_MAX_MINOR, 1..30),
            fee_ppm in 0..=1_000_000u32,
        ) {
            let paid = cny(parts.iter().sum());
            let fee = FeeRule { rate_ppm: fee_ppm, min_minor: 1, max_minor: None }.fee(paid);
            let (mut refunded, mut returned) = (cny(0), cny(0));
            for part in parts {
                refunded = refunded.checked_add(cny(part)).unwrap();
                returned = returned.checked_add(fee_return(paid, fee, refunded, returned).unwrap()).unwrap();
                // Never more than the share so far, so that the operator is not out of pocket on the way.
                prop_assert!(u128::from(returned.minor()) * u128::from(paid.minor())
                    <= u128::from(fee.minor()) * u128::from(refunded.minor()));
            }
            prop_assert_eq!(returned, fee);
        }
    }
}
