//! A whole gateway with its provider, its API, its cashier and a shop, on a port of its own.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use coffer::api::keys::{NewKey, NewKeyKind, issue, store_key};
use coffer::api::rate::Rate;
use coffer::api::{Api, ApiSettings};
use coffer::crypto::rsa::generate;
use coffer::crypto::{MasterKey, Secret, Vault};
use coffer::domain::case::CaseKind;
use coffer::domain::ids::{AccountId, AttemptId, Mode, PaymentId, Scope};
use coffer::domain::key::Permission;
use coffer::domain::method::Method;
use coffer::domain::money::{Currency, Money};
use coffer::domain::payment::{Attempt, Customer, NextAction, Payment, PaymentState};
use coffer::domain::time::Duration;
use coffer::env::Env;
use coffer::env::http::HttpTransport;
use coffer::env::target::TargetPolicy;
use coffer::env::transport::{Limits, Method as Verb, OutgoingRequest, OutgoingResponse, Sending, Transport};
use coffer::flows::gateway::{Gateway, Settings};
use coffer::flows::runner::Runner;
use coffer::flows::setup::NewMerchant;
use coffer::flows::{Moment, payments};
use coffer::sandbox::shop::order::ShopOrder;
use coffer::sandbox::shop::{self, Shop, ShopSettings};
use coffer::sandbox::simulators::Simulators;
use coffer::sandbox::wallet::{self, Wallet};
use coffer::signals::metrics::{Metrics, Observed, Outgoing};
use coffer::signals::{Signals, request::observe};
use coffer::store::tables::{ATTEMPTS, CASES, PAYMENTS, SHOP_ORDERS};
use coffer::store::{Order, Read, Span, Store, StoreError, StoreOptions, WriteTx};
use coffer::test_mode::players::Players;
use tokio::sync::{Notify, watch};

pub struct Site {
    pub base: String,
    pub house: House,
    /// The shop's key.
    pub token: String,
    pub scope: Scope,
    pub account: AccountId,
    /// Rings after each outgoing call of the gateway, the provider and the shop.
    bell: Arc<Notify>,
    server: ServerHandle,
    stop: watch::Sender<bool>,
}

/// What lives behind the port.
#[derive(Clone)]
pub struct House {
    pub gateway: Gateway,
    pub wallet: Wallet,
    api: Arc<Api>,
    shop: Shop,
}

/// The real transport, and a bell that rings when an exchange is over.
struct Ringing {
    inner: HttpTransport,
    bell: Arc<Notify>,
}

impl Transport for Ringing {
    fn send<'a>(&'a self, request: OutgoingRequest, policy: &'a TargetPolicy, limits: Limits) -> Sending<'a> {
        Box::pin(async move {
            let answer = self.inner.send(request, policy, limits).await;
            self.bell.notify_waiters();
            answer
        })
    }
}

