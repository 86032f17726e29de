//! Payments and attempts: I5, I7, I10 and I11 for each, their indexes both ways, and that whatever is still open is followed.

use super::{Finding, Run, Snapshots, books, lost, next, stray, wrong};
use crate::domain::case::CaseKind;
use crate::domain::event::EventType;
use crate::domain::follow::Step;
use crate::domain::ids::{AttemptId, Scope};
use crate::domain::payment::{Attempt, AttemptState, Payment, PaymentState};
use crate::domain::refund::{RefundSource, RefundState};
use crate::flows::effect::{Effect, Lane};
use crate::flows::observe::transaction_key;
use crate::flows::record::{case_kind_key, state_key};
use crate::flows::timeline::LINES_PER_ROW;
use crate::ledger::verify::{PaymentFacts, payment as sums_hold};
use crate::ledger::{AccountCode, JournalEntry, Reason, Side};
use crate::store::tables::{
    ACCOUNTS, ATTEMPTS, CASE_BY_CAUSE, DUE, EVENTS, EVENTS_BY_PAYMENT, JOURNAL, JOURNAL_BY_PAYMENT, MERCHANTS,
    PAYMENT_BY_ORDER, PAYMENT_BY_TRANSACTION, PAYMENTS, PAYMENTS_BY_STATE, REFUNDS, SHOWN_CODES, TIMELINE,
};
use crate::store::{Read, Span};

/// Answers how many payments there are.
pub(super) fn verify<S: Snapshots>(run: &mut Run<'_, S>) -> Result<u64, Finding> {
    let payments = run.each(&PAYMENTS, |tx, (scope, id), payment| {
        if payment.id != id {
            return wrong(&PAYMENTS, id, format!("it holds {}", payment.id));
        }
        if !tx.contains(&MERCHANTS, &scope.merchant)? {
            return wrong(&PAYMENTS, id, format!("its merchant {} does not exist", scope.merchant));
        }
        money(tx, scope, &payment)?;
        posted_once(tx, scope, &payment)?;
        standing(tx, scope, &payment)?;
        told(tx, scope, &payment)?;
        if !tx.contains(&PAYMENTS_BY_STATE, &(scope, state_key(payment.state), id))? {
            return lost(&PAYMENTS_BY_STATE, id);
        }
        match tx.get(&PAYMENT_BY_ORDER, &(scope, payment.order_id.clone()))? == Some(id) {
            true => Ok(()),
            false => lost(&PAYMENT_BY_ORDER, id),
        }
    })?;
    run.each(&PAYMENT_BY_ORDER, |tx, (scope, order), id| match tx.get(&PAYMENTS, &(scope, id))? {
        Some(payment) if payment.order_id == order => Ok(()),
        Some(_) | None => stray(&PAYMENT_BY_ORDER, order),
    })?;
    run.each(&PAYMENTS_BY_STATE, |tx, (scope, state, id), ()| match tx.get(&PAYMENTS, &(scope, id))? {
        Some(payment) if state_key(payment.state) == state => Ok(()),
        Some(_) | None => stray(&PAYMENTS_BY_STATE, id),
    })?;
    run.each(&ATTEMPTS, |tx, (scope, id), found| {
        if found.id != id {
            return wrong(&ATTEMPTS, id, format!("it holds {}", found.id));
        }
        attempt(tx, scope, &found)
    })?;
    run.each(&PAYMENT_BY_TRANSACTION, |tx, (scope, key), id| {
        let Some(payment) = tx.get(&PAYMENTS, &(scope, id))? else { return stray(&PAYMENT_BY_TRANSACTION, key) };
        for attempt in attempts(tx, scope, &payment)? {
            if transaction_row(tx, scope, &attempt)?.as_ref() == Some(&key) {
                return Ok(());
            }
        }
        stray(&PAYMENT_BY_TRANSACTION, key)
    })?;
    run.each(&SHOWN_CODES, |tx, (scope, id), _| {
        let waits =
            |attempt: Attempt| attempt.state == AttemptState::Created && attempt.method.flow().takes_something_along();
        if tx.get(&ATTEMPTS, &(scope, id))?.is_some_and(waits) { Ok(()) } else { stray(&SHOWN_CODES, id) }
    })?;
    run.each(&TIMELINE, |tx, (scope, payment, number), lines| {
        if !tx.contains(&PAYMENTS, &(scope, payment))? {
            return wrong(&TIMELINE, payment, "this payment does not exist");
        }
        if !(1..=LINES_PER_ROW).contains(&lines.len()) {
            return wrong(&TIMELINE, payment, format!("row {number} has {} lines", lines.len()));
        }
        let Some(before) = number.checked_sub(1) else { return Ok(()) };
        match tx.get(&TIMELINE, &(scope, payment, before))? {
            Some(lines) if lines.len() == LINES_PER_ROW => Ok(()),
            Some(_) => wrong(&TIMELINE, payment, format!("row {before} is not full")),
            None => wrong(&TIMELINE, payment, format!("row {before} is missing")),
        }
    })?;
    Ok(payments)
}

