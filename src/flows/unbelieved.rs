//! Messages that claimed to come from a provider and were not believed: counted by account and day, and told in the story
//! of the payment that they name.
//!
//! Whoever sends them is a stranger, so they may cost little: a few writes per account and minute, a few lines per payment.
//! All others are counted in memory and written with the next one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::gateway::Gateway;
use super::record::{self, day_of};
use super::timeline::{TIMELINE_CHATTER_MAX, newest, tell};
use super::{FlowError, Moment};
use crate::domain::event::Happening;
use crate::domain::ids::{AccountId, AttemptId, PaymentId, RefundId, Scope};
use crate::domain::merchant::ChannelAccount;
use crate::domain::time::Timestamp;
use crate::domain::trouble::Trouble;
use crate::store::tables::{ATTEMPTS, REFUNDS, UNBELIEVED};
use crate::store::{Read, StoreError, WriteTx};

/// Writes at once, when none came for a while; afterwards one in each [`WRITE_EVERY_MS`].
pub const WRITES_MAX: u64 = 5;
pub const WRITE_EVERY_MS: u64 = 10_000;
/// Lines in the story of one payment.
pub const LINES_MAX: usize = 3;
/// Numbers of one message that are looked up.
const NUMBERS_MAX: usize = 4;
/// Characters of an order's or refund's number.
const NUMBER_CHARS: usize = 26;

/// An account's messages of one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unbelieved {
    /// Days since 1970-01-01 in the merchant's zone.
    pub day: u32,
    pub count: u64,
    pub last_at: Timestamp,
    /// Why the last one was not believed.
    pub last: Trouble,
}

/// What is counted and not written yet, by account: there are as many as have been opened here.
#[derive(Clone, Default)]
pub struct Waiting(Arc<Mutex<BTreeMap<AccountId, Count>>>);

#[derive(Default)]
struct Count {
    waiting: u64,
    /// Milliseconds that are left for writing, and when that was so.
    budget_ms: u64,
    at_ms: Option<u64>,
}

impl Waiting {
    /// Counts one more; how many are to be written now, `None` when it is too soon.
    fn one_more(&self, account: AccountId, now_ms: u64) -> Option<u64> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(account).or_default();
        count.waiting = count.waiting.saturating_add(1);
        let full = WRITES_MAX * WRITE_EVERY_MS;
        let gained = count.at_ms.map_or(full, |at| now_ms.saturating_sub(at));
        count.budget_ms = count.budget_ms.saturating_add(gained).min(full);
        count.at_ms = Some(now_ms);
        count.budget_ms = count.budget_ms.checked_sub(WRITE_EVERY_MS)?;
        Some(std::mem::take(&mut count.waiting))
    }

    /// Counted and not written yet.
    pub fn of(&self, account: AccountId) -> u64 {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(&account).map_or(0, |count| count.waiting)
    }
}

/// Notes that a message to this account was not believed. `names` is where it may name an order: nothing in it is proved.
pub async fn note(gateway: &Gateway, account: &ChannelAccount, why: Trouble, from: Option<IpAddr>, names: &[u8]) {
    let why = Trouble { channel: Some(account.kind), ..why };
    gateway.outgoing.unbelieved(account.kind.code(), why.kind.code());
    let now_ms = gateway.env.clock.monotonic_ms();
    let Some(count) = gateway.unbelieved.one_more(account.id, now_ms) else { return };
    let (scope, id, numbers) = (account.scope, account.id, numbers_in(names));
    let moment = Moment::new(&gateway.env);
    let told = gateway.store.write(move |tx| {
        add(tx, scope, id, count, &why, moment.now)?;
        for payment in named(tx, scope, id, &numbers)? {
            tell_once_more(tx, scope, payment, &why, from, moment.now)?;
        }
        Ok::<_, FlowError>(())
    });
    if let Err(error) = told.await {
        tracing::error!(account = %id, "a message that was not believed could not be noted: {error}");
    }
}

/// What is known of an account's messages today.
pub fn today(
    tx: &impl Read,
    gateway: &Gateway,
    scope: Scope,
    account: AccountId,
    now: Timestamp,
) -> Result<Option<Unbelieved>, FlowError> {
    let day = day_of(&record::merchant(tx, scope)?, now);
    let row = tx.get(&UNBELIEVED, &(scope, account))?.filter(|row| row.day == day);
    Ok(row.map(|row| Unbelieved { count: row.count.saturating_add(gateway.unbelieved.of(account)), ..row }))
}

