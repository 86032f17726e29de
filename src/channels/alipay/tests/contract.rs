//! Credentials: what a merchant types in, certificate numbers, and Alipay's certificates following one another.

use data_encoding::BASE64;

use super::*;
use crate::channels::alipay::credentials::{Complaint, Field, Typed, check};
use crate::crypto::Certificate;

/// Files that Alipay publishes for everybody.
const PUBLIC_ROOTS: &str = include_str!("../../../crypto/fixtures/alipay_roots.crt");
const SANDBOX_ROOTS: &str = include_str!("../fixtures/certs/alipay_root_cert_sandbox_2019.crt");
const SANDBOX_CHAIN: &str = include_str!("../fixtures/certs/alipayCertPublicKey_RSA2_sandbox_with_intermediate.crt");

fn typed_keys(alipay_public_key: &str) -> Typed<'_> {
    Typed { app_id: APP_ID, seller_id: SELLER_ID, private_key: APP_KEY, alipay_public_key, ..Typed::default() }
}

fn typed_certificates() -> Typed<'static> {
    Typed {
        app_id: APP_ID,
        seller_id: SELLER_ID,
        private_key: APP_KEY,
        app_certificate: APP_CERT,
        alipay_certificate: ALIPAY_CERT,
        root_certificates: ROOT_CERT,
        ..Typed::default()
    }
}

#[track_caller]
fn complains(typed: &Typed<'_>, field: Field, word: &str) {
    let complaints = check(typed, NOW).expect_err(word);
    let [Complaint { field: named, sentence }] = complaints[..] else { panic!("{complaints:?}") };
    assert_eq!(named, field, "{}", sentence.en);
    assert!(sentence.en.contains(word), "{}", sentence.en);
    assert!(!sentence.zh.is_empty());
}

#[test]
fn certificate_numbers_are_as_published() {
    #[derive(Deserialize)]
    struct Published {
        certs: Vec<Member>,
        root_bundle: Bundle,
    }
    #[derive(Deserialize)]
    struct Member {
        issuer: String,
        serial_decimal: String,
        cert_sn: String,
    }
    #[derive(Deserialize)]
    struct Bundle {
        expected_alipay_root_cert_sn: String,
    }
    let published: Published = serde_json::from_str(include_str!("../fixtures/cert_sn.json")).unwrap();
    let member = |number: &str| published.certs.iter().find(|member| member.cert_sn == number).unwrap();
    let files = [
        (include_str!("../fixtures/certs/appCertPublicKey_2021001161683774.crt"), "866efef280dec9137a87d047ac446315"),
        (include_str!("../fixtures/certs/alipayCertPublicKey_RSA2_prod.crt"), "7513daaaa48aa3ba2e4018d84402479c"),
        (
            include_str!("../fixtures/certs/appCertPublicKey_sandbox_9021000122689420.crt"),
            "9c51a0ddeb34866e5a331e613f57bf0f",
        ),
        (SANDBOX_CHAIN, "05d88faef76d723019c5c14d3ecd014a"),
    ];
    for (file, number) in files {
        let certificate = Certificate::read(file).unwrap();
        assert_eq!(sign::certificate_sn(&certificate), number);
        assert_eq!(certificate.issuer(), member(number).issuer);
        assert_eq!(certificate.serial_decimal(), member(number).serial_decimal);
    }
    let chain = Certificate::read(include_str!("../../../crypto/fixtures/alipay_chain.crt")).unwrap();
    assert_eq!(sign::certificate_sn(&chain), "f4facbef87f2c92cf8ca72cdfcb25eb1");
    assert_eq!(published.certs.len(), 9);
    for member in &published.certs {
        use md5::Digest;
        let digest = md5::Md5::digest(format!("{}{}", member.issuer, member.serial_decimal).as_bytes());
        assert_eq!(data_encoding::HEXLOWER.encode(&digest), member.cert_sn);
    }
    // One member of the bundle cannot be read strictly, and members of other families do not count.
    let roots = sign::root_sn(&Certificate::read_bundle(PUBLIC_ROOTS));
    assert_eq!(roots, published.root_bundle.expected_alipay_root_cert_sn);
    assert_eq!(sign::root_sn(&Certificate::read_bundle(SANDBOX_ROOTS)), "6bc29aa3b4d406c43483ffea81e08d22");
    let sns = vectors().sns;
    let number = |file: &str| sign::certificate_sn(&Certificate::read(file).unwrap());
    assert_eq!([number(APP_CERT), number(ALIPAY_CERT), number(ALIPAY_NEXT_CERT)], [sns.app, sns.alipay, sns.next]);
    assert_eq!(sign::root_sn(&Certificate::read_bundle(ROOT_CERT)), sns.root);
}

