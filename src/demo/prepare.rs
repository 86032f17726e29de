//! Fills a new store with the demo's shop: merchant, wallet, owner, keys, endpoint, its past, and its accounts at the
//! simulated providers.

use std::sync::{Arc, mpsc};

use data_encoding::BASE32_NOPAD;

use super::credentials::Credentials;
use super::past::{self, Cast};
use super::{CALLBACK_PATH, SHOP_NAME, story};
use crate::api::keys::{self, IssuedKey, NewKey, NewKeyKind};
use crate::audit::log::Stamp;
use crate::audit::{Action, Detail};
use crate::console::auth::password::{Hasher, Password};
use crate::console::auth::people::{self, PeopleError};
use crate::console::auth::records::{Login, Membership, SecondFactor, second_factor_place};
use crate::console::auth::recovery::RecoveryCodes;
use crate::console::auth::roles::Role;
use crate::console::auth::totp::TotpSecret;
use crate::crypto::{KeyCheck, Place, Secret, Vault, rsa};
use crate::domain::event::EventType;
use crate::domain::ids::{AccountId, EndpointId, Mode, Scope, UserId};
use crate::domain::key::Permission;
use crate::domain::time::{Duration, Timestamp};
use crate::env::http::HttpTransport;
use crate::env::target::TargetPolicy;
use crate::env::{Clock, Env};
use crate::flows::deliveries::{SECRET_FIELD, endpoint_row};
use crate::flows::endpoints::{self, NewEndpoint};
use crate::flows::gateway::GatewayError;
use crate::flows::setup::NewMerchant;
use crate::flows::{FlowError, Moment};
use crate::sandbox::provider::{KeyMaker, Reach};
use crate::sandbox::simulators::{KEYS, Simulators};
use crate::sandbox::{shop, wallet};
use crate::store::tables::{ENDPOINTS, KEY_CHECK};
use crate::store::{Store, StoreError};
use crate::test_mode::accounts::Maker;

const LOGIN: &str = "demo";
const PERSON: &str = "林玫 Lin Mei";
/// Eighty random bits in four groups: enough, and it can be typed.
const PASSWORD_BYTES: usize = 10;
/// What the shop wants to hear of.
const EVENTS: [EventType; 4] =
    [EventType::PaymentPaid, EventType::PaymentLate, EventType::RefundSucceeded, EventType::RefundFailed];
/// How often it is looked whether all keys are made.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(100);
/// The shop was set up so long before its first customer.
const BEFORE_OPENING: Duration = Duration::from_hours(3);

/// Why the demo's data could not be written.
#[derive(Debug)]
pub enum PrepareError {
    Wallet(GatewayError),
    Person(PeopleError),
    Past(FlowError),
    /// The simulated providers, or the accounts at them.
    Simulators(StoreError),
    /// The certificates that outgoing calls trust cannot be used.
    Tls(rustls::Error),
}

impl std::fmt::Display for PrepareError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PrepareError::Wallet(error) => write!(f, "the test wallet could not be set up: {error}"),
            PrepareError::Person(error) => write!(f, "the console's user could not be made: {error:?}"),
            PrepareError::Past(error) => write!(f, "the shop's past could not be written: {error}"),
            PrepareError::Simulators(error) => write!(f, "the simulated providers could not be set up: {error}"),
            PrepareError::Tls(error) => write!(f, "outgoing calls cannot be made: {error}"),
        }
    }
}

impl std::error::Error for PrepareError {}

impl From<StoreError> for PrepareError {
    fn from(error: StoreError) -> Self {
        PrepareError::Past(error.into())
    }
}

impl From<PeopleError> for PrepareError {
    fn from(error: PeopleError) -> Self {
        PrepareError::Person(error)
    }
}

/// What the demo's data is made with.
pub struct Plan<'a> {
    pub env: &'a Env,
    pub vault: &'a Arc<Vault>,
    /// Where the server will be reached, without a slash at the end.
    pub base_url: &'a str,
    pub history_days: u32,
    /// Whether the shop has accounts at the simulated providers from the beginning.
    pub simulators: bool,
}

/// What takes a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    History,
    Keys,
}

impl Work {
    pub const fn label(self) -> &'static str {
        match self {
            Work::History => "days of history",
            Work::Keys => "simulators' keys",
        }
    }
}

/// Told how much of so much of a work is done.
type Progress<'a> = &'a mut dyn FnMut(Work, u64, u64);

/// The clock stood still when the shop was set up.
struct StandingClock(Timestamp);

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        self.0
    }

    fn monotonic_ms(&self) -> u64 {
        0
    }
}

