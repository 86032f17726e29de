//! Refunds that take two persons: proposed by one, approved or refused by another, or over when nobody came.

use std::collections::BTreeMap;

use super::redirects::{self, Decision};
use super::refunds::{self, NewRefund};
use super::{FlowError, Moment, Refusal, record};
use crate::domain::approval::{ApprovalRule, Command, PROPOSAL_LASTS, PROPOSALS_WAITING_MAX, Proposal, ProposalState};
use crate::domain::event::Actor;
use crate::domain::ids::{AccountId, MerchantId, ProposalId, Scope, UserId};
use crate::domain::money::Money;
use crate::domain::payment::Payment;
use crate::domain::refund::{Refund, RefundState};
use crate::domain::time::{Duration, Timestamp};
use crate::store::tables::{APPROVAL_RULES, PROPOSAL_BY_NUMBER, PROPOSALS, PROPOSALS_BY_EXPIRY, PROPOSALS_WAITING};
use crate::store::{Order, Read, Span, StoreError, WriteTx};

pub fn rule(tx: &impl Read, merchant: MerchantId) -> Result<ApprovalRule, StoreError> {
    Ok(tx.get(&APPROVAL_RULES, &merchant)?.unwrap_or_default())
}

/// The limit that this refund goes beyond, together with what was and is being refunded of the payment: parts of a large
/// refund are a large refund. Another currency than the merchant's has no limit that could be compared, so it needs two.
pub fn limit_passed(
    tx: &impl Read,
    scope: Scope,
    payment: &Payment,
    amount: Money,
) -> Result<Option<Money>, FlowError> {
    let Some(over) = rule(tx, scope.merchant)?.refund_over_minor else { return Ok(None) };
    let merchant = record::merchant(tx, scope)?;
    let limit = Money::new(over, merchant.currency);
    let gone = payment.refunded_minor.saturating_add(payment.refunding_minor);
    let sum = gone.saturating_add(amount.minor());
    Ok((amount.currency() != merchant.currency || sum > over).then_some(limit))
}

/// Keeps a refund until another person has decided. What could not be accepted now is refused now. The same form sent
/// twice is one proposal.
pub fn propose(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    command: &Command,
    maker: UserId,
    window_of: &dyn Fn(AccountId) -> Option<Duration>,
    moment: &mut Moment,
) -> Result<Proposal, FlowError> {
    let (hash, number) = (command.hash(), command.number().to_owned());
    if let Some(id) = tx.get(&PROPOSAL_BY_NUMBER, &(scope, number.clone()))?
        && let Some(known) = tx.get(&PROPOSALS, &(scope, id))?
    {
        return if known.hash == hash { Ok(known) } else { Err(Refusal::ProposalChanged.into()) };
    }
    match command {
        Command::Refund { payment, amount, refund_no, reason } => {
            let record = record::payment(tx, scope, *payment)?;
            let new = new_refund(hash, *amount, refund_no, reason.as_deref());
            refunds::acceptable(tx, scope, &record, &new, window_of, moment.now)?;
        }
        Command::Redirect { refund, version, .. } => {
            redirects::waiting(tx, scope, *refund, RefundState::Undeliverable, *version)?;
        }
    }
    let waiting = tx.scan(&PROPOSALS_WAITING, &Span::prefix(&scope), Order::Ascending, PROPOSALS_WAITING_MAX)?;
    if waiting.len() >= PROPOSALS_WAITING_MAX {
        return Err(Refusal::TooManyProposals.into());
    }
    let proposal = Proposal {
        id: ProposalId::new(moment.now, moment.random()),
        command: command.clone(),
        hash,
        maker,
        made_at: moment.now,
        expires_at: moment.now.plus(PROPOSAL_LASTS),
        state: ProposalState::Waiting,
    };
    tx.put(&PROPOSAL_BY_NUMBER, &(scope, number), &proposal.id)?;
    tx.put(&PROPOSALS_WAITING, &(scope, proposal.id), &())?;
    tx.put(&PROPOSALS_BY_EXPIRY, &(proposal.expires_at, scope, proposal.id), &())?;
    tx.put(&PROPOSALS, &(scope, proposal.id), &proposal)?;
    Ok(proposal)
}

