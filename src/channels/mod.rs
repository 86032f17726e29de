//! The seam to the providers: one narrow trait, a folder per provider, one line each in the registry.
//!
//! An adapter builds requests and reads answers. It sends nothing, remembers nothing, and asks no clock.

use std::fmt;
use std::io::Read;

use self::statement::{Promise, StatementAnswer, StatementError, StatementId, StatementKind, StatementLine, Totals};
use crate::crypto::Secret;
use crate::domain::ids::{AttemptId, RefundId};
use crate::domain::merchant::ChannelKind;
use crate::domain::method::Method;
use crate::domain::money::{Currency, Money};
use crate::domain::payment::NextAction;
use crate::domain::time::{Duration, Timestamp};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::env::transport::{OutgoingRequest, OutgoingResponse};
use crate::lang::Text;

pub mod alipay;
pub mod errors;
pub mod form;
pub mod hurry;
pub mod probe;
pub mod registry;
pub mod statement;
pub mod test_wallet;
pub mod text;
pub mod unionpay;
pub mod wechatpay;

/// What one provider must be able to do.
pub trait Channel: Send + Sync {
    fn kind(&self) -> ChannelKind;

    /// Methods, currencies, limits and refund rules this provider accepts.
    fn terms(&self) -> &Terms;

    /// What has to happen for the order: a call, or nothing more than showing something signed here.
    fn request(&self, order: &Order, sealing: &Sealing) -> Result<Prepared, ChannelError>;

    /// Reads the answer to a call, after checking its signature over the raw bytes.
    fn read_response(
        &self,
        order: &Order,
        response: &OutgoingResponse,
        now: Timestamp,
    ) -> Result<Observation, ChannelError>;

