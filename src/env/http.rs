//! The real transport: HTTP/1.1 over a connection that this file opens itself, because the address that was checked
//! must be the address that is called.
//!
//! Order of every call: read the URL, ask for the name's addresses, judge all of them, connect to one of those, judge
//! the connection, then send. Nothing reads proxy settings from the environment and nothing follows a redirect.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{HeaderName, HeaderValue};
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use url::Host;

use super::identity::ClientIdentity;
use super::pool::{Key, Link, Pool};
use super::resolver::{Resolver, SystemResolver};
use super::target::{Target, TargetPolicy, is_localhost};
use super::transport::{
    ConnectFault, Limits, OutgoingRequest, OutgoingResponse, Phase, SendError, Sending, TlsFault, Transport,
};

/// Bytes of an answer's head, and of the buffer that a connection reads into.
pub const REPLY_HEAD_MAX: usize = 32 * 1024;
/// Header fields of an answer.
pub const REPLY_HEADERS_MAX: usize = 100;
/// Addresses of one name that are tried, all of them within the time for connecting.
pub const ADDRESSES_TRIED_MAX: usize = 4;

/// Headers that only the transport may set: they frame the message or decide who reads it.
const OWN_HEADERS: [&str; 9] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "proxy-connection",
];

type Message = hyper::Request<Full<Bytes>>;

/// Sends over the network. One for the whole process, so that connections are shared.
pub struct HttpTransport {
    resolver: Arc<dyn Resolver>,
    roots: Arc<RootCertStore>,
    /// For calls without a client certificate.
    tls: TlsConnector,
    pool: Arc<Pool>,
}

