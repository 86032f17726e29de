//! Journal entries: they exist only balanced, they are named after the event that caused them, and they form a hash chain.

use std::fmt;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::account::{Account, Side};
use crate::domain::ids::{AttemptId, CaseId, PaymentId, RefundId, Scope};
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
}

impl Reason {
    pub const ALL: [Reason; 9] = [
        Reason::Paid,
        Reason::Cleared,
        Reason::RefundAccepted,
        Reason::RefundSucceeded,
        Reason::RefundFailed,
        Reason::LongReceived,
        Reason::LongBooked,
        Reason::LongPaidBack,
        Reason::Reversal,
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

    /// Gives the entry its place. [`Head::append`] does it with the right numbers.
    pub fn chain(self, seq: u64, previous: [u8; 32]) -> Chained {
        let hash = hash(seq, previous, &self);
        Chained { seq, entry: self, previous, hash }
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

/// An entry in its place: the hash covers the number, the hash before it, and the whole entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chained {
    /// Counts from 1 without gaps within one merchant and mode.
    pub seq: u64,
    pub entry: JournalEntry,
    pub previous: [u8; 32],
    pub hash: [u8; 32],
}

/// How a chained entry contradicts its hash or its predecessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainFault {
    /// Its predecessor has another hash than the one it was chained to.
    Previous,
    /// Its own content is not what was hashed.
    Hash,
}

impl fmt::Display for ChainFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChainFault::Previous => "the entry before it is not the one it was chained to",
            ChainFault::Hash => "its content was changed after it was written",
        })
    }
}

impl std::error::Error for ChainFault {}

impl Chained {
    /// Recomputes the hash. `previous` is the hash of the entry before, or that of [`Head::genesis`].
    pub fn verify(&self, previous: [u8; 32]) -> Result<(), ChainFault> {
        if self.previous != previous {
            return Err(ChainFault::Previous);
        }
        if self.hash == hash(self.seq, previous, &self.entry) { Ok(()) } else { Err(ChainFault::Hash) }
    }

    /// Where the next entry attaches.
    pub const fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash, at: self.entry.at }
    }

    /// The entry that takes this one back: the same postings on the other side, linked by number.
    /// A reversal is reversed like any other entry.
    pub fn reversal(&self, at: Timestamp) -> JournalEntry {
        let mut subject = [0; 16];
        subject[8..].copy_from_slice(&self.seq.to_be_bytes());
        let turned = |posting: &Posting| Posting { side: posting.side.opposite(), ..*posting };
        JournalEntry {
            cause: Cause { subject, reason: Reason::Reversal },
            currency: self.entry.currency,
            at,
            links: Links { reverses: Some(self.seq), ..self.entry.links },
            postings: self.entry.postings.iter().map(turned).collect(),
        }
    }
}

/// The end of a chain: what has to be known to append to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of the last entry; 0 when there is none.
    pub seq: u64,
    pub hash: [u8; 32],
    /// Time of the last entry.
    pub at: Timestamp,
}

impl Head {
    /// The empty chain of one merchant and mode. Each begins with a hash of its own, so that neither entries nor whole
    /// chains can be moved from one to another.
    pub fn genesis(scope: Scope) -> Head {
        let mut bytes = GENESIS_TAG.to_vec();
        bytes.extend_from_slice(&scope.merchant.to_bytes());
        bytes.extend_from_slice(scope.mode.as_str().as_bytes());
        Head { seq: 0, hash: sha256(&bytes), at: Timestamp::MIN }
    }

    /// Chains an entry to this end. An entry dated before its predecessor takes the predecessor's time, because
    /// requests that read the clock in one order can be committed in another, and time does not go back in the books.
    pub fn append(&self, mut entry: JournalEntry) -> Chained {
        entry.at = entry.at.max(self.at);
        let seq = self.seq.checked_add(1).expect("nobody writes 2^64 entries");
        entry.chain(seq, self.hash)
    }
}

const GENESIS_TAG: &[u8] = b"coffer journal 1\n";
const ENTRY_TAG: &[u8] = b"coffer entry 1\n";

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn hash(seq: u64, previous: [u8; 32], entry: &JournalEntry) -> [u8; 32] {
    sha256(&canonical(seq, previous, entry))
}

/// The bytes that are hashed. They depend on no library, so that anybody can recompute a chain from an export:
///
/// | bytes | content; integers are big-endian |
/// |---|---|
/// | 15 | `coffer entry 1\n` |
/// | 8 | sequence number |
/// | 32 | hash of the entry before |
/// | 16 + 1 | cause: subject, number of the reason |
/// | 3 | currency, ISO 4217 |
/// | 8 | milliseconds since 1970, signed |
/// | 1 | number of links that are set |
/// | 17 each | link: tag (1 payment, 2 attempt, 3 refund, 4 case, 5 reverses), then the id, or the number in 16 bytes |
/// | 2 | number of postings |
/// | 28 each | posting: account code (2), tag and id of its sub-key (17), `D` or `C`, amount in minor units (8) |
///
/// Every part has a fixed or a counted length, so no two entries share their bytes. Links of new kinds get new tags;
/// any other change gets a new first line.
fn canonical(seq: u64, previous: [u8; 32], entry: &JournalEntry) -> Vec<u8> {
    let JournalEntry { cause, currency, at, links, postings } = entry;
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(ENTRY_TAG);
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes.extend_from_slice(&previous);
    bytes.extend_from_slice(&cause.id().to_bytes());
    bytes.extend_from_slice(currency.code().as_bytes());
    bytes.extend_from_slice(&at.as_millis().to_be_bytes());

    let Links { payment, attempt, refund, case, reverses } = links;
    let tagged = [
        (1, payment.map(PaymentId::to_bytes)),
        (2, attempt.map(AttemptId::to_bytes)),
        (3, refund.map(RefundId::to_bytes)),
        (4, case.map(CaseId::to_bytes)),
        (5, reverses.map(|seq| u128::from(seq).to_be_bytes())),
    ];
    bytes.push(tagged.iter().map(|(_, link)| u8::from(link.is_some())).sum());
    for (tag, link) in tagged {
        if let Some(link) = link {
            bytes.push(tag);
            bytes.extend_from_slice(&link);
        }
    }

    let count = u16::try_from(postings.len()).expect("an entry has at most POSTINGS_MAX postings");
    bytes.extend_from_slice(&count.to_be_bytes());
    for posting in postings {
        bytes.extend_from_slice(&posting.account.to_bytes());
        bytes.push(match posting.side {
            Side::Debit => b'D',
            Side::Credit => b'C',
        });
        bytes.extend_from_slice(&posting.minor.to_be_bytes());
    }
    bytes
}
