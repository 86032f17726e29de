//! The store: typed tables in one file, one writer with group commit, snapshot reads. Only this module names redb and bincode.
//!
//! `store.write(|tx| …).await` answers after the durable commit, so an answered request is a durable one.

mod all_tables;
mod backup;
mod bare;
mod codec;
mod disk;
mod error;
mod files;
mod health;
mod key;
pub mod migrations;
mod read;
mod space;
mod span;
pub mod table;
pub mod tables;
mod write;
mod writer;

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::Ordering::Relaxed,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::{oneshot, watch};

pub use self::{
    all_tables::ALL_TABLES,
    backup::{VerifyReport, restore, verify_file},
    bare::BareFile,
    codec::{KEY_MAX_BYTES, RECORD_MAX_BYTES},
    disk::SimulatedDisk,
    error::StoreError,
    health::{BATCH_SIZE_BUCKETS, StoreStats},
    key::Key,
    read::{Read, ReadTx, Rows, SCAN_ROWS_MAX},
    space::TableSpace,
    span::{Order, Span},
    table::{Record, Table, TableCheck},
    write::{Signal, WriteTx},
};
use self::{
    error::{explain, guarded},
    health::Health,
    writer::{Message, Pace, Shared, Write},
};
use crate::env::{Clock, SystemClock};

/// How a store is opened, and its limits.
#[derive(Clone)]
pub struct StoreOptions {
    /// Memory for cached pages, in bytes.
    pub cache_bytes: usize,
    /// Writes that may wait; beyond that they are answered [`StoreError::Busy`] at once.
    pub queue_max: usize,
    /// Writes in one commit at most.
    pub batch_max: usize,
    /// How long a batch waits for company at most, in microseconds; it does where commits are slow and many write.
    pub batch_wait_us: u64,
    /// Verify the checksums of the whole file at opening: about 0.6 s per GB, and the only time they are looked at.
    pub check_integrity: bool,
    /// Create the file if there is none.
    pub create: bool,
    /// Only for the age of snapshots.
    pub clock: Arc<dyn Clock>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 128 << 20,
            queue_max: 4096,
            batch_max: 256,
            batch_wait_us: 2000,
            check_integrity: true,
            create: true,
            clock: Arc::new(SystemClock::new()),
        }
    }
}

/// A handle to the open store; clones share it. The file is closed by [`Store::close`] or with the last handle.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    queue: SyncSender<Message>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// `None` in memory.
    path: Option<PathBuf>,
}

