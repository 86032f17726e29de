//! Callbacks to the shop: an event becomes one delivery per endpoint, in the commit of the event; each attempt is one
//! transcript; a dead endpoint is asked rarely and in the end not at all, and what waits for it is held.

use super::effect::{Effect, Lane, schedule, unschedule};
use super::gateway::Gateway;
use super::record::{self, position};
use super::{FlowError, Moment, Refusal, events};
use crate::callbacks::breaker::State;
use crate::callbacks::schedule::{self, Next};
use crate::callbacks::{SigningSecrets, Transcript, Trigger, WebhookSecret};
use crate::crypto::{Place, Sealed};
use crate::domain::endpoint::{Delivery, DeliveryAttempt, DeliveryState, ENDPOINTS_MAX, Endpoint, EndpointState};
use crate::domain::event::{Event, EventObject, EventType};
use crate::domain::ids::{EndpointId, EventId, Scope};
use crate::domain::time::Timestamp;
use crate::env::transport::Limits;
use crate::signals::metrics::CallbackOutcome;
use crate::store::tables::{
    CALLBACK_DEFAULTS, DELIVERIES, DELIVERIES_BY_ENDPOINT, DELIVERY_ATTEMPTS, ENDPOINTS, ENDPOINTS_FAILING, EVENTS,
    IMPLICIT_ENDPOINTS, PAYMENTS,
};
use crate::store::{Key, Order, Read, Span, StoreError, WriteTx};

/// Field under which endpoints' and merchants' callback secrets are sealed.
pub const SECRET_FIELD: &str = "secret";

/// Queues an event for every enabled endpoint that wants it, and for the payment's own address.
pub(super) fn fan_out(tx: &mut WriteTx<'_>, scope: Scope, moment: &Moment, event: &Event) -> Result<(), FlowError> {
    if event.kind == EventType::WebhookPing {
        // A test goes to the endpoint that is tested, and to no other.
        return Ok(());
    }
    for ((_, id), endpoint) in tx.scan(&ENDPOINTS, &Span::prefix(&scope), Order::Ascending, ENDPOINTS_MAX)? {
        let wanted = endpoint.events.is_empty() || endpoint.events.contains(&event.kind);
        if endpoint.state == EndpointState::Enabled && wanted {
            queue(tx, scope, moment, event, id, None)?;
        }
    }
    if let Some(url) = own_address(tx, scope, event)? {
        let id = implicit(tx, scope, moment, &url)?;
        queue(tx, scope, moment, event, id, Some(url))?;
    }
    Ok(())
}

fn own_address(tx: &WriteTx<'_>, scope: Scope, event: &Event) -> Result<Option<String>, StoreError> {
    match &event.object {
        EventObject::Payment(payment, _) => Ok(payment.callback_url.clone()),
        EventObject::Refund(refund) => {
            Ok(tx.get(&PAYMENTS, &(scope, refund.payment))?.and_then(|payment| payment.callback_url))
        }
        EventObject::Ping(_) => Ok(None),
    }
}

/// The endpoint that stands for the host of a payment's own address: its health is the host's, its lane is its own.
fn implicit(tx: &mut WriteTx<'_>, scope: Scope, moment: &Moment, url: &str) -> Result<EndpointId, StoreError> {
    let origin = url::Url::parse(url).map_or_else(|_| url.to_owned(), |url| url.origin().ascii_serialization());
    let mut named = Vec::with_capacity(64);
    (scope, origin.clone()).encode(&mut named);
    let digest = ring::digest::digest(&ring::digest::SHA256, &named);
    let id = EndpointId::from_bytes(digest.as_ref()[..16].try_into().expect("SHA-256 has 32 bytes"));
    if !tx.contains(&IMPLICIT_ENDPOINTS, &(scope, id))? {
        let endpoint = Endpoint::implicit(id, origin, moment.now);
        tx.put(&IMPLICIT_ENDPOINTS, &(scope, id), &endpoint)?;
    }
    Ok(id)
}

