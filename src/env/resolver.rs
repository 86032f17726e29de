//! Names to addresses, behind a trait so that tests can answer like a hostile name server.

use std::future::Future;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Semaphore;

/// Lookups that run at once. Each holds one of the runtime's blocking threads until the operating system gives up,
/// which may be long after the caller did; without a bound, dead name servers would starve the store's readers.
pub const LOOKUPS_MAX: usize = 64;

pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Looks up a host name. The answer is used once and never remembered: the next call asks and is judged again.
pub trait Resolver: Send + Sync {
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a>;
}

/// The operating system's resolver, with its hosts file and search domains.
pub struct SystemResolver {
    slots: Arc<Semaphore>,
}

impl SystemResolver {
    pub fn new() -> Self {
        Self { slots: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::new()
    }
}

impl Resolver for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a> {
        let (slots, host) = (Arc::clone(&self.slots), host.to_owned());
        Box::pin(async move {
            let slot = slots.acquire_owned().await.map_err(io::Error::other)?;
            let lookup = tokio::task::spawn_blocking(move || {
                // The slot is given back when the thread is free, not when the caller stops waiting.
                let _slot = slot;
                let addresses = (host.as_str(), 0).to_socket_addrs()?;
                Ok(addresses.map(|address| address.ip()).collect())
            });
            lookup.await.map_err(io::Error::other)?
        })
    }
}
