//! Messages that come by themselves: the genuine ones, and each way to forge one.

use super::*;
use crate::channels::wechatpay::notification::NOTIFICATION_MAX_BYTES;
use crate::crypto::rsa::generate;

/// The envelope around something encrypted.
fn envelope(event: &str, resource: Value) -> Vec<u8> {
    json!({
        "id": "EV-2026111819064000001", "create_time": "2026-11-18T19:06:40+08:00", "event_type": event,
        "resource_type": "encrypt-resource", "summary": "支付成功", "resource": resource,
    })
    .to_string()
    .into_bytes()
}

fn paid(change: Value) -> Vec<u8> {
    let plain = transaction(change).to_string();
    envelope("TRANSACTION.SUCCESS", resource(plain.as_bytes(), "transaction", API_V3_KEY))
}

fn refunded(event: &str, change: Value) -> Vec<u8> {
    let plain = merged(
        json!({
            "mchid": MCH_ID, "out_trade_no": attempt().bare(), "transaction_id": "4200000000202611230000000001",
            "out_refund_no": refund().bare(), "refund_id": "50000000382026112309732678859",
            "refund_status": "SUCCESS", "success_time": "2026-11-18T19:06:40+08:00",
            "user_received_account": "招商银行信用卡0403",
            "amount": {"total": 1230, "refund": 600, "payer_total": 1230, "payer_refund": 600},
        }),
        change,
    );
    envelope(event, resource(plain.to_string().as_bytes(), "refund", API_V3_KEY))
}

fn notified_at(
    body: &[u8],
    headers: &[(String, String)],
    now: Timestamp,
) -> Result<VerifiedNotification, ChannelError> {
    wechat().read_notification(&Inbound { headers, body }, now)
}

/// Signed by the provider, just now.
fn notified(body: &[u8]) -> Result<VerifiedNotification, ChannelError> {
    notified_at(body, &headers(body), NOW)
}

#[test]
fn a_payment_is_told() {
    let told = notified(&paid(json!({}))).unwrap();
    assert_eq!(told.about(), Subject::Order(attempt()));
    let Observation::Paid(facts) = told.observation() else { panic!("{told:?}") };
    assert_eq!((facts.amount, facts.paid_at, &facts.identity), (fen(1230), NOW, &Ok(())));
    assert_eq!(facts.transaction_id, "4200000000202611230000000001");
}

#[test]
fn a_refund_is_told_in_each_of_its_ends() {
    let channel_refund_id = Some("50000000382026112309732678859".to_owned());
    let told = notified(&refunded("REFUND.SUCCESS", json!({}))).unwrap();
    assert_eq!(told.about(), Subject::Refund(refund()));
    assert_eq!(told.observation(), &Observation::RefundSucceeded { channel_refund_id, amount: fen(600) });
    let told = notified(&refunded("REFUND.CLOSED", json!({"refund_status": "CLOSED"}))).unwrap();
    assert!(matches!(told.observation(), Observation::RefundFailed { .. }));
    let told = notified(&refunded("REFUND.ABNORMAL", json!({"refund_status": "ABNORMAL"}))).unwrap();
    assert!(matches!(told.observation(), Observation::RefundUndeliverable { channel_refund_id: Some(_), .. }));
    // Envelope and content disagree; a refund of another merchant; of nobody.
    assert_malformed(notified(&refunded("REFUND.SUCCESS", json!({"refund_status": "CLOSED"}))));
    assert_not_genuine(notified(&refunded("REFUND.SUCCESS", json!({"mchid": "1900009192"}))));
    assert_malformed(notified(&refunded("REFUND.SUCCESS", json!({"mchid": null}))));
    let told = notified(&refunded("REFUND.SUCCESS", json!({"amount": {"total": 1230, "refund": 1}}))).unwrap();
    assert!(matches!(told.observation(), Observation::RefundSucceeded { amount, .. } if *amount == fen(1)));
}

#[test]
fn the_same_message_reads_the_same_every_time() {
    let body = paid(json!({}));
    let (first, second) = (notified(&body).unwrap(), notified(&body).unwrap());
    assert_eq!((first.about(), first.observation()), (second.about(), second.observation()));
}

