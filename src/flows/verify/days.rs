//! Day totals are the sum of the events.
//!
//! Compared over all days, by method: a merchant who moves to another time zone cuts his days elsewhere from then on.
//! When a sum is wrong, the first day that differs is named.

use std::collections::BTreeMap;

use super::{Finding, Run, Snapshots, next, wrong};
use crate::domain::event::{Event, EventObject, EventType, Happening, PaidSource};
use crate::domain::ids::{EventId, Mode, PaymentId, Scope};
use crate::domain::merchant::Merchant;
use crate::domain::method::Method;
use crate::domain::payment::Payment;
use crate::domain::refund::RefundSource;
use crate::flows::record::{day_of, method_key, sum_minor};
use crate::store::tables::{DAYS, DayTotals, EVENTS, MERCHANTS, PAYMENTS, TIMELINE};
use crate::store::{Read, Span};

type Totals = BTreeMap<(Scope, u32, u8), DayTotals>;

/// What the events add up to, while they are being read.
pub(super) struct Days {
    /// Each with the newest event when this began: what is told later sorts behind it, and is read in the end.
    merchants: BTreeMap<Scope, (Merchant, Option<EventId>)>,
    totals: Totals,
}

impl Days {
    pub(super) fn begin<S: Snapshots>(run: &Run<'_, S>) -> Result<Self, Finding> {
        run.source.look(|tx| {
            let mut merchants = BTreeMap::new();
            tx.walk(&MERCHANTS, &Span::all(), |id, merchant| {
                for scope in [Mode::Test, Mode::Live].map(|mode| Scope { merchant: id, mode }) {
                    if run.scope.is_none_or(|wanted| wanted == scope) {
                        let newest = tx.last_key(&EVENTS, &Span::prefix(&scope))?.map(|(_, id)| id);
                        merchants.insert(scope, (merchant.clone(), newest));
                    }
                }
                next()
            })?;
            Ok(Self { merchants, totals: Totals::new() })
        })
    }

    pub(super) fn read(&mut self, tx: &impl Read, scope: Scope, event: &Event) -> Result<(), Finding> {
        let newest = self.merchants.get(&scope).and_then(|(_, newest)| *newest);
        if newest.is_some_and(|newest| event.id <= newest) { self.add(tx, scope, event) } else { Ok(()) }
    }

    fn add(&mut self, tx: &impl Read, scope: Scope, event: &Event) -> Result<(), Finding> {
        let Self { merchants, totals: all, .. } = self;
        let Some((merchant, _)) = merchants.get(&scope) else { return Ok(()) };
        let day = day_of(merchant, event.at);
        let row = |method| (scope, day, method_key(method));
        match (&event.object, event.kind) {
            (EventObject::Payment(..), EventType::PaymentCreated) => all.entry(row(None)).or_default().created += 1,
            (
                EventObject::Payment(..),
                EventType::PaymentExpired | EventType::PaymentCanceled | EventType::PaymentFailed,
            ) => all.entry(row(None)).or_default().ended += 1,
            (EventObject::Payment(payment, _), EventType::PaymentPaid | EventType::PaymentLate) => {
                let healed = healed(tx, scope, payment.id)?;
                let totals = all.entry(row(paid_method(payment))).or_default();
                totals.paid += 1;
                totals.paid_minor = totals.paid_minor.saturating_add(sum_minor(merchant, payment.amount));
                totals.late += u64::from(event.kind == EventType::PaymentLate);
                totals.healed += u64::from(healed);
            }
            (EventObject::Refund(refund), EventType::RefundSucceeded) => {
                if let RefundSource::Merchant(_) = refund.source {
                    let payment = tx.get(&PAYMENTS, &(scope, refund.payment))?;
                    let totals = all.entry(row(payment.as_ref().and_then(paid_method))).or_default();
                    totals.refunded += 1;
                    totals.refunded_minor = totals.refunded_minor.saturating_add(sum_minor(merchant, refund.amount));
                }
            }
            (EventObject::Payment(..) | EventObject::Refund(_) | EventObject::Ping(_), _) => {}
        }
        Ok(())
    }

