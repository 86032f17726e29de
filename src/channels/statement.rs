//! A provider's daily statement (对账单) in our words: which file, how it is fetched, and its lines one at a time.
//!
//! A statement proves nothing until it was read to its end: only then are its checksum and its own totals known to agree.
//! Whoever receives lines keeps them apart until [`Totals`] come back.

use std::fmt;

use jiff::civil::Date;

use crate::domain::money::Money;
use crate::domain::time::Timestamp;
use crate::env::transport::OutgoingRequest;

/// Which of a provider's two books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatementKind {
    /// Payments and refunds, one line each (交易账单).
    Trades,
    /// Movements of the account at the provider, fees and payouts included (资金账单).
    Funds,
}

/// One day's file, by the provider's calendar: Beijing time for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatementId {
    pub kind: StatementKind,
    pub day: Date,
}

/// What the provider says when asked for a day.
#[derive(Clone, Debug)]
pub enum StatementAnswer {
    /// Fetch it at once, for the address does not live long; then read the body with the promise.
    Download { request: OutgoingRequest, promise: Promise },
    /// The answer carried the file itself.
    File { bytes: Vec<u8>, promise: Promise },
    /// Nothing moved on that day, for good.
    Empty,
    /// Not made yet: ask again in half an hour.
    NotYet,
    /// No answer that can be used: ask again.
    Unknown { detail: String },
    /// Will not come without a change at the provider.
    Refused { code: String, detail: String },
}

/// What was promised about the file, to be compared with what came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promise {
    /// A file that was uploaded by hand, or a provider that promises nothing: only its own totals speak for it.
    None,
    /// SHA-1 of the unpacked bytes.
    Sha1([u8; 20]),
}

/// One line of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementLine {
    Trade(TradeLine),
    Fund(FundLine),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TradeKind {
    Payment,
    Refund,
    /// A payment that was taken back as if it had never been (撤销).
    Reversal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TradeStatus {
    Succeeded,
    Processing,
    Failed,
}

/// A payment or refund as the provider booked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradeLine {
    pub kind: TradeKind,
    pub status: TradeStatus,
    /// When the payment succeeded or the refund was accepted.
    pub at: Timestamp,
    /// Our merchant and app number there.
    pub merchant_no: String,
    pub app_id: String,
    /// The provider's number of the payment, and our number of it.
    pub transaction_id: String,
    pub order_no: String,
    /// The provider's number of the refund and our number of it; both on refunds only.
    pub refund_id: Option<String>,
    pub refund_no: Option<String>,
    /// What the order or the refund was about, before coupons. The kind tells the direction.
    pub amount: Money,
    /// What of it moves the merchant's account: less than `amount` where the provider's coupons paid a part.
    pub settled: Money,
    /// What the provider keeps; negative where it gives back.
    pub fee: Fee,
    /// The line as it stood in the file.
    pub raw: String,
}

/// A fee in hundred-thousandths of the currency's main unit (10⁻⁵ yuan), because statements print so many digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fee(i64);

impl Fee {
    pub const ZERO: Fee = Fee(0);

    /// Hundred-thousandths of the main unit.
    pub const fn from_e5(e5: i64) -> Self {
        Self(e5)
    }

    pub const fn as_e5(self) -> i64 {
        self.0
    }

    /// In hundredths of the main unit (fen), halves away from zero.
    pub const fn minor(self) -> i64 {
        (self.0 + 500 * self.0.signum()) / 1000
    }

    pub fn checked_add(self, other: Fee) -> Option<Fee> {
        self.0.checked_add(other.0).map(Fee)
    }
}

/// Why the account at the provider moved. What is not listed here stops the batch until a person has named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FundKind {
    Payment,
    Refund,
    Fee,
    FeeReturned,
    Payout,
    TopUp,
    Split,
    SplitReturned,
    /// The line's `business` says what the provider calls it.
    Unlisted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FundDirection {
    In,
    Out,
}

/// One movement of the account at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FundLine {
    pub kind: FundKind,
    pub direction: FundDirection,
    pub at: Timestamp,
    /// The movement's own number; no two movements share one.
    pub flow_no: String,
    /// The provider's number of what caused it: a payment, a refund, a payout.
    pub business_no: String,
    /// What the provider calls it.
    pub business: String,
    /// Our number of what caused it, where the provider knows it.
    pub voucher: String,
    pub amount: Money,
    /// What the account held afterwards, where the provider says it.
    pub balance: Option<Money>,
    pub note: String,
    /// The line as it stood in the file.
    pub raw: String,
}

