//! What a merchant enters, and the provider's keys as they change.

use super::*;
use crate::channels::wechatpay::check::{Entered, Field, check};
use crate::channels::wechatpay::credentials::{ANCHORS_MAX, same_serial};

const MERCHANT_CERTIFICATE: &str = include_str!("../fixtures/merchant.pem");
const MERCHANT_EXPIRED: &str = include_str!("../fixtures/merchant_expired.pem");

/// What a merchant with a public key enters, with a change; answers the fields that are wrong.
fn wrong(change: impl FnOnce(&mut Entered<'_>)) -> Vec<Field> {
    let (key, public) = (key_base64("java_merchant_test"), credentials().public_keys.remove(KEY_ID).unwrap());
    let mut entered = entered(&key, &public);
    change(&mut entered);
    match check(&entered, NOW) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(|problem| problem.field).collect(),
    }
}

fn entered<'a>(key: &'a str, public: &'a str) -> Entered<'a> {
    Entered {
        mch_id: " 1900009191\n",
        app_id: APP_ID,
        official_account_app_id: "wx0000000000000001",
        official_account_secret: "0123456789abcdef0123456789abcdef",
        mini_program_app_id: "wx0000000000000002",
        app_app_id: "wx0000000000000003",
        merchant_key: key,
        merchant_certificate: MERCHANT_CERTIFICATE,
        merchant_serial: "",
        api_v3_key: API_V3_KEY,
        previous_api_v3_key: "",
        code_interface: "",
        api_v2_key: "",
        public_key_id: KEY_ID,
        public_key: public,
    }
}

#[test]
fn what_is_entered_rightly_becomes_a_record_that_opens() {
    let (key, public) = (key_base64("java_merchant_test"), credentials().public_keys.remove(KEY_ID).unwrap());
    let record = check(&entered(&key, &public), NOW).unwrap();
    let certificate = Some(MERCHANT_CERTIFICATE.trim().to_owned());
    assert!(record == Credentials { merchant_certificate: certificate, ..credentials() });
    assert!(Credentials::read(record.to_secret().expose()).unwrap() == record);
    assert!(WechatPay::open(record.to_secret().expose(), HOST).is_ok());
    let overview = record.overview();
    assert_eq!(overview.merchant_certificate_ends, Timestamp::parse_rfc3339("2042-01-01T00:00:00Z"));
    assert_eq!(overview.anchors[0].id, KEY_ID);
    assert_eq!(overview.anchors[0].fingerprint, provider().public().fingerprint());
    // Without a public key the account fetches certificates; with a serial number it needs no certificate.
    let old = Entered {
        public_key: "",
        public_key_id: "",
        merchant_certificate: "",
        merchant_serial: "5f1c72e2a8931b72a2e13af8dee92471eb397115",
        ..entered(&key, &public)
    };
    let old = check(&old, NOW).unwrap();
    assert_eq!((old.answers, old.merchant_serial), (AnswersBy::PlatformCertificate, credentials().merchant_serial));
    assert_eq!(old.code_v2_key, None, "v3 is the default");
    // Shown codes through V2: its own key, and the certificate itself.
    let v2 = Entered { code_interface: "v2", api_v2_key: "0123456789abcdef0123456789ABCDEF", ..entered(&key, &public) };
    assert_eq!(check(&v2, NOW).unwrap().code_v2_key.as_deref(), Some("0123456789abcdef0123456789ABCDEF"));
    let serial =
        Entered { merchant_certificate: "", merchant_serial: "5f1c72e2a8931b72a2e13af8dee92471eb397115", ..v2 };
    assert_eq!(check(&serial, NOW).unwrap_err()[0].field, Field::MerchantCertificate);
}

