//! Payments over the API: create, read, list, change, cancel, and repeating all of it.

use actix_web::http::Method;
use coffer::domain::time::Duration;
use serde_json::{Value, json};

use super::site::{Answer, Call, Shop, Site, order};

fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.refusal(), (status, code.to_owned()), "{}", answer.text());
}

fn with(field: &str, value: Value) -> String {
    let mut body: Value = serde_json::from_str(&order("A1", "9.90")).unwrap();
    body[field] = value;
    body.to_string()
}

#[tokio::test]
async fn a_payment_is_created_and_read_back() {
    let site = Site::new();
    let shop = site.shop();
    let body = with("metadata", json!({"basket": "7"}));
    let created = shop.post("/v1/payments", &body).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let payment = created.json();
    let id = payment["id"].as_str().unwrap();
    assert!(id.starts_with("pay_"));
    for (field, expected) in [
        ("object", json!("payment")),
        ("mode", json!("test")),
        ("status", json!("open")),
        ("amount", json!({"currency": "CNY", "value": "9.90"})),
        ("amount_paid", json!({"currency": "CNY", "value": "0.00"})),
        ("order_id", json!("A1")),
        ("method", json!(null)),
        ("paid_at", json!(null)),
        ("metadata", json!({"basket": "7"})),
        ("created_at", json!("2026-11-23T06:00:00.000Z")),
        ("expires_at", json!("2026-11-23T06:30:00.000Z")),
    ] {
        assert_eq!(payment[field], expected, "{field}");
    }
    let checkout = payment["checkout_url"].as_str().unwrap();
    assert!(checkout.starts_with("https://pay.example/c/"));
    assert_eq!(payment["next_action"], json!({"type": "redirect", "url": checkout}));
    assert_eq!(shop.get(&format!("/v1/payments/{id}")).await.json(), payment);
    assert_eq!(shop.get(&format!("/v1/payments/{id}?expand=refunds")).await.json()["refunds"], json!([]));
    refused(&shop.get("/v1/payments/pay_nonsense").await, 404, "payment_not_found");
    refused(&shop.get(&format!("/v1/payments/{id}?expand=everything")).await, 422, "invalid_value");
}

#[tokio::test]
async fn amounts_that_are_none_are_refused_by_name() {
    let site = Site::new();
    let shop = site.shop();
    for (value, status, fault) in [
        (json!("0.00"), 422, "#/amount/value too_small"),
        (json!("-1.00"), 422, "#/amount/value bad_format"),
        (json!("0.1"), 422, "#/amount/value bad_format"),
        (json!("1e3"), 422, "#/amount/value bad_format"),
        (json!("1 "), 422, "#/amount/value bad_format"),
        (json!("NaN"), 422, "#/amount/value bad_format"),
        (json!("184467440737095516.15"), 422, "#/amount/value too_large"),
        (json!(9.9), 400, "#/amount/value wrong_type"),
        (json!(u64::MAX), 400, "#/amount/value wrong_type"),
        (json!(null), 400, "#/amount/value required"),
    ] {
        let answer = shop.post("/v1/payments", &with("amount", json!({"currency": "CNY", "value": value}))).await;
        assert_eq!((answer.status, answer.faults()), (status, vec![fault.to_owned()]), "{value}");
    }
}

#[tokio::test]
async fn a_shown_code_is_needed_exactly_where_it_is_charged() {
    let site = Site::new();
    let shop = site.shop();
    let (wechat, alipay) = ("134567890123456789", "2812345678901234");
    let place = "#/customer/auth_code";
    for (method, code, expected) in [
        (json!("barcode"), None, Some((400, "required"))),
        (json!("wechat_barcode"), None, Some((400, "required"))),
        (json!("wechat_barcode"), Some(alipay), Some((422, "not_allowed"))),
        (json!("barcode"), Some("9912345678901234"), Some((422, "not_allowed"))),
        (json!("barcode"), Some("13456789012345678x"), Some((422, "bad_format"))),
        (json!("wechat_native"), Some(wechat), Some((422, "not_allowed"))),
        (json!(null), Some(wechat), Some((422, "not_allowed"))),
        // Nobody offers it here, but the question is understood.
        (json!("barcode"), Some(wechat), None),
        (json!("alipay_barcode"), Some(alipay), None),
    ] {
        let mut order: Value = serde_json::from_str(&order("A1", "1.00")).unwrap();
        order["method"] = method.clone();
        if let Some(code) = code {
            order["customer"] = json!({ "auth_code": code });
        }
        let answer = shop.post("/v1/payments", &order.to_string()).await;
        match expected {
            Some((status, fault)) => {
                assert_eq!(
                    (answer.status, answer.faults()),
                    (status, vec![format!("{place} {fault}")]),
                    "{method} {code:?}"
                );
            }
            None => refused(&answer, 422, "method_unavailable"),
        }
    }
}

