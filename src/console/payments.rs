//! The list of payments: filtered by state and day, paged by cursor. Every filter has its index, so a page costs the same
//! however many payments there are.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use askama::Template;

use super::auth::roles::Permission;
use super::days::day_range;
use super::paging::{Cursor, Pager, Rows, page as page_of};
use super::visit::{Member, Reply};
use super::words;
use crate::domain::ids::{PaymentId, Scope};
use crate::domain::payment::{Payment, PaymentState};
use crate::domain::time::Timestamp;
use crate::flows::record::state_key;
use crate::store::tables::{PAYMENTS, PAYMENTS_BY_STATE};
use crate::store::{Read, Span, StoreError};
use crate::web::{Frame, Page, Room};

#[derive(Template)]
#[template(path = "console/payments.html")]
struct PaymentsPage {
    page: Page,
    frame: Frame,
    payments: Vec<Payment>,
    pager: Pager,
    state: Option<PaymentState>,
    from: String,
    to: String,
    may_export: bool,
}

impl PaymentsPage {
    fn is_filtered(&self) -> bool {
        self.state.is_some() || !self.from.is_empty() || !self.to.is_empty()
    }

    fn is_state(&self, state: &PaymentState) -> bool {
        self.state.as_ref() == Some(state)
    }

    /// What the file is filtered by, as the list is.
    fn filters(&self) -> [(&'static str, &str); 3] {
        [("status", self.state.map_or("", PaymentState::code)), ("from", &self.from), ("to", &self.to)]
    }

    fn tab(&self, state: &str) -> String {
        self.page.with_instead("status", state, &["after", "before"])
    }
}

pub(super) async fn page(member: Member) -> Reply {
    let state = PaymentState::parse(member.query.text("status"));
    let (from, to) = (member.query.text("from").to_owned(), member.query.text("to").to_owned());
    let range = day_range(&member.merchant.zone, &from, &to);
    let cursor = Cursor::read(member.query.text("after"), member.query.text("before"));
    let scope = member.scope();
    let rows = member.console.store().read(move |tx| list(tx, scope, state, range, &cursor)).await?;
    let pager = Pager::new(&member.page, &rows, |payment| payment.id.to_string());
    let page = PaymentsPage {
        page: member.page.clone(),
        frame: member.frame(Room::Payments),
        payments: rows.rows,
        pager,
        state,
        from,
        to,
        may_export: member.may(Permission::Export),
    };
    Ok(member.render(StatusCode::OK, &page))
}

/// Order numbers of payments that rows of other lists belong to.
pub(super) fn orders(
    tx: &impl Read,
    scope: Scope,
    payments: impl IntoIterator<Item = PaymentId>,
) -> Result<BTreeMap<PaymentId, String>, StoreError> {
    let mut orders = BTreeMap::new();
    for id in payments {
        orders.extend(tx.get(&PAYMENTS, &(scope, id))?.map(|payment| (id, payment.order_id)));
    }
    Ok(orders)
}

fn list(
    tx: &impl Read,
    scope: Scope,
    state: Option<PaymentState>,
    (from, to): (Timestamp, Timestamp),
    cursor: &Cursor<PaymentId>,
) -> Result<Rows<Payment>, StoreError> {
    // Ids begin with their time, so a day is a range of ids.
    let (first, end) = (PaymentId::new(from, [0; 10]), PaymentId::new(to, [0; 10]));
    let Some(state) = state else {
        let span = Span::prefix(&scope).from(&(scope, first)).until(&(scope, end));
        return Ok(page_of(tx, &PAYMENTS, span, cursor, |id| (scope, id))?.map(|(_, payment)| payment));
    };
    let state = state_key(state);
    let span = Span::prefix(&(scope, state)).from(&(scope, state, first)).until(&(scope, state, end));
    let rows = page_of(tx, &PAYMENTS_BY_STATE, span, cursor, |id| (scope, state, id))?;
    rows.try_filter_map(|((_, _, id), ())| tx.get(&PAYMENTS, &(scope, id)))
}
