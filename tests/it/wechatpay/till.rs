//! A whole gateway at a counter: shown codes through V2, on a clock that is moved by hand, with answers that get lost and a
//! process that dies between two steps. It speaks HTTP with the simulated provider.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use coffer::channels::wechatpay::Credentials;
use coffer::crypto::{MasterKey, Secret, Vault};
use coffer::domain::ids::{self, AccountId, PaymentId, Scope};
use coffer::domain::merchant::{ChannelKind, Share};
use coffer::domain::method::Method;
use coffer::domain::payment::{Attempt, AttemptState, Customer, Payment, PaymentState};
use coffer::domain::time::Duration;
use coffer::env::target::TargetPolicy;
use coffer::env::transport::{Limits, OutgoingRequest, Phase, SendError, Sending, Transport};
use coffer::env::{Env, SystemEntropy};
use coffer::flows::accounts::{self, Terms};
use coffer::flows::gateway::{Gateway, Settings};
use coffer::flows::payments::{self, NewPayment};
use coffer::flows::runner::Runner;
use coffer::flows::setup::NewMerchant;
use coffer::flows::verify::verify_live;
use coffer::flows::{FlowError, Moment, record};
use coffer::sandbox::provider::fault::Fault;
use coffer::sandbox::provider::records::Mood;
use coffer::sandbox::wechatpay::Mode;
use coffer::store::tables::MERCHANTS;
use coffer::store::{Store, StoreOptions};
use tokio::sync::Notify;

use super::site::{Site, credentials, yuan};
use crate::still::HandClock;

const CHARGE: &str = "/pay/micropay";
const QUERY: &str = "/pay/orderquery";
const REVERSE: &str = "/secapi/pay/reverse";

/// What becomes of one request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// It arrives and is done; the answer is lost.
    LoseAnswer,
    /// The same, and the process dies before it has given up waiting.
    Die,
}

/// The way out: real, but for one trouble at a time.
struct Wire {
    inner: Arc<dyn Transport>,
    sent: Mutex<Vec<String>>,
    trouble: Mutex<Option<(&'static str, Trouble)>>,
    died: Notify,
}

impl Transport for Wire {
    fn send<'a>(&'a self, request: OutgoingRequest, policy: &'a TargetPolicy, limits: Limits) -> Sending<'a> {
        Box::pin(async move {
            let path = request.url.split_once("/sim/wechatpay").map_or("", |(_, path)| path).to_owned();
            assert_eq!(request.identity.is_some(), path == REVERSE, "only a reversal shows the certificate");
            self.sent.lock().unwrap().push(path.clone());
            let trouble = self.trouble.lock().unwrap().take_if(|(at, _)| *at == path);
            let answer = self.inner.send(request, policy, limits).await;
            match trouble {
                None => answer,
                Some((_, Trouble::LoseAnswer)) => Err(SendError::Timeout { phase: Phase::Reply }),
                Some((_, Trouble::Die)) => {
                    self.died.notify_one();
                    std::future::pending().await
                }
            }
        })
    }
}

struct Till {
    site: Site,
    store: Store,
    clock: Arc<HandClock>,
    wire: Arc<Wire>,
    scope: Scope,
    gateway: Gateway,
    runner: Runner,
}

fn start(store: Store, clock: Arc<HandClock>, wire: Arc<Wire>, base: &str) -> (Gateway, Runner) {
    let sandbox = TargetPolicy { https_only: false, allow_loopback: true, ..TargetPolicy::default() };
    let settings = Settings {
        public_url: base.to_owned(),
        own_url: base.to_owned(),
        callbacks: sandbox.clone(),
        channels: TargetPolicy::default(),
        sandbox,
        in_flight_max: 8,
        per_endpoint_max: 2,
    };
    let env = Env { clock, entropy: Arc::new(SystemEntropy) };
    let vault = Arc::new(Vault::new(&MasterKey::from_bytes([9; 32])));
    let render = Arc::new(|_: &Gateway, _, _: &_| b"{}".to_vec());
    let gateway = Gateway::build(store, env, vault, wire, settings, render).unwrap();
    let runner = Runner::new(gateway.clone()).unwrap();
    (gateway, runner)
}

impl Till {
    async fn open() -> Till {
        let site = Site::open(Mode::PublicKey).await;
        let side = site.simulators.wechatpay.merchant(Mode::PublicKey).await.unwrap();
        let record = Credentials { code_v2_key: Some(side.api_v2_key.clone()), ..credentials(&side, Mode::PublicKey) };
        let clock = Arc::new(HandClock::at(Env::system().now()));
        let (sent, trouble, died) = (Mutex::default(), Mutex::default(), Notify::new());
        let wire = Arc::new(Wire { inner: site.transport(), sent, trouble, died });
        let store = Store::open_memory(StoreOptions::default()).unwrap();
        let (base, with, by) = (site.base.clone(), (store.clone(), clock.clone()), wire.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let (gateway, runner) = start(with.0, with.1, by, &base);
            let wallet = Secret::new(b"{}".to_vec());
            let new = NewMerchant::prepare(&gateway.env, &gateway.vault, "山下陶器", "Asia/Shanghai", |_| wallet);
            let scope = new.scope(ids::Mode::Test);
            let mut moment = Moment::new(&gateway.env);
            let account = AccountId::new(moment.now, moment.random());
            let sealed = accounts::seal(&gateway, scope, account, &record.to_secret());
            let terms = Terms { label: "微信".to_owned(), active: true, share: Share::WHOLE };
            let merchant = new.merchant.clone();
            let stored = gateway.store.write_blocking(move |tx| {
                tx.put(&MERCHANTS, &merchant.id, &merchant)?;
                accounts::add(tx, (scope, account), ChannelKind::WechatPay, &terms, sealed.clone(), moment.now)
            });
            stored.unwrap();
            gateway.reload_channels().unwrap();
            (gateway, runner, scope)
        });
        let (gateway, runner, scope) = opened.await.unwrap();
        Till { site, store, clock, wire, scope, gateway, runner }
    }

