//! The event log: what was told to the shop, how each callback went, and sending one again.

use actix_web::http::Method as Verb;
use serde::Serialize;
use utoipa::ToSchema;

use super::endpoint::{Endpoint, Group, ReplyDoc, body, schema_of};
use super::error::{ErrorCode, Problem};
use super::fields::{Fields, describe};
use super::kinds::IdOf;
use super::objects::{EventData, Moment, PaymentObject, RefundObject, attempt_told, event_data, to_bytes};
use super::page::{ListReply, Page, Window};
use super::payments::nothing;
use super::service::{Call, Reply, lang_of};
use super::webhooks::at_once;
use crate::callbacks::diagnosis::diagnose;
use crate::callbacks::{Outcome, Trigger};
use crate::domain::endpoint::{Delivery, DeliveryAttempt, ENDPOINTS_MAX};
use crate::domain::event::{Event, EventObject as Told};
use crate::domain::ids::{EndpointId, EventId, Mode, PaymentId, Scope};
use crate::domain::key::Permission;
use crate::domain::payment::Attempt;
use crate::flows::gateway::Gateway;
use crate::flows::{deliveries, events};
use crate::lang::{Lang, Text};
use crate::store::tables::{AnswerState, DELIVERIES, DELIVERY_ATTEMPTS, EVENTS, EVENTS_BY_PAYMENT};
use crate::store::{Order, Read, Span, StoreError};

/// Attempts that one answer lists, newest first. The ladder itself has far fewer.
const ATTEMPTS_MAX: usize = 200;

const EVENT: ReplyDoc = ReplyDoc::One(schema_of::<EventObject<'static>>);

pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        id: "list_events",
        group: Group::Events,
        method: Verb::GET,
        path: "/v1/events",
        permission: Some(Permission::Read),
        summary: Text::new("事件列表", "List events"),
        about: Text::new(
            "从新到旧。错过回调时，可以从这里补读：以读到的最后一个事件为 before 反复查询，每个事件恰好读到一次，系统时钟被调回也不会漏。\
             data 是事件发生时对象的样子。",
            "Newest first. Whoever missed callbacks can catch up here: with the last event that was read as `before`, every \
             event is seen once, also when the server's clock was set back. `data` is the object as it was at that moment.",
        ),
        query: Some(|| describe(Filter::read)),
        body: None,
        status: 200,
        reply: ReplyDoc::List(schema_of::<EventObject<'static>>),
        refusals: &[],
        handler: |call| Box::pin(list(call)),
    },
    Endpoint {
        id: "get_event",
        group: Group::Events,
        method: Verb::GET,
        path: "/v1/events/{id}",
        permission: Some(Permission::Read),
        summary: Text::new("查询事件", "Get an event"),
        about: Text::new("包括它发往每个回调地址的状态。", "With the state of its delivery to every endpoint."),
        query: None,
        body: None,
        status: 200,
        reply: EVENT,
        refusals: &[ErrorCode::EventNotFound],
        handler: |call| Box::pin(get(call)),
    },
    Endpoint {
        id: "list_event_attempts",
        group: Group::Events,
        method: Verb::GET,
        path: "/v1/events/{id}/attempts",
        permission: Some(Permission::Read),
        summary: Text::new("回调发送记录", "List delivery attempts"),
        about: Text::new(
            "每次发送的时间、应答和一句话诊断。",
            "Every attempt with its time, the reply that came, and a diagnosis in a sentence.",
        ),
        query: None,
        body: None,
        status: 200,
        reply: ReplyDoc::List(schema_of::<AttemptObject<'static>>),
        refusals: &[ErrorCode::EventNotFound],
        handler: |call| Box::pin(attempts(call)),
    },
    Endpoint {
        id: "resend_event",
        group: Group::Events,
        method: Verb::POST,
        path: "/v1/events/{id}/resend",
        permission: Some(Permission::Write),
        summary: Text::new("重新发送", "Send an event again"),
        about: Text::new(
            "立即再发一次，发给原来的全部地址，或只发给其中一个。不影响自动重试。",
            "Sends it once more now, to every endpoint that it went to or to one of them. Automatic retries go on as they were.",
        ),
        query: None,
        body: body!(resending, r#"{"endpoint":"we_01JD3Q9W8XK2V5N7R4T6Y0ABCD"}"#),
        status: 200,
        reply: EVENT,
        refusals: &[ErrorCode::EventNotFound, ErrorCode::WebhookEndpointNotFound],
        handler: |call| Box::pin(resend(call)),
    },
];

/// One fact that was told to the shop.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
pub(super) struct EventObject<'a> {
    #[schema(value_type = String, example = "evt_01JD3Q9W8XK2V5N7R4T6Y0ABCD")]
    id: EventId,
    object: &'static str,
    #[schema(value_type = String, example = "test")]
    mode: Mode,
    #[schema(example = "payment.paid")]
    r#type: &'static str,
    created_at: Moment,
    /// The object as it was, under its name: `payment`, `refund` or `webhook_endpoint`.
    #[schema(value_type = CallbackData)]
    data: EventData<'a>,
    deliveries: Vec<DeliveryObject<'a>>,
}

/// What a callback carries. Written by `objects::render_event`; this is its description.
#[derive(ToSchema)]
#[schema(as = Callback)]
#[expect(dead_code, reason = "a shape for the API's description")]
pub(super) struct CallbackBody {
    #[schema(example = "payment.paid")]
    r#type: String,
    timestamp: Moment,
    data: CallbackData,
}

/// The object under its name.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a shape for the API's description")]
struct CallbackData {
    payment: Option<PaymentObject<'static>>,
    refund: Option<RefundObject<'static>>,
    /// The id of the endpoint that is tested.
    webhook_endpoint: Option<String>,
}

/// What became of the event at one endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
struct DeliveryObject<'a> {
    #[schema(value_type = String)]
    endpoint: EndpointId,
    /// The payment's own address, when it went there.
    url: Option<&'a str>,
    /// `pending`, `delivered`, `dead` (given up) or `held` (the endpoint is switched off).
    #[schema(example = "delivered")]
    status: &'static str,
    attempts: u32,
    next_attempt_at: Option<Moment>,
    delivered_at: Option<Moment>,
}

