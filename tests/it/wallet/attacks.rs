//! Notifications that somebody would like us to believe. The provider's key is in the test's hands here, so that even
//! genuine signatures can say what is wrong. Each attack must leave the payment, the books and the cases as they were,
//! or open a case where real money may lie behind it.

use coffer::channels::Sealing;
use coffer::channels::registry::{CREDENTIALS_FIELD, credentials_row};
use coffer::channels::test_wallet::notification::{NOTIFICATION_MAX_BYTES, NotificationBody};
use coffer::channels::test_wallet::request::AmountBody;
use coffer::channels::test_wallet::response::{OrderView, RefundView};
use coffer::channels::test_wallet::{Credentials, sign};
use coffer::crypto::Place;
use coffer::domain::case::CaseKind;
use coffer::domain::event::{Actor, EventType};
use coffer::domain::ids::{AccountId, AttemptId, PaymentId, RefundId};
use coffer::domain::merchant::{ChannelAccount, ChannelKind, Share};
use coffer::domain::money::{Currency, Money};
use coffer::domain::payment::{Payment, PaymentState};
use coffer::domain::time::{Duration, Timestamp};
use coffer::env::transport::Method as Verb;
use coffer::flows::Moment;
use coffer::flows::refunds::{self, NewRefund};
use coffer::store::tables::{ACCOUNT_SCOPES, ACCOUNTS, EVENTS, JOURNAL};
use coffer::store::{Order, Read, Span, StoreError};
use data_encoding::BASE64;
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::site::Site;

const MCH: &str = "1900000001";
const APP: &str = "wxtest01";

/// A site with a payment whose provider the test plays.
struct Scene {
    site: Site,
    account: AccountId,
    payment: PaymentId,
    attempt: AttemptId,
}

