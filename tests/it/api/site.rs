//! A gateway with two merchants whose API is called without a network.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::http::Method;
use actix_web::http::header::HeaderMap;
use actix_web::middleware::from_fn;
use actix_web::{App, test, web};
use coffer::api::keys::{IssuedKey, NewKey, NewKeyKind, issue, store_key};
use coffer::api::rate::Rate;
use coffer::api::{Api, ApiSettings, render_event, routes};
use coffer::crypto::rsa::generate;
use coffer::crypto::{MasterKey, Secret, Vault};
use coffer::domain::ids::{MerchantId, Mode, Scope};
use coffer::domain::key::Permission;
use coffer::domain::time::{Duration, Timestamp};
use coffer::env::target::TargetPolicy;
use coffer::env::{Clock, Env, SystemEntropy};
use coffer::flows::gateway::{Gateway, Settings};
use coffer::flows::setup::NewMerchant;
use coffer::sandbox::simulators::Simulators;
use coffer::sandbox::wallet::{self, Wallet};
use coffer::signals::metrics::{Metrics, Observed, Outgoing};
use coffer::signals::{Signals, request::observe};
use coffer::store::{Store, StoreOptions};
use coffer::test_mode::players::Players;
use serde_json::Value;

use crate::still::{HandClock, NoNetwork};

pub struct Site {
    pub api: Arc<Api>,
    pub merchant: MerchantId,
    pub rival: MerchantId,
    clock: Arc<HandClock>,
}

pub const RATE: Rate = Rate { per_second: 10, burst: 100 };

/// Blocking work has to leave the thread that runs the test's tasks.
fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|threads| threads.spawn(work).join().unwrap())
}

impl Site {
    pub fn new() -> Site {
        aside(|| Self::build(Store::open_memory(StoreOptions::default()).unwrap(), None, false))
    }

    /// With an account at the test wallet, which nobody can reach.
    pub fn with_wallet() -> Site {
        aside(|| Self::build(Store::open_memory(StoreOptions::default()).unwrap(), None, true))
    }

    /// The same house after a restart.
    pub fn restarted(&self) -> Site {
        let (store, merchants) = (self.api.gateway.store.clone(), (self.merchant, self.rival));
        aside(|| Self::build(store, Some(merchants), false))
    }

    fn build(store: Store, merchants: Option<(MerchantId, MerchantId)>, enrolled: bool) -> Site {
        let start = Timestamp::parse_rfc3339("2026-11-23T06:00:00Z").unwrap();
        let clock = Arc::new(HandClock::at(start));
        let env = Env { clock: clock.clone(), entropy: Arc::new(SystemEntropy) };
        let vault = Arc::new(Vault::new(&MasterKey::from_bytes([9; 32])));
        let settings = Settings {
            public_url: "https://pay.example".to_owned(),
            own_url: "http://127.0.0.1:1".to_owned(),
            callbacks: TargetPolicy::default(),
            channels: TargetPolicy::default(),
            sandbox: TargetPolicy::default(),
            in_flight_max: 8,
            per_endpoint_max: 2,
        };
        let (merchant, rival) = merchants.unwrap_or_else(|| {
            let open = |name| {
                let enrolment = enrolled.then(|| wallet::enrol(&store, &env, vault.clone(), name).unwrap());
                let new = NewMerchant::prepare(&env, &vault, name, "Asia/Shanghai", |_| match &enrolment {
                    Some(enrolment) => enrolment.credentials().to_secret(),
                    None => Secret::new("none"),
                });
                let id = new.id();
                let stored = store.write_blocking(move |tx| {
                    enrolment.iter().try_for_each(|enrolment| enrolment.store(tx))?;
                    new.store(tx)
                });
                stored.unwrap();
                id
            };
            (open("蓝鹭陶瓷"), open("Rival"))
        });
        let gateway = Gateway::build(store, env, vault, Arc::new(NoNetwork), settings, Arc::new(render_event)).unwrap();
        let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        let api = Api::new(
            gateway.clone(),
            Players::new(&gateway, Wallet::open(&gateway).unwrap(), Simulators::inside(&gateway, Arc::new(generate))),
            ApiSettings { rate: RATE, trusted_proxies },
        )
        .unwrap();
        Site { api, merchant, rival, clock }
    }