/// One delivery, due now.
fn queue(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    moment: &Moment,
    event: &Event,
    endpoint: EndpointId,
    url: Option<String>,
) -> Result<(), StoreError> {
    let delivery = Delivery {
        event: event.id,
        endpoint,
        url,
        state: DeliveryState::Pending,
        attempts: 0,
        step: 0,
        due: Some(moment.now),
        created_at: moment.now,
        delivered_at: None,
    };
    save(tx, scope, None, &delivery)?;
    schedule(tx, Lane::endpoint(endpoint), moment.now, Effect::Deliver(scope, event.id, endpoint))
}

/// Writes the delivery and keeps its state index. `before` is the state under which it is stored now.
fn save(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    before: Option<DeliveryState>,
    delivery: &Delivery,
) -> Result<(), StoreError> {
    let key = |state: DeliveryState| (scope, delivery.endpoint, position(&DeliveryState::ALL, &state), delivery.event);
    if before != Some(delivery.state) {
        if let Some(before) = before {
            tx.delete(&DELIVERIES_BY_ENDPOINT, &key(before))?;
        }
        tx.put(&DELIVERIES_BY_ENDPOINT, &key(delivery.state), &())?;
    }
    tx.put(&DELIVERIES, &(scope, delivery.event, delivery.endpoint), delivery)
}

/// An endpoint, made by the merchant or standing for the host of payments' own addresses.
pub fn endpoint(tx: &impl Read, scope: Scope, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
    match tx.get(&ENDPOINTS, &(scope, id))? {
        Some(endpoint) => Ok(Some(endpoint)),
        None => tx.get(&IMPLICIT_ENDPOINTS, &(scope, id)),
    }
}

/// Writes an endpoint, and keeps the list of those that fail.
pub fn save_endpoint(tx: &mut WriteTx<'_>, scope: Scope, endpoint: &Endpoint) -> Result<(), StoreError> {
    let row = (scope, endpoint.id);
    if endpoint.implicit {
        return tx.put(&IMPLICIT_ENDPOINTS, &row, endpoint);
    }
    if endpoint.is_failing() {
        tx.put(&ENDPOINTS_FAILING, &row, &())?;
    } else {
        tx.delete(&ENDPOINTS_FAILING, &row)?;
    }
    tx.put(&ENDPOINTS, &row, endpoint)
}

/// The row that an endpoint's secret is sealed to.
pub fn endpoint_row(scope: Scope, id: EndpointId) -> Vec<u8> {
    let mut row = Vec::with_capacity(33);
    (scope, id).encode(&mut row);
    row
}

/// The row that a merchant's default callback secret is sealed to.
pub fn defaults_row(scope: Scope) -> Vec<u8> {
    let mut row = Vec::with_capacity(17);
    scope.encode(&mut row);
    row
}

fn open_secret(gateway: &Gateway, place: &Place<'_>, sealed: &Sealed) -> Result<WebhookSecret, FlowError> {
    let unusable = |why: String| FlowError::Books(format!("a callback secret cannot be used: {why}"));
    let secret = gateway.vault.open(place, sealed).map_err(|why| unusable(why.to_string()))?;
    WebhookSecret::from_bytes(secret).map_err(|_| unusable("it has the wrong length".to_owned()))
}

/// The secrets that sign for an endpoint at `now`: its own or the merchant's default, and during a rotation the one before.
pub fn secrets(
    gateway: &Gateway,
    tx: &impl Read,
    scope: Scope,
    endpoint: &Endpoint,
    now: Timestamp,
) -> Result<SigningSecrets, FlowError> {
    let (table, row, current, previous) = match &endpoint.secret {
        Some(secret) => {
            let row = endpoint_row(scope, endpoint.id);
            (ENDPOINTS.name(), row, secret.clone(), endpoint.previous_secret.clone())
        }
        None => {
            let defaults = tx.get(&CALLBACK_DEFAULTS, &scope)?;
            let defaults = defaults.ok_or_else(|| FlowError::Books("there is no callback secret".to_owned()))?;
            (CALLBACK_DEFAULTS.name(), defaults_row(scope), defaults.secret, defaults.previous)
        }
    };
    let place = Place { table, row: &row, field: SECRET_FIELD };
    let mut secrets = SigningSecrets::from(open_secret(gateway, &place, &current)?);
    if let Some((previous, until)) = previous
        && now < until
    {
        secrets.older.push(open_secret(gateway, &place, &previous)?);
    }
    Ok(secrets)
}

