//! The pages that developers read, and the description that tools read.

use actix_web::http::Method;
use coffer::api::endpoint::all;
use coffer::api::error::ErrorCode;

use super::site::{Call, Site};

#[tokio::test]
async fn the_description_is_served_to_anybody() {
    let site = Site::new();
    let answer = site.send(Call::new(Method::GET, "/v1/openapi.json")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let description = answer.json();
    assert_eq!(description["openapi"], "3.1.0");
    assert_eq!(description["servers"][0]["url"], "https://pay.example");
    assert_eq!(description["paths"].as_object().unwrap().len(), {
        let mut paths: Vec<_> = all().map(|endpoint| endpoint.path).collect();
        paths.sort_unstable();
        paths.dedup();
        paths.len()
    });
}

#[tokio::test]
async fn every_described_endpoint_exists_and_asks_for_proof() {
    let site = Site::new();
    for endpoint in all() {
        let path = endpoint.path.replace("{id}", "x");
        let answer = site.send(Call::new(endpoint.method.clone(), &path)).await;
        assert_eq!(answer.refusal().1, "authentication_missing", "{} {path}", endpoint.method);
    }
}

#[tokio::test]
async fn every_endpoint_needs_its_permission() {
    let site = Site::new();
    let powerless = site.token(|key| key.permissions = Default::default());
    for endpoint in all() {
        let call = Call::new(endpoint.method.clone(), &endpoint.path.replace("{id}", "x")).bearer(&powerless);
        let answer = site.send(call).await;
        match endpoint.permission {
            Some(_) => assert_eq!(answer.refusal(), (403, "scope_missing".to_owned()), "{}", endpoint.id),
            None => assert_eq!(answer.status, 200, "{}", endpoint.id),
        }
    }
}

#[tokio::test]
async fn pages_are_written_in_both_languages_and_need_no_script() {
    let site = Site::new();
    for (lang, expected) in [("zh-CN", "创建支付"), ("en", "Create a payment")] {
        let answer = site.send(Call::new(Method::GET, &format!("/docs/api?lang={lang}"))).await;
        let page = answer.text();
        assert_eq!(answer.status, 200);
        assert!(page.contains(expected) && page.contains(&format!("<html lang=\"{lang}\"")));
        for endpoint in all() {
            assert!(page.contains(&format!("id=\"{}\"", endpoint.id)), "{}", endpoint.id);
        }
        assert!(!page.contains(" style=") && !page.contains(" onclick=") && !page.contains("<style"));
        assert_eq!(page.matches("<script").count(), page.matches("<script src=\"/").count(), "no inline script");
    }
}

#[tokio::test]
async fn every_error_code_has_its_page() {
    let site = Site::new();
    for code in ErrorCode::ALL {
        let answer = site.send(Call::new(Method::GET, &format!("/docs/errors/{}?lang=en", code.as_str()))).await;
        assert_eq!(answer.status, 200);
        assert!(answer.text().replace("&#39;", "'").contains(code.title().en));
    }
    let list = site.send(Call::new(Method::GET, "/docs/errors?lang=zh-CN")).await.text();
    assert!(ErrorCode::ALL.iter().all(|code| list.contains(code.as_str()) && list.contains(code.title().zh)));
    assert_eq!(site.send(Call::new(Method::GET, "/docs/errors/no_such_code")).await.status, 404);
    assert_eq!(site.send(Call::new(Method::GET, "/docs")).await.header("location"), Some("/docs/api"));
}

#[tokio::test]
async fn whatever_can_be_read_can_be_asked_for_its_headers_alone() {
    let site = Site::new();
    let shop = site.shop();
    let described = all().filter(|endpoint| endpoint.method == Method::GET);
    let paths = described.map(|endpoint| endpoint.path.replace("{id}", "pay_00000000000000000000000000"));
    for path in paths.chain(["/docs", "/docs/api", "/docs/errors", "/v1/openapi.json"].map(str::to_owned)) {
        let (head, get) = (shop.send(Call::new(Method::HEAD, &path)).await, shop.get(&path).await);
        assert_eq!((head.status, head.header("content-type")), (get.status, get.header("content-type")), "{path}");
    }
    let refused = shop.send(Call::new(Method::PUT, "/v1/payments")).await;
    assert!(refused.header("allow").unwrap().contains("HEAD"));
}
