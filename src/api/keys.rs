//! API keys: how they are made, and the directory in memory that requests are checked against.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use data_encoding::{BASE32_NOPAD, BASE64};
use ipnet::IpNet;
use ring::digest::{SHA256, digest};

use super::rate::Bucket;
use super::signature::{BadKey, SignatureKey, VerifyingKey};
use crate::crypto::{Place, Secret, Vault};
use crate::domain::ids::{KeyId, Mode, Scope};
use crate::domain::key::{ApiKey, KeySecret, Permission};
use crate::domain::time::Timestamp;
use crate::env::{Env, random};
use crate::store::tables::KEYS;
use crate::store::{Key, Read, Signal, Span, Store, StoreError, WriteTx};

/// Random bytes of a bearer token: 40 characters.
const TOKEN_BYTES: usize = 25;
/// Random bytes of a shared secret.
const SHARED_SECRET_BYTES: usize = 32;
/// Characters of a token that are kept to recognise it.
const TAIL_CHARS: usize = 4;
/// Where a shared secret is sealed to.
const SECRET_FIELD: &str = "secret";

/// What a new key is to be.
#[derive(Clone, Debug)]
pub struct NewKey {
    pub scope: Scope,
    pub name: String,
    pub permissions: BTreeSet<Permission>,
    /// Addresses or networks; empty means any.
    pub allowed_ips: Vec<String>,
    pub expires_at: Option<Timestamp>,
    pub kind: NewKeyKind,
}

/// How requests made with the key prove themselves.
#[derive(Clone, Debug)]
pub enum NewKeyKind {
    Bearer,
    Hmac,
    /// The public key, 32 bytes.
    Ed25519(Vec<u8>),
    /// The public key, PKCS#1 DER.
    Rsa(Vec<u8>),
}

/// A new key, and what its owner must be told now or never: the token, or the shared secret as base64.
pub struct IssuedKey {
    pub key: ApiKey,
    pub secret: Option<Secret>,
}

/// Makes a key. It counts once its record is stored by [`store_key`].
pub fn issue(new: NewKey, env: &Env, vault: &Vault) -> Result<IssuedKey, BadKey> {
    let id = KeyId::new(env.now(), env.random());
    let (secret, shown) = match new.kind {
        NewKeyKind::Bearer => {
            let token = new_token(new.scope.mode, env);
            let tail = token[token.len() - TAIL_CHARS..].to_owned();
            (KeySecret::Bearer { hash: token_hash(&token), tail }, Some(Secret::new(token)))
        }
        NewKeyKind::Hmac => {
            let bytes: [u8; SHARED_SECRET_BYTES] = random(env.entropy.as_ref());
            let row = secret_row(new.scope, id);
            let sealed = vault.seal(&secret_place(&row), &bytes, env.entropy.as_ref());
            (KeySecret::Hmac { secret: sealed }, Some(Secret::new(BASE64.encode(&bytes))))
        }
        NewKeyKind::Ed25519(public) => {
            VerifyingKey::ed25519(&public)?;
            (KeySecret::Ed25519 { public }, None)
        }
        NewKeyKind::Rsa(public) => {
            VerifyingKey::rsa_v1_5_sha256(&public)?;
            (KeySecret::Rsa { public }, None)
        }
    };
    let key = ApiKey {
        id,
        scope: new.scope,
        name: new.name,
        secret,
        permissions: new.permissions,
        allowed_ips: new.allowed_ips,
        created_at: env.now(),
        expires_at: new.expires_at,
        revoked_at: None,
    };
    Ok(IssuedKey { key, secret: shown })
}

/// Stores a new or changed key; the directory knows it before the write is answered.
pub fn store_key(tx: &mut WriteTx<'_>, key: &ApiKey) -> Result<(), StoreError> {
    tx.put(&KEYS, &(key.scope, key.id), key)?;
    tx.signal(Signal::KeysChanged);
    Ok(())
}

/// `sk_test_` or `sk_live_` and 200 random bits.
fn new_token(mode: Mode, env: &Env) -> String {
    let random = BASE32_NOPAD.encode(&env.random::<TOKEN_BYTES>()).to_ascii_lowercase();
    format!("sk_{}_{random}", mode.as_str())
}

