//! What a simulated provider decides, pure and without any provider's words: an order or a refund and what happens to it
//! give the next one and what there is to tell.
//!
//! Time is an input like any other: whatever was planned happens in [`Order::advance`] and [`Refund::advance`], whoever
//! calls them first.

use serde::{Deserialize, Serialize};

use super::fault::{Fault, Faults};
use crate::domain::money::Money;
use crate::domain::time::{Duration, Timestamp};

/// Money that comes after a close comes so much later.
pub const LATE_AFTER: Duration = Duration::from_seconds(3);
/// How long a slow payer types the password.
pub const PAYING_TAKES: Duration = Duration::from_seconds(8);
/// How long one types who is too slow for every shop.
pub const PAYING_TAKES_LONG: Duration = Duration::from_seconds(120);
/// How long a refund takes that is stuck.
pub const STUCK_FOR: Duration = Duration::from_days(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TradeState {
    NotPaid,
    /// The payer is typing the password.
    Paying,
    Paid,
    Closed,
    /// Taken back by the merchant; money that had come was given back.
    Revoked,
    /// The payment failed for good.
    Failed,
}

/// What the merchant asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOrder {
    /// The merchant's number at the provider.
    pub merchant: String,
    /// The merchant's number of the order, or whatever else names it once and for all.
    pub number: String,
    pub amount: Money,
    /// Shown to the payer.
    pub description: String,
    /// Last moment to pay.
    pub expires_at: Timestamp,
    pub notify_url: Option<String>,
    /// Where the payer's browser goes afterwards.
    pub return_url: Option<String>,
    /// A payment that fails ends the order, as with a code that the payer showed; otherwise the payer may try again.
    pub failure_ends: bool,
    /// The rest in the provider's own words. Asking again is asking once only if it is the same.
    pub details: String,
}

impl NewOrder {
    /// Whether asking for `self` repeats `first`. The time to pay is settled by the first.
    pub fn repeats(&self, first: &NewOrder) -> bool {
        NewOrder { expires_at: first.expires_at, ..self.clone() } == *first
    }
}

/// Money that the payer gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    pub transaction_id: String,
    /// Differs from what was asked when the payer pays a wrong amount.
    pub amount: Money,
    pub at: Timestamp,
}

/// A payment that will happen by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Planned {
    Nothing,
    /// As soon as the password is typed.
    At(Timestamp),
    /// Some seconds after the order was closed, whenever that will be.
    AfterClose,
}

/// One order as the provider keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub asked: NewOrder,
    /// Opens the payer's page; whoever has it can pay.
    pub code: [u8; 16],
    /// Until when the code works; an order may get another.
    pub code_until: Timestamp,
    pub created_at: Timestamp,
    /// As asked for, unless its time ran out early.
    pub expires_at: Timestamp,
    pub state: TradeState,
    pub received: Option<Received>,
    pub planned: Planned,
    /// When it was closed, taken back or failed.
    pub ended_at: Option<Timestamp>,
    /// Minor units of refunds that succeeded or are on their way.
    pub refunded_minor: u64,
    /// How many of them.
    pub refunds: u32,
    pub last_refund_at: Option<Timestamp>,
    pub faults: Faults,
}

/// What the payer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Pay,
    /// Takes a while for the password.
    PaySlowly,
    Refuse,
    /// Tries, and the balance is short.
    BalanceShort,
    /// After the order was closed: at once if it is, else as soon as it will be.
    PayLate,
    PayWrongAmount,
    /// The money arrives, the notification never.
    PayUntold,
    PayTwiceTold,
}

impl Deed {
    pub const ALL: [Deed; 8] = [
        Deed::Pay,
        Deed::PaySlowly,
        Deed::Refuse,
        Deed::BalanceShort,
        Deed::PayLate,
        Deed::PayWrongAmount,
        Deed::PayUntold,
        Deed::PayTwiceTold,
    ];

