//! Rows that must agree with each other: every index leads to its record and has no row too many, and whatever is still to
//! be done stands in the queue (I11), because what is not in the queue is forgotten.

use super::{Finding, Tally, Verified, count, next, wrong};
use crate::domain::case::CaseState;
use crate::domain::endpoint::{Delivery, DeliveryState};
use crate::domain::event::EventType;
use crate::domain::follow::Step;
use crate::domain::ids::Scope;
use crate::domain::payment::{Payment, PaymentState};
use crate::domain::refund::RefundState;
use crate::domain::time::Timestamp;
use crate::flows::effect::{Effect, Lane};
use crate::flows::record::{position, state_key};
use crate::store::tables::{
    ACCOUNT_SCOPES, ACCOUNTS, ATTEMPTS, CASE_BY_CAUSE, CASES, CASES_OPEN, DELIVERIES, DELIVERIES_BY_ENDPOINT, DUE,
    EVENTS, EVENTS_BY_PAYMENT, NONCES, NONCES_BY_EXPIRY, PAYMENT_BY_ORDER, PAYMENTS, PAYMENTS_BY_STATE,
    REFUND_BY_NUMBER, REFUNDS, REFUNDS_BY_STATE, SESSIONS, SESSIONS_BY_USER, USER_BY_LOGIN, USERS,
};
use crate::store::{Key, Read, Record, Span, Table};

/// The rows of one merchant and mode.
pub(super) fn verify(tx: &impl Read, scope: Scope, found: &mut Verified, tally: &mut Tally<'_>) -> Result<(), Finding> {
    payments(tx, scope, found, tally)?;
    attempts(tx, scope, tally)?;
    refunds(tx, scope, found, tally)?;
    cases(tx, scope, tally)?;
    events(tx, scope, tally)?;
    deliveries(tx, scope, found, tally)
}

/// The rows that belong to no merchant, or to any.
pub(super) fn verify_shared(tx: &impl Read, tally: &mut Tally<'_>) -> Result<(), Finding> {
    tx.walk(&ACCOUNTS, &Span::all(), |(scope, id), _| {
        tally.row();
        if tx.get(&ACCOUNT_SCOPES, &id)? == Some(scope) { next() } else { lost(&ACCOUNT_SCOPES, id) }
    })?;
    tx.walk(&USERS, &Span::all(), |id, user| {
        tally.row();
        let login = user.login.as_str().to_owned();
        if tx.get(&USER_BY_LOGIN, &login)? == Some(id) { next() } else { lost(&USER_BY_LOGIN, id) }
    })?;
    tx.walk(&SESSIONS, &Span::all(), |hash, session| {
        tally.row();
        match tx.contains(&SESSIONS_BY_USER, &(session.user, hash))? {
            true => next(),
            false => lost(&SESSIONS_BY_USER, session.user),
        }
    })?;
    as_many(tx, &ACCOUNT_SCOPES, &ACCOUNTS, &Span::all())?;
    as_many(tx, &USER_BY_LOGIN, &USERS, &Span::all())?;
    as_many(tx, &SESSIONS_BY_USER, &SESSIONS, &Span::all())?;
    as_many(tx, &NONCES_BY_EXPIRY, &NONCES, &Span::all())
}

fn payments(tx: &impl Read, scope: Scope, found: &mut Verified, tally: &mut Tally<'_>) -> Result<(), Finding> {
    tx.walk(&PAYMENTS, &Span::prefix(&scope), |(_, id), payment| {
        tally.row();
        found.payments += 1;
        if !tx.contains(&PAYMENTS_BY_STATE, &(scope, state_key(payment.state), id))? {
            return lost(&PAYMENTS_BY_STATE, id);
        }
        if tx.get(&PAYMENT_BY_ORDER, &(scope, payment.order_id.clone()))? != Some(id) {
            return lost(&PAYMENT_BY_ORDER, id);
        }
        if let Some(missing) = first_missing(tx, &ATTEMPTS, &payment.attempts, |attempt| (scope, attempt))? {
            return wrong(&ATTEMPTS, missing, format!("it is missing, and {id} names it"));
        }
        promised_end(tx, scope, &payment)?;
        next()
    })?;
    as_many(tx, &PAYMENTS_BY_STATE, &PAYMENTS, &Span::prefix(&scope))?;
    as_many(tx, &PAYMENT_BY_ORDER, &PAYMENTS, &Span::prefix(&scope))
}

