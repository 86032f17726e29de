//! A plain model of what must have become of every payment, from the rules alone: it knows no tables, no ladder, no
//! ledger and no code of the gateway. It is told what the outside world has said to the gateway, and says what the
//! merchant must see then.
//!
//! Where the rules leave the moment open the model holds a permission: once its time is over a payment *may* be seen as
//! expired, once the channel does not know an order that is to be closed, it *may* be seen as closed. Whatever the gateway
//! shows must follow from what was said and from permissions; the clock alone permits no attempt to end.

use std::collections::BTreeMap;

use super::decided::{About, Case, Line, Proposed};
use crate::domain::time::{Duration, Timestamp};

/// What a channel says about an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Accepted,
    NotPaid,
    Paid {
        minor: u64,
        transaction: String,
    },
    Closed,
    Declined,
    NotFound,
    Refused,
    /// The account may order nothing, whatever the order.
    Barred,
    /// There is an order, and its code is not told again.
    CodeLost,
    Unknown,
}

/// What a channel says about a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefundWord {
    Processing,
    Succeeded,
    /// A message that names the amount, which may be another.
    SucceededWith {
        minor: u64,
    },
    Failed,
    NotFound,
    Refused,
    /// The way back is blocked (ABNORMAL).
    Undeliverable,
}

/// What was asked; a message that comes by itself answers nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Create,
    Query,
    Close,
    Refund,
    QueryRefund,
    Nobody,
}

/// Something genuine that reached the gateway, by the channel's number of the order or refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    Order { number: String, word: Word, asked: Asked },
    Refund { number: String, word: RefundWord, asked: Asked },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    Book,
    Refund,
    Hold,
}

/// The merchant's choices.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) fee_ppm: u64,
    pub(super) fee_returned: bool,
    pub(super) late: Late,
    pub(super) second_refunded: bool,
    /// Refunds that bring a payment's refunds beyond it take two persons.
    pub(super) two_over: Option<u64>,
}

/// What a merchant can see of one payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) state: &'static str,
    pub(super) late: bool,
    pub(super) fee: u64,
    pub(super) refunding: u64,
    pub(super) refunded: u64,
    pub(super) fee_returned: u64,
    pub(super) attempts: Vec<&'static str>,
    pub(super) refunds: Vec<(u64, &'static str)>,
    pub(super) events: Vec<&'static str>,
    /// Kinds and states.
    pub(super) cases: Vec<(&'static str, &'static str)>,
}

/// How an attempt at a channel comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// The channel closes it when it is told to.
    Closed,
    /// The customer showed a code, which is charged at once: the charge is taken back when nobody knows what became of it.
    ShownCode,
    /// The channel closes nothing; what it does not know after the end that was told to it is over.
    EndsByItself,
}

/// Who a customer is towards the merchant's apps: by the shop's word, and by a wallet's.
pub(super) const OPENID: &str = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o";
pub(super) const VISITOR: &str = "oUpF8uN95-Ptaags6E_roPHg7AG0";

/// How a customer pays by an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    pub(super) code: &'static str,
    pub(super) manner: Manner,
    /// The customer's device carries the order to the channel, which hears of it from nobody else.
    pub(super) carried: bool,
    /// What the customer was given can be used for so long, where that is shorter than the order lives.
    pub(super) opens_for: Option<Duration>,
    /// The attempt is one person's, and nobody else's.
    pub(super) named: bool,
}

/// A charge that nobody has confirmed for so long is taken back.
const AT_THE_COUNTER: Duration = Duration::from_seconds(45);
/// So long after the end that was told to a channel its order is over for certain.
const OVER_AFTER: Duration = Duration::from_seconds(60);

