//! Notifications that somebody would like us to believe, from each provider. The provider's key is in the test's hands
//! here, so that even genuine signatures can say what is wrong. Each attack must leave the payment, the books and the
//! cases as they were, or open a case where real money may lie behind it.
//!
//! The attacks are those of the list in the security notes, 1 to 27; every test runs over each entry of
//! [`provider::ALL`]: test wallet (W), WeChat Pay by public key (K) and by platform certificate (C), Alipay by key (A) and
//! by certificate (B), UnionPay by certificate (U) and by shared key (S).
//!
//! | attack | where | which | otherwise |
//! |---|---|---|---|
//! | 1, 2 signature missing, empty | `spoil` | all | |
//! | 3 no key to verify with | `an_account_without_a_key…` | all | |
//! | 4 another merchant's signature | `Signer::Stranger` | all | |
//! | 5 weaker kind of signature | `spoil` | K C A B U S | W has one kind and no field for it |
//! | 6 changed after signing | `spoil` | all | fields moved into each other's values: A B U S |
//! | 7, 8, 9 amount, currency | `…differs_from_the_order…` | all | |
//! | 10 merchant, app | `…differs_from_the_order…` | all | U S name no app |
//! | 11 another account's order | `an_order_of_one_account…` | all | |
//! | 12, 13 a hundred copies, before the order was answered | `a_hundred_copies…` | all | |
//! | 14 success after the end | `money_after_the_end…` | all | |
//! | 15 failure after success | `a_hundred_copies…` | all | |
//! | 16 unknown refund | `a_refund_that_nobody…` | all | |
//! | 17 refund of another amount | `a_refund_of_another_amount…` | all | A B tell no refund's amount: asked for |
//! | 18 time | `…not_genuine…` | W K C A B | U S send no time; replays change nothing (19) |
//! | 19 replay after a restart | `…replayed_after_a_restart…` | all | |
//! | 20 XML | `garble` | all | nothing here reads XML |
//! | 21 doubled keys | `garble`, `spoil` | all | |
//! | 22 character sets, BOM, CRLF | `garble`, `spoil` | all | |
//! | 23 ten megabytes, gzip bomb | `…not_genuine…` | all | a slow body is the listener's: `api::edge` |
//! | 24 AES-GCM | `garble` | K C | the others encrypt nothing |
//! | 25 certificate unknown, over | `spoil`, `a_certificate_that_is_over…` | C B U | W K A S know no certificates |
//! | 26 test message, live order | `a_test_account…` | K C A B U S | W takes no live orders |
//! | 27 the browser's way back | `what_a_browser_brings…` | all | also `cashier::trust` |

mod alipay;
mod form;
mod provider;
mod unionpay;
mod wallet;
mod wechat;

use coffer::channels::registry::{CREDENTIALS_FIELD, credentials_row};
use coffer::channels::test_wallet::notification::NOTIFICATION_MAX_BYTES;
use coffer::crypto::{Place, Secret};
use coffer::domain::case::CaseKind;
use coffer::domain::event::{Actor, EventType, Happening, TimelineEntry};
use coffer::domain::ids::{AccountId, AttemptId, Mode, PaymentId, RefundId, Scope};
use coffer::domain::merchant::{ChannelAccount, ChannelKind, Share};
use coffer::domain::money::{Currency, Money};
use coffer::domain::payment::{Payment, PaymentState};
use coffer::domain::time::{Duration, Timestamp};
use coffer::domain::trouble::TroubleKind;
use coffer::env::transport::Method as Verb;
use coffer::flows::payments;
use coffer::flows::refunds::{self, NewRefund};
use coffer::flows::unbelieved::{LINES_MAX, today};
use coffer::flows::{FlowError, Moment, timeline};
use coffer::store::tables::{ACCOUNT_SCOPES, ACCOUNTS, EVENTS, JOURNAL};
use coffer::store::{Order, Read, Span, StoreError};

use self::provider::{ALL, Message, OrderWords, Provider, RefundWords, Signer, State, Words};
use crate::wallet::site::Site;

