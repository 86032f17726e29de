//! A case: a difference between what we expected and what a channel says, kept until somebody or something explains it.

use serde::{Deserialize, Serialize};

use super::ids::{AttemptId, CaseId, PaymentId, RefundId};
use super::money::Money;
use super::time::Timestamp;

/// Different words of a channel that one case keeps; what comes beyond them is not kept.
pub const LINES_PER_CASE_MAX: usize = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CaseKind {
    /// The channel reports another amount than was asked for. Nothing was booked.
    WrongAmount,
    /// The channel reports a currency or a merchant number that is not ours. Nothing was booked.
    WrongIdentity,
    /// The order had been paid already by another attempt; the money waits in suspense.
    SecondPayment,
    /// The money came after the end and the merchant's policy is to hold it; it waits in suspense.
    LatePayment,
    /// The channel contradicts an end that it had confirmed, as a refund that succeeds after it had failed.
    Contradiction,
}

impl CaseKind {
    pub const ALL: [CaseKind; 5] = [
        CaseKind::WrongAmount,
        CaseKind::WrongIdentity,
        CaseKind::SecondPayment,
        CaseKind::LatePayment,
        CaseKind::Contradiction,
    ];

    pub const fn code(self) -> &'static str {
        match self {
            CaseKind::WrongAmount => "wrong_amount",
            CaseKind::WrongIdentity => "wrong_identity",
            CaseKind::SecondPayment => "second_payment",
            CaseKind::LatePayment => "late_payment",
            CaseKind::Contradiction => "contradiction",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CaseState {
    Open,
    /// A refund of the money is on its way.
    Refunding(RefundId),
    Refunded(RefundId),
    /// Booked as the payment of the order after all.
    Booked,
    /// Explained by a person, with nothing left in suspense.
    Closed {
        note: String,
    },
}

impl CaseState {
    /// Somebody or something still has to settle it.
    pub const fn is_open(&self) -> bool {
        match self {
            CaseState::Open | CaseState::Refunding(_) => true,
            CaseState::Refunded(_) | CaseState::Booked | CaseState::Closed { .. } => false,
        }
    }

    pub const fn code(&self) -> &'static str {
        match self {
            CaseState::Open => "open",
            CaseState::Refunding(_) => "refunding",
            CaseState::Refunded(_) => "refunded",
            CaseState::Booked => "booked",
            CaseState::Closed { .. } => "closed",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    pub id: CaseId,
    pub kind: CaseKind,
    pub state: CaseState,
    pub payment: PaymentId,
    pub attempt: AttemptId,
    pub expected: Money,
    pub seen: Money,
    /// Minor units of this case in account 2201.
    pub suspense_minor: u64,
    pub detail: String,
    pub opened_at: Timestamp,
    pub closed_at: Option<Timestamp>,
}

/// One thing that the channel said, as it was heard first. A channel that contradicts itself says several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseLine {
    pub at: Timestamp,
    pub seen: Money,
    /// The channel's number of the payment; none where it spoke of a refund.
    pub transaction: Option<String>,
    pub paid_at: Option<Timestamp>,
    pub detail: String,
}

impl CaseLine {
    /// The same word, heard another time.
    pub fn repeats(&self, other: &CaseLine) -> bool {
        (self.seen, &self.transaction, &self.detail) == (other.seen, &other.transaction, &other.detail)
    }
}

/// What a person may decide about a case now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// The money becomes the payment's; what is too much goes back to the customer.
    pub book: bool,
    /// The channel is told to give the money back.
    pub give_back: bool,
    /// The customer got the money by another way; what the channel holds is the owner's.
    pub paid_elsewhere: bool,
    /// There is no money of ours in it.
    pub close: bool,
}

/// What the choices depend on besides the case itself.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// The payment may still become paid.
    pub bookable: bool,
    /// No transaction has paid the attempt.
    pub attempt_unpaid: bool,
    /// The line names a transaction that has paid nothing here.
    pub transaction_free: bool,
}

