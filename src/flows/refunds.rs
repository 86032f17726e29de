//! Refunds: reserved in the commit that accepts them, followed until the channel's word is known, never closed by time.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::cases::{self, About, Difference, case, unexpected};
use super::effect::{Effect, Lane, schedule, unschedule};
use super::record::{self, count, day_of, emit, refund_state_key, save_payment, save_refund, sum_minor};
use super::timeline::tell;
use super::{FlowError, Moment, Refusal, approvals, books, redirects};
use crate::channels::Observation;
use crate::channels::errors::trouble_of;
use crate::domain::case::{Case, CaseKind, CaseState};
use crate::domain::event::{Actor, EventObject, EventType, Happening};
use crate::domain::fee::fee_return;
use crate::domain::follow::{self, RefundHeard, RefundStep};
use crate::domain::ids::{AccountId, Mode, PaymentId, RefundId, Scope};
use crate::domain::money::Money;
use crate::domain::payment::{Attempt, AttemptState, Payment, PaymentState, REFUNDS_PER_PAYMENT_MAX};
use crate::domain::redirect::Redirect;
use crate::domain::refund::{Refund, RefundEvent, RefundSource, RefundState};
use crate::domain::time::{Duration, Timestamp};
use crate::ledger::rules::{self, GivenBack, Refunding};
use crate::store::tables::{ACCOUNTS, CASES, MERCHANTS, REFUND_BY_NUMBER, REFUNDS, REFUNDS_BY_STATE};
use crate::store::{Read, Span, StoreError, WriteTx};

/// What the shop or a person asks for.
#[derive(Clone, Debug)]
pub struct NewRefund {
    /// `None`: all that is left.
    pub amount: Option<Money>,
    /// The shop's own number.
    pub refund_no: Option<String>,
    pub reason: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub fingerprint: [u8; 16],
}

#[derive(Clone, Debug)]
pub enum Requested {
    New(Refund),
    /// The same refund number with the same content was asked for before.
    Existing(Refund),
}

impl Requested {
    pub fn refund(&self) -> &Refund {
        match self {
            Requested::New(refund) | Requested::Existing(refund) => refund,
        }
    }
}

/// Accepts a refund that Coffer itself asks for, whenever that is; see [`request_within`].
pub fn request(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    id: PaymentId,
    new: &NewRefund,
    by: Actor,
    moment: &mut Moment,
) -> Result<Requested, FlowError> {
    accept(tx, scope, id, new, by, &|_| None, moment)
}

/// Accepts a refund that one person or a key asks for, if it takes no second person. `window_of` says how long after a
/// payment the channel of an account gives money back; what is not known is left to the channel.
pub fn request_within(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    id: PaymentId,
    new: &NewRefund,
    by: Actor,
    window_of: &dyn Fn(AccountId) -> Option<Duration>,
    moment: &mut Moment,
) -> Result<Requested, FlowError> {
    let known = match &new.refund_no {
        Some(number) => tx.contains(&REFUND_BY_NUMBER, &(scope, number.clone()))?,
        None => false,
    };
    let one_asks = match by {
        Actor::Api(_) | Actor::User(_) => true,
        Actor::Customer | Actor::System => false,
    };
    if one_asks && !known {
        let payment = record::payment(tx, scope, id)?;
        let (_, amount) = acceptable(tx, scope, &payment, new, window_of, moment.now)?;
        if let Some(over) = approvals::limit_passed(tx, scope, &payment, amount)? {
            return Err(Refusal::ApprovalNeeded { over }.into());
        }
    }
    accept(tx, scope, id, new, by, window_of, moment)
}

