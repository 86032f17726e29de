//! The ground that simulated providers stand on: orders and refunds of a merchant at a provider, the payer's phone, faults,
//! notifications up a ladder, keys of both sides, and a clock that can be moved. It knows no provider's words.
//!
//! # The seam
//! A provider implements [`Dialect`]: its name, its ladder, what it tells and how a letter is sealed. Its counter reads a
//! call, checks it as strictly as the provider does, and asks a [`Desk`] inside [`World::at`], one transaction:
//! `desk.answering(…)` first (the faults), then `create`, `close`, `revoke`, `refund`, `help`, `pay_by_code`, or the
//! questions `order`, `refund_by_number`, `moves`. A [`Refusal`] is put into the provider's own words and codes. What changes
//! tells itself: the desk asks [`Dialect::tell`] and posts the letter in the same commit.
//!
//! # Two clocks
//! Orders, refunds, ladders and bills live in simulated time ([`Desk::now`]), which the time machine moves ahead.
//! Signatures and their windows are made and judged by the real clock ([`World::wire_now`]), so that a day that is
//! skipped does not part the two sides.

pub mod broken;
pub mod certificate;
pub mod desk;
pub mod fault;
pub mod handout;
pub mod messenger;
pub mod model;
pub mod pages;
pub mod play;
pub mod records;

#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{Notify, watch};

pub use desk::{Desk, ORDERS_MAX};

use self::fault::{Fault, Faults};
use self::messenger::{LetterKey, Office};
use self::model::{Deed, Event, Notice, Order, Refund, Refusal, one_off};
use self::play::{SimulateError, Simulation};
use self::records::{Board, KeyRecord, Letter, Member, Mood};
use crate::crypto::Secret;
use crate::domain::method::Brand;
use crate::domain::money::Money;
use crate::domain::time::{Duration, Timestamp};
use crate::env::Env;
use crate::env::target::{TargetPolicy, URL_MAX};
use crate::env::transport::{Limits, OutgoingRequest, OutgoingResponse, Transport};
use crate::lang::Text;
use crate::store::tables::{SIM_BOARD, SIM_KEYS, SIM_LETTERS, SIM_MEMBERS, SIM_WAKES};
use crate::store::{Read, Span, Store, StoreError, Table, WriteTx};

/// What tells one simulated provider from another.
pub trait Dialect: Send + Sync + 'static {
    /// What does not depend on anything.
    fn facts(&self) -> &'static Facts;

    /// What the merchant is told; `None`: nothing. Pure, because it runs inside a transaction.
    fn tell(&self, news: &News<'_>) -> Option<Telling>;

    /// Seals and signs one try of a letter; `None` when the merchant or a key is gone, and nothing can be sent.
    fn try_seal(&self, letter: &Letter) -> Result<Option<OutgoingRequest>, StoreError>;

    /// The same; a store that fails is as good as a key that is gone.
    fn seal(&self, letter: &Letter) -> Option<OutgoingRequest> {
        self.try_seal(letter).unwrap_or_else(|error| {
            tracing::warn!("a simulated notification cannot be sealed: {error}");
            None
        })
    }

    /// Whether an answer counts as heard.
    fn heard(&self, answer: &OutgoingResponse) -> bool;

    /// What is in a code that a phone scans or a person pastes; `None`: not one of this provider's.
    fn scan(&self, text: &str) -> Option<[u8; 16]>;

    /// Makes the order that a shop's app hands to the wallet's app as signed text, and answers its code. `None`: no such
    /// text, or the provider refuses it. Most apps hand over a number that [`Dialect::scan`] reads.
    fn take<'a>(&'a self, _text: &'a str) -> Taking<'a> {
        Box::pin(std::future::ready(None))
    }

    /// A code for the payer to show, made of the given randomness.
    fn payer_code(&self, random: u64) -> String;

    /// The merchant's side: files by name, and all of it as one JSON object.
    fn credentials(&self) -> Result<Credentials, StoreError>;

    fn name(&self) -> &'static str {
        self.facts().name
    }

    fn title(&self) -> Text {
        self.facts().title
    }

    fn brand(&self) -> Brand {
        self.facts().brand
    }
}

