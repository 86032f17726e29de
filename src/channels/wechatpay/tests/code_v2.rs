//! Shown codes through V2: what is sent, and what each answer means.

use super::*;
use crate::channels::wechatpay::code_v2::sign::{SignType, sign as sign_v2, verifies};
use crate::channels::wechatpay::code_v2::{Fields, xml};
use crate::env::transport::OutgoingRequest;

const KEY: &str = "192006250b4c09247ec02edce69f6a2d";
const PAID: &str = "4200000000202611230000000001";

fn record() -> Credentials {
    let certificate = Some(include_str!("../fixtures/merchant.pem").to_owned());
    Credentials { code_v2_key: Some(KEY.to_owned()), merchant_certificate: certificate, ..credentials() }
}

fn v2() -> WechatPay {
    opened(&record())
}

fn charge() -> Order {
    Order::Create(create(Method::WechatBarcode))
}

fn query() -> Order {
    Order::Query(reference(Method::WechatBarcode))
}

fn reverse() -> Order {
    Order::Close(reference(Method::WechatBarcode))
}

fn call(order: &Order) -> (OutgoingRequest, Fields) {
    let Prepared::Call(request) = v2().request(order, &SEALING).unwrap() else { panic!("a call") };
    let fields = xml::read(&request.body).unwrap();
    (request, fields)
}

