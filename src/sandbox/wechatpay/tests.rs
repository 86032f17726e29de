//! The counter through raw calls, signed here independently: what the provider refuses, and with which words.

mod sdks;

use std::sync::Mutex;

use serde_json::{Value, json};

use super::call::Call;
use super::*;
use crate::crypto::Secret;
use crate::crypto::rsa::{Digest, RsaSigner, RsaVerifier, der_in};
use crate::env::Env;
use crate::env::target::TargetPolicy;
use crate::env::transport::{Limits, Sending, Transport};
use crate::sandbox::provider::Reach;
use crate::sandbox::provider::model::Deed;
use crate::sandbox::provider::records::Mood;
use crate::store::{Store, StoreOptions};

const KEYS: [&str; 6] = [
    include_str!("../../../tests/it/fixtures/rsa/1.pem"),
    include_str!("../../../tests/it/fixtures/rsa/2.pem"),
    include_str!("../../../tests/it/fixtures/rsa/3.pem"),
    include_str!("../../../tests/it/fixtures/rsa/4.pem"),
    include_str!("../../../tests/it/fixtures/rsa/5.pem"),
    include_str!("../../../tests/it/fixtures/rsa/6.pem"),
];

/// A shop that writes down what it is told.
#[derive(Default)]
struct Shop(Mutex<Vec<OutgoingRequest>>);

impl Transport for Shop {
    fn send<'a>(&'a self, request: OutgoingRequest, _: &'a TargetPolicy, _: Limits) -> Sending<'a> {
        self.0.lock().unwrap().push(request);
        let address = "127.0.0.1:80".parse().unwrap();
        let (headers, body) = (Vec::new(), Vec::new());
        let answer =
            OutgoingResponse { status: 204, headers, body, truncated: false, address, connect_ms: 0, total_ms: 0 };
        Box::pin(async move { Ok(answer) })
    }
}

struct Town {
    world: World,
    provider: WechatPay,
    shop: Arc<Shop>,
    side: MerchantSide,
    key: RsaSigner,
}

/// What came back.
struct Heard {
    status: u16,
    body: Value,
    raw: Vec<u8>,
    headers: Vec<(&'static str, String)>,
}

impl Heard {
    fn code(&self) -> (u16, &str) {
        (self.status, self.body.get("code").and_then(Value::as_str).unwrap_or_default())
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn is_signed_by(&self, pem: &str) -> bool {
        let part = |name| self.header(name).unwrap_or_default();
        let head = format!("{}\n{}\n", part("wechatpay-timestamp"), part("wechatpay-nonce"));
        let message = [head.as_bytes(), &self.raw, b"\n"].concat();
        RsaVerifier::read(pem).unwrap().verifies_base64(Digest::Sha256, &message, part("wechatpay-signature"))
    }
}

async fn town(mode: Mode) -> Town {
    let shop = Arc::new(Shop::default());
    let store = Store::open_memory(StoreOptions::default()).unwrap();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let make = move || {
        let place = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Secret::new(der_in(KEYS[place % KEYS.len()]).unwrap())
    };
    let policy = TargetPolicy { allow_loopback: true, https_only: false, ..TargetPolicy::default() };
    let reach = Reach { public_url: "http://sim.test".to_owned(), own_url: None, at_root: false, policy };
    let world = World::new(store, Env::system(), shop.clone(), reach, Arc::new(make));
    let provider = WechatPay::open(&world);
    let side = provider.merchant(mode).await.unwrap();
    let key = RsaSigner::read(&side.private_key).unwrap();
    Town { world, provider, shop, side, key }
}

impl Town {
    fn authorization(&self, method: &str, target: &str, body: &str) -> String {
        let timestamp = Env::system().now().as_seconds();
        let message = format!("{method}\n{target}\n{timestamp}\nabc123\n{body}\n");
        // Another order of parameters than anybody else's.
        format!(
            "WECHATPAY2-SHA256-RSA2048 signature=\"{}\",timestamp=\"{timestamp}\",mchid=\"{}\",nonce_str=\"abc123\",serial_no=\"{}\"",
            self.key.sign_sha256_base64(message.as_bytes()),
            self.side.mchid,
            self.side.serial
        )
    }

