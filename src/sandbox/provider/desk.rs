//! The transactions of simulated providers: load, decide, store, each in one commit together with what it makes due.

use std::sync::Arc;

use ring::digest::{SHA256, digest};

use super::fault::{Answering, Faults};
use super::model::{
    Change, Deed, Helped, NewOrder, NewRefund, Notice, Order, Refund, RefundChange, RefundRules, Refusal, TradeState,
};
use super::play::Simulation;
use super::records::{Board, Common, Letter, Member, Mood, PayerCode, Subject};
use super::{Dialect, News};
use crate::domain::time::{Duration, Timestamp};
use crate::store::tables::{
    SIM_AGES, SIM_BOARD, SIM_COMMON, SIM_LETTERS, SIM_MEMBERS, SIM_MOVES, SIM_NAMES, SIM_ORDERS, SIM_PAYER_CODES,
    SIM_REFUNDS, SIM_REFUNDS_BY_ORDER, SIM_TROUBLES, SIM_WAKES,
};
use crate::store::{Order as Sorted, Read, Span, StoreError, WriteTx};

/// Orders that are kept, of all providers and merchants together; the oldest make room.
pub const ORDERS_MAX: u64 = 100_000;
/// Movements of money in one bill.
pub const MOVES_MAX: usize = 50_000;
/// How long a payer's code works.
const PAYER_CODE_LIFE: Duration = Duration::from_minutes(1);
/// Letters among which those are looked for that wait to be overtaken.
const LETTERS_LOOKED_AT_MAX: usize = 1000;
/// Merchants among which an order is looked for that is named by its number alone.
const MEMBERS_LOOKED_AT_MAX: usize = 16;
/// Counters that are looked at when old ones are forgotten.
const FORGOTTEN_AT_ONCE: usize = 8;
/// How far behind an overtaken letter comes.
const OVERTAKEN_BY: Duration = Duration::from_seconds(2);

/// One provider's desk inside one transaction.
pub struct Desk<'d, 'a> {
    tx: &'d mut WriteTx<'a>,
    dialect: &'d dyn Dialect,
    now: Timestamp,
}

impl<'d, 'a> Desk<'d, 'a> {
    pub fn open(
        tx: &'d mut WriteTx<'a>,
        dialect: &'d dyn Dialect,
        real_now: Timestamp,
    ) -> Result<Desk<'d, 'a>, StoreError> {
        let now = simulated_now(tx, real_now)?;
        Ok(Self { tx, dialect, now })
    }

    /// The simulated time.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// How far the simulated time is ahead of the real one.
    pub fn ahead(&self) -> Result<Duration, StoreError> {
        Ok(common(self.tx)?.ahead)
    }

    /// How to answer, and under which faults: the order's own decide where there is one, else the board's. Troubled answers
    /// are counted under `counted`, and after some they are proper, so that everything can be found out in the end.
    pub fn answering(&mut self, merchant: &str, order: &str, counted: &str) -> Result<(Answering, Faults), StoreError> {
        let faults = match self.tx.get(&SIM_ORDERS, &self.place(merchant, order))? {
            Some(order) => order.faults,
            None => self.faults()?,
        };
        let place = self.place(merchant, counted);
        let troubled = self.tx.get(&SIM_TROUBLES, &place)?.unwrap_or(0);
        let how = Answering::choose(faults, troubled);
        let left = faults.after_troubles(troubled);
        if how != Answering::Properly || left != faults.after_troubles(u32::MAX) {
            self.tx.put(&SIM_TROUBLES, &place, &troubled.saturating_add(1))?;
        }
        Ok((how, left))
    }

    /// Forgets troubled answers that were counted under names which sort before `name`, some at a time: a provider whose
    /// names begin with a moment keeps none of the past.
    pub fn forget_troubles(&mut self, merchant: &str, name: &str) -> Result<(), StoreError> {
        let span = Span::prefix(&(self.dialect.name().to_owned(), merchant.to_owned()));
        for (place, _) in self.tx.scan(&SIM_TROUBLES, &span, Sorted::Ascending, FORGOTTEN_AT_ONCE)? {
            if place.2.as_str() < name {
                self.tx.delete(&SIM_TROUBLES, &place)?;
            }
        }
        Ok(())
    }

