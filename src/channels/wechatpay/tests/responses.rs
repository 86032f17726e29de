//! What an answer means, and which answers mean nothing.

use super::*;
use crate::channels::{PaidFacts, RefundRedirect, RefundTarget};
use crate::crypto::rsa::Digest;
use crate::domain::payment::NextAction;

fn query() -> Order {
    Order::Query(reference(Method::WechatNative))
}

fn paid(amount: Money) -> Observation {
    Observation::Paid(PaidFacts {
        amount,
        transaction_id: "4200000000202611230000000001".to_owned(),
        paid_at: NOW,
        identity: Ok(()),
    })
}

#[test]
fn an_accepted_order_shows_what_its_way_needs() {
    let accepted = |method, body: Value| match hear(&Order::Create(create(method)), &answer(200, &body)) {
        Ok(Observation::Accepted { next_action }) => next_action,
        other => panic!("{other:?}"),
    };
    let code = "weixin://wxpay/bizpayurl?pr=abcDEF123";
    let native = accepted(Method::WechatNative, json!({"code_url": code}));
    assert_eq!(native, NextAction::QrCode { data: code.to_owned() });
    let page = "https://wx.tenpay.com/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=wx1";
    let h5 = accepted(Method::WechatH5, json!({"h5_url": page}));
    let url = format!("{page}&redirect_url=https%3A%2F%2Fpay.example.com%2Fc%2Fx%2Freturn");
    assert_eq!(h5, NextAction::Redirect { url });

    let prepared = json!({"prepay_id": "wx201410272009395522657a690389285100"});
    let merchant = RsaSigner::read(&key_base64("java_merchant_test")).unwrap();
    let nonce = sign::pay_nonce("wx201410272009395522657a690389285100", "1795000000");
    assert_eq!(nonce.len(), 32);
    for (method, app) in [(Method::WechatJsapi, "wx0000000000000001"), (Method::WechatMini, "wx0000000000000002")] {
        let NextAction::JsApiParams { mut params } = accepted(method, prepared.clone()) else { panic!() };
        let signature = params.remove("paySign").unwrap();
        let said = format!("{app}\n1795000000\n{nonce}\nprepay_id=wx201410272009395522657a690389285100\n");
        assert!(merchant.public().verifies_base64(Digest::Sha256, said.as_bytes(), &signature));
        let shown = if method == Method::WechatJsapi { params.remove("appId") } else { None };
        assert_eq!(shown.as_deref(), (method == Method::WechatJsapi).then_some(app));
        let expected = [
            ("nonceStr", nonce.as_str()),
            ("package", "prepay_id=wx201410272009395522657a690389285100"),
            ("signType", "RSA"),
            ("timeStamp", "1795000000"),
        ];
        assert_eq!(params.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
    }
    let NextAction::AppParams { mut params } = accepted(Method::WechatApp, prepared) else { panic!() };
    let signature = params.remove("sign").unwrap();
    let said = format!("wx0000000000000003\n1795000000\n{nonce}\nwx201410272009395522657a690389285100\n");
    assert!(merchant.public().verifies_base64(Digest::Sha256, said.as_bytes(), &signature));
    let expected = [
        ("appid", "wx0000000000000003"),
        ("noncestr", nonce.as_str()),
        ("package", "Sign=WXPay"),
        ("partnerid", MCH_ID),
        ("prepayid", "wx201410272009395522657a690389285100"),
        ("timestamp", "1795000000"),
    ];
    assert_eq!(params.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
    // Accepted, but without what the customer needs: nothing that could be shown.
    for body in [json!({}), json!({"code_url": ""}), json!({"code_url": "a\nb"}), json!({"prepay_id": "wx1"})] {
        assert_malformed(hear(&Order::Create(create(Method::WechatNative)), &answer(200, &body)));
    }
}

#[test]
fn a_shown_code_is_charged_or_waits_for_a_password() {
    let charge = Order::Create(create(Method::WechatBarcode));
    let micropay = json!({"trade_type": "MICROPAY"});
    assert_eq!(hear(&charge, &answer(200, &transaction(micropay))), Ok(paid(fen(1230))));
    let waits = json!({"code": "USERPAYING", "message": "需要用户输入支付密码"});
    assert_eq!(hear(&charge, &answer(202, &waits)), Ok(Observation::NotPaid));
    let typing = transaction(json!({"trade_state": "USERPAYING", "transaction_id": null}));
    assert_eq!(hear(&charge, &answer(202, &typing)), Ok(Observation::NotPaid));
    assert!(is_unknown(&hear(&charge, &answer(202, &json!({"code": "ACCEPTED", "message": ""})))));
    for code in ["AUTH_CODE_INVALID", "AUTHCODEEXPIRE", "NOT_ENOUGH"] {
        assert!(matches!(hear(&charge, &refusal(403, code, "")), Ok(Observation::Refused { .. })), "{code}");
    }
    for code in ["SYSTEM_ERROR", "BANK_ERROR"] {
        assert!(is_unknown(&hear(&charge, &refusal(500, code, ""))), "{code}");
    }
    assert_eq!(hear(&charge, &refusal(400, "USERPAYING", "")), Ok(Observation::NotPaid));
    // Reversed; an old answer about another order is as genuine.
    let reverse = Order::Close(reference(Method::WechatBarcode));
    let done = |number: &str| answer(200, &json!({"appid": APP_ID, "mchid": MCH_ID, "out_trade_no": number}));
    assert_eq!(hear(&reverse, &done(&attempt().bare())), Ok(Observation::Closed));
    assert_not_genuine(hear(&reverse, &done("T20260101_0001")));
}

#[test]
fn every_state_has_one_meaning_and_a_strange_one_means_unknown() {
    for state in ["SUCCESS", "REFUND"] {
        let seen = answer(200, &transaction(json!({"trade_state": state})));
        assert_eq!(hear(&query(), &seen), Ok(paid(fen(1230))), "{state}");
    }
    let unpaid = |state: &str| {
        let change = json!({
            "trade_state": state, "trade_state_desc": "说明", "transaction_id": null, "success_time": null,
            "amount": null, "payer": null,
        });
        hear(&query(), &answer(200, &transaction(change))).unwrap()
    };
    for (state, expected) in [
        ("NOTPAY", Observation::NotPaid),
        ("USERPAYING", Observation::NotPaid),
        ("CLOSED", Observation::Closed),
        ("REVOKED", Observation::Closed),
        ("PAYERROR", Observation::Declined { detail: "PAYERROR: 说明".to_owned() }),
        ("ACCEPT", Observation::Unknown { detail: "trade_state ACCEPT: 说明".to_owned() }),
        ("success", Observation::Unknown { detail: "trade_state success: 说明".to_owned() }),
        ("", Observation::Unknown { detail: "trade_state : 说明".to_owned() }),
    ] {
        assert_eq!(unpaid(state), expected);
    }
    // "Paid" without what has to be compared is not believed.
    for missing in ["amount", "transaction_id", "success_time"] {
        let seen = merged(transaction(json!({})), json!({missing: null}));
        assert_malformed(hear(&query(), &answer(200, &seen)));
    }
    let without_currency = transaction(json!({"amount": {"total": 1230}}));
    assert_eq!(hear(&query(), &answer(200, &without_currency)), Ok(paid(fen(1230))), "CNY where nothing is said");
    let with_milliseconds = transaction(json!({"success_time": "2026-11-18T19:06:40.120+08:00"}));
    let Ok(Observation::Paid(facts)) = hear(&query(), &answer(200, &with_milliseconds)) else { panic!() };
    assert_eq!(facts.paid_at, NOW.plus(Duration::from_millis(120)));
}

#[test]
fn whose_payment_and_how_much_is_passed_on_as_told() {
    for change in
        [json!({"mchid": "1900009192"}), json!({"appid": "wx999"}), json!({"mchid": null}), json!({"appid": null})]
    {
        let Ok(Observation::Paid(facts)) = hear(&query(), &answer(200, &transaction(change.clone()))) else { panic!() };
        assert!(facts.identity.is_err(), "{change}");
        // A state without money under a foreign name is not about this account.
        let unpaid = merged(transaction(change), json!({"trade_state": "CLOSED"}));
        assert_not_genuine(hear(&query(), &answer(200, &unpaid)));
    }
    for (total, currency) in [(1, Currency::CNY), (1229, Currency::CNY), (1231, Currency::CNY), (1230, Currency::USD)] {
        let seen = transaction(json!({"amount": {"total": total, "currency": currency.code()}}));
        assert_eq!(hear(&query(), &answer(200, &seen)), Ok(paid(Money::new(total, currency))));
    }
    // Any of the account's own apps, because a merchant may move a method from one to another.
    let other_app = transaction(json!({"appid": "wx0000000000000002"}));
    assert_eq!(hear(&query(), &answer(200, &other_app)), Ok(paid(fen(1230))));
}

#[test]
fn refund_states_have_one_meaning_and_a_strange_one_means_unknown() {
    let about = || Order::QueryRefund(refund_reference());
    let number = "50000000382026112309732678859";
    let channel_refund_id = Some(number.to_owned());
    let hear_state = |state: &str| hear(&about(), &answer(200, &refund_view(json!({"status": state})))).unwrap();
    let processing = Observation::RefundProcessing { channel_refund_id: channel_refund_id.clone() };
    assert_eq!(hear_state("PROCESSING"), processing);
    assert_eq!(hear_state("SUCCESS"), Observation::RefundSucceeded { channel_refund_id, amount: fen(600) });
    assert!(matches!(hear_state("CLOSED"), Observation::RefundFailed { .. }));
    // Neither done nor failed: the money is with the provider until somebody names another card.
    assert!(matches!(
        hear_state("ABNORMAL"),
        Observation::RefundUndeliverable { channel_refund_id: Some(id), .. } if id == number
    ));
    // The merchant has it, and not the customer.
    for own in ["商户基本账户", "商户结算银行账户"] {
        let seen = refund_view(json!({"status": "SUCCESS", "user_received_account": own}));
        let returned = Observation::RefundReturned { channel_refund_id: Some(number.to_owned()), amount: fen(600) };
        assert_eq!(hear(&about(), &answer(200, &seen)), Ok(returned));
    }
    assert!(matches!(hear_state("MAYBE"), Observation::Unknown { .. }));
    let asked = [
        Order::Refund(refund_order()),
        Order::RedirectRefund(RefundRedirect { about: refund_reference(), to: RefundTarget::Merchant }),
    ];
    for order in asked {
        let seen = answer(200, &refund_view(json!({"status": "PROCESSING"})));
        assert_eq!(hear(&order, &seen), Ok(processing.clone()));
        for other in [json!({"out_refund_no": "R1"}), json!({"out_trade_no": "T1"})] {
            assert_not_genuine(hear(&order, &answer(200, &refund_view(other))));
        }
    }
}

#[test]
fn closing_is_confirmed_without_a_body() {
    let close = Order::Close(reference(Method::WechatNative));
    assert_eq!(hear(&close, &answer(204, &Value::Null)), Ok(Observation::Closed));
    let mut unsigned = answer(204, &Value::Null);
    unsigned.headers.clear();
    assert_not_genuine(hear(&close, &unsigned));
}

#[test]
fn a_refusal_means_what_was_asked_makes_of_it() {
    let native = Order::Create(create(Method::WechatNative));
    let close = Order::Close(reference(Method::WechatNative));
    let refund = Order::Refund(refund_order());
    let about = Order::QueryRefund(refund_reference());
    let hears = |order: &Order, status, code, message| hear(order, &refusal(status, code, message));
    for code in ["ORDER_NOT_EXIST", "ORDERNOTEXIST", "ORDER_NOT_EXISTS"] {
        assert_eq!(hears(&query(), 404, code, "订单不存在"), Ok(Observation::NotFound));
        assert_eq!(hears(&close, 404, code, "订单不存在"), Ok(Observation::NotFound));
    }
    assert_eq!(hears(&about, 404, "RESOURCE_NOT_EXISTS", ""), Ok(Observation::NotFound));
    assert_eq!(hears(&close, 400, "ORDER_CLOSED", ""), Ok(Observation::Closed));
    for (order, status, code) in [
        (&native, 400, "PARAM_ERROR"),
        (&native, 403, "RULE_LIMIT"),
        (&native, 500, "OPENID_MISMATCH"),
        (&native, 400, "INVALID_REQUEST"),
        (&native, 403, "NOT_ENOUGH"),
        (&refund, 404, "RESOURCE_NOT_EXISTS"),
        (&refund, 403, "USER_ACCOUNT_ABNORMAL"),
        (&refund, 404, "MCH_NOT_EXISTS"),
        (&refund, 400, "INVALID_REQUEST"),
    ] {
        let Ok(Observation::Refused { code: said, detail }) = hears(order, status, code, "原因") else {
            panic!("{code}");
        };
        assert_eq!((said.as_str(), detail.as_str()), (code, "原因 [Request-ID 08F78BB5AF0610D302-268435461]"));
    }
    // Another account may have what this one lacks; a wrong key or number bars all that the account sends.
    for (status, code, expected) in [
        (400, "APPID_MCHID_NOT_MATCH", Bar::Product),
        (403, "NO_AUTH", Bar::Product),
        (400, "MCH_NOT_EXISTS", Bar::Account),
        (401, "SIGN_ERROR", Bar::Account),
    ] {
        let heard = hears(&native, status, code, "原因");
        assert!(
            matches!(&heard, Ok(Observation::Barred { code: said, bar, .. }) if said == code && *bar == expected),
            "{heard:?}"
        );
    }
    // There is an order under this number, so "nothing was created" would be wrong.
    for (status, code, message) in [
        (400, "ORDER_PAID", "订单已支付"),
        (400, "ORDER_CLOSED", "订单已关闭"),
        (403, "OUT_TRADE_NO_USED", "商户订单号重复"),
        (400, "INVALID_REQUEST", "请求重入时，参数与首次请求时不一致"),
        (400, "INVALID_REQUEST", "该订单已支付"),
        (400, "PARAM_ERROR", "该订单已支付"),
    ] {
        assert!(is_unknown(&hears(&native, status, code, message)), "{code} {message}");
    }
    let mut told_by_number = refusal(400, "INVALID_REQUEST", "…");
    told_by_number.headers[0].1 = "08F7-268498688".to_owned();
    assert!(is_unknown(&hear(&native, &told_by_number)));
    assert!(matches!(
        hears(&close, 400, "ORDER_PAID", "订单已支付"),
        Ok(Observation::Unknown { .. } | Observation::Refused { .. })
    ));
    // A question that is refused, trouble at the provider, and what nobody has described.
    for (order, status, code) in [
        (&query(), 400, "PARAM_ERROR"),
        (&query(), 403, "NO_AUTH"),
        (&about, 403, "NO_AUTH"),
        (&native, 429, "FREQUENCY_LIMITED"),
        (&native, 429, "RATELIMIT_EXCEEDED"),
        (&refund, 429, "RATELIMIT_EXCEED"),
        (&refund, 500, "SYSTEM_ERROR"),
        (&refund, 403, "REQUEST_BLOCKED"),
        (&refund, 403, "NOT_ENOUGH"),
        (&close, 500, "SYSTEM_ERROR"),
        (&native, 503, "SERVICE_UNAVAILABLE"),
        (&native, 400, "A_NEW_CODE"),
        (&native, 404, "ORDER_NOT_EXIST"),
    ] {
        assert!(is_unknown(&hears(order, status, code, "")), "{code}");
    }
    for order in [&query(), &close, &refund, &about] {
        let heard = hears(order, 401, "SIGN_ERROR", "签名错误");
        assert!(matches!(heard, Err(ChannelError::Credentials { .. })), "{heard:?}");
    }
}

#[test]
fn a_refusal_names_the_field_that_was_wrong() {
    let body = json!({
        "code": "PARAM_ERROR", "message": "参数错误",
        "detail": {"field": "/payer/openid", "value": "x", "issue": "…", "location": "body"},
    });
    let response = raw_answer(400, body.to_string().into_bytes(), Vec::new());
    let heard = hear(&Order::Create(create(Method::WechatJsapi)), &response);
    let detail = "参数错误 (/payer/openid)".to_owned();
    assert_eq!(heard, Ok(Observation::Refused { code: "PARAM_ERROR".to_owned(), detail }));
}

#[test]
fn an_answer_that_proves_nothing_is_not_believed() {
    let genuine = answer(200, &transaction(json!({})));
    assert!(hear(&query(), &genuine).is_ok());
    for name in [sign::SIGNATURE_HEADER, sign::NONCE_HEADER, sign::TIMESTAMP_HEADER, sign::SERIAL_HEADER] {
        let mut without = genuine.clone();
        without.headers.retain(|(n, _)| n != name);
        assert_not_genuine(hear(&query(), &without));
        let mut empty = without.clone();
        empty.headers.push((name.to_owned(), String::new()));
        assert_not_genuine(hear(&query(), &empty));
        let mut doubled = genuine.clone();
        doubled.headers.push((name.to_owned(), genuine.header(name).unwrap().to_owned()));
        assert_not_genuine(hear(&query(), &doubled));
    }
    let with = |headers: Vec<(String, String)>| OutgoingResponse { headers, ..genuine.clone() };
    // Another amount than was signed.
    let mut changed = genuine.clone();
    changed.body = String::from_utf8(changed.body).unwrap().replace("1230", "1").into_bytes();
    assert_not_genuine(hear(&query(), &changed));
    // The merchant's own key, a name that is not ours, another algorithm.
    let merchant = RsaSigner::read(&key_base64("java_merchant_test")).unwrap();
    assert_not_genuine(hear(&query(), &with(headers_by(&merchant, KEY_ID, &genuine.body, NOW))));
    assert_not_genuine(hear(&query(), &with(headers_by(&provider(), "PUB_KEY_ID_1", &genuine.body, NOW))));
    let mut downgraded = genuine.clone();
    for (_, value) in downgraded.headers.iter_mut().filter(|(name, _)| name == sign::TYPE_HEADER) {
        *value = "WECHATPAY2-SM2-WITH-SM3".to_owned();
    }
    assert_not_genuine(hear(&query(), &downgraded));
    // Five minutes, in both directions.
    for (seconds, believed) in [(299, true), (300, false), (600, false)] {
        for at in [NOW.plus(Duration::from_seconds(seconds)), NOW.minus(Duration::from_seconds(seconds))] {
            let old = with(headers_by(&provider(), KEY_ID, &genuine.body, at));
            assert_eq!(hear(&query(), &old).is_ok(), believed, "{seconds}");
        }
    }
    // Genuine, but the answer to another question.
    assert_not_genuine(hear(&query(), &answer(200, &transaction(json!({"out_trade_no": "T20260101_0001"})))));
}

#[test]
fn a_probe_is_refused_and_called_a_probe() {
    let mut probe = answer(200, &transaction(json!({})));
    for (_, value) in probe.headers.iter_mut().filter(|(name, _)| name == sign::SIGNATURE_HEADER) {
        *value = format!("WECHATPAY/SIGNTEST/{}", &value[1..]);
    }
    assert_eq!(hear(&query(), &probe), Err(ChannelError::Probe));
}

#[test]
fn trouble_on_the_way_means_unknown() {
    let native = Order::Create(create(Method::WechatNative));
    for (status, body) in [(502, "<html>bad gateway</html>"), (500, ""), (403, "{}"), (302, "")] {
        assert!(is_unknown(&hear(&native, &raw_answer(status, body.into(), Vec::new()))), "{status}");
    }
    let mut cut = answer(200, &json!({"code_url": "weixin://x"}));
    cut.truncated = true;
    assert!(is_unknown(&hear(&native, &cut)));
    let rubbish = b"rubbish".to_vec();
    let signed = headers(&rubbish);
    assert_malformed(hear(&native, &raw_answer(200, rubbish, signed)));
}
