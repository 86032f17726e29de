//! What people do in the console: decide cases, propose and approve refunds, change channel accounts. And what the plain
//! model says to it.

use super::decided::{Choice, Line};
use super::dice::Dice;
use super::requests::Request;
use super::story::{Checked, Story};
use super::town::Contract;
use crate::channels::wechatpay::{AnswersBy, Credentials};
use crate::domain::approval::Command;
use crate::domain::case::CaseState;
use crate::domain::event::Actor;
use crate::domain::ids::{AccountId, CaseId, ProposalId, UserId};
use crate::domain::merchant::Share;
use crate::domain::money::{Currency, Money};
use crate::flows::accounts::{self, Terms};
use crate::flows::decisions::{self, Decision};
use crate::flows::{Moment, Refusal, approvals};
use crate::store::Read;
use crate::store::tables::{ACCOUNTS, CASES, PROPOSAL_BY_NUMBER, PROPOSALS};

const MAKER: UserId = UserId::from_bytes([1; 16]);
const CHECKER: UserId = UserId::from_bytes([2; 16]);

/// What a person changes about a channel account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Active(bool),
    Weight(u16),
    /// Other credentials of the same contract: answers by the public key or by platform certificates.
    Credentials {
        by_public_key: bool,
    },
}

impl Story {
    /// Some open case, and what a person who looked at the channel could decide about it; sometimes what is impossible.
    pub(super) fn any_decision(&self, dice: &mut Dice) -> Checked<Option<Request>> {
        let open = self.house()?.all(&CASES).or_else(|error| self.excused(&error).map(|()| Vec::new()))?;
        let open: Vec<_> = open.into_iter().filter(|(_, case)| case.state == CaseState::Open).collect();
        let Some(((scope, id), case)) = dice.pick(&open).cloned() else { return Ok(None) };
        let looked = self.house()?.store().read_blocking(|tx| decisions::look(tx, scope, id));
        let Ok(looked) = looked else { return Ok(None) };
        let truth = self.ground.wire.outside().truth(&case.attempt.bare());
        let there = truth.filter(|truth| !truth.revoked).and_then(|truth| truth.received);
        // Whoever looks at the channel believes the line that is true.
        let believed = looked.lines.iter().position(|line| {
            let received = line.transaction.as_ref().and(there.as_ref());
            received.is_some_and(|(minor, _)| *minor == line.seen.minor())
        });
        let choice = match (case.suspense_minor > 0, believed) {
            (true, _) => {
                dice.one_of([Choice::Book, Choice::GiveBack, Choice::Elsewhere, Choice::Elsewhere, Choice::Close])
            }
            (false, Some(_)) => dice.one_of([Choice::Book, Choice::GiveBack, Choice::GiveBack, Choice::Close]),
            (false, None) => dice.one_of([Choice::Close, Choice::Close, Choice::Elsewhere]),
        };
        Ok(Some(Request::Decide { case: id, line: believed.unwrap_or(0), choice }))
    }

    pub(super) fn decide(&mut self, id: CaseId, line: usize, choice: Choice) -> Checked {
        let scope = self.ground.scope;
        let looked = self.house()?.store().read_blocking(|tx| decisions::look(tx, scope, id));
        // It may have been opened by a write that was cut short.
        let Ok(looked) = looked else { return Ok(()) };
        let decision = match choice {
            Choice::Book => Decision::Book,
            Choice::GiveBack => Decision::GiveBack,
            Choice::Elsewhere => Decision::PaidElsewhere { note: "in cash".to_owned() },
            Choice::Close => Decision::Close { note: "nothing there".to_owned() },
        };
        let moment = Moment::new(&self.ground.env);
        let by = Actor::User(MAKER);
        let decided = self.ask(move |tx| {
            decisions::decide(tx, scope, id, line, &decision, by.clone(), &mut moment.clone()).map(drop)
        })?;
        let case = &looked.case;
        let (number, kind) = (case.attempt.bare(), case.kind.code());
        let of_refund = looked.lines.first().is_some_and(|line| line.transaction.is_none());
        let line = looked.lines.get(line).map_or(Line { minor: 0, transaction: String::new() }, |line| Line {
            minor: line.seen.minor(),
            transaction: line.transaction.clone().unwrap_or_default(),
        });
        let mut after = self.model.clone();
        let open = case.state == CaseState::Open;
        let possible = open && after.decide(&number, (kind, of_refund), choice, &line);
        match decided {
            None => self.in_doubt(|model| {
                if open {
                    model.decide(&number, (kind, of_refund), choice, &line);
                }
            }),
            Some(outcome) if outcome.is_ok() != possible => {
                return Err(format!(
                    "{kind} of {number}: {choice:?} came to {outcome:?}, must be possible: {possible}"
                ));
            }
            Some(Ok(())) => {
                self.model = after;
                self.note(match choice {
                    Choice::Book => "a person booked a case",
                    Choice::GiveBack => "a person gave a case's money back",
                    Choice::Elsewhere => "a person paid back by another way",
                    Choice::Close => "a person closed a case",
                });
            }
            Some(Err(Refusal::CaseDecided { .. })) => {
                self.note("a case was decided by two, and the second was refused")
            }
            Some(Err(_)) => self.note("a decision that made no sense was refused"),
        }
        Ok(())
    }

