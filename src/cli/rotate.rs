//! `coffer key rotate-master`: every secret is wrapped anew under another master key. Can be stopped at any point and run
//! again: what is done stays done, and the server does not start until all of it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Teller;
use super::config::Config;
use super::failure::{Exit, Failure};
use super::place::open_store;
use crate::audit::log::Stamp;
use crate::audit::{Action, Detail, INSTALLATION};
use crate::channels::registry::CREDENTIALS_FIELD;
use crate::console::auth::records::{enrolment_place, second_factor_place};
use crate::crypto::master_key::{KeyVersion, MasterKeyError, sync_folder_of};
use crate::crypto::{Fit, KeyCheck, MasterKey, OpenError, Place, Sealed, Vault};
use crate::domain::key::KeySecret;
use crate::env::Env;
use crate::flows::deliveries::SECRET_FIELD;
use crate::sandbox::wallet;
use crate::store::tables::{
    ACCOUNTS, CALLBACK_DEFAULTS, CHECKPOINT_KEY, ENDPOINTS, KEY_CHECK, KEYS, LINK_KEY, REPLY_KEY, SESSIONS, USERS,
    WALLET_MERCHANTS, WALLET_PROVIDER,
};
use crate::store::{ALL_TABLES, Key, Order, Read, ReadTx, Record, Rows, Span, Store, StoreError, Table};

/// The new key in the data folder, until it takes the old one's name.
const NEXT_KEY_FILE: &str = "master.key.next";

/// Records in one commit.
const PIECE_ROWS: usize = 256;

#[derive(clap::Args)]
pub struct Options {
    /// The new key's file, made if it is not there [default: master.key.next in the data folder, which then takes the
    /// old key's name]
    #[arg(long, value_name = "FILE")]
    new_key: Option<PathBuf>,
}

pub fn run(config: &Config, options: &Options, teller: &mut dyn Teller) -> Result<(), Failure> {
    let env = Env::system();
    let store = open_store(config)?;
    let done = rotate(config, options, &store, &env, teller);
    store.close();
    done
}

fn rotate(
    config: &Config,
    options: &Options,
    store: &Store,
    env: &Env,
    teller: &mut dyn Teller,
) -> Result<(), Failure> {
    let sources = config.master_key_sources();
    let current = MasterKey::load(&sources)?;
    let next_file = options.new_key.clone().unwrap_or_else(|| config.data_dir.join(NEXT_KEY_FILE));
    let check = store.read_blocking(|tx| tx.get(&KEY_CHECK, &0))?;
    let check = check.ok_or_else(|| Failure::new(Exit::Found, "the data file says nothing about its master key"))?;
    let next = match check.fit(&Vault::new(&current)) {
        Ok(fit) => {
            let next = match fit {
                Fit::Yes => next_key(&next_file, env)?,
                Fit::HalfChanged => MasterKey::read(&next_file)?,
            };
            if next.version() == current.version() {
                return Err(Failure::new(
                    Exit::Configuration,
                    format!("{} holds the key that is in use already", next_file.display()),
                ));
            }
            rewrap(store, check, &current, &next, env, teller)?;
            next
        }
        // The last step, giving the new key its place, was not reached.
        Err(wrong) => match MasterKey::read(&next_file) {
            Ok(next) if check.fit(&Vault::new(&next)).is_ok() => next,
            Ok(_) | Err(_) => return Err(wrong.into()),
        },
    };
    let own_file = sources.data_file();
    let in_place = options.new_key.is_none() && sources.inline.is_none() && sources.file.is_none();
    if in_place && sources.default_file() == own_file {
        let kept = put_in_place(&own_file, &next_file, current.version()).map_err(|error| {
            Failure::of(Exit::Failed, &error).during("giving the new key its name failed; run this again")
        })?;
        teller.say(&format!("{} is the new master key (fingerprint {})", own_file.display(), next.version()));
        teller.say(&format!("{} is the old one: keep it as long as you keep backups from before", kept.display()));
    } else {
        teller.say(&format!("the new master key (fingerprint {}) is {}", next.version(), next_file.display()));
        teller.say("configure it in place of the old one before the next start, and keep the old one for old backups");
    }
    Ok(())
}

