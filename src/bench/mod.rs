//! `coffer bench`: how fast this very executable is on this very machine, beside baselines from the same run.
//!
//! Rounds are interleaved: each measures everything once, so that a machine that slows down slows the baselines too.
//! A ratio is formed within a round; what is told is the median of the rounds, with the least and the greatest.

mod baseline;
mod callbacks;
mod cases;
mod lifecycle;
mod listener;
mod load;
pub mod meter;
mod notices;
mod own;
mod pages;
mod provider;
mod report;
mod scripts;
pub mod serving;
mod shop;
mod site;

use std::fmt;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

pub use cases::Case;
pub use lifecycle::Channel;
pub use report::Report;
pub use site::{OpenStore, TemporaryFolder, Tenant};

use cases::Measuring;
use site::Site;

use crate::cli::config::Config;
use crate::domain::ids::PaymentId;
use crate::store::StoreError;

/// Starting a server again tells the same.
const STARTS_MAX: u32 = 3;

/// Tables whose size is told, the largest.
const TABLES_TOLD: usize = 12;

/// Without enough of them neither reads nor the file's size say anything.
const PAYMENTS_MIN: u64 = 10_000;

/// What is measured and how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Time for each measurement of a round.
    pub time: Duration,
    pub rounds: u32,
    pub connections: usize,
    /// Paid payments that the store holds before anything is measured.
    pub payments: u64,
    pub cases: Vec<Case>,
    pub channel: Channel,
    pub executable: PathBuf,
    /// The data file that is filled.
    pub file: PathBuf,
    /// A data folder that is set up and stays without payments, for starting the executable on.
    pub idle: PathBuf,
    /// Another one, to tell what creating a payment costs in a young store; measured when the store was filled.
    pub fresh: Option<Fresh>,
}

/// A data folder with no history.
#[derive(Clone, Debug)]
pub struct Fresh {
    pub folder: PathBuf,
    /// A token for test mode with all permissions.
    pub bearer: String,
}

/// Why nothing can be told.
#[derive(Debug)]
pub enum BenchError {
    Setup(String),
    Store(StoreError),
    Io {
        doing: &'static str,
        source: std::io::Error,
    },
    /// The server answered something else than it should.
    Answer {
        status: u16,
        body: String,
    },
    NotHttp,
}

impl BenchError {
    fn io(doing: &'static str) -> impl Fn(std::io::Error) -> Self {
        move |source| BenchError::Io { doing, source }
    }
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BenchError::Setup(why) => write!(f, "the measurements cannot be set up: {why}"),
            BenchError::Store(_) => f.write_str("the store failed while measuring"),
            BenchError::Io { doing, .. } => write!(f, "{doing} failed"),
            BenchError::Answer { status, body } => write!(f, "the server answered {status}: {body}"),
            BenchError::NotHttp => f.write_str("the server's answer cannot be read"),
        }
    }
}

impl std::error::Error for BenchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BenchError::Store(error) => Some(error),
            BenchError::Io { source, .. } => Some(source),
            BenchError::Setup(_) | BenchError::Answer { .. } | BenchError::NotHttp => None,
        }
    }
}

impl From<StoreError> for BenchError {
    fn from(error: StoreError) -> Self {
        BenchError::Store(error)
    }
}

impl From<crate::flows::FlowError> for BenchError {
    fn from(error: crate::flows::FlowError) -> Self {
        BenchError::Setup(error.to_string())
    }
}

/// Fills the store, measures round after round, and answers the figures. `progress` hears of work, done and total.
pub fn run(
    plan: &Plan,
    config: &Config,
    listener: TcpListener,
    tenant: &Tenant,
    open: OpenStore<'_>,
    mut progress: impl FnMut(&str, u64, u64),
) -> Result<Report, BenchError> {
    let mut report = Report::default();
    let known = fill(plan, config, tenant, open, &mut report, &mut progress)?;
    for round in 0..plan.rounds.min(STARTS_MAX) {
        progress("starts", round.into(), plan.rounds.min(STARTS_MAX).into());
        let (started, memory) = own::measure(&plan.executable, &plan.idle)?;
        report.add("start", started);
        memory.into_iter().for_each(|megabytes| report.add("memory_idle", megabytes));
        let (started, memory) = own::measure(&plan.executable, &config.data_dir)?;
        report.add("start_filled", started);
        memory.into_iter().for_each(|megabytes| report.add("memory_filled", megabytes));
    }
    let site = Site { known, ..Site::open(config, tenant, open)? };
    let measuring = Measuring::start(plan, &site, config, listener)?;
    for round in 0..plan.rounds {
        progress("rounds", round.into(), plan.rounds.into());
        measuring.round(round, &config.data_dir, &mut report)?;
    }
    Ok(report)
}

/// Fills the store and closes it, which gives back what the file had in reserve. Answers payments to read.
fn fill(
    plan: &Plan,
    config: &Config,
    tenant: &Tenant,
    open: OpenStore<'_>,
    report: &mut Report,
    progress: &mut impl FnMut(&str, u64, u64),
) -> Result<Vec<PaymentId>, BenchError> {
    let payments = plan.payments.max(PAYMENTS_MIN);
    let site = Site::open(config, tenant, open)?;
    let store = site.house.gateway.store.clone();
    let length =
        || std::fs::metadata(&plan.file).map(|file| file.len()).map_err(BenchError::io("reading the data file"));
    let before: u64 = store.space()?.iter().map(|table| table.page_bytes).sum();
    let known = site.fill(payments, |done, total| progress("payments", done, total))?;
    for table in store.space()?.into_iter().take(TABLES_TOLD) {
        report.add_table(table.name, table.page_bytes as f64 / payments as f64);
    }
    store.close();
    report.add("payment_bytes", length()?.saturating_sub(before) as f64 / payments as f64);
    Ok(known)
}
