//! The RFC's own vectors, an independent signer, and the forgeries.

use actix_web::http::header::{HeaderName, HeaderValue};
use data_encoding::BASE64;
use httpsig::prelude::message_component::{HttpMessageComponent, HttpMessageComponentId};
use httpsig::prelude::{
    AlgorithmName, HttpSignatureBase, HttpSignatureHeaders, HttpSignatureParams, PublicKey, SecretKey, SharedKey,
    SigningKey, VerifyingKey as IndependentKey,
};

use super::*;

/// RFC 9421, B.1.5.
const SHARED_SECRET: &str = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
/// RFC 9421, B.1.4, without the PEM armour.
const ED25519_PUBLIC: &str = "JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=";
const ED25519_PRIVATE_PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE KEY-----\n";
/// RFC 9421, B.1.1, without the PEM armour.
const RSA_PUBLIC: &str = "MIIBCgKCAQEAhAKYdtoeoy8zcAcR874L8cnZxKzAGwd7v36APp7Pv6Q2jdsPBRrwWEBnez6d0UDKDwGbc6nxfEXAy5mbhgajzrw3MOEt8uA5txSKobBpKDeBLOsdJKFqMGmXCQvEG7YemcxDTRPxAleIAgYYRjTSd/QBwVW9OwNFhekro3RtlinV0a75jfZgkne/YiktSvLG34lw2zqXBDTC5NHROUqGTlML4PlNZS5Ri2U4aCNx2rUPRcKIlE0PuKxI4T+HIaFpv8+rdV6eUgOrB2xeI1dSFFn/nnv5OoZJEIB+VmuKn3DCUcCZSFlQPSXSfBDiUGhwOw76WuSSsf1D4b/vLoJ10wIDAQAB";

fn bytes(base64: &str) -> Vec<u8> {
    BASE64.decode(base64.as_bytes()).unwrap()
}

fn hmac_key() -> VerifyingKey {
    VerifyingKey::hmac_sha256(&bytes(SHARED_SECRET)).unwrap()
}

/// A request that a test puts together and then spoils.
#[derive(Clone)]
struct Request {
    method: &'static str,
    path: String,
    query: Option<String>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn header_map(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        map
    }

    fn set(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.headers.retain(|(n, _)| n != name);
        self.headers.push((name.into(), value.into()));
        self
    }

    fn get(&self, name: &str) -> String {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap()
    }

