//! Posting rules: which business event posts what. P paid, F fee, C channel cost, R refund, x money without a payment.
//!
//! | event | debit | credit |
//! |---|---|---|
//! | paid | 1001 P · 2001 F · 5001 C | 2001 P · 4001 F · 1001 C |
//! | cleared | 2001 | 1101, then 2002 |
//! | refund accepted | 2002, then 2001, then 1101: R | 2006 R |
//! | refund succeeded | 2006 R · 4001 f · 1001 c | 1001, then 1002, then 3001: R · 1101, then 2002: f · 5001 c |
//! | refund returned to the merchant | 1002 | 1001: R as far as it reaches; 2006 keeps R until the customer has it |
//! | refund failed | 2006 R | where it was taken: 2001; and 1101, then 2002 |
//! | money without a payment | 1001 x | 2201 x |
//! | … booked after all | 2201 x · 2001 F | 2001 x · 4001 F |
//! | … paid back | 2201 x | 1001, then 1002, then 3001: x |
//! | … paid back by another way | 2201 x | 3001 x |
//!
//! **A debt is recovered from available money first.** Whatever would reach 2002 pays 1101 before, so a merchant never
//! owes and has available money at once. Pending money is another matter: it backs refunds, because the channel takes
//! a refund from the very money that it has not settled yet, but it pays no debts, because until it is cleared nobody
//! knows that it is all there. Hence 2001 and 1101 may both be above zero, for instance when a refund exceeded
//! everything the merchant had and another customer pays the next minute; clearing that payment recovers the debt.
//!
//! **Money the books do not know.** A channel that executes a refund of more than the books say it holds took the rest
//! from the owner: from a top-up, or from takings that were never booked here. That the refund happened is a fact, so
//! the rest is posted as what the owner put in (3001), and no asset goes below zero.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::balance::{ChannelPosition, MerchantPosition};
use super::entry::{Cause, JournalEntry, Links, Posting, Reason, Unbalanced};
use crate::domain::ids::{AccountId, AttemptId, CaseId, MerchantId, PaymentId, RefundId};
use crate::domain::money::{Currency, Money};
use crate::domain::time::Timestamp;

/// Facts that contradict each other: a bug in the caller, or amounts that were never checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannotPost {
    MixedCurrencies,
    FeeAboveAmount,
    CostAboveAmount,
    /// What is given back is not what was taken.
    LegsDiffer,
    OutOfRange,
    Unbalanced(Unbalanced),
}

impl fmt::Display for CannotPost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CannotPost::MixedCurrencies => "the amounts are in different currencies",
            CannotPost::FeeAboveAmount => "the fee is larger than the payment",
            CannotPost::CostAboveAmount => "the channel's cost is larger than the payment",
            CannotPost::LegsDiffer => "the refund would give back another amount than it took",
            CannotPost::OutOfRange => "the amount is too large for one posting",
            CannotPost::Unbalanced(_) => "the postings do not make an entry",
        })
    }
}

impl std::error::Error for CannotPost {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CannotPost::Unbalanced(why) => Some(why),
            CannotPost::MixedCurrencies
            | CannotPost::FeeAboveAmount
            | CannotPost::CostAboveAmount
            | CannotPost::LegsDiffer
            | CannotPost::OutOfRange => None,
        }
    }
}

impl From<Unbalanced> for CannotPost {
    fn from(why: Unbalanced) -> Self {
        CannotPost::Unbalanced(why)
    }
}

/// An attempt whose money the channel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collected {
    pub merchant: MerchantId,
    pub channel: AccountId,
    pub payment: PaymentId,
    pub attempt: AttemptId,
    pub amount: Money,
    /// What the operator really keeps; zero when he only mirrors the channel's books.
    pub fee: Money,
    /// What the channel keeps, as far as it is known now; zero until the bill says more.
    pub cost: Money,
}

impl Collected {
    fn links(&self) -> Links {
        Links { payment: Some(self.payment), attempt: Some(self.attempt), ..Links::default() }
    }

    /// Dr 2001 F / Cr 4001 F.
    fn fee_legs(&self) -> Result<[Posting; 2], CannotPost> {
        same_currency(self.amount, self.fee)?;
        if self.fee.minor() > self.amount.minor() {
            return Err(CannotPost::FeeAboveAmount);
        }
        let fee = self.fee.minor();
        Ok([Posting::debit(Account::merchant_pending(self.merchant), fee), Posting::credit(Account::fee_income(), fee)])
    }

