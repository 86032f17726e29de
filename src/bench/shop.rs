//! The merchant's side of callbacks: a shop that takes them as fast as it can.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::BenchError;
use super::listener::{Listener, header};
use super::site::Site;
use crate::domain::event::EventType;
use crate::domain::ids::{EndpointId, EventId};
use crate::flows::endpoints::{self, NewEndpoint};
use crate::flows::{FlowError, Moment};

const THANKS: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// Hears the id and the body of every callback.
pub type Heard = Arc<dyn Fn(EventId, &[u8]) + Send + Sync>;

/// Opens a shop. What is no callback ends its connection.
pub async fn open(heard: Heard) -> Result<Listener, BenchError> {
    let answer = move |head: &str, body: &[u8]| {
        heard(header(head, "webhook-id")?.parse().ok()?, body);
        Some(THANKS.to_vec())
    };
    Listener::open(Arc::new(answer)).await
}

/// Tells the gateway to call `urls` about these events.
pub async fn subscribe(site: &Site, urls: &[String], events: &[EventType]) -> Result<Vec<EndpointId>, BenchError> {
    let gateway = &site.house.gateway;
    let mut ids = Vec::new();
    for url in urls {
        let moment = Moment::new(&site.env);
        let id = EndpointId::new(moment.now, site.env.random());
        let new = NewEndpoint {
            id,
            url: url.clone(),
            description: String::new(),
            events: BTreeSet::from_iter(events.iter().copied()),
            secret: endpoints::fresh_secret(gateway, site.scope, id).sealed,
        };
        let scope = site.scope;
        gateway.store.write(move |tx| endpoints::create(tx, scope, &new, &moment)).await.map_err(flow)?;
        ids.push(id);
    }
    Ok(ids)
}

/// Ends what [`subscribe`] began; what still waits is held.
pub async fn unsubscribe(site: &Site, ids: Vec<EndpointId>) -> Result<(), BenchError> {
    let scope = site.scope;
    let remove =
        site.house.gateway.store.write(move |tx| ids.iter().try_for_each(|id| endpoints::remove(tx, scope, *id)));
    remove.await.map_err(flow)
}

fn flow(error: FlowError) -> BenchError {
    error.into()
}