/// Accepts a refund: reserves the amount, books it as in transit, and queues its sending.
pub(super) fn accept(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    id: PaymentId,
    new: &NewRefund,
    by: Actor,
    window_of: &dyn Fn(AccountId) -> Option<Duration>,
    moment: &mut Moment,
) -> Result<Requested, FlowError> {
    let mut payment = record::payment(tx, scope, id)?;
    if let Some(number) = &new.refund_no
        && let Some(known) = tx.get(&REFUND_BY_NUMBER, &(scope, number.clone()))?
    {
        let existing = refund(tx, scope, known)?;
        return if existing.fingerprint == new.fingerprint && existing.payment == id {
            Ok(Requested::Existing(existing))
        } else {
            Err(Refusal::RefundIdReused { refund: known }.into())
        };
    }
    let (attempt, amount) = acceptable(tx, scope, &payment, new, window_of, moment.now)?;
    let position = books::merchant_position(tx, scope, amount.currency())?;
    let refund_id = RefundId::new(moment.now, moment.random());
    let fact = Refunding { merchant: scope.merchant, payment: id, attempt: attempt.id, refund: refund_id, amount };
    let (entry, legs) = rules::refund_accepted(&fact, &position, moment.now)?;
    books::post(tx, scope, entry)?;
    payment.refunding_minor = payment
        .refunding_minor
        .checked_add(amount.minor())
        .ok_or_else(|| FlowError::Books("the sum of refunds is out of range".to_owned()))?;
    payment.version += 1;
    let refund =
        begin(tx, scope, &mut payment, &attempt, refund_id, amount, RefundSource::Merchant(legs), new, moment)?;
    if let Some(number) = &new.refund_no {
        tx.put(&REFUND_BY_NUMBER, &(scope, number.clone()), &refund.id)?;
    }
    tell(tx, scope, id, moment.now, Happening::RefundRequested { refund: refund.id, by })?;
    Ok(Requested::New(refund))
}

/// The process that was here before may have sent what is to be sent first: from now on a refusal is no proof that nothing
/// was sent. Called at start.
pub fn perhaps_sent(tx: &mut WriteTx<'_>, now: Timestamp) -> Result<(), StoreError> {
    let mut scopes = Vec::new();
    tx.walk(&MERCHANTS, &Span::all(), |merchant, _| {
        scopes.extend([Mode::Test, Mode::Live].map(|mode| Scope { merchant, mode }));
        Ok::<_, StoreError>(ControlFlow::Continue(()))
    })?;
    let mut rows = Vec::new();
    for scope in scopes {
        for state in [RefundState::Pending, RefundState::Processing] {
            tx.walk(&REFUNDS_BY_STATE, &Span::prefix(&(scope, refund_state_key(state))), |(_, _, id), ()| {
                rows.push((scope, id));
                Ok::<_, StoreError>(ControlFlow::Continue(()))
            })?;
        }
    }
    for row in rows {
        let Some(mut refund) = tx.get(&REFUNDS, &row)? else { continue };
        match refund.step {
            RefundStep::Send if refund.state == RefundState::Pending && refund.queries == 0 => {
                refund.queries = 1;
                tx.put(&REFUNDS, &row, &refund)?;
            }
            RefundStep::Redirect => redirects::perhaps_sent(tx, row.0, refund, now)?,
            RefundStep::Send | RefundStep::Ask | RefundStep::AskRefused | RefundStep::AskRedirected => {}
        }
    }
    Ok(())
}

/// Whether the payment has so much left to give back, and the channel would; answers the attempt that was paid and the
/// amount.
pub(super) fn acceptable(
    tx: &impl Read,
    scope: Scope,
    payment: &Payment,
    new: &NewRefund,
    window_of: &dyn Fn(AccountId) -> Option<Duration>,
    now: Timestamp,
) -> Result<(Attempt, Money), FlowError> {
    if payment.state != PaymentState::Paid {
        return Err(Refusal::PaymentNotPaid { state: payment.state }.into());
    }
    let left = payment.refundable();
    let amount = new.amount.unwrap_or(left);
    if amount.currency() != left.currency() {
        return Err(Refusal::CurrencyMismatch { expected: left.currency() }.into());
    }
    if left.is_zero() {
        return Err(Refusal::RefundNothingLeft.into());
    }
    if amount.is_zero() || amount.minor() > left.minor() {
        return Err(Refusal::RefundTooLarge { left }.into());
    }
    if payment.refunds.len() >= REFUNDS_PER_PAYMENT_MAX {
        return Err(Refusal::TooManyRefunds.into());
    }
    let attempt = paid_attempt(tx, scope, payment)?;
    let until = payment.paid_at.zip(window_of(attempt.account)).map(|(paid, window)| paid.plus(window));
    if let Some(until) = until.filter(|until| *until < now) {
        return Err(Refusal::RefundWindowOver { until }.into());
    }
    Ok((attempt, amount))
}

fn paid_attempt(tx: &impl Read, scope: Scope, payment: &Payment) -> Result<Attempt, FlowError> {
    let current = payment.current.ok_or_else(|| FlowError::Books("a paid payment has no attempt".to_owned()))?;
    let attempt = record::attempt(tx, scope, current)?;
    if attempt.state == AttemptState::Paid {
        Ok(attempt)
    } else {
        Err(FlowError::Books("a paid payment's attempt is not paid".to_owned()))
    }
}

