//! The payment (a shop's order) and its attempts (one try with one method each), with their lifecycles.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::follow::Step;
use super::ids::{AccountId, AttemptId, PaymentId, RefundId};
use super::method::Method;
use super::money::Money;
use super::time::{Duration, Timestamp};
use super::trouble::Trouble;

/// A customer may change the method this often.
pub const ATTEMPTS_PER_PAYMENT_MAX: usize = 20;
/// Coffer starts another attempt by itself only while a payment has fewer than so many by the same method.
pub const ATTEMPTS_BY_ITSELF_MAX: usize = 4;
/// Source: WeChat Pay API v3, refund: at most 50 partial refunds of one order.
pub const REFUNDS_PER_PAYMENT_MAX: usize = 50;
/// How long a payment can be paid when the shop does not say.
pub const EXPIRES_IN_DEFAULT: Duration = Duration::from_minutes(30);
pub const EXPIRES_IN_MIN: Duration = Duration::from_minutes(1);
pub const EXPIRES_IN_MAX: Duration = Duration::from_days(7);

/// How long what the shop tells about its customer is kept: as long as the last questions about a payment come, and no
/// longer than that. Source: 个人信息保护法, article 19.
pub const CUSTOMER_KEPT: Duration = Duration::from_days(180);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PaymentState {
    /// No attempt has reached a channel.
    Open,
    /// A channel may take the customer's money at any moment.
    Processing,
    Paid,
    Expired,
    Canceled,
    Failed,
}

/// What can happen to a payment. Attempts' outcomes arrive here after they were matched against the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PaymentEvent {
    /// An attempt went to a channel.
    Started,
    /// A channel confirmed that it took the money.
    Paid,
    /// The last attempt was refused for good and no further one is possible.
    Failed,
    /// The time is over and every attempt is confirmed closed.
    Expired,
    /// The shop or the customer gave up and every attempt is confirmed closed.
    Canceled,
    /// An attempt ended without money; another may follow.
    AttemptEnded,
}

impl PaymentState {
    pub const ALL: [PaymentState; 6] = [
        PaymentState::Open,
        PaymentState::Processing,
        PaymentState::Paid,
        PaymentState::Expired,
        PaymentState::Canceled,
        PaymentState::Failed,
    ];

    pub const fn code(self) -> &'static str {
        match self {
            PaymentState::Open => "open",
            PaymentState::Processing => "processing",
            PaymentState::Paid => "paid",
            PaymentState::Expired => "expired",
            PaymentState::Canceled => "canceled",
            PaymentState::Failed => "failed",
        }
    }

    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.code() == code)
    }

    /// Nothing but late money can change it any more.
    pub const fn is_final(self) -> bool {
        match self {
            PaymentState::Open | PaymentState::Processing => false,
            PaymentState::Paid | PaymentState::Expired | PaymentState::Canceled | PaymentState::Failed => true,
        }
    }

    pub fn next(self, event: PaymentEvent) -> Result<PaymentState, Refused> {
        use {PaymentEvent as E, PaymentState as S};
        let refused = Err(Refused { from: self, event });
        match self {
            S::Open | S::Processing => match event {
                E::Started => Ok(S::Processing),
                E::AttemptEnded => Ok(S::Open),
                E::Paid => Ok(S::Paid),
                E::Failed => Ok(S::Failed),
                E::Expired => Ok(S::Expired),
                E::Canceled => Ok(S::Canceled),
            },
            S::Expired | S::Canceled | S::Failed => match event {
                // Money after the end is real money: it is booked, refunded or held, and marked late.
                E::Paid => Ok(S::Paid),
                E::Started | E::AttemptEnded | E::Failed | E::Expired | E::Canceled => refused,
            },
            // Money that arrives twice is a case of its own and never reaches this table as `Paid`.
            S::Paid => refused,
        }
    }
}

impl PaymentEvent {
    pub const ALL: [PaymentEvent; 6] = [
        PaymentEvent::Started,
        PaymentEvent::Paid,
        PaymentEvent::Failed,
        PaymentEvent::Expired,
        PaymentEvent::Canceled,
        PaymentEvent::AttemptEnded,
    ];
}

/// A change that the table does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub from: PaymentState,
    pub event: PaymentEvent,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a payment that is {} cannot become {:?}", self.from.code(), self.event)
    }
}

impl std::error::Error for Refused {}

