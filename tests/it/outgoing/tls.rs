//! Outgoing calls over TLS: which certificates are believed. The files beside this one are for tests alone: a root, and
//! under it a certificate for `shop.test` that lives until 2120 and one that ended in 2020, both with `shop.key`.

use std::sync::{Arc, Mutex};

use coffer::crypto::Secret;
use coffer::crypto::rsa::{Digest, RsaSigner};
use coffer::domain::time::Timestamp;
use coffer::env::http::HttpTransport;
use coffer::env::identity::{BadIdentity, ClientIdentity};
use coffer::env::target::TargetPolicy;
use coffer::env::transport::{Limits, OutgoingRequest, OutgoingResponse, Phase, SendError, TlsFault, Transport};
use coffer::sandbox::provider::certificate::{self, Contents, Part};
use coffer::server::tls::AnyClient;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::server::Server;
use super::{OK, Script, as_public, post, short};

const ROOT: &[u8] = include_bytes!("root.pem");
const SHOP: &[u8] = include_bytes!("shop.pem");
const EXPIRED: &[u8] = include_bytes!("expired.pem");
const KEY: &[u8] = include_bytes!("shop.key");

fn certificate(pem: &[u8]) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem).unwrap()
}

/// Answers over TLS with the certificate and notes the names that clients asked for as one request each.
async fn secure(chain: &[u8]) -> Server {
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate(chain)], PrivateKeyDer::from_pem_slice(KEY).unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Server::serving(move |stream, server| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            assert_eq!(stream.get_ref().1.server_name(), Some("shop.test"));
            server.converse(stream, OK).await;
        }
    })
    .await
}

