//! What a person decides about a case: book its money, give it back, or say why there is none. One commit with the journal
//! entry, the event and the timeline; whoever comes second is told that it is decided.

use super::cases::{self, close, unexpected};
use super::observe::{self, Booking};
use super::payments::reschedule;
use super::record::{self, save_payment};
use super::timeline::tell;
use super::{FlowError, Moment, Refusal, books, refunds};
use crate::domain::case::{Case, CaseKind, CaseLine, CaseState, Choices, Standing};
use crate::domain::event::{Actor, Happening, PaidSource};
use crate::domain::follow::Step;
use crate::domain::ids::{CaseId, Scope};
use crate::domain::method::Flow;
use crate::domain::money::Money;
use crate::domain::payment::{Attempt, AttemptState, Payment, PaymentEvent, REFUNDS_PER_PAYMENT_MAX};
use crate::ledger::rules;
use crate::store::tables::{ACCOUNTS, CASES, PAYMENT_BY_TRANSACTION, SHOWN_CODES};
use crate::store::{Read, WriteTx};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The money is the payment's after all; what is too much goes back.
    Book,
    GiveBack,
    /// The customer got it by another way, as the note tells.
    PaidElsewhere {
        note: String,
    },
    /// There is no money of ours, as the note tells. An attempt that was held ends without money.
    Close {
        note: String,
    },
}

/// A case with everything that a decision depends on, read in one snapshot.
#[derive(Clone, Debug)]
pub struct Open {
    pub case: Case,
    pub lines: Vec<CaseLine>,
    pub payment: Payment,
    pub attempt: Attempt,
    /// What makes sense, believing each line; one entry when there is no line.
    pub choices: Vec<Choices>,
}

/// Reads a case. `Refusal::CaseNotFound` when there is none.
pub fn look(tx: &impl Read, scope: Scope, id: CaseId) -> Result<Open, FlowError> {
    let case = tx.get(&CASES, &(scope, id))?.ok_or(Refusal::CaseNotFound)?;
    let lines = cases::lines(tx, scope, id)?;
    let payment = record::payment(tx, scope, case.payment)?;
    let attempt = record::attempt(tx, scope, case.attempt)?;
    let account = tx.get(&ACCOUNTS, &(scope, attempt.account))?;
    let mut choices = Vec::new();
    for line in lines.iter().map(Some).chain(lines.is_empty().then_some(None)) {
        let transaction = line.and_then(|line| line.transaction.as_ref()).zip(account.as_ref());
        let free = match transaction {
            Some((transaction, account)) => {
                !tx.contains(&PAYMENT_BY_TRANSACTION, &observe::transaction_key(scope, account.kind, transaction))?
            }
            None => false,
        };
        let standing = Standing {
            bookable: payment.state.next(PaymentEvent::Paid).is_ok(),
            attempt_unpaid: attempt.transaction_id.is_none(),
            transaction_free: free,
        };
        choices.push(case.choices(line, standing));
    }
    Ok(Open { case, lines, payment, attempt, choices })
}

/// Carries out what a person decided, believing one line of the case.
pub fn decide(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    id: CaseId,
    line: usize,
    decision: &Decision,
    by: Actor,
    moment: &mut Moment,
) -> Result<Case, FlowError> {
    let Open { mut case, lines, mut payment, mut attempt, choices } = look(tx, scope, id)?;
    if case.state != CaseState::Open {
        return Err(Refusal::CaseDecided { case: id }.into());
    }
    let choices = choices.get(line).copied().unwrap_or_default();
    let possible = match decision {
        Decision::Book => choices.book,
        Decision::GiveBack => choices.give_back,
        Decision::PaidElsewhere { .. } => choices.paid_elsewhere,
        Decision::Close { .. } => choices.close,
    };
    if !possible {
        return Err(Refusal::DecisionImpossible.into());
    }
    if case.suspense_minor == 0
        && let (Decision::Book | Decision::GiveBack, Some(line)) = (decision, lines.get(line))
    {
        take(tx, scope, &mut case, &mut attempt, line, moment)?;
    }
    tell(tx, scope, case.payment, moment.now, Happening::CaseChanged { case: id })?;
    match decision {
        Decision::Book => book(tx, scope, case, &mut payment, &attempt, by, moment),
        Decision::GiveBack => give_back(tx, scope, case, &mut payment, &attempt, by, moment),
        Decision::PaidElsewhere { note } => {
            let amount = Money::new(case.suspense_minor, case.seen.currency());
            let fact = unexpected(&case, attempt.account, amount);
            posted(books::post(tx, scope, rules::long_paid_elsewhere(&fact, moment.now)?)?, id)?;
            case.suspense_minor = 0;
            close(tx, scope, &mut case, CaseState::Closed { note: note.clone() }, moment.now)?;
            Ok(case)
        }
        Decision::Close { note } => {
            close(tx, scope, &mut case, CaseState::Closed { note: note.clone() }, moment.now)?;
            let held = attempt.step == Step::Hold && !cases::holds(tx, scope, attempt.id)?;
            if held {
                release(tx, scope, &mut payment, &mut attempt, moment)?;
            }
            Ok(case)
        }
    }
}

