//! The journal and the balances: I1 to I4, I9 and I12, and that every entry is found by its cause, its payment and its
//! accounts.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Run, Snapshots, books, next, page, stray, wrong};
use crate::domain::ids::Scope;
use crate::domain::money::Currency;
use crate::flows::books::{BLOCK, block, currency_key};
use crate::ledger::verify::{BalanceRow, JournalWalk, money_has_owners, right_sides, stored_equals_fold, sums_to_zero};
use crate::ledger::{Account, AccountCode, Balance, Cause, Chained, Head, Reason, Sub};
use crate::store::tables::{
    ACCOUNT_TOTALS, ATTEMPTS, BALANCES, CASES, JOURNAL, JOURNAL_BY_ACCOUNT, JOURNAL_BY_CAUSE, JOURNAL_BY_PAYMENT,
    JOURNAL_HEADS, MERCHANTS, PAYMENTS, REFUNDS,
};
use crate::store::{Key, Order, Read, Record, Span, Table};

/// Answers how many entries there are.
pub(super) fn verify<S: Snapshots>(run: &mut Run<'_, S>) -> Result<u64, Finding> {
    let mut entries = 0;
    let wanted = match run.scope {
        Some(scope) => BTreeSet::from([scope]),
        None => run.source.look(scopes)?,
    };
    for scope in wanted {
        entries += chain(run, scope)?;
    }
    run.each(&JOURNAL_BY_CAUSE, |tx, (scope, cause), seq| match tx.get(&JOURNAL, &(scope, seq))? {
        Some(chained) if chained.entry.id().to_bytes() == cause => Ok(()),
        Some(_) | None => stray(&JOURNAL_BY_CAUSE, format!("entry {seq}")),
    })?;
    run.each(&JOURNAL_BY_PAYMENT, |tx, (scope, payment, seq), ()| match tx.get(&JOURNAL, &(scope, seq))? {
        Some(chained) if chained.entry.links().payment == Some(payment) => Ok(()),
        Some(_) | None => stray(&JOURNAL_BY_PAYMENT, format!("{payment}, entry {seq}")),
    })?;
    run.each(&JOURNAL_BY_ACCOUNT, |tx, (scope, code, block), touched| {
        for bit in (0..BLOCK).filter(|bit| touched & (1 << bit) != 0) {
            let seq = block.saturating_mul(BLOCK).saturating_add(bit);
            match tx.get(&JOURNAL, &(scope, seq))? {
                Some(chained) if codes(&chained).contains(&code) => {}
                Some(_) | None => return stray(&JOURNAL_BY_ACCOUNT, format!("{code}, entry {seq}")),
            }
        }
        Ok(())
    })?;
    run.each(&BALANCES, |tx, (scope, currency, account), balance| {
        let row = parse(scope, currency, account, balance)?;
        owner(tx, scope, &row)
    })?;
    Ok(entries)
}

/// Every merchant and mode that has books, also one that should not.
fn scopes(tx: &impl Read) -> Result<BTreeSet<Scope>, Finding> {
    let mut scopes = BTreeSet::new();
    first_of_each(tx, &JOURNAL, |(scope, _)| *scope, &mut scopes)?;
    first_of_each(tx, &JOURNAL_HEADS, |scope| *scope, &mut scopes)?;
    first_of_each(tx, &BALANCES, |(scope, _, _)| *scope, &mut scopes)?;
    first_of_each(tx, &ACCOUNT_TOTALS, |(scope, _, _)| *scope, &mut scopes)?;
    Ok(scopes)
}

/// Steps from one merchant and mode to the next.
fn first_of_each<K: Key, V: Record>(
    tx: &impl Read,
    table: &Table<K, V>,
    scope: impl Fn(&K) -> Scope,
    scopes: &mut BTreeSet<Scope>,
) -> Result<(), Finding> {
    let mut span = Span::all();
    while let Some((key, _)) = tx.scan(table, &span, Order::Ascending, 1)?.pop() {
        scopes.insert(scope(&key));
        span = Span::all().after(&scope(&key));
    }
    Ok(())
}

/// One journal from its beginning. The last page, the stored end and the balances are read in one snapshot.
fn chain<S: Snapshots>(run: &mut Run<'_, S>, scope: Scope) -> Result<u64, Finding> {
    let mut walk = JournalWalk::new(Head::genesis(scope));
    let full = run.page_rows;
    loop {
        let mut rows = 0;
        let over = run.source.look(|tx| {
            let behind = Span::prefix(&scope).after(&(scope, walk.head().seq));
            tx.walk(&JOURNAL, &behind, |(_, seq), chained| {
                walk.read(&chained).map_err(|violation| Finding::Books { scope, violation })?;
                if chained.seq != seq {
                    return wrong(&JOURNAL, seq, format!("it holds entry {}", chained.seq));
                }
                linked(tx, scope, &chained)?;
                rows += 1;
                page(rows, full)
            })?;
            if rows == full {
                forget_settled(tx, scope, &mut walk)?;
                return Ok(false);
            }
            sums(tx, scope, &walk)?;
            Ok(true)
        })?;
        run.advance(rows);
        if over {
            return Ok(walk.head().seq);
        }
    }
}

