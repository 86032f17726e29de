//! What is due later: rows of one durable queue, repeated until their answer is recorded.

use serde::{Deserialize, Serialize};

use crate::domain::ids::{AccountId, AttemptId, EndpointId, EventId, PaymentId, RefundId, Scope};
use crate::domain::time::Timestamp;
use crate::store::tables::DUE;
use crate::store::{Key, Signal, StoreError, WriteTx};

/// Effects that may delay one another share a lane: one endpoint, one channel account, or Coffer's own work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane(pub [u8; 16]);

impl Lane {
    /// Coffer's own work: expiry and housekeeping.
    pub const OWN: Lane = Lane([0; 16]);

    pub fn account(id: AccountId) -> Self {
        Self(id.to_bytes())
    }

    pub fn endpoint(id: EndpointId) -> Self {
        Self(id.to_bytes())
    }
}

/// One thing to do. What it is about is in the key, so scheduling it twice at one time is scheduling it once, and
/// whoever knows the subject and its due time can take it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Effect {
    /// Tell the channel about a new attempt, ask it, or close it: whichever the attempt's state calls for.
    FollowAttempt(Scope, AttemptId),
    /// Send the refund, or ask what became of it.
    FollowRefund(Scope, RefundId),
    /// The payment's time is over.
    Expire(Scope, PaymentId),
    /// Send one callback.
    Deliver(Scope, EventId, EndpointId),
    /// Send one callback once more because a person wants it; the schedule is not touched.
    Resend(Scope, EventId, EndpointId),
    /// Fetch the keys that a channel account's provider renews.
    Upkeep(Scope, AccountId),
    /// Remove what has outlived its use: nonces, stored answers, what is known about customers.
    Sweep,
}

impl Key for Lane {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        <[u8; 16]>::decode(bytes).map(Lane)
    }
}

impl Key for Effect {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Effect::FollowAttempt(scope, id) => (1u8, *scope, *id).encode(out),
            Effect::FollowRefund(scope, id) => (2u8, *scope, *id).encode(out),
            Effect::Expire(scope, id) => (3u8, *scope, *id).encode(out),
            Effect::Deliver(scope, event, endpoint) => (4u8, *scope, *event, *endpoint).encode(out),
            Effect::Sweep => 5u8.encode(out),
            Effect::Upkeep(scope, id) => (7u8, *scope, *id).encode(out),
            Effect::Resend(scope, event, endpoint) => (6u8, *scope, *event, *endpoint).encode(out),
        }
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        match u8::decode(bytes)? {
            1 => <(Scope, AttemptId)>::decode(bytes).map(|(s, id)| Effect::FollowAttempt(s, id)),
            2 => <(Scope, RefundId)>::decode(bytes).map(|(s, id)| Effect::FollowRefund(s, id)),
            3 => <(Scope, PaymentId)>::decode(bytes).map(|(s, id)| Effect::Expire(s, id)),
            4 => <(Scope, EventId, EndpointId)>::decode(bytes).map(|(s, e, w)| Effect::Deliver(s, e, w)),
            5 => Some(Effect::Sweep),
            6 => <(Scope, EventId, EndpointId)>::decode(bytes).map(|(s, e, w)| Effect::Resend(s, e, w)),
            7 => <(Scope, AccountId)>::decode(bytes).map(|(s, id)| Effect::Upkeep(s, id)),
            _ => None,
        }
    }
}

/// Puts an effect into the queue and tells the runner after the commit.
pub fn schedule(tx: &mut WriteTx<'_>, lane: Lane, at: Timestamp, effect: Effect) -> Result<(), StoreError> {
    tx.put(&DUE, &(lane, at, effect), &())?;
    tx.signal(Signal::Due { lane: lane.0, at });
    Ok(())
}

/// Takes an effect back, by the key it was put in with.
pub fn unschedule(tx: &mut WriteTx<'_>, lane: Lane, at: Timestamp, effect: Effect) -> Result<(), StoreError> {
    tx.delete(&DUE, &(lane, at, effect)).map(drop)
}
