//! The provider's counter: raw calls in, signed answers out. HTTP is a thin layer above [`WechatPay::serve`], so that a
//! simulation can call it directly.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::call::{Asked, Call};
use super::counter::{Around, Reply, carry_out};
use super::error::WireError;
use super::keys::{Merchant, Own, Signer};
use super::sign::{self, Claim, Manner};
use super::{NAME, WechatPay, skewed};
use crate::domain::time::Duration;
use crate::sandbox::provider::broken::Broken;
use crate::sandbox::provider::fault::{Answering, Fault, Faults};
use crate::store::StoreError;

/// Below the address of a gateway or of `coffer sim`. A simulator's own listener also serves `/v3/…` at its root.
pub const PREFIX: &str = "/sim/wechatpay";
/// Largest body of a call, in bytes.
pub(super) const BODY_MAX_BYTES: usize = 64 * 1024;
/// An answer that is late on purpose comes after so long: more than any caller waits.
pub(super) const TOO_LATE: Duration = Duration::from_seconds(30);
/// What a slow answer takes more.
pub(super) const SLOW: Duration = Duration::from_seconds(3);

/// A call as it came.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    pub method: &'a str,
    /// Path and query, byte for byte as sent: what was signed.
    pub target: &'a str,
    /// What stands in the target before `/v3/`.
    pub prefix: &'a str,
    /// Scheme and host by which the caller reached this server.
    pub origin: &'a str,
    pub authorization: Option<&'a str>,
    pub wechatpay_serial: Option<&'a str>,
    pub user_agent: Option<&'a str>,
    pub accept: Option<&'a str>,
    pub content_type: Option<&'a str>,
    pub body: &'a [u8],
}

/// An answer, and how long it is held back on purpose.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    pub delay: Duration,
    /// The connection ends in the middle of the answer.
    pub cut: bool,
}

/// Adds the calls below `prefix` and the provider's page for mobile browsers; the application holds a
/// `web::Data<WechatPay>`.
pub fn routes(prefix: &'static str) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        let handle = move |request: HttpRequest, body: web::Bytes, provider: web::Data<WechatPay>| {
            handle(request, body, provider, prefix)
        };
        config.service(
            web::scope(&format!("{prefix}/v3"))
                .app_data(web::PayloadConfig::new(BODY_MAX_BYTES))
                .default_service(web::to(handle)),
        );
        super::code_v2::routes(prefix, config);
        super::inside::routes(prefix, config);
        config.route(&format!("{prefix}/h5"), web::get().to(h5));
    }
}

async fn handle(
    request: HttpRequest,
    body: web::Bytes,
    provider: web::Data<WechatPay>,
    prefix: &'static str,
) -> HttpResponse {
    // A second header of the same name could be the one that somebody else reads.
    let single = |name: &str| {
        let mut values = request.headers().get_all(name);
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            (None, _) | (_, Some(_)) => None,
        }
    };
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let origin = {
        let connection = request.connection_info();
        format!("{}://{}", connection.scheme(), connection.host())
    };
    let incoming = Incoming {
        method: request.method().as_str(),
        target,
        prefix,
        origin: &origin,
        authorization: single("authorization"),
        wechatpay_serial: single("wechatpay-serial"),
        user_agent: single("user-agent"),
        accept: single("accept"),
        content_type: single("content-type"),
        body: &body,
    };
    let answer = provider.serve(incoming).await;
    send(&provider, answer).await
}

/// Puts an answer on the wire, as late and as whole as it is meant to come.
pub(super) async fn send(provider: &WechatPay, answer: Outgoing) -> HttpResponse {
    if answer.delay > Duration::ZERO {
        provider.0.world.env().sleep(answer.delay).await;
    }
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    for (name, value) in answer.headers {
        response.insert_header((name, value));
    }
    let mut response = if answer.cut { response.body(Broken) } else { response.body(answer.body) };
    // As the provider writes them (`Wechatpay-Timestamp`): `wechatpay-java` looks for names letter by letter.
    response.head_mut().set_camel_case_headers(true);
    response
}

/// The provider's own page of an H5 payment: the payer's phone, and the way back that the merchant named.
async fn h5(request: HttpRequest, provider: web::Data<WechatPay>) -> HttpResponse {
    use crate::sandbox::provider::Dialect;
    let Some(code) = provider.0.scan(request.query_string()) else {
        return HttpResponse::NotFound()
            .content_type("text/plain; charset=utf-8")
            .body("支付请求已失效，请重新发起支付\n");
    };
    let mut pairs = url::form_urlencoded::parse(request.query_string().as_bytes());
    let back = pairs.find(|(name, _)| name == "redirect_url").map(|(_, value)| value.into_owned());
    let mut place = format!("/sim/phone/{NAME}/{}", data_encoding::HEXLOWER.encode(&code));
    if let Some(back) = back {
        place += "?back=";
        place.extend(url::form_urlencoded::byte_serialize(back.as_bytes()));
    }
    HttpResponse::SeeOther().insert_header((header::LOCATION, place)).finish()
}

