//! Small servers on loopback that answer, fall silent or never stop.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What one server has seen. It ends with the test's runtime.
#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    requests: Vec<Vec<u8>>,
}

impl Server {
    /// Answers every request on every connection with the same bytes; with none, it keeps silent.
    pub async fn answering(reply: impl Into<Vec<u8>>) -> Self {
        let reply: Arc<[u8]> = reply.into().into();
        Self::serving(move |stream, server| {
            let reply = Arc::clone(&reply);
            async move { server.converse(stream, &reply).await }
        })
        .await
    }

    /// Sends a head and then the same piece until the other side hangs up.
    pub async fn endless(head: &'static str, piece: &[u8]) -> Self {
        let piece: Arc<[u8]> = piece.into();
        Self::serving(move |mut stream, _| {
            let piece = Arc::clone(&piece);
            async move {
                read_request(&mut stream).await;
                let mut written = stream.write_all(head.as_bytes()).await;
                while written.is_ok() {
                    written = stream.write_all(&piece).await;
                    tokio::task::yield_now().await;
                }
            }
        })
        .await
    }

    pub async fn serving<F, Fut>(handler: F) -> Self
    where
        F: Fn(TcpStream, Server) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let shared = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.seen.lock().unwrap().connections += 1;
                tokio::spawn(handler(stream, shared.clone()));
            }
        });
        server
    }

    /// Reads requests and answers them until the other side hangs up or the answer says `connection: close`.
    pub async fn converse(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin, reply: &[u8]) {
        while let Some(request) = read_request(&mut stream).await {
            self.seen.lock().unwrap().requests.push(request);
            if stream.write_all(reply).await.is_err() || stream.flush().await.is_err() {
                return;
            }
        }
    }

    pub fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    pub fn requests(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap().requests.clone()
    }
}

/// One request with its body, as it came; `None` at the end of the connection.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let head = loop {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    let missing: usize = (head + length) - bytes.len();
    let mut rest = vec![0; missing];
    stream.read_exact(&mut rest).await.ok()?;
    bytes.extend_from_slice(&rest);
    Some(bytes)
}
