//! Lives through the story with the real flows: time jumps from what somebody does to what is due, the queue's rows are
//! handled as the runner would, and channel and shop answer without a network. The simulated provider keeps its own
//! records of it all, so that what was paid then can be refunded now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;

use super::random::Dice;
use super::story::{self, Conduct, RefundWish, Visit};
use crate::audit::log::Stamp;
use crate::audit::{self, Action, Detail};
use crate::callbacks::breaker::State;
use crate::callbacks::{Outcome, Transcript, Trigger, USER_AGENT};
use crate::channels::{Observation, PaidFacts};
use crate::domain::event::Actor;
use crate::domain::follow::Step;
use crate::domain::ids::{AccountId, AttemptId, EndpointId, EventId, KeyId, PaymentId, RefundId, Scope, UserId};
use crate::domain::merchant::ChannelKind;
use crate::domain::method::{Flow, Method};
use crate::domain::money::{Currency, Money};
use crate::domain::payment::{Attempt, Customer, Ending, NextAction};
use crate::domain::refund::Refund;
use crate::domain::time::{Duration, Timestamp};
use crate::flows::effect::{Effect, Lane, unschedule};
use crate::flows::observe::{self, Source};
use crate::flows::payments::{self, NewPayment};
use crate::flows::refunds::{self, NewRefund};
use crate::flows::{FlowError, Moment, deliveries, record};
use crate::sandbox::wallet::PAY_PATH;
use crate::sandbox::wallet::fault::{Fault, Faults};
use crate::sandbox::wallet::model::{
    Deed, NewOrder, NewRefund as WalletRefundAsked, REFUND_TAKES, RefundStatus, Refusal, TradeState, WalletOrder,
};
use crate::store::tables::{DUE, WALLET_ORDERS, WALLET_REFUNDS};
use crate::store::{Order, Read, Span, Store, StoreError, WriteTx};

/// The shop lets its customers pay for so long.
const EXPIRES_IN: Duration = Duration::from_minutes(15);
/// Nobody comes in the last part, so that everything has come to its end when the past meets the present.
const QUIET: Duration = Duration::from_minutes(50);
/// So many days ago, at this time of the day, the shop's server was down for a while.
const OUTAGE_AGE: u32 = 6;
const OUTAGE: (Duration, Duration) = (Duration::from_minutes(14 * 60 + 10), Duration::from_minutes(14 * 60 + 35));

/// Whose past it is.
#[derive(Clone, Debug)]
pub struct Cast {
    pub scope: Scope,
    pub account: AccountId,
    /// The merchant's numbers at the simulated provider.
    pub mch_id: String,
    pub app_id: String,
    pub endpoint: EndpointId,
    /// Where the server was reached then, without a slash at the end.
    pub base_url: String,
    pub shop_url: String,
    pub callback_url: String,
    pub person: UserId,
    pub key: KeyId,
}

/// Writes the past of `days` days up to `now` and tells how many days are done.
pub fn live(
    store: &Store,
    cast: &Cast,
    days: u32,
    now: Timestamp,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), FlowError> {
    live_with(store, cast, days, now, |_| true, progress)
}

/// The same with some of the visits only.
fn live_with(
    store: &Store,
    cast: &Cast,
    days: u32,
    now: Timestamp,
    comes: impl Fn(&Visit) -> bool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), FlowError> {
    let today = story::day_of(now);
    let mut world = World::new(cast.clone(), today);
    for age in (0..=days).rev() {
        let visits = story::visits(today, age, days);
        let begin = beginning(days, now);
        let end = now.minus(QUIET);
        for visit in visits.into_iter().filter(|visit| begin <= visit.at && visit.at < end && comes(visit)) {
            world.plan(visit.at, Act::Comes(Arc::new(visit)));
        }
        let until = if age == 0 { now } else { story::midnight(today - age + 1) };
        // A day is one commit: the closure may run again, so it works on a copy of the world.
        world = store.write_blocking(move |tx| {
            let mut world = world.clone();
            world.run(tx, until)?;
            Ok::<_, FlowError>(world)
        })?;
        progress(u64::from(days - age) + 1, u64::from(days) + 1);
    }
    Ok(())
}

