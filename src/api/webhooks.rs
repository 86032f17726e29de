//! Webhook endpoints: where callbacks go. Their secret is shown once, in the answer that made it.

use std::collections::BTreeSet;

use actix_web::http::Method as Verb;
use serde::Serialize;
use utoipa::ToSchema;

use super::commit::Committed;
use super::endpoint::{Endpoint, Group, ReplyDoc, body, schema_of};
use super::error::{ErrorCode, FieldCode, Place, Problem, Words};
use super::events::event_bytes;
use super::fields::Fields;
use super::kinds::{Chars, Flag, Int, ListOf, OneOf, WebAddress};
use super::objects::{Moment, to_bytes};
use super::page::ListReply;
use super::payments::nothing;
use super::service::{Call, Reply};
use crate::audit::{Action, Detail};
use crate::domain::endpoint::{ENDPOINTS_MAX, Endpoint as Webhook, EndpointState};
use crate::domain::event::EventType;
use crate::domain::ids::{EndpointId, Mode, Scope};
use crate::domain::key::Permission;
use crate::domain::time::Duration;
use crate::env::target::TargetPolicy;
use crate::flows::endpoints::{self as flow, Change, NewEndpoint, ROTATION_OVERLAP};
use crate::flows::{Refusal, deliveries, events};
use crate::lang::{Lang, Text};
use crate::store::tables::{AnswerState, ENDPOINTS as TABLE};
use crate::store::{Order, Read, Span, StoreError};

const DESCRIPTION_CHARS_MAX: usize = 200;
/// How long the old secret may go on signing after a rotation, in hours.
const OVERLAP_HOURS_MAX: i64 = 7 * 24;