#[test]
fn each_field_that_is_wrong_is_named() {
    let stranger = key_base64("go_test");
    let own_public = {
        let key = MERCHANT_CERTIFICATE;
        let certificate = crate::crypto::Certificate::read(key).unwrap();
        assert_ne!(certificate.public_key().unwrap(), *provider().public());
        // The merchant's own public half, as `openssl rsa -pubout` would print it.
        let signer = RsaSigner::read(&key_base64("java_merchant_test")).unwrap();
        assert_eq!(certificate.public_key().unwrap(), *signer.public());
        include_str!("../fixtures/merchant_public.pem")
    };
    type Change<'a> = Box<dyn FnOnce(&mut Entered<'_>) + 'a>;
    assert_eq!(wrong(|_| {}), []);
    let cases: Vec<(Change<'_>, Field)> = vec![
        (Box::new(|e| e.mch_id = ""), Field::MchId),
        (Box::new(|e| e.mch_id = "19000\"9191"), Field::MchId),
        (Box::new(|e| e.app_id = ""), Field::AppId),
        (Box::new(|e| e.app_id = "1900009191"), Field::AppId),
        (Box::new(|e| e.official_account_app_id = "gh_1234567890ab"), Field::OfficialAccountAppId),
        (Box::new(|e| e.official_account_app_id = ""), Field::OfficialAccountAppId),
        (Box::new(|e| e.official_account_secret = "too short"), Field::OfficialAccountSecret),
        (Box::new(|e| e.official_account_secret = API_V3_KEY), Field::OfficialAccountSecret),
        (Box::new(|e| e.mini_program_app_id = "小程序"), Field::MiniProgramAppId),
        (Box::new(|e| e.app_app_id = "wx\",mchid=\"1"), Field::AppAppId),
        (Box::new(|e| e.merchant_key = ""), Field::MerchantKey),
        (Box::new(|e| e.merchant_key = MERCHANT_CERTIFICATE), Field::MerchantKey),
        (Box::new(|e| e.merchant_certificate = "x"), Field::MerchantCertificate),
        (Box::new(|e| e.merchant_certificate = MERCHANT_EXPIRED), Field::MerchantCertificate),
        (Box::new(|e| e.merchant_serial = "5F1C72E2A8931B72A2E13AF8DEE92471EB397116"), Field::MerchantSerial),
        (Box::new(|e| e.merchant_certificate = ""), Field::MerchantSerial),
        (Box::new(|e| e.api_v3_key = ""), Field::ApiV3Key),
        (Box::new(|e| e.api_v3_key = "0123456789abcdefGHIJKLMNOPQRSTU"), Field::ApiV3Key),
        (Box::new(|e| e.api_v3_key = "0123456789abcdefGHIJKLMNOPQ钱"), Field::ApiV3Key),
        (Box::new(|e| e.previous_api_v3_key = "short"), Field::PreviousApiV3Key),
        (Box::new(|e| e.code_interface = "v4"), Field::CodeInterface),
        (Box::new(|e| e.code_interface = "v2"), Field::ApiV2Key),
        (Box::new(|e| (e.code_interface, e.api_v2_key) = ("v2", "short")), Field::ApiV2Key),
        (Box::new(|e| e.api_v2_key = API_V3_KEY), Field::ApiV2Key),
        (Box::new(|e| e.public_key_id = ""), Field::PublicKeyId),
        (Box::new(|e| e.public_key_id = OLD_SERIAL), Field::PublicKeyId),
        (Box::new(|e| e.public_key = ""), Field::PublicKey),
        (Box::new(|e| e.public_key = own_public), Field::PublicKey),
    ];
    for (place, (change, field)) in cases.into_iter().enumerate() {
        assert_eq!(wrong(change), [field], "case {place}");
    }
    // The pair does not fit, in the one way and in the other.
    let public = credentials().public_keys.remove(KEY_ID).unwrap();
    let pair =
        check(&Entered { merchant_key: &stranger, public_key_id: "", public_key: "", ..entered("", &public) }, NOW);
    let problems = pair.map(|_| ()).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].field, Field::MerchantKey);
    assert!(problems[0].text.en.contains("do not belong together"));
    assert_eq!(wrong(|e| (e.mch_id, e.api_v3_key) = ("", "")), [Field::MchId, Field::ApiV3Key], "all at once");
}

#[test]
fn a_record_without_usable_keys_does_not_open() {
    let changes: [fn(&mut Credentials); 10] = [
        |c| c.mch_id.clear(),
        |c| c.mch_id = "1900009191\"".to_owned(),
        |c| c.app_ids.default = "x".to_owned(),
        |c| c.app_ids.app = Some(String::new()),
        |c| c.merchant_key.clear(),
        |c| c.merchant_serial = "x".to_owned(),
        |c| c.api_v3_key.clear(),
        |c| c.previous_api_v3_key = Some("short".to_owned()),
        |c| c.public_keys.clear(),
        |c| c.platform_certificates.push("no certificate".to_owned()),
    ];
    for (place, change) in changes.into_iter().enumerate() {
        let mut record = credentials();
        change(&mut record);
        let opened = WechatPay::open(record.to_secret().expose(), HOST);
        assert!(matches!(opened, Err(ChannelError::Credentials { .. })), "case {place}");
    }
    assert!(WechatPay::open(b"{}", HOST).is_err());
    let mut more: Value = serde_json::from_slice(credentials().to_secret().expose()).unwrap();
    more["unknown"] = json!(1);
    assert!(WechatPay::open(more.to_string().as_bytes(), HOST).is_err());
}