/// When the past of `days` days begins.
pub fn beginning(days: u32, now: Timestamp) -> Timestamp {
    now.minus(Duration::from_days(u64::from(days)))
}

/// Something that somebody outside does.
#[derive(Clone, Debug)]
enum Act {
    Comes(Arc<Visit>),
    /// The first or the second method of a visit.
    Chooses(PaymentId, Arc<Visit>, Choice),
    /// The customer does something on the phone; whether the channel's notification arrives.
    Does(AttemptId, Deed, bool),
    /// The channel's notification arrives.
    Told(AttemptId),
    Cancels(PaymentId),
    Refunds(PaymentId, RefundWish, String),
    RefundTold(RefundId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    First,
    Second,
}

#[derive(Clone)]
struct World {
    cast: Cast,
    now: Timestamp,
    dice: Dice,
    agenda: BTreeMap<(Timestamp, u64), Act>,
    acts: u64,
    /// Refunds that the channel will refuse.
    hopeless: BTreeSet<PaymentId>,
    outage: (Timestamp, Timestamp),
}

impl World {
    fn new(cast: Cast, today: u32) -> Self {
        let that_day = story::midnight(today.saturating_sub(OUTAGE_AGE));
        Self {
            cast,
            now: Timestamp::MIN,
            dice: Dice::new(story::SEED, u64::MAX),
            agenda: BTreeMap::new(),
            acts: 0,
            hopeless: BTreeSet::new(),
            outage: (that_day.plus(OUTAGE.0), that_day.plus(OUTAGE.1)),
        }
    }

    fn plan(&mut self, at: Timestamp, act: Act) {
        self.acts += 1;
        self.agenda.insert((at, self.acts), act);
    }

    fn moment(&mut self) -> Moment {
        Moment::at(self.now, self.dice.bytes())
    }

    /// Does everything that comes before `until`, in order of time.
    fn run(&mut self, tx: &mut WriteTx<'_>, until: Timestamp) -> Result<(), FlowError> {
        loop {
            let due = self.next_due(tx)?;
            let act = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let act_first = match (act, &due) {
                (Some(act), Some((at, ..))) => act <= *at,
                (act, _) => act.is_some(),
            };
            if act_first {
                if act.is_none_or(|at| at >= until) {
                    return Ok(());
                }
                let Some(((at, _), act)) = self.agenda.pop_first() else { return Ok(()) };
                self.now = self.now.max(at);
                self.act(tx, act)?;
            } else {
                let Some((at, row)) = due.filter(|(at, _)| *at < until) else { return Ok(()) };
                self.now = self.now.max(at);
                self.handle(tx, row)?;
            }
        }
    }

    /// The earliest row of the queue, with the time at which the runner would have its answer.
    fn next_due(&mut self, tx: &WriteTx<'_>) -> Result<Option<(Timestamp, Row)>, FlowError> {
        let mut first: Option<(Timestamp, Row)> = None;
        for lane in [Lane::OWN, Lane::account(self.cast.account), Lane::endpoint(self.cast.endpoint)] {
            for ((lane, at, effect), ()) in tx.scan(&DUE, &Span::prefix(&lane), Order::Ascending, 1)? {
                let mut when = at;
                if matches!(effect, Effect::Deliver(..)) {
                    let endpoint = deliveries::endpoint(tx, self.cast.scope, self.cast.endpoint)?;
                    if let Some(State::Open { until }) = endpoint.map(|e| e.breaker.state(at.max(self.now))) {
                        when = until;
                    }
                }
                if first.as_ref().is_none_or(|(earliest, _)| when < *earliest) {
                    first = Some((when, (lane, at, effect)));
                }
            }
        }
        Ok(first)
    }

