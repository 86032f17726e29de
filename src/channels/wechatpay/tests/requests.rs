//! What is sent, byte for byte, and what is never sent.

use super::*;
use crate::channels::{RefundRedirect, RefundTarget};
use crate::crypto::rsa::{Digest, decrypt_oaep_sha1};
use crate::env::transport::Method as Verb;

fn call(wechat: &WechatPay, order: &Order) -> OutgoingRequest {
    match wechat.request(order, &SEALING) {
        Ok(Prepared::Call(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn header<'a>(request: &'a OutgoingRequest, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

fn body(request: &OutgoingRequest) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// Verb and what stands behind the provider's address.
fn line(order: &Order) -> String {
    let request = call(&wechat(), order);
    format!("{} {}", request.method.as_str(), request.url.strip_prefix(HOST).unwrap())
}

#[track_caller]
fn assert_unfit(order: &Order) {
    let refused = wechat().request(order, &SEALING);
    assert!(matches!(refused, Err(ChannelError::Unfit { .. })), "{refused:?}");
}

#[test]
fn a_native_order_is_these_bytes() {
    let request = call(&wechat(), &Order::Create(create(Method::WechatNative)));
    let expected = concat!(
        r#"{"appid":"wxd678efh567hg6787","mchid":"1900009191","description":"一只马克杯","#,
        r#""out_trade_no":"NUMBER","time_expire":"2026-11-18T19:36:40+08:00","#,
        r#""notify_url":"https://pay.example.com/notify/acc_1","amount":{"total":1230,"currency":"CNY"}}"#
    );
    assert_eq!(String::from_utf8(request.body.clone()).unwrap(), expected.replace("NUMBER", &attempt().bare()));
    assert_eq!((request.method, request.url.as_str()), (Verb::Post, &*format!("{HOST}/v3/pay/transactions/native")));
    for (name, value) in [
        ("accept", "application/json"),
        ("content-type", "application/json"),
        ("wechatpay-serial", KEY_ID),
        ("user-agent", concat!("coffer/", env!("CARGO_PKG_VERSION"))),
    ] {
        assert_eq!(header(&request, name), Some(value));
    }
    let (said, signature) = header(&request, "authorization").unwrap().split_once(",signature=\"").unwrap();
    assert_eq!(
        said,
        "WECHATPAY2-SHA256-RSA2048 mchid=\"1900009191\",nonce_str=\"000102030405060708090A0B0C0D0E0F\",\
         timestamp=\"1795000000\",serial_no=\"5F1C72E2A8931B72A2E13AF8DEE92471EB397115\""
    );
    let signed = [
        b"POST\n/v3/pay/transactions/native\n1795000000\n000102030405060708090A0B0C0D0E0F\n",
        request.body.as_slice(),
        b"\n",
    ]
    .concat();
    let merchant = RsaSigner::read(&key_base64("java_merchant_test")).unwrap();
    assert!(merchant.public().verifies_base64(Digest::Sha256, &signed, signature.trim_end_matches('"')));
}

#[test]
fn each_way_of_paying_says_what_it_needs() {
    let common = |app: &str| {
        json!({
            "appid": app, "mchid": MCH_ID, "description": "一只马克杯", "out_trade_no": attempt().bare(),
            "time_expire": "2026-11-18T19:36:40+08:00", "notify_url": "https://pay.example.com/notify/acc_1",
            "amount": {"total": 1230, "currency": "CNY"},
        })
    };
    let payer = json!({"payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}});
    let h5 = json!({"scene_info": {"payer_client_ip": "203.0.113.7", "h5_info": {"type": "Wap"}}});
    let code = json!({
        "payer": {"auth_code": "134567890123456789"}, "scene_info": {"store_info": {"out_id": MCH_ID}},
        "time_expire": null, "notify_url": null,
    });
    for (method, path, app, more) in [
        (Method::WechatNative, "native", APP_ID, json!({})),
        (Method::WechatJsapi, "jsapi", "wx0000000000000001", payer.clone()),
        (Method::WechatMini, "jsapi", "wx0000000000000002", payer),
        (Method::WechatH5, "h5", APP_ID, h5),
        (Method::WechatApp, "app", "wx0000000000000003", json!({})),
        (Method::WechatBarcode, "codepay", APP_ID, code),
    ] {
        let request = call(&wechat(), &Order::Create(create(method)));
        assert_eq!(request.url, format!("{HOST}/v3/pay/transactions/{path}"));
        assert_eq!(body(&request), merged(common(app), more), "{method}");
    }
}

#[test]
fn questions_closings_and_refunds_have_their_addresses_and_bodies() {
    let number = attempt().bare();
    let order = |suffix: &str| format!("/v3/pay/transactions/out-trade-no/{number}{suffix}");
    let native = reference(Method::WechatNative);
    assert_eq!(line(&Order::Query(native.clone())), format!("GET {}", order("?mchid=1900009191")));
    let known = OrderRef { transaction_id: Some("42/1?x".to_owned()), ..native.clone() };
    assert_eq!(line(&Order::Query(known)), "GET /v3/pay/transactions/id/42%2F1%3Fx?mchid=1900009191");
    assert_eq!(line(&Order::Close(native.clone())), format!("POST {}", order("/close")));
    assert_eq!(body(&call(&wechat(), &Order::Close(native))), json!({"mchid": MCH_ID}));
    let barcode = Order::Close(reference(Method::WechatBarcode));
    assert_eq!(line(&barcode), format!("POST {}", order("/reverse")));
    assert_eq!(body(&call(&wechat(), &barcode)), json!({"appid": APP_ID, "mchid": MCH_ID}));
    let about = Order::QueryRefund(refund_reference());
    assert_eq!(line(&about), format!("GET /v3/refund/domestic/refunds/{}", refund().bare()));
    let refunding = Order::Refund(refund_order());
    assert_eq!(line(&refunding), "POST /v3/refund/domestic/refunds");
    assert_eq!(
        String::from_utf8(call(&wechat(), &refunding).body).unwrap(),
        format!(
            r#"{{"out_trade_no":"{number}","out_refund_no":"{}","reason":"顾客退货","notify_url":"https://pay.example.com/notify/acc_1","amount":{{"refund":600,"total":1230,"currency":"CNY"}}}}"#,
            refund().bare()
        )
    );
    // What is empty is not sent, and has no type.
    assert_eq!(header(&call(&wechat(), &about), "content-type"), None);
}

#[test]
fn a_stuck_refund_is_sent_elsewhere_with_what_is_personal_encrypted() {
    let about = RefundRef { channel_refund_id: Some("5000".to_owned()), ..refund_reference() };
    let order = |to| Order::RedirectRefund(RefundRedirect { about: about.clone(), to });
    let request = call(&wechat(), &order(RefundTarget::Merchant));
    assert_eq!(request.url, format!("{HOST}/v3/refund/domestic/refunds/5000/apply-abnormal-refund"));
    assert_eq!(body(&request), json!({"out_refund_no": refund().bare(), "type": "MERCHANT_BANK_CARD"}));
    let card = || RefundTarget::CustomerCard {
        bank: "ICBC_DEBIT".to_owned(),
        card_no: Secret::new("6222021234567890"),
        holder: Secret::new("张三"),
    };
    for (record, id) in [(credentials(), KEY_ID), (with_certificates(&[PLATFORM_OLD]), OLD_SERIAL)] {
        let request = call(&opened(&record), &order(card()));
        assert_eq!(header(&request, "wechatpay-serial"), Some(id));
        let said = body(&request);
        assert_eq!((text(&said["type"]), text(&said["bank_type"])), ("USER_BANK_CARD", "ICBC_DEBIT"));
        let key = BASE64.decode(key_base64("go_test").as_bytes()).unwrap();
        let open = |name: &str| decrypt_oaep_sha1(&key, &BASE64.decode(text(&said[name]).as_bytes()).unwrap()).unwrap();
        assert_eq!(open("bank_account"), Secret::new("6222021234567890"));
        assert_eq!(open("real_name"), Secret::new("张三"));
    }
    // The newest certificate that is valid encrypts, and without one nothing is sent.
    let both = opened(&with_certificates(&[PLATFORM_NEW, PLATFORM_OLD, PLATFORM_OVER]));
    assert_eq!(header(&call(&both, &order(card())), "wechatpay-serial"), Some(NEW_SERIAL));
    let none = opened(&with_certificates(&[PLATFORM_OVER])).request(&order(card()), &SEALING);
    assert!(matches!(none, Err(ChannelError::Credentials { .. })), "{none:?}");
    assert_unfit(&Order::RedirectRefund(RefundRedirect { about: refund_reference(), to: RefundTarget::Merchant }));
}

#[test]
fn with_certificates_the_provider_chooses_the_key_of_its_answers() {
    let request = call(&opened(&with_certificates(&[PLATFORM_OLD])), &Order::Create(create(Method::WechatNative)));
    assert_eq!(header(&request, "wechatpay-serial"), None);
}

#[test]
fn what_is_signed_is_the_whole_path_as_sent() {
    let simulated =
        WechatPay::open(credentials().to_secret().expose(), "http://127.0.0.1:8080/sim/wechatpay/").unwrap();
    let request = call(&simulated, &Order::Query(reference(Method::WechatNative)));
    let path = format!("/sim/wechatpay/v3/pay/transactions/out-trade-no/{}?mchid=1900009191", attempt().bare());
    assert_eq!(request.url, format!("http://127.0.0.1:8080{path}"));
    let signature = header(&request, "authorization").unwrap().split_once("signature=\"").unwrap().1;
    let said = format!("GET\n{path}\n1795000000\n000102030405060708090A0B0C0D0E0F\n\n");
    let merchant = RsaSigner::read(&key_base64("java_merchant_test")).unwrap();
    assert!(merchant.public().verifies_base64(Digest::Sha256, said.as_bytes(), signature.trim_end_matches('"')));
}

#[test]
fn the_same_order_is_asked_for_in_the_same_words() {
    let order = Order::Create(create(Method::WechatH5));
    assert_eq!(call(&wechat(), &order), call(&wechat(), &order));
    // Also when the payment's number became known meanwhile.
    let mut again = refund_order();
    again.about.order.transaction_id = Some("4200".to_owned());
    assert_eq!(call(&wechat(), &Order::Refund(refund_order())).body, call(&wechat(), &Order::Refund(again)).body);
}

#[test]
fn texts_are_made_to_fit() {
    let described = |description: &str| {
        let order = Order::Create(CreateOrder { description: description.to_owned(), ..create(Method::WechatNative) });
        text(&body(&call(&wechat(), &order))["description"]).to_owned()
    };
    assert_eq!(described(&"杯".repeat(200)), "杯".repeat(127));
    assert_eq!(described(" 杯子🎁 `特价`\n第二行 "), "杯子 特价第二行");
    assert_eq!(described("🎁🎁"), attempt().bare(), "an empty description is refused by the provider");
    let reason = |reason: &str| {
        let order = Order::Refund(RefundOrder { reason: Some(reason.to_owned()), ..refund_order() });
        body(&call(&wechat(), &order))["reason"].clone()
    };
    assert_eq!(reason(&"退".repeat(100)), json!("退".repeat(80)));
    assert_eq!(reason("🎁"), Value::Null, "what is empty is left out, never sent as null");
}

#[test]
fn what_does_not_fit_is_not_sent() {
    let change = |method, change: fn(&mut CreateOrder)| {
        let mut order = create(method);
        change(&mut order);
        Order::Create(order)
    };
    assert_unfit(&change(Method::WechatNative, |order| order.amount = Money::new(1230, Currency::USD)));
    assert_unfit(&change(Method::WechatNative, |order| order.amount = fen(0)));
    assert_unfit(&change(Method::WechatNative, |order| order.notify_url += "?a=1"));
    assert_unfit(&change(Method::WechatNative, |order| order.notify_url += &"x".repeat(255)));
    assert_unfit(&change(Method::WechatJsapi, |order| order.openid = None));
    assert_unfit(&change(Method::WechatMini, |order| order.openid = Some(String::new())));
    assert_unfit(&change(Method::WechatH5, |order| order.customer_ip = None));
    assert_unfit(&change(Method::WechatBarcode, |order| order.auth_code = None));
    assert_unfit(&change(Method::WechatBarcode, |order| order.auth_code = Some("284567890123456789".to_owned())));
    assert_unfit(&Order::Refund(RefundOrder { amount: fen(1231), ..refund_order() }));
    assert_unfit(&Order::Refund(RefundOrder { amount: fen(0), ..refund_order() }));
}

#[test]
fn an_account_offers_what_it_has_an_app_for() {
    let offered = |record: &Credentials| -> Vec<Method> {
        opened(record).terms().methods.iter().map(|terms| terms.method).collect()
    };
    assert_eq!(offered(&credentials()), METHODS);
    let app_ids = AppIds { default: APP_ID.to_owned(), official_account: None, mini_program: None, app: None };
    let plain = Credentials { app_ids, ..credentials() };
    assert_eq!(offered(&plain), [Method::WechatNative, Method::WechatH5, Method::WechatBarcode]);
    for method in Method::ALL.iter().copied().filter(|method| !offered(&plain).contains(method)) {
        let refused = opened(&plain).request(&Order::Create(create(method)), &SEALING);
        assert_eq!(refused.err(), Some(ChannelError::Unsupported), "{method}");
    }
}
