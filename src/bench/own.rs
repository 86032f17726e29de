//! A server of its own, started as an operator starts it: how long until it answers, and what it holds when idle.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::BenchError;
use super::meter::{self, Stopwatch};

/// A server that needs longer than this does not start at all.
const START_MAX: Duration = Duration::from_secs(60);
/// Time between attempts to reach it.
const KNOCK_EVERY: Duration = Duration::from_millis(2);
/// How long it is left alone before its memory is read.
const REST: Duration = Duration::from_millis(500);

/// Starts `executable` on a data folder that is set up; answers how long it took, and the memory that it then holds, both
/// in milliseconds and megabytes.
pub fn measure(executable: &Path, folder: &Path) -> Result<(f64, Option<f64>), BenchError> {
    let watch = Stopwatch::start();
    let server = start(executable, folder, false)?;
    let started = watch.elapsed().as_secs_f64() * 1000.0;
    std::thread::sleep(REST);
    let memory = meter::memory(&server.process.id().to_string());
    Ok((started, memory.map(|(now, _)| now as f64 / 1e6)))
}

/// Starts `executable` and waits for its first answer. `hurried`: one key may ask as fast as it can.
pub fn start(executable: &Path, folder: &Path, hurried: bool) -> Result<Server, BenchError> {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.map_err(BenchError::io("taking a port"))?;
    let mut command = Command::new(executable);
    command.arg("serve").arg("--data").arg(folder).arg("--listen").arg(address.to_string());
    // A new folder's first server makes the simulators' keys beside its work, once: seconds of CPU that no later start has.
    command.env("COFFER_SANDBOX_SIMULATORS", "false");
    if hurried {
        command.env("COFFER_LIMITS_API_PER_SECOND", "1000000").env("COFFER_LIMITS_API_BURST", "1000000");
    }
    let watch = Stopwatch::start();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let server = Server { process: child.map_err(BenchError::io("starting a server"))?, address };
    while !answers(address) {
        if watch.elapsed() > START_MAX {
            return Err(BenchError::Setup("the server did not answer".to_owned()));
        }
        std::thread::sleep(KNOCK_EVERY);
    }
    Ok(server)
}

/// Goes with its handle.
pub struct Server {
    process: Child,
    pub address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; what counts is that it is gone.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn answers(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let mut status = [0; 12];
    let asked = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n");
    asked.and_then(|()| stream.read_exact(&mut status)).is_ok() && status.ends_with(b" 200")
}
