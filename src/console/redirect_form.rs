//! Where a refund goes that cannot go back (异常退款): another card of the customer, or the merchant's own account.
//!
//! Card number and name are read, kept in memory for the channel, and shown to nobody again, not even in this form.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use data_encoding::BASE32_NOPAD;

use super::refund_form::amount_text;
use super::visit::{Member, Problem, Reply};
use super::words;
use crate::audit::{Action, Detail};
use crate::channels::{Bank, RefundTarget};
use crate::crypto::Secret;
use crate::domain::approval::Command;
use crate::domain::card::luhn;
use crate::domain::follow::RefundStep;
use crate::domain::ids::{PaymentId, RefundId};
use crate::domain::money::Money;
use crate::domain::payment::Payment;
use crate::domain::redirect::Destination;
use crate::domain::refund::{Refund, RefundState};
use crate::domain::time::Duration;
use crate::flows::redirects::{self, Decision};
use crate::flows::{FlowError, Moment, Refusal, approvals};
use crate::store::Read;
use crate::store::tables::{PAYMENTS, REFUNDS};
use crate::web::{Frame, Page, Room};

/// Digits of a bank card. Source: ISO/IEC 7812-1; the shortest in use in China have 16.
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 12..=19;
/// Characters of a holder's name.
const HOLDER_CHARS: std::ops::RangeInclusive<usize> = 2..=32;
/// Of a form's own number, before it is written in base 32.
const NUMBER_BYTES: usize = 10;
const NUMBER_CHARS_MAX: usize = 32;
/// How long the page waits for the channel before it shows the refund as it stands.
const WAIT: Duration = Duration::from_seconds(5);

#[derive(Template)]
#[template(path = "console/redirect_form.html")]
struct RedirectForm {
    page: Page,
    frame: Frame,
    refund: Refund,
    payment: Payment,
    banks: &'static [Bank],
    /// Tells a proposal that is sent twice from another.
    number: String,
    to: Option<Destination>,
    bank: String,
    amount: String,
    errors: Errors,
}

/// What is wrong with each field; empty is right.
#[derive(Default)]
struct Errors {
    whole: String,
    to: &'static str,
    bank: &'static str,
    card: &'static str,
    holder: &'static str,
    amount: String,
}

impl Errors {
    fn any(&self) -> bool {
        let fields = [self.to, self.bank, self.card, self.holder];
        !self.whole.is_empty() || !self.amount.is_empty() || fields.iter().any(|error| !error.is_empty())
    }
}

impl RedirectForm {
    fn is_to(&self, code: &str) -> bool {
        self.to.is_some_and(|to| to.code() == code)
    }

    fn is_bank(&self, bank: &Bank) -> bool {
        self.bank == bank.code
    }

    fn name(&self, bank: &Bank) -> &'static str {
        bank.name.get(self.page.lang)
    }
}

/// A refund of this merchant and mode with its payment.
pub(super) async fn load(member: &Member) -> Result<(Refund, Payment), Problem> {
    let id: RefundId = member.part("refund")?;
    let scope = member.scope();
    let found = member.console.store().read(move |tx| {
        let Some(refund) = tx.get(&REFUNDS, &(scope, id))? else { return Ok::<_, FlowError>(None) };
        Ok(tx.get(&PAYMENTS, &(scope, refund.payment))?.map(|payment| (refund, payment)))
    });
    found.await?.ok_or(Problem::NotFound)
}

pub(super) fn back(refund: &Refund) -> String {
    format!("/console/refunds/{}", refund.id)
}

async fn form(member: &Member) -> Result<RedirectForm, Problem> {
    let (refund, payment) = load(member).await?;
    let random: [u8; NUMBER_BYTES] = member.console.env().random();
    Ok(RedirectForm {
        page: member.page.clone(),
        frame: member.frame(Room::Refunds),
        banks: member.console.gateway().channels.redirect_banks(refund.account),
        number: BASE32_NOPAD.encode(&random).to_ascii_lowercase(),
        to: Destination::parse(member.form.text("to")),
        bank: member.form.text("bank").to_owned(),
        amount: member.form.text("amount").to_owned(),
        errors: Errors::default(),
        refund,
        payment,
    })
}