/// What became of a due callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    Done,
    /// The endpoint rests: nothing of its lane is tried before this time.
    Rest(Timestamp),
    /// The endpoint was tried as a probe; its lane goes one at a time until one succeeds.
    Probed {
        delivered: bool,
    },
}

/// Sends one callback and commits its transcript. `due` is when its row in the queue was due.
pub async fn send(
    gateway: &Gateway,
    scope: Scope,
    id: EventId,
    to: EndpointId,
    due: Timestamp,
    trigger: Trigger,
) -> Result<Sent, FlowError> {
    let now = gateway.env.now();
    let effect = match trigger {
        Trigger::Auto => Effect::Deliver(scope, id, to),
        Trigger::Manual | Trigger::Test => Effect::Resend(scope, id, to),
    };
    // On this thread: a few point reads are shorter than handing over to another.
    let loaded = gateway.store.read_blocking(|tx| {
        let event = events::event(tx, scope, id)?;
        let endpoint = endpoint(tx, scope, to)?;
        let delivery = tx.get(&DELIVERIES, &(scope, id, to))?;
        let (Some(event), Some(endpoint), Some(delivery)) = (event, endpoint, delivery) else {
            return Ok::<_, FlowError>(None);
        };
        let secrets = secrets(gateway, tx, scope, &endpoint, now)?;
        Ok(Some((event, endpoint, delivery, secrets)))
    })?;
    let stale = |delivery: &Delivery| trigger == Trigger::Auto && delivery.due != Some(due);
    let Some((event, endpoint, delivery, secrets)) = loaded.filter(|(_, _, delivery, _)| !stale(delivery)) else {
        // Moved meanwhile: only the row is left. Or its endpoint was removed: nobody will send it.
        let over = gateway.store.write(move |tx| {
            unschedule(tx, Lane::endpoint(to), due, effect)?;
            let delivery = tx.get(&DELIVERIES, &(scope, id, to))?;
            let orphan = trigger == Trigger::Auto && delivery.is_some_and(|delivery| delivery.due == Some(due));
            if orphan { hold(tx, scope, id, to) } else { Ok(()) }
        });
        over.await?;
        return Ok(Sent::Done);
    };
    let state = endpoint.breaker.state(now);
    if trigger == Trigger::Auto {
        match (endpoint.state, state) {
            (EndpointState::Disabled | EndpointState::Suspended, _) | (_, State::Disabled(_)) => {
                gateway.store.write(move |tx| hold(tx, scope, id, to)).await?;
                return Ok(Sent::Done);
            }
            (EndpointState::Enabled, State::Open { until }) => return Ok(Sent::Rest(until)),
            (EndpointState::Enabled, State::Closed | State::HalfOpen) => {}
        }
    }
    let body = (gateway.render_event)(gateway, scope, &event);
    let url = delivery.url.as_deref().unwrap_or(&endpoint.url);
    let request = crate::callbacks::build_request(id, body, url, &secrets, now);
    let transport = gateway.transport.as_ref();
    let policy = &gateway.settings.callbacks;
    let clock = gateway.env.clock.as_ref();
    let transcript = crate::callbacks::attempt(transport, clock, request, trigger, policy, Limits::default()).await;
    let delivered = transcript.outcome.is_delivered();
    gateway.outgoing.callback(if delivered { CallbackOutcome::Delivered } else { CallbackOutcome::Failed });
    let moment = Moment::new(&gateway.env);
    gateway.store.write(move |tx| sent(tx, scope, id, to, due, &transcript, moment)).await?;
    Ok(match state {
        State::Closed => Sent::Done,
        State::HalfOpen | State::Open { .. } | State::Disabled(_) => Sent::Probed { delivered },
    })
}

