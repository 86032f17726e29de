//! Journal entries: they exist only balanced, and are named after the event that caused them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::account::{Account, Side};
use crate::domain::ids::{AttemptId, CaseId, PaymentId, RefundId};
use crate::domain::money::Currency;
use crate::domain::time::Timestamp;

/// Postings of one entry. The largest rule needs nine.
pub const POSTINGS_MAX: usize = 16;

/// One leg of an entry: an amount in minor units on one side of one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Posting {
    pub account: Account,
    pub side: Side,
    pub minor: u64,
}

impl Posting {
    pub const fn debit(account: Account, minor: u64) -> Self {
        Self { account, side: Side::Debit, minor }
    }

    pub const fn credit(account: Account, minor: u64) -> Self {
        Self { account, side: Side::Credit, minor }
    }
}

/// Why something was posted. The number is stored and hashed: append-only, never renumbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
#[repr(u8)]
pub enum Reason {
    /// A payment was paid.
    Paid = 1,
    /// Pending money became available.
    Cleared = 2,
    RefundAccepted = 3,
    RefundSucceeded = 4,
    RefundFailed = 5,
    /// Money without a payment to book it on (长款).
    LongReceived = 6,
    /// A payment was found for such money after all (补单).
    LongBooked = 7,
    /// Such money went back to the customer.
    LongPaidBack = 8,
    /// An earlier entry was wrong and is taken back whole.
    Reversal = 9,
    /// The customer got such money back by another way, out of the owner's pocket.
    LongPaidElsewhere = 10,
    /// The channel could not pay the customer and gave a refund's money to the merchant's own account.
    RefundReturned = 11,
}

impl Reason {
    pub const ALL: [Reason; 11] = [
        Reason::Paid,
        Reason::Cleared,
        Reason::RefundAccepted,
        Reason::RefundSucceeded,
        Reason::RefundFailed,
        Reason::LongReceived,
        Reason::LongBooked,
        Reason::LongPaidBack,
        Reason::Reversal,
        Reason::LongPaidElsewhere,
        Reason::RefundReturned,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Paid => "paid",
            Reason::Cleared => "cleared",
            Reason::RefundAccepted => "refund_accepted",
            Reason::RefundSucceeded => "refund_succeeded",
            Reason::RefundFailed => "refund_failed",
            Reason::LongReceived => "long_received",
            Reason::LongBooked => "long_booked",
            Reason::LongPaidBack => "long_paid_back",
            Reason::Reversal => "reversal",
            Reason::LongPaidElsewhere => "long_paid_elsewhere",
            Reason::RefundReturned => "refund_returned",
        }
    }
}

impl From<Reason> for u8 {
    fn from(reason: Reason) -> u8 {
        reason as u8
    }
}

impl TryFrom<u8> for Reason {
    type Error = String;
    fn try_from(number: u8) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|reason| *reason as u8 == number);
        known.ok_or_else(|| format!("{number} is not the number of a reason"))
    }
}

/// The event that caused an entry: what it happened to, and what happened. One cause posts at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cause {
    /// The bytes of the id of what it happened to.
    pub subject: [u8; 16],
    pub reason: Reason,
}

impl Cause {
    /// The key under which the entry is stored once. It is the same for the same event, whenever it is seen.
    pub const fn id(self) -> EntryId {
        let mut bytes = [0; EntryId::BYTES];
        let (subject, reason) = bytes.split_at_mut(16);
        subject.copy_from_slice(&self.subject);
        reason[0] = self.reason as u8;
        EntryId(bytes)
    }
}

/// Names an entry after its cause: the subject, then the reason.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntryId([u8; EntryId::BYTES]);

impl EntryId {
    pub const BYTES: usize = 17;

