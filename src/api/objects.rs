//! The API's objects: one rendering for replies and callbacks, so that what an event carries is what GET returns.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::channels::errors::{Explanation, explain};
use crate::domain::event::{Event, EventObject};
use crate::domain::ids::{Mode, PaymentId, RefundId, Scope};
use crate::domain::method::Method;
use crate::domain::money::Money;
use crate::domain::payment::{Attempt, AttemptState, NextAction, Payment, PaymentState};
use crate::domain::refund::{Refund, RefundState};
use crate::domain::time::Timestamp;
use crate::domain::trouble::Trouble;
use crate::flows::gateway::Gateway;
use crate::lang::Text;
use crate::store::tables::ATTEMPTS;
use crate::store::{Read, StoreError};

/// An amount as the API writes it.
#[derive(Clone, Copy, Debug, ToSchema)]
#[schema(value_type = AmountSchema)]
pub struct Amount(pub Money);

/// `{"currency":"CNY","value":"9.90"}`: a decimal string with exactly the currency's digits.
#[derive(ToSchema)]
#[schema(as = Amount)]
#[expect(dead_code, reason = "the shape that `Amount` writes, for the API's description")]
pub struct AmountSchema {
    #[schema(example = "CNY")]
    currency: String,
    #[schema(example = "9.90")]
    value: String,
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut amount = serializer.serialize_struct("Amount", 2)?;
        amount.serialize_field("currency", self.0.currency().code())?;
        amount.serialize_field("value", &self.0.to_decimal())?;
        amount.end()
    }
}

/// A moment as the API writes it: RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, ToSchema)]
#[schema(value_type = String, format = DateTime)]
pub struct Moment(pub Timestamp);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A shop's order to be paid.
#[derive(Serialize, ToSchema)]
#[schema(as = Payment)]
pub struct PaymentObject<'a> {
    #[schema(value_type = String, example = "pay_01JD3Q9W8XK2V5N7R4T6Y0ABCD")]
    pub id: PaymentId,
    pub object: &'static str,
    #[schema(value_type = String, example = "test")]
    pub mode: Mode,
    /// `open`, `processing`, `paid`, `expired`, `canceled` or `failed`; refunds never change `paid`.
    pub status: &'static str,
    /// Why it ended without money.
    pub status_reason: Option<&'static str>,
    /// Why the last attempt to pay was refused, until it is paid.
    pub failure: Option<FailureObject<'a>>,
    pub amount: Amount,
    pub amount_paid: Amount,
    pub amount_refunded: Amount,
    /// What a further refund can take at most.
    pub amount_refundable: Amount,
    /// The shop's own number, unique for ever.
    pub order_id: &'a str,
    pub description: &'a str,
    pub method: Option<&'static str>,
    /// The hosted page to send the customer to. As a QR code it serves every wallet: each goes on with itself.
    pub checkout_url: &'a str,
    pub next_action: NextActionObject<'a>,
    pub expires_at: Moment,
    pub paid_at: Option<Moment>,
    /// Paid after it had ended.
    pub late: bool,
    pub channel: Option<ChannelObject<'a>>,
    pub fee: Option<Amount>,
    pub return_url: Option<&'a str>,
    pub cancel_url: Option<&'a str>,
    pub callback_url: Option<&'a str>,
    pub metadata: &'a BTreeMap<String, String>,
    /// Rises with every change; ignore an object with a lower one than you have.
    pub version: u32,
    pub created_at: Moment,
    /// Only with `expand=refunds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refunds: Option<Vec<RefundObject<'a>>>,
}

