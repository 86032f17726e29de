//! Requests: read the payment, decide the face, render it; or pass one wish of the customer to a flow.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::introduction::{self, Exchanges};
use super::live;
use super::page::{Bill, CashierPage, Extras, Links, Lost, LostPage, form_target};
use super::stage::{Stage, Visit, Wish};
use super::visitor::{Visitor, begun_cookie, is_reachable, payer_ip};
use crate::channels::errors::{explain, sentences};
use crate::domain::event::Actor;
use crate::domain::ids::{Mode, PaymentId, Scope};
use crate::domain::merchant::{ChannelKind, Merchant};
use crate::domain::method::{Flow, Method};
use crate::domain::payment::{Attempt, AttemptState, Ending, Payment, Route};
use crate::domain::time::{Duration, Timestamp};
use crate::flows::gateway::Gateway;
use crate::flows::payments::Chooser;
use crate::flows::{FlowError, Moment, payments, record, timeline};
use crate::lang::{Lang, Text};
use crate::sandbox::provider::World;
use crate::store::StoreError;
use crate::web::{Page, QrCode, address_of, csp_with_form_target};

/// How long choosing a way to pay waits for the channel before it shows that it is still being prepared.
const CHANNEL_WAIT: Duration = Duration::from_seconds(6);
/// The channel is not asked again for a customer when something was learned or tried so recently.
const ASK_EVERY: Duration = Duration::from_seconds(3);
const RETRY_AFTER_SECONDS: u32 = 3;

/// Adds the cashier. Called once in each worker.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .app_data(web::Data::new(live::Streams::default()))
        .app_data(web::Data::new(Exchanges::default()))
        .route("/c/{token}", crate::web::reading().to(show))
        .route("/c/{token}/method", web::post().to(choose))
        .route("/c/{token}/cancel", web::post().to(cancel))
        .route("/c/{token}/return", crate::web::reading().to(come_back))
        // UnionPay's page sends the browser back with a form. It is not read.
        .route("/c/{token}/return", web::post().to(come_back))
        .route("/c/{token}/code.png", crate::web::reading().to(picture))
        .route("/c/{token}/wechat", web::get().to(introduction::leave))
        .route("/c/{token}/wechat/back", web::get().to(introduction::come_back))
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

/// The same for a page: how it is to be spoken, and the payment; or the page that says that there is none.
pub(super) async fn seen_or_page(
    request: &HttpRequest,
    gateway: &Gateway,
    token: &str,
) -> Result<(Page, Seen), HttpResponse> {
    let page = Page::read(request, gateway.env.now());
    match see(gateway, token).await {
        Ok(Some(seen)) => Ok((page, seen)),
        Ok(None) => Err(lost_page(page, Lost::NoSuchLink)),
        Err(error) => Err(trouble(page, &error)),
    }
}

impl Seen {
    pub fn stage(&self, gateway: &Gateway, visitor: &Visitor, now: Timestamp) -> Stage {
        let offers = gateway.channels.offers(self.scope, Some(self.payment.amount));
        let known = self.payment.customer.openid.is_some();
        let introduce = !known && self.introducer(gateway).is_some();
        // An order inside WeChat names its payer. Where nobody can tell who that is, there is none.
        let possible = |method: &Method| *method != Method::WechatJsapi || known || introduce;
        let offers: Vec<Method> = offers.iter().map(|offer| offer.method).filter(possible).collect();
        let visit = Visit {
            device: visitor.device(self.scope.mode),
            wish: visitor.wish,
            mine: self.attempt.as_ref().is_some_and(|attempt| visitor.began(gateway, attempt.id)),
            introduce,
            // In test mode the code is shown with a word about it.
            reachable: self.scope.mode == Mode::Test || is_reachable(&gateway.settings.public_url),
        };
        Stage::of(&self.payment, self.attempt.as_ref(), &offers, visit, now)
    }

    /// Where the simulated payer's phone is for the code that is shown: the test wallet's codes are its address, those of
    /// other simulated providers are what the real ones show.
    fn test_phone(&self, gateway: &Gateway, world: Option<&web::Data<World>>, stage: &Stage) -> Option<String> {
        let Stage::Scan { data, .. } = stage else { return None };
        if self.scope.mode != Mode::Test {
            return None;
        }
        let account = gateway.channels.get(self.attempt.as_ref()?.account)?;
        match account.account.kind {
            ChannelKind::TestWallet => Some(data.clone()),
            // An account with an address of its own is simulated somewhere else.
            _ if account.account.base_url.is_some() => None,
            kind @ (ChannelKind::WechatPay | ChannelKind::Alipay | ChannelKind::Unionpay) => {
                world?.phone_url(kind.code(), data)
            }
        }
    }

    /// What the customer can do after the current attempt was refused.
    fn advice(&self) -> Option<Text> {
        let failed = self.attempt.as_ref().filter(|attempt| attempt.state == AttemptState::Failed)?;
        let advice = explain(failed.trouble.as_ref()?).customer;
        // It has ended: there is nothing to wait for.
        Some(advice).filter(|advice| *advice != sentences::BEING_CHECKED)
    }

