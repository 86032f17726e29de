//! Headers that every answer carries unless its handler set its own.

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::Next;

/// No script, style or frame but our own files; nothing inline, nothing from elsewhere.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'";

/// The same for a page whose form leads to one other origin, such as a bank's gateway. `None` when it is not one.
pub fn csp_with_form_target(origin: &str) -> Option<HeaderValue> {
    let origin = url::Url::parse(origin).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?.origin();
    let target = format!("form-action 'self' {}", origin.ascii_serialization());
    HeaderValue::from_str(&CONTENT_SECURITY_POLICY.replace("form-action 'self'", &target)).ok()
}

/// Two years, as browsers' preload lists ask for.
const STRICT_TRANSPORT_SECURITY: &str = "max-age=63072000; includeSubDomains";

const DEFAULTS: [(HeaderName, &str); 8] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // Pages show money and names: neither a proxy nor the back button of the next person may keep them.
    (header::CACHE_CONTROL, "no-store"),
    // Other sites learn our host and never a path, which may hold a token. `no-referrer` would be stricter, but it
    // makes browsers send `Origin: null` with forms, and WeChat's H5 payment asks for the referring host.
    (header::REFERRER_POLICY, "strict-origin-when-cross-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
];

/// Middleware for the whole application: `App::new().wrap(actix_web::middleware::from_fn(security_headers))`.
pub async fn security_headers<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    // A forwarded scheme may be forged, but only towards the forger: browsers ignore this header over plain HTTP.
    let secure = request.connection_info().scheme() == "https";
    let mut response = next.call(request).await?;
    let headers = response.headers_mut();
    let mut add = |name: HeaderName, value| {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    for (name, value) in DEFAULTS {
        add(name, value);
    }
    if secure {
        add(header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT_SECURITY);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_may_lead_to_one_origin_and_nothing_slips_in_with_it() {
        let policy = |target| csp_with_form_target(target).map(|value| value.to_str().unwrap().to_owned());
        let allowed = policy("https://gateway.95516.com/gateway/api?x=1").unwrap();
        assert!(allowed.contains("form-action 'self' https://gateway.95516.com; base-uri 'none'"), "{allowed}");
        assert!(allowed.contains("script-src 'self'; "));
        assert_eq!(policy("javascript:alert(1)"), None);
        assert_eq!(policy("https://a.example; script-src *"), None);
    }
}
