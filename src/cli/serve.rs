//! `coffer serve`: takes the port, opens the data, serves, and stops in order: first requests, then the queue, then the
//! store.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use tokio::sync::watch;

use super::admin::{self, Workbench};
use super::config::Config;
use super::failure::{Exit, Failure};
use super::place::{open_store, open_vault, socket_file};
use crate::app::{self, House};
use crate::env::Env;
use crate::proof::{self, Notary};
use crate::server::tls::{Certificates, Clients, TlsFiles};
use crate::server::{self, asked_to_stop};
use crate::signals::health::{self, MetricsAccess, Ready};
use crate::signals::metrics::Metrics;
use crate::signals::{Signals, logging};
use crate::test_mode::accounts;

/// How long calls under way may take to end at a stop; a callback's own limit is 15 seconds.
const QUEUE_DRAIN_MAX: Duration = Duration::from_secs(20);

/// Rooms of the HTTP server beside those of the house.
pub type Rooms = Arc<dyn Fn(&mut web::ServiceConfig) + Send + Sync>;

/// Serves until a signal asks to stop.
pub fn run(config: Config) -> Result<(), Failure> {
    logging::install(config.log.format, &config.log.level);
    // The port comes before the data: what the data says about the own address must be true.
    let listener = server::bind(config.server.listen).map_err(|error| Failure::of(Exit::Failed, &error))?;
    run_on(config, listener, |_, _| Ok(Arc::new(|_: &mut web::ServiceConfig| {})))
}

/// Serves on a port that is taken already. `open` sees the house before its first visitor and may add rooms.
pub fn run_on(
    mut config: Config,
    listener: std::net::TcpListener,
    open: impl FnOnce(&Config, &House) -> Result<Rooms, Failure>,
) -> Result<(), Failure> {
    let certificates = TlsFiles::of(&config.tls).map(|files| Certificates::load(files, Clients::Anonymous)).transpose();
    let certificates = certificates.map_err(|error| Failure::of(Exit::Configuration, &error))?;
    config.server.listen = listener.local_addr().map_err(|error| Failure::of(Exit::Failed, &error))?;
    let env = Env::system();
    let store = open_store(&config)?;
    let vault = open_vault(&config, &store)?;
    let house = app::build(&config, env, vault, store.clone()).map_err(|error| Failure::of(Exit::Failed, &error))?;
    let file = config.data_dir.join(proof::FILE);
    let notary = Notary::open(store.clone(), house.gateway.env.clone(), &house.gateway.vault, file);
    let notary = notary.map_err(|error| Failure::of(Exit::Failed, &error))?;
    notary.check().map_err(|error| Failure::of(Exit::Found, &error))?;
    let notary = Arc::new(notary);
    sign(&notary);
    let rooms = open(&config, &house)?;
    let served = actix_web::rt::System::new().block_on(serve(&config, listener, &house, rooms, certificates, &notary));
    sign(&notary);
    drop((house, notary));
    store.close();
    served
}

async fn serve(
    config: &Config,
    listener: std::net::TcpListener,
    house: &House,
    more_rooms: Rooms,
    certificates: Option<Arc<Certificates>>,
    notary: &Arc<Notary>,
) -> Result<(), Failure> {
    let gateway = &house.gateway;
    let (env, store) = (gateway.env.clone(), gateway.store.clone());
    let observed = house.clone();
    let metrics = Arc::new(Metrics::new(&gateway.outgoing, move || observed.observed()));
    let signals = web::Data::new(Signals { env: env.clone(), metrics });
    let mut failed = store.failed();
    let latch = failed.clone();
    let ready: Arc<Ready> = Arc::new(move || if *latch.borrow() { Err("the store has stopped") } else { Ok(()) });
    let access = web::Data::new(MetricsAccess(config.metrics.allow.clone()));
    let rooms = house.clone();
    let routes = move |routes: &mut web::ServiceConfig| {
        routes.app_data(web::Data::from(ready.clone())).app_data(access.clone()).configure(health::configure);
        app::routes(&rooms, routes);
        more_rooms(routes);
    };
    let listening = server::listen(&config.server, listener, certificates.clone(), signals, routes)
        .map_err(|error| Failure::of(Exit::Failed, &error))?;
    let bench = Workbench::of_server(gateway, config);
    if let Err(error) = admin::take_orders(&socket_file(config), bench) {
        tracing::warn!(%error, "commands such as backup cannot reach this server while it runs");
    }
    if let Some(certificates) = certificates {
        actix_web::rt::spawn(certificates.keep_fresh(env, server::asked_to_reload()));
    }
    tracing::info!(address = %config.server.listen, url = %config.base_url(), "listening");
    let (stop_queue, stopping) = watch::channel(false);
    let queue = tokio::spawn({
        let runner = house.runner.clone();
        async move { runner.run(stopping).await }
    });
    let provider = tokio::spawn({
        let (wallet, stopping) = (house.wallet.clone(), stop_queue.subscribe());
        async move { wallet.run(stopping).await }
    });
    let simulated = tokio::spawn({
        let (world, stopping) = (house.simulators.world.clone(), stop_queue.subscribe());
        async move { world.run(stopping).await }
    });
    let acceptance = tokio::spawn({
        let (cases, stopping) = (house.cases.clone(), stop_queue.subscribe());
        async move { cases.run(stopping).await }
    });
    if config.sandbox.simulators {
        accounts::connect_beside(gateway.clone(), house.simulators.clone(), stop_queue.subscribe());
    }
    let hourly = tokio::spawn({
        let (notary, env) = (notary.clone(), house.gateway.env.clone());
        async move {
            loop {
                env.sleep(proof::INTERVAL).await;
                let notary = notary.clone();
                drop(tokio::task::spawn_blocking(move || sign(&notary)).await);
            }
        }
    });
    let mut stopped_by_store = false;
    let stop = async {
        tokio::select! {
            signal = asked_to_stop() => tracing::info!(signal, "stopping: running requests may finish"),
            _ = failed.wait_for(|failed| *failed) => stopped_by_store = true,
        }
    };
    let served = listening.until(stop).await;
    hourly.abort();
    // Its file would lead commands to a server that is gone.
    drop(std::fs::remove_file(socket_file(config)));
    if stopped_by_store {
        return Err(Failure::new(
            Exit::Storage,
            "reading or writing the data failed; look at the disk, then start again and run `coffer verify`",
        ));
    }
    stop_queue.send_replace(true);
    // Calls under way get their answers recorded; whatever does not finish is still a row and is done after the next start.
    if tokio::time::timeout(QUEUE_DRAIN_MAX, async { (acceptance.await, queue.await, provider.await, simulated.await) })
        .await
        .is_err()
    {
        tracing::warn!("some effects did not finish in time; they are repeated after the next start");
    }
    served.map_err(|error| Failure::of(Exit::Failed, &error))?;
    tracing::info!("stopped");
    Ok(())
}

/// A checkpoint that cannot be written is a matter for the operator; payments go on.
fn sign(notary: &Notary) {
    if let Err(error) = notary.sign() {
        tracing::error!("no checkpoint could be written: {error}");
    }
}
