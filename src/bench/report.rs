//! What is told: one line for each figure with its baseline, as a table for people and as JSON for machines.

use std::collections::BTreeMap;

use serde_json::json;

/// A figure that can be told.
pub struct Row {
    pub name: &'static str,
    pub what: &'static str,
    pub unit: Unit,
    /// The row that it is compared with.
    pub baseline: Option<&'static str>,
    pub goal: Option<Goal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    PerSecond,
    Micros,
    Millis,
    Megabytes,
    Bytes,
    Count,
}

/// What DESIGN asks for.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    RatioAtLeast(f64),
    RatioAtMost(f64),
    AtLeast(f64),
    AtMost(f64),
}

const fn row(name: &'static str, what: &'static str, unit: Unit) -> Row {
    Row { name, what, unit, baseline: None, goal: None }
}

impl Row {
    const fn of(mut self, baseline: &'static str) -> Self {
        self.baseline = Some(baseline);
        self
    }

    const fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }
}

/// Every figure, in the order in which they are told.
pub const ROWS: &[Row] = &[
    row("empty", "an empty handler", Unit::PerSecond),
    row("empty_cpu", "  CPU of the server for one", Unit::Micros),
    row("commit", "one bare redb commit", Unit::Micros),
    row("rsa_sign", "one RSA-2048 signature", Unit::Micros),
    row("create", "create a payment (bearer key)", Unit::PerSecond).of("empty").goal(Goal::RatioAtLeast(0.25)),
    row("create_p50", "  half are answered within", Unit::Millis),
    row("create_p99", "  99 % are answered within", Unit::Millis).goal(Goal::AtMost(20.0)),
    row("create_cpu", "  CPU of the server for one", Unit::Micros),
    row("create_cpu_writer", "    of it the writer", Unit::Micros),
    row("create_cpu_client", "  CPU of the load generator for one", Unit::Micros),
    row("create_signed", "create a payment (HMAC signature)", Unit::PerSecond)
        .of("empty")
        .goal(Goal::RatioAtLeast(0.25)),
    row("create_signed_p99", "  99 % are answered within", Unit::Millis).goal(Goal::AtMost(20.0)),
    row("create_signed_cpu", "  CPU of the server for one", Unit::Micros),
    row("create_flow", "the same without HTTP", Unit::PerSecond).of("empty"),
    row("create_flow_p99", "  99 % are answered within", Unit::Millis),
    row("create_flow_cpu", "  CPU of the writer for one", Unit::Micros),
    row("create_flow_batch", "  payments in one commit", Unit::Count),
    row("read", "read a payment", Unit::PerSecond).of("empty").goal(Goal::RatioAtLeast(0.5)),
    row("read_p99", "  99 % are answered within", Unit::Millis),
    row("read_cpu", "  CPU of the server for one", Unit::Micros),
    row("pages_p50", "a page of the console: half come within", Unit::Millis),
    row("pages_p99", "  99 % come within", Unit::Millis).goal(Goal::AtMost(20.0)),
    row("pages_cpu", "  CPU of the server for one", Unit::Micros),
    row("lifecycle", "a whole payment: CPU of the server", Unit::Micros).of("rsa_sign").goal(Goal::RatioAtMost(2.0)),
    row("lifecycle_rate", "  whole payments", Unit::PerSecond),
    row("lifecycle_p99", "  99 % are over within", Unit::Millis),
    row("notifications", "notifications verified and booked", Unit::PerSecond).goal(Goal::AtLeast(2000.0)),
    row("notifications_p99", "  99 % are answered within", Unit::Millis),
    row("notifications_cpu", "  CPU of the server for one", Unit::Micros),
    row("callbacks", "callbacks, 1 of 20 endpoints dead", Unit::PerSecond).goal(Goal::AtLeast(3000.0)),
    row("callbacks_p99", "  99 % arrive within", Unit::Millis).goal(Goal::AtMost(1000.0)),
    row("callbacks_cpu", "  CPU of the server for one", Unit::Micros),
    row("create_fresh", "create a payment, store without history", Unit::PerSecond),
    row("create_filled", "  and in this store", Unit::PerSecond).of("create_fresh").goal(Goal::RatioAtLeast(0.7)),
    row("payment_bytes", "file for one paid payment, journal and events", Unit::Bytes).goal(Goal::AtMost(2000.0)),
    row("start", "start on an empty store until the first answer", Unit::Millis).goal(Goal::AtMost(200.0)),
    row("memory_idle", "  memory after the start", Unit::Megabytes).goal(Goal::AtMost(40.0)),
    row("start_filled", "start on this store, integrity check included", Unit::Millis).goal(Goal::AtMost(5000.0)),
    row("memory_filled", "  memory after the start", Unit::Megabytes),
    row("memory_load", "most memory under load, load generator included", Unit::Megabytes).goal(Goal::AtMost(300.0)),
];

/// What was measured so far.
#[derive(Default)]
pub struct Report {
    values: BTreeMap<&'static str, Vec<f64>>,
    /// Tables with their part of a payment's bytes.
    tables: Vec<(String, f64)>,
}

