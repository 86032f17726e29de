//! RSA keys as the providers hand them out, signatures (PKCS#1 v1.5) and encrypted fields (OAEP) with them.
//!
//! Reading is liberal, because merchants paste what their console shows: PEM or bare base64, PKCS#8, PKCS#1 or SPKI, with
//! or without line ends. Signing and verifying are ring's.

use std::fmt;

use data_encoding::BASE64;
use ring::rand::SystemRandom;
use ring::signature::{self, RsaKeyPair, UnparsedPublicKey};
use rsa::pkcs1::{DecodeRsaPrivateKey, DecodeRsaPublicKey, EncodeRsaPrivateKey, EncodeRsaPublicKey};
use rsa::pkcs8::{DecodePrivateKey, DecodePublicKey};
use rsa::rand_core::{CryptoRng, RngCore};
use rsa::{Oaep, RsaPrivateKey, RsaPublicKey};

use super::Secret;
use crate::env::{Entropy, SystemEntropy};

/// Shorter keys are refused: providers issue 2048 bits, and less can be broken.
pub const BITS_MIN: usize = 2048;

/// Text that is no usable key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadKey {
    /// Neither PEM nor base64 of a DER key of the expected kind.
    Unreadable,
    /// Shorter than [`BITS_MIN`], or with numbers that no provider issues.
    Weak,
}

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadKey::Unreadable => f.write_str("not a key in PEM or base64 form"),
            BadKey::Weak => write!(f, "not an RSA key of at least {BITS_MIN} bits"),
        }
    }
}

impl std::error::Error for BadKey {}

/// The digest under a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    Sha256,
    /// Only where a provider's old protocol demands it: Alipay's `RSA`.
    Sha1,
}

/// A private key, ready to sign.
pub struct RsaSigner {
    pair: RsaKeyPair,
    public: RsaVerifier,
}

impl RsaSigner {
    /// Reads PEM or bare base64 of PKCS#8 or PKCS#1.
    pub fn read(text: &str) -> Result<Self, BadKey> {
        Self::from_der(&der_in(text)?)
    }

    /// PKCS#8 or PKCS#1.
    pub fn from_der(der: &[u8]) -> Result<Self, BadKey> {
        let key = read_private(der)?;
        let pkcs1 = key.to_pkcs1_der().map_err(|_| BadKey::Unreadable)?;
        let pair = RsaKeyPair::from_der(pkcs1.as_bytes()).map_err(|_| BadKey::Weak)?;
        Ok(Self { pair, public: RsaVerifier::new(&key.to_public_key())? })
    }

    pub fn public(&self) -> &RsaVerifier {
        &self.public
    }

    /// PKCS#1 v1.5 with SHA-256, as raw bytes.
    pub fn sign_sha256(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .expect("the buffer has the key's length, and blinding needs only the system's randomness");
        signature
    }

    /// The same as base64, as most protocols carry it.
    pub fn sign_sha256_base64(&self, message: &[u8]) -> String {
        BASE64.encode(&self.sign_sha256(message))
    }
}

impl fmt::Debug for RsaSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaSigner(…)")
    }
}

/// A public key, ready to verify.
#[derive(Clone, PartialEq, Eq)]
pub struct RsaVerifier {
    /// RSAPublicKey of RFC 8017, A.1.1: what ring reads.
    pkcs1: Vec<u8>,
}

impl RsaVerifier {
    /// Reads PEM or bare base64 of SPKI or PKCS#1. Certificates are read elsewhere.
    pub fn read(text: &str) -> Result<Self, BadKey> {
        Self::from_der(&der_in(text)?)
    }

    /// SPKI or PKCS#1.
    pub fn from_der(der: &[u8]) -> Result<Self, BadKey> {
        let key = RsaPublicKey::from_public_key_der(der).or_else(|_| RsaPublicKey::from_pkcs1_der(der).map_err(drop));
        Self::new(&key.map_err(|()| BadKey::Unreadable)?)
    }

