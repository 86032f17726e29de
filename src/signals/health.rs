//! `/healthz`, `/readyz` and `/metrics`: for machines that watch this one.

use actix_web::http::header::{self, HeaderName};
use actix_web::{HttpRequest, HttpResponse, web};
use ipnet::IpNet;

use super::{Signals, metrics::CONTENT_TYPE};

/// Headers that say that somebody else is behind the peer.
const FORWARDED: [HeaderName; 4] =
    [header::FORWARDED, header::VIA, HeaderName::from_static("x-forwarded-for"), HeaderName::from_static("x-real-ip")];

/// Whether the server can do its work, and a sentence why not.
pub type Ready = dyn Fn() -> Result<(), &'static str> + Send + Sync;

/// Who may read the metrics.
pub struct MetricsAccess(pub Vec<IpNet>);

/// Adds the three pages. Needs `Data<Signals>`, `Data<Ready>` and `Data<MetricsAccess>`.
pub fn configure(routes: &mut web::ServiceConfig) {
    routes
        .route("/healthz", crate::web::reading().to(alive))
        .route("/readyz", crate::web::reading().to(ready))
        .route("/metrics", crate::web::reading().to(numbers));
}

/// The process answers; whether it can work is another question.
async fn alive() -> HttpResponse {
    plain(HttpResponse::Ok(), "ok\n")
}

async fn ready(ready: web::Data<Ready>) -> HttpResponse {
    match (ready.get_ref())() {
        Ok(()) => plain(HttpResponse::Ok(), "ready\n"),
        Err(why) => plain(HttpResponse::ServiceUnavailable(), format!("{why}\n")),
    }
}

/// Others get 404, as if there were no such page. A request that came through a proxy is refused even when the proxy runs
/// on this machine, because whoever is behind it is not.
async fn numbers(request: HttpRequest, signals: web::Data<Signals>, access: web::Data<MetricsAccess>) -> HttpResponse {
    let forwarded = FORWARDED.iter().any(|name| request.headers().contains_key(name));
    let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
    let allowed = peer.is_some_and(|peer| access.0.iter().any(|net| net.contains(&peer)));
    if forwarded || !allowed {
        return HttpResponse::NotFound().finish();
    }
    // What is asked of the store reads from the disk.
    let metrics = signals.metrics.clone();
    match web::block(move || metrics.render()).await {
        Ok(text) => HttpResponse::Ok().content_type(CONTENT_TYPE).body(text),
        Err(_) => HttpResponse::ServiceUnavailable().finish(),
    }
}

fn plain(mut response: actix_web::HttpResponseBuilder, text: impl Into<String>) -> HttpResponse {
    response
        .content_type("text/plain; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(text.into())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service, read_body};
    use actix_web::{App, http::StatusCode};

    use super::*;
    use crate::env::Env;
    use crate::signals::{Metrics, request};

    async fn get(
        path: &str,
        peer: &str,
        header: Option<(&str, &str)>,
        readiness: Result<(), &'static str>,
    ) -> (StatusCode, String) {
        let metrics = Arc::new(Metrics::new(&Default::default(), Default::default));
        let ready: Arc<Ready> = Arc::new(move || readiness);
        let app = init_service(
            App::new()
                .app_data(web::Data::new(Signals { env: Env::system(), metrics }))
                .app_data(web::Data::from(ready))
                .app_data(web::Data::new(MetricsAccess(vec!["127.0.0.1/32".parse().unwrap()])))
                .configure(configure)
                .wrap(from_fn(request::observe)),
        )
        .await;
        let mut call = TestRequest::get().uri(path).peer_addr(peer.parse::<SocketAddr>().unwrap());
        if let Some(header) = header {
            call = call.insert_header(header);
        }
        let response = call_service(&app, call.to_request()).await;
        assert!(response.headers().get("request-id").unwrap().to_str().unwrap().starts_with("req_"));
        let status = response.status();
        (status, String::from_utf8(read_body(response).await.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn metrics_are_for_listed_peers_without_a_proxy_between() {
        assert_eq!(get("/metrics", "127.0.0.1:9", None, Ok(())).await.0, StatusCode::OK);
        assert_eq!(get("/metrics", "[::ffff:127.0.0.1]:9", None, Ok(())).await.0, StatusCode::OK);
        assert_eq!(get("/metrics", "10.0.0.1:9", None, Ok(())).await.0, StatusCode::NOT_FOUND);
        for name in ["x-forwarded-for", "X-Real-IP", "forwarded", "via"] {
            let proxied = get("/metrics", "127.0.0.1:9", Some((name, "127.0.0.1")), Ok(())).await;
            assert_eq!(proxied.0, StatusCode::NOT_FOUND, "{name}");
        }
    }

    #[tokio::test]
    async fn a_server_that_cannot_work_is_alive_but_not_ready() {
        let why = Err("the store has stopped");
        assert_eq!(get("/healthz", "10.0.0.1:9", None, why).await.0, StatusCode::OK);
        assert_eq!(get("/readyz", "10.0.0.1:9", None, Ok(())).await.0, StatusCode::OK);
        let (status, text) = get("/readyz", "10.0.0.1:9", None, why).await;
        assert_eq!((status, text.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "the store has stopped\n"));
    }

    #[tokio::test]
    async fn an_incoming_request_id_is_not_trusted() {
        let metrics = Arc::new(Metrics::new(&Default::default(), Default::default));
        let app = init_service(
            App::new()
                .app_data(web::Data::new(Signals { env: Env::system(), metrics }))
                .route("/", web::get().to(HttpResponse::Ok))
                .wrap(from_fn(request::observe)),
        )
        .await;
        let call = TestRequest::get().uri("/").insert_header(("request-id", "mine")).to_request();
        let response = call_service(&app, call).await;
        let ids: Vec<_> = response.headers().get_all("request-id").collect();
        assert!(ids.len() == 1 && ids[0] != "mine");
    }
}
