//! The simulated provider over real HTTP: from a payment's creation through the phone page to the books.

mod purchase;
pub mod site;

use coffer::channels::registry::{CREDENTIALS_FIELD, credentials_row};
use coffer::channels::test_wallet::sign;
use coffer::crypto::Place;
use coffer::domain::case::CaseKind;
use coffer::domain::event::Actor;
use coffer::domain::ids::{Mode, Scope};
use coffer::domain::merchant::ChannelAccount;
use coffer::domain::money::{Currency, Money};
use coffer::domain::payment::{Ending, PaymentState};
use coffer::env::transport::Method as Verb;
use coffer::flows::{Moment, payments};
use coffer::sandbox::wallet::fault::{Fault, Faults};
use coffer::sandbox::wallet::model::Simulation;
use coffer::store::tables::ACCOUNTS;
use coffer::store::{Read, StoreError};

use self::site::Site;

#[tokio::test]
async fn a_customer_pays_on_the_phone_and_the_payment_is_paid() {
    let site = Site::open().await;
    let (id, _, phone) = site.charge("order-1").await;
    let page = site.get(&phone).await;
    assert!(page.contains("小杯子店") && page.contains("12.30"), "{page}");
    assert!(page.contains("一只马克杯 &#60;b&#62;"), "text from the shop is escaped");
    assert!(!page.contains("<script") && !page.contains(" style="), "the page needs no script and no inline style");
    assert_eq!(site.tap(&phone, "do=pay").await, 303);
    let paid = site.until_state(id, PaymentState::Paid).await;
    assert_eq!((paid.late, paid.amount_paid()), (false, Money::new(1230, Currency::CNY)));
    assert!(site.get(&format!("{phone}?lang=en")).await.contains("Paid"));
    assert_eq!(site.tap(&phone, "do=pay").await, 303, "paying twice shows that it is paid");
    site.close().await;
}

#[tokio::test]
async fn looking_at_the_phone_page_changes_nothing_and_a_guessed_code_opens_nothing() {
    let site = Site::open().await;
    let (_, attempt, phone) = site.charge("order-1").await;
    let before = site.house.wallet.order(attempt).await.unwrap();
    for suffix in ["", "?do=pay", "?lang=en"] {
        site.get(&format!("{phone}{suffix}")).await;
    }
    assert_eq!(site.house.wallet.order(attempt).await.unwrap(), before);
    assert_eq!(site.tap(&phone, "do=everything").await, 404);
    assert_eq!(site.tap(&phone, "").await, 404);
    let guessed = format!("{}AAAA", phone.strip_suffix(&phone[phone.len() - 4..]).unwrap());
    assert_eq!(site.tap(&guessed, "do=pay").await, 404);
    assert_eq!(site.send(Verb::Get, &format!("{phone}x"), &[], "").await.status, 404);
    assert_eq!(site.house.wallet.order(attempt).await.unwrap(), before);
    site.close().await;
}

#[tokio::test]
async fn a_lost_notification_is_healed_by_asking() {
    let site = Site::open().await;
    let (id, attempt, _) = site.charge("order-1").await;
    site.house.wallet.simulate(attempt, Simulation::LostNotification).await.unwrap();
    site.until_state(id, PaymentState::Paid).await;
    site.close().await;
}

#[tokio::test]
async fn a_wrong_amount_books_nothing_and_opens_a_case() {
    let site = Site::open().await;
    let (id, _, phone) = site.charge("order-1").await;
    let mut watch = site.house.gateway.changes.watch(id);
    assert_eq!(site.tap(&phone, "do=pay_wrong_amount").await, 303);
    while site.cases().await.is_empty() {
        watch.changed().await;
    }
    let (payment, _) = site.look(id).await;
    assert!(payment.state != PaymentState::Paid && payment.amount_paid().is_zero());
    assert_eq!(site.cases().await, [CaseKind::WrongAmount]);
    site.close().await;
}

