//! Lists as files: what is in them, what is defused, who may take them, and that it is written down.

use actix_web::http::StatusCode;
use coffer::audit::log;
use coffer::console::auth::roles::{Permission, Role};
use coffer::domain::time::Duration;

use super::site::{SHOP, Site};

#[tokio::test]
async fn payments_are_taken_as_a_file_as_they_are_filtered() {
    let site = Site::staffed().await;
    for i in 0..1_100 {
        site.paid(SHOP, &format!("A-{i:04}"), 10 + i).await;
        site.pass(Duration::from_millis(1));
    }
    site.pass(Duration::from_hours(24));
    site.paid(SHOP, "=HYPERLINK(\"http://evil\",\"x\")", 3).await;
    let mut owner = site.browser_of("owner").await;
    let file = owner.post("/console/payments/export", &[]).await;
    assert_eq!(file.header("content-type"), "text/csv; charset=utf-8; header=present");
    assert!(file.header("content-disposition").contains("attachment; filename=\"coffer-payments-2026-11-24.csv\""));
    assert!(file.body.starts_with("\u{feff}\"Created\","), "{}", &file.body[..80]);
    let lines: Vec<&str> = file.body.lines().collect();
    assert_eq!(lines.len(), 1 + 1_101, "more than one piece, nothing twice");
    assert!(lines[1].contains("\"A-0000\"") && lines[1].contains("\"10.00\",\"CNY\",\"0.06\""), "{}", lines[1]);
    assert!(lines[1_101].contains("\"'=HYPERLINK(\"\"http"), "{}", lines[1_101]);
    let some = owner.post("/console/payments/export", &[("status", "paid"), ("from", "2026-11-24"), ("to", "")]).await;
    assert_eq!(some.body.lines().count(), 2, "{}", some.body);
    let none = owner.post("/console/payments/export", &[("status", "expired")]).await;
    assert_eq!(none.body.lines().count(), 1);
    let records = site.console.store().read(|tx| log::newest(tx, SHOP.merchant, None, 3)).await.unwrap();
    assert!(records.iter().all(|record| record.action.code() == "data.exported"));
    assert!(format!("{:?}", records[1].detail).contains("2026-11-24"), "{:?}", records[1].detail);
}

#[tokio::test]
async fn refunds_and_the_journal_are_taken_as_files() {
    let site = Site::staffed().await;
    let payment = site.paid(SHOP, "A-1", 100).await;
    let mut finance = site.browser_of("finance").await;
    let fields = [("number", "console-abcdefghabcdefgh"), ("amount", "9.90"), ("again", "9.90"), ("reason", "@broken")];
    let done = finance.post(&format!("/console/payments/{payment}/refund"), &fields).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
    let refunds = finance.post("/console/refunds/export", &[("status", "pending")]).await.body;
    assert!(
        refunds.contains("\"A-1\"") && refunds.contains("\"9.90\"") && refunds.contains("\"'@broken\""),
        "{refunds}"
    );
    let journal = finance.post("/console/ledger/export", &[]).await.body;
    let cells = |name: &str| journal.lines().filter(|line| line.contains(name)).count();
    assert_eq!((cells("\"1001\""), cells("\"2006\"")), (1, 1), "{journal}");
    assert!(journal.contains("\"100.00\",\"\",\"CNY\""), "{journal}");
    for (from, lines) in [("2026-11-23", journal.lines().count()), ("2026-11-24", 1)] {
        let some = finance.post("/console/ledger/export", &[("from", from)]).await.body;
        assert_eq!(some.lines().count(), lines, "{from}");
    }
    let before = finance.post("/console/ledger/export", &[("to", "2026-11-22")]).await.body;
    assert_eq!(before.lines().count(), 1);
}

#[tokio::test]
async fn only_some_roles_see_the_way_to_a_file() {
    let site = Site::staffed().await;
    site.paid(SHOP, "A-1", 100).await;
    for role in Role::ALL {
        let page = site.browser_of(role.as_str()).await.get("/console/payments").await.body;
        assert_eq!(page.contains("/console/payments/export"), role.may(Permission::Export), "{role}");
    }
}

#[tokio::test]
async fn a_search_for_an_amount_says_what_was_looked_through() {
    let site = Site::staffed().await;
    for i in 0..60 {
        site.paid(SHOP, &format!("B-{i:03}"), 7).await;
        site.pass(Duration::from_seconds(1));
    }
    let mut owner = site.browser_of("owner").await;
    let first = owner.get("/console/search?q=7.00").await.body;
    assert!(first.contains("payments from") && first.contains("B-059") && !first.contains("B-000"), "{first}");
    let older = first.split_once("href=\"").map(|_| first.split("href=\"").find(|part| part.contains("after=")));
    let older = older.flatten().unwrap().split('"').next().unwrap().replace("&#38;", "&");
    let second = owner.get(&older).await.body;
    assert!(
        second.contains("B-000") && !second.contains("B-059") && second.contains("there are no older ones"),
        "{second}"
    );
}
