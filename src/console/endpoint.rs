//! One endpoint: its health, what it was sent, and what can be done about it.

use actix_web::http::StatusCode;
use askama::Template;

use super::auth::roles::Permission;
use super::callbacks::{Health, health, newest};
use super::visit::{Member, Problem, Reply};
use super::words;
use crate::audit::{Action, Detail};
use crate::callbacks::breaker::State as BreakerState;
use crate::callbacks::diagnosis::diagnose;
use crate::domain::endpoint::{Delivery, DeliveryAttempt, DeliveryState, EndpointState};
use crate::domain::event::Event;
use crate::domain::ids::{EndpointId, EventId};
use crate::domain::time::Timestamp;
use crate::flows::deliveries::{self, RESEND_BULK_MAX, Resent};
use crate::flows::{FlowError, Moment, endpoints, events};
use crate::store::tables::{DELIVERIES, DELIVERY_ATTEMPTS};
use crate::store::{Order, Read, Span, StoreError, WriteTx};
use crate::web::{Frame, Page, Room};

/// Deliveries of one page.
const ROWS: usize = 50;
/// Pieces of [`RESEND_BULK_MAX`] that one request sends again.
const RESEND_PIECES_MAX: usize = 20;
/// Attempts of one delivery that are shown, the newest.
const ATTEMPTS_MAX: usize = 50;

/// How a receiver checks what it gets, in the languages shops are written in.
const SAMPLES: [(&str, &str); 5] = [
    ("PHP", include_str!("samples/verify.php")),
    ("Node.js", include_str!("samples/verify.js")),
    ("Python", include_str!("samples/verify.py")),
    ("Java", include_str!("samples/Verify.java")),
    ("Go", include_str!("samples/verify.go")),
];

#[derive(Template)]
#[template(path = "console/endpoint.html")]
struct EndpointPage {
    page: Page,
    frame: Frame,
    health: Health,
    /// The diagnosis of the last attempt that failed.
    diagnosis: Option<String>,
    breaker_until: Option<Timestamp>,
    rows: Vec<Row>,
    older: Option<String>,
    state: Option<DeliveryState>,
    samples: [(&'static str, &'static str); 5],
    may_resend: bool,
    may_manage: bool,
    done: Option<&'static str>,
}

struct Row {
    delivery: Delivery,
    event: Event,
    last: Option<DeliveryAttempt>,
}

impl Row {
    fn status(&self) -> String {
        let status = self.last.as_ref().and_then(|attempt| attempt.transcript.status());
        status.map_or_else(|| "—".to_owned(), |status| status.to_string())
    }
}

impl EndpointPage {
    fn is_state(&self, state: &DeliveryState) -> bool {
        self.state.as_ref() == Some(state)
    }

    fn is_on(&self) -> bool {
        self.health.endpoint.state == EndpointState::Enabled
    }

    fn is_suspended(&self) -> bool {
        self.health.endpoint.state == EndpointState::Suspended
    }
}

pub(super) async fn page(member: Member) -> Reply {
    let id: EndpointId = member.part("endpoint")?;
    let state = DeliveryState::ALL.into_iter().find(|state| state.code() == member.query.text("status"));
    let before: Option<EventId> = member.query.text("after").parse().ok();
    let (scope, now) = (member.scope(), member.now);
    let found = member
        .console
        .store()
        .read(move |tx| {
            let Some(endpoint) = deliveries::endpoint(tx, scope, id)? else { return Ok::<_, StoreError>(None) };
            let health = health(tx, scope, endpoint, now)?;
            let states = state.as_ref().map_or(&DeliveryState::ALL[..], std::slice::from_ref);
            let mut rows = Vec::new();
            for delivery in newest(tx, scope, id, states, before, ROWS + 1)? {
                let Some(event) = events::event(tx, scope, delivery.event)? else { continue };
                let span = Span::prefix(&(scope, delivery.event, id));
                let last = tx.scan(&DELIVERY_ATTEMPTS, &span, Order::Descending, 1)?.pop().map(|(_, last)| last);
                rows.push(Row { delivery, event, last });
            }
            Ok(Some((health, rows)))
        })
        .await?;
    let (health, mut rows) = found.ok_or(Problem::NotFound)?;
    let has_older = rows.len() > ROWS;
    rows.truncate(ROWS);
    let last_id = rows.last().map(|row| row.delivery.event.to_string());
    let failed = rows.iter().filter_map(|row| row.last.as_ref()).find(|last| !last.transcript.outcome.is_delivered());
    let breaker_until = match health.endpoint.breaker.state(now) {
        BreakerState::Open { until } => Some(until),
        BreakerState::Closed | BreakerState::HalfOpen | BreakerState::Disabled(_) => None,
    };
    let page = EndpointPage {
        diagnosis: failed
            .filter(|_| health.endpoint.breaker.failures > 0)
            .map(|last| diagnose(&last.transcript, member.page.lang)),
        breaker_until,
        older: last_id.filter(|_| has_older).map(|id| member.page.with_instead("after", &id, &["done"])),
        health,
        rows,
        state,
        samples: SAMPLES,
        may_resend: member.may(Permission::ResendCallbacks),
        may_manage: member.may(Permission::ManageKeys),
        done: member.done(),
        page: member.page.clone(),
        frame: member.frame(Room::Callbacks),
    };
    Ok(member.render(StatusCode::OK, &page))
}

