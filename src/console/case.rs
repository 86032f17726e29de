//! One difference: what was expected, what the channel said, where the money is, and what was decided.

use actix_web::http::StatusCode;
use askama::Template;

use super::auth::roles::Permission;
use super::visit::{Member, Reply};
use super::words;
use crate::domain::case::{CaseKind, CaseState};
use crate::domain::ids::{CaseId, RefundId};
use crate::domain::money::Money;
use crate::flows::decisions::{self, Open};
use crate::web::{Frame, Page, Room};

#[derive(Template)]
#[template(path = "console/case.html")]
struct CasePage {
    page: Page,
    frame: Frame,
    open: Open,
    may_decide: bool,
    done: Option<&'static str>,
}

impl CasePage {
    fn is_open(&self) -> bool {
        self.open.case.state == CaseState::Open
    }

    /// What still waits in account 2201.
    fn waiting(&self) -> Option<Money> {
        let case = &self.open.case;
        (case.suspense_minor > 0).then(|| Money::new(case.suspense_minor, case.seen.currency()))
    }

    /// The right money has come since, so what opened the case was only said.
    fn came_right(&self) -> bool {
        let Open { case, attempt, .. } = &self.open;
        self.is_open()
            && case.suspense_minor == 0
            && attempt.transaction_id.is_some()
            && case.kind == CaseKind::WrongAmount
    }

    fn refund(&self) -> Option<RefundId> {
        match self.open.case.state {
            CaseState::Refunding(refund) | CaseState::Refunded(refund) => Some(refund),
            CaseState::Open | CaseState::Booked | CaseState::Closed { .. } => None,
        }
    }

    fn note(&self) -> Option<&str> {
        match &self.open.case.state {
            CaseState::Closed { note } => Some(note),
            CaseState::Open | CaseState::Refunding(_) | CaseState::Refunded(_) | CaseState::Booked => None,
        }
    }
}

pub(super) async fn page(member: Member) -> Reply {
    let id: CaseId = member.part("case")?;
    let scope = member.scope();
    let open = member.console.store().read(move |tx| decisions::look(tx, scope, id)).await?;
    let page = CasePage {
        page: member.page.clone(),
        frame: member.frame(Room::Attention),
        open,
        may_decide: member.may(Permission::DecideCases),
        done: member.done(),
    };
    Ok(member.render(StatusCode::OK, &page))
}
