//! What each answer means, and which are not believed.

use super::*;
use crate::channels::PaidFacts;
use crate::channels::errors::{Advice, Concerns, find};
use crate::domain::payment::NextAction;

const GATEWAY: Method = Method::UnionpayGateway;

fn query(method: Method) -> Order {
    Order::Query(reference(method))
}

fn after_the_end() -> Timestamp {
    expiry().plus(Duration::from_seconds(60))
}

/// An answer to a query, with the transaction's result.
fn result(code: &str) -> Fields {
    said(&[&PAID[..], &[("origRespCode", code), ("origRespMsg", "交易失败[1000000]")]].concat())
}

#[test]
fn an_accepted_order_shows_what_its_method_needs() {
    let qr = hear(&Order::Create(create(Method::UnionpayQr)), said(&[("qrCode", "https://qr.95516.com/0001?x=1")]));
    let data = "https://qr.95516.com/0001?x=1".to_owned();
    assert_eq!(qr, Ok(Observation::Accepted { next_action: NextAction::QrCode { data } }));
    let app = hear(&Order::Create(create(Method::UnionpayApp)), said(&[("tn", "612345678901234567890")])).unwrap();
    let Observation::Accepted { next_action: NextAction::AppParams { params } } = app else { panic!("{app:?}") };
    assert_eq!(params.get("tn").map(String::as_str), Some("612345678901234567890"));
    assert_eq!(params.get("mode").map(String::as_str), Some("01"), "the app must talk to the same server");
    // A 00 for a code that the customer showed is acceptance, not money.
    let barcode = Order::Create(create(Method::UnionpayBarcode));
    assert_eq!(hear(&barcode, said(&PAID)), Ok(Observation::NotPaid));
    assert_eq!(hear(&barcode, said(&[("respCode", "05")])), Ok(Observation::NotPaid));
    for (method, without) in [(Method::UnionpayQr, "qrCode"), (Method::UnionpayApp, "tn")] {
        let result = hear(&Order::Create(create(method)), said(&[]));
        assert!(matches!(result, Err(ChannelError::Malformed { .. })), "{without}");
    }
}

#[test]
fn a_paid_order_tells_all_its_facts() {
    let facts = PaidFacts {
        amount: Money::new(1230, Currency::CNY),
        transaction_id: "782611181906400000001".to_owned(),
        paid_at: time::read_beijing("20261118190702").unwrap(),
        identity: Ok(()),
    };
    for code in ["00", "A6"] {
        assert_eq!(hear(&query(GATEWAY), result(code)), Ok(Observation::Paid(facts.clone())));
    }
    let mut discounted = result("00");
    discounted.put("settleAmt", "1000");
    assert_eq!(hear(&query(GATEWAY), discounted), Ok(Observation::Paid(facts.clone())), "the order's amount counts");
    let mut foreign = result("00");
    foreign.put("merId", "777290058110097");
    let Ok(Observation::Paid(seen)) = hear(&query(GATEWAY), foreign) else { panic!() };
    assert!(seen.identity.is_err_and(|detail| detail.contains("777290058110097")));
    let mut dollars = result("00");
    dollars.put("currencyCode", "840");
    let Ok(Observation::Paid(seen)) = hear(&query(GATEWAY), dollars) else { panic!() };
    assert_eq!(seen.amount, Money::new(1230, Currency::USD));
}

#[test]
fn a_front_order_can_be_paid_until_its_end_and_a_shown_code_only_once() {
    for code in ["01", "64", "06", "30"] {
        assert_eq!(hear(&query(GATEWAY), result(code)), Ok(Observation::NotPaid), "{code}: another card may follow");
        let late = hear_at(&query(GATEWAY), result(code), after_the_end());
        assert!(matches!(late, Ok(Observation::Declined { .. })), "{code}: {late:?}");
        let barcode = hear(&query(Method::UnionpayBarcode), result(code));
        assert!(matches!(barcode, Ok(Observation::Declined { .. })), "{code}: {barcode:?}");
    }
    for code in ["03", "04", "05", "70"] {
        for now in [NOW, after_the_end()] {
            assert_eq!(hear_at(&query(GATEWAY), result(code), now), Ok(Observation::NotPaid), "{code}");
        }
    }
    for code in ["74", "75", "ZZ", "0", "000"] {
        let seen = hear_at(&query(GATEWAY), result(code), after_the_end());
        assert!(matches!(seen, Ok(Observation::Unknown { .. })), "{code}: {seen:?}");
    }
}