/// Writes everything and answers what has to be known to use it. Blocks; not for threads of the async runtime.
pub fn fill(store: &Store, plan: &Plan<'_>, progress: Progress<'_>) -> Result<Credentials, PrepareError> {
    if !plan.simulators {
        return settle(store, plan, progress);
    }
    // Keys take as long as the past, so they are made meanwhile.
    let (made, hear) = mpsc::channel();
    let simulators = simulators(store, plan, made)?;
    let credentials = std::thread::scope(|scope| {
        let keys = scope.spawn(|| simulators.make_keys());
        let credentials = settle(store, plan, progress)?;
        let mut done = 0;
        while !keys.is_finished() {
            if hear.recv_timeout(LOOK_AGAIN).is_ok() {
                done += 1;
                progress(Work::Keys, done, KEYS);
            }
        }
        keys.join().unwrap_or(Err(StoreError::Panicked)).map_err(PrepareError::Simulators)?;
        Ok::<_, PrepareError>(credentials)
    })?;
    let maker = Maker { store, env: plan.env, vault: plan.vault, simulators: &simulators };
    maker.connect().map_err(PrepareError::Simulators)?;
    Ok(credentials)
}

/// The simulated providers on a store that nobody serves yet; each new key is told to `made`.
fn simulators(store: &Store, plan: &Plan<'_>, made: mpsc::Sender<()>) -> Result<Simulators, PrepareError> {
    let transport = HttpTransport::system(&[]).map_err(PrepareError::Tls)?;
    let public_url = plan.base_url.to_owned();
    let reach = Reach { public_url, own_url: None, at_root: false, policy: TargetPolicy::default() };
    let keys: KeyMaker = Arc::new(move || {
        let key = rsa::generate();
        // An error says that whoever listened has gone on.
        made.send(()).ok();
        key
    });
    Ok(Simulators::with_keys(store.clone(), plan.env.clone(), Arc::new(transport), reach, keys))
}

/// The shop and its past.
fn settle(store: &Store, plan: &Plan<'_>, progress: Progress<'_>) -> Result<Credentials, PrepareError> {
    let now = plan.env.now();
    let began = past::beginning(plan.history_days, now).minus(BEFORE_OPENING);
    let env = Env { clock: Arc::new(StandingClock(began)), entropy: plan.env.entropy.clone() };
    let (cast, credentials) = open_shop(store, plan, &env)?;
    if plan.history_days > 0 {
        let mut days = |done, total| progress(Work::History, done, total);
        past::live(store, &cast, plan.history_days, now, &mut days).map_err(PrepareError::Past)?;
    }
    Ok(credentials)
}

