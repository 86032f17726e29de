//! Every fault of the provider: what the adapter concludes is the truth or nothing.

use coffer::channels::{ChannelError, Observation, Order, Subject};
use coffer::domain::method::Method;
use coffer::domain::money::{Currency, Money};
use coffer::domain::time::Duration;
use coffer::sandbox::provider::fault::{Fault, TROUBLED_ANSWERS_MAX};
use coffer::sandbox::provider::model::Deed;
use coffer::sandbox::provider::records::Mood;

use super::town::{Contract, Town, paid, town};
use crate::troubled::{TROUBLED, is_unknown};

const QR: Method = Method::AlipayQr;

/// Asks until the answer is proper.
async fn persist(town: &Town, fault: Fault, order: &Order) -> Observation {
    for _ in 0..TROUBLED_ANSWERS_MAX {
        let heard = town.ask(order).await;
        assert!(is_unknown(&heard), "{fault:?} {order:?} {heard:?}");
    }
    town.ask(order).await.unwrap()
}

#[tokio::test]
async fn an_answer_that_is_lost_or_spoilt_says_nothing_and_the_next_proper_one_tells() {
    for contract in [Contract::Certificate, Contract::Encrypted] {
        for fault in TROUBLED {
            let town = town(contract).await;
            town.faults(&[fault]).await;
            let attempt = town.attempt();
            let shown = persist(&town, fault, &Order::Create(town.create(attempt, QR))).await;
            let Observation::Accepted { next_action } = shown else { panic!("{fault:?} {shown:?}") };
            let code = town.follow(&next_action).await;
            town.faults(&[]).await;
            town.pay(code, Deed::Pay).await;
            paid(&town.query(attempt, QR).await);

            let refund = town.refund(attempt, 1, 600);
            let done = persist(&town, fault, &Order::Refund(refund.clone())).await;
            let done = match done {
                // Done the first time, and this answer says that nothing more was moved.
                Observation::RefundProcessing { .. } => town.ask(&Order::QueryRefund(refund.about)).await.unwrap(),
                other => other,
            };
            let amount = Money::new(600, Currency::CNY);
            assert_eq!(done, Observation::RefundSucceeded { channel_refund_id: None, amount }, "{fault:?}");
            let about = town.told().await;
            assert_eq!(about.len(), 2, "the payment and one refund, however often it was asked for: {fault:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_an_unknown_outcome() {
    let mut town = town(Contract::Key).await;
    town.patience = Duration::from_seconds(1);
    for fault in [Fault::AnswerLate, Fault::AnswerSlow] {
        town.faults(&[fault]).await;
        let attempt = town.attempt();
        let heard = town.ask(&Order::Create(town.create(attempt, QR))).await;
        assert_eq!(heard, Ok(Observation::Unknown { detail: "timeout".to_owned() }), "{fault:?}");
    }
}

#[tokio::test]
async fn a_password_that_takes_two_minutes_is_waited_for() {
    let town = town(Contract::Key).await;
    town.faults(&[Fault::PasswordLate]).await;
    let (attempt, method) = (town.attempt(), Method::AlipayBarcode);
    let mut create = town.create(attempt, method);
    create.auth_code = Some(town.show_code(Mood::AskedForPassword).await);
    assert_eq!(town.ask(&Order::Create(create)).await, Ok(Observation::NotPaid));
    town.skip(Duration::from_seconds(60)).await;
    assert_eq!(town.query(attempt, method).await, Observation::NotPaid);
    town.skip(Duration::from_seconds(61)).await;
    paid(&town.query(attempt, method).await);
}

#[tokio::test]
async fn notifications_may_be_lost_doubled_late_forged_or_wrong() {
    for contract in [Contract::Key, Contract::Certificate] {
        let town = town(contract).await;
        for (fault, count) in [
            (Fault::LoseNotification, 0),
            (Fault::DoubleNotification, 2),
            (Fault::DelayNotification, 0),
            (Fault::ForgeNotification, 1),
            (Fault::MisstateAmount, 1),
            (Fault::ClockSkew, 1),
        ] {
            town.faults(&[fault]).await;
            let attempt = town.attempt();
            let code = town.open(attempt, QR).await;
            town.pay(code, Deed::Pay).await;
            let told = town.told().await;
            assert_eq!(told.len(), count, "{fault:?}");
            for told in &told {
                match told {
                    Err(ChannelError::NotGenuine { .. }) => assert_eq!(fault, Fault::ForgeNotification),
                    Ok(told) => {
                        assert_eq!(told.about(), Subject::Order(attempt));
                        let expected = if fault == Fault::MisstateAmount { 1229 } else { 1230 };
                        assert_eq!(paid(told.observation()).amount.minor(), expected, "{fault:?}");
                    }
                    other => panic!("{fault:?} {other:?}"),
                }
            }
            if fault == Fault::DelayNotification {
                town.skip(Duration::from_seconds(61)).await;
                paid(&town.told_once().await.1);
            }
            // Asking tells the truth in any case.
            assert_eq!(paid(&town.query(attempt, QR).await).amount.minor(), 1230, "{fault:?}");
        }
    }
}

#[tokio::test]
async fn a_notification_that_a_later_one_overtook_is_still_the_payment() {
    let town = town(Contract::Key).await;
    town.faults(&[Fault::ReorderNotification]).await;
    let attempt = town.attempt();
    let code = town.open(attempt, QR).await;
    town.pay(code, Deed::Pay).await;
    assert!(town.told().await.is_empty());
    town.ask(&Order::Refund(town.refund(attempt, 1, 100))).await.unwrap();
    let mut subjects = Vec::new();
    for _ in 0..4 {
        subjects.extend(town.told().await.into_iter().map(|told| told.unwrap().about()));
        town.skip(Duration::from_seconds(30)).await;
    }
    subjects.extend(town.told().await.into_iter().map(|told| told.unwrap().about()));
    assert_eq!(subjects.iter().filter(|subject| **subject == Subject::Order(attempt)).count(), 1, "{subjects:?}");
    assert!(subjects.iter().any(|subject| matches!(subject, Subject::Refund(_))), "{subjects:?}");
}

#[tokio::test]
async fn alipays_new_certificate_is_followed_without_the_merchant() {
    let mut town = town(Contract::Certificate).await;
    let attempt = town.attempt();
    let code = town.open(attempt, QR).await;
    town.pay(code, Deed::Pay).await;
    town.told().await;
    town.faults(&[Fault::NewKey]).await;
    let second = town.attempt();
    let heard = town.ask(&Order::Create(town.create(second, QR))).await;
    assert!(matches!(heard, Err(ChannelError::UnknownKey { .. })), "{heard:?}");
    // Noticed, then fetched.
    for _ in 0..2 {
        let request = town.channel.upkeep(&town.sealing()).unwrap();
        let answer = town.send(request).await.unwrap();
        let record = town.channel.read_upkeep(&answer, town.now()).unwrap().expect("something new");
        let mode = coffer::domain::ids::Mode::Test;
        town.channel = coffer::channels::alipay::open(record.expose(), mode, None, &town.base).unwrap();
    }
    let code = town.open(second, QR).await;
    town.pay(code, Deed::Pay).await;
    paid(&town.told_once().await.1);
    paid(&town.query(attempt, QR).await);
    let request = town.channel.upkeep(&town.sealing()).unwrap();
    let answer = town.send(request).await.unwrap();
    assert_eq!(town.channel.read_upkeep(&answer, town.now()), Ok(None));
}

#[tokio::test]
async fn money_that_comes_after_the_end_is_seen() {
    let town = town(Contract::Key).await;
    town.faults(&[Fault::PayAfterClose]).await;
    let attempt = town.attempt();
    town.open(attempt, Method::AlipayWap).await;
    town.skip(Duration::from_minutes(31)).await;
    town.skip(Duration::from_minutes(1)).await;
    paid(&town.query(attempt, Method::AlipayWap).await);
    let told = town.told().await;
    let last = told.last().unwrap().as_ref().unwrap();
    paid(last.observation());
}

#[tokio::test]
async fn a_refund_that_is_stuck_fails_or_waits_for_balance_is_followed_to_its_end() {
    let town = town(Contract::Key).await;
    for fault in [Fault::RefundStuck, Fault::RefundAbnormal, Fault::BalanceShort] {
        town.faults(&[fault]).await;
        let attempt = town.attempt();
        let code = town.open(attempt, QR).await;
        town.pay(code, Deed::Pay).await;
        let refund = town.refund(attempt, 1, 600);
        let (send, ask) = (Order::Refund(refund.clone()), Order::QueryRefund(refund.about));
        let heard = town.ask(&send).await.unwrap();
        match fault {
            Fault::BalanceShort => assert!(matches!(heard, Observation::Unknown { .. }), "{heard:?}"),
            _ => assert_eq!(heard, Observation::RefundProcessing { channel_refund_id: None }),
        }
        assert_eq!(town.ask(&ask).await, Ok(Observation::NotFound), "{fault:?}: nothing moved yet");
        let again = town.ask(&send).await.unwrap();
        match fault {
            Fault::RefundAbnormal => assert!(matches!(again, Observation::Refused { .. }), "{again:?}"),
            Fault::RefundStuck => {
                town.skip(Duration::from_days(3)).await;
                let amount = Money::new(600, Currency::CNY);
                let done = Ok(Observation::RefundSucceeded { channel_refund_id: None, amount });
                assert_eq!(town.ask(&ask).await, done);
            }
            _ => assert!(matches!(again, Observation::Unknown { .. }), "{again:?}"),
        }
    }
}
