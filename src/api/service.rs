//! What the API's handlers share, and the way of every request through it: body, proof, permission, rate, handler, reply.

use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{Bytes, Payload};
use actix_web::{HttpRequest, HttpResponse};
use ipnet::IpNet;
use ring::signature::Ed25519KeyPair;

use super::auth::{Caller, authenticate};
use super::commit::{is_idempotent, use_nonce};
use super::docs::Docs;
use super::endpoint::Endpoint;
use super::error::{ErrorCode, PROBLEM_JSON, Problem, Words};
use super::fields::{Fields, read_body, read_query};
use super::json::BODY_BYTES_MAX;
use super::keys::{Credential, KeyDirectory};
use super::rate::{AddressLimit, Rate, Verdict};
use super::signature::{ReplyKey, SignatureKey, sign_reply};
use crate::audit::{self, log::Stamp};
use crate::cases::Cases;
use crate::crypto::{OpenError, Place};
use crate::domain::event::Actor;
use crate::domain::ids::Scope;
use crate::domain::time::Timestamp;
use crate::flows::gateway::{Gateway, GatewayError};
use crate::lang::Lang;
use crate::signals::request_id;
use crate::store::tables::REPLY_KEY;
use crate::store::{Read, Store};
use crate::test_mode::players::Players;

/// How long a client may take to send a body, in milliseconds.
const BODY_MS_MAX: u64 = 10_000;
/// Failed proofs of one address, before it is told to wait. Right ones do not count here.
const FAILURES: Rate = Rate { per_second: 1, burst: 30 };

const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Rules of the API, from the configuration.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// Of one key.
    pub rate: Rate,
    /// Proxies whose forwarded headers count.
    pub trusted_proxies: Vec<IpNet>,
}

/// Shared by all workers.
pub struct Api {
    pub gateway: Gateway,
    /// The simulated providers of test mode.
    pub(super) players: Players,
    /// Runs of acceptance cases.
    pub cases: Cases,
    pub(super) keys: Arc<KeyDirectory>,
    pub(super) settings: ApiSettings,
    pub(super) failures: AddressLimit,
    pub(super) public_url: Option<url::Url>,
    /// Signs replies to clients that sign with a key pair.
    pub(super) reply_key: Ed25519KeyPair,
    pub(super) docs: Docs,
    rate_policy: HeaderValue,
}

impl Api {
    /// Blocks while keys are read.
    pub fn new(gateway: Gateway, players: Players, settings: ApiSettings) -> Result<Arc<Api>, GatewayError> {
        let keys = KeyDirectory::open(&gateway.store, gateway.vault.clone())?;
        let reply_key = reply_key(&gateway.store, &gateway)?;
        let public_url = url::Url::parse(&gateway.settings.public_url).ok();
        let rate_policy = HeaderValue::from_str(&settings.rate.policy()).expect("the policy is ASCII");
        let failures = AddressLimit::new(FAILURES);
        let docs = Docs::new(&gateway.settings.public_url);
        let cases = Cases::new(gateway.clone(), Arc::new(players.clone()));
        Ok(Arc::new(Api {
            gateway,
            players,
            cases,
            keys,
            settings,
            failures,
            public_url,
            reply_key,
            docs,
            rate_policy,
        }))
    }
}

/// Made once, sealed in the store.
fn reply_key(store: &Store, gateway: &Gateway) -> Result<Ed25519KeyPair, GatewayError> {
    let place = Place { table: REPLY_KEY.name(), row: &[0], field: "seed" };
    let seed = match store.read_blocking(|tx| tx.get(&REPLY_KEY, &0u8))? {
        Some(sealed) => gateway.vault.open(&place, &sealed).map_err(GatewayError::Key)?,
        None => {
            let seed: [u8; 32] = gateway.env.random();
            let sealed = gateway.vault.seal(&place, &seed, gateway.env.entropy.as_ref());
            store.write_blocking(move |tx| tx.put(&REPLY_KEY, &0u8, &sealed))?;
            crate::crypto::Secret::new(seed.to_vec())
        }
    };
    Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| GatewayError::Key(OpenError::NotFromHere))
}

