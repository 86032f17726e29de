//! Giving money back: the amount, the reason, and the amount typed once more. The form carries its own refund number, so
//! sending it twice gives back once.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use data_encoding::BASE32_NOPAD;
use ring::digest;

use super::visit::{Member, Problem, Reply};
use super::words;
use crate::audit::{Action, Detail};
use crate::domain::approval::Command;
use crate::domain::event::Actor;
use crate::domain::ids::PaymentId;
use crate::domain::money::{BadAmount, Money};
use crate::domain::payment::{Payment, PaymentState};
use crate::flows::refunds::{self, NewRefund};
use crate::flows::{FlowError, Moment, Refusal, approvals};
use crate::store::Read;
use crate::store::tables::PAYMENTS;
use crate::web::{Frame, Page, Room};

/// Characters of a reason; channels show it to the customer. Source: WeChat Pay API v3, refund: at most 80 bytes.
const REASON_CHARS_MAX: usize = 26;
/// What the numbers of refunds begin with that are made here.
const NUMBER_PREFIX: &str = "console-";
/// Letters and digits of a number of ours.
const NUMBER_CHARS: usize = 16;

#[derive(Template)]
#[template(path = "console/refund_form.html")]
struct RefundForm {
    page: Page,
    frame: Frame,
    payment: Payment,
    /// The number this refund will have.
    number: String,
    amount: String,
    again: String,
    reason: String,
    errors: Errors,
}

/// What is wrong with each field; empty is right.
#[derive(Default)]
struct Errors {
    whole: String,
    amount: String,
    again: String,
    reason: String,
}

impl Errors {
    fn any(&self) -> bool {
        [&self.whole, &self.amount, &self.again, &self.reason].iter().any(|error| !error.is_empty())
    }
}

impl RefundForm {
    fn left(&self) -> Money {
        self.payment.refundable()
    }

    fn is_partly_gone(&self) -> bool {
        self.payment.refunded_minor > 0 || self.payment.refunding_minor > 0
    }

    fn refunded(&self) -> Money {
        Money::new(self.payment.refunded_minor, self.payment.amount.currency())
    }

    fn refunding(&self) -> Money {
        Money::new(self.payment.refunding_minor, self.payment.amount.currency())
    }
}

async fn load(member: &Member) -> Result<Payment, Problem> {
    let id: PaymentId = member.part("payment")?;
    let scope = member.scope();
    member.console.store().read(move |tx| tx.get(&PAYMENTS, &(scope, id))).await?.ok_or(Problem::NotFound)
}

pub(super) async fn page(member: Member) -> Reply {
    let payment = load(&member).await?;
    let left = payment.refundable();
    if left.is_zero() {
        let refusal = match payment.state {
            PaymentState::Paid => Refusal::RefundNothingLeft,
            state => Refusal::PaymentNotPaid { state },
        };
        return member.refuse(refusal.into(), &format!("/console/payments/{}", payment.id));
    }
    let random: [u8; 10] = member.console.env().random();
    let number = format!("{NUMBER_PREFIX}{}", BASE32_NOPAD.encode(&random).to_ascii_lowercase());
    let form = RefundForm {
        page: member.page.clone(),
        frame: member.frame(Room::Payments),
        amount: left.to_decimal(),
        payment,
        number,
        again: String::new(),
        reason: String::new(),
        errors: Errors::default(),
    };
    Ok(member.render(StatusCode::OK, &form))
}

pub(super) async fn submit(member: Member) -> Reply {
    let payment = load(&member).await?;
    let typed = |name| member.form.text(name).to_owned();
    let mut form = RefundForm {
        page: member.page.clone(),
        frame: member.frame(Room::Payments),
        number: typed("number"),
        amount: typed("amount"),
        again: typed("again"),
        reason: typed("reason"),
        errors: Errors::default(),
        payment,
    };
    let own = form.number.strip_prefix(NUMBER_PREFIX).unwrap_or("");
    if own.len() != NUMBER_CHARS || !own.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Problem::Malformed);
    }
    let amount = check(&mut form);
    let (Some(amount), false) = (amount, form.errors.any()) else {
        return Ok(show(&member, StatusCode::UNPROCESSABLE_ENTITY, &form));
    };
    let (scope, id, stamp) = (member.scope(), form.payment.id, member.stamp());
    let (moment, by) = (Moment::new(member.console.env()), Actor::User(member.user.id));
    let new = NewRefund {
        amount: Some(amount),
        refund_no: Some(form.number.clone()),
        reason: Some(form.reason.clone()).filter(|reason| !reason.is_empty()),
        metadata: BTreeMap::new(),
        fingerprint: fingerprint(id, amount, &form.reason),
    };
    let channels = member.console.gateway().channels.clone();
    let requested = member
        .console
        .store()
        .write(move |tx| {
            let mut moment = moment;
            let window_of = |account| channels.refund_window(account);
            let requested = refunds::request_within(tx, scope, id, &new, by.clone(), &window_of, &mut moment)?;
            if let refunds::Requested::New(refund) = &requested {
                let detail = Detail::new().with("payment", id).with("amount", refund.amount);
                stamp.record(tx, scope.merchant, Action::RefundCreated, refund.id, detail)?;
            }
            Ok::<_, FlowError>(requested)
        })
        .await;
    let requested = match requested {
        Err(FlowError::Refused(Refusal::ApprovalNeeded { .. })) => return propose(&member, form, amount).await,
        other => other,
    };
    match requested {
        Ok(_) => Ok(member.go(&format!("/console/payments/{id}?done=refunded"))),
        Err(FlowError::Refused(Refusal::PaymentNotFound)) => Err(Problem::NotFound),
        Err(FlowError::Refused(refusal)) => {
            form.errors.whole = words::refusal_text(&refusal, &member.page);
            Ok(show(&member, StatusCode::CONFLICT, &form))
        }
        Err(other) => Err(other.into()),
    }
}

