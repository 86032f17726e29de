//! Two persons (双人复核): what one proposed waits until another has seen exactly that and agreed. A proposal is never
//! changed; its hash binds the agreement to its content.

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::ids::{PaymentId, ProposalId, RefundId, UserId};
use super::money::Money;
use super::redirect::Destination;
use super::time::{Duration, Timestamp};

/// How long a proposal waits for the other person.
pub const PROPOSAL_LASTS: Duration = Duration::from_days(3);
/// Proposals of one merchant and mode that wait at once.
pub const PROPOSALS_WAITING_MAX: usize = 200;

/// What takes two persons. Everything is off until somebody switches it on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRule {
    /// Minor units of the merchant's currency: refunds that bring a payment's refunds above it.
    pub refund_over_minor: Option<u64>,
}

/// What will be done, word for word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    Refund {
        payment: PaymentId,
        amount: Money,
        refund_no: String,
        reason: Option<String>,
    },
    /// A refund that cannot go back the way it came goes elsewhere. A card is no part of it, because it is never stored; it is
    /// kept in memory under the proposal's id, and whoever approves types it as well.
    Redirect {
        payment: PaymentId,
        refund: RefundId,
        /// The refund as it was shown.
        version: u32,
        amount: Money,
        to: Destination,
        /// The form's own number.
        number: String,
    },
}

impl Command {
    pub fn payment(&self) -> PaymentId {
        match self {
            Command::Refund { payment, .. } | Command::Redirect { payment, .. } => *payment,
        }
    }

    pub fn amount(&self) -> Money {
        match self {
            Command::Refund { amount, .. } | Command::Redirect { amount, .. } => *amount,
        }
    }

    /// Tells a form that is sent twice from another.
    pub fn number(&self) -> &str {
        match self {
            Command::Refund { refund_no: number, .. } | Command::Redirect { number, .. } => number,
        }
    }

    /// SHA-256 over the content; each part with its length before it.
    pub fn hash(&self) -> [u8; 32] {
        let mut hash = Context::new(&SHA256);
        let mut add = |part: &[u8]| {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        };
        match self {
            Command::Refund { payment, amount, refund_no, reason } => {
                add(b"coffer-refund-1");
                add(&payment.to_bytes());
                add(amount.to_string().as_bytes());
                add(refund_no.as_bytes());
                add(reason.as_deref().unwrap_or("").as_bytes());
            }
            Command::Redirect { payment, refund, version, amount, to, number } => {
                add(b"coffer-redirect-1");
                add(&payment.to_bytes());
                add(&refund.to_bytes());
                add(&version.to_be_bytes());
                add(amount.to_string().as_bytes());
                add(to.code().as_bytes());
                add(number.as_bytes());
            }
        }
        hash.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProposalState {
    Waiting,
    Approved {
        by: UserId,
        at: Timestamp,
        refund: RefundId,
    },
    /// By another person, or withdrawn by its maker.
    Refused {
        by: UserId,
        at: Timestamp,
    },
    Expired {
        at: Timestamp,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    pub id: ProposalId,
    pub command: Command,
    pub hash: [u8; 32],
    pub maker: UserId,
    pub made_at: Timestamp,
    pub expires_at: Timestamp,
    pub state: ProposalState,
}

impl Proposal {
    /// It still waits, and its time is not over.
    pub fn is_waiting(&self, now: Timestamp) -> bool {
        self.state == ProposalState::Waiting && now < self.expires_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Currency;

    #[test]
    fn every_word_of_a_command_is_in_its_hash() {
        let command = |minor, number: &str, reason: Option<&str>| Command::Refund {
            payment: PaymentId::from_bytes([1; 16]),
            amount: Money::new(minor, Currency::CNY),
            refund_no: number.to_owned(),
            reason: reason.map(str::to_owned),
        };
        let first = command(100, "a", Some("bc")).hash();
        assert_eq!(first, command(100, "a", Some("bc")).hash());
        let redirect = |version, to| {
            let (payment, refund) = (PaymentId::from_bytes([1; 16]), RefundId::from_bytes([2; 16]));
            let amount = Money::new(100, Currency::CNY);
            Command::Redirect { payment, refund, version, amount, to, number: "a".to_owned() }.hash()
        };
        let all = [
            redirect(1, Destination::Merchant),
            redirect(2, Destination::Merchant),
            redirect(1, Destination::CustomerCard),
        ];
        assert_eq!(std::collections::BTreeSet::from(all).len(), 3);
        for other in [command(101, "a", Some("bc")), command(100, "ab", Some("c")), command(100, "a", None)] {
            assert_ne!(first, other.hash());
        }
    }
}
