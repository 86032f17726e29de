//! The adapter on one side, the simulated provider behind a real port on the other, and an address that the provider
//! notifies, where the adapter reads what comes.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use coffer::channels::wechatpay::{AnswersBy, AppIds, Credentials, WechatPay};
use coffer::channels::{
    Channel, ChannelError, CreateOrder, Inbound, Observation, Order, OrderRef, Prepared, RefundOrder, RefundRef,
    Sealing, VerifiedNotification,
};
use coffer::crypto::Secret;
use coffer::domain::ids::{AttemptId, RefundId};
use coffer::domain::method::Method;
use coffer::domain::money::{Currency, Money};
use coffer::domain::payment::NextAction;
use coffer::domain::time::{Duration, Timestamp};
use coffer::env::Env;
use coffer::env::http::HttpTransport;
use coffer::env::target::TargetPolicy;
use coffer::env::transport::{Limits, OutgoingRequest, OutgoingResponse, SendError, Transport};
use coffer::sandbox::provider::fault::{Fault, Faults};
use coffer::sandbox::provider::model::Deed;
use coffer::sandbox::provider::pages::Controls;
use coffer::sandbox::provider::records::Mood;
use coffer::sandbox::provider::{Dialect, Reach};
use coffer::sandbox::simulators::Simulators;
use coffer::sandbox::wechatpay::{MerchantSide, Mode};
use coffer::store::{Store, StoreOptions};

use crate::keys;

pub type Read = Result<VerifiedNotification, ChannelError>;

pub struct Site {
    pub base: String,
    pub simulators: Simulators,
    channel: Mutex<Arc<WechatPay>>,
    transport: Arc<HttpTransport>,
    policy: TargetPolicy,
    server: ServerHandle,
    /// What came to the address that is notified, as the adapter read it.
    inbox: Arc<Mutex<Vec<Read>>>,
    reader: Arc<Mutex<Option<Arc<WechatPay>>>>,
    next: AtomicU64,
}

struct Post {
    inbox: Arc<Mutex<Vec<Read>>>,
    reader: Arc<Mutex<Option<Arc<WechatPay>>>>,
}

async fn notified(request: HttpRequest, body: web::Bytes, post: web::Data<Post>) -> HttpResponse {
    let text = |value: &actix_web::http::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers: Vec<(String, String)> =
        request.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    let channel = post.reader.lock().unwrap().clone().expect("the adapter is there before its messages");
    let read = channel.read_notification(&Inbound { headers: &headers, body: &body }, Env::system().now());
    let answer = channel.acknowledge(read.is_ok());
    post.inbox.lock().unwrap().push(read);
    let status = actix_web::http::StatusCode::from_u16(answer.status).unwrap();
    HttpResponse::build(status).content_type(answer.content_type).body(answer.body)
}

impl Site {
    pub async fn open(mode: Mode) -> Site {
        Self::open_with(mode, Controls::Open).await
    }