fn new_refund(hash: [u8; 32], amount: Money, refund_no: &str, reason: Option<&str>) -> NewRefund {
    NewRefund {
        amount: Some(amount),
        refund_no: Some(refund_no.to_owned()),
        reason: reason.map(str::to_owned),
        metadata: BTreeMap::new(),
        fingerprint: *hash.first_chunk().expect("a hash has 32 bytes"),
    }
}

/// Carries out what another person has seen, as it stands now. `seen` is the hash of what was shown.
pub fn approve(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    id: ProposalId,
    seen: [u8; 32],
    checker: UserId,
    window_of: &dyn Fn(AccountId) -> Option<Duration>,
    moment: &mut Moment,
) -> Result<(Proposal, Refund), FlowError> {
    let mut proposal = waiting(tx, scope, id, moment.now)?;
    if proposal.maker == checker {
        return Err(Refusal::OwnProposal.into());
    }
    if proposal.hash != seen || proposal.command.hash() != seen {
        return Err(Refusal::ProposalChanged.into());
    }
    let refund = match &proposal.command {
        Command::Refund { payment, amount, refund_no, reason } => {
            let new = new_refund(seen, *amount, refund_no, reason.as_deref());
            let by = Actor::User(proposal.maker);
            refunds::accept(tx, scope, *payment, &new, by, window_of, moment)?.refund().clone()
        }
        Command::Redirect { refund, version, to, .. } => {
            let (token, by) = (id.to_bytes(), proposal.maker);
            let decision = Decision { refund: *refund, version: *version, to: *to, token, by };
            redirects::decide(tx, scope, &decision, moment)?
        }
    };
    let state = ProposalState::Approved { by: checker, at: moment.now, refund: refund.id };
    settle(tx, scope, &mut proposal, state)?;
    Ok((proposal, refund))
}

/// By another person, or by its maker, who withdraws it.
pub fn refuse(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    id: ProposalId,
    by: UserId,
    now: Timestamp,
) -> Result<Proposal, FlowError> {
    let mut proposal = waiting(tx, scope, id, now)?;
    settle(tx, scope, &mut proposal, ProposalState::Refused { by, at: now })?;
    Ok(proposal)
}

fn waiting(tx: &impl Read, scope: Scope, id: ProposalId, now: Timestamp) -> Result<Proposal, FlowError> {
    let proposal = tx.get(&PROPOSALS, &(scope, id))?.ok_or(Refusal::ProposalNotFound)?;
    if proposal.is_waiting(now) { Ok(proposal) } else { Err(Refusal::ProposalOver.into()) }
}

fn settle(tx: &mut WriteTx<'_>, scope: Scope, proposal: &mut Proposal, state: ProposalState) -> Result<(), StoreError> {
    proposal.state = state;
    tx.delete(&PROPOSALS_WAITING, &(scope, proposal.id))?;
    tx.delete(&PROPOSALS_BY_EXPIRY, &(proposal.expires_at, scope, proposal.id))?;
    tx.put(&PROPOSALS, &(scope, proposal.id), proposal)
}

/// Ends what nobody decided in time, a bounded piece; answers how many.
pub fn expire_due(tx: &mut WriteTx<'_>, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
    let due = tx.scan(
        &PROPOSALS_BY_EXPIRY,
        &Span::all().until(&now.plus(Duration::from_millis(1))),
        Order::Ascending,
        limit,
    )?;
    for ((at, scope, id), ()) in &due {
        match tx.get(&PROPOSALS, &(*scope, *id))? {
            Some(mut proposal) => settle(tx, *scope, &mut proposal, ProposalState::Expired { at: now })?,
            None => drop(tx.delete(&PROPOSALS_BY_EXPIRY, &(*at, *scope, *id))?),
        }
    }
    Ok(due.len())
}
