//! Does what is due: takes rows of the queue, acts outside, and commits the answer together with the row's end.
//!
//! Lanes keep effects that could delay one another apart: one per endpoint, one per channel account, one for Coffer's own
//! work. Each has its own limit, so a dead shop costs the others nothing. What is under way is known in memory only: after
//! a crash the row is still there and is done again, which every effect bears.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::effect::{Effect, Lane, unschedule};
use super::gateway::Gateway;
use super::{FlowError, Moment, accounts, deliveries, observe, payments, record, redirects, refunds, sweep};
use crate::callbacks::Trigger;
use crate::channels::hurry::NamedBy;
use crate::channels::registry::OpenAccount;
use crate::channels::{
    Bar, ChannelError, CreateOrder, Observation, Order as ChannelOrder, OrderRef, Prepared, RefundOrder,
    RefundRedirect, RefundRef, RefundTarget, Sealing, Subject, VerifiedNotification,
};
use crate::domain::follow::{RefundStep, Step};
use crate::domain::ids::{AttemptId, Mode, RefundId, Scope};
use crate::domain::merchant::ChannelKind;
use crate::domain::method::Flow;
use crate::domain::payment::{Attempt, Payment, Route, RouteReason};
use crate::domain::refund::Refund;
use crate::domain::time::{Duration, Timestamp};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::env::transport::Limits;
use crate::signals::metrics::ChannelOutcome;
use crate::store::tables::{DUE, SHOWN_CODES};
use crate::store::{Order, Read, ReadTx, Signal, Span, StoreError};

/// Calls under way to one channel account, and pieces of own work.
const PER_LANE_MAX: usize = 64;
/// So few lanes are looked at on the queue's own thread: that is shorter than handing over to another.
const LANES_READ_HERE_MAX: usize = 4;
/// How long an effect rests that could not be handled at all, so that it neither spins nor is lost.
const REST: Duration = Duration::from_seconds(60);
/// The same when the store was only busy.
const REST_BUSY: Duration = Duration::from_seconds(1);
/// A wall clock that is so much behind what the monotonic one says was set back.
const SET_BACK_MIN: Duration = Duration::from_seconds(10);
/// Planned things that are brought forward at most when the clock was set back.
const EARLY_MAX: usize = 100_000;
/// Even with nothing due, the queue is looked at this often: nothing rests on a signal alone.
const LOOK_AT_LEAST: Duration = Duration::from_seconds(30);

/// Handle to the running queue.
#[derive(Clone)]
pub struct Runner(Arc<Inner>);

struct Inner {
    gateway: Gateway,
    plan: Mutex<Plan>,
    wake: Notify,
    done: AtomicU64,
}

/// What is known about the queue in memory: when each lane is due next, and what is under way.
#[derive(Default)]
struct Plan {
    lanes: BTreeMap<Lane, LanePlan>,
    under_way: BTreeSet<Effect>,
    resting: BTreeMap<Effect, Timestamp>,
    /// May start before their time: it was told by a clock that was ahead.
    early: BTreeSet<Effect>,
    /// Wall time and monotonic milliseconds when the clocks were last looked at.
    clocks: Option<(Timestamp, u64)>,
}

#[derive(Clone, Copy)]
struct LanePlan {
    /// When to look at the lane next; `None` while there is nothing to wait for but what is under way.
    next: Option<Timestamp>,
    under_way: usize,
    /// Nothing is started before.
    rest_until: Timestamp,
    /// One at a time, until one succeeds.
    probing: bool,
}

impl Default for LanePlan {
    fn default() -> Self {
        Self { next: None, under_way: 0, rest_until: Timestamp::MIN, probing: false }
    }
}

impl LanePlan {
    /// When something can be started next, as far as is known.
    fn due(&self) -> Option<Timestamp> {
        self.next.map(|next| next.max(self.rest_until))
    }

    fn has_room(&self) -> bool {
        self.under_way < PER_LANE_MAX && !(self.probing && self.under_way > 0)
    }
}

/// Numbers for metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunnerStats {
    pub lanes: usize,
    pub under_way: usize,
    pub resting: usize,
    pub done: u64,
    /// When the oldest thing is due that has not been started, if known.
    pub next_due: Option<Timestamp>,
}

