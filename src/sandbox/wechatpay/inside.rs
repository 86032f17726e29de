//! WeChat itself, as far as a merchant's page inside of it meets it: it says who a visitor is, and opens the payment sheet.
//!
//! Each browser is a person; the first visit gives it a name in a cookie. Sources: WeChat official accounts platform,
//! 网页授权; the fact sheet, §9, for the sheet's parameters.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ring::hmac;
use serde_json::{Value, json};

use super::keys::Mode;
use super::{NAME, Provider, WechatPay, view};
use crate::crypto::rsa::Digest;
use crate::domain::time::{Duration, Timestamp};
use crate::sandbox::provider::Dialect;
use crate::store::StoreError;

/// Who the browser belongs to.
const PERSON_COOKIE: &str = "sim_wechat";
/// How long a code can be exchanged. Source: 网页授权, 第一步.
const CODE_LIFE: Duration = Duration::from_minutes(5);
/// Codes that are remembered; the oldest goes first.
const CODES_MAX: usize = 1000;
/// Letters and digits of `state`. Source: 网页授权, 第一步.
const STATE_MAX: usize = 128;
/// Characters of `nonceStr`. Source: §9.
const NONCE_MAX: usize = 32;

/// Codes that were given out.
#[derive(Default)]
pub struct Visitors(Mutex<Codes>);

#[derive(Default)]
struct Codes {
    given: BTreeMap<String, Given>,
    /// In the order in which they were given.
    order: std::collections::VecDeque<String>,
}

struct Given {
    appid: String,
    openid: String,
    at: Timestamp,
    used: bool,
}

impl Visitors {
    fn give(&self, code: String, given: Given) {
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while codes.order.len() >= CODES_MAX {
            if let Some(oldest) = codes.order.pop_front() {
                codes.given.remove(&oldest);
            }
        }
        codes.order.push_back(code.clone());
        codes.given.insert(code, given);
    }

    /// The visitor's name towards the app; each code once.
    fn exchange(&self, code: &str, appid: &str, now: Timestamp) -> Result<String, (i64, &'static str)> {
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let given = codes.given.get_mut(code).ok_or((40029, "invalid code"))?;
        if given.appid != appid || now.since(given.at) > CODE_LIFE {
            return Err((40029, "invalid code"));
        }
        if std::mem::replace(&mut given.used, true) {
            return Err((40163, "code been used"));
        }
        Ok(given.openid.clone())
    }
}

/// Adds WeChat's own addresses below `prefix`.
pub fn routes(prefix: &str, config: &mut web::ServiceConfig) {
    config
        .route(&format!("{prefix}/connect/oauth2/authorize"), web::get().to(authorize))
        .route(&format!("{prefix}/sns/oauth2/access_token"), web::get().to(access_token))
        .route(&format!("{prefix}/jsapi"), web::post().to(sheet));
}

impl Provider {
    /// The official account's secret (AppSecret).
    pub fn app_secret(&self, appid: &str) -> Result<String, StoreError> {
        Ok(HEXLOWER.encode(&self.of_app("secret", appid)?[..16]))
    }

    /// The merchant's key for the older interface: made of the provider's own, so that merchants of before have one too.
    pub fn api_v2_key(&self, mchid: &str) -> Result<String, StoreError> {
        Ok(HEXLOWER.encode(&self.of_app("api_v2_key", mchid)?[..16]))
    }

    fn openid(&self, appid: &str, person: &str) -> Result<String, StoreError> {
        let name = self.of_app("openid", &format!("{appid}\n{person}"))?;
        Ok(format!("o{}", &BASE64URL_NOPAD.encode(&name)[..27]))
    }

    fn of_app(&self, what: &str, about: &str) -> Result<Vec<u8>, StoreError> {
        let text = format!("{what}\n{about}");
        Ok(hmac::sign(&self.token_key()?, text.as_bytes()).as_ref().to_vec())
    }