    /// Reads a message that the provider sent by itself, after checking its signature over the raw bytes.
    fn read_notification(&self, message: &Inbound<'_>, now: Timestamp) -> Result<VerifiedNotification, ChannelError>;

    /// What a message holds under lock, opened without asking who sent it; `None` where nothing is locked or the key does not
    /// fit. Only for finding out which order somebody speaks of: nothing may be believed for it.
    fn opened(&self, message: &Inbound<'_>) -> Option<Secret>;

    /// How a customer's browser is asked who it belongs to, where the account can: for orders that name their payer.
    fn introduction(&self) -> Option<&dyn Introduction>;

    /// What an account has to fetch now and then: keys that the provider replaces by itself. `None`: nothing.
    fn upkeep(&self, sealing: &Sealing) -> Option<OutgoingRequest>;

    /// Reads the answer to [`Channel::upkeep`]: the credentials to keep from now on, `None` when they stay as they are.
    fn read_upkeep(&self, response: &OutgoingResponse, now: Timestamp) -> Result<Option<Secret>, ChannelError>;

    /// Asks for a day's statement of a kind that is in [`Terms::statements`].
    fn request_statement(&self, wanted: StatementId, sealing: &Sealing) -> Result<OutgoingRequest, ChannelError>;

    /// Reads the answer to [`Channel::request_statement`]; `sealing` is for the download that follows.
    fn read_statement_answer(
        &self,
        wanted: StatementId,
        response: &OutgoingResponse,
        sealing: &Sealing,
    ) -> Result<StatementAnswer, ChannelError>;

    /// Reads a statement's file a line at a time. Lines count only when the end was reached without an error.
    fn read_statement(
        &self,
        wanted: StatementId,
        promise: &Promise,
        file: &mut dyn Read,
        each: &mut dyn FnMut(StatementLine),
    ) -> Result<Totals, StatementError>;

    /// What the provider wants to hear: that the message is safely stored, or that it should come again.
    fn acknowledge(&self, stored: bool) -> Acknowledgement;
}

/// Finding out who a customer is towards the merchant (openid): the browser goes to the provider, comes back with a code,
/// and the code is exchanged.
pub trait Introduction {
    /// Where the browser goes; it comes back to `return_to` with `code` and `state` in the address. `state` is letters and
    /// digits, 128 at most.
    fn address(&self, return_to: &str, state: &str) -> String;

    /// Exchanges the code that the browser brought.
    fn request(&self, code: &str) -> Result<OutgoingRequest, ChannelError>;

    /// The customer's name towards the merchant.
    fn read(&self, response: &OutgoingResponse) -> Result<String, ChannelError>;

    /// A page that plays the wallet for those who have none: simulators have one.
    fn stand_in(&self) -> Option<String>;
}

/// What a provider accepts, as data, so that callers see it before they ask.
#[derive(Clone, Debug)]
pub struct Terms {
    pub methods: Vec<MethodTerms>,
    pub currencies: Vec<Currency>,
    /// How long after the payment refunds are possible.
    pub refund_window: Duration,
    /// Daily statements that can be fetched.
    pub statements: &'static [StatementKind],
    /// Banks whose cards a refund can go to that cannot reach where it came from (异常退款). None: the provider has no such
    /// call, and such a refund fails or waits by itself.
    pub redirect_banks: &'static [Bank],
}

/// A bank by the name that a provider has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bank {
    pub code: &'static str,
    pub name: Text,
}

#[derive(Clone, Copy, Debug)]
pub struct MethodTerms {
    pub method: Method,
    pub min_minor: u64,
    pub max_minor: u64,
    pub refundable: bool,
}

/// What the provider is asked for. The idempotency key is our id, so asking twice is asking once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    Create(CreateOrder),
    Query(OrderRef),
    /// Make it impossible to pay from now on. For a code that the customer showed (付款码) this is the reversal (撤销),
    /// which gives money back that was already taken.
    Close(OrderRef),
    Refund(RefundOrder),
    QueryRefund(RefundRef),
    /// A refund could not reach where the money came from: send it elsewhere (异常退款).
    RedirectRefund(RefundRedirect),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateOrder {
    pub attempt: AttemptId,
    pub method: Method,
    pub amount: Money,
    pub description: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub notify_url: String,
    pub return_url: String,
    pub customer_ip: Option<std::net::IpAddr>,
    pub openid: Option<String>,
    /// The digits of the code that the customer shows (付款码), for the methods of that flow.
    pub auth_code: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRef {
    pub attempt: AttemptId,
    pub method: Method,
    pub created_at: Timestamp,
    /// Where a provider has no call to close an order, the end that was told to it is what closes it.
    pub expires_at: Timestamp,
    pub transaction_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundRef {
    pub refund: RefundId,
    /// Providers that name an order by number and time need the refund's own time as well.
    pub created_at: Timestamp,
    pub order: OrderRef,
    pub channel_refund_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundOrder {
    pub about: RefundRef,
    pub amount: Money,
    /// The whole amount of the order, which several providers want beside the refund's.
    pub total: Money,
    pub reason: Option<String>,
    pub notify_url: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundRedirect {
    pub about: RefundRef,
    pub to: RefundTarget,
}

/// Where a stuck refund goes instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefundTarget {
    /// Back to the merchant's own bank account, who then pays the customer outside of the channel.
    Merchant,
    /// Another bank card of the customer. Number and name travel encrypted and are not kept.
    CustomerCard { bank: String, card_no: Secret, holder: Secret },
}

/// Time and randomness of one request, passed in so that requests can be replayed in tests.
#[derive(Clone, Copy, Debug)]
pub struct Sealing {
    pub now: Timestamp,
    pub nonce: [u8; 16],
}

#[derive(Clone, Debug)]
pub enum Prepared {
    /// Send it and read the answer.
    Call(OutgoingRequest),
    /// Nothing to send: the customer's device carries the signed order to the provider.
    Show(NextAction),
}

/// What the provider says about an order, in our words. A status we do not know is `Unknown`: never paid, never failed.
///
/// A `detail` begins with the provider's code where there is one, or is a [`Trouble`] as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// The order exists and waits for the customer.
    Accepted {
        next_action: NextAction,
    },
    /// The order exists and is not paid (yet).
    NotPaid,
    Paid(PaidFacts),
    /// Confirmed: can no longer be paid.
    Closed,
    /// The customer's payment was refused for good.
    Declined {
        detail: String,
    },
    /// The provider does not know the order.
    NotFound,
    /// The request itself was refused for good: nothing was created or moved.
    Refused {
        code: String,
        detail: String,
    },
    /// Refused because of the account it came from, whatever the order: nothing was created or moved, and another account
    /// may be accepted. Only said of a create.
    Barred {
        code: String,
        detail: String,
        bar: Bar,
    },
    /// The order exists under this number, and its code, which the provider tells once, is not told again. Only said of a
    /// create.
    CodeLost {
        detail: String,
    },
    RefundProcessing {
        channel_refund_id: Option<String>,
    },
    RefundSucceeded {
        channel_refund_id: Option<String>,
        amount: Money,
    },
    RefundFailed {
        detail: String,
    },
    /// The money left the merchant and cannot reach where it came from: somebody has to say where it goes.
    RefundUndeliverable {
        channel_refund_id: Option<String>,
        detail: String,
    },
    /// It went to the merchant's own account instead of the customer's.
    RefundReturned {
        channel_refund_id: Option<String>,
        amount: Money,
    },
    Unknown {
        detail: String,
    },
}

/// How much of an account the provider refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// Keys, signature or merchant number: every call fares alike.
    Account,
    /// This product or amount is not in the contract; others may be.
    Product,
}

impl Observation {
    /// The outcome is unknown, because of this.
    pub fn unknown(trouble: &Trouble) -> Self {
        Observation::Unknown { detail: trouble.to_string() }
    }

    /// Something answered with this status, and not with the provider's words: a proxy, a crash, or a body that is cut.
    pub fn no_words(status: u16) -> Self {
        Self::unknown(&no_words(status))
    }
}

pub(in crate::channels) fn no_words(status: u16) -> Trouble {
    Trouble::new(TroubleKind::NoWords, format!("HTTP {status}"))
}

/// Everything that has to agree with the attempt before anything is booked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaidFacts {
    pub amount: Money,
    /// The provider's own number of the payment.
    pub transaction_id: String,
    pub paid_at: Timestamp,
    /// `Err` names the merchant, app or seller number that is not ours.
    pub identity: Result<(), String>,
}

/// A message from outside, as raw as it came.
#[derive(Clone, Copy, Debug)]
pub struct Inbound<'a> {
    /// Lower-case names.
    pub headers: &'a [(String, String)],
    pub body: &'a [u8],
}

