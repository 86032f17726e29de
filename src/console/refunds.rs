//! The list of refunds and one refund.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use askama::Template;

use super::auth::roles::Permission;
use super::paging::{Cursor, Pager, Rows, page as page_of};
use super::payments;
use super::visit::{Member, Problem, Reply};
use super::words;
use crate::domain::ids::{PaymentId, RefundId, Scope};
use crate::domain::payment::Payment;
use crate::domain::refund::{Refund, RefundState};
use crate::flows::record::refund_state_key;
use crate::store::tables::{PAYMENTS, REFUNDS, REFUNDS_BY_STATE};
use crate::store::{Read, Span, StoreError};
use crate::web::{Frame, Page, Room};

#[derive(Template)]
#[template(path = "console/refunds.html")]
struct RefundsPage {
    page: Page,
    frame: Frame,
    refunds: Vec<Refund>,
    /// Order numbers of the payments they belong to.
    orders: BTreeMap<PaymentId, String>,
    pager: Pager,
    state: Option<RefundState>,
    may_export: bool,
}

impl RefundsPage {
    fn is_state(&self, state: &RefundState) -> bool {
        self.state.as_ref() == Some(state)
    }

    /// What the file is filtered by, as the list is.
    fn filters(&self) -> [(&'static str, &'static str); 1] {
        [("status", self.state.map_or("", RefundState::code))]
    }

    fn order(&self, refund: &Refund) -> &str {
        self.orders.get(&refund.payment).map_or("", String::as_str)
    }
}

#[derive(Template)]
#[template(path = "console/refund.html")]
struct RefundPage {
    page: Page,
    frame: Frame,
    refund: Refund,
    payment: Payment,
}

impl RefundPage {
    fn is_under_way(&self) -> bool {
        !self.refund.state.is_final()
    }

    fn is_failed(&self) -> bool {
        self.refund.state == RefundState::Failed
    }
}

pub(super) async fn list_page(member: Member) -> Reply {
    let state = RefundState::parse(member.query.text("status"));
    let cursor = Cursor::read(member.query.text("after"), member.query.text("before"));
    let scope = member.scope();
    let (rows, orders) = member
        .console
        .store()
        .read(move |tx| {
            let rows = list(tx, scope, state, &cursor)?;
            let orders = payments::orders(tx, scope, rows.rows.iter().map(|refund| refund.payment))?;
            Ok::<_, StoreError>((rows, orders))
        })
        .await?;
    let pager = Pager::new(&member.page, &rows, |refund| refund.id.to_string());
    let page = RefundsPage {
        page: member.page.clone(),
        frame: member.frame(Room::Refunds),
        refunds: rows.rows,
        orders,
        pager,
        state,
        may_export: member.may(Permission::Export),
    };
    Ok(member.render(StatusCode::OK, &page))
}

fn list(
    tx: &impl Read,
    scope: Scope,
    state: Option<RefundState>,
    cursor: &Cursor<RefundId>,
) -> Result<Rows<Refund>, StoreError> {
    let Some(state) = state else {
        let rows = page_of(tx, &REFUNDS, Span::prefix(&scope), cursor, |id| (scope, id))?;
        return Ok(rows.map(|(_, refund)| refund));
    };
    let place = refund_state_key(state);
    let rows = page_of(tx, &REFUNDS_BY_STATE, Span::prefix(&(scope, place)), cursor, |id| (scope, place, id))?;
    rows.try_filter_map(|((_, _, id), ())| tx.get(&REFUNDS, &(scope, id)))
}

pub(super) async fn page(member: Member) -> Reply {
    let id: RefundId = member.part("refund")?;
    let scope = member.scope();
    let found = member
        .console
        .store()
        .read(move |tx| {
            let Some(refund) = tx.get(&REFUNDS, &(scope, id))? else { return Ok::<_, StoreError>(None) };
            Ok(tx.get(&PAYMENTS, &(scope, refund.payment))?.map(|payment| (refund, payment)))
        })
        .await?;
    let (refund, payment) = found.ok_or(Problem::NotFound)?;
    let page = RefundPage { page: member.page.clone(), frame: member.frame(Room::Refunds), refund, payment };
    Ok(member.render(StatusCode::OK, &page))
}
