//! The simulators' own pages, the same for every provider: how to point a program at them, the merchant's credentials, the
//! payer's phone, the fault board and the time machine; and the same as JSON for scripts.

mod api;
mod board;
mod home;
pub(in crate::sandbox) mod phone;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};

use super::World;
use crate::store::StoreError;
use crate::web::{ErrorPage, Page, Trouble};

/// Below the server's address.
pub const PATH: &str = "/sim";
/// Largest form or JSON body, in bytes.
const FORM_MAX_BYTES: usize = 16 * 1024;

/// Who may use the pages that show everybody's orders, hand out credentials and move the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controls {
    /// A simulator or a demo on the developer's own machine.
    Open,
    /// A server that strangers reach: only a payer with an order's own code finds a page.
    Closed,
}

/// Adds the pages; the application holds a `web::Data<World>`.
pub fn routes(controls: Controls) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        let open = controls == Controls::Open;
        config.service(
            web::scope(PATH).app_data(web::PayloadConfig::new(FORM_MAX_BYTES)).app_data(controls).configure(|scope| {
                if open {
                    home::routes(scope);
                    board::routes(scope);
                    api::routes(scope);
                }
                phone::routes(scope, open);
            }),
        );
    }
}

/// A form that another site had the browser send is not the reader's own will.
fn is_foreign(request: &HttpRequest) -> bool {
    let site = request.headers().get("sec-fetch-site").and_then(|value| value.to_str().ok());
    site.is_some_and(|site| site == "cross-site" || site == "same-site")
}

fn see(place: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, place)).finish()
}

fn missing(page: &Page) -> HttpResponse {
    ErrorPage::new(page, Trouble::NotFound, PATH).respond()
}

fn busy(page: &Page, error: &StoreError) -> HttpResponse {
    tracing::warn!("a simulator's page could not reach the store: {error}");
    ErrorPage::new(page, Trouble::Busy { retry_after_seconds: 3 }, PATH).respond()
}

async fn read_page(request: &HttpRequest, world: &World) -> Page {
    Page::read(request, world.now().await.unwrap_or_else(|_| world.wire_now()))
}

fn respond(page: &Page, body: &impl askama::Template) -> HttpResponse {
    page.respond(StatusCode::OK, body)
}
