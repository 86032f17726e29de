//! The hash chain: each entry of the journal is bound to its number, to its content and to the entry before it.

use std::fmt;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::account::Side;
use super::entry::{Cause, JournalEntry, Links, Posting, Reason};
use crate::domain::ids::{AttemptId, CaseId, PaymentId, RefundId, Scope};
use crate::domain::time::Timestamp;

/// An entry in its place: the hash covers the number, the hash before it, and the whole entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chained {
    /// Counts from 1 without gaps within one merchant and mode.
    pub seq: u64,
    pub entry: JournalEntry,
    pub previous: [u8; 32],
    pub hash: [u8; 32],
}

impl JournalEntry {
    /// Gives the entry its place. [`Head::append`] does it with the right numbers.
    pub fn chain(self, seq: u64, previous: [u8; 32]) -> Chained {
        let hash = hash(seq, previous, &self);
        Chained { seq, entry: self, previous, hash }
    }
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
        Head { seq: self.seq, hash: self.hash, at: self.entry.at() }
    }

    /// The entry that takes this one back: the same postings on the other side, linked by number.
    /// A reversal is reversed like any other entry.
    pub fn reversal(&self, at: Timestamp) -> JournalEntry {
        let mut subject = [0; 16];
        subject[8..].copy_from_slice(&self.seq.to_be_bytes());
        let cause = Cause { subject, reason: Reason::Reversal };
        let links = Links { reverses: Some(self.seq), ..self.entry.links() };
        let turned = |posting: &Posting| Posting { side: posting.side.opposite(), ..*posting };
        let postings = self.entry.postings().iter().map(turned).collect();
        JournalEntry::new(cause, self.entry.currency(), at, links, postings).expect("it balances as the first one does")
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
    pub fn append(&self, entry: JournalEntry) -> Chained {
        let seq = self.seq.checked_add(1).expect("nobody writes 2^64 entries");
        entry.not_before(self.at).chain(seq, self.hash)
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
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(ENTRY_TAG);
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes.extend_from_slice(&previous);
    bytes.extend_from_slice(&entry.id().to_bytes());
    bytes.extend_from_slice(entry.currency().code().as_bytes());
    bytes.extend_from_slice(&entry.at().as_millis().to_be_bytes());

    let Links { payment, attempt, refund, case, reverses } = entry.links();
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

    let count = u16::try_from(entry.postings().len()).expect("an entry has at most POSTINGS_MAX postings");
    bytes.extend_from_slice(&count.to_be_bytes());
    for posting in entry.postings() {
        bytes.extend_from_slice(&posting.account.to_bytes());
        bytes.push(match posting.side {
            Side::Debit => b'D',
            Side::Credit => b'C',
        });
        bytes.extend_from_slice(&posting.minor.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use serde_json::json;

    use super::*;
    use crate::domain::ids::{AccountId, MerchantId, Mode};
    use crate::domain::money::Currency;
    use crate::ledger::Account;

    fn scope(mode: Mode) -> Scope {
        Scope { merchant: MerchantId::from_bytes([1; 16]), mode }
    }

    fn entry(at: Timestamp) -> JournalEntry {
        let cause = Cause { subject: [3; 16], reason: Reason::Paid };
        let links = Links {
            payment: Some(PaymentId::from_bytes([4; 16])),
            attempt: Some(AttemptId::from_bytes([3; 16])),
            reverses: Some(258),
            ..Links::default()
        };
        let postings = vec![
            Posting::debit(Account::channel_receivable(AccountId::from_bytes([2; 16])), 9_990),
            Posting::credit(Account::merchant_pending(MerchantId::from_bytes([1; 16])), 9_930),
            Posting::credit(Account::fee_income(), 60),
        ];
        JournalEntry::new(cause, Currency::CNY, at, links, postings).unwrap()
    }

    fn chained() -> Chained {
        Head::genesis(scope(Mode::Live)).append(entry(Timestamp::from_millis(1_700_000_000_123)))
    }

    /// Computed from the table at [`canonical`] by a program of another language.
    #[test]
    fn the_hash_can_be_recomputed_from_its_description() {
        let chained = chained();
        assert_eq!(
            HEXLOWER.encode(&chained.previous),
            "39b4118a66628f288455e609f5ef4431a29b79310779e9a08f3649021df05543"
        );
        assert_eq!(HEXLOWER.encode(&chained.hash), "33eda5110681b484e9035fbc72ecf5c1b9b01ce282925198270944232748886a");
    }

    #[test]
    fn a_chain_belongs_to_one_merchant_and_mode() {
        let live = Head::genesis(scope(Mode::Live));
        assert_ne!(live.hash, Head::genesis(scope(Mode::Test)).hash);
        let other = Scope { merchant: MerchantId::from_bytes([9; 16]), mode: Mode::Live };
        let other = Head::genesis(other);
        assert_ne!(live.hash, other.hash);
        assert_eq!(chained().verify(live.hash), Ok(()));
        assert_eq!(chained().verify(other.hash), Err(ChainFault::Previous));
    }

    #[test]
    fn every_change_of_a_field_is_seen() {
        let good = chained();
        let stored = serde_json::to_value(&good).unwrap();
        let read = |json| serde_json::from_value::<Chained>(json).unwrap();
        assert_eq!(read(stored.clone()).verify(good.previous), Ok(()));

        let mut swapped = stored["entry"]["postings"].clone();
        swapped.as_array_mut().unwrap().swap(1, 2);
        for (field, value) in [
            ("/seq", json!(2)),
            ("/entry/cause/subject/15", json!(4)),
            ("/entry/cause/reason", json!(u8::from(Reason::LongBooked))),
            ("/entry/currency", json!("USD")),
            ("/entry/at", json!(1_700_000_000_124u64)),
            ("/entry/links/payment", json!(null)),
            ("/entry/links/refund", json!(RefundId::from_bytes([4; 16]))),
            ("/entry/links/reverses", json!(257)),
            ("/entry/postings", swapped),
            ("/entry/postings/2/account/code", json!(4002)),
            ("/hash/31", json!(good.hash[31] ^ 1)),
        ] {
            let mut changed = stored.clone();
            *changed.pointer_mut(field).unwrap() = value;
            assert_eq!(read(changed).verify(good.previous), Err(ChainFault::Hash), "{field}");
        }
    }

    /// A stored record in which any byte was changed to any other one cannot be decoded, or fails, or still says the
    /// same (as does a misspelt name of a link that is not set).
    #[test]
    fn no_byte_of_a_stored_entry_can_be_changed_unseen() {
        let good = chained();
        let stored = serde_json::to_vec(&good).unwrap();
        let (mut refused, mut failed) = (0, 0);
        for i in 0..stored.len() {
            for flip in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80] {
                let mut stored = stored.clone();
                stored[i] ^= flip;
                match serde_json::from_slice::<Chained>(&stored) {
                    Err(_) => refused += 1,
                    Ok(read) if read == good => {}
                    Ok(read) => {
                        assert!(read.verify(good.previous).is_err(), "bit {flip:#x} of byte {i} of {read:?}");
                        failed += 1;
                    }
                }
            }
        }
        assert!(refused > 0 && failed > 0, "{refused} refused, {failed} failed");
    }

    #[test]
    fn time_does_not_go_back_in_the_books() {
        let first = chained();
        let second = first.head().append(entry(Timestamp::from_millis(5)));
        assert_eq!((second.seq, second.entry.at()), (2, first.entry.at()));
        assert_eq!(second.verify(first.hash), Ok(()));
    }

    #[test]
    fn a_reversal_turns_every_posting_and_names_what_it_takes_back() {
        let first = chained();
        let reversal = first.reversal(Timestamp::MAX);
        assert_eq!(reversal.check(), Ok(()));
        assert_eq!(reversal.links().reverses, Some(1));
        assert_eq!(reversal.links().payment, first.entry.links().payment);
        for (turned, posting) in reversal.postings().iter().zip(first.entry.postings()) {
            assert_eq!(*turned, Posting { side: posting.side.opposite(), ..*posting });
        }
        let second = first.head().append(reversal.clone());
        assert_ne!(second.reversal(Timestamp::MAX).id(), reversal.id());
    }
}
