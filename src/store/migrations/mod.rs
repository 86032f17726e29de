//! The schema of the file and the steps that bring an older one up to date.
//!
//! A change of a record's layout is a new layout byte in its `Table` and a [`Migration`] at the end of [`ALL`]. Steps are
//! append-only. Each is one commit together with its new schema number, so a crash leaves the file before or after it.

/// Smaller rows.
mod schema_2;
/// The list of endpoints that fail.
mod schema_3;
/// One row for each nonce.
mod schema_4;
/// What an account takes, and when its keys are fetched.
mod schema_5;

use std::path::Path;

use redb::{ReadableDatabase, ReadableTable, TableHandle};

use super::{
    codec,
    error::StoreError,
    read::definition,
    table::{Key, Record, Table},
};

/// One step from the schema before it.
pub struct Migration {
    /// A sentence for the log.
    pub what: &'static str,
    pub apply: fn(&MigrationTx<'_>) -> Result<(), StoreError>,
}

/// Every step since schema 1, in order.
pub const ALL: &[Migration] = &[schema_2::STEP, schema_3::STEP, schema_4::STEP, schema_5::STEP];

/// The schema of a file that no step has touched.
const FIRST_SCHEMA: u32 = 1;

/// Where the schema number stands. Also what tells our files from others of the same engine.
pub(super) const META: Table<String, u32> = Table::new("meta", 1);

const SCHEMA_KEY: &str = "schema";

/// The write transaction of a step.
pub struct MigrationTx<'a> {
    transaction: &'a redb::WriteTransaction,
}

/// Where the rows of a table wait while it is rewritten under the same name.
const OLD_ROWS: &str = "migrating";

impl MigrationTx<'_> {
    /// Moves every row of a table into its new layout, which may have the same name; `f` drops a row with `None`. Streams,
    /// so that a large table does not have to fit into memory.
    pub fn rewrite<K: Key, V: Record, L: Key, W: Record>(
        &self,
        from: &Table<K, V>,
        to: &Table<L, W>,
        mut f: impl FnMut(K, V) -> Option<(L, W)>,
    ) -> Result<(), StoreError> {
        self.regroup(from, to, |row| row.and_then(|(key, value)| f(key, value)))
    }

    /// As [`Self::rewrite`], where a row of the new layout may hold many of the old one: `f` is told every row in order, and
    /// in the end `None`, and answers a row whenever it has one whole.
    pub fn regroup<K: Key, V: Record, L: Key, W: Record>(
        &self,
        from: &Table<K, V>,
        to: &Table<L, W>,
        mut f: impl FnMut(Option<(K, V)>) -> Option<(L, W)>,
    ) -> Result<(), StoreError> {
        // A table that no row was ever put into does not exist.
        if !self.transaction.list_tables()?.any(|table| table.name() == from.name) {
            return Ok(());
        }
        self.transaction.rename_table(definition(from.name), definition(OLD_ROWS))?;
        {
            let old = self.transaction.open_table(definition(OLD_ROWS))?;
            let mut new = self.transaction.open_table(definition(to.name))?;
            let (mut key_bytes, mut value_bytes) = (Vec::new(), Vec::new());
            let mut rows = old.iter()?;
            loop {
                let row = match rows.next().transpose()? {
                    Some((key, value)) => Some((
                        codec::decode_key(from.name, key.value())?,
                        codec::decode_value(from.name, from.layout, key.value(), value.value())?,
                    )),
                    None => None,
                };
                let over = row.is_none();
                if let Some((key, value)) = f(row) {
                    codec::encode_key(to.name, &key, &mut key_bytes)?;
                    codec::encode_value(to.name, to.layout, &value, &mut value_bytes)?;
                    new.insert(key_bytes.as_slice(), value_bytes.as_slice())?;
                }
                if over {
                    break;
                }
            }
        }
        self.transaction.delete_table(definition(OLD_ROWS))?;
        Ok(())
    }

    /// Stores one record.
    pub fn put<K: Key, V: Record>(&self, t: &Table<K, V>, key: &K, value: &V) -> Result<(), StoreError> {
        let (mut key_bytes, mut value_bytes) = (Vec::new(), Vec::new());
        codec::encode_key(t.name, key, &mut key_bytes)?;
        codec::encode_value(t.name, t.layout, value, &mut value_bytes)?;
        self.transaction.open_table(definition(t.name))?.insert(key_bytes.as_slice(), value_bytes.as_slice())?;
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
    let value = meta.get(key.as_slice())?.ok_or_else(foreign)?;
    codec::decode_value(META.name, META.layout, &key, value.value()).map(Some)
}

