//! The merchant, the accounts and the clock of a story, and what its words mean.

use std::collections::{BTreeMap, BTreeSet};

use coffer::channels::{Bar, Observation, PaidFacts};
use coffer::crypto::{MasterKey, Place, Vault};
use coffer::domain::case::{Case, Choices};
use coffer::domain::event::{Actor, Event, EventObject, EventType, Happening, PaidSource};
use coffer::domain::fee::{FeeRule, FeeSchedule};
use coffer::domain::follow::{RefundStep, Step};
use coffer::domain::ids::{AccountId, AttemptId, EventId, KeyId, MerchantId, Mode, PaymentId, RefundId, Scope, UserId};
use coffer::domain::merchant::{ChannelAccount, ChannelKind, DuplicatePolicy, LatePolicy, Merchant, Share};
use coffer::domain::method::{Brand, Method};
use coffer::domain::money::{Currency, Money, decimal};
use coffer::domain::payment::{Attempt, Customer, Ending, NextAction, Payment, PaymentState, Route, RouteReason};
use coffer::domain::redirect::Destination;
use coffer::domain::refund::Refund;
use coffer::domain::time::{Duration, Timestamp};
use coffer::env::SystemEntropy;
use coffer::flows::decisions::{self, Decision, Open};
use coffer::flows::effect::{Effect, Lane};
use coffer::flows::events::event;
use coffer::flows::observe::{self, Source};
use coffer::flows::payments::{self, NewPayment, Patch};
use coffer::flows::redirects::{self, Decision as Decided};
use coffer::flows::refunds::{self, NewRefund};
use coffer::flows::timeline::newest;
use coffer::flows::verify::verify;
use coffer::flows::{FlowError, Moment, Refusal};
use coffer::ledger::Account;
use coffer::store::tables::{
    ACCOUNT_SCOPES, ACCOUNTS, ATTEMPTS, BALANCES, CASES, DAYS, DUE, EVENTS, EVENTS_BY_PAYMENT, MERCHANTS, PAYMENTS,
    REFUNDS,
};
use coffer::store::{Order, Read, ReadTx, Span, Store, StoreError, StoreOptions, WriteTx};

pub const MERCHANT: MerchantId = MerchantId::from_bytes([1; 16]);
pub const SCOPE: Scope = Scope { merchant: MERCHANT, mode: Mode::Test };
pub const WECHAT: AccountId = AccountId::from_bytes([2; 16]);
pub const ALIPAY: AccountId = AccountId::from_bytes([3; 16]);
/// 2026-01-05 10:00 in Shanghai.
pub const START: Timestamp = Timestamp::from_seconds(1_767_578_400);
const SHOP: Actor = Actor::Api(KeyId::from_bytes([4; 16]));
/// What the channels of the stories allow.
const REFUND_WINDOW: Duration = Duration::from_days(365);
const KIND: ChannelKind = ChannelKind::TestWallet;
const ROWS: usize = 10_000;

pub struct World {
    pub store: Store,
    pub now: Timestamp,
    draws: u64,
    payments: BTreeMap<String, PaymentId>,
    refunds: BTreeMap<String, RefundId>,
    /// Exchanges that have gone out: what was asked.
    begun: BTreeMap<AttemptId, Step>,
    /// The same of refunds.
    begun_refunds: BTreeMap<RefundId, RefundStep>,
    /// As they were after the line before.
    seen: BTreeMap<PaymentId, Payment>,
    /// Events as they were first read.
    heard: BTreeMap<EventId, Event>,
}

pub fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let number = number.parse().unwrap();
    match unit {
        "s" => Duration::from_seconds(number),
        "m" => Duration::from_minutes(number),
        "h" => Duration::from_hours(number),
        "d" => Duration::from_days(number),
        _ => panic!("not a duration: {text:?}"),
    }
}

