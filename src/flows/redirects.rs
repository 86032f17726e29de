//! A refund that cannot reach where it came from (异常退款): a person says where it goes, the channel is told once, and asked
//! for as long as nobody knows whether it heard.
//!
//! It is never told two things: a person is asked again only when the channel has refused what it was told, or has still not
//! heard of it when every sending must have arrived or be lost.

use super::approvals;
use super::effect::{Effect, Lane, schedule, unschedule};
use super::record::{self, save_refund};
use super::refunds;
use super::timeline::tell;
use super::{FlowError, Moment, Refusal};
use crate::channels::{Observation, RefundTarget};
use crate::domain::event::{Actor, Happening};
use crate::domain::follow::{RefundHeard, RefundStep};
use crate::domain::ids::{RefundId, Scope, UserId};
use crate::domain::money::Money;
use crate::domain::redirect::{Destination, Outcome, Redirect, SENDINGS_MAX};
use crate::domain::refund::{Refund, RefundEvent, RefundSource, RefundState};
use crate::domain::time::Timestamp;
use crate::store::tables::REDIRECTS;
use crate::store::{Read, StoreError, WriteTx};

/// What a person decides about one refund.
#[derive(Clone, Copy, Debug)]
pub struct Decision {
    pub refund: RefundId,
    /// As it was shown: a refund that has moved on since is not decided any more.
    pub version: u32,
    pub to: Destination,
    /// The name under which a card is kept in memory.
    pub token: [u8; 16],
    pub by: UserId,
}

/// The last decision about a refund, if there was one.
pub fn last(tx: &impl Read, scope: Scope, id: RefundId) -> Result<Option<Redirect>, StoreError> {
    tx.get(&REDIRECTS, &(scope, id))
}

/// Decides alone, if it takes no second person: what was so large that two had to agree to refund it takes two again.
pub fn decide_alone(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    decision: &Decision,
    moment: &mut Moment,
) -> Result<Refund, FlowError> {
    let refund = waiting(tx, scope, decision.refund, RefundState::Undeliverable, decision.version)?;
    let payment = record::payment(tx, scope, refund.payment)?;
    let extra = match refund.source {
        // It counts among the payment's refunds already.
        RefundSource::Merchant(_) => Money::zero(refund.amount.currency()),
        RefundSource::Suspense(_) => refund.amount,
    };
    if let Some(over) = approvals::limit_passed(tx, scope, &payment, extra)? {
        return Err(Refusal::ApprovalNeeded { over }.into());
    }
    decide(tx, scope, decision, moment)
}

/// A refund that waits for a person in this state, as it was shown.
pub(super) fn waiting(
    tx: &impl Read,
    scope: Scope,
    id: RefundId,
    state: RefundState,
    version: u32,
) -> Result<Refund, FlowError> {
    let refund = refunds::refund(tx, scope, id)?;
    if refund.state == state && refund.version == version {
        Ok(refund)
    } else {
        Err(Refusal::RefundNotWaiting { state: refund.state }.into())
    }
}

/// Stores the decision and queues its sending.
pub(super) fn decide(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    decision: &Decision,
    moment: &mut Moment,
) -> Result<Refund, FlowError> {
    let Decision { refund: id, version, to, token, by } = *decision;
    let mut refund = waiting(tx, scope, id, RefundState::Undeliverable, version)?;
    let before = refund.state;
    refund.state = before.next(RefundEvent::Redirected).ok_or(Refusal::RefundNotWaiting { state: before })?;
    refund.version += 1;
    refund.failure = None;
    refund.step = RefundStep::Redirect;
    // The ladder begins anew: the customer waits.
    refund.queries = 0;
    let (lane, effect) = (Lane::account(refund.account), Effect::FollowRefund(scope, id));
    if let Some(old) = refund.follow_up.replace(moment.now) {
        unschedule(tx, lane, old, effect)?;
    }
    schedule(tx, lane, moment.now, effect)?;
    let (decided_at, sent_at) = (moment.now, moment.now);
    let redirect = Redirect { to, by, decided_at, token, sendings: 0, sent_at, outcome: Outcome::UnderWay };
    tx.put(&REDIRECTS, &(scope, id), &redirect)?;
    save_refund(tx, scope, Some(before), &refund)?;
    let what = Happening::RefundRedirected { refund: id, to, by: Actor::User(by) };
    tell(tx, scope, refund.payment, moment.now, what)?;
    Ok(refund)
}

/// A person says that the customer has got the money outside of the channel, which gave it to the merchant before.
pub fn paid_outside(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    id: RefundId,
    version: u32,
    note: &str,
    by: Actor,
    moment: &mut Moment,
) -> Result<Refund, FlowError> {
    let mut refund = waiting(tx, scope, id, RefundState::Returned, version)?;
    let before = refund.state;
    refund.state = before.next(RefundEvent::PaidOutside).ok_or(Refusal::RefundNotWaiting { state: before })?;
    refund.version += 1;
    let what = Happening::RefundPaidOutside { refund: id, by, note: note.to_owned() };
    tell(tx, scope, refund.payment, moment.now, what)?;
    refunds::succeeded(tx, scope, refund.clone(), before, moment)?;
    Ok(refund)
}

