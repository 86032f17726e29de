//! One payment on two devices: the computer that shows one code for all wallets, and the phone that scanned it.

use actix_web::http::StatusCode;
use coffer::domain::method::Method;
use coffer::domain::payment::{Customer, NextAction};
use coffer::domain::time::Duration;

use super::shop::{ALIPAY, COMPUTER, PHONE, Shop, WECHAT, order};

const WAP: &str = "https://wallet.example/wap?trade=1";

fn wap() -> NextAction {
    NextAction::Redirect { url: WAP.to_owned() }
}

fn code() -> NextAction {
    NextAction::QrCode { data: "weixin://wxpay/bizpayurl?pr=abc".to_owned() }
}

#[tokio::test]
async fn a_computer_shows_one_code_for_all_wallets_and_notices_the_payment_on_the_phone() {
    let shop = Shop::open("山下陶器").await;
    let mut bought = shop.sell(order("SO-1", 128)).await;
    let computer = bought.get("").await;
    computer.says("Scan with your phone to pay").says("With WeChat or Alipay.").says("<svg class=\"qr\"");
    computer.says("value=\"wechat_native\"").says("opens on this machine only");

    bought.agent = ALIPAY.to_owned();
    let phone = bought.get("").await;
    phone.says("Pay with Alipay").says("data-begin").says("value=\"alipay_wap\"").lacks("wechat");
    let answer = bought.chosen("alipay_wap", wap()).await;
    assert_eq!(
        (answer.status, answer.location.as_str()),
        (StatusCode::SEE_OTHER, &*format!("/c/{}?go=1", bought.token))
    );
    bought.cookie = answer.kept();
    bought.get("?go=1").await.says(&format!("data-forward=\"{WAP}\""));

    bought.agent = COMPUTER.to_owned();
    bought.get("").await.says("Go on on your phone").says("Alipay was opened elsewhere").lacks(WAP);
    let status = bought.get("/status").await;
    status.says("elsewhere.").says("\"done\":false");
    bought.channel_took(128).await;
    bought.get("").await.says("<h1>Paid</h1>").says("Taking you back");
    bought.get("/status").await.says("\"done\":true");
}

#[tokio::test]
async fn the_device_that_did_not_begin_it_does_not_take_it_by_looking() {
    let shop = Shop::open("山下陶器").await;
    let mut bought = shop.sell(order("SO-1", 128)).await;
    bought.agent = ALIPAY.to_owned();
    bought.chosen("alipay_wap", wap()).await;
    let begun = bought.payment().await;
    for agent in [COMPUTER, PHONE, WECHAT, ALIPAY] {
        bought.agent = agent.to_owned();
        for path in ["", "?go=1", "?returned=1", "?choose=1", "?introduce=1", "/status", "/code.png", "/wechat"] {
            bought.get(path).await;
        }
    }
    assert_eq!(bought.payment().await, begun);

    // Choosing on the computer takes it over, and the phone says so without taking it back.
    bought.agent = COMPUTER.to_owned();
    bought.chosen("wechat_native", code()).await;
    bought.get("").await.says("Scan with WeChat");
    bought.agent = ALIPAY.to_owned();
    bought.get("").await.says("Pay with Alipay").lacks(WAP);
    assert_eq!(bought.attempt().await.method, Method::WechatNative);
}

#[tokio::test]
async fn inside_wechat_a_code_is_a_picture_to_press() {
    let shop = Shop::open("山下陶器").await;
    let mut bought = shop.sell(order("SO-1", 128)).await;
    bought.agent = WECHAT.to_owned();
    bought.get("").await.says("Pay with WeChat Pay").says("value=\"wechat_native\"");
    assert_eq!(bought.get("/code.png").await.status, StatusCode::NOT_FOUND, "there is none yet");
    let answer = bought.chosen("wechat_native", code()).await;
    bought.cookie = answer.kept();
    let page = bought.get("").await;
    page.says("Press the code and hold")
        .says(&format!("src=\"/c/{}/code.png\"", bought.token))
        .lacks("<svg class=\"qr\"");
    let picture = bought.get("/code.png").await;
    assert_eq!(picture.status, StatusCode::OK);
    picture.says("PNG").says("IEND");
}

