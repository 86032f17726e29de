//! A shop's callback receiver that lives as long as the test and writes down what it hears.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use crate::demo::read_request;

/// What was heard: for each address and message id the body, and how often.
type Heard = BTreeMap<(String, String), (Vec<u8>, u64)>;

pub struct Receiver {
    pub base: String,
    heard: Arc<Mutex<Heard>>,
    status: Arc<AtomicU16>,
}

impl Receiver {
    /// `tick` is called for each message, before it is answered.
    pub fn open(tick: impl Fn() + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let heard: Arc<Mutex<Heard>> = Arc::default();
        let book = heard.clone();
        let status = Arc::new(AtomicU16::new(204));
        let answer = status.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                // A connection may end before its request: the sender was killed.
                let Some((path, headers, body)) = read_request(&mut stream) else { continue };
                let id = headers["webhook-id"].to_str().unwrap().to_owned();
                let mut book = book.lock().unwrap();
                let known = book.entry((path, id)).or_insert_with(|| (body.clone(), 0));
                assert_eq!(known.0, body, "the same message with another content");
                known.1 += 1;
                drop(book);
                tick();
                let status = answer.load(SeqCst);
                let reply = format!("HTTP/1.1 {status} Said\r\nconnection: close\r\n\r\n");
                drop(stream.write_all(reply.as_bytes()));
            }
        });
        Self { base, heard, status }
    }

    /// With this status from now on; at first it is 204.
    pub fn answer(&self, status: u16) {
        self.status.store(status, SeqCst);
    }

    /// Everything heard so far.
    pub fn heard(&self) -> Heard {
        self.heard.lock().unwrap_or_else(|_| panic!("the receiver heard something wrong")).clone()
    }
}
