//! What public SDKs read of the simulator's answers, below what an HTTP library shows.

use coffer::sandbox::wechatpay::Mode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::site::Site;

/// `wechatpay-java` keeps an answer's headers in a plain map and looks for `Wechatpay-Timestamp`, letter by letter.
#[tokio::test]
async fn headers_are_named_as_the_provider_writes_them() {
    let site = Site::open(Mode::PublicKey).await;
    let host = site.base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let path = "/sim/wechatpay/v3/certificates";
    let asked = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nUser-Agent: test\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(body.contains("SIGN_ERROR"), "{answer}");
    let names: Vec<&str> = head.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0)).collect();
    assert!(names.contains(&"Content-Type"), "{head}");
    let written = |name: &&str| name.split('-').all(|part| part.starts_with(|first: char| first.is_ascii_uppercase()));
    assert!(names.iter().all(written), "{head}");
    site.close().await;
}
