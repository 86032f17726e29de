//! A shop's HTTP client: one request per connection, and an answer only if all of it came.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// One call of the API.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub path: String,
    /// Empty for none.
    pub body: String,
    /// The idempotency key.
    pub key: Option<String>,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub replayed: bool,
    pub body: String,
}

impl Request {
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), body: String::new(), key: None }
    }

    pub fn post(path: impl Into<String>, body: &Value, key: &str) -> Self {
        Self { method: "POST", path: path.into(), body: body.to_string(), key: Some(key.to_owned()) }
    }

    /// Sends it. An error means that nobody knows what became of it.
    pub fn send(&self, address: SocketAddr, token: &str, patience: Duration) -> io::Result<Reply> {
        let mut stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let Self { method, path, body, key } = self;
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
             Content-Length: {}\r\n",
            body.len()
        );
        if !body.is_empty() {
            head.push_str("Content-Type: application/json\r\n");
        }
        if let Some(key) = key {
            head.push_str(&format!("Idempotency-Key: {key}\r\n"));
        }
        stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        let text = String::from_utf8(bytes).map_err(io::Error::other)?;
        read(&text).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

fn read(text: &str) -> Option<Reply> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, &str)> =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_lowercase(), value)).collect();
    let header = |name: &str| headers.iter().find(|(other, _)| other == name).map(|(_, value)| *value);
    let whole = header("content-length").is_none_or(|length| length.parse() == Ok(body.len()));
    whole.then(|| Reply { status, replayed: header("idempotency-replayed").is_some(), body: body.to_owned() })
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {} {}", self.status, self.body))
    }

    /// Whether the server says that it is not the final word: come again. A payment can be simulated once the wallet has
    /// heard of it.
    pub fn is_temporary(&self) -> bool {
        let code = || self.json()["code"].as_str().map(str::to_owned);
        let not_yet = |code: String| code == "idempotency_in_progress" || code == "simulation_refused";
        self.status >= 500 || (self.status == 409 && code().is_some_and(not_yet))
    }
}
