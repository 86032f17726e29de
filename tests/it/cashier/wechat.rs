//! Paying inside WeChat: the walk that finds out who pays, the sheet, and everybody who would like to be somebody else.

use coffer::channels::wechatpay::introduction::is_openid;
use coffer::domain::ids::PaymentId;
use coffer::domain::method::Method;
use coffer::domain::payment::{Customer, NextAction, PaymentState};
use coffer::store::tables::SHOWN_CODES;
use coffer::store::{Order, Read, Span};

use super::shop::{COMPUTER, PHONE, WECHAT, order};
use super::town::{Browser, Seen, Town};

const TRUE: Option<Option<&str>> = Some(None);

/// To WeChat and back; answers what the cashier said to the code.
async fn walk(browser: &mut Browser<'_>, page: &str) -> Seen {
    let back = to_wechat(browser, page).await;
    browser.get(&back).await
}

/// The address with which WeChat sends the browser back.
async fn to_wechat(browser: &mut Browser<'_>, page: &str) -> String {
    let leaving = browser.get(&format!("{page}/wechat")).await;
    assert_eq!(leaving.status, 302, "{leaving:?}");
    let state = leaving.location.split("&state=").nth(1).unwrap().split('#').next().unwrap();
    assert!(state.len() <= 128 && state.bytes().all(|b| b.is_ascii_alphanumeric()), "{state}");
    assert!(leaving.location.ends_with("#wechat_redirect") && leaving.location.contains("scope=snsapi_base"));
    let wechat = browser.get(&leaving.location).await;
    assert_eq!(wechat.status, 302, "{wechat:?}");
    wechat.location
}

/// Whoever is named in the row that waits for the channel.
async fn kept(town: &Town) -> usize {
    let read = town.gateway.store.read(|tx| tx.scan(&SHOWN_CODES, &Span::all(), Order::Ascending, 9));
    read.await.unwrap().len()
}

async fn openid_at_wechat(town: &Town, id: PaymentId) -> String {
    let read =
        town.gateway.store.read(|tx| tx.scan(&coffer::store::tables::SIM_ORDERS, &Span::all(), Order::Ascending, 50));
    let attempt = town.look(id).await.1.unwrap().id.bare();
    let rows = read.await.unwrap();
    let details =
        rows.into_iter().map(|(_, order)| format!("{order:?}")).find(|order| order.contains(&attempt)).unwrap();
    let rest = details.split("openid").nth(1).unwrap();
    rest.chars().skip_while(|c| *c != 'o').take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect()
}

#[tokio::test]
async fn a_customer_in_wechat_pays_without_a_code() {
    let town = Town::open(TRUE).await;
    let (id, page) = town.sell(order("SO-1", 128)).await;
    let mut browser = town.browser(WECHAT);
    let begin = browser.get(&page).await;
    begin.says(&format!("href=\"{page}/wechat\" data-begin")).says("Pay with WeChat Pay").lacks("<svg class=\"qr\"");
    assert!(town.look(id).await.0.attempts.is_empty(), "looking begins nothing");

    let answer = walk(&mut browser, &page).await;
    assert_eq!((answer.status, answer.location.as_str()), (303, &*format!("{page}?go=1")));
    let sheet = browser.get(&answer.location).await;
    sheet.says("data-bridge=\"true\"").says("data-package=\"prepay_id=wx").says("data-sign-type=\"RSA\"");
    sheet.says("Use a code instead").says("<noscript><p class=\"note warn\">");
    browser.get(&page).await.says("data-bridge=\"false\"");

    // Who it is was told to the channel and is kept nowhere.
    let (payment, attempt) = town.look(id).await;
    assert_eq!(payment.customer, Customer::default());
    assert_eq!((attempt.unwrap().method, kept(&town).await), (Method::WechatJsapi, 0));
    assert!(is_openid(&openid_at_wechat(&town, id).await));

    // The page that plays WeChat takes what the script would hand over.
    let form = sheet.form(&format!("{}/sim/wechatpay/jsapi", town.base));
    let phone = browser.post("/sim/wechatpay/jsapi", &form).await;
    assert_eq!(phone.status, 303, "{phone:?}");
    let (phone, back) = phone.location.split_once('?').unwrap();
    assert!(back.contains(&format!(
        "{}return",
        url::form_urlencoded::byte_serialize(format!("{page}/").as_bytes()).collect::<String>()
    )));
    browser.post(phone, &[("do".to_owned(), "pay".to_owned())]).await;
    town.until_paid(id).await;
    browser.get(&format!("{page}/return")).await;
    browser.get(&page).await.says("<h1>Paid</h1>").says("WeChat Pay");
    town.close().await;
}

