//! Every method from the order to the refund.

use coffer::channels::{ChannelError, Observation, Order, Subject};
use coffer::domain::method::Method;
use coffer::domain::money::{Currency, Money};
use coffer::domain::payment::NextAction;
use coffer::domain::time::Duration;
use coffer::sandbox::provider::fault::Fault;
use coffer::sandbox::provider::model::Deed;
use coffer::sandbox::provider::records::Mood;
use coffer::sandbox::unionpay::Form;

use super::town::{Town, paid, town, town_of};

const FRONT: [Method; 4] = [Method::UnionpayGateway, Method::UnionpayWap, Method::UnionpayQr, Method::UnionpayApp];
const BARCODE: Method = Method::UnionpayBarcode;

#[tokio::test]
async fn every_front_method_is_paid_told_asked_and_refunded_in_parts() {
    for form in Form::ALL {
        for method in FRONT {
            paid_and_refunded(&town_of(form).await, method).await;
        }
    }
}

async fn paid_and_refunded(town: &Town, method: Method) {
    let attempt = town.attempt();
    let code = town.open(attempt, method).await;
    assert_eq!(town.query(attempt, method).await, Observation::NotFound, "{method}: nobody has paid yet");
    town.pay(code, Deed::Pay).await;
    let asked = paid(&town.query(attempt, method).await);
    let (about, told) = town.told_once().await;
    assert_eq!((about, &paid(&told)), (Subject::Order(attempt), &asked), "{method}");

    let mut order = town.about(attempt, method);
    for (number, fen, by_transaction) in [(1, 600, true), (2, 630, false)] {
        order.transaction_id = by_transaction.then(|| asked.transaction_id.clone());
        let refund = town.refund(order.clone(), number, fen);
        let query = Order::QueryRefund(refund.about.clone());
        assert_eq!(town.ask(&query).await, Ok(Observation::NotFound), "{method}");
        let sent = town.ask(&Order::Refund(refund.clone())).await;
        assert!(matches!(sent, Ok(Observation::RefundProcessing { .. })), "{method}: {sent:?}");
        let again = town.ask(&Order::Refund(refund.clone())).await;
        assert!(matches!(again, Ok(Observation::Unknown { .. })), "{method}: a second 12 has to be asked: {again:?}");
        town.skip(Duration::from_seconds(5)).await;
        let done = town.ask(&query).await.unwrap();
        let Observation::RefundSucceeded { amount, .. } = &done else { panic!("{method}: {done:?}") };
        assert_eq!(*amount, Money::new(fen, Currency::CNY));
        assert_eq!(town.told_once().await, (Subject::Refund(refund.about.refund), done));
    }
    let more = town.refund(order, 3, 1);
    let refused = town.ask(&Order::Refund(more)).await;
    assert!(matches!(refused, Ok(Observation::Refused { ref code, .. }) if code == "36"), "{method}: {refused:?}");
}

#[tokio::test]
async fn an_order_that_nobody_paid_is_closed_by_its_end_alone() {
    let town = town().await;
    for method in FRONT {
        let attempt = town.attempt();
        town.open(attempt, method).await;
        let close = Order::Close(town.about(attempt, method));
        assert_eq!(town.ask(&close).await, Ok(Observation::NotPaid), "{method}");
        let after = attempt.created_at().plus(Duration::from_minutes(31));
        assert_eq!(town.ask_at(&close, after).await, Ok(Observation::Closed), "{method}");
    }
    // Money that comes all the same is found.
    let attempt = town.attempt();
    let code = town.open(attempt, Method::UnionpayQr).await;
    town.pay(code, Deed::PayLate).await;
    town.skip(Duration::from_minutes(31)).await;
    paid(&town.query(attempt, Method::UnionpayQr).await);
    paid(&town.told_once().await.1);
}

async fn charge(town: &Town, mood: Mood) -> (Order, Order, Result<Observation, ChannelError>) {
    let attempt = town.attempt();
    let mut create = town.create(attempt, BARCODE);
    create.auth_code = Some(town.show_code(mood).await);
    assert_eq!(create.auth_code.as_deref().and_then(Method::of_shown_code), Some(BARCODE));
    let about = town.about(attempt, BARCODE);
    let heard = town.ask(&Order::Create(create)).await;
    (Order::Query(about.clone()), Order::Close(about), heard)
}

