//! Money: an integer of the smallest unit and a currency. No float touches it.

use std::fmt;

/// Currencies that can be charged. The number behind each is its digits after the point.
/// Source: ISO 4217, list one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Currency {
    CNY,
    HKD,
    USD,
    EUR,
    JPY,
}

impl Currency {
    pub const ALL: [Currency; 5] = [Currency::CNY, Currency::HKD, Currency::USD, Currency::EUR, Currency::JPY];

    pub const fn code(self) -> &'static str {
        match self {
            Currency::CNY => "CNY",
            Currency::HKD => "HKD",
            Currency::USD => "USD",
            Currency::EUR => "EUR",
            Currency::JPY => "JPY",
        }
    }

    pub const fn symbol(self) -> &'static str {
        match self {
            Currency::CNY => "¥",
            Currency::HKD => "HK$",
            Currency::USD => "$",
            Currency::EUR => "€",
            Currency::JPY => "JP¥",
        }
    }

    /// Digits after the decimal point.
    pub const fn digits(self) -> u32 {
        match self {
            Currency::CNY | Currency::HKD | Currency::USD | Currency::EUR => 2,
            Currency::JPY => 0,
        }
    }

    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.code() == code)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// The largest amount of one payment in minor units: a hundred million yuan. Far below what sums could overflow.
pub const AMOUNT_MAX_MINOR: u64 = 10_000_000_000;

/// A non-negative amount in the minor unit of its currency: CNY 12.30 is `1230`. Direction is a debit or a credit.
/// No `Ord` and no `Add`: two currencies neither compare nor mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Money {
    minor: u64,
    currency: Currency,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoneyError {
    CurrencyMismatch,
    Overflow,
}

impl fmt::Display for MoneyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MoneyError::CurrencyMismatch => "two currencies cannot be added or subtracted",
            MoneyError::Overflow => "the amount is out of range",
        })
    }
}

impl std::error::Error for MoneyError {}

/// Why a decimal string is not an amount. Each names the rule it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadAmount {
    /// Not digits, or digits with one point: signs, spaces, exponents and empty strings land here.
    NotDecimal,
    /// Not exactly as many digits after the point as the currency has.
    WrongDigits {
        expected: u32,
    },
    /// `007.00`: one amount has one spelling.
    LeadingZero,
    TooLarge,
}

impl fmt::Display for BadAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadAmount::NotDecimal => f.write_str("must be a decimal string of digits such as \"9.90\""),
            BadAmount::WrongDigits { expected: 0 } => f.write_str("this currency has no digits after the point"),
            BadAmount::WrongDigits { expected } => write!(f, "must have exactly {expected} digits after the point"),
            BadAmount::LeadingZero => f.write_str("must not begin with a superfluous zero"),
            BadAmount::TooLarge => f.write_str("is larger than can be charged"),
        }
    }
}

impl std::error::Error for BadAmount {}

impl Money {
    pub const fn new(minor: u64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    pub const fn minor(self) -> u64 {
        self.minor
    }

    pub const fn currency(self) -> Currency {
        self.currency
    }

    pub const fn is_zero(self) -> bool {
        self.minor == 0
    }

    pub fn checked_add(self, other: Money) -> Result<Money, MoneyError> {
        self.same_currency(other)?;
        let minor = self.minor.checked_add(other.minor).ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, ..self })
    }

    pub fn checked_sub(self, other: Money) -> Result<Money, MoneyError> {
        self.same_currency(other)?;
        let minor = self.minor.checked_sub(other.minor).ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, ..self })
    }

    fn same_currency(self, other: Money) -> Result<(), MoneyError> {
        if self.currency == other.currency { Ok(()) } else { Err(MoneyError::CurrencyMismatch) }
    }

    /// Reads a decimal string with exactly the currency's digits: `"9.90"` for CNY, `"990"` for JPY.
    pub fn parse(text: &str, currency: Currency) -> Result<Money, BadAmount> {
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !fraction.is_none_or(all_digits) {
            return Err(BadAmount::NotDecimal);
        }
        let expected = currency.digits();
        if fraction.map_or(0, str::len) != expected as usize {
            return Err(BadAmount::WrongDigits { expected });
        }
        if whole.len() > 1 && whole.starts_with('0') {
            return Err(BadAmount::LeadingZero);
        }
        let mut digits = whole.bytes().chain(fraction.unwrap_or("").bytes());
        let minor = digits
            .try_fold(0u64, |sum, b| sum.checked_mul(10)?.checked_add(u64::from(b - b'0')))
            .filter(|minor| *minor <= AMOUNT_MAX_MINOR)
            .ok_or(BadAmount::TooLarge)?;
        Ok(Self { minor, currency })
    }

    /// The decimal string of the API: `9.90`, no grouping, no symbol.
    pub fn to_decimal(self) -> String {
        decimal(u128::from(self.minor), self.currency)
    }

    /// For people: `¥1,234.50`.
    pub fn to_display(self) -> String {
        let text = self.to_decimal();
        let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(w, f)| (w, Some(f)));
        let mut grouped = String::with_capacity(text.len() + 8);
        grouped.push_str(self.currency.symbol());
        for (i, digit) in whole.chars().enumerate() {
            if i > 0 && (whole.len() - i).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        if let Some(fraction) = fraction {
            grouped.push('.');
            grouped.push_str(fraction);
        }
        grouped
    }
}

/// Minor units as a decimal string; for totals that may exceed one amount.
pub fn decimal(minor: u128, currency: Currency) -> String {
    let digits = currency.digits() as usize;
    if digits == 0 {
        return minor.to_string();
    }
    let unit = 10u128.pow(currency.digits());
    format!("{}.{:0digits$}", minor / unit, minor % unit)
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.currency, self.to_decimal())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_exactly_one_spelling() {
        let cny = |text| Money::parse(text, Currency::CNY);
        assert_eq!(cny("9.90").map(Money::minor), Ok(990));
        assert_eq!(cny("0.01").map(Money::minor), Ok(1));
        for bad in [
            "", "1", "1.0", "1.000", "-1.00", "+1.00", "1e3", "1 ", " 1.00", "1.00 ", ".10", "1.", "NaN", "0x1",
            "01.00", "１.00", "1,000.00",
        ] {
            assert!(cny(bad).is_err(), "{bad:?} must be refused");
        }
        assert_eq!(cny("18446744073709551616.00"), Err(BadAmount::TooLarge));
        assert_eq!(Money::parse("990", Currency::JPY).map(Money::minor), Ok(990));
        assert_eq!(Money::parse("9.90", Currency::JPY), Err(BadAmount::WrongDigits { expected: 0 }));
    }

    #[test]
    fn amounts_are_shown_with_symbol_and_groups() {
        assert_eq!(Money::new(123_456_789, Currency::CNY).to_display(), "¥1,234,567.89");
        assert_eq!(Money::new(5, Currency::CNY).to_display(), "¥0.05");
        assert_eq!(Money::new(100, Currency::JPY).to_display(), "JP¥100");
    }

    #[test]
    fn currencies_do_not_mix_and_sums_do_not_wrap() {
        let yuan = Money::new(1, Currency::CNY);
        assert_eq!(yuan.checked_add(Money::new(1, Currency::USD)), Err(MoneyError::CurrencyMismatch));
        assert_eq!(Money::new(u64::MAX, Currency::CNY).checked_add(yuan), Err(MoneyError::Overflow));
        assert_eq!(yuan.checked_sub(Money::new(2, Currency::CNY)), Err(MoneyError::Overflow));
    }
}
