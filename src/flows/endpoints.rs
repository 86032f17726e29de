//! Webhook endpoints: create, change, remove, rotate the secret. Secrets are sealed before the transaction, for the row
//! they will stand in.

use std::collections::BTreeSet;

use super::deliveries::{SECRET_FIELD, endpoint, endpoint_row, save_endpoint};
use super::gateway::Gateway;
use super::{FlowError, Moment, Refusal};
use crate::callbacks::WebhookSecret;
use crate::crypto::{Place, Sealed};
use crate::domain::endpoint::{ENDPOINTS_MAX, Endpoint, EndpointState};
use crate::domain::event::EventType;
use crate::domain::ids::{EndpointId, Scope};
use crate::domain::time::Duration;
use crate::store::tables::{ENDPOINTS, ENDPOINTS_FAILING};
use crate::store::{Order, Read, Signal, Span, WriteTx};

/// How long the old secret goes on signing beside the new one when nothing else is said.
pub const ROTATION_OVERLAP: Duration = Duration::from_hours(24);

/// A new secret, once in the clear for its owner and once sealed for its row.
pub struct FreshSecret {
    pub shown: WebhookSecret,
    pub sealed: Sealed,
}

/// Makes a secret for an endpoint that exists or is about to.
pub fn fresh_secret(gateway: &Gateway, scope: Scope, id: EndpointId) -> FreshSecret {
    let shown = WebhookSecret::generate(gateway.env.entropy.as_ref());
    let row = endpoint_row(scope, id);
    let place = Place { table: ENDPOINTS.name(), row: &row, field: SECRET_FIELD };
    let sealed = gateway.vault.seal(&place, shown.bytes().expose(), gateway.env.entropy.as_ref());
    FreshSecret { shown, sealed }
}

#[derive(Clone, Debug)]
pub struct NewEndpoint {
    pub id: EndpointId,
    pub url: String,
    pub description: String,
    /// Empty means all.
    pub events: BTreeSet<EventType>,
    /// For the row of `id`.
    pub secret: Sealed,
}

pub fn create(tx: &mut WriteTx<'_>, scope: Scope, new: &NewEndpoint, moment: &Moment) -> Result<Endpoint, FlowError> {
    let known = tx.scan(&ENDPOINTS, &Span::prefix(&scope), Order::Ascending, ENDPOINTS_MAX)?;
    if known.len() >= ENDPOINTS_MAX {
        return Err(Refusal::TooManyEndpoints.into());
    }
    let endpoint = Endpoint {
        id: new.id,
        url: new.url.clone(),
        description: new.description.clone(),
        events: new.events.clone(),
        secret: Some(new.secret.clone()),
        previous_secret: None,
        state: EndpointState::Enabled,
        breaker: Default::default(),
        implicit: false,
        created_at: moment.now,
    };
    save_endpoint(tx, scope, &endpoint)?;
    tx.signal(Signal::EndpointsChanged);
    Ok(endpoint)
}

#[derive(Clone, Debug, Default)]
pub struct Change {
    pub url: Option<String>,
    pub description: Option<String>,
    pub events: Option<BTreeSet<EventType>>,
    pub enabled: Option<bool>,
}

pub fn update(tx: &mut WriteTx<'_>, scope: Scope, id: EndpointId, change: &Change) -> Result<Endpoint, FlowError> {
    let mut endpoint = tx.get(&ENDPOINTS, &(scope, id))?.ok_or(Refusal::EndpointNotFound)?;
    if let Some(url) = &change.url {
        endpoint.url.clone_from(url);
        // Another address starts with a clean bill of health.
        endpoint.breaker = Default::default();
    }
    if let Some(description) = &change.description {
        endpoint.description.clone_from(description);
    }
    if let Some(events) = &change.events {
        endpoint.events.clone_from(events);
    }
    if let Some(enabled) = change.enabled {
        endpoint.state = if enabled { EndpointState::Enabled } else { EndpointState::Disabled };
        endpoint.breaker = Default::default();
    }
    save_endpoint(tx, scope, &endpoint)?;
    tx.signal(Signal::EndpointsChanged);
    Ok(endpoint)
}

/// Nothing more is sent to it; what was sent stays in the log.
pub fn remove(tx: &mut WriteTx<'_>, scope: Scope, id: EndpointId) -> Result<(), FlowError> {
    if !tx.delete(&ENDPOINTS, &(scope, id))? {
        return Err(Refusal::EndpointNotFound.into());
    }
    tx.delete(&ENDPOINTS_FAILING, &(scope, id))?;
    tx.signal(Signal::EndpointsChanged);
    Ok(())
}

/// Puts a new secret in place; the old one goes on signing for `overlap`.
pub fn rotate(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    id: EndpointId,
    secret: &Sealed,
    overlap: Duration,
    moment: &Moment,
) -> Result<Endpoint, FlowError> {
    let mut endpoint = endpoint(tx, scope, id)?.filter(|e| !e.implicit).ok_or(Refusal::EndpointNotFound)?;
    endpoint.previous_secret = endpoint.secret.replace(secret.clone()).map(|old| (old, moment.now.plus(overlap)));
    save_endpoint(tx, scope, &endpoint)?;
    Ok(endpoint)
}