    /// The faults on the provider's board.
    pub fn faults(&self) -> Result<Faults, StoreError> {
        Ok(board(self.tx, self.dialect.name())?.faults)
    }

    pub fn member(&self, number: &str) -> Result<Option<Member>, StoreError> {
        self.tx.get(&SIM_MEMBERS, &(self.dialect.name().to_owned(), number.to_owned()))
    }

    /// Makes an order, or finds the one that is there and can still be paid. With `renew`, or when its code is too old, the
    /// found one gets `code`, and its old code is dead.
    pub fn create(
        &mut self,
        asked: &NewOrder,
        code: [u8; 16],
        code_life: Duration,
        renew: bool,
    ) -> Result<Result<Order, Refusal>, StoreError> {
        let Some(known) = self.order(&asked.merchant, &asked.number)? else {
            self.make_room()?;
            let change = Order::create(asked.clone(), code, code_life, self.faults()?, self.now);
            let subject = order_subject(&change.order);
            self.tx.put(&SIM_AGES, &(self.now, self.dialect.name().to_owned(), subject.clone()), &())?;
            self.name(&code_name(code), &subject)?;
            self.name(&short_name(&change.order.short_number()), &subject)?;
            return self.keep(change).map(Ok);
        };
        Ok(match known.state {
            TradeState::Paid => Err(Refusal::Paid),
            TradeState::Closed | TradeState::Revoked | TradeState::Failed => Err(Refusal::Closed),
            TradeState::NotPaid | TradeState::Paying if !asked.repeats(&known.asked) => Err(Refusal::OrderNumberUsed),
            TradeState::NotPaid | TradeState::Paying if renew || self.now >= known.code_until => {
                self.unname(&code_name(known.code))?;
                let order = known.renewed(code, code_life, self.now);
                self.name(&code_name(code), &order_subject(&order))?;
                Ok(self.put_order(order)?)
            }
            TradeState::NotPaid | TradeState::Paying => Ok(known),
        })
    }

    /// An order as it is now. Another merchant's does not exist.
    pub fn order(&mut self, merchant: &str, number: &str) -> Result<Option<Order>, StoreError> {
        match self.tx.get(&SIM_ORDERS, &self.place(merchant, number))? {
            Some(order) => self.keep(order.advance(self.now)).map(Some),
            None => Ok(None),
        }
    }

    /// The order behind the provider's own number of a payment.
    pub fn order_by_transaction(&mut self, merchant: &str, transaction: &str) -> Result<Option<Order>, StoreError> {
        match self.named(&transaction_name(transaction))? {
            Some(Subject::Order { merchant: whose, number }) if whose == merchant => self.order(merchant, &number),
            Some(Subject::Order { .. } | Subject::Refund { .. }) | None => Ok(None),
        }
    }

    /// The order behind its [`Order::short_number`].
    pub fn order_by_short_number(&mut self, merchant: &str, short: &str) -> Result<Option<Order>, StoreError> {
        match self.named(&short_name(short))? {
            Some(Subject::Order { merchant: whose, number }) if whose == merchant => self.order(merchant, &number),
            Some(Subject::Order { .. } | Subject::Refund { .. }) | None => Ok(None),
        }
    }

    /// The order behind a payer's page.
    pub fn order_by_code(&mut self, code: [u8; 16]) -> Result<Option<Order>, StoreError> {
        match self.named(&code_name(code))? {
            Some(Subject::Order { merchant, number }) => self.order(&merchant, &number),
            Some(Subject::Refund { .. }) | None => Ok(None),
        }
    }

    pub fn close(&mut self, merchant: &str, number: &str) -> Result<Result<Order, Refusal>, StoreError> {
        self.change(merchant, number, |order, now| order.close(now))
    }

    /// Takes an order back (撤销).
    pub fn revoke(&mut self, merchant: &str, number: &str) -> Result<Result<Order, Refusal>, StoreError> {
        self.change(merchant, number, |order, now| order.revoke(now))
    }

