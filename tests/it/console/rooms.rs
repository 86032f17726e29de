//! What people do in the rooms: refunds, keys, people, search; and that another shop's things do not exist.

use actix_web::http::StatusCode;
use coffer::audit::log;
use coffer::domain::endpoint::{Delivery, DeliveryState, Endpoint, EndpointState};
use coffer::domain::ids::{EndpointId, EventId};
use coffer::domain::refund::RefundState;
use coffer::domain::time::Duration;
use coffer::flows::Moment;
use coffer::flows::deliveries::{self, Resent};
use coffer::store::StoreError;
use coffer::store::tables::{DELIVERIES, DELIVERIES_BY_ENDPOINT, REFUNDS};
use coffer::store::{Order, Read, Span};

use super::site::{Browser, OTHER_SHOP, SHOP, Site};

impl Site {
    async fn refunds(&self) -> Vec<(u64, RefundState)> {
        let rows = self.console.store().read(|tx| tx.scan(&REFUNDS, &Span::prefix(&SHOP), Order::Ascending, 100)).await;
        rows.unwrap().into_iter().map(|(_, refund)| (refund.amount.minor(), refund.state)).collect()
    }

    pub async fn last_action(&self) -> String {
        let records = self.console.store().read(|tx| log::newest(tx, SHOP.merchant, None, 1)).await.unwrap();
        records.first().map(|record| record.action.code().to_owned()).unwrap_or_default()
    }
}

