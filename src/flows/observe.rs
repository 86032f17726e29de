//! What a channel said about an attempt, by answer or notification, and everything that follows from it, in one commit.
//!
//! Observations are matched against the attempt before they count: amount, currency, identity. A difference books
//! nothing and opens a case. The same news a second time changes nothing.

use super::cases::{self, About, Difference};
use super::effect::{Effect, Lane, unschedule};
use super::payments::{self, close_live_attempts, conclude, finish, reschedule};
use super::record::{self, count, day_of, emit_payment, save_payment, sum_minor};
use super::timeline::tell;
use super::{FlowError, Moment, books, refunds};
use crate::channels::errors::trouble_of;
use crate::channels::{Observation, PaidFacts};
use crate::domain::case::CaseKind;
use crate::domain::event::{Actor, EventType, Happening, PaidSource};
use crate::domain::follow::{self, Heard, Step, When};
use crate::domain::ids::{AttemptId, CaseId, Scope};
use crate::domain::merchant::{ChannelKind, DuplicatePolicy, LatePolicy, Merchant};
use crate::domain::method::Flow;
use crate::domain::payment::{
    Attempt, AttemptEvent, AttemptState, Ending, NextAction, PaidBy, Payment, PaymentEvent, PaymentState, Reason,
    Route, RouteReason,
};
use crate::ledger::rules::{self, Collected};
use crate::store::tables::{PAYMENT_BY_TRANSACTION, SHOWN_CODES};
use crate::store::{Read, WriteTx};

/// Where the news came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The answer to a follow-up, which did this step. It is over with this commit. The plan may have changed while the
    /// channel was answering: then the news counts, and the plan stays.
    FollowUp(Step),
    /// The channel told us by itself.
    Notification,
}

fn heard(observation: &Observation) -> Heard {
    match observation {
        Observation::Accepted { .. } => Heard::Accepted,
        Observation::NotPaid => Heard::NotPaid,
        Observation::Paid(_) => Heard::Paid,
        Observation::Closed => Heard::Closed,
        Observation::Declined { .. } => Heard::Declined,
        Observation::NotFound => Heard::NotFound,
        Observation::Refused { .. } | Observation::Barred { .. } => Heard::Refused,
        Observation::CodeLost { .. } => Heard::CodeLost,
        Observation::RefundProcessing { .. }
        | Observation::RefundSucceeded { .. }
        | Observation::RefundFailed { .. }
        | Observation::RefundUndeliverable { .. }
        | Observation::RefundReturned { .. }
        | Observation::Unknown { .. } => Heard::Unknown,
    }
}

/// The channel's answer in a word, for the timeline.
fn word(observation: &Observation) -> String {
    match observation {
        Observation::Accepted { .. } => "accepted".to_owned(),
        Observation::NotPaid => "not_paid".to_owned(),
        Observation::Paid(_) => "paid".to_owned(),
        Observation::Closed => "closed".to_owned(),
        Observation::Declined { .. } => "declined".to_owned(),
        Observation::NotFound => "not_found".to_owned(),
        Observation::Refused { code, .. } | Observation::Barred { code, .. } => code.clone(),
        Observation::CodeLost { .. } => "code_lost".to_owned(),
        Observation::RefundProcessing { .. } => "refund_processing".to_owned(),
        Observation::RefundSucceeded { .. } => "refund_succeeded".to_owned(),
        Observation::RefundFailed { .. } => "refund_failed".to_owned(),
        Observation::RefundUndeliverable { .. } => "refund_undeliverable".to_owned(),
        Observation::RefundReturned { .. } => "refund_returned".to_owned(),
        Observation::Unknown { .. } => "unknown".to_owned(),
    }
}

/// Applies what `channel` said about the attempt with this number.
pub fn observe(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    id: AttemptId,
    channel: ChannelKind,
    observation: &Observation,
    source: Source,
    moment: &mut Moment,
) -> Result<(), FlowError> {
    observe_or_move(tx, scope, id, channel, observation, source, None, moment)
}

