//! Reading: what a snapshot and an unfinished write have in common, and the snapshot itself.

use std::{
    cell::{Cell, RefCell},
    ops::ControlFlow,
    rc::Rc,
    sync::Arc,
};

use redb::{ReadableDatabase, TableDefinition, TableError};

use super::{
    codec,
    error::StoreError,
    health::{Health, ReadAge},
    span::{Order, Span},
    table::{Key, Record, Table},
};

/// No scan answers more rows, whatever limit it asks for; walk what is longer.
pub const SCAN_ROWS_MAX: usize = 100_000;

/// What can be read, from a snapshot ([`ReadTx`]) or inside a write (`WriteTx`, which sees its own changes).
pub trait Read: Rows {
    /// The record under a key.
    fn get<K: Key, V: Record>(&self, t: &Table<K, V>, key: &K) -> Result<Option<V>, StoreError> {
        with_key(self, t, key, |key| {
            let mut found = Ok(None);
            self.row(t.name, key, &mut |value| found = codec::decode_value(t.name, t.layout, key, value).map(Some))?;
            found
        })
    }

    /// Whether there is a record under a key.
    fn contains<K: Key, V>(&self, t: &Table<K, V>, key: &K) -> Result<bool, StoreError> {
        with_key(self, t, key, |key| {
            let mut found = false;
            self.row(t.name, key, &mut |_| found = true)?;
            Ok(found)
        })
    }

    /// The first rows of a span in the given order, at most `limit` and never more than [`SCAN_ROWS_MAX`].
    fn scan<K: Key, V: Record>(
        &self,
        t: &Table<K, V>,
        span: &Span,
        order: Order,
        limit: usize,
    ) -> Result<Vec<(K, V)>, StoreError> {
        let limit = limit.min(SCAN_ROWS_MAX);
        let mut rows = Vec::new();
        let mut failed = None;
        if limit == 0 {
            return Ok(rows);
        }
        self.rows(t.name, span, order, &mut |key, value| match row(t, key, value) {
            Ok(row) => {
                rows.push(row);
                if rows.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })?;
        failed.map_or(Ok(rows), Err)
    }

    /// The last key of a span; the record under it is not decoded.
    fn last_key<K: Key, V>(&self, t: &Table<K, V>, span: &Span) -> Result<Option<K>, StoreError> {
        let mut last = None;
        self.rows(t.name, span, Order::Descending, &mut |key, _| {
            last = Some(codec::decode_key(t.name, key));
            ControlFlow::Break(())
        })?;
        last.transpose()
    }

    /// Every row of a span, ascending, one at a time: for verification, exports and sums. Inside a write, walk only spans
    /// that stay short: the writer waits for it.
    fn walk<K: Key, V: Record, E: From<StoreError>>(
        &self,
        t: &Table<K, V>,
        span: &Span,
        mut f: impl FnMut(K, V) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let mut failed = None;
        self.rows(t.name, span, Order::Ascending, &mut |key, value| match row(t, key, value)
            .map_err(E::from)
            .and_then(|(key, value)| f(key, value))
        {
            Ok(flow) => flow,
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })?;
        failed.map_or(Ok(()), Err)
    }
}

/// Is shown a row's key and value, and says whether to go on.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Bytes below the types; implemented here and by `WriteTx` only.
pub trait Rows {
    /// Shows the value under a key, if there is one.
    #[doc(hidden)]
    fn row(&self, table: &'static str, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<(), StoreError>;

    /// Shows the rows of a span until told to stop.
    #[doc(hidden)]
    fn rows(&self, table: &'static str, span: &Span, order: Order, f: &mut Visit<'_>) -> Result<(), StoreError>;

    /// A buffer for encoding keys, reused from call to call.
    #[doc(hidden)]
    fn buffer(&self) -> &Cell<Vec<u8>>;
}

pub(super) fn with_key<K: Key, V, T>(
    rows: &(impl Rows + ?Sized),
    t: &Table<K, V>,
    key: &K,
    f: impl FnOnce(&[u8]) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut buffer = rows.buffer().take();
    let result = codec::encode_key(t.name, key, &mut buffer).and_then(|()| f(&buffer));
    rows.buffer().set(buffer);
    result
}

fn row<K: Key, V: Record>(t: &Table<K, V>, key: &[u8], value: &[u8]) -> Result<(K, V), StoreError> {
    Ok((codec::decode_key(t.name, key)?, codec::decode_value(t.name, t.layout, key, value)?))
}

/// A snapshot of everything committed before it began. Short-lived: the file cannot reuse space while one is open.
pub struct ReadTx {
    snapshot: Snapshot,
    buffer: Cell<Vec<u8>>,
    _age: ReadAge,
}

impl ReadTx {
    pub(super) fn new(snapshot: Snapshot, age: ReadAge) -> Self {
        Self { snapshot, buffer: Cell::default(), _age: age }
    }