    async fn send(&self, authorization: &str, method: &str, target: &str, body: &str, named: Option<&str>) -> Heard {
        let incoming = Incoming {
            method,
            target,
            prefix: "",
            origin: "http://sim.test",
            authorization: Some(authorization),
            wechatpay_serial: named,
            user_agent: Some("test"),
            accept: Some("application/json"),
            content_type: Some("application/json"),
            body: body.as_bytes(),
        };
        let heard = self.provider.serve(incoming).await;
        let body = serde_json::from_slice(&heard.body).unwrap_or_default();
        Heard { status: heard.status, body, raw: heard.body, headers: heard.headers }
    }

    async fn call(&self, method: &str, target: &str, body: Value) -> Heard {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(&self.authorization(method, target, &body), method, target, &body, None).await
    }

    fn order(&self, number: &str) -> Value {
        json!({
            "appid": self.side.appids[0],
            "mchid": self.side.mchid,
            "description": "一只马克杯",
            "out_trade_no": number,
            "notify_url": "http://127.0.0.1:9000/notify",
            "amount": { "total": 1230, "currency": "CNY" },
        })
    }

    /// Makes an order and answers its code.
    async fn native(&self, number: &str) -> [u8; 16] {
        let heard = self.call("POST", "/v3/pay/transactions/native", self.order(number)).await;
        assert_eq!(heard.status, 200, "{}", heard.body);
        self.provider.0.scan(heard.body["code_url"].as_str().unwrap()).unwrap()
    }

    async fn pay(&self, code: [u8; 16], deed: Deed) {
        let done = self.world.act(&self.provider.dialect(), code, deed).await.unwrap();
        done.expect("the code opens an order").expect("the deed is possible");
    }

    async fn query(&self, number: &str) -> Heard {
        let target = format!("/v3/pay/transactions/out-trade-no/{number}?mchid={}", self.side.mchid);
        self.call("GET", &target, Value::Null).await
    }

    async fn faults(&self, faults: &[Fault]) {
        self.world.set_faults(NAME, faults.iter().copied().collect()).await.unwrap();
    }

    /// What the shop was told and could verify and decrypt: event types and plaintexts.
    async fn told(&self) -> Vec<(String, Value)> {
        self.world.work().await.unwrap();
        let letters = std::mem::take(&mut *self.shop.0.lock().unwrap());
        letters.iter().filter_map(|letter| self.open(letter)).collect()
    }