impl HttpTransport {
    /// The operating system's resolver and the public certificate authorities, plus `extra_roots`.
    ///
    /// # Errors
    /// An extra root that is not a certificate.
    pub fn system(extra_roots: &[CertificateDer<'_>]) -> Result<Self, rustls::Error> {
        Self::new(Arc::new(SystemResolver::new()), extra_roots)
    }

    pub fn new(resolver: Arc<dyn Resolver>, extra_roots: &[CertificateDer<'_>]) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for root in extra_roots {
            roots.add(root.clone().into_owned())?;
        }
        let roots = Arc::new(roots);
        let tls = connector(&roots, None)?;
        Ok(Self { resolver, roots, tls, pool: Arc::default() })
    }

    async fn exchange(
        &self,
        request: OutgoingRequest,
        policy: &TargetPolicy,
        limits: Limits,
    ) -> Result<OutgoingResponse, SendError> {
        let started = Instant::now();
        let end = started + limits.total.to_std();
        let target = policy.check_url(&request.url).map_err(|reason| SendError::Blocked { reason })?;
        let identity = request.identity.clone();
        let message = compose(&target, request)?;

        let connect_end = end.min(started + limits.connect.to_std());
        let addresses = self.checked_addresses(&target, policy, connect_end).await?;
        let (mut link, reused) = match self.rested(&target, identity.as_ref(), &addresses, policy) {
            Some(link) => (link, true),
            None => (self.connect(&target, identity.as_ref(), &addresses, policy, connect_end).await?, false),
        };
        let mut connected = Instant::now();
        let answer = match within(end, Phase::Reply, hand_over(&mut link, message)).await? {
            Ok(answer) => answer,
            // Only a request of which not one byte was written goes out a second time.
            Err(Some(message)) if reused => {
                link = self
                    .connect(
                        &target,
                        identity.as_ref(),
                        &addresses,
                        policy,
                        end.min(connected + limits.connect.to_std()),
                    )
                    .await?;
                connected = Instant::now();
                within(end, Phase::Reply, hand_over(&mut link, message)).await?.map_err(|_| SendError::Protocol)?
            }
            Err(_) => return Err(SendError::Protocol),
        };

        let (head, body) = answer.into_parts();
        let (body, truncated) = within(end, Phase::Reply, read_body(body, limits.reply_max)).await??;
        let address = link.key.address;
        if !truncated {
            self.pool.put(link, Instant::now());
        }
        Ok(OutgoingResponse {
            status: head.status.as_u16(),
            headers: head
                .headers
                .iter()
                .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect(),
            body,
            truncated,
            address,
            connect_ms: millis(connected - started),
            total_ms: millis(started.elapsed()),
        })
    }

    /// All addresses of the target's host, every one of them judged.
    async fn checked_addresses(
        &self,
        target: &Target,
        policy: &TargetPolicy,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, SendError> {
        let ips = match &target.host {
            Host::Ipv4(ip) => vec![IpAddr::V4(*ip)],
            Host::Ipv6(ip) => vec![IpAddr::V6(*ip)],
            Host::Domain(name) if is_localhost(name) => {
                vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
            }
            Host::Domain(name) => {
                within(deadline, Phase::Lookup, self.resolver.resolve(name)).await?.map_err(|_| SendError::Dns)?
            }
        };
        if ips.is_empty() {
            return Err(SendError::Dns);
        }
        let addresses: Vec<_> = ips.into_iter().map(|ip| SocketAddr::new(ip, target.port)).collect();
        for address in &addresses {
            policy.check_address(*address).map_err(|reason| SendError::Blocked { reason })?;
        }
        Ok(addresses)
    }

    /// A resting connection to one of the checked addresses.
    fn rested(
        &self,
        target: &Target,
        identity: Option<&ClientIdentity>,
        addresses: &[SocketAddr],
        policy: &TargetPolicy,
    ) -> Option<Link> {
        let now = Instant::now();
        let link = addresses.iter().find_map(|address| self.pool.take(&key(target, *address, identity), now))?;
        policy.check_connection(link.local, link.key.address).is_ok().then_some(link)
    }

    /// Tries the addresses in the resolver's order, each with an equal part of the time that is left.
    async fn connect(
        &self,
        target: &Target,
        identity: Option<&ClientIdentity>,
        addresses: &[SocketAddr],
        policy: &TargetPolicy,
        deadline: Instant,
    ) -> Result<Link, SendError> {
        let tried = addresses.len().min(ADDRESSES_TRIED_MAX);
        let mut failure = SendError::Dns;
        for (i, address) in addresses.iter().take(tried).enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(tried - i).unwrap_or(1);
            match self.connect_to(target, identity, *address, policy, Instant::now() + share).await {
                Ok(link) => return Ok(link),
                // A judgement is final; another address is no way round it.
                Err(blocked @ SendError::Blocked { .. }) => return Err(blocked),
                Err(other) => failure = other,
            }
        }
        Err(failure)
    }

    async fn connect_to(
        &self,
        target: &Target,
        identity: Option<&ClientIdentity>,
        address: SocketAddr,
        policy: &TargetPolicy,
        deadline: Instant,
    ) -> Result<Link, SendError> {
        let stream =
            within(deadline, Phase::Connect, TcpStream::connect(address)).await?.map_err(|e| connect_error(&e))?;
        let local = stream.local_addr().map_err(|e| connect_error(&e))?;
        policy.check_connection(local, address).map_err(|reason| SendError::Blocked { reason })?;
        // Small messages should not wait for more; without it the call only gets slower.
        let _ = stream.set_nodelay(true);
        let key = key(target, address, identity);
        if !target.https {
            return open(key, local, stream).await;
        }
        let name = server_name(&target.host)?;
        let tls = match identity {
            None => self.tls.clone(),
            Some(_) => connector(&self.roots, identity).map_err(|_| SendError::InvalidRequest)?,
        };
        let stream = within(deadline, Phase::Handshake, tls.connect(name, stream))
            .await?
            .map_err(|e| SendError::Tls { fault: tls_fault(&e) })?;
        open(key, local, stream).await
    }
}

impl Transport for HttpTransport {
    fn send<'a>(&'a self, request: OutgoingRequest, policy: &'a TargetPolicy, limits: Limits) -> Sending<'a> {
        Box::pin(self.exchange(request, policy, limits))
    }
}

fn key(target: &Target, address: SocketAddr, identity: Option<&ClientIdentity>) -> Key {
    Key { https: target.https, host: target.host.to_string(), address, identity: identity.cloned() }
}

/// How handshakes are made. One with an identity is made for a single connection and resumes nothing: a resumed session
/// would be taken for whoever began it.
fn connector(roots: &Arc<RootCertStore>, identity: Option<&ClientIdentity>) -> Result<TlsConnector, rustls::Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(Arc::clone(roots));
    let mut config = match identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let mut config = config.with_client_cert_resolver(identity.resolver());
            config.resumption = Resumption::disabled();
            config
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Puts an HTTP/1.1 client on a connected stream.
async fn open<S>(key: Key, local: SocketAddr, stream: S) -> Result<Link, SendError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(REPLY_HEAD_MAX)
        .max_header_size(REPLY_HEAD_MAX)
        .max_headers(REPLY_HEADERS_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| SendError::Protocol)?;
    // What goes wrong on the connection reaches the caller through the sender.
    let task = tokio::spawn(async move { drop(connection.await) });
    Ok(Link { key, local, sender, task })
}

