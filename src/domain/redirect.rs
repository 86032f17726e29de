//! A refund that goes elsewhere (异常退款): what a person decided about money that cannot reach where it came from.
//!
//! The card itself is not here and nowhere else: it lives in memory until the channel has heard it.

use serde::{Deserialize, Serialize};

use super::ids::UserId;
use super::time::{Duration, Timestamp};

/// Sendings of one decision for the merchant's own account. A card is sent once and then asked for again.
pub const SENDINGS_MAX: u32 = 3;
/// A sending whose outcome nobody knows may still be on its way. So long afterwards it is there or lost, and a channel that
/// still wants to know where the money goes never got it.
pub const SENDING_SETTLES: Duration = Duration::from_minutes(2);

/// Where the money goes instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Destination {
    /// A bank card of the customer.
    CustomerCard,
    /// The merchant's own account; he then pays the customer outside of the channel.
    Merchant,
}

impl Destination {
    pub const fn code(self) -> &'static str {
        match self {
            Destination::CustomerCard => "customer_card",
            Destination::Merchant => "merchant",
        }
    }

    pub fn parse(code: &str) -> Option<Self> {
        [Destination::CustomerCard, Destination::Merchant].into_iter().find(|one| one.code() == code)
    }
}

/// The last decision about one refund. One that came to nothing stays until the next, because it tells why a person is
/// asked again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    pub to: Destination,
    pub by: UserId,
    pub decided_at: Timestamp,
    /// What is kept in memory for it has this name.
    pub token: [u8; 16],
    pub sendings: u32,
    /// When a sending may have begun last.
    pub sent_at: Timestamp,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// To be sent, or sent and not answered.
    UnderWay,
    /// The channel took it.
    Accepted,
    /// The channel refused it for good, in these words.
    Refused { detail: String },
    /// It never arrived.
    Lost,
    /// The channel took it, and that way is blocked as well.
    Bounced,
}

impl Redirect {
    /// From then on a channel that still wants to know where the money goes has not heard of this one.
    pub fn settles_at(&self) -> Timestamp {
        self.sent_at.plus(SENDING_SETTLES)
    }

    /// The decision stands: it has not come to nothing.
    pub const fn stands(&self) -> bool {
        match self.outcome {
            Outcome::UnderWay | Outcome::Accepted => true,
            Outcome::Refused { .. } | Outcome::Lost | Outcome::Bounced => false,
        }
    }
}