    /// The process is gone with all that it knew; another one opens the same file.
    async fn restart(self) -> Till {
        let Till { site, store, clock, wire, scope, gateway, runner } = self;
        drop((gateway, runner));
        let (base, with, by) = (site.base.clone(), (store.clone(), clock.clone()), wire.clone());
        let (gateway, runner) = tokio::task::spawn_blocking(move || start(with.0, with.1, by, &base)).await.unwrap();
        Till { site, store, clock, wire, scope, gateway, runner }
    }

    /// A customer shows a code, and it is scanned.
    async fn scan(&self, mood: Mood) -> PaymentId {
        let new = NewPayment {
            order_id: "A-1".to_owned(),
            amount: yuan(1230),
            description: "一只马克杯".to_owned(),
            method: Some(Method::WechatBarcode),
            expires_in: Duration::from_minutes(30),
            return_url: None,
            cancel_url: None,
            callback_url: None,
            customer: Customer::default(),
            auth_code: Some(self.site.show_code(mood).await),
            metadata: BTreeMap::new(),
            fingerprint: [1; 16],
        };
        let (scope, moment) = (self.scope, Moment::new(&self.gateway.env));
        let route = self.gateway.route(scope, Method::WechatBarcode, new.amount);
        assert!(route.is_some(), "the account takes payment codes");
        let write = self.gateway.store.write(move |tx| {
            let created = payments::create(tx, scope, &new, route, &mut moment.clone())?;
            Ok::<_, FlowError>(created.payment().id)
        });
        write.await.unwrap()
    }

    /// Does what is due now and what follows from it. False when the process died over it.
    async fn work(&self) -> bool {
        loop {
            let wait = self.runner.turn(8).await.unwrap();
            if self.runner.stats().under_way > 0 {
                tokio::select! {
                    () = self.runner.woken() => {}
                    () = self.wire.died.notified() => return false,
                }
            } else if wait > Duration::ZERO {
                return true;
            }
        }
    }

    /// Time passes second by second, for the gateway and for the provider.
    async fn pass(&self, seconds: u64) {
        for _ in 0..seconds {
            self.clock.pass(Duration::from_seconds(1));
            self.site.skip(Duration::from_seconds(1)).await;
            assert!(self.work().await, "nobody dies here");
        }
    }

    async fn look(&self, id: PaymentId) -> (Payment, Attempt) {
        let scope = self.scope;
        let read = self.gateway.store.read(move |tx| {
            let payment = record::payment(tx, scope, id)?;
            let attempt = record::attempt(tx, scope, payment.attempts[0])?;
            Ok::<_, FlowError>((payment, attempt))
        });
        read.await.unwrap()
    }

    fn trouble(&self, at: &'static str, trouble: Trouble) {
        *self.wire.trouble.lock().unwrap() = Some((at, trouble));
    }

    /// What went out since the last look.
    fn sent(&self) -> Vec<String> {
        std::mem::take(&mut *self.wire.sent.lock().unwrap())
    }

    /// Everything is over and the books agree.
    async fn close(self) {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || verify_live(&store, &mut |_| {}).unwrap()).await.unwrap();
        self.site.close().await;
    }
}