#[test]
fn a_message_without_a_good_signature_is_refused() {
    let body = paid(json!({}));
    let genuine = headers(&body);
    assert_not_genuine(notified_at(&body, &[], NOW));
    for name in [sign::SIGNATURE_HEADER, sign::NONCE_HEADER, sign::TIMESTAMP_HEADER, sign::SERIAL_HEADER] {
        let changed = |value: Option<&str>| {
            let mut headers = genuine.clone();
            headers.retain(|(n, _)| n != name);
            headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
            headers
        };
        for value in [None, Some(""), Some("x"), Some("0"), Some(" "), Some("\u{0}")] {
            assert_not_genuine(notified_at(&body, &changed(value), NOW));
        }
    }
    // Another merchant's key, the merchant's own, and one that nobody knows.
    let stranger = RsaSigner::from_der(generate().expose()).unwrap();
    let own = RsaSigner::read(&key_base64("java_merchant_test")).unwrap();
    for signer in [&stranger, &own] {
        assert_not_genuine(notified_at(&body, &headers_by(signer, KEY_ID, &body, NOW), NOW));
    }
    assert_not_genuine(notified_at(&body, &headers_by(&stranger, "PUB_KEY_ID_9", &body, NOW), NOW));
    // Signed with nothing, or with less.
    for kind in ["none", "MD5", "WECHATPAY2-SHA256-RSA1024", ""] {
        let mut headers = genuine.clone();
        headers.iter_mut().filter(|(n, _)| n == sign::TYPE_HEADER).for_each(|(_, v)| *v = kind.to_owned());
        assert_not_genuine(notified_at(&body, &headers, NOW));
    }
}

#[test]
fn every_byte_of_body_and_headers_is_signed() {
    let body = paid(json!({}));
    let genuine = headers(&body);
    let wechat = wechat();
    for i in 0..body.len() {
        let mut changed = body.clone();
        changed[i] ^= 1;
        assert_not_genuine(wechat.read_notification(&Inbound { headers: &genuine, body: &changed }, NOW));
    }
    for (place, (name, value)) in genuine.iter().enumerate().filter(|(_, (name, _))| name.starts_with("wechatpay")) {
        for i in 0..value.len() {
            let mut headers = genuine.clone();
            let mut bytes = value.clone().into_bytes();
            bytes[i] ^= 1;
            headers[place].1 = String::from_utf8(bytes).unwrap();
            let result = wechat.read_notification(&Inbound { headers: &headers, body: &body }, NOW);
            assert!(result.is_err(), "{name} {i}");
        }
    }
    for changed in [[&body[..], b"\n"].concat(), [b"\xef\xbb\xbf", &body[..]].concat(), body[1..].to_vec(), Vec::new()]
    {
        assert_not_genuine(notified_at(&changed, &genuine, NOW));
    }
}

#[test]
fn a_message_is_believed_for_less_than_five_minutes() {
    let body = paid(json!({}));
    let headers = headers(&body);
    for (seconds, believed) in [(0, true), (299, true), (300, false), (600, false)] {
        for now in [NOW.plus(Duration::from_seconds(seconds)), NOW.minus(Duration::from_seconds(seconds))] {
            assert_eq!(notified_at(&body, &headers, now).is_ok(), believed, "{seconds}");
        }
    }
    for odd in ["+1795000000", "1795000000.0", " 1795000000", "-1", "", "99999999999999999999", "１795000000"] {
        let mut headers = headers.clone();
        headers.iter_mut().filter(|(n, _)| n == sign::TIMESTAMP_HEADER).for_each(|(_, v)| *v = odd.to_owned());
        assert_not_genuine(notified_at(&body, &headers, NOW));
    }
}

#[test]
fn a_probe_is_refused_and_called_a_probe() {
    let body = paid(json!({}));
    let mut headers = headers(&body);
    headers
        .iter_mut()
        .filter(|(n, _)| n == sign::SIGNATURE_HEADER)
        .for_each(|(_, v)| *v = format!("WECHATPAY/SIGNTEST/{v}"));
    assert_eq!(notified_at(&body, &headers, NOW).err(), Some(ChannelError::Probe));
    assert_eq!(wechat().acknowledge(false).status, 500, "so that the real one follows");
}

