//! The adapter against the simulator over real HTTP. The two were written from the same sheet by different hands and share
//! no code of the protocol, so what passes here was read the same way twice.

mod code_v2;
mod faults;
mod pages;
mod sdks;
pub mod site;
mod till;

use std::collections::BTreeMap;

use coffer::channels::statement::{
    StatementAnswer, StatementError, StatementId, StatementKind, StatementLine, TradeKind,
};
use coffer::channels::{Channel, ChannelError, Observation, Order, RefundRedirect, RefundTarget};
use coffer::crypto::Secret;
use coffer::domain::method::Method;
use coffer::domain::time::Duration;
use coffer::env::Env;
use coffer::sandbox::provider::fault::Fault;
use coffer::sandbox::provider::model::Deed;
use coffer::sandbox::provider::records::Mood;
use coffer::sandbox::wechatpay::Mode;

use self::site::{Site, about, day_of, observations, paid_minor, yuan};
use crate::troubled::TROUBLED;

#[tokio::test]
async fn every_method_is_ordered_paid_told_and_queried() {
    let site = Site::open(Mode::PublicKey).await;
    for method in [Method::WechatNative, Method::WechatJsapi, Method::WechatMini, Method::WechatH5, Method::WechatApp] {
        let (create, next) = site.ordered(method).await;
        assert_eq!(site.query(&create).await, Ok(Observation::NotPaid), "{method}");
        site.pay(&next, Deed::Pay).await;
        let told = site.told().await;
        assert_eq!(paid_minor(&told), [1230], "{method}: {told:?}");
        let Ok(Observation::Paid(facts)) = site.query(&create).await else { panic!("{method} is paid") };
        assert_eq!((facts.amount, &facts.identity), (yuan(1230), &Ok(())));
        let mut by_id = about(&create);
        by_id.transaction_id = Some(facts.transaction_id.clone());
        assert_eq!(site.ask(&Order::Query(by_id)).await, Ok(Observation::Paid(facts)), "{method}");
    }
    site.close().await;
}

#[tokio::test]
async fn an_order_closes_until_it_is_paid_and_repeats_until_it_is_closed() {
    let site = Site::open(Mode::PublicKey).await;
    let (create, _) = site.ordered(Method::WechatNative).await;
    assert!(matches!(site.ask(&Order::Create(create.clone())).await, Ok(Observation::Accepted { .. })));
    let close = Order::Close(about(&create));
    assert_eq!(site.ask(&close).await, Ok(Observation::Closed));
    assert_eq!(site.ask(&close).await, Ok(Observation::Closed), "closing twice is closing once");
    assert_eq!(site.query(&create).await, Ok(Observation::Closed));
    let paid = site.paid().await;
    let refused = site.ask(&Order::Close(about(&paid))).await;
    assert!(!matches!(refused, Ok(Observation::Closed) | Ok(Observation::NotFound)), "{refused:?}");
    assert!(matches!(site.query(&paid).await, Ok(Observation::Paid(_))));
    assert_eq!(site.query(&site.create(Method::WechatNative)).await, Ok(Observation::NotFound));
    site.close().await;
}

#[tokio::test]
async fn a_code_that_the_customer_shows_is_charged_asked_for_and_reversed() {
    let site = Site::open(Mode::PublicKey).await;
    let shown = async |mood| {
        let mut create = site.create(Method::WechatBarcode);
        create.auth_code = Some(site.show_code(mood).await);
        let answer = site.ask(&Order::Create(create.clone())).await;
        (create, answer)
    };
    let (paid, answer) = shown(Mood::Pays).await;
    assert!(matches!(&answer, Ok(Observation::Paid(facts)) if facts.amount == yuan(1230)), "{answer:?}");
    let (asked, answer) = shown(Mood::AskedForPassword).await;
    assert!(matches!(answer, Ok(Observation::Accepted { .. } | Observation::NotPaid)), "{answer:?}");
    assert_eq!(site.query(&asked).await, Ok(Observation::NotPaid));
    for create in [&paid, &asked] {
        let closed = site.ask_on(&Order::Close(about(create))).await;
        assert_eq!(closed, Observation::Closed);
        let after = site.query(create).await;
        assert!(matches!(after, Ok(Observation::Closed | Observation::Declined { .. })), "{after:?}");
    }
    for mood in [Mood::BalanceShort, Mood::Refuses] {
        let (create, _) = shown(mood).await;
        let after = site.query(&create).await;
        assert!(matches!(after, Ok(Observation::Declined { .. } | Observation::Closed)), "{mood:?}: {after:?}");
    }
    assert!(site.told().await.is_empty(), "this way of paying never notifies");
    site.close().await;
}

