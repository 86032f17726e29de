//! Refunds and cases: I6 for each, their indexes both ways, and that open refunds are followed.

use super::{Finding, Run, Snapshots, lost, stray, wrong};
use crate::domain::approval::ProposalState;
use crate::domain::case::{Case, CaseState};
use crate::domain::follow::RefundStep;
use crate::domain::ids::Scope;
use crate::domain::money::Currency;
use crate::domain::redirect::Outcome;
use crate::domain::refund::{Refund, RefundSource, RefundState};
use crate::flows::books::balance;
use crate::flows::effect::{Effect, Lane};
use crate::flows::record::{case_kind_key, refund_state_key};
use crate::ledger::verify::{BalanceRow, open_items};
use crate::ledger::{Account, Sub};
use crate::store::Read;
use crate::store::tables::{
    CASE_BY_CAUSE, CASE_LINES, CASES, CASES_OPEN, DUE, PAYMENTS, PROPOSALS, PROPOSALS_BY_EXPIRY, PROPOSALS_WAITING,
    REDIRECTS, REFUND_BY_NUMBER, REFUNDS, REFUNDS_BY_STATE,
};

/// Answers how many refunds there are.
pub(super) fn verify<S: Snapshots>(run: &mut Run<'_, S>) -> Result<u64, Finding> {
    let refunds = run.each(&REFUNDS, |tx, (scope, id), found| {
        if found.id != id {
            return wrong(&REFUNDS, id, format!("it holds {}", found.id));
        }
        refund(tx, scope, &found)
    })?;
    run.each(&REFUNDS_BY_STATE, |tx, (scope, state, id), ()| match tx.get(&REFUNDS, &(scope, id))? {
        Some(refund) if refund_state_key(refund.state) == state => Ok(()),
        Some(_) | None => stray(&REFUNDS_BY_STATE, id),
    })?;
    run.each(&REFUND_BY_NUMBER, |tx, (scope, number), id| match tx.get(&REFUNDS, &(scope, id))? {
        Some(refund) if refund.refund_no.as_ref() == Some(&number) => Ok(()),
        Some(_) | None => stray(&REFUND_BY_NUMBER, number),
    })?;
    run.each(&REDIRECTS, |tx, (scope, id), redirect| match tx.get(&REFUNDS, &(scope, id))? {
        Some(refund) if matches!(refund.step, RefundStep::Redirect | RefundStep::AskRedirected) => {
            if refund.state.is_final() || redirect.outcome == Outcome::UnderWay {
                return Ok(());
            }
            wrong(&REDIRECTS, id, "it came to something, and is still to be sent")
        }
        Some(_) => Ok(()),
        None => stray(&REDIRECTS, id),
    })?;
    run.each(&CASES, |tx, (scope, id), found| {
        if found.id != id {
            return wrong(&CASES, id, format!("it holds {}", found.id));
        }
        case(tx, scope, &found)
    })?;
    run.each(&CASES_OPEN, |tx, (scope, id), ()| match tx.get(&CASES, &(scope, id))? {
        Some(case) if case.state.is_open() => Ok(()),
        Some(_) | None => stray(&CASES_OPEN, id),
    })?;
    run.each(&CASE_LINES, |tx, (scope, id, number), _| {
        if !tx.contains(&CASES, &(scope, id))? {
            return wrong(&CASE_LINES, id, "this case does not exist");
        }
        match number.checked_sub(1) {
            Some(before) if !tx.contains(&CASE_LINES, &(scope, id, before))? => {
                wrong(&CASE_LINES, id, format!("line {before} is missing"))
            }
            Some(_) | None => Ok(()),
        }
    })?;
    run.each(&PROPOSALS, |tx, (scope, id), proposal| {
        let waits = proposal.state == ProposalState::Waiting;
        let listed = tx.contains(&PROPOSALS_WAITING, &(scope, id))?;
        let ends = tx.contains(&PROPOSALS_BY_EXPIRY, &(proposal.expires_at, scope, id))?;
        if proposal.id != id || proposal.command.hash() != proposal.hash {
            return wrong(&PROPOSALS, id, "it is not what was proposed");
        }
        if (listed, ends) == (waits, waits) { Ok(()) } else { lost(&PROPOSALS_WAITING, id) }
    })?;
    run.each(&PROPOSALS_WAITING, |tx, row, ()| match tx.contains(&PROPOSALS, &row)? {
        true => Ok(()),
        false => stray(&PROPOSALS_WAITING, row.1),
    })?;
    run.each(&CASE_BY_CAUSE, |tx, (scope, _, kind), id| match tx.get(&CASES, &(scope, id))? {
        Some(case) if case_kind_key(case.kind) == kind => Ok(()),
        Some(_) | None => stray(&CASE_BY_CAUSE, id),
    })?;
    Ok(refunds)
}

