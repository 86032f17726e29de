//! Every fault of the provider: what the adapter concludes is the truth or nothing.

use coffer::channels::{ChannelError, Observation, Order};
use coffer::domain::method::Method;
use coffer::domain::money::{Currency, Money};
use coffer::domain::time::Duration;
use coffer::sandbox::provider::fault::{Fault, TROUBLED_ANSWERS_MAX};
use coffer::sandbox::provider::model::Deed;
use coffer::sandbox::unionpay::Form;

use super::town::{Town, paid, town, town_of};
use crate::troubled::{TROUBLED, is_unknown};

const QR: Method = Method::UnionpayQr;

/// Asks until the answer is proper.
async fn persist(town: &Town, order: &Order) -> Observation {
    for _ in 0..TROUBLED_ANSWERS_MAX {
        let heard = town.ask(order).await;
        assert!(is_unknown(&heard), "{heard:?}");
    }
    town.ask(order).await.unwrap()
}

/// An order that was opened and paid without any fault.
async fn paid_order(town: &Town) -> coffer::domain::ids::AttemptId {
    let attempt = town.attempt();
    let code = town.open(attempt, QR).await;
    town.pay(code, Deed::Pay).await;
    attempt
}

#[tokio::test]
async fn an_answer_that_is_lost_or_spoilt_says_nothing_and_the_next_proper_one_tells() {
    for (fault, form) in TROUBLED.into_iter().flat_map(|fault| Form::ALL.map(|form| (fault, form))) {
        let town = town_of(form).await;
        town.faults(&[fault]).await;
        let attempt = town.attempt();
        // Whether the order was made or not: nothing was learned, and asking again never makes a second one.
        let create = Order::Create(town.create(attempt, QR));
        let first = town.ask(&create).await;
        assert!(is_unknown(&first), "{fault:?}: {first:?}");
        let second = persist_rest(&town, &create).await;
        let made_before = matches!(second, Ok(Observation::CodeLost { .. }));
        let made_now = matches!(second, Ok(Observation::Accepted { .. }));
        let nothing_was_done = matches!(fault, Fault::Throttle | Fault::AnswerError);
        assert_eq!((made_before, made_now), (!nothing_was_done, nothing_was_done), "{fault:?}: {second:?}");

        town.faults(&[]).await;
        let attempt = paid_order(&town).await;
        town.faults(&[fault]).await;
        // The order keeps the faults it was made under, so its answers are proper.
        paid(&town.query(attempt, QR).await);
        let refund = town.refund(town.about(attempt, QR), 1, 600);
        let seen = persist(&town, &Order::QueryRefund(refund.about.clone())).await;
        assert_eq!(seen, Observation::NotFound, "{fault:?}");
    }
}

/// The second troubled answer, and the third, which is proper.
async fn persist_rest(town: &Town, order: &Order) -> Result<Observation, ChannelError> {
    for _ in 1..TROUBLED_ANSWERS_MAX {
        let heard = town.ask(order).await;
        assert!(is_unknown(&heard), "{heard:?}");
    }
    town.ask(order).await
}

#[tokio::test]
async fn an_answer_after_everybodys_patience_is_no_answer() {
    let mut town = town().await;
    town.patience = Duration::from_millis(700);
    for fault in [Fault::AnswerLate, Fault::AnswerSlow] {
        town.faults(&[fault]).await;
        let attempt = town.attempt();
        let heard = town.ask(&Order::Create(town.create(attempt, QR))).await;
        assert!(is_unknown(&heard), "{fault:?}: {heard:?}");
    }
}

#[tokio::test]
async fn notifications_are_believed_when_they_are_genuine_and_amounts_are_passed_on_as_told() {
    let expected = [
        (Fault::LoseNotification, 0),
        (Fault::DoubleNotification, 2),
        (Fault::NewKey, 1),
        (Fault::ForgeNotification, 1),
        (Fault::MisstateAmount, 1),
        (Fault::DelayNotification, 0),
        (Fault::ReorderNotification, 0),
    ];
    for ((fault, letters), form) in expected.into_iter().flat_map(|one| Form::ALL.map(|form| (one, form))) {
        let town = town_of(form).await;
        town.faults(&[fault]).await;
        let attempt = paid_order(&town).await;
        let told = town.told().await;
        assert_eq!(told.len(), letters, "{fault:?}: {told:?}");
        for told in told {
            match fault {
                Fault::ForgeNotification => assert!(matches!(told, Err(ChannelError::NotGenuine { .. })), "{told:?}"),
                Fault::MisstateAmount => {
                    let told = told.unwrap();
                    let Observation::Paid(facts) = told.observation() else { panic!("{told:?}") };
                    assert_eq!(facts.amount, Money::new(1229, Currency::CNY));
                }
                _ => drop(paid(told.unwrap().observation())),
            }
        }
        // The query tells the truth in any case.
        paid(&town.query(attempt, QR).await);
        if matches!(fault, Fault::DelayNotification | Fault::ReorderNotification) {
            town.skip(Duration::from_minutes(2)).await;
            paid(&town.told_once().await.1);
        }
    }
}

#[tokio::test]
async fn refunds_that_are_stuck_or_fail_are_told_as_such() {
    for (fault, ended) in
        [(Fault::RefundStuck, None), (Fault::CardClosed, Some(false)), (Fault::RefundAbnormal, Some(false))]
    {
        let town = town().await;
        town.faults(&[fault]).await;
        let attempt = paid_order(&town).await;
        let refund = town.refund(town.about(attempt, QR), 1, 1230);
        let sent = town.ask(&Order::Refund(refund.clone())).await;
        assert!(matches!(sent, Ok(Observation::RefundProcessing { .. })), "{fault:?}: {sent:?}");
        town.skip(Duration::from_hours(1)).await;
        let seen = town.ask(&Order::QueryRefund(refund.about.clone())).await.unwrap();
        match ended {
            None => {
                assert!(matches!(seen, Observation::RefundProcessing { .. }), "{fault:?}: {seen:?}");
                town.skip(Duration::from_days(4)).await;
                let seen = town.ask(&Order::QueryRefund(refund.about)).await.unwrap();
                assert!(matches!(seen, Observation::RefundSucceeded { .. }), "{fault:?}: {seen:?}");
            }
            Some(_) => assert!(matches!(seen, Observation::RefundFailed { .. }), "{fault:?}: {seen:?}"),
        }
    }
    let town = town().await;
    town.faults(&[Fault::BalanceShort]).await;
    let attempt = paid_order(&town).await;
    let sent = town.ask(&Order::Refund(town.refund(town.about(attempt, QR), 1, 1))).await;
    assert!(matches!(sent, Ok(Observation::Refused { .. })), "{sent:?}");
}

#[tokio::test]
async fn money_after_the_end_and_a_wrong_amount_are_seen_as_they_are() {
    let town = town().await;
    town.faults(&[Fault::PayAfterClose]).await;
    let attempt = town.attempt();
    town.open(attempt, QR).await;
    town.skip(Duration::from_minutes(31)).await;
    paid(&town.query(attempt, QR).await);
    town.faults(&[]).await;
    let attempt = town.attempt();
    let code = town.open(attempt, QR).await;
    town.pay(code, Deed::PayWrongAmount).await;
    let Observation::Paid(facts) = town.query(attempt, QR).await else { panic!() };
    assert_eq!(facts.amount, Money::new(1229, Currency::CNY));
}
