//! The provider's gateway: raw calls in, signed answers out. HTTP is a thin layer above [`Alipay::serve`], so that a
//! simulation can call it directly.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use data_encoding::HEXLOWER;
use serde_json::Value;

use super::call::{Call, product};
use super::counter::{self, Around, Reply, carry_out};
use super::fault::{Wrong, invalid, missing, too_often, unavailable};
use super::form::Parameters;
use super::gate::{self, Encryption, Expected, Manner};
use super::keys::{Merchant, Mode, Whose};
use super::view::{self, Details};
use super::{Alipay, NAME, v3};
use crate::domain::time::Duration;
use crate::sandbox::provider::broken::Broken;
use crate::sandbox::provider::fault::{Answering, Fault, Faults};
use crate::sandbox::provider::model::TradeState;
use crate::store::StoreError;

/// Below the address of a gateway or of `coffer sim`. A simulator's own listener also serves `/gateway.do` at its root.
pub const PREFIX: &str = "/sim/alipay";
/// Largest body of a call, in bytes.
pub(super) const BODY_MAX_BYTES: usize = 64 * 1024;
/// An answer that is late on purpose comes after so long: more than any caller waits.
const TOO_LATE: Duration = Duration::from_seconds(30);
/// What a slow answer takes more.
const SLOW: Duration = Duration::from_seconds(3);

/// A call as it came.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    pub query: &'a [u8],
    pub body: &'a [u8],
    /// Scheme, host and prefix by which the caller reached this server, without a slash at the end.
    pub base: &'a str,
}

/// An answer, and how long it is held back on purpose.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub status: u16,
    pub content_type: &'static str,
    pub headers: Vec<(&'static str, String)>,
    /// Where the payer's browser goes.
    pub location: Option<String>,
    pub body: Vec<u8>,
    pub delay: Duration,
    /// The connection ends in the middle of the answer.
    pub cut: bool,
}

/// Adds the gateway, its bills and the way back of web payments below `prefix`; the application holds a
/// `web::Data<Alipay>`.
pub fn routes(prefix: &'static str) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        let handle = move |request: HttpRequest, body: web::Bytes, provider: web::Data<Alipay>| {
            handle(request, body, provider, prefix)
        };
        config.service(
            web::resource(format!("{prefix}/gateway.do"))
                .app_data(web::PayloadConfig::new(BODY_MAX_BYTES))
                .route(web::get().to(handle))
                .route(web::post().to(handle)),
        );
        config.configure(v3::routes(prefix));
        config.route(&format!("{prefix}/bill"), web::get().to(bill));
        config.route(&format!("{prefix}/return/{{code}}"), web::get().to(back));
    }
}

async fn handle(
    request: HttpRequest,
    body: web::Bytes,
    provider: web::Data<Alipay>,
    prefix: &'static str,
) -> HttpResponse {
    let base = {
        let connection = request.connection_info();
        format!("{}://{}{prefix}", connection.scheme(), connection.host())
    };
    let incoming = Incoming { query: request.query_string().as_bytes(), body: &body, base: &base };
    let answer = provider.serve(incoming).await;
    respond(&provider, answer).await
}

pub(super) async fn respond(provider: &Alipay, answer: Outgoing) -> HttpResponse {
    if answer.delay > Duration::ZERO {
        provider.0.world.env().sleep(answer.delay).await;
    }
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    response.insert_header((header::CONTENT_TYPE, answer.content_type));
    for (name, value) in answer.headers {
        response.insert_header((name, value));
    }
    if let Some(location) = answer.location {
        response.insert_header((header::LOCATION, location));
    }
    if answer.cut { response.body(Broken) } else { response.body(answer.body) }
}

async fn bill(request: HttpRequest, provider: web::Data<Alipay>) -> HttpResponse {
    let mut pairs = url::form_urlencoded::parse(request.query_string().as_bytes());
    let token = pairs.find(|(name, _)| name == "token").map(|(_, value)| value.into_owned()).unwrap_or_default();
    match provider.bill_file(&token).await {
        Ok(Some(file)) => HttpResponse::Ok().content_type("application/zip").body(file),
        Ok(None) => HttpResponse::Forbidden().content_type("text/plain; charset=utf-8").body("下载链接已失效\n"),
        Err(_) => HttpResponse::ServiceUnavailable().finish(),
    }
}

/// Sends the payer's browser back to the shop, with what the provider says there. Source: §4: not a proof of payment.
async fn back(code: web::Path<String>, provider: web::Data<Alipay>) -> HttpResponse {
    match provider.way_back(&code).await {
        Ok(Some(location)) => HttpResponse::SeeOther().insert_header((header::LOCATION, location)).finish(),
        Ok(None) => HttpResponse::NotFound().content_type("text/plain; charset=utf-8").body("支付请求已失效\n"),
        Err(_) => HttpResponse::ServiceUnavailable().finish(),
    }
}