impl<'a> DeliveryObject<'a> {
    fn new(delivery: &'a Delivery) -> Self {
        Self {
            endpoint: delivery.endpoint,
            url: delivery.url.as_deref(),
            status: delivery.state.code(),
            attempts: delivery.attempts,
            next_attempt_at: delivery.due.map(Moment),
            delivered_at: delivery.delivered_at.map(Moment),
        }
    }
}

/// An event with what is needed to show it.
struct Shown {
    event: Event,
    deliveries: Vec<Delivery>,
    /// The one that its payment failed with.
    attempt: Option<Attempt>,
    checkout_url: String,
}

impl Shown {
    fn load(gateway: &Gateway, tx: &impl Read, scope: Scope, event: Event) -> Result<Self, StoreError> {
        let span = Span::prefix(&(scope, event.id));
        let rows = tx.scan(&DELIVERIES, &span, Order::Ascending, ENDPOINTS_MAX + 1)?;
        let deliveries = rows.into_iter().map(|(_, delivery)| delivery).collect();
        let checkout_url = match &event.object {
            Told::Payment(payment, _) => gateway.checkout_url(scope, payment.id),
            Told::Refund(_) | Told::Ping(_) => String::new(),
        };
        let attempt = attempt_told(tx, scope, &event)?;
        Ok(Self { event, deliveries, attempt, checkout_url })
    }

    fn object(&self, scope: Scope) -> EventObject<'_> {
        EventObject {
            id: self.event.id,
            object: "event",
            mode: scope.mode,
            r#type: self.event.kind.code(),
            created_at: Moment(self.event.at),
            data: event_data(scope, &self.event, self.attempt.as_ref(), &self.checkout_url),
            deliveries: self.deliveries.iter().map(DeliveryObject::new).collect(),
        }
    }
}

pub(super) fn event_bytes(
    gateway: &Gateway,
    tx: &impl Read,
    scope: Scope,
    event: &Event,
) -> Result<Vec<u8>, StoreError> {
    Ok(to_bytes(&Shown::load(gateway, tx, scope, event.clone())?.object(scope)))
}

struct Filter {
    window: Window<EventId>,
    payment: Option<PaymentId>,
}

impl Filter {
    fn read(f: &mut Fields<'_>) -> Option<Self> {
        let about = Text::new("只要这笔支付的（含其退款）。", "Only those of this payment and its refunds.");
        let payment = f.optional("payment", about, IdOf::new(PaymentId::PREFIX));
        let window = Window::read(f);
        Some(Self { window: window?, payment })
    }

    fn rows(&self, tx: &impl Read, scope: Scope) -> Result<Page<Event>, StoreError> {
        let of_payment = self.payment.map(|payment| (&EVENTS_BY_PAYMENT, payment));
        self.window.rows(tx, scope, &EVENTS, of_payment, |id, stored| stored.open(tx, scope, id))
    }
}