    fn new(key: &RsaPublicKey) -> Result<Self, BadKey> {
        use rsa::traits::PublicKeyParts;
        if key.n().bits() < BITS_MIN {
            return Err(BadKey::Weak);
        }
        let pkcs1 = key.to_pkcs1_der().map_err(|_| BadKey::Unreadable)?;
        Ok(Self { pkcs1: pkcs1.as_bytes().to_vec() })
    }

    /// PKCS#1 v1.5. Anything that is not exactly a valid signature is none.
    #[must_use]
    pub fn verifies(&self, digest: Digest, message: &[u8], signature: &[u8]) -> bool {
        let algorithm = match digest {
            Digest::Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Digest::Sha1 => &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        };
        UnparsedPublicKey::new(algorithm, &self.pkcs1).verify(message, signature).is_ok()
    }

    /// The same with the signature as base64; what is not base64 verifies nothing.
    #[must_use]
    pub fn verifies_base64(&self, digest: Digest, message: &[u8], signature: &str) -> bool {
        BASE64.decode(signature.as_bytes()).is_ok_and(|signature| self.verifies(digest, message, &signature))
    }

    /// RSAES-OAEP with SHA-1 and MGF1-SHA-1, the padding of WeChat Pay's encrypted fields. `None` when the text is too
    /// long for the key.
    pub fn encrypt_oaep_sha1(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let key = RsaPublicKey::from_pkcs1_der(&self.pkcs1).expect("was written from a key");
        key.encrypt(&mut SystemRng, Oaep::new::<sha1::Sha1>(), plain).ok()
    }

    /// SubjectPublicKeyInfo as DER: what stands in `PUBLIC KEY` files and in certificates.
    pub fn to_spki(&self) -> Vec<u8> {
        use rsa::pkcs8::EncodePublicKey;
        let key = RsaPublicKey::from_pkcs1_der(&self.pkcs1).expect("was written from a key");
        key.to_public_key_der().expect("a key that was read can be written").into_vec()
    }

    /// Names the key to people: the first 16 bytes of the SHA-256 of its DER form, in hex.
    pub fn fingerprint(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.pkcs1);
        data_encoding::HEXLOWER.encode(&digest.as_ref()[..16])
    }
}

impl fmt::Debug for RsaVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RsaVerifier({})", self.fingerprint())
    }
}

/// A new private key of [`BITS_MIN`] bits, as PKCS#8 DER: for the simulated providers, which make both sides' keys. Takes
/// seconds in a debug build.
pub fn generate() -> Secret {
    use rsa::pkcs8::EncodePrivateKey;
    let key = RsaPrivateKey::new(&mut SystemRng, BITS_MIN).expect("2048 bits are a size that can be made");
    Secret::new(key.to_pkcs8_der().expect("a fresh key can be written").as_bytes())
}

/// The same key as PKCS#1 DER, as some SDKs want it.
pub fn to_pkcs1(private_der: &[u8]) -> Result<Secret, BadKey> {
    let der = read_private(private_der)?.to_pkcs1_der().map_err(|_| BadKey::Unreadable)?;
    Ok(Secret::new(der.as_bytes()))
}

/// Opens what [`RsaVerifier::encrypt_oaep_sha1`] closed. `None` for everything else.
pub fn decrypt_oaep_sha1(private_der: &[u8], sealed: &[u8]) -> Option<Secret> {
    let key = read_private(private_der).ok()?;
    // Blinded, because decryption otherwise takes a time that depends on the key.
    key.decrypt_blinded(&mut SystemRng, Oaep::new::<sha1::Sha1>(), sealed).ok().map(Secret::new)
}

/// Opens what was encrypted with PKCS#1 v1.5 for this key, the padding of UnionPay's encrypted fields. `None` for
/// everything else. How long it takes tells of the padding, so this is for play money only.
pub fn decrypt_pkcs1v15(private_der: &[u8], sealed: &[u8]) -> Option<Secret> {
    let key = read_private(private_der).ok()?;
    key.decrypt_blinded(&mut SystemRng, rsa::Pkcs1v15Encrypt, sealed).ok().map(Secret::new)
}

fn read_private(der: &[u8]) -> Result<RsaPrivateKey, BadKey> {
    RsaPrivateKey::from_pkcs8_der(der).or_else(|_| RsaPrivateKey::from_pkcs1_der(der)).map_err(|_| BadKey::Unreadable)
}

