//! Every published vector: seven real messages, the older signing methods, parsing and packing.

use data_encoding::{BASE64, HEXLOWER};
use serde::Deserialize;

use super::chain::Trust;
use super::*;
use crate::crypto::rsa::Digest;

#[derive(Deserialize)]
struct Message {
    name: String,
    fields: std::collections::BTreeMap<String, String>,
    canonical_string: String,
    sha256_hex_lower: String,
    signature_b64: String,
    verify_with: String,
    raw_body: Option<String>,
}

const MERCHANT_2015: &str = include_str!("../fixtures/merchant_test_sign_68759663125.pem");
const MERCHANT_2021: &str = include_str!("../fixtures/merchant_test_sign_69903319369.pem");
const TEST_ROOT: &str = include_str!("../fixtures/acp_test_root.cer");
const TEST_MIDDLE: &str = include_str!("../fixtures/acp_test_middle.cer");
const TEST_SIGNER: &str = include_str!("../fixtures/unionpay_test_sign_69678957876.pem");

/// UnionPay's test certificate was valid then.
fn then() -> Timestamp {
    time::read_beijing("20240105170000").unwrap()
}

fn published_trust() -> Trust {
    let certificates = [TEST_ROOT, TEST_MIDDLE].map(|text| Certificate::read(text).unwrap());
    Trust::new(certificates.to_vec(), true, false).unwrap()
}

fn messages() -> Vec<Message> {
    serde_json::from_str(include_str!("../fixtures/signature_rsa.json")).unwrap()
}

fn fields_of(message: &Message) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in &message.fields {
        fields.put(name, value.as_str());
    }
    fields.put("signature", message.signature_b64.as_str());
    fields
}

#[test]
fn all_seven_published_messages_verify() {
    let messages = messages();
    assert_eq!(messages.len(), 7);
    for message in &messages {
        let fields = fields_of(message);
        let canonical = fields.canonical(Empty::Dropped);
        assert_eq!(canonical, message.canonical_string, "{}", message.name);
        let hash = ring::digest::digest(&ring::digest::SHA256, canonical.as_bytes());
        assert_eq!(HEXLOWER.encode(hash.as_ref()), message.sha256_hex_lower, "{}", message.name);
        match message.verify_with.as_str() {
            "certs/merchant_test_sign_68759663125.pem" | "certs/merchant_test_sign_69903319369.pem" => {
                let own = if message.verify_with.contains("68759663125") { MERCHANT_2015 } else { MERCHANT_2021 };
                let own = Certificate::read(own).unwrap();
                assert_eq!(fields.get("certId"), Some(own.serial_decimal().as_str()), "{}", message.name);
                assert!(sign::is_signed(&fields, &own.public_key().unwrap(), &message.signature_b64));
            }
            _ => assert_eq!(sign::verify(&fields, &published_trust(), then()), Ok(()), "{}", message.name),
        }
    }
}

#[test]
fn the_raw_bodies_read_as_their_fields() {
    let mut seen = 0;
    for message in messages() {
        let Some(body) = &message.raw_body else { continue };
        seen += 1;
        assert_eq!(Fields::read_raw(body.as_bytes()), Ok(fields_of(&message)), "{}", message.name);
        // One changed byte anywhere spoils it.
        for at in (0..body.len()).step_by(11) {
            let mut changed = body.as_bytes().to_vec();
            changed[at] ^= 1;
            let read = Fields::read_raw(&changed);
            assert!(read.is_err() || read.is_ok_and(|read| sign::verify(&read, &published_trust(), then()).is_err()));
        }
    }
    assert_eq!(seen, 3);
}

#[test]
fn unionpays_test_certificate_counts_only_in_its_time() {
    let trust = published_trust();
    assert!(trust.signer(TEST_SIGNER, then()).is_ok());
    for late in ["20250731091917", "20261118000000"] {
        let late = time::read_beijing(late).unwrap();
        assert_eq!(trust.signer(TEST_SIGNER, late).err(), Some(chain::Distrust::NotValidNow));
    }
    // A merchant's certificate of the same authority signs nothing for UnionPay.
    for (merchant, at) in [(MERCHANT_2015, "20170101000000"), (MERCHANT_2021, "20240101000000")] {
        let at = time::read_beijing(at).unwrap();
        assert_eq!(trust.signer(merchant, at).err(), Some(chain::Distrust::NotUnionPay));
    }
}

fn others() -> Vec<serde_json::Value> {
    let vectors: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../fixtures/signature_other.json")).unwrap();
    assert_eq!(vectors.len(), 3, "two with a key, one of the old version");
    vectors
}

/// The signed fields of such a case, without its signature.
fn fields_of_other(vector: &serde_json::Value) -> Fields {
    let canonical = vector["canonical_string"].as_str().unwrap();
    let fields = Fields::read_raw(canonical.as_bytes()).unwrap();
    assert_eq!(fields.canonical(Empty::Dropped), canonical);
    fields
}

#[test]
fn both_published_signatures_with_a_key_are_made_and_verified() {
    let keyed: Vec<_> = others().into_iter().filter(|vector| vector["secure_key"].is_string()).collect();
    assert_eq!(keyed.len(), 2);
    for (vector, method) in keyed.iter().zip(KeyedMethod::ALL) {
        assert_eq!(vector["signMethod"], method.code());
        let key = SharedKey::new(method, vector["secure_key"].as_str().unwrap());
        let mut fields = fields_of_other(vector);
        key.sign(&mut fields);
        assert_eq!(fields.get("signature"), vector["signature"].as_str(), "{}", vector["name"]);
        assert_eq!(key.verify(&fields), Ok(()));
        assert_eq!(SharedKey::new(method, "another").verify(&fields), Err(sign::BadSignature::Wrong));
        let [sha256, sm3] = KeyedMethod::ALL.map(|method| SharedKey::new(method, ""));
        let other = if method == KeyedMethod::Sha256 { sm3 } else { sha256 };
        assert_eq!(other.verify(&fields), Err(sign::BadSignature::OtherMethod));
        // In the way of certificates neither counts.
        fields.put("signPubKeyCert", TEST_SIGNER);
        assert_eq!(sign::verify(&fields, &published_trust(), then()), Err(sign::BadSignature::OtherMethod));
    }
}

