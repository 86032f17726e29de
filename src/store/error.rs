//! What can go wrong in the store; each variant is named by what the caller or the operator can do about it.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// An error of the store. `Display` says what to do; the cause below it is in `source()`.
#[derive(Clone, Debug)]
pub enum StoreError {
    /// Too many writes wait: nothing was done, try again shortly.
    Busy,
    /// An earlier failure or a close stopped the store: nothing was done, restart the service.
    Stopped,
    /// The closure panicked: nothing of it was stored.
    Panicked,
    /// One record cannot be read. `key` is the hex of its stored key.
    Corrupt { table: String, key: String },
    /// The file itself is damaged.
    Damaged { what: String },
    /// The file is something else than a store of this product.
    Foreign { path: PathBuf },
    /// The file has no content at all.
    Empty { path: PathBuf },
    /// There is no file, and creating one was not asked for.
    Missing { path: PathBuf },
    /// Another process has the file open.
    Locked,
    /// A newer version of this product wrote the file.
    NewerSchema { found: u32, known: u32 },
    /// The file has a table that this version does not know.
    UnknownTable { table: String },
    /// A record or key above its limit; nothing was stored.
    TooLarge { table: String, bytes: usize },
    /// A backup or restore never overwrites.
    Exists { path: PathBuf },
    /// Input or output failed. For a write this means: it may or may not have been stored, ask after a restart.
    Io { doing: String, error: Arc<io::Error> },
}

impl StoreError {
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> StoreError {
        let doing = doing.into();
        move |error| StoreError::Io { doing, error: Arc::new(error) }
    }

    pub(super) fn corrupt(table: &str, key: &[u8]) -> StoreError {
        StoreError::Corrupt { table: table.to_owned(), key: data_encoding::HEXLOWER.encode(key) }
    }

    /// True when nothing can be relied on any more and the service has to stop.
    pub(super) fn is_fatal(&self) -> bool {
        match self {
            StoreError::Io { .. } | StoreError::Damaged { .. } => true,
            // Stopped follows from what stopped the store, or from a close.
            StoreError::Stopped
            | StoreError::Busy
            | StoreError::Panicked
            | StoreError::Corrupt { .. }
            | StoreError::Foreign { .. }
            | StoreError::Empty { .. }
            | StoreError::Missing { .. }
            | StoreError::Locked
            | StoreError::NewerSchema { .. }
            | StoreError::UnknownTable { .. }
            | StoreError::TooLarge { .. }
            | StoreError::Exists { .. } => false,
        }
    }
}

/// What to do about a file that cannot be used.
const RESTORE: &str =
    "stop the server, move the file away, run `coffer restore` with the newest good backup, then `coffer verify`";

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Busy => f.write_str("too many writes are waiting; try again in a moment"),
            StoreError::Stopped => f.write_str("the store has stopped; restart the service"),
            StoreError::Panicked => {
                f.write_str("a write failed inside the program and left nothing behind; report this")
            }
            StoreError::Corrupt { table, key } => {
                write!(f, "the record {key} of table {table} cannot be read; {RESTORE}")
            }
            StoreError::Damaged { what } => {
                write!(f, "the data file is damaged ({what}); {RESTORE}")
            }
            StoreError::Foreign { path } => write!(
                f,
                "{} is not a data file of this program, or its beginning was destroyed; if it was one, {RESTORE}",
                path.display()
            ),
            StoreError::Empty { path } => {
                write!(f, "{} is empty: its content was lost; {RESTORE}", path.display())
            }
            StoreError::Missing { path } => write!(f, "there is no data file at {}", path.display()),
            StoreError::Locked => f.write_str("another process has the data file open; stop it first"),
            StoreError::NewerSchema { found, known } => write!(
                f,
                "the data file has schema {found}, and this version knows up to {known}; start the newer version that wrote it"
            ),
            StoreError::UnknownTable { table } => {
                write!(f, "the data file has a table {table} that this version does not know")
            }
            StoreError::TooLarge { table, bytes } => {
                write!(f, "a record of {bytes} bytes is too large for table {table}")
            }
            StoreError::Exists { path } => write!(f, "{} exists already and is not overwritten", path.display()),
            StoreError::Io { doing, .. } => write!(f, "{doing} failed"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::Io { error, .. } => Some(error.as_ref()),
            StoreError::Busy
            | StoreError::Stopped
            | StoreError::Panicked
            | StoreError::Corrupt { .. }
            | StoreError::Damaged { .. }
            | StoreError::Foreign { .. }
            | StoreError::Empty { .. }
            | StoreError::Missing { .. }
            | StoreError::Locked
            | StoreError::NewerSchema { .. }
            | StoreError::UnknownTable { .. }
            | StoreError::TooLarge { .. }
            | StoreError::Exists { .. } => None,
        }
    }
}

impl From<redb::StorageError> for StoreError {
    fn from(error: redb::StorageError) -> Self {
        use redb::StorageError as E;
        match error {
            E::Corrupted(what) => StoreError::Damaged { what },
            E::ValueTooLarge(bytes) => StoreError::TooLarge { table: String::new(), bytes },
            E::PreviousIo | E::DatabaseClosed => StoreError::Stopped,
            E::LockPoisoned(_) => StoreError::Damaged { what: "the engine panicked before".to_owned() },
            E::Io(error) => StoreError::io("reading or writing the data file")(error),
            other => StoreError::io("reading or writing the data file")(io::Error::other(other.to_string())),
        }
    }
}

impl From<redb::TableError> for StoreError {
    fn from(error: redb::TableError) -> Self {
        match error {
            redb::TableError::Storage(error) => error.into(),
            other => StoreError::Damaged { what: other.to_string() },
        }
    }
}

impl From<redb::TransactionError> for StoreError {
    fn from(error: redb::TransactionError) -> Self {
        match error {
            redb::TransactionError::Storage(error) => error.into(),
            other => StoreError::Damaged { what: other.to_string() },
        }
    }
}

impl From<redb::CommitError> for StoreError {
    fn from(error: redb::CommitError) -> Self {
        match error {
            redb::CommitError::Storage(error) => error.into(),
            other => StoreError::Damaged { what: other.to_string() },
        }
    }
}

impl From<redb::DatabaseError> for StoreError {
    fn from(error: redb::DatabaseError) -> Self {
        use redb::DatabaseError as E;
        match error {
            E::DatabaseAlreadyOpen | E::LockProtocolMismatch => StoreError::Locked,
            E::Storage(error) => error.into(),
            other => StoreError::Damaged { what: other.to_string() },
        }
    }
}

/// Calls the engine where a damaged file could make it panic, which is then an answer about the file.
pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
    caught.unwrap_or_else(|_| Err(StoreError::Damaged { what: "the engine gave up on it".to_owned() }))
}

/// Says which file could not be opened. The engine reports a file that is none of its own as invalid data.
pub(super) fn explain(error: StoreError, path: &Path) -> StoreError {
    match error {
        StoreError::Io { error, .. } if error.kind() == io::ErrorKind::InvalidData => {
            StoreError::Foreign { path: path.to_owned() }
        }
        StoreError::Io { error, .. } => StoreError::Io { doing: format!("opening {}", path.display()), error },
        other => other,
    }
}
