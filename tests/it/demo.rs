//! The demo as a process: an order from the first call to the refund, by independent clients, and through `kill -9`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use coffer::console::auth::session::Token;
use coffer::console::auth::totp::{TotpSecret, step_at};
use coffer::env::http::HttpTransport;
use coffer::env::target::TargetPolicy;
use coffer::env::transport::{Limits, Method, OutgoingRequest, Transport};
use coffer::env::{Env, SystemEntropy, random};
use data_encoding::{BASE32_NOPAD, BASE64, HEXLOWER};
use httpsig::prelude::message_component::{HttpMessageComponent, HttpMessageComponentId};
use httpsig::prelude::{AlgorithmName, HttpSignatureBase, HttpSignatureParams, SharedKey, SigningKey};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::cli::running::{Folder, NO_KEYS};

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
        Self::start_with(folder, |_| ())
    }

    fn start_with(folder: &Folder, change: impl FnOnce(&mut Command)) -> Demo {
        let mut arguments = vec!["demo", "--no-browser", "--history", "2"];
        if !folder.path("demo.json").exists() {
            arguments.extend(["--listen", "127.0.0.1:0"]);
        }
        let mut command = folder.command(&arguments);
        command.env(NO_KEYS.0, NO_KEYS.1);
        change(&mut command);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
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
        let request =
            OutgoingRequest { method, url: url.to_owned(), headers, body: body.as_bytes().to_vec(), identity: None };
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

/// Everything that was answered and logged in a whole run, to look for what must not be there.
#[derive(Default)]
struct Said(Vec<(String, String)>);

impl Said {
    #[track_caller]
    fn must_not_hold(&self, secrets: &[(&str, String)]) {
        for (place, text) in &self.0 {
            for (name, secret) in secrets {
                assert!(!text.contains(secret), "{name} stands in {place}");
            }
        }
    }
}

/// A browser that logs in to the console with what the demo printed.
struct Browser<'a> {
    demo: &'a Demo,
    cookie: String,
    said: Said,
}