    pub async fn open_with(mode: Mode, controls: Controls) -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let policy = TargetPolicy { https_only: false, allow_loopback: true, ..TargetPolicy::default() };
        let transport = Arc::new(HttpTransport::system(&[]).unwrap());
        let reach =
            Reach { public_url: base.clone(), own_url: Some(base.clone()), at_root: false, policy: policy.clone() };
        let store = Store::open_memory(StoreOptions::default()).unwrap();
        let simulators = Simulators::with_keys(store, Env::system(), transport.clone(), reach, keys::fixed());
        let (inbox, reader) = (Arc::<Mutex<Vec<Read>>>::default(), Arc::default());
        let post = web::Data::new(Post { inbox: Arc::clone(&inbox), reader: Arc::clone(&reader) });
        let rooms = simulators.clone();
        let server = HttpServer::new(move || {
            App::new()
                .app_data(post.clone())
                .configure(rooms.root_routes())
                .configure(rooms.routes(controls))
                .route("/notify", web::post().to(notified))
        })
        .workers(1)
        .disable_signals()
        .listen(listener)
        .unwrap()
        .run();
        let handle = server.handle();
        tokio::spawn(server);
        let side = simulators.wechatpay.merchant(mode).await.unwrap();
        let credentials = credentials(&side, mode);
        let base_url = format!("{base}/sim/wechatpay");
        let channel = Arc::new(WechatPay::open(credentials.to_secret().expose(), &base_url).unwrap());
        *reader.lock().unwrap() = Some(channel.clone());
        Site {
            base,
            simulators,
            channel: Mutex::new(channel),
            transport,
            policy,
            server: handle,
            inbox,
            reader,
            next: AtomicU64::new(1),
        }
    }

    pub async fn close(self) {
        self.server.stop(false).await;
    }

    pub fn channel(&self) -> Arc<WechatPay> {
        self.channel.lock().unwrap().clone()
    }

    /// Opens the adapter anew with what upkeep brought.
    pub fn reopen(&self, record: &Secret) {
        let channel = Arc::new(WechatPay::open(record.expose(), &format!("{}/sim/wechatpay", self.base)).unwrap());
        *self.channel.lock().unwrap() = channel.clone();
        *self.reader.lock().unwrap() = Some(channel);
    }

    pub fn transport(&self) -> Arc<dyn Transport> {
        self.transport.clone()
    }

    pub fn sealing(&self) -> Sealing {
        let env = Env::system();
        Sealing { now: env.now(), nonce: env.random() }
    }

    pub async fn send(&self, request: OutgoingRequest) -> Result<OutgoingResponse, SendError> {
        let limits = Limits { reply_max: 1 << 20, ..Limits::default() };
        self.transport.send(request, &self.policy, limits).await
    }

    /// One call of the adapter, over the wire and back.
    pub async fn ask(&self, order: &Order) -> Result<Observation, ChannelError> {
        self.ask_within(order, Limits::default().total).await
    }

    /// The same by somebody who waits so long for the answer.
    pub async fn ask_within(&self, order: &Order, total: Duration) -> Result<Observation, ChannelError> {
        let channel = self.channel();
        let Prepared::Call(request) = channel.request(order, &self.sealing())? else { panic!("a call") };
        match self
            .transport
            .send(request, &self.policy, Limits { total, reply_max: 1 << 20, ..Limits::default() })
            .await
        {
            Ok(response) => channel.read_response(order, &response, Env::system().now()),
            Err(error) => Ok(Observation::Unknown { detail: error.to_string() }),
        }
    }

    /// A number that no other order of this site has.
    fn fresh(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&self.next.fetch_add(1, Ordering::SeqCst).to_be_bytes());
        bytes
    }

    pub fn create(&self, method: Method) -> CreateOrder {
        let now = Env::system().now();
        CreateOrder {
            attempt: AttemptId::from_bytes(self.fresh()),
            method,
            amount: yuan(1230),
            description: "一只马克杯".to_owned(),
            created_at: now,
            expires_at: now.plus(Duration::from_minutes(30)),
            notify_url: format!("{}/notify", self.base),
            return_url: format!("{}/back?order=1", self.base),
            customer_ip: Some("203.0.113.7".parse().unwrap()),
            openid: Some("oUpF8uMuAJO_M2pxb1Q9zNjWeS6o".to_owned()),
            auth_code: None,
        }
    }

    /// An order that waits for its payer.
    pub async fn ordered(&self, method: Method) -> (CreateOrder, NextAction) {
        let create = self.create(method);
        match self.ask(&Order::Create(create.clone())).await {
            Ok(Observation::Accepted { next_action }) => (create, next_action),
            other => panic!("{method}: {other:?}"),
        }
    }

    /// An order that was paid; what was told of it is thrown away.
    pub async fn paid(&self) -> CreateOrder {
        let (create, next) = self.ordered(Method::WechatNative).await;
        self.pay(&next, Deed::Pay).await;
        self.told().await;
        create
    }

    fn dialect(&self) -> Arc<dyn Dialect> {
        self.simulators.world.dialect("wechatpay").unwrap()
    }

    /// The payer does something with what the customer's device was given.
    pub async fn pay(&self, next: &NextAction, deed: Deed) {
        let text = match next {
            NextAction::QrCode { data } => data.clone(),
            NextAction::Redirect { url } => url.clone(),
            NextAction::JsApiParams { params } => params["package"].clone(),
            NextAction::AppParams { params } => params["prepayid"].clone(),
            NextAction::Form { .. } | NextAction::Confirm => panic!("not a way of this provider"),
        };
        let dialect = self.dialect();
        let code = dialect.scan(&text).expect("a code of this provider");
        let done = self.simulators.world.act(&dialect, code, deed).await.unwrap();
        done.expect("the code opens an order").expect("the deed is possible");
    }

    pub async fn show_code(&self, mood: Mood) -> String {
        self.simulators.world.show_code(&self.dialect(), mood).await.unwrap()
    }

    pub async fn faults(&self, faults: &[Fault]) {
        let faults: Faults = faults.iter().copied().collect();
        self.simulators.world.set_faults("wechatpay", faults).await.unwrap();
    }

    pub async fn skip(&self, ahead: Duration) {
        self.simulators.world.skip(ahead).await.unwrap();
    }

    /// Everything that is due is sent; what came of it, as the adapter read it.
    pub async fn told(&self) -> Vec<Read> {
        self.simulators.world.work().await.unwrap();
        std::mem::take(&mut *self.inbox.lock().unwrap())
    }

    pub async fn query(&self, create: &CreateOrder) -> Result<Observation, ChannelError> {
        self.ask(&Order::Query(about(create))).await
    }

    /// Asks until the answer can be used: troubled answers end after two about the same number.
    pub async fn ask_on(&self, order: &Order) -> Observation {
        for _ in 0..4 {
            match self.ask(order).await {
                Ok(Observation::Unknown { .. })
                | Err(ChannelError::NotGenuine { .. } | ChannelError::Probe | ChannelError::Malformed { .. }) => {}
                Ok(observation) => return observation,
                Err(error) => panic!("{error}"),
            }
        }
        panic!("no answer that can be used");
    }

    pub fn refund(&self, create: &CreateOrder, fen: u64) -> RefundOrder {
        RefundOrder {
            about: RefundRef {
                refund: RefundId::from_bytes(self.fresh()),
                created_at: Env::system().now(),
                order: about(create),
                channel_refund_id: None,
            },
            amount: yuan(fen),
            total: create.amount,
            reason: Some("不想要了".to_owned()),
            notify_url: format!("{}/notify", self.base),
        }
    }
}