    /// The word in forms and in the API.
    pub const fn code(self) -> &'static str {
        match self {
            Deed::Pay => "pay",
            Deed::PaySlowly => "pay_slowly",
            Deed::Refuse => "refuse",
            Deed::BalanceShort => "balance_short",
            Deed::PayLate => "pay_late",
            Deed::PayWrongAmount => "pay_wrong_amount",
            Deed::PayUntold => "pay_untold",
            Deed::PayTwiceTold => "pay_twice_told",
        }
    }

    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|deed| deed.code() == code)
    }
}

/// Why the provider does not do what was asked. Each provider has its own words for these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    UnknownOrder,
    UnknownRefund,
    Paid,
    Closed,
    /// The payer is paying right now.
    Paying,
    NotPaid,
    /// The number is taken by an order with other content.
    OrderNumberUsed,
    RefundNumberUsed,
    /// More than is left of the payment.
    TooMuch,
    /// The merchant's balance does not cover it.
    BalanceShort,
    TooManyRefunds,
    /// Refunds of one order follow each other too closely.
    TooSoon,
    /// Refunds of so old a payment are not possible any more.
    TooLate,
    /// The state of the refund does not allow it.
    RefundState,
}

/// How the merchant is told of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    pub at: Timestamp,
    pub what: Event,
    /// Signed with a foreign key.
    pub forged: bool,
    /// Names one unit less than was received.
    pub misstated: bool,
    /// Waits until a later one has overtaken it.
    pub overtaken: bool,
    /// A probe goes before it.
    pub probed: bool,
}

/// What happened. Whether and how it is told is the provider's matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    Paid,
    PaymentFailed,
    OrderClosed,
    OrderRevoked,
    Refunded,
    RefundAbnormal,
    RefundClosed,
}

/// What becomes of an order: its next state, what is told, and when to look at it again by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub order: Order,
    pub notices: Vec<Notice>,
    pub wake: Option<Timestamp>,
}

impl Order {
    /// `code_life` is how long the payer's code works.
    pub fn create(asked: NewOrder, code: [u8; 16], code_life: Duration, faults: Faults, now: Timestamp) -> Change {
        let planned = if faults.has(Fault::PayAfterClose) { Planned::AfterClose } else { Planned::Nothing };
        let order = Self {
            code,
            code_until: now.plus(code_life),
            created_at: now,
            expires_at: asked.expires_at,
            asked,
            state: TradeState::NotPaid,
            received: None,
            planned,
            ended_at: None,
            refunded_minor: 0,
            refunds: 0,
            last_refund_at: None,
            faults,
        };
        let wake = Some(order.expires_at.plus(LATE_AFTER));
        Change { order, notices: Vec::new(), wake }
    }

    /// Whether the payer's code opens anything.
    pub fn code_works(&self, now: Timestamp) -> bool {
        now < self.code_until && matches!(self.state, TradeState::NotPaid | TradeState::Paying)
    }

    /// Lets time pass: the order's time runs out, and what was planned happens.
    #[must_use]
    pub fn advance(&self, now: Timestamp) -> Change {
        let mut change = Change::quiet(self.clone());
        if self.state == TradeState::NotPaid && now >= self.expires_at {
            change = self.ended(TradeState::Closed, Event::OrderClosed, self.expires_at);
        }
        match change.order.planned {
            Planned::At(at) if at <= now => change.order.paid(self.asked.amount, Told::Once, at),
            Planned::Nothing | Planned::At(_) | Planned::AfterClose => change,
        }
    }

    /// The merchant closes the order. Closing twice is closing once.
    pub fn close(&self, now: Timestamp) -> Result<Change, Refusal> {
        match self.state {
            TradeState::NotPaid => Ok(self.ended(TradeState::Closed, Event::OrderClosed, now)),
            TradeState::Closed | TradeState::Revoked | TradeState::Failed => Ok(Change::quiet(self.clone())),
            TradeState::Paying if self.asked.failure_ends => Err(Refusal::Paying),
            // The close wins the race against the password.
            TradeState::Paying => {
                let order = Self { planned: Planned::Nothing, ..self.clone() };
                Ok(order.ended(TradeState::Closed, Event::OrderClosed, now))
            }
            TradeState::Paid => Err(Refusal::Paid),
        }
    }

