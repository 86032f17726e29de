//! Notifications: the published one, each attack on them, and what each state means.

use std::collections::BTreeMap;

use super::*;

const TRADE: &str = "2026111822001468450512505578";

/// A notification as Alipay sends it, with a change.
fn fields(change: impl FnOnce(&mut BTreeMap<String, String>)) -> BTreeMap<String, String> {
    let number = attempt().bare();
    let mut fields: BTreeMap<String, String> = [
        ("notify_time", "2026-11-18 19:06:40"),
        ("notify_type", "trade_status_sync"),
        ("notify_id", "2026111800222190640068450559358070"),
        ("app_id", APP_ID),
        ("auth_app_id", APP_ID),
        ("charset", "utf-8"),
        ("version", "1.0"),
        ("trade_no", TRADE),
        ("out_trade_no", &number),
        ("buyer_id", "2088102534368455"),
        ("buyer_logon_id", "xud***@126.com"),
        ("seller_id", SELLER_ID),
        ("trade_status", "TRADE_SUCCESS"),
        ("total_amount", "12.30"),
        ("receipt_amount", "12.30"),
        ("subject", "一只 马克杯 100%+税"),
        ("gmt_create", "2026-11-18 19:04:50"),
        ("gmt_payment", "2026-11-18 19:05:00"),
        ("fund_bill_list", r#"[{"amount":"12.30","fundChannel":"ALIPAYACCOUNT"}]"#),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    change(&mut fields);
    fields
}

/// Signed with `key` as Alipay does, in UTF-8.
fn signed(fields: &BTreeMap<String, String>, key: &str) -> Vec<u8> {
    let parts: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let sign = RsaSigner::read(key).unwrap().sign_sha256_base64(parts.join("&").as_bytes());
    let sealed = [("sign_type".to_owned(), "RSA2".to_owned()), ("sign".to_owned(), sign)];
    let all = fields.clone().into_iter().chain(sealed);
    let pairs: Vec<String> = all.map(|(name, value)| wire::pair(&name, &value)).collect();
    pairs.join("&").into_bytes()
}

fn hear(alipay: &Alipay, body: &[u8], now: Timestamp) -> Result<VerifiedNotification, ChannelError> {
    alipay.read_notification(&Inbound { headers: &[], body }, now)
}

fn told(change: impl FnOnce(&mut BTreeMap<String, String>)) -> Result<VerifiedNotification, ChannelError> {
    hear(&opened(&by_key()), &signed(&fields(change), ALIPAY_KEY), NOW)
}

fn set(name: &'static str, value: &'static str) -> impl FnOnce(&mut BTreeMap<String, String>) {
    move |fields| {
        fields.insert(name.to_owned(), value.to_owned());
    }
}

fn facts() -> PaidFacts {
    PaidFacts {
        amount: Money::new(1230, Currency::CNY),
        transaction_id: TRADE.to_owned(),
        paid_at: NOW.minus(Duration::from_seconds(100)),
        identity: Ok(()),
    }
}

#[track_caller]
fn observation(told: Result<VerifiedNotification, ChannelError>) -> Observation {
    let told = told.unwrap();
    assert_eq!(told.about(), Subject::Order(attempt()));
    told.observation().clone()
}

#[test]
fn the_published_notification_verifies_and_no_byte_of_it_may_change() {
    #[derive(Deserialize)]
    struct Vector {
        kind: String,
        public_key_spki_b64: String,
        signed_text: String,
        signed_text_sha256_hex: Option<String>,
        form_fields_decoded: Option<std::collections::BTreeMap<String, String>>,
        form_body: Option<String>,
        signature_b64: String,
    }
    let all: Vec<Vector> = serde_json::from_str(include_str!("../fixtures/signature.json")).unwrap();
    let mut told = all.into_iter().filter(|vector| vector.kind == "async_notification");
    let (Some(vector), None) = (told.next(), told.next()) else { panic!("one notification") };
    let trust = Trust::Key { alipay_public_key: vector.public_key_spki_b64 };
    let record = Credentials {
        trust,
        app_id: "2019073166072302".to_owned(),
        seller_id: "2088531891668739".to_owned(),
        ..by_key()
    };
    let alipay = opened(&record);
    let body = vector.form_body.unwrap().into_bytes();
    let form = wire::parse_form(&body).unwrap();
    assert_eq!(String::from_utf8(sign::notification_text(&form)).unwrap(), vector.signed_text);
    let hash = crate::crypto::Hash::Sha256.letters(vector.signed_text.as_bytes());
    assert_eq!(Some(hash), vector.signed_text_sha256_hex);
    let mut read: std::collections::BTreeMap<String, String> =
        url::form_urlencoded::parse(&body).into_owned().collect();
    assert_eq!(read.remove("sign"), Some(vector.signature_b64));
    assert_eq!(Some(read), vector.form_fields_decoded);
    // Everything checks out but the number, which is not one of ours.
    let then = wire::parse_beijing("2019-08-15 15:56:25").unwrap();
    let heard = hear(&alipay, &body, then);
    assert_eq!(
        heard.err(),
        Some(ChannelError::Malformed { detail: "20190815155618536-564-57 is not a number of ours".to_owned() })
    );
    for i in 0..body.len() {
        let mut changed = body.clone();
        // Another letter or digit, and never the same text in another spelling (`%2b` is `%2B`).
        changed[i] = if changed[i] == b'x' { b'y' } else { b'x' };
        assert_not_genuine(hear(&alipay, &changed, then));
    }
}

#[test]
fn a_paid_trade_is_told_with_everything_that_has_to_agree() {
    assert_eq!(observation(told(|_| {})), Observation::Paid(facts()));
    assert_eq!(observation(told(set("trade_status", "TRADE_FINISHED"))), Observation::Paid(facts()));
    // Fields that nobody has heard of are signed like others.
    assert_eq!(observation(told(set("z_new", "x&y=z"))), Observation::Paid(facts()));
}

#[test]
fn every_state_has_one_meaning_and_a_strange_one_means_unknown() {
    let unpaid = |status: &'static str| {
        told(move |fields| {
            fields.insert("trade_status".to_owned(), status.to_owned());
            fields.remove("gmt_payment");
        })
    };
    assert_eq!(observation(unpaid("WAIT_BUYER_PAY")), Observation::NotPaid);
    assert_eq!(observation(unpaid("TRADE_CLOSED")), Observation::Closed);
    for strange in ["TRADE_PENDING", "trade_success", "SUCCESS"] {
        assert!(matches!(observation(unpaid(strange)), Observation::Unknown { .. }), "{strange}");
    }
    // A trade that was paid does not close as an unpaid one.
    assert!(matches!(observation(told(set("trade_status", "TRADE_CLOSED"))), Observation::Unknown { .. }));
    assert_malformed(unpaid(""));
}

#[test]
fn money_that_was_given_back_is_never_read_as_a_payment() {
    for status in ["TRADE_SUCCESS", "TRADE_CLOSED", "TRADE_FINISHED"] {
        for marks in [&["gmt_refund", "refund_fee"][..], &["gmt_refund"], &["refund_fee"]] {
            let told = told(|fields| {
                fields.insert("trade_status".to_owned(), status.to_owned());
                fields.insert("out_biz_no".to_owned(), refund_id().bare());
                for mark in marks {
                    let value = if *mark == "gmt_refund" { "2026-11-18 19:06:39.415" } else { "12.30" };
                    fields.insert((*mark).to_owned(), value.to_owned());
                }
            });
            let told = told.unwrap();
            assert_eq!(told.about(), Subject::Refund(refund_id()));
            // The sum is that of all refunds, so the question about this one decides.
            assert_eq!(told.observation(), &Observation::RefundProcessing { channel_refund_id: None });
        }
    }
    // Given back at Alipay's own desk: no refund of ours, and no payment either.
    for number in ["", "by-hand-7"] {
        let told = told(|fields| {
            fields.insert("refund_fee".to_owned(), "1.00".to_owned());
            fields.insert("out_biz_no".to_owned(), number.to_owned());
        });
        assert!(matches!(observation(told), Observation::Unknown { .. }));
    }
}

#[test]
fn a_forged_notification_is_refused() {
    let alipay = opened(&by_key());
    let genuine = signed(&fields(|_| {}), ALIPAY_KEY);
    let text = String::from_utf8(genuine.clone()).unwrap();
    assert!(hear(&alipay, &genuine, NOW).is_ok());
    let without = |name: &str| -> Vec<u8> {
        let parts: Vec<&str> = text.split('&').filter(|part| !part.starts_with(&format!("{name}="))).collect();
        parts.join("&").into_bytes()
    };
    // No signature, an empty one, a kind that proves nothing or less, a doubled field, a field more, less or changed.
    let sign = text.split('&').find(|part| part.starts_with("sign=")).unwrap();
    let mut bodies = vec![
        Vec::new(),
        without("sign"),
        without("sign_type"),
        without("seller_id"),
        text.replace(sign, "sign=").into_bytes(),
        text.replace("sign_type=RSA2", "sign_type=RSA").into_bytes(),
        text.replace("sign_type=RSA2", "sign_type=MD5").into_bytes(),
        text.replace("sign_type=RSA2", "sign_type=").into_bytes(),
        text.replace("sign_type=RSA2", "sign_type=rsa2").into_bytes(),
        text.replace("total_amount=12.30", "total_amount=12.29").into_bytes(),
        text.replace("total_amount=12.30", "total_amount=12.30&total_amount=0.01").into_bytes(),
        text.replace("receipt_amount", "receipt_amounts").into_bytes(),
        format!("{text}&refund_fee=0.00").into_bytes(),
        format!("{text}&x=").into_bytes(),
        format!("{text}&").into_bytes(),
        format!("\u{feff}{text}").into_bytes(),
        format!("{text}\r\n").into_bytes(),
        vec![b'a'; 64 * 1024 + 1],
    ];
    // Signed by somebody else, by ourselves, and over the encoded text.
    bodies.push(signed(&fields(|_| {}), ALIPAY_NEXT_KEY));
    bodies.push(signed(&fields(|_| {}), APP_KEY));
    let encoded: BTreeMap<String, String> = fields(|_| {}).into_iter().map(|(n, v)| (n, wire::encoded(&v))).collect();
    let parts: Vec<String> = encoded.iter().map(|(n, v)| format!("{n}={v}")).collect();
    let over_encoded = RsaSigner::read(ALIPAY_KEY).unwrap().sign_sha256_base64(parts.join("&").as_bytes());
    bodies.push(text.replace(sign, &wire::pair("sign", &over_encoded)).into_bytes());
    for body in bodies {
        assert_not_genuine(hear(&alipay, &body, NOW));
    }
}

#[test]
fn a_genuine_notification_under_another_name_says_so() {
    for name in ["app_id", "seller_id"] {
        let Observation::Paid(facts) = observation(told(set(name, "2088999999999999"))) else { panic!() };
        assert_eq!(facts.identity, Err(format!("{name} 2088999999999999 is not ours")));
        // Closing or giving back under another name is not about this account at all.
        for change in [("trade_status", "TRADE_CLOSED"), ("refund_fee", "1.00")] {
            assert_not_genuine(told(|fields| {
                fields.insert(name.to_owned(), "2088999999999999".to_owned());
                fields.insert(change.0.to_owned(), change.1.to_owned());
                fields.remove("gmt_payment");
            }));
        }
    }
    let nameless = told(|fields| {
        fields.remove("seller_id");
    });
    assert!(matches!(observation(nameless), Observation::Unknown { .. }));
}

#[test]
fn amount_and_currency_are_passed_on_as_told() {
    for (text, minor) in [("12.29", 1229), ("12.31", 1231), ("0.01", 1)] {
        let Observation::Paid(facts) = observation(told(set("total_amount", text))) else { panic!() };
        assert_eq!(facts.amount, Money::new(minor, Currency::CNY));
    }
    let Observation::Paid(facts) = observation(told(set("trans_currency", "USD"))) else { panic!() };
    assert_eq!(facts.amount, Money::new(1230, Currency::USD));
    for (name, bad) in [
        ("total_amount", "-12.30"),
        ("total_amount", "1e3"),
        ("total_amount", "12.305"),
        ("total_amount", ""),
        ("trans_currency", "XXX"),
        ("gmt_payment", "yesterday"),
        ("trade_no", ""),
        ("out_trade_no", "../../etc/passwd"),
        ("out_trade_no", ""),
        ("notify_time", ""),
        ("app_id", ""),
        ("charset", "utf-16"),
    ] {
        assert_malformed(told(set(name, bad)));
    }
}

#[test]
fn a_notification_is_believed_as_long_as_alipay_sends_it() {
    let alipay = opened(&by_key());
    let body = signed(&fields(|_| {}), ALIPAY_KEY);
    for now in [NOW.plus(Duration::from_hours(26)), NOW.minus(Duration::from_minutes(10))] {
        assert!(hear(&alipay, &body, now).is_ok());
    }
    let second = Duration::from_seconds(1);
    for now in [NOW.plus(Duration::from_hours(26)).plus(second), NOW.minus(Duration::from_minutes(10)).minus(second)] {
        assert_not_genuine(hear(&alipay, &body, now));
    }
}

#[test]
fn a_signature_covers_the_bytes_of_the_senders_charset() {
    let alipay = opened(&by_key());
    let fields = fields(set("charset", "GBK"));
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for (name, value) in &fields {
        let value = encoding_rs::GBK.encode(value).0;
        parts.push([name.as_bytes(), b"=", &value].concat());
    }
    let sign = RsaSigner::read(ALIPAY_KEY).unwrap().sign_sha256_base64(&parts.join(&b'&'));
    let escape = |bytes: &[u8]| url::form_urlencoded::byte_serialize(bytes).collect::<String>();
    let mut pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}={}", escape(&encoding_rs::GBK.encode(value).0))).collect();
    pairs.extend([wire::pair("sign", &sign), "sign_type=RSA2".to_owned()]);
    assert_eq!(observation(hear(&alipay, pairs.join("&").as_bytes(), NOW)), Observation::Paid(facts()));
    // Bytes that are none of the charset it names.
    let key = RsaSigner::read(ALIPAY_KEY).unwrap();
    let mut plain: Vec<Vec<u8>> = super::notification::fields(|_| {})
        .into_iter()
        .filter(|(name, _)| name != "subject")
        .map(|(name, value)| format!("{name}={value}").into_bytes())
        .collect();
    plain.push(b"subject=\xff\xfe".to_vec());
    plain.sort();
    let sign = key.sign_sha256_base64(&plain.join(&b'&'));
    let mut pairs: Vec<String> = plain
        .iter()
        .map(|part| {
            let at = part.iter().position(|b| *b == b'=').unwrap();
            format!("{}={}", std::str::from_utf8(&part[..at]).unwrap(), escape(&part[at + 1..]))
        })
        .collect();
    pairs.extend([wire::pair("sign", &sign), "sign_type=RSA2".to_owned()]);
    assert_malformed(hear(&alipay, pairs.join("&").as_bytes(), NOW));
}

