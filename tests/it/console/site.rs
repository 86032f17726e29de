//! A console with two shops and a person for every role, and browsers that visit it without a network.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use actix_web::body::MessageBody;
use actix_web::cookie::Cookie;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::{Method, StatusCode, header};
use actix_web::{App, test};
use coffer::cases::Cases;
use coffer::channels::{Observation, PaidFacts};
use coffer::console::Console;
use coffer::console::auth::password::{Hasher, Password, PasswordHash};
use coffer::console::auth::people;
use coffer::console::auth::records::{Login, Membership, SecondFactor, Session, User, second_factor_place};
use coffer::console::auth::roles::Role;
use coffer::console::auth::session::Token;
use coffer::console::auth::sessions;
use coffer::console::auth::totp::{TotpSecret, step_at};
use coffer::crypto::rsa::generate;
use coffer::crypto::{MasterKey, Place, Vault};
use coffer::domain::fee::{FeeRule, FeeSchedule};
use coffer::domain::ids::{AccountId, MerchantId, Mode, PaymentId, Scope, UserId};
use coffer::domain::merchant::{ChannelAccount, ChannelKind, DuplicatePolicy, LatePolicy, Merchant, Share};
use coffer::domain::method::Method as PayMethod;
use coffer::domain::money::{Currency, Money};
use coffer::domain::time::{Duration, Timestamp};
use coffer::env::target::TargetPolicy;
use coffer::env::transport::{Limits, OutgoingRequest, OutgoingResponse, SendError, Sending, Transport};
use coffer::env::{Clock, Env, SystemEntropy};
use coffer::flows::Moment;
use coffer::flows::gateway::{Gateway, Settings};
use coffer::flows::observe::{Source, observe};
use coffer::flows::payments::{self, NewPayment};
use coffer::sandbox::simulators::Simulators;
use coffer::sandbox::wallet::Wallet;
use coffer::store::tables::{ACCOUNT_SCOPES, ACCOUNTS, MERCHANTS};
use coffer::store::{Store, StoreError, StoreOptions};
use coffer::test_mode::players::Players;

use crate::still::HandClock;

pub const PASSWORD: &str = "rainy mugs drift upstream";
pub const ORIGIN: &str = "http://127.0.0.1:8080";

pub struct Site {
    pub console: Console,
    clock: Arc<HandClock>,
    pub provider: Arc<Provider>,
    users: Mutex<BTreeMap<&'static str, (UserId, TotpSecret)>>,
}

pub const SHOP: Scope = Scope { merchant: MerchantId::from_bytes([7; 16]), mode: Mode::Test };
pub const OTHER_SHOP: Scope = Scope { merchant: MerchantId::from_bytes([8; 16]), mode: Mode::Test };
pub const ACCOUNT: AccountId = AccountId::from_bytes([5; 16]);

impl Site {
    /// Two shops, nobody in them.
    pub async fn empty() -> Site {
        let start = Timestamp::parse_rfc3339("2026-11-23T06:00:00Z").unwrap();
        let clock = Arc::new(HandClock::at(start));
        let env = Env { clock: clock.clone(), entropy: Arc::new(SystemEntropy) };
        let provider = Arc::new(Provider::default());
        let network = provider.clone();
        let console = tokio::task::spawn_blocking(move || {
            let store = Store::open_memory(StoreOptions::default()).unwrap();
            let vault = Arc::new(Vault::new(&MasterKey::from_bytes([9; 32])));
            let account = account(&vault);
            store
                .write_blocking(move |tx| {
                    for (scope, name) in [(SHOP, "蓝鹭陶瓷"), (OTHER_SHOP, "Other <Shop>")] {
                        tx.put(&MERCHANTS, &scope.merchant, &merchant(scope.merchant, name))?;
                    }
                    tx.put(&ACCOUNTS, &(SHOP, ACCOUNT), &account)?;
                    tx.put(&ACCOUNT_SCOPES, &ACCOUNT, &SHOP)?;
                    Ok::<_, StoreError>(())
                })
                .unwrap();
            let settings = Settings {
                public_url: ORIGIN.to_owned(),
                own_url: ORIGIN.to_owned(),
                callbacks: TargetPolicy::default(),
                channels: TargetPolicy::default(),
                sandbox: TargetPolicy::default(),
                in_flight_max: 8,
                per_endpoint_max: 2,
            };
            let render = Arc::new(|_: &Gateway, _, _: &_| b"{}".to_vec());
            let gateway = Gateway::build(store, env, vault, network, settings, render).unwrap();
            let simulators = Simulators::inside(&gateway, Arc::new(generate));
            let players = Players::new(&gateway, Wallet::open(&gateway).unwrap(), simulators);
            let cases = Cases::new(gateway.clone(), Arc::new(players));
            Console::new(gateway, cases, vec!["10.0.0.0/8".parse().unwrap()]).unwrap()
        })
        .await
        .unwrap();
        Site { console, clock, provider, users: Mutex::default() }
    }

