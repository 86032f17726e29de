//! What waits for a person: differences between what was asked for and what a channel says.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use askama::Template;

use super::paging::{Cursor, Pager, Rows, page as page_of};
use super::visit::{Member, Reply};
use super::words;
use crate::domain::case::Case;
use crate::domain::ids::{CaseId, PaymentId, Scope};
use crate::store::tables::{CASES, CASES_OPEN, PAYMENTS};
use crate::store::{Read, Span, StoreError};
use crate::web::{Frame, Page, Room};

#[derive(Template)]
#[template(path = "console/attention.html")]
struct AttentionPage {
    page: Page,
    frame: Frame,
    /// The decided ones too.
    all: bool,
    cases: Vec<Case>,
    /// Order numbers of the payments they are about.
    orders: BTreeMap<PaymentId, String>,
    pager: Pager,
}

impl AttentionPage {
    fn order(&self, case: &Case) -> &str {
        self.orders.get(&case.payment).map_or("", String::as_str)
    }
}

pub(super) async fn page(member: Member) -> Reply {
    let all = member.query.text("show") == "all";
    let cursor = Cursor::read(member.query.text("after"), member.query.text("before"));
    let scope = member.scope();
    let (rows, orders) = member
        .console
        .store()
        .read(move |tx| {
            let rows = list(tx, scope, all, &cursor)?;
            let mut orders = BTreeMap::new();
            for case in &rows.rows {
                orders.extend(tx.get(&PAYMENTS, &(scope, case.payment))?.map(|payment| (payment.id, payment.order_id)));
            }
            Ok::<_, StoreError>((rows, orders))
        })
        .await?;
    let pager = Pager::new(&member.page, &rows, |case| case.id.to_string());
    let (page, frame) = (member.page.clone(), member.frame(Room::Attention));
    Ok(member.render(StatusCode::OK, &AttentionPage { page, frame, all, cases: rows.rows, orders, pager }))
}

fn list(tx: &impl Read, scope: Scope, all: bool, cursor: &Cursor<CaseId>) -> Result<Rows<Case>, StoreError> {
    if all {
        return Ok(page_of(tx, &CASES, Span::prefix(&scope), cursor, |id| (scope, id))?.map(|(_, case)| case));
    }
    let rows = page_of(tx, &CASES_OPEN, Span::prefix(&scope), cursor, |id| (scope, id))?;
    rows.try_filter_map(|((_, id), ())| tx.get(&CASES, &(scope, id)))
}