    /// Handles a row as the runner does; its answer takes a moment.
    fn handle(&mut self, tx: &mut WriteTx<'_>, (lane, at, effect): Row) -> Result<(), FlowError> {
        match effect {
            Effect::FollowAttempt(scope, id) => {
                self.pass(40, 190);
                let attempt = record::attempt(tx, scope, id)?;
                let answer = self.answer(tx, &attempt)?;
                let kind = ChannelKind::TestWallet;
                observe::observe(tx, scope, id, kind, &answer, Source::FollowUp(attempt.step), &mut self.moment())
            }
            Effect::FollowRefund(scope, id) => {
                self.pass(60, 240);
                let refund = refunds::refund(tx, scope, id)?;
                let answer = self.refund_answer(tx, &refund)?;
                refunds::observe(tx, scope, id, &answer, Some(refund.step), &mut self.moment())
            }
            Effect::Expire(scope, id) => payments::expire(tx, scope, id, &mut self.moment()),
            Effect::Deliver(scope, event, endpoint) => {
                let transcript = self.call_shop(event);
                deliveries::sent(tx, scope, event, endpoint, at, &transcript, self.moment())
            }
            // Nobody asked for these in the past.
            Effect::Resend(..) | Effect::Upkeep(..) | Effect::Sweep => Ok(unschedule(tx, lane, at, effect)?),
        }
    }

    /// Lets some milliseconds pass, because nothing is answered at once.
    fn pass(&mut self, low: u64, high: u64) -> Duration {
        let span = Duration::from_millis(self.dice.between(low, high));
        self.now = self.now.plus(span);
        span
    }

    fn act(&mut self, tx: &mut WriteTx<'_>, act: Act) -> Result<(), FlowError> {
        let scope = self.cast.scope;
        match act {
            Act::Comes(visit) => self.comes(tx, visit),
            Act::Chooses(payment, visit, choice) => self.chooses(tx, payment, &visit, choice),
            Act::Does(attempt, deed, told) => {
                let order = self.order(tx, attempt)?;
                let order = order.advance(self.now).order.act(deed, self.now).map_err(refused)?.order;
                keep(tx, &order)?;
                if told {
                    let after = Duration::from_millis(self.dice.between(250, 1_400));
                    self.plan(self.now.plus(after), Act::Told(attempt));
                }
                Ok(())
            }
            Act::Told(attempt) => {
                let news = seen(&self.order(tx, attempt)?);
                let kind = ChannelKind::TestWallet;
                observe::observe(tx, scope, attempt, kind, &news, Source::Notification, &mut self.moment())
            }
            Act::Cancels(payment) => {
                payments::end(tx, scope, payment, Ending::CancelByCustomer, Actor::Customer, &mut self.moment())
                    .map(drop)
            }
            Act::Refunds(payment, wish, number) => self.refunds(tx, payment, wish, number),
            Act::RefundTold(id) => {
                let refund = refunds::refund(tx, scope, id)?;
                let news = self.refund_answer(tx, &refund)?;
                refunds::observe(tx, scope, id, &news, None, &mut self.moment())
            }
        }
    }

