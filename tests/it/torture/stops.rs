//! SIGSTOP and SIGCONT: a machine that slept, or a container that was frozen. Clients give up and ask again.

use std::sync::Arc;
use std::time::Duration;

use coffer::channels::Observation;
use coffer::domain::follow::Step;
use coffer::domain::merchant::ChannelKind;
use coffer::domain::payment::NextAction;
use coffer::domain::time::Duration as Span;
use coffer::flows::Moment;
use coffer::flows::observe::{Source, observe};
use coffer::store::tables::PAYMENTS;
use coffer::store::{Order, Read, StoreError};
use serde_json::json;

use super::kills::{endpoint, shops_at_work};
use super::process::Home;
use super::receiver::Receiver;
use super::shop::Shops;
use crate::api::site::{Call, Site};
use coffer::simulation::Dice;

/// How long these clients wait for an answer.
const CLIENTS_WAIT: Duration = Duration::from_millis(700);

#[test]
fn stopped_and_continued_it_loses_nothing() {
    let mut dice = Dice::new(3);
    let home = Home::new();
    let process = home.start();
    let shops = Arc::new(Shops::new(&home.token, CLIENTS_WAIT));
    let bell = shops.clone();
    let receiver = Receiver::open(move || bell.tick());
    endpoint(&shops, process.address, &receiver);
    let workers = shops_at_work(&shops, process.address, &mut dice);
    for _ in 0..3 {
        shops.open();
        shops.wait_for(10 + dice.below(40));
        process.signal("STOP");
        // Each shop waits in vain.
        shops.wait_for_lost(workers.len() as u64);
        process.signal("CONT");
        shops.wait_for(20);
    }
    shops.finish();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    shops.compare(process.address, &mut dice);
    let tally = shops.settle(process.address, || receiver.heard().into_keys().collect());
    assert!(tally.lost >= 9, "{tally:?}");
    process.signal("TERM");
    let end = process.ended();
    assert_eq!(end.code, Some(0), "{}", end.log);
    home.verify();
}

/// A handler that is held up for long finds that a repetition of its request was answered meanwhile.
#[tokio::test]
async fn a_repetition_that_was_faster_is_the_answer() {
    let site = Site::with_wallet();
    let shop = site.shop();
    let body = json!({
        "order_id": "A-1", "amount": {"currency": "CNY", "value": "9.00"}, "description": "一只杯子",
        "method": "wechat_native",
    });
    let create = || {
        Call::new(actix_web::http::Method::POST, "/v1/payments").json(body.to_string()).header("idempotency-key", "k")
    };
    let store = site.api.gateway.store.clone();
    let scope = site.scope();
    let payment = || {
        store.read_blocking(|tx| {
            Ok::<_, StoreError>(tx.scan(&PAYMENTS, &coffer::store::Span::prefix(&scope), Order::Ascending, 1)?.pop())
        })
    };
    let mut held_up = Box::pin(shop.send(create()));
    while payment().unwrap().is_none() {
        assert!(
            tokio::time::timeout(Duration::from_millis(1), &mut held_up).await.is_err(),
            "the channel says nothing yet"
        );
    }
    let (_, created) = payment().unwrap().unwrap();
    let attempt = created.current.unwrap();
    let hear = |observation: Observation, source: Source| {
        let moment = Moment::new(&site.api.gateway.env);
        let kind = ChannelKind::TestWallet;
        store.write(move |tx| observe(tx, scope, attempt, kind, &observation, source, &mut moment.clone()))
    };
    site.pass(Span::from_seconds(16));
    let shown = Observation::Accepted { next_action: NextAction::QrCode { data: "weixin://1".to_owned() } };
    hear(shown, Source::FollowUp(Step::Create)).await.unwrap();
    let repeated = shop.send(create()).await;
    assert_eq!((repeated.status, &repeated.json()["status"]), (201, &json!("processing")), "{}", repeated.text());
    hear(Observation::Declined { detail: "no".to_owned() }, Source::Notification).await.unwrap();
    let late = held_up.await;
    assert_eq!(late.text(), repeated.text());
    assert_eq!(shop.send(create()).await.text(), repeated.text());
}
