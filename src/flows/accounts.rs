//! Channel accounts: added, changed, given new credentials, and kept up to date.
//!
//! An account is never deleted: its old orders are asked about, refunded and verified with it for ever.

use super::FlowError;
use super::effect::{Effect, Lane, schedule, unschedule};
use super::gateway::Gateway;
use crate::channels::hurry::NamedBy;
use crate::channels::registry::{CREDENTIALS_FIELD, credentials_row};
use crate::channels::{ChannelError, Sealing};
use crate::crypto::{Place, Sealed, Secret, Vault};
use crate::domain::ids::{AccountId, Mode, Scope};
use crate::domain::merchant::{ChannelAccount, ChannelKind, Share};
use crate::domain::time::{Duration, Timestamp};
use crate::env::Env;
use crate::env::target::TargetPolicy;
use crate::env::transport::Limits;
use crate::lang::Lang;
use crate::store::tables::{ACCOUNT_SCOPES, ACCOUNTS};
use crate::store::{Read, StoreError, WriteTx};

/// How often renewed keys are looked for. Source: WeChat Pay asks for at least every 12 hours.
pub const UPKEEP_EVERY: Duration = Duration::from_hours(12);
/// After a failure or a change, and when an unknown key was named more often than `channels::hurry` allows.
pub const UPKEEP_AGAIN: Duration = Duration::from_minutes(10);
/// Characters of an account's name.
pub const LABEL_CHARS_MAX: usize = 40;
/// Accounts of one merchant and mode.
pub const ACCOUNTS_MAX: usize = 50;

/// What a person decides about an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub label: String,
    pub active: bool,
    pub share: Share,
}

/// Seals credentials to the account's row.
pub fn seal(gateway: &Gateway, scope: Scope, id: AccountId, credentials: &Secret) -> Sealed {
    seal_under(&gateway.vault, &gateway.env, scope, id, credentials)
}

/// The same where no gateway runs, as in a folder that is being set up.
pub fn seal_under(vault: &Vault, env: &Env, scope: Scope, id: AccountId, credentials: &Secret) -> Sealed {
    let row = credentials_row(scope, id);
    let place = Place { table: ACCOUNTS.name(), row: &row, field: CREDENTIALS_FIELD };
    vault.seal(&place, credentials.expose(), env.entropy.as_ref())
}

/// Stores a new account. The registry has to be reloaded afterwards.
pub fn add(
    tx: &mut WriteTx<'_>,
    (scope, id): (Scope, AccountId),
    kind: ChannelKind,
    terms: &Terms,
    credentials: Sealed,
    now: Timestamp,
) -> Result<(), StoreError> {
    let account = ChannelAccount {
        id,
        scope,
        kind,
        label: terms.label.clone(),
        base_url: None,
        credentials,
        active: terms.active,
        share: terms.share,
        created_at: now,
        upkeep_at: None,
        upkept_at: None,
    };
    tx.put(&ACCOUNTS, &(scope, id), &account)?;
    tx.put(&ACCOUNT_SCOPES, &id, &scope)
}

/// Changes what a person decides, and with `credentials` also the keys; `false` when there is no such account. The registry
/// has to be reloaded afterwards.
pub fn change(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    id: AccountId,
    terms: &Terms,
    credentials: Option<&Sealed>,
) -> Result<bool, StoreError> {
    let Some(mut account) = tx.get(&ACCOUNTS, &(scope, id))? else { return Ok(false) };
    account.label.clone_from(&terms.label);
    account.active = terms.active;
    account.share = terms.share;
    if let Some(credentials) = credentials {
        account.credentials = credentials.clone();
    }
    tx.put(&ACCOUNTS, &(scope, id), &account)?;
    Ok(true)
}

/// Plans the next fetching of an account's keys in place of the one that was planned.
fn plan(tx: &mut WriteTx<'_>, account: &mut ChannelAccount, at: Option<Timestamp>) -> Result<(), StoreError> {
    let effect = Effect::Upkeep(account.scope, account.id);
    let lane = Lane::account(account.id);
    if let Some(old) = account.upkeep_at {
        unschedule(tx, lane, old, effect)?;
    }
    if let Some(at) = at {
        schedule(tx, lane, at, effect)?;
    }
    account.upkeep_at = at;
    tx.put(&ACCOUNTS, &(account.scope, account.id), account)
}