impl Runner {
    /// Prepares the runner and hears of everything that becomes due. Blocks while it finds the lanes of the queue.
    pub fn new(gateway: Gateway) -> Result<Runner, StoreError> {
        let inner = Arc::new(Inner { gateway, plan: Mutex::default(), wake: Notify::new(), done: AtomicU64::new(0) });
        let heard = Arc::downgrade(&inner);
        inner.gateway.store.on_commit(move |signals| {
            if let Some(inner) = heard.upgrade() {
                inner.hear(signals);
            }
        });
        let moment = Moment::new(&inner.gateway.env);
        let set_back = inner.gateway.store.write_blocking(move |tx| {
            refunds::perhaps_sent(tx, moment.now)?;
            sweep::ensure(tx, moment)
        })?;
        accounts::plan_upkeep(&inner.gateway)?;
        inner.find_lanes()?;
        if set_back >= SET_BACK_MIN {
            let planned = inner.gateway.store.read_blocking(|tx| planned_later(tx, moment.now))?;
            inner.bring_forward(set_back, planned);
        }
        Ok(Runner(inner))
    }

    /// Works until `stop` turns true, then waits for what is under way.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let wait = match self.turn(usize::MAX).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!("the queue cannot be read: {error}");
                    REST_BUSY
                }
            };
            tokio::select! {
                () = self.woken() => {}
                () = self.0.gateway.env.sleep(wait) => {}
                changed = stop.changed() => if changed.is_err() { break },
            }
        }
        while self.stats().under_way > 0 {
            self.woken().await;
        }
    }

    /// Starts what is due and may start, `most` effects at most; answers how long nothing else will be due. What it starts
    /// runs on its own. [`Self::run`] is this again and again; a simulation that decides about time calls it itself.
    pub async fn turn(&self, most: usize) -> Result<Duration, StoreError> {
        self.0.clone().start_due(most).await
    }

    /// Waits until something has become due or has ended since this was called last.
    pub async fn woken(&self) {
        self.0.wake.notified().await;
    }

    pub fn stats(&self) -> RunnerStats {
        let plan = self.0.plan();
        RunnerStats {
            lanes: plan.lanes.len(),
            under_way: plan.under_way.len(),
            resting: plan.resting.len(),
            done: self.0.done.load(Relaxed),
            next_due: plan.lanes.values().filter_map(|lane| lane.next).min(),
        }
    }
}

/// What became of an effect, for its lane.
enum Outcome {
    Done,
    RestEffect(Duration),
    RestLane(Timestamp),
    Probed { delivered: bool },
}

