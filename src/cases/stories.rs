//! Cases that play a payment from its order to its end, and watch both sides.

use super::catalogue::{Code, Fault};
use super::judge::{self, Expected};
use super::run::{Finding, Notes, Said, Weight};
use super::shop::Shop;
use super::stage::{AMOUNT_MINOR, Mood, Play, Stage, Trouble};
use crate::domain::case::CaseKind;
use crate::domain::event::EventType as E;
use crate::domain::follow::Step;
use crate::domain::ids::{AttemptId, PaymentId};
use crate::domain::merchant::LatePolicy;
use crate::domain::method::Flow;
use crate::domain::money::Money;
use crate::domain::payment::{Ending, Payment, PaymentState as S};
use crate::domain::refund::RefundState;
use crate::domain::time::Duration;
use crate::flows::decisions::Decision;

/// Minor units of the first of two refunds.
const FIRST_PART_MINOR: u64 = 500;
/// Questions while the channel is broken, and the pause between them. It is well again after two.
const QUESTIONS_MAX: u32 = 20;
const QUESTION_EVERY: Duration = Duration::from_millis(500);

/// Paid once, with nothing given back.
const PAID: Expected = Expected {
    state: S::Paid,
    late: false,
    paid: AMOUNT_MINOR,
    refunded: 0,
    events: &[(E::PaymentCreated, 1), (E::PaymentPaid, 1), (E::PaymentFailed, 0), (E::PaymentLate, 0)],
};

fn refunded(refunded: u64, events: &'static [(E, usize)]) -> Expected {
    Expected { refunded, events, ..PAID }
}

/// Ended without money.
fn ended(state: S, events: &'static [(E, usize)]) -> Expected {
    Expected { state, late: false, paid: 0, refunded: 0, events }
}

fn is_paid(payment: &Payment) -> bool {
    payment.state == S::Paid
}

/// Judges Coffer's side, then the shop's.
async fn close(
    stage: &Stage,
    shop: &Shop,
    notes: &mut Notes,
    id: PaymentId,
    expected: &Expected,
) -> Result<(), Trouble> {
    let found = stage.found(id).await?;
    judge::payment(&found, expected).into_iter().for_each(|finding| notes.find(finding));
    shop.hear(stage, id, notes).await
}

pub async fn paid(stage: &Stage, shop: &Shop, notes: &mut Notes) -> Result<(), Trouble> {
    for method in stage.methods(Flow::QrCode).await? {
        let id = stage.order(Code::Paid, None).await?;
        let attempt = stage.choose(id, method).await?;
        pay(stage, id, attempt).await?;
        close(stage, shop, notes, id, &PAID).await?;
    }
    Ok(())
}

pub async fn declined(stage: &Stage, shop: &Shop, notes: &mut Notes) -> Result<(), Trouble> {
    let (id, first) = stage.charge(Code::Declined).await?;
    stage.play(first, Play::Decline).await?;
    stage.until(id, |_, attempt| attempt.is_some_and(|attempt| !attempt.state.is_live())).await?;
    let second = stage.choose(id, stage.methods(Flow::QrCode).await?[0]).await?;
    pay(stage, id, second).await?;
    close(stage, shop, notes, id, &PAID).await
}

pub async fn canceled(stage: &Stage, shop: &Shop, notes: &mut Notes) -> Result<(), Trouble> {
    let (id, _) = stage.charge(Code::Canceled).await?;
    stage.end(id, Ending::CancelByMerchant).await?;
    stage.until(id, |payment, _| payment.state.is_final()).await?;
    close(stage, shop, notes, id, &ended(S::Canceled, &[(E::PaymentCanceled, 1), (E::PaymentPaid, 0)])).await
}

pub async fn expired(stage: &Stage, shop: &Shop, notes: &mut Notes) -> Result<(), Trouble> {
    let (id, attempt) = stage.charge(Code::Expired).await?;
    stage.play(attempt, Play::RunOut).await?;
    stage.end(id, Ending::Expire).await?;
    stage.until(id, |payment, _| payment.state.is_final()).await?;
    close(stage, shop, notes, id, &ended(S::Expired, &[(E::PaymentExpired, 1), (E::PaymentPaid, 0)])).await
}

