//! Recomputing the books from the console: what `coffer verify` does for everything, for one merchant and mode, with the
//! outcome kept for the next look.

use serde::{Deserialize, Serialize};

use super::visit::{Member, Problem, Reply};
use crate::audit::{Action, Detail};
use crate::domain::ids::UserId;
use crate::domain::time::Timestamp;
use crate::flows::verify::{Finding, Verified, verify_scope};
use crate::store::StoreError;
use crate::store::tables::VERIFICATIONS;

/// The last time that the books were recomputed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    pub at: Timestamp,
    pub by: UserId,
    pub entries: u64,
    pub payments: u64,
    pub audit_records: u64,
    /// The first row that failed, in words that find it; none when everything holds.
    pub finding: Option<String>,
}

pub(super) async fn run(member: Member) -> Reply {
    let scope = member.scope();
    let store = member.console.store().clone();
    // Many short snapshots on a thread that may block: the shop goes on taking payments.
    let verified = tokio::task::spawn_blocking(move || verify_scope(&store, scope, &mut |_| {}));
    let (verified, finding) = match verified.await.map_err(|bug| Problem::Internal(bug.to_string()))? {
        Ok(verified) => (verified, None),
        Err(Finding::Store(error @ StoreError::Busy)) => return Err(error.into()),
        // A record that cannot be read is a finding too.
        Err(finding) => (Verified::default(), Some(finding.to_string())),
    };
    let verification = Verification {
        at: member.now,
        by: member.user.id,
        entries: verified.journal_entries,
        payments: verified.payments,
        audit_records: verified.audit_records,
        finding,
    };
    let stamp = member.stamp();
    member
        .console
        .store()
        .write(move |tx| {
            tx.put(&VERIFICATIONS, &scope, &verification)?;
            let outcome = verification.finding.as_deref().unwrap_or("clean");
            let detail = Detail::new().with("entries", verification.entries).with("outcome", outcome);
            stamp.record(tx, scope.merchant, Action::BooksVerified, "", detail)
        })
        .await?;
    Ok(member.go("/console/ledger?done=verified"))
}