/// One merchant order to be paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    pub id: PaymentId,
    /// The shop's own number, unique for ever within merchant and mode.
    pub order_id: String,
    /// SHA-256 of what the shop asked for, cut to 16 bytes: tells a repeated create from a conflicting one.
    pub fingerprint: [u8; 16],
    pub amount: Money,
    pub description: String,
    pub state: PaymentState,
    /// Why it ended, as a stable word such as `expired` or `declined`.
    pub reason: Option<Reason>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub paid_at: Option<Timestamp>,
    /// Paid after it had ended.
    pub late: bool,
    /// Fixed by the shop; without it the customer chooses.
    pub method: Option<Method>,
    pub attempts: Vec<AttemptId>,
    /// The attempt that paid it, or the one being shown.
    pub current: Option<AttemptId>,
    pub refunds: Vec<RefundId>,
    /// Minor units, succeeded.
    pub refunded_minor: u64,
    /// Minor units reserved by refunds whose outcome is not known yet.
    pub refunding_minor: u64,
    pub fee_minor: u64,
    pub fee_returned_minor: u64,
    pub return_url: Option<String>,
    pub cancel_url: Option<String>,
    pub callback_url: Option<String>,
    pub customer: Customer,
    pub metadata: BTreeMap<String, String>,
    /// Rises with every change that a merchant can see; receivers ignore lower versions.
    pub version: u32,
    /// The end that was asked for; carried out once every attempt is confirmed closed.
    pub ending: Option<Ending>,
    /// The transaction number and channel of the attempt that paid.
    pub paid_by: Option<PaidBy>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaidBy {
    pub method: Method,
    pub channel: String,
    pub transaction_id: String,
}

/// What the shop tells about its customer. Never shown on pages other than the merchant's own.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    pub ip: Option<std::net::IpAddr>,
    pub email: Option<String>,
    pub locale: Option<String>,
    pub openid: Option<String>,
}

impl fmt::Debug for Customer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Customer(…)")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    Expire,
    CancelByMerchant,
    CancelByCustomer,
    /// No further attempt is wanted: the present one led nowhere.
    Fail,
}

impl Ending {
    pub const fn outcome(self) -> (PaymentEvent, Reason) {
        match self {
            Ending::Expire => (PaymentEvent::Expired, Reason::Expired),
            Ending::CancelByMerchant => (PaymentEvent::Canceled, Reason::CanceledByMerchant),
            Ending::CancelByCustomer => (PaymentEvent::Canceled, Reason::CanceledByCustomer),
            Ending::Fail => (PaymentEvent::Failed, Reason::ChannelRefused),
        }
    }
}

/// Why a payment or an attempt ended without money, or needs eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    Expired,
    CanceledByMerchant,
    CanceledByCustomer,
    Declined,
    ChannelRefused,
}

impl Reason {
    pub const fn code(self) -> &'static str {
        match self {
            Reason::Expired => "expired",
            Reason::CanceledByMerchant => "canceled_by_merchant",
            Reason::CanceledByCustomer => "canceled_by_customer",
            Reason::Declined => "declined",
            Reason::ChannelRefused => "channel_refused",
        }
    }
}

impl Payment {
    /// What could still be refunded: paid, less what was given back and what is reserved.
    pub fn refundable(&self) -> Money {
        let paid = if self.state == PaymentState::Paid { self.amount.minor() } else { 0 };
        let gone = self.refunded_minor.saturating_add(self.refunding_minor);
        Money::new(paid.saturating_sub(gone), self.amount.currency())
    }

    pub fn amount_paid(&self) -> Money {
        match self.state {
            PaymentState::Paid => self.amount,
            PaymentState::Open
            | PaymentState::Processing
            | PaymentState::Expired
            | PaymentState::Canceled
            | PaymentState::Failed => Money::zero(self.amount.currency()),
        }
    }

    pub fn amount_refunded(&self) -> Money {
        Money::new(self.refunded_minor, self.amount.currency())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AttemptState {
    /// Committed; the channel has not answered yet and may or may not know it.
    Created,
    /// The channel knows it and the customer can pay.
    Pending,
    Paid,
    /// The channel says that it was refused.
    Failed,
    /// The channel confirms that it can no longer be paid.
    Closed,
}

/// What was learned about an attempt, always from the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptEvent {
    Accepted,
    Paid,
    Declined,
    Closed,
    /// No answer, or one that we do not understand.
    OutcomeUnknown,
}

impl AttemptState {
    pub const ALL: [AttemptState; 5] =
        [AttemptState::Created, AttemptState::Pending, AttemptState::Paid, AttemptState::Failed, AttemptState::Closed];

    /// No outcome is known yet.
    pub const fn is_live(self) -> bool {
        match self {
            AttemptState::Created | AttemptState::Pending => true,
            AttemptState::Paid | AttemptState::Failed | AttemptState::Closed => false,
        }
    }

    pub const fn code(self) -> &'static str {
        match self {
            AttemptState::Created => "created",
            AttemptState::Pending => "pending",
            AttemptState::Paid => "paid",
            AttemptState::Failed => "failed",
            AttemptState::Closed => "closed",
        }
    }