    fn comes(&mut self, tx: &mut WriteTx<'_>, visit: Arc<Visit>) -> Result<(), FlowError> {
        let by_shop = match visit.conduct {
            Conduct::Declined(method) => Some(method),
            Conduct::Pays { .. }
            | Conduct::NeverChooses
            | Conduct::Leaves(_)
            | Conduct::Cancels(_)
            | Conduct::ChangesWallet(..)
            | Conduct::DeclinedOnce(..)
            | Conduct::PaysLate(_)
            | Conduct::PaysTwice(..)
            | Conduct::WrongAmount(_) => None,
        };
        let new = NewPayment {
            order_id: visit.order_id.clone(),
            amount: Money::new(visit.amount_minor, Currency::CNY),
            description: format!("{} × {}", visit.goods, visit.pieces),
            method: by_shop,
            expires_in: EXPIRES_IN,
            return_url: Some(self.cast.shop_url.clone()),
            cancel_url: None,
            callback_url: None,
            customer: Customer { locale: Some("zh-CN".to_owned()), ..Customer::default() },
            auth_code: None,
            metadata: BTreeMap::from([
                ("item".to_owned(), visit.goods.to_owned()),
                ("pieces".to_owned(), visit.pieces.to_string()),
            ]),
            fingerprint: self.dice.bytes(),
        };
        let account = by_shop.map(|_| self.cast.account.into());
        let created = payments::create(tx, self.cast.scope, &new, account, &mut self.moment())?;
        let payment = created.payment().id;
        if let (Some(attempt), Conduct::Declined(_)) = (created.payment().current, visit.conduct) {
            self.plan(self.now.plus(visit.acts_after), Act::Does(attempt, Deed::Refuse, true));
        }
        if !matches!(visit.conduct, Conduct::Declined(_) | Conduct::NeverChooses) {
            self.plan(self.now.plus(visit.chooses_after), Act::Chooses(payment, visit, Choice::First));
        }
        Ok(())
    }

    fn chooses(
        &mut self,
        tx: &mut WriteTx<'_>,
        payment: PaymentId,
        visit: &Arc<Visit>,
        choice: Choice,
    ) -> Result<(), FlowError> {
        let (Some(first), second) = methods(visit.conduct) else { return Ok(()) };
        let method = if choice == Choice::First { first } else { second.unwrap_or(first) };
        let account = self.cast.account;
        let attempt =
            payments::choose_method(tx, self.cast.scope, payment, method, account.into(), &mut self.moment())?;
        let acts_at = self.now.plus(visit.acts_after);
        let does = |deed, told| Act::Does(attempt.id, deed, told);
        let soon = self.now.plus(Duration::from_millis(self.dice.between(9_000, 35_000)));
        let again = Act::Chooses(payment, visit.clone(), Choice::Second);
        match (visit.conduct, choice) {
            (Conduct::Pays { told, .. }, _) => self.plan(acts_at, does(Deed::Pay, told)),
            (Conduct::NeverChooses | Conduct::Declined(_) | Conduct::Leaves(_), _) => {}
            (Conduct::Cancels(_), _) => self.plan(acts_at, Act::Cancels(payment)),
            (Conduct::ChangesWallet(..), Choice::First) => self.plan(soon, again),
            (Conduct::DeclinedOnce(..), Choice::First) => {
                self.plan(soon, does(Deed::Refuse, true));
                self.plan(soon.plus(Duration::from_seconds(15)), again);
            }
            (Conduct::PaysTwice(..), Choice::First) => {
                // The wallet takes the money of a code that it has confirmed to be closed.
                self.plan(soon, again);
                self.plan(soon.plus(Duration::from_minutes(3)), does(Deed::PayLate, true));
            }
            (Conduct::ChangesWallet(..) | Conduct::DeclinedOnce(..) | Conduct::PaysTwice(..), Choice::Second) => {
                self.plan(acts_at.min(soon), does(Deed::Pay, true));
            }
            (Conduct::PaysLate(_), _) => {
                let late = attempt.expires_at.plus(Duration::from_seconds(self.dice.between(100, 230)));
                self.plan(late, does(Deed::PayLate, false));
            }
            (Conduct::WrongAmount(_), _) => self.plan(soon, does(Deed::PayWrongAmount, true)),
        }
        // The method that is paid with is the last one; a visit asks for its money back once.
        let last = second.is_none() || choice == Choice::Second;
        if let Some(wish) = visit.refund.filter(|_| last) {
            let number = format!("{}-R1", visit.order_id);
            self.plan(acts_at.plus(EXPIRES_IN).plus(wish.after), Act::Refunds(payment, wish, number));
        }
        Ok(())
    }

