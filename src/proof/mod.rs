//! Checkpoints: a hash chain alone does not show that its end was cut off or that all of it was rewritten.
//!
//! Every hour, at start and at stop, the head of each chain (the journals and the audit logs) is signed and appended to a
//! file beside the store, which belongs on another disk or is shipped elsewhere. At start the store must contain every
//! head that the file knows: an older copy of the store is noticed before it is served.

mod line;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::{Deserialize, Serialize};

use crate::audit;
use crate::crypto::{Place, Vault};
use crate::domain::ids::{MerchantId, Scope};
use crate::domain::time::{Duration, Timestamp};
use crate::env::Env;
use crate::store::tables::{AUDIT, CHECKPOINT_KEY, CHECKPOINTS, JOURNAL, JOURNAL_HEADS, MERCHANTS};
use crate::store::{Read, Span, Store, StoreError};

/// How often the heads are signed.
pub const INTERVAL: Duration = Duration::from_hours(1);
/// The file in the data folder when the configuration names no other.
pub const FILE: &str = "checkpoints.log";
/// How much of the file's end is read at start: more than a year of hours for a dozen chains would need is not needed,
/// because each checkpoint covers all before it.
const TAIL_BYTES: u64 = 1 << 20;

/// Which chain a checkpoint is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Chain {
    Journal(Scope),
    Audit(MerchantId),
}

/// The head of one chain at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub chain: Chain,
    pub at: Timestamp,
    pub seq: u64,
    pub hash: [u8; 32],
}

/// Why the store does not agree with the file.
#[derive(Debug)]
pub enum Alarm {
    /// The chain ends before the checkpoint: the store is an older copy, or its end was cut off.
    Older {
        checkpoint: Box<Checkpoint>,
        file: PathBuf,
    },
    /// The chain has another entry at that place: it was rewritten.
    Rewritten {
        checkpoint: Box<Checkpoint>,
        file: PathBuf,
    },
    /// A line was not signed by this store's key.
    NotGenuine {
        line: usize,
        file: PathBuf,
    },
    Store(StoreError),
    Io {
        file: PathBuf,
        error: io::Error,
    },
}

impl std::fmt::Display for Alarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Alarm::Older { checkpoint, file } => write!(
                f,
                "the data is older than its last proof: {} had entry {} on {}. An older copy was put in place of the \
                 data, or its end was cut off. Put the right file back, or run `coffer restore` with the newest good \
                 backup. If this is a backup that you restored on purpose, move {} away and start again",
                line::name(checkpoint.chain),
                checkpoint.seq,
                checkpoint.at,
                file.display()
            ),
            Alarm::Rewritten { checkpoint, file } => write!(
                f,
                "entry {} of {} is not the one that was signed on {}: the books were changed from outside. Keep the \
                 data and {} for an investigation, move both away, and run `coffer restore` with the newest good backup",
                checkpoint.seq,
                line::name(checkpoint.chain),
                checkpoint.at,
                file.display()
            ),
            Alarm::NotGenuine { line, file } => write!(
                f,
                "line {line} of the last lines of {} was not signed by this data's key: the file belongs to other \
                 data or was changed. Put the file back that belongs to the data; if the data is new on purpose, move \
                 this one away and start again",
                file.display()
            ),
            Alarm::Store(error) => write!(f, "{error}"),
            Alarm::Io { file, error } => write!(f, "{} cannot be read or written: {error}", file.display()),
        }
    }
}

impl std::error::Error for Alarm {}

impl From<StoreError> for Alarm {
    fn from(error: StoreError) -> Self {
        Alarm::Store(error)
    }
}

/// Signs and checks the heads of one store.
pub struct Notary {
    store: Store,
    env: Env,
    key: Ed25519KeyPair,
    file: PathBuf,
}

impl Notary {
    /// Opens the signing key, or makes it on a new store. Blocks.
    pub fn open(store: Store, env: Env, vault: &Vault, file: PathBuf) -> Result<Notary, Alarm> {
        let place = Place { table: CHECKPOINT_KEY.name(), row: &[0], field: "seed" };
        let known = store.read_blocking(|tx| tx.get(&CHECKPOINT_KEY, &0u8))?;
        let wrong_key = |what: String| Alarm::Io { file: file.clone(), error: io::Error::other(what) };
        let seed = match known {
            Some(sealed) => vault.open(&place, &sealed).map_err(|why| wrong_key(why.to_string()))?,
            None => {
                let seed: [u8; 32] = env.random();
                let sealed = vault.seal(&place, &seed, env.entropy.as_ref());
                store.write_blocking(move |tx| tx.put(&CHECKPOINT_KEY, &0u8, &sealed))?;
                crate::crypto::Secret::new(seed.to_vec())
            }
        };
        let key = Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|why| wrong_key(why.to_string()))?;
        Ok(Notary { store, env, key, file })
    }

    /// Base64 of the public key that the file's lines are checked with.
    pub fn public_key(&self) -> String {
        data_encoding::BASE64.encode(self.key.public_key().as_ref())
    }

    /// Compares the store with what the file knows. Blocks; no file is no alarm, because a new folder has none.
    pub fn check(&self) -> Result<usize, Alarm> {
        let io = |error| Alarm::Io { file: self.file.clone(), error };
        let Some(tail) = tail(&self.file).map_err(io)? else { return Ok(0) };
        let mut last: BTreeMap<Chain, Checkpoint> = BTreeMap::new();
        for (number, text) in tail.lines().enumerate().filter(|(_, text)| !text.is_empty()) {
            let checkpoint = line::read(text, self.key.public_key().as_ref())
                .ok_or_else(|| Alarm::NotGenuine { line: number + 1, file: self.file.clone() })?;
            last.insert(checkpoint.chain, checkpoint);
        }
        let count = last.len();
        for checkpoint in last.into_values() {
            self.agree(checkpoint)?;
        }
        Ok(count)
    }

    fn agree(&self, checkpoint: Checkpoint) -> Result<(), Alarm> {
        let found = self.store.read_blocking(|tx| entry_hash(tx, &checkpoint))?;
        compare(checkpoint, found, self.file.clone())
    }

    /// Signs the heads as they are, appends them to the file, and remembers them for the console. Blocks. Chains that
    /// have not grown since their last checkpoint are left out.
    pub fn sign(&self) -> Result<usize, Alarm> {
        let at = self.env.now();
        let heads = self.store.read_blocking(|tx| heads(tx, at))?;
        if heads.is_empty() {
            return Ok(0);
        }
        let lines: String = heads.iter().map(|checkpoint| line::write(checkpoint, &self.key)).collect();
        append(&self.file, lines.as_bytes()).map_err(|error| Alarm::Io { file: self.file.clone(), error })?;
        let count = heads.len();
        self.store.write_blocking(move |tx| {
            heads.iter().try_for_each(|checkpoint| tx.put(&CHECKPOINTS, &line::name(checkpoint.chain), checkpoint))
        })?;
        Ok(count)
    }
}

