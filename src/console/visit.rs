//! From a request to the person and the page: everything that has to be true before a page runs is checked here, once.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::Console;
use super::auth::records::{Session, User, device_of};
use super::auth::roles::{Permission, Role};
use super::auth::session::{Token, is_own_origin};
use super::auth::sessions;
use super::fields::{BadFields, FORM_BYTES_MAX, Fields};
use super::routes::{Door, Route, allowed_rooms};
use super::{refunds, words};
use crate::audit::log::Stamp;
use crate::audit::{Action, Actor, Detail, INSTALLATION};
use crate::domain::ids::{MerchantId, RequestId, Scope};
use crate::domain::merchant::Merchant;
use crate::domain::time::Timestamp;
use crate::env::client_address::rate_network;
use crate::flows::{FlowError, Refusal};
use crate::store::tables::{CASES_OPEN, ENDPOINTS_FAILING, MERCHANTS, PROPOSALS_WAITING};
use crate::store::{Order, Read, Span, StoreError};
use crate::web::{COUNT_MAX, Counts, ErrorPage, Frame, MerchantChoice, Page, Room, Trouble, client_of};

/// Characters of the place to return to after a login.
const NEXT_CHARS_MAX: usize = 500;

/// What a page answers.
pub type Reply = Result<HttpResponse, Problem>;
/// A page at work.
pub type Running = Pin<Box<dyn Future<Output = Reply>>>;

/// Why a page does not answer itself.
#[derive(Debug)]
pub enum Problem {
    /// No such thing, or another merchant's.
    NotFound,
    /// The role does not allow it.
    Forbidden,
    /// The form is not from a page of this session: it is shown again rather than obeyed.
    Forged,
    /// Not a form that a page of ours could have sent.
    Malformed,
    Busy,
    /// Nobody is logged in here.
    LoggedOut,
    /// The password was right; the second factor is still due.
    HalfLoggedIn,
    /// The second factor was given too long ago for this step.
    VerifyFirst,
    /// A bug, or a broken machine.
    Internal(String),
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Problem::Busy,
            other => Problem::Internal(chain_of(&other)),
        }
    }
}

impl From<FlowError> for Problem {
    fn from(error: FlowError) -> Self {
        match error {
            FlowError::Store(error) => error.into(),
            FlowError::Refused(Refusal::PaymentNotFound | Refusal::RefundNotFound)
            | FlowError::Refused(Refusal::EventNotFound | Refusal::EndpointNotFound)
            | FlowError::Refused(Refusal::CaseNotFound | Refusal::ProposalNotFound) => Problem::NotFound,
            // Pages that can be refused for other reasons say so themselves.
            refused @ (FlowError::Refused(_) | FlowError::Books(_)) => Problem::Internal(chain_of(&refused)),
        }
    }
}

impl From<super::auth::password::Busy> for Problem {
    fn from(_: super::auth::password::Busy) -> Self {
        Problem::Busy
    }
}

impl From<BadFields> for Problem {
    fn from(_: BadFields) -> Self {
        Problem::Malformed
    }
}

fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// One request, read.
pub struct Visit {
    pub console: Console,
    pub page: Page,
    pub now: Timestamp,
    pub query: Fields,
    pub form: Fields,
    pub ip: IpAddr,
    pub device: String,
    /// From the cookie, or new. Known to the store only when somebody is logged in.
    pub token: Token,
    path: Vec<(String, String)>,
    /// Path and query, to come back to.
    here: String,
    request: HttpRequest,
}

/// One request of somebody who is logged in (or half: the routes say which).
pub struct Member {
    pub visit: Visit,
    pub user: User,
    pub session: Session,
    pub role: Role,
    pub merchant: Merchant,
    /// Names of the merchants the person may switch to.
    merchants: Vec<(MerchantId, String)>,
    counts: Counts,
}

impl std::ops::Deref for Member {
    type Target = Visit;
    fn deref(&self) -> &Visit {
        &self.visit
    }
}