    fn refunds(
        &mut self,
        tx: &mut WriteTx<'_>,
        payment: PaymentId,
        wish: RefundWish,
        number: String,
    ) -> Result<(), FlowError> {
        let scope = self.cast.scope;
        let left = record::payment(tx, scope, payment)?.refundable();
        if left.is_zero() {
            return Ok(());
        }
        if wish.fails {
            self.hopeless.insert(payment);
        }
        let amount = wish.amount_minor.map(|minor| Money::new(minor.min(left.minor()), left.currency()));
        let new = NewRefund {
            amount,
            refund_no: Some(number),
            reason: Some(wish.reason.to_owned()),
            metadata: BTreeMap::new(),
            fingerprint: self.dice.bytes(),
        };
        let by = if wish.by_person { Actor::User(self.cast.person) } else { Actor::Api(self.cast.key) };
        let requested = refunds::request(tx, scope, payment, &new, by, &mut self.moment())?;
        let refund = requested.refund();
        if wish.by_person {
            let actor = audit::Actor::User(self.cast.person);
            let stamp = Stamp { at: self.now, actor, ip: "127.0.0.1".to_owned() };
            let detail = Detail::new().with("amount", refund.amount).with("payment", payment);
            stamp.record(tx, scope.merchant, Action::RefundCreated, refund.id, detail)?;
        }
        self.plan(self.now.plus(REFUND_TAKES).plus(Duration::from_millis(900)), Act::RefundTold(refund.id));
        Ok(())
    }

    /// What the channel answers to the step that is due.
    fn answer(&mut self, tx: &mut WriteTx<'_>, attempt: &Attempt) -> Result<Observation, FlowError> {
        match attempt.step {
            Step::Create => {
                let order = WalletOrder::create(self.asked(attempt), self.dice.bytes(), Faults::NONE, self.now).order;
                keep(tx, &order)?;
                Ok(Observation::Accepted { next_action: self.shown(&order) })
            }
            Step::Close => match self.order(tx, attempt.id)?.advance(self.now).order.close(self.now) {
                Ok(change) => {
                    keep(tx, &change.order)?;
                    Ok(Observation::Closed)
                }
                Err(why) => Ok(Observation::Refused { code: "ORDERPAID".to_owned(), detail: format!("{why:?}") }),
            },
            Step::Ask | Step::AskBeforeClose | Step::AskAfterClose | Step::AskLate | Step::Hold | Step::AskLost => {
                Ok(seen(&self.order(tx, attempt.id)?.advance(self.now).order))
            }
        }
    }

    fn order(&self, tx: &WriteTx<'_>, attempt: AttemptId) -> Result<WalletOrder, FlowError> {
        let order = tx.get(&WALLET_ORDERS, &attempt.bare())?;
        order.ok_or_else(|| FlowError::Books(format!("the simulated provider does not know {attempt}")))
    }

    fn asked(&self, attempt: &Attempt) -> NewOrder {
        NewOrder {
            mch_id: self.cast.mch_id.clone(),
            app_id: self.cast.app_id.clone(),
            out_trade_no: attempt.id.bare(),
            method: attempt.method,
            description: String::new(),
            amount: attempt.amount,
            expires_at: attempt.expires_at,
            notify_url: format!("{}/notify/{}", self.cast.base_url, attempt.account),
            return_url: self.cast.shop_url.clone(),
        }
    }

    /// What the customer saw.
    fn shown(&self, order: &WalletOrder) -> NextAction {
        let url = format!("{}{PAY_PATH}/{}", self.cast.base_url, BASE64URL_NOPAD.encode(&order.code));
        match order.asked.method.flow() {
            Flow::QrCode | Flow::BarCode => NextAction::QrCode { data: url },
            Flow::Redirect | Flow::App | Flow::JsApi => NextAction::Redirect { url },
        }
    }

