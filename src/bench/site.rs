//! A house for measuring: a temporary data folder with one merchant, its keys and its first payments.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::BenchError;
use crate::api::keys::{NewKey, NewKeyKind, issue, store_key};
use crate::app::{self, House};
use crate::channels::{Observation, PaidFacts};
use crate::cli::config::Config;
use crate::crypto::Vault;
use crate::domain::follow::Step;
use crate::domain::ids::{AccountId, AttemptId, KeyId, MerchantId, Mode, PaymentId, Scope};
use crate::domain::key::Permission;
use crate::domain::method::Method;
use crate::domain::money::{Currency, Money};
use crate::domain::payment::{EXPIRES_IN_DEFAULT, NextAction};
use crate::domain::time::Timestamp;
use crate::env::Env;
use crate::flows::observe::{Source, observe};
use crate::flows::payments::{self, NewPayment};
use crate::flows::{FlowError, Moment};
use crate::store::{Store, WriteTx};

/// Payments that the store is filled with in one write.
const FILL_BATCH: u64 = 512;
/// What every payment costs, in fen.
pub const PRICE_MINOR: u64 = 1230;
/// Ids that are kept for reading.
const KNOWN_MAX: usize = 20_000;

/// A folder that goes with its last user.
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    pub fn new(below: &Path, env: &Env) -> Result<Self, BenchError> {
        let name = data_encoding::HEXLOWER.encode(&env.random::<6>());
        let path = below.join(format!("coffer-bench-{name}"));
        std::fs::create_dir_all(&path).map_err(BenchError::io("making the temporary folder"))?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What cannot be removed now stays for the system to clean.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The merchant that is already in the store.
#[derive(Clone)]
pub struct Tenant {
    pub merchant: MerchantId,
    /// A token for test mode with all permissions.
    pub bearer: String,
}

/// The gateway with what a shop would know of it.
pub struct Site {
    pub env: Env,
    pub house: House,
    pub scope: Scope,
    pub account: AccountId,
    pub bearer: String,
    pub signing_key: KeyId,
    pub signing_secret: Vec<u8>,
    /// Payments to read.
    pub known: Vec<PaymentId>,
}

/// Opens the data folder's store and what its secrets are sealed with.
pub type OpenStore<'a> = &'a dyn Fn() -> Result<(Store, Arc<Vault>), BenchError>;

impl Site {
    /// Opens the house on a store with one merchant, whose token is given, and adds a key that signs.
    pub fn open(config: &Config, tenant: &Tenant, open: OpenStore<'_>) -> Result<Site, BenchError> {
        let (store, vault) = open()?;
        let env = Env::system();
        let setup = |error: &dyn std::error::Error| BenchError::Setup(error.to_string());
        let scope = Scope { merchant: tenant.merchant, mode: Mode::Test };
        let new = NewKey {
            scope,
            name: "bench".to_owned(),
            permissions: BTreeSet::from(Permission::ALL),
            allowed_ips: Vec::new(),
            expires_at: None,
            kind: NewKeyKind::Hmac,
        };
        let signing = issue(new, &env, &vault).map_err(|error| setup(&error))?;
        let secret = signing.secret.as_ref().expect("a shared secret is told once");
        let signing_secret = data_encoding::BASE64.decode(secret.expose()).expect("it is told as base64");
        let key = signing.key.clone();
        store.write_blocking(move |tx| store_key(tx, &key))?;
        let house = app::build(config, env.clone(), vault, store).map_err(|error| setup(&error))?;
        let account = house.gateway.channels.of(scope).first().map(|open| open.account.id);
        Ok(Site {
            env,
            house,
            scope,
            account: account.ok_or_else(|| BenchError::Setup("the test wallet has no account".to_owned()))?,
            bearer: tenant.bearer.clone(),
            signing_key: signing.key.id,
            signing_secret,
            known: Vec::new(),
        })
    }

    /// Makes `count` paid payments with their journal and events, in the commits in which they come about: created,
    /// accepted by the channel, paid. Answers some of them, from every part of the history.
    pub fn fill(&self, count: u64, mut progress: impl FnMut(u64, u64)) -> Result<Vec<PaymentId>, BenchError> {
        let keep =
            usize::try_from((KNOWN_MAX as u64).div_ceil(count.div_ceil(FILL_BATCH).max(1))).unwrap_or(usize::MAX);
        let mut known = Vec::new();
        let mut done = 0;
        while done < count {
            let batch = FILL_BATCH.min(count - done);
            let begun = self.begin(self.account, "fill", done..done + batch)?;
            let now = self.env.now();
            let paid = begun.iter().zip(done..).map(|((_, attempt), number)| (*attempt, paid(number, now)));
            self.observe(self.account, paid.collect(), Source::Notification)?;
            done += batch;
            known.extend(begun.into_iter().map(|(payment, _)| payment).take(keep));
            progress(done, count);
        }
        Ok(known)
    }

    /// Payments whose orders an account has taken and nobody has paid.
    pub fn begin_all(&self, account: AccountId, name: &str, numbers: Range<u64>) -> Result<Vec<AttemptId>, BenchError> {
        let mut attempts = Vec::new();
        for first in numbers.clone().step_by(usize::try_from(FILL_BATCH).expect("a small number")) {
            let batch = first..numbers.end.min(first + FILL_BATCH);
            attempts.extend(self.begin(account, name, batch)?.into_iter().map(|(_, attempt)| attempt));
        }
        Ok(attempts)
    }

    /// One batch of the same.
    fn begin(
        &self,
        account: AccountId,
        name: &str,
        numbers: Range<u64>,
    ) -> Result<Vec<(PaymentId, AttemptId)>, BenchError> {
        let (scope, moment, name) = (self.scope, Moment::new(&self.env), name.to_owned());
        let write = move |tx: &mut WriteTx<'_>| {
            let mut moment = moment;
            let begin = |number| {
                let order_id = format!("{name}-{number:09}");
                let order = NewPayment { method: Some(Method::WechatNative), ..order(order_id) };
                let created = payments::create(tx, scope, &order, Some(account.into()), &mut moment)?;
                let attempt = created.payment().current.expect("it was created with a method");
                Ok::<_, FlowError>((created.payment().id, attempt))
            };
            numbers.clone().map(begin).collect::<Result<Vec<_>, _>>()
        };
        let begun = self.house.gateway.store.write_blocking(write)?;
        let shown: Vec<_> = begun.iter().map(|(_, attempt)| (*attempt, accepted(*attempt))).collect();
        self.observe(account, shown, Source::FollowUp(Step::Create))?;
        Ok(begun)
    }

    fn observe(
        &self,
        account: AccountId,
        news: Vec<(AttemptId, Observation)>,
        source: Source,
    ) -> Result<(), BenchError> {
        let (scope, moment) = (self.scope, Moment::new(&self.env));
        let open = self.house.gateway.channels.get(account);
        let kind = open.ok_or_else(|| BenchError::Setup(format!("the account {account} is not open")))?.account.kind;
        let write = move |tx: &mut WriteTx<'_>| {
            let mut moment = moment;
            let mut one =
                |(id, seen): &(AttemptId, Observation)| observe(tx, scope, *id, kind, seen, source, &mut moment);
            news.iter().try_for_each(&mut one)
        };
        self.house.gateway.store.write_blocking(write).map_err(|error: FlowError| error.into())
    }
}

/// What the shop of the measurements asks for.
pub fn order(order_id: String) -> NewPayment {
    NewPayment {
        order_id,
        amount: price(),
        description: "Mug, blue, 350 ml".to_owned(),
        method: None,
        expires_in: EXPIRES_IN_DEFAULT,
        return_url: Some("https://shop.example/thanks".to_owned()),
        cancel_url: None,
        callback_url: None,
        customer: Default::default(),
        auth_code: None,
        metadata: BTreeMap::from([("cart".to_owned(), "7f3a".to_owned())]),
        fingerprint: [7; 16],
    }
}

fn accepted(attempt: AttemptId) -> Observation {
    let data = format!("weixin://wxpay/bizpayurl?pr={}", attempt.bare());
    Observation::Accepted { next_action: NextAction::QrCode { data } }
}

fn paid(number: u64, paid_at: Timestamp) -> Observation {
    let transaction_id = format!("42000{number:023}");
    Observation::Paid(PaidFacts { amount: price(), transaction_id, paid_at, identity: Ok(()) })
}

fn price() -> Money {
    Money::new(PRICE_MINOR, Currency::CNY)
}
