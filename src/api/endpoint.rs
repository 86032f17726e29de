//! The endpoints: one line of this table is a route, an entry of the OpenAPI description and a section of the page that
//! developers read. Nothing else registers routes under `/v1`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use actix_web::http::Method;
use actix_web::{HttpRequest, web};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use super::error::{ErrorCode, Problem};
use super::fields::FieldDoc;
use super::service::{Api, Call, Reply, refuse, serve};
use super::{account, books, docs, events, payments, refunds, simulate, webhooks};
use crate::domain::key::Permission;
use crate::lang::Text;

/// One operation.
pub struct Endpoint {
    /// The operation's name in generated clients.
    pub id: &'static str,
    pub group: Group,
    pub method: Method,
    pub path: &'static str,
    /// `None`: any key may.
    pub permission: Option<Permission>,
    pub summary: Text,
    /// What a developer has to know before using it.
    pub about: Text,
    pub query: Option<Describe>,
    /// `None`: a body holds no fields.
    pub body: Option<Body>,
    /// The status of success.
    pub status: u16,
    pub reply: ReplyDoc,
    /// Refusals beside those that every endpoint has.
    pub refusals: &'static [ErrorCode],
    pub handler: Handler,
}

/// The fields that a reader asks for.
pub type Describe = fn() -> Vec<FieldDoc>;

/// The fields of a body, and one that works.
pub struct Body {
    pub describe: Describe,
    /// Reads a body as the handler does.
    pub accepts: fn(&[u8]) -> Result<(), Problem>,
    pub sample: &'static str,
}

/// A body that this reader reads, with a sample for the documentation.
macro_rules! body {
    ($reader:ident, $sample:literal) => {
        Some($crate::api::endpoint::Body {
            describe: || $crate::api::fields::describe($reader),
            accepts: |bytes| $crate::api::fields::read_body(bytes, $reader).map(|_| ()),
            sample: $sample,
        })
    };
}
pub(super) use body;

pub type Answer = Pin<Box<dyn Future<Output = Result<Reply, Problem>>>>;
pub type Handler = fn(Call) -> Answer;

/// Schemas by name, collected for the description.
pub type Schemas = Vec<(String, RefOr<Schema>)>;

/// The shape of a successful answer.
#[derive(Clone, Copy)]
pub enum ReplyDoc {
    One(fn(&mut Schemas) -> String),
    List(fn(&mut Schemas) -> String),
}

/// Adds the schema of a reply and those it refers to; answers its name.
pub fn schema_of<T: ToSchema>(schemas: &mut Schemas) -> String {
    let name = T::name().into_owned();
    schemas.push((name.clone(), T::schema()));
    T::schemas(schemas);
    name
}

/// Sections of the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Payments,
    Refunds,
    Webhooks,
    Events,
    Books,
    Account,
    Test,
}

impl Group {
    pub const ALL: [Group; 7] =
        [Group::Account, Group::Payments, Group::Refunds, Group::Webhooks, Group::Events, Group::Books, Group::Test];

    pub const fn code(self) -> &'static str {
        match self {
            Group::Payments => "payments",
            Group::Refunds => "refunds",
            Group::Webhooks => "webhooks",
            Group::Events => "events",
            Group::Books => "books",
            Group::Account => "account",
            Group::Test => "test",
        }
    }

    pub const fn title(self) -> Text {
        match self {
            Group::Payments => Text::new("支付", "Payments"),
            Group::Refunds => Text::new("退款", "Refunds"),
            Group::Webhooks => Text::new("回调地址", "Webhook endpoints"),
            Group::Events => Text::new("事件", "Events"),
            Group::Books => Text::new("账本", "Books"),
            Group::Account => Text::new("账户", "Account"),
            Group::Test => Text::new("测试模式", "Test mode"),
        }
    }
}

/// The table. The busiest come first, because routes are tried in this order.
pub const ENDPOINTS: [&[Endpoint]; 7] = [
    payments::ENDPOINTS,
    refunds::ENDPOINTS,
    events::ENDPOINTS,
    account::ENDPOINTS,
    books::ENDPOINTS,
    webhooks::ENDPOINTS,
    simulate::ENDPOINTS,
];

/// All endpoints in the table's order.
pub fn all() -> impl Iterator<Item = &'static Endpoint> {
    ENDPOINTS.into_iter().flatten()
}

/// What every endpoint may answer.
pub const COMMON_REFUSALS: [ErrorCode; 9] = [
    ErrorCode::InvalidRequest,
    ErrorCode::AuthenticationMissing,
    ErrorCode::ApiKeyInvalid,
    ErrorCode::ApiKeyExpired,
    ErrorCode::SignatureInvalid,
    ErrorCode::ScopeMissing,
    ErrorCode::IpNotAllowed,
    ErrorCode::RateLimited,
    ErrorCode::Busy,
];

const PREFIX: &str = "/v1";

/// Registers every route of the table, and answers for what is not in it.
pub fn routes(config: &mut web::ServiceConfig, api: &Arc<Api>) {
    let mut scope = web::scope(PREFIX);
    let mut done: Vec<&str> = Vec::new();
    for endpoint in all() {
        if done.contains(&endpoint.path) {
            continue;
        }
        done.push(endpoint.path);
        let on_path: Vec<_> = all().filter(|other| other.path == endpoint.path).collect();
        let allowed: Vec<Method> = on_path.iter().map(|e| e.method.clone()).collect();
        let relative = endpoint.path.strip_prefix(PREFIX).expect("the table's paths begin with the prefix");
        let mut resource = web::resource(relative);
        for endpoint in on_path {
            let api = api.clone();
            resource =
                resource.route(web::method(endpoint.method.clone()).to(
                    move |request: HttpRequest, payload: web::Payload| serve(endpoint, api.clone(), request, payload),
                ));
        }
        scope = scope.service(resource.default_service(web::to(move |request: HttpRequest| {
            let answer = refuse(&Problem::method_not_allowed(&allowed), &request);
            async move { answer }
        })));
    }
    docs::routes(config, api);
    config.service(scope.default_service(web::to(async |request: HttpRequest| {
        refuse(&Problem::new(ErrorCode::UnknownPath), &request)
    })));
}
