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

use super::identity::ClientIdentity;
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
    /// Whom the other side takes us for.
    pub identity: Option<ClientIdentity>,
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
    pub fn take(&self, key: &Key, now: Instant) -> Option<Link> {
        let mut idle = self.idle();
        loop {
            let resting = idle.links.get_mut(key)?.pop_back()?;
            idle.count -= 1;
            if resting.until > now && !resting.link.sender.is_closed() {
                return Some(resting.link);
            }
        }
    }

    /// Keeps a connection whose last answer was read to its end; closes it when there are enough.
    pub fn put(self: &Arc<Self>, link: Link, now: Instant) {
        let mut idle = self.idle();
        if link.sender.is_closed() || idle.count >= IDLE_MAX {
            return;
        }
        let links = idle.links.entry(link.key.clone()).or_default();
        if links.len() >= IDLE_PER_ADDRESS_MAX {
            return;
        }
        links.push_back(Resting { link, until: now + IDLE_TIME.to_std() });
        idle.count += 1;
        if !idle.sweeping {
            idle.sweeping = true;
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Closes what rested too long. False when nothing rests any more.
    fn close_expired(&self, now: Instant) -> bool {
        let mut idle = self.idle();
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
        if !pool.close_expired(Instant::now()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;
    use tokio::io::DuplexStream;

    fn key(port: u16) -> Key {
        Key { https: true, host: "shop.test".into(), address: SocketAddr::from(([127, 0, 0, 1], port)), identity: None }
    }

    async fn link(key: Key) -> (Link, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(64);
        let (sender, connection) = http1::handshake(TokioIo::new(ours)).await.unwrap();
        let task = tokio::spawn(async move { drop(connection.await) });
        (Link { local: key.address, key, sender, task }, theirs)
    }

    fn rest(pool: &Pool) -> usize {
        pool.idle().count
    }

    #[tokio::test]
    async fn only_the_same_scheme_name_and_address_find_a_connection() {
        let (pool, now) = (Arc::new(Pool::default()), Instant::now());
        let (link, _theirs) = link(key(443)).await;
        pool.put(link, now);
        assert!(pool.take(&key(8443), now).is_none());
        assert!(pool.take(&Key { https: false, ..key(443) }, now).is_none());
        assert!(pool.take(&Key { host: "other.test".into(), ..key(443) }, now).is_none());
        assert!(pool.take(&key(443), now).is_some());
        assert!(pool.take(&key(443), now).is_none(), "one connection carries one call at a time");
        assert_eq!(rest(&pool), 0);
    }

    #[tokio::test]
    async fn a_connection_rests_no_longer_than_its_time() {
        let (pool, now) = (Arc::new(Pool::default()), Instant::now());
        let later = now + IDLE_TIME.to_std();
        let mut other_ends = Vec::new();
        for port in [1, 2] {
            let (link, theirs) = link(key(port)).await;
            pool.put(link, now);
            other_ends.push(theirs);
        }
        assert!(pool.take(&key(1), later).is_none());
        assert!(pool.close_expired(now));
        assert!(!pool.close_expired(later));
        assert_eq!(rest(&pool), 0);
    }

    #[tokio::test]
    async fn more_than_the_limits_do_not_rest() {
        let (pool, now) = (Arc::new(Pool::default()), Instant::now());
        let mut other_ends = Vec::new();
        for port in 1..=20 {
            for _ in 0..=IDLE_PER_ADDRESS_MAX {
                let (link, theirs) = link(key(port)).await;
                pool.put(link, now);
                other_ends.push(theirs);
            }
            assert_eq!(rest(&pool), IDLE_MAX.min(usize::from(port) * IDLE_PER_ADDRESS_MAX));
        }
    }
}