/// A payment that has not ended will: its expiry waits in the queue, or its attempts are being closed.
fn promised_end(tx: &impl Read, scope: Scope, payment: &Payment) -> Result<(), Finding> {
    match payment.state {
        PaymentState::Open | PaymentState::Processing if payment.ending.is_none() => {
            queued(tx, Lane::OWN, payment.expires_at, Effect::Expire(scope, payment.id), payment.id)
        }
        PaymentState::Open
        | PaymentState::Processing
        | PaymentState::Paid
        | PaymentState::Expired
        | PaymentState::Canceled
        | PaymentState::Failed => Ok(()),
    }
}

fn attempts(tx: &impl Read, scope: Scope, tally: &mut Tally<'_>) -> Result<(), Finding> {
    tx.walk(&ATTEMPTS, &Span::prefix(&scope), |(_, id), attempt| {
        tally.row();
        match tx.get(&PAYMENTS, &(scope, attempt.payment))? {
            Some(payment) if payment.attempts.contains(&id) => {}
            Some(_) | None => return wrong(&ATTEMPTS, id, format!("{} does not know it", attempt.payment)),
        }
        if let Some(at) = attempt.follow_up {
            queued(tx, Lane::account(attempt.account), at, Effect::FollowAttempt(scope, id), id)?;
        } else if attempt.state.is_live() && attempt.step != Step::Hold {
            return wrong(&ATTEMPTS, id, "it may still be paid, and nobody asks the channel about it");
        }
        next()
    })
}

fn refunds(tx: &impl Read, scope: Scope, found: &mut Verified, tally: &mut Tally<'_>) -> Result<(), Finding> {
    let mut numbered = 0;
    tx.walk(&REFUNDS, &Span::prefix(&scope), |(_, id), refund| {
        tally.row();
        found.refunds += 1;
        if !tx.contains(&REFUNDS_BY_STATE, &(scope, position(&RefundState::ALL, &refund.state), id))? {
            return lost(&REFUNDS_BY_STATE, id);
        }
        if let Some(number) = refund.refund_no {
            numbered += 1;
            if tx.get(&REFUND_BY_NUMBER, &(scope, number))? != Some(id) {
                return lost(&REFUND_BY_NUMBER, id);
            }
        }
        match tx.get(&PAYMENTS, &(scope, refund.payment))? {
            Some(payment) if payment.refunds.contains(&id) => {}
            Some(_) | None => return wrong(&REFUNDS, id, format!("{} does not know it", refund.payment)),
        }
        if let Some(at) = refund.follow_up {
            queued(tx, Lane::account(refund.account), at, Effect::FollowRefund(scope, id), id)?;
        } else if !refund.state.is_final() {
            return wrong(&REFUNDS, id, "it has no end yet, and nobody asks the channel about it");
        }
        next()
    })?;
    as_many(tx, &REFUNDS_BY_STATE, &REFUNDS, &Span::prefix(&scope))?;
    exactly(tx, &REFUND_BY_NUMBER, scope, numbered)
}

fn cases(tx: &impl Read, scope: Scope, tally: &mut Tally<'_>) -> Result<(), Finding> {
    let mut open = 0;
    tx.walk(&CASES, &Span::prefix(&scope), |(_, id), case| {
        tally.row();
        let is_open = match case.state {
            CaseState::Open | CaseState::Refunding(_) => true,
            CaseState::Refunded(_) | CaseState::Booked | CaseState::Closed { .. } => false,
        };
        open += u64::from(is_open);
        if tx.contains(&CASES_OPEN, &(scope, id))? == is_open { next() } else { lost(&CASES_OPEN, id) }
    })?;
    exactly(tx, &CASES_OPEN, scope, open)?;
    as_many(tx, &CASE_BY_CAUSE, &CASES, &Span::prefix(&scope))
}

