//! The books of one merchant and mode: invariants I1 to I7, I9 and I12 over the stored rows, and the journal's indexes.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Tally, Verified, count, next, wrong};
use crate::domain::case::Case;
use crate::domain::ids::Scope;
use crate::domain::money::Currency;
use crate::domain::payment::{Payment, PaymentState};
use crate::domain::refund::{RefundSource, RefundState};
use crate::flows::books::currency_key;
use crate::ledger::verify::{
    BalanceRow, JournalWalk, PaymentFacts, Violation, money_has_owners, open_items, payment, right_sides,
    stored_equals_fold, sums_to_zero,
};
use crate::ledger::{Account, AccountCode, Balance, Head, Reason, Sub};
use crate::store::tables::{
    ACCOUNT_TOTALS, BALANCES, CASES, JOURNAL, JOURNAL_BY_ACCOUNT, JOURNAL_BY_CAUSE, JOURNAL_BY_PAYMENT, JOURNAL_HEADS,
    PAYMENTS, REFUNDS,
};
use crate::store::{Read, Span};

pub(super) fn verify(tx: &impl Read, scope: Scope, found: &mut Verified, tally: &mut Tally<'_>) -> Result<(), Finding> {
    let books = |violation| Finding::Books { scope, violation };
    let walk = journal(tx, scope, found, tally)?;
    let stored = balances(tx, scope)?;
    stored_equals_fold(stored.iter().copied(), walk.balances()).map_err(books)?;
    totals(tx, scope, &stored)?;
    sums_to_zero(stored.iter().copied()).map_err(books)?;
    right_sides(stored.iter().copied()).map_err(books)?;
    money_has_owners(stored.iter().copied()).map_err(books)?;
    let (refunds, cases) = (open_refunds(tx, scope)?, open_cases(tx, scope)?);
    open_items(AccountCode::RefundInTransit, refunds, stored.iter().copied()).map_err(books)?;
    open_items(AccountCode::SuspenseLong, cases, stored.iter().copied()).map_err(books)?;
    tx.walk(&PAYMENTS, &Span::prefix(&scope), |_, payment| {
        money_of(tx, scope, &payment)?;
        posted_once(tx, scope, &payment)?;
        next()
    })
}

/// I1 and I9, and that every entry is found by its cause, its payment and its accounts, and nothing else is.
fn journal(tx: &impl Read, scope: Scope, found: &mut Verified, tally: &mut Tally<'_>) -> Result<JournalWalk, Finding> {
    let mut walk = JournalWalk::new(Head::genesis(scope));
    let (mut entries, mut by_payment, mut by_account) = (0, 0, 0);
    tx.walk(&JOURNAL, &Span::prefix(&scope), |(_, seq), chained| {
        walk.read(&chained).map_err(|violation| Finding::Books { scope, violation })?;
        if chained.seq != seq {
            return wrong(&JOURNAL, seq, format!("it holds entry {}", chained.seq));
        }
        if tx.get(&JOURNAL_BY_CAUSE, &(scope, chained.entry.id().to_bytes()))? != Some(seq) {
            return wrong(&JOURNAL_BY_CAUSE, chained.entry.id(), format!("it does not lead to entry {seq}"));
        }
        if let Some(payment) = chained.entry.links().payment {
            by_payment += 1;
            if !tx.contains(&JOURNAL_BY_PAYMENT, &(scope, payment, seq))? {
                return wrong(&JOURNAL_BY_PAYMENT, payment, format!("entry {seq} is missing"));
            }
        }
        let codes: BTreeSet<u16> = chained.entry.postings().iter().map(|p| p.account.code().code()).collect();
        for code in codes {
            by_account += 1;
            if !tx.contains(&JOURNAL_BY_ACCOUNT, &(scope, code, seq))? {
                return wrong(&JOURNAL_BY_ACCOUNT, code, format!("entry {seq} is missing"));
            }
        }
        entries += 1;
        tally.row();
        next()
    })?;
    found.journal_entries += entries;
    let stored = tx.get(&JOURNAL_HEADS, &scope)?.unwrap_or_else(|| Head::genesis(scope));
    if stored != walk.head() {
        let detail = format!("the journal ends with entry {}, its end was stored as {}", walk.head().seq, stored.seq);
        return Err(books("I9", format!("entry {}", stored.seq), detail, scope));
    }
    let span = Span::prefix(&scope);
    let counted = [
        (JOURNAL_BY_CAUSE.name(), count(tx, &JOURNAL_BY_CAUSE, &span)?, entries),
        (JOURNAL_BY_PAYMENT.name(), count(tx, &JOURNAL_BY_PAYMENT, &span)?, by_payment),
        (JOURNAL_BY_ACCOUNT.name(), count(tx, &JOURNAL_BY_ACCOUNT, &span)?, by_account),
    ];
    for (table, rows, expected) in counted {
        if rows != expected {
            let row = format!("{} ({})", scope.merchant, scope.mode.as_str());
            return Err(Finding::Row { table, row, detail: format!("it has {rows} rows instead of {expected}") });
        }
    }
    Ok(walk)
}

