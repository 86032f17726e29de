//! What went wrong with a channel is told in the reader's language; what was said stands behind it in small print.

use actix_web::http::StatusCode;
use coffer::channels::{ChannelError, Observation, PaidFacts};
use coffer::domain::event::Happening;
use coffer::domain::follow::Step;
use coffer::domain::ids::PaymentId;
use coffer::domain::merchant::ChannelKind;
use coffer::domain::money::{Currency, Money};
use coffer::domain::trouble::{Trouble, TroubleKind};
use coffer::flows::observe::Source;
use coffer::flows::timeline::tell;

use super::site::{SHOP, Site};

const ASKED: Source = Source::FollowUp(Step::Create);

async fn pages(site: &Site, payment: PaymentId) -> [String; 2] {
    let mut browser = site.browser_of("support").await;
    let mut pages = [String::new(), String::new()];
    for (page, lang) in pages.iter_mut().zip(["zh-CN", "en"]) {
        let answer = browser.get(&format!("/console/payments/{payment}?lang={lang}")).await;
        assert_eq!(answer.status, StatusCode::OK);
        *page = answer.body;
    }
    pages
}

#[tokio::test]
async fn a_refusal_is_explained_with_the_providers_code_behind_it() {
    let site = Site::staffed().await;
    let refused = Observation::Refused { code: "NOT_ENOUGH".into(), detail: "账户余额不足".into() };
    let payment = site.heard(SHOP, "1001", ChannelKind::WechatPay, vec![(ASKED, refused)]).await;
    let [zh, en] = pages(&site, payment).await;
    assert!(zh.contains("收款时是顾客的，请顾客换卡"), "{zh}");
    assert!(en.contains("another card helps"), "{en}");
    for page in [zh, en] {
        assert!(page.contains("<span class=\"raw\">NOT_ENOUGH · 账户余额不足</span>"), "{page}");
    }
}

#[tokio::test]
async fn engineers_words_stand_in_small_print_only() {
    let credentials = ChannelError::Credentials { detail: "KEY_X: whatever".into() };
    let unknown_key = ChannelError::UnknownKey { id: "5157F09E".into() };
    let table = [
        (Observation::unknown(&credentials.trouble()), "密钥或证书", "keys or certificates", "KEY_X: whatever"),
        (Observation::unknown(&unknown_key.trouble()), "密钥不在本系统里", "not known here", "5157F09E"),
        (Observation::no_words(502), "渠道没有正常答复", "no proper answer", "HTTP 502"),
        (
            Observation::unknown(&Trouble::new(TroubleKind::NoAnswer, "timeout")),
            "没有在时限内答复",
            "did not answer in time",
            "timeout",
        ),
    ];
    let site = Site::staffed().await;
    for (number, (said, zh_says, en_says, raw)) in table.into_iter().enumerate() {
        let said = vec![(ASKED, said)];
        let payment = site.heard(SHOP, &format!("10{number}"), ChannelKind::Alipay, said).await;
        let [zh, en] = pages(&site, payment).await;
        assert!(zh.contains(zh_says) && en.contains(en_says), "{zh_says}");
        for page in [zh, en] {
            assert!(page.contains(&format!("<span class=\"raw\">{raw}</span>")), "{raw}");
            // The advice for shops that are called back is no advice about a channel.
            assert!(!page.contains("cannot be used:") && !page.contains("2xx"), "{raw}");
        }
    }
}

#[tokio::test]
async fn the_story_does_not_say_that_nothing_came_when_something_came_and_was_refused() {
    let site = Site::staffed().await;
    let facts = |order: &str| PaidFacts {
        amount: Money::new(10_000, Currency::CNY),
        transaction_id: format!("T-{order}"),
        paid_at: site.now(),
        identity: Ok(()),
    };
    let found = |order: &str| vec![(ASKED, Observation::Paid(facts(order)))];
    let quiet = site.heard(SHOP, "1001", ChannelKind::WechatPay, found("1001")).await;
    let [zh, en] = pages(&site, quiet).await;
    assert!(zh.contains("没有等到可信的通知") && en.contains("could be believed had come"));

    let loud = site.heard(SHOP, "1002", ChannelKind::WechatPay, found("1002")).await;
    let (now, from) = (site.now(), Some("203.0.113.9".parse().unwrap()));
    let reason = Trouble { channel: Some(ChannelKind::WechatPay), ..Trouble::new(TroubleKind::UnknownKey, "5157F09E") };
    let refused = Happening::NotificationRefused { reason, from };
    site.console.store().write(move |tx| tell(tx, SHOP, loud, now, refused.clone())).await.unwrap();
    let [zh, en] = pages(&site, loud).await;
    assert!(zh.contains("来过的通知没有通过验证") && zh.contains("密钥不在本系统里"), "{zh}");
    assert!(en.contains("A notification had come and was refused") && en.contains("5157F09E · 203.0.113.9"), "{en}");
}
