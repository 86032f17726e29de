//! Reads everything and checks it against itself: the books, the records, their indexes, the promises in the queue, the
//! audit chains. Stops at the first row that fails and names it. Changes nothing.
//!
//! Each row is checked together with everything that it must agree with, in one snapshot; each page of rows has a snapshot
//! of its own, because a snapshot that is held for minutes makes the file of a busy server grow. So what was committed
//! in between never looks like damage. A row that is written behind the place that was reached is left to the next run.
//! The two checks that compare a sum with all of its parts, balances with the journal and day totals with the events,
//! read the parts in pages too, but the newest parts and the sum in one last snapshot.

mod books;
mod callbacks;
mod days;
mod payments;
mod people;
mod queue;
mod refunds;

use std::fmt;
use std::ops::ControlFlow;

use crate::audit::log::{self, VerifyError};
use crate::domain::ids::Scope;
use crate::ledger::verify::Violation;
use crate::store::tables::MERCHANTS;
use crate::store::{Key, Read, ReadTx, Record, Span, Store, StoreError, Table};

/// Rows that are looked at in one snapshot.
const PAGE_ROWS: usize = 2_000;

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

/// Checks everything on one snapshot, or inside a write. `progress` is told the number of rows that are done, page by page.
pub fn verify(tx: &impl Read, progress: &mut dyn FnMut(u64)) -> Result<Verified, Finding> {
    all(&One(tx), PAGE_ROWS, progress)
}

/// Checks everything on many short snapshots: for a store that is being served.
pub fn verify_live(store: &Store, progress: &mut dyn FnMut(u64)) -> Result<Verified, Finding> {
    all(store, PAGE_ROWS, progress)
}

/// As [`verify_live`], for what belongs to one merchant and mode and the merchant's audit chain. Blocks.
pub fn verify_scope(store: &Store, scope: Scope, progress: &mut dyn FnMut(u64)) -> Result<Verified, Finding> {
    let mut run = Run { source: store, page_rows: PAGE_ROWS, scope: Some(scope), rows: 0, progress };
    let found = run.books_and_records()?;
    let audit_records = store.look(|tx| audit(log::verify_chain(tx, scope.merchant)))?;
    Ok(Verified { merchants: 1, audit_records, ..found })
}

fn all<S: Snapshots>(source: &S, page_rows: usize, progress: &mut dyn FnMut(u64)) -> Result<Verified, Finding> {
    let mut run = Run { source, page_rows, scope: None, rows: 0, progress };
    let merchants = run.each(&MERCHANTS, |_, _, _| Ok(()))?;
    let found = run.books_and_records()?;
    queue::verify(&mut run)?;
    people::verify(&mut run)?;
    let audit_records = source.look(|tx| audit(log::verify_all(tx)))?;
    Ok(Verified { merchants, audit_records, ..found })
}

fn audit(verified: Result<log::Verified, VerifyError>) -> Result<u64, Finding> {
    verified.map(|verified| verified.records).map_err(|error| match error {
        VerifyError::Store(error) => Finding::Store(error),
        broken @ VerifyError::Broken(_) => Finding::Audit(broken),
    })
}

/// Where snapshots come from: a new one for each look, or always the same.
trait Snapshots {
    type Tx: Read;
    fn look<T>(&self, f: impl FnOnce(&Self::Tx) -> Result<T, Finding>) -> Result<T, Finding>;
}

struct One<'a, R>(&'a R);

impl<R: Read> Snapshots for One<'_, R> {
    type Tx = R;
    fn look<T>(&self, f: impl FnOnce(&R) -> Result<T, Finding>) -> Result<T, Finding> {
        f(self.0)
    }
}

impl Snapshots for Store {
    type Tx = ReadTx;
    fn look<T>(&self, f: impl FnOnce(&ReadTx) -> Result<T, Finding>) -> Result<T, Finding> {
        self.read_blocking(f)
    }
}

/// One verification under way.
struct Run<'a, S> {
    source: &'a S,
    page_rows: usize,
    /// Only the rows of one merchant and mode.
    scope: Option<Scope>,
    rows: u64,
    progress: &'a mut dyn FnMut(u64),
}

impl<S: Snapshots> Run<'_, S> {
    /// Everything whose keys begin with a merchant and mode.
    fn books_and_records(&mut self) -> Result<Verified, Finding> {
        Ok(Verified {
            journal_entries: books::verify(self)?,
            payments: payments::verify(self)?,
            refunds: refunds::verify(self)?,
            deliveries: callbacks::verify(self)?,
            ..Verified::default()
        })
    }

    /// The rows that are wanted, of a table whose keys begin with a merchant and mode.
    fn span(&self) -> Span {
        self.scope.map_or_else(Span::all, |scope| Span::prefix(&scope))
    }

    /// Checks every row of a table; answers how many there were.
    fn each<K: Key, V: Record>(
        &mut self,
        table: &Table<K, V>,
        mut check: impl FnMut(&S::Tx, K, V) -> Result<(), Finding>,
    ) -> Result<u64, Finding> {
        let mut total = 0;
        let mut span = self.span();
        loop {
            let mut rows = 0;
            let last = self.source.look(|tx| {
                let mut last = None;
                tx.walk(table, &span, |key, value| {
                    check(tx, key.clone(), value)?;
                    rows += 1;
                    last = Some(key);
                    page(rows, self.page_rows)
                })?;
                Ok(last)
            })?;
            total += rows as u64;
            self.advance(rows);
            match last {
                Some(key) if rows == self.page_rows => span = span.after(&key),
                Some(_) | None => return Ok(total),
            }
        }
    }

    fn advance(&mut self, rows: usize) {
        self.rows += rows as u64;
        (self.progress)(self.rows);
    }
}