fn said(pairs: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::from(
        [("return_code", "SUCCESS"), ("appid", APP_ID), ("mch_id", MCH_ID), ("nonce_str", "5K8264ILTKCH16CQ")]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    fields.extend(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    fields
}

fn signed_with(kind: SignType, pairs: &[(&str, &str)]) -> OutgoingResponse {
    let mut fields = said(pairs);
    let signature = sign_v2(kind, &fields, &Secret::new(KEY));
    fields.insert("sign".to_owned(), signature);
    raw_answer(200, xml::write(&fields), Vec::new())
}

fn hear(order: &Order, pairs: &[(&str, &str)]) -> Result<Observation, ChannelError> {
    v2().read_response(order, &signed_with(SignType::HmacSha256, pairs), NOW)
}

fn refusal(order: &Order, code: &str, words: &str) -> Result<Observation, ChannelError> {
    hear(order, &[("result_code", "FAIL"), ("err_code", code), ("err_code_des", words)])
}

/// What stands in the answer to a payment.
fn payment(change: &[(&str, &str)]) -> Vec<(String, String)> {
    let number = attempt().bare();
    let mut fields = Fields::from(
        [
            ("result_code", "SUCCESS"),
            ("trade_type", "MICROPAY"),
            ("total_fee", "1230"),
            ("fee_type", "CNY"),
            ("transaction_id", PAID),
            ("out_trade_no", number.as_str()),
            ("time_end", "20261118190640"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    fields.extend(change.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    fields.into_iter().collect()
}

fn tell(order: &Order, change: &[(&str, &str)]) -> Result<Observation, ChannelError> {
    let fields = payment(change);
    hear(order, &fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>())
}

fn paid() -> Result<Observation, ChannelError> {
    let paid_at = Timestamp::parse_rfc3339("2026-11-18T19:06:40+08:00").unwrap();
    let transaction_id = PAID.to_owned();
    Ok(Observation::Paid(crate::channels::PaidFacts { amount: fen(1230), transaction_id, paid_at, identity: Ok(()) }))
}

#[test]
fn a_charge_says_everything_that_the_provider_wants_and_signs_it() {
    let (request, fields) = call(&charge());
    assert_eq!(request.url, format!("{HOST}/pay/micropay"));
    assert_eq!(request.identity, None, "no certificate is asked for here");
    assert!(verifies(&fields, &Secret::new(KEY)));
    let Order::Create(create) = charge() else { unreachable!() };
    let expected = [
        ("appid", APP_ID),
        ("auth_code", create.auth_code.as_deref().unwrap()),
        ("body", create.description.as_str()),
        ("fee_type", "CNY"),
        ("mch_id", MCH_ID),
        ("nonce_str", "000102030405060708090A0B0C0D0E0F"),
        ("out_trade_no", &attempt().bare()),
        ("sign_type", "HMAC-SHA256"),
        ("spbill_create_ip", "203.0.113.7"),
        ("total_fee", "1230"),
    ];
    let without_sign: Vec<_> = fields.iter().filter(|(name, _)| *name != "sign").collect();
    assert_eq!(
        without_sign,
        expected
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .iter()
            .map(|(n, v)| (n, v))
            .collect::<Vec<_>>()
    );
    // Long and strange descriptions are cut between characters, where bytes are counted too.
    let long = Order::Create(CreateOrder {
        description: format!("杯\u{1}子😀{}", "茶".repeat(100)),
        customer_ip: None,
        ..create
    });
    let (_, fields) = call(&long);
    assert_eq!(fields["body"], format!("杯子{}", "茶".repeat(40)));
    assert_eq!(fields["spbill_create_ip"], "127.0.0.1");
}

#[test]
fn questions_name_the_order_and_reversals_show_the_certificate() {
    let (request, fields) = call(&query());
    assert_eq!((request.url, request.identity), (format!("{HOST}/pay/orderquery"), None));
    assert_eq!(fields["out_trade_no"], attempt().bare());
    let known = OrderRef { transaction_id: Some(PAID.to_owned()), ..reference(Method::WechatBarcode) };
    let (_, fields) = call(&Order::Query(known));
    assert_eq!((fields.get("out_trade_no"), fields["transaction_id"].as_str()), (None, PAID));
    let account = v2();
    let identity = || {
        let Prepared::Call(request) = account.request(&reverse(), &SEALING).unwrap() else { panic!("a call") };
        assert_eq!(request.url, format!("{HOST}/secapi/pay/reverse"));
        request.identity.expect("a certificate is shown")
    };
    assert_eq!(identity(), identity(), "an account is always the same");
    assert_ne!(Some(identity()), call(&reverse()).0.identity, "and never another one");
}

#[test]
fn everything_else_goes_on_over_v3() {
    let others = [
        Order::Create(create(Method::WechatNative)),
        Order::Query(reference(Method::WechatNative)),
        Order::Close(reference(Method::WechatH5)),
        Order::Refund(refund_order()),
        Order::QueryRefund(RefundRef { order: reference(Method::WechatBarcode), ..refund_reference() }),
    ];
    for order in others {
        let Prepared::Call(request) = v2().request(&order, &SEALING).unwrap() else { panic!("a call") };
        assert!(request.url.contains("/v3/") && request.identity.is_none(), "{order:?}");
    }
    for order in [charge(), query(), reverse()] {
        let Prepared::Call(request) = wechat().request(&order, &SEALING).unwrap() else { panic!("a call") };
        assert!(request.url.contains("/v3/"), "v3 is the default: {order:?}");
    }
}

#[test]
fn a_charge_is_paid_waits_is_refused_or_unknown() {
    assert_eq!(tell(&charge(), &[]), paid());
    assert_eq!(refusal(&charge(), "USERPAYING", "需要用户输入支付密码"), Ok(Observation::NotPaid));
    for code in ["AUTHCODEEXPIRE", "AUTH_CODE_INVALID", "AUTH_CODE_ERROR", "NOTENOUGH", "NOTSUPORTCARD"] {
        let refused = refusal(&charge(), code, "不行");
        assert_eq!(refused, Ok(Observation::Refused { code: code.to_owned(), detail: "不行".to_owned() }));
    }
    for code in
        ["SYSTEMERROR", "BANKERROR", "ORDERPAID", "OUT_TRADE_NO_USED", "TRADE_ERROR", "ORDERREVERSED", "NEWCODE", ""]
    {
        assert!(is_unknown(&refusal(&charge(), code, "")), "{code}");
    }
    assert!(is_unknown(&refusal(&charge(), "INVALID_REQUEST", "201 商户订单号重复")), "there is one");
    for (code, expected) in [("NOAUTH", Bar::Product), ("SIGNERROR", Bar::Account), ("MCHID_NOT_EXIST", Bar::Account)] {
        let refused = refusal(&charge(), code, "不行");
        assert!(matches!(&refused, Ok(Observation::Barred { bar, .. }) if *bar == expected), "{refused:?}");
    }
    assert!(matches!(refusal(&query(), "SIGNERROR", ""), Err(ChannelError::Credentials { .. })));
}

#[test]
fn every_state_has_one_meaning() {
    for state in ["SUCCESS", "REFUND"] {
        assert_eq!(tell(&query(), &[("trade_state", state)]), paid());
    }
    for (state, expected) in [
        ("NOTPAY", Observation::NotPaid),
        ("USERPAYING", Observation::NotPaid),
        ("CLOSED", Observation::Closed),
        ("REVOKED", Observation::Closed),
        ("PAYERROR", Observation::Declined { detail: "PAYERROR: 支付失败".to_owned() }),
        ("ACCEPT", Observation::Unknown { detail: "trade_state ACCEPT: 支付失败".to_owned() }),
        ("", Observation::Unknown { detail: "trade_state : 支付失败".to_owned() }),
    ] {
        let number = attempt().bare();
        let fields = [
            ("result_code", "SUCCESS"),
            ("trade_state", state),
            ("trade_state_desc", "支付失败"),
            ("out_trade_no", &number),
        ];
        assert_eq!(hear(&query(), &fields), Ok(expected));
    }
    assert_eq!(refusal(&query(), "ORDERNOTEXIST", "订单不存在"), Ok(Observation::NotFound));
    for code in ["SYSTEMERROR", "NOAUTH", "PARAM_ERROR"] {
        assert!(is_unknown(&refusal(&query(), code, "")), "a refused question says nothing of the order: {code}");
    }
}

#[test]
fn a_reversal_is_repeated_until_the_provider_has_done_it() {
    let done = [("result_code", "SUCCESS"), ("recall", "N")];
    assert_eq!(hear(&reverse(), &done), Ok(Observation::Closed));
    assert_eq!(hear(&reverse(), &done[..1]), Ok(Observation::Closed));
    assert!(is_unknown(&hear(&reverse(), &[("result_code", "SUCCESS"), ("recall", "Y")])));
    assert!(is_unknown(&hear(&reverse(), &[("result_code", "SUCCESS"), ("recall", "?")])));
    for code in ["SYSTEMERROR", "REVERSE_EXPIRE", "ORDERNOTEXIST"] {
        let again = [("result_code", "FAIL"), ("err_code", code), ("recall", "Y")];
        assert!(is_unknown(&hear(&reverse(), &again)), "{code}");
    }
    assert!(is_unknown(&refusal(&reverse(), "SYSTEMERROR", "")));
    assert!(is_unknown(&refusal(&reverse(), "TRADE_ERROR", "")));
    assert_eq!(refusal(&reverse(), "ORDERNOTEXIST", ""), Ok(Observation::NotFound));
    assert_eq!(refusal(&reverse(), "ORDERREVERSED", ""), Ok(Observation::Closed));
    assert!(matches!(refusal(&reverse(), "REVERSE_EXPIRE", ""), Ok(Observation::Refused { .. })));
    let page = b"<html><head><title>400 No required SSL certificate was sent</title></head></html>".to_vec();
    let refused = v2().read_response(&reverse(), &raw_answer(400, page, Vec::new()), NOW);
    assert!(matches!(refused, Err(ChannelError::Credentials { .. })), "{refused:?}");
}

#[test]
fn an_answer_counts_only_if_it_is_signed_and_about_this() {
    assert_eq!(
        v2().read_response(
            &charge(),
            &signed_with(SignType::Md5, &[("result_code", "FAIL"), ("err_code", "USERPAYING")]),
            NOW
        ),
        Ok(Observation::NotPaid)
    );
    let raw = |fields: &Fields| v2().read_response(&charge(), &raw_answer(200, xml::write(fields), Vec::new()), NOW);
    let genuine = || {
        let pairs = payment(&[]);
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut fields = said(&pairs);
        let signature = sign_v2(SignType::HmacSha256, &fields, &Secret::new(KEY));
        fields.insert("sign".to_owned(), signature);
        fields
    };
    assert_eq!(raw(&genuine()), paid());
    let mut unsigned = genuine();
    unsigned.remove("sign");
    assert_not_genuine(raw(&unsigned));
    for (name, value) in [("total_fee", "1"), ("attach", "x"), ("sign", "0"), ("result_code", "FAIL")] {
        let mut changed = genuine();
        changed.insert(name.to_owned(), value.to_owned());
        assert_not_genuine(raw(&changed));
    }
    // Signed, and not about this order.
    assert_not_genuine(tell(&charge(), &[("out_trade_no", "T20260101_0001")]));
    assert_not_genuine(tell(&charge(), &[("out_trade_no", "")]));
    assert_not_genuine(hear(&reverse(), &[("result_code", "SUCCESS"), ("out_trade_no", "T20260101_0001")]));
    for change in [[("mch_id", "1900000000")], [("appid", "wx9999999999999999")]] {
        let Ok(Observation::Paid(facts)) = tell(&charge(), &change) else { panic!("money is told") };
        assert!(facts.identity.is_err(), "whose it is, the caller compares");
        assert_not_genuine(hear(&reverse(), &[("result_code", "SUCCESS"), change[0]]));
        assert_not_genuine(hear(&charge(), &[("result_code", "FAIL"), ("err_code", "NOTENOUGH"), change[0]]));
    }
    // "Paid" without what has to be compared is not believed.
    for missing in ["total_fee", "transaction_id", "time_end"] {
        assert_malformed(tell(&charge(), &[(missing, "")]));
    }
    for (name, value) in
        [("total_fee", "+1230"), ("total_fee", "12.30"), ("time_end", "2026-11-18"), ("fee_type", "RMB")]
    {
        assert_malformed(tell(&charge(), &[(name, value)]));
    }
}

#[test]
fn what_is_not_an_answer_is_unknown() {
    let told = |status, body: &str| v2().read_response(&charge(), &raw_answer(status, body.into(), Vec::new()), NOW);
    assert!(is_unknown(&told(502, "<html>502 Bad Gateway</html>")));
    assert!(is_unknown(&told(200, "<xml><return_code>FAIL</return_code><return_msg>系统繁忙</return_msg></xml>")));
    assert!(is_unknown(&told(200, "<xml></xml>")));
    assert!(is_unknown(&hear(&charge(), &[("result_code", "MAYBE")])));
    let sign = told(200, "<xml><return_code>FAIL</return_code><return_msg>签名错误</return_msg></xml>");
    assert!(matches!(sign, Ok(Observation::Barred { bar: Bar::Account, .. })), "{sign:?}");
    assert_malformed(told(200, "{\"code\":\"SUCCESS\"}"));
    assert_malformed(told(200, "<!DOCTYPE x><xml></xml>"));
    let cut = OutgoingResponse { truncated: true, ..signed_with(SignType::HmacSha256, &[("result_code", "SUCCESS")]) };
    assert!(is_unknown(&v2().read_response(&reverse(), &cut, NOW)));
}

#[test]
fn an_account_with_v2_needs_its_key_and_the_certificate() {
    assert!(WechatPay::open(record().to_secret().expose(), HOST).is_ok());
    let stranger = Credentials { merchant_key: key_base64("go_test"), ..record() };
    for bad in [
        Credentials { merchant_certificate: None, ..record() },
        Credentials { code_v2_key: Some("short".to_owned()), ..record() },
        stranger,
    ] {
        let opened = WechatPay::open(bad.to_secret().expose(), HOST);
        assert!(matches!(opened.map(|_| ()), Err(ChannelError::Credentials { .. })));
    }
}
