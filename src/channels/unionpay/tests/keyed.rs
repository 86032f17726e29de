//! Contracts with a shared key: what is believed under one, and what is not.

use super::*;
use crate::channels::{Subject, VerifiedNotification};

pub const KEY: &str = "K7mQ2vX9pL4sT8wZ1nB6cR3yD5fG0hJk";
const OTHER_KEY: &str = "K7mQ2vX9pL4sT8wZ1nB6cR3yD5fG0hJK";

fn by_key(method: KeyedMethod) -> UnionPay {
    opened(&record_by_key(method, KEY))
}

fn sealed_with(mut fields: Fields, method: KeyedMethod, key: &str) -> Fields {
    fields.put("signMethod", method.code());
    SharedKey::new(method, key).sign(&mut fields);
    fields
}

fn notified(account: &UnionPay, fields: &Fields) -> Result<VerifiedNotification, ChannelError> {
    account.read_notification(&Inbound { headers: &[], body: fields.to_form().as_bytes() }, NOW)
}

fn other(method: KeyedMethod) -> KeyedMethod {
    match method {
        KeyedMethod::Sha256 => KeyedMethod::Sm3,
        KeyedMethod::Sm3 => KeyedMethod::Sha256,
    }
}

#[test]
fn answers_and_notifications_under_the_key_are_believed() {
    for method in KeyedMethod::ALL {
        let account = by_key(method);
        let told = notified(&account, &sealed_with(said(&PAID), method, KEY)).unwrap();
        assert_eq!(told.about(), Subject::Order(attempt()));
        assert!(matches!(told.observation(), Observation::Paid(_)), "{told:?}");
        let mut fields = said(&PAID);
        fields.put("origRespCode", "00");
        fields.put("origRespMsg", "成功[0000000]");
        let answer = response(200, raw(&sealed_with(fields, method, KEY)));
        let heard = account.read_response(&Order::Query(reference(Method::UnionpayQr)), &answer, NOW);
        assert!(matches!(heard, Ok(Observation::Paid(_))), "{heard:?}");
    }
}

#[test]
fn another_way_of_signing_is_refused_whoever_signed() {
    for method in KeyedMethod::ALL {
        let account = by_key(method);
        // The other hash under the same key, and UnionPay's own certificate.
        assert_not_genuine(notified(&account, &sealed_with(said(&PAID), other(method), KEY)));
        assert_not_genuine(notified(&account, &sealed(said(&PAID))));
        // A message that says the contract's method and was signed in another way.
        let mut by_certificate = said(&PAID);
        by_certificate.put("signMethod", method.code());
        assert_not_genuine(notified(&account, &sealed(by_certificate)));
        let mut by_other_hash = said(&PAID);
        by_other_hash.put("signMethod", method.code());
        SharedKey::new(other(method), KEY).sign(&mut by_other_hash);
        assert_not_genuine(notified(&account, &by_other_hash));
        for (name, value) in [("version", "5.0.0"), ("version", ""), ("signMethod", ""), ("signMethod", "01")] {
            let mut fields = said(&PAID);
            fields.put("signMethod", method.code());
            fields.put(name, value);
            SharedKey::new(method, KEY).sign(&mut fields);
            assert_not_genuine(notified(&account, &fields));
        }
        // And a contract by certificate believes no key.
        assert_not_genuine(notified(&super::account(), &sealed_with(said(&PAID), method, KEY)));
    }
}

