//! The master key: 32 bytes, written as 64 hexadecimal digits, that wrap every secret. It never lies in the database.

use std::fmt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use ring::hmac;
use zeroize::Zeroizing;

use super::secret::Secret;
use crate::env::{Entropy, random};

/// Length of the key in bytes.
pub const KEY_BYTES: usize = 32;

/// Name of the key's file in the data folder, where nothing else is configured.
pub const KEY_FILE: &str = "master.key";

/// Name of the key as a systemd credential (`LoadCredential=coffer-master-key:…`).
pub const CREDENTIAL: &str = "coffer-master-key";

/// A key file is 64 digits and perhaps a line end; what is longer is another file.
const KEY_FILE_MAX_BYTES: u64 = 128;

/// The key that wraps all data keys.
pub struct MasterKey(Zeroizing<[u8; KEY_BYTES]>);

/// Tells master keys apart without revealing them: a keyed hash of a constant text, shown as a fingerprint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct KeyVersion([u8; 8]);

/// Where to look, in this order. More than one explicit source is refused, because only one of them can be meant.
#[derive(Default)]
pub struct Sources {
    /// The key itself, from `COFFER_MASTER_KEY`.
    pub inline: Option<Secret>,
    /// A file named by `COFFER_MASTER_KEY_FILE` or the configuration.
    pub file: Option<PathBuf>,
    /// systemd's `$CREDENTIALS_DIRECTORY`.
    pub credentials_dir: Option<PathBuf>,
    /// The data folder, with `master.key` in it.
    pub data_dir: PathBuf,
}

/// Why there is no master key.
#[derive(Debug)]
pub enum MasterKeyError {
    /// Two sources were given.
    Ambiguous,
    /// No file at the last place that was looked at.
    Missing { path: PathBuf },
    /// The file could not be read or written.
    Io { path: PathBuf, source: std::io::Error },
    /// Others than the owner may read the file. `mode` is its permission bits.
    TooOpen { path: PathBuf, mode: u32 },
    /// Not 64 hexadecimal digits.
    NotAKey { from: String },
    /// A new key would replace the one that is there.
    Exists { path: PathBuf },
}

impl MasterKey {
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(Zeroizing::new(random(entropy)))
    }

    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads 64 hexadecimal digits; surrounding white space is ignored.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = Zeroizing::new(text.trim_ascii().to_ascii_lowercase());
        let bytes = Zeroizing::new(HEXLOWER.decode(&text).ok()?);
        <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).ok().map(Self::from_bytes)
    }

    /// Takes the key from the first source that has one.
    pub fn load(sources: &Sources) -> Result<Self, MasterKeyError> {
        match (&sources.inline, &sources.file) {
            (Some(_), Some(_)) => Err(MasterKeyError::Ambiguous),
            (Some(text), None) => {
                Self::parse(text.expose()).ok_or(MasterKeyError::NotAKey { from: "COFFER_MASTER_KEY".to_owned() })
            }
            (None, Some(path)) => Self::read(path),
            (None, None) => match sources.credential() {
                // systemd guards credentials with an access list, which shows as a readable group: its own rules hold.
                Some(credential) => Self::read_unchecked(&credential),
                None => Self::read(&sources.data_file()),
            },
        }
    }

    /// Reads a key file that nobody but its owner may read.
    pub fn read(path: &Path) -> Result<Self, MasterKeyError> {
        check_permissions(path, &std::fs::metadata(path).map_err(|source| reading(path, source))?)?;
        Self::read_unchecked(path)
    }

    fn read_unchecked(path: &Path) -> Result<Self, MasterKeyError> {
        use std::io::Read;
        let file = std::fs::File::open(path).map_err(|source| reading(path, source))?;
        let mut text = Zeroizing::new(Vec::new());
        file.take(KEY_FILE_MAX_BYTES).read_to_end(&mut text).map_err(|source| reading(path, source))?;
        Self::parse(&text).ok_or(MasterKeyError::NotAKey { from: path.display().to_string() })
    }

    /// Writes a new key file with mode 0400 and makes it durable. Never overwrites.
    pub fn create(&self, path: &Path) -> Result<(), MasterKeyError> {
        use std::io::Write;
        let io = |source: std::io::Error| {
            if source.kind() == std::io::ErrorKind::AlreadyExists {
                MasterKeyError::Exists { path: path.to_owned() }
            } else {
                MasterKeyError::Io { path: path.to_owned(), source }
            }
        };
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o400);
        let mut file = options.open(path).map_err(io)?;
        let mut text = Zeroizing::new(HEXLOWER.encode(self.0.as_slice()));
        text.push('\n');
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
        sync_folder_of(path).map_err(io)
    }

    /// Which key this is, without saying what it is.
    pub fn version(&self) -> KeyVersion {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice()), b"coffer master key version");
        let bytes = tag.as_ref().first_chunk().expect("the hash has 32 bytes");
        KeyVersion(*bytes)
    }

    pub(super) fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl KeyVersion {
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0
    }
}

impl Sources {
    /// The file that is read when neither the key nor a file is named.
    pub fn default_file(&self) -> PathBuf {
        self.credential().unwrap_or_else(|| self.data_file())
    }

    /// The file in the data folder, which is ours to replace.
    pub fn data_file(&self) -> PathBuf {
        self.data_dir.join(KEY_FILE)
    }

