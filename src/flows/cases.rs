//! Cases: differences between what we know and what a channel says, kept until somebody or something explains them.

use super::record::position;
use super::timeline::tell;
use super::{FlowError, Moment, books};
use crate::domain::case::{Case, CaseKind, CaseState};
use crate::domain::event::Happening;
use crate::domain::ids::{AccountId, AttemptId, CaseId, PaymentId, Scope};
use crate::domain::money::Money;
use crate::domain::payment::Attempt;
use crate::domain::refund::Refund;
use crate::ledger::rules::{self, Unexpected};
use crate::store::tables::{CASE_BY_CAUSE, CASES, CASES_OPEN};
use crate::store::{Read, WriteTx};

/// What a case is opened with.
pub(super) struct Difference {
    pub kind: CaseKind,
    pub expected: Money,
    pub seen: Money,
    /// The money is there and nobody's: it is booked to suspense.
    pub suspense: bool,
    pub detail: String,
}

/// What the channel's word was about.
pub(super) struct About {
    /// The bytes of the attempt's or the refund's id.
    subject: [u8; 16],
    payment: PaymentId,
    attempt: AttemptId,
    account: AccountId,
}

impl About {
    pub(super) fn attempt(attempt: &Attempt) -> Self {
        let subject = attempt.id.to_bytes();
        Self { subject, payment: attempt.payment, attempt: attempt.id, account: attempt.account }
    }

    pub(super) fn refund(refund: &Refund) -> Self {
        let subject = refund.id.to_bytes();
        Self { subject, payment: refund.payment, attempt: refund.attempt, account: refund.account }
    }
}

/// One difference is one case, however often it is seen.
pub(super) fn open(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    about: &About,
    fact: Difference,
    moment: &mut Moment,
) -> Result<Case, FlowError> {
    let cause = (scope, about.subject, position(&CaseKind::ALL, &fact.kind));
    if let Some(id) = tx.get(&CASE_BY_CAUSE, &cause)? {
        return case(tx, scope, id);
    }
    let case = Case {
        id: CaseId::new(moment.now, moment.random()),
        kind: fact.kind,
        state: CaseState::Open,
        payment: about.payment,
        attempt: about.attempt,
        expected: fact.expected,
        seen: fact.seen,
        suspense_minor: if fact.suspense { fact.seen.minor() } else { 0 },
        detail: fact.detail,
        opened_at: moment.now,
        closed_at: None,
    };
    if fact.suspense {
        books::post(tx, scope, rules::long_received(&unexpected(&case, about.account), moment.now)?)?;
    }
    tx.put(&CASE_BY_CAUSE, &cause, &case.id)?;
    tx.put(&CASES_OPEN, &(scope, case.id), &())?;
    tx.put(&CASES, &(scope, case.id), &case)?;
    tell(tx, scope, case.payment, moment.now, Happening::CaseOpened { case: case.id })?;
    Ok(case)
}

/// The money of a case, as the posting rules see it.
pub(super) fn unexpected(case: &Case, account: AccountId) -> Unexpected {
    Unexpected {
        case: case.id,
        channel: account,
        payment: Some(case.payment),
        attempt: Some(case.attempt),
        amount: case.seen,
    }
}

pub(super) fn case(tx: &impl Read, scope: Scope, id: CaseId) -> Result<Case, FlowError> {
    tx.get(&CASES, &(scope, id))?.ok_or_else(|| FlowError::Books(format!("{id} has no record")))
}
