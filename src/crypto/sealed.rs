//! Secrets as they lie in the store: each under its own data key, the data key wrapped by the master key.
//!
//! The place of a secret (table, row, field) is authenticated with it, so a ciphertext copied to another row does not open.
//! The wrapping also authenticates the master key's version; the data key exists nowhere else, so the ciphertext is bound to
//! the version through it, and a new master key re-wraps 32 bytes instead of encrypting everything again.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::master_key::{KEY_BYTES, KeyVersion, MasterKey};
use super::secret::Secret;
use crate::env::{Entropy, random};

/// Where a secret belongs. `row` is the whole key of its row, so that no two secrets share a place.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub table: &'a str,
    pub row: &'a [u8],
    pub field: &'a str,
}

/// A secret at rest. Both parts are a nonce of 12 bytes, the ciphertext, and a tag of 16 bytes.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sealed {
    key_version: KeyVersion,
    wrapped_key: Vec<u8>,
    ciphertext: Vec<u8>,
}

/// Why a sealed secret did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// It was sealed under a master key that this vault does not hold.
    OtherKey { sealed_under: KeyVersion },
    /// It was changed, or it was moved here from another place.
    NotFromHere,
}

/// Seals and opens secrets. Holds the current master key and, while keys are being changed, the one before.
pub struct Vault {
    current: WrappingKey,
    previous: Option<WrappingKey>,
}

struct WrappingKey {
    version: KeyVersion,
    key: LessSafeKey,
}

/// What the known-answer record says, and where it belongs: whoever holds the right key can open it.
const KNOWN_ANSWER: &[u8] = b"this is the right master key";
const KNOWN_ANSWER_PLACE: Place<'static> = Place { table: "meta", row: b"master_key", field: "known_answer" };

impl Vault {
    pub fn new(master: &MasterKey) -> Self {
        Self { current: WrappingKey::new(master), previous: None }
    }

    /// A vault in the middle of a change of keys: it opens both, and seals under `current`.
    pub fn changing(current: &MasterKey, previous: &MasterKey) -> Self {
        Self { current: WrappingKey::new(current), previous: Some(WrappingKey::new(previous)) }
    }

    pub fn version(&self) -> KeyVersion {
        self.current.version
    }

    pub fn seal(&self, place: &Place<'_>, plaintext: &[u8], entropy: &dyn Entropy) -> Sealed {
        let data_key = Zeroizing::new(random::<KEY_BYTES>(entropy));
        let ciphertext = encrypt(&aes(&data_key), &place.data_aad(), plaintext, random(entropy));
        self.wrap(place, &data_key, ciphertext, entropy)
    }

    pub fn open(&self, place: &Place<'_>, sealed: &Sealed) -> Result<Secret, OpenError> {
        let data_key = self.unwrap_key(place, sealed)?;
        decrypt(&aes(&data_key), &place.data_aad(), &sealed.ciphertext).map(Secret::new)
    }

    /// The same secret under the current master key; `None` when it already is. Doing it twice does it once.
    pub fn rewrap(
        &self,
        place: &Place<'_>,
        sealed: &Sealed,
        entropy: &dyn Entropy,
    ) -> Result<Option<Sealed>, OpenError> {
        if sealed.key_version == self.current.version {
            return Ok(None);
        }
        let data_key = self.unwrap_key(place, sealed)?;
        Ok(Some(self.wrap(place, &data_key, sealed.ciphertext.clone(), entropy)))
    }

    /// A record to store beside the data, so that a wrong master key is noticed at start and not at the first payment.
    pub fn known_answer(&self, entropy: &dyn Entropy) -> Sealed {
        self.seal(&KNOWN_ANSWER_PLACE, KNOWN_ANSWER, entropy)
    }

    /// Whether this vault holds the key that the stored known-answer record was made with.
    pub fn check(&self, known_answer: &Sealed) -> Result<(), OpenError> {
        let answer = self.open(&KNOWN_ANSWER_PLACE, known_answer)?;
        if answer.expose() == KNOWN_ANSWER { Ok(()) } else { Err(OpenError::NotFromHere) }
    }

