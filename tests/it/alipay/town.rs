//! A simulated Alipay, a shop that is notified, and the adapter between them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use actix_web::{App, HttpResponse, HttpServer, web};
use coffer::channels::alipay::credentials::{Credentials, Trust};
use coffer::channels::{
    Channel, ChannelError, CreateOrder, Inbound, Observation, Order, OrderRef, PaidFacts, Prepared, RefundOrder,
    RefundRef, Sealing, Subject, VerifiedNotification,
};
use coffer::domain::ids::{self, AttemptId, RefundId};
use coffer::domain::method::Method;
use coffer::domain::money::{Currency, Money};
use coffer::domain::payment::NextAction;
use coffer::domain::time::{Duration, Timestamp};
use coffer::env::Env;
use coffer::env::http::HttpTransport;
use coffer::env::target::TargetPolicy;
use coffer::env::transport::{Limits, OutgoingRequest, OutgoingResponse, SendError, Transport};
use coffer::sandbox::alipay::{self, Mode};
use coffer::sandbox::provider::fault::Fault;
use coffer::sandbox::provider::model::Deed;
use coffer::sandbox::provider::pages::Controls;
use coffer::sandbox::provider::{Dialect, Reach};
use coffer::sandbox::simulators::Simulators;
use coffer::store::{Store, StoreOptions};

use crate::keys;

/// How the merchant's account is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contract {
    Key,
    Certificate,
    Encrypted,
}

impl Contract {
    pub const ALL: [Contract; 3] = [Contract::Key, Contract::Certificate, Contract::Encrypted];
}

/// What the shop was told, as raw as it came.
type Letters = Arc<Mutex<Vec<Vec<u8>>>>;

pub struct Town {
    pub simulators: Simulators,
    pub channel: Arc<dyn Channel>,
    pub base: String,
    transport: Arc<HttpTransport>,
    policy: TargetPolicy,
    letters: Letters,
    next: AtomicUsize,
    /// How long an answer is waited for.
    pub patience: Duration,
}

