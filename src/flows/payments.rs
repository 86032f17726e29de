//! A payment from its creation to its end without money: create, choose a method, change, cancel, expire.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::effect::{Effect, Lane, schedule, unschedule};
use super::record::{self, count, day_of, emit_payment, save_attempt, save_payment};
use super::timeline::tell;
use super::{FlowError, Moment, Refusal, events};
use crate::domain::event::{Actor, EventType, Happening};
use crate::domain::follow::{COUNTER_MAX, Step};
use crate::domain::ids::{AttemptId, PaymentId, Scope};
use crate::domain::method::{Flow, Method};
use crate::domain::money::Money;
use crate::domain::payment::{
    ATTEMPTS_BY_ITSELF_MAX, ATTEMPTS_PER_PAYMENT_MAX, Attempt, AttemptState, Customer, EXPIRES_IN_MAX, Ending, Payment,
    PaymentEvent, PaymentState, Reason, Route, RouteReason,
};
use crate::domain::time::{Duration, Timestamp};
use crate::store::tables::{PAYMENT_BY_ORDER, PAYMENTS, SHOWN_CODES};
use crate::store::{Read, WriteTx};

/// The time to pay is over for so long that every channel believes it, for [`run_out`].
pub const OVER_SINCE: Duration = Duration::from_minutes(3);

/// What the shop asks for, already checked.
#[derive(Clone, Debug)]
pub struct NewPayment {
    pub order_id: String,
    pub amount: Money,
    pub description: String,
    pub method: Option<Method>,
    pub expires_in: Duration,
    pub return_url: Option<String>,
    pub cancel_url: Option<String>,
    pub callback_url: Option<String>,
    pub customer: Customer,
    /// The digits of the code that the customer showed (付款码), exactly for the methods of that flow.
    pub auth_code: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// SHA-256 of the content, cut to 16 bytes.
    pub fingerprint: [u8; 16],
}

#[derive(Clone, Debug)]
pub enum Created {
    New(Payment),
    /// The same order with the same content was created before.
    Existing(Payment),
}

impl Created {
    pub fn payment(&self) -> &Payment {
        match self {
            Created::New(payment) | Created::Existing(payment) => payment,
        }
    }
}

/// Books the order. `route` leads to the channel account for `new.method`, if one offers it; an order that exists already
/// needs none.
pub fn create(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    new: &NewPayment,
    route: Option<Route>,
    moment: &mut Moment,
) -> Result<Created, FlowError> {
    let order = (scope, new.order_id.clone());
    if let Some(id) = tx.get(&PAYMENT_BY_ORDER, &order)? {
        let existing = record::payment(tx, scope, id)?;
        return if existing.fingerprint == new.fingerprint {
            Ok(Created::Existing(existing))
        } else {
            Err(Refusal::OrderIdReused { payment: id }.into())
        };
    }
    if new.method.is_some() != route.is_some() {
        return Err(Refusal::MethodUnavailable.into());
    }
    let merchant = record::merchant(tx, scope)?;
    let mut payment = Payment {
        id: PaymentId::new(moment.now, moment.random()),
        order_id: new.order_id.clone(),
        fingerprint: new.fingerprint,
        amount: new.amount,
        description: new.description.clone(),
        state: PaymentState::Open,
        reason: None,
        created_at: moment.now,
        expires_at: moment.now.plus(new.expires_in),
        paid_at: None,
        late: false,
        method: new.method,
        attempts: Vec::new(),
        current: None,
        refunds: Vec::new(),
        refunded_minor: 0,
        refunding_minor: 0,
        fee_minor: 0,
        fee_returned_minor: 0,
        return_url: new.return_url.clone(),
        cancel_url: new.cancel_url.clone(),
        callback_url: new.callback_url.clone(),
        customer: new.customer.clone(),
        metadata: new.metadata.clone(),
        version: 1,
        ending: None,
        paid_by: None,
    };
    tx.put(&PAYMENT_BY_ORDER, &order, &payment.id)?;
    schedule(tx, Lane::OWN, payment.expires_at, Effect::Expire(scope, payment.id))?;
    count(tx, scope, day_of(&merchant, moment.now), None, |day| day.created += 1)?;
    save_payment(tx, scope, None, &payment)?;
    emit_payment(tx, scope, moment, EventType::PaymentCreated, &payment, None)?;
    if let (Some(method), Some(route)) = (new.method, route) {
        let attempt = start_attempt(tx, scope, &mut payment, method, route, moment)?;
        if let Some(code) = &new.auth_code {
            tx.put(&SHOWN_CODES, &(scope, attempt.id), code)?;
        }
    }
    Ok(Created::New(payment))
}

