//! The published vectors, and those that were made of the same keys with two other cryptographic libraries.

use ring::digest::{SHA256, digest};

use super::*;
use crate::channels::wechatpay::credentials::PlatformCertificate;
use crate::channels::wechatpay::notification;
use crate::crypto::rsa::{Digest, RsaVerifier, decrypt_oaep_sha1};

fn lower(headers: &Value) -> Vec<(String, String)> {
    let headers = headers.as_object().unwrap();
    headers.iter().map(|(name, value)| (name.to_lowercase(), text(value).to_owned())).collect()
}

fn at(timestamp: &str) -> Timestamp {
    Timestamp::from_seconds(timestamp.parse().unwrap())
}

fn verify(headers: &[(String, String)], body: &[u8], now: Timestamp) -> Result<(), sign::BadSignature> {
    let key = provider().public().clone();
    sign::verify(|_| Ok(&key), headers, body, now)
}

/// AES-128, which the provider's Go tests use and the provider does not.
fn open_aes_128(key: &str, resource: &Value) -> Vec<u8> {
    let key = aead::UnboundKey::new(&aead::AES_128_GCM, key.as_bytes()).unwrap();
    let nonce = aead::Nonce::assume_unique_for_key(text(&resource["nonce"]).as_bytes().try_into().unwrap());
    let mut sealed = BASE64.decode(text(&resource["ciphertext"]).as_bytes()).unwrap();
    let aad = aead::Aad::from(text(&resource["associated_data"]).as_bytes());
    aead::LessSafeKey::new(key).open_in_place(nonce, aad, &mut sealed).unwrap().to_vec()
}

/// All cases under a name, of which there are so many.
fn cases(name: &str, count: usize) -> Vec<Value> {
    let cases = vectors()[name].as_array().unwrap().clone();
    assert_eq!(cases.len(), count, "{name}");
    cases
}

#[test]
fn every_published_kind_of_case_is_read_by_a_test() {
    let vectors = vectors();
    let names: Vec<&str> = vectors.as_object().unwrap().keys().map(String::as_str).collect();
    let here = [
        "aead_aes_gcm",
        "callbacks",
        "certificate_download",
        "keys",
        "oaep_sha1",
        "pay_sign",
        "request_strings",
        "rsa_sha256_pkcs1v15",
        "signed_requests",
        "signed_responses",
    ];
    // The bill is read beside other statements, the signatures of version 2 where payment codes sign with them.
    let mut known = [&here[..], &["about", "trade_bill_all", "v2_sign"]].concat();
    known.sort_unstable();
    assert_eq!(names, known);
}

#[test]
fn rsa_signatures_are_the_published_ones() {
    for case in cases("rsa_sha256_pkcs1v15", 1) {
        let message = text(&case["message"]).as_bytes();
        assert_eq!(provider().sign_sha256_base64(message), text(&case["signature_base64"]));
    }
}

#[test]
fn what_is_signed_of_a_request_is_the_published_text() {
    let signer = provider();
    for case in cases("request_strings", 3) {
        let merchant = sign::Merchant { mch_id: "1", serial: "2", signer: &signer };
        let [verb, url, timestamp, nonce, body] =
            ["method", "url", "timestamp", "nonce_str", "body"].map(|name| text(&case[name]).to_owned());
        let header = sign::authorization(&merchant, &verb, &url, &timestamp, &nonce, body.as_bytes());
        let signature = header.split_once("signature=\"").unwrap().1.trim_end_matches('"');
        let said = text(&case["string_to_sign"]).as_bytes();
        assert!(signer.public().verifies_base64(Digest::Sha256, said, signature), "{url}");
    }
}

#[test]
fn signed_requests_are_the_published_ones_byte_for_byte() {
    let signed = &vectors()["signed_requests"];
    let signer = provider();
    let merchant =
        sign::Merchant { mch_id: text(&signed["mchid"]), serial: text(&signed["serial_no"]), signer: &signer };
    let cases = signed["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let [verb, url, timestamp, nonce, body] =
            ["method", "url", "timestamp", "nonce_str", "body"].map(|name| text(&case[name]));
        let header = sign::authorization(&merchant, verb, url, timestamp, nonce, body.as_bytes());
        assert_eq!(header, text(&case["authorization"]));
        let [said, signature] = ["string_to_sign", "signature"].map(|name| text(&case[name]));
        assert!(signer.public().verifies_base64(Digest::Sha256, said.as_bytes(), signature), "{url}");
    }
}

/// The published signature is over the published text.
#[track_caller]
fn is_over(case: &Value) {
    let (said, signature) = (text(&case["string_to_verify"]), text(&case["headers"]["Wechatpay-Signature"]));
    assert!(provider().public().verifies_base64(Digest::Sha256, said.as_bytes(), signature), "{said}");
}

#[test]
fn signed_answers_verify_and_changed_ones_do_not() {
    let cases = vectors()["signed_responses"]["cases"].as_array().unwrap().clone();
    assert_eq!(cases.len(), 2);
    for case in cases {
        let (headers, body) = (lower(&case["headers"]), text(&case["body"]).as_bytes());
        let now = at(text(&case["headers"]["Wechatpay-Timestamp"]));
        assert_eq!(verify(&headers, body, now), Ok(()));
        is_over(&case);
        assert_eq!(verify(&headers, &[body, b"\n"].concat(), now), Err(sign::BadSignature::Wrong));
        for name in [sign::TIMESTAMP_HEADER, sign::NONCE_HEADER, sign::SIGNATURE_HEADER] {
            let mut changed = headers.clone();
            let value = &mut changed.iter_mut().find(|(n, _)| n == name).unwrap().1;
            let last = value.pop().unwrap();
            value.push(if last == '1' { '2' } else { '1' });
            assert!(verify(&changed, body, now).is_err(), "{name}");
        }
    }
}

