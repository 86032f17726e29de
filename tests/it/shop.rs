//! The demo's shop: it buys through the API, believes only signed callbacks and its own questions, and loses nothing.

use std::sync::{Arc, Mutex};

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, body::MessageBody, dev};
use coffer::callbacks::{SigningSecrets, WebhookSecret};
use coffer::crypto::Secret;
use coffer::domain::time::Duration;
use coffer::env::target::TargetPolicy;
use coffer::env::transport::{Limits, OutgoingRequest, OutgoingResponse, SendError, Sending, Transport};
use coffer::env::{Env, SystemEntropy};
use coffer::sandbox::shop::order::{ShopOrder, Status};
use coffer::sandbox::shop::{self, Shop, ShopSettings};
use coffer::store::tables::SHOP_ORDERS;
use coffer::store::{Order, Read, Span, Store, StoreError, StoreOptions};

/// Coffer's API as the shop sees it: answers what it was told to answer, and writes down the questions.
#[derive(Default)]
struct Gateway {
    asked: Mutex<Vec<OutgoingRequest>>,
    /// Status of the payment; `None`: the gateway does not answer at all.
    status: Mutex<Option<&'static str>>,
}

impl Transport for Gateway {
    fn send<'a>(&'a self, request: OutgoingRequest, _: &'a TargetPolicy, _: Limits) -> Sending<'a> {
        let status = *self.status.lock().unwrap();
        let order = serde_json::from_slice::<serde_json::Value>(&request.body).unwrap_or_default();
        let known = self.order_id(&order);
        self.asked.lock().unwrap().push(request);
        Box::pin(async move {
            let status = status.ok_or(SendError::Dns)?;
            Ok(OutgoingResponse {
                status: 200,
                headers: Vec::new(),
                body: payment(&known, status, 2).to_string().into_bytes(),
                truncated: false,
                address: "127.0.0.1:1".parse().unwrap(),
                connect_ms: 0,
                total_ms: 0,
            })
        })
    }
}

impl Gateway {
    /// Of this request, or of the first one that named it.
    fn order_id(&self, body: &serde_json::Value) -> String {
        let asked = self.asked.lock().unwrap();
        let first = asked.iter().find_map(|request| serde_json::from_slice::<serde_json::Value>(&request.body).ok());
        let id = |body: &serde_json::Value| body["order_id"].as_str().map(str::to_owned);
        id(body).or_else(|| first.as_ref().and_then(id)).unwrap_or_default()
    }
}

fn payment(order_id: &str, status: &str, version: u32) -> serde_json::Value {
    serde_json::json!({
        "id": "pay_1", "object": "payment", "order_id": order_id, "status": status, "version": version,
        "amount": {"currency": "CNY", "value": "118.00"}, "amount_refunded": {"currency": "CNY", "value": "0.00"},
        "late": false, "paid_at": null, "checkout_url": "http://gateway.test/c/x", "something_new": [1, 2],
    })
}

struct Street {
    gateway: Arc<Gateway>,
    store: Store,
    env: Env,
    secret: WebhookSecret,
    shop: Shop,
}

fn street() -> Street {
    let gateway = Arc::new(Gateway::default());
    *gateway.status.lock().unwrap() = Some("open");
    let store = Store::open_memory(StoreOptions::default()).unwrap();
    let env = Env::system();
    let secret = WebhookSecret::generate(&SystemEntropy);
    let settings = ShopSettings {
        name: "小杯子店".to_owned(),
        shop_url: "http://shop.test".to_owned(),
        callback_base: Some("http://127.0.0.1:2".to_owned()),
        gateway_url: "http://gateway.test".to_owned(),
        api_url: "http://127.0.0.1:1".to_owned(),
        api_key: Secret::new("sk_test_canary"),
        callback_secret: secret.clone(),
        policy: TargetPolicy::default(),
    };
    let shop = Shop::open(store.clone(), env.clone(), gateway.clone(), settings);
    Street { gateway, store, env, secret, shop }
}

impl Street {
    async fn ask(&self, request: TestRequest) -> dev::ServiceResponse<impl MessageBody> {
        let shop = self.shop.clone();
        let app = init_service(App::new().configure(|config| shop::routes(&shop, config))).await;
        call_service(&app, request.to_request()).await
    }

    async fn page(&self, path: &str) -> String {
        let answer = self.ask(TestRequest::get().uri(path)).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        String::from_utf8(read_body(answer).await.to_vec()).unwrap()
    }

