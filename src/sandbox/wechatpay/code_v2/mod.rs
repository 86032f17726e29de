//! The provider's older interface, as far as shops with a scanner use it: charge a shown code (付款码), ask, take back.
//! The same orders as v3's in other words: XML, an API key for both sides' signatures, and a client certificate at reversals
//! where this server speaks TLS and so can ask for one. On plain HTTP a reversal is believed by its signature alone.
//!
//! Source: WeChat Pay V2, "提交付款码支付", "查询订单", "撤销订单", "安全规范"; §10.

mod call;
mod counter;
mod message;

#[cfg(test)]
mod tests;

use actix_web::{HttpRequest, HttpResponse, web};

use self::call::{Call, Path};
use self::message::Fields;
use super::WechatPay;
use super::server::{BODY_MAX_BYTES, Outgoing, SLOW, TOO_LATE, bare, send};
use crate::domain::time::Duration;
use crate::sandbox::provider::fault::{Answering, Fault, Faults};
use crate::server::tls::ClientCertificate;
use crate::store::StoreError;

/// A call as it came.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    pub method: &'a str,
    /// Below the provider's root.
    pub path: &'a str,
    pub body: &'a [u8],
    /// What the client showed; `None` where nobody asked.
    pub certificate: Option<&'a ClientCertificate>,
}