/// What the channel is told now; `None` when a card is not known any more, so that nothing is sent.
pub(super) fn target(
    redirect: &Redirect,
    envelopes: &super::envelopes::Envelopes,
    now: Timestamp,
) -> Option<RefundTarget> {
    match redirect.to {
        Destination::Merchant => Some(RefundTarget::Merchant),
        Destination::CustomerCard => envelopes.take(redirect.token, now),
    }
}

/// A refusal as it may be kept: should the channel have repeated what it was told, that is taken out.
pub(super) fn without_card(observation: Observation, target: Option<&RefundTarget>) -> Observation {
    let Some(RefundTarget::CustomerCard { card_no, holder, .. }) = target else { return observation };
    let clean = |text: String| {
        let secrets = [card_no, holder].into_iter().filter_map(|secret| secret.expose_str().ok());
        secrets.filter(|secret| !secret.is_empty()).fold(text, |text, secret| text.replace(secret, "…"))
    };
    match observation {
        Observation::Refused { code, detail } => Observation::Refused { code: clean(code), detail: clean(detail) },
        Observation::Unknown { detail } => Observation::Unknown { detail: clean(detail) },
        other => other,
    }
}

/// What is believed of the channel's word where something was decided about the refund. `answered`: it answers the step that
/// the refund is at.
pub(super) fn believed(
    refund: &Refund,
    redirect: Option<&Redirect>,
    heard: RefundHeard,
    answered: bool,
    now: Timestamp,
) -> RefundHeard {
    let Some(redirect) = redirect else { return heard };
    match heard {
        // The merchant has it, and the customer not yet.
        RefundHeard::Succeeded if redirect.to == Destination::Merchant && redirect.stands() => RefundHeard::Returned,
        RefundHeard::Undeliverable => {
            let fresh = answered
                && match refund.step {
                    RefundStep::AskRedirected => now >= redirect.settles_at(),
                    RefundStep::Send | RefundStep::Ask | RefundStep::AskRefused | RefundStep::Redirect => true,
                };
            if fresh { RefundHeard::Undeliverable } else { RefundHeard::Unknown }
        }
        RefundHeard::Succeeded
        | RefundHeard::Returned
        | RefundHeard::Processing
        | RefundHeard::Failed
        | RefundHeard::Refused
        | RefundHeard::NotFound
        | RefundHeard::Unknown => heard,
    }
}

/// Keeps what became of the decision, by the answer to `step`. True when it is to be sent once more, which is done for the
/// merchant's own account alone: nothing of that has to be remembered.
pub(super) fn keep_outcome(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    refund: RefundId,
    mut redirect: Redirect,
    (step, heard): (RefundStep, RefundHeard),
    observation: &Observation,
    now: Timestamp,
) -> Result<bool, StoreError> {
    if step == RefundStep::Redirect {
        redirect.sendings = redirect.sendings.saturating_add(1);
        redirect.sent_at = now;
    }
    let told = matches!(step, RefundStep::Redirect | RefundStep::AskRedirected);
    let again = step == RefundStep::AskRedirected
        && heard == RefundHeard::Undeliverable
        && redirect.to == Destination::Merchant
        && redirect.sendings < SENDINGS_MAX;
    redirect.outcome = match (heard, observation) {
        _ if again => Outcome::UnderWay,
        (RefundHeard::Processing | RefundHeard::Succeeded | RefundHeard::Returned, _) if redirect.stands() => {
            Outcome::Accepted
        }
        (RefundHeard::Refused, Observation::Refused { detail, .. }) if step == RefundStep::Redirect => {
            Outcome::Refused { detail: detail.clone() }
        }
        (RefundHeard::Undeliverable, _) if step == RefundStep::AskRedirected => Outcome::Lost,
        (RefundHeard::Undeliverable, _) if !told && redirect.outcome == Outcome::Accepted => Outcome::Bounced,
        (_, _) => redirect.outcome,
    };
    tx.put(&REDIRECTS, &(scope, refund), &redirect)?;
    Ok(again)
}

/// The process that was here before may have sent what was decided: from now on it is asked first. Called at start.
pub(super) fn perhaps_sent(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    mut refund: Refund,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(mut redirect) = tx.get(&REDIRECTS, &(scope, refund.id))? else { return Ok(()) };
    redirect.sent_at = now;
    redirect.sendings = redirect.sendings.saturating_add(1);
    refund.step = RefundStep::AskRedirected;
    tx.put(&REDIRECTS, &(scope, refund.id), &redirect)?;
    save_refund(tx, scope, Some(refund.state), &refund)
}