    pub fn scope(&self) -> Scope {
        Scope { merchant: self.merchant, mode: Mode::Test }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn pass(&self, time: Duration) {
        self.clock.pass(time);
    }

    pub fn issue(&self, kind: NewKeyKind, change: impl FnOnce(&mut NewKey)) -> IssuedKey {
        let mut new = NewKey {
            scope: self.scope(),
            name: "shop".to_owned(),
            permissions: BTreeSet::from(Permission::ALL),
            allowed_ips: Vec::new(),
            expires_at: None,
            kind,
        };
        change(&mut new);
        let issued = issue(new, &self.api.gateway.env, &self.api.gateway.vault).unwrap();
        let key = issued.key.clone();
        aside(|| self.api.gateway.store.write_blocking(move |tx| store_key(tx, &key)).unwrap());
        issued
    }

    /// The token of a new key.
    pub fn token(&self, change: impl FnOnce(&mut NewKey)) -> String {
        let secret = self.issue(NewKeyKind::Bearer, change).secret.unwrap();
        secret.expose_str().unwrap().to_owned()
    }

    /// A shop with all permissions.
    pub fn shop(&self) -> Shop<'_> {
        Shop { site: self, token: Some(self.token(|_| {})) }
    }

    /// A request to the whole API, as a server would pass it on.
    pub async fn send(&self, call: Call) -> Answer {
        let metrics = Arc::new(Metrics::new(&Outgoing::default(), Observed::default));
        let signals = web::Data::new(Signals { env: self.api.gateway.env.clone(), metrics });
        let app = App::new().app_data(signals).configure(|config| routes(config, &self.api)).wrap(from_fn(observe));
        let app = test::init_service(app).await;
        let mut request = test::TestRequest::default().method(call.method).uri(&call.path);
        request = request.peer_addr(SocketAddr::new(call.peer.parse().unwrap(), 40_000));
        for (name, value) in call.headers {
            request = request.append_header((name, value));
        }
        if let Some(body) = call.body {
            request = request.set_payload(body);
        }
        let (head, body) = test::call_service(&app, request.to_request()).await.into_parts().1.into_parts();
        let body = body.try_into_bytes().unwrap_or_else(|_| panic!("answers are in memory")).to_vec();
        Answer { status: head.status().as_u16(), headers: head.headers().clone(), body }
    }
}

/// One request.
#[derive(Clone)]
pub struct Call {
    pub method: Method,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    pub peer: String,
}

impl Call {
    pub fn new(method: Method, path: &str) -> Self {
        Self { method, path: path.to_owned(), headers: Vec::new(), body: None, peer: "203.0.113.9".to_owned() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn json(self, body: impl Into<Vec<u8>>) -> Self {
        let mut call = self.header("content-type", "application/json");
        call.body = Some(body.into());
        call
    }

    pub fn from(mut self, peer: &str) -> Self {
        self.peer = peer.to_owned();
        self
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The status and the problem's code.
    pub fn refusal(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["request_id"].as_str(), self.header("request-id"));
        (self.status, problem["code"].as_str().unwrap().to_owned())
    }

    /// The places that the problem names, with their codes.
    pub fn faults(&self) -> Vec<String> {
        let place =
            |e: &Value| e["pointer"].as_str().map(str::to_owned).or(e["parameter"].as_str().map(|p| format!("?{p}")));
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|e| format!("{} {}", place(e).unwrap(), e["code"].as_str().unwrap())).collect()
    }
}

/// One merchant's program.
#[derive(Clone)]
pub struct Shop<'s> {
    pub site: &'s Site,
    pub token: Option<String>,
}

impl Shop<'_> {
    pub async fn send(&self, call: Call) -> Answer {
        let call = match &self.token {
            Some(token) => call.bearer(token),
            None => call,
        };
        self.site.send(call).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Call::new(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.send(Call::new(Method::POST, path).json(body)).await
    }

    /// Creates a payment of CNY 100.00 and answers its object.
    pub async fn payment(&self, order_id: &str) -> Value {
        let answer = self.post("/v1/payments", &order(order_id, "100.00")).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }
}

/// The body of a create.
pub fn order(order_id: &str, value: &str) -> String {
    serde_json::json!({
        "order_id": order_id,
        "amount": {"currency": "CNY", "value": value},
        "description": "一只杯子",
    })
    .to_string()
}
