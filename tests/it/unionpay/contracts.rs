//! What a contract permits: one way of signing, by whoever it is; and the certificate to encrypt with.

use std::collections::BTreeMap;

use coffer::crypto::{Certificate, Hash};
use coffer::domain::time::Duration;
use coffer::env::transport::OutgoingResponse;
use coffer::sandbox::provider::fault::Fault;
use coffer::sandbox::unionpay::Form;
use data_encoding::BASE64;
use rsa::pkcs8::DecodePublicKey;

use super::town::{Town, town};

type Fields = BTreeMap<String, String>;

fn joined(fields: &Fields) -> String {
    fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// A question of the merchant of this form, as an SDK makes it, signed in the way of another.
fn signed(town: &Town, of: Form, by: Form, more: &[(&str, &str)]) -> Fields {
    let merchants = town.handed_out["merchants"].as_array().unwrap();
    let key = |form: Form, name: &str| {
        let own = merchants.iter().find(|merchant| merchant["mer_id"] == form.mer_id()).unwrap();
        own[name].as_str().unwrap().to_owned()
    };
    let time = town.now().in_zone("Asia/Shanghai").strftime("%Y%m%d%H%M%S").to_string();
    let mut fields = Fields::new();
    for (name, value) in [
        ("version", "5.1.0"),
        ("encoding", "UTF-8"),
        ("signMethod", by.sign_method()),
        ("accessType", "0"),
        ("merId", of.mer_id()),
        ("orderId", "20261123000001"),
        ("txnTime", &time),
    ]
    .iter()
    .chain(more)
    {
        fields.insert((*name).to_owned(), (*value).to_owned());
    }
    let signature = match by {
        Form::Certificate => {
            fields.insert("certId".to_owned(), key(by, "cert_id"));
            let signer = coffer::crypto::rsa::RsaSigner::read(&key(by, "private_key")).unwrap();
            signer.sign_sha256_base64(Hash::Sha256.letters(joined(&fields).as_bytes()).as_bytes())
        }
        Form::Sha256 | Form::Sm3 => {
            let hash = if by == Form::Sha256 { Hash::Sha256 } else { Hash::Sm3 };
            let secret = hash.letters(key(by, "secure_key").as_bytes());
            hash.letters(format!("{}&{secret}", joined(&fields)).as_bytes())
        }
    };
    fields.insert("signature".to_owned(), signature);
    fields
}

const QUERY: [(&str, &str); 4] =
    [("txnType", "00"), ("txnSubType", "00"), ("bizType", "000000"), ("channelType", "07")];
const ENCRYPTION_KEY: [(&str, &str); 5] =
    [("txnType", "95"), ("txnSubType", "00"), ("bizType", "000000"), ("channelType", "07"), ("certType", "01")];

async fn ask(town: &Town, path: &str, fields: &Fields) -> OutgoingResponse {
    let form: Vec<(String, String)> = fields.clone().into_iter().collect();
    town.post(&format!("{}/sim/unionpay/gateway/api/{path}", town.base), &form).await
}

/// One field of an answer.
fn said(answer: &OutgoingResponse, name: &str) -> Option<String> {
    let text = std::str::from_utf8(&answer.body).unwrap();
    text.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
}

#[tokio::test]
async fn a_merchant_is_heard_in_the_way_of_his_contract_only() {
    let town = town().await;
    for of in Form::ALL {
        for by in Form::ALL {
            let answer = ask(&town, "queryTrans.do", &signed(&town, of, by, &QUERY)).await;
            let expected = if of == by { "34" } else { "11" };
            assert_eq!(said(&answer, "respCode").as_deref(), Some(expected), "{of:?} by {by:?}");
            // And answered in it, whatever he tried.
            assert_eq!(said(&answer, "signMethod").as_deref(), Some(of.sign_method()), "{of:?} by {by:?}");
            assert_eq!(said(&answer, "signPubKeyCert").is_some(), of == Form::Certificate);
        }
        // With the right key under another's number, and with a field changed afterwards.
        for name in ["merId", "orderId"] {
            let mut fields = signed(&town, of, of, &QUERY);
            fields.insert(name.to_owned(), "777290058110099".to_owned());
            let answer = ask(&town, "queryTrans.do", &fields).await;
            assert_eq!(said(&answer, "respCode").as_deref(), Some("11"), "{of:?} {name}");
        }
    }
    let strange = signed(&town, Form::Sha256, Form::Sha256, &[("signMethod", "13")]);
    assert_eq!(said(&ask(&town, "queryTrans.do", &strange).await, "respCode").as_deref(), Some("10"));
}

/// The certificate that an answer names, whose answer has to be a success.
fn told(answer: &OutgoingResponse) -> Certificate {
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(said(answer, "respCode").as_deref(), Some("00"), "{text}");
    assert_eq!(said(answer, "certType").as_deref(), Some("01"));
    let pem = said(answer, "encryptPubKeyCert").unwrap();
    assert!(pem.contains("\r\n"), "its line ends are signed as they are: {pem}");
    Certificate::read(&pem).unwrap()
}

#[tokio::test]
async fn the_certificate_to_encrypt_with_is_told_and_replaced() {
    let town = town().await;
    let ask = |fields: Fields| {
        let town = &town;
        async move { ask(town, "backTransReq.do", &fields).await }
    };
    let question = || signed(&town, Form::Certificate, Form::Certificate, &ENCRYPTION_KEY);
    let first = told(&ask(question()).await);
    assert_eq!(Some(first.serial_decimal().as_str()), town.handed_out["encrypt_cert_id"].as_str());
    let [root, middle] = ["root_certificate", "middle_certificate"]
        .map(|name| Certificate::read(town.handed_out[name].as_str().unwrap()).unwrap());
    town.faults(&[Fault::NewKey]).await;
    let next = told(&ask(question()).await);
    assert_ne!(next.serial_decimal(), first.serial_decimal());
    for certificate in [&first, &next] {
        assert!(certificate.is_signed_by(&middle) && middle.is_signed_by(&root));
    }
    town.faults(&[]).await;

    // As strict as with every other call.
    for (name, value, code) in [
        ("certType", "02", "10"),
        ("certType", "", "13"),
        ("channelType", "01", "10"),
        ("orderId", "short", "10"),
        ("txnTime", "20200101000000", "10"),
        ("txnSubType", "01", "32"),
    ] {
        let mut more = ENCRYPTION_KEY.to_vec();
        more.push((name, value));
        let mut fields = signed(&town, Form::Certificate, Form::Certificate, &more);
        if value.is_empty() {
            // What is empty is not signed.
            fields.retain(|_, value| !value.is_empty());
            let more: Vec<_> = ENCRYPTION_KEY.into_iter().filter(|(other, _)| *other != name).collect();
            fields = signed(&town, Form::Certificate, Form::Certificate, &more);
        }
        assert_eq!(said(&ask(fields).await, "respCode").as_deref(), Some(code), "{name}={value}");
    }
    // Who signs with a key has no use for it.
    let by_key = signed(&town, Form::Sm3, Form::Sm3, &ENCRYPTION_KEY);
    assert_eq!(said(&ask(by_key).await, "respCode").as_deref(), Some("32"));

    // What was encrypted for either is opened, and nothing else.
    let until = town.now().plus(Duration::from_minutes(15)).in_zone("Asia/Shanghai");
    let until = until.strftime("%Y%m%d%H%M%S").to_string();
    let back_url = format!("{}/notify", town.base);
    let number = town.attempt();
    for (count, (certificate, id, code)) in [
        (&first, first.serial_decimal(), "00"),
        (&next, next.serial_decimal(), "00"),
        (&next, first.serial_decimal(), "10"),
        (&next, "1".to_owned(), "10"),
    ]
    .into_iter()
    .enumerate()
    {
        let key = rsa::RsaPublicKey::from_public_key_der(&certificate.public_key().unwrap().to_spki()).unwrap();
        let sealed = key.encrypt(&mut rsa::rand_core::OsRng, rsa::Pkcs1v15Encrypt, b"6216261000000000018").unwrap();
        let sealed = BASE64.encode(&sealed);
        let order_id = format!("{}{count}", number.bare());
        let more = [
            ("txnType", "01"),
            ("txnSubType", "01"),
            ("bizType", "000201"),
            ("channelType", "08"),
            ("orderId", &order_id),
            ("txnAmt", "1230"),
            ("currencyCode", "156"),
            ("backUrl", &back_url),
            ("payTimeout", &until),
            ("encryptCertId", &id),
            ("accNo", &sealed),
        ];
        let fields = signed(&town, Form::Certificate, Form::Certificate, &more);
        let answer = super::contracts::ask(&town, "appTransReq.do", &fields).await;
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(said(&answer, "respCode").as_deref(), Some(code), "{count}: {text}");
    }
}