    /// Differs whenever the page would look different.
    pub fn mark(&self, stage: &Stage) -> String {
        let Payment { version, attempts, .. } = &self.payment;
        let trouble = u8::from(matches!(stage, Stage::Preparing { trouble: true, .. }));
        format!("{}.{version}.{}.{trouble}", stage.code(), attempts.len())
    }

    /// Whether the cashier can begin this way to pay at all. The others begin in the shop's app or at its till.
    pub fn may_begin(&self, method: Method) -> bool {
        let begins = match method.flow() {
            Flow::QrCode | Flow::Redirect => true,
            Flow::JsApi => method == Method::WechatJsapi,
            Flow::App | Flow::BarCode => false,
        };
        begins && self.payment.method.is_none_or(|fixed| fixed == method)
    }
}

impl Wish {
    /// What stays in the address from page to page.
    pub(super) fn kept_query(self) -> String {
        self.pretend.map_or_else(String::new, |word| format!("?as={word}"))
    }

    /// The query that makes this wish again, for live status.
    fn query(self) -> String {
        // Only this one changes the face without changing the payment.
        if self.choose { self.with("choose=1") } else { self.kept_query() }
    }

    /// What stays, and this.
    fn with(self, query: &str) -> String {
        match (self.pretend, query) {
            (_, "") => self.kept_query(),
            (None, query) => format!("?{query}"),
            (Some(word), query) => format!("?{query}&as={word}"),
        }
    }

    /// Back to the page.
    pub(super) fn back_to(self, token: &str, query: &str) -> HttpResponse {
        let place = format!("/c/{token}{}", self.with(query));
        HttpResponse::SeeOther().insert_header((header::LOCATION, place)).finish()
    }
}

