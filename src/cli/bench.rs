//! `coffer bench`: measures this executable on this machine, in a temporary data folder that is removed afterwards.

use std::path::PathBuf;
use std::time::Duration;

use super::config::{Config, Inputs};
use super::failure::{Exit, Failure};
use super::init;
use super::place::{open_store, open_vault};
use super::{Teller, Terminal, print};
use crate::bench::{self, Case, Plan, TemporaryFolder, Tenant};
use crate::env::Env;
use crate::server;

/// What is asked for on the command line.
#[derive(clap::Args)]
pub struct Arguments {
    /// Print JSON for machines instead of a table
    #[arg(long)]
    json: bool,
    /// Seconds for each measurement of a round
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Rounds; each measures everything once
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Connections that ask at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Fill the store with so many paid payments first
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=100_000_000))]
    payments: u64,
    /// Measure only these, as in "create,read"
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = case)]
    only: Vec<Case>,
    /// Make the temporary folder here: the disk that is measured [default: the system's folder for such]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

fn case(name: &str) -> Result<Case, String> {
    Case::parse(name).ok_or_else(|| format!("one of {}", Case::ALL.map(Case::name).join(", ")))
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| Failure::of(Exit::Failed, error);
    let env = Env::system();
    let below = arguments.folder.unwrap_or_else(std::env::temp_dir);
    let own = TemporaryFolder::new(&below, &env).map_err(|error| failed(&error))?;
    init::create(&configuration(&own)?, "Bench", "Asia/Shanghai", &env)?;
    let executable = std::env::current_exe().map_err(|error| failed(&error))?;
    let plan = Plan {
        time: Duration::from_secs(arguments.seconds),
        rounds: arguments.rounds,
        connections: usize::from(arguments.connections),
        payments: arguments.payments,
        cases: if arguments.only.is_empty() { Case::ALL.to_vec() } else { arguments.only },
        own: (executable, own.path().to_owned()),
    };
    let folder = TemporaryFolder::new(&below, &env).map_err(|error| failed(&error))?;
    let mut config = configuration(&folder)?;
    let created = init::create(&config, "Bench", "Asia/Shanghai", &env)?;
    let merchant = created.merchant.parse().expect("an id that was just made");
    let tenant = Tenant { merchant, bearer: created.api_key };
    let listener = server::bind(config.server.listen).map_err(|error| failed(&error))?;
    config.server.listen = listener.local_addr().map_err(|error| failed(&error))?;
    let store = open_store(&config)?;
    let vault = open_vault(&config, &store)?;
    let mut terminal = Terminal::default();
    let report = bench::run(&plan, &config, listener, tenant, store, vault, |label, done, total| {
        terminal.progress(label, done, total);
    });
    drop(terminal);
    let report = report.map_err(|error| failed(&error))?;
    print(&if arguments.json { format!("{:#}\n", report.to_json()) } else { report.to_table() });
    Ok(())
}

/// The defaults, with limits that do not stand in the way of one key that asks as fast as it can, and with callbacks to
/// this machine.
fn configuration(folder: &TemporaryFolder) -> Result<Config, Failure> {
    let overrides = [
        ("server.listen", "127.0.0.1:0"),
        ("limits.api_per_second", "1000000"),
        ("limits.api_burst", "1000000"),
        ("callbacks.allow_loopback", "true"),
        ("callbacks.allow_http", "true"),
    ];
    let inputs = Inputs {
        data_dir: Some(folder.path().to_owned()),
        overrides: overrides.map(|(key, value)| (key, value.to_owned())).to_vec(),
        ..Inputs::default()
    };
    Ok(inputs.load()?.config)
}
