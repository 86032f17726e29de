//! Commands. Here alone the command line, the configuration and the real environment are read.

mod admin;
mod backup;
mod bench;
mod cases;
pub mod config;
mod demo;
mod doctor;
mod failure;
mod init;
mod key;
mod place;
mod progress;
mod rotate;
mod serve;
mod sim;
mod simulate;
mod user;
mod verify;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub use failure::{Exit, Failure};
pub use progress::Progress;

use admin::Operation;
use config::Inputs;

/// What a command says.
pub trait Teller {
    /// A line of the result.
    fn say(&mut self, line: &str);
    /// How far long work is; `label` names the work.
    fn progress(&mut self, label: &str, done: u64, total: u64);
}

/// A payment gateway in one executable.
#[derive(Parser)]
#[command(version, about, after_help = failure::EXIT_CODES, disable_help_subcommand = true)]
struct Arguments {
    /// The data folder [default: coffer-data (of the demo: coffer-demo), or the variable COFFER_DATA]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The configuration file [default: coffer.toml in the data folder, or the variable COFFER_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Try everything out: a small shop with a past, on this machine, with nothing to configure
    Demo(demo::Options),
    /// Set up a new data folder and print once what is needed to go on
    Init(init::Options),
    /// Run the server
    Serve {
        /// Address and port to listen on
        #[arg(long, value_name = "HOST:PORT")]
        listen: Option<SocketAddr>,
    },
    /// Run simulated payment providers alone, to point any SDK at
    Sim(sim::Options),
    /// Look for what will hurt later, and say what to do
    Doctor,
    /// Copy the data into one file, also while the server runs
    Backup {
        /// The new file [default: a dated one in the folder backups of the data folder]
        file: Option<PathBuf>,
    },
    /// Put a backup in place of data that is not there
    Restore {
        /// The backup
        file: PathBuf,
    },
    /// Check every record, the books, the indexes and the audit log
    Verify {
        /// A backup to check instead of the data
        file: Option<PathBuf>,
    },
    /// Manage the people who log in to the console
    #[command(subcommand)]
    User(user::Command),
    /// Manage API keys and the master key
    #[command(subcommand)]
    Key(KeyCommand),
    /// Measure how fast Coffer is on this machine
    Bench(bench::Arguments),
    /// Try a shop's integration: payments, refunds, troubles and forged callbacks in test mode, with a report
    Cases(cases::Options),
    /// Torture the gateway in a simulated world: crashes, lost answers, forgeries, from seeds that replay
    Simulate(simulate::Arguments),
    /// Print the effective configuration and where each value comes from
    Config,
    /// Print completions for a shell
    Completions { shell: clap_complete::Shell },
}

#[derive(Subcommand)]
enum KeyCommand {
    #[command(flatten)]
    Api(key::Command),
    /// Wrap all secrets under a new master key; the server must not run
    RotateMaster(rotate::Options),
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    match dispatch(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn dispatch(arguments: Arguments) -> Result<(), Failure> {
    let mut inputs = Inputs { data_dir: arguments.data, file: arguments.config, ..Inputs::from_process() };
    match arguments.command {
        Command::Demo(options) => demo::run(inputs, &options),
        Command::Init(options) => {
            inputs.overrides.extend(init::overrides(&options));
            print(&init::run(&inputs.load()?.config, &options)?);
            Ok(())
        }
        Command::Verify { file } => verify::run(&inputs.load()?.config, file.as_deref()),
        Command::User(command) => Operation::User(command).run(&inputs.load()?.config),
        Command::Key(KeyCommand::Api(command)) => Operation::Key(command).run(&inputs.load()?.config),
        Command::Key(KeyCommand::RotateMaster(options)) => {
            rotate::run(&inputs.load()?.config, &options, &mut Terminal::default())
        }
        Command::Serve { listen } => {
            inputs.overrides.extend(listen.map(|address| ("server.listen", address.to_string())));
            serve::run(inputs.load()?.config)
        }
        Command::Sim(options) => sim::run(inputs.data_dir, &options),
        Command::Doctor => doctor::run(&inputs.load()?.config, &mut Terminal::default()),
        Command::Backup { file } => Operation::backup(file)?.run(&inputs.load()?.config),
        Command::Restore { file } => backup::restore(&inputs.load()?.config, &file, &mut Terminal::default()),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Cases(options) => cases::run(&inputs, &options),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Config => {
            print(&inputs.load()?.to_toml());
            Ok(())
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "coffer", &mut script);
            print(&String::from_utf8_lossy(&script));
            Ok(())
        }
    }
}

/// Writes to the standard output stream. A reader that went away, as `head` does, is no error.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// The person at the keyboard.
#[derive(Default)]
struct Terminal {
    progress: Option<(String, Progress)>,
}

impl Teller for Terminal {
    fn say(&mut self, line: &str) {
        self.clear();
        print(&format!("{line}\n"));
    }

    fn progress(&mut self, label: &str, done: u64, total: u64) {
        if self.progress.as_ref().is_none_or(|(shown, _)| shown != label) {
            self.clear();
        }
        let (_, progress) = self.progress.get_or_insert_with(|| (label.to_owned(), Progress::new(label)));
        progress.at(done, total);
    }
}

impl Terminal {
    fn clear(&mut self) {
        if let Some((_, progress)) = self.progress.take() {
            progress.finish();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
