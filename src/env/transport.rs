//! One outgoing HTTP exchange as values: request, answer, limits and every way it can fail.
//!
//! Callers name a URL and a [`TargetPolicy`]; the real sender is `HttpTransport`, a
//! simulation brings its own. Redirects are never followed and no proxy is ever used, so an answer always comes from
//! the address that was checked.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

use super::identity::ClientIdentity;
use super::target::{BlockReason, TargetPolicy};
use crate::domain::time::Duration;
use crate::lang::{Lang, Text};

/// What [`Transport::send`] gives back: boxed, because the trait is used as `dyn Transport`.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<OutgoingResponse, SendError>> + Send + 'a>>;

/// Sends one request and reads one answer. It repeats nothing that may have reached the other side.
pub trait Transport: Send + Sync {
    fn send<'a>(&'a self, request: OutgoingRequest, policy: &'a TargetPolicy, limits: Limits) -> Sending<'a>;
}

/// The methods that providers and shops are called with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

/// A request as it goes over the wire; the body is sent byte for byte, because signatures cover it.
///
/// `host`, `content-length`, `connection` and `transfer-encoding` are set by the transport and refused here.
#[derive(Clone, PartialEq, Eq)]
pub struct OutgoingRequest {
    pub method: Method,
    /// Absolute, without user info and fragment.
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// As whom we show ourselves to a server that asks for a certificate (mutual TLS). Such a connection carries no other
    /// identity's calls, nor those without one. Over plain HTTP nobody asks, and the request goes out as any other.
    pub identity: Option<ClientIdentity>,
}

