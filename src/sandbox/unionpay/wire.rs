//! Fields of a message, and how both sides sign them. Source: §3 of the fact sheet, version 5.1.0.

use std::collections::BTreeMap;

use data_encoding::BASE64;

use super::keys::Signer;
use crate::crypto::Hash;
use crate::crypto::rsa::{Digest, RsaVerifier};

/// Sorted by name, as they are signed.
pub type Fields = BTreeMap<String, String>;

/// Reads a posted form. `None`: not UTF-8, or a name stands there twice.
pub fn read_form(body: &[u8]) -> Option<Fields> {
    std::str::from_utf8(body).ok()?;
    let mut fields = Fields::new();
    for (name, value) in url::form_urlencoded::parse(body) {
        let bad_bytes = name.contains('\u{fffd}') || value.contains('\u{fffd}');
        if bad_bytes || name.is_empty() || fields.insert(name.into_owned(), value.into_owned()).is_some() {
            return None;
        }
    }
    Some(fields)
}

/// An answer goes out as it was signed, not url-encoded.
pub fn to_raw(fields: &Fields) -> String {
    fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// Notifications are ordinary forms.
pub fn to_form(fields: &Fields) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// All that has a value, in order. Source: §3.1.
fn signed_text(fields: &Fields) -> String {
    let signed: Fields = fields
        .iter()
        .filter(|(name, value)| *name != "signature" && !value.is_empty())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    to_raw(&signed)
}

/// What a certificate's key signs. Source: §3.2.
fn letters(fields: &Fields) -> String {
    Hash::Sha256.letters(signed_text(fields).as_bytes())
}

/// The signature with a key that both sides hold. Source: §3.3.
pub fn hashed(fields: &Fields, hash: Hash, secure_key: &str) -> String {
    let text = format!("{}&{}", signed_text(fields), hash.letters(secure_key.as_bytes()));
    hash.letters(text.as_bytes())
}

/// Puts certificate and signature in.
pub fn seal(fields: &mut Fields, signer: &Signer, key: &Signer) {
    fields.insert("signPubKeyCert".to_owned(), signer.pem().trim_end().replace('\n', "\r\n"));
    let signature = key.rsa.sign_sha256_base64(letters(fields).as_bytes());
    fields.insert("signature".to_owned(), signature);
}

/// Whether the holder of `key` signed it.
pub fn is_signed(fields: &Fields, key: &RsaVerifier) -> bool {
    let signature = fields.get("signature").and_then(|text| BASE64.decode(text.as_bytes()).ok());
    signature.is_some_and(|signature| key.verifies(Digest::Sha256, letters(fields).as_bytes(), &signature))
}
