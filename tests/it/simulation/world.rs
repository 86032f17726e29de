//! The world around the gateway, from a seed: clock, randomness, disk, network, customers, shops.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use coffer::domain::time::{Duration, Timestamp};
use coffer::env::target::TargetPolicy;
use coffer::env::transport::{
    ConnectFault, Limits, OutgoingRequest, OutgoingResponse, Phase, SendError, Sending, Transport,
};
use coffer::env::{Clock, Entropy, Env};

use super::provider::Provider;

/// SplitMix64: small, and the same everywhere.
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.roll() % limit.max(1) as u64) as usize
    }

    /// True in `percent` of all cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.roll() % 100 < percent
    }

    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() { None } else { all.get(self.below(all.len())) }
    }
}

pub struct SimClock(AtomicI64);

impl SimClock {
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_millis(), Relaxed);
    }

    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as i64, Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Relaxed))
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.load(Relaxed) as u64
    }
}

struct SimEntropy(AtomicU64);

impl Entropy for SimEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number = Dice::new(self.0.fetch_add(0x1234_5678_9abc_def1, Relaxed)).roll().to_be_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
    }
}

/// What the network and everything behind it knows; outlives crashes.
pub struct Outside {
    pub dice: Dice,
    pub provider: Provider,
    /// Ids of callbacks that the shop took, with how often.
    pub taken: BTreeMap<String, u32>,
    /// While true, nothing goes wrong any more.
    pub calm: bool,
    /// Percent of exchanges that go wrong.
    pub trouble: u64,
    /// The shop answers nothing until everything calms down.
    pub shop_down: bool,
    /// Notifications on their way: headers are made when they arrive, as a provider's retry is signed anew.
    pub letters: Vec<Vec<u8>>,
    /// Rare things that happened; the suite asserts that each does in some seed.
    pub sometimes: BTreeSet<&'static str>,
}

#[derive(Clone)]
pub struct Network {
    pub outside: Arc<Mutex<Outside>>,
    clock: Arc<SimClock>,
}

impl Transport for Network {
    fn send<'a>(&'a self, request: OutgoingRequest, _: &'a TargetPolicy, _: Limits) -> Sending<'a> {
        Box::pin(async move { self.exchange(&request) })
    }
}

impl Network {
    fn exchange(&self, request: &OutgoingRequest) -> Result<OutgoingResponse, SendError> {
        let mut outside = self.outside.lock().unwrap();
        let outside = &mut *outside;
        let now = self.clock.now();
        let trouble = !outside.calm && outside.dice.chance(outside.trouble);
        let kind = outside.dice.below(5);
        if trouble && kind == 0 {
            return Err(SendError::Connect { fault: ConnectFault::Refused });
        }
        let url = request.url.split_once("://").unwrap().1;
        let (host, path) = url.split_at(url.find('/').unwrap());
        let (status, headers, body) = if host.starts_with("shop") {
            let id = &request.headers.iter().find(|(name, _)| name == "webhook-id").unwrap().1;
            if (outside.shop_down && !outside.calm) || (trouble && kind == 1) {
                return Ok(response(500, Vec::new(), b"oops".to_vec()));
            } else {
                // Also when the answer is lost below: then the shop has it and we do not know.
                *outside.taken.entry(id.clone()).or_default() += 1;
                (200, Vec::new(), Vec::new())
            }
        } else {
            if trouble && kind == 1 {
                return Ok(response(503, Vec::new(), b"<html>busy</html>".to_vec()));
            }
            let fate = if outside.dice.chance(20) { "ABNORMAL" } else { "SUCCESS" };
            let (status, body) = outside.provider.serve(path, &request.body, fate);
            let headers = outside.provider.headers(&body, now);
            (status, headers, body)
        };
        if trouble {
            match kind {
                // Carried out, and the answer never came.
                2 => return Err(SendError::Timeout { phase: Phase::Reply }),
                3 => return Ok(response(200, headers, b"{\"rubbish\":".to_vec())),
                _ => {}
            }
        }
        Ok(response(status, headers, body))
    }
}

fn response(status: u16, headers: Vec<(String, String)>, body: Vec<u8>) -> OutgoingResponse {
    let address: SocketAddr = "203.0.113.1:443".parse().unwrap();
    OutgoingResponse { status, headers, body, truncated: false, address, connect_ms: 1, total_ms: 1 }
}

/// What is replaced together at a seed's beginning and survives crashes.
pub struct World {
    pub clock: Arc<SimClock>,
    pub env: Env,
    pub network: Network,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let clock = Arc::new(SimClock(AtomicI64::new(1_790_000_000_000)));
        let env = Env { clock: clock.clone(), entropy: Arc::new(SimEntropy(AtomicU64::new(seed))) };
        let mut dice = Dice::new(seed ^ 0xc0ff_ee00);
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_be_bytes());
        let trouble = [0, 10, 30, 60][dice.below(4)];
        let shop_down = dice.chance(20);
        let outside = Outside {
            dice,
            provider: Provider::new(key),
            taken: BTreeMap::new(),
            calm: false,
            trouble,
            shop_down,
            letters: Vec::new(),
            sometimes: BTreeSet::new(),
        };
        let network = Network { outside: Arc::new(Mutex::new(outside)), clock: clock.clone() };
        Self { clock, env, network }
    }
}