#[test]
fn every_published_file_is_the_listed_one_and_has_its_number() {
    #[derive(Deserialize)]
    struct Listed {
        file: String,
        sha256: String,
        certs_in_file: usize,
        cert_sn_of_first: Option<String>,
        alipay_root_cert_sn: Option<String>,
    }
    let listed: Vec<Listed> = serde_json::from_str(include_str!("../fixtures/certs_index.json")).unwrap();
    let files = [
        ("alipayRootCert.crt", PUBLIC_ROOTS),
        (
            "appCertPublicKey_2021001161683774.crt",
            include_str!("../fixtures/certs/appCertPublicKey_2021001161683774.crt"),
        ),
        ("alipayCertPublicKey_RSA2_prod.crt", include_str!("../fixtures/certs/alipayCertPublicKey_RSA2_prod.crt")),
        (
            "alipayCertPublicKey_RSA2_prod_with_intermediate.crt",
            include_str!("../../../crypto/fixtures/alipay_chain.crt"),
        ),
        (
            "appCertPublicKey_sandbox_9021000122689420.crt",
            include_str!("../fixtures/certs/appCertPublicKey_sandbox_9021000122689420.crt"),
        ),
        ("alipayCertPublicKey_RSA2_sandbox_with_intermediate.crt", SANDBOX_CHAIN),
        ("alipay_root_cert_sandbox_2019.crt", SANDBOX_ROOTS),
    ];
    assert_eq!(listed.len(), files.len());
    for (listed, (file, text)) in listed.iter().zip(files) {
        assert_eq!(listed.file, format!("certs/{file}"));
        assert_eq!(crate::crypto::Hash::Sha256.letters(text.as_bytes()), listed.sha256, "{file}");
        assert_eq!(text.matches("-----BEGIN CERTIFICATE-----").count(), listed.certs_in_file, "{file}");
        match (&listed.cert_sn_of_first, &listed.alipay_root_cert_sn) {
            (Some(sn), None) => assert_eq!(&sign::certificate_sn(&Certificate::read(text).unwrap()), sn, "{file}"),
            (None, Some(sn)) => assert_eq!(&sign::root_sn(&Certificate::read_bundle(text)), sn, "{file}"),
            (Some(_), Some(_)) | (None, None) => panic!("{file}: one number"),
        }
    }
}

#[test]
fn what_fits_together_is_stored() {
    let public = alipay_public_key();
    let record = check(&typed_keys(&public), NOW).unwrap();
    assert!(record.warnings(NOW).is_empty() && record.expiries().is_empty());
    let alipay = opened(&record);
    assert!(alipay.keys.sns().is_none());
    assert_eq!(record.key_fingerprint().unwrap().len(), 32);

    let record = check(&typed_certificates(), NOW).unwrap();
    assert!(record.warnings(NOW).is_empty(), "{:?}", record.warnings(NOW));
    let expiries = record.expiries();
    assert_eq!(
        expiries.iter().map(|(field, _)| *field).collect::<Vec<_>>(),
        [Field::AppCertificate, Field::AlipayCertificate]
    );
    let sns = vectors().sns;
    assert_eq!(opened(&record).keys.sns(), Some((sns.app.as_str(), sns.root.as_str())));
    // Pasted with blanks around, and with the content key.
    let key = format!(" {} ", vectors().content_key);
    let record =
        check(&Typed { app_id: " 2021000000000001\n", content_key: &key, ..typed_certificates() }, NOW).unwrap();
    assert_eq!(record.app_id, APP_ID);
    assert!(opened(&record).keys.content.is_some());
}

#[test]
fn the_field_that_is_wrong_is_named() {
    let public = alipay_public_key();
    let good = typed_keys(&public);
    for app_id in ["", "2021", "wx2021001161683774", "20210011616837742021001161683774202"] {
        complains(&Typed { app_id, ..good }, Field::AppId, "APPID");
    }
    for seller_id in ["", "2088", "1088000000000001", "20880000000000010156"] {
        complains(&Typed { seller_id, ..good }, Field::SellerId, "PID");
    }
    complains(&Typed { private_key: "", ..good }, Field::PrivateKey, "cannot be read");
    complains(&Typed { private_key: &public, ..good }, Field::PrivateKey, "public key");
    complains(&Typed { private_key: APP_CERT, ..good }, Field::PrivateKey, "certificate");
    let own = BASE64.encode(
        &rsa::pkcs8::EncodePublicKey::to_public_key_der(
            &<rsa::RsaPrivateKey as rsa::pkcs8::DecodePrivateKey>::from_pkcs8_der(
                &crate::crypto::rsa::der_in(APP_KEY).unwrap(),
            )
            .unwrap()
            .to_public_key(),
        )
        .unwrap()
        .into_vec(),
    );
    for (key, word) in [
        ("", "three certificates"),
        ("rubbish", "cannot be read"),
        (own.as_str(), "your own"),
        (ALIPAY_KEY, "private key"),
        (ALIPAY_CERT, "certificate"),
    ] {
        complains(&Typed { alipay_public_key: key, ..good }, Field::AlipayPublicKey, word);
    }
    let complaints = check(&Typed { app_id: "1", private_key: "x", content_key: "abc", ..good }, NOW).unwrap_err();
    let fields: Vec<Field> = complaints.iter().map(|complaint| complaint.field).collect();
    assert_eq!(fields, [Field::AppId, Field::PrivateKey, Field::ContentKey], "all at once");
    for content_key in ["abc", "MDEyMzQ1Njc4OWFiY2Rl", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="] {
        complains(&Typed { content_key, ..good }, Field::ContentKey, "24 characters");
    }
}

