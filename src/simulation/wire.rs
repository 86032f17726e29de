//! The network of the simulation: every request waits on it until somebody decides what becomes of it. Requests are lost,
//! arrive after their time-out or after the death of who sent them; answers are lost, forged, cut, mixed up and rubbish.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use super::clock::SimulatedClock;
use super::dice::Dice;
use super::model::News;
use super::provider::{Letter, Provider, Reply, error};
use super::shop::{Answer, Shop};
use crate::domain::time::Timestamp;
use crate::env::Clock;
use crate::env::target::TargetPolicy;
use crate::env::transport::{
    ConnectFault, Limits, OutgoingRequest, OutgoingResponse, Phase, SendError, Sending, Transport,
};

type Outcome = Result<OutgoingResponse, SendError>;

/// One request on its way.
struct Exchange {
    request: OutgoingRequest,
    /// When it was sent, by the sender's clock.
    sent_at: Timestamp,
    /// `None` when nobody waits for the answer any more.
    reply: Option<oneshot::Sender<Outcome>>,
}

/// Everything behind the network; outlives crashes.
pub(super) struct Outside {
    pub(super) provider: Provider,
    pub(super) shops: Vec<Shop>,
    /// Notifications on their way.
    pub(super) letters: Vec<Letter>,
    /// Percent of exchanges with the provider that go wrong.
    pub(super) trouble: u64,
    exchanges: BTreeMap<u64, Exchange>,
    /// How often each rare thing happened.
    pub(super) noted: BTreeMap<&'static str, u64>,
    /// The first promise that was broken towards the outside.
    pub(super) broken: Option<String>,
}

impl Outside {
    pub(super) fn new(provider: Provider, trouble: u64) -> Self {
        Self {
            provider,
            shops: Vec::new(),
            letters: Vec::new(),
            trouble,
            exchanges: BTreeMap::new(),
            noted: BTreeMap::new(),
            broken: None,
        }
    }

    pub(super) fn note(&mut self, what: &'static str) {
        *self.noted.entry(what).or_default() += 1;
    }

