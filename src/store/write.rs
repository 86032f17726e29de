//! Writing: an overlay above a snapshot that collects the changes of a batch, and can take back those of one closure.

use std::{
    cell::Cell,
    collections::{BTreeMap, btree_map},
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

use super::{
    codec,
    error::StoreError,
    read::{Read, Rows, Snapshot, Visit, definition},
    span::{Order, Span},
    table::{Key, Record, Table},
};
use crate::domain::{ids::PaymentId, time::Timestamp};

/// What listeners are told after a commit, so that nobody has to poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Something is due in a lane at a time.
    Due { lane: [u8; 16], at: Timestamp },
    /// A payment changed.
    Payment(PaymentId),
    /// API keys changed.
    KeysChanged,
    /// Callback endpoints changed.
    EndpointsChanged,
}

/// One closure's view of the store: everything committed, everything that closures before it in the batch did, and its
/// own changes.
pub struct WriteTx<'a> {
    batch: &'a mut Batch,
}

impl WriteTx<'_> {
    /// Stores a record under a key, whether there was one or not.
    pub fn put<K: Key, V: Record>(&mut self, t: &Table<K, V>, key: &K, value: &V) -> Result<(), StoreError> {
        let batch = &mut *self.batch;
        let mut key_bytes = batch.buffer.take();
        let encoded = codec::encode_key(t.name, key, &mut key_bytes)
            .and_then(|()| codec::encode_value(t.name, t.layout, value, &mut batch.value_buffer));
        if encoded.is_ok() {
            let value = Value::from(batch.value_buffer.as_slice());
            batch.set(t.name, &key_bytes, Some(value));
        }
        batch.buffer.set(key_bytes);
        encoded
    }

    /// Removes the record under a key; answers whether there was one.
    pub fn delete<K: Key, V>(&mut self, t: &Table<K, V>, key: &K) -> Result<bool, StoreError> {
        let mut key_bytes = self.batch.buffer.take();
        let deleted = codec::encode_key(t.name, key, &mut key_bytes).and_then(|()| {
            let mut there = false;
            self.row(t.name, &key_bytes, &mut |_| there = true)?;
            if there {
                self.batch.set(t.name, &key_bytes, None);
            }
            Ok(there)
        });
        self.batch.buffer.set(key_bytes);
        deleted
    }

    /// Tells the listeners of the store something once this write is durable.
    pub fn signal(&mut self, signal: Signal) {
        self.batch.signals.push(signal);
    }

    /// Runs a part whose failure takes back that part alone: on `Err` its changes and signals are undone, and the write
    /// goes on.
    pub fn nested<T, E>(&mut self, f: impl FnOnce(&mut WriteTx<'_>) -> Result<T, E>) -> Result<T, E> {
        let mark = self.batch.mark();
        let result = f(self);
        if result.is_err() {
            self.batch.undo_to(mark);
        }
        result
    }
}

impl Read for WriteTx<'_> {}

impl Rows for WriteTx<'_> {
    fn row(&self, table: &'static str, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        match self.batch.overlay(table).and_then(|overlay| overlay.rows.get(key)) {
            Some(Some(value)) => {
                f(value);
                Ok(())
            }
            Some(None) => Ok(()),
            None => self.batch.snapshot.row(table, key, f),
        }
    }

    fn rows(&self, table: &'static str, span: &Span, order: Order, f: &mut Visit<'_>) -> Result<(), StoreError> {
        if span.is_empty() {
            return Ok(());
        }
        let snapshot = &self.batch.snapshot;
        let mut below = snapshot.range(table, span)?;
        let mut next_below = || match &mut below {
            Some(range) => snapshot.next(range, order),
            None => Ok(None),
        };
        let mut above = self.batch.overlay(table).map(|overlay| overlay.rows.range::<[u8], _>(span.bounds()));
        let mut next_above = || match order {
            Order::Ascending => above.as_mut()?.next(),
            Order::Descending => above.as_mut()?.next_back(),
        };

        let mut old = next_below()?;
        let mut new = next_above();
        loop {
            // The overlay goes first where it is ahead, and hides the row below it where both have the key.
            let (take_old, take_new) = match (&old, &new) {
                (None, None) => return Ok(()),
                (Some(_), None) => (true, false),
                (None, Some(_)) => (false, true),
                (Some((old, _)), Some((new, _))) => {
                    let ahead = match order {
                        Order::Ascending => old.value().cmp(new),
                        Order::Descending => old.value().cmp(new).reverse(),
                    };
                    (ahead.is_le(), ahead.is_ge())
                }
            };
            let flow = match (&old, new) {
                (_, Some((key, value))) if take_new => match value {
                    Some(value) => f(key, value),
                    None => ControlFlow::Continue(()),
                },
                (Some((key, value)), _) => f(key.value(), value.value()),
                (None, _) => ControlFlow::Continue(()),
            };
            if flow.is_break() {
                return Ok(());
            }
            if take_old {
                old = next_below()?;
            }
            if take_new {
                new = next_above();
            }
        }
    }

    fn buffer(&self) -> &Cell<Vec<u8>> {
        &self.batch.buffer
    }
}