#[test]
fn certificates_that_do_not_fit_are_named() {
    let good = typed_certificates();
    let field = Field::AppCertificate;
    complains(&Typed { app_certificate: "", ..good }, field, "appCertPublicKey_");
    complains(&Typed { app_certificate: ALIPAY_CERT, ..good }, field, "does not belong to the private key");
    complains(&Typed { app_id: "2021000000000002", ..good }, field, "another application");
    let field = Field::AlipayCertificate;
    complains(&Typed { alipay_certificate: "", ..good }, field, "alipayCertPublicKey_RSA2.crt");
    complains(&Typed { alipay_certificate: APP_CERT, ..good }, field, "your own");
    let expired = include_str!("../fixtures/expired.crt");
    complains(&Typed { alipay_certificate: expired, ..good }, field, "expired");
    let field = Field::RootCertificates;
    complains(&Typed { root_certificates: "", ..good }, field, "alipayRootCert.crt");
    complains(&Typed { root_certificates: PUBLIC_ROOTS, ..good }, field, "same environment");
    let other = include_str!("../fixtures/other_root.crt");
    complains(&Typed { alipay_certificate: other, ..good }, field, "same environment");
    // The leaf alone, as older downloads have it, cannot be traced and is not refused for that.
    let leaf = ALIPAY_CERT.split_inclusive("-----END CERTIFICATE-----").next().unwrap();
    assert!(check(&Typed { alipay_certificate: leaf, ..good }, NOW).is_ok());
    // Another payee may be meant; an end that comes near is told in time.
    let record = check(&Typed { seller_id: "2088000000000002", ..good }, NOW).unwrap();
    assert_eq!(record.warnings(NOW).iter().map(|w| w.field).collect::<Vec<_>>(), [Field::SellerId]);
    let near = Timestamp::parse_rfc3339("2030-12-15T00:00:00Z").unwrap();
    let warned: Vec<Field> = check(&good, near).unwrap().warnings(near).iter().map(|w| w.field).collect();
    assert_eq!(warned, [Field::AppCertificate, Field::AlipayCertificate]);
}

#[test]
fn records_that_cannot_be_used_are_refused() {
    let changes: [fn(&mut Credentials); 6] = [
        |c| c.app_id.clear(),
        |c| c.seller_id = "2088&x".to_owned(),
        |c| c.private_key.clear(),
        |c| c.trust = Trust::Key { alipay_public_key: String::new() },
        |c| c.content_key = Some("short".to_owned()),
        |c| {
            let Trust::Certificate { alipay_certificates, .. } = &mut c.trust else { panic!() };
            alipay_certificates.clear();
        },
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let mut record = by_certificate();
        change(&mut record);
        let opened = Alipay::open(record.to_secret().expose(), HOST.to_owned());
        assert!(matches!(opened, Err(ChannelError::Credentials { .. })), "{i}");
    }
    let extra = String::from_utf8(by_key().to_secret().expose().to_vec()).unwrap().replacen('{', "{\"x\":1,", 1);
    assert!(Alipay::open(extra.as_bytes(), HOST.to_owned()).is_err());
}

const DOWNLOAD_NODE: &str = "alipay_open_app_alipaycert_download_response";

