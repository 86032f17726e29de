//! The older interface through raw calls: what it refuses, and with which words.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::message::{Fields, SignType, fields, read, sign, write};
use super::*;
use crate::crypto::Secret;
use crate::crypto::rsa::der_in;
use crate::env::Env;
use crate::env::target::TargetPolicy;
use crate::sandbox::provider::records::Mood;
use crate::sandbox::provider::{Reach, World};
use crate::sandbox::wechatpay::{MerchantSide, Mode};
use crate::store::{Store, StoreOptions};

const KEYS: [&str; 3] = [
    include_str!("../../../../tests/it/fixtures/rsa/1.pem"),
    include_str!("../../../../tests/it/fixtures/rsa/2.pem"),
    include_str!("../../../../tests/it/fixtures/rsa/3.pem"),
];

struct Town {
    world: World,
    provider: WechatPay,
    side: MerchantSide,
}

async fn town() -> Town {
    let next = AtomicUsize::new(0);
    let make = move || Secret::new(der_in(KEYS[next.fetch_add(1, Ordering::SeqCst) % KEYS.len()]).unwrap());
    let reach = Reach {
        public_url: "http://sim.test".to_owned(),
        own_url: None,
        at_root: false,
        policy: TargetPolicy::default(),
    };
    let transport = Arc::new(crate::env::http::HttpTransport::system(&[]).unwrap());
    let store = Store::open_memory(StoreOptions::default()).unwrap();
    let world = World::new(store, Env::system(), transport, reach, Arc::new(make));
    let provider = WechatPay::open(&world);
    let side = provider.merchant(Mode::PublicKey).await.unwrap();
    Town { world, provider, side }
}

impl Town {
    /// A charge as it has to be, but for its signature.
    async fn charge(&self, number: &str, mood: Mood) -> Fields {
        let code = self.world.show_code(&self.provider.dialect(), mood).await.unwrap();
        fields(&[
            ("appid", &self.side.appids[0]),
            ("mch_id", &self.side.mchid),
            ("nonce_str", "5K8264ILTKCH16CQ"),
            ("body", "一只马克杯"),
            ("out_trade_no", number),
            ("total_fee", "1230"),
            ("spbill_create_ip", "127.0.0.1"),
            ("auth_code", &code),
        ])
    }

    fn about(&self, number: &str) -> Fields {
        fields(&[
            ("appid", &self.side.appids[0]),
            ("mch_id", &self.side.mchid),
            ("nonce_str", "5K8264ILTKCH16CQ"),
            ("out_trade_no", number),
        ])
    }

    async fn send(&self, path: Path, body: &[u8], certificate: Option<&ClientCertificate>) -> Outgoing {
        self.provider.serve_code_v2(Incoming { method: "POST", path: path.text(), body, certificate }).await
    }

    /// Signs and sends, and checks the answer's signature where it has one.
    async fn call(&self, path: Path, mut asked: Fields) -> Fields {
        let kind = SignType::named(asked.get("sign_type").map_or("", String::as_str)).unwrap();
        let signature = sign(kind, &asked, &self.side.api_v2_key);
        asked.insert("sign".to_owned(), signature);
        let said = read(&self.send(path, &write(&asked), None).await.body).unwrap();
        if let Some(signature) = said.get("sign") {
            assert_eq!(*signature, sign(kind, &said, &self.side.api_v2_key), "in the way in which it was asked");
            assert_eq!(said["mch_id"], self.side.mchid);
        }
        said
    }
}

fn word<'a>(said: &'a Fields, name: &str) -> &'a str {
    said.get(name).map_or("", String::as_str)
}

