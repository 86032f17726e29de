//! What merchants type in, and the sentence for what is wrong with it.

use super::credentials::{Complaint, Field, Typed, check};
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
    check(&typed, NOW).unwrap_err()
}

#[test]
fn an_old_pfx_becomes_a_record_that_opens() {
    let trusted = [ROOT, MIDDLE].concat();
    let checked = check(&typed(&trusted), NOW).unwrap();
    assert!(checked.warnings.is_empty());
    assert_eq!(checked.credentials.cert_id().as_deref(), Some("69903321737"));
    let account = UnionPay::open(checked.credentials.to_secret().expose(), PRODUCTION, PRODUCTION).unwrap();
    assert_eq!((account.mer_id.as_str(), account.cert_id.as_str()), (MER_ID, "69903321737"));
    let pem = Typed { pfx: &[], private_key: MERCHANT_KEY, certificate: MERCHANT, ..typed(&trusted) };
    let other = check(&pem, NOW).unwrap().credentials;
    assert_eq!(other.key_fingerprint(), checked.credentials.key_fingerprint());
    assert!(other.key_fingerprint().is_some());
    // Production's own certificates need not be typed in.
    assert!(check(&typed(""), NOW).is_ok());
}

#[test]
fn the_field_that_is_wrong_is_named_in_both_languages() {
    type Change = fn(&mut Typed<'_>);
    let cases: [(Field, Change); 11] = [
        (Field::MerId, |t| t.mer_id = "77729005811004"),
        (Field::MerId, |t| t.mer_id = "77729005811004!"),
        (Field::Pfx, |t| t.pfx = b"not a file"),
        (Field::PfxPassword, |t| t.pfx_password = "123456"),
        (Field::PrivateKey, |t| t.pfx = &[]),
        (Field::Certificate, |t| (t.pfx, t.private_key) = (&[], MERCHANT_KEY)),
        (Field::Certificate, |t| (t.pfx, t.private_key, t.certificate) = (&[], MERCHANT_KEY, SIGNER)),
        (Field::Certificate, |t| {
            (t.pfx, t.private_key) = (&[], SIGNER_KEY);
            t.certificate = include_str!("../fixtures/signer_expired.pem");
        }),
        (Field::TrustedCertificates, |t| t.trusted_certificates = MIDDLE),
        (Field::TrustedCertificates, |t| t.trusted_certificates = "no certificate"),
        (Field::TermId, |t| t.term_id = "1234567"),
    ];
    for (number, (field, change)) in cases.into_iter().enumerate() {
        let found = complaint(change);
        assert_eq!(found.field, field, "{number}");
        assert!(!found.sentence.zh.is_empty() && !found.sentence.en.is_empty());
    }
}

#[test]
fn certificates_that_end_soon_are_warned_of() {
    let trusted = [ROOT, MIDDLE].concat();
    let near_the_end = time::read_beijing("20291215000000").unwrap();
    let warned: Vec<Field> =
        check(&typed(&trusted), near_the_end).unwrap().warnings.iter().map(|warning| warning.field).collect();
    assert_eq!(warned, [Field::Certificate]);
    let too_late = time::read_beijing("20300102000000").unwrap();
    assert_eq!(check(&typed(&trusted), too_late).unwrap_err().field, Field::Certificate);
    assert_eq!(record().expiries().len(), 2);
}

#[test]
fn credentials_without_usable_keys_are_refused() {
    let changes: [fn(&mut credentials::Credentials); 6] = [
        |c| c.mer_id = "x".to_owned(),
        |c| c.sign_key.clear(),
        |c| c.sign_certificate.clear(),
        |c| c.sign_certificate = SIGNER.to_owned(),
        |c| c.trusted_certificates = MIDDLE.to_owned(),
        |c| c.term_id = Some("1&2".to_owned()),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut record = record();
        change(&mut record);
        let opened = UnionPay::open(record.to_secret().expose(), PRODUCTION, PRODUCTION);
        assert!(matches!(opened, Err(ChannelError::Credentials { .. })), "{number}");
    }
    let text = String::from_utf8(record().to_secret().expose().to_vec()).unwrap();
    let with_more = text.replacen('{', "{\"more\":1,", 1);
    assert!(UnionPay::open(with_more.as_bytes(), PRODUCTION, PRODUCTION).is_err());
}

#[test]
fn nothing_secret_is_printed() {
    let printed =
        format!("{:?} {:?}", record(), account().request(&Order::Create(create(Method::UnionpayQr)), &SEALING));
    assert!(!printed.contains("PRIVATE") && !printed.contains("signature"), "{printed}");
}