/// What a provider always is.
pub struct Facts {
    /// First part of all keys in the tables; never renamed.
    pub name: &'static str,
    /// What people call it.
    pub title: Text,
    /// Its colours on the phone.
    pub brand: Brand,
    /// Gaps before each further try of a notification.
    pub ladder: &'static [Duration],
    /// How long it waits for the merchant to hear a notification.
    pub patience: Duration,
    /// The faults that make sense here.
    pub faults: &'static [Fault],
}

/// See [`Dialect::take`].
pub type Taking<'a> = Pin<Box<dyn Future<Output = Option<[u8; 16]>> + Send + 'a>>;

/// Something happened to an order, or to a refund of it.
pub struct News<'a> {
    pub order: &'a Order,
    pub refund: Option<&'a Refund>,
    pub notice: Notice,
    /// Stays the same however often the same is told.
    pub id: [u8; 16],
}

impl News<'_> {
    pub fn event(&self) -> Event {
        self.notice.what
    }

    /// What was received or is refunded; a false amount where the notice misstates it.
    pub fn amount(&self) -> Money {
        let true_amount = match (self.refund, &self.order.received) {
            (Some(refund), _) => refund.asked.amount,
            (None, Some(received)) => received.amount,
            (None, None) => self.order.asked.amount,
        };
        if self.notice.misstated { one_off(true_amount) } else { true_amount }
    }
}

/// What is told, and where.
pub struct Telling {
    pub url: String,
    /// In the provider's own form, not sealed yet.
    pub text: String,
}

/// What a developer puts into the merchant's configuration. The JSON has `base_url` and `merchants`; what each merchant's
/// `about` says in `zh` and `en` is its heading on the page.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    pub json: serde_json::Map<String, serde_json::Value>,
    pub files: Vec<CredentialFile>,
    pub recipes: Vec<Recipe>,
}

/// How a public SDK is pointed at the simulator.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub sdk: &'static str,
    pub code: String,
}

#[derive(Clone, Debug)]
pub struct CredentialFile {
    pub name: String,
    pub what: Text,
    pub content: Vec<u8>,
}

/// Where a new private key (PKCS#8 DER) comes from: [`crate::crypto::rsa::generate`], or a test's box of fixed keys.
pub type KeyMaker = Arc<dyn Fn() -> Secret + Send + Sync>;

/// What all simulated providers of a process share. Clones share it.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    store: Store,
    env: Env,
    transport: Arc<dyn Transport>,
    reach: Reach,
    make_key: KeyMaker,
    dialects: std::sync::RwLock<Vec<Arc<dyn Dialect>>>,
    bell: Notify,
}

/// Which addresses are notified, and under which address payers and merchants reach the simulators.
#[derive(Clone)]
pub struct Reach {
    /// Without a slash at the end.
    pub public_url: String,
    /// Inside a gateway: this server is notified and nobody else, by the address at which it reaches itself.
    pub own_url: Option<String>,
    /// The providers' calls are served at the root too, as on their own hosts.
    pub at_root: bool,
    pub policy: TargetPolicy,
}

impl World {
    pub fn new(store: Store, env: Env, transport: Arc<dyn Transport>, reach: Reach, make_key: KeyMaker) -> Self {
        let dialects = std::sync::RwLock::default();
        Self(Arc::new(Inner { store, env, transport, reach, make_key, dialects, bell: Notify::new() }))
    }

    /// Ends the world: lets go of the providers, which hold it, and closes the store.
    pub fn close(&self) {
        self.0.dialects.write().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
        self.0.store.clone().close();
    }

    /// Makes a provider known to the messenger and the pages.
    pub fn add(&self, dialect: Arc<dyn Dialect>) {
        self.0.dialects.write().unwrap_or_else(std::sync::PoisonError::into_inner).push(dialect);
    }

