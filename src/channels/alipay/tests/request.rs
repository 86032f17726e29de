//! Requests, byte for byte, and the limits of their fields.

use super::*;
use crate::channels::statement::{StatementId, StatementKind};
use crate::env::transport::Method as Verb;

/// What an order becomes: the whole parameters when the customer's device carries them, else address and body.
fn built(alipay: &Alipay, order: &str) -> (Option<String>, String, String) {
    let order = match order {
        "precreate" => create(Method::AlipayQr),
        "page" => create(Method::AlipayPage),
        "wap" => create(Method::AlipayWap),
        "app" => create(Method::AlipayApp),
        "barcode" => create(Method::AlipayBarcode),
        "query" => Order::Query(reference(Method::AlipayQr)),
        "close" => Order::Close(reference(Method::AlipayPage)),
        "cancel" => Order::Close(reference(Method::AlipayBarcode)),
        "refund" => refund(),
        "refund_query" => Order::QueryRefund(refund_reference()),
        "bill" => {
            let wanted = StatementId { kind: StatementKind::Trades, day: jiff::civil::date(2026, 11, 17) };
            let request = alipay.request_statement(wanted, &SEALING).unwrap();
            return (None, request.url, String::from_utf8(request.body).unwrap());
        }
        other => panic!("{other}"),
    };
    match alipay.request(&order, &SEALING).unwrap() {
        Prepared::Show(NextAction::Redirect { url }) => {
            (Some(url.strip_prefix(HOST).unwrap()[1..].to_owned()), String::new(), String::new())
        }
        Prepared::Show(NextAction::AppParams { params }) => {
            assert_eq!(params.len(), 1);
            (Some(params["order_string"].clone()), String::new(), String::new())
        }
        Prepared::Call(request) => {
            assert_eq!(request.method, Verb::Post);
            let content_type = request.headers.iter().find(|(name, _)| name == "content-type").unwrap();
            assert_eq!(content_type.1, "application/x-www-form-urlencoded;charset=utf-8");
            (None, request.url, String::from_utf8(request.body).unwrap())
        }
        Prepared::Show(other) => panic!("{other:?}"),
    }
}

#[test]
fn every_request_is_as_an_independent_implementation_builds_it() {
    let vectors = vectors();
    assert_eq!(vectors.requests.len(), 19);
    assert_eq!((attempt().bare(), refund_id().bare()), (vectors.attempt, vectors.refund));
    for expected in vectors.requests {
        let alipay = opened(&match expected.mode.as_str() {
            "key" => by_key(),
            "certificate" => by_certificate(),
            "aes" => by_key_encrypted(),
            other => panic!("{other}"),
        });
        let name = format!("{} {}", expected.mode, expected.order);
        match built(&alipay, &expected.order) {
            (Some(all), _, _) => assert_eq!(all, expected.all, "{name}"),
            (None, url, body) => {
                assert_eq!(url, format!("{HOST}?{}", expected.query), "{name}");
                assert_eq!(body, expected.body, "{name}");
            }
        }
        assert!(expected.signed_text.contains("&sign_type=RSA2&"), "{name}");
    }
}

#[test]
fn the_same_order_is_asked_for_in_the_same_words() {
    let alipay = opened(&by_key());
    for method in [Method::AlipayQr, Method::AlipayBarcode] {
        assert_eq!(call(&alipay, &create(method)), call(&alipay, &create(method)));
    }
}

#[test]
fn what_is_not_in_the_terms_is_not_asked_for() {
    let alipay = opened(&by_key());
    for method in Method::ALL.iter().copied().filter(|method| !METHODS.contains(method)) {
        assert_eq!(alipay.request(&create(method), &SEALING).err(), Some(ChannelError::Unsupported), "{method}");
    }
    let offered: Vec<Method> = alipay.terms().methods.iter().map(|terms| terms.method).collect();
    assert_eq!(offered, METHODS);
    let dollars = CreateOrder { amount: Money::new(1230, Currency::USD), ..create_order(Method::AlipayQr) };
    let refused = alipay.request(&Order::Create(dollars), &SEALING);
    assert!(matches!(refused, Err(ChannelError::Unfit { .. })));
}

/// The content of a request.
fn content(order: CreateOrder) -> serde_json::Value {
    let body = call(&opened(&by_key()), &Order::Create(order)).body;
    let form = wire::parse_form(&body).unwrap();
    serde_json::from_slice(&form[0].1).unwrap()
}

