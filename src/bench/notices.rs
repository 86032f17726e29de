//! Notifications of payments: made before the watch starts, then delivered as fast as they are taken. An answer means that the
//! signature was verified and the payment is booked, durably.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::BenchError;
use super::load::{self, Connection, Outcome};
use super::meter::{Cpu, Histogram, Stopwatch};
use super::provider::Provider;
use super::site::Site;

/// Notifications of one measurement: so many are signed before the gateway, three seconds after an order, begins to ask.
const COUNT: u64 = 4_000;
/// What the adapter answers to a notification that it took.
const TAKEN: [u16; 2] = [200, 204];

/// Delivers [`COUNT`] notifications of payments that wait for them, over so many connections.
pub fn run(
    site: &Site,
    provider: &Provider,
    address: SocketAddr,
    connections: usize,
    orders: &Arc<std::sync::atomic::AtomicU64>,
) -> Result<Outcome, BenchError> {
    let first = orders.fetch_add(COUNT, Relaxed);
    let attempts = site.begin_all(provider.account, "notice", first..first + COUNT)?;
    let letters: Vec<Vec<u8>> = attempts.into_iter().map(|attempt| provider.notification(address, attempt)).collect();
    let letters = Arc::new(letters);
    load::on_client_thread(async move {
        let (watch, before, next) = (Stopwatch::start(), Cpu::now(), Arc::new(AtomicUsize::new(0)));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..connections {
            tasks.spawn(messenger(address, letters.clone(), next.clone(), watch));
        }
        let mut latency = Histogram::default();
        while let Some(ended) = tasks.join_next().await {
            latency.add(&ended.expect("messengers do not panic")?);
        }
        Ok(Outcome { done: latency.count(), elapsed: watch.elapsed(), latency, cpu: Cpu::now().since(&before) })
    })
}

async fn messenger(
    address: SocketAddr,
    letters: Arc<Vec<Vec<u8>>>,
    next: Arc<AtomicUsize>,
    watch: Stopwatch,
) -> Result<Histogram, BenchError> {
    let mut latency = Histogram::default();
    let mut line = Connection::open(address).await?;
    while let Some(letter) = letters.get(next.fetch_add(1, Relaxed)) {
        let sent = watch.micros();
        line.request.clone_from(letter);
        let status = line.exchange().await?;
        if !TAKEN.contains(&status) {
            return Err(BenchError::Answer { status, body: String::from_utf8_lossy(line.body()).into_owned() });
        }
        latency.record(watch.micros() - sent);
    }
    Ok(latency)
}
