//! The server as a process that can be started, stopped and killed again and again on one folder.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::cli::running::Folder;

/// What never comes fails the test instead of holding it up.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Callbacks to this machine are allowed, and nobody is slowed down.
const SETTINGS: &str = "
[callbacks]
allow_loopback = true
allow_http = true
[sandbox]
simulators = false
[limits]
api_per_second = 1000000
api_burst = 1000000
[log]
format = \"json\"
level = \"warn,coffer::cli::serve=info\"
";

/// A folder that is set up, with what its shop was given.
pub struct Home {
    pub folder: Folder,
    pub token: String,
}

impl Home {
    pub fn new() -> Self {
        Self::in_folder(Folder::new())
    }

    pub fn in_folder(folder: Folder) -> Self {
        let told = folder.init();
        folder.write("coffer.toml", SETTINGS);
        Self { folder, token: told["api_key"].as_str().unwrap().to_owned() }
    }

    /// The command that serves at an address.
    pub fn serving(&self, listen: &str) -> Command {
        self.folder.command(&["serve", "--listen", listen])
    }

    /// Starts on a port that is free.
    pub fn start(&self) -> Process {
        Process::start(self.serving("127.0.0.1:0"))
    }

    /// Starts again where clients and notifications look for it.
    pub fn start_at(&self, address: SocketAddr) -> Process {
        Process::start(self.serving(&address.to_string()))
    }

    /// What `coffer verify` says about a good file.
    pub fn verify(&self) -> String {
        self.folder.run(&["verify"]).fine()
    }
}

/// A server; killed at the end of the test, if it still runs.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

/// How a process ended: its exit code, if it was not killed, and everything it said.
#[derive(Debug)]
pub struct End {
    pub code: Option<i32>,
    pub log: String,
}

impl Process {
    /// Waits until it listens.
    #[track_caller]
    pub fn start(command: Command) -> Process {
        Self::try_start(command).unwrap_or_else(|end| panic!("the server ended: {end:?}"))
    }

    /// Waits until it listens or ends.
    pub fn try_start(mut command: Command) -> Result<Process, End> {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        match listening(&mut lines, &log) {
            Some(address) => {
                let reader = Some(drain(lines, log.clone()));
                Ok(Process { child, address, log, reader })
            }
            None => {
                let code = child.wait().unwrap().code();
                Err(End { code, log: std::mem::take(&mut log.lock().unwrap()) })
            }
        }
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// No goodbye, no last write.
    pub fn kill(mut self) -> End {
        self.child.kill().unwrap();
        self.end()
    }

    /// Waits for the end.
    pub fn ended(mut self) -> End {
        self.end()
    }

    fn end(&mut self) -> End {
        let code = self.child.wait().unwrap().code();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        End { code, log: std::mem::take(&mut self.log.lock().unwrap()) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Where it listens, once it says so; `None` if it ends before.
fn listening(lines: &mut BufReader<ChildStderr>, log: &Mutex<String>) -> Option<SocketAddr> {
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 {
        log.lock().unwrap().push_str(&line);
        let event = serde_json::from_str::<serde_json::Value>(&line).unwrap_or_default();
        if event["message"] == "listening" {
            return Some(event["address"].as_str().unwrap().parse().unwrap());
        }
        line.clear();
    }
    None
}

/// Takes what the process says, so that it never waits for a reader.
fn drain(mut lines: BufReader<ChildStderr>, log: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
            log.lock().unwrap().push_str(&line);
            line.clear();
        }
    })
}
