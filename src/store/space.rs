//! What takes how much of the file.

use redb::{ReadableTableMetadata, TableHandle};

use super::{Store, error::StoreError, read::definition};

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSpace {
    pub name: String,
    pub rows: u64,
    /// Keys and records, in bytes.
    pub stored_bytes: u64,
    /// The pages that hold them, in bytes.
    pub page_bytes: u64,
}

impl Store {
    /// Every table, the largest first. Reads the whole file.
    pub fn space(&self) -> Result<Vec<TableSpace>, StoreError> {
        let _age = self.0.shared.health.begin_read();
        let snapshot = self.0.shared.snapshot()?;
        let transaction = snapshot.transaction();
        let mut tables = Vec::new();
        for table in transaction.list_tables()? {
            let name = table.name().to_owned();
            let open = transaction.open_table(definition(&name))?;
            let (rows, stats) = (open.len()?, open.stats()?);
            let stored_bytes = stats.stored_bytes();
            let page_bytes = stored_bytes + stats.metadata_bytes() + stats.fragmented_bytes();
            tables.push(TableSpace { name, rows, stored_bytes, page_bytes });
        }
        tables.sort_by_key(|table| std::cmp::Reverse(table.page_bytes));
        Ok(tables)
    }
}
