//! Answers: what each state and code means, and what is not believed.

use super::*;
use crate::channels::errors::{Advice, Concerns};

const TRADE: &str = "2026111822001468450512505578";

fn number() -> String {
    attempt().bare()
}

fn paid(status: &str) -> String {
    format!(
        r#"{{"code":"10000","msg":"Success","out_trade_no":"{}","trade_no":"{TRADE}","trade_status":"{status}","total_amount":"12.30","send_pay_date":"2026-11-18 19:05:00","buyer_logon_id":"a**@b.c","fund_bill_list":[{{"amount":"12.30","fund_channel":"PCREDIT"}}]}}"#,
        number()
    )
}

fn facts() -> PaidFacts {
    PaidFacts {
        amount: Money::new(1230, Currency::CNY),
        transaction_id: TRADE.to_owned(),
        paid_at: NOW.minus(Duration::from_seconds(100)),
        identity: Ok(()),
    }
}

fn failed(code: &str, sub_code: &str) -> String {
    format!(r#"{{"code":"{code}","msg":"Business Failed","sub_code":"{sub_code}","sub_msg":"说明"}}"#)
}

fn query() -> Order {
    Order::Query(reference(Method::AlipayQr))
}

fn cancel() -> Order {
    Order::Close(reference(Method::AlipayBarcode))
}

#[test]
fn answers_that_alipays_clients_publish_verify_and_the_changed_one_does_not() {
    #[derive(Deserialize)]
    struct Vector {
        kind: String,
        public_key_spki_b64: String,
        signed_text: String,
        signature_b64: String,
        valid: bool,
    }
    let all: Vec<Vector> = serde_json::from_str(include_str!("../fixtures/signature.json")).unwrap();
    assert_eq!(all.len(), 4, "three answers, and a notification that is read elsewhere");
    let answers: Vec<&Vector> = all.iter().filter(|vector| vector.kind == "sync_response_node").collect();
    assert_eq!(answers.iter().map(|vector| vector.valid).collect::<Vec<_>>(), [true, true, false]);
    for vector in answers {
        let trust = Trust::Key { alipay_public_key: vector.public_key_spki_b64.clone() };
        let alipay = opened(&Credentials { trust, ..by_key() });
        let verified = alipay.keys.verify(vector.signed_text.as_bytes(), &vector.signature_b64, None, NOW);
        assert_eq!(verified.is_ok(), vector.valid);
    }
}

#[test]
fn a_precreated_order_shows_its_code() {
    let order = create(Method::AlipayQr);
    let node = format!(
        r#"{{"code":"10000","msg":"Success","out_trade_no":"{}","qr_code":"https:\/\/qr.alipay.com\/bax00"}}"#,
        number()
    );
    let data = "https://qr.alipay.com/bax00".to_owned();
    let shown = Ok(Observation::Accepted { next_action: NextAction::QrCode { data } });
    assert_eq!(hear(&order, &node), shown);
    // Signed with plain slashes, sent with escaped ones.
    let sign = RsaSigner::read(ALIPAY_KEY).unwrap().sign_sha256_base64(node.replace(r"\/", "/").as_bytes());
    let body = format!(r#"{{"alipay_trade_precreate_response":{node},"sign":"{sign}"}}"#);
    assert_eq!(opened(&by_key()).read_response(&order, &raw_answer(body), NOW), shown);
    for bad in ["", "two words", &"x".repeat(2000)] {
        let node = format!(r#"{{"code":"10000","out_trade_no":"{}","qr_code":"{bad}"}}"#, number());
        assert_malformed(hear(&order, &node));
    }
}

#[test]
fn every_state_has_one_meaning_and_a_strange_one_means_unknown() {
    assert_eq!(hear(&query(), &paid("TRADE_SUCCESS")), Ok(Observation::Paid(facts())));
    assert_eq!(hear(&query(), &paid("TRADE_FINISHED")), Ok(Observation::Paid(facts())));
    assert_eq!(hear(&query(), &paid("WAIT_BUYER_PAY")), Ok(Observation::NotPaid));
    assert_eq!(hear(&query(), &paid("TRADE_CLOSED")), Ok(Observation::Closed));
    for strange in ["", "trade_success", "TRADE_PENDING", "SUCCESS"] {
        assert_unknown(hear(&query(), &paid(strange)));
    }
    // Money is not lost for want of a time, and not taken without number or amount.
    let timeless = paid("TRADE_SUCCESS").replace("2026-11-18 19:05:00", "soon");
    assert_eq!(hear(&query(), &timeless), Ok(Observation::Paid(PaidFacts { paid_at: NOW, ..facts() })));
    for (from, to) in [("12.30\",\"send", "12.345\",\"send"), ("\"total_amount\":\"12.30\",", ""), (TRADE, "")] {
        assert_malformed(hear(&query(), &paid("TRADE_SUCCESS").replacen(from, to, 1)));
    }
    let dollars = paid("TRADE_SUCCESS").replace("{\"code\"", "{\"trans_currency\":\"USD\",\"code\"");
    let Ok(Observation::Paid(told)) = hear(&query(), &dollars) else { panic!() };
    assert_eq!(told.amount, Money::new(1230, Currency::USD));
}

#[test]
fn a_payment_code_is_paid_waits_or_is_refused() {
    let order = create(Method::AlipayBarcode);
    let node = paid("TRADE_SUCCESS").replace("send_pay_date", "gmt_payment");
    assert_eq!(hear(&order, &node), Ok(Observation::Paid(facts())));
    let waits = format!(r#"{{"code":"10003","msg":"order success pay inprocess","out_trade_no":"{}"}}"#, number());
    assert_eq!(hear(&order, &waits), Ok(Observation::NotPaid));
    assert_unknown(hear(&query(), &waits));
    assert!(matches!(hear(&order, &failed("40004", "ACQ.BUYER_BALANCE_NOT_ENOUGH")), Ok(Observation::Declined { .. })));
    assert!(matches!(
        hear(&order, &failed("40004", "ACQ.PAYMENT_AUTH_CODE_INVALID")),
        Ok(Observation::Declined { .. })
    ));
}

#[test]
fn closing_and_reversing_say_what_became_of_the_order() {
    let close = Order::Close(reference(Method::AlipayPage));
    let done = format!(r#"{{"code":"10000","out_trade_no":"{}","trade_no":"{TRADE}"}}"#, number());
    assert_eq!(hear(&close, &done), Ok(Observation::Closed));
    assert_eq!(hear(&close, &failed("40004", "ACQ.TRADE_NOT_EXIST")), Ok(Observation::NotFound));
    for (rest, expected) in [
        (r#""retry_flag":"N","action":"close""#, Some(Observation::Closed)),
        (r#""retry_flag":"N","action":"refund""#, Some(Observation::Closed)),
        (r#""retry_flag":"N""#, Some(Observation::NotFound)),
        (r#""retry_flag":"Y","action":"close""#, None),
        (r#""retry_flag":"N","action":"else""#, None),
    ] {
        let heard = hear(&cancel(), &format!(r#"{{"code":"10000","out_trade_no":"{}",{rest}}}"#, number()));
        match expected {
            Some(expected) => assert_eq!(heard, Ok(expected), "{rest}"),
            None => assert_unknown(heard),
        }
    }
    assert_unknown(hear(&cancel(), &failed("40004", "AQC.SYSTEM_ERROR")));
    for code in ["ACQ.TRADE_STATUS_ERROR", "ACQ.TRADE_CANCEL_TIME_OUT", "ACQ.SOMETHING_NEW"] {
        assert!(matches!(hear(&cancel(), &failed("40004", code)), Ok(Observation::Refused { .. })), "{code}");
    }
}

#[test]
fn a_refund_moved_money_only_when_alipay_says_so() {
    let node = |change: &str, sum: &str| {
        format!(r#"{{"code":"10000","out_trade_no":"{}","fund_change":"{change}","refund_fee":"{sum}"}}"#, number())
    };
    let done = Ok(Observation::RefundSucceeded { channel_refund_id: None, amount: Money::new(600, Currency::CNY) });
    assert_eq!(hear(&refund(), &node("Y", "6.00")), done);
    // The sum is that of all refunds of the trade.
    assert_eq!(hear(&refund(), &node("Y", "12.30")), done);
    assert_eq!(hear(&refund(), &node("N", "6.00")), Ok(Observation::RefundProcessing { channel_refund_id: None }));
    for (change, sum) in [("Y", "5.99"), ("Y", "12.31"), ("MAYBE", "6.00")] {
        assert_unknown(hear(&refund(), &node(change, sum)));
    }
    assert_malformed(hear(&refund(), &node("Y", "")));
}

#[test]
fn a_refund_that_is_asked_about_is_done_unknown_or_to_be_sent_again() {
    let ask = |seconds| {
        let created_at = NOW.minus(Duration::from_seconds(seconds));
        Order::QueryRefund(RefundRef { created_at, ..refund_reference() })
    };
    let (number, request) = (number(), refund_id().bare());
    let done = |amount: &str, request: &str| {
        format!(
            r#"{{"code":"10000","out_trade_no":"{number}","out_request_no":"{request}","refund_amount":"{amount}","total_amount":"12.30","refund_status":"REFUND_SUCCESS"}}"#
        )
    };
    for (amount, minor) in [("6.00", 600), ("5.99", 599)] {
        let amount_told = Money::new(minor, Currency::CNY);
        let told = Ok(Observation::RefundSucceeded { channel_refund_id: None, amount: amount_told });
        assert_eq!(hear(&ask(60), &done(amount, &request)), told);
    }
    assert_not_genuine(hear(&ask(60), &done("6.00", "01JD0000000000000000000000")));
    let nothing = r#"{"code":"10000","msg":"Success"}"#;
    assert_eq!(hear(&ask(10), nothing), Ok(Observation::NotFound));
    assert_unknown(hear(&ask(9), nothing));
    let strange = done("6.00", &request).replace("REFUND_SUCCESS", "REFUND_PROCESSING");
    assert_unknown(hear(&ask(60), &strange));
    assert_eq!(hear(&ask(60), &failed("40004", "ACQ.TRADE_NOT_EXIST")), Ok(Observation::NotFound));
}

#[test]
fn every_code_of_the_table_means_what_its_advice_says() {
    let created = [create(Method::AlipayQr), create(Method::AlipayBarcode)];
    for meaning in errors::TABLE {
        let node = failed("40004", meaning.code);
        for order in &created {
            let heard = hear(order, &node).unwrap();
            let fits = match (meaning.advice, meaning.concerns) {
                (Advice::Ask | Advice::Repeat, _) => matches!(heard, Observation::Unknown { .. }),
                (Advice::Stop, Concerns::Customer) => matches!(heard, Observation::Declined { .. }),
                // Another account may have what this one lacks.
                (Advice::Stop, Concerns::Merchant) => matches!(heard, Observation::Barred { bar: Bar::Product, .. }),
                (Advice::Stop, _) => matches!(heard, Observation::Refused { .. }),
            };
            assert!(fits, "{}: {heard:?}", meaning.code);
        }
        let heard = hear(&refund(), &node).unwrap();
        let fits = match meaning.advice {
            Advice::Repeat => matches!(heard, Observation::Unknown { .. }),
            Advice::Ask | Advice::Stop => matches!(heard, Observation::Refused { .. }),
        };
        assert!(fits, "{}: {heard:?}", meaning.code);
        // A question moves nothing, so no code ends anything but "there is none".
        for order in [query(), Order::QueryRefund(refund_reference())] {
            let heard = hear(&order, &node).unwrap();
            let expected_missing = meaning.code == errors::TRADE_NOT_EXIST;
            assert_eq!(heard == Observation::NotFound, expected_missing, "{}", meaning.code);
            assert!(expected_missing || matches!(heard, Observation::Unknown { .. }), "{}", meaning.code);
        }
    }
}

#[test]
fn what_nobody_described_is_asked_about() {
    assert_unknown(hear(&create(Method::AlipayBarcode), &failed("40004", "ACQ.BRAND_NEW")));
    assert!(matches!(hear(&refund(), &failed("40004", "ACQ.BRAND_NEW")), Ok(Observation::Refused { .. })));
    assert_unknown(hear(&create(Method::AlipayQr), &failed("20000", "isp.unknow-error")));
    assert_unknown(hear(&create(Method::AlipayQr), &failed("40005", "isv.app-call-limited")));
    assert_unknown(hear(&create(Method::AlipayQr), &failed("55555", "")));
}

#[test]
fn faults_of_keys_and_contracts_ask_for_other_credentials() {
    for (code, sub_code) in [
        ("40002", "isv.invalid-signature"),
        ("40001", "isv.missing-app-id"),
        ("40002", "isv.invalid-app-cert-sn"),
        ("20001", "aop.invalid-auth-token"),
        ("40006", "isv.insufficient-isv-permissions"),
        ("40006", "isv.brand-new-permission"),
    ] {
        for order in [query(), refund()] {
            let heard = hear(&order, &failed(code, sub_code));
            assert!(matches!(heard, Err(ChannelError::Credentials { .. })), "{sub_code}: {heard:?}");
        }
        let heard = hear(&create(Method::AlipayQr), &failed(code, sub_code)).unwrap();
        let expected = if code == "40006" { Bar::Product } else { Bar::Account };
        assert!(matches!(heard, Observation::Barred { bar, .. } if bar == expected), "{sub_code}: {heard:?}");
    }
}

#[test]
fn an_answer_that_proves_nothing_is_not_believed() {
    let alipay = opened(&by_key());
    let name = node_of(&query());
    let read = |body: String| alipay.read_response(&query(), &raw_answer(body), NOW);
    let node = paid("TRADE_SUCCESS");
    // A success without a signature, with an empty one, with another's.
    assert_not_genuine(read(format!(r#"{{"{name}":{node}}}"#)));
    assert_not_genuine(read(format!(r#"{{"{name}":{node},"sign":""}}"#)));
    assert_not_genuine(read(format!(r#"{{"error_response":{node},"sign":""}}"#)));
    assert_not_genuine(alipay.read_response(&query(), &signed_answer(&name, &node, ALIPAY_NEXT_KEY, None), NOW));
    // Our own key is no key of Alipay's.
    assert_not_genuine(alipay.read_response(&query(), &signed_answer(&name, &node, APP_KEY, None), NOW));
    // Changed after signing: each byte of the node.
    let genuine = answer(&name, &node);
    let start = name.len() + 4;
    for i in start..start + node.len() {
        let mut changed = genuine.clone();
        changed.body[i] ^= 1;
        let heard = alipay.read_response(&query(), &changed, NOW);
        assert!(heard.is_err(), "byte {i}: {heard:?}");
    }
    // Genuine, but the answer to another question, or to the same one about another order.
    assert_malformed(alipay.read_response(&query(), &answer("alipay_trade_pay_response", &node), NOW));
    assert_not_genuine(hear(&query(), &node.replace(&number(), "01JD0000000000000000000000")));
    assert_malformed(hear(&query(), &node.replace("out_trade_no", "other")));
    // Two values of one field.
    assert_malformed(hear(&query(), &node.replace("{\"code\"", "{\"total_amount\":\"0.01\",\"code\"")));
}

#[test]
fn a_refusal_that_nobody_signed_says_at_most_that_the_account_may_order_nothing() {
    let alipay = opened(&by_key());
    for order in [create(Method::AlipayQr), create(Method::AlipayBarcode), query(), cancel(), refund()] {
        for name in [node_of(&order), "error_response".to_owned()] {
            for (code, sub) in [
                ("40002", "isv.invalid-app-id"),
                ("40004", "ACQ.TRADE_NOT_EXIST"),
                ("40004", "ACQ.BUYER_BALANCE_NOT_ENOUGH"),
                ("40002", "isv.invalid-signature"),
            ] {
                let body = format!(r#"{{"{name}":{}}}"#, failed(code, sub));
                let heard = alipay.read_response(&order, &raw_answer(body), NOW);
                if matches!(order, Order::Create(_)) && sub.starts_with("isv.") {
                    assert!(matches!(heard, Ok(Observation::Barred { bar: Bar::Account, .. })), "{heard:?}");
                } else {
                    assert_unknown(heard);
                }
            }
        }
    }
    // Signed, it says what it says.
    let node = failed("40002", "isv.invalid-parameter");
    let heard = alipay.read_response(&create(Method::AlipayQr), &answer("error_response", &node), NOW);
    assert!(matches!(heard, Ok(Observation::Refused { .. })), "{heard:?}");
    assert_malformed(alipay.read_response(&query(), &answer("error_response", &paid("TRADE_SUCCESS")), NOW));
}

#[test]
fn trouble_on_the_way_means_unknown() {
    let alipay = opened(&by_key());
    for status in [302, 404, 500, 502] {
        let response = OutgoingResponse { status, ..answer(&node_of(&query()), &paid("TRADE_SUCCESS")) };
        assert_unknown(alipay.read_response(&query(), &response, NOW));
    }
    let cut = OutgoingResponse { truncated: true, ..answer(&node_of(&query()), &paid("TRADE_SUCCESS")) };
    assert_unknown(alipay.read_response(&query(), &cut, NOW));
    for hostile in [b"".to_vec(), b"<html>".to_vec(), vec![0xff; 100], vec![b'{'; 60_000], b"null".to_vec()] {
        assert_malformed(alipay.read_response(&query(), &raw_answer(hostile), NOW));
    }
    assert_malformed(hear(&query(), r#"{"code":10000}"#));
    assert_malformed(hear(&query(), "[]"));
}

#[test]
fn an_encrypted_answer_is_verified_with_its_quotes_and_then_opened() {
    let record = by_key_encrypted();
    let key = crate::crypto::ContentKey::read(record.content_key.as_ref().unwrap()).unwrap();
    let closed = format!("\"{}\"", key.close(paid("TRADE_SUCCESS").as_bytes()));
    let response = answer(&node_of(&query()), &closed);
    assert_eq!(opened(&record).read_response(&query(), &response, NOW), Ok(Observation::Paid(facts())));
    // An answer from before the key was changed.
    let other = data_encoding::BASE64.encode(&[7; 16]);
    let changed = Credentials { content_key: Some(other), ..by_key() };
    assert!(opened(&changed).read_response(&query(), &response, NOW).is_err());
    let kept = changed.replacing(&record);
    assert_eq!(opened(&kept).read_response(&query(), &response, NOW), Ok(Observation::Paid(facts())));
    // Without the key, or with what does not open, nothing is concluded.
    let heard = opened(&by_key()).read_response(&query(), &response, NOW);
    assert!(matches!(heard, Err(ChannelError::Credentials { .. })));
    let rubbish = answer(&node_of(&query()), "\"AAAA\"");
    assert!(matches!(opened(&record).read_response(&query(), &rubbish, NOW), Err(ChannelError::Credentials { .. })));
    // Faults at the gateway come in the open.
    assert_unknown(opened(&record).read_response(&query(), &answer("error_response", &failed("20000", "x")), NOW));
}

#[test]
fn the_certificate_that_signed_has_to_be_known_and_in_time() {
    let sns = vectors().sns;
    let alipay = opened(&by_certificate());
    let name = node_of(&query());
    let read = |key: &str, sn: Option<&str>, now| {
        alipay.read_response(&query(), &signed_answer(&name, &paid("TRADE_SUCCESS"), key, sn), now)
    };
    assert_eq!(read(ALIPAY_KEY, Some(&sns.alipay), NOW), Ok(Observation::Paid(facts())));
    assert_eq!(read(ALIPAY_KEY, None, NOW), Ok(Observation::Paid(facts())));
    assert_not_genuine(read(ALIPAY_NEXT_KEY, Some(&sns.next), NOW));
    assert_not_genuine(read(ALIPAY_NEXT_KEY, Some(&sns.alipay), NOW));
    assert_not_genuine(read(ALIPAY_KEY, Some(&sns.next), NOW));
    // 2031-01-01, the end of the certificate.
    let late = Timestamp::parse_rfc3339("2031-01-02T00:00:00Z").unwrap();
    assert_not_genuine(read(ALIPAY_KEY, Some(&sns.alipay), late));
    assert_not_genuine(read(ALIPAY_KEY, None, late));
}
