//! The gateway as one process of the simulation: it is opened on a disk, takes turns, and dies.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Runtime;

use super::clock::SimulatedClock;
use super::model::{How, Manner};
use super::shop::Mood;
use super::town::{Contract, GATEWAY};
use super::wire::Wire;
use crate::api::render_event;
use crate::channels::{VerifiedNotification, test_wallet};
use crate::crypto::Vault;
use crate::domain::approval::ApprovalRule;
use crate::domain::event::EventType;
use crate::domain::ids::{AccountId, EndpointId, PaymentId, Scope};
use crate::domain::merchant::Share;
use crate::domain::method::{Flow, Method};
use crate::domain::time::{Duration, Timestamp};
use crate::env::Env;
use crate::env::target::TargetPolicy;
use crate::flows::effect::Effect;
use crate::flows::endpoints::{self, NewEndpoint};
use crate::flows::gateway::{Gateway, Settings};
use crate::flows::runner::{self, Runner};
use crate::flows::setup::NewMerchant;
use crate::flows::{FlowError, Moment, accounts};
use crate::store::tables::{APPROVAL_RULES, DUE};
use crate::store::{
    Key, Order, Read, Record, SCAN_ROWS_MAX, Signal, SimulatedDisk, Span, Store, StoreError, StoreOptions, Table,
};

/// Effects under way at once.
const IN_FLIGHT_MAX: usize = 6;

pub(super) const SHOP: &str = "shop.example";
pub(super) const BOOKKEEPER: &str = "books.example";
pub(super) const OWN_ADDRESS: &str = "own.example";

/// What does not die with the process.
pub(super) struct Ground {
    pub(super) seed: u64,
    pub(super) env: Env,
    pub(super) clock: Arc<SimulatedClock>,
    pub(super) wire: Wire,
    pub(super) vault: Arc<Vault>,
    pub(super) merchant: NewMerchant,
    pub(super) scope: Scope,
    /// The test wallet's account.
    pub(super) account: AccountId,
    /// Accounts of other contracts, in the order of the towns.
    pub(super) accounts: Vec<(Contract, AccountId)>,
    /// Refunds beyond it take two persons.
    pub(super) two_over: Option<u64>,
}

impl Ground {
    /// The contract of an account; `None` for the test wallet.
    pub(super) fn contract_of(&self, account: AccountId) -> Option<Contract> {
        self.accounts.iter().find(|(_, other)| *other == account).map(|(contract, _)| *contract)
    }

    /// How a customer pays by an attempt with an account. `named`: it is one person's.
    pub(super) fn how(&self, method: Method, account: AccountId, named: bool) -> How {
        let contract = self.contract_of(account);
        let manner = match (method.flow(), contract) {
            (Flow::BarCode, _) => Manner::ShownCode,
            (_, Some(Contract::UnionPay)) => Manner::EndsByItself,
            (Flow::QrCode | Flow::Redirect | Flow::App | Flow::JsApi, _) => Manner::Closed,
        };
        let by_device = matches!(
            method,
            Method::AlipayPage | Method::AlipayWap | Method::AlipayApp | Method::UnionpayGateway | Method::UnionpayWap
        );
        // Source: WeChat Pay API v3, "H5下单": the page opens for five minutes.
        let opens_for = (method == Method::WechatH5).then_some(Duration::from_minutes(5));
        How { code: method.code(), manner, carried: by_device && contract.is_some(), opens_for, named }
    }

    /// The accounts whose contract has a method.
    pub(super) fn accounts_for(&self, method: Method) -> Vec<AccountId> {
        let wallet = test_wallet::METHODS.contains(&method).then_some(self.account);
        let others = self.accounts.iter().filter(|(contract, _)| contract.methods().contains(&method));
        others.map(|(_, account)| *account).chain(wallet).collect()
    }
}

pub(super) struct House {
    pub(super) gateway: Gateway,
    runner: Runner,
    runtime: Runtime,
    wire: Wire,
    /// Payments that commits spoke of since the last look.
    touched: Arc<Mutex<BTreeSet<PaymentId>>>,
}