#[test]
fn new_credentials_keep_what_old_messages_need() {
    let old = with_certificates(&[PLATFORM_OLD]);
    let new = Credentials { api_v3_key: "another-key-of-32-characters-xyz".to_owned(), ..credentials() };
    let kept = new.clone().replacing(&old);
    assert_eq!(kept.previous_api_v3_key.as_deref(), Some(API_V3_KEY));
    assert_eq!(kept.platform_certificates, [PLATFORM_OLD]);
    assert_eq!(kept.answers, AnswersBy::PublicKey { id: KEY_ID.to_owned() });
    let again = new.clone().replacing(&kept);
    assert_eq!(again.previous_api_v3_key.as_deref(), Some(API_V3_KEY), "the same key once more pushes nothing out");
    let mut many = credentials();
    for number in 0..2 * ANCHORS_MAX {
        let (id, pem) = (format!("PUB_KEY_ID_{number:04}"), credentials().public_keys.remove(KEY_ID).unwrap());
        let answers = AnswersBy::PublicKey { id: id.clone() };
        many = Credentials { public_keys: BTreeMap::from([(id, pem)]), answers, ..credentials() }.replacing(&many);
        assert!(WechatPay::open(many.to_secret().expose(), HOST).is_ok(), "{number}");
    }
    assert_eq!(many.public_keys.len(), ANCHORS_MAX);
    let other = Credentials { mch_id: "1900009192".to_owned(), ..old };
    assert!(new.clone().replacing(&other) == new, "another contract's keys prove nothing here");
}

#[test]
fn a_certificate_of_another_number_or_near_its_end_is_warned_of() {
    let record = Credentials { merchant_certificate: Some(MERCHANT_CERTIFICATE.to_owned()), ..credentials() };
    let near = Timestamp::parse_rfc3339("2041-12-15T00:00:00Z").unwrap();
    assert_eq!((record.warnings(NOW), record.warnings(near).len(), credentials().warnings(near)), (vec![], 1, vec![]));
    let foreign = Credentials { mch_id: "1900009192".to_owned(), ..record };
    let [text] = foreign.warnings(NOW)[..] else { panic!() };
    assert!(text.en.contains("another merchant number"), "{}", text.en);
}

#[test]
fn serial_numbers_are_numbers() {
    assert!(same_serial("0aB1", "AB1") && same_serial("AB1", "ab1"));
    assert!(!same_serial("AB1", "AB10") && !same_serial("", "") && !same_serial("PUB_KEY_ID_1", "PUB_KEY_ID_1"));
}

#[test]
fn nothing_secret_is_printed() {
    let record = credentials();
    let printed = format!("{record:?} {:?}", record.overview());
    for secret in [&record.merchant_key, &record.api_v3_key] {
        assert!(!printed.contains(&secret[..16]), "{printed}");
    }
}

/// The answer to the download, sealed and signed.
fn download(certificates: &[&str], key: &str, signer: &RsaSigner, id: &str) -> OutgoingResponse {
    let entries: Vec<Value> = certificates
        .iter()
        .map(|pem| {
            let certificate = crate::crypto::Certificate::read(pem).unwrap();
            json!({
                "serial_no": certificate.serial_hex(), "effective_time": "2026-01-01T08:00:00+08:00",
                "expire_time": "2031-01-01T08:00:00+08:00",
                "encrypt_certificate": resource(pem.as_bytes(), "certificate", key),
            })
        })
        .collect();
    let body = json!({"data": entries}).to_string().into_bytes();
    let headers = headers_by(signer, id, &body, NOW);
    raw_answer(200, body, headers)
}

fn certificates(record: &Secret) -> Vec<String> {
    Credentials::read(record.expose()).unwrap().platform_certificates
}

