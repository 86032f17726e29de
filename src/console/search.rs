//! The search field: any id, order number, transaction number or amount. One exact hit opens at once.

use actix_web::http::StatusCode;
use askama::Template;

use super::visit::{Member, Reply};
use super::words;
use crate::domain::ids::{AttemptId, CaseId, EndpointId, EventId, PaymentId, RefundId, Scope};
use crate::domain::money::{Currency, Money};
use crate::domain::payment::Payment;
use crate::domain::time::Timestamp;
use crate::store::tables::{
    ATTEMPTS, CASES, EVENTS, PAYMENT_BY_ORDER, PAYMENT_BY_TRANSACTION, PAYMENTS, REFUND_BY_NUMBER, REFUNDS,
};
use crate::store::{Order, Read, Span, StoreError};
use crate::web::{Frame, Page, Room};

/// Characters that are searched for; order numbers are no longer.
const QUERY_CHARS_MAX: usize = 128;
/// Hits that are shown.
const HITS_MAX: usize = 50;
/// Amounts have no index, which would cost every payment a row: this many payments are looked through at once, and the page
/// says which days they are and leads on to the older ones.
const AMOUNTS_SCANNED_MAX: usize = 5_000;

#[derive(Template)]
#[template(path = "console/search.html")]
struct SearchPage {
    page: Page,
    frame: Frame,
    query: String,
    payments: Vec<Payment>,
    /// The query is an amount: what was looked through for it.
    looked: Option<Looked>,
}

/// A part of the payments that was looked through.
struct Looked {
    /// Both ends, when there was anything.
    days: Option<(Timestamp, Timestamp)>,
    /// Where the rest begins.
    older: Option<String>,
}

/// What was found.
enum Found {
    /// One thing, by its number.
    At(String),
    Payments(Vec<Payment>, Option<Looked>),
}

pub(super) async fn page(member: Member) -> Reply {
    let query: String = member.query.text("q").chars().take(QUERY_CHARS_MAX).collect();
    if query.is_empty() {
        return Ok(member.go("/console/payments"));
    }
    let (scope, currency) = (member.scope(), member.merchant.currency);
    let amount = amount_of(&query, currency);
    let text = query.clone();
    let after: Option<PaymentId> = member.query.text("after").parse().ok();
    let found = member.console.store().read(move |tx| find(tx, scope, &text, amount, after)).await?;
    let (payments, mut looked) = match found {
        Found::At(path) => return Ok(member.go(&path)),
        Found::Payments(payments, looked) => (payments, looked),
    };
    if let Some(older) = looked.as_mut().and_then(|looked| looked.older.as_mut()) {
        *older = member.page.with_instead("after", older, &[]);
    }
    let mut frame = member.frame(Room::Payments);
    frame.search = query.clone();
    let page = SearchPage { page: member.page.clone(), frame, query, payments, looked };
    Ok(member.render(StatusCode::OK, &page))
}

/// `128`, `128.5`, `¥1,234.50`: amounts as people write them.
fn amount_of(text: &str, currency: Currency) -> Option<Money> {
    let text = text.trim_start_matches(currency.symbol()).trim_start_matches(['¥', '￥']).replace([',', '，'], "");
    let digits = currency.digits() as usize;
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    if fraction.len() > digits {
        return None;
    }
    let full = if digits == 0 { whole.to_owned() } else { format!("{whole}.{fraction:0<digits$}") };
    Money::parse(&full, currency).ok()
}