    pub(super) fn break_promise(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    /// Requests whose answer somebody waits for, oldest first.
    pub(super) fn waiting(&self) -> Vec<u64> {
        self.exchanges.iter().filter(|(_, exchange)| exchange.reply.is_some()).map(|(number, _)| *number).collect()
    }

    /// Requests that nobody waits for and that may still arrive.
    pub(super) fn adrift(&self) -> Vec<u64> {
        self.exchanges.iter().filter(|(_, exchange)| exchange.reply.is_none()).map(|(number, _)| *number).collect()
    }

    /// A process is gone: of what it sent some is lost and some goes on.
    pub(super) fn sender_died(&mut self, dice: &mut Dice) {
        self.exchanges.retain(|_, exchange| {
            exchange.reply = None;
            dice.chance(60)
        });
    }

    /// For the trace.
    pub(super) fn target(&self, number: u64) -> String {
        self.exchanges.get(&number).map_or_else(String::new, |exchange| {
            let (host, path) = split(&exchange.request.url);
            format!("{} {host}{path}", exchange.request.method.as_str())
        })
    }

    /// A request that nobody waits for arrives after all.
    pub(super) fn arrive(&mut self, number: u64, dice: &mut Dice) {
        let Some(exchange) = self.exchanges.remove(&number) else { return };
        self.note("a request arrived after nobody waited for it");
        drop(self.carry_out(&exchange, dice));
    }

    /// Decides what becomes of a request. Answers what its sender gets, and what that says if it can be believed.
    fn decide(&mut self, exchange: &Exchange, now: Timestamp, dice: &mut Dice) -> (Outcome, Option<News>, Left) {
        let (host, _) = split(&exchange.request.url);
        if self.shops.iter().any(|shop| shop.host == host) {
            return (self.call_back(exchange, dice), None, Left::Nothing);
        }
        if !dice.chance(self.trouble) {
            let reply = self.carry_out(exchange, dice);
            let headers = self.provider.sign(&reply.body, now, false);
            return (Ok(response(reply.status, headers, reply.body)), reply.says, Left::Nothing);
        }
        let timeout = Err(SendError::Timeout { phase: Phase::Reply });
        match dice.below(10) {
            0 => (Err(SendError::Connect { fault: ConnectFault::Refused }), None, Left::Nothing),
            1 => (timeout, None, Left::Nothing),
            2 => {
                drop(self.carry_out(exchange, dice));
                self.note("an answer came after the time-out");
                (timeout, None, Left::Nothing)
            }
            3 => (timeout, None, Left::Adrift),
            4 => (Ok(response(503, Vec::new(), b"<html>busy</html>".to_vec())), None, Left::Nothing),
            5 => {
                drop(self.carry_out(exchange, dice));
                self.note("it was done and answered with a server error");
                let reply = error(500, "SYSTEM_ERROR", None);
                let headers = self.provider.sign(&reply.body, now, false);
                (Ok(response(reply.status, headers, reply.body)), None, Left::Nothing)
            }
            6 => {
                drop(self.carry_out(exchange, dice));
                let body = b"{\"rubbish\":".to_vec();
                let headers = self.provider.sign(&body, now, false);
                (Ok(response(200, headers, body)), None, Left::Nothing)
            }
            7 => {
                // Somebody in between says that it was paid, or whatever the answer was.
                let reply = self.carry_out(exchange, dice);
                self.note("a forged answer was refused");
                let headers = self.provider.sign(&reply.body, now, true);
                (Ok(response(reply.status, headers, reply.body)), None, Left::Nothing)
            }
            8 => {
                // The genuine answer to another question.
                let others: Vec<_> = self.provider.orders.keys().cloned().collect();
                let reply = self.carry_out(exchange, dice);
                let other = dice.pick(&others).filter(|other| !exchange.request.url.contains(other.as_str()));
                let about_order = !matches!(reply.says, Some(News::Refund { .. }));
                match other.filter(|_| about_order).and_then(|other| self.provider.letter(other, now)) {
                    Some(letter) if !says_about(&reply.says, &letter.says) => {
                        self.note("the answer to another question was refused");
                        let body = order_of(&letter.body);
                        let headers = self.provider.sign(&body, now, false);
                        (Ok(response(200, headers, body)), None, Left::Nothing)
                    }
                    Some(_) | None => (timeout, None, Left::Nothing),
                }
            }
            _ => {
                let reply = self.carry_out(exchange, dice);
                let headers = self.provider.sign(&reply.body, now, false);
                let mut cut = response(reply.status, headers, reply.body);
                cut.truncated = true;
                (Ok(cut), None, Left::Nothing)
            }
        }
    }

    fn carry_out(&mut self, exchange: &Exchange, dice: &mut Dice) -> Reply {
        let (host, path) = split(&exchange.request.url);
        if self.shops.iter().any(|shop| shop.host == host) {
            drop(self.call_back(exchange, dice));
            return error(200, "", None);
        }
        let path = path.to_owned();
        self.provider.serve(&path, &exchange.request.body, dice).unwrap_or_else(|why| {
            self.break_promise(why);
            error(400, "PARAM_ERROR", None)
        })
    }

    fn call_back(&mut self, exchange: &Exchange, dice: &mut Dice) -> Outcome {
        let (host, _) = split(&exchange.request.url);
        let Some(shop) = self.shops.iter_mut().find(|shop| shop.host == host) else { return Err(SendError::Dns) };
        match shop.receive(&exchange.request, exchange.sent_at, dice) {
            Ok(Answer::Status(status)) => {
                let moved = (status == 302).then(|| ("location".to_owned(), "https://elsewhere.example/".to_owned()));
                Ok(response(status, moved.into_iter().collect(), Vec::new()))
            }
            Ok(Answer::Later(seconds)) => {
                Ok(response(429, vec![("retry-after".to_owned(), seconds.to_string())], Vec::new()))
            }
            Ok(Answer::Failed(failure)) => Err(failure.error()),
            Err(why) => {
                self.break_promise(why);
                Ok(response(400, Vec::new(), Vec::new()))
            }
        }
    }
}

/// What stays on the wire when the sender has its answer.
#[derive(PartialEq, Eq)]
enum Left {
    Nothing,
    /// The request itself, which may arrive later.
    Adrift,
}

fn says_about(one: &Option<News>, other: &News) -> bool {
    let number = |news: &News| match news {
        News::Order { number, .. } | News::Refund { number, .. } => number.clone(),
    };
    one.as_ref().is_some_and(|one| number(one) == number(other))
}

/// The order inside a notification, as an answer would carry it.
fn order_of(letter: &[u8]) -> Vec<u8> {
    let letter: serde_json::Value = serde_json::from_slice(letter).unwrap_or_default();
    letter["order"].to_string().into_bytes()
}

fn split(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split_at(rest.find('/').unwrap_or(rest.len()))
}

fn response(status: u16, headers: Vec<(String, String)>, body: Vec<u8>) -> OutgoingResponse {
    let address = SocketAddr::from(([203, 0, 113, 1], 443));
    OutgoingResponse { status, headers, body, truncated: false, address, connect_ms: 1, total_ms: 1 }
}

/// The gateway's way out.
#[derive(Clone)]
pub(super) struct Wire {
    outside: Arc<Mutex<Outside>>,
    clock: Arc<SimulatedClock>,
    asked: Arc<AtomicU64>,
    bell: Arc<Notify>,
}

impl Wire {
    pub(super) fn new(outside: Outside, clock: Arc<SimulatedClock>) -> Self {
        let (asked, bell) = (Arc::default(), Arc::default());
        Self { outside: Arc::new(Mutex::new(outside)), clock, asked, bell }
    }

    pub(super) fn outside(&self) -> MutexGuard<'_, Outside> {
        self.outside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many requests were ever sent.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Relaxed)
    }

    /// Waits until something is sent.
    pub(super) async fn rings(&self) {
        self.bell.notified().await;
    }

    /// Ends the waiting of whoever sent this request. Answers what it now knows, if it can be believed.
    pub(super) fn answer(&self, number: u64, dice: &mut Dice) -> Option<News> {
        let mut outside = self.outside();
        let mut exchange = outside.exchanges.remove(&number)?;
        let reply = exchange.reply.take();
        let (outcome, news, left) = outside.decide(&exchange, self.clock.world(), dice);
        if left == Left::Adrift {
            outside.exchanges.insert(number, exchange);
        }
        // Nobody listens when the process died meanwhile.
        if let Some(reply) = reply {
            drop(reply.send(outcome));
        }
        news.filter(|_| self.clock.is_credible())
    }
}

impl Transport for Wire {
    fn send<'a>(&'a self, request: OutgoingRequest, _: &'a TargetPolicy, _: Limits) -> Sending<'a> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let number = self.asked.fetch_add(1, Relaxed);
            let exchange = Exchange { request, sent_at: self.clock.now(), reply: Some(reply) };
            self.outside().exchanges.insert(number, exchange);
            self.bell.notify_one();
            answer.await.unwrap_or(Err(SendError::Protocol))
        })
    }
}
