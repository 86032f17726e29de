//! The simulated providers of a process together: one line for each.

use std::sync::Arc;

use actix_web::web;

use super::alipay::{self, Alipay};
use super::provider::pages::{self, Controls};
use super::provider::{KeyMaker, Reach, World};
use super::unionpay::{self, UnionPay};
use super::wechatpay::{self, WechatPay};
use crate::crypto::rsa;
use crate::env::Env;
use crate::env::transport::Transport;
use crate::flows::gateway::Gateway;
use crate::store::{Store, StoreError};

/// Keys of both sides of all providers together.
pub const KEYS: u64 = 18;

/// All of them; clones share them.
#[derive(Clone)]
pub struct Simulators {
    pub world: World,
    pub wechatpay: WechatPay,
    pub unionpay: UnionPay,
    pub alipay: Alipay,
}

impl Simulators {
    /// Puts the providers on a store. Their keys are made when somebody first needs them.
    pub fn open(store: Store, env: Env, transport: Arc<dyn Transport>, reach: Reach) -> Self {
        Self::with_keys(store, env, transport, reach, Arc::new(rsa::generate))
    }

    /// The same with keys from elsewhere: making them takes seconds, which tests do not have.
    pub fn with_keys(store: Store, env: Env, transport: Arc<dyn Transport>, reach: Reach, keys: KeyMaker) -> Self {
        let world = World::new(store, env, transport, reach, keys);
        Self {
            wechatpay: WechatPay::open(&world),
            unionpay: UnionPay::open(&world),
            alipay: Alipay::open(&world),
            world,
        }
    }

    /// Those inside a gateway, which notify nobody but it. `keys` as in [`Self::with_keys`].
    pub fn inside(gateway: &Gateway, keys: KeyMaker) -> Self {
        let reach = Reach {
            public_url: gateway.settings.public_url.clone(),
            own_url: Some(gateway.settings.own_url.clone()),
            at_root: false,
            policy: gateway.settings.sandbox.clone(),
        };
        Self::with_keys(gateway.store.clone(), gateway.env.clone(), gateway.transport.clone(), reach, keys)
    }

    /// Makes whatever keys of either side are missing, the providers beside each other. Blocks for seconds.
    pub fn make_keys(&self) -> Result<(), StoreError> {
        std::thread::scope(|scope| {
            let making: Vec<_> =
                self.world.dialects().into_iter().map(|dialect| scope.spawn(move || dialect.credentials())).collect();
            making.into_iter().try_for_each(|made| made.join().unwrap_or(Err(StoreError::Panicked)).map(drop))
        })
    }

    /// Everything below `/sim`.
    pub fn routes(&self, controls: Controls) -> impl FnOnce(&mut web::ServiceConfig) {
        let (world, wechatpay) = (web::Data::new(self.world.clone()), web::Data::new(self.wechatpay.clone()));
        let unionpay = web::Data::new(self.unionpay.clone());
        let alipay = web::Data::new(self.alipay.clone());
        move |config| {
            config.app_data(unionpay).configure(unionpay::routes(unionpay::PREFIX));
            config.app_data(alipay).configure(alipay::routes(alipay::PREFIX));
            config.app_data(world).app_data(wechatpay);
            config.configure(wechatpay::routes(wechatpay::PREFIX));
            config.configure(pages::routes(controls));
        }
    }

    /// What a simulator's own listener serves at its root, where a provider's host has its calls. Goes with [`Simulators::routes`].
    pub fn root_routes(&self) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
        |config| {
            // Before WeChat Pay's, whose calls all begin with `/v3/` too.
            config.configure(alipay::routes(""));
            config.configure(wechatpay::routes(""));
            config.configure(unionpay::routes(""));
        }
    }
}