/// Everything but the past, in one commit.
fn open_shop(store: &Store, plan: &Plan<'_>, env: &Env) -> Result<(Cast, Credentials), PrepareError> {
    let entropy = env.entropy.as_ref();
    let vault = plan.vault;
    let enrolment = wallet::enrol(store, env, vault.clone(), SHOP_NAME).map_err(PrepareError::Wallet)?;
    let mut account = None;
    let merchant = NewMerchant::prepare(env, vault, SHOP_NAME, story::ZONE, |id: AccountId| {
        account = Some(id);
        enrolment.credentials().to_secret()
    });
    let account = account.expect("a new merchant has a test wallet");
    let scope = merchant.scope(Mode::Test);

    let password = password(env);
    let authenticator = TotpSecret::generate(entropy);
    let person = UserId::new(env.now(), env.random());
    let user = {
        let login = Login::parse(LOGIN).expect("a constant");
        let hash = hash(env, &password);
        let membership = Membership { merchant: merchant.id(), role: Role::Owner };
        let mut user = people::new_user(person, login, PERSON.to_owned(), hash, membership, env.now());
        let id = person.to_bytes();
        let secret = vault.seal(&second_factor_place(&id), authenticator.as_bytes(), entropy);
        // Nobody needs them here, and without any the console would ask for new ones.
        user.recovery = RecoveryCodes::generate(entropy).0;
        user.second_factor = Some(SecondFactor { secret, enrolled_at: env.now(), last_step: 0 });
        user
    };

    let bearer = issue(env, vault, scope, "Shop", NewKeyKind::Bearer);
    let signing = issue(env, vault, scope, "Shop, signed requests", NewKeyKind::Hmac);
    let endpoint = {
        let id = EndpointId::new(env.now(), env.random());
        let row = endpoint_row(scope, id);
        let place = Place { table: ENDPOINTS.name(), row: &row, field: SECRET_FIELD };
        NewEndpoint {
            id,
            url: format!("{}{CALLBACK_PATH}", plan.base_url),
            description: "Demo shop".to_owned(),
            events: EVENTS.into_iter().collect(),
            // The merchant's default secret, so that one secret verifies whatever the demo sends.
            secret: vault.seal(&place, merchant.test_secret.bytes().expose(), entropy),
        }
    };

    let cast = Cast {
        scope,
        account,
        mch_id: enrolment.credentials().mch_id.clone(),
        app_id: enrolment.credentials().app_id.clone(),
        endpoint: endpoint.id,
        base_url: plan.base_url.to_owned(),
        shop_url: format!("{}{}", plan.base_url, shop::PATH),
        callback_url: endpoint.url.clone(),
        person,
        key: bearer.key.id,
    };
    let credentials = Credentials {
        base_url: String::new(),
        console_url: String::new(),
        shop_url: String::new(),
        docs_url: String::new(),
        console_user: LOGIN.to_owned(),
        console_password: password.as_str().to_owned(),
        totp_secret: authenticator.to_base32().to_string(),
        api_key: shown(&bearer),
        signing_key_id: signing.key.id.to_string(),
        signing_secret: shown(&signing),
        callback_secret: text(&merchant.test_secret.to_text()),
    };

    let check = KeyCheck::new(vault, entropy);
    let moment = Moment::new(env);
    let stamp = Stamp::system(env.now());
    let keys = [bearer.key, signing.key];
    store.write_blocking(move |tx| {
        let chain = merchant.id();
        tx.put(&KEY_CHECK, &0, &check)?;
        merchant.store(tx)?;
        enrolment.store(tx)?;
        stamp.record(tx, chain, Action::MerchantCreated, chain, Detail::new())?;
        people::create(tx, &user)?;
        let detail = Detail::new().masked("login", LOGIN).with("role", Role::Owner);
        stamp.record(tx, chain, Action::UserCreated, person, detail)?;
        for key in &keys {
            keys::store_key(tx, key)?;
            let detail = Detail::new().with("name", &key.name).with("mode", scope.mode.as_str());
            stamp.record(tx, chain, Action::KeyCreated, key.id, detail)?;
        }
        endpoints::create(tx, scope, &endpoint, &moment).map_err(PrepareError::Past)?;
        stamp.record(tx, chain, Action::EndpointCreated, endpoint.id, Detail::new().with("url", &endpoint.url))?;
        Ok::<_, PrepareError>(())
    })?;
    Ok((cast, credentials.at(plan.base_url)))
}

/// Leads callbacks and links of the demo's own shop to where the server listens now.
pub fn move_shop(store: &Store, base_url: &str) -> Result<(), FlowError> {
    use crate::store::{Read, Span};
    let mut moved = Vec::new();
    store.read_blocking(|tx| {
        tx.walk(&ENDPOINTS, &Span::all(), |(scope, id), endpoint| {
            let path = url::Url::parse(&endpoint.url).map(|url| url.path().to_owned());
            let wanted = format!("{base_url}{CALLBACK_PATH}");
            if path.is_ok_and(|path| path == CALLBACK_PATH) && endpoint.url != wanted {
                moved.push((scope, id, endpoints::Change { url: Some(wanted), ..Default::default() }));
            }
            Ok::<_, FlowError>(std::ops::ControlFlow::Continue(()))
        })
    })?;
    for (scope, id, change) in moved {
        store.write_blocking(move |tx| endpoints::update(tx, scope, id, &change).map(drop))?;
    }
    Ok(())
}

fn issue(env: &Env, vault: &Vault, scope: Scope, name: &str, kind: NewKeyKind) -> IssuedKey {
    let new = NewKey {
        scope,
        name: name.to_owned(),
        permissions: Permission::ALL.into_iter().collect(),
        allowed_ips: Vec::new(),
        expires_at: None,
        kind,
    };
    keys::issue(new, env, vault).expect("only public keys can be bad")
}

fn shown(issued: &IssuedKey) -> String {
    text(issued.secret.as_ref().expect("tokens and shared secrets are shown once"))
}

fn text(secret: &Secret) -> String {
    secret.expose_str().expect("secrets are shown as text").to_owned()
}

fn password(env: &Env) -> Password {
    let characters = BASE32_NOPAD.encode(&env.random::<PASSWORD_BYTES>()).to_ascii_lowercase();
    let groups: Vec<&str> = (0..characters.len()).step_by(4).map(|at| &characters[at..at + 4]).collect();
    Password::new(groups.join("-"))
}

fn hash(env: &Env, password: &Password) -> crate::console::auth::password::PasswordHash {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without I/O needs nothing");
    let hashed = runtime.block_on(Hasher::new(env.entropy.clone()).hash(password.clone()));
    hashed.unwrap_or_else(|_| unreachable!("nobody else hashes here"))
}
