//! Signed requests (RFC 9421), bearer tokens and the wallet's own scheme. The fuzzer has no key, so whatever is accepted
//! must say exactly what one of the messages says that were signed here.

use std::sync::{Arc, OnceLock};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use coffer::api::bearer_token;
use coffer::api::error::ErrorCode;
use coffer::api::signature::{Message as Signed, SignatureKey, VerifyingKey, content_digest, verify};
use coffer::channels::Sealing;
use coffer::channels::test_wallet::sign::{Claim, authorization};
use coffer::crypto::Secret;
use coffer::domain::time::Timestamp;
use coffer::lang::Lang;
use data_encoding::BASE64;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::message::Message;
use super::{Seed, Verdict};

const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);
const SHARED: [u8; 32] = [7; 32];
const SHARED_ID: &str = "key_01JD3Q9W8XK2V5N7R4T6Y0ABCD";
const PAIR_ID: &str = "key_01JD3Q9W8XK2V5N7R4T6Y0ABCE";
const MERCHANT: &str = "1900000001";

struct Key(VerifyingKey);

impl SignatureKey for Key {
    fn verifying_key(&self) -> Option<&VerifyingKey> {
        Some(&self.0)
    }
}

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[5; 32]).unwrap()
}

fn find(id: &str) -> Option<Arc<Key>> {
    let key = match id {
        SHARED_ID => VerifyingKey::hmac_sha256(&SHARED),
        PAIR_ID => VerifyingKey::ed25519(pair().public_key().as_ref()),
        _ => return None,
    };
    Some(Arc::new(Key(key.unwrap())))
}

/// Method, path and query of a first line.
fn target(first: &str) -> Option<(&str, &str, Option<&str>)> {
    let (method, target) = first.split_once(' ')?;
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    Some((method, path, query))
}

fn header<'m>(message: &'m Message, name: &str) -> Vec<&'m str> {
    message.headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value.trim()).collect()
}

pub fn run(data: &[u8]) -> Verdict {
    let Some(message) = Message::parse(data) else { return Verdict::Refused };
    let Some((method, path, query)) = target(&message.first) else { return Verdict::Refused };
    let mut headers = HeaderMap::new();
    for (name, value) in &message.headers {
        let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) else {
            return Verdict::Refused;
        };
        headers.append(name, value);
    }
    let claimed =
        header(&message, "authorization").into_iter().any(|value| authorized(value, method, path, &message.body));
    let signed =
        Signed { method, path, query, headers: &headers, body: &message.body, scheme: "http", public_url: None };
    match verify(&signed, NOW, find) {
        Ok(verified) => {
            let known = genuine().iter().find(|known| known.nonce == verified.nonce);
            let known = known.expect("nobody but us signs");
            let (known_method, known_path, known_query) = target(&known.message.first).expect("we wrote it");
            assert_eq!((method, path), (known_method, known_path));
            assert_eq!(query.unwrap_or_default(), known_query.unwrap_or_default());
            assert_eq!(message.body, known.message.body);
            for name in known.covered.iter().filter(|name| !name.starts_with('@')) {
                assert_eq!(header(&message, name), header(&known.message, name), "{name} was covered");
            }
            Verdict::Accepted
        }
        Err(problem) => {
            let told = [
                ErrorCode::SignatureMissing,
                ErrorCode::SignatureMalformed,
                ErrorCode::SignatureIncomplete,
                ErrorCode::SignatureExpired,
                ErrorCode::SignatureInvalid,
                ErrorCode::DigestMismatch,
            ];
            assert!(told.contains(&problem.code), "{problem:?}");
            for lang in [Lang::Zh, Lang::En] {
                serde_json::from_slice::<serde_json::Value>(&problem.to_json(lang, None)).expect("a problem is JSON");
            }
            Verdict::from(claimed)
        }
    }
}

/// The two schemes of `Authorization`: ours and the wallet's.
fn authorized(value: &str, method: &str, path: &str, body: &[u8]) -> bool {
    if let Some(token) = bearer_token(value) {
        assert!(!token.starts_with(' '));
        assert_eq!(bearer_token(&format!("Bearer {token}")), Some(token));
    }
    let Ok(claim) = Claim::parse(value) else { return false };
    if claim.verify(&Secret::new(SHARED.to_vec()), method, path, body, NOW).is_err() {
        return false;
    }
    let known = genuine().iter().map(|known| &known.message).find(|known| {
        target(&known.first) == Some((method, path, None))
            && known.body == body
            && !header(known, "authorization").is_empty()
    });
    assert!(known.is_some(), "{value} was never made");
    // Whose key verifies it is told by the number, which is not under the signature.
    true
}

