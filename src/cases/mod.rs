//! Acceptance cases (验收用例): small named stories in test mode that show whether a shop's integration holds. A case
//! creates payments, plays payer and channel, watches what Coffer makes of it and what the shop answers to its callbacks,
//! and says what to fix.
//!
//! Runs live in the server; the API, the console and `coffer cases` start them and read their reports. A run belongs to
//! test mode, whatever asks for it, and a merchant has one at a time.

/// Which cases there are, and what they can find.
pub mod catalogue;
/// What answers and records mean.
pub mod judge;
/// The report as others read it.
pub mod report;
/// A run and its outcomes, as they are kept.
pub mod run;
/// The shop's addresses and what they answer.
mod shop;
/// Payers, channels and orders.
pub mod stage;
/// Cases that play a payment.
mod stories;
/// Cases about callbacks.
mod variants;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use self::catalogue::{Code, Fault};
use self::run::{Finding, Notes, Outcome, RUNS_KEPT, Run, Said, State, Weight};
use self::shop::Shop;
use self::stage::{Payer, Stage, Trouble};
use crate::domain::ids::{MerchantId, Mode, RunId, Scope};
use crate::domain::time::Duration;
use crate::flows::FlowError;
use crate::flows::gateway::Gateway;
use crate::flows::verify::verify_scope;
use crate::store::tables::ACCEPTANCE_RUNS;
use crate::store::{Order, Read, Span, StoreError, WriteTx};

/// How long one case may take: its payments, and the shop's answers to their callbacks.
const CASE_MAX: Duration = Duration::from_minutes(3);
/// How long a run may take.
const RUN_MAX: Duration = Duration::from_minutes(15);

/// Starts runs and carries them out. Clones share it.
#[derive(Clone)]
pub struct Cases(Arc<Inner>);

struct Inner {
    gateway: Gateway,
    payer: Arc<dyn Payer>,
    plan: Mutex<Plan>,
    bell: Notify,
}

#[derive(Default)]
struct Plan {
    /// The run of each merchant that has one.
    active: BTreeMap<MerchantId, RunId>,
    /// Runs that are to begin.
    waiting: VecDeque<(Scope, Place)>,
}

/// A merchant's place for a run. Given back when it is dropped.
pub struct Place {
    cases: Cases,
    scope: Scope,
    run: RunId,
}

impl Place {
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The run is stored: let it begin.
    pub fn begin(self) {
        let inner = self.cases.0.clone();
        inner.plan().waiting.push_back((self.scope, self));
        inner.bell.notify_one();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut plan = self.cases.0.plan();
        if plan.active.get(&self.scope.merchant) == Some(&self.run) {
            plan.active.remove(&self.scope.merchant);
        }
    }
}

impl Inner {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stores a new run; the oldest ones make room.
pub fn store(tx: &mut WriteTx<'_>, scope: Scope, run: &Run) -> Result<(), StoreError> {
    let known = tx.scan(&ACCEPTANCE_RUNS, &Span::prefix(&scope), Order::Descending, RUNS_KEPT * 2)?;
    for (key, _) in known.into_iter().filter(|((_, id), _)| *id != run.id).skip(RUNS_KEPT - 1) {
        tx.delete(&ACCEPTANCE_RUNS, &key)?;
    }
    tx.put(&ACCEPTANCE_RUNS, &(scope, run.id), run)
}

impl Cases {
    pub fn new(gateway: Gateway, payer: Arc<dyn Payer>) -> Self {
        Self(Arc::new(Inner { gateway, payer, plan: Mutex::default(), bell: Notify::new() }))
    }

    /// A place for a new run of this merchant in test mode; none in live mode, and while another one is under way.
    pub fn place(&self, scope: Scope) -> Option<Place> {
        if scope.mode != Mode::Test {
            return None;
        }
        let env = &self.0.gateway.env;
        let run = RunId::new(env.now(), env.random());
        let mut plan = self.0.plan();
        if plan.active.contains_key(&scope.merchant) {
            return None;
        }
        plan.active.insert(scope.merchant, run);
        drop(plan);
        Some(Place { cases: self.clone(), scope, run })
    }

