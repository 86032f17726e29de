//! The part of the plain model in which people decide: what is open to whom, and what follows from it.

use super::model::{Model, Payment, Persons, Refunding};

/// What a case is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    Attempt(usize),
    Refund(usize),
}

/// One thing that the channel said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) minor: u64,
    /// Empty where it spoke of a refund.
    pub(super) transaction: String,
}

#[derive(Clone, Debug)]
pub(super) struct Case {
    about: About,
    pub(super) kind: &'static str,
    pub(super) state: &'static str,
    lines: Vec<Line>,
    /// Minor units that wait for an owner.
    pub(super) suspense: u64,
    seen: u64,
}

impl Case {
    /// Somebody or something still has to settle it.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, "open" | "refunding")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Book,
    GiveBack,
    Elsewhere,
    Close,
}

/// A refund that waits for a second person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proposed {
    pub(super) order: String,
    pub(super) minor: u64,
    pub(super) waits: bool,
}

impl Payment {
    /// The same difference is one case for as long as nobody has settled it; another word about it is another line.
    pub(super) fn open_case(&mut self, about: About, kind: &'static str, line: Line, suspense: u64) -> usize {
        let known = self.cases.iter().rposition(|case| case.about == about && case.kind == kind);
        if let Some(known) = known {
            let case = &mut self.cases[known];
            if case.lines.contains(&line) {
                return known;
            }
            if case.is_open() {
                case.lines.push(line);
                return known;
            }
        }
        let seen = line.minor;
        self.cases.push(Case { about, kind, state: "open", lines: vec![line], suspense, seen });
        self.cases.len() - 1
    }

    /// The right word after a wrong one is another line of what the wrong one opened.
    pub(super) fn note_right(&mut self, a: usize, line: &Line) {
        for kind in ["wrong_amount", "wrong_identity"] {
            let newest = self.cases.iter().rposition(|case| case.about == About::Attempt(a) && case.kind == kind);
            if newest.is_some_and(|newest| self.cases[newest].is_open()) {
                self.open_case(About::Attempt(a), kind, line.clone(), 0);
            }
        }
    }

    /// Whether a person can decide so, believing a line. Less than was asked for is never booked, and what is nobody's
    /// money is only closed.
    fn allows(&self, case: &Case, choice: Choice, line: &Line, used: bool) -> bool {
        if case.state != "open" {
            return false;
        }
        let unpaid = self.payer.is_none();
        if case.suspense > 0 {
            let whole = case.suspense == case.seen && case.seen >= self.amount;
            return match choice {
                Choice::Book => unpaid && whole,
                Choice::GiveBack | Choice::Elsewhere => true,
                Choice::Close => false,
            };
        }
        let money = match case.about {
            About::Attempt(a) => case.kind == "wrong_amount" && self.attempts[a].paid_by.is_none() && !used,
            About::Refund(_) => false,
        };
        match choice {
            Choice::Book => money && unpaid && line.minor >= self.amount,
            Choice::GiveBack => money && line.minor > 0,
            Choice::Elsewhere => false,
            Choice::Close => true,
        }
    }

    fn carry_out(&mut self, c: usize, choice: Choice, line: &Line) {
        let about = self.cases[c].about;
        if let (About::Attempt(a), Choice::Book | Choice::GiveBack) = (about, choice) {
            if self.cases[c].suspense == 0 {
                let attempt = &mut self.attempts[a];
                attempt.state = "paid";
                attempt.disputed = false;
                attempt.paid_by = Some(line.transaction.clone());
                attempt.paid_minor = line.minor;
                self.cases[c].suspense = line.minor;
                self.cases[c].seen = line.minor;
            }
            if choice == Choice::Book {
                self.late = self.over.is_some();
                self.payer = Some(a);
                self.events.push(if self.late { "late" } else { "paid" });
                self.attempts.iter_mut().for_each(|attempt| attempt.closing = true);
                self.cases[c].suspense -= self.amount;
            }
        }
        match choice {
            Choice::Book if self.cases[c].suspense == 0 => self.cases[c].state = "booked",
            Choice::Book => self.give_back(self.cases[c].suspense, Some(c)),
            Choice::GiveBack => {
                self.give_back(self.cases[c].suspense, Some(c));
                self.settle();
            }
            Choice::Elsewhere => {
                self.elsewhere += self.cases[c].suspense;
                self.cases[c].suspense = 0;
                self.cases[c].state = "closed";
            }
            Choice::Close => {
                self.cases[c].state = "closed";
                if let About::Attempt(a) = about {
                    self.release(a);
                }
            }
        }
    }

    /// An attempt that waited for a person ends without money.
    fn release(&mut self, a: usize) {
        let held = |case: &Case| case.about == About::Attempt(a) && case.kind == "wrong_amount" && case.is_open();
        if !self.attempts[a].disputed || self.cases.iter().any(held) {
            return;
        }
        self.attempts[a].disputed = false;
        if self.attempts[a].is_live() {
            self.attempts[a].state = "closed";
        }
        self.settle();
    }
}

impl Model {
    /// A person decides the open case of this kind about an attempt, or about a refund of it; whether that is possible.
    pub(super) fn decide(
        &mut self,
        number: &str,
        (kind, of_refund): (&str, bool),
        choice: Choice,
        line: &Line,
    ) -> bool {
        let Some((p, a)) = self.attempts.get(number).copied() else { return false };
        let used = self.payments.iter().flat_map(|payment| &payment.attempts);
        let used = used.filter_map(|attempt| attempt.paid_by.as_ref()).any(|paid_by| *paid_by == line.transaction);
        let payment = &mut self.payments[p];
        let meant = |case: &Case| match case.about {
            About::Attempt(other) => !of_refund && other == a,
            About::Refund(_) => of_refund,
        };
        let found = payment.cases.iter().position(|case| case.kind == kind && case.state == "open" && meant(case));
        let Some(c) = found else { return false };
        let possible = payment.allows(&payment.cases[c], choice, line, used);
        if possible {
            payment.carry_out(c, choice, line);
        }
        possible
    }

    /// One person proposes a refund; whether that is possible.
    pub(super) fn propose(&mut self, order: &str, number: &str, minor: u64) -> bool {
        if let Some(known) = self.proposals.get(number) {
            return known.order == order && known.minor == minor;
        }
        let possible = minor > 0 && minor <= self.refundable(order);
        if possible {
            let proposed = Proposed { order: order.to_owned(), minor, waits: true };
            self.proposals.insert(number.to_owned(), proposed);
        }
        possible
    }

    /// Another person agrees; whether the refund is made.
    pub(super) fn approve(&mut self, number: &str) -> bool {
        let Some(proposed) = self.proposals.get(number).filter(|proposed| proposed.waits).cloned() else {
            return false;
        };
        let made = self.refund(&proposed.order, number, proposed.minor, Persons::Two) == Refunding::New;
        if let Some(proposed) = self.proposals.get_mut(number).filter(|_| made) {
            proposed.waits = false;
        }
        made
    }

    /// Somebody says no; whether there was something to decide.
    pub(super) fn refuse(&mut self, number: &str) -> bool {
        match self.proposals.get_mut(number).filter(|proposed| proposed.waits) {
            Some(proposed) => {
                proposed.waits = false;
                true
            }
            None => false,
        }
    }
}
