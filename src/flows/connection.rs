//! The connection test of a channel account: one question to the provider, and what is remembered of its answer.
//!
//! A new account takes no payments before its first good test, which switches it on: a customer is not the one to find
//! out that a key is wrong. Whoever decides otherwise ticks the box on the account's page. Taking payments at once was the
//! alternative, and a share of them would have failed until somebody looked.

use serde::{Deserialize, Serialize};

use super::gateway::Gateway;
use crate::audit::log::Stamp;
use crate::audit::{Action, Detail};
use crate::channels::probe::{self, Found};
use crate::channels::registry::{self, CREDENTIALS_FIELD, credentials_row};
use crate::channels::{ChannelError, Prepared, Sealing, form};
use crate::crypto::Place;
use crate::domain::ids::{AccountId, AttemptId, Scope};
use crate::domain::merchant::ChannelAccount;
use crate::domain::time::{Duration, Timestamp};
use crate::env::transport::{Limits, REPLY_MAX};
use crate::store::tables::{ACCOUNTS, CONNECTION_TESTS};
use crate::store::{Read, StoreError, WriteTx};

/// Tests of one account are at least so far apart.
pub const TEST_EVERY: Duration = Duration::from_seconds(10);
/// How long one may take.
const LIMITS: Limits =
    Limits { connect: Duration::from_seconds(5), total: Duration::from_seconds(10), reply_max: REPLY_MAX };

/// What is known about the connection of an account whose keys were typed in. Accounts without a row are older than tests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionTest {
    /// The first good test switches the account on: nobody has decided about it since it was added.
    pub starts: bool,
    /// When the present keys were last tested.
    pub asked_at: Option<Timestamp>,
    /// What that test found; nothing while it is under way.
    pub found: Option<Found>,
}

/// A new account waits for its first test.
pub fn expect(tx: &mut WriteTx<'_>, scope: Scope, id: AccountId) -> Result<(), StoreError> {
    tx.put(&CONNECTION_TESTS, &(scope, id), &ConnectionTest { starts: true, ..ConnectionTest::default() })
}

/// The keys are other ones now, and what is known is about the old.
pub fn forget(tx: &mut WriteTx<'_>, scope: Scope, id: AccountId) -> Result<(), StoreError> {
    let known = tx.get(&CONNECTION_TESTS, &(scope, id))?.unwrap_or_default();
    tx.put(&CONNECTION_TESTS, &(scope, id), &ConnectionTest { found: None, asked_at: None, ..known })
}

/// A person has decided whether the account takes payments: tests leave it so.
pub fn decided(tx: &mut WriteTx<'_>, scope: Scope, id: AccountId) -> Result<(), StoreError> {
    match tx.get(&CONNECTION_TESTS, &(scope, id))? {
        Some(known) => tx.put(&CONNECTION_TESTS, &(scope, id), &ConnectionTest { starts: false, ..known }),
        None => Ok(()),
    }
}

/// Asks the provider, stores what was found and, after a first good test, switches the account on. `None`: asked too soon
/// after the last time, so nothing was sent.
pub async fn test(gateway: &Gateway, account: &ChannelAccount, stamp: Stamp) -> Result<Option<Found>, StoreError> {
    let (scope, id, now) = (account.scope, account.id, gateway.env.now());
    let may_ask = gateway.store.write(move |tx| {
        let known = tx.get(&CONNECTION_TESTS, &(scope, id))?.unwrap_or_default();
        // A time that lies ahead was told by a clock that was wrong.
        let waits = known.asked_at.is_some_and(|last| last <= now && now.since(last) < TEST_EVERY);
        if !waits {
            tx.put(&CONNECTION_TESTS, &(scope, id), &ConnectionTest { asked_at: Some(now), found: None, ..known })?;
        }
        Ok::<_, StoreError>(!waits)
    });
    if !may_ask.await? {
        return Ok(None);
    }
    let found = ask(gateway, account).await;
    if found.works() {
        gateway.channels.report(id, true, gateway.env.now());
    }
    let told = found.clone();
    let switched_on = gateway.store.write(move |tx| {
        let Some(mut account) = tx.get(&ACCOUNTS, &(scope, id))? else { return Ok(false) };
        let mut known = tx.get(&CONNECTION_TESTS, &(scope, id))?.unwrap_or_default();
        // Keys that were replaced meanwhile were not tested.
        let is_present = known.asked_at == Some(now);
        let switch_on = is_present && told.works() && known.starts;
        if is_present {
            known.found = Some(told.clone());
        }
        if switch_on {
            account.active = true;
            known.starts = false;
            tx.put(&ACCOUNTS, &(scope, id), &account)?;
        }
        tx.put(&CONNECTION_TESTS, &(scope, id), &known)?;
        let detail = Detail::new().with("found", told.code()).with("switched_on", switch_on);
        stamp.record(tx, scope.merchant, Action::ChannelTested, id, detail)?;
        Ok::<_, StoreError>(switch_on)
    });
    if switched_on.await? {
        gateway.reload_channels()?;
    }
    Ok(Some(found))
}

/// One exchange with the provider, by the keys as they are stored and no earlier ones.
async fn ask(gateway: &Gateway, account: &ChannelAccount) -> Found {
    let row = credentials_row(account.scope, account.id);
    let place = Place { table: ACCOUNTS.name(), row: &row, field: CREDENTIALS_FIELD };
    let opened = gateway.vault.open(&place, &account.credentials).ok();
    let alone = opened.and_then(|opened| form::alone(account.kind, &opened));
    let settings = gateway.settings.as_ref();
    let channel = alone.and_then(|alone| registry::open(account, &alone, &settings.own_url, &settings.public_url).ok());
    let Some(channel) = channel else { return Found::Unusable };
    let sealing = Sealing { now: gateway.env.now(), nonce: gateway.env.random() };
    let attempt = AttemptId::new(sealing.now, gateway.env.random());
    let Some(order) = probe::question(channel.as_ref(), attempt, sealing.now) else { return Found::Unusable };
    let request = match channel.request(&order, &sealing) {
        Ok(Prepared::Call(request)) => request,
        Ok(Prepared::Show(_)) => return Found::Unusable,
        Err(error) => return probe::found(Err(error)),
    };
    match gateway.transport.send(request, gateway.provider_policy(account.scope.mode), LIMITS).await {
        Ok(response) => {
            let read: Result<_, ChannelError> = channel.read_response(&order, &response, gateway.env.now());
            probe::found(read)
        }
        Err(why) => Found::Unreachable { why },
    }
}
