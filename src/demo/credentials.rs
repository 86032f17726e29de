//! `demo.json`: the addresses and secrets of a demo, for scripts. It also marks a data folder as a demo's.

use std::io::{ErrorKind, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::crypto::master_key::sync_folder_of;
use crate::sandbox::shop;

/// Its name in the data folder.
pub const FILE: &str = "demo.json";

/// Its name until it is complete.
const UNFINISHED: &str = "demo.json.new";

/// The longest file that is read, in bytes.
const FILE_MAX_BYTES: u64 = 64 * 1024;

/// Everything a script or a person needs. The names are part of the interface.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    pub base_url: String,
    pub console_url: String,
    pub shop_url: String,
    pub docs_url: String,
    pub console_user: String,
    pub console_password: String,
    /// Base32, as authenticators take it.
    pub totp_secret: String,
    /// A bearer token with all permissions in test mode.
    pub api_key: String,
    /// `keyid` of signed requests.
    pub signing_key_id: String,
    /// Base64 of the `hmac-sha256` key.
    pub signing_secret: String,
    /// `whsec_…`; signs every callback of the demo's merchant in test mode.
    pub callback_secret: String,
}

impl Credentials {
    /// With the addresses below another base.
    pub fn at(self, base_url: &str) -> Self {
        Self {
            base_url: base_url.to_owned(),
            console_url: format!("{base_url}/console"),
            shop_url: format!("{base_url}{}", shop::PATH),
            docs_url: format!("{base_url}/docs/api"),
            ..self
        }
    }

    /// `None` when there is no such file.
    pub fn read(folder: &Path) -> std::io::Result<Option<Self>> {
        use std::io::Read;
        let mut text = String::new();
        match std::fs::File::open(folder.join(FILE)) {
            Ok(file) => file.take(FILE_MAX_BYTES).read_to_string(&mut text)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(serde_json::from_str(&text)?))
    }

    /// Replaces the file in one step.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        let path = folder.join(FILE);
        let mut file = unfinished(folder)?;
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        file.set_len(0)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(folder.join(UNFINISHED), &path)?;
        sync_folder_of(&path)
    }
}

/// Marks a folder as a demo's before there are credentials.
pub fn mark(folder: &Path) -> std::io::Result<()> {
    unfinished(folder).map(drop)
}

/// Whether a demo lives or was about to live in the folder.
pub fn is_marked(folder: &Path) -> bool {
    folder.join(FILE).exists() || folder.join(UNFINISHED).exists()
}

/// Only its owner may read it.
fn unfinished(folder: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(folder.join(UNFINISHED))
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}