/// Compares the store with the checkpoints that it remembers itself; answers how many. Whoever can rewrite the chains can
/// rewrite these too: against that there is the signed file, which the server checks at start.
pub fn check_remembered(tx: &impl Read) -> Result<usize, Alarm> {
    let mut remembered = Vec::new();
    tx.walk(&CHECKPOINTS, &Span::all(), |_, checkpoint| {
        remembered.push(checkpoint);
        Ok::<_, StoreError>(ControlFlow::Continue(()))
    })?;
    let count = remembered.len();
    for checkpoint in remembered {
        let found = entry_hash(tx, &checkpoint)?;
        compare(checkpoint, found, PathBuf::from("the store's own checkpoints"))?;
    }
    Ok(count)
}

fn entry_hash(tx: &impl Read, checkpoint: &Checkpoint) -> Result<Option<[u8; 32]>, StoreError> {
    Ok(match checkpoint.chain {
        Chain::Journal(scope) => tx.get(&JOURNAL, &(scope, checkpoint.seq))?.map(|entry| entry.hash),
        Chain::Audit(merchant) => tx.get(&AUDIT, &(merchant, checkpoint.seq))?.map(|record| record.hash),
    })
}

fn compare(checkpoint: Checkpoint, found: Option<[u8; 32]>, file: PathBuf) -> Result<(), Alarm> {
    let checkpoint = Box::new(checkpoint);
    match found {
        None => Err(Alarm::Older { checkpoint, file }),
        Some(hash) if hash != checkpoint.hash => Err(Alarm::Rewritten { checkpoint, file }),
        Some(_) => Ok(()),
    }
}

fn heads(tx: &impl Read, at: Timestamp) -> Result<Vec<Checkpoint>, StoreError> {
    let mut heads = Vec::new();
    tx.walk(&JOURNAL_HEADS, &Span::all(), |scope, head| {
        heads.push(Checkpoint { chain: Chain::Journal(scope), at, seq: head.seq, hash: head.hash });
        Ok::<_, StoreError>(ControlFlow::Continue(()))
    })?;
    let mut merchants = vec![audit::INSTALLATION];
    tx.walk(&MERCHANTS, &Span::all(), |id, _| {
        merchants.push(id);
        Ok::<_, StoreError>(ControlFlow::Continue(()))
    })?;
    for merchant in merchants {
        let newest = tx.scan(&AUDIT, &Span::prefix(&merchant), crate::store::Order::Descending, 1)?;
        if let Some(((_, seq), record)) = newest.into_iter().next() {
            heads.push(Checkpoint { chain: Chain::Audit(merchant), at, seq, hash: record.hash });
        }
    }
    let mut grown = Vec::new();
    for head in heads {
        let last = tx.get(&CHECKPOINTS, &line::name(head.chain))?;
        if last.is_none_or(|last| last.seq != head.seq) {
            grown.push(head);
        }
    }
    Ok(grown)
}

/// The last whole lines of a file; `None` without a file.
fn tail(path: &Path) -> io::Result<Option<String>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let from = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    // A line that the window begins in the middle of, and one whose end was never written, say nothing.
    let begin = if from == 0 { 0 } else { bytes.iter().position(|b| *b == b'\n').map_or(bytes.len(), |at| at + 1) };
    let end = bytes.iter().rposition(|b| *b == b'\n').map_or(begin, |at| at + 1).max(begin);
    String::from_utf8(bytes[begin..end].to_vec()).map(Some).map_err(io::Error::other)
}

fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let length = file.metadata()?.len();
    // After a crash in the middle of a line, the next one begins on its own.
    let mut last = [b'\n'];
    if length > 0 {
        file.seek(SeekFrom::Start(length - 1))?;
        file.read_exact(&mut last)?;
    }
    if last != [b'\n'] {
        fs::OpenOptions::new().write(true).open(path)?.set_len(whole_lines(path)?)?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// Length of the file up to the end of its last whole line.
fn whole_lines(path: &Path) -> io::Result<u64> {
    let bytes = fs::read(path)?;
    let end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    Ok(u64::try_from(end).unwrap_or(0))
}

#[cfg(test)]
mod tests;
