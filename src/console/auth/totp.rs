//! Time-based one-time codes: RFC 6238 over HMAC-SHA-1, 30 seconds, six digits.
//!
//! Written here and not taken from a library, because the step that matched must be known: it is stored, and only a
//! later step is accepted afterwards, so that a code that was looked over a shoulder cannot be used again.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use ring::hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::domain::time::Timestamp;
use crate::env::{Entropy, random};

/// Seconds of one step. Source: RFC 6238, 4.1.
pub const STEP_SECONDS: i64 = 30;
/// Steps before and after the present one that are accepted, for clocks that are off.
pub const STEPS_AROUND: u64 = 1;
/// Digits of a code.
pub const CODE_DIGITS: usize = 6;
/// Bytes of a new secret: the size of SHA-1's output. Source: RFC 4226, 4, R6.
pub const SECRET_BYTES: usize = 20;

/// The secret shared with the person's phone. Prints nothing, is wiped.
#[derive(Clone)]
pub struct TotpSecret(Zeroizing<Vec<u8>>);

impl TotpSecret {
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(Zeroizing::new(random::<SECRET_BYTES>(entropy).to_vec()))
    }

    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// For typing into an authenticator.
    pub fn to_base32(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE32_NOPAD.encode(&self.0))
    }

    /// Reads base32 as people copy it: with spaces, in any case.
    pub fn parse_base32(text: &str) -> Option<Self> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_uppercase();
        let bytes = BASE32_NOPAD.decode(text.trim_end_matches('=').as_bytes()).ok()?;
        (!bytes.is_empty()).then(|| Self::from_bytes(bytes))
    }

    /// What the QR code of the enrolment holds.
    pub fn otpauth_url(&self, issuer: &str, account: &str) -> Zeroizing<String> {
        let (issuer, account) = (percent_encode(issuer), percent_encode(account));
        Zeroizing::new(format!(
            "otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}&algorithm=SHA1&digits={CODE_DIGITS}&period={STEP_SECONDS}",
            *self.to_base32()
        ))
    }

    /// The code of one step, with its leading zeros.
    pub fn code_at(&self, step: u64) -> String {
        let code = self.truncated(step) % 10u32.pow(CODE_DIGITS as u32);
        format!("{code:0width$}", width = CODE_DIGITS)
    }

    /// The step whose code this is: near `now`, and later than the last one used. `None` is a wrong code.
    pub fn matching_step(&self, code: &str, now: Timestamp, last_used: Option<u64>) -> Option<u64> {
        let present = step_at(now);
        let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        let mut matched = None;
        // All candidates are compared, so that time does not tell which one was near.
        for step in present.saturating_sub(STEPS_AROUND)..=present.saturating_add(STEPS_AROUND) {
            let equal: bool = self.code_at(step).as_bytes().ct_eq(code.as_bytes()).into();
            if equal && last_used.is_none_or(|last| step > last) {
                matched = Some(step);
            }
        }
        matched
    }

    /// Dynamic truncation. Source: RFC 4226, 5.3.
    fn truncated(&self, step: u64) -> u32 {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let offset = usize::from(tag[tag.len() - 1] & 0x0f);
        let word: [u8; 4] = tag[offset..offset + 4].try_into().expect("the offset is below 16, the tag has 20 bytes");
        u32::from_be_bytes(word) & 0x7fff_ffff
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret")
    }
}

/// The number of the step that a moment lies in.
pub fn step_at(now: Timestamp) -> u64 {
    u64::try_from(now.as_seconds().div_euclid(STEP_SECONDS)).unwrap_or(0)
}

/// Everything but unreserved characters. Source: RFC 3986, 2.3.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rfc_secret() -> TotpSecret {
        TotpSecret::from_bytes(b"12345678901234567890".to_vec())
    }

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 6238, appendix B, SHA1 rows; eight digits there, of which a six-digit code is the end.
        for (seconds, eight_digits) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            let step = step_at(Timestamp::from_seconds(seconds));
            assert_eq!(rfc_secret().code_at(step), eight_digits[2..], "{seconds}");
        }
        // RFC 4226, appendix D: the counter is the step.
        for (step, code) in
            ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"]
                .into_iter()
                .enumerate()
        {
            assert_eq!(rfc_secret().code_at(step as u64), code);
        }
    }

    #[test]
    fn one_step_around_is_accepted_and_ten_minutes_are_not() {
        let now = Timestamp::from_seconds(1_111_111_109);
        let present = step_at(now);
        let secret = rfc_secret();
        for near in present - 1..=present + 1 {
            assert_eq!(secret.matching_step(&secret.code_at(near), now, None), Some(near));
        }
        for far in [present - 20, present - 2, present + 2, present + 20] {
            assert_eq!(secret.matching_step(&secret.code_at(far), now, None), None);
        }
    }

    #[test]
    fn a_step_is_used_once_and_never_before_a_later_one() {
        let now = Timestamp::from_seconds(1_111_111_109);
        let present = step_at(now);
        let secret = rfc_secret();
        let code = secret.code_at(present);
        assert_eq!(secret.matching_step(&code, now, Some(present - 1)), Some(present));
        assert_eq!(secret.matching_step(&code, now, Some(present)), None);
        assert_eq!(secret.matching_step(&secret.code_at(present - 1), now, Some(present)), None);
    }

    #[test]
    fn what_is_not_a_code_matches_nothing() {
        let now = Timestamp::from_seconds(59);
        for bad in ["", "2870820", "28708", "-87082", "２８７０８２", "287 08a"] {
            assert_eq!(rfc_secret().matching_step(bad, now, None), None, "{bad:?}");
        }
        assert_eq!(rfc_secret().matching_step("287 082", now, None), Some(1), "people type the space they see");
    }

    #[test]
    fn the_enrolment_url_keeps_names_apart() {
        let url = rfc_secret().otpauth_url("蓝鹭 & Co:", "li@mugs.example");
        assert_eq!(
            url.as_str(),
            "otpauth://totp/%E8%93%9D%E9%B9%AD%20%26%20Co%3A:li%40mugs.example?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=%E8%93%9D%E9%B9%AD%20%26%20Co%3A&algorithm=SHA1&digits=6&period=30"
        );
        let typed = TotpSecret::parse_base32("gezd gnbv gy3t qojq GEZDGNBVGY3TQOJQ").unwrap();
        assert_eq!(typed.as_bytes(), rfc_secret().as_bytes());
        assert!(TotpSecret::parse_base32("0189").is_none());
    }
}
