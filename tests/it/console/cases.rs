//! Differences in the console: who may decide them, what a decision needs, and that it happens once.

use actix_web::http::StatusCode;
use coffer::domain::case::Case;
use coffer::domain::ids::Scope;
use coffer::domain::payment::PaymentState;
use coffer::flows::verify::verify;
use coffer::store::tables::{CASES, PAYMENTS};
use coffer::store::{Order, Read, Span};

use super::site::{OTHER_SHOP, SHOP, Site};

impl Site {
    async fn cases(&self, scope: Scope) -> Vec<Case> {
        let read = self.console.store().read(move |tx| tx.scan(&CASES, &Span::prefix(&scope), Order::Ascending, 10));
        read.await.unwrap().into_iter().map(|(_, case)| case).collect()
    }

    async fn assert_verified(&self) {
        let found =
            self.console.store().read(|tx| Ok::<_, coffer::store::StoreError>(verify(tx, &mut |_| {}).map(drop)));
        found.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_wrong_amount_is_found_decided_and_written_down() {
    let site = Site::staffed().await;
    let payment = site.paid_otherwise(SHOP, "M-1", 12, 1300).await;
    let case = site.cases(SHOP).await.remove(0).id;
    let (page, form) = (format!("/console/cases/{case}"), format!("/console/cases/{case}/decide"));
    let mut owner = site.browser_of("owner").await;
    let home = owner.get("/console").await.body;
    assert!(home.contains(&page) && home.contains("<span class=\"count\">1</span>"), "{home}");
    for path in ["/console/attention", &page, &form, &format!("/console/payments/{payment}")] {
        let body = owner.get(path).await.body;
        assert!(body.contains("another amount") && body.contains("13.00"), "{path}: {body}");
    }
    // Nothing is done without a choice, with a wrong amount, or without a reason where one is needed.
    let refused: [&[(&str, &str)]; 4] = [
        &[],
        &[("choice", "book"), ("amount", "12.00")],
        &[("choice", "close"), ("note", " ")],
        &[("choice", "elsewhere"), ("amount", "13.00")],
    ];
    for fields in refused {
        assert_eq!(owner.post(&form, fields).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{fields:?}");
    }
    let impossible = [("choice", "elsewhere"), ("amount", "13.00"), ("note", "by transfer")];
    assert_eq!(owner.post(&form, &impossible).await.status, StatusCode::CONFLICT);
    let decided = owner.post(&form, &[("choice", "book"), ("amount", "13.00")]).await;
    assert_eq!(decided.location, format!("{page}?done=decided"), "{}", decided.body);
    assert_eq!(site.last_action().await, "case.decided");
    let again = owner.post(&form, &[("choice", "give_back"), ("amount", "13.00")]).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY, "what waits now is the rest");
    let again = owner.post(&form, &[("choice", "give_back"), ("amount", "1.00")]).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "it is on its way");
    assert_eq!(owner.get(&form).await.location, page, "there is nothing left to decide");
    let state = site.console.store().read(move |tx| tx.get(&PAYMENTS, &(SHOP, payment))).await.unwrap().unwrap().state;
    assert_eq!(state, PaymentState::Paid);
    assert!(owner.get("/console/attention").await.body.contains("On its way back"));
    site.assert_verified().await;
}

#[tokio::test]
async fn a_case_is_closed_with_a_reason_and_the_order_goes_on() {
    let site = Site::staffed().await;
    let payment = site.paid_otherwise(SHOP, "M-1", 12, 1199).await;
    let case = site.cases(SHOP).await.remove(0).id;
    let mut finance = site.browser_of("finance").await;
    let form = format!("/console/cases/{case}/decide");
    assert!(!finance.get(&form).await.body.contains("value=\"book\""), "too little is not booked");
    let closed = finance.post(&form, &[("choice", "close"), ("note", "=not ours <b>")]).await;
    assert_eq!(closed.status, StatusCode::SEE_OTHER, "{}", closed.body);
    let page = finance.get(&format!("/console/cases/{case}")).await.body;
    assert!(page.contains("not ours") && !page.contains("<b>not") && page.contains("Closed"), "{page}");
    assert!(finance.get("/console/attention").await.body.contains("Nothing waits for you"));
    assert!(finance.get("/console/attention?show=all").await.body.contains("another amount"));
    let state = site.console.store().read(move |tx| tx.get(&PAYMENTS, &(SHOP, payment))).await.unwrap().unwrap().state;
    assert_eq!(state, PaymentState::Open);
    site.assert_verified().await;
}

#[tokio::test]
async fn another_shops_cases_do_not_exist() {
    let site = Site::staffed().await;
    site.paid_otherwise(SHOP, "M-1", 12, 1300).await;
    let case = site.cases(SHOP).await.remove(0).id;
    let mut rival = site.browser_of("rival").await;
    for path in [format!("/console/cases/{case}"), format!("/console/cases/{case}/decide")] {
        assert_eq!(rival.get(&path).await.status, StatusCode::NOT_FOUND);
    }
    let answer = rival.post(&format!("/console/cases/{case}/decide"), &[("choice", "close"), ("note", "x")]).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(site.cases(OTHER_SHOP).await.is_empty());
    assert!(!rival.get("/console/attention?show=all").await.body.contains("another amount"));
}