fn attempts(tx: &impl Read, scope: Scope, payment: &Payment) -> Result<Vec<Attempt>, Finding> {
    let find = |id: &AttemptId| match tx.get(&ATTEMPTS, &(scope, *id))? {
        Some(attempt) => Ok(attempt),
        None => wrong(&ATTEMPTS, id, format!("it is missing, and {} names it", payment.id)),
    };
    payment.attempts.iter().map(find).collect()
}

/// I5, and that a payment's sums are those of its refunds.
fn money(tx: &impl Read, scope: Scope, record: &Payment) -> Result<(), Finding> {
    let facts = PaymentFacts {
        payment: record.id,
        paid_minor: record.amount_paid().minor(),
        fee_minor: record.fee_minor,
        refunded_minor: record.refunded_minor,
        refunds_in_transit_minor: record.refunding_minor,
        fee_returned_minor: record.fee_returned_minor,
    };
    sums_hold(&facts).map_err(|violation| Finding::Books { scope, violation })?;
    let (mut refunded, mut refunding, mut fee_returned) = (0u128, 0u128, 0u128);
    for id in &record.refunds {
        let Some(refund) = tx.get(&REFUNDS, &(scope, *id))? else {
            return wrong(&REFUNDS, id, format!("it is missing, and {} names it", record.id));
        };
        if let RefundSource::Suspense(_) = refund.source {
            continue;
        }
        match refund.state {
            RefundState::Pending | RefundState::Processing | RefundState::Undeliverable | RefundState::Returned => {
                refunding += u128::from(refund.amount.minor());
            }
            RefundState::Succeeded => {
                refunded += u128::from(refund.amount.minor());
                fee_returned += u128::from(refund.fee_returned_minor);
            }
            RefundState::Failed => {}
        }
    }
    let stored = [record.refunded_minor, record.refunding_minor, record.fee_returned_minor].map(u128::from);
    if stored != [refunded, refunding, fee_returned] {
        let detail = format!(
            "refunded, in transit and fee given back are {stored:?}, its refunds add up to {:?} (minor units)",
            [refunded, refunding, fee_returned]
        );
        return books("I5", scope, format!("payment {}", record.id), detail);
    }
    Ok(())
}

/// I7: a paid payment has exactly one entry that books its money, with its amount and its fee; another has none.
fn posted_once(tx: &impl Read, scope: Scope, payment: &Payment) -> Result<(), Finding> {
    let mut posted = Vec::new();
    tx.walk(&JOURNAL_BY_PAYMENT, &Span::prefix(&(scope, payment.id)), |(_, _, seq), ()| {
        let Some(chained) = tx.get(&JOURNAL, &(scope, seq))? else {
            return wrong(&JOURNAL, seq, format!("it is missing, and {} leads to it", payment.id));
        };
        match chained.entry.reason() {
            Reason::Paid | Reason::LongBooked => posted.push(chained.entry),
            Reason::Cleared
            | Reason::RefundAccepted
            | Reason::RefundSucceeded
            | Reason::RefundFailed
            | Reason::RefundReturned
            | Reason::LongReceived
            | Reason::LongPaidBack
            | Reason::LongPaidElsewhere
            | Reason::Reversal => {}
        }
        next()
    })?;
    let row = || format!("payment {}", payment.id);
    let paid = payment.state == PaymentState::Paid;
    let [entry] = &posted[..] else {
        if posted.is_empty() && !paid {
            return Ok(());
        }
        let detail = format!("it is {}, and {} entries book its money", payment.state.code(), posted.len());
        return books("I7", scope, row(), detail);
    };
    let credited = |code| credited(entry, code);
    let (amount, fee) = (credited(AccountCode::MerchantPending), credited(AccountCode::FeeIncome));
    if !paid || (amount, fee) != (u128::from(payment.amount.minor()), u128::from(payment.fee_minor)) {
        let detail = format!(
            "it is {} over {} with a fee of {}, booked are {amount} and {fee} (minor units)",
            payment.state.code(),
            payment.amount.minor(),
            payment.fee_minor
        );
        return books("I7", scope, row(), detail);
    }
    Ok(())
}

