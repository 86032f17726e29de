//! One seed: what happens step by step, how the process dies in between, and how everything calms down.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::clock::{SimulatedClock, SimulatedEntropy};
use super::dice::Dice;
use super::house::{Ground, House, Turn, endpoint_of, moods};
use super::log::ErrorLog;
use super::model::{Late, Model, News, Policy, Word};
use super::poller::Poller;
use super::provider::{APP, MERCHANT, Provider};
use super::requests::Request;
use super::shop::{Mood, Shop};
use super::town::{Belief, Contract, Town};
use super::wire::{Letter, MISHAPS, Outside, Silent, Wire};
use super::{Flaw, Plan};
use crate::channels::Inbound;
use crate::channels::test_wallet::Credentials;
use crate::crypto::{MasterKey, Vault};
use crate::domain::ids::{AccountId, EventId, Mode, PaymentId, RefundId};
use crate::domain::merchant::{DuplicatePolicy, LatePolicy, Share};
use crate::domain::time::{Duration, Timestamp};
use crate::env::{Clock, Env};
use crate::flows::deliveries;
use crate::flows::setup::NewMerchant;
use crate::sandbox::provider::fault::{Fault, Faults};
use crate::sandbox::provider::records;
use crate::store::{SimulatedDisk, StoreError};

/// Everything that needs doing until all is calm, far more than ever was.
const SETTLE_MAX: usize = 6_000;
/// So often does somebody look for refunds that are stuck, in things done.
const HELP_EVERY: usize = 50;
/// Refunds that are asked for in the end.
const REFUNDS_MAX: u64 = 3;
/// Decisions that people take in the end.
const CASES_MAX: u64 = 6;
/// How often something that is due may be found resting before it is called forgotten: a dead shop's endpoint rests for
/// minutes, and the queue is looked at every thirty seconds.
const RESTS_MAX: usize = 200;
/// After so many steps of a hundred a shop looks for new events.
const POLLS: u64 = 30;
/// Before so many things of a hundred that are done something arrives that nobody waits for: networks do not wait for steps.
const ARRIVES: u64 = 20;
/// Things that are tried during an outage: an account rests after five failures.
const OUTAGE_WORK: usize = 9;
/// Operations of the disk within which it breaks: a commit takes some twenty.
const BREAKS_WITHIN: u64 = 40;

/// Ways in which the simulated providers misbehave by themselves, some more often. What happens to answers on their way is the wire's part.
const FAULTS: [Fault; 23] = [
    Fault::MisstateAmount,
    Fault::ForgeNotification,
    Fault::ProbeNotification,
    Fault::ProbeNotification,
    Fault::ProbeNotification,
    Fault::MixedKeys,
    Fault::NewKey,
    Fault::NewKey,
    Fault::ClockSkew,
    Fault::AnswerUnsigned,
    Fault::AnswerTampered,
    Fault::ProbeAnswer,
    Fault::Throttle,
    Fault::PayAfterClose,
    Fault::RefundStuck,
    Fault::RefundAbnormal,
    Fault::RefundAbnormal,
    Fault::RefundAbnormal,
    Fault::CardClosed,
    Fault::CardClosed,
    Fault::CardClosed,
    Fault::BalanceShort,
    Fault::AnswerErrorAfterDoing,
];

/// One to three of the faults that this provider knows, and mostly customers who type slowly.
fn some_faults(town: &Town, dice: &mut Dice) -> Faults {
    let known: Vec<Fault> = FAULTS.into_iter().filter(|fault| town.faults().contains(fault)).collect();
    let slow = dice.chance(60).then_some(Fault::PasswordLate);
    (0..=dice.below(3)).filter_map(|_| dice.pick(&known).copied()).chain(slow).collect()
}

/// An error is a broken promise, in a sentence.
pub(super) type Checked<T = ()> = Result<T, String>;