    /// Whether this is the official account of one of the merchants.
    fn is_official_account(&self, appid: &str) -> Result<bool, StoreError> {
        for mode in Mode::ALL {
            let merchant = self.keys.merchant(mode.mchid())?;
            if merchant.is_some_and(|merchant| merchant.appids.first().is_some_and(|own| own == appid)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The person at this browser; `None` before the first visit.
fn person(request: &HttpRequest) -> Option<String> {
    let name = request.cookie(PERSON_COOKIE)?.value().to_owned();
    (name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit())).then_some(name)
}

/// The parameters of an address, each once.
fn parameters(query: &str) -> Option<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if found.insert(name.into_owned(), value.into_owned()).is_some() {
            return None;
        }
    }
    Some(found)
}

fn said(status: actix_web::http::StatusCode, text: &str) -> HttpResponse {
    HttpResponse::build(status).content_type("text/plain; charset=utf-8").body(format!("{text}\n"))
}

fn wrong(text: &str) -> HttpResponse {
    said(actix_web::http::StatusCode::BAD_REQUEST, text)
}

fn trouble(error: &StoreError) -> HttpResponse {
    tracing::warn!("the simulated WeChat cannot answer: {error}");
    said(actix_web::http::StatusCode::SERVICE_UNAVAILABLE, "系统繁忙")
}

/// Asked for silently (`snsapi_base`), the browser comes straight back.
async fn authorize(request: HttpRequest, provider: web::Data<WechatPay>) -> HttpResponse {
    match provider.prepare().await.and_then(|()| provider.0.try_authorize(&request)) {
        Ok(response) => response,
        Err(error) => trouble(&error),
    }
}

impl Provider {
    fn try_authorize(&self, request: &HttpRequest) -> Result<HttpResponse, StoreError> {
        let Some(asked) = parameters(request.query_string()) else { return Ok(wrong("参数重复")) };
        let get = |name: &str| asked.get(name).map_or("", String::as_str);
        let appid = get("appid");
        if !self.is_official_account(appid)? {
            return Ok(wrong("appid 参数错误"));
        }
        if get("response_type") != "code" || !["snsapi_base", "snsapi_userinfo"].contains(&get("scope")) {
            return Ok(wrong("scope 参数错误或没有 scope 权限"));
        }
        let state = get("state");
        if state.len() > STATE_MAX || !state.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Ok(wrong("state 参数错误"));
        }
        let place = url::Url::parse(get("redirect_uri")).ok();
        let place = place.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let Some(mut place) = place else { return Ok(wrong("redirect_uri 参数错误")) };
        let known = person(request);
        let person = known.clone().unwrap_or_else(|| HEXLOWER.encode(&self.world.env().random::<16>()));
        let code = HEXLOWER.encode(&self.world.env().random::<16>());
        let (openid, at) = (self.openid(appid, &person)?, self.world.wire_now());
        self.visitors.give(code.clone(), Given { appid: appid.to_owned(), openid, at, used: false });
        place.query_pairs_mut().append_pair("code", &code).append_pair("state", state);
        let mut response = HttpResponse::Found();
        response.insert_header((header::LOCATION, place.to_string()));
        if known.is_none() {
            let cookie = Cookie::build(PERSON_COOKIE, person).path("/").http_only(true).same_site(SameSite::Lax);
            response.cookie(cookie.finish());
        }
        Ok(response.finish())
    }
}

/// The merchant's server exchanges a code. Everything is said with status 200.
async fn access_token(request: HttpRequest, provider: web::Data<WechatPay>) -> HttpResponse {
    match provider.prepare().await.and_then(|()| provider.0.try_exchange(request.query_string())) {
        Ok(Ok(answer)) => HttpResponse::Ok().json(answer),
        Ok(Err((code, message))) => HttpResponse::Ok().json(json!({ "errcode": code, "errmsg": message })),
        Err(error) => trouble(&error),
    }
}

impl Provider {
    fn try_exchange(&self, query: &str) -> Result<Result<Value, (i64, &'static str)>, StoreError> {
        let Some(asked) = parameters(query) else { return Ok(Err((40035, "invalid parameter"))) };
        let get = |name: &str| asked.get(name).map_or("", String::as_str);
        let appid = get("appid");
        if !self.is_official_account(appid)? {
            return Ok(Err((40013, "invalid appid")));
        }
        if get("secret") != self.app_secret(appid)? {
            return Ok(Err((40125, "invalid appsecret")));
        }
        if get("grant_type") != "authorization_code" {
            return Ok(Err((40002, "invalid grant_type")));
        }
        if get("code").is_empty() {
            return Ok(Err((41008, "missing code")));
        }
        Ok(self.visitors.exchange(get("code"), appid, self.world.wire_now()).map(|openid| {
            let token = |purpose: &str| HEXLOWER.encode(&self.of_app(purpose, &openid).unwrap_or_default());
            json!({
                "access_token": token("access"),
                "expires_in": 7200,
                "refresh_token": token("refresh"),
                "openid": openid,
                "scope": "snsapi_base",
            })
        }))
    }
}