pub async fn town(contract: Contract) -> Town {
    let policy = TargetPolicy { allow_loopback: true, https_only: false, ..TargetPolicy::default() };
    let transport = Arc::new(HttpTransport::system(&[]).unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let store = Store::open_memory(StoreOptions::default()).unwrap();
    let reach = Reach { public_url: base.clone(), own_url: None, at_root: false, policy: policy.clone() };
    let simulators = Simulators::with_keys(store, Env::system(), transport.clone(), reach, keys::fixed());
    let letters = Letters::default();
    let (served, heard) = (simulators.clone(), letters.clone());
    let server = HttpServer::new(move || {
        let heard = heard.clone();
        let listen = move |body: web::Bytes| {
            heard.lock().unwrap().push(body.to_vec());
            async { HttpResponse::Ok().body("success") }
        };
        App::new().route("/notify", web::post().to(listen)).configure(served.routes(Controls::Open))
    });
    tokio::spawn(server.workers(1).disable_signals().listen(listener).unwrap().run());
    let mode = if contract == Contract::Certificate { Mode::Certificate } else { Mode::Key };
    let side = simulators.alipay.merchant(mode).await.unwrap();
    let trust = match mode {
        Mode::Key => Trust::Key { alipay_public_key: side.alipay_public_key.clone() },
        Mode::Certificate => Trust::Certificate {
            app_certificate: side.app_certificate.clone(),
            alipay_certificates: vec![side.alipay_certificate.clone()],
            root_certificates: side.root_certificates.clone(),
            wanted_sn: None,
        },
    };
    let record = Credentials {
        app_id: side.app_id,
        seller_id: side.seller_id,
        private_key: side.private_key,
        trust,
        content_key: (contract == Contract::Encrypted).then_some(side.content_key),
        earlier: Vec::new(),
    };
    let channel = coffer::channels::alipay::open(record.to_secret().expose(), ids::Mode::Test, None, &base).unwrap();
    Town {
        simulators,
        channel,
        base,
        transport,
        policy,
        letters,
        next: AtomicUsize::new(1),
        patience: Duration::from_seconds(20),
    }
}

impl Town {
    pub fn now(&self) -> Timestamp {
        Env::system().now()
    }

    pub fn sealing(&self) -> Sealing {
        Sealing { now: self.now(), nonce: [7; 16] }
    }

    fn dialect(&self) -> Arc<dyn Dialect> {
        self.simulators.world.dialect(alipay::NAME).unwrap()
    }

    /// The same number each time gives the same order.
    pub fn attempt(&self) -> AttemptId {
        let number = u8::try_from(self.next.fetch_add(1, Ordering::SeqCst)).unwrap();
        AttemptId::new(self.now(), [number; 10])
    }

    pub fn create(&self, attempt: AttemptId, method: Method) -> CreateOrder {
        let created_at = attempt.created_at();
        CreateOrder {
            attempt,
            method,
            amount: Money::new(1230, Currency::CNY),
            description: "一只马克杯 & a mug, \"blue\"".to_owned(),
            created_at,
            expires_at: created_at.plus(Duration::from_minutes(30)),
            notify_url: format!("{}/notify", self.base),
            return_url: format!("{}/back?x=1", self.base),
            customer_ip: None,
            openid: None,
            auth_code: None,
        }
    }

    pub fn about(&self, attempt: AttemptId, method: Method) -> OrderRef {
        let created_at = attempt.created_at();
        let expires_at = created_at.plus(Duration::from_minutes(30));
        OrderRef { attempt, method, created_at, expires_at, transaction_id: None }
    }

    pub fn refund(&self, attempt: AttemptId, number: u8, fen: u64) -> RefundOrder {
        // Long enough ago that asking about it is not too early.
        let created_at = self.now().minus(Duration::from_minutes(1));
        let about = RefundRef {
            refund: RefundId::new(attempt.created_at(), [100 + number; 10]),
            created_at,
            order: self.about(attempt, Method::AlipayQr),
            channel_refund_id: None,
        };
        RefundOrder {
            about,
            amount: Money::new(fen, Currency::CNY),
            total: Money::new(1230, Currency::CNY),
            reason: Some("尺寸不合适".to_owned()),
            notify_url: format!("{}/notify", self.base),
        }
    }

    pub async fn send(&self, request: OutgoingRequest) -> Result<OutgoingResponse, SendError> {
        let limits = Limits { total: self.patience, reply_max: 1024 * 1024, ..Limits::default() };
        self.transport.send(request, &self.policy, limits).await
    }

    pub async fn get(&self, url: &str) -> OutgoingResponse {
        let method = coffer::env::transport::Method::Get;
        self.send(OutgoingRequest {
            method,
            url: url.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            identity: None,
        })
        .await
        .unwrap()
    }

    /// What a call brings; trouble on the way is an unknown outcome, as in the gateway.
    pub async fn ask(&self, order: &Order) -> Result<Observation, ChannelError> {
        match self.channel.request(order, &self.sealing())? {
            Prepared::Show(next_action) => Ok(Observation::Accepted { next_action }),
            Prepared::Call(request) => match self.send(request).await {
                Ok(response) => self.channel.read_response(order, &response, self.now()),
                Err(error) => Ok(Observation::Unknown { detail: error.class().to_owned() }),
            },
        }
    }

    pub async fn query(&self, attempt: AttemptId, method: Method) -> Observation {
        self.ask(&Order::Query(self.about(attempt, method))).await.unwrap()
    }

    /// Makes an order and answers the code of its page on the payer's phone.
    pub async fn open(&self, attempt: AttemptId, method: Method) -> [u8; 16] {
        let shown = self.ask(&Order::Create(self.create(attempt, method))).await.unwrap();
        let Observation::Accepted { next_action } = shown else { panic!("{shown:?}") };
        self.follow(&next_action).await
    }

    /// What the payer's device does.
    pub async fn follow(&self, action: &NextAction) -> [u8; 16] {
        let place = match action {
            NextAction::QrCode { data } => data.clone(),
            NextAction::Redirect { url } => self.location(url).await,
            // The wallet's SDK takes the text to the gateway.
            NextAction::AppParams { params } => {
                self.location(&format!("{}/sim/alipay/gateway.do?{}", self.base, params["order_string"])).await
            }
            NextAction::JsApiParams { params } => {
                let found = self.simulators.world.find(&params["tradeNO"]).await.unwrap();
                return found.expect("the number is known").1;
            }
            other => panic!("{other:?}"),
        };
        self.dialect().scan(&place).unwrap_or_else(|| panic!("{place}"))
    }

    async fn location(&self, url: &str) -> String {
        let answer = self.get(url).await;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        answer.header("location").unwrap_or_else(|| panic!("{} {body}", answer.status)).to_owned()
    }

    pub async fn pay(&self, code: [u8; 16], deed: Deed) {
        let done = self.simulators.world.act(&self.dialect(), code, deed).await.unwrap();
        done.expect("the code opens an order").expect("the deed is possible");
    }

    pub async fn faults(&self, faults: &[Fault]) {
        self.simulators.world.set_faults(alipay::NAME, faults.iter().copied().collect()).await.unwrap();
    }

    pub async fn skip(&self, ahead: Duration) {
        self.simulators.world.skip(ahead).await.unwrap();
        self.simulators.world.work().await.unwrap();
    }

    pub async fn show_code(&self, mood: coffer::sandbox::provider::records::Mood) -> String {
        self.simulators.world.show_code(&self.dialect(), mood).await.unwrap()
    }

    /// Everything the shop was told since last time, as the adapter reads it.
    pub async fn told(&self) -> Vec<Result<VerifiedNotification, ChannelError>> {
        self.simulators.world.work().await.unwrap();
        let letters = std::mem::take(&mut *self.letters.lock().unwrap());
        letters.iter().map(|body| self.channel.read_notification(&Inbound { headers: &[], body }, self.now())).collect()
    }

    /// The one thing the shop was told.
    pub async fn told_once(&self) -> (Subject, Observation) {
        let told = self.told().await;
        let [Ok(told)] = &told[..] else { panic!("{told:?}") };
        (told.about(), told.observation().clone())
    }
}

#[track_caller]
pub fn paid(observation: &Observation) -> &PaidFacts {
    match observation {
        Observation::Paid(facts) => facts,
        other => panic!("{other:?}"),
    }
}