pub fn about(create: &CreateOrder) -> OrderRef {
    OrderRef {
        attempt: create.attempt,
        method: create.method,
        created_at: create.created_at,
        expires_at: create.expires_at,
        transaction_id: None,
    }
}

pub fn yuan(fen: u64) -> Money {
    Money::new(fen, Currency::CNY)
}

pub fn observations(told: &[Read]) -> Vec<&Observation> {
    told.iter().filter_map(|read| read.as_ref().ok()).map(VerifiedNotification::observation).collect()
}

/// The amount of each payment that was told and believed, in fen.
pub fn paid_minor(told: &[Read]) -> Vec<u64> {
    let paid = |observation: &&Observation| match observation {
        Observation::Paid(facts) => Some(facts.amount.minor()),
        _ => None,
    };
    observations(told).iter().filter_map(paid).collect()
}

pub fn credentials(side: &MerchantSide, mode: Mode) -> Credentials {
    let public_keys = BTreeMap::from([(side.public_key_id.clone(), side.public_key.clone())]);
    Credentials {
        mch_id: side.mchid.clone(),
        app_ids: AppIds {
            default: side.appids[0].clone(),
            official_account: Some(side.appids[0].clone()),
            mini_program: Some(side.appids[1].clone()),
            app: Some(side.appids[2].clone()),
        },
        official_account_secret: Some(side.app_secret.clone()),
        merchant_key: side.private_key.clone(),
        merchant_serial: side.serial.clone(),
        merchant_certificate: Some(side.certificate.clone()),
        api_v3_key: side.api_v3_key.clone(),
        previous_api_v3_key: None,
        code_v2_key: None,
        public_keys,
        platform_certificates: Vec::new(),
        answers: match mode {
            Mode::PublicKey => AnswersBy::PublicKey { id: side.public_key_id.clone() },
            Mode::Certificate => AnswersBy::PlatformCertificate,
        },
    }
}

/// A moment of the simulated day as the adapter names days.
pub fn day_of(at: Timestamp) -> jiff::civil::Date {
    at.in_zone("Asia/Shanghai").date()
}