    fn wrap(
        &self,
        place: &Place<'_>,
        data_key: &[u8; KEY_BYTES],
        ciphertext: Vec<u8>,
        entropy: &dyn Entropy,
    ) -> Sealed {
        let key_version = self.current.version;
        let wrapped_key = encrypt(&self.current.key, &place.wrap_aad(key_version), data_key, random(entropy));
        Sealed { key_version, wrapped_key, ciphertext }
    }

    fn unwrap_key(&self, place: &Place<'_>, sealed: &Sealed) -> Result<Zeroizing<[u8; KEY_BYTES]>, OpenError> {
        let wrapping = std::iter::once(&self.current)
            .chain(&self.previous)
            .find(|key| key.version == sealed.key_version)
            .ok_or(OpenError::OtherKey { sealed_under: sealed.key_version })?;
        let bytes = decrypt(&wrapping.key, &place.wrap_aad(sealed.key_version), &sealed.wrapped_key)?;
        let bytes = Zeroizing::new(bytes);
        let key = <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map_err(|_| OpenError::NotFromHere)?;
        Ok(Zeroizing::new(key))
    }
}

impl Sealed {
    /// The master key it is wrapped under.
    pub fn key_version(&self) -> KeyVersion {
        self.key_version
    }
}

impl Place<'_> {
    fn data_aad(&self) -> Vec<u8> {
        self.aad(b"coffer data 1")
    }

    fn wrap_aad(&self, version: KeyVersion) -> Vec<u8> {
        let mut aad = self.aad(b"coffer key 1");
        aad.extend_from_slice(&version.to_bytes());
        aad
    }

    /// Every part with its length in front, so that no two places read the same.
    fn aad(&self, purpose: &[u8]) -> Vec<u8> {
        let mut aad = Vec::new();
        for part in [purpose, self.table.as_bytes(), self.row, self.field.as_bytes()] {
            aad.extend_from_slice(&(part.len() as u64).to_be_bytes());
            aad.extend_from_slice(part);
        }
        aad
    }
}

impl WrappingKey {
    fn new(master: &MasterKey) -> Self {
        Self { version: master.version(), key: aes(master.expose()) }
    }
}

fn aes(key: &[u8; KEY_BYTES]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("the key has the cipher's length"))
}

fn encrypt(key: &LessSafeKey, aad: &[u8], plaintext: &[u8], nonce: [u8; NONCE_LEN]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(NONCE_LEN + plaintext.len() + AES_256_GCM.tag_len());
    bytes.extend_from_slice(&nonce);
    bytes.extend_from_slice(plaintext);
    let tag = key
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            bytes.get_mut(NONCE_LEN..).expect("the nonce was put in front"),
        )
        .expect("a secret is far shorter than the cipher's limit of 64 GB");
    bytes.extend_from_slice(tag.as_ref());
    bytes
}

fn decrypt(key: &LessSafeKey, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    let (nonce, body) = sealed.split_at_checked(NONCE_LEN).ok_or(OpenError::NotFromHere)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError::NotFromHere)?;
    let mut body = Zeroizing::new(body.to_vec());
    let plaintext = key.open_in_place(nonce, Aad::from(aad), &mut body).map_err(|_| OpenError::NotFromHere)?;
    Ok(plaintext.to_vec())
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(…)")
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(…)")
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::OtherKey { sealed_under } => {
                write!(f, "the secret was sealed under another master key, the one with fingerprint {sealed_under}")
            }
            OpenError::NotFromHere => f.write_str("the secret was changed, or it was moved here from another place"),
        }
    }
}

