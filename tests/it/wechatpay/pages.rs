//! The simulators' pages over HTTP: the phone, the boards, the credentials, and what a stranger finds of them.

use coffer::crypto::rsa::RsaSigner;
use coffer::domain::method::Method;
use coffer::domain::payment::NextAction;
use coffer::env::transport::{Method as Verb, OutgoingRequest, OutgoingResponse};
use coffer::sandbox::provider::pages::Controls;
use coffer::sandbox::wechatpay::Mode;

use super::site::{Site, paid_minor};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("content-type", "application/json");

async fn call(site: &Site, method: Verb, path: &str, headers: &[(&str, &str)], body: &str) -> OutgoingResponse {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", site.base) };
    site.send(OutgoingRequest { method, url, headers, body: body.as_bytes().to_vec(), identity: None }).await.unwrap()
}

async fn get(site: &Site, path: &str) -> String {
    let page = call(site, Verb::Get, path, &[], "").await;
    assert_eq!(page.status, 200, "{path}");
    let text = String::from_utf8(page.body).unwrap();
    assert!(!text.contains(" style=") && !text.contains("<script>"), "{path}: nothing inline");
    text
}

fn place(answer: &OutgoingResponse) -> String {
    assert_eq!(answer.status, 303);
    answer.header("location").unwrap().to_owned()
}

#[tokio::test]
async fn a_person_pastes_a_code_and_pays() {
    let site = Site::open(Mode::PublicKey).await;
    let (create, next) = site.ordered(Method::WechatNative).await;
    let NextAction::QrCode { data } = &next else { panic!("a code") };
    assert!(get(&site, "/sim/phone").await.contains(&create.attempt.bare()), "the order waits on the first page");
    let form = format!("code={}", url::form_urlencoded::byte_serialize(data.as_bytes()).collect::<String>());
    let phone = place(&call(&site, Verb::Post, "/sim/phone", &[FORM], &form).await);
    for lang in ["zh-CN", "en"] {
        let page = get(&site, &format!("{phone}?lang={lang}")).await;
        assert!(page.contains("12.30") && page.contains("小杯子店"), "{page}");
    }
    assert!(site.told().await.is_empty(), "looking pays nothing");
    // What leaves the order as it was is said all the same.
    for (deed, said) in [("balance_short", "余额不足，没有付成"), ("refuse", "已关掉付款页")] {
        let after = place(&call(&site, Verb::Post, &phone, &[FORM], &format!("do={deed}")).await);
        assert!(get(&site, &format!("{after}&lang=zh-CN")).await.contains(said), "{deed}");
        assert!(!get(&site, &format!("{phone}?lang=zh-CN")).await.contains(said));
    }
    assert_eq!(place(&call(&site, Verb::Post, &phone, &[FORM], "do=pay").await), phone);
    assert_eq!(paid_minor(&site.told().await), [1230]);
    assert_eq!(
        place(&call(&site, Verb::Post, &phone, &[FORM], "do=pay").await),
        phone,
        "paying twice shows that it is paid"
    );
    assert!(site.told().await.is_empty());
    assert_eq!(call(&site, Verb::Post, "/sim/phone", &[FORM], "code=weixin%3A%2F%2Fwxpay").await.status, 404);
    site.close().await;
}

#[tokio::test]
async fn the_page_of_a_mobile_browser_leads_to_the_phone_and_back_to_the_shop() {
    let site = Site::open(Mode::PublicKey).await;
    let (_, next) = site.ordered(Method::WechatH5).await;
    let NextAction::Redirect { url } = &next else { panic!("an address") };
    let phone = place(&call(&site, Verb::Get, url, &[], "").await);
    let page = get(&site, &phone).await;
    assert!(page.contains(&format!("href=\"{}/back?order=1\"", site.base)), "{page}");
    let evil = phone.split_once('?').unwrap().0.to_owned() + "?back=javascript%3Aalert(1)";
    assert!(!get(&site, &evil).await.contains("javascript:"));
    site.close().await;
}

