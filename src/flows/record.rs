//! Saving what changed, together with everything that has to change with it: indexes, events, day totals.

use super::{FlowError, Moment, deliveries, events};
use crate::domain::case::CaseKind;
use crate::domain::event::{Event, EventObject, EventType};
use crate::domain::ids::{AttemptId, EventId, PaymentId, Scope};
use crate::domain::merchant::Merchant;
use crate::domain::method::Method;
use crate::domain::money::Money;
use crate::domain::payment::{Attempt, Payment, PaymentState};
use crate::domain::refund::{Refund, RefundState};
use crate::domain::time::Timestamp;
use crate::store::tables::{
    ATTEMPTS, DAYS, DayTotals, MERCHANTS, PAYMENTS, PAYMENTS_BY_STATE, REFUNDS, REFUNDS_BY_STATE,
};
use crate::store::{Read, Signal, StoreError, WriteTx};

/// The state's place in `PaymentState::ALL`, as the index keys it.
pub fn state_key(state: PaymentState) -> u8 {
    position(&PaymentState::ALL, &state)
}

/// The state's place in `RefundState::ALL`, as the index keys it.
pub fn refund_state_key(state: RefundState) -> u8 {
    position(&RefundState::ALL, &state)
}

/// The kind's place in `CaseKind::ALL`, as the index keys it.
pub fn case_kind_key(kind: CaseKind) -> u8 {
    position(&CaseKind::ALL, &kind)
}

pub(super) fn position<T: PartialEq>(all: &[T], one: &T) -> u8 {
    let place = all.iter().position(|other| other == one).expect("ALL lists every variant");
    u8::try_from(place).expect("no enum here has 256 variants")
}

/// Writes the payment and keeps its state index. `before` is the state under which it is stored now.
pub fn save_payment(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    before: Option<PaymentState>,
    payment: &Payment,
) -> Result<(), StoreError> {
    if before != Some(payment.state) {
        if let Some(before) = before {
            tx.delete(&PAYMENTS_BY_STATE, &(scope, state_key(before), payment.id))?;
        }
        tx.put(&PAYMENTS_BY_STATE, &(scope, state_key(payment.state), payment.id), &())?;
    }
    tx.put(&PAYMENTS, &(scope, payment.id), payment)?;
    tx.signal(Signal::Payment(payment.id));
    Ok(())
}

pub fn save_attempt(tx: &mut WriteTx<'_>, scope: Scope, attempt: &Attempt) -> Result<(), StoreError> {
    tx.put(&ATTEMPTS, &(scope, attempt.id), attempt)?;
    tx.signal(Signal::Payment(attempt.payment));
    Ok(())
}

/// Writes the refund and keeps its state index.
pub fn save_refund(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    before: Option<RefundState>,
    refund: &Refund,
) -> Result<(), StoreError> {
    if before != Some(refund.state) {
        if let Some(before) = before {
            tx.delete(&REFUNDS_BY_STATE, &(scope, refund_state_key(before), refund.id))?;
        }
        tx.put(&REFUNDS_BY_STATE, &(scope, refund_state_key(refund.state), refund.id), &())?;
    }
    tx.put(&REFUNDS, &(scope, refund.id), refund)?;
    tx.signal(Signal::Payment(refund.payment));
    Ok(())
}

/// Stores an event and queues its callbacks, in the commit of the change that it tells.
pub fn emit(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    moment: &mut Moment,
    kind: EventType,
    object: EventObject,
) -> Result<EventId, FlowError> {
    let event = Event { id: events::next_id(tx, scope, moment)?, kind, at: moment.now, object };
    events::put(tx, scope, &event)?;
    deliveries::fan_out(tx, scope, moment, &event)?;
    Ok(event.id)
}

/// Emits a payment's event with the payment as it is now.
pub fn emit_payment(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    moment: &mut Moment,
    kind: EventType,
    payment: &Payment,
    attempt: Option<&Attempt>,
) -> Result<EventId, FlowError> {
    let object = EventObject::Payment(Box::new(payment.clone()), attempt.map(|attempt| attempt.method));
    emit(tx, scope, moment, kind, object)
}

pub fn merchant(tx: &impl Read, scope: Scope) -> Result<Merchant, FlowError> {
    let merchant = tx.get(&MERCHANTS, &scope.merchant)?;
    merchant.ok_or_else(|| FlowError::Books("the merchant has no record".to_owned()))
}

/// Days since 1970-01-01 in the merchant's zone.
pub fn day_of(merchant: &Merchant, at: Timestamp) -> u32 {
    day_in_zone(&merchant.zone, at)
}

pub fn day_in_zone(zone: &str, at: Timestamp) -> u32 {
    let offset = at.in_zone(zone).offset().seconds();
    let local = at.as_seconds().saturating_add(i64::from(offset));
    u32::try_from(local.div_euclid(86_400)).unwrap_or(0)
}

/// The method's place in the key of a day's totals; 255 when no method is known.
pub fn method_key(method: Option<Method>) -> u8 {
    method.map_or(255, |method| position(Method::ALL, &method))
}

/// What counts in a day's sums: they are in the merchant's currency, and other currencies are counted but not added.
pub fn sum_minor(merchant: &Merchant, amount: Money) -> u64 {
    if amount.currency() == merchant.currency { amount.minor() } else { 0 }
}

/// Counts in the row of a day and method, in the same commit as the change itself.
pub fn count(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    day: u32,
    method: Option<Method>,
    f: impl FnOnce(&mut DayTotals),
) -> Result<(), StoreError> {
    let key = (scope, day, method_key(method));
    let mut totals = tx.get(&DAYS, &key)?.unwrap_or_default();
    f(&mut totals);
    tx.put(&DAYS, &key, &totals)
}

pub fn attempt(tx: &impl Read, scope: Scope, id: AttemptId) -> Result<Attempt, FlowError> {
    let attempt = tx.get(&ATTEMPTS, &(scope, id))?;
    attempt.ok_or_else(|| FlowError::Books(format!("{id} has no record")))
}

pub fn payment(tx: &impl Read, scope: Scope, id: PaymentId) -> Result<Payment, FlowError> {
    tx.get(&PAYMENTS, &(scope, id))?.ok_or(FlowError::Refused(super::Refusal::PaymentNotFound))
}
