//! Amounts: one spelling each, the same as an independent reading, and whatever is refused names its field.

use coffer::api::error::{FieldCode, Place};
use coffer::api::fields::read_body;
use coffer::api::kinds::Amount;
use coffer::domain::money::{AMOUNT_MAX_MINOR, Currency, Money};
use coffer::lang::Text;

use super::{Seed, Verdict, seed};

/// The rule once more, written another way: an integer without superfluous zeros, and the currency's digits behind a point.
fn reference(text: &str, digits: usize) -> Option<u64> {
    let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    let parts: Vec<&str> = text.split('.').collect();
    let (whole, fraction) = match (parts.as_slice(), digits) {
        ([whole], 0) => (*whole, ""),
        ([whole, fraction], 1..) if fraction.len() == digits && plain(fraction) => (*whole, *fraction),
        _ => return None,
    };
    if !plain(whole) || (whole != "0" && whole.starts_with('0')) {
        return None;
    }
    let minor: u128 = format!("{whole}{fraction}").parse().ok()?;
    u64::try_from(minor).ok().filter(|minor| *minor <= AMOUNT_MAX_MINOR)
}

pub fn run(data: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(data) else { return Verdict::Refused };
    let mut accepted = false;
    for currency in Currency::ALL {
        let read = Money::parse(text, currency);
        assert_eq!(read.map(Money::minor).ok(), reference(text, currency.digits() as usize), "{text} {currency}");
        if let Ok(money) = read {
            accepted = true;
            assert_eq!(money.to_decimal(), text);
            assert_eq!(money.to_display().replace([','], ""), format!("{}{text}", currency.symbol()));
            assert_eq!(money.checked_add(money).and_then(|sum| sum.checked_sub(money)), Ok(money));
        }
        in_a_body(text, currency, read.ok());
    }
    Verdict::from(accepted)
}

/// The API takes what the reader takes, except nothing at all.
fn in_a_body(text: &str, currency: Currency, expected: Option<Money>) {
    let body = serde_json::json!({"amount": {"currency": currency.code(), "value": text}}).to_string();
    let read = read_body(body.as_bytes(), |f| f.required("amount", Text::new("金额", "amount"), Amount));
    match (read, expected) {
        (Ok(money), expected) => assert_eq!(Some(money), expected.filter(|money| !money.is_zero())),
        (Err(problem), expected) => {
            assert!(expected.is_none_or(Money::is_zero), "{text} {currency} was refused: {problem:?}");
            let fault = problem.errors().first();
            // A text of 64 kB is refused for its length.
            if let Some(fault) = fault {
                assert_eq!(fault.place, Place::Body("#/amount/value".to_owned()));
                assert!(matches!(fault.code, FieldCode::BadFormat | FieldCode::TooSmall | FieldCode::TooLarge));
            }
            assert!(fault.is_some() || body.len() > coffer::api::json::BODY_BYTES_MAX);
        }
    }
}

pub fn seeds() -> Vec<Seed> {
    [
        "9.90",
        "0.01",
        "0.00",
        "990",
        "0",
        "100000000.00",
        "100000000.01",
        "18446744073709551616",
        "007.00",
        "1e3",
        "-1.00",
        ".10",
        "1.",
    ]
    .iter()
    .map(|text| seed(text.trim_start_matches(['-', '.']), text))
    .collect()
}
