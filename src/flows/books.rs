//! Posting to the books: chained, once per cause, with the invariants asserted in every build.

use std::ops::Range;

use super::FlowError;
use crate::domain::ids::{AccountId, MerchantId, PaymentId, Scope};
use crate::domain::money::Currency;
use crate::ledger::{Account, Balance, ChannelPosition, Head, JournalEntry, MerchantPosition};
use crate::store::tables::{
    ACCOUNT_TOTALS, BALANCES, JOURNAL, JOURNAL_BY_ACCOUNT, JOURNAL_BY_CAUSE, JOURNAL_BY_PAYMENT, JOURNAL_HEADS,
};
use crate::store::{Order, Read, Span, StoreError, WriteTx};

/// The three letters of a currency, as balances are keyed.
pub fn currency_key(currency: Currency) -> [u8; 3] {
    currency.code().as_bytes().try_into().expect("ISO 4217 codes have three letters")
}

pub fn balance(tx: &impl Read, scope: Scope, currency: Currency, account: Account) -> Result<Balance, StoreError> {
    Ok(tx.get(&BALANCES, &(scope, currency_key(currency), account.to_bytes()))?.unwrap_or_default())
}

pub fn merchant_position(tx: &impl Read, scope: Scope, currency: Currency) -> Result<MerchantPosition, FlowError> {
    let of = |account: fn(MerchantId) -> Account| balance(tx, scope, currency, account(scope.merchant));
    Ok(MerchantPosition::new(
        of(Account::merchant_pending)?,
        of(Account::merchant_available)?,
        of(Account::owed_by_merchant)?,
    )?)
}

pub fn channel_position(
    tx: &impl Read,
    scope: Scope,
    currency: Currency,
    account: AccountId,
) -> Result<ChannelPosition, FlowError> {
    let of = |which: fn(AccountId) -> Account| balance(tx, scope, currency, which(account));
    Ok(ChannelPosition::new(of(Account::channel_receivable)?, of(Account::settled)?)?)
}

/// Appends an entry to the chain of its merchant and mode and moves the balances. `false` when its cause has been posted
/// before: then nothing happens.
///
/// Refuses what would leave an account on its wrong side (I4), so that nothing of the transaction is committed.
pub fn post(tx: &mut WriteTx<'_>, scope: Scope, entry: JournalEntry) -> Result<bool, FlowError> {
    let cause = (scope, entry.id().to_bytes());
    if tx.contains(&JOURNAL_BY_CAUSE, &cause)? {
        return Ok(false);
    }
    entry.check().map_err(|why| FlowError::Books(why.to_string()))?;
    let head = tx.get(&JOURNAL_HEADS, &scope)?.unwrap_or_else(|| Head::genesis(scope));
    let chained = head.append(entry);
    let currency = currency_key(chained.entry.currency());
    for posting in chained.entry.postings() {
        let key = (scope, currency, posting.account.to_bytes());
        let before = tx.get(&BALANCES, &key)?.unwrap_or_default();
        let after = before.apply(posting).map_err(|why| FlowError::Books(why.to_string()))?;
        after.of(posting.account.code())?;
        tx.put(&BALANCES, &key, &after)?;
        let of_code = (scope, currency, posting.account.code().code());
        let total = tx.get(&ACCOUNT_TOTALS, &of_code)?.unwrap_or_default();
        let total = total.apply(posting).map_err(|why| FlowError::Books(why.to_string()))?;
        tx.put(&ACCOUNT_TOTALS, &of_code, &total)?;
        touch(tx, scope, posting.account.code().code(), chained.seq)?;
    }
    if let Some(payment) = chained.entry.links().payment {
        link(tx, scope, payment, chained.seq)?;
    }
    tx.put(&JOURNAL_BY_CAUSE, &cause, &chained.seq)?;
    tx.put(&JOURNAL_HEADS, &scope, &chained.head())?;
    tx.put(&JOURNAL, &(scope, chained.seq), &chained)?;
    Ok(true)
}

/// Entries in one row of the index by account.
pub const BLOCK: u64 = u64::BITS as u64;

/// Where an entry stands in the index: its block, and its bit.
pub const fn block(seq: u64) -> (u64, u64) {
    (seq / BLOCK, 1 << (seq % BLOCK))
}

fn touch(tx: &mut WriteTx<'_>, scope: Scope, code: u16, seq: u64) -> Result<(), StoreError> {
    let (block, bit) = block(seq);
    let key = (scope, code, block);
    let touched = tx.get(&JOURNAL_BY_ACCOUNT, &key)?.unwrap_or_default();
    tx.put(&JOURNAL_BY_ACCOUNT, &key, &(touched | bit))
}

/// Numbers of entries that touch an account code, at most `limit`, those inside `range` alone.
pub fn touching(
    tx: &impl Read,
    scope: Scope,
    code: u16,
    range: Range<u64>,
    order: Order,
    limit: usize,
) -> Result<Vec<u64>, StoreError> {
    let Some(last) = range.end.checked_sub(1).filter(|last| range.start <= *last) else { return Ok(Vec::new()) };
    let key = |seq| (scope, code, block(seq).0);
    let span = Span::prefix(&(scope, code)).from(&key(range.start)).until(&(scope, code, block(last).0 + 1));
    // Every row has an entry; only those at the ends may have none inside the range.
    let rows = tx.scan(&JOURNAL_BY_ACCOUNT, &span, order, limit.saturating_add(2))?;
    let mut found: Vec<u64> = Vec::new();
    for ((_, _, block), touched) in rows {
        let entries = (0..BLOCK).filter(|bit| touched & (1 << bit) != 0).map(|bit| block * BLOCK + bit);
        let entries = entries.filter(|seq| range.contains(seq));
        match order {
            Order::Ascending => found.extend(entries),
            Order::Descending => found.extend(entries.rev()),
        }
    }
    found.truncate(limit);
    Ok(found)
}

fn link(tx: &mut WriteTx<'_>, scope: Scope, payment: PaymentId, seq: u64) -> Result<(), StoreError> {
    tx.put(&JOURNAL_BY_PAYMENT, &(scope, payment, seq), &())
}
