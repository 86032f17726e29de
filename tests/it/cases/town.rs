//! A whole demo in the test's process: Coffer on a port of its own, its queue, its simulated channels, the cases, and the
//! demo's shop. Other shops are threads that answer callbacks as a test says.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use coffer::app::{self, House};
use coffer::callbacks::WebhookSecret;
use coffer::callbacks::signature::{ReceivedHeaders, verify};
use coffer::cases::report::{CaseReport, Report};
use coffer::cli::config::Inputs;
use coffer::crypto::{MasterKey, Secret, Vault};
use coffer::demo::credentials::Credentials;
use coffer::demo::prepare::{self, Plan};
use coffer::domain::ids::{EndpointId, KeyId, Mode, Scope};
use coffer::domain::time::{Duration, Timestamp};
use coffer::env::transport::{Limits, Method, OutgoingRequest, OutgoingResponse};
use coffer::env::{Clock, Env, SystemClock, SystemEntropy};
use coffer::flows::accounts;
use coffer::flows::endpoints::{self, Change};
use coffer::flows::gateway::Gateway;
use coffer::sandbox::shop::{self, Shop, ShopSettings};
use coffer::signals::metrics::{Metrics, Observed, Outgoing};
use coffer::signals::{Signals, request::observe};
use coffer::store::tables::{ENDPOINTS, KEYS};
use coffer::store::{Order, Read, Span, Store, StoreError, StoreOptions};
use coffer::test_mode::accounts::Maker;
use serde_json::Value;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use tokio::sync::watch;

use crate::demo::read_request;
use crate::keys;

/// The machine's clock, which a test can move on: a slow shop need not be waited for.
#[derive(Clone)]
pub struct LeapingClock {
    system: Arc<SystemClock>,
    leaped_ms: Arc<AtomicU64>,
}

impl LeapingClock {
    pub fn leap(&self, time: Duration) {
        self.leaped_ms.fetch_add(time.as_millis(), SeqCst);
    }
}

impl Clock for LeapingClock {
    fn now(&self) -> Timestamp {
        self.system.now().plus(Duration::from_millis(self.leaped_ms.load(SeqCst)))
    }

    fn monotonic_ms(&self) -> u64 {
        self.system.monotonic_ms() + self.leaped_ms.load(SeqCst)
    }
}

pub struct Town {
    pub base: String,
    pub house: House,
    pub told: Credentials,
    pub scope: Scope,
    pub clock: LeapingClock,
    server: ServerHandle,
    stop: watch::Sender<bool>,
}

impl Town {
    pub async fn open() -> Town {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let base = format!("http://{address}");
        let clock = LeapingClock { system: Arc::new(SystemClock::new()), leaped_ms: Arc::default() };
        let env = Env { clock: Arc::new(clock.clone()), entropy: Arc::new(SystemEntropy) };
        let url = base.clone();
        let (house, told) = tokio::task::spawn_blocking(move || build(address, &url, env)).await.unwrap();
        let mugs = mug_shop(&house, &told);
        let rooms = house.clone();
        let server = HttpServer::new(move || {
            let metrics = Arc::new(Metrics::new(&Outgoing::default(), Observed::default));
            let signals = Signals { env: rooms.gateway.env.clone(), metrics };
            App::new()
                .app_data(web::Data::new(signals))
                .configure(|config| app::routes(&rooms, config))
                .configure(|config| shop::routes(&mugs, config))
                .wrap(from_fn(observe))
        });
        let server = server.workers(1).disable_signals().listen(listener).unwrap().run();
        let handle = server.handle();
        tokio::spawn(server);
        let (stop, stopping) = watch::channel(false);
        let (queue, wallet, world, cases) =
            (house.runner.clone(), house.wallet.clone(), house.simulators.world.clone(), house.cases.clone());
        let (for_wallet, for_world, for_cases) = (stopping.clone(), stopping.clone(), stopping.clone());
        tokio::spawn(async move { queue.run(stopping).await });
        tokio::spawn(async move { wallet.run(for_wallet).await });
        tokio::spawn(async move { world.run(for_world).await });
        tokio::spawn(async move { cases.run(for_cases).await });
        let scope = scope(&house).await;
        Town { base, house, told, scope, clock, server: handle, stop }
    }

