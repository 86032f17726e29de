//! The channel accounts in use, opened: credentials decrypted once, adapters ready. One line per provider.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::form::{self, EXPIRY_WARNING};
use super::hurry::{Allowance, NamedBy};
use super::{Channel, ChannelError, MethodTerms, alipay, test_wallet, unionpay, wechatpay};
use crate::crypto::{Place, Secret, Vault};
use crate::domain::ids::{AccountId, Mode, Scope};
use crate::domain::merchant::{ChannelAccount, ChannelKind};
use crate::domain::method::Method;
use crate::domain::money::Money;
use crate::domain::payment::{Route, RouteReason};
use crate::domain::time::{Duration, Timestamp};
use crate::lang::Text;
use crate::store::tables::ACCOUNTS;
use crate::store::{Key, Read, Span, Store, StoreError};

/// The registry's only list: which adapter speaks for which kind.
///
/// `credentials` are opened; `own_url` is where this server itself can be reached, `public_url` where customers reach it,
/// both for accounts of simulated providers.
pub fn open(
    account: &ChannelAccount,
    credentials: &Secret,
    own_url: &str,
    public_url: &str,
) -> Result<Arc<dyn Channel>, ChannelError> {
    let (kind, mode, base_url) = (account.kind, account.scope.mode, account.base_url.as_deref());
    let credentials = credentials.expose();
    match (kind, mode) {
        (ChannelKind::TestWallet, Mode::Test) => test_wallet::open(credentials, base_url.unwrap_or(own_url)),
        (ChannelKind::Unionpay, Mode::Test) => {
            // Customers' browsers go there as well, and not every one of them runs on this machine.
            let [simulator, front] = [own_url, public_url].map(|url| format!("{url}{}", unionpay::SIMULATOR_PATH));
            unionpay::open(credentials, base_url.unwrap_or(&simulator), base_url.unwrap_or(&front), mode)
        }
        (ChannelKind::Unionpay, Mode::Live) => {
            let base_url = base_url.unwrap_or(unionpay::PRODUCTION);
            unionpay::open(credentials, base_url, base_url, mode)
        }
        // Play money never pays a live order, whatever is stored.
        (ChannelKind::TestWallet, Mode::Live) => Err(ChannelError::Unsupported),
        (ChannelKind::WechatPay, Mode::Test) => {
            let [simulator, front] = [own_url, public_url].map(|url| format!("{url}{}", wechatpay::SIMULATOR_PATH));
            let [own, public] = [&simulator, &front].map(|url| base_url.unwrap_or(url));
            wechatpay::open(credentials, wechatpay::Hosts::simulated(own, public))
        }
        (ChannelKind::WechatPay, Mode::Live) => {
            wechatpay::open(credentials, base_url.map_or_else(wechatpay::Hosts::real, wechatpay::Hosts::at))
        }
        (ChannelKind::Alipay, Mode::Test) if base_url.is_none() => {
            alipay::open_simulated(credentials, own_url, public_url)
        }
        (ChannelKind::Alipay, mode) => alipay::open(credentials, mode, base_url, own_url),
    }
}

/// An account with its adapter.
pub struct OpenAccount {
    pub account: ChannelAccount,
    pub channel: Arc<dyn Channel>,
    /// Which of its certificates ends first, and when.
    pub end: Option<(Text, Timestamp)>,
}

impl OpenAccount {
    /// The certificate that ends soon or has ended.
    pub fn ending(&self, now: Timestamp) -> Option<(Text, Timestamp)> {
        self.end.filter(|(_, at)| *at <= now.plus(EXPIRY_WARNING))
    }
}

/// Where an account's credentials are sealed to: a ciphertext moved to another row does not open.
pub fn credentials_row(scope: Scope, id: AccountId) -> Vec<u8> {
    let mut row = Vec::with_capacity(33);
    (scope, id).encode(&mut row);
    row
}

pub const CREDENTIALS_FIELD: &str = "credentials";

#[derive(Default)]
pub struct Registry {
    accounts: RwLock<BTreeMap<AccountId, Arc<OpenAccount>>>,
    /// In memory: after a restart all are believed in again.
    health: Mutex<BTreeMap<AccountId, Health>>,
    /// In memory too.
    hurries: Mutex<BTreeMap<(AccountId, NamedBy), Allowance>>,
}

/// How an account has been answering.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Calls in a row that brought no usable answer.
    pub failures: u32,
    pub last_answer: Option<Timestamp>,
    /// No new payments before, unless nobody else takes them.
    pub rest_until: Option<Timestamp>,
}

