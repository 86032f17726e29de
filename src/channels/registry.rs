//! The channel accounts in use, opened: credentials decrypted once, adapters ready. One line per provider.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Channel, ChannelError, MethodTerms, test_wallet, wechatpay};
use crate::crypto::{Place, Vault};
use crate::domain::ids::{AccountId, Mode, Scope};
use crate::domain::merchant::{ChannelAccount, ChannelKind};
use crate::domain::method::Method;
use crate::domain::money::Money;
use crate::store::tables::ACCOUNTS;
use crate::store::{Key, Read, Span, Store, StoreError};

/// The registry's only list: which adapter speaks for which kind.
///
/// `base_url` is the account's own address of the provider, if it has one; `own_url` is this server, which simulates the
/// providers in test mode.
fn open(
    kind: ChannelKind,
    mode: Mode,
    credentials: &[u8],
    base_url: Option<&str>,
    own_url: &str,
) -> Result<Arc<dyn Channel>, ChannelError> {
    match (kind, mode) {
        (ChannelKind::TestWallet, Mode::Test) => test_wallet::open(credentials, base_url.unwrap_or(own_url)),
        // Play money never pays a live order, whatever is stored.
        (ChannelKind::TestWallet, Mode::Live) => Err(ChannelError::Unsupported),
        (ChannelKind::WechatPay, Mode::Test) => {
            let simulator = format!("{own_url}{}", wechatpay::SIMULATOR_PATH);
            wechatpay::open(credentials, base_url.unwrap_or(&simulator))
        }
        (ChannelKind::WechatPay, Mode::Live) => wechatpay::open(credentials, base_url.unwrap_or(wechatpay::HOST)),
    }
}

/// An account with its adapter.
pub struct OpenAccount {
    pub account: ChannelAccount,
    pub channel: Arc<dyn Channel>,
}

/// Where an account's credentials are sealed to: a ciphertext moved to another row does not open.
pub fn credentials_row(scope: Scope, id: AccountId) -> Vec<u8> {
    let mut row = Vec::with_capacity(33);
    (scope, id).encode(&mut row);
    row
}

pub const CREDENTIALS_FIELD: &str = "credentials";

#[derive(Default)]
pub struct Registry {
    accounts: RwLock<BTreeMap<AccountId, Arc<OpenAccount>>>,
}

impl Registry {
    /// Reads and opens all accounts; called at start and after accounts changed. `own_url` is where this server itself
    /// can be reached, for accounts of the simulated provider. One that cannot be opened is left out and named.
    pub fn load(
        &self,
        store: &Store,
        vault: &Vault,
        own_url: &str,
    ) -> Result<Vec<(AccountId, ChannelError)>, StoreError> {
        let mut accounts = BTreeMap::new();
        let mut failed = Vec::new();
        store.read_blocking(|tx| {
            tx.walk(&ACCOUNTS, &Span::all(), |(scope, id), account| {
                let row = credentials_row(scope, id);
                let place = Place { table: ACCOUNTS.name(), row: &row, field: CREDENTIALS_FIELD };
                let opened = vault
                    .open(&place, &account.credentials)
                    .map_err(|why| ChannelError::Credentials { detail: why.to_string() })
                    .and_then(|secret| {
                        open(account.kind, scope.mode, secret.expose(), account.base_url.as_deref(), own_url)
                    });
                match opened {
                    Ok(channel) => {
                        accounts.insert(id, Arc::new(OpenAccount { account, channel }));
                    }
                    Err(why) => failed.push((id, why)),
                }
                Ok::<_, StoreError>(std::ops::ControlFlow::Continue(()))
            })
        })?;
        *self.accounts.write().unwrap_or_else(PoisonError::into_inner) = accounts;
        Ok(failed)
    }

    pub fn get(&self, id: AccountId) -> Option<Arc<OpenAccount>> {
        self.accounts.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// All accounts of a merchant and mode.
    pub fn of(&self, scope: Scope) -> Vec<Arc<OpenAccount>> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        accounts.values().filter(|open| open.account.scope == scope).cloned().collect()
    }

    /// The oldest active account that takes this amount by this method.
    pub fn choose(&self, scope: Scope, method: Method, amount: Money) -> Option<AccountId> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        accounts
            .values()
            .find(|open| {
                open.account.scope == scope && open.account.active && terms_for(open, method, Some(amount)).is_some()
            })
            .map(|open| open.account.id)
    }

    /// Methods that can be paid with now, each once; with an amount only those that take it.
    pub fn offers(&self, scope: Scope, amount: Option<Money>) -> Vec<MethodTerms> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        let mut offers: Vec<MethodTerms> = Vec::new();
        for open in accounts.values().filter(|open| open.account.scope == scope && open.account.active) {
            for terms in &open.channel.terms().methods {
                let known = offers.iter().any(|offer| offer.method == terms.method);
                if !known && terms_for(open, terms.method, amount).is_some() {
                    offers.push(*terms);
                }
            }
        }
        offers.sort_by_key(|offer| offer.method);
        offers
    }
}

fn terms_for(open: &OpenAccount, method: Method, amount: Option<Money>) -> Option<MethodTerms> {
    let terms = open.channel.terms();
    let fits = |m: &&MethodTerms| {
        m.method == method
            && amount.is_none_or(|amount| {
                terms.currencies.contains(&amount.currency()) && (m.min_minor..=m.max_minor).contains(&amount.minor())
            })
    };
    terms.methods.iter().find(fits).copied()
}
