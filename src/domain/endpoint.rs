//! Where callbacks go, and what became of each of them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::event::EventType;
use super::ids::{EndpointId, EventId};
use super::time::Timestamp;
use crate::callbacks::Transcript;
use crate::callbacks::breaker::{Breaker, OPEN_AFTER};
use crate::crypto::Sealed;

/// Endpoints a merchant may have per mode, those made from `callback_url`s not counted.
pub const ENDPOINTS_MAX: usize = 20;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Endpoint {
    pub id: EndpointId,
    pub url: String,
    pub description: String,
    /// Empty means all.
    pub events: BTreeSet<EventType>,
    /// `None` on an implicit endpoint: the merchant's default secret signs.
    pub secret: Option<Sealed>,
    /// Signs as well until the time beside it, after a rotation.
    pub previous_secret: Option<(Sealed, Timestamp)>,
    pub state: EndpointState,
    pub breaker: Breaker,
    /// Made for the host of payments' own `callback_url`; each delivery then carries its full address.
    pub implicit: bool,
    pub created_at: Timestamp,
}

impl Endpoint {
    /// One that stands for addresses which payments name: the merchant's default secret signs, and it wants everything.
    pub fn implicit(id: EndpointId, url: String, created_at: Timestamp) -> Self {
        Self {
            id,
            url,
            description: String::new(),
            events: BTreeSet::new(),
            secret: None,
            previous_secret: None,
            state: EndpointState::Enabled,
            breaker: Breaker::default(),
            implicit: true,
            created_at,
        }
    }

    /// Whether somebody should look at it: we switched it off, or it is on and has failed often enough in a row.
    pub fn is_failing(&self) -> bool {
        match self.state {
            EndpointState::Suspended => true,
            EndpointState::Enabled => self.breaker.failures >= OPEN_AFTER,
            EndpointState::Disabled => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndpointState {
    Enabled,
    /// By the merchant: nothing new is queued, what waited is held.
    Disabled,
    /// By us after days of nothing but failures, or because it answered 410 Gone; what waited is held.
    Suspended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DeliveryState {
    /// Will be sent when its time comes.
    Pending,
    Delivered,
    /// The ladder is over.
    Dead,
    /// The endpoint is disabled; sent again when it is enabled and the merchant says so.
    Held,
}

impl DeliveryState {
    pub const ALL: [DeliveryState; 4] =
        [DeliveryState::Pending, DeliveryState::Delivered, DeliveryState::Dead, DeliveryState::Held];

    pub const fn code(self) -> &'static str {
        match self {
            DeliveryState::Pending => "pending",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Dead => "dead",
            DeliveryState::Held => "held",
        }
    }
}

/// One event for one endpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Delivery {
    pub event: EventId,
    pub endpoint: EndpointId,
    /// Only on implicit endpoints: the payment's own address.
    pub url: Option<String>,
    pub state: DeliveryState,
    /// Attempts made, manual ones included: the number of the last transcript.
    pub attempts: u32,
    /// Steps of the ladder taken; manual attempts do not count.
    pub step: u32,
    /// When it is due while `Pending`: the key of its one row in the queue.
    pub due: Option<Timestamp>,
    pub created_at: Timestamp,
    pub delivered_at: Option<Timestamp>,
}

/// One attempt of one delivery; never changed afterwards.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeliveryAttempt {
    pub number: u32,
    pub transcript: Transcript,
}
