//! Each state has its page, and each page its next step.

use actix_web::http::StatusCode;
use coffer::channels::Observation;
use coffer::domain::event::EventType;
use coffer::domain::merchant::ChannelKind;
use coffer::domain::method::Method;
use coffer::domain::payment::{NextAction, PaymentState};
use coffer::domain::time::Duration;
use coffer::flows::events;
use coffer::store::tables::EVENTS;
use coffer::store::{Order, Read, Span};

use super::shop::{PHONE, Shop, WECHAT, order};

#[tokio::test]
async fn the_customer_chooses_a_wallet_and_sees_its_code() {
    let shop = Shop::open("山下陶器").await;
    let bought = shop.sell(order("SO-1", 128)).await;
    bought.get("").await.says("Or choose one here").says(">128.00<").says("SO-1").says("山下陶器");

    // The channel answers while the page that was posted still waits for it.
    let data = "http://127.0.0.1:8080/pay/AbCdEfGhIjKlMnOpQrStUv".to_owned();
    let answer = bought.chosen("alipay_qr", NextAction::QrCode { data }).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.location, format!("/c/{}?go=1", bought.token));

    let page = bought.get("").await;
    page.says("Scan with Alipay").says("<svg class=\"qr\"").says("Pay before").says("I have paid");
    page.says("http://127.0.0.1:8080/pay/").says("Open the test phone");
}

#[tokio::test]
async fn a_wallet_that_does_not_answer_is_said_and_another_can_be_chosen() {
    let shop = Shop::open("山下陶器").await;
    let bought = shop.sell(order("SO-1", 128)).await;
    bought.choose(Method::WechatNative).await;
    bought.get("").await.says("Connecting to WeChat Pay").says("content=\"2\"");
    bought.hear(Observation::Unknown { detail: "no answer".into() }).await;
    bought.get("").await.says("It is not answering yet").says("Another way");
    bought.get("?choose=1").await.says("Or choose one here").says("value=\"alipay_qr\"");
}

#[tokio::test]
async fn a_page_of_the_wallet_is_opened_and_the_way_back_says_checking() {
    let shop = Shop::open("山下陶器").await;
    let mut bought = shop.sell(order("SO-1", 128)).await;
    bought.agent = PHONE.to_owned();
    bought.choose(Method::AlipayWap).await;
    let url = "https://wallet.example/pay?a=1&b=2".to_owned();
    bought.hear(Observation::Accepted { next_action: NextAction::Redirect { url } }).await;
    bought.get("").await.says("href=\"https://wallet.example/pay?a=1&#38;b=2\"").lacks("data-forward");
    bought.get("?go=1").await.says("data-forward=\"https://wallet.example/pay?a=1&#38;b=2\" data-after=\"1\"");
    bought.get("?returned=1&go=1").await.says("Checking your payment").lacks("data-forward");
}

#[tokio::test]
async fn a_form_of_the_bank_may_be_posted_to_the_bank_alone() {
    let shop = Shop::open("山下陶器").await;
    let bought = shop.sell(order("SO-1", 128)).await;
    bought.choose(Method::UnionpayQr).await;
    let next_action = NextAction::Form {
        url: "https://gateway.95516.com/gateway/api/frontTransReq.do".into(),
        fields: vec![("signature".into(), "a\"><b".into())],
    };
    bought.hear(Observation::Accepted { next_action }).await;
    let page = bought.get("").await;
    page.says("action=\"https://gateway.95516.com/gateway/api/frontTransReq.do\"").lacks("a\"><b");
    assert!(page.policy.contains("form-action 'self' https://gateway.95516.com;"), "{}", page.policy);
}

#[tokio::test]
async fn success_leads_back_to_the_shop_and_an_old_link_stays() {
    let shop = Shop::open("山下陶器").await;
    let bought = shop.sell(order("SO-1", 128)).await;
    bought.choose(Method::WechatNative).await;
    bought.code_is_shown().await;
    bought.channel_took(128).await;
    let page = bought.get("").await;
    page.says("<h1>Paid</h1>")
        .says("href=\"https://shop.example/thanks?order=1\"")
        .says("Taking you back in 3 seconds");
    page.says("content=\"3;url=https://shop.example/thanks?order=1\"").says("WeChat Pay").lacks("/cancel");
    shop.pass(Duration::from_hours(1));
    bought.get("").await.says("This order is paid").lacks("data-forward").lacks("http-equiv=\"refresh\"");
}