    fn credential(&self) -> Option<PathBuf> {
        self.credentials_dir.as_ref().map(|dir| dir.join(CREDENTIAL)).filter(|path| path.exists())
    }
}

fn reading(path: &Path, source: std::io::Error) -> MasterKeyError {
    let path = path.to_owned();
    if source.kind() == std::io::ErrorKind::NotFound {
        MasterKeyError::Missing { path }
    } else {
        MasterKeyError::Io { path, source }
    }
}

/// Makes a new, renamed or removed file name durable.
pub fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { std::fs::File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(unix)]
fn check_permissions(path: &Path, metadata: &std::fs::Metadata) -> Result<(), MasterKeyError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(MasterKeyError::TooOpen { path: path.to_owned(), mode }) }
}

#[cfg(not(unix))]
fn check_permissions(_: &Path, _: &std::fs::Metadata) -> Result<(), MasterKeyError> {
    Ok(())
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

impl fmt::Display for KeyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for MasterKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MasterKeyError::Ambiguous => {
                f.write_str("both a master key and a master key file are given; remove one of them")
            }
            MasterKeyError::Missing { path } => write!(
                f,
                "there is no master key at {}; `coffer init` makes one for a new data folder, and an existing folder needs \
                 the key it was made with",
                path.display()
            ),
            MasterKeyError::Io { path, source: _ } => write!(f, "the master key file {} does not work", path.display()),
            MasterKeyError::TooOpen { path, mode } => {
                write!(f, "others may read the master key (mode {mode:04o}); run: chmod 0400 {}", path.display())
            }
            MasterKeyError::NotAKey { from } => write!(f, "{from} does not hold 64 hexadecimal digits"),
            MasterKeyError::Exists { path } => {
                write!(f, "{} exists already; a master key is never overwritten", path.display())
            }
        }
    }
}

impl std::error::Error for MasterKeyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            MasterKeyError::Io { source, .. } => Some(source),
            MasterKeyError::Ambiguous
            | MasterKeyError::Missing { .. }
            | MasterKeyError::TooOpen { .. }
            | MasterKeyError::NotAKey { .. }
            | MasterKeyError::Exists { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::SystemEntropy;

    /// A folder that is removed at the end of the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let name = HEXLOWER.encode(&random::<8>(&SystemEntropy));
            let path = std::env::temp_dir().join(format!("coffer-key-{name}"));
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_created_key_is_read_back_and_never_overwritten() {
        let folder = Folder::new();
        let path = folder.0.join(KEY_FILE);
        let key = MasterKey::generate(&SystemEntropy);
        key.create(&path).unwrap();
        let sources = Sources { data_dir: folder.0.clone(), ..Sources::default() };
        assert_eq!(MasterKey::load(&sources).unwrap().version(), key.version());
        let again = MasterKey::generate(&SystemEntropy).create(&path);
        assert!(matches!(again, Err(MasterKeyError::Exists { .. })));
        assert_eq!(MasterKey::read(&path).unwrap().version(), key.version());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new();
        let path = folder.0.join(KEY_FILE);
        MasterKey::generate(&SystemEntropy).create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
        for open in [0o440, 0o404, 0o644] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(open)).unwrap();
            assert!(matches!(MasterKey::read(&path), Err(MasterKeyError::TooOpen { .. })), "mode {open:o}");
        }
    }

    #[test]
    fn a_credential_goes_before_the_data_folder_and_explicit_sources_before_both() {
        let folder = Folder::new();
        let [data, credential, named, inline] = [1, 2, 3, 4].map(|n| MasterKey::from_bytes([n; KEY_BYTES]));
        data.create(&folder.0.join(KEY_FILE)).unwrap();
        credential.create(&folder.0.join(CREDENTIAL)).unwrap();
        named.create(&folder.0.join("named")).unwrap();
        let mut sources = Sources { data_dir: folder.0.clone(), ..Sources::default() };
        assert_eq!(MasterKey::load(&sources).unwrap().version(), data.version());
        sources.credentials_dir = Some(folder.0.clone());
        assert_eq!(MasterKey::load(&sources).unwrap().version(), credential.version());
        sources.file = Some(folder.0.join("named"));
        assert_eq!(MasterKey::load(&sources).unwrap().version(), named.version());
        sources.inline = Some(Secret::new(HEXLOWER.encode(&[4; KEY_BYTES])));
        assert!(matches!(MasterKey::load(&sources), Err(MasterKeyError::Ambiguous)));
        sources.file = None;
        assert_eq!(MasterKey::load(&sources).unwrap().version(), inline.version());
    }

    #[test]
    fn only_64_hexadecimal_digits_are_a_key() {
        let digits = "0123456789abcdefABCDEF0123456789".repeat(2);
        assert!(MasterKey::parse(digits.as_bytes()).is_some());
        assert!(MasterKey::parse(format!(" {digits}\r\n").as_bytes()).is_some());
        for bad in ["", "00", &digits[1..], &format!("{digits}0"), &digits.replace('0', "g")] {
            assert!(MasterKey::parse(bad.as_bytes()).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_key_shows_its_fingerprint_only() {
        let key = MasterKey::from_bytes([7; KEY_BYTES]);
        assert_eq!(format!("{key:?}"), "MasterKey(…)");
        assert_ne!(key.version(), MasterKey::from_bytes([8; KEY_BYTES]).version());
        assert_eq!(key.version().to_string().len(), 16);
    }
}