/// Runs a change of one endpoint and writes its audit record in the same commit.
async fn change<T: Send + 'static>(
    member: &Member,
    action: Action,
    run: impl Fn(&mut WriteTx<'_>, &mut Moment) -> Result<(T, Detail), FlowError> + Send + 'static,
) -> Result<T, FlowError> {
    let id: Result<EndpointId, Problem> = member.part("endpoint");
    let object = id.map(|id| id.to_string()).unwrap_or_default();
    let (stamp, chain, moment) = (member.stamp(), member.chain(), Moment::new(member.console.env()));
    let write = member.console.store().write(move |tx| {
        let mut moment = moment;
        let (value, detail) = run(tx, &mut moment)?;
        stamp.record(tx, chain, action, &object, detail)?;
        Ok(value)
    });
    write.await
}

fn place(id: EndpointId) -> String {
    format!("/console/callbacks/{id}")
}

pub(super) async fn test(member: Member) -> Reply {
    let id: EndpointId = member.part("endpoint")?;
    let scope = member.scope();
    let event = change(&member, Action::CallbackTested, move |tx, moment| {
        let event = deliveries::ping(tx, scope, id, moment)?;
        Ok((event, Detail::new().with("event", event)))
    });
    match event.await {
        Ok(event) => Ok(member.go(&format!("{}/{event}?done=tested", place(id)))),
        Err(error) => member.refuse(error, &place(id)),
    }
}

/// Sends the selected deliveries again, or everything that the endpoint did not take.
pub(super) async fn resend(member: Member) -> Reply {
    let id: EndpointId = member.part("endpoint")?;
    let scope = member.scope();
    let events: Vec<EventId> =
        member.form.all("events[]").take(RESEND_BULK_MAX).filter_map(|text| text.parse().ok()).collect();
    let resent = if member.form.has("all") {
        resend_all(&member, id).await
    } else {
        let resend = move |tx: &mut WriteTx<'_>, moment: &mut Moment| {
            for event in &events {
                deliveries::resend(tx, scope, *event, Some(id), moment)?;
            }
            Ok((Resent { count: events.len(), more: false }, Detail::new().with("count", events.len())))
        };
        change(&member, Action::CallbackResent, resend).await
    };
    let done = match resent {
        Ok(Resent { count: 0, .. }) => "nothing",
        Ok(Resent { more: false, .. }) => "resent",
        Ok(Resent { more: true, .. }) => "resent_part",
        Err(error) => return member.refuse(error, &place(id)),
    };
    Ok(member.go(&format!("{}?done={done}", place(id))))
}

/// Everything that the endpoint did not take, a bounded piece in each commit; says when there is more than one request does.
async fn resend_all(member: &Member, id: EndpointId) -> Result<Resent, FlowError> {
    let scope = member.scope();
    let mut all = Resent { count: 0, more: true };
    for _ in 0..RESEND_PIECES_MAX {
        let piece = change(member, Action::CallbackResent, move |tx, moment| {
            let resent = deliveries::resend_failed(tx, scope, id, Timestamp::MIN, moment)?;
            Ok((resent, Detail::new().with("count", resent.count).with("more", resent.more)))
        });
        let piece = piece.await?;
        all = Resent { count: all.count + piece.count, more: piece.more };
        if !piece.more {
            break;
        }
    }
    Ok(all)
}

pub(super) async fn switch(member: Member) -> Reply {
    let id: EndpointId = member.part("endpoint")?;
    let scope = member.scope();
    let on = match member.form.text("on") {
        "yes" => true,
        "no" => false,
        _ => return Err(Problem::Malformed),
    };
    let done = change(&member, Action::EndpointChanged, move |tx, _| {
        deliveries::switch(tx, scope, id, on)?;
        Ok(((), Detail::new().with("enabled", on)))
    });
    match done.await {
        Ok(()) => Ok(member.go(&format!("{}?done={}", place(id), if on { "endpoint_on" } else { "endpoint_off" }))),
        Err(error) => member.refuse(error, &place(id)),
    }
}

pub(super) async fn remove(member: Member) -> Reply {
    let id: EndpointId = member.part("endpoint")?;
    let scope = member.scope();
    let done = change(&member, Action::EndpointDeleted, move |tx, _| {
        let url = deliveries::endpoint(tx, scope, id)?.map(|endpoint| endpoint.url).unwrap_or_default();
        endpoints::remove(tx, scope, id)?;
        Ok(((), Detail::new().with("url", url)))
    });
    match done.await {
        Ok(()) => Ok(member.go("/console/callbacks?done=endpoint_removed")),
        Err(error) => member.refuse(error, &place(id)),
    }
}

