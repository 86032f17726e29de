//! Reads everything and checks it against itself: the books, the indexes, the promises in the queue, the audit chains.
//! Stops at the first row that fails and names it. Changes nothing.

mod books;
mod rows;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;

use crate::audit::log::{self, VerifyError};
use crate::domain::ids::{MerchantId, Mode, Scope};
use crate::ledger::verify::Violation;
use crate::store::tables::{JOURNAL_HEADS, MERCHANTS, PAYMENTS};
use crate::store::{Key, Read, Record, Span, StoreError, Table};

/// What was looked at and is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub merchants: u64,
    pub payments: u64,
    pub refunds: u64,
    pub journal_entries: u64,
    pub deliveries: u64,
    pub audit_records: u64,
}

/// The first row that is wrong.
#[derive(Debug)]
pub enum Finding {
    /// An invariant of the books.
    Books { scope: Scope, violation: Violation },
    /// A row that contradicts another one, or that is missing or too much.
    Row { table: &'static str, row: String, detail: String },
    /// The audit log was changed.
    Audit(VerifyError),
    /// Reading failed, or a record cannot be decoded.
    Store(StoreError),
}

/// Checks the whole store on one snapshot. `progress` is told the number of rows that are done.
pub fn verify(tx: &impl Read, progress: &mut dyn FnMut(u64)) -> Result<Verified, Finding> {
    let mut found = Verified::default();
    let mut tally = Tally { rows: 0, progress };
    let mut merchants = BTreeSet::new();
    tx.walk(&MERCHANTS, &Span::all(), |id, _| {
        merchants.insert(id);
        next()
    })?;
    found.merchants = merchants.len() as u64;
    for scope in scopes(&merchants) {
        books::verify(tx, scope, &mut found, &mut tally)?;
        rows::verify(tx, scope, &mut found, &mut tally)?;
    }
    rows::verify_shared(tx, &mut tally)?;
    no_orphans(tx, &merchants)?;
    found.audit_records = audit(log::verify_all(tx))?;
    Ok(found)
}

/// Checks what belongs to one merchant and mode, and the merchant's audit chain.
pub fn verify_scope(tx: &impl Read, scope: Scope, progress: &mut dyn FnMut(u64)) -> Result<Verified, Finding> {
    let mut found = Verified { merchants: 1, ..Verified::default() };
    let mut tally = Tally { rows: 0, progress };
    books::verify(tx, scope, &mut found, &mut tally)?;
    rows::verify(tx, scope, &mut found, &mut tally)?;
    found.audit_records = audit(log::verify_chain(tx, scope.merchant))?;
    Ok(found)
}

fn audit(verified: Result<log::Verified, VerifyError>) -> Result<u64, Finding> {
    verified.map(|verified| verified.records).map_err(|error| match error {
        VerifyError::Store(error) => Finding::Store(error),
        broken @ VerifyError::Broken(_) => Finding::Audit(broken),
    })
}

fn scopes(merchants: &BTreeSet<MerchantId>) -> impl Iterator<Item = Scope> + '_ {
    merchants.iter().flat_map(|merchant| [Mode::Test, Mode::Live].map(|mode| Scope { merchant: *merchant, mode }))
}

/// What was checked by merchant leaves nothing out: no payment and no journal belongs to a merchant that is not there.
fn no_orphans(tx: &impl Read, merchants: &BTreeSet<MerchantId>) -> Result<(), Finding> {
    tx.walk(&PAYMENTS, &Span::all(), |(scope, id), _| match merchants.contains(&scope.merchant) {
        true => next(),
        false => wrong(&PAYMENTS, id, format!("its merchant {} does not exist", scope.merchant)),
    })?;
    tx.walk(&JOURNAL_HEADS, &Span::all(), |scope, _| match merchants.contains(&scope.merchant) {
        true => next(),
        false => wrong(&JOURNAL_HEADS, scope.merchant, "this merchant does not exist"),
    })
}

/// Rows that were looked at.
struct Tally<'a> {
    rows: u64,
    progress: &'a mut dyn FnMut(u64),
}

impl Tally<'_> {
    fn row(&mut self) {
        self.rows += 1;
        (self.progress)(self.rows);
    }
}

/// What a walk answers to go on.
fn next() -> Result<ControlFlow<()>, Finding> {
    Ok(ControlFlow::Continue(()))
}

/// What a check answers to stop.
fn wrong<T, K, V>(table: &Table<K, V>, row: impl fmt::Display, detail: impl Into<String>) -> Result<T, Finding> {
    Err(Finding::Row { table: table.name(), row: row.to_string(), detail: detail.into() })
}

/// Rows of a span.
fn count<K: Key, V: Record>(tx: &impl Read, table: &Table<K, V>, span: &Span) -> Result<u64, Finding> {
    let mut rows = 0;
    tx.walk(table, span, |_, _| {
        rows += 1;
        next()
    })?;
    Ok(rows)
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Books { scope, violation } => {
                write!(f, "the books of {} ({}) are wrong: {violation}", scope.merchant, scope.mode.as_str())
            }
            Finding::Row { table, row, detail } => write!(f, "table {table}, row {row}: {detail}"),
            Finding::Audit(error) => write!(f, "the audit log was changed: {error}"),
            Finding::Store(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Finding {}

impl From<StoreError> for Finding {
    fn from(error: StoreError) -> Self {
        Finding::Store(error)
    }
}