pub(super) struct Story {
    pub(super) ground: Ground,
    /// How often each step comes.
    weights: [u64; STEPS.len()],
    /// In so many cases of a hundred the process dies right after it asked for money to be moved.
    worst_moments: u64,
    disk: SimulatedDisk,
    house: Option<House>,
    pub(super) model: Model,
    /// The model as it would be if the write that was cut short had been stored.
    pub(super) doubt: Option<Model>,
    /// The disk is about to break, and the process dies after this step.
    pub(super) dying: bool,
    /// What the last step asked for as a client, to be asked again if the process died over it.
    pub(super) last_request: Option<Request>,
    /// What answered requests were told.
    pub(super) told: BTreeMap<String, PaymentId>,
    pub(super) told_refunds: BTreeMap<String, RefundId>,
    pub(super) orders: u64,
    /// Events that were seen, by their kind.
    pub(super) events: BTreeMap<EventId, &'static str>,
    /// The shop's endpoint was off when something happened, so it need not have heard of everything.
    pub(super) shop_was_off: bool,
    /// A shop that reads the events with a cursor.
    pub(super) poller: Poller,
    /// Which accounts a person has switched on or off; nothing where a write was cut short.
    pub(super) active: BTreeMap<AccountId, bool>,
    /// Weights by account; nothing where a write was cut short.
    pub(super) shares: BTreeMap<AccountId, Option<u16>>,
    /// The credentials that a person has entered last, as far as that is known.
    pub(super) answers_by_public_key: Option<bool>,
    log: ErrorLog,
    trace: Option<Vec<String>>,
}

/// What a step does. Each has chance of its own, so that a step means the same when others are left out.
#[derive(Clone, Copy, Debug)]
enum Step {
    Create,
    Choose,
    Customer,
    Letter,
    Work,
    Answer,
    Arrive,
    Refund,
    Cancel,
    Sync,
    /// A browser comes back from a wallet, or somebody says so.
    Return,
    Extend,
    Decide,
    TwoPersons,
    Account,
    Wait,
    WaitLong,
    WrongClock,
    /// A provider misbehaves otherwise from now on.
    Fault,
    /// A channel cannot be reached while customers choose how to pay.
    Outage,
    ShopChanges,
    ShopDenies,
    Crash,
}

/// Steps with how often they come.
const STEPS: [(Step, u64); 23] = [
    (Step::Create, 9),
    (Step::Choose, 9),
    (Step::Customer, 26),
    (Step::Letter, 10),
    (Step::Work, 26),
    (Step::Answer, 6),
    (Step::Arrive, 3),
    (Step::Refund, 10),
    (Step::Cancel, 2),
    (Step::Sync, 2),
    (Step::Return, 3),
    (Step::Extend, 2),
    (Step::Decide, 7),
    (Step::TwoPersons, 5),
    (Step::Account, 3),
    (Step::Wait, 6),
    (Step::WaitLong, 2),
    (Step::WrongClock, 1),
    (Step::Fault, 3),
    (Step::Outage, 1),
    (Step::ShopChanges, 2),
    (Step::ShopDenies, 1),
    (Step::Crash, 2),
];

impl Step {
    /// Whether a story without it can tell anything.
    fn may_be_left_out(self) -> bool {
        !matches!(self, Step::Create | Step::Choose | Step::Customer | Step::Work | Step::Answer)
    }
}