#[tokio::test]
async fn refunds_are_followed_to_their_end_and_redirected_when_stuck() {
    let site = Site::open(Mode::PublicKey).await;
    let paid = site.paid().await;
    let part = site.refund(&paid, 1000);
    let accepted = site.ask(&Order::Refund(part.clone())).await;
    let Ok(Observation::RefundProcessing { channel_refund_id: Some(_) }) = &accepted else { panic!("{accepted:?}") };
    assert_eq!(site.ask(&Order::Refund(part.clone())).await, accepted, "repeating is asking");
    let too_much = site.ask(&Order::Refund(site.refund(&paid, 231))).await;
    assert!(matches!(too_much, Ok(Observation::Refused { .. })), "{too_much:?}");
    site.skip(Duration::from_minutes(2)).await;
    let told = site.told().await;
    assert!(
        matches!(observations(&told)[..], [Observation::RefundSucceeded { amount, .. }] if *amount == yuan(1000)),
        "{told:?}"
    );
    let after = site.ask(&Order::QueryRefund(part.about)).await;
    assert!(matches!(after, Ok(Observation::RefundSucceeded { .. })), "{after:?}");
    assert!(matches!(site.query(&paid).await, Ok(Observation::Paid(_))), "a refunded order is still paid");

    site.faults(&[Fault::CardClosed]).await;
    let stuck_order = site.paid().await;
    let stuck = site.refund(&stuck_order, 1230);
    let Ok(Observation::RefundProcessing { channel_refund_id }) = site.ask(&Order::Refund(stuck.clone())).await else {
        panic!("accepted")
    };
    site.skip(Duration::from_minutes(1)).await;
    assert!(!matches!(observations(&site.told().await)[..], [Observation::RefundSucceeded { .. }]));
    let mut known = stuck.about.clone();
    known.channel_refund_id = channel_refund_id;
    let card = RefundTarget::CustomerCard {
        bank: "ICBC_DEBIT".to_owned(),
        card_no: Secret::new("6222000000000000000"),
        holder: Secret::new("张三"),
    };
    let redirect = RefundRedirect { about: known, to: card };
    let helped = site.ask(&Order::RedirectRefund(redirect)).await;
    assert!(matches!(helped, Ok(Observation::RefundProcessing { .. })), "{helped:?}");
    site.skip(Duration::from_minutes(1)).await;
    assert!(matches!(observations(&site.told().await)[..], [Observation::RefundSucceeded { .. }]));

    site.faults(&[Fault::BalanceShort]).await;
    let poor = site.paid().await;
    let refused = site.ask(&Order::Refund(site.refund(&poor, 1230))).await;
    // The merchant tops up, and the same number is sent again: nothing is over.
    assert!(matches!(refused, Ok(Observation::Unknown { .. })), "{refused:?}");
    site.faults(&[Fault::RefundStuck]).await;
    let slow = site.paid().await;
    let refund = site.refund(&slow, 1230);
    site.ask_on(&Order::Refund(refund.clone())).await;
    site.skip(Duration::from_days(2)).await;
    let still = site.ask(&Order::QueryRefund(refund.about.clone())).await;
    assert!(matches!(still, Ok(Observation::RefundProcessing { .. })), "{still:?}");
    site.skip(Duration::from_days(2)).await;
    let done = site.ask(&Order::QueryRefund(refund.about)).await;
    assert!(matches!(done, Ok(Observation::RefundSucceeded { .. })), "{done:?}");
    site.close().await;
}