#[tokio::test]
async fn a_code_is_charged_told_and_taken_back_in_either_signature() {
    let town = town().await;
    for (number, kind) in [("order-md5", "MD5"), ("order-hmac", "HMAC-SHA256"), ("order-none", "")] {
        let mut asked = town.charge(number, Mood::Pays).await;
        let mut about = town.about(number);
        for fields in [&mut asked, &mut about] {
            fields.insert("sign_type".to_owned(), kind.to_owned());
        }
        let paid = town.call(Path::Charge, asked.clone()).await;
        assert_eq!(
            (word(&paid, "result_code"), word(&paid, "total_fee"), word(&paid, "trade_type")),
            ("SUCCESS", "1230", "MICROPAY")
        );
        assert_eq!((word(&paid, "time_end").len(), word(&paid, "out_trade_no")), (14, number));
        assert_eq!(word(&town.call(Path::Charge, asked).await, "err_code"), "ORDERPAID");
        let seen = town.call(Path::Query, about.clone()).await;
        assert_eq!((word(&seen, "trade_state"), &seen["transaction_id"]), ("SUCCESS", &paid["transaction_id"]));
        let reversed = town.call(Path::Reverse, about.clone()).await;
        assert_eq!((word(&reversed, "result_code"), word(&reversed, "recall")), ("SUCCESS", "N"));
        assert_eq!(word(&town.call(Path::Query, about).await, "trade_state"), "REVOKED");
    }
}

#[tokio::test]
async fn what_the_counter_refuses_has_its_word() {
    let town = town().await;
    let change = async |name: &str, value: &str| {
        let mut asked = town.charge("order-1", Mood::Pays).await;
        asked.insert(name.to_owned(), value.to_owned());
        let said = town.call(Path::Charge, asked).await;
        let code = word(&said, "err_code").to_owned();
        if code.is_empty() { word(&said, "return_msg").to_owned() } else { code }
    };
    for (name, value, code) in [
        ("total_fee", "0", "PARAM_ERROR"),
        ("total_fee", "12.30", "PARAM_ERROR"),
        ("total_fee", "-1", "PARAM_ERROR"),
        ("out_trade_no", "a b c d", "PARAM_ERROR"),
        ("fee_type", "USD", "PARAM_ERROR"),
        ("time_expire", "2026-01-01", "PARAM_ERROR"),
        ("nonce_str", &"n".repeat(33), "PARAM_ERROR"),
        ("body", &"茶".repeat(129), "PARAM_ERROR"),
        ("auth_code", "284567890123456789", "AUTH_CODE_INVALID"),
        ("auth_code", "1345678901234567", "AUTH_CODE_INVALID"),
        ("auth_code", "134567890123456789", "AUTHCODEEXPIRE"),
        ("appid", "wx0000000000000000", "APPID_MCHID_NOT_MATCH"),
        ("body", "", "缺少参数"),
        ("spbill_create_ip", "", "缺少参数"),
    ] {
        assert_eq!(change(name, value).await, code, "{name}={value}");
    }
    assert_eq!(
        word(&town.call(Path::Query, town.about("order-1")).await, "err_code"),
        "ORDERNOTEXIST",
        "none was made"
    );
    assert_eq!(word(&town.call(Path::Reverse, town.about("order-1")).await, "err_code"), "ORDERNOTEXIST");
    for (mood, code, state) in [
        (Mood::AskedForPassword, "USERPAYING", "USERPAYING"),
        (Mood::BalanceShort, "NOTENOUGH", "PAYERROR"),
        (Mood::Refuses, "TRADE_ERROR", "PAYERROR"),
    ] {
        let asked = town.charge(code, mood).await;
        assert_eq!(word(&town.call(Path::Charge, asked).await, "err_code"), code);
        assert_eq!(word(&town.call(Path::Query, town.about(code)).await, "trade_state"), state);
    }
    // The same number: again, with other content, and after it was reversed.
    let mut other = town.charge("USERPAYING", Mood::Pays).await;
    assert_eq!(word(&town.call(Path::Charge, other.clone()).await, "err_code"), "USERPAYING");
    other.insert("total_fee".to_owned(), "1".to_owned());
    assert_eq!(word(&town.call(Path::Charge, other.clone()).await, "err_code"), "OUT_TRADE_NO_USED");
    town.call(Path::Reverse, town.about("USERPAYING")).await;
    assert_eq!(word(&town.call(Path::Charge, other).await, "err_code"), "ORDERREVERSED");
    // Too old to be reversed.
    let old = town.charge("order-old", Mood::Pays).await;
    town.call(Path::Charge, old).await;
    town.world.skip(Duration::from_days(8)).await.unwrap();
    let late = town.call(Path::Reverse, town.about("order-old")).await;
    assert_eq!((word(&late, "err_code"), word(&late, "recall")), ("REVERSE_EXPIRE", "N"));
}

