//! Who is asking: a bearer token or a signature, from an allowed address, within the key's rate.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header;
use ring::digest::{SHA256, digest};

use super::commit::NonceRow;
use super::error::{ErrorCode, Problem};
use super::keys::Credential;
use super::rate::Verdict;
use super::service::{Api, rate_headers};
use super::signature::{Message, is_signed, verify};
use crate::domain::time::Timestamp;
use crate::web::client_of;

/// A proven caller.
#[derive(Clone)]
pub struct Caller {
    pub key: Arc<Credential>,
    pub client: IpAddr,
    /// What is left of the key's rate.
    pub verdict: Verdict,
    /// Of a signed request: to be spent in the commit of its effect.
    pub nonce: Option<NonceRow>,
    /// The nonce as it was sent: the reply repeats it.
    pub nonce_text: Option<Arc<str>>,
}

/// Proof first, over the raw bytes; then the key's own rules.
pub fn authenticate(api: &Api, request: &HttpRequest, body: &[u8], now: Timestamp) -> Result<Caller, Problem> {
    let client = client_of(request, &api.settings.trusted_proxies);
    let now_ms = api.gateway.env.clock.monotonic_ms();
    let (key, nonce) = prove(api, request, body, now).map_err(|problem| {
        let verdict = api.failures.take(client, now_ms);
        if verdict.allowed { problem } else { too_many(verdict) }
    })?;
    if key.is_expired(now) {
        return Err(Problem::new(ErrorCode::ApiKeyExpired));
    }
    if !key.allows_address(client) {
        return Err(Problem::new(ErrorCode::IpNotAllowed));
    }
    let verdict = key.bucket.take(api.settings.rate, now_ms);
    if !verdict.allowed {
        let [policy, left] = rate_headers(api, verdict);
        return Err(too_many(verdict).header(policy.0, policy.1).header(left.0, left.1));
    }
    let (nonce, nonce_text) = nonce.unzip();
    Ok(Caller { key, client, verdict, nonce, nonce_text })
}

fn too_many(verdict: Verdict) -> Problem {
    Problem::new(ErrorCode::RateLimited).retry_after_s(verdict.seconds)
}

type Nonce = (NonceRow, Arc<str>);

fn prove(
    api: &Api,
    request: &HttpRequest,
    body: &[u8],
    now: Timestamp,
) -> Result<(Arc<Credential>, Option<Nonce>), Problem> {
    let headers = request.headers();
    let mut authorizations = headers.get_all(header::AUTHORIZATION);
    match (authorizations.next(), authorizations.next()) {
        // A proxy on the way may sign what passes through it; a client that names a token means the token.
        (Some(value), None) => {
            let token = value.to_str().ok().and_then(bearer_token);
            let key = token.and_then(|token| api.keys.by_token(token));
            key.map(|key| (key, None)).ok_or_else(|| Problem::new(ErrorCode::ApiKeyInvalid))
        }
        (Some(_), Some(_)) => Err(Problem::new(ErrorCode::ApiKeyInvalid)),
        (None, _) if is_signed(headers) => prove_signature(api, request, body, now),
        (None, _) => Err(Problem::new(ErrorCode::AuthenticationMissing)),
    }
}

/// The token of an `Authorization` header: RFC 6750, 2.1; the scheme's case is free (RFC 9110, 11.1).
pub fn bearer_token(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
}

fn prove_signature(
    api: &Api,
    request: &HttpRequest,
    body: &[u8],
    now: Timestamp,
) -> Result<(Arc<Credential>, Option<Nonce>), Problem> {
    let uri = request.uri();
    let message = Message {
        method: request.method().as_str(),
        path: uri.path(),
        query: uri.query(),
        headers: request.headers(),
        body,
        scheme: if request.app_config().secure() { "https" } else { "http" },
        public_url: api.public_url.as_ref(),
    };
    let verified = verify(&message, now, |keyid| api.keys.by_id(keyid.parse().ok()?))?;
    let hash = digest(&SHA256, verified.nonce.as_bytes());
    let hash = *hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes");
    let row = NonceRow { key: verified.key.id, hash, until: verified.nonce_until };
    Ok((verified.key, Some((row, verified.nonce.into()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_stands_behind_its_scheme() {
        assert_eq!(bearer_token("Bearer sk_test_1"), Some("sk_test_1"));
        assert_eq!(bearer_token("bearer  sk_test_1"), Some("sk_test_1"));
        assert_eq!(bearer_token("Basic c2s6"), None);
        assert_eq!(bearer_token("sk_test_1"), None);
    }
}
