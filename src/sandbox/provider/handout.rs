//! What a developer is handed of a simulated merchant: keys in every form that SDKs ask for.

use p12_keystore::{
    Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, PrivateKey, PrivateKeyChain,
};
use serde_json::{Map, Value, json};

use super::certificate::pem;
use crate::crypto::Secret;
use crate::crypto::rsa::to_pkcs1;

/// A private key in the forms that SDKs read. Java takes PKCS#8, others only PKCS#1, and some want no header and footer.
pub struct KeyForms {
    /// PEM.
    pub pkcs8: String,
    /// PEM.
    pub pkcs1: String,
    pub pkcs8_bare: String,
    pub pkcs1_bare: String,
}

impl KeyForms {
    /// `private` is PKCS#8 DER.
    pub fn of(private: &Secret) -> Self {
        let pkcs1 = to_pkcs1(private.expose()).expect("a key that was stored whole");
        Self {
            pkcs8: pem("PRIVATE KEY", private.expose()),
            pkcs1: pem("RSA PRIVATE KEY", pkcs1.expose()),
            pkcs8_bare: data_encoding::BASE64.encode(private.expose()),
            pkcs1_bare: data_encoding::BASE64.encode(pkcs1.expose()),
        }
    }

    /// As members of a merchant's JSON.
    pub fn tell(&self, merchant: &mut Map<String, Value>) {
        for (name, form) in [
            ("private_key", &self.pkcs8),
            ("private_key_pkcs1", &self.pkcs1),
            ("private_key_base64", &self.pkcs8_bare),
            ("private_key_pkcs1_base64", &self.pkcs1_bare),
        ] {
            merchant.insert(name.to_owned(), json!(form));
        }
    }
}

/// Fails unless a merchant's JSON holds one key in every form.
#[cfg(test)]
pub fn assert_every_form(merchant: &Value) {
    use crate::crypto::rsa::RsaSigner;
    let text = |name: &str| merchant[name].as_str().unwrap_or_else(|| panic!("{name} is not told"));
    let own = RsaSigner::read(text("private_key")).unwrap();
    for (name, start) in [
        ("private_key", "-----BEGIN PRIVATE KEY-----\n"),
        ("private_key_pkcs1", "-----BEGIN RSA PRIVATE KEY-----\n"),
        ("private_key_base64", "MII"),
        ("private_key_pkcs1_base64", "MII"),
    ] {
        assert!(text(name).starts_with(start), "{name}");
        assert_eq!(RsaSigner::read(text(name)).unwrap().public(), own.public(), "{name}");
    }
}

/// Key and certificate in one file as providers hand it out: triple DES, a MAC with SHA-1. `private` is PKCS#8 DER.
///
/// Without an `alias` the key has the name that the writer gives the certificate: `BouncyCastle` lists two entries when
/// they differ, and `UnionPay`'s own SDK for Java takes the first one.
pub fn pkcs12(private: &Secret, certificate: &[u8], alias: Option<&str>, password: &str) -> Option<Vec<u8>> {
    let key = PrivateKey::from_der(private.expose()).ok()?;
    let certificate = Certificate::from_der(certificate).ok()?;
    let mut store = KeyStore::new();
    let alias = alias.unwrap_or(certificate.subject()).to_owned();
    let chain = PrivateKeyChain::new(&[1_u8][..], key, [certificate]);
    store.add_entry(&alias, KeyStoreEntry::PrivateKeyChain(chain));
    store
        .writer(password)
        .encryption_algorithm(EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc)
        .mac_algorithm(MacAlgorithm::HmacSha1)
        .write()
        .ok()
}

#[cfg(test)]
mod tests {
    use p12_keystore::Pkcs12Archive;

    use super::*;
    use crate::crypto::rsa::{Digest, RsaSigner};
    use crate::domain::time::Timestamp;
    use crate::sandbox::provider::certificate::{Contents, Part, write};

    #[test]
    fn key_and_certificate_have_one_name_unless_the_provider_gives_the_key_another() {
        let private = crate::crypto::rsa::generate();
        let own = RsaSigner::from_der(private.expose()).unwrap();
        let (name, now) = ([(Part::Common, "041@777290058110048:SIGN")], Timestamp::from_millis(0));
        let contents = Contents {
            serial: &[1],
            issuer: &name,
            subject: &name,
            not_before: now,
            not_after: now,
            public_key: &own.public().to_spki(),
            authority: false,
            digest: Digest::Sha256,
        };
        let certificate = write(&contents, |body| own.sign_sha256(body));
        let names = |alias| {
            let file = pkcs12(&private, &certificate, alias, "000000").unwrap();
            let archive = Pkcs12Archive::from_pkcs12(&file, "000000").unwrap();
            let key = archive.keys[0].friendly_name.clone().unwrap();
            (key, archive.certs[0].friendly_name.clone().unwrap())
        };
        let (key, certificate) = names(None);
        assert_eq!(key, certificate);
        assert_eq!(names(Some("Tenpay Certificate")).0, "Tenpay Certificate");
    }
}
