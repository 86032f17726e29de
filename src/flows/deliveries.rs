//! Callbacks to the shop: an event becomes one delivery per endpoint, in the commit of the event.

use super::effect::{Effect, Lane, schedule};
use super::record::position;
use super::{FlowError, Moment};
use crate::domain::endpoint::{Delivery, DeliveryState, ENDPOINTS_MAX, Endpoint, EndpointState};
use crate::domain::event::{Event, EventObject};
use crate::domain::ids::{EndpointId, Scope};
use crate::store::tables::{DELIVERIES, DELIVERIES_BY_ENDPOINT, ENDPOINTS, IMPLICIT_ENDPOINTS, PAYMENTS};
use crate::store::{Key, Order, Read, Span, StoreError, WriteTx};

/// Queues an event for every enabled endpoint that wants it, and for the payment's own address.
pub(super) fn fan_out(tx: &mut WriteTx<'_>, scope: Scope, moment: &Moment, event: &Event) -> Result<(), FlowError> {
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
        let endpoint = Endpoint {
            id,
            url: origin,
            description: String::new(),
            events: Default::default(),
            secret: None,
            previous_secret: None,
            state: EndpointState::Enabled,
            breaker: Default::default(),
            implicit: true,
            created_at: moment.now,
        };
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