type Value = Box<[u8]>;

/// The changes of one table in key order; `None` is a deletion.
struct Overlay {
    table: &'static str,
    rows: BTreeMap<Rc<[u8]>, Option<Value>>,
}

/// What a change replaced in the overlay. The outer `None` says that the key was not in it.
struct Undo {
    overlay: usize,
    key: Rc<[u8]>,
    before: Option<Option<Value>>,
}

/// A point to which changes can be taken back.
struct Mark {
    undo: usize,
    signals: usize,
    bytes: usize,
}

/// The changes of all closures of one commit.
pub(super) struct Batch {
    snapshot: Snapshot,
    overlays: Vec<Overlay>,
    undo: Vec<Undo>,
    signals: Vec<Signal>,
    bytes: usize,
    buffer: Cell<Vec<u8>>,
    value_buffer: Vec<u8>,
}

impl Batch {
    pub(super) fn new(snapshot: Snapshot) -> Self {
        Self {
            snapshot,
            overlays: Vec::new(),
            undo: Vec::new(),
            signals: Vec::new(),
            bytes: 0,
            buffer: Cell::new(Vec::with_capacity(128)),
            value_buffer: Vec::with_capacity(1024),
        }
    }

    /// Runs one closure; on `Err` and on a panic it leaves nothing behind. The outer error is the panic's payload.
    pub(super) fn run<T, E>(
        &mut self,
        f: impl FnOnce(&mut WriteTx<'_>) -> Result<T, E>,
    ) -> std::thread::Result<Result<T, E>> {
        let start = self.mark();
        let result = catch_unwind(AssertUnwindSafe(|| f(&mut WriteTx { batch: self })));
        match &result {
            Ok(Ok(_)) => self.undo.clear(),
            Ok(Err(_)) | Err(_) => self.undo_to(start),
        }
        result
    }

    fn mark(&self) -> Mark {
        Mark { undo: self.undo.len(), signals: self.signals.len(), bytes: self.bytes }
    }

    /// Restores the state at a mark of the closure that runs: the log of earlier ones is gone.
    fn undo_to(&mut self, mark: Mark) {
        for Undo { overlay, key, before } in self.undo.drain(mark.undo..).rev() {
            let rows = &mut self.overlays[overlay].rows;
            match before {
                Some(value) => {
                    rows.insert(key, value);
                }
                None => {
                    rows.remove(&key);
                }
            }
        }
        self.signals.truncate(mark.signals);
        self.bytes = mark.bytes;
    }

    /// Roughly what the changes hold, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn has_changes(&self) -> bool {
        self.overlays.iter().any(|overlay| !overlay.rows.is_empty())
    }

    /// Ends the snapshot and hands out what there is to commit and to tell.
    pub(super) fn finish(self) -> (Changes, Vec<Signal>) {
        (Changes { overlays: self.overlays }, self.signals)
    }

    fn overlay(&self, table: &'static str) -> Option<&Overlay> {
        self.overlays.iter().find(|overlay| overlay.table == table)
    }

    fn set(&mut self, table: &'static str, key: &[u8], value: Option<Value>) {
        let index = match self.overlays.iter().position(|overlay| overlay.table == table) {
            Some(index) => index,
            None => {
                self.overlays.push(Overlay { table, rows: BTreeMap::new() });
                self.overlays.len() - 1
            }
        };
        self.bytes += key.len() + value.as_ref().map_or(0, |value| value.len());
        let (key, before) = match self.overlays[index].rows.entry(key.into()) {
            btree_map::Entry::Vacant(entry) => {
                let key = entry.key().clone();
                entry.insert(value);
                (key, None)
            }
            btree_map::Entry::Occupied(mut entry) => (entry.key().clone(), Some(entry.insert(value))),
        };
        self.undo.push(Undo { overlay: index, key, before });
    }
}

/// What a batch changes, table by table.
pub(super) struct Changes {
    overlays: Vec<Overlay>,
}

impl Changes {
    /// Writes everything in key order, which touches each page once.
    pub(super) fn apply(&self, transaction: &redb::WriteTransaction) -> Result<(), StoreError> {
        for overlay in self.overlays.iter().filter(|overlay| !overlay.rows.is_empty()) {
            let mut table = transaction.open_table(definition(overlay.table))?;
            for (key, value) in &overlay.rows {
                match value {
                    Some(value) => drop(table.insert(key.as_ref(), value.as_ref())?),
                    None => drop(table.remove(key.as_ref())?),
                }
            }
        }
        Ok(())
    }
}