/// Who chose a way to pay, as far as the way asks for it.
#[derive(Clone, Default)]
pub struct Chooser {
    /// Where the customer's browser is seen to be.
    pub ip: Option<IpAddr>,
    /// Who a wallet said that the customer is: told to the channel with this attempt and kept no longer.
    pub openid: Option<String>,
}

/// Starts an attempt with a method, or answers the live one that has it already. Another live attempt is closed: the
/// customer changed the wallet.
pub fn choose_method(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    id: PaymentId,
    method: Method,
    route: Route,
    moment: &mut Moment,
) -> Result<Attempt, FlowError> {
    choose_method_as(tx, scope, id, method, route, &Chooser::default(), moment)
}

/// The same for somebody who is known. A name in the wallet always starts an attempt of its own: the live one may be
/// another person's.
pub fn choose_method_as(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    id: PaymentId,
    method: Method,
    route: Route,
    chooser: &Chooser,
    moment: &mut Moment,
) -> Result<Attempt, FlowError> {
    let mut payment = record::payment(tx, scope, id)?;
    if payment.state.is_final() || payment.ending.is_some() || payment.expires_at <= moment.now {
        return Err(Refusal::PaymentEnded { state: payment.state }.into());
    }
    if payment.method.is_some_and(|fixed| fixed != method) {
        return Err(Refusal::MethodUnavailable.into());
    }
    if let Some(current) = payment.current {
        let attempt = record::attempt(tx, scope, current)?;
        let opens = method.opens_for().is_none_or(|life| moment.now < attempt.created_at.plus(life));
        let same = attempt.method == method && chooser.openid.is_none() && opens;
        if same && attempt.state.is_live() && attempt.step.goes_on() {
            return Ok(attempt);
        }
    }
    if let Some(ip) = chooser.ip {
        payment.customer.ip = Some(ip);
    }
    let attempt = start_attempt(tx, scope, &mut payment, method, route, moment)?;
    if let Some(openid) = chooser.openid.as_ref().filter(|_| method.flow() == Flow::JsApi) {
        tx.put(&SHOWN_CODES, &(scope, attempt.id), openid)?;
    }
    Ok(attempt)
}

fn start_attempt(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    payment: &mut Payment,
    method: Method,
    route: Route,
    moment: &mut Moment,
) -> Result<Attempt, FlowError> {
    if payment.attempts.len() >= ATTEMPTS_PER_PAYMENT_MAX {
        return Err(Refusal::TooManyAttempts.into());
    }
    let before = payment.state;
    payment.state = before.next(PaymentEvent::Started).map_err(|why| Refusal::PaymentEnded { state: why.from })?;
    close_live_attempts(tx, scope, payment, None, moment.now)?;
    let expires_at = match method.flow() {
        Flow::BarCode => payment.expires_at.min(moment.now.plus(COUNTER_MAX)),
        Flow::QrCode | Flow::Redirect | Flow::App | Flow::JsApi => payment.expires_at,
    };
    let attempt = Attempt {
        id: AttemptId::new(moment.now, moment.random()),
        payment: payment.id,
        method,
        account: route.account,
        amount: payment.amount,
        state: AttemptState::Created,
        created_at: moment.now,
        expires_at,
        next_action: None,
        transaction_id: None,
        paid_at: None,
        ended_at: None,
        queries: 0,
        follow_up: Some(moment.now),
        step: Step::Create,
        trouble: None,
    };
    payment.attempts.push(attempt.id);
    payment.current = Some(attempt.id);
    payment.version += 1;
    schedule(tx, Lane::account(route.account), moment.now, Effect::FollowAttempt(scope, attempt.id))?;
    save_attempt(tx, scope, &attempt)?;
    save_payment(tx, scope, Some(before), payment)?;
    tell(tx, scope, payment.id, moment.now, Happening::AttemptStarted { attempt: attempt.id, method })?;
    match route.why {
        // The attempt itself says where it went.
        RouteReason::Only => {}
        RouteReason::Share { .. }
        | RouteReason::OthersRest { .. }
        | RouteReason::AllRest
        | RouteReason::OtherBarred
        | RouteReason::CodeLost => {
            let routed = Happening::Routed { attempt: attempt.id, account: route.account, why: route.why };
            tell(tx, scope, payment.id, moment.now, routed)?;
        }
    }
    if before != payment.state {
        emit_payment(tx, scope, moment, EventType::PaymentProcessing, payment, Some(&attempt))?;
    }
    Ok(attempt)
}