    /// Dr 5001 C / Cr 1001 C.
    fn cost_legs(&self) -> Result<[Posting; 2], CannotPost> {
        same_currency(self.amount, self.cost)?;
        if self.cost.minor() > self.amount.minor() {
            return Err(CannotPost::CostAboveAmount);
        }
        let cost = self.cost.minor();
        Ok([
            Posting::debit(Account::channel_cost(), cost),
            Posting::credit(Account::channel_receivable(self.channel), cost),
        ])
    }
}

/// Entry 1. The cause is the attempt, so that a second paid attempt of one payment is never mistaken for the first
/// seen twice; the caller books it as money without a payment.
pub fn paid(fact: &Collected, at: Timestamp) -> Result<JournalEntry, CannotPost> {
    let amount = fact.amount.minor();
    let mut legs = Legs::new();
    legs.push(Posting::debit(Account::channel_receivable(fact.channel), amount));
    legs.push(Posting::credit(Account::merchant_pending(fact.merchant), amount));
    legs.extend(fact.fee_legs()?);
    legs.extend(fact.cost_legs()?);
    let cause = Cause { subject: fact.attempt.to_bytes(), reason: Reason::Paid };
    legs.entry(cause, fact.amount.currency(), at, fact.links())
}

/// A payment that the channel's bill confirmed, or whose waiting time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clearing {
    pub merchant: MerchantId,
    pub payment: PaymentId,
    pub attempt: AttemptId,
    pub currency: Currency,
    /// The sum of P − F of the merchant's payments that still wait for their clearing after this one.
    pub still_waiting_minor: u128,
}

/// Entries 2 and 10. Leaves no more in 2001 than the payments that still wait brought in, and moves the rest: without
/// refunds that is exactly P − F. Refunds may have taken pending money of any payment, so it is never known which
/// payment's money is left; this rule releases nothing too early, and what a failed refund gave back late goes along
/// with the next clearing. `None` when refunds took it all.
pub fn cleared(
    fact: &Clearing,
    position: &MerchantPosition,
    at: Timestamp,
) -> Result<Option<JournalEntry>, CannotPost> {
    let release = position.pending.saturating_sub(fact.still_waiting_minor);
    let release = u64::try_from(release).map_err(|_| CannotPost::OutOfRange)?;
    if release == 0 {
        return Ok(None);
    }
    let mut legs = Legs::new();
    legs.push(Posting::debit(Account::merchant_pending(fact.merchant), release));
    legs.extend(credit_merchant(fact.merchant, position, release));
    let cause = Cause { subject: fact.attempt.to_bytes(), reason: Reason::Cleared };
    let links = Links { payment: Some(fact.payment), attempt: Some(fact.attempt), ..Links::default() };
    legs.entry(cause, fact.currency, at, links).map(Some)
}

/// A refund of a payment, whole or in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refunding {
    pub merchant: MerchantId,
    pub payment: PaymentId,
    /// The attempt that was paid.
    pub attempt: AttemptId,
    pub refund: RefundId,
    pub amount: Money,
}

impl Refunding {
    fn cause(&self, reason: Reason) -> Cause {
        Cause { subject: self.refund.to_bytes(), reason }
    }

    fn links(&self) -> Links {
        Links {
            payment: Some(self.payment),
            attempt: Some(self.attempt),
            refund: Some(self.refund),
            ..Links::default()
        }
    }
}

/// How much of a refund was taken from where, in minor units. Kept with the refund until its outcome is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundLegs {
    /// From 2002.
    pub available: u64,
    /// From 2001.
    pub pending: u64,
    /// From 1101: the merchant had not enough and owes it.
    pub owed: u64,
}

impl RefundLegs {
    /// Available money first, then pending money, and the rest as a debt.
    fn take(amount: u64, position: &MerchantPosition) -> Self {
        let available = at_most(amount, position.available);
        let pending = at_most(amount - available, position.pending);
        Self { available, pending, owed: amount - available - pending }
    }

    pub fn total(&self) -> u128 {
        u128::from(self.available) + u128::from(self.pending) + u128::from(self.owed)
    }
}

