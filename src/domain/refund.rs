//! A refund: reserved when accepted, followed until the channel's word is known, never closed by time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::follow::RefundStep;
use super::ids::{AccountId, AttemptId, CaseId, PaymentId, RefundId};
use super::money::Money;
use super::time::Timestamp;
use crate::ledger::RefundLegs;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RefundState {
    /// Reserved and committed; the channel may or may not know it.
    Pending,
    /// The channel accepted it and is moving the money.
    Processing,
    Succeeded,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefundEvent {
    Accepted,
    Succeeded,
    Refused,
    OutcomeUnknown,
}

impl RefundEvent {
    pub const ALL: [RefundEvent; 4] =
        [RefundEvent::Accepted, RefundEvent::Succeeded, RefundEvent::Refused, RefundEvent::OutcomeUnknown];
}

impl RefundState {
    pub const ALL: [RefundState; 4] =
        [RefundState::Pending, RefundState::Processing, RefundState::Succeeded, RefundState::Failed];

    pub const fn code(self) -> &'static str {
        match self {
            RefundState::Pending => "pending",
            RefundState::Processing => "processing",
            RefundState::Succeeded => "succeeded",
            RefundState::Failed => "failed",
        }
    }

    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.code() == code)
    }

    pub const fn is_final(self) -> bool {
        match self {
            RefundState::Pending | RefundState::Processing => false,
            RefundState::Succeeded | RefundState::Failed => true,
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
                E::OutcomeUnknown => None,
            },
            S::Processing => match event {
                E::Succeeded => Some(S::Succeeded),
                E::Refused => Some(S::Failed),
                E::Accepted | E::OutcomeUnknown => None,
            },
            S::Succeeded | S::Failed => match event {
                E::Accepted | E::Succeeded | E::Refused | E::OutcomeUnknown => None,
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
    /// Why the channel refused it, in a sentence for the merchant.
    pub failure: Option<String>,
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
                text += &format!("{:<10} + {:<14} -> {to}\n", from.code(), format!("{event:?}"));
            }
        }
        assert_eq!(text, include_str!("../../tests/it/refund_states.txt"));
    }
}
