//! What public SDKs send beyond the strict reading of the documents, and version 3 of the interface as they call it.

use super::super::v3;
use super::*;
use crate::sandbox::provider::handout::assert_every_form;

/// As `alipay-sdk` for Node builds a call of version 3 (`curl`); `endpoint` has `prefix` at its end.
struct V3<'a> {
    town: &'a Town,
    prefix: &'a str,
    verb: &'a str,
    path: &'a str,
    body: String,
    encrypt_type: &'a str,
    root_cert_sn: &'a str,
    /// Beside application and certificate.
    nonce_and_time: String,
}

impl<'a> V3<'a> {
    fn post(town: &'a Town, path: &'a str, body: &Value) -> Self {
        let nonce_and_time = format!("nonce=8ecd1fd6,timestamp={}", Env::system().now().as_millis());
        let root_cert_sn = town.sns.as_ref().map_or("", |(_, root)| root.as_str());
        let body = body.to_string();
        Self { town, prefix: "", verb: "POST", path, body, encrypt_type: "", root_cert_sn, nonce_and_time }
    }

    async fn send(&self) -> Outgoing {
        let mut signed = format!("app_id={}", self.town.side.app_id);
        if let Some((app, _)) = &self.town.sns {
            signed += &format!(",app_cert_sn={app}");
        }
        signed += &format!(",{}", self.nonce_and_time);
        let text = format!("{signed}\n{}\n{}\n{}\n", self.verb, self.path, self.body);
        let sign = self.town.key.sign_sha256_base64(text.as_bytes());
        let incoming = v3::Incoming {
            verb: self.verb,
            target: &format!("{}{}", self.prefix, self.path),
            prefix: self.prefix,
            base: "http://sim.test",
            authorization: &format!("ALIPAY-SHA256withRSA {signed},sign={sign}"),
            root_cert_sn: self.root_cert_sn,
            app_auth_token: "",
            encrypt_type: self.encrypt_type,
            body: self.body.as_bytes(),
        };
        self.town.provider.serve_v3(incoming).await
    }

    /// Status and body; a signature is there and right.
    async fn call(&self) -> (u16, Value) {
        let answer = self.send().await;
        let header = |name: &str| answer.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
        let body = String::from_utf8(answer.body.clone()).unwrap();
        let signed = format!("{}\n{}\n{body}\n", header("alipay-timestamp").unwrap(), header("alipay-nonce").unwrap());
        let key = RsaVerifier::read(&self.town.side.alipay_public_key).unwrap();
        assert!(key.verifies_base64(Digest::Sha256, signed.as_bytes(), header("alipay-signature").unwrap()), "{body}");
        assert_eq!(header("alipay-sn").is_some(), self.town.sns.is_some());
        (answer.status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }
}

#[tokio::test]
async fn version_3_reaches_the_same_counter() {
    for mode in Mode::ALL {
        let town = town(mode).await;
        let mut order = town.order("order_3");
        order["notify_url"] = json!("http://127.0.0.1:9000/notify");
        let (status, made) = V3::post(&town, "/v3/alipay/trade/precreate", &order).call().await;
        assert_eq!((status, made["out_trade_no"].as_str(), made.get("code")), (200, Some("order_3"), None));
        let by_number = json!({ "out_trade_no": "order_3" });
        let query = || V3::post(&town, "/v3/alipay/trade/query", &by_number);
        let (status, wrong) = query().call().await;
        assert_eq!((status, &wrong["code"]), (400, &json!("ACQ.TRADE_NOT_EXIST")));
        assert_eq!(wrong["links"].as_array().unwrap().len(), 1);
        town.pay(town.provider.0.scan(made["qr_code"].as_str().unwrap()).unwrap(), Deed::Pay).await;
        assert_eq!(town.told().await[0]["trade_status"], "TRADE_SUCCESS", "notify_url stands in the body");
        assert_eq!(query().call().await.1["trade_status"], "TRADE_SUCCESS");
        // The endpoint has a path of its own, and the SDK signs its own paths only.
        let below = V3 { prefix: "/sim/alipay", ..query() };
        assert_eq!(below.call().await.0, 200);
        let path = "/v3/alipay/data/dataservice/bill/downloadurl/query?bill_type=trade&bill_date=2026-01-02";
        let bill = V3 { verb: "GET", path, body: String::new(), ..query() };
        assert!(bill.call().await.1["bill_download_url"].as_str().unwrap().contains("/bill?token="));
        let key = ContentKey::read(&town.side.content_key).unwrap();
        let sealed = V3 { encrypt_type: "AES", body: key.close(by_number.to_string().as_bytes()), ..query() };
        let plain = key.open(sealed.call().await.1.as_str().unwrap()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&plain).unwrap()["trade_status"], "TRADE_SUCCESS");
        // What is not proven is not carried out and not signed.
        let old = V3 { nonce_and_time: "nonce=1,timestamp=1".to_owned(), ..query() };
        let other = V3 { path: "/v3/alipay/trade/nothing", ..query() };
        for (call, status) in [(old, 400), (other, 404)] {
            let answer = call.send().await;
            assert_eq!(answer.status, status);
            assert!(answer.headers.iter().all(|(name, _)| *name != "alipay-signature"));
        }
        // `alipaysdk/openapi` for PHP sends no header for the root certificate.
        assert_eq!(V3 { root_cert_sn: "", ..query() }.call().await.0, 200);
        if town.sns.is_some() {
            let other_root = V3 { root_cert_sn: "0163beb97c5bccf6ee5b43056c8dab55", ..query() };
            assert_eq!(other_root.send().await.status, 400);
        }
        let stranger = Town { key: RsaSigner::read(KEYS[0]).unwrap(), ..town };
        assert_eq!(V3::post(&stranger, "/v3/alipay/trade/query", &by_number).send().await.status, 401);
    }
}