/// Whether Coffer may start another attempt in the place of this one, without anybody's choice.
pub(super) fn may_start_by_itself(
    tx: &impl Read,
    scope: Scope,
    payment: &Payment,
    attempt: &Attempt,
    now: Timestamp,
) -> Result<bool, FlowError> {
    let over = payment.state.is_final() || payment.ending.is_some() || payment.expires_at <= now;
    if over || payment.current != Some(attempt.id) || payment.attempts.len() >= ATTEMPTS_PER_PAYMENT_MAX {
        return Ok(false);
    }
    let mut alike = 0;
    for id in &payment.attempts {
        alike += usize::from(record::attempt(tx, scope, *id)?.method == attempt.method);
    }
    Ok(alike < ATTEMPTS_BY_ITSELF_MAX)
}

/// Starts another attempt by the same method, with what the customer `brought` for the first.
pub(super) fn start_again(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    payment: &mut Payment,
    attempt: &Attempt,
    route: Route,
    brought: Option<String>,
    moment: &mut Moment,
) -> Result<(), FlowError> {
    let again = start_attempt(tx, scope, payment, attempt.method, route, moment)?;
    if let Some(brought) = brought {
        tx.put(&SHOWN_CODES, &(scope, again.id), &brought)?;
    }
    Ok(())
}

/// Moves an attempt's one row in the queue, and saves the attempt.
pub(super) fn reschedule(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    attempt: &mut Attempt,
    step: Step,
    at: Option<Timestamp>,
) -> Result<(), FlowError> {
    let lane = Lane::account(attempt.account);
    let effect = Effect::FollowAttempt(scope, attempt.id);
    if let Some(old) = attempt.follow_up {
        unschedule(tx, lane, old, effect)?;
    }
    if let Some(at) = at {
        schedule(tx, lane, at, effect)?;
    }
    attempt.follow_up = at;
    attempt.step = step;
    save_attempt(tx, scope, attempt)?;
    Ok(())
}

/// Every attempt that a channel may still take money for, except one, is closed: query, close, query. Answers how many.
pub(super) fn close_live_attempts(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    payment: &Payment,
    except: Option<AttemptId>,
    now: Timestamp,
) -> Result<usize, FlowError> {
    let mut live = 0;
    for id in &payment.attempts {
        let mut attempt = record::attempt(tx, scope, *id)?;
        if !attempt.state.is_live() || Some(*id) == except {
            continue;
        }
        live += 1;
        if attempt.step.goes_on() {
            attempt.queries = 0;
            reschedule(tx, scope, &mut attempt, Step::AskBeforeClose, Some(now))?;
        }
    }
    Ok(live)
}

/// Ends a payment without money. At once when no channel can take money for it any more; otherwise when the channel has
/// confirmed that. Answers the payment as it stands.
pub fn end(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    id: PaymentId,
    ending: Ending,
    by: Actor,
    moment: &mut Moment,
) -> Result<Payment, FlowError> {
    let mut payment = record::payment(tx, scope, id)?;
    if payment.state.is_final() {
        return match (payment.state, ending) {
            // Asked twice is asked once.
            (PaymentState::Canceled, Ending::CancelByMerchant | Ending::CancelByCustomer)
            | (PaymentState::Expired, Ending::Expire)
            | (PaymentState::Failed, Ending::Fail) => Ok(payment),
            (state, _) => Err(Refusal::PaymentEnded { state }.into()),
        };
    }
    if payment.ending.is_none() {
        payment.ending = Some(ending);
        payment.version += 1;
        save_payment(tx, scope, Some(payment.state), &payment)?;
        if by != Actor::System {
            tell(tx, scope, id, moment.now, Happening::EndRequested { by, ending })?;
        }
    }
    if close_live_attempts(tx, scope, &payment, None, moment.now)? == 0 {
        conclude(tx, scope, &mut payment, moment)?;
    }
    Ok(payment)
}

/// Carries out the end that was asked for. The caller has seen that no attempt is live.
pub(super) fn conclude(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    payment: &mut Payment,
    moment: &mut Moment,
) -> Result<(), FlowError> {
    let Some(ending) = payment.ending else { return Ok(()) };
    let (event, reason) = ending.outcome();
    finish(tx, scope, payment, event, reason, moment)
}