#[tokio::test]
async fn a_refusal_leads_back_to_the_choice() {
    let shop = Shop::open("山下陶器").await;
    let bought = shop.sell(order("SO-1", 128)).await;
    bought.choose(Method::WechatNative).await;
    bought.code_is_shown().await;
    bought.hear(Observation::Declined { detail: "no funds".into() }).await;
    bought.get("").await.says("you were not charged").says("Or choose one here").lacks("no funds");
}

#[tokio::test]
async fn a_refusal_of_the_shops_only_way_ends_the_order() {
    let shop = Shop::open("山下陶器").await;
    let mut new = order("SO-1", 128);
    new.method = Some(Method::WechatNative);
    let bought = shop.sell(new).await;
    bought.code_is_shown().await;
    bought.hear(Observation::Declined { detail: "no funds".into() }).await;
    bought.get("").await.says("The payment did not go through").says("href=\"https://shop.example/cart\"");
}

#[tokio::test]
async fn the_customer_reads_what_helps_and_the_shop_the_code_and_what_it_means() {
    let shop = Shop::open("山下陶器").await;
    let too_little = || Observation::Refused { code: "NOT_ENOUGH".into(), detail: "账户余额不足".into() };
    let mut new = order("SO-1", 128);
    new.method = Some(Method::WechatNative);
    let bought = shop.sell(new).await;
    bought.hear_from(ChannelKind::WechatPay, too_little()).await;
    bought.get("").await.says("choose another card").lacks("NOT_ENOUGH").lacks("账户余额不足");
    bought.get("?lang=zh-CN").await.says("余额不足，请换一张卡或其他方式支付。").lacks("请换一种方式。");
    // Where another way can be chosen, the same is said above the choice.
    let other = shop.sell(order("SO-2", 128)).await;
    other.choose(Method::WechatNative).await;
    other.hear_from(ChannelKind::WechatPay, too_little()).await;
    other.get("").await.says("choose another card").says("value=\"alipay_qr\"");

    // The event tells code and sentences, and the same ones whenever it is told.
    let told = || async {
        let (gateway, scope) = (shop.gateway.clone(), shop.scope);
        let event = gateway.store.read(move |tx| {
            let rows = tx.scan(&EVENTS, &Span::prefix(&scope), Order::Ascending, 100)?;
            let ((_, id), _) = rows.into_iter().find(|(_, row)| row.kind == EventType::PaymentFailed).unwrap();
            events::event(tx, scope, id)
        });
        let event = event.await.unwrap().unwrap();
        serde_json::from_slice::<serde_json::Value>(&coffer::api::render_event(&shop.gateway, scope, &event)).unwrap()
    };
    let first = told().await;
    let failure = &first["data"]["payment"]["failure"];
    assert_eq!((&failure["kind"], &failure["code"]), (&"told".into(), &"NOT_ENOUGH".into()));
    assert_eq!(failure["detail"], "账户余额不足");
    assert_eq!(failure["customer"]["zh"], "余额不足，请换一张卡或其他方式支付。");
    assert!(failure["merchant"]["en"].as_str().unwrap().starts_with("Not enough balance."));
    bought.hear_from(ChannelKind::WechatPay, Observation::Unknown { detail: "SYSTEM_ERROR".into() }).await;
    bought.hear(Observation::NotFound).await;
    assert_eq!(told().await, first);
    bought.channel_took(128).await;
    assert_eq!(told().await, first, "also when money came late");
}

#[tokio::test]
async fn the_end_of_time_says_checking_until_the_channel_has_confirmed_it() {
    let shop = Shop::open("山下陶器").await;
    let bought = shop.sell(order("SO-1", 128)).await;
    bought.choose(Method::WechatNative).await;
    bought.code_is_shown().await;
    shop.pass(Duration::from_minutes(31));
    bought.get("").await.says("Time is up; checking").lacks("This order has expired").lacks("<svg class=\"qr\"");
    bought.run_out().await;
    bought.get("").await.says("This order has expired").says("href=\"https://shop.example/cart\"");
    assert_eq!(bought.payment().await.state, PaymentState::Expired);
}

