//! The demo's first page: every door, and what opens it, the one-time code of the moment included. Only for the machine
//! that the demo runs on.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::credentials::Credentials;
use crate::console::auth::totp::{STEP_SECONDS, TotpSecret, step_at};
use crate::env::Env;
use crate::sandbox::shop;
use crate::web::{ErrorPage, Page, Trouble};

/// What the page knows.
pub struct Start {
    shop: Credentials,
    authenticator: TotpSecret,
    env: Env,
}

impl Start {
    /// `None` when the authenticator's secret is no base32, which only a hand in the file can have done.
    pub fn new(shop: Credentials, env: Env) -> Option<Self> {
        let authenticator = TotpSecret::parse_base32(&shop.totp_secret)?;
        Some(Self { shop, authenticator, env })
    }
}

#[derive(Template)]
#[template(path = "demo/start.html")]
struct StartPage<'a> {
    page: &'a Page,
    shop: &'a Credentials,
    /// In two groups, as authenticators show it.
    code: String,
    /// Until the next code, in seconds.
    seconds_left: i64,
    folder_hint: &'static str,
}

/// Adds the page.
pub fn routes(start: web::Data<Start>, config: &mut web::ServiceConfig) {
    config.app_data(start).route("/", crate::web::reading().to(page));
}

async fn page(request: HttpRequest, start: web::Data<Start>) -> HttpResponse {
    let now = start.env.now();
    let page = Page::read(&request, now);
    if !is_at_home(&request, &start.shop.base_url) {
        return ErrorPage::new(&page, Trouble::NotFound, shop::PATH).respond();
    }
    let code = start.authenticator.code_at(step_at(now));
    let (head, tail) = code.split_at(code.len() / 2);
    let body = StartPage {
        page: &page,
        shop: &start.shop,
        code: format!("{head} {tail}"),
        seconds_left: STEP_SECONDS - now.as_seconds().rem_euclid(STEP_SECONDS),
        folder_hint: super::credentials::FILE,
    };
    let mut response = page.respond(StatusCode::OK, &body);
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

/// From this machine, by the name that was printed: a foreign page whose name was made to lead here has another.
fn is_at_home(request: &HttpRequest, base_url: &str) -> bool {
    let peer = request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    peer && host.is_some_and(|host| base_url.strip_prefix("http://") == Some(host))
}