    fn open(&self, letter: &OutgoingRequest) -> Option<(String, Value)> {
        let part = |name: &str| &letter.headers.iter().find(|(known, _)| known == name).unwrap().1;
        let head = format!("{}\n{}\n", part("wechatpay-timestamp"), part("wechatpay-nonce"));
        let message = [head.as_bytes(), &letter.body, b"\n"].concat();
        let key = RsaVerifier::read(&self.side.public_key).unwrap();
        if !key.verifies_base64(Digest::Sha256, &message, part("wechatpay-signature")) {
            return None;
        }
        let body: Value = serde_json::from_slice(&letter.body).unwrap();
        let text = |name: &str| body["resource"][name].as_str().unwrap();
        let mut sealed = data_encoding::BASE64.decode(text("ciphertext").as_bytes()).unwrap();
        let key = ring::aead::UnboundKey::new(&ring::aead::AES_256_GCM, self.side.api_v3_key.as_bytes()).unwrap();
        let nonce = ring::aead::Nonce::try_assume_unique_for_key(text("nonce").as_bytes()).unwrap();
        let about = ring::aead::Aad::from(text("associated_data").as_bytes());
        let plain = ring::aead::LessSafeKey::new(key).open_in_place(nonce, about, &mut sealed).unwrap();
        Some((body["event_type"].as_str().unwrap().to_owned(), serde_json::from_slice(plain).unwrap()))
    }
}

#[tokio::test]
async fn a_payment_is_ordered_paid_told_and_refunded() {
    let town = town(Mode::PublicKey).await;
    let code = town.native("order-1").await;
    let waiting = town.query("order-1").await;
    assert_eq!(waiting.body["trade_state"], "NOTPAY");
    assert!(waiting.body.get("amount").is_none() && waiting.is_signed_by(&town.side.public_key));
    assert_eq!(waiting.header("wechatpay-serial"), Some(town.side.public_key_id.as_str()));
    town.pay(code, Deed::Pay).await;
    let told = town.told().await;
    assert_eq!((told[0].0.as_str(), &told[0].1["amount"]["total"]), ("TRANSACTION.SUCCESS", &json!(1230)));
    let paid = town.query("order-1").await;
    assert_eq!((&paid.body["trade_state"], &paid.body["trade_type"]), (&json!("SUCCESS"), &json!("NATIVE")));
    let by_id =
        format!("/v3/pay/transactions/id/{}?mchid={}", paid.body["transaction_id"].as_str().unwrap(), town.side.mchid);
    assert_eq!(town.call("GET", &by_id, Value::Null).await.body, paid.body);

    let refund = |number: &str, fen: u64| {
        json!({
            "out_trade_no": "order-1",
            "out_refund_no": number,
            "notify_url": "http://127.0.0.1:9000/refunds",
            "amount": { "refund": fen, "total": 1230, "currency": "CNY" },
        })
    };
    let path = "/v3/refund/domestic/refunds";
    let first = town.call("POST", path, refund("R|1@2", 1000)).await;
    assert_eq!((first.status, &first.body["status"]), (200, &json!("PROCESSING")));
    assert_eq!(town.call("POST", path, refund("R|1@2", 1000)).await.body["refund_id"], first.body["refund_id"]);
    assert_eq!(town.call("POST", path, refund("R|1@2", 999)).await.code(), (400, "INVALID_REQUEST"));
    assert_eq!(town.call("POST", path, refund("r2", 1)).await.code(), (429, "FREQUENCY_LIMITED"));
    assert_eq!(town.call("POST", path, refund("r2", 231)).await.code(), (400, "INVALID_REQUEST"), "more than is left");
    town.world.skip(Duration::from_minutes(1)).await.unwrap();
    let told = town.told().await;
    assert_eq!((told[0].0.as_str(), &told[0].1["refund_status"]), ("REFUND.SUCCESS", &json!("SUCCESS")));
    let done = town.call("GET", &format!("{path}/R%7C1%402"), Value::Null).await;
    assert_eq!(done.body["status"], "SUCCESS");
    assert_eq!(town.query("order-1").await.body["trade_state"], "REFUND");
}

#[tokio::test]
async fn whatever_is_wrong_with_a_signature_is_401() {
    let town = town(Mode::PublicKey).await;
    let (path, body) = ("/v3/pay/transactions/native", town.order("order-1").to_string());
    let good = town.authorization("POST", path, &body);
    for bad in [
        String::new(),
        good.replace("WECHATPAY2-SHA256-RSA2048", "Bearer"),
        good.replace("abc123", "abc124"),
        good.replace(&town.side.serial, &"A".repeat(40)),
        good.replace(&town.side.mchid, "1900000999"),
        good.replace("signature=\"", "signature=\"AAAA"),
        good.replace("timestamp=\"", "timestamp=\"1"),
        format!("{good},mchid=\"1\""),
        town.authorization("POST", path, "{}"),
        town.authorization("GET", path, &body),
        town.authorization("POST", "/v3/pay/transactions/jsapi", &body),
    ] {
        assert_eq!(town.send(&bad, "POST", path, &body, None).await.code(), (401, "SIGN_ERROR"), "{bad}");
    }
    assert_eq!(town.send(&good, "POST", path, &body, None).await.status, 200);
    let mut other = town.order("order-2");
    other["mchid"] = json!(Mode::Certificate.mchid());
    assert_eq!(town.call("POST", path, other).await.code(), (401, "SIGN_ERROR"), "mchid of body and signature differ");
}

#[tokio::test]
async fn bodies_are_read_strictly() {
    let town = town(Mode::PublicKey).await;
    let cases: [(&str, Value); 14] = [
        ("/unknown", json!("x")),
        ("/description", json!("字".repeat(128))),
        ("/description", json!("杯子😀")),
        ("/description", Value::Null),
        ("/out_trade_no", json!("short")),
        ("/out_trade_no", json!("with space")),
        ("/out_trade_no", json!("x".repeat(33))),
        ("/amount", json!({ "total": 0 })),
        ("/amount", json!({ "total": 1.5 })),
        ("/amount", json!({ "total": 1, "currency": "USD" })),
        ("/notify_url", json!("http://127.0.0.1:9000/notify?x=1")),
        ("/notify_url", json!("/notify")),
        ("/time_expire", json!("2027-01-01 00:00:00")),
        ("/payer", json!({ "openid": "o1" })),
    ];
    for (field, value) in cases {
        let mut order = town.order("order-1");
        order[&field[1..]] = value;
        let heard = town.call("POST", "/v3/pay/transactions/native", order.clone()).await;
        assert_eq!(heard.code(), (400, "PARAM_ERROR"), "{order}");
    }
    let mut order = town.order("order-1");
    order["extra"] = json!(1);
    let heard = town.call("POST", "/v3/pay/transactions/native", order).await;
    assert!(heard.header("request-id").unwrap().ends_with("-270924358"));
    let mut order = town.order("order-1");
    order["appid"] = json!("wx0000000000000000");
    assert_eq!(town.call("POST", "/v3/pay/transactions/native", order).await.code(), (400, "APPID_MCHID_NOT_MATCH"));
    let missing = town.call("POST", "/v3/pay/transactions/jsapi", town.order("order-1")).await;
    assert_eq!(missing.code(), (400, "PARAM_ERROR"), "jsapi wants the payer");
    assert_eq!(town.query("order-1").await.code(), (404, "ORDER_NOT_EXIST"), "nothing of it was made");
}

#[tokio::test]
async fn an_order_may_be_repeated_until_it_is_paid_or_closed_and_only_unchanged() {
    let town = town(Mode::PublicKey).await;
    let path = "/v3/pay/transactions/native";
    let first = town.native("order-1").await;
    let second = town.native("order-1").await;
    assert_ne!(first, second, "a fresh code");
    assert!(town.world.act(&town.provider.dialect(), first, Deed::Pay).await.unwrap().is_none(), "the old one is dead");
    let mut changed = town.order("order-1");
    changed["amount"]["total"] = json!(1);
    let heard = town.call("POST", path, changed).await;
    assert_eq!(heard.code(), (400, "INVALID_REQUEST"));
    assert!(heard.header("request-id").unwrap().ends_with("-268498688"));
    town.pay(second, Deed::Pay).await;
    assert_eq!(town.call("POST", path, town.order("order-1")).await.code(), (400, "ORDER_PAID"));
    let close = |number: &str| format!("/v3/pay/transactions/out-trade-no/{number}/close");
    let who = json!({ "mchid": town.side.mchid });
    assert_eq!(town.call("POST", &close("order-1"), who.clone()).await.code(), (400, "ORDER_PAID"));
    town.native("order-2").await;
    let closed = town.call("POST", &close("order-2"), who.clone()).await;
    assert!(closed.status == 204 && closed.raw.is_empty() && closed.is_signed_by(&town.side.public_key));
    assert_eq!(town.call("POST", &close("order-2"), who).await.status, 204);
    assert_eq!(town.call("POST", path, town.order("order-2")).await.code(), (400, "ORDER_CLOSED"));
    assert_eq!(town.query("order-2").await.body["trade_state"], "CLOSED");
}

#[tokio::test]
async fn a_shown_code_pays_at_once_or_after_the_password_and_is_reversed() {
    let town = town(Mode::PublicKey).await;
    let path = "/v3/pay/transactions/codepay";
    let order = |number: &str, code: &str| {
        let mut order = town.order(number);
        order.as_object_mut().unwrap().remove("notify_url");
        order["payer"] = json!({ "auth_code": code });
        order["scene_info"] = json!({ "device_ip": "127.0.0.1", "store_info": { "out_id": "1" } });
        order
    };
    let show = async |mood| town.world.show_code(&town.provider.dialect(), mood).await.unwrap();
    let code = show(Mood::Pays).await;
    let paid = town.call("POST", path, order("order-1", &code)).await;
    assert_eq!((paid.status, &paid.body["trade_state"]), (200, &json!("SUCCESS")), "{}", paid.body);
    assert_eq!(town.call("POST", path, order("order-2", &code)).await.code(), (400, "AUTH_CODE_INVALID"), "used");
    assert_eq!(town.query("order-2").await.status, 404);
    let asked = town.call("POST", path, order("order-3", &show(Mood::AskedForPassword).await)).await;
    assert_eq!(asked.code(), (202, "USERPAYING"));
    assert_eq!(town.query("order-3").await.body["trade_state"], "USERPAYING");
    let close = "/v3/pay/transactions/out-trade-no/order-3/close";
    let refused = town.call("POST", close, json!({ "mchid": town.side.mchid })).await;
    assert!(refused.header("request-id").unwrap().ends_with("-268449641"), "only reversal");
    let who = json!({ "appid": town.side.appids[0], "mchid": town.side.mchid });
    for number in ["order-1", "order-3"] {
        let reverse = format!("/v3/pay/transactions/out-trade-no/{number}/reverse");
        assert_eq!(town.call("POST", &reverse, who.clone()).await.status, 200);
        assert_eq!(town.query(number).await.body["trade_state"], "REVOKED");
    }
    let poor = town.call("POST", path, order("order-4", &show(Mood::BalanceShort).await)).await;
    assert_eq!(poor.code(), (403, "NOT_ENOUGH"));
    assert_eq!(town.query("order-4").await.body["trade_state"], "PAYERROR");
    assert!(town.told().await.is_empty(), "code payments never notify");
}

#[tokio::test]
async fn the_key_follows_the_request_and_the_mode() {
    let town = town(Mode::Certificate).await;
    let (serial, _) = town.side.platform_certificate.clone().unwrap();
    let list = town.call("GET", "/v3/certificates", Value::Null).await;
    assert_eq!((list.status, list.header("wechatpay-serial")), (200, Some(serial.as_str())));
    assert_eq!(list.body["data"][0]["serial_no"], json!(serial));
    let target = "/v3/certificates";
    let named = Some(town.side.public_key_id.as_str());
    let by_public = town.send(&town.authorization("GET", target, ""), "GET", target, "", named).await;
    assert!(by_public.is_signed_by(&town.side.public_key));
    let strange = town.send(&town.authorization("GET", target, ""), "GET", target, "", Some("PUB_KEY_ID_1")).await;
    assert_eq!(strange.code(), (400, "PARAM_ERROR"));
    town.faults(&[Fault::NewKey]).await;
    let rotated = town.call("GET", target, Value::Null).await;
    assert_eq!(rotated.body["data"].as_array().unwrap().len(), 2);
    assert_eq!(rotated.header("wechatpay-serial"), rotated.body["data"][1]["serial_no"].as_str());
    let own = self::town(Mode::PublicKey).await;
    let none = own.call("GET", target, Value::Null).await;
    assert_eq!(none.code(), (404, "RESOURCE_NOT_EXISTS"));
    assert!(none.body["message"].as_str().unwrap().starts_with("无可用的平台证书，请在商户平台-API安全申请"));
    assert!(none.is_signed_by(&own.side.public_key), "an answer like others");
}

#[tokio::test]
async fn a_bill_has_its_rows_its_hash_and_its_day() {
    let town = town(Mode::PublicKey).await;
    let code = town.native("order-1").await;
    town.pay(code, Deed::Pay).await;
    let now = town.world.now().await.unwrap();
    let date = now.in_zone("Asia/Shanghai").strftime("%Y-%m-%d").to_string();
    let apply = |query: &str| format!("/v3/bill/{query}bill_date={date}");
    let today = town.call("GET", &apply("tradebill?"), Value::Null).await;
    assert_eq!(today.code(), (400, "INVALID_REQUEST"));
    town.world.skip(Duration::from_hours(40)).await.unwrap();
    for (query, rows) in [("tradebill?", 1), ("tradebill?tar_type=GZIP&", 1), ("fundflowbill?", 2)] {
        let link = town.call("GET", &apply(query), Value::Null).await;
        assert_eq!(link.status, 200, "{}", link.body);
        let url = link.body["download_url"].as_str().unwrap().strip_prefix("http://sim.test").unwrap();
        let file = town.call("GET", url, Value::Null).await;
        assert!(file.status == 200 && file.header("wechatpay-signature").is_none());
        let kind = if query.contains("GZIP") { "application/x-gzip" } else { "text/plain; charset=utf-8" };
        assert_eq!(file.header("content-type"), Some(kind), "SDKs unpack by it");
        let text = if query.contains("GZIP") {
            let mut text = Vec::new();
            std::io::copy(&mut flate2::read::GzDecoder::new(file.raw.as_slice()), &mut text).unwrap();
            text
        } else {
            file.raw
        };
        let hash = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &text);
        assert_eq!(link.body["hash_value"], json!(data_encoding::HEXLOWER.encode(hash.as_ref())));
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with('\u{feff}') && text.contains("`order-1") && text.ends_with("\r\n"), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with('`')).count(), rows + 1, "{text}");
    }
    let none = town.call("GET", &apply("fundflowbill?account_type=FEES&"), Value::Null).await;
    assert_eq!(none.code(), (400, "NO_STATEMENT_EXIST"));
    for (fault, code) in [(Fault::BillLate, "STATEMENT_CREATING"), (Fault::BillRowMissing, "NO_STATEMENT_EXIST")] {
        town.faults(&[fault]).await;
        assert_eq!(town.call("GET", &apply("tradebill?"), Value::Null).await.code(), (400, code));
    }
}

