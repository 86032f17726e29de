//! The gateway through raw calls, signed here independently: what the provider refuses, and with which words.

mod sdks;

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;
use crate::crypto::rsa::{Digest, RsaVerifier, der_in};
use crate::crypto::{ContentKey, Secret};
use crate::env::Env;
use crate::env::target::TargetPolicy;
use crate::env::transport::{Limits, Sending, Transport};
use crate::sandbox::provider::Reach;
use crate::sandbox::provider::model::Deed;
use crate::store::{Store, StoreOptions};

const KEYS: [&str; 6] = [
    include_str!("../../../tests/it/fixtures/rsa/1.pem"),
    include_str!("../../../tests/it/fixtures/rsa/2.pem"),
    include_str!("../../../tests/it/fixtures/rsa/3.pem"),
    include_str!("../../../tests/it/fixtures/rsa/4.pem"),
    include_str!("../../../tests/it/fixtures/rsa/5.pem"),
    include_str!("../../../tests/it/fixtures/rsa/6.pem"),
];

/// A shop that writes down what it is told, and says one word.
#[derive(Default)]
struct Shop(Mutex<Vec<OutgoingRequest>>);

impl Transport for Shop {
    fn send<'a>(&'a self, request: OutgoingRequest, _: &'a TargetPolicy, _: Limits) -> Sending<'a> {
        self.0.lock().unwrap().push(request);
        let (address, body) = ("127.0.0.1:80".parse().unwrap(), b"success".to_vec());
        let answer = OutgoingResponse {
            status: 200,
            headers: Vec::new(),
            body,
            truncated: false,
            address,
            connect_ms: 0,
            total_ms: 0,
        };
        Box::pin(async move { Ok(answer) })
    }
}

struct Town {
    world: World,
    provider: Alipay,
    shop: Arc<Shop>,
    side: MerchantSide,
    key: RsaSigner,
    sns: Option<(String, String)>,
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
    let provider = Alipay::open(&world);
    let side = provider.merchant(mode).await.unwrap();
    let key = RsaSigner::read(&side.private_key).unwrap();
    let number = |whose| provider.0.keys.signer(whose).unwrap().sn.clone();
    let sns = (mode == Mode::Certificate).then(|| (number(Whose::App(mode)), number(Whose::Root)));
    Town { world, provider, shop, side, key, sns }
}

type Fields = BTreeMap<String, String>;