impl Case {
    /// Which decisions make sense, believing `line`. Less than was asked for is never booked: the shop would owe the rest.
    /// Money in another currency is nothing that we could ask the channel to give back.
    pub fn choices(&self, line: Option<&CaseLine>, standing: Standing) -> Choices {
        if self.state != CaseState::Open {
            return Choices::default();
        }
        if self.suspense_minor > 0 {
            let whole = self.suspense_minor == self.seen.minor() && self.seen.minor() >= self.expected.minor();
            return Choices { book: standing.bookable && whole, give_back: true, paid_elsewhere: true, close: false };
        }
        let is_money = match self.kind {
            CaseKind::WrongAmount => standing.attempt_unpaid && standing.transaction_free,
            CaseKind::WrongIdentity | CaseKind::SecondPayment | CaseKind::LatePayment | CaseKind::Contradiction => {
                false
            }
        };
        let Some(line) = line.filter(|line| is_money && line.seen.currency() == self.expected.currency()) else {
            return Choices { close: true, ..Choices::default() };
        };
        let enough = line.seen.minor() >= self.expected.minor();
        Choices {
            book: standing.bookable && enough,
            give_back: !line.seen.is_zero(),
            paid_elsewhere: false,
            close: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Currency;

    fn case(kind: CaseKind, expected: u64, seen: u64, suspense_minor: u64) -> Case {
        let cny = |minor| Money::new(minor, Currency::CNY);
        Case {
            id: CaseId::from_bytes([1; 16]),
            kind,
            state: CaseState::Open,
            payment: PaymentId::from_bytes([2; 16]),
            attempt: AttemptId::from_bytes([3; 16]),
            expected: cny(expected),
            seen: cny(seen),
            suspense_minor,
            detail: String::new(),
            opened_at: Timestamp::MIN,
            closed_at: None,
        }
    }

    fn line(seen: Money) -> CaseLine {
        let transaction = Some("t1".to_owned());
        CaseLine { at: Timestamp::MIN, seen, transaction, paid_at: None, detail: String::new() }
    }

    const FREE: Standing = Standing { bookable: true, attempt_unpaid: true, transaction_free: true };

    fn words(case: &Case, line: Option<&CaseLine>, standing: Standing) -> String {
        let choices = case.choices(line, standing);
        let all = [
            (choices.book, "book"),
            (choices.give_back, "give_back"),
            (choices.paid_elsewhere, "elsewhere"),
            (choices.close, "close"),
        ];
        all.into_iter().filter(|(may, _)| *may).map(|(_, word)| word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn only_decisions_that_make_sense_are_offered() {
        let wrong = |seen| case(CaseKind::WrongAmount, 100, seen, 0);
        let cny = |minor| line(Money::new(minor, Currency::CNY));
        assert_eq!(words(&wrong(120), Some(&cny(120)), FREE), "book give_back close");
        assert_eq!(words(&wrong(99), Some(&cny(99)), FREE), "give_back close", "too little");
        assert_eq!(words(&wrong(99), None, FREE), "close", "nothing is known about the money");
        let other = line(Money::new(100, Currency::USD));
        assert_eq!(words(&wrong(100), Some(&other), FREE), "close", "another currency");
        let paid = Standing { attempt_unpaid: false, ..FREE };
        assert_eq!(words(&wrong(120), Some(&cny(120)), paid), "close", "the right money has come");
        let taken = Standing { transaction_free: false, ..FREE };
        assert_eq!(words(&wrong(120), Some(&cny(120)), taken), "close", "it paid another order");
        let late = case(CaseKind::LatePayment, 100, 100, 100);
        assert_eq!(words(&late, None, FREE), "book give_back elsewhere");
        let full = Standing { bookable: false, ..FREE };
        assert_eq!(words(&late, None, full), "give_back elsewhere", "another attempt has paid it");
        assert_eq!(words(&case(CaseKind::WrongAmount, 100, 120, 20), None, FREE), "give_back elsewhere", "the rest");
        assert_eq!(words(&case(CaseKind::WrongIdentity, 100, 100, 0), Some(&cny(100)), FREE), "close");
        let decided = Case { state: CaseState::Booked, ..late };
        assert_eq!(words(&decided, None, FREE), "");
    }
}
