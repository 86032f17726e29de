//! The provider's decisions, pure: an order or a refund and what happens to it give the next one and what is told.
//!
//! Time is an input like any other: whatever was planned happens in [`WalletOrder::advance`], whoever calls it first.

use serde::{Deserialize, Serialize};

use super::fault::{Fault, Faults};
use crate::domain::method::Method;
use crate::domain::money::Money;
use crate::domain::time::{Duration, Timestamp};
pub use crate::sandbox::provider::model::{DELAYED_BY, Deed, LATE_AFTER, PAYING_TAKES, Planned, Received};
use crate::sandbox::provider::model::{number, one_off};
pub use crate::sandbox::provider::play::Simulation;

/// How long a slow refund takes.
pub const REFUND_TAKES: Duration = Duration::from_seconds(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TradeState {
    NotPay,
    /// The payer is typing the password.
    UserPaying,
    Success,
    Closed,
    PayError,
}

impl TradeState {
    /// The word on the wire.
    pub const fn code(self) -> &'static str {
        match self {
            TradeState::NotPay => "NOTPAY",
            TradeState::UserPaying => "USERPAYING",
            TradeState::Success => "SUCCESS",
            TradeState::Closed => "CLOSED",
            TradeState::PayError => "PAYERROR",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefundStatus {
    Processing,
    Success,
    Abnormal,
}

impl RefundStatus {
    /// The word on the wire.
    pub const fn code(self) -> &'static str {
        match self {
            RefundStatus::Processing => "PROCESSING",
            RefundStatus::Success => "SUCCESS",
            RefundStatus::Abnormal => "ABNORMAL",
        }
    }
}

/// What the merchant asked for. Asking again with the same content is asking once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOrder {
    pub mch_id: String,
    pub app_id: String,
    pub out_trade_no: String,
    pub method: Method,
    pub description: String,
    pub amount: Money,
    pub expires_at: Timestamp,
    pub notify_url: String,
    pub return_url: String,
}

/// One order as the provider keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalletOrder {
    pub asked: NewOrder,
    /// Opens the payer's page; whoever has it can pay.
    pub code: [u8; 16],
    pub created_at: Timestamp,
    /// As asked for, unless its time ran out early.
    pub expires_at: Timestamp,
    pub state: TradeState,
    pub received: Option<Received>,
    pub planned: Planned,
    /// Minor units of refunds that succeeded or are on their way.
    pub refunded_minor: u64,
    pub faults: Faults,
}

/// Why the provider does not do what was asked.
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
    NotEnough,
    /// Something in the request is not acceptable.
    Param(&'static str),
}

/// One message to the merchant's notification address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    pub at: Timestamp,
    /// Signed with a foreign key.
    pub forged: bool,
    /// Names one unit less than was received.
    pub misstated: bool,
}

/// What becomes of an order: its next state, what is told, and when to look at it again by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub order: WalletOrder,
    pub notices: Vec<Notice>,
    pub wake: Option<Timestamp>,
}

impl WalletOrder {
    pub fn create(asked: NewOrder, code: [u8; 16], faults: Faults, now: Timestamp) -> Change {
        let planned = if faults.has(Fault::PayAfterClose) { Planned::AfterClose } else { Planned::Nothing };
        let order = Self {
            expires_at: asked.expires_at,
            asked,
            code,
            created_at: now,
            state: TradeState::NotPay,
            received: None,
            planned,
            refunded_minor: 0,
            faults,
        };
        let wake = (planned == Planned::AfterClose).then(|| order.expires_at.plus(LATE_AFTER));
        Change { order, notices: Vec::new(), wake }
    }

    /// Lets time pass: the order's time runs out, and what was planned happens.
    pub fn advance(&self, now: Timestamp) -> Change {
        let mut order = self.clone();
        if order.state == TradeState::NotPay && now >= order.expires_at {
            order = order.closed(order.expires_at);
        }
        match order.planned {
            Planned::At(at) if at <= now => order.paid(order.asked.amount, Told::Once, at),
            Planned::Nothing | Planned::At(_) | Planned::AfterClose => Change::quiet(order),
        }
    }