/// What was found out about a call before it was answered, as far as that went.
#[derive(Default)]
pub(super) struct Known {
    parameters: Parameters,
    pub method: String,
    /// Once its signature was verified; answers are signed from then on.
    pub merchant: Option<Merchant>,
    pub encrypted: Option<Encryption>,
    pub faults: Faults,
    how: Option<Answering>,
}

/// A call whose sender is known.
pub(super) struct Admitted<'a> {
    pub app_id: String,
    pub merchant: Merchant,
    pub method: &'a str,
    /// Plain.
    pub content: &'a str,
    pub notify_url: Option<&'a str>,
    pub return_url: Option<&'a str>,
    pub base: &'a str,
}

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        tracing::warn!("a simulated provider could not reach its store: {error}");
        unavailable()
    }
}

impl Alipay {
    /// Answers one call.
    pub async fn serve(&self, incoming: Incoming<'_>) -> Outgoing {
        let mut known = Known::default();
        let said = match self.prepare().await {
            Ok(()) => self.try_serve(&incoming, &mut known).await,
            Err(error) => Err(error.into()),
        };
        Self::as_it_goes(said, &known, |said| self.tell(said, &known))
    }

    /// What is said, as the faults let it arrive.
    pub(super) fn as_it_goes(
        said: Result<Reply, Wrong>,
        known: &Known,
        tell: impl FnOnce(Result<Reply, Wrong>) -> Outgoing,
    ) -> Outgoing {
        let delay = if known.faults.has(Fault::AnswerSlow) { SLOW } else { Duration::ZERO };
        let outgoing = match known.how.unwrap_or(Answering::Properly) {
            Answering::Properly => tell(said),
            Answering::TooLate => Outgoing { delay: TOO_LATE, ..tell(said) },
            Answering::Cut => Outgoing { cut: true, ..tell(said) },
            Answering::Throttled => tell(Err(too_often())),
            Answering::ErrorInstead => tell(Err(unavailable())),
            Answering::ErrorAfter => bare(502, "<html><body><h1>502 Bad Gateway</h1></body></html>"),
            Answering::Rubbish => bare(200, "\u{1}\u{2}<not json"),
        };
        Outgoing { delay: outgoing.delay.max(delay), ..outgoing }
    }

    async fn try_serve(&self, incoming: &Incoming<'_>, known: &mut Known) -> Result<Reply, Wrong> {
        let provider = &self.0;
        known.parameters = Parameters::read(incoming.query, incoming.body)?;
        let parameters = &known.parameters;
        known.method = gate::method(parameters)?.to_owned();
        let app_id = parameters.get("app_id").ok_or_else(|| missing("isv.missing-app-id"))?.to_owned();
        let merchant = provider.keys.merchant(&app_id)?.ok_or_else(|| invalid("isv.invalid-app-id"))?;
        let own = provider.keys.signer(Whose::App(merchant.mode))?;
        let root = provider.keys.signer(Whose::Root)?;
        let expected = Expected { key: own.rsa.public(), app_cert_sn: &own.sn, root_cert_sn: &root.sn };
        let now = provider.world.wire_now();
        gate::check_caller(parameters, &merchant, &expected, now)?;
        known.merchant = Some(merchant.clone());
        let (content, encrypted) = gate::content(parameters, &merchant)?;
        known.encrypted = encrypted;
        let method = known.method.clone();
        let parameters = known.parameters.clone();
        let admitted = Admitted {
            app_id,
            merchant,
            method: &method,
            content: &content,
            notify_url: parameters.get("notify_url"),
            return_url: parameters.get("return_url"),
            base: incoming.base,
        };
        self.carry(admitted, known).await
    }

    /// Does what is asked for.
    pub(super) async fn carry(&self, admitted: Admitted<'_>, known: &mut Known) -> Result<Reply, Wrong> {
        let Admitted { app_id, merchant, method, content, notify_url, return_url, base } = admitted;
        let provider = &self.0;
        let call = Call::read(method, content, &merchant.pid)?;
        let around = Around {
            app_id,
            code: provider.world.env().random(),
            base: base.to_owned(),
            wire_now: provider.world.wire_now(),
            notify_url: notify_url.and_then(|url| provider.world.notify_address(url)),
            return_url: return_url.map(str::to_owned),
            certificates: provider.certificates()?,
            token_key: provider.token_key()?,
            merchant,
        };
        if notify_url.is_some() && around.notify_url.is_none() {
            return Err(invalid("isv.invalid-parameter").saying("notify_url 不能访问"));
        }
        let dialect = self.dialect();
        let work = provider.world.at(&dialect, move |desk| {
            let (order, counted) = call.numbers();
            let (how, faults) = desk.answering(&around.app_id, order, counted)?;
            let said = if how.does_it() { Some(carry_out(desk, &call, &around, faults)?) } else { None };
            Ok((how, faults, said))
        });
        let (how, faults, said) = work.await?;
        (known.how, known.faults) = (Some(how), faults);
        said.unwrap_or_else(|| Err(unavailable()))
    }

