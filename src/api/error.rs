//! How the API says no: RFC 9457 problems in the language that the client asked for.
//!
//! Code below the edge builds a [`Problem`]; the edge renders it with the request's language and id.

use std::borrow::{Borrow, Cow};
use std::fmt;

use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;

pub use super::codes::ErrorCode;
use crate::lang::{Lang, Text};

/// Places named in one answer; a body with more faults is not worth listing further.
pub const FIELD_ERRORS_MAX: usize = 50;

pub const PROBLEM_JSON: &str = "application/problem+json";

/// A sentence in both languages that was put together for one occasion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    pub zh: Cow<'static, str>,
    pub en: Cow<'static, str>,
}

impl Words {
    pub fn new(zh: impl Into<Cow<'static, str>>, en: impl Into<Cow<'static, str>>) -> Self {
        Self { zh: zh.into(), en: en.into() }
    }

    /// Takes a reference as well, because templates pass their values as such.
    pub fn get(&self, lang: impl Borrow<Lang>) -> &str {
        match lang.borrow() {
            Lang::Zh => &self.zh,
            Lang::En => &self.en,
        }
    }
}

impl From<Text> for Words {
    fn from(text: Text) -> Self {
        Self::new(text.zh, text.en)
    }
}

/// Where in the request a fault is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A JSON pointer (RFC 6901) into the body, in its URI fragment form as RFC 9457 shows it: `#/amount/value`.
    Body(String),
    /// The name of a query parameter.
    Query(String),
    Header(&'static str),
}

macro_rules! field_codes {
    ($($(#[$doc:meta])* $variant:ident $code:literal $status:literal;)*) => {
        /// Why one field was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum FieldCode { $($(#[$doc])* $variant,)* }

        impl FieldCode {
            pub const ALL: &[FieldCode] = &[$(FieldCode::$variant,)*];

            pub const fn as_str(self) -> &'static str {
                match self { $(FieldCode::$variant => $code,)* }
            }

            /// 400 when the request's form is wrong, 422 when the form is right and the meaning is not.
            const fn status(self) -> u16 {
                match self { $(FieldCode::$variant => $status,)* }
            }
        }
    };
}

field_codes! {
    Required "required" 400;
    UnknownField "unknown_field" 400;
    Duplicate "duplicate" 400;
    WrongType "wrong_type" 400;
    /// Text that does not have the form it needs: an amount, a URL, a time, an id.
    BadFormat "bad_format" 422;
    TooShort "too_short" 422;
    TooLong "too_long" 422;
    TooSmall "too_small" 422;
    TooLarge "too_large" 422;
    TooMany "too_many" 422;
    /// Not one of the words that are known here.
    NotAllowed "not_allowed" 422;
    /// Looks like a payment card's number, which is never accepted.
    CardNumber "card_number" 422;
}

/// One fault at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    pub place: Place,
    pub code: FieldCode,
    pub detail: Words,
}

/// A refusal on its way to the client.
#[derive(Clone, Debug)]
pub struct Problem {
    pub code: ErrorCode,
    /// Boxed, because results that carry a problem are moved about on the way that succeeds.
    more: Box<More>,
}

#[derive(Clone, Debug, Default)]
struct More {
    /// What is special about this occasion; without it the code's own help is given.
    detail: Option<Words>,
    errors: Vec<FieldError>,
    retry_after_s: Option<u64>,
    headers: Vec<(HeaderName, HeaderValue)>,
    signature_base: Option<String>,
    /// Nothing is to be stored for it: it is stored, or tells about what is.
    kept: bool,
    /// For the log, never for the client.
    cause: Option<String>,
}

impl Problem {
    pub fn new(code: ErrorCode) -> Self {
        Self { code, more: Box::default() }
    }

    /// Refuses a request for its fields: 400 if any fault is one of form, else 422.
    pub fn fields(mut errors: Vec<FieldError>) -> Self {
        let malformed = errors.iter().any(|e| e.code.status() == 400);
        errors.truncate(FIELD_ERRORS_MAX);
        let code = if malformed { ErrorCode::InvalidRequest } else { ErrorCode::InvalidValue };
        let mut problem = Self::new(code);
        problem.more.errors = errors;
        problem
    }

    pub fn field(place: Place, code: FieldCode, detail: Words) -> Self {
        Self::fields(vec![FieldError { place, code, detail }])
    }

    pub fn method_not_allowed(allowed: &[Method]) -> Self {
        let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
        let value = HeaderValue::from_str(&names.join(", ")).expect("methods are tokens");
        Self::new(ErrorCode::MethodNotAllowed).header(header::ALLOW, value)
    }

    pub fn detail(mut self, detail: impl Into<Words>) -> Self {
        self.more.detail = Some(detail.into());
        self
    }

