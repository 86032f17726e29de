//! Live status as server-sent events. Source: WHATWG HTML, section 9.2.

use std::convert::Infallible;
use std::sync::Arc;

use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::handlers::Status;
use super::visitor::Visitor;
use crate::domain::ids::PaymentId;
use crate::domain::time::Duration;
use crate::flows::gateway::Gateway;
use crate::server::Stopping;
use crate::web::Streamed;

/// Pages watched at once by one worker; the next is told to poll.
const STREAMS_PER_WORKER_MAX: usize = 1024;
/// Something is sent at least this often, so that nobody in between gives the connection up.
const HEARTBEAT: Duration = Duration::from_seconds(15);
/// After this the browser connects again: a page left open does not hold its place for ever.
const STREAM_MAX: Duration = Duration::from_minutes(10);
/// How long the browser waits before it connects again, in milliseconds.
const RETRY_MS: u32 = 2000;
/// Events that wait for a slow reader.
const BUFFERED_EVENTS: usize = 4;

/// Places for watchers, counted per worker.
pub(super) struct Streams(Arc<Semaphore>);

impl Default for Streams {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(STREAMS_PER_WORKER_MAX)))
    }
}

/// `GET /c/{token}/events`: an event `status` with the same JSON as the status page, first at once and then with each
/// change. Ends by itself when nothing more will happen.
pub(super) async fn events(
    request: HttpRequest,
    gateway: web::Data<Gateway>,
    streams: web::Data<Streams>,
    stopping: Option<web::Data<Stopping>>,
    token: web::Path<String>,
) -> HttpResponse {
    let Some((_, id)) = gateway.read_checkout_token(&token) else { return HttpResponse::NotFound().finish() };
    let Ok(place) = streams.0.clone().try_acquire_owned() else {
        return HttpResponse::ServiceUnavailable().insert_header((header::RETRY_AFTER, 5)).finish();
    };
    let (sender, receiver) = mpsc::channel(BUFFERED_EVENTS);
    let watcher = Watcher {
        gateway: gateway.get_ref().clone(),
        token: token.into_inner(),
        payment: id,
        visitor: Visitor::of(&request),
        sender,
        _place: place,
    };
    let stopping = stopping.map(|stopping| stopping.get_ref().clone());
    tokio::spawn(async move {
        let stopped = async {
            match stopping {
                Some(mut stopping) => stopping.wait().await,
                None => std::future::pending().await,
            }
        };
        let closed = watcher.sender.clone();
        tokio::select! {
            () = watcher.run() => {}
            () = closed.closed() => {}
            () = stopped => {}
            () = tokio::time::sleep(STREAM_MAX.to_std()) => {}
        }
    });
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Proxies that collect answers would hold the events back.
        .insert_header(("x-accel-buffering", "no"))
        .body(Streamed(receiver))
}

struct Watcher {
    gateway: Gateway,
    token: String,
    payment: PaymentId,
    visitor: Visitor,
    sender: mpsc::Sender<Result<Bytes, Infallible>>,
    _place: OwnedSemaphorePermit,
}

impl Watcher {
    async fn run(self) {
        let mut watch = self.gateway.changes.watch(self.payment);
        let mut told = String::new();
        let mut next = format!("retry: {RETRY_MS}\n");
        loop {
            // An error ends the stream: the browser comes again, and falls back to asking.
            let Ok(Some(status)) = Status::read(&self.gateway, &self.token, &self.visitor).await else {
                return;
            };
            if status.mark == told {
                next.push_str(": still there\n\n");
            } else {
                let json = serde_json::to_string(&status).expect("plain text always serialises");
                next.push_str(&format!("event: status\ndata: {json}\n\n"));
                told = status.mark;
            }
            if self.sender.send(Ok(Bytes::from(std::mem::take(&mut next)))).await.is_err() || status.done {
                return;
            }
            // Either way the status is read again: its time may be over without anything having been written.
            drop(tokio::time::timeout(HEARTBEAT.to_std(), watch.changed()).await);
        }
    }
}