pub(super) async fn page(member: Member) -> Reply {
    let form = form(&member).await?;
    if form.refund.state != RefundState::Undeliverable {
        return Ok(member.go(&back(&form.refund)));
    }
    Ok(member.render(StatusCode::OK, &form))
}

pub(super) async fn submit(member: Member) -> Reply {
    let mut form = form(&member).await?;
    let typed = member.form.text("number");
    if typed.is_empty() || typed.len() > NUMBER_CHARS_MAX || !typed.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Problem::Malformed);
    }
    form.number = typed.to_owned();
    let version: u32 = member.form.text("version").parse().map_err(|_| Problem::Malformed)?;
    let target = check(&mut form, &member);
    let (Some(target), false) = (target, form.errors.any()) else {
        return Ok(show(&member, StatusCode::UNPROCESSABLE_ENTITY, &form));
    };
    let to = match target {
        RefundTarget::Merchant => Destination::Merchant,
        RefundTarget::CustomerCard { .. } => Destination::CustomerCard,
    };
    let gateway = member.console.gateway();
    let (scope, stamp, by) = (member.scope(), member.stamp(), member.user.id);
    let (moment, token) = (Moment::new(member.console.env()), member.console.env().random());
    let decision = Decision { refund: form.refund.id, version, to, token, by };
    // Before the commit, because what it queues begins at once.
    gateway.envelopes.keep(token, target, member.now);
    let decided = member.console.store().write(move |tx| {
        let refund = redirects::decide_alone(tx, scope, &decision, &mut moment.clone())?;
        let detail = Detail::new().with("payment", refund.payment).with("amount", refund.amount).with("to", to.code());
        stamp.record(tx, scope.merchant, Action::RefundRedirected, refund.id, detail)?;
        Ok::<_, FlowError>(())
    });
    let decided = decided.await;
    let kept = if decided.is_err() { gateway.envelopes.take(token, member.now) } else { None };
    match (decided, kept) {
        (Ok(()), _) => after(&member, form.payment.id, form.refund.id).await,
        (Err(FlowError::Refused(Refusal::ApprovalNeeded { .. })), Some(target)) => {
            propose(&member, form, version, to, target).await
        }
        (Err(FlowError::Refused(refusal)), _) => {
            form.errors.whole = words::refusal_text(&refusal, &member.page);
            Ok(show(&member, StatusCode::CONFLICT, &form))
        }
        (Err(other), _) => Err(other.into()),
    }
}

/// Keeps the decision until another person has agreed, and the card in memory for as long.
async fn propose(
    member: &Member,
    mut form: RedirectForm,
    version: u32,
    to: Destination,
    target: RefundTarget,
) -> Reply {
    let (scope, stamp, maker, moment) =
        (member.scope(), member.stamp(), member.user.id, Moment::new(member.console.env()));
    let command = Command::Redirect {
        payment: form.payment.id,
        refund: form.refund.id,
        version,
        amount: form.refund.amount,
        to,
        number: form.number.clone(),
    };
    let proposed = member.console.store().write(move |tx| {
        let proposal = approvals::propose(tx, scope, &command, maker, &|_| None, &mut moment.clone())?;
        let detail =
            Detail::new().with("payment", command.payment()).with("amount", command.amount()).with("to", to.code());
        stamp.record(tx, scope.merchant, Action::RefundProposed, proposal.id, detail)?;
        Ok::<_, FlowError>(proposal.id)
    });
    match proposed.await {
        Ok(id) => {
            member.console.gateway().envelopes.keep(id.to_bytes(), target, member.now);
            Ok(member.go(&format!("/console/approvals/{id}?done=proposed")))
        }
        Err(FlowError::Refused(refusal)) => {
            form.errors.whole = words::refusal_text(&refusal, &member.page);
            Ok(show(member, StatusCode::CONFLICT, &form))
        }
        Err(other) => Err(other.into()),
    }
}

