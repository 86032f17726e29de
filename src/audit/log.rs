//! The audit chains in the store: appended in the transaction of the change they describe, read newest first, verified
//! from the beginning.

use std::fmt;
use std::ops::ControlFlow;

use super::{Action, Actor, AuditRecord, Broken, Detail, Entry, Verifier};
use crate::domain::ids::MerchantId;
use crate::domain::time::Timestamp;
use crate::store::tables::AUDIT;
use crate::store::{Order, Read, Span, StoreError, WriteTx};

/// Who acts, when and from where: taken before a transaction, so that it can be repeated.
#[derive(Clone, Debug)]
pub struct Stamp {
    pub at: Timestamp,
    pub actor: Actor,
    /// Empty when there is none.
    pub ip: String,
}

impl Stamp {
    /// The program itself, on behalf of nobody.
    pub fn system(at: Timestamp) -> Self {
        Self { at, actor: Actor::System, ip: String::new() }
    }

    /// Writes what was done into a chain, in the transaction that does it.
    pub fn record(
        &self,
        tx: &mut WriteTx<'_>,
        chain: MerchantId,
        action: Action,
        object: impl fmt::Display,
        detail: Detail,
    ) -> Result<(), StoreError> {
        let Stamp { at, actor, ip } = self.clone();
        append(tx, chain, Entry { at, actor, action, object: object.to_string(), detail, ip })
    }
}

/// Appends a record to a chain. Called in the transaction of the change, so that one cannot exist without the other.
pub fn append(tx: &mut WriteTx<'_>, chain: MerchantId, entry: Entry) -> Result<(), StoreError> {
    let last = tx.scan(&AUDIT, &Span::prefix(&chain), Order::Descending, 1)?.pop();
    let record = AuditRecord::append(chain, last.as_ref().map(|(_, record)| record), entry);
    tx.put(&AUDIT, &(chain, record.seq), &record)
}

/// The newest records of a chain below a sequence number.
pub fn newest(
    tx: &impl Read,
    chain: MerchantId,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<AuditRecord>, StoreError> {
    let span = Span::prefix(&chain);
    let span = match before {
        Some(seq) => span.until(&(chain, seq)),
        None => span,
    };
    Ok(tx.scan(&AUDIT, &span, Order::Descending, limit)?.into_iter().map(|(_, record)| record).collect())
}

/// What a verification found to be whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub chains: u64,
    pub records: u64,
}

/// Why a verification failed.
#[derive(Clone, Debug)]
pub enum VerifyError {
    Broken(Broken),
    Store(StoreError),
}

impl From<StoreError> for VerifyError {
    fn from(error: StoreError) -> Self {
        VerifyError::Store(error)
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VerifyError::Broken(broken) => broken.fmt(f),
            VerifyError::Store(_) => f.write_str("the audit log could not be read"),
        }
    }
}

impl std::error::Error for VerifyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            VerifyError::Broken(_) => None,
            VerifyError::Store(error) => Some(error),
        }
    }
}

/// Recomputes every chain from its beginning and names the first record that fails.
pub fn verify_all(tx: &impl Read) -> Result<Verified, VerifyError> {
    verify_span(tx, &Span::all())
}

/// Recomputes one chain.
pub fn verify_chain(tx: &impl Read, chain: MerchantId) -> Result<Verified, VerifyError> {
    verify_span(tx, &Span::prefix(&chain))
}

fn verify_span(tx: &impl Read, span: &Span) -> Result<Verified, VerifyError> {
    let mut found = Verified::default();
    let mut current: Option<(MerchantId, Verifier)> = None;
    tx.walk(&AUDIT, span, |(chain, seq), record| {
        let verifier = match &mut current {
            Some((of, verifier)) if *of == chain => verifier,
            other => {
                found.chains += 1;
                &mut other.insert((chain, Verifier::new(chain))).1
            }
        };
        // The key is part of the claim: a record stored under another number is out of place.
        let placed = if record.seq == seq { Ok(()) } else { Err(verifier.misplaced(seq)) };
        placed.and_then(|()| verifier.check(&record)).map_err(VerifyError::Broken)?;
        found.records += 1;
        Ok::<_, VerifyError>(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::{Fault, INSTALLATION};
    use super::*;
    use crate::store::{Store, StoreOptions};

    fn entry(object: &str) -> Entry {
        Entry {
            at: Timestamp::from_seconds(100),
            actor: Actor::System,
            action: Action::SettingsChanged,
            object: object.into(),
            detail: Detail::new(),
            ip: String::new(),
        }
    }

    const SHOP: MerchantId = MerchantId::from_bytes([7; 16]);

    fn filled() -> Store {
        let store = Store::open_memory(StoreOptions::default()).unwrap();
        for object in ["a", "b", "c"] {
            store
                .write_blocking(move |tx| {
                    append(tx, SHOP, entry(object))?;
                    append(tx, INSTALLATION, entry(object))
                })
                .unwrap();
        }
        store
    }

    fn broken_by(change: impl Fn(&mut WriteTx<'_>) -> Result<(), StoreError> + Send + 'static) -> Option<(u64, Fault)> {
        let store = filled();
        store.write_blocking(change).unwrap();
        match store.read_blocking(verify_all) {
            Err(VerifyError::Broken(broken)) => Some((broken.seq, broken.fault)),
            Ok(_) | Err(VerifyError::Store(_)) => None,
        }
    }

    #[test]
    fn chains_grow_separately_and_verify() {
        let store = filled();
        let verified = store.read_blocking(verify_all).unwrap();
        assert_eq!(verified, Verified { chains: 2, records: 6 });
        let newest = store.read_blocking(|tx| newest(tx, SHOP, Some(3), 10)).unwrap();
        assert_eq!(newest.iter().map(|r| r.object.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    }

    #[test]
    fn a_row_that_was_edited_removed_or_moved_is_named() {
        let edited = broken_by(|tx| {
            let mut record = tx.get(&AUDIT, &(SHOP, 2))?.expect("three were written");
            record.object = "x".into();
            tx.put(&AUDIT, &(SHOP, 2), &record)
        });
        assert_eq!(edited, Some((2, Fault::Edited)));
        let removed = broken_by(|tx| tx.delete(&AUDIT, &(SHOP, 1)).map(drop));
        assert_eq!(removed, Some((2, Fault::Gap)));
        let moved = broken_by(|tx| {
            let record = tx.get(&AUDIT, &(SHOP, 3))?.expect("three were written");
            tx.delete(&AUDIT, &(SHOP, 3))?;
            tx.put(&AUDIT, &(SHOP, 4), &record)
        });
        assert_eq!(moved, Some((4, Fault::Gap)));
        let foreign = broken_by(|tx| {
            let record = tx.get(&AUDIT, &(INSTALLATION, 1))?.expect("three were written");
            tx.put(&AUDIT, &(SHOP, 1), &record)
        });
        assert_eq!(foreign, Some((1, Fault::WrongChain)));
    }
}
