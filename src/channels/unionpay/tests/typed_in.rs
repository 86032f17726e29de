//! What merchants type in, and the sentence for what is wrong with it.

use super::credentials::{Complaint, Field, Typed, check};
use super::keyed::KEY;
use super::*;

const PFX: &[u8] = include_bytes!("../fixtures/old.pfx");

fn typed<'a>(trusted: &'a str) -> Typed<'a> {
    Typed {
        mer_id: " 777290058110048 ",
        pfx: PFX,
        pfx_password: "000000",
        trusted_certificates: trusted,
        accept_sha1: true,
        ..Typed::default()
    }
}

fn complaint(change: impl FnOnce(&mut Typed<'_>)) -> Complaint {
    let trusted = [ROOT, MIDDLE].concat();
    let mut typed = typed(&trusted);
    change(&mut typed);
    let complaints = check(&typed, NOW).unwrap_err();
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    complaints[0]
}

#[test]
fn an_old_pfx_becomes_a_record_that_opens() {
    let trusted = [ROOT, MIDDLE].concat();
    let checked = check(&typed(&trusted), NOW).unwrap();
    assert!(checked.warnings(NOW).is_empty());
    assert_eq!(checked.cert_id().as_deref(), Some("69903321737"));
    let account = UnionPay::open(checked.to_secret().expose(), PRODUCTION, PRODUCTION).unwrap();
    assert_eq!((account.mer_id.as_str(), account.signing.cert_id()), (MER_ID, Some("69903321737")));
    let pem = Typed { pfx: &[], private_key: MERCHANT_KEY, certificate: MERCHANT, ..typed(&trusted) };
    let other = check(&pem, NOW).unwrap();
    assert_eq!(other.key_fingerprint(), checked.key_fingerprint());
    assert!(other.key_fingerprint().is_some());
    // Production's own certificates need not be typed in.
    assert!(check(&typed(""), NOW).is_ok());
}

#[test]
fn the_field_that_is_wrong_is_named_in_both_languages() {
    type Change = fn(&mut Typed<'_>);
    let cases: [(Field, Change); 16] = [
        (Field::MerId, |t| t.mer_id = "77729005811004"),
        (Field::MerId, |t| t.mer_id = "77729005811004!"),
        (Field::Pfx, |t| t.pfx = b"not a file"),
        (Field::PfxPassword, |t| t.pfx_password = "123456"),
        (Field::Pfx, |t| t.pfx = &[]),
        (Field::PrivateKey, |t| (t.pfx, t.certificate) = (&[], MERCHANT)),
        (Field::Certificate, |t| (t.pfx, t.private_key) = (&[], MERCHANT_KEY)),
        (Field::Certificate, |t| (t.pfx, t.private_key, t.certificate) = (&[], MERCHANT_KEY, SIGNER)),
        (Field::Certificate, |t| {
            (t.pfx, t.private_key) = (&[], SIGNER_KEY);
            t.certificate = include_str!("../fixtures/signer_expired.pem");
        }),
        (Field::TrustedCertificates, |t| t.trusted_certificates = MIDDLE),
        (Field::AcceptSha1, |t| t.accept_sha1 = false),
        (Field::AcceptSha1, |t| (t.accept_sha1, t.trusted_certificates) = (false, "")),
        (Field::TrustedCertificates, |t| t.trusted_certificates = "no certificate"),
        (Field::TermId, |t| t.term_id = "1234567"),
        (Field::SignMethod, |t| t.secure_key = KEY),
        (Field::SignMethod, |t| t.sign_method = "02"),
    ];
    for (number, (field, change)) in cases.into_iter().enumerate() {
        let found = complaint(change);
        assert_eq!(found.field, field, "{number}");
        assert!(!found.sentence.zh.is_empty() && !found.sentence.en.is_empty());
    }
}

#[test]
fn everything_that_is_wrong_is_named_at_once() {
    let typed = Typed {
        mer_id: "",
        term_id: "1",
        private_key: "x",
        certificate: "y",
        trusted_certificates: "z",
        ..Typed::default()
    };
    let fields: Vec<Field> = check(&typed, NOW).unwrap_err().iter().map(|complaint| complaint.field).collect();
    use Field::{Certificate, MerId, PrivateKey, TermId, TrustedCertificates};
    assert_eq!(fields, [MerId, TermId, PrivateKey, Certificate, TrustedCertificates]);
}

#[test]
fn certificates_that_end_soon_are_warned_of() {
    let trusted = [ROOT, MIDDLE].concat();
    let near_the_end = time::read_beijing("20291215000000").unwrap();
    let warned: Vec<Field> = check(&typed(&trusted), near_the_end)
        .unwrap()
        .warnings(near_the_end)
        .iter()
        .map(|warning| warning.field)
        .collect();
    assert_eq!(warned, [Field::Certificate]);
    let too_late = time::read_beijing("20300102000000").unwrap();
    assert_eq!(check(&typed(&trusted), too_late).unwrap_err()[0].field, Field::Certificate);
    assert_eq!(record().expiries().len(), 2);
}

#[test]
fn credentials_without_usable_keys_are_refused() {
    let by_certificate = |own| Credentials { contract: Contract::Certificate(own), ..record() };
    let mut records = vec![
        Credentials { mer_id: "x".to_owned(), ..record() },
        Credentials { term_id: Some("1&2".to_owned()), ..record() },
        by_certificate(ByCertificate { sign_key: String::new(), ..own() }),
        by_certificate(ByCertificate { sign_certificate: String::new(), ..own() }),
        by_certificate(ByCertificate { sign_certificate: SIGNER.to_owned(), ..own() }),
        by_certificate(ByCertificate { trusted_certificates: MIDDLE.to_owned(), ..own() }),
    ];
    for method in KeyedMethod::ALL {
        records.extend(["", "short", "with a blank", "密钥密钥密钥"].map(|key| record_by_key(method, key)));
    }
    for (number, record) in records.into_iter().enumerate() {
        let opened = UnionPay::open(record.to_secret().expose(), PRODUCTION, PRODUCTION);
        assert!(matches!(opened, Err(ChannelError::Credentials { .. })), "{number}");
    }
    for record in [record(), record_by_key(KeyedMethod::Sm3, KEY)] {
        let text = String::from_utf8(record.to_secret().expose().to_vec()).unwrap();
        assert!(UnionPay::open(text.as_bytes(), PRODUCTION, PRODUCTION).is_ok());
        // Neither what nobody knows nor both forms of contract at once.
        for more in ["more", "sign_key", "secure_key"] {
            let more = text.replacen('{', &format!("{{\"{more}\":\"x\","), 1);
            assert!(UnionPay::open(more.as_bytes(), PRODUCTION, PRODUCTION).is_err(), "{more}");
        }
    }
}

#[test]
fn records_of_before_shared_keys_open() {
    let text = String::from_utf8(record().to_secret().expose().to_vec()).unwrap();
    let members: serde_json::Map<_, _> = serde_json::from_str(&text).unwrap();
    let names: Vec<&str> = members.keys().map(String::as_str).collect();
    let known = ["accept_sha1", "accept_test_name", "mer_id", "sign_certificate", "sign_key", "term_id"];
    assert_eq!(names, [&known[..], &["trusted_certificates"]].concat());
}

#[test]
fn a_shared_key_becomes_a_record_that_opens_and_is_named_by_what_does_not_tell_it() {
    for method in KeyedMethod::ALL {
        let typed = Typed {
            mer_id: MER_ID,
            sign_method: method.code(),
            secure_key: " K7mQ2vX9pL4sT8wZ1nB6cR3yD5fG0hJk\n",
            ..Typed::default()
        };
        let checked = check(&typed, NOW).unwrap();
        assert!(checked.warnings(NOW).is_empty() && checked.expiries().is_empty());
        assert_eq!(checked.cert_id(), None);
        assert_eq!(opened(&checked).signing.method(), method.code());
        let fingerprint = checked.key_fingerprint().unwrap();
        assert!(fingerprint.len() == 8 && !method.hash().letters(KEY.as_bytes()).contains(&fingerprint));

        type Change = fn(&mut Typed<'_>);
        let cases: [(Field, Change); 8] = [
            (Field::SecureKey, |t| t.secure_key = ""),
            (Field::SecureKey, |t| t.secure_key = "7654321"),
            (Field::SecureKey, |t| t.secure_key = "K7mQ2vX9 pL4sT8wZ"),
            (Field::SecureKey, |t| t.secure_key = "K7mQ2vX9pL4sT8wＺ"),
            (Field::SignMethod, |t| t.pfx = PFX),
            (Field::SignMethod, |t| t.private_key = MERCHANT_KEY),
            (Field::SignMethod, |t| t.trusted_certificates = ROOT),
            (Field::SignMethod, |t| t.sign_method = "13"),
        ];
        for (number, (field, change)) in cases.into_iter().enumerate() {
            let mut typed = typed;
            change(&mut typed);
            assert_eq!(check(&typed, NOW).unwrap_err()[0].field, field, "{number}");
        }
    }
}

#[test]
fn nothing_secret_is_printed() {
    let printed =
        format!("{:?} {:?}", record(), account().request(&Order::Create(create(Method::UnionpayQr)), &SEALING));
    assert!(!printed.contains("PRIVATE") && !printed.contains("signature"), "{printed}");
    let shared = record_by_key(KeyedMethod::Sha256, KEY);
    assert!(!format!("{shared:?}").contains(KEY));
    assert_eq!(format!("{:?}", SharedKey::new(KeyedMethod::Sha256, KEY)), "SharedKey(…)");
}
