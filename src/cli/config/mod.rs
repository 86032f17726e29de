//! The configuration: one TOML file, every key with an environment variable, each value with its source.
//!
//! Later sources win: default, file, environment, command line. All problems are told at once.

mod keys;
mod layers;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

pub use keys::{Callbacks, Config, KEYS, Key, Limits, Log, Master, Metrics, Server, Store, Tls};
pub use layers::{ENV_PREFIX, Origin};
pub use value::BaseUrl;

use crate::crypto::master_key::Sources;
use layers::Layers;

/// Name of the configuration file in the data folder.
pub const CONFIG_FILE: &str = "coffer.toml";

/// The data folder, where nothing else is said.
pub const DATA_DIR: &str = "coffer-data";

/// The longest configuration file that is read, in bytes.
const CONFIG_MAX_BYTES: u64 = 1 << 20;

/// What the command line and the environment say about the configuration.
#[derive(Default)]
pub struct Inputs {
    /// `--data`; otherwise `COFFER_DATA`, otherwise [`DATA_DIR`].
    pub data_dir: Option<PathBuf>,
    /// `--config`; otherwise `COFFER_CONFIG`, otherwise [`CONFIG_FILE`] in the data folder, which may be missing.
    pub file: Option<PathBuf>,
    /// `section.key` and value from other options, such as `--listen`.
    pub overrides: Vec<(&'static str, String)>,
    /// The process's environment.
    pub environment: BTreeMap<String, String>,
}

/// The effective configuration and where each value comes from.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// By `section.key`; what is not in here has its default value.
    pub origins: BTreeMap<String, Origin>,
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
}

/// Everything that is wrong with the configuration.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub problems: Vec<String>,
}

impl Inputs {
    /// The real environment. Variables that are not text cannot be ours and are left out.
    pub fn from_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self { environment: std::env::vars_os().filter_map(text).collect(), ..Self::default() }
    }

    /// Where the data is, as far as the configuration file is not needed to know.
    pub fn data_dir(&self, otherwise: &str) -> PathBuf {
        let from_environment = || self.environment.get("COFFER_DATA").map(PathBuf::from);
        self.data_dir.clone().or_else(from_environment).unwrap_or_else(|| PathBuf::from(otherwise))
    }

    /// Reads and checks everything.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let data_dir = self.data_dir(DATA_DIR);
        let named = self.file.clone().or_else(|| self.environment.get("COFFER_CONFIG").map(PathBuf::from));
        let must_exist = named.is_some();
        let path = named.unwrap_or_else(|| data_dir.join(CONFIG_FILE));
        let text = match read_text(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => None,
            Err(error) => {
                return Err(ConfigError { problems: vec![format!("{} cannot be read: {error}", path.display())] });
            }
        };
        self.load_from(data_dir, &path, text.as_deref())
    }

    fn load_from(&self, data_dir: PathBuf, path: &Path, text: Option<&str>) -> Result<Loaded, ConfigError> {
        let mut layers = Layers::new(path, text, &self.environment, &self.overrides);
        let config = Config::read(data_dir, &mut layers);
        let (origins, mut problems) = layers.finish();
        problems.extend(config.contradictions());
        if !problems.is_empty() {
            return Err(ConfigError { problems });
        }
        Ok(Loaded { config, origins, file: text.map(|_| path.to_owned()) })
    }
}

impl Config {
    /// Where browsers, shops and channels reach this server: as configured, or the listening address itself.
    pub fn base_url(&self) -> BaseUrl {
        self.server.base_url.clone().unwrap_or_else(|| {
            let scheme = if self.tls.cert_file.is_some() { "https" } else { "http" };
            BaseUrl::of_address(scheme, self.server.listen)
        })
    }

    /// Where the master key is looked for.
    pub fn master_key_sources(&self) -> Sources {
        Sources {
            inline: self.master.key.clone(),
            file: self.master.key_file.clone(),
            credentials_dir: self.credentials_dir.clone(),
            data_dir: self.data_dir.clone(),
        }
    }

    /// Values that are right by themselves and wrong together.
    fn contradictions(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.tls.cert_file.is_some() != self.tls.key_file.is_some() {
            problems.push("[tls] cert_file and key_file belong together: give both or neither".to_owned());
        }
        if self.master.key.is_some() && self.master.key_file.is_some() {
            problems.push("[master] both COFFER_MASTER_KEY and key_file are given; only one can be meant".to_owned());
        }
        problems
    }
}

