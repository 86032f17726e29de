//! A merchant connects a channel: what is typed in is checked by name, kept sealed, and shown as fingerprints.

use actix_web::http::StatusCode;
use coffer::domain::merchant::{ChannelAccount, ChannelKind};
use coffer::domain::time::{Duration, Timestamp};
use coffer::store::tables::ACCOUNTS;
use coffer::store::{Order, Read, Span};

use coffer::channels::registry::{CREDENTIALS_FIELD, credentials_row};
use coffer::channels::unionpay::keyed::{KeyedMethod, SharedKey};
use coffer::channels::unionpay::message::{Empty, Fields};
use coffer::crypto::Place;
use coffer::env::transport::OutgoingRequest;

use super::site::{Answer, Browser, SHOP, Site};

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
    assert!(!account.active, "not before the provider has answered");
    assert!(site.console.gateway().channels.get(account.id).is_some(), "and ready for that");

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
    assert!(site.console.gateway().channels.get(account.id).is_some(), "it opens");
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
    let active = [("label", "Alipay"), ("weight", "100"), ("min", ""), ("max", ""), ("active", "yes")];
    assert_eq!(owner.post(&link, &active).await.status, StatusCode::SEE_OTHER);
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

const UNIONPAY_KEY: &str = "K7mQ2vX9pL4sT8wZ1nB6cR3yD5fG0hJk";
const MER_ID: &str = "777290058110012";

/// UnionPay under a shared key: the fields of the question come back with these.
fn unionpay(
    key: &'static str,
    said: &'static [(&'static str, &'static str)],
) -> impl Fn(&OutgoingRequest) -> Vec<u8> + Send {
    move |request| {
        let mut fields = Fields::read_form(&request.body).unwrap();
        said.iter().for_each(|(name, value)| fields.put(name, *value));
        SharedKey::new(KeyedMethod::Sha256, key).sign(&mut fields);
        let signature = fields.get("signature").unwrap();
        format!("{}&signature={signature}", fields.canonical(Empty::Kept)).into_bytes()
    }
}

/// A UnionPay account as it is after its form was sent; its page.
async fn connected(site: &Site, owner: &mut Browser<'_>) -> String {
    let typed = [("mer_id", MER_ID), ("sign_method", "11"), ("secure_key", UNIONPAY_KEY)];
    let answer = owner.post("/console/settings/channels/new/unionpay", &typed).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    let path = format!("/console/settings/channels/{}", accounts(site, ChannelKind::Unionpay).await[0].id);
    assert!(answer.location.starts_with(&path), "the page leads to the test");
    path
}

