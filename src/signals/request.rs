//! Around every request: a new id, a span for its log lines, a time limit, and its place in the metrics.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse, web};
use tracing::Instrument;

use super::Signals;
use super::metrics::RouteClass;
use crate::domain::ids::RequestId;
use crate::domain::time::Duration;

/// How long a request may take from its head to the head of the answer, its body included. Streams of events begin their
/// answer at once and are not cut.
pub const REQUEST_TIME_MAX: Duration = Duration::from_seconds(30);

/// The header that tells the id to the client. One that comes in is ignored: ids are ours.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// The id of a request that came through [`observe`].
pub fn request_id(request: &HttpRequest) -> Option<RequestId> {
    request.extensions().get::<RequestId>().copied()
}

/// The outermost middleware.
pub async fn observe(
    signals: web::Data<Signals>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started_ms = signals.env.clock.monotonic_ms();
    let id = RequestId::new(signals.env.now(), signals.env.random());
    let class = RouteClass::of(request.path());
    let span = tracing::info_span!("request", %id);
    request.extensions_mut().insert(id);
    let answer = async {
        let answered = tokio::time::timeout(REQUEST_TIME_MAX.to_std(), next.call(request)).await;
        let took = Duration::from_millis(signals.env.clock.monotonic_ms().saturating_sub(started_ms));
        let value = HeaderValue::from_str(&id.to_string()).expect("an id is letters and digits");
        let (cause, mut response) = match answered {
            Ok(Ok(response)) => {
                let mut response = response.map_into_boxed_body();
                signals.metrics.request(class, response.status().as_u16(), took);
                log(&response, took);
                response.headers_mut().insert(REQUEST_ID, value);
                return Ok(response);
            }
            Ok(Err(error)) => (error.to_string(), HttpResponse::from_error(error)),
            Err(_) => ("it took too long".to_owned(), HttpResponse::RequestTimeout().finish()),
        };
        let status = response.status().as_u16();
        signals.metrics.request(class, status, took);
        tracing::warn!(status, took_ms = took.as_millis(), cause, "a request ended before a handler answered it");
        response.headers_mut().insert(REQUEST_ID, value);
        Err(InternalError::from_response(cause, response).into())
    };
    answer.instrument(span).await
}

/// Names the path without its query: queries can hold what is not for logs.
fn log(response: &ServiceResponse<BoxBody>, took: Duration) {
    let (method, path) = (response.request().method().as_str(), response.request().path());
    let (status, took_ms) = (response.status().as_u16(), took.as_millis());
    if response.status().is_server_error() {
        let cause = response.response().error().map(ToString::to_string);
        tracing::warn!(method, path, status, took_ms, cause, "the answer is an error of ours");
    } else {
        tracing::debug!(method, path, status, took_ms, "answered");
    }
}
