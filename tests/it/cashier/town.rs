//! A whole cashier on a port of its own, with accounts at the simulated WeChat Pay, and browsers that keep cookies.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use coffer::cashier::Proxies;
use coffer::channels::wechatpay::{AnswersBy, AppIds, Credentials};
use coffer::crypto::rsa::der_in;
use coffer::crypto::{MasterKey, Secret, Vault};
use coffer::domain::ids::{AccountId, Mode, PaymentId, Scope};
use coffer::domain::merchant::{ChannelKind, Share};
use coffer::domain::payment::{Attempt, Payment, PaymentState};
use coffer::env::Env;
use coffer::env::http::HttpTransport;
use coffer::env::target::TargetPolicy;
use coffer::env::transport::{Limits, Method as Verb, OutgoingRequest, OutgoingResponse, Transport};
use coffer::flows::accounts::{self, Terms};
use coffer::flows::gateway::{Gateway, Settings};
use coffer::flows::payments::{self, NewPayment};
use coffer::flows::runner::Runner;
use coffer::flows::setup::NewMerchant;
use coffer::flows::{FlowError, Moment, record};
use coffer::sandbox::provider::Reach;
use coffer::sandbox::provider::pages::Controls;
use coffer::sandbox::simulators::Simulators;
use coffer::sandbox::wechatpay;
use coffer::store::tables::MERCHANTS;
use coffer::store::{Store, StoreOptions};
use tokio::sync::watch;

const KEYS: [&str; 6] = [
    include_str!("../fixtures/rsa/1.pem"),
    include_str!("../fixtures/rsa/2.pem"),
    include_str!("../fixtures/rsa/3.pem"),
    include_str!("../fixtures/rsa/4.pem"),
    include_str!("../fixtures/rsa/5.pem"),
    include_str!("../fixtures/rsa/6.pem"),
];

pub struct Town {
    pub base: String,
    pub gateway: Gateway,
    pub scope: Scope,
    transport: Arc<HttpTransport>,
    policy: TargetPolicy,
    server: ServerHandle,
    stop: watch::Sender<bool>,
}

