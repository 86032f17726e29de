//! What the shop asks the gateway for, as its API would, and what it must be told.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::decided;
use super::dice::Dice;
use super::house::OWN_ADDRESS;
use super::model::{Choice, OPENID, Persons, Refunding, VISITOR};
use super::people::Change;
use super::story::{Checked, Story};
use crate::domain::event::Actor;
use crate::domain::ids::{AccountId, CaseId, KeyId};
use crate::domain::method::{Flow, Method};
use crate::domain::money::{Currency, Money};
use crate::domain::payment::{Customer, Ending, Route};
use crate::domain::time::Duration;
use crate::flows::payments::{self, Chooser, Created, NewPayment, Patch};
use crate::flows::refunds::{self, NewRefund, Requested};
use crate::flows::{FlowError, Moment, Refusal};
use crate::sandbox::provider::records::Mood;
use crate::store::WriteTx;

/// How long orders can be paid, in minutes.
const EXPIRES_IN: [u64; 4] = [2, 5, 12, 30];
/// Where customers are.
const CUSTOMER_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));
/// What customers do who show a code at the counter.
const MOODS: [Mood; 5] =
    [Mood::AskedForPassword, Mood::Pays, Mood::AskedForPassword, Mood::BalanceShort, Mood::AskedForPassword];

/// One request; asked twice it means the same.
#[derive(Clone, Debug)]
pub(super) enum Request {
    /// `other`: with other content than the first of this number.
    Create {
        number: u64,
        other: bool,
    },
    /// `named`: a wallet has told who the customer is.
    Choose {
        order: String,
        method: Method,
        named: bool,
    },
    Cancel {
        order: String,
    },
    Sync {
        order: String,
    },
    /// A browser comes back.
    Return {
        order: String,
    },
    Extend {
        order: String,
        minutes: u64,
    },
    Refund {
        order: String,
        number: String,
        minor: u64,
    },
    /// A person decides a case, believing one line of it.
    Decide {
        case: CaseId,
        line: usize,
        choice: decided::Choice,
    },
    Propose {
        order: String,
        number: String,
        minor: u64,
    },
    /// By its maker, if it is his own; of something else than was shown, if that is stale.
    Approve {
        number: String,
        own: bool,
        stale: bool,
    },
    Refuse {
        number: String,
    },
    Account {
        account: AccountId,
        change: Change,
    },
}

/// What became of a request: an answer, a refusal, or nobody knows because the disk broke.
pub(super) type Asked<T> = Option<Result<T, Refusal>>;

/// The next in turn.
fn turn<T>(number: u64, of: &[T]) -> &T {
    &of[usize::try_from(number).unwrap_or(0) % of.len()]
}

impl Story {
    /// Runs a write as a handler of the API does.
    pub(super) fn ask<T: Send + 'static>(
        &mut self,
        f: impl Fn(&mut WriteTx<'_>) -> Result<T, FlowError> + Send + 'static,
    ) -> Checked<Asked<T>> {
        match self.house()?.store().write_blocking(f) {
            Ok(answer) => Ok(Some(Ok(answer))),
            Err(FlowError::Refused(why)) => Ok(Some(Err(why))),
            Err(FlowError::Store(error)) => self.excused(&error).map(|()| None),
            Err(error @ FlowError::Books(_)) => Err(error.to_string()),
        }
    }

    pub(super) fn any_order(&self, dice: &mut Dice) -> Option<String> {
        let orders: Vec<&String> = self.model.orders().collect();
        dice.pick(&orders).map(|order| (*order).clone())
    }

    /// A new order; sometimes one that exists, with the same content or with other content.
    pub(super) fn any_create(&mut self, dice: &mut Dice) -> Option<Request> {
        let again = self.orders > 0 && dice.chance(15);
        let number = if again { dice.below(self.orders) } else { self.orders };
        self.orders = self.orders.max(number + 1);
        Some(Request::Create { number, other: again && dice.chance(30) })
    }

