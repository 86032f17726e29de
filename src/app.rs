//! The whole house: builds the gateway and its queue on an open store, and says which rooms the HTTP server has.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use actix_web::web;
use ipnet::IpNet;

use crate::api::rate::Rate;
use crate::api::{Api, ApiSettings};
use crate::cases::Cases;
use crate::cli::config::Config;
use crate::console::{self, Console};
use crate::crypto::Vault;
use crate::crypto::rsa;
use crate::domain::time::{Duration, Timestamp};
use crate::env::Env;
use crate::env::http::HttpTransport;
use crate::env::target::TargetPolicy;
use crate::flows::gateway::{Gateway, GatewayError, Settings};
use crate::flows::runner::Runner;
use crate::sandbox::provider::KeyMaker;
use crate::sandbox::provider::pages::Controls;
use crate::sandbox::simulators::Simulators;
use crate::sandbox::wallet::{self, Wallet};
use crate::signals::metrics::Observed;
use crate::store::tables::DUE;
use crate::store::{Order, Read, Span, Store, StoreError};
use crate::test_mode::players::Players;

/// Lanes that are looked at for the oldest effect; with more, some shop has thousands of addresses that all wait.
const LANES_LOOKED_AT: usize = 1_000;

/// Everything that lives as long as the server.
#[derive(Clone)]
pub struct House {
    pub gateway: Gateway,
    pub runner: Runner,
    /// The simulated provider of test mode.
    pub wallet: Wallet,
    /// Simulated providers that speak real protocols, for test mode.
    pub simulators: Simulators,
    /// Whether the simulators' boards are there for everybody who reaches this server.
    pub controls: Controls,
    /// Runs of acceptance cases.
    pub cases: Cases,
    pub console: Console,
    pub api: Arc<Api>,
    /// Whose word about a customer's address counts.
    pub proxies: crate::cashier::Proxies,
}

impl House {
    /// What is asked at each reading of the metrics. Blocks.
    pub fn observed(&self) -> Observed {
        let store = &self.gateway.store;
        let now = self.gateway.env.now();
        let counted = store.read_blocking(|tx| Ok::<_, StoreError>((tx.len(&DUE)?, oldest_due(tx)?)));
        let (effects_queued, oldest) = counted.unwrap_or_else(|error| {
            tracing::warn!(%error, "the queue cannot be counted");
            (0, None)
        });
        let queue = self.runner.stats();
        Observed {
            store: store.stats(),
            effects_queued,
            effects_age: oldest.map_or(Duration::ZERO, |oldest| now.since(oldest)),
            effects_under_way: queue.under_way as u64,
            effects_done: queue.done,
        }
    }
}

/// When the oldest effect was or will be due: the first of each lane, so that a long queue costs no more than a short one.
fn oldest_due(tx: &impl Read) -> Result<Option<Timestamp>, StoreError> {
    let (mut span, mut oldest) = (Span::all(), None);
    for _ in 0..LANES_LOOKED_AT {
        let Some(((lane, at, _), ())) = tx.scan(&DUE, &span, Order::Ascending, 1)?.pop() else { break };
        oldest = Some(oldest.map_or(at, |oldest: Timestamp| oldest.min(at)));
        span = Span::all().after(&lane);
    }
    Ok(oldest)
}

/// Why the house could not be built.
#[derive(Debug)]
pub enum BuildError {
    Gateway(GatewayError),
    Store(StoreError),
    /// The certificates that outgoing calls trust cannot be used.
    Tls(rustls::Error),
}

impl std::fmt::Display for BuildError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BuildError::Gateway(error) => write!(f, "{error}"),
            BuildError::Store(error) => write!(f, "{error}"),
            BuildError::Tls(error) => write!(f, "outgoing calls cannot be made: {error}"),
        }
    }
}

impl std::error::Error for BuildError {}

/// Opens everything that stands on the store. Blocks.
pub fn build(config: &Config, env: Env, vault: Arc<Vault>, store: Store) -> Result<House, BuildError> {
    build_with_keys(config, env, vault, store, Arc::new(rsa::generate))
}