    /// When trying again can help.
    pub fn retry_after_s(mut self, seconds: u64) -> Self {
        self.more.retry_after_s = Some(seconds);
        self
    }

    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.more.headers.push((name, value));
        self
    }

    /// What the server computed from the request's own lines, so that a developer can compare.
    pub fn signature_base(mut self, base: Option<String>) -> Self {
        self.more.signature_base = base;
        self
    }

    /// Why it is our fault; logged where the answer is made.
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.more.cause = Some(cause.to_string());
        self
    }

    /// Marks what is stored under its idempotency key, or tells about what is.
    pub(super) fn kept(mut self) -> Self {
        self.more.kept = true;
        self
    }

    /// Whether a repetition with the same idempotency key has to get it again: business refusals are answers, while a
    /// malformed request, a failed proof and an overloaded server are not.
    pub(super) fn is_answer(&self) -> bool {
        !self.more.kept && matches!(self.code.status().as_u16(), 402 | 404 | 409 | 422)
    }

    pub fn cause(&self) -> Option<&str> {
        self.more.cause.as_deref()
    }

    pub fn errors(&self) -> &[FieldError] {
        &self.more.errors
    }

    /// The reply for a client that reads `lang`.
    pub fn respond(&self, lang: Lang, request_id: Option<&str>) -> HttpResponse {
        let mut reply = HttpResponse::build(self.code.status());
        reply.insert_header((header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON)));
        reply.insert_header((header::CONTENT_LANGUAGE, HeaderValue::from_static(lang.tag())));
        reply.insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")));
        if self.code.status() == StatusCode::UNAUTHORIZED {
            // RFC 9110, 15.5.2: a 401 names a way to authenticate.
            reply.insert_header((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"coffer\"")));
        }
        if let Some(seconds) = self.more.retry_after_s {
            reply.insert_header((header::RETRY_AFTER, HeaderValue::from(seconds)));
        }
        for (name, value) in &self.more.headers {
            reply.insert_header((name.clone(), value.clone()));
        }
        reply.body(self.to_json(lang, request_id))
    }

    /// The problem document alone; also kept under an idempotency key.
    pub fn to_json(&self, lang: Lang, request_id: Option<&str>) -> Vec<u8> {
        let errors = self.more.errors.iter().map(|e| FieldDocument::new(e, lang)).collect();
        let document = Document {
            kind: format!("/docs/errors/{}", self.code.as_str()),
            title: self.code.title().get(lang),
            status: self.code.status().as_u16(),
            detail: self.more.detail.as_ref().map_or_else(|| self.code.help().get(lang), |words| words.get(lang)),
            code: self.code.as_str(),
            errors,
            signature_base: self.more.signature_base.as_deref(),
            request_id,
        };
        serde_json::to_vec(&document).expect("a problem is plain strings")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.as_str())
    }
}

impl std::error::Error for Problem {}

/// For handlers that answer with `?`.
impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        self.respond(Lang::Zh, None)
    }
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature_base: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Serialize)]
struct FieldDocument<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<&'a str>,
    code: &'a str,
    detail: &'a str,
}

impl<'a> FieldDocument<'a> {
    fn new(error: &'a FieldError, lang: Lang) -> Self {
        let (pointer, parameter, header) = match &error.place {
            Place::Body(pointer) => (Some(pointer.as_str()), None, None),
            Place::Query(name) => (None, Some(name.as_str()), None),
            Place::Header(name) => (None, None, Some(*name)),
        };
        Self { pointer, parameter, header, code: error.code.as_str(), detail: error.detail.get(lang) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(problem: &Problem, lang: Lang) -> serde_json::Value {
        serde_json::from_slice(&problem.to_json(lang, Some("req_1"))).unwrap()
    }

    #[test]
    fn a_problem_names_code_place_and_request_in_the_client_s_language() {
        let place = Place::Body("#/amount/value".into());
        let problem = Problem::field(place, FieldCode::TooSmall, Words::new("必须大于零", "must be more than zero"));
        assert_eq!(
            json(&problem, Lang::Zh),
            serde_json::json!({
                "type": "/docs/errors/invalid_value", "title": "字段的值不可接受", "status": 422,
                "detail": ErrorCode::InvalidValue.help().zh, "code": "invalid_value",
                "errors": [{"pointer": "#/amount/value", "code": "too_small", "detail": "必须大于零"}],
                "request_id": "req_1",
            })
        );
        assert_eq!(json(&problem, Lang::En)["errors"][0]["detail"], "must be more than zero");
    }

    #[test]
    fn one_fault_of_form_makes_the_whole_request_malformed() {
        let error = |code| FieldError { place: Place::Query("x".into()), code, detail: Words::new("一", "a") };
        assert_eq!(Problem::fields(vec![error(FieldCode::TooLong)]).code, ErrorCode::InvalidValue);
        let mixed = Problem::fields(vec![error(FieldCode::TooLong), error(FieldCode::UnknownField)]);
        assert_eq!(mixed.code, ErrorCode::InvalidRequest);
        assert_eq!(json(&mixed, Lang::En)["errors"][0]["parameter"], "x");
    }

    #[test]
    fn replies_carry_the_headers_of_their_status() {
        let reply = Problem::new(ErrorCode::RateLimited).retry_after_s(7).respond(Lang::Zh, None);
        assert_eq!(reply.headers().get("retry-after").unwrap(), "7");
        assert_eq!(reply.headers().get("content-type").unwrap(), "application/problem+json");
        assert_eq!(reply.headers().get("content-language").unwrap(), "zh-CN");
        let reply = Problem::new(ErrorCode::ApiKeyInvalid).respond(Lang::En, None);
        assert!(reply.headers().contains_key("www-authenticate"));
        let reply = Problem::method_not_allowed(&[Method::GET, Method::POST]).respond(Lang::En, None);
        assert_eq!(reply.headers().get("allow").unwrap(), "GET, POST");
    }
}