impl Health {
    /// So many failures in a row are no accident.
    pub const FAILURES_MAX: u32 = 5;
    /// The first rest; each failure after a rest doubles it.
    pub const REST: Duration = Duration::from_seconds(30);
    pub const REST_MAX: Duration = Duration::from_minutes(15);

    pub fn rests(self, now: Timestamp) -> bool {
        self.rest_until.is_some_and(|until| now < until)
    }

    fn note(&mut self, answered: bool, now: Timestamp) {
        if answered {
            *self = Health { last_answer: Some(now), ..Health::default() };
            return;
        }
        if self.rests(now) {
            // What was under way when the rest began, and questions about old payments: they do not lengthen it.
            return;
        }
        self.failures = self.failures.saturating_add(1);
        self.rest_after_failures(now);
    }

    /// The provider refuses the account, and not by accident: it rests at once.
    fn bar(&mut self, now: Timestamp) {
        if !self.rests(now) {
            self.failures = self.failures.saturating_add(1).max(Self::FAILURES_MAX);
            self.rest_after_failures(now);
        }
    }

    fn rest_after_failures(&mut self, now: Timestamp) {
        if let Some(doublings) = self.failures.checked_sub(Self::FAILURES_MAX) {
            let rest = Self::REST.as_millis().saturating_mul(1 << doublings.min(10));
            self.rest_until = Some(now.plus(Duration::from_millis(rest).min(Self::REST_MAX)));
        }
    }
}

impl Registry {
    /// Reads and opens all accounts; called at start and after accounts changed. `own_url` is where this server itself
    /// can be reached, `public_url` where customers reach it, both for accounts of simulated providers. One that cannot be opened is left out and named.
    pub fn load(
        &self,
        store: &Store,
        vault: &Vault,
        own_url: &str,
        public_url: &str,
    ) -> Result<Vec<(AccountId, ChannelError)>, StoreError> {
        let mut accounts = BTreeMap::new();
        let mut failed = Vec::new();
        store.read_blocking(|tx| {
            tx.walk(&ACCOUNTS, &Span::all(), |(scope, id), account| {
                let row = credentials_row(scope, id);
                let place = Place { table: ACCOUNTS.name(), row: &row, field: CREDENTIALS_FIELD };
                let opened = vault
                    .open(&place, &account.credentials)
                    .map_err(|why| ChannelError::Credentials { detail: why.to_string() })
                    .and_then(|secret| {
                        open(&account, &secret, own_url, public_url)
                            .map(|channel| (channel, form::end(&form::facts(account.kind, &secret))))
                    });
                match opened {
                    Ok((channel, end)) => {
                        accounts.insert(id, Arc::new(OpenAccount { account, channel, end }));
                    }
                    Err(why) => failed.push((id, why)),
                }
                Ok::<_, StoreError>(std::ops::ControlFlow::Continue(()))
            })
        })?;
        *self.accounts.write().unwrap_or_else(PoisonError::into_inner) = accounts;
        Ok(failed)
    }

    pub fn get(&self, id: AccountId) -> Option<Arc<OpenAccount>> {
        self.accounts.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// How long after a payment the account's channel gives money back, while the account can be used.
    pub fn refund_window(&self, id: AccountId) -> Option<Duration> {
        self.get(id).map(|open| open.channel.terms().refund_window)
    }

    /// Banks whose cards a refund of the account can go to that cannot go back.
    pub fn redirect_banks(&self, id: AccountId) -> &'static [super::Bank] {
        self.get(id).map_or(&[], |open| open.channel.terms().redirect_banks)
    }

    pub fn all(&self) -> Vec<Arc<OpenAccount>> {
        self.accounts.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// All accounts of a merchant and mode.
    pub fn of(&self, scope: Scope) -> Vec<Arc<OpenAccount>> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        accounts.values().filter(|open| open.account.scope == scope).cloned().collect()
    }

    /// Draws one of the active accounts that take this amount by this method, by their weights. Those that kept failing
    /// rest meanwhile, unless there is no other. `lot` is random.
    pub fn choose(&self, scope: Scope, method: Method, amount: Money, now: Timestamp, lot: u32) -> Option<Route> {
        self.choose_where(scope, method, amount, now, lot, |_| true)
    }

