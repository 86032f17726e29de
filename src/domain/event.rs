//! What is told to the merchant (events) and what happened to a payment (its timeline).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::ids::{AccountId, AttemptId, CaseId, EndpointId, EventId, PaymentId, RefundId, UserId};
use super::method::Method;
use super::payment::Payment;
use super::redirect::Destination;
use super::refund::Refund;
use super::time::Timestamp;
use super::trouble::Trouble;

macro_rules! event_types {
    ($($name:ident $code:literal,)*) => {
        /// Types of events; codes are append-only and never renamed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum EventType { $(#[serde(rename = $code)] $name,)* }

        impl EventType {
            pub const ALL: &[EventType] = &[$(EventType::$name,)*];
            pub const fn code(self) -> &'static str {
                match self { $(EventType::$name => $code,)* }
            }
            pub fn parse(code: &str) -> Option<Self> {
                match code { $($code => Some(EventType::$name),)* _ => None }
            }
        }
    };
}

event_types! {
    PaymentCreated "payment.created",
    PaymentProcessing "payment.processing",
    PaymentPaid "payment.paid",
    PaymentFailed "payment.failed",
    PaymentExpired "payment.expired",
    PaymentCanceled "payment.canceled",
    PaymentLate "payment.late",
    RefundCreated "refund.created",
    RefundSucceeded "refund.succeeded",
    RefundFailed "refund.failed",
    WebhookPing "webhook.ping",
    RefundUndeliverable "refund.undeliverable",
    RefundReturned "refund.returned",
}

/// One fact, with the object as it was at that moment: rendered the same on every retry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    pub kind: EventType,
    pub at: Timestamp,
    pub object: EventObject,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventObject {
    /// With the method of the attempt that was under way or paid, where there was one.
    Payment(Box<Payment>, Option<Method>),
    Refund(Box<Refund>),
    Ping(EndpointId),
}

/// One line of a payment's story that its own record does not tell already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    pub at: Timestamp,
    pub what: Happening,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Happening {
    AttemptStarted {
        attempt: AttemptId,
        method: Method,
    },
    /// The channel accepted the order; the customer sees the code or page.
    CodeShown {
        attempt: AttemptId,
    },
    /// We asked, and this is what the channel said, in its own word.
    Asked {
        attempt: AttemptId,
        answer: String,
    },
    /// The channel told us; `verified` is what its signature proves.
    Notified {
        attempt: AttemptId,
        status: String,
    },
    /// A notification that was not believed, and why. It names this payment, and whoever sent it may have made that up.
    NotificationRefused {
        reason: Trouble,
        from: Option<IpAddr>,
    },
    /// Talking to the channel failed; it will be repeated.
    ChannelTrouble {
        attempt: AttemptId,
        detail: Trouble,
    },
    Paid {
        attempt: AttemptId,
        source: PaidSource,
        late: bool,
    },
    AttemptEnded {
        attempt: AttemptId,
        reason: super::payment::Reason,
    },
    EndRequested {
        by: Actor,
        ending: super::payment::Ending,
    },
    Ended {
        reason: super::payment::Reason,
    },
    RefundRequested {
        refund: RefundId,
        by: Actor,
    },
    RefundFinished {
        refund: RefundId,
        succeeded: bool,
    },
    CaseOpened {
        case: CaseId,
    },
    CaseChanged {
        case: CaseId,
    },
    Changed {
        by: Actor,
        fields: Vec<String>,
    },
    /// Why the attempt went to this channel account, where there was more than one.
    Routed {
        attempt: AttemptId,
        account: AccountId,
        why: super::payment::RouteReason,
    },
    /// The channel cannot bring a refund to where it came from.
    RefundUndeliverable {
        refund: RefundId,
    },
    /// A person said where it goes instead.
    RefundRedirected {
        refund: RefundId,
        to: Destination,
        by: Actor,
    },
    /// The channel gave it to the merchant, who pays the customer himself.
    RefundReturned {
        refund: RefundId,
    },
    /// The customer got it outside of the channel, as the note tells.
    RefundPaidOutside {
        refund: RefundId,
        by: Actor,
        note: String,
    },
}

/// How a payment was found out to be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PaidSource {
    Notification,
    /// We asked: the notification was lost, late, or slower than us.
    Query,
    /// A person decided that money which nobody waited for is this payment's.
    Person,
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Actor {
    /// The shop, with one of its keys.
    Api(super::ids::KeyId),
    User(UserId),
    Customer,
    /// Coffer by itself.
    System,
}

/// Ids that an event or timeline line can be looked up by.
impl EventObject {
    pub fn payment(&self) -> Option<PaymentId> {
        match self {
            EventObject::Payment(payment, _) => Some(payment.id),
            EventObject::Refund(refund) => Some(refund.payment),
            EventObject::Ping(_) => None,
        }
    }
}