/// What a walk answers to go on.
fn next() -> Result<ControlFlow<()>, Finding> {
    Ok(ControlFlow::Continue(()))
}

/// The same, as long as the page is not full.
fn page(rows: usize, full: usize) -> Result<ControlFlow<()>, Finding> {
    Ok(if rows < full { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
}

/// What a check answers to stop.
fn wrong<T, K, V>(table: &Table<K, V>, row: impl fmt::Display, detail: impl Into<String>) -> Result<T, Finding> {
    Err(Finding::Row { table: table.name(), row: row.to_string(), detail: detail.into() })
}

fn lost<T, K, V>(index: &Table<K, V>, row: impl fmt::Display) -> Result<T, Finding> {
    wrong(index, row, "the index does not lead to it")
}

fn stray<T, K, V>(index: &Table<K, V>, row: impl fmt::Display) -> Result<T, Finding> {
    wrong(index, row, "the index has a row that no record asks for")
}

fn books<T>(
    invariant: &'static str,
    scope: Scope,
    row: impl Into<String>,
    detail: impl Into<String>,
) -> Result<T, Finding> {
    let violation = Violation { invariant, row: row.into(), detail: detail.into() };
    Err(Finding::Books { scope, violation })
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::crypto::{MasterKey, Secret, Vault};
    use crate::demo::past::{self, Cast};
    use crate::domain::endpoint::{Endpoint, EndpointState};
    use crate::domain::ids::{EndpointId, KeyId, Mode, UserId};
    use crate::domain::time::Timestamp;
    use crate::env::Env;
    use crate::flows::setup::NewMerchant;
    use crate::store::tables::{ENDPOINTS, JOURNAL, TIMELINE};
    use crate::store::{Order, StoreOptions};

    const NOW: Timestamp = Timestamp::from_seconds(1_795_432_000);

    /// A shop after two days.
    fn lived() -> Store {
        let store = Store::open_memory(StoreOptions::default()).unwrap();
        let vault = Vault::new(&MasterKey::from_bytes([1; 32]));
        let mut account = None;
        let merchant = NewMerchant::prepare(&Env::system(), &vault, "m", "Asia/Shanghai", |id| {
            account = Some(id);
            Secret::new("{}")
        });
        let endpoint = Endpoint {
            id: EndpointId::from_bytes([9; 16]),
            url: String::new(),
            description: String::new(),
            events: BTreeSet::new(),
            secret: None,
            previous_secret: None,
            state: EndpointState::Enabled,
            breaker: Default::default(),
            implicit: false,
            created_at: NOW,
        };
        let cast = Cast {
            scope: merchant.scope(Mode::Test),
            account: account.unwrap(),
            mch_id: String::new(),
            app_id: String::new(),
            endpoint: endpoint.id,
            base_url: String::new(),
            shop_url: String::new(),
            callback_url: String::new(),
            person: UserId::from_bytes([7; 16]),
            key: KeyId::from_bytes([6; 16]),
        };
        let scope = cast.scope;
        store
            .write_blocking(move |tx| {
                merchant.store(tx)?;
                tx.put(&ENDPOINTS, &(scope, endpoint.id), &endpoint)
            })
            .unwrap();
        past::live(&store, &cast, 2, NOW, &mut |_, _| {}).unwrap();
        store
    }

    #[test]
    fn pages_of_any_length_see_every_row_to_the_last() {
        let store = lived();
        let whole = verify_live(&store, &mut |_| {}).unwrap();
        for page_rows in [1, 7, 100] {
            let mut rows = 0;
            assert_eq!(all(&store, page_rows, &mut |done| rows = done).unwrap(), whole);
            assert!(rows > whole.payments);
        }
        let last = store.read_blocking(|tx| tx.scan(&JOURNAL, &Span::all(), Order::Descending, 1)).unwrap();
        let ((scope, seq), mut chained) = last[0].clone();
        chained.hash[0] ^= 1;
        store.write_blocking(move |tx| tx.put(&JOURNAL, &(scope, seq), &chained)).unwrap();
        let found = all(&store, 7, &mut |_| {}).unwrap_err().to_string();
        assert!(found.contains(&format!("I9: entry {seq}: its content was changed")), "{found}");

        let store = lived();
        let last = store.read_blocking(|tx| tx.scan(&TIMELINE, &Span::all(), Order::Descending, 1)).unwrap();
        let ((scope, payment, number), lines) = last[0].clone();
        let behind = (scope, payment, number + 2);
        store.write_blocking(move |tx| tx.put(&TIMELINE, &behind, &lines)).unwrap();
        let found = all(&store, 7, &mut |_| {}).unwrap_err().to_string();
        assert!(found.contains(&format!("row {} is missing", number + 1)), "{found}");
    }
}