/// Plans the keys' next fetching for accounts that have something to fetch and no plan: at start, and after a change.
/// Blocks.
pub fn plan_upkeep(gateway: &Gateway) -> Result<(), StoreError> {
    let sealing = Sealing { now: gateway.env.now(), nonce: gateway.env.random() };
    let unplanned: Vec<(Scope, AccountId)> = gateway
        .channels
        .all()
        .into_iter()
        .filter(|open| open.account.upkeep_at.is_none() && open.channel.upkeep(&sealing).is_some())
        .map(|open| (open.account.scope, open.account.id))
        .collect();
    if unplanned.is_empty() {
        return Ok(());
    }
    let now = gateway.env.now();
    gateway.store.write_blocking(move |tx| {
        for row in &unplanned {
            if let Some(mut account) = tx.get(&ACCOUNTS, row)?.filter(|account| account.upkeep_at.is_none()) {
                plan(tx, &mut account, Some(now))?;
            }
        }
        Ok::<_, StoreError>(())
    })?;
    gateway.reload_channels()
}

/// A message was signed with a key that is not known here, so the provider may have a new one: fetched at `granted`, or some
/// while after the last time where that was granted too often. Accounts that fetch nothing are left alone.
pub fn hurry_upkeep(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    id: AccountId,
    granted: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(mut account) = tx.get(&ACCOUNTS, &(scope, id))? else { return Ok(()) };
    let Some(planned) = account.upkeep_at else { return Ok(()) };
    let later = || account.upkept_at.map_or(now, |last| last.plus(UPKEEP_AGAIN).max(now));
    let soonest = granted.unwrap_or_else(later);
    if soonest < planned { plan(tx, &mut account, Some(soonest)) } else { Ok(()) }
}

/// Fetches an account's keys and stores what is new, together with the plan for the next time.
pub(super) async fn upkeep(gateway: &Gateway, scope: Scope, id: AccountId, at: Timestamp) -> Result<(), FlowError> {
    let open = gateway.channels.get(id);
    let fetched = match &open {
        Some(open) => {
            let sealing = Sealing { now: gateway.env.now(), nonce: gateway.env.random() };
            match open.channel.upkeep(&sealing) {
                Some(request) => {
                    let policy = gateway.provider_policy(scope.mode);
                    let answer = gateway.transport.send(request, policy, Limits::default()).await;
                    Some(match answer {
                        Ok(answer) => {
                            let read = open.channel.read_upkeep(&answer, gateway.env.now());
                            read.map_err(|why| why.to_string())
                        }
                        Err(error) => Err(error.sentence(Lang::En)),
                    })
                }
                None => None,
            }
        }
        None => None,
    };
    let now = gateway.env.now();
    let (next, done, renewed) = match fetched {
        None => (None, false, None),
        // What is new may show that there is more: Alipay names its new certificate before it can be asked for.
        Some(Ok(Some(renewed))) => {
            let soon = gateway.channels.hurry(id, NamedBy::Answer, now);
            (Some(soon.unwrap_or_else(|| now.plus(UPKEEP_AGAIN))), true, Some(renewed))
        }
        Some(Ok(None)) => (Some(now.plus(UPKEEP_EVERY)), true, None),
        Some(Err(why)) => {
            tracing::warn!(account = %id, "the provider's keys could not be fetched: {why}");
            (Some(now.plus(UPKEEP_AGAIN)), false, None)
        }
    };
    let renewed = renewed.map(|credentials| seal(gateway, scope, id, &credentials));
    let changed = renewed.is_some();
    let before = open.map(|open| open.account.credentials.clone());
    gateway
        .store
        .write(move |tx| {
            let planned = tx.get(&ACCOUNTS, &(scope, id))?.filter(|account| account.upkeep_at == Some(at));
            let Some(mut account) = planned else {
                return unschedule(tx, Lane::account(id), at, Effect::Upkeep(scope, id));
            };
            if done {
                account.upkept_at = Some(now);
            }
            // What was fetched was added to credentials that a person may have replaced meanwhile: then it is fetched again.
            let replaced = before.as_ref().is_some_and(|before| *before != account.credentials);
            match &renewed {
                Some(_) if replaced => return plan(tx, &mut account, Some(now)),
                Some(credentials) => account.credentials = credentials.clone(),
                None => {}
            }
            plan(tx, &mut account, next)
        })
        .await?;
    if changed {
        gateway.reload_channels()?;
    }
    Ok(())
}