impl Inner {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, signals: &[Signal]) {
        let mut heard = false;
        let mut plan = self.plan();
        for signal in signals {
            match signal {
                Signal::Due { lane, at } => {
                    let lane = plan.lanes.entry(Lane(*lane)).or_default();
                    lane.next = Some(lane.next.map_or(*at, |next| next.min(*at)));
                    heard = true;
                }
                Signal::EndpointsChanged => {
                    // One that was switched on again does not wait for the end of its rest.
                    for lane in plan.lanes.values_mut() {
                        lane.rest_until = Timestamp::MIN;
                        lane.probing = false;
                        lane.next = Some(Timestamp::MIN);
                    }
                    heard = true;
                }
                Signal::Payment(_) | Signal::KeysChanged => {}
            }
        }
        drop(plan);
        if heard {
            self.wake.notify_one();
        }
    }

    /// Steps from lane to lane through the queue: work grows with the number of lanes, not of rows.
    fn find_lanes(&self) -> Result<(), StoreError> {
        let mut found = Vec::new();
        self.gateway.store.read_blocking(|tx| {
            let mut span = Span::all();
            while let Some(((lane, at, _), ())) = tx.scan(&DUE, &span, Order::Ascending, 1)?.pop() {
                found.push((lane, at));
                span = Span::all().after(&lane);
            }
            Ok::<_, StoreError>(())
        })?;
        let mut plan = self.plan();
        for (lane, at) in found {
            plan.lanes.entry(lane).or_default().next = Some(at);
        }
        Ok(())
    }

    /// By how much the wall clock was set back since the last look, if it was.
    fn look_at_clocks(&self, now: Timestamp) -> Option<Duration> {
        let now_ms = self.gateway.env.clock.monotonic_ms();
        let before = self.plan().clocks.replace((now, now_ms));
        let expected = before.map(|(wall, ms)| wall.plus(Duration::from_millis(now_ms.saturating_sub(ms))));
        expected.map(|expected| expected.since(now)).filter(|set_back| *set_back >= SET_BACK_MIN)
    }

    /// The clock was set back. What it planned while it was ahead would wait for as long as it was ahead, so it is done
    /// now: a question and a callback may always come early.
    fn bring_forward(&self, set_back: Duration, planned: Vec<Effect>) {
        let effects = planned.len();
        let seconds = set_back.as_seconds();
        tracing::warn!(
            seconds,
            effects,
            "the clock was set back; what was planned by it is done now. Let the machine keep its time, and see `coffer doctor`"
        );
        let mut plan = self.plan();
        plan.early.extend(planned);
        for lane in plan.lanes.values_mut() {
            lane.next = Some(Timestamp::MIN);
            lane.rest_until = Timestamp::MIN;
        }
    }

    /// Starts everything that is due and may start, up to `most` effects; answers how long nothing else will be.
    async fn start_due(self: Arc<Self>, most: usize) -> Result<Duration, StoreError> {
        let now = self.gateway.env.now();
        if let Some(set_back) = self.look_at_clocks(now) {
            let planned = self.gateway.store.read(move |tx| planned_later(tx, now)).await?;
            self.bring_forward(set_back, planned);
        }
        let under_way_max = self.plan().under_way.len().saturating_add(most).min(self.gateway.settings.in_flight_max);
        let lanes = self.lanes_to_look_at(now, under_way_max);
        if !lanes.is_empty() {
            let few = lanes.len() <= LANES_READ_HERE_MAX;
            let read = move |tx: &ReadTx| {
                let mut rows = Vec::with_capacity(lanes.len());
                for (lane, limit) in lanes {
                    rows.push((lane, tx.scan(&DUE, &Span::prefix(&lane), Order::Ascending, limit)?));
                }
                Ok::<_, StoreError>(rows)
            };
            let store = &self.gateway.store;
            let rows = if few { store.read_blocking(read)? } else { store.read(read).await? };
            for (lane, rows) in rows {
                let keys = rows.into_iter().map(|(key, ())| key).collect();
                self.start_lane(lane, keys, now, under_way_max);
            }
        }
        let plan = self.plan();
        let room = plan.under_way.len() < self.gateway.settings.in_flight_max;
        let next = plan.lanes.values().filter(|lane| room && lane.has_room()).filter_map(LanePlan::due).min();
        Ok(next.map_or(LOOK_AT_LEAST, |next| next.since(self.gateway.env.now())).min(LOOK_AT_LEAST))
    }

    /// The lanes that have something due and room for it, with the number of rows to look at. While a lane is being
    /// looked at nothing else is planned for it; signals that come meanwhile plan it again.
    fn lanes_to_look_at(&self, now: Timestamp, under_way_max: usize) -> Vec<(Lane, usize)> {
        let mut plan = self.plan();
        plan.resting.retain(|_, until| *until > now);
        let mut room = under_way_max.saturating_sub(plan.under_way.len());
        let resting = plan.resting.len();
        let mut lanes = Vec::new();
        for (id, lane) in &mut plan.lanes {
            if room == 0 {
                break;
            }
            if lane.has_room() && lane.due().is_some_and(|due| due <= now) {
                lane.next = None;
                // What is under way and what rests is still in the queue, before what can be started.
                lanes.push((*id, PER_LANE_MAX + lane.under_way + resting + 1));
                room -= 1;
            }
        }
        lanes
    }

    fn start_lane(
        self: &Arc<Self>,
        id: Lane,
        rows: Vec<(Lane, Timestamp, Effect)>,
        now: Timestamp,
        under_way_max: usize,
    ) {
        let mut started = Vec::new();
        let mut plan = self.plan();
        let Plan { lanes, under_way, resting, early, clocks: _ } = &mut *plan;
        let lane = lanes.entry(id).or_default();
        let plan_for = |lane: &mut LanePlan, at: Timestamp| {
            lane.next = Some(lane.next.map_or(at, |next| next.min(at)));
        };
        for (_, at, effect) in rows {
            if at > now && !early.contains(&effect) {
                plan_for(lane, at);
                continue;
            }
            if under_way.contains(&effect) {
                continue;
            }
            if let Some(until) = resting.get(&effect) {
                plan_for(lane, *until);
                continue;
            }
            let limit = match effect {
                Effect::Deliver(..) | Effect::Resend(..) => self.gateway.settings.per_endpoint_max,
                Effect::FollowAttempt(..)
                | Effect::FollowRefund(..)
                | Effect::Expire(..)
                | Effect::Upkeep(..)
                | Effect::Sweep => PER_LANE_MAX,
            };
            let limit = if lane.probing { 1 } else { limit };
            if lane.under_way >= limit || under_way.len() >= under_way_max {
                // Looked at again when something of this lane ends; or of any, when all together are at the limit.
                if lane.under_way < limit {
                    plan_for(lane, now);
                }
                break;
            }
            early.remove(&effect);
            under_way.insert(effect);
            lane.under_way += 1;
            started.push((at, effect));
        }
        if lane.under_way == 0 && lane.next.is_none() && lane.rest_until <= now && !lane.probing {
            lanes.remove(&id);
        }
        drop(plan);
        for (at, effect) in started {
            let this = self.clone();
            tokio::spawn(async move {
                let worker = this.clone();
                // In a task of its own, so that a panic is seen here and the lane goes on.
                let outcome = tokio::spawn(async move { worker.act(id, at, effect).await }).await;
                let outcome = outcome.unwrap_or_else(|error| {
                    tracing::error!(?effect, "an effect panicked: {error}");
                    Outcome::RestEffect(REST)
                });
                this.ended(id, effect, outcome);
            });
        }
    }

    fn ended(&self, id: Lane, effect: Effect, outcome: Outcome) {
        let now = self.gateway.env.now();
        let mut plan = self.plan();
        plan.under_way.remove(&effect);
        if let Outcome::RestEffect(rest) = outcome {
            plan.resting.insert(effect, now.plus(rest));
        }
        let lane = plan.lanes.entry(id).or_default();
        lane.under_way = lane.under_way.saturating_sub(1);
        lane.next = Some(lane.next.map_or(now, |next| next.min(now)));
        match outcome {
            Outcome::Done | Outcome::RestEffect(_) => {}
            Outcome::RestLane(until) => {
                lane.rest_until = until;
                lane.probing = true;
            }
            Outcome::Probed { delivered } => lane.probing = !delivered,
        }
        drop(plan);
        self.done.fetch_add(1, Relaxed);
        self.wake.notify_one();
    }

    async fn act(&self, lane: Lane, at: Timestamp, effect: Effect) -> Outcome {
        let gateway = &self.gateway;
        let result = match effect {
            Effect::FollowAttempt(scope, id) => follow_attempt(gateway, scope, id, at).await,
            Effect::FollowRefund(scope, id) => follow_refund(gateway, scope, id, at).await,
            Effect::Expire(scope, id) => {
                let moment = Moment::new(&gateway.env);
                gateway
                    .store
                    .write(move |tx| {
                        unschedule(tx, lane, at, effect)?;
                        payments::expire(tx, scope, id, &mut moment.clone())
                    })
                    .await
            }
            Effect::Upkeep(scope, id) => accounts::upkeep(gateway, scope, id, at).await,
            Effect::Sweep => {
                let moment = Moment::new(&gateway.env);
                gateway.store.write(move |tx| sweep::sweep(tx, at, moment)).await.map_err(FlowError::from)
            }
            Effect::Deliver(scope, event, endpoint) | Effect::Resend(scope, event, endpoint) => {
                let trigger = if matches!(effect, Effect::Deliver(..)) { Trigger::Auto } else { Trigger::Manual };
                match deliveries::send(gateway, scope, event, endpoint, at, trigger).await {
                    Ok(deliveries::Sent::Done) => return Outcome::Done,
                    Ok(deliveries::Sent::Rest(until)) => return Outcome::RestLane(until),
                    Ok(deliveries::Sent::Probed { delivered }) => return Outcome::Probed { delivered },
                    Err(error) => Err(error),
                }
            }
        };
        match result {
            Ok(()) => Outcome::Done,
            Err(FlowError::Store(StoreError::Busy)) => Outcome::RestEffect(REST_BUSY),
            Err(error) => {
                tracing::error!(?effect, "an effect could not be handled: {error}");
                Outcome::RestEffect(REST)
            }
        }
    }
}