/// Why a channel refused, in its own code and in sentences to show.
#[derive(Serialize, ToSchema)]
#[schema(as = Failure)]
pub struct FailureObject<'a> {
    /// `told` (the channel said it), `unfit` (outside the channel's rules, so nothing was sent), or another word for what
    /// went wrong: `credentials`, `unsupported`, `no_account` … New words come.
    pub kind: &'static str,
    /// The channel's own code, such as `NOT_ENOUGH`.
    pub code: Option<&'a str>,
    /// The channel's own words, as they came, in its language.
    pub detail: &'a str,
    /// For the person who pays: what to do now.
    pub customer: SentenceObject,
    /// For the shop: what happened, and where to change it.
    pub merchant: SentenceObject,
}

/// One sentence in both languages.
#[derive(Serialize, ToSchema)]
#[schema(as = Sentence)]
pub struct SentenceObject {
    pub zh: &'static str,
    pub en: &'static str,
}

impl From<Text> for SentenceObject {
    fn from(text: Text) -> Self {
        Self { zh: text.zh, en: text.en }
    }
}

impl<'a> FailureObject<'a> {
    fn of(trouble: &'a Trouble) -> Self {
        let Explanation { customer, merchant } = explain(trouble);
        Self {
            kind: trouble.kind.code(),
            code: trouble.code.as_deref(),
            detail: &trouble.words,
            customer: customer.into(),
            merchant: merchant.into(),
        }
    }
}

/// Who moved the money.
#[derive(Serialize, ToSchema)]
#[schema(as = Channel)]
pub struct ChannelObject<'a> {
    pub name: &'a str,
    pub transaction_id: &'a str,
}

/// What the customer's device has to do now.
#[derive(Serialize, ToSchema)]
#[schema(as = NextAction)]
pub struct NextActionObject<'a> {
    /// `redirect`, `qr_code`, `app_params`, `jsapi_params` or `none`.
    pub r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qr_data: Option<&'a str>,
    /// For the wallet's SDK, named as it wants them and signed; `/docs/api#in-app` has an example for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<&'a BTreeMap<String, String>>,
}

impl<'a> NextActionObject<'a> {
    const NONE: NextActionObject<'static> = NextActionObject { r#type: "none", url: None, qr_data: None, params: None };