#[tokio::test]
async fn the_sheet_takes_nothing_but_what_was_signed_for_this_person() {
    let town = Town::open(TRUE).await;
    let (_, page) = town.sell(order("SO-1", 128)).await;
    let mut browser = town.browser(WECHAT);
    let answer = walk(&mut browser, &page).await;
    let form = browser.get(&answer.location).await.form(&format!("{}/sim/wechatpay/jsapi", town.base));
    for (name, wrong) in [
        ("appId", "wx0000000000000000"),
        ("timeStamp", "1700000000"),
        ("timeStamp", "1700000000000"),
        ("nonceStr", "x"),
        ("package", "prepay_id=wx00000000000000000000000000000000"),
        ("signType", "MD5"),
        ("paySign", "AAAA"),
    ] {
        let mut changed = form.clone();
        changed.iter_mut().filter(|(field, _)| field == name).for_each(|(_, value)| *value = wrong.to_owned());
        assert_eq!(browser.post("/sim/wechatpay/jsapi", &changed).await.status, 400, "{name} {wrong}");
        let without: Vec<_> = form.iter().filter(|(field, _)| field != name).cloned().collect();
        assert_eq!(browser.post("/sim/wechatpay/jsapi", &without).await.status, 400, "without {name}");
    }
    // Another person, known to WeChat by a walk of their own.
    let (_, elsewhere) = town.sell(order("SO-2", 1)).await;
    let mut other = town.browser(WECHAT);
    walk(&mut other, &elsewhere).await;
    let refused = other.post("/sim/wechatpay/jsapi", &form).await;
    assert_eq!(refused.status, 400);
    refused.says("下单账号与支付账号不一致");
    assert_eq!(browser.post("/sim/wechatpay/jsapi", &form).await.status, 303);
    town.close().await;
}

#[tokio::test]
async fn each_person_has_a_sheet_of_their_own_and_nobody_opens_anothers() {
    let town = Town::open(TRUE).await;
    let (id, page) = town.sell(order("SO-1", 128)).await;
    let (mut one, mut other) = (town.browser(WECHAT), town.browser(WECHAT));
    walk(&mut one, &page).await;
    let first = openid_at_wechat(&town, id).await;
    let seen = other.get(&page).await;
    seen.says("Pay with WeChat Pay").lacks("data-bridge").lacks("data-begin");
    walk(&mut other, &page).await;
    assert_ne!(openid_at_wechat(&town, id).await, first);
    assert_eq!(town.look(id).await.0.attempts.len(), 2);
    other.get(&page).await.says("data-bridge");
    // The first one's page does not take it back by itself.
    one.get(&page).await.lacks("data-bridge").lacks("data-begin").says("Pay with WeChat Pay");
    town.browser(COMPUTER).get(&page).await.says("Go on on your phone");
    town.browser(PHONE).get(&page).await.says("Being paid with WeChat Pay").says("Another way");
    town.close().await;
}

#[tokio::test]
async fn a_return_from_wechat_counts_once_for_its_payment_and_its_browser() {
    let town = Town::open(TRUE).await;
    let (id, page) = town.sell(order("SO-1", 128)).await;
    let (other_id, other_page) = town.sell(order("SO-2", 1)).await;
    let begun = async |id| town.look(id).await.0.attempts.len();

    // Somebody else's browser, and the same one without what it kept.
    let mut browser = town.browser(WECHAT);
    let back = to_wechat(&mut browser, &page).await;
    assert_eq!(town.browser(WECHAT).get(&back).await.location, page);
    let mut second = town.browser(WECHAT);
    to_wechat(&mut second, &page).await;
    assert_eq!(second.get(&back).await.location, page, "another browser's state");
    assert_eq!(begun(id).await, 0);

    // Another payment, to which this browser has a walk as well.
    let query = back.split_once('?').unwrap().1;
    let theirs = to_wechat(&mut browser, &other_page).await;
    assert_eq!(browser.get(&format!("{other_page}/wechat/back?{query}")).await.location, other_page);
    assert_eq!(begun(other_id).await, 0);

    // Its own.
    assert_eq!(browser.get(&back).await.location, format!("{page}?go=1"));
    assert_eq!(begun(id).await, 1);
    assert_eq!(browser.get(&back).await.location, page, "reloaded");
    assert_eq!(begun(id).await, 1);
    // A code that WeChat has exchanged before, under a fresh state.
    let fresh = to_wechat(&mut browser, &page).await;
    let code = |url: &str| url.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let reused = fresh.replace(&code(&fresh), &code(&back));
    assert_eq!(browser.get(&reused).await.location, format!("{page}?unavailable=1"));
    // One of another walk of the same person is good once, wherever: it names the same person.
    assert_eq!(code(&theirs).len(), 32);
    assert_eq!(begun(id).await, 1);
    town.close().await;
}