    pub fn dialects(&self) -> Vec<Arc<dyn Dialect>> {
        self.0.dialects.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    pub fn dialect(&self, name: &str) -> Option<Arc<dyn Dialect>> {
        self.dialects().into_iter().find(|dialect| dialect.name() == name)
    }

    pub fn env(&self) -> &Env {
        &self.0.env
    }

    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// As phones and merchants reach this server, without a slash at the end.
    pub fn public_url(&self) -> &str {
        &self.0.reach.public_url
    }

    /// What a merchant's SDK takes for the provider's host. `prefix` is where the provider is served among others.
    pub fn host(&self, prefix: &str) -> String {
        let prefix = if self.0.reach.at_root { "" } else { prefix };
        format!("{}{prefix}", self.public_url())
    }

    /// The real time, for signatures and their windows; what a provider signs itself carries `skewed` time.
    pub fn wire_now(&self) -> Timestamp {
        self.0.env.now()
    }

    /// One transaction at a provider's desk. `work` may run again, so it has no side effects.
    pub async fn at<T, F>(&self, dialect: &Arc<dyn Dialect>, work: F) -> Result<T, StoreError>
    where
        F: Fn(&mut Desk<'_, '_>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let (dialect, real_now) = (dialect.clone(), self.0.env.now());
        let done = self.0.store.write(move |tx| work(&mut Desk::open(tx, dialect.as_ref(), real_now)?)).await?;
        self.0.bell.notify_one();
        Ok(done)
    }

    /// The simulated time.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        let real_now = self.0.env.now();
        self.0.store.read(move |tx| desk::simulated_now(tx, real_now)).await
    }

    /// Moves the simulated time ahead; it never goes back. What becomes due by it happens at once.
    pub async fn skip(&self, ahead: Duration) -> Result<(), StoreError> {
        self.0.store.write(move |tx| desk::skip(tx, ahead)).await?;
        self.0.bell.notify_one();
        Ok(())
    }

    pub async fn board(&self, provider: &'static str) -> Result<Board, StoreError> {
        self.0.store.read(move |tx| desk::board(tx, provider)).await
    }

    /// How the provider misbehaves from now on, in answers, bills and signatures, and about new orders.
    pub async fn set_faults(&self, provider: &'static str, faults: Faults) -> Result<(), StoreError> {
        self.0.store.write(move |tx| tx.put(&SIM_BOARD, &provider.to_owned(), &Board { faults })).await
    }

    /// The provider's order that a text leads to: a code's content, a payment page's address, or what a shop's app hands to
    /// the wallet's.
    pub async fn find(&self, text: &str) -> Result<Option<(Arc<dyn Dialect>, [u8; 16])>, StoreError> {
        for dialect in self.dialects() {
            let Some(code) = dialect.scan(text) else { continue };
            if self.at(&dialect, move |desk| desk.order_by_code(code)).await?.is_some() {
                return Ok(Some((dialect, code)));
            }
        }
        for dialect in self.dialects() {
            if let Some(code) = dialect.take(text).await {
                return Ok(Some((dialect, code)));
            }
        }
        Ok(None)
    }

    /// What the payer does on the phone page; `None` when there is no such page.
    pub async fn act(
        &self,
        dialect: &Arc<dyn Dialect>,
        code: [u8; 16],
        deed: Deed,
    ) -> Result<Option<Result<Order, Refusal>>, StoreError> {
        self.at(dialect, move |desk| desk.act(code, deed)).await
    }

    /// Ends the order whose number at the provider begins with `number`, as the test API asks.
    pub async fn play(
        &self,
        dialect: &Arc<dyn Dialect>,
        number: String,
        simulation: Simulation,
    ) -> Result<(), SimulateError> {
        let played = self.at(dialect, move |desk| match desk.order_beginning(&number)? {
            Some(order) => desk.play(&order, simulation).map(Some),
            None => Ok(None),
        });
        match played.await? {
            Some(Ok(_)) => Ok(()),
            Some(Err(_)) => Err(SimulateError::Ended),
            None => Err(SimulateError::Unknown),
        }
    }