/// I6: the account of one refund or case holds what is open there.
fn holds(tx: &impl Read, scope: Scope, account: Account, currency: Currency, open: u64) -> Result<(), Finding> {
    let row = BalanceRow { currency, account, balance: balance(tx, scope, currency, account)? };
    let item: (Currency, Sub, u64) = (currency, account.sub(), open);
    open_items(account.code(), [item], [row]).map_err(|violation| Finding::Books { scope, violation })
}

fn refund(tx: &impl Read, scope: Scope, refund: &Refund) -> Result<(), Finding> {
    let id = refund.id;
    if !tx.contains(&REFUNDS_BY_STATE, &(scope, refund_state_key(refund.state), id))? {
        return lost(&REFUNDS_BY_STATE, id);
    }
    if let Some(number) = &refund.refund_no
        && tx.get(&REFUND_BY_NUMBER, &(scope, number.clone()))? != Some(id)
    {
        return lost(&REFUND_BY_NUMBER, id);
    }
    match tx.get(&PAYMENTS, &(scope, refund.payment))? {
        Some(payment) if payment.refunds.contains(&id) && payment.attempts.contains(&refund.attempt) => {}
        Some(_) | None => return wrong(&REFUNDS, id, format!("{} does not know it", refund.payment)),
    }
    let open = match refund.source {
        RefundSource::Merchant(_) if !refund.state.is_final() => refund.amount.minor(),
        // Money in suspense stays there until it is gone.
        RefundSource::Merchant(_) | RefundSource::Suspense(_) => 0,
    };
    holds(tx, scope, Account::refund_in_transit(id), refund.amount.currency(), open)?;
    if let RefundSource::Suspense(case) = refund.source {
        suspense(tx, scope, refund, case)?;
    }
    match refund.follow_up {
        Some(_) if !refund.state.is_followed() => {
            wrong(&REFUNDS, id, "there is nothing more to ask about it, and it is still followed")
        }
        Some(at) => {
            let due = (Lane::account(refund.account), at, Effect::FollowRefund(scope, id));
            if !tx.contains(&DUE, &due)? {
                return wrong(&DUE, id, format!("what is due for it at {at} is not in the queue"));
            }
            Ok(())
        }
        // One that was returned waits for a person alone.
        None if !refund.state.is_followed() => Ok(()),
        None => wrong(&REFUNDS, id, "it has no end yet, and nobody asks the channel about it"),
    }
}

/// The case whose money a refund gives back knows about it while it is under way, and when it is done.
fn suspense(tx: &impl Read, scope: Scope, refund: &Refund, case: crate::domain::ids::CaseId) -> Result<(), Finding> {
    let Some(found) = tx.get(&CASES, &(scope, case))? else {
        return wrong(&CASES, case, format!("it is missing, and {} names it", refund.id));
    };
    let agrees = match refund.state {
        RefundState::Pending | RefundState::Processing | RefundState::Undeliverable | RefundState::Returned => {
            found.state == CaseState::Refunding(refund.id)
        }
        RefundState::Succeeded => found.state == CaseState::Refunded(refund.id),
        // Another refund, or a person, may have settled it since.
        RefundState::Failed => true,
    };
    if agrees {
        return Ok(());
    }
    let detail = format!("it is {}, its refund {} is {}", found.state.code(), refund.id, refund.state.code());
    wrong(&CASES, case, detail)
}

fn case(tx: &impl Read, scope: Scope, case: &Case) -> Result<(), Finding> {
    let id = case.id;
    if case.state.is_open() != tx.contains(&CASES_OPEN, &(scope, id))? {
        return lost(&CASES_OPEN, id);
    }
    holds(tx, scope, Account::suspense_long(id), case.seen.currency(), case.suspense_minor)?;
    let Some(payment) = tx.get(&PAYMENTS, &(scope, case.payment))? else {
        return wrong(&CASES, id, format!("{} does not exist", case.payment));
    };
    // It is about the attempt, or about one of the payment's refunds.
    let kind = case_kind_key(case.kind);
    let refunds = payment.refunds.iter().map(|refund| refund.to_bytes());
    for subject in refunds.chain([case.attempt.to_bytes()]) {
        match tx.get(&CASE_BY_CAUSE, &(scope, subject, kind))? {
            Some(newest) if newest == id => return Ok(()),
            // A decided one stays as it was decided; what the channel said later is another case.
            Some(newest) if !case.state.is_open() && newest > id => return Ok(()),
            Some(_) | None => {}
        }
    }
    lost(&CASE_BY_CAUSE, id)
}