fn codes(chained: &Chained) -> BTreeSet<u16> {
    chained.entry.postings().iter().map(|posting| posting.account.code().code()).collect()
}

/// The entry is found from where one would look for it, and what it names exists.
fn linked(tx: &impl Read, scope: Scope, chained: &Chained) -> Result<(), Finding> {
    let (entry, seq) = (&chained.entry, chained.seq);
    if tx.get(&JOURNAL_BY_CAUSE, &(scope, entry.id().to_bytes()))? != Some(seq) {
        return wrong(&JOURNAL_BY_CAUSE, entry.id(), format!("it does not lead to entry {seq}"));
    }
    for code in codes(chained) {
        let (block, bit) = block(seq);
        if tx.get(&JOURNAL_BY_ACCOUNT, &(scope, code, block))?.unwrap_or_default() & bit == 0 {
            return wrong(&JOURNAL_BY_ACCOUNT, code, format!("entry {seq} is missing"));
        }
    }
    let links = entry.links();
    if let Some(payment) = links.payment {
        if !tx.contains(&JOURNAL_BY_PAYMENT, &(scope, payment, seq))? {
            return wrong(&JOURNAL_BY_PAYMENT, payment, format!("entry {seq} is missing"));
        }
        if !tx.contains(&PAYMENTS, &(scope, payment))? {
            return wrong(&PAYMENTS, payment, format!("it is missing, and entry {seq} names it"));
        }
    }
    if let Some(attempt) = links.attempt
        && !tx.contains(&ATTEMPTS, &(scope, attempt))?
    {
        return wrong(&ATTEMPTS, attempt, format!("it is missing, and entry {seq} names it"));
    }
    if let Some(refund) = links.refund
        && !tx.contains(&REFUNDS, &(scope, refund))?
    {
        return wrong(&REFUNDS, refund, format!("it is missing, and entry {seq} names it"));
    }
    if let Some(case) = links.case
        && !tx.contains(&CASES, &(scope, case))?
    {
        return wrong(&CASES, case, format!("it is missing, and entry {seq} names it"));
    }
    if let Some(reversed) = links.reverses.filter(|reversed| *reversed >= seq) {
        return wrong(&JOURNAL, seq, format!("it takes back entry {reversed}, which came later"));
    }
    Ok(())
}

/// There are as many of these accounts as there were refunds and cases, and almost all of them have done their work.
fn is_settled(account: Account, balance: Balance) -> bool {
    let of_one_thing = matches!(account.code(), AccountCode::RefundInTransit | AccountCode::SuspenseLong);
    of_one_thing && balance.debit_minor == balance.credit_minor
}