fn token_hash(token: &str) -> [u8; 32] {
    digest(&SHA256, token.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn secret_row(scope: Scope, id: KeyId) -> Vec<u8> {
    let mut row = Vec::with_capacity(33);
    (scope, id).encode(&mut row);
    row
}

fn secret_place(row: &[u8]) -> Place<'_> {
    Place { table: KEYS.name(), row, field: SECRET_FIELD }
}

/// A key as requests meet it.
pub struct Credential {
    pub id: KeyId,
    pub scope: Scope,
    pub name: String,
    pub permissions: BTreeSet<Permission>,
    pub expires_at: Option<Timestamp>,
    /// Counts its requests; outlives reloading.
    pub bucket: Arc<Bucket>,
    allowed: Allowed,
    verifying: Option<VerifyingKey>,
}

enum Allowed {
    Anywhere,
    /// An entry that cannot be read allows nobody.
    Networks(Vec<IpNet>),
}

impl Credential {
    pub fn allows_address(&self, client: IpAddr) -> bool {
        match &self.allowed {
            Allowed::Anywhere => true,
            Allowed::Networks(networks) => networks.iter().any(|network| network.contains(&client.to_canonical())),
        }
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

impl SignatureKey for Credential {
    fn verifying_key(&self) -> Option<&VerifyingKey> {
        self.verifying.as_ref()
    }
}

/// Reads `192.0.2.1` or `192.0.2.0/24`.
pub fn parse_network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical())))
}

/// Every key that is not revoked, ready for use.
#[derive(Default)]
pub struct KeyDirectory {
    keys: RwLock<Keys>,
}

#[derive(Default)]
struct Keys {
    by_token: HashMap<[u8; 32], Arc<Credential>>,
    by_id: HashMap<KeyId, Arc<Credential>>,
}

impl KeyDirectory {
    /// Loads all keys and goes on doing so after every commit that changed one, before that commit is answered: a revoked
    /// key is refused from the moment its revocation is confirmed.
    pub fn open(store: &Store, vault: Arc<Vault>) -> Result<Arc<Self>, StoreError> {
        let directory = Arc::new(Self::default());
        directory.load(store, &vault)?;
        let (listener, source) = (directory.clone(), store.clone());
        store.on_commit(move |signals| {
            if signals.contains(&Signal::KeysChanged)
                && let Err(error) = listener.load(&source, &vault)
            {
                // Old keys might be revoked ones.
                tracing::error!(%error, "keys could not be read again; none is accepted");
                *listener.keys.write().unwrap_or_else(PoisonError::into_inner) = Keys::default();
            }
        });
        Ok(directory)
    }

    fn load(&self, store: &Store, vault: &Vault) -> Result<(), StoreError> {
        let mut loaded = Keys::default();
        store.read_blocking(|tx| {
            tx.walk(&KEYS, &Span::all(), |_, key| {
                if key.revoked_at.is_none() {
                    self.add(&mut loaded, key, vault);
                }
                Ok::<_, StoreError>(std::ops::ControlFlow::Continue(()))
            })
        })?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }

    fn add(&self, loaded: &mut Keys, key: ApiKey, vault: &Vault) {
        let (token, verifying) = match &key.secret {
            KeySecret::Bearer { hash, .. } => (Some(*hash), None),
            KeySecret::Hmac { secret } => {
                let row = secret_row(key.scope, key.id);
                let opened = vault.open(&secret_place(&row), secret).map_err(|error| error.to_string());
                (None, Some(opened.and_then(|s| VerifyingKey::hmac_sha256(s.expose()).map_err(|e| e.to_string()))))
            }
            KeySecret::Ed25519 { public } => (None, Some(VerifyingKey::ed25519(public).map_err(|e| e.to_string()))),
            KeySecret::Rsa { public } => (None, Some(VerifyingKey::rsa_v1_5_sha256(public).map_err(|e| e.to_string()))),
        };
        let verifying = match verifying.transpose() {
            Ok(verifying) => verifying,
            Err(error) => {
                tracing::error!(key = %key.id, error, "an API key cannot be used and is left out");
                return;
            }
        };
        let allowed = if key.allowed_ips.is_empty() {
            Allowed::Anywhere
        } else {
            Allowed::Networks(key.allowed_ips.iter().filter_map(|text| parse_network(text)).collect())
        };
        let credential = Arc::new(Credential {
            id: key.id,
            scope: key.scope,
            name: key.name,
            permissions: key.permissions,
            expires_at: key.expires_at,
            bucket: self.by_id(key.id).map_or_else(Arc::default, |known| known.bucket.clone()),
            allowed,
            verifying,
        });
        if let Some(hash) = token {
            loaded.by_token.insert(hash, credential.clone());
        }
        loaded.by_id.insert(key.id, credential);
    }