impl Loaded {
    /// The effective configuration as a TOML file whose comments name the sources. Secrets are masked.
    pub fn to_toml(&self) -> String {
        let mut out = match &self.file {
            Some(file) => format!("# data folder: {}\n# file: {}\n", self.config.data_dir.display(), file.display()),
            None => format!("# data folder: {}\n# file: none\n", self.config.data_dir.display()),
        };
        let mut section = "";
        for (key, shown) in self.config.shown() {
            if key.section != section {
                section = key.section;
                out.push_str(&format!("\n[{section}]\n"));
            }
            let origin = self.origins.get(&key.path()).map_or_else(|| "default".to_owned(), Origin::to_string);
            let line = match shown {
                Some(value) => format!("{} = {value}", key.name),
                None => format!("# {} is not set", key.name),
            };
            out.push_str(&format!("{line:<44} # {origin}\n"));
        }
        out
    }
}

/// A configuration file to begin with: every key with its meaning, its variable and its default, commented out, except for
/// the given `section.key` and value.
pub fn sample(set: &[(&str, String)]) -> String {
    let mut out = String::from(
        "# Coffer's configuration. Lines with a # in front show the defaults. `coffer config` prints what is in effect.\n",
    );
    let mut section = "";
    for (key, shown) in Config::defaults().shown() {
        if key.in_environment_only {
            continue;
        }
        if key.section != section {
            section = key.section;
            out.push_str(&format!("\n# {}\n[{section}]\n", key.section_doc.trim()));
        }
        out.push_str(&format!("\n#{}\n", key.doc));
        match set.iter().find(|(path, _)| *path == key.path()) {
            Some((_, value)) => out.push_str(&format!("{} = {value}\n", key.name)),
            None => out.push_str(&format!("# {} = {}\n", key.name, shown.as_deref().unwrap_or("\"\""))),
        }
    }
    out
}