/// What a whole statement sums up to. The file's own summary agreed with it, where it has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub lines: u64,
    /// Sum of payments, or of what came in; minor units.
    pub in_minor: u64,
    /// Sum of refunds, or of what went out; minor units.
    pub out_minor: u64,
    pub fee: Fee,
}

/// Why a whole file is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementError {
    /// Not the bytes that were promised.
    WrongChecksum,
    /// Cut, not packed as it should be, or larger than [`UNPACKED_MAX_BYTES`].
    Unreadable { detail: String },
    /// A line that is not as it has to be. Lines are counted from 1.
    BadLine { line: u64, detail: String },
    /// The file's own summary says otherwise than its lines.
    WrongTotals { detail: String },
    /// This channel has no such statement.
    Unsupported,
}

impl fmt::Display for StatementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StatementError::WrongChecksum => f.write_str("the file is not the one that was promised"),
            StatementError::Unreadable { detail } => write!(f, "the file cannot be read: {detail}"),
            StatementError::BadLine { line, detail } => write!(f, "line {line} cannot be read: {detail}"),
            StatementError::WrongTotals { detail } => write!(f, "the lines do not add up to the summary: {detail}"),
            StatementError::Unsupported => f.write_str("the channel has no such statement"),
        }
    }
}

impl std::error::Error for StatementError {}

/// Bytes of one unpacked file that are read: about four million lines. A small packed file can unpack to any size.
pub const UNPACKED_MAX_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Bytes of one line that are read.
pub const LINE_MAX_BYTES: usize = 16 * 1024;

/// Reads `2026-01-31 10:00:01` as the time in Beijing, which is how all Chinese providers write statements.
pub fn beijing_time(text: &str) -> Option<Timestamp> {
    let time = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok()?;
    let at = jiff::tz::offset(8).to_timestamp(time).ok()?;
    Some(Timestamp::from_millis(at.as_millisecond()))
}

/// Reads a decimal number of the main unit with at most five digits behind the point, as hundred-thousandths: `10.00`,
/// `-0.06000`, `0`. Anything else, signs of other kinds and exponents included, is none.
pub fn decimal_e5(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let fraction = match fraction {
        Some("") => return None,
        Some(rest) => rest,
        None => "",
    };
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 12 || fraction.len() > 5 || !plain(whole) || !plain(fraction) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let fraction: i64 = format!("{fraction:0<5}").parse().ok()?;
    Some(sign * (whole * 100_000 + fraction))
}

/// An amount of the main unit that is whole in hundredths and not negative, as hundredths: `10.00` is 1000.
pub fn decimal_minor(text: &str) -> Option<u64> {
    let e5 = decimal_e5(text).filter(|_| !text.starts_with('-'))?;
    (e5 % 1000 == 0).then_some(e5 / 1000).and_then(|minor| u64::try_from(minor).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_by_their_digits() {
        for (text, e5) in [
            ("0", 0),
            ("0.0", 0),
            ("10.00", 1_000_000),
            ("0.06000", 6_000),
            ("-0.02", -2_000),
            ("999999999999.99999", 99_999_999_999_999_999),
        ] {
            assert_eq!(decimal_e5(text), Some(e5), "{text}");
        }
        for text in ["", ".", "1.", ".5", "+1", "1e3", "1,000.00", "--1", "0.000001", "１", "1 ", "1000000000000"] {
            assert_eq!(decimal_e5(text), None, "{text}");
        }
        assert_eq!(decimal_minor("10.01"), Some(1001));
        assert_eq!(decimal_minor("10.01000"), Some(1001));
        for text in ["-1.00", "-0.00", "0.005"] {
            assert_eq!(decimal_minor(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_read_as_those_of_beijing() {
        let read = |text| beijing_time(text).map(Timestamp::to_rfc3339);
        assert_eq!(read("2026-01-01 00:00:01").as_deref(), Some("2025-12-31T16:00:01.000Z"));
        for text in ["", "2026-01-01", "2026-02-30 00:00:00", "2026-01-01T00:00:01", "2026-01-01 24:00:00"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn fees_are_rounded_to_the_fen_halves_away_from_zero() {
        for (e5, fen) in [(0, 0), (499, 0), (500, 1), (1499, 1), (6_000, 6), (-499, 0), (-500, -1), (-2_000, -2)] {
            assert_eq!(Fee::from_e5(e5).minor(), fen, "{e5}");
        }
    }
}