/// The same with another account that takes the payment if this one is barred: `elsewhere`.
#[expect(clippy::too_many_arguments, reason = "one call, and every argument is another thing")]
pub fn observe_or_move(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    id: AttemptId,
    channel: ChannelKind,
    observation: &Observation,
    source: Source,
    elsewhere: Option<Route>,
    moment: &mut Moment,
) -> Result<(), FlowError> {
    let mut attempt = record::attempt(tx, scope, id)?;
    let mut payment = record::payment(tx, scope, attempt.payment)?;
    let observation = &at_the_counter(&attempt, observation, source);
    narrate(tx, scope, &mut attempt, channel, observation, source, moment)?;
    if source == Source::FollowUp(attempt.step) {
        attempt.queries = attempt.queries.saturating_add(1);
    }
    if let Observation::Paid(facts) = observation {
        if source == Source::Notification && is_taken_back(&attempt) {
            // The message may be older than the reversal: the channel is asked which came first.
            return if attempt.state.is_live() {
                Ok(record::save_attempt(tx, scope, &attempt)?)
            } else {
                reschedule(tx, scope, &mut attempt, Step::AskLate, Some(moment.now))
            };
        }
        if let Some((kind, detail)) = difference(tx, scope, &payment, &attempt, channel, facts)? {
            let fact = Difference::of_payment(kind, attempt.amount, facts, false, detail);
            let case = cases::open(tx, scope, &About::attempt(&attempt), fact, moment)?;
            let decided = !attempt.state.is_live() && !case.state.is_open();
            return match attempt.state {
                AttemptState::Paid => reschedule(tx, scope, &mut attempt, Step::AskLate, None),
                // A person has looked at this very word already: late money is asked for as if it had not been said.
                _ if decided => ask_late(tx, scope, &mut attempt, moment),
                _ => hold(tx, scope, &mut attempt, moment),
            };
        }
        if attempt.state == AttemptState::Paid {
            // The second sighting of the same money; its follow-up, if any, is over.
            return reschedule(tx, scope, &mut attempt, Step::AskLate, None);
        }
        let detail = match source {
            Source::FollowUp(_) => "asked again, the channel says the right amount",
            Source::Notification => "the channel now says the right amount",
        };
        cases::note_right(tx, scope, &attempt, facts, detail, moment)?;
        return paid(tx, scope, &mut payment, &mut attempt, channel, facts, source, moment);
    }

    let before = attempt.state;
    let brought = tx.get(&SHOWN_CODES, &(scope, id))?;
    let code_is_lost = source == Source::FollowUp(Step::AskLost) && attempt.step == Step::AskLost;
    let (event, plan) = match source {
        Source::FollowUp(asked) => {
            let (event, step, when) = match heard(observation) {
                // A reversal that perhaps arrived is repeated until its answer is known: were money that is seen meanwhile
                // booked, the first one could still take it back.
                Heard::Unknown if asked == Step::Close && attempt.method.flow() == Flow::BarCode => {
                    (AttemptEvent::OutcomeUnknown, Step::Close, When::Ladder)
                }
                heard => follow::after(before, asked, heard),
            };
            (event, (asked == attempt.step).then_some((step, when)))
        }
        // A notification other than "paid" ends an attempt if it says so, and leaves the plan of questions as it is.
        Source::Notification => match heard(observation) {
            Heard::Declined => (AttemptEvent::Declined, None),
            Heard::Closed => (AttemptEvent::Closed, None),
            Heard::Accepted
            | Heard::NotPaid
            | Heard::NotFound
            | Heard::Refused
            | Heard::CodeLost
            | Heard::Unknown
            | Heard::Paid => (AttemptEvent::OutcomeUnknown, None),
        },
    };
    if let Some(state) = before.next(event) {
        attempt.state = state;
        if attempt.method.flow().takes_something_along() {
            tx.delete(&SHOWN_CODES, &(scope, id))?;
        }
        // The ladder begins when the code is shown.
        attempt.queries = 0;
    }
    if attempt.state.is_live()
        && let Observation::Accepted { next_action } = observation
    {
        attempt.next_action = Some(next_action.clone());
    }
    // One that ends now is only asked about late money, whatever was planned for it.
    let ends = before.is_live() && !attempt.state.is_live();
    let plan = if ends { Some((Step::AskLate, When::Ladder)) } else { plan };
    if ends {
        attempt.next_action = None;
        attempt.ended_at = Some(moment.now);
    }
    if let Some((step, when)) = plan {
        let over = moment.now >= attempt.expires_at && step.goes_on();
        let step = if over { Step::AskBeforeClose } else { step };
        if step == Step::AskBeforeClose && attempt.step.goes_on() {
            attempt.queries = 0;
        }
        let due = follow::due(&attempt, step, when, moment.now);
        reschedule(tx, scope, &mut attempt, step, due)?;
    } else {
        record::save_attempt(tx, scope, &attempt)?;
    }
    match attempt.state {
        AttemptState::Failed | AttemptState::Closed if before.is_live() => {
            let route = elsewhere.filter(|_| matches!(observation, Observation::Barred { .. }));
            if let Some(route) = route
                && payments::may_start_by_itself(tx, scope, &payment, &attempt, moment.now)?
            {
                let reason = Reason::ChannelRefused;
                tell(tx, scope, payment.id, moment.now, Happening::AttemptEnded { attempt: attempt.id, reason })?;
                return payments::start_again(tx, scope, &mut payment, &attempt, route, brought, moment);
            }
            ended(tx, scope, &mut payment, &attempt, observation, moment)
        }
        AttemptState::Pending if before == AttemptState::Created => {
            payment.version += 1;
            save_payment(tx, scope, Some(payment.state), &payment)?;
            Ok(tell(tx, scope, payment.id, moment.now, Happening::CodeShown { attempt: attempt.id })?)
        }
        AttemptState::Created if code_is_lost && attempt.step == Step::AskBeforeClose => {
            replace(tx, scope, &mut payment, &attempt, moment)
        }
        AttemptState::Created
        | AttemptState::Pending
        | AttemptState::Paid
        | AttemptState::Failed
        | AttemptState::Closed => Ok(()),
    }
}