impl Visit {
    async fn read(console: Console, request: HttpRequest, body: web::Payload) -> Result<Visit, (Page, Problem)> {
        let now = console.env().now();
        let page = Page::read(&request, now);
        let fail = |problem| (page.clone(), problem);
        let query = Fields::parse(request.query_string().as_bytes()).map_err(|bad| fail(bad.into()))?;
        let form = if request.method() == Method::POST {
            let urlencoded = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let urlencoded = urlencoded.and_then(|value| value.split(';').next()).map(str::trim);
            if !urlencoded.is_some_and(|kind| kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")) {
                return Err(fail(Problem::Malformed));
            }
            match body.to_bytes_limited(FORM_BYTES_MAX).await {
                Ok(Ok(bytes)) => Fields::parse(&bytes).map_err(|bad| fail(bad.into()))?,
                Ok(Err(_)) | Err(_) => return Err(fail(Problem::Malformed)),
            }
        } else {
            Fields::default()
        };
        let header_text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let ip = client_of(&request, &console.0.trusted_proxies);
        let device = device_of(header_text(header::USER_AGENT).unwrap_or(""));
        let token = request.cookie(console.cookie_kind().name()).and_then(|cookie| Token::parse(cookie.value()));
        let token = token.unwrap_or_else(|| Token::generate(console.env().entropy.as_ref()));
        let path = request.match_info().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let here = request.uri().path_and_query().map_or("/console", |here| here.as_str()).to_owned();
        Ok(Visit { now, query, form, ip, device, token, path, here, page, console, request })
    }

    /// A part of the path, parsed; what does not parse does not exist.
    pub fn part<T: std::str::FromStr>(&self, name: &str) -> Result<T, Problem> {
        let value = self.path.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
        value.and_then(|value| value.parse().ok()).ok_or(Problem::NotFound)
    }

    /// The token that every form carries.
    pub fn csrf(&self) -> String {
        self.token.form_token()
    }

    pub fn stamp(&self, actor: Actor) -> Stamp {
        Stamp { at: self.now, actor, ip: self.ip.to_string() }
    }

    /// What failures from this place are counted under.
    pub fn rate_key(&self) -> [u8; 32] {
        rate_key("address", &rate_network(self.ip).to_string())
    }

    /// A page with a status.
    pub fn render(&self, status: StatusCode, body: &impl Template) -> HttpResponse {
        self.page.respond(status, body)
    }

    /// Carries on at another page of ours.
    pub fn go(&self, path: &str) -> HttpResponse {
        HttpResponse::SeeOther().insert_header((header::LOCATION, path.to_owned())).finish()
    }

    /// As [`Visit::go`], with a new session token.
    pub fn go_with(&self, path: &str, token: &Token) -> HttpResponse {
        let mut response = self.go(path);
        response.add_cookie(&self.console.cookie_kind().carry(token)).expect("our cookie is a valid header");
        response
    }

    /// Where to go after a login: only paths of the console itself.
    pub fn next(&self) -> String {
        let asked = if self.form.has("next") { self.form.text("next") } else { self.query.text("next") };
        own_path(asked).unwrap_or("/console").to_owned()
    }

    /// Whether the form belongs to this session and comes from a page of ours.
    fn is_own_form(&self) -> bool {
        let header_text = |name: &str| self.request.headers().get(name).and_then(|value| value.to_str().ok());
        is_own_origin(header_text("origin"), header_text("sec-fetch-site"), &self.console.0.own_origins)
            && self.token.is_form_token(self.form.raw("csrf"))
    }
}

