//! Notifications that somebody would like us to believe, from each provider. The provider's key is in the test's hands
//! here, so that even genuine signatures can say what is wrong. Each attack must leave the payment, the books and the
//! cases as they were, or open a case where real money may lie behind it.

mod provider;
mod wallet;
mod wechat;

use coffer::channels::registry::{CREDENTIALS_FIELD, credentials_row};
use coffer::channels::test_wallet::notification::NOTIFICATION_MAX_BYTES;
use coffer::crypto::Place;
use coffer::domain::case::CaseKind;
use coffer::domain::event::{Actor, EventType};
use coffer::domain::ids::{AccountId, AttemptId, PaymentId, RefundId};
use coffer::domain::merchant::{ChannelAccount, Share};
use coffer::domain::money::{Currency, Money};
use coffer::domain::payment::{Payment, PaymentState};
use coffer::domain::time::{Duration, Timestamp};
use coffer::env::transport::Method as Verb;
use coffer::flows::Moment;
use coffer::flows::refunds::{self, NewRefund};
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
    let (gateway, scope) = (site.house.gateway.clone(), site.scope);
    let (kind, credentials) = (provider.kind, (provider.credentials)(signer));
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

impl Scene {
    async fn open(provider: Provider) -> Scene {
        let site = Site::open().await;
        let account = open_account(&site, &provider, Signer::Genuine).await;
        let payment = site.create("order-1", account).await;
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
    async fn tell(&self, words: &Words) -> u16 {
        self.post(self.account, &self.say(Signer::Genuine, words, self.now())).await
    }

    async fn post(&self, account: AccountId, message: &Message) -> u16 {
        let headers: Vec<_> = message.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let url = format!("{}/notify/{account}", self.site.base);
        self.site.send_bytes(Verb::Post, &url, &headers, &message.body).await.status
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
        let ten_minutes = Duration::from_minutes(10);
        let mut cases = (scene.provider.spoil)(&genuine);
        cases.push(("another provider's key", scene.say(Signer::Stranger, &words, scene.now())));
        cases.push(("ten minutes old", scene.say(Signer::Genuine, &words, scene.now().minus(ten_minutes))));
        cases.push(("ten minutes ahead", scene.say(Signer::Genuine, &words, scene.now().plus(ten_minutes))));
        for (what, message) in cases {
            assert!(scene.post(scene.account, &message).await >= 400, "{what}");
            scene.untouched(scene.books().await, &scene.payment().await, what);
        }
        let huge = Message { body: vec![b' '; 10 << 20], ..genuine };
        assert!(huge.body.len() > NOTIFICATION_MAX_BYTES);
        assert_eq!(scene.post(scene.account, &huge).await, 413, "ten megabytes");
        scene.untouched(scene.books().await, &scene.payment().await, "huge");
        assert!(scene.site.cases().await.is_empty());
        scene.site.close().await;
    }
}

#[tokio::test]
async fn a_genuine_signature_under_words_that_cannot_be_read_changes_nothing() {
    for make in ALL {
        let scene = Scene::open(make()).await;
        for message in (scene.provider.garble)(&scene.order(|_| {}), scene.now()) {
            let what = String::from_utf8_lossy(&message.body).into_owned();
            assert!(scene.post(scene.account, &message).await >= 400, "{what}");
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
            let scene = Scene::open(make()).await;
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
        assert!(scene.post(other, &scene.say(Signer::Genuine, &words, scene.now())).await >= 400);
        scene.untouched(scene.books().await, &scene.payment().await, "another account's door");
        // And another provider's message, genuine there, at this one's door.
        for foreign in ALL.iter().map(|make| make()).filter(|foreign| foreign.kind != scene.provider.kind) {
            let message = (foreign.say)(Signer::Genuine, &words, scene.now());
            assert!(scene.post(scene.account, &message).await >= 400);
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
        assert!(told.iter().all(|status| *status < 300), "{told:?}");
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
async fn all_at_once<F: Future<Output = u16> + Unpin>(mut flying: Vec<F>) -> Vec<u16> {
    let mut answers = Vec::new();
    std::future::poll_fn(|context| {
        flying.retain_mut(|copy| match std::pin::Pin::new(copy).poll(context) {
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
        assert!(scene.post(scene.account, &message).await < 300);
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
