//! Runs the executable in a folder of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use coffer::env::{SystemEntropy, random};

/// Making the simulators' keys takes longer than most tests.
pub const NO_KEYS: (&str, &str) = ("COFFER_SANDBOX_SIMULATORS", "false");

/// A data folder that is removed at the end of the test.
pub struct Folder(PathBuf);

/// What a command said.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A server that is killed at the end of the test, if it still runs.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    log: BufReader<std::process::ChildStderr>,
}

impl Folder {
    pub fn new() -> Self {
        let name = data_encoding::HEXLOWER.encode(&random::<8>(&SystemEntropy));
        let path = std::env::temp_dir().join(format!("coffer-it-{name}"));
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).unwrap();
        Self(path)
    }

    /// Set up by `init`.
    pub fn set_up() -> Self {
        let folder = Self::new();
        folder.init();
        folder
    }

    /// Sets the folder up; what was shown once.
    pub fn init(&self) -> serde_json::Value {
        serde_json::from_str(&self.run(&["init", "--json"]).fine()).unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// A command with this data folder and nothing else in its environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coffer"));
        command.env_clear().args(arguments).arg("--data").arg(&self.0);
        if self.0.exists() {
            command.current_dir(&self.0);
        }
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        Said::of(self.command(arguments).output().unwrap())
    }

    pub fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
        Said::of(self.command(arguments).envs(environment.iter().copied()).output().unwrap())
    }

    /// Starts the server on a free port and waits until it listens.
    pub fn serve(&self) -> Server {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        let mut child =
            command.env(NO_KEYS.0, NO_KEYS.1).env("COFFER_LOG_FORMAT", "json").stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut all = String::new();
        let address = loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the server ended:\n{all}");
            all.push_str(&line);
            let Ok(event) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
            if event["message"] == "listening" {
                break event["address"].as_str().unwrap().parse().unwrap();
            }
        };
        Server { child, address, log }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

impl Said {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub fn fine(self) -> String {
        assert_eq!(self.code, 0, "{}", self.err);
        self.out
    }

    /// The exit code and the whole error.
    #[track_caller]
    pub fn refused(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self.err
    }
}

impl Server {
    /// Status and body of a GET.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: coffer.test\r\nConnection: close\r\n\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Waits for a log line with this message and returns it.
    pub fn logged(&mut self, message: &str) -> serde_json::Value {
        loop {
            let mut line = String::new();
            assert_ne!(self.log.read_line(&mut line).unwrap(), 0, "the server ended without saying {message}");
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            if event["message"] == message {
                return event;
            }
        }
    }

    /// Waits for the end; the exit code and the rest of the log.
    pub fn ended(mut self) -> (i32, String) {
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code().unwrap(), rest)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A file beside the tests.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cli").join(name)
}
