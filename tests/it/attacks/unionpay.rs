//! UnionPay's messages: a form with the certificate of its signer inside, or hashed with the key that both sides hold.

use coffer::channels::unionpay::credentials::{ByCertificate, ByKey, Contract, Credentials};
use coffer::channels::unionpay::keyed::KeyedMethod;
use coffer::crypto::rsa::RsaSigner;
use coffer::crypto::{Hash, Secret};
use coffer::domain::merchant::ChannelKind;
use coffer::domain::method::Method;
use coffer::domain::time::Timestamp;

use super::form::{Fields, and, but, bytes, fields, joined, merged, message, read, with, without};
use super::provider::{Message, Provider, Signer, State, Words};

const MERCHANT: &str = "777290058110048";
const ROOT: &str = include_str!("../../../src/channels/unionpay/fixtures/root.pem");
const MIDDLE: &str = include_str!("../../../src/channels/unionpay/fixtures/middle.pem");
const SIGNER: &str = include_str!("../../../src/channels/unionpay/fixtures/signer.pem");
const KEY: &str = include_str!("../../../src/channels/unionpay/fixtures/unionpay.key");
const EXPIRED: &str = include_str!("../../../src/channels/unionpay/fixtures/signer_expired.pem");
/// Of UnionPay's test environment, under the same authority.
const TEST_SIGNER: &str = include_str!("../../../src/channels/unionpay/fixtures/signer_test_name.pem");
const ROGUE_ROOT: &str = include_str!("../../../src/channels/unionpay/fixtures/rogue_root.pem");
const ROGUE_SIGNER: &str = include_str!("../../../src/channels/unionpay/fixtures/signer_rogue.pem");
const ROGUE_KEY: &str = include_str!("../../../src/channels/unionpay/fixtures/rogue.key");
/// Another merchant of the same authority has such a certificate.
const OWN: &str = include_str!("../../../src/channels/unionpay/fixtures/merchant.pem");
const OWN_KEY: &str = include_str!("../../../src/channels/unionpay/fixtures/merchant.key");

/// Keys of two merchants who have no certificate.
const SHARED_KEY: &str = "K7mQ2vX9pL4sT8wZ1nB6cR3yD5fG0hJk";
const ANOTHERS_KEY: &str = "pL4sT8wZ1nB6cR3yD5fG0hJkK7mQ2vX9";

pub fn by_certificate() -> Provider {
    Provider {
        kind: ChannelKind::Unionpay,
        method: Method::UnionpayQr,
        has_app: false,
        is_live: true,
        window: None,
        tells_refunds: true,
        keys: &["/trusted_certificates"],
        expired: Some(expired),
        credentials,
        say,
        spoil,
        garble,
    }
}

/// With SM3; the other hash is what nobody may fall back to.
pub fn by_key() -> Provider {
    Provider {
        keys: &["/secure_key"],
        expired: None,
        credentials: |signer| {
            record(Contract::Key(ByKey { sign_method: KeyedMethod::Sm3, secure_key: key_of(signer) }))
        },
        say: |signer, words, _| hashed(text(words), Hash::Sm3, &key_of(signer)),
        spoil: spoil_hashed,
        garble: |words, _| garbled(words, |fields| hashed(fields, Hash::Sm3, SHARED_KEY)),
        ..by_certificate()
    }
}

fn key_of(signer: Signer) -> String {
    match signer {
        Signer::Genuine => SHARED_KEY.to_owned(),
        Signer::Stranger => ANOTHERS_KEY.to_owned(),
    }
}

fn record(contract: Contract) -> Secret {
    Credentials { mer_id: MERCHANT.to_owned(), term_id: None, earlier: Vec::new(), contract }.to_secret()
}

fn credentials(signer: Signer) -> Secret {
    let trusted_certificates = match signer {
        Signer::Genuine => [ROOT, MIDDLE].concat(),
        Signer::Stranger => ROGUE_ROOT.to_owned(),
    };
    record(Contract::Certificate(ByCertificate {
        sign_key: OWN_KEY.to_owned(),
        sign_certificate: OWN.to_owned(),
        trusted_certificates,
        accept_sha1: true,
        accept_test_name: false,
    }))
}