/// The key that somebody put there, or a new one.
fn next_key(file: &Path, env: &Env) -> Result<MasterKey, Failure> {
    match MasterKey::read(file) {
        Err(MasterKeyError::Missing { .. }) => {
            let key = MasterKey::generate(env.entropy.as_ref());
            key.create(file)?;
            Ok(key)
        }
        other => Ok(other?),
    }
}

/// Keeps the old key under its fingerprint and gives its name to the new one. Every step leaves a working key in place.
fn put_in_place(own: &Path, next: &Path, old: KeyVersion) -> std::io::Result<PathBuf> {
    let kept = own.with_extension(format!("key.{old}"));
    if !kept.exists() {
        std::fs::hard_link(own, &kept)?;
    }
    std::fs::rename(next, own)?;
    sync_folder_of(own)?;
    Ok(kept)
}

fn rewrap(
    store: &Store,
    check: KeyCheck,
    current: &MasterKey,
    next: &MasterKey,
    env: &Env,
    teller: &mut dyn Teller,
) -> Result<(), Failure> {
    let vault = Arc::new(Vault::changing(next, current));
    let begun = check.begin_change(&vault, env.entropy.as_ref()).map_err(|_| {
        Failure::new(Exit::Configuration, "a change to another new key was begun; name that key's file with --new-key")
    })?;
    let finished = begun.clone().finish_change();
    store.write_blocking(move |tx| tx.put(&KEY_CHECK, &0, &begun))?;
    let work = Work { store, vault: &vault, env };
    let secrets = work.all_tables(teller)?;
    nothing_left(store, current.version())?;
    let stamp = Stamp::system(env.now());
    let fingerprint = next.version().to_string();
    store.write_blocking(move |tx| {
        tx.put(&KEY_CHECK, &0, &finished)?;
        stamp.record(tx, INSTALLATION, Action::MasterKeyChanged, &fingerprint, Detail::new().with("secrets", secrets))
    })?;
    teller.say(&format!("{secrets} secrets are wrapped under the new key"));
    Ok(())
}

struct Work<'a> {
    store: &'a Store,
    vault: &'a Vault,
    env: &'a Env,
}

/// The secrets of one record.
struct Secrets<'a> {
    vault: &'a Vault,
    env: &'a Env,
    changed: u64,
}

impl Secrets<'_> {
    fn field(&mut self, place: &Place<'_>, sealed: &mut Sealed) -> Result<(), OpenError> {
        if let Some(fresh) = self.vault.rewrap(place, sealed, self.env.entropy.as_ref())? {
            *sealed = fresh;
            self.changed += 1;
        }
        Ok(())
    }
}

