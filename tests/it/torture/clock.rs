//! A clock that jumps, both ways, under the real store, queue and server: it is a part of the environment that the house is
//! built with, so no switch for it exists in the product.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::Duration;

use coffer::app::{self, House};
use coffer::bench::serving::Serving;
use coffer::cli::config::Inputs;
use coffer::crypto::{MasterKey, Vault};
use coffer::domain::ids::PaymentId;
use coffer::domain::time::Timestamp;
use coffer::env::{Clock, Env, SystemClock, SystemEntropy};
use coffer::flows::effect::Effect;
use coffer::flows::verify::verify_live;
use coffer::sandbox::wallet::model::{Simulation, TradeState};
use coffer::store::tables::{DUE, PAYMENTS};
use coffer::store::{Order, Read, Span, Store, StoreError, StoreOptions};
use serde_json::{Value, json};

use super::client::{Reply, Request};
use super::process::{Home, PATIENCE};
use super::receiver::Receiver;

const HOUR_MS: i64 = 3_600_000;

/// The machine's clock, and how wrong it is.
struct JumpingClock {
    real: SystemClock,
    ahead_ms: AtomicI64,
}

impl Clock for JumpingClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.real.now().as_millis() + self.ahead_ms.load(SeqCst))
    }

    fn monotonic_ms(&self) -> u64 {
        self.real.monotonic_ms()
    }
}

/// The house in this process.
struct Running<'h> {
    home: &'h Home,
    house: House,
    serving: Serving,
    clock: Arc<JumpingClock>,
}

impl<'h> Running<'h> {
    fn start(home: &'h Home, ahead_ms: i64) -> Self {
        let clock = Arc::new(JumpingClock { real: SystemClock::new(), ahead_ms: AtomicI64::new(ahead_ms) });
        let env = Env { clock: clock.clone(), entropy: Arc::new(SystemEntropy) };
        let inputs = Inputs { data_dir: Some(home.folder.path(".")), ..Inputs::default() };
        let mut config = inputs.load().unwrap().config;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        config.server.listen = listener.local_addr().unwrap();
        let vault = Vault::new(&MasterKey::read(&home.folder.path("master.key")).unwrap());
        let store = Store::open(&home.folder.path("coffer.db"), StoreOptions::default()).unwrap();
        let house = app::build(&config, env, Arc::new(vault), store).unwrap();
        let serving = Serving::gateway(&config, listener, &house).unwrap();
        Self { home, house, serving, clock }
    }

    fn set(&self, ahead_ms: i64) {
        self.clock.ahead_ms.store(ahead_ms, SeqCst);
    }

    fn ask(&self, request: &Request) -> Reply {
        request.send(self.serving.address, &self.home.token, PATIENCE).unwrap()
    }

    /// Creates a payment with a code to scan.
    fn buy(&self, order: &str, callback_url: Option<&str>) -> (Request, Reply) {
        let body = json!({
            "order_id": order, "amount": { "currency": "CNY", "value": "9.00" }, "description": "一只杯子",
            "method": "wechat_native", "callback_url": callback_url,
        });
        let request = Request::post("/v1/payments", &body, order);
        let reply = self.ask(&request);
        assert_eq!((reply.status, &reply.json()["status"]), (201, &json!("processing")), "{}", reply.body);
        (request, reply)
    }

