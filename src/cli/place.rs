//! The data folder: what lies where in it, and how the store in it is opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::Config;
use super::failure::{Exit, Failure};
use crate::crypto::master_key::Sources;
use crate::crypto::{Fit, MasterKey, OpenError, Vault};
use crate::store::tables::KEY_CHECK;
use crate::store::{Read, Store, StoreError, StoreOptions};

/// The store's file in the data folder.
pub const STORE_FILE: &str = "coffer.db";

/// Where a running server takes orders from commands.
pub const SOCKET_FILE: &str = "coffer.sock";

/// Where backups go if nothing else is said.
pub const BACKUP_DIR: &str = "backups";

pub fn store_file(config: &Config) -> PathBuf {
    config.data_dir.join(STORE_FILE)
}

pub fn socket_file(config: &Config) -> PathBuf {
    config.data_dir.join(SOCKET_FILE)
}

/// Opens the store that is there; a missing one is an error that names `init`.
pub fn open_store(config: &Config) -> Result<Store, Failure> {
    let megabytes = usize::try_from(config.store.cache_mb).expect("bounded by the configuration");
    let options = StoreOptions {
        cache_bytes: megabytes << 20,
        queue_max: usize::try_from(config.store.queue).expect("bounded by the configuration"),
        create: false,
        ..StoreOptions::default()
    };
    Store::open(&store_file(config), options).map_err(|error| match error {
        StoreError::Missing { .. } => Failure::new(
            Exit::Failed,
            format!(
                "there is no data in {}; run `coffer init` to begin, or name the folder with --data",
                config.data_dir.display()
            ),
        ),
        other => other.into(),
    })
}

/// The vault of the configured master key, which must be the one that the store's secrets are sealed under.
pub fn open_vault(config: &Config, store: &Store) -> Result<Arc<Vault>, Failure> {
    let sources = config.master_key_sources();
    let vault = Vault::new(&MasterKey::load(&sources)?);
    let check = store.read_blocking(|tx| tx.get(&KEY_CHECK, &0))?.ok_or_else(|| {
        Failure::new(
            Exit::Found,
            "the data file says nothing about its master key; it is no complete one, restore a backup",
        )
    })?;
    match check.fit(&vault) {
        Ok(Fit::Yes) => Ok(Arc::new(vault)),
        Ok(Fit::HalfChanged) => Err(Failure::new(
            Exit::Configuration,
            "a change of the master key was begun and not finished; run `coffer key rotate-master` again",
        )),
        Err(OpenError::OtherKey { sealed_under }) => Err(Failure::new(
            Exit::Configuration,
            format!(
                "this is the wrong master key: the data was sealed under the key with fingerprint {sealed_under}, and {} has \
                 fingerprint {}",
                named(&sources),
                vault.version()
            ),
        )),
        Err(error @ OpenError::NotFromHere) => Err(Failure::of(Exit::Found, &error)),
    }
}

/// Where the key was taken from, for messages.
fn named(sources: &Sources) -> String {
    match (&sources.inline, &sources.file) {
        (Some(_), _) => "COFFER_MASTER_KEY".to_owned(),
        (None, Some(file)) => file.display().to_string(),
        (None, None) => sources.default_file().display().to_string(),
    }
}

/// Makes a folder that nobody else can look into, with its parents.
pub fn create_private_dir(path: &Path) -> Result<(), Failure> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| {
        Failure::of(Exit::Failed, &error).during(&format!("making the folder {} failed", path.display()))
    })
}
