//! Set-up, login, second factor, sessions.

use actix_web::http::StatusCode;
use coffer::audit::{Action, INSTALLATION, log};
use coffer::console::auth::people;
use coffer::console::auth::records::SetupPurpose;
use coffer::console::auth::roles::Role;
use coffer::console::auth::session::{SESSION_ABSOLUTE, SESSION_IDLE};
use coffer::console::auth::setup::Link;
use coffer::domain::ids::MerchantId;
use coffer::domain::time::Duration;
use coffer::store::StoreError;
use coffer::store::tables::USERS;

use super::site::{ORIGIN, PASSWORD, SHOP, Site};

impl Site {
    async fn actions(&self, chain: MerchantId) -> Vec<&'static str> {
        let records = self.console.store().read(move |tx| log::newest(tx, chain, None, 100)).await.unwrap();
        records.into_iter().map(|record| record.action.code()).collect()
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    text.split_once(before).and_then(|(_, rest)| rest.split_once(after)).map(|(found, _)| found).unwrap()
}

/// As `coffer init` issues it.
async fn first_owner_link(site: &Site) -> String {
    let link = Link::new(SetupPurpose::FirstOwner { merchant: SHOP.merchant }, site.console.env(), ORIGIN);
    let url = link.url.clone();
    site.console.store().write(move |tx| link.store(tx)).await.unwrap();
    url
}

