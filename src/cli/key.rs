//! `coffer key`: API keys from the command line, and the change of the master key.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::Teller;
use super::admin::Workbench;
use super::failure::{Exit, Failure};
use super::user::only_merchant;
use crate::api::keys::{self, NewKey, NewKeyKind};
use crate::audit::log::Stamp;
use crate::audit::{Action, Detail};
use crate::domain::ids::{KeyId, Mode, Scope};
use crate::domain::key::{ApiKey, KEYS_MAX, KeySecret, Permission};
use crate::domain::time::Duration;
use crate::store::tables::KEYS;
use crate::store::{Order, Read, Span, StoreError};

/// The longest life of a key in days.
const EXPIRY_DAYS_MAX: u64 = 3650;

#[derive(Clone, Debug, clap::Subcommand, serde::Serialize, serde::Deserialize)]
pub enum Command {
    /// Make an API key and print its secret once
    Create {
        /// What the key is for
        #[arg(long)]
        name: String,
        #[arg(long, value_enum, default_value = "test")]
        mode: ModeName,
        /// bearer: a token; hmac: a shared secret that signs requests
        #[arg(long, value_enum, default_value = "bearer")]
        kind: Kind,
        /// Any of read, write, refund and split
        #[arg(long, value_delimiter = ',', default_value = "read,write,refund", value_parser = permission)]
        permissions: Vec<Permission>,
        /// Addresses or ranges that may use it [default: any]
        #[arg(long, value_delimiter = ',', value_parser = network)]
        allow_ip: Vec<String>,
        /// Days until it ends [default: never]
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..=EXPIRY_DAYS_MAX))]
        expires_in: Option<u64>,
        /// The merchant's id, where there are several
        #[arg(long)]
        merchant: Option<String>,
    },
    /// List all API keys
    List,
    /// End an API key at once
    Revoke {
        /// As in key_01…
        id: KeyId,
    },
}

/// Test money or real money.
#[derive(Clone, Copy, Debug, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
pub enum ModeName {
    Test,
    Live,
}

/// Keys that the command line can make; public keys are entered in the console.
#[derive(Clone, Copy, Debug, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    Bearer,
    Hmac,
}

impl Command {
    pub fn perform(&self, bench: &Workbench, teller: &mut dyn Teller) -> Result<(), Failure> {
        match self {
            Command::Create { name, mode, kind, permissions, allow_ip, expires_in, merchant } => {
                let scope = Scope { merchant: only_merchant(bench, merchant.as_deref())?, mode: mode.mode() };
                let new = NewKey {
                    scope,
                    name: name.clone(),
                    permissions: permissions.iter().copied().collect::<BTreeSet<_>>(),
                    allowed_ips: allow_ip.clone(),
                    expires_at: expires_in.map(|days| bench.env.now().plus(Duration::from_days(days))),
                    kind: match kind {
                        Kind::Bearer => NewKeyKind::Bearer,
                        Kind::Hmac => NewKeyKind::Hmac,
                    },
                };
                create(bench, new, teller)
            }
            Command::List => list(bench, teller),
            Command::Revoke { id } => revoke(bench, *id, teller),
        }
    }
}

fn create(bench: &Workbench, new: NewKey, teller: &mut dyn Teller) -> Result<(), Failure> {
    let scope = new.scope;
    let kind = new.kind.clone();
    let issued = keys::issue(new, &bench.env, bench.vault()?).expect("only kinds without foreign material are made");
    let (key, stamp) = (issued.key, Stamp::system(bench.env.now()));
    let id = key.id;
    let stored = bench.store.write_blocking(move |tx| {
        if tx.scan(&KEYS, &Span::prefix(&scope), Order::Ascending, KEYS_MAX)?.len() >= KEYS_MAX {
            return Ok(false);
        }
        keys::store_key(tx, &key)?;
        let detail = Detail::new().with("name", &key.name).with("mode", scope.mode.as_str());
        stamp.record(tx, scope.merchant, Action::KeyCreated, key.id, detail)?;
        Ok::<_, StoreError>(true)
    })?;
    if !stored {
        return Err(Failure::new(
            Exit::Failed,
            format!("there are {KEYS_MAX} keys already, the most one mode can have"),
        ));
    }
    let secret = issued.secret.expect("both kinds have a secret");
    let secret = secret.expose_str().expect("secrets are shown as text");
    teller.say(&format!("{id}, shown this once:"));
    teller.say(&match kind {
        NewKeyKind::Hmac => format!("keyid {id}\nsecret (base64) {secret}"),
        NewKeyKind::Bearer | NewKeyKind::Ed25519(_) | NewKeyKind::Rsa(_) => secret.to_owned(),
    });
    Ok(())
}

fn list(bench: &Workbench, teller: &mut dyn Teller) -> Result<(), Failure> {
    let now = bench.env.now();
    let mut lines = Vec::new();
    bench.store.read_blocking(|tx| {
        tx.walk(&KEYS, &Span::all(), |_, key| {
            let kind = match &key.secret {
                KeySecret::Bearer { tail, .. } => format!("bearer …{tail}"),
                KeySecret::Hmac { .. } => "hmac-sha256".to_owned(),
                KeySecret::Ed25519 { .. } => "ed25519".to_owned(),
                KeySecret::Rsa { .. } => "rsa-v1_5-sha256".to_owned(),
            };
            let state = match (key.revoked_at, key.expires_at) {
                (Some(at), _) => format!("revoked {at}"),
                (None, Some(at)) if at <= now => format!("expired {at}"),
                (None, Some(at)) => format!("until {at}"),
                (None, None) => "active".to_owned(),
            };
            lines.push(format!("{}  {:<4}  {kind:<16}  {state:<32}  {}", key.id, key.scope.mode.as_str(), key.name));
            Ok::<_, StoreError>(ControlFlow::Continue(()))
        })
    })?;
    lines.iter().for_each(|line| teller.say(line));
    Ok(())
}

fn revoke(bench: &Workbench, id: KeyId, teller: &mut dyn Teller) -> Result<(), Failure> {
    let mut found: Option<ApiKey> = None;
    bench.store.read_blocking(|tx| {
        tx.walk(&KEYS, &Span::all(), |_, key| {
            let is_it = key.id == id;
            found = is_it.then_some(key).or(found.take());
            Ok::<_, StoreError>(if is_it { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
    })?;
    let Some(key) = found.filter(|key| key.revoked_at.is_none()) else {
        return Err(Failure::new(Exit::Failed, format!("there is no key {id} in use; see `coffer key list`")));
    };
    let now = bench.env.now();
    let stamp = Stamp::system(now);
    bench.store.write_blocking(move |tx| {
        keys::store_key(tx, &ApiKey { revoked_at: Some(now), ..key.clone() })?;
        let detail = Detail::new().with("name", &key.name);
        stamp.record(tx, key.scope.merchant, Action::KeyRevoked, key.id, detail)
    })?;
    teller.say(&format!("{id} is refused from now on"));
    Ok(())
}

impl ModeName {
    fn mode(self) -> Mode {
        match self {
            ModeName::Test => Mode::Test,
            ModeName::Live => Mode::Live,
        }
    }
}

fn permission(text: &str) -> Result<Permission, String> {
    Permission::parse(text).ok_or_else(|| "must be read, write, refund or split".to_owned())
}

fn network(text: &str) -> Result<String, String> {
    match keys::parse_network(text) {
        Some(network) => Ok(network.to_string()),
        None => Err("must be an address or a range, as in 203.0.113.0/24".to_owned()),
    }
}