fn posted(new: bool, case: CaseId) -> Result<(), FlowError> {
    if new { Ok(()) } else { Err(FlowError::Books(format!("the money of {case} had been booked before"))) }
}

/// The channel has this money: it stands in suspense, and the attempt is paid by its transaction.
fn take(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    case: &mut Case,
    attempt: &mut Attempt,
    line: &CaseLine,
    moment: &Moment,
) -> Result<(), FlowError> {
    debug_assert_eq!(case.kind, CaseKind::WrongAmount, "other money is in suspense from the beginning");
    let lost = || FlowError::Books("the attempt's account or transaction is not known".to_owned());
    let transaction = line.transaction.clone().ok_or_else(lost)?;
    let kind = tx.get(&ACCOUNTS, &(scope, attempt.account))?.ok_or_else(lost)?.kind;
    tx.put(&PAYMENT_BY_TRANSACTION, &observe::transaction_key(scope, kind, &transaction), &attempt.payment)?;
    forget_shown_code(tx, scope, attempt)?;
    attempt.state = AttemptState::Paid;
    attempt.transaction_id = Some(transaction);
    attempt.paid_at = Some(line.paid_at.unwrap_or(line.at));
    reschedule(tx, scope, attempt, Step::AskLate, None)?;
    case.seen = line.seen;
    case.detail.clone_from(&line.detail);
    case.suspense_minor = line.seen.minor();
    posted(
        books::post(tx, scope, rules::long_received(&unexpected(case, attempt.account, line.seen), moment.now)?)?,
        case.id,
    )?;
    Ok(tx.put(&CASES, &(scope, case.id), case)?)
}

fn book(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    mut case: Case,
    payment: &mut Payment,
    attempt: &Attempt,
    by: Actor,
    moment: &mut Moment,
) -> Result<Case, FlowError> {
    let merchant = record::merchant(tx, scope)?;
    let state = payment.state.next(PaymentEvent::Paid).map_err(|_| Refusal::DecisionImpossible)?;
    let account = tx.get(&ACCOUNTS, &(scope, attempt.account))?;
    let account = account.ok_or_else(|| FlowError::Books(format!("{} has no record", attempt.account)))?;
    let booking = Booking { state, source: PaidSource::Person, case: Some(case.id) };
    observe::book(tx, scope, &merchant, payment, attempt, account.kind, &booking, moment)?;
    case.suspense_minor = case
        .suspense_minor
        .checked_sub(payment.amount.minor())
        .ok_or_else(|| FlowError::Books("less waits in suspense than is booked".to_owned()))?;
    if case.suspense_minor == 0 {
        close(tx, scope, &mut case, CaseState::Booked, moment.now)?;
        return Ok(case);
    }
    tx.put(&CASES, &(scope, case.id), &case)?;
    refunds::give_back_suspense(tx, scope, payment, attempt, case, (by, "more was paid than was asked for"), moment)
}

fn give_back(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    case: Case,
    payment: &mut Payment,
    attempt: &Attempt,
    by: Actor,
    moment: &mut Moment,
) -> Result<Case, FlowError> {
    if payment.refunds.len() >= REFUNDS_PER_PAYMENT_MAX {
        return Err(Refusal::TooManyRefunds.into());
    }
    let why = match case.kind {
        CaseKind::SecondPayment => "the order was paid twice",
        CaseKind::LatePayment => "paid after the payment had ended",
        CaseKind::WrongAmount | CaseKind::WrongIdentity | CaseKind::Contradiction => "another amount was paid",
    };
    let case = refunds::give_back_suspense(tx, scope, payment, attempt, case, (by, why), moment)?;
    observe::go_on(tx, scope, payment, None, moment)?;
    Ok(case)
}

/// The digits of a code that the customer showed are kept only until the charge is known.
fn forget_shown_code(tx: &mut WriteTx<'_>, scope: Scope, attempt: &Attempt) -> Result<(), FlowError> {
    if attempt.state == AttemptState::Created && attempt.method.flow() == Flow::BarCode {
        tx.delete(&SHOWN_CODES, &(scope, attempt.id))?;
    }
    Ok(())
}

/// A person has looked at the channel and found no money of ours, so the attempt that was held ends. That is the one end
/// that is not the channel's own word; should money come all the same, it is late money like any other.
fn release(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    payment: &mut Payment,
    attempt: &mut Attempt,
    moment: &mut Moment,
) -> Result<(), FlowError> {
    if attempt.state.is_live() {
        forget_shown_code(tx, scope, attempt)?;
        attempt.state = AttemptState::Closed;
        attempt.ended_at = Some(moment.now);
    }
    // Nobody has asked while it was held, and the person may have looked too early.
    reschedule(tx, scope, attempt, Step::AskLate, Some(moment.now))?;
    payment.version += 1;
    save_payment(tx, scope, Some(payment.state), payment)?;
    observe::go_on(tx, scope, payment, None, moment)
}