    pub(super) fn any_choice(&self, dice: &mut Dice) -> Option<Request> {
        let scanned = [Method::WechatNative, Method::AlipayQr, Method::UnionpayQr];
        let others: Vec<Method> = self.methods().filter(|method| method.flow() != Flow::BarCode).collect();
        let method = dice.pick(&others).copied().filter(|_| dice.chance(60)).unwrap_or_else(|| dice.one_of(scanned));
        let named = method.flow() == Flow::JsApi && dice.chance(50);
        // Mostly where there is a choice.
        let open = self.model.orders().filter(|order| self.model.is_open_to_choice(order));
        let open: Vec<&String> = open.collect();
        let order = dice.pick(&open).filter(|_| dice.chance(85)).map(|order| (*order).clone());
        let order = order.or_else(|| self.any_order(dice))?;
        // Customers press the same button again.
        let again = self.model.chosen(&order).and_then(Method::parse).filter(|_| dice.chance(30));
        let (method, named) =
            again.filter(|again| again.flow() != Flow::BarCode).map_or((method, named), |again| (again, false));
        Some(Request::Choose { order, method, named })
    }

    /// Some of what is left, or all, or one more than that; sometimes under a number that was used.
    pub(super) fn any_refund(&self, dice: &mut Dice) -> Option<Request> {
        let paid = self.model.orders().filter(|order| self.model.state(order) == Some("paid"));
        let paid: Vec<&String> = paid.collect();
        let order = (*dice.pick(&paid)?).clone();
        if let Some((number, minor)) = dice.pick(&self.model.refunds_of(&order)).filter(|_| dice.chance(15)) {
            return Some(Request::Refund { order, number: number.clone(), minor: *minor });
        }
        let left = self.model.refundable(&order);
        let minor = match dice.below(4) {
            0 => left,
            1 => left + 1,
            _ => 1 + dice.below(left),
        };
        Some(Request::Refund { order, number: format!("r{}", dice.below(30)), minor })
    }

    pub(super) fn request(&mut self, request: &Request) -> Checked {
        self.say(|| format!("{request:?}"));
        self.tick();
        match request {
            Request::Create { number, other } => self.create(*number, *other),
            Request::Choose { order, method, named } => self.choose(order, *method, *named),
            Request::Cancel { order } => self.cancel(order),
            Request::Sync { order } => {
                let (scope, id, moment) = (self.ground.scope, self.id_of(order)?, Moment::new(&self.ground.env));
                self.ask(move |tx| payments::ask_now(tx, scope, id, &mut moment.clone())).map(drop)
            }
            Request::Return { order } => self.come_back(order),
            Request::Extend { order, minutes } => self.extend(order, Duration::from_minutes(*minutes)),
            Request::Refund { order, number, minor } => self.refund(order, number, *minor),
            Request::Decide { case, line, choice } => self.decide(*case, *line, *choice),
            Request::Propose { order, number, minor } => self.propose(order, number, *minor),
            Request::Approve { number, own, stale } => self.approve(number, *own, *stale),
            Request::Refuse { number } => self.refuse(number),
            Request::Account { account, change } => self.change_account(*account, *change),
        }
    }

    pub(super) fn id_of(&self, order: &str) -> Checked<crate::domain::ids::PaymentId> {
        self.told.get(order).copied().ok_or_else(|| format!("{order} has no id"))
    }

    /// What the merchant's contracts offer beside the test wallet.
    fn methods(&self) -> impl Iterator<Item = Method> {
        self.ground.accounts.iter().flat_map(|(contract, _)| contract.methods().iter().copied())
    }

    /// What the shop chooses for its customer, the same for every repetition: nothing, the code that the customer shows, a
    /// page, an app, or a code to scan.
    fn method_of(&self, number: u64) -> Option<Method> {
        let mut dice = Dice::new(self.ground.seed ^ number.rotate_left(32));
        let all: Vec<Method> = self.methods().collect();
        match dice.below(10) {
            0..3 => all.first().copied().or(Some(Method::AlipayQr)),
            3..6 => None,
            6..9 => dice.pick(&all).copied().or(Some(Method::WechatH5)),
            _ => Some(Method::AlipayQr),
        }
    }

