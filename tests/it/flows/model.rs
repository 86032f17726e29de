//! A plain model of what must become of payments and money, from the rules alone: it knows no tables, no ladder and no
//! ledger. Of the gateway it takes only which question was asked, because what an answer means depends on that.

use std::collections::BTreeMap;

use coffer::domain::follow::{RefundStep, Step};
use coffer::domain::time::{Duration, Timestamp};

/// What a channel may say about an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Accepted,
    NotPaid,
    /// Wrong by so much, with one of a few transaction numbers, for us or for a stranger.
    Paid {
        off_by: u64,
        transaction: u8,
        stranger: bool,
    },
    Closed,
    Declined,
    NotFound,
    Refused,
    Unknown,
}

/// What a channel may say about a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundWord {
    Processing,
    Succeeded { off_by: u64 },
    Failed,
    NotFound,
    Refused,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    Book,
    Refund,
    Hold,
}

/// The merchant's choices.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    pub fee_ppm: u64,
    pub fee_returned: bool,
    pub late: Late,
    pub second_refunded: bool,
}

#[derive(Debug)]
pub struct Attempt {
    pub wallet: usize,
    live: bool,
    accepted: bool,
    /// Its close is wanted.
    closing: bool,
    disputed: bool,
    paid_by: Option<u8>,
    /// What the channel took for it.
    received: u64,
}

/// What a person may decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Book,
    GiveBack,
    Elsewhere,
    Close,
}

/// What the channel said: an amount, a transaction if it spoke of one, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    amount: u64,
    transaction: Option<u8>,
    stranger: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    Refunding,
    Settled,
}

#[derive(Debug)]
pub struct Case {
    /// An attempt's number, or a refund's.
    subject: Result<usize, usize>,
    pub kind: &'static str,
    pub lines: Vec<Said>,
    stage: Stage,
    /// Money of it in suspense.
    suspense: u64,
}

#[derive(Debug)]
pub struct Refund {
    pub amount: u64,
    /// Out of suspense: of which case's money.
    of_case: Option<usize>,
    /// `None` while it is open.
    success: Option<bool>,
    answers: u32,
    refused_again: bool,
}

#[derive(Debug)]
pub struct Payment {
    pub amount: u64,
    pub fixed: Option<usize>,
    expires_at: Timestamp,
    pub attempts: Vec<Attempt>,
    pub refunds: Vec<Refund>,
    /// The end that is wanted.
    wanted: Option<&'static str>,
    over: Option<&'static str>,
    /// The attempt whose money is the payment's.
    payer: Option<usize>,
    late: bool,
    fee_returned: u64,
    pub events: Vec<&'static str>,
    pub cases: Vec<Case>,
    /// What the owner paid out of his own pocket.
    elsewhere: u64,
}

pub struct Model {
    policy: Policy,
    pub payments: Vec<Payment>,
    /// Which attempt of which payment a transaction has paid.
    transactions: BTreeMap<u8, (usize, usize)>,
}