/// What was found out before a call was carried out, as far as that went.
struct Known {
    merchant: Option<Merchant>,
    faults: Faults,
    how: Answering,
}

impl WechatPay {
    /// Answers one call.
    pub async fn serve(&self, incoming: Incoming<'_>) -> Outgoing {
        let mut known = Known { merchant: None, faults: Faults::NONE, how: Answering::Properly };
        let said = match self.prepare().await {
            Ok(()) => self.try_serve(&incoming, &mut known).await,
            Err(error) => Err(error.into()),
        };
        let delay = if known.faults.has(Fault::AnswerSlow) { SLOW } else { Duration::ZERO };
        let outgoing = match known.how {
            Answering::Properly => self.tell(&incoming, said, &known),
            Answering::TooLate => Outgoing { delay: TOO_LATE, ..self.tell(&incoming, said, &known) },
            Answering::Cut => Outgoing { cut: true, ..self.tell(&incoming, said, &known) },
            Answering::Throttled => {
                let error = WireError::new(429, "FREQUENCY_LIMITED", "频率超限，请降低请求接口频率");
                self.tell(&incoming, Err(error.numbered(268_447_840)), &known)
            }
            Answering::ErrorInstead => self.tell(&incoming, Err(WireError::system()), &known),
            Answering::ErrorAfter => bare(502, "<html><body><h1>502 Bad Gateway</h1></body></html>"),
            Answering::Rubbish => bare(200, "\u{1}\u{2}<not json"),
        };
        Outgoing { delay: outgoing.delay.max(delay), ..outgoing }
    }

    async fn try_serve(&self, incoming: &Incoming<'_>, known: &mut Known) -> Result<Reply, WireError> {
        let provider = &self.0;
        check_headers(incoming)?;
        let claim = Claim::parse(incoming.authorization.unwrap_or_default())?;
        let unknown =
            || WireError::sign("商户证书序列号有误，请使用签名私钥匹配的证书序列号", json!({ "issue": "serial_no" }));
        let merchant = provider.keys.merchant(claim.mchid)?.ok_or_else(unknown)?;
        if !merchant.serial.eq_ignore_ascii_case(claim.serial_no) {
            return Err(unknown());
        }
        let own = provider.keys.merchant_signer(claim.mchid)?;
        let now = provider.world.wire_now();
        // An SDK to which only the host can be told signs its own paths, whatever stands before them here; one that cuts
        // off the provider's own host by name signs an address of ours, such as a bill's, with its host.
        let bare = incoming.target.strip_prefix(incoming.prefix).unwrap_or(incoming.target);
        let whole = format!("{}{}", incoming.origin, incoming.target);
        let verify = |target| claim.verify(own.rsa.public(), incoming.method, target, incoming.body, now);
        verify(bare).or_else(|_| verify(&whole)).or_else(|_| verify(incoming.target))?;
        known.merchant = Some(merchant.clone());
        self.check_serial(incoming.wechatpay_serial)?;

        let (path, query) = incoming.target.split_once('?').unwrap_or((incoming.target, ""));
        let path = path.strip_prefix(incoming.prefix).unwrap_or(path);
        let asked = Asked { method: incoming.method, path, query, body: incoming.body };
        let call = Call::read(&asked, claim.mchid, &merchant)?;
        if let Call::HelpRefund { .. } = &call {
            self.check_secret_fields(incoming)?;
        }
        let notify_url = match &call {
            Call::Order(order) => order.notify_url.as_deref(),
            Call::Refund(refund) => refund.notify_url.as_deref(),
            _ => None,
        };
        let around = Around {
            mchid: claim.mchid.to_owned(),
            code: provider.world.env().random(),
            base: format!("{}{}", incoming.origin, incoming.prefix),
            pages: format!("{}{}", provider.world.public_url(), super::PREFIX),
            wire_now: now,
            notify_url: notify_url.and_then(|url| provider.world.notify_address(url)),
            certificates: [Own::Certificate, Own::NewCertificate]
                .into_iter()
                .map(|own| provider.keys.own(own))
                .collect::<Result<Vec<_>, StoreError>>()?,
            token_key: provider.token_key()?,
            merchant,
        };
        let dialect = self.dialect();
        let work = provider.world.at(&dialect, move |desk| {
            let (order, counted) = call.numbers();
            let (how, faults) = desk.answering(&around.mchid, order, counted)?;
            let mut around = around.clone();
            if !faults.has(Fault::NewKey) {
                around.certificates.truncate(1);
            }
            let said = if how.does_it() { Some(carry_out(desk, &call, &around, faults)?) } else { None };
            Ok((how, faults, said))
        });
        let (how, faults, said) = work.await?;
        (known.how, known.faults) = (how, faults);
        said.unwrap_or_else(|| Err(WireError::system()))
    }