/// Whatever happens to an answer, it is never taken for money or for a refusal, and asking again finds the truth.
#[tokio::test]
async fn troubled_answers_are_unknown_and_the_truth_is_found_by_asking() {
    let site = Site::open(Mode::PublicKey).await;
    for fault in TROUBLED.into_iter().chain([Fault::ProbeAnswer]) {
        site.faults(&[fault]).await;
        let create = site.create(Method::WechatNative);
        let first = site.ask(&Order::Create(create.clone())).await;
        let unknown = matches!(
            first,
            Ok(Observation::Unknown { .. })
                | Err(ChannelError::NotGenuine { .. } | ChannelError::Probe | ChannelError::Malformed { .. })
        );
        assert!(unknown, "{fault:?}: {first:?}");
        let Observation::Accepted { next_action } = site.ask_on(&Order::Create(create.clone())).await else {
            panic!("{fault:?}: accepted in the end")
        };
        site.faults(&[]).await;
        site.pay(&next_action, Deed::Pay).await;
        assert_eq!(paid_minor(&site.told().await), [1230], "{fault:?}");
        let paid = site.ask_on(&Order::Query(about(&create))).await;
        assert!(matches!(paid, Observation::Paid(_)), "{fault:?}: {paid:?}");
    }
    site.faults(&[Fault::ClockSkew]).await;
    let skewed = site.ask(&Order::Create(site.create(Method::WechatNative))).await;
    assert!(matches!(skewed, Err(ChannelError::NotGenuine { .. })), "{skewed:?}");
    site.close().await;
}

#[tokio::test]
async fn notifications_are_believed_only_when_they_are_genuine() {
    let site = Site::open(Mode::PublicKey).await;
    let paid_with = async |faults: &[Fault]| {
        site.faults(faults).await;
        let (create, next) = site.ordered(Method::WechatNative).await;
        site.pay(&next, Deed::Pay).await;
        (create, site.told().await)
    };
    let (_, told) = paid_with(&[Fault::LoseNotification]).await;
    assert!(told.is_empty());
    let (_, told) = paid_with(&[Fault::DoubleNotification]).await;
    assert_eq!(paid_minor(&told), [1230, 1230]);
    let (create, told) = paid_with(&[Fault::ForgeNotification]).await;
    assert!(matches!(told[..], [Err(ChannelError::NotGenuine { .. })]), "{told:?}");
    assert!(matches!(site.query(&create).await, Ok(Observation::Paid(_))), "asking heals it");
    site.faults(&[]).await;
    let (_, told) = paid_with(&[Fault::ProbeNotification]).await;
    assert!(matches!(told[..], [Err(ChannelError::Probe)]), "{told:?}");
    site.skip(Duration::from_seconds(2)).await;
    // The real message follows, and the forged one of before climbs its ladder.
    assert_eq!(paid_minor(&site.told().await), [1230]);
    let (create, told) = paid_with(&[Fault::MisstateAmount]).await;
    assert_eq!(paid_minor(&told), [1229], "signed and wrong: the caller compares it with the order");
    let Ok(Observation::Paid(facts)) = site.query(&create).await else { panic!("paid") };
    assert_eq!(facts.amount, yuan(1230));
    let (_, told) = paid_with(&[Fault::DelayNotification]).await;
    assert!(told.is_empty());
    site.skip(Duration::from_minutes(1)).await;
    assert_eq!(paid_minor(&site.told().await), [1230]);
    site.close().await;
}

#[tokio::test]
async fn an_overtaken_notification_comes_after_the_one_that_followed() {
    let site = Site::open(Mode::PublicKey).await;
    site.faults(&[Fault::ReorderNotification]).await;
    let (create, next) = site.ordered(Method::WechatNative).await;
    site.pay(&next, Deed::Pay).await;
    assert!(site.told().await.is_empty(), "waits");
    site.ask_on(&Order::Refund(site.refund(&create, 1230))).await;
    site.skip(Duration::from_minutes(3)).await;
    let told = site.told().await;
    let kinds: Vec<bool> = observations(&told).iter().map(|seen| matches!(seen, Observation::Paid(_))).collect();
    assert_eq!(kinds.len(), 2, "both arrive: {told:?}");
    site.close().await;
}

