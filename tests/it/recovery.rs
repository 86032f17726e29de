//! The whole gateway against its simulated providers when something goes wrong that it can mend by itself: a code that was
//! lost, a certificate that was replaced, an account whose keys are refused, an amount that was told wrongly.

use coffer::domain::event::Happening;
use coffer::domain::ids::{AccountId, PaymentId};
use coffer::domain::merchant::ChannelKind;
use coffer::domain::method::Method;
use coffer::domain::payment::{Attempt, AttemptState, Payment, PaymentState, RouteReason};
use coffer::env::transport::Method as Verb;
use coffer::flows::accounts::{self, Terms};
use coffer::flows::timeline::newest;
use coffer::flows::verify::verify_live;
use coffer::flows::{FlowError, Moment, payments};
use coffer::sandbox::provider::fault::Fault;
use coffer::sandbox::provider::model::Deed;
use coffer::sandbox::wechatpay::Mode;
use coffer::store::Read;
use coffer::store::tables::{ATTEMPTS, PAYMENTS};
use serde_json::{Value, json};

use crate::cases::town::Town;
use crate::keys;
use crate::wechatpay::site::credentials;

async fn order(town: &Town, number: &str, method: Method) -> PaymentId {
    let body = json!({
        "amount": { "currency": "CNY", "value": "12.30" },
        "order_id": number,
        "description": "一只马克杯",
        "method": method.code(),
    });
    let answer = town.send(Verb::Post, "/v1/payments", &[], &body.to_string()).await;
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    let payment: Value = serde_json::from_slice(&answer.body).unwrap();
    payment["id"].as_str().unwrap().parse().unwrap()
}

async fn look(town: &Town, id: PaymentId) -> (Payment, Vec<Attempt>) {
    let scope = town.scope;
    let read = town.house.gateway.store.read(move |tx| {
        let payment = tx.get(&PAYMENTS, &(scope, id))?.expect("it was created");
        let attempts: Result<Vec<_>, _> = payment.attempts.iter().map(|id| tx.get(&ATTEMPTS, &(scope, *id))).collect();
        Ok::<_, FlowError>((payment, attempts?.into_iter().flatten().collect()))
    });
    read.await.unwrap()
}

/// Waits for a state of the payment and its attempts.
async fn until(town: &Town, id: PaymentId, there: impl Fn(&Payment, &[Attempt]) -> bool) -> (Payment, Vec<Attempt>) {
    let mut watch = town.house.gateway.changes.watch(id);
    loop {
        let (payment, attempts) = look(town, id).await;
        if there(&payment, &attempts) {
            return (payment, attempts);
        }
        watch.changed().await;
    }
}

fn has_code(_: &Payment, attempts: &[Attempt]) -> bool {
    attempts.last().is_some_and(|attempt| attempt.next_action.is_some())
}

async fn faults(town: &Town, provider: &'static str, faults: &[Fault]) {
    town.house.simulators.world.set_faults(provider, faults.iter().copied().collect()).await.unwrap();
}

/// The customer pays with the code that is shown.
async fn pay(town: &Town, provider: &'static str, attempt: &Attempt) {
    let world = &town.house.simulators.world;
    let dialect = world.dialect(provider).unwrap();
    let Some(coffer::domain::payment::NextAction::QrCode { data }) = &attempt.next_action else { panic!("a code") };
    let code = dialect.scan(data).expect("a code of this provider");
    world.act(&dialect, code, Deed::Pay).await.unwrap().expect("it opens an order").expect("it can be paid");
}

fn account(town: &Town, kind: ChannelKind) -> AccountId {
    let all = town.house.gateway.channels.of(town.scope);
    all.iter().find(|open| open.account.kind == kind).unwrap().account.id
}

