//! Requests: read the payment, decide the face, render it; or pass one wish of the customer to a flow.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::device::Device;
use super::live;
use super::page::{Bill, CashierPage, Links, Lost, LostPage, form_target};
use super::stage::{Stage, Wish};
use crate::domain::event::Actor;
use crate::domain::ids::{PaymentId, Scope};
use crate::domain::merchant::Merchant;
use crate::domain::method::{Flow, Method};
use crate::domain::payment::{Attempt, Ending, Payment};
use crate::domain::time::{Duration, Timestamp};
use crate::flows::gateway::Gateway;
use crate::flows::{FlowError, Moment, payments, record, timeline};
use crate::lang::Lang;
use crate::store::StoreError;
use crate::web::{Page, csp_with_form_target};

/// How long choosing a way to pay waits for the channel before it shows that it is still being prepared.
const CHANNEL_WAIT: Duration = Duration::from_seconds(6);
/// The channel is not asked again for a customer when something was learned or tried so recently.
const ASK_EVERY: Duration = Duration::from_seconds(3);
/// The longest query of this page that is understood. What is longer is no wish of ours.
const QUERY_MAX_BYTES: usize = 256;
const RETRY_AFTER_SECONDS: u32 = 3;

/// Adds the cashier. Called once in each worker.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .app_data(web::Data::new(live::Streams::default()))
        .route("/c/{token}", crate::web::reading().to(show))
        .route("/c/{token}/method", web::post().to(choose))
        .route("/c/{token}/cancel", web::post().to(cancel))
        .route("/c/{token}/return", crate::web::reading().to(come_back))
        // UnionPay's page sends the browser back with a form. It is not read.
        .route("/c/{token}/return", web::post().to(come_back))
        .route("/c/{token}/status", crate::web::reading().to(status))
        .route("/c/{token}/events", web::get().to(live::events));
}

/// A payment as its customer may see it.
pub(super) struct Seen {
    pub scope: Scope,
    pub payment: Payment,
    pub attempt: Option<Attempt>,
    pub merchant: Merchant,
}

