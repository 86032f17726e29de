//! The requests that the load generator sends.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use data_encoding::BASE64;
use ring::digest::{SHA256, digest};
use ring::hmac;

use super::load::Script;
use super::site::Site;
use crate::domain::ids::PaymentId;
use crate::env::Env;

/// The cheapest request.
pub struct Empty;

impl Script for Empty {
    fn request(&self, _: usize, _: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n");
    }

    fn status(&self) -> u16 {
        200
    }
}

/// Creates payments with a bearer key.
pub struct Create {
    orders: Arc<AtomicU64>,
    head: String,
}

impl Create {
    pub fn new(token: &str, orders: Arc<AtomicU64>) -> Self {
        let head = format!(
            "POST /v1/payments HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: "
        );
        Self { orders, head }
    }
}

impl Script for Create {
    fn request(&self, _: usize, _: u64, out: &mut Vec<u8>) {
        let body = body(self.orders.fetch_add(1, Relaxed));
        write!(out, "{}{}\r\n\r\n{body}", self.head, body.len()).expect("a vector takes every byte");
    }

    fn status(&self) -> u16 {
        201
    }
}

/// Creates payments with signed requests (RFC 9421, HMAC).
pub struct SignedCreate {
    orders: Arc<AtomicU64>,
    key: hmac::Key,
    keyid: String,
    env: Env,
}

impl SignedCreate {
    pub fn new(site: &Site, orders: Arc<AtomicU64>) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &site.signing_secret);
        Self { orders, key, keyid: site.signing_key.to_string(), env: site.env.clone() }
    }
}

impl Script for SignedCreate {
    fn request(&self, _: usize, _: u64, out: &mut Vec<u8>) {
        let number = self.orders.fetch_add(1, Relaxed);
        let body = body(number);
        let digest = format!("sha-256=:{}:", BASE64.encode(digest(&SHA256, body.as_bytes()).as_ref()));
        let params = format!(
            "(\"@method\" \"@path\" \"content-digest\");created={};nonce=\"bench-{number:012}\";keyid=\"{}\";alg=\"hmac-sha256\"",
            self.env.now().as_seconds(),
            self.keyid,
        );
        let base = format!(
            "\"@method\": POST\n\"@path\": /v1/payments\n\"content-digest\": {digest}\n\"@signature-params\": {params}"
        );
        let signature = BASE64.encode(hmac::sign(&self.key, base.as_bytes()).as_ref());
        write!(
            out,
            "POST /v1/payments HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-digest: {digest}\r\n\
             signature-input: sig={params}\r\nsignature: sig=:{signature}:\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("a vector takes every byte");
    }

    fn status(&self) -> u16 {
        201
    }
}

/// The same order as [`super::site::order`], as the shop writes it.
fn body(number: u64) -> String {
    format!(
        "{{\"amount\":{{\"currency\":\"CNY\",\"value\":\"12.30\"}},\"order_id\":\"bench-{number}\",\
         \"description\":\"Mug, blue, 350 ml\",\"return_url\":\"https://shop.example/thanks\",\
         \"metadata\":{{\"cart\":\"7f3a\"}}}}"
    )
}

/// Reads payments with a bearer key.
pub struct Read {
    requests: Vec<Vec<u8>>,
}

impl Read {
    pub fn new(known: &[PaymentId], token: &str) -> Self {
        let request = |id: &PaymentId| {
            format!("GET /v1/payments/{id} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\r\n")
                .into_bytes()
        };
        Self { requests: known.iter().map(request).collect() }
    }
}

impl Script for Read {
    fn request(&self, connection: usize, number: u64, out: &mut Vec<u8>) {
        // Far from the one before, so that not every read finds its page warm.
        let place = (connection as u64).wrapping_mul(0x9E37_79B9).wrapping_add(number.wrapping_mul(7919));
        let place = usize::try_from(place % self.requests.len() as u64).unwrap_or_default();
        out.extend_from_slice(&self.requests[place]);
    }

    fn status(&self) -> u16 {
        200
    }
}