#[test]
fn in_certificate_mode_any_certificate_in_time_may_have_signed() {
    let sns = vectors().sns;
    let mut record = by_certificate();
    let Trust::Certificate { alipay_certificates, .. } = &mut record.trust else { panic!() };
    alipay_certificates.insert(0, ALIPAY_NEXT_CERT.to_owned());
    let alipay = opened(&record);
    for key in [ALIPAY_KEY, ALIPAY_NEXT_KEY] {
        let body = signed(&fields(|_| {}), key);
        assert!(hear(&alipay, &body, NOW).is_ok());
        assert_not_genuine(hear(&opened(&by_certificate()), &signed(&fields(|_| {}), APP_KEY), NOW));
    }
    let named = |sn: &str| fields(|fields| drop(fields.insert("alipay_cert_sn".to_owned(), sn.to_owned())));
    assert!(hear(&alipay, &signed(&named(&sns.next), ALIPAY_NEXT_KEY), NOW).is_ok());
    assert_not_genuine(hear(&alipay, &signed(&named(&sns.alipay), ALIPAY_NEXT_KEY), NOW));
    assert_not_genuine(hear(&opened(&by_certificate()), &signed(&named(&sns.next), ALIPAY_NEXT_KEY), NOW));
}

/// Alipay's next public key, as its console would show it.
fn next_public_key() -> String {
    let certificate = crate::crypto::Certificate::read(ALIPAY_NEXT_CERT).unwrap();
    data_encoding::BASE64.encode(&certificate.public_key().unwrap().to_spki())
}

