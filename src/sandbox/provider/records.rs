//! What simulated providers store beside orders and refunds.

use serde::{Deserialize, Serialize};

use super::fault::Faults;
use super::model::Event;
use crate::domain::time::{Duration, Timestamp};
use crate::store::Key;

/// A merchant at a provider; provider and number are the key of its row. Nothing in here is worth keeping secret: whoever
/// has it can play with play money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Shown to payers.
    pub name: String,
    /// The rest in the provider's own words: app ids, keys, serials.
    pub details: String,
    pub created_at: Timestamp,
}

/// A private key with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// PKCS#8 DER.
    pub private: Vec<u8>,
    /// A certificate for it, DER; empty where there is none.
    pub certificate: Vec<u8>,
    pub created_at: Timestamp,
}

/// A notification on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    pub provider: String,
    pub merchant: String,
    pub notify_url: String,
    /// What is told, in the provider's own form. Sealed and signed anew for each try, and never changed.
    pub text: String,
    /// The same for every try and every double.
    pub id: [u8; 16],
    pub event: Event,
    /// When it was first posted.
    pub posted_at: Timestamp,
    /// Signed with a key that is not the provider's.
    pub forged: bool,
    /// Waits until a later one has overtaken it.
    pub overtaken: bool,
    /// The first try is a probe.
    pub probed: bool,
    /// The faults under which it was posted.
    pub faults: Faults,
    /// Tries so far.
    pub tries: u32,
}

/// What a wake-up, a name or a move is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Subject {
    Order { merchant: String, number: String },
    Refund { merchant: String, number: String },
}

impl Key for Subject {
    fn encode(&self, out: &mut Vec<u8>) {
        let (kind, merchant, number) = match self {
            Subject::Order { merchant, number } => (1, merchant, number),
            Subject::Refund { merchant, number } => (2, merchant, number),
        };
        out.push(kind);
        merchant.encode(out);
        number.encode(out);
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let (kind, merchant, number) = (u8::decode(bytes)?, String::decode(bytes)?, String::decode(bytes)?);
        match kind {
            1 => Some(Subject::Order { merchant, number }),
            2 => Some(Subject::Refund { merchant, number }),
            _ => None,
        }
    }
}

/// What the payer means to do when the code is scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mood {
    Pays,
    /// The password is asked for, and typed slowly.
    AskedForPassword,
    BalanceShort,
    Refuses,
}

impl Mood {
    pub const ALL: [Mood; 4] = [Mood::Pays, Mood::AskedForPassword, Mood::BalanceShort, Mood::Refuses];

    /// The word in forms and in the API.
    pub const fn code(self) -> &'static str {
        match self {
            Mood::Pays => "pays",
            Mood::AskedForPassword => "asked_for_password",
            Mood::BalanceShort => "balance_short",
            Mood::Refuses => "refuses",
        }
    }

    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mood| mood.code() == code)
    }
}

/// A code that the payer shows (付款码); its digits are the key of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayerCode {
    pub until: Timestamp,
    pub mood: Mood,
    /// A code works once.
    pub used: bool,
}

/// The fault board of one provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board {
    /// For answers, bills and signatures, and what new orders begin with.
    pub faults: Faults,
}

/// What is there once: how far the clock was moved, and how full the folder is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Common {
    /// The simulated time is so far ahead of the real one.
    pub ahead: Duration,
    pub orders: u64,
}