async fn show(request: HttpRequest, gateway: web::Data<Gateway>, token: web::Path<String>) -> HttpResponse {
    let (page, seen) = match seen_or_page(&request, &gateway, &token).await {
        Ok(found) => found,
        Err(page) => return page,
    };
    let now = page.now;
    let spoken = seen.payment.customer.locale.as_deref().and_then(Lang::from_tag);
    let page = spoken.map_or_else(|| page.clone(), |lang| page.clone().prefer(&request, lang));
    let page = page.in_zone(&seen.merchant.zone);
    let visitor = Visitor::of(&request);
    let stage = seen.stage(&gateway, &visitor, now);
    let mark = seen.mark(&stage);
    let bill = Bill::of(&seen.merchant, &seen.payment, seen.scope.mode);
    let links = Links::of(format!("/c/{token}"), visitor.wish.query(), visitor.wish.kept_query(), &seen.payment);
    let device = visitor.device(seen.scope.mode);
    let extras = Extras {
        device,
        address: gateway.checkout_url(seen.scope, seen.payment.id),
        reachable: is_reachable(&gateway.settings.public_url),
        stand_in: seen.stand_in(&gateway, &stage),
        test_phone: seen.test_phone(&gateway, request.app_data::<web::Data<World>>(), &stage),
        advice: seen.advice(),
    };
    let policy = form_target(&stage, &extras).and_then(csp_with_form_target);
    let body = CashierPage::new(page.clone(), bill, links, stage, extras, mark);
    let mut response = page.respond(StatusCode::OK, &body);
    if let Some(policy) = policy {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

impl Seen {
    /// In test mode, the page that plays WeChat for those who are not in it.
    fn stand_in(&self, gateway: &Gateway, stage: &Stage) -> Option<String> {
        let Stage::Bridge { .. } = stage else { return None };
        let open = gateway.channels.get(self.attempt.as_ref()?.account)?;
        if self.scope.mode == Mode::Live {
            return None;
        }
        open.channel.introduction()?.stand_in()
    }
}

/// The code on the page as a picture: WeChat reads pictures that are pressed long, and nothing else.
async fn picture(request: HttpRequest, gateway: web::Data<Gateway>, token: web::Path<String>) -> HttpResponse {
    let Ok(Some(seen)) = see(&gateway, &token).await else { return HttpResponse::NotFound().finish() };
    let stage = seen.stage(&gateway, &Visitor::of(&request), gateway.env.now());
    let Stage::Scan { data, .. } = stage else { return HttpResponse::NotFound().finish() };
    match QrCode::draw(&data, "") {
        Ok(code) => HttpResponse::Ok().content_type("image/png").body(code.to_png()),
        Err(_) => HttpResponse::NotFound().finish(),
    }
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
    let (page, seen) = match seen_or_page(&request, &gateway, &token).await {
        Ok(found) => found,
        Err(page) => return page,
    };
    let wish = Visitor::of(&request).wish;
    let Some(method) = Method::parse(&choice.method).filter(|method| seen.may_begin(*method)) else {
        return wish.back_to(&token, "unavailable=1");
    };
    if method.flow() == Flow::JsApi && seen.payment.customer.openid.is_none() {
        // A form may not lead to WeChat, so the page does.
        let known = seen.introducer(&gateway).map_or("unavailable=1", |_| "introduce=1");
        return wish.back_to(&token, known);
    }
    let Some(route) = gateway.route(seen.scope, method, seen.payment.amount) else {
        return wish.back_to(&token, "unavailable=1");
    };
    // WeChat compares the address with the one that opens its page; nobody else asks for it.
    let told = seen.payment.customer.ip;
    let ip = if method == Method::WechatH5 { payer_ip(told, address_of(&request)) } else { None };
    let beginning = Beginning { method, route, chooser: Chooser { ip, openid: None } };
    begin(&gateway, &seen, &token, page, wish, beginning).await
}

/// What is about to begin.
pub(super) struct Beginning {
    pub method: Method,
    pub route: Route,
    pub chooser: Chooser,
}

/// Begins an attempt, waits a moment for the channel, and goes back to the page; the browser keeps that it was the one.
pub(super) async fn begin(
    gateway: &Gateway,
    seen: &Seen,
    token: &str,
    page: Page,
    wish: Wish,
    beginning: Beginning,
) -> HttpResponse {
    let (scope, id) = (seen.scope, seen.payment.id);
    // Watched before it is written, so that no answer falls between.
    let mut watch = gateway.changes.watch(id);
    let moment = Moment::new(&gateway.env);
    let begun = gateway.store.write(move |tx| {
        let Beginning { method, route, chooser } = &beginning;
        payments::choose_method_as(tx, scope, id, *method, *route, chooser, &mut moment.clone())
            .map(|attempt| attempt.id)
    });
    let attempt = match begun.await {
        Ok(attempt) => attempt,
        // Ended, paid or tried too often meanwhile: the page says which.
        Err(FlowError::Refused(_)) => return wish.back_to(token, ""),
        Err(error) => return trouble(page, &error),
    };
    let ready = async {
        while preparing(gateway, scope, id).await {
            watch.changed().await;
        }
    };
    // Not ready in time is no error: the page shows that it is being prepared, and goes on looking.
    drop(tokio::time::timeout(CHANNEL_WAIT.to_std(), ready).await);
    let mut response = wish.back_to(token, "go=1");
    drop(response.add_cookie(&begun_cookie(gateway, attempt, format!("/c/{token}"))));
    response
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
    let Some((scope, id)) = gateway.read_checkout_token(&token) else { return lost_page(page, Lost::NoSuchLink) };
    let moment = Moment::new(&gateway.env);
    let ended = gateway
        .store
        .write(move |tx| {
            payments::end(tx, scope, id, Ending::CancelByCustomer, Actor::Customer, &mut moment.clone()).map(drop)
        })
        .await;
    match ended {
        Ok(()) | Err(FlowError::Refused(_)) => Visitor::of(&request).wish.back_to(&token, ""),
        Err(error) => trouble(page, &error),
    }
}

/// The browser comes back from a wallet. That proves nothing, whatever the address claims: the channel is asked, and the
/// page shows what is stored.
async fn come_back(request: HttpRequest, gateway: web::Data<Gateway>, token: web::Path<String>) -> HttpResponse {
    let page = Page::read(&request, gateway.env.now());
    let Some((scope, id)) = gateway.read_checkout_token(&token) else { return lost_page(page, Lost::NoSuchLink) };
    let moment = Moment::new(&gateway.env);
    match gateway.store.write(move |tx| ask_unless_just_asked(tx, scope, id, moment)).await {
        Ok(()) | Err(FlowError::Refused(_)) => Visitor::of(&request).wish.back_to(&token, "returned=1"),
        Err(error) => trouble(page, &error),
    }
}

/// Asks the channel now, but no more often than every few seconds, because anybody with the link can come here.
pub fn ask_unless_just_asked(
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
    pub async fn read(gateway: &Gateway, token: &str, visitor: &Visitor) -> Result<Option<Status>, FlowError> {
        let Some(seen) = see(gateway, token).await? else { return Ok(None) };
        let stage = seen.stage(gateway, visitor, gateway.env.now());
        let mark = seen.mark(&stage);
        Ok(Some(Status { mark, status: seen.payment.state.code(), done: !stage.is_waiting() }))
    }
}

async fn status(request: HttpRequest, gateway: web::Data<Gateway>, token: web::Path<String>) -> HttpResponse {
    match Status::read(&gateway, &token, &Visitor::of(&request)).await {
        Ok(Some(status)) => HttpResponse::Ok().json(status),
        Ok(None) => HttpResponse::NotFound().finish(),
        Err(error) => {
            tracing::error!("a cashier status could not be read: {error}");
            HttpResponse::ServiceUnavailable().insert_header((header::RETRY_AFTER, RETRY_AFTER_SECONDS)).finish()
        }
    }
}

pub(super) fn lost_page(page: Page, lost: Lost) -> HttpResponse {
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

pub(super) fn trouble(page: Page, error: &FlowError) -> HttpResponse {
    match error {
        FlowError::Refused(_) => lost_page(page, Lost::NoSuchLink),
        FlowError::Store(StoreError::Busy) => lost_page(page, Lost::Busy),
        FlowError::Store(_) | FlowError::Books(_) => {
            tracing::error!("the cashier could not answer: {error}");
            lost_page(page, Lost::Broken)
        }
    }
}
