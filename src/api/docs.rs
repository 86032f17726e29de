//! The pages that developers read: every endpoint with its fields, a command that can be pasted, and a reply; and a page
//! for every error code. Served without script, from the same table that registers the routes.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use askama::filters::{Html, HtmlSafe};
use serde_json::{Map, Value, json};

use super::commit::ANSWERS_KEPT;
use super::endpoint::{COMMON_REFUSALS, Endpoint, Group, ReplyDoc, Schemas, all};
use super::error::{ErrorCode, FieldCode};
use super::fields::FieldDoc;
use super::json::BODY_BYTES_MAX;
use super::openapi::description;
use super::service::Api;
use super::signature::{CREATED_WINDOW, NONCE_CHARS};
use crate::domain::event::EventType;
use crate::lang::{Lang, Text};
use crate::web::{ErrorPage, Icon, Page, Trouble};

/// What the pages show, made once.
pub struct Docs {
    openapi: String,
    base_url: String,
    sections: Vec<Section>,
}

struct Section {
    group: Group,
    operations: Vec<Operation>,
}

struct Operation {
    endpoint: &'static Endpoint,
    query: Vec<Row>,
    body: Vec<Row>,
    curl: String,
    reply: String,
    reply_fields: Vec<ReplyRow>,
}

/// A field of a request, with how deep it lies.
struct Row {
    name: String,
    field: FieldDoc,
}

/// A field of a reply, as the description has it.
struct ReplyRow {
    name: String,
    about: String,
}

impl Docs {
    pub fn new(base_url: &str) -> Self {
        let description = description(base_url);
        let sections = Group::ALL.map(|group| Section {
            group,
            operations: all()
                .filter(|endpoint| endpoint.group == group)
                .map(|endpoint| Operation::new(endpoint, base_url, &description))
                .collect(),
        });
        Self { openapi: description.to_string(), base_url: base_url.to_owned(), sections: sections.into() }
    }
}

impl Operation {
    fn new(endpoint: &'static Endpoint, base_url: &str, description: &Value) -> Self {
        let rows = |fields: Vec<FieldDoc>| {
            let mut rows = Vec::new();
            flatten(fields, "", &mut rows);
            rows
        };
        let (ReplyDoc::One(schema) | ReplyDoc::List(schema)) = endpoint.reply;
        let name = schema(&mut Schemas::new());
        let example = example(&json!({"$ref": format!("#/components/schemas/{name}")}), description);
        let reply = match endpoint.reply {
            ReplyDoc::One(_) => example,
            ReplyDoc::List(_) => json!({"object": "list", "data": [example], "has_more": false, "next": null}),
        };
        let properties = description["components"]["schemas"][&name]["properties"].as_object();
        Self {
            endpoint,
            query: rows(endpoint.query.map(|describe| describe()).unwrap_or_default()),
            body: rows(endpoint.body.as_ref().map(|body| (body.describe)()).unwrap_or_default()),
            curl: curl(endpoint, base_url),
            reply: pretty(&reply),
            reply_fields: properties.into_iter().flatten().filter_map(reply_row).collect(),
        }
    }

    /// What it may refuse beside what every endpoint may.
    fn refusals(&self) -> &'static [ErrorCode] {
        self.endpoint.refusals
    }
}

fn reply_row((name, schema): (&String, &Value)) -> Option<ReplyRow> {
    let about = schema["description"].as_str()?.to_owned();
    Some(ReplyRow { name: name.clone(), about })
}

/// Inner fields follow their parent, under its name.
fn flatten(fields: Vec<FieldDoc>, parent: &str, rows: &mut Vec<Row>) {
    for mut field in fields {
        let name = format!("{parent}{}", field.name);
        let children = std::mem::take(&mut field.shape.children);
        let prefix = format!("{name}.");
        rows.push(Row { name, field });
        flatten(children, &prefix, rows);
    }
}

const SAMPLE_TAIL: &str = "01JD3Q9W8XK2V5N7R4T6Y0ABCD";