    /// Where the payer's phone goes with what a code, a link or an app's parameters hold; `None` when it is not one of
    /// the provider's.
    pub fn phone_url(&self, provider: &str, text: &str) -> Option<String> {
        let dialect = self.dialect(provider)?;
        let code = dialect.scan(text)?;
        Some(format!("{}{}", self.public_url(), pages::phone::place(dialect.as_ref(), code)))
    }

    /// The newest orders that a payer could pay now, at most `limit`.
    pub async fn waiting(&self, limit: usize) -> Result<Vec<(Arc<dyn Dialect>, Order)>, StoreError> {
        let (dialects, real_now) = (self.dialects(), self.0.env.now());
        let found = self.0.store.read(move |tx| desk::waiting(tx, real_now, limit)).await?;
        let known = |(provider, order): (String, Order)| {
            dialects.iter().find(|dialect| dialect.name() == provider).map(|dialect| (dialect.clone(), order))
        };
        Ok(found.into_iter().filter_map(known).collect())
    }

    /// A code for the payer to show (付款码), good once and for a minute.
    pub async fn show_code(&self, dialect: &Arc<dyn Dialect>, mood: Mood) -> Result<String, StoreError> {
        let digits = dialect.payer_code(u64::from_be_bytes(self.0.env.random()));
        let shown = digits.clone();
        self.at(dialect, move |desk| desk.show_code(&digits, mood)).await?;
        Ok(shown)
    }

    /// The address to notify instead of the one that was named; `None` when it may not be notified.
    pub fn notify_address(&self, url: &str) -> Option<String> {
        let reach = &self.0.reach;
        if url.len() > URL_MAX {
            return None;
        }
        match &reach.own_url {
            None => reach.policy.check_url(url).is_ok().then(|| url.to_owned()),
            Some(own) => [&reach.public_url, own]
                .into_iter()
                .find_map(|base| url.strip_prefix(base.as_str()).filter(|path| path.starts_with('/')))
                .map(|path| format!("{own}{path}")),
        }
    }

    /// The key under a name, made together with its certificate the first time. Blocks, up to seconds.
    pub fn key(
        &self,
        provider: &'static str,
        name: &str,
        certify: impl Fn(&Secret, Timestamp) -> Vec<u8>,
    ) -> Result<KeyRecord, StoreError> {
        let place = (provider.to_owned(), name.to_owned());
        let known = place.clone();
        if let Some(record) = self.0.store.read_blocking(move |tx| tx.get(&SIM_KEYS, &known))? {
            return Ok(record);
        }
        let (private, now) = ((self.0.make_key)(), self.0.env.now());
        let record =
            KeyRecord { certificate: certify(&private, now), private: private.expose().to_vec(), created_at: now };
        self.0.store.write_blocking(move |tx| match tx.get(&SIM_KEYS, &place)? {
            Some(known) => Ok(known),
            None => tx.put(&SIM_KEYS, &place, &record).map(|()| record.clone()),
        })
    }

    /// The merchant with this number at a provider. Blocks for one point read.
    pub fn member(&self, provider: &'static str, number: &str) -> Result<Option<Member>, StoreError> {
        let place = (provider.to_owned(), number.to_owned());
        self.0.store.read_blocking(move |tx| tx.get(&SIM_MEMBERS, &place))
    }

    /// The merchant who was there first, made the first time. Blocks.
    pub fn first_member(
        &self,
        provider: &'static str,
        make: impl Fn() -> (String, Member),
    ) -> Result<(String, Member), StoreError> {
        let span = Span::prefix(&provider.to_owned());
        let first = |tx: &crate::store::ReadTx| {
            tx.scan(&SIM_MEMBERS, &span, crate::store::Order::Ascending, 1).map(|mut rows| rows.pop())
        };
        if let Some(((_, number), member)) = self.0.store.read_blocking(first)? {
            return Ok((number, member));
        }
        let (number, member) = make();
        self.enrol(provider, &number, &member)?;
        Ok((number, member))
    }