#[tokio::test]
async fn a_shown_code_is_charged_at_once_after_a_password_or_not_at_all() {
    for form in Form::ALL {
        charged_or_not(&town_of(form).await).await;
    }
}

async fn charged_or_not(town: &Town) {
    let (query, _, heard) = charge(town, Mood::Pays).await;
    assert_eq!(heard, Ok(Observation::NotPaid), "accepted, not yet money");
    paid(&town.ask(&query).await.unwrap());
    paid(&town.told_once().await.1);

    let (query, _, heard) = charge(town, Mood::AskedForPassword).await;
    assert_eq!(heard, Ok(Observation::NotPaid));
    assert_eq!(town.ask(&query).await, Ok(Observation::NotPaid));
    town.skip(Duration::from_seconds(10)).await;
    paid(&town.ask(&query).await.unwrap());

    for mood in [Mood::BalanceShort, Mood::Refuses] {
        let (query, _, heard) = charge(town, mood).await;
        let refused = |seen: &Result<Observation, ChannelError>| {
            matches!(seen, Ok(Observation::Declined { .. } | Observation::Refused { .. }))
        };
        assert!(refused(&heard), "{mood:?}: {heard:?}");
        let asked = town.ask(&query).await;
        assert!(refused(&asked), "{mood:?}: {asked:?}");
    }
    // A code works once and for a minute.
    let mut create = town.create(town.attempt(), BARCODE);
    create.auth_code = Some(town.show_code(Mood::Pays).await);
    town.skip(Duration::from_minutes(2)).await;
    let heard = town.ask(&Order::Create(create)).await;
    assert!(matches!(heard, Ok(Observation::Refused { .. } | Observation::Declined { .. })), "{heard:?}");
}

#[tokio::test]
async fn a_password_that_takes_two_minutes_is_waited_for() {
    let town = town().await;
    town.faults(&[Fault::PasswordLate]).await;
    let (query, _, heard) = charge(&town, Mood::AskedForPassword).await;
    assert_eq!(heard, Ok(Observation::NotPaid));
    town.skip(Duration::from_seconds(60)).await;
    assert_eq!(town.ask(&query).await, Ok(Observation::NotPaid));
    town.skip(Duration::from_seconds(61)).await;
    paid(&town.ask(&query).await.unwrap());
}

#[tokio::test]
async fn a_charge_under_way_is_reversed_and_stays_unpaid() {
    let town = town().await;
    let (query, close, _) = charge(&town, Mood::AskedForPassword).await;
    assert_eq!(town.ask(&close).await, Ok(Observation::Closed));
    town.skip(Duration::from_seconds(30)).await;
    let after = town.ask(&query).await;
    assert!(matches!(after, Ok(Observation::Declined { .. })), "{after:?}");
    assert!(town.told().await.is_empty());
    let never = Order::Close(town.about(town.attempt(), BARCODE));
    assert_eq!(town.ask(&never).await, Ok(Observation::NotFound));
}

#[tokio::test]
async fn the_way_back_through_the_browser_is_a_signed_form_and_no_proof() {
    let town = town().await;
    let attempt = town.attempt();
    let order = Order::Create(town.create(attempt, Method::UnionpayGateway));
    let Ok(Observation::Accepted { next_action }) = town.ask(&order).await else { panic!() };
    let code = town.follow(&next_action).await;
    assert_eq!(town.follow(&next_action).await, code, "the browser may post its form again");
    let page = format!("{}/sim/unionpay/front/{}", town.base, data_encoding::HEXLOWER.encode(&code));
    let unpaid = String::from_utf8(town.get(&page).await.body).unwrap();
    assert!(unpaid.contains("/back?x=1") && !unpaid.contains("signature"), "{unpaid}");
    town.pay(code, Deed::PayUntold).await;
    let told = String::from_utf8(town.get(&page).await.body).unwrap();
    assert!(told.contains("name=\"signature\"") && told.contains(&attempt.bare()), "{told}");

    // A form that was changed on its way opens nothing.
    let NextAction::Form { url, mut fields } = next_action else { panic!() };
    for (name, value) in &mut fields {
        if name == "txnAmt" {
            *value = "1".to_owned();
        }
    }
    let refused = town.post(&url, &fields).await;
    let page = String::from_utf8(refused.body).unwrap();
    assert_eq!(refused.status, 400);
    // SDKs that post the form themselves find the reason by this name.
    assert!(page.contains("应答码：11<") && page.contains("class=\"end_error\">验证签名失败"), "{page}");
}