    /// A run as it stands.
    pub async fn get(&self, scope: Scope, id: RunId) -> Result<Option<Run>, StoreError> {
        let before = self.active(scope);
        let run = self.0.gateway.store.read(move |tx| tx.get(&ACCEPTANCE_RUNS, &(scope, id))).await?;
        Ok(run.map(|run| self.as_it_is(scope, before, run)))
    }

    /// The newest runs first, at most [`RUNS_KEPT`].
    pub async fn newest(&self, scope: Scope) -> Result<Vec<Run>, StoreError> {
        let before = self.active(scope);
        let read = self.0.gateway.store.read(move |tx| {
            let rows = tx.scan(&ACCEPTANCE_RUNS, &Span::prefix(&scope), Order::Descending, RUNS_KEPT)?;
            Ok::<_, StoreError>(rows.into_iter().map(|(_, run)| run).collect::<Vec<_>>())
        });
        Ok(read.await?.into_iter().map(|run| self.as_it_is(scope, before, run)).collect())
    }

    fn active(&self, scope: Scope) -> Option<RunId> {
        self.0.plan().active.get(&scope.merchant).copied()
    }

    /// What a process left behind that is gone was interrupted. `before` is what was active before the run was read: one that
    /// ends between the reading and now was alive when it was read.
    fn as_it_is(&self, scope: Scope, before: Option<RunId>, run: Run) -> Run {
        let lives = [before, self.active(scope)].contains(&Some(run.id));
        match run.state {
            State::Running if !lives => Run { state: State::Interrupted, ..run },
            State::Running | State::Finished | State::Interrupted => run,
        }
    }

    /// Carries runs out until `stop` turns true; those under way are then interrupted and kept as far as they came.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut under_way = JoinSet::new();
        while !*stop.borrow() {
            while let Some((scope, place)) = { self.0.plan().waiting.pop_front() } {
                let (cases, stop) = (self.clone(), stop.clone());
                under_way.spawn(async move { cases.carry_out(scope, place, stop).await });
            }
            tokio::select! {
                () = self.0.bell.notified() => {}
                Some(ended) = under_way.join_next() => if let Err(bug) = ended { tracing::error!("a run of cases panicked: {bug}") },
                changed = stop.changed() => if changed.is_err() { break },
            }
        }
        while under_way.join_next().await.is_some() {}
    }

    async fn carry_out(&self, scope: Scope, place: Place, mut stop: watch::Receiver<bool>) {
        let id = place.run();
        let stopped = async {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => {}
                () = self.0.gateway.env.sleep(RUN_MAX) => {}
            }
        };
        let done = tokio::select! {
            done = self.conduct(scope, id) => done.map(|()| State::Finished),
            () = stopped => Ok(State::Interrupted),
        };
        let state = done.unwrap_or_else(|error| {
            tracing::error!(run = %id, "a run of cases ended early: {error}");
            State::Interrupted
        });
        let now = self.0.gateway.env.now();
        let ended = self.change(scope, id, move |run| {
            run.state = state;
            run.ended_at = Some(now);
        });
        if let Err(error) = ended.await {
            tracing::warn!(run = %id, "the end of a run of cases could not be stored: {error}");
        }
        drop(place);
    }

    async fn change(
        &self,
        scope: Scope,
        id: RunId,
        change: impl Fn(&mut Run) + Send + 'static,
    ) -> Result<(), StoreError> {
        let write = self.0.gateway.store.write(move |tx| {
            let Some(mut run) = tx.get(&ACCEPTANCE_RUNS, &(scope, id))? else { return Ok(()) };
            change(&mut run);
            tx.put(&ACCEPTANCE_RUNS, &(scope, id), &run)
        });
        write.await
    }

    /// Case after case, each kept when it is over.
    async fn conduct(&self, scope: Scope, id: RunId) -> Result<(), StoreError> {
        let gateway = self.0.gateway.clone();
        let Some(run) = self.get(scope, id).await? else { return Ok(()) };
        let clock = gateway.env.clock.clone();
        let stage = Stage::new(gateway, self.0.payer.clone(), scope, id, run.callback_url.clone());
        let mut shop = None;
        for code in run.wanted {
            let since = clock.monotonic_ms();
            let mut notes = Notes::default();
            let played = tokio::time::timeout(CASE_MAX.to_std(), play(code, &stage, &mut shop, &mut notes)).await;
            match played.unwrap_or(Err(Trouble::Stuck)) {
                Ok(()) => {}
                Err(Trouble::NotOffered) => notes
                    .skip(Said::new("测试模式的渠道没有这种方式。", "The channels of test mode do not offer this.")),
                Err(Trouble::Stuck) => {
                    notes.find(Finding { fault: Fault::Stuck, weight: Weight::Fail, url: None, seen: None })
                }
                Err(Trouble::Flow(FlowError::Store(error))) => return Err(error),
                Err(Trouble::Flow(error @ (FlowError::Refused(_) | FlowError::Books(_)))) => {
                    let seen = Some(Said::new(error.to_string(), error.to_string()));
                    notes.find(Finding { fault: Fault::WrongState, weight: Weight::Fail, url: None, seen });
                }
            }
            let outcome = notes.close(code, clock.monotonic_ms().saturating_sub(since));
            self.change(scope, id, move |run: &mut Run| keep(run, &outcome)).await?;
        }
        Ok(())
    }
}