#[tokio::test]
async fn faults_do_what_they_say() {
    let town = town(Mode::PublicKey).await;
    let path = "/v3/pay/transactions/native";
    for (number, fault, done) in [
        ("order-1", Fault::Throttle, false),
        ("order-2", Fault::AnswerError, false),
        ("order-3", Fault::AnswerErrorAfterDoing, true),
        ("order-4", Fault::AnswerCut, true),
    ] {
        town.faults(&[fault]).await;
        town.call("POST", path, town.order(number)).await;
        town.faults(&[]).await;
        let found = town.query(number).await.status;
        // An order that was made keeps its faults for a while.
        let found = if found >= 500 { town.query(number).await.status } else { found };
        assert_eq!(found == 200, done, "{fault:?}: {found}");
    }
    for (number, fault) in
        [("order-5", Fault::AnswerUnsigned), ("order-6", Fault::AnswerTampered), ("order-7", Fault::ProbeAnswer)]
    {
        town.faults(&[fault]).await;
        let signed = async || town.call("POST", path, town.order(number)).await.is_signed_by(&town.side.public_key);
        assert!(!signed().await && !signed().await && signed().await, "{fault:?} ends after two answers");
    }
    for (number, faults, told) in [
        ("order-11", vec![Fault::LoseNotification], 0),
        ("order-12", vec![Fault::DoubleNotification], 2),
        ("order-13", vec![Fault::ForgeNotification], 0),
        ("order-14", vec![Fault::ProbeNotification], 0),
    ] {
        town.faults(&faults).await;
        let code = town.native(number).await;
        town.pay(code, Deed::Pay).await;
        assert_eq!(town.told().await.len(), told, "{faults:?}");
    }
    town.world.skip(Duration::from_seconds(2)).await.unwrap();
    assert!(town.shop.0.lock().unwrap().is_empty());
    town.faults(&[Fault::MisstateAmount]).await;
    let code = town.native("order-15").await;
    town.pay(code, Deed::Pay).await;
    let told = town.told().await;
    assert!(told.iter().any(|(_, plain)| plain["amount"]["total"] == json!(1229)), "{told:?}");
    assert_eq!(town.query("order-15").await.body["amount"]["total"], json!(1230), "a query tells the truth");
}