/// A command that can be pasted into a shell.
fn curl(endpoint: &Endpoint, base_url: &str) -> String {
    let prefix = match endpoint.group {
        Group::Test if endpoint.path.starts_with("/v1/test/cases") => "run",
        Group::Payments | Group::Test | Group::Books | Group::Account => "pay",
        Group::Refunds if endpoint.path.starts_with("/v1/payments") => "pay",
        Group::Refunds => "re",
        Group::Webhooks => "we",
        Group::Events => "evt",
    };
    let path = endpoint.path.replace("{id}", &format!("{prefix}_{SAMPLE_TAIL}"));
    let mut command = format!("curl {base_url}{path}");
    let mut line = |text: &str| command.push_str(&format!(" \\\n  {text}"));
    let has_body = endpoint.body.is_some();
    if endpoint.method != Method::GET && !(endpoint.method == Method::POST && has_body) {
        line(&format!("-X {}", endpoint.method));
    }
    line("-H \"Authorization: Bearer $COFFER_KEY\"");
    if endpoint.method == Method::POST {
        line("-H \"Idempotency-Key: $(uuidgen)\"");
    }
    if let Some(body) = &endpoint.body {
        line("-H \"Content-Type: application/json\"");
        let sample: Value = serde_json::from_str(body.sample).expect("samples are JSON");
        line(&format!("-d '{}'", pretty(&sample)));
    }
    command
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("JSON values are printable")
}

/// A value that fits a schema: its own example where it has one.
fn example(schema: &Value, description: &Value) -> Value {
    if let Some(example) = schema.get("example") {
        return example.clone();
    }
    if let Some(target) = schema["$ref"].as_str() {
        let pointer = target.trim_start_matches('#');
        return description.pointer(pointer).map_or(Value::Null, |schema| example(schema, description));
    }
    if let Some(variants) = schema["oneOf"].as_array() {
        // A reply that may be absent is shown absent; of several forms, the first.
        let absent = variants.iter().any(|variant| variant["type"] == "null");
        return if absent { Value::Null } else { example(&variants[0], description) };
    }
    let types = &schema["type"];
    let kind = types.as_str().or_else(|| types.as_array()?.iter().find_map(|t| t.as_str().filter(|t| *t == "null")));
    match kind.unwrap_or("object") {
        "object" => {
            let properties = schema["properties"].as_object();
            let members = properties.into_iter().flatten();
            Value::Object(
                members.map(|(name, schema)| (name.clone(), example(schema, description))).collect::<Map<_, _>>(),
            )
        }
        "array" => json!([example(&schema["items"], description)]),
        "string" if schema["format"] == "date-time" => json!("2026-11-23T14:05:09.000Z"),
        "string" => json!(""),
        "integer" => json!(1),
        "boolean" => json!(false),
        _ => Value::Null,
    }
}

/// A text of the table: what stands between backticks is code. The description keeps them, because it is Markdown.
struct Marked(&'static str);

impl fmt::Display for Marked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.split('`').enumerate() {
            let Ok(part) = askama::filters::escape(part, Html);
            if index % 2 == 1 { write!(f, "<code>{part}</code>")? } else { write!(f, "{part}")? }
        }
        Ok(())
    }
}

impl HtmlSafe for Marked {}

fn marked(text: impl Borrow<Text>, lang: impl Borrow<Lang>) -> Marked {
    Marked(text.borrow().get(lang))
}

#[derive(Template)]
#[template(path = "docs/api.html")]
struct ApiPage<'a> {
    page: Page,
    docs: &'a Docs,
    events: &'static [EventType],
    common: &'static [ErrorCode],
}

impl ApiPage<'_> {
    const BODY_KB: usize = BODY_BYTES_MAX / 1024;
    const KEPT_HOURS: u64 = ANSWERS_KEPT.as_seconds() / 3600;
    const WINDOW_SECONDS: u64 = CREATED_WINDOW.as_seconds();

    fn nonce_chars(&self) -> (usize, usize) {
        (*NONCE_CHARS.start(), *NONCE_CHARS.end())
    }
}

#[derive(Template)]
#[template(path = "docs/errors.html")]
struct ErrorsPage<'a> {
    page: Page,
    docs: &'a Docs,
    codes: &'static [ErrorCode],
    fields: &'static [FieldCode],
}

#[derive(Template)]
#[template(path = "docs/error.html")]
struct CodePage<'a> {
    page: Page,
    docs: &'a Docs,
    code: ErrorCode,
    /// Operations that name it among their own.
    operations: Vec<&'static Endpoint>,
}

/// Registers `/docs` and the description. Before the routes of `/v1`, because the description lies under it.
/// The description for machines, inside the API's own scope.
pub fn description_route(scope: actix_web::Scope, api: &Arc<Api>) -> actix_web::Scope {
    let api = api.clone();
    scope.route("/openapi.json", crate::web::reading().to(move || std::future::ready(openapi(&api))))
}

pub fn routes(config: &mut web::ServiceConfig, api: &Arc<Api>) {
    let with = |page: fn(&Api, &HttpRequest) -> HttpResponse| {
        let api = api.clone();
        crate::web::reading().to(move |request: HttpRequest| {
            let answer = page(&api, &request);
            async move { answer }
        })
    };
    config
        .route("/docs", crate::web::reading().to(async || see("/docs/api")))
        .route("/docs/api", with(api_page))
        .route("/docs/errors", with(errors_page))
        .route("/docs/errors/{code}", with(code_page));
}