fn add(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    account: AccountId,
    count: u64,
    why: &Trouble,
    now: Timestamp,
) -> Result<(), FlowError> {
    let day = day_of(&record::merchant(tx, scope)?, now);
    let before = tx.get(&UNBELIEVED, &(scope, account))?.filter(|row| row.day == day).map_or(0, |row| row.count);
    let row = Unbelieved { day, count: before.saturating_add(count), last_at: now, last: why.clone() };
    Ok(tx.put(&UNBELIEVED, &(scope, account), &row)?)
}

fn tell_once_more(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    payment: PaymentId,
    why: &Trouble,
    from: Option<IpAddr>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let story = newest(tx, scope, payment, TIMELINE_CHATTER_MAX as usize)?;
    let lines = story.iter().filter(|line| matches!(line.what, Happening::NotificationRefused { .. })).count();
    if lines >= LINES_MAX {
        return Ok(());
    }
    tell(tx, scope, payment, now, Happening::NotificationRefused { reason: why.clone(), from })
}

/// Payments of this account that the numbers stand for.
fn named(tx: &impl Read, scope: Scope, account: AccountId, numbers: &[String]) -> Result<Vec<PaymentId>, StoreError> {
    let mut payments = Vec::new();
    for number in numbers {
        let attempt =
            AttemptId::parse_bare(number).ok().map(|id| tx.get(&ATTEMPTS, &(scope, id))).transpose()?.flatten();
        let refund = RefundId::parse_bare(number).ok().map(|id| tx.get(&REFUNDS, &(scope, id))).transpose()?.flatten();
        let of_attempt = attempt.filter(|attempt| attempt.account == account).map(|attempt| attempt.payment);
        let of_refund = refund.filter(|refund| refund.account == account).map(|refund| refund.payment);
        let payment = of_attempt.or(of_refund).filter(|payment| !payments.contains(payment));
        payments.extend(payment);
    }
    Ok(payments)
}

/// What could be a number of ours in foreign bytes, whatever their format: words of the right length, the first few.
fn numbers_in(bytes: &[u8]) -> Vec<String> {
    let mut numbers: Vec<String> = Vec::new();
    for word in bytes.split(|byte| !byte.is_ascii_alphanumeric()).filter(|word| word.len() == NUMBER_CHARS) {
        let word = String::from_utf8_lossy(word).into_owned();
        if AttemptId::parse_bare(&word).is_ok() && !numbers.contains(&word) {
            numbers.push(word);
        }
        if numbers.len() == NUMBERS_MAX {
            break;
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_whole_and_written_seldom() {
        let (waiting, account) = (Waiting::default(), AccountId::from_bytes([1; 16]));
        // A thousand at once, then one each second for a minute.
        let flood = (0..1_000).map(|_| 5);
        let written: Vec<u64> = flood
            .chain((1..=60).map(|second| 5 + second * 1_000))
            .filter_map(|at| waiting.one_more(account, at))
            .collect();
        assert_eq!(written.len() as u64, WRITES_MAX + 60_000 / WRITE_EVERY_MS);
        assert_eq!(written.iter().sum::<u64>() + waiting.of(account), 1_060);
        assert_eq!(waiting.of(AccountId::from_bytes([2; 16])), 0);
    }

    #[test]
    fn numbers_are_found_in_any_format_and_only_a_few() {
        let ids: Vec<String> = (1..=6).map(|n| AttemptId::from_bytes([n; 16]).bare()).collect();
        assert_eq!(numbers_in(format!("a=1&out_trade_no={}&b={}", ids[0], ids[1]).as_bytes()), &ids[..2]);
        assert_eq!(numbers_in(format!(r#"{{"out_trade_no":"{0}","x":"{0}"}}"#, ids[0]).as_bytes()), &ids[..1]);
        assert_eq!(numbers_in(ids.join(" ").as_bytes()).len(), NUMBERS_MAX);
        assert!(numbers_in(b"\xff\x00 too-short AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").is_empty());
    }
}