    /// The key that a request names must be one of the provider's. Source: §4.
    fn check_serial(&self, named: Option<&str>) -> Result<(), WireError> {
        // An SDK that trusts no key yet sends the header empty.
        let Some(named) = named.filter(|named| !named.is_empty()) else { return Ok(()) };
        for own in [Own::Public, Own::Certificate, Own::NewCertificate] {
            if self.0.keys.own(own)?.id.eq_ignore_ascii_case(named) {
                return Ok(());
            }
        }
        Err(WireError::new(400, "PARAM_ERROR", "平台证书序列号Wechatpay-Serial错误").numbered(268_435_461))
    }

    fn check_secret_fields(&self, incoming: &Incoming<'_>) -> Result<(), WireError> {
        let body: serde_json::Value = serde_json::from_slice(incoming.body).unwrap_or_default();
        for name in ["bank_account", "real_name"] {
            let Some(field) = body.get(name).and_then(serde_json::Value::as_str) else { continue };
            if incoming.wechatpay_serial.is_none() {
                return Err(WireError::new(400, "PARAM_ERROR", "含敏感字段的请求须带请求头Wechatpay-Serial"));
            }
            if !self.0.opens(field)? {
                return Err(WireError::param(&format!("/{name}"), "敏感字段解密失败", "body"));
            }
        }
        Ok(())
    }

    fn tell(&self, incoming: &Incoming<'_>, said: Result<Reply, WireError>, known: &Known) -> Outgoing {
        let (status, body, number) = match said {
            Ok(Reply::File(file)) => {
                let packed = file.starts_with(&[0x1f, 0x8b]);
                let kind = if packed { "application/x-gzip" } else { "text/plain; charset=utf-8" };
                let headers = vec![("content-type", kind.to_owned())];
                return Outgoing { status: 200, headers, body: file, delay: Duration::ZERO, cut: false };
            }
            Ok(Reply::Json(status, body)) => (status, body.to_string().into_bytes(), 0),
            Ok(Reply::Nothing) => (204, Vec::new(), 0),
            Err(error) => (error.status, error.body().to_string().into_bytes(), error.number),
        };
        let env = self.0.world.env();
        let request_id = format!("{}-{number}", data_encoding::HEXUPPER.encode(&env.random::<16>()));
        let mut headers = vec![("Request-ID", request_id), ("Cache-Control", "no-cache, must-revalidate".to_owned())];
        if status != 204 {
            headers.push(("Content-Type", "application/json; charset=utf-8".to_owned()));
        }
        let signer = known.merchant.as_ref().and_then(|merchant| self.signer(merchant, incoming, known.faults));
        if let Some(signer) = signer.filter(|_| !known.faults.has(Fault::AnswerUnsigned)) {
            let manner = if known.faults.has(Fault::ProbeAnswer) { Manner::Probe } else { Manner::Properly };
            let now = skewed(self.0.world.wire_now(), known.faults);
            headers.extend(sign::headers(&signer.rsa, &signer.id, &body, manner, now, env.random()));
        }
        let body = if known.faults.has(Fault::AnswerTampered) && !body.is_empty() {
            [body.as_slice(), b" "].concat()
        } else {
            body
        };
        Outgoing { status, headers, body, delay: Duration::ZERO, cut: false }
    }

    fn signer(&self, merchant: &Merchant, incoming: &Incoming<'_>, faults: Faults) -> Option<std::sync::Arc<Signer>> {
        self.0.answering_key(merchant, incoming.wechatpay_serial, faults).ok()
    }
}

/// Source: §1.
fn check_headers(incoming: &Incoming<'_>) -> Result<(), WireError> {
    let accepts = incoming.accept.is_some_and(|accept| accept.contains("application/json") || accept.contains("*/*"));
    if !accepts || incoming.user_agent.is_none_or(str::is_empty) {
        return Err(WireError::new(400, "PARAM_ERROR", "Http头缺少Accept或User-Agent").numbered(268_435_461));
    }
    let json = incoming.content_type.is_some_and(|kind| kind.starts_with("application/json"));
    if incoming.method == "POST" && !json {
        return Err(WireError::new(400, "PARAM_ERROR", "Http头Content-Type须为application/json").numbered(268_435_461));
    }
    Ok(())
}

/// An answer without a signature, as from a proxy.
pub(super) fn bare(status: u16, body: &str) -> Outgoing {
    let headers = vec![("content-type", "text/html; charset=utf-8".to_owned())];
    Outgoing { status, headers, body: body.as_bytes().to_vec(), delay: Duration::ZERO, cut: false }
}