fn find(
    tx: &impl Read,
    scope: Scope,
    text: &str,
    amount: Option<Money>,
    after: Option<PaymentId>,
) -> Result<Found, StoreError> {
    if let Some(path) = by_id(tx, scope, text)? {
        return Ok(Found::At(path));
    }
    let key = (scope, text.to_owned());
    let exact = match tx.get(&PAYMENT_BY_ORDER, &key)? {
        Some(id) => Some(id),
        None => tx.get(&PAYMENT_BY_TRANSACTION, &key)?,
    };
    if let Some(id) = exact {
        return Ok(Found::At(format!("/console/payments/{id}")));
    }
    if let Some(id) = tx.get(&REFUND_BY_NUMBER, &key)? {
        return Ok(Found::At(format!("/console/refunds/{id}")));
    }
    let (mut payments, mut looked) = (Vec::new(), None);
    if let Some(amount) = amount {
        let (same, part) = of_amount(tx, scope, amount, after)?;
        payments = same;
        looked = Some(part);
    }
    // Order numbers that begin with what was typed.
    let span = Span::prefix(&scope).from(&key);
    for ((_, order), id) in tx.scan(&PAYMENT_BY_ORDER, &span, Order::Ascending, HITS_MAX)? {
        if !order.starts_with(text) || payments.len() >= HITS_MAX {
            break;
        }
        if payments.iter().all(|known: &Payment| known.id != id) {
            payments.extend(tx.get(&PAYMENTS, &(scope, id))?);
        }
    }
    // One hit among a part of the payments may not be the one that is meant.
    let all = looked.as_ref().is_none_or(|looked| looked.older.is_none()) && after.is_none();
    match payments.as_slice() {
        [only] if all => Ok(Found::At(format!("/console/payments/{}", only.id))),
        _ => Ok(Found::Payments(payments, looked)),
    }
}

/// Payments of an amount, newest first, among the next [`AMOUNTS_SCANNED_MAX`].
fn of_amount(
    tx: &impl Read,
    scope: Scope,
    amount: Money,
    after: Option<PaymentId>,
) -> Result<(Vec<Payment>, Looked), StoreError> {
    let span = Span::prefix(&scope);
    let span = match after {
        Some(after) => span.until(&(scope, after)),
        None => span,
    };
    let (mut payments, mut days, mut last, mut rows) = (Vec::new(), None, None, 0);
    for (_, payment) in tx.scan(&PAYMENTS, &span, Order::Descending, AMOUNTS_SCANNED_MAX)? {
        rows += 1;
        last = Some(payment.id);
        days = Some((payment.created_at, days.map_or(payment.created_at, |(_, newest)| newest)));
        if payment.amount == amount {
            payments.push(payment);
        }
        if payments.len() == HITS_MAX {
            break;
        }
    }
    let ended = rows < AMOUNTS_SCANNED_MAX && payments.len() < HITS_MAX;
    let older = last.filter(|_| !ended).map(|id| id.to_string());
    Ok((payments, Looked { days, older }))
}

/// Where an id leads to, when it belongs to this merchant and mode.
fn by_id(tx: &impl Read, scope: Scope, text: &str) -> Result<Option<String>, StoreError> {
    if let Ok(id) = text.parse::<PaymentId>().or_else(|_| PaymentId::parse_bare(text))
        && tx.contains(&PAYMENTS, &(scope, id))?
    {
        return Ok(Some(format!("/console/payments/{id}")));
    }
    // Their bare forms are the channel's order and refund numbers.
    if let Ok(id) = text.parse::<AttemptId>().or_else(|_| AttemptId::parse_bare(text))
        && let Some(attempt) = tx.get(&ATTEMPTS, &(scope, id))?
    {
        return Ok(Some(format!("/console/payments/{}", attempt.payment)));
    }
    if let Ok(id) = text.parse::<RefundId>().or_else(|_| RefundId::parse_bare(text))
        && tx.contains(&REFUNDS, &(scope, id))?
    {
        return Ok(Some(format!("/console/refunds/{id}")));
    }
    if let Ok(id) = text.parse::<EventId>()
        && let Some(event) = tx.get(&EVENTS, &(scope, id))?
    {
        return Ok(event.payment().map(|payment| format!("/console/payments/{payment}")));
    }
    if let Ok(id) = text.parse::<CaseId>()
        && let Some(case) = tx.get(&CASES, &(scope, id))?
    {
        return Ok(Some(format!("/console/cases/{}", case.id)));
    }
    Ok(text.parse::<EndpointId>().ok().map(|id| format!("/console/callbacks/{id}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_people_write_them() {
        let cny = |text| amount_of(text, Currency::CNY).map(Money::minor);
        assert_eq!(cny("128"), Some(12_800));
        assert_eq!(cny("128.5"), Some(12_850));
        assert_eq!(cny("¥1,234.50"), Some(123_450));
        assert_eq!(cny("￥9.90"), Some(990));
        for none in ["", "abc", "1.234", "-5", "202611230001x"] {
            assert_eq!(cny(none), None, "{none:?}");
        }
        assert_eq!(amount_of("990", Currency::JPY).map(Money::minor), Some(990));
    }
}
