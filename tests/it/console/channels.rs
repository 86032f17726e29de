//! A merchant connects a channel: what is typed in is checked by name, kept sealed, and shown as fingerprints.

use actix_web::http::StatusCode;
use coffer::domain::merchant::{ChannelAccount, ChannelKind};
use coffer::domain::time::{Duration, Timestamp};
use coffer::store::tables::ACCOUNTS;
use coffer::store::{Order, Read, Span};

use super::site::{SHOP, Site};

const APP_KEY: &str = include_str!("../../../src/channels/alipay/fixtures/app_private.pem");
const ALIPAY_KEY: &str = include_str!("alipay_public.pem");
const NEW: &str = "/console/settings/channels/new/alipay";

fn typed<'a>(app_id: &'a str, key: &'a str) -> [(&'a str, &'a str); 4] {
    [("app_id", app_id), ("seller_id", "2088000000000001"), ("private_key", key), ("alipay_public_key", ALIPAY_KEY)]
}

async fn alipay(site: &Site) -> Vec<ChannelAccount> {
    accounts(site, ChannelKind::Alipay).await
}

async fn accounts(site: &Site, kind: ChannelKind) -> Vec<ChannelAccount> {
    let rows = site.console.store().read(|tx| tx.scan(&ACCOUNTS, &Span::prefix(&SHOP), Order::Ascending, 100)).await;
    let accounts = rows.unwrap().into_iter().map(|(_, account)| account);
    accounts.filter(|account| account.kind == kind).collect()
}

#[tokio::test]
async fn a_channel_is_connected_with_keys_that_fit_and_shown_by_fingerprints() {
    let site = Site::staffed().await;
    let mut owner = site.browser_of("owner").await;
    // A piece of the key: no page may hold it.
    let secret = &APP_KEY[200..240];

    for (fields, field) in [(typed("2021000000000001", "not a key"), "private_key"), (typed("1", APP_KEY), "app_id")] {
        let answer = owner.post(NEW, &fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}");
        let (_, input) = answer.body.split_once(&format!("id=\"{field}\"")).unwrap();
        assert!(input.split("</div>").next().unwrap().contains("class=\"error\""), "{field}: {}", answer.body);
        assert!(!answer.body.contains(secret), "a secret does not come back");
    }
    assert!(alipay(&site).await.is_empty());

    let answer = owner.post(NEW, &typed("2021000000000001", APP_KEY)).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let account = alipay(&site).await.remove(0);
    assert_eq!(site.last_action().await, "channel.added");
    assert!(account.active && site.console.gateway().channels.get(account.id).is_some(), "it is in use at once");

    let path = format!("/console/settings/channels/{}", account.id);
    let page = owner.get(&path).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("2021000000000001") && !page.body.contains(secret));
    assert!(owner.get("/console/settings/channels").await.body.contains(&path));

    // Another application is another account; the same one gets new keys, and keeps what was decided about it.
    let keys = format!("{path}/keys");
    let answer = owner.post(&keys, &typed("2021000000000002", APP_KEY)).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let share = [("label", "Shop two"), ("weight", "0"), ("min", "1.00"), ("max", "")];
    assert_eq!(owner.post(&path, &share).await.status, StatusCode::SEE_OTHER);
    assert_eq!(owner.post(&keys, &typed("2021000000000001", APP_KEY)).await.status, StatusCode::SEE_OTHER);
    assert_eq!(site.last_action().await, "channel.keys_replaced");
    let renewed = alipay(&site).await.remove(0);
    assert_eq!((renewed.label.as_str(), renewed.active, renewed.share.weight), ("Shop two", false, 0));
    assert_eq!((renewed.share.min_minor, renewed.share.max_minor), (100, u64::MAX));
    assert_ne!(renewed.credentials, account.credentials, "sealed anew");
}

