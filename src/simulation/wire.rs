//! The network of the simulation: every request waits on it until somebody decides what becomes of it. Requests are lost,
//! arrive after their time-out or after the death of who sent them; answers are lost, forged, cut, mixed up and rubbish.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use super::clock::SimulatedClock;
use super::dice::Dice;
use super::meaning::Op;
use super::model::News;
use super::provider::{self, Provider, error};
use super::shop::{Answer, Shop};
use super::town::{Answered, Belief, Town, Truth, response};
use crate::domain::payment::NextAction;
use crate::domain::time::{Duration, Timestamp};
use crate::env::Clock;
use crate::env::target::TargetPolicy;
use crate::env::transport::{
    ConnectFault, Limits, OutgoingRequest, OutgoingResponse, Phase, SendError, Sending, Transport,
};
use crate::sandbox::provider::model::{Deed, RefundStatus};
use crate::sandbox::provider::records;

/// No network and no proxy holds a request longer.
const HELD_MAX: Duration = Duration::from_seconds(60);

/// Kinds of trouble on the wire: refused, lost, answered too late, adrift, busy, failed after it was done, rubbish, forged, mixed
/// up, cut.
pub(super) const MISHAPS: usize = 10;

type Outcome = Result<OutgoingResponse, SendError>;

/// Channels that nobody reaches for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silent {
    Wallet,
    Towns,
}

/// What a request is about.
#[derive(Default)]
pub(super) struct Target {
    /// For the trace.
    pub(super) told: String,
    /// The number of the order that it closes.
    pub(super) closes: Option<String>,
    /// It charges somebody, gives back or takes back.
    pub(super) moves_money: bool,
}

/// One request on its way.
struct Exchange {
    request: OutgoingRequest,
    /// When it was sent, by the sender's clock.
    sent_at: Timestamp,
    /// The same by the world's.
    left_at: Timestamp,
    /// `None` when nobody waits for the answer any more.
    reply: Option<oneshot::Sender<Outcome>>,
}

/// Everything behind the network; outlives crashes.
pub(super) struct Outside {
    pub(super) provider: Provider,
    /// The providers of other contracts.
    pub(super) towns: Vec<Town>,
    pub(super) shops: Vec<Shop>,
    /// Notifications on their way.
    pub(super) letters: Vec<Letter>,
    /// Percent of exchanges with the provider that go wrong.
    pub(super) trouble: u64,
    /// Who cannot be reached at all.
    pub(super) silent: Option<Silent>,
    /// How often each kind of trouble comes, in parts of their sum.
    mishaps: [u64; MISHAPS],
    /// Signed orders that customers' devices were given, by the gateway's number.
    pub(super) pockets: BTreeMap<String, NextAction>,
    exchanges: BTreeMap<u64, Exchange>,
    /// How often each rare thing happened.
    pub(super) noted: BTreeMap<&'static str, u64>,
    /// The first promise that was broken towards the outside.
    pub(super) broken: Option<String>,
}

