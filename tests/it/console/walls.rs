//! What holds for every route, walked over the router's own table.

use actix_web::http::{Method, StatusCode};
use coffer::console::auth::roles::Role;
use coffer::console::routes::{Door, ROUTES, Route, Verb};
use coffer::domain::time::Duration;

use super::site::{ORIGIN, Site};

fn method(route: &Route) -> Method {
    match route.verb {
        Verb::Get => Method::GET,
        Verb::Post => Method::POST,
    }
}

/// The path with something in place of its parts.
fn path(route: &Route) -> String {
    let part =
        |part: &str| if part.starts_with('{') { "pay_00000000000000000000000000".to_owned() } else { part.to_owned() };
    route.path.split('/').map(part).collect::<Vec<_>>().join("/")
}

fn form(csrf: &str) -> String {
    url::form_urlencoded::Serializer::new(String::new()).append_pair("csrf", csrf).finish()
}

#[tokio::test]
async fn every_role_passes_where_the_table_says_and_nowhere_else() {
    let site = Site::staffed().await;
    for role in Role::ALL {
        for route in ROUTES {
            let Door::Room { needs, .. } = route.door else { continue };
            let mut browser = site.browser_of(role.as_str()).await;
            let csrf = browser.csrf();
            let body = (route.verb == Verb::Post).then(|| form(&csrf));
            let answer = browser.send(method(route), &path(route), body).await;
            let refused = answer.status == StatusCode::FORBIDDEN;
            assert_eq!(refused, !role.may(needs), "{role} {:?} {}: {}", route.verb, route.path, answer.status);
        }
    }
}

#[tokio::test]
async fn a_refusal_is_written_down() {
    let site = Site::staffed().await;
    for route in ROUTES {
        let Door::Room { needs, .. } = route.door else { continue };
        let Some(role) = Role::ALL.into_iter().find(|role| !role.may(needs)) else { continue };
        let mut browser = site.browser_of(role.as_str()).await;
        let csrf = browser.csrf();
        browser.send(method(route), &path(route), (route.verb == Verb::Post).then(|| form(&csrf))).await;
        let records =
            site.console.store().read(|tx| coffer::audit::log::newest(tx, super::site::SHOP.merchant, None, 1));
        let record = records.await.unwrap().remove(0);
        assert_eq!(record.action.code(), "access.refused");
        assert_eq!(record.actor, coffer::audit::Actor::User(site.user_id(role.as_str())));
    }
}

#[tokio::test]
async fn strangers_and_half_logins_find_every_room_closed() {
    let site = Site::staffed().await;
    let mut half = site.browser();
    half.get("/console/login").await;
    half.post("/console/login", &[("login", "owner"), ("password", super::site::PASSWORD)]).await;
    for route in ROUTES {
        match route.door {
            Door::Open(_) | Door::Half(_) => continue,
            Door::Inside(_) | Door::Room { .. } => {}
        }
        let mut stranger = site.browser();
        stranger.get("/console/login").await;
        for (browser, expected) in [(&mut stranger, "/console/login"), (&mut half, "/console/login/code")] {
            let csrf = browser.csrf();
            let answer =
                browser.send(method(route), &path(route), (route.verb == Verb::Post).then(|| form(&csrf))).await;
            assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", route.path);
            assert_eq!(answer.location.split('?').next().unwrap(), expected, "{}", route.path);
        }
    }
}

#[tokio::test]
async fn every_change_needs_the_sessions_own_form_from_our_own_page() {
    let site = Site::staffed().await;
    for route in ROUTES.iter().filter(|route| route.verb == Verb::Post) {
        // A person has a limited number of sessions, and the longest unused makes room.
        site.pass(Duration::from_seconds(1));
        let mut browser = site.browser_of("owner").await;
        let (right, foreign) = (browser.csrf(), site.browser_of("owner").await.csrf());
        for (csrf, origin) in [
            (None, Some(ORIGIN)),
            (Some(String::new()), Some(ORIGIN)),
            (Some(foreign), Some(ORIGIN)),
            (Some(right.clone()), Some("https://evil.example")),
            (Some(right.clone()), Some("null")),
            (Some(right.clone()), Some("http://127.0.0.1:8081")),
            (Some(right), None),
        ] {
            browser.origin = origin.map(str::to_owned);
            let body = csrf.as_deref().map_or_else(String::new, form);
            let answer = browser.send(Method::POST, &path(route), Some(body)).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{} {csrf:?} {origin:?}", route.path);
        }
        browser.origin = Some(ORIGIN.to_owned());
        assert_eq!(browser.get("/console").await.status, StatusCode::OK, "{}: the session was not touched", route.path);
    }
}

#[tokio::test]
async fn no_get_writes_anything() {
    let site = Site::staffed().await;
    let mut browser = site.browser_of("owner").await;
    for route in ROUTES.iter().filter(|route| route.verb == Verb::Get) {
        // Opening the enrolment again draws a secret for this session; it counts for nothing until it is confirmed.
        if route.path == "/console/enrol" {
            continue;
        }
        let before = site.console.store().stats().writes;
        browser.get(&path(route)).await;
        assert_eq!(site.console.store().stats().writes, before, "{}", route.path);
    }
}

#[tokio::test]
async fn every_page_forbids_frames_scripts_from_elsewhere_and_caches() {
    let site = Site::staffed().await;
    for route in ROUTES.iter().filter(|route| route.verb == Verb::Get) {
        let mut browser = site.browser_of("owner").await;
        let answer = browser.get(&path(route)).await;
        let policy = answer.header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "base-uri 'none'",
            "object-src 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{}: {policy}", route.path);
        }
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cache-control"), "no-store");
        for inline in ["style=\"", "<style", "<script>", " onclick", " onload", "javascript:"] {
            assert!(!answer.body.contains(inline), "{}: {inline}", route.path);
        }
    }
}

#[tokio::test]
async fn a_step_that_moves_money_or_rights_asks_for_a_recent_second_factor() {
    let site = Site::staffed().await;
    for route in ROUTES {
        let Door::Room { verified: true, .. } = route.door else { continue };
        let mut browser = site.browser_of("owner").await;
        site.pass(Duration::from_minutes(16));
        let csrf = browser.csrf();
        let body = (route.verb == Verb::Post).then(|| form(&csrf));
        let answer = browser.send(method(route), &path(route), body).await;
        assert_eq!(answer.location.split('?').next().unwrap(), "/console/confirm", "{}", route.path);
        let code = site.code("owner");
        let confirmed = browser.post("/console/confirm", &[("code", &code), ("next", &path(route))]).await;
        assert_eq!(confirmed.location, path(route));
        let csrf = browser.csrf();
        let answer = browser.send(method(route), &path(route), (route.verb == Verb::Post).then(|| form(&csrf))).await;
        assert!(!answer.location.starts_with("/console/confirm"), "{}", route.path);
    }
}
