//! `coffer doctor`: looks for what will hurt later, and says each time what to do. Changes nothing.

use std::fmt;
use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};

use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;

use super::Teller;
use super::config::Config;
use super::failure::{Exit, Failure};
use super::place::{BACKUP_DIR, open_store, open_vault, store_file};
use crate::channels::registry::Registry;
use crate::console::auth::people;
use crate::crypto::{MasterKey, Vault};
use crate::domain::time::{Duration, Timestamp};
use crate::env::Env;
use crate::server::tls::{TlsFiles, not_after};
use crate::server::{self, ListenError};
use crate::store::tables::{AUDIT, MERCHANTS};
use crate::store::{Order, Read, Span, Store, StoreError};

/// Less free space than this is a problem, in megabytes; so is less than the store itself, because a backup needs as much.
const FREE_MIN_MB: u64 = 1024;

/// A certificate that ends sooner is a warning.
const CERTIFICATE_MIN: Duration = Duration::from_days(14);

/// A newest backup that is older is a warning.
const BACKUP_AGE_MAX: Duration = Duration::from_days(7);

/// This program was written later than that, so a clock before it is wrong: 2026-01-01.
const CLOCK_MIN: Timestamp = Timestamp::from_seconds(1_767_225_600);

/// What a check came to.
enum Found {
    Good(String),
    /// Works, and may hurt one day.
    Warning(String, String),
    /// Does not work, or is not safe.
    Problem(String, String),
}

use Found::{Good, Problem, Warning};

/// Checks everything. A problem makes the exit code that of a finding; warnings do not.
pub fn run(config: &Config, teller: &mut dyn Teller) -> Result<(), Failure> {
    let env = Env::system();
    let mut found = vec![data_folder(config), master_key(config)];
    found.extend(data(config, &env));
    found.extend([space(config), backups(config, env.now()), port(config), base_url(config), name(config)]);
    found.extend(certificate(config, env.now()));
    found.extend(callbacks(config));
    found.iter().for_each(|finding| teller.say(&finding.to_string()));
    let problems = found.iter().filter(|finding| matches!(finding, Problem(..))).count();
    match problems {
        0 => Ok(()),
        1 => Err(Failure::new(Exit::Found, "1 problem was found")),
        _ => Err(Failure::new(Exit::Found, format!("{problems} problems were found"))),
    }
}

#[cfg(unix)]
fn data_folder(config: &Config) -> Found {
    use std::os::unix::fs::PermissionsExt;
    let folder = config.data_dir.display();
    match std::fs::metadata(&config.data_dir) {
        Ok(metadata) if metadata.permissions().mode() & 0o077 == 0 => Good(format!("{folder} is for its owner alone")),
        Ok(_) => Problem(format!("others may look into {folder}"), format!("run: chmod 0700 {folder}")),
        Err(error) => Problem(
            format!("the data folder {folder} cannot be read: {error}"),
            "run `coffer init`, or name the folder with --data".to_owned(),
        ),
    }
}

#[cfg(not(unix))]
fn data_folder(config: &Config) -> Found {
    Good(format!("the data folder is {}", config.data_dir.display()))
}

fn master_key(config: &Config) -> Found {
    let sources = config.master_key_sources();
    match MasterKey::load(&sources) {
        Ok(key) if sources.default_file() == sources.data_file() && sources.inline.is_none() && sources.file.is_none() => {
            Warning(
                format!("the master key (fingerprint {}) lies beside the data", key.version()),
                "whoever copies the folder has both; a systemd credential or a secret of the container keeps them apart, and \
                 a copy must be kept elsewhere in any case"
                    .to_owned(),
            )
        }
        Ok(key) => Good(format!("the master key has fingerprint {}; keep a copy of it elsewhere", key.version())),
        Err(error) => Problem(error.to_string(), "nothing can be opened without it".to_owned()),
    }
}

/// What only the open store can tell: whether it is whole, whether the key fits, whether the clock went back.
fn data(config: &Config, env: &Env) -> Vec<Found> {
    let now = env.now();
    let mut found = Vec::new();
    let latest = match open_store(config) {
        Ok(store) => {
            found.push(Good(format!("{} is whole", store_file(config).display())));
            match open_vault(config, &store) {
                Ok(vault) => {
                    found.push(Good("the master key fits the data".to_owned()));
                    found.extend(accounts(config, &store, &vault, now));
                }
                Err(failure) => {
                    found.push(Problem(failure.message, "take the key that the data was made with".to_owned()));
                }
            }
            found.extend(people_exist(&store));
            let latest = latest_record(&store);
            store.close();
            latest.unwrap_or(Timestamp::MIN)
        }
        Err(failure) if failure.exit == Exit::InUse => {
            found.push(Good("a server has the data open; stop it to have the file itself checked".to_owned()));
            Timestamp::MIN
        }
        Err(failure) => {
            let way = "look at the disk; then do as the message says".to_owned();
            found.push(Problem(failure.to_string(), way));
            Timestamp::MIN
        }
    };
    found.push(clock(now, latest));
    found
}