impl Payment {
    pub fn state(&self) -> &'static str {
        match (self.payer, self.over) {
            (Some(_), _) => "paid",
            (None, Some(over)) => over,
            (None, None) if self.attempts.iter().any(|attempt| attempt.live) => "processing",
            (None, None) => "open",
        }
    }

    fn sum(&self, success: Option<bool>) -> u64 {
        let own = self.refunds.iter().filter(|refund| refund.of_case.is_none() && refund.success == success);
        own.map(|refund| refund.amount).sum()
    }

    fn refundable(&self) -> u64 {
        if self.payer.is_none() { 0 } else { self.amount - self.sum(None) - self.sum(Some(true)) }
    }

    /// What the console would show, in the words of the stories.
    pub fn shows(&self, policy: Policy) -> String {
        let mut words = self.state().to_owned();
        if self.late {
            words += " late";
        }
        let fee = if self.payer.is_some() { fee(self.amount, policy.fee_ppm) } else { 0 };
        let sums = [
            ("fee", fee),
            ("refunding", self.sum(None)),
            ("refunded", self.sum(Some(true))),
            ("fee back", self.fee_returned),
        ];
        for (what, minor) in sums {
            if minor > 0 {
                words += &format!(", {what} {}", spelt(minor));
            }
        }
        words
    }

    /// Ends the payment if that is wanted and nothing can be paid any more.
    fn settle(&mut self) {
        let live = self.attempts.iter().any(|attempt| attempt.live);
        if let Some(wanted) = self.wanted
            && self.payer.is_none()
            && self.over.is_none()
            && !live
        {
            self.end(wanted);
        }
    }

    fn end(&mut self, how: &'static str) {
        self.over = Some(how);
        self.events.push(how);
    }

    /// The channel said something that disagrees. One difference is one case while it is open, with a line for each
    /// different word; answers whether the case is open.
    fn sight(&mut self, subject: Result<usize, usize>, kind: &'static str, said: Said) -> bool {
        let newest = self.cases.iter_mut().rfind(|case| (case.subject, case.kind) == (subject, kind));
        if let Some(case) = newest {
            if case.lines.contains(&said) {
                return case.stage != Stage::Settled;
            }
            if case.stage != Stage::Settled {
                case.lines.push(said);
                return true;
            }
        }
        self.cases.push(Case { subject, kind, lines: vec![said], stage: Stage::Open, suspense: 0 });
        true
    }

    /// The newest case's money waits for an owner.
    fn suspend(&mut self, amount: u64) -> usize {
        let newest = self.cases.len() - 1;
        self.cases[newest].suspense = amount;
        newest
    }

    /// An open case keeps the attempt from being followed.
    fn is_held(&self, a: usize) -> bool {
        let holds = |case: &Case| case.subject == Ok(a) && case.stage == Stage::Open && case.kind.starts_with("wrong_");
        self.cases.iter().any(holds)
    }

    fn book(&mut self, a: usize) {
        self.payer = Some(a);
        self.late = self.over.is_some();
        self.events.push(if self.late { "late" } else { "paid" });
        self.attempts.iter_mut().for_each(|attempt| attempt.closing = true);
    }

    fn want(&mut self, end: &'static str) {
        if self.wanted.is_none() {
            self.wanted = Some(end);
        }
        self.attempts.iter_mut().for_each(|attempt| attempt.closing = true);
        self.settle();
    }
}

/// Rounded half up.
pub fn fee(amount: u64, ppm: u64) -> u64 {
    (amount * ppm + 500_000) / 1_000_000
}

pub fn spelt(minor: u64) -> String {
    format!("{}.{:02}", minor / 100, minor % 100)
}

impl Model {
    pub fn new(policy: Policy) -> Self {
        Self { policy, payments: Vec::new(), transactions: BTreeMap::new() }
    }

    pub fn pay(&mut self, amount: u64, fixed: Option<usize>, delay: Duration, now: Timestamp) {
        self.payments.push(Payment {
            amount,
            fixed,
            expires_at: now.plus(delay),
            attempts: Vec::new(),
            refunds: Vec::new(),
            wanted: None,
            over: None,
            payer: None,
            late: false,
            fee_returned: 0,
            events: vec!["created"],
            cases: Vec::new(),
            elsewhere: 0,
        });
        if let Some(wallet) = fixed {
            self.start(self.payments.len() - 1, wallet);
        }
    }

    fn start(&mut self, p: usize, wallet: usize) {
        let payment = &mut self.payments[p];
        if payment.state() == "open" {
            payment.events.push("processing");
        }
        payment.attempts.iter_mut().for_each(|attempt| attempt.closing = true);
        payment.attempts.push(Attempt {
            wallet,
            live: true,
            accepted: false,
            closing: false,
            disputed: false,
            paid_by: None,
            received: 0,
        });
    }