async fn call(server: &Server, host: &str, roots: &[CertificateDer<'_>]) -> Result<OutgoingResponse, SendError> {
    let transport = HttpTransport::new(Arc::new(Script::new(&[&["127.0.0.1"]])), roots).unwrap();
    let policy = TargetPolicy { https_only: true, ..as_public(server.address) };
    let request = post(format!("https://{host}:{}/hook", server.address.port()));
    transport.send(request, &policy, Limits::default()).await
}

#[tokio::test]
async fn the_name_and_not_the_address_is_asked_for_and_checked() {
    let server = secure(SHOP).await;
    assert_eq!(call(&server, "shop.test", &[certificate(ROOT)]).await.unwrap().status, 200);
    let request = String::from_utf8(server.requests().remove(0)).unwrap();
    assert!(request.contains(&format!("host: shop.test:{}\r\n", server.address.port())));
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let server = secure(SHOP).await;
    let result = call(&server, "other.test", &[certificate(ROOT)]).await;
    assert_eq!(result, Err(SendError::Tls { fault: TlsFault::WrongName }));
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let server = secure(EXPIRED).await;
    let result = call(&server, "shop.test", &[certificate(ROOT)]).await;
    assert_eq!(result, Err(SendError::Tls { fault: TlsFault::Expired }));
}

#[tokio::test]
async fn a_certificate_of_an_unknown_issuer_is_refused() {
    let server = secure(SHOP).await;
    let result = call(&server, "shop.test", &[]).await;
    assert_eq!(result, Err(SendError::Tls { fault: TlsFault::UnknownIssuer }));
}

#[tokio::test]
async fn a_port_that_does_not_speak_tls_is_told_apart_from_one_that_says_nothing() {
    let plain = Server::serving(|mut stream, _| async move {
        use tokio::io::AsyncWriteExt;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    let result = call(&plain, "shop.test", &[]).await;
    assert_eq!(result, Err(SendError::Tls { fault: TlsFault::Handshake }));

    let silent = Server::answering(b"").await;
    let transport = HttpTransport::new(Arc::new(Script::new(&[&["127.0.0.1"]])), &[]).unwrap();
    let request = post(format!("https://shop.test:{}/", silent.address.port()));
    let result = transport.send(request, &as_public(silent.address), short()).await;
    assert_eq!(result, Err(SendError::Timeout { phase: Phase::Handshake }));
}

/// A merchant's key as DER, and a certificate for it.
fn merchant(name: &str) -> (Secret, Vec<u8>) {
    let key = crate::keys::fixed()();
    (Secret::new(key.expose()), certificate_of(&key, name))
}

fn certificate_of(key: &Secret, name: &str) -> Vec<u8> {
    let key = RsaSigner::from_der(key.expose()).unwrap();
    let contents = Contents {
        serial: &[1],
        issuer: &[(Part::Common, name)],
        subject: &[(Part::Common, name)],
        not_before: Timestamp::from_seconds(0),
        not_after: Timestamp::from_seconds(4_000_000_000),
        public_key: &key.public().to_spki(),
        authority: false,
        digest: Digest::Sha256,
    };
    certificate::write(&contents, |body| key.sign_sha256(body))
}

/// The certificate that each connection's client showed.
type Shown = Arc<Mutex<Vec<Option<Vec<u8>>>>>;

/// Asks clients for a certificate, and turns away who has none if it is `needed`.
async fn asking(needed: bool) -> (Server, Shown) {
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(Arc::new(AnyClient { needed }))
        .with_single_cert(vec![certificate(SHOP)], PrivateKeyDer::from_pem_slice(KEY).unwrap())
        .unwrap();
    let (acceptor, shown) = (TlsAcceptor::from(Arc::new(config)), Shown::default());
    let noted = Arc::clone(&shown);
    let server = Server::serving(move |stream, server| {
        let (acceptor, noted) = (acceptor.clone(), Arc::clone(&noted));
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let certificates = stream.get_ref().1.peer_certificates();
            noted.lock().unwrap().push(certificates.and_then(|chain| chain.first()).map(|leaf| leaf.to_vec()));
            server.converse(stream, OK).await;
        }
    })
    .await;
    (server, shown)
}

#[tokio::test]
async fn who_is_asked_for_a_certificate_shows_that_of_the_request() {
    let (server, shown) = asking(true).await;
    let transport = HttpTransport::new(Arc::new(Script::new(&[&["127.0.0.1"]])), &[certificate(ROOT)]).unwrap();
    let policy = TargetPolicy { https_only: true, ..as_public(server.address) };
    let call = async |identity: Option<ClientIdentity>| {
        let request = OutgoingRequest { identity, ..post(format!("https://shop.test:{}/", server.address.port())) };
        transport.send(request, &policy, Limits::default()).await
    };
    let (key, certificate) = merchant("1900000101");
    let identity = ClientIdentity::new(&certificate, &key).unwrap();
    assert_eq!(call(Some(identity)).await.unwrap().status, 200);
    assert_eq!(*shown.lock().unwrap(), [Some(certificate)]);

    assert!(call(None).await.is_err(), "turned away");
    assert_eq!(server.requests().len(), 1, "and unheard");
}

#[tokio::test]
async fn a_connection_is_never_used_for_another_identity() {
    let (server, shown) = asking(false).await;
    let transport = HttpTransport::new(Arc::new(Script::new(&[&["127.0.0.1"]])), &[certificate(ROOT)]).unwrap();
    let policy = TargetPolicy { https_only: true, ..as_public(server.address) };
    let ((key, certificate), other) = (merchant("1900000101"), merchant("1900000102"));
    let identity = ClientIdentity::new(&certificate, &key).unwrap();
    let same_certificate = ClientIdentity::new(&certificate, &key).unwrap();
    let other_identity = ClientIdentity::new(&other.1, &other.0).unwrap();
    let one = || Some(identity.clone());
    let callers = [one(), one(), None, None, Some(other_identity), one(), Some(same_certificate), one(), None];
    for caller in &callers {
        let request = OutgoingRequest {
            identity: caller.clone(),
            ..post(format!("https://shop.test:{}/", server.address.port()))
        };
        transport.send(request, &policy, Limits::default()).await.unwrap();
    }
    assert_eq!(server.requests().len(), callers.len());
    let expected = [Some(certificate.clone()), None, Some(other.1), Some(certificate)];
    assert_eq!(*shown.lock().unwrap(), expected, "each of the four has a connection of its own, and keeps it");
}

#[test]
fn an_identity_is_a_key_with_its_own_certificate() {
    let (key, certificate) = merchant("1900000101");
    assert!(ClientIdentity::new(&certificate, &Secret::new("not a key")).is_err());
    let foreign =
        certificate_of(&Secret::new(coffer::crypto::rsa::der_in(crate::keys::second()).unwrap()), "1900000101");
    assert_eq!(ClientIdentity::new(&foreign, &key), Err(BadIdentity));
    let pkcs1 = coffer::crypto::rsa::to_pkcs1(key.expose()).unwrap();
    assert!(ClientIdentity::new(&certificate, &pkcs1).is_ok(), "in either form");
}
