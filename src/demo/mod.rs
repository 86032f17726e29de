//! What `coffer demo` shows: a small shop with its people, its keys and its past.

/// Addresses and secrets for scripts.
pub mod credentials;
/// The story, lived through with the real flows.
pub mod past;
/// A new store with everything in it.
pub mod prepare;
mod random;
/// The first page.
pub mod start;
/// Who came to the shop and what they did.
mod story;

/// The shop's name, on its sign and at the cashier.
pub const SHOP_NAME: &str = "Mug & Co. 杯子铺";
/// Where the shop takes callbacks.
pub const CALLBACK_PATH: &str = "/shop/callback";
