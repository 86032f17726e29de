//! Every method in every mode, from the order to the last refund.

use coffer::channels::{ChannelError, CreateOrder, Observation, Order, Subject};
use coffer::domain::method::Method;
use coffer::domain::money::{Currency, Money};
use coffer::domain::time::Duration;
use coffer::sandbox::provider::model::Deed;
use coffer::sandbox::provider::records::Mood;

use super::town::{Contract, paid, town};

const SHOWN: [Method; 4] = [Method::AlipayQr, Method::AlipayPage, Method::AlipayWap, Method::AlipayApp];

#[tokio::test]
async fn a_payment_that_the_customer_makes_is_seen_told_and_given_back() {
    for contract in Contract::ALL {
        let town = town(contract).await;
        for method in SHOWN {
            let attempt = town.attempt();
            let code = town.open(attempt, method).await;
            assert_eq!(town.query(attempt, method).await, Observation::NotFound, "{method}: nobody signed in yet");
            town.pay(code, Deed::Pay).await;
            let seen = town.query(attempt, method).await;
            let facts = paid(&seen).clone();
            assert_eq!((facts.amount, facts.identity.clone()), (Money::new(1230, Currency::CNY), Ok(())));
            let (about, told) = town.told_once().await;
            assert_eq!((about, paid(&told)), (Subject::Order(attempt), &facts), "{contract:?} {method}");

            let refund = |number, fen| Order::Refund(town.refund(attempt, number, fen));
            let done = |fen| {
                let amount = Money::new(fen, Currency::CNY);
                Ok(Observation::RefundSucceeded { channel_refund_id: None, amount })
            };
            assert_eq!(town.ask(&refund(1, 500)).await, done(500));
            let again = town.ask(&refund(1, 500)).await;
            assert_eq!(again, Ok(Observation::RefundProcessing { channel_refund_id: None }), "moved nothing this time");
            assert!(matches!(town.ask(&refund(2, 731)).await, Ok(Observation::Refused { .. })), "more than is left");
            assert_eq!(town.ask(&refund(3, 730)).await, done(730));
            for (number, expected) in [(1, done(500)), (2, Ok(Observation::NotFound)), (3, done(730))] {
                let about = town.refund(attempt, number, 1).about;
                assert_eq!(town.ask(&Order::QueryRefund(about)).await, expected);
            }
            let told = town.told().await;
            assert_eq!(told.len(), 2);
            for told in told {
                let told = told.unwrap();
                assert!(matches!(told.about(), Subject::Refund(_)), "never a second payment: {told:?}");
            }
            assert_eq!(town.query(attempt, method).await, Observation::Closed);
        }
    }
}