    /// A person for every role in the shop, named after the role, and `rival`, the owner of the other shop.
    pub async fn staffed() -> Site {
        let site = Site::empty().await;
        let hash = password_hash().await;
        for role in Role::ALL {
            site.hire(role.as_str(), SHOP.merchant, role, &hash).await;
        }
        site.hire("rival", OTHER_SHOP.merchant, Role::Owner, &hash).await;
        site
    }

    async fn hire(&self, name: &'static str, merchant: MerchantId, role: Role, hash: &PasswordHash) {
        let env = self.console.env();
        let id = UserId::new(env.now(), env.random());
        let secret = TotpSecret::generate(env.entropy.as_ref());
        let sealed =
            self.console.vault().seal(&second_factor_place(&id.to_bytes()), secret.as_bytes(), env.entropy.as_ref());
        let membership = Membership { merchant, role };
        let login = Login::parse(name).unwrap();
        let mut user = people::new_user(id, login, name.to_owned(), hash.clone(), membership, env.now());
        user.second_factor = Some(SecondFactor { secret: sealed, enrolled_at: env.now(), last_step: 0 });
        self.console.store().write(move |tx| people::create(tx, &user)).await.unwrap();
        self.users.lock().unwrap().insert(name, (id, secret));
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn pass(&self, time: Duration) {
        self.clock.pass(time);
    }

    pub fn user_id(&self, name: &str) -> UserId {
        self.users.lock().unwrap()[name].0
    }

    pub async fn user(&self, name: &str) -> User {
        let id = self.user_id(name);
        self.console.store().read(move |tx| people::find(tx, id)).await.unwrap().unwrap()
    }

    /// What the person's phone shows now.
    pub fn code(&self, name: &str) -> String {
        self.users.lock().unwrap()[name].1.code_at(step_at(self.now()))
    }

    /// A browser that is logged in already, as if the person had just given the second factor.
    pub async fn browser_of(&self, name: &str) -> Browser<'_> {
        let user = self.user(name).await;
        let token = Token::generate(&SystemEntropy);
        let now = self.now();
        let session = Session {
            user: user.id,
            epoch: user.epoch,
            scope: user.home,
            second_factor_due: false,
            verified_at: now,
            enrolling: None,
            created_at: now,
            last_seen_at: now,
            ip: "127.0.0.1".to_owned(),
            device: "test".to_owned(),
        };
        let hash = token.hash();
        self.console.store().write(move |tx| sessions::start(tx, hash, &session)).await.unwrap();
        let mut browser = self.browser();
        browser.cookie = Some(token.to_text().to_string());
        browser
    }