#[derive(Clone, Debug)]
pub(super) struct Attempt {
    how: How,
    started_at: Timestamp,
    pub(super) state: &'static str,
    /// Until then the channel takes money for it, whatever becomes of the payment's time.
    expires_at: Timestamp,
    time_over: bool,
    pub(super) closing: bool,
    /// The channel was told to close it.
    close_sent: bool,
    /// What the channel said allows to close it.
    may_close: bool,
    /// How often it was heard to be unpaid since it has to be closed and nobody tried.
    left_open: u32,
    pub(super) disputed: bool,
    /// The customer has its code.
    shown: bool,
    /// Nobody will ever have its code: another attempt may take its place.
    code_lost: bool,
    /// Its account was refused: it has failed, and another one may take its place.
    barred: bool,
    /// The charge of a shown code may be seen to wait for the customer.
    may_wait: bool,
    /// A message said that a shown code was charged, while the charge was perhaps being taken back.
    perhaps_paid: Option<(u64, String)>,
    pub(super) paid_by: Option<String>,
    /// What was taken for it.
    pub(super) paid_minor: u64,
}

#[derive(Clone, Debug)]
struct Refund {
    amount: u64,
    /// Out of suspense: of which case's money.
    of_case: Option<usize>,
    state: &'static str,
    /// What the channel said allows to give it up.
    may_fail: bool,
}

/// How many persons stand behind a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persons {
    One,
    Two,
}

#[derive(Clone, Debug)]
pub(super) struct Payment {
    pub(super) amount: u64,
    fixed: Option<&'static str>,
    expires_at: Timestamp,
    /// Its time has been over at some moment.
    time_over: bool,
    pub(super) attempts: Vec<Attempt>,
    refunds: Vec<Refund>,
    /// The end that is wanted.
    wanted: Option<&'static str>,
    pub(super) over: Option<&'static str>,
    /// It ended when its time was over, so the end may be called so.
    over_late: bool,
    /// The attempt whose money is the payment's.
    pub(super) payer: Option<usize>,
    pub(super) late: bool,
    fee_returned: u64,
    pub(super) events: Vec<&'static str>,
    pub(super) cases: Vec<Case>,
    /// Minor units of which a person said that the customer got them by another way.
    pub(super) elsewhere: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) policy: Policy,
    /// The gateway's time.
    now: Timestamp,
    pub(super) payments: Vec<Payment>,
    by_order: BTreeMap<String, usize>,
    /// Which payment's how-manieth attempt or refund has which number at the channel.
    pub(super) attempts: BTreeMap<String, (usize, usize)>,
    refunds: BTreeMap<String, (usize, usize)>,
    /// The shops' own numbers of refunds: order and amount.
    refund_numbers: BTreeMap<String, (String, u64)>,
    /// Refunds that one person has proposed, by the shop's number.
    pub(super) proposals: BTreeMap<String, Proposed>,
}

/// Rounded half up.
fn fee(amount: u64, ppm: u64) -> u64 {
    (amount * ppm + 500_000) / 1_000_000
}

impl Attempt {
    pub(super) fn is_live(&self) -> bool {
        matches!(self.state, "created" | "pending")
    }
}

impl Refund {
    fn is_open(&self) -> bool {
        matches!(self.state, "pending" | "processing" | "undeliverable" | "returned")
    }
}