    /// What the payer does. `None`: the code opens nothing.
    pub fn act(&mut self, code: [u8; 16], deed: Deed) -> Result<Option<Result<Order, Refusal>>, StoreError> {
        let Some(order) = self.order_by_code(code)? else { return Ok(None) };
        // A late payer is not stopped by a dead code: that is the point of the deed.
        if deed != Deed::PayLate && order.state == TradeState::NotPaid && !order.code_works(self.now) {
            return Ok(Some(Err(Refusal::Closed)));
        }
        self.change(&order.asked.merchant, &order.asked.number, |order, now| order.act(deed, now)).map(Some)
    }

    /// The order whose number begins with `number`, whichever merchant's it is.
    pub fn order_beginning(&mut self, number: &str) -> Result<Option<Order>, StoreError> {
        let provider = self.dialect.name().to_owned();
        let members = self.tx.scan(&SIM_MEMBERS, &Span::prefix(&provider), Sorted::Ascending, MEMBERS_LOOKED_AT_MAX)?;
        for ((_, merchant), _) in members {
            let of = Span::prefix(&(provider.clone(), merchant.clone())).from(&self.place(&merchant, number));
            let first = self.tx.scan(&SIM_ORDERS, &of, Sorted::Ascending, 1)?.pop();
            if let Some(((_, _, whole), _)) = first.filter(|((_, _, whole), _)| whole.starts_with(number)) {
                return self.order(&merchant, &whole);
            }
        }
        Ok(None)
    }

    /// Ends an order as the test API asks.
    pub fn play(&mut self, order: &Order, simulation: Simulation) -> Result<Result<Order, Refusal>, StoreError> {
        self.change(&order.asked.merchant, &order.asked.number, |order, now| order.play(simulation, now))
    }

    /// Whether a code that a payer showed could be used now.
    pub fn code_is_good(&self, digits: &str) -> Result<bool, StoreError> {
        let code = self.tx.get(&SIM_PAYER_CODES, &(self.dialect.name().to_owned(), digits.to_owned()))?;
        Ok(code.is_some_and(|code| !code.used && self.now < code.until))
    }

    /// Pays an order by the code that the payer showed. `None`: the code is unknown, too old or used.
    pub fn pay_by_code(&mut self, order: &Order, digits: &str) -> Result<Option<(Mood, Order)>, StoreError> {
        let place = (self.dialect.name().to_owned(), digits.to_owned());
        let Some(code) = self.tx.get(&SIM_PAYER_CODES, &place)? else { return Ok(None) };
        if code.used || self.now >= code.until {
            return Ok(None);
        }
        self.tx.put(&SIM_PAYER_CODES, &place, &PayerCode { used: true, ..code })?;
        let deed = match code.mood {
            Mood::Pays => Deed::Pay,
            Mood::AskedForPassword => Deed::PaySlowly,
            Mood::BalanceShort => Deed::BalanceShort,
            Mood::Refuses => Deed::Refuse,
        };
        let done = self.change(&order.asked.merchant, &order.asked.number, |order, now| order.act(deed, now))?;
        Ok(Some((code.mood, done.unwrap_or_else(|_| order.clone()))))
    }

    /// The payer shows a code from now on; codes that are over go.
    pub fn show_code(&mut self, digits: &str, mood: Mood) -> Result<(), StoreError> {
        let of = Span::prefix(&self.dialect.name().to_owned());
        for (place, code) in self.tx.scan(&SIM_PAYER_CODES, &of, Sorted::Ascending, MOVES_MAX)? {
            if self.now >= code.until {
                self.tx.delete(&SIM_PAYER_CODES, &place)?;
            }
        }
        let code = PayerCode { until: self.now.plus(PAYER_CODE_LIFE), mood, used: false };
        self.tx.put(&SIM_PAYER_CODES, &(self.dialect.name().to_owned(), digits.to_owned()), &code)
    }

