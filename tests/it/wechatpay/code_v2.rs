//! Shown codes through V2, adapter against simulator: over HTTP, and over TLS where a certificate is asked for.

use std::sync::Arc;

use actix_web::web;
use coffer::channels::wechatpay::{Credentials, WechatPay};
use coffer::channels::{Channel, ChannelError, CreateOrder, Observation, Order, Prepared};
use coffer::cli::config::Inputs;
use coffer::crypto::Certificate;
use coffer::crypto::rsa::der_in;
use coffer::domain::method::Method;
use coffer::domain::time::Duration;
use coffer::env::Env;
use coffer::env::http::HttpTransport;
use coffer::env::identity::ClientIdentity;
use coffer::env::resolver::{Resolver, Resolving};
use coffer::env::target::TargetPolicy;
use coffer::env::transport::{Limits, OutgoingRequest, OutgoingResponse, Transport};
use coffer::sandbox::provider::fault::Fault;
use coffer::sandbox::provider::pages::Controls;
use coffer::sandbox::provider::records::Mood;
use coffer::sandbox::wechatpay::Mode;
use coffer::server::tls::{Certificates, Clients, TlsFiles};
use coffer::signals::Signals;
use coffer::signals::metrics::{Metrics, Observed, Outgoing};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::site::{Site, about, credentials, yuan};
use crate::troubled::{TROUBLED, is_unknown};

const MODE: Mode = Mode::PublicKey;

async fn record(site: &Site) -> Credentials {
    let side = site.simulators.wechatpay.merchant(MODE).await.unwrap();
    Credentials { code_v2_key: Some(side.api_v2_key.clone()), ..credentials(&side, MODE) }
}

async fn open() -> Site {
    let site = Site::open(MODE).await;
    site.reopen(&record(&site).await.to_secret());
    site
}

async fn shown(site: &Site, mood: Mood) -> CreateOrder {
    let auth_code = Some(site.show_code(mood).await);
    CreateOrder { auth_code, ..site.create(Method::WechatBarcode) }
}

fn charge(create: &CreateOrder) -> Order {
    Order::Create(create.clone())
}

fn reverse(create: &CreateOrder) -> Order {
    Order::Close(about(create))
}

#[tokio::test]
async fn a_code_is_charged_once_and_refunded_over_v3() {
    let site = open().await;
    let paid = shown(&site, Mood::Pays).await;
    let Ok(Observation::Paid(facts)) = site.ask(&charge(&paid)).await else { panic!("paid") };
    assert_eq!((facts.amount, &facts.identity), (yuan(1230), &Ok(())));
    assert_eq!(site.query(&paid).await, Ok(Observation::Paid(facts.clone())));
    let mut by_id = about(&paid);
    by_id.transaction_id = Some(facts.transaction_id.clone());
    assert_eq!(site.ask(&Order::Query(by_id)).await, Ok(Observation::Paid(facts.clone())));
    assert!(is_unknown(&site.ask(&charge(&paid)).await), "paid already, so it is asked about and never given up");

    let part = site.refund(&paid, 1000);
    let accepted = site.ask(&Order::Refund(part.clone())).await;
    assert!(matches!(accepted, Ok(Observation::RefundProcessing { .. })), "{accepted:?}");
    site.skip(Duration::from_minutes(1)).await;
    let done = site.ask(&Order::QueryRefund(part.about)).await;
    assert!(matches!(done, Ok(Observation::RefundSucceeded { amount, .. }) if amount == yuan(1000)), "{done:?}");
    assert_eq!(site.query(&paid).await, Ok(Observation::Paid(facts)), "refunded in part is still paid");
    let too_late = site.ask(&reverse(&paid)).await;
    assert!(is_unknown(&too_late), "what is refunded cannot be reversed: {too_late:?}");
    site.close().await;
}

#[tokio::test]
async fn a_password_takes_its_time_and_too_much_of_it_is_reversed() {
    let site = open().await;
    let slow = shown(&site, Mood::AskedForPassword).await;
    assert_eq!(site.ask(&charge(&slow)).await, Ok(Observation::NotPaid));
    assert_eq!(site.ask(&charge(&slow)).await, Ok(Observation::NotPaid), "asking again is asking once");
    assert_eq!(site.query(&slow).await, Ok(Observation::NotPaid));
    site.skip(Duration::from_seconds(10)).await;
    assert!(matches!(site.query(&slow).await, Ok(Observation::Paid(_))));

    site.faults(&[Fault::PasswordLate]).await;
    let slower = shown(&site, Mood::AskedForPassword).await;
    assert_eq!(site.ask(&charge(&slower)).await, Ok(Observation::NotPaid));
    site.skip(Duration::from_seconds(45)).await;
    assert_eq!(site.query(&slower).await, Ok(Observation::NotPaid));
    for create in [&slower, &slow] {
        assert_eq!(site.ask(&reverse(create)).await, Ok(Observation::Closed));
        assert_eq!(site.ask(&reverse(create)).await, Ok(Observation::Closed), "reversing twice is reversing once");
    }
    site.skip(Duration::from_minutes(10)).await;
    for create in [&slower, &slow] {
        assert_eq!(site.query(create).await, Ok(Observation::Closed), "no money comes any more");
        assert!(is_unknown(&site.ask(&charge(create)).await));
    }
    assert!(site.told().await.is_empty(), "this way of paying never notifies");
    site.close().await;
}

