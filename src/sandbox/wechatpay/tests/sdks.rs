//! What public SDKs send beyond the strict reading of the documents.

use p12_keystore::{KeyStore, Pkcs12ImportPolicy};

use super::*;
use crate::sandbox::provider::handout::assert_every_form;

/// SDKs to which only the host can be told sign `/v3/…`, whatever path that host was given.
#[tokio::test]
async fn a_path_is_signed_with_or_without_what_stands_before_it() {
    let town = town(Mode::PublicKey).await;
    let own = format!("/v3/pay/transactions/out-trade-no/none-such?mchid={}", town.side.mchid);
    let sent = format!("/sim/wechatpay{own}");
    let ask = async |signed: &str| {
        let incoming = Incoming {
            method: "GET",
            target: &sent,
            prefix: "/sim/wechatpay",
            origin: "http://sim.test",
            authorization: Some(&town.authorization("GET", signed, "")),
            wechatpay_serial: None,
            user_agent: Some("test"),
            accept: Some(" */*"),
            content_type: None,
            body: b"",
        };
        town.provider.serve(incoming).await.status
    };
    for signed in [own, sent.clone(), format!("http://sim.test{sent}")] {
        assert_eq!(ask(&signed).await, 404, "{signed} is signed, and there is no such order");
    }
    assert_eq!(ask("/v3/certificates").await, 401);
}

/// `wechatpay-java` names no key before it has downloaded its first certificate: the header is there, and empty.
#[tokio::test]
async fn an_empty_serial_names_no_key() {
    let town = town(Mode::Certificate).await;
    let authorization = town.authorization("GET", "/v3/certificates", "");
    let heard = town.send(&authorization, "GET", "/v3/certificates", "", Some("")).await;
    assert_eq!(heard.status, 200, "{}", heard.body);
    assert_eq!(heard.body["data"][0]["serial_no"].as_str(), heard.header("wechatpay-serial"));
}

#[tokio::test]
async fn the_merchants_side_is_handed_out_in_every_form() {
    let town = town(Mode::Certificate).await;
    let given = town.provider.0.credentials().unwrap();
    for merchant in given.json["merchants"].as_array().unwrap() {
        let text = |name: &str| merchant[name].as_str().unwrap();
        assert_every_form(merchant);
        assert_eq!(merchant["appid"], merchant["appids"][0]);
        let p12 = format!("{}/apiclient_cert.p12", text("mchid"));
        let file = given.files.iter().find(|file| file.name == p12).expect("key and certificate in one");
        let opened = KeyStore::from_pkcs12(&file.content, text("mchid"), Pkcs12ImportPolicy::Strict);
        let names: Vec<String> = opened.unwrap().entries().map(|(alias, _)| alias.to_lowercase()).collect();
        assert_eq!(names, ["tenpay certificate"]);
    }
    assert_eq!(given.json["base_url"], "http://sim.test/sim/wechatpay");
}
