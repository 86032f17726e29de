//! Style sheets, scripts and pictures, compiled in and served at `/static/{name}?v={hash}`.

use std::fmt;
use std::sync::LazyLock;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

/// One file that pages refer to. Printed in a template it is its address: `<link href="{{ crate::web::Asset::CofferCss }}">`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asset {
    CofferCss,
    CofferJs,
    CashierCss,
    CashierJs,
    /// For the phone page and the demo's shop.
    SandboxCss,
    Favicon,
}

impl Asset {
    const ALL: [Asset; 6] =
        [Asset::CofferCss, Asset::CofferJs, Asset::CashierCss, Asset::CashierJs, Asset::SandboxCss, Asset::Favicon];

    /// The last part of the address.
    pub const fn name(self) -> &'static str {
        match self {
            Asset::CofferCss => "coffer.css",
            Asset::CofferJs => "coffer.js",
            Asset::CashierCss => "cashier.css",
            Asset::CashierJs => "cashier.js",
            Asset::SandboxCss => "sandbox.css",
            Asset::Favicon => "favicon.svg",
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Asset::CofferCss | Asset::CashierCss | Asset::SandboxCss => "text/css; charset=utf-8",
            Asset::CofferJs | Asset::CashierJs => "text/javascript; charset=utf-8",
            Asset::Favicon => "image/svg+xml",
        }
    }

    /// The file itself. Style sheets begin with the tokens that they share.
    pub const fn body(self) -> &'static str {
        match self {
            Asset::CofferCss => {
                concat!(include_str!("../../static/tokens.css"), include_str!("../../static/coffer.css"))
            }
            Asset::CofferJs => include_str!("../../static/coffer.js"),
            Asset::CashierCss => {
                concat!(include_str!("../../static/tokens.css"), include_str!("../../static/cashier.css"))
            }
            Asset::CashierJs => include_str!("../../static/cashier.js"),
            Asset::SandboxCss => {
                concat!(include_str!("../../static/tokens.css"), include_str!("../../static/sandbox.css"))
            }
            Asset::Favicon => include_str!("../../static/favicon.svg"),
        }
    }

    /// Hexadecimal digits that change with the content.
    fn version(self) -> &'static str {
        &VERSIONS[self as usize]
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/static/{}?v={}", self.name(), self.version())
    }
}

/// Derived from constants once, because pages print it in every head.
static VERSIONS: LazyLock<[String; Asset::ALL.len()]> = LazyLock::new(|| {
    Asset::ALL.map(|asset| {
        let digest = ring::digest::digest(&ring::digest::SHA256, asset.body().as_bytes());
        data_encoding::HEXLOWER.encode(&digest.as_ref()[..8])
    })
});

/// Adds `/static/{name}`.
pub fn routes(config: &mut web::ServiceConfig) {
    config.route("/static/{name}", super::reading().to(serve));
}

async fn serve(request: HttpRequest, name: web::Path<String>) -> HttpResponse {
    let Some(asset) = Asset::ALL.into_iter().find(|asset| asset.name() == name.as_str()) else {
        return HttpResponse::NotFound().content_type("text/plain; charset=utf-8").body("no such file\n");
    };
    let etag = format!("\"{}\"", asset.version());
    // An address without the current hash is somebody's bookmark: it may be asked again at any time.
    let current = request.query_string().strip_prefix("v=") == Some(asset.version());
    let caching = if current { "public, max-age=31536000, immutable" } else { "no-cache" };
    let known = request
        .headers()
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag));
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((header::ETAG, etag)).insert_header((header::CACHE_CONTROL, caching));
    if known { response.finish() } else { response.content_type(asset.content_type()).body(asset.body()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_asset_finds_itself_by_its_number() {
        for (number, asset) in Asset::ALL.into_iter().enumerate() {
            assert_eq!(asset as usize, number);
        }
    }

    /// What a customer's phone loads before it can pay, without the code itself.
    #[test]
    fn the_cashiers_files_stay_small() {
        let bytes = Asset::CashierCss.body().len() + Asset::CashierJs.body().len() + Asset::Favicon.body().len();
        assert!(bytes < 24_000, "{bytes} bytes");
    }
}
