//! Commands that need the open store. Nobody but the running server can open it, so a command opens the store itself when
//! no server runs, and otherwise asks the server through a socket in the data folder that only its owner can use.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::config::Config;
use super::failure::{Exit, Failure};
use super::place::{open_store, open_vault, socket_file};
use super::{Teller, Terminal, backup, key, user};
use crate::crypto::Vault;
use crate::env::Env;
use crate::flows::gateway::Gateway;
use crate::store::Store;

/// The longest order and the longest line of an answer, in bytes.
const LINE_MAX_BYTES: u64 = 64 * 1024;

/// How long either side waits for the other to read or write. Long work tells its progress more often than that.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What can be ordered. Parsed from the command line, or read from the socket.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum Operation {
    /// `to` is absolute: the server runs in another folder.
    Backup {
        to: Option<PathBuf>,
    },
    User(user::Command),
    Key(key::Command),
}

/// What operations work on.
pub struct Workbench {
    pub store: Store,
    pub env: Env,
    pub data_dir: PathBuf,
    /// What links begin with.
    pub base_url: String,
    /// Not every operation needs it, and a backup is possible without the key.
    vault: Result<Arc<Vault>, Failure>,
}

impl Workbench {
    /// What the running server has open.
    pub fn of_server(gateway: &Gateway, config: &Config) -> Self {
        Self {
            store: gateway.store.clone(),
            env: gateway.env.clone(),
            data_dir: config.data_dir.clone(),
            base_url: config.base_url().to_string(),
            vault: Ok(gateway.vault.clone()),
        }
    }

    /// Opens what no server has open.
    fn open(config: &Config) -> Result<Self, Failure> {
        let store = open_store(config)?;
        Ok(Self {
            vault: open_vault(config, &store),
            store,
            env: Env::system(),
            data_dir: config.data_dir.clone(),
            base_url: config.base_url().to_string(),
        })
    }

    pub fn vault(&self) -> Result<&Vault, Failure> {
        self.vault.as_deref().map_err(Failure::clone)
    }
}

/// One line of the answer.
#[derive(serde::Serialize, serde::Deserialize)]
enum Answer {
    Line(String),
    Progress { label: String, done: u64, total: u64 },
    Done,
    Failed(Failure),
}

impl Operation {
    pub fn backup(to: Option<PathBuf>) -> Result<Self, Failure> {
        let absolute = to.map(std::path::absolute).transpose();
        Ok(Operation::Backup { to: absolute.map_err(|error| Failure::of(Exit::Failed, &error))? })
    }

    /// Does it here, or has the running server do it.
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        self.run_for(config, &mut Terminal::default())
    }

    /// As [`Self::run`], with somebody else to talk to.
    pub fn run_for(&self, config: &Config, teller: &mut dyn Teller) -> Result<(), Failure> {
        match Workbench::open(config) {
            Ok(bench) => {
                let done = self.perform(&bench, teller);
                bench.store.close();
                done
            }
            Err(failure) if failure.exit == Exit::InUse => self.ask(&socket_file(config), teller),
            Err(failure) => Err(failure),
        }
    }

    /// For logs, which do not name people.
    fn name(&self) -> &'static str {
        match self {
            Operation::Backup { .. } => "backup",
            Operation::User(_) => "user",
            Operation::Key(_) => "key",
        }
    }

    /// Blocks; not for threads of the async runtime.
    pub fn perform(&self, bench: &Workbench, teller: &mut dyn Teller) -> Result<(), Failure> {
        match self {
            Operation::Backup { to } => {
                backup::backup(&bench.store, &bench.data_dir, to.as_deref(), bench.env.now(), teller)
            }
            Operation::User(command) => command.perform(bench, teller),
            Operation::Key(command) => command.perform(bench, teller),
        }
    }

    #[cfg(unix)]
    fn ask(&self, socket: &Path, teller: &mut dyn Teller) -> Result<(), Failure> {
        let lost = |error: std::io::Error| {
            Failure::of(Exit::InUse, &error)
                .during("another process has the data open and does not answer; stop it, or ask again when it runs")
        };
        let stream = std::os::unix::net::UnixStream::connect(socket).map_err(lost)?;
        stream.set_read_timeout(Some(SILENCE_MAX)).map_err(lost)?;
        write_line(&stream, self).map_err(lost)?;
        let mut lines = BufReader::new(&stream);
        loop {
            match read_line(&mut lines).map_err(lost)? {
                Answer::Line(line) => teller.say(&line),
                Answer::Progress { label, done, total } => teller.progress(&label, done, total),
                Answer::Done => return Ok(()),
                Answer::Failed(failure) => return Err(failure),
            }
        }
    }

    #[cfg(not(unix))]
    fn ask(&self, _: &Path, _: &mut dyn Teller) -> Result<(), Failure> {
        Err(Failure::new(Exit::InUse, "the server has the data open; stop it first"))
    }
}

/// Begins to take orders, one at a time, on a thread of its own. Call it with the store open: a socket that is there was
/// left by a process that is gone.
#[cfg(unix)]
pub fn take_orders(socket: &Path, bench: Workbench) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    std::thread::Builder::new().name("orders".to_owned()).spawn(move || {
        for stream in listener.incoming() {
            let served = stream.and_then(|stream| {
                stream.set_read_timeout(Some(SILENCE_MAX))?;
                stream.set_write_timeout(Some(SILENCE_MAX))?;
                let operation: Operation = read_line(&mut BufReader::new(&stream))?;
                tracing::info!(operation = operation.name(), "an order from the command line");
                let end = match operation.perform(&bench, &mut Remote(&stream)) {
                    Ok(()) => Answer::Done,
                    Err(failure) => Answer::Failed(failure),
                };
                write_line(&stream, &end)
            });
            if let Err(error) = served {
                tracing::warn!(%error, "an order from the command line broke off");
            }
        }
    })?;
    Ok(())
}

#[cfg(not(unix))]
pub fn take_orders(_: &Path, _: Workbench) -> std::io::Result<()> {
    Ok(())
}

/// The command at the other end of the socket. When it goes away, the work goes on: it may be half done.
struct Remote<W>(W);

impl<W: Write> Teller for Remote<W> {
    fn say(&mut self, line: &str) {
        drop(write_line(&mut self.0, &Answer::Line(line.to_owned())));
    }

    fn progress(&mut self, label: &str, done: u64, total: u64) {
        drop(write_line(&mut self.0, &Answer::Progress { label: label.to_owned(), done, total }));
    }
}

fn write_line(mut to: impl Write, value: &impl serde::Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line)
}

fn read_line<T: serde::de::DeserializeOwned>(from: &mut impl BufRead) -> std::io::Result<T> {
    let mut line = Vec::new();
    from.take(LINE_MAX_BYTES).read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line)?)
}