    /// The merchant takes the order back (撤销): unpaid it ends, paid the money goes back at once.
    pub fn revoke(&self, now: Timestamp) -> Result<Change, Refusal> {
        match self.state {
            TradeState::NotPaid | TradeState::Paying | TradeState::Failed => {
                let order = Self { planned: Planned::Nothing, ..self.clone() };
                Ok(order.ended(TradeState::Revoked, Event::OrderRevoked, now))
            }
            TradeState::Paid if self.refunded_minor > 0 => Err(Refusal::RefundState),
            TradeState::Paid => {
                let mut change = self.ended(TradeState::Revoked, Event::OrderRevoked, now);
                change.order.refunded_minor = self.asked.amount.minor();
                Ok(change)
            }
            TradeState::Revoked | TradeState::Closed => Ok(Change::quiet(self.clone())),
        }
    }

    /// The payer does something on the phone.
    pub fn act(&self, deed: Deed, now: Timestamp) -> Result<Change, Refusal> {
        match self.state {
            TradeState::NotPaid | TradeState::Paying => {}
            TradeState::Closed if deed == Deed::PayLate => {
                return Ok(self.paid(self.asked.amount, Told::Once, now));
            }
            TradeState::Closed | TradeState::Revoked | TradeState::Failed => return Err(Refusal::Closed),
            TradeState::Paid => return Err(Refusal::Paid),
        }
        let asked = self.asked.amount;
        Ok(match deed {
            Deed::Pay => self.paid(asked, Told::Once, now),
            Deed::PayUntold => self.paid(asked, Told::Never, now),
            Deed::PayTwiceTold => self.paid(asked, Told::Twice, now),
            Deed::PayWrongAmount => self.paid(one_off(asked), Told::Once, now),
            Deed::PaySlowly => {
                let takes = if self.faults.has(Fault::PasswordLate) { PAYING_TAKES_LONG } else { PAYING_TAKES };
                let at = now.plus(takes);
                let order = Self { state: TradeState::Paying, planned: Planned::At(at), ..self.clone() };
                Change { wake: Some(at), ..Change::quiet(order) }
            }
            Deed::PayLate => {
                let order = Self { state: TradeState::NotPaid, planned: Planned::AfterClose, ..self.clone() };
                Change { wake: Some(self.expires_at.plus(LATE_AFTER)), ..Change::quiet(order) }
            }
            Deed::Refuse | Deed::BalanceShort if self.asked.failure_ends => return self.fail(now),
            Deed::Refuse | Deed::BalanceShort => {
                let order = Self { state: TradeState::NotPaid, planned: Planned::Nothing, ..self.clone() };
                Change::quiet(order)
            }
        })
    }

    /// The order's time runs out now.
    pub fn run_out(&self, now: Timestamp) -> Result<Change, Refusal> {
        let order = Self { expires_at: self.expires_at.min(now), ..self.clone() };
        order.close(now)
    }

    /// The payment fails for good.
    pub fn fail(&self, now: Timestamp) -> Result<Change, Refusal> {
        match self.state {
            TradeState::NotPaid | TradeState::Paying => {
                let order = Self { planned: Planned::Nothing, ..self.clone() };
                Ok(order.ended(TradeState::Failed, Event::PaymentFailed, now))
            }
            TradeState::Closed | TradeState::Revoked | TradeState::Failed => Err(Refusal::Closed),
            TradeState::Paid => Err(Refusal::Paid),
        }
    }

    /// The order's own number in 21 digits.
    pub fn short_number(&self) -> String {
        short_number(&self.asked.merchant, &self.asked.number)
    }

    /// A new code for the payer; the old one is dead.
    #[must_use]
    pub fn renewed(&self, code: [u8; 16], code_life: Duration, now: Timestamp) -> Self {
        Self { code, code_until: now.plus(code_life), ..self.clone() }
    }

