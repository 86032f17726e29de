//! What gives the figures their meaning: the cheapest answer, the cheapest commit, one signature of a channel.

use std::path::Path;
use std::time::Duration;

use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::RSA_PKCS1_SHA256;

use super::BenchError;
use super::meter::{Histogram, Stopwatch, own_cpu_micros};
use crate::store::BareFile;

/// A key of 2048 bits, as WeChat Pay's merchants sign with. Signs nothing but these measurements.
pub const RSA_KEY: &[u8] = include_bytes!("rsa2048.pk8");

/// Signs for `time`; answers microseconds of CPU for one signature.
pub fn rsa_signature(time: Duration) -> f64 {
    let key = KeyPair::from_pkcs8(RSA_KEY).expect("the key is part of the program");
    let random = SystemRandom::new();
    let mut signature = vec![0; key.public().modulus_len()];
    let (watch, before) = (Stopwatch::start(), own_cpu_micros());
    let mut count = 0u32;
    while watch.elapsed() < time {
        key.sign(&RSA_PKCS1_SHA256, &random, b"POST\n/v3/pay/transactions/native\n", &mut signature)
            .expect("the system gives randomness");
        count += 1;
    }
    (own_cpu_micros() - before) as f64 / f64::from(count.max(1))
}

/// Commits one small row after the other for `time`; answers how long each took.
pub fn commits(folder: &Path, round: u32, time: Duration) -> Result<Histogram, BenchError> {
    let file = BareFile::create(&folder.join(format!("bare-{round}.db")))?;
    let watch = Stopwatch::start();
    let mut took = Histogram::default();
    let mut number = 0;
    while watch.elapsed() < time {
        let commit = Stopwatch::start();
        file.commit(number)?;
        took.record(commit.micros());
        number += 1;
    }
    Ok(took)
}