/// `python-alipay-sdk` names the older product of WAP payments and a code that is sung.
#[tokio::test]
async fn older_names_of_products_and_scenes_are_known() {
    let town = town(Mode::Key).await;
    let mut order = town.order("wap_1");
    order["product_code"] = json!("QUICK_WAP_PAY");
    let answer = town.send(&town.sign(town.parameters("alipay.trade.wap.pay", order))).await;
    assert!(answer.location.is_some(), "{}", String::from_utf8_lossy(&answer.body));
    let mut shown = town.order("code_1");
    (shown["scene"], shown["auth_code"]) = (json!("wave_code"), json!("2812345678901234"));
    refused(&town.call("alipay.trade.pay", shown).await, "40004", "ACQ.PAYMENT_AUTH_CODE_INVALID");
}

/// What the shop's app hands to the wallet is the order: pasting it at the phone makes and finds it.
#[tokio::test]
async fn an_order_text_for_the_app_can_be_paid() {
    let town = town(Mode::Key).await;
    // The Easy SDK does not name the product.
    let order = town.order("app_1");
    let fields = town.sign(town.parameters("alipay.trade.app.pay", order));
    let text = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
    let (_, code) = town.world.find(&text).await.unwrap().expect("the text is an order");
    town.pay(code, Deed::Pay).await;
    let (_, paid) = town.call("alipay.trade.query", json!({ "out_trade_no": "app_1" })).await;
    assert_eq!(paid["trade_status"], "TRADE_SUCCESS");
    let forged = text.replace("12.30", "12.31");
    assert!(town.world.find(&forged).await.unwrap().is_none(), "its signature is checked");
}

/// SDKs differ in the form of keys that they read.
#[tokio::test]
async fn the_merchants_side_is_handed_out_in_every_form() {
    let town = town(Mode::Certificate).await;
    let given = town.provider.0.credentials().unwrap();
    for merchant in given.json["merchants"].as_array().unwrap() {
        let text = |name: &str| merchant[name].as_str().unwrap();
        assert_every_form(merchant);
        assert!(ContentKey::read(text("encrypt_key")).is_some());
        assert_eq!(merchant["app_cert_sn"].is_string(), merchant["mode"] == "certificate");
    }
    let (app, root) = town.sns.clone().unwrap();
    let certified = &given.json["merchants"][1];
    assert_eq!((&certified["app_cert_sn"], &certified["alipay_root_cert_sn"]), (&json!(app), &json!(root)));
    assert_eq!(given.json["base_url"], "http://sim.test/sim/alipay/gateway.do");
}

/// `smartwalle/alipay` for Go and others cut the signature out of the raw text, where the provider writes plain slashes,
/// while those of the node are escaped.
#[tokio::test]
async fn the_signature_stands_in_the_answer_as_plain_base64() {
    let town = town(Mode::Key).await;
    for number in 1..=8 {
        let order = town.order(&format!("order_{number}"));
        let answer = town.send(&town.sign(town.parameters("alipay.trade.precreate", order))).await;
        let text = String::from_utf8(answer.body).unwrap();
        let (node, sign) = text.strip_suffix("\"}").unwrap().split_once(",\"sign\":\"").unwrap();
        assert!(node.contains(r"https:\/\/qr.alipay.com\/"), "{node}");
        assert_eq!(data_encoding::BASE64.decode(sign.as_bytes()).map(|sign| sign.len()), Ok(256), "{sign}");
    }
}

/// Alipay's client for PHP fetches a certificate that it does not know by a call without `version`.
#[tokio::test]
async fn a_certificate_is_told_to_a_call_without_version() {
    let town = town(Mode::Certificate).await;
    let ask = async |method: &str, biz: Value| {
        let mut fields = town.parameters(method, biz);
        fields.remove("version");
        let answer: Value = serde_json::from_slice(&town.send(&town.sign(fields)).await.body).unwrap();
        let node = answer.as_object().unwrap().iter().find(|(name, _)| name.ends_with("_response"));
        node.expect("an answer has one").1.clone()
    };
    let given = town.provider.0.credentials().unwrap();
    let sn = &given.json["merchants"][1]["alipay_cert_sn"];
    let told = ask("alipay.open.app.alipaycert.download", json!({ "alipay_cert_sn": sn })).await;
    assert_eq!((&told["code"], told["alipay_cert_content"].is_string()), (&json!("10000"), true), "{told}");
    let refused = ask("alipay.trade.query", json!({ "out_trade_no": "none" })).await;
    assert_eq!(refused["sub_code"], "isv.missing-version");
}