#[tokio::test]
async fn platform_certificates_are_fetched_rotated_and_mixed_with_the_public_key() {
    let site = Site::open(Mode::Certificate).await;
    let upkeep = async || {
        let channel = site.channel();
        let request = channel.upkeep(&site.sealing()).expect("certificates are wanted");
        let response = site.send(request).await.unwrap();
        channel.read_upkeep(&response, Env::system().now())
    };
    let first = site.ask(&Order::Create(site.create(Method::WechatNative))).await;
    assert!(matches!(first, Err(ChannelError::UnknownKey { .. })), "nothing is known yet: {first:?}");
    let record = upkeep().await.unwrap().expect("the first certificate");
    site.reopen(&record);
    let before = site.paid().await;
    assert!(matches!(site.query(&before).await, Ok(Observation::Paid(_))));

    // The new certificate signs before it was fetched: unknown, until upkeep brings it.
    site.faults(&[Fault::NewKey]).await;
    let (create, unknown) = {
        let create = site.create(Method::WechatNative);
        let answer = site.ask(&Order::Create(create.clone())).await;
        (create, answer)
    };
    assert!(matches!(unknown, Err(ChannelError::UnknownKey { .. })), "{unknown:?}");
    let record = upkeep().await.unwrap().expect("both certificates");
    site.reopen(&record);
    let Ok(Observation::Accepted { next_action }) = site.ask(&Order::Create(create)).await else { panic!("known now") };
    site.pay(&next_action, Deed::Pay).await;
    assert_eq!(paid_minor(&site.told().await), [1230], "told under the new one");

    // While a merchant moves to the public key, either kind signs notifications.
    site.faults(&[Fault::MixedKeys]).await;
    for _ in 0..6 {
        let (_, next) = site.ordered(Method::WechatNative).await;
        site.pay(&next, Deed::Pay).await;
    }
    assert_eq!(paid_minor(&site.told().await).len(), 6);
    site.close().await;
}

#[tokio::test]
async fn bills_agree_with_what_happened_and_false_ones_are_noticed() {
    let site = Site::open(Mode::PublicKey).await;
    let (first, second) = (site.paid().await, site.paid().await);
    let refund = site.refund(&first, 230);
    site.ask_on(&Order::Refund(refund.clone())).await;
    let day = day_of(site.simulators.world.now().await.unwrap());
    site.skip(Duration::from_hours(40)).await;
    let fetch = async |kind| -> Result<Result<Vec<StatementLine>, StatementError>, StatementAnswer> {
        let (channel, wanted) = (site.channel(), StatementId { kind, day });
        let request = channel.request_statement(wanted, &site.sealing()).unwrap();
        let response = site.send(request).await.unwrap();
        match channel.read_statement_answer(wanted, &response, &site.sealing()).unwrap() {
            StatementAnswer::Download { request, promise } => {
                let file = site.send(request).await.unwrap();
                let mut lines = Vec::new();
                let read =
                    channel.read_statement(wanted, &promise, &mut file.body.as_slice(), &mut |line| lines.push(line));
                Ok(read.map(|_| lines))
            }
            other => Err(other),
        }
    };
    let lines = fetch(StatementKind::Trades).await.unwrap().unwrap();
    let by_order = |lines: &[StatementLine]| -> BTreeMap<(String, bool), u64> {
        let trade = |line: &StatementLine| match line {
            StatementLine::Trade(line) => {
                Some(((line.order_no.clone(), line.kind == TradeKind::Payment), line.amount.minor()))
            }
            StatementLine::Fund(_) => None,
        };
        lines.iter().filter_map(trade).collect()
    };
    let expected = BTreeMap::from([
        ((first.attempt.bare(), true), 1230),
        ((second.attempt.bare(), true), 1230),
        ((first.attempt.bare(), false), 230),
    ]);
    assert_eq!(by_order(&lines), expected);
    assert_eq!(fetch(StatementKind::Funds).await.unwrap().unwrap().len(), 6, "each movement and its fee");

    site.faults(&[Fault::BillRowMissing]).await;
    assert_eq!(fetch(StatementKind::Trades).await.unwrap().unwrap().len(), 2);
    site.faults(&[Fault::BillRowExtra]).await;
    assert_eq!(fetch(StatementKind::Trades).await.unwrap().unwrap().len(), 4);
    site.faults(&[Fault::BillRowAltered]).await;
    let altered = by_order(&fetch(StatementKind::Trades).await.unwrap().unwrap());
    assert!(altered != expected && altered.values().any(|fen| *fen == 1231), "{altered:?}");
    site.faults(&[Fault::BillLate]).await;
    assert!(matches!(fetch(StatementKind::Trades).await, Err(StatementAnswer::NotYet)));
    site.faults(&[Fault::BillHashWrong]).await;
    assert_eq!(fetch(StatementKind::Trades).await.unwrap(), Err(StatementError::WrongChecksum));
    for fault in [Fault::BillCut, Fault::BillLinkDead] {
        site.faults(&[fault]).await;
        assert!(fetch(StatementKind::Trades).await.unwrap().is_err(), "{fault:?}");
    }
    site.close().await;
}
