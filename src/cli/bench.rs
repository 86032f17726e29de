//! `coffer bench`: measures this executable on this machine, in a temporary data folder that is removed afterwards.

use std::path::PathBuf;
use std::time::Duration;

use super::config::{Config, Inputs};
use super::failure::{Exit, Failure};
use super::init;
use super::place::{open_store, open_vault, store_file};
use super::{Teller, Terminal, print};
use crate::bench::{self, BenchError, Case, Channel, Fresh, Plan, TemporaryFolder, Tenant};
use crate::env::Env;
use crate::server;

/// With so many payments the store has a history, and is compared with one that has none.
const FILLED: u64 = 100_000;

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
    /// What whole payments go through: "wechatpay", the adapter with a provider played beside it, or "test_wallet"
    #[arg(long, value_name = "NAME", default_value = Channel::WechatPay.name(), value_parser = channel)]
    channel: Channel,
    /// Make the temporary folder here: the disk that is measured [default: the system's folder for such]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

fn case(name: &str) -> Result<Case, String> {
    Case::parse(name).ok_or_else(|| format!("one of {}", Case::ALL.map(Case::name).join(", ")))
}

fn channel(name: &str) -> Result<Channel, String> {
    Channel::parse(name).ok_or_else(|| format!("one of {}", Channel::ALL.map(Channel::name).join(", ")))
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| Failure::of(Exit::Failed, error);
    let env = Env::system();
    let below = arguments.folder.unwrap_or_else(std::env::temp_dir);
    let new_folder = || {
        let folder = TemporaryFolder::new(&below, &env).map_err(|error| failed(&error))?;
        let config = configuration(&folder)?;
        let created = init::create(&config, "Bench", "Asia/Shanghai", &env)?;
        Ok::<_, Failure>((folder, config, created))
    };
    let (_folder, mut config, created) = new_folder()?;
    let (idle, _, _) = new_folder()?;
    let fresh = if arguments.payments >= FILLED { Some(new_folder()?) } else { None };
    let executable = std::env::current_exe().map_err(|error| failed(&error))?;
    let plan = Plan {
        time: Duration::from_secs(arguments.seconds),
        rounds: arguments.rounds,
        connections: usize::from(arguments.connections),
        payments: arguments.payments,
        cases: if arguments.only.is_empty() { Case::ALL.to_vec() } else { arguments.only },
        channel: arguments.channel,
        executable,
        file: store_file(&config),
        idle: idle.path().to_owned(),
        fresh: fresh
            .as_ref()
            .map(|(folder, _, created)| Fresh { folder: folder.path().to_owned(), bearer: created.api_key.clone() }),
    };
    let merchant = created.merchant.parse().expect("an id that was just made");
    let tenant = Tenant { merchant, bearer: created.api_key };
    let listener = server::bind(config.server.listen).map_err(|error| failed(&error))?;
    config.server.listen = listener.local_addr().map_err(|error| failed(&error))?;
    let unusable = |failure: Failure| BenchError::Setup(failure.to_string());
    let open = || {
        let store = open_store(&config).map_err(unusable)?;
        let vault = open_vault(&config, &store).map_err(unusable)?;
        Ok((store, vault))
    };
    let mut terminal = Terminal::default();
    let report = bench::run(&plan, &config, listener, &tenant, &open, |label, done, total| {
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