    /// The same with accounts at the simulated providers.
    pub async fn connected() -> Town {
        let town = Town::open().await;
        assert_eq!(town.connect().await, 3);
        town
    }

    /// Makes the accounts at the simulated providers that are missing, as a server does beside its work.
    pub async fn connect(&self) -> usize {
        let house = self.house.clone();
        let connect = move || {
            let Gateway { store, env, vault, .. } = &house.gateway;
            let made = Maker { store, env, vault, simulators: &house.simulators }.connect().unwrap();
            house.gateway.reload_channels().unwrap();
            accounts::plan_upkeep(&house.gateway).unwrap();
            made
        };
        tokio::task::spawn_blocking(connect).await.unwrap()
    }

    pub async fn close(self) {
        self.stop.send_replace(true);
        self.server.stop(false).await;
    }

    /// Everything in the house is told to stop; the server goes on answering.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> OutgoingResponse {
        let key = format!("Bearer {}", self.told.api_key);
        let own = [("authorization", key.as_str()), ("content-type", "application/json")];
        let own = if body.is_empty() { &own[..1] } else { &own[..] };
        let headers =
            own.iter().chain(headers).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = OutgoingRequest {
            method,
            url: format!("{}{path}", self.base),
            headers,
            body: body.as_bytes().to_vec(),
            identity: None,
        };
        let gateway = &self.house.gateway;
        let limits = Limits { reply_max: 4 << 20, ..Limits::default() };
        gateway.transport.send(request, &gateway.settings.sandbox, limits).await.unwrap()
    }

    /// Starts a run with this body.
    pub async fn start(&self, wanted: &Value) -> Report {
        let answer = self.send(Method::Post, "/v1/test/cases", &[], &wanted.to_string()).await;
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
        serde_json::from_slice(&answer.body).unwrap()
    }

    pub async fn report(&self, id: &str) -> Report {
        let answer = self.send(Method::Get, &format!("/v1/test/cases/{id}"), &[], "").await;
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// A run to its end.
    pub async fn run(&self, only: &[&str]) -> Report {
        let mut report = self.start(&serde_json::json!({ "only": only })).await;
        while report.status == "running" {
            self.house.gateway.env.sleep(Duration::from_millis(50)).await;
            report = self.report(&report.id).await;
        }
        report
    }

    /// Leads the callbacks of the demo's shop elsewhere.
    pub async fn lead_to(&self, url: &str) {
        let (scope, url) = (self.scope, url.to_owned());
        let write = self.house.gateway.store.write(move |tx| {
            let rows = tx.scan(&ENDPOINTS, &Span::prefix(&scope), Order::Ascending, 1)?;
            let id: EndpointId = rows[0].1.id;
            endpoints::update(tx, scope, id, &Change { url: Some(url.clone()), ..Change::default() }).map(drop)
        });
        write.await.unwrap();
    }

    /// A shop that answers as told, with the demo's address.
    pub async fn with_shop(answer: impl Fn(&Heard<'_>) -> Answer + Send + Sync + 'static) -> Town {
        let town = Town::open().await;
        let secret = WebhookSecret::parse(&town.told.callback_secret).unwrap();
        town.lead_to(&odd_shop(secret, town.clock.clone(), answer)).await;
        town
    }
}

fn build(address: std::net::SocketAddr, base: &str, env: Env) -> (House, Credentials) {
    let inputs = Inputs {
        data_dir: Some(std::env::temp_dir().join("coffer-it-no-such-folder")),
        overrides: vec![
            ("server.listen", address.to_string()),
            ("callbacks.allow_loopback", "true".to_owned()),
            ("callbacks.allow_http", "true".to_owned()),
        ],
        ..Inputs::default()
    };
    let config = inputs.load().unwrap().config;
    let store = Store::open_memory(StoreOptions::default()).unwrap();
    let vault = Arc::new(Vault::new(&MasterKey::from_bytes([1; 32])));
    let plan = Plan { env: &env, vault: &vault, base_url: base, history_days: 0, simulators: false };
    let told = prepare::fill(&store, &plan, &mut |_, _, _| {}).unwrap();
    (app::build_with_keys(&config, env, vault, store, keys::fixed()).unwrap(), told)
}

fn mug_shop(house: &House, told: &Credentials) -> Shop {
    let gateway = &house.gateway;
    let settings = ShopSettings {
        name: "mugs".to_owned(),
        shop_url: told.base_url.clone(),
        callback_base: None,
        gateway_url: told.base_url.clone(),
        api_url: told.base_url.clone(),
        api_key: Secret::new(told.api_key.clone()),
        callback_secret: WebhookSecret::parse(&told.callback_secret).unwrap(),
        policy: gateway.settings.sandbox.clone(),
    };
    Shop::open(gateway.store.clone(), gateway.env.clone(), gateway.transport.clone(), settings)
}

async fn scope(house: &House) -> Scope {
    let read = house.gateway.store.read(|tx| tx.scan(&KEYS, &Span::all(), Order::Ascending, 1));
    let keys: Result<Vec<((Scope, KeyId), _)>, StoreError> = read.await;
    let scope = keys.unwrap()[0].0.0;
    assert_eq!(scope.mode, Mode::Test);
    scope
}

/// A callback as a shop receives it.
pub struct Heard<'a> {
    pub id: &'a str,
    pub body: &'a [u8],
    /// Signature and time are right.
    pub genuine: bool,
    /// The signature is right, for the time that it names.
    pub signed: bool,
    pub clock: &'a LeapingClock,
}