impl Payment {
    fn state(&self) -> &'static str {
        match (self.payer, self.over) {
            (Some(_), _) => "paid",
            (None, Some(over)) => over,
            (None, None) if self.attempts.iter().any(Attempt::is_live) => "processing",
            (None, None) => "open",
        }
    }

    fn has_ended(&self) -> bool {
        self.payer.is_some() || self.over.is_some()
    }

    /// The sum of the merchant's refunds, open or successful.
    fn sum(&self, open: bool) -> u64 {
        let own = self.refunds.iter().filter(|refund| refund.of_case.is_none());
        own.filter(|refund| if open { refund.is_open() } else { refund.state == "succeeded" }).map(|r| r.amount).sum()
    }

    fn refundable(&self) -> u64 {
        if self.payer.is_none() { 0 } else { self.amount - self.sum(true) - self.sum(false) }
    }

    fn view(&self, policy: Policy) -> View {
        View {
            state: self.state(),
            late: self.late,
            fee: if self.payer.is_some() { fee(self.amount, policy.fee_ppm) } else { 0 },
            refunding: self.sum(true),
            refunded: self.sum(false),
            fee_returned: self.fee_returned,
            attempts: self.attempts.iter().map(|attempt| attempt.state).collect(),
            refunds: self.refunds.iter().map(|refund| (refund.amount, refund.state)).collect(),
            events: self.events.clone(),
            cases: {
                let mut kinds: Vec<_> = self.cases.iter().map(|case| (case.kind, case.state)).collect();
                kinds.sort_unstable();
                kinds
            },
        }
    }

    /// Ends the payment if that is wanted and nothing can be paid any more.
    pub(super) fn settle(&mut self) {
        if let Some(wanted) = self.wanted
            && !self.has_ended()
            && !self.attempts.iter().any(Attempt::is_live)
        {
            self.end(wanted);
        }
    }

    fn end(&mut self, how: &'static str) {
        self.over = Some(how);
        self.over_late = self.time_over;
        self.events.push(how);
    }

    fn want(&mut self, end: &'static str) {
        self.wanted.get_or_insert(end);
        self.attempts.iter_mut().for_each(|attempt| attempt.closing = true);
        self.settle();
    }

    fn start(&mut self, how: How, now: Timestamp) {
        if self.state() == "open" {
            self.events.push("processing");
        }
        self.attempts.iter_mut().for_each(|attempt| attempt.closing = true);
        self.attempts.push(Attempt {
            how,
            started_at: now,
            state: "created",
            expires_at: match how.manner {
                Manner::ShownCode => self.expires_at.min(now.plus(AT_THE_COUNTER)),
                Manner::Closed | Manner::EndsByItself => self.expires_at,
            },
            time_over: false,
            closing: false,
            close_sent: false,
            may_close: false,
            left_open: 0,
            disputed: false,
            shown: false,
            code_lost: false,
            barred: false,
            may_wait: false,
            perhaps_paid: None,
            paid_by: None,
            paid_minor: 0,
        });
    }

    fn attempt_ended(&mut self, a: usize, state: &'static str) {
        self.attempts[a].state = state;
        self.settle();
        let hopeless = state == "failed" || self.attempts[a].how.manner == Manner::ShownCode;
        if self.state() == "open" && self.fixed.is_some() && hopeless {
            self.end("failed");
        }
    }

    pub(super) fn give_back(&mut self, amount: u64, of_case: Option<usize>) {
        if let Some(c) = of_case {
            self.cases[c].state = "refunding";
        }
        self.refunds.push(Refund { amount, of_case, state: "pending", may_fail: false });
        self.events.push("refund.created");
    }

    /// The channel has money for an attempt.
    fn money(&mut self, a: usize, minor: u64, transaction: &str, policy: Policy) {
        let attempt = &mut self.attempts[a];
        let line = Line { minor, transaction: transaction.to_owned() };
        if minor != self.amount {
            let (live, paid) = (attempt.is_live(), attempt.paid_by.is_some());
            let case = self.open_case(About::Attempt(a), "wrong_amount", line, 0);
            // What a person has looked at already holds nothing up again.
            let decided = !live && !self.cases[case].is_open();
            self.attempts[a].disputed |= !paid && !decided;
            return;
        }
        if attempt.paid_by.is_some() {
            return;
        }
        attempt.paid_by = Some(transaction.to_owned());
        attempt.paid_minor = minor;
        attempt.disputed = false;
        attempt.state = "paid";
        self.note_right(a, &line);
        if self.payer.is_some() {
            let case = self.open_case(About::Attempt(a), "second_payment", line, minor);
            if policy.second_refunded {
                self.give_back(self.amount, Some(case));
            }
            return;
        }
        self.late = self.over.is_some() && policy.late != Late::Hold;
        if self.over.is_some() && policy.late == Late::Hold {
            self.open_case(About::Attempt(a), "late_payment", line, minor);
            return;
        }
        self.payer = Some(a);
        self.events.push(if self.late { "late" } else { "paid" });
        self.attempts.iter_mut().for_each(|attempt| attempt.closing = true);
        if self.late && policy.late == Late::Refund {
            self.give_back(self.amount, None);
        }
    }

    fn refund_ended(&mut self, r: usize, succeeded: bool, policy: Policy) {
        self.refunds[r].state = if succeeded { "succeeded" } else { "failed" };
        self.events.push(if succeeded { "refund.succeeded" } else { "refund.failed" });
        match self.refunds[r].of_case {
            Some(c) if succeeded => {
                self.cases[c].suspense = 0;
                self.cases[c].state = "refunded";
            }
            Some(c) => self.cases[c].state = "open",
            None if succeeded && policy.fee_returned => {
                let whole = u128::from(fee(self.amount, policy.fee_ppm));
                let back = whole * u128::from(self.sum(false)) / u128::from(self.amount);
                self.fee_returned = u64::try_from(back).expect("a share of the fee is at most the fee");
            }
            None => {}
        }
    }

    /// What may have happened without anybody saying so, each as the payment would be then.
    fn permitted(&self, policy: Policy) -> Vec<Payment> {
        let mut next = Vec::new();
        if self.time_over && !self.has_ended() && self.wanted != Some("expired") {
            let mut expired = self.clone();
            expired.wanted = None;
            expired.want("expired");
            next.push(expired);
        }
        if self.over_late && matches!(self.over, Some("canceled" | "failed")) && self.payer.is_none() {
            let mut expired = self.clone();
            expired.over = Some("expired");
            if let Some(told) = expired.events.iter_mut().rev().find(|kind| matches!(**kind, "canceled" | "failed")) {
                *told = "expired";
            }
            next.push(expired);
        }
        for (a, attempt) in self.attempts.iter().enumerate() {
            if attempt.state == "created" && attempt.may_wait {
                let mut waiting = self.clone();
                waiting.attempts[a].state = "pending";
                next.push(waiting);
            }
            if attempt.state == "created" && attempt.how.carried {
                let mut shown = self.clone();
                shown.attempts[a].state = "pending";
                shown.attempts[a].shown = true;
                next.push(shown);
            }
            if let Some((minor, transaction)) = attempt.perhaps_paid.clone() {
                let mut paid = self.clone();
                paid.attempts[a].perhaps_paid = None;
                paid.money(a, minor, &transaction, policy);
                next.push(paid);
            }
            if attempt.barred && attempt.is_live() {
                let mut failed = self.clone();
                failed.attempts[a].barred = false;
                failed.attempt_ended(a, "failed");
                next.push(failed);
                if !self.has_ended() && a + 1 == self.attempts.len() {
                    let mut moved = self.clone();
                    moved.attempts[a].barred = false;
                    moved.start(attempt.how, attempt.started_at);
                    moved.attempts[a].state = "failed";
                    next.push(moved);
                }
            }
            if attempt.code_lost && attempt.is_live() && !self.has_ended() && a + 1 == self.attempts.len() {
                let alike = self.attempts.iter().filter(|other| other.how.code == attempt.how.code).count();
                let mut other = self.clone();
                other.attempts[a].code_lost = false;
                match self.fixed {
                    Some(_) if alike >= ATTEMPTS_BY_ITSELF_MAX => other.want("failed"),
                    Some(_) | None => other.start(attempt.how, attempt.started_at),
                }
                next.push(other);
            }
            if attempt.is_live() && attempt.may_close {
                let mut closed = self.clone();
                closed.attempt_ended(a, "closed");
                next.push(closed);
            }
        }
        for (r, refund) in self.refunds.iter().enumerate() {
            if refund.is_open() && refund.may_fail {
                let mut failed = self.clone();
                failed.refund_ended(r, false, policy);
                next.push(failed);
            }
        }
        next
    }
}