    /// A refund that needs two persons, or an answer to one that waits.
    pub(super) fn any_proposal(&self, dice: &mut Dice) -> Option<Request> {
        let waiting: Vec<&String> = self.model.proposals.keys().collect();
        match dice.pick(&waiting).filter(|_| dice.chance(60)) {
            Some(number) if dice.chance(30) => Some(Request::Refuse { number: (*number).clone() }),
            Some(number) => {
                Some(Request::Approve { number: (*number).clone(), own: dice.chance(30), stale: dice.chance(10) })
            }
            None => match self.any_refund(dice)? {
                Request::Refund { order, minor, .. } => {
                    Some(Request::Propose { order, number: format!("q{}", dice.below(30)), minor })
                }
                _ => None,
            },
        }
    }

    pub(super) fn propose(&mut self, order: &str, number: &str, minor: u64) -> Checked {
        let (scope, payment, moment) = (self.ground.scope, self.id_of(order)?, Moment::new(&self.ground.env));
        let command = Command::Refund {
            payment,
            amount: Money::new(minor, Currency::CNY),
            refund_no: number.to_owned(),
            reason: None,
        };
        let proposed = self
            .ask(move |tx| approvals::propose(tx, scope, &command, MAKER, &|_| None, &mut moment.clone()).map(drop))?;
        let mut after = self.model.clone();
        let possible = after.propose(order, number, minor);
        match proposed {
            None => self.in_doubt(|model| {
                model.propose(order, number, minor);
            }),
            Some(outcome) if outcome.is_ok() != possible => {
                return Err(format!("proposing {minor} of {order} came to {outcome:?}, must be possible: {possible}"));
            }
            Some(_) => self.model = after,
        }
        Ok(())
    }

    pub(super) fn approve(&mut self, number: &str, own: bool, stale: bool) -> Checked {
        let Some((id, hash)) = self.proposal(number)? else { return Ok(()) };
        let (scope, moment) = (self.ground.scope, Moment::new(&self.ground.env));
        let seen = if stale { [7; 32] } else { hash };
        let checker = if own { MAKER } else { CHECKER };
        let approved = self.ask(move |tx| {
            approvals::approve(tx, scope, id, seen, checker, &|_| None, &mut moment.clone()).map(drop)
        })?;
        let mut after = self.model.clone();
        let made = !own && !stale && after.approve(number);
        match approved {
            None if !own && !stale => self.in_doubt(|model| {
                model.approve(number);
            }),
            None => {}
            Some(outcome) if outcome.is_ok() != made => {
                return Err(format!("approving {number} came to {outcome:?}, must be made: {made}"));
            }
            Some(Ok(())) => {
                self.model = after;
                self.note("a second person approved a refund");
            }
            Some(Err(Refusal::OwnProposal)) => self.note("nobody approved an own proposal"),
            Some(Err(Refusal::ProposalOver)) => self.note("a proposal was decided by two, and the second was refused"),
            Some(Err(_)) => self.note("an approval was refused"),
        }
        Ok(())
    }

    pub(super) fn refuse(&mut self, number: &str) -> Checked {
        let Some((id, _)) = self.proposal(number)? else { return Ok(()) };
        let (scope, now) = (self.ground.scope, self.now());
        let refused = self.ask(move |tx| approvals::refuse(tx, scope, id, CHECKER, now).map(drop))?;
        let mut after = self.model.clone();
        let possible = after.refuse(number);
        match refused {
            None => self.in_doubt(|model| {
                model.refuse(number);
            }),
            Some(outcome) if outcome.is_ok() != possible => {
                return Err(format!("refusing {number} came to {outcome:?}, must be possible: {possible}"));
            }
            Some(Ok(())) => {
                self.model = after;
                self.note("a second person refused a refund");
            }
            Some(Err(_)) => {}
        }
        Ok(())
    }