    /// Buys two blue mugs; where the browser is sent.
    async fn buy(&self) -> String {
        let answer = self.ask(TestRequest::post().uri("/shop/buy").set_payload("item=mist-mug&pieces=2")).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        answer.headers().get(header::LOCATION).unwrap().to_str().unwrap().to_owned()
    }

    async fn orders(&self) -> Vec<ShopOrder> {
        let rows = self.store.read(|tx| tx.scan(&SHOP_ORDERS, &Span::all(), Order::Ascending, 100));
        let rows: Result<_, StoreError> = rows.await;
        rows.unwrap().into_iter().map(|(_, order)| order).collect()
    }

    async fn only_order(&self) -> ShopOrder {
        let mut orders = self.orders().await;
        assert_eq!(orders.len(), 1);
        orders.remove(0)
    }

    /// Sends a callback signed with `secret`.
    async fn call_back(&self, secret: &WebhookSecret, id: &str, data: serde_json::Value) -> StatusCode {
        let body = serde_json::json!({"type": "payment.paid", "timestamp": "2026-11-23T00:00:00Z", "data": data});
        let body = body.to_string();
        let now = self.env.now();
        let signature = SigningSecrets::from(secret.clone()).sign(id, now, body.as_bytes());
        let request = TestRequest::post()
            .uri("/shop/callback")
            .insert_header(("webhook-id", id))
            .insert_header(("webhook-timestamp", now.as_seconds().to_string()))
            .insert_header(("webhook-signature", signature))
            .set_payload(body);
        self.ask(request).await.status()
    }

    async fn paid_callback(&self, number: &str) -> StatusCode {
        let secret = self.secret.clone();
        self.call_back(&secret, "evt_1", serde_json::json!({"payment": payment(number, "paid", 3)})).await
    }
}

#[tokio::test]
async fn buying_asks_the_api_and_leads_to_the_cashier() {
    let street = street();
    assert_eq!(street.buy().await, "http://gateway.test/c/x");
    let order = street.only_order().await;
    assert_eq!((order.status, order.amount.to_decimal().as_str()), (Status::Waiting, "118.00"));
    let asked = street.gateway.asked.lock().unwrap();
    let header = |name: &str| asked[0].headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    assert_eq!(asked[0].url, "http://127.0.0.1:1/v1/payments");
    assert_eq!(header("authorization"), Some("Bearer sk_test_canary"));
    assert_eq!(header("idempotency-key"), Some(order.number.as_str()));
    let body: serde_json::Value = serde_json::from_slice(&asked[0].body).unwrap();
    assert_eq!(body["amount"], serde_json::json!({"currency": "CNY", "value": "118.00"}));
    assert_eq!(body["callback_url"], "http://127.0.0.1:2/shop/callback");
    assert_eq!(body["return_url"], format!("http://shop.test/shop/orders/{}", order.number));
}

#[tokio::test]
async fn an_order_survives_a_gateway_that_does_not_answer_and_is_sent_again_under_its_number() {
    let street = street();
    *street.gateway.status.lock().unwrap() = None;
    let back = street.buy().await;
    let order = street.only_order().await;
    assert_eq!(back, format!("http://shop.test/shop/orders/{}", order.number));
    assert_eq!(order.status, Status::New);
    let path = format!("/shop/orders/{}", order.number);
    assert!(street.page(&path).await.contains("再试一次"));
    *street.gateway.status.lock().unwrap() = Some("open");
    let again = street.ask(TestRequest::post().uri(&format!("{path}/pay"))).await;
    assert_eq!(again.headers().get(header::LOCATION).unwrap(), "http://gateway.test/c/x");
    let keys: Vec<_> = street.gateway.asked.lock().unwrap().iter().map(|request| request.body.clone()).collect();
    assert_eq!(keys[0], keys[1], "the same words, so that the gateway answers the same payment");
    assert_eq!(street.only_order().await.status, Status::Waiting);
}

