//! Test mode through the production adapters: accounts at this server's own simulators, and the test API's outcomes with
//! whichever of them carries the payment.

use std::sync::Arc;

use coffer::channels::RefundTarget;
use coffer::crypto::Secret;
use coffer::domain::ids::{Mode, PaymentId, RefundId, Scope, UserId};
use coffer::domain::merchant::{ChannelKind, Share};
use coffer::domain::method::{Brand, Flow, Method};
use coffer::domain::redirect::Destination;
use coffer::env::transport::Method as Verb;
use coffer::flows::Moment;
use coffer::flows::redirects::{self, Decision};
use coffer::flows::verify::verify_live;
use coffer::sandbox::provider::fault::{Fault, Faults};
use coffer::store::Read;
use coffer::store::tables::{PAYMENTS, REFUNDS};
use coffer::test_mode::players::Players;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::cases::town::Town;

/// Every method that is paid for at a distance.
fn methods() -> impl Iterator<Item = Method> {
    Method::ALL.iter().copied().filter(|method| method.flow() != Flow::BarCode)
}

async fn api(town: &Town, verb: Verb, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = town.send(verb, path, &[], &body).await;
    let text = String::from_utf8(answer.body).unwrap();
    assert!((200..300).contains(&answer.status), "{path} {body}: {text}");
    serde_json::from_str(&text).unwrap()
}

async fn order(town: &Town, number: &str, method: Method) -> Value {
    let order = json!({
        "amount": { "currency": "CNY", "value": "12.30" },
        "order_id": number,
        "description": "一只马克杯",
        "method": method.code(),
        "customer": { "ip": "203.0.113.7", "openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o" },
    });
    api(town, Verb::Post, "/v1/payments", &order).await
}

/// An order that ends as the test API is asked.
async fn simulated(town: &Town, method: Method, outcome: &str) -> Value {
    let payment = order(town, &format!("{outcome}-{}", method.code()), method).await;
    let path = format!("/v1/test/payments/{}/simulate", payment["id"].as_str().unwrap());
    api(town, Verb::Post, &path, &json!({ "outcome": outcome })).await
}

