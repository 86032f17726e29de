//! The data folder: what lies where in it, and how the store in it is opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::{CONFIG_FILE, Config};
use super::failure::{Exit, Failure};
use crate::crypto::master_key::{MasterKeyError, Sources, sync_folder_of};
use crate::crypto::{Fit, MasterKey, OpenError, Vault};
use crate::env::Env;
use crate::proof;
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
        StoreError::Missing { path } => Failure::new(
            Exit::Failed,
            match lost_data(config) {
                Some(trace) => format!(
                    "{} is missing, and {} shows that there was data: put it back, or run `coffer restore` with the \
                     newest good backup",
                    path.display(),
                    trace.display()
                ),
                None => format!(
                    "there is no data in {}; run `coffer init` to begin, or name the folder with --data",
                    config.data_dir.display()
                ),
            },
        ),
        other => other.into(),
    })
}

/// What tells of data that is not there any more: the signed checkpoints, which are only ever appended to. A master key
/// alone tells nothing, because it may be put in place first.
pub fn lost_data(config: &Config) -> Option<PathBuf> {
    let trace = config.data_dir.join(proof::FILE);
    (trace.exists() && !store_file(config).exists()).then_some(trace)
}

/// Where a store is built before it gets its name: a folder with half a store looks like one without.
const UNFINISHED_FILE: &str = "coffer.db.new";

/// Makes the store with what `fill` puts into it: all of it or nothing.
pub fn build_store<T>(config: &Config, fill: impl FnOnce(&Store) -> Result<T, Failure>) -> Result<T, Failure> {
    let (file, unfinished) = (store_file(config), config.data_dir.join(UNFINISHED_FILE));
    let io = |error: std::io::Error| Failure::of(Exit::Failed, &error).during("setting up the data folder failed");
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
        Ok(()) | Err(_) => {}
    }
    let store = Store::open(&unfinished, StoreOptions::default())?;
    let filled = fill(&store);
    store.close();
    let filled = filled?;
    std::fs::rename(&unfinished, &file).and_then(|()| sync_folder_of(&file)).map_err(io)?;
    Ok(filled)
}

/// The configured master key, or a new one in the data folder, with the file it is in.
pub fn master_key(config: &Config, env: &Env) -> Result<(MasterKey, Option<PathBuf>), Failure> {
    let sources = config.master_key_sources();
    let file = sources.inline.is_none().then(|| sources.file.clone().unwrap_or_else(|| sources.default_file()));
    match (MasterKey::load(&sources), file) {
        (Ok(key), file) => Ok((key, file)),
        // A file that was named in the configuration is for somebody else to make.
        (Err(MasterKeyError::Missing { .. }), Some(file)) if sources.file.is_none() => {
            let key = MasterKey::generate(env.entropy.as_ref());
            key.create(&file)?;
            Ok((key, Some(file)))
        }
        (Err(error), _) => Err(error.into()),
    }
}

/// Writes a configuration to begin with; one that is there stays.
pub fn write_config(folder: &Path, set: &[(&str, String)]) -> Result<(), Failure> {
    use std::io::Write;
    let path = folder.join(CONFIG_FILE);
    let failed = |error| Failure::of(Exit::Failed, &error).during("writing the configuration failed");
    match std::fs::OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(mut file) => file.write_all(super::config::sample(set).as_bytes()).map_err(failed),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// The vault of the configured master key, which must be the one that the store's secrets are sealed under.
pub fn open_vault(config: &Config, store: &Store) -> Result<Arc<Vault>, Failure> {
    let sources = config.master_key_sources();
    let vault = Vault::new(&MasterKey::load(&sources)?);
    let check = store.read_blocking(|tx| tx.get(&KEY_CHECK, &0))?.ok_or_else(|| {
        Failure::new(
            Exit::Found,
            "the data file says nothing about its master key, so it is no complete one; move it away and run `coffer \
             restore` with the newest good backup",
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