    fn refund_answer(&mut self, tx: &mut WriteTx<'_>, refund: &Refund) -> Result<Observation, FlowError> {
        let number = refund.id.bare();
        let refund = match tx.get(&WALLET_REFUNDS, &number)? {
            Some(known) => known.advance(self.now),
            None => {
                let order = self.order(tx, refund.attempt)?;
                let asked = WalletRefundAsked {
                    mch_id: self.cast.mch_id.clone(),
                    out_trade_no: refund.attempt.bare(),
                    out_refund_no: number.clone(),
                    amount: refund.amount,
                    total: order.asked.amount,
                    reason: refund.reason.clone().unwrap_or_default(),
                    notify_url: order.asked.notify_url.clone(),
                };
                let fails = self.hopeless.contains(&refund.payment);
                let fault = if fails { Fault::RefundAbnormal } else { Fault::RefundSlow };
                let slow = WalletOrder { faults: Faults::NONE.with(fault), ..order };
                let (order, change) = slow.refund(asked, self.now).map_err(refused)?;
                keep(tx, &WalletOrder { faults: Faults::NONE, ..order })?;
                change
            }
        };
        if refund.released_minor > 0
            && let Some(order) = tx.get(&WALLET_ORDERS, &refund.refund.asked.out_trade_no)?
        {
            keep(tx, &order.release(refund.released_minor))?;
        }
        tx.put(&WALLET_REFUNDS, &number, &refund.refund)?;
        let channel_refund_id = Some(refund.refund.refund_id);
        Ok(match refund.refund.status {
            RefundStatus::Processing => Observation::RefundProcessing { channel_refund_id },
            RefundStatus::Success => {
                Observation::RefundSucceeded { channel_refund_id, amount: refund.refund.asked.amount }
            }
            RefundStatus::Abnormal => Observation::RefundFailed { detail: "ABNORMAL".to_owned() },
        })
    }

    /// The shop takes the callback, unless its server is down.
    fn call_shop(&mut self, event: EventId) -> Transcript {
        let started_at = self.now;
        let down = self.outage.0 <= started_at && started_at < self.outage.1;
        let took = if down { self.pass(3, 12) } else { self.pass(11, 95) };
        let (status, kind, reply) = if down {
            (502, "text/html", "<html><head><title>502 Bad Gateway</title></head><body></body></html>")
        } else {
            (200, "text/plain", "ok")
        };
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("user-agent", USER_AGENT.to_owned()),
            ("webhook-id", event.to_string()),
            ("webhook-timestamp", started_at.as_seconds().to_string()),
            ("webhook-signature", "v1,…".to_owned()),
        ];
        Transcript {
            trigger: Trigger::Auto,
            started_at,
            duration_ms: took.as_millis(),
            url: self.cast.callback_url.clone(),
            address: None,
            request_headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
            outcome: Outcome::Answered { status, retry_after: None },
            reply_headers: vec![("content-type".to_owned(), kind.to_owned())],
            reply_excerpt: reply.to_owned(),
            reply_cut: false,
        }
    }
}

type Row = (Lane, Timestamp, Effect);

fn methods(conduct: Conduct) -> (Option<Method>, Option<Method>) {
    match conduct {
        Conduct::NeverChooses => (None, None),
        Conduct::Pays { method, .. } => (Some(method), None),
        Conduct::Leaves(method)
        | Conduct::Cancels(method)
        | Conduct::Declined(method)
        | Conduct::PaysLate(method)
        | Conduct::WrongAmount(method) => (Some(method), None),
        Conduct::ChangesWallet(first, second)
        | Conduct::DeclinedOnce(first, second)
        | Conduct::PaysTwice(first, second) => (Some(first), Some(second)),
    }
}

