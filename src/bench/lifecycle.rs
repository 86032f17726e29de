//! Whole payments through a channel: the shop creates one, the channel takes the order, the payer pays, the notification is
//! verified and booked, the shop is called back.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::BenchError;
use super::load::{self, Connection, Outcome, WARM_UP};
use super::meter::{Histogram, Stopwatch};
use super::provider::Provider;
use super::shop::{self, subscribe, unsubscribe};
use super::site::Site;
use crate::domain::event::EventType;
use crate::domain::ids::{AttemptId, PaymentId, Scope};
use crate::domain::method::Method;
use crate::sandbox::wallet::Wallet;
use crate::sandbox::wallet::model::Simulation;
use crate::store::tables::PAYMENTS;
use crate::store::{Read, Store};

/// What shoppers pay by.
const METHOD: Method = Method::WechatNative;
/// Payments under way at once: the queue works on no more of one channel account.
const SHOPPERS_MAX: usize = 32;
/// A callback that takes longer does not come.
const CALLBACK_WITHIN: Duration = Duration::from_secs(30);

/// What the payments go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The simulated provider inside the gateway: its own work, the payer's included, is part of the gateway's figure.
    TestWallet,
    /// The real adapter, with a provider beside the gateway.
    WechatPay,
}

impl Channel {
    pub const ALL: [Channel; 2] = [Channel::TestWallet, Channel::WechatPay];

    /// As it is named on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Channel::TestWallet => "test_wallet",
            Channel::WechatPay => "wechatpay",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.name() == name)
    }
}

/// Who plays the payer.
#[derive(Clone)]
pub enum Payer {
    TestWallet(Wallet),
    WechatPay(Provider),
}

impl Payer {
    /// Pays an attempt, and makes the channel tell the gateway at the end of `line` where it is the one to do so.
    async fn pay(&self, line: &mut Connection, address: SocketAddr, attempt: AttemptId) -> Result<(), BenchError> {
        match self {
            Payer::TestWallet(wallet) => {
                let paid = wallet.simulate(attempt, Simulation::Paid).await;
                paid.map_err(|error| BenchError::Setup(error.to_string()))
            }
            Payer::WechatPay(provider) => {
                line.request = provider.notification(address, attempt);
                let status = line.exchange().await?;
                if (200..300).contains(&status) {
                    return Ok(());
                }
                Err(BenchError::Answer { status, body: String::from_utf8_lossy(line.body()).into_owned() })
            }
        }
    }
}

/// Shoppers who wait until their shop has heard that they paid.
#[derive(Default)]
struct Waiting(Mutex<BTreeMap<PaymentId, Option<oneshot::Sender<()>>>>);

impl Waiting {
    /// Whoever comes second, the shopper or the callback, ends the wait.
    fn meet(&self, payment: PaymentId, bell: Option<oneshot::Sender<()>>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.remove(&payment) {
            // A shopper that went away needs no bell.
            Some(other) => drop(bell.or(other).map(|bell| bell.send(()))),
            None => drop(waiting.insert(payment, bell)),
        }
    }
}

struct Mall {
    payer: Payer,
    store: Store,
    scope: Scope,
    bearer: String,
    address: SocketAddr,
    orders: Arc<AtomicU64>,
    waiting: Arc<Waiting>,
}

/// Lets shoppers pay for `time`. A payment takes from its creation until the shop was called back.
pub fn run(
    site: &Site,
    payer: Payer,
    address: SocketAddr,
    shoppers: usize,
    time: Duration,
    orders: &Arc<AtomicU64>,
) -> Result<Outcome, BenchError> {
    let waiting = Arc::new(Waiting::default());
    let mall = Arc::new(Mall {
        payer,
        store: site.house.gateway.store.clone(),
        scope: site.scope,
        bearer: site.bearer.clone(),
        address,
        orders: orders.clone(),
        waiting: waiting.clone(),
    });
    load::on_client_thread(async {
        let heard = move |_, body: &[u8]| {
            if let Some(payment) = named(body) {
                waiting.meet(payment, None);
            }
        };
        let shop = shop::open(Arc::new(heard)).await?;
        let url = format!("http://{}/callback", shop.address);
        let endpoints = subscribe(site, &[url], &[EventType::PaymentPaid]).await?;
        let watch = Stopwatch::start();
        let mut tasks = JoinSet::new();
        for _ in 0..shoppers.min(SHOPPERS_MAX) {
            tasks.spawn(shopper(mall.clone(), watch, WARM_UP + time));
        }
        let outcome = load::collect(tasks, watch, time).await?;
        unsubscribe(site, endpoints).await?;
        Ok(outcome)
    })
}

async fn shopper(mall: Arc<Mall>, watch: Stopwatch, end: Duration) -> Result<Histogram, BenchError> {
    let mut latency = Histogram::default();
    let mut line = Connection::open(mall.address).await?;
    loop {
        let begun = watch.elapsed();
        if begun >= end {
            return Ok(latency);
        }
        let body = format!(
            "{{\"amount\":{{\"currency\":\"CNY\",\"value\":\"12.30\"}},\"order_id\":\"life-{}\",\"method\":\"{}\",\
             \"description\":\"Mug, blue, 350 ml\"}}",
            mall.orders.fetch_add(1, Relaxed),
            METHOD.code(),
        );
        line.request.clear();
        write!(
            line.request,
            "POST /v1/payments HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            mall.bearer,
            body.len()
        )
        .expect("a vector takes every byte");
        let status = line.exchange().await?;
        let payment = named(line.body()).filter(|_| status == 201);
        let Some(payment) = payment else {
            return Err(BenchError::Answer { status, body: String::from_utf8_lossy(line.body()).into_owned() });
        };
        let stored = mall.store.read_blocking(|tx| tx.get(&PAYMENTS, &(mall.scope, payment)))?;
        let attempt = stored.and_then(|payment| payment.current);
        let attempt = attempt.ok_or_else(|| BenchError::Setup("a payment has no attempt".to_owned()))?;
        mall.payer.pay(&mut line, mall.address, attempt).await?;
        let (bell, called_back) = oneshot::channel();
        mall.waiting.meet(payment, Some(bell));
        if tokio::time::timeout(CALLBACK_WITHIN, called_back).await.is_err() {
            return Err(BenchError::Setup(format!("{payment} was never called back")));
        }
        let ended = watch.elapsed();
        if ended >= WARM_UP && ended <= end {
            latency.record(u64::try_from((ended - begun).as_micros()).unwrap_or(u64::MAX));
        }
    }
}

/// The first payment's id in an answer or a callback.
fn named(body: &[u8]) -> Option<PaymentId> {
    const MARK: &[u8] = b"\"id\":\"pay_";
    let at = body.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let end = at + body[at..].iter().position(|byte| *byte == b'"')?;
    PaymentId::parse_bare(std::str::from_utf8(&body[at..end]).ok()?).ok()
}
