//! Backup from a running store, restore, and the check of a file that nobody has open.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self, Read as _, Seek as _},
    path::Path,
    sync::{Mutex, PoisonError},
};

use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata, TableHandle};

use super::{
    Store, StoreOptions, builder,
    error::{StoreError, explain, guarded},
    files::NewFile,
    migrations,
    read::definition,
    table::TableCheck,
};

/// How often progress is told, in rows.
const PROGRESS_ROWS: u64 = 4096;

/// Memory for pages while a file is copied or checked, in bytes.
const CACHE_BYTES: usize = 64 << 20;

/// What a check of a file saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// Rows of each table, by name.
    pub tables: BTreeMap<String, u64>,
    /// Size of the file in bytes.
    pub file_bytes: u64,
}

impl Store {
    /// Copies one snapshot into a new compact file while writing goes on. `progress` is told rows done and rows in all.
    /// Until it ends, the data file cannot reuse the space of what is overwritten, and grows.
    pub fn backup(&self, to: &Path, mut progress: impl FnMut(u64, u64)) -> Result<(), StoreError> {
        let file = NewFile::create(to)?;
        let _age = self.0.shared.health.begin_read();
        let snapshot = self.0.shared.snapshot()?;
        let from = snapshot.transaction();
        let total = tables(from)?.values().sum();
        let mut done = 0;

        let options = StoreOptions { cache_bytes: CACHE_BYTES, check_integrity: false, ..StoreOptions::default() };
        let target = builder(&options).create(file.path())?;
        // One transaction leaves no freed pages behind; it spills to the file when it outgrows the cache.
        let mut transaction = target.begin_write()?;
        transaction.set_two_phase_commit(true);
        for table in tables(from)?.keys() {
            let source = from.open_table(definition(table))?;
            let mut copy = transaction.open_table(definition(table))?;
            for row in source.iter()? {
                let (key, value) = row?;
                copy.insert(key.value(), value.value())?;
                tick(&mut done, total, &mut progress);
            }
        }
        transaction.commit()?;
        drop(target);
        file.publish()?;
        progress(total, total);
        Ok(())
    }
}

impl Store {
    /// Opens a file to look at it: what is written, migrations included, stays in memory. Checksums were verified by
    /// [`verify_file`], which is run before.
    pub fn open_untouched(path: &Path) -> Result<Store, StoreError> {
        let options = StoreOptions { cache_bytes: CACHE_BYTES, create: false, ..StoreOptions::default() };
        Store::start(open_untouched(path, false)?, None, migrations::ALL, options)
    }
}

/// Copies a backup to where there is no data file yet, after checking it as opening would.
pub fn restore(from: &Path, to: &Path) -> Result<(), StoreError> {
    let file = NewFile::create(to)?;
    // Open until the end, so that nobody changes it meanwhile.
    let _checked = open_untouched(from, true)?;
    let copy = || {
        let mut target = fs::OpenOptions::new().write(true).open(file.path())?;
        io::copy(&mut fs::File::open(from)?, &mut target)
    };
    copy().map_err(StoreError::io(format!("copying {}", from.display())))?;
    file.publish()
}

/// Checks a file without changing it: the checksums of every page, and that every record of every known table can be
/// read. The first row that cannot is the error. A file of an older schema is migrated in memory first.
pub fn verify_file(
    path: &Path,
    known: &[TableCheck],
    mut progress: impl FnMut(u64, u64),
) -> Result<VerifyReport, StoreError> {
    let database = open_untouched(path, true)?;
    guarded(|| {
        migrations::run(&database, Some(path), migrations::ALL)?;
        let transaction = database.begin_read()?;
        let tables = tables(&transaction)?;
        let total = tables.values().sum();
        let mut done = 0;
        for name in tables.keys() {
            let meta = migrations::META.check();
            let check = known.iter().chain([&meta]).find(|check| check.name == name);
            let check = check.ok_or_else(|| StoreError::UnknownTable { table: name.clone() })?;
            for row in transaction.open_table(definition(name))?.iter()? {
                let (key, value) = row?;
                check.row(key.value(), value.value())?;
                tick(&mut done, total, &mut progress);
            }
        }
        let file_bytes = fs::metadata(path).map_err(StoreError::io(format!("opening {}", path.display())))?.len();
        progress(total, total);
        Ok(VerifyReport { tables, file_bytes })
    })
}