impl Heard<'_> {
    pub fn event(&self) -> Value {
        serde_json::from_slice(self.body).unwrap()
    }
}

/// What a shop does.
pub enum Answer {
    Status(u16),
    Redirect(&'static str),
    HangUp,
}

/// A shop on a port of its own; its address.
fn odd_shop(
    secret: WebhookSecret,
    clock: LeapingClock,
    answer: impl Fn(&Heard<'_>) -> Answer + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (answer, secret) = (Arc::new(answer), Arc::new(secret));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), answer.clone());
            let (secret, clock) = (secret.clone(), clock.clone());
            std::thread::spawn(move || serve(&mut stream, &secret, &clock, answer.as_ref()));
        }
    });
    url
}

fn serve(stream: &mut TcpStream, secret: &WebhookSecret, clock: &LeapingClock, answer: &dyn Fn(&Heard<'_>) -> Answer) {
    let Some((_, received, body)) = read_request(stream) else { return };
    let header = |name| received.get(name).map_or("", |value| value.to_str().unwrap());
    let id = header("webhook-id");
    let headers =
        ReceivedHeaders { id, timestamp: header("webhook-timestamp"), signature: header("webhook-signature") };
    let genuine = verify(secret, headers, &body, clock.now()).is_ok();
    let named = headers.timestamp.parse().map(Timestamp::from_seconds);
    let signed = named.is_ok_and(|then| verify(secret, headers, &body, then).is_ok());
    let reply = match answer(&Heard { id, body: &body, genuine, signed, clock }) {
        Answer::Status(status) => format!("HTTP/1.1 {status} Said\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
        Answer::Redirect(to) => {
            format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        }
        Answer::HangUp => return,
    };
    drop(stream.write_all(reply.as_bytes()));
}

/// A case's line of the report.
pub fn case<'r>(report: &'r Report, code: &str) -> &'r CaseReport {
    report.cases.iter().find(|case| case.code == code).unwrap_or_else(|| panic!("{code} was not run"))
}

/// The codes of what a case found.
pub fn faults<'r>(report: &'r Report, code: &str) -> Vec<&'r str> {
    case(report, code).findings.iter().map(|finding| finding.code.as_str()).collect()
}
