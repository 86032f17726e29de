//! Schema 3: endpoints that somebody should look at are listed in a table of their own.

use super::{Migration, MigrationTx};
use crate::store::StoreError;
use crate::store::tables::{ENDPOINTS, ENDPOINTS_FAILING};

pub(super) const STEP: Migration = Migration { what: "list the endpoints that fail", apply };

fn apply(tx: &MigrationTx<'_>) -> Result<(), StoreError> {
    let mut failing = Vec::new();
    tx.rewrite(&ENDPOINTS, &ENDPOINTS, |row, endpoint| {
        failing.extend(endpoint.is_failing().then_some(row));
        Some((row, endpoint))
    })?;
    failing.into_iter().try_for_each(|row| tx.put(&ENDPOINTS_FAILING, &row, &()))
}