fn tick(done: &mut u64, total: u64, progress: &mut impl FnMut(u64, u64)) {
    *done += 1;
    if done.is_multiple_of(PROGRESS_ROWS) {
        progress(*done, total);
    }
}

/// Every table and its number of rows.
fn tables(transaction: &redb::ReadTransaction) -> Result<BTreeMap<String, u64>, StoreError> {
    let names = transaction.list_tables()?.map(|table| table.name().to_owned());
    names.map(|name| Ok((name.clone(), transaction.open_table(definition(&name))?.len()?))).collect()
}

/// Opens a file, with all its checksums verified if wanted, locked against writers, and never changes it.
fn open_untouched(path: &Path, check_integrity: bool) -> Result<redb::Database, StoreError> {
    let opening = || StoreError::io(format!("opening {}", path.display()));
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(StoreError::Missing { path: path.to_owned() });
        }
        Err(error) => return Err(opening()(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Err(StoreError::Locked),
        Err(fs::TryLockError::Error(error)) => return Err(opening()(error)),
    }
    let options = StoreOptions { cache_bytes: CACHE_BYTES, check_integrity, ..StoreOptions::default() };
    let length = file.metadata().map_err(opening())?.len();
    // The engine would take an empty file for a new one.
    if length == 0 {
        return Err(StoreError::Empty { path: path.to_owned() });
    }
    let backend = Untouched(Mutex::new(State { file, file_bytes: length, length, pages: BTreeMap::new() }));
    let database = guarded(|| Ok(builder(&options).create_with_backend(backend)?)).map_err(|e| explain(e, path))?;
    match migrations::schema(&database, Some(path))? {
        Some(_) => Ok(database),
        None => Err(StoreError::Foreign { path: path.to_owned() }),
    }
}

const PAGE_BYTES: u64 = 4096;

/// A file whose changes stay in memory: opening, checking and migrating write, and a backup must stay what it was.
struct Untouched(Mutex<State>);

struct State {
    file: fs::File,
    file_bytes: u64,
    length: u64,
    /// Changed pages by number.
    pages: BTreeMap<u64, Vec<u8>>,
}

impl State {
    fn read_file(&mut self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = self.file_bytes.saturating_sub(offset).min(out.len() as u64);
        let (stored, beyond) = out.split_at_mut(usize::try_from(there).expect("at most the length of a buffer"));
        self.file.seek(io::SeekFrom::Start(offset))?;
        self.file.read_exact(stored)?;
        beyond.fill(0);
        Ok(())
    }

    /// Calls `f` for each page of a range, with the part of it and the part of the buffer.
    fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
        let mut done = 0;
        std::iter::from_fn(move || {
            if done == length {
                return None;
            }
            let at = offset + done as u64;
            let inside = usize::try_from(at % PAGE_BYTES).expect("less than a page");
            let take = (usize::try_from(PAGE_BYTES).expect("a page is small") - inside).min(length - done);
            let part = done..done + take;
            done += take;
            Some((at / PAGE_BYTES, inside, part))
        })
    }
}

impl fmt::Debug for Untouched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Untouched")
    }
}

impl Untouched {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl redb::StorageBackend for Untouched {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        if offset + out.len() as u64 > state.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        state.read_file(offset, out)?;
        for (page, inside, part) in State::parts(offset, out.len()) {
            if let Some(changed) = state.pages.get(&page) {
                let length = part.len();
                out[part].copy_from_slice(&changed[inside..inside + length]);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        if len < state.length {
            // What grows back later reads as zero.
            state.file_bytes = state.file_bytes.min(len);
            let kept = len.div_ceil(PAGE_BYTES);
            state.pages.retain(|page, _| *page < kept);
            if let Some(last) = state.pages.get_mut(&(len / PAGE_BYTES)) {
                last[usize::try_from(len % PAGE_BYTES).expect("less than a page")..].fill(0);
            }
        }
        state.length = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        for (page, inside, part) in State::parts(offset, data.len()) {
            if !state.pages.contains_key(&page) {
                let mut fresh = vec![0; usize::try_from(PAGE_BYTES).expect("a page is small")];
                state.read_file(page * PAGE_BYTES, &mut fresh)?;
                state.pages.insert(page, fresh);
            }
            let changed = state.pages.get_mut(&page).expect("inserted above if it was missing");
            let length = part.len();
            changed[inside..inside + length].copy_from_slice(&data[part]);
        }
        Ok(())
    }
}
