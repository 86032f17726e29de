//! Signed replies: the same format in the other direction. A reply repeats the nonce of its request, so that it cannot
//! be the answer to another one, and covers `@status`, which no request can, so that it cannot be turned into a request.

use data_encoding::BASE64;
use ring::hmac;
use ring::signature::Ed25519KeyPair;

use super::digest::content_digest;
use super::key::{Algorithm, VerifyingKey};
use crate::domain::time::Timestamp;

/// What signs a reply.
pub enum ReplyKey<'k> {
    /// The secret that the request was signed with.
    Shared(&'k hmac::Key),
    /// The server's own key, for clients that sign with a key pair.
    Server(&'k Ed25519KeyPair),
}

impl<'k> ReplyKey<'k> {
    /// The key that answers a request signed with `key`.
    pub fn answering(key: &'k VerifyingKey, server: &'k Ed25519KeyPair) -> Self {
        key.shared().map_or(ReplyKey::Server(server), ReplyKey::Shared)
    }

    const fn algorithm(&self) -> Algorithm {
        match self {
            ReplyKey::Shared(_) => Algorithm::HmacSha256,
            ReplyKey::Server(_) => Algorithm::Ed25519,
        }
    }

    fn sign(&self, base: &[u8]) -> String {
        match self {
            ReplyKey::Shared(key) => BASE64.encode(hmac::sign(key, base).as_ref()),
            ReplyKey::Server(pair) => BASE64.encode(pair.sign(base).as_ref()),
        }
    }
}

/// Values for the three headers of a signed reply.
#[derive(Debug, PartialEq, Eq)]
pub struct SignedReply {
    pub content_digest: String,
    pub signature_input: String,
    pub signature: String,
}

/// Signs status, type and body. `nonce` is the request's; `keyid` names the key as the client knows it.
pub fn sign_reply(
    key: &ReplyKey<'_>,
    keyid: &str,
    nonce: &str,
    status: u16,
    content_type: &str,
    body: &[u8],
    now: Timestamp,
) -> SignedReply {
    let content_digest = content_digest(body);
    let nonce = nonce.replace('\\', "\\\\").replace('"', "\\\"");
    // Some libraries write the parameters in an order of their own before they compare; this is the commonest.
    let params = format!(
        "(\"@status\" \"content-type\" \"content-digest\");created={};nonce=\"{nonce}\";alg=\"{}\";keyid=\"{keyid}\"",
        now.as_seconds(),
        key.algorithm().name(),
    );
    let base = format!(
        "\"@status\": {status}\n\"content-type\": {content_type}\n\"content-digest\": {content_digest}\n\
         \"@signature-params\": {params}"
    );
    let signature = format!("coffer=:{}:", key.sign(base.as_bytes()));
    SignedReply { content_digest, signature_input: format!("coffer={params}"), signature }
}
