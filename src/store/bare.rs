//! The engine without anything of ours: what one durable commit of one small row takes on a disk. A baseline for `bench`.

use std::path::Path;

use super::{error::StoreError, files::create_private, read::definition};

/// A file of its own with one table.
pub struct BareFile(redb::Database);

impl BareFile {
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        create_private(path)?;
        Ok(Self(redb::Builder::new().create(path)?))
    }

    /// Commits one row as durably as the writer commits a batch.
    pub fn commit(&self, number: u64) -> Result<(), StoreError> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_two_phase_commit(true);
        {
            let mut table = transaction.open_table(definition("bare"))?;
            table.insert(number.to_be_bytes().as_slice(), [7; 64].as_slice())?;
        }
        Ok(transaction.commit()?)
    }
}