    /// A browser that was never here.
    pub fn browser(&self) -> Browser<'_> {
        Browser { site: self, cookie: None, origin: Some(ORIGIN.to_owned()), forwarded: None }
    }

    /// A payment of the shop that its customer paid.
    pub async fn paid(&self, scope: Scope, order_id: &str, yuan: u64) -> PaymentId {
        self.paid_otherwise(scope, order_id, yuan, yuan * 100).await
    }

    /// A payment of the shop about which the channel said these things, in this order.
    pub async fn heard(
        &self,
        scope: Scope,
        order_id: &str,
        channel: ChannelKind,
        said: Vec<(Source, Observation)>,
    ) -> PaymentId {
        let (moment, new) = (Moment::new(self.console.env()), order(order_id, Money::new(10_000, Currency::CNY)));
        let write = self.console.store().write(move |tx| {
            let mut moment = moment;
            let created = payments::create(tx, scope, &new, Some(ACCOUNT.into()), &mut moment)?;
            let attempt = created.payment().current.expect("a method was given");
            for (source, observation) in &said {
                observe(tx, scope, attempt, channel, observation, *source, &mut moment)?;
            }
            Ok::<_, coffer::flows::FlowError>(created.payment().id)
        });
        write.await.unwrap()
    }

    /// As [`Self::paid`], where the channel reports another amount.
    pub async fn paid_otherwise(&self, scope: Scope, order_id: &str, yuan: u64, seen_minor: u64) -> PaymentId {
        let env = self.console.env();
        let (moment, order_id) = (Moment::new(env), order_id.to_owned());
        let new = order(&order_id, Money::new(yuan * 100, Currency::CNY));
        let write = self.console.store().write(move |tx| {
            let mut moment = moment;
            let created = payments::create(tx, scope, &new, Some(ACCOUNT.into()), &mut moment)?;
            let attempt = created.payment().current.expect("a method was given");
            let seen = Money::new(seen_minor, Currency::CNY);
            let (transaction_id, paid_at) = (format!("T-{order_id}"), moment.now);
            let facts = PaidFacts { amount: seen, transaction_id, paid_at, identity: Ok(()) };
            let paid = Observation::Paid(facts);
            observe(tx, scope, attempt, ChannelKind::TestWallet, &paid, Source::Notification, &mut moment)?;
            Ok::<_, coffer::flows::FlowError>(created.payment().id)
        });
        write.await.unwrap()
    }
}

type Script = Box<dyn Fn(&OutgoingRequest) -> Vec<u8> + Send>;

/// The other side of the network: answers as it was told to, and is not there otherwise.
#[derive(Default)]
pub struct Provider {
    script: Mutex<Option<Script>>,
    asked: Mutex<Vec<OutgoingRequest>>,
}

impl Provider {
    pub fn answers(&self, script: impl Fn(&OutgoingRequest) -> Vec<u8> + Send + 'static) {
        *self.script.lock().unwrap() = Some(Box::new(script));
    }

    /// The requests since this was called last.
    pub fn asked(&self) -> Vec<OutgoingRequest> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Transport for Provider {
    fn send<'a>(&'a self, request: OutgoingRequest, _: &'a TargetPolicy, _: Limits) -> Sending<'a> {
        let body = self.script.lock().unwrap().as_ref().map(|script| script(&request));
        self.asked.lock().unwrap().push(request);
        let address = SocketAddr::from(([127, 0, 0, 1], 443));
        let answer = body.ok_or(SendError::Dns).map(|body| OutgoingResponse {
            status: 200,
            headers: Vec::new(),
            body,
            truncated: false,
            address,
            connect_ms: 0,
            total_ms: 0,
        });
        Box::pin(async { answer })
    }
}

fn order(order_id: &str, amount: Money) -> NewPayment {
    NewPayment {
        order_id: order_id.to_owned(),
        amount,
        description: "<b>mug</b> & saucer".to_owned(),
        method: Some(PayMethod::WechatNative),
        expires_in: Duration::from_minutes(30),
        return_url: None,
        cancel_url: None,
        callback_url: None,
        customer: Default::default(),
        auth_code: None,
        metadata: BTreeMap::new(),
        fingerprint: [0; 16],
    }
}

/// Hashing costs real time, so everybody has the same password.
async fn password_hash() -> PasswordHash {
    Hasher::new(Arc::new(SystemEntropy)).hash(Password::new(PASSWORD.to_owned())).await.unwrap()
}

/// The account that payments are made with; nobody calls it.
fn account(vault: &Vault) -> ChannelAccount {
    let place = Place { table: ACCOUNTS.name(), row: b"nobody", field: "credentials" };
    ChannelAccount {
        id: ACCOUNT,
        scope: SHOP,
        kind: ChannelKind::TestWallet,
        label: "Test wallet".to_owned(),
        base_url: None,
        credentials: vault.seal(&place, b"{}", &SystemEntropy),
        active: true,
        share: Share::WHOLE,
        upkeep_at: None,
        upkept_at: None,
        created_at: Timestamp::MIN,
    }
}

fn merchant(id: MerchantId, name: &str) -> Merchant {
    Merchant {
        id,
        name: name.to_owned(),
        zone: "Asia/Shanghai".to_owned(),
        currency: Currency::CNY,
        fees: FeeSchedule {
            default: FeeRule { rate_ppm: 6_000, min_minor: 0, max_minor: None },
            methods: BTreeMap::new(),
        },
        fee_returned_on_refund: true,
        late: LatePolicy::Book,
        duplicate: DuplicatePolicy::Refund,
        created_at: Timestamp::MIN,
    }
}

/// A browser: keeps the session's cookie, sends its origin, fills the token of the last page into forms.
pub struct Browser<'a> {
    site: &'a Site,
    pub cookie: Option<String>,
    pub origin: Option<String>,
    pub forwarded: Option<String>,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub location: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }
}