    fn of(payment: &Payment, attempt: Option<&'a Attempt>, checkout_url: &'a str) -> NextActionObject<'a> {
        let live = match payment.state {
            PaymentState::Open | PaymentState::Processing => payment.ending.is_none(),
            PaymentState::Paid | PaymentState::Expired | PaymentState::Canceled | PaymentState::Failed => false,
        };
        if !live {
            return Self::NONE;
        }
        let none = Self::NONE;
        match attempt.filter(|attempt| attempt.state.is_live()).and_then(|attempt| attempt.next_action.as_ref()) {
            Some(NextAction::QrCode { data }) => NextActionObject { r#type: "qr_code", qr_data: Some(data), ..none },
            Some(NextAction::Redirect { url }) => NextActionObject { r#type: "redirect", url: Some(url), ..none },
            // A form is posted by the cashier page; the shop sends its customer there.
            Some(NextAction::Form { .. }) | None => {
                NextActionObject { r#type: "redirect", url: Some(checkout_url), ..none }
            }
            Some(NextAction::AppParams { params }) => {
                NextActionObject { r#type: "app_params", params: Some(params), ..none }
            }
            Some(NextAction::JsApiParams { params }) => {
                NextActionObject { r#type: "jsapi_params", params: Some(params), ..none }
            }
            Some(NextAction::Confirm) => none,
        }
    }
}

/// A refund of a payment.
#[derive(Serialize, ToSchema)]
#[schema(as = Refund)]
pub struct RefundObject<'a> {
    #[schema(value_type = String, example = "re_01JD3Q9W8XK2V5N7R4T6Y0ABCD")]
    pub id: RefundId,
    pub object: &'static str,
    #[schema(value_type = String, example = "test")]
    pub mode: Mode,
    /// `pending`, `processing`, `succeeded` or `failed`. Two wait for the merchant: `undeliverable`, when the money cannot go
    /// back to where the customer paid from, until somebody says in the console where it goes; and `returned`, when it went
    /// to the merchant's own account, until somebody says that the customer was paid by hand.
    pub status: &'static str,
    /// Why the channel refused it, or cannot deliver it, in its own words.
    pub status_reason: Option<&'a str>,
    /// The same with its code and in sentences to show.
    pub failure: Option<FailureObject<'a>>,
    #[schema(value_type = String)]
    pub payment: PaymentId,
    /// The shop's own number, unique for ever.
    pub refund_id: Option<&'a str>,
    pub amount: Amount,
    pub fee_returned: Amount,
    pub reason: Option<&'a str>,
    pub channel_refund_id: Option<&'a str>,
    pub metadata: &'a BTreeMap<String, String>,
    /// Rises with every change; ignore an object with a lower one than you have.
    pub version: u32,
    pub created_at: Moment,
    pub finished_at: Option<Moment>,
}

/// Writes a refund.
pub fn write_refund(scope: Scope, refund: &Refund) -> Vec<u8> {
    to_bytes(&refund_object(scope, refund))
}

/// Writes a payment. `attempt` is the payment's current one, where there is one.
pub fn write_payment(gateway: &Gateway, scope: Scope, payment: &Payment, attempt: Option<&Attempt>) -> Vec<u8> {
    let url = gateway.checkout_url(scope, payment.id);
    to_bytes(&payment_object(scope, payment, attempt, &url))
}

pub fn payment_object<'a>(
    scope: Scope,
    payment: &'a Payment,
    attempt: Option<&'a Attempt>,
    checkout_url: &'a str,
) -> PaymentObject<'a> {
    let paid = payment.state == PaymentState::Paid;
    let method = payment.paid_by.as_ref().map(|by| by.method);
    let method = method.or(attempt.map(|attempt| attempt.method)).or(payment.method);
    PaymentObject {
        id: payment.id,
        object: "payment",
        mode: scope.mode,
        status: payment.state.code(),
        status_reason: payment.reason.map(|reason| reason.code()),
        failure: failure(payment, attempt),
        amount: Amount(payment.amount),
        amount_paid: Amount(payment.amount_paid()),
        amount_refunded: Amount(payment.amount_refunded()),
        amount_refundable: Amount(payment.refundable()),
        order_id: &payment.order_id,
        description: &payment.description,
        method: method.map(|method| method.code()),
        checkout_url,
        next_action: NextActionObject::of(payment, attempt, checkout_url),
        expires_at: Moment(payment.expires_at),
        paid_at: payment.paid_at.map(Moment),
        late: payment.late,
        channel: payment
            .paid_by
            .as_ref()
            .map(|by| ChannelObject { name: &by.channel, transaction_id: &by.transaction_id }),
        fee: paid.then(|| Amount(Money::new(payment.fee_minor, payment.amount.currency()))),
        return_url: payment.return_url.as_deref(),
        cancel_url: payment.cancel_url.as_deref(),
        callback_url: payment.callback_url.as_deref(),
        metadata: &payment.metadata,
        version: payment.version,
        created_at: Moment(payment.created_at),
        refunds: None,
    }
}

/// What ended the current attempt of a payment that has no money yet.
fn failure<'a>(payment: &Payment, attempt: Option<&'a Attempt>) -> Option<FailureObject<'a>> {
    let attempt = attempt.filter(|attempt| match attempt.state {
        AttemptState::Failed => payment.state != PaymentState::Paid,
        // An event tells of the time before late money came.
        AttemptState::Paid => payment.state == PaymentState::Failed,
        AttemptState::Created | AttemptState::Pending | AttemptState::Closed => false,
    });
    attempt.and_then(|attempt| attempt.trouble.as_ref()).map(FailureObject::of)
}