/// Compares balances that have come back to zero with what is stored, and forgets those that agree.
fn forget_settled(tx: &impl Read, scope: Scope, walk: &mut JournalWalk) -> Result<(), Finding> {
    let mut failed = None;
    walk.forget(|row| {
        let key = (scope, currency_key(row.currency), row.account.to_bytes());
        is_settled(row.account, row.balance)
            && match tx.get(&BALANCES, &key) {
                Ok(stored) => stored == Some(row.balance),
                Err(error) => {
                    failed = Some(error);
                    false
                }
            }
    });
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// The end of the journal and all sums over it.
fn sums(tx: &impl Read, scope: Scope, walk: &JournalWalk) -> Result<(), Finding> {
    let head = walk.head();
    let stored = tx.get(&JOURNAL_HEADS, &scope)?.unwrap_or_else(|| Head::genesis(scope));
    if stored != head {
        let detail = format!("the journal ends with entry {}, its end was stored as {}", head.seq, stored.seq);
        return books("I9", scope, format!("entry {}", stored.seq), detail);
    }
    if !tx.contains(&MERCHANTS, &scope.merchant)? {
        return wrong(&JOURNAL_HEADS, scope.merchant, "this merchant does not exist");
    }
    let fold: BTreeMap<_, _> = walk.balances().map(|row| ((row.currency, row.account), row.balance)).collect();
    let (mut rows, mut recounted) = (Vec::new(), BTreeSet::new());
    let mut totals: BTreeMap<([u8; 3], u16), Balance> = BTreeMap::new();
    tx.walk(&BALANCES, &Span::prefix(&scope), |(_, currency, account), balance| {
        let row = parse(scope, currency, account, balance)?;
        let total = totals.entry((currency, row.account.code().code())).or_default();
        total.debit_minor = total.debit_minor.saturating_add(balance.debit_minor);
        total.credit_minor = total.credit_minor.saturating_add(balance.credit_minor);
        match fold.get(&(row.currency, row.account)) {
            None if is_settled(row.account, balance) => {}
            // Forgotten once, and posted to again.
            Some(sum) if *sum != balance && recount(tx, scope, &row)? == Some(balance) => {
                recounted.insert((row.currency, row.account));
            }
            Some(_) | None => rows.push(row),
        }
        next()
    })?;
    let read = walk.balances().filter(|row| !recounted.contains(&(row.currency, row.account)));
    let checked = stored_equals_fold(rows.iter().copied(), read)
        .and_then(|()| sums_to_zero(rows.iter().copied()))
        .and_then(|()| right_sides(rows.iter().copied()))
        .and_then(|()| money_has_owners(rows.iter().copied()));
    checked.map_err(|violation| Finding::Books { scope, violation })?;
    trial_balance(tx, scope, totals)
}

/// I3 for the sums over sub-accounts that the trial balance is read from.
fn trial_balance(tx: &impl Read, scope: Scope, mut expected: BTreeMap<([u8; 3], u16), Balance>) -> Result<(), Finding> {
    tx.walk(&ACCOUNT_TOTALS, &Span::prefix(&scope), |(_, currency, code), total| {
        if expected.remove(&(currency, code)).unwrap_or_default() != total {
            return wrong(&ACCOUNT_TOTALS, code, "it is not the sum of its sub-accounts");
        }
        next()
    })?;
    match expected.into_iter().find(|(_, total)| *total != Balance::default()) {
        None => Ok(()),
        Some(((_, code), _)) => wrong(&ACCOUNT_TOTALS, code, "the sum of its sub-accounts is missing"),
    }
}

/// Adds up the postings to the account of one refund or case, from the entries of its payment.
fn recount(tx: &impl Read, scope: Scope, row: &BalanceRow) -> Result<Option<Balance>, Finding> {
    let Some(first) = origin(row.account) else { return Ok(None) };
    let Some(seq) = tx.get(&JOURNAL_BY_CAUSE, &(scope, first.id().to_bytes()))? else { return Ok(None) };
    let Some(payment) = tx.get(&JOURNAL, &(scope, seq))?.and_then(|chained| chained.entry.links().payment) else {
        return Ok(None);
    };
    let mut sum = Some(Balance::default());
    tx.walk(&JOURNAL_BY_PAYMENT, &Span::prefix(&(scope, payment)), |(_, _, seq), ()| {
        let entry = tx.get(&JOURNAL, &(scope, seq))?.map(|chained| chained.entry);
        for posting in entry.iter().flat_map(|entry| entry.postings()).filter(|p| p.account == row.account) {
            sum = sum.and_then(|sum| sum.apply(posting).ok());
        }
        next()
    })?;
    Ok(sum)
}

/// What was posted first to the account of one refund or case.
fn origin(account: Account) -> Option<Cause> {
    match account.sub() {
        Sub::Refund(id) => Some(Cause { subject: id.to_bytes(), reason: Reason::RefundAccepted }),
        Sub::Case(id) => Some(Cause { subject: id.to_bytes(), reason: Reason::LongReceived }),
        Sub::None | Sub::ChannelAccount(_) | Sub::Merchant(_) => None,
    }
}

fn parse(
    scope: Scope,
    currency: [u8; 3],
    account: [u8; Account::BYTES],
    balance: Balance,
) -> Result<BalanceRow, Finding> {
    let currency = std::str::from_utf8(&currency).ok().and_then(Currency::parse);
    match (currency, Account::from_bytes(account)) {
        (Some(currency), Ok(account)) => Ok(BalanceRow { currency, account, balance }),
        (None, _) | (_, Err(_)) => {
            wrong(&BALANCES, scope.merchant, "a row is kept under no account and currency that exist")
        }
    }
}

/// A balance of one refund or case belongs to one that was posted.
fn owner(tx: &impl Read, scope: Scope, row: &BalanceRow) -> Result<(), Finding> {
    let Some(first) = origin(row.account) else { return Ok(()) };
    if row.balance == Balance::default() || tx.contains(&JOURNAL_BY_CAUSE, &(scope, first.id().to_bytes()))? {
        return Ok(());
    }
    wrong(&BALANCES, row.account, "nothing was ever posted to it")
}
