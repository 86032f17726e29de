//! Cursor paging: a page costs the same wherever it lies, and rows that arrive meanwhile shift nothing.

use std::ops::Range;

use crate::store::{Key, Order, Read, Record, Span, StoreError, Table};
use crate::web::Page;

/// Rows of one page.
pub const ROWS: usize = 50;

/// Where a page begins: behind an older row, or before a newer one.
#[derive(Clone, Debug, Default)]
pub struct Cursor<K> {
    /// Only rows older than this one.
    pub after: Option<K>,
    /// Only rows newer than this one.
    pub before: Option<K>,
}

impl<K: std::str::FromStr> Cursor<K> {
    /// Reads `after` and `before`; what does not parse is the beginning.
    pub fn read(after: &str, before: &str) -> Self {
        Self { after: after.parse().ok(), before: before.parse().ok() }
    }
}

/// Rows newest first, and whether there are more on either side.
pub struct Rows<T> {
    pub rows: Vec<T>,
    pub has_newer: bool,
    pub has_older: bool,
}

impl<T> Rows<T> {
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Rows<U> {
        let Rows { rows, has_newer, has_older } = self;
        Rows { rows: rows.into_iter().map(f).collect(), has_newer, has_older }
    }

    /// Looks up what the rows of an index lead to.
    pub fn try_filter_map<U, E>(self, mut f: impl FnMut(T) -> Result<Option<U>, E>) -> Result<Rows<U>, E> {
        let Rows { rows, has_newer, has_older } = self;
        let rows = rows.into_iter().filter_map(|row| f(row).transpose()).collect::<Result<_, E>>()?;
        Ok(Rows { rows, has_newer, has_older })
    }
}

/// Reads one page of a span, newest first. `key` makes the whole key of a cursor.
pub fn page<C: Clone, K: Key, V: Record>(
    tx: &impl Read,
    table: &Table<K, V>,
    span: Span,
    cursor: &Cursor<C>,
    key: impl Fn(C) -> K,
) -> Result<Rows<(K, V)>, StoreError> {
    if let Some(before) = cursor.before.clone() {
        let mut rows = tx.scan(table, &span.after(&key(before)), Order::Ascending, ROWS + 1)?;
        let has_newer = rows.len() > ROWS;
        rows.truncate(ROWS);
        rows.reverse();
        return Ok(Rows { rows, has_newer, has_older: true });
    }
    let has_newer = cursor.after.is_some();
    let span = match cursor.after.clone() {
        Some(after) => span.until(&key(after)),
        None => span,
    };
    let mut rows = tx.scan(table, &span, Order::Descending, ROWS + 1)?;
    let has_older = rows.len() > ROWS;
    rows.truncate(ROWS);
    Ok(Rows { rows, has_newer, has_older })
}

/// Reads one page of what is numbered and not scanned by its key. `scan` answers at most so many numbers of a range.
pub fn numbers(
    cursor: &Cursor<u64>,
    scan: impl FnOnce(Range<u64>, Order, usize) -> Result<Vec<u64>, StoreError>,
) -> Result<Rows<u64>, StoreError> {
    let upwards = cursor.before.is_some();
    let mut rows = match cursor.before {
        Some(before) => scan(before.saturating_add(1)..u64::MAX, Order::Ascending, ROWS + 1)?,
        None => scan(0..cursor.after.unwrap_or(u64::MAX), Order::Descending, ROWS + 1)?,
    };
    let has_more = rows.len() > ROWS;
    rows.truncate(ROWS);
    if upwards {
        rows.reverse();
        return Ok(Rows { rows, has_newer: has_more, has_older: true });
    }
    Ok(Rows { rows, has_newer: cursor.after.is_some(), has_older: has_more })
}

/// The links below a list.
pub struct Pager {
    pub newer: Option<String>,
    pub older: Option<String>,
}

impl Pager {
    /// `first` and `last` are the cursors of the rows shown.
    pub fn new<T>(page: &Page, rows: &Rows<T>, cursor_of: impl Fn(&T) -> String) -> Self {
        let link = |name: &str, other: &str, row: Option<&T>| {
            row.map(|row| page.with_instead(name, &cursor_of(row), &[other, "done"]))
        };
        Self {
            newer: if rows.has_newer { link("before", "after", rows.rows.first()) } else { None },
            older: if rows.has_older { link("after", "before", rows.rows.last()) } else { None },
        }
    }
}