impl Browser<'_> {
    /// The form token of this browser's session, as its pages carry it.
    pub fn csrf(&self) -> String {
        self.cookie.as_deref().and_then(Token::parse).map(|token| token.form_token()).unwrap_or_default()
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// Sends a form as a page of this session would: with its token.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.csrf();
        let fields: Vec<(&str, &str)> = [("csrf", csrf.as_str())].into_iter().chain(fields.iter().copied()).collect();
        self.post_raw(path, &fields).await
    }

    /// Sends exactly these fields.
    pub async fn post_raw(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send(Method::POST, path, Some(body)).await
    }

    pub async fn send(&mut self, method: Method, path: &str, form: Option<String>) -> Answer {
        let mut request = test::TestRequest::default()
            .method(method)
            .uri(path)
            .peer_addr(SocketAddr::from(([10, 0, 0, 1], 4711)))
            .insert_header((header::ACCEPT_LANGUAGE, "en"));
        if let Some(form) = form {
            request =
                request.insert_header((header::CONTENT_TYPE, "application/x-www-form-urlencoded")).set_payload(form);
            if let Some(origin) = &self.origin {
                request = request.insert_header((header::ORIGIN, origin.as_str()));
            }
        }
        if let Some(forwarded) = &self.forwarded {
            request = request.insert_header(("x-forwarded-for", forwarded.as_str()));
        }
        if let Some(cookie) = &self.cookie {
            request = request.cookie(Cookie::new("coffer_loopback", cookie.clone()));
        }
        let console = self.site.console.clone();
        let app = App::new()
            .wrap(actix_web::middleware::from_fn(coffer::web::security_headers))
            .configure(coffer::console::configure(console));
        let service = test::init_service(app).await;
        let response = service.call(request.to_request()).await.unwrap();
        self.keep_cookie(&response);
        let answer = Answer {
            status: response.status(),
            location: header_text(&response, "location"),
            headers: response
                .headers()
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                .collect(),
            body: String::new(),
        };
        let body = test::read_body(response).await;
        Answer { body: String::from_utf8(body.to_vec()).unwrap(), ..answer }
    }

    fn keep_cookie<B: MessageBody>(&mut self, response: &ServiceResponse<B>) {
        for cookie in response.response().cookies().filter(|cookie| cookie.name() == "coffer_loopback") {
            self.cookie = Some(cookie.value().to_owned()).filter(|value| !value.is_empty());
        }
    }

    /// Logs in as a person would: page, password, code.
    pub async fn log_in(&mut self, name: &str) -> Answer {
        self.get("/console/login").await;
        let asked = self.post("/console/login", &[("login", name), ("password", PASSWORD)]).await;
        assert_eq!(asked.status, StatusCode::SEE_OTHER, "{}", asked.body);
        let code = self.site.code(name);
        self.post("/console/login/code", &[("code", &code)]).await
    }
}

fn header_text<B>(response: &ServiceResponse<B>, name: &str) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}