    /// Lets payers see another name of a merchant. Blocks.
    pub fn rename(&self, provider: &'static str, number: &str, name: &str) -> Result<(), StoreError> {
        match self.member(provider, number)? {
            Some(member) if member.name != name => {
                self.enrol(provider, number, &Member { name: name.to_owned(), ..member })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Stores a merchant. Blocks.
    pub fn enrol(&self, provider: &'static str, number: &str, member: &Member) -> Result<(), StoreError> {
        let (place, member) = ((provider.to_owned(), number.to_owned()), member.clone());
        self.0.store.write_blocking(move |tx| tx.put(&SIM_MEMBERS, &place, &member))
    }

    /// Lets happen what was planned and sends what is to be told, until `stop` turns true or its sender is gone.
    pub async fn run(&self, stop: watch::Receiver<bool>) {
        messenger::run(self, stop).await;
    }

    /// Does everything that is due now; answers how long there is nothing to do.
    pub async fn work(&self) -> Result<Duration, StoreError> {
        messenger::work(self).await
    }
}

/// Bytes of a merchant's answer to a notification that are read.
const REPLY_MAX_BYTES: usize = 4 * 1024;
/// For the connection to the merchant.
const CONNECT_MAX: Duration = Duration::from_seconds(3);
/// The try after a probe comes so soon.
const AFTER_PROBE: Duration = Duration::from_seconds(1);

impl Office for World {
    type Letter = Letter;

    fn store(&self) -> &Store {
        &self.0.store
    }

    fn env(&self) -> &Env {
        &self.0.env
    }

    fn bell(&self) -> &Notify {
        &self.0.bell
    }

    fn letters(&self) -> &'static Table<LetterKey, Letter> {
        &SIM_LETTERS
    }

    fn now(&self, tx: &impl Read) -> Result<Timestamp, StoreError> {
        desk::simulated_now(tx, self.0.env.now())
    }

    fn next_wake(&self, tx: &impl Read) -> Result<Option<Timestamp>, StoreError> {
        let mut first = tx.scan(&SIM_WAKES, &Span::all(), crate::store::Order::Ascending, 1)?;
        Ok(first.pop().map(|((at, _, _), ())| at))
    }

    fn wake(&self, tx: &mut WriteTx<'_>, now: Timestamp, limit: usize) -> Result<(), StoreError> {
        desk::wake(tx, &self.dialects(), now, limit)
    }

    async fn send(&self, letter: &Letter) -> bool {
        let Some(dialect) = self.dialect(&letter.provider) else { return false };
        let sealing = (dialect.clone(), letter.clone());
        let sealed = tokio::task::spawn_blocking(move || sealing.0.seal(&sealing.1)).await;
        let Ok(Some(request)) = sealed else { return false };
        let limits = Limits { connect: CONNECT_MAX, total: dialect.facts().patience, reply_max: REPLY_MAX_BYTES };
        match self.0.transport.send(request, &self.0.reach.policy, limits).await {
            Ok(answer) => dialect.heard(&answer),
            Err(error) => {
                tracing::debug!(provider = dialect.name(), "a simulated notification did not arrive: {error}");
                false
            }
        }
    }

    fn again(&self, letter: &Letter) -> Option<(Letter, Duration)> {
        let dialect = self.dialect(&letter.provider)?;
        if letter.probed {
            return Some((Letter { probed: false, ..letter.clone() }, AFTER_PROBE));
        }
        let gap = usize::try_from(letter.tries).ok().and_then(|tries| dialect.facts().ladder.get(tries))?;
        Some((Letter { tries: letter.tries + 1, ..letter.clone() }, *gap))
    }
}