#[tokio::test]
async fn late_money_is_said_in_both_ways_that_a_shop_can_treat_it() {
    let shop = Shop::open("山下陶器").await;
    let bought = shop.sell(order("SO-1", 128)).await;
    bought.choose(Method::WechatNative).await;
    bought.code_is_shown().await;
    bought.run_out().await;
    bought.channel_took(128).await;
    bought.get("").await.says("Received, a little late").lacks("data-forward");

    let shop = Shop::holding_late_money().await;
    let bought = shop.sell(order("SO-1", 128)).await;
    bought.choose(Method::WechatNative).await;
    bought.code_is_shown().await;
    bought.run_out().await;
    bought.channel_took(128).await;
    bought.get("").await.says("Your payment came too late").says("not lost");
}

#[tokio::test]
async fn money_that_does_not_agree_is_neither_paid_nor_nothing() {
    let shop = Shop::open("山下陶器").await;
    let bought = shop.sell(order("SO-1", 128)).await;
    bought.choose(Method::WechatNative).await;
    bought.code_is_shown().await;
    bought.channel_took(1).await;
    bought.get("").await.says("does not match the order").lacks("<h1>Paid</h1>").lacks("<svg class=\"qr\"");
}

#[tokio::test]
async fn the_customer_gives_up() {
    let shop = Shop::open("山下陶器").await;
    let bought = shop.sell(order("SO-1", 128)).await;
    let answer = bought.post("/cancel", &[]).await;
    assert_eq!((answer.status, answer.location), (StatusCode::SEE_OTHER, format!("/c/{}", bought.token)));
    bought.get("").await.says("This order was canceled").says("href=\"https://shop.example/cart\"");

    // While a code is out, only the channel can say that nobody pays any more.
    let bought = shop.sell(order("SO-2", 128)).await;
    bought.choose(Method::WechatNative).await;
    bought.code_is_shown().await;
    bought.post("/cancel", &[]).await;
    bought.get("").await.says("<h1>Canceling</h1>");
    bought.hear(Observation::Closed).await;
    bought.get("").await.says("This order was canceled");
}

#[tokio::test]
async fn what_is_offered_works_on_the_device() {
    let shop = Shop::open("山下陶器").await;
    let mut bought = shop.sell(order("SO-1", 128)).await;
    bought.get("").await.says("value=\"wechat_native\"").lacks("value=\"wechat_h5\"");
    bought.agent = PHONE.to_owned();
    bought.get("").await.says("value=\"wechat_h5\"").says("value=\"alipay_wap\"").lacks("value=\"wechat_native\"");
    bought.agent = WECHAT.to_owned();
    bought.get("").await.says("value=\"wechat_native\"").says("data-begin").lacks("value=\"alipay");
}

#[tokio::test]
async fn the_shop_may_say_which_language_its_customer_speaks_and_the_customer_may_change_it() {
    let shop = Shop::open("山下陶器").await;
    let mut new = order("SO-1", 128);
    new.customer.locale = Some("zh-CN".into());
    let bought = shop.sell(new).await;
    bought.get("").await.says("lang=\"zh-CN\"").says("或者在这里选一种");
    let english = bought.get("?lang=en").await;
    english.says("Or choose one here");
    assert!(english.cookies.iter().any(|cookie| cookie.starts_with("coffer_lang=en")), "{:?}", english.cookies);
}

/// Everything that a phone loads to pay, uncompressed.
#[tokio::test]
async fn the_whole_page_stays_below_forty_kilobytes() {
    use coffer::web::Asset;
    let shop = Shop::open("山下陶器").await;
    let bought = shop.sell(order("SO-1", 128)).await;
    bought.choose(Method::WechatNative).await;
    bought.code_is_shown().await;
    let files: usize =
        [Asset::CashierCss, Asset::CashierJs, Asset::Favicon].iter().map(|asset| asset.body().len()).sum();
    for face in ["", "?choose=1"] {
        let bytes = bought.get(face).await.body.len() + files;
        assert!(bytes < 40_000, "{bytes} bytes");
    }
}