/// Nobody has the code of this attempt, which is being closed: another one with a number of its own takes its place. Both
/// are asked about until the first one's end; were both paid, the second would be a case, as with any two.
fn replace(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    payment: &mut Payment,
    attempt: &Attempt,
    moment: &mut Moment,
) -> Result<(), FlowError> {
    if payments::may_start_by_itself(tx, scope, payment, attempt, moment.now)? {
        let route = Route { account: attempt.account, why: RouteReason::CodeLost };
        return payments::start_again(tx, scope, payment, attempt, route, None, moment);
    }
    // The customer may choose again, unless the shop has chosen.
    if payment.method.is_some() && payment.current == Some(attempt.id) && !payment.state.is_final() {
        payments::end(tx, scope, payment.id, Ending::Fail, Actor::System, moment)?;
    }
    Ok(())
}

/// The channel's word disagrees: a person has to look at it. Meanwhile the channel itself is asked what is true.
fn hold(tx: &mut WriteTx<'_>, scope: Scope, attempt: &mut Attempt, moment: &Moment) -> Result<(), FlowError> {
    if attempt.step != Step::Hold {
        attempt.queries = 0;
    }
    let due = follow::due(attempt, Step::Hold, When::Ladder, moment.now);
    reschedule(tx, scope, attempt, Step::Hold, due)
}

/// The charge of a shown code is being reversed, or its attempt has ended.
fn is_taken_back(attempt: &Attempt) -> bool {
    let reversing = match attempt.state {
        AttemptState::Created | AttemptState::Pending => matches!(attempt.step, Step::Close | Step::AskAfterClose),
        AttemptState::Failed | AttemptState::Closed => true,
        AttemptState::Paid => false,
    };
    reversing && attempt.method.flow() == Flow::BarCode
}

