//! Starting, running, stopping, and the commands that work meanwhile.

use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

use coffer::crypto::MasterKey;
use coffer::crypto::master_key::KEY_FILE;

use super::running::{Folder, Server, fixture};

#[test]
fn a_server_without_data_says_how_to_begin() {
    let folder = Folder::new();
    let err = folder.run(&["serve", "--listen", "127.0.0.1:0"]).refused(1);
    assert!(err.contains("there is no data in") && err.contains("coffer init"), "{err}");
}

#[test]
fn a_wrong_or_missing_master_key_is_named_at_start() {
    let folder = Folder::set_up();
    let right = MasterKey::read(&folder.path(KEY_FILE)).unwrap().version().to_string();
    let wrong = "00".repeat(32);
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let err = folder.run_with(&serve, &[("COFFER_MASTER_KEY", &wrong)]).refused(3);
    assert!(err.contains("wrong master key") && err.contains(&right) && !err.contains(&wrong), "{err}");
    std::fs::remove_file(folder.path(KEY_FILE)).unwrap();
    let err = folder.run(&serve).refused(3);
    assert!(err.contains("there is no master key at"), "{err}");
}

#[test]
fn a_terminated_server_stops_in_order() {
    let folder = Folder::set_up();
    let server = folder.serve();
    assert_eq!(server.get("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(server.get("/readyz"), (200, "ready\n".to_owned()));
    server.signal("TERM");
    let (code, log) = server.ended();
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("\"stopped\""), "{log}");
    assert!(!folder.path("coffer.sock").exists());
    // The store was closed: it opens again.
    let again = folder.serve();
    assert_eq!(again.get("/readyz").0, 200);
}

#[test]
fn two_servers_do_not_share_a_folder() {
    let folder = Folder::set_up();
    let _server = folder.serve();
    let err = folder.run(&["serve", "--listen", "127.0.0.1:0"]).refused(5);
    assert!(err.contains("another process has the data"), "{err}");
}

#[test]
fn a_port_that_is_taken_is_an_answer_and_not_a_trace() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = Folder::set_up();
    let err = folder.run(&["serve", "--listen", &taken.local_addr().unwrap().to_string()]).refused(1);
    assert!(err.contains("another program listens on"), "{err}");
}

#[test]
fn a_backup_is_taken_with_and_without_a_running_server_and_is_never_overwritten() {
    let folder = Folder::set_up();
    let out = folder.run(&["backup", "cold.db"]).fine();
    assert!(out.contains("cold.db"), "{out}");
    let server = folder.serve();
    let out = folder.run(&["backup", "warm.db"]).fine();
    assert!(out.contains("warm.db"), "{out}");
    let err = folder.run(&["backup", "warm.db"]).refused(1);
    assert!(err.contains("exists already"), "{err}");
    let out = folder.run(&["backup"]).fine();
    assert!(out.contains("backups/coffer-"), "{out}");
    drop(server);
    let elsewhere = Folder::new();
    for backup in ["cold.db", "warm.db"] {
        let from = folder.path(backup);
        elsewhere.run(&["restore", from.to_str().unwrap()]).fine();
        let err = elsewhere.run(&["restore", from.to_str().unwrap()]).refused(1);
        assert!(err.contains("is not overwritten"), "{err}");
        std::fs::remove_file(elsewhere.path("coffer.db")).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn nobody_else_can_give_orders_to_a_running_server() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::set_up();
    let _server = folder.serve();
    let mode = std::fs::metadata(folder.path("coffer.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn metrics_are_for_this_machine() {
    let folder = Folder::set_up();
    let server = folder.serve();
    server.get("/readyz");
    let (status, text) = server.get("/metrics");
    assert_eq!(status, 200);
    assert!(text.contains("coffer_http_requests_total{class=\"signals\",status=\"200\"}"), "{text}");
}

#[test]
fn a_new_certificate_is_taken_over_and_one_that_does_not_fit_is_not() {
    let folder = Folder::set_up();
    let copy = |from: &str, to: &str| std::fs::copy(fixture(from), folder.path(to)).unwrap();
    copy("one.cert.pem", "cert.pem");
    copy("one.key.pem", "key.pem");
    folder.write("coffer.toml", "[tls]\ncert_file = \"cert.pem\"\nkey_file = \"key.pem\"");
    let mut server = folder.serve();
    let certificate = |name: &str| {
        use rustls::pki_types::pem::PemObject;
        CertificateDer::from_pem_file(fixture(name)).unwrap()
    };
    assert_eq!(shown(&server), certificate("one.cert.pem"));
    copy("two.cert.pem", "cert.pem");
    server.signal("HUP");
    server.logged("the changed certificate cannot be used; the one before stays in use");
    assert_eq!(shown(&server), certificate("one.cert.pem"));
    copy("two.key.pem", "key.pem");
    server.signal("HUP");
    server.logged("a new certificate is in use");
    assert_eq!(shown(&server), certificate("two.cert.pem"));
}

/// The certificate that the server shows.
fn shown(server: &Server) -> CertificateDer<'static> {
    let seen = Arc::new(Seen::default());
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(seen.clone())
        .with_no_client_auth();
    let name = ServerName::try_from("coffer.test").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = std::net::TcpStream::connect(server.address).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).unwrap();
    }
    let seen = seen.0.lock().unwrap().take();
    seen.unwrap()
}