    /// Sets how the provider misbehaves about one order from now on.
    pub fn set_faults(&mut self, order: &Order, faults: Faults) -> Result<(), StoreError> {
        self.put_order(Order { faults, ..order.clone() }).map(drop)
    }

    /// Refunds, or finds the refund that was asked for before.
    pub fn refund(&mut self, asked: &NewRefund, rules: RefundRules) -> Result<Result<Refund, Refusal>, StoreError> {
        if let Some(known) = self.refund_by_number(&asked.merchant, &asked.number)? {
            return Ok(if known.asked == *asked { Ok(known) } else { Err(Refusal::RefundNumberUsed) });
        }
        let Some(order) = self.order(&asked.merchant, &asked.order)? else { return Ok(Err(Refusal::UnknownOrder)) };
        match order.refund(asked.clone(), rules, self.now) {
            Err(why) => Ok(Err(why)),
            Ok((order, change)) => {
                let order = self.put_order(order)?;
                let subject = refund_subject(&change.refund);
                self.name(&refund_name(&change.refund.refund_id), &subject)?;
                self.moved(&asked.merchant, self.now, subject)?;
                let by_order =
                    (self.dialect.name().to_owned(), asked.merchant.clone(), asked.order.clone(), asked.number.clone());
                self.tx.put(&SIM_REFUNDS_BY_ORDER, &by_order, &())?;
                self.keep_refund(&order, change).map(Ok)
            }
        }
    }

    pub fn refund_by_number(&mut self, merchant: &str, number: &str) -> Result<Option<Refund>, StoreError> {
        match self.tx.get(&SIM_REFUNDS, &self.place(merchant, number))? {
            Some(refund) => self.advance_refund(&refund).map(Some),
            None => Ok(None),
        }
    }

    /// The refund behind the provider's own number.
    pub fn refund_by_id(&mut self, merchant: &str, refund_id: &str) -> Result<Option<Refund>, StoreError> {
        match self.named(&refund_name(refund_id))? {
            Some(Subject::Refund { merchant: whose, number }) if whose == merchant => {
                self.refund_by_number(merchant, &number)
            }
            Some(Subject::Order { .. } | Subject::Refund { .. }) | None => Ok(None),
        }
    }

    /// Numbers of an order's refunds.
    pub fn refunds_of(&self, order: &Order) -> Result<Vec<String>, StoreError> {
        let of = (self.dialect.name().to_owned(), order.asked.merchant.clone(), order.asked.number.clone());
        let rows = self.tx.scan(&SIM_REFUNDS_BY_ORDER, &Span::prefix(&of), Sorted::Ascending, MOVES_MAX)?;
        Ok(rows.into_iter().map(|((_, _, _, number), ())| number).collect())
    }

    /// Names another way for the money of a refund that cannot go back.
    pub fn help(
        &mut self,
        refund: &Refund,
        to: Helped,
        takes: Duration,
    ) -> Result<Result<Refund, Refusal>, StoreError> {
        match refund.help(to, takes, self.now) {
            Err(why) => Ok(Err(why)),
            Ok(change) => self.keep_refund_alone(change).map(Ok),
        }
    }