impl Browser<'_> {
    async fn ask(&mut self, method: Method, path: &str, form: &str) -> u16 {
        let url = format!("{}{path}", self.demo.told("base_url"));
        let mut headers = vec![("origin".to_owned(), self.demo.told("base_url").to_owned())];
        if !self.cookie.is_empty() {
            headers.push(("cookie".to_owned(), self.cookie.clone()));
        }
        headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
        let request = OutgoingRequest { method, url, headers, body: form.as_bytes().to_vec(), identity: None };
        let policy = TargetPolicy { allow_loopback: true, https_only: false, ..TargetPolicy::default() };
        let limits = Limits { reply_max: 4 << 20, ..Limits::default() };
        let answer = self.demo.transport.send(request, &policy, limits).await.unwrap();
        for (_, value) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            self.cookie = value.split(';').next().unwrap().to_owned();
        }
        let headers: String = answer.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        self.said.0.push((format!("{method:?} {path}"), headers + &body));
        answer.status
    }

    async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> u16 {
        let token = self.cookie.split_once('=').and_then(|(_, value)| Token::parse(value)).unwrap();
        let csrf = token.form_token();
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("csrf", &csrf).extend_pairs(fields);
        self.ask(Method::Post, path, &form.finish()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_stands_in_a_log_an_answer_or_the_store_after_a_whole_run() {
    let (folder, logs) = (Folder::new(), Folder::new());
    let log = std::fs::File::create(logs.path("log")).unwrap();
    let demo = Demo::start_with(&folder, |command| {
        command.env("COFFER_LOG_LEVEL", "debug").stderr(log);
    });
    let secrets: Vec<(&str, String)> =
        ["console_password", "totp_secret", "api_key", "signing_secret", "callback_secret"]
            .map(|name| (name, demo.told(name).to_owned()))
            .into();
    let mut said = Said::default();
    // A purchase and a refund, by key and by signature, with a shop that is called back.
    let mut shop = Receiver::open(true);
    let payment = demo.api(Method::Post, "/v1/payments", &order("N1", &shop.url)).await;
    demo.signed("/v1/payments", &order("N2", &shop.url)).await;
    demo.pay(&payment).await;
    let (headers, body) = shop.expect("payment.paid", payment["id"].as_str().unwrap()).await;
    said.0.push(("a callback".to_owned(), format!("{headers:?}{}", String::from_utf8_lossy(&body))));
    demo.refund(&payment, "9.00", "N1-R").await;
    shop.expect("refund.succeeded", payment["id"].as_str().unwrap()).await;
    // Proofs that fail: almost the right key, the right one in the wrong place.
    let base = demo.told("base_url");
    let almost = format!("Bearer {}x", demo.told("api_key"));
    for (path, authorization) in [("/v1/payments", almost.as_str()), ("/v1/account", "Basic c2s6")] {
        let headers = [("authorization", authorization)];
        said.0.push((path.to_owned(), demo.send(Method::Get, &format!("{base}{path}"), &headers, "").await.1));
    }
    let hook = json!({ "url": "http://127.0.0.1:9/hook" });
    let created = demo.api(Method::Post, "/v1/webhook_endpoints", &hook).await;
    let fresh = created["secret"].as_str().unwrap().to_owned();
    for path in ["/v1/webhook_endpoints", "/v1/events", "/v1/account", "/v1/payments", "/v1/ledger_entries"] {
        said.0.push((path.to_owned(), demo.api(Method::Get, path, &Value::Null).await.to_string()));
    }
    // The console: a wrong password, the right one, and the rooms where secrets live.
    let mut browser = Browser { demo: &demo, cookie: String::new(), said: Said::default() };
    browser.ask(Method::Get, "/console/login", "").await;
    let (user, password) = (demo.told("console_user"), demo.told("console_password"));
    let wrong = format!("{password}?");
    assert_eq!(browser.post("/console/login", &[("login", user), ("password", &wrong)]).await, 401);
    assert_eq!(browser.post("/console/login", &[("login", user), ("password", password)]).await, 303);
    let code = TotpSecret::parse_base32(demo.told("totp_secret")).unwrap().code_at(step_at(Env::system().now()));
    assert_eq!(browser.post("/console/login/code", &[("code", &code)]).await, 303);
    for path in [
        "/console",
        "/console/payments",
        "/console/callbacks",
        "/console/developers",
        "/console/settings",
        "/console/settings/people",
        "/console/settings/me",
        "/console/settings/audit",
    ] {
        assert_eq!(browser.ask(Method::Get, path, "").await, 200, "{path}");
    }
    let token = browser.cookie.split_once('=').unwrap().1.to_owned();
    said.0.extend(browser.said.0.drain(..).filter(|(_, text)| !text.contains("set-cookie")));
    demo.kill();
    let log = std::fs::read(logs.path("log")).unwrap();
    assert!(!log.is_empty(), "something was logged");
    said.0.push(("the log".to_owned(), String::from_utf8(log).unwrap()));
    let store = std::fs::read(folder.path("coffer.db")).unwrap();
    said.must_not_hold(&secrets);
    said.must_not_hold(&[("the new endpoint's secret", fresh.clone()), ("the session", token.clone())]);
    // In the file they stand in no form: neither as they are shown nor as the bytes behind it.
    let mut forms: Vec<(&str, Vec<u8>)> =
        secrets.iter().map(|(name, text)| (*name, text.clone().into_bytes())).collect();
    forms.extend([("endpoint", fresh.clone().into_bytes()), ("session", token.into_bytes())]);
    let bytes = |text: &str| BASE64.decode(text.trim_start_matches("whsec_").as_bytes()).unwrap();
    forms.extend([
        ("endpoint's bytes", bytes(&fresh)),
        ("callback bytes", bytes(demo_secret(&secrets, "callback_secret"))),
    ]);
    forms.push(("signing bytes", bytes(demo_secret(&secrets, "signing_secret"))));
    forms.push(("totp bytes", BASE32_NOPAD.decode(demo_secret(&secrets, "totp_secret").as_bytes()).unwrap()));
    forms.push(("master key", std::fs::read(folder.path("master.key")).unwrap()));
    for (name, form) in forms {
        assert!(!store.windows(form.len()).any(|window| window == form), "{name} stands in the store");
    }
    folder.run(&["verify"]).fine();
}

fn demo_secret<'a>(secrets: &'a [(&str, String)], name: &str) -> &'a str {
    &secrets.iter().find(|(other, _)| *other == name).unwrap().1
}