#[tokio::test]
async fn an_order_that_nobody_pays_is_closed_and_stays_closed() {
    let town = town(Contract::Key).await;
    for method in SHOWN {
        let attempt = town.attempt();
        let close = Order::Close(town.about(attempt, method));
        let code = town.open(attempt, method).await;
        assert_eq!(town.ask(&close).await, Ok(Observation::NotFound), "{method}: there is no trade yet");
        // While the password is typed there is one.
        town.pay(code, Deed::PaySlowly).await;
        assert_eq!(town.query(attempt, method).await, Observation::NotPaid);
        assert_eq!(town.ask(&close).await, Ok(Observation::Closed));
        let after = town.query(attempt, method).await;
        assert!(matches!(after, Observation::Closed | Observation::NotFound), "{method}: {after:?}");
        // A paid one is not closed.
        let attempt = town.attempt();
        let code = town.open(attempt, method).await;
        town.pay(code, Deed::Pay).await;
        let refused = town.ask(&Order::Close(town.about(attempt, method))).await;
        assert!(matches!(refused, Ok(Observation::Refused { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn a_mini_program_pays_a_trade_that_belongs_to_its_customer() {
    let method = Method::AlipayMini;
    for contract in Contract::ALL {
        let town = town(contract).await;
        for buyer in ["2088101117955611", "074a1CcTG1LelxKe4xQC0zgNdId0nxi95b5lsNpazWYoCo5"] {
            let attempt = town.attempt();
            let create = CreateOrder { openid: Some(buyer.to_owned()), ..town.create(attempt, method) };
            let shown = town.ask(&Order::Create(create.clone())).await.unwrap();
            let Observation::Accepted { next_action } = &shown else { panic!("{shown:?}") };
            assert_eq!(town.ask(&Order::Create(create)).await.as_ref(), Ok(&shown), "asked twice is asked once");
            assert_eq!(
                town.query(attempt, method).await,
                Observation::NotPaid,
                "the trade is there from the beginning"
            );
            let code = town.follow(next_action).await;
            town.pay(code, Deed::Pay).await;
            let facts = paid(&town.query(attempt, method).await).clone();
            assert_eq!((facts.amount, facts.identity), (Money::new(1230, Currency::CNY), Ok(())));
            assert_eq!(town.told_once().await.0, Subject::Order(attempt));
        }
        let attempt = town.attempt();
        for nobody in [None, Some(String::new()), Some("a b".to_owned()), Some("x".repeat(129))] {
            let create = CreateOrder { openid: nobody, ..town.create(attempt, method) };
            assert!(matches!(town.ask(&Order::Create(create)).await, Err(ChannelError::Unfit { .. })));
        }
        let attempt = town.attempt();
        let create = CreateOrder { openid: Some("2088101117955611".to_owned()), ..town.create(attempt, method) };
        town.ask(&Order::Create(create)).await.unwrap();
        assert_eq!(town.ask(&Order::Close(town.about(attempt, method))).await, Ok(Observation::Closed));
    }
}

#[tokio::test]
async fn the_same_order_is_the_same_code() {
    let town = town(Contract::Certificate).await;
    let attempt = town.attempt();
    let first = town.open(attempt, Method::AlipayQr).await;
    assert_eq!(town.open(attempt, Method::AlipayQr).await, first);
    town.pay(first, Deed::Pay).await;
    let again = town.ask(&Order::Create(town.create(attempt, Method::AlipayQr))).await;
    assert!(matches!(again, Ok(Observation::Unknown { .. })), "it exists, so it is asked about: {again:?}");
}

#[tokio::test]
async fn the_customer_comes_back_to_the_shop_with_what_proves_nothing() {
    let town = town(Contract::Key).await;
    let attempt = town.attempt();
    let code = town.open(attempt, Method::AlipayPage).await;
    let place = format!("{}/sim/alipay/return/{}", town.base, data_encoding::HEXLOWER.encode(&code));
    let back = format!("{}/back?x=1", town.base);
    assert_eq!(town.get(&place).await.header("location"), Some(back.as_str()), "not paid yet");
    town.pay(code, Deed::Pay).await;
    let answer = town.get(&place).await;
    let location = answer.header("location").unwrap();
    assert!(
        location.starts_with(&format!("{back}&")) && location.contains("alipay.trade.page.pay.return"),
        "{location}"
    );
}

#[tokio::test]
async fn a_code_that_the_customer_shows_is_charged_once() {
    for contract in Contract::ALL {
        let town = town(contract).await;
        let method = Method::AlipayBarcode;
        for mood in Mood::ALL {
            let attempt = town.attempt();
            let digits = town.show_code(mood).await;
            let mut create = town.create(attempt, method);
            create.auth_code = Some(digits.clone());
            create.expires_at = create.created_at.plus(Duration::from_seconds(45));
            let heard = town.ask(&Order::Create(create)).await.unwrap();
            let after = town.query(attempt, method).await;
            match mood {
                Mood::Pays => assert_eq!(paid(&heard), paid(&after)),
                Mood::AskedForPassword => {
                    assert_eq!((heard, after), (Observation::NotPaid, Observation::NotPaid));
                    town.skip(Duration::from_seconds(9)).await;
                    paid(&town.query(attempt, method).await);
                }
                Mood::BalanceShort => assert!(matches!(heard, Observation::Declined { .. }), "{heard:?}"),
                Mood::Refuses => {
                    assert!(matches!(heard, Observation::Unknown { .. }), "asked about first: {heard:?}");
                    assert_eq!(after, Observation::Closed);
                }
            }
            // The code is used up.
            let mut second = town.create(town.attempt(), method);
            second.auth_code = Some(digits);
            let heard = town.ask(&Order::Create(second)).await.unwrap();
            assert!(matches!(heard, Observation::Declined { .. }), "{heard:?}");
        }
    }
}

#[tokio::test]
async fn a_reversal_closes_what_is_unpaid_and_gives_back_what_is_paid() {
    let town = town(Contract::Certificate).await;
    let method = Method::AlipayBarcode;
    for mood in [Mood::Pays, Mood::AskedForPassword] {
        let attempt = town.attempt();
        let mut create = town.create(attempt, method);
        create.auth_code = Some(town.show_code(mood).await);
        town.ask(&Order::Create(create)).await.unwrap();
        let reverse = Order::Close(town.about(attempt, method));
        assert_eq!(town.ask(&reverse).await, Ok(Observation::Closed), "{mood:?}");
        town.skip(Duration::from_seconds(60)).await;
        assert_eq!(town.query(attempt, method).await, Observation::Closed, "{mood:?}");
        assert_eq!(town.ask(&reverse).await, Ok(Observation::Closed), "twice is once");
    }
    let unknown = Order::Close(town.about(town.attempt(), method));
    assert_eq!(town.ask(&unknown).await, Ok(Observation::NotFound));
}
