//! Thousands of seeds of the simulation, and controls: worlds that break their promise, which it has to notice.
//!
//! `COFFER_SEEDS=10000` runs more seeds; `coffer simulate --seed 42` replays one and tells what happens.

use coffer::simulation::{Exploration, Failure, Flaw, Plan, explore, run, shorten};

/// Seeds of an ordinary run.
const SEEDS: u64 = 2_000;
/// Within so many seeds a control must be noticed.
const CONTROL_SEEDS_MAX: u64 = 100;

fn many(count: u64, plan: &Plan) -> Exploration {
    explore(0, count, std::thread::available_parallelism().map_or(1, usize::from), plan, &mut |_| {})
}

fn told(failure: &Failure) -> String {
    let steps: Vec<String> = shorten(failure.seed, &Plan::default()).iter().map(usize::to_string).collect();
    let (seed, steps, what) = (failure.seed, steps.join(","), &failure.what);
    format!("seed {seed} breaks a promise: {what}\nreplay: coffer simulate --seed {seed} --only {steps}")
}

#[test]
fn money_is_neither_lost_nor_invented_whatever_happens() {
    let seeds = std::env::var("COFFER_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let found = many(seeds, &Plan::default());
    if let Some(failure) = &found.failure {
        panic!("{}", told(failure));
    }
    assert_eq!(found.missed(), Vec::<&str>::new(), "in {seeds} seeds this never happened");
}

#[test]
fn a_seed_tells_the_same_story_every_time() {
    for seed in [3, 14, 159] {
        let plan = Plan { trace: true, ..Plan::default() };
        let (first, second) = (run(seed, &plan), run(seed, &plan));
        assert!(first.trace.len() > 50, "{:?}", first.outcome);
        assert_eq!(first.trace, second.trace);
        assert_eq!(first.noted, second.noted);
    }
}

/// The control is found, and its story gets shorter.
fn assert_noticed(flaw: Flaw) {
    let plan = Plan { flaw: Some(flaw), ..Plan::default() };
    let found = many(CONTROL_SEEDS_MAX, &plan);
    let failure = found.failure.unwrap_or_else(|| panic!("{flaw:?} was not noticed in {CONTROL_SEEDS_MAX} seeds"));
    let steps = shorten(failure.seed, &plan);
    assert!(steps.len() < plan.steps / 2, "{} steps are left of {}", steps.len(), plan.steps);
    assert!(run(failure.seed, &Plan { only: Some(steps), ..plan }).outcome.is_err());
}

#[test]
fn a_disk_that_ignores_one_sync_in_seven_is_noticed() {
    assert_noticed(Flaw::DiskIgnoresOneSyncIn(7));
}

#[test]
fn a_provider_that_denies_money_it_took_is_noticed() {
    assert_noticed(Flaw::ProviderDeniesMoney);
}