/// A message that was signed here.
struct Genuine {
    message: Message,
    nonce: String,
    covered: Vec<&'static str>,
}

fn genuine() -> &'static [Genuine] {
    static GENUINE: OnceLock<Vec<Genuine>> = OnceLock::new();
    GENUINE.get_or_init(|| {
        vec![
            sign(
                "POST /v1/payments",
                &["@method", "@path", "content-digest"],
                SHARED_ID,
                r#"{"order_id":"1"}"#,
                "0000000000000001",
            ),
            sign("GET /v1/payments?limit=2&after=", &["@method", "@path", "@query"], PAIR_ID, "", "0000000000000002"),
            sign("GET /v1/account", &["@method", "@request-target"], SHARED_ID, "", "0000000000000003"),
            sign(
                "PATCH /v1/payments/pay_1",
                &["content-digest", "idempotency-key", "content-type", "@authority", "@method", "@target-uri"],
                PAIR_ID,
                "{}",
                "0000000000000004",
            ),
            wallet("POST /sandbox/wallet/v1/orders", r#"{"out_trade_no":"1"}"#),
        ]
    })
}

/// Signs as RFC 9421, 2.5 says, by code that shares nothing with what verifies.
fn sign(first: &str, covered: &[&'static str], key: &str, body: &str, nonce: &str) -> Genuine {
    let mut headers: Vec<(String, String)> = [
        ("host", "pay.shop.example"),
        ("content-type", "application/json"),
        ("idempotency-key", "order-1"),
        ("content-digest", &content_digest(body.as_bytes())),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let (method, whole) = first.split_once(' ').unwrap();
    let (path, query) = whole.split_once('?').unwrap_or((whole, ""));
    let value = |name: &str| match name {
        "@method" => method.to_owned(),
        "@path" => path.to_owned(),
        "@query" => format!("?{query}"),
        "@request-target" => whole.to_owned(),
        "@authority" => "pay.shop.example".to_owned(),
        "@target-uri" => format!("http://pay.shop.example{whole}"),
        name => headers.iter().find(|(other, _)| other == name).unwrap().1.clone(),
    };
    let lines: String = covered.iter().map(|name| format!("\"{name}\": {}\n", value(name))).collect();
    let names: Vec<String> = covered.iter().map(|name| format!("\"{name}\"")).collect();
    let params = format!("({});created={};nonce=\"{nonce}\";keyid=\"{key}\"", names.join(" "), NOW.as_seconds());
    let base = format!("{lines}\"@signature-params\": {params}");
    let signature = if key == SHARED_ID {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &SHARED);
        BASE64.encode(hmac::sign(&key, base.as_bytes()).as_ref())
    } else {
        BASE64.encode(pair().sign(base.as_bytes()).as_ref())
    };
    headers.push(("signature-input".to_owned(), format!("shop={params}")));
    headers.push(("signature".to_owned(), format!("shop=:{signature}:")));
    let message = Message { first: first.to_owned(), headers, body: body.as_bytes().to_vec() };
    Genuine { message, nonce: nonce.to_owned(), covered: covered.to_vec() }
}

/// A call to the wallet, signed as the adapter does.
fn wallet(first: &str, body: &str) -> Genuine {
    let (method, path) = first.split_once(' ').unwrap();
    let sealing = Sealing { now: NOW, nonce: [3; 16] };
    let value = authorization(&Secret::new(SHARED.to_vec()), MERCHANT, method, path, body.as_bytes(), &sealing);
    let headers = vec![("authorization".to_owned(), value)];
    let message = Message { first: first.to_owned(), headers, body: body.as_bytes().to_vec() };
    Genuine { message, nonce: String::new(), covered: Vec::new() }
}

pub fn seeds() -> Vec<Seed> {
    let mut seeds: Vec<Seed> = genuine()
        .iter()
        .enumerate()
        .map(|(number, known)| (format!("signed-{}", number + 1), known.message.to_bytes()))
        .collect();
    // Two signatures, one of them good; and a token.
    let mut both = genuine()[0].message.clone();
    for (name, value) in &mut both.headers {
        match name.as_str() {
            "signature-input" => value.insert_str(0, "proxy=(\"@method\");created=1;keyid=\"p\", "),
            "signature" => value.insert_str(0, "proxy=:AAAA:, "),
            _ => {}
        }
    }
    seeds.push(("two-signatures".to_owned(), both.to_bytes()));
    seeds.push(("bearer".to_owned(), b"GET /v1/account\nauthorization: bearer  sk_test_abc\n\n".to_vec()));
    seeds
}