    fn proposal(&self, number: &str) -> Checked<Option<(ProposalId, [u8; 32])>> {
        let scope = self.ground.scope;
        let row = (scope, number.to_owned());
        let found = self.house()?.store().read_blocking(|tx| {
            let Some(id) = tx.get(&PROPOSAL_BY_NUMBER, &row)? else { return Ok(None) };
            Ok(tx.get(&PROPOSALS, &(scope, id))?.map(|proposal| (id, proposal.hash)))
        });
        found.or_else(|error| self.excused(&error).map(|()| None))
    }

    /// Somebody changes an account while its payments are under way.
    pub(super) fn any_change(&self, dice: &mut Dice) -> Request {
        let others = self.ground.accounts.iter().map(|(_, account)| *account);
        let all: Vec<AccountId> = others.chain([self.ground.account]).collect();
        let account = *dice.pick(&all).unwrap_or(&self.ground.account);
        let change = match dice.below(8) {
            0 => Change::Active(false),
            1 | 2 => Change::Active(true),
            3..6 => Change::Weight(dice.one_of([0, 1, 100])),
            _ => Change::Credentials { by_public_key: dice.chance(50) },
        };
        Request::Account { account, change }
    }

    pub(super) fn change_account(&mut self, id: AccountId, change: Change) -> Checked {
        let scope = self.ground.scope;
        let known = self.house()?.one(&ACCOUNTS, &(scope, id)).or_else(|error| self.excused(&error).map(|()| None))?;
        let Some(known) = known else { return Ok(()) };
        let mut terms = Terms { label: known.label.clone(), active: known.active, share: known.share };
        let mut credentials = None;
        match change {
            Change::Active(active) => terms.active = active,
            Change::Weight(weight) => terms.share = Share { weight, ..terms.share },
            Change::Credentials { by_public_key } => {
                credentials = self.other_credentials(id, by_public_key);
                if credentials.is_none() {
                    return Ok(());
                }
            }
        }
        let (active, weight) = (terms.active, terms.share.weight);
        let changed = self.ask(move |tx| Ok(accounts::change(tx, scope, id, &terms, credentials.as_ref())?))?;
        let Some(changed) = changed else {
            // It may be either; the next look tells.
            self.active.remove(&id);
            self.shares.insert(id, None);
            self.answers_by_public_key = None;
            return Ok(());
        };
        if changed != Ok(true) {
            return Err(format!("an account that is there could not be changed: {changed:?}"));
        }
        self.active.insert(id, active);
        self.shares.insert(id, Some(weight));
        if let Change::Credentials { by_public_key } = change {
            self.answers_by_public_key = Some(by_public_key);
            self.note("credentials were replaced");
        }
        if !active {
            self.note("an account was switched off");
        }
        self.house()?.gateway.reload_channels().or_else(|error| self.excused(&error))
    }

    /// The same contract with the other kind of key; only WeChat Pay has two.
    fn other_credentials(&self, id: AccountId, by_public_key: bool) -> Option<crate::crypto::Sealed> {
        if self.ground.contract_of(id) != Some(Contract::WechatCertificate) {
            return None;
        }
        let gateway = &self.house().ok()?.gateway;
        let mut credentials = self.opened(id)?;
        credentials.answers = if by_public_key {
            AnswersBy::PublicKey { id: credentials.public_keys.keys().next()?.clone() }
        } else {
            AnswersBy::PlatformCertificate
        };
        Some(accounts::seal(gateway, self.ground.scope, id, &credentials.to_secret()))
    }

    fn opened(&self, id: AccountId) -> Option<Credentials> {
        let gateway = &self.house().ok()?.gateway;
        let row = crate::channels::registry::credentials_row(self.ground.scope, id);
        let place = crate::crypto::Place {
            table: ACCOUNTS.name(),
            row: &row,
            field: crate::channels::registry::CREDENTIALS_FIELD,
        };
        let account = self.house().ok()?.one(&ACCOUNTS, &(self.ground.scope, id)).ok()??;
        let record = gateway.vault.open(&place, &account.credentials).ok()?;
        Credentials::read(record.expose()).ok()
    }

    /// The credentials that were entered last are the ones in use, whatever was fetched meanwhile.
    pub(super) fn check_credentials(&self) -> Checked {
        let Some(expected) = self.answers_by_public_key else { return Ok(()) };
        let found = self.ground.accounts.iter().find(|(contract, _)| *contract == Contract::WechatCertificate);
        let Some(stored) = found.and_then(|(_, id)| self.opened(*id)) else { return Ok(()) };
        let by_public_key = matches!(stored.answers, AnswersBy::PublicKey { .. });
        if by_public_key == expected { Ok(()) } else { Err("credentials that were replaced are back".to_owned()) }
    }
}