/// What a turn brought.
pub(super) enum Turn {
    /// Something was started and is done, or waits for the network.
    Worked,
    /// Nothing can be done before so much time has passed.
    Idle(Duration),
}

impl House {
    /// Opens the store as the disk is, with everything that stands on it. The disk may break meanwhile.
    pub(super) fn open(ground: &Ground, disk: &SimulatedDisk) -> Result<House, String> {
        let options = StoreOptions {
            batch_wait_us: 0,
            cache_bytes: 1 << 20,
            queue_max: 16,
            clock: ground.clock.clone(),
            ..StoreOptions::default()
        };
        let store = Store::open_disk(disk, options).map_err(|error| format!("the store does not open: {error}"))?;
        let house = Self::build(ground, store.clone());
        if house.is_err() {
            store.close();
        }
        house
    }

    fn build(ground: &Ground, store: Store) -> Result<House, String> {
        let touched: Arc<Mutex<BTreeSet<PaymentId>>> = Arc::default();
        let heard = touched.clone();
        store.on_commit(move |signals| {
            let mut touched = heard.lock().unwrap_or_else(PoisonError::into_inner);
            for signal in signals {
                if let Signal::Payment(id) = signal {
                    touched.insert(*id);
                }
            }
        });
        let url = GATEWAY.to_owned();
        let settings = Settings {
            public_url: url.clone(),
            own_url: url,
            callbacks: TargetPolicy::default(),
            channels: TargetPolicy::default(),
            sandbox: TargetPolicy::default(),
            in_flight_max: IN_FLIGHT_MAX,
            per_endpoint_max: 4,
        };
        let transport = Arc::new(ground.wire.clone());
        let env = ground.env.clone();
        let gateway = Gateway::build(store, env, ground.vault.clone(), transport, settings, Arc::new(render_event));
        let gateway = gateway.map_err(|error| format!("the gateway does not start: {error}"))?;
        let runner = Runner::new(gateway.clone()).map_err(|error| format!("the runner does not start: {error}"))?;
        // One thread for what blocks, so that everything happens in one order.
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build();
        let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
        Ok(House { gateway, runner, runtime, wire: ground.wire.clone(), touched })
    }

    /// Sets the merchant up, with the addresses that are called back. Answers the secrets by host.
    pub(super) fn found(&self, ground: &Ground) -> Result<Vec<(&'static str, Vec<u8>)>, FlowError> {
        let merchant = ground.merchant.clone();
        self.store().write_blocking(move |tx| merchant.store(tx))?;
        for (place, (contract, id)) in ground.accounts.iter().enumerate() {
            let credentials = ground.wire.outside().towns[place].credentials.clone();
            let sealed = accounts::seal(&self.gateway, ground.scope, *id, &credentials);
            let terms = accounts::Terms { label: format!("{contract:?}"), active: true, share: Share::WHOLE };
            let (row, kind, now) = ((ground.scope, *id), contract.kind(), ground.env.now());
            self.store().write_blocking(move |tx| accounts::add(tx, row, kind, &terms, sealed.clone(), now))?;
        }
        let (row, rule) = (ground.scope.merchant, ApprovalRule { refund_over_minor: ground.two_over });
        self.store().write_blocking(move |tx| tx.put(&APPROVAL_RULES, &row, &rule))?;
        self.gateway.reload_channels()?;
        accounts::plan_upkeep(&self.gateway)?;
        let mut secrets = vec![(OWN_ADDRESS, ground.merchant.test_secret.bytes().expose().to_vec())];
        let refunds = [EventType::RefundCreated, EventType::RefundSucceeded, EventType::RefundFailed];
        for (host, events) in [(SHOP, BTreeSet::new()), (BOOKKEEPER, BTreeSet::from(refunds))] {
            let id = endpoint_of(host);
            let fresh = endpoints::fresh_secret(&self.gateway, ground.scope, id);
            let url = format!("https://{host}/hook");
            let new = NewEndpoint { id, url, description: String::new(), events, secret: fresh.sealed };
            let (scope, moment) = (ground.scope, Moment::new(&ground.env));
            self.store().write_blocking(move |tx| endpoints::create(tx, scope, &new, &moment))?;
            secrets.push((host, fresh.shown.bytes().expose().to_vec()));
        }
        Ok(secrets)
    }