impl Site {
    pub async fn open() -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let bell = Arc::new(Notify::new());
        let (own, ringing) = (base.clone(), bell.clone());
        let built = tokio::task::spawn_blocking(move || build(&own, ringing)).await.unwrap();
        Self::serve(listener, base, built, bell)
    }

    /// The same house after a restart: nothing is left but what is in the store.
    pub async fn restarted(self) -> Site {
        let Site { house, token, scope, account, bell, server, stop, .. } = self;
        stop.send_replace(true);
        server.stop(false).await;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let own = base.clone();
        let again = move || {
            let Gateway { store, vault, transport, settings, .. } = house.gateway.clone();
            let settings = Settings { public_url: own.clone(), own_url: own, ..settings.as_ref().clone() };
            let render = Arc::new(coffer::api::render_event);
            let gateway = Gateway::build(store, Env::system(), vault, transport, settings, render).unwrap();
            let wallet = Wallet::open(&gateway).unwrap();
            let rate = Rate { per_second: 1000, burst: 1000 };
            let settings = ApiSettings { rate, trusted_proxies: Vec::new() };
            let api = Api::new(gateway.clone(), players(&gateway, &wallet), settings).unwrap();
            let runner = Runner::new(gateway.clone()).unwrap();
            Built { house: House { gateway, wallet, api, shop: house.shop }, runner, token, scope, account }
        };
        Self::serve(listener, base, tokio::task::spawn_blocking(again).await.unwrap(), bell)
    }

    fn serve(listener: TcpListener, base: String, built: Built, bell: Arc<Notify>) -> Site {
        let Built { house, runner, token, scope, account } = built;
        let rooms = house.clone();
        let server = HttpServer::new(move || {
            let metrics = Arc::new(Metrics::new(&Outgoing::default(), Observed::default));
            let signals = Signals { env: rooms.gateway.env.clone(), metrics };
            App::new()
                .app_data(web::Data::new(signals))
                .app_data(web::Data::new(rooms.gateway.clone()))
                .app_data(web::Data::new(rooms.wallet.clone()))
                .configure(|config| coffer::api::routes(config, &rooms.api))
                .configure(coffer::cashier::routes)
                .configure(coffer::notifications::routes)
                .configure(wallet::routes)
                .configure(|config| shop::routes(&rooms.shop, config))
                .wrap(from_fn(observe))
        })
        .workers(1)
        .disable_signals()
        .listen(listener)
        .unwrap()
        .run();
        let handle = server.handle();
        tokio::spawn(server);
        let (stop, stopping) = watch::channel(false);
        let (queue, provider) = (stopping.clone(), house.wallet.clone());
        tokio::spawn(async move { runner.run(queue).await });
        tokio::spawn(async move { provider.run(stopping).await });
        Site { base, house, token, scope, account, bell, server: handle, stop }
    }

    pub async fn close(self) {
        self.stop.send_replace(true);
        self.server.stop(false).await;
    }

    pub async fn send(&self, method: Verb, url: &str, headers: &[(&str, &str)], body: &str) -> OutgoingResponse {
        self.send_bytes(method, url, headers, body.as_bytes()).await
    }

    pub async fn send_bytes(&self, method: Verb, url: &str, headers: &[(&str, &str)], body: &[u8]) -> OutgoingResponse {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = OutgoingRequest { method, url: url.to_owned(), headers, body: body.to_vec(), identity: None };
        let gateway = &self.house.gateway;
        gateway.transport.send(request, &gateway.settings.sandbox, Limits::default()).await.unwrap()
    }

    pub async fn get(&self, url: &str) -> String {
        let page = self.send(Verb::Get, url, &[], "").await;
        assert_eq!(page.status, 200, "{url}");
        String::from_utf8(page.body).unwrap()
    }

    pub async fn tap(&self, url: &str, form: &str) -> u16 {
        self.send(Verb::Post, url, &[("content-type", "application/x-www-form-urlencoded")], form).await.status
    }

    /// Creates a payment of 12.30 with an attempt at this account.
    pub async fn create(&self, order_id: &str, account: AccountId) -> PaymentId {
        self.create_in(self.scope, order_id, account, Method::WechatNative).await
    }

    /// The same for any account.
    pub async fn create_in(&self, scope: Scope, order_id: &str, account: AccountId, method: Method) -> PaymentId {
        let new = payments::NewPayment {
            order_id: order_id.to_owned(),
            amount: Money::new(1230, Currency::CNY),
            description: "一只马克杯 <b>".to_owned(),
            method: Some(method),
            expires_in: Duration::from_minutes(30),
            return_url: Some(format!("{}/back", self.base)),
            cancel_url: None,
            callback_url: None,
            customer: Customer::default(),
            auth_code: None,
            metadata: Default::default(),
            fingerprint: [0; 16],
        };
        let moment = Moment::new(&self.house.gateway.env);
        let create =
            move |tx: &mut WriteTx<'_>| payments::create(tx, scope, &new, Some(account.into()), &mut moment.clone());
        self.house.gateway.store.write(create).await.unwrap().payment().id
    }

    /// As [`Site::create`], and waits until the provider has accepted the order; the phone page's address with it.
    pub async fn charge(&self, order_id: &str) -> (PaymentId, AttemptId, String) {
        let id = self.create(order_id, self.account).await;
        let shown = |_: &Payment, attempt: &Attempt| Some((attempt.id, attempt.next_action.clone()?));
        let (attempt, NextAction::QrCode { data }) = self.until(id, shown).await else { panic!("a code") };
        (id, attempt, data)
    }

    /// Waits for the first state of a payment and its newest attempt that gives an answer.
    pub async fn until<T>(&self, id: PaymentId, mut look: impl FnMut(&Payment, &Attempt) -> Option<T>) -> T {
        let mut watch = self.house.gateway.changes.watch(id);
        loop {
            let (payment, attempt) = self.look(id).await;
            match look(&payment, &attempt) {
                Some(found) => return found,
                None => watch.changed().await,
            }
        }
    }

    pub async fn look(&self, id: PaymentId) -> (Payment, Attempt) {
        self.look_in(self.scope, id).await
    }

    pub async fn look_in(&self, scope: Scope, id: PaymentId) -> (Payment, Attempt) {
        let looked = self.house.gateway.store.read(move |tx| {
            let payment = tx.get(&PAYMENTS, &(scope, id))?.expect("the payment is there");
            let newest = *payment.attempts.last().expect("it has an attempt");
            let attempt = tx.get(&ATTEMPTS, &(scope, newest))?.expect("the attempt is there");
            Ok::<_, StoreError>((payment, attempt))
        });
        looked.await.unwrap()
    }

    pub async fn until_state(&self, id: PaymentId, state: PaymentState) -> Payment {
        self.until(id, |payment, _| (payment.state == state).then(|| payment.clone())).await
    }

    /// Waits until the newest order of the shop is as wanted; the order as the shop knows it.
    pub async fn until_shop(&self, wanted: impl Fn(&ShopOrder) -> bool) -> ShopOrder {
        loop {
            let rung = self.bell.notified();
            tokio::pin!(rung);
            rung.as_mut().enable();
            let newest = self.house.gateway.store.read(|tx| tx.scan(&SHOP_ORDERS, &Span::all(), Order::Descending, 1));
            let newest: Result<_, StoreError> = newest.await;
            match newest.unwrap().pop() {
                Some((_, order)) if wanted(&order) => return order,
                _ => rung.await,
            }
        }
    }

    pub async fn cases(&self) -> Vec<CaseKind> {
        let cases = self.house.gateway.store.read(|tx| tx.scan(&CASES, &Span::all(), Order::Ascending, 10));
        let cases: Result<_, StoreError> = cases.await;
        cases.unwrap().into_iter().map(|(_, case)| case.kind).collect()
    }
}

