//! A case: a difference between what we expected and what a channel says, kept until somebody or something explains it.

use serde::{Deserialize, Serialize};

use super::ids::{AttemptId, CaseId, PaymentId, RefundId};
use super::money::Money;
use super::time::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CaseKind {
    /// The channel reports another amount than was asked for. Nothing was booked.
    WrongAmount,
    /// The channel reports a currency or a merchant number that is not ours. Nothing was booked.
    WrongIdentity,
    /// The order had been paid already by another attempt; the money waits in suspense.
    SecondPayment,
    /// The money came after the end and the merchant's policy is to hold it; it waits in suspense.
    LatePayment,
    /// The channel contradicts an end that it had confirmed, as a refund that succeeds after it had failed.
    Contradiction,
}

impl CaseKind {
    pub const ALL: [CaseKind; 5] = [
        CaseKind::WrongAmount,
        CaseKind::WrongIdentity,
        CaseKind::SecondPayment,
        CaseKind::LatePayment,
        CaseKind::Contradiction,
    ];

    pub const fn code(self) -> &'static str {
        match self {
            CaseKind::WrongAmount => "wrong_amount",
            CaseKind::WrongIdentity => "wrong_identity",
            CaseKind::SecondPayment => "second_payment",
            CaseKind::LatePayment => "late_payment",
            CaseKind::Contradiction => "contradiction",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CaseState {
    Open,
    /// A refund of the money is on its way.
    Refunding(RefundId),
    Refunded(RefundId),
    /// Booked as the payment of the order after all.
    Booked,
    /// Explained by a person, with nothing left in suspense.
    Closed {
        note: String,
    },
}

impl CaseState {
    pub const fn code(&self) -> &'static str {
        match self {
            CaseState::Open => "open",
            CaseState::Refunding(_) => "refunding",
            CaseState::Refunded(_) => "refunded",
            CaseState::Booked => "booked",
            CaseState::Closed { .. } => "closed",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    pub id: CaseId,
    pub kind: CaseKind,
    pub state: CaseState,
    pub payment: PaymentId,
    pub attempt: AttemptId,
    pub expected: Money,
    pub seen: Money,
    /// Minor units of this case in account 2201.
    pub suspense_minor: u64,
    pub detail: String,
    pub opened_at: Timestamp,
    pub closed_at: Option<Timestamp>,
}
