//! The merchant's API: parses requests, proves who sent them, calls one flow, renders the answer. It decides nothing.

mod card_number;
mod codes;
pub mod error;
pub mod fields;
pub mod json;
pub mod keys;
pub mod kinds;
pub mod objects;
pub mod rate;
pub mod signature;

pub use objects::render_event;