    fn create(&mut self, number: u64, other: bool) -> Checked {
        let order = format!("o{number}");
        let method = self.method_of(number);
        let auth_code = match method {
            Some(method) if method.flow() == Flow::BarCode => {
                let outside = self.ground.wire.outside();
                outside.towns.first().and_then(|town| town.show_code(*turn(number, &MOODS)))
            }
            Some(_) | None => None,
        };
        let expires_in = Duration::from_minutes(*turn(number, &EXPIRES_IN));
        let minor = number * 1_703 + if other { 102 } else { 101 };
        let new = NewPayment {
            order_id: order.clone(),
            amount: Money::new(minor, Currency::CNY),
            description: "mug".to_owned(),
            method,
            expires_in,
            return_url: None,
            cancel_url: None,
            callback_url: number.is_multiple_of(4).then(|| format!("https://{OWN_ADDRESS}/own?order={number}")),
            customer: Customer { ip: Some(CUSTOMER_IP), openid: Some(OPENID.to_owned()), ..Customer::default() },
            auth_code,
            metadata: BTreeMap::new(),
            fingerprint: [u8::from(other); 16],
        };
        let (scope, moment) = (self.ground.scope, Moment::new(&self.ground.env));
        let route = match method {
            Some(method) => self.route(method, new.amount)?,
            None => None,
        };
        let fixed = method.zip(route).map(|(method, route)| self.ground.how(method, route.account, false));
        let impossible = method.is_some() && route.is_none();
        let created = self.ask(move |tx| payments::create(tx, scope, &new, route, &mut moment.clone()))?;
        let known = self.model.state(&order).is_some();
        let expires_at = moment.now.plus(expires_in);
        match created {
            Some(Ok(Created::New(payment))) => {
                if known {
                    return Err(format!("{order} was created twice"));
                }
                self.model.create(&order, minor, fixed, expires_at);
                self.told.insert(order, payment.id);
            }
            Some(Ok(Created::Existing(payment))) => {
                if !known || other || self.told.get(&order).is_some_and(|told| *told != payment.id) {
                    return Err(format!("{order} is said to exist as {}", payment.id));
                }
                self.told.insert(order, payment.id);
                self.note("an order was created again and was the same");
            }
            Some(Err(Refusal::MethodUnavailable)) if impossible => self.note("no account took a payment"),
            Some(Err(why)) => {
                if !known || !other {
                    return Err(format!("{order} was refused: {why}"));
                }
                self.note("an order number was used for something else and refused");
            }
            None if !known && !impossible => self.in_doubt(|model| model.create(&order, minor, fixed, expires_at)),
            None => {}
        }
        Ok(())
    }

    fn choose(&mut self, order: &str, method: Method, named: bool) -> Checked {
        let (scope, id) = (self.ground.scope, self.id_of(order)?);
        let amount = Money::new(self.model.amount(order), Currency::CNY);
        let Some(route) = self.route(method, amount)? else { return Ok(()) };
        let how = self.ground.how(method, route.account, named);
        let moment = Moment::new(&self.ground.env);
        let chooser = Chooser { ip: Some(CUSTOMER_IP), openid: named.then(|| VISITOR.to_owned()) };
        let chosen = self
            .ask(move |tx| payments::choose_method_as(tx, scope, id, method, route, &chooser, &mut moment.clone()))?;
        let expected = self.model.choice(order, how, moment.now);
        let got = match &chosen {
            Some(Ok(attempt)) if self.model.knows_attempt(&attempt.id.bare()) => Choice::Shown,
            Some(Ok(_)) => Choice::New,
            Some(Err(Refusal::TooManyAttempts)) => return Ok(()),
            Some(Err(_)) => Choice::Refused,
            None => {
                if expected.is_none_or(|expected| expected == Choice::New) {
                    self.in_doubt(|model| model.start(order, how));
                }
                return Ok(());
            }
        };
        if expected.is_some_and(|expected| expected != got) {
            return Err(format!("{order}: choosing {} came to {got:?}, must be {expected:?}", method.code()));
        }
        if got == Choice::New {
            self.model.start(order, how);
        }
        Ok(())
    }

    /// The account that the gateway would choose: an active one, if there is any.
    fn route(&self, method: Method, amount: Money) -> Checked<Option<Route>> {
        let route = self.house()?.gateway.route(self.ground.scope, method, amount);
        let is_off = |account: &AccountId| self.active.get(account) == Some(&false);
        let off = match &route {
            Some(route) => is_off(&route.account),
            None => !self.ground.accounts_for(method).iter().any(|account| self.active.get(account) == Some(&true)),
        };
        match (&route, off) {
            (Some(_), true) => Err(format!("an account that is switched off takes {}", method.code())),
            (None, false) => Err(format!("nobody takes {}, although an account is there", method.code())),
            (Some(route), false) => self.check_share(method, amount, *route).map(|()| Some(*route)),
            (None, true) => Ok(None),
        }
    }