#[tokio::test]
async fn money_after_the_end_is_booked_and_marked_late() {
    let site = Site::open().await;
    let (id, _, phone) = site.charge("order-1").await;
    assert_eq!(site.tap(&phone, "do=pay_late").await, 303);
    let (scope, moment) = (site.scope, Moment::new(&site.house.gateway.env));
    let end = move |tx: &mut coffer::store::WriteTx<'_>| {
        payments::end(tx, scope, id, Ending::CancelByCustomer, Actor::Customer, &mut moment.clone())
    };
    site.house.gateway.store.write(end).await.unwrap();
    site.until_state(id, PaymentState::Canceled).await;
    let paid = site.until_state(id, PaymentState::Paid).await;
    assert!(paid.late);
    site.close().await;
}

#[tokio::test]
async fn a_forged_notification_changes_nothing() {
    let site = Site::open().await;
    let (id, attempt, phone) = site.charge("order-1").await;
    let faults = "fault=forge_notification&fault=nonsense";
    assert_eq!(site.tap(&format!("{phone}/faults"), faults).await, 303);
    let order = site.house.wallet.order(attempt).await.unwrap().unwrap();
    assert_eq!(order.faults, Faults::NONE.with(Fault::ForgeNotification));
    assert!(site.get(&phone).await.contains("value=\"forge_notification\" checked"));
    // What a stranger could send without any key at all.
    let notify = format!("{}/notify/{}", site.base, site.account);
    let body = r#"{"id":"1","create_time":"2026-11-23T00:00:00Z"}"#;
    for headers in [
        vec![],
        vec![(sign::SIGNATURE_HEADER, "")],
        vec![(sign::SIGNATURE_HEADER, "AAAA"), (sign::NONCE_HEADER, "1"), (sign::TIMESTAMP_HEADER, "1")],
    ] {
        let answer = site.send(Verb::Post, &notify, &headers, body).await;
        assert!(answer.status >= 400, "{headers:?}: {}", answer.status);
    }
    let (payment, _) = site.look(id).await;
    assert_eq!(payment.state, PaymentState::Processing);
    site.close().await;
}

#[tokio::test]
async fn the_counter_refuses_what_is_not_signed() {
    let site = Site::open().await;
    let orders = format!("{}/sandbox/wallet/v1/orders", site.base);
    for headers in [vec![], vec![("authorization", "WALLET-HMAC-SHA256 mch_id=\"1\"")]] {
        assert_eq!(site.send(Verb::Post, &orders, &headers, "{}").await.status, 401);
    }
    let large = "x".repeat(70_000);
    assert_eq!(site.send(Verb::Post, &orders, &[], &large).await.status, 413);
    site.close().await;
}

#[tokio::test]
async fn play_money_never_pays_a_live_order() {
    let site = Site::open().await;
    let gateway = site.house.gateway.clone();
    let live = Scope { mode: Mode::Live, ..site.scope };
    let (test, id) = (site.scope, site.account);
    // The test account's own row and credentials, sealed anew as a live one.
    let stolen = tokio::task::spawn_blocking(move || {
        let (test_row, live_row) = (credentials_row(test, id), credentials_row(live, id));
        let here = Place { table: ACCOUNTS.name(), row: &test_row, field: CREDENTIALS_FIELD };
        let there = Place { row: &live_row, ..here };
        let found: Result<_, StoreError> = gateway.store.read_blocking(|tx| tx.get(&ACCOUNTS, &(test, id)));
        let account = found.unwrap().expect("the account is there");
        let secret = gateway.vault.open(&here, &account.credentials).unwrap();
        let credentials = gateway.vault.seal(&there, secret.expose(), gateway.env.entropy.as_ref());
        let account = ChannelAccount { scope: live, credentials, ..account };
        let moved: Result<(), StoreError> = gateway.store.write_blocking(move |tx| {
            tx.delete(&ACCOUNTS, &(test, id))?;
            tx.put(&ACCOUNTS, &(live, id), &account)
        });
        moved.unwrap();
        gateway.reload_channels().unwrap();
        gateway.channels.get(id).is_some() || !gateway.channels.offers(live, None).is_empty()
    });
    assert!(!stolen.await.unwrap());
    let notify = format!("{}/notify/{id}", site.base);
    assert_eq!(site.send(Verb::Post, &notify, &[], "{}").await.status, 404);
    site.close().await;
}
