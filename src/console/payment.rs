//! One payment: a timeline of everything that happened, the money box with its journal entries, and what can be done.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use actix_web::http::StatusCode;
use askama::Template;

use super::auth::roles::Permission;
use super::story::{self, Line};
use super::visit::{Member, Problem, Reply};
use super::words;
use crate::audit::{Action, Detail};
use crate::domain::case::{Case, CaseKind};
use crate::domain::endpoint::{Delivery, DeliveryAttempt};
use crate::domain::event::{Actor, Event, Happening, TimelineEntry};
use crate::domain::ids::{AccountId, AttemptId, EndpointId, PaymentId, Scope, UserId};
use crate::domain::merchant::ChannelKind;
use crate::domain::money::Money;
use crate::domain::payment::{Attempt, AttemptState, Ending, Payment, PaymentState};
use crate::domain::refund::{Refund, RefundState};
use crate::domain::trouble::Trouble;
use crate::flows::payments as flows;
use crate::flows::record::case_kind_key;
use crate::flows::{FlowError, Moment, deliveries, events, timeline};
use crate::ledger::Chained;
use crate::store::tables::{
    ACCOUNTS, ATTEMPTS, CASE_BY_CAUSE, CASES, DELIVERIES, DELIVERY_ATTEMPTS, EVENTS_BY_PAYMENT, JOURNAL,
    JOURNAL_BY_PAYMENT, PAYMENTS, REFUNDS, USERS,
};
use crate::store::{Order, Read, Span, StoreError};
use crate::web::{Frame, Page, Room};

/// Lines of a timeline that are shown; a payment with more has been asked about for days.
const TIMELINE_MAX: usize = 500;
/// Events of one payment that are shown, the newest.
const EVENTS_MAX: usize = 100;
/// Places one event went to.
const DELIVERIES_MAX: usize = 30;
/// Journal entries of one payment that are shown.
const ENTRIES_MAX: usize = 200;

/// Everything about one payment, read in one snapshot.
pub(super) struct Dossier {
    pub payment: Payment,
    pub attempts: Vec<Attempt>,
    pub timeline: Vec<TimelineEntry>,
    pub refunds: Vec<Refund>,
    pub events: Vec<Told>,
    pub entries: Vec<Chained>,
    pub cases: Vec<Case>,
    /// Where callbacks went.
    pub addresses: BTreeMap<EndpointId, String>,
    /// Names of the people who did something.
    pub people: BTreeMap<UserId, String>,
    /// Names of the channel accounts that attempts went to.
    pub accounts: BTreeMap<AccountId, String>,
    /// Whose accounts they are.
    pub channels: BTreeMap<AccountId, ChannelKind>,
}

impl Dossier {
    pub fn channel_of(&self, attempt: AttemptId) -> Option<ChannelKind> {
        let attempt = self.attempts.iter().find(|one| one.id == attempt)?;
        self.channels.get(&attempt.account).copied()
    }

    /// A message came for this payment and was not believed.
    pub fn refused_a_notification(&self) -> bool {
        self.timeline.iter().any(|entry| matches!(entry.what, Happening::NotificationRefused { .. }))
    }
}

/// An event, where it went, and the last attempt of each.
pub(super) struct Told {
    pub event: Event,
    pub deliveries: Vec<(Delivery, Option<DeliveryAttempt>)>,
}

#[derive(Template)]
#[template(path = "console/payment.html")]
struct PaymentPage {
    page: Page,
    frame: Frame,
    dossier: Dossier,
    lines: Vec<Line>,
    checkout_url: String,
    may_refund: bool,
    may_work: bool,
    may_see_books: bool,
    done: Option<&'static str>,
}

impl PaymentPage {
    fn payment(&self) -> &Payment {
        &self.dossier.payment
    }

    fn money(&self, minor: &u64) -> Money {
        Money::new(*minor, self.payment().amount.currency())
    }

    fn is_refundable(&self) -> bool {
        !self.payment().refundable().is_zero()
    }

    fn is_open(&self) -> bool {
        !self.payment().state.is_final() && self.payment().ending.is_none()
    }

    /// What is left of the money after fee and refunds.
    fn net(&self) -> i128 {
        let payment = self.payment();
        let kept_fee = i128::from(payment.fee_minor) - i128::from(payment.fee_returned_minor);
        i128::from(payment.amount_paid().minor()) - i128::from(payment.refunded_minor) - kept_fee
    }

    /// Refunds that wait for a person.
    fn for_a_person(&self) -> Vec<&Refund> {
        self.dossier.refunds.iter().filter(|refund| RefundState::FOR_A_PERSON.contains(&refund.state)).collect()
    }

    fn is_paid(&self) -> bool {
        self.payment().state == PaymentState::Paid
    }

    /// What went wrong with an attempt that brought no money.
    fn trouble<'a>(&self, attempt: &'a Attempt) -> Option<&'a Trouble> {
        attempt.trouble.as_ref().filter(|_| attempt.state != AttemptState::Paid)
    }

    fn is_late(&self) -> bool {
        self.payment().late
    }
}

pub(super) async fn page(member: Member) -> Reply {
    let id: PaymentId = member.part("payment")?;
    let scope = member.scope();
    let dossier = member.console.store().read(move |tx| read(tx, scope, id)).await?.ok_or(Problem::NotFound)?;
    let page = PaymentPage {
        lines: story::tell(&dossier, &member.page),
        checkout_url: member.console.gateway().checkout_url(scope, id),
        dossier,
        may_refund: member.may(Permission::Refund),
        may_work: member.may(Permission::WorkPayments),
        may_see_books: member.may(Permission::ViewBooks),
        done: member.done(),
        page: member.page.clone(),
        frame: member.frame(Room::Payments),
    };
    Ok(member.render(StatusCode::OK, &page))
}