const WEBHOOK: ReplyDoc = ReplyDoc::One(schema_of::<WebhookObject<'static>>);
const NOT_FOUND: &[ErrorCode] = &[ErrorCode::WebhookEndpointNotFound];

pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        id: "create_webhook_endpoint",
        group: Group::Webhooks,
        method: Verb::POST,
        path: "/v1/webhook_endpoints",
        permission: Some(Permission::Write),
        summary: Text::new("添加回调地址", "Add a webhook endpoint"),
        about: Text::new(
            "回调按 Standard Webhooks 签名。secret 只在这次应答里出现，请立即保存；用同一个 Idempotency-Key 重复请求时不再返回 secret。",
            "Callbacks are signed as Standard Webhooks says. `secret` appears in this answer only, so keep it; a repetition with the same Idempotency-Key \
             comes without it.",
        ),
        query: None,
        body: body!(
            new_webhook,
            r#"{"url":"https://shop.example/coffer","events":["payment.paid","refund.succeeded"]}"#
        ),
        status: 201,
        reply: WEBHOOK,
        refusals: &[ErrorCode::InvalidValue, ErrorCode::TooManyWebhookEndpoints],
        handler: |call| Box::pin(create(call)),
    },
    Endpoint {
        id: "list_webhook_endpoints",
        group: Group::Webhooks,
        method: Verb::GET,
        path: "/v1/webhook_endpoints",
        permission: Some(Permission::Read),
        summary: Text::new("回调地址列表", "List webhook endpoints"),
        about: Text::new("全部回调地址，一页返回。", "All of them, on one page."),
        query: None,
        body: None,
        status: 200,
        reply: ReplyDoc::List(schema_of::<WebhookObject<'static>>),
        refusals: &[],
        handler: |call| Box::pin(list(call)),
    },
    Endpoint {
        id: "get_webhook_endpoint",
        group: Group::Webhooks,
        method: Verb::GET,
        path: "/v1/webhook_endpoints/{id}",
        permission: Some(Permission::Read),
        summary: Text::new("查询回调地址", "Get a webhook endpoint"),
        about: Text::new("包括是否启用、连续失败次数。", "With its state and how often it failed in a row."),
        query: None,
        body: None,
        status: 200,
        reply: WEBHOOK,
        refusals: NOT_FOUND,
        handler: |call| Box::pin(get(call)),
    },
    Endpoint {
        id: "update_webhook_endpoint",
        group: Group::Webhooks,
        method: Verb::PATCH,
        path: "/v1/webhook_endpoints/{id}",
        permission: Some(Permission::Write),
        summary: Text::new("修改回调地址", "Change a webhook endpoint"),
        about: Text::new(
            "启用或停用、更换地址或事件。停用期间的回调会保留。",
            "Switches it on or off, or changes address and events. What happens while it is off is kept.",
        ),
        query: None,
        body: body!(changes, r#"{"enabled":false}"#),
        status: 200,
        reply: WEBHOOK,
        refusals: &[ErrorCode::InvalidValue, ErrorCode::WebhookEndpointNotFound],
        handler: |call| Box::pin(update(call)),
    },
    Endpoint {
        id: "delete_webhook_endpoint",
        group: Group::Webhooks,
        method: Verb::DELETE,
        path: "/v1/webhook_endpoints/{id}",
        permission: Some(Permission::Write),
        summary: Text::new("删除回调地址", "Delete a webhook endpoint"),
        about: Text::new(
            "不再向它发送；已发送的记录保留。",
            "Nothing more is sent to it; the log of what was sent stays.",
        ),
        query: None,
        body: None,
        status: 200,
        reply: ReplyDoc::One(schema_of::<DeletedObject>),
        refusals: NOT_FOUND,
        handler: |call| Box::pin(remove(call)),
    },
    Endpoint {
        id: "test_webhook_endpoint",
        group: Group::Webhooks,
        method: Verb::POST,
        path: "/v1/webhook_endpoints/{id}/test",
        permission: Some(Permission::Write),
        summary: Text::new("发送测试回调", "Send a test callback"),
        about: Text::new(
            "立即发送一个 webhook.ping 事件，停用的地址也会发送。结果见 GET /v1/events/{id}/attempts。",
            "Sends a `webhook.ping` event at once, also to one that is switched off. `GET /v1/events/{id}/attempts` shows what came of it.",
        ),
        query: None,
        body: None,
        status: 201,
        reply: ReplyDoc::One(schema_of::<super::events::EventObject<'static>>),
        refusals: NOT_FOUND,
        handler: |call| Box::pin(test(call)),
    },
    Endpoint {
        id: "rotate_webhook_secret",
        group: Group::Webhooks,
        method: Verb::POST,
        path: "/v1/webhook_endpoints/{id}/rotate_secret",
        permission: Some(Permission::Write),
        summary: Text::new("更换签名密钥", "Rotate the secret"),
        about: Text::new(
            "返回新的 secret（只此一次）。在重叠期内，回调同时带新旧两个签名，便于无中断更换。",
            "Answers a new `secret`, this once. During the overlap callbacks carry two signatures, old and new, so that the change needs no downtime.",
        ),
        query: None,
        body: body!(rotation, r#"{"overlap_hours":24}"#),
        status: 200,
        reply: WEBHOOK,
        refusals: &[ErrorCode::InvalidValue, ErrorCode::WebhookEndpointNotFound],
        handler: |call| Box::pin(rotate(call)),
    },
];

/// Where callbacks go.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
struct WebhookObject<'a> {
    #[schema(value_type = String, example = "we_01JD3Q9W8XK2V5N7R4T6Y0ABCD")]
    id: EndpointId,
    object: &'static str,
    #[schema(value_type = String, example = "test")]
    mode: Mode,
    url: &'a str,
    description: &'a str,
    /// Types of events; empty means all.
    events: Vec<&'static str>,
    /// `enabled`, `disabled` (by you) or `suspended` (by Coffer, after days of nothing but failures).
    #[schema(example = "enabled")]
    status: &'static str,
    /// Failures since the last success.
    failures_in_a_row: u32,
    failing_since: Option<Moment>,
    created_at: Moment,
    /// Signs callbacks. Only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: Option<&'a str>,
}

fn webhook_bytes(scope: Scope, webhook: &Webhook, secret: Option<&str>) -> Vec<u8> {
    to_bytes(&webhook_object(scope, webhook, secret))
}

fn webhook_object<'a>(scope: Scope, webhook: &'a Webhook, secret: Option<&'a str>) -> WebhookObject<'a> {
    WebhookObject {
        id: webhook.id,
        object: "webhook_endpoint",
        mode: scope.mode,
        url: &webhook.url,
        description: &webhook.description,
        events: webhook.events.iter().map(|kind| kind.code()).collect(),
        status: match webhook.state {
            EndpointState::Enabled => "enabled",
            EndpointState::Disabled => "disabled",
            EndpointState::Suspended => "suspended",
        },
        failures_in_a_row: webhook.breaker.failures,
        failing_since: webhook.breaker.failing_since.map(Moment),
        created_at: Moment(webhook.created_at),
        secret,
    }
}

/// The confirmation of a deletion.
#[derive(Serialize, ToSchema)]
#[schema(as = Deleted)]
struct DeletedObject {
    #[schema(value_type = String)]
    id: EndpointId,
    object: &'static str,
    deleted: bool,
}

const URL: Text = Text::new("接收回调的地址。", "The address that receives callbacks.");
const DESCRIPTION: Text = Text::new("给自己看的说明。", "A note for yourself.");
const EVENTS_WANTED: Text =
    Text::new("要接收的事件类型；不填则全部。", "The types of events to send; all of them without it.");

fn events_kind() -> ListOf<OneOf<EventType>> {
    let codes = || EventType::ALL.iter().map(|kind| kind.code()).collect();
    ListOf { kind: OneOf::new(codes, EventType::parse), elements_max: EventType::ALL.len() }
}

struct Wanted {
    url: String,
    description: String,
    events: BTreeSet<EventType>,
}

fn new_webhook(f: &mut Fields<'_>) -> Option<Wanted> {
    let url = f.required("url", URL, WebAddress);
    let description = f.optional("description", DESCRIPTION, Chars::free(0..=DESCRIPTION_CHARS_MAX));
    let events = f.optional("events", EVENTS_WANTED, events_kind());
    Some(Wanted {
        url: url?,
        description: description.unwrap_or_default(),
        events: events.unwrap_or_default().into_iter().collect(),
    })
}

/// An address that could never be called is refused where it is entered. Its name is looked up only when it is called.
pub(super) fn check_target(policy: &TargetPolicy, pointer: &str, url: &str) -> Result<(), Problem> {
    policy.check_url(url).map(drop).map_err(|reason| {
        let words = Words::new(reason.sentence(Lang::Zh), reason.sentence(Lang::En));
        Problem::field(Place::Body(pointer.to_owned()), FieldCode::NotAllowed, words)
    })
}

async fn create(call: Call) -> Result<Reply, Problem> {
    let wanted = call.read_body(new_webhook)?;
    let gateway = &call.api.gateway;
    check_target(&gateway.settings.callbacks, "#/url", &wanted.url)?;
    let scope = call.scope();
    let id = EndpointId::new(call.now, gateway.env.random());
    let fresh = flow::fresh_secret(gateway, scope, id);
    let new = NewEndpoint {
        id,
        url: wanted.url,
        description: wanted.description,
        events: wanted.events,
        secret: fresh.sealed,
    };
    let (shown, stamp) = (new.clone(), call.stamp());
    let committed = call.commit(move |_, tx, moment| {
        let webhook = flow::create(tx, scope, &new, moment)?;
        let detail = Detail::new().with("url", &webhook.url);
        stamp.record(tx, scope.merchant, Action::EndpointCreated, id, detail)?;
        Ok(AnswerState::Done { status: 201, body: webhook_bytes(scope, &webhook, None) })
    });
    with_secret(&call, committed.await?, shown.id, &fresh.shown.to_text()).await
}

/// The stored answer has no secret; the first one, which was just made, has it.
async fn with_secret(
    call: &Call,
    committed: Committed,
    id: EndpointId,
    secret: &crate::crypto::Secret,
) -> Result<Reply, Problem> {
    let reply = at_once(committed);
    if reply.is_replay() {
        return Ok(reply);
    }
    let webhook = load(call, id)?;
    let secret = secret.expose_str().expect("secrets are shown as text");
    Ok(Reply::json(reply.status(), webhook_bytes(call.scope(), &webhook, Some(secret))))
}

pub(super) fn at_once(committed: Committed) -> Reply {
    match committed {
        Committed::Answered(reply) => reply,
        Committed::Wait(_) => unreachable!("nothing here waits for a channel"),
    }
}

fn load(call: &Call, id: EndpointId) -> Result<Webhook, Problem> {
    let scope = call.scope();
    let found = call.api.gateway.store.read_blocking(|tx| tx.get(&TABLE, &(scope, id)))?;
    found.ok_or_else(|| Problem::new(ErrorCode::WebhookEndpointNotFound))
}

async fn list(call: Call) -> Result<Reply, Problem> {
    call.read_query(nothing)?;
    let scope = call.scope();
    let body = call.api.gateway.store.read(move |tx| {
        let rows = tx.scan(&TABLE, &Span::prefix(&scope), Order::Descending, ENDPOINTS_MAX)?;
        let data = rows.iter().map(|(_, webhook)| webhook_object(scope, webhook, None)).collect();
        Ok::<_, StoreError>(to_bytes(&ListReply::new(data, false, None)))
    });
    Ok(Reply::ok(body.await?))
}

async fn get(call: Call) -> Result<Reply, Problem> {
    let webhook = load(&call, call.id(ErrorCode::WebhookEndpointNotFound)?)?;
    Ok(Reply::ok(webhook_bytes(call.scope(), &webhook, None)))
}

fn changes(f: &mut Fields<'_>) -> Option<Change> {
    let url = f.optional("url", URL, WebAddress);
    let description = f.optional("description", DESCRIPTION, Chars::free(0..=DESCRIPTION_CHARS_MAX));
    let events = f.optional("events", EVENTS_WANTED, events_kind()).map(|list| list.into_iter().collect());
    let enabled = f.optional("enabled", Text::new("启用或停用。", "Switch it on or off."), Flag);
    Some(Change { url, description, events, enabled })
}

async fn update(call: Call) -> Result<Reply, Problem> {
    let id: EndpointId = call.id(ErrorCode::WebhookEndpointNotFound)?;
    let change = call.read_body(changes)?;
    if let Some(url) = &change.url {
        check_target(&call.api.gateway.settings.callbacks, "#/url", url)?;
    }
    let (scope, stamp) = (call.scope(), call.stamp());
    let committed = call.commit(move |_, tx, _| {
        let before = tx.get(&TABLE, &(scope, id))?.map(|webhook| webhook.url).unwrap_or_default();
        let webhook = flow::update(tx, scope, id, &change)?;
        let enabled = webhook.state == EndpointState::Enabled;
        let detail = Detail::new().with("from", before).with("url", &webhook.url).with("enabled", enabled);
        stamp.record(tx, scope.merchant, Action::EndpointChanged, id, detail)?;
        Ok(AnswerState::Done { status: 200, body: webhook_bytes(scope, &webhook, None) })
    });
    Ok(at_once(committed.await?))
}

async fn remove(call: Call) -> Result<Reply, Problem> {
    let id: EndpointId = call.id(ErrorCode::WebhookEndpointNotFound)?;
    call.read_body(nothing)?;
    let (scope, stamp) = (call.scope(), call.stamp());
    let committed = call.commit(move |_, tx, _| {
        let url = tx.get(&TABLE, &(scope, id))?.map(|webhook| webhook.url).unwrap_or_default();
        flow::remove(tx, scope, id)?;
        stamp.record(tx, scope.merchant, Action::EndpointDeleted, id, Detail::new().with("url", url))?;
        let object = DeletedObject { id, object: "webhook_endpoint", deleted: true };
        Ok(AnswerState::Done { status: 200, body: to_bytes(&object) })
    });
    Ok(at_once(committed.await?))
}

async fn test(call: Call) -> Result<Reply, Problem> {
    let id: EndpointId = call.id(ErrorCode::WebhookEndpointNotFound)?;
    call.read_body(nothing)?;
    let scope = call.scope();
    let committed = call.commit(move |api, tx, moment| {
        let event = deliveries::ping(tx, scope, id, moment)?;
        let event = events::event(tx, scope, event)?.ok_or(Refusal::EventNotFound)?;
        Ok(AnswerState::Done { status: 201, body: event_bytes(&api.gateway, tx, scope, &event)? })
    });
    Ok(at_once(committed.await?))
}

fn rotation(f: &mut Fields<'_>) -> Option<Duration> {
    let about =
        Text::new("旧密钥继续签名的小时数，默认 24。", "Hours during which the old secret signs too; 24 without it.");
    let hours = f.optional("overlap_hours", about, Int::new(0..=OVERLAP_HOURS_MAX));
    Some(hours.map_or(ROTATION_OVERLAP, |hours| Duration::from_hours(hours.unsigned_abs())))
}

async fn rotate(call: Call) -> Result<Reply, Problem> {
    let id: EndpointId = call.id(ErrorCode::WebhookEndpointNotFound)?;
    let overlap = call.read_body(rotation)?;
    let (scope, stamp) = (call.scope(), call.stamp());
    let fresh = flow::fresh_secret(&call.api.gateway, scope, id);
    let committed = call.commit(move |_, tx, moment| {
        let webhook = flow::rotate(tx, scope, id, &fresh.sealed, overlap, moment)?;
        let detail = Detail::new().with("overlap_hours", overlap.as_seconds() / 3600);
        stamp.record(tx, scope.merchant, Action::EndpointSecretRotated, id, detail)?;
        Ok(AnswerState::Done { status: 200, body: webhook_bytes(scope, &webhook, None) })
    });
    with_secret(&call, committed.await?, id, &fresh.shown.to_text()).await
}
