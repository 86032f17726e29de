//! The data folder: what lies where in it, and how the store in it is opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::Config;
use super::failure::{Exit, Failure};
use crate::crypto::{MasterKey, Vault};
use crate::store::{Store, StoreError, StoreOptions};

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

/// The vault of the configured master key. Whether it is the right key is for the store to say.
pub fn open_vault(config: &Config) -> Result<Arc<Vault>, Failure> {
    Ok(Arc::new(Vault::new(&MasterKey::load(&config.master_key_sources())?)))
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
