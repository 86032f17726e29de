//! A disk in memory that can lose power and break, for simulations and crash tests.

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A disk loses or keeps whole sectors of this many bytes.
const SECTOR_BYTES: usize = 512;

/// A disk in memory; clones are the same disk. What was written is safe only after a sync, as on a real one.
#[derive(Clone, Default)]
pub struct SimulatedDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What a reader sees.
    content: Vec<u8>,
    /// What is left after a power loss in which every unsynced write is lost.
    synced: Vec<u8>,
    unsynced: Vec<Change>,
    syncs: u64,
    /// Operations until everything fails.
    operations_left: Option<u64>,
    /// The disk lies about each sync whose number this divides.
    ignores_each: Option<u64>,
}

enum Change {
    Length(usize),
    Write { offset: usize, data: Vec<u8> },
}

impl SimulatedDisk {
    pub fn new() -> Self {
        Self::default()
    }

    /// The disk after a power loss now: of what was not synced, each sector is kept if `keep` says so. This disk stays as
    /// it is.
    pub fn after_power_loss(&self, mut keep: impl FnMut() -> bool) -> SimulatedDisk {
        let state = self.state();
        let mut content = state.synced.clone();
        for change in &state.unsynced {
            match change {
                Change::Length(length) => {
                    if keep() {
                        content.resize(*length, 0);
                    }
                }
                Change::Write { offset, data } => {
                    for (i, sector) in data.chunks(SECTOR_BYTES).enumerate() {
                        let start = offset + i * SECTOR_BYTES;
                        let there = content.len().saturating_sub(start).min(sector.len());
                        if there > 0 && keep() {
                            content[start..start + there].copy_from_slice(&sector[..there]);
                        }
                    }
                }
            }
        }
        let after = State {
            synced: content.clone(),
            content,
            unsynced: Vec::new(),
            syncs: state.syncs,
            operations_left: None,
            ignores_each: state.ignores_each,
        };
        Self(Arc::new(Mutex::new(after)))
    }

    /// From now on one sync in `each` reports success and makes nothing safe, also after a power loss: the control that
    /// shows that a checker would notice.
    pub fn ignore_one_sync_in(&self, each: u64) {
        self.state().ignores_each = Some(each);
    }

    /// After this many further reads, writes and syncs, every operation fails.
    pub fn break_after(&self, operations: u64) {
        self.state().operations_left = Some(operations);
    }

    /// How often everything was made safe.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn operate(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if let Some(left) = &mut state.operations_left {
            *left = left.checked_sub(1).ok_or_else(|| io::Error::other("the simulated disk is broken"))?;
        }
        Ok(state)
    }
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedDisk").field("bytes", &self.state().content.len()).finish()
    }
}

fn position(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| outside())
}

fn outside() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "beyond the end of the simulated disk")
}

impl redb::StorageBackend for SimulatedDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.operate()?.content.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = position(offset)?;
        let state = self.operate()?;
        let end = start.checked_add(out.len()).ok_or_else(outside)?;
        out.copy_from_slice(state.content.get(start..end).ok_or_else(outside)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let length = position(len)?;
        let mut state = self.operate()?;
        state.content.resize(length, 0);
        state.unsynced.push(Change::Length(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.operate()?;
        let state = &mut *state;
        state.syncs += 1;
        if state.ignores_each.is_some_and(|each| state.syncs.is_multiple_of(each)) {
            return Ok(());
        }
        for change in state.unsynced.drain(..) {
            match change {
                Change::Length(length) => state.synced.resize(length, 0),
                Change::Write { offset, data } => state.synced[offset..offset + data.len()].copy_from_slice(&data),
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = position(offset)?;
        let mut state = self.operate()?;
        let end = offset.checked_add(data.len()).ok_or_else(outside)?;
        state.content.get_mut(offset..end).ok_or_else(outside)?.copy_from_slice(data);
        state.unsynced.push(Change::Write { offset, data: data.to_vec() });
        Ok(())
    }
}