    /// The same among those accounts that `can` do what else is needed.
    pub fn choose_where(
        &self,
        scope: Scope,
        method: Method,
        amount: Money,
        now: Timestamp,
        lot: u32,
        can: impl Fn(&OpenAccount) -> bool,
    ) -> Option<Route> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        let fits = |open: &&Arc<OpenAccount>| {
            let account = &open.account;
            account.scope == scope
                && account.active
                && account.share.takes(amount.minor())
                && terms_for(open, method, Some(amount)).is_some()
                && can(open)
        };
        let fitting: Vec<&ChannelAccount> = accounts.values().filter(fits).map(|open| &open.account).collect();
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let rests = |account: &ChannelAccount| health.get(&account.id).is_some_and(|health| health.rests(now));
        let awake: Vec<&ChannelAccount> = fitting.iter().copied().filter(|account| !rests(account)).collect();
        let count = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
        let resting = fitting.len() - awake.len();
        let why = match (fitting.len(), awake.len()) {
            (0, _) => return None,
            (1, _) => RouteReason::Only,
            (_, 0) => RouteReason::AllRest,
            (_, 1) if resting > 0 => RouteReason::OthersRest { resting: count(resting) },
            // Reserves wait, unless there are only reserves.
            (_, of) => match awake.iter().filter(|account| account.share.weight > 0).count() {
                0 => RouteReason::Share { of: count(of) },
                sharing => RouteReason::Share { of: count(sharing) },
            },
        };
        let pool = if awake.is_empty() { &fitting } else { &awake };
        let weights: u64 = pool.iter().map(|account| u64::from(account.share.weight)).sum();
        // A lot below the sum of the weights lies in the stretch of one of them; with reserves only, all are alike.
        let mut lot = u64::from(lot) % weights.max(1);
        let drawn = pool.iter().find(|account| {
            let weight = u64::from(account.share.weight);
            let hit = lot < weight;
            lot = lot.saturating_sub(weight);
            hit
        });
        let account = drawn.or(pool.first())?.id;
        Some(Route { account, why })
    }

    /// Forgets how an account answered: its keys are other ones now.
    pub fn forget(&self, id: AccountId) {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Notes whether an account answered, for [`Self::choose`].
    pub fn report(&self, id: AccountId, answered: bool, now: Timestamp) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.entry(id).or_default().note(answered, now);
    }

    /// Notes that the provider refuses an account: its keys or its number.
    pub fn bar(&self, id: AccountId, now: Timestamp) {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default().bar(now);
    }

    /// When to fetch an account's keys before their time, because one was named that is not known; `None` when that
    /// happened too often lately.
    pub fn hurry(&self, id: AccountId, by: NamedBy, now: Timestamp) -> Option<Timestamp> {
        self.hurries.lock().unwrap_or_else(PoisonError::into_inner).entry((id, by)).or_default().grant(now)
    }

    pub fn health(&self, id: AccountId) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied().unwrap_or_default()
    }

    /// Methods that can be paid with now, each once; with an amount only those that take it.
    pub fn offers(&self, scope: Scope, amount: Option<Money>) -> Vec<MethodTerms> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        let mut offers: Vec<MethodTerms> = Vec::new();
        for open in accounts.values().filter(|open| open.account.scope == scope && open.account.active) {
            for terms in &open.channel.terms().methods {
                let known = offers.iter().any(|offer| offer.method == terms.method);
                if !known && terms_for(open, terms.method, amount).is_some() {
                    offers.push(*terms);
                }
            }
        }
        offers.sort_by_key(|offer| offer.method);
        offers
    }
}