impl Member {
    async fn enter(visit: Visit) -> Result<Member, (Visit, Problem)> {
        let (token, now) = (visit.token.clone(), visit.now);
        let found = visit.console.store().read(move |tx| {
            let Some((session, user)) = sessions::find(tx, &token, now)? else { return Ok::<_, StoreError>(None) };
            let merchants = user.memberships.iter().map(|m| tx.get(&MERCHANTS, &m.merchant));
            let merchants: Vec<Merchant> = merchants.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
            let merchant = merchants.iter().find(|merchant| merchant.id == session.scope.merchant).cloned();
            let names = merchants.into_iter().map(|merchant| (merchant.id, merchant.name)).collect();
            let role = user.role_at(session.scope.merchant);
            let counts = counts(tx, session.scope)?;
            Ok(merchant.zip(role).map(|(merchant, role)| (session, user, role, merchant, names, counts)))
        });
        match found.await {
            Ok(Some((session, user, role, merchant, merchants, counts))) => {
                let mut visit = visit;
                let mut page = visit.page.clone().in_zone(&merchant.zone);
                if let Some(lang) = user.language {
                    page = page.prefer(&visit.request, lang);
                }
                visit.page = page;
                Ok(Member { visit, user, session, role, merchant, merchants, counts })
            }
            Ok(None) => Err((visit, Problem::LoggedOut)),
            Err(error) => Err((visit, error.into())),
        }
    }

    /// Whose rows this person sees. Every query of a page carries it, so another merchant's things do not exist.
    pub fn scope(&self) -> Scope {
        self.session.scope
    }

    /// The merchant's audit chain.
    pub fn chain(&self) -> MerchantId {
        self.session.scope.merchant
    }

    pub fn may(&self, permission: Permission) -> bool {
        self.role.may(permission)
    }

    /// Who acts now, for the audit record that is written with a change.
    pub fn stamp(&self) -> Stamp {
        self.visit.stamp(Actor::User(self.user.id))
    }

    /// What surrounds a page of this room.
    pub fn frame(&self, room: Room) -> Frame {
        Frame {
            room,
            mode: self.session.scope.mode,
            merchants: self
                .merchants
                .iter()
                .map(|(id, name)| MerchantChoice {
                    id: id.to_string(),
                    name: name.clone(),
                    current: *id == self.merchant.id,
                })
                .collect(),
            rooms: allowed_rooms(self.role),
            user_name: self.user.name.clone(),
            role_name: role_name(self.role).get(self.page.lang).to_owned(),
            csrf: self.csrf(),
            counts: self.counts,
            search: String::new(),
        }
    }

    /// What the request before this one did, told once.
    pub fn done(&self) -> Option<&'static str> {
        words::done_text(self.query.text("done"), self.page.lang)
    }

    /// Says why a flow refused, with the way back; other failures are problems.
    pub fn refuse(&self, error: FlowError, back: &str) -> Reply {
        let refusal = match error {
            FlowError::Refused(refusal) => refusal,
            other => return Err(other.into()),
        };
        if let Problem::NotFound = Problem::from(FlowError::Refused(refusal.clone())) {
            return Err(Problem::NotFound);
        }
        let why = words::refusal_text(&refusal, &self.page);
        let title = self.page.t("没有执行", "Nothing was done");
        let notice = Notice::new(&self.page, title, &why, self.page.t("返回", "Back"), back);
        Ok(notice.respond(&self.page, StatusCode::CONFLICT))
    }

    async fn seen(&self) -> Result<(), StoreError> {
        if !self.session.is_seen_stale(self.now) {
            return Ok(());
        }
        let (hash, now) = (self.token.hash(), self.now);
        let store = self.console.store();
        store.write(move |tx| sessions::update(tx, hash, |session| session.last_seen_at = now)).await
    }

    async fn refused(&self, action: Action, route: &Route) -> Result<(), StoreError> {
        let (stamp, chain, role) = (self.stamp(), self.chain(), self.role);
        let asked = format!("{} {}", self.request.method(), route.path);
        let store = self.console.store();
        store
            .write(move |tx| {
                stamp.record(tx, chain, action, "", Detail::new().with("asked", &asked).with("role", role))
            })
            .await
    }
}

/// What needs attention, from the lists of what does.
fn counts(tx: &impl Read, scope: Scope) -> Result<Counts, StoreError> {
    let of_scope = Span::prefix(&scope);
    Ok(Counts {
        failing_endpoints: tx.scan(&ENDPOINTS_FAILING, &of_scope, Order::Ascending, COUNT_MAX + 1)?.len(),
        to_do: tx.scan(&CASES_OPEN, &of_scope, Order::Ascending, COUNT_MAX + 1)?.len()
            + tx.scan(&PROPOSALS_WAITING, &of_scope, Order::Ascending, COUNT_MAX + 1)?.len()
            + refunds::for_a_person(tx, scope, COUNT_MAX + 1)?.len(),
    })
}

