//! `coffer sim`: the simulated providers alone, on an address of their own, so that any SDK can be pointed at them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use actix_web::web;
use ipnet::{IpNet, Ipv4Net};
use tokio::sync::watch;

use super::config::Inputs;
use super::failure::{Exit, Failure};
use super::place::create_private_dir;
use super::print;
use crate::env::Env;
use crate::env::http::HttpTransport;
use crate::env::target::TargetPolicy;
use crate::sandbox::provider::Reach;
use crate::sandbox::provider::pages::Controls;
use crate::sandbox::simulators::Simulators;
use crate::server::tls::{Certificates, Clients, TlsFiles};
use crate::server::{self, asked_to_stop};
use crate::signals::metrics::{Metrics, Observed, Outgoing};
use crate::signals::{Signals, logging};
use crate::store::{Store, StoreOptions};

/// Where the simulators listen if nothing else is said.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8090);

/// The state, in the folder that was named.
const FILE: &str = "coffer-sim.db";

/// Ports on which shops under development are notified, beside any port of this machine itself.
const PORTS: [u16; 12] = [80, 443, 3000, 4000, 5000, 5173, 8000, 8080, 8081, 8443, 8888, 9000];

/// What `sim` asks.
#[derive(clap::Args)]
pub struct Options {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value_t = LISTEN)]
    listen: SocketAddr,
    /// How merchants and phones reach this server, if not by the address it listens on
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// For SDKs that insist on https: a certificate, PEM with its chain
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

/// Runs until a signal asks to stop. Without a data folder everything is forgotten then.
pub fn run(data: Option<PathBuf>, options: &Options) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| Failure::new(Exit::Failed, error.to_string());
    let overrides = vec![("server.listen", options.listen.to_string()), ("log.level", "warn".to_owned())];
    // Only the defaults of a server are wanted, whatever a configuration of the gateway says.
    let inputs = Inputs { data_dir: Some(PathBuf::from(FILE)), overrides, ..Inputs::default() };
    let mut config = inputs.load()?.config;
    logging::install(config.log.format, &config.log.level);
    let listener = server::bind(options.listen).map_err(|error| failed(&error))?;
    config.server.listen = listener.local_addr().map_err(|error| failed(&error))?;
    let tls_files = options.tls_cert.clone().zip(options.tls_key.clone());
    // Merchants show their certificate where the provider wants it, at reversals.
    let load = |(cert_file, key_file)| Certificates::load(TlsFiles { cert_file, key_file }, Clients::Asked);
    let tls = tls_files.map(load);
    let tls = tls.transpose().map_err(|error| Failure::of(Exit::Configuration, &error))?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let public_url = options.public_url.clone().unwrap_or_else(|| format!("{scheme}://{}", config.server.listen));
    let public_url = public_url.trim_end_matches('/').to_owned();

    let store = match &data {
        Some(folder) => {
            create_private_dir(folder)?;
            Store::open(&folder.join(FILE), StoreOptions::default())?
        }
        None => Store::open_memory(StoreOptions::default())?,
    };
    let env = Env::system();
    let transport = HttpTransport::system(&[]).map_err(|error| failed(&error))?;
    let reach = Reach { public_url: public_url.clone(), own_url: None, at_root: true, policy: policy() };
    let simulators = Simulators::open(store.clone(), env.clone(), Arc::new(transport), reach);
    print("Making the keys of both sides…\n");
    for dialect in simulators.world.dialects() {
        dialect.credentials()?;
    }
    print(&told(&public_url, data.as_deref()));
    let served = actix_web::rt::System::new().block_on(serve(&config.server, listener, tls, env, &simulators));
    drop(simulators);
    store.close();
    served
}

async fn serve(
    config: &super::config::Server,
    listener: std::net::TcpListener,
    tls: Option<Arc<Certificates>>,
    env: Env,
    simulators: &Simulators,
) -> Result<(), Failure> {
    let metrics = Arc::new(Metrics::new(&Outgoing::default(), Observed::default));
    let signals = web::Data::new(Signals { env, metrics });
    let rooms = simulators.clone();
    let routes = move |routes: &mut web::ServiceConfig| {
        routes
            .configure(crate::web::asset_routes)
            .configure(rooms.root_routes())
            .configure(rooms.routes(Controls::Open))
            .route("/", web::get().to(home));
    };
    let listening =
        server::listen(config, listener, tls, signals, routes).map_err(|error| Failure::of(Exit::Failed, &error))?;
    let (stop, stopping) = watch::channel(false);
    let messenger = tokio::spawn({
        let world = simulators.world.clone();
        async move { world.run(stopping).await }
    });
    let served = listening
        .until(async {
            asked_to_stop().await;
        })
        .await;
    stop.send_replace(true);
    messenger.abort();
    served.map_err(|error| Failure::of(Exit::Failed, &error))
}

async fn home() -> actix_web::HttpResponse {
    actix_web::HttpResponse::SeeOther().insert_header(("location", "/sim")).finish()
}

/// Whoever runs a simulator may have it call shops on this machine and in the same private network.
fn policy() -> TargetPolicy {
    let net = |a, b, length| IpNet::V4(Ipv4Net::new(Ipv4Addr::new(a, b, 0, 0), length).expect("a short prefix"));
    TargetPolicy {
        https_only: false,
        ports: PORTS.to_vec(),
        allow_loopback: true,
        allow_subnets: vec![net(10, 0, 8), net(172, 16, 12), net(192, 168, 16)],
        own_listeners: Vec::new(),
    }
}

fn told(url: &str, data: Option<&std::path::Path>) -> String {
    let kept = match data {
        Some(folder) => format!("State is kept in {}.", folder.join(FILE).display()),
        None => "State is in memory and forgotten at the end; --data DIR keeps it.".to_owned(),
    };
    format!(
        "
The simulators are running. Ctrl-C stops them. {kept}

  How to use them       {url}/sim
  WeChat Pay APIv3      {url}/v3/…
  WeChat Pay V2         {url}/pay/micropay, /pay/orderquery, /secapi/pay/reverse (with a client certificate over https)
  Alipay                {url}/gateway.do, {url}/v3/alipay/…
  UnionPay 5.1.0        {url}/gateway/api/…  (files: POST {url}/)
  Credentials           {url}/sim/credentials
  The payer's phone     {url}/sim/phone
  Faults and time       {url}/sim/faults
"
    )
}