    /// Whether the choice is possible.
    pub fn choose(&mut self, p: usize, wallet: usize, now: Timestamp) -> bool {
        let payment = &self.payments[p];
        let over = payment.payer.is_some() || payment.over.is_some() || payment.wanted.is_some();
        if over || payment.expires_at <= now || payment.fixed.is_some_and(|fixed| fixed != wallet) {
            return false;
        }
        let shown = payment
            .attempts
            .last()
            .is_some_and(|last| last.wallet == wallet && last.live && !last.closing && !last.disputed);
        if !shown {
            self.start(p, wallet);
        }
        true
    }

    pub fn cancel(&mut self, p: usize) {
        let payment = &mut self.payments[p];
        if payment.payer.is_none() && payment.over.is_none() {
            payment.want("canceled");
        }
    }

    pub fn time_passes(&mut self, now: Timestamp) {
        for payment in &mut self.payments {
            if payment.expires_at <= now && payment.payer.is_none() && payment.over.is_none() {
                payment.want("expired");
            }
        }
    }

    /// `asked` is the question that this answers; `None` for a notification.
    pub fn hear(&mut self, p: usize, a: usize, word: Word, asked: Option<Step>) {
        let payment = &mut self.payments[p];
        let attempt = &mut payment.attempts[a];
        let ends = match word {
            Word::Paid { off_by, transaction, stranger } => {
                return self.money(p, a, off_by, transaction, stranger);
            }
            Word::Accepted => {
                attempt.accepted |= attempt.live && asked == Some(Step::Create);
                false
            }
            Word::Declined => true,
            // The answer to a close is a promise.
            Word::Closed => asked != Some(Step::Close),
            Word::NotFound => match asked {
                Some(Step::AskAfterClose) => true,
                Some(Step::AskBeforeClose) => !attempt.accepted,
                _ => false,
            },
            Word::Refused => asked == Some(Step::Create),
            Word::NotPaid | Word::Unknown => false,
        };
        if !ends || !attempt.live {
            return;
        }
        attempt.live = false;
        let refused = matches!(word, Word::Declined | Word::Refused);
        payment.settle();
        if payment.state() == "open" && payment.fixed.is_some() && refused {
            payment.end("failed");
        }
    }

    fn money(&mut self, p: usize, a: usize, off_by: u64, transaction: u8, stranger: bool) {
        let owner = self.transactions.get(&transaction).copied();
        let payment = &mut self.payments[p];
        let attempt = &mut payment.attempts[a];
        let wrong = if stranger {
            Some("wrong_identity")
        } else if off_by > 0 {
            Some("wrong_amount")
        } else if attempt.paid_by.is_some_and(|known| known != transaction) {
            Some("contradiction")
        } else if owner.is_some_and(|owner| owner != (p, a)) {
            Some("wrong_identity")
        } else {
            None
        };
        let said = Said { amount: payment.amount + off_by, transaction: Some(transaction), stranger };
        if let Some(kind) = wrong {
            let open = payment.sight(Ok(a), kind, said);
            let attempt = &mut payment.attempts[a];
            attempt.disputed |= attempt.paid_by.is_none() && (attempt.live || open);
            return;
        }
        if attempt.paid_by.is_some() {
            return;
        }
        attempt.paid_by = Some(transaction);
        attempt.received = said.amount;
        attempt.live = false;
        attempt.disputed = false;
        self.transactions.insert(transaction, (p, a));
        // The right word after a wrong one is another line of what the wrong one opened.
        for kind in ["wrong_amount", "wrong_identity"] {
            let newest = payment.cases.iter().rfind(|case| (case.subject, case.kind) == (Ok(a), kind));
            if newest.is_some_and(|case| case.stage != Stage::Settled) {
                payment.sight(Ok(a), kind, said);
            }
        }
        if payment.payer.is_some() {
            payment.sight(Ok(a), "second_payment", said);
            let case = payment.suspend(said.amount);
            if self.policy.second_refunded {
                self.give_back(p, said.amount, Some(case));
            }
            return;
        }
        let late = payment.over.is_some();
        if late && self.policy.late == Late::Hold {
            payment.sight(Ok(a), "late_payment", said);
            payment.suspend(said.amount);
            return;
        }
        payment.book(a);
        if late && self.policy.late == Late::Refund {
            self.give_back(p, self.payments[p].amount, None);
        }
    }

