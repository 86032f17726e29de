//! The signature base: the exact bytes that are signed (RFC 9421, 2.5).

use actix_web::http::header::HeaderMap;

use super::super::error::{ErrorCode, Problem, Words};
use super::Message;
use super::input::{Candidate, Component};

/// Headers whose values may be told back. Others could have been added by a proxy and hold what is not the client's.
const SHOWN_HEADERS: [&str; 6] =
    ["content-digest", "content-length", "content-type", "date", "idempotency-key", "content-encoding"];

pub(super) struct SignatureBase(Vec<u8>);

/// How a client calls this server.
pub(super) struct Origin {
    scheme: String,
    authority: String,
}

impl Origin {
    /// As the request says, over the connection it came by.
    pub fn of_host(message: &Message<'_>) -> Self {
        let host = message.headers.get("host").and_then(|value| value.to_str().ok()).unwrap_or("");
        Self::new(message.scheme, host)
    }

    pub fn of_url(url: &url::Url) -> Self {
        let host = url.host_str().unwrap_or("");
        match url.port() {
            Some(port) => Self::new(url.scheme(), &format!("{host}:{port}")),
            None => Self::new(url.scheme(), host),
        }
    }

    /// RFC 9421, 2.2.3: lowercase, without the scheme's default port.
    fn new(scheme: &str, authority: &str) -> Self {
        let authority = authority.to_ascii_lowercase();
        let default_port = if scheme == "https" { ":443" } else { ":80" };
        let authority = authority.strip_suffix(default_port).unwrap_or(&authority).to_owned();
        Self { scheme: scheme.to_ascii_lowercase(), authority }
    }
}

impl SignatureBase {
    pub fn build(message: &Message<'_>, candidate: &Candidate, origin: &dyn Fn() -> Origin) -> Result<Self, Problem> {
        let mut base = Vec::with_capacity(512);
        for component in &candidate.components {
            base.extend_from_slice(component.identifier.as_bytes());
            base.extend_from_slice(b": ");
            write_value(&mut base, message, component, origin)?;
            base.push(b'\n');
        }
        base.extend_from_slice(b"\"@signature-params\": ");
        base.extend_from_slice(candidate.params.as_bytes());
        Ok(Self(base))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The base, when every line of it is the client's own.
    pub fn to_show(&self, candidate: &Candidate) -> Option<String> {
        let harmless = |c: &Component| c.name.starts_with('@') || SHOWN_HEADERS.contains(&c.name.as_str());
        candidate.components.iter().all(harmless).then(|| String::from_utf8_lossy(&self.0).into_owned())
    }
}

fn write_value(
    base: &mut Vec<u8>,
    message: &Message<'_>,
    component: &Component,
    origin: &dyn Fn() -> Origin,
) -> Result<(), Problem> {
    let path = if message.path.is_empty() { "/" } else { message.path };
    let push_target = |base: &mut Vec<u8>| {
        base.extend_from_slice(path.as_bytes());
        if let Some(query) = message.query {
            base.push(b'?');
            base.extend_from_slice(query.as_bytes());
        }
    };
    if !component.plain {
        return Err(unusable(component, "参数不受支持", "has parameters that are not supported"));
    }
    match component.name.as_str() {
        "@method" => base.extend_from_slice(message.method.as_bytes()),
        "@path" => base.extend_from_slice(path.as_bytes()),
        "@query" => {
            base.push(b'?');
            base.extend_from_slice(message.query.unwrap_or("").as_bytes());
        }
        "@request-target" => push_target(base),
        "@authority" => base.extend_from_slice(origin().authority.as_bytes()),
        "@scheme" => base.extend_from_slice(origin().scheme.as_bytes()),
        "@target-uri" => {
            let origin = origin();
            base.extend_from_slice(origin.scheme.as_bytes());
            base.extend_from_slice(b"://");
            base.extend_from_slice(origin.authority.as_bytes());
            push_target(base);
        }
        name if name.starts_with('@') => {
            return Err(unusable(component, "不适用于请求", "does not apply to requests"));
        }
        name => {
            if !push_header(base, message.headers, name) {
                return Err(unusable(component, "请求中没有这个请求头", "is a header that the request does not have"));
            }
        }
    }
    Ok(())
}

/// RFC 9421, 2.1: every line trimmed, lines joined by a comma and a blank. Answers whether there was one.
fn push_header(base: &mut Vec<u8>, headers: &HeaderMap, name: &str) -> bool {
    let mut found = false;
    for line in headers.get_all(name) {
        if found {
            base.extend_from_slice(b", ");
        }
        base.extend_from_slice(line.as_bytes().trim_ascii());
        found = true;
    }
    found
}

fn unusable(component: &Component, zh: &str, en: &str) -> Problem {
    let name = &component.name;
    Problem::new(ErrorCode::SignatureIncomplete)
        .detail(Words::new(format!("签名覆盖的 {name} {zh}"), format!("the covered {name} {en}")))
}
