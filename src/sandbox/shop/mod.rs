//! The demo's shop: a handful of mugs, sold through Coffer's real API. It is a customer of Coffer like any other shop:
//! it has a key and a callback secret, talks HTTP, and looks into none of Coffer's tables.

mod callback;
pub mod goods;
pub mod order;
mod pages;
mod till;

use std::sync::Arc;

pub use pages::routes;

use self::order::{How, PaymentTold, ShopOrder};
use crate::callbacks::WebhookSecret;
use crate::crypto::Secret;
use crate::domain::time::Timestamp;
use crate::env::Env;
use crate::env::target::TargetPolicy;
use crate::env::transport::Transport;
use crate::lang::Lang;
use crate::store::tables::{SHOP_BY_PAYMENT, SHOP_ORDERS};
use crate::store::{Order, Read, Span, Store, StoreError, WriteTx};

/// Below this path everything of the shop lives.
pub const PATH: &str = "/shop";
/// Orders on one page of the list.
const LISTED_MAX: usize = 50;

/// Where everything is, and what the shop was given when it signed up.
#[derive(Clone)]
pub struct ShopSettings {
    /// On the sign above the door.
    pub name: String,
    /// Where customers reach the shop, without a slash at the end.
    pub shop_url: String,
    /// Where Coffer reaches the shop for callbacks, without a slash at the end; named with every payment. `None`: the shop
    /// has a webhook endpoint.
    pub callback_base: Option<String>,
    /// Where customers reach Coffer: the cashier and the console.
    pub gateway_url: String,
    /// Where the shop reaches Coffer's API.
    pub api_url: String,
    /// `sk_test_…`
    pub api_key: Secret,
    /// Signs what Coffer sends.
    pub callback_secret: WebhookSecret,
    /// What the shop may call: Coffer, wherever it listens.
    pub policy: TargetPolicy,
}

/// A handle to the shop; clones share it.
#[derive(Clone)]
pub struct Shop(Arc<Inner>);

struct Inner {
    store: Store,
    env: Env,
    transport: Arc<dyn Transport>,
    settings: ShopSettings,
}

impl Shop {
    pub fn open(store: Store, env: Env, transport: Arc<dyn Transport>, settings: ShopSettings) -> Self {
        Self(Arc::new(Inner { store, env, transport, settings }))
    }
}

impl Inner {
    /// A number that begins with the shop's time and ends with what nobody guesses.
    fn new_number(&self, now: Timestamp) -> String {
        let tail = data_encoding::BASE32_NOPAD.encode(&self.env.random::<5>());
        format!("S{}-{tail}", now.in_zone("Asia/Shanghai").strftime("%Y%m%d%H%M%S"))
    }

    async fn place(&self, item: &goods::Item, pieces: u32, lang: Lang) -> Result<Option<ShopOrder>, StoreError> {
        let now = self.env.now();
        let price = item.price();
        let Some(minor) = price.minor().checked_mul(u64::from(pieces)) else { return Ok(None) };
        let amount = crate::domain::money::Money::new(minor, price.currency());
        let order = ShopOrder::new(self.new_number(now), item.slug, pieces, amount, lang, now);
        let kept = order.clone();
        self.store.write(move |tx| tx.put(&SHOP_ORDERS, &kept.number, &kept)).await?;
        Ok(Some(order))
    }

    async fn order(&self, number: &str) -> Result<Option<ShopOrder>, StoreError> {
        let number = number.to_owned();
        self.store.read(move |tx| tx.get(&SHOP_ORDERS, &number)).await
    }

    async fn newest(&self) -> Result<Vec<ShopOrder>, StoreError> {
        let rows = self.store.read(|tx| tx.scan(&SHOP_ORDERS, &Span::all(), Order::Descending, LISTED_MAX));
        let rows: Result<Vec<(String, ShopOrder)>, StoreError> = rows.await;
        Ok(rows?.into_iter().map(|(_, order)| order).collect())
    }

    /// Writes down what Coffer answered.
    async fn heard(&self, number: &str, told: PaymentTold) -> Result<(), StoreError> {
        let (number, now) = (number.to_owned(), self.env.now());
        let write = self
            .store
            .write(move |tx| update(tx, &number, |order| order.hear_payment(&told, How::Asked, now)).map(drop));
        write.await
    }

    /// Writes down that Coffer could not be asked.
    async fn troubled(&self, number: &str, trouble: String) -> Result<(), StoreError> {
        let number = number.to_owned();
        let write = self.store.write(move |tx| {
            update(tx, &number, |order| ShopOrder { trouble: Some(trouble.clone()), ..order.clone() }).map(drop)
        });
        write.await
    }
}

/// Changes an order in one commit; false when there is no such order.
fn update(
    tx: &mut WriteTx<'_>,
    number: &str,
    change: impl FnOnce(&ShopOrder) -> ShopOrder,
) -> Result<bool, StoreError> {
    let number = number.to_owned();
    let Some(order) = tx.get(&SHOP_ORDERS, &number)? else { return Ok(false) };
    let changed = change(&order);
    if changed != order {
        tx.put(&SHOP_ORDERS, &number, &changed)?;
    }
    if let (None, Some(payment)) = (&order.payment, &changed.payment) {
        tx.put(&SHOP_BY_PAYMENT, payment, &number)?;
    }
    Ok(true)
}