    fn with<R>(&self, public_url: Option<&url::Url>, f: impl FnOnce(&Message<'_>) -> R) -> R {
        f(&Message {
            method: self.method,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.header_map(),
            body: &self.body,
            scheme: "http",
            public_url,
        })
    }
}

/// RFC 9421, B.2: the request that all its examples sign.
fn rfc_request() -> Request {
    let header = |n: &str, v: &str| (n.to_owned(), v.to_owned());
    Request {
        method: "POST",
        path: "/foo".into(),
        query: Some("param=Value&Pet=dog".into()),
        headers: vec![
            header("host", "example.com"),
            header("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
            header("content-type", "application/json"),
            header(
                "content-digest",
                "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
            ),
            header("content-length", "18"),
        ],
        body: b"{\"hello\": \"world\"}".to_vec(),
    }
}

/// Verifies one of the RFC's signatures. They lack what our API asks for, so this is the layer below [`verify`].
fn rfc_vector_holds(mut request: Request, key: &VerifyingKey, input: &str, signature: &str) -> bool {
    request.set("signature-input", input).set("signature", signature);
    request.with(None, |message| {
        let candidates = input::parse(message.headers).unwrap();
        let base = SignatureBase::build(message, &candidates[0], &|| Origin::of_host(message)).unwrap();
        assert!(digest::check(message.headers, message.body).is_ok());
        key.verify(base.as_bytes(), &candidates[0].signature)
    })
}

#[test]
fn the_vectors_of_rfc_9421_hold() {
    let hmac = "sig-b25=(\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\"";
    let hmac_signature = "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:";
    assert!(rfc_vector_holds(rfc_request(), &hmac_key(), hmac, hmac_signature), "B.2.5");

    let ed25519 = VerifyingKey::ed25519(&bytes(ED25519_PUBLIC)).unwrap();
    let input = "sig-b26=(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\");created=1618884473;keyid=\"test-key-ed25519\"";
    let signature =
        "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:";
    assert!(rfc_vector_holds(rfc_request(), &ed25519, input, signature), "B.2.6");
    // The same value, serialised in another valid way.
    let spaced = "sig-b26=(  \"date\"  \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\" ); created=1618884473; keyid=\"test-key-ed25519\"";
    assert!(rfc_vector_holds(rfc_request(), &ed25519, spaced, signature));

    let rsa = VerifyingKey::rsa_v1_5_sha256(&bytes(RSA_PUBLIC)).unwrap();
    let mut proxied = rfc_request();
    proxied.set("host", "origin.host.internal.example").set("date", "Tue, 20 Apr 2021 02:07:56 GMT");
    proxied.set("forwarded", "for=192.0.2.123;host=example.com;proto=https");
    let input = "proxy_sig=(\"@method\" \"@authority\" \"@path\" \"content-digest\" \"content-type\" \"content-length\" \"forwarded\");created=1618884480;keyid=\"test-key-rsa\";alg=\"rsa-v1_5-sha256\";expires=1618884540";
    let signature = "proxy_sig=:S6ZzPXSdAMOPjN/6KXfXWNO/f7V6cHm7BXYUh3YD/fRad4BCaRZxP+JH+8XY1I6+8Cy+CM5g92iHgxtRPz+MjniOaYmdkDcnL9cCpXJleXsOckpURl49GwiyUpZ10KHgOEe11sx3G2gxI8S0jnxQB+Pu68U9vVcasqOWAEObtNKKZd8tSFu7LB5YAv0RAGhB8tmpv7sFnIm9y+7X5kXQfi8NMaZaA8i2ZHwpBdg7a6CMfwnnrtflzvZdXAsD3LH2TwevU+/PBPv0B6NMNk93wUs/vfJvye+YuI87HU38lZHowtznbLVdp770I6VHR6WfgS9ddzirrswsE1w5o0LV/g==:";
    assert!(rfc_vector_holds(proxied, &rsa, input, signature), "4.3");

    let mut other = rfc_request();
    other.set("date", "Tue, 20 Apr 2021 02:07:56 GMT");
    assert!(!rfc_vector_holds(other, &hmac_key(), hmac, hmac_signature), "another date is another message");
}

const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);
const NONCE: &str = "0123456789abcdef";
const KEY_ID: &str = "key_01HMAC";

struct Record(VerifyingKey);

impl SignatureKey for Record {
    fn verifying_key(&self) -> Option<&VerifyingKey> {
        Some(&self.0)
    }
}

fn find(keyid: &str) -> Option<Arc<Record>> {
    match keyid {
        KEY_ID => Some(Arc::new(Record(hmac_key()))),
        "key_01ED25519" => Some(Arc::new(Record(VerifyingKey::ed25519(&bytes(ED25519_PUBLIC)).unwrap()))),
        _ => None,
    }
}

fn request(body: &[u8]) -> Request {
    let mut request = Request {
        method: "POST",
        path: "/v1/payments".into(),
        query: None,
        headers: vec![("host".into(), "Pay.example:80".into()), ("content-type".into(), "application/json".into())],
        body: body.to_vec(),
    };
    if !body.is_empty() {
        request.set("content-digest", content_digest(body));
    }
    request
}

/// What an independent client signs: component lines by its own reading of the RFC.
fn sign_with(
    request: &mut Request,
    key: &impl SigningKey,
    covered: &[&str],
    change: impl Fn(&mut HttpSignatureParams),
) {
    let value = |name: &str| match name {
        "@method" => request.method.to_owned(),
        "@path" => request.path.clone(),
        "@query" => format!("?{}", request.query.clone().unwrap_or_default()),
        "@authority" => "pay.example".to_owned(),
        "@scheme" => "http".to_owned(),
        "@target-uri" => format!("http://pay.example{}", request.path),
        header => request.get(header),
    };
    let lines: Vec<_> = covered
        .iter()
        .map(|name| HttpMessageComponent::try_from(format!("\"{name}\": {}", value(name)).as_str()).unwrap())
        .collect();
    let ids: Vec<_> = covered.iter().map(|name| HttpMessageComponentId::try_from(*name).unwrap()).collect();
    let mut params = HttpSignatureParams::try_new(&ids).unwrap();
    params.set_created(u64::try_from(NOW.as_seconds()).unwrap()).set_nonce(NONCE).set_keyid(KEY_ID).set_alg(&key.alg());
    change(&mut params);
    let headers =
        HttpSignatureBase::try_new(&lines, &params).unwrap().build_signature_headers(key, Some("mine")).unwrap();
    request.set("signature-input", headers.signature_input_header_value());
    request.set("signature", headers.signature_header_value());
}

const COVERED: [&str; 4] = ["@method", "@path", "content-digest", "content-type"];

fn signed(change: impl Fn(&mut HttpSignatureParams)) -> Request {
    let mut request = request(b"{\"a\":1}");
    let key = SharedKey::from_base64(&AlgorithmName::HmacSha256, SHARED_SECRET).unwrap();
    sign_with(&mut request, &key, &COVERED, change);
    request
}

fn outcome(request: &Request) -> Result<String, ErrorCode> {
    request.with(None, |message| verify(message, NOW, find).map(|v| v.nonce).map_err(|problem| problem.code))
}

#[test]
fn an_independent_client_is_understood() {
    assert_eq!(outcome(&signed(|_| {})), Ok(NONCE.into()));

    let hmac = SharedKey::from_base64(&AlgorithmName::HmacSha256, SHARED_SECRET).unwrap();
    let mut everything = request(b"{}");
    everything.set("date", "Mon, 23 Nov 2026 06:05:09 GMT").query = Some("expand=fee&x=%20".into());
    let covered = ["date", "@query", "@authority", "@scheme", "content-type", "content-digest", "@path", "@method"];
    sign_with(&mut everything, &hmac, &covered, |_| {});
    assert_eq!(outcome(&everything), Ok(NONCE.into()));

    let mut read = Request { method: "GET", ..request(b"") };
    sign_with(&mut read, &hmac, &["@method", "@target-uri"], |p| p.alg = None);
    assert_eq!(outcome(&read), Ok(NONCE.into()));

    let pair = SecretKey::from_pem(&AlgorithmName::Ed25519, ED25519_PRIVATE_PEM).unwrap();
    let mut asymmetric = request(b"{}");
    sign_with(&mut asymmetric, &pair, &COVERED, |p| {
        p.set_keyid("key_01ED25519");
    });
    assert_eq!(outcome(&asymmetric), Ok(NONCE.into()));
}

#[test]
fn sha_512_digests_and_several_digests_are_understood() {
    let mut both = request(b"{}");
    let sha512 = BASE64.encode(ring::digest::digest(&ring::digest::SHA512, b"{}").as_ref());
    let sha256 = content_digest(b"{}");
    for (value, expected) in [
        (format!("sha-512=:{sha512}:, {sha256}, unixsum=:AA==:"), Ok(NONCE.into())),
        (format!("{sha256}, sha-512=:AAAA:"), Err(ErrorCode::DigestMismatch)),
        ("unixsum=:AA==:".into(), Err(ErrorCode::SignatureMalformed)),
        ("sha-256=abc".into(), Err(ErrorCode::SignatureMalformed)),
    ] {
        both.set("content-digest", value);
        let key = SharedKey::from_base64(&AlgorithmName::HmacSha256, SHARED_SECRET).unwrap();
        sign_with(&mut both, &key, &COVERED, |_| {});
        assert_eq!(outcome(&both), expected);
    }
}

/// What is spoiled, how, and the refusal it earns.
type Spoil<T> = (&'static str, fn(&mut T), ErrorCode);

#[test]
fn whatever_is_changed_after_signing_is_noticed() {
    let cases: [Spoil<Request>; 7] = [
        ("body", |r| r.body = b"{\"a\":2}".to_vec(), ErrorCode::DigestMismatch),
        (
            "body and digest",
            |r| {
                r.body = b"{\"a\":2}".to_vec();
                r.set("content-digest", content_digest(b"{\"a\":2}"));
            },
            ErrorCode::SignatureInvalid,
        ),
        ("path", |r| r.path = "/v1/refunds".into(), ErrorCode::SignatureInvalid),
        ("method", |r| r.method = "PATCH", ErrorCode::SignatureInvalid),
        (
            "covered header",
            |r| {
                r.set("content-type", "text/plain");
            },
            ErrorCode::SignatureInvalid,
        ),
        ("added query", |r| r.query = Some("amount=1".into()), ErrorCode::SignatureIncomplete),
        ("digest removed", |r| r.headers.retain(|(n, _)| n != "content-digest"), ErrorCode::SignatureMalformed),
    ];
    for (what, spoil, expected) in cases {
        let mut request = signed(|_| {});
        spoil(&mut request);
        assert_eq!(outcome(&request), Err(expected), "{what}");
    }
}

#[test]
fn time_nonce_key_and_algorithm_must_be_right() {
    let at = |offset: i64| {
        move |p: &mut HttpSignatureParams| {
            p.set_created(u64::try_from(NOW.as_seconds() + offset).unwrap());
        }
    };
    for offset in [-300, 0, 300] {
        assert_eq!(outcome(&signed(at(offset))), Ok(NONCE.into()), "{offset} s");
    }
    for offset in [-1_795_000_000, -301, 301, 999_999_999_999_999 - 1_795_000_000] {
        assert_eq!(outcome(&signed(at(offset))), Err(ErrorCode::SignatureExpired), "{offset} s");
    }
    let cases: [Spoil<HttpSignatureParams>; 9] = [
        (
            "expired",
            |p| {
                p.set_expires(1_794_999_999);
            },
            ErrorCode::SignatureExpired,
        ),
        ("no created", |p| p.created = None, ErrorCode::SignatureIncomplete),
        ("no nonce", |p| p.nonce = None, ErrorCode::SignatureIncomplete),
        (
            "short nonce",
            |p| {
                p.set_nonce("0123456789abcde");
            },
            ErrorCode::SignatureIncomplete,
        ),
        (
            "endless nonce",
            |p| {
                p.set_nonce(&"n".repeat(129));
            },
            ErrorCode::SignatureIncomplete,
        ),
        ("no key id", |p| p.keyid = None, ErrorCode::SignatureIncomplete),
        (
            "unknown key",
            |p| {
                p.set_keyid("key_01OTHER");
            },
            ErrorCode::SignatureInvalid,
        ),
        (
            "key of another algorithm",
            |p| {
                p.set_keyid("key_01ED25519");
            },
            ErrorCode::SignatureInvalid,
        ),
        (
            "claimed algorithm",
            |p| {
                p.set_alg(&AlgorithmName::Ed25519);
            },
            ErrorCode::SignatureInvalid,
        ),
    ];
    for (what, change, expected) in cases {
        assert_eq!(outcome(&signed(change)), Err(expected), "{what}");
    }
}

#[test]
fn what_must_be_covered_must_be_covered() {
    let key = SharedKey::from_base64(&AlgorithmName::HmacSha256, SHARED_SECRET).unwrap();
    for covered in [&["@method", "@path"][..], &["@method", "content-digest"], &["@path", "content-digest"]] {
        let mut request = request(b"{}");
        sign_with(&mut request, &key, covered, |_| {});
        assert_eq!(outcome(&request), Err(ErrorCode::SignatureIncomplete), "{covered:?}");
    }
}

#[test]
fn malformed_headers_are_told_apart_from_wrong_signatures() {
    let good = signed(|_| {});
    let (input, signature) = (good.get("signature-input"), good.get("signature"));
    let cases = [
        ("", signature.clone(), ErrorCode::SignatureMissing),
        (input.as_str(), String::new(), ErrorCode::SignatureMissing),
        (&input, signature.replace("mine", "other"), ErrorCode::SignatureMissing),
        (&input, "mine=abc".into(), ErrorCode::SignatureMalformed),
        (&input, "mine=:not base64:".into(), ErrorCode::SignatureMalformed),
        ("mine=1", signature.clone(), ErrorCode::SignatureMalformed),
        ("mine=(@method)", signature.clone(), ErrorCode::SignatureMalformed),
        ("mine=(\"@method\"", signature.clone(), ErrorCode::SignatureMalformed),
        ("mine=(\"@METHOD\")", signature.clone(), ErrorCode::SignatureMalformed),
        ("mine=(\"a\\\"b\")", signature.clone(), ErrorCode::SignatureMalformed),
    ];
    for (input, signature, expected) in cases {
        let mut request = good.clone();
        request.set("signature-input", input).set("signature", signature);
        assert_eq!(outcome(&request), Err(expected), "{input}");
    }
    for (from, to, expected) in [
        (";created=1795000000", ";created=\"1795000000\"", ErrorCode::SignatureMalformed),
        (";created=1795000000", ";created=-5", ErrorCode::SignatureMalformed),
        (";nonce=\"", ";nonce=n;x=\"", ErrorCode::SignatureMalformed),
        ("\"@method\"", "\"@method\" \"@method\"", ErrorCode::SignatureMalformed),
        ("\"@method\"", "\"@method\" \"@status\"", ErrorCode::SignatureIncomplete),
        ("\"@method\"", "\"@method\" \"@path\";req", ErrorCode::SignatureIncomplete),
        ("\"@method\"", "\"@method\" \"x-absent\"", ErrorCode::SignatureIncomplete),
        ("\"@method\"", "\"@method\";req", ErrorCode::SignatureIncomplete),
    ] {
        let mut request = good.clone();
        request.set("signature-input", input.replace(from, to));
        assert_eq!(outcome(&request), Err(expected), "{to}");
    }
}

#[test]
fn a_proxy_may_add_its_own_signature_and_lines_may_be_split() {
    let good = signed(|_| {});
    let mut request = good.clone();
    request.set("signature-input", "proxy=(\"@method\");created=1;keyid=\"their-key\"");
    request.set("signature", "proxy=:AAAA:");
    request.headers.push(("signature-input".into(), good.get("signature-input")));
    request.headers.push(("signature".into(), good.get("signature")));
    assert_eq!(outcome(&request), Ok(NONCE.into()));
}

#[test]
fn a_client_may_sign_the_public_address_of_a_proxied_server() {
    let mut request = signed(|_| {});
    let key = SharedKey::from_base64(&AlgorithmName::HmacSha256, SHARED_SECRET).unwrap();
    sign_with(&mut request, &key, &["@method", "@target-uri", "@authority", "content-digest"], |_| {});
    // The proxy calls us by an inner name.
    request.set("host", "127.0.0.1:8080");
    assert_eq!(outcome(&request), Err(ErrorCode::SignatureInvalid));
    let public = url::Url::parse("http://pay.example/").unwrap();
    assert!(request.with(Some(&public), |m| verify(m, NOW, find)).is_ok());
    let other = url::Url::parse("http://evil.example/").unwrap();
    assert!(request.with(Some(&other), |m| verify(m, NOW, find)).is_err());
}

#[test]
fn a_refusal_does_not_tell_whether_the_key_exists() {
    let answer = |request: &Request| {
        let problem = request.with(None, |m| verify(m, NOW, find)).unwrap_err();
        String::from_utf8(problem.to_json(crate::lang::Lang::En, None)).unwrap()
    };
    let forged = |keyid: &str| {
        let mut request = signed(|p| {
            p.set_keyid(keyid);
        });
        request.set("signature", "mine=:AAAA:");
        answer(&request).replace(keyid, "KEY")
    };
    assert_eq!(forged(KEY_ID), forged("key_01OTHER"));
    assert_eq!(forged(KEY_ID), forged("key_01ED25519"));
    assert!(forged(KEY_ID).contains("signature_base"), "the client's own lines help to find its mistake");

    // A header that a proxy may have added is not told back.
    let mut request = request(b"");
    request.method = "GET";
    request.set("x-internal-token", "canary-7f3a");
    let key = SharedKey::from_base64(&AlgorithmName::HmacSha256, SHARED_SECRET).unwrap();
    sign_with(&mut request, &key, &["@method", "@path", "x-internal-token"], |_| {});
    request.set("signature", "mine=:AAAA:");
    assert!(!answer(&request).contains("canary-7f3a"));
}

#[test]
fn keys_print_nothing_and_weak_ones_are_refused() {
    assert_eq!(format!("{:?}", hmac_key()), "VerifyingKey(hmac-sha256)");
    assert_eq!(VerifyingKey::hmac_sha256(&[7; 31]).unwrap_err(), BadKey::TooShort);
    assert_eq!(VerifyingKey::ed25519(&[7; 31]).unwrap_err(), BadKey::NotEd25519);
    let rsa = bytes(RSA_PUBLIC);
    assert!(VerifyingKey::rsa_v1_5_sha256(&rsa).is_ok());
    for bad in [&b"nonsense"[..], b"", &rsa[1..], &rsa[..rsa.len() - 1], b"\x30\x06\x02\x01\x23\x02\x01\x03"] {
        assert_eq!(VerifyingKey::rsa_v1_5_sha256(bad).unwrap_err(), BadKey::NotRsa);
    }
}

#[test]
fn an_independent_client_verifies_signed_replies() {
    let seed = [9; 32];
    let server = ring::signature::Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let body = b"{\"id\":\"pay_1\"}";
    let verifies =
        |key: &ReplyKey<'_>, independent: &dyn Fn(&HttpSignatureBase, &HttpSignatureHeaders) -> bool, status| {
            let reply = sign_reply(key, "key_1", NONCE, 201, "application/json", body, NOW);
            let headers = HttpSignatureHeaders::try_parse(&reply.signature, &reply.signature_input)
                .unwrap()
                .shift_remove("coffer")
                .unwrap();
            assert_eq!(headers.signature_params().nonce.as_deref(), Some(NONCE));
            let lines = [
                format!("\"@status\": {status}"),
                "\"content-type\": application/json".to_owned(),
                format!("\"content-digest\": {}", content_digest(body)),
            ]
            .map(|line| HttpMessageComponent::try_from(line.as_str()).unwrap());
            independent(&HttpSignatureBase::try_new(&lines, headers.signature_params()).unwrap(), &headers)
        };
    let shared = SharedKey::from_base64(&AlgorithmName::HmacSha256, SHARED_SECRET).unwrap();
    let by_shared = |base: &HttpSignatureBase, headers: &HttpSignatureHeaders| {
        base.verify_signature_headers(&shared, headers).is_ok()
    };
    let hmac = hmac_key();
    assert!(verifies(&ReplyKey::answering(&hmac, &server), &by_shared, 201));
    assert!(!verifies(&ReplyKey::answering(&hmac, &server), &by_shared, 402));

    use ring::signature::KeyPair;
    let public = PublicKey::from_bytes(&AlgorithmName::Ed25519, server.public_key().as_ref()).unwrap();
    assert_eq!(IndependentKey::alg(&public), AlgorithmName::Ed25519);
    let by_public = |base: &HttpSignatureBase, headers: &HttpSignatureHeaders| {
        base.verify_signature_headers(&public, headers).is_ok()
    };
    let pair_key = VerifyingKey::ed25519(&bytes(ED25519_PUBLIC)).unwrap();
    assert!(verifies(&ReplyKey::answering(&pair_key, &server), &by_public, 201));
}

#[test]
fn a_signed_reply_is_no_signed_request() {
    let server = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let hmac = hmac_key();
    let reply = sign_reply(&ReplyKey::answering(&hmac, &server), KEY_ID, NONCE, 200, "application/json", b"{}", NOW);
    let mut reflected = request(b"{}");
    reflected.set("signature-input", reply.signature_input).set("signature", reply.signature);
    assert_eq!(outcome(&reflected), Err(ErrorCode::SignatureIncomplete));
}

proptest::proptest! {
    /// Headers are written by strangers; whatever they hold is answered.
    #[test]
    fn any_headers_are_answered(input in "[ -~]{0,120}", signature in "[ -~]{0,60}", digest in "[ -~]{0,60}") {
        let mut request = request(b"{}");
        request.set("signature-input", input).set("signature", signature).set("content-digest", digest);
        proptest::prop_assert!(outcome(&request).is_err());
    }
}
