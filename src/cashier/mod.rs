//! The page that the customer pays on, at a payment's `checkout_url`.
//!
//! It shows what the store says and nothing else: no parameter, no return from a wallet and no message from the browser
//! can make a payment look paid. Every page works without script; the script only saves reloading.
//!
//! Needs `web::Data<Gateway>` among the application's data, `web::Data<Stopping>` to let live pages go when the server
//! stops, and `web::Data<Proxies>` where proxies say who comes.

mod device;
mod handlers;
mod introduction;
mod live;
mod page;
mod stage;
mod visitor;
mod wallet;

pub use crate::web::Proxies;
pub use handlers::{ask_unless_just_asked, routes};