#[tokio::test]
async fn credentials_are_handed_over_as_json_and_as_files() {
    let site = Site::open(Mode::PublicKey).await;
    let json: serde_json::Value = serde_json::from_str(&get(&site, "/sim/credentials").await).unwrap();
    let given = &json["wechatpay"];
    assert_eq!(given["base_url"], format!("{}/sim/wechatpay", site.base));
    for (merchant, mode) in [(0, "public_key"), (1, "certificate")] {
        let merchant = &given["merchants"][merchant];
        assert_eq!(merchant["mode"], mode);
        let name = format!("{}/apiclient_key.pem", merchant["mchid"].as_str().unwrap());
        let file = get(&site, given["files"][&name].as_str().unwrap()).await;
        assert_eq!(merchant["private_key"], file);
        RsaSigner::read(&file).unwrap();
    }
    assert_eq!(call(&site, Verb::Get, "/sim/credentials/wechatpay/1/none.pem", &[], "").await.status, 404);
    let home = get(&site, "/sim?lang=en").await;
    assert!(home.contains(given["merchants"][0]["api_v3_key"].as_str().unwrap()));
    site.close().await;
}

#[tokio::test]
async fn scripts_set_faults_move_time_and_pay() {
    let site = Site::open(Mode::PublicKey).await;
    let faults = "/sim/api/faults/wechatpay";
    let set = |body| call(&site, Verb::Put, faults, &[JSON], body);
    assert_eq!(set(r#"{"faults":["lose_notification"]}"#).await.status, 204);
    assert!(get(&site, "/sim/faults").await.contains("value=\"lose_notification\" checked"));
    assert_eq!(set(r#"{"faults":["nonsense"]}"#).await.status, 400);
    assert_eq!(set(r#"{"faults":[],"extra":1}"#).await.status, 400);
    assert_eq!(call(&site, Verb::Put, faults, &[FORM], "{}").await.status, 415, "no form of another site gets in");
    let foreign = [FORM, ("sec-fetch-site", "cross-site")];
    assert_eq!(call(&site, Verb::Post, "/sim/faults/wechatpay", &foreign, "").await.status, 404);
    assert_eq!(call(&site, Verb::Post, "/sim/faults/wechatpay", &[FORM], "fault=bill_late").await.status, 303);
    let now: serde_json::Value = serde_json::from_str(&get(&site, faults).await).unwrap();
    let on = |code: &str| now["faults"].as_array().unwrap().iter().any(|row| row["code"] == code && row["on"] == true);
    assert!(on("bill_late") && !on("lose_notification"));

    let before = site.simulators.world.now().await.unwrap();
    let skip = |body| call(&site, Verb::Post, "/sim/api/clock", &[JSON], body);
    assert_eq!(skip(r#"{"seconds":3600}"#).await.status, 200);
    assert!(site.simulators.world.now().await.unwrap().since(before).as_seconds() >= 3600);
    assert_eq!(skip(r#"{"seconds":99999999}"#).await.status, 400);

    let (_, next) = site.ordered(Method::WechatNative).await;
    let NextAction::QrCode { data } = &next else { panic!("a code") };
    let pay = serde_json::json!({ "code": data }).to_string();
    let paid = call(&site, Verb::Post, "/sim/api/pay", &[JSON], &pay).await;
    assert_eq!(paid.status, 200);
    assert_eq!(call(&site, Verb::Post, "/sim/api/pay", &[JSON], &pay).await.status, 409, "paid already");
    let code = r#"{"provider":"wechatpay","mood":"refuses"}"#;
    assert_eq!(call(&site, Verb::Post, "/sim/api/payer-codes", &[JSON], code).await.status, 200);
    let shown = place(&call(&site, Verb::Post, "/sim/phone/show/wechatpay", &[FORM], "mood=pays").await);
    assert!(get(&site, &shown).await.contains("<svg"));
    site.close().await;
}

#[tokio::test]
async fn a_stranger_finds_the_page_of_an_order_and_nothing_else() {
    let site = Site::open_with(Mode::PublicKey, Controls::Closed).await;
    let (_, next) = site.ordered(Method::WechatNative).await;
    let NextAction::QrCode { data } = &next else { panic!("a code") };
    let code = data.rsplit('=').next().unwrap();
    for path in ["/sim", "/sim/credentials", "/sim/faults", "/sim/phone", "/sim/api/clock", "/sim/api/faults/wechatpay"]
    {
        assert_eq!(call(&site, Verb::Get, path, &[], "").await.status, 404, "{path}");
    }
    assert_eq!(call(&site, Verb::Post, "/sim/api/clock", &[JSON], r#"{"seconds":60}"#).await.status, 404);
    let page = get(&site, &format!("/sim/phone/wechatpay/{code}")).await;
    assert!(page.contains("12.30") && !page.contains("\"/sim/phone\""));
    let guessed = format!("/sim/phone/wechatpay/{}{}", &code[..31], if code.ends_with('0') { '1' } else { '0' });
    assert_eq!(call(&site, Verb::Post, &guessed, &[FORM], "do=pay").await.status, 404);
    site.close().await;
}
