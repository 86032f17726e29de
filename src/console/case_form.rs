//! Deciding about a difference. Where money moves its amount is typed once more; where there is none the reason is written
//! down.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

use super::refund_form::amount_text;
use super::visit::{Member, Problem, Reply};
use super::words;
use crate::audit::{Action, Detail};
use crate::domain::case::{CaseLine, CaseState, Choices};
use crate::domain::event::Actor;
use crate::domain::ids::CaseId;
use crate::domain::money::Money;
use crate::flows::decisions::{self, Decision, Open};
use crate::flows::{FlowError, Moment, Refusal};
use crate::web::{Frame, Page, Room};

/// Characters of a note.
const NOTE_CHARS_MAX: usize = 300;

#[derive(Template)]
#[template(path = "console/case_form.html")]
struct CaseForm {
    page: Page,
    frame: Frame,
    open: Open,
    /// What was typed.
    choice: String,
    line: usize,
    amount: String,
    note: String,
    errors: Errors,
}

/// What is wrong with each field; empty is right.
#[derive(Default)]
struct Errors {
    whole: String,
    choice: &'static str,
    amount: String,
    note: &'static str,
}

impl Errors {
    fn any(&self) -> bool {
        !self.whole.is_empty() || !self.choice.is_empty() || !self.amount.is_empty() || !self.note.is_empty()
    }
}

impl CaseForm {
    fn new(member: &Member, open: Open) -> Self {
        let typed = |name| member.form.text(name).to_owned();
        Self {
            page: member.page.clone(),
            frame: member.frame(Room::Attention),
            choice: typed("choice"),
            line: typed("line").parse().unwrap_or(0),
            amount: typed("amount"),
            note: typed("note"),
            errors: Errors::default(),
            open,
        }
    }

    /// Every decision that makes sense for any line; the flow refuses what does not fit the one that is chosen.
    fn choices(&self) -> Choices {
        self.open.choices.iter().fold(Choices::default(), |all, one| Choices {
            book: all.book || one.book,
            give_back: all.give_back || one.give_back,
            paid_elsewhere: all.paid_elsewhere || one.paid_elsewhere,
            close: all.close || one.close,
        })
    }

    fn moves_money(&self) -> bool {
        let choices = self.choices();
        choices.book || choices.give_back || choices.paid_elsewhere
    }

    fn wants_note(&self) -> bool {
        let choices = self.choices();
        choices.close || choices.paid_elsewhere
    }

    /// Lines to choose from: only while nothing of the case is booked, and only if there are several.
    fn lines(&self) -> &[CaseLine] {
        let several = self.open.case.suspense_minor == 0 && self.open.lines.len() > 1 && self.moves_money();
        if several { &self.open.lines } else { &[] }
    }

    fn is_line(&self, index: &usize) -> bool {
        self.line == *index
    }

    fn chosen(&self, choice: &str) -> bool {
        self.choice == choice
    }

    /// The money that a decision is about.
    fn money(&self) -> Money {
        let case = &self.open.case;
        match self.open.lines.get(self.line) {
            Some(line) if case.suspense_minor == 0 => line.seen,
            Some(_) | None if case.suspense_minor == 0 => case.seen,
            Some(_) | None => Money::new(case.suspense_minor, case.seen.currency()),
        }
    }

    /// What would go back after booking.
    fn too_much(&self) -> Option<Money> {
        let (money, expected) = (self.money(), self.open.case.expected);
        let rest = money.minor().checked_sub(expected.minor()).filter(|rest| *rest > 0)?;
        Some(Money::new(rest, money.currency()))
    }

    fn holds_attempt(&self) -> bool {
        self.open.attempt.step == crate::domain::follow::Step::Hold
    }
}

async fn load(member: &Member) -> Result<Open, Problem> {
    let id: CaseId = member.part("case")?;
    let scope = member.scope();
    Ok(member.console.store().read(move |tx| decisions::look(tx, scope, id)).await?)
}

pub(super) async fn page(member: Member) -> Reply {
    let open = load(&member).await?;
    if open.case.state != CaseState::Open {
        return Ok(member.go(&format!("/console/cases/{}", open.case.id)));
    }
    Ok(member.render(StatusCode::OK, &CaseForm::new(&member, open)))
}

pub(super) async fn submit(member: Member) -> Reply {
    let mut form = CaseForm::new(&member, load(&member).await?);
    let (id, line) = (form.open.case.id, form.line);
    let decision = check(&mut form);
    let (Some(decision), false) = (decision, form.errors.any()) else {
        return Ok(show(&member, StatusCode::UNPROCESSABLE_ENTITY, &form));
    };
    let (scope, stamp, by) = (member.scope(), member.stamp(), Actor::User(member.user.id));
    let (moment, choice, money) = (Moment::new(member.console.env()), form.choice.clone(), form.money());
    let note = form.note.clone();
    let decided = member
        .console
        .store()
        .write(move |tx| {
            let case = decisions::decide(tx, scope, id, line, &decision, by.clone(), &mut moment.clone())?;
            let detail = Detail::new()
                .with("decision", &choice)
                .with("kind", case.kind.code())
                .with("payment", case.payment)
                .with("money", money)
                .with("note", &note);
            stamp.record(tx, scope.merchant, Action::CaseDecided, id, detail)?;
            Ok::<_, FlowError>(())
        })
        .await;
    match decided {
        Ok(()) => Ok(member.go(&format!("/console/cases/{id}?done=decided"))),
        Err(FlowError::Refused(Refusal::CaseNotFound)) => Err(Problem::NotFound),
        Err(FlowError::Refused(refusal)) => {
            form.open = load(&member).await?;
            form.errors.whole = words::refusal_text(&refusal, &member.page);
            Ok(show(&member, StatusCode::CONFLICT, &form))
        }
        Err(other) => Err(other.into()),
    }
}

fn show(member: &Member, status: StatusCode, form: &CaseForm) -> HttpResponse {
    member.render(status, form)
}

/// Reads the decision and says what is wrong.
fn check(form: &mut CaseForm) -> Option<Decision> {
    let page = form.page.clone();
    let note = form.note.clone();
    if note.chars().count() > NOTE_CHARS_MAX {
        form.errors.note = page.lang.t("最多 300 个字。", "At most 300 characters.");
    }
    let (decision, moves_money) = match form.choice.as_str() {
        "book" => (Decision::Book, true),
        "give_back" => (Decision::GiveBack, true),
        "elsewhere" => (Decision::PaidElsewhere { note: note.clone() }, true),
        "close" => (Decision::Close { note: note.clone() }, false),
        _ => {
            form.errors.choice = page.lang.t("请选一种处理方式。", "Choose what to do.");
            return None;
        }
    };
    let explains = matches!(decision, Decision::PaidElsewhere { .. } | Decision::Close { .. });
    if explains && note.is_empty() {
        form.errors.note = page.lang.t("写一句结论，以后查得到。", "Write a sentence that explains it later.");
    }
    if moves_money {
        let money = form.money();
        match Money::parse(&form.amount, money.currency()) {
            Ok(typed) if typed == money => {}
            Ok(_) => {
                form.errors.amount = match page.zh() {
                    true => format!("与这笔钱不符，应为 {}。", money.to_decimal()),
                    false => format!("That is not the amount, which is {}.", money.to_decimal()),
                };
            }
            Err(bad) => form.errors.amount = amount_text(&page, bad),
        }
    }
    Some(decision)
}
