//! A refund that waits for a second person: shown exactly as it will run, approved or refused.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

use super::auth::people;
use super::auth::roles::Permission;
use super::visit::{Member, Problem, Reply};
use super::{redirect_form, words};
use crate::audit::{Action, Detail};
use crate::domain::approval::{Command, Proposal, ProposalState};
use crate::domain::ids::{ProposalId, RefundId, UserId};
use crate::domain::money::Money;
use crate::domain::payment::Payment;
use crate::domain::redirect::Destination;
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
    /// Of the card that is typed once more.
    card_error: &'static str,
    done: Option<&'static str>,
}

impl ApprovalPage {
    fn amount(&self) -> Money {
        self.proposal.command.amount()
    }

    /// Where a refund goes that cannot go back; none where a refund itself is proposed.
    fn destination(&self) -> Option<&'static str> {
        match &self.proposal.command {
            Command::Refund { .. } => None,
            Command::Redirect { to, .. } => Some(words::destination_word(to, self.page.lang)),
        }
    }

    /// Whoever approves types the card as well.
    fn wants_card(&self) -> bool {
        match &self.proposal.command {
            Command::Refund { .. } => false,
            Command::Redirect { to, .. } => *to == Destination::CustomerCard,
        }
    }

    fn reason(&self) -> &str {
        match &self.proposal.command {
            Command::Refund { reason, .. } => reason.as_deref().unwrap_or("—"),
            Command::Redirect { .. } => {
                self.page.t("退不回顾客原来的付款账户", "It cannot go back where the customer paid from")
            }
        }
    }

    fn number(&self) -> &str {
        self.proposal.command.number()
    }

    fn is_waiting(&self) -> bool {
        self.proposal.is_waiting(self.page.now)
    }

    fn refund(&self) -> Option<RefundId> {
        if let Command::Redirect { refund, .. } = self.proposal.command {
            return Some(refund);
        }
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
        let payment = record::payment(tx, scope, proposal.command.payment())?;
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
        card_error: "",
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
    if shown.wants_card() {
        shown.card_error = card_error(&member, id);
        if !shown.card_error.is_empty() {
            return Ok(show(&member, StatusCode::UNPROCESSABLE_ENTITY, &shown));
        }
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
        Ok(refund) => redirect_form::after(&member, shown.payment.id, refund).await,
        Err(FlowError::Refused(refusal)) => {
            shown = load(&member).await?;
            shown.error = words::refusal_text(&refusal, &member.page);
            Ok(show(&member, StatusCode::CONFLICT, &shown))
        }
        Err(other) => Err(other.into()),
    }
}

/// Whether the person typed the card that the other one typed, which nobody sees again; empty when it is right.
fn card_error(member: &Member, id: ProposalId) -> &'static str {
    let lang = member.page.lang;
    let Some(typed) = redirect_form::card_digits(member.form.text("card")) else {
        return lang.t("卡号不对，请照顾客给的卡号输入。", "That is no card number. Type it as the customer gave it.");
    };
    match member.console.gateway().envelopes.is_card(id.to_bytes(), &typed, member.now) {
        Some(true) => "",
        Some(false) => lang.t("和提出人填的卡号不一样，请两人核对。", "It is not the card that was proposed. Compare it together."),
        None => lang.t(
            "提出人填的卡号已不在内存里（超过两小时或程序重启过，卡号从不保存）。请点“不同意”，让对方重新提出。",
            "The proposed card is no longer in memory: two hours have passed or the program was restarted, and cards are never stored. Refuse this request and let it be made again.",
        ),
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