#[test]
fn what_replaced_keys_verified_is_believed_and_what_they_signed_with_is_gone() {
    let old = by_key();
    let told = signed(&fields(|_| {}), ALIPAY_KEY);
    let changed = Credentials {
        private_key: ALIPAY_NEXT_KEY.to_owned(),
        trust: Trust::Key { alipay_public_key: next_public_key() },
        ..by_key()
    };
    assert_not_genuine(hear(&opened(&changed), &told, NOW));
    let kept = changed.clone().replacing(&old);
    assert!(hear(&opened(&kept), &told, NOW).is_ok(), "made before the replacement, it arrives after it");
    assert!(hear(&opened(&kept), &signed(&fields(|_| {}), ALIPAY_NEXT_KEY), NOW).is_ok());
    assert_not_genuine(hear(&opened(&kept), &signed(&fields(|_| {}), APP_KEY), NOW));
    let text = String::from_utf8(kept.to_secret().expose().to_vec()).unwrap();
    assert!(!text.contains(&APP_KEY[100..140]) && text.contains(&ALIPAY_NEXT_KEY[100..140]));

    // From keys to certificates and back: both are believed, and a new private key alone pushes nothing out.
    let by_certificates = by_certificate().replacing(&changed);
    assert!(hear(&opened(&by_certificates), &signed(&fields(|_| {}), ALIPAY_NEXT_KEY), NOW).is_ok());
    let back = changed.clone().replacing(&by_certificates);
    assert!(hear(&opened(&back), &told, NOW).is_ok());
    assert_eq!(kept.clone().replacing(&kept).earlier.len(), 1);
    // Only so many are remembered, and nothing of another application.
    let mut many = old.clone();
    for next in [&changed, &by_certificate(), &changed, &by_certificate(), &changed] {
        many = next.clone().replacing(&many);
        assert!(many.earlier.len() <= credentials::EARLIER_MAX);
    }
    let other = Credentials { app_id: "2021000000000002".to_owned(), ..by_key() };
    assert_not_genuine(hear(&opened(&changed.replacing(&other)), &told, NOW));
}