/// A code that the customer showed is never charged twice: an order that is there and not paid is one that the customer
/// still confirms on the phone.
fn at_the_counter(attempt: &Attempt, observation: &Observation, source: Source) -> Observation {
    let confirms = attempt.method.flow() == Flow::BarCode
        && *observation == Observation::NotPaid
        && matches!(source, Source::FollowUp(Step::Create | Step::Ask));
    if confirms { Observation::Accepted { next_action: NextAction::Confirm } } else { observation.clone() }
}

fn narrate(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    attempt: &mut Attempt,
    channel: ChannelKind,
    observation: &Observation,
    source: Source,
    moment: &Moment,
) -> Result<(), FlowError> {
    let (id, at) = (attempt.id, moment.now);
    let trouble = trouble_of(Some(channel), observation);
    // What ended it stays: it is shown, and callbacks that were not delivered yet tell it.
    if attempt.state.is_live() {
        attempt.trouble.clone_from(&trouble);
    }
    let unknown = trouble.filter(|_| matches!(observation, Observation::Unknown { .. }));
    let what = match (source, observation, unknown) {
        (Source::Notification, ..) => Happening::Notified { attempt: id, status: word(observation) },
        (Source::FollowUp(_), _, Some(detail)) => Happening::ChannelTrouble { attempt: id, detail },
        (Source::FollowUp(_), Observation::Accepted { .. }, None) => return Ok(()),
        (Source::FollowUp(_), _, None) => Happening::Asked { attempt: id, answer: word(observation) },
    };
    Ok(tell(tx, scope, attempt.payment, at, what)?)
}

/// What disagrees between the channel's word and what we know. A transaction pays one attempt, and an attempt is paid by
/// one transaction.
fn difference(
    tx: &WriteTx<'_>,
    scope: Scope,
    payment: &Payment,
    attempt: &Attempt,
    channel: ChannelKind,
    facts: &PaidFacts,
) -> Result<Option<(CaseKind, String)>, FlowError> {
    if let Err(whose) = &facts.identity {
        return Ok(Some((CaseKind::WrongIdentity, whose.clone())));
    }
    if facts.amount != attempt.amount {
        let detail = format!("expected {}, the channel says {}", attempt.amount, facts.amount);
        return Ok(Some((CaseKind::WrongAmount, detail)));
    }
    let named = &facts.transaction_id;
    if let Some(known) = attempt.transaction_id.as_ref().filter(|known| *known != named) {
        let detail = format!("paid by transaction {known}, the channel now says {named}");
        return Ok(Some((CaseKind::Contradiction, detail)));
    }
    let owner = tx.get(&PAYMENT_BY_TRANSACTION, &transaction_key(scope, channel, named))?;
    let elsewhere = match owner {
        None => return Ok(None),
        Some(owner) if owner != payment.id => owner.to_string(),
        Some(_) if attempt.transaction_id.is_some() => return Ok(None),
        Some(_) => "another attempt of this payment".to_owned(),
    };
    Ok(Some((CaseKind::WrongIdentity, format!("transaction {named} already paid {elsewhere}"))))
}

pub(super) fn transaction_key(scope: Scope, channel: ChannelKind, transaction: &str) -> (Scope, String) {
    (scope, format!("{}:{transaction}", channel.code()))
}