#[tokio::test]
async fn only_a_genuine_callback_or_an_answer_marks_an_order_paid() {
    let street = street();
    street.buy().await;
    let number = street.only_order().await.number;
    // A browser that claims success, in whatever words.
    street.page(&format!("/shop/orders/{number}?status=paid&success=true&payment=pay_1")).await;
    assert_eq!(street.only_order().await.status, Status::Waiting);
    // A stranger's signature, and none at all.
    let stranger = WebhookSecret::generate(&SystemEntropy);
    let data = serde_json::json!({"payment": payment(&number, "paid", 3)});
    assert_eq!(street.call_back(&stranger, "evt_1", data.clone()).await, StatusCode::UNAUTHORIZED);
    let unsigned = TestRequest::post().uri("/shop/callback").set_payload(data.to_string());
    assert_eq!(street.ask(unsigned).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(street.only_order().await.status, Status::Waiting);
    // Ours, twice: heard once.
    for _ in 0..2 {
        assert_eq!(street.paid_callback(&number).await, StatusCode::NO_CONTENT);
    }
    let paid = street.only_order().await;
    assert_eq!(paid.status, Status::Paid);
    assert_eq!(paid.heard.len(), 2, "waiting, then paid");
    assert!(street.page(&format!("/shop/orders/{number}?lang=en")).await.contains("Paid. Thank you!"));
}

#[tokio::test]
async fn the_return_page_asks_instead_of_believing() {
    let street = street();
    street.buy().await;
    *street.gateway.status.lock().unwrap() = Some("paid");
    let number = street.only_order().await.number;
    street.page(&format!("/shop/orders/{number}")).await;
    assert_eq!(street.only_order().await.status, Status::Paid);
}

#[tokio::test]
async fn a_refund_is_counted_once_and_events_of_others_are_only_acknowledged() {
    let street = street();
    street.buy().await;
    let number = street.only_order().await.number;
    street.paid_callback(&number).await;
    let refund = |payment: &str| {
        serde_json::json!({"refund": {
            "id": "re_1", "payment": payment, "status": "succeeded", "amount": {"currency": "CNY", "value": "18.00"},
        }})
    };
    for id in ["evt_2", "evt_2", "evt_3"] {
        assert_eq!(street.call_back(&street.secret, id, refund("pay_1")).await, StatusCode::NO_CONTENT);
    }
    assert_eq!(street.only_order().await.refunded_minor, 1800);
    for data in [
        refund("pay_2"),
        serde_json::json!({"payment": payment("S-other", "paid", 3)}),
        serde_json::json!({"webhook_endpoint": "we_1"}),
    ] {
        assert_eq!(street.call_back(&street.secret, "evt_9", data).await, StatusCode::NO_CONTENT);
    }
    assert_eq!(street.only_order().await.refunded_minor, 1800);
}

#[tokio::test]
async fn what_is_not_for_sale_cannot_be_bought() {
    let street = street();
    for form in ["", "item=gold", "item=mist-mug&pieces=0", "item=mist-mug&pieces=10", "item=mist-mug&pieces=-1"] {
        let answer = street.ask(TestRequest::post().uri("/shop/buy").set_payload(form)).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{form}");
    }
    assert!(street.orders().await.is_empty() && street.gateway.asked.lock().unwrap().is_empty());
    let answer = street.ask(TestRequest::get().uri("/shop/buy?item=mist-mug")).await;
    assert_ne!(answer.status(), StatusCode::SEE_OTHER, "looking buys nothing");
}

#[tokio::test]
async fn pages_need_no_script_and_show_no_secret() {
    let street = street();
    street.buy().await;
    let number = street.only_order().await.number;
    for path in ["/shop".to_owned(), "/shop/orders".to_owned(), format!("/shop/orders/{number}")] {
        for lang in ["zh", "en"] {
            let page = street.page(&format!("{path}?lang={lang}")).await;
            for foreign in ["<script", " style=", "sk_test_canary", "whsec_", "javascript:"] {
                assert!(!page.contains(foreign), "{path}: {foreign}");
            }
        }
    }
    let answer = street.ask(TestRequest::get().uri("/shop")).await;
    let policy = answer.headers().get(header::CONTENT_SECURITY_POLICY).unwrap().to_str().unwrap();
    assert!(policy.contains("form-action 'self' http://gateway.test;"), "{policy}");
}

#[tokio::test]
async fn a_stale_callback_is_refused() {
    let street = street();
    street.buy().await;
    let number = street.only_order().await.number;
    let body =
        serde_json::json!({"type": "payment.paid", "data": {"payment": payment(&number, "paid", 3)}}).to_string();
    for sent in [street.env.now().minus(Duration::from_minutes(10)), street.env.now().plus(Duration::from_minutes(10))]
    {
        let signature = SigningSecrets::from(street.secret.clone()).sign("evt_1", sent, body.as_bytes());
        let request = TestRequest::post()
            .uri("/shop/callback")
            .insert_header(("webhook-id", "evt_1"))
            .insert_header(("webhook-timestamp", sent.as_seconds().to_string()))
            .insert_header(("webhook-signature", signature))
            .set_payload(body.clone());
        assert_eq!(street.ask(request).await.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(street.only_order().await.status, Status::Waiting);
}
