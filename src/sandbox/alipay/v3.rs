//! The gate of `OpenAPI` v3 before the same counter: paths name the methods, the body is the content, and signatures stand
//! in headers. Newer SDKs call nothing else. Source: §14.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Map, Value, json};

use super::Alipay;
use super::call::{is_method, product};
use super::counter::Reply;
use super::fault::{Wrong, invalid, missing};
use super::gate::Encryption;
use super::keys::{Mode, Whose};
use super::server::{Admitted, BODY_MAX_BYTES, Known, Outgoing, bare, respond};
use crate::crypto::rsa::Digest;
use crate::domain::time::{Duration, Timestamp};
use crate::sandbox::provider::fault::Fault;

const SCHEME: &str = "ALIPAY-SHA256withRSA ";
/// How far a time stamp may be from the server's clock. The provider names no bound.
const TIMESTAMP_WINDOW: Duration = Duration::from_minutes(10);

/// A call as it came.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    pub verb: &'a str,
    /// Path and query, byte for byte as sent.
    pub target: &'a str,
    /// What stands in the target before `/v3/`.
    pub prefix: &'a str,
    /// Scheme, host and prefix by which the caller reached this server.
    pub base: &'a str,
    pub authorization: &'a str,
    pub root_cert_sn: &'a str,
    pub app_auth_token: &'a str,
    pub encrypt_type: &'a str,
    pub body: &'a [u8],
}

/// Adds `/v3/alipay/…` below `prefix`.
pub fn routes(prefix: &'static str) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        let handle = move |request: HttpRequest, body: web::Bytes, provider: web::Data<Alipay>| {
            handle(request, body, provider, prefix)
        };
        config.service(
            web::scope(&format!("{prefix}/v3/alipay"))
                .app_data(web::PayloadConfig::new(BODY_MAX_BYTES))
                .default_service(web::to(handle)),
        );
    }
}

async fn handle(
    request: HttpRequest,
    body: web::Bytes,
    provider: web::Data<Alipay>,
    prefix: &'static str,
) -> HttpResponse {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let base = {
        let connection = request.connection_info();
        format!("{}://{}{prefix}", connection.scheme(), connection.host())
    };
    let incoming = Incoming {
        verb: request.method().as_str(),
        target: request.uri().path_and_query().map_or("/", |target| target.as_str()),
        prefix,
        base: &base,
        authorization: header("authorization"),
        root_cert_sn: header("alipay-root-cert-sn"),
        app_auth_token: header("alipay-app-auth-token"),
        encrypt_type: header("alipay-encrypt-type"),
        body: &body,
    };
    let answer = provider.serve_v3(incoming).await;
    respond(&provider, answer).await
}

/// What stands in the `Authorization` of a call.
struct Claim<'a> {
    /// All of it but the signature, as it was signed.
    signed: &'a str,
    fields: BTreeMap<&'a str, &'a str>,
    sign: &'a str,
}

impl<'a> Claim<'a> {
    fn read(authorization: &'a str) -> Result<Self, Wrong> {
        let malformed = || invalid("isv.invalid-authorization").saying("Authorization 格式不正确");
        let rest = authorization.strip_prefix(SCHEME).ok_or_else(malformed)?;
        let (signed, sign) = rest.trim().rsplit_once(",sign=").ok_or_else(|| missing("isv.missing-signature"))?;
        let mut fields = BTreeMap::new();
        for part in signed.split(',') {
            let (name, value) = part.split_once('=').ok_or_else(malformed)?;
            if fields.insert(name, value).is_some() {
                return Err(malformed());
            }
        }
        Ok(Self { signed, fields, sign })
    }

    fn need(&self, name: &str, sub_code: &str) -> Result<&'a str, Wrong> {
        self.fields.get(name).copied().filter(|value| !value.is_empty()).ok_or_else(|| missing(sub_code))
    }

    fn check_time(&self, now: Timestamp) -> Result<(), Wrong> {
        let sent = self.need("timestamp", "isv.missing-timestamp")?;
        let sent = sent.parse().ok().map(Timestamp::from_millis);
        let near = |sent: &Timestamp| now.since(*sent).max(sent.since(now)) <= TIMESTAMP_WINDOW;
        if sent.filter(near).is_some() { Ok(()) } else { Err(invalid("isv.invalid-timestamp")) }
    }
}

impl Alipay {
    /// Answers one call.
    pub async fn serve_v3(&self, incoming: Incoming<'_>) -> Outgoing {
        let mut known = Known::default();
        let said = match self.prepare().await {
            Ok(()) => self.try_serve_v3(&incoming, &mut known).await,
            Err(error) => Err(error.into()),
        };
        Self::as_it_goes(said, &known, |said| self.tell_v3(said, &known))
    }