fn say(signer: Signer, words: &Words, _: Timestamp) -> Message {
    match signer {
        Signer::Genuine => signed(text(words), SIGNER, KEY),
        Signer::Stranger => signed(text(words), ROGUE_SIGNER, ROGUE_KEY),
    }
}

fn expired(words: &Words, _: Timestamp) -> (Secret, Message) {
    (credentials(Signer::Genuine), signed(text(words), EXPIRED, KEY))
}

/// The hex letters of the hash are signed, which hashes once more.
fn signed(mut fields: Fields, certificate: &str, key: &str) -> Message {
    fields.insert("signPubKeyCert".to_owned(), certificate.to_owned());
    let letters = Hash::Sha256.letters(joined(&fields).as_bytes());
    let signature = RsaSigner::read(key).unwrap().sign_sha256_base64(letters.as_bytes());
    fields.insert("signature".to_owned(), signature);
    message(&fields)
}

/// The hex letters of the key's hash are hashed behind the text.
fn hashed(fields: Fields, hash: Hash, key: &str) -> Message {
    let method = match hash {
        Hash::Sha256 => "11",
        Hash::Sm3 => "12",
    };
    let mut fields = with(&fields, "signMethod", method);
    let letters = hash.letters(format!("{}&{}", joined(&fields), hash.letters(key.as_bytes())).as_bytes());
    fields.insert("signature".to_owned(), letters);
    message(&fields)
}

fn beijing(at: Timestamp, form: &str) -> String {
    at.in_zone("Asia/Shanghai").strftime(form).to_string()
}

fn text(words: &Words) -> Fields {
    let mut said = fields([
        ("version", "5.1.0"),
        ("encoding", "UTF-8"),
        ("signMethod", "01"),
        ("bizType", "000000"),
        ("accessType", "0"),
        ("queryId", "642611231906401234568"),
        ("currencyCode", "156"),
        ("settleCurrencyCode", "156"),
        ("settleDate", "1123"),
        ("traceNo", "123456"),
    ]);
    let mut say = |name: &str, value: &str| said.insert(name.to_owned(), value.to_owned());
    let (number, amount, at, kind) = match words {
        Words::Order(order) => {
            let (code, text) = match order.state {
                State::Paid => ("00", "成功[0000000]"),
                State::Unpaid => ("05", "交易已受理[4000005]"),
                State::Closed => ("34", "查无此交易[2600000]"),
                State::Failed => ("01", "交易失败[1000000]"),
                State::Strange => ("ZZ", "?"),
            };
            say("respCode", code);
            say("respMsg", text);
            say("merId", if order.foreign_merchant { "777290058110049" } else { MERCHANT });
            if order.currency == "USD" {
                say("currencyCode", "840");
            }
            (&order.number, order.total, order.at, ["01", "07"])
        }
        Words::Refund(refund) => {
            say("respCode", "00");
            say("respMsg", "成功[0000000]");
            say("merId", MERCHANT);
            (&refund.number, refund.amount, refund.at, ["04", "00"])
        }
    };
    for (name, value) in [
        ("orderId", number.as_str()),
        ("txnAmt", &amount.to_string()),
        ("settleAmt", &amount.to_string()),
        ("txnTime", &beijing(at, "%Y%m%d%H%M%S")),
        ("traceTime", &beijing(at, "%m%d%H%M%S")),
        ("txnType", kind[0]),
        ("txnSubType", kind[1]),
    ] {
        say(name, value);
    }
    said
}

/// What spoils either kind of signature.
fn spoil_any(good: &Message) -> Vec<(&'static str, Message)> {
    vec![
        ("no signature field", but(good, "signature", None)),
        ("empty signature", but(good, "signature", Some(""))),
        ("signature of nothing", but(good, "signature", Some("AAAA"))),
        ("the version with SHA-1", but(good, "version", Some("5.0.0"))),
        ("no kind of signature", but(good, "signMethod", None)),
        ("changed after signing", but(good, "txnAmt", Some("1231"))),
        ("another order after signing", but(good, "orderId", Some("00000000000000000000000000"))),
        ("a field more", and(good, b"&reserved=x")),
        ("a field less", but(good, "traceNo", None)),
        ("an amount more", and(good, b"&txnAmt=1")),
        ("the same amount twice", and(good, b"&txnAmt=1230")),
        ("a line end behind it", and(good, b"\r\n")),
        ("fields hidden in another", merged(good, "settleAmt", "settleDate", &["signature"])),
        ("its amount hidden in another field", merged(good, "traceTime", "txnAmt", &["signature"])),
    ]
}

