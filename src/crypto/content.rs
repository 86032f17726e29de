//! Content encryption between Alipay and a merchant (接口内容加密): AES-128-CBC with an initial block of zeros.
//!
//! The zeros make equal texts look equal; the scheme is Alipay's, and TLS stands around it. Nothing else may use it.

use std::fmt;

use aes::Aes128;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use data_encoding::BASE64;
use zeroize::Zeroizing;

/// Source: Alipay, content encryption: AES with keys of 128 bits.
const KEY_BYTES: usize = 16;
const IV: [u8; 16] = [0; 16];

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
        let cipher = cbc::Encryptor::<Aes128>::new((&*self.0).into(), (&IV).into());
        BASE64.encode(&cipher.encrypt_padded_vec::<Pkcs7>(plain))
    }

    /// Opens what [`ContentKey::close`] closed. The scheme carries no proof of origin, so a signature has to be checked
    /// before.
    pub fn open(&self, closed: &str) -> Option<Vec<u8>> {
        let bytes = BASE64.decode(closed.as_bytes()).ok()?;
        let cipher = cbc::Decryptor::<Aes128>::new((&*self.0).into(), (&IV).into());
        cipher.decrypt_padded_vec::<Pkcs7>(&bytes).ok()
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

    /// Published cases of Alipay's own clients.
    const CASES: [(&str, &str, &str); 2] = [
        ("aa4BtZ4tspm2wnXLb1ThQA==", "test1234567", "ILpoMowjIQjfYMR847rnFQ=="),
        ("vEARwBsVE8dBrk0tiaNQtQ==", "test1234567你好", "Xg5Qdr1jGhRugqAdBHYgl94KzwIqcaA37/dMvR1PeSc="),
    ];

    #[test]
    fn texts_close_and_open_as_published() {
        for (key, plain, closed) in CASES {
            let key = ContentKey::read(key).unwrap();
            assert_eq!(key.close(plain.as_bytes()), closed);
            assert_eq!(key.open(closed).unwrap(), plain.as_bytes());
        }
    }

    #[test]
    fn what_another_key_closed_or_was_cut_does_not_open() {
        let key = ContentKey::read(CASES[0].0).unwrap();
        for closed in [CASES[1].2, "", "ILpoMowjIQjfYMR847rn", "not base64", &CASES[0].2[..20]] {
            assert_eq!(key.open(closed), None, "{closed}");
        }
        for bad in ["", "aa4B", "aa4BtZ4tspm2wnXLb1ThQA", "aa4BtZ4tspm2wnXLb1ThQKa4BtZ4tspm2wnXLb1ThQA="] {
            assert!(ContentKey::read(bad).is_none(), "{bad}");
        }
        assert_eq!(format!("{key:?}"), "ContentKey(…)");
    }
}
