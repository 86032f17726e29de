//! Records as bytes: the layout byte, then bincode. The only place that names bincode.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};

use super::{
    error::StoreError,
    table::{Key, Record},
};

/// No record is larger, and no length inside a damaged record makes us allocate more. In bytes.
pub const RECORD_MAX_BYTES: usize = 4 << 20;

/// No key is larger, in bytes: rows of a page stay few-to-one, and a name from outside cannot blow up an index.
pub const KEY_MAX_BYTES: usize = 2048;

type Config = Configuration<LittleEndian, Varint, Limit<RECORD_MAX_BYTES>>;

const CONFIG: Config = bincode::config::standard().with_limit::<RECORD_MAX_BYTES>();

/// Replaces what `out` holds by the layout byte and the record.
pub(super) fn encode_value<V: Record>(
    table: &'static str,
    layout: u8,
    value: &V,
    out: &mut Vec<u8>,
) -> Result<(), StoreError> {
    out.clear();
    out.push(layout);
    bincode::serde::encode_into_std_write(value, out, CONFIG)
        .expect("records are plain data, and a vector takes every byte");
    if out.len() > RECORD_MAX_BYTES {
        return Err(StoreError::TooLarge { table: table.to_owned(), bytes: out.len() });
    }
    Ok(())
}

pub(super) fn decode_value<V: Record>(table: &str, layout: u8, key: &[u8], bytes: &[u8]) -> Result<V, StoreError> {
    let corrupt = || StoreError::corrupt(table, key);
    let (found, record) = bytes.split_first().ok_or_else(corrupt)?;
    if *found != layout {
        return Err(corrupt());
    }
    match bincode::serde::decode_from_slice(record, CONFIG) {
        Ok((value, read)) if read == record.len() => Ok(value),
        Ok(_) | Err(_) => Err(corrupt()),
    }
}

/// Replaces what `out` holds by the key.
pub(super) fn encode_key<K: Key>(table: &'static str, key: &K, out: &mut Vec<u8>) -> Result<(), StoreError> {
    out.clear();
    key.encode(out);
    if out.len() > KEY_MAX_BYTES {
        return Err(StoreError::TooLarge { table: table.to_owned(), bytes: out.len() });
    }
    Ok(())
}

pub(super) fn decode_key<K: Key>(table: &str, bytes: &[u8]) -> Result<K, StoreError> {
    let mut rest = bytes;
    match K::decode(&mut rest) {
        Some(key) if rest.is_empty() => Ok(key),
        Some(_) | None => Err(StoreError::corrupt(table, bytes)),
    }
}
