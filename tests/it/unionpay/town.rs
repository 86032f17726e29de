//! A simulated UnionPay, a shop that is notified, and the adapter between them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use actix_web::{App, HttpResponse, HttpServer, web};
use coffer::channels::unionpay::UnionPay;
use coffer::channels::unionpay::credentials::{Credentials, Typed, check};
use coffer::channels::{
    Channel, ChannelError, CreateOrder, Inbound, Observation, Order, OrderRef, PaidFacts, Prepared, RefundOrder,
    RefundRef, Sealing, Subject, VerifiedNotification,
};
use coffer::domain::ids::{AttemptId, RefundId};
use coffer::domain::method::Method;
use coffer::domain::money::{Currency, Money};
use coffer::domain::payment::NextAction;
use coffer::domain::time::{Duration, Timestamp};
use coffer::env::Env;
use coffer::env::http::HttpTransport;
use coffer::env::target::TargetPolicy;
use coffer::env::transport::{Limits, Method as Verb, OutgoingRequest, OutgoingResponse, SendError, Transport};
use coffer::sandbox::provider::fault::Fault;
use coffer::sandbox::provider::model::Deed;
use coffer::sandbox::provider::pages::Controls;
use coffer::sandbox::provider::records::Mood;
use coffer::sandbox::provider::{Dialect, Reach};
use coffer::sandbox::simulators::Simulators;
use coffer::sandbox::unionpay::{Form, NAME};
use coffer::store::{Store, StoreOptions};

use crate::keys;

/// What the shop was told, as raw as it came.
type Letters = Arc<Mutex<Vec<Vec<u8>>>>;

pub struct Town {
    pub simulators: Simulators,
    pub channel: UnionPay,
    /// What the simulator hands out, as JSON.
    pub handed_out: serde_json::Value,
    pub base: String,
    transport: Arc<HttpTransport>,
    policy: TargetPolicy,
    letters: Letters,
    next: AtomicUsize,
    /// How long an answer is waited for.
    pub patience: Duration,
}

/// A town of the merchant with a certificate.
pub async fn town() -> Town {
    town_of(Form::Certificate).await
}

/// The merchant's side is what the simulator hands out, typed in as a merchant would: the PFX file and two certificates,
/// or the shared key.
pub async fn town_of(form: Form) -> Town {
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
            async { HttpResponse::Ok().body("ok") }
        };
        App::new().route("/notify", web::post().to(listen)).configure(served.routes(Controls::Open))
    });
    tokio::spawn(server.workers(1).disable_signals().listen(listener).unwrap().run());

    let dialect = simulators.world.dialect(NAME).unwrap();
    let credentials = tokio::task::spawn_blocking(move || dialect.credentials()).await.unwrap().unwrap();
    let record = typed_in(form, &credentials);
    let at = credentials.json["base_url"].as_str().unwrap();
    let channel = UnionPay::open(record.to_secret().expose(), at, at).unwrap();
    let handed_out = serde_json::Value::Object(credentials.json);
    Town {
        simulators,
        channel,
        handed_out,
        base,
        transport,
        policy,
        letters,
        next: AtomicUsize::new(1),
        patience: Duration::from_seconds(20),
    }
}

fn typed_in(form: Form, given: &coffer::sandbox::provider::Credentials) -> Credentials {
    let merchants = given.json["merchants"].as_array().unwrap();
    let own = merchants.iter().find(|merchant| merchant["mer_id"] == form.mer_id()).unwrap();
    assert_eq!(own["sign_method"], form.sign_method());
    let file = |name: &str| {
        let name = format!("{}/{name}", form.mer_id());
        given.files.iter().find(|file| file.name == name).unwrap_or_else(|| panic!("{name}")).content.clone()
    };
    let properties = String::from_utf8(file("acp_sdk.properties")).unwrap();
    assert!(properties.contains(&format!("acpsdk.signMethod={}\n", form.sign_method())), "{properties}");
    let typed = Typed { mer_id: form.mer_id(), sign_method: form.sign_method(), ..Typed::default() };
    let record = match form {
        Form::Certificate => {
            let trusted = String::from_utf8([file("acp_root.cer"), file("acp_middle.cer")].concat()).unwrap();
            let pfx = file("acp_sign.pfx");
            let typed = Typed { pfx: &pfx, pfx_password: "000000", trusted_certificates: &trusted, ..typed };
            check(&typed, Env::system().now())
        }
        Form::Sha256 | Form::Sm3 => {
            let secure_key = own["secure_key"].as_str().unwrap();
            assert!(properties.contains(&format!("acpsdk.secureKey={secure_key}\n")), "{properties}");
            check(&Typed { secure_key, ..typed }, Env::system().now())
        }
    };
    let record = record.unwrap();
    assert_eq!(record.cert_id().as_deref(), own["cert_id"].as_str());
    record
}