impl Gateway {
    /// Does what a message asks for that could not be read, beside not believing it.
    pub async fn note_unread(&self, account: &ChannelAccount, error: &ChannelError, by: NamedBy) {
        match error {
            ChannelError::UnknownKey { .. } => {
                let (scope, id, now) = (account.scope, account.id, self.env.now());
                let granted = self.channels.hurry(id, by, now);
                if let Err(error) = self.store.write(move |tx| hurry_upkeep(tx, scope, id, granted, now)).await {
                    tracing::error!(account = %id, "fetching the provider's keys could not be planned: {error}");
                }
            }
            ChannelError::NotGenuine { .. }
            | ChannelError::Probe
            | ChannelError::Unfit { .. }
            | ChannelError::Malformed { .. }
            | ChannelError::Unsupported
            | ChannelError::Credentials { .. } => {}
        }
    }

    /// Where an account of this mode may reach its provider: the simulators are this machine.
    pub fn provider_policy(&self, mode: Mode) -> &TargetPolicy {
        match mode {
            Mode::Test => &self.settings.sandbox,
            Mode::Live => &self.settings.channels,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{MasterKey, Vault};
    use crate::domain::ids::MerchantId;
    use crate::env::SystemEntropy;
    use crate::store::tables::DUE;
    use crate::store::{Order, Span, Store, StoreOptions};

    const SCOPE: Scope = Scope { merchant: MerchantId::from_bytes([1; 16]), mode: Mode::Live };
    const ID: AccountId = AccountId::from_bytes([2; 16]);
    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    /// An account whose keys were fetched at [`NOW`] and are to be fetched again after [`UPKEEP_EVERY`].
    fn kept() -> Store {
        let store = Store::open_memory(StoreOptions::default()).unwrap();
        let vault = Vault::new(&MasterKey::from_bytes([7; 32]));
        let place = Place { table: ACCOUNTS.name(), row: b"", field: CREDENTIALS_FIELD };
        let sealed = vault.seal(&place, b"", &SystemEntropy);
        let terms = Terms { label: "shop".to_owned(), active: true, share: Share::WHOLE };
        store
            .write_blocking(move |tx| {
                add(tx, (SCOPE, ID), ChannelKind::WechatPay, &terms, sealed.clone(), NOW)?;
                let mut account = tx.get(&ACCOUNTS, &(SCOPE, ID))?.expect("it was just added");
                account.upkept_at = Some(NOW);
                plan(tx, &mut account, Some(NOW.plus(UPKEEP_EVERY)))
            })
            .unwrap();
        store
    }

    fn hurried(store: &Store, granted: Option<Timestamp>, now: Timestamp) -> Vec<Timestamp> {
        store.write_blocking(move |tx| hurry_upkeep(tx, SCOPE, ID, granted, now)).unwrap();
        let due = store.read_blocking(|tx| tx.scan(&DUE, &Span::all(), Order::Ascending, 9)).unwrap();
        due.into_iter().map(|((_, at, _), ())| at).collect()
    }

    #[test]
    fn an_unknown_key_is_fetched_when_that_is_granted_and_otherwise_as_after_a_failure() {
        let store = kept();
        let [second, soon] = [NOW.plus(Duration::from_seconds(1)), NOW.plus(UPKEEP_AGAIN)];
        assert_eq!(hurried(&store, None, second), [soon]);
        assert_eq!(hurried(&store, None, second.plus(Duration::from_seconds(1))), [soon], "a flood plans nothing more");
        assert_eq!(hurried(&store, Some(second), second), [second], "at once, although keys were fetched just now");
        let late = NOW.plus(Duration::from_hours(3));
        assert_eq!(hurried(&kept(), None, late), [late], "the last time is long ago");
    }
}