#[test]
fn a_genuine_message_says_whose_it_is_and_how_much_it_was() {
    for change in [json!({"mchid": "1900009192"}), json!({"appid": "wx999999"})] {
        let told = notified(&paid(change.clone())).unwrap();
        let Observation::Paid(facts) = told.observation() else { panic!("{told:?}") };
        assert!(facts.identity.is_err(), "{change}");
    }
    for (total, currency) in [(1, "CNY"), (1229, "CNY"), (1231, "CNY"), (1230, "USD")] {
        let told = notified(&paid(json!({"amount": {"total": total, "currency": currency}}))).unwrap();
        let Observation::Paid(facts) = told.observation() else { panic!("{told:?}") };
        assert_eq!(facts.amount, Money::new(total, Currency::parse(currency).unwrap()));
    }
}

#[test]
fn what_was_sealed_with_another_key_alarms() {
    let sealed = |key: &str| {
        let plain = transaction(json!({})).to_string();
        envelope("TRANSACTION.SUCCESS", resource(plain.as_bytes(), "transaction", key))
    };
    let stale = notified(&sealed("another-key-of-32-characters-xyz"));
    assert!(matches!(stale, Err(ChannelError::Credentials { .. })), "{stale:?}");
    // While a key is being changed both open.
    let record = Credentials {
        api_v3_key: "another-key-of-32-characters-xyz".to_owned(),
        previous_api_v3_key: Some(API_V3_KEY.to_owned()),
        ..credentials()
    };
    for key in [API_V3_KEY, "another-key-of-32-characters-xyz"] {
        let body = sealed(key);
        let headers = headers(&body);
        assert!(opened(&record).read_notification(&Inbound { headers: &headers, body: &body }, NOW).is_ok());
    }
}

#[test]
fn a_resource_that_was_tampered_with_stays_closed() {
    let whole = resource(transaction(json!({})).to_string().as_bytes(), "transaction", API_V3_KEY);
    let with = |change: Value| notified(&envelope("TRANSACTION.SUCCESS", merged(whole.clone(), change)));
    assert!(with(json!({})).is_ok());
    let cipher = BASE64.decode(text(&whole["ciphertext"]).as_bytes()).unwrap();
    for at in [0, cipher.len() - 17, cipher.len() - 1] {
        let mut bent = cipher.clone();
        bent[at] ^= 1;
        assert!(with(json!({"ciphertext": BASE64.encode(&bent)})).is_err(), "{at}");
    }
    for change in [
        json!({"associated_data": "refund"}),
        json!({"associated_data": ""}),
        json!({"associated_data": null}),
        json!({"nonce": "fdasfjihihii"}),
        json!({"nonce": "fdasfjihihi"}),
        json!({"nonce": "fdasfjihihihh"}),
        json!({"nonce": ""}),
        json!({"ciphertext": ""}),
        json!({"ciphertext": "AAAA"}),
        json!({"ciphertext": "not base64!"}),
        json!({"algorithm": "AES_256_GCM"}),
        json!({"algorithm": "none"}),
    ] {
        let refused = with(change.clone());
        assert!(matches!(refused, Err(ChannelError::Malformed { .. } | ChannelError::Credentials { .. })), "{change}");
    }
}

