//! A shop with the test wallet, a clock that stands still, a channel that says what the test lets it say, and a browser.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::http::{StatusCode, header};
use actix_web::middleware::from_fn;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, web};
use coffer::channels::{Observation, PaidFacts};
use coffer::crypto::{MasterKey, Vault};
use coffer::domain::ids::{AttemptId, Mode, PaymentId, Scope};
use coffer::domain::merchant::{ChannelKind, LatePolicy, Merchant};
use coffer::domain::method::Method;
use coffer::domain::money::{Currency, Money};
use coffer::domain::payment::{Attempt, NextAction, Payment};
use coffer::domain::time::{Duration, Timestamp};
use coffer::env::target::TargetPolicy;
use coffer::env::{Clock, Env, SystemEntropy};
use coffer::flows::gateway::{Gateway, Settings};
use coffer::flows::observe::{Source, observe};
use coffer::flows::payments::{self, NewPayment};
use coffer::flows::setup::NewMerchant;
use coffer::flows::{FlowError, Moment, record};
use coffer::sandbox::wallet::Wallet;
use coffer::store::tables::MERCHANTS;
use coffer::store::{Store, StoreOptions};

use crate::still::{HandClock, NoNetwork};

pub const COMPUTER: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36";
pub const PHONE: &str =
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1";
pub const WECHAT: &str =
    "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Mobile Safari/537.36 MicroMessenger/8.0.50";
pub const ALIPAY: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Mobile/15E148 AlipayClient/10.6.80";

pub struct Shop {
    pub gateway: Gateway,
    pub scope: Scope,
    clock: Arc<HandClock>,
}

/// An order as most tests want it.
pub fn order(number: &str, yuan: u64) -> NewPayment {
    NewPayment {
        order_id: number.to_owned(),
        amount: Money::new(yuan * 100, Currency::CNY),
        description: "柴烧茶杯".to_owned(),
        method: None,
        expires_in: Duration::from_minutes(30),
        return_url: Some("https://shop.example/thanks?order=1".to_owned()),
        cancel_url: Some("https://shop.example/cart".to_owned()),
        callback_url: None,
        customer: Default::default(),
        auth_code: None,
        metadata: BTreeMap::new(),
        fingerprint: [0; 16],
    }
}

impl Shop {
    pub async fn open(name: &str) -> Shop {
        let name = name.to_owned();
        tokio::task::spawn_blocking(move || Self::build(&name, LatePolicy::Book)).await.unwrap()
    }

    /// A shop that decides about late money by hand.
    pub async fn holding_late_money() -> Shop {
        tokio::task::spawn_blocking(|| Self::build("山下陶器", LatePolicy::Hold)).await.unwrap()
    }

    fn build(name: &str, late: LatePolicy) -> Shop {
        let start = Timestamp::parse_rfc3339("2026-11-23T06:05:00Z").unwrap();
        let clock = Arc::new(HandClock::at(start));
        let env = Env { clock: clock.clone(), entropy: Arc::new(SystemEntropy) };
        let vault = Arc::new(Vault::new(&MasterKey::from_bytes([9; 32])));
        let settings = Settings {
            public_url: "http://127.0.0.1:8080".to_owned(),
            own_url: "http://127.0.0.1:8080".to_owned(),
            callbacks: TargetPolicy::default(),
            channels: TargetPolicy::default(),
            sandbox: TargetPolicy::default(),
            in_flight_max: 8,
            per_endpoint_max: 2,
        };
        let store = Store::open_memory(StoreOptions::default()).unwrap();
        let render = Arc::new(|_: &Gateway, _, _: &_| b"{}".to_vec());
        let gateway = Gateway::build(store, env, vault, Arc::new(NoNetwork), settings, render).unwrap();
        let enrolment = Wallet::open(&gateway).unwrap().enrol(name);
        let credentials = enrolment.credentials().to_secret();
        let new = NewMerchant::prepare(&gateway.env, &gateway.vault, name, "Asia/Shanghai", |_| credentials);
        let scope = new.scope(Mode::Test);
        let merchant = Merchant { late, ..new.merchant.clone() };
        gateway
            .store
            .write_blocking(move |tx| {
                new.store(tx)?;
                enrolment.store(tx)?;
                tx.put(&MERCHANTS, &merchant.id, &merchant)
            })
            .unwrap();
        gateway.reload_channels().unwrap();
        Shop { gateway, scope, clock }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn pass(&self, time: Duration) {
        self.clock.pass(time);
    }

    pub async fn sell(&self, new: NewPayment) -> Bought<'_> {
        let (scope, moment) = (self.scope, Moment::new(&self.gateway.env));
        let account = new.method.and_then(|method| self.gateway.route(scope, method, new.amount));
        let write = self.gateway.store.write(move |tx| {
            let created = payments::create(tx, scope, &new, account, &mut moment.clone())?;
            Ok::<_, FlowError>(created.payment().id)
        });
        let id = write.await.unwrap();
        Bought {
            shop: self,
            id,
            token: self.gateway.checkout_token(scope, id),
            agent: COMPUTER.to_owned(),
            cookie: String::new(),
        }
    }
}