impl Story {
    /// The first day of a merchant: whose policy, whose shops and whose provider's temper come from the seed.
    pub(super) fn begin(seed: u64, plan: &Plan, log: ErrorLog) -> Checked<Story> {
        let mut dice = Dice::new(seed ^ 0xc0ff_ee00);
        let clock = Arc::new(SimulatedClock::new());
        let env = Env { clock: clock.clone(), entropy: Arc::new(SimulatedEntropy::new(seed)) };
        let vault = Arc::new(Vault::new(&MasterKey::from_bytes([3; 32])));
        let refuses = dice.one_of([4, 4, 40]);
        let provider = Provider::new(seed, plan.flaw == Some(Flaw::ProviderDeniesMoney), refuses);
        let credentials = Credentials {
            mch_id: MERCHANT.to_owned(),
            app_id: APP.to_owned(),
            hmac_key: data_encoding::BASE64.encode(&[5; 32]),
            provider_public_key: provider.public_key(),
        };
        let mut account = None;
        let mut merchant = NewMerchant::prepare(&env, &vault, "Sim", "Asia/Shanghai", |id| {
            account = Some(id);
            credentials.to_secret()
        });
        let account = account.ok_or("a merchant without a wallet")?;
        let policy = Policy {
            fee_ppm: dice.one_of([0, 3_800, 6_000, 6_000, 250_000]),
            fee_returned: dice.chance(70),
            late: dice.one_of([Late::Book, Late::Refund, Late::Hold]),
            second_refunded: dice.chance(70),
            two_over: dice.one_of([None, None, Some(0), Some(1_800), Some(4_000)]),
        };
        let terms = &mut merchant.merchant;
        terms.fees.default.rate_ppm = u32::try_from(policy.fee_ppm).map_err(|_| "a fee above everything")?;
        terms.fee_returned_on_refund = policy.fee_returned;
        terms.late = match policy.late {
            Late::Book => LatePolicy::Book,
            Late::Refund => LatePolicy::Refund,
            Late::Hold => LatePolicy::Hold,
        };
        terms.duplicate = if policy.second_refunded { DuplicatePolicy::Refund } else { DuplicatePolicy::Hold };
        let disk = SimulatedDisk::new();
        if let Some(Flaw::DiskIgnoresOneSyncIn(each)) = plan.flaw {
            disk.ignore_one_sync_in(each);
        }
        let trouble = dice.one_of([0, 10, 30, 60]);
        let contract = dice.one_of([
            None,
            Some(Contract::WechatPublicKey),
            Some(Contract::WechatPublicKey),
            Some(Contract::WechatCertificate),
            Some(Contract::AlipayKey),
            Some(Contract::AlipayCertificate),
            Some(Contract::UnionPay),
            Some(Contract::UnionPay),
        ]);
        let mut towns = Vec::new();
        if let Some(contract) = contract {
            let town = Town::open(contract, seed, clock.clone())?;
            if dice.chance(85) {
                town.set_faults(some_faults(&town, &mut dice));
            }
            towns.push(town);
        }
        let accounts: Vec<(Contract, AccountId)> =
            towns.iter().map(|town| (town.contract, AccountId::new(env.now(), env.random()))).collect();
        // Half of the seeds are one-sided: what is rare elsewhere comes together there.
        let one_sided = dice.chance(50);
        let mishaps = [(); MISHAPS].map(|()| if one_sided { dice.one_of([0, 1, 1, 6]) } else { 1 });
        let weights = STEPS.map(|(step, weight)| {
            let factor = if step.may_be_left_out() { dice.one_of([0, 1, 1, 2, 6]) } else { dice.one_of([1, 1, 2]) };
            if one_sided { weight * factor } else { weight }
        });
        let worst_moments = if dice.chance(30) { 40 } else { 4 };
        let wire = Wire::new(Outside::new(provider, towns, trouble, mishaps), clock.clone());
        let scope = merchant.scope(Mode::Test);
        let active = [account].into_iter().chain(accounts.iter().map(|(_, account)| *account));
        let active: BTreeMap<AccountId, bool> = active.map(|account| (account, true)).collect();
        let shares = active.keys().map(|account| (*account, Some(Share::WHOLE.weight))).collect();
        let two_over = policy.two_over;
        let ground = Ground { seed, env, clock, wire, vault, merchant, scope, account, accounts, two_over };
        let house = House::open(&ground, &disk)?;
        let secrets = house.found(&ground).map_err(|error| format!("the merchant cannot be set up: {error}"))?;
        let shops = secrets.into_iter().zip(moods(&mut dice));
        ground.wire.outside().shops = shops.map(|((host, secret), mood)| Shop::new(host, secret, mood)).collect();
        Ok(Story {
            ground,
            weights,
            worst_moments,
            disk,
            house: Some(house),
            model: Model::new(policy),
            doubt: None,
            dying: false,
            last_request: None,
            told: BTreeMap::new(),
            told_refunds: BTreeMap::new(),
            orders: 0,
            events: BTreeMap::new(),
            shop_was_off: false,
            poller: Poller::default(),
            active,
            shares,
            answers_by_public_key: None,
            log,
            trace: plan.trace.then(Vec::new),
        })
    }