#[test]
fn a_title_fits_alipays_rules_whatever_the_shop_wrote() {
    for (description, subject) in [
        ("a/b=c&d", "a b c d"),
        ("  两\n行\t字 ", "两 行 字"),
        ("=/&", "01M7Q5CQG0040G2081040G2081"),
        ("", "01M7Q5CQG0040G2081040G2081"),
    ] {
        let order = CreateOrder { description: description.to_owned(), ..create_order(Method::AlipayQr) };
        assert_eq!(content(order)["subject"], subject, "{description}");
    }
    let order = CreateOrder { description: "杯".repeat(300), ..create_order(Method::AlipayQr) };
    assert_eq!(content(order)["subject"].as_str().unwrap().chars().count(), 256);
}

#[test]
fn a_shown_code_lives_in_whole_minutes_within_alipays_bounds() {
    for (seconds, timeout) in [(1, "1m"), (45, "1m"), (61, "2m"), (1800, "30m"), (90 * 86_400, "21600m")] {
        let expires_at = NOW.plus(Duration::from_seconds(seconds));
        let order = CreateOrder { expires_at, ..create_order(Method::AlipayBarcode) };
        assert_eq!(content(order)["timeout_express"], timeout);
    }
}

#[test]
fn only_codes_of_alipay_are_charged() {
    let alipay = opened(&by_key());
    let with = |code: Option<&str>| {
        let auth_code = code.map(str::to_owned);
        alipay.request(&Order::Create(CreateOrder { auth_code, ..create_order(Method::AlipayBarcode) }), &SEALING)
    };
    for good in ["2512345678901234", "301234567890123456789012"] {
        assert!(with(Some(good)).is_ok(), "{good}");
    }
    for bad in [
        "",
        "25",
        "2412345678901234",
        "3112345678901234",
        "251234567890123",
        "2512345678901234567890123",
        "25123456789012x4",
        "２5123456789012345",
    ] {
        assert!(matches!(with(Some(bad)), Err(ChannelError::Unfit { .. })), "{bad}");
    }
    assert!(matches!(with(None), Err(ChannelError::Unfit { .. })));
}

#[test]
fn addresses_longer_than_alipay_takes_are_left_out_or_refused() {
    let alipay = opened(&by_key());
    let long = format!("https://pay.example.com/{}", "x".repeat(256));
    let order = CreateOrder { return_url: long.clone(), ..create_order(Method::AlipayWap) };
    let Ok(Prepared::Show(NextAction::Redirect { url })) = alipay.request(&Order::Create(order), &SEALING) else {
        panic!()
    };
    assert!(!url.contains("return_url") && !url.contains("quit_url"));
    let order = CreateOrder { notify_url: long, ..create_order(Method::AlipayWap) };
    assert!(matches!(alipay.request(&Order::Create(order), &SEALING), Err(ChannelError::Unfit { .. })));
}

#[test]
fn a_refund_without_a_reason_says_none() {
    for reason in [None, Some(" \n ".to_owned())] {
        let Order::Refund(order) = refund() else { panic!() };
        let request = call(&opened(&by_key()), &Order::Refund(RefundOrder { reason, ..order }));
        assert!(!String::from_utf8(request.body).unwrap().contains("refund_reason"));
    }
}

#[test]
fn an_account_finds_its_gateway() {
    let record = by_key().to_secret();
    let url = |mode, base: Option<&str>| {
        let channel = open(record.expose(), mode, base, "http://127.0.0.1:8080/").unwrap();
        let Ok(Prepared::Call(request)) = channel.request(&create(Method::AlipayQr), &SEALING) else { panic!() };
        request.url.split('?').next().unwrap().to_owned()
    };
    assert_eq!(url(Mode::Live, None), "https://openapi.alipay.com/gateway.do");
    assert_eq!(url(Mode::Test, None), HOST);
    assert_eq!(
        url(Mode::Test, Some("https://openapi-sandbox.dl.alipaydev.com/gateway.do")),
        "https://openapi-sandbox.dl.alipaydev.com/gateway.do"
    );
    assert_eq!(
        url(Mode::Live, Some("https://relay.example.com/alipay/")),
        "https://relay.example.com/alipay/gateway.do"
    );
}

#[test]
fn nothing_secret_is_printed() {
    let printed = format!("{:?} {:?}", by_key_encrypted(), call(&opened(&by_key()), &create(Method::AlipayQr)));
    assert!(!printed.contains("PRIVATE") && !printed.contains(&vectors().content_key) && !printed.contains("sign="));
}