#[expect(clippy::too_many_arguments, reason = "one call, and every argument is another thing")]
fn paid(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    payment: &mut Payment,
    attempt: &mut Attempt,
    channel: ChannelKind,
    facts: &PaidFacts,
    source: Source,
    moment: &mut Moment,
) -> Result<(), FlowError> {
    if attempt.state == AttemptState::Created && attempt.method.flow().takes_something_along() {
        tx.delete(&SHOWN_CODES, &(scope, attempt.id))?;
    }
    attempt.state = AttemptState::Paid;
    // Nobody needs the code any more.
    attempt.next_action = None;
    attempt.transaction_id = Some(facts.transaction_id.clone());
    attempt.paid_at = Some(facts.paid_at);
    reschedule(tx, scope, attempt, Step::AskLate, None)?;
    tx.put(&PAYMENT_BY_TRANSACTION, &transaction_key(scope, channel, &facts.transaction_id), &payment.id)?;

    let merchant = record::merchant(tx, scope)?;
    let before = payment.state;
    let late = before.is_final();
    let Ok(state) = before.next(PaymentEvent::Paid) else {
        return second_payment(tx, scope, payment, attempt, facts, &merchant, moment);
    };
    if late && merchant.late == LatePolicy::Hold {
        let detail = format!("the payment was {} when the money came", before.code());
        let fact = Difference::of_payment(CaseKind::LatePayment, attempt.amount, facts, true, detail);
        cases::open(tx, scope, &About::attempt(attempt), fact, moment)?;
        return Ok(());
    }
    let source = match source {
        Source::FollowUp(_) => PaidSource::Query,
        Source::Notification => PaidSource::Notification,
    };
    book(tx, scope, &merchant, payment, attempt, channel, &Booking { state, source, case: None }, moment)?;
    if late && merchant.late == LatePolicy::Refund {
        refunds::give_back_late(tx, scope, payment, moment)?;
    }
    Ok(())
}

/// How money becomes a payment's.
pub(super) struct Booking {
    /// The payment's state from now on.
    pub state: PaymentState,
    pub source: PaidSource,
    /// The money waited in suspense under this case.
    pub case: Option<CaseId>,
}

/// The attempt's money becomes the payment's: journal, day, timeline and event. The caller has marked the attempt paid.
#[expect(clippy::too_many_arguments, reason = "one call, and every argument is another thing")]
pub(super) fn book(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    merchant: &Merchant,
    payment: &mut Payment,
    attempt: &Attempt,
    channel: ChannelKind,
    booking: &Booking,
    moment: &mut Moment,
) -> Result<(), FlowError> {
    let (before, late, source) = (payment.state, payment.state.is_final(), booking.source);
    let (Some(transaction), Some(paid_at)) = (&attempt.transaction_id, attempt.paid_at) else {
        return Err(FlowError::Books("money is booked that no transaction brought".to_owned()));
    };
    let fee = merchant.fees.fee(attempt.method.code(), payment.amount);
    payment.state = booking.state;
    payment.late = late;
    payment.reason = None;
    payment.ending = None;
    payment.paid_at = Some(paid_at);
    payment.current = Some(attempt.id);
    payment.fee_minor = fee.minor();
    payment.paid_by = Some(PaidBy {
        method: attempt.method,
        channel: channel.code().to_owned(),
        transaction_id: transaction.clone(),
    });
    payment.version += 1;
    let fact = collected(merchant, payment, attempt);
    let entry = match booking.case {
        None => rules::paid(&fact, moment.now)?,
        Some(case) => rules::long_booked(case, &fact, moment.now)?,
    };
    if !books::post(tx, scope, entry)? {
        return Err(FlowError::Books("money that was not booked had been booked".to_owned()));
    }
    unschedule(tx, Lane::OWN, payment.expires_at, Effect::Expire(scope, payment.id))?;
    close_live_attempts(tx, scope, payment, Some(attempt.id), moment.now)?;
    count(tx, scope, day_of(merchant, moment.now), Some(attempt.method), |day| {
        day.paid += 1;
        day.paid_minor = day.paid_minor.saturating_add(sum_minor(merchant, payment.amount));
        day.healed += u64::from(source == PaidSource::Query);
        day.late += u64::from(late);
    })?;
    save_payment(tx, scope, Some(before), payment)?;
    tell(tx, scope, payment.id, moment.now, Happening::Paid { attempt: attempt.id, source, late })?;
    let kind = if late { EventType::PaymentLate } else { EventType::PaymentPaid };
    emit_payment(tx, scope, moment, kind, payment, Some(attempt))?;
    Ok(())
}