/// The same with the simulated providers' keys from elsewhere, because making them takes seconds.
pub fn build_with_keys(
    config: &Config,
    env: Env,
    vault: Arc<Vault>,
    store: Store,
    keys: KeyMaker,
) -> Result<House, BuildError> {
    let transport = HttpTransport::system(&[]).map_err(BuildError::Tls)?;
    let render = Arc::new(crate::api::render_event);
    let settings = settings(config);
    let gateway =
        Gateway::build(store, env, vault, Arc::new(transport), settings, render).map_err(BuildError::Gateway)?;
    let runner = Runner::new(gateway.clone()).map_err(BuildError::Store)?;
    let wallet = Wallet::open(&gateway).map_err(BuildError::Gateway)?;
    let rate = Rate { per_second: config.limits.api_per_second, burst: config.limits.api_burst };
    let rules = ApiSettings { rate, trusted_proxies: config.server.trusted_proxies.clone() };
    let simulators = Simulators::inside(&gateway, keys);
    let players = Players::new(&gateway, wallet.clone(), simulators.clone());
    let api = Api::new(gateway.clone(), players, rules).map_err(BuildError::Gateway)?;
    let cases = api.cases.clone();
    let console = Console::new(gateway.clone(), cases.clone(), config.server.trusted_proxies.clone())
        .expect("the public address was read from an address");
    // Boards that move clocks and hand out keys are for a demo on one's own machine.
    let own_machine = config.callbacks.allow_loopback && config.server.listen.ip().is_loopback();
    let controls = if own_machine { Controls::Open } else { Controls::Closed };
    let proxies = crate::cashier::Proxies(config.server.trusted_proxies.clone());
    Ok(House { gateway, runner, wallet, simulators, controls, cases, console, api, proxies })
}

fn settings(config: &Config) -> Settings {
    let listen = config.server.listen;
    let own_url = if config.tls.cert_file.is_some() {
        config.base_url().to_string()
    } else {
        format!("http://{}", reachable(listen))
    };
    let callbacks = TargetPolicy {
        https_only: !config.callbacks.allow_http,
        ports: config.callbacks.ports.clone(),
        allow_loopback: config.callbacks.allow_loopback,
        allow_subnets: config.callbacks.allow_subnets.clone(),
        // What may call this machine at all (demo and tests) may call the demo's shop, which lives in this process.
        own_listeners: if config.callbacks.allow_loopback { Vec::new() } else { vec![listen] },
    };
    let channels = TargetPolicy { own_listeners: vec![listen], ..TargetPolicy::default() };
    let sandbox = TargetPolicy {
        https_only: false,
        ports: vec![listen.port(), 80, 443],
        allow_loopback: true,
        allow_subnets: vec![IpNet::from(reachable(listen).ip())],
        own_listeners: Vec::new(),
    };
    let count = |number: u64| usize::try_from(number).expect("bounded by the configuration");
    Settings {
        public_url: config.base_url().to_string().trim_end_matches('/').to_owned(),
        own_url: own_url.trim_end_matches('/').to_owned(),
        callbacks,
        channels,
        sandbox,
        in_flight_max: count(config.callbacks.concurrency),
        per_endpoint_max: count(config.callbacks.endpoint_concurrency),
    }
}

/// Where a process on this machine reaches what listens at `listen`.
fn reachable(listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() { SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listen.port()) } else { listen }
}

/// The rooms of the HTTP server; runs once in each worker.
pub fn routes(house: &House, config: &mut web::ServiceConfig) {
    // Rooms are tried in this order, and the API has the most visitors.
    crate::api::routes(config, &house.api);
    config
        .app_data(web::Data::new(house.gateway.clone()))
        .app_data(web::Data::new(house.runner.clone()))
        .app_data(web::Data::new(house.wallet.clone()))
        .configure(crate::web::asset_routes)
        .app_data(web::Data::new(house.proxies.clone()))
        .configure(crate::cashier::routes)
        .configure(crate::notifications::routes)
        .configure(wallet::routes)
        .configure(house.simulators.routes(house.controls))
        .configure(console::configure(house.console.clone()));
}
