//! What is believed of messages that come by themselves: the attacks that a payment gateway has to expect.

use super::*;
use crate::channels::Subject;

fn body(fields: &Fields) -> Vec<u8> {
    fields.to_form().into_bytes()
}

fn notified(fields: Fields) -> Result<VerifiedNotification, ChannelError> {
    notified_raw(&body(&sealed(fields)))
}

fn notified_raw(body: &[u8]) -> Result<VerifiedNotification, ChannelError> {
    account().read_notification(&Inbound { headers: &[], body }, NOW)
}

fn paid() -> Fields {
    said(&PAID)
}

#[test]
fn a_payment_is_told_with_its_facts() {
    for code in ["00", "A6"] {
        let mut fields = paid();
        fields.put("respCode", code);
        let told = notified(fields).unwrap();
        assert_eq!(told.about(), Subject::Order(attempt()));
        let Observation::Paid(facts) = told.observation() else { panic!("{told:?}") };
        assert_eq!(facts.amount, Money::new(1230, Currency::CNY));
        assert_eq!((facts.transaction_id.as_str(), &facts.identity), ("782611181906400000001", &Ok(())));
    }
}

#[test]
fn a_refund_is_told_by_its_own_number() {
    let amount = Money::new(600, Currency::CNY);
    let channel_refund_id = Some("782611181906400000001".to_owned());
    for kind in ["04", "31"] {
        let told = notified(said_of_refund(&[&PAID[..], &[("txnType", kind), ("txnAmt", "600")]].concat())).unwrap();
        assert_eq!(told.about(), Subject::Refund(refund()));
        let expected = Observation::RefundSucceeded { channel_refund_id: channel_refund_id.clone(), amount };
        assert_eq!(told.observation(), &expected);
    }
    let mut foreign = said_of_refund(&PAID);
    foreign.put("merId", "777290058110097");
    assert_not_genuine(notified(foreign));
}

#[test]
fn anything_but_a_success_is_a_reason_to_ask() {
    for code in ["01", "03", "05", "34", "64", "ZZ"] {
        let mut fields = paid();
        fields.put("respCode", code);
        let told = notified(fields).unwrap();
        assert!(matches!(told.observation(), Observation::Unknown { .. }), "{code}: {told:?}");
    }
}

#[test]
fn without_a_good_signature_nothing_is_believed() {
    let genuine = sealed(paid());
    // Absent, empty, weaker.
    for name in ["signature", "signPubKeyCert"] {
        let mut fields = genuine.clone();
        fields.put(name, "");
        assert_not_genuine(notified_raw(&body(&fields)));
        let rest = genuine.iter().filter(|(n, _)| *n != name).map(|(n, v)| (n.to_owned(), v.to_owned()));
        let mut without = Fields::default();
        rest.for_each(|(n, v)| without.put(&n, v));
        assert_not_genuine(notified_raw(&body(&without)));
    }
    for (name, value) in [("signMethod", "11"), ("signMethod", "12"), ("signMethod", ""), ("version", "5.0.0")] {
        let mut fields = genuine.clone();
        fields.put(name, value);
        assert_not_genuine(notified_raw(&body(&fields)));
        // Also when UnionPay itself had signed it so.
        let mut fields = paid();
        fields.put(name, value);
        assert_not_genuine(notified(fields));
    }
    // Signed by a merchant of the same authority, by ourselves, by nobody known.
    assert_not_genuine(notified_raw(&body(&sealed_by(paid(), MERCHANT, MERCHANT_KEY))));
    assert_not_genuine(notified_raw(&body(&sealed_by(paid(), SIGNER, MERCHANT_KEY))));
    let (rogue, rogue_key) = (include_str!("../fixtures/signer_rogue.pem"), include_str!("../fixtures/rogue.key"));
    assert_not_genuine(notified_raw(&body(&sealed_by(paid(), rogue, rogue_key))));
    // A chain in the message is no chain.
    let with_issuer = [rogue, include_str!("../fixtures/rogue_root.pem")].concat();
    assert_not_genuine(notified_raw(&body(&sealed_by(paid(), &with_issuer, rogue_key))));
}

#[test]
fn every_changed_field_is_noticed() {
    let genuine = sealed(paid());
    for (name, value) in genuine.iter() {
        for change in [format!("{value}1"), String::new(), value.chars().rev().collect()] {
            if change == value {
                continue;
            }
            let mut fields = genuine.clone();
            fields.put(name, change);
            assert_not_genuine(notified_raw(&body(&fields)));
        }
    }
    let mut more = genuine.clone();
    more.put("couponInfo", "x");
    assert_not_genuine(notified_raw(&body(&more)));
}

#[test]
fn amount_currency_and_merchant_are_passed_on_as_told() {
    for (amount, number, currency) in
        [("1229", "156", Currency::CNY), ("1231", "156", Currency::CNY), ("1230", "840", Currency::USD)]
    {
        let mut fields = paid();
        fields.put("txnAmt", amount);
        fields.put("currencyCode", number);
        let told = notified(fields).unwrap();
        let Observation::Paid(facts) = told.observation() else { panic!("{told:?}") };
        assert_eq!(facts.amount, Money::new(amount.parse().unwrap(), currency));
    }
    let mut foreign = paid();
    foreign.put("merId", "777290058110097");
    let told = notified(foreign.clone()).unwrap();
    let Observation::Paid(facts) = told.observation() else { panic!("{told:?}") };
    assert!(facts.identity.is_err());
    foreign.put("respCode", "64");
    assert_not_genuine(notified(foreign));
}

