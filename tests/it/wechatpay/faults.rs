//! Faults that the walks through the methods do not meet: what the adapter concludes is the truth or nothing.

use coffer::channels::{Observation, Order};
use coffer::domain::method::Method;
use coffer::domain::time::Duration;
use coffer::sandbox::provider::fault::Fault;
use coffer::sandbox::wechatpay::Mode;

use super::site::Site;

#[tokio::test]
async fn an_answer_after_everybodys_patience_is_no_answer() {
    let site = Site::open(Mode::PublicKey).await;
    for fault in [Fault::AnswerLate, Fault::AnswerSlow] {
        site.faults(&[fault]).await;
        let order = Order::Create(site.create(Method::WechatNative));
        let heard = site.ask_within(&order, Duration::from_millis(700)).await;
        assert!(matches!(heard, Ok(Observation::Unknown { .. })), "{fault:?}: {heard:?}");
    }
    // An answer that takes three seconds is one to whoever waits as long as the queue does.
    let heard = site.ask(&Order::Create(site.create(Method::WechatNative))).await;
    assert!(matches!(heard, Ok(Observation::Accepted { .. })), "{heard:?}");
    site.close().await;
}

#[tokio::test]
async fn money_that_comes_after_the_end_is_seen() {
    let site = Site::open(Mode::PublicKey).await;
    site.faults(&[Fault::PayAfterClose]).await;
    let (create, _) = site.ordered(Method::WechatNative).await;
    site.skip(Duration::from_minutes(31)).await;
    let seen = site.query(&create).await;
    assert!(matches!(seen, Ok(Observation::Paid(_))), "{seen:?}");
    site.close().await;
}

#[tokio::test]
async fn a_refund_that_the_provider_gives_up_has_failed() {
    let site = Site::open(Mode::PublicKey).await;
    site.faults(&[Fault::RefundAbnormal]).await;
    let create = site.paid().await;
    let refund = site.refund(&create, 600);
    let sent = site.ask(&Order::Refund(refund.clone())).await;
    assert!(matches!(sent, Ok(Observation::RefundProcessing { .. })), "{sent:?}");
    site.skip(Duration::from_hours(1)).await;
    let seen = site.ask(&Order::QueryRefund(refund.about)).await;
    assert!(matches!(seen, Ok(Observation::RefundFailed { .. })), "{seen:?}");
    site.close().await;
}
