//! `Content-Digest` (RFC 9530): a hash of the body's bytes.

use actix_web::http::header::HeaderMap;
use data_encoding::BASE64;
use ring::digest::{SHA256, SHA512, digest};
use sfv::{BareItem, Item, ListEntry};
use subtle::ConstantTimeEq;

use super::super::error::{ErrorCode, Problem};
use super::input::{dictionary, malformed};

/// The header's value for a body that we send.
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", BASE64.encode(digest(&SHA256, body).as_ref()))
}

/// Every digest of a kind that we know must fit, and there must be one.
pub(super) fn check(headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
    let digests = dictionary(headers, "content-digest")?.unwrap_or_default();
    let mut known = false;
    for (name, entry) in &digests {
        let algorithm = match name.as_str() {
            "sha-256" => &SHA256,
            "sha-512" => &SHA512,
            _ => continue,
        };
        let ListEntry::Item(Item { bare_item: BareItem::ByteSequence(claimed), .. }) = entry else {
            return Err(malformed("Content-Digest 的值须为 :base64:", "the value of Content-Digest must be :base64:"));
        };
        if !bool::from(digest(algorithm, body).as_ref().ct_eq(claimed)) {
            return Err(Problem::new(ErrorCode::DigestMismatch));
        }
        known = true;
    }
    if known {
        return Ok(());
    }
    Err(malformed("Content-Digest 须含 sha-256 或 sha-512", "Content-Digest must hold sha-256 or sha-512"))
}