/// The middle and the ends of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Report {
    /// Adds one round's value of a row.
    pub fn add(&mut self, name: &'static str, value: f64) {
        debug_assert!(ROWS.iter().any(|row| row.name == name), "{name} is no row");
        self.values.entry(name).or_default().push(value);
    }

    /// Adds a table with what a payment takes of it, in bytes.
    pub fn add_table(&mut self, name: String, bytes: f64) {
        self.tables.push((name, bytes));
    }

    /// For machines: `{"results":[{"name","value","unit","baseline","ratio","min","max"}…]}`.
    pub fn to_json(&self) -> serde_json::Value {
        let tables = self.tables.iter().map(|(name, bytes)| {
            json!({
                "name": format!("payment_bytes.{name}"),
                "value": bytes,
                "unit": Unit::Bytes.code(),
                "baseline": null,
                "ratio": null,
                "min": bytes,
                "max": bytes,
            })
        });
        let results: Vec<_> = self
            .measured()
            .map(|(row, spread)| {
                json!({
                    "name": row.name,
                    "value": spread.median,
                    "unit": row.unit.code(),
                    "baseline": row.baseline,
                    "ratio": self.ratio(row),
                    "min": spread.min,
                    "max": spread.max,
                })
            })
            .chain(tables)
            .collect();
        json!({ "results": results })
    }

    /// For people.
    pub fn to_table(&self) -> String {
        let mut out = format!("{:<52}{:>12}{:>12}{:>12}  {}\n", "", "median", "min", "max", "ratio and goal");
        for (row, spread) in self.measured() {
            let show = |value| row.unit.show(value);
            let values = format!("{:>12}{:>12}{:>12}", show(spread.median), show(spread.min), show(spread.max));
            let ratio = self.ratio(row).zip(row.baseline).map(|(ratio, of)| {
                if ratio < 10.0 { format!("{:.1} % of {of}", ratio * 100.0) } else { format!("{ratio:.0} × {of}") }
            });
            let goal = row.goal.map(|goal| format!("(goal {})", goal.show(row.unit)));
            let notes: Vec<String> = ratio.into_iter().chain(goal).collect();
            let what = format!("{} [{}]", row.what, row.unit.code());
            out.push_str(format!("{what:<52}{values}  {}", notes.join(" ")).trim_end());
            out.push('\n');
        }
        if !self.tables.is_empty() {
            let tables: Vec<String> = self.tables.iter().map(|(name, bytes)| format!("{name} {bytes:.0}")).collect();
            out += &format!("\nBytes of a payment by table: {}\n", tables.join(", "));
        }
        out
    }

    fn measured(&self) -> impl Iterator<Item = (&'static Row, Spread)> {
        ROWS.iter().filter_map(|row| Some((row, Spread::of(self.values.get(row.name)?)?)))
    }

    /// The median of the rounds' ratios.
    fn ratio(&self, row: &Row) -> Option<f64> {
        let (own, base) = (self.values.get(row.name)?, self.values.get(row.baseline?)?);
        let ratios: Vec<f64> =
            own.iter().zip(base).filter(|(_, base)| **base > 0.0).map(|(own, base)| own / base).collect();
        Spread::of(&ratios).map(|spread| spread.median)
    }
}

impl Spread {
    fn of(values: &[f64]) -> Option<Spread> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        Some(Spread { median: sorted[sorted.len() / 2], min, max })
    }
}

impl Unit {
    const fn code(self) -> &'static str {
        match self {
            Unit::PerSecond => "1/s",
            Unit::Micros => "µs",
            Unit::Millis => "ms",
            Unit::Megabytes => "MB",
            Unit::Bytes => "B",
            Unit::Count => "",
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Unit::PerSecond | Unit::Bytes => format!("{value:.0}"),
            Unit::Micros | Unit::Megabytes | Unit::Count => format!("{value:.1}"),
            Unit::Millis => format!("{value:.2}"),
        }
    }
}

impl Goal {
    fn show(self, unit: Unit) -> String {
        match self {
            Goal::RatioAtLeast(ratio) => format!("≥ {:.0} %", ratio * 100.0),
            Goal::RatioAtMost(ratio) => format!("≤ {:.0} %", ratio * 100.0),
            Goal::AtLeast(value) => format!("≥ {}", unit.show(value)),
            Goal::AtMost(value) => format!("≤ {}", unit.show(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_baseline_is_a_row_before_the_one_that_names_it() {
        for (place, row) in ROWS.iter().enumerate() {
            assert!(ROWS[..place].iter().all(|earlier| earlier.name != row.name), "{} twice", row.name);
            if let Some(base) = row.baseline {
                assert!(ROWS[..place].iter().any(|earlier| earlier.name == base), "{base} of {}", row.name);
            }
        }
    }

    #[test]
    fn a_ratio_is_formed_within_a_round() {
        let mut report = Report::default();
        // The machine got slower from round to round; the share did not change.
        for (empty, create) in [(1000.0, 300.0), (100.0, 30.0), (10.0, 3.0)] {
            report.add("empty", empty);
            report.add("create", create);
        }
        let json = report.to_json();
        let create = json["results"].as_array().unwrap().iter().find(|row| row["name"] == "create").unwrap();
        assert_eq!(create["ratio"], 0.3);
        assert_eq!((&create["value"], &create["min"], &create["max"]), (&json!(30.0), &json!(3.0), &json!(300.0)));
        assert!(report.to_table().lines().any(|line| line.contains("30.0 % of empty") && line.contains("≥ 25 %")));
    }

    #[test]
    fn what_was_not_measured_is_not_told() {
        let report = Report::default();
        assert_eq!(report.to_json()["results"].as_array().unwrap().len(), 0);
        assert_eq!(report.to_table().lines().count(), 1);
    }
}