#[tokio::test]
async fn what_is_refused_says_why() {
    let site = open().await;
    let short = shown(&site, Mood::BalanceShort).await;
    let refused = site.ask(&charge(&short)).await;
    assert!(matches!(&refused, Ok(Observation::Refused { code, .. }) if code == "NOTENOUGH"), "{refused:?}");
    let stubborn = shown(&site, Mood::Refuses).await;
    assert!(is_unknown(&site.ask(&charge(&stubborn)).await), "an error of the trade is asked about");
    for create in [&short, &stubborn] {
        assert!(matches!(site.query(create).await, Ok(Observation::Declined { .. })));
    }
    let stale = CreateOrder { auth_code: Some("134567890123456789".to_owned()), ..site.create(Method::WechatBarcode) };
    let refused = site.ask(&charge(&stale)).await;
    assert!(matches!(&refused, Ok(Observation::Refused { code, .. }) if code == "AUTHCODEEXPIRE"), "{refused:?}");
    assert_eq!(site.query(&stale).await, Ok(Observation::NotFound));
    assert_eq!(site.ask(&reverse(&stale)).await, Ok(Observation::NotFound));
    // The number cannot be given to another order.
    let waits = shown(&site, Mood::AskedForPassword).await;
    site.ask(&charge(&waits)).await.unwrap();
    let other = CreateOrder { amount: yuan(1), auth_code: Some(site.show_code(Mood::Pays).await), ..waits.clone() };
    assert!(is_unknown(&site.ask(&charge(&other)).await), "there is an order under this number");
    // Nobody without the key is served, and nobody with another app.
    let wrong_key = Credentials { code_v2_key: Some("0".repeat(32)), ..record(&site).await };
    site.reopen(&wrong_key.to_secret());
    let refused = site.query(&waits).await;
    assert!(matches!(refused, Err(ChannelError::Credentials { .. })), "{refused:?}");
    let mut wrong_app = record(&site).await;
    wrong_app.app_ids.default = "wx0000000000000000".to_owned();
    site.reopen(&wrong_app.to_secret());
    let refused = site.ask(&charge(&shown(&site, Mood::Pays).await)).await;
    assert!(
        matches!(&refused, Ok(Observation::Barred { code, .. }) if code == "APPID_MCHID_NOT_MATCH"),
        "nothing was made, and another account may take it: {refused:?}"
    );
    site.close().await;
}

#[tokio::test]
async fn whatever_happens_to_an_answer_the_truth_is_found_by_asking() {
    let site = open().await;
    for fault in TROUBLED {
        site.faults(&[fault]).await;
        let create = shown(&site, Mood::Pays).await;
        let first = site.ask(&charge(&create)).await;
        assert!(is_unknown(&first), "{fault:?}: {first:?}");
        // Asked what happened first; what never arrived is told again.
        let mut found = site.ask_on(&Order::Query(about(&create))).await;
        if found == Observation::NotFound {
            found = site.ask_on(&charge(&create)).await;
        }
        assert!(matches!(&found, Observation::Paid(facts) if facts.amount == yuan(1230)), "{fault:?}: {found:?}");

        site.faults(&[]).await;
        let other = shown(&site, Mood::Pays).await;
        site.ask(&charge(&other)).await.unwrap();
        site.faults(&[fault]).await;
        let paid = shown(&site, Mood::Pays).await;
        let mut taken = site.ask(&charge(&paid)).await;
        while !matches!(taken, Ok(Observation::Paid(_))) {
            assert!(is_unknown(&taken), "{fault:?}: {taken:?}");
            taken = match site.query(&paid).await {
                Ok(Observation::NotFound) => site.ask(&charge(&paid)).await,
                other => other,
            };
        }
        assert_eq!(site.ask_on(&reverse(&paid)).await, Observation::Closed, "{fault:?}: repeated until it is known");
        assert_eq!(site.ask_on(&Order::Query(about(&paid))).await, Observation::Closed, "{fault:?}");
        site.faults(&[]).await;
        assert!(matches!(site.query(&other).await, Ok(Observation::Paid(_))), "{fault:?}: the other one is untouched");
    }
    site.close().await;
}