/// Presses the button; the page that follows.
async fn tested(site: &Site, owner: &mut Browser<'_>, path: &str) -> Answer {
    site.pass(Duration::from_seconds(10));
    let answer = owner.post(&format!("{path}/test"), &[]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    owner.get(path).await
}

#[tokio::test]
async fn a_new_account_takes_payments_after_its_first_good_test() {
    let site = Site::staffed().await;
    let mut owner = site.browser_of("owner").await;
    let path = connected(&site, &mut owner).await;
    let active = async || accounts(&site, ChannelKind::Unionpay).await[0].active;
    let page = owner.get(&path).await.body;
    assert!(page.contains("Not tested yet") && page.contains("Test the connection") && !active().await);
    assert!(owner.get("/console/settings/channels").await.body.contains("Waits for its test"));

    // Each way to fail says what to do, and leaves the account as it is.
    assert!(tested(&site, &mut owner, &path).await.body.contains("address was not found"));
    site.provider.answers(unionpay("another-key-of-32-characters-xyz", &[("respCode", "34")]));
    assert!(tested(&site, &mut owner, &path).await.body.contains("its signature does not fit"));
    site.provider.answers(unionpay(UNIONPAY_KEY, &[("respCode", "31"), ("respMsg", "<b>closed</b>")]));
    let page = tested(&site, &mut owner, &path).await.body;
    assert!(page.contains("status is not in order") && page.contains("31 &#60;b&#62;closed"), "{page}");
    assert!(!active().await && site.last_action().await == "channel.tested");

    site.provider.asked();
    site.provider.answers(unionpay(UNIONPAY_KEY, &[("respCode", "34")]));
    let page = tested(&site, &mut owner, &path).await.body;
    assert!(page.contains("It works") && !page.contains("Not tested yet"), "{page}");
    assert!(active().await && site.console.gateway().channels.all().iter().any(|open| open.account.active));
    let [question] = &site.provider.asked()[..] else { panic!("one question") };
    assert!(question.url.ends_with("/gateway/api/queryTrans.do"));

    // Nobody can make this server ask without end.
    assert_eq!(owner.post(&format!("{path}/test"), &[]).await.location, format!("{path}?done=tested_just_now#test"));
    assert!(site.provider.asked().is_empty());
}

#[tokio::test]
async fn what_a_person_decided_is_not_changed_by_a_test_and_new_keys_are_untested() {
    let site = Site::staffed().await;
    let mut owner = site.browser_of("owner").await;
    let path = connected(&site, &mut owner).await;
    site.provider.answers(unionpay(UNIONPAY_KEY, &[("respCode", "34")]));
    let paused = [("label", "UnionPay"), ("weight", "100"), ("min", ""), ("max", "")];
    assert_eq!(owner.post(&path, &paused).await.status, StatusCode::SEE_OTHER);
    assert!(tested(&site, &mut owner, &path).await.body.contains("It works"));
    assert!(!accounts(&site, ChannelKind::Unionpay).await[0].active, "paused by hand");

    // Nothing typed: everything stays, and what stood there is tested again.
    let same = [("mer_id", MER_ID), ("sign_method", "11"), ("accept_sha1", "yes")];
    let answer = owner.post(&format!("{path}/keys"), &same).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    assert!(owner.get(&path).await.body.contains("Not tested yet"));
    assert!(tested(&site, &mut owner, &path).await.body.contains("It works"), "the key is the same");
    for role in ["support", "operator", "finance"] {
        let answer = site.browser_of(role).await.post(&format!("{path}/test"), &[]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{role}");
    }
}

/// What is stored for an account, as text.
fn opened(site: &Site, account: &ChannelAccount) -> String {
    let row = credentials_row(account.scope, account.id);
    let place = Place { table: ACCOUNTS.name(), row: &row, field: CREDENTIALS_FIELD };
    let opened = site.console.vault().open(&place, &account.credentials).unwrap();
    String::from_utf8(opened.expose().to_vec()).unwrap()
}

const WECHAT_KEY: &str = APP_KEY;
const WECHAT_NEW: &str = "/console/settings/channels/new/wechatpay";
const SERIAL: &str = "5F1C72E2A8931B72A2E13AF8DEE92471EB397115";
const OFFICIAL: &str = "wx0000000000000001";
const APP_SECRET: &str = "0123456789abcdef0123456789abcdef";

fn wechat() -> Vec<(&'static str, &'static str)> {
    vec![
        ("mch_id", "1900009191"),
        ("app_id", "wxd678efh567hg6787"),
        ("merchant_key", WECHAT_KEY),
        ("merchant_serial", SERIAL),
        ("api_v3_key", "0123456789abcdefghijklmnopqrstuv"),
        ("official_account_app_id", OFFICIAL),
        ("official_account_secret", APP_SECRET),
        ("mini_program_app_id", "wx0000000000000002"),
    ]
}

#[tokio::test]
async fn replacing_keys_begins_with_what_is_there_and_what_is_left_empty_stays() {
    let site = Site::staffed().await;
    let mut owner = site.browser_of("owner").await;
    let answer = owner.post(WECHAT_NEW, &wechat()).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "a serial number stands for a certificate: {}", answer.body);
    let account = accounts(&site, ChannelKind::WechatPay).await.remove(0);
    let keys = format!("/console/settings/channels/{}/keys", account.id);
    let form = owner.get(&keys).await.body;
    for (name, value) in wechat() {
        let secret = ["merchant_key", "api_v3_key", "official_account_secret"].contains(&name);
        assert_eq!(form.contains(&format!("value=\"{value}\"")), !secret, "{name}");
        assert!(!secret || !form.contains(&value[..20]), "{name}");
        let hint = form.split_once(&format!("id=\"{name}-hint\"")).unwrap().1;
        assert_eq!(hint.split("</p>").next().unwrap().contains("left empty, it stays"), secret, "{name}");
    }

    // As the form was shown: nothing changes. A new secret changes alone.
    let shown: Vec<_> = wechat()
        .into_iter()
        .filter(|(name, _)| !matches!(*name, "merchant_key" | "api_v3_key" | "official_account_secret"))
        .collect();
    let now_is = async || opened(&site, &accounts(&site, ChannelKind::WechatPay).await.remove(0));
    let before = now_is().await;
    assert_eq!(owner.post(&keys, &shown).await.status, StatusCode::SEE_OTHER);
    assert_eq!(now_is().await, before);
    let with = |more: &[(&'static str, &'static str)]| {
        let mut all = shown.clone();
        all.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        [all, more.to_vec()].concat()
    };
    let new = "new-api-v3-key-of-32-characters!";
    assert_eq!(owner.post(&keys, &with(&[("api_v3_key", new)])).await.status, StatusCode::SEE_OTHER);
    let after = now_is().await;
    assert!(after.contains(new) && after.contains(APP_SECRET) && after.contains("wx0000000000000002"), "{after}");
    assert!(after.contains("\"previous_api_v3_key\":\"0123456789abcdefghijklmnopqrstuv\""));

    // The secret belongs to its app: another app needs its own, or none.
    let other = [("official_account_app_id", "wx0000000000000009")];
    let answer = owner.post(&keys, &with(&other)).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer.body.contains("another official account"), "{}", answer.body);
    let without = [other[0], ("remove_official_account_secret", "yes")];
    assert_eq!(owner.post(&keys, &with(&without)).await.status, StatusCode::SEE_OTHER);
    let after = now_is().await;
    assert!(!after.contains(APP_SECRET) && after.contains("wx0000000000000009"));
    // What is no secret goes by being emptied.
    assert_eq!(owner.post(&keys, &with(&[other[0], ("mini_program_app_id", "")])).await.status, StatusCode::SEE_OTHER);
    assert!(!now_is().await.contains("mini_program"));
}