/// Answers one request for one route of the table.
pub async fn answer(route: &'static Route, console: Console, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let is_change = request.method() == Method::POST;
    let visit = match Visit::read(console.clone(), request.clone(), body).await {
        Ok(visit) => visit,
        Err((page, problem)) => return problem_page(&page, &problem, &request, "/console"),
    };
    let (page, here, token) = (visit.page.clone(), visit.here.clone(), visit.token.clone());
    // Where a refused step leads back to: a form cannot be asked for again by GET, the page that it stood on can.
    let back = if is_change { came_from(&request) } else { here };
    let reply = run(route, visit, is_change).await;
    let mut response = match reply {
        Ok(response) => response,
        Err(problem) => problem_page(&page, &problem, &request, &back),
    };
    // A visitor without a session gets a token for the forms of the login pages; it is worth nothing else.
    let kind = console.cookie_kind();
    let has_one = request.cookie(kind.name()).is_some_and(|cookie| Token::parse(cookie.value()).is_some());
    if !has_one && !response.cookies().any(|cookie| cookie.name() == kind.name()) {
        response.add_cookie(&kind.carry(&token)).expect("our cookie is a valid header");
    }
    response
}

async fn run(route: &'static Route, visit: Visit, is_change: bool) -> Reply {
    if let Door::Open(page) = route.door {
        if is_change && !visit.is_own_form() {
            let stamp = visit.stamp(Actor::Stranger);
            let asked = format!("POST {}", route.path);
            let store = visit.console.store().clone();
            let write = store.write(move |tx| {
                stamp.record(tx, INSTALLATION, Action::FormRefused, "", Detail::new().with("asked", &asked))
            });
            write.await?;
            return Err(Problem::Forged);
        }
        return page(visit).await;
    }
    let member = match Member::enter(visit).await {
        Ok(member) => member,
        Err((_, problem)) => return Err(problem),
    };
    if is_change && !member.is_own_form() {
        member.refused(Action::FormRefused, route).await?;
        return Err(Problem::Forged);
    }
    let page = match route.door {
        Door::Open(_) => unreachable!("answered above"),
        Door::Half(page) => {
            return page(member).await;
        }
        Door::Inside(page) => page,
        Door::Room { needs, verified, page } => {
            if !member.session.second_factor_due {
                if !member.role.may(needs) {
                    member.refused(Action::Refused, route).await?;
                    return Err(Problem::Forbidden);
                }
                if verified && !member.session.is_verified(member.now) {
                    return Err(Problem::VerifyFirst);
                }
            }
            page
        }
    };
    if member.session.second_factor_due {
        return Err(Problem::HalfLoggedIn);
    }
    member.seen().await?;
    page(member).await
}

fn problem_page(page: &Page, problem: &Problem, request: &HttpRequest, back: &str) -> HttpResponse {
    let to = |path: &str| {
        let next: String = url::form_urlencoded::byte_serialize(back.as_bytes()).collect();
        let location = if back == "/console" { path.to_owned() } else { format!("{path}?next={next}") };
        HttpResponse::SeeOther().insert_header((header::LOCATION, location)).finish()
    };
    let trouble = match problem {
        Problem::LoggedOut => return to("/console/login"),
        Problem::HalfLoggedIn => return to("/console/login/code"),
        Problem::VerifyFirst => return to("/console/confirm"),
        Problem::Forged => return Notice::forged(page).respond(page, StatusCode::FORBIDDEN),
        Problem::Malformed => return Notice::malformed(page).respond(page, StatusCode::BAD_REQUEST),
        Problem::NotFound => Trouble::NotFound,
        Problem::Forbidden => Trouble::Forbidden,
        Problem::Busy => Trouble::Busy { retry_after_seconds: 2 },
        Problem::Internal(error) => {
            let request_id =
                crate::signals::request_id(request).map_or_else(String::new, |id: RequestId| id.to_string());
            tracing::error!(request = %request_id, %error, "a console page failed");
            Trouble::Internal { request_id }
        }
    };
    ErrorPage::new(page, trouble, "/console").respond()
}

