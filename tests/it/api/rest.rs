//! Account, methods, webhook endpoints, events, books, simulation: the rest of the table, without a channel.

use actix_web::http::Method;
use coffer::audit::log;
use coffer::domain::ids::Mode;
use coffer::domain::time::Duration;
use serde_json::{Value, json};

use super::site::{Answer, Call, Shop, Site, order};

fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.refusal(), (status, code.to_owned()), "{}", answer.text());
}

async fn ok(shop: &Shop<'_>, method: Method, path: &str, body: &str) -> Value {
    let mut call = Call::new(method, path);
    if !body.is_empty() {
        call = call.json(body);
    }
    let answer = shop.send(call).await;
    assert!(answer.status < 300, "{path}: {}", answer.text());
    answer.json()
}

#[tokio::test]
async fn the_connection_test_tells_who_is_asking() {
    let site = Site::new();
    let shop = Shop { site: &site, token: Some(site.token(|key| key.permissions = Default::default())) };
    let account = ok(&shop, Method::GET, "/v1/account", "").await;
    assert_eq!(account["merchant"]["name"], "蓝鹭陶瓷");
    assert_eq!(account["merchant"]["time_zone"], "Asia/Shanghai");
    assert_eq!((&account["mode"], &account["key"]["scopes"]), (&json!("test"), &json!([])));
    assert_eq!(account["server"]["time"], "2026-11-23T06:00:00.000Z");
    let token = shop.token.as_ref().unwrap();
    assert!(!account.to_string().contains(&token[8..]), "a key is never told back");
}

#[tokio::test]
async fn every_method_is_listed_with_whether_it_is_available() {
    let site = Site::new();
    let list = ok(&site.shop(), Method::GET, "/v1/payment_methods", "").await;
    let methods = list["data"].as_array().unwrap();
    let native = methods.iter().find(|method| method["id"] == "wechat_native").unwrap();
    assert_eq!(native["name"], json!({"zh": "微信扫码", "en": "WeChat Pay QR"}));
    assert_eq!(native["next_action"], "qr_code");
    // The site's channel account cannot be opened, so nothing can be paid with.
    assert!(methods.iter().all(|method| method["available"] == false));
    let asked = order("A1", "1.00").replace("\"order_id\"", "\"method\":\"wechat_native\",\"order_id\"");
    refused(&site.shop().post("/v1/payments", &asked).await, 422, "method_unavailable");
}

const HOOK: &str = r#"{"url":"https://shop.example/hook","events":["payment.paid","refund.failed"]}"#;