/// Entry 4, accepted: the money leaves the merchant in the commit that accepts the refund, so that two refunds can
/// never both have it. That the payment has so much left to refund is the caller's check.
pub fn refund_accepted(
    fact: &Refunding,
    position: &MerchantPosition,
    at: Timestamp,
) -> Result<(JournalEntry, RefundLegs), CannotPost> {
    let taken = RefundLegs::take(fact.amount.minor(), position);
    let mut legs = Legs::new();
    legs.push(Posting::debit(Account::merchant_available(fact.merchant), taken.available));
    legs.push(Posting::debit(Account::merchant_pending(fact.merchant), taken.pending));
    legs.push(Posting::debit(Account::owed_by_merchant(fact.merchant), taken.owed));
    legs.push(Posting::credit(Account::refund_in_transit(fact.refund), fact.amount.minor()));
    let cause = fact.cause(Reason::RefundAccepted);
    Ok((legs.entry(cause, fact.amount.currency(), at, fact.links())?, taken))
}

/// What is given back along with a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenBack {
    /// f, of the operator's fee: see [`crate::domain::fee::fee_return`].
    pub fee: Money,
    /// c, of the channel's cost; at most what was booked for this payment.
    pub cost: Money,
}

/// Entry 4, succeeded: the channel paid the customer.
pub fn refund_succeeded(
    fact: &Refunding,
    channel: AccountId,
    back: &GivenBack,
    merchant: &MerchantPosition,
    at_channel: &ChannelPosition,
    at: Timestamp,
) -> Result<JournalEntry, CannotPost> {
    same_currency(fact.amount, back.fee)?;
    same_currency(fact.amount, back.cost)?;
    let mut legs = Legs::new();
    legs.push(Posting::debit(Account::refund_in_transit(fact.refund), fact.amount.minor()));
    legs.extend(paid_out(channel, at_channel, fact.amount.minor()));
    legs.push(Posting::debit(Account::fee_income(), back.fee.minor()));
    legs.extend(credit_merchant(fact.merchant, merchant, back.fee.minor()));
    legs.push(Posting::debit(Account::channel_receivable(channel), back.cost.minor()));
    legs.push(Posting::credit(Account::channel_cost(), back.cost.minor()));
    legs.entry(fact.cause(Reason::RefundSucceeded), fact.amount.currency(), at, fact.links())
}

/// The channel gave a refund's money to the merchant's own account: what stood at the channel stands in his bank now, and the
/// customer is still to be paid, so 2006 stays as it is. `None` when the channel held nothing of it, as far as the books know.
pub fn refund_returned(
    fact: &Refunding,
    channel: AccountId,
    at_channel: &ChannelPosition,
    at: Timestamp,
) -> Result<Option<JournalEntry>, CannotPost> {
    let moved = at_most(fact.amount.minor(), at_channel.in_transit);
    if moved == 0 {
        return Ok(None);
    }
    let mut legs = Legs::new();
    legs.push(Posting::debit(Account::settled(channel), moved));
    legs.push(Posting::credit(Account::channel_receivable(channel), moved));
    legs.entry(fact.cause(Reason::RefundReturned), fact.amount.currency(), at, fact.links()).map(Some)
}

/// Entry 4, failed: back to where it was taken. Pending money becomes pending again; the rest pays what the merchant
/// owes by now, which may be less than this refund made him owe, or more, and what is left is available.
pub fn refund_failed(
    fact: &Refunding,
    taken: &RefundLegs,
    position: &MerchantPosition,
    at: Timestamp,
) -> Result<JournalEntry, CannotPost> {
    if taken.total() != u128::from(fact.amount.minor()) {
        return Err(CannotPost::LegsDiffer);
    }
    let mut legs = Legs::new();
    legs.push(Posting::debit(Account::refund_in_transit(fact.refund), fact.amount.minor()));
    legs.push(Posting::credit(Account::merchant_pending(fact.merchant), taken.pending));
    legs.extend(credit_merchant(fact.merchant, position, fact.amount.minor() - taken.pending));
    legs.entry(fact.cause(Reason::RefundFailed), fact.amount.currency(), at, fact.links())
}

/// Money that no payment is waiting for (长款): a second paid attempt, a wrong amount, an order nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unexpected {
    /// One case per transaction of the channel: the cause of everything posted here.
    pub case: CaseId,
    pub channel: AccountId,
    /// What it probably belongs to.
    pub payment: Option<PaymentId>,
    pub attempt: Option<AttemptId>,
    pub amount: Money,
}

impl Unexpected {
    fn cause(&self, reason: Reason) -> Cause {
        Cause { subject: self.case.to_bytes(), reason }
    }

    fn links(&self) -> Links {
        Links { payment: self.payment, attempt: self.attempt, case: Some(self.case), ..Links::default() }
    }
}

