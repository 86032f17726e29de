//! Every published vector: seven real messages, the older signing methods, parsing and packing.

use data_encoding::{BASE64, HEXLOWER};
use serde::Deserialize;

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

#[test]
fn older_and_weaker_signing_methods_are_known_and_refused() {
    let vectors: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../fixtures/signature_other.json")).unwrap();
    assert_eq!(vectors.len(), 3);
    for vector in &vectors {
        let text = |name: &str| vector[name].as_str().unwrap_or_default();
        let mut fields = Fields::read_raw(text("canonical_string").as_bytes()).unwrap();
        assert_eq!(fields.canonical(Empty::Dropped), text("canonical_string"));
        if text("name") == "rsa_500_sha1_legacy" {
            let hash =
                ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text("canonical_string").as_bytes());
            assert_eq!(HEXLOWER.encode(hash.as_ref()), text("sha1_hex_lower"));
            let key = Certificate::read(MERCHANT_2015).unwrap().public_key().unwrap();
            assert!(key.verifies_base64(Digest::Sha1, text("sha1_hex_lower").as_bytes(), text("signature_b64")));
        }
        fields.put("signature", [text("signature"), text("signature_b64")].concat());
        fields.put("signPubKeyCert", TEST_SIGNER);
        assert_eq!(sign::verify(&fields, &published_trust(), then()), Err(sign::BadSignature::OtherMethod));
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
    let vectors: Vec<serde_json::Value> = serde_json::from_str(&format!(
        "[{}]",
        include_str!("../fixtures/compress.json").trim().trim_matches(['[', ']'])
    ))
    .unwrap();
    let vector = &vectors[0];
    let packed = vector["file_content_b64"].as_str().unwrap();
    assert_eq!(statement::unpack(packed).unwrap(), vector["plain"].as_str().unwrap().as_bytes());
    let cut = BASE64.encode(&BASE64.decode(packed.as_bytes()).unwrap()[..8]);
    for bad in ["", "AAAA", "not base64", &cut] {
        assert!(statement::unpack(bad).is_err(), "{bad}");
    }
}