    pub(super) fn tell(&mut self, seed: u64, plan: &Plan) -> Checked {
        let mut dice = Dice::new(seed);
        for number in 1..=plan.steps {
            let mut own = Dice::new(dice.roll());
            if plan.only.as_ref().is_none_or(|only| only.contains(&number)) {
                self.step(number, &mut own)?;
            }
        }
        let mut calm = Dice::new(!seed);
        self.settle(&mut calm)?;
        self.check_end()
    }

    /// Lets the process go and answers what was noted.
    pub(super) fn end(mut self) -> (Vec<String>, BTreeMap<&'static str, u64>) {
        if let Some(house) = self.house.take() {
            house.die(&self.disk);
        }
        let noted = std::mem::take(&mut self.ground.wire.outside().noted);
        (self.trace.take().unwrap_or_default(), noted)
    }

    pub(super) fn say(&mut self, what: impl FnOnce() -> String) {
        let at = self.now();
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{at}  {}", what()));
        }
    }

    pub(super) fn note(&self, what: &'static str) {
        self.ground.wire.outside().note(what);
    }

    pub(super) fn house(&self) -> Checked<&House> {
        self.house.as_ref().ok_or_else(|| "the process is not there".to_owned())
    }

    /// By the machine's clock.
    pub(super) fn now(&self) -> Timestamp {
        self.ground.clock.now()
    }

    pub(super) fn has_failed(&self) -> bool {
        self.house.as_ref().is_none_or(House::has_failed)
    }

    /// An error of the store, which is fine while the disk breaks.
    pub(super) fn excused(&self, error: &StoreError) -> Checked {
        if self.dying { Ok(()) } else { Err(format!("the store failed on a good disk: {error}")) }
    }

    fn step(&mut self, number: usize, dice: &mut Dice) -> Checked {
        let (step, _) = STEPS[dice.weighed(&self.weights)];
        self.dying = dice.chance(5);
        let breaks = dice.below(BREAKS_WITHIN);
        if self.dying {
            self.disk.break_after(breaks);
        }
        self.last_request = None;
        self.say(|| format!("step {number}: {step:?}"));
        self.act(step, dice)?;
        if self.dying && !matches!(step, Step::Crash) {
            self.crash(dice)?;
        }
        if dice.chance(POLLS) {
            self.poll()?;
        }
        self.check()
    }

    fn act(&mut self, step: Step, dice: &mut Dice) -> Checked {
        self.tick();
        match step {
            Step::Create
            | Step::Choose
            | Step::Refund
            | Step::Cancel
            | Step::Sync
            | Step::Return
            | Step::Extend
            | Step::Decide
            | Step::TwoPersons
            | Step::Account => {
                let request = match step {
                    Step::Create => self.any_create(dice),
                    Step::Choose => self.any_choice(dice),
                    Step::Refund => self.any_refund(dice),
                    Step::Cancel => self.any_order(dice).map(|order| Request::Cancel { order }),
                    Step::Sync => self.any_order(dice).map(|order| Request::Sync { order }),
                    Step::Return => self.any_order(dice).map(|order| Request::Return { order }),
                    Step::Decide => self.any_decision(dice)?,
                    Step::TwoPersons => self.any_proposal(dice),
                    Step::Account => Some(self.any_change(dice)),
                    _ => self.any_order(dice).map(|order| Request::Extend { order, minutes: 1 + dice.below(40) }),
                };
                self.last_request.clone_from(&request);
                let Some(request) = request else { return Ok(()) };
                self.request(&request)?;
                // Two persons with the same page in front of them.
                if matches!(request, Request::Decide { .. } | Request::Approve { .. }) && dice.chance(60) {
                    self.request(&request)?;
                }
                Ok(())
            }
            Step::Customer => self.customer(dice),
            Step::Letter => self.letter(dice),
            Step::Work => {
                for _ in 0..=dice.below(4) {
                    self.work(false, dice)?;
                    if self.dying {
                        break;
                    }
                }
                Ok(())
            }
            Step::Answer => {
                let waiting = self.ground.wire.outside().waiting();
                dice.pick(&waiting).map_or(Ok(()), |number| self.answer(*number, dice))
            }
            Step::Arrive => {
                self.arrive(dice);
                Ok(())
            }
            Step::Wait => {
                self.wait(Duration::from_millis(dice.below(40_000)));
                Ok(())
            }
            Step::WaitLong => {
                let most = dice.one_of([9, 45]);
                self.wait(Duration::from_minutes(dice.below(most)));
                Ok(())
            }
            Step::WrongClock => {
                self.set_clock(dice.one_of([0, 0, -1, 2, -45, 70, 60 * 5]));
                Ok(())
            }
            Step::Fault => {
                let outside = self.ground.wire.outside();
                if let Some(town) = dice.pick(&outside.towns) {
                    let faults = if dice.chance(40) { Faults::NONE } else { some_faults(town, dice) };
                    town.set_faults(faults);
                }
                Ok(())
            }
            Step::Outage => self.outage(dice),
            Step::ShopChanges => self.shop_changes(dice),
            Step::ShopDenies => self.shop_denies(dice),
            Step::Crash => {
                self.dying = true;
                self.crash(dice)
            }
        }
    }

    fn wait(&mut self, by: Duration) {
        self.ground.clock.advance(by);
        let now = self.now();
        self.model.time_passes(now);
    }

    /// Whatever is done takes time.
    pub(super) fn tick(&mut self) {
        self.wait(Duration::from_millis(1));
    }

    fn set_clock(&mut self, minutes: i64) {
        let before = self.now();
        self.ground.clock.set_wrong_by_ms(minutes * 60_000);
        if minutes != 0 {
            self.note("the clock was wrong");
        }
        if self.now() < before {
            self.note("the clock went back");
        }
        self.say(|| format!("the clock is wrong by {minutes} min"));
        self.tick();
    }

    /// A message arrives: any of those on their way, genuine or forged.
    fn letter(&mut self, dice: &mut Dice) -> Checked {
        self.tick();
        self.check()?;
        let now = self.ground.clock.world();
        let mut outside = self.ground.wire.outside();
        for town in &outside.towns {
            town.time_passes();
        }
        outside.collect_letters(dice);
        let refunds: Vec<String> = outside.provider.refunds.keys().cloned().collect();
        if let Some(letter) =
            dice.pick(&refunds).filter(|_| dice.chance(30)).and_then(|r| outside.provider.letter(r, now))
        {
            outside.letters.push(Letter::Wallet(letter));
        }
        if outside.letters.is_empty() {
            return Ok(());
        }
        let which = dice.place(outside.letters.len());
        let letter = outside.letters.swap_remove(which);
        let (forged, changed) = (dice.chance(6), dice.chance(6));
        let (account, headers, mut body, belief, says) = match &letter {
            Letter::Wallet(letter) => {
                let headers = outside.provider.sign(&letter.body, now, forged);
                let credible = !forged && self.ground.clock.is_credible();
                let belief = if credible { Belief::Sure } else { Belief::No };
                (self.ground.account, headers, letter.body.clone(), belief, Some(letter.says.clone()))
            }
            Letter::Town { place, letter, says } => {
                let sealed = outside.towns[*place].seal(letter, forged);
                let (request, belief) = sealed.ok_or("a provider cannot seal its message")?;
                if letter.probed {
                    let genuine = Box::new(records::Letter { probed: false, ..*letter.clone() });
                    outside.letters.push(Letter::Town { place: *place, letter: genuine, says: says.clone() });
                    outside.note("a signature probe was refused");
                }
                (self.ground.accounts[*place].1, request.headers, request.body, belief, says.clone())
            }
        };
        drop(outside);
        if changed {
            let at = dice.place(body.len());
            body[at] ^= 1;
        }
        let belief = if changed { Belief::No } else { belief };
        let house = self.house()?;
        let open = house.gateway.channels.get(account).ok_or("the channel account is gone")?;
        let read = open.channel.read_notification(&Inbound { headers: &headers, body: &body }, self.now());
        let message = match (read, belief) {
            (Ok(message), Belief::Sure | Belief::Maybe) => message,
            (Ok(_), Belief::No) => return Err(format!("a forged or stale notification was believed: {says:?}")),
            (Err(error), Belief::Sure) if says.is_some() => {
                return Err(format!("a genuine notification was refused: {error}"));
            }
            (Err(_), _) => {
                if forged || changed {
                    self.note("a forged notification was refused");
                }
                return Ok(());
            }
        };
        let misstated = matches!(&letter, Letter::Town { letter, .. } if letter.faults.has(Fault::MisstateAmount));
        let heard = house.notified(account, message);
        self.say(|| format!("message: {says:?}"));
        match heard {
            Ok(true) => {
                if let Some(says) = &says {
                    self.hear(says);
                }
                if misstated {
                    self.note("a message named another amount");
                }
                self.check()
            }
            Ok(false) => Err(format!("the gateway does not know what {says:?} is about")),
            Err(crate::flows::FlowError::Store(error)) => {
                self.excused(&error)?;
                if let Some(says) = &says {
                    self.in_doubt(|model| model.hear(says));
                }
                // It was not acknowledged, so it comes again.
                self.ground.wire.outside().letters.push(letter);
                Ok(())
            }
            Err(error) => Err(format!("a notification could not be booked: {error}")),
        }
    }

    /// The gateway has stored what was said.
    fn hear(&mut self, news: &News) {
        if let News::Order { number, word: Word::Paid { .. }, .. } = news
            && self.model.is_paid(number)
        {
            self.note("money was seen twice and booked once");
        }
        self.model.hear(news);
    }

    /// A write was cut short: it may be there.
    pub(super) fn in_doubt(&mut self, f: impl FnOnce(&mut Model)) {
        if self.doubt.is_none() {
            let mut stored = self.model.clone();
            f(&mut stored);
            self.doubt = Some(stored);
        }
    }

    /// The next thing that is due is done, at its time or later. `false` when nothing is left.
    fn work(&mut self, patient: bool, dice: &mut Dice) -> Checked<bool> {
        if dice.chance(ARRIVES) {
            self.arrive(dice);
        }
        for _ in 0..RESTS_MAX {
            self.tick();
            let now = self.now();
            let asked = self.ground.wire.asked();
            match self.house()?.turn() {
                Ok(Turn::Worked) => {
                    // The newest request is this one's; it is answered at once or hangs.
                    if self.ground.wire.asked() > asked {
                        let moves_money = self.say_target(asked);
                        if moves_money && !self.dying && dice.chance(self.worst_moments) {
                            self.note("the process died right after it asked for money to be moved");
                            self.dying = true;
                            self.crash(dice)?;
                        } else if patient || dice.chance(75) {
                            self.answer(asked, dice)?;
                        }
                    }
                    return Ok(true);
                }
                Ok(Turn::Idle(Duration::ZERO)) => {}
                Ok(Turn::Idle(wait)) => {
                    let due = self.house()?.due().or_else(|error| self.excused(&error).map(|()| Vec::new()))?;
                    let Some(next) = due.iter().map(|(at, _)| *at).min() else { return Ok(false) };
                    if !patient && dice.chance(60) {
                        return Ok(true);
                    }
                    // What is due already rests, or waits for an answer.
                    let by = if next > now { next.since(now) } else { wait };
                    if next <= now && !patient {
                        return Ok(true);
                    }
                    self.wait(by);
                }
                Err(error) => return self.excused(&error).map(|()| true),
            }
        }
        let due = self.house()?.due().map_err(|error| error.to_string())?;
        Err(format!("{:?} is due and never done", due.first().map(|(_, effect)| effect)))
    }

    /// Something that nobody waits for arrives after all.
    fn arrive(&mut self, dice: &mut Dice) {
        let now = self.ground.clock.world();
        let mut outside = self.ground.wire.outside();
        if let Some(number) = dice.pick(&outside.adrift(now)) {
            outside.arrive(*number, now, dice);
        }
    }

    /// Tells what is asked, and whether that moves money.
    fn say_target(&mut self, number: u64) -> bool {
        let target = self.ground.wire.outside().target(number);
        if let Some(order) = target.closes {
            self.model.close_is_tried(&order);
        }
        self.say(|| format!("asks: {}", target.told));
        target.moves_money
    }

    /// Somebody who waits for an answer gets it, or an error.
    fn answer(&mut self, number: u64, dice: &mut Dice) -> Checked {
        if self.has_failed() {
            return Ok(());
        }
        let mut news = None;
        let wire = self.ground.wire.clone();
        self.tick();
        // What was done without asking anybody was done before.
        self.check()?;
        self.house()?.finish_one(|| news = wire.answer(number, dice));
        self.say(|| format!("answer: {news:?}"));
        let Some((news, belief)) = news else { return Ok(()) };
        if self.has_failed() {
            self.in_doubt(|model| model.hear(&news));
            return Ok(());
        }
        match belief {
            Belief::Sure => self.hear(&news),
            Belief::Maybe => self.perhaps_hear(&news)?,
            Belief::No => {}
        }
        // What was sent before may well arrive behind what was sent later.
        if dice.chance(ARRIVES) {
            self.arrive(dice);
        }
        self.check()
    }

    /// The gateway may have believed it or not: what it shows now tells.
    fn perhaps_hear(&mut self, news: &News) -> Checked {
        if self.dying {
            self.in_doubt(|model| model.hear(news));
            return Ok(());
        }
        let (model, events) = (self.model.clone(), self.events.clone());
        self.hear(news);
        if self.check_about(news).is_ok() {
            self.note("an answer by a new key was believed");
            return Ok(());
        }
        self.note("an answer by a new key was not believed yet");
        self.model = model;
        self.events = events;
        self.check_about(news)
    }

    fn outage(&mut self, dice: &mut Dice) -> Checked {
        self.ground.wire.outside().silent = Some(dice.one_of([Silent::Wallet, Silent::Towns, Silent::Towns]));
        for _ in 0..OUTAGE_WORK {
            if self.dying && self.has_failed() {
                break;
            }
            self.work(false, dice)?;
        }
        // By codes that two accounts take.
        let scanned = self.ground.accounts.first().and_then(|(contract, _)| contract.methods().get(1).copied());
        // Nothing is looked at while the disk breaks, so a second choice could not be told from the first.
        for _ in 0..if self.dying { 1 } else { 2 } {
            let choice = self.any_choice(dice);
            if let (Some(Request::Choose { order, method, .. }), false) = (choice, self.has_failed()) {
                let method = scanned.unwrap_or(method);
                self.request(&Request::Choose { order, method, named: false })?;
                self.check()?;
            }
        }
        self.ground.wire.outside().silent = None;
        Ok(())
    }

    /// A shop changes its mind about working; or somebody switches an endpoint off or on.
    fn shop_changes(&mut self, dice: &mut Dice) -> Checked {
        let mood = *dice.pick(&Mood::ALL).ok_or("no moods")?;
        let mut outside = self.ground.wire.outside();
        let which = dice.place(outside.shops.len());
        let shop = &mut outside.shops[which];
        let host = shop.host;
        shop.mood = mood;
        drop(outside);
        self.say(|| format!("{host} is {mood:?}"));
        if dice.chance(30) {
            let on = dice.chance(60);
            self.switch(host, on)?;
        }
        Ok(())
    }

    fn switch(&mut self, host: &'static str, on: bool) -> Checked {
        let (scope, id) = (self.ground.scope, endpoint_of(host));
        self.say(|| format!("{host} is switched {}", if on { "on" } else { "off" }));
        self.ask(move |tx| deliveries::switch(tx, scope, id, on).map(drop)).map(drop)
    }

    /// A shop says that it never got what it took, and somebody sends it again.
    fn shop_denies(&mut self, dice: &mut Dice) -> Checked {
        let taken: Vec<String> =
            self.ground.wire.outside().shops.iter().flat_map(|shop| shop.taken.keys().cloned()).collect();
        let Some(id) = dice.pick(&taken).and_then(|id| id.parse::<EventId>().ok()) else { return Ok(()) };
        let (scope, moment) = (self.ground.scope, crate::flows::Moment::new(&self.ground.env));
        self.say(|| format!("{id} is sent again"));
        self.ask(move |tx| deliveries::resend(tx, scope, id, None, &moment).map(drop)).map(drop)
    }

    /// The process dies as it stands, with or without the machine's power, and is started again.
    fn crash(&mut self, dice: &mut Dice) -> Checked {
        let keep = dice.one_of([100, 100, 0, 50, 90]);
        self.note(if keep == 100 { "the process was killed" } else { "the power failed" });
        self.say(|| format!("the process dies; {keep} % of what was not synced is kept"));
        if let Some(house) = self.house.take() {
            house.die(&self.disk);
        }
        drop(self.log.take());
        self.disk = self.disk.after_power_loss(|| dice.chance(keep));
        self.ground.wire.outside().sender_died(dice);
        for _ in 0..dice.one_of([0, 0, 0, 1, 2]) {
            self.disk.break_after(dice.below(BREAKS_WITHIN * 2));
            if let Ok(house) = House::open(&self.ground, &self.disk) {
                house.die(&self.disk);
            }
            self.disk = self.disk.after_power_loss(|| dice.chance(keep));
            self.note("it died while it recovered");
        }
        drop(self.log.take());
        self.dying = false;
        self.house = Some(House::open(&self.ground, &self.disk)?);
        self.resolve_doubt()?;
        if let Some(request) = self.last_request.take() {
            self.note("a client repeated what it had asked before the crash");
            self.request(&request)?;
        }
        Ok(())
    }

    /// Finds out whether what was cut short is there: wholly or not at all.
    fn resolve_doubt(&mut self) -> Checked {
        let before = self.model.clone();
        let Some(stored) = self.doubt.take() else { return self.check_all() };
        self.model = stored;
        if self.check_all().is_ok() {
            self.note("it died in the middle of a commit, and all of it was there");
            return Ok(());
        }
        self.model = before;
        self.note("it died in the middle of a commit, and nothing of it was there");
        self.check_all()
    }

    /// Everything works again; what is due is done until nothing is left. Then nothing may be open.
    fn settle(&mut self, dice: &mut Dice) -> Checked {
        self.say(|| "everything calms down".to_owned());
        self.dying = false;
        self.set_clock(0);
        let wire = self.ground.wire.clone();
        let forsaken = dice.chance(8);
        {
            let mut outside = wire.outside();
            outside.trouble = 0;
            for town in &outside.towns {
                town.calm_down();
            }
            outside.collect_letters(dice);
            outside.letters.retain(|_| dice.chance(50));
            for letter in &mut outside.letters {
                if let Letter::Town { letter, .. } = letter {
                    letter.forged = false;
                }
            }
            for shop in &mut outside.shops {
                shop.mood = if forsaken && shop.host == super::house::BOOKKEEPER { Mood::Down } else { Mood::Well };
            }
            let now = self.ground.clock.world();
            for number in outside.adrift(now) {
                if dice.chance(50) {
                    outside.arrive(number, now, dice);
                }
            }
        }
        while !wire.outside().letters.is_empty() {
            self.letter(dice)?;
        }
        for host in [super::house::SHOP, super::house::BOOKKEEPER] {
            if dice.chance(50) {
                self.switch(host, true)?;
                let (scope, id, moment) =
                    (self.ground.scope, endpoint_of(host), crate::flows::Moment::new(&self.ground.env));
                self.ask(move |tx| deliveries::resend_failed(tx, scope, id, Timestamp::MIN, &moment).map(drop))?;
            }
        }
        self.do_all(dice)?;
        // Customers want money back, somebody looks at what is open, and what follows from that is done as well.
        for _ in 0..dice.below(REFUNDS_MAX) {
            if let Some(request) = self.any_refund(dice) {
                self.request(&request)?;
            }
        }
        for _ in 0..dice.below(CASES_MAX) {
            let Some(request) = self.any_decision(dice)? else { break };
            self.request(&request)?;
        }
        self.do_all(dice)
    }

    /// What is due is done until nothing is left.
    fn do_all(&mut self, dice: &mut Dice) -> Checked {
        let wire = self.ground.wire.clone();
        for round in 0..SETTLE_MAX {
            if round % HELP_EVERY == 0 {
                let mut outside = wire.outside();
                if outside.towns.iter().map(Town::help_refunds).sum::<usize>() > 0 {
                    outside.note("a refund that was stuck got another way");
                }
            }
            let waiting = wire.outside().waiting();
            for number in waiting {
                self.answer(number, dice)?;
            }
            if !self.work(true, dice)? {
                return Ok(());
            }
            self.check()?;
        }
        Err("it never calms down".to_owned())
    }

    /// Errors that were logged although the disk was well.
    pub(super) fn logged(&self) -> Option<String> {
        self.log.take().into_iter().next()
    }
}