    /// Reads the events that were told meanwhile and the stored totals in one snapshot.
    pub(super) fn finish<S: Snapshots>(mut self, run: &mut Run<'_, S>) -> Result<(), Finding> {
        let mut rows = 0;
        let span = run.span();
        run.source.look(|tx| {
            let begun = self.merchants.iter().map(|(scope, (_, newest))| (*scope, *newest));
            for (scope, newest) in begun.collect::<Vec<_>>() {
                let whole = Span::prefix(&scope);
                let rest = newest.map_or(whole.clone(), |newest| whole.after(&(scope, newest)));
                tx.walk(&EVENTS, &rest, |(_, id), stored| {
                    self.add(tx, scope, &stored.open(tx, scope, id)?)?;
                    next()
                })?;
            }
            let mut stored = Totals::new();
            tx.walk(&DAYS, &span, |key, totals| {
                rows += 1;
                stored.insert(key, totals);
                next()
            })?;
            compare(&stored, &self.totals)
        })?;
        run.advance(rows);
        Ok(())
    }
}

fn paid_method(payment: &Payment) -> Option<Method> {
    payment.paid_by.as_ref().map(|by| by.method)
}

/// Whether the payment was found paid by asking.
fn healed(tx: &impl Read, scope: Scope, payment: PaymentId) -> Result<bool, Finding> {
    let mut healed = false;
    tx.walk(&TIMELINE, &Span::prefix(&(scope, payment)), |_, lines| {
        let by_asking = |what: &Happening| matches!(what, Happening::Paid { source: PaidSource::Query, .. });
        healed |= lines.of(payment).any(|line| by_asking(&line.what));
        next()
    })?;
    Ok(healed)
}

fn compare(stored: &Totals, expected: &Totals) -> Result<(), Finding> {
    let (stored_sums, expected_sums) = (over_all_days(stored), over_all_days(expected));
    for (scope, method) in stored_sums.keys().chain(expected_sums.keys()) {
        if stored_sums.get(&(*scope, *method)) == expected_sums.get(&(*scope, *method)) {
            continue;
        }
        let of_it = |key: &&(Scope, u32, u8)| (key.0, key.2) == (*scope, *method);
        let keys = stored.keys().chain(expected.keys()).filter(of_it);
        let differing = keys.filter(|key| stored.get(key) != expected.get(key)).min();
        let (_, day, _) = differing.expect("sums differ only where a day differs");
        let code = Method::ALL.get(usize::from(*method)).map_or("no method", |method| method.code());
        let row = (*scope, *day, *method);
        let (stored, expected) = (stored.get(&row), expected.get(&row));
        return wrong(&DAYS, format!("day {day}, {code}"), format!("it is {stored:?}, the events say {expected:?}"));
    }
    Ok(())
}

fn over_all_days(totals: &Totals) -> BTreeMap<(Scope, u8), DayTotals> {
    let mut sums: BTreeMap<(Scope, u8), DayTotals> = BTreeMap::new();
    for ((scope, _, method), day) in totals {
        let sum = sums.entry((*scope, *method)).or_default();
        let parts = [
            (&mut sum.created, day.created),
            (&mut sum.paid, day.paid),
            (&mut sum.paid_minor, day.paid_minor),
            (&mut sum.ended, day.ended),
            (&mut sum.refunded, day.refunded),
            (&mut sum.refunded_minor, day.refunded_minor),
            (&mut sum.healed, day.healed),
            (&mut sum.late, day.late),
        ];
        parts.into_iter().for_each(|(sum, part)| *sum = sum.saturating_add(part));
    }
    // A row of zeros and no row are the same.
    sums.retain(|_, sum| *sum != DayTotals::default());
    sums
}