/// Believes everything and remembers it.
#[derive(Debug, Default)]
struct Seen(Mutex<Option<CertificateDer<'static>>>);

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap() = Some(end_entity.clone().into_owned());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

#[test]
fn a_request_under_way_is_answered_before_the_server_stops() {
    use std::io::{Read, Write};
    let folder = Folder::set_up();
    let mut server = folder.serve();
    let token = folder.run(&["key", "create", "--name", "k"]).fine().lines().last().unwrap().to_owned();
    let body = r#"{"amount":{"currency":"CNY","value":"9.90"},"order_id":"1","description":"Mug"}"#;
    let mut stream = std::net::TcpStream::connect(server.address).unwrap();
    let head = format!(
        "POST /v1/payments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut go_on = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    server.signal("TERM");
    server.logged("stopping: running requests may finish");
    stream.write_all(body.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 201"), "{reply}");
    assert_eq!(server.ended().0, 0);
    folder.run(&["verify"]).fine();
}

#[test]
fn requests_that_two_readers_would_split_differently_are_refused() {
    use std::io::{Read, Write};
    let folder = Folder::set_up();
    let server = folder.serve();
    for framing in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: xchunked",
        "Content-Length: +5",
        "Content-Length: 5, 5",
        "Content-Length : 5",
    ] {
        let mut stream = std::net::TcpStream::connect(server.address).unwrap();
        let smuggled = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
        let all = format!("POST /v1/payments HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n0\r\n\r\n{smuggled}");
        stream.write_all(all.as_bytes()).unwrap();
        // The server may have closed already, which is a refusal too.
        drop(stream.shutdown(std::net::Shutdown::Write));
        let mut reply = String::new();
        drop(stream.read_to_string(&mut reply));
        assert!(!reply.contains("200 OK"), "{framing:?} let a hidden request through:\n{reply}");
        assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 4"), "{framing:?}: {reply}");
    }
}

#[test]
fn a_simulator_speaks_tls_only_with_both_files() {
    let folder = Folder::new();
    let sim = ["sim", "--listen", "127.0.0.1:0", "--tls-cert", "cert.pem"];
    assert!(folder.run(&sim).refused(2).contains("--tls-key"));
    let both = [&sim[..], &["--tls-key", "key.pem"]].concat();
    let err = folder.run(&both).refused(3);
    assert!(err.contains("cert.pem"), "{err}");
}