fn see(path: &'static str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, path)).finish()
}

fn openapi(api: &Api) -> HttpResponse {
    // Nothing in it is anybody's own, and tools in browsers fetch it.
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .body(api.docs.openapi.clone())
}

fn read_page(api: &Api, request: &HttpRequest) -> Page {
    Page::read(request, api.gateway.env.now())
}

fn api_page(api: &Api, request: &HttpRequest) -> HttpResponse {
    let page = read_page(api, request);
    let body = ApiPage { page: page.clone(), docs: &api.docs, events: EventType::ALL, common: &COMMON_REFUSALS };
    page.respond(StatusCode::OK, &body)
}

fn errors_page(api: &Api, request: &HttpRequest) -> HttpResponse {
    let page = read_page(api, request);
    let body = ErrorsPage { page: page.clone(), docs: &api.docs, codes: ErrorCode::ALL, fields: FieldCode::ALL };
    page.respond(StatusCode::OK, &body)
}

fn code_page(api: &Api, request: &HttpRequest) -> HttpResponse {
    let page = read_page(api, request);
    let code = request.match_info().get("code").and_then(ErrorCode::parse);
    let Some(code) = code else { return ErrorPage::new(&page, Trouble::NotFound, "/docs/errors").respond() };
    let operations = all().filter(|endpoint| endpoint.refusals.contains(&code)).collect();
    page.respond(StatusCode::OK, &CodePage { page: page.clone(), docs: &api.docs, code, operations })
}

impl Group {
    fn icon(self) -> Icon {
        match self {
            Group::Account => Icon::Key,
            Group::Payments => Icon::Payments,
            Group::Refunds => Icon::Refunds,
            Group::Webhooks => Icon::Callbacks,
            Group::Events => Icon::Clock,
            Group::Books => Icon::Ledger,
            Group::Test => Icon::Phone,
        }
    }
}

impl FieldCode {
    /// What it means, for the list of codes.
    const fn about(self) -> Text {
        match self {
            FieldCode::Required => Text::new("必填字段缺失。", "The field is missing."),
            FieldCode::UnknownField => {
                Text::new("没有这个字段，多为拼写错误。", "There is no such field; most often a slip.")
            }
            FieldCode::Duplicate => {
                Text::new("同一个键或参数出现了多次。", "The same key or parameter stands there twice.")
            }
            FieldCode::WrongType => {
                Text::new("类型不对，例如金额写成了数字。", "The wrong type, such as a number for an amount.")
            }
            FieldCode::BadFormat => Text::new("类型正确，但格式不对。", "The right type in the wrong form."),
            FieldCode::TooShort => Text::new("太短。", "Too short."),
            FieldCode::TooLong => Text::new("太长。", "Too long."),
            FieldCode::TooSmall => Text::new("太小。", "Too small."),
            FieldCode::TooLarge => Text::new("太大。", "Too large."),
            FieldCode::TooMany => Text::new("数量太多，或嵌套太深。", "Too many, or nested too deeply."),
            FieldCode::NotAllowed => Text::new("这里不接受这个值。", "The value is not accepted here."),
            FieldCode::CardNumber => {
                Text::new("像是银行卡号，从不接受。", "Looks like a card number, which is never accepted.")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_made_from_the_schemas() {
        let docs = Docs::new("https://pay.example");
        let create =
            docs.sections.iter().flat_map(|s| &s.operations).find(|o| o.endpoint.id == "create_payment").unwrap();
        let reply: Value = serde_json::from_str(&create.reply).unwrap();
        assert_eq!(reply["amount"], json!({"currency": "CNY", "value": "9.90"}));
        assert!(reply["id"].as_str().unwrap().starts_with("pay_"));
        assert!(create.curl.contains("https://pay.example/v1/payments") && create.curl.contains("2026-0001"));
        assert!(create.body.iter().any(|row| row.name == "amount.value"));
    }

    #[test]
    fn what_stands_between_backticks_is_code_and_nothing_is_markup() {
        let text = marked(Text::new("一", "With `method` <b>, see `next`."), Lang::En).to_string();
        assert_eq!(text, "With <code>method</code> &#60;b&#62;, see <code>next</code>.");
    }

    #[test]
    fn every_endpoint_stands_on_the_page_once() {
        let docs = Docs::new("https://pay.example");
        let shown: usize = docs.sections.iter().map(|section| section.operations.len()).sum();
        assert_eq!(shown, all().count());
        assert!(docs.sections.iter().all(|section| !section.operations.is_empty()));
    }
}