fn spoken(delay: Duration) -> String {
    match delay.as_seconds() {
        s if s >= 3600 && s % 3600 == 0 => format!("{}h", s / 3600),
        s if s >= 60 && s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

pub fn method(word: &str) -> Method {
    match word {
        "wechat" => Method::WechatNative,
        "barcode" => Method::WechatBarcode,
        "alipay" => Method::AlipayQr,
        _ => panic!("not a method: {word:?}"),
    }
}

pub fn account(method: Method) -> AccountId {
    if method.brand() == Brand::WeChat { WECHAT } else { ALIPAY }
}

pub fn merchant() -> Merchant {
    Merchant {
        id: MERCHANT,
        name: "Mugs".to_owned(),
        zone: "Asia/Shanghai".to_owned(),
        currency: Currency::CNY,
        fees: FeeSchedule::default(),
        fee_returned_on_refund: true,
        late: LatePolicy::Book,
        duplicate: DuplicatePolicy::Refund,
        created_at: START,
    }
}

/// The word behind `name=`.
fn option<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

/// The word behind a word.
fn after<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words.iter().position(|word| *word == name).map(|i| words[i + 1])
}

fn refused(why: &FlowError) -> String {
    let FlowError::Refused(why) = why else { panic!("{why}") };
    let word = match why {
        Refusal::PaymentNotFound => "payment_not_found",
        Refusal::RefundNotFound => "refund_not_found",
        Refusal::EventNotFound => "event_not_found",
        Refusal::EndpointNotFound => "endpoint_not_found",
        Refusal::OrderIdReused { .. } => "order_id_reused",
        Refusal::RefundIdReused { .. } => "refund_id_reused",
        Refusal::PaymentEnded { state } => return format!("refused payment_ended {}", state.code()),
        Refusal::PaymentNotPaid { state } => return format!("refused payment_not_paid {}", state.code()),
        Refusal::RefundTooLarge { left } => return format!("refused refund_too_large {}", left.to_decimal()),
        Refusal::RefundNothingLeft => "refund_nothing_left",
        Refusal::CurrencyMismatch { .. } => "currency_mismatch",
        Refusal::TooManyRefunds => "too_many_refunds",
        Refusal::RefundWindowOver { .. } => "refund_window_over",
        Refusal::TooManyAttempts => "too_many_attempts",
        Refusal::TooManyEndpoints => "too_many_endpoints",
        Refusal::MethodUnavailable => "method_unavailable",
        Refusal::EndpointDisabled { .. } => "endpoint_disabled",
        Refusal::ExpiryOutOfRange => "expiry_out_of_range",
        Refusal::RefundFinished { .. } => "refund_finished",
        Refusal::RefundNotWaiting { state } => return format!("refused refund_not_waiting {}", state.code()),
        Refusal::CaseNotFound => "case_not_found",
        Refusal::CaseDecided { .. } => "case_decided",
        Refusal::DecisionImpossible => "impossible",
        Refusal::ApprovalNeeded { .. } => "approval_needed",
        Refusal::ProposalNotFound => "proposal_not_found",
        Refusal::ProposalOver => "proposal_over",
        Refusal::OwnProposal => "own_proposal",
        Refusal::ProposalChanged => "proposal_changed",
        Refusal::TooManyProposals => "too_many_proposals",
    };
    format!("refused {word}")
}

impl World {
    pub fn new() -> Self {
        let store = Store::open_memory(StoreOptions::default()).unwrap();
        let world = Self {
            store,
            now: START,
            draws: 0,
            payments: BTreeMap::new(),
            refunds: BTreeMap::new(),
            begun: BTreeMap::new(),
            begun_refunds: BTreeMap::new(),
            seen: BTreeMap::new(),
            heard: BTreeMap::new(),
        };
        world.put_merchant(merchant());
        let vault = Vault::new(&MasterKey::generate(&SystemEntropy));
        let place = Place { table: "accounts", row: &[], field: "credentials" };
        let accounts = [WECHAT, ALIPAY].map(|id| ChannelAccount {
            id,
            scope: SCOPE,
            kind: KIND,
            label: String::new(),
            base_url: None,
            credentials: vault.seal(&place, b"nothing", &SystemEntropy),
            active: true,
            share: Share::WHOLE,
            upkeep_at: None,
            upkept_at: None,
            created_at: START,
        });
        let put = move |tx: &mut WriteTx<'_>| {
            for account in &accounts {
                tx.put(&ACCOUNTS, &(SCOPE, account.id), account)?;
                tx.put(&ACCOUNT_SCOPES, &account.id, &SCOPE)?;
            }
            Ok::<_, StoreError>(())
        };
        world.store.write_blocking(put).unwrap();
        world
    }

    pub fn put_merchant(&self, merchant: Merchant) {
        let put = move |tx: &mut WriteTx<'_>| tx.put(&MERCHANTS, &merchant.id, &merchant);
        self.store.write_blocking(put).unwrap();
    }

    /// One use case, committed or refused.
    pub fn act<T: Send + 'static>(
        &mut self,
        f: impl Fn(&mut WriteTx<'_>, &mut Moment) -> Result<T, FlowError> + Send + 'static,
    ) -> Result<T, FlowError> {
        self.draws += 1_000;
        let mut random = [0; 10];
        random[2..].copy_from_slice(&self.draws.to_be_bytes());
        let moment = Moment::at(self.now, random);
        self.store.write_blocking(move |tx| f(tx, &mut moment.clone()))
    }

    pub fn read<T>(&self, f: impl FnOnce(&ReadTx) -> Result<T, StoreError>) -> T {
        self.store.read_blocking(f).unwrap()
    }

    /// Runs one line; answers what it came to, for lines that come to something.
    pub fn step(&mut self, line: &str) -> Option<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let options = &words[2.min(words.len())..];
        match words[..] {
            ["merchant", ..] => {
                self.change_merchant(&words[1..]);
                None
            }
            ["pay", name, amount, ..] => Some(self.pay(name, amount, options)),
            ["choose", name, wallet] => Some(self.choose(name, method(wallet))),
            ["cancel", name] => Some(self.end(name, Ending::CancelByMerchant, SHOP)),
            ["cancel", name, "customer"] => Some(self.end(name, Ending::CancelByCustomer, Actor::Customer)),
            ["patch", name, ..] => Some(self.patch(name, options)),
            ["sync", name] => {
                let id = self.payments[name];
                self.act(move |tx, moment| payments::ask_now(tx, SCOPE, id, moment)).unwrap();
                None
            }
            ["wait", delay] => {
                self.wait_until(self.now.plus(duration(delay)));
                None
            }
            ["expire", name] => {
                let id = self.payments[name];
                self.act(move |tx, moment| payments::expire(tx, SCOPE, id, moment)).unwrap();
                None
            }
            ["begin", name] if self.refund_id(name).is_some() => {
                let refund = self.refund_record(name);
                self.begun_refunds.insert(refund.id, refund.step);
                None
            }
            ["redirect", name, to] => Some(self.redirect(name, to)),
            ["paid", name, note] => Some(self.paid_outside(name, note)),
            ["restart"] => {
                self.act(|tx, moment| Ok(refunds::perhaps_sent(tx, moment.now)?)).unwrap();
                None
            }
            ["begin", name] => {
                let attempt = self.attempt(name);
                self.begun.insert(attempt.id, attempt.step);
                None
            }
            ["answer" | "notify", name, ..] if self.refund_id(name).is_some() => {
                Some(self.hear_refund(name, words[0] == "answer", options))
            }
            ["answer" | "notify", name, ..] => Some(self.hear(name, words[0] == "answer", options)),
            ["refund", name, payment, ..] => Some(self.refund(name, payment, &words[3..])),
            ["decide", name, decision, ..] => Some(self.decide(name, decision, &words[3..])),
            ["may", name, ..] => {
                let line = line_number(options);
                let choices = self.open_case(name).choices.get(line).copied().unwrap_or_default();
                let expected = words[2..].join(" ");
                let expected = expected.split_once(" line").map_or(expected.as_str(), |(before, _)| before);
                assert_eq!(spoken_choices(choices), expected, "in {line:?}");
                None
            }
            ["next", name, ..] => {
                assert_eq!(self.next(name), options.join(" "), "in {line:?}");
                None
            }
            ["books", ..] => {
                assert_eq!(self.books(), words[1..].join(" "), "in {line:?}");
                None
            }
            ["shows", name, ..] => {
                assert_eq!(self.shows(name), options.join(" "), "in {line:?}");
                None
            }
            ["events", name, ..] => {
                assert_eq!(self.events(name), options.join(" "), "in {line:?}");
                None
            }
            ["told", name, ..] => {
                assert_eq!(self.told(name), options.join(" "), "in {line:?}");
                None
            }
            ["cases", name, ..] => {
                assert_eq!(self.cases(name), options.join(" "), "in {line:?}");
                None
            }
            ["days", ..] => {
                assert_eq!(self.days(), words[1..].join(" "), "in {line:?}");
                None
            }
            _ => panic!("not a step: {line:?}"),
        }
    }

    fn change_merchant(&mut self, words: &[&str]) {
        let mut merchant = merchant();
        if let Some(rate) = option(words, "fee") {
            let percent: f64 = rate.trim_end_matches('%').parse().unwrap();
            let rule = FeeRule { rate_ppm: (percent * 10_000.0).round() as u32, ..FeeRule::FREE };
            merchant.fees = FeeSchedule { default: rule, ..FeeSchedule::default() };
        }
        merchant.late = match option(words, "late") {
            None | Some("book") => LatePolicy::Book,
            Some("refund") => LatePolicy::Refund,
            Some("hold") => LatePolicy::Hold,
            Some(other) => panic!("not a policy: {other:?}"),
        };
        merchant.duplicate = match option(words, "duplicate") {
            None | Some("refund") => DuplicatePolicy::Refund,
            Some("hold") => DuplicatePolicy::Hold,
            Some(other) => panic!("not a policy: {other:?}"),
        };
        merchant.fee_returned_on_refund = option(words, "fees") != Some("kept");
        self.put_merchant(merchant);
    }

    fn pay(&mut self, name: &str, amount: &str, words: &[&str]) -> String {
        let currency = words.iter().find_map(|word| Currency::parse(word)).unwrap_or(Currency::CNY);
        let wallet = after(words, "by").map(method);
        let text = option(words, "text").unwrap_or("a mug").to_owned();
        let amount = Money::parse(amount, currency).unwrap();
        let mut fingerprint = [0; 16];
        let content = format!("{amount} {text}");
        fingerprint.iter_mut().zip(content.bytes()).for_each(|(slot, byte)| *slot = byte);
        let new = NewPayment {
            order_id: option(words, "order").unwrap_or(name).to_owned(),
            amount,
            description: text,
            method: wallet,
            expires_in: after(words, "for").map_or(Duration::from_minutes(30), duration),
            return_url: None,
            cancel_url: None,
            callback_url: option(words, "callback").map(str::to_owned),
            customer: Customer::default(),
            auth_code: None,
            metadata: BTreeMap::new(),
            fingerprint,
        };
        match self.act(move |tx, moment| {
            payments::create(tx, SCOPE, &new, wallet.map(|method| account(method).into()), moment)
        }) {
            Ok(created) => {
                let payment = created.payment();
                self.payments.insert(name.to_owned(), payment.id);
                let old = matches!(created, payments::Created::Existing(_));
                // What `create` answers was current before its attempt was started.
                let state = self.payment(name).state.code();
                if old { format!("{state} as before") } else { state.to_owned() }
            }
            Err(why) => refused(&why),
        }
    }

    fn choose(&mut self, name: &str, method: Method) -> String {
        let id = self.payments[name];
        match self.act(move |tx, moment| payments::choose_method(tx, SCOPE, id, method, account(method).into(), moment))
        {
            Ok(attempt) => {
                let number = self.payment(name).attempts.iter().position(|id| *id == attempt.id).unwrap() + 1;
                format!("{} {name}/{number}", self.payment(name).state.code())
            }
            Err(why) => refused(&why),
        }
    }

    fn end(&mut self, name: &str, ending: Ending, by: Actor) -> String {
        let id = self.payments[name];
        match self.act(move |tx, moment| payments::end(tx, SCOPE, id, ending, by.clone(), moment)) {
            Ok(payment) => payment.state.code().to_owned(),
            Err(why) => refused(&why),
        }
    }

    fn patch(&mut self, name: &str, words: &[&str]) -> String {
        let id = self.payments[name];
        let note = option(words, "note").map(|note| BTreeMap::from([("note".to_owned(), note.to_owned())]));
        let patch = Patch {
            description: option(words, "text").map(str::to_owned),
            metadata: note,
            expires_in: option(words, "for").map(duration),
        };
        match self.act(move |tx, moment| payments::patch(tx, SCOPE, id, &patch, SHOP, moment)) {
            Ok(payment) => payment.state.code().to_owned(),
            Err(why) => refused(&why),
        }
    }

    /// Moves the clock; Coffer's own work is done when it falls due.
    pub fn wait_until(&mut self, until: Timestamp) {
        loop {
            let due = self.read(|tx| tx.scan(&DUE, &Span::prefix(&Lane::OWN), Order::Ascending, 1));
            match due.first() {
                Some(((_, at, Effect::Expire(scope, id)), ())) if *at <= until => {
                    let (scope, id) = (*scope, *id);
                    self.now = self.now.max(*at);
                    self.act(move |tx, moment| payments::expire(tx, scope, id, moment)).unwrap();
                }
                Some(((_, at, effect), ())) if *at <= until => panic!("nobody expects {effect:?}"),
                Some(_) | None => break,
            }
        }
        self.now = self.now.max(until);
    }

    /// What was due is asked at its time, or was asked when the story said `begin`; this is the answer. Or the channel
    /// tells by itself.
    fn hear(&mut self, name: &str, answered: bool, words: &[&str]) -> String {
        let id = self.attempt(name).id;
        let source = if answered {
            let asked = self.begun.remove(&id).unwrap_or_else(|| {
                let due = self.attempt(name).follow_up.unwrap_or_else(|| panic!("nothing is due for {name}"));
                self.wait_until(due);
                self.attempt(name).step
            });
            Source::FollowUp(asked)
        } else {
            Source::Notification
        };
        let attempt = self.attempt(name);
        let observation = observation(&attempt, words);
        let before = self.snapshot(attempt.payment);
        let heard = observation.clone();
        let elsewhere =
            words.contains(&"elsewhere").then_some(Route { account: ALIPAY, why: RouteReason::OtherBarred });
        self.act(move |tx, moment| observe::observe_or_move(tx, SCOPE, id, KIND, &heard, source, elsewhere, moment))
            .unwrap();
        self.changes(attempt.payment, before)
    }

    fn hear_refund(&mut self, name: &str, answered: bool, words: &[&str]) -> String {
        let refund = self.refund_record(name);
        if answered && !self.begun_refunds.contains_key(&refund.id) {
            self.wait_until(refund.follow_up.unwrap_or_else(|| panic!("nothing is due for {name}")));
        }
        let observation = refund_observation(&refund, words);
        let before = self.snapshot(refund.payment);
        let id = refund.id;
        let asked = answered.then(|| self.begun_refunds.remove(&id).unwrap_or(refund.step));
        self.act(move |tx, moment| refunds::observe(tx, SCOPE, id, &observation, asked, moment)).unwrap();
        let mut changes = Vec::new();
        let after = self.refund_record(name).state;
        if after != refund.state {
            changes.push(after.code().to_owned());
        }
        changes.extend(self.new_cases(refund.payment, &before.1));
        if changes.is_empty() { "nothing".to_owned() } else { changes.join(", ") }
    }

    /// A person decides about the refund as it stands now.
    fn redirect(&mut self, name: &str, to: &str) -> String {
        let Refund { id: refund, version, .. } = self.refund_record(name);
        let (to, by) = (Destination::parse(to).unwrap(), UserId::from_bytes([9; 16]));
        let decision = Decided { refund, version, to, token: [7; 16], by };
        self.refund_outcome(move |tx, moment| redirects::decide_alone(tx, SCOPE, &decision, moment))
    }

    fn paid_outside(&mut self, name: &str, note: &str) -> String {
        let Refund { id, version, .. } = self.refund_record(name);
        let (note, by) = (note.to_owned(), Actor::User(UserId::from_bytes([9; 16])));
        self.refund_outcome(move |tx, moment| {
            redirects::paid_outside(tx, SCOPE, id, version, &note, by.clone(), moment)
        })
    }

    fn refund_outcome(
        &mut self,
        f: impl Fn(&mut WriteTx<'_>, &mut Moment) -> Result<Refund, FlowError> + Send + 'static,
    ) -> String {
        match self.act(f) {
            Ok(refund) => refund.state.code().to_owned(),
            Err(why) => refused(&why),
        }
    }

    fn snapshot(&self, id: PaymentId) -> (Payment, BTreeSet<String>) {
        let payment = self.read(|tx| tx.get(&PAYMENTS, &(SCOPE, id))).unwrap();
        let cases = self.cases_of(id).iter().map(|case| case.id.to_string()).collect();
        (payment, cases)
    }

    fn changes(&self, id: PaymentId, (before, cases): (Payment, BTreeSet<String>)) -> String {
        let after = self.snapshot(id).0;
        let mut changes = Vec::new();
        if after.state != before.state {
            changes.push(format!("{}{}", after.state.code(), if after.late { " late" } else { "" }));
        }
        changes.extend(self.new_cases(id, &cases));
        if after.refunds.len() > before.refunds.len() {
            changes.push("refund".to_owned());
        }
        if changes.is_empty() { "nothing".to_owned() } else { changes.join(", ") }
    }

    fn new_cases(&self, id: PaymentId, known: &BTreeSet<String>) -> Vec<String> {
        let cases = self.cases_of(id);
        let new = cases.iter().filter(|case| !known.contains(&case.id.to_string()));
        new.map(|case| format!("case {}", case.kind.code())).collect()
    }

    fn refund(&mut self, name: &str, payment: &str, words: &[&str]) -> String {
        let id = self.payments[payment];
        let currency = words.iter().find_map(|word| Currency::parse(word)).unwrap_or(Currency::CNY);
        let amount = words.first().filter(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        let reason = option(words, "text").map(str::to_owned);
        let mut fingerprint = [0; 16];
        let content = format!("{amount:?} {reason:?}");
        let tail = content.bytes().rev();
        fingerprint.iter_mut().zip(tail).for_each(|(slot, byte)| *slot = byte);
        let new = NewRefund {
            amount: amount.map(|text| Money::parse(text, currency).unwrap()),
            refund_no: option(words, "no").map(str::to_owned),
            reason,
            metadata: BTreeMap::new(),
            fingerprint,
        };
        match self
            .act(move |tx, moment| refunds::request_within(tx, SCOPE, id, &new, SHOP, &|_| Some(REFUND_WINDOW), moment))
        {
            Ok(requested) => {
                let refund = requested.refund();
                self.refunds.insert(name.to_owned(), refund.id);
                let old = matches!(requested, refunds::Requested::Existing(_));
                if old { format!("{} as before", refund.state.code()) } else { refund.state.code().to_owned() }
            }
            Err(why) => refused(&why),
        }
    }

    fn decide(&mut self, name: &str, decision: &str, words: &[&str]) -> String {
        let id = self.case_record(name).id;
        let note = "as the channel's own page shows".to_owned();
        let decision = match decision {
            "book" => Decision::Book,
            "give_back" => Decision::GiveBack,
            "elsewhere" => Decision::PaidElsewhere { note },
            "close" => Decision::Close { note },
            other => panic!("not a decision: {other:?}"),
        };
        let line = line_number(words);
        let by = Actor::User(UserId::from_bytes([6; 16]));
        match self.act(move |tx, moment| decisions::decide(tx, SCOPE, id, line, &decision, by.clone(), moment)) {
            Ok(case) => case.state.code().to_owned(),
            Err(why) => refused(&why),
        }
    }

    /// `p1.c2` is the payment's second case.
    pub fn case_record(&self, name: &str) -> Case {
        let (payment, number) = name.split_once(".c").unwrap();
        self.cases_of(self.payments[payment])[number.parse::<usize>().unwrap() - 1].clone()
    }

    pub fn open_case(&self, name: &str) -> Open {
        let id = self.case_record(name).id;
        self.store.read_blocking(|tx| decisions::look(tx, SCOPE, id)).unwrap()
    }

    pub fn payment(&self, name: &str) -> Payment {
        let id = self.payments[name];
        self.read(|tx| tx.get(&PAYMENTS, &(SCOPE, id))).unwrap()
    }

    /// `p1` is the payment's last attempt, `p1/1` its first.
    pub fn attempt(&self, name: &str) -> Attempt {
        let (payment, number) = name.split_once('/').map_or((name, None), |(p, n)| (p, Some(n)));
        let attempts = self.payment(payment).attempts;
        let index = number.map_or(attempts.len(), |n| n.parse().unwrap()) - 1;
        self.read(|tx| tx.get(&ATTEMPTS, &(SCOPE, attempts[index]))).unwrap()
    }

    fn refund_id(&self, name: &str) -> Option<RefundId> {
        match name.split_once(".r") {
            Some((payment, number)) => Some(self.payment(payment).refunds[number.parse::<usize>().unwrap() - 1]),
            None => self.refunds.get(name).copied(),
        }
    }

    pub fn refund_record(&self, name: &str) -> Refund {
        let id = self.refund_id(name).unwrap();
        self.read(|tx| tx.get(&REFUNDS, &(SCOPE, id))).unwrap()
    }

    fn cases_of(&self, id: PaymentId) -> Vec<Case> {
        let cases = self.read(|tx| tx.scan(&CASES, &Span::prefix(&SCOPE), Order::Ascending, ROWS));
        cases.into_iter().map(|(_, case)| case).filter(|case| case.payment == id).collect()
    }

    fn next(&self, name: &str) -> String {
        let (step, due) = match self.refund_id(name) {
            Some(_) => {
                let refund = self.refund_record(name);
                (format!("{:?}", refund.step), refund.follow_up)
            }
            None => {
                let attempt = self.attempt(name);
                (format!("{:?}", attempt.step), attempt.follow_up)
            }
        };
        let mut spelt = String::new();
        for c in step.chars() {
            if c.is_uppercase() && !spelt.is_empty() {
                spelt.push('_');
            }
            spelt.extend(c.to_lowercase());
        }
        match due {
            None if spelt == "hold" => "hold".to_owned(),
            None => "nothing".to_owned(),
            Some(due) if due <= self.now => format!("{spelt} now"),
            Some(due) => format!("{spelt} in {}", spoken(due.since(self.now))),
        }
    }

    pub fn books(&self) -> String {
        let rows = self.read(|tx| tx.scan(&BALANCES, &Span::prefix(&SCOPE), Order::Ascending, ROWS));
        let mut sums: BTreeMap<(String, u16), u128> = BTreeMap::new();
        for ((_, currency, account), balance) in rows {
            let code = Account::from_bytes(account).unwrap().code();
            let currency = String::from_utf8(currency.to_vec()).unwrap();
            *sums.entry((currency, code.code())).or_default() += balance.of(code).unwrap();
        }
        let spelt = |((currency, code), minor): ((String, u16), u128)| {
            let text = decimal(minor, Currency::parse(&currency).unwrap());
            if currency == "CNY" { format!("{code} {text}") } else { format!("{code} {currency} {text}") }
        };
        let rows: Vec<String> = sums.into_iter().filter(|(_, minor)| *minor > 0).map(spelt).collect();
        if rows.is_empty() { "nothing".to_owned() } else { rows.join(", ") }
    }

    pub fn shows(&self, name: &str) -> String {
        let payment = self.payment(name);
        let mut words = payment.state.code().to_owned();
        if payment.late {
            words += " late";
        }
        if let Some(reason) = payment.reason {
            words += &format!(" {}", reason.code());
        }
        let currency = payment.amount.currency();
        for (what, minor) in [
            ("fee", payment.fee_minor),
            ("refunding", payment.refunding_minor),
            ("refunded", payment.refunded_minor),
            ("fee back", payment.fee_returned_minor),
        ] {
            if minor > 0 {
                words += &format!(", {what} {}", Money::new(minor, currency).to_decimal());
            }
        }
        words
    }

    pub fn event_records(&self, id: PaymentId) -> Vec<Event> {
        self.read(|tx| {
            let rows = tx.scan(&EVENTS_BY_PAYMENT, &Span::prefix(&(SCOPE, id)), Order::Ascending, ROWS)?;
            rows.into_iter().map(|((_, _, id), ())| Ok(event(tx, SCOPE, id)?.unwrap())).collect()
        })
    }

    pub fn events(&self, name: &str) -> String {
        let events = self.event_records(self.payments[name]);
        let codes = events.iter().map(|event| event.kind.code().trim_start_matches("payment.").to_owned());
        codes.collect::<Vec<_>>().join(", ")
    }

    pub fn told(&self, name: &str) -> String {
        let payment = self.payment(name);
        let lines = self.read(|tx| newest(tx, SCOPE, payment.id, ROWS));
        let number = |id: &AttemptId| payment.attempts.iter().position(|a| a == id).unwrap() + 1;
        let refund = |id: &RefundId| payment.refunds.iter().position(|r| r == id).unwrap() + 1;
        let line = |what: &Happening| match what {
            Happening::AttemptStarted { attempt, method } => format!("/{} {}", number(attempt), method.code()),
            Happening::CodeShown { attempt } => format!("/{} shown", number(attempt)),
            Happening::Asked { attempt, answer } => format!("/{} asked {answer}", number(attempt)),
            Happening::Notified { attempt, status } => format!("/{} notified {status}", number(attempt)),
            Happening::NotificationRefused { .. } => "notification refused".to_owned(),
            Happening::ChannelTrouble { attempt, .. } => format!("/{} trouble", number(attempt)),
            Happening::Paid { attempt, source, late } => format!(
                "/{} paid by {}{}",
                number(attempt),
                match source {
                    PaidSource::Notification => "notification",
                    PaidSource::Query => "query",
                    PaidSource::Person => "a person",
                },
                if *late { " late" } else { "" }
            ),
            Happening::AttemptEnded { attempt, reason } => format!("/{} ended {}", number(attempt), reason.code()),
            Happening::EndRequested { ending, .. } => format!("end requested {}", ending.outcome().1.code()),
            Happening::Ended { reason } => format!("ended {}", reason.code()),
            Happening::RefundRequested { refund: id, .. } => format!("refund {} requested", refund(id)),
            Happening::RefundFinished { refund: id, succeeded } => {
                format!("refund {} {}", refund(id), if *succeeded { "succeeded" } else { "failed" })
            }
            Happening::RefundUndeliverable { refund: id } => format!("refund {} undeliverable", refund(id)),
            Happening::RefundRedirected { refund: id, to, .. } => format!("refund {} to {}", refund(id), to.code()),
            Happening::RefundReturned { refund: id } => format!("refund {} returned", refund(id)),
            Happening::RefundPaidOutside { refund: id, note, .. } => format!("refund {} paid {note}", refund(id)),
            Happening::CaseOpened { .. } => "case opened".to_owned(),
            Happening::CaseChanged { .. } => "case changed".to_owned(),
            Happening::Changed { fields, .. } => format!("changed {}", fields.join(" ")),
            Happening::Routed { attempt, .. } => format!("/{} routed", number(attempt)),
        };
        lines.iter().map(|told| line(&told.what)).collect::<Vec<_>>().join(", ")
    }

    pub fn cases(&self, name: &str) -> String {
        let cases = self.cases_of(self.payments[name]);
        let words: Vec<String> = cases.iter().map(|c| format!("{} {}", c.kind.code(), c.state.code())).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(", ") }
    }

    /// Totals of all days: the day counted from the story's first, then the method, then what is not zero.
    fn days(&self) -> String {
        let rows = self.read(|tx| tx.scan(&DAYS, &Span::prefix(&SCOPE), Order::Ascending, ROWS));
        let first = coffer::flows::record::day_in_zone("Asia/Shanghai", START);
        let mut days = Vec::new();
        for ((_, day, method), totals) in rows {
            let method = Method::ALL.get(usize::from(method)).map_or("any", |m| match m {
                Method::WechatNative => "wechat",
                _ => "alipay",
            });
            let mut words = format!("day {} {method}", day - first + 1);
            for (what, count, minor) in [
                ("created", totals.created, 0),
                ("paid", totals.paid, totals.paid_minor),
                ("ended", totals.ended, 0),
                ("refunded", totals.refunded, totals.refunded_minor),
                ("healed", totals.healed, 0),
                ("late", totals.late, 0),
            ] {
                if count > 0 {
                    words += &format!(" {what} {count}");
                }
                if minor > 0 {
                    words += &format!(" {}", decimal(u128::from(minor), Currency::CNY));
                }
            }
            days.push(words);
        }
        days.join(", ")
    }

    /// What must hold after every line.
    pub fn assert_sound(&mut self, line: &str) {
        let payments = self.read(|tx| tx.scan(&PAYMENTS, &Span::prefix(&SCOPE), Order::Ascending, ROWS));
        for ((_, id), payment) in payments {
            if let Some(before) = self.seen.get(&id) {
                assert!(payment.version >= before.version, "the version fell in {line:?}");
                let changed = Payment { version: before.version, ..payment.clone() } != *before;
                assert!(!changed || payment.version > before.version, "a change without a version in {line:?}");
            }
            self.seen.insert(id, payment);
        }
        let events = self.read(|tx| {
            let rows = tx.scan(&EVENTS, &Span::prefix(&SCOPE), Order::Ascending, ROWS)?;
            rows.into_iter().map(|((_, id), stored)| stored.open(tx, SCOPE, id)).collect::<Result<Vec<_>, _>>()
        });
        for event in events {
            if let (EventType::PaymentCreated, EventObject::Payment(payment, _)) = (event.kind, &event.object) {
                let (state, attempts) = (payment.state, payment.attempts.len());
                assert_eq!((state, attempts, payment.version), (PaymentState::Open, 0, 1), "{event:?} in {line:?}");
            }
            let first = self.heard.entry(event.id).or_insert_with(|| event.clone());
            assert_eq!(*first, event, "an event was told anew in {line:?}");
        }
        let found = self.read(|tx| Ok(verify(tx, &mut |_| {}).map_err(|finding| finding.to_string())));
        assert!(found.is_ok(), "after {line:?}: {}", found.unwrap_err());
    }
}