/// One sentence about what happened and one way on.
#[derive(Template)]
#[template(path = "console/notice.html")]
pub struct Notice<'a> {
    page: &'a Page,
    title: &'a str,
    what: &'a str,
    way: &'a str,
    href: &'a str,
}

impl<'a> Notice<'a> {
    pub fn new(page: &'a Page, title: &'a str, what: &'a str, way: &'a str, href: &'a str) -> Self {
        Self { page, title, what, way, href }
    }

    pub fn respond(&self, page: &Page, status: StatusCode) -> HttpResponse {
        page.respond(status, self)
    }

    fn forged(page: &'a Page) -> Self {
        Self::new(
            page,
            page.t("这张表单已经失效", "This form is no longer valid"),
            page.t(
                "它打开之后，您重新登录过，或者它不是从这里打开的。什么都没有执行，也没有动过款项。请回到页面再做一次。",
                "You have logged in again since it was opened, or it was not opened here. Nothing was done and no money was touched. Go back and do it once more.",
            ),
            page.t("回控制台", "Back to the console"),
            "/console",
        )
    }

    fn malformed(page: &'a Page) -> Self {
        Self::new(
            page,
            page.t("看不懂这个请求", "This request cannot be read"),
            page.t(
                "地址或表单里有重复、过长或不该出现的内容。什么都没有执行。",
                "The address or the form has repeated, oversized or impossible content. Nothing was done.",
            ),
            page.t("回控制台", "Back to the console"),
            "/console",
        )
    }
}

/// The page of ours that a form stood on.
fn came_from(request: &HttpRequest) -> String {
    let referer = request.headers().get(header::REFERER).and_then(|value| value.to_str().ok());
    let url = referer.and_then(|text| url::Url::parse(text).ok());
    let path = url.map(|url| url[url::Position::BeforePath..url::Position::AfterQuery].to_owned());
    path.as_deref().and_then(own_path).unwrap_or("/console").to_owned()
}

/// The key that something is counted under in the throttle.
pub fn rate_key(kind: &str, what: &str) -> [u8; 32] {
    let hash = ring::digest::digest(&ring::digest::SHA256, format!("{kind}\0{what}").as_bytes());
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// A path of the console, and nothing that a browser could read as another site.
fn own_path(path: &str) -> Option<&str> {
    let inside = path == "/console" || path.starts_with("/console/") || path.starts_with("/console?");
    let plain = path.len() <= NEXT_CHARS_MAX && path.chars().all(|c| c.is_ascii_graphic() && c != '\\');
    (inside && plain && !path.contains("//") && !path.contains("..")).then_some(path)
}

/// A role in words.
pub const fn role_name(role: Role) -> crate::lang::Text {
    use crate::lang::Text;
    match role {
        Role::Owner => Text::new("店主", "Owner"),
        Role::Admin => Text::new("管理员", "Admin"),
        Role::Finance => Text::new("财务", "Finance"),
        Role::Operator => Text::new("运营", "Operator"),
        Role::Support => Text::new("客服", "Support"),
        Role::Auditor => Text::new("审计", "Auditor"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_back_stays_inside_the_console() {
        for good in ["/console", "/console/payments?status=paid", "/console/payments/pay_0?x=%2F"] {
            assert_eq!(own_path(good), Some(good));
        }
        for bad in [
            "",
            "https://evil.example",
            "//evil.example",
            "/console//evil.example",
            "/\\evil.example",
            "/console\\evil",
            "/consoleevil",
            "/console/../admin",
            "javascript:alert(1)",
            "/console/\nSet-Cookie:x=1",
            "/c/token",
        ] {
            assert_eq!(own_path(bad), None, "{bad:?}");
        }
    }
}
