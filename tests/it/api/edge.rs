//! Proof, permissions, limits and refusals, before any flow is reached.

use actix_web::http::Method;
use coffer::api::keys::NewKeyKind;
use coffer::api::signature::content_digest;
use coffer::domain::ids::Mode;
use coffer::domain::key::{ApiKey, Permission};
use coffer::domain::time::Duration;
use httpsig::prelude::message_component::{HttpMessageComponent, HttpMessageComponentId};
use httpsig::prelude::{
    AlgorithmName, HttpSignatureBase, HttpSignatureHeaders, HttpSignatureParams, SharedKey, SigningKey,
};

use super::site::{Answer, Call, RATE, Shop, Site, order};

fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.refusal(), (status, code.to_owned()), "{}", answer.text());
}

#[tokio::test]
async fn whoever_does_not_prove_himself_is_refused() {
    let site = Site::new();
    let token = site.token(|_| {});
    let call = || Call::new(Method::GET, "/v1/payments");
    refused(&site.send(call()).await, 401, "authentication_missing");
    assert!(site.send(call()).await.header("www-authenticate").unwrap().starts_with("Bearer"));
    for bad in ["", "sk_test_", "sk_test_0000", &token[1..], &token.to_uppercase(), &token.replace("test", "live")] {
        refused(&site.send(call().bearer(bad)).await, 401, "api_key_invalid");
    }
    refused(&site.send(call().header("authorization", &format!("Basic {token}"))).await, 401, "api_key_invalid");
    refused(&site.send(call().bearer(&token).bearer(&token)).await, 401, "api_key_invalid");
    assert_eq!(site.send(call().bearer(&token)).await.status, 200);
}

#[tokio::test]
async fn a_key_ends_when_it_expires_or_is_revoked() {
    let site = Site::new();
    let until = site.now().plus(Duration::from_hours(1));
    let issued = site.issue(NewKeyKind::Bearer, |key| key.expires_at = Some(until));
    let token = issued.secret.unwrap().expose_str().unwrap().to_owned();
    let shop = Shop { site: &site, token: Some(token) };
    assert_eq!(shop.get("/v1/payments").await.status, 200);
    site.pass(Duration::from_hours(1));
    refused(&shop.get("/v1/payments").await, 401, "api_key_expired");
    let revoked = ApiKey { revoked_at: Some(site.now()), ..issued.key };
    let store = &site.api.gateway.store;
    store.write(move |tx| coffer::api::keys::store_key(tx, &revoked)).await.unwrap();
    refused(&shop.get("/v1/payments").await, 401, "api_key_invalid");
}

#[tokio::test]
async fn a_key_can_do_what_its_permissions_say() {
    let site = Site::new();
    let with = |permission| Shop { site: &site, token: Some(site.token(|key| key.permissions = [permission].into())) };
    let (reader, writer) = (with(Permission::Read), with(Permission::Write));
    assert_eq!(reader.get("/v1/payments").await.status, 200);
    refused(&writer.get("/v1/payments").await, 403, "scope_missing");
    refused(&reader.post("/v1/payments", &order("A1", "1.00")).await, 403, "scope_missing");
    assert_eq!(writer.post("/v1/payments", &order("A1", "1.00")).await.status, 201);
    let id = reader.get("/v1/payments").await.json()["data"][0]["id"].as_str().unwrap().to_owned();
    refused(&writer.post(&format!("/v1/payments/{id}/refunds"), "{}").await, 403, "scope_missing");
}

#[tokio::test]
async fn the_allow_list_counts_the_socket_and_not_what_strangers_write() {
    let site = Site::new();
    let token = site.token(|key| key.allowed_ips = vec!["198.51.100.7".to_owned()]);
    let from = |peer: &str| Call::new(Method::GET, "/v1/payments").bearer(&token).from(peer);
    assert_eq!(site.send(from("198.51.100.7")).await.status, 200);
    assert_eq!(site.send(from("::ffff:198.51.100.7")).await.status, 200);
    refused(&site.send(from("203.0.113.9")).await, 403, "ip_not_allowed");
    let spoofed = from("203.0.113.9").header("x-forwarded-for", "198.51.100.7");
    refused(&site.send(spoofed).await, 403, "ip_not_allowed");
    // 10.0.0.1 is a trusted proxy; what stands left of the address it wrote is not its own.
    let proxied = from("10.0.0.1").header("x-forwarded-for", "198.51.100.7");
    assert_eq!(site.send(proxied).await.status, 200);
    let spoofed = from("10.0.0.1").header("x-forwarded-for", "198.51.100.7, 203.0.113.9");
    refused(&site.send(spoofed).await, 403, "ip_not_allowed");
}