/// Keeps the refund until another person has agreed.
async fn propose(member: &Member, mut form: RefundForm, amount: Money) -> Reply {
    let (scope, stamp, maker) = (member.scope(), member.stamp(), member.user.id);
    let (moment, channels) = (Moment::new(member.console.env()), member.console.gateway().channels.clone());
    let command = Command::Refund {
        payment: form.payment.id,
        amount,
        refund_no: form.number.clone(),
        reason: Some(form.reason.clone()).filter(|reason| !reason.is_empty()),
    };
    let proposed = member.console.store().write(move |tx| {
        let window_of = |account| channels.refund_window(account);
        let proposal = approvals::propose(tx, scope, &command, maker, &window_of, &mut moment.clone())?;
        let detail = Detail::new().with("payment", command.payment()).with("amount", command.amount());
        stamp.record(tx, scope.merchant, Action::RefundProposed, proposal.id, detail)?;
        Ok::<_, FlowError>(proposal.id)
    });
    match proposed.await {
        Ok(id) => Ok(member.go(&format!("/console/approvals/{id}?done=proposed"))),
        Err(FlowError::Refused(refusal)) => {
            form.errors.whole = words::refusal_text(&refusal, &member.page);
            Ok(show(member, StatusCode::CONFLICT, &form))
        }
        Err(other) => Err(other.into()),
    }
}

fn show(member: &Member, status: StatusCode, form: &RefundForm) -> HttpResponse {
    member.render(status, form)
}

/// Reads the amount and says what is wrong.
fn check(form: &mut RefundForm) -> Option<Money> {
    let page = form.page.clone();
    let currency = form.payment.amount.currency();
    let amount = match Money::parse(&form.amount, currency) {
        Ok(amount) if amount.is_zero() => {
            form.errors.amount = page.t("至少一分。", "At least the smallest coin.").to_owned();
            None
        }
        Ok(amount) => Some(amount),
        Err(bad) => {
            form.errors.amount = amount_text(&page, bad);
            None
        }
    };
    if form.again != form.amount {
        let text = page.t("两次金额不一样。请照着再输入一遍。", "The two amounts differ. Type the same one again.");
        form.errors.again = text.to_owned();
    }
    if form.reason.chars().count() > REASON_CHARS_MAX {
        form.errors.reason = page.t("最多 26 个字。", "At most 26 characters.").to_owned();
    }
    amount
}

/// Why a text is no amount.
pub(super) fn amount_text(page: &Page, bad: BadAmount) -> String {
    let text = match bad {
        BadAmount::NotDecimal => page.t("只写数字，例如 9.90。", "Digits only, such as 9.90."),
        BadAmount::WrongDigits { expected: 0 } => page.t("这种货币没有小数。", "This currency has no decimals."),
        BadAmount::WrongDigits { .. } => page.t("写足两位小数，例如 9.90。", "Write two decimals, such as 9.90."),
        BadAmount::LeadingZero => page.t("前面多了一个 0。", "There is a zero too many in front."),
        BadAmount::TooLarge => page.t("金额太大。", "The amount is too large."),
    };
    text.to_owned()
}

/// What tells a form that is sent twice from one that was changed in between.
fn fingerprint(payment: PaymentId, amount: Money, reason: &str) -> [u8; 16] {
    let hash = digest::digest(&digest::SHA256, format!("{payment}\0{amount}\0{reason}").as_bytes());
    hash.as_ref()[..16].try_into().expect("SHA-256 has 32 bytes")
}