#[tokio::test]
async fn a_method_inside_a_wallet_needs_to_know_its_customer() {
    let site = Site::new();
    let shop = site.shop();
    for method in ["wechat_jsapi", "wechat_mini", "alipay_mini"] {
        let mut order: Value = serde_json::from_str(&order("A1", "1.00")).unwrap();
        order["method"] = json!(method);
        let answer = shop.post("/v1/payments", &order.to_string()).await;
        assert_eq!((answer.status, answer.faults()), (400, vec!["#/customer/openid required".to_owned()]), "{method}");
        order["customer"] = json!({ "openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o" });
        refused(&shop.post("/v1/payments", &order.to_string()).await, 422, "method_unavailable");
    }
}

#[tokio::test]
async fn a_page_for_browsers_needs_the_browsers_address() {
    let site = Site::new();
    let shop = site.shop();
    let mut order: Value = serde_json::from_str(&order("A1", "1.00")).unwrap();
    order["method"] = json!("wechat_h5");
    let answer = shop.post("/v1/payments", &order.to_string()).await;
    assert_eq!((answer.status, answer.faults()), (400, vec!["#/customer/ip required".to_owned()]));
    order["customer"] = json!({ "ip": "203.0.113.7" });
    // The order number is still free.
    refused(&shop.post("/v1/payments", &order.to_string()).await, 422, "method_unavailable");
}

#[tokio::test]
async fn what_only_the_server_may_say_is_refused_and_so_is_what_is_said_twice() {
    let site = Site::new();
    let shop = site.shop();
    for field in ["status", "fee", "id", "merchant", "mode", "amount_paid", "paid_at"] {
        let answer = shop.post("/v1/payments", &with(field, json!("x"))).await;
        assert_eq!((answer.status, answer.faults()), (400, vec![format!("#/{field} unknown_field")]));
    }
    let twice = order("A1", "1.00").replace('{', "{\"amount\":1,");
    let answer = shop.post("/v1/payments", &twice[..]).await;
    refused(&answer, 400, "invalid_request");
    let answer = shop
        .post(
            "/v1/payments",
            r#"{"order_id":"A","amount":{"currency":"CNY","value":"1.00","value":"100.00"},"description":"x"}"#,
        )
        .await;
    assert_eq!(answer.faults(), ["#/amount/value duplicate"]);
    let answer = shop.get("/v1/payments?order_id=A&order_id=B").await;
    assert_eq!((answer.status, answer.faults()), (400, vec!["?order_id duplicate".to_owned()]));
    let answer = shop.get("/v1/payments?statu=paid").await;
    assert!(answer.text().contains("status"), "the nearest name is suggested");
    assert_eq!(shop.get("/v1/payments").await.json()["data"], json!([]), "nothing was created");
}

#[tokio::test]
async fn the_same_order_is_one_payment_and_other_content_is_refused() {
    let site = Site::new();
    let shop = site.shop();
    let first = shop.payment("A1").await;
    let again = shop.post("/v1/payments", &order("A1", "100.00")).await;
    assert_eq!((again.status, &again.json()["id"]), (200, &first["id"]));
    // White space and the order of fields are no content.
    let spaced = order("A1", "100.00").replace(",", " , ");
    assert_eq!(shop.post("/v1/payments", &spaced).await.status, 200);
    let other = shop.post("/v1/payments", &order("A1", "1.00")).await;
    refused(&other, 409, "order_id_reused");
    assert!(other.json()["detail"].as_str().unwrap().contains(first["id"].as_str().unwrap()));
}

async fn keyed(shop: &Shop<'_>, key: &str, path: &str, body: &str) -> Answer {
    shop.send(Call::new(Method::POST, path).json(body).header("idempotency-key", key)).await
}