    async fn try_serve_v3(&self, incoming: &Incoming<'_>, known: &mut Known) -> Result<Reply, Wrong> {
        let provider = &self.0;
        let own = incoming.target.strip_prefix(incoming.prefix).unwrap_or(incoming.target);
        let (path, query) = own.split_once('?').unwrap_or((own, ""));
        let method = path.strip_prefix("/v3/").unwrap_or_default().replace('/', ".");
        // Pages and apps stay with the other gate.
        if !is_method(&method) || product(&method).is_some_and(|product| product.by_device()) {
            return Err(invalid("isv.invalid-method"));
        }
        known.method.clone_from(&method);
        let claim = Claim::read(incoming.authorization)?;
        let app_id = claim.need("app_id", "isv.missing-app-id")?.to_owned();
        let merchant = provider.keys.merchant(&app_id)?.ok_or_else(|| invalid("isv.invalid-app-id"))?;
        let own_key = provider.keys.signer(Whose::App(merchant.mode))?;
        claim.need("nonce", "isv.missing-nonce")?;
        let is_signed = |target: &str| {
            let mut text = format!("{}\n{}\n{target}\n", claim.signed, incoming.verb).into_bytes();
            text.extend_from_slice(incoming.body);
            text.push(b'\n');
            if !incoming.app_auth_token.is_empty() {
                text.extend_from_slice(format!("{}\n", incoming.app_auth_token).as_bytes());
            }
            own_key.rsa.public().verifies_base64(Digest::Sha256, &text, claim.sign)
        };
        // An SDK to which only the host can be told signs its own paths, whatever stands before them here.
        if !is_signed(own) && !is_signed(incoming.target) {
            return Err(invalid("isv.invalid-signature").saying("验签出错，请确认 charset 参数与签名内容"));
        }
        claim.check_time(provider.world.wire_now())?;
        if merchant.mode == Mode::Certificate {
            let root = provider.keys.signer(Whose::Root)?;
            if claim.need("app_cert_sn", "isv.missing-app-cert-sn")? != own_key.sn {
                return Err(invalid("isv.app-cert-not-exist"));
            }
            // Alipay's client for PHP leaves the header out.
            if !incoming.root_cert_sn.is_empty() && incoming.root_cert_sn != root.sn {
                return Err(invalid("isv.invalid-alipay-root-cert-sn"));
            }
        }
        known.merchant = Some(merchant.clone());
        let wrong = || invalid("isv.invalid-parameter");
        let content = match (incoming.encrypt_type, incoming.verb) {
            ("", "GET") => {
                let pairs = url::form_urlencoded::parse(query.as_bytes()).into_owned();
                Value::Object(pairs.map(|(name, value)| (name, Value::String(value))).collect()).to_string()
            }
            ("", _) => String::from_utf8(incoming.body.to_vec()).map_err(|_| wrong())?,
            (name, _) => {
                let encryption = Encryption::parse(name)?;
                known.encrypted = Some(encryption);
                encryption.open(&merchant, std::str::from_utf8(incoming.body).map_err(|_| wrong())?)?
            }
        };
        let fields: Map<String, Value> = serde_json::from_str(&content).map_err(|_| wrong())?;
        let url = |name: &str| fields.get(name).and_then(Value::as_str).filter(|url| !url.is_empty());
        let admitted = Admitted {
            app_id,
            merchant,
            method: &method,
            content: &content,
            notify_url: url("notify_url"),
            return_url: url("return_url"),
            base: incoming.base,
        };
        self.carry(admitted, known).await
    }

    fn tell_v3(&self, said: Result<Reply, Wrong>, known: &Known) -> Outgoing {
        let (status, body) = match said {
            Ok(Reply::Node(mut fields)) => {
                fields.remove("msg");
                // What is under way is accepted, not done.
                let status = if fields.remove("code").is_some_and(|code| code == "10003") { 202 } else { 200 };
                (status, Value::Object(fields))
            }
            Ok(Reply::Page(_)) => unreachable!("what a payer's device carries does not come through this gate"),
            Err(wrong) => (status_of(&wrong), error(&wrong)),
        };
        let mut body = body.to_string();
        let mut content_type = "application/json;charset=utf-8";
        let env = self.0.world.env();
        if let (Some(encryption), true, Some(merchant)) = (known.encrypted, status < 400, &known.merchant) {
            body = encryption.close(merchant, &body, env);
            content_type = "text/plain;charset=utf-8";
        }
        let mut headers = vec![("alipay-trace-id", HEXLOWER.encode(&env.random::<16>()))];
        let signer = known.merchant.as_ref().and_then(|merchant| self.0.answering(merchant, known.faults).ok());
        if let Some((signer, tells)) = signer.filter(|_| !known.faults.has(Fault::AnswerUnsigned)) {
            let (timestamp, nonce) = (env.now().as_millis().to_string(), HEXLOWER.encode(&env.random::<16>()));
            let signed = format!("{timestamp}\n{nonce}\n{body}\n");
            headers.push(("alipay-signature", BASE64.encode(&signer.rsa.sign_sha256(signed.as_bytes()))));
            headers.extend([("alipay-timestamp", timestamp), ("alipay-nonce", nonce)]);
            if tells {
                headers.push(("alipay-sn", signer.sn.clone()));
            }
        }
        if known.faults.has(Fault::AnswerTampered) {
            body.push(' ');
        }
        Outgoing { content_type, headers, ..bare(status, &body) }
    }
}

fn status_of(wrong: &Wrong) -> u16 {
    match (wrong.code, wrong.sub_code.as_str()) {
        ("20000", _) => 500,
        ("40005", _) => 429,
        ("40006", _) => 403,
        (_, "isv.invalid-signature" | "isv.missing-signature" | "isv.invalid-authorization") => 401,
        (_, "isv.invalid-method") => 404,
        (_, _) => 400,
    }
}

/// Source: §14: the gateway's own codes lose their prefix.
fn error(wrong: &Wrong) -> Value {
    let code = wrong.sub_code.strip_prefix("isv.").or(wrong.sub_code.strip_prefix("isp."));
    let links = json!([{ "link": "https://opendocs.alipay.com/open-v3/054fcv", "desc": "解决方案" }]);
    json!({ "code": code.unwrap_or(&wrong.sub_code), "message": wrong.sub_msg, "links": links })
}
