//! The smallest HTTP server: whoever plays a shop or a provider answers each request with the bytes that a function makes.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::BenchError;

/// The longest request that is read, in bytes.
const REQUEST_MAX_BYTES: usize = 64 * 1024;

/// What is answered to head and body of a request; `None` ends the connection.
pub type Answer = Arc<dyn Fn(&str, &[u8]) -> Option<Vec<u8>> + Send + Sync>;

/// Listens until it is dropped. Runs on the load generator's runtime and counts as part of it.
pub struct Listener {
    pub address: SocketAddr,
    task: AbortHandle,
}

impl Listener {
    /// On a port of its own.
    pub async fn open(answer: Answer) -> Result<Self, BenchError> {
        Self::on(TcpListener::bind("127.0.0.1:0").await.map_err(BenchError::io("opening a listener"))?, answer)
    }

    /// On a port that was taken before.
    pub fn on(listener: TcpListener, answer: Answer) -> Result<Self, BenchError> {
        let address = listener.local_addr().map_err(BenchError::io("opening a listener"))?;
        let task = tokio::spawn(async move {
            let mut visitors = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                visitors.spawn(visitor(stream, answer.clone()));
            }
        });
        Ok(Self { address, task: task.abort_handle() })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn visitor(mut stream: TcpStream, answer: Answer) -> Option<()> {
    let mut bytes = Vec::with_capacity(4096);
    loop {
        let (head, whole) = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = std::str::from_utf8(&bytes[..end]).ok()?.to_owned();
                let body: usize = header(&head, "content-length").map_or(Some(0), |length| length.parse().ok())?;
                break (head, end + 4 + body);
            }
            read(&mut stream, &mut bytes).await?;
        };
        while bytes.len() < whole {
            read(&mut stream, &mut bytes).await?;
        }
        let answered = answer(&head, &bytes[head.len() + 4..whole])?;
        bytes.drain(..whole);
        stream.write_all(&answered).await.ok()?;
    }
}

async fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let read = stream.read_buf(bytes).await.ok()?;
    (read > 0 && bytes.len() <= REQUEST_MAX_BYTES).then_some(())
}

/// A header of a request's head.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