async fn sound(town: &Town) {
    let store = town.house.gateway.store.clone();
    tokio::task::spawn_blocking(move || verify_live(&store, &mut |_| {}).unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_unionpay_tells_once_and_that_was_lost_is_replaced() {
    let town = Town::connected().await;
    for method in [Method::UnionpayQr, Method::UnionpayApp] {
        faults(&town, "unionpay", &[Fault::AnswerErrorAfterDoing]).await;
        let id = order(&town, method.code(), method).await;
        let (_, attempts) = until(&town, id, has_code).await;
        faults(&town, "unionpay", &[]).await;
        assert_eq!(attempts.len(), 2, "{method}: one number was lost, and one took its place");
        let ended = |_: &Payment, attempts: &[Attempt]| attempts[0].state == AttemptState::Closed;
        let (_, attempts) = until(&town, id, ended).await;
        assert!(attempts[0].follow_up.is_some(), "{method}: it is still asked about");
        if method == Method::UnionpayQr {
            pay(&town, "unionpay", &attempts[1]).await;
            let (payment, attempts) = until(&town, id, |payment, _| payment.state == PaymentState::Paid).await;
            assert_eq!(payment.current, Some(attempts[1].id));
        }
    }
    sound(&town).await;
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_of_alipay_is_fetched_as_soon_as_it_signs() {
    let town = Town::connected().await;
    let id = order(&town, "BEFORE", Method::AlipayQr).await;
    until(&town, id, has_code).await;
    faults(&town, "alipay", &[Fault::NewKey]).await;
    let id = order(&town, "AFTER", Method::AlipayQr).await;
    let (_, attempts) = until(&town, id, has_code).await;
    pay(&town, "alipay", &attempts[0]).await;
    until(&town, id, |payment, _| payment.state == PaymentState::Paid).await;
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_account_is_refused_goes_to_another_at_once() {
    let town = Town::connected().await;
    let [wechat, wallet] = [ChannelKind::WechatPay, ChannelKind::TestWallet].map(|kind| account(&town, kind));
    let side = town.house.simulators.wechatpay.merchant(Mode::Certificate).await.unwrap();
    let mut wrong = credentials(&side, Mode::Certificate);
    wrong.merchant_key =
        [keys::second(), keys::third()].into_iter().find(|key| **key != *wrong.merchant_key).unwrap().to_owned();
    let gateway = &town.house.gateway;
    let sealed = accounts::seal(gateway, town.scope, wechat, &wrong.to_secret());
    let change = |id, active, credentials: Option<coffer::crypto::Sealed>| {
        let scope = town.scope;
        let share = gateway.channels.get(id).unwrap().account.share;
        let terms = Terms { label: "changed".to_owned(), active, share };
        gateway.store.write(move |tx| accounts::change(tx, scope, id, &terms, credentials.as_ref()))
    };
    assert!(change(wechat, true, Some(sealed)).await.unwrap());
    let reloaded = gateway.clone();
    tokio::task::spawn_blocking(move || reloaded.reload_channels().unwrap()).await.unwrap();

    let id = order(&town, "MOVED", Method::WechatNative).await;
    let (payment, attempts) = look(&town, id).await;
    let accounts: Vec<AccountId> = attempts.iter().map(|attempt| attempt.account).collect();
    assert_eq!(accounts, [wechat, wallet], "the answer to the shop has the other account's code");
    assert!(has_code(&payment, &attempts));
    assert_eq!(attempts[0].state, AttemptState::Failed);
    let scope = town.scope;
    let story = gateway.store.read(move |tx| newest(tx, scope, id, 100)).await.unwrap();
    assert!(story.iter().any(|line| matches!(
        line.what,
        Happening::Routed { account, why: RouteReason::OtherBarred, .. } if account == wallet
    )));
    assert!(gateway.channels.health(wechat).rests(gateway.env.now()), "the next payments do not try it");

    // Nobody else takes it: the shop is told at once.
    assert!(change(wallet, false, None).await.unwrap());
    let reloaded = gateway.clone();
    tokio::task::spawn_blocking(move || reloaded.reload_channels().unwrap()).await.unwrap();
    let id = order(&town, "NOBODY", Method::WechatNative).await;
    let (payment, _) = look(&town, id).await;
    assert_eq!(payment.state, PaymentState::Failed);
    sound(&town).await;
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amount_that_was_told_wrongly_is_asked_about_and_the_payment_goes_on() {
    let town = Town::connected().await;
    faults(&town, "wechatpay", &[Fault::MisstateAmount]).await;
    let id = order(&town, "MISSTATED", Method::WechatNative).await;
    let (_, attempts) = until(&town, id, has_code).await;
    pay(&town, "wechatpay", &attempts[0]).await;
    let (scope, moment) = (town.scope, Moment::new(&town.house.gateway.env));
    let asked = town.house.gateway.store.write(move |tx| payments::ask_now(tx, scope, id, &mut moment.clone()));
    asked.await.unwrap();
    until(&town, id, |payment, _| payment.state == PaymentState::Paid).await;
    sound(&town).await;
    town.close().await;
}
