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
        TableCheck { name: self.name, layout: self.layout, rewrite: rewrite::<K, V> }
    }
}

/// Key and value as they are stored.
type Row = (Vec<u8>, Vec<u8>);

/// Table, layout, key, value.
type Rewrite = fn(&'static str, u8, &[u8], &[u8]) -> Result<Row, StoreError>;

/// A table without its types: enough to see that every row of it can be read.
#[derive(Clone, Copy)]
pub struct TableCheck {
    pub(super) name: &'static str,
    layout: u8,
    rewrite: Rewrite,
}

impl TableCheck {
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// A stored row, read and written again. The bytes are the same for every row that this program wrote; an error says
    /// that it is no row of the table.
    pub fn rewritten(&self, key: &[u8], value: &[u8]) -> Result<Row, StoreError> {
        (self.rewrite)(self.name, self.layout, key, value)
    }

    /// Whether a row can be read, and is spelled as we would spell it: a record has one spelling, so that two files with
    /// the same records hold the same bytes.
    pub(super) fn row(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let (same_key, same_value) = self.rewritten(key, value)?;
        if same_key == key && same_value == value { Ok(()) } else { Err(StoreError::corrupt(self.name, key)) }
    }
}

fn rewrite<K: Key, V: Record>(name: &'static str, layout: u8, key: &[u8], value: &[u8]) -> Result<Row, StoreError> {
    let (mut same_key, mut same_value) = (Vec::with_capacity(key.len()), Vec::with_capacity(value.len()));
    codec::encode_key(name, &codec::decode_key::<K>(name, key)?, &mut same_key)?;
    codec::encode_value(name, layout, &codec::decode_value::<V>(name, layout, key, value)?, &mut same_value)?;
    Ok((same_key, same_value))
}