/// `line 2` is the second; without it the first.
fn line_number(words: &[&str]) -> usize {
    after(words, "line").map_or(1, |number| number.parse::<usize>().unwrap()) - 1
}

pub fn spoken_choices(choices: Choices) -> String {
    let all = [
        (choices.book, "book"),
        (choices.give_back, "give_back"),
        (choices.paid_elsewhere, "elsewhere"),
        (choices.close, "close"),
    ];
    let words: Vec<&str> = all.into_iter().filter(|(may, _)| *may).map(|(_, word)| word).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

/// `paid 100.00 [USD] [as t7] [by stranger]`, or one word.
fn observation(attempt: &Attempt, words: &[&str]) -> Observation {
    match words[0] {
        "accepted" => Observation::Accepted { next_action: NextAction::QrCode { data: format!("pay {}", attempt.id) } },
        "not_paid" => Observation::NotPaid,
        "paid" => {
            let currency = words.iter().find_map(|word| Currency::parse(word)).unwrap_or(attempt.amount.currency());
            let own = format!("transaction of {}", attempt.id);
            Observation::Paid(PaidFacts {
                amount: Money::parse(words[1], currency).unwrap(),
                transaction_id: after(words, "as").map_or(own, str::to_owned),
                paid_at: attempt.created_at,
                identity: after(words, "by").map_or(Ok(()), |who| Err(who.to_owned())),
            })
        }
        "closed" => Observation::Closed,
        "declined" => Observation::Declined { detail: "the bank said no".to_owned() },
        "not_found" => Observation::NotFound,
        "refused" => Observation::Refused { code: "NO".to_owned(), detail: "the channel said no".to_owned() },
        "barred" => {
            let (code, detail) = ("NO".to_owned(), "the channel does not know the account".to_owned());
            Observation::Barred { code, detail, bar: Bar::Account }
        }
        "code_lost" => Observation::CodeLost { detail: "sent before".to_owned() },
        "unknown" => Observation::Unknown { detail: "no answer".to_owned() },
        other => panic!("a channel does not say {other:?}"),
    }
}

fn refund_observation(refund: &Refund, words: &[&str]) -> Observation {
    let channel_refund_id = Some("c1".to_owned());
    match words[0] {
        "processing" => Observation::RefundProcessing { channel_refund_id },
        "succeeded" => {
            let amount = words.get(1).map(|text| Money::parse(text, refund.amount.currency()).unwrap());
            Observation::RefundSucceeded { channel_refund_id, amount: amount.unwrap_or(refund.amount) }
        }
        "returned" => Observation::RefundReturned { channel_refund_id, amount: refund.amount },
        "undeliverable" => {
            Observation::RefundUndeliverable { channel_refund_id, detail: "the card is closed".to_owned() }
        }
        "failed" => Observation::RefundFailed { detail: "the card is closed".to_owned() },
        "not_found" => Observation::NotFound,
        "refused" => Observation::Refused { code: "NO".to_owned(), detail: "the channel said no".to_owned() },
        "unknown" => Observation::Unknown { detail: "no answer".to_owned() },
        other => panic!("a channel does not say {other:?} about a refund"),
    }
}
