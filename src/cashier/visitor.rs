//! Who asks for a page: the device, what the address wishes for, and what the browser has kept from before.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration as CookieAge;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header;

use super::device::Device;
use super::stage::Wish;
use crate::domain::ids::AttemptId;
use crate::domain::ids::Mode;
use crate::domain::time::Duration;
use crate::env::target::{is_localhost, range_of};
use crate::flows::gateway::Gateway;

/// The longest query of this page that is understood. What is longer is no wish of ours.
const QUERY_MAX_BYTES: usize = 256;
/// Proves that this browser began the attempt that it is the code of.
const BEGUN_COOKIE: &str = "coffer_begun";
/// What the codes of that cookie are for.
const BEGUN: &str = "begun";
/// As long as a payment can be paid.
const BEGUN_KEPT: Duration = Duration::from_days(7);

/// The asker of one request.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    agent: String,
    pub wish: Wish,
    begun: Option<String>,
}

impl Visitor {
    pub fn of(request: &HttpRequest) -> Visitor {
        let agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Visitor {
            agent: agent.unwrap_or("").to_owned(),
            wish: wish_of(request.query_string()),
            begun: request.cookie(BEGUN_COOKIE).map(|cookie| cookie.value().to_owned()),
        }
    }

    /// Only where nobody is charged can one pretend to sit at another device.
    pub fn device(&self, mode: Mode) -> Device {
        match (mode, self.wish.pretend) {
            (Mode::Test, Some(word)) => Device::pretended(word),
            (Mode::Live, Some(_)) | (Mode::Test | Mode::Live, None) => Device::read(&self.agent),
        }
    }

    pub fn began(&self, gateway: &Gateway, attempt: AttemptId) -> bool {
        self.begun.as_ref().is_some_and(|code| gateway.sealed(BEGUN, &attempt.to_bytes(), code))
    }
}

/// What the browser keeps after it began an attempt. `path` is the payment's page.
pub(super) fn begun_cookie(gateway: &Gateway, attempt: AttemptId, path: String) -> Cookie<'static> {
    kept(gateway, BEGUN_COOKIE, gateway.seal(BEGUN, &attempt.to_bytes()), path, BEGUN_KEPT)
}

/// A cookie of one payment's page, which no script reads.
pub(super) fn kept(
    gateway: &Gateway,
    name: &'static str,
    value: String,
    path: String,
    kept: Duration,
) -> Cookie<'static> {
    Cookie::build(name, value)
        .path(path)
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(gateway.settings.public_url.starts_with("https://"))
        .max_age(CookieAge::seconds(i64::try_from(kept.as_seconds()).unwrap_or(i64::MAX)))
        .finish()
}

/// What the address wishes for. Anything else in it is ignored, whatever it claims.
fn wish_of(query: &str) -> Wish {
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
            "introduce" => wish.introduce = on,
            "as" => wish.pretend = Device::PRETENDED.into_iter().find(|word| *word == value),
            _ => {}
        }
    }
    wish
}

/// Where the payer is, for a channel that compares it with what it sees itself. The browser's own address is the right
/// one even where the shop told one, because another device may have opened the page; but behind a proxy that is not
/// configured every browser seems to sit in the machine room, and then the shop knows better.
pub(super) fn payer_ip(told: Option<IpAddr>, seen: IpAddr) -> Option<IpAddr> {
    if range_of(seen).is_none() { Some(seen) } else { told.or(Some(seen)) }
}

/// Whether a phone can open this address: not when it is another name for "this machine".
pub(super) fn is_reachable(public_url: &str) -> bool {
    let Ok(url) = url::Url::parse(public_url) else { return false };
    match url.host() {
        Some(url::Host::Ipv4(ip)) => !ip.is_loopback() && !ip.is_unspecified(),
        Some(url::Host::Ipv6(ip)) => !ip.is_loopback() && !ip.is_unspecified(),
        Some(url::Host::Domain(name)) => !is_localhost(name),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browsers_address_counts_unless_it_is_the_machine_rooms() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (told, seen, counts) in [
            (None, "8.8.4.4", "8.8.4.4"),
            (Some("1.1.1.1"), "8.8.4.4", "8.8.4.4"),
            (Some("1.1.1.1"), "127.0.0.1", "1.1.1.1"),
            (Some("1.1.1.1"), "10.0.0.2", "1.1.1.1"),
            (None, "192.168.1.20", "192.168.1.20"),
            (None, "2606:4700::1111", "2606:4700::1111"),
        ] {
            assert_eq!(payer_ip(told.map(ip), ip(seen)), Some(ip(counts)), "{told:?} {seen}");
        }
    }

    #[test]
    fn phones_cannot_open_this_machines_own_name() {
        for (url, opens) in [
            ("https://pay.example", true),
            ("http://192.168.1.5:8080", true),
            ("http://127.0.0.1:8080", false),
            ("http://localhost:8080", false),
            ("http://shop.localhost", false),
            ("http://[::1]:8080", false),
            ("http://0.0.0.0:8080", false),
        ] {
            assert_eq!(is_reachable(url), opens, "{url}");
        }
    }

    #[test]
    fn wishes_are_read_and_nothing_else_is() {
        let wish = wish_of("choose=1&go=1&paid=1&as=wechat&x=%ff");
        assert_eq!(wish, Wish { choose: true, forward: true, pretend: Some("wechat"), ..Wish::default() });
        assert_eq!(wish_of("as=administrator&returned=true"), Wish::default());
        assert_eq!(wish_of(&format!("choose=1&{}", "x".repeat(300))), Wish::default());
    }
}