#[test]
fn an_answer_handed_in_as_a_notification_is_refused() {
    // UnionPay signs answers in the same way, and 00 in them means less.
    let mut query = paid();
    query.put("origRespCode", "05");
    assert_not_genuine(notified(query));
    for missing in ["settleAmt", "settleDate", "traceNo", "traceTime"] {
        let kept: Vec<_> = PAID.into_iter().filter(|(name, _)| *name != missing).collect();
        assert!(matches!(notified(said(&kept)), Err(ChannelError::Malformed { .. })), "{missing}");
    }
    let accepted = said_of_refund(&[("queryId", "782611191906400000002"), ("txnAmt", "600")]);
    assert!(matches!(notified(accepted), Err(ChannelError::Malformed { .. })));
}

#[test]
fn two_messages_with_one_signed_text_are_not_confused() {
    // `respCode` of the signed text hidden in the value before it, and another one put in.
    let genuine = sealed(paid());
    let mut merged = Fields::default();
    for (name, value) in genuine.iter().filter(|(name, _)| *name != "settleCurrencyCode") {
        let value = if name == "settleAmt" { format!("{value}&settleCurrencyCode=156") } else { value.to_owned() };
        merged.put(name, value);
    }
    assert_eq!(merged.canonical(Empty::Dropped), genuine.canonical(Empty::Dropped));
    assert_not_genuine(notified_raw(&body(&merged)));
}

#[test]
fn odd_bytes_are_refused() {
    let good = String::from_utf8(body(&sealed(paid()))).unwrap();
    let huge = [good.as_bytes(), &vec![b'&'; notification::NOTIFICATION_MAX_BYTES]].concat();
    let bodies: Vec<Vec<u8>> = vec![
        Vec::new(),
        huge,
        format!("{good}&txnAmt=1").into_bytes(),
        format!("{good}&signature=x").into_bytes(),
        format!("\u{feff}{good}").into_bytes(),
        [good.as_bytes(), b"&x=\xc4\xe3"].concat(),
        [good.as_bytes(), b"\r\n"].concat(),
        good.replace("%E6%88%90%E5%8A%9F", "%B3%C9%B9%A6").into_bytes(),
        format!("{{\"json\":\"{good}\"}}").into_bytes(),
        good.replace('&', "&&&=").into_bytes(),
        b"<!DOCTYPE a [<!ENTITY b \"c\">]><xml>&b;</xml>".to_vec(),
        vec![b'a'; 60_000],
        b"a=1&".repeat(15_000),
        b"%".repeat(60_000),
    ];
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let seen = notified_raw(&body);
        assert!(matches!(seen, Err(ChannelError::NotGenuine { .. })), "{shown}: {seen:?}");
    }
}

#[test]
fn a_genuine_body_that_cannot_be_understood_is_malformed() {
    let changes = [
        ("orderId", "../../etc/passwd"),
        ("orderId", ""),
        ("txnType", "02"),
        ("txnType", "99"),
        ("txnType", ""),
        ("respCode", ""),
        ("queryId", ""),
        ("txnAmt", "12.30"),
        ("currencyCode", "999"),
        ("currencyCode", ""),
        ("txnTime", "20261318190640"),
    ];
    for (name, value) in changes {
        let mut fields = paid();
        fields.put(name, value);
        let seen = notified(fields);
        assert!(matches!(seen, Err(ChannelError::Malformed { .. })), "{name}={value}: {seen:?}");
    }
}

#[test]
fn fields_that_are_not_known_and_empty_ones_are_signed_like_the_rest() {
    let mut fields = paid();
    fields.put("couponInfo", "{a=1&b=[2&3]}");
    assert!(notified(fields.clone()).is_ok());
    // Dropped by the signer, sent all the same.
    let mut dropped = sealed(fields.clone());
    dropped.put("exchangeRate", "");
    assert!(notified_raw(&body(&dropped)).is_ok());
    // Kept by the signer.
    fields.put("exchangeRate", "");
    fields.put("signPubKeyCert", SIGNER);
    let letters = data_encoding::HEXLOWER
        .encode(ring::digest::digest(&ring::digest::SHA256, fields.canonical(Empty::Kept).as_bytes()).as_ref());
    let signature = RsaSigner::read(SIGNER_KEY).unwrap().sign_sha256_base64(letters.as_bytes());
    fields.put("signature", signature);
    assert!(notified_raw(&body(&fields)).is_ok());
}

#[test]
fn unionpay_hears_ok_or_sends_again() {
    let (stored, lost) = (account().acknowledge(true), account().acknowledge(false));
    assert_eq!((stored.status, stored.body), (200, "ok"));
    assert_eq!(lost.status, 500);
}