impl Work<'_> {
    /// Every table that holds secrets, by the place each was sealed to.
    fn all_tables(&self, teller: &mut dyn Teller) -> Result<u64, Failure> {
        let mut total = 0;
        for (table, field) in
            [(&LINK_KEY, "key"), (&REPLY_KEY, "seed"), (&CHECKPOINT_KEY, "seed"), (&WALLET_PROVIDER, "seed")]
        {
            total += self.table(table, |row, sealed, secrets| {
                secrets.field(&Place { table: table.name(), row, field }, sealed)
            })?;
        }
        total += self.table(&ACCOUNTS, |row, account, secrets| {
            secrets.field(&Place { table: ACCOUNTS.name(), row, field: CREDENTIALS_FIELD }, &mut account.credentials)
        })?;
        total += self.table(&CALLBACK_DEFAULTS, |row, defaults, secrets| {
            let place = Place { table: CALLBACK_DEFAULTS.name(), row, field: SECRET_FIELD };
            let previous = defaults.previous.as_mut().map(|(sealed, _)| sealed);
            previous.into_iter().chain([&mut defaults.secret]).try_for_each(|sealed| secrets.field(&place, sealed))
        })?;
        total += self.table(&ENDPOINTS, |row, endpoint, secrets| {
            let place = Place { table: ENDPOINTS.name(), row, field: SECRET_FIELD };
            let previous = endpoint.previous_secret.as_mut().map(|(sealed, _)| sealed);
            previous.into_iter().chain(&mut endpoint.secret).try_for_each(|sealed| secrets.field(&place, sealed))
        })?;
        total += self.table(&KEYS, |row, key, secrets| match &mut key.secret {
            KeySecret::Hmac { secret } => {
                secrets.field(&Place { table: KEYS.name(), row, field: SECRET_FIELD }, secret)
            }
            KeySecret::Bearer { .. } | KeySecret::Ed25519 { .. } | KeySecret::Rsa { .. } => Ok(()),
        })?;
        total += self.table(&USERS, |_, user, secrets| match &mut user.second_factor {
            Some(factor) => secrets.field(&second_factor_place(&user.id.to_bytes()), &mut factor.secret),
            None => Ok(()),
        })?;
        total += self.table(&SESSIONS, |row, session, secrets| match (&mut session.enrolling, row.try_into()) {
            (Some(sealed), Ok(hash)) => secrets.field(&enrolment_place(hash), sealed),
            (Some(_), Err(_)) | (None, _) => Ok(()),
        })?;
        total += self.wallet_merchants()?;
        teller.progress("secrets", total, total);
        Ok(total)
    }

    fn wallet_merchants(&self) -> Result<u64, Failure> {
        let mut numbers = Vec::new();
        self.store.read_blocking(|tx| {
            tx.walk(&WALLET_MERCHANTS, &Span::all(), |number, record| {
                numbers.push((number, record));
                Ok::<_, StoreError>(std::ops::ControlFlow::Continue(()))
            })
        })?;
        let mut secrets = self.secrets();
        for (number, record) in &mut numbers {
            secrets.field(&wallet::merchant_place(number), &mut record.hmac_key)?;
        }
        self.put(&WALLET_MERCHANTS, numbers)?;
        Ok(secrets.changed)
    }

    fn secrets(&self) -> Secrets<'_> {
        Secrets { vault: self.vault, env: self.env, changed: 0 }
    }

    /// Re-wraps the secrets of one table, whose rows are sealed to their whole key. Answers how many there were.
    fn table<K: Key, V: Record + Clone + Send + Sync + 'static>(
        &self,
        table: &'static Table<K, V>,
        each: impl Fn(&[u8], &mut V, &mut Secrets<'_>) -> Result<(), OpenError>,
    ) -> Result<u64, Failure> {
        let mut records = Vec::new();
        let mut total = 0;
        self.store.read_blocking(|tx| {
            tx.walk(table, &Span::all(), |key, mut record| {
                let mut secrets = self.secrets();
                let mut row = Vec::new();
                key.encode(&mut row);
                each(&row, &mut record, &mut secrets)?;
                if secrets.changed > 0 {
                    total += secrets.changed;
                    records.push((key, record));
                }
                Ok::<_, Broken>(std::ops::ControlFlow::Continue(()))
            })
        })?;
        self.put(table, records)?;
        Ok(total)
    }

    fn put<K: Key, V: Record + Clone + Send + Sync + 'static>(
        &self,
        table: &'static Table<K, V>,
        records: Vec<(K, V)>,
    ) -> Result<(), Failure> {
        for piece in records.chunks(PIECE_ROWS) {
            let piece = piece.to_vec();
            self.store
                .write_blocking(move |tx| piece.iter().try_for_each(|(key, record)| tx.put(table, key, record)))?;
        }
        Ok(())
    }
}

/// Looks through every record for the old key's version, so that a secret that nobody thought of above stops the change
/// instead of being lost with the old key.
fn nothing_left(store: &Store, old: KeyVersion) -> Result<(), Failure> {
    let old = old.to_bytes();
    for table in ALL_TABLES.iter().filter(|table| table.name() != KEY_CHECK.name()) {
        let mut left = false;
        store.read_blocking(|tx: &ReadTx| {
            tx.rows(table.name(), &Span::all(), Order::Ascending, &mut |_, record| {
                left = record.windows(old.len()).any(|window| window == old);
                if left { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
            })
        })?;
        if left {
            return Err(Failure::new(
                Exit::Found,
                format!(
                    "table {} still holds a secret under the old key; nothing is lost, keep both keys and report this",
                    table.name()
                ),
            ));
        }
    }
    Ok(())
}

/// Why a record could not be re-wrapped.
enum Broken {
    Store(StoreError),
    Secret(OpenError),
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Broken::Store(error)
    }
}

impl From<OpenError> for Broken {
    fn from(error: OpenError) -> Self {
        Broken::Secret(error)
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Store(error) => error.into(),
            Broken::Secret(error) => Failure::of(Exit::Found, &error),
        }
    }
}