/// Why a call is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
enum No {
    /// It was not even understood: `return_code` FAIL, which is never signed.
    Unheard(&'static str),
    /// The provider's front wants a certificate, or another one.
    Certificate(&'static str),
    Refused {
        code: &'static str,
        words: &'static str,
    },
}

impl From<StoreError> for No {
    fn from(error: StoreError) -> Self {
        tracing::warn!("the simulated provider could not reach the store: {error}");
        SYSTEM
    }
}

const SYSTEM: No = No::Refused { code: "SYSTEMERROR", words: "系统超时" };

/// What was found out about the caller, as far as that went.
struct Known {
    /// Number, app and key of who is answered.
    caller: Option<(String, String, String)>,
    sign_type: message::SignType,
    faults: Faults,
    how: Answering,
    reverses: bool,
}

/// Adds the calls below `prefix`.
pub(super) fn routes(prefix: &'static str, config: &mut web::ServiceConfig) {
    for path in Path::ALL {
        let handle = move |request: HttpRequest, body: web::Bytes, provider: web::Data<WechatPay>| {
            handle(request, body, provider, path)
        };
        config.service(
            web::resource(format!("{prefix}{}", path.text()))
                .app_data(web::PayloadConfig::new(BODY_MAX_BYTES))
                .route(web::to(handle)),
        );
    }
}

async fn handle(request: HttpRequest, body: web::Bytes, provider: web::Data<WechatPay>, path: Path) -> HttpResponse {
    let certificate = request.conn_data::<ClientCertificate>();
    let incoming = Incoming { method: request.method().as_str(), path: path.text(), body: &body, certificate };
    let answer = provider.serve_code_v2(incoming).await;
    send(&provider, answer).await
}

impl WechatPay {
    /// Answers one call of the older interface.
    pub async fn serve_code_v2(&self, incoming: Incoming<'_>) -> Outgoing {
        let mut known = Known {
            caller: None,
            sign_type: message::SignType::Md5,
            faults: Faults::NONE,
            how: Answering::Properly,
            reverses: incoming.path == Path::Reverse.text(),
        };
        let said = match self.prepare().await {
            Ok(()) => self.try_serve_code_v2(&incoming, &mut known).await,
            Err(error) => Err(error.into()),
        };
        let delay = if known.faults.has(Fault::AnswerSlow) { SLOW } else { Duration::ZERO };
        let outgoing = match known.how {
            Answering::Properly => self.tell_v2(said, &known),
            Answering::TooLate => Outgoing { delay: TOO_LATE, ..self.tell_v2(said, &known) },
            Answering::Cut => Outgoing { cut: true, ..self.tell_v2(said, &known) },
            Answering::Throttled => {
                let no = No::Refused { code: "FREQUENCY_LIMITED", words: "频率限制，请降低请求接口频率" };
                self.tell_v2(Err(no), &known)
            }
            Answering::ErrorInstead => self.tell_v2(Err(SYSTEM), &known),
            Answering::ErrorAfter => bare(502, "<html><body><h1>502 Bad Gateway</h1></body></html>"),
            Answering::Rubbish => bare(200, "\u{1}\u{2}<not xml"),
        };
        Outgoing { delay: outgoing.delay.max(delay), ..outgoing }
    }

    async fn try_serve_code_v2(&self, incoming: &Incoming<'_>, known: &mut Known) -> Result<Fields, No> {
        let provider = &self.0;
        if incoming.method != "POST" {
            return Err(No::Unheard("请使用post方法"));
        }
        let path = Path::ALL.into_iter().find(|path| path.text() == incoming.path);
        let path = path.ok_or(No::Unheard("没有这个接口"))?;
        // The front asks for a certificate before anybody reads what was sent.
        if path == Path::Reverse && incoming.certificate == Some(&ClientCertificate(None)) {
            return Err(No::Certificate("400 No required SSL certificate was sent"));
        }
        let fields = message::read(incoming.body).ok_or(No::Unheard("XML格式错误"))?;
        let text = |name: &str| fields.get(name).map_or("", String::as_str);
        let mch_id = text("mch_id").to_owned();
        let merchant = provider.keys.merchant(&mch_id)?.ok_or(No::Unheard("商户号mch_id或sub_mch_id不存在"))?;
        if path == Path::Reverse
            && let Some(ClientCertificate(Some(shown))) = incoming.certificate
            && *shown != provider.keys.merchant_signer(&mch_id)?.certificate
        {
            return Err(No::Certificate("400 The SSL certificate error"));
        }
        let sign_type = message::SignType::named(text("sign_type")).ok_or(No::Unheard("sign_type不合法"))?;
        let key = provider.api_v2_key(&mch_id)?;
        call::required(path, &fields)?;
        if text("sign") != message::sign(sign_type, &fields, &key) {
            return Err(No::Unheard("签名错误"));
        }
        known.sign_type = sign_type;
        known.caller = Some((mch_id.clone(), text("appid").to_owned(), key));
        if !merchant.appids.iter().any(|own| own == text("appid")) {
            return Err(No::Refused { code: "APPID_MCHID_NOT_MATCH", words: "appid和mch_id不匹配" });
        }
        let call = Call::read(path, &fields)?;
        let code = provider.world.env().random();
        let dialect = self.dialect();
        let work = provider.world.at(&dialect, move |desk| {
            let number = call.number();
            let (how, faults) = desk.answering(&mch_id, number, number)?;
            let said = if how.does_it() { Some(counter::carry_out(desk, &call, &mch_id, code)?) } else { None };
            Ok((how, faults, said))
        });
        let (how, faults, said) = work.await?;
        (known.how, known.faults) = (how, faults);
        said.unwrap_or(Err(SYSTEM))
    }

    fn tell_v2(&self, said: Result<Fields, No>, known: &Known) -> Outgoing {
        let mut fields = match said {
            Ok(mut fields) => {
                fields.insert("result_code".to_owned(), "SUCCESS".to_owned());
                fields
            }
            Err(No::Certificate(title)) => {
                return bare(400, &format!("<html><head><title>{title}</title></head><body>{title}</body></html>"));
            }
            Err(No::Unheard(words)) => message::fields(&[("return_code", "FAIL"), ("return_msg", words)]),
            Err(No::Refused { code, words }) => {
                let mut fields =
                    message::fields(&[("result_code", "FAIL"), ("err_code", code), ("err_code_des", words)]);
                if known.reverses {
                    let again = if code == "SYSTEMERROR" { "Y" } else { "N" };
                    fields.insert("recall".to_owned(), again.to_owned());
                }
                fields
            }
        };
        if let Some((mch_id, app_id, key)) = known.caller.as_ref().filter(|_| fields.contains_key("result_code")) {
            let random: [u8; 16] = self.0.world.env().random();
            let nonce = data_encoding::HEXLOWER.encode(&random);
            fields.extend(message::fields(&[
                ("return_code", "SUCCESS"),
                ("return_msg", "OK"),
                ("mch_id", mch_id),
                ("appid", app_id),
                ("nonce_str", &nonce),
            ]));
            if !known.faults.has(Fault::AnswerUnsigned) {
                let signature = message::sign(known.sign_type, &fields, key);
                fields.insert("sign".to_owned(), signature);
            }
            if known.faults.has(Fault::AnswerTampered) {
                fields.insert("device_info".to_owned(), "tampered".to_owned());
            }
        } else if fields.contains_key("result_code") {
            // Nobody is known to whom it could be signed.
            fields = message::fields(&[("return_code", "FAIL"), ("return_msg", "系统繁忙")]);
        }
        let headers = vec![("content-type", "text/plain; charset=utf-8".to_owned())];
        Outgoing { status: 200, headers, body: message::write(&fields), delay: Duration::ZERO, cut: false }
    }
}