/// The sheet that `getBrandWCPayRequest` opens, for browsers that are not WeChat: takes the same parameters as a form.
async fn sheet(request: HttpRequest, form: web::Bytes, provider: web::Data<WechatPay>) -> HttpResponse {
    let Some(asked) = std::str::from_utf8(&form).ok().and_then(parameters) else { return wrong("参数重复") };
    let checked = match provider.prepare().await {
        Ok(()) => provider.check_sheet(&asked, person(&request)).await,
        Err(error) => Err(Refused::Store(error)),
    };
    match checked {
        Ok(code) => {
            let back: String = asked.get("back").map_or_else(String::new, |back| {
                format!("?back={}", url::form_urlencoded::byte_serialize(back.as_bytes()).collect::<String>())
            });
            let place = format!("/sim/phone/{NAME}/{}{back}", HEXLOWER.encode(&code));
            HttpResponse::SeeOther().insert_header((header::LOCATION, place)).finish()
        }
        Err(Refused::Said(text)) => wrong(text),
        Err(Refused::Store(error)) => trouble(&error),
    }
}

enum Refused {
    Said(&'static str),
    Store(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Refused::Store(error)
    }
}

impl WechatPay {
    /// The order's code, when WeChat would open the sheet for this person. Source: §9.
    async fn check_sheet(&self, asked: &BTreeMap<String, String>, person: Option<String>) -> Result<[u8; 16], Refused> {
        let provider = &self.0;
        let [app_id, time, nonce, package, sign_type, signature] =
            ["appId", "timeStamp", "nonceStr", "package", "signType", "paySign"].map(|name| asked.get(name));
        let (Some(app_id), Some(time), Some(nonce), Some(package), Some(sign_type), Some(signature)) =
            (app_id, time, nonce, package, sign_type, signature)
        else {
            return Err(Refused::Said("调用支付JSAPI缺少参数"));
        };
        let seconds = time.len() == 10 && time.bytes().all(|b| b.is_ascii_digit());
        if !seconds || nonce.is_empty() || nonce.len() > NONCE_MAX || sign_type != "RSA" {
            return Err(Refused::Said("支付参数格式错误：timeStamp 须为秒，nonceStr 不超过 32 位，signType 须为 RSA"));
        }
        let code = package.strip_prefix("prepay_id=wx").and_then(|digits| {
            let bytes = HEXLOWER.decode(digits.as_bytes()).ok()?;
            <[u8; 16]>::try_from(bytes).ok()
        });
        let code = code.ok_or(Refused::Said("package 须为 prepay_id=…"))?;
        let dialect: std::sync::Arc<dyn Dialect> = self.dialect();
        let order = provider.world.at(&dialect, move |desk| desk.order_by_code(code)).await?;
        let order = order.ok_or(Refused::Said("prepay_id 无效或已过期"))?;
        let (trade_type, body) = view::details(&order);
        if trade_type != "JSAPI" {
            return Err(Refused::Said("该订单不是 JSAPI 订单"));
        }
        if body.get("appid").and_then(Value::as_str) != Some(app_id) {
            return Err(Refused::Said("appId 与下单时的 appid 不一致"));
        }
        let key = provider.keys.merchant_signer(&order.asked.merchant)?;
        let message = format!("{app_id}\n{time}\n{nonce}\n{package}\n");
        if !key.rsa.public().verifies_base64(Digest::Sha256, message.as_bytes(), signature) {
            return Err(Refused::Said("支付验证签名失败"));
        }
        // A browser that WeChat has not met yet is taken for the one whom the order names.
        if let Some(person) = person
            && provider.openid(app_id, &person)? != view::openid(&order)
        {
            return Err(Refused::Said("下单账号与支付账号不一致，请核实后再支付"));
        }
        Ok(code)
    }
}
