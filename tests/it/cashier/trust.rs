//! What a browser says proves nothing.

use actix_web::http::StatusCode;
use coffer::domain::method::Method;
use coffer::domain::payment::PaymentState;
use coffer::domain::time::Duration;
use coffer::store::Read;
use coffer::store::tables::JOURNAL_HEADS;

use super::shop::{Shop, order};

/// Attack 27 of the list: the return from a wallet, forged as a success.
#[tokio::test]
async fn coming_back_from_a_wallet_never_proves_a_payment() {
    let shop = Shop::open("山下陶器").await;
    let bought = shop.sell(order("SO-1", 128)).await;
    bought.choose(Method::AlipayQr).await;
    bought.code_is_shown().await;
    shop.pass(Duration::from_seconds(10));
    let forged = "status=paid&trade_status=TRADE_SUCCESS&total_amount=128.00&respCode=00&returned=1&sign=x";
    for path in [format!("/return?{forged}"), format!("?{forged}"), format!("?paid=1&stage=paid&{forged}")] {
        let answer = bought.get(&path).await;
        assert!(matches!(answer.status, StatusCode::OK | StatusCode::SEE_OTHER));
        answer.lacks("<h1>Paid</h1>").lacks("Back to the shop");
    }
    bought.post("/return", &[("status", "paid")]).await;
    assert_eq!(bought.payment().await.state, PaymentState::Processing);
    let scope = shop.scope;
    let booked = shop.gateway.store.read(move |tx| tx.get(&JOURNAL_HEADS, &scope)).await.unwrap();
    assert!(booked.is_none(), "nothing was booked");
}

#[tokio::test]
async fn coming_back_asks_the_channel_and_coming_back_often_does_not_ask_often() {
    let shop = Shop::open("山下陶器").await;
    let bought = shop.sell(order("SO-1", 128)).await;
    bought.choose(Method::AlipayQr).await;
    bought.code_is_shown().await;
    shop.pass(Duration::from_seconds(1));
    let answer = bought.get("/return").await;
    assert_eq!(answer.location, format!("/c/{}?returned=1", bought.token));
    let planned = bought.attempt().await.follow_up.unwrap();
    assert!(planned > shop.now(), "something was heard a second ago, so the plan stays");
    shop.pass(Duration::from_seconds(60));
    bought.get("/return").await;
    assert_eq!(bought.attempt().await.follow_up, Some(shop.now()), "asked at once");
}

#[tokio::test]
async fn a_link_that_we_did_not_make_leads_nowhere() {
    let shop = Shop::open("山下陶器").await;
    let mut bought = shop.sell(order("SO-1", 128)).await;
    let genuine = bought.token.clone();
    let swap = |at: usize, with: &str| format!("{}{with}{}", &genuine[..at], &genuine[at + 1..]);
    let other = |at: usize| if &genuine[at..=at] == "A" { "B" } else { "A" };
    let mut wrong: Vec<String> = [0, 12, 30, 50].map(|at| swap(at, other(at))).into();
    wrong.extend(["x".to_owned(), genuine[..40].to_owned(), format!("{genuine}AA"), "%00".to_owned()]);
    for token in wrong {
        bought.token = token;
        for path in ["", "/return", "/status", "/events"] {
            let answer = bought.get(path).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{} {path}", bought.token);
            answer.lacks("SO-1").lacks("山下陶器");
        }
        for path in ["/cancel", "/method"] {
            assert_eq!(bought.post(path, &[("method", "alipay_qr")]).await.status, StatusCode::NOT_FOUND);
        }
    }
    bought.token = genuine;
    assert_eq!(bought.payment().await.state, PaymentState::Open);
}

#[tokio::test]
async fn looking_changes_nothing() {
    let shop = Shop::open("山下陶器").await;
    let bought = shop.sell(order("SO-1", 128)).await;
    let before = bought.payment().await;
    for path in ["", "?choose=1", "?go=1&returned=1", "/status", "/return", "/cancel", "/method?method=alipay_qr"] {
        bought.get(path).await;
    }
    assert_eq!(bought.payment().await, before);
}

#[tokio::test]
async fn only_what_the_merchant_offers_can_be_chosen() {
    let shop = Shop::open("山下陶器").await;
    let bought = shop.sell(order("SO-1", 128)).await;
    for method in ["wechat_app", "wechat_barcode", "alipay_page", "paypal", "", "WECHAT_NATIVE"] {
        let answer = bought.post("/method", &[("method", method)]).await;
        assert_eq!(answer.location, format!("/c/{}?unavailable=1", bought.token), "{method}");
    }
    assert_eq!(bought.post("/method", &[("amount", "0.01")]).await.status, StatusCode::BAD_REQUEST);
    bought.get("?unavailable=1").await.says("not available right now");
    assert!(bought.payment().await.attempts.is_empty());

    let mut fixed = order("SO-2", 128);
    fixed.method = Some(Method::AlipayQr);
    let bought = shop.sell(fixed).await;
    bought.post("/method", &[("method", "wechat_native")]).await;
    assert_eq!(bought.attempt().await.method, Method::AlipayQr, "what the shop fixed cannot be changed");
}

#[tokio::test]
async fn a_shops_texts_and_addresses_are_texts_and_addresses() {
    let shop = Shop::open("<img src=x onerror=alert(1)>").await;
    let mut new = order("<script>alert(2)</script>", 128);
    new.description = "\"><svg onload=alert(3)>".into();
    new.return_url = Some("javascript:alert(4)".into());
    new.cancel_url = Some("data:text/html,<script>alert(5)</script>".into());
    let bought = shop.sell(new).await;
    bought.choose(Method::WechatNative).await;
    bought.code_is_shown().await;
    let page = bought.get("").await;
    page.lacks("<img").lacks("<script>").lacks("<svg onload").lacks("javascript:").lacks("data:text");
    bought.channel_took(128).await;
    bought.get("").await.says("<h1>Paid</h1>").lacks("javascript:").lacks("data-forward").lacks("Back to the shop");
}

#[tokio::test]
async fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
    let shop = Shop::open("山下陶器").await;
    let bought = shop.sell(order("SO-1", 128)).await;
    bought.choose(Method::WechatNative).await;
    bought.code_is_shown().await;
    let page = bought.get("").await;
    page.lacks(" style=").lacks("<style").lacks("<script>").lacks(" onclick").lacks("//cdn");
    assert!(page.policy.starts_with("default-src 'none'; script-src 'self';"), "{}", page.policy);
    assert!(page.policy.contains("form-action 'self';") && page.policy.contains("frame-ancestors 'none'"));
}
