//! The simulated provider: takes signed calls, keeps its own orders and refunds in the store, plays the payer's phone,
//! notifies until it is heard, and misbehaves on request. What happens is decided in [`model`]; [`desk`] commits it.
//!
//! Coffer reaches it over HTTP as it reaches any provider; only the test API and the history of a demo step behind the
//! counter.

pub mod desk;
mod keys;
mod messenger;
pub mod model;
mod phone;
pub mod records;
mod server;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::Notify;

pub use super::provider::fault;
pub use keys::{Enrolment, enrol, merchant_place};
pub use messenger::LADDER;
pub use server::{Incoming, Outgoing, PAY_PATH, routes};

use self::keys::Keys;
use self::model::{Deed, Refusal, Simulation, WalletOrder};
use super::provider::fault::{Fault, Faults};
use super::provider::play::SimulateError;
use crate::domain::ids::AttemptId;
use crate::env::Env;
use crate::env::target::TargetPolicy;
use crate::env::transport::Transport;
use crate::flows::gateway::{Gateway, GatewayError};
use crate::store::tables::{WALLET_FAULTS, WALLET_ORDERS};
use crate::store::{Read, Store, StoreError};

/// How this provider can misbehave.
pub const FAULTS: [Fault; 13] = [
    Fault::LoseNotification,
    Fault::DoubleNotification,
    Fault::DelayNotification,
    Fault::ForgeNotification,
    Fault::MisstateAmount,
    Fault::Throttle,
    Fault::AnswerError,
    Fault::AnswerErrorAfterDoing,
    Fault::AnswerLate,
    Fault::AnswerRubbish,
    Fault::PayAfterClose,
    Fault::RefundSlow,
    Fault::RefundAbnormal,
];

/// A handle to the provider; clones share it.
#[derive(Clone)]
pub struct Wallet(Arc<Inner>);

struct Inner {
    store: Store,
    env: Env,
    transport: Arc<dyn Transport>,
    policy: TargetPolicy,
    /// As phones reach this server.
    public_url: String,
    /// As this server reaches itself.
    own_url: String,
    keys: Keys,
    /// Rings when something new is on its way.
    bell: Notify,
}

impl Wallet {
    /// Opens the provider on the gateway's store, making its key the first time. Blocks.
    pub fn open(gateway: &Gateway) -> Result<Self, GatewayError> {
        let keys = Keys::open(&gateway.store, &gateway.env, gateway.vault.clone())?;
        Ok(Self(Arc::new(Inner {
            store: gateway.store.clone(),
            env: gateway.env.clone(),
            transport: gateway.transport.clone(),
            policy: gateway.settings.sandbox.clone(),
            public_url: gateway.settings.public_url.clone(),
            own_url: gateway.settings.own_url.clone(),
            keys,
            bell: Notify::new(),
        })))
    }

    /// Makes a merchant's number and keys; payers see `name`. Nothing is known of it until [`Enrolment::store`] runs, which a caller puts
    /// into the same commit as the channel account with its credentials.
    pub fn enrol(&self, name: &str) -> Enrolment {
        self.0.keys.enrol(&self.0.env, name)
    }

    /// Ends an attempt in test mode without a person on the phone page.
    pub async fn simulate(&self, attempt: AttemptId, simulation: Simulation) -> Result<(), SimulateError> {
        let now = self.0.env.now();
        let number = attempt.bare();
        let done: Result<(), Refusal> =
            self.0.store.write(move |tx| desk::simulate(tx, &number, simulation, now)).await?;
        self.0.bell.notify_one();
        done.map_err(|why| match why {
            Refusal::UnknownOrder => SimulateError::Unknown,
            _ => SimulateError::Ended,
        })
    }

    /// What the provider knows of an attempt.
    pub async fn order(&self, attempt: AttemptId) -> Result<Option<WalletOrder>, StoreError> {
        let number = attempt.bare();
        self.0.store.read(move |tx| tx.get(&WALLET_ORDERS, &number)).await
    }

    /// The order behind a phone page, as it is now.
    pub async fn order_by_code(&self, code: [u8; 16]) -> Result<Option<WalletOrder>, StoreError> {
        let now = self.0.env.now();
        let order = self.0.store.read(move |tx| desk::by_code(tx, code)).await?;
        Ok(order.map(|order| order.advance(now).order))
    }

    /// What the payer does on the phone page; `None` when there is no such page.
    pub async fn act(&self, code: [u8; 16], deed: Deed) -> Result<Option<Result<(), Refusal>>, StoreError> {
        let now = self.0.env.now();
        let done = self.0.store.write(move |tx| desk::act(tx, code, deed, now)).await?;
        self.0.bell.notify_one();
        Ok(done)
    }

    /// How the provider misbehaves about one order from now on; `None` when there is no such page.
    pub async fn set_faults(&self, code: [u8; 16], faults: Faults) -> Result<Option<()>, StoreError> {
        self.0.store.write(move |tx| desk::set_faults(tx, code, faults)).await
    }

    /// How the provider misbehaves about orders that are new from now on.
    pub async fn set_standing_faults(&self, faults: Faults) -> Result<(), StoreError> {
        self.0.store.write(move |tx| tx.put(&WALLET_FAULTS, &0, &faults)).await
    }

    /// The faults that new orders begin with.
    pub async fn standing_faults(&self) -> Result<Faults, StoreError> {
        self.0.store.read(desk::standing).await
    }

    /// Where the payer's phone goes for an order.
    pub fn pay_url(&self, code: [u8; 16]) -> String {
        format!("{}{}/{}", self.0.public_url, server::PAY_PATH, data_encoding::BASE64URL_NOPAD.encode(&code))
    }
}