/// What the channel says about an order, as its adapter reads it.
fn seen(order: &WalletOrder) -> Observation {
    match (order.state, &order.received) {
        (TradeState::NotPay | TradeState::UserPaying, _) | (TradeState::Success, None) => Observation::NotPaid,
        (TradeState::Closed, _) => Observation::Closed,
        (TradeState::PayError, _) => Observation::Declined { detail: "PAYERROR".to_owned() },
        (TradeState::Success, Some(received)) => Observation::Paid(PaidFacts {
            amount: received.amount,
            transaction_id: received.transaction_id.clone(),
            paid_at: received.at,
            identity: Ok(()),
        }),
    }
}

fn keep(tx: &mut WriteTx<'_>, order: &WalletOrder) -> Result<(), StoreError> {
    tx.put(&WALLET_ORDERS, &order.asked.out_trade_no, order)
}

/// The story asks the provider for nothing that it refuses.
fn refused(why: Refusal) -> FlowError {
    FlowError::Books(format!("the simulated provider refused the story: {why:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{MasterKey, Secret, Vault};
    use crate::domain::case::CaseKind;
    use crate::domain::endpoint::DeliveryState;
    use crate::domain::event::Happening;
    use crate::domain::ids::Mode;
    use crate::domain::payment::PaymentState;
    use crate::env::Env;
    use crate::flows::setup::NewMerchant;
    use crate::store::StoreOptions;
    use crate::store::tables::{CASES, DAYS, DELIVERIES, ENDPOINTS, PAYMENTS, TIMELINE};
    use std::ops::ControlFlow;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_432_000);

    /// A shop with one endpoint and `days` of past.
    fn lived(days: u32) -> (Store, Scope) {
        lived_until(NOW, days, |_| true)
    }

    fn lived_until(now: Timestamp, days: u32, comes: impl Fn(&Visit) -> bool) -> (Store, Scope) {
        let store = Store::open_memory(StoreOptions::default()).unwrap();
        let vault = Vault::new(&MasterKey::from_bytes([1; 32]));
        let merchant = NewMerchant::prepare(&Env::system(), &vault, "m", story::ZONE, |_| Secret::new("{}"));
        let scope = merchant.scope(Mode::Test);
        let id = EndpointId::from_bytes([9; 16]);
        let endpoint = crate::domain::endpoint::Endpoint {
            id,
            url: "http://127.0.0.1:1/callback".to_owned(),
            description: String::new(),
            events: BTreeSet::new(),
            secret: None,
            previous_secret: None,
            state: crate::domain::endpoint::EndpointState::Enabled,
            breaker: Default::default(),
            implicit: false,
            created_at: NOW,
        };
        let account = AccountId::from_bytes([8; 16]);
        store
            .write_blocking(move |tx| {
                merchant.store(tx)?;
                tx.put(&ENDPOINTS, &(scope, id), &endpoint)
            })
            .unwrap();
        let cast = Cast {
            scope,
            account,
            mch_id: "1600".to_owned(),
            app_id: "wx".to_owned(),
            endpoint: id,
            base_url: "http://127.0.0.1:1".to_owned(),
            shop_url: "http://127.0.0.1:1/shop".to_owned(),
            callback_url: "http://127.0.0.1:1/callback".to_owned(),
            person: UserId::from_bytes([7; 16]),
            key: KeyId::from_bytes([6; 16]),
        };
        live_with(&store, &cast, days, now, comes, &mut |_, _| {}).unwrap();
        (store, scope)
    }

    fn all<K: crate::store::Key, V: crate::store::Record>(
        store: &Store,
        table: &crate::store::Table<K, V>,
    ) -> Vec<(K, V)> {
        store
            .read_blocking(|tx| {
                let mut rows = Vec::new();
                tx.walk(table, &Span::all(), |key, value| {
                    rows.push((key, value));
                    Ok::<_, StoreError>(ControlFlow::Continue(()))
                })?;
                Ok::<_, StoreError>(rows)
            })
            .unwrap()
    }

    #[test]
    fn when_the_past_meets_the_present_nothing_is_overdue_and_every_callback_was_delivered() {
        let (store, _) = lived(3);
        for ((_, at, effect), ()) in all(&store, &DUE) {
            assert!(at >= NOW, "{effect:?} was due at {at}");
            assert!(matches!(effect, Effect::FollowAttempt(..)), "{effect:?} is left");
        }
        for (_, delivery) in all(&store, &DELIVERIES) {
            assert_eq!(delivery.state, DeliveryState::Delivered);
        }
    }

    #[test]
    fn every_payment_has_ended_but_the_one_with_the_wrong_amount() {
        let (store, _) = lived(3);
        let payments = all(&store, &PAYMENTS);
        let open: Vec<_> = payments.iter().filter(|(_, payment)| !payment.state.is_final()).collect();
        assert_eq!(open.len(), 1);
        let cases = all(&store, &CASES);
        assert_eq!(cases.iter().map(|(_, case)| case.kind).collect::<Vec<_>>(), [CaseKind::WrongAmount]);
        assert_eq!(cases[0].1.payment, open[0].1.id);
        assert!(payments.iter().any(|(_, payment)| payment.late), "one was paid late");
        let mut lines = all(&store, &TIMELINE).into_iter().flat_map(|((_, id, _), lines)| lines.of(id));
        let healed = |line: crate::domain::event::TimelineEntry| {
            matches!(line.what, Happening::Paid { source: crate::domain::event::PaidSource::Query, .. })
        };
        assert!(lines.any(healed), "one was found by asking");
    }

    /// What a day tells hangs on its weekday, so seven days to begin on are all there are. Only those come whose stories
    /// could become impossible: who changes the wallet or wants money back, and whatever is rare.
    #[test]
    fn the_demo_can_be_begun_on_any_day_at_any_hour() {
        let plain = |visit: &Visit| match visit.conduct {
            Conduct::Pays { .. }
            | Conduct::NeverChooses
            | Conduct::Leaves(_)
            | Conduct::Cancels(_)
            | Conduct::Declined(_) => visit.refund.is_none(),
            Conduct::ChangesWallet(..)
            | Conduct::DeclinedOnce(..)
            | Conduct::PaysLate(_)
            | Conduct::PaysTwice(..)
            | Conduct::WrongAmount(_) => false,
        };
        for day in 0..7 {
            let now = NOW.plus(Duration::from_hours(day * 27));
            let (store, _) = lived_until(now, 90, |visit| !plain(visit));
            let payments = all(&store, &PAYMENTS);
            assert!(payments.len() > 150, "{} on day {day}", payments.len());
            assert!(payments.iter().any(|(_, payment)| payment.refunded_minor > 0), "day {day}");
            assert!(all(&store, &DUE).iter().all(|((_, at, _), ())| *at >= now), "day {day}: something is overdue");
        }
    }

    #[test]
    fn the_totals_of_the_days_are_the_sums_of_the_payments() {
        let (store, _) = lived(3);
        let payments = all(&store, &PAYMENTS);
        let sum = |f: fn(&crate::store::tables::DayTotals) -> u64| -> u64 {
            all(&store, &DAYS).iter().map(|(_, totals)| f(totals)).sum()
        };
        let paid = || payments.iter().map(|(_, p)| p).filter(|p| p.state == PaymentState::Paid);
        assert_eq!(sum(|day| day.created), payments.len() as u64);
        assert_eq!(sum(|day| day.paid), paid().count() as u64);
        assert_eq!(sum(|day| day.paid_minor), paid().map(|p| p.amount.minor()).sum::<u64>());
        assert_eq!(sum(|day| day.refunded_minor), payments.iter().map(|(_, p)| p.refunded_minor).sum::<u64>());
        assert!(paid().count() * 100 > payments.len() * 80, "most visitors pay");
    }

    #[test]
    fn the_same_past_is_written_twice_the_same() {
        let ids = || all(&lived(1).0, &PAYMENTS).iter().map(|(_, p)| (p.id, p.amount, p.state)).collect::<Vec<_>>();
        assert_eq!(ids(), ids());
    }
}