    /// How many rows a table has, without looking at them.
    pub fn len<K, V>(&self, t: &Table<K, V>) -> Result<u64, StoreError> {
        self.snapshot.len(t.name)
    }
}

impl Read for ReadTx {}

impl Rows for ReadTx {
    fn row(&self, table: &'static str, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        self.snapshot.row(table, key, f)
    }

    fn rows(&self, table: &'static str, span: &Span, order: Order, f: &mut Visit<'_>) -> Result<(), StoreError> {
        let Some(mut range) = self.snapshot.range(table, span)? else { return Ok(()) };
        while let Some((key, value)) = self.snapshot.next(&mut range, order)? {
            if f(key.value(), value.value()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn buffer(&self) -> &Cell<Vec<u8>> {
        &self.buffer
    }
}

pub(super) type Bytes = &'static [u8];
pub(super) type RedbTable = redb::ReadOnlyTable<Bytes, Bytes>;
pub(super) type RedbRange = redb::Range<'static, Bytes, Bytes>;
type RedbBytes = redb::AccessGuard<'static, Bytes>;

pub(super) const fn definition(name: &str) -> TableDefinition<'_, Bytes, Bytes> {
    TableDefinition::new(name)
}

/// One redb read transaction and the tables opened in it so far.
pub(super) struct Snapshot {
    transaction: redb::ReadTransaction,
    tables: RefCell<Vec<OpenTable>>,
    health: Arc<Health>,
}

struct OpenTable {
    name: &'static str,
    /// `None` for a table that has no row yet.
    table: Option<Rc<RedbTable>>,
}

impl Snapshot {
    pub(super) fn begin(database: &redb::Database, health: Arc<Health>) -> Result<Self, StoreError> {
        match database.begin_read() {
            Ok(transaction) => Ok(Self { transaction, tables: RefCell::default(), health }),
            Err(error) => Err(health.note(error.into())),
        }
    }

    pub(super) fn transaction(&self) -> &redb::ReadTransaction {
        &self.transaction
    }

    fn table(&self, name: &'static str) -> Result<Option<Rc<RedbTable>>, StoreError> {
        let mut tables = self.tables.borrow_mut();
        if let Some(open) = tables.iter().find(|open| open.name == name) {
            return Ok(open.table.clone());
        }
        let table = match self.transaction.open_table(definition(name)) {
            Ok(table) => Some(Rc::new(table)),
            Err(TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(self.health.note(error.into())),
        };
        tables.push(OpenTable { name, table: table.clone() });
        Ok(table)
    }

    pub(super) fn row(&self, name: &'static str, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        let Some(table) = self.table(name)? else { return Ok(()) };
        match redb::ReadableTable::get(table.as_ref(), key) {
            Ok(Some(value)) => {
                f(value.value());
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) => Err(self.health.note(error.into())),
        }
    }

    fn len(&self, name: &'static str) -> Result<u64, StoreError> {
        let Some(table) = self.table(name)? else { return Ok(0) };
        redb::ReadableTableMetadata::len(table.as_ref()).map_err(|error| self.health.note(error.into()))
    }

    pub(super) fn range(&self, name: &'static str, span: &Span) -> Result<Option<RedbRange>, StoreError> {
        if span.is_empty() {
            return Ok(None);
        }
        let Some(table) = self.table(name)? else { return Ok(None) };
        table.range::<&[u8]>(span.bounds()).map(Some).map_err(|error| self.health.note(error.into()))
    }

    pub(super) fn next(
        &self,
        range: &mut RedbRange,
        order: Order,
    ) -> Result<Option<(RedbBytes, RedbBytes)>, StoreError> {
        let next = match order {
            Order::Ascending => range.next(),
            Order::Descending => range.next_back(),
        };
        next.transpose().map_err(|error| self.health.note(error.into()))
    }
}