#[test]
fn an_order_that_is_not_known_is_closed_only_by_its_end() {
    let unknown = || said(&[("respCode", "34"), ("txnType", "00"), ("respMsg", "查无此交易[2600000]")]);
    for now in [NOW, after_the_end()] {
        assert_eq!(hear_at(&query(GATEWAY), unknown(), now), Ok(Observation::NotFound));
    }
    let close = Order::Close(reference(GATEWAY));
    let just_before = after_the_end().minus(Duration::from_seconds(1));
    assert_eq!(hear_at(&close, unknown(), NOW), Ok(Observation::NotPaid));
    assert_eq!(hear_at(&close, unknown(), just_before), Ok(Observation::NotPaid));
    assert_eq!(hear_at(&close, unknown(), after_the_end()), Ok(Observation::Closed));
    assert!(matches!(hear(&close, result("00")), Ok(Observation::Paid(_))), "closing finds money");
}

#[test]
fn a_reversal_takes_a_shown_code_back() {
    let close = Order::Close(reference(Method::UnionpayBarcode));
    let answer = |code: &str| said(&[("txnType", "99"), ("respCode", code)]);
    for code in ["00", "45"] {
        assert_eq!(hear(&close, answer(code)), Ok(Observation::Closed));
    }
    for code in ["34", "35"] {
        assert_eq!(hear(&close, answer(code)), Ok(Observation::NotFound));
    }
    for code in ["03", "04", "05", "06", "12", "39", "99", "ZZ"] {
        assert!(matches!(hear(&close, answer(code)), Ok(Observation::Unknown { .. })), "{code}");
    }
    // Asked afterwards, the number may stand for the reversal.
    let mut reversed = result("00");
    reversed.put("txnType", "99");
    assert_eq!(hear(&query(Method::UnionpayBarcode), reversed), Ok(Observation::Closed));
}

#[test]
fn every_refusal_of_a_create_has_its_meaning() {
    let order = Order::Create(create(Method::UnionpayQr));
    for meaning in errors::TABLE {
        let seen = hear(&order, said(&[("respCode", meaning.code)]));
        let fits = match (meaning.advice, meaning.concerns) {
            (Advice::Stop, Concerns::Merchant) => {
                let expected = if meaning.code == "11" { Bar::Account } else { Bar::Product };
                matches!(&seen, Ok(Observation::Barred { code, bar, .. }) if code == meaning.code && *bar == expected)
            }
            (Advice::Ask, _) if meaning.code == "12" => matches!(seen, Ok(Observation::CodeLost { .. })),
            (Advice::Stop, Concerns::Customer) => matches!(seen, Ok(Observation::Declined { .. })),
            (Advice::Stop, _) => matches!(seen, Ok(Observation::Refused { .. })),
            (Advice::Ask | Advice::Repeat, _) => matches!(seen, Ok(Observation::Unknown { .. })),
        };
        assert!(fits, "{}: {seen:?}", meaning.code);
    }
    assert!(matches!(hear(&order, said(&[("respCode", "ZZ")])), Ok(Observation::Unknown { .. })));
    // A shown code may have been charged, and nobody waits for another one.
    let charge = Order::Create(create(Method::UnionpayBarcode));
    assert!(matches!(hear(&charge, said(&[("respCode", "12")])), Ok(Observation::Unknown { .. })));
    // Asked about, our signature is refused for nothing that moved; and what is about another order refuses nothing here.
    let asked = hear(&query(Method::UnionpayQr), said(&[("respCode", "11")]));
    assert!(matches!(asked, Err(ChannelError::Credentials { .. })), "{asked:?}");
    assert_not_genuine(hear(&order, said(&[("respCode", "11"), ("orderId", "T20260101001")])));
}

#[test]
fn the_table_has_every_published_code_once() {
    let published = "01 02 03 04 05 06 10 11 12 13 14 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 60 61 62 63 64 65 66 \
                     67 68 69 70 71 72 73 74 75 76 77 78 79 80 82 98 99";
    let listed: Vec<&str> = errors::TABLE.iter().map(|meaning| meaning.code).collect();
    assert_eq!(listed, published.split_whitespace().collect::<Vec<_>>());
    for code in ["03", "04", "05", "12", "34", "70"] {
        assert_eq!(find(errors::TABLE, code).map(|meaning| meaning.advice), Some(Advice::Ask), "{code}");
    }
}

#[test]
fn a_query_that_was_refused_says_nothing_about_the_order() {
    for code in ["02", "06", "10", "31", "37", "99", "ZZ"] {
        let seen = hear_at(&query(GATEWAY), said(&[("respCode", code), ("txnType", "00")]), after_the_end());
        assert!(matches!(seen, Ok(Observation::Unknown { .. })), "{code}: {seen:?}");
    }
}

