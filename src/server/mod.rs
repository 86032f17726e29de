//! The HTTP server: where it listens, what it endures, and how it stops. Which pages it has is told by its caller.

pub mod tls;

use std::any::Any;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::{Extensions, Server, ServerHandle};
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use tokio::sync::watch;

use crate::cli::config;
use crate::signals::{Signals, request};
use crate::web::{ErrorPage, security_headers};
use tls::{Certificates, ClientCertificate, Clients};

/// The largest request body in bytes that is read where a handler sets no limit of its own.
pub const BODY_MAX_BYTES: usize = 64 * 1024;

/// How long a client may take for the TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);

/// How long a client may take to close its side.
const DISCONNECT_MAX: Duration = Duration::from_secs(2);

/// Connections that wait in the system to be accepted.
const BACKLOG: u32 = 2048;

/// Turns true when the server begins to stop, so that endless answers end and let it.
#[derive(Clone)]
pub struct Stopping(watch::Receiver<bool>);

/// A server that accepts connections as soon as its future is polled.
pub struct Listening {
    server: Server,
    stopping: watch::Sender<bool>,
}

/// Why the server did not start.
#[derive(Debug)]
pub enum ListenError {
    /// Another program, or an earlier one of ours, has the port.
    InUse {
        address: SocketAddr,
    },
    /// Ports below 1024 need a right.
    NotAllowed {
        address: SocketAddr,
    },
    /// This machine does not have the address.
    NoSuchAddress {
        address: SocketAddr,
    },
    Io {
        address: SocketAddr,
        source: std::io::Error,
    },
}

impl Stopping {
    /// Waits until the server begins to stop.
    pub async fn wait(&mut self) {
        // An error means that the server is gone already.
        drop(self.0.wait_for(|stopping| *stopping).await);
    }
}

/// Takes the port. Connections wait in the system until [`listen`] is run.
pub fn bind(wanted: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(wanted).map_err(|source| ListenError::new(wanted, source))
}

/// Prepares the server. `routes` runs once in each worker and adds the pages and their data.
pub fn listen<F>(
    config: &config::Server,
    listener: TcpListener,
    certificates: Option<Arc<Certificates>>,
    signals: web::Data<Signals>,
    routes: F,
) -> Result<Listening, ListenError>
where
    F: Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
{
    let (stopping, watched) = watch::channel(false);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(signals.clone())
            .app_data(web::Data::new(Stopping(watched.clone())))
            .app_data(web::PayloadConfig::new(BODY_MAX_BYTES))
            .app_data(web::FormConfig::default().limit(BODY_MAX_BYTES))
            .configure(routes.clone())
            .default_service(web::to(nowhere))
            .wrap(from_fn(security_headers))
            .wrap(from_fn(request::observe))
    });
    let workers = usize::try_from(config.workers).expect("bounded by the configuration");
    let connections = usize::try_from(config.connections_max).expect("bounded by the configuration");
    let server = server
        .workers(workers)
        .max_connections(connections.div_ceil(workers))
        .backlog(BACKLOG)
        .keep_alive(Duration::from_secs(config.keep_alive_s))
        .client_request_timeout(Duration::from_secs(config.head_timeout_s))
        .client_disconnect_timeout(DISCONNECT_MAX)
        .tls_handshake_timeout(HANDSHAKE_MAX)
        .shutdown_timeout(config.drain_s)
        .disable_signals();
    let server = match certificates.as_ref().map(|certificates| certificates.clients()) {
        Some(Clients::Asked) => server.on_connect(note_client),
        Some(Clients::Anonymous) | None => server,
    };
    let bound = match certificates {
        Some(certificates) => server.listen_rustls_0_23(listener, certificates.server_config()),
        None => server.listen(listener),
    };
    let server = bound.map_err(|source| ListenError::new(config.listen, source))?.run();
    Ok(Listening { server, stopping })
}

/// Keeps what the client showed for the handlers.
fn note_client(connection: &dyn Any, data: &mut Extensions) {
    if let Some(stream) = connection.downcast_ref::<TlsStream<TcpStream>>() {
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        data.insert(ClientCertificate(shown.map(|leaf| leaf.to_vec())));
    }
}

/// For addresses that nobody serves.
async fn nowhere(request: HttpRequest, signals: web::Data<Signals>) -> HttpResponse {
    ErrorPage::not_found(&request, signals.env.now())
}

impl Listening {
    /// Serves until `stop` is done, then lets running requests finish within the configured time.
    pub async fn until(self, stop: impl Future<Output = ()>) -> std::io::Result<()> {
        let handle: ServerHandle = self.server.handle();
        let mut server = std::pin::pin!(self.server);
        tokio::select! {
            ended = &mut server => return ended,
            () = stop => {}
        }
        self.stopping.send_replace(true);
        let ((), ended) = tokio::join!(handle.stop(true), server);
        ended
    }
}

/// Done when the operating system asks the process to stop: SIGTERM from a service manager, SIGINT from a keyboard.
pub async fn asked_to_stop() -> &'static str {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let terminate = signal(SignalKind::terminate());
        let interrupt = signal(SignalKind::interrupt());
        let (mut terminate, mut interrupt) = match (terminate, interrupt) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(%error, "signals cannot be received; the process can only be killed");
                return std::future::pending().await;
            }
        };
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    }
    #[cfg(not(unix))]
    {
        drop(tokio::signal::ctrl_c().await);
        "Ctrl-C"
    }
}

/// Returns a wait for SIGHUP, the signal by which services are asked to read their files again.
pub fn asked_to_reload() -> impl AsyncFnMut() {
    #[cfg(unix)]
    let mut hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok();
    async move || {
        #[cfg(unix)]
        if let Some(hangup) = &mut hangup
            && hangup.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }
}

impl ListenError {
    fn new(address: SocketAddr, source: std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        // Further kinds of errors may be added to the standard library.
        match source.kind() {
            K::AddrInUse => ListenError::InUse { address },
            K::PermissionDenied => ListenError::NotAllowed { address },
            K::AddrNotAvailable => ListenError::NoSuchAddress { address },
            _ => ListenError::Io { address, source },
        }
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenError::InUse { address } => write!(
                f,
                "another program listens on {address}; stop it, or choose another port with --listen or [server] listen"
            ),
            ListenError::NotAllowed { address } => write!(
                f,
                "listening on {address} is not allowed; choose a port above 1023, or give the service the capability \
                 CAP_NET_BIND_SERVICE"
            ),
            ListenError::NoSuchAddress { address } => {
                write!(f, "this machine does not have the address {}", address.ip())
            }
            ListenError::Io { address, source: _ } => write!(f, "listening on {address} failed"),
        }
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ListenError::Io { source, .. } => Some(source),
            ListenError::InUse { .. } | ListenError::NotAllowed { .. } | ListenError::NoSuchAddress { .. } => None,
        }
    }
}