/// Commits one attempt: its transcript, the delivery's next step, the endpoint's health.
pub fn sent(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    id: EventId,
    to: EndpointId,
    due: Timestamp,
    transcript: &Transcript,
    mut moment: Moment,
) -> Result<(), FlowError> {
    let now = moment.now;
    let lane = Lane::endpoint(to);
    if transcript.trigger != Trigger::Auto {
        unschedule(tx, lane, due, Effect::Resend(scope, id, to))?;
    }
    let (Some(mut delivery), Some(mut endpoint)) = (tx.get(&DELIVERIES, &(scope, id, to))?, endpoint(tx, scope, to)?)
    else {
        return Ok(());
    };
    let before = delivery.state;
    delivery.attempts = delivery.attempts.saturating_add(1);
    let attempt = DeliveryAttempt { number: delivery.attempts, transcript: transcript.clone() };
    tx.put(&DELIVERY_ATTEMPTS, &(scope, id, to, delivery.attempts), &attempt)?;
    let delivered = transcript.outcome.is_delivered();
    let automatic = transcript.trigger == Trigger::Auto;
    // A success ends the schedule, whoever caused it; a manual failure leaves it alone. Delivered stays delivered.
    if let Some(old) = delivery.due.filter(|_| delivered || automatic) {
        unschedule(tx, lane, old, Effect::Deliver(scope, id, to))?;
        delivery.due = None;
    }
    if delivered {
        delivery.state = DeliveryState::Delivered;
        delivery.delivered_at = delivery.delivered_at.or(Some(now));
    } else if automatic && before == DeliveryState::Pending {
        delivery.step = delivery.step.saturating_add(1);
        let random = u64::from_be_bytes(moment.random()[2..].try_into().expect("eight bytes"));
        match schedule::after(&transcript.outcome, delivery.step as usize, now, random) {
            Next::Retry(at) => {
                schedule(tx, lane, at, Effect::Deliver(scope, id, to))?;
                delivery.due = Some(at);
            }
            Next::Gone => delivery.state = DeliveryState::Held,
            Next::Exhausted => delivery.state = DeliveryState::Dead,
            Next::Delivered => {}
        }
    }
    save(tx, scope, Some(before), &delivery)?;
    let breaker = endpoint.breaker.next(&transcript.outcome, now);
    if breaker != endpoint.breaker {
        endpoint.breaker = breaker;
        if let (State::Disabled(_), EndpointState::Enabled) = (breaker.state(now), endpoint.state) {
            endpoint.state = EndpointState::Suspended;
        }
        save_endpoint(tx, scope, &endpoint)?;
    }
    Ok(())
}

/// Takes a delivery out of the queue because its endpoint is switched off; it is kept.
fn hold(tx: &mut WriteTx<'_>, scope: Scope, id: EventId, to: EndpointId) -> Result<(), StoreError> {
    let Some(mut delivery) = tx.get(&DELIVERIES, &(scope, id, to))? else { return Ok(()) };
    if let Some(due) = delivery.due.take() {
        unschedule(tx, Lane::endpoint(to), due, Effect::Deliver(scope, id, to))?;
    }
    let before = delivery.state;
    delivery.state = DeliveryState::Held;
    save(tx, scope, Some(before), &delivery)
}

