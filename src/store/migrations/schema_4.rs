//! Schema 4: a nonce is one row, filed under the slice of time until whose end it is remembered.

use super::{Migration, MigrationTx};
use crate::domain::{ids::KeyId, time::Timestamp};
use crate::flows::sweep::nonce_slice;
use crate::store::tables::NONCES;
use crate::store::{StoreError, table::Table};

pub(super) const STEP: Migration = Migration { what: "keep one row for each nonce", apply };

const NONCES_1: Table<(KeyId, [u8; 16]), Timestamp> = Table::new("nonces", 1);
const NONCES_BY_EXPIRY_1: Table<(Timestamp, KeyId, [u8; 16]), ()> = Table::new("nonces_by_expiry", 1);

fn apply(tx: &MigrationTx<'_>) -> Result<(), StoreError> {
    tx.rewrite(&NONCES_1, &NONCES, |(key, hash), until| Some(((nonce_slice(until), key, hash), ())))?;
    tx.rewrite(&NONCES_BY_EXPIRY_1, &NONCES, |_, ()| None)
}

#[cfg(test)]
mod tests {
    use super::super::{ALL, tests::open};
    use super::*;
    use crate::store::{Order, Read, SimulatedDisk, Span};

    #[test]
    fn nonces_of_schema_3_are_still_spent() {
        let until = Timestamp::from_millis(1_700_000_000_000);
        let key = KeyId::from_bytes([5; 16]);
        let disk = SimulatedDisk::new();
        let old = open(&disk, &ALL[..2]).unwrap();
        old.write_blocking(move |tx| {
            tx.put(&NONCES_1, &(key, [8; 16]), &until)?;
            tx.put(&NONCES_BY_EXPIRY_1, &(until, key, [8; 16]), &())
        })
        .unwrap();
        old.close();
        let store = open(&disk, ALL).unwrap();
        let rows: Result<_, StoreError> =
            store.read_blocking(|tx| tx.scan(&NONCES, &Span::all(), Order::Ascending, 10));
        assert_eq!(rows.unwrap(), [((2_833_333, key, [8; 16]), ())]);
    }
}