impl Outside {
    pub(super) fn new(provider: Provider, towns: Vec<Town>, trouble: u64, mishaps: [u64; MISHAPS]) -> Self {
        Self {
            provider,
            towns,
            shops: Vec::new(),
            letters: Vec::new(),
            trouble,
            silent: None,
            mishaps,
            pockets: BTreeMap::new(),
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

    fn send(&mut self, number: u64, exchange: Exchange) {
        if let Some(town) = self.town(&exchange.request.url) {
            self.towns[town].notice(&exchange.request);
        }
        self.exchanges.insert(number, exchange);
    }

    /// Requests whose answer somebody waits for, oldest first.
    pub(super) fn waiting(&self) -> Vec<u64> {
        self.exchanges.iter().filter(|(_, exchange)| exchange.reply.is_some()).map(|(number, _)| *number).collect()
    }

    /// Requests that nobody waits for and that may still arrive.
    pub(super) fn adrift(&mut self, now: Timestamp) -> Vec<u64> {
        let lives = |exchange: &Exchange| exchange.reply.is_some() || now.since(exchange.left_at) < HELD_MAX;
        self.exchanges.retain(|_, exchange| lives(exchange));
        self.exchanges.iter().filter(|(_, exchange)| exchange.reply.is_none()).map(|(number, _)| *number).collect()
    }

    /// A process is gone: of what it sent some is lost and some goes on.
    pub(super) fn sender_died(&mut self, dice: &mut Dice) {
        self.exchanges.retain(|_, exchange| {
            exchange.reply = None;
            dice.chance(70)
        });
    }

    pub(super) fn target(&self, number: u64) -> Target {
        let Some(exchange) = self.exchanges.get(&number) else { return Target::default() };
        let (host, path) = split(&exchange.request.url);
        if let Some(town) = self.town(&exchange.request.url) {
            let call = self.towns[town].call(&exchange.request);
            let moves_money = matches!(call.op, Op::Charge | Op::Refund | Op::Reverse);
            let closes = matches!(call.op, Op::Close | Op::Reverse).then(|| call.number.clone());
            let told = format!("{:?} {:?} {}", self.towns[town].contract, call.op, call.number);
            return Target { told, closes, moves_money };
        }
        let closes = path.strip_suffix("/close").and_then(|path| path.rsplit('/').next()).map(str::to_owned);
        let moves_money = path.ends_with("/refunds");
        Target { told: format!("{} {host}{path}", exchange.request.method.as_str()), closes, moves_money }
    }

    /// A request that nobody waits for arrives after all.
    pub(super) fn arrive(&mut self, number: u64, now: Timestamp, dice: &mut Dice) {
        let Some(exchange) = self.exchanges.remove(&number) else { return };
        self.note("a request arrived after nobody waited for it");
        drop(self.carry_out(&exchange, now, dice));
    }

    /// Decides what becomes of a request: what its sender gets, what that says, and what stays on the wire.
    fn decide(&mut self, exchange: &Exchange, now: Timestamp, dice: &mut Dice) -> (Answered, Left) {
        let (host, _) = split(&exchange.request.url);
        if self.shops.iter().any(|shop| shop.host == host) {
            return (silent(self.call_back(exchange, dice)), Left::Nothing);
        }
        let silent_for = if self.town(&exchange.request.url).is_some() { Silent::Towns } else { Silent::Wallet };
        if self.silent == Some(silent_for) {
            return (silent(Err(SendError::Connect { fault: ConnectFault::Refused })), Left::Nothing);
        }
        if !dice.chance(self.trouble) {
            return (self.carry_out(exchange, now, dice), Left::Nothing);
        }
        let timeout = || Err(SendError::Timeout { phase: Phase::Reply });
        let outcome = match dice.weighed(&self.mishaps) {
            0 => Err(SendError::Connect { fault: ConnectFault::Refused }),
            1 => timeout(),
            2 => {
                drop(self.carry_out(exchange, now, dice));
                self.note("an answer came after the time-out");
                timeout()
            }
            3 => return (silent(timeout()), Left::Adrift),
            4 => Ok(response(503, Vec::new(), b"<html>busy</html>".to_vec())),
            5 => {
                drop(self.carry_out(exchange, now, dice));
                self.note("it was done and answered with a server error");
                let body = error(500, "SYSTEM_ERROR", None).body;
                let headers = self.provider.sign(&body, now, false);
                Ok(response(500, headers, body))
            }
            6 => {
                drop(self.carry_out(exchange, now, dice));
                let body = b"{\"rubbish\":".to_vec();
                let headers = self.provider.sign(&body, now, false);
                Ok(response(200, headers, body))
            }
            7 => {
                // Somebody in between says that it was paid, or whatever the answer was.
                let answered = self.carry_out(exchange, now, dice);
                self.note("a forged answer was refused");
                answered.outcome.map(|answer| self.forged(exchange, answer, now, dice))
            }
            8 => self.swapped(exchange, now, dice).unwrap_or_else(timeout),
            _ => {
                self.carry_out(exchange, now, dice).outcome.map(|answer| OutgoingResponse { truncated: true, ..answer })
            }
        };
        (silent(outcome), Left::Nothing)
    }

    /// An answer that was changed on its way, or signed by somebody else.
    fn forged(
        &mut self,
        exchange: &Exchange,
        mut answer: OutgoingResponse,
        now: Timestamp,
        dice: &mut Dice,
    ) -> OutgoingResponse {
        if self.town(&exchange.request.url).is_none() {
            answer.headers = self.provider.sign(&answer.body, now, true);
            return answer;
        }
        // Errors of some providers carry no signature that could be forged.
        if !(200..300).contains(&answer.status) {
            return response(502, Vec::new(), b"<html>bad gateway</html>".to_vec());
        }
        if answer.body.is_empty() {
            answer.headers.retain(|(name, _)| name != "wechatpay-signature");
        } else {
            let at = dice.place(signed_bytes(&answer.body));
            answer.body[at] ^= 1;
        }
        answer
    }

    /// The genuine answer to another question; nothing when there is none.
    fn swapped(&mut self, exchange: &Exchange, now: Timestamp, dice: &mut Dice) -> Option<Outcome> {
        let answered = self.carry_out(exchange, now, dice);
        if let Some(town) = self.town(&exchange.request.url) {
            let other = self.towns[town].another(&exchange.request)?;
            self.note("the answer to another question was refused");
            return Some(Ok(other));
        }
        let others: Vec<_> = self.provider.orders.keys().cloned().collect();
        let other = dice.pick(&others).filter(|other| !exchange.request.url.contains(other.as_str()));
        let about_order = !matches!(answered.says, Some(News::Refund { .. }));
        let letter = other.filter(|_| about_order).and_then(|other| self.provider.letter(other, now))?;
        if says_about(&answered.says, &letter.says) {
            return None;
        }
        self.note("the answer to another question was refused");
        let body = order_of(&letter.body);
        let headers = self.provider.sign(&body, now, false);
        Some(Ok(response(200, headers, body)))
    }

    fn town(&self, url: &str) -> Option<usize> {
        self.towns.iter().position(|town| town.is_called(url))
    }

    fn carry_out(&mut self, exchange: &Exchange, now: Timestamp, dice: &mut Dice) -> Answered {
        let (host, path) = split(&exchange.request.url);
        if self.shops.iter().any(|shop| shop.host == host) {
            return silent(self.call_back(exchange, dice));
        }
        if let Some(town) = self.town(&exchange.request.url) {
            let answered = self.towns[town].serve(&exchange.request);
            self.collect_letters(dice);
            return answered;
        }
        let path = path.to_owned();
        let reply = self.provider.serve(&path, &exchange.request.body, dice).unwrap_or_else(|why| {
            self.break_promise(why);
            error(400, "PARAM_ERROR", None)
        });
        let headers = self.provider.sign(&reply.body, now, false);
        let outcome = Ok(response(reply.status, headers, reply.body));
        Answered { outcome, says: reply.says, belief: Belief::Sure }
    }

    /// What the providers have written is on its way, some of it twice, some never.
    pub(super) fn collect_letters(&mut self, dice: &mut Dice) {
        for place in 0..self.towns.len() {
            for (letter, says) in self.towns[place].take_letters() {
                let copies = dice.one_of([1, 1, 1, 0, 2]);
                if copies > 1 {
                    self.note("a notification came twice");
                }
                let letter = Letter::Town { place, letter: Box::new(letter), says };
                self.letters.extend(std::iter::repeat_n(letter, copies));
            }
        }
    }

    fn town_of(&self, number: &str) -> Option<usize> {
        self.towns.iter().position(|town| town.knows(number))
    }

    /// Whether a customer's device holds an order that it has not brought to its provider.
    pub(super) fn is_pocketed(&self, number: &str) -> bool {
        self.pockets.contains_key(number) && self.town_of(number).is_none()
    }

    /// The device brings it; whether there is something to pay then.
    pub(super) fn carry(&mut self, number: &str) -> bool {
        let Some(action) = self.pockets.get(number) else { return false };
        self.towns.iter_mut().any(|town| town.carry(number, action))
    }

    /// Whether an order is there that nobody has paid.
    pub(super) fn is_unpaid(&self, number: &str) -> bool {
        match self.town_of(number) {
            Some(town) => self.towns[town].is_unpaid(number),
            None => self.provider.is_unpaid(number),
        }
    }

    pub(super) fn is_closed(&self, number: &str) -> bool {
        match self.town_of(number) {
            Some(town) => self.towns[town].is_closed(number),
            None => self.provider.is_closed(number),
        }
    }

    /// A customer pays an order, `short` if it is another amount than asked for; whether that was possible. `copies` of
    /// the message about it are on their way.
    pub(super) fn pay(&mut self, number: &str, wrong: bool, copies: usize, now: Timestamp, dice: &mut Dice) -> bool {
        let Some(town) = self.town_of(number) else {
            let asked = self.provider.orders.get(number).map_or(0, |order| order.minor);
            return self.provider.pay(number, asked + u64::from(wrong), now) && self.wallet_tells(number, copies, now);
        };
        let deed = match wrong {
            true => Deed::PayWrongAmount,
            false if self.is_closed(number) => Deed::PayLate,
            false => Deed::Pay,
        };
        let done = self.towns[town].act(number, deed);
        self.collect_letters(dice);
        done
    }

    pub(super) fn decline(&mut self, number: &str, copies: usize, now: Timestamp) -> bool {
        match self.town_of(number) {
            // The payer may try again.
            Some(town) => self.towns[town].act(number, Deed::Refuse),
            None => self.provider.decline(number) && self.wallet_tells(number, copies, now),
        }
    }

    fn wallet_tells(&mut self, number: &str, copies: usize, now: Timestamp) -> bool {
        if let Some(letter) = self.provider.letter(number, now) {
            self.letters.extend(std::iter::repeat_n(Letter::Wallet(letter), copies));
        }
        if copies > 1 {
            self.note("a notification came twice");
        }
        true
    }

    /// What is in the providers' books about an order; `None` when none heard of it.
    pub(super) fn truth(&self, number: &str) -> Option<Truth> {
        if let Some(town) = self.town_of(number) {
            return self.towns[town].truth(number);
        }
        let order = self.provider.orders.get(number)?;
        let status = |status: &str| match status {
            "SUCCESS" => RefundStatus::Success,
            "ABNORMAL" => RefundStatus::Closed,
            _ => RefundStatus::Processing,
        };
        let refunds = self.provider.refunds.iter().filter(|(_, refund)| refund.order == number);
        Some(Truth {
            asked_minor: order.minor,
            received: order.paid.as_ref().map(|paid| (paid.minor, paid.transaction.clone())),
            revoked: false,
            details: String::new(),
            refunded_minor: order.refunded,
            refunds: refunds.map(|(number, refund)| (number.clone(), status(refund.status))).collect(),
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

/// How much of an answer its signature speaks for: Alipay signs the first member of its envelope, and a change behind it may
/// well leave what is said as it was. The others sign the whole.
fn signed_bytes(body: &[u8]) -> usize {
    let behind = [&br#","alipay_cert_sn""#[..], br#","sign""#].into_iter();
    let at = |mark: &[u8]| body.windows(mark.len()).position(|window| window == mark);
    behind.filter_map(at).min().unwrap_or(body.len())
}

/// An answer that says nothing that could be believed.
fn silent(outcome: Outcome) -> Answered {
    Answered { outcome, says: None, belief: Belief::No }
}

/// A notification on its way. It is signed when it arrives, as providers sign each try anew.
#[derive(Clone)]
pub(super) enum Letter {
    Wallet(provider::Letter),
    Town { place: usize, letter: Box<records::Letter>, says: Option<News> },
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

    /// Ends the waiting of whoever sent this request. Answers what it has now heard, and whether it must believe that.
    pub(super) fn answer(&self, number: u64, dice: &mut Dice) -> Option<(News, Belief)> {
        let mut outside = self.outside();
        let mut exchange = outside.exchanges.remove(&number)?;
        let reply = exchange.reply.take();
        let wallet = outside.town(&exchange.request.url).is_none();
        let (answered, left) = outside.decide(&exchange, self.clock.world(), dice);
        if left == Left::Adrift {
            outside.exchanges.insert(number, exchange);
        }
        // Nobody listens when the process died meanwhile.
        if let Some(reply) = reply {
            drop(reply.send(answered.outcome));
        }
        let credible = answered.belief != Belief::No && (!wallet || self.clock.is_credible());
        answered.says.filter(|_| credible).map(|news| (news, answered.belief))
    }
}

impl Transport for Wire {
    fn send<'a>(&'a self, request: OutgoingRequest, _: &'a TargetPolicy, _: Limits) -> Sending<'a> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let number = self.asked.fetch_add(1, Relaxed);
            let (sent_at, left_at) = (self.clock.now(), self.clock.world());
            let exchange = Exchange { request, sent_at, left_at, reply: Some(reply) };
            self.outside().send(number, exchange);
            self.bell.notify_one();
            answer.await.unwrap_or(Err(SendError::Protocol))
        })
    }
}
