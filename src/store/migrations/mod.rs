//! The schema of the file and the steps that bring an older one up to date.
//!
//! A change of a record's layout is a new layout byte in its `Table` and a [`Migration`] at the end of [`ALL`]. Steps are
//! append-only. Each is one commit together with its new schema number, so a crash leaves the file before or after it.

use std::path::Path;

use redb::{ReadableDatabase, TableHandle};

use super::{codec, error::StoreError, read::definition, table::Table};

/// One step from the schema before it.
pub struct Migration {
    /// A sentence for the log.
    pub what: &'static str,
    pub apply: fn(&MigrationTx<'_>) -> Result<(), StoreError>,
}

/// Every step since schema 1, in order.
pub const ALL: &[Migration] = &[];

/// The schema of a file that no step has touched.
const FIRST_SCHEMA: u32 = 1;

/// Where the schema number stands. Also what tells our files from others of the same engine.
pub(super) const META: Table<String, u32> = Table::new("meta", 1);

const SCHEMA_KEY: &str = "schema";

/// The write transaction of a step.
pub struct MigrationTx<'a> {
    transaction: &'a redb::WriteTransaction,
}

impl MigrationTx<'_> {
    fn put_schema(&self, schema: u32) -> Result<(), StoreError> {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        codec::encode_key(META.name, &SCHEMA_KEY.to_owned(), &mut key)?;
        codec::encode_value(META.name, META.layout, &schema, &mut value)?;
        self.transaction.open_table(definition(META.name))?.insert(key.as_slice(), value.as_slice())?;
        Ok(())
    }
}

/// Reads the schema; `None` for a file without any table.
pub(super) fn schema(database: &impl ReadableDatabase, path: Option<&Path>) -> Result<Option<u32>, StoreError> {
    let foreign = || StoreError::Foreign { path: path.unwrap_or(Path::new("memory")).to_owned() };
    let transaction = database.begin_read()?;
    let mut tables = transaction.list_tables()?.map(|table| table.name().to_owned()).peekable();
    if tables.peek().is_none() {
        return Ok(None);
    }
    if !tables.any(|name| name == META.name) {
        return Err(foreign());
    }
    let meta = transaction.open_table(definition(META.name)).map_err(|_| foreign())?;
    let mut key = Vec::new();
    codec::encode_key(META.name, &SCHEMA_KEY.to_owned(), &mut key)?;
    let value = redb::ReadableTable::get(&meta, key.as_slice())?.ok_or_else(foreign)?;
    codec::decode_value(META.name, META.layout, &key, value.value()).map(Some)
}

/// Creates the schema in an empty file, or applies the steps that the file has not seen.
pub(super) fn run(database: &redb::Database, path: Option<&Path>, steps: &[Migration]) -> Result<(), StoreError> {
    let known = FIRST_SCHEMA + u32::try_from(steps.len()).expect("there are few steps");
    let Some(found) = schema(database, path)? else {
        return commit(database, known, |_| Ok(()));
    };
    if found > known || found < FIRST_SCHEMA {
        return Err(StoreError::NewerSchema { found, known });
    }
    for (schema, step) in (FIRST_SCHEMA + 1..).zip(steps).filter(|(schema, _)| *schema > found) {
        tracing::info!(schema, what = step.what, "migrating the data file");
        commit(database, schema, step.apply)?;
    }
    Ok(())
}

fn commit(
    database: &redb::Database,
    schema: u32,
    apply: impl FnOnce(&MigrationTx<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    let tx = MigrationTx { transaction: &transaction };
    apply(&tx)?;
    tx.put_schema(schema)?;
    Ok(transaction.commit()?)
}