/// A secret that is shown once, with what to do with it.
#[derive(Template)]
#[template(path = "console/secret.html")]
pub(super) struct SecretPage<'a> {
    pub page: &'a Page,
    pub frame: Frame,
    pub title: &'a str,
    pub what: &'a str,
    pub secret: &'a str,
    /// Where the page leads.
    pub href: String,
}

pub(super) async fn rotate(member: Member) -> Reply {
    let id: EndpointId = member.part("endpoint")?;
    let scope = member.scope();
    let fresh = endpoints::fresh_secret(member.console.gateway(), scope, id);
    let (sealed, overlap) = (fresh.sealed, endpoints::ROTATION_OVERLAP);
    let done = change(&member, Action::EndpointSecretRotated, move |tx, moment| {
        endpoints::rotate(tx, scope, id, &sealed, overlap, moment)?;
        Ok(((), Detail::new()))
    });
    if let Err(error) = done.await {
        return member.refuse(error, &place(id));
    }
    let secret = fresh.shown.to_text();
    let page = SecretPage {
        page: &member.page,
        frame: member.frame(Room::Callbacks),
        title: member.page.t("新的签名密钥", "The new signing secret"),
        what: member.page.t(
            "请在 24 小时内换进网店。这期间每条通知同时带新旧两个签名，不会中断。",
            "Put it into your shop within 24 hours. Until then every callback carries both signatures, so nothing breaks.",
        ),
        secret: secret.expose_str().map_err(|error| Problem::Internal(error.to_string()))?,
        href: place(id),
    };
    Ok(member.render(StatusCode::OK, &page))
}

#[derive(Template)]
#[template(path = "console/delivery.html")]
struct DeliveryPage {
    page: Page,
    frame: Frame,
    url: String,
    endpoint: EndpointId,
    delivery: Delivery,
    event: Event,
    /// What is sent, byte for byte.
    body: String,
    /// Newest first, each with its diagnosis.
    attempts: Vec<(DeliveryAttempt, String)>,
    may_resend: bool,
    done: Option<&'static str>,
}

impl DeliveryPage {
    fn is_waiting(&self) -> bool {
        self.delivery.state == DeliveryState::Pending
    }

    fn payment(&self) -> Option<String> {
        self.event.object.payment().map(|payment| payment.to_string())
    }
}

pub(super) async fn delivery_page(member: Member) -> Reply {
    let (endpoint, event): (EndpointId, EventId) = (member.part("endpoint")?, member.part("event")?);
    let scope = member.scope();
    let found = member
        .console
        .store()
        .read(move |tx| {
            let delivery = tx.get(&DELIVERIES, &(scope, event, endpoint))?;
            let known = deliveries::endpoint(tx, scope, endpoint)?;
            let Some(delivery) = delivery else { return Ok::<_, StoreError>(None) };
            let Some(told) = events::event(tx, scope, event)? else { return Ok(None) };
            let span = Span::prefix(&(scope, event, endpoint));
            let attempts = tx.scan(&DELIVERY_ATTEMPTS, &span, Order::Descending, ATTEMPTS_MAX)?;
            let attempts: Vec<DeliveryAttempt> = attempts.into_iter().map(|(_, attempt)| attempt).collect();
            let url = delivery.url.clone().or(known.map(|endpoint| endpoint.url)).unwrap_or_default();
            Ok(Some((delivery, told, attempts, url)))
        })
        .await?;
    let (delivery, event, attempts, url) = found.ok_or(Problem::NotFound)?;
    let gateway = member.console.gateway();
    let body = (gateway.render_event)(gateway, scope, &event);
    let lang = member.page.lang;
    let page = DeliveryPage {
        body: String::from_utf8_lossy(&body).into_owned(),
        attempts: attempts
            .into_iter()
            .map(|attempt| (diagnose(&attempt.transcript, lang), attempt))
            .map(|(d, a)| (a, d))
            .collect(),
        url,
        endpoint,
        delivery,
        event,
        may_resend: member.may(Permission::ResendCallbacks),
        done: member.done(),
        page: member.page.clone(),
        frame: member.frame(Room::Callbacks),
    };
    Ok(member.render(StatusCode::OK, &page))
}

pub(super) async fn delivery_resend(member: Member) -> Reply {
    let (endpoint, event): (EndpointId, EventId) = (member.part("endpoint")?, member.part("event")?);
    let scope = member.scope();
    let done = change(&member, Action::CallbackResent, move |tx, moment| {
        deliveries::resend(tx, scope, event, Some(endpoint), moment)?;
        Ok(((), Detail::new().with("event", event)))
    });
    let back = format!("{}/{event}", place(endpoint));
    match done.await {
        Ok(()) => Ok(member.go(&format!("{back}?done=resent"))),
        Err(error) => member.refuse(error, &back),
    }
}