fn count(sent: &[String], path: &str) -> usize {
    sent.iter().filter(|other| *other == path).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_pays_at_once_is_charged_with_one_call() {
    let till = Till::open().await;
    let id = till.scan(Mood::Pays).await;
    assert!(till.work().await);
    let (payment, attempt) = till.look(id).await;
    assert_eq!((payment.state, attempt.state), (PaymentState::Paid, AttemptState::Paid));
    till.pass(120).await;
    assert_eq!(till.sent(), [CHARGE], "and nothing is asked afterwards");
    till.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_waited_for_by_asking() {
    let till = Till::open().await;
    let id = till.scan(Mood::AskedForPassword).await;
    assert!(till.work().await);
    assert_eq!(till.look(id).await.1.state, AttemptState::Pending);
    till.pass(15).await;
    assert_eq!(till.look(id).await.0.state, PaymentState::Paid);
    let sent = till.sent();
    assert_eq!((count(&sent, CHARGE), count(&sent, REVERSE)), (1, 0), "{sent:?}");
    assert!((1..=4).contains(&count(&sent, QUERY)), "{sent:?}");
    till.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_ends_it_at_once() {
    let till = Till::open().await;
    let id = till.scan(Mood::BalanceShort).await;
    assert!(till.work().await);
    let (payment, attempt) = till.look(id).await;
    assert_eq!((payment.state, attempt.state), (PaymentState::Failed, AttemptState::Failed));
    assert_eq!(till.sent(), [CHARGE]);
    till.close().await;
}

/// A password that never comes: reversed after 45 seconds. When the reversal's answer is lost it is sent again before
/// anything else is believed.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_too_slow_is_reversed_and_a_lost_reversal_is_repeated() {
    for lost in [false, true] {
        let till = Till::open().await;
        till.site.faults(&[Fault::PasswordLate]).await;
        let id = till.scan(Mood::AskedForPassword).await;
        assert!(till.work().await);
        till.pass(44).await;
        assert_eq!(count(&till.sent(), REVERSE), 0, "it has its time");
        if lost {
            till.trouble(REVERSE, Trouble::LoseAnswer);
        }
        till.pass(30).await;
        let (payment, attempt) = till.look(id).await;
        assert_eq!((payment.state, attempt.state), (PaymentState::Failed, AttemptState::Closed), "lost: {lost}");
        let sent = till.sent();
        let reversals = sent.iter().position(|path| path == REVERSE).unwrap();
        let expected: &[&str] = if lost { &[REVERSE, REVERSE, QUERY] } else { &[REVERSE, QUERY] };
        assert_eq!(sent[reversals..][..expected.len()], *expected, "lost: {lost}");
        till.pass(180).await;
        assert_eq!(till.look(id).await.0.state, PaymentState::Failed, "the password comes too late for good");
        till.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_asked_for_and_the_code_never_charged_twice() {
    let till = Till::open().await;
    till.trouble(CHARGE, Trouble::LoseAnswer);
    let id = till.scan(Mood::Pays).await;
    assert!(till.work().await);
    assert_eq!(till.look(id).await.1.state, AttemptState::Created, "nobody knows");
    till.pass(10).await;
    assert_eq!(till.look(id).await.0.state, PaymentState::Paid);
    assert_eq!(till.sent(), [CHARGE, QUERY]);
    till.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_two_steps_loses_nothing() {
    // After the charge arrived, before its answer was stored: the next process tells it again, which is asking.
    let till = Till::open().await;
    till.trouble(CHARGE, Trouble::Die);
    let id = till.scan(Mood::Pays).await;
    assert!(!till.work().await, "dies");
    let till = till.restart().await;
    assert!(till.work().await);
    till.pass(10).await;
    let (payment, _) = till.look(id).await;
    assert_eq!(payment.state, PaymentState::Paid);
    assert_eq!(till.sent(), [CHARGE, CHARGE, QUERY]);
    till.close().await;

    // After the reversal arrived: sent again, and the end is asked for.
    let till = Till::open().await;
    till.site.faults(&[Fault::PasswordLate]).await;
    let id = till.scan(Mood::AskedForPassword).await;
    assert!(till.work().await);
    till.pass(44).await;
    till.trouble(REVERSE, Trouble::Die);
    let mut seconds = 0;
    while till.work().await {
        seconds += 1;
        assert!(seconds < 30, "the reversal is sent");
        till.clock.pass(Duration::from_seconds(1));
    }
    let till = till.restart().await;
    till.sent();
    till.pass(30).await;
    assert_eq!(till.look(id).await.1.state, AttemptState::Closed);
    assert_eq!(till.sent()[..2], [REVERSE, QUERY]);
    till.close().await;
}
