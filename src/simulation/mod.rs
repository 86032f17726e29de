//! `coffer simulate`: the whole gateway below HTTP on one thread, with simulated clock, randomness, network and disk.
//!
//! Customers pay, refuse, pay late, twice and wrong amounts; answers and notifications are lost, doubled, reordered and
//! forged; shops are down, slow and confused; the process dies at any commit and while it recovers; clocks are wrong.
//! After every step the books balance and every payment is as a plain model, written from the rules alone, says it must
//! be. In the end every payment made is booked exactly once, every answered request is there, and every event is
//! delivered or dead.
//!
//! A run is a seed. A run that fails is shortened to the steps that matter, and the same seed with those steps replays it.

mod check;
mod clock;
mod customers;
mod decided;
mod dice;
mod house;
mod log;
mod many;
mod meaning;
mod model;
mod people;
mod poller;
mod provider;
mod rare;
mod requests;
mod shop;
mod story;
mod town;
mod wire;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

pub use dice::Dice;
pub use many::{Exploration, Failure, explore, shorten};
pub use rare::RARE;

use clock::{SimulatedClock, SimulatedEntropy};
use log::ErrorLog;
use story::Story;

use crate::env::Env;

/// Steps of an ordinary run, before everything calms down.
pub const STEPS: usize = 50;

/// What is simulated, besides the seed.
#[derive(Clone, Debug)]
pub struct Plan {
    pub steps: usize,
    /// Of these steps only these are taken, counted from 1.
    pub only: Option<Vec<usize>>,
    /// Whether the story is written down.
    pub trace: bool,
    pub flaw: Option<Flaw>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { steps: STEPS, only: None, trace: false, flaw: None }
    }
}

/// A world that breaks its own promise: the control that shows that the simulation would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// One sync in so many is reported and not done.
    DiskIgnoresOneSyncIn(u64),
    /// The provider takes money and says that it has none.
    ProviderDeniesMoney,
}

/// What one seed told.
#[derive(Debug)]
pub struct Run {
    /// What was wrong, in a sentence.
    pub outcome: Result<(), String>,
    /// How often each rare thing happened.
    pub noted: BTreeMap<&'static str, u64>,
    pub trace: Vec<String>,
}

/// An environment in which nothing is left to chance: time stands still, and what is random comes from the seed.
pub fn environment(seed: u64) -> Env {
    Env { clock: Arc::new(SimulatedClock::new()), entropy: Arc::new(SimulatedEntropy::new(seed)) }
}

/// Runs one seed. The same seed and plan tell the same every time.
pub fn run(seed: u64, plan: &Plan) -> Run {
    let log = ErrorLog::default();
    let mut trace = Vec::new();
    let mut noted = BTreeMap::new();
    let told = tracing::subscriber::with_default(log.clone(), || {
        catch_unwind(AssertUnwindSafe(|| {
            let mut story = Story::begin(seed, plan, log)?;
            let told = story.tell(seed, plan);
            (trace, noted) = story.end();
            told
        }))
    });
    let outcome = told.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(format!("it panicked: {}", text.unwrap_or_default()))
    });
    Run { outcome, noted, trace }
}
