//! Sessions in the store.

use super::records::{Session, User};
use super::session::{SESSION_ABSOLUTE, SESSION_IDLE, Token};
use crate::domain::ids::UserId;
use crate::domain::time::Timestamp;
use crate::store::tables::{SESSIONS, SESSIONS_BY_USER, USERS};
use crate::store::{Order, Read, Span, StoreError, WriteTx};

/// Browsers one person can be logged in with; the one longest unused makes room.
pub const SESSIONS_PER_USER_MAX: usize = 20;

/// A session found by its token, with its person; `None` when it is unknown or over.
pub fn find(tx: &impl Read, token: &Token, now: Timestamp) -> Result<Option<(Session, User)>, StoreError> {
    let Some(session) = tx.get(&SESSIONS, &token.hash())? else { return Ok(None) };
    let Some(user) = tx.get(&USERS, &session.user)? else { return Ok(None) };
    Ok(session.check(&user, now).is_ok().then_some((session, user)))
}

/// Stores a session under a new token. What is over goes, and so does the longest unused when there are too many.
pub fn start(tx: &mut WriteTx<'_>, token_hash: [u8; 32], session: &Session) -> Result<(), StoreError> {
    let rows = tx.scan(&SESSIONS_BY_USER, &Span::prefix(&session.user), Order::Ascending, SESSIONS_PER_USER_MAX * 2)?;
    let mut kept = Vec::new();
    for ((_, hash), ()) in rows {
        match tx.get(&SESSIONS, &hash)?.filter(|old| !is_over(old, session.epoch, session.created_at)) {
            Some(old) => kept.push((old.last_seen_at, hash)),
            None => end(tx, session.user, hash)?,
        }
    }
    kept.sort_unstable();
    let surplus = (kept.len() + 1).saturating_sub(SESSIONS_PER_USER_MAX);
    for (_, hash) in kept.into_iter().take(surplus) {
        end(tx, session.user, hash)?;
    }
    tx.put(&SESSIONS, &token_hash, session)?;
    tx.put(&SESSIONS_BY_USER, &(session.user, token_hash), &())
}

/// Puts a session under another token, so that one that was known before the login is worth nothing after it.
pub fn renew(tx: &mut WriteTx<'_>, old: [u8; 32], new: [u8; 32], session: &Session) -> Result<(), StoreError> {
    end(tx, session.user, old)?;
    start(tx, new, session)
}

/// Stores a change of a session that is still there; one that was ended meanwhile stays ended.
pub fn update(tx: &mut WriteTx<'_>, hash: [u8; 32], change: impl Fn(&mut Session)) -> Result<(), StoreError> {
    let Some(mut session) = tx.get(&SESSIONS, &hash)? else { return Ok(()) };
    change(&mut session);
    tx.put(&SESSIONS, &hash, &session)
}

pub fn end(tx: &mut WriteTx<'_>, user: UserId, hash: [u8; 32]) -> Result<(), StoreError> {
    tx.delete(&SESSIONS, &hash)?;
    tx.delete(&SESSIONS_BY_USER, &(user, hash)).map(drop)
}

/// The sessions of a person that count at `now`, the most recently used first.
pub fn of_user(tx: &impl Read, user: &User, now: Timestamp) -> Result<Vec<([u8; 32], Session)>, StoreError> {
    let rows = tx.scan(&SESSIONS_BY_USER, &Span::prefix(&user.id), Order::Ascending, SESSIONS_PER_USER_MAX * 2)?;
    let mut sessions = Vec::new();
    for ((_, hash), ()) in rows {
        let session = tx.get(&SESSIONS, &hash)?.filter(|session| session.check(user, now).is_ok());
        sessions.extend(session.map(|session| (hash, session)));
    }
    sessions.sort_by_key(|(_, session)| std::cmp::Reverse(session.last_seen_at));
    Ok(sessions)
}

fn is_over(session: &Session, epoch: u32, now: Timestamp) -> bool {
    session.epoch != epoch
        || now.since(session.created_at) >= SESSION_ABSOLUTE
        || now.since(session.last_seen_at) >= SESSION_IDLE
}