#[tokio::test]
async fn whoever_asks_too_often_is_told_when_to_come_back() {
    let site = Site::new();
    let (shop, other) = (site.shop(), site.shop());
    for left in (0..RATE.burst).rev() {
        let answer = shop.get("/v1/payments").await;
        assert_eq!(answer.status, 200);
        assert!(answer.header("ratelimit").unwrap().contains(&format!("r={left};")));
    }
    let answer = shop.get("/v1/payments").await;
    refused(&answer, 429, "rate_limited");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(answer.header("ratelimit").unwrap().contains("r=0;"), "also on the refusal");
    assert_eq!(answer.header("ratelimit-policy"), Some("\"requests\";q=100;w=10"));
    assert_eq!(other.get("/v1/payments").await.status, 200, "another key has its own rate");
    site.pass(Duration::from_seconds(1));
    assert_eq!(shop.get("/v1/payments").await.status, 200);
}

#[tokio::test]
async fn guessing_is_slowed_down_by_address() {
    let site = Site::new();
    let guess = |peer: &str| Call::new(Method::GET, "/v1/payments").bearer("sk_test_guess").from(peer);
    let mut answer = site.send(guess("203.0.113.9")).await;
    for _ in 0..40 {
        answer = site.send(guess("203.0.113.9")).await;
    }
    refused(&answer, 429, "rate_limited");
    refused(&site.send(guess("203.0.113.10")).await, 401, "api_key_invalid");
    // The right key still passes from there.
    let token = site.token(|_| {});
    let call = Call::new(Method::GET, "/v1/payments").bearer(&token).from("203.0.113.9");
    assert_eq!(site.send(call).await.status, 200);
}

#[tokio::test]
async fn what_is_no_endpoint_answers_as_a_problem() {
    let site = Site::new();
    let shop = site.shop();
    for path in ["/v1", "/v1/", "/v1/nothing", "/v1/payments/", "/v1/payments/x/y/z", "/v1//payments"] {
        refused(&shop.get(path).await, 404, "unknown_path");
    }
    let answer = shop.send(Call::new(Method::DELETE, "/v1/payments")).await;
    refused(&answer, 405, "method_not_allowed");
    let mut allowed: Vec<_> = answer.header("allow").unwrap().split(", ").collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
}

#[tokio::test]
async fn bodies_are_small_plain_json_in_utf_8() {
    let site = Site::new();
    let shop = site.shop();
    let post = |body: &[u8]| Call::new(Method::POST, "/v1/payments").json(body.to_vec());
    refused(&shop.send(post(b"{")).await, 400, "invalid_json");
    refused(&shop.send(post(b"\xef\xbb\xbf{}")).await, 400, "invalid_json");
    refused(&shop.send(post(b"{\"description\":\"\xd6\xa7\xb8\xb6\"}")).await, 400, "invalid_json");
    refused(&shop.send(post(&vec![b' '; 64 * 1024 + 1])).await, 413, "body_too_large");
    let typed = |kind: &str| {
        let mut call = Call::new(Method::POST, "/v1/payments").header("content-type", kind);
        call.body = Some(order("A1", "1.00").into_bytes());
        call
    };
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=gbk", ""] {
        refused(&shop.send(typed(kind)).await, 415, "unsupported_media_type");
    }
    let zipped = typed("application/json").header("content-encoding", "gzip");
    refused(&shop.send(zipped).await, 415, "unsupported_media_type");
    assert_eq!(shop.send(typed("Application/JSON; Charset=\"UTF-8\"")).await.status, 201);
}