/// Channel accounts whose keys cannot be opened or are about to end. Secrets stay where they are: only dates are looked at.
fn accounts(config: &Config, store: &Store, vault: &Vault, now: Timestamp) -> Vec<Found> {
    let registry = Registry::default();
    let url = config.base_url().to_string();
    let failed = match registry.load(store, vault, &url, &url) {
        Ok(failed) => failed,
        Err(error) => return vec![Problem(error.to_string(), "run `coffer verify`".to_owned())],
    };
    let replace = || "replace its keys in the console under Settings, Channels".to_owned();
    let mut found: Vec<Found> = failed
        .into_iter()
        .map(|(id, why)| Problem(format!("channel account {id} cannot be used: {why}"), replace()))
        .collect();
    let all = registry.all();
    for open in all.iter().filter(|open| open.account.active) {
        let Some((label, at)) = open.ending(now) else { continue };
        let named = format!("the channel account {:?}: its {}", open.account.label, label.en.to_lowercase());
        found.push(match at <= now {
            true => Problem(format!("{named} ended on {at}"), replace()),
            false => Warning(format!("{named} ends on {at}"), replace()),
        });
    }
    if found.is_empty() && !all.is_empty() {
        found.push(Good(format!("the keys of all {} channel accounts can be opened and none ends soon", all.len())));
    }
    found
}

fn people_exist(store: &Store) -> Option<Found> {
    match store.read_blocking(people::anybody) {
        Ok(true) => None,
        Ok(false) => Some(Warning(
            "nobody can log in to the console yet".to_owned(),
            "open the link that `coffer init` printed, or run `coffer user add`".to_owned(),
        )),
        Err(error) => Some(Problem(error.to_string(), "run `coffer verify`".to_owned())),
    }
}

/// When something was last noted in any audit log.
fn latest_record(store: &Store) -> Result<Timestamp, StoreError> {
    store.read_blocking(|tx| {
        let mut latest = Timestamp::MIN;
        tx.walk(&MERCHANTS, &Span::all(), |merchant, _| {
            let newest = tx.scan(&AUDIT, &Span::prefix(&merchant), Order::Descending, 1)?;
            latest = newest.iter().map(|(_, record)| record.at).fold(latest, Timestamp::max);
            Ok::<_, StoreError>(std::ops::ControlFlow::Continue(()))
        })?;
        Ok(latest)
    })
}

fn clock(now: Timestamp, latest: Timestamp) -> Found {
    let way = "let the machine keep its time: run `timedatectl set-ntp true`".to_owned();
    if now < CLOCK_MIN {
        Problem(format!("the clock says {now}, which is long past"), way)
    } else if now < latest {
        Problem(format!("the clock says {now}, and the data has records of {latest}"), way)
    } else {
        Good(format!("the clock says {now}"))
    }
}

fn space(config: &Config) -> Found {
    let used_mb = std::fs::metadata(store_file(config)).map_or(0, |file| file.len() >> 20);
    let needed = FREE_MIN_MB.max(used_mb);
    match free_mb(&config.data_dir) {
        None => Warning(
            "how much space is free could not be found out".to_owned(),
            "watch the disk: a full one stops the server".to_owned(),
        ),
        Some(free) if free < needed => Problem(
            format!("{free} MB are free, and {needed} MB should be"),
            "make room or move the data folder: a full disk stops the server".to_owned(),
        ),
        Some(free) => Good(format!("{free} MB are free")),
    }
}

/// From the standard tool, because the standard library does not know. Source: POSIX, `df -P -k`: the fourth number of the
/// second line.
fn free_mb(folder: &Path) -> Option<u64> {
    let output = std::process::Command::new("df").args(["-P", "-k"]).arg(folder).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let kilobytes: u64 = text.lines().nth(1)?.split_ascii_whitespace().nth(3)?.parse().ok()?;
    Some(kilobytes >> 10)
}

fn backups(config: &Config, now: Timestamp) -> Found {
    let folder = config.data_dir.join(BACKUP_DIR);
    let way = "run `coffer backup` every day, and copy the file to another machine".to_owned();
    match newest(&folder) {
        None => Warning(format!("there is no backup in {}", folder.display()), way),
        Some((file, at)) if now.since(at) > BACKUP_AGE_MAX => {
            Warning(format!("the newest backup, {}, is of {at}", file.display()), way)
        }
        Some((file, _)) => Good(format!("the newest backup is {}", file.display())),
    }
}

fn newest(folder: &Path) -> Option<(PathBuf, Timestamp)> {
    let entries = std::fs::read_dir(folder).ok()?;
    let dated = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let changed = entry.metadata().ok()?.modified().ok()?;
        let since_epoch = changed.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some((entry.path(), Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).ok()?)))
    });
    dated.max_by_key(|(_, at)| *at)
}