/// Nobody pays a code that is older. The gateway asks for a day.
const LATE_AT_MOST: Duration = Duration::from_hours(20);

/// Questions that may be answered "not paid" before a close is tried: some were under way, some are asked again after a crash.
const LEFT_OPEN_MAX: u32 = 4;

/// Attempts by one method until no further one takes the place of a lost one.
const ATTEMPTS_BY_ITSELF_MAX: usize = 4;

/// Permissions that may have been used at once between two looks.
const PERMISSIONS_MAX: usize = 5;

impl Model {
    pub(super) fn new(policy: Policy) -> Self {
        Self {
            policy,
            now: Timestamp::MIN,
            payments: Vec::new(),
            by_order: BTreeMap::new(),
            attempts: BTreeMap::new(),
            refunds: BTreeMap::new(),
            refund_numbers: BTreeMap::new(),
            proposals: BTreeMap::new(),
        }
    }

    pub(super) fn orders(&self) -> impl Iterator<Item = &String> {
        self.by_order.keys()
    }

    /// The order that news is about.
    pub(super) fn order_of(&self, news: &News) -> Option<String> {
        match news {
            News::Order { number, .. } => self.order_paid_by(number),
            News::Refund { number, .. } => self.order_at(self.refunds.get(number)?.0),
        }
    }