/// Creates the schema in an empty file, or applies the steps that the file has not seen.
pub(super) fn run(database: &redb::Database, path: Option<&Path>, steps: &[Migration]) -> Result<(), StoreError> {
    let known = FIRST_SCHEMA + u32::try_from(steps.len()).expect("there are few steps");
    let Some(found) = schema(database, path)? else {
        return commit(database, known, |_| Ok(()));
    };
    if found > known {
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
    tx.put(&META, &SCHEMA_KEY.to_owned(), &schema)?;
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Order, Read, SimulatedDisk, Span, Store, StoreOptions};

    const FRUIT_1: Table<String, u32> = Table::new("fruit", 1);
    const FRUIT_2: Table<(u8, String), (u32, bool)> = Table::new("fruit", 2);

    const STEPS: [Migration; 2] = [
        Migration {
            what: "count fruit by shelf",
            apply: |tx| {
                tx.rewrite(&FRUIT_1, &FRUIT_2, |name, count| (count > 0).then_some(((7, name), (count, false))))
            },
        },
        Migration { what: "add the pear", apply: |tx| tx.put(&FRUIT_2, &(8, "pear".to_owned()), &(1, true)) },
    ];

    pub(super) fn open(disk: &SimulatedDisk, steps: &[Migration]) -> Result<Store, StoreError> {
        let database = redb::Builder::new().create_with_backend(disk.clone())?;
        Store::start(database, None, steps, StoreOptions::default())
    }

    fn schema_1() -> SimulatedDisk {
        let disk = SimulatedDisk::new();
        let store = open(&disk, &[]).unwrap();
        store
            .write_blocking(|tx| {
                tx.put(&FRUIT_1, &"apple".to_owned(), &3)?;
                tx.put(&FRUIT_1, &"plum".to_owned(), &0)
            })
            .unwrap();
        store.close();
        disk
    }

    #[test]
    fn an_older_file_takes_every_step_once() {
        let disk = schema_1();
        for _ in 0..2 {
            let store = open(&disk, &STEPS).unwrap();
            let rows: Result<_, StoreError> =
                store.read_blocking(|tx| tx.scan(&FRUIT_2, &Span::all(), Order::Ascending, 10));
            let expected = [((7, "apple".to_owned()), (3, false)), ((8, "pear".to_owned()), (1, true))];
            assert_eq!(rows.unwrap(), expected);
            store.close();
        }
    }

    #[test]
    fn a_new_file_starts_at_the_newest_schema() {
        let disk = SimulatedDisk::new();
        open(&disk, &STEPS).unwrap().close();
        assert!(matches!(open(&disk, &STEPS[..1]), Err(StoreError::NewerSchema { found: 3, known: 2 })));
    }

    #[test]
    fn a_file_of_a_newer_version_is_refused_and_stays_as_it_is() {
        let disk = schema_1();
        open(&disk, &STEPS).unwrap().close();
        assert!(matches!(open(&disk, &[]), Err(StoreError::NewerSchema { found: 3, known: 1 })));
        open(&disk, &STEPS).unwrap();
    }

    #[test]
    fn a_step_that_fails_leaves_the_file_before_it() {
        let disk = schema_1();
        let failing = [
            Migration { what: STEPS[0].what, apply: STEPS[0].apply },
            Migration {
                what: "read what is not there",
                apply: |tx| {
                    tx.put(&FRUIT_2, &(9, "fig".to_owned()), &(1, true))?;
                    Err(StoreError::Damaged { what: "for the test".to_owned() })
                },
            },
        ];
        assert!(open(&disk, &failing).is_err());
        let store = open(&disk, &STEPS[..1]).unwrap();
        let fig = store.read_blocking::<_, StoreError, _>(|tx| tx.contains(&FRUIT_2, &(9, "fig".to_owned())));
        assert!(!fig.unwrap());
    }

    #[test]
    fn a_file_of_the_same_engine_without_our_mark_is_foreign() {
        let disk = SimulatedDisk::new();
        let database = redb::Builder::new().create_with_backend(disk.clone()).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(redb::TableDefinition::<u8, u8>::new("other")).unwrap().insert(1, 1).unwrap();
        transaction.commit().unwrap();
        drop(database);
        assert!(matches!(open(&disk, &[]), Err(StoreError::Foreign { .. })));
    }
}
