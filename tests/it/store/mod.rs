//! What the store promises: writes are whole and durable, reads are consistent, files are refused rather than trusted.

mod durability;
mod files;
mod model;
mod writing;

use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
        mpsc,
    },
};

use coffer::store::{Order, Read, Span, Store, StoreError, StoreOptions, Table};

const WORDS: Table<String, String> = Table::new("words", 1);
const COUNTS: Table<u32, u64> = Table::new("counts", 1);

/// What a refused write answers in these tests.
#[derive(Debug)]
enum Failure {
    Refused,
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Store(error)
    }
}

fn memory() -> Store {
    Store::open_memory(StoreOptions::default()).unwrap()
}

fn put(store: &Store, key: &str, value: &str) -> Result<(), StoreError> {
    let (key, value) = (key.to_owned(), value.to_owned());
    store.write_blocking(move |tx| tx.put(&WORDS, &key, &value))
}

fn words(store: &Store) -> Vec<(String, String)> {
    store.read_blocking(|tx| tx.scan(&WORDS, &Span::all(), Order::Ascending, 1000)).unwrap()
}

fn pairs<const N: usize>(expected: [(&str, &str); N]) -> [(String, String); N] {
    expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
}

/// Holds the writer inside a closure, so that everything sent meanwhile waits for the same batch.
struct Gate {
    release: mpsc::Sender<()>,
}

impl Gate {
    /// Returns once the writer is held. The write that holds it must be driven by the caller.
    fn close(store: &Store) -> (Gate, std::thread::JoinHandle<Result<(), StoreError>>) {
        let (release, released) = mpsc::channel();
        let (enter, entered) = mpsc::channel();
        let released = Mutex::new(released);
        let store = store.clone();
        let held = std::thread::spawn(move || {
            store.write_blocking(move |_| {
                enter.send(()).expect("the test waits for this");
                released.lock().unwrap().recv().expect("the test releases the gate");
                Ok(())
            })
        });
        entered.recv().unwrap();
        (Gate { release }, held)
    }

    fn open(self) {
        self.release.send(()).unwrap();
    }
}

/// A folder of its own for one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("store-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