fn balances(tx: &impl Read, scope: Scope) -> Result<Vec<BalanceRow>, Finding> {
    let mut rows = Vec::new();
    tx.walk(&BALANCES, &Span::prefix(&scope), |(_, currency, account), balance| {
        let currency = std::str::from_utf8(&currency).ok().and_then(Currency::parse);
        let (Some(currency), Ok(account)) = (currency, Account::from_bytes(account)) else {
            return wrong(&BALANCES, scope.merchant, "a row is kept under no account and currency that exist");
        };
        rows.push(BalanceRow { currency, account, balance });
        next()
    })?;
    Ok(rows)
}

/// I3 for the sums over sub-accounts that the trial balance is read from.
fn totals(tx: &impl Read, scope: Scope, stored: &[BalanceRow]) -> Result<(), Finding> {
    let mut expected: BTreeMap<([u8; 3], u16), Balance> = BTreeMap::new();
    for row in stored {
        let total = expected.entry((currency_key(row.currency), row.account.code().code())).or_default();
        total.debit_minor = total.debit_minor.saturating_add(row.balance.debit_minor);
        total.credit_minor = total.credit_minor.saturating_add(row.balance.credit_minor);
    }
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

/// What account 2006 has to hold.
fn open_refunds(tx: &impl Read, scope: Scope) -> Result<Vec<(Currency, Sub, u64)>, Finding> {
    let mut open = Vec::new();
    tx.walk(&REFUNDS, &Span::prefix(&scope), |(_, id), refund| {
        let reserved = match refund.source {
            RefundSource::Merchant(_) => true,
            // Money in suspense stays there until it is gone.
            RefundSource::Suspense(_) => false,
        };
        if reserved && !refund.state.is_final() {
            open.push((refund.amount.currency(), Sub::Refund(id), refund.amount.minor()));
        }
        next()
    })?;
    Ok(open)
}

/// What account 2201 has to hold.
fn open_cases(tx: &impl Read, scope: Scope) -> Result<Vec<(Currency, Sub, u64)>, Finding> {
    let mut open = Vec::new();
    tx.walk(&CASES, &Span::prefix(&scope), |(_, id), Case { seen, suspense_minor, .. }| {
        if suspense_minor > 0 {
            open.push((seen.currency(), Sub::Case(id), suspense_minor));
        }
        next()
    })?;
    Ok(open)
}

/// I5, and that a payment's sums are those of its refunds.
fn money_of(tx: &impl Read, scope: Scope, record: &Payment) -> Result<(), Finding> {
    let facts = PaymentFacts {
        payment: record.id,
        paid_minor: if record.state == PaymentState::Paid { record.amount.minor() } else { 0 },
        fee_minor: record.fee_minor,
        refunded_minor: record.refunded_minor,
        refunds_in_transit_minor: record.refunding_minor,
        fee_returned_minor: record.fee_returned_minor,
    };
    payment(&facts).map_err(|violation| Finding::Books { scope, violation })?;
    let (mut refunded, mut refunding, mut fee_returned) = (0u128, 0u128, 0u128);
    for id in &record.refunds {
        let Some(refund) = tx.get(&REFUNDS, &(scope, *id))? else {
            return wrong(&REFUNDS, id, format!("it is missing, and {} names it", record.id));
        };
        if let RefundSource::Suspense(_) = refund.source {
            continue;
        }
        match refund.state {
            RefundState::Pending | RefundState::Processing => refunding += u128::from(refund.amount.minor()),
            RefundState::Succeeded => {
                refunded += u128::from(refund.amount.minor());
                fee_returned += u128::from(refund.fee_returned_minor);
            }
            RefundState::Failed => {}
        }
    }
    let stored = [record.refunded_minor, record.refunding_minor, record.fee_returned_minor].map(u128::from);
    if stored != [refunded, refunding, fee_returned] {
        let detail = format!(
            "refunded, in transit and fee given back are {stored:?}, its refunds add up to {:?} (minor units)",
            [refunded, refunding, fee_returned]
        );
        return Err(books("I5", format!("payment {}", record.id), detail, scope));
    }
    Ok(())
}

/// I7: a paid payment has exactly one entry that books its money, another has none.
fn posted_once(tx: &impl Read, scope: Scope, payment: &Payment) -> Result<(), Finding> {
    let mut posted = 0;
    tx.walk(&JOURNAL_BY_PAYMENT, &Span::prefix(&(scope, payment.id)), |(_, _, seq), ()| {
        let Some(chained) = tx.get(&JOURNAL, &(scope, seq))? else {
            return wrong(&JOURNAL, seq, format!("it is missing, and {} leads to it", payment.id));
        };
        match chained.entry.reason() {
            Reason::Paid | Reason::LongBooked => posted += 1,
            Reason::Cleared
            | Reason::RefundAccepted
            | Reason::RefundSucceeded
            | Reason::RefundFailed
            | Reason::LongReceived
            | Reason::LongPaidBack
            | Reason::Reversal => {}
        }
        next()
    })?;
    let expected = u32::from(payment.state == PaymentState::Paid);
    if posted == expected {
        return Ok(());
    }
    let detail = format!("it is {}, and {posted} entries book its money", payment.state.code());
    Err(books("I7", format!("payment {}", payment.id), detail, scope))
}

fn books(invariant: &'static str, row: String, detail: String, scope: Scope) -> Finding {
    Finding::Books { scope, violation: Violation { invariant, row, detail } }
}