fn shares(town: &Town, scope: Scope) -> Vec<(ChannelKind, u16)> {
    let accounts = town.house.gateway.channels.of(scope);
    accounts.iter().map(|open| (open.account.kind, open.account.share.weight)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_made_once_and_the_test_wallet_becomes_the_reserve() {
    let town = Town::open().await;
    let whole = Share::WHOLE.weight;
    assert_eq!(shares(&town, town.scope), [(ChannelKind::TestWallet, whole)]);
    assert_eq!(town.connect().await, 3);
    let connected = [
        (ChannelKind::TestWallet, 0),
        (ChannelKind::WechatPay, whole),
        (ChannelKind::Alipay, whole),
        (ChannelKind::Unionpay, whole),
    ];
    let mut found = shares(&town, town.scope);
    found.sort();
    assert_eq!(found, connected);
    assert_eq!(town.connect().await, 0, "repeating it does nothing");
    assert_eq!(shares(&town, Scope { mode: Mode::Live, ..town.scope }), [], "real money has no play accounts");
    town.close().await;
}

/// Waits until nothing more is to be expected of a refund.
async fn refunded(town: &Town, payment: &Value, number: &str) -> Value {
    let id = payment["id"].as_str().unwrap();
    let mut watch = town.house.gateway.changes.watch(id.parse().unwrap());
    let part = json!({ "amount": { "currency": "CNY", "value": "2.30" }, "refund_id": number });
    let mut refund = api(town, Verb::Post, &format!("/v1/payments/{id}/refunds"), &part).await;
    while ["pending", "processing"].contains(&refund["status"].as_str().unwrap()) {
        watch.changed().await;
        refund = api(town, Verb::Get, &format!("/v1/refunds/{}", refund["id"].as_str().unwrap()), &Value::Null).await;
    }
    refund
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_is_paid_and_refunded_through_its_own_provider() {
    let town = Arc::new(Town::connected().await);
    let mut working = JoinSet::new();
    for method in methods() {
        let town = town.clone();
        working.spawn(async move {
            let payment = simulated(&town, method, "paid").await;
            assert_eq!(payment["status"], "paid", "{method}: {payment}");
            let refund = refunded(&town, &payment, &format!("R-{method}")).await;
            assert_eq!(refund["status"], "succeeded", "{method}: {refund}");
        });
    }
    working.join_all().await;
    let accounts = town.house.gateway.channels.of(town.scope);
    let wallet = accounts.iter().find(|open| open.account.kind == ChannelKind::TestWallet).unwrap();
    assert_eq!(town.house.gateway.channels.health(wallet.account.id).last_answer, None, "nothing went to the reserve");
    town.stop();
}

/// Waits until the refund has this status.
async fn until(town: &Town, refund: &Value, status: &str) {
    let mut watch = town.house.gateway.changes.watch(refund["payment"].as_str().unwrap().parse().unwrap());
    let path = format!("/v1/refunds/{}", refund["id"].as_str().unwrap());
    while api(town, Verb::Get, &path, &Value::Null).await["status"] != status {
        watch.changed().await;
    }
}

/// A refund to a card that is closed, which a person sends elsewhere.
async fn redirected(town: &Town, number: &str, target: RefundTarget) -> Value {
    let payment = simulated(town, Method::WechatNative, "paid").await;
    let attempt = payment["id"].as_str().unwrap().parse::<PaymentId>().unwrap();
    let (scope, gateway) = (town.scope, &town.house.gateway);
    let attempt = gateway.store.read(move |tx| tx.get(&PAYMENTS, &(scope, attempt))).await.unwrap().unwrap();
    let closed = Faults::NONE.with(Fault::CardClosed);
    let house = &town.house;
    let players = Players::new(&house.gateway, house.wallet.clone(), house.simulators.clone());
    players.set_faults(attempt.current.unwrap(), closed).await.unwrap();
    let path = format!("/v1/payments/{}/refunds", payment["id"].as_str().unwrap());
    let refund = api(town, Verb::Post, &path, &json!({ "refund_id": number })).await;
    until(town, &refund, "undeliverable").await;
    let id: RefundId = refund["id"].as_str().unwrap().parse().unwrap();
    let to = match target {
        RefundTarget::Merchant => Destination::Merchant,
        RefundTarget::CustomerCard { .. } => Destination::CustomerCard,
    };
    let (moment, token) = (Moment::new(&gateway.env), [7; 16]);
    gateway.envelopes.keep(token, target, moment.now);
    let decided = gateway.store.write(move |tx| {
        let version = tx.get(&REFUNDS, &(scope, id))?.unwrap().version;
        let decision = Decision { refund: id, version, to, token, by: UserId::from_bytes([1; 16]) };
        redirects::decide_alone(tx, scope, &decision, &mut moment.clone())
    });
    decided.await.unwrap();
    refund
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_to_a_closed_card_goes_where_a_person_says() {
    let town = Town::connected().await;
    let secret = |text: &str| Secret::from(text.to_owned());
    let card = RefundTarget::CustomerCard {
        bank: "CMB_DEBIT".to_owned(),
        card_no: secret("4111111111111111"),
        holder: secret("王小明"),
    };
    let refund = redirected(&town, "R-1", card).await;
    until(&town, &refund, "succeeded").await;
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_went_to_the_merchant_waits_until_the_customer_was_paid() {
    let town = Town::connected().await;
    let refund = redirected(&town, "R-1", RefundTarget::Merchant).await;
    until(&town, &refund, "returned").await;
    let events = api(&town, Verb::Get, "/v1/events", &Value::Null).await["data"].as_array().unwrap().clone();
    let told: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    assert!(told.contains(&"refund.undeliverable") && told.contains(&"refund.returned"), "{told:?}");
    let store = town.house.gateway.store.clone();
    tokio::task::spawn_blocking(move || verify_live(&store, &mut |_| {}).unwrap()).await.unwrap();
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_ends_as_asked_at_every_provider() {
    let town = Arc::new(Town::connected().await);
    let mut working = JoinSet::new();
    let methods =
        [Method::WechatNative, Method::AlipayQr, Method::AlipayPage, Method::UnionpayQr, Method::UnionpayGateway];
    for method in methods {
        // Alipay knows no failed payments, only trades that were closed.
        let failed = if method.brand() == Brand::Alipay { "open" } else { "failed" };
        for (outcome, status, late) in [
            ("duplicate_notification", "paid", false),
            ("wrong_amount", "processing", false),
            ("expired", "expired", false),
            ("failed", failed, false),
            ("late", "paid", true),
        ] {
            let town = town.clone();
            working.spawn(async move {
                let payment = simulated(&town, method, outcome).await;
                assert_eq!(payment["status"], status, "{method} {outcome}: {payment}");
                assert_eq!(payment["late"], late, "{method} {outcome}: {payment}");
            });
        }
    }
    working.join_all().await;
    let store = town.house.gateway.store.clone();
    tokio::task::spawn_blocking(move || verify_live(&store, &mut |_| {}).unwrap()).await.unwrap();
    town.stop();
}
