//! The merchant's API: parses requests, proves who sent them, calls one flow, renders the answer. It decides nothing.

mod account;
mod auth;
mod books;
mod card_number;
mod cases;
mod codes;
mod commit;
mod docs;
pub mod endpoint;
pub mod error;
mod events;
pub mod fields;
mod fingerprint;
pub mod json;
pub mod keys;
pub mod kinds;
pub mod objects;
pub mod openapi;
pub mod page;
mod payments;
pub mod rate;
mod refunds;
mod refusals;
pub mod service;
pub mod signature;
mod simulate;
mod wait;
mod webhooks;

pub use auth::bearer_token;
pub use endpoint::routes;
pub use objects::render_event;
pub use service::{Api, ApiSettings};