/// Reads the payment that a link names. `None`: it names none.
pub(super) async fn see(gateway: &Gateway, token: &str) -> Result<Option<Seen>, FlowError> {
    let Some((scope, id)) = gateway.read_checkout_token(token) else { return Ok(None) };
    let seen = gateway.store.read(move |tx| {
        let payment = record::payment(tx, scope, id)?;
        let attempt = payment.current.map(|attempt| record::attempt(tx, scope, attempt)).transpose()?;
        let merchant = record::merchant(tx, scope)?;
        Ok::<_, FlowError>(Seen { scope, payment, attempt, merchant })
    });
    match seen.await {
        Ok(seen) => Ok(Some(seen)),
        Err(FlowError::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Seen {
    pub fn stage(&self, gateway: &Gateway, device: Device, wish: Wish, now: Timestamp) -> Stage {
        let offers: Vec<Method> =
            gateway.channels.offers(self.scope, Some(self.payment.amount)).iter().map(|offer| offer.method).collect();
        Stage::of(&self.payment, self.attempt.as_ref(), &offers, device, wish, now)
    }

    /// Differs whenever the page would look different.
    pub fn mark(&self, stage: &Stage) -> String {
        let Payment { version, attempts, .. } = &self.payment;
        let trouble = u8::from(matches!(stage, Stage::Preparing { trouble: true, .. }));
        format!("{}.{version}.{}.{trouble}", stage.code(), attempts.len())
    }
}

/// What the address wishes for. Anything else in it is ignored, whatever it claims.
pub(super) fn wish_of(request: &HttpRequest) -> Wish {
    let query = request.query_string();
    let mut wish = Wish::default();
    if query.len() > QUERY_MAX_BYTES {
        return wish;
    }
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let on = value == "1";
        match name.as_ref() {
            "choose" => wish.choose = on,
            "returned" => wish.returned = on,
            "go" => wish.forward = on,
            "unavailable" => wish.unavailable = on,
            _ => {}
        }
    }
    wish
}

impl Wish {
    /// The query that makes this wish again, for live status.
    fn query(self) -> &'static str {
        // Only this one changes the face without changing the payment.
        if self.choose { "?choose=1" } else { "" }
    }
}

pub(super) fn device_of(request: &HttpRequest) -> Device {
    let agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    Device::read(agent.unwrap_or(""))
}

async fn show(request: HttpRequest, gateway: web::Data<Gateway>, token: web::Path<String>) -> HttpResponse {
    let now = gateway.env.now();
    let page = Page::read(&request, now);
    let seen = match see(&gateway, &token).await {
        Ok(Some(seen)) => seen,
        Ok(None) => return lost(page, Lost::NoSuchLink),
        Err(error) => return trouble(page, &error),
    };
    let spoken = seen.payment.customer.locale.as_deref().and_then(Lang::from_tag);
    let page = spoken.map_or_else(|| page.clone(), |lang| page.clone().prefer(&request, lang));
    let page = page.in_zone(&seen.merchant.zone);
    let (device, wish) = (device_of(&request), wish_of(&request));
    let stage = seen.stage(&gateway, device, wish, now);
    let mark = seen.mark(&stage);
    let bill = Bill::of(&seen.merchant, &seen.payment, seen.scope.mode);
    let links = Links::of(format!("/c/{token}"), wish.query().to_owned(), &seen.payment);
    let policy = form_target(&stage).and_then(csp_with_form_target);
    let body = CashierPage::new(page.clone(), bill, links, stage, device.phone, mark);
    let mut response = page.respond(StatusCode::OK, &body);
    if let Some(policy) = policy {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

#[derive(Deserialize)]
struct Choice {
    method: String,
}

/// The customer chose a way to pay: an attempt begins, and the page waits a moment for what the channel has to show.
async fn choose(
    request: HttpRequest,
    gateway: web::Data<Gateway>,
    token: web::Path<String>,
    choice: web::Form<Choice>,
) -> HttpResponse {
    let page = Page::read(&request, gateway.env.now());
    let seen = match see(&gateway, &token).await {
        Ok(Some(seen)) => seen,
        Ok(None) => return lost(page, Lost::NoSuchLink),
        Err(error) => return trouble(page, &error),
    };
    let (scope, id) = (seen.scope, seen.payment.id);
    let fits = |method: &Method| {
        matches!(method.flow(), Flow::QrCode | Flow::Redirect)
            && seen.payment.method.is_none_or(|fixed| fixed == *method)
    };
    let method = Method::parse(&choice.method).filter(fits);
    let found = method.and_then(|method| {
        let route = gateway.route(scope, method, seen.payment.amount)?;
        Some((method, route))
    });
    let Some((method, route)) = found else { return see_other(&token, "?unavailable=1") };
    // Watched before it is written, so that no answer falls between.
    let mut watch = gateway.changes.watch(id);
    let moment = Moment::new(&gateway.env);
    let begun = gateway
        .store
        .write(move |tx| payments::choose_method(tx, scope, id, method, route, &mut moment.clone()).map(drop))
        .await;
    match begun {
        Ok(()) => {}
        // Ended, paid or tried too often meanwhile: the page says which.
        Err(FlowError::Refused(_)) => return see_other(&token, ""),
        Err(error) => return trouble(page, &error),
    }
    let ready = async {
        while preparing(&gateway, scope, id).await {
            watch.changed().await;
        }
    };
    // Not ready in time is no error: the page shows that it is being prepared, and goes on looking.
    drop(tokio::time::timeout(CHANNEL_WAIT.to_std(), ready).await);
    see_other(&token, "?go=1")
}

/// The channel has not answered the current attempt.
async fn preparing(gateway: &Gateway, scope: Scope, id: PaymentId) -> bool {
    let read = gateway.store.read(move |tx| {
        let payment = record::payment(tx, scope, id)?;
        let Some(current) = payment.current else { return Ok(false) };
        let attempt = record::attempt(tx, scope, current)?;
        Ok::<_, FlowError>(attempt.state.is_live() && attempt.next_action.is_none() && attempt.trouble.is_none())
    });
    read.await.unwrap_or(false)
}

/// The customer gives up. The channel is told; the page shows what really happened.
async fn cancel(request: HttpRequest, gateway: web::Data<Gateway>, token: web::Path<String>) -> HttpResponse {
    let page = Page::read(&request, gateway.env.now());
    let Some((scope, id)) = gateway.read_checkout_token(&token) else { return lost(page, Lost::NoSuchLink) };
    let moment = Moment::new(&gateway.env);
    let ended = gateway
        .store
        .write(move |tx| {
            payments::end(tx, scope, id, Ending::CancelByCustomer, Actor::Customer, &mut moment.clone()).map(drop)
        })
        .await;
    match ended {
        Ok(()) | Err(FlowError::Refused(_)) => see_other(&token, ""),
        Err(error) => trouble(page, &error),
    }
}

/// The browser comes back from a wallet. That proves nothing, whatever the address claims: the channel is asked, and the
/// page shows what is stored.
async fn come_back(request: HttpRequest, gateway: web::Data<Gateway>, token: web::Path<String>) -> HttpResponse {
    let page = Page::read(&request, gateway.env.now());
    let Some((scope, id)) = gateway.read_checkout_token(&token) else { return lost(page, Lost::NoSuchLink) };
    let moment = Moment::new(&gateway.env);
    match gateway.store.write(move |tx| ask_unless_just_asked(tx, scope, id, moment)).await {
        Ok(()) | Err(FlowError::Refused(_)) => see_other(&token, "?returned=1"),
        Err(error) => trouble(page, &error),
    }
}

/// Asks the channel now, but no more often than [`ASK_EVERY`], because anybody with the link can come here.
fn ask_unless_just_asked(
    tx: &mut crate::store::WriteTx<'_>,
    scope: Scope,
    id: PaymentId,
    moment: Moment,
) -> Result<(), FlowError> {
    let payment = record::payment(tx, scope, id)?;
    if payment.state.is_final() {
        return Ok(());
    }
    let last = timeline::newest(tx, scope, id, 1)?;
    let just_now = last.first().is_some_and(|line| moment.now.since(line.at) < ASK_EVERY);
    if !just_now {
        payments::ask_now(tx, scope, id, &mut moment.clone())?;
    }
    Ok(())
}

/// What the script polls where live events do not come through.
#[derive(Serialize)]
pub(super) struct Status {
    /// The page is worth loading again when this differs from its own.
    pub mark: String,
    pub status: &'static str,
    /// Nothing more will happen by itself.
    pub done: bool,
}

impl Status {
    pub async fn read(gateway: &Gateway, token: &str, device: Device, wish: Wish) -> Result<Option<Status>, FlowError> {
        let Some(seen) = see(gateway, token).await? else { return Ok(None) };
        let stage = seen.stage(gateway, device, wish, gateway.env.now());
        let mark = seen.mark(&stage);
        Ok(Some(Status { mark, status: seen.payment.state.code(), done: !stage.is_waiting() }))
    }
}

async fn status(request: HttpRequest, gateway: web::Data<Gateway>, token: web::Path<String>) -> HttpResponse {
    match Status::read(&gateway, &token, device_of(&request), wish_of(&request)).await {
        Ok(Some(status)) => HttpResponse::Ok().json(status),
        Ok(None) => HttpResponse::NotFound().finish(),
        Err(error) => {
            tracing::error!("a cashier status could not be read: {error}");
            HttpResponse::ServiceUnavailable().insert_header((header::RETRY_AFTER, RETRY_AFTER_SECONDS)).finish()
        }
    }
}

fn see_other(token: &str, query: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, format!("/c/{token}{query}"))).finish()
}

fn lost(page: Page, lost: Lost) -> HttpResponse {
    let status = match lost {
        Lost::NoSuchLink => StatusCode::NOT_FOUND,
        Lost::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Lost::Broken => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut response = page.clone().respond(status, &LostPage { page, lost });
    if lost == Lost::Busy {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
    }
    response
}

fn trouble(page: Page, error: &FlowError) -> HttpResponse {
    match error {
        FlowError::Refused(_) => lost(page, Lost::NoSuchLink),
        FlowError::Store(StoreError::Busy) => lost(page, Lost::Busy),
        FlowError::Store(_) | FlowError::Books(_) => {
            tracing::error!("the cashier could not answer: {error}");
            lost(page, Lost::Broken)
        }
    }
}