    /// Ends the process as it stands: nothing more is done and nothing is written.
    pub(super) fn die(self, disk: &SimulatedDisk) {
        disk.break_after(0);
        let House { gateway, runner, runtime, .. } = self;
        drop(runtime);
        drop(runner);
        gateway.store.close();
    }

    pub(super) fn store(&self) -> &Store {
        &self.gateway.store
    }

    /// Whether the disk has failed under the store.
    pub(super) fn has_failed(&self) -> bool {
        self.store().stats().failed
    }

    pub(super) fn take_touched(&self) -> BTreeSet<PaymentId> {
        std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Starts one thing that is due and waits until it is over or waits for the network.
    pub(super) fn turn(&self) -> Result<Turn, StoreError> {
        self.runtime.block_on(async {
            let (before, asked) = (self.runner.stats(), self.wire.asked());
            let wait = self.runner.turn(1).await?;
            if self.runner.stats().under_way == before.under_way {
                return Ok(Turn::Idle(wait));
            }
            while self.runner.stats().done == before.done && self.wire.asked() == asked {
                self.stir().await;
            }
            Ok(Turn::Worked)
        })
    }

    /// Waits until one of the things under way has ended: the one whose request was just answered.
    pub(super) fn finish_one(&self, answer: impl FnOnce()) {
        self.runtime.block_on(async {
            let before = self.runner.stats();
            answer();
            while self.runner.stats().done == before.done {
                self.stir().await;
            }
        });
    }

    async fn stir(&self) {
        tokio::select! {
            () = self.runner.woken() => {}
            () = self.wire.rings() => {}
        }
    }

    pub(super) fn notified(&self, account: AccountId, message: VerifiedNotification) -> Result<bool, FlowError> {
        let open = self.gateway.channels.get(account);
        let open = open.ok_or_else(|| FlowError::Books("the channel account is gone".to_owned()))?;
        self.runtime.block_on(runner::notified(&self.gateway, &open, message))
    }

    /// Effects that could not be handled and rest.
    pub(super) fn resting(&self) -> usize {
        self.runner.stats().resting
    }

    pub(super) fn all<K: Key, V: Record>(&self, table: &Table<K, V>) -> Result<Vec<(K, V)>, StoreError> {
        self.store().read_blocking(|tx| tx.scan(table, &Span::all(), Order::Ascending, SCAN_ROWS_MAX))
    }

    pub(super) fn one<K: Key, V: Record>(&self, table: &Table<K, V>, key: &K) -> Result<Option<V>, StoreError> {
        self.store().read_blocking(|tx| tx.get(table, key))
    }

    /// What is in the queue besides housekeeping, with when it is due.
    pub(super) fn due(&self) -> Result<Vec<(Timestamp, Effect)>, StoreError> {
        let rows = self.all(&DUE)?.into_iter().map(|((_, at, effect), ())| (at, effect));
        Ok(rows.filter(|(_, effect)| !matches!(effect, Effect::Sweep | Effect::Upkeep(..))).collect())
    }
}

pub(super) fn endpoint_of(host: &str) -> EndpointId {
    EndpointId::from_bytes([host.len() as u8; 16])
}

/// How the shops feel at the beginning of a seed.
pub(super) fn moods(dice: &mut super::dice::Dice) -> [Mood; 3] {
    [(); 3].map(|()| dice.one_of([Mood::Well, Mood::Well, Mood::Moody, Mood::Moody, Mood::Down, Mood::Slow]))
}