fn terms_for(open: &OpenAccount, method: Method, amount: Option<Money>) -> Option<MethodTerms> {
    let terms = open.channel.terms();
    let fits = |m: &&MethodTerms| {
        m.method == method
            && amount.is_none_or(|amount| {
                terms.currencies.contains(&amount.currency()) && (m.min_minor..=m.max_minor).contains(&amount.minor())
            })
    };
    terms.methods.iter().find(fits).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::test_wallet::{Credentials, TestWallet};
    use crate::crypto::{MasterKey, Vault};
    use crate::domain::ids::MerchantId;
    use crate::domain::merchant::Share;
    use crate::domain::money::Currency;
    use crate::env::SystemEntropy;

    const SCOPE: Scope = Scope { merchant: MerchantId::from_bytes([1; 16]), mode: Mode::Test };
    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn id(n: u8) -> AccountId {
        AccountId::from_bytes([n; 16])
    }

    /// Accounts of the test wallet with these shares, numbered from 1.
    fn registry(shares: &[Share]) -> Registry {
        let vault = Vault::new(&MasterKey::generate(&SystemEntropy));
        let registry = Registry::default();
        for (n, share) in (1..).zip(shares) {
            let credentials = Credentials {
                mch_id: "1900000001".to_owned(),
                app_id: "wxtest01".to_owned(),
                hmac_key: data_encoding::BASE64.encode(&[7; 32]),
                provider_public_key: data_encoding::BASE64.encode(&[9; 32]),
            };
            let channel = TestWallet::open(credentials.to_secret().expose(), "http://127.0.0.1:1").unwrap();
            let row = credentials_row(SCOPE, id(n));
            let place = Place { table: ACCOUNTS.name(), row: &row, field: CREDENTIALS_FIELD };
            let account = ChannelAccount {
                id: id(n),
                scope: SCOPE,
                kind: ChannelKind::TestWallet,
                label: format!("account {n}"),
                base_url: None,
                credentials: vault.seal(&place, b"", &SystemEntropy),
                active: true,
                share: *share,
                created_at: NOW,
                upkeep_at: None,
                upkept_at: None,
            };
            let open = OpenAccount { account, channel: Arc::new(channel), end: None };
            registry.accounts.write().unwrap().insert(id(n), Arc::new(open));
        }
        registry
    }

    fn share(weight: u16) -> Share {
        Share { weight, ..Share::WHOLE }
    }

    /// How often each account is drawn over all lots below a hundred.
    fn drawn(registry: &Registry, minor: u64, now: Timestamp) -> Vec<(u8, usize, RouteReason)> {
        let mut counts: BTreeMap<AccountId, (usize, RouteReason)> = BTreeMap::new();
        for lot in 0..100 {
            let amount = Money::new(minor, Currency::CNY);
            let Some(route) = registry.choose(SCOPE, Method::WechatNative, amount, now, lot) else { continue };
            counts.entry(route.account).or_insert((0, route.why)).0 += 1;
        }
        counts.into_iter().map(|(id, (count, why))| (id.to_bytes()[0], count, why)).collect()
    }

    #[test]
    fn accounts_take_payments_by_their_weights_and_amounts() {
        let of = |of| RouteReason::Share { of };
        let low = Share { max_minor: 99, ..share(25) };
        let all = registry(&[share(75), low, share(0)]);
        assert_eq!(drawn(&all, 50, NOW), [(1, 75, of(2)), (2, 25, of(2))], "a reserve waits, and is not counted");
        assert_eq!(drawn(&all, 100, NOW), [(1, 100, of(1))]);
        assert_eq!(drawn(&registry(&[low]), 50, NOW), [(2 - 1, 100, RouteReason::Only)]);
        assert_eq!(drawn(&registry(&[low]), 100, NOW), []);
        assert_eq!(drawn(&registry(&[share(0), share(0)]), 100, NOW), [(1, 100, of(2))], "reserves alone do");
    }

    #[test]
    fn an_account_that_keeps_failing_rests_and_is_tried_again() {
        let all = registry(&[share(50), share(50)]);
        let fail = |n, times, now| (0..times).for_each(|_| all.report(id(n), false, now));
        let both = |left, right| [(1, left, RouteReason::Share { of: 2 }), (2, right, RouteReason::Share { of: 2 })];
        fail(1, Health::FAILURES_MAX - 1, NOW);
        assert_eq!(drawn(&all, 100, NOW), both(50, 50));
        fail(1, 1, NOW);
        assert_eq!(drawn(&all, 100, NOW), [(2, 100, RouteReason::OthersRest { resting: 1 })]);
        // Silence about old payments does not lengthen the rest; a failure after it does.
        fail(1, 100, NOW);
        let after = NOW.plus(Health::REST);
        assert_eq!(drawn(&all, 100, after), both(50, 50));
        fail(1, 1, after);
        assert_eq!(all.health(id(1)).rest_until, Some(after.plus(Health::REST).plus(Health::REST)));
        fail(2, Health::FAILURES_MAX, after);
        assert_eq!(drawn(&all, 100, after), [(1, 50, RouteReason::AllRest), (2, 50, RouteReason::AllRest)]);
        all.report(id(2), true, after);
        assert_eq!(drawn(&all, 100, after), [(2, 100, RouteReason::OthersRest { resting: 1 })]);
    }

    #[test]
    fn an_account_that_its_provider_refuses_rests_at_once() {
        let all = registry(&[share(50), share(50)]);
        all.bar(id(1), NOW);
        assert_eq!(all.health(id(1)).rest_until, Some(NOW.plus(Health::REST)));
        assert_eq!(drawn(&all, 100, NOW), [(2, 100, RouteReason::OthersRest { resting: 1 })]);
        // What was under way meanwhile does not lengthen the rest; being refused again after it does.
        all.bar(id(1), NOW);
        let after = NOW.plus(Health::REST);
        all.bar(id(1), after);
        assert_eq!(all.health(id(1)).rest_until, Some(after.plus(Health::REST).plus(Health::REST)));
    }
}
