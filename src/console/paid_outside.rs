//! The channel gave a refund to the merchant's own account: here he says how the customer got it.

use actix_web::http::StatusCode;
use askama::Template;

use super::redirect_form::{amount_error, back, load};
use super::visit::{Member, Problem, Reply};
use super::words;
use crate::audit::{Action, Detail};
use crate::domain::event::Actor;
use crate::domain::payment::Payment;
use crate::domain::refund::{Refund, RefundState};
use crate::flows::{FlowError, Moment, redirects};
use crate::web::{Frame, Page, Room};

/// Characters of a note.
const NOTE_CHARS_MAX: usize = 300;

#[derive(Template)]
#[template(path = "console/paid_outside.html")]
struct PaidForm {
    page: Page,
    frame: Frame,
    refund: Refund,
    payment: Payment,
    note: String,
    amount: String,
    whole_error: String,
    note_error: &'static str,
    amount_error: String,
}

impl PaidForm {
    fn any_error(&self) -> bool {
        !self.note_error.is_empty() || !self.amount_error.is_empty()
    }
}

async fn form(member: &Member) -> Result<PaidForm, Problem> {
    let (refund, payment) = load(member).await?;
    Ok(PaidForm {
        page: member.page.clone(),
        frame: member.frame(Room::Refunds),
        refund,
        payment,
        note: member.form.text("note").to_owned(),
        amount: member.form.text("amount").to_owned(),
        whole_error: String::new(),
        note_error: "",
        amount_error: String::new(),
    })
}

pub(super) async fn page(member: Member) -> Reply {
    let form = form(&member).await?;
    if form.refund.state != RefundState::Returned {
        return Ok(member.go(&back(&form.refund)));
    }
    Ok(member.render(StatusCode::OK, &form))
}

pub(super) async fn submit(member: Member) -> Reply {
    let mut form = form(&member).await?;
    let version: u32 = member.form.text("version").parse().map_err(|_| Problem::Malformed)?;
    let lang = form.page.lang;
    if form.note.is_empty() || form.note.chars().count() > NOTE_CHARS_MAX {
        form.note_error =
            lang.t("写一句怎么付的，最多 300 个字。", "Write how it was paid, in at most 300 characters.");
    }
    form.amount_error = amount_error(&form.page, &form.amount, form.refund.amount);
    if form.any_error() {
        return Ok(member.render(StatusCode::UNPROCESSABLE_ENTITY, &form));
    }
    let (scope, stamp, by) = (member.scope(), member.stamp(), Actor::User(member.user.id));
    let (moment, id, note) = (Moment::new(member.console.env()), form.refund.id, form.note.clone());
    let told = member.console.store().write(move |tx| {
        let refund = redirects::paid_outside(tx, scope, id, version, &note, by.clone(), &mut moment.clone())?;
        let detail = Detail::new().with("payment", refund.payment).with("amount", refund.amount).with("note", &note);
        stamp.record(tx, scope.merchant, Action::RefundPaidOutside, id, detail)?;
        Ok::<_, FlowError>(())
    });
    match told.await {
        Ok(()) => Ok(member.go(&format!("{}?done=paid_outside", back(&form.refund)))),
        Err(FlowError::Refused(refusal)) => {
            form.whole_error = words::refusal_text(&refusal, &member.page);
            Ok(member.render(StatusCode::CONFLICT, &form))
        }
        Err(other) => Err(other.into()),
    }
}
