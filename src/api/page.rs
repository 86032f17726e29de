//! Lists: newest first, in pages that begin behind an id, so that rows which arrive meanwhile neither repeat nor vanish.

use std::ops::Range;
use std::str::FromStr;

use serde::Serialize;

use super::error::FieldCode;
use super::fields::{Fields, Kind};
use super::kinds::{IdOf, Int, Time};
use crate::domain::ids::{EventId, PaymentId, RefundId, Scope};
use crate::domain::time::Timestamp;
use crate::lang::Text;
use crate::store::tables::Index;
use crate::store::{Key, Order, Read, Record, Span, StoreError, Table};

const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: i64 = 100;

/// An id that begins with its time.
pub trait TimedId: Copy + FromStr + ToString {
    const PREFIX: &'static str;
    /// The first id that could be made at a time.
    fn first_at(time: Timestamp) -> Self;
}

macro_rules! timed_ids {
    ($($id:ty)*) => {$(
        impl TimedId for $id {
            const PREFIX: &'static str = <$id>::PREFIX;
            fn first_at(time: Timestamp) -> Self {
                <$id>::new(time, [0; 10])
            }
        }
    )*};
}
timed_ids!(PaymentId RefundId EventId);

/// Which part of a list is wanted.
pub struct Window<T> {
    limit: usize,
    after: Option<T>,
    before: Option<T>,
    /// The first that may be shown, and the first that may not.
    from: Option<T>,
    until: Option<T>,
}

const AFTER: Text = Text::new("从这一条之后（更早）开始。", "Begin behind this one: older ones.");
const BEFORE: Text = Text::new("只要这一条之前（更新）的。", "Only those before this one: newer ones.");

impl<T: TimedId> Window<T> {
    pub fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let from = fields.optional("created_at[gte]", Text::new("创建时间不早于。", "Created at or after."), Time);
        let until = fields.optional("created_at[lt]", Text::new("创建时间早于。", "Created before."), Time);
        let window = Self::read_ends(fields, IdOf::new(T::PREFIX), IdOf::new(T::PREFIX))?;
        Some(Self { from: from.map(T::first_at), until: until.map(T::first_at), ..window })
    }
}

impl Window<u64> {
    /// Of a list whose rows are numbered from 1.
    pub fn read_numbered(fields: &mut Fields<'_>) -> Option<Self> {
        let window = Window::<i64>::read_ends(fields, Int::new(1..=i64::MAX), Int::new(1..=i64::MAX))?;
        let number = |number: Option<i64>| number.map(i64::unsigned_abs);
        Some(Self {
            limit: window.limit,
            after: number(window.after),
            before: number(window.before),
            from: None,
            until: None,
        })
    }

    /// The numbers to look at and in which direction.
    pub fn range(&self) -> (Range<u64>, Order) {
        match (self.after, self.before) {
            (Some(after), _) => (0..after, Order::Descending),
            (None, Some(before)) => (before.saturating_add(1)..u64::MAX, Order::Ascending),
            (None, None) => (0..u64::MAX, Order::Descending),
        }
    }
}

impl<T> Window<T> {
    fn read_ends<K: Kind<Out = T>>(fields: &mut Fields<'_>, after: K, before: K) -> Option<Self> {
        let about = Text::new("每页条数，默认 20。", "Items per page; 20 without it.");
        let limit = fields.optional("limit", about, Int::new(1..=LIMIT_MAX));
        let after = fields.optional("after", AFTER, after);
        let before = fields.optional("before", BEFORE, before);
        if after.is_some() && before.is_some() {
            let words = Text::new("after 和 before 只能用一个", "`after` and `before` exclude each other");
            return fields.refuse("before", FieldCode::NotAllowed, words);
        }
        let limit = limit.map_or(LIMIT_DEFAULT, |limit| usize::try_from(limit).expect("the limit is small"));
        Some(Self { limit, after, before, from: None, until: None })
    }
}

impl<T: TimedId + Key> Window<T> {
    /// One page of a table, or of what an index leads to that is kept in the same order. `open` makes what is shown of a row.
    pub fn rows<V: Record, X: Key + Copy, R>(
        &self,
        tx: &impl Read,
        scope: Scope,
        table: &Table<(Scope, T), V>,
        index: Option<(&Index<X, T>, X)>,
        open: impl Fn(T, V) -> Result<R, StoreError>,
    ) -> Result<Page<R>, StoreError> {
        let rows = match index {
            None => {
                let (span, order) = self.span(Span::prefix(&scope), |id| (scope, id));
                let rows = tx.scan(table, &span, order, self.scan_limit())?;
                rows.into_iter().map(|((_, id), row)| open(id, row)).collect::<Result<_, _>>()?
            }
            Some((index, of)) => {
                let (span, order) = self.span(Span::prefix(&(scope, of)), |id| (scope, of, id));
                let mut rows = Vec::new();
                for ((_, _, id), ()) in tx.scan(index, &span, order, self.scan_limit())? {
                    let row = tx.get(table, &(scope, id))?;
                    rows.extend(row.map(|row| open(id, row)).transpose()?);
                }
                rows
            }
        };
        Ok(self.page(rows))
    }
}

impl<T: Copy> Window<T> {
    /// The span of keys to scan and in which direction. `key` makes a key of the table from an id.
    pub fn span<K: Key>(&self, base: Span, key: impl Fn(T) -> K) -> (Span, Order) {
        let mut span = base;
        if let Some(from) = self.from {
            span = span.from(&key(from));
        }
        if let Some(until) = self.until {
            span = span.until(&key(until));
        }
        match (self.after, self.before) {
            (Some(after), _) => (span.until(&key(after)), Order::Descending),
            (None, Some(before)) => (span.after(&key(before)), Order::Ascending),
            (None, None) => (span, Order::Descending),
        }
    }

    /// Rows to ask for: one more than are shown, to know whether there are more.
    pub fn scan_limit(&self) -> usize {
        self.limit + 1
    }

    /// Cuts what was scanned to one page, newest first.
    pub fn page<R>(&self, mut rows: Vec<R>) -> Page<R> {
        let has_more = rows.len() > self.limit;
        rows.truncate(self.limit);
        if self.before.is_some() {
            rows.reverse();
        }
        Page { rows, has_more, upwards: self.before.is_some() }
    }
}

/// One page of a list.
pub struct Page<R> {
    pub rows: Vec<R>,
    pub has_more: bool,
    upwards: bool,
}

impl<R> Page<R> {
    /// A page that holds everything there is.
    pub fn whole(rows: Vec<R>) -> Self {
        Self { rows, has_more: false, upwards: false }
    }

    /// The address of the next page: this one's filters, and the last id of this page.
    pub fn next(&self, path: &str, query: &str, id: impl Fn(&R) -> String) -> Option<String> {
        if !self.has_more {
            return None;
        }
        let (name, row) = if self.upwards { ("before", self.rows.first()) } else { ("after", self.rows.last()) };
        let mut next = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if name != "after" && name != "before" {
                next.append_pair(&name, &value);
            }
        }
        next.append_pair(name, &id(row?));
        Some(format!("{path}?{}", next.finish()))
    }
}

/// A page as it is answered.
#[derive(Serialize)]
pub struct ListReply<T> {
    object: &'static str,
    data: Vec<T>,
    has_more: bool,
    next: Option<String>,
}

impl<T> ListReply<T> {
    pub fn new(data: Vec<T>, has_more: bool, next: Option<String>) -> Self {
        Self { object: "list", data, has_more, next }
    }
}
