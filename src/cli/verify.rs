//! `coffer verify`: every page, every record, the books, the indexes, the queue's promises, the audit chains and their
//! checkpoints. Changes nothing, also not a backup that it looks at.

use std::path::{Path, PathBuf};

use super::admin::Operation;
use super::config::Config;
use super::failure::{Exit, Failure};
use super::place::{BACKUP_DIR, create_private_dir, store_file};
use super::{Teller, Terminal};
use crate::flows::verify::{Verified, verify};
use crate::proof::check_remembered;
use crate::store::{ALL_TABLES, Store, StoreError, VerifyReport, verify_file};

/// The copy that is checked while a server has the data open.
const COPY: &str = "being-verified.db";

/// Checks a file, or the data itself.
pub fn run(config: &Config, file: Option<&Path>) -> Result<(), Failure> {
    let mut terminal = Terminal::default();
    let data = store_file(config);
    match check(file.unwrap_or(&data), &mut terminal) {
        // The server's pages are in use; a copy of a snapshot holds the same rows.
        Err(failure) if failure.exit == Exit::InUse && file.is_none() => check_copy(config, &mut terminal),
        other => other,
    }
}

fn check_copy(config: &Config, terminal: &mut Terminal) -> Result<(), Failure> {
    let folder = config.data_dir.join(BACKUP_DIR);
    create_private_dir(&folder)?;
    let copy = std::path::absolute(folder.join(COPY)).map_err(|error| Failure::of(Exit::Failed, &error))?;
    remove(&copy)?;
    terminal.say("a server has the data open: a copy of it is checked");
    let checked = Operation::backup(Some(copy.clone())).and_then(|copying| {
        copying.run_for(config, &mut Quiet(terminal))?;
        check(&copy, terminal)
    });
    remove(&copy)?;
    checked
}

/// Checks one file that nobody has open.
fn check(file: &Path, teller: &mut dyn Teller) -> Result<(), Failure> {
    let report = verify_file(file, ALL_TABLES, |done, total| teller.progress("records", done, total))?;
    let rows: u64 = report.tables.values().sum();
    let store = Store::open_untouched(file)?;
    let found = store.read_blocking(|tx| {
        let verified = verify(tx, &mut |done| teller.progress("books and rows", done.min(rows), rows));
        Ok::<_, StoreError>(verified.map(|verified| (verified, check_remembered(tx))))
    });
    store.close();
    let (verified, checkpoints) = found?.map_err(|finding| Failure::of(Exit::Found, &finding))?;
    let checkpoints = checkpoints.map_err(|alarm| Failure::of(Exit::Found, &alarm))?;
    teller.say(&summary(&report, &verified, checkpoints));
    Ok(())
}

fn summary(report: &VerifyReport, verified: &Verified, checkpoints: usize) -> String {
    format!(
        "everything is right: {} records in {} tables, {} bytes; {} payments, {} refunds, {} journal entries, {} callbacks, {} \
         audit records; the chains hold all {checkpoints} checkpoints",
        report.tables.values().sum::<u64>(),
        report.tables.len(),
        report.file_bytes,
        verified.payments,
        verified.refunds,
        verified.journal_entries,
        verified.deliveries,
        verified.audit_records,
    )
}

/// Shows how far the copying is, and says nothing about a backup that nobody asked for.
struct Quiet<'a>(&'a mut Terminal);

impl Teller for Quiet<'_> {
    fn say(&mut self, _: &str) {}

    fn progress(&mut self, _: &str, done: u64, total: u64) {
        self.0.progress("copy", done, total);
    }
}

fn remove(copy: &PathBuf) -> Result<(), Failure> {
    match std::fs::remove_file(copy) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::of(Exit::Failed, &error).during(&format!("removing {} failed", copy.display())))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