    /// The key of a bearer token. Looked up by hash, so the time it takes tells nothing about other tokens.
    pub fn by_token(&self, token: &str) -> Option<Arc<Credential>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.by_token.get(&token_hash(token)).cloned()
    }

    pub fn by_id(&self, id: KeyId) -> Option<Arc<Credential>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).by_id.get(&id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::MasterKey;
    use crate::domain::ids::MerchantId;
    use crate::store::StoreOptions;

    const SCOPE: Scope = Scope { merchant: MerchantId::from_bytes([1; 16]), mode: Mode::Live };

    fn new_key(kind: NewKeyKind, allowed_ips: &[&str]) -> NewKey {
        NewKey {
            scope: SCOPE,
            name: "shop".into(),
            permissions: BTreeSet::from([Permission::Read]),
            allowed_ips: allowed_ips.iter().map(|ip| (*ip).to_owned()).collect(),
            expires_at: None,
            kind,
        }
    }

    fn house() -> (Store, Env, Arc<Vault>, Arc<KeyDirectory>) {
        let store = Store::open_memory(StoreOptions::default()).unwrap();
        let vault = Arc::new(Vault::new(&MasterKey::from_bytes([7; 32])));
        let directory = KeyDirectory::open(&store, vault.clone()).unwrap();
        (store, Env::system(), vault, directory)
    }

    fn save(store: &Store, key: &ApiKey) {
        let key = key.clone();
        store.write_blocking(move |tx| store_key(tx, &key)).unwrap();
    }

    #[test]
    fn a_token_is_known_from_its_commit_until_its_revocation() {
        let (store, env, vault, directory) = house();
        let issued = issue(new_key(NewKeyKind::Bearer, &[]), &env, &vault).unwrap();
        let secret = issued.secret.unwrap();
        let token = secret.expose_str().unwrap();
        assert!(token.starts_with("sk_live_") && token.len() == 8 + 40, "{token}");
        assert!(directory.by_token(token).is_none());
        save(&store, &issued.key);
        let bucket = directory.by_token(token).unwrap().bucket.clone();
        assert!(directory.by_token(&token[..token.len() - 1]).is_none());

        let stored = format!("{:?}", issued.key);
        assert!(!stored.contains(token), "only its hash is kept");

        let other = issue(new_key(NewKeyKind::Bearer, &[]), &env, &vault).unwrap();
        save(&store, &other.key);
        let again = directory.by_token(token).unwrap();
        assert!(Arc::ptr_eq(&bucket, &again.bucket), "changing another key does not refill this one's bucket");

        save(&store, &ApiKey { revoked_at: Some(env.now()), ..issued.key });
        assert!(directory.by_token(token).is_none());
    }

    #[test]
    fn a_shared_secret_is_sealed_to_its_row() {
        let (store, env, vault, directory) = house();
        let issued = issue(new_key(NewKeyKind::Hmac, &[]), &env, &vault).unwrap();
        let id = issued.key.id;
        save(&store, &issued.key);
        assert!(directory.by_id(id).unwrap().verifying_key().is_some());
        // The same ciphertext under another id does not open, so that key is not usable.
        let moved = KeyId::new(env.now(), [9; 10]);
        save(&store, &ApiKey { id: moved, ..issued.key });
        assert!(directory.by_id(moved).is_none());
    }

    #[test]
    fn public_keys_are_checked_when_they_are_entered() {
        let (_, env, vault, _) = house();
        assert!(issue(new_key(NewKeyKind::Ed25519(vec![1; 31]), &[]), &env, &vault).is_err());
        assert!(issue(new_key(NewKeyKind::Rsa(b"nonsense".to_vec()), &[]), &env, &vault).is_err());
    }

    #[test]
    fn an_allow_list_holds_addresses_and_networks_and_fails_closed() {
        let (store, env, vault, directory) = house();
        let allows = |list: &[&str], client: &str| {
            let issued = issue(new_key(NewKeyKind::Bearer, list), &env, &vault).unwrap();
            save(&store, &issued.key);
            directory.by_id(issued.key.id).unwrap().allows_address(client.parse().unwrap())
        };
        assert!(allows(&[], "203.0.113.9"));
        assert!(allows(&["198.51.100.0/24", "203.0.113.9"], "203.0.113.9"));
        assert!(allows(&["203.0.113.9"], "::ffff:203.0.113.9"));
        assert!(allows(&["2001:db8::/32"], "2001:db8::1"));
        assert!(!allows(&["203.0.113.9"], "203.0.113.10"));
        assert!(!allows(&["nonsense"], "203.0.113.9"));
    }
}