#[tokio::test]
async fn a_merchant_with_a_shared_key_chooses_that_way_of_signing() {
    const NEW: &str = "/console/settings/channels/new/unionpay";
    const KEY: &str = "K7mQ2vX9pL4sT8wZ1nB6cR3yD5fG0hJk";
    let site = Site::staffed().await;
    let mut owner = site.browser_of("owner").await;
    let offered = owner.get(NEW).await;
    for code in ["01", "11", "12"] {
        assert!(offered.body.contains(&format!("<option value=\"{code}\"")), "{code}");
    }
    let typed = |method, key| [("mer_id", "777290058110012"), ("sign_method", method), ("secure_key", key)];
    for (method, key, field) in [("12", "", "secure_key"), ("01", KEY, "sign_method"), ("13", KEY, "sign_method")] {
        let answer = owner.post(NEW, &typed(method, key)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{method}");
        let (_, input) = answer.body.split_once(&format!("id=\"{field}\"")).unwrap();
        assert!(input.split("</div>").next().unwrap().contains("class=\"error\""), "{field}: {}", answer.body);
        assert!(!answer.body.contains(KEY), "a secret does not come back");
    }
    // What was chosen stays chosen.
    let again = owner.post(NEW, &typed("12", "")).await;
    assert!(again.body.contains("<option value=\"12\" selected>"), "{}", again.body);

    let answer = owner.post(NEW, &typed("12", KEY)).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let account = accounts(&site, ChannelKind::Unionpay).await.remove(0);
    assert!(site.console.gateway().channels.get(account.id).is_some(), "it is in use at once");
    assert!(!format!("{:?}", account.credentials).contains(KEY), "sealed");
    let page = owner.get(&format!("/console/settings/channels/{}", account.id)).await;
    let hash = coffer::crypto::Hash::Sha256.letters(format!("777290058110012 {KEY}").as_bytes());
    assert!(page.body.contains("777290058110012") && page.body.contains(&hash[..8]), "{}", page.body);
    assert!(!page.body.contains(KEY));
    // A new key begins with what was chosen before.
    let renewed = owner.get(&format!("/console/settings/channels/{}/keys", account.id)).await;
    assert!(renewed.body.contains("<option value=\"12\" selected>"), "{}", renewed.body);
}

const APP_CERTIFICATE: &str = include_str!("../../../src/channels/alipay/fixtures/app.crt");
const ALIPAY_CERTIFICATE: &str = include_str!("../../../src/channels/alipay/fixtures/alipay.crt");
const ROOT_CERTIFICATE: &str = include_str!("../../../src/channels/alipay/fixtures/root.crt");

#[tokio::test]
async fn the_first_page_names_certificates_that_end_and_accounts_that_fail() {
    let site = Site::staffed().await;
    let fields = [
        ("app_id", "2021000000000001"),
        ("seller_id", "2088000000000001"),
        ("private_key", APP_KEY),
        ("app_certificate", APP_CERTIFICATE),
        ("alipay_certificate", ALIPAY_CERTIFICATE),
        ("root_certificates", ROOT_CERTIFICATE),
    ];
    let mut owner = site.browser_of("owner").await;
    let answer = owner.post(NEW, &fields).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let account = alipay(&site).await.remove(0);
    let link = format!("/console/settings/channels/{}", account.id);
    assert!(!owner.get("/console").await.body.contains(&link), "nothing is wrong yet");

    let channels = &site.console.gateway().channels;
    (0..5).for_each(|_| channels.report(account.id, false, site.now()));
    let page = owner.get("/console").await.body;
    assert!(page.contains(&link) && page.contains("5 failures in a row"), "{page}");
    channels.report(account.id, true, site.now());
    assert!(!owner.get("/console").await.body.contains(&link), "it answers again");

    // Both certificates are good until the first of January 2031.
    let end = Timestamp::parse_rfc3339("2031-01-01T00:00:00Z").unwrap();
    site.pass(end.minus(Duration::from_days(30)).minus(Duration::from_seconds(1)).since(site.now()));
    assert!(!site.browser_of("owner").await.get("/console").await.body.contains(&link), "not a month before");
    site.pass(Duration::from_seconds(1));
    let page = site.browser_of("owner").await.get("/console").await.body;
    assert!(page.contains(&link) && page.contains("certificate ends soon") && page.contains("2031-01-01"), "{page}");
    site.pass(Duration::from_days(30));
    let page = site.browser_of("owner").await.get("/console").await.body;
    assert!(page.contains(&link) && page.contains("certificate has ended"), "{page}");
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused() {
    let site = Site::staffed().await;
    let mut owner = site.browser_of("owner").await;
    assert_eq!(owner.post(NEW, &typed("2021000000000001", APP_KEY)).await.status, StatusCode::SEE_OTHER);
    let path = format!("/console/settings/channels/{}", alipay(&site).await[0].id);
    for (weight, min, max) in
        [("-1", "", ""), ("1001", "", ""), ("1.5", "", ""), ("1", "1", ""), ("1", "", "1e3"), ("1", "2.00", "1.00")]
    {
        let fields = [("label", "x"), ("weight", weight), ("min", min), ("max", max), ("active", "yes")];
        assert_eq!(owner.post(&path, &fields).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{weight} {min} {max}");
    }
    assert_eq!(owner.get("/console/settings/channels/new/test_wallet").await.status, StatusCode::NOT_FOUND);
    assert_eq!(owner.get("/console/settings/channels/new/none").await.status, StatusCode::NOT_FOUND);
}