impl Store {
    /// Opens or creates the data file and brings it to the newest schema. The file is readable by its owner alone.
    pub fn open(path: &Path, options: StoreOptions) -> Result<Store, StoreError> {
        match fs::metadata(path) {
            // The engine would take it for a new one.
            Ok(file) if file.len() == 0 && !options.create => return Err(StoreError::Empty { path: path.to_owned() }),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if !options.create {
                    return Err(StoreError::Missing { path: path.to_owned() });
                }
                create_whole(path, &options)?;
            }
            Err(error) => return Err(StoreError::io(format!("opening {}", path.display()))(error)),
        }
        let database = guarded(|| builder(&options).create(path).map_err(StoreError::from))
            .map_err(|error| explain(error, path))?;
        Self::start(database, Some(path.to_owned()), migrations::ALL, options)
    }

    /// A store in memory, for tests and simulations.
    pub fn open_memory(options: StoreOptions) -> Result<Store, StoreError> {
        let database = builder(&options).create_with_backend(redb::backends::InMemoryBackend::new())?;
        Self::start(database, None, migrations::ALL, options)
    }

    /// A store on a disk that a simulation can break.
    pub fn open_disk(disk: &SimulatedDisk, options: StoreOptions) -> Result<Store, StoreError> {
        let database = guarded(|| Ok(builder(&options).create_with_backend(disk.clone())?))?;
        Self::start(database, None, migrations::ALL, options)
    }

    fn start(
        database: redb::Database,
        path: Option<PathBuf>,
        migrations: &[migrations::Migration],
        options: StoreOptions,
    ) -> Result<Store, StoreError> {
        migrations::run(&database, path.as_deref(), migrations)?;
        let shared = Arc::new(Shared {
            database: RwLock::new(Some(database)),
            listeners: RwLock::default(),
            health: Arc::new(Health::new(options.clock)),
        });
        let (queue, waiting) = sync_channel(options.queue_max);
        let pace = Pace { batch_max: options.batch_max.max(1), wait: Duration::from_micros(options.batch_wait_us) };
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn({
                let shared = shared.clone();
                move || writer::run(&shared, &waiting, pace)
            })
            .map_err(StoreError::io("starting the writer thread"))?;
        Ok(Store(Arc::new(Inner { shared, queue, writer: Mutex::new(Some(writer)), path })))
    }

    /// Calls `f` on the writer thread after each commit that had signals, before the writes are answered. It must be quick
    /// and must not write.
    pub fn on_commit(&self, f: impl Fn(&[Signal]) + Send + Sync + 'static) {
        let mut listeners = self.0.shared.listeners.write().unwrap_or_else(PoisonError::into_inner);
        listeners.push(Box::new(f));
    }

    /// Runs a closure on the writer and answers after the commit that made it durable. The closure may run again, so it
    /// has no side effects, and takes time and randomness as values. On `Err` and on a panic nothing of it is stored. A
    /// caller that stops waiting takes nothing back: what is in the queue is run.
    pub async fn write<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: Fn(&mut WriteTx<'_>) -> Result<T, E> + Send + 'static,
        E: From<StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.send(f)?.await.unwrap_or_else(|_| Err(E::from(StoreError::Stopped)))
    }

    /// As [`Store::write`], for threads outside the async runtime; panics inside it.
    pub fn write_blocking<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: Fn(&mut WriteTx<'_>) -> Result<T, E> + Send + 'static,
        E: From<StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.send(f)?.blocking_recv().unwrap_or_else(|_| Err(E::from(StoreError::Stopped)))
    }

    fn send<T, E, F>(&self, f: F) -> Result<oneshot::Receiver<Result<T, E>>, E>
    where
        F: Fn(&mut WriteTx<'_>) -> Result<T, E> + Send + 'static,
        E: From<StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let health = &self.0.shared.health;
        if health.has_failed() {
            return Err(E::from(StoreError::Stopped));
        }
        let (reply, answer) = oneshot::channel();
        health.queued.fetch_add(1, Relaxed);
        match self.0.queue.try_send(Message::Write(Box::new(Write::new(f, reply)))) {
            Ok(()) => Ok(answer),
            Err(error) => {
                health.queued.fetch_sub(1, Relaxed);
                Err(E::from(match error {
                    TrySendError::Full(_) => {
                        health.busy.fetch_add(1, Relaxed);
                        StoreError::Busy
                    }
                    TrySendError::Disconnected(_) => StoreError::Stopped,
                }))
            }
        }
    }

    /// Runs a closure on a snapshot, on a thread that may block. Keep it short: while it runs, the file cannot reuse the
    /// space of what is overwritten.
    pub async fn read<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: FnOnce(&ReadTx) -> Result<T, E> + Send + 'static,
        E: From<StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let store = self.clone();
        let read = tokio::task::spawn_blocking(move || store.read_blocking(f));
        // The task is never cancelled, so this is a panic.
        read.await.unwrap_or_else(|_| Err(E::from(StoreError::Panicked)))
    }

    /// As [`Store::read`], on this thread.
    pub fn read_blocking<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: FnOnce(&ReadTx) -> Result<T, E>,
        E: From<StoreError>,
    {
        let age = self.0.shared.health.begin_read();
        let snapshot = self.0.shared.snapshot()?;
        f(&ReadTx::new(snapshot, age))
    }

    /// Numbers for metrics.
    pub fn stats(&self) -> StoreStats {
        let file = self.0.path.as_ref().and_then(|path| fs::metadata(path).ok());
        self.0.shared.health.stats(file.map_or(0, |file| file.len()))
    }

    /// Turns true when an I/O error stopped the store; every later write answers [`StoreError::Stopped`].
    pub fn failed(&self) -> watch::Receiver<bool> {
        self.0.shared.health.watch()
    }

    /// Writes what waits, stops the writer and closes the file. Blocks; other handles answer [`StoreError::Stopped`] from
    /// then on.
    pub fn close(self) {
        self.0.close();
    }
}

impl Inner {
    fn close(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(writer) = writer else { return };
        // The last handle may die inside a closure or a listener, on the writer itself. Then the queue closes with it.
        if writer.thread().id() != std::thread::current().id() {
            // Errors mean that the writer is gone already.
            drop(self.queue.send(Message::Close));
            drop(writer.join());
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

/// Creates the data file aside, with its schema, and gives it its name when all of it is durable: a machine that loses its
/// power meanwhile leaves no file, or a whole one.
fn create_whole(path: &Path, options: &StoreOptions) -> Result<(), StoreError> {
    let file = files::NewFile::create(path)?;
    guarded(|| {
        let database = builder(options).create(file.path())?;
        migrations::run(&database, None, migrations::ALL)
    })
    .map_err(|error| explain(error, path))?;
    file.publish()
}

fn builder(options: &StoreOptions) -> redb::Builder {
    let mut builder = redb::Builder::new();
    builder.set_cache_size(options.cache_bytes).set_check_integrity_on_open(options.check_integrity);
    builder
}