/// Asks for money that comes after the end, for as long as there is something to learn.
pub(super) fn ask_late(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    attempt: &mut Attempt,
    moment: &Moment,
) -> Result<(), FlowError> {
    let due = follow::due(attempt, Step::AskLate, When::Ladder, moment.now);
    reschedule(tx, scope, attempt, Step::AskLate, due)
}

fn collected(merchant: &Merchant, payment: &Payment, attempt: &Attempt) -> Collected {
    let currency = payment.amount.currency();
    Collected {
        merchant: merchant.id,
        channel: attempt.account,
        payment: payment.id,
        attempt: attempt.id,
        amount: payment.amount,
        fee: crate::domain::money::Money::new(payment.fee_minor, currency),
        cost: crate::domain::money::Money::zero(currency),
    }
}

/// The order had been paid: the money waits in suspense, and by policy goes back at once.
fn second_payment(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    payment: &mut Payment,
    attempt: &Attempt,
    facts: &PaidFacts,
    merchant: &Merchant,
    moment: &mut Moment,
) -> Result<(), FlowError> {
    let detail = "the order had been paid already".to_owned();
    let fact = Difference::of_payment(CaseKind::SecondPayment, attempt.amount, facts, true, detail);
    let case = cases::open(tx, scope, &About::attempt(attempt), fact, moment)?;
    match merchant.duplicate {
        DuplicatePolicy::Refund => {
            let why = "the order was paid twice";
            refunds::give_back_suspense(tx, scope, payment, attempt, case, (Actor::System, why), moment).map(drop)
        }
        DuplicatePolicy::Hold => Ok(()),
    }
}

/// An attempt ended without money: the payment ends with it if that was asked for, or waits for the next attempt.
fn ended(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    payment: &mut Payment,
    attempt: &Attempt,
    observation: &Observation,
    moment: &mut Moment,
) -> Result<(), FlowError> {
    let reason = match observation {
        Observation::Declined { .. } => Reason::Declined,
        Observation::Refused { .. } | Observation::Barred { .. } => Reason::ChannelRefused,
        Observation::Closed | Observation::NotFound => Reason::Expired,
        Observation::Accepted { .. }
        | Observation::NotPaid
        | Observation::Paid(_)
        | Observation::CodeLost { .. }
        | Observation::RefundProcessing { .. }
        | Observation::RefundSucceeded { .. }
        | Observation::RefundFailed { .. }
        | Observation::RefundUndeliverable { .. }
        | Observation::RefundReturned { .. }
        | Observation::Unknown { .. } => {
            return Err(FlowError::Books("an attempt ended without the channel's word".to_owned()));
        }
    };
    tell(tx, scope, payment.id, moment.now, Happening::AttemptEnded { attempt: attempt.id, reason })?;
    // The shop chose the method, so there is no other one to try; and a code that was shown is good for one charge.
    let over = matches!(reason, Reason::Declined | Reason::ChannelRefused) || attempt.method.flow() == Flow::BarCode;
    let hopeless = payment.method.is_some() && over;
    go_on(tx, scope, payment, hopeless.then_some(reason), moment)
}

/// One attempt less can be paid. After the last one the payment ends if that was asked for, fails if it is `hopeless`, or
/// waits for the next attempt.
pub(super) fn go_on(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    payment: &mut Payment,
    hopeless: Option<Reason>,
    moment: &mut Moment,
) -> Result<(), FlowError> {
    if payment.state.is_final() {
        return Ok(());
    }
    for id in &payment.attempts {
        if record::attempt(tx, scope, *id)?.state.is_live() {
            return Ok(());
        }
    }
    if payment.ending.is_some() {
        return conclude(tx, scope, payment, moment);
    }
    if let Some(reason) = hopeless {
        return finish(tx, scope, payment, PaymentEvent::Failed, reason, moment);
    }
    let before = payment.state;
    if let Ok(state) = before.next(PaymentEvent::AttemptEnded) {
        payment.state = state;
        payment.version += 1;
        save_payment(tx, scope, Some(before), payment)?;
    }
    Ok(())
}