#[test]
fn what_a_phone_scans_is_found_in_any_wrapping() {
    let merchant = Merchant {
        mode: Mode::PublicKey,
        appids: vec!["wx0123456789abcdef".to_owned()],
        api_v3_key: "0".repeat(32),
        serial: String::new(),
    };
    let asked = super::call::Asked { method: "GET", path: "/v3/none", query: "", body: b"" };
    assert_eq!(Call::read(&asked, "1", &merchant).unwrap_err().status, 404);
    let store = Store::open_memory(StoreOptions::default()).unwrap();
    let reach = Reach { public_url: String::new(), own_url: None, at_root: false, policy: TargetPolicy::default() };
    let world = World::new(store, Env::system(), Arc::new(Shop::default()), reach, Arc::new(|| unreachable!()));
    let provider = WechatPay::open(&world).0;
    let code = "000102030405060708090a0b0c0d0e0f";
    for text in [
        format!("weixin://wxpay/bizpayurl?pr={code}"),
        format!("wx{code}"),
        format!("{{\"appId\":\"wx0123456789abcdef\",\"package\":\"prepay_id=wx{code}\"}}"),
        format!("https://sim.test/sim/wechatpay/h5?prepay_id=wx{code}&package=1"),
    ] {
        assert_eq!(provider.scan(&text), Some(std::array::from_fn(|i| i as u8)), "{text}");
    }
    assert_eq!(provider.scan("https://qr.alipay.com/abc"), None);
}