#[tokio::test]
async fn the_first_owner_comes_in_by_a_link_that_works_once() {
    let site = Site::empty().await;
    let link = first_owner_link(&site).await;
    let path = link.strip_prefix(ORIGIN).unwrap();
    let mut browser = site.browser();
    assert!(browser.get("/console/login").await.body.contains("one-time link"));
    assert_eq!(browser.get(path).await.status, StatusCode::OK);

    let fields =
        |password| [("shop", "Heron & Sons"), ("name", "Li"), ("login", "Li@Mugs.example"), ("password", password)];
    let weak = browser.post(path, &fields("heron&sons2026")).await;
    assert_eq!(weak.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(weak.body.contains("unrelated words") && weak.body.contains("Heron &#38; Sons"), "{}", weak.body);

    let accepted = browser.post(path, &fields(PASSWORD)).await;
    assert_eq!((accepted.status, accepted.location.as_str()), (StatusCode::SEE_OTHER, "/console/enrol"));
    assert_eq!(browser.get("/console").await.location, "/console/login/code", "no room opens before the second factor");
    assert_eq!(browser.get("/console/login/code").await.location, "/console/enrol");

    let page = browser.get("/console/enrol").await;
    let secret = between(&page.body, "id=\"secret\">", "</p>");
    let secret = coffer::console::auth::totp::TotpSecret::parse_base32(secret).unwrap();
    let wrong = browser.post("/console/enrol", &[("code", "000000")]).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    let code = secret.code_at(coffer::console::auth::totp::step_at(site.now()));
    let codes = browser.post("/console/enrol", &[("code", &code)]).await;
    assert_eq!(codes.status, StatusCode::OK);
    assert_eq!(between(&codes.body, "<pre id=\"codes\">", "</pre>").lines().count(), 10);
    assert_eq!(browser.get("/console").await.status, StatusCode::OK);

    for path in [path, "/console/setup/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "/console/setup/x"] {
        assert_eq!(site.browser().get(path).await.status, StatusCode::NOT_FOUND, "{path}");
        let mut other = site.browser();
        other.get("/console/login").await;
        assert_eq!(other.post(path, &fields(PASSWORD)).await.status, StatusCode::NOT_FOUND);
    }
    // A second link for a first owner is worth nothing once anybody exists.
    let late = first_owner_link(&site).await;
    let late = late.strip_prefix(ORIGIN).unwrap();
    assert_eq!(site.browser().get(late).await.status, StatusCode::NOT_FOUND);
    let actions = site.actions(SHOP.merchant).await;
    assert_eq!(actions, ["login.succeeded", "user.second_factor_enrolled", "setup.completed"]);
}

#[tokio::test]
async fn a_login_takes_password_and_second_factor_and_a_new_token_at_each_step() {
    let site = Site::staffed().await;
    let mut browser = site.browser();
    browser.get("/console/login").await;
    let anonymous = browser.cookie.clone().unwrap();
    browser.post("/console/login", &[("login", "OWNER "), ("password", PASSWORD)]).await;
    let half = browser.cookie.clone().unwrap();
    assert_eq!(browser.get("/console").await.location, "/console/login/code");
    let code = site.code("owner");
    let done = browser.post("/console/login/code", &[("code", &code), ("next", "/console/payments")]).await;
    assert_eq!((done.status, done.location.as_str()), (StatusCode::SEE_OTHER, "/console/payments"));
    let whole = browser.cookie.clone().unwrap();
    assert!(anonymous != half && half != whole, "a token known before a step is worth nothing after it");
    for old in [anonymous, half] {
        let mut fixed = site.browser();
        fixed.cookie = Some(old);
        assert!(fixed.get("/console").await.location.starts_with("/console/login"));
    }
    assert_eq!(browser.get("/console").await.status, StatusCode::OK);
    assert_eq!(site.actions(SHOP.merchant).await, ["login.succeeded"]);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_login_are_told_alike_and_slowed_down_alike() {
    let site = Site::staffed().await;
    let try_as = async |login: &str, from: &str| {
        let mut browser = site.browser();
        browser.forwarded = Some(from.to_owned());
        browser.get("/console/login").await;
        let answer = browser.post("/console/login", &[("login", login), ("password", "wrong password")]).await;
        let shown = answer.body.replace(&browser.csrf(), "").replace(&format!("value=\"{login}\""), "");
        (answer.status, shown)
    };
    for i in 0..5 {
        let known = try_as("owner", &format!("203.0.113.{i}")).await;
        let unknown = try_as("nobody", &format!("198.51.100.{i}")).await;
        assert_eq!(known.0, StatusCode::UNAUTHORIZED);
        assert_eq!(known, unknown);
    }
    let known = try_as("owner", "203.0.113.77").await;
    assert_eq!(known.0, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(known, try_as("nobody", "198.51.100.77").await);
    // The right password waits as well, and works after the wait.
    let mut browser = site.browser();
    browser.get("/console/login").await;
    let right = [("login", "owner"), ("password", PASSWORD)];
    assert_eq!(browser.post("/console/login", &right).await.status, StatusCode::TOO_MANY_REQUESTS);
    site.pass(Duration::from_seconds(31));
    assert_eq!(browser.post("/console/login", &right).await.status, StatusCode::SEE_OTHER);
    assert_eq!(site.actions(INSTALLATION).await, ["login.failed"; 10]);
}

#[tokio::test]
async fn one_address_cannot_try_many_logins_and_cannot_write_itself_another_address() {
    let site = Site::staffed().await;
    for i in 0..5 {
        let mut browser = site.browser();
        // The proxy appends what it saw; what stands further left is the client's own invention.
        browser.forwarded = Some(format!("203.0.113.{i}, 198.51.100.9"));
        browser.get("/console/login").await;
        browser.post("/console/login", &[("login", &format!("person{i}")), ("password", "wrong password")]).await;
    }
    let mut browser = site.browser();
    browser.forwarded = Some("192.0.2.1, 198.51.100.9".to_owned());
    browser.get("/console/login").await;
    let answer = browser.post("/console/login", &[("login", "owner"), ("password", PASSWORD)]).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    browser.forwarded = Some("198.51.100.10".to_owned());
    let answer = browser.post("/console/login", &[("login", "owner"), ("password", PASSWORD)]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn no_password_is_not_a_password() {
    let site = Site::staffed().await;
    for (login, password) in [("owner", ""), ("", ""), ("admin", "admin"), ("root", "root"), ("coffer", "coffer")] {
        let mut browser = site.browser();
        browser.forwarded = Some(format!("203.0.113.{}", login.len()));
        browser.get("/console/login").await;
        let answer = browser.post("/console/login", &[("login", login), ("password", password)]).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{login:?} {password:?}");
    }
}

#[tokio::test]
async fn a_code_is_used_once_and_five_wrong_ones_lock() {
    let site = Site::staffed().await;
    let half = async || {
        let mut browser = site.browser();
        browser.get("/console/login").await;
        browser.post("/console/login", &[("login", "owner"), ("password", PASSWORD)]).await;
        browser
    };
    let code = site.code("owner");
    assert_eq!(half().await.post("/console/login/code", &[("code", &code)]).await.status, StatusCode::SEE_OTHER);
    // Looked over the shoulder and typed half a minute later.
    let mut thief = half().await;
    assert_eq!(thief.post("/console/login/code", &[("code", &code)]).await.status, StatusCode::UNAUTHORIZED);
    site.pass(Duration::from_seconds(20));
    assert_eq!(thief.post("/console/login/code", &[("code", &code)]).await.status, StatusCode::UNAUTHORIZED);
    for wrong in ["000000", "111111", ""] {
        assert_eq!(thief.post("/console/login/code", &[("code", wrong)]).await.status, StatusCode::UNAUTHORIZED);
    }
    site.pass(Duration::from_seconds(10));
    let fresh = site.code("owner");
    let locked = thief.post("/console/login/code", &[("code", &fresh)]).await;
    assert_eq!(locked.status, StatusCode::TOO_MANY_REQUESTS, "the right code is not looked at either");
    // A new login does not reset the count: it is the person's, not the browser's.
    assert_eq!(
        half().await.post("/console/login/code", &[("code", &fresh)]).await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
    site.pass(Duration::from_minutes(1));
    let later = site.code("owner");
    assert_eq!(thief.post("/console/login/code", &[("code", &later)]).await.status, StatusCode::SEE_OTHER);
    let failures = site.actions(SHOP.merchant).await.iter().filter(|a| **a == "login.second_factor_failed").count();
    assert_eq!(failures, 5);
}

#[tokio::test]
async fn a_code_sent_many_times_at_once_is_accepted_once() {
    let site = Site::staffed().await;
    let (id, code, stamp_at) = (site.user_id("owner"), site.code("owner"), site.now());
    let mut accepted = 0;
    let tries: Vec<_> = (0..20)
        .map(|_| {
            let (store, vault, code) = (site.console.store().clone(), site.console.vault().clone(), code.clone());
            tokio::spawn(async move {
                let stamp = coffer::audit::log::Stamp::system(stamp_at);
                store
                    .write(move |tx| people::check_second_factor(tx, &vault, id, &code, SHOP.merchant, &stamp))
                    .await
                    .unwrap()
            })
        })
        .collect();
    for one in tries {
        accepted += usize::from(one.await.unwrap() == people::Checked::Accepted);
    }
    assert_eq!(accepted, 1);
}

#[tokio::test]
async fn sessions_end_by_logout_idleness_age_role_and_password() {
    let site = Site::staffed().await;
    let is_inside = async |cookie: &str| {
        let mut browser = site.browser();
        browser.cookie = Some(cookie.to_owned());
        browser.get("/console").await.status == StatusCode::OK
    };

    let mut browser = site.browser_of("owner").await;
    let cookie = browser.cookie.clone().unwrap();
    assert!(is_inside(&cookie).await);
    assert_eq!(browser.post("/console/logout", &[]).await.location, "/console/login");
    assert_eq!(browser.cookie, None, "the browser forgets it");
    assert!(!is_inside(&cookie).await, "and so does the server");

    let idle = site.browser_of("owner").await.cookie.unwrap();
    let busy = site.browser_of("owner").await.cookie.unwrap();
    let mut passed = Duration::ZERO;
    while passed < SESSION_ABSOLUTE {
        assert!(is_inside(&busy).await);
        if passed == Duration::ZERO {
            assert!(is_inside(&idle).await);
        }
        site.pass(Duration::from_minutes(20));
        passed = Duration::from_millis(passed.as_millis() + Duration::from_minutes(20).as_millis());
        if passed > SESSION_IDLE {
            assert!(!is_inside(&idle).await);
        }
    }
    assert!(!is_inside(&busy).await, "twelve hours are the end, however busy");

    let before = site.browser_of("finance").await.cookie.unwrap();
    let id = site.user_id("finance");
    let stamp = coffer::audit::log::Stamp::system(site.now());
    let change =
        site.console.store().write(move |tx| people::change_role(tx, SHOP.merchant, id, Role::Support, &stamp));
    change.await.unwrap();
    assert!(!is_inside(&before).await);

    let before = site.browser_of("support").await.cookie.unwrap();
    let user = site.user("support").await;
    let stamp = coffer::audit::log::Stamp::system(site.now());
    let change = site.console.store().write(move |tx| {
        let (hash, mut user) = (user.password.clone(), user.clone());
        people::set_password(tx, &mut user, hash, SHOP.merchant, &stamp)
    });
    change.await.unwrap();
    assert!(!is_inside(&before).await);
}

#[tokio::test]
async fn the_way_back_after_a_login_never_leaves_the_console() {
    let site = Site::staffed().await;
    for next in
        ["https://evil.example", "//evil.example", "/\\evil.example", "/console//evil.example", "javascript:alert(1)"]
    {
        let mut browser = site.browser();
        let encoded: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        let page = browser.get(&format!("/console/login?next={encoded}")).await;
        assert!(page.body.contains("name=\"next\" value=\"/console\""), "{next}");
        browser.post("/console/login", &[("login", "owner"), ("password", PASSWORD), ("next", next)]).await;
        let code = site.code("owner");
        let done = browser.post("/console/login/code", &[("code", &code), ("next", next)]).await;
        assert_eq!(done.location, "/console", "{next}");
        site.pass(Duration::from_seconds(60));
    }
}

#[tokio::test]
async fn the_audit_chain_of_all_this_verifies() {
    let site = Site::staffed().await;
    site.browser().log_in("owner").await;
    let verified = site.console.store().read(log::verify_all).await.unwrap();
    assert_eq!(verified.records, 1);
    let records = site.console.store().read(|tx| log::newest(tx, SHOP.merchant, None, 10)).await;
    let records: Vec<coffer::audit::AuditRecord> = records.map_err(|e: StoreError| e).unwrap();
    assert_eq!((records[0].action, records[0].ip.as_str()), (Action::LoginSucceeded, "10.0.0.1"));
}

/// What a stranger could learn from the answers; that the work is the same is said beside the hasher, whose missing user costs
/// what a real one costs.
#[tokio::test]
async fn nobody_learns_from_the_login_page_who_exists() {
    let site = Site::staffed().await;
    let gone = site.user_id("support");
    site.console
        .store()
        .write(move |tx| {
            let mut user = people::find(tx, gone)?.unwrap();
            user.disabled_at = Some(user.created_at);
            tx.put(&USERS, &gone, &user)
        })
        .await
        .unwrap();
    let mut answers = Vec::new();
    // There, not there, removed, and no login at all; with the right password where there is one.
    for (login, password) in [
        ("owner", "wrong mugs drift upstream"),
        ("nobody", "wrong mugs drift upstream"),
        ("nobody", PASSWORD),
        ("support", PASSWORD),
        ("\u{202e}owner ", "wrong mugs drift upstream"),
    ] {
        let mut browser = site.browser();
        browser.forwarded = Some(format!("203.0.113.{}", answers.len() + 1));
        browser.get("/console/login").await;
        let csrf = browser.csrf();
        let answer = browser.post("/console/login", &[("login", login), ("password", password)]).await;
        let body = answer.body.replace(&csrf, "").replace(&format!("value=\"{}\"", login.trim()), "value=\"\"");
        let headers: Vec<_> = answer.headers.into_iter().filter(|(name, _)| name != "set-cookie").collect();
        answers.push((answer.status, headers, body));
    }
    assert_eq!(answers[0].0, StatusCode::UNAUTHORIZED);
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!((answer.0, &answer.1), (answers[0].0, &answers[0].1), "{number}");
        let (one, other) = (&answer.2, &answers[0].2);
        assert_eq!(one.len(), other.len(), "{number}: {one}\n{other}");
    }
}
