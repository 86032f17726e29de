//! What every page shares: texts, assets, headers, formatting, pictures. The cashier, the console, the sandbox and the
//! documents are built on it; it knows none of them.
//!
//! How a page is made: the handler reads a [`Page`] from the request, fills a struct that derives `askama::Template`
//! and holds that `Page` in a field named `page`, and answers with [`Page::respond`]. Templates extend `base.html` (or
//! `console/frame.html`, with a [`Frame`] in a field named `frame`) and write `{{ page.time(at) }}`,
//! `{{ page.money(amount) }}`, `{{ page.id(id) }}`, `{{ crate::web::Icon::Search }}`.
//!
//! There is one way to write a text: both languages beside their use, `page.t("收款", "Payments")` in a template and
//! `lang.t(…)` in code; a sentence with values inside is `{% if page.zh() %}共 {{ n }} 笔{% else %}{{ n }} payments{% endif %}`.

mod assets;
mod chart;
mod error_pages;
mod frame;
mod icon;
mod page;
mod peer;
mod qr;
mod security_headers;
mod streamed;

use actix_web::guard::{Any, Get, Head};

pub use crate::lang::Lang;
pub use assets::{Asset, routes as asset_routes};
pub use chart::{Day, DayChart, Share, Shares};
pub use error_pages::{ErrorPage, Trouble};
pub use frame::{COUNT_MAX, Counts, Frame, MerchantChoice, Room};
pub use icon::Icon;
pub use page::{IdTag, MoneyTag, Page, Theme, TimeTag};
pub use peer::{Proxies, address_of, client_of};
pub use qr::{QrCode, QrTooLong};
pub use security_headers::{csp_with_form_target, security_headers};
pub use streamed::Streamed;

/// A route that reads: GET, and HEAD for whoever wants the headers alone (RFC 9110, 9.3.2). The server leaves the body out.
pub fn reading() -> actix_web::Route {
    actix_web::web::route().guard(Any(Get()).or(Head()))
}