fn spoil(good: &Message) -> Vec<(&'static str, Message)> {
    let mut plain = read(good);
    plain.remove("signature");
    plain.remove("signPubKeyCert");
    let own_root = signed(plain.clone(), &[ROGUE_SIGNER, ROGUE_ROOT].concat(), ROGUE_KEY);
    let mut all = spoil_any(good);
    all.extend([
        ("no certificate", but(good, "signPubKeyCert", None)),
        ("a certificate that is none", but(good, "signPubKeyCert", Some("-----BEGIN CERTIFICATE-----"))),
        ("UnionPay's certificate, another's key", signed(plain.clone(), SIGNER, ROGUE_KEY)),
        ("a merchant of the same authority", signed(plain.clone(), OWN, OWN_KEY)),
        ("UnionPay's test environment", signed(plain.clone(), TEST_SIGNER, KEY)),
        ("a chain with a root of its own", own_root),
        ("symmetric signatures", but(good, "signMethod", Some("11"))),
        ("hashed with no key", hashed(plain.clone(), Hash::Sha256, "")),
        ("hashed with the certificate as the key", hashed(plain, Hash::Sha256, SIGNER)),
    ]);
    all
}

fn spoil_hashed(good: &Message) -> Vec<(&'static str, Message)> {
    let plain = without(&read(good), "signature");
    let signature = &read(good)["signature"];
    let by_certificate = signed(with(&plain, "signMethod", "01"), SIGNER, KEY);
    let mut all = spoil_any(good);
    all.extend([
        ("half a signature", but(good, "signature", Some(&signature[..32]))),
        ("in capitals", but(good, "signature", Some(&signature.to_uppercase()))),
        ("hashed with no key", hashed(plain.clone(), Hash::Sm3, "")),
        ("another merchant's key", hashed(plain.clone(), Hash::Sm3, ANOTHERS_KEY)),
        ("the other hash", hashed(plain.clone(), Hash::Sha256, SHARED_KEY)),
        (
            "the other hash under this one's name",
            but(&hashed(plain.clone(), Hash::Sha256, SHARED_KEY), "signMethod", Some("12")),
        ),
        ("UnionPay's certificate", by_certificate.clone()),
        ("UnionPay's certificate under this one's name", but(&by_certificate, "signMethod", Some("12"))),
        ("its own certificate", signed(plain, ROGUE_SIGNER, ROGUE_KEY)),
    ]);
    all
}

fn garble(words: &Words, _: Timestamp) -> Vec<Message> {
    garbled(words, |fields| signed(fields, SIGNER, KEY))
}

fn garbled(words: &Words, sign: impl Fn(Fields) -> Message) -> Vec<Message> {
    let good = text(words);
    let mut all: Vec<Message> =
        ["orderId", "txnAmt", "currencyCode", "queryId", "respCode", "txnType", "settleAmt", "traceTime"]
            .map(|name| sign(without(&good, name)))
            .into();
    for (name, value) in [
        ("txnAmt", "1.23e3"),
        ("txnAmt", "-1230"),
        ("txnAmt", "01230"),
        ("txnAmt", "99999999999999999999"),
        ("currencyCode", "999"),
        ("orderId", "'; DROP TABLE--"),
        ("txnType", "99"),
        ("txnTime", "now"),
        // The answer to a query is as genuine as a notification and says 00 about the question.
        ("origRespCode", "05"),
    ] {
        all.push(sign(with(&good, name, value)));
    }
    // Signed as a reserved field that reads `x&txnAmt=1230&txnAmtx=` and an amount of one fen: the signed text is the same.
    let split = with(&with(&good, "reqReserved", "x"), "txnAmtx", "&txnAmt=1");
    all.push(sign(with(&split, "txnAmt", "1230")));
    all.push(bytes(b"<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY a \"aaaa\">]><x>&a;</x>".to_vec()));
    all.push(bytes([joined(&good).as_bytes(), b"&x=%ff%fe"].concat()));
    all
}
