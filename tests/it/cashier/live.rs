//! The live change of an open page.

use coffer::channels::Observation;
use coffer::domain::method::Method;

use super::shop::{Shop, order};

fn mark(json: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    value["mark"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_page_and_its_status_carry_the_same_mark_which_changes_with_the_face() {
    let shop = Shop::open("山下陶器").await;
    let bought = shop.sell(order("SO-1", 128)).await;
    let mut seen = Vec::new();
    for step in 0..4 {
        match step {
            0 => {}
            1 => drop(bought.choose(Method::WechatNative).await),
            2 => bought.code_is_shown().await,
            _ => bought.channel_took(128).await,
        }
        let mark = mark(&bought.get("/status").await.body);
        bought.get("").await.says(&format!("data-mark=\"{mark}\""));
        assert!(!seen.contains(&mark), "{mark} came twice");
        seen.push(mark);
    }
    bought.get("/status").await.says("\"status\":\"paid\",\"done\":true");
}

#[tokio::test]
async fn a_change_is_told_to_an_open_page_and_the_stream_ends_with_the_payment() {
    let shop = Shop::open("山下陶器").await;
    let bought = shop.sell(order("SO-1", 128)).await;
    bought.choose(Method::WechatNative).await;
    bought.code_is_shown().await;
    // The stream ends by itself once it is paid, so reading all of it comes to an end.
    let (stream, ()) = tokio::join!(bought.get("/events"), bought.channel_took(128));
    let told: Vec<&str> = stream.body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let last = told.last().expect("something was told");
    assert!(last.contains("\"status\":\"paid\",\"done\":true"), "{told:?}");
    assert!(stream.body.starts_with("retry: 2000\n"));
    assert_eq!(shop.gateway.changes.watched(), 0, "nobody watches any more");
}

#[tokio::test]
async fn an_ended_payment_tells_so_once() {
    let shop = Shop::open("山下陶器").await;
    let bought = shop.sell(order("SO-1", 128)).await;
    bought.choose(Method::WechatNative).await;
    bought.code_is_shown().await;
    bought.post("/cancel", &[]).await;
    bought.hear(Observation::Closed).await;
    let stream = bought.get("/events").await;
    assert_eq!(stream.body.matches("event: status").count(), 1);
    stream.says("\"status\":\"canceled\",\"done\":true");
}