/// A site with a payment whose provider the test plays.
struct Scene {
    site: Site,
    provider: Provider,
    account: AccountId,
    payment: PaymentId,
    attempt: AttemptId,
}

/// Opens a channel account whose provider is this signer.
async fn open_account(site: &Site, provider: &Provider, signer: Signer) -> AccountId {
    open_with(site, site.scope, provider.kind, (provider.credentials)(signer)).await
}

async fn open_with(site: &Site, scope: Scope, kind: ChannelKind, credentials: Secret) -> AccountId {
    let gateway = site.house.gateway.clone();
    let opened = tokio::task::spawn_blocking(move || {
        let id = AccountId::new(gateway.env.now(), gateway.env.random());
        let row = credentials_row(scope, id);
        let place = Place { table: ACCOUNTS.name(), row: &row, field: CREDENTIALS_FIELD };
        let sealed = gateway.vault.seal(&place, credentials.expose(), gateway.env.entropy.as_ref());
        let account = ChannelAccount {
            id,
            scope,
            kind,
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

/// What the provider hears.
struct Answer {
    status: u16,
    /// It will not be sent again.
    taken: bool,
}

impl Scene {
    async fn open(provider: Provider) -> Scene {
        let site = Site::open().await;
        let account = open_account(&site, &provider, Signer::Genuine).await;
        let payment = site.create_in(site.scope, "order-1", account, provider.method).await;
        let attempt = site.look(payment).await.1.id;
        Scene { site, provider, account, payment, attempt }
    }

    async fn restarted(self) -> Scene {
        Scene { site: self.site.restarted().await, ..self }
    }

    fn now(&self) -> Timestamp {
        self.site.house.gateway.env.now()
    }

    /// "Paid", with a change.
    fn order(&self, change: impl FnOnce(&mut OrderWords)) -> Words {
        let mut order = OrderWords {
            number: self.attempt.bare(),
            state: State::Paid,
            total: 1230,
            currency: "CNY",
            foreign_merchant: false,
            foreign_app: false,
            at: self.now(),
        };
        change(&mut order);
        Words::Order(order)
    }

    /// "Given back".
    fn refund(&self, number: String, amount: u64) -> Words {
        Words::Refund(RefundWords { order: self.attempt.bare(), number, amount, at: self.now() })
    }

    fn say(&self, signer: Signer, words: &Words, at: Timestamp) -> Message {
        (self.provider.say)(signer, words, at)
    }

    /// A genuine message, just now.
    async fn tell(&self, words: &Words) -> Answer {
        self.post(self.account, &self.say(Signer::Genuine, words, self.now())).await
    }

    async fn post(&self, account: AccountId, message: &Message) -> Answer {
        let headers: Vec<_> = message.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let url = format!("{}/notify/{account}", self.site.base);
        let answer = self.site.send_bytes(Verb::Post, &url, &headers, &message.body).await;
        // Alipay reads one word and no status.
        let taken = match self.provider.kind {
            ChannelKind::Alipay => answer.status == 200 && answer.body == b"success",
            ChannelKind::TestWallet | ChannelKind::WechatPay | ChannelKind::Unionpay => answer.status < 300,
        };
        Answer { status: answer.status, taken }
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
    for make in ALL {
        let scene = Scene::open(make()).await;
        let words = scene.order(|_| {});
        let genuine = scene.say(Signer::Genuine, &words, scene.now());
        let mut cases = (scene.provider.spoil)(&genuine);
        cases.push(("another provider's key", scene.say(Signer::Stranger, &words, scene.now())));
        if let Some([old, ahead]) = scene.provider.window {
            cases.push(("too old", scene.say(Signer::Genuine, &words, scene.now().minus(old))));
            cases.push(("too far ahead", scene.say(Signer::Genuine, &words, scene.now().plus(ahead))));
        }
        cases.push(("a gzip bomb", bomb(&genuine)));
        for (what, message) in cases {
            assert!(!scene.post(scene.account, &message).await.taken, "{what}");
            scene.untouched(scene.books().await, &scene.payment().await, what);
        }
        let huge = Message { body: vec![b' '; 10 << 20], ..genuine };
        assert!(huge.body.len() > NOTIFICATION_MAX_BYTES);
        assert_eq!(scene.post(scene.account, &huge).await.status, 413, "ten megabytes");
        scene.untouched(scene.books().await, &scene.payment().await, "huge");
        assert!(scene.site.cases().await.is_empty());
        scene.site.close().await;
    }
}

#[tokio::test]
async fn what_is_refused_leaves_a_trace_and_does_not_fill_the_store() {
    const SENT: u64 = 40;
    for make in ALL {
        let scene = Scene::open(make()).await;
        let words = scene.order(|_| {});
        for _ in 0..SENT {
            assert!(!scene.post(scene.account, &scene.say(Signer::Stranger, &words, scene.now())).await.taken);
        }
        let gateway = scene.site.house.gateway.clone();
        let (scope, account, payment, now) = (scene.site.scope, scene.account, scene.payment, scene.now());
        let read = gateway.store.read_blocking(|tx| {
            let story = timeline::newest(tx, scope, payment, 1_000)?;
            let refused = |line: &&TimelineEntry| matches!(line.what, Happening::NotificationRefused { .. });
            Ok::<_, FlowError>((story.iter().filter(refused).count(), today(tx, &gateway, scope, account, now)?))
        });
        let (lines, counted) = read.unwrap();
        let counted = counted.expect("it is counted");
        assert_eq!(counted.count, SENT, "{:?}", scene.provider.kind);
        assert!((1..=LINES_MAX).contains(&lines), "{lines} lines, {:?}", scene.provider.kind);
        assert!(matches!(counted.last.kind, TroubleKind::NotGenuine | TroubleKind::UnknownKey), "{:?}", counted.last);
        assert_eq!(counted.last.channel, Some(scene.provider.kind));
        // Whatever was refused before, the genuine one counts.
        scene.tell(&words).await;
        assert_eq!(scene.payment().await.state, PaymentState::Paid);
        scene.site.close().await;
    }
}

#[tokio::test]
async fn a_genuine_signature_under_words_that_cannot_be_read_changes_nothing() {
    for make in ALL {
        let scene = Scene::open(make()).await;
        for message in (scene.provider.garble)(&scene.order(|_| {}), scene.now()) {
            let what = String::from_utf8_lossy(&message.body).into_owned();
            assert!(!scene.post(scene.account, &message).await.taken, "{what}");
            scene.untouched(scene.books().await, &scene.payment().await, &what);
        }
        scene.site.close().await;
    }
}

#[tokio::test]
async fn a_genuine_message_that_differs_from_the_order_books_nothing_and_opens_one_case() {
    type Change = fn(&mut OrderWords);
    let changes: [(&str, Change, CaseKind); 6] = [
        ("one fen less", |order| order.total = 1229, CaseKind::WrongAmount),
        ("one fen more", |order| order.total = 1231, CaseKind::WrongAmount),
        ("one fen", |order| order.total = 1, CaseKind::WrongAmount),
        ("another currency", |order| order.currency = "USD", CaseKind::WrongAmount),
        ("another merchant", |order| order.foreign_merchant = true, CaseKind::WrongIdentity),
        ("another app", |order| order.foreign_app = true, CaseKind::WrongIdentity),
    ];
    for make in ALL {
        for (what, change, kind) in changes {
            let provider = make();
            if what == "another app" && !provider.has_app {
                continue;
            }
            let scene = Scene::open(provider).await;
            for _ in 0..3 {
                scene.tell(&scene.order(change)).await;
            }
            scene.untouched(scene.books().await, &scene.payment().await, what);
            assert_eq!(scene.site.cases().await, [kind], "{what}");
            scene.site.close().await;
        }
    }
}

#[tokio::test]
async fn an_order_of_one_account_is_not_settled_through_another() {
    for make in ALL {
        let scene = Scene::open(make()).await;
        let other = open_account(&scene.site, &scene.provider, Signer::Stranger).await;
        let words = scene.order(|_| {});
        // Genuine for the other account; then the own account's message at the other's door.
        scene.post(other, &scene.say(Signer::Stranger, &words, scene.now())).await;
        scene.untouched(scene.books().await, &scene.payment().await, "another account's signature");
        assert!(!scene.post(other, &scene.say(Signer::Genuine, &words, scene.now())).await.taken);
        scene.untouched(scene.books().await, &scene.payment().await, "another account's door");
        // And another provider's message, genuine there, at this one's door.
        for foreign in ALL.iter().map(|make| make()).filter(|foreign| foreign.kind != scene.provider.kind) {
            let message = (foreign.say)(Signer::Genuine, &words, scene.now());
            assert!(!scene.post(scene.account, &message).await.taken);
            scene.untouched(scene.books().await, &scene.payment().await, "another provider");
        }
        scene.site.close().await;
    }
}

#[tokio::test]
async fn a_hundred_copies_at_once_pay_once_even_before_the_order_was_answered() {
    for make in ALL {
        let scene = Scene::open(make()).await;
        let words = scene.order(|_| {});
        let told = all_at_once((0..100).map(|_| scene.tell(&words)).map(Box::pin).collect()).await;
        assert!(told.iter().all(|answer| answer.taken));
        assert_eq!(scene.payment().await.state, PaymentState::Paid);
        assert_eq!(scene.books().await, (1, 1));
        // Afterwards nothing takes it back, and nothing pays it again.
        for state in [State::Failed, State::Closed, State::Unpaid, State::Strange, State::Paid] {
            scene.tell(&scene.order(|order| order.state = state)).await;
            assert_eq!((scene.payment().await.state, scene.books().await), (PaymentState::Paid, (1, 1)), "{state:?}");
        }
        scene.site.close().await;
    }
}

/// Polls all until each has answered, so that all are on their way before the first is answered.
async fn all_at_once<F: Future<Output = Answer> + Unpin>(mut flying: Vec<F>) -> Vec<Answer> {
    let mut answers = Vec::new();
    std::future::poll_fn(|context| {
        flying.retain_mut(|copy| match std::pin::Pin::new(copy).poll(context) {
            std::task::Poll::Ready(answer) => {
                answers.push(answer);
                false
            }
            std::task::Poll::Pending => true,
        });
        if flying.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    answers
}

#[tokio::test]
async fn a_refund_that_nobody_asked_for_gives_nothing_back() {
    for make in ALL {
        let scene = Scene::open(make()).await;
        scene.tell(&scene.order(|_| {})).await;
        let number = RefundId::new(scene.now(), [3; 10]).bare();
        scene.tell(&scene.refund(number, 1230)).await;
        assert_eq!(scene.books().await, (1, 1));
        assert!(scene.payment().await.amount_refunded().is_zero());
        scene.site.close().await;
    }
}

#[tokio::test]
async fn a_refund_of_another_amount_is_not_the_refund_that_was_asked_for() {
    for make in ALL {
        for (what, amount) in [("one fen less", 599), ("one fen more", 601)] {
            let scene = Scene::open(make()).await;
            scene.tell(&scene.order(|_| {})).await;
            let gateway = &scene.site.house.gateway;
            let (scope, id, moment) = (scene.site.scope, scene.payment, Moment::new(&gateway.env));
            let new = NewRefund {
                amount: Some(Money::new(600, Currency::CNY)),
                refund_no: None,
                reason: None,
                metadata: Default::default(),
                fingerprint: [0; 16],
            };
            let ask = gateway
                .store
                .write(move |tx| refunds::request(tx, scope, id, &new, Actor::System, &mut moment.clone()));
            let number = ask.await.unwrap().refund().id.bare();
            for _ in 0..2 {
                scene.tell(&scene.refund(number.clone(), amount)).await;
            }
            let payment = scene.payment().await;
            assert_eq!((payment.refunded_minor, payment.refunding_minor), (0, 600), "{what}");
            assert_eq!(scene.books().await, (2, 1), "{what}: paid, and the refund reserved");
            if !scene.provider.tells_refunds {
                scene.tell(&scene.refund(number, 600)).await;
                assert_eq!(scene.payment().await.refunded_minor, 0, "{what}: only an answer says what was moved");
                assert!(scene.site.cases().await.is_empty(), "{what}");
                scene.site.close().await;
                continue;
            }
            assert_eq!(scene.site.cases().await, [CaseKind::WrongAmount], "{what}");
            // The right one still counts.
            scene.tell(&scene.refund(number, 600)).await;
            assert_eq!(scene.payment().await.refunded_minor, 600, "{what}");
            scene.site.close().await;
        }
    }
}

#[tokio::test]
async fn a_genuine_message_replayed_after_a_restart_changes_nothing() {
    for make in ALL {
        let scene = Scene::open(make()).await;
        let words = scene.order(|_| {});
        let message = scene.say(Signer::Genuine, &words, scene.now());
        assert!(scene.post(scene.account, &message).await.taken);
        assert_eq!((scene.payment().await.state, scene.books().await), (PaymentState::Paid, (1, 1)));
        let before = scene.payment().await;
        let scene = scene.restarted().await;
        for _ in 0..3 {
            // To the letter, and signed anew for another time.
            scene.post(scene.account, &message).await;
            let anew = scene.say(Signer::Genuine, &words, scene.now().plus(Duration::from_seconds(30)));
            scene.post(scene.account, &anew).await;
        }
        assert_eq!((scene.payment().await, scene.books().await), (before, (1, 1)));
        assert!(scene.site.cases().await.is_empty());
        scene.site.close().await;
    }
}

/// Sixty-four megabytes of nothing in as many kilobytes.
fn bomb(genuine: &Message) -> Message {
    use std::io::Write;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..62 {
        packer.write_all(&[b' '; 1 << 20]).unwrap();
    }
    let packed = Message { body: packer.finish().unwrap(), ..genuine.clone() };
    assert!(packed.body.len() < NOTIFICATION_MAX_BYTES);
    packed.with("content-encoding", Some("gzip"))
}

/// Attack 3. An empty key would verify what anybody makes with an empty key.
#[tokio::test]
async fn an_account_without_a_key_to_verify_with_believes_nothing() {
    for make in ALL {
        let scene = Scene::open(make()).await;
        let words = scene.order(|_| {});
        let genuine = scene.say(Signer::Genuine, &words, scene.now());
        for pointer in scene.provider.keys {
            let record = (scene.provider.credentials)(Signer::Genuine);
            let mut record: serde_json::Value = serde_json::from_slice(record.expose()).unwrap();
            let key = record.pointer_mut(pointer).expect("the key stands there");
            *key = match key {
                serde_json::Value::Array(_) => serde_json::json!([]),
                serde_json::Value::Object(_) => serde_json::json!({}),
                _ => serde_json::json!(""),
            };
            let record = Secret::new(record.to_string());
            let bare = open_with(&scene.site, scene.site.scope, scene.provider.kind, record).await;
            let payment = scene.site.create_in(scene.site.scope, "order-2", bare, scene.provider.method).await;
            let number = scene.site.look(payment).await.1.id.bare();
            let of_it = scene.order(|order| order.number = number);
            let mut messages = (scene.provider.spoil)(&genuine);
            for signer in [Signer::Genuine, Signer::Stranger] {
                messages.push(("signed", scene.say(signer, &of_it, scene.now())));
            }
            for (what, message) in messages {
                assert!(!scene.post(bare, &message).await.taken, "{pointer}: {what}");
                scene.untouched(scene.books().await, &scene.site.look(payment).await.0, what);
            }
        }
        scene.site.close().await;
    }
}

/// Attack 14. It is real money all the same: booked once and marked, never lost and never counted twice.
#[tokio::test]
async fn money_after_the_end_is_booked_once_and_marked() {
    for make in ALL {
        let scene = Scene::open(make()).await;
        scene.tell(&scene.order(|order| order.state = State::Closed)).await;
        let (gateway, scope, id) = (&scene.site.house.gateway, scene.site.scope, scene.payment);
        let mut moment = Moment::new(&gateway.env);
        moment.now = moment.now.plus(Duration::from_hours(1));
        gateway.store.write(move |tx| payments::expire(tx, scope, id, &mut moment.clone())).await.unwrap();
        let before = scene.payment().await;
        scene.untouched(scene.books().await, &before, "over");
        scene.tell(&scene.order(|_| {})).await;
        let (payment, books) = (scene.payment().await, scene.books().await);
        for _ in 0..3 {
            scene.tell(&scene.order(|_| {})).await;
        }
        assert_eq!((scene.payment().await, scene.books().await), (payment.clone(), books), "the same once more");
        assert_eq!((payment.state, payment.amount_paid().minor()), (PaymentState::Paid, 1230));
        // UnionPay confirms no end, so the customer could still pay, and was not late.
        assert_eq!(payment.late, before.state == PaymentState::Expired);
        assert_eq!(payment.late, scene.provider.kind != ChannelKind::Unionpay);
        assert_eq!(books.0, 1);
        scene.site.close().await;
    }
}

/// Attack 25.
#[tokio::test]
async fn a_certificate_that_is_over_proves_nothing() {
    for make in ALL {
        let Some(expired) = make().expired else { continue };
        let scene = Scene::open(make()).await;
        let (record, _) = expired(&scene.order(|_| {}), scene.now());
        let account = open_with(&scene.site, scene.site.scope, scene.provider.kind, record).await;
        let payment = scene.site.create_in(scene.site.scope, "order-2", account, scene.provider.method).await;
        let number = scene.site.look(payment).await.1.id.bare();
        let (_, message) = expired(&scene.order(|order| order.number = number), scene.now());
        assert!(!scene.post(account, &message).await.taken);
        scene.untouched(scene.books().await, &scene.site.look(payment).await.0, "over");
        scene.site.close().await;
    }
}

/// Attack 26. Even one contract in both modes keeps play money and real orders apart.
#[tokio::test]
async fn a_test_account_settles_no_live_order() {
    for make in ALL.iter().filter(|make| make().is_live) {
        let scene = Scene::open(make()).await;
        let live = Scope { mode: Mode::Live, ..scene.site.scope };
        let record = (scene.provider.credentials)(Signer::Genuine);
        let account = open_with(&scene.site, live, scene.provider.kind, record).await;
        let payment = scene.site.create_in(live, "order-live", account, scene.provider.method).await;
        let (_, attempt) = scene.site.look_in(live, payment).await;
        let words = scene.order(|order| order.number = attempt.id.bare());
        let message = scene.say(Signer::Genuine, &words, scene.now());
        scene.post(scene.account, &message).await;
        let (real, _) = scene.site.look_in(live, payment).await;
        scene.untouched(scene.books().await, &real, "a live order at the test account's door");
        scene.untouched(scene.books().await, &scene.payment().await, "the test order");
        // At its own door the same message counts.
        scene.post(account, &message).await;
        assert_eq!(scene.site.look_in(live, payment).await.0.state, PaymentState::Paid);
        scene.site.close().await;
    }
}

/// Of what a browser brings, so much fits into an address.
const QUERY_SHOWN: usize = 1200;

/// Attack 27. A genuine message is no proof when a browser brings it: not even that is read.
#[tokio::test]
async fn what_a_browser_brings_back_proves_nothing() {
    for make in ALL {
        let scene = Scene::open(make()).await;
        let genuine = scene.say(Signer::Genuine, &scene.order(|_| {}), scene.now());
        let page = scene.site.house.gateway.checkout_url(scene.site.scope, scene.payment);
        let form = ("content-type", "application/x-www-form-urlencoded");
        scene.site.send_bytes(Verb::Post, &format!("{page}/return"), &[form], &genuine.body).await;
        let brought = std::str::from_utf8(&genuine.body).unwrap();
        let brought = brought.get(..QUERY_SHOWN).unwrap_or(brought);
        for query in [brought, "trade_status=TRADE_SUCCESS&respCode=00&returned=1&status=paid"] {
            scene.site.send(Verb::Get, &format!("{page}/return?{query}"), &[], "").await;
            scene.site.send(Verb::Get, &format!("{page}?{query}"), &[], "").await;
        }
        scene.untouched(scene.books().await, &scene.payment().await, "a way back");
        assert!(scene.site.cases().await.is_empty());
        scene.site.close().await;
    }
}
