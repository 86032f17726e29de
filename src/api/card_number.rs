//! Recognises payment card numbers in free text, so that none is ever stored.

use crate::domain::card::luhn;

/// Source: ISO/IEC 7812-1: a primary account number has up to 19 digits; issuers use 13 or more.
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// Whether a run of digits, with single blanks or hyphens between them allowed, begins like a card scheme's numbers
/// and has a right check digit.
pub fn contains_card_number(text: &str) -> bool {
    let mut digits: Vec<u8> = Vec::new();
    let mut separated = false;
    for byte in text.bytes().chain([b'.']) {
        match byte {
            b'0'..=b'9' => {
                digits.push(byte - b'0');
                separated = false;
            }
            b' ' | b'-' if !digits.is_empty() && !separated => separated = true,
            _ => {
                if is_card_number(&digits) {
                    return true;
                }
                digits.clear();
                separated = false;
            }
        }
    }
    false
}

fn is_card_number(digits: &[u8]) -> bool {
    CARD_DIGITS.contains(&digits.len()) && is_scheme(digits) && luhn(digits)
}

/// Visa 4, Mastercard 51–55 and 22–27, American Express 34 and 37, JCB 35, Diners 30, 36, 38 and 39, Discover and
/// UnionPay 60, 62, 64, 65, 81. Order numbers seldom begin so, which keeps false alarms rare.
fn is_scheme(digits: &[u8]) -> bool {
    matches!(digits[0] * 10 + digits[1], 40..=49 | 51..=55 | 22..=27 | 30 | 34..=39 | 60 | 62 | 64 | 65 | 81)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_are_found_in_any_common_spelling() {
        for text in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "pay with 5555-5555-5555-4444, please",
            "378282246310005",
            "卡号6212345678901232。",
        ] {
            assert!(contains_card_number(text), "{text}");
        }
    }

    #[test]
    fn other_numbers_pass() {
        for text in [
            "",
            "4111111111111112",
            "20261123140509000123",
            "0000000000000000",
            "13812345678",
            "1234567890123456",
            "4111  1111  1111  1111",
            "ORDER-2026-0001",
        ] {
            assert!(!contains_card_number(text), "{text}");
        }
    }
}
