//! The provider through its counter: the channel's adapter on one side, recorded notifications on the other.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use super::fault::Fault;
use super::model::{DELAYED_BY, LATE_AFTER, PAYING_TAKES, REFUND_TAKES, RefundStatus, TradeState};
use super::*;
use crate::channels::test_wallet::TestWallet;
use crate::channels::{
    Channel, ChannelError, CreateOrder, Inbound, Observation, Order, OrderRef, Prepared, RefundOrder, RefundRef,
    Sealing, VerifiedNotification,
};
use crate::crypto::{MasterKey, Vault};
use crate::domain::ids::RefundId;
use crate::domain::method::Method;
use crate::domain::money::{Currency, Money};
use crate::domain::payment::NextAction;
use crate::domain::time::{Duration, Timestamp};
use crate::env::transport::{Limits, OutgoingRequest, OutgoingResponse, Sending};
use crate::env::{Clock, SystemEntropy};
use crate::flows::gateway::Settings;
use crate::store::StoreOptions;

const START: Timestamp = Timestamp::from_seconds(1_795_000_000);
const OWN: &str = "http://127.0.0.1:8080";

/// A clock that stands still until it is moved.
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst).unsigned_abs()
    }
}

/// A merchant that writes down what it is sent and answers with the next of the given statuses, else 204.
#[derive(Default)]
struct Merchant {
    got: Mutex<Vec<OutgoingRequest>>,
    answers: Mutex<Vec<u16>>,
}

impl Transport for Merchant {
    fn send<'a>(&'a self, request: OutgoingRequest, _: &'a TargetPolicy, _: Limits) -> Sending<'a> {
        self.got.lock().unwrap().push(request);
        let status = self.answers.lock().unwrap().pop().unwrap_or(204);
        Box::pin(async move { Ok(response(status, Vec::new(), Vec::new())) })
    }
}

fn response(status: u16, headers: Vec<(String, String)>, body: Vec<u8>) -> OutgoingResponse {
    let address = "127.0.0.1:8080".parse().unwrap();
    OutgoingResponse { status, headers, body, truncated: false, address, connect_ms: 0, total_ms: 0 }
}

struct Town {
    clock: Arc<Hands>,
    merchant: Arc<Merchant>,
    gateway: Gateway,
    wallet: Wallet,
    channel: TestWallet,
}

async fn town() -> Town {
    tokio::task::spawn_blocking(build).await.unwrap()
}

fn build() -> Town {
    let clock = Arc::new(Hands(AtomicI64::new(START.as_millis())));
    let merchant = Arc::new(Merchant::default());
    let settings = Settings {
        public_url: "https://pay.example.test".to_owned(),
        own_url: OWN.to_owned(),
        callbacks: TargetPolicy::default(),
        channels: TargetPolicy::default(),
        sandbox: TargetPolicy::default(),
        in_flight_max: 8,
        per_endpoint_max: 8,
    };
    let gateway = Gateway::build(
        Store::open_memory(StoreOptions::default()).unwrap(),
        Env { clock: clock.clone(), entropy: Arc::new(SystemEntropy) },
        Arc::new(Vault::new(&MasterKey::from_bytes([1; 32]))),
        merchant.clone(),
        settings,
        Arc::new(|_, _, _| Vec::new()),
    )
    .unwrap();
    let wallet = Wallet::open(&gateway).unwrap();
    let channel = enrolled(&gateway, &wallet);
    Town { clock, merchant, gateway, wallet, channel }
}

fn enrolled(gateway: &Gateway, wallet: &Wallet) -> TestWallet {
    let enrolment = wallet.enrol("小杯子店");
    let secret = enrolment.credentials().to_secret();
    gateway.store.write_blocking(move |tx| enrolment.store(tx)).unwrap();
    TestWallet::open(secret.expose(), OWN).unwrap()
}

fn attempt(n: u8) -> AttemptId {
    AttemptId::new(START, [n; 10])
}

fn cny(minor: u64) -> Money {
    Money::new(minor, Currency::CNY)
}

