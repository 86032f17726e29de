//! Whose certificates count.

use super::chain::{Distrust, Trust};
use super::*;

const ROOT_SHA256: &str = include_str!("../fixtures/root_sha256.pem");
const MIDDLE_SHA256: &str = include_str!("../fixtures/middle_sha256.pem");
const SIGNER_SHA256: &str = include_str!("../fixtures/signer_sha256.pem");
const TEST_NAME: &str = include_str!("../fixtures/signer_test_name.pem");
const EXPIRED: &str = include_str!("../fixtures/signer_expired.pem");
const ROGUE: &str = include_str!("../fixtures/signer_rogue.pem");
const ROGUE_ROOT: &str = include_str!("../fixtures/rogue_root.pem");

fn trust(texts: &[&str], sha1: bool, test_name: bool) -> Option<Trust> {
    Trust::new(texts.iter().map(|text| Certificate::read(text).unwrap()).collect(), sha1, test_name)
}

fn judge(trust: &Trust, pem: &str) -> Option<Distrust> {
    trust.signer(pem, NOW).err()
}

#[test]
fn the_historic_chain_counts_where_it_is_accepted() {
    let accepting = trust(&[ROOT, MIDDLE], true, false).unwrap();
    assert_eq!(judge(&accepting, SIGNER), None);
    // The middle certificate is signed with SHA-1 itself, so a strict account cannot even hold it.
    assert!(trust(&[ROOT, MIDDLE], false, false).is_none());
    let strict = trust(&[ROOT_SHA256, MIDDLE_SHA256], false, false).unwrap();
    assert_eq!(judge(&strict, SIGNER_SHA256), None);
    assert_eq!(judge(&strict, SIGNER), Some(Distrust::Sha1));
    let both = trust(&[ROOT_SHA256, MIDDLE_SHA256], true, false).unwrap();
    assert_eq!(judge(&both, SIGNER), None);
}

#[test]
fn another_chain_another_time_or_another_name_do_not_count() {
    let trust = trust(&[ROOT, MIDDLE], true, false).unwrap();
    assert_eq!(judge(&trust, ROGUE), Some(Distrust::NoChain));
    assert_eq!(judge(&trust, ROGUE_ROOT), Some(Distrust::NoChain));
    assert_eq!(judge(&trust, EXPIRED), Some(Distrust::NotValidNow));
    assert_eq!(judge(&trust, MERCHANT), Some(Distrust::NotUnionPay));
    assert_eq!(judge(&trust, MIDDLE), Some(Distrust::NotUnionPay));
    assert_eq!(judge(&trust, TEST_NAME), Some(Distrust::NotUnionPay));
    for text in ["", "x", "-----BEGIN CERTIFICATE-----\r\nAAAA\r\n-----END CERTIFICATE-----"] {
        assert_eq!(judge(&trust, text), Some(Distrust::Unreadable));
    }
    let after_the_root = time::read_beijing("20630101000000").unwrap();
    assert_eq!(trust.signer(SIGNER, after_the_root).err(), Some(Distrust::NotValidNow));
}

#[test]
fn the_test_environments_name_counts_only_where_it_is_accepted() {
    let test = trust(&[ROOT, MIDDLE], true, true).unwrap();
    assert_eq!(judge(&test, TEST_NAME), None);
    assert_eq!(judge(&test, SIGNER), None);
    assert_eq!(judge(&test, MERCHANT), Some(Distrust::NotUnionPay));
    let record =
        Credentials { contract: Contract::Certificate(ByCertificate { accept_test_name: true, ..own() }), ..record() };
    let secret = record.to_secret();
    assert!(open(secret.expose(), PRODUCTION, PRODUCTION, Mode::Test).is_ok());
    let live = open(secret.expose(), PRODUCTION, PRODUCTION, Mode::Live).err();
    assert!(matches!(live, Some(ChannelError::Credentials { .. })));
}

#[test]
fn certificates_without_a_root_are_no_trust() {
    assert!(trust(&[], true, false).is_none());
    assert!(trust(&[MIDDLE], true, false).is_none());
    assert!(trust(&[ROOT, SIGNER], true, false).is_none(), "its issuer is missing");
    // A configured leaf does not vouch for itself.
    let with_leaf = trust(&[ROOT, MIDDLE, SIGNER], true, false).unwrap();
    assert_eq!(judge(&with_leaf, SIGNER), None);
    assert_eq!(judge(&with_leaf, ROGUE), Some(Distrust::NoChain));
}

#[test]
fn the_published_production_chain_is_what_an_empty_field_means() {
    let own = ByCertificate { trusted_certificates: String::new(), ..own() };
    let trust = own.trust().unwrap();
    assert_eq!(trust.not_after(), time::read_beijing("20310516014124"));
    assert_eq!(
        judge(&trust, SIGNER),
        Some(Distrust::NoChain),
        "messages of a test world prove nothing about real money"
    );
}