/// Entry 7, received: visible, and nobody's yet.
pub fn long_received(fact: &Unexpected, at: Timestamp) -> Result<JournalEntry, CannotPost> {
    let mut legs = Legs::new();
    legs.push(Posting::debit(Account::channel_receivable(fact.channel), fact.amount.minor()));
    legs.push(Posting::credit(Account::suspense_long(fact.case), fact.amount.minor()));
    legs.entry(fact.cause(Reason::LongReceived), fact.amount.currency(), at, fact.links())
}

/// Entry 7, booked after all (补单): `fact.amount` of the case's money becomes the payment's.
pub fn long_booked(case: CaseId, fact: &Collected, at: Timestamp) -> Result<JournalEntry, CannotPost> {
    let amount = fact.amount.minor();
    let mut legs = Legs::new();
    legs.push(Posting::debit(Account::suspense_long(case), amount));
    legs.push(Posting::credit(Account::merchant_pending(fact.merchant), amount));
    legs.extend(fact.fee_legs()?);
    legs.extend(fact.cost_legs()?);
    let cause = Cause { subject: case.to_bytes(), reason: Reason::LongBooked };
    let links = Links { case: Some(case), ..fact.links() };
    legs.entry(cause, fact.amount.currency(), at, links)
}

/// Entry 7, paid back by another way, because the channel would not: the owner paid the customer from outside the books,
/// and what the channel holds is his.
pub fn long_paid_elsewhere(fact: &Unexpected, at: Timestamp) -> Result<JournalEntry, CannotPost> {
    let mut legs = Legs::new();
    legs.push(Posting::debit(Account::suspense_long(fact.case), fact.amount.minor()));
    legs.push(Posting::credit(Account::equity(), fact.amount.minor()));
    legs.entry(fact.cause(Reason::LongPaidElsewhere), fact.amount.currency(), at, fact.links())
}

/// Entry 7, paid back: the channel returned the money to the customer.
pub fn long_paid_back(
    fact: &Unexpected,
    at_channel: &ChannelPosition,
    at: Timestamp,
) -> Result<JournalEntry, CannotPost> {
    let mut legs = Legs::new();
    legs.push(Posting::debit(Account::suspense_long(fact.case), fact.amount.minor()));
    legs.extend(paid_out(fact.channel, at_channel, fact.amount.minor()));
    legs.entry(fact.cause(Reason::LongPaidBack), fact.amount.currency(), at, fact.links())
}

/// Cr 1101 as far as the merchant owes, Cr 2002 the rest.
fn credit_merchant(merchant: MerchantId, position: &MerchantPosition, minor: u64) -> [Posting; 2] {
    let recovered = at_most(minor, position.owed);
    [
        Posting::credit(Account::owed_by_merchant(merchant), recovered),
        Posting::credit(Account::merchant_available(merchant), minor - recovered),
    ]
}

/// Cr 1001 as far as it reaches, then Cr 1002, then Cr 3001: what the owner paid from outside the books.
fn paid_out(channel: AccountId, position: &ChannelPosition, minor: u64) -> [Posting; 3] {
    let in_transit = at_most(minor, position.in_transit);
    let settled = at_most(minor - in_transit, position.settled);
    [
        Posting::credit(Account::channel_receivable(channel), in_transit),
        Posting::credit(Account::settled(channel), settled),
        Posting::credit(Account::equity(), minor - in_transit - settled),
    ]
}

/// The smaller of the two.
fn at_most(minor: u64, limit: u128) -> u64 {
    u64::try_from(limit).map_or(minor, |limit| minor.min(limit))
}

fn same_currency(a: Money, b: Money) -> Result<(), CannotPost> {
    if a.currency() == b.currency() { Ok(()) } else { Err(CannotPost::MixedCurrencies) }
}

/// Postings being collected: legs of zero are left out, because a posting of nothing is not one.
struct Legs(Vec<Posting>);

impl Legs {
    fn new() -> Self {
        Self(Vec::with_capacity(6))
    }

    fn push(&mut self, posting: Posting) {
        if posting.minor > 0 {
            self.0.push(posting);
        }
    }

    fn extend(&mut self, postings: impl IntoIterator<Item = Posting>) {
        postings.into_iter().for_each(|posting| self.push(posting));
    }

    fn entry(self, cause: Cause, currency: Currency, at: Timestamp, links: Links) -> Result<JournalEntry, CannotPost> {
        Ok(JournalEntry::new(cause, currency, at, links, self.0)?)
    }
}
