//! Many seeds at once, and the way from a failing one to the steps that matter.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Plan, RARE, run};

/// Runs that shortening may take.
const SHORTEN_RUNS_MAX: usize = 150;
/// In fewer seeds some rare things need not happen.
const SEEDS_FOR_ALL: u64 = 2_000;

/// What many seeds told.
#[derive(Debug, Default)]
pub struct Exploration {
    pub seeds: u64,
    /// How often each rare thing happened.
    pub noted: BTreeMap<&'static str, u64>,
    /// The failing seed that was found first.
    pub failure: Option<Failure>,
}

/// A seed that fails.
#[derive(Clone, Debug)]
pub struct Failure {
    pub seed: u64,
    /// Seeds that had been run until it was found, itself included.
    pub after_seeds: u64,
    pub what: String,
}

impl Exploration {
    /// Rare things that never happened, in a run that was long enough to expect them.
    pub fn missed(&self) -> Vec<&'static str> {
        let expected = if self.seeds >= SEEDS_FOR_ALL { &RARE[..] } else { &[] };
        expected.iter().copied().filter(|rare| !self.noted.contains_key(rare)).collect()
    }
}

/// Runs `count` seeds from `first` on with so many threads, until one fails. `progress` hears how many are done.
pub fn explore(
    first: u64,
    count: u64,
    threads: usize,
    plan: &Plan,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Exploration {
    let next = AtomicU64::new(0);
    let found = Mutex::new((Exploration::default(), progress));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Relaxed);
                    if number >= count {
                        break;
                    }
                    let told = run(first + number, plan);
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    let (exploration, progress) = &mut *found;
                    exploration.seeds += 1;
                    for (what, times) in told.noted {
                        *exploration.noted.entry(what).or_default() += times;
                    }
                    if let Err(what) = told.outcome {
                        next.store(count, Relaxed);
                        let failure = Failure { seed: first + number, after_seeds: exploration.seeds, what };
                        exploration.failure.get_or_insert(failure);
                    }
                    progress(exploration.seeds);
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner).0
}

/// The steps of a failing seed that still fail when all others are left out. What goes wrong may change on the way: any
/// broken promise is worth a look.
pub fn shorten(seed: u64, plan: &Plan) -> Vec<usize> {
    let mut steps: Vec<usize> = plan.only.clone().unwrap_or_else(|| (1..=plan.steps).collect());
    let mut runs = 0;
    let mut piece = steps.len().div_ceil(2);
    while piece > 0 && runs < SHORTEN_RUNS_MAX {
        let mut from = 0;
        while from < steps.len() && runs < SHORTEN_RUNS_MAX {
            let mut fewer = steps.clone();
            fewer.drain(from..(from + piece).min(steps.len()));
            runs += 1;
            let plan = Plan { only: Some(fewer.clone()), trace: false, ..plan.clone() };
            if run(seed, &plan).outcome.is_err() {
                steps = fewer;
            } else {
                from += piece;
            }
        }
        piece = if piece == 1 { 0 } else { piece.div_ceil(2) };
    }
    steps
}
