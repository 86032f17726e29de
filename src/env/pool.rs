//! Idle connections, kept for a moment because a busy shop is called many times a second.
//!
//! A connection is filed under the address it leads to, so it is found again only by a call whose own check came to
//! the same address.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::domain::time::Duration;

/// How long a connection may rest: less than the five seconds after which Node and Apache hang up, because a call
/// that meets a closing connection cannot be told from one that was lost.
pub const IDLE_TIME: Duration = Duration::from_seconds(4);
/// Resting connections to one address.
pub const IDLE_PER_ADDRESS_MAX: usize = 32;
/// Resting connections in all.
pub const IDLE_MAX: usize = 256;

/// What two calls must share to share a connection.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub https: bool,
    /// The name that the certificate was checked for.
    pub host: String,
    pub address: SocketAddr,
}

/// An open connection. Dropping it closes the socket at once, also in the middle of an answer.
pub struct Link {
    pub key: Key,
    /// Our end.
    pub local: SocketAddr,
    pub sender: SendRequest<Full<Bytes>>,
    /// The task that moves the bytes.
    pub task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Connections that wait for their next call.
#[derive(Default)]
pub struct Pool {
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    links: BTreeMap<Key, VecDeque<Resting>>,
    count: usize,
    sweeping: bool,
}

struct Resting {
    link: Link,
    until: Instant,
}

impl Pool {
    /// The connection that rested shortest, because it is the likeliest to be alive.
    pub fn take(&self, key: &Key) -> Option<Link> {
        let mut idle = self.idle();
        let now = Instant::now();
        loop {
            let resting = idle.links.get_mut(key)?.pop_back()?;
            idle.count -= 1;
            if resting.until > now && !resting.link.sender.is_closed() {
                return Some(resting.link);
            }
        }
    }

    /// Keeps a connection whose last answer was read to its end; closes it when there are enough.
    pub fn put(self: &Arc<Self>, link: Link) {
        let mut idle = self.idle();
        if link.sender.is_closed() || idle.count >= IDLE_MAX {
            return;
        }
        let links = idle.links.entry(link.key.clone()).or_default();
        if links.len() >= IDLE_PER_ADDRESS_MAX {
            return;
        }
        links.push_back(Resting { link, until: Instant::now() + IDLE_TIME.to_std() });
        idle.count += 1;
        if !idle.sweeping {
            idle.sweeping = true;
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Closes what rested too long. False when nothing rests any more.
    fn close_expired(&self) -> bool {
        let mut idle = self.idle();
        let now = Instant::now();
        idle.links.retain(|_, links| {
            links.retain(|resting| resting.until > now && !resting.link.sender.is_closed());
            !links.is_empty()
        });
        idle.count = idle.links.values().map(VecDeque::len).sum();
        idle.sweeping = idle.count > 0;
        idle.sweeping
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs while something rests, and ends with the pool.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(IDLE_TIME.to_std()).await;
        let Some(pool) = pool.upgrade() else { return };
        if !pool.close_expired() {
            return;
        }
    }
}