struct Built {
    house: House,
    runner: Runner,
    token: String,
    scope: Scope,
    account: AccountId,
}

fn build(own: &str, bell: Arc<Notify>) -> Built {
    // Everything happens on this machine, on whatever port is free.
    let here = TargetPolicy {
        https_only: false,
        ports: Vec::new(),
        allow_loopback: true,
        allow_subnets: Vec::new(),
        own_listeners: Vec::new(),
    };
    let settings = Settings {
        public_url: own.to_owned(),
        own_url: own.to_owned(),
        callbacks: here.clone(),
        channels: TargetPolicy::default(),
        sandbox: here.clone(),
        in_flight_max: 8,
        per_endpoint_max: 4,
    };
    let transport: Arc<dyn Transport> = Arc::new(Ringing { inner: HttpTransport::system(&[]).unwrap(), bell });
    let store = Store::open_memory(StoreOptions::default()).unwrap();
    let vault = Arc::new(Vault::new(&MasterKey::from_bytes([1; 32])));
    let render = Arc::new(coffer::api::render_event);
    let env = Env::system();
    let gateway = Gateway::build(store, env.clone(), vault.clone(), transport.clone(), settings, render).unwrap();
    let wallet = Wallet::open(&gateway).unwrap();
    let enrolment = wallet.enrol("小杯子店");
    let credentials = enrolment.credentials().to_secret();
    let merchant = NewMerchant::prepare(&env, &vault, "小杯子店", "Asia/Shanghai", |_| credentials);
    let (scope, callback_secret) = (merchant.scope(Mode::Test), merchant.test_secret.clone());
    let key = NewKey {
        scope,
        name: "shop".to_owned(),
        permissions: BTreeSet::from(Permission::ALL),
        allowed_ips: Vec::new(),
        expires_at: None,
        kind: NewKeyKind::Bearer,
    };
    let issued = issue(key, &env, &vault).unwrap();
    let stored: Result<(), StoreError> = gateway.store.write_blocking(move |tx| {
        enrolment.store(tx)?;
        merchant.store(tx)?;
        store_key(tx, &issued.key)
    });
    stored.unwrap();
    gateway.reload_channels().unwrap();
    let account = gateway.channels.of(scope)[0].account.id;
    let api_key = issued.secret.unwrap();
    let token = api_key.expose_str().unwrap().to_owned();
    let shop = ShopSettings {
        name: "小杯子店".to_owned(),
        shop_url: own.to_owned(),
        callback_base: Some(own.to_owned()),
        gateway_url: own.to_owned(),
        api_url: own.to_owned(),
        api_key: Secret::new(token.clone()),
        callback_secret,
        policy: here,
    };
    let shop = Shop::open(gateway.store.clone(), env, transport, shop);
    let rate = Rate { per_second: 1000, burst: 1000 };
    let api = Api::new(gateway.clone(), players(&gateway, &wallet), ApiSettings { rate, trusted_proxies: Vec::new() })
        .unwrap();
    let runner = Runner::new(gateway.clone()).unwrap();
    Built { house: House { gateway, wallet, api, shop }, runner, token, scope, account }
}

fn players(gateway: &Gateway, wallet: &Wallet) -> Players {
    Players::new(gateway, wallet.clone(), Simulators::inside(gateway, Arc::new(generate)))
}