#[test]
fn a_refund_is_accepted_first_and_ends_by_a_query() {
    let send = refund_order(refund_reference(GATEWAY));
    let ask = Order::QueryRefund(refund_reference(GATEWAY));
    let channel_refund_id = Some("782611191906400000002".to_owned());
    let id = ("queryId", "782611191906400000002");
    let processing = Observation::RefundProcessing { channel_refund_id: channel_refund_id.clone() };
    assert_eq!(hear(&send, said_of_refund(&[id])), Ok(processing.clone()));
    assert_eq!(hear(&send, said_of_refund(&[id, ("respCode", "05")])), Ok(processing.clone()));
    for code in ["02", "03", "04", "06", "12", "34", "ZZ"] {
        let seen = hear(&send, said_of_refund(&[("respCode", code)]));
        assert!(matches!(seen, Ok(Observation::Unknown { .. })), "{code}: {seen:?}");
    }
    for code in ["35", "36", "45", "39", "31", "64"] {
        let seen = hear(&send, said_of_refund(&[("respCode", code)]));
        assert!(matches!(seen, Ok(Observation::Refused { .. })), "{code}: {seen:?}");
    }
    let asked = |code| hear(&ask, said_of_refund(&[id, ("txnAmt", "600"), ("origRespCode", code)]));
    let amount = Money::new(600, Currency::CNY);
    assert_eq!(asked("00"), Ok(Observation::RefundSucceeded { channel_refund_id, amount }));
    assert_eq!(asked("03"), Ok(processing.clone()));
    assert_eq!(asked("05"), Ok(processing));
    assert!(matches!(asked("64"), Ok(Observation::RefundFailed { .. })));
    assert!(matches!(asked("ZZ"), Ok(Observation::Unknown { .. })));
    assert_eq!(hear(&ask, said_of_refund(&[("respCode", "34")])), Ok(Observation::NotFound));
    // A success without a result is the answer to the sending, not to the question.
    let sent = hear(&ask, said_of_refund(&[id, ("txnAmt", "600")]));
    assert!(matches!(sent, Err(ChannelError::Malformed { .. })), "{sent:?}");
}

#[test]
fn amounts_are_whole_numbers_of_fen() {
    for text in ["", "0123", "+1", "-1", "1.0", "1e3", " 1", "１", "1234567890123", "NaN"] {
        let mut fields = result("00");
        fields.put("txnAmt", text);
        let seen = hear(&query(GATEWAY), fields);
        assert!(matches!(seen, Err(ChannelError::Malformed { .. })), "{text}: {seen:?}");
    }
}

#[test]
fn an_answer_that_proves_nothing_is_not_believed() {
    let ask = query(GATEWAY);
    // Something else's answer.
    let (other, earlier) = (AttemptId::new(NOW, [9; 10]).bare(), time::beijing(NOW.minus(Duration::from_seconds(1))));
    for pair in [("orderId", other.as_str()), ("txnTime", &earlier), ("txnType", "04"), ("txnType", "31")] {
        let mut fields = result("00");
        fields.put(pair.0, pair.1);
        assert_not_genuine(hear(&ask, fields));
    }
    // Nothing but money is heard under a foreign number.
    for code in ["05", "64"] {
        let mut fields = result(code);
        fields.put("merId", "777290058110097");
        assert_not_genuine(hear_at(&ask, fields, after_the_end()));
    }
    // Without signature, without certificate, another method, another version.
    let genuine = sealed(result("00"));
    for (name, value) in [("signature", ""), ("signPubKeyCert", ""), ("signMethod", "11"), ("version", "5.0.0")] {
        let mut fields = genuine.clone();
        fields.put(name, value);
        assert_not_genuine(account().read_response(&ask, &response(200, raw(&fields)), NOW));
    }
    // Every field counts.
    for (name, _) in genuine.iter() {
        let mut fields = genuine.clone();
        fields.put(name, format!("{}x", genuine.get(name).unwrap_or_default()));
        let seen = account().read_response(&ask, &response(200, raw(&fields)), NOW);
        assert!(
            matches!(seen, Err(ChannelError::NotGenuine { .. } | ChannelError::Malformed { .. })),
            "{name}: {seen:?}"
        );
    }
}

#[test]
fn trouble_on_the_way_means_unknown() {
    let ask = query(GATEWAY);
    let body = raw(&sealed(result("00")));
    for status in [302, 404, 502] {
        let seen = account().read_response(&ask, &response(status, body.clone()), NOW);
        assert!(matches!(seen, Ok(Observation::Unknown { .. })), "{status}");
    }
    let mut cut = response(200, body);
    cut.truncated = true;
    assert!(matches!(account().read_response(&ask, &cut, NOW), Ok(Observation::Unknown { .. })));
    for body in [&b""[..], b"Invalid request.", b"<html>", b"\xff\xfe", b"respCode=00&respCode=00", &[b'{'; 60_000]] {
        let seen = account().read_response(&ask, &response(200, body.to_vec()), NOW);
        let shown = &body[..body.len().min(20)];
        assert!(
            matches!(seen, Err(ChannelError::Malformed { .. } | ChannelError::NotGenuine { .. })),
            "{shown:?}: {seen:?}"
        );
    }
}