    fn tell(&self, said: Result<Reply, Wrong>, known: &Known) -> Outgoing {
        let by_device = product(&known.method).is_some_and(super::call::Product::by_device);
        let (name, fields) = match said {
            Ok(Reply::Page(code)) => return self.page(code),
            // The payer sees what went wrong, not the merchant's server.
            Err(wrong) if by_device => {
                let body = format!("{}：{}（{}）\n", wrong.sub_code, wrong.sub_msg, known.method);
                return Outgoing { content_type: "text/plain; charset=utf-8", ..bare(200, &body) };
            }
            Ok(Reply::Node(fields)) => (node_name(&known.method), fields),
            Err(wrong) => {
                let name = if wrong.at_the_gate { "error_response".to_owned() } else { node_name(&known.method) };
                (name, wrong.node().as_object().cloned().unwrap_or_default())
            }
        };
        let mut node = gate::node_text(&fields);
        if let (Some(encryption), false, Some(merchant)) = (known.encrypted, name == "error_response", &known.merchant)
        {
            node = Value::String(encryption.close(merchant, &node, self.0.world.env())).to_string();
        }
        let manner = if known.faults.has(Fault::AnswerUnsigned) {
            Manner::Unsigned
        } else if known.faults.has(Fault::AnswerTampered) {
            Manner::Tampered
        } else {
            Manner::Properly
        };
        let signer = known.merchant.as_ref().and_then(|merchant| self.0.answering(merchant, known.faults).ok());
        let signer = signer.as_ref().map(|(signer, tells)| (&signer.rsa, tells.then_some(signer.sn.as_str())));
        let body = gate::envelope(&name, &node, signer, manner, |text| known.parameters.encode(text));
        Outgoing { body, content_type: "text/html;charset=utf-8", ..bare(200, "") }
    }

    /// The provider's own page: the payer's phone, and the way back that the merchant named.
    fn page(&self, code: [u8; 16]) -> Outgoing {
        let code = HEXLOWER.encode(&code);
        let back = format!("{}{PREFIX}/return/{code}", self.0.world.public_url());
        let back: String = url::form_urlencoded::byte_serialize(back.as_bytes()).collect();
        let location = format!("{}/sim/phone/{NAME}/{code}?back={back}", self.0.world.public_url());
        Outgoing { location: Some(location), ..bare(302, "") }
    }

    async fn bill_file(&self, token: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.prepare().await?;
        let (key, now, token) = (self.0.token_key()?, self.0.world.wire_now(), token.to_owned());
        let known: Vec<(String, Merchant)> = Mode::ALL
            .into_iter()
            .filter_map(|mode| Some((mode.app_id().to_owned(), self.0.keys.merchant(mode.app_id()).ok()??)))
            .collect();
        let work = move |desk: &mut crate::sandbox::provider::Desk<'_, '_>| {
            let merchant = |app_id: &str| known.iter().find(|(known, _)| known == app_id).map(|(_, m)| m.clone());
            counter::bill_file(desk, &token, &key, now, merchant)
        };
        self.0.world.at(&self.dialect(), work).await
    }

    /// Source: §4: what the browser brings back to the shop is signed as notifications are.
    async fn way_back(&self, code: &str) -> Result<Option<String>, StoreError> {
        self.prepare().await?;
        let Some(code) = HEXLOWER.decode(code.as_bytes()).ok().and_then(|code| code.try_into().ok()) else {
            return Ok(None);
        };
        let order = self.0.world.at(&self.dialect(), move |desk| desk.order_by_code(code)).await?;
        let Some((order, url)) =
            order.and_then(|order| Some((order.asked.return_url.clone()?, order)).map(|(u, o)| (o, u)))
        else {
            return Ok(None);
        };
        if order.state != TradeState::Paid {
            return Ok(Some(url));
        }
        let details = Details::of(&order);
        let method = format!("{}.return", details.product.method());
        let fields = [
            ("app_id", order.asked.merchant.as_str()),
            ("auth_app_id", &order.asked.merchant),
            ("charset", "utf-8"),
            ("method", &method),
            ("out_trade_no", &order.asked.number),
            ("trade_no", &view::trade_no(&order)),
            ("seller_id", &details.pid),
            ("total_amount", &view::yuan(order.asked.amount.minor())),
            ("timestamp", &view::beijing(self.0.world.wire_now())),
            ("version", "1.0"),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), Value::String(value.to_owned())));
        let signed = self.0.signed_form(fields.into_iter().collect(), &self.0.keys.signer(Whose::Alipay)?.rsa);
        let joint = if url.contains('?') { '&' } else { '?' };
        Ok(Some(format!("{url}{joint}{signed}")))
    }
}

fn node_name(method: &str) -> String {
    format!("{}_response", method.replace('.', "_"))
}

/// An answer without a signature, as from a proxy.
pub(super) fn bare(status: u16, body: &str) -> Outgoing {
    let body = body.as_bytes().to_vec();
    let content_type = "text/html; charset=utf-8";
    Outgoing { status, content_type, headers: Vec::new(), location: None, body, delay: Duration::ZERO, cut: false }
}