pub(super) fn finish(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    payment: &mut Payment,
    event: PaymentEvent,
    reason: Reason,
    moment: &mut Moment,
) -> Result<(), FlowError> {
    let before = payment.state;
    payment.state = before.next(event).map_err(|why| Refusal::PaymentEnded { state: why.from })?;
    payment.reason = Some(reason);
    payment.version += 1;
    unschedule(tx, Lane::OWN, payment.expires_at, Effect::Expire(scope, payment.id))?;
    let merchant = record::merchant(tx, scope)?;
    count(tx, scope, day_of(&merchant, moment.now), None, |day| day.ended += 1)?;
    save_payment(tx, scope, Some(before), payment)?;
    tell(tx, scope, payment.id, moment.now, Happening::Ended { reason })?;
    let kind = match payment.state {
        PaymentState::Expired => EventType::PaymentExpired,
        PaymentState::Canceled => EventType::PaymentCanceled,
        PaymentState::Failed => EventType::PaymentFailed,
        PaymentState::Open | PaymentState::Processing | PaymentState::Paid => {
            return Err(FlowError::Books("an end without money led to another state".to_owned()));
        }
    };
    emit_payment(tx, scope, moment, kind, payment, None)?;
    Ok(())
}

/// The payment's time is over. The clock only asks; the channel ends attempts.
pub fn expire(tx: &mut WriteTx<'_>, scope: Scope, id: PaymentId, moment: &mut Moment) -> Result<(), FlowError> {
    let payment = record::payment(tx, scope, id)?;
    if payment.state.is_final() {
        return Ok(());
    }
    if moment.now < payment.expires_at {
        // It was moved while the runner had its old row, which may have been the new one too.
        return Ok(schedule(tx, Lane::OWN, payment.expires_at, Effect::Expire(scope, id))?);
    }
    unschedule(tx, Lane::OWN, payment.expires_at, Effect::Expire(scope, id))?;
    end(tx, scope, id, Ending::Expire, Actor::System, moment).map(drop)
}

/// Fields of an open payment that the shop may change.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    pub description: Option<String>,
    pub metadata: Option<BTreeMap<String, String>>,
    /// From now.
    pub expires_in: Option<Duration>,
}

pub fn patch(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    id: PaymentId,
    patch: &Patch,
    by: Actor,
    moment: &mut Moment,
) -> Result<Payment, FlowError> {
    let mut payment = record::payment(tx, scope, id)?;
    if payment.state.is_final() || payment.ending.is_some() {
        return Err(Refusal::PaymentEnded { state: payment.state }.into());
    }
    let mut fields = Vec::new();
    if let Some(description) = &patch.description {
        payment.description.clone_from(description);
        fields.push("description".to_owned());
    }
    if let Some(metadata) = &patch.metadata {
        payment.metadata.clone_from(metadata);
        fields.push("metadata".to_owned());
    }
    if let Some(expires_in) = patch.expires_in {
        let expires_at = moment.now.plus(expires_in);
        if expires_at > payment.created_at.plus(EXPIRES_IN_MAX) {
            return Err(Refusal::ExpiryOutOfRange.into());
        }
        unschedule(tx, Lane::OWN, payment.expires_at, Effect::Expire(scope, id))?;
        schedule(tx, Lane::OWN, expires_at, Effect::Expire(scope, id))?;
        payment.expires_at = expires_at;
        fields.push("expires_at".to_owned());
    }
    if fields.is_empty() {
        return Ok(payment);
    }
    payment.version += 1;
    events::keep(tx, scope, id)?;
    save_payment(tx, scope, Some(payment.state), &payment)?;
    tell(tx, scope, id, moment.now, Happening::Changed { by, fields })?;
    Ok(payment)
}

/// Lets an attempt's time be over since `ago`, as if it had passed: for test mode, where nobody waits for it and some
/// channels end an order with its time alone. Only the attempt is changed; what that means, the channel says.
pub fn run_out(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    id: AttemptId,
    ago: Duration,
    moment: &Moment,
) -> Result<(), FlowError> {
    let mut attempt = record::attempt(tx, scope, id)?;
    if attempt.state.is_live() {
        attempt.expires_at = attempt.expires_at.min(moment.now.minus(ago));
        save_attempt(tx, scope, &attempt)?;
    }
    Ok(())
}

/// Asks the channel about every live attempt now, as the shop's `sync` wants.
pub fn ask_now(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    id: PaymentId,
    moment: &mut Moment,
) -> Result<Vec<AttemptId>, FlowError> {
    let Some(payment) = tx.get(&PAYMENTS, &(scope, id))? else { return Err(Refusal::PaymentNotFound.into()) };
    let mut asked = Vec::new();
    for id in &payment.attempts {
        let mut attempt = record::attempt(tx, scope, *id)?;
        if attempt.state == AttemptState::Paid {
            continue;
        }
        let step = attempt.step;
        reschedule(tx, scope, &mut attempt, step, Some(moment.now))?;
        asked.push(*id);
    }
    Ok(asked)
}
