//! `coffer bench`: how fast this very executable is on this very machine, beside baselines from the same run.
//!
//! Rounds are interleaved: each measures everything once, so that a machine that slows down slows the baselines too.
//! A ratio is formed within a round; what is told is the median of the rounds, with the least and the greatest.

mod baseline;
mod cases;
mod load;
pub mod meter;
mod own;
mod report;
mod scripts;
pub mod serving;
mod site;

use std::fmt;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use cases::Case;
pub use report::Report;
pub use site::{TemporaryFolder, Tenant};

use cases::Measuring;
use site::Site;

use crate::cli::config::Config;
use crate::crypto::Vault;
use crate::store::{Store, StoreError};

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
    /// The executable, and a data folder of its own that is set up for it.
    pub own: (PathBuf, PathBuf),
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
    tenant: Tenant,
    store: Store,
    vault: Arc<Vault>,
    mut progress: impl FnMut(&str, u64, u64),
) -> Result<Report, BenchError> {
    let mut report = Report::default();
    let mut site = Site::open(config, tenant, store, vault)?;
    let bytes = site.fill(plan.payments.max(PAYMENTS_MIN), |done, total| progress("payments", done, total))?;
    report.add("payment_bytes", bytes);
    let measuring = Measuring::start(plan, &site, config, listener)?;
    for round in 0..plan.rounds {
        progress("rounds", round.into(), plan.rounds.into());
        measuring.round(round, &config.data_dir, &mut report)?;
        own::measure(&plan.own.0, &plan.own.1, &mut report)?;
    }
    Ok(report)
}