pub fn refund_object(scope: Scope, refund: &Refund) -> RefundObject<'_> {
    let told = refund.state.is_final() || refund.state == RefundState::Undeliverable;
    let failure = refund.failure.as_ref().filter(|_| told);
    RefundObject {
        id: refund.id,
        object: "refund",
        mode: scope.mode,
        status: refund.state.code(),
        status_reason: failure.map(|failure| failure.words.as_str()),
        failure: failure.map(FailureObject::of),
        payment: refund.payment,
        refund_id: refund.refund_no.as_deref(),
        amount: Amount(refund.amount),
        fee_returned: Amount(Money::new(refund.fee_returned_minor, refund.amount.currency())),
        reason: refund.reason.as_deref(),
        channel_refund_id: refund.channel_refund_id.as_deref(),
        metadata: &refund.metadata,
        version: refund.version,
        created_at: Moment(refund.created_at),
        finished_at: refund.finished_at.map(Moment),
    }
}

/// What a callback carries, and what `GET /v1/events/{id}` shows inside.
#[derive(Serialize)]
struct EventBody<'a> {
    r#type: &'static str,
    timestamp: Moment,
    data: EventData<'a>,
}

/// An event's object under its name.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventData<'a> {
    Payment(Box<PaymentObject<'a>>),
    Refund(Box<RefundObject<'a>>),
    WebhookEndpoint(String),
}

/// The attempt that an event's payment failed with. What ended it is kept as it was, so it reads the same for ever.
pub fn attempt_told(tx: &impl Read, scope: Scope, event: &Event) -> Result<Option<Attempt>, StoreError> {
    match &event.object {
        EventObject::Payment(payment, _) if payment.state == PaymentState::Failed => {
            payment.current.map(|id| tx.get(&ATTEMPTS, &(scope, id))).transpose().map(Option::flatten)
        }
        EventObject::Payment(..) | EventObject::Refund(_) | EventObject::Ping(_) => Ok(None),
    }
}

/// The event's object as it was. `checkout_url` is its payment's; refunds and pings show none. `attempt` is
/// [`attempt_told`].
pub fn event_data<'a>(
    scope: Scope,
    event: &'a Event,
    attempt: Option<&'a Attempt>,
    checkout_url: &'a str,
) -> EventData<'a> {
    match &event.object {
        EventObject::Payment(payment, method) => {
            let object = payment_object(scope, payment, attempt, checkout_url);
            // An event is told before the channel has answered, or when nothing is left to do.
            let method = payment.paid_by.as_ref().map(|by| by.method).or(*method).or(payment.method);
            EventData::Payment(Box::new(PaymentObject { method: method.map(Method::code), ..object }))
        }
        EventObject::Refund(refund) => EventData::Refund(Box::new(refund_object(scope, refund))),
        EventObject::Ping(endpoint) => EventData::WebhookEndpoint(endpoint.to_string()),
    }
}

/// The body of an event's callback: the same bytes on every attempt, because the event holds the object as it was.
pub fn render_event(gateway: &Gateway, scope: Scope, event: &Event) -> Vec<u8> {
    let url = match &event.object {
        EventObject::Payment(payment, _) => gateway.checkout_url(scope, payment.id),
        EventObject::Refund(_) | EventObject::Ping(_) => String::new(),
    };
    let attempt = gateway.store.read_blocking(|tx| attempt_told(tx, scope, event));
    let attempt = attempt.unwrap_or_else(|error| {
        tracing::error!(event = %event.id, "an event's attempt cannot be read: {error}");
        None
    });
    let data = event_data(scope, event, attempt.as_ref(), &url);
    to_bytes(&EventBody { r#type: event.kind.code(), timestamp: Moment(event.at), data })
}

/// Bytes that most objects fit into.
const OBJECT_BYTES_USUAL: usize = 1536;

/// Serialising these structs cannot fail: they have no maps with keys that are not strings.
pub fn to_bytes(object: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(OBJECT_BYTES_USUAL);
    serde_json::to_writer(&mut bytes, object).expect("objects of the API are always JSON");
    bytes
}
