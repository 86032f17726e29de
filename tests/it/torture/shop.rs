//! Shops that buy, pay and refund from a seed, remember what they were told, and compare it with what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, OnceLock};
use std::time::Duration;

use coffer::env::Env;
use serde_json::{Value, json};

use super::client::{Reply, Request};
use super::process::PATIENCE;
use coffer::simulation::Dice;

/// Refunds asked for of one payment: four quarters, and one that is too much.
const REFUNDS_MAX: usize = 5;
/// Milliseconds after which an unfinished call is repeated.
const AGAIN_MS: u64 = 500;

/// What a call is about.
#[derive(Clone, Debug)]
enum Purpose {
    Create { minor: u64 },
    Pay { payment: String },
    Refund { payment: String },
}

#[derive(Clone, Debug)]
struct Call {
    request: Request,
    purpose: Purpose,
    /// Not before, by the monotonic clock.
    not_before_ms: u64,
}

/// A payment as the shop knows it.
#[derive(Clone, Debug)]
struct Bought {
    minor: u64,
    order: String,
    paying: bool,
    paid: bool,
    refunds_asked: usize,
}

#[derive(Default)]
struct Book {
    /// Answered for good.
    told: Vec<(Call, Reply)>,
    /// How many of them were compared already.
    compared: usize,
    /// Sent, and nobody knows what became of them.
    open: Vec<Call>,
    /// Under way now.
    under_way: usize,
    payments: BTreeMap<String, Bought>,
    /// Refunds by id, with payment and amount.
    refunds: BTreeMap<String, (String, u64)>,
    lost: u64,
}

/// Whether shops may call, and how much has happened.
#[derive(Clone, Copy, Default)]
struct Gate {
    open: bool,
    /// No new calls, only those whose answer is missing.
    closing: bool,
    over: bool,
    ticks: u64,
}

/// All shops of a test.
pub struct Shops {
    token: String,
    /// The payments' own address for callbacks, for those that have one.
    callback_url: OnceLock<String>,
    /// How long a client waits for an answer.
    patience: Duration,
    env: Env,
    book: Mutex<Book>,
    gate: Mutex<Gate>,
    changed: Condvar,
}

