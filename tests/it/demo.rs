//! The demo as a process: an order from the first call to the refund, by independent clients, and through `kill -9`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use coffer::env::http::HttpTransport;
use coffer::env::target::TargetPolicy;
use coffer::env::transport::{Limits, Method, OutgoingRequest, Transport};
use coffer::env::{Env, SystemEntropy, random};
use data_encoding::{BASE64, HEXLOWER};
use httpsig::prelude::message_component::{HttpMessageComponent, HttpMessageComponentId};
use httpsig::prelude::{AlgorithmName, HttpSignatureBase, HttpSignatureParams, SharedKey, SigningKey};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::cli::running::Folder;

/// Something that never comes fails the test instead of holding it up.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running demo; killed at the end of the test, as hard as a power cut.
pub struct Demo {
    child: Child,
    /// Open as long as the demo runs, or it could not print.
    _out: BufReader<std::process::ChildStdout>,
    transport: HttpTransport,
    /// `demo.json`.
    pub told: Value,
}

impl Demo {
    /// Starts a demo in the folder, or goes on with the one that is there.
    pub fn start(folder: &Folder) -> Demo {
        let mut arguments = vec!["demo", "--no-browser", "--history", "2"];
        if !folder.path("demo.json").exists() {
            arguments.extend(["--listen", "127.0.0.1:0"]);
        }
        let mut child = folder.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut all = String::new();
        while !all.contains("The same for scripts") {
            assert_ne!(out.read_line(&mut all).unwrap(), 0, "the demo ended:\n{all}");
        }
        let told = serde_json::from_slice(&std::fs::read(folder.path("demo.json")).unwrap()).unwrap();
        Demo { child, _out: out, transport: HttpTransport::system(&[]).unwrap(), told }
    }

    pub fn told(&self, name: &str) -> &str {
        self.told[name].as_str().unwrap()
    }

    /// No goodbye, no last write.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    async fn send(&self, method: Method, url: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = OutgoingRequest { method, url: url.to_owned(), headers, body: body.as_bytes().to_vec() };
        let policy = TargetPolicy { allow_loopback: true, https_only: false, ..TargetPolicy::default() };
        let answer = self.transport.send(request, &policy, Limits::default()).await.unwrap();
        (answer.status, String::from_utf8(answer.body).unwrap())
    }

    /// With the bearer key.
    async fn api(&self, method: Method, path: &str, body: &Value) -> Value {
        let key = format!("Bearer {}", self.told("api_key"));
        let headers = [("authorization", key.as_str()), ("content-type", "application/json")];
        let (headers, body) =
            if body.is_null() { (&headers[..1], String::new()) } else { (&headers[..], body.to_string()) };
        let (status, text) = self.send(method, &format!("{}{path}", self.told("base_url")), headers, &body).await;
        assert!((200..300).contains(&status), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// With a signature by a client that knows nothing of ours.
    async fn signed(&self, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let base = self.told("base_url");
        let digest = ring::digest::digest(&ring::digest::SHA256, body.as_bytes());
        let digest = format!("sha-256=:{}:", BASE64.encode(digest.as_ref()));
        let lines = [("@method", "POST"), ("@path", path), ("content-digest", &digest)];
        let ids = lines.map(|(name, _)| HttpMessageComponentId::try_from(name).unwrap());
        let lines = lines.map(|(name, value)| format!("\"{name}\": {value}"));
        let lines = lines.map(|line| HttpMessageComponent::try_from(line.as_str()).unwrap());
        let key = SharedKey::from_base64(&AlgorithmName::HmacSha256, self.told("signing_secret")).unwrap();
        let nonce = HEXLOWER.encode(&random::<16>(&SystemEntropy));
        let created = u64::try_from(Env::system().now().as_seconds()).unwrap();
        let mut params = HttpSignatureParams::try_new(&ids).unwrap();
        params.set_created(created).set_nonce(&nonce).set_keyid(self.told("signing_key_id")).set_alg(&key.alg());
        let signature = HttpSignatureBase::try_new(&lines, &params).unwrap();
        let signature = signature.build_signature_headers(&key, Some("shop")).unwrap();
        let (input, value) = (signature.signature_input_header_value(), signature.signature_header_value());
        let headers = [
            ("content-type", "application/json"),
            ("content-digest", digest.as_str()),
            ("signature-input", &input),
            ("signature", &value),
        ];
        let (status, text) = self.send(Method::Post, &format!("{base}{path}"), &headers, &body).await;
        assert!((200..300).contains(&status), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Pays on the page that plays the customer's phone.
    async fn pay(&self, payment: &Value) {
        let page = payment["next_action"]["qr_data"].as_str().unwrap();
        let (status, text) = self.send(Method::Get, page, &[], "").await;
        assert_eq!(status, 200, "{text}");
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let (status, text) = self.send(Method::Post, page, &form, "do=pay").await;
        assert!(status < 400, "{status} {text}");
    }

    async fn refund(&self, payment: &Value, value: &str, number: &str) -> Value {
        let path = format!("/v1/payments/{}/refunds", payment["id"].as_str().unwrap());
        let amount = json!({ "currency": "CNY", "value": value });
        self.api(Method::Post, &path, &json!({ "amount": amount, "refund_id": number })).await
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn order(number: &str, callbacks: &str) -> Value {
    json!({
        "amount": { "currency": "CNY", "value": "59.00" },
        "order_id": number,
        "description": "雾蓝马克杯 × 1",
        "method": "wechat_native",
        "callback_url": callbacks,
    })
}

/// A shop's server: takes callbacks, or takes the connection and never answers.
struct Receiver {
    url: String,
    heard: mpsc::UnboundedReceiver<(hyper::HeaderMap, Vec<u8>)>,
}

impl Receiver {
    fn open(answers: bool) -> Receiver {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), answers)
    }

    fn on(listener: TcpListener, answers: bool) -> Receiver {
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (tell, heard) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                // A connection may end before its request: the sender was killed.
                let Some((_, headers, body)) = read_request(&mut stream) else { continue };
                if answers {
                    drop(stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"));
                } else {
                    held.push(stream);
                }
                if tell.send((headers, body)).is_err() {
                    return;
                }
            }
        });
        Receiver { url, heard }
    }

    /// The next callback of this type, about this payment or a refund of it.
    async fn expect(&mut self, kind: &str, about: &str) -> (hyper::HeaderMap, Vec<u8>) {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.heard.recv()).await;
            let (headers, body) = next.unwrap_or_else(|_| panic!("{kind} never came")).unwrap();
            let event: Value = serde_json::from_slice(&body).unwrap();
            if event["type"] == kind && event["data"].to_string().contains(about) {
                return (headers, body);
            }
        }
    }
}