    /// The merchant closes the order. Closing twice is closing once.
    pub fn close(&self, now: Timestamp) -> Result<Change, Refusal> {
        match self.state {
            TradeState::NotPay => {
                let order = self.closed(now);
                let wake = match order.planned {
                    Planned::At(at) => Some(at),
                    Planned::Nothing | Planned::AfterClose => None,
                };
                Ok(Change { wake, ..Change::quiet(order) })
            }
            TradeState::Closed | TradeState::PayError => Ok(Change::quiet(self.clone())),
            TradeState::UserPaying => Err(Refusal::Paying),
            TradeState::Success => Err(Refusal::Paid),
        }
    }

    /// The provider lets the order's time run out now.
    pub fn expire(&self, now: Timestamp) -> Result<Change, Refusal> {
        let mut order = self.clone();
        order.expires_at = order.expires_at.min(now);
        match order.state {
            TradeState::UserPaying => Err(Refusal::Paying),
            TradeState::Success => Err(Refusal::Paid),
            TradeState::NotPay | TradeState::Closed | TradeState::PayError => order.close(now),
        }
    }

    /// The payer does something on the phone.
    pub fn act(&self, deed: Deed, now: Timestamp) -> Result<Change, Refusal> {
        match self.state {
            TradeState::NotPay | TradeState::UserPaying => {}
            TradeState::Closed if deed == Deed::PayLate => {
                return Ok(self.paid(self.asked.amount, Told::Once, now));
            }
            TradeState::Closed | TradeState::PayError => return Err(Refusal::Closed),
            TradeState::Success => return Err(Refusal::Paid),
        }
        let asked = self.asked.amount;
        Ok(match deed {
            Deed::Pay => self.paid(asked, Told::Once, now),
            Deed::PayUntold => self.paid(asked, Told::Never, now),
            Deed::PayTwiceTold => self.paid(asked, Told::Twice, now),
            Deed::PayWrongAmount => self.paid(one_off(asked), Told::Once, now),
            Deed::PaySlowly => {
                let at = now.plus(PAYING_TAKES);
                let order = Self { state: TradeState::UserPaying, planned: Planned::At(at), ..self.clone() };
                Change { wake: Some(at), ..Change::quiet(order) }
            }
            Deed::PayLate => {
                let order = Self { state: TradeState::NotPay, planned: Planned::AfterClose, ..self.clone() };
                Change { wake: Some(self.expires_at.plus(LATE_AFTER)), ..Change::quiet(order) }
            }
            Deed::Refuse | Deed::BalanceShort => {
                let order = Self { state: TradeState::PayError, planned: Planned::Nothing, ..self.clone() };
                let notices = self.notices(Told::Once, now);
                Change { notices, ..Change::quiet(order) }
            }
        })
    }

    fn closed(&self, at: Timestamp) -> Self {
        let planned = match self.planned {
            Planned::AfterClose => Planned::At(at.plus(LATE_AFTER)),
            Planned::Nothing | Planned::At(_) => self.planned,
        };
        Self { state: TradeState::Closed, planned, ..self.clone() }
    }

    fn paid(&self, amount: Money, told: Told, at: Timestamp) -> Change {
        let transaction_id = number("42", &self.asked.out_trade_no);
        let order = Self {
            state: TradeState::Success,
            received: Some(Received { transaction_id, amount, at }),
            planned: Planned::Nothing,
            ..self.clone()
        };
        let notices = self.notices(told, at);
        Change { notices, ..Change::quiet(order) }
    }

    fn notices(&self, told: Told, at: Timestamp) -> Vec<Notice> {
        let at = if self.faults.has(Fault::DelayNotification) { at.plus(DELAYED_BY) } else { at };
        notices(self.faults, told, at)
    }
}