    /// The order to which an attempt belongs.
    pub(super) fn order_paid_by(&self, number: &str) -> Option<String> {
        self.order_at(self.attempts.get(number)?.0)
    }

    /// Who is to pay an attempt, towards the merchant's app.
    pub(super) fn payer_of(&self, number: &str) -> &'static str {
        let place = self.attempts.get(number);
        let named = place.is_some_and(|(p, a)| self.payments[*p].attempts[*a].how.named);
        if named { VISITOR } else { OPENID }
    }

    /// The code of the method that was chosen last.
    pub(super) fn chosen(&self, order: &str) -> Option<&'static str> {
        self.of(order)?.attempts.last().map(|attempt| attempt.how.code)
    }

    /// The code of an attempt's method.
    pub(super) fn method_of(&self, number: &str) -> Option<&'static str> {
        let (p, a) = *self.attempts.get(number)?;
        Some(self.payments[p].attempts[a].how.code)
    }

    fn order_at(&self, p: usize) -> Option<String> {
        self.by_order.iter().find(|(_, other)| **other == p).map(|(order, _)| order.clone())
    }

    fn of(&self, order: &str) -> Option<&Payment> {
        self.by_order.get(order).map(|p| &self.payments[*p])
    }

    fn of_mut(&mut self, order: &str) -> Option<&mut Payment> {
        self.by_order.get(order).map(|p| &mut self.payments[*p])
    }

    /// Remembers what the channel calls the attempts and refunds of an order.
    pub(super) fn link(&mut self, order: &str, attempts: &[String], refunds: &[String]) {
        let Some(p) = self.by_order.get(order) else { return };
        for (a, number) in attempts.iter().enumerate() {
            self.attempts.insert(number.clone(), (*p, a));
        }
        for (r, number) in refunds.iter().enumerate() {
            self.refunds.insert(number.clone(), (*p, r));
        }
    }

    pub(super) fn view(&self, order: &str) -> Option<View> {
        self.of(order).map(|payment| payment.view(self.policy))
    }

    pub(super) fn state(&self, order: &str) -> Option<&'static str> {
        self.of(order).map(Payment::state)
    }

    /// Whether `seen` follows from what was said. What had to be permitted is true from then on.
    pub(super) fn explains(&mut self, order: &str, seen: &View) -> bool {
        let policy = self.policy;
        let Some(payment) = self.of_mut(order) else { return false };
        let mut found = vec![payment.clone()];
        for _ in 0..=PERMISSIONS_MAX {
            if let Some(same) = found.iter().find(|one| one.view(policy) == *seen) {
                *payment = same.clone();
                return true;
            }
            found = found.iter().flat_map(|one| one.permitted(policy)).collect();
        }
        false
    }

    pub(super) fn time_passes(&mut self, now: Timestamp) {
        self.now = now;
        for payment in &mut self.payments {
            payment.time_over |= payment.expires_at <= now;
            for attempt in &mut payment.attempts {
                attempt.time_over |= attempt.expires_at <= now;
            }
        }
    }

    pub(super) fn create(&mut self, order: &str, amount: u64, how: Option<How>, expires_at: Timestamp) {
        self.by_order.insert(order.to_owned(), self.payments.len());
        let mut payment = Payment {
            amount,
            fixed: how.map(|how| how.code),
            expires_at,
            time_over: false,
            attempts: Vec::new(),
            refunds: Vec::new(),
            wanted: None,
            over: None,
            over_late: false,
            payer: None,
            late: false,
            fee_returned: 0,
            events: vec!["created"],
            cases: Vec::new(),
            elsewhere: 0,
        };
        if let Some(how) = how {
            payment.start(how, self.now);
        }
        self.payments.push(payment);
    }

    pub(super) fn is_open_to_choice(&self, order: &str) -> bool {
        self.of(order).is_some_and(|payment| payment.fixed.is_none() && !payment.has_ended())
    }

    /// What a customer's choice must lead to: a new attempt, the one that is shown, or a refusal. `None` when the rules
    /// leave it open, because the time was over once.
    pub(super) fn choice(&self, order: &str, how: How, now: Timestamp) -> Option<Choice> {
        let payment = self.of(order)?;
        let fixed_otherwise = payment.fixed.is_some_and(|fixed| fixed != how.code);
        if payment.has_ended() || payment.expires_at <= now || fixed_otherwise {
            return Some(Choice::Refused);
        }
        if payment.time_over
            || payment.attempts.last().is_some_and(|last| last.time_over || last.code_lost || last.barred)
        {
            return None;
        }
        if payment.wanted.is_some() {
            return Some(Choice::Refused);
        }
        let shown = payment.attempts.last().is_some_and(|last| {
            let opens = how.opens_for.is_none_or(|life| now < last.started_at.plus(life));
            last.how.code == how.code && last.is_live() && !last.closing && !last.disputed && opens
        });
        Some(if shown && !how.named { Choice::Shown } else { Choice::New })
    }

    pub(super) fn start(&mut self, order: &str, how: How) {
        let now = self.now;
        if let Some(payment) = self.of_mut(order) {
            payment.start(how, now);
        }
    }

    /// Whether the shop can give the payment up. `None` when its time was over once: then it may have ended otherwise.
    pub(super) fn cancel(&mut self, order: &str) -> Option<bool> {
        let payment = self.of_mut(order)?;
        let possible = match payment.state() {
            "canceled" => true,
            "paid" | "expired" | "failed" => false,
            _ => {
                payment.want("canceled");
                true
            }
        };
        (!payment.time_over).then_some(possible)
    }

    pub(super) fn extend(&mut self, order: &str, until: Timestamp) {
        if let Some(payment) = self.of_mut(order) {
            payment.expires_at = until;
        }
    }

    pub(super) fn hear(&mut self, news: &News) {
        match news {
            News::Order { number, word, asked } => {
                if let Some((p, a)) = self.attempts.get(number).copied() {
                    self.hear_order(p, a, word, *asked);
                }
            }
            News::Refund { number, word, asked } => {
                if let Some((p, r)) = self.refunds.get(number).copied() {
                    self.hear_refund(p, r, *word, *asked);
                }
            }
        }
    }

    fn hear_order(&mut self, p: usize, a: usize, word: &Word, asked: Asked) {
        let (policy, now) = (self.policy, self.now);
        let payment = &mut self.payments[p];
        let time_over = payment.time_over;
        let attempt = &mut payment.attempts[a];
        let closing = attempt.closing || attempt.time_over || time_over;
        match word {
            // Whether that was before or after the charge was taken back, only a question tells.
            Word::Paid { minor, transaction }
                if attempt.how.manner == Manner::ShownCode
                    && asked == Asked::Nobody
                    && attempt.paid_by.is_none()
                    && (closing || !attempt.is_live()) =>
            {
                attempt.perhaps_paid = Some((*minor, transaction.clone()));
            }
            Word::Paid { minor, transaction } => payment.money(a, *minor, transaction, policy),
            Word::Accepted if asked == Asked::Create && attempt.state == "created" => {
                attempt.state = "pending";
                attempt.shown = true;
            }
            Word::Declined if attempt.is_live() => payment.attempt_ended(a, "failed"),
            Word::Refused if asked == Asked::Create && attempt.is_live() => payment.attempt_ended(a, "failed"),
            // The answer to a close is a promise; what is asked or told afterwards is the fact.
            Word::Closed if asked == Asked::Close => attempt.close_sent = true,
            Word::Closed if attempt.is_live() => payment.attempt_ended(a, "closed"),
            Word::NotFound if asked == Asked::Close => attempt.close_sent = true,
            Word::NotFound => {
                let over = attempt.how.manner == Manner::EndsByItself && now >= attempt.expires_at.plus(OVER_AFTER);
                attempt.may_close |= attempt.close_sent || (!attempt.shown && (closing || attempt.code_lost)) || over;
            }
            Word::NotPaid if attempt.how.manner == Manner::ShownCode && attempt.state == "created" => {
                if closing {
                    attempt.may_wait = true;
                } else {
                    attempt.state = "pending";
                    attempt.shown = true;
                }
            }
            // What waits for a person is asked about and not closed.
            Word::NotPaid if asked == Asked::Query && attempt.closing && attempt.is_live() && !attempt.disputed => {
                attempt.left_open += 1;
            }
            Word::Barred => attempt.barred |= asked == Asked::Create && attempt.is_live(),
            Word::CodeLost => attempt.code_lost |= attempt.state == "created",
            Word::Accepted | Word::Declined | Word::Refused | Word::Closed | Word::NotPaid | Word::Unknown => {}
        }
    }

    /// The gateway told the channel to close an order, whatever comes of it.
    pub(super) fn close_is_tried(&mut self, number: &str) {
        if let Some((p, a)) = self.attempts.get(number).copied() {
            self.payments[p].attempts[a].left_open = 0;
        }
    }

    /// An order that has to be closed and that nobody closes, although it can be: the customer might pay twice.
    pub(super) fn left_open(&self) -> Option<&String> {
        let left = |&(p, a): &(usize, usize)| self.payments[p].attempts[a].left_open > LEFT_OPEN_MAX;
        self.attempts.iter().find(|(_, place)| left(place)).map(|(number, _)| number)
    }

    fn hear_refund(&mut self, p: usize, r: usize, word: RefundWord, asked: Asked) {
        let policy = self.policy;
        let payment = &mut self.payments[p];
        let refund = &mut payment.refunds[r];
        if !refund.is_open() {
            // The end that was told stays; what contradicts it is for a person to look at.
            let minor = if let RefundWord::SucceededWith { minor } = word { minor } else { refund.amount };
            let kind = match word {
                RefundWord::SucceededWith { .. } if minor != refund.amount => "wrong_amount",
                RefundWord::Succeeded | RefundWord::SucceededWith { .. } if refund.state == "failed" => "contradiction",
                RefundWord::Failed if refund.state == "succeeded" => "contradiction",
                _ => return,
            };
            let minor = if word == RefundWord::Failed { 0 } else { minor };
            payment.open_case(About::Refund(r), kind, Line { minor, transaction: String::new() }, 0);
            return;
        }
        match word {
            RefundWord::Succeeded => payment.refund_ended(r, true, policy),
            RefundWord::Failed => payment.refund_ended(r, false, policy),
            RefundWord::SucceededWith { minor } if minor == refund.amount => payment.refund_ended(r, true, policy),
            RefundWord::SucceededWith { minor } => {
                let line = Line { minor, transaction: String::new() };
                payment.open_case(About::Refund(r), "wrong_amount", line, 0);
            }
            RefundWord::Processing => refund.state = "processing",
            RefundWord::Undeliverable if refund.state != "undeliverable" => {
                refund.state = "undeliverable";
                payment.events.push("refund.undeliverable");
            }
            RefundWord::Undeliverable => {}
            RefundWord::Refused => refund.may_fail |= asked == Asked::Refund,
            RefundWord::NotFound => {}
        }
    }

    /// What a shop's request for a refund must lead to.
    pub(super) fn refund(&mut self, order: &str, number: &str, amount: u64, by: Persons) -> Refunding {
        let two_over = self.policy.two_over;
        if let Some((known, minor)) = self.refund_numbers.get(number) {
            let same = known == order && *minor == amount;
            return if same { Refunding::Known } else { Refunding::Refused };
        }
        let Some(payment) = self.of_mut(order) else { return Refunding::Refused };
        if amount == 0 || amount > payment.refundable() {
            return Refunding::Refused;
        }
        if by == Persons::One && two_over.is_some_and(|over| payment.sum(true) + payment.sum(false) + amount > over) {
            return Refunding::Refused;
        }
        payment.give_back(amount, None);
        self.refund_numbers.insert(number.to_owned(), (order.to_owned(), amount));
        Refunding::New
    }

    /// Numbers of attempts that a customer may pay now, or could have paid not long ago.
    pub(super) fn payable(&self, now: Timestamp) -> Vec<String> {
        let payable = |&(p, a): &(usize, usize)| {
            let payment = &self.payments[p];
            let attempt = &payment.attempts[a];
            attempt.shown
                && attempt.how.manner != Manner::ShownCode
                && now < payment.attempts[a].expires_at.plus(LATE_AT_MOST)
        };
        self.attempts.iter().filter(|(_, place)| payable(place)).map(|(number, _)| number.clone()).collect()
    }

    /// Numbers of attempts for which a customer showed a code, who may be typing a password now.
    pub(super) fn at_the_counter(&self) -> Vec<String> {
        let there = |&(p, a): &(usize, usize)| self.payments[p].attempts[a].how.manner == Manner::ShownCode;
        self.attempts.iter().filter(|(_, place)| there(place)).map(|(number, _)| number.clone()).collect()
    }

    /// Whether money for this attempt was booked already.
    pub(super) fn is_paid(&self, number: &str) -> bool {
        self.taken(number).is_some()
    }

    /// What was taken for an attempt, in minor units.
    pub(super) fn taken(&self, number: &str) -> Option<u64> {
        let (p, a) = *self.attempts.get(number)?;
        let attempt = &self.payments[p].attempts[a];
        attempt.paid_by.as_ref().map(|_| attempt.paid_minor)
    }

    /// Whether an attempt waits for a person.
    pub(super) fn is_disputed(&self, number: &str) -> bool {
        self.attempts.get(number).is_some_and(|(p, a)| self.payments[*p].attempts[*a].disputed)
    }

    /// The channel's numbers of an order's attempts.
    pub(super) fn numbers_of(&self, order: &str) -> Vec<String> {
        let p = self.by_order.get(order);
        self.attempts.iter().filter(|(_, (of, _))| Some(of) == p).map(|(number, _)| number.clone()).collect()
    }

    pub(super) fn knows_attempt(&self, number: &str) -> bool {
        self.attempts.contains_key(number)
    }

    /// The shop's refunds of an order, number and amount.
    pub(super) fn refunds_of(&self, order: &str) -> Vec<(String, u64)> {
        let own = self.refund_numbers.iter().filter(|(number, (of, _))| of == order && number.starts_with('r'));
        own.map(|(number, (_, minor))| (number.clone(), *minor)).collect()
    }

    pub(super) fn amount(&self, order: &str) -> u64 {
        self.of(order).map_or(0, |payment| payment.amount)
    }

    pub(super) fn refundable(&self, order: &str) -> u64 {
        self.of(order).map_or(0, Payment::refundable)
    }

    /// What the accounts must hold.
    pub(super) fn books(&self) -> Books {
        let mut books = Books::default();
        for payment in &self.payments {
            let paid: u64 = payment.attempts.iter().map(|attempt| attempt.paid_minor).sum();
            let gone = payment.refunds.iter().filter(|refund| refund.state == "succeeded");
            let gone: i128 = gone.map(|refund| i128::from(refund.amount)).sum();
            let suspense = i128::from(payment.cases.iter().map(|case| case.suspense).sum::<u64>());
            let elsewhere = i128::from(payment.elsewhere);
            let transit = i128::from(payment.sum(true));
            let income = if payment.payer.is_some() { fee(payment.amount, self.policy.fee_ppm) } else { 0 };
            let income = i128::from(income) - i128::from(payment.fee_returned);
            let held = i128::from(paid) - gone;
            books.held += held;
            books.merchant += held - suspense - transit - income - elsewhere;
            books.elsewhere += elsewhere;
            books.in_transit += transit;
            books.suspense += suspense;
            books.income += income;
        }
        books
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    New,
    Shown,
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refunding {
    New,
    Known,
    Refused,
}

/// Sums of accounts in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Books {
    /// At the channels.
    pub(super) held: i128,
    /// What the merchant has, less what he owes.
    pub(super) merchant: i128,
    /// Refunds on their way.
    pub(super) in_transit: i128,
    pub(super) suspense: i128,
    /// The owner's, who paid it back by another way.
    pub(super) elsewhere: i128,
    /// Fees.
    pub(super) income: i128,
}
