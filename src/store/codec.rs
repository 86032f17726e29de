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

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded<V: Record>(value: &V) -> Vec<u8> {
        let mut out = vec![0xAA; 3];
        encode_value("t", 3, value, &mut out).unwrap();
        out
    }

    #[test]
    fn a_record_is_its_layout_and_then_bincode() {
        assert_eq!(encoded(&("ab".to_owned(), 300u32)), [3, 2, b'a', b'b', 251, 0x2C, 1]);
        let read: (String, u32) = decode_value("t", 3, &[], &[3, 2, b'a', b'b', 251, 0x2C, 1]).unwrap();
        assert_eq!(read, ("ab".to_owned(), 300));
    }

    #[test]
    fn what_is_not_the_whole_record_is_corrupt() {
        let read = |bytes: &[u8]| decode_value::<String>("t", 3, &[0xAB, 1], bytes);
        assert_eq!(read(&[3, 1, b'a']).unwrap(), "a");
        let bad: [&[u8]; 7] = [
            &[],
            &[3],
            &[3, 2, b'a'],
            &[3, 1, b'a', 0],
            &[3, 1, 0xFF],
            // Another layout, and a length that would need all memory.
            &[4, 1, b'a'],
            &[3, 253, 0, 0, 0, 0, 0, 0, 0, 0x7F],
        ];
        for bad in bad {
            match read(bad) {
                Err(StoreError::Corrupt { table, key }) => assert_eq!((table.as_str(), key.as_str()), ("t", "ab01")),
                other => panic!("{bad:?} was read as {other:?}"),
            }
        }
    }

    #[test]
    fn limits_hold_where_records_are_written() {
        let mut out = Vec::new();
        let large = "x".repeat(RECORD_MAX_BYTES);
        assert!(matches!(encode_value("t", 1, &large, &mut out), Err(StoreError::TooLarge { .. })));
        let large = "x".repeat(KEY_MAX_BYTES);
        assert!(matches!(encode_key("t", &large, &mut out), Err(StoreError::TooLarge { .. })));
    }

    #[test]
    fn a_key_with_something_behind_it_is_corrupt() {
        assert_eq!(decode_key::<u16>("t", &[1, 2]).unwrap(), 0x0102);
        assert!(decode_key::<u16>("t", &[1, 2, 3]).is_err());
        assert!(decode_key::<u16>("t", &[1]).is_err());
    }
}