    pub const fn to_bytes(self) -> [u8; Self::BYTES] {
        self.0
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("je_")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an entry belongs to. A refund's entries name its payment and attempt too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links {
    pub payment: Option<PaymentId>,
    pub attempt: Option<AttemptId>,
    pub refund: Option<RefundId>,
    pub case: Option<CaseId>,
    /// Sequence number of the entry that this one takes back.
    pub reverses: Option<u64>,
}

/// Postings that do not make an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unbalanced {
    Empty,
    /// More than [`POSTINGS_MAX`].
    TooMany,
    ZeroAmount(Account),
    Unequal {
        debit_minor: u128,
        credit_minor: u128,
    },
}

impl fmt::Display for Unbalanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unbalanced::Empty => f.write_str("an entry needs postings"),
            Unbalanced::TooMany => write!(f, "an entry has at most {POSTINGS_MAX} postings"),
            Unbalanced::ZeroAmount(account) => write!(f, "the posting to {account} is zero"),
            Unbalanced::Unequal { debit_minor, credit_minor } => {
                write!(f, "debits of {debit_minor} do not equal credits of {credit_minor}")
            }
        }
    }
}

impl std::error::Error for Unbalanced {}

/// A balanced set of postings in one currency. It cannot be built otherwise, decoding included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct JournalEntry {
    cause: Cause,
    currency: Currency,
    at: Timestamp,
    links: Links,
    postings: Vec<Posting>,
}

impl JournalEntry {
    pub fn new(
        cause: Cause,
        currency: Currency,
        at: Timestamp,
        links: Links,
        postings: Vec<Posting>,
    ) -> Result<JournalEntry, Unbalanced> {
        check(&postings)?;
        Ok(Self { cause, currency, at, links, postings })
    }

    pub const fn id(&self) -> EntryId {
        self.cause.id()
    }

    pub const fn cause(&self) -> Cause {
        self.cause
    }

    pub const fn reason(&self) -> Reason {
        self.cause.reason
    }

    pub const fn currency(&self) -> Currency {
        self.currency
    }

    pub const fn at(&self) -> Timestamp {
        self.at
    }

    pub const fn links(&self) -> Links {
        self.links
    }

    pub fn postings(&self) -> &[Posting] {
        &self.postings
    }

    /// I1: debits equal credits, and no posting is nothing. Holds for every entry that was built or decoded.
    pub fn check(&self) -> Result<(), Unbalanced> {
        check(&self.postings)
    }

    /// The same entry, dated no earlier than `earliest`.
    pub(super) fn not_before(self, earliest: Timestamp) -> Self {
        Self { at: self.at.max(earliest), ..self }
    }
}

/// Totals of at most [`POSTINGS_MAX`] 64-bit amounts cannot overflow 128 bits.
fn check(postings: &[Posting]) -> Result<(), Unbalanced> {
    if postings.is_empty() {
        return Err(Unbalanced::Empty);
    }
    if postings.len() > POSTINGS_MAX {
        return Err(Unbalanced::TooMany);
    }
    if let Some(zero) = postings.iter().find(|posting| posting.minor == 0) {
        return Err(Unbalanced::ZeroAmount(zero.account));
    }
    let total = |side| postings.iter().filter(|p| p.side == side).map(|p| u128::from(p.minor)).sum();
    let (debit_minor, credit_minor) = (total(Side::Debit), total(Side::Credit));
    if debit_minor == credit_minor { Ok(()) } else { Err(Unbalanced::Unequal { debit_minor, credit_minor }) }
}

/// The stored form, before it is known to balance.
#[derive(Deserialize)]
#[serde(rename = "JournalEntry")]
struct Parts {
    cause: Cause,
    currency: Currency,
    at: Timestamp,
    links: Links,
    postings: Vec<Posting>,
}