impl Change {
    fn quiet(order: WalletOrder) -> Self {
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

fn notices(faults: Faults, told: Told, at: Timestamp) -> Vec<Notice> {
    let notice =
        Notice { at, forged: faults.has(Fault::ForgeNotification), misstated: faults.has(Fault::MisstateAmount) };
    let count = match told {
        _ if faults.has(Fault::LoseNotification) => 0,
        Told::Never => 0,
        Told::Once if faults.has(Fault::DoubleNotification) => 2,
        Told::Once => 1,
        Told::Twice => 2,
    };
    vec![notice; count]
}

/// What the merchant asked for. Asking again with the same content is asking once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewRefund {
    pub mch_id: String,
    pub out_trade_no: String,
    pub out_refund_no: String,
    pub amount: Money,
    /// The whole amount of the order, as the merchant believes.
    pub total: Money,
    pub reason: String,
    pub notify_url: String,
}

/// One refund as the provider keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalletRefund {
    pub asked: NewRefund,
    pub refund_id: String,
    pub created_at: Timestamp,
    pub status: RefundStatus,
    /// When it ends; how, the faults decide.
    pub ends_at: Timestamp,
    /// The order's, when the refund was asked for.
    pub faults: Faults,
}

/// What becomes of a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundChange {
    pub refund: WalletRefund,
    pub notices: Vec<Notice>,
    pub wake: Option<Timestamp>,
    /// Minor units that can be refunded again, because this refund failed.
    pub released_minor: u64,
}

impl WalletOrder {
    /// Accepts a refund: the order with the amount reserved, and the refund.
    pub fn refund(&self, asked: NewRefund, now: Timestamp) -> Result<(WalletOrder, RefundChange), Refusal> {
        let received = match (&self.received, self.state) {
            (Some(received), TradeState::Success) => received,
            (Some(_) | None, _) => return Err(Refusal::NotPaid),
        };
        if asked.total != self.asked.amount || asked.amount.currency() != received.amount.currency() {
            return Err(Refusal::Param("amount.total"));
        }
        if asked.amount.is_zero() {
            return Err(Refusal::Param("amount.refund"));
        }
        let refunded_minor = self.refunded_minor.checked_add(asked.amount.minor()).ok_or(Refusal::NotEnough)?;
        if refunded_minor > received.amount.minor() {
            return Err(Refusal::NotEnough);
        }
        let slow = self.faults.has(Fault::RefundSlow) || self.faults.has(Fault::RefundAbnormal);
        let ends_at = if slow { now.plus(REFUND_TAKES) } else { now };
        let refund = WalletRefund {
            refund_id: number("50", &asked.out_refund_no),
            asked,
            created_at: now,
            status: RefundStatus::Processing,
            ends_at,
            faults: self.faults,
        };
        let change = refund.advance(now);
        Ok((Self { refunded_minor, ..self.clone() }, RefundChange { wake: slow.then_some(ends_at), ..change }))
    }

    /// Takes back the reservation of a refund that failed.
    pub fn release(&self, minor: u64) -> Self {
        Self { refunded_minor: self.refunded_minor.saturating_sub(minor), ..self.clone() }
    }
}

impl WalletRefund {
    /// Lets time pass.
    pub fn advance(&self, now: Timestamp) -> RefundChange {
        let mut refund = self.clone();
        if self.status != RefundStatus::Processing || now < self.ends_at {
            return RefundChange { refund, notices: Vec::new(), wake: None, released_minor: 0 };
        }
        let failed = self.faults.has(Fault::RefundAbnormal);
        refund.status = if failed { RefundStatus::Abnormal } else { RefundStatus::Success };
        let released_minor = if failed { self.asked.amount.minor() } else { 0 };
        RefundChange { refund, notices: notices(self.faults, Told::Once, self.ends_at), wake: None, released_minor }
    }
}

/// Ends an order as the test API asks.
pub fn play(order: &WalletOrder, simulation: Simulation, now: Timestamp) -> Result<Change, Refusal> {
    simulation.deed().map_or_else(|| order.expire(now), |deed| order.act(deed, now))
}
