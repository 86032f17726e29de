//! Events, the day totals that they add up to, and their deliveries: indexes both ways, and that whatever waits is sent.

use super::days::Days;
use super::{Finding, Run, Snapshots, lost, stray, wrong};
use crate::domain::endpoint::{Delivery, DeliveryState};
use crate::domain::event::EventObject;
use crate::domain::ids::Scope;
use crate::flows::effect::{Effect, Lane};
use crate::flows::events;
use crate::flows::record::position;
use crate::store::Read;
use crate::store::tables::{
    DELIVERIES, DELIVERIES_BY_ENDPOINT, DELIVERY_ATTEMPTS, DUE, ENDPOINTS, ENDPOINTS_FAILING, EVENTS,
    EVENTS_BY_PAYMENT, PAYMENTS,
};

/// Answers how many deliveries there are.
pub(super) fn verify<S: Snapshots>(run: &mut Run<'_, S>) -> Result<u64, Finding> {
    let mut days = Days::begin(run)?;
    run.each(&EVENTS, |tx, (scope, id), event| {
        let payment = event.payment();
        if let Some(payment) = payment
            && !tx.contains(&PAYMENTS, &(scope, payment))?
        {
            return wrong(&EVENTS, id, format!("{payment} does not exist"));
        }
        days.read(tx, scope, &event.open(tx, scope, id)?)?;
        let Some(payment) = payment else { return Ok(()) };
        if tx.contains(&EVENTS_BY_PAYMENT, &(scope, payment, id))? { Ok(()) } else { lost(&EVENTS_BY_PAYMENT, id) }
    })?;
    run.each(&EVENTS_BY_PAYMENT, |tx, (scope, payment, id), ()| match tx.get(&EVENTS, &(scope, id))? {
        Some(event) if event.payment() == Some(payment) => Ok(()),
        Some(_) | None => stray(&EVENTS_BY_PAYMENT, id),
    })?;
    days.finish(run)?;
    let deliveries = run.each(&DELIVERIES, |tx, (scope, event, endpoint), found| {
        if (found.event, found.endpoint) != (event, endpoint) {
            return wrong(&DELIVERIES, event, format!("it holds {} for {}", found.event, found.endpoint));
        }
        delivery(tx, scope, &found)
    })?;
    run.each(&DELIVERIES_BY_ENDPOINT, |tx, (scope, endpoint, state, event), ()| {
        match tx.get(&DELIVERIES, &(scope, event, endpoint))? {
            Some(delivery) if position(&DeliveryState::ALL, &delivery.state) == state => Ok(()),
            Some(_) | None => stray(&DELIVERIES_BY_ENDPOINT, event),
        }
    })?;
    run.each(&ENDPOINTS, |tx, (scope, id), endpoint| {
        match endpoint.is_failing() == tx.contains(&ENDPOINTS_FAILING, &(scope, id))? {
            true => Ok(()),
            false => lost(&ENDPOINTS_FAILING, id),
        }
    })?;
    run.each(&ENDPOINTS_FAILING, |tx, (scope, id), ()| match tx.contains(&ENDPOINTS, &(scope, id))? {
        true => Ok(()),
        false => stray(&ENDPOINTS_FAILING, id),
    })?;
    run.each(&DELIVERY_ATTEMPTS, |tx, (scope, event, endpoint, number), attempt| {
        match tx.get(&DELIVERIES, &(scope, event, endpoint))? {
            Some(delivery) if attempt.number == number && (1..=delivery.attempts).contains(&number) => Ok(()),
            Some(_) | None => wrong(&DELIVERY_ATTEMPTS, event, format!("its delivery made no attempt {number}")),
        }
    })?;
    Ok(deliveries)
}

fn delivery(tx: &impl Read, scope: Scope, delivery: &Delivery) -> Result<(), Finding> {
    let (id, endpoint) = (delivery.event, delivery.endpoint);
    let Some(event) = events::event(tx, scope, id)? else {
        return wrong(&DELIVERIES, id, "this event does not exist");
    };
    let state = position(&DeliveryState::ALL, &delivery.state);
    if !tx.contains(&DELIVERIES_BY_ENDPOINT, &(scope, endpoint, state, id))? {
        return lost(&DELIVERIES_BY_ENDPOINT, id);
    }
    if delivery.attempts > 0 && !tx.contains(&DELIVERY_ATTEMPTS, &(scope, id, endpoint, delivery.attempts))? {
        return wrong(&DELIVERY_ATTEMPTS, id, format!("attempt {} is missing", delivery.attempts));
    }
    let waits = delivery.state == DeliveryState::Pending;
    match (delivery.due, event.object) {
        (Some(_), _) if !waits => wrong(&DELIVERIES, id, format!("it is {}, and still due", delivery.state.code())),
        (Some(at), _) => {
            if !tx.contains(&DUE, &(Lane::endpoint(endpoint), at, Effect::Deliver(scope, id, endpoint)))? {
                return wrong(&DUE, id, format!("what is due for it at {at} is not in the queue"));
            }
            Ok(())
        }
        // A test is sent once and not again.
        (None, EventObject::Ping(_)) => Ok(()),
        (None, EventObject::Payment(..) | EventObject::Refund(_)) if waits => {
            wrong(&DELIVERIES, id, format!("it waits for {endpoint}, and nobody sends it"))
        }
        (None, EventObject::Payment(..) | EventObject::Refund(_)) => Ok(()),
    }
}
