//! How one value is read from TOML, read from a variable, and shown.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use crate::crypto::Secret;
use crate::signals::logging::{LogFormat, LogLevel};

/// Something a key can hold. Errors say what was expected.
pub trait Setting: Sized {
    const IN_ENVIRONMENT_ONLY: bool = false;

    fn from_toml(value: &toml::Value) -> Result<Self, &'static str>;

    fn from_text(text: &str) -> Result<Self, &'static str>;

    /// As TOML; `None` when there is no value.
    fn show(&self) -> Option<String>;

    /// Paths in the file start at the file's folder.
    fn relative_to(self, _folder: &Path) -> Self {
        self
    }

    /// Numbers have bounds.
    fn number(&self) -> Option<u64> {
        None
    }
}

/// Scheme, host and perhaps port: `https://pay.example.com`. Paths are appended to it.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// An origin, with or without a slash behind it. User names, paths, queries and fragments are refused.
    pub fn parse(text: &str) -> Option<Self> {
        let url = url::Url::parse(text).ok()?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let nobody = url.username().is_empty() && url.password().is_none();
        let web = matches!(url.scheme(), "http" | "https") && url.host().is_some();
        (bare && nobody && web).then(|| Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    /// A listening address as a browser on this machine would call it.
    pub fn of_address(scheme: &str, address: SocketAddr) -> Self {
        if address.ip().is_unspecified() {
            Self(format!("{scheme}://localhost:{}", address.port()))
        } else {
            Self(format!("{scheme}://{address}"))
        }
    }

    /// Without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }

    pub fn to_url(&self) -> url::Url {
        url::Url::parse(&self.0).expect("it was parsed or built as an origin")
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// JSON's escapes are a part of TOML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Setting for BaseUrl {
    fn from_toml(value: &toml::Value) -> Result<Self, &'static str> {
        Self::from_text(value.as_str().unwrap_or_default())
    }

    fn from_text(text: &str) -> Result<Self, &'static str> {
        Self::parse(text).ok_or("must be an address without a path, as in \"https://pay.example.com\"")
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&self.0))
    }
}

impl Setting for SocketAddr {
    fn from_toml(value: &toml::Value) -> Result<Self, &'static str> {
        Self::from_text(value.as_str().unwrap_or_default())
    }

    fn from_text(text: &str) -> Result<Self, &'static str> {
        text.parse().map_err(|_| "must be an address and port, as in \"127.0.0.1:8080\" or \"[::]:443\"")
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

impl Setting for IpNet {
    fn from_toml(value: &toml::Value) -> Result<Self, &'static str> {
        Self::from_text(value.as_str().unwrap_or_default())
    }

    fn from_text(text: &str) -> Result<Self, &'static str> {
        let single = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse().or_else(|_| single()).map_err(|_| "must be an address or range, as in \"10.1.0.0/16\"")
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

impl Setting for bool {
    fn from_toml(value: &toml::Value) -> Result<Self, &'static str> {
        value.as_bool().ok_or("must be true or false")
    }

    fn from_text(text: &str) -> Result<Self, &'static str> {
        text.parse().map_err(|_| "must be true or false")
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for u64 {
    fn from_toml(value: &toml::Value) -> Result<Self, &'static str> {
        value.as_integer().and_then(|n| u64::try_from(n).ok()).ok_or("must be a whole number")
    }

    fn from_text(text: &str) -> Result<Self, &'static str> {
        text.parse().map_err(|_| "must be a whole number")
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }

    fn number(&self) -> Option<u64> {
        Some(*self)
    }
}

impl Setting for u16 {
    fn from_toml(value: &toml::Value) -> Result<Self, &'static str> {
        value.as_integer().and_then(|n| u16::try_from(n).ok()).ok_or("must be a port, 0 to 65535")
    }

    fn from_text(text: &str) -> Result<Self, &'static str> {
        text.parse().map_err(|_| "must be a port, 0 to 65535")
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for LogLevel {
    fn from_toml(value: &toml::Value) -> Result<Self, &'static str> {
        Self::from_text(value.as_str().unwrap_or_default())
    }

    fn from_text(text: &str) -> Result<Self, &'static str> {
        LogLevel::parse(text).ok_or("must be error, warn, info, debug or trace, as in \"info,coffer::store=debug\"")
    }

    fn show(&self) -> Option<String> {
        Some(quoted(self.as_str()))
    }
}

impl Setting for PathBuf {
    fn from_toml(value: &toml::Value) -> Result<Self, &'static str> {
        Self::from_text(value.as_str().unwrap_or_default())
    }

    fn from_text(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() { Err("must be the name of a file") } else { Ok(PathBuf::from(text)) }
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&self.display().to_string()))
    }

    fn relative_to(self, folder: &Path) -> Self {
        folder.join(self)
    }
}

impl Setting for Secret {
    const IN_ENVIRONMENT_ONLY: bool = true;

    fn from_toml(_: &toml::Value) -> Result<Self, &'static str> {
        Err("is a secret and does not belong into this file; put it into a file of its own and name that with key_file")
    }

    fn from_text(text: &str) -> Result<Self, &'static str> {
        Ok(Secret::new(text))
    }

    fn show(&self) -> Option<String> {
        None
    }
}

impl Setting for LogFormat {
    fn from_toml(value: &toml::Value) -> Result<Self, &'static str> {
        Self::from_text(value.as_str().unwrap_or_default())
    }

    fn from_text(text: &str) -> Result<Self, &'static str> {
        match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("must be \"text\" or \"json\""),
        }
    }

    fn show(&self) -> Option<String> {
        Some(quoted(match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }))
    }
}

impl<T: Setting> Setting for Option<T> {
    const IN_ENVIRONMENT_ONLY: bool = T::IN_ENVIRONMENT_ONLY;

    fn from_toml(value: &toml::Value) -> Result<Self, &'static str> {
        T::from_toml(value).map(Some)
    }

    /// An empty variable is one that is not set.
    fn from_text(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() { Ok(None) } else { T::from_text(text).map(Some) }
    }

    fn show(&self) -> Option<String> {
        self.as_ref().and_then(T::show)
    }

    fn relative_to(self, folder: &Path) -> Self {
        self.map(|value| value.relative_to(folder))
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn from_toml(value: &toml::Value) -> Result<Self, &'static str> {
        value.as_array().ok_or("must be a list in brackets")?.iter().map(T::from_toml).collect()
    }

    fn from_text(text: &str) -> Result<Self, &'static str> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(T::from_text).collect()
    }

    fn show(&self) -> Option<String> {
        let values: Vec<_> = self.iter().filter_map(T::show).collect();
        Some(format!("[{}]", values.join(", ")))
    }
}
