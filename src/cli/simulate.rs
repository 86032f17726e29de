//! `coffer simulate`: tortures this very executable in a simulated world. Touches neither data nor network.

use std::time::Duration;

use super::failure::{Exit, Failure};
use super::{Teller, Terminal, print};
use crate::env::{Clock, SystemClock};
use crate::simulation::{self, Exploration, Plan, RARE, STEPS};

/// What is asked for on the command line.
#[derive(clap::Args)]
pub struct Arguments {
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first of them
    #[arg(long, value_name = "N", default_value_t = 0)]
    first: u64,
    /// Run this one only, and tell what happens in it
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
    /// Steps of a seed, before everything calms down
    #[arg(long, value_name = "N", default_value_t = STEPS, value_parser = steps)]
    steps: usize,
    /// With --seed: only these of its steps, as in "3,17,18"
    #[arg(long, value_name = "STEPS", value_delimiter = ',', requires = "seed")]
    only: Option<Vec<usize>>,
}

/// More would not fit the lists that are read in one piece.
const STEPS_MAX: usize = 10_000;

fn steps(text: &str) -> Result<usize, String> {
    let steps = text.parse().map_err(|_| "not a number".to_owned())?;
    if (1..=STEPS_MAX).contains(&steps) { Ok(steps) } else { Err(format!("1 to {STEPS_MAX}")) }
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let plan = Plan { steps: arguments.steps, only: arguments.only.clone(), ..Plan::default() };
    match arguments.seed {
        Some(seed) => replay(seed, &Plan { trace: true, ..plan }),
        None => search(arguments, &plan),
    }
}

fn replay(seed: u64, plan: &Plan) -> Result<(), Failure> {
    let told = simulation::run(seed, plan);
    print(&(told.trace.join("\n") + "\n"));
    match told.outcome {
        Ok(()) => {
            print(&format!("seed {seed}: every promise was kept\n"));
            Ok(())
        }
        Err(what) => Err(Failure::new(Exit::Found, format!("seed {seed}: {what}"))),
    }
}

fn search(arguments: &Arguments, plan: &Plan) -> Result<(), Failure> {
    let clock = SystemClock::new();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut terminal = Terminal::default();
    let seeds = arguments.seeds;
    let found = simulation::explore(arguments.first, seeds, threads, plan, &mut |done| {
        terminal.progress("simulate", done, seeds);
    });
    drop(terminal);
    let took = Duration::from_millis(clock.monotonic_ms());
    let Some(failure) = &found.failure else {
        print(&summary(&found, plan, took));
        let missed = found.missed();
        if missed.is_empty() {
            return Ok(());
        }
        let why = format!("in {seeds} seeds it never happened that {}", missed.join("; that "));
        return Err(Failure::new(Exit::Found, why));
    };
    let only = simulation::shorten(failure.seed, plan);
    let short = Plan { only: Some(only.clone()), trace: true, ..plan.clone() };
    let told = simulation::run(failure.seed, &short);
    print(&story(&told.trace));
    let list: Vec<String> = only.iter().map(usize::to_string).collect();
    let seed = failure.seed;
    let steps = if plan.steps == STEPS { String::new() } else { format!(" --steps {}", plan.steps) };
    print(&format!("replay: coffer simulate --seed {seed}{steps} --only {}\n", list.join(",")));
    let what = told.outcome.err().unwrap_or_else(|| failure.what.clone());
    let what = format!("seed {seed}, the {}th that was run, breaks a promise: {what}", failure.after_seeds);
    Err(Failure::new(Exit::Found, what))
}

/// Lines of a shortened story that are shown: its end is what matters.
const STORY_LINES_MAX: usize = 60;

fn story(trace: &[String]) -> String {
    let left_out = trace.len().saturating_sub(STORY_LINES_MAX);
    let mut text = if left_out > 0 { format!("… {left_out} lines before\n") } else { String::new() };
    text.extend(trace[left_out..].iter().map(|line| format!("{line}\n")));
    text
}

fn summary(found: &Exploration, plan: &Plan, took: Duration) -> String {
    let mut text = String::new();
    for rare in RARE {
        let times = found.noted.get(rare).copied().unwrap_or(0);
        text += &format!("{times:>9}  {rare}\n");
    }
    text + &format!(
        "{} seeds of {} steps in {:.1} s: every promise was kept\n",
        found.seeds,
        plan.steps,
        took.as_secs_f64()
    )
}