#[test]
fn old_messages_of_certificates_are_believed_beside_those_of_the_public_key() {
    let body = paid(json!({}));
    let read = |record: &Credentials, signer: &RsaSigner, id: &str, now| {
        let headers = headers_by(signer, id, &body, now);
        opened(record).read_notification(&Inbound { headers: &headers, body: &body }, now)
    };
    let new_signer = RsaSigner::read(PLATFORM_NEW_KEY).unwrap();
    let both = Credentials {
        platform_certificates: vec![PLATFORM_OLD.to_owned(), PLATFORM_NEW.to_owned(), PLATFORM_OVER.to_owned()],
        ..credentials()
    };
    // One account, three signers at the same moment.
    assert!(read(&both, &provider(), KEY_ID, NOW).is_ok());
    assert!(read(&both, &provider(), OLD_SERIAL, NOW).is_ok());
    assert!(read(&both, &new_signer, NEW_SERIAL, NOW).is_ok());
    // Serial numbers are compared without case and without leading zeros; ids of public keys exactly.
    assert!(read(&both, &provider(), &OLD_SERIAL.to_lowercase(), NOW).is_ok());
    assert!(read(&both, &provider(), OLD_SERIAL.trim_start_matches('0'), NOW).is_ok());
    assert_not_genuine(read(&both, &provider(), &KEY_ID.to_lowercase(), NOW));
    // Under another's number, with one that is over, before its time, after it.
    assert_not_genuine(read(&both, &new_signer, OLD_SERIAL, NOW));
    assert_not_genuine(read(&both, &new_signer, "3DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C", NOW));
    assert_not_genuine(read(&both, &new_signer, NEW_SERIAL, Timestamp::parse_rfc3339("2025-12-31T00:00:00Z").unwrap()));
    assert_not_genuine(read(&both, &provider(), OLD_SERIAL, Timestamp::parse_rfc3339("2028-01-02T00:00:00Z").unwrap()));
    assert_not_genuine(read(&credentials(), &provider(), OLD_SERIAL, NOW));
}

#[test]
fn a_genuine_body_that_cannot_be_read_is_malformed() {
    let good = String::from_utf8(paid(json!({}))).unwrap();
    let bodies: Vec<Vec<u8>> = vec![
        b"{}".to_vec(),
        b"null".to_vec(),
        Vec::new(),
        good.replace("\"event_type\"", "\"event_type\":\"REFUND.SUCCESS\",\"event_type\"").into_bytes(),
        good.replace("\"nonce\"", "\"nonce\":\"x\",\"nonce\"").into_bytes(),
        format!("\u{feff}{good}").into_bytes(),
        format!("{good}{good}").into_bytes(),
        [good.as_bytes(), &[0xff]].concat(),
        b"<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>".to_vec(),
        vec![b'['; 50_000],
    ];
    for body in bodies {
        assert_malformed(notified(&body));
    }
    let plain = transaction(json!({})).to_string();
    for plain in [
        plain.replace("\"trade_state\"", "\"trade_state\":\"CLOSED\",\"trade_state\""),
        plain.replace("\"total\":1230", "\"total\":1230,\"total\":1"),
        plain.replace("\"total\":1230", "\"total\":12.30"),
        plain.replace("\"total\":1230", "\"total\":-1"),
        plain.replace("\"total\":1230", "\"total\":\"1230\""),
        plain.replace("\"total\":1230", "\"total\":18446744073709551616"),
        plain.replace("\"currency\":\"CNY\"", "\"currency\":\"XXX\""),
        plain.replace("4200000000202611230000000001", ""),
        plain.replace(&attempt().bare(), "../../etc/passwd"),
        plain.replace(&attempt().bare(), "T20260101_0001"),
        format!("{plain}x"),
        String::new(),
    ] {
        assert_malformed(notified(&envelope(
            "TRANSACTION.SUCCESS",
            resource(plain.as_bytes(), "transaction", API_V3_KEY),
        )));
    }
    // Kinds that this adapter does not ask for.
    for (event, kind) in [
        ("TRANSACTION.SUCCESS", "profitsharing"),
        ("MCHTRANSFER.BILL.FINISHED", "mch_payment"),
        ("TRANSACTION.PAY_BACK", "transaction"),
    ] {
        assert_malformed(notified(&envelope(event, resource(b"{}", kind, API_V3_KEY))));
    }
}

#[test]
fn a_large_message_is_not_even_verified() {
    let huge = vec![b' '; NOTIFICATION_MAX_BYTES + 1];
    assert_not_genuine(notified(&huge));
}

#[test]
fn the_provider_hears_what_it_wants_to_hear() {
    let stored = wechat().acknowledge(true);
    assert_eq!((stored.status, stored.body), (204, ""));
    let failed: Value = serde_json::from_str(wechat().acknowledge(false).body).unwrap();
    assert_eq!(failed["code"], "FAIL");
}