/// One authenticated request on its way to its handler.
#[derive(Clone)]
pub struct Call {
    pub api: Arc<Api>,
    pub caller: Caller,
    pub request: HttpRequest,
    /// What stands in the path for an id.
    id: String,
    pub body: Bytes,
    pub now: Timestamp,
    pub endpoint: &'static Endpoint,
}

impl Call {
    pub fn scope(&self) -> Scope {
        self.caller.key.scope
    }

    pub fn actor(&self) -> Actor {
        Actor::Api(self.caller.key.id)
    }

    /// Who acts, for the audit record that is written with a change.
    pub fn stamp(&self) -> Stamp {
        Stamp { at: self.now, actor: audit::Actor::ApiKey(self.caller.key.id), ip: self.caller.client.to_string() }
    }

    /// An id in the path. What is no id names nothing, so it is not found.
    pub fn id<T: std::str::FromStr>(&self, missing: ErrorCode) -> Result<T, Problem> {
        self.id.parse().map_err(|_| Problem::new(missing))
    }

    pub fn read_body<T>(&self, reader: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Result<T, Problem> {
        read_body(&self.body, reader)
    }

    pub fn read_query<T>(&self, reader: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Result<T, Problem> {
        read_query(self.request.query_string(), reader)
    }
}

/// What a handler answers.
pub struct Reply {
    status: u16,
    body: Vec<u8>,
    content_type: &'static str,
    /// The stored answer to an earlier request with the same idempotency key.
    replayed: bool,
}

const JSON: &str = "application/json";

impl Reply {
    pub fn ok(body: Vec<u8>) -> Self {
        Self::json(200, body)
    }

    pub fn json(status: u16, body: Vec<u8>) -> Self {
        Self { status, body, content_type: JSON, replayed: false }
    }

    /// What was stored under an idempotency key: an answer of any status.
    pub fn stored(status: u16, body: Vec<u8>) -> Self {
        let content_type = if status < 400 { JSON } else { PROBLEM_JSON };
        Self { status, body, content_type, replayed: true }
    }

    pub const fn status(&self) -> u16 {
        self.status
    }

    pub const fn is_replay(&self) -> bool {
        self.replayed
    }

    fn into_response(self) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::with_body(status, BoxBody::new(self.body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.replayed {
            headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// The way of one request.
pub async fn serve(
    endpoint: &'static Endpoint,
    api: Arc<Api>,
    request: HttpRequest,
    id: String,
    payload: Payload,
) -> HttpResponse {
    let now = api.gateway.env.now();
    let received = match receive(&request, payload).await {
        Ok(body) => authenticate(&api, &request, &body, now).map(|caller| (caller, body)),
        Err(problem) => Err(problem),
    };
    let (caller, body) = match received {
        Ok(received) => received,
        Err(problem) => return refuse(&problem, &request),
    };
    let call = Call { api: api.clone(), caller: caller.clone(), request: request.clone(), id, body, now, endpoint };
    let repeatable = is_idempotent(&request).then(|| call.clone());
    let answered = match admit(&call).await {
        Ok(()) => (endpoint.handler)(call).await,
        Err(problem) => Err(problem),
    };
    let answered = match (answered, repeatable) {
        (Err(problem), Some(call)) if problem.is_answer() => call.keep(problem).await,
        (answered, _) => answered,
    };
    let mut response = match answered {
        Ok(reply) => reply.into_response(),
        Err(problem) => refuse(&problem, &request),
    };
    let headers = response.headers_mut();
    for (name, value) in rate_headers(&api, caller.verdict) {
        headers.insert(name, value);
    }
    match caller.nonce_text {
        Some(nonce) => sign(&api, &caller.key, &nonce, response, now),
        None => response,
    }
}

/// The rate's policy, and what is left of it.
pub(super) fn rate_headers(api: &Api, verdict: Verdict) -> [(HeaderName, HeaderValue); 2] {
    let left = HeaderValue::from_str(&verdict.header()).expect("numbers are ASCII");
    [(RATE_LIMIT_POLICY, api.rate_policy.clone()), (RATE_LIMIT, left)]
}

/// The answer to a request that is refused.
pub fn refuse(problem: &Problem, request: &HttpRequest) -> HttpResponse {
    if let Some(cause) = problem.cause() {
        tracing::error!(code = problem.code.as_str(), cause, "a request failed");
    }
    problem.respond(lang_of(request), request_id(request).map(|id| id.to_string()).as_deref())
}

pub fn lang_of(request: &HttpRequest) -> Lang {
    let header = request.headers().get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    Lang::choose(None, None, header)
}

async fn receive(request: &HttpRequest, payload: Payload) -> Result<Bytes, Problem> {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length.and_then(|digits| digits.parse::<usize>().ok()).is_some_and(|bytes| bytes > BODY_BYTES_MAX) {
        return Err(Problem::new(ErrorCode::BodyTooLarge));
    }
    let reading = payload.to_bytes_limited(BODY_BYTES_MAX);
    let body = tokio::time::timeout(Duration::from_millis(BODY_MS_MAX), reading)
        .await
        .map_err(|_| Problem::new(ErrorCode::RequestTimeout))?
        .map_err(|_| Problem::new(ErrorCode::BodyTooLarge))?
        .map_err(|_| Problem::new(ErrorCode::BodyUnreadable))?;
    if !body.is_empty() {
        check_media_type(request)?;
    }
    Ok(body)
}

/// JSON in UTF-8 and nothing around it.
fn check_media_type(request: &HttpRequest) -> Result<(), Problem> {
    let value = |name: HeaderName| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
    let media_type = value(header::CONTENT_TYPE).unwrap_or("");
    let (essence, parameters) = media_type.split_once(';').unwrap_or((media_type, ""));
    let is_json = essence.trim().eq_ignore_ascii_case(JSON);
    let charset = parameters.trim().to_ascii_lowercase().replace('"', "");
    let is_utf8 = charset.is_empty() || charset == "charset=utf-8";
    let is_plain = value(header::CONTENT_ENCODING).is_none_or(|coding| coding.eq_ignore_ascii_case("identity"));
    if is_json && is_utf8 && is_plain { Ok(()) } else { Err(Problem::new(ErrorCode::UnsupportedMediaType)) }
}

/// Permission, and for signed requests that change nothing the nonce; those that do change something spend their nonce
/// in the commit of the change.
async fn admit(call: &Call) -> Result<(), Problem> {
    let key = &call.caller.key;
    if let Some(needed) = call.endpoint.permission.filter(|needed| !key.permissions.contains(needed)) {
        let code = needed.code();
        let words =
            Words::new(format!("这个接口需要 {code} 权限"), format!("this endpoint needs the permission {code}"));
        return Err(Problem::new(ErrorCode::ScopeMissing).detail(words));
    }
    match call.caller.nonce {
        Some(nonce) if call.endpoint.method == Method::GET => {
            let now = call.now;
            call.api.gateway.store.write(move |tx| use_nonce(tx, &nonce, now)).await.map_err(Problem::from)
        }
        Some(_) | None => Ok(()),
    }
}

/// Signs the answer to a signed request.
fn sign(api: &Api, credential: &Credential, nonce: &str, response: HttpResponse, now: Timestamp) -> HttpResponse {
    let Some(key) = credential.verifying_key() else { return response };
    let (head, body) = response.into_parts();
    let body = body.try_into_bytes().unwrap_or_default();
    let mut response = head.set_body(BoxBody::new(body.clone()));
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let signer = ReplyKey::answering(key, &api.reply_key);
    let keyid = credential.id.to_string();
    let signed = sign_reply(&signer, &keyid, nonce, response.status().as_u16(), content_type, &body, now);
    for (name, value) in [
        ("content-digest", signed.content_digest),
        ("signature-input", signed.signature_input),
        ("signature", signed.signature),
    ] {
        let value = HeaderValue::from_str(&value).expect("structured fields are ASCII");
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
    response
}