impl std::error::Error for OpenError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::SystemEntropy;

    const HERE: Place<'static> = Place { table: "webhook_endpoints", row: b"merchant A", field: "secret" };

    fn key(byte: u8) -> MasterKey {
        MasterKey::from_bytes([byte; KEY_BYTES])
    }

    #[test]
    fn what_was_sealed_opens_in_its_place() {
        let vault = Vault::new(&key(1));
        let sealed = vault.seal(&HERE, b"whsec_canary", &SystemEntropy);
        assert_eq!(vault.open(&HERE, &sealed), Ok(Secret::new("whsec_canary")));
    }

    #[test]
    fn a_ciphertext_moved_to_another_row_field_or_table_does_not_open() {
        let vault = Vault::new(&key(1));
        let sealed = vault.seal(&HERE, b"whsec_canary", &SystemEntropy);
        for elsewhere in [
            Place { row: b"merchant B", ..HERE },
            Place { field: "previous_secret", ..HERE },
            Place { table: "api_keys", ..HERE },
            Place { table: "webhook_endpointsm", row: b"erchant A", ..HERE },
        ] {
            assert_eq!(vault.open(&elsewhere, &sealed), Err(OpenError::NotFromHere));
        }
    }

    #[test]
    fn halves_of_two_secrets_do_not_make_a_third() {
        let vault = Vault::new(&key(1));
        let one = vault.seal(&HERE, b"one", &SystemEntropy);
        let two = vault.seal(&HERE, b"two", &SystemEntropy);
        let mixed = Sealed { ciphertext: two.ciphertext, ..one };
        assert_eq!(vault.open(&HERE, &mixed), Err(OpenError::NotFromHere));
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let vault = Vault::new(&key(1));
        let sealed = vault.seal(&HERE, b"whsec", &SystemEntropy);
        for i in 0..sealed.ciphertext.len() {
            let mut changed = sealed.clone();
            changed.ciphertext[i] ^= 1;
            assert_eq!(vault.open(&HERE, &changed), Err(OpenError::NotFromHere));
            changed.ciphertext.truncate(i);
            assert_eq!(vault.open(&HERE, &changed), Err(OpenError::NotFromHere));
        }
        for i in 0..sealed.wrapped_key.len() {
            let mut changed = sealed.clone();
            changed.wrapped_key[i] ^= 1;
            assert_eq!(vault.open(&HERE, &changed), Err(OpenError::NotFromHere));
            changed.wrapped_key.truncate(i);
            assert_eq!(vault.open(&HERE, &changed), Err(OpenError::NotFromHere));
        }
    }

    #[test]
    fn the_same_secret_never_looks_the_same() {
        let vault = Vault::new(&key(1));
        assert_ne!(vault.seal(&HERE, b"x", &SystemEntropy), vault.seal(&HERE, b"x", &SystemEntropy));
    }

    #[test]
    fn a_wrong_key_is_recognised_by_the_known_answer() {
        let record = Vault::new(&key(1)).known_answer(&SystemEntropy);
        assert_eq!(Vault::new(&key(1)).check(&record), Ok(()));
        let other = Vault::new(&key(2)).check(&record);
        assert_eq!(other, Err(OpenError::OtherKey { sealed_under: key(1).version() }));
    }

    #[test]
    fn a_change_of_keys_can_be_stopped_and_resumed() {
        let before = Vault::new(&key(1)).seal(&HERE, b"kept", &SystemEntropy);
        let changing = Vault::changing(&key(2), &key(1));
        let after = changing.rewrap(&HERE, &before, &SystemEntropy).unwrap().unwrap();
        assert_eq!(changing.rewrap(&HERE, &after, &SystemEntropy), Ok(None));
        let new = Vault::new(&key(2));
        assert_eq!(new.open(&HERE, &after), Ok(Secret::new("kept")));
        assert!(matches!(new.open(&HERE, &before), Err(OpenError::OtherKey { .. })));
        assert_eq!(
            changing.rewrap(&Place { row: b"merchant B", ..HERE }, &before, &SystemEntropy),
            Err(OpenError::NotFromHere)
        );
    }

    #[test]
    fn nothing_sealed_is_printed() {
        let vault = Vault::new(&key(1));
        let sealed = vault.seal(&HERE, b"whsec_canary", &SystemEntropy);
        assert_eq!(format!("{sealed:?} {vault:?}"), "Sealed(…) Vault(…)");
    }
}