#[test]
fn the_published_signature_of_the_old_version_is_genuine_and_refused() {
    let old: Vec<_> = others().into_iter().filter(|vector| vector["version"] == "5.0.0").collect();
    let [vector] = &old[..] else { panic!("one") };
    let [sha1, signature] = ["sha1_hex_lower", "signature_b64"].map(|name| vector[name].as_str().unwrap());
    let mut fields = fields_of_other(vector);
    let canonical = fields.canonical(Empty::Dropped);
    let hash = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, canonical.as_bytes());
    assert_eq!(HEXLOWER.encode(hash.as_ref()), sha1);
    assert_eq!(vector["verify_with"], "certs/merchant_test_sign_68759663125.pem");
    let key = Certificate::read(MERCHANT_2015).unwrap().public_key().unwrap();
    assert!(key.verifies_base64(Digest::Sha1, sha1.as_bytes(), signature));
    assert!(!key.verifies_base64(Digest::Sha256, sha1.as_bytes(), signature));
    fields.put("signature", signature);
    fields.put("signPubKeyCert", TEST_SIGNER);
    assert_eq!(sign::verify(&fields, &published_trust(), then()), Err(sign::BadSignature::OtherMethod));
    let key = SharedKey::new(KeyedMethod::Sha256, "");
    assert_eq!(key.verify(&fields), Err(sign::BadSignature::OtherMethod));
}

#[test]
fn all_published_certificates_read_as_listed() {
    #[derive(Deserialize)]
    struct Listed {
        file: String,
        #[serde(rename = "serial_decimal(certId)")]
        serial: String,
        subject: String,
        issuer: String,
        not_before: String,
        not_after: String,
        sig_alg: String,
        rsa_bits: usize,
    }
    let listed: Vec<Listed> = serde_json::from_str(include_str!("../fixtures/certs_index.json")).unwrap();
    let files = [
        ("certs/acp_test_root.cer", TEST_ROOT),
        ("certs/acp_test_middle.cer", TEST_MIDDLE),
        ("certs/acp_test_enc.cer", include_str!("../fixtures/acp_test_enc.cer")),
        ("certs/acp_prod_root.cer", include_str!("../published/root.cer")),
        ("certs/acp_prod_middle.cer", include_str!("../published/middle.cer")),
        ("certs/acp_prod_enc.cer", include_str!("../fixtures/acp_prod_enc.cer")),
        ("certs/merchant_test_sign_69903319369.pem", MERCHANT_2021),
        ("certs/merchant_test_sign_68759663125.pem", MERCHANT_2015),
        ("certs/unionpay_test_sign_69678957876.pem", TEST_SIGNER),
    ];
    assert_eq!(listed.len(), files.len());
    for (listed, (file, text)) in listed.iter().zip(files) {
        assert_eq!(listed.file, file);
        let certificate = Certificate::read(text).unwrap();
        let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
        assert_eq!(
            (certificate.serial_decimal(), certificate.subject()),
            (listed.serial.clone(), listed.subject.clone())
        );
        assert_eq!(certificate.issuer(), listed.issuer, "{file}");
        assert_eq!(
            (certificate.not_before(), certificate.not_after()),
            (at(&listed.not_before), at(&listed.not_after))
        );
        assert_eq!((certificate.signed_with(), listed.sig_alg.as_str()), (Some(Digest::Sha1), "sha1RSA"), "{file}");
        use rsa::pkcs8::DecodePublicKey;
        use rsa::traits::PublicKeyParts;
        let key = rsa::RsaPublicKey::from_public_key_der(&certificate.public_key().unwrap().to_spki()).unwrap();
        assert_eq!(key.n().bits(), listed.rsa_bits, "{file}");
    }
}

#[test]
fn all_published_texts_parse() {
    let vectors: Vec<serde_json::Value> = serde_json::from_str(include_str!("../fixtures/parse.json")).unwrap();
    assert_eq!(vectors.len(), 5);
    for vector in &vectors {
        let fields = Fields::read_raw(vector["raw"].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(fields.iter().count() as u64, vector["count"].as_u64().unwrap(), "{}", vector["name"]);
        for (name, value) in vector["fields"].as_object().unwrap() {
            let found = fields.iter().find(|(n, _)| n == name).map(|(_, v)| v);
            assert_eq!(found, value.as_str(), "{}", vector["name"]);
        }
    }
}

#[test]
fn the_published_file_content_unpacks() {
    let vectors: Vec<serde_json::Value> = serde_json::from_str(include_str!("../fixtures/compress.json")).unwrap();
    assert_eq!(vectors.len(), 1);
    let vector = &vectors[0];
    let packed = vector["file_content_b64"].as_str().unwrap();
    assert_eq!(statement::unpack(packed).unwrap(), vector["plain"].as_str().unwrap().as_bytes());
    let cut = BASE64.encode(&BASE64.decode(packed.as_bytes()).unwrap()[..8]);
    for bad in ["", "AAAA", "not base64", &cut] {
        assert!(statement::unpack(bad).is_err(), "{bad}");
    }
}