fn port(config: &Config) -> Found {
    let address = config.server.listen;
    match server::bind(address) {
        Ok(_) => Good(format!("{address} is free to listen on")),
        Err(ListenError::InUse { .. }) => Good(format!("{address} is in use, as it is while the server runs")),
        Err(error) => Problem(error.to_string(), "see [server] listen".to_owned()),
    }
}

fn base_url(config: &Config) -> Found {
    let url = config.base_url();
    let loopback = config.server.listen.ip().is_loopback();
    let proxies = !config.server.trusted_proxies.is_empty();
    let own_tls = config.tls.cert_file.is_some();
    if config.server.base_url.is_none() && !loopback {
        Problem(
            format!("links would begin with {url}, which is not where customers are"),
            "set [server] base_url".to_owned(),
        )
    } else if config.server.base_url.is_none() {
        Warning(
            format!("{url} can be reached from this machine alone"),
            "set [server] base_url to the public address before the first real payment".to_owned(),
        )
    } else if !url.is_https() {
        Problem(
            format!("{url} is not encrypted: keys and logins could be read on the way"),
            "give [tls] cert_file and key_file, or put a reverse proxy with TLS in front, and use https:// in base_url"
                .to_owned(),
        )
    } else if !own_tls && !proxies {
        Warning(
            format!("{url} is encrypted by something in front of this server, and no proxy is trusted"),
            "name its address in [server] trusted_proxies, otherwise every client looks like the proxy to limits and \
             allow-lists"
                .to_owned(),
        )
    } else {
        Good(format!("customers and shops reach this server at {url}"))
    }
}

fn name(config: &Config) -> Found {
    let url = config.base_url().to_url();
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Problem(format!("{url} has no host"), "set [server] base_url".to_owned());
    };
    match (host.trim_matches(['[', ']']), port).to_socket_addrs() {
        Ok(addresses) => {
            let list: Vec<String> = addresses.map(|address| address.ip().to_string()).collect();
            Good(format!("{host} is {}", list.join(", ")))
        }
        Err(error) => Problem(
            format!("the name {host} leads nowhere: {error}"),
            "make a DNS record for it, or correct [server] base_url".to_owned(),
        ),
    }
}

fn certificate(config: &Config, now: Timestamp) -> Vec<Found> {
    let Some(files) = TlsFiles::of(&config.tls) else { return Vec::new() };
    let renew = "renew it; a changed file is taken over without a restart".to_owned();
    if let Err(error) = server::tls::Certificates::load(files.clone(), server::tls::Clients::Anonymous) {
        return vec![Problem(Failure::of(Exit::Found, &error).to_string(), renew)];
    }
    let first = CertificateDer::from_pem_file(&files.cert_file);
    let Ok(first) = first else { return vec![Problem("the certificate cannot be read".to_owned(), renew)] };
    let mut found = Vec::new();
    found.push(match not_after(&first) {
        None => Warning("when the certificate ends could not be read".to_owned(), renew),
        Some(at) if at <= now => Problem(format!("the certificate ended on {at}"), renew),
        Some(at) if at.since(now) < CERTIFICATE_MIN => Warning(format!("the certificate ends on {at}"), renew),
        Some(at) => Good(format!("the certificate is good until {at}")),
    });
    let url = config.base_url().to_url();
    let host = url.host_str().unwrap_or_default().to_owned();
    let parsed = ParsedCertificate::try_from(&first);
    let named = ServerName::try_from(host.clone());
    found.push(match (parsed, named) {
        (Ok(parsed), Ok(named)) if verify_server_name(&parsed, &named).is_ok() => {
            Good(format!("the certificate is for {host}"))
        }
        (Ok(_) | Err(_), Ok(_) | Err(_)) => Problem(
            format!("the certificate is not for {host}"),
            "get one for the host of [server] base_url".to_owned(),
        ),
    });
    found
}

fn callbacks(config: &Config) -> Vec<Found> {
    let mut found = Vec::new();
    if config.callbacks.allow_loopback {
        found.push(Warning(
            "callbacks may reach programs on this machine".to_owned(),
            "that is for trying things out; remove [callbacks] allow_loopback in production".to_owned(),
        ));
    }
    if config.callbacks.allow_http {
        found.push(Warning(
            "callbacks may go to addresses without encryption".to_owned(),
            "remove [callbacks] allow_http when every shop has https".to_owned(),
        ));
    }
    found
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Good(what) => write!(f, "ok       {what}"),
            Warning(what, way) => write!(f, "warning  {what}\n         -> {way}"),
            Problem(what, way) => write!(f, "problem  {what}\n         -> {way}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_went_back_is_a_problem() {
        let at = |seconds: i64| Timestamp::from_seconds(1_800_000_000 + seconds);
        assert!(matches!(clock(at(0), at(1)), Problem(..)));
        assert!(matches!(clock(at(1), at(0)), Good(..)));
        assert!(matches!(clock(Timestamp::MIN, Timestamp::MIN), Problem(..)));
    }
}