impl fmt::Debug for OutgoingRequest {
    /// Headers and body may carry keys and personal data, so only their sizes are shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingRequest")
            .field("method", &self.method)
            .field("headers", &self.headers.len())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What came back, whatever its status.
#[derive(Clone, PartialEq, Eq)]
pub struct OutgoingResponse {
    pub status: u16,
    /// Names in lower case; bytes of values that are not UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// At most [`Limits::reply_max`] bytes.
    pub body: Vec<u8>,
    /// The body was longer than the limit and is cut.
    pub truncated: bool,
    /// Where the answer came from.
    pub address: SocketAddr,
    /// Name lookup, connection and TLS together; about zero on a reused connection.
    pub connect_ms: u64,
    /// The whole exchange.
    pub total_ms: u64,
}

impl OutgoingResponse {
    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

impl fmt::Debug for OutgoingResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingResponse")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .field("truncated", &self.truncated)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// How long and how much one exchange may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For name lookup, connection and TLS handshake together.
    pub connect: Duration,
    /// For everything, so that an answer dripping in byte by byte ends too.
    pub total: Duration,
    /// Bytes of the answer's body that are kept; the rest is not read.
    pub reply_max: usize,
}

/// Bytes of an answer that are read by default.
pub const REPLY_MAX: usize = 64 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_seconds(5), total: Duration::from_seconds(15), reply_max: REPLY_MAX }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SendError {
    /// The policy forbids the target; nothing was sent.
    Blocked { reason: BlockReason },
    /// A header that cannot be sent, or one that belongs to the transport. A bug or a bad setting on our side.
    InvalidRequest,
    /// The name has no address.
    Dns,
    /// No connection came about.
    Connect { fault: ConnectFault },
    /// No trusted encryption came about.
    Tls { fault: TlsFault },
    /// A limit ran out.
    Timeout { phase: Phase },
    /// The connection broke or the answer was not HTTP. The other side may have acted on the request.
    Protocol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectFault {
    /// Nobody listens on the port.
    Refused,
    /// No route, or the connection was dropped while it was made.
    Unreachable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsFault {
    /// The certificate is for another name.
    WrongName,
    /// The certificate is expired or not valid yet.
    Expired,
    /// Self-signed, or the intermediate certificate is missing.
    UnknownIssuer,
    /// Revoked, malformed or otherwise not acceptable.
    BadCertificate,
    /// The handshake failed before a certificate was judged: no TLS on that port, or no common version.
    Handshake,
}

/// What was going on when the time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    Lookup,
    Connect,
    Handshake,
    /// The request was sent, at least in part; the other side may have acted on it.
    Reply,
}

impl SendError {
    /// True when the other side may have seen the request, so that its outcome is unknown rather than failed.
    pub const fn may_have_arrived(&self) -> bool {
        match self {
            SendError::Protocol | SendError::Timeout { phase: Phase::Reply } => true,
            SendError::Blocked { .. }
            | SendError::InvalidRequest
            | SendError::Dns
            | SendError::Connect { .. }
            | SendError::Tls { .. }
            | SendError::Timeout { phase: Phase::Lookup | Phase::Connect | Phase::Handshake } => false,
        }
    }

    /// A stable word for filters and metrics.
    pub const fn class(&self) -> &'static str {
        match self {
            SendError::Blocked { .. } => "blocked",
            SendError::InvalidRequest => "invalid_request",
            SendError::Dns => "dns",
            SendError::Connect { .. } => "connect",
            SendError::Tls { .. } => "tls",
            SendError::Timeout { .. } => "timeout",
            SendError::Protocol => "protocol",
        }
    }

    /// What to tell the person who entered the address.
    pub fn sentence(&self, lang: Lang) -> String {
        let text = match self {
            SendError::Blocked { reason } => return reason.sentence(lang),
            SendError::InvalidRequest => Text::new(
                "请求头设置有误，请求没有发出。请检查自定义请求头。",
                "A request header is not valid, so nothing was sent. Check the custom headers.",
            ),
            SendError::Dns => Text::new(
                "域名无法解析。请检查域名是否写对、解析记录是否已生效。",
                "The host name has no address. Check its spelling and its DNS records.",
            ),
            SendError::Connect { fault: ConnectFault::Refused } => Text::new(
                "对方拒绝连接：该端口没有程序在监听。请检查网站是否在运行、端口是否正确。",
                "The connection was refused: nothing listens on that port. Check that the site is running and the port is right.",
            ),
            SendError::Connect { fault: ConnectFault::Unreachable } => Text::new(
                "连不上对方服务器。请检查服务器是否在线、防火墙或安全组是否放行。",
                "The server cannot be reached. Check that it is online and that its firewall lets us in.",
            ),
            SendError::Tls { fault: TlsFault::WrongName } => Text::new(
                "HTTPS 证书与域名不符。请安装包含该域名的证书。",
                "The HTTPS certificate belongs to another name. Install one that covers this host name.",
            ),
            SendError::Tls { fault: TlsFault::Expired } => Text::new(
                "HTTPS 证书已过期或尚未生效。请续期证书，并检查服务器时间。",
                "The HTTPS certificate has expired or is not valid yet. Renew it and check the server's clock.",
            ),
            SendError::Tls { fault: TlsFault::UnknownIssuer } => Text::new(
                "HTTPS 证书不受信任：可能是自签名证书，或缺少中间证书。请安装完整的证书链。",
                "The HTTPS certificate is not trusted: it is self-signed, or the intermediate certificate is missing. Install the full chain.",
            ),
            SendError::Tls { fault: TlsFault::BadCertificate } => Text::new(
                "HTTPS 证书无效。请重新签发并安装证书。",
                "The HTTPS certificate is not acceptable. Have it issued and installed again.",
            ),
            SendError::Tls { fault: TlsFault::Handshake } => Text::new(
                "HTTPS 握手失败：该端口可能不是 HTTPS，或不支持 TLS 1.2 及以上版本。",
                "The HTTPS handshake failed: the port may not speak HTTPS, or not TLS 1.2 or newer.",
            ),
            SendError::Timeout { phase: Phase::Lookup } => Text::new(
                "域名解析超时。请稍后再试，或更换域名解析服务商。",
                "Looking up the host name took too long. Try again later, or check the DNS provider.",
            ),
            SendError::Timeout { phase: Phase::Connect } => Text::new(
                "连接超时：对方没有应答。请检查服务器是否在线、防火墙或安全组是否放行。",
                "Connecting took too long: there was no reply. Check that the server is online and that its firewall lets us in.",
            ),
            SendError::Timeout { phase: Phase::Handshake } => Text::new(
                "HTTPS 握手超时：连接已建立，但对方没有完成加密协商。请检查该端口是否为 HTTPS。",
                "The HTTPS handshake took too long. Check that the port really speaks HTTPS.",
            ),
            SendError::Timeout { phase: Phase::Reply } => Text::new(
                "对方没有在时限内答复完毕。请先返回 2xx，再处理耗时的工作。",
                "The answer was not complete in time. Answer 2xx first and do slow work afterwards.",
            ),
            SendError::Protocol => Text::new(
                "连接中断，或对方的答复不是有效的 HTTP。请查看服务器的错误日志。",
                "The connection broke, or the answer was not valid HTTP. Look at the server's error log.",
            ),
        };
        text.get(lang).to_owned()
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence(Lang::En))
    }
}

impl std::error::Error for SendError {}
