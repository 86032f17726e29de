//! Files around the store: private creation, and writing a new file so that it appears whole or not at all.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::error::StoreError;

/// Creates an empty file that its owner alone can read.
pub(super) fn create_private(path: &Path) -> Result<(), StoreError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(StoreError::io(format!("creating {}", path.display())))?;
    sync_folder(path)
}

/// A file under a temporary name beside its target. Without [`NewFile::publish`] it is removed.
pub(super) struct NewFile {
    target: PathBuf,
    temporary: PathBuf,
}

impl NewFile {
    /// Refuses a target that exists. What a crash left under the temporary name is replaced, what is being written is not.
    pub(super) fn create(target: &Path) -> Result<Self, StoreError> {
        refuse_existing(target)?;
        let mut name = target.as_os_str().to_owned();
        name.push(".part");
        let temporary = PathBuf::from(name);
        match fs::File::open(&temporary) {
            Ok(left) => {
                left.try_lock().map_err(|_| StoreError::Exists { path: temporary.clone() })?;
                fs::remove_file(&temporary).map_err(StoreError::io(format!("removing {}", temporary.display())))?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io(format!("removing {}", temporary.display()))(error)),
        }
        create_private(&temporary)?;
        Ok(Self { target: target.to_owned(), temporary })
    }

    pub(super) fn path(&self) -> &Path {
        &self.temporary
    }

    /// Makes the content durable and gives the file its name.
    pub(super) fn publish(self) -> Result<(), StoreError> {
        let file = fs::OpenOptions::new().write(true).open(&self.temporary);
        file.and_then(|file| file.sync_all())
            .map_err(StoreError::io(format!("writing {}", self.temporary.display())))?;
        refuse_existing(&self.target)?;
        fs::rename(&self.temporary, &self.target)
            .map_err(StoreError::io(format!("creating {}", self.target.display())))?;
        sync_folder(&self.target)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove.
        drop(fs::remove_file(&self.temporary));
    }
}

fn refuse_existing(path: &Path) -> Result<(), StoreError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(StoreError::Exists { path: path.to_owned() }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::io(format!("looking at {}", path.display()))(error)),
    }
}

/// Makes the name of a file durable; only Unix can.
fn sync_folder(path: &Path) -> Result<(), StoreError> {
    if cfg!(unix) {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        };
        fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(StoreError::io(format!("writing the folder {}", folder.display())))?;
    }
    Ok(())
}
