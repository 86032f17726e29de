//! The callbacks room: every endpoint with its health as a strip of dots, and what waits.

use actix_web::http::StatusCode;
use askama::Template;

use super::auth::roles::Permission;
use super::visit::{Member, Reply};
use super::words;
use crate::domain::endpoint::{Delivery, DeliveryState, ENDPOINTS_MAX, Endpoint};
use crate::domain::ids::{EndpointId, EventId, Scope};
use crate::domain::time::{Duration, Timestamp};
use crate::store::tables::{DELIVERIES, DELIVERIES_BY_ENDPOINT, ENDPOINTS, IMPLICIT_ENDPOINTS};
use crate::store::{Order, Read, Span, StoreError};
use crate::web::{Frame, Page, Room};

/// Dots of a strip, the newest deliveries.
const DOTS: usize = 40;
/// What a strip shows.
const STRIP: Duration = Duration::from_hours(24);
/// Hosts of payments' own addresses that are shown, the newest.
const IMPLICIT_MAX: usize = 50;
/// What did not arrive is counted up to here.
pub(super) const COUNTED_MAX: usize = 1_000;

#[derive(Template)]
#[template(path = "console/callbacks.html")]
struct CallbacksPage {
    page: Page,
    frame: Frame,
    endpoints: Vec<Health>,
    implicit: Vec<Health>,
    may_manage: bool,
    done: Option<&'static str>,
}

/// An endpoint and how it has been.
pub(super) struct Health {
    pub endpoint: Endpoint,
    pub dots: Vec<Dot>,
    /// Dead and held, counted up to [`COUNTED_MAX`].
    pub undelivered: usize,
}

impl Health {
    pub fn is_failing(&self) -> bool {
        self.endpoint.is_failing()
    }

    /// `12`, or `1000+` when counting ended early.
    pub fn undelivered_text(&self) -> String {
        if self.undelivered >= COUNTED_MAX { format!("{COUNTED_MAX}+") } else { self.undelivered.to_string() }
    }
}

/// One delivery in a strip.
pub(super) struct Dot {
    pub shape: &'static str,
    pub at: Timestamp,
    pub state: DeliveryState,
}

impl Dot {
    /// Plain text, as titles cannot hold a `<time>`.
    pub fn title(&self, page: &Page) -> String {
        let state = words::delivery_word(self.state, page.lang);
        format!("{} · {state}", self.at.in_zone(page.zone()).strftime("%m-%d %H:%M"))
    }
}

pub(super) async fn page(member: Member) -> Reply {
    let (scope, now) = (member.scope(), member.now);
    let (endpoints, implicit) = member
        .console
        .store()
        .read(move |tx| {
            let of_scope = Span::prefix(&scope);
            let named = tx.scan(&ENDPOINTS, &of_scope, Order::Ascending, ENDPOINTS_MAX)?;
            let own = tx.scan(&IMPLICIT_ENDPOINTS, &of_scope, Order::Descending, IMPLICIT_MAX)?;
            let healths = |rows: Vec<((Scope, EndpointId), Endpoint)>| {
                rows.into_iter().map(|(_, endpoint)| health(tx, scope, endpoint, now)).collect::<Result<Vec<_>, _>>()
            };
            Ok::<_, StoreError>((healths(named)?, healths(own)?))
        })
        .await?;
    let page = CallbacksPage {
        page: member.page.clone(),
        frame: member.frame(Room::Callbacks),
        endpoints,
        implicit,
        may_manage: member.may(Permission::ManageKeys),
        done: member.done(),
    };
    Ok(member.render(StatusCode::OK, &page))
}

pub(super) fn health(tx: &impl Read, scope: Scope, endpoint: Endpoint, now: Timestamp) -> Result<Health, StoreError> {
    let mut dots = Vec::new();
    for delivery in newest(tx, scope, endpoint.id, &DeliveryState::ALL, None, DOTS)? {
        if now.since(delivery.created_at) > STRIP {
            break;
        }
        let shape = match delivery.state {
            DeliveryState::Delivered => "ok",
            DeliveryState::Pending if delivery.attempts > 0 => "warn",
            DeliveryState::Pending | DeliveryState::Held => "none",
            DeliveryState::Dead => "bad",
        };
        dots.push(Dot { shape, at: delivery.created_at, state: delivery.state });
    }
    dots.reverse();
    let mut undelivered = 0;
    for state in [DeliveryState::Dead, DeliveryState::Held] {
        let span = Span::prefix(&(scope, endpoint.id, place(state)));
        undelivered += tx.scan(&DELIVERIES_BY_ENDPOINT, &span, Order::Descending, COUNTED_MAX - undelivered)?.len();
    }
    Ok(Health { endpoint, dots, undelivered })
}

/// The newest deliveries of an endpoint in any of some states, older than `before`. One index span per state, merged.
pub(super) fn newest(
    tx: &impl Read,
    scope: Scope,
    endpoint: EndpointId,
    states: &[DeliveryState],
    before: Option<EventId>,
    limit: usize,
) -> Result<Vec<Delivery>, StoreError> {
    let mut events = Vec::new();
    for state in states {
        let place = place(*state);
        let mut span = Span::prefix(&(scope, endpoint, place));
        if let Some(before) = before {
            span = span.until(&(scope, endpoint, place, before));
        }
        let rows = tx.scan(&DELIVERIES_BY_ENDPOINT, &span, Order::Descending, limit)?;
        events.extend(rows.into_iter().map(|((_, _, _, event), ())| event));
    }
    events.sort_unstable_by(|a, b| b.cmp(a));
    events.truncate(limit);
    let deliveries = events.into_iter().map(|event| tx.get(&DELIVERIES, &(scope, event, endpoint)));
    Ok(deliveries.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// The state's place in `DeliveryState::ALL`, as the index keys it.
fn place(state: DeliveryState) -> u8 {
    let place = DeliveryState::ALL.iter().position(|one| *one == state).expect("ALL lists every state");
    u8::try_from(place).expect("there are four states")
}