#[test]
fn certificates_that_were_fetched_stay_when_the_keys_are_entered_again() {
    let mut old = by_certificate();
    let Trust::Certificate { alipay_certificates, .. } = &mut old.trust else { panic!() };
    alipay_certificates.insert(0, ALIPAY_NEXT_CERT.to_owned());
    let kept = by_certificate().replacing(&old);
    assert!(kept.earlier.is_empty(), "below the same roots they are certificates in use");
    assert!(hear(&opened(&kept), &signed(&fields(|_| {}), ALIPAY_NEXT_KEY), NOW).is_ok());
}

#[test]
fn alipay_hears_one_word() {
    let alipay = opened(&by_key());
    assert_eq!((alipay.acknowledge(true).status, alipay.acknowledge(true).body), (200, "success"));
    assert_eq!((alipay.acknowledge(false).status, alipay.acknowledge(false).body), (200, "failure"));
}

/// Whoever can write a trade's subject pays one fen, and moves another amount out of it: the signed text stays the same.
#[test]
fn a_value_that_reads_like_another_field_is_not_believed() {
    let split = told(|fields| {
        fields.insert("subject".to_owned(), "x".to_owned());
        fields.insert("total_amount".to_owned(), "12.30".to_owned());
        fields.insert("total_b".to_owned(), "&total_amount=0.01".to_owned());
    });
    assert!(matches!(split, Err(ChannelError::NotGenuine { .. })), "{split:?}");
    let name = told(|fields| {
        fields.insert("subject=x&refund_fee".to_owned(), "1".to_owned());
    });
    assert!(matches!(name, Err(ChannelError::NotGenuine { .. })), "{name:?}");
    let hidden = told(|fields| {
        fields.insert("gmt_payment".to_owned(), "2026-11-18 19:05:00&gmt_refund=2026-11-18 19:06:00".to_owned());
    });
    assert!(matches!(hidden, Err(ChannelError::NotGenuine { .. })), "{hidden:?}");
    // What says nothing else about the payment is a subject like any other.
    assert!(matches!(observation(told(set("subject", "茶 & 杯 = 100%"))), Observation::Paid(_)));
}