pub async fn late(stage: &Stage, shop: &Shop, notes: &mut Notes) -> Result<(), Trouble> {
    let (id, attempt) = stage.charge(Code::Late).await?;
    stage.play(attempt, Play::PayLate).await?;
    stage.end(id, Ending::Expire).await?;
    let late = &[(E::PaymentExpired, 1), (E::PaymentLate, 1), (E::PaymentPaid, 0)];
    let expected = match stage.merchant().await?.late {
        LatePolicy::Book => {
            stage.until(id, |payment, _| payment.late).await?;
            Expected { late: true, ..refunded(0, late) }
        }
        LatePolicy::Refund => {
            stage.until(id, |payment, _| payment.refunded_minor == AMOUNT_MINOR).await?;
            Expected { late: true, ..refunded(AMOUNT_MINOR, late) }
        }
        LatePolicy::Hold => {
            stage.until(id, |_, attempt| attempt.is_some_and(|attempt| attempt.paid_at.is_some())).await?;
            match stage.difference(attempt, CaseKind::LatePayment).await? {
                Some(case) => stage.decide(case, Decision::GiveBack).await?,
                None => notes.find(unnoticed()),
            }
            return shop.hear(stage, id, notes).await;
        }
    };
    close(stage, shop, notes, id, &expected).await
}

pub async fn lost_notification(stage: &Stage, shop: &Shop, notes: &mut Notes) -> Result<(), Trouble> {
    let (id, attempt) = stage.charge(Code::LostNotification).await?;
    stage.play(attempt, Play::PayUntold).await?;
    stage.until(id, |payment, _| is_paid(payment)).await?;
    close(stage, shop, notes, id, &PAID).await
}

pub async fn duplicate_notification(stage: &Stage, shop: &Shop, notes: &mut Notes) -> Result<(), Trouble> {
    let (id, attempt) = stage.charge(Code::DuplicateNotification).await?;
    stage.play(attempt, Play::PayTwiceTold).await?;
    stage.until(id, |payment, _| is_paid(payment)).await?;
    close(stage, shop, notes, id, &PAID).await
}

pub async fn wrong_amount(stage: &Stage, shop: &Shop, notes: &mut Notes) -> Result<(), Trouble> {
    let (id, attempt) = stage.charge(Code::WrongAmount).await?;
    stage.play(attempt, Play::PayWrongAmount).await?;
    let held = stage
        .until(id, |payment, attempt| is_paid(payment) || attempt.is_some_and(|attempt| attempt.step == Step::Hold));
    held.await?;
    close(stage, shop, notes, id, &ended(S::Processing, &[(E::PaymentPaid, 0), (E::PaymentLate, 0)])).await?;
    match stage.difference(attempt, CaseKind::WrongAmount).await? {
        Some(case) => {
            let note = "Coffer case: wrong_amount".to_owned();
            stage.decide(case, Decision::Close { note }).await?;
            stage.end(id, Ending::CancelByMerchant).await
        }
        None => {
            notes.find(unnoticed());
            Ok(())
        }
    }
}

fn unnoticed() -> Finding {
    let seen = Said::new("没有列为待办。", "It does not wait for a person.");
    Finding { fault: Fault::WrongState, weight: Weight::Fail, url: None, seen: Some(seen) }
}

pub async fn channel_outage(stage: &Stage, shop: &Shop, notes: &mut Notes) -> Result<(), Trouble> {
    let (id, attempt) = stage.charge(Code::ChannelOutage).await?;
    stage.behave(attempt, Mood::AnswersFail).await?;
    stage.play(attempt, Play::PayUntold).await?;
    for _ in 0..QUESTIONS_MAX {
        stage.ask(id).await?;
        stage.gateway.env.sleep(QUESTION_EVERY).await;
        let (payment, _) = stage.look(id).await?;
        // Paid at last, or ended although nobody knew: either way there is something to judge.
        if payment.state.is_final() {
            break;
        }
    }
    close(stage, shop, notes, id, &PAID).await
}

pub async fn barcode(stage: &Stage, shop: &Shop, notes: &mut Notes) -> Result<(), Trouble> {
    let (id, attempt) = show_code(stage, Code::Barcode).await?;
    pay(stage, id, attempt).await?;
    close(stage, shop, notes, id, &PAID).await
}