fn certificate_answer(file: &str, key: &str, sn: &str) -> OutgoingResponse {
    let content = BASE64.encode(file.as_bytes());
    let node = format!(r#"{{"code":"10000","msg":"Success","alipay_cert_content":"{content}"}}"#);
    signed_answer(DOWNLOAD_NODE, &node, key, Some(sn))
}

fn asked_for(alipay: &Alipay) -> String {
    let body = alipay.upkeep(&SEALING).unwrap().body;
    let content: serde_json::Value = serde_json::from_slice(&wire::parse_form(&body).unwrap()[0].1).unwrap();
    content["alipay_cert_sn"].as_str().unwrap().to_owned()
}

/// The record as it is when Alipay was seen signing with the next certificate.
fn wanting(sn: &str) -> Credentials {
    keys::want(&by_certificate(), sn).unwrap()
}

#[test]
fn a_new_certificate_of_alipay_is_noticed_fetched_and_believed() {
    let sns = vectors().sns;
    let alipay = opened(&by_certificate());
    assert_eq!(asked_for(&alipay), sns.alipay);
    // Nothing new.
    let same = certificate_answer(ALIPAY_CERT, ALIPAY_KEY, &sns.alipay);
    assert_eq!(alipay.read_upkeep(&same, NOW), Ok(None));
    // Signed with another one: noted, and asked for next time.
    let noticed = certificate_answer(ALIPAY_CERT, ALIPAY_NEXT_KEY, &sns.next);
    let record = alipay.read_upkeep(&noticed, NOW).unwrap().unwrap();
    let alipay = Alipay::open(record.expose(), HOST.to_owned()).unwrap();
    assert_eq!(asked_for(&alipay), sns.next);
    assert_not_genuine(alipay.read_upkeep(&noticed, NOW));
    let record = alipay.read_upkeep(&certificate_answer(ALIPAY_NEXT_CERT, ALIPAY_NEXT_KEY, &sns.next), NOW);
    let alipay = Alipay::open(record.unwrap().unwrap().expose(), HOST.to_owned()).unwrap();
    // Both verify from now on.
    let query = Order::Query(reference(Method::AlipayQr));
    let node = r#"{"code":"40004","sub_code":"ACQ.TRADE_NOT_EXIST"}"#;
    for (key, sn) in [(ALIPAY_KEY, &sns.alipay), (ALIPAY_NEXT_KEY, &sns.next)] {
        let response = signed_answer(&node_of(&query), node, key, Some(sn));
        assert_eq!(alipay.read_response(&query, &response, NOW), Ok(Observation::NotFound));
    }
    assert_eq!(asked_for(&alipay), sns.next);
    // The answer may still be signed with the old one.
    let alipay = opened(&wanting(&sns.next));
    let record = alipay.read_upkeep(&certificate_answer(ALIPAY_NEXT_CERT, ALIPAY_KEY, &sns.alipay), NOW);
    assert!(Alipay::open(record.unwrap().unwrap().expose(), HOST.to_owned()).unwrap().keys.knows(&sns.next));
}

#[test]
fn a_certificate_that_does_not_descend_from_the_roots_is_not_adopted() {
    for file in [
        include_str!("../fixtures/by_merchant.crt"),
        include_str!("../fixtures/other_name.crt"),
        include_str!("../fixtures/other_root.crt"),
        include_str!("../fixtures/expired.crt"),
    ] {
        let sn = sign::certificate_sn(&Certificate::read(file).unwrap());
        let alipay = opened(&wanting(&sn));
        // Told by itself, and under a signature that is believed.
        assert_not_genuine(alipay.read_upkeep(&certificate_answer(file, ALIPAY_NEXT_KEY, &sn), NOW));
        let sns = vectors().sns;
        assert_not_genuine(alipay.read_upkeep(&certificate_answer(file, ALIPAY_KEY, &sns.alipay), NOW));
    }
    let sns = vectors().sns;
    let alipay = opened(&wanting(&sns.next));
    // Its own key does not fit the answer; it is another than the one asked for; the signature is wrong.
    assert_not_genuine(alipay.read_upkeep(&certificate_answer(ALIPAY_NEXT_CERT, APP_KEY, &sns.next), NOW));
    assert_not_genuine(alipay.read_upkeep(&certificate_answer(ALIPAY_CERT, ALIPAY_KEY, &sns.alipay), NOW));
    assert_not_genuine(alipay.read_upkeep(&certificate_answer(ALIPAY_NEXT_CERT, APP_KEY, &sns.alipay), NOW));
}

#[test]
fn what_alipay_does_not_know_is_forgotten_and_nonsense_is_not_noted() {
    let sns = vectors().sns;
    let alipay = opened(&wanting(&sns.next));
    let node = r#"{"code":"40004","msg":"Business Failed","sub_code":"CERT_NOT_EXIST"}"#;
    let answer = signed_answer(DOWNLOAD_NODE, node, ALIPAY_KEY, Some(&sns.alipay));
    let record = alipay.read_upkeep(&answer, NOW).unwrap().unwrap();
    assert_eq!(asked_for(&Alipay::open(record.expose(), HOST.to_owned()).unwrap()), sns.alipay);
    for sn in ["", "x", "../../../../../../../../etc/passw", "BD73C59B390D0AF2F3808C78BF8F567B"] {
        let answer = signed_answer(DOWNLOAD_NODE, node, ALIPAY_NEXT_KEY, Some(sn));
        assert_eq!(opened(&by_certificate()).read_upkeep(&answer, NOW), Ok(None), "{sn}");
    }
    assert!(opened(&by_key()).upkeep(&SEALING).is_none());
}
