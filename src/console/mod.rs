//! The merchant's console: one file per page, its template of the same name under `templates/console/`.
//!
//! How a request goes: `routes` holds the one table of paths, handlers and permissions; `visit` reads the request, finds
//! the session, checks form token, origin, role and second factor, and only then calls the page. A page reads, or calls
//! one flow and writes the audit record in the same transaction, and renders.

/// Who may come in: passwords, second factor, sessions and roles.
pub mod auth;
/// Forms and query strings.
pub mod fields;
/// The one table of routes and permissions.
pub mod routes;
/// Recomputing the books.
pub mod verification;
/// From a request to the person and the page.
pub mod visit;

/// A refund that waits for a second person.
mod approval;
/// What waits for a person.
mod attention;
/// Who did what.
mod audit_log;
/// Endpoints and their health.
mod callbacks;
/// One difference.
mod case;
/// Deciding about a difference.
mod case_form;
/// Acceptance cases.
mod cases;
mod channel_form;
mod channels;
/// Asking again for the second factor before a step that moves money or rights.
mod confirm;
/// Tables for spreadsheets.
mod csv;
/// Days as people type them.
mod days;
/// API keys.
mod developers;
/// One endpoint and its deliveries.
mod endpoint;
/// Adding and changing an endpoint.
mod endpoint_form;
/// Enrolling an authenticator, and the recovery codes.
mod enrol;
/// Lists as files.
mod export;
/// The first page.
mod home;
/// The books.
mod ledger;
/// Password, then second factor.
mod login;
/// What a person sets for himself.
mod me;
/// Cursor paging.
mod paging;
/// The form that gives money back.
mod paid_outside;
/// One payment.
mod payment;
/// The list of payments.
mod payments;
/// The people of a shop.
mod people;
mod redirect_form;
mod refund_form;
/// Refunds.
mod refunds;
/// The search field.
mod search;
/// Settings of the shop.
mod settings;
/// One-time links: the first owner, people who were invited, people who lost access.
pub mod setup;

/// A payment's story in sentences.
mod story;
/// Words and shapes for states.
mod words;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use self::auth::attempts::Throttle;
use self::auth::password::Hasher;
use self::auth::session::CookieKind;
use crate::cases::Cases;
use crate::crypto::Vault;
use crate::env::Env;
use crate::flows::gateway::Gateway;
use crate::store::Store;

pub use self::routes::configure;

/// What the console works with. Clones share it.
#[derive(Clone)]
pub struct Console(Arc<Inner>);

struct Inner {
    gateway: Gateway,
    cases: Cases,
    hasher: Hasher,
    throttle: Mutex<Throttle>,
    exports: Arc<Semaphore>,
    public_url: Url,
    own_origins: Vec<String>,
    trusted_proxies: Vec<IpNet>,
}

impl Console {
    /// Forms must come from the gateway's public address, and links that are copied begin with it.
    pub fn new(gateway: Gateway, cases: Cases, trusted_proxies: Vec<IpNet>) -> Result<Self, url::ParseError> {
        let public_url = Url::parse(&gateway.settings.public_url)?;
        Ok(Self(Arc::new(Inner {
            hasher: Hasher::new(gateway.env.entropy.clone()),
            gateway,
            cases,
            throttle: Mutex::default(),
            exports: Arc::new(Semaphore::new(export::EXPORTS_MAX)),
            own_origins: origins_of(&public_url),
            public_url,
            trusted_proxies,
        })))
    }

    pub fn gateway(&self) -> &Gateway {
        &self.0.gateway
    }

    /// Runs of acceptance cases.
    pub fn cases(&self) -> &Cases {
        &self.0.cases
    }

    pub fn store(&self) -> &Store {
        &self.0.gateway.store
    }

    pub fn env(&self) -> &Env {
        &self.0.gateway.env
    }

    pub fn vault(&self) -> &Arc<Vault> {
        &self.0.gateway.vault
    }

    /// Failures of those who guess.
    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.0.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place among the files being made; none while all are taken.
    fn export_place(&self) -> Option<OwnedSemaphorePermit> {
        self.0.exports.clone().try_acquire_owned().ok()
    }

    pub fn hasher(&self) -> &Hasher {
        &self.0.hasher
    }

    /// An absolute address for a path of ours. Never taken from the request, whose `Host` anybody can write.
    pub fn link(&self, path: &str) -> String {
        format!("{}{path}", self.0.public_url.as_str().trim_end_matches('/'))
    }

    fn cookie_kind(&self) -> CookieKind {
        if self.0.public_url.scheme() == "https" { CookieKind::Host } else { CookieKind::Loopback }
    }
}

/// Where forms may come from. On loopback a person may have typed any of its names.
fn origins_of(public_url: &Url) -> Vec<String> {
    let mut origins = vec![public_url.origin().ascii_serialization()];
    let is_loopback = match public_url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    };
    if is_loopback && let Some(port) = public_url.port_or_known_default() {
        let names = ["localhost", "127.0.0.1", "[::1]"];
        origins.extend(names.map(|name| format!("{}://{name}:{port}", public_url.scheme())));
    }
    origins
}