    /// What the payer's wallet does, behind the API's back.
    fn simulate(&self, payment: &str, simulation: Simulation) {
        let attempt = self.payment_record(payment).current.unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.house.wallet.simulate(attempt, simulation)).unwrap();
    }

    fn payment_record(&self, payment: &str) -> coffer::domain::payment::Payment {
        let id: PaymentId = payment.parse().unwrap();
        let all = self.house.gateway.store.read_blocking(|tx| tx.scan(&PAYMENTS, &Span::all(), Order::Ascending, 100));
        let all: Vec<_> = all.unwrap_or_else(|error: StoreError| panic!("{error}"));
        all.into_iter().find(|((_, other), _)| *other == id).unwrap().1
    }

    /// Waits until what an address answers is as wanted.
    #[track_caller]
    fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun_ms = self.clock.monotonic_ms();
        loop {
            let seen = self.ask(&Request::get(path)).json();
            if wanted(&seen) {
                return seen;
            }
            let waited = Duration::from_millis(self.clock.monotonic_ms() - begun_ms);
            assert!(waited < PATIENCE, "{path} stays {seen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The books, the indexes and the queue are right; then the house is closed.
    fn close(self) {
        verify_live(&self.house.gateway.store, &mut |_| {}).unwrap();
        let Self { house, serving, .. } = self;
        drop(serving);
        house.gateway.store.clone().close();
    }
}

fn id(reply: &Reply) -> String {
    reply.json()["id"].as_str().unwrap().to_owned()
}

#[test]
fn what_was_planned_by_a_clock_that_was_ahead_is_done_when_it_is_set_back() {
    let home = Home::new();
    let receiver = Receiver::open(|| {});
    let url = format!("{}/own", receiver.base);
    let running = Running::start(&home, 8 * HOUR_MS);
    // Paid, and the shop is down: its callback is planned for some seconds later.
    receiver.answer(500);
    let (request, bought) = running.buy("told", Some(&url));
    let told = id(&bought);
    running.simulate(&told, Simulation::Paid);
    let events = format!("/v1/events?payment={told}");
    running.until(&events, |page| page["data"][0]["deliveries"][0]["attempts"].as_u64() >= Some(1));
    // Paid, and the wallet does not say so: the next question is planned.
    let (_, bought) = running.buy("asked", None);
    let asked = id(&bought);
    running.simulate(&asked, Simulation::LostNotification);
    receiver.answer(204);
    running.set(0);
    running.until(&format!("/v1/payments/{asked}"), |payment| payment["status"] == "paid");
    running.until(&events, |page| page["data"][0]["deliveries"][0]["status"] == "delivered");
    let again = running.ask(&request);
    assert_eq!((again.status, again.replayed, id(&again)), (201, true, told), "{}", again.body);
    running.close();
}

#[test]
fn a_restart_notices_that_the_clock_was_set_back() {
    let home = Home::new();
    let running = Running::start(&home, 30 * 24 * HOUR_MS);
    let (_, bought) = running.buy("asked", None);
    let asked = id(&bought);
    let store = running.house.gateway.store.clone();
    let swept = || {
        let due = store.read_blocking(|tx| tx.scan(&DUE, &Span::all(), Order::Ascending, 100));
        let due: Vec<_> = due.unwrap_or_else(|error: StoreError| panic!("{error}"));
        due.iter().any(|((_, at, effect), ())| *effect == Effect::Sweep && *at > running.clock.now())
    };
    while !swept() {
        std::thread::sleep(Duration::from_millis(10));
    }
    running.simulate(&asked, Simulation::LostNotification);
    running.close();
    let running = Running::start(&home, 0);
    running.until(&format!("/v1/payments/{asked}"), |payment| payment["status"] == "paid");
    running.close();
}

#[test]
fn a_clock_that_jumps_ahead_ends_nothing_that_the_channel_does_not_end() {
    let home = Home::new();
    let running = Running::start(&home, 0);
    let (request, bought) = running.buy("paid", None);
    let paid = id(&bought);
    running.simulate(&paid, Simulation::Paid);
    running.until(&format!("/v1/payments/{paid}"), |payment| payment["status"] == "paid");
    let (_, bought) = running.buy("open", None);
    let open = id(&bought);
    let attempt = running.payment_record(&open).current.unwrap();
    running.set(48 * HOUR_MS);
    // Anything that is committed shows the queue what is due by now.
    running.buy("another", None);
    running.until(&format!("/v1/payments/{open}"), |payment| payment["status"] == "expired");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let order = runtime.block_on(running.house.wallet.order(attempt)).unwrap().unwrap();
    assert_eq!(order.state, TradeState::Closed, "the channel was told before the payment ended");
    let again = running.ask(&request);
    assert_eq!((again.status, again.replayed, id(&again)), (201, true, paid.clone()));
    running.set(-48 * HOUR_MS);
    let seen = running.ask(&Request::get(format!("/v1/payments/{paid}"))).json();
    assert_eq!(seen["status"], "paid");
    let again = running.ask(&request);
    assert_eq!((again.status, again.replayed, id(&again)), (201, true, paid));
    // And life goes on, four days before.
    let (_, bought) = running.buy("before", None);
    let before = id(&bought);
    running.simulate(&before, Simulation::Paid);
    running.until(&format!("/v1/payments/{before}"), |payment| payment["status"] == "paid");
    running.close();
}
