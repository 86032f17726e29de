//! The servers that are measured, each on a thread of its own: the gateway as `serve` runs it, and beside it one that
//! answers nothing to everything.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use actix_web::{App, HttpResponse, HttpServer, web};
use tokio::sync::{oneshot, watch};

use super::BenchError;
use crate::app::{self, House};
use crate::cli::config::{self, Config};
use crate::server;
use crate::signals::Signals;
use crate::signals::metrics::Metrics;

/// A server that runs until it is dropped.
pub struct Serving {
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// The gateway with everything that works beside it.
    pub fn gateway(config: &Config, listener: TcpListener, house: &House) -> Result<Self, BenchError> {
        let (config, house) = (config.server.clone(), house.clone());
        Self::start(listener, move |listener, stop| gateway(config, listener, house, stop))
    }

    /// An empty handler in a bare application.
    pub fn empty(config: &config::Server) -> Result<Self, BenchError> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(BenchError::io("taking a port"))?;
        let workers = usize::try_from(config.workers).expect("bounded by the configuration");
        Self::start(listener, move |listener, mut stop| {
            let server = HttpServer::new(|| App::new().route("/", web::get().to(HttpResponse::Ok)))
                .workers(workers)
                .disable_signals()
                .listen(listener);
            Ok(async move {
                let server = server.expect("the port is open").run();
                let handle = server.handle();
                let stopped = async {
                    drop(stop.wait_for(|stop| *stop).await);
                    handle.stop(false).await;
                };
                drop(tokio::join!(server, stopped).0);
            })
        })
    }

    fn start<F, R>(listener: TcpListener, make: F) -> Result<Self, BenchError>
    where
        F: FnOnce(TcpListener, watch::Receiver<bool>) -> Result<R, BenchError> + Send + 'static,
        R: Future<Output = ()> + 'static,
    {
        let address = listener.local_addr().map_err(BenchError::io("taking a port"))?;
        let (stop, stopping) = watch::channel(false);
        let (ready, begun) = oneshot::channel();
        let work = move || {
            actix_web::rt::System::new().block_on(async move {
                match make(listener, stopping) {
                    Ok(running) => {
                        drop(ready.send(Ok(())));
                        running.await;
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            });
        };
        let thread = std::thread::Builder::new().name("bench-server".to_owned()).spawn(work);
        let thread = Some(thread.map_err(BenchError::io("starting a server"))?);
        let serving = Self { address, stop, thread };
        begun.blocking_recv().map_err(|_| BenchError::Setup("a server did not start".to_owned()))??;
        Ok(serving)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A server that panicked has said so.
            drop(thread.join());
        }
    }
}

fn gateway(
    config: config::Server,
    listener: TcpListener,
    house: House,
    mut stop: watch::Receiver<bool>,
) -> Result<impl Future<Output = ()>, BenchError> {
    let observed = house.clone();
    let metrics = Arc::new(Metrics::new(&house.gateway.outgoing, move || observed.observed()));
    let signals = web::Data::new(Signals { env: house.gateway.env.clone(), metrics });
    let rooms = house.clone();
    let routes = move |routes: &mut web::ServiceConfig| app::routes(&rooms, routes);
    let listening = server::listen(&config, listener, None, signals, routes);
    let listening = listening.map_err(|error| BenchError::Setup(error.to_string()))?;
    Ok(async move {
        let queue = tokio::spawn({
            let (runner, stopping) = (house.runner.clone(), stop.clone());
            async move { runner.run(stopping).await }
        });
        let provider = tokio::spawn({
            let (wallet, stopping) = (house.wallet.clone(), stop.clone());
            async move { wallet.run(stopping).await }
        });
        let stopped = async move { drop(stop.wait_for(|stop| *stop).await) };
        drop(listening.until(stopped).await);
        drop((queue.await, provider.await));
    })
}
