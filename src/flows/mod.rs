//! Use cases: load, decide, commit. What has to be done outside is a row of the queue, and the runner does it.
//!
//! Functions that take a `WriteTx` are repeatable: time and randomness come in as values, and nothing happens outside
//! the transaction. Names no provider.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::domain::ids::{CaseId, EndpointId, PaymentId, RefundId};
use crate::domain::money::Money;
use crate::domain::payment::PaymentState;
use crate::domain::refund::RefundState;
use crate::domain::time::Timestamp;
use crate::env::Env;
use crate::ledger::{CannotPost, WrongSide};
use crate::store::{Signal, StoreError};

/// Channel accounts and their keys.
pub mod accounts;
/// Refunds that take two persons.
pub mod approvals;
/// Posting to the books.
pub mod books;
/// Differences that need an explanation.
pub mod cases;
/// Whether a channel account is answered.
pub mod connection;
/// What a person decides about a difference.
pub mod decisions;
/// Callbacks to the shop: fan-out, sending, resending.
pub mod deliveries;
/// The queue's rows.
pub mod effect;
/// Webhook endpoints and their secrets.
pub mod endpoints;
/// Cards that refunds go to, until the channel has heard them.
pub mod envelopes;
/// Events as they are stored.
pub mod events;
/// What every use case needs.
pub mod gateway;
/// What a channel said about an attempt, and what follows from it.
pub mod observe;
/// Create, choose a method, change, cancel, expire.
pub mod payments;
/// Saving with indexes, events and day totals.
pub mod record;
/// Refunds that cannot go back the way they came.
pub mod redirects;
/// Refunds from the request to their end.
pub mod refunds;
/// Does what is due.
pub mod runner;
/// A new merchant with everything it needs.
pub mod setup;
/// Removes what has outlived its use.
pub mod sweep;
/// A payment's story.
pub mod timeline;
/// Messages that were not believed.
pub mod unbelieved;
/// Checks everything against itself.
pub mod verify;

/// Time and randomness of one transaction, taken before it. Copied into the closure, so that running it again makes
/// the same ids.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now: Timestamp,
    random: [u8; 10],
}

impl Moment {
    pub fn new(env: &Env) -> Self {
        Self::at(env.now(), env.random())
    }

    pub fn at(now: Timestamp, mut random: [u8; 10]) -> Self {
        // Room to count up: ids of one moment sort in the order they were made in.
        random[0] &= 0x7f;
        Self { now, random }
    }

    /// Eighty bits for the next id.
    pub fn random(&mut self) -> [u8; 10] {
        let random = self.random;
        for byte in self.random.iter_mut().rev() {
            let (next, carry) = byte.overflowing_add(1);
            *byte = next;
            if !carry {
                break;
            }
        }
        random
    }
}

/// Why a use case did not do what was asked: the caller can do something about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    PaymentNotFound,
    RefundNotFound,
    EventNotFound,
    EndpointNotFound,
    CaseNotFound,
    /// The order number belongs to a payment with other content.
    OrderIdReused {
        payment: PaymentId,
    },
    RefundIdReused {
        refund: RefundId,
    },
    /// The payment has ended, or was paid.
    PaymentEnded {
        state: PaymentState,
    },
    PaymentNotPaid {
        state: PaymentState,
    },
    RefundTooLarge {
        left: Money,
    },
    RefundNothingLeft,
    CurrencyMismatch {
        expected: crate::domain::money::Currency,
    },
    TooManyRefunds,
    /// The channel gave nothing back any more since then.
    RefundWindowOver {
        until: Timestamp,
    },
    TooManyAttempts,
    TooManyEndpoints,
    /// No active channel account offers the method for this amount and currency.
    MethodUnavailable,
    EndpointDisabled {
        endpoint: EndpointId,
    },
    /// The expiry would lie in the past or too far away.
    ExpiryOutOfRange,
    RefundFinished {
        state: RefundState,
    },
    /// Somebody decided about the refund before, or it moved on by itself.
    RefundNotWaiting {
        state: RefundState,
    },
    /// Somebody decided it before, or its money is on its way back.
    CaseDecided {
        case: CaseId,
    },
    /// This cannot be done with the case as it stands.
    DecisionImpossible,
    /// It goes beyond what one person, or a key, may refund of a payment.
    ApprovalNeeded {
        over: Money,
    },
    ProposalNotFound,
    /// It was approved, refused or withdrawn, or nobody came in time.
    ProposalOver,
    OwnProposal,
    /// What was seen is not what would run.
    ProposalChanged,
    TooManyProposals,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

#[derive(Clone, Debug)]
pub enum FlowError {
    Refused(Refusal),
    Store(StoreError),
    /// The books would contradict themselves: a bug, and the reason why nothing was committed.
    Books(String),
}

impl fmt::Display for FlowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FlowError::Refused(why) => write!(f, "refused: {why}"),
            FlowError::Store(_) => f.write_str("the store did not take it"),
            FlowError::Books(why) => write!(f, "the books would be wrong: {why}"),
        }
    }
}

impl std::error::Error for FlowError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FlowError::Store(error) => Some(error),
            FlowError::Refused(_) | FlowError::Books(_) => None,
        }
    }
}

impl From<StoreError> for FlowError {
    fn from(error: StoreError) -> Self {
        FlowError::Store(error)
    }
}

impl From<Refusal> for FlowError {
    fn from(why: Refusal) -> Self {
        FlowError::Refused(why)
    }
}

impl From<CannotPost> for FlowError {
    fn from(why: CannotPost) -> Self {
        FlowError::Books(why.to_string())
    }
}

impl From<WrongSide> for FlowError {
    fn from(why: WrongSide) -> Self {
        FlowError::Books(why.to_string())
    }
}

/// Tells who waits for a payment that something about it was committed: handlers that wait for the channel's answer, and
/// the live status of the cashier page. Holds one entry per watched payment.
#[derive(Clone, Default)]
pub struct Changes(Arc<Mutex<BTreeMap<PaymentId, watch::Sender<u64>>>>);

impl Changes {
    /// Begins to watch; take it before reading, so that no change falls between.
    pub fn watch(&self, payment: PaymentId) -> Watch {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = map.entry(payment).or_insert_with(|| watch::channel(0).0).subscribe();
        Watch { changes: self.clone(), payment, receiver }
    }

    /// For `Store::on_commit`.
    pub fn hear(&self, signals: &[Signal]) {
        for signal in signals {
            match signal {
                Signal::Payment(payment) => {
                    let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(sender) = map.get(payment) {
                        sender.send_modify(|count| *count = count.wrapping_add(1));
                    }
                }
                Signal::Due { .. } | Signal::KeysChanged | Signal::EndpointsChanged => {}
            }
        }
    }

    /// Payments being watched.
    pub fn watched(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// One watcher of one payment.
pub struct Watch {
    changes: Changes,
    payment: PaymentId,
    receiver: watch::Receiver<u64>,
}

impl Watch {
    /// Waits for the next change since the last call.
    pub async fn changed(&mut self) {
        // The sender lives in the map as long as this watcher does.
        drop(self.receiver.changed().await);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut map = self.changes.0.lock().unwrap_or_else(PoisonError::into_inner);
        if map.get(&self.payment).is_some_and(|sender| sender.receiver_count() <= 1) {
            map.remove(&self.payment);
        }
    }
}
