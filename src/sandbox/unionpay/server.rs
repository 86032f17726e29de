//! The provider's counter: signed forms in, signed text out. Source: §1, §3 and §4 of the fact sheet. HTTP is a thin layer
//! above [`UnionPay::serve`], so that a simulation can call it directly.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::call::{self, Call, Interface, Trouble};
use super::counter::{self, Around, Said, transaction};
use super::keys::{Manner, Merchant, Role};
use super::wire::{self, Fields};
use super::{NAME, UnionPay};
use crate::domain::money::Money;
use crate::domain::time::Duration;
use crate::sandbox::provider::broken::Broken;
use crate::sandbox::provider::fault::{Answering, Fault, Faults};
use crate::store::StoreError;
use crate::web::{Icon, Page, csp_with_form_target};

/// Below the address of a gateway or of `coffer sim`. A simulator's own listener also serves `/gateway/api/…` at its root.
pub const PREFIX: &str = "/sim/unionpay";
/// Largest body of a call, in bytes.
const BODY_MAX_BYTES: usize = 64 * 1024;
/// An answer that is late on purpose comes after so long: more than any caller waits.
const TOO_LATE: Duration = Duration::from_seconds(30);
/// What a slow answer takes more.
const SLOW: Duration = Duration::from_seconds(3);

/// A server's call as it came.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// What stands behind the prefix.
    pub path: &'a str,
    pub body: &'a [u8],
}

/// An answer, and how long it is held back on purpose.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub status: u16,
    pub body: Vec<u8>,
    pub delay: Duration,
    /// The connection ends in the middle of the answer.
    pub cut: bool,
}

/// What a merchant's server calls below `/gateway/api/`. The browser's call is none of them.
const API: [(&str, Interface); 3] =
    [("backTransReq.do", Interface::Back), ("appTransReq.do", Interface::App), ("queryTrans.do", Interface::Query)];

/// Adds the calls below `prefix`; the application holds a `web::Data<UnionPay>`.
pub fn routes(prefix: &'static str) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        for (name, interface) in API {
            let handle = move |body: web::Bytes, provider: web::Data<UnionPay>| back(body, provider, interface);
            config.service(
                web::resource(format!("{prefix}/gateway/api/{name}"))
                    .app_data(web::PayloadConfig::new(BODY_MAX_BYTES))
                    .route(web::post().to(handle)),
            );
        }
        config.service(
            web::resource(format!("{prefix}/gateway/api/frontTransReq.do"))
                .app_data(web::PayloadConfig::new(BODY_MAX_BYTES))
                .route(web::post().to(front)),
        );
        let file = move |body: web::Bytes, provider: web::Data<UnionPay>| back(body, provider, Interface::File);
        config.route(&format!("{prefix}/"), web::post().to(file));
        config.route(&format!("{prefix}/front/{{code}}"), web::get().to(come_back));
    }
}

async fn back(body: web::Bytes, provider: web::Data<UnionPay>, interface: Interface) -> HttpResponse {
    let answer = provider.answer_to(interface, &body).await;
    if answer.delay > Duration::ZERO {
        provider.0.world.env().sleep(answer.delay).await;
    }
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    response.content_type("text/html;charset=UTF-8");
    if answer.cut { response.body(Broken) } else { response.body(answer.body) }
}

/// The browser brings an order and goes to the payer's page.
async fn front(request: HttpRequest, body: web::Bytes, provider: web::Data<UnionPay>) -> HttpResponse {
    let place = match provider.open_page(&body).await {
        Ok(code) => code,
        Err(trouble) => {
            let page = Page::read(&request, provider.0.world.env().now());
            return page
                .respond(StatusCode::BAD_REQUEST, &Refused { page: &page, code: trouble.code, text: trouble.text });
        }
    };
    // With its host: some SDKs post the form themselves and lead the browser to what they were answered.
    let place = format!("{}/sim/phone/{NAME}/{place}", provider.0.world.public_url());
    HttpResponse::SeeOther().insert_header((header::LOCATION, place)).finish()
}

/// The page that tells the payer why there is nothing to pay.
#[derive(Template)]
#[template(path = "sandbox/sim_unionpay_refused.html")]
struct Refused<'a> {
    page: &'a Page,
    code: &'static str,
    text: String,
}

/// 返回商户: the page on which the payer presses the button that posts the result to the merchant. Source: §5, front.
#[derive(Template)]
#[template(path = "sandbox/sim_unionpay_back.html")]
struct ComeBack<'a> {
    page: &'a Page,
    amount: Money,
    url: String,
    fields: Fields,
    paid: bool,
}