    fn give_back(&mut self, p: usize, amount: u64, of_case: Option<usize>) {
        let refund = Refund { amount, of_case, success: None, answers: 0, refused_again: false };
        let payment = &mut self.payments[p];
        payment.refunds.push(refund);
        payment.events.push("refund.created");
        if let Some(case) = of_case {
            payment.cases[case].stage = Stage::Refunding;
        }
    }

    /// What makes sense for a case, believing one of its lines.
    pub fn choices(&self, p: usize, c: usize, line: usize) -> Vec<Choice> {
        let payment = &self.payments[p];
        let case = &payment.cases[c];
        let (Stage::Open, Some(said)) = (case.stage, case.lines.get(line)) else { return Vec::new() };
        let bookable = payment.payer.is_none();
        if case.suspense > 0 {
            let book = bookable && case.suspense >= payment.amount;
            let all = [book.then_some(Choice::Book), Some(Choice::GiveBack), Some(Choice::Elsewhere)];
            return all.into_iter().flatten().collect();
        }
        let takeable = match (case.kind, case.subject, said.transaction) {
            ("wrong_amount", Ok(a), Some(transaction)) => {
                payment.attempts[a].paid_by.is_none() && !self.transactions.contains_key(&transaction)
            }
            _ => false,
        };
        let book = takeable && bookable && said.amount >= payment.amount;
        let all = [book.then_some(Choice::Book), takeable.then_some(Choice::GiveBack), Some(Choice::Close)];
        all.into_iter().flatten().collect()
    }

    /// Whether it is possible; then it is done.
    pub fn decide(&mut self, p: usize, c: usize, line: usize, choice: Choice) -> bool {
        if !self.choices(p, c, line).contains(&choice) {
            return false;
        }
        let case = &self.payments[p].cases[c];
        let (subject, said) = (case.subject, case.lines[line]);
        if let (Choice::Book | Choice::GiveBack, 0, Ok(a), Some(transaction)) =
            (choice, case.suspense, subject, said.transaction)
        {
            let payment = &mut self.payments[p];
            let attempt = &mut payment.attempts[a];
            (attempt.live, attempt.disputed) = (false, false);
            (attempt.paid_by, attempt.received) = (Some(transaction), said.amount);
            payment.cases[c].suspense = said.amount;
            self.transactions.insert(transaction, (p, a));
        }
        let payment = &mut self.payments[p];
        let waiting = payment.cases[c].suspense;
        match (choice, subject) {
            (Choice::Book, Ok(a)) => {
                payment.book(a);
                payment.cases[c].suspense = waiting - payment.amount;
                match payment.cases[c].suspense {
                    0 => payment.cases[c].stage = Stage::Settled,
                    rest => self.give_back(p, rest, Some(c)),
                }
            }
            (Choice::GiveBack, _) => {
                self.give_back(p, waiting, Some(c));
                self.payments[p].settle();
            }
            (Choice::Elsewhere, _) => {
                payment.elsewhere += waiting;
                payment.cases[c].suspense = 0;
                payment.cases[c].stage = Stage::Settled;
            }
            (Choice::Close, _) => {
                payment.cases[c].stage = Stage::Settled;
                if let Ok(a) = subject
                    && payment.attempts[a].disputed
                    && !payment.is_held(a)
                {
                    (payment.attempts[a].live, payment.attempts[a].disputed) = (false, false);
                    payment.settle();
                }
            }
            (Choice::Book, Err(_)) => unreachable!("a refund's word is never booked"),
        }
        true
    }

