//! `coffer backup` and `coffer restore`: one file out, one file in.

use std::path::{Path, PathBuf};

use super::Teller;
use super::config::Config;
use super::failure::{Exit, Failure};
use super::place::{BACKUP_DIR, create_private_dir, store_file};
use crate::domain::time::Timestamp;
use crate::store::{self, Store, StoreError};

/// Copies a snapshot of the open store. Without a name the file is dated.
pub fn backup(
    store: &Store,
    data_dir: &Path,
    to: Option<&Path>,
    now: Timestamp,
    teller: &mut dyn Teller,
) -> Result<(), Failure> {
    let to = match to {
        Some(to) => to.to_owned(),
        None => {
            let folder = data_dir.join(BACKUP_DIR);
            create_private_dir(&folder)?;
            folder.join(dated_name(now))
        }
    };
    store.backup(&to, |done, total| teller.progress("backup", done, total))?;
    teller.say(&format!("backup written to {}", to.display()));
    teller.say("keep the master key in another place: without it the secrets in the backup stay closed");
    Ok(())
}

/// Puts a backup where no data is. The master key and the configuration are not part of a backup.
pub fn restore(config: &Config, from: &Path, teller: &mut dyn Teller) -> Result<(), Failure> {
    let to = store_file(config);
    create_private_dir(&config.data_dir)?;
    store::restore(from, &to).map_err(|error| match error {
        StoreError::Exists { path } => Failure::new(
            Exit::Failed,
            format!(
                "{} exists already and is not overwritten; stop the server and move the old file away first",
                path.display()
            ),
        ),
        other => other.into(),
    })?;
    teller.say(&format!("{} restored to {}", from.display(), to.display()));
    teller.say("run `coffer verify`, put the master key that belongs to it in place, then `coffer serve`");
    Ok(())
}

/// `coffer-20261123-140509.db`, in UTC, so that names sort as times do.
fn dated_name(now: Timestamp) -> PathBuf {
    let digits: String = now.to_rfc3339().chars().take(19).filter(char::is_ascii_digit).collect();
    let (day, time) = digits.split_at(8);
    PathBuf::from(format!("coffer-{day}-{time}.db"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_backups_sort_as_times_do() {
        let name = |text| dated_name(Timestamp::parse_rfc3339(text).unwrap());
        assert_eq!(name("2026-11-23T14:05:09.123Z"), PathBuf::from("coffer-20261123-140509.db"));
        assert!(name("2026-11-23T14:05:09Z") < name("2027-01-01T00:00:00Z"));
    }
}