#[expect(clippy::too_many_arguments, reason = "one record, and every argument is another field")]
fn begin(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    payment: &mut Payment,
    attempt: &Attempt,
    id: RefundId,
    amount: Money,
    source: RefundSource,
    new: &NewRefund,
    moment: &mut Moment,
) -> Result<Refund, FlowError> {
    let refund = Refund {
        id,
        payment: payment.id,
        attempt: attempt.id,
        account: attempt.account,
        refund_no: new.refund_no.clone(),
        fingerprint: new.fingerprint,
        amount,
        reason: new.reason.clone(),
        state: RefundState::Pending,
        failure: None,
        source,
        fee_returned_minor: 0,
        metadata: new.metadata.clone(),
        created_at: moment.now,
        finished_at: None,
        channel_refund_id: None,
        step: RefundStep::Send,
        queries: 0,
        follow_up: Some(moment.now),
        version: 1,
    };
    payment.refunds.push(id);
    schedule(tx, Lane::account(attempt.account), moment.now, Effect::FollowRefund(scope, id))?;
    save_refund(tx, scope, None, &refund)?;
    save_payment(tx, scope, Some(payment.state), payment)?;
    emit(tx, scope, moment, EventType::RefundCreated, EventObject::Refund(Box::new(refund.clone())))?;
    Ok(refund)
}

/// The merchant's policy for late money: back to the customer, all of it.
pub(super) fn give_back_late(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    payment: &Payment,
    moment: &mut Moment,
) -> Result<(), FlowError> {
    let new = NewRefund {
        amount: None,
        refund_no: None,
        reason: Some("paid after the payment had ended".to_owned()),
        metadata: BTreeMap::new(),
        fingerprint: [0; 16],
    };
    let requested = request(tx, scope, payment.id, &new, Actor::System, moment)?;
    debug_assert!(matches!(requested, Requested::New(_)), "without a number every refund is new");
    Ok(())
}

/// Gives back money that was never the merchant's: all that waits in the suspense of its open case.
pub(super) fn give_back_suspense(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    payment: &mut Payment,
    attempt: &Attempt,
    mut case: Case,
    (by, why): (Actor, &str),
    moment: &mut Moment,
) -> Result<Case, FlowError> {
    if case.state != CaseState::Open || case.suspense_minor == 0 {
        return Ok(case);
    }
    let id = RefundId::new(moment.now, moment.random());
    let amount = Money::new(case.suspense_minor, case.seen.currency());
    let new = NewRefund {
        amount: Some(amount),
        refund_no: None,
        reason: Some(why.to_owned()),
        metadata: BTreeMap::new(),
        fingerprint: [0; 16],
    };
    payment.version += 1;
    let refund = begin(tx, scope, payment, attempt, id, amount, RefundSource::Suspense(case.id), &new, moment)?;
    case.state = CaseState::Refunding(refund.id);
    tx.put(&CASES, &(scope, case.id), &case)?;
    tell(tx, scope, payment.id, moment.now, Happening::RefundRequested { refund: refund.id, by })?;
    Ok(case)
}

pub fn refund(tx: &impl Read, scope: Scope, id: RefundId) -> Result<Refund, FlowError> {
    tx.get(&REFUNDS, &(scope, id))?.ok_or(FlowError::Refused(Refusal::RefundNotFound))
}

fn heard(refund: &Refund, observation: &Observation, answered: bool) -> RefundHeard {
    match observation {
        Observation::RefundProcessing { .. } => RefundHeard::Processing,
        // A success over another amount is not the success of this refund: it stays unknown, with a case.
        Observation::RefundSucceeded { amount, .. } if *amount == refund.amount => RefundHeard::Succeeded,
        Observation::RefundFailed { .. } => RefundHeard::Failed,
        Observation::RefundUndeliverable { .. } => RefundHeard::Undeliverable,
        Observation::RefundReturned { amount, .. } if *amount == refund.amount => RefundHeard::Returned,
        // "Refused for good" answers a sending. A refund that was sent before may have arrived all the same.
        Observation::Refused { .. } if answered => match refund.step {
            RefundStep::Send if refund.queries == 0 => RefundHeard::Failed,
            RefundStep::Send | RefundStep::Redirect => RefundHeard::Refused,
            RefundStep::Ask | RefundStep::AskRefused | RefundStep::AskRedirected => RefundHeard::Unknown,
        },
        Observation::NotFound if answered => RefundHeard::NotFound,
        Observation::RefundSucceeded { .. }
        | Observation::RefundReturned { .. }
        | Observation::Refused { .. }
        | Observation::NotFound
        | Observation::Accepted { .. }
        | Observation::NotPaid
        | Observation::Paid(_)
        | Observation::Closed
        | Observation::Declined { .. }
        | Observation::Barred { .. }
        | Observation::CodeLost { .. }
        | Observation::Unknown { .. } => RefundHeard::Unknown,
    }
}

