//! Records of every table: any bytes are a record or none, and a record has one spelling.

use coffer::store::{ALL_TABLES, KEY_MAX_BYTES, RECORD_MAX_BYTES, Rows, Span, Store, StoreError};

use super::{Seed, Verdict};

/// Table name, line feed, length of the key (two bytes, big-endian), key, record.
pub fn run(data: &[u8]) -> Verdict {
    let Some((name, key, value)) = parts(data) else { return Verdict::Refused };
    let Some(table) = ALL_TABLES.iter().find(|table| table.name().as_bytes() == name) else {
        return Verdict::Refused;
    };
    match table.rewritten(key, value) {
        Ok((new_key, new_value)) => {
            assert!(new_key.len() <= KEY_MAX_BYTES && new_value.len() <= RECORD_MAX_BYTES);
            assert_eq!(new_key, key, "a key of {} has one spelling", table.name());
            assert_eq!(new_value.first(), value.first(), "the layout");
            // Numbers can be padded; what we write ourselves reads as itself and is what `verify` lets pass.
            let again = table.rewritten(&new_key, &new_value).expect("what we wrote, we read");
            assert_eq!(again, (new_key, new_value));
            Verdict::Accepted
        }
        Err(StoreError::Corrupt { table: named, .. } | StoreError::TooLarge { table: named, .. }) => {
            assert_eq!(named, table.name());
            Verdict::Refused
        }
        Err(other) => panic!("{other:?}"),
    }
}

fn parts(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let end = data.iter().position(|byte| *byte == b'\n')?;
    let (length, rest) = data[end + 1..].split_first_chunk::<2>()?;
    let (key, value) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((&data[..end], key, value))
}

/// A row as an input.
fn input(table: &str, key: &[u8], value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(key.len()).expect("keys are short").to_be_bytes();
    [table.as_bytes(), b"\n", &length, key, value].concat()
}

/// The shortest row of every table of a store.
pub fn rows(store: &Store) -> Vec<Seed> {
    let mut seeds = Vec::new();
    for table in ALL_TABLES {
        let mut shortest: Option<Vec<u8>> = None;
        let walked = store.read_blocking(|tx| {
            tx.rows(table.name(), &Span::all(), coffer::store::Order::Ascending, &mut |key, value| {
                let row = input(table.name(), key, value);
                if shortest.as_ref().is_none_or(|old| row.len() < old.len()) {
                    shortest = Some(row);
                }
                std::ops::ControlFlow::Continue(())
            })
        });
        walked.unwrap_or_else(|error: StoreError| panic!("{error}"));
        seeds.extend(shortest.map(|row| (table.name().to_owned(), row)));
    }
    seeds
}

/// Rows come from a store that was lived in; the corpus keeps some.
pub fn seeds() -> Vec<Seed> {
    Vec::new()
}
