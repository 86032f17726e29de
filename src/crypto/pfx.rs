//! Private keys as certificate authorities hand them out: PKCS#12 files (.pfx, .p12) under a password.
//!
//! Also the old kind (40-bit RC2, triple DES, a MAC with SHA-1) that OpenSSL 3 reads only when told to: the files that
//! UnionPay's merchants get are of it. What is read is kept as a plain key under the vault, so the password is not needed
//! again.

use std::fmt;

use p12_keystore::Pkcs12Archive;

use super::certificate::Certificate;
use super::rsa::RsaSigner;
use super::secret::Secret;

/// Larger files are not looked at, in bytes; real ones have about 3,000.
pub const PFX_MAX_BYTES: usize = 64 * 1024;

/// Why a file gave no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPfx {
    /// No PKCS#12, a cut file, or locked in a way that is not known here.
    Unreadable,
    /// It opens with another password.
    WrongPassword,
    /// It holds no RSA key with the certificate that belongs to it.
    NoKey,
}

impl fmt::Display for BadPfx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadPfx::Unreadable => "not a PKCS#12 file that can be read",
            BadPfx::WrongPassword => "the password is wrong",
            BadPfx::NoKey => "it holds no RSA key with its certificate",
        })
    }
}

impl std::error::Error for BadPfx {}

/// A key and the certificate that belongs to it.
pub struct KeyPair {
    /// PKCS#8 DER.
    pub key: Secret,
    pub certificate: Certificate,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Opens a file. Of several certificates inside, the one counts whose key is the private key's.
pub fn open(file: &[u8], password: &str) -> Result<KeyPair, BadPfx> {
    if file.len() > PFX_MAX_BYTES {
        return Err(BadPfx::Unreadable);
    }
    let archive = Pkcs12Archive::from_pkcs12(file, password).map_err(|error| match error {
        p12_keystore::error::Error::MacError(_) => BadPfx::WrongPassword,
        _ => BadPfx::Unreadable,
    })?;
    let certificates: Vec<Certificate> =
        archive.certs.iter().filter_map(|bag| Certificate::from_der(bag.cert.as_der()).ok()).collect();
    for bag in &archive.keys {
        let Ok(signer) = RsaSigner::from_der(bag.key.as_der()) else { continue };
        let own = certificates.iter().find(|certificate| certificate.public_key().as_ref() == Ok(signer.public()));
        if let Some(certificate) = own {
            return Ok(KeyPair { key: Secret::new(bag.key.as_der()), certificate: certificate.clone() });
        }
    }
    Err(BadPfx::NoKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with OpenSSL for these tests, password `000000`: 3DES key, RC2-40 certificates, MAC with SHA-1.
    const OLD: &[u8] = include_bytes!("../channels/unionpay/fixtures/old.pfx");
    /// The same key in today's kind: AES-256, MAC with SHA-256.
    const NEW: &[u8] = include_bytes!("../channels/unionpay/fixtures/new.pfx");
    const CERTIFICATE: &str = include_str!("../channels/unionpay/fixtures/merchant.pem");

    #[test]
    fn old_and_new_files_give_the_same_key_with_its_certificate() {
        let expected = Certificate::read(CERTIFICATE).unwrap();
        for file in [OLD, NEW] {
            let pair = open(file, "000000").unwrap();
            assert_eq!(pair.certificate, expected);
            let signer = RsaSigner::from_der(pair.key.expose()).unwrap();
            assert_eq!(signer.public(), &expected.public_key().unwrap());
        }
    }

    #[test]
    fn a_wrong_password_is_told_from_a_bad_file() {
        for file in [OLD, NEW] {
            assert_eq!(open(file, "000001").err(), Some(BadPfx::WrongPassword));
            assert_eq!(open(file, "").err(), Some(BadPfx::WrongPassword));
            assert_eq!(open(&file[..file.len() - 1], "000000").err(), Some(BadPfx::Unreadable));
        }
        for file in [&b""[..], b"not a file", CERTIFICATE.as_bytes(), &vec![0x30; PFX_MAX_BYTES + 1]] {
            assert_eq!(open(file, "000000").err(), Some(BadPfx::Unreadable));
        }
    }

    #[test]
    fn nothing_of_the_key_is_printed() {
        let printed = format!("{:?}", open(OLD, "000000").unwrap());
        assert_eq!(printed, "KeyPair { certificate: Certificate(1046900A89), .. }");
    }
}