    fn ended(&self, state: TradeState, what: Event, at: Timestamp) -> Change {
        let planned = match self.planned {
            Planned::AfterClose => Planned::At(at.plus(LATE_AFTER)),
            Planned::Nothing | Planned::At(_) => self.planned,
        };
        let order = Self { state, planned, ended_at: Some(at), ..self.clone() };
        let wake = match planned {
            Planned::At(at) => Some(at),
            Planned::Nothing | Planned::AfterClose => None,
        };
        Change { notices: notices(self.faults, what, Told::Once, at), order, wake }
    }

    fn paid(&self, amount: Money, told: Told, at: Timestamp) -> Change {
        let transaction_id = number("42", &format!("{} {}", self.asked.merchant, self.asked.number));
        let order = Self {
            state: TradeState::Paid,
            received: Some(Received { transaction_id, amount, at }),
            planned: Planned::Nothing,
            ..self.clone()
        };
        Change { notices: notices(self.faults, Event::Paid, told, at), ..Change::quiet(order) }
    }
}

impl Change {
    fn quiet(order: Order) -> Self {
        Self { order, notices: Vec::new(), wake: None }
    }
}

/// How often the merchant is told, as far as the payer's deed decides it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Never,
    Once,
    Twice,
}

/// How late a delayed notification is.
pub const DELAYED_BY: Duration = Duration::from_seconds(60);

fn notices(faults: Faults, what: Event, told: Told, at: Timestamp) -> Vec<Notice> {
    let late = what == Event::Paid && faults.has(Fault::DelayNotification);
    let overtaken = faults.has(Fault::ReorderNotification);
    let notice = Notice {
        at: if late || overtaken { at.plus(DELAYED_BY) } else { at },
        what,
        forged: faults.has(Fault::ForgeNotification),
        misstated: faults.has(Fault::MisstateAmount),
        overtaken,
        probed: faults.has(Fault::ProbeNotification),
    };
    let count = match told {
        _ if faults.has(Fault::LoseNotification) => 0,
        Told::Never => 0,
        Told::Once if faults.has(Fault::DoubleNotification) => 2,
        Told::Once => 1,
        Told::Twice => 2,
    };
    vec![notice; count]
}

/// One unit less, or one more where there is only one.
pub fn one_off(amount: Money) -> Money {
    let minor = if amount.minor() > 1 { amount.minor() - 1 } else { amount.minor() + 1 };
    Money::new(minor, amount.currency())
}

/// What the merchant asked for. Asking again with the same content is asking once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewRefund {
    pub merchant: String,
    /// The order's number.
    pub order: String,
    /// The merchant's number of the refund.
    pub number: String,
    pub amount: Money,
    pub notify_url: Option<String>,
    /// The rest in the provider's own words.
    pub details: String,
}

/// When a provider refunds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefundRules {
    /// Refunds of one order.
    pub count_max: u32,
    /// Between two refunds of one order.
    pub gap_min: Duration,
    /// After the payment.
    pub window: Duration,
    /// How long one takes if nothing goes wrong.
    pub takes: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefundStatus {
    Processing,
    Success,
    /// The way back is blocked; the merchant has to name another.
    Abnormal,
    /// Given up; the money stays with the merchant.
    Closed,
}

/// Which way was named for money that could not go back. Stored as its number: the first two were a yes and a no once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Helped {
    No,
    /// Another card of the payer.
    Card,
    /// The merchant's own account.
    Merchant,
}

/// One refund as the provider keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    pub asked: NewRefund,
    pub refund_id: String,
    pub created_at: Timestamp,
    pub status: RefundStatus,
    /// When it ends; how, the faults decide.
    pub ends_at: Timestamp,
    /// When it ended; of the end that it has now.
    pub ended_at: Option<Timestamp>,
    /// Another way for the money was named, so it arrives in any case.
    pub helped: Helped,
    /// The order's, when the refund was asked for.
    pub faults: Faults,
}

/// What becomes of a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundChange {
    pub refund: Refund,
    pub notices: Vec<Notice>,
    pub wake: Option<Timestamp>,
    /// Minor units that can be refunded again, because this refund was given up.
    pub released_minor: u64,
}