/// Reads everything about a payment of this merchant and mode.
pub(super) fn read(tx: &impl Read, scope: Scope, id: PaymentId) -> Result<Option<Dossier>, StoreError> {
    let Some(payment) = tx.get(&PAYMENTS, &(scope, id))? else { return Ok(None) };
    let attempts = payment.attempts.iter().map(|id| tx.get(&ATTEMPTS, &(scope, *id)));
    let attempts: Vec<Attempt> = attempts.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    let refunds = payment.refunds.iter().map(|id| tx.get(&REFUNDS, &(scope, *id)));
    let refunds: Vec<Refund> = refunds.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    let of_payment = Span::prefix(&(scope, id));
    let timeline = timeline::newest(tx, scope, id, TIMELINE_MAX)?;
    let mut told = Vec::new();
    for ((_, _, event), ()) in tx.scan(&EVENTS_BY_PAYMENT, &of_payment, Order::Descending, EVENTS_MAX)? {
        let Some(event) = events::event(tx, scope, event)? else { continue };
        let mut deliveries = Vec::new();
        let span = Span::prefix(&(scope, event.id));
        for (_, delivery) in tx.scan(&DELIVERIES, &span, Order::Ascending, DELIVERIES_MAX)? {
            let span = Span::prefix(&(scope, event.id, delivery.endpoint));
            let last = tx.scan(&DELIVERY_ATTEMPTS, &span, Order::Descending, 1)?.pop().map(|(_, attempt)| attempt);
            deliveries.push((delivery, last));
        }
        told.push(Told { event, deliveries });
    }
    told.reverse();
    let mut addresses = BTreeMap::new();
    for (delivery, _) in told.iter().flat_map(|told| &told.deliveries) {
        if let Entry::Vacant(place) = addresses.entry(delivery.endpoint) {
            let endpoint = deliveries::endpoint(tx, scope, delivery.endpoint)?;
            place.insert(endpoint.map(|endpoint| endpoint.url).unwrap_or_default());
        }
    }
    let entries = tx.scan(&JOURNAL_BY_PAYMENT, &of_payment, Order::Ascending, ENTRIES_MAX)?;
    let entries = entries.into_iter().map(|((_, _, seq), ())| tx.get(&JOURNAL, &(scope, seq)));
    let entries = entries.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    let mut cases = Vec::new();
    let attempts_ids = payment.attempts.iter().map(|id| id.to_bytes());
    for subject in attempts_ids.chain(payment.refunds.iter().map(|id| id.to_bytes())) {
        for kind in CaseKind::ALL {
            if let Some(case) = tx.get(&CASE_BY_CAUSE, &(scope, subject, case_kind_key(kind)))? {
                cases.extend(tx.get(&CASES, &(scope, case))?.filter(|case| case.state.is_open()));
            }
        }
    }
    let mut people = BTreeMap::new();
    for entry in &timeline {
        if let Some(Actor::User(user)) = story::actor(&entry.what)
            && let Some(user) = tx.get(&USERS, user)?
        {
            people.insert(user.id, user.name);
        }
    }
    let mut accounts: BTreeMap<AccountId, String> = BTreeMap::new();
    let mut channels = BTreeMap::new();
    for attempt in &attempts {
        if let Entry::Vacant(place) = accounts.entry(attempt.account) {
            let account = tx.get(&ACCOUNTS, &(scope, attempt.account))?;
            let kind = account.as_ref().map(|account| account.kind);
            channels.extend(kind.map(|kind| (attempt.account, kind)));
            place.insert(account.map(|account| account.label).unwrap_or_default());
        }
    }
    Ok(Some(Dossier {
        payment,
        attempts,
        timeline,
        refunds,
        events: told,
        entries,
        cases,
        addresses,
        people,
        accounts,
        channels,
    }))
}

/// Asks the channel now.
pub(super) async fn sync(member: Member) -> Reply {
    let id: PaymentId = member.part("payment")?;
    let (scope, stamp, moment) = (member.scope(), member.stamp(), Moment::new(member.console.env()));
    member
        .console
        .store()
        .write(move |tx| {
            let mut moment = moment;
            let asked = flows::ask_now(tx, scope, id, &mut moment)?;
            let detail = Detail::new().with("attempts", asked.len());
            stamp.record(tx, scope.merchant, Action::PaymentSynced, id, detail)?;
            Ok::<_, FlowError>(asked)
        })
        .await
        .map_err(Problem::from)?;
    Ok(member.go(&format!("/console/payments/{id}?done=synced")))
}

/// Asks for the end of an open payment; the channel has the last word.
pub(super) async fn cancel(member: Member) -> Reply {
    let id: PaymentId = member.part("payment")?;
    let (scope, stamp, moment) = (member.scope(), member.stamp(), Moment::new(member.console.env()));
    let by = Actor::User(member.user.id);
    let ended = member
        .console
        .store()
        .write(move |tx| {
            let mut moment = moment;
            flows::end(tx, scope, id, Ending::CancelByMerchant, by.clone(), &mut moment)?;
            stamp.record(tx, scope.merchant, Action::PaymentCanceled, id, Detail::new())?;
            Ok::<_, FlowError>(())
        })
        .await;
    match ended {
        Ok(()) => Ok(member.go(&format!("/console/payments/{id}?done=canceled"))),
        Err(error) => member.refuse(error, &format!("/console/payments/{id}")),
    }
}