/// What disagrees between the channel's word and the refund.
fn difference(refund: &Refund, observation: &Observation) -> Option<Difference> {
    let (kind, seen, detail) = match observation {
        Observation::RefundSucceeded { amount, .. } | Observation::RefundReturned { amount, .. }
            if *amount != refund.amount =>
        {
            let detail = format!("{}: expected {}, the channel says {amount}", refund.id, refund.amount);
            (CaseKind::WrongAmount, *amount, detail)
        }
        Observation::RefundSucceeded { amount, .. } | Observation::RefundReturned { amount, .. }
            if refund.state == RefundState::Failed =>
        {
            (CaseKind::Contradiction, *amount, format!("{} had failed, the channel now says it succeeded", refund.id))
        }
        Observation::RefundFailed { .. } if matches!(refund.state, RefundState::Succeeded | RefundState::Returned) => {
            let nothing = Money::zero(refund.amount.currency());
            (CaseKind::Contradiction, nothing, format!("{} had succeeded, the channel now says it failed", refund.id))
        }
        Observation::RefundSucceeded { .. }
        | Observation::RefundReturned { .. }
        | Observation::RefundUndeliverable { .. }
        | Observation::RefundFailed { .. }
        | Observation::RefundProcessing { .. }
        | Observation::Accepted { .. }
        | Observation::NotPaid
        | Observation::Paid(_)
        | Observation::Closed
        | Observation::Declined { .. }
        | Observation::NotFound
        | Observation::Refused { .. }
        | Observation::Barred { .. }
        | Observation::CodeLost { .. }
        | Observation::Unknown { .. } => return None,
    };
    Some(Difference { kind, expected: refund.amount, seen, suspense: false, detail, transaction: None })
}

/// Applies what the channel said about a refund: the answer to the step that was `asked`, whose follow-up is over with this
/// commit, or a notification, which leaves the plan of questions as it is unless it tells the end. An answer to another step
/// than the refund is at by now is news like a notification.
pub fn observe(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    id: RefundId,
    observation: &Observation,
    asked: Option<RefundStep>,
    moment: &mut Moment,
) -> Result<(), FlowError> {
    let mut refund = refund(tx, scope, id)?;
    if let Some(fact) = difference(&refund, observation) {
        cases::open(tx, scope, &About::refund(&refund), fact, moment)?;
    }
    if refund.state.is_final() {
        return Ok(());
    }
    let answered = asked == Some(refund.step);
    let redirect = redirects::last(tx, scope, id)?;
    let said = heard(&refund, observation, answered);
    let heard = redirects::believed(&refund, redirect.as_ref(), said, answered, moment.now);
    let (mut event, mut step) = follow::after_refund(refund.step, heard);
    note(tx, scope, &mut refund, observation)?;
    if let Some(redirect) = redirect.clone()
        && (answered || matches!(heard, RefundHeard::Succeeded | RefundHeard::Returned))
        && redirects::keep_outcome(tx, scope, id, redirect, (refund.step, heard), observation, moment.now)?
    {
        (event, step) = (RefundEvent::OutcomeUnknown, RefundStep::Redirect);
    }
    let before = refund.state;
    if let Some(state) = before.next(event) {
        refund.state = state;
        refund.version += 1;
    }
    if answered {
        refund.queries = refund.queries.saturating_add(1);
    }
    let telling = matches!(refund.step, RefundStep::Redirect | RefundStep::AskRedirected);
    if answered || (!telling && matches!(event, RefundEvent::Accepted | RefundEvent::Undeliverable)) {
        refund.step = step;
    }
    // What a message says may be older than what was decided since: the channel is asked.
    let ask_now = !answered && said == RefundHeard::Undeliverable && heard != said && refund.step == RefundStep::Ask;
    let (lane, effect) = (Lane::account(refund.account), Effect::FollowRefund(scope, id));
    if (answered || ask_now || !refund.state.is_followed())
        && let Some(old) = refund.follow_up.take()
    {
        unschedule(tx, lane, old, effect)?;
    }
    match refund.state {
        RefundState::Pending | RefundState::Processing | RefundState::Undeliverable => {
            if answered || ask_now {
                let at = if ask_now { moment.now } else { due(&refund, redirect.as_ref(), moment.now) };
                schedule(tx, lane, at, effect)?;
                refund.follow_up = Some(at);
            }
            save_refund(tx, scope, Some(before), &refund)?;
            if refund.state == RefundState::Undeliverable && before != refund.state {
                undeliverable(tx, scope, refund, moment)?;
            }
            Ok(())
        }
        RefundState::Returned if before == RefundState::Returned => Ok(save_refund(tx, scope, Some(before), &refund)?),
        RefundState::Returned => returned(tx, scope, refund, before, moment),
        RefundState::Succeeded => succeeded(tx, scope, refund, before, moment),
        RefundState::Failed => failed(tx, scope, refund, before, moment),
    }
}

