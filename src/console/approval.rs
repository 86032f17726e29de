//! A refund that waits for a second person: shown exactly as it will run, approved or refused.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

use super::auth::people;
use super::auth::roles::Permission;
use super::visit::{Member, Problem, Reply};
use super::words;
use crate::audit::{Action, Detail};
use crate::domain::approval::{Command, Proposal, ProposalState};
use crate::domain::ids::{ProposalId, RefundId, UserId};
use crate::domain::money::Money;
use crate::domain::payment::Payment;
use crate::flows::{FlowError, Moment, approvals, record};
use crate::store::Read;
use crate::store::tables::PROPOSALS;
use crate::web::{Frame, Page, Room};

#[derive(Template)]
#[template(path = "console/approval.html")]
struct ApprovalPage {
    page: Page,
    frame: Frame,
    proposal: Proposal,
    payment: Payment,
    maker: String,
    /// Who decided.
    other: String,
    is_mine: bool,
    may_decide: bool,
    error: String,
    done: Option<&'static str>,
}

impl ApprovalPage {
    fn amount(&self) -> Money {
        let Command::Refund { amount, .. } = &self.proposal.command;
        *amount
    }

    fn reason(&self) -> &str {
        let Command::Refund { reason, .. } = &self.proposal.command;
        reason.as_deref().unwrap_or("—")
    }

    fn number(&self) -> &str {
        let Command::Refund { refund_no, .. } = &self.proposal.command;
        refund_no
    }

    fn is_waiting(&self) -> bool {
        self.proposal.is_waiting(self.page.now)
    }

    fn refund(&self) -> Option<RefundId> {
        match self.proposal.state {
            ProposalState::Approved { refund, .. } => Some(refund),
            ProposalState::Waiting | ProposalState::Refused { .. } | ProposalState::Expired { .. } => None,
        }
    }

    fn hash(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.proposal.hash)
    }
}

async fn load(member: &Member) -> Result<ApprovalPage, Problem> {
    let id: ProposalId = member.part("proposal")?;
    let scope = member.scope();
    let found = member.console.store().read(move |tx| {
        let Some(proposal) = tx.get(&PROPOSALS, &(scope, id))? else { return Ok(None) };
        let Command::Refund { payment, .. } = &proposal.command;
        let payment = record::payment(tx, scope, *payment)?;
        let name = |id: UserId| Ok::<_, FlowError>(people::find(tx, id)?.map(|user| user.name).unwrap_or_default());
        let other = match proposal.state {
            ProposalState::Approved { by, .. } | ProposalState::Refused { by, .. } => name(by)?,
            ProposalState::Waiting | ProposalState::Expired { .. } => String::new(),
        };
        let maker = name(proposal.maker)?;
        Ok::<_, FlowError>(Some((proposal, payment, maker, other)))
    });
    let (proposal, payment, maker, other) = found.await?.ok_or(Problem::NotFound)?;
    Ok(ApprovalPage {
        page: member.page.clone(),
        frame: member.frame(Room::Attention),
        is_mine: proposal.maker == member.user.id,
        may_decide: member.may(Permission::Refund),
        error: String::new(),
        done: member.done(),
        proposal,
        payment,
        maker,
        other,
    })
}

pub(super) async fn page(member: Member) -> Reply {
    Ok(member.render(StatusCode::OK, &load(&member).await?))
}

pub(super) async fn approve(member: Member) -> Reply {
    let mut shown = load(&member).await?;
    let (id, amount) = (shown.proposal.id, shown.amount());
    // What was seen, not what is stored: whoever approves binds himself to the words before his eyes.
    let seen = data_encoding::HEXLOWER.decode(member.form.text("hash").as_bytes()).ok();
    let seen: [u8; 32] = seen.and_then(|bytes| bytes.try_into().ok()).ok_or(Problem::Malformed)?;
    if Money::parse(member.form.text("amount"), amount.currency()) != Ok(amount) {
        shown.error = match member.page.zh() {
            true => format!("金额不符，应为 {}。", amount.to_decimal()),
            false => format!("That is not the amount, which is {}.", amount.to_decimal()),
        };
        return Ok(show(&member, StatusCode::UNPROCESSABLE_ENTITY, &shown));
    }
    let (scope, stamp, checker) = (member.scope(), member.stamp(), member.user.id);
    let (moment, channels) = (Moment::new(member.console.env()), member.console.gateway().channels.clone());
    let approved = member.console.store().write(move |tx| {
        let window_of = |account| channels.refund_window(account);
        let (proposal, refund) = approvals::approve(tx, scope, id, seen, checker, &window_of, &mut moment.clone())?;
        let detail = Detail::new()
            .with("payment", refund.payment)
            .with("amount", refund.amount)
            .with("maker", proposal.maker)
            .with("refund", refund.id);
        stamp.record(tx, scope.merchant, Action::RefundApproved, id, detail)?;
        Ok::<_, FlowError>(refund.id)
    });
    match approved.await {
        Ok(refund) => Ok(member.go(&format!("/console/refunds/{refund}"))),
        Err(FlowError::Refused(refusal)) => {
            shown = load(&member).await?;
            shown.error = words::refusal_text(&refusal, &member.page);
            Ok(show(&member, StatusCode::CONFLICT, &shown))
        }
        Err(other) => Err(other.into()),
    }
}

pub(super) async fn refuse(member: Member) -> Reply {
    let id: ProposalId = member.part("proposal")?;
    let (scope, stamp, by, now) = (member.scope(), member.stamp(), member.user.id, member.now);
    let refused = member.console.store().write(move |tx| {
        let proposal = approvals::refuse(tx, scope, id, by, now)?;
        let detail = Detail::new().with("maker", proposal.maker);
        stamp.record(tx, scope.merchant, Action::RefundRefused, id, detail)?;
        Ok::<_, FlowError>(())
    });
    let back = format!("/console/approvals/{id}");
    match refused.await {
        Ok(()) => Ok(member.go(&format!("{back}?done=refused"))),
        Err(error) => member.refuse(error, &back),
    }
}

fn show(member: &Member, status: StatusCode, page: &ApprovalPage) -> HttpResponse {
    member.render(status, page)
}