#[tokio::test]
async fn made_up_returns_lead_back_to_the_page_and_begin_nothing() {
    let town = Town::open(TRUE).await;
    let (id, page) = town.sell(order("SO-1", 128)).await;
    let mut browser = town.browser(WECHAT);
    let back = to_wechat(&mut browser, &page).await;
    let state = back.split("state=").nth(1).unwrap().to_owned();
    let flipped = format!("{}{}", if state.starts_with('0') { '1' } else { '0' }, &state[1..]);
    let later = format!("{}ffffffff{}", &state[..32], &state[40..]);
    let long = "a".repeat(1100);
    for query in [
        String::new(),
        "code=abc".to_owned(),
        format!("state={state}"),
        format!("code=abc&state={flipped}"),
        format!("code=abc&state={later}"),
        format!("code=abc&state={}", &state[..39]),
        format!("code=abc&state={state}&state={state}"),
        format!("code=abc&code=def&state={state}"),
        format!("code={long}&state={state}"),
        format!("code=%00&state=%ff{}", &state[1..]),
    ] {
        let cookies = browser.cookies.clone();
        assert_eq!(browser.get(&format!("{page}/wechat/back?{query}")).await.location, page, "{query}");
        browser.cookies = cookies;
    }
    for code in ["abc", "a%26secret%3Db", &"a".repeat(200), ""] {
        let cookies = browser.cookies.clone();
        let answer = browser.get(&format!("{page}/wechat/back?code={code}&state={state}")).await;
        assert_eq!(answer.location, format!("{page}?unavailable=1"), "{code}");
        browser.cookies = cookies;
    }
    let (payment, _) = town.look(id).await;
    assert!(payment.attempts.is_empty() && payment.state == PaymentState::Open);
    assert_eq!(browser.get("/c/AAAA/wechat").await.status, 404);
    assert_eq!(browser.get("/c/AAAA/wechat/back?code=1&state=2").await.status, 404);
    // A browser that only says it is WeChat is offered the walk, and learns nothing by it.
    browser.get(&format!("{page}?unavailable=1")).await.says("not available right now").says("value=\"wechat_jsapi\"");
    town.close().await;
}

#[tokio::test]
async fn a_wrong_secret_or_none_leaves_the_code() {
    let town = Town::open(Some(Some("0123456789abcdef0123456789abcdef"))).await;
    let (id, page) = town.sell(order("SO-1", 128)).await;
    let mut browser = town.browser(WECHAT);
    let answer = walk(&mut browser, &page).await;
    assert_eq!(answer.location, format!("{page}?unavailable=1"));
    browser.get(&answer.location).await.says("not available right now").lacks("data-begin");
    assert!(town.look(id).await.0.attempts.is_empty());
    town.close().await;

    let town = Town::open(None).await;
    let (id, page) = town.sell(order("SO-1", 128)).await;
    let mut browser = town.browser(WECHAT);
    browser.get(&page).await.says("value=\"wechat_native\"").lacks("/wechat\"").lacks("wechat_jsapi");
    assert_eq!(browser.get(&format!("{page}/wechat")).await.location, format!("{page}?unavailable=1"));
    let form = |method: &str| [("method".to_owned(), method.to_owned())];
    assert_eq!(
        browser.post(&format!("{page}/method"), &form("wechat_jsapi")).await.location,
        format!("{page}?unavailable=1")
    );
    let answer = browser.post(&format!("{page}/method"), &form("wechat_native")).await;
    browser.get(&answer.location).await.says("Press the code and hold").says("/code.png");
    assert_eq!(town.look(id).await.1.unwrap().method, Method::WechatNative);
    town.close().await;
}

#[tokio::test]
async fn a_customer_whom_the_shop_knows_is_not_sent_to_wechat_first() {
    for secret in [None, TRUE] {
        let town = Town::open(secret).await;
        let mut new = order("SO-1", 128);
        new.customer.openid = Some("oUpF8uMuAJO_M2pxb1Q9zNjWeS6o".to_owned());
        let (id, page) = town.sell(new).await;
        let mut browser = town.browser(WECHAT);
        browser.get(&page).await.says("data-begin").says("value=\"wechat_jsapi\"").lacks("/wechat\"");
        let form = [("method".to_owned(), "wechat_jsapi".to_owned())];
        let answer = browser.post(&format!("{page}/method"), &form).await;
        browser.get(&answer.location).await.says("data-bridge=\"true\"");
        let (_, attempt) = town.look(id).await;
        assert!(matches!(attempt.unwrap().next_action, Some(NextAction::JsApiParams { .. })));
        assert_eq!(openid_at_wechat(&town, id).await, "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o");
        town.close().await;
    }
}

#[tokio::test]
async fn wechats_page_for_browsers_opens_with_the_address_that_the_proxy_saw() {
    let town = Town::open(TRUE).await;
    let (id, page) = town.sell(order("SO-1", 128)).await;
    let mut browser = town.browser(PHONE);
    browser.forwarded = Some("10.9.9.9, 8.8.4.4");
    let form = [("method".to_owned(), "wechat_h5".to_owned())];
    let answer = browser.post(&format!("{page}/method"), &form).await;
    let leave = browser.get(&answer.location).await;
    leave.says("data-forward=\"").says("/sim/wechatpay/h5?prepay_id=wx").says("redirect_url=");
    let ip = town.look(id).await.0.customer.ip;
    assert_eq!(ip, Some("8.8.4.4".parse().unwrap()), "the first that no trusted proxy vouches for");
    town.close().await;
}