/// Queues one more attempt of an event, now: for the endpoints it went to, or for one of them. Answers which.
pub fn resend(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    id: EventId,
    only: Option<EndpointId>,
    moment: &Moment,
) -> Result<Vec<EndpointId>, FlowError> {
    if !tx.contains(&EVENTS, &(scope, id))? {
        return Err(Refusal::EventNotFound.into());
    }
    let mut sent = Vec::new();
    for ((_, _, to), _) in tx.scan(&DELIVERIES, &Span::prefix(&(scope, id)), Order::Ascending, ENDPOINTS_MAX + 1)? {
        if only.is_none_or(|only| only == to) {
            schedule(tx, Lane::endpoint(to), moment.now, Effect::Resend(scope, id, to))?;
            sent.push(to);
        }
    }
    if sent.is_empty() && only.is_some() {
        return Err(Refusal::EndpointNotFound.into());
    }
    Ok(sent)
}

/// Deliveries of one endpoint that [`resend_failed`] queues at most in one call.
pub const RESEND_BULK_MAX: usize = 500;

/// What one call of [`resend_failed`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resent {
    pub count: usize,
    /// There is more; another call goes on with it.
    pub more: bool,
}

/// Puts what an endpoint did not take (dead or held) since a time back into the queue from the start of the ladder, oldest
/// first.
pub fn resend_failed(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    to: EndpointId,
    since: Timestamp,
    moment: &Moment,
) -> Result<Resent, FlowError> {
    let endpoint = endpoint(tx, scope, to)?.ok_or(Refusal::EndpointNotFound)?;
    if endpoint.state != EndpointState::Enabled {
        return Err(Refusal::EndpointDisabled { endpoint: to }.into());
    }
    let mut count = 0;
    let first = EventId::new(since, [0; 10]);
    for state in [DeliveryState::Dead, DeliveryState::Held] {
        let place = position(&DeliveryState::ALL, &state);
        let span = Span::prefix(&(scope, to, place)).from(&(scope, to, place, first));
        let limit = RESEND_BULK_MAX - count + 1;
        for ((_, _, _, id), ()) in tx.scan(&DELIVERIES_BY_ENDPOINT, &span, Order::Ascending, limit)? {
            if count == RESEND_BULK_MAX {
                return Ok(Resent { count, more: true });
            }
            let Some(mut delivery) = tx.get(&DELIVERIES, &(scope, id, to))? else { continue };
            delivery.state = DeliveryState::Pending;
            delivery.step = 0;
            delivery.due = Some(moment.now);
            schedule(tx, Lane::endpoint(to), moment.now, Effect::Deliver(scope, id, to))?;
            save(tx, scope, Some(state), &delivery)?;
            count += 1;
        }
    }
    Ok(Resent { count, more: false })
}

/// Queues a test event for one endpoint.
pub fn ping(tx: &mut WriteTx<'_>, scope: Scope, to: EndpointId, moment: &mut Moment) -> Result<EventId, FlowError> {
    endpoint(tx, scope, to)?.ok_or(Refusal::EndpointNotFound)?;
    let object = EventObject::Ping(to);
    let id = record::emit(tx, scope, moment, EventType::WebhookPing, object)?;
    let delivery = Delivery {
        event: id,
        endpoint: to,
        url: None,
        state: DeliveryState::Pending,
        attempts: 0,
        step: 0,
        due: None,
        created_at: moment.now,
        delivered_at: None,
    };
    save(tx, scope, None, &delivery)?;
    schedule(tx, Lane::endpoint(to), moment.now, Effect::Resend(scope, id, to))?;
    Ok(id)
}

/// Switches an endpoint on or off. On: healthy again, nothing forgotten; what was held is sent when asked for.
pub fn switch(tx: &mut WriteTx<'_>, scope: Scope, id: EndpointId, on: bool) -> Result<Endpoint, FlowError> {
    let mut endpoint = endpoint(tx, scope, id)?.ok_or(Refusal::EndpointNotFound)?;
    endpoint.state = if on { EndpointState::Enabled } else { EndpointState::Disabled };
    endpoint.breaker = Default::default();
    save_endpoint(tx, scope, &endpoint)?;
    tx.signal(crate::store::Signal::EndpointsChanged);
    Ok(endpoint)
}