fn credited(entry: &JournalEntry, code: AccountCode) -> u128 {
    let of_it = entry.postings().iter().filter(|p| p.side == Side::Credit && p.account.code() == code);
    of_it.map(|posting| u128::from(posting.minor)).sum()
}

/// I10 as far as records show it: the payment stands where its attempts have brought it. And what has not ended will: its
/// expiry waits in the queue, or its attempts are being closed.
fn standing(tx: &impl Read, scope: Scope, payment: &Payment) -> Result<(), Finding> {
    let attempts = attempts(tx, scope, payment)?;
    let contradicts = |detail: &str| books("I10", scope, format!("payment {}", payment.id), detail);
    if attempts.iter().any(|attempt| attempt.payment != payment.id) {
        return contradicts("it names an attempt of another payment");
    }
    let live = attempts.iter().any(|attempt| attempt.state.is_live());
    match payment.state {
        PaymentState::Open if live => contradicts("it is open, and an attempt can be paid"),
        PaymentState::Processing if !live => contradicts("it is processing, and no attempt can be paid"),
        PaymentState::Expired | PaymentState::Canceled | PaymentState::Failed if live => {
            contradicts("it has ended, and an attempt can still be paid")
        }
        PaymentState::Open | PaymentState::Processing => {
            let due = (Lane::OWN, payment.expires_at, Effect::Expire(scope, payment.id));
            if payment.ending.is_none() && !tx.contains(&DUE, &due)? {
                return wrong(&DUE, payment.id, "its expiry is not in the queue");
            }
            Ok(())
        }
        PaymentState::Paid => {
            let payer = attempts.iter().find(|attempt| Some(attempt.id) == payment.current);
            match (payer, &payment.paid_by) {
                (Some(payer), Some(by))
                    if payer.state == AttemptState::Paid
                        && payer.transaction_id.as_ref() == Some(&by.transaction_id) =>
                {
                    Ok(())
                }
                (_, _) => contradicts("it is paid, and its attempt is not, or by another transaction"),
            }
        }
        PaymentState::Expired | PaymentState::Canceled | PaymentState::Failed => Ok(()),
    }
}

/// I11: what became of the payment and its refunds was told, each once. Events of one millisecond have no order.
fn told(tx: &impl Read, scope: Scope, payment: &Payment) -> Result<(), Finding> {
    let mut kinds: Vec<EventType> = Vec::new();
    tx.walk(&EVENTS_BY_PAYMENT, &Span::prefix(&(scope, payment.id)), |(_, _, id), ()| {
        match tx.get(&EVENTS, &(scope, id))? {
            Some(event) => kinds.push(event.kind),
            None => return wrong(&EVENTS, id, format!("it is missing, and {} leads to it", payment.id)),
        }
        next()
    })?;
    let count = |kind| kinds.iter().filter(|k| **k == kind).count();
    let ends = [EventType::PaymentExpired, EventType::PaymentCanceled, EventType::PaymentFailed];
    let ended = |kind| ends.iter().all(|end| count(*end) == usize::from(*end == kind));
    let (paid, late) = (count(EventType::PaymentPaid), count(EventType::PaymentLate));
    let outcome = match payment.state {
        PaymentState::Open | PaymentState::Processing => (paid, late) == (0, 0) && ends.iter().all(|e| count(*e) == 0),
        PaymentState::Paid if payment.late => {
            (paid, late) == (0, 1) && ends.iter().map(|e| count(*e)).sum::<usize>() == 1
        }
        PaymentState::Paid => (paid, late) == (1, 0) && ends.iter().all(|e| count(*e) == 0),
        PaymentState::Expired => (paid, late) == (0, 0) && ended(EventType::PaymentExpired),
        PaymentState::Canceled => (paid, late) == (0, 0) && ended(EventType::PaymentCanceled),
        PaymentState::Failed => (paid, late) == (0, 0) && ended(EventType::PaymentFailed),
    };
    let begun = count(EventType::PaymentCreated) == 1
        && (count(EventType::PaymentProcessing) == 0) == payment.attempts.is_empty();
    // An attempt has a line, and nothing takes it away.
    if !payment.attempts.is_empty() && !tx.contains(&TIMELINE, &(scope, payment.id, 0))? {
        return wrong(&TIMELINE, payment.id, "row 0 is missing");
    }
    let (mut succeeded, mut failed) = (0, 0);
    for id in &payment.refunds {
        match tx.get(&REFUNDS, &(scope, *id))?.map(|refund| refund.state) {
            Some(RefundState::Succeeded) => succeeded += 1,
            Some(RefundState::Failed) => failed += 1,
            Some(
                RefundState::Pending | RefundState::Processing | RefundState::Undeliverable | RefundState::Returned,
            )
            | None => {}
        }
    }
    let refunds = count(EventType::RefundCreated) == payment.refunds.len()
        && count(EventType::RefundSucceeded) == succeeded
        && count(EventType::RefundFailed) == failed;
    if outcome && begun && refunds {
        return Ok(());
    }
    let codes: Vec<&str> = kinds.iter().map(|kind| kind.code()).collect();
    let detail = format!("it is {}, and its events are {}", payment.state.code(), codes.join(", "));
    books("I11", scope, format!("payment {}", payment.id), detail)
}

