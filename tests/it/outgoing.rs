//! Outgoing calls against real sockets on loopback: the guard, the limits, connections and the signed callback.
//!
//! The numbers in test names are those of the attack list in the security notes. Where a test needs a "public"
//! address, 127.0.0.1 is allowed as a subnet and stands for it; everything else on loopback stays forbidden.

mod server;
mod tls;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use coffer::callbacks::{self, Outcome, SigningSecrets, Trigger, WebhookSecret};
use coffer::domain::ids::EventId;
use coffer::domain::time::Duration;
use coffer::env::Env;
use coffer::env::http::HttpTransport;
use coffer::env::resolver::{Resolver, Resolving};
use coffer::env::target::{BlockReason, Range, TargetPolicy};
use coffer::env::transport::{
    ConnectFault, Limits, Method, OutgoingRequest, OutgoingResponse, Phase, SendError, Transport,
};
use server::Server;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Answers like a name server that changes its mind: each lookup takes the next answer, the last one stays.
#[derive(Clone)]
struct Script(Arc<Mutex<(VecDeque<Vec<IpAddr>>, usize)>>);

impl Script {
    fn new(answers: &[&[&str]]) -> Self {
        let parse = |ips: &&[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect();
        Self(Arc::new(Mutex::new((answers.iter().map(parse).collect(), 0))))
    }

    fn times_asked(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

impl Resolver for Script {
    fn resolve<'a>(&'a self, _host: &'a str) -> Resolving<'a> {
        let mut script = self.0.lock().unwrap();
        script.1 += 1;
        let answer = if script.0.len() > 1 { script.0.pop_front() } else { script.0.front().cloned() };
        Box::pin(async move { answer.ok_or_else(|| io::Error::other("no such host")) })
    }
}

/// A name server that never answers.
struct Silent;

impl Resolver for Silent {
    fn resolve<'a>(&'a self, _host: &'a str) -> Resolving<'a> {
        Box::pin(std::future::pending())
    }
}

fn transport() -> HttpTransport {
    HttpTransport::system(&[]).unwrap()
}

fn resolving(script: &Script) -> HttpTransport {
    HttpTransport::new(Arc::new(script.clone()), &[]).unwrap()
}

/// Demo and test mode: loopback may be called where the URL says so.
fn local() -> TargetPolicy {
    TargetPolicy { allow_loopback: true, ..TargetPolicy::default() }
}

/// The server's address counts as public; its port and plain http are allowed.
fn as_public(server: SocketAddr) -> TargetPolicy {
    TargetPolicy {
        https_only: false,
        ports: vec![server.port()],
        allow_subnets: vec!["127.0.0.1/32".parse().unwrap()],
        ..TargetPolicy::default()
    }
}

fn post(url: impl Into<String>) -> OutgoingRequest {
    OutgoingRequest { method: Method::Post, url: url.into(), headers: Vec::new(), body: b"{}".to_vec(), identity: None }
}

fn named(server: &Server) -> OutgoingRequest {
    post(format!("http://shop.test:{}/hook", server.address.port()))
}

fn short() -> Limits {
    Limits { connect: Duration::from_millis(100), total: Duration::from_millis(100), ..Limits::default() }
}

async fn send(
    transport: &HttpTransport,
    request: OutgoingRequest,
    policy: &TargetPolicy,
) -> Result<OutgoingResponse, SendError> {
    transport.send(request, policy, Limits::default()).await
}

fn blocked(range: Range, address: &str) -> Result<OutgoingResponse, SendError> {
    Err(SendError::Blocked { reason: BlockReason::Address { address: address.parse().unwrap(), range } })
}

#[tokio::test]
async fn a_request_arrives_byte_for_byte_with_host_and_length() {
    let server = Server::answering(OK).await;
    let request = OutgoingRequest {
        headers: vec![("content-type".into(), "application/json".into())],
        body: "{\"名\":\"杯子\"}\n".into(),
        ..post(format!("http://{}/hook?a=1&b=%2F", server.address))
    };
    let reply = send(&transport(), request, &local()).await.unwrap();
    assert_eq!((reply.status, reply.body.as_slice(), reply.truncated), (200, b"ok".as_slice(), false));
    assert_eq!((reply.address, reply.header("content-length")), (server.address, Some("2")));

    let received = String::from_utf8(server.requests().remove(0)).unwrap();
    let (head, body) = received.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "{\"名\":\"杯子\"}\n");
    let mut lines: Vec<_> = head.lines().collect();
    assert_eq!(lines.remove(0), "POST /hook?a=1&b=%2F HTTP/1.1");
    lines.sort_unstable();
    let host = format!("host: {}", server.address);
    assert_eq!(lines, ["content-length: 17", "content-type: application/json", &host]);
}

#[tokio::test]
async fn headers_that_frame_or_break_the_message_are_refused() {
    let server = Server::answering(OK).await;
    for (name, value) in [
        ("x-a", "1\r\nx-b: 2"),
        ("x a", "1"),
        ("Host", "evil.example"),
        ("content-length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("connection", "close"),
    ] {
        let request = OutgoingRequest {
            headers: vec![(name.into(), value.into())],
            ..post(format!("http://{}/", server.address))
        };
        assert_eq!(send(&transport(), request, &local()).await, Err(SendError::InvalidRequest), "{name}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn attack_46_metadata_host_names_are_refused_by_their_address() {
    for (host, address, range) in [
        ("metadata.google.internal", "169.254.169.254", Range::LinkLocal),
        ("metadata.tencentyun.com", "169.254.0.23", Range::LinkLocal),
        ("metadata.aliyun.example", "100.100.100.200", Range::SharedNat),
        ("instance-data.ec2.internal", "fd00:ec2::254", Range::Private),
        ("127.0.0.1.nip.example", "127.0.0.1", Range::Loopback),
        ("mapped.example", "::ffff:10.0.0.1", Range::Translated),
    ] {
        let transport = resolving(&Script::new(&[&[address]]));
        let result = send(&transport, post(format!("https://{host}/")), &TargetPolicy::default()).await;
        assert_eq!(result, blocked(range, address), "{host}");
    }
}

#[tokio::test]
async fn attack_47_a_name_that_turns_private_is_refused_at_the_next_attempt() {
    let server = Server::answering(OK).await;
    let script = Script::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let (transport, policy) = (resolving(&script), as_public(server.address));
    assert!(send(&transport, named(&server), &policy).await.is_ok());
    assert_eq!(script.times_asked(), 1, "the address that was checked is the one that was called");
    // The connection of the first call still rests; it must not carry the second.
    assert_eq!(send(&transport, named(&server), &policy).await, blocked(Range::Loopback, "127.0.0.2"));
    assert_eq!((script.times_asked(), server.requests().len()), (2, 1));
}

#[tokio::test]
async fn attack_48_one_private_address_among_public_ones_refuses_the_name() {
    let server = Server::answering(OK).await;
    for (answer, bad, range) in [
        (["127.0.0.1", "fd00::1"], "fd00::1", Range::Private),
        (["10.0.0.1", "127.0.0.1"], "10.0.0.1", Range::Private),
        (["127.0.0.1", "::1"], "::1", Range::Loopback),
    ] {
        let transport = resolving(&Script::new(&[&answer]));
        let result = send(&transport, named(&server), &as_public(server.address)).await;
        assert_eq!(result, blocked(range, bad));
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn attack_49_redirects_are_answers_and_are_not_followed() {
    let inner = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    inner.set_nonblocking(true).unwrap();
    let to = inner.local_addr().unwrap();
    for status in [301, 302, 303, 307, 308] {
        let reply = format!("HTTP/1.1 {status} Moved\r\nlocation: http://{to}/\r\ncontent-length: 0\r\n\r\n");
        let server = Server::answering(reply.into_bytes()).await;
        let reply = send(&transport(), post(format!("http://{}/", server.address)), &local()).await.unwrap();
        assert_eq!((reply.status, reply.header("location")), (status, Some(format!("http://{to}/").as_str())));
    }
    assert_eq!(inner.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn attack_50_disputed_urls_are_refused_before_any_lookup() {
    let script = Script::new(&[&["127.0.0.1"]]);
    let transport = resolving(&script);
    for (url, reason) in [
        ("https://good.example@evil.example/", BlockReason::UserInfo),
        ("https://evil.example/#@good.example", BlockReason::Fragment),
        ("https://evil.example\\@good.example/", BlockReason::BadUrl),
        ("https://ev\til.example/", BlockReason::BadUrl),
    ] {
        let result = send(&transport, post(url), &TargetPolicy::default()).await;
        assert_eq!(result, Err(SendError::Blocked { reason }), "{url:?}");
    }
    assert_eq!(script.times_asked(), 0);
}

#[tokio::test]
async fn attack_51_a_failed_lookup_is_a_failure() {
    let policy = TargetPolicy::default();
    for script in [Script::new(&[]), Script::new(&[&[]])] {
        let result = send(&resolving(&script), post("https://shop.test/"), &policy).await;
        assert_eq!(result, Err(SendError::Dns));
    }
    let silent = HttpTransport::new(Arc::new(Silent), &[]).unwrap();
    let result = silent.send(post("https://shop.test/"), &policy, short()).await;
    assert_eq!(result, Err(SendError::Timeout { phase: Phase::Lookup }));
}

#[tokio::test]
async fn attack_52_an_endpoint_that_never_answers_is_given_up() {
    let server = Server::answering(b"").await;
    let request = post(format!("http://{}/", server.address));
    let result = transport().send(request, &local(), short()).await;
    assert_eq!(result, Err(SendError::Timeout { phase: Phase::Reply }));
}

#[tokio::test]
async fn attack_52_an_answer_that_never_ends_is_given_up_though_it_makes_progress() {
    let head = "HTTP/1.1 200 OK\r\n\r\n";
    let server = Server::endless(head, b"a").await;
    let limits = Limits { reply_max: usize::MAX, ..short() };
    let result = transport().send(post(format!("http://{}/", server.address)), &local(), limits).await;
    assert_eq!(result, Err(SendError::Timeout { phase: Phase::Reply }));
}

#[tokio::test]
async fn attack_52_a_huge_answer_is_cut_at_the_limit() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n";
    let server = Server::endless(head, &[b'a'; 8192]).await;
    let reply = send(&transport(), post(format!("http://{}/", server.address)), &local()).await.unwrap();
    assert_eq!((reply.status, reply.body.len(), reply.truncated), (200, 64 * 1024, true));
}

#[tokio::test]
async fn attack_52_a_head_without_end_is_not_an_answer() {
    let server = Server::endless("HTTP/1.1 200 OK\r\n", b"x-a: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n").await;
    let result = send(&transport(), post(format!("http://{}/", server.address)), &local()).await;
    assert_eq!(result, Err(SendError::Protocol));
}

#[tokio::test]
async fn attack_53_other_services_ports_are_not_called() {
    let script = Script::new(&[&["127.0.0.1"]]);
    let transport = resolving(&script);
    for port in [22, 25, 6379] {
        let request = post(format!("https://shop.test:{port}/"));
        let result = send(&transport, request, &TargetPolicy::default()).await;
        assert_eq!(result, Err(SendError::Blocked { reason: BlockReason::Port { port } }));
    }
    assert_eq!(script.times_asked(), 0);
}

#[tokio::test]
async fn coffer_does_not_call_itself() {
    let server = Server::answering(OK).await;
    let policy = TargetPolicy { own_listeners: vec![server.address], ..local() };
    let result = send(&transport(), post(format!("http://{}/", server.address)), &policy).await;
    assert_eq!(result, Err(SendError::Blocked { reason: BlockReason::OwnListener }));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn calls_one_after_the_other_share_a_connection() {
    let server = Server::answering(OK).await;
    let transport = transport();
    for _ in 0..5 {
        send(&transport, post(format!("http://{}/", server.address)), &local()).await.unwrap();
    }
    assert_eq!((server.connections(), server.requests().len()), (1, 5));
}

#[tokio::test]
async fn a_resting_connection_is_judged_by_the_policy_of_the_call_that_wants_it() {
    let server = Server::answering(OK).await;
    let transport = transport();
    let request = || post(format!("http://{}/", server.address));
    send(&transport, request(), &local()).await.unwrap();
    assert_eq!(
        send(
            &transport,
            request(),
            &TargetPolicy { https_only: false, ports: vec![server.address.port()], ..TargetPolicy::default() }
        )
        .await,
        blocked(Range::Loopback, "127.0.0.1")
    );
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_connection_that_the_shop_closes_or_whose_answer_was_cut_is_not_used_again() {
    for (reply, reply_max) in
        [(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok".as_slice(), 100), (OK, 1)]
    {
        let server = Server::answering(reply).await;
        let transport = transport();
        for _ in 0..3 {
            let limits = Limits { reply_max, ..Limits::default() };
            let reply = transport.send(post(format!("http://{}/", server.address)), &local(), limits).await.unwrap();
            assert_eq!((reply.body.len(), reply.truncated), (reply_max.min(2), reply_max < 2));
        }
        assert_eq!(server.connections(), 3);
    }
}

#[tokio::test]
async fn answers_of_exactly_the_limit_are_whole() {
    let server = Server::answering(OK).await;
    let limits = Limits { reply_max: 2, ..Limits::default() };
    let reply = transport().send(post(format!("http://{}/", server.address)), &local(), limits).await.unwrap();
    assert_eq!((reply.body.as_slice(), reply.truncated), (b"ok".as_slice(), false));
}

#[tokio::test]
async fn a_second_address_is_tried_when_the_first_refuses() {
    let server = Server::answering(OK).await;
    // Nobody listens on this one's port, because the server is bound to 127.0.0.1 alone.
    let script = Script::new(&[&["127.0.0.3", "127.0.0.1"]]);
    let policy = TargetPolicy { allow_subnets: vec!["127.0.0.0/8".parse().unwrap()], ..as_public(server.address) };
    assert_eq!(send(&resolving(&script), named(&server), &policy).await.unwrap().address, server.address);
}

#[tokio::test]
async fn failures_are_told_apart() {
    // Bound, so that nobody else takes the port, and not listening.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/", closed.local_addr().unwrap());
    let refused = send(&transport(), post(url), &local()).await;
    assert_eq!(refused, Err(SendError::Connect { fault: ConnectFault::Refused }));

    for broken in [b"nonsense\r\n\r\n".as_slice(), b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"] {
        let server = Server::answering(broken).await;
        let result = send(&transport(), post(format!("http://{}/", server.address)), &local()).await;
        assert_eq!(result, Err(SendError::Protocol));
        assert!(result.unwrap_err().may_have_arrived());
    }
}

/// The receiver's side is a library that knows nothing of ours.
#[tokio::test]
async fn an_independent_receiver_accepts_a_delivered_callback() {
    let server = Server::answering(OK).await;
    let env = Env::system();
    let (fresh, old) = (WebhookSecret::generate(env.entropy.as_ref()), WebhookSecret::generate(env.entropy.as_ref()));
    let secrets = SigningSecrets { current: fresh.clone(), older: vec![old.clone()] };
    let event = EventId::new(env.now(), env.random());
    let body = "{\"type\":\"payment.paid\",\"data\":{\"description\":\"杯子\"}}";
    let url = format!("http://{}/hook", server.address);
    let request = callbacks::build_request(event, body.into(), &url, &secrets, env.now());
    let transcript =
        callbacks::attempt(&transport(), env.clock.as_ref(), request, Trigger::Test, &local(), Limits::default()).await;
    assert_eq!(transcript.outcome, Outcome::Answered { status: 200, retry_after: None });
    assert_eq!((transcript.address, transcript.reply_excerpt.as_str()), (Some(server.address), "ok"));
    assert_eq!((transcript.url.as_str(), transcript.trigger), (url.as_str(), Trigger::Test));
    assert_eq!(transcript.request_headers[4].1, "v1,… v1,…");

    let received = String::from_utf8(server.requests().remove(0)).unwrap();
    let (head, payload) = received.split_once("\r\n\r\n").unwrap();
    let headers: hyper::HeaderMap = head
        .lines()
        .skip(1)
        .map(|line| line.split_once(": ").unwrap())
        .map(|(n, v)| (n.parse::<hyper::header::HeaderName>().unwrap(), v.parse().unwrap()))
        .collect();
    assert_eq!(headers["webhook-id"], event.to_string().as_str());
    for secret in [&fresh, &old] {
        let receiver = standardwebhooks::Webhook::new(secret.to_text().expose_str().unwrap()).unwrap();
        receiver.verify(payload.as_bytes(), &headers).unwrap();
        assert!(receiver.verify(payload.replace("paid", "lost").as_bytes(), &headers).is_err());
    }
    let stranger = WebhookSecret::generate(env.entropy.as_ref());
    let stranger = standardwebhooks::Webhook::new(stranger.to_text().expose_str().unwrap()).unwrap();
    assert!(stranger.verify(payload.as_bytes(), &headers).is_err());
}