fn new_order(n: u8) -> CreateOrder {
    CreateOrder {
        attempt: attempt(n),
        method: Method::WechatNative,
        amount: cny(1230),
        description: "马克杯".to_owned(),
        created_at: START,
        expires_at: START.plus(Duration::from_minutes(30)),
        notify_url: "https://pay.example.test/notify/acc".to_owned(),
        return_url: String::new(),
        customer_ip: None,
        openid: None,
        auth_code: None,
    }
}

fn create(n: u8) -> Order {
    Order::Create(new_order(n))
}

fn reference(n: u8) -> OrderRef {
    OrderRef {
        attempt: attempt(n),
        method: Method::WechatNative,
        created_at: START,
        expires_at: START.plus(Duration::from_minutes(30)),
        transaction_id: None,
    }
}

fn query(n: u8) -> Order {
    Order::Query(reference(n))
}

fn close(n: u8) -> Order {
    Order::Close(reference(n))
}

fn refund_reference(n: u8, refund: u8) -> RefundRef {
    let refund = RefundId::new(START, [refund; 10]);
    RefundRef { refund, created_at: START, order: reference(n), channel_refund_id: None }
}

fn refund_order(n: u8, refund: u8, minor: u64) -> Order {
    Order::Refund(RefundOrder {
        about: refund_reference(n, refund),
        amount: cny(minor),
        total: cny(1230),
        reason: None,
        notify_url: format!("{OWN}/notify/acc"),
    })
}