    /// One that rests takes nothing while another is awake, and a reserve nothing while another has a share.
    fn check_share(&self, method: Method, amount: Money, route: Route) -> Checked {
        let (channels, now) = (&self.house()?.gateway.channels, self.now());
        let rests = |account: &AccountId| channels.health(*account).rests(now);
        let on = |account: &AccountId| self.active.get(account) == Some(&true);
        let others: Vec<AccountId> = self.ground.accounts_for(method).into_iter().filter(on).collect();
        let chosen = route.account;
        if rests(&chosen) && others.iter().any(|other| !rests(other)) {
            return Err(format!("an account that rests takes {amount}, although another is awake"));
        }
        let weight = |account: &AccountId| self.shares.get(account).copied().flatten();
        let pool = others.iter().filter(|other| rests(other) == rests(&chosen));
        if weight(&chosen) == Some(0) && pool.clone().any(|other| weight(other).is_some_and(|weight| weight > 0)) {
            return Err(format!("a reserve takes {amount}, although another has a share"));
        }
        if pool.count() < others.len() {
            self.note("another account took what one that rests would have");
        }
        Ok(())
    }

    fn cancel(&mut self, order: &str) -> Checked {
        let (scope, id, moment) = (self.ground.scope, self.id_of(order)?, Moment::new(&self.ground.env));
        let ending = Ending::CancelByMerchant;
        let canceled =
            self.ask(move |tx| payments::end(tx, scope, id, ending, Actor::System, &mut moment.clone()).map(drop))?;
        let mut after = self.model.clone();
        let expected = after.cancel(order);
        match canceled {
            Some(outcome) => {
                if expected.is_some_and(|expected| expected != outcome.is_ok()) {
                    return Err(format!("{order}: giving it up came to {outcome:?}"));
                }
                if outcome.is_ok() {
                    self.model = after;
                }
            }
            None => self.in_doubt(|model| {
                model.cancel(order);
            }),
        }
        Ok(())
    }

    fn extend(&mut self, order: &str, by: Duration) -> Checked {
        let (scope, id, moment) = (self.ground.scope, self.id_of(order)?, Moment::new(&self.ground.env));
        let change = Patch { expires_in: Some(by), ..Patch::default() };
        let changed =
            self.ask(move |tx| payments::patch(tx, scope, id, &change, Actor::System, &mut moment.clone()))?;
        let until = moment.now.plus(by);
        match changed {
            Some(Ok(payment)) if payment.expires_at != until => {
                return Err(format!("{order} was extended to another time"));
            }
            Some(Ok(_)) => self.model.extend(order, until),
            Some(Err(_)) => {}
            None => self.in_doubt(|model| model.extend(order, until)),
        }
        Ok(())
    }

    fn refund(&mut self, order: &str, number: &str, minor: u64) -> Checked {
        let new = NewRefund {
            amount: Some(Money::new(minor, Currency::CNY)),
            refund_no: Some(number.to_owned()),
            reason: None,
            metadata: BTreeMap::new(),
            fingerprint: u128::from(minor).to_be_bytes(),
        };
        let (scope, id, moment) = (self.ground.scope, self.id_of(order)?, Moment::new(&self.ground.env));
        let by = Actor::Api(KeyId::from_bytes([3; 16]));
        let requested = self
            .ask(move |tx| refunds::request_within(tx, scope, id, &new, by.clone(), &|_| None, &mut moment.clone()))?;
        let Some(requested) = requested else {
            self.in_doubt(|model| {
                model.refund(order, number, minor, Persons::One);
            });
            return Ok(());
        };
        let (got, refund) = match &requested {
            Ok(Requested::New(refund)) => (Refunding::New, Some(refund)),
            Ok(Requested::Existing(refund)) => (Refunding::Known, Some(refund)),
            Err(_) => (Refunding::Refused, None),
        };
        let expected = self.model.refund(order, number, minor, Persons::One);
        if matches!(&requested, Err(Refusal::ApprovalNeeded { .. })) {
            self.note("a refund was refused because it takes two persons");
        }
        if expected != got {
            return Err(format!("{order}: the refund {number} of {minor} came to {got:?}, must be {expected:?}"));
        }
        match got {
            Refunding::New => {}
            Refunding::Known => self.note("a refund was asked for again and was the same"),
            Refunding::Refused => self.note("too much was asked back and refused"),
        }
        if let Some(refund) = refund
            && self.told_refunds.insert(number.to_owned(), refund.id).is_some_and(|told| told != refund.id)
        {
            return Err(format!("the refund {number} was answered with another id"));
        }
        Ok(())
    }
}