fn provider(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

/// Opens a channel account whose provider signs with the key of this seed.
async fn open_account(site: &Site, seed: u8) -> AccountId {
    let (gateway, scope) = (site.house.gateway.clone(), site.scope);
    let credentials = Credentials {
        mch_id: MCH.to_owned(),
        app_id: APP.to_owned(),
        hmac_key: BASE64.encode(&[1; 32]),
        provider_public_key: BASE64.encode(provider(seed).public_key().as_ref()),
    };
    let opened = tokio::task::spawn_blocking(move || {
        let id = AccountId::new(gateway.env.now(), gateway.env.random());
        let row = credentials_row(scope, id);
        let place = Place { table: ACCOUNTS.name(), row: &row, field: CREDENTIALS_FIELD };
        let sealed = gateway.vault.seal(&place, credentials.to_secret().expose(), gateway.env.entropy.as_ref());
        let account = ChannelAccount {
            id,
            scope,
            kind: ChannelKind::TestWallet,
            label: "played by the test".to_owned(),
            // Nobody listens there: what the provider says, it says by itself.
            base_url: Some("http://127.0.0.1:1".to_owned()),
            credentials: sealed,
            active: true,
            share: Share::WHOLE,
            upkeep_at: None,
            upkept_at: None,
            created_at: gateway.env.now(),
        };
        let stored: Result<(), StoreError> = gateway.store.write_blocking(move |tx| {
            tx.put(&ACCOUNTS, &(scope, id), &account)?;
            tx.put(&ACCOUNT_SCOPES, &id, &scope)
        });
        stored.unwrap();
        gateway.reload_channels().unwrap();
        id
    });
    opened.await.unwrap()
}

impl Scene {
    async fn restarted(self) -> Scene {
        Scene { site: self.site.restarted().await, ..self }
    }

    async fn open() -> Scene {
        let site = Site::open().await;
        let account = open_account(&site, 7).await;
        let payment = site.create("order-1", account).await;
        let attempt = site.look(payment).await.1.id;
        Scene { site, account, payment, attempt }
    }

    fn now(&self) -> Timestamp {
        self.site.house.gateway.env.now()
    }

    /// A genuine "paid", with a change.
    fn order(&self, change: impl FnOnce(&mut OrderView)) -> NotificationBody {
        let mut order = OrderView {
            mch_id: MCH.to_owned(),
            app_id: APP.to_owned(),
            out_trade_no: self.attempt.bare(),
            trade_state: "SUCCESS".to_owned(),
            amount: AmountBody { total: 1230, currency: "CNY".to_owned() },
            pay_url: None,
            transaction_id: Some("4200000001".to_owned()),
            success_time: Some(self.now().to_rfc3339()),
        };
        change(&mut order);
        NotificationBody { id: "n1".to_owned(), create_time: self.now().to_rfc3339(), order: Some(order), refund: None }
    }

    async fn tell(&self, body: &NotificationBody) -> u16 {
        let body = serde_json::to_vec(body).unwrap();
        self.post(self.account, &body, &self.signed(7, &body, self.now())).await
    }

    fn signed(&self, seed: u8, body: &[u8], at: Timestamp) -> Vec<(String, String)> {
        let headers = sign::provider_headers(&provider(seed), body, &Sealing { now: at, nonce: [5; 16] });
        headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    async fn post(&self, account: AccountId, body: &[u8], headers: &[(String, String)]) -> u16 {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let url = format!("{}/notify/{account}", self.site.base);
        self.site.send_bytes(Verb::Post, &url, &headers, body).await.status
    }

    async fn payment(&self) -> Payment {
        self.site.look(self.payment).await.0
    }

    /// Journal entries and `payment.paid` events so far.
    async fn books(&self) -> (usize, usize) {
        let read = self.site.house.gateway.store.read(|tx| {
            let entries = tx.scan(&JOURNAL, &Span::all(), Order::Ascending, 100)?.len();
            let events = tx.scan(&EVENTS, &Span::all(), Order::Ascending, 1000)?;
            let paid = events.iter().filter(|(_, event)| event.kind == EventType::PaymentPaid).count();
            Ok::<_, StoreError>((entries, paid))
        });
        read.await.unwrap()
    }

    #[track_caller]
    fn untouched(&self, books: (usize, usize), payment: &Payment, what: &str) {
        assert_eq!(books, (0, 0), "{what}");
        assert!(payment.state != PaymentState::Paid && payment.amount_paid().is_zero(), "{what}");
    }
}

#[tokio::test]
async fn a_message_that_is_not_genuine_is_refused_and_changes_nothing() {
    let scene = Scene::open().await;
    let body = serde_json::to_vec(&scene.order(|_| {})).unwrap();
    let genuine = scene.signed(7, &body, scene.now());
    let with = |name: &str, value: Option<&str>| {
        let mut headers = genuine.clone();
        headers.retain(|(n, _)| n != name);
        headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        headers
    };
    let doubled = [genuine.clone(), scene.signed(8, &body, scene.now())].concat();
    let ten_minutes = Duration::from_minutes(10);
    let cases: Vec<(&str, Vec<(String, String)>)> = vec![
        ("no signature field", with(sign::SIGNATURE_HEADER, None)),
        ("empty signature", with(sign::SIGNATURE_HEADER, Some(""))),
        ("signature of nothing", with(sign::SIGNATURE_HEADER, Some("AAAA"))),
        ("no time", with(sign::TIMESTAMP_HEADER, None)),
        ("another provider's key", scene.signed(8, &body, scene.now())),
        ("two sets of headers", doubled),
        ("ten minutes old", scene.signed(7, &body, scene.now().minus(ten_minutes))),
        ("ten minutes ahead", scene.signed(7, &body, scene.now().plus(ten_minutes))),
    ];
    for (what, headers) in cases {
        assert!(scene.post(scene.account, &body, &headers).await >= 400, "{what}");
        scene.untouched(scene.books().await, &scene.payment().await, what);
    }
    let changed = String::from_utf8(body.clone()).unwrap().replace("1230", "1231").into_bytes();
    assert!(scene.post(scene.account, &changed, &genuine).await >= 400, "changed after signing");
    let huge = vec![b' '; 10 << 20];
    assert_eq!(scene.post(scene.account, &huge, &scene.signed(7, &huge, scene.now())).await, 413, "ten megabytes");
    assert!(huge.len() > NOTIFICATION_MAX_BYTES);
    scene.untouched(scene.books().await, &scene.payment().await, "changed or huge");
    assert!(scene.site.cases().await.is_empty());
    scene.site.close().await;
}

#[tokio::test]
async fn a_genuine_signature_under_words_that_cannot_be_read_changes_nothing() {
    let scene = Scene::open().await;
    let good = serde_json::to_string(&scene.order(|_| {})).unwrap();
    let bodies: Vec<Vec<u8>> = vec![
        good.replace("\"total\":1230", "\"total\":1230,\"total\":1").into_bytes(),
        good.replace("\"trade_state\"", "\"trade_state\":\"NOTPAY\",\"trade_state\"").into_bytes(),
        format!("\u{feff}{good}").into_bytes(),
        [good.as_bytes(), &[0xff, 0xfe]].concat(),
        good.replace("1230", "1.23e3").into_bytes(),
        good.replace(&scene.attempt.bare(), "'; DROP TABLE--").into_bytes(),
        b"<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY a \"aaaa\">]><x>&a;</x>".to_vec(),
    ];
    for body in bodies {
        let what = String::from_utf8_lossy(&body).into_owned();
        assert!(scene.post(scene.account, &body, &scene.signed(7, &body, scene.now())).await >= 400, "{what}");
        scene.untouched(scene.books().await, &scene.payment().await, &what);
    }
    scene.site.close().await;
}

#[tokio::test]
async fn a_genuine_message_that_differs_from_the_order_books_nothing_and_opens_one_case() {
    type Change = fn(&mut OrderView);
    let changes: [(&str, Change, CaseKind); 5] = [
        ("one fen less", |order| order.amount.total = 1229, CaseKind::WrongAmount),
        ("one fen more", |order| order.amount.total = 1231, CaseKind::WrongAmount),
        ("another currency", |order| order.amount.currency = "USD".to_owned(), CaseKind::WrongAmount),
        ("another merchant", |order| order.mch_id = "1900000002".to_owned(), CaseKind::WrongIdentity),
        ("another app", |order| order.app_id = "wxother".to_owned(), CaseKind::WrongIdentity),
    ];
    for (what, change, kind) in changes {
        let scene = Scene::open().await;
        for _ in 0..3 {
            scene.tell(&scene.order(change)).await;
        }
        scene.untouched(scene.books().await, &scene.payment().await, what);
        assert_eq!(scene.site.cases().await, [kind], "{what}");
        scene.site.close().await;
    }
}

#[tokio::test]
async fn an_order_of_one_account_is_not_settled_through_another() {
    let scene = Scene::open().await;
    let other = open_account(&scene.site, 9).await;
    let body = serde_json::to_vec(&scene.order(|_| {})).unwrap();
    // Genuine for the other account; then the own account's message at the other's door.
    scene.post(other, &body, &scene.signed(9, &body, scene.now())).await;
    scene.untouched(scene.books().await, &scene.payment().await, "another account's signature");
    assert!(scene.post(other, &body, &scene.signed(7, &body, scene.now())).await >= 400);
    scene.untouched(scene.books().await, &scene.payment().await, "another account's door");
    scene.site.close().await;
}

#[tokio::test]
async fn a_hundred_copies_at_once_pay_once_even_before_the_order_was_answered() {
    let scene = Scene::open().await;
    let body = scene.order(|_| {});
    let told: Vec<u16> = {
        let copies = (0..100).map(|_| scene.tell(&body));
        let mut answers = Vec::new();
        // All are on their way before the first is answered.
        let mut flying: Vec<_> = copies.map(Box::pin).collect();
        std::future::poll_fn(|context| {
            flying.retain_mut(|copy| match copy.as_mut().poll(context) {
                std::task::Poll::Ready(status) => {
                    answers.push(status);
                    false
                }
                std::task::Poll::Pending => true,
            });
            if flying.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        answers
    };
    assert!(told.iter().all(|status| *status < 300), "{told:?}");
    assert_eq!(scene.payment().await.state, PaymentState::Paid);
    assert_eq!(scene.books().await, (1, 1));
    // Afterwards nothing takes it back, and nothing pays it again.
    for body in [
        scene.order(|order| order.trade_state = "PAYERROR".to_owned()),
        scene.order(|order| order.trade_state = "CLOSED".to_owned()),
        scene.order(|order| order.trade_state = "NOTPAY".to_owned()),
        scene.order(|order| order.trade_state = "REVERSED".to_owned()),
        scene.order(|_| {}),
    ] {
        scene.tell(&body).await;
    }
    assert_eq!((scene.payment().await.state, scene.books().await), (PaymentState::Paid, (1, 1)));
    scene.site.close().await;
}

#[tokio::test]
async fn a_refund_that_nobody_asked_for_gives_nothing_back() {
    let scene = Scene::open().await;
    scene.tell(&scene.order(|_| {})).await;
    let refund = RefundView {
        mch_id: MCH.to_owned(),
        out_trade_no: scene.attempt.bare(),
        out_refund_no: RefundId::new(scene.now(), [3; 10]).bare(),
        refund_id: "5000000001".to_owned(),
        status: "SUCCESS".to_owned(),
        amount: AmountBody { total: 1230, currency: "CNY".to_owned() },
    };
    let create_time = scene.now().to_rfc3339();
    scene.tell(&NotificationBody { id: "r1".to_owned(), create_time, order: None, refund: Some(refund) }).await;
    assert_eq!(scene.books().await, (1, 1));
    assert!(scene.payment().await.amount_refunded().is_zero());
    scene.site.close().await;
}

#[tokio::test]
async fn a_refund_of_another_amount_is_not_the_refund_that_was_asked_for() {
    for (what, total) in [("one fen less", 599), ("one fen more", 601)] {
        let scene = Scene::open().await;
        scene.tell(&scene.order(|_| {})).await;
        let (scope, id, moment) = (scene.site.scope, scene.payment, Moment::new(&scene.site.house.gateway.env));
        let new = NewRefund {
            amount: Some(Money::new(600, Currency::CNY)),
            refund_no: None,
            reason: None,
            metadata: Default::default(),
            fingerprint: [0; 16],
        };
        let ask = scene
            .site
            .house
            .gateway
            .store
            .write(move |tx| refunds::request(tx, scope, id, &new, Actor::System, &mut moment.clone()));
        let refund = ask.await.unwrap().refund().id;
        let told = |total| {
            let view = RefundView {
                mch_id: MCH.to_owned(),
                out_trade_no: scene.attempt.bare(),
                out_refund_no: refund.bare(),
                refund_id: "5000000001".to_owned(),
                status: "SUCCESS".to_owned(),
                amount: AmountBody { total, currency: "CNY".to_owned() },
            };
            let create_time = scene.now().to_rfc3339();
            NotificationBody { id: format!("r{total}"), create_time, order: None, refund: Some(view) }
        };
        for _ in 0..2 {
            scene.tell(&told(total)).await;
        }
        let payment = scene.payment().await;
        assert_eq!((payment.refunded_minor, payment.refunding_minor), (0, 600), "{what}");
        assert_eq!(scene.books().await, (2, 1), "{what}: paid, and the refund reserved");
        assert_eq!(scene.site.cases().await, [CaseKind::WrongAmount], "{what}");
        // The right one still counts.
        scene.tell(&told(600)).await;
        assert_eq!(scene.payment().await.refunded_minor, 600, "{what}");
        scene.site.close().await;
    }
}

#[tokio::test]
async fn a_genuine_message_replayed_after_a_restart_changes_nothing() {
    let scene = Scene::open().await;
    let body = serde_json::to_vec(&scene.order(|_| {})).unwrap();
    let headers = scene.signed(7, &body, scene.now());
    assert!(scene.post(scene.account, &body, &headers).await < 300);
    assert_eq!((scene.payment().await.state, scene.books().await), (PaymentState::Paid, (1, 1)));
    let before = scene.payment().await;
    let scene = scene.restarted().await;
    for _ in 0..3 {
        // To the letter, and signed anew for another time.
        scene.post(scene.account, &body, &headers).await;
        let anew = scene.signed(7, &body, scene.now().plus(Duration::from_seconds(30)));
        scene.post(scene.account, &body, &anew).await;
    }
    assert_eq!((scene.payment().await, scene.books().await), (before, (1, 1)));
    assert!(scene.site.cases().await.is_empty());
    scene.site.close().await;
}