/// Path, headers and body; `None` if the connection ends before.
pub fn read_request(stream: &mut TcpStream) -> Option<(String, hyper::HeaderMap, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut headers = hyper::HeaderMap::new();
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.append(name.parse::<hyper::header::HeaderName>().unwrap(), value.parse().unwrap());
    }
    let length = headers.get("content-length")?.to_str().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, headers, body))
}

#[track_caller]
fn genuine(demo: &Demo, headers: &hyper::HeaderMap, body: &[u8]) {
    let verifier = standardwebhooks::Webhook::new(demo.told("callback_secret")).unwrap();
    verifier.verify(body, headers).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_created_paid_called_back_and_refunded_by_independent_clients() {
    let folder = Folder::new();
    let demo = Demo::start(&folder);
    let mut names: Vec<_> = demo.told.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "api_key",
            "base_url",
            "callback_secret",
            "console_password",
            "console_url",
            "console_user",
            "docs_url",
            "shop_url",
            "signing_key_id",
            "signing_secret",
            "totp_secret"
        ]
    );
    let mut shop = Receiver::open(true);
    let by_key = demo.api(Method::Post, "/v1/payments", &order("K1", &shop.url)).await;
    let by_signature = demo.signed("/v1/payments", &order("S1", &shop.url)).await;
    for (payment, refund) in [(&by_key, "K1-R"), (&by_signature, "S1-R")] {
        let id = payment["id"].as_str().unwrap();
        demo.pay(payment).await;
        let (headers, body) = shop.expect("payment.paid", id).await;
        genuine(&demo, &headers, &body);
        demo.refund(payment, "9.00", refund).await;
        let (headers, body) = shop.expect("refund.succeeded", id).await;
        genuine(&demo, &headers, &body);
        let seen = demo.api(Method::Get, &format!("/v1/payments/{id}"), &Value::Null).await;
        assert_eq!((&seen["status"], &seen["amount_refunded"]["value"]), (&json!("paid"), &json!("9.00")));
    }
    folder.run(&["verify"]).fine();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_buying_refunding_and_calling_back_it_goes_on() {
    let folder = Folder::new();
    let mut shop = Receiver::open(true);

    let demo = Demo::start(&folder);
    let address = demo.told("base_url").to_owned();
    let bought = demo.api(Method::Post, "/v1/payments", &order("B1", &shop.url)).await;
    let id = bought["id"].as_str().unwrap();
    demo.kill();
    let demo = Demo::start(&folder);
    assert_eq!(demo.told("base_url"), address, "it goes on at the same address");
    demo.pay(&bought).await;
    demo.kill();
    let demo = Demo::start(&folder);
    let (headers, body) = shop.expect("payment.paid", id).await;
    genuine(&demo, &headers, &body);

    demo.refund(&bought, "59.00", "B1-R").await;
    demo.kill();
    let demo = Demo::start(&folder);
    shop.expect("refund.succeeded", id).await;

    let mut deaf = Receiver::open(false);
    let payment = demo.api(Method::Post, "/v1/payments", &order("C1", &deaf.url)).await;
    let id = payment["id"].as_str().unwrap();
    demo.pay(&payment).await;
    let (first, _) = deaf.expect("payment.paid", id).await;
    demo.kill();
    let demo = Demo::start(&folder);
    let (again, body) = deaf.expect("payment.paid", id).await;
    genuine(&demo, &again, &body);
    assert_eq!(first["webhook-id"], again["webhook-id"], "the same message, so that a shop hears it once");

    folder.run(&["verify"]).fine();
    demo.kill();
    folder.run(&["verify"]).fine();
}

#[test]
fn a_folder_with_other_data_is_left_alone() {
    let folder = Folder::new();
    folder.write("notes.txt", "of somebody else");
    let refused = folder.run(&["demo", "--no-browser"]).refused(1);
    assert!(refused.contains("left alone"), "{refused}");
    assert!(!folder.path("demo.json").exists());
}
