//! Outgoing calls over TLS: which certificates are believed. The files beside this one are for tests alone: a root, and
//! under it a certificate for `shop.test` that lives until 2120 and one that ended in 2020, both with `shop.key`.

use std::sync::Arc;

use coffer::env::http::HttpTransport;
use coffer::env::target::TargetPolicy;
use coffer::env::transport::{Limits, OutgoingResponse, Phase, SendError, TlsFault, Transport};
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