/// When the next step is due. What was perhaps told is asked about when it must have arrived, if not before.
fn due(refund: &Refund, redirect: Option<&Redirect>, now: Timestamp) -> Timestamp {
    let at = follow::refund_due(refund, now);
    match redirect {
        Some(redirect) if refund.step == RefundStep::AskRedirected && now < redirect.settles_at() => {
            at.min(redirect.settles_at())
        }
        Some(_) | None => at,
    }
}

fn undeliverable(tx: &mut WriteTx<'_>, scope: Scope, refund: Refund, moment: &mut Moment) -> Result<(), FlowError> {
    tell(tx, scope, refund.payment, moment.now, Happening::RefundUndeliverable { refund: refund.id })?;
    emit(tx, scope, moment, EventType::RefundUndeliverable, EventObject::Refund(Box::new(refund)))?;
    Ok(())
}

/// The merchant has the money. It is not refunded before the customer has it, so it stays in transit until a person says so.
fn returned(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    mut refund: Refund,
    before: RefundState,
    moment: &mut Moment,
) -> Result<(), FlowError> {
    refund.failure = None;
    let at_channel = books::channel_position(tx, scope, refund.amount.currency(), refund.account)?;
    if let Some(entry) = rules::refund_returned(&fact(scope, &refund), refund.account, &at_channel, moment.now)? {
        books::post(tx, scope, entry)?;
    }
    save_refund(tx, scope, Some(before), &refund)?;
    tell(tx, scope, refund.payment, moment.now, Happening::RefundReturned { refund: refund.id })?;
    emit(tx, scope, moment, EventType::RefundReturned, EventObject::Refund(Box::new(refund)))?;
    Ok(())
}

/// Keeps the channel's number and its reasons.
fn note(tx: &impl Read, scope: Scope, refund: &mut Refund, observation: &Observation) -> Result<(), StoreError> {
    match observation {
        Observation::RefundProcessing { channel_refund_id }
        | Observation::RefundReturned { channel_refund_id, .. }
        | Observation::RefundSucceeded { channel_refund_id, .. } => {
            if channel_refund_id.is_some() {
                refund.channel_refund_id.clone_from(channel_refund_id);
            }
        }
        Observation::RefundUndeliverable { .. }
        | Observation::RefundFailed { .. }
        | Observation::Refused { .. }
        | Observation::Barred { .. }
        | Observation::CodeLost { .. }
        | Observation::Unknown { .. }
        | Observation::Declined { .. } => {
            if let Observation::RefundUndeliverable { channel_refund_id: Some(id), .. } = observation {
                refund.channel_refund_id = Some(id.clone());
            }
            let account = tx.get(&ACCOUNTS, &(scope, refund.account))?;
            refund.failure = trouble_of(account.map(|account| account.kind), observation);
        }
        Observation::Accepted { .. }
        | Observation::NotPaid
        | Observation::Paid(_)
        | Observation::Closed
        | Observation::NotFound => {}
    }
    Ok(())
}

fn fact(scope: Scope, refund: &Refund) -> Refunding {
    Refunding {
        merchant: scope.merchant,
        payment: refund.payment,
        attempt: refund.attempt,
        refund: refund.id,
        amount: refund.amount,
    }
}