#[tokio::test]
async fn a_webhook_endpoint_is_added_changed_and_removed_and_shows_its_secret_once() {
    let site = Site::new();
    let shop = site.shop();
    let created = ok(&shop, Method::POST, "/v1/webhook_endpoints", HOOK).await;
    let secret = created["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"));
    assert_eq!((&created["status"], &created["url"]), (&json!("enabled"), &json!("https://shop.example/hook")));
    assert_eq!(created["events"], json!(["payment.paid", "refund.failed"]));
    let path = format!("/v1/webhook_endpoints/{}", created["id"].as_str().unwrap());

    for answer in [
        ok(&shop, Method::GET, &path, "").await,
        ok(&shop, Method::GET, "/v1/webhook_endpoints", "").await,
        ok(&shop, Method::PATCH, &path, r#"{"enabled":false,"events":[]}"#).await,
    ] {
        assert!(!answer.to_string().contains("whsec_"), "{answer}");
    }
    let changed = ok(&shop, Method::GET, &path, "").await;
    assert_eq!((&changed["status"], &changed["events"]), (&json!("disabled"), &json!([])));

    let rotated = ok(&shop, Method::POST, &format!("{path}/rotate_secret"), r#"{"overlap_hours":1}"#).await;
    assert!(rotated["secret"].as_str().unwrap().starts_with("whsec_") && rotated["secret"] != secret.as_str());

    let deleted = ok(&shop, Method::DELETE, &path, "").await;
    assert_eq!(deleted["deleted"], true);
    refused(&shop.get(&path).await, 404, "webhook_endpoint_not_found");
    refused(&shop.post(&format!("{path}/test"), "").await, 404, "webhook_endpoint_not_found");
}

#[tokio::test]
async fn every_change_of_an_endpoint_is_in_the_audit_log() {
    let site = Site::new();
    let shop = site.shop();
    let hook = ok(&shop, Method::POST, "/v1/webhook_endpoints", r#"{"url":"https://shop.example/hook"}"#).await;
    let path = format!("/v1/webhook_endpoints/{}", hook["id"].as_str().unwrap());
    ok(&shop, Method::PATCH, &path, r#"{"url":"https://shop.example/other"}"#).await;
    ok(&shop, Method::POST, &format!("{path}/rotate_secret"), "").await;
    ok(&shop, Method::DELETE, &path, "").await;
    refused(&shop.send(Call::new(Method::DELETE, &path)).await, 404, "webhook_endpoint_not_found");
    let merchant = site.merchant;
    let records = site.api.gateway.store.read(move |tx| log::newest(tx, merchant, None, 10)).await.unwrap();
    let told: Vec<_> = records.iter().rev().map(|record| record.action.code()).collect();
    let all = ["endpoint.created", "endpoint.changed", "endpoint.secret_rotated", "endpoint.deleted"];
    assert_eq!(told[told.len() - 4..], all);
    for record in &records[..4] {
        assert!(matches!(record.actor, coffer::audit::Actor::ApiKey(_)), "{:?}", record.actor);
        assert_eq!((record.object.as_str(), record.ip.as_str()), (hook["id"].as_str().unwrap(), "203.0.113.9"));
        assert!(!format!("{record:?}").contains("whsec_"));
    }
}

#[tokio::test]
async fn a_repeated_creation_makes_one_endpoint_and_keeps_its_secret_to_itself() {
    let site = Site::new();
    let shop = site.shop();
    let create =
        || shop.send(Call::new(Method::POST, "/v1/webhook_endpoints").json(HOOK).header("idempotency-key", "k"));
    let (first, again) = (create().await, create().await);
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.json()["id"], again.json()["id"]);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert!(first.text().contains("whsec_") && !again.text().contains("whsec_"));
    assert_eq!(ok(&shop, Method::GET, "/v1/webhook_endpoints", "").await["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn addresses_that_may_never_be_called_are_refused_where_they_are_entered() {
    let site = Site::new();
    let shop = site.shop();
    for url in [
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://2130706433/x",
        "https://0x7f.1/x",
        "https://169.254.169.254/latest",
        "https://10.0.0.1/x",
        "http://shop.example/x",
        "https://shop.example:22/x",
        "https://good@shop.example/x",
        "https://shop.example/x#y",
    ] {
        let answer = shop.post("/v1/webhook_endpoints", &json!({"url": url}).to_string()).await;
        assert_eq!(answer.status, 422, "{url}: {}", answer.text());
        assert!(answer.faults()[0].starts_with("#/url "), "{url}");
        let mut body: Value = serde_json::from_str(&order("A1", "1.00")).unwrap();
        body["callback_url"] = json!(url);
        let answer = shop.post("/v1/payments", &body.to_string()).await;
        assert!(answer.status == 422 && answer.faults()[0].starts_with("#/callback_url "), "{url}");
    }
    let unknown =
        shop.post("/v1/webhook_endpoints", r#"{"url":"https://shop.example/","events":["payment.payed"]}"#).await;
    assert_eq!(unknown.faults(), ["#/events/0 not_allowed"]);
    assert!(unknown.text().contains("payment.paid"), "the nearest is suggested");
}

#[tokio::test]
async fn events_are_listed_with_their_deliveries_and_can_be_sent_again() {
    let site = Site::new();
    let shop = site.shop();
    let hook = ok(&shop, Method::POST, "/v1/webhook_endpoints", r#"{"url":"https://shop.example/hook"}"#).await;
    let (one, two) = (shop.payment("A1").await, shop.payment("A2").await);
    site.pass(Duration::from_minutes(1));
    ok(&shop, Method::POST, &format!("/v1/payments/{}/cancel", two["id"].as_str().unwrap()), "").await;

    let events = ok(&shop, Method::GET, "/v1/events", "").await;
    let kinds: Vec<_> = events["data"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["payment.canceled", "payment.created", "payment.created"]);
    let own = ok(&shop, Method::GET, &format!("/v1/events?payment={}", one["id"].as_str().unwrap()), "").await;
    assert_eq!(own["data"].as_array().unwrap().len(), 1);

    let event = &own["data"][0];
    assert_eq!(event["data"]["payment"], one, "the event carries what GET returned then");
    assert_eq!(event["deliveries"][0]["endpoint"], hook["id"]);
    assert_eq!(event["deliveries"][0]["status"], "pending");
    let path = format!("/v1/events/{}", event["id"].as_str().unwrap());
    assert_eq!(&ok(&shop, Method::GET, &path, "").await, event);
    assert_eq!(ok(&shop, Method::GET, &format!("{path}/attempts"), "").await["data"], json!([]));
    ok(&shop, Method::POST, &format!("{path}/resend"), "").await;
    let only = json!({"endpoint": "we_00000000000000000000000000"}).to_string();
    refused(&shop.post(&format!("{path}/resend"), &only).await, 404, "webhook_endpoint_not_found");
    refused(&shop.get("/v1/events/evt_nonsense").await, 404, "event_not_found");

    let ping =
        ok(&shop, Method::POST, &format!("/v1/webhook_endpoints/{}/test", hook["id"].as_str().unwrap()), "").await;
    assert_eq!((&ping["type"], &ping["deliveries"][0]["endpoint"]), (&json!("webhook.ping"), &hook["id"]));
}

#[tokio::test]
async fn the_books_of_a_new_shop_are_empty_and_in_its_currency() {
    let site = Site::new();
    let shop = site.shop();
    let balance = ok(&shop, Method::GET, "/v1/balance", "").await;
    let zero = "0.00";
    let expected = json!([{"currency": "CNY", "pending": zero, "available": zero, "owed": zero, "at_channels": zero, "settled": zero}]);
    assert_eq!(balance["balances"], expected);
    assert_eq!(ok(&shop, Method::GET, "/v1/ledger_entries", "").await["data"], json!([]));
    assert_eq!(shop.get("/v1/ledger_entries?after=0").await.faults(), ["?after too_small"]);
    assert_eq!(shop.get("/v1/balance?currency=CNY").await.faults(), ["?currency unknown_field"]);
}

#[tokio::test]
async fn simulations_are_for_test_keys_only() {
    let site = Site::new();
    let live = Shop { site: &site, token: Some(site.token(|key| key.scope.mode = Mode::Live)) };
    let id = live.payment("A1").await["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/test/payments/{id}/simulate");
    refused(&live.post(&path, r#"{"outcome":"paid"}"#).await, 403, "test_mode_only");
    refused(&site.shop().post(&path, r#"{"outcome":"paid"}"#).await, 404, "payment_not_found");
}

#[tokio::test]
async fn another_merchant_s_things_do_not_exist() {
    let site = Site::new();
    let shop = site.shop();
    let hook = ok(&shop, Method::POST, "/v1/webhook_endpoints", HOOK).await;
    shop.payment("A1").await;
    let event = ok(&shop, Method::GET, "/v1/events", "").await["data"][0]["id"].as_str().unwrap().to_owned();
    let rival = Shop { site: &site, token: Some(site.token(|key| key.scope.merchant = site.rival)) };
    for list in ["payments", "refunds", "events", "webhook_endpoints", "ledger_entries"] {
        assert_eq!(ok(&rival, Method::GET, &format!("/v1/{list}"), "").await["data"], json!([]), "{list}");
    }
    let hook = format!("/v1/webhook_endpoints/{}", hook["id"].as_str().unwrap());
    for (method, path) in [
        (Method::GET, hook.clone()),
        (Method::PATCH, hook.clone()),
        (Method::DELETE, hook.clone()),
        (Method::POST, format!("{hook}/test")),
        (Method::POST, format!("{hook}/rotate_secret")),
        (Method::GET, format!("/v1/events/{event}")),
        (Method::GET, format!("/v1/events/{event}/attempts")),
        (Method::POST, format!("/v1/events/{event}/resend")),
    ] {
        assert_eq!(rival.send(Call::new(method, &path)).await.status, 404, "{path}");
    }
}
