//! What the running server says about itself: log lines, metrics, health, and an id on every request.

pub mod health;
pub mod logging;
pub mod metrics;
pub mod request;

pub use metrics::Metrics;
pub use request::request_id;

use std::sync::Arc;

use crate::env::Env;

/// What every request needs to be counted, named and timed. Shared by all workers as `web::Data<Signals>`.
pub struct Signals {
    pub env: Env,
    pub metrics: Arc<Metrics>,
}