impl Town {
    /// `secret` is the app secret that the merchant typed in: the true one is put for `Some(None)`.
    pub async fn open(secret: Option<Option<&str>>) -> Town {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let policy = TargetPolicy { https_only: false, allow_loopback: true, ..TargetPolicy::default() };
        let transport = Arc::new(HttpTransport::system(&[]).unwrap());
        let settings = Settings {
            public_url: base.clone(),
            own_url: base.clone(),
            callbacks: policy.clone(),
            channels: TargetPolicy::default(),
            sandbox: policy.clone(),
            in_flight_max: 8,
            per_endpoint_max: 2,
        };
        let sender = transport.clone();
        let reach =
            Reach { public_url: base.clone(), own_url: Some(base.clone()), at_root: false, policy: policy.clone() };
        let (gateway, runner, simulators) = tokio::task::spawn_blocking(move || {
            let vault = Arc::new(Vault::new(&MasterKey::from_bytes([9; 32])));
            let store = Store::open_memory(StoreOptions::default()).unwrap();
            let render = Arc::new(|_: &Gateway, _, _: &_| b"{}".to_vec());
            let gateway = Gateway::build(store, Env::system(), vault, sender, settings, render).unwrap();
            let runner = Runner::new(gateway.clone()).unwrap();
            let given = AtomicUsize::new(0);
            let keys = move || Secret::new(der_in(KEYS[given.fetch_add(1, Ordering::SeqCst) % KEYS.len()]).unwrap());
            let (store, env, transport) = (gateway.store.clone(), gateway.env.clone(), gateway.transport.clone());
            let simulators = Simulators::with_keys(store, env, transport, reach, Arc::new(keys));
            (gateway, runner, simulators)
        })
        .await
        .unwrap();
        let (rooms, town) = (simulators.clone(), gateway.clone());
        let server = HttpServer::new(move || {
            App::new()
                .wrap(from_fn(coffer::web::security_headers))
                .app_data(web::Data::new(town.clone()))
                .app_data(web::Data::new(Proxies(vec!["127.0.0.1/32".parse().unwrap()])))
                .configure(coffer::cashier::routes)
                .configure(coffer::notifications::routes)
                .configure(rooms.routes(Controls::Open))
        })
        .workers(1)
        .disable_signals()
        .listen(listener)
        .unwrap()
        .run();
        let handle = server.handle();
        tokio::spawn(server);
        let (stop, stopping) = watch::channel(false);
        let queue = stopping.clone();
        tokio::spawn(async move { runner.run(queue).await });
        let world = simulators.world.clone();
        tokio::spawn(async move { world.run(stopping).await });

        let side = simulators.wechatpay.merchant(wechatpay::Mode::PublicKey).await.unwrap();
        let typed = secret.map(|typed| typed.map_or_else(|| side.app_secret.clone(), str::to_owned));
        let credentials = Credentials {
            mch_id: side.mchid.clone(),
            app_ids: AppIds {
                default: side.appids[0].clone(),
                official_account: Some(side.appids[0].clone()),
                mini_program: None,
                app: None,
            },
            official_account_secret: typed,
            merchant_key: side.private_key.clone(),
            merchant_serial: side.serial.clone(),
            merchant_certificate: None,
            api_v3_key: side.api_v3_key.clone(),
            previous_api_v3_key: None,
            code_v2_key: None,
            public_keys: BTreeMap::from([(side.public_key_id.clone(), side.public_key.clone())]),
            platform_certificates: Vec::new(),
            answers: AnswersBy::PublicKey { id: side.public_key_id.clone() },
        };
        let house = gateway.clone();
        let scope = tokio::task::spawn_blocking(move || {
            let wallet = Secret::new(b"{}".to_vec());
            let new = NewMerchant::prepare(&house.env, &house.vault, "山下陶器", "Asia/Shanghai", |_| wallet);
            let scope = new.scope(Mode::Test);
            let mut moment = Moment::new(&house.env);
            let account = AccountId::new(moment.now, moment.random());
            let sealed = accounts::seal(&house, scope, account, &credentials.to_secret());
            let terms = Terms { label: "微信".to_owned(), active: true, share: Share::WHOLE };
            let merchant = new.merchant.clone();
            let stored = house.store.write_blocking(move |tx| {
                tx.put(&MERCHANTS, &merchant.id, &merchant)?;
                accounts::add(tx, (scope, account), ChannelKind::WechatPay, &terms, sealed.clone(), moment.now)
            });
            stored.unwrap();
            house.reload_channels().unwrap();
            scope
        })
        .await
        .unwrap();
        Town { base, gateway, scope, transport, policy, server: handle, stop }
    }

    pub async fn close(self) {
        self.stop.send_replace(true);
        self.server.stop(false).await;
    }

    pub async fn sell(&self, new: NewPayment) -> (PaymentId, String) {
        let (scope, moment) = (self.scope, Moment::new(&self.gateway.env));
        let write = self.gateway.store.write(move |tx| {
            let created = payments::create(tx, scope, &new, None, &mut moment.clone())?;
            Ok::<_, FlowError>(created.payment().id)
        });
        let id = write.await.unwrap();
        (id, format!("/c/{}", self.gateway.checkout_token(scope, id)))
    }

    pub async fn look(&self, id: PaymentId) -> (Payment, Option<Attempt>) {
        let scope = self.scope;
        let read = self.gateway.store.read(move |tx| {
            let payment = record::payment(tx, scope, id)?;
            let attempt = payment.current.map(|attempt| record::attempt(tx, scope, attempt)).transpose()?;
            Ok::<_, FlowError>((payment, attempt))
        });
        read.await.unwrap()
    }

