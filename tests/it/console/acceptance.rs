//! The page of acceptance cases: started from a form, followed, read again, and never outside of test mode.

use actix_web::http::StatusCode;
use coffer::cases::catalogue::Code;
use coffer::domain::ids::{Mode, Scope};
use serde_json::Value;

use super::site::{SHOP, Site};

const PAGE: &str = "/console/developers/cases";

#[tokio::test]
async fn a_run_is_started_followed_and_taken_as_a_file() {
    let site = Site::staffed().await;
    let mut browser = site.browser_of("owner").await;
    let before = browser.get(PAGE).await;
    assert!(
        Code::ALL.iter().all(|code| before.body.contains(code.as_str())),
        "the list stands there before the first run"
    );
    let started = browser.post(PAGE, &[("callback_url", "https://shop.example/hook")]).await;
    assert_eq!((started.status, started.location.as_str()), (StatusCode::SEE_OTHER, PAGE));
    let page = browser.get(PAGE).await.body;
    assert!(page.contains("Running: Callback address (0 of 27)") && page.contains("<progress value=\"0\" max=\"27\""));
    assert!(
        page.contains("data-poll") && page.contains("<noscript><meta http-equiv=\"refresh\""),
        "with script and without"
    );
    assert!(!page.contains("Run all cases"), "one at a time");
    browser.post(PAGE, &[]).await;
    let runs = site.console.cases().newest(SHOP).await.unwrap();
    assert_eq!((runs.len(), runs[0].callback_url.as_deref()), (1, Some("https://shop.example/hook")));
    let file = browser.get(&format!("{PAGE}/{}/report", runs[0].id)).await;
    assert!(file.header("content-disposition").starts_with("attachment"));
    let report: Value = serde_json::from_str(&file.body).unwrap();
    assert_eq!((report["object"].as_str(), report["status"].as_str()), (Some("case_run"), Some("running")));
    assert_eq!(browser.get(&format!("{PAGE}/{}", runs[0].id)).await.status, StatusCode::OK);
    let mut rival = site.browser_of("rival").await;
    for path in [format!("{PAGE}/{}", runs[0].id), format!("{PAGE}/{}/report", runs[0].id)] {
        assert_eq!(rival.get(&path).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn live_mode_starts_nothing_and_shows_the_reports_of_test_mode() {
    let site = Site::staffed().await;
    let mut browser = site.browser_of("owner").await;
    browser.post("/console/switch", &[("mode", "live")]).await;
    let page = browser.get(PAGE).await.body;
    assert!(page.contains("Switch to test mode") && !page.contains("Run all cases"));
    assert_eq!(browser.post(PAGE, &[]).await.status, StatusCode::SEE_OTHER);
    for mode in [Mode::Test, Mode::Live] {
        assert_eq!(site.console.cases().newest(Scope { mode, ..SHOP }).await.unwrap(), []);
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_shown_again_with_the_reason() {
    let site = Site::staffed().await;
    let mut browser = site.browser_of("owner").await;
    for bad in ["shop.example", "ftp://shop.example/", "javascript:alert(1)"] {
        let answer = browser.post(PAGE, &[("callback_url", bad)]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(answer.body.contains("Enter a complete http or https address.") && answer.body.contains(bad));
    }
    assert_eq!(site.console.cases().newest(SHOP).await.unwrap(), []);
}
