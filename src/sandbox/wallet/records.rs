//! What the provider stores beside orders and refunds: its merchants, and the notifications that are on their way.

use serde::{Deserialize, Serialize};

use crate::crypto::Sealed;
use crate::domain::time::Timestamp;
use crate::store::Key;

/// A merchant at the provider; its number is the key of its row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WalletMerchant {
    /// Shown to payers.
    pub name: String,
    pub app_id: String,
    pub hmac_key: Sealed,
    pub created_at: Timestamp,
}

/// A notification on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    pub notify_url: String,
    /// Signed anew for each try, and never changed.
    pub body: String,
    /// Signed with a key that is not the provider's.
    pub forged: bool,
    /// Tries so far.
    pub tries: u32,
}

/// What a wake-up is about, by the merchant's number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Order(String),
    Refund(String),
}

impl Key for Subject {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Subject::Order(number) => {
                out.push(1);
                number.encode(out);
            }
            Subject::Refund(number) => {
                out.push(2);
                number.encode(out);
            }
        }
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        match u8::decode(bytes)? {
            1 => String::decode(bytes).map(Subject::Order),
            2 => String::decode(bytes).map(Subject::Refund),
            _ => None,
        }
    }
}
