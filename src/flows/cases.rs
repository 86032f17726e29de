//! Cases: differences between what we know and what a channel says, kept until somebody or something explains them.

use super::record::case_kind_key;
use super::timeline::tell;
use super::{FlowError, Moment, books};
use crate::channels::PaidFacts;
use crate::domain::case::{Case, CaseKind, CaseLine, CaseState, LINES_PER_CASE_MAX};
use crate::domain::event::Happening;
use crate::domain::ids::{AccountId, AttemptId, CaseId, PaymentId, Scope};
use crate::domain::money::Money;
use crate::domain::payment::Attempt;
use crate::domain::refund::Refund;
use crate::domain::time::Timestamp;
use crate::ledger::rules::{self, Unexpected};
use crate::store::tables::{CASE_BY_CAUSE, CASE_LINES, CASES, CASES_OPEN};
use crate::store::{Order, Read, Span, StoreError, WriteTx};

/// What a case is opened with.
pub(super) struct Difference {
    pub kind: CaseKind,
    pub expected: Money,
    pub seen: Money,
    /// The money is there and nobody's: it is booked to suspense.
    pub suspense: bool,
    pub detail: String,
    /// The channel's number of the payment, and when it was paid; none where it spoke of a refund.
    pub transaction: Option<(String, Timestamp)>,
}

impl Difference {
    pub(super) fn of_payment(
        kind: CaseKind,
        expected: Money,
        facts: &PaidFacts,
        suspense: bool,
        detail: String,
    ) -> Difference {
        let transaction = Some((facts.transaction_id.clone(), facts.paid_at));
        Difference { kind, expected, seen: facts.amount, suspense, detail, transaction }
    }
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

/// One difference is one case, however often it is seen. Another word of the channel about the same thing is another line
/// of the case while it is open; afterwards it is a case of its own, because what was decided stays decided.
pub(super) fn open(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    about: &About,
    fact: Difference,
    moment: &mut Moment,
) -> Result<Case, FlowError> {
    let cause = (scope, about.subject, case_kind_key(fact.kind));
    let (transaction, paid_at) = fact.transaction.unzip();
    let line = CaseLine { at: moment.now, seen: fact.seen, transaction, paid_at, detail: fact.detail.clone() };
    if let Some(id) = tx.get(&CASE_BY_CAUSE, &cause)? {
        let known = case(tx, scope, id)?;
        let lines = lines(tx, scope, id)?;
        if lines.len() >= LINES_PER_CASE_MAX || lines.iter().any(|other| other.repeats(&line)) {
            return Ok(known);
        }
        if known.state.is_open() {
            let number = u32::try_from(lines.len()).expect("lines are few");
            tx.put(&CASE_LINES, &(scope, id, number), &line)?;
            tell(tx, scope, known.payment, moment.now, Happening::CaseChanged { case: id })?;
            return Ok(known);
        }
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
        books::post(tx, scope, rules::long_received(&unexpected(&case, about.account, case.seen), moment.now)?)?;
    }
    tx.put(&CASE_BY_CAUSE, &cause, &case.id)?;
    tx.put(&CASES_OPEN, &(scope, case.id), &())?;
    tx.put(&CASES, &(scope, case.id), &case)?;
    tx.put(&CASE_LINES, &(scope, case.id, 0), &line)?;
    tell(tx, scope, case.payment, moment.now, Happening::CaseOpened { case: case.id })?;
    Ok(case)
}

/// The channel says the right thing after another: that is kept beside what opened the case, which stays for a person.
pub(super) fn note_right(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    attempt: &Attempt,
    facts: &PaidFacts,
    detail: &str,
    moment: &mut Moment,
) -> Result<(), FlowError> {
    for kind in HOLDING {
        let cause = (scope, attempt.id.to_bytes(), case_kind_key(kind));
        if let Some(id) = tx.get(&CASE_BY_CAUSE, &cause)?
            && case(tx, scope, id)?.state.is_open()
        {
            let fact = Difference::of_payment(kind, attempt.amount, facts, false, detail.to_owned());
            open(tx, scope, &About::attempt(attempt), fact, moment)?;
        }
    }
    Ok(())
}

/// Kinds that keep an attempt from being followed as usual.
const HOLDING: [CaseKind; 2] = [CaseKind::WrongAmount, CaseKind::WrongIdentity];

/// What the channel said, in the order it was heard. Empty for cases of before lines were kept.
pub fn lines(tx: &impl Read, scope: Scope, id: CaseId) -> Result<Vec<CaseLine>, StoreError> {
    let rows = tx.scan(&CASE_LINES, &Span::prefix(&(scope, id)), Order::Ascending, LINES_PER_CASE_MAX)?;
    Ok(rows.into_iter().map(|(_, line)| line).collect())
}

/// So much money of a case, as the posting rules see it.
pub(super) fn unexpected(case: &Case, account: AccountId, amount: Money) -> Unexpected {
    Unexpected { case: case.id, channel: account, payment: Some(case.payment), attempt: Some(case.attempt), amount }
}

pub(super) fn case(tx: &impl Read, scope: Scope, id: CaseId) -> Result<Case, FlowError> {
    tx.get(&CASES, &(scope, id))?.ok_or_else(|| FlowError::Books(format!("{id} has no record")))
}

/// Whether a case still keeps the attempt from being followed.
pub(super) fn holds(tx: &impl Read, scope: Scope, attempt: AttemptId) -> Result<bool, FlowError> {
    for kind in HOLDING {
        let cause = (scope, attempt.to_bytes(), case_kind_key(kind));
        if let Some(id) = tx.get(&CASE_BY_CAUSE, &cause)?
            && case(tx, scope, id)?.state.is_open()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes a case that was settled.
pub(super) fn close(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    case: &mut Case,
    state: CaseState,
    at: Timestamp,
) -> Result<(), FlowError> {
    case.state = state;
    case.closed_at = Some(at);
    tx.delete(&CASES_OPEN, &(scope, case.id))?;
    Ok(tx.put(&CASES, &(scope, case.id), case)?)
}
