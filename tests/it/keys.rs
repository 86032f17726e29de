//! Keys for simulated providers: making real ones takes seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use coffer::crypto::Secret;
use coffer::crypto::rsa::der_in;
use coffer::sandbox::provider::KeyMaker;

const KEYS: [&str; 6] = [
    include_str!("fixtures/rsa/1.pem"),
    include_str!("fixtures/rsa/2.pem"),
    include_str!("fixtures/rsa/3.pem"),
    include_str!("fixtures/rsa/4.pem"),
    include_str!("fixtures/rsa/5.pem"),
    include_str!("fixtures/rsa/6.pem"),
];

/// The same keys over and over.
pub fn fixed() -> KeyMaker {
    let given = AtomicUsize::new(0);
    Arc::new(move || Secret::new(der_in(KEYS[given.fetch_add(1, Ordering::SeqCst) % KEYS.len()]).unwrap()))
}

/// One that is not the first of [`fixed`].
pub fn second() -> &'static str {
    KEYS[1]
}

pub fn third() -> &'static str {
    KEYS[2]
}