pub(super) fn succeeded(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    mut refund: Refund,
    before: RefundState,
    moment: &mut Moment,
) -> Result<(), FlowError> {
    let mut payment = record::payment(tx, scope, refund.payment)?;
    let merchant = record::merchant(tx, scope)?;
    let currency = refund.amount.currency();
    let at_channel = books::channel_position(tx, scope, currency, refund.account)?;
    refund.finished_at = Some(moment.now);
    refund.failure = None;
    match refund.source.clone() {
        RefundSource::Merchant(_) => {
            move_reserved(&mut payment, refund.amount, true)?;
            let money = |minor| Money::new(minor, currency);
            let fee = if merchant.fee_returned_on_refund {
                fee_return(
                    payment.amount,
                    money(payment.fee_minor),
                    money(payment.refunded_minor),
                    money(payment.fee_returned_minor),
                )
                .map_err(|why| FlowError::Books(why.to_string()))?
            } else {
                Money::zero(currency)
            };
            refund.fee_returned_minor = fee.minor();
            payment.fee_returned_minor += fee.minor();
            let position = books::merchant_position(tx, scope, currency)?;
            let back = GivenBack { fee, cost: Money::zero(currency) };
            let entry = rules::refund_succeeded(
                &fact(scope, &refund),
                refund.account,
                &back,
                &position,
                &at_channel,
                moment.now,
            )?;
            books::post(tx, scope, entry)?;
            let method = payment.paid_by.as_ref().map(|by| by.method);
            count(tx, scope, day_of(&merchant, moment.now), method, |day| {
                day.refunded += 1;
                day.refunded_minor = day.refunded_minor.saturating_add(sum_minor(&merchant, refund.amount));
            })?;
        }
        RefundSource::Suspense(id) => {
            let mut case = case(tx, scope, id)?;
            let fact = unexpected(&case, refund.account, refund.amount);
            if !books::post(tx, scope, rules::long_paid_back(&fact, &at_channel, moment.now)?)? {
                return Err(FlowError::Books(format!("the money of {id} had been paid back")));
            }
            case.suspense_minor = 0;
            cases::close(tx, scope, &mut case, CaseState::Refunded(refund.id), moment.now)?;
        }
    }
    finish(tx, scope, &mut payment, refund, before, moment)
}

fn failed(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    mut refund: Refund,
    before: RefundState,
    moment: &mut Moment,
) -> Result<(), FlowError> {
    let mut payment = record::payment(tx, scope, refund.payment)?;
    refund.finished_at = Some(moment.now);
    match refund.source.clone() {
        RefundSource::Merchant(legs) => {
            move_reserved(&mut payment, refund.amount, false)?;
            let position = books::merchant_position(tx, scope, refund.amount.currency())?;
            books::post(tx, scope, rules::refund_failed(&fact(scope, &refund), &legs, &position, moment.now)?)?;
        }
        RefundSource::Suspense(id) => {
            // The money is still there: the case is open again, for a person.
            let mut case = case(tx, scope, id)?;
            case.state = CaseState::Open;
            tx.put(&CASES, &(scope, id), &case)?;
        }
    }
    finish(tx, scope, &mut payment, refund, before, moment)
}

/// Takes an amount out of what is reserved; with `paid_out` it counts as refunded.
fn move_reserved(payment: &mut Payment, amount: Money, paid_out: bool) -> Result<(), FlowError> {
    let wrong = || FlowError::Books("more was refunded than was reserved".to_owned());
    payment.refunding_minor = payment.refunding_minor.checked_sub(amount.minor()).ok_or_else(wrong)?;
    if paid_out {
        payment.refunded_minor = payment.refunded_minor.checked_add(amount.minor()).ok_or_else(wrong)?;
        if payment.refunded_minor > payment.amount.minor() {
            return Err(wrong());
        }
    }
    Ok(())
}

fn finish(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    payment: &mut Payment,
    refund: Refund,
    before: RefundState,
    moment: &mut Moment,
) -> Result<(), FlowError> {
    let succeeded = refund.state == RefundState::Succeeded;
    payment.version += 1;
    save_refund(tx, scope, Some(before), &refund)?;
    save_payment(tx, scope, Some(payment.state), payment)?;
    tell(tx, scope, payment.id, moment.now, Happening::RefundFinished { refund: refund.id, succeeded })?;
    let kind = if succeeded { EventType::RefundSucceeded } else { EventType::RefundFailed };
    emit(tx, scope, moment, kind, EventObject::Refund(Box::new(refund)))?;
    Ok(())
}