fn read_text(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(CONFIG_MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration does not work:")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let inputs = Inputs { environment: environment.iter().map(pair).collect(), ..Inputs::default() };
        inputs.load_from(PathBuf::from("/data"), Path::new("/data/coffer.toml"), Some(text))
    }

    fn problem(text: &str, environment: &[(&str, &str)]) -> String {
        load(text, environment).unwrap_err().problems.join("\n")
    }

    #[test]
    fn later_sources_win_and_are_named() {
        let file = "[server]\nlisten = \"0.0.0.0:80\"\nworkers = 3\n[store]\ncache_mb = 99";
        let environment = [("COFFER_SERVER_LISTEN", "[::1]:81"), ("COFFER_SERVER_WORKERS", "5"), ("PATH", "/bin")];
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let inputs = Inputs {
            environment: environment.into_iter().map(pair).collect(),
            overrides: vec![("server.listen", "127.0.0.1:0".to_owned())],
            ..Inputs::default()
        };
        let loaded = inputs.load_from(PathBuf::from("d"), Path::new("d/coffer.toml"), Some(file)).unwrap();
        assert_eq!(loaded.config.server.listen.to_string(), "127.0.0.1:0");
        assert_eq!(loaded.config.server.workers, 5);
        assert_eq!(loaded.config.store.cache_mb, 99);
        let origin = |path| loaded.origins.get(path).map(Origin::to_string);
        assert_eq!(origin("server.listen").as_deref(), Some("command line"));
        assert_eq!(origin("server.workers").as_deref(), Some("COFFER_SERVER_WORKERS"));
        assert_eq!(origin("store.cache_mb").as_deref(), Some("coffer.toml"));
        assert_eq!(origin("store.queue"), None);
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_one() {
        assert!(problem("[server]\nlisen = \"\"", &[]).contains("did you mean `listen`?"));
        assert!(problem("[sever]\nlisten = \"\"", &[]).contains("did you mean `[server]`?"));
        assert!(problem("", &[("COFFER_SERVER_LISTN", "")]).contains("did you mean `COFFER_SERVER_LISTEN`?"));
        let nothing_near = problem("[server]\nzebra = 1", &[]);
        assert!(nothing_near.contains("zebra") && !nothing_near.contains("did you mean"), "{nothing_near}");
        assert!(problem("listen = \"x\"", &[]).contains("[server]"), "a key outside of its section is led there");
    }

    #[test]
    fn variables_that_a_cluster_sets_for_a_service_named_coffer_are_not_ours() {
        let environment = [("COFFER_SERVICE_HOST", "10.0.0.1"), ("COFFER_PORT_8080_TCP", "tcp://10.0.0.1:8080")];
        assert!(load("", &environment).is_ok());
    }

    #[test]
    fn every_problem_is_told_at_once_with_its_place() {
        let problems = load("[server]\nlisten = \"nowhere\"\nworkers = 0\nx = 1", &[("COFFER_STORE_CACHE_MB", "many")])
            .unwrap_err()
            .problems;
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(problems.iter().any(|p| p.contains("[server] listen") && p.contains("address and port")));
        assert!(problems.iter().any(|p| p.contains("[server] workers") && p.contains("from 1 to")));
        assert!(problems.iter().any(|p| p.contains("COFFER_STORE_CACHE_MB")));
    }

    #[test]
    fn a_secret_is_refused_in_the_file_and_masked_when_shown() {
        assert!(problem("[master]\nkey = \"00\"", &[]).contains("key_file"));
        let loaded = load("", &[("COFFER_MASTER_KEY", "canary")]).unwrap();
        assert!(!loaded.to_toml().contains("canary") && !format!("{loaded:?}").contains("canary"));
        assert!(loaded.to_toml().contains("COFFER_MASTER_KEY"));
    }

    #[test]
    fn halves_of_a_pair_are_refused() {
        assert!(problem("[tls]\ncert_file = \"c.pem\"", &[]).contains("belong together"));
    }

    #[test]
    fn paths_in_the_file_start_at_the_file() {
        let loaded = load("[tls]\ncert_file = \"tls/c.pem\"\nkey_file = \"/etc/k.pem\"", &[]).unwrap();
        assert_eq!(loaded.config.tls.cert_file, Some(PathBuf::from("/data/tls/c.pem")));
        assert_eq!(loaded.config.tls.key_file, Some(PathBuf::from("/etc/k.pem")));
    }

    #[test]
    fn lists_are_written_with_commas_in_the_environment() {
        let environment =
            [("COFFER_SERVER_TRUSTED_PROXIES", "10.0.0.0/8, ::1"), ("COFFER_CALLBACKS_PORTS", "443,8443")];
        let config = load("", &environment).unwrap().config;
        assert_eq!(
            config.server.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["10.0.0.0/8", "::1/128"]
        );
        assert_eq!(config.callbacks.ports, [443, 8443]);
        assert!(problem("", &[("COFFER_SERVER_TRUSTED_PROXIES", "10.0.0.0/33")]).contains("address or range"));
    }

    #[test]
    fn the_printed_configuration_and_the_sample_can_be_read_again() {
        let loaded = load("[server]\nbase_url = \"https://pay.example.com/\"", &[]).unwrap();
        let again = load(&loaded.to_toml(), &[]).unwrap();
        assert_eq!(again.config.base_url().as_str(), "https://pay.example.com");
        assert_eq!(again.config.callbacks.ports, loaded.config.callbacks.ports);
        let sample = sample(&[("server.base_url", "\"https://a.example\"".to_owned())]);
        assert_eq!(load(&sample, &[]).unwrap().config.base_url().as_str(), "https://a.example");
        let all: String = sample
            .lines()
            .map(|l| l.strip_prefix("# ").filter(|l| l.contains(" = ")).unwrap_or(l))
            .fold(String::new(), |all, line| all + if line.ends_with("\"\"") { "" } else { line } + "\n");
        load(&all, &[]).expect("the commented defaults are valid values");
    }

    #[test]
    fn a_base_url_is_an_origin_and_nothing_more() {
        for bad in ["pay.example.com", "ftp://a", "https://u@a", "https://a/path", "https://a?q", "https://a#f", ""] {
            let text = format!("[server]\nbase_url = \"{bad}\"");
            assert!(problem(&text, &[]).contains("https://pay.example.com"), "{bad}");
        }
        let config = load("[server]\nlisten = \"0.0.0.0:8080\"", &[]).unwrap().config;
        assert_eq!(config.base_url().as_str(), "http://localhost:8080");
    }
}