async fn come_back(request: HttpRequest, code: web::Path<String>, provider: web::Data<UnionPay>) -> HttpResponse {
    let missing = || HttpResponse::NotFound().finish();
    let code = data_encoding::HEXLOWER.decode(code.as_bytes()).ok().and_then(|code| code.try_into().ok());
    let Some(code) = code else { return missing() };
    let found = provider.0.world.at(&provider.dialect(), move |desk| desk.order_by_code(code)).await;
    let Ok(Some(order)) = found else { return missing() };
    let asked: Fields = serde_json::from_str(&order.asked.details).unwrap_or_default();
    let Some(url) = asked.get("frontUrl").cloned() else { return missing() };
    let origin = url::Url::parse(&url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    let paid = order.received.is_some();
    let mut fields = Fields::new();
    if paid {
        fields.extend(transaction(&order).into_iter().map(|(name, value)| (name.to_owned(), value)));
        for (name, value) in [("version", "5.1.0"), ("encoding", "UTF-8"), ("respCode", "00"), ("respMsg", "success")] {
            fields.insert(name.to_owned(), value.to_owned());
        }
        fields.insert("merId".to_owned(), order.asked.merchant.clone());
        fields.insert("accessType".to_owned(), "0".to_owned());
        fields.insert("bizType".to_owned(), asked.get("bizType").cloned().unwrap_or_default());
        if provider.0.keys.seal(&mut fields, &order.asked.merchant, Manner::default()).is_err() {
            return missing();
        }
    }
    let amount = order.received.as_ref().map_or(order.asked.amount, |received| received.amount);
    let page = Page::read(&request, provider.0.world.env().now());
    let mut response = page.respond(StatusCode::OK, &ComeBack { page: &page, amount, url, fields, paid });
    if let Some(policy) = csp_with_form_target(&origin) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// What was found out about a call, as far as that went.
struct Known {
    /// The call's fields, for the echo.
    fields: Fields,
    faults: Faults,
    how: Answering,
}

impl UnionPay {
    /// Answers one call of a merchant's server.
    pub async fn serve(&self, incoming: Incoming<'_>) -> Outgoing {
        let name = incoming.path.strip_prefix("/gateway/api/").unwrap_or_default();
        let called = API.into_iter().find(|(known, _)| *known == name).map(|(_, interface)| interface);
        match called.or((incoming.path == "/").then_some(Interface::File)) {
            Some(interface) => self.answer_to(interface, incoming.body).await,
            None => plain(404, ""),
        }
    }

    /// A browser brings an order; answers the code of the payer's page.
    pub async fn open_page(&self, body: &[u8]) -> Result<String, Trouble> {
        let (said, _) = self.carry_out(Interface::Front, body).await;
        let page = said?.into_iter().find(|(name, _)| *name == "payerPage");
        Ok(page.map(|(_, code)| code).unwrap_or_default())
    }

    async fn answer_to(&self, interface: Interface, body: &[u8]) -> Outgoing {
        let (said, known) = self.carry_out(interface, body).await;
        let delay = match known.how {
            Answering::TooLate => TOO_LATE,
            _ if known.faults.has(Fault::AnswerSlow) => SLOW,
            _ => Duration::ZERO,
        };
        let outgoing = match known.how {
            Answering::ErrorAfter => plain(502, "<html><h1>502 Bad Gateway</h1></html>"),
            Answering::Rubbish => plain(200, "\u{1}\u{2}<not a message"),
            Answering::Cut => Outgoing { cut: true, ..plain(200, "") },
            Answering::Properly | Answering::Throttled | Answering::ErrorInstead | Answering::TooLate => {
                match self.answer(&known, said) {
                    Ok(body) => plain(200, &body),
                    Err(error) => {
                        tracing::warn!("a simulated answer cannot be signed: {error}");
                        plain(503, "Service unavailable")
                    }
                }
            }
        };
        Outgoing { delay, ..outgoing }
    }

    /// Does what one call asks for.
    async fn carry_out(&self, interface: Interface, body: &[u8]) -> (Said, Known) {
        let mut known = Known { fields: Fields::new(), faults: Faults::NONE, how: Answering::Properly };
        let said = self.try_serve(interface, body, &mut known).await;
        let said = said.unwrap_or_else(|error| {
            tracing::warn!("a simulated provider could not reach its store: {error}");
            Err(busy())
        });
        (said, known)
    }

    async fn try_serve(&self, interface: Interface, body: &[u8], known: &mut Known) -> Result<Said, StoreError> {
        self.prepare().await?;
        let Some(fields) = wire::read_form(body) else {
            return Ok(Err(Trouble::new("10", "报文格式错误[9100004]")));
        };
        known.fields = fields.clone();
        let now = self.0.world.wire_now();
        let merchant = match self.check(&fields)? {
            Ok(merchant) => merchant,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let call = match call::read(interface, &fields, now) {
            Ok(call) => call,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let encryption = match merchant {
            Merchant::Certificate { .. } => {
                let pem = |role| self.0.keys.signer(role).map(|signer| signer.pem());
                Some([pem(Role::Encryption)?, pem(Role::NewEncryption)?])
            }
            Merchant::Key { .. } => None,
        };
        let text = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let around = Around {
            mer_id: text("merId"),
            code: self.0.world.env().random(),
            notify_url: self.0.world.notify_address(&text("backUrl")),
            front_page: format!("{}{PREFIX}/front", self.0.world.public_url()),
            encryption,
            fields,
        };
        let dialect = self.dialect();
        let work = self.0.world.at(&dialect, move |desk| {
            let order = match &call {
                Call::File { .. } | Call::EncryptionKey => String::new(),
                Call::Consume { .. } | Call::Query(_) | Call::Reverse | Call::GiveBack { .. } => around.number(),
            };
            let counted = counter::counted_under(desk, &call, &around, now)?;
            let (how, faults) = desk.answering(&around.mer_id, &order, &counted)?;
            let said =
                if how.does_it() { counter::carry_out(desk, &call, &around, faults)? } else { Err(refusal(how)) };
            Ok((how, faults, said))
        });
        let (how, faults, said) = work.await?;
        (known.how, known.faults) = (how, faults);
        Ok(said)
    }

    /// Source: §2 and §3: who asks, and whether they signed it.
    fn check(&self, fields: &Fields) -> Result<Result<Merchant, Trouble>, StoreError> {
        let text = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        for name in ["version", "encoding", "signMethod", "certId", "signature", "merId"] {
            // Only a contract with a certificate names one.
            let needed = name != "certId" || text("signMethod") == "01";
            if needed && text(name).is_empty() {
                return Ok(Err(Trouble::new("13", &format!("报文交易要素缺失[{name}]"))));
            }
        }
        let known = matches!(text("signMethod"), "01" | "11" | "12");
        if text("version") != "5.1.0" || !text("encoding").eq_ignore_ascii_case("utf-8") || !known {
            return Ok(Err(Trouble::new("10", "报文格式错误[version]")));
        }
        let wrong = || Ok(Err(Trouble::new("11", "验证签名失败[9100004]")));
        let keys = &self.0.keys;
        let Some(merchant) = keys.merchant(text("merId"))? else { return wrong() };
        // One contract, one way of signing.
        if text("signMethod") != merchant.form().sign_method() {
            return wrong();
        }
        if matches!(&merchant, Merchant::Certificate { cert_id } if cert_id != text("certId")) {
            return wrong();
        }
        if !keys.is_signed(fields, &merchant)? {
            return wrong();
        }
        if let Some(cert_id) = fields.get("encryptCertId") {
            match keys.opens(cert_id, fields.get("accNo").map(String::as_str))? {
                None => return Ok(Err(call::ill_formed("encryptCertId"))),
                Some(false) => return Ok(Err(call::ill_formed("accNo"))),
                Some(true) => {}
            }
        }
        Ok(Ok(merchant))
    }

    /// The answer as it goes out: what was asked comes back, and what is said of it.
    fn answer(&self, known: &Known, said: Said) -> Result<String, StoreError> {
        let echoed = [
            "version",
            "encoding",
            "txnType",
            "txnSubType",
            "bizType",
            "accessType",
            "merId",
            "orderId",
            "txnTime",
            "txnAmt",
            "reqReserved",
            "settleDate",
        ];
        let mut fields = Fields::new();
        for name in echoed {
            if let Some(value) = known.fields.get(name).filter(|value| !value.is_empty()) {
                fields.insert(name.to_owned(), value.clone());
            }
        }
        let (code, text) = match &said {
            Ok(_) => ("00", "成功[0000000]".to_owned()),
            Err(trouble) => (trouble.code, trouble.text.clone()),
        };
        for (name, value) in said.unwrap_or_default() {
            fields.insert(name.to_owned(), value);
        }
        fields.insert("respCode".to_owned(), code.to_owned());
        fields.insert("respMsg".to_owned(), text);
        let mer_id = fields.get("merId").cloned().unwrap_or_default();
        let manner = Manner { new_key: known.faults.has(Fault::NewKey), forged: false };
        self.0.keys.seal(&mut fields, &mer_id, manner)?;
        if known.faults.has(Fault::AnswerUnsigned) {
            fields.remove("signature");
        }
        if known.faults.has(Fault::AnswerTampered) {
            fields.insert("respMsg".to_owned(), "成功[0000001]".to_owned());
        }
        Ok(wire::to_raw(&fields))
    }
}

fn plain(status: u16, body: &str) -> Outgoing {
    Outgoing { status, body: body.as_bytes().to_vec(), delay: Duration::ZERO, cut: false }
}

fn refusal(how: Answering) -> Trouble {
    if how == Answering::Throttled {
        Trouble::new("37", "已超过最大查询次数或操作过于频繁[2040009]")
    } else {
        busy()
    }
}

fn busy() -> Trouble {
    Trouble::new("06", "系统繁忙，请稍后再试[3000006]")
}
