//! What waits for a person: differences between what was asked for and what a channel says, and refunds that take a second
//! person.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use askama::Template;

use super::paging::{Cursor, Pager, Rows, page as page_of};
use super::payments;
use super::visit::{Member, Reply};
use super::{refunds, words};
use crate::domain::approval::{PROPOSALS_WAITING_MAX, Proposal};
use crate::domain::case::Case;
use crate::domain::ids::{CaseId, PaymentId, Scope};
use crate::domain::money::Money;
use crate::domain::refund::Refund;
use crate::store::tables::{CASES, CASES_OPEN, PROPOSALS, PROPOSALS_WAITING};
use crate::store::{Order, Read, Span, StoreError};
use crate::web::{Frame, Page, Room};

/// Refunds in each of the states that wait for a person.
const REFUNDS_MAX: usize = 200;

#[derive(Template)]
#[template(path = "console/attention.html")]
struct AttentionPage {
    page: Page,
    frame: Frame,
    /// The decided ones too.
    all: bool,
    cases: Vec<Case>,
    /// Refunds that cannot go back, or that the merchant has to pay by hand.
    refunds: Vec<Refund>,
    /// Refunds that wait for a second person.
    proposals: Vec<Proposal>,
    /// Order numbers of the payments they are about.
    orders: BTreeMap<PaymentId, String>,
    pager: Pager,
}

impl AttentionPage {
    fn order(&self, payment: &PaymentId) -> &str {
        self.orders.get(payment).map_or("", String::as_str)
    }

    fn refund_of(&self, proposal: &Proposal) -> (PaymentId, Money) {
        (proposal.command.payment(), proposal.command.amount())
    }
}

pub(super) async fn page(member: Member) -> Reply {
    let all = member.query.text("show") == "all";
    let cursor = Cursor::read(member.query.text("after"), member.query.text("before"));
    let scope = member.scope();
    let (rows, refunds, proposals, orders) = member
        .console
        .store()
        .read(move |tx| {
            let rows = list(tx, scope, all, &cursor)?;
            let proposals = waiting(tx, scope)?;
            let refunds = refunds::for_a_person(tx, scope, REFUNDS_MAX)?;
            let blocked = refunds.iter().map(|refund| refund.payment);
            let asked = proposals.iter().map(|proposal| proposal.command.payment());
            let orders =
                payments::orders(tx, scope, rows.rows.iter().map(|case| case.payment).chain(asked).chain(blocked))?;
            Ok::<_, StoreError>((rows, refunds, proposals, orders))
        })
        .await?;
    let pager = Pager::new(&member.page, &rows, |case| case.id.to_string());
    let (page, frame) = (member.page.clone(), member.frame(Room::Attention));
    let shown = AttentionPage { page, frame, all, cases: rows.rows, refunds, proposals, orders, pager };
    Ok(member.render(StatusCode::OK, &shown))
}

/// Proposals that nobody has decided, the oldest first.
fn waiting(tx: &impl Read, scope: Scope) -> Result<Vec<Proposal>, StoreError> {
    let rows = tx.scan(&PROPOSALS_WAITING, &Span::prefix(&scope), Order::Ascending, PROPOSALS_WAITING_MAX)?;
    let proposals = rows.into_iter().map(|(row, ())| tx.get(&PROPOSALS, &row));
    Ok(proposals.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn list(tx: &impl Read, scope: Scope, all: bool, cursor: &Cursor<CaseId>) -> Result<Rows<Case>, StoreError> {
    if all {
        return Ok(page_of(tx, &CASES, Span::prefix(&scope), cursor, |id| (scope, id))?.map(|(_, case)| case));
    }
    let rows = page_of(tx, &CASES_OPEN, Span::prefix(&scope), cursor, |id| (scope, id))?;
    rows.try_filter_map(|((_, id), ())| tx.get(&CASES, &(scope, id)))
}