impl Town {
    /// Everything that a good call carries but its signature.
    fn parameters(&self, method: &str, biz: Value) -> Fields {
        let mut fields: Fields = [
            ("app_id", self.side.app_id.as_str()),
            ("method", method),
            ("format", "JSON"),
            ("charset", "utf-8"),
            ("sign_type", "RSA2"),
            ("timestamp", &view::beijing(Env::system().now())),
            ("version", "1.0"),
            ("biz_content", &biz.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        if let Some((app, root)) = &self.sns {
            fields.insert("app_cert_sn".to_owned(), app.clone());
            fields.insert("alipay_root_cert_sn".to_owned(), root.clone());
        }
        fields
    }

    fn sign(&self, mut fields: Fields) -> Fields {
        let parts: Vec<String> = fields
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let sign = self.key.sign_sha256_base64(parts.join("&").as_bytes());
        fields.insert("sign".to_owned(), sign);
        fields
    }

    /// Half in the query, half in the body.
    async fn send(&self, fields: &Fields) -> Outgoing {
        let mut parts = [
            url::form_urlencoded::Serializer::new(String::new()),
            url::form_urlencoded::Serializer::new(String::new()),
        ];
        for (place, (name, value)) in fields.iter().enumerate() {
            parts[place % 2].append_pair(name, value);
        }
        let [query, body] = parts.map(|mut part| part.finish());
        let incoming = Incoming { query: query.as_bytes(), body: body.as_bytes(), base: "http://sim.test/sim/alipay" };
        self.provider.serve(incoming).await
    }

    async fn call(&self, method: &str, biz: Value) -> (String, Value) {
        let answer = self.send(&self.sign(self.parameters(method, biz))).await;
        self.opened(&answer.body)
    }

    /// The node's name and content, its signature checked.
    fn opened(&self, body: &[u8]) -> (String, Value) {
        let text = std::str::from_utf8(body).unwrap();
        let whole: Value = serde_json::from_str(text).unwrap();
        let (name, _) = whole.as_object().unwrap().iter().find(|(name, _)| name.ends_with("_response")).unwrap();
        // The node stands first, and its end is where one of the two other members begins.
        let node = text.strip_prefix(&format!("{{\"{name}\":")).unwrap();
        let end = node.find(",\"alipay_cert_sn\":").or(node.rfind(",\"sign\":")).unwrap();
        let key = RsaVerifier::read(&self.side.alipay_public_key).unwrap();
        let sign = whole["sign"].as_str().unwrap();
        assert!(key.verifies_base64(Digest::Sha256, &node.as_bytes()[..end], sign), "{text}");
        (name.clone(), whole[name].clone())
    }

    fn order(&self, number: &str) -> Value {
        json!({ "out_trade_no": number, "total_amount": "12.30", "subject": "一只马克杯" })
    }

    /// Makes a QR order that notifies, and answers its code.
    async fn qr(&self, number: &str) -> [u8; 16] {
        let mut fields = self.parameters("alipay.trade.precreate", self.order(number));
        fields.insert("notify_url".to_owned(), "http://127.0.0.1:9000/notify".to_owned());
        let (_, node) = self.opened(&self.send(&self.sign(fields)).await.body);
        assert_eq!(node["code"], "10000", "{node}");
        self.provider.0.scan(node["qr_code"].as_str().unwrap()).unwrap()
    }

    async fn pay(&self, code: [u8; 16], deed: Deed) {
        let done = self.world.act(&self.provider.dialect(), code, deed).await.unwrap();
        done.expect("the code opens an order").expect("the deed is possible");
    }

    async fn faults(&self, faults: &[Fault]) {
        self.world.set_faults(NAME, faults.iter().copied().collect()).await.unwrap();
    }

    /// What the shop was told and could verify.
    async fn told(&self) -> Vec<Fields> {
        self.world.work().await.unwrap();
        let letters = std::mem::take(&mut *self.shop.0.lock().unwrap());
        let key = RsaVerifier::read(&self.side.alipay_public_key).unwrap();
        let open = |letter: &OutgoingRequest| {
            let mut fields: Fields = url::form_urlencoded::parse(&letter.body).into_owned().collect();
            let sign = fields.remove("sign").unwrap();
            assert_eq!(fields.remove("sign_type").unwrap(), "RSA2");
            let parts: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
            key.verifies_base64(Digest::Sha256, parts.join("&").as_bytes(), &sign).then_some(fields)
        };
        letters.iter().filter_map(open).collect()
    }
}

#[track_caller]
fn refused((name, node): &(String, Value), code: &str, sub_code: &str) {
    assert_eq!((node["code"].as_str().unwrap(), node["sub_code"].as_str().unwrap()), (code, sub_code), "{name}");
    assert_eq!(name == "error_response", !sub_code.starts_with("ACQ."), "{name} {sub_code}");
}

#[tokio::test]
async fn a_payment_is_ordered_paid_told_and_refunded() {
    for mode in Mode::ALL {
        let town = town(mode).await;
        let by_number = json!({ "out_trade_no": "order_1" });
        let code = town.qr("order_1").await;
        refused(&town.call("alipay.trade.query", by_number.clone()).await, "40004", "ACQ.TRADE_NOT_EXIST");
        refused(&town.call("alipay.trade.close", by_number.clone()).await, "40004", "ACQ.TRADE_NOT_EXIST");
        town.pay(code, Deed::Pay).await;
        let told = town.told().await;
        assert_eq!((told[0]["trade_status"].as_str(), told[0]["total_amount"].as_str()), ("TRADE_SUCCESS", "12.30"));
        assert_eq!((told[0]["seller_id"].as_str(), told[0]["app_id"].as_str()), (mode.pid(), mode.app_id()));
        let (_, paid) = town.call("alipay.trade.query", by_number.clone()).await;
        assert_eq!((&paid["trade_status"], &paid["trade_no"]), (&json!("TRADE_SUCCESS"), &json!(told[0]["trade_no"])));
        // The provider's own number wins over the merchant's.
        let both = json!({ "out_trade_no": "another", "trade_no": paid["trade_no"] });
        assert_eq!(town.call("alipay.trade.query", both).await.1["out_trade_no"], "order_1");
        let refund = |amount: &str, number: &str| json!({ "out_trade_no": "order_1", "refund_amount": amount, "out_request_no": number });
        let ask = |biz: Value| town.call("alipay.trade.refund", biz);
        let (_, first) = ask(refund("6.00", "r1")).await;
        assert_eq!((&first["fund_change"], &first["refund_fee"]), (&json!("Y"), &json!("6.00")));
        assert_eq!(ask(refund("6.00", "r1")).await.1["fund_change"], "N", "given back already");
        refused(&ask(refund("6.01", "r1")).await, "40004", "ACQ.DISCORDANT_REPEAT_REQUEST");
        refused(&ask(refund("6.31", "r2")).await, "40004", "ACQ.REASON_TRADE_REFUND_FEE_ERR");
        let whole = json!({ "out_trade_no": "order_1", "refund_amount": "6.30" });
        refused(&ask(whole).await, "40004", "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL");
        assert_eq!(ask(refund("6.30", "r2")).await.1["refund_fee"], "12.30", "the sum of all");
        let about = |number: &str| json!({ "out_trade_no": "order_1", "out_request_no": number });
        let (_, found) = town.call("alipay.trade.fastpay.refund.query", about("r2")).await;
        assert_eq!((&found["refund_status"], &found["refund_amount"]), (&json!("REFUND_SUCCESS"), &json!("6.30")));
        let (_, nothing) = town.call("alipay.trade.fastpay.refund.query", about("r9")).await;
        assert_eq!((&nothing["code"], nothing.get("refund_status")), (&json!("10000"), None));
        let told = town.told().await;
        let states: Vec<_> = told.iter().map(|t| (t["trade_status"].as_str(), t["out_biz_no"].as_str())).collect();
        assert_eq!(states.len(), 2);
        assert!(states.contains(&("TRADE_SUCCESS", "r1")) && states.contains(&("TRADE_CLOSED", "r2")), "{states:?}");
        assert_eq!(town.call("alipay.trade.query", by_number).await.1["trade_status"], "TRADE_CLOSED");
    }
}

#[tokio::test]
async fn what_a_content_names_has_to_be_what_it_says() {
    let town = town(Mode::Key).await;
    let item = json!({ "goods_id": "mug", "goods_name": "马克杯", "quantity": 1, "price": "12.30" });
    let without = |name: &str| {
        let mut item = item.clone();
        item.as_object_mut().unwrap().remove(name);
        json!([item])
    };
    for (name, value) in [
        ("goods_detail", json!("a mug")),
        ("goods_detail", json!(["a mug"])),
        ("goods_detail", without("goods_id")),
        ("goods_detail", without("quantity")),
        ("goods_detail", without("price")),
        ("extend_params", json!("royalty_freeze")),
        ("discountable_amount", json!("abc")),
        ("timeout_express", json!("1.5h")),
        ("product_code", json!("QUICK_WAP_WAY")),
    ] {
        let mut order = town.order("order_1");
        order[name] = value.clone();
        let (_, node) = town.call("alipay.trade.precreate", order).await;
        assert_eq!(node["sub_code"], "ACQ.INVALID_PARAMETER", "{name} {value} {node}");
    }
    let mut order = town.order("order_1");
    order["goods_detail"] = json!([item]);
    order["discountable_amount"] = json!("0.00");
    assert_eq!(town.call("alipay.trade.precreate", order).await.1["code"], "10000");
    let mut order = town.order("order_2");
    order["buyer_id"] = json!("2088000000000001");
    order["product_code"] = json!("JSAPI_PAY");
    let (_, node) = town.call("alipay.trade.create", order.clone()).await;
    assert_eq!(node["sub_code"], "ACQ.INVALID_PARAMETER", "{node}");
    order["op_app_id"] = json!(town.side.app_id);
    assert_eq!(town.call("alipay.trade.create", order).await.1["code"], "10000");
}

#[test]
fn one_c_ends_with_the_day_in_beijing() {
    let at = |text: &str| view::beijing_time(text).unwrap();
    for now in ["2026-11-23 00:00:00", "2026-11-23 23:59:59"] {
        assert_eq!(view::midnight_after(at(now)), at("2026-11-24 00:00:00"));
    }
}

#[tokio::test]
async fn each_missing_or_wrong_public_parameter_has_its_code() {
    let town = town(Mode::Certificate).await;
    let good = || town.parameters("alipay.trade.query", json!({ "out_trade_no": "x" }));
    for (name, value, code, sub_code) in [
        ("method", "", "40001", "isv.missing-method"),
        ("method", "alipay.trade.nothing", "40002", "isv.invalid-method"),
        ("app_id", "", "40001", "isv.missing-app-id"),
        ("app_id", "2021000000000009", "40002", "isv.invalid-app-id"),
        ("sign_type", "", "40001", "isv.missing-signature-type"),
        ("sign_type", "RSA", "40002", "isv.invalid-signature-type"),
        ("sign_type", "MD5", "40002", "isv.invalid-signature-type"),
        ("charset", "utf-16", "40002", "isv.invalid-charset"),
        ("format", "XML", "40002", "isv.invalid-format"),
        ("version", "", "40001", "isv.missing-version"),
        ("version", "2.0", "40002", "isv.invalid-version"),
        ("timestamp", "", "40001", "isv.missing-timestamp"),
        ("timestamp", "2026-11-18T19:06:40", "40002", "isv.invalid-timestamp"),
        ("timestamp", "2001-01-01 00:00:00", "40002", "isv.invalid-timestamp"),
        ("app_cert_sn", "", "40001", "isv.missing-app-cert-sn"),
        ("app_cert_sn", "0163beb97c5bccf6ee5b43056c8dab55", "40002", "isv.invalid-app-cert-sn"),
        ("alipay_root_cert_sn", "0163beb97c5bccf6ee5b43056c8dab55", "40002", "isv.invalid-alipay-root-cert-sn"),
        ("notify_url", "ftp://127.0.0.1/x", "40002", "isv.invalid-parameter"),
        ("biz_content", "[1]", "40001", "isv.decryption-error-missing-encrypt-type"),
        ("biz_content", "{1}", "40002", "isv.invalid-parameter"),
        ("encrypt_type", "AES", "40002", "isv.decryption-error-not-valid-encrypt-key"),
    ] {
        let mut fields = good();
        fields.insert(name.to_owned(), value.to_owned());
        let answer = town.send(&town.sign(fields)).await;
        let whole: Value = serde_json::from_slice(&answer.body).unwrap();
        let node = &whole["error_response"];
        assert_eq!((&node["code"], &node["sub_code"]), (&json!(code), &json!(sub_code)), "{name} {whole}");
    }
    // What cannot be proven is answered without a signature, and the text that was checked is told.
    let mut forged = town.sign(good());
    forged.insert("biz_content".to_owned(), r#"{"out_trade_no":"y"}"#.to_owned());
    let answer: Value = serde_json::from_slice(&town.send(&forged).await.body).unwrap();
    assert_eq!(answer["error_response"]["sub_code"], "isv.invalid-signature");
    assert!(answer["error_response"]["sub_msg"].as_str().unwrap().contains("&sign_type=RSA2&"));
    assert!(answer.get("sign").is_none());
    // One name with two values.
    let query = b"app_id=1&app_id=2".as_slice();
    let answer = town.provider.serve(Incoming { query, body: b"", base: "" }).await;
    assert!(String::from_utf8(answer.body).unwrap().contains("isv.invalid-parameter"));
}

#[tokio::test]
async fn each_field_of_an_order_has_its_limits() {
    let town = town(Mode::Key).await;
    let with = |name: &str, value: Value| {
        let mut order = town.order("order_1");
        order[name] = value;
        order
    };
    let long = "x".repeat(65);
    for (name, value) in [
        ("out_trade_no", json!("")),
        ("out_trade_no", json!("a-b")),
        ("out_trade_no", json!(long)),
        ("total_amount", json!("0.00")),
        ("total_amount", json!("12.305")),
        ("total_amount", json!("1e3")),
        ("total_amount", json!("-1.00")),
        ("total_amount", json!("100000000.01")),
        ("total_amount", json!(12.305)),
        ("subject", json!("")),
        ("subject", json!("a=b")),
        ("subject", json!("杯".repeat(257))),
        ("timeout_express", json!("16d")),
        ("timeout_express", json!("1.5h")),
        ("time_expire", json!("tomorrow")),
        ("product_code", json!("QUICK_WAP_WAY")),
    ] {
        refused(&town.call("alipay.trade.precreate", with(name, value)).await, "40004", "ACQ.INVALID_PARAMETER");
    }
    let over = with("time_expire", json!("2020-01-01 00:00:00"));
    refused(&town.call("alipay.trade.precreate", over).await, "40004", "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR");
    let number = with("total_amount", json!(12.3));
    assert_eq!(town.call("alipay.trade.precreate", number).await.1["code"], "10000");
    let other = with("total_amount", json!("12.31"));
    refused(&town.call("alipay.trade.precreate", other).await, "40004", "ACQ.CONTEXT_INCONSISTENT");
    let mut pay = with("auth_code", json!("2812345678901234"));
    pay["out_trade_no"] = json!("order_2");
    pay["scene"] = json!("bar_code");
    refused(&town.call("alipay.trade.pay", pay.clone()).await, "40004", "ACQ.PAYMENT_AUTH_CODE_INVALID");
    pay["scene"] = json!("nothing");
    refused(&town.call("alipay.trade.pay", pay).await, "40004", "ACQ.INVALID_PARAMETER");
    refused(&town.call("alipay.trade.create", town.order("o2")).await, "40004", "ACQ.INVALID_PARAMETER");
    let buyer = json!({ "out_trade_no": "o2", "total_amount": "1", "subject": "x", "buyer_id": "2088102100000001" });
    let (_, made) = town.call("alipay.trade.create", buyer).await;
    assert_eq!(made["trade_no"].as_str().unwrap().len(), 28);
    let (_, waits) = town.call("alipay.trade.query", json!({ "out_trade_no": "o2" })).await;
    assert_eq!(waits["trade_status"], "WAIT_BUYER_PAY");
}

#[tokio::test]
async fn a_content_that_is_encrypted_is_answered_so() {
    let town = town(Mode::Key).await;
    let key = ContentKey::read(&town.side.content_key).unwrap();
    for (scheme, number) in [("AES", "order_1"), ("AES_V2", "order_2")] {
        let plain = town.order(number).to_string();
        let (by_zeros, by_chance) = (key.close(plain.as_bytes()), key.close_v2(&[7; 16], plain.as_bytes()));
        let (right, wrong) = if scheme == "AES" { (by_zeros, by_chance) } else { (by_chance, by_zeros) };
        let mut fields = town.parameters("alipay.trade.precreate", json!({}));
        fields.insert("encrypt_type".to_owned(), scheme.to_owned());
        fields.insert("biz_content".to_owned(), wrong);
        let (name, _) = town.opened(&town.send(&town.sign(fields.clone())).await.body);
        assert_eq!(name, "error_response", "{scheme}: closed in the other way");
        fields.insert("biz_content".to_owned(), right);
        let (_, node) = town.opened(&town.send(&town.sign(fields)).await.body);
        let node = node.as_str().unwrap();
        let opened = if scheme == "AES" { key.open(node) } else { key.open_v2(node) };
        let plain: Value = serde_json::from_slice(&opened.unwrap()).unwrap();
        assert_eq!((&plain["code"], &plain["out_trade_no"]), (&json!("10000"), &json!(number)), "{scheme}");
    }
}

#[tokio::test]
async fn a_call_in_gbk_is_understood_and_answered_in_gbk() {
    let town = town(Mode::Key).await;
    let mut fields = town.parameters("alipay.trade.precreate", town.order("order_1"));
    fields.insert("charset".to_owned(), "gbk".to_owned());
    let bytes = |text: &str| encoding_rs::GBK.encode(text).0.into_owned();
    let parts: Vec<Vec<u8>> = fields.iter().map(|(name, value)| bytes(&format!("{name}={value}"))).collect();
    let sign = town.key.sign_sha256_base64(&parts.join(&b'&'));
    fields.insert("sign".to_owned(), sign);
    let encoded = |value: &str| url::form_urlencoded::byte_serialize(&bytes(value)).collect::<String>();
    let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let body = body.join("&");
    let incoming = Incoming { query: b"", body: body.as_bytes(), base: "" };
    let answer = town.provider.serve(incoming).await;
    assert!(answer.body.starts_with(b"{\"alipay_trade_precreate_response\":{\"code\":\"10000\""));
}

#[tokio::test]
async fn notifications_climb_the_ladder_until_they_are_heard() {
    let town = town(Mode::Key).await;
    let deaf = OutgoingResponse {
        status: 200,
        headers: Vec::new(),
        body: b"SUCCESS".to_vec(),
        truncated: false,
        address: "127.0.0.1:80".parse().unwrap(),
        connect_ms: 0,
        total_ms: 0,
    };
    for (status, body, heard) in [
        (200, "success", true),
        (200, "success\n", false),
        (200, "SUCCESS", false),
        (201, "success", false),
        (200, "", false),
    ] {
        let answer = OutgoingResponse { status, body: body.as_bytes().to_vec(), ..deaf.clone() };
        assert_eq!(town.provider.0.heard(&answer), heard, "{status} {body}");
    }
    assert_eq!(LADDER.iter().map(|gap| gap.as_seconds()).sum::<u64>(), 24 * 3600 + 24 * 60);
    let code = town.qr("order_1").await;
    town.pay(code, Deed::PayTwiceTold).await;
    let told = town.told().await;
    assert_eq!(told.len(), 2);
    assert_eq!(told[0]["notify_id"], told[1]["notify_id"]);
    town.faults(&[Fault::ForgeNotification]).await;
    let code = town.qr("order_2").await;
    town.pay(code, Deed::Pay).await;
    assert!(town.told().await.is_empty(), "a forged one does not verify");
}