impl Shops {
    pub fn new(token: &str, patience: Duration) -> Self {
        Self {
            token: token.to_owned(),
            callback_url: OnceLock::new(),
            patience,
            env: Env::system(),
            book: Mutex::default(),
            gate: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// From now on some payments have an address of their own for callbacks.
    pub fn call_back_at(&self, url: String) {
        self.callback_url.set(url).expect("said once");
    }

    /// One shop's program; runs until [`Shops::finish`].
    pub fn work(&self, address: SocketAddr, number: u64, mut dice: Dice) {
        let mut count = 0;
        while let Some(closing) = self.admitted() {
            count += 1;
            let Some(call) = self.next(closing, &mut dice, number, count) else {
                // Others have the last calls, or those are to be repeated a little later.
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            self.tick();
            let reply = call.request.send(address, &self.token, self.patience);
            self.heard(call, reply);
            self.tick();
        }
    }

    fn admitted(&self) -> Option<bool> {
        let gate = self.gate.lock().unwrap();
        let gate = self.changed.wait_while(gate, |gate| !gate.open && !gate.over).unwrap();
        (!gate.over).then_some(gate.closing)
    }

    /// Lets the shops call.
    pub fn open(&self) {
        self.set(|gate| gate.open = true);
    }

    /// No shop begins another call.
    pub fn close(&self) {
        self.set(|gate| gate.open = false);
    }

    fn set(&self, change: impl FnOnce(&mut Gate)) {
        change(&mut self.gate.lock().unwrap());
        self.changed.notify_all();
    }

    /// Something happened.
    pub fn tick(&self) {
        self.set(|gate| gate.ticks += 1);
    }

    /// Waits until so much more has happened.
    pub fn wait_for(&self, more: u64) {
        let gate = self.gate.lock().unwrap();
        let until = gate.ticks + more;
        let (_gate, time) = self.changed.wait_timeout_while(gate, PATIENCE, |gate| gate.ticks < until).unwrap();
        assert!(!time.timed_out(), "nothing happens any more");
    }

    /// Waits until so many more calls were not answered in time.
    pub fn wait_for_lost(&self, more: u64) {
        let until = self.book.lock().unwrap().lost + more;
        let gate = self.gate.lock().unwrap();
        // Every lost call is followed by a tick.
        let lost = |_: &mut Gate| self.book.lock().unwrap().lost < until;
        let (_gate, time) = self.changed.wait_timeout_while(gate, PATIENCE, lost).unwrap();
        assert!(!time.timed_out(), "every call is answered");
    }

    /// Repeats what was not answered until everything was, then ends the shops.
    pub fn finish(&self) {
        self.set(|gate| (gate.open, gate.closing) = (true, true));
        let begun = self.env.clock.monotonic_ms();
        loop {
            let book = self.book.lock().unwrap();
            let (open, under_way) = (book.open.len(), book.under_way);
            drop(book);
            if open + under_way == 0 {
                break;
            }
            let waited = Duration::from_millis(self.env.clock.monotonic_ms() - begun);
            assert!(waited < PATIENCE, "{open} calls are never answered");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.set(|gate| gate.over = true);
    }

    fn next(&self, closing: bool, dice: &mut Dice, number: u64, count: u64) -> Option<Call> {
        let now_ms = self.env.clock.monotonic_ms();
        let mut book = self.book.lock().unwrap();
        let ready = book.open.iter().position(|call| call.not_before_ms <= now_ms);
        let call = match ready {
            Some(place) if closing || dice.chance(50) => Some(book.open.swap_remove(place)),
            _ if closing => None,
            _ => Some(self.new_call(&mut book, dice, &format!("s{number}-{count}"))),
        };
        book.under_way += usize::from(call.is_some());
        call
    }

    fn new_call(&self, book: &mut Book, dice: &mut Dice, name: &str) -> Call {
        let payments: Vec<(String, Bought)> = book.payments.iter().map(|(id, b)| (id.clone(), b.clone())).collect();
        let payable: Vec<_> = payments.iter().filter(|(_, bought)| !bought.paying).collect();
        let refundable: Vec<_> =
            payments.iter().filter(|(_, bought)| bought.paid && bought.refunds_asked < REFUNDS_MAX).collect();
        let call = |request, purpose| Call { request, purpose, not_before_ms: 0 };
        let choice = dice.below(10);
        if choice < 4
            && let Some((id, _)) = dice.pick(&payable)
        {
            book.payments.get_mut(id).unwrap().paying = true;
            let outcome = if dice.chance(15) { "duplicate_notification" } else { "paid" };
            let path = format!("/v1/test/payments/{id}/simulate");
            let request = Request::post(path, &json!({ "outcome": outcome }), &format!("{name}-pay"));
            return call(request, Purpose::Pay { payment: id.clone() });
        }
        if choice < 7
            && let Some((id, bought)) = dice.pick(&refundable)
        {
            book.payments.get_mut(id).unwrap().refunds_asked += 1;
            let amount = json!({ "currency": "CNY", "value": yuan(bought.minor / 4) });
            let body = json!({ "amount": amount, "refund_id": format!("{name}-R") });
            let request = Request::post(format!("/v1/payments/{id}/refunds"), &body, &format!("{name}-refund"));
            return call(request, Purpose::Refund { payment: id.clone() });
        }
        let minor = 4 * (1 + dice.below(5000));
        let mut body = json!({
            "order_id": name,
            "amount": { "currency": "CNY", "value": yuan(minor) },
            "description": "一只杯子",
        });
        if dice.chance(50) {
            body["method"] = json!("alipay_qr");
        }
        if let Some(url) = self.callback_url.get().filter(|_| dice.chance(30)) {
            body["callback_url"] = json!(url);
        }
        call(Request::post("/v1/payments", &body, &format!("{name}-create")), Purpose::Create { minor })
    }

    fn heard(&self, call: Call, reply: std::io::Result<Reply>) {
        let mut book = self.book.lock().unwrap();
        book.under_way -= 1;
        match reply {
            Ok(reply) if !reply.is_temporary() => book.learn(call, reply),
            unknown => {
                book.lost += u64::from(unknown.is_err());
                let not_before_ms = self.env.clock.monotonic_ms() + AGAIN_MS;
                book.open.push(Call { not_before_ms, ..call });
            }
        }
    }

    /// Compares everything that was told since the last time, and a few older answers, with what is there now.
    pub fn compare(&self, address: SocketAddr, dice: &mut Dice) {
        let mut book = self.book.lock().unwrap();
        let new = book.compared..book.told.len();
        let older: Vec<usize> = (0..10.min(book.compared)).map(|_| dice.place(book.compared)).collect();
        book.compared = book.told.len();
        for place in new.chain(older) {
            let (call, told) = &book.told[place];
            let again = self.ask(address, &call.request);
            assert_eq!(
                (again.status, &again.body),
                (told.status, &told.body),
                "{call:?} was answered otherwise before"
            );
            assert!(again.replayed, "{call:?} was done again");
            match (&call.purpose, told.status) {
                (Purpose::Create { minor }, 201) => {
                    let id = told.json()["id"].as_str().unwrap().to_owned();
                    let seen = self.payment(address, &id);
                    assert_eq!(seen["amount"]["value"], json!(yuan(*minor)));
                }
                (Purpose::Pay { payment }, 200) => {
                    assert_eq!(self.payment(address, payment)["status"], told.json()["status"], "{call:?}");
                }
                (Purpose::Refund { payment }, 201) => {
                    let told = told.json();
                    let seen =
                        self.ask(address, &Request::get(format!("/v1/refunds/{}", told["id"].as_str().unwrap())));
                    let seen = seen.json();
                    assert_eq!((&seen["amount"], &seen["payment"]), (&told["amount"], &json!(payment)));
                }
                (Purpose::Refund { .. }, 409 | 422) => {}
                (purpose, status) => panic!("{purpose:?} was answered {status}: {}", told.body),
            }
        }
    }

    /// Nothing is missing and nothing was invented: payments, refunds, events, callbacks. `heard` answers which messages the
    /// receiver knows, by path and id.
    pub fn settle(&self, address: SocketAddr, heard: impl Fn() -> BTreeSet<(String, String)>) -> Tally {
        let events = self.delivered(address);
        let book = self.book.lock().unwrap();
        let payments = self.list(address, "/v1/payments?limit=100");
        let ids: BTreeSet<String> = payments.iter().map(|payment| text(payment, "id")).collect();
        assert_eq!(ids, book.payments.keys().cloned().collect(), "payments");
        let refunds = self.list(address, "/v1/refunds?limit=100");
        let seen: BTreeMap<String, (String, u64)> = refunds
            .iter()
            .map(|refund| (text(refund, "id"), (text(refund, "payment"), minor(&refund["amount"]))))
            .collect();
        assert_eq!(seen, book.refunds, "refunds");
        for payment in &payments {
            let id = text(payment, "id");
            let bought = &book.payments[&id];
            assert_eq!((text(payment, "order_id"), minor(&payment["amount"])), (bought.order.clone(), bought.minor));
            assert_eq!(payment["status"] == "paid", bought.paid, "{payment}");
            let refunded: u64 = book.refunds.values().filter(|(of, _)| *of == id).map(|(_, minor)| minor).sum();
            assert_eq!(minor(&payment["amount_refunded"]), refunded, "{payment}");
            assert!(refunded <= bought.minor);
        }
        let kinds = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
        assert_eq!(kinds("payment.paid"), book.payments.values().filter(|bought| bought.paid).count());
        assert_eq!(kinds("refund.succeeded"), book.refunds.len());
        let mut expected = BTreeSet::new();
        for event in &events {
            for delivery in event["deliveries"].as_array().unwrap() {
                let path = if delivery["url"].is_null() { "/all" } else { "/own" };
                expected.insert((path.to_owned(), text(event, "id")));
            }
        }
        assert_eq!(heard(), expected, "every event was heard, and nothing else");
        Tally {
            told: book.told.len(),
            lost: book.lost,
            payments: payments.len(),
            refunds: refunds.len(),
            callbacks: expected.len(),
        }
    }

    /// All events, once each of them was delivered.
    fn delivered(&self, address: SocketAddr) -> Vec<Value> {
        let begun = self.env.clock.monotonic_ms();
        loop {
            let events = self.list(address, "/v1/events?limit=100");
            let waits = |event: &&Value| {
                event["deliveries"].as_array().unwrap().iter().any(|delivery| delivery["status"] != "delivered")
            };
            let refunds_run = self.list(address, "/v1/refunds?status=pending&limit=100").len();
            let waiting: Vec<&Value> = events.iter().filter(waits).collect();
            if waiting.is_empty() && refunds_run == 0 {
                return events;
            }
            let waited = Duration::from_millis(self.env.clock.monotonic_ms() - begun);
            assert!(waited < PATIENCE, "{refunds_run} refunds run, and never delivered: {waiting:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn list(&self, address: SocketAddr, path: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut path = path.to_owned();
        loop {
            let page = self.ask(address, &Request::get(&path)).json();
            all.extend(page["data"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => path = next.to_owned(),
                None => return all,
            }
        }
    }

    fn payment(&self, address: SocketAddr, id: &str) -> Value {
        let reply = self.ask(address, &Request::get(format!("/v1/payments/{id}")));
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()
    }

    /// A call while the server is well.
    pub fn ask(&self, address: SocketAddr, request: &Request) -> Reply {
        request.send(address, &self.token, PATIENCE).unwrap_or_else(|error| panic!("{request:?}: {error}"))
    }
}

impl Book {
    fn learn(&mut self, call: Call, reply: Reply) {
        match (&call.purpose, reply.status) {
            (Purpose::Create { minor }, 201) => {
                let object = reply.json();
                let (order, minor) = (text(&object, "order_id"), *minor);
                let bought = Bought { minor, order, paying: false, paid: false, refunds_asked: 0 };
                assert!(self.payments.insert(text(&object, "id"), bought).is_none(), "{call:?} is another's payment");
            }
            (Purpose::Pay { payment }, 200) => {
                self.payments.get_mut(payment).unwrap().paid = reply.json()["status"] == "paid";
            }
            (Purpose::Refund { payment }, 201) => {
                let object = reply.json();
                let refund = (payment.clone(), minor(&object["amount"]));
                assert!(self.refunds.insert(text(&object, "id"), refund).is_none(), "{call:?} is another's refund");
            }
            // Compared with the replay, which refuses what should not be.
            (Purpose::Create { .. } | Purpose::Pay { .. } | Purpose::Refund { .. }, _) => {}
        }
        self.told.push((call, reply));
    }
}

/// What a run came to.
#[derive(Debug)]
#[expect(dead_code, reason = "printed")]
pub struct Tally {
    pub told: usize,
    pub lost: u64,
    pub payments: usize,
    pub refunds: usize,
    pub callbacks: usize,
}

fn text(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or_else(|| panic!("{name} in {object}")).to_owned()
}

fn yuan(minor: u64) -> String {
    format!("{}.{:02}", minor / 100, minor % 100)
}

fn minor(amount: &Value) -> u64 {
    amount["value"].as_str().unwrap().replace('.', "").parse().unwrap()
}