#[tokio::test]
async fn problems_speak_the_client_s_language() {
    let site = Site::new();
    let call = |lang: &str| Call::new(Method::GET, "/v1/nothing").header("accept-language", lang);
    let chinese = site.send(call("zh-CN,zh;q=0.9")).await;
    assert_eq!(chinese.json()["title"], "没有这个接口");
    assert_eq!(chinese.header("content-language"), Some("zh-CN"));
    let english = site.send(call("en-GB")).await;
    assert_eq!(english.json()["title"], "There is no such endpoint");
    assert_eq!(english.json()["type"], "/docs/errors/unknown_path");
}

#[tokio::test]
async fn a_request_id_is_ours_and_nobody_else_s() {
    let site = Site::new();
    let call = Call::new(Method::GET, "/v1/nothing").header("request-id", "forged").header("x-request-id", "x");
    let answer = site.send(call).await;
    assert!(answer.header("request-id").unwrap().starts_with("req_"));
    assert!(!answer.text().contains("forged"));
}

/// Signs a call as an independent client does.
fn sign(call: Call, key_id: &str, secret: &str, created: i64, nonce: &str) -> Call {
    let key = SharedKey::from_base64(&AlgorithmName::HmacSha256, secret).unwrap();
    let (path, query) = call.path.split_once('?').map_or((call.path.as_str(), None), |(p, q)| (p, Some(q)));
    let mut lines = vec![
        ("@method", call.method.to_string()),
        ("@path", path.to_owned()),
        ("@authority", "pay.example".to_owned()),
    ];
    if let Some(query) = query {
        lines.push(("@query", format!("?{query}")));
    }
    let digest = call.body.as_ref().map(|body| content_digest(body));
    if let Some(digest) = &digest {
        lines.push(("content-digest", digest.clone()));
    }
    let ids: Vec<_> = lines.iter().map(|(name, _)| HttpMessageComponentId::try_from(*name).unwrap()).collect();
    let lines: Vec<_> = lines
        .iter()
        .map(|(name, value)| HttpMessageComponent::try_from(format!("\"{name}\": {value}").as_str()).unwrap())
        .collect();
    let mut params = HttpSignatureParams::try_new(&ids).unwrap();
    params.set_created(u64::try_from(created).unwrap()).set_nonce(nonce).set_keyid(key_id).set_alg(&key.alg());
    let signed = HttpSignatureBase::try_new(&lines, &params).unwrap().build_signature_headers(&key, Some("c")).unwrap();
    let mut call = call
        .header("host", "pay.example")
        .header("signature-input", &signed.signature_input_header_value())
        .header("signature", &signed.signature_header_value());
    if let Some(digest) = digest {
        call = call.header("content-digest", &digest);
    }
    call
}

#[tokio::test]
async fn a_signed_request_works_once() {
    let site = Site::new();
    let issued = site.issue(NewKeyKind::Hmac, |_| {});
    let (id, secret) = (issued.key.id.to_string(), issued.secret.unwrap().expose_str().unwrap().to_owned());
    let now = site.now().as_seconds();
    let create = |nonce: &str, order_id: &str| {
        let call = Call::new(Method::POST, "/v1/payments").json(order(order_id, "1.00"));
        sign(call, &id, &secret, now, nonce)
    };
    let first = create("nonce-0123456789-a", "A1");
    assert_eq!(site.send(first.clone()).await.status, 201);
    refused(&site.send(first).await, 401, "nonce_reused");
    refused(&site.send(create("nonce-0123456789-a", "A2")).await, 401, "nonce_reused");
    assert_eq!(site.send(create("nonce-0123456789-b", "A2")).await.status, 201);

    let read = sign(Call::new(Method::GET, "/v1/payments?limit=1"), &id, &secret, now, "nonce-0123456789-c");
    assert_eq!(site.send(read.clone()).await.status, 200);
    refused(&site.send(read).await, 401, "nonce_reused");

    let mut changed = create("nonce-0123456789-d", "A3");
    changed.body = Some(order("A3", "9999.00").into_bytes());
    refused(&site.send(changed).await, 401, "digest_mismatch");
    let mut moved = create("nonce-0123456789-e", "A4");
    moved.path = "/v1/payments?x=1".to_owned();
    refused(&site.send(moved).await, 401, "signature_incomplete");
    for skew in [-301, 301] {
        let call = sign(Call::new(Method::GET, "/v1/payments"), &id, &secret, now + skew, "nonce-0123456789-f");
        refused(&site.send(call).await, 401, "signature_expired");
    }
    // A signing key is no bearer token.
    refused(&site.send(Call::new(Method::GET, "/v1/payments").bearer(&id)).await, 401, "api_key_invalid");
    refused(&site.send(Call::new(Method::GET, "/v1/payments").bearer(&secret)).await, 401, "api_key_invalid");
}