/// A payment and the browser that its customer sits at.
pub struct Bought<'a> {
    shop: &'a Shop,
    pub id: PaymentId,
    pub token: String,
    pub agent: String,
    /// What the browser keeps, as its `Cookie` header.
    pub cookie: String,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub location: String,
    pub cookies: Vec<String>,
    pub policy: String,
    pub body: String,
}

impl Answer {
    /// What a browser would keep of it, as its `Cookie` header.
    pub fn kept(&self) -> String {
        let pairs: Vec<&str> = self.cookies.iter().filter_map(|cookie| cookie.split(';').next()).collect();
        pairs.join("; ")
    }

    /// The text fails the test by name when it is missing.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.body.contains(text), "{text:?} is missing in:\n{}", self.body);
        self
    }

    #[track_caller]
    pub fn lacks(&self, text: &str) -> &Self {
        assert!(!self.body.contains(text), "{text:?} should not be in:\n{}", self.body);
        self
    }
}

impl Bought<'_> {
    pub async fn payment(&self) -> Payment {
        let (scope, id) = (self.shop.scope, self.id);
        self.shop.gateway.store.read(move |tx| record::payment(tx, scope, id)).await.unwrap()
    }

    pub async fn attempt(&self) -> Attempt {
        let id = self.payment().await.current.expect("an attempt");
        let scope = self.shop.scope;
        self.shop.gateway.store.read(move |tx| record::attempt(tx, scope, id)).await.unwrap()
    }

    /// The customer's choice, committed without a browser.
    pub async fn choose(&self, method: Method) -> AttemptId {
        let (scope, id, moment) = (self.shop.scope, self.id, Moment::new(&self.shop.gateway.env));
        let amount = self.payment().await.amount;
        let account = self.shop.gateway.route(scope, method, amount).unwrap();
        let write = self.shop.gateway.store.write(move |tx| {
            payments::choose_method(tx, scope, id, method, account, &mut moment.clone()).map(|attempt| attempt.id)
        });
        write.await.unwrap()
    }

    /// What the channel says about the current attempt.
    pub async fn hear(&self, observation: Observation) {
        self.hear_from(ChannelKind::TestWallet, observation).await;
    }

    /// The same from another provider.
    pub async fn hear_from(&self, kind: ChannelKind, observation: Observation) {
        let (scope, moment) = (self.shop.scope, Moment::new(&self.shop.gateway.env));
        let Attempt { id: attempt, step, .. } = self.attempt().await;
        let write = self.shop.gateway.store.write(move |tx| {
            observe(tx, scope, attempt, kind, &observation, Source::FollowUp(step), &mut moment.clone())
        });
        write.await.unwrap();
    }

    /// Posts a choice while the channel answers with what it wants done.
    pub async fn chosen(&self, method: &str, next_action: NextAction) -> Answer {
        let mut changes = self.shop.gateway.changes.watch(self.id);
        let channel = async {
            changes.changed().await;
            self.hear(Observation::Accepted { next_action }).await;
        };
        let form = [("method", method)];
        tokio::join!(self.post("/method", &form), channel).0
    }

    pub async fn code_is_shown(&self) {
        let data = "http://127.0.0.1:8080/pay/AbCdEfGhIjKlMnOpQrStUv".to_owned();
        self.hear(Observation::Accepted { next_action: NextAction::QrCode { data } }).await;
    }

    pub async fn channel_took(&self, yuan: u64) {
        let facts = PaidFacts {
            amount: Money::new(yuan * 100, Currency::CNY),
            transaction_id: "4200002154202611231234567890".to_owned(),
            paid_at: self.shop.now(),
            identity: Ok(()),
        };
        self.hear(Observation::Paid(facts)).await;
    }

    /// The payment's time is over, and the channel has confirmed that nobody can pay any more.
    pub async fn run_out(&self) {
        let (scope, id) = (self.shop.scope, self.id);
        self.shop.pass(Duration::from_minutes(31));
        let moment = Moment::new(&self.shop.gateway.env);
        let write = self.shop.gateway.store.write(move |tx| payments::expire(tx, scope, id, &mut moment.clone()));
        write.await.unwrap();
        if !self.payment().await.state.is_final() {
            self.hear(Observation::Closed).await;
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(TestRequest::get(), path).await
    }

    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send(TestRequest::post().set_form(form), path).await
    }

    /// `path` is what stands behind `/c/{token}`.
    async fn send(&self, request: TestRequest, path: &str) -> Answer {
        let app = App::new()
            .wrap(from_fn(coffer::web::security_headers))
            .app_data(web::Data::new(self.shop.gateway.clone()))
            .configure(coffer::cashier::routes);
        let service = init_service(app).await;
        let request = request
            .uri(&format!("/c/{}{path}", self.token))
            .insert_header((header::USER_AGENT, self.agent.as_str()))
            .insert_header((header::COOKIE, self.cookie.as_str()))
            .insert_header((header::ACCEPT_LANGUAGE, "en"));
        let response = call_service(&service, request.to_request()).await;
        let text = |name| response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let (location, policy) = (text(header::LOCATION), text(header::CONTENT_SECURITY_POLICY));
        let cookies = response.response().cookies().map(|cookie| cookie.to_string()).collect();
        let status = response.status();
        let body = String::from_utf8_lossy(&read_body(response).await).into_owned();
        Answer { status, location, cookies, policy, body }
    }
}