#[tokio::test]
async fn an_idempotency_key_stands_for_one_body() {
    let site = Site::new();
    let shop = site.shop();
    let first = keyed(&shop, "k1", "/v1/payments", &order("A1", "1.00")).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, None));
    let again = keyed(&shop, "k1", "/v1/payments", &order("A1", "1.00")).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, Some("true")));
    assert_eq!(again.body, first.body);
    refused(&keyed(&shop, "k1", "/v1/payments", &order("A2", "1.00")).await, 422, "idempotency_key_reused");
    // Another path is another operation.
    let id = first.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(keyed(&shop, "k1", &format!("/v1/payments/{id}/cancel"), "").await.status, 200);
    // Another merchant's key of the same name is another key.
    let rival = Shop { site: &site, token: Some(site.token(|key| key.scope.merchant = site.rival)) };
    assert_eq!(keyed(&rival, "k1", "/v1/payments", &order("A2", "1.00")).await.status, 201);
    for bad in ["", "键", &"k".repeat(256)] {
        refused(&keyed(&shop, bad, "/v1/payments", &order("A9", "1.00")).await, 400, "idempotency_key_invalid");
    }
    site.pass(Duration::from_hours(72));
    assert_eq!(keyed(&shop, "k1", "/v1/payments", &order("A2", "1.00")).await.status, 201, "forgotten after 72 hours");
}

#[tokio::test]
async fn a_business_refusal_is_stored_and_a_malformed_request_is_not() {
    let site = Site::new();
    let shop = site.shop();
    shop.payment("A1").await;
    let first = keyed(&shop, "k1", "/v1/payments", &order("A1", "1.00")).await;
    refused(&first, 409, "order_id_reused");
    let again = keyed(&shop, "k1", "/v1/payments", &order("A1", "1.00")).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (409, Some("true")));
    assert_eq!(again.body, first.body);
    refused(&keyed(&shop, "k2", "/v1/payments", "{}").await, 400, "invalid_request");
    assert_eq!(keyed(&shop, "k2", "/v1/payments", &order("A2", "1.00")).await.status, 201);
}

#[tokio::test]
async fn a_refusal_for_what_a_field_means_is_an_answer_too() {
    let site = Site::new();
    let shop = site.shop();
    let foreign = order("A1", "1.00").replace("CNY", "XYZ");
    let first = keyed(&shop, "k1", "/v1/payments", &foreign).await;
    refused(&first, 422, "invalid_value");
    assert_eq!(first.header("idempotency-replayed"), None);
    let again = keyed(&shop, "k1", "/v1/payments", &foreign).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (422, Some("true")));
    assert_eq!(again.body, first.body);
    refused(&keyed(&shop, "k1", "/v1/payments", &order("A1", "1.00")).await, 422, "idempotency_key_reused");
    // What never reached an effect is stored with it: an address that may not be called, a payment that does not exist.
    let private = r#"{"url":"http://127.0.0.1/hook"}"#;
    refused(&keyed(&shop, "k2", "/v1/webhook_endpoints", private).await, 422, "invalid_value");
    let missing = "/v1/payments/pay_00000000000000000000000000/cancel";
    refused(&keyed(&shop, "k2", missing, "").await, 404, "payment_not_found");
    for (path, body) in [("/v1/webhook_endpoints", private), (missing, "")] {
        assert_eq!(keyed(&shop, "k2", path, body).await.header("idempotency-replayed"), Some("true"), "{path}");
    }
    // A failed proof is none.
    let stranger = Shop { site: &site, token: None };
    refused(&keyed(&stranger, "k3", "/v1/payments", &foreign).await, 401, "authentication_missing");
    assert_eq!(keyed(&shop, "k3", "/v1/payments", &order("A3", "1.00")).await.status, 201);
}

