//! Events as they are stored. Most of a payment never changes, so its events keep only what does, and take the rest from
//! its record. What the merchant may change (description, metadata, expiry) is written out before it is changed.

use serde::{Deserialize, Serialize};

use crate::domain::event::{Event, EventObject, EventType};
use crate::domain::ids::{EventId, PaymentId, Scope};
use crate::domain::method::Method;
use crate::domain::payment::{Ending, Payment, PaymentState, Reason};
use crate::store::tables::{EVENTS, EVENTS_BY_PAYMENT, PAYMENTS};
use crate::store::{Order, Read, SCAN_ROWS_MAX, Span, StoreError, WriteTx};

/// An event; its key holds its id, and the id its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEvent {
    pub kind: EventType,
    object: Stored,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stored {
    /// The payment as its record has it, but for this.
    Payment(PaymentId, Then),
    /// The object as it was.
    Whole(EventObject),
}

/// What was different about a payment when an event was told. The sequences of a payment only grow, so their lengths tell
/// what they held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Then {
    state: PaymentState,
    reason: Option<Reason>,
    /// It had been paid: when and by what has not changed since.
    paid: bool,
    late: bool,
    attempts: u32,
    /// The place of the current attempt among them.
    current: Option<u32>,
    refunds: u32,
    refunded_minor: u64,
    refunding_minor: u64,
    fee_minor: u64,
    fee_returned_minor: u64,
    version: u32,
    ending: Option<Ending>,
    /// Of the attempt that the event tells of.
    method: Option<Method>,
}

impl Then {
    /// `None` for a payment that cannot be told so.
    fn of(payment: &Payment, method: Option<Method>) -> Option<Self> {
        // Every field is named: whoever adds one decides whether it can change.
        let Payment {
            id: _,
            order_id: _,
            fingerprint: _,
            amount: _,
            description: _,
            state,
            reason,
            created_at: _,
            expires_at: _,
            paid_at,
            late,
            method: _,
            attempts,
            current,
            refunds,
            refunded_minor,
            refunding_minor,
            fee_minor,
            fee_returned_minor,
            return_url: _,
            cancel_url: _,
            callback_url: _,
            customer: _,
            metadata: _,
            version,
            ending,
            paid_by,
        } = payment;
        if paid_at.is_some() != paid_by.is_some() {
            return None;
        }
        let count = |number: usize| u32::try_from(number).ok();
        let current = match current {
            Some(id) => Some(count(attempts.iter().position(|attempt| attempt == id)?)?),
            None => None,
        };
        Some(Self {
            state: *state,
            reason: *reason,
            paid: paid_at.is_some(),
            late: *late,
            attempts: count(attempts.len())?,
            current,
            refunds: count(refunds.len())?,
            refunded_minor: *refunded_minor,
            refunding_minor: *refunding_minor,
            fee_minor: *fee_minor,
            fee_returned_minor: *fee_returned_minor,
            version: *version,
            ending: *ending,
            method,
        })
    }

    /// Turns the payment as it is into what it was.
    fn apply(self, payment: &mut Payment) {
        let place = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        payment.state = self.state;
        payment.reason = self.reason;
        if !self.paid {
            payment.paid_at = None;
            payment.paid_by = None;
        }
        payment.late = self.late;
        payment.attempts.truncate(place(self.attempts));
        payment.current = self.current.and_then(|current| payment.attempts.get(place(current)).copied());
        payment.refunds.truncate(place(self.refunds));
        payment.refunded_minor = self.refunded_minor;
        payment.refunding_minor = self.refunding_minor;
        payment.fee_minor = self.fee_minor;
        payment.fee_returned_minor = self.fee_returned_minor;
        payment.version = self.version;
        payment.ending = self.ending;
    }
}

impl StoredEvent {
    /// Holds the whole object, whatever its payment's record says.
    pub const fn whole(kind: EventType, object: EventObject) -> Self {
        Self { kind, object: Stored::Whole(object) }
    }

    /// The payment that it tells of.
    pub fn payment(&self) -> Option<PaymentId> {
        match &self.object {
            Stored::Payment(id, _) => Some(*id),
            Stored::Whole(object) => object.payment(),
        }
    }

    /// The event as it was told.
    pub fn open(self, tx: &impl Read, scope: Scope, id: EventId) -> Result<Event, StoreError> {
        let object = match self.object {
            Stored::Whole(object) => object,
            Stored::Payment(of, then) => {
                let missing = || StoreError::Corrupt { table: PAYMENTS.name().to_owned(), key: of.to_string() };
                let mut payment = tx.get(&PAYMENTS, &(scope, of))?.ok_or_else(missing)?;
                let method = then.method;
                then.apply(&mut payment);
                EventObject::Payment(Box::new(payment), method)
            }
        };
        Ok(Event { id, kind: self.kind, at: id.created_at(), object })
    }
}

/// Stores an event. The record of a payment that it tells of is stored by the same commit.
pub(super) fn put(tx: &mut WriteTx<'_>, scope: Scope, event: &Event) -> Result<(), StoreError> {
    let stored = match &event.object {
        EventObject::Payment(payment, method) => {
            Then::of(payment, *method).map(|then| Stored::Payment(payment.id, then))
        }
        EventObject::Refund(_) | EventObject::Ping(_) => None,
    };
    let object = stored.unwrap_or_else(|| Stored::Whole(event.object.clone()));
    tx.put(&EVENTS, &(scope, event.id), &StoredEvent { kind: event.kind, object })?;
    match event.object.payment() {
        Some(payment) => tx.put(&EVENTS_BY_PAYMENT, &(scope, payment, event.id), &()),
        None => Ok(()),
    }
}

pub fn event(tx: &impl Read, scope: Scope, id: EventId) -> Result<Option<Event>, StoreError> {
    tx.get(&EVENTS, &(scope, id))?.map(|stored| stored.open(tx, scope, id)).transpose()
}

/// Writes out a payment's events before something of it is changed that they take from its record.
pub(super) fn keep(tx: &mut WriteTx<'_>, scope: Scope, payment: PaymentId) -> Result<(), StoreError> {
    let span = Span::prefix(&(scope, payment));
    for ((_, _, id), ()) in tx.scan(&EVENTS_BY_PAYMENT, &span, Order::Ascending, SCAN_ROWS_MAX)? {
        let Some(stored) = tx.get(&EVENTS, &(scope, id))? else { continue };
        if let Stored::Payment(..) = stored.object {
            let event = stored.open(tx, scope, id)?;
            tx.put(&EVENTS, &(scope, id), &StoredEvent::whole(event.kind, event.object))?;
        }
    }
    Ok(())
}