pub async fn barcode_canceled(stage: &Stage, shop: &Shop, notes: &mut Notes) -> Result<(), Trouble> {
    let (id, _) = show_code(stage, Code::BarcodeCanceled).await?;
    stage.end(id, Ending::CancelByMerchant).await?;
    stage.until(id, |payment, _| payment.state.is_final()).await?;
    close(stage, shop, notes, id, &ended(S::Canceled, &[(E::PaymentCanceled, 1), (E::PaymentPaid, 0)])).await
}

/// The cashier scans a code, and the customer is asked for the password.
async fn show_code(stage: &Stage, case: Code) -> Result<(PaymentId, AttemptId), Trouble> {
    let method = stage.methods(Flow::BarCode).await?[0];
    let code = stage.show_code(method).await?;
    let id = stage.order(case, Some((method, code))).await?;
    let asked = stage.until(id, |payment, attempt| {
        payment.state.is_final() || attempt.is_some_and(|attempt| attempt.next_action.is_some())
    });
    let payment = asked.await?;
    Ok((id, payment.current.ok_or(Trouble::Stuck)?))
}

/// A paid order to give back in more than one refund.
async fn bought(stage: &Stage, case: Code) -> Result<(PaymentId, AttemptId), Trouble> {
    let (id, attempt) = stage.charge_to_refund(case).await?;
    pay(stage, id, attempt).await?;
    Ok((id, attempt))
}

async fn pay(stage: &Stage, id: PaymentId, attempt: AttemptId) -> Result<(), Trouble> {
    stage.play(attempt, Play::Pay).await?;
    stage.until(id, |payment, _| is_paid(payment)).await?;
    Ok(())
}

pub async fn refund(stage: &Stage, shop: &Shop, notes: &mut Notes) -> Result<(), Trouble> {
    let (id, attempt) = stage.charge(Code::Refund).await?;
    pay(stage, id, attempt).await?;
    let refund = stage.refund(id, None).await?;
    stage.refunded(id, refund).await?;
    let events = &[(E::PaymentPaid, 1), (E::RefundCreated, 1), (E::RefundSucceeded, 1), (E::RefundFailed, 0)];
    close(stage, shop, notes, id, &refunded(AMOUNT_MINOR, events)).await
}

pub async fn partial_refunds(stage: &Stage, shop: &Shop, notes: &mut Notes) -> Result<(), Trouble> {
    let (id, _) = bought(stage, Code::PartialRefunds).await?;
    let currency = stage.amount().await?.currency();
    for part in [FIRST_PART_MINOR, AMOUNT_MINOR - FIRST_PART_MINOR] {
        let refund = stage.refund(id, Some(Money::new(part, currency))).await?;
        stage.refunded(id, refund).await?;
    }
    if !stage.refuses_more(id, Money::new(1, currency)).await? {
        let seen = Said::new("退款超过了付款金额。", "More was refunded than had been paid.");
        notes.find(Finding { fault: Fault::WrongState, weight: Weight::Fail, url: None, seen: Some(seen) });
    }
    let events = &[(E::PaymentPaid, 1), (E::RefundCreated, 2), (E::RefundSucceeded, 2)];
    close(stage, shop, notes, id, &refunded(AMOUNT_MINOR, events)).await
}

pub async fn refund_failed(stage: &Stage, shop: &Shop, notes: &mut Notes) -> Result<(), Trouble> {
    let (id, attempt) = bought(stage, Code::RefundFailed).await?;
    stage.behave(attempt, Mood::RefundsFail).await?;
    let first = stage.refund(id, None).await?;
    let first = stage.refunded(id, first).await?;
    if first.state != RefundState::Failed {
        let seen = Said::new("渠道失败的退款被记为成功。", "A refund that the channel failed counts as done.");
        notes.find(Finding { fault: Fault::WrongState, weight: Weight::Fail, url: None, seen: Some(seen) });
    }
    stage.behave(attempt, Mood::Well).await?;
    let second = stage.refund(id, None).await?;
    stage.refunded(id, second).await?;
    let events = &[(E::RefundCreated, 2), (E::RefundFailed, 1), (E::RefundSucceeded, 1)];
    close(stage, shop, notes, id, &refunded(AMOUNT_MINOR, events)).await
}