    /// Payments received and refunds made in `from..until`, oldest first, at most [`MOVES_MAX`].
    pub fn moves(
        &mut self,
        merchant: &str,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<(Timestamp, Subject)>, StoreError> {
        let of = (self.dialect.name().to_owned(), merchant.to_owned());
        let span =
            Span::prefix(&of).from(&(of.0.clone(), of.1.clone(), from)).until(&(of.0.clone(), of.1.clone(), until));
        let rows = self.tx.scan(&SIM_MOVES, &span, Sorted::Ascending, MOVES_MAX)?;
        Ok(rows.into_iter().map(|((_, _, at, subject), ())| (at, subject)).collect())
    }

    fn place(&self, merchant: &str, number: &str) -> (String, String, String) {
        (self.dialect.name().to_owned(), merchant.to_owned(), number.to_owned())
    }

    /// Lets time pass first, then changes the order.
    fn change(
        &mut self,
        merchant: &str,
        number: &str,
        decide: impl FnOnce(&Order, Timestamp) -> Result<Change, Refusal>,
    ) -> Result<Result<Order, Refusal>, StoreError> {
        let Some(order) = self.order(merchant, number)? else { return Ok(Err(Refusal::UnknownOrder)) };
        match decide(&order, self.now) {
            Ok(change) => self.keep(change).map(Ok),
            Err(why) => Ok(Err(why)),
        }
    }

    fn keep(&mut self, change: Change) -> Result<Order, StoreError> {
        let Change { order, notices, wake } = change;
        let subject = order_subject(&order);
        if let Some(received) = &order.received {
            let name = transaction_name(&received.transaction_id);
            if self.named(&name)?.is_none() {
                self.name(&name, &subject)?;
                self.moved(&order.asked.merchant, received.at, subject.clone())?;
            }
        }
        if let (Some(_), TradeState::Revoked, Some(at)) = (&order.received, order.state, order.ended_at) {
            // The money went back: a movement of its own.
            self.moved(&order.asked.merchant, at, subject.clone())?;
        }
        let order = self.put_order(order)?;
        for (place, notice) in notices.into_iter().enumerate() {
            self.post(&order, None, notice, place)?;
        }
        self.wake_at(wake, subject)?;
        Ok(order)
    }

    fn put_order(&mut self, order: Order) -> Result<Order, StoreError> {
        let place = self.place(&order.asked.merchant, &order.asked.number);
        if self.tx.get(&SIM_ORDERS, &place)?.as_ref() != Some(&order) {
            self.tx.put(&SIM_ORDERS, &place, &order)?;
        }
        Ok(order)
    }

    fn advance_refund(&mut self, refund: &Refund) -> Result<Refund, StoreError> {
        self.keep_refund_alone(refund.advance(self.now))
    }

    fn keep_refund_alone(&mut self, change: RefundChange) -> Result<Refund, StoreError> {
        let asked = &change.refund.asked;
        let order = self.tx.get(&SIM_ORDERS, &self.place(&asked.merchant, &asked.order))?;
        match order {
            Some(order) if change.released_minor > 0 => {
                let order = self.put_order(order.release(change.released_minor))?;
                self.keep_refund(&order, change)
            }
            Some(order) => self.keep_refund(&order, change),
            // The order made room for newer ones; nobody can be told.
            None => Ok(change.refund),
        }
    }

    fn keep_refund(&mut self, order: &Order, change: RefundChange) -> Result<Refund, StoreError> {
        let RefundChange { refund, notices, wake, released_minor: _ } = change;
        let place = self.place(&refund.asked.merchant, &refund.asked.number);
        if self.tx.get(&SIM_REFUNDS, &place)?.as_ref() != Some(&refund) {
            self.tx.put(&SIM_REFUNDS, &place, &refund)?;
        }
        for (place, notice) in notices.into_iter().enumerate() {
            self.post(order, Some(&refund), notice, place)?;
        }
        self.wake_at(wake, refund_subject(&refund))?;
        Ok(refund)
    }

    /// Puts one notification on its way. The same fact has the same id however often it is told.
    fn post(&mut self, order: &Order, refund: Option<&Refund>, notice: Notice, place: usize) -> Result<(), StoreError> {
        let about = refund.map_or(&order.asked.number, |refund| &refund.asked.number);
        let helped = refund.is_some_and(|refund| refund.helped != Helped::No);
        let fact = format!("{} {} {about} {:?} {helped}", self.dialect.name(), order.asked.merchant, notice.what);
        let id = sixteen(&fact);
        let Some(telling) = self.dialect.tell(&News { order, refund, notice, id }) else { return Ok(()) };
        let letter = Letter {
            provider: self.dialect.name().to_owned(),
            merchant: order.asked.merchant.clone(),
            notify_url: telling.url,
            text: telling.text,
            id,
            event: notice.what,
            posted_at: self.now,
            forged: notice.forged,
            overtaken: notice.overtaken,
            probed: notice.probed,
            faults: order.faults,
            tries: 0,
        };
        self.tx.put(&SIM_LETTERS, &(notice.at, sixteen(&format!("{fact} {place}"))), &letter)?;
        // Whoever waited to be overtaken has been.
        let waiting = self.tx.scan(&SIM_LETTERS, &Span::all(), Sorted::Ascending, LETTERS_LOOKED_AT_MAX)?;
        for (key, other) in waiting {
            if other.overtaken && other.merchant == letter.merchant && other.id != id {
                self.tx.delete(&SIM_LETTERS, &key)?;
                let freed = Letter { overtaken: false, ..other };
                let at = if letter.overtaken { self.now } else { notice.at };
                self.tx.put(&SIM_LETTERS, &(at.plus(OVERTAKEN_BY), key.1), &freed)?;
            }
        }
        Ok(())
    }

    fn wake_at(&mut self, at: Option<Timestamp>, subject: Subject) -> Result<(), StoreError> {
        match at {
            Some(at) => self.tx.put(&SIM_WAKES, &(at, self.dialect.name().to_owned(), subject), &()),
            None => Ok(()),
        }
    }

    fn moved(&mut self, merchant: &str, at: Timestamp, subject: Subject) -> Result<(), StoreError> {
        self.tx.put(&SIM_MOVES, &(self.dialect.name().to_owned(), merchant.to_owned(), at, subject), &())
    }

    fn name(&mut self, name: &str, subject: &Subject) -> Result<(), StoreError> {
        self.tx.put(&SIM_NAMES, &(self.dialect.name().to_owned(), name.to_owned()), subject)
    }

    fn unname(&mut self, name: &str) -> Result<(), StoreError> {
        self.tx.delete(&SIM_NAMES, &(self.dialect.name().to_owned(), name.to_owned())).map(drop)
    }

    fn named(&self, name: &str) -> Result<Option<Subject>, StoreError> {
        self.tx.get(&SIM_NAMES, &(self.dialect.name().to_owned(), name.to_owned()))
    }

    /// Counts one more order; where the folder is full the oldest goes, with everything that belongs to it.
    fn make_room(&mut self) -> Result<(), StoreError> {
        let common = common(self.tx)?;
        if common.orders < ORDERS_MAX {
            return self.tx.put(&SIM_COMMON, &0, &Common { orders: common.orders + 1, ..common });
        }
        let oldest = self.tx.scan(&SIM_AGES, &Span::all(), Sorted::Ascending, 1)?;
        for (key, ()) in oldest {
            self.tx.delete(&SIM_AGES, &key)?;
            let (_, provider, Subject::Order { merchant, number }) = key else { continue };
            let Some(order) = self.tx.get(&SIM_ORDERS, &(provider.clone(), merchant.clone(), number.clone()))? else {
                continue;
            };
            let refunds_of = (provider.clone(), merchant.clone(), number.clone());
            let refunds =
                self.tx.scan(&SIM_REFUNDS_BY_ORDER, &Span::prefix(&refunds_of), Sorted::Ascending, MOVES_MAX)?;
            for (key, ()) in refunds {
                self.tx.delete(&SIM_REFUNDS_BY_ORDER, &key)?;
                let place = (provider.clone(), merchant.clone(), key.3);
                if let Some(refund) = self.tx.get(&SIM_REFUNDS, &place)? {
                    self.tx.delete(&SIM_REFUNDS, &place)?;
                    self.tx.delete(&SIM_NAMES, &(provider.clone(), refund_name(&refund.refund_id)))?;
                    let moved = (provider.clone(), merchant.clone(), refund.created_at, refund_subject(&refund));
                    self.tx.delete(&SIM_MOVES, &moved)?;
                }
            }
            if let Some(received) = &order.received {
                self.tx.delete(&SIM_NAMES, &(provider.clone(), transaction_name(&received.transaction_id)))?;
                let moved = (provider.clone(), merchant.clone(), received.at, order_subject(&order));
                self.tx.delete(&SIM_MOVES, &moved)?;
            }
            self.tx.delete(&SIM_NAMES, &(provider.clone(), short_name(&order.short_number())))?;
            self.tx.delete(&SIM_NAMES, &(provider.clone(), code_name(order.code)))?;
            self.tx.delete(&SIM_TROUBLES, &(provider.clone(), merchant.clone(), number.clone()))?;
            self.tx.delete(&SIM_ORDERS, &(provider, merchant, number))?;
        }
        Ok(())
    }
}

/// Lets everything happen that is due, at most `limit` things.
pub(super) fn wake(
    tx: &mut WriteTx<'_>,
    dialects: &[Arc<dyn Dialect>],
    now: Timestamp,
    limit: usize,
) -> Result<(), StoreError> {
    let due = tx.scan(&SIM_WAKES, &Span::all(), Sorted::Ascending, limit)?;
    for ((at, provider, subject), ()) in due.into_iter().take_while(|((at, _, _), ())| *at <= now) {
        tx.delete(&SIM_WAKES, &(at, provider.clone(), subject.clone()))?;
        let Some(dialect) = dialects.iter().find(|dialect| dialect.name() == provider) else { continue };
        let mut desk = Desk { tx, dialect: dialect.as_ref(), now };
        match subject {
            Subject::Order { merchant, number } => desk.order(&merchant, &number).map(drop)?,
            Subject::Refund { merchant, number } => desk.refund_by_number(&merchant, &number).map(drop)?,
        }
    }
    Ok(())
}

/// Orders that are looked at to find those that wait for a payer.
const WAITING_LOOKED_AT_MAX: usize = 200;

/// The newest orders that a payer could pay now, with their provider's name.
pub(super) fn waiting(tx: &impl Read, real_now: Timestamp, limit: usize) -> Result<Vec<(String, Order)>, StoreError> {
    let now = simulated_now(tx, real_now)?;
    let mut found = Vec::new();
    for ((_, provider, subject), ()) in tx.scan(&SIM_AGES, &Span::all(), Sorted::Descending, WAITING_LOOKED_AT_MAX)? {
        let Subject::Order { merchant, number } = subject else { continue };
        let Some(order) = tx.get(&SIM_ORDERS, &(provider.clone(), merchant, number))? else { continue };
        if found.len() < limit && order.advance(now).order.code_works(now) {
            found.push((provider, order));
        }
    }
    Ok(found)
}

pub(super) fn simulated_now(tx: &impl Read, real_now: Timestamp) -> Result<Timestamp, StoreError> {
    Ok(real_now.plus(common(tx)?.ahead))
}

pub(super) fn skip(tx: &mut WriteTx<'_>, ahead: Duration) -> Result<(), StoreError> {
    let common = common(tx)?;
    let ahead = Duration::from_millis(common.ahead.as_millis().saturating_add(ahead.as_millis()));
    tx.put(&SIM_COMMON, &0, &Common { ahead, ..common })
}

pub(super) fn board(tx: &impl Read, provider: &str) -> Result<Board, StoreError> {
    Ok(tx.get(&SIM_BOARD, &provider.to_owned())?.unwrap_or_default())
}

fn common(tx: &impl Read) -> Result<Common, StoreError> {
    Ok(tx.get(&SIM_COMMON, &0)?.unwrap_or_default())
}

fn order_subject(order: &Order) -> Subject {
    Subject::Order { merchant: order.asked.merchant.clone(), number: order.asked.number.clone() }
}

fn refund_subject(refund: &Refund) -> Subject {
    Subject::Refund { merchant: refund.asked.merchant.clone(), number: refund.asked.number.clone() }
}

fn code_name(code: [u8; 16]) -> String {
    format!("code {}", data_encoding::HEXLOWER.encode(&code))
}

fn short_name(short: &str) -> String {
    format!("short {short}")
}

fn transaction_name(transaction: &str) -> String {
    format!("transaction {transaction}")
}

fn refund_name(refund_id: &str) -> String {
    format!("refund {refund_id}")
}

fn sixteen(text: &str) -> [u8; 16] {
    let hash = digest(&SHA256, text.as_bytes());
    let (head, _) = hash.as_ref().split_first_chunk::<16>().expect("SHA-256 has 32 bytes");
    *head
}