impl Town {
    pub fn now(&self) -> Timestamp {
        Env::system().now()
    }

    pub fn sealing(&self) -> Sealing {
        Sealing { now: self.now(), nonce: [7; 16] }
    }

    fn dialect(&self) -> Arc<dyn Dialect> {
        self.simulators.world.dialect(NAME).unwrap()
    }

    /// A new one each time.
    pub fn attempt(&self) -> AttemptId {
        let number = u8::try_from(self.next.fetch_add(1, Ordering::SeqCst)).unwrap();
        AttemptId::new(self.now(), [number; 10])
    }

    pub fn create(&self, attempt: AttemptId, method: Method) -> CreateOrder {
        CreateOrder {
            attempt,
            method,
            amount: Money::new(1230, Currency::CNY),
            description: "一只马克杯 & a mug, \"blue\" {x=1}".to_owned(),
            created_at: attempt.created_at(),
            expires_at: attempt.created_at().plus(Duration::from_minutes(30)),
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

    pub fn refund(&self, order: OrderRef, number: u8, fen: u64) -> RefundOrder {
        // Payments and refunds share one space of numbers.
        let refund = RefundId::new(order.created_at, [100 + number; 10]);
        RefundOrder {
            about: RefundRef { refund, created_at: self.now(), order, channel_refund_id: None },
            amount: Money::new(fen, Currency::CNY),
            total: Money::new(1230, Currency::CNY),
            reason: None,
            notify_url: format!("{}/notify", self.base),
        }
    }

    pub async fn send(&self, request: OutgoingRequest) -> Result<OutgoingResponse, SendError> {
        let limits = Limits { total: self.patience, reply_max: 1024 * 1024, ..Limits::default() };
        self.transport.send(request, &self.policy, limits).await
    }

    /// What a call brings; trouble on the way is an unknown outcome, as in the gateway.
    pub async fn ask(&self, order: &Order) -> Result<Observation, ChannelError> {
        self.ask_at(order, self.now()).await
    }

    /// The same with the answer read at another time.
    pub async fn ask_at(&self, order: &Order, now: Timestamp) -> Result<Observation, ChannelError> {
        match self.channel.request(order, &self.sealing())? {
            Prepared::Show(next_action) => Ok(Observation::Accepted { next_action }),
            Prepared::Call(request) => match self.send(request).await {
                Ok(response) => self.channel.read_response(order, &response, now),
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
            NextAction::AppParams { params } => params["tn"].clone(),
            NextAction::Form { url, fields } => {
                let answer = self.post(url, fields).await;
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                answer.header("location").unwrap_or_else(|| panic!("{} {body}", answer.status)).to_owned()
            }
            other => panic!("{other:?}"),
        };
        self.dialect().scan(&place).unwrap_or_else(|| panic!("{place}"))
    }

    /// As a browser posts a form.
    pub async fn post(&self, url: &str, fields: &[(String, String)]) -> OutgoingResponse {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish().into_bytes();
        let headers = vec![("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())];
        self.send(OutgoingRequest { method: Verb::Post, url: url.to_owned(), headers, body, identity: None })
            .await
            .unwrap()
    }

    pub async fn get(&self, url: &str) -> OutgoingResponse {
        let request = OutgoingRequest {
            method: Verb::Get,
            url: url.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            identity: None,
        };
        self.send(request).await.unwrap()
    }

    pub async fn pay(&self, code: [u8; 16], deed: Deed) {
        let done = self.simulators.world.act(&self.dialect(), code, deed).await.unwrap();
        done.expect("the code opens an order").expect("the deed is possible");
    }

    pub async fn faults(&self, faults: &[Fault]) {
        self.simulators.world.set_faults(NAME, faults.iter().copied().collect()).await.unwrap();
    }

    pub async fn skip(&self, ahead: Duration) {
        self.simulators.world.skip(ahead).await.unwrap();
        self.simulators.world.work().await.unwrap();
    }

    pub async fn show_code(&self, mood: Mood) -> String {
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

/// The facts of money that came, which have to be these.
pub fn paid(seen: &Observation) -> PaidFacts {
    let Observation::Paid(facts) = seen else { panic!("{seen:?}") };
    assert_eq!((facts.amount, &facts.identity), (Money::new(1230, Currency::CNY), &Ok(())));
    facts.clone()
}