#[tokio::test]
async fn what_a_browser_keeps_belongs_to_this_payment_and_this_attempt() {
    let shop = Shop::open("山下陶器").await;
    let mut bought = shop.sell(order("SO-1", 128)).await;
    let mut other = shop.sell(order("SO-2", 128)).await;
    let answer = bought.chosen("alipay_qr", code()).await;
    let cookie = &answer.cookies[0];
    for part in ["coffer_begun=", "HttpOnly", "SameSite=Lax", &format!("Path=/c/{}", bought.token)] {
        assert!(cookie.contains(part), "{part} is missing in {cookie}");
    }
    bought.agent = PHONE.to_owned();
    bought.get("").await.says("value=\"alipay_wap\"").lacks("Scan with Alipay");
    bought.cookie = answer.kept();
    bought.get("").await.says("Scan with Alipay").says("use another one");
    // The same word for another payment is no word, and neither is a made-up one.
    other.chosen("alipay_qr", code()).await;
    other.agent = PHONE.to_owned();
    for foreign in [answer.kept(), format!("coffer_begun={}", "0".repeat(32)), "coffer_begun=".into(), "x".repeat(4000)]
    {
        other.cookie = foreign;
        other.get("").await.says("value=\"alipay_wap\"").lacks("Scan with Alipay");
    }
}

#[tokio::test]
async fn wechats_own_page_is_told_where_the_browser_is_and_nobody_else_is() {
    let shop = Shop::open("山下陶器").await;
    let mut bought = shop.sell(order("SO-1", 128)).await;
    bought.agent = PHONE.to_owned();
    bought.chosen("alipay_wap", wap()).await;
    assert_eq!(bought.payment().await.customer.ip, None, "what nobody asks for is not kept");
    bought.chosen("wechat_h5", wap()).await;
    assert!(bought.payment().await.customer.ip.is_some());

    let told: std::net::IpAddr = "1.2.3.4".parse().unwrap();
    let mut new = order("SO-2", 128);
    new.customer = Customer { ip: Some(told), ..Customer::default() };
    let mut bought = shop.sell(new).await;
    bought.agent = PHONE.to_owned();
    bought.chosen("wechat_h5", wap()).await;
    assert_eq!(bought.payment().await.customer.ip, Some(told), "the test's own address is no customer's");
}

#[tokio::test]
async fn a_page_that_opens_for_five_minutes_is_ordered_again_when_it_is_wanted_later() {
    let shop = Shop::open("山下陶器").await;
    let mut bought = shop.sell(order("SO-1", 128)).await;
    bought.agent = PHONE.to_owned();
    let answer = bought.chosen("wechat_h5", wap()).await;
    bought.cookie = answer.kept();
    let first = bought.attempt().await.id;
    shop.pass(Duration::from_minutes(4));
    bought.get("").await.says(&format!("href=\"{WAP}\""));
    bought.post("/method", &[("method", "wechat_h5")]).await;
    assert_eq!(bought.attempt().await.id, first);
    shop.pass(Duration::from_minutes(1));
    bought.get("").await.says("Open WeChat Pay again").lacks(WAP);
    bought.chosen("wechat_h5", wap()).await;
    assert_ne!(bought.attempt().await.id, first);
}

#[tokio::test]
async fn a_tester_may_pretend_to_sit_at_a_phone() {
    let shop = Shop::open("山下陶器").await;
    let bought = shop.sell(order("SO-1", 128)).await;
    bought.get("").await.says("?as=wechat\"").says("?as=phone\"");
    let page = bought.get("?as=alipay").await;
    page.says("Pay with Alipay").says("data-query=\"?as=alipay\"").says("/method?as=alipay\"");
    bought.get("?as=phone").await.says("value=\"wechat_h5\"");
    bought.get("?as=nobody").await.says("Or choose one here");
    let answer = bought.chosen("alipay_wap", wap()).await;
    assert_eq!(answer.location, format!("/c/{}?go=1", bought.token));
    let answer = bought.post("/method?as=alipay", &[("method", "alipay_wap")]).await;
    assert_eq!(answer.location, format!("/c/{}?go=1&as=alipay", bought.token));
}