/// I11: what happened was told, or is going to be.
fn events(tx: &impl Read, scope: Scope, tally: &mut Tally<'_>) -> Result<(), Finding> {
    let mut about_payments = 0;
    tx.walk(&EVENTS, &Span::prefix(&scope), |(_, id), event| {
        tally.row();
        if let Some(payment) = event.object.payment() {
            about_payments += 1;
            if !tx.contains(&EVENTS_BY_PAYMENT, &(scope, payment, id))? {
                return lost(&EVENTS_BY_PAYMENT, id);
            }
        }
        next()
    })?;
    exactly(tx, &EVENTS_BY_PAYMENT, scope, about_payments)?;
    tx.walk(&PAYMENTS_BY_STATE, &Span::prefix(&(scope, state_key(PaymentState::Paid))), |(_, _, payment), ()| {
        let mut told = false;
        tx.walk(&EVENTS_BY_PAYMENT, &Span::prefix(&(scope, payment)), |(_, _, id), ()| {
            let event = tx.get(&EVENTS, &(scope, id))?;
            told |= event.is_some_and(|event| matches!(event.kind, EventType::PaymentPaid | EventType::PaymentLate));
            next()
        })?;
        if told { next() } else { wrong(&EVENTS, payment, "it is paid, and no event says so") }
    })
}

fn deliveries(tx: &impl Read, scope: Scope, found: &mut Verified, tally: &mut Tally<'_>) -> Result<(), Finding> {
    tx.walk(&DELIVERIES, &Span::prefix(&scope), |(_, event, endpoint), delivery| {
        tally.row();
        found.deliveries += 1;
        let state = position(&DeliveryState::ALL, &delivery.state);
        if !tx.contains(&DELIVERIES_BY_ENDPOINT, &(scope, endpoint, state, event))? {
            return lost(&DELIVERIES_BY_ENDPOINT, event);
        }
        let Delivery { state, due, .. } = delivery;
        match due {
            Some(at) => queued(tx, Lane::endpoint(endpoint), at, Effect::Deliver(scope, event, endpoint), event)?,
            None if state == DeliveryState::Pending => {
                return wrong(&DELIVERIES, event, format!("it waits for {endpoint}, and nobody sends it"));
            }
            None => {}
        }
        next()
    })?;
    as_many(tx, &DELIVERIES_BY_ENDPOINT, &DELIVERIES, &Span::prefix(&scope))
}

/// What is due stands in the queue.
fn queued(
    tx: &impl Read,
    lane: Lane,
    at: Timestamp,
    effect: Effect,
    row: impl std::fmt::Display,
) -> Result<(), Finding> {
    if tx.contains(&DUE, &(lane, at, effect))? {
        return Ok(());
    }
    wrong(&DUE, row, format!("what is due for it at {at} is not in the queue"))
}

fn lost<T, K, V>(index: &Table<K, V>, row: impl std::fmt::Display) -> Result<T, Finding> {
    wrong(index, row, "the index does not lead to it")
}

/// Every record was found in the index, so as many rows mean that none is too much.
fn as_many<K: Key, V: Record, L: Key, W: Record>(
    tx: &impl Read,
    index: &Table<K, V>,
    records: &Table<L, W>,
    span: &Span,
) -> Result<(), Finding> {
    let (rows, expected) = (count(tx, index, span)?, count(tx, records, span)?);
    if rows == expected {
        return Ok(());
    }
    let detail = format!("the index has {rows} rows, and {} has {expected}", records.name());
    wrong(index, "(all)", detail)
}

fn exactly<K: Key, V: Record>(tx: &impl Read, index: &Table<K, V>, scope: Scope, expected: u64) -> Result<(), Finding> {
    let rows = count(tx, index, &Span::prefix(&scope))?;
    if rows == expected { Ok(()) } else { wrong(index, "(all)", format!("it has {rows} rows instead of {expected}")) }
}

fn first_missing<I: Copy, K: Key, V: Record>(
    tx: &impl Read,
    table: &Table<K, V>,
    ids: &[I],
    key: impl Fn(I) -> K,
) -> Result<Option<I>, Finding> {
    for id in ids {
        if !tx.contains(table, &key(*id))? {
            return Ok(Some(*id));
        }
    }
    Ok(None)
}