fn keep(run: &mut Run, outcome: &Outcome) {
    if run.outcomes.iter().all(|known| known.code != outcome.code) {
        run.outcomes.push(outcome.clone());
    }
}

/// Plays one case. The shop is met by the first that needs it.
async fn play(code: Code, stage: &Stage, met: &mut Option<Shop>, notes: &mut Notes) -> Result<(), Trouble> {
    if code == Code::Books {
        return books(stage, notes).await;
    }
    let shop = match met {
        Some(shop) => shop,
        None => met.insert(Shop::meet(stage).await?),
    };
    match code {
        Code::Endpoint => variants::endpoint(shop, notes),
        Code::Delivery => variants::delivery(shop, notes),
        Code::Paid => stories::paid(stage, shop, notes).await?,
        Code::Declined => stories::declined(stage, shop, notes).await?,
        Code::Canceled => stories::canceled(stage, shop, notes).await?,
        Code::Expired => stories::expired(stage, shop, notes).await?,
        Code::Late => stories::late(stage, shop, notes).await?,
        Code::LostNotification => stories::lost_notification(stage, shop, notes).await?,
        Code::DuplicateNotification => stories::duplicate_notification(stage, shop, notes).await?,
        Code::WrongAmount => stories::wrong_amount(stage, shop, notes).await?,
        Code::ChannelOutage => stories::channel_outage(stage, shop, notes).await?,
        Code::Barcode => stories::barcode(stage, shop, notes).await?,
        Code::BarcodeCanceled => stories::barcode_canceled(stage, shop, notes).await?,
        Code::Refund => stories::refund(stage, shop, notes).await?,
        Code::PartialRefunds => stories::partial_refunds(stage, shop, notes).await?,
        Code::RefundFailed => stories::refund_failed(stage, shop, notes).await?,
        Code::Repeated => variants::repeated(stage, shop, notes).await,
        Code::Parallel => variants::parallel(stage, shop, notes).await,
        Code::Reordered => variants::reordered(stage, shop, notes).await,
        Code::Forged => variants::forged(stage, shop, notes).await,
        Code::Unsigned => variants::unsigned(stage, shop, notes).await,
        Code::Tampered => variants::tampered(stage, shop, notes).await,
        Code::Stale => variants::stale(stage, shop, notes).await,
        Code::UnknownEvent => variants::unknown_event(stage, shop, notes).await,
        Code::UnknownFields => variants::unknown_fields(stage, shop, notes).await,
        Code::Large => variants::large(stage, shop, notes).await,
        Code::Books => unreachable!("answered above"),
    }
    Ok(())
}

/// Recomputes everything that test mode has booked.
async fn books(stage: &Stage, notes: &mut Notes) -> Result<(), Trouble> {
    let (store, scope) = (stage.gateway.store.clone(), stage.scope);
    let verified = tokio::task::spawn_blocking(move || verify_scope(&store, scope, &mut |_| {})).await;
    if let Err(finding) = verified.map_err(|_| Trouble::Stuck)? {
        let seen = Some(Said::new(finding.to_string(), finding.to_string()));
        notes.find(Finding { fault: Fault::WrongBooks, weight: Weight::Fail, url: None, seen });
    }
    Ok(())
}