/// Waits a little for the channel, so that a refusal is seen at once, and shows the refund.
pub(super) async fn after(member: &Member, payment: PaymentId, id: RefundId) -> Reply {
    let scope = member.scope();
    let mut watch = member.console.gateway().changes.watch(payment);
    let waiting = async {
        loop {
            let refund = member.console.store().read(move |tx| tx.get(&REFUNDS, &(scope, id))).await?;
            match refund {
                Some(refund) if refund.step == RefundStep::Redirect => watch.changed().await,
                Some(refund) => return Ok::<_, Problem>(refund.state == RefundState::Undeliverable),
                None => return Err(Problem::NotFound),
            }
        }
    };
    let refused = tokio::time::timeout(WAIT.to_std(), waiting).await.unwrap_or(Ok(false))?;
    let done = if refused { "" } else { "?done=redirected" };
    Ok(member.go(&format!("/console/refunds/{id}{done}")))
}

fn show(member: &Member, status: StatusCode, form: &RedirectForm) -> HttpResponse {
    member.render(status, form)
}

/// Reads where the money goes and says what is wrong.
fn check(form: &mut RedirectForm, member: &Member) -> Option<RefundTarget> {
    let (lang, errors) = (form.page.lang, &mut form.errors);
    errors.amount = amount_error(&form.page, &form.amount, form.refund.amount);
    match form.to {
        None => {
            errors.to = lang.t("请选择退到哪里。", "Choose where it goes.");
            None
        }
        Some(Destination::Merchant) => Some(RefundTarget::Merchant),
        Some(Destination::CustomerCard) => {
            if !form.banks.iter().any(|bank| bank.code == form.bank) {
                errors.bank = lang.t("请选择开户银行。", "Choose the bank.");
            }
            let card_no = card_digits(member.form.text("card"));
            if card_no.is_none() {
                errors.card = lang.t(
                    "卡号不对，请照卡面重新输入（12 到 19 位数字）。",
                    "That is no card number. Type it again as it stands on the card (12 to 19 digits).",
                );
            }
            let holder = member.form.text("holder").to_owned();
            let chars = holder.chars().count();
            if !HOLDER_CHARS.contains(&chars) || holder.chars().any(|c| c.is_ascii_digit()) {
                errors.holder =
                    lang.t("请填持卡人的真实姓名。", "Type the name of the card's holder, as the bank knows it.");
            }
            let card_no = card_no?;
            Some(RefundTarget::CustomerCard { bank: form.bank.clone(), card_no, holder: Secret::from(holder) })
        }
    }
}

/// What is wrong with an amount that confirms `asked`; empty is right.
pub(super) fn amount_error(page: &Page, typed: &str, asked: Money) -> String {
    match Money::parse(typed, asked.currency()) {
        Ok(amount) if amount == asked => String::new(),
        Ok(_) => match page.zh() {
            true => format!("与退款金额不符，应为 {}。", asked.to_decimal()),
            false => format!("That is not the amount, which is {}.", asked.to_decimal()),
        },
        Err(bad) => amount_text(page, bad),
    }
}

/// The digits of a card's number, as people group them; `None` when it is none.
pub(super) fn card_digits(typed: &str) -> Option<Secret> {
    let digits: String = typed.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    let digits = Secret::from(digits);
    let plain: Vec<u8> = digits.expose().iter().map(|byte| byte.wrapping_sub(b'0')).collect();
    (all_digits && CARD_DIGITS.contains(&plain.len()) && luhn(&plain)).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_are_read_as_people_write_them() {
        let read = |typed| card_digits(typed).map(|digits| String::from_utf8(digits.expose().to_vec()).unwrap());
        assert_eq!(read("4111 1111-1111 1111").as_deref(), Some("4111111111111111"));
        for bad in ["", "4111 1111 1111 1112", "4111", "４１１１１１１１１１１１１１１１", "4111111111111111a"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
