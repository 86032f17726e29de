//! Schema 5: a channel account says which part of the payments it takes, and when its keys are fetched again.

use serde::{Deserialize, Serialize};

use super::{Migration, MigrationTx};
use crate::crypto::Sealed;
use crate::domain::ids::{AccountId, Scope};
use crate::domain::merchant::{ChannelAccount, ChannelKind, Share};
use crate::domain::time::Timestamp;
use crate::store::error::StoreError;
use crate::store::table::Table;
use crate::store::tables::ACCOUNTS;

pub(super) const STEP: Migration = Migration { what: "give channel accounts a share of the payments", apply };

const ACCOUNTS_1: Table<(Scope, AccountId), Account1> = Table::new("accounts", 1);

#[derive(Serialize, Deserialize)]
struct Account1 {
    id: AccountId,
    scope: Scope,
    kind: ChannelKind,
    label: String,
    base_url: Option<String>,
    credentials: Sealed,
    active: bool,
    created_at: Timestamp,
}

fn apply(tx: &MigrationTx<'_>) -> Result<(), StoreError> {
    tx.rewrite(&ACCOUNTS_1, &ACCOUNTS, |row, old| {
        let Account1 { id, scope, kind, label, base_url, credentials, active, created_at } = old;
        let account = ChannelAccount {
            id,
            scope,
            kind,
            label,
            base_url,
            credentials,
            active,
            share: Share::WHOLE,
            created_at,
            upkeep_at: None,
            upkept_at: None,
        };
        Some((row, account))
    })
}
