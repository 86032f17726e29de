//! A table: its name, the type of its keys, the type of its records and the layout byte in front of each.

use std::marker::PhantomData;

use serde::{Serialize, de::DeserializeOwned};

pub use super::key::Key;
use super::{codec, error::StoreError};

/// Anything serde can write and read without borrowing. Records are not self-describing, so `flatten`, `untagged` and
/// `skip_serializing_if` do not work in them, and a changed field is a new layout.
pub trait Record: Serialize + DeserializeOwned {}

impl<T: Serialize + DeserializeOwned> Record for T {}

/// A table of records. Declared once as a constant: `const PAYMENTS: Table<(Scope, PaymentId), Payment> = Table::new("payments", 1);`
pub struct Table<K, V> {
    pub(super) name: &'static str,
    pub(super) layout: u8,
    types: PhantomData<fn(K) -> V>,
}

impl<K, V> Table<K, V> {
    /// `layout` stands in front of every record and is raised with every change of `V`, together with a migration.
    pub const fn new(name: &'static str, layout: u8) -> Self {
        Self { name, layout, types: PhantomData }
    }

    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<K: Key, V: Record> Table<K, V> {
    /// What `verify` needs to know of a table.
    pub const fn check(&self) -> TableCheck {
        TableCheck { name: self.name, layout: self.layout, row: check_row::<K, V> }
    }
}

/// Table, layout, key, value.
type CheckRow = fn(&'static str, u8, &[u8], &[u8]) -> Result<(), StoreError>;

/// A table without its types: enough to see that every row of it can be read.
#[derive(Clone, Copy)]
pub struct TableCheck {
    pub(super) name: &'static str,
    layout: u8,
    row: CheckRow,
}

impl TableCheck {
    pub const fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn row(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        (self.row)(self.name, self.layout, key, value)
    }
}

fn check_row<K: Key, V: Record>(name: &'static str, layout: u8, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    codec::decode_key::<K>(name, key)?;
    codec::decode_value::<V>(name, layout, key, value).map(drop)
}
