//! What is measured with: a stopwatch, a histogram of latencies, CPU time by thread, memory. Linux tells the last two.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Real time. Only here: everything that is measured takes its time from the environment.
#[derive(Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "measuring real time is what this is for")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    pub fn micros(self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// Steps within each power of two: a value is known to about 3 %.
const STEPS: usize = 32;
/// Powers of two beyond the first steps: up to about an hour in microseconds.
const POWERS: usize = 28;

/// Counts of microseconds.
#[derive(Clone)]
pub struct Histogram(Vec<u64>);

impl Default for Histogram {
    fn default() -> Self {
        Self(vec![0; STEPS * POWERS])
    }
}

impl Histogram {
    pub fn record(&mut self, micros: u64) {
        let place = Self::place(micros).min(self.0.len() - 1);
        self.0[place] += 1;
    }

    pub fn add(&mut self, other: &Histogram) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| *mine += theirs);
    }

    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The value that `per_mille` of all values do not exceed, in microseconds; 0 of none.
    pub fn quantile(&self, per_mille: u64) -> u64 {
        let wanted = (self.count() * per_mille).div_ceil(1000);
        let mut seen = 0;
        for (place, count) in self.0.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= wanted {
                return Self::value(place);
            }
        }
        0
    }

    fn place(micros: u64) -> usize {
        let value = usize::try_from(micros).unwrap_or(usize::MAX);
        if value < STEPS {
            return value;
        }
        let power = value.ilog2() as usize - STEPS.ilog2() as usize;
        (power + 1) * STEPS + (value >> power) - STEPS
    }

    fn value(place: usize) -> u64 {
        let (power, step) = (place / STEPS, place % STEPS);
        let value = if power == 0 { step } else { (STEPS + step) << (power - 1) };
        value as u64
    }
}

/// Parts of the process that CPU time is told for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The load generator and everything that plays a shop.
    Clients,
    /// Threads that answer requests.
    Workers,
    /// The thread that commits.
    Writer,
    /// Everything else: reads, the queue, callbacks.
    Rest,
}

/// What the load generator's threads are named.
pub const CLIENT_THREAD: &str = "bench-client";

impl Part {
    /// The part that a thread of this name is.
    fn of(thread: &str) -> Self {
        match thread {
            _ if thread.starts_with(CLIENT_THREAD) => Part::Clients,
            _ if thread.starts_with("actix-rt") => Part::Workers,
            _ if thread.starts_with("store-writer") => Part::Writer,
            _ => Part::Rest,
        }
    }
}

/// CPU time of a thread in microseconds. Source: the kernel's sched-stats: the first number of `schedstat` is nanoseconds.
fn used_micros(thread: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(thread.join("schedstat")).ok()?;
    Some(text.split_ascii_whitespace().next()?.parse::<u64>().ok()? / 1000)
}

/// CPU time that this thread has used, in microseconds; 0 where the system does not tell.
pub fn own_cpu_micros() -> u64 {
    used_micros(Path::new("/proc/thread-self")).unwrap_or_default()
}

/// CPU time since the start of the process, in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Cpu(BTreeMap<Part, u64>);

impl Cpu {
    /// Reads it for all threads that live now.
    pub fn now() -> Self {
        let mut parts = BTreeMap::new();
        let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        for thread in threads {
            let name = std::fs::read_to_string(thread.path().join("comm"));
            if let (Ok(name), Some(micros)) = (name, used_micros(&thread.path())) {
                *parts.entry(Part::of(&name)).or_default() += micros;
            }
        }
        Self(parts)
    }

    /// What was used since.
    pub fn since(&self, earlier: &Cpu) -> Cpu {
        let used = |(part, micros): (&Part, &u64)| (*part, micros.saturating_sub(earlier.of(*part)));
        Cpu(self.0.iter().map(used).collect())
    }

    pub fn of(&self, part: Part) -> u64 {
        self.0.get(&part).copied().unwrap_or_default()
    }

    /// Without the load generator.
    pub fn server(&self) -> u64 {
        self.of(Part::Workers) + self.of(Part::Writer) + self.of(Part::Rest)
    }
}

/// Bytes of memory that a process has now and that it had at most. Source: proc(5), `status`, in kB.
pub fn memory(process: &str) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some((line("VmRSS:")?, line("VmHWM:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_kept_to_three_per_cent() {
        for value in [0, 1, 31, 32, 33, 63, 64, 1000, 12_345, 999_999, 3_000_000_000] {
            let kept = Histogram::value(Histogram::place(value));
            assert!(kept <= value && value - kept <= value / 32, "{value} became {kept}");
        }
    }

    #[test]
    fn quantiles_are_values_that_were_recorded() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(500), 0);
        (1..=20).for_each(|micros| histogram.record(micros));
        histogram.record(u64::MAX);
        assert_eq!((histogram.quantile(0), histogram.quantile(500), histogram.quantile(952)), (1, 11, 20));
        assert!(histogram.quantile(1000) > 1_000_000_000);
    }

    #[test]
    fn a_thread_is_counted_by_its_name() {
        assert_eq!(Part::of("actix-rt|system"), Part::Workers);
        assert_eq!(Part::of("store-writer\n"), Part::Writer);
        assert_eq!(Part::of("bench-client"), Part::Clients);
        assert_eq!(Part::of("tokio-rt-worker"), Part::Rest);
    }
}
