//! A refund: reserved when accepted, followed until the channel's word is known, never closed by time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::follow::RefundStep;
use super::ids::{AccountId, AttemptId, CaseId, PaymentId, RefundId};
use super::money::Money;
use super::time::Timestamp;
use super::trouble::Trouble;
use crate::ledger::RefundLegs;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RefundState {
    /// Reserved and committed; the channel may or may not know it.
    Pending,
    /// The channel accepted it and is moving the money.
    Processing,
    Succeeded,
    Failed,
    /// The money left the merchant and cannot reach where the customer paid from (异常退款): a person says where it goes.
    Undeliverable,
    /// It went to the merchant's own account, and a person still has to say that the customer got it by another way.
    Returned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefundEvent {
    Accepted,
    Succeeded,
    Refused,
    OutcomeUnknown,
    /// The channel cannot bring the money to where it came from.
    Undeliverable,
    /// A person said where it goes instead.
    Redirected,
    /// The channel gave it to the merchant.
    Returned,
    /// A person said that the customer got it outside of the channel.
    PaidOutside,
}

impl RefundEvent {
    pub const ALL: [RefundEvent; 8] = [
        RefundEvent::Accepted,
        RefundEvent::Succeeded,
        RefundEvent::Refused,
        RefundEvent::OutcomeUnknown,
        RefundEvent::Undeliverable,
        RefundEvent::Redirected,
        RefundEvent::Returned,
        RefundEvent::PaidOutside,
    ];
}

impl RefundState {
    /// The order is that of the store's index, so it only grows.
    pub const ALL: [RefundState; 6] = [
        RefundState::Pending,
        RefundState::Processing,
        RefundState::Succeeded,
        RefundState::Failed,
        RefundState::Undeliverable,
        RefundState::Returned,
    ];
    /// Those that wait for a person.
    pub const FOR_A_PERSON: [RefundState; 2] = [RefundState::Undeliverable, RefundState::Returned];

    pub const fn code(self) -> &'static str {
        match self {
            RefundState::Pending => "pending",
            RefundState::Processing => "processing",
            RefundState::Succeeded => "succeeded",
            RefundState::Failed => "failed",
            RefundState::Undeliverable => "undeliverable",
            RefundState::Returned => "returned",
        }
    }

    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.code() == code)
    }

    pub const fn is_final(self) -> bool {
        match self {
            RefundState::Pending | RefundState::Processing | RefundState::Undeliverable | RefundState::Returned => {
                false
            }
            RefundState::Succeeded | RefundState::Failed => true,
        }
    }

    /// The channel has more to tell. One that waits for a card is asked about too: the merchant may have named one on the
    /// channel's own pages.
    pub const fn is_followed(self) -> bool {
        match self {
            RefundState::Pending | RefundState::Processing | RefundState::Undeliverable => true,
            RefundState::Returned | RefundState::Succeeded | RefundState::Failed => false,
        }
    }

    /// `None`: nothing changes. An end is an end: a channel that contradicts it later opens a case, not a transition.
    pub fn next(self, event: RefundEvent) -> Option<RefundState> {
        use {RefundEvent as E, RefundState as S};
        match self {
            S::Pending => match event {
                E::Accepted => Some(S::Processing),
                E::Succeeded => Some(S::Succeeded),
                E::Refused => Some(S::Failed),
                E::Undeliverable => Some(S::Undeliverable),
                E::Returned => Some(S::Returned),
                E::OutcomeUnknown | E::Redirected | E::PaidOutside => None,
            },
            S::Processing => match event {
                E::Succeeded => Some(S::Succeeded),
                E::Refused => Some(S::Failed),
                E::Undeliverable => Some(S::Undeliverable),
                E::Returned => Some(S::Returned),
                E::Accepted | E::OutcomeUnknown | E::Redirected | E::PaidOutside => None,
            },
            S::Undeliverable => match event {
                // Somebody named a card on the channel's own pages.
                E::Accepted | E::Redirected => Some(S::Processing),
                E::Succeeded => Some(S::Succeeded),
                E::Refused => Some(S::Failed),
                E::Returned => Some(S::Returned),
                E::OutcomeUnknown | E::Undeliverable | E::PaidOutside => None,
            },
            S::Returned => match event {
                E::PaidOutside => Some(S::Succeeded),
                E::Accepted
                | E::Succeeded
                | E::Refused
                | E::OutcomeUnknown
                | E::Undeliverable
                | E::Redirected
                | E::Returned => None,
            },
            S::Succeeded | S::Failed => match event {
                E::Accepted
                | E::Succeeded
                | E::Refused
                | E::OutcomeUnknown
                | E::Undeliverable
                | E::Redirected
                | E::Returned
                | E::PaidOutside => None,
            },
        }
    }
}

/// Where the money of a refund comes from in the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefundSource {
    /// The merchant's accounts; the legs say how much came from which, so that a failure gives back to the same.
    Merchant(RefundLegs),
    /// Money that was never the merchant's: a second payment of one order.
    Suspense(CaseId),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    pub id: RefundId,
    pub payment: PaymentId,
    pub attempt: AttemptId,
    pub account: AccountId,
    /// The shop's own number, unique for ever within merchant and mode.
    pub refund_no: Option<String>,
    pub fingerprint: [u8; 16],
    pub amount: Money,
    pub reason: Option<String>,
    pub state: RefundState,
    /// The last thing that went wrong; of one that failed, why the channel refused it.
    pub failure: Option<Trouble>,
    pub source: RefundSource,
    pub fee_returned_minor: u64,
    pub metadata: BTreeMap<String, String>,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    pub channel_refund_id: Option<String>,
    pub step: RefundStep,
    pub queries: u32,
    /// When its follow-up is due: the key of its one row in the queue.
    pub follow_up: Option<Timestamp>,
    pub version: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transition_table_is_as_printed() {
        let mut text = String::from("refund\n");
        for from in RefundState::ALL {
            for event in RefundEvent::ALL {
                let to = from.next(event).map_or("(nothing)", RefundState::code);
                text += &format!("{:<13} + {:<14} -> {to}\n", from.code(), format!("{event:?}"));
            }
        }
        assert_eq!(text, include_str!("../../tests/it/refund_states.txt"));
    }
}