/// A message whose signature was checked. Only adapters can make one, so unverified input cannot reach a flow.
#[derive(Clone, Debug)]
pub struct VerifiedNotification {
    about: Subject,
    observation: Observation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Order(AttemptId),
    Refund(RefundId),
}

impl VerifiedNotification {
    pub(in crate::channels) fn checked(about: Subject, observation: Observation) -> Self {
        Self { about, observation }
    }

    pub fn about(&self) -> Subject {
        self.about
    }

    pub fn observation(&self) -> &Observation {
        &self.observation
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    pub status: u16,
    pub content_type: &'static str,
    pub body: &'static str,
}

/// Named by what the caller can do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelError {
    /// Signature, certificate or encryption do not check out: the message proves nothing.
    NotGenuine { detail: String },
    /// Signed with a key that is not known here: a forgery, or the provider has a new key that upkeep would bring.
    UnknownKey { id: String },
    /// A wrong signature that the provider sends on purpose, to see whether it is refused. The real message follows.
    Probe,
    /// The order does not fit this provider's rules, so nothing was sent. The detail says what to change.
    Unfit { detail: String },
    /// Genuine, but not understood: the outcome is unknown, ask again.
    Malformed { detail: String },
    /// The provider does not do this; callers see it in `Terms` before.
    Unsupported,
    /// The stored credentials cannot be used: somebody has to enter them again.
    Credentials { detail: String },
}

impl ChannelError {
    /// As attempts and stories keep it.
    pub fn trouble(&self) -> Trouble {
        match self {
            ChannelError::NotGenuine { detail } => Trouble::new(TroubleKind::NotGenuine, detail),
            ChannelError::UnknownKey { id } => Trouble::new(TroubleKind::UnknownKey, id),
            ChannelError::Probe => Trouble::new(TroubleKind::NotGenuine, "a test of the provider's"),
            ChannelError::Unfit { detail } => Trouble::new(TroubleKind::Unfit, detail),
            ChannelError::Malformed { detail } => Trouble::new(TroubleKind::Unreadable, detail),
            ChannelError::Unsupported => Trouble::new(TroubleKind::Unsupported, ""),
            ChannelError::Credentials { detail } => Trouble::new(TroubleKind::Credentials, detail),
        }
    }
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChannelError::NotGenuine { detail } => write!(f, "the message is not genuine: {}", OneLine(detail)),
            ChannelError::UnknownKey { id } => {
                write!(f, "the message is signed with the key {}, which is not known here", OneLine(id))
            }
            ChannelError::Probe => f.write_str("the provider tests whether wrong signatures are refused"),
            ChannelError::Unfit { detail } => write!(f, "the order does not fit the channel: {detail}"),
            ChannelError::Malformed { detail } => write!(f, "the message was not understood: {}", OneLine(detail)),
            ChannelError::Unsupported => f.write_str("the channel does not offer this"),
            ChannelError::Credentials { detail } => {
                write!(f, "the channel's credentials cannot be used: {}", OneLine(detail))
            }
        }
    }
}

/// Details quote foreign messages, if only the name of a field in them: no control character of theirs gets into a log.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().filter(|c| !c.is_control()).try_for_each(|c| fmt::Write::write_char(f, c))
    }
}

impl std::error::Error for ChannelError {}
