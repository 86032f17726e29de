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

/// Where the demo's shop is.
pub const SHOP_PATH: &str = "/shop";
/// Where it takes callbacks.
pub const CALLBACK_PATH: &str = "/shop/callback";
