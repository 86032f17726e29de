//! Callbacks to many shops at once, one of which takes none: how many arrive, and how long after the commit of their event.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;

use super::BenchError;
use super::load::{self, Outcome, WARM_UP};
use super::meter::{Cpu, Histogram, Stopwatch};
use super::shop::{self, subscribe, unsubscribe};
use super::site::{self, Site};
use crate::domain::endpoint::ENDPOINTS_MAX;
use crate::domain::event::EventType;
use crate::flows::{Moment, payments};

/// Of all endpoints; 5 % of them.
const DEAD: usize = ENDPOINTS_MAX / 20;
/// Callbacks that wait at most: enough to keep the queue busy, few enough that their age tells how fast it is.
const WAITING_MAX: u64 = 600;
/// Payments in one write.
const PAYMENTS_PER_WRITE: usize = 4;
/// How often is looked whether more are needed.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// What was sent arrives within this, or does not.
const LAST_WITHIN: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Arrived {
    all: AtomicU64,
    counted: Mutex<Histogram>,
}

/// Makes events for `time`, as fast as their callbacks are taken.
pub fn run(site: &Site, time: Duration, orders: &Arc<AtomicU64>) -> Result<Outcome, BenchError> {
    load::on_client_thread(async {
        let watch = Stopwatch::start();
        let arrived = Arc::new(Arrived::default());
        let (hearing, clock) = (arrived.clone(), site.env.clone());
        // The id of an event begins with the time of its transaction, which is a little before the commit.
        let heard = move |event: crate::domain::ids::EventId, _: &[u8]| {
            hearing.all.fetch_add(1, Relaxed);
            if (WARM_UP..=WARM_UP + time).contains(&watch.elapsed()) {
                let took = clock.now().since(event.created_at());
                let mut counted = hearing.counted.lock().unwrap_or_else(PoisonError::into_inner);
                counted.record(took.as_millis().saturating_mul(1000));
            }
        };
        let shop = shop::open(Arc::new(heard)).await?;
        // It answers the call and never says a word.
        let silent = TcpListener::bind("127.0.0.1:0").await.map_err(BenchError::io("opening the shop"))?;
        let silent_address = silent.local_addr().map_err(BenchError::io("opening the shop"))?;
        let alive = ENDPOINTS_MAX - DEAD;
        let mut urls: Vec<String> = (0..alive).map(|number| format!("http://{}/{number}", shop.address)).collect();
        urls.extend((0..DEAD).map(|number| format!("http://{silent_address}/{number}")));
        let endpoints = subscribe(site, &urls, &[EventType::PaymentCreated]).await?;

        let mut sent = 0;
        let mut cpu = None;
        while watch.elapsed() < WARM_UP + time {
            if cpu.is_none() && watch.elapsed() >= WARM_UP {
                cpu = Some(Cpu::now());
            }
            if sent - arrived.all.load(Relaxed) > WAITING_MAX {
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            }
            create(site, orders).await?;
            sent += (PAYMENTS_PER_WRITE * alive) as u64;
        }
        let cpu = cpu.map(|begun| Cpu::now().since(&begun)).unwrap_or_default();
        let end = watch.elapsed();
        while arrived.all.load(Relaxed) < sent && watch.elapsed() < end + LAST_WITHIN {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let missing = sent - arrived.all.load(Relaxed);
        unsubscribe(site, endpoints).await?;
        if missing > 0 {
            return Err(BenchError::Setup(format!("{missing} callbacks never arrived")));
        }
        let latency = arrived.counted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Outcome { done: latency.count(), elapsed: time, latency, cpu })
    })
}

async fn create(site: &Site, orders: &AtomicU64) -> Result<(), BenchError> {
    let first = orders.fetch_add(PAYMENTS_PER_WRITE as u64, Relaxed);
    let new = (0..PAYMENTS_PER_WRITE as u64).map(|number| site::order(format!("call-{}", first + number)));
    let (new, scope, moment): (Vec<_>, _, _) = (new.collect(), site.scope, Moment::new(&site.env));
    let write = site.house.gateway.store.write(move |tx| {
        let mut moment = moment;
        new.iter().try_for_each(|order| payments::create(tx, scope, order, None, &mut moment).map(drop))
    });
    write.await.map_err(BenchError::from)
}
