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
use super::{account, books, cases, docs, events, payments, refunds, simulate, webhooks};
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

/// The table. The busiest come first, because paths are tried in this order.
pub const ENDPOINTS: [&[Endpoint]; 8] = [
    payments::ENDPOINTS,
    refunds::ENDPOINTS,
    events::ENDPOINTS,
    account::ENDPOINTS,
    books::ENDPOINTS,
    webhooks::ENDPOINTS,
    simulate::ENDPOINTS,
    cases::ENDPOINTS,
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
/// Stands in a path for the id of what it is about.
const ID: &str = "{id}";

/// One path of the table with everything that can be done there.
struct Place {
    /// Behind the prefix.
    segments: Vec<&'static str>,
    endpoints: Vec<&'static Endpoint>,
}

impl Place {
    fn all() -> Vec<Place> {
        let mut places: Vec<Place> = Vec::new();
        for endpoint in all() {
            let relative = endpoint.path.strip_prefix(PREFIX).expect("the table's paths begin with the prefix");
            let segments: Vec<&str> = relative.split('/').collect();
            match places.iter_mut().find(|place| place.segments == segments) {
                Some(place) => place.endpoints.push(endpoint),
                None => places.push(Place { segments, endpoints: vec![endpoint] }),
            }
        }
        places
    }

    /// The id in a path that is this one; empty where it has none. `None` for any other path.
    fn matches<'p>(&self, path: &'p str) -> Option<&'p str> {
        let mut id = "";
        let mut parts = path.split('/');
        for segment in &self.segments {
            let part = parts.next()?;
            if *segment == ID && !part.is_empty() {
                id = part;
            } else if *segment != part {
                return None;
            }
        }
        parts.next().is_none().then_some(id)
    }
}

/// Registers every route of the table, and answers for what is not in it. One handler looks the path up itself: the
/// framework would try a regular expression for each path with an id.
pub fn routes(config: &mut web::ServiceConfig, api: &Arc<Api>) {
    let places = Arc::new(Place::all());
    let handler = {
        let api = api.clone();
        move |request: HttpRequest, payload: web::Payload| dispatch(places.clone(), api.clone(), request, payload)
    };
    let scope = docs::description_route(web::scope(PREFIX), api);
    config.service(scope.default_service(web::to(handler)));
    docs::routes(config, api);
}

async fn dispatch(
    places: Arc<Vec<Place>>,
    api: Arc<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> actix_web::HttpResponse {
    let path = request.match_info().unprocessed();
    let found = places.iter().find_map(|place| Some((place, place.matches(path)?)));
    let Some((place, id)) = found else { return refuse(&Problem::new(ErrorCode::UnknownPath), &request) };
    // Whoever wants the headers alone is answered as for GET; the server leaves the body out.
    let wanted = if *request.method() == Method::HEAD { &Method::GET } else { request.method() };
    match place.endpoints.iter().find(|endpoint| endpoint.method == wanted) {
        Some(endpoint) => {
            let id = id.to_owned();
            serve(endpoint, api, request, id, payload).await
        }
        None => {
            let mut allowed: Vec<Method> = place.endpoints.iter().map(|endpoint| endpoint.method.clone()).collect();
            if allowed.contains(&Method::GET) {
                allowed.push(Method::HEAD);
            }
            refuse(&Problem::method_not_allowed(&allowed), &request)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_whole_or_not_at_all() {
        let find = |path| {
            let found =
                Place::all().into_iter().find_map(|place| Some((place.segments.join("/"), place.matches(path)?)));
            found.map(|(place, id)| format!("{place} {id}"))
        };
        assert_eq!(find("/payments").as_deref(), Some("/payments "));
        assert_eq!(find("/payments/pay_1").as_deref(), Some("/payments/{id} pay_1"));
        assert_eq!(find("/payments/pay_1/cancel").as_deref(), Some("/payments/{id}/cancel pay_1"));
        for path in [
            "",
            "/",
            "/payments/",
            "/payments//cancel",
            "/payments/pay_1/",
            "/payments/pay_1/x",
            "payments",
            "/Payments",
        ] {
            assert_eq!(find(path), None, "{path}");
        }
    }

    #[test]
    fn every_endpoint_has_its_place() {
        let places = Place::all();
        for endpoint in all() {
            let path = endpoint.path.strip_prefix(PREFIX).unwrap().replace(ID, "some_1");
            let found = places.iter().find(|place| place.matches(&path).is_some()).unwrap();
            assert!(found.endpoints.iter().any(|other| other.id == endpoint.id), "{}", endpoint.path);
        }
    }
}