#[tokio::test]
async fn fifty_creates_at_once_make_one_payment() {
    let site = Site::new();
    let shop = site.shop();
    let body = order("A1", "1.00");
    let create = || tokio::runtime::Runtime::new().unwrap().block_on(keyed(&shop, "k1", "/v1/payments", &body));
    let answers: Vec<_> = std::thread::scope(|threads| {
        let running: Vec<_> = (0..50).map(|_| threads.spawn(create)).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut ids: Vec<_> = answers.iter().map(|answer| answer.json()["id"].as_str().unwrap().to_owned()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.header("idempotency-replayed").is_none()).count(), 1);
    assert_eq!(shop.get("/v1/payments").await.json()["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_open_payment_can_be_changed_and_canceled() {
    let site = Site::new();
    let shop = site.shop();
    let id = shop.payment("A1").await["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/payments/{id}");
    let patch = |body: &str| shop.send(Call::new(Method::PATCH, &path).json(body));
    let changed = patch(r#"{"description":"两只杯子","metadata":{"a":"1"},"expires_in":3600}"#).await.json();
    assert_eq!((&changed["description"], &changed["metadata"]), (&json!("两只杯子"), &json!({"a": "1"})));
    assert_eq!(changed["expires_at"], "2026-11-23T07:00:00.000Z");
    assert_eq!(patch(r#"{"amount":{"currency":"CNY","value":"0.01"}}"#).await.faults(), ["#/amount unknown_field"]);
    assert_eq!(patch(r#"{"expires_in":5}"#).await.faults(), ["#/expires_in too_small"]);

    let canceled = shop.send(Call::new(Method::POST, &format!("{path}/cancel"))).await;
    assert_eq!((canceled.status, &canceled.json()["status"]), (200, &json!("canceled")));
    assert_eq!(canceled.json()["next_action"], json!({"type": "none"}));
    assert_eq!(shop.post(&format!("{path}/cancel"), "{}").await.status, 200, "asked twice is asked once");
    refused(&patch(r#"{"description":"x"}"#).await, 409, "payment_ended");
    refused(&shop.post(&format!("{path}/refunds"), "{}").await, 409, "payment_not_paid");
    assert_eq!(shop.post(&format!("{path}/sync"), "").await.json()["status"], "canceled");
}

#[tokio::test]
async fn a_list_is_paged_from_new_to_old_and_filtered() {
    let site = Site::new();
    let shop = site.shop();
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.insert(0, shop.payment(&format!("A{n}")).await["id"].as_str().unwrap().to_owned());
        site.pass(Duration::from_minutes(1));
    }
    shop.post(&format!("/v1/payments/{}/cancel", ids[2]), "").await;
    let page = async |path: &str| {
        let answer = shop.get(path).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let list = answer.json();
        assert_eq!(list["object"], "list");
        let data = list["data"].as_array().unwrap().iter().map(|p| p["id"].as_str().unwrap().to_owned()).collect();
        (data, list["next"].as_str().map(str::to_owned))
    };
    type PageOf = (Vec<String>, Option<String>);
    let (first, next): PageOf = page("/v1/payments?limit=2").await;
    assert_eq!(first, ids[..2]);
    let (second, next): PageOf = page(&next.unwrap()).await;
    assert_eq!(second, ids[2..4]);
    let (third, next): PageOf = page(&next.unwrap()).await;
    assert_eq!((third, next), (ids[4..].to_vec(), None));
    // Upwards, the nearest ones, still newest first.
    assert_eq!(page(&format!("/v1/payments?limit=2&before={}", ids[4])).await.0, ids[2..4]);
    assert_eq!(page("/v1/payments?status=canceled").await.0, ids[2..3]);
    assert_eq!(page("/v1/payments?status=open&limit=2").await.0, [ids[0].clone(), ids[1].clone()]);
    assert_eq!(page("/v1/payments?order_id=A4").await.0, ids[..1]);
    assert_eq!(page("/v1/payments?order_id=A4&status=paid").await.0, Vec::<String>::new());
    let range = "/v1/payments?created_at[gte]=2026-11-23T06:01:00Z&created_at%5Blt%5D=2026-11-23T06:03:00Z";
    assert_eq!(page(range).await.0, ids[2..4]);
    for (query, fault) in [
        ("limit=0", "?limit too_small"),
        ("limit=101", "?limit too_large"),
        ("status=PAID", "?status not_allowed"),
        ("after=x", "?after bad_format"),
        ("sort=amount", "?sort unknown_field"),
    ] {
        assert_eq!(shop.get(&format!("/v1/payments?{query}")).await.faults(), [fault]);
    }
    let both = shop.get(&format!("/v1/payments?after={}&before={}", ids[0], ids[1])).await;
    assert_eq!(both.faults(), ["?before not_allowed"]);
}