/// The DER bytes in a PEM block, or in bare base64. What stands before the block and the block's label are not looked at:
/// the bytes tell what they are.
pub fn der_in(text: &str) -> Result<Vec<u8>, BadKey> {
    let inner = match text.split_once("-----BEGIN ") {
        None => text,
        Some((_, rest)) => {
            let body = rest.split_once("-----").and_then(|(_, rest)| rest.split_once("-----END "));
            body.map(|(inner, _)| inner).ok_or(BadKey::Unreadable)?
        }
    };
    let packed: Vec<u8> = inner.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    BASE64
        .decode(&packed)
        .map_err(|_| BadKey::Unreadable)
        .and_then(|der| if der.is_empty() { Err(BadKey::Unreadable) } else { Ok(der) })
}

/// The system's randomness in the shape that `rsa` asks for. Keys and paddings are never replayed, so no seed is passed in.
struct SystemRng;

impl RngCore for SystemRng {
    fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(crate::env::random(&SystemEntropy))
    }

    fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(crate::env::random(&SystemEntropy))
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        SystemEntropy.fill(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rsa::rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for SystemRng {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_side_signs_the_other_verifies_and_nothing_else() {
        let der = generate();
        let signer = RsaSigner::from_der(der.expose()).unwrap();
        let signature = signer.sign_sha256(b"12.30");
        assert!(signer.public().verifies(Digest::Sha256, b"12.30", &signature));
        assert!(!signer.public().verifies(Digest::Sha256, b"12.31", &signature));
        assert!(!signer.public().verifies(Digest::Sha1, b"12.30", &signature));
        let mut bent = signature.clone();
        bent[100] ^= 1;
        assert!(!signer.public().verifies(Digest::Sha256, b"12.30", &bent));
        assert!(!signer.public().verifies(Digest::Sha256, b"12.30", &signature[1..]));
        assert!(!signer.public().verifies_base64(Digest::Sha256, b"12.30", "WECHATPAY/SIGNTEST/x"));
    }

    #[test]
    fn a_key_is_read_as_pem_or_base64_with_any_line_ends() {
        let der = generate();
        let base64 = BASE64.encode(der.expose());
        let pem = |label: &str, end: &str| {
            let lines: Vec<&str> = base64.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
            format!("-----BEGIN {label}-----{end}{}{end}-----END {label}-----{end}", lines.join(end))
        };
        let expected = RsaSigner::from_der(der.expose()).unwrap().public().clone();
        for text in [base64.clone(), pem("PRIVATE KEY", "\n"), format!("Bag\r\n{}", pem("RSA PRIVATE KEY", "\r\n"))] {
            assert_eq!(RsaSigner::read(&text).unwrap().public(), &expected);
        }
        for text in ["", "no key", "-----BEGIN PRIVATE KEY-----", &base64[..400]] {
            assert_eq!(RsaSigner::read(text).err(), Some(BadKey::Unreadable), "{text}");
        }
    }

    #[test]
    fn a_field_that_was_encrypted_opens_with_the_private_key_alone() {
        let der = generate();
        let signer = RsaSigner::from_der(der.expose()).unwrap();
        let sealed = signer.public().encrypt_oaep_sha1("张三".as_bytes()).unwrap();
        assert_eq!(decrypt_oaep_sha1(der.expose(), &sealed).unwrap().expose(), "张三".as_bytes());
        assert!(decrypt_oaep_sha1(generate().expose(), &sealed).is_none());
        assert!(signer.public().encrypt_oaep_sha1(&[7; 215]).is_none(), "214 bytes fit into 2048 bits");
        let public = RsaPublicKey::from_public_key_der(&signer.public().to_spki()).unwrap();
        let sealed = public.encrypt(&mut SystemRng, rsa::Pkcs1v15Encrypt, b"6216").unwrap();
        assert_eq!(decrypt_pkcs1v15(der.expose(), &sealed).unwrap().expose(), b"6216");
        assert!(decrypt_pkcs1v15(der.expose(), &sealed[1..]).is_none());
    }
}
