//! Every key of the configuration: the only list. The struct, the file, the variables and the sample derive from it.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use super::layers::{Layers, between, or};
use super::value::{BaseUrl, Setting};
use crate::crypto::Secret;
use crate::signals::logging::{LogFormat, LogLevel};

/// What is known about a key without its value.
#[derive(Debug)]
pub struct Key {
    pub section: &'static str,
    pub section_doc: &'static str,
    pub name: &'static str,
    pub doc: &'static str,
    /// Secrets are not written into the file.
    pub in_environment_only: bool,
}

impl Key {
    /// `section.name`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// The variable that overrides it.
    pub fn variable(&self) -> String {
        format!("{}{}_{}", super::ENV_PREFIX, self.section, self.name).to_ascii_uppercase()
    }
}

macro_rules! settings {
    ($(
        #[doc = $section_doc:literal]
        $section:ident: $Section:ident {
            $(#[doc = $doc:literal] $key:ident: $type:ty = $rule:expr,)*
        }
    )*) => {
        $(
            #[doc = $section_doc]
            #[derive(Clone, Debug)]
            pub struct $Section {
                $(#[doc = $doc] pub $key: $type,)*
            }
        )*

        /// The effective configuration.
        #[derive(Clone, Debug)]
        pub struct Config {
            /// Where everything is kept: the store, the master key, backups.
            pub data_dir: PathBuf,
            /// Where the service manager puts credentials, if it does.
            pub credentials_dir: Option<PathBuf>,
            $(pub $section: $Section,)*
        }

        impl Config {
            /// Takes every key from the layers, which collect what is wrong.
            pub(super) fn read(data_dir: PathBuf, layers: &mut Layers<'_>) -> Self {
                Self {
                    data_dir,
                    credentials_dir: layers.credentials_dir(),
                    $($section: $Section {
                        $($key: layers.take::<$type>(stringify!($section), stringify!($key), $rule),)*
                    },)*
                }
            }

            /// Every key with its value as TOML; `None` when it is not set.
            pub(super) fn shown(&self) -> Vec<(&'static Key, Option<String>)> {
                let values = [$($(<$type as Setting>::show(&self.$section.$key),)*)*];
                KEYS.iter().zip(values).collect()
            }
        }

        /// All keys, section by section.
        pub const KEYS: &[Key] = &[$($(Key {
            section: stringify!($section),
            section_doc: $section_doc,
            name: stringify!($key),
            doc: $doc,
            in_environment_only: <$type as Setting>::IN_ENVIRONMENT_ONLY,
        },)*)*];
    };
}

settings! {
    /// Where Coffer listens and how it is reached.
    server: Server {
        /// Address and port to listen on.
        listen: SocketAddr = or(SocketAddr::from(([127, 0, 0, 1], 8080))),
        /// How customers, shops and channels reach this server, as in "https://pay.example.com". Links are made from it.
        base_url: Option<BaseUrl> = or(None),
        /// Addresses or ranges of reverse proxies whose X-Forwarded-For is believed.
        trusted_proxies: Vec<IpNet> = or(Vec::new()),
        /// Threads that answer requests; as many as the machine has processors.
        workers: u64 = between(1, std::thread::available_parallelism().map_or(2, |n| (n.get() as u64).min(256)), 256),
        /// Connections held at once; further ones wait in the system's queue.
        connections_max: u64 = between(16, 4096, 1_000_000),
        /// Seconds a client may take to send the head of a request.
        head_timeout_s: u64 = between(1, 10, 300),
        /// Seconds an idle connection is kept.
        keep_alive_s: u64 = between(1, 75, 3600),
        /// Seconds that running requests get to finish when the server stops.
        drain_s: u64 = between(0, 30, 600),
    }

    /// Encryption towards clients. Changed files are taken over without a restart.
    tls: Tls {
        /// The certificate chain as PEM.
        cert_file: Option<PathBuf> = or(None),
        /// The private key as PEM.
        key_file: Option<PathBuf> = or(None),
    }

    /// The key that all secrets in the store are sealed with.
    master: Master {
        /// The key itself, from the environment only.
        key: Option<Secret> = or(None),
        /// The file that holds it, readable by its owner only; otherwise a systemd credential or master.key in the data folder.
        key_file: Option<PathBuf> = or(None),
    }

    /// The embedded database.
    store: Store {
        /// Memory for its cache in megabytes.
        cache_mb: u64 = between(8, 64, 65_536),
        /// Writes that may wait; beyond that requests are answered with 503.
        queue: u64 = between(16, 1024, 65_536),
    }

    /// Messages to the shops.
    callbacks: Callbacks {
        /// Allow addresses of this machine. For trying things out.
        allow_loopback: bool = or(false),
        /// Allow http:// addresses.
        allow_http: bool = or(false),
        /// Private ranges that callbacks may reach, as in "10.1.0.0/16".
        allow_subnets: Vec<IpNet> = or(Vec::new()),
        /// Ports that callbacks may reach.
        ports: Vec<u16> = or(vec![443, 8443]),
        /// Callbacks under way at once.
        concurrency: u64 = between(1, 64, 4096),
        /// Callbacks under way at once to one endpoint.
        endpoint_concurrency: u64 = between(1, 8, 256),
    }

    /// Providers for test mode that live in this server.
    sandbox: Sandbox {
        /// Give test mode accounts at simulated WeChat Pay, Alipay and UnionPay. Their keys are made beside the server at the first start; without, there is the test wallet alone.
        simulators: bool = or(true),
    }

    /// What is written about the running server.
    log: Log {
        /// "text" for people, "json" for machines.
        format: LogFormat = or(LogFormat::Text),
        /// error, warn, info, debug or trace; also by part, as in "info,coffer::store=debug".
        level: LogLevel = or(LogLevel::parse("info").expect("a level")),
    }

    /// Numbers for Prometheus at /metrics.
    metrics: Metrics {
        /// Addresses or ranges that may read them.
        allow: Vec<IpNet> = or(vec![
            IpNet::new_assert(std::net::Ipv4Addr::LOCALHOST.into(), 32),
            IpNet::new_assert(std::net::Ipv6Addr::LOCALHOST.into(), 128),
        ]),
    }

    /// How much one client may ask for.
    limits: Limits {
        /// Requests per second of one API key.
        api_per_second: u64 = between(1, 200, 1_000_000),
        /// Requests of one API key at once, above its rate.
        api_burst: u64 = between(1, 400, 1_000_000),
    }
}

impl Config {
    /// What holds when nothing is configured.
    pub fn defaults() -> Self {
        let environment = std::collections::BTreeMap::new();
        let mut layers = Layers::new(std::path::Path::new(super::CONFIG_FILE), None, &environment, &[]);
        Self::read(PathBuf::from(super::DATA_DIR), &mut layers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_keys_share_a_variable() {
        let mut variables: Vec<_> = KEYS.iter().map(Key::variable).collect();
        variables.sort();
        variables.dedup();
        assert_eq!(variables.len(), KEYS.len());
        assert!(variables.contains(&"COFFER_TLS_CERT_FILE".to_owned()));
    }
}