impl Town {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn wait(&self, delay: Duration) {
        self.clock.0.fetch_add(i64::try_from(delay.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Asks over the wire, without the wire.
    async fn ask_as(&self, channel: &TestWallet, order: &Order) -> Result<Observation, ChannelError> {
        let sealing = Sealing { now: self.now(), nonce: self.gateway.env.random() };
        let Prepared::Call(request) = channel.request(order, &sealing).unwrap() else { panic!("a call") };
        let authorization = request.headers.iter().find(|(name, _)| name == "authorization");
        let answer = self
            .wallet
            .serve(Incoming {
                method: request.method.as_str(),
                path: request.url.strip_prefix(OWN).unwrap(),
                authorization: authorization.map(|(_, value)| value.as_str()),
                body: &request.body,
            })
            .await;
        let headers = answer.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        channel.read_response(order, &response(answer.status, headers, answer.body), self.now())
    }

    async fn ask(&self, order: &Order) -> Result<Observation, ChannelError> {
        self.ask_as(&self.channel, order).await
    }

    async fn simulate(&self, n: u8, simulation: Simulation) -> Result<(), SimulateError> {
        self.wallet.simulate(attempt(n), simulation).await
    }

    /// Lets the messenger work, and reads what arrived as the adapter does.
    async fn notifications(&self) -> Vec<Result<VerifiedNotification, ChannelError>> {
        self.wallet.work().await.unwrap();
        let got = std::mem::take(&mut *self.merchant.got.lock().unwrap());
        got.iter()
            .map(|request| {
                assert_eq!(request.url, format!("{OWN}/notify/acc"), "the simulator notifies this server alone");
                let message = Inbound { headers: &request.headers, body: &request.body };
                self.channel.read_notification(&message, self.now())
            })
            .collect()
    }

    /// The amounts of payments that were told and believed.
    async fn paid_told(&self) -> Vec<u64> {
        let told = self.notifications().await;
        told.into_iter()
            .filter_map(Result::ok)
            .filter_map(|told| match told.observation() {
                Observation::Paid(facts) => Some(facts.amount.minor()),
                _ => None,
            })
            .collect()
    }
}

fn paid_minor(observation: Result<Observation, ChannelError>) -> u64 {
    match observation {
        Ok(Observation::Paid(facts)) => facts.amount.minor(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_order_is_created_shown_paid_told_and_refunded() {
    let town = town().await;
    let Ok(Observation::Accepted { next_action: NextAction::QrCode { data } }) = town.ask(&create(1)).await else {
        panic!("accepted with a code")
    };
    assert!(data.starts_with("https://pay.example.test/sandbox/wallet/pay/"), "{data}");
    assert_eq!(town.ask(&query(1)).await, Ok(Observation::NotPaid));
    town.simulate(1, Simulation::Paid).await.unwrap();
    assert_eq!(paid_minor(town.ask(&query(1)).await), 1230);
    assert_eq!(town.paid_told().await, [1230]);
    assert_eq!(town.paid_told().await, [0; 0], "told once");
    let refunded = town.ask(&refund_order(1, 1, 600)).await;
    assert!(matches!(refunded, Ok(Observation::RefundSucceeded { .. })), "{refunded:?}");
    assert_eq!(town.notifications().await.len(), 1);
}

#[tokio::test]
async fn asking_twice_is_asking_once_and_other_content_is_refused() {
    let town = town().await;
    let first = town.ask(&create(1)).await;
    assert_eq!(town.ask(&create(1)).await, first, "the same code again");
    let mut other = new_order(1);
    other.amount = cny(1);
    let refused = town.ask(&Order::Create(other)).await;
    assert!(matches!(refused, Ok(Observation::Refused { ref code, .. }) if code == "OUT_TRADE_NO_USED"), "{refused:?}");
    assert_eq!(town.ask(&query(1)).await, Ok(Observation::NotPaid));
    assert_eq!(town.ask(&query(2)).await, Ok(Observation::NotFound));
    assert_eq!(town.ask(&close(2)).await, Ok(Observation::NotFound));
}

#[tokio::test]
async fn a_merchant_sees_only_its_own_orders() {
    let town = town().await;
    town.ask(&create(1)).await.unwrap();
    let (gateway, wallet) = (town.gateway.clone(), town.wallet.clone());
    let stranger = tokio::task::spawn_blocking(move || enrolled(&gateway, &wallet)).await.unwrap();
    assert_eq!(town.ask_as(&stranger, &query(1)).await, Ok(Observation::NotFound));
    assert_eq!(town.ask_as(&stranger, &close(1)).await, Ok(Observation::NotFound));
    town.simulate(1, Simulation::Paid).await.unwrap();
    let refund = town.ask_as(&stranger, &refund_order(1, 1, 600)).await;
    assert!(matches!(refund, Ok(Observation::Refused { .. })), "{refund:?}");
}

#[tokio::test]
async fn a_call_without_a_genuine_signature_does_nothing() {
    let town = town().await;
    let sealing = Sealing { now: town.now(), nonce: [0; 16] };
    let Ok(Prepared::Call(request)) = town.channel.request(&create(1), &sealing) else { panic!("a call") };
    let (_, genuine) = request.headers.iter().find(|(name, _)| name == "authorization").unwrap();
    let path = request.url.strip_prefix(OWN).unwrap();
    let call = |authorization, path, body| Incoming { method: "POST", path, authorization, body };
    let changed = [request.body.as_slice(), b" "].concat();
    let unknown = genuine.replace("mch_id=\"", "mch_id=\"9");
    for incoming in [
        call(None, path, request.body.as_slice()),
        call(Some(""), path, &request.body),
        call(Some(genuine), path, &changed),
        call(Some(genuine), "/sandbox/wallet/v1/refunds", &request.body),
        call(Some(&unknown), path, &request.body),
    ] {
        assert_eq!(town.wallet.serve(incoming).await.status, 401);
    }
    town.wait(Duration::from_minutes(6));
    assert_eq!(town.wallet.serve(call(Some(genuine), path, &request.body)).await.status, 401, "stale");
    assert_eq!(town.wallet.order(attempt(1)).await.unwrap(), None);
}

#[tokio::test]
async fn a_notification_address_that_is_not_this_server_is_refused() {
    let town = town().await;
    for url in [
        "http://127.0.0.1:6379/",
        "https://pay.example.test.evil.example/notify",
        "https://evil.example/notify",
        "",
        "https://pay.example.test",
    ] {
        let order = Order::Create(CreateOrder { notify_url: url.to_owned(), ..new_order(1) });
        let refused = town.ask(&order).await;
        assert!(matches!(refused, Ok(Observation::Refused { .. })), "{url}: {refused:?}");
    }
}

#[tokio::test]
async fn closing_ends_an_order_unless_it_was_paid() {
    let town = town().await;
    town.ask(&create(1)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(town.ask(&close(1)).await, Ok(Observation::Closed));
    }
    assert_eq!(town.ask(&query(1)).await, Ok(Observation::Closed));
    assert!(matches!(town.simulate(1, Simulation::Paid).await, Err(SimulateError::Ended)));
    town.ask(&create(2)).await.unwrap();
    town.simulate(2, Simulation::Paid).await.unwrap();
    assert!(matches!(town.ask(&close(2)).await, Ok(Observation::Refused { .. })));
    assert_eq!(paid_minor(town.ask(&query(2)).await), 1230);
}

#[tokio::test]
async fn time_runs_out_at_the_provider_too() {
    let town = town().await;
    town.ask(&create(1)).await.unwrap();
    town.wait(Duration::from_minutes(30));
    assert_eq!(town.ask(&query(1)).await, Ok(Observation::Closed));
    town.ask(&create(2)).await.unwrap();
    town.simulate(2, Simulation::Expired).await.unwrap();
    assert_eq!(town.ask(&query(2)).await, Ok(Observation::Closed));
    assert_eq!(town.notifications().await.len(), 0);
}

#[tokio::test]
async fn each_simulated_end_is_seen_and_told_as_it_should() {
    let town = town().await;
    for (n, simulation, seen, told) in [
        (1, Simulation::Paid, 1230, vec![1230]),
        (2, Simulation::WrongAmount, 1229, vec![1229]),
        (3, Simulation::LostNotification, 1230, vec![]),
        (4, Simulation::DuplicateNotification, 1230, vec![1230, 1230]),
    ] {
        town.ask(&create(n)).await.unwrap();
        town.simulate(n, simulation).await.unwrap();
        assert_eq!(paid_minor(town.ask(&query(n)).await), seen, "{simulation:?}");
        assert_eq!(town.paid_told().await, told, "{simulation:?}");
        assert!(matches!(town.simulate(n, simulation).await, Err(SimulateError::Ended)));
    }
    town.ask(&create(5)).await.unwrap();
    town.simulate(5, Simulation::Failed).await.unwrap();
    assert!(matches!(town.ask(&query(5)).await, Ok(Observation::Declined { .. })));
    assert_eq!(town.notifications().await.len(), 1);
    assert!(matches!(town.simulate(6, Simulation::Paid).await, Err(SimulateError::Unknown)));
}

#[tokio::test]
async fn a_late_payment_comes_after_the_close_was_confirmed() {
    let town = town().await;
    town.ask(&create(1)).await.unwrap();
    town.simulate(1, Simulation::Late).await.unwrap();
    assert_eq!(town.ask(&query(1)).await, Ok(Observation::NotPaid), "nothing comes before the close");
    assert_eq!(town.ask(&close(1)).await, Ok(Observation::Closed));
    assert_eq!(town.ask(&query(1)).await, Ok(Observation::Closed));
    assert_eq!(town.paid_told().await, [0; 0]);
    town.wait(LATE_AFTER);
    assert_eq!(town.paid_told().await, [1230]);
    assert_eq!(paid_minor(town.ask(&query(1)).await), 1230);
    // An order that nobody closes runs out, and is paid late all the same.
    town.ask(&create(2)).await.unwrap();
    town.simulate(2, Simulation::Late).await.unwrap();
    town.wait(new_order(2).expires_at.since(town.now()));
    assert_eq!(town.ask(&query(2)).await, Ok(Observation::Closed));
    town.wait(LATE_AFTER);
    assert_eq!(town.paid_told().await, [1230]);
}

#[tokio::test]
async fn a_slow_payer_keeps_the_order_from_being_closed() {
    let town = town().await;
    town.ask(&create(1)).await.unwrap();
    let code = town.wallet.order(attempt(1)).await.unwrap().unwrap().code;
    assert_eq!(town.wallet.act(code, Deed::PaySlowly).await.unwrap(), Some(Ok(())));
    assert!(matches!(town.ask(&close(1)).await, Ok(Observation::Refused { .. })));
    assert_eq!(town.ask(&query(1)).await, Ok(Observation::NotPaid));
    town.wait(PAYING_TAKES);
    assert_eq!(town.paid_told().await, [1230]);
    assert_eq!(town.wallet.act([0; 16], Deed::Pay).await.unwrap(), None, "a code that nobody made opens nothing");
}

#[tokio::test]
async fn refunds_never_exceed_the_payment_and_a_failed_one_gives_back() {
    let town = town().await;
    town.ask(&create(1)).await.unwrap();
    assert!(matches!(town.ask(&refund_order(1, 1, 600)).await, Ok(Observation::Refused { .. })), "not paid yet");
    town.simulate(1, Simulation::Paid).await.unwrap();
    let first = town.ask(&refund_order(1, 1, 1000)).await;
    assert_eq!(town.ask(&refund_order(1, 1, 1000)).await, first, "the same number is the same refund");
    assert!(matches!(town.ask(&refund_order(1, 1, 1)).await, Ok(Observation::Refused { .. })), "other content");
    assert!(matches!(town.ask(&refund_order(1, 2, 231)).await, Ok(Observation::Refused { .. })), "too much");
    let code = town.wallet.order(attempt(1)).await.unwrap().unwrap().code;
    town.wallet.set_faults(code, Faults::NONE.with(Fault::RefundAbnormal)).await.unwrap();
    assert!(matches!(town.ask(&refund_order(1, 3, 230)).await, Ok(Observation::RefundProcessing { .. })));
    town.notifications().await;
    town.wait(REFUND_TAKES);
    let told = town.notifications().await;
    assert!(matches!(told[0].as_ref().unwrap().observation(), Observation::RefundFailed { .. }), "{told:?}");
    town.wallet.set_faults(code, Faults::NONE.with(Fault::RefundSlow)).await.unwrap();
    let again = Order::QueryRefund(refund_reference(1, 4));
    assert_eq!(town.ask(&again).await, Ok(Observation::NotFound));
    assert!(matches!(town.ask(&refund_order(1, 4, 230)).await, Ok(Observation::RefundProcessing { .. })));
    assert!(matches!(town.ask(&again).await, Ok(Observation::RefundProcessing { .. })));
    town.wait(REFUND_TAKES);
    assert!(matches!(town.ask(&again).await, Ok(Observation::RefundSucceeded { .. })));
    assert_eq!(town.notifications().await.len(), 1);
}

#[tokio::test]
async fn notifications_climb_the_ladder_until_they_are_heard() {
    let town = town().await;
    town.ask(&create(1)).await.unwrap();
    town.simulate(1, Simulation::Paid).await.unwrap();
    *town.merchant.answers.lock().unwrap() = vec![200, 503, 404, 302, 500];
    let mut tries = Vec::new();
    for wait in [0, 14, 1, 14, 1, 29, 1, 179, 1, 100_000] {
        town.wait(Duration::from_seconds(wait));
        tries.push(town.notifications().await.len());
    }
    assert_eq!(tries, [1, 0, 1, 0, 1, 0, 1, 0, 1, 0]);
}

#[tokio::test]
async fn a_notification_nobody_hears_is_given_up_at_the_end_of_the_ladder() {
    let town = town().await;
    town.ask(&create(1)).await.unwrap();
    town.simulate(1, Simulation::Paid).await.unwrap();
    *town.merchant.answers.lock().unwrap() = vec![500; 100];
    let mut tries = town.notifications().await.len();
    for gap in LADDER {
        town.wait(gap);
        tries += town.notifications().await.len();
    }
    town.wait(Duration::from_days(30));
    assert_eq!((tries, town.notifications().await.len()), (16, 0));
}

#[tokio::test]
async fn faults_of_notifications_do_what_they_say() {
    let town = town().await;
    for (n, fault, believed, refused) in [
        (1, Fault::LoseNotification, vec![], 0),
        (2, Fault::DoubleNotification, vec![1230, 1230], 0),
        (3, Fault::ForgeNotification, vec![], 1),
        (4, Fault::MisstateAmount, vec![1229], 0),
    ] {
        town.wallet.set_standing_faults(Faults::NONE.with(fault)).await.unwrap();
        town.ask(&create(n)).await.unwrap();
        town.simulate(n, Simulation::Paid).await.unwrap();
        let told = town.notifications().await;
        let not_genuine = |told: &&Result<_, _>| matches!(told, Err(ChannelError::NotGenuine { .. }));
        assert_eq!(told.iter().filter(not_genuine).count(), refused, "{fault:?}");
        let amounts: Vec<u64> = told
            .iter()
            .flatten()
            .map(|told| match told.observation() {
                Observation::Paid(facts) => facts.amount.minor(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(amounts, believed, "{fault:?}");
        assert_eq!(paid_minor(town.ask(&query(n)).await), 1230, "a query tells the truth");
    }
    town.wallet.set_standing_faults(Faults::NONE.with(Fault::DelayNotification)).await.unwrap();
    town.ask(&create(5)).await.unwrap();
    town.simulate(5, Simulation::Paid).await.unwrap();
    town.ask(&refund_order(5, 5, 1230)).await.unwrap();
    let early = town.notifications().await;
    assert!(matches!(early[0].as_ref().unwrap().observation(), Observation::RefundSucceeded { .. }), "out of order");
    town.wait(DELAYED_BY);
    assert_eq!(town.paid_told().await, [1230]);
}

#[tokio::test]
async fn troubled_answers_do_or_do_not_do_it_and_end() {
    let town = town().await;
    for (n, fault, done) in [
        (1, Fault::Throttle, false),
        (2, Fault::AnswerError, false),
        (3, Fault::AnswerErrorAfterDoing, true),
        (4, Fault::AnswerRubbish, true),
    ] {
        town.wallet.set_standing_faults(Faults::NONE.with(fault)).await.unwrap();
        for _ in 0..fault::TROUBLED_ANSWERS_MAX {
            let heard = town.ask(&create(n)).await;
            let nothing = matches!(heard, Ok(Observation::Unknown { .. }) | Err(ChannelError::NotGenuine { .. }));
            assert!(nothing, "{fault:?}: {heard:?}");
            assert_eq!(town.wallet.order(attempt(n)).await.unwrap().is_some(), done, "{fault:?}");
        }
        assert!(matches!(town.ask(&create(n)).await, Ok(Observation::Accepted { .. })), "{fault:?}");
    }
}

#[tokio::test]
async fn a_recorded_history_can_be_refunded_and_nobody_is_told_of_it() {
    let town = town().await;
    town.ask(&create(1)).await.unwrap();
    let asked = town.wallet.order(attempt(1)).await.unwrap().unwrap().asked;
    let asked = model::NewOrder { out_trade_no: attempt(2).bare(), ..asked };
    let paid_at = START.minus(Duration::from_days(90));
    let recorded: Result<WalletOrder, StoreError> =
        town.gateway.store.write(move |tx| desk::record_paid(tx, asked.clone(), [7; 16], paid_at)).await;
    assert_eq!(recorded.unwrap().state, TradeState::Success);
    assert_eq!(town.notifications().await.len(), 0);
    assert!(matches!(town.ask(&refund_order(2, 1, 600)).await, Ok(Observation::RefundSucceeded { .. })));
}

#[tokio::test]
async fn the_providers_key_and_its_merchants_survive_a_restart() {
    let town = town().await;
    town.ask(&create(1)).await.unwrap();
    town.simulate(1, Simulation::Paid).await.unwrap();
    let gateway = town.gateway.clone();
    let wallet = tokio::task::spawn_blocking(move || Wallet::open(&gateway).unwrap()).await.unwrap();
    let town = Town { wallet, ..town };
    assert_eq!(town.paid_told().await, [1230], "what was on its way arrives, and is believed");
    assert_eq!(paid_minor(town.ask(&query(1)).await), 1230);
}

#[test]
fn codes_are_unique_and_read_back() {
    for simulation in Simulation::ALL {
        assert_eq!(Simulation::parse(simulation.code()), Some(simulation));
    }
    for deed in Deed::ALL {
        assert_eq!(Deed::parse(deed.code()), Some(deed));
    }
    for fault in Fault::ALL.iter().copied() {
        assert_eq!(Fault::parse(fault.code()), Some(fault));
        assert_eq!(Faults::NONE.with(fault).iter().collect::<Vec<_>>(), [fault]);
    }
    assert_eq!(RefundStatus::Abnormal.code(), "ABNORMAL");
}