    pub async fn until_paid(&self, id: PaymentId) -> Payment {
        let mut watch = self.gateway.changes.watch(id);
        loop {
            let (payment, _) = self.look(id).await;
            if payment.state == PaymentState::Paid {
                return payment;
            }
            watch.changed().await;
        }
    }

    pub fn browser(&self, agent: &'static str) -> Browser<'_> {
        Browser { town: self, agent, forwarded: None, cookies: BTreeMap::new() }
    }
}

/// A browser with its cookies. It follows nothing by itself.
pub struct Browser<'a> {
    town: &'a Town,
    agent: &'static str,
    /// What a proxy says about where it is.
    pub forwarded: Option<&'static str>,
    /// By path and name.
    pub cookies: BTreeMap<(String, String), String>,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Seen {
    pub status: u16,
    pub location: String,
    pub body: String,
}

impl Seen {
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.body.contains(text), "{text:?} is missing in:\n{} {}", self.status, self.body);
        self
    }

    #[track_caller]
    pub fn lacks(&self, text: &str) -> &Self {
        assert!(!self.body.contains(text), "{text:?} should not be in:\n{}", self.body);
        self
    }

    /// The fields of the form that leads to `action`.
    pub fn form(&self, action: &str) -> Vec<(String, String)> {
        let at = self.body.find(&format!("action=\"{action}")).unwrap_or_else(|| panic!("no form {action}"));
        let form = &self.body[at..][..self.body[at..].find("</form>").unwrap()];
        let field = |input: &str| {
            let value = |name: &str| {
                let rest = &input[input.find(name)? + name.len()..];
                Some(rest[..rest.find('"')?].replace("&#38;", "&").replace("&#61;", "=").replace("&#43;", "+"))
            };
            Some((value("name=\"")?, value("value=\"")?))
        };
        form.split("<input").skip(1).filter_map(field).collect()
    }
}

impl Browser<'_> {
    pub async fn get(&mut self, place: &str) -> Seen {
        self.send(Verb::Get, place, String::new()).await
    }

    pub async fn post(&mut self, place: &str, form: &[(String, String)]) -> Seen {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.send(Verb::Post, place, body).await
    }

    async fn send(&mut self, method: Verb, place: &str, body: String) -> Seen {
        let url = if place.starts_with("http") { place.to_owned() } else { format!("{}{place}", self.town.base) };
        let url = url.split('#').next().unwrap().to_owned();
        let path = url::Url::parse(&url).unwrap().path().to_owned();
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .filter(|((at, _), _)| path.starts_with(at.as_str()))
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect();
        let mut headers = vec![
            ("user-agent".to_owned(), self.agent.to_owned()),
            ("accept-language".to_owned(), "en".to_owned()),
            ("cookie".to_owned(), cookies.join("; ")),
        ];
        if let Some(address) = self.forwarded {
            headers.push(("x-forwarded-for".to_owned(), address.to_owned()));
        }
        if method == Verb::Post {
            headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
        }
        let request = OutgoingRequest { method, url, headers, body: body.into_bytes(), identity: None };
        let limits = Limits { reply_max: 1 << 20, ..Limits::default() };
        let answer = self.town.transport.send(request, &self.town.policy, limits).await.unwrap();
        self.keep(&answer);
        let text = |name| answer.header(name).unwrap_or("").to_owned();
        Seen {
            status: answer.status,
            location: text("location"),
            body: String::from_utf8_lossy(&answer.body).into_owned(),
        }
    }

    fn keep(&mut self, answer: &OutgoingResponse) {
        for (_, cookie) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (pair, rest) = cookie.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            let path = rest.split("Path=").nth(1).map_or("/", |rest| rest.split(';').next().unwrap());
            self.cookies.insert((path.to_owned(), name.to_owned()), value.to_owned());
            if rest.contains("Max-Age=0") {
                self.cookies.remove(&(path.to_owned(), name.to_owned()));
            }
        }
    }
}