#[tokio::test]
async fn both_interfaces_know_the_same_orders() {
    let site = Site::open(MODE).await;
    let by_v3 = shown(&site, Mood::Pays).await;
    let Ok(Observation::Paid(facts)) = site.ask(&charge(&by_v3)).await else { panic!("paid") };
    let v2 = record(&site).await.to_secret();
    let v3 = Credentials { code_v2_key: None, ..record(&site).await }.to_secret();
    site.reopen(&v2);
    assert_eq!(site.query(&by_v3).await, Ok(Observation::Paid(facts)));
    assert_eq!(site.ask(&reverse(&by_v3)).await, Ok(Observation::Closed));
    let by_v2 = shown(&site, Mood::AskedForPassword).await;
    assert_eq!(site.ask(&charge(&by_v2)).await, Ok(Observation::NotPaid));
    // The account changes back in the middle of a charge.
    site.reopen(&v3);
    assert_eq!(site.query(&by_v3).await, Ok(Observation::Closed));
    assert_eq!(site.query(&by_v2).await, Ok(Observation::NotPaid));
    assert_eq!(site.ask(&reverse(&by_v2)).await, Ok(Observation::Closed));
    site.close().await;
}

/// Every name is this machine.
struct Here;

impl Resolver for Here {
    fn resolve<'a>(&'a self, _: &'a str) -> Resolving<'a> {
        Box::pin(async { Ok(vec!["127.0.0.1".parse().unwrap()]) })
    }
}

#[tokio::test]
async fn over_tls_a_reversal_needs_the_merchants_own_certificate() {
    let site = Site::open(MODE).await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/outgoing/");
    let files =
        TlsFiles { cert_file: format!("{folder}shop.pem").into(), key_file: format!("{folder}shop.key").into() };
    let certificates = Certificates::load(files, Clients::Asked).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = Arc::new(Metrics::new(&Outgoing::default(), Observed::default));
    let signals = web::Data::new(Signals { env: Env::system(), metrics });
    let rooms = site.simulators.clone();
    let routes = move |config: &mut web::ServiceConfig| {
        config.configure(rooms.root_routes()).configure(rooms.routes(Controls::Open));
    };
    let inputs = Inputs { data_dir: Some("unused.db".into()), ..Inputs::default() };
    let config = inputs.load().unwrap().config.server;
    let listening = coffer::server::listen(&config, listener, Some(certificates), signals, routes).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(listening.until(async move { drop(stopped.await) }));

    let root = CertificateDer::from_pem_slice(include_bytes!("../outgoing/root.pem")).unwrap();
    let transport = HttpTransport::new(Arc::new(Here), &[root]).unwrap();
    let policy = TargetPolicy {
        https_only: true,
        ports: vec![address.port()],
        allow_subnets: vec!["127.0.0.1/32".parse().unwrap()],
        ..TargetPolicy::default()
    };
    let base = format!("https://shop.test:{}", address.port());
    let channel = WechatPay::open(record(&site).await.to_secret().expose(), &base).unwrap();
    let request = |order: &Order| {
        let Prepared::Call(request) = channel.request(order, &site.sealing()).unwrap() else { panic!("a call") };
        request
    };
    let send = async |request: OutgoingRequest| -> OutgoingResponse {
        transport.send(request, &policy, Limits::default()).await.unwrap()
    };
    let read = |order: &Order, response: &OutgoingResponse| channel.read_response(order, response, Env::system().now());

    let create = shown(&site, Mood::AskedForPassword).await;
    assert_eq!(read(&charge(&create), &send(request(&charge(&create))).await), Ok(Observation::NotPaid));
    let order = reverse(&create);
    let bare = OutgoingRequest { identity: None, ..request(&order) };
    let refused = send(bare).await;
    assert_eq!(refused.status, 400);
    assert!(matches!(read(&order, &refused), Err(ChannelError::Credentials { .. })));
    let other = site.simulators.wechatpay.merchant(Mode::Certificate).await.unwrap();
    let certificate = Certificate::read(&other.certificate).unwrap();
    let key = coffer::crypto::Secret::new(der_in(&other.private_key).unwrap());
    let stranger = ClientIdentity::new(certificate.to_der(), &key).unwrap();
    let foreign = send(OutgoingRequest { identity: Some(stranger), ..request(&order) }).await;
    assert!(matches!(read(&order, &foreign), Err(ChannelError::Credentials { .. })), "{}", foreign.status);
    let question = Order::Query(about(&create));
    assert_eq!(read(&question, &send(request(&question)).await), Ok(Observation::NotPaid), "nothing was reversed");
    assert_eq!(read(&order, &send(request(&order)).await), Ok(Observation::Closed));
    assert_eq!(read(&question, &send(request(&question)).await), Ok(Observation::Closed));
    drop(stop);
    server.await.unwrap().unwrap();
    site.close().await;
}