#[tokio::test]
async fn every_field_that_is_asked_for_is_in_the_form_and_all_faults_are_told_at_once() {
    let site = Site::staffed().await;
    let mut owner = site.browser_of("owner").await;
    let fault = |answer: &Answer, field: &str| {
        let (_, input) = answer.body.split_once(&format!("id=\"{field}\"")).unwrap();
        input.split("</div>").next().unwrap().contains("class=\"error\"")
    };
    let no_serial: Vec<_> = wechat().into_iter().filter(|(name, _)| *name != "merchant_serial").collect();
    let answer = owner.post(WECHAT_NEW, &no_serial).await;
    assert!(fault(&answer, "merchant_serial") && answer.status == StatusCode::UNPROCESSABLE_ENTITY);
    let answer = owner.post(NEW, &[("app_id", "1"), ("seller_id", "x"), ("alipay_public_key", "y")]).await;
    for field in ["app_id", "seller_id", "private_key", "alipay_public_key"] {
        assert!(fault(&answer, field), "{field}");
    }
    let typed = [("mer_id", "1"), ("term_id", "1"), ("private_key", "x"), ("certificate", "y")];
    let answer = owner.post("/console/settings/channels/new/unionpay", &typed).await;
    for (field, _) in typed {
        assert!(fault(&answer, field), "{field}");
    }
    let form = owner.get("/console/settings/channels/new/unionpay").await.body;
    let (_, sha1) = form.split_once("id=\"accept_sha1\"").unwrap();
    assert!(sha1.split('>').next().unwrap().contains("checked"), "as the chains in use are signed");
}

#[tokio::test]
async fn what_deserves_a_second_look_stands_on_the_accounts_page() {
    let site = Site::staffed().await;
    let mut owner = site.browser_of("owner").await;
    let typed = |seller| {
        [
            ("app_id", "2021000000000001"),
            ("seller_id", seller),
            ("private_key", APP_KEY),
            ("app_certificate", APP_CERTIFICATE),
            ("alipay_certificate", ALIPAY_CERTIFICATE),
            ("root_certificates", ROOT_CERTIFICATE),
        ]
    };
    const WARNING: &str = "names another merchant than the PID";
    let saved = owner.post(NEW, &typed("2088000000000002")).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.body);
    assert!(owner.get(&saved.location).await.body.contains(WARNING));
    let keys = format!("/console/settings/channels/{}/keys", alipay(&site).await[0].id);
    let saved = owner.post(&keys, &[&typed("2088000000000001")[..2], &typed("")[3..]].concat()).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.body);
    assert!(!owner.get(&saved.location).await.body.contains(WARNING));

    // From certificates to a key: the certificates that the form showed are not meant any more.
    let mut change = [&typed("2088000000000001")[..2], &typed("")[3..]].concat();
    change.push(("alipay_public_key", ALIPAY_KEY));
    let saved = owner.post(&keys, &change).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.body);
    let record = opened(&site, &alipay(&site).await[0]);
    assert!(
        record.contains("\"mode\":\"key\"") && record.contains("\"earlier\":[{\"trust\":{\"mode\":\"certificate\""),
        "{record}"
    );
}
