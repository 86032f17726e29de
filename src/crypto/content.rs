//! Content encryption between Alipay and a merchant (接口内容加密): AES-128-CBC with an initial block of zeros, or of chance
//! before the rest (`AES_V2`).
//!
//! The zeros make equal texts look equal; the scheme is Alipay's, and TLS stands around it. Nothing else may use it. Trades
//! are encrypted with the zeros: what a caller names is what he is answered in, and the adapter names `AES`. The simulator
//! takes both, because Alipay's SDK for Java has both.

use std::fmt;

use aes::Aes128;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use data_encoding::BASE64;
use zeroize::Zeroizing;

/// Source: Alipay, content encryption: AES with keys of 128 bits.
const KEY_BYTES: usize = 16;
const ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];
/// What `AES_V2` begins with.
pub const BLOCK_BYTES: usize = 16;

/// The key that both sides hold.
#[derive(Clone)]
pub struct ContentKey(Zeroizing<[u8; KEY_BYTES]>);

impl ContentKey {
    /// Reads the base64 text of 16 bytes that the provider's console shows. `None` for everything else.
    pub fn read(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text.trim().as_bytes()).ok()?;
        bytes.try_into().ok().map(|key| Self(Zeroizing::new(key)))
    }

    /// As base64.
    pub fn close(&self, plain: &[u8]) -> String {
        BASE64.encode(&self.encrypt(&ZEROS, plain))
    }

    /// The same as `AES_V2`; `iv` is new chance each time.
    pub fn close_v2(&self, iv: &[u8; BLOCK_BYTES], plain: &[u8]) -> String {
        BASE64.encode(&[iv, self.encrypt(iv, plain).as_slice()].concat())
    }

    /// Opens what [`ContentKey::close`] closed. The scheme carries no proof of origin, so a signature has to be checked
    /// before.
    pub fn open(&self, closed: &str) -> Option<Vec<u8>> {
        self.decrypt(&ZEROS, &BASE64.decode(closed.as_bytes()).ok()?)
    }

    /// Opens what [`ContentKey::close_v2`] closed, of which the same is true.
    pub fn open_v2(&self, closed: &str) -> Option<Vec<u8>> {
        let bytes = BASE64.decode(closed.as_bytes()).ok()?;
        let (iv, rest) = bytes.split_first_chunk()?;
        self.decrypt(iv, rest)
    }

    fn encrypt(&self, iv: &[u8; BLOCK_BYTES], plain: &[u8]) -> Vec<u8> {
        cbc::Encryptor::<Aes128>::new((&*self.0).into(), iv.into()).encrypt_padded_vec::<Pkcs7>(plain)
    }

    fn decrypt(&self, iv: &[u8; BLOCK_BYTES], closed: &[u8]) -> Option<Vec<u8>> {
        cbc::Decryptor::<Aes128>::new((&*self.0).into(), iv.into()).decrypt_padded_vec::<Pkcs7>(closed).ok()
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A published case of Alipay's own clients.
    #[derive(serde::Deserialize)]
    struct Case {
        mode: String,
        key_b64: String,
        plain: String,
        cipher_b64: String,
    }

    fn published() -> Vec<Case> {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../channels/alipay/fixtures/aes.json")).expect("a list of cases");
        assert_eq!(cases.len(), 3);
        cases
    }

    #[test]
    fn texts_close_and_open_as_published() {
        for case in published() {
            let key = ContentKey::read(&case.key_b64).unwrap();
            let (plain, closed) = (case.plain.as_bytes(), case.cipher_b64.as_str());
            if case.mode.starts_with("AES_V2") {
                assert_eq!(key.open_v2(closed).unwrap(), plain);
                let bytes = BASE64.decode(closed.as_bytes()).unwrap();
                assert_eq!(key.close_v2(bytes.first_chunk().unwrap(), plain), closed);
                assert_ne!(key.open(closed).as_deref(), Some(plain), "the other way of closing");
            } else {
                assert_eq!(key.close(plain), closed);
                assert_eq!(key.open(closed).unwrap(), plain);
            }
        }
    }

    #[test]
    fn what_another_key_closed_or_was_cut_does_not_open() {
        let [one, other, v2] = &published()[..] else { panic!() };
        let key = ContentKey::read(&one.key_b64).unwrap();
        let cut = &one.cipher_b64[..20];
        for closed in [&other.cipher_b64, "", "ILpoMowjIQjfYMR847rn", "not base64", cut] {
            assert_eq!((key.open(closed), key.open_v2(closed)), (None, None), "{closed}");
        }
        for closed in [&v2.cipher_b64, "AAAAAAAAAAAAAAAAAAAAAA=="] {
            assert_eq!(key.open_v2(closed), None, "{closed}");
        }
        for bad in ["", "aa4B", "aa4BtZ4tspm2wnXLb1ThQA", "aa4BtZ4tspm2wnXLb1ThQKa4BtZ4tspm2wnXLb1ThQA="] {
            assert!(ContentKey::read(bad).is_none(), "{bad}");
        }
        assert_eq!(format!("{key:?}"), "ContentKey(…)");
    }
}