impl TryFrom<Parts> for JournalEntry {
    type Error = Unbalanced;
    fn try_from(parts: Parts) -> Result<Self, Unbalanced> {
        Self::new(parts.cause, parts.currency, parts.at, parts.links, parts.postings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{AccountId, MerchantId};

    fn postings() -> Vec<Posting> {
        vec![
            Posting::debit(Account::channel_receivable(AccountId::from_bytes([2; 16])), 9_990),
            Posting::credit(Account::merchant_pending(MerchantId::from_bytes([1; 16])), 9_930),
            Posting::credit(Account::fee_income(), 60),
        ]
    }

    fn build(postings: Vec<Posting>) -> Result<JournalEntry, Unbalanced> {
        let cause = Cause { subject: [3; 16], reason: Reason::Paid };
        let links = Links::default();
        JournalEntry::new(cause, Currency::CNY, Timestamp::from_millis(1_700_000_000_123), links, postings)
    }

    #[test]
    fn only_balanced_postings_make_an_entry() {
        assert!(build(postings()).is_ok());
        assert_eq!(build(vec![]), Err(Unbalanced::Empty));
        let (cost, fee) = (Account::channel_cost(), Account::fee_income());
        let zero = vec![Posting::debit(cost, 0), Posting::credit(fee, 0)];
        assert_eq!(build(zero), Err(Unbalanced::ZeroAmount(cost)));
        let off_by_one = vec![Posting::debit(cost, 100), Posting::credit(fee, 99)];
        assert_eq!(build(off_by_one), Err(Unbalanced::Unequal { debit_minor: 100, credit_minor: 99 }));
        let one_sided = vec![Posting::debit(cost, 1)];
        assert_eq!(build(one_sided), Err(Unbalanced::Unequal { debit_minor: 1, credit_minor: 0 }));
        let pair = [Posting::debit(cost, 1), Posting::credit(fee, 1)];
        assert!(build(pair.repeat(POSTINGS_MAX / 2)).is_ok());
        assert_eq!(build(pair.repeat(POSTINGS_MAX / 2 + 1)), Err(Unbalanced::TooMany));
    }

    #[test]
    fn totals_that_would_wrap_in_64_bits_do_not_look_balanced() {
        let (cost, fee) = (Account::channel_cost(), Account::fee_income());
        let wrapping = vec![Posting::debit(cost, u64::MAX), Posting::debit(cost, 2), Posting::credit(fee, 1)];
        let debit_minor = u128::from(u64::MAX) + 2;
        assert_eq!(build(wrapping), Err(Unbalanced::Unequal { debit_minor, credit_minor: 1 }));
    }

    #[test]
    fn an_unbalanced_entry_cannot_be_decoded_either() {
        let mut json = serde_json::to_value(build(postings()).unwrap()).unwrap();
        assert!(serde_json::from_value::<JournalEntry>(json.clone()).is_ok());
        json["postings"][0]["minor"] = 9_991.into();
        assert!(serde_json::from_value::<JournalEntry>(json).is_err());
    }

    #[test]
    fn the_same_event_has_the_same_id_whenever_it_is_seen() {
        let paid = Cause { subject: [3; 16], reason: Reason::Paid };
        assert_eq!(build(postings()).unwrap().id(), paid.id());
        assert_ne!(paid.id(), Cause { reason: Reason::Cleared, ..paid }.id());
        assert_ne!(paid.id(), Cause { subject: [4; 16], ..paid }.id());
    }

    #[test]
    fn numbers_of_reasons_are_what_is_hashed_and_stored() {
        let numbers: Vec<String> = Reason::ALL.iter().map(|r| format!("{} {}", u8::from(*r), r.as_str())).collect();
        let expected = [
            "1 paid",
            "2 cleared",
            "3 refund_accepted",
            "4 refund_succeeded",
            "5 refund_failed",
            "6 long_received",
            "7 long_booked",
            "8 long_paid_back",
            "9 reversal",
            "10 long_paid_elsewhere",
            "11 refund_returned",
        ];
        assert_eq!(numbers, expected);
        assert!(Reason::try_from(0).is_err() && Reason::try_from(12).is_err());
    }
}