async fn list(call: Call) -> Result<Reply, Problem> {
    let filter = call.read_query(Filter::read)?;
    let (scope, api) = (call.scope(), call.api.clone());
    let query = call.request.query_string().to_owned();
    let body = call.api.gateway.store.read(move |tx| {
        let page = filter.rows(tx, scope)?;
        let next = page.next("/v1/events", &query, |event| event.id.to_string());
        let has_more = page.has_more;
        let shown: Result<Vec<_>, _> =
            page.rows.into_iter().map(|event| Shown::load(&api.gateway, tx, scope, event)).collect();
        let shown = shown?;
        let data = shown.iter().map(|event| event.object(scope)).collect();
        Ok::<_, StoreError>(to_bytes(&ListReply::new(data, has_more, next)))
    });
    Ok(Reply::ok(body.await?))
}

async fn get(call: Call) -> Result<Reply, Problem> {
    let id: EventId = call.id(ErrorCode::EventNotFound)?;
    let scope = call.scope();
    let gateway = &call.api.gateway;
    let body = gateway.store.read_blocking(|tx| {
        let Some(event) = events::event(tx, scope, id)? else { return Ok(None) };
        event_bytes(gateway, tx, scope, &event).map(Some)
    });
    body?.map(Reply::ok).ok_or_else(|| Problem::new(ErrorCode::EventNotFound))
}

/// One attempt to deliver one event to one endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryAttempt)]
struct AttemptObject<'a> {
    object: &'static str,
    #[schema(value_type = String)]
    endpoint: EndpointId,
    /// Counts from 1.
    number: u32,
    /// `auto` (the schedule), `manual` (sent again) or `test`.
    trigger: &'static str,
    url: &'a str,
    started_at: Moment,
    duration_ms: u64,
    delivered: bool,
    /// The reply's status; absent when there was none.
    status_code: Option<u16>,
    /// What went wrong and what to do, in a sentence.
    diagnosis: String,
    /// The beginning of the reply.
    reply: &'a str,
}

impl<'a> AttemptObject<'a> {
    fn new(endpoint: EndpointId, attempt: &'a DeliveryAttempt, lang: Lang) -> Self {
        let transcript = &attempt.transcript;
        Self {
            object: "delivery_attempt",
            endpoint,
            number: attempt.number,
            trigger: match transcript.trigger {
                Trigger::Auto => "auto",
                Trigger::Manual => "manual",
                Trigger::Test => "test",
            },
            url: &transcript.url,
            started_at: Moment(transcript.started_at),
            duration_ms: transcript.duration_ms,
            delivered: Outcome::is_delivered(&transcript.outcome),
            status_code: transcript.status(),
            diagnosis: diagnose(transcript, lang),
            reply: &transcript.reply_excerpt,
        }
    }
}

async fn attempts(call: Call) -> Result<Reply, Problem> {
    let id: EventId = call.id(ErrorCode::EventNotFound)?;
    call.read_query(nothing)?;
    let (scope, lang) = (call.scope(), lang_of(&call.request));
    let body = call.api.gateway.store.read(move |tx| {
        if !tx.contains(&EVENTS, &(scope, id))? {
            return Ok(None);
        }
        let span = Span::prefix(&(scope, id));
        let mut rows = tx.scan(&DELIVERY_ATTEMPTS, &span, Order::Descending, ATTEMPTS_MAX)?;
        rows.sort_by_key(|(_, attempt)| std::cmp::Reverse(attempt.transcript.started_at));
        let data =
            rows.iter().map(|((_, _, endpoint, _), attempt)| AttemptObject::new(*endpoint, attempt, lang)).collect();
        Ok::<_, StoreError>(Some(to_bytes(&ListReply::new(data, false, None))))
    });
    body.await?.map(Reply::ok).ok_or_else(|| Problem::new(ErrorCode::EventNotFound))
}

/// The only endpoint to send to, if one is named.
struct Resending(Option<EndpointId>);

fn resending(f: &mut Fields<'_>) -> Option<Resending> {
    let about = Text::new("只发给这个回调地址。", "Only to this endpoint.");
    Some(Resending(f.optional("endpoint", about, IdOf::new(EndpointId::PREFIX))))
}

async fn resend(call: Call) -> Result<Reply, Problem> {
    let id: EventId = call.id(ErrorCode::EventNotFound)?;
    let Resending(only) = call.read_body(resending)?;
    let scope = call.scope();
    let committed = call.commit(move |api, tx, moment| {
        deliveries::resend(tx, scope, id, only, moment)?;
        let event = events::event(tx, scope, id)?.ok_or(crate::flows::Refusal::EventNotFound)?;
        Ok(AnswerState::Done { status: 200, body: event_bytes(&api.gateway, tx, scope, &event)? })
    });
    Ok(at_once(committed.await?))
}