/// The key under which the attempt's transaction must lead to its payment.
fn transaction_row(tx: &impl Read, scope: Scope, attempt: &Attempt) -> Result<Option<String>, Finding> {
    let Some(transaction) = &attempt.transaction_id else { return Ok(None) };
    let Some(account) = tx.get(&ACCOUNTS, &(scope, attempt.account))? else {
        return wrong(&ACCOUNTS, attempt.account, format!("it is missing, and {} names it", attempt.id));
    };
    Ok(Some(transaction_key(scope, account.kind, transaction).1))
}

fn attempt(tx: &impl Read, scope: Scope, attempt: &Attempt) -> Result<(), Finding> {
    let id = attempt.id;
    let payment = match tx.get(&PAYMENTS, &(scope, attempt.payment))? {
        Some(payment) if payment.attempts.contains(&id) => payment,
        Some(_) | None => return wrong(&ATTEMPTS, id, format!("{} does not know it", attempt.payment)),
    };
    if attempt.amount != payment.amount {
        let detail = format!("it asks for {}, its payment for {}", attempt.amount, payment.amount);
        return wrong(&ATTEMPTS, id, detail);
    }
    let paid = attempt.state == AttemptState::Paid;
    if paid != attempt.transaction_id.is_some() {
        return wrong(&ATTEMPTS, id, "it is paid without a transaction, or has one without being paid");
    }
    if let Some(key) = transaction_row(tx, scope, attempt)?
        && tx.get(&PAYMENT_BY_TRANSACTION, &(scope, key))? != Some(payment.id)
    {
        return lost(&PAYMENT_BY_TRANSACTION, id);
    }
    let has_case = |kinds: &[CaseKind]| -> Result<bool, Finding> {
        for kind in kinds {
            if tx.contains(&CASE_BY_CAUSE, &(scope, id.to_bytes(), case_kind_key(*kind)))? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    // Money that is not its payment's has a case.
    let is_payer = payment.state == PaymentState::Paid && payment.current == Some(id);
    if paid && !is_payer && !has_case(&[CaseKind::SecondPayment, CaseKind::LatePayment, CaseKind::WrongAmount])? {
        return wrong(&CASE_BY_CAUSE, id, "it is paid, its payment is not by it, and there is no case");
    }
    match attempt.follow_up {
        Some(at) => {
            let due = (Lane::account(attempt.account), at, Effect::FollowAttempt(scope, id));
            if !tx.contains(&DUE, &due)? {
                return wrong(&DUE, id, format!("what is due for it at {at} is not in the queue"));
            }
            Ok(())
        }
        None if attempt.step == Step::Hold => match has_case(&[CaseKind::WrongAmount, CaseKind::WrongIdentity])? {
            true => Ok(()),
            false => wrong(&CASE_BY_CAUSE, id, "it is held, and there is no case"),
        },
        None if attempt.state.is_live() => {
            wrong(&ATTEMPTS, id, "it may still be paid, and nobody asks the channel about it")
        }
        None => Ok(()),
    }
}
