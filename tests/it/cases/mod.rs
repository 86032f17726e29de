//! Acceptance cases: a good shop passes all of them, and each fault of a bad one is found and named.

pub mod town;

use std::collections::BTreeSet;
use std::sync::Mutex;

use coffer::cases::catalogue::Code;
use coffer::cases::report::Report;
use coffer::cases::run::{State, Verdict};
use coffer::domain::time::Duration;
use coffer::env::transport::Method;
use coffer::store::Read;
use coffer::store::tables::{ACCEPTANCE_RUNS, CASES_OPEN};
use coffer::store::{Order, Span, StoreError};
use serde_json::{Value, json};

use crate::cli::running::Folder;
use crate::demo::Demo;

use self::town::{Answer, Heard, Town, case, faults};

/// What a careful shop does, as far as a test does not say otherwise.
fn careful(heard: &Heard<'_>) -> Answer {
    Answer::Status(if heard.genuine { 200 } else { 401 })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demos_shop_passes_every_case() {
    let town = Town::open().await;
    let report = town.run(&[]).await;
    assert_eq!((report.status.as_str(), report.cases.len()), ("finished", Code::ALL.len()));
    for case in &report.cases {
        // Payment codes need a simulated channel that has them.
        let expected = if case.code.starts_with("barcode") { "skipped" } else { "passed" };
        assert_eq!(case.verdict, expected, "{case:#?}");
    }
    let waiting = town.house.gateway.store.read(|tx| tx.scan(&CASES_OPEN, &Span::all(), Order::Ascending, 9)).await;
    let waiting: Result<_, StoreError> = waiting;
    assert_eq!(waiting.unwrap(), [], "a run leaves nothing to do for people");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_believes_everybody_is_found_out() {
    let town = Town::with_shop(|_| Answer::Status(200)).await;
    let report = town.run(&["delivery", "forged", "unsigned", "tampered", "stale"]).await;
    assert_eq!(report.verdict.as_deref(), Some("failed"));
    assert_eq!(case(&report, "delivery").verdict, "passed");
    for (code, fault) in [
        ("forged", "forgery_believed"),
        ("unsigned", "unsigned_believed"),
        ("tampered", "tampered_believed"),
        ("stale", "stale_believed"),
    ] {
        assert_eq!(faults(&report, code), [fault]);
    }
    let finding = &case(&report, "forged").findings[0];
    assert!(finding.url.as_deref().unwrap().ends_with("/hook") && finding.docs.ends_with("/docs/api#callbacks"));
    assert!(finding.fix.zh.contains("验签") && finding.fix.en.contains("Verify the signature"));
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_checks_the_signature_but_not_the_time_is_found_out() {
    let town = Town::with_shop(|heard| Answer::Status(if heard.signed { 200 } else { 400 })).await;
    let report = town.run(&["forged", "unsigned", "tampered", "stale"]).await;
    for code in ["forged", "unsigned", "tampered"] {
        assert_eq!(case(&report, code).verdict, "passed");
    }
    assert_eq!(faults(&report, "stale"), ["stale_believed"]);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_fails_on_what_it_has_seen_is_found_out() {
    let seen = Mutex::new(BTreeSet::new());
    let town = Town::with_shop(move |heard| {
        let fresh = heard.genuine && seen.lock().unwrap().insert(heard.id.to_owned());
        match (heard.genuine, fresh) {
            (true, true) => Answer::Status(200),
            // The unique key of its table, and nobody who handles that.
            (true, false) => Answer::Status(500),
            (false, _) => Answer::Status(401),
        }
    });
    let town = town.await;
    let report = town.run(&["delivery", "paid", "repeated", "parallel", "forged"]).await;
    for code in ["delivery", "paid", "forged"] {
        assert_eq!(case(&report, code).verdict, "passed", "{report:#?}");
    }
    assert_eq!(faults(&report, "repeated"), ["repeat_refused"]);
    assert_eq!(faults(&report, "parallel"), ["parallel_refused"]);
    let seen = case(&report, "repeated").findings[0].seen.as_ref().unwrap();
    assert!(seen.en.contains("HTTP 500") && seen.zh.contains("错误日志"));
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_knows_only_what_it_expects_is_found_out() {
    let town = Town::with_shop(|heard| {
        if !heard.genuine {
            return Answer::Status(401);
        }
        let event = heard.event();
        let payment = &event["data"]["payment"];
        Answer::Status(match event["type"].as_str().unwrap() {
            _ if heard.body.len() > 16 * 1024 => 413,
            _ if event.get("something_new").is_some() => 422,
            "payment.paid" if payment["status"] == "paid" => 200,
            "payment.processing" => 409,
            _ => 400,
        })
    });
    let town = town.await;
    let report = town.run(&["delivery", "reordered", "unknown_event", "unknown_fields", "large"]).await;
    assert_eq!(case(&report, "delivery").verdict, "passed");
    for (code, fault) in [
        ("reordered", "order_refused"),
        ("unknown_event", "unknown_event_refused"),
        ("unknown_fields", "unknown_fields_refused"),
        ("large", "large_refused"),
    ] {
        assert_eq!(faults(&report, code), [fault]);
    }
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_takes_nothing_is_told_why_and_not_judged_further() {
    for (answer, fault, says) in [
        (
            (|_: &Heard<'_>| Answer::Redirect("https://www.shop.example/hook")) as fn(&Heard<'_>) -> Answer,
            "redirects",
            "www.shop.example",
        ),
        (|_| Answer::HangUp, "no_answer", ""),
        (|_| Answer::Status(500), "crashes", "HTTP 500"),
        (|_| Answer::Status(404), "refuses", "HTTP 404"),
    ] {
        let town = Town::with_shop(answer).await;
        let report = town.run(&["delivery", "paid", "repeated", "forged"]).await;
        assert_eq!(faults(&report, "delivery"), [fault]);
        assert!(case(&report, "delivery").findings[0].seen.as_ref().unwrap().en.contains(says));
        for code in ["paid", "repeated", "forged"] {
            let case = case(&report, code);
            assert_eq!((case.verdict.as_str(), case.findings.len()), ("skipped", 0), "{case:#?}");
            assert!(case.skipped.as_ref().unwrap().en.contains("not even a plain callback"));
        }
        town.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_shop_is_asked_to_be_faster() {
    let town = Town::with_shop(|heard| {
        heard.clock.leap(Duration::from_seconds(6));
        careful(heard)
    });
    let town = town.await;
    let report = town.run(&["delivery"]).await;
    assert_eq!(
        (report.verdict.as_deref(), faults(&report, "delivery").as_slice()),
        (Some("to_look_at"), &["slow"][..])
    );
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_recovered_is_not_held_to_its_past() {
    let town = Town::with_shop(|_| Answer::Status(500)).await;
    // Enough failures that Coffer pauses the address.
    town.run(&["delivery", "paid", "refund"]).await;
    town.lead_to(&format!("{}/shop/callback", town.base)).await;
    let report = town.run(&["delivery", "paid"]).await;
    assert_eq!(report.verdict.as_deref(), Some("passed"), "{report:#?}");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_address_the_first_case_says_so_and_one_can_be_named_for_a_run() {
    let town = Town::open().await;
    let scope = town.scope;
    let removed = town.house.gateway.store.write(move |tx| {
        let rows = tx.scan(&coffer::store::tables::ENDPOINTS, &Span::prefix(&scope), Order::Ascending, 1)?;
        coffer::flows::endpoints::remove(tx, scope, rows[0].1.id)
    });
    removed.await.unwrap();
    let report = town.run(&["endpoint", "paid"]).await;
    assert_eq!(faults(&report, "endpoint"), ["no_endpoint"]);
    assert_eq!(case(&report, "paid").verdict, "skipped");
    // The demo's shop verifies with the merchant's default secret.
    let own = format!("{}/shop/callback", town.base);
    let mut report = town.start(&json!({"only": ["delivery", "paid", "forged"], "callback_url": own})).await;
    while report.status == "running" {
        town.house.gateway.env.sleep(Duration::from_millis(50)).await;
        report = town.report(&report.id).await;
    }
    assert_eq!((report.verdict.as_deref(), report.callback_url), (Some("passed"), Some(own)));
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_has_one_run_at_a_time_and_a_repeated_request_starts_no_second() {
    let town = Town::open().await;
    let wanted = json!({"only": ["refund_failed"]}).to_string();
    let start = async || town.send(Method::Post, "/v1/test/cases", &[("idempotency-key", "k1")], &wanted).await;
    let first = start().await;
    assert_eq!(first.status, 201);
    let again = start().await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, Some("true")));
    assert_eq!(again.body, first.body);
    let other = town.send(Method::Post, "/v1/test/cases", &[], "{}").await;
    let problem: Value = serde_json::from_slice(&other.body).unwrap();
    assert_eq!((other.status, problem["code"].as_str()), (409, Some("cases_running")));
    let list = town.send(Method::Get, "/v1/test/cases", &[], "").await;
    let list: Value = serde_json::from_slice(&list.body).unwrap();
    assert_eq!((list["data"].as_array().unwrap().len(), list["data"][0]["status"].as_str()), (1, Some("running")));
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_interrupts_a_run_and_keeps_what_was_done() {
    let town = Town::open().await;
    let started = town.start(&json!({"only": ["endpoint", "refund_failed"]})).await;
    while town.report(&started.id).await.done == 0 {
        town.house.gateway.env.sleep(Duration::from_millis(20)).await;
    }
    town.stop();
    let (scope, id) = (town.scope, started.id.parse().unwrap());
    let run = loop {
        let run = town.house.gateway.store.read(move |tx| tx.get(&ACCEPTANCE_RUNS, &(scope, id))).await;
        let run: Result<_, StoreError> = run;
        match run.unwrap().unwrap() {
            run if run.state != State::Running => break run,
            _ => town.house.gateway.env.sleep(Duration::from_millis(20)).await,
        }
    };
    assert_eq!((run.state, run.outcomes.len(), run.count(Verdict::Passed)), (State::Interrupted, 1, 1));
    assert!(run.ended_at.is_some());
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_left_running_is_shown_as_interrupted_and_does_not_hinder_the_next() {
    let town = Town::open().await;
    let (scope, now) = (town.scope, town.house.gateway.env.now());
    let left = coffer::cases::run::Run::new(coffer::domain::ids::RunId::new(now, [7; 10]), &[], None, now);
    let id = left.id.to_string();
    town.house.gateway.store.write(move |tx| coffer::cases::store(tx, scope, &left)).await.unwrap();
    let report = town.report(&id).await;
    assert_eq!((report.status.as_str(), report.verdict, report.current), ("interrupted", None, None));
    assert_eq!(town.run(&["endpoint"]).await.verdict.as_deref(), Some("passed"));
    town.close().await;
}

#[test]
fn the_command_finds_a_demo_prints_the_report_and_tells_by_its_code() {
    let folder = Folder::new();
    let alone = folder.run(&["cases"]);
    assert_eq!(alone.code, 3);
    assert!(alone.err.contains("--url") && alone.err.contains("COFFER_KEY"), "{}", alone.err);
    let demo = Demo::start(&folder);
    let fine = folder.run(&["cases", "--only", "delivery", "--only", "forged"]);
    assert_eq!(fine.code, 0, "{}", fine.err);
    assert!(fine.out.contains("✓ forged") && fine.out.contains("2 passed, 0 failed"), "{}", fine.out);
    let nobody = "http://127.0.0.1:1/hook";
    let failed = folder.run(&["cases", "--only", "delivery", "--callback-url", nobody, "--lang", "zh"]);
    assert_eq!(failed.code, 1);
    assert!(failed.out.contains("✗ delivery") && failed.out.contains("需要处理") && failed.out.contains(nobody));
    let json = folder.run(&["cases", "--only", "delivery", "--callback-url", nobody, "--json"]);
    let report: Report = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json.code, report.verdict.as_deref()), (1, Some("failed")));
    assert_eq!(faults(&report, "delivery"), ["no_answer"]);
    let stranger = folder.run(&["cases", "--key", "sk_test_nobody"]);
    assert!(stranger.code == 1 && stranger.err.contains("refused"), "{}", stranger.err);
    let list = folder.run(&["cases", "--list"]).fine();
    assert!(Code::ALL.iter().all(|code| list.contains(code.as_str())));
    demo.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_newest_runs_are_kept() {
    let town = Town::open().await;
    let (scope, now) = (town.scope, town.house.gateway.env.now());
    for n in 0..25u8 {
        let at = now.plus(Duration::from_millis(u64::from(n)));
        let run = coffer::cases::run::Run::new(coffer::domain::ids::RunId::new(at, [n; 10]), &[], None, at);
        town.house.gateway.store.write(move |tx| coffer::cases::store(tx, scope, &run)).await.unwrap();
    }
    let kept = town.house.cases.newest(scope).await.unwrap();
    assert_eq!((kept.len(), kept[0].started_at), (20, now.plus(Duration::from_millis(24))));
    town.close().await;
}
