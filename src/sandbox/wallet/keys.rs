//! The provider's keys: its own for signing, and one per merchant. All rest sealed.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use data_encoding::{BASE64, HEXLOWER};
use ring::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

use super::records::WalletMerchant;
use crate::channels::test_wallet::Credentials;
use crate::channels::test_wallet::sign::HMAC_KEY_MIN_BYTES;
use crate::crypto::{Place, Sealed, Secret, Vault};
use crate::env::Env;
use crate::flows::gateway::GatewayError;
use crate::store::tables::{WALLET_MERCHANTS, WALLET_PROVIDER};
use crate::store::{Read, Store, StoreError, WriteTx};

/// Ed25519 seeds have this many bytes. Source: RFC 8032, 5.1.5.
const SEED_BYTES: usize = 32;

const PROVIDER_PLACE: Place<'static> = Place { table: WALLET_PROVIDER.name(), row: &[0], field: "seed" };

/// A merchant as the provider needs it for a call.
pub(super) struct Account {
    /// Shown to payers.
    pub name: String,
    pub app_id: String,
    pub hmac_key: Secret,
}

pub(super) struct Keys {
    vault: Arc<Vault>,
    provider: Ed25519KeyPair,
    /// Signs what is forged on purpose.
    forger: Ed25519KeyPair,
    /// Opened once; merchants never change.
    accounts: RwLock<BTreeMap<String, Arc<Account>>>,
}

/// A merchant that is about to exist.
#[derive(Clone)]
pub struct Enrolment {
    record: WalletMerchant,
    credentials: Credentials,
}

impl Enrolment {
    /// What the merchant's channel account seals.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    pub fn store(&self, tx: &mut WriteTx<'_>) -> Result<(), StoreError> {
        tx.put(&WALLET_MERCHANTS, &self.credentials.mch_id, &self.record)
    }
}

/// Makes a merchant where no provider runs, as a command does that sets up a data folder. Blocks.
pub fn enrol(store: &Store, env: &Env, vault: Arc<Vault>, name: &str) -> Result<Enrolment, GatewayError> {
    Keys::open(store, env, vault).map(|keys| keys.enrol(env, name))
}

impl Keys {
    pub fn open(store: &Store, env: &Env, vault: Arc<Vault>) -> Result<Self, GatewayError> {
        let seed = Zeroizing::new(env.random::<SEED_BYTES>());
        let fresh = vault.seal(&PROVIDER_PLACE, seed.as_slice(), env.entropy.as_ref());
        let sealed: Sealed = store.write_blocking(move |tx| {
            Ok::<_, StoreError>(match tx.get(&WALLET_PROVIDER, &0)? {
                Some(known) => known,
                None => {
                    tx.put(&WALLET_PROVIDER, &0, &fresh)?;
                    fresh.clone()
                }
            })
        })?;
        let seed = vault.open(&PROVIDER_PLACE, &sealed).map_err(GatewayError::Key)?;
        Ok(Self {
            vault,
            provider: pair(seed.expose()),
            forger: pair(Zeroizing::new(env.random::<SEED_BYTES>()).as_slice()),
            accounts: RwLock::default(),
        })
    }

    pub fn signer(&self, forged: bool) -> &Ed25519KeyPair {
        if forged { &self.forger } else { &self.provider }
    }

    pub fn enrol(&self, env: &Env, name: &str) -> Enrolment {
        let digits = u64::from_be_bytes(env.random()) % 10u64.pow(14);
        let mch_id = format!("16{digits:014}");
        let app_id = format!("wx{}", HEXLOWER.encode(&env.random::<8>()));
        let key = Zeroizing::new(env.random::<HMAC_KEY_MIN_BYTES>());
        let record = WalletMerchant {
            name: name.to_owned(),
            app_id: app_id.clone(),
            hmac_key: self.vault.seal(&merchant_place(&mch_id), key.as_slice(), env.entropy.as_ref()),
            created_at: env.now(),
        };
        let credentials = Credentials {
            mch_id,
            app_id,
            hmac_key: BASE64.encode(key.as_slice()),
            provider_public_key: BASE64.encode(self.provider.public_key().as_ref()),
        };
        Enrolment { record, credentials }
    }

    /// The merchant with this number. One whose key does not open is as unknown as one that never was.
    pub async fn account(&self, store: &Store, mch_id: &str) -> Result<Option<Arc<Account>>, StoreError> {
        if let Some(known) = self.accounts.read().unwrap_or_else(PoisonError::into_inner).get(mch_id) {
            return Ok(Some(known.clone()));
        }
        let number = mch_id.to_owned();
        let Some(record) = store.read(move |tx| tx.get(&WALLET_MERCHANTS, &number)).await? else { return Ok(None) };
        let hmac_key = match self.vault.open(&merchant_place(mch_id), &record.hmac_key) {
            Ok(key) => key,
            Err(why) => {
                tracing::error!(mch_id, "a test wallet merchant cannot be used: {why}");
                return Ok(None);
            }
        };
        let account = Arc::new(Account { name: record.name, app_id: record.app_id, hmac_key });
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        accounts.insert(mch_id.to_owned(), account.clone());
        Ok(Some(account))
    }
}

/// Where a merchant's key is sealed to.
pub fn merchant_place(mch_id: &str) -> Place<'_> {
    Place { table: WALLET_MERCHANTS.name(), row: mch_id.as_bytes(), field: "hmac_key" }
}

fn pair(seed: &[u8]) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed).expect("the seed has the length of one")
}