/// The number that a refund form carries.
async fn form_number(browser: &mut Browser<'_>, path: &str) -> String {
    let page = browser.get(path).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let (_, rest) = page.body.split_once("name=\"number\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_refund_needs_the_amount_twice_and_sending_the_form_twice_gives_back_once() {
    let site = Site::staffed().await;
    let payment = site.paid(SHOP, "1001", 100).await;
    let path = format!("/console/payments/{payment}/refund");
    let mut browser = site.browser_of("finance").await;
    let number = form_number(&mut browser, &path).await;
    for (amount, again) in
        [("60.00", "6.00"), ("60.00", ""), ("0.00", "0.00"), ("-1.00", "-1.00"), ("1e3", "1e3"), ("60", "60")]
    {
        let answer = browser.post(&path, &[("number", &number), ("amount", amount), ("again", again)]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{amount} {again}");
    }
    assert!(site.refunds().await.is_empty());
    let fields = [("number", number.as_str()), ("amount", "60.00"), ("again", "60.00"), ("reason", "cracked")];
    for _ in 0..2 {
        assert_eq!(browser.post(&path, &fields).await.status, StatusCode::SEE_OTHER);
    }
    assert_eq!(site.refunds().await, [(6_000, RefundState::Pending)]);
    assert_eq!(site.last_action().await, "refund.created");
    // 60 + 60 of 100 never both pass.
    let next = form_number(&mut browser, &path).await;
    let fields = [("number", next.as_str()), ("amount", "60.00"), ("again", "60.00")];
    let refused = browser.post(&path, &fields).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.body.contains("At most ¥40.00"), "{}", refused.body);
    assert_eq!(site.refunds().await.len(), 1);
}

#[tokio::test]
async fn another_shops_things_do_not_exist() {
    let site = Site::staffed().await;
    let payment = site.paid(SHOP, "1001", 100).await;
    let mut owner = site.browser_of("owner").await;
    let number = form_number(&mut owner, &format!("/console/payments/{payment}/refund")).await;
    let fields = [("number", number.as_str()), ("amount", "10.00"), ("again", "10.00")];
    owner.post(&format!("/console/payments/{payment}/refund"), &fields).await;
    let key = [("name", "shop"), ("kind", "bearer"), ("permissions[]", "read"), ("days", "0")];
    assert_eq!(owner.post("/console/developers/keys/new", &key).await.status, StatusCode::OK);
    let keys = owner.get("/console/developers").await.body;
    let key = keys.split_once("/console/developers/keys/key_").unwrap().1.split('/').next().unwrap().to_owned();
    let refund = site
        .console
        .store()
        .read(|tx| tx.scan(&REFUNDS, &Span::prefix(&SHOP), Order::Ascending, 1))
        .await
        .unwrap()
        .remove(0)
        .1
        .id;
    let someone = site.user_id("support");
    let mut rival = site.browser_of("rival").await;
    for path in [
        format!("/console/payments/{payment}"),
        format!("/console/payments/{payment}/refund"),
        format!("/console/refunds/{refund}"),
        "/console/ledger/entries/1".to_owned(),
    ] {
        assert_eq!(rival.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(owner.get(&path).await.status, StatusCode::OK, "{path}");
    }
    for path in [
        format!("/console/payments/{payment}/sync"),
        format!("/console/payments/{payment}/cancel"),
        format!("/console/payments/{payment}/refund"),
        format!("/console/developers/keys/key_{key}/revoke"),
        format!("/console/settings/people/{someone}/role"),
        format!("/console/settings/people/{someone}/remove"),
        format!("/console/settings/people/{someone}/reset"),
    ] {
        let fields = [("role", "owner"), ("number", "console-abcdefghabcdefgh"), ("amount", "1.00"), ("again", "1.00")];
        assert_eq!(rival.post(&path, &fields).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let switched = rival.post("/console/switch", &[("merchant", &SHOP.merchant.to_string())]).await;
    assert_eq!(switched.status, StatusCode::NOT_FOUND);
    assert_eq!(rival.get("/console/search?q=1001").await.status, StatusCode::OK, "nothing is found, nothing is opened");
    assert!(!rival.get("/console/payments").await.body.contains("1001"));
    // The other mode is another world as well.
    owner.post("/console/switch", &[("mode", "live")]).await;
    assert_eq!(owner.get(&format!("/console/payments/{payment}")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(OTHER_SHOP.mode, SHOP.mode);
}

#[tokio::test]
async fn what_strangers_write_is_shown_as_text_and_filters_are_only_filters() {
    let site = Site::staffed().await;
    let payment = site.paid(SHOP, "\"><script>alert(1)</script>", 9).await;
    let mut owner = site.browser_of("owner").await;
    let name = [("name", "<img src=x>"), ("zone", "Asia/Shanghai"), ("late", "book"), ("duplicate", "refund")];
    assert_eq!(owner.post("/console/settings/shop", &name).await.status, StatusCode::SEE_OTHER);
    for path in [
        "/console".to_owned(),
        "/console/payments".to_owned(),
        format!("/console/payments/{payment}"),
        format!("/console/payments/{payment}/refund"),
        "/console/settings".to_owned(),
        "/console/settings/audit".to_owned(),
        "/console/search?q=%22%3E%3Cscript%3E".to_owned(),
        "/console/payments?status=%27%20or%201%3D1&from=%3Cscript%3E&to=x&after=..%2F..%2Fetc%2Fpasswd".to_owned(),
        "/console/payments?sort=password&order=1%3Bdrop".to_owned(),
    ] {
        let answer = owner.get(&path).await;
        assert!(answer.status == StatusCode::OK || answer.status == StatusCode::SEE_OTHER, "{path}: {}", answer.status);
        assert!(!answer.body.contains("<script>") && !answer.body.contains("<img src"), "{path}");
    }
    assert_eq!(owner.get("/console/payments?status=paid&status=open").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn nobody_hands_out_more_than_he_has() {
    let site = Site::staffed().await;
    let mut admin = site.browser_of("admin").await;
    let person = |login: &'static str, role: &'static str| [("name", "New"), ("login", login), ("role", role)];
    for role in ["owner", "admin", "finance"] {
        let answer = admin.post("/console/settings/people", &person("new1", role)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{role}");
    }
    let owner = site.user_id("owner");
    for action in ["role", "remove", "reset"] {
        let path = format!("/console/settings/people/{owner}/{action}");
        assert_eq!(admin.post(&path, &[("role", "support")]).await.status, StatusCode::FORBIDDEN);
    }
    let invited = admin.post("/console/settings/people", &person("new1", "support")).await;
    assert_eq!(invited.status, StatusCode::OK);
    assert!(invited.body.contains("/console/setup/"));
    // Nobody makes himself more, and the last owner stays.
    let mut boss = site.browser_of("owner").await;
    let own = format!("/console/settings/people/{owner}/role");
    assert_eq!(boss.post(&own, &[("role", "support")]).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_password_is_changed_with_the_old_one_and_other_browsers_are_logged_out() {
    let site = Site::staffed().await;
    let mut other = site.browser_of("owner").await;
    let mut browser = site.browser_of("owner").await;
    let path = "/console/settings/me/password";
    let wrong = browser.post(path, &[("current", "not this one at all"), ("new", "zebra uncle plans volcano")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let weak = browser.post(path, &[("current", super::site::PASSWORD), ("new", "password1234")]).await;
    assert_eq!(weak.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(other.get("/console").await.status, StatusCode::OK);
    let done = browser.post(path, &[("current", super::site::PASSWORD), ("new", "zebra uncle plans volcano")]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    assert_eq!(browser.get("/console").await.status, StatusCode::OK);
    assert_eq!(other.get("/console").await.status, StatusCode::SEE_OTHER);
    assert_eq!(site.last_action().await, "user.password_changed");
}

#[tokio::test]
async fn a_secret_is_shown_once_and_never_in_a_list_or_the_audit_log() {
    let site = Site::staffed().await;
    let mut owner = site.browser_of("owner").await;
    let key = [("name", "shop"), ("kind", "bearer"), ("permissions[]", "read"), ("days", "30")];
    let shown = owner.post("/console/developers/keys/new", &key).await.body;
    let token = shown.split_once("id=\"secret\">").unwrap().1.split('<').next().unwrap().to_owned();
    assert!(token.starts_with("sk_test_"), "{token}");
    for path in ["/console/developers", "/console/settings/audit", "/console"] {
        assert!(!owner.get(path).await.body.contains(&token), "{path}");
    }
}

#[tokio::test]
async fn the_books_are_verified_from_the_console_and_every_list_leads_to_its_things() {
    let site = Site::staffed().await;
    for i in 0..60 {
        site.paid(SHOP, &format!("A-{i:03}"), 10 + i).await;
        // Within one millisecond ids have no order.
        site.pass(Duration::from_seconds(1));
    }
    let mut owner = site.browser_of("owner").await;
    assert_eq!(owner.post("/console/ledger/verify", &[]).await.status, StatusCode::SEE_OTHER);
    let ledger = owner.get("/console/ledger").await.body;
    assert!(ledger.contains("Everything holds") && ledger.contains("Balanced"), "{ledger}");
    // Two pages that share no row and miss none.
    let first = owner.get("/console/payments").await.body;
    let older = first.split_once("rel=\"next\" href=\"").unwrap().1.split('"').next().unwrap().replace("&#38;", "&");
    let second = owner.get(&older).await.body;
    let count = |body: &str| body.matches("class=\"row-link\"").count();
    assert_eq!((count(&first), count(&second)), (50, 10));
    assert!(first.contains(">A-059<") && second.contains(">A-000<") && !second.contains(">A-059<"));
    assert!(owner.get("/console/search?q=A-017").await.location.starts_with("/console/payments/pay_"));
    assert!(owner.get("/console/search?q=27").await.location.starts_with("/console/payments/pay_"), "an amount");
    assert!(owner.get("/console/search?q=A-01").await.body.contains(">A-012<"), "the beginning of order numbers");
    for path in ["/console/ledger/entries/1", "/console/ledger/accounts/1001", "/console/ledger/entries"] {
        assert_eq!(owner.get(path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn everything_that_an_endpoint_did_not_take_is_sent_again_however_much_it_is() {
    let site = Site::staffed().await;
    let id = EndpointId::new(site.now(), [1; 10]);
    let now = site.now();
    let put = site.console.store().write(move |tx| {
        let endpoint = Endpoint {
            id,
            url: "https://shop.example/hook".to_owned(),
            description: String::new(),
            events: Default::default(),
            secret: None,
            previous_secret: None,
            state: EndpointState::Enabled,
            breaker: Default::default(),
            implicit: false,
            created_at: now,
        };
        deliveries::save_endpoint(tx, SHOP, &endpoint)?;
        for i in 0..1_203u16 {
            let mut random = [0; 10];
            random[..2].copy_from_slice(&i.to_be_bytes());
            let at = now.plus(Duration::from_seconds(u64::from(i)));
            let (event, state) = (EventId::new(at, random), DeliveryState::Dead);
            let delivery = Delivery {
                event,
                endpoint: id,
                url: None,
                state,
                attempts: 0,
                step: 9,
                due: None,
                created_at: at,
                delivered_at: None,
            };
            let place = DeliveryState::ALL.iter().position(|one| *one == state).unwrap() as u8;
            tx.put(&DELIVERIES, &(SHOP, event, id), &delivery)?;
            tx.put(&DELIVERIES_BY_ENDPOINT, &(SHOP, id, place, event), &())?;
        }
        Ok::<_, StoreError>(())
    });
    put.await.unwrap();
    let dead = || async {
        let rows =
            site.console.store().read(move |tx| tx.scan(&DELIVERIES, &Span::prefix(&SHOP), Order::Ascending, 9_999));
        rows.await.unwrap().into_iter().filter(|(_, delivery)| delivery.state == DeliveryState::Dead).count()
    };
    // The newest hundred alone: those before do not use up the limit.
    let moment = Moment::new(site.console.env());
    let since = now.plus(Duration::from_seconds(1_103));
    let some = site.console.store().write(move |tx| deliveries::resend_failed(tx, SHOP, id, since, &moment));
    assert_eq!(some.await.unwrap(), Resent { count: 100, more: false });
    assert_eq!(dead().await, 1_103);
    let mut owner = site.browser_of("owner").await;
    let path = format!("/console/callbacks/{id}");
    let done = owner.post(&format!("{path}/resend"), &[("all", "yes")]).await;
    assert_eq!(done.location, format!("{path}?done=resent"), "{}", done.body);
    assert_eq!(dead().await, 0);
}
