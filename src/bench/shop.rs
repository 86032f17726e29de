//! The merchant's side of callbacks: a shop that takes them as fast as it can, and one that takes none.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::BenchError;
use super::site::Site;
use crate::domain::event::EventType;
use crate::domain::ids::{EndpointId, EventId};
use crate::flows::endpoints::{self, NewEndpoint};
use crate::flows::{FlowError, Moment};

/// The longest callback that is read, in bytes.
const CALLBACK_MAX_BYTES: usize = 64 * 1024;
const THANKS: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// Hears the id and the body of every callback.
pub type Heard = Arc<dyn Fn(EventId, &[u8]) + Send + Sync>;

/// Listens until it is dropped. Runs on the load generator's runtime and counts as part of it.
pub struct Shop {
    pub address: SocketAddr,
    task: AbortHandle,
}

impl Shop {
    pub async fn open(heard: Heard) -> Result<Self, BenchError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(BenchError::io("opening the shop"))?;
        let address = listener.local_addr().map_err(BenchError::io("opening the shop"))?;
        let task = tokio::spawn(async move {
            let mut visitors = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                visitors.spawn(visitor(stream, heard.clone()));
            }
        });
        Ok(Self { address, task: task.abort_handle() })
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection. What is no callback ends it.
async fn visitor(mut stream: TcpStream, heard: Heard) -> Option<()> {
    let mut bytes = Vec::with_capacity(4096);
    loop {
        let (head, whole) = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = std::str::from_utf8(&bytes[..end]).ok()?.to_owned();
                let body: usize = header(&head, "content-length")?.parse().ok()?;
                break (head, end + 4 + body);
            }
            read(&mut stream, &mut bytes).await?;
        };
        while bytes.len() < whole {
            read(&mut stream, &mut bytes).await?;
        }
        let id = header(&head, "webhook-id")?.parse().ok()?;
        heard(id, &bytes[head.len() + 4..whole]);
        bytes.drain(..whole);
        stream.write_all(THANKS).await.ok()?;
    }
}

async fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let read = stream.read_buf(bytes).await.ok()?;
    (read > 0 && bytes.len() <= CALLBACK_MAX_BYTES).then_some(())
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
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
