//! The server's certificate: read from files, taken over without a restart when they change.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use ring::digest::{SHA256, digest};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring::default_provider;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use zeroize::Zeroizing;

use crate::cli::config;
use crate::domain::time::{Duration, Timestamp};
use crate::env::Env;

/// How often the files are looked at. SIGHUP does it at once.
pub const CHECK_EVERY: Duration = Duration::from_minutes(1);

/// The longest certificate or key file that is read, in bytes.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// The two files, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

impl TlsFiles {
    /// `None` when the server speaks plain HTTP.
    pub fn of(config: &config::Tls) -> Option<Self> {
        let (cert_file, key_file) = config.cert_file.clone().zip(config.key_file.clone())?;
        Some(Self { cert_file, key_file })
    }
}

/// Whether clients are asked for a certificate (mutual TLS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    Anonymous,
    /// Those who have one show it, whoever issued it; handlers see it as [`ClientCertificate`] and judge it.
    Asked,
}

/// What the client of a connection showed when it was asked for a certificate, as DER: data of connections to servers
/// with [`Clients::Asked`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate(pub Option<Vec<u8>>);

/// Takes every certificate whose key the client has. Whose it may be is for others to say.
#[derive(Debug)]
pub struct AnyClient {
    /// Turns those away who have none.
    pub needed: bool,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        self.needed
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// What the server shows to its clients.
pub struct Certificates {
    files: TlsFiles,
    clients: Clients,
    current: RwLock<Loaded>,
}

struct Loaded {
    key: Arc<CertifiedKey>,
    /// Of both files, to see that they changed.
    hash: [u8; 32],
}

/// Why a certificate cannot be used.
#[derive(Debug)]
pub enum TlsError {
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    /// The file holds no PEM block of the expected kind.
    NoPem {
        path: PathBuf,
        expected: &'static str,
    },
    /// The key is of another certificate, or of a kind that is not supported.
    Unusable {
        files: TlsFiles,
        source: rustls::Error,
    },
}

impl Certificates {
    pub fn load(files: TlsFiles, clients: Clients) -> Result<Arc<Self>, TlsError> {
        let current = RwLock::new(Loaded::read(&files)?);
        Ok(Arc::new(Self { files, clients, current }))
    }

    pub fn clients(&self) -> Clients {
        self.clients
    }

    /// Takes over changed files; `true` when there was a change. On an error the certificate in use stays.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let loaded = Loaded::read(&self.files)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let changed = current.hash != loaded.hash;
        *current = loaded;
        Ok(changed)
    }

    /// TLS 1.2 and 1.3 with this certificate.
    pub fn server_config(self: Arc<Self>) -> ServerConfig {
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default versions");
        match self.clients {
            Clients::Anonymous => config.with_no_client_auth().with_cert_resolver(self),
            Clients::Asked => {
                let mut config =
                    config.with_client_cert_verifier(Arc::new(AnyClient { needed: false })).with_cert_resolver(self);
                // What is resumed would have to be judged anew.
                config.send_tls13_tickets = 0;
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config
            }
        }
    }

    /// When the certificate in use ends.
    pub fn expires_at(&self) -> Option<Timestamp> {
        let key = self.current();
        key.end_entity_cert().ok().and_then(|cert| not_after(cert))
    }

    /// Looks at the files now and then, and at once when `nudged` ends. Never ends itself.
    pub async fn keep_fresh(self: Arc<Self>, env: Env, mut nudged: impl AsyncFnMut()) {
        loop {
            tokio::select! {
                () = env.sleep(CHECK_EVERY) => {}
                () = nudged() => {}
            }
            match self.reload() {
                Ok(true) => tracing::info!(file = %self.files.cert_file.display(), "a new certificate is in use"),
                Ok(false) => {}
                Err(error) => tracing::error!(
                    %error,
                    cause = std::error::Error::source(&error).map(ToString::to_string),
                    "the changed certificate cannot be used; the one before stays in use"
                ),
            }
        }
    }