    /// `None`: nothing changes, as when the same news comes twice.
    pub fn next(self, event: AttemptEvent) -> Option<AttemptState> {
        use {AttemptEvent as E, AttemptState as S};
        match self {
            S::Created => match event {
                E::Accepted => Some(S::Pending),
                E::Paid => Some(S::Paid),
                E::Declined => Some(S::Failed),
                E::Closed => Some(S::Closed),
                E::OutcomeUnknown => None,
            },
            S::Pending => match event {
                E::Paid => Some(S::Paid),
                E::Declined => Some(S::Failed),
                E::Closed => Some(S::Closed),
                // Silence is not a refusal: the channel may hold the money, so we keep asking.
                E::Accepted | E::OutcomeUnknown => None,
            },
            S::Failed | S::Closed => match event {
                // Channels have confirmed a close and then taken the money all the same.
                E::Paid => Some(S::Paid),
                E::Accepted | E::Declined | E::Closed | E::OutcomeUnknown => None,
            },
            S::Paid => match event {
                E::Paid | E::Accepted | E::Declined | E::Closed | E::OutcomeUnknown => None,
            },
        }
    }
}

impl AttemptEvent {
    pub const ALL: [AttemptEvent; 5] = [
        AttemptEvent::Accepted,
        AttemptEvent::Paid,
        AttemptEvent::Declined,
        AttemptEvent::Closed,
        AttemptEvent::OutcomeUnknown,
    ];
}

/// One try to collect a payment with one method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub id: AttemptId,
    pub payment: PaymentId,
    pub method: Method,
    pub account: AccountId,
    /// What the channel was or will be asked for.
    pub amount: Money,
    pub state: AttemptState,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub next_action: Option<NextAction>,
    /// The channel's own number of the payment.
    pub transaction_id: Option<String>,
    pub paid_at: Option<Timestamp>,
    /// When the channel's word ended it without money.
    pub ended_at: Option<Timestamp>,
    /// How often the channel was asked since the code was shown; the step of the query ladder.
    pub queries: u32,
    /// When its follow-up is due; together with the account this is the key of its one row in the queue.
    pub follow_up: Option<Timestamp>,
    /// What the follow-up will do.
    pub step: Step,
    /// The last thing that went wrong while talking to the channel; of one that has ended, what ended it.
    pub trouble: Option<Trouble>,
}

/// The channel account that an attempt goes to, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub account: AccountId,
    pub why: RouteReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteReason {
    /// No other one takes this method and amount.
    Only,
    /// By lot, out of so many that have a share.
    Share { of: u16 },
    /// So many others rest, because they kept failing.
    OthersRest { resting: u16 },
    /// All keep failing, so this one is tried all the same.
    AllRest,
    /// The provider refused the account before, whatever the order: its keys or its contract.
    OtherBarred,
    /// The code of the attempt before was lost with an answer, and the provider tells a code once.
    CodeLost,
}

impl From<AccountId> for Route {
    fn from(account: AccountId) -> Self {
        Route { account, why: RouteReason::Only }
    }
}

/// What the customer's device has to do now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NextAction {
    QrCode {
        data: String,
    },
    Redirect {
        url: String,
    },
    /// A form that the browser posts: UnionPay's gateway.
    Form {
        url: String,
        fields: Vec<(String, String)>,
    },
    AppParams {
        params: BTreeMap<String, String>,
    },
    JsApiParams {
        params: BTreeMap<String, String>,
    },
    /// Nothing: the customer confirms on the phone that showed the code.
    Confirm,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The printed tables are the document; they are compared with the files so that neither can drift.
    #[test]
    fn the_transition_tables_are_as_printed() {
        let mut text = String::from("payment\n");
        for from in PaymentState::ALL {
            for event in PaymentEvent::ALL {
                let to = from.next(event).map_or("refused", PaymentState::code);
                text += &format!("{:<10} + {:<12} -> {to}\n", from.code(), format!("{event:?}"));
            }
        }
        text += "attempt\n";
        for from in AttemptState::ALL {
            for event in AttemptEvent::ALL {
                let to = from.next(event).map_or("(nothing)", AttemptState::code);
                text += &format!("{:<10} + {:<14} -> {to}\n", from.code(), format!("{event:?}"));
            }
        }
        assert_eq!(text, include_str!("../../tests/it/payment_states.txt"));
    }

    #[test]
    fn paid_never_goes_back() {
        for event in PaymentEvent::ALL {
            assert!(PaymentState::Paid.next(event).is_err());
        }
        for event in AttemptEvent::ALL {
            assert_eq!(AttemptState::Paid.next(event), None);
        }
    }
}