    /// Whether it is accepted. `None` asks for all that is left.
    pub fn refund(&mut self, p: usize, amount: Option<u64>) -> bool {
        let left = self.payments[p].refundable();
        let amount = amount.unwrap_or(left);
        let fits = amount > 0 && amount <= left;
        if fits {
            self.give_back(p, amount, None);
        }
        fits
    }

    /// `asked` is the question that this answers; `None` for a notification.
    pub fn hear_refund(&mut self, p: usize, r: usize, word: RefundWord, asked: Option<RefundStep>) {
        let policy = self.policy;
        let payment = &mut self.payments[p];
        let refund = &mut payment.refunds[r];
        let contradicts = match word {
            RefundWord::Succeeded { off_by } if off_by > 0 => Some("wrong_amount"),
            RefundWord::Succeeded { .. } if refund.success == Some(false) => Some("contradiction"),
            RefundWord::Failed if refund.success == Some(true) => Some("contradiction"),
            _ => None,
        };
        if let Some(kind) = contradicts {
            let amount = match word {
                RefundWord::Succeeded { off_by } => refund.amount + off_by,
                _ => 0,
            };
            payment.sight(Err(r), kind, Said { amount, transaction: None, stranger: false });
        }
        let refund = &mut payment.refunds[r];
        if refund.success.is_some() {
            return;
        }
        let first = refund.answers == 0;
        refund.answers += u32::from(asked.is_some());
        let success = match word {
            RefundWord::Succeeded { off_by: 0 } => Some(true),
            RefundWord::Failed => Some(false),
            RefundWord::Refused if asked == Some(RefundStep::Send) && first => Some(false),
            RefundWord::NotFound if asked.is_some() && refund.refused_again => Some(false),
            RefundWord::Refused => {
                refund.refused_again |= asked == Some(RefundStep::Send);
                None
            }
            RefundWord::Processing => {
                refund.refused_again = false;
                None
            }
            RefundWord::Succeeded { .. } | RefundWord::NotFound | RefundWord::Unknown => None,
        };
        let Some(success) = success else { return };
        refund.success = Some(success);
        let of_case = refund.of_case;
        payment.events.push(if success { "refund.succeeded" } else { "refund.failed" });
        match of_case {
            Some(c) if success => {
                payment.cases[c].suspense = 0;
                payment.cases[c].stage = Stage::Settled;
            }
            Some(c) => payment.cases[c].stage = Stage::Open,
            None if success && policy.fee_returned => {
                let whole = u128::from(fee(payment.amount, policy.fee_ppm));
                let back = whole * u128::from(payment.sum(Some(true))) / u128::from(payment.amount);
                payment.fee_returned = u64::try_from(back).unwrap();
            }
            None => {}
        }
    }

    /// What the accounts must hold: at the channels, the merchant's (what he has less what he owes), in transit, in
    /// suspense, fee income, the owner's.
    pub fn books(&self) -> [i128; 6] {
        let mut books = [0i128; 6];
        for payment in &self.payments {
            let received: i128 = payment.attempts.iter().map(|attempt| i128::from(attempt.received)).sum();
            let out = |r: &Refund| r.success == Some(true);
            let gone: i128 = payment.refunds.iter().filter(|r| out(r)).map(|r| i128::from(r.amount)).sum();
            let suspense: i128 = payment.cases.iter().map(|case| i128::from(case.suspense)).sum();
            let owners = i128::from(payment.elsewhere);
            let transit = i128::from(payment.sum(None));
            let income = if payment.payer.is_some() { fee(payment.amount, self.policy.fee_ppm) } else { 0 };
            let income = i128::from(income) - i128::from(payment.fee_returned);
            let held = received - gone;
            let merchant = held - suspense - transit - income - owners;
            for (sum, part) in books.iter_mut().zip([held, merchant, transit, suspense, income, owners]) {
                *sum += part;
            }
        }
        books
    }
}