    fn current(&self) -> Arc<CertifiedKey> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).key.clone()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl Loaded {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let cert_pem = read(&files.cert_file)?;
        let key_pem = read(&files.key_file)?;
        let no_pem = |path: &Path, expected| TlsError::NoPem { path: path.to_owned(), expected };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&cert_pem)
            .collect::<Result<_, _>>()
            .map_err(|_| no_pem(&files.cert_file, "certificates"))?;
        if chain.is_empty() {
            return Err(no_pem(&files.cert_file, "certificates"));
        }
        let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|_| no_pem(&files.key_file, "a private key"))?;
        let key = CertifiedKey::from_der(chain, key, &default_provider())
            .map_err(|source| TlsError::Unusable { files: files.clone(), source })?;
        let mut both = Zeroizing::new(cert_pem.to_vec());
        both.extend_from_slice(&key_pem);
        let hash = digest(&SHA256, &both).as_ref().try_into().expect("the hash has 32 bytes");
        Ok(Self { key: Arc::new(key), hash })
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    use std::io::Read;
    let mut bytes = Zeroizing::new(Vec::new());
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_MAX_BYTES).read_to_end(&mut bytes))
        .map_err(|source| TlsError::Io { path: path.to_owned(), source })?;
    Ok(bytes)
}

/// The end of a certificate's validity. Source: RFC 5280, 4.1: `Certificate ::= SEQUENCE { tbsCertificate SEQUENCE {
/// version [0] OPTIONAL, serialNumber, signature, issuer, validity SEQUENCE { notBefore, notAfter }, … } … }`.
pub fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (tag, content, _) = der_value(certificate)?;
    let (tag_of_tbs, mut rest, _) = der_value(content)?;
    if (tag, tag_of_tbs) != (SEQUENCE, SEQUENCE) {
        return None;
    }
    if rest.first() == Some(&VERSION) {
        rest = der_value(rest)?.2;
    }
    for _serial_signature_issuer in 0..3 {
        rest = der_value(rest)?.2;
    }
    let (_, validity, _) = der_value(rest)?;
    let (_, _, after) = der_value(validity)?;
    let (tag, time, _) = der_value(after)?;
    der_time(tag, std::str::from_utf8(time).ok()?)
}

/// Tag, content and what follows. Lengths above 64 kB do not occur here.
fn der_value(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), rest.get(2..)?),
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ` with a pivot at 1950, or `YYYYMMDDHHMMSSZ`. Source: RFC 5280, 4.1.2.5.
fn der_time(tag: u8, text: &str) -> Option<Timestamp> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let full = match tag {
        UTC_TIME => format!("{}{text}", if text < "50" { "20" } else { "19" }),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let part = |range| full.get(range);
    let [year, month, day] = [part(0..4)?, part(4..6)?, part(6..8)?];
    let [hour, minute, second] = [part(8..10)?, part(10..12)?, part(12..14)?];
    if full.get(14..) != Some("Z") {
        return None;
    }
    Timestamp::parse_rfc3339(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificates({})", self.files.cert_file.display())
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Io { path, source: _ } => write!(f, "{} cannot be read", path.display()),
            TlsError::NoPem { path, expected } => write!(f, "{} does not hold {expected} as PEM", path.display()),
            TlsError::Unusable { files, source: _ } => {
                write!(f, "{} and {} do not work together", files.cert_file.display(), files.key_file.display())
            }
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TlsError::Io { source, .. } => Some(source),
            TlsError::Unusable { source, .. } => Some(source),
            TlsError::NoPem { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_read_in_both_spellings() {
        let at = |text| Timestamp::parse_rfc3339(text);
        assert_eq!(der_time(0x17, "261231235959Z"), at("2026-12-31T23:59:59Z"));
        assert_eq!(der_time(0x17, "991231235959Z"), at("1999-12-31T23:59:59Z"));
        assert_eq!(der_time(0x18, "20510101000000Z"), at("2051-01-01T00:00:00Z"));
        for bad in ["", "261231235959", "2612312359Z", "261331235959Z", "261231235959+0800"] {
            assert_eq!(der_time(0x17, bad), None, "{bad}");
        }
        assert_eq!(not_after(b""), None);
        assert_eq!(not_after(&[0x30, 0x82, 0xff, 0xff, 0x30]), None);
    }
}
