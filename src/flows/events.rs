//! Events as they are stored. Most of a payment never changes, so its events keep only what does, and take the rest from
//! its record. What the merchant may change (description, metadata, expiry) is written out before it is changed.
//!
//! A merchant's events sort in the order of their commits, also when the clock was set back: whoever reads them with a
//! cursor sees each of them once.

use serde::{Deserialize, Serialize};

use super::Moment;
use crate::domain::event::{Event, EventObject, EventType};
use crate::domain::ids::{EventId, PaymentId, Scope};
use crate::domain::method::Method;
use crate::domain::payment::{Ending, Payment, PaymentState, Reason};
use crate::domain::time::Timestamp;
use crate::store::tables::{EVENTS, EVENTS_BY_PAYMENT, PAYMENTS};
use crate::store::{Order, Read, SCAN_ROWS_MAX, Span, StoreError, WriteTx};

/// An event; its key holds its id, and the id its time, where that could be the id's.
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
    /// It happened at another time than its id says: an id of that time would have sorted before events that were there.
    At(Timestamp, Box<Stored>),
}

impl Stored {
    /// The payment that it tells of.
    fn payment(&self) -> Option<PaymentId> {
        match self {
            Stored::Payment(id, _) => Some(*id),
            Stored::Whole(object) => object.payment(),
            Stored::At(_, object) => object.payment(),
        }
    }

    /// Whether it takes something from its payment's record.
    fn leans(&self) -> bool {
        match self {
            Stored::Payment(..) => true,
            Stored::Whole(_) => false,
            Stored::At(_, object) => object.leans(),
        }
    }

    fn open(self, tx: &impl Read, scope: Scope) -> Result<EventObject, StoreError> {
        match self {
            Stored::Whole(object) => Ok(object),
            Stored::At(_, object) => object.open(tx, scope),
            Stored::Payment(of, then) => {
                let missing = || StoreError::Corrupt { table: PAYMENTS.name().to_owned(), key: of.to_string() };
                let mut payment = tx.get(&PAYMENTS, &(scope, of))?.ok_or_else(missing)?;
                let method = then.method;
                then.apply(&mut payment);
                Ok(EventObject::Payment(Box::new(payment), method))
            }
        }
    }
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

    fn new(id: EventId, kind: EventType, at: Timestamp, object: Stored) -> Self {
        let object = if at == id.created_at() { object } else { Stored::At(at, Box::new(object)) };
        Self { kind, object }
    }

    /// The payment that it tells of.
    pub fn payment(&self) -> Option<PaymentId> {
        self.object.payment()
    }

    /// The event as it was told.
    pub fn open(self, tx: &impl Read, scope: Scope, id: EventId) -> Result<Event, StoreError> {
        let at = match &self.object {
            Stored::At(at, _) => *at,
            Stored::Payment(..) | Stored::Whole(_) => id.created_at(),
        };
        Ok(Event { id, kind: self.kind, at, object: self.object.open(tx, scope)? })
    }
}

/// The id of an event that is told now: behind all that are there. Writes come one after the other, so ids sort in the
/// order of commits. The clock alone would not do: it may be set back, and a request that began earlier may commit later.
pub(super) fn next_id(tx: &impl Read, scope: Scope, moment: &mut Moment) -> Result<EventId, StoreError> {
    let id = EventId::new(moment.now, moment.random());
    let newest = tx.last_key(&EVENTS, &Span::prefix(&scope))?;
    Ok(newest.map_or(id, |(_, newest)| id.max(newest.successor())))
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
    tx.put(&EVENTS, &(scope, event.id), &StoredEvent::new(event.id, event.kind, event.at, object))?;
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
        if stored.object.leans() {
            let event = stored.open(tx, scope, id)?;
            let whole = StoredEvent::new(id, event.kind, event.at, Stored::Whole(event.object));
            tx.put(&EVENTS, &(scope, id), &whole)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::record::emit;
    use super::*;
    use crate::domain::ids::{EndpointId, MerchantId, Mode};
    use crate::store::{Store, StoreOptions};

    #[test]
    fn events_sort_in_the_order_of_their_commits_and_keep_their_times_when_the_clock_is_set_back() {
        let store = Store::open_memory(StoreOptions::default()).unwrap();
        let scope = Scope { merchant: MerchantId::from_bytes([1; 16]), mode: Mode::Live };
        let other = Scope { mode: Mode::Test, ..scope };
        let tell = |scope, at_ms: i64, random: u8| {
            let moment = Moment::at(Timestamp::from_millis(at_ms), [random; 10]);
            let object = EventObject::Ping(EndpointId::from_bytes([3; 16]));
            let told = store.write_blocking(move |tx| {
                let mut moment = moment;
                let first = emit(tx, scope, &mut moment, EventType::WebhookPing, object.clone())?;
                Ok::<_, super::super::FlowError>([
                    first,
                    emit(tx, scope, &mut moment, EventType::WebhookPing, object.clone())?,
                ])
            });
            told.unwrap()
        };
        // Two requests of one millisecond, a clock that is set back an hour, and one that has caught up.
        let times = [5_000_000, 5_000_000, 1_400_000, 1_400_007, 5_000_001];
        let told: Vec<EventId> =
            times.iter().zip([9, 4, 200, 1, 0]).flat_map(|(at, random)| tell(scope, *at, random)).collect();
        assert!(told.is_sorted_by(|one, next| one < next), "{told:?}");
        assert_eq!(told[8], EventId::new(Timestamp::from_millis(5_000_001), [0; 10]), "the clock's again");
        let at: Vec<i64> = told
            .iter()
            .map(|id| store.read_blocking(|tx| event(tx, scope, *id)).unwrap().unwrap().at.as_millis())
            .collect();
        assert_eq!(at, times.map(|at| [at; 2]).concat());
        // Another merchant, or mode, has an order of his own.
        assert_eq!(tell(other, 7, 0)[0], EventId::new(Timestamp::from_millis(7), [0; 10]));
    }
}