#[tokio::test]
async fn a_nonce_stays_spent_after_a_restart() {
    let site = Site::new();
    let issued = site.issue(NewKeyKind::Hmac, |_| {});
    let (id, secret) = (issued.key.id.to_string(), issued.secret.unwrap().expose_str().unwrap().to_owned());
    let call =
        sign(Call::new(Method::GET, "/v1/payments"), &id, &secret, site.now().as_seconds(), "nonce-0123456789-a");
    assert_eq!(site.send(call.clone()).await.status, 200);
    let restarted = site.restarted();
    refused(&restarted.send(call).await, 401, "nonce_reused");
}

#[tokio::test]
async fn answers_to_signed_requests_are_signed() {
    let site = Site::new();
    let issued = site.issue(NewKeyKind::Hmac, |key| key.permissions = [Permission::Read].into());
    let (id, secret) = (issued.key.id.to_string(), issued.secret.unwrap().expose_str().unwrap().to_owned());
    let now = site.now().as_seconds();
    let good = sign(Call::new(Method::GET, "/v1/payments"), &id, &secret, now, "nonce-0123456789-a");
    let denied = Call::new(Method::POST, "/v1/payments").json(order("A1", "1.00"));
    let denied = sign(denied, &id, &secret, now, "nonce-0123456789-b");
    for (call, nonce) in [(good, "nonce-0123456789-a"), (denied, "nonce-0123456789-b")] {
        let answer = site.send(call).await;
        let (input, signature) = (answer.header("signature-input").unwrap(), answer.header("signature").unwrap());
        let headers = HttpSignatureHeaders::try_parse(signature, input).unwrap().shift_remove("coffer").unwrap();
        assert_eq!(headers.signature_params().nonce.as_deref(), Some(nonce));
        let lines = [
            format!("\"@status\": {}", answer.status),
            format!("\"content-type\": {}", answer.header("content-type").unwrap()),
            format!("\"content-digest\": {}", content_digest(&answer.body)),
        ]
        .map(|line| HttpMessageComponent::try_from(line.as_str()).unwrap());
        let base = HttpSignatureBase::try_new(&lines, headers.signature_params()).unwrap();
        let key = SharedKey::from_base64(&AlgorithmName::HmacSha256, &secret).unwrap();
        assert!(base.verify_signature_headers(&key, &headers).is_ok());
    }
}

#[tokio::test]
async fn keys_of_the_other_mode_and_merchant_see_nothing() {
    let site = Site::new();
    let id = site.shop().payment("A1").await["id"].as_str().unwrap().to_owned();
    let live = Shop { site: &site, token: Some(site.token(|key| key.scope.mode = Mode::Live)) };
    let rival = Shop { site: &site, token: Some(site.token(|key| key.scope.merchant = site.rival)) };
    for stranger in [live, rival] {
        refused(&stranger.get(&format!("/v1/payments/{id}")).await, 404, "payment_not_found");
        for action in ["cancel", "sync", "refunds"] {
            let answer = stranger.post(&format!("/v1/payments/{id}/{action}"), "{}").await;
            refused(&answer, 404, "payment_not_found");
        }
        assert_eq!(stranger.get("/v1/payments?order_id=A1").await.json()["data"], serde_json::json!([]));
        assert_eq!(stranger.post("/v1/payments", &order("A1", "5.00")).await.status, 201, "order numbers are its own");
    }
}