impl Order {
    /// Accepts a refund: the order with the amount reserved, and the refund. The amount is at least one.
    pub fn refund(
        &self,
        asked: NewRefund,
        rules: RefundRules,
        now: Timestamp,
    ) -> Result<(Order, RefundChange), Refusal> {
        let received = match (&self.received, self.state) {
            (Some(received), TradeState::Paid) => received,
            (Some(_) | None, _) => return Err(Refusal::NotPaid),
        };
        if now.since(received.at) > rules.window {
            return Err(Refusal::TooLate);
        }
        if self.refunds >= rules.count_max {
            return Err(Refusal::TooManyRefunds);
        }
        let refunded_minor = self.refunded_minor.checked_add(asked.amount.minor()).ok_or(Refusal::TooMuch)?;
        if asked.amount.currency() != received.amount.currency() || refunded_minor > received.amount.minor() {
            return Err(Refusal::TooMuch);
        }
        if self.last_refund_at.is_some_and(|last| now.since(last) < rules.gap_min) {
            return Err(Refusal::TooSoon);
        }
        if self.faults.has(Fault::BalanceShort) {
            return Err(Refusal::BalanceShort);
        }
        let takes = if self.faults.has(Fault::RefundStuck) { STUCK_FOR } else { rules.takes };
        let refund = Refund {
            refund_id: number("50", &format!("{} {}", asked.merchant, asked.number)),
            asked,
            created_at: now,
            status: RefundStatus::Processing,
            ends_at: now.plus(takes),
            ended_at: None,
            helped: Helped::No,
            faults: self.faults,
        };
        let order = Self { refunded_minor, refunds: self.refunds + 1, last_refund_at: Some(now), ..self.clone() };
        let mut change = refund.advance(now);
        change.wake = (change.refund.status == RefundStatus::Processing).then_some(change.refund.ends_at);
        Ok((order, change))
    }

    /// Takes back the reservation of a refund that was given up.
    #[must_use]
    pub fn release(&self, minor: u64) -> Self {
        Self { refunded_minor: self.refunded_minor.saturating_sub(minor), ..self.clone() }
    }
}

impl Refund {
    /// Lets time pass.
    #[must_use]
    pub fn advance(&self, now: Timestamp) -> RefundChange {
        let mut refund = self.clone();
        if self.status != RefundStatus::Processing || now < self.ends_at {
            return RefundChange { refund, notices: Vec::new(), wake: None, released_minor: 0 };
        }
        let (status, what, released_minor) = if self.faults.has(Fault::CardClosed) && self.helped == Helped::No {
            (RefundStatus::Abnormal, Event::RefundAbnormal, 0)
        } else if self.faults.has(Fault::RefundAbnormal) {
            (RefundStatus::Closed, Event::RefundClosed, self.asked.amount.minor())
        } else {
            (RefundStatus::Success, Event::Refunded, 0)
        };
        refund.status = status;
        refund.ended_at = Some(self.ends_at);
        RefundChange {
            refund,
            notices: notices(self.faults, what, Told::Once, self.ends_at),
            wake: None,
            released_minor,
        }
    }

    /// The merchant names another way for the money.
    pub fn help(&self, to: Helped, takes: Duration, now: Timestamp) -> Result<RefundChange, Refusal> {
        if self.status != RefundStatus::Abnormal {
            return Err(Refusal::RefundState);
        }
        let ends_at = now.plus(takes);
        let refund = Self { status: RefundStatus::Processing, ends_at, ended_at: None, helped: to, ..self.clone() };
        Ok(RefundChange { refund, notices: Vec::new(), wake: Some(ends_at), released_minor: 0 })
    }
}

/// A shorter number, for providers whose numbers have 21 digits.
pub fn short_number(merchant: &str, number: &str) -> String {
    self::number("7", &format!("{merchant} {number}")).split_off(6)
}

/// A number of the provider's own: 28 digits, the same for the same cause.
pub fn number(prefix: &str, cause: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, cause.as_bytes());
    let (head, _) = digest.as_ref().split_first_chunk::<16>().expect("SHA-256 has 32 bytes");
    format!("{prefix}{:026}", u128::from_be_bytes(*head) % 10u128.pow(26))
}