#[test]
fn roots_that_were_replaced_are_believed_and_shared_keys_are_not() {
    let paid = sealed(said(&PAID));
    let published = ByCertificate { trusted_certificates: String::new(), ..own() };
    let renewed = Credentials { contract: Contract::Certificate(published), ..record() };
    assert_not_genuine(notified(&opened(&renewed), &paid));
    let kept = renewed.clone().replacing(&record());
    assert!(notified(&opened(&kept), &paid).is_ok(), "made before the replacement, it arrives after it");
    // What is switched off is off for old roots as well.
    let strong = [include_str!("../fixtures/root_sha256.pem"), include_str!("../fixtures/middle_sha256.pem")].concat();
    let strict = ByCertificate { trusted_certificates: strong, accept_sha1: false, ..own() };
    let strict = Credentials { contract: Contract::Certificate(strict), ..record() };
    assert_not_genuine(notified(&opened(&strict.replacing(&record())), &paid));
    // From certificates to a key, which is changed once more.
    let shared = record_by_key(KeyedMethod::Sha256, KEY).replacing(&record());
    assert!(notified(&opened(&shared), &paid).is_ok());
    let again = record_by_key(KeyedMethod::Sha256, OTHER_KEY).replacing(&shared);
    assert!(notified(&opened(&again), &paid).is_ok());
    assert_not_genuine(notified(&opened(&again), &sealed_with(said(&PAID), KeyedMethod::Sha256, KEY)));
    for record in [&shared, &again] {
        let text = String::from_utf8(record.to_secret().expose().to_vec()).unwrap();
        assert!(!text.contains(&MERCHANT_KEY[100..140]), "the old private key is gone");
    }
    // Going back leaves nothing behind, and another merchant's roots prove nothing here.
    assert!(record().replacing(&record()).earlier.is_empty());
    let other = Credentials { mer_id: "777290058110097".to_owned(), ..record() };
    assert_not_genuine(notified(&opened(&renewed.clone().replacing(&other)), &paid));
}

#[test]
fn without_the_key_nothing_is_believed() {
    for method in KeyedMethod::ALL {
        let account = by_key(method);
        let genuine = sealed_with(said(&PAID), method, KEY);
        for key in [OTHER_KEY, ""] {
            assert_not_genuine(notified(&account, &sealed_with(said(&PAID), method, key)));
        }
        let signature = genuine.get("signature").unwrap().to_owned();
        for bad in
            ["", "00", &signature[1..], &signature.to_uppercase(), &format!("{signature}0"), &format!("{signature} ")]
        {
            let mut fields = genuine.clone();
            fields.put("signature", bad);
            assert_not_genuine(notified(&account, &fields));
        }
        for (name, value) in genuine.iter().filter(|(name, _)| *name != "signature") {
            let mut fields = genuine.clone();
            fields.put(name, format!("{value}1"));
            assert_not_genuine(notified(&account, &fields));
        }
        // Fields moved into each other's values have the same signed text.
        let mut merged = Fields::default();
        for (name, value) in genuine.iter().filter(|(name, _)| *name != "settleCurrencyCode") {
            let value = if name == "settleAmt" { format!("{value}&settleCurrencyCode=156") } else { value.to_owned() };
            merged.put(name, value);
        }
        assert_eq!(merged.canonical(Empty::Dropped), genuine.canonical(Empty::Dropped));
        assert_not_genuine(notified(&account, &merged));
    }
}

#[test]
fn what_we_signed_ourselves_is_no_word_of_unionpay() {
    // Both sides sign with one key, and a customer's browser holds the form that we signed.
    for method in KeyedMethod::ALL {
        let account = by_key(method);
        let Ok(Prepared::Show(crate::domain::payment::NextAction::Form { fields, .. })) =
            account.request(&Order::Create(create(Method::UnionpayGateway)), &SEALING)
        else {
            panic!("a form")
        };
        let mut form = Fields::default();
        fields.iter().for_each(|(name, value)| form.put(name, value.as_str()));
        let told = notified(&account, &form);
        assert!(matches!(told, Err(ChannelError::Malformed { .. })), "{told:?}");
        let heard =
            account.read_response(&Order::Query(reference(Method::UnionpayGateway)), &response(200, raw(&form)), NOW);
        assert!(matches!(heard, Err(ChannelError::Malformed { .. })), "{heard:?}");
    }
}

#[test]
fn empty_fields_are_dropped_or_kept_by_the_signer() {
    for method in KeyedMethod::ALL {
        let account = by_key(method);
        let mut dropped = sealed_with(said(&PAID), method, KEY);
        dropped.put("exchangeRate", "");
        assert!(notified(&account, &dropped).is_ok());
        let mut kept = said(&PAID);
        kept.put("signMethod", method.code());
        kept.put("exchangeRate", "");
        let hash = |text: &str| method.hash().letters(text.as_bytes());
        kept.put("signature", hash(&format!("{}&{}", kept.canonical(Empty::Kept), hash(KEY))));
        assert!(notified(&account, &kept).is_ok());
    }
}