#[test]
fn resources_open_with_their_key_alone() {
    let cases = cases("aead_aes_gcm", 2);
    let open = |case: &Value, key: &str, associated_data: &str, nonce: &str| {
        let keys = [Secret::new([9; 32]), Secret::new(key)];
        sign::open_resource(&keys, nonce, associated_data, text(&case["ciphertext_base64"]))
    };
    let (java, go) = (&cases[0], &cases[1]);
    let [key, nonce, aad] = ["key", "nonce", "associated_data"].map(|name| text(&java[name]));
    assert_eq!(open(java, key, aad, nonce), Ok(Secret::new(text(&java["plaintext"]))));
    assert_eq!(open(java, API_V3_KEY, aad, nonce), Err(sign::Closed::WrongKey));
    assert_eq!(open(java, key, "", nonce), Err(sign::Closed::WrongKey));
    assert_eq!(open(java, key, aad, "uluk4a9R25RX"), Err(sign::Closed::WrongKey));
    assert_eq!(open(java, key, aad, "uluk4a9R25R"), Err(sign::Closed::Unreadable));
    // Shorter keys are none of the provider's.
    let [key, nonce, aad] = ["key", "nonce", "associated_data"].map(|name| text(&go[name]));
    assert_eq!(open(go, key, aad, nonce), Err(sign::Closed::WrongKey));
    let resource = json!({"nonce": nonce, "associated_data": aad, "ciphertext": go["ciphertext_base64"]});
    assert_eq!(open_aes_128(key, &resource), text(&go["plaintext"]).as_bytes());
}

#[test]
fn a_downloaded_platform_certificate_is_the_published_one() {
    let download = &vectors()["certificate_download"];
    let sealed = &download["response"]["data"][0]["encrypt_certificate"];
    let keys = [Secret::new(text(&download["api_v3_key"]))];
    let [nonce, aad, ciphertext] = ["nonce", "associated_data", "ciphertext"].map(|name| text(&sealed[name]));
    let pem = sign::open_resource(&keys, nonce, aad, ciphertext).unwrap();
    let hash = data_encoding::HEXLOWER.encode(digest(&SHA256, pem.expose()).as_ref());
    assert_eq!(hash, text(&download["decrypted_pem_sha256"]));
    let certificate = PlatformCertificate::read(pem.expose_str().unwrap()).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(certificate.serial, text(&download["certificate_serial"]));
    let time = |name: &str| Timestamp::parse_rfc3339(text(&download[name])).unwrap();
    assert_eq!((certificate.not_before, certificate.not_after), (time("not_before"), time("not_after")));
}

#[test]
fn an_encrypted_field_opens() {
    for case in cases("oaep_sha1", 1) {
        let key = BASE64.decode(key_base64(text(&case["key"])).as_bytes()).unwrap();
        let sealed = BASE64.decode(text(&case["ciphertext_base64"]).as_bytes()).unwrap();
        assert_eq!(decrypt_oaep_sha1(&key, &sealed), Some(Secret::new(text(&case["plaintext"]))));
        let key = RsaSigner::from_der(&key).unwrap();
        let max = usize::try_from(case["max_plaintext_bytes_rsa2048"].as_u64().unwrap()).unwrap();
        assert!(key.public().encrypt_oaep_sha1(&vec![1; max]).is_some());
        assert!(key.public().encrypt_oaep_sha1(&vec![1; max + 1]).is_none());
    }
}

#[test]
fn callbacks_verify_and_open_and_the_probe_does_not() {
    let cases = cases("callbacks", 4);
    let unseal = |case: &Value| {
        let (headers, body) = (lower(&case["headers"]), text(&case["body"]).as_bytes());
        let now = at(text(&case["headers"]["Wechatpay-Timestamp"]));
        let mut record = credentials();
        record.api_v3_key = text(&case["api_v3_key"]).to_owned();
        notification::unseal(&opened(&record), &Inbound { headers: &headers, body }, now).map(|(_, plain)| plain)
    };
    for case in &cases[1..3] {
        assert_eq!(unseal(case).unwrap(), Secret::new(text(&case["plaintext"])));
        is_over(case);
    }
    assert_eq!(unseal(&cases[3]).err(), Some(ChannelError::Probe));
    // The Go SDK's own: its signature is genuine, its APIv3 key of 16 bytes is none that we take.
    let go = &cases[0];
    let body = text(&go["body"]);
    assert_eq!(verify(&lower(&go["headers"]), body.as_bytes(), at("1624523846")), Ok(()));
    let envelope: Value = serde_json::from_str(body).unwrap();
    assert_eq!(open_aes_128(text(&go["api_v3_key"]), &envelope["resource"]), text(&go["plaintext"]).as_bytes());
}

#[test]
fn pay_signatures_are_the_published_ones() {
    let vectors = vectors();
    let cases = vectors["pay_sign"].as_object().unwrap();
    assert_eq!(cases.len(), 2);
    for (name, case) in cases {
        let [app_id, timestamp, nonce, package] =
            ["appid", "timestamp", "nonce_str", "fourth_line"].map(|name| text(&case[name]));
        let signature = sign::pay_sign(&provider(), app_id, timestamp, nonce, package);
        assert_eq!(signature, text(&case["signature_with_test_key"]), "{name}");
    }
}

#[test]
fn the_published_key_pair_is_one() {
    let public = RsaVerifier::read(text(&vectors()["keys"]["go_test"]["public_spki_der_base64"])).unwrap();
    assert_eq!(provider().public(), &public);
}