/// Gives the message to the connection. On failure it comes back if nothing of it was written.
async fn hand_over(link: &mut Link, message: Message) -> Result<hyper::Response<Incoming>, Option<Message>> {
    if link.sender.ready().await.is_err() {
        return Err(Some(message));
    }
    link.sender.try_send_request(message).await.map_err(|mut e| e.take_message())
}

/// Reads up to `max` bytes; true when there was more.
async fn read_body(mut body: Incoming, max: usize) -> Result<(Vec<u8>, bool), SendError> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| SendError::Protocol)?.into_data() else { continue };
        let room = max - bytes.len();
        if data.len() > room {
            bytes.extend_from_slice(&data[..room]);
            return Ok((bytes, true));
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, false))
}

fn compose(target: &Target, request: OutgoingRequest) -> Result<Message, SendError> {
    let mut message = hyper::Request::builder()
        .method(request.method.as_str())
        .uri(target.path.as_str())
        .header(hyper::header::HOST, target.authority())
        .body(Full::new(Bytes::from(request.body)))
        .map_err(|_| SendError::InvalidRequest)?;
    for (name, value) in request.headers {
        let name = HeaderName::try_from(name).map_err(|_| SendError::InvalidRequest)?;
        let value = HeaderValue::try_from(value).map_err(|_| SendError::InvalidRequest)?;
        if OWN_HEADERS.contains(&name.as_str()) {
            return Err(SendError::InvalidRequest);
        }
        message.headers_mut().append(name, value);
    }
    Ok(message)
}

fn server_name(host: &Host<String>) -> Result<ServerName<'static>, SendError> {
    match host {
        Host::Ipv4(ip) => Ok(ServerName::from(IpAddr::V4(*ip))),
        Host::Ipv6(ip) => Ok(ServerName::from(IpAddr::V6(*ip))),
        // A name that no certificate can be issued for.
        Host::Domain(name) => {
            ServerName::try_from(name.clone()).map_err(|_| SendError::Tls { fault: TlsFault::WrongName })
        }
    }
}

fn connect_error(error: &std::io::Error) -> SendError {
    let fault = if error.kind() == std::io::ErrorKind::ConnectionRefused {
        ConnectFault::Refused
    } else {
        ConnectFault::Unreachable
    };
    SendError::Connect { fault }
}

fn tls_fault(error: &std::io::Error) -> TlsFault {
    use CertificateError as C;
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(certificate)) = inner else { return TlsFault::Handshake };
    match certificate {
        C::NotValidForName | C::NotValidForNameContext { .. } => TlsFault::WrongName,
        C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. } => TlsFault::Expired,
        C::UnknownIssuer => TlsFault::UnknownIssuer,
        _ => TlsFault::BadCertificate,
    }
}

async fn within<T>(deadline: Instant, phase: Phase, work: impl Future<Output = T>) -> Result<T, SendError> {
    tokio::time::timeout_at(deadline, work).await.map_err(|_| SendError::Timeout { phase })
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
