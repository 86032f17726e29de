//! `coffer init`: a new data folder with a master key, a merchant, and everything a script or a person needs to go on,
//! printed once.

use std::path::PathBuf;
use std::sync::Arc;

use super::config::{self, CONFIG_FILE, Config};
use super::failure::{Exit, Failure};
use super::place::{STORE_FILE, build_store, create_private_dir, lost_data, master_key, store_file, write_config};
use crate::api::keys::{self, NewKey, NewKeyKind};
use crate::audit::log::Stamp;
use crate::audit::{Action, Detail};
use crate::console::auth::records::SetupPurpose;
use crate::console::auth::setup::Link;
use crate::crypto::{KeyCheck, Vault};
use crate::domain::ids::Mode;
use crate::domain::key::Permission;
use crate::env::Env;
use crate::flows::setup::NewMerchant;
use crate::sandbox::wallet;
use crate::store::tables::KEY_CHECK;
use crate::store::{Store, StoreError};

/// What `init` asks.
#[derive(clap::Args)]
pub struct Options {
    /// The shop's name, as customers see it
    #[arg(long, default_value = "My shop", value_name = "NAME")]
    merchant: String,
    /// The shop's time zone: times are shown and days are cut in it
    #[arg(long, default_value = "Asia/Shanghai", value_name = "ZONE", value_parser = zone)]
    zone: String,
    /// How customers and channels reach this server, as in https://pay.example.com
    #[arg(long, value_name = "URL", value_parser = base_url)]
    base_url: Option<String>,
    /// Print one JSON object for scripts
    #[arg(long)]
    json: bool,
}

/// What is shown once.
#[derive(serde::Serialize)]
pub struct Created {
    pub base_url: String,
    /// Makes the first owner; good once and for two days.
    pub setup_url: String,
    pub merchant: String,
    /// A test key with all permissions.
    pub api_key: String,
    /// Signs callbacks in test mode.
    pub callback_secret: String,
    pub live_callback_secret: String,
    pub data_dir: PathBuf,
    /// `None` when the key came from elsewhere and stays there.
    pub master_key_file: Option<PathBuf>,
    pub master_key_fingerprint: String,
}

/// The configuration with what the options say about it.
pub fn overrides(options: &Options) -> Option<(&'static str, String)> {
    options.base_url.as_ref().map(|url| ("server.base_url", url.clone()))
}

/// Answers the text to print.
pub fn run(config: &Config, options: &Options) -> Result<String, Failure> {
    let created = create(config, &options.merchant, &options.zone, &Env::system())?;
    if let Some(url) = &options.base_url {
        write_config(&config.data_dir, &[("server.base_url", format!("{url:?}"))])?;
    } else {
        write_config(&config.data_dir, &[])?;
    }
    if options.json {
        return Ok(serde_json::to_string_pretty(&created).expect("text and paths serialise") + "\n");
    }
    Ok(created.for_people())
}

/// Makes the folder, the key, and the store with one merchant.
pub fn create(config: &Config, merchant: &str, zone: &str, env: &Env) -> Result<Created, Failure> {
    let (folder, file) = (&config.data_dir, store_file(config));
    if file.exists() {
        return Err(Failure::new(
            Exit::Failed,
            format!("{} is set up already; run `coffer serve`, or name another folder with --data", folder.display()),
        ));
    }
    if let Some(trace) = lost_data(config) {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "{} is missing, and {} shows that there was data: put it back, or run `coffer restore` with the newest \
                 good backup; to begin with nothing, move {} away first",
                file.display(),
                trace.display(),
                trace.display()
            ),
        ));
    }
    create_private_dir(folder)?;
    let (key, key_file) = master_key(config, env)?;
    let vault = Arc::new(Vault::new(&key));
    let (setup_url, new, api_key) = build_store(config, |store| fill(store, config, &vault, env, merchant, zone))?;
    let secret = |secret: crate::crypto::Secret| secret.expose_str().expect("secrets are shown as text").to_owned();
    Ok(Created {
        base_url: config.base_url().to_string(),
        setup_url,
        merchant: new.id().to_string(),
        api_key: secret(api_key),
        callback_secret: secret(new.test_secret.to_text()),
        live_callback_secret: secret(new.live_secret.to_text()),
        data_dir: folder.clone(),
        master_key_file: key_file,
        master_key_fingerprint: key.version().to_string(),
    })
}

fn fill(
    store: &Store,
    config: &Config,
    vault: &Arc<Vault>,
    env: &Env,
    name: &str,
    zone: &str,
) -> Result<(String, NewMerchant, crate::crypto::Secret), Failure> {
    let enrolment =
        wallet::enrol(store, env, vault.clone(), name).map_err(|error| Failure::of(Exit::Failed, &error))?;
    let new = NewMerchant::prepare(env, vault, name, zone, |_| enrolment.credentials().to_secret());
    let key = NewKey {
        scope: new.scope(Mode::Test),
        name: "First test key".to_owned(),
        permissions: Permission::ALL.into_iter().collect(),
        allowed_ips: Vec::new(),
        expires_at: None,
        kind: NewKeyKind::Bearer,
    };
    let issued = keys::issue(key, env, vault).expect("a bearer key is always good");
    let token = issued.secret.expect("a bearer key has a token");
    let check = KeyCheck::new(vault, env.entropy.as_ref());
    let purpose = SetupPurpose::FirstOwner { merchant: new.id() };
    let link = Link::new(purpose, env, &config.base_url().to_string());
    let url = link.url.clone();
    let (rows, key, stamp) = (new.clone(), issued.key, Stamp::system(env.now()));
    store.write_blocking(move |tx| {
        tx.put(&KEY_CHECK, &0, &check)?;
        rows.store(tx)?;
        enrolment.store(tx)?;
        keys::store_key(tx, &key)?;
        link.store(tx)?;
        stamp.record(tx, rows.id(), Action::MerchantCreated, rows.id(), Detail::new())?;
        stamp.record(tx, rows.id(), Action::KeyCreated, key.id, Detail::new().with("mode", Mode::Test.as_str()))?;
        Ok::<_, StoreError>(())
    })?;
    Ok((url, new, token))
}

impl Created {
    fn for_people(&self) -> String {
        let key = match &self.master_key_file {
            Some(file) => format!("{} (fingerprint {})", file.display(), self.master_key_fingerprint),
            None => format!("from the environment (fingerprint {})", self.master_key_fingerprint),
        };
        format!(
            "Coffer is set up in {}: the store {STORE_FILE}, the configuration {CONFIG_FILE}.

  Console          {}
                   open it once, within two days, to become the owner
  Test API key     {}
  Callback secret  {} (test)
                   {} (live)
  Master key       {key}
                   keep a copy in another place: without it no backup is worth anything

The link, the key and the secrets are shown this once. Next: coffer serve --data {}
",
            self.data_dir.display(),
            self.setup_url,
            self.api_key,
            self.callback_secret,
            self.live_callback_secret,
            self.data_dir.display(),
        )
    }
}

fn zone(text: &str) -> Result<String, String> {
    match jiff::tz::TimeZone::get(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("not a time zone; use a name such as Asia/Shanghai".to_owned()),
    }
}

fn base_url(text: &str) -> Result<String, String> {
    let url = config::BaseUrl::parse(text).ok_or("must be an address without a path, as in https://pay.example.com")?;
    Ok(url.to_string())
}