#[tokio::test]
async fn who_cannot_sign_is_not_heard() {
    let town = town().await;
    let told = async |path: Path, body: &[u8]| {
        let said = read(&town.send(path, body, None).await.body).unwrap();
        assert_eq!((word(&said, "return_code"), said.get("sign")), ("FAIL", None), "nothing is signed for strangers");
        word(&said, "return_msg").to_owned()
    };
    for body in [
        "",
        "{}",
        "<xml><a>1</a><a>2</a></xml>",
        "<xml><a>1</b></xml>",
        "<!DOCTYPE x [<!ENTITY a \"1\">]><xml><a>&a;</a></xml>",
    ] {
        assert_eq!(told(Path::Query, body.as_bytes()).await, "XML格式错误", "{body}");
    }
    let mut asked = town.about("order-1");
    assert_eq!(told(Path::Query, &write(&asked)).await, "缺少参数", "no signature");
    asked.insert("sign".to_owned(), sign(SignType::Md5, &asked, "another key"));
    assert_eq!(told(Path::Query, &write(&asked)).await, "签名错误");
    asked.insert("sign_type".to_owned(), "SHA1".to_owned());
    assert_eq!(told(Path::Query, &write(&asked)).await, "sign_type不合法");
    asked.insert("mch_id".to_owned(), "1900000999".to_owned());
    assert_eq!(told(Path::Query, &write(&asked)).await, "商户号mch_id或sub_mch_id不存在");
    let get = Incoming { method: "GET", path: Path::Query.text(), body: b"", certificate: None };
    let said = read(&town.provider.serve_code_v2(get).await.body).unwrap();
    assert_eq!(word(&said, "return_msg"), "请使用post方法");
}

#[tokio::test]
async fn a_reversal_needs_the_certificate_where_one_can_be_asked_for() {
    let town = town().await;
    let mut asked = town.about("order-1");
    let signature = sign(SignType::Md5, &asked, &town.side.api_v2_key);
    asked.insert("sign".to_owned(), signature);
    let body = write(&asked);
    let own = town.provider.0.keys.merchant_signer(&town.side.mchid).unwrap().certificate.clone();
    let other = town.provider.0.keys.merchant_signer(Mode::Certificate.mchid()).unwrap().certificate.clone();
    for (shown, status) in [(None, 400), (Some(other), 400), (Some(own), 200)] {
        let shown = ClientCertificate(shown);
        assert_eq!(town.send(Path::Reverse, &body, Some(&shown)).await.status, status);
        assert_eq!(town.send(Path::Query, &body, Some(&shown)).await.status, 200, "nothing else asks for it");
    }
    assert_eq!(town.send(Path::Reverse, &body, None).await.status, 200, "over plain HTTP the signature decides");
}

#[test]
fn what_sdks_write_is_read() {
    let said = read(
        "<?xml version=\"1.0\"?><xml>\n<a><![CDATA[1<2]]></a> <b>&#33590;&#x1F375;&amp;</b><c/></xml>\n".as_bytes(),
    );
    assert_eq!(said, Some(fields(&[("a", "1<2"), ("b", "茶🍵&"), ("c", "")])));
    for strange in ["x]]>y", "<&>", "茶"] {
        let one = fields(&[("a", strange)]);
        assert_eq!(read(&write(&one)), Some(one));
    }
}