/// Questions and callbacks that are planned for later than now. Ends of payments are not among them: customers were
/// promised their time.
fn planned_later(tx: &impl Read, now: Timestamp) -> Result<Vec<Effect>, StoreError> {
    let mut planned = Vec::new();
    tx.walk(&DUE, &Span::all(), |(_, at, effect), ()| {
        let may_be_early = match effect {
            Effect::FollowAttempt(..)
            | Effect::Upkeep(..)
            | Effect::FollowRefund(..)
            | Effect::Deliver(..)
            | Effect::Resend(..)
            | Effect::Sweep => true,
            Effect::Expire(..) => false,
        };
        if may_be_early && at > now {
            planned.push(effect);
        }
        let full = planned.len() == EARLY_MAX;
        Ok::<_, StoreError>(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(planned)
}

/// Asks or tells the channel what the attempt's step calls for, and commits the answer.
async fn follow_attempt(gateway: &Gateway, scope: Scope, id: AttemptId, at: Timestamp) -> Result<(), FlowError> {
    // On this thread, here and below: a few point reads are shorter than handing over to another.
    let (attempt, payment, brought) = gateway.store.read_blocking(|tx| {
        let attempt = record::attempt(tx, scope, id)?;
        let payment = record::payment(tx, scope, attempt.payment)?;
        let brought = tx.get(&SHOWN_CODES, &(scope, id))?;
        Ok::<_, FlowError>((attempt, payment, brought))
    })?;
    if attempt.follow_up != Some(at) {
        let lane = Lane::account(attempt.account);
        let effect = Effect::FollowAttempt(scope, id);
        return Ok(gateway.store.write(move |tx| unschedule(tx, lane, at, effect)).await?);
    }
    let account = gateway.channels.get(attempt.account);
    let from_wallet = brought.is_some() && attempt.method.flow() == Flow::JsApi;
    let observation = match &account {
        Some(open) => call(gateway, open, &attempt_order(gateway, scope, &attempt, &payment, brought)).await,
        None => Observation::unknown(&Trouble::new(TroubleKind::NoAccount, "")),
    };
    let kind = account.map_or(ChannelKind::TestWallet, |open| open.account.kind);
    let barred = matches!(observation, Observation::Barred { .. });
    let elsewhere = if barred { elsewhere(gateway, scope, &attempt, &payment, from_wallet)? } else { None };
    let moment = Moment::new(&gateway.env);
    let source = observe::Source::FollowUp(attempt.step);
    gateway
        .store
        .write(move |tx| {
            let moment = &mut moment.clone();
            observe::observe_or_move(tx, scope, id, kind, &observation, source, elsewhere, moment)
        })
        .await
}

/// Another account for a payment whose provider refuses this one: none that was tried for it. A name that a wallet gave the
/// customer is good with the account that asked for it alone.
fn elsewhere(
    gateway: &Gateway,
    scope: Scope,
    attempt: &Attempt,
    payment: &Payment,
    from_wallet: bool,
) -> Result<Option<Route>, FlowError> {
    if from_wallet {
        return Ok(None);
    }
    let attempts = gateway.store.read_blocking(|tx| {
        payment.attempts.iter().map(|id| record::attempt(tx, scope, *id)).collect::<Result<Vec<_>, FlowError>>()
    })?;
    let untried = |open: &OpenAccount| attempts.iter().all(|tried| tried.account != open.account.id);
    let lot = u32::from_le_bytes(gateway.env.random());
    let now = gateway.env.now();
    let route = gateway.channels.choose_where(scope, attempt.method, attempt.amount, now, lot, untried);
    Ok(route.map(|route| Route { why: RouteReason::OtherBarred, ..route }))
}

fn order_ref(attempt: &Attempt) -> OrderRef {
    OrderRef {
        attempt: attempt.id,
        method: attempt.method,
        created_at: attempt.created_at,
        expires_at: attempt.expires_at,
        transaction_id: attempt.transaction_id.clone(),
    }
}

fn notify_url(gateway: &Gateway, attempt: &Attempt) -> String {
    let base = match gateway.channels.get(attempt.account).map(|open| open.account.scope.mode) {
        // The simulated providers are this server: they need not know the public name.
        Some(Mode::Test) => &gateway.settings.own_url,
        Some(Mode::Live) | None => &gateway.settings.public_url,
    };
    format!("{base}/notify/{}", attempt.account)
}

fn attempt_order(
    gateway: &Gateway,
    scope: Scope,
    attempt: &Attempt,
    payment: &Payment,
    brought: Option<String>,
) -> ChannelOrder {
    let (auth_code, openid) = match attempt.method.flow() {
        Flow::JsApi => (None, brought.or_else(|| payment.customer.openid.clone())),
        Flow::BarCode => (brought, None),
        Flow::QrCode | Flow::Redirect | Flow::App => (None, None),
    };
    match attempt.step {
        Step::Create => ChannelOrder::Create(CreateOrder {
            attempt: attempt.id,
            method: attempt.method,
            amount: attempt.amount,
            description: payment.description.clone(),
            created_at: attempt.created_at,
            expires_at: attempt.expires_at,
            notify_url: notify_url(gateway, attempt),
            // Through the cashier, which asks the channel: coming back from a wallet proves nothing.
            return_url: format!("{}/return", gateway.checkout_url(scope, payment.id)),
            customer_ip: payment.customer.ip,
            openid,
            auth_code,
        }),
        Step::Ask | Step::AskBeforeClose | Step::AskAfterClose | Step::AskLate | Step::Hold | Step::AskLost => {
            ChannelOrder::Query(order_ref(attempt))
        }
        Step::Close => ChannelOrder::Close(order_ref(attempt)),
    }
}

/// Sends the refund or asks about it, and commits the answer.
async fn follow_refund(gateway: &Gateway, scope: Scope, id: RefundId, at: Timestamp) -> Result<(), FlowError> {
    let (refund, attempt, redirect) = gateway.store.read_blocking(|tx| {
        let refund = refunds::refund(tx, scope, id)?;
        let attempt = record::attempt(tx, scope, refund.attempt)?;
        let redirect = match refund.step {
            RefundStep::Redirect => redirects::last(tx, scope, id)?,
            RefundStep::Send | RefundStep::Ask | RefundStep::AskRefused | RefundStep::AskRedirected => None,
        };
        Ok::<_, FlowError>((refund, attempt, redirect))
    })?;
    if refund.follow_up != Some(at) {
        let lane = Lane::account(refund.account);
        let effect = Effect::FollowRefund(scope, id);
        return Ok(gateway.store.write(move |tx| unschedule(tx, lane, at, effect)).await?);
    }
    let target = redirect.and_then(|redirect| redirects::target(&redirect, &gateway.envelopes, gateway.env.now()));
    let order = refund_order(gateway, &refund, &attempt, target.as_ref());
    let observation = match (gateway.channels.get(refund.account), order) {
        (Some(_), Some(_)) if is_too_late(gateway, &refund, &attempt) => Observation::Refused {
            code: "refund_window_over".to_owned(),
            detail: Trouble::new(TroubleKind::TooLate, "").to_string(),
        },
        (Some(open), Some(order)) => call(gateway, &open, &order).await,
        (Some(_), None) => Observation::unknown(&Trouble::new(TroubleKind::NoCard, "")),
        (None, _) => Observation::unknown(&Trouble::new(TroubleKind::NoAccount, "")),
    };
    let observation = redirects::without_card(observation, target.as_ref());
    let (moment, asked) = (Moment::new(&gateway.env), Some(refund.step));
    gateway.store.write(move |tx| refunds::observe(tx, scope, id, &observation, asked, &mut moment.clone())).await
}

/// A refund that the channel kept putting off, as for want of money, is not sent for ever. The first sending always goes out:
/// whether that is too late, the channel says.
fn is_too_late(gateway: &Gateway, refund: &Refund, attempt: &Attempt) -> bool {
    let until = attempt.paid_at.zip(gateway.channels.refund_window(refund.account));
    let over = until.is_some_and(|(paid, window)| paid.plus(window) < gateway.env.now());
    over && refund.step == RefundStep::Send && refund.queries > 0
}

/// `None`: there is nothing to say any more.
fn refund_order(
    gateway: &Gateway,
    refund: &Refund,
    attempt: &Attempt,
    target: Option<&RefundTarget>,
) -> Option<ChannelOrder> {
    let about = RefundRef {
        refund: refund.id,
        created_at: refund.created_at,
        order: order_ref(attempt),
        channel_refund_id: refund.channel_refund_id.clone(),
    };
    Some(match refund.step {
        RefundStep::Send => ChannelOrder::Refund(RefundOrder {
            about,
            amount: refund.amount,
            total: attempt.amount,
            reason: refund.reason.clone(),
            notify_url: notify_url(gateway, attempt),
        }),
        RefundStep::Ask | RefundStep::AskRefused | RefundStep::AskRedirected => ChannelOrder::QueryRefund(about),
        RefundStep::Redirect => ChannelOrder::RedirectRefund(RefundRedirect { about, to: target?.clone() }),
    })
}

/// One exchange with a channel. Whatever goes wrong is an unknown outcome, never a failed payment.
async fn call(gateway: &Gateway, open: &OpenAccount, order: &ChannelOrder) -> Observation {
    let sealing = Sealing { now: gateway.env.now(), nonce: gateway.env.random() };
    let request = match open.channel.request(order, &sealing) {
        Ok(Prepared::Show(next_action)) => return Observation::Accepted { next_action },
        Ok(Prepared::Call(request)) => request,
        // Nothing was sent, and nothing ever will be: that is an answer.
        Err(error @ ChannelError::Unfit { .. }) => {
            return Observation::Refused { code: "unfit".to_owned(), detail: error.trouble().to_string() };
        }
        Err(error) => return Observation::unknown(&error.trouble()),
    };
    let policy = gateway.provider_policy(open.account.scope.mode);
    let clock = gateway.env.clock.as_ref();
    let started_ms = clock.monotonic_ms();
    let observation = match gateway.transport.send(request, policy, Limits::default()).await {
        Ok(response) => match open.channel.read_response(order, &response, gateway.env.now()) {
            Ok(observation) => observation,
            Err(error) => {
                gateway.note_unread(&open.account, &error, NamedBy::Answer).await;
                Observation::unknown(&error.trouble())
            }
        },
        // The class and not the sentence: that one is for whoever entered the address.
        Err(error) => {
            let kind = if error.may_have_arrived() { TroubleKind::NoAnswer } else { TroubleKind::Unreachable };
            Observation::unknown(&Trouble::new(kind, error.class()))
        }
    };
    let took = Duration::from_millis(clock.monotonic_ms().saturating_sub(started_ms));
    let is_unknown = matches!(observation, Observation::Unknown { .. });
    let outcome = if is_unknown { ChannelOutcome::Unknown } else { ChannelOutcome::Answered };
    match &observation {
        Observation::Barred { bar: Bar::Account, .. } => gateway.channels.bar(open.account.id, gateway.env.now()),
        _ => gateway.channels.report(open.account.id, !is_unknown, gateway.env.now()),
    }
    gateway.outgoing.channel(open.account.kind.code(), operation(order), outcome, took);
    observation
}

/// The word for metrics.
fn operation(order: &ChannelOrder) -> &'static str {
    match order {
        ChannelOrder::Create(_) => "create",
        ChannelOrder::Query(_) => "query",
        ChannelOrder::Close(_) => "close",
        ChannelOrder::Refund(_) => "refund",
        ChannelOrder::QueryRefund(_) => "query_refund",
        ChannelOrder::RedirectRefund(_) => "redirect_refund",
    }
}

/// Commits what a verified notification says. `Ok(false)`: it names nothing of this merchant, so nothing was done.
pub async fn notified(
    gateway: &Gateway,
    open: &OpenAccount,
    notification: VerifiedNotification,
) -> Result<bool, FlowError> {
    let (scope, account, kind) = (open.account.scope, open.account.id, open.account.kind);
    let moment = Moment::new(&gateway.env);
    gateway
        .store
        .write(move |tx| {
            let observation = notification.observation();
            match notification.about() {
                Subject::Order(id) => {
                    // An order of one account is never settled by a message of another.
                    let known = tx.get(&crate::store::tables::ATTEMPTS, &(scope, id))?;
                    if known.is_none_or(|attempt| attempt.account != account) {
                        return Ok(false);
                    }
                    let source = observe::Source::Notification;
                    observe::observe(tx, scope, id, kind, observation, source, &mut moment.clone())?;
                }
                Subject::Refund(id) => {
                    let known = tx.get(&crate::store::tables::REFUNDS, &(scope, id))?;
                    if known.is_none_or(|refund| refund.account != account) {
                        return Ok(false);
                    }
                    refunds::observe(tx, scope, id, observation, None, &mut moment.clone())?;
                }
            }
            Ok(true)
        })
        .await
}