#[test]
fn accounts_ask_for_certificates_while_they_can_need_them() {
    let asks = |record: &Credentials| opened(record).upkeep(&SEALING).map(|request| request.url);
    let url = Some(format!("{HOST}/v3/certificates"));
    assert_eq!(asks(&with_certificates(&[])), url);
    assert_eq!(asks(&credentials()), None);
    let both = Credentials { platform_certificates: vec![PLATFORM_OLD.to_owned()], ..credentials() };
    assert_eq!(asks(&both), url);
}

#[test]
fn the_first_download_is_verified_by_what_it_brings() {
    let empty = opened(&with_certificates(&[]));
    let first = download(&[PLATFORM_OLD], API_V3_KEY, &provider(), OLD_SERIAL);
    let record = empty.read_upkeep(&first, NOW).unwrap().unwrap();
    assert_eq!(certificates(&record), [PLATFORM_OLD]);
    assert!(Credentials::read(record.expose()).unwrap() == with_certificates(&[PLATFORM_OLD]));
    // With another key than ours, signed by somebody else, under another's number, too old, changed.
    let stranger = RsaSigner::read(PLATFORM_NEW_KEY).unwrap();
    let foreign = download(&[PLATFORM_OLD], "another-key-of-32-characters-xyz", &provider(), OLD_SERIAL);
    assert!(matches!(empty.read_upkeep(&foreign, NOW), Err(ChannelError::Credentials { .. })));
    assert_not_genuine(empty.read_upkeep(&download(&[PLATFORM_OLD], API_V3_KEY, &stranger, OLD_SERIAL), NOW));
    assert_not_genuine(empty.read_upkeep(&download(&[PLATFORM_OLD], API_V3_KEY, &stranger, NEW_SERIAL), NOW));
    assert_not_genuine(empty.read_upkeep(&first, NOW.plus(Duration::from_minutes(6))));
    let mut changed = first.clone();
    changed.body.push(b' ');
    assert_not_genuine(empty.read_upkeep(&changed, NOW));
    let unsigned = OutgoingResponse { headers: Vec::new(), ..first.clone() };
    assert_not_genuine(empty.read_upkeep(&unsigned, NOW));
    // Signed by one that is over, which is also the one it brings.
    let over = download(&[PLATFORM_OVER], API_V3_KEY, &stranger, "3DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C");
    assert_not_genuine(empty.read_upkeep(&over, NOW));
}

#[test]
fn certificates_rotate_without_a_gap() {
    let account = opened(&with_certificates(&[PLATFORM_OLD]));
    // The next one appears, still under the signature of the old one.
    let both = download(&[PLATFORM_NEW, PLATFORM_OLD], API_V3_KEY, &provider(), OLD_SERIAL);
    let record = account.read_upkeep(&both, NOW).unwrap().unwrap();
    assert_eq!(certificates(&record), [PLATFORM_OLD, PLATFORM_NEW]);
    // Nothing new: nothing to store, whatever the order.
    let account = opened(&Credentials::read(record.expose()).unwrap());
    assert_eq!(account.read_upkeep(&both, NOW), Ok(None));
    // The old one is no longer told, and stays until it is over.
    let signer = RsaSigner::read(PLATFORM_NEW_KEY).unwrap();
    let alone = download(&[PLATFORM_NEW], API_V3_KEY, &signer, NEW_SERIAL);
    assert_eq!(account.read_upkeep(&alone, NOW), Ok(None));
    let aged = opened(&with_certificates(&[PLATFORM_OVER, PLATFORM_NEW]));
    let record = aged.read_upkeep(&alone, NOW).unwrap().unwrap();
    assert_eq!(certificates(&record), [PLATFORM_NEW]);
}

#[test]
fn no_certificates_are_normal_with_the_public_key_and_a_hint_without() {
    let none = refusal(404, "RESOURCE_NOT_EXISTS", "无可用的平台证书");
    let moving = Credentials { platform_certificates: vec![PLATFORM_OLD.to_owned()], ..credentials() };
    assert_eq!(opened(&moving).read_upkeep(&none, NOW), Ok(None));
    let old = opened(&with_certificates(&[])).read_upkeep(&none, NOW);
    assert!(matches!(&old, Err(ChannelError::Credentials { detail }) if detail.contains("public key")), "{old:?}");
    assert_malformed(opened(&moving).read_upkeep(&refusal(500, "SYSTEM_ERROR", ""), NOW));
    let nothing = download(&[], API_V3_KEY, &provider(), OLD_SERIAL);
    assert_malformed(opened(&moving).read_upkeep(&nothing, NOW));
}
