//! X.509 certificates as the providers hand them out: who, until when, which key, and who signed it.
//!
//! Reading is liberal, checking is strict: serial numbers of any shape and several certificates in one file are read, and
//! whoever relies on a certificate asks for validity and issuer by name. The chains of the Chinese providers end in their
//! own roots and are partly signed with SHA-1, so the general rules of the web do not apply to them.

use std::fmt;

use der::{Reader, SliceReader};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::asn1::{BmpString, ObjectIdentifier, PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{self, Decode, Encode, Tag, Tagged};
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::name::Name;

use super::rsa::{self, BadKey, Digest, RsaVerifier};
use crate::domain::time::Timestamp;

/// Source: RFC 8017, appendix A.2.4.
const SHA1_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5");
const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
/// Every algorithm of the RSA family begins so.
const RSA_FAMILY: &str = "1.2.840.113549.1.1.";
/// Source: RFC 4519, 2.3.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// Certificates of one file that are looked at.
const BUNDLE_MAX: usize = 32;

/// Text or bytes that are no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadCertificate;

impl fmt::Display for BadCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a certificate in PEM or base64 form")
    }
}

impl std::error::Error for BadCertificate {}

/// A certificate that was read. Nothing about it is trusted by that alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    /// The signed part as it stood in the file: writing it anew could change bytes.
    signed: Vec<u8>,
    inner: CertificateInner<Raw>,
}

impl Certificate {
    /// Reads PEM or bare base64; of several the first, which is the leaf where providers hand out a chain.
    pub fn read(text: &str) -> Result<Self, BadCertificate> {
        Self::from_der(&rsa::der_in(text).map_err(|_| BadCertificate)?)
    }

    /// All certificates of a PEM file in their order. Those that cannot be read are left out: providers' own bundles
    /// contain members with faults beside those that matter.
    pub fn read_bundle(text: &str) -> Vec<Self> {
        let blocks = text.split_inclusive("-----END CERTIFICATE-----").take(BUNDLE_MAX);
        blocks.filter_map(|block| Self::read(block).ok()).collect()
    }

    pub fn from_der(der: &[u8]) -> Result<Self, BadCertificate> {
        let inner = CertificateInner::from_der(der).map_err(|_| BadCertificate)?;
        let reader = SliceReader::new(der).map_err(|_| BadCertificate)?;
        let signed = signed_part(reader).map_err(|_| BadCertificate)?;
        Ok(Self { der: der.to_vec(), signed, inner })
    }

    pub fn to_der(&self) -> &[u8] {
        &self.der
    }

    /// Most specific part first, `CN=…,OU=…,O=…,C=CN`. Source: RFC 4514.
    pub fn subject(&self) -> String {
        self.inner.tbs_certificate.subject.to_string()
    }

    /// In the form of [`Certificate::subject`].
    pub fn issuer(&self) -> String {
        self.inner.tbs_certificate.issuer.to_string()
    }

    /// The subject's common name as plain text.
    pub fn common_name(&self) -> Option<String> {
        let parts = self.inner.tbs_certificate.subject.0.iter().flat_map(|part| part.0.iter());
        parts.filter(|part| part.oid == COMMON_NAME).find_map(text_of)
    }

    /// The serial number as upper-case hex of whole bytes, without the byte that only says that it is positive.
    pub fn serial_hex(&self) -> String {
        data_encoding::HEXUPPER.encode(self.serial())
    }

    /// The serial number as a decimal number.
    pub fn serial_decimal(&self) -> String {
        // Long division by ten, digit after digit: twenty bytes fit into no integer.
        let mut rest = self.serial().to_vec();
        let mut digits = Vec::new();
        while rest.iter().any(|byte| *byte != 0) {
            let mut carry = 0_u32;
            for byte in &mut rest {
                let value = (carry << 8) | u32::from(*byte);
                *byte = u8::try_from(value / 10).expect("a remainder below ten keeps the quotient below 256");
                carry = value % 10;
            }
            digits.push(char::from_digit(carry, 10).expect("a remainder of ten is a digit"));
        }
        if digits.is_empty() { "0".to_owned() } else { digits.iter().rev().collect() }
    }

    fn serial(&self) -> &[u8] {
        let bytes = self.inner.tbs_certificate.serial_number.as_bytes();
        match bytes {
            [0, rest @ ..] if !rest.is_empty() => rest,
            _ => bytes,
        }
    }

    pub fn not_before(&self) -> Timestamp {
        seconds(&self.inner.tbs_certificate.validity.not_before)
    }

    pub fn not_after(&self) -> Timestamp {
        seconds(&self.inner.tbs_certificate.validity.not_after)
    }

    /// Both ends belong to the time in which it is valid.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        (self.not_before()..=self.not_after()).contains(&now)
    }

    /// The key that it vouches for.
    pub fn public_key(&self) -> Result<RsaVerifier, BadKey> {
        let spki = self.inner.tbs_certificate.subject_public_key_info.to_der().map_err(|_| BadKey::Unreadable)?;
        RsaVerifier::from_der(&spki)
    }

    /// Its own signature is of the RSA family, whatever the digest.
    pub fn is_signed_with_rsa(&self) -> bool {
        self.inner.tbs_certificate.signature.oid.to_string().starts_with(RSA_FAMILY)
    }

    /// The digest under its signature; `None` for algorithms that are not used by any provider.
    pub fn signed_with(&self) -> Option<Digest> {
        match self.inner.signature_algorithm.oid {
            SHA256_WITH_RSA => Some(Digest::Sha256),
            SHA1_WITH_RSA => Some(Digest::Sha1),
            _ => None,
        }
    }

    /// Whether the holder of `issuer` signed it: names agree, and the signature (RSA with SHA-256 or SHA-1) verifies.
    /// Validity in time is another question.
    #[must_use]
    pub fn is_signed_by(&self, issuer: &Certificate) -> bool {
        let named = same_name(&self.inner.tbs_certificate.issuer, &issuer.inner.tbs_certificate.subject);
        let algorithm = self.inner.signature_algorithm.oid;
        let Some(digest) = self.signed_with() else { return false };
        let (Some(signature), Ok(key)) = (self.inner.signature.as_bytes(), issuer.public_key()) else { return false };
        named && algorithm == self.inner.tbs_certificate.signature.oid && key.verifies(digest, &self.signed, signature)
    }

    /// May sign other certificates (basic constraints, CA). Test hierarchies of providers leave the mark out.
    pub fn is_authority(&self) -> bool {
        let extensions = self.inner.tbs_certificate.extensions.iter().flatten();
        let mut constraints = extensions.filter(|extension| extension.extn_id == BasicConstraints::OID);
        constraints.next().is_some_and(|extension| {
            BasicConstraints::from_der(extension.extn_value.as_bytes()).is_ok_and(|constraints| constraints.ca)
        })
    }

    /// Names the certificate to people: the first 16 bytes of the SHA-256 of its DER form, in hex.
    pub fn fingerprint(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.der);
        data_encoding::HEXLOWER.encode(&digest.as_ref()[..16])
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.serial_hex())
    }
}

/// `Certificate ::= SEQUENCE { tbsCertificate, … }`: the first member with its header. Source: RFC 5280, 4.1.
fn signed_part(mut reader: SliceReader<'_>) -> der::Result<Vec<u8>> {
    reader.sequence(|inner| {
        let signed = inner.tlv_bytes()?.to_vec();
        inner.tlv_bytes()?;
        inner.tlv_bytes()?;
        Ok(signed)
    })
}

/// Compared as text, because one name is written with different string types along one chain.
fn same_name(one: &Name, other: &Name) -> bool {
    one == other || one.to_string() == other.to_string()
}

fn text_of(part: &AttributeTypeAndValue) -> Option<String> {
    let value = &part.value;
    match value.tag() {
        Tag::Utf8String => value.decode_as::<Utf8StringRef<'_>>().ok().map(|s| s.as_str().to_owned()),
        Tag::PrintableString => value.decode_as::<PrintableStringRef<'_>>().ok().map(|s| s.as_str().to_owned()),
        Tag::TeletexString => value.decode_as::<TeletexStringRef<'_>>().ok().map(|s| s.as_str().to_owned()),
        Tag::BmpString => value.decode_as::<BmpString>().ok().map(|s| s.to_string()),
        _ => None,
    }
}

fn seconds(time: &x509_cert::time::Time) -> Timestamp {
    let seconds = time.to_unix_duration().as_secs();
    i64::try_from(seconds).map_or(Timestamp::MAX, Timestamp::from_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files that the providers publish for everybody.
    const ALIPAY_ROOTS: &str = include_str!("fixtures/alipay_roots.crt");
    const ALIPAY_CHAIN: &str = include_str!("fixtures/alipay_chain.crt");
    const UNIONPAY_LEAF: &str = include_str!("fixtures/unionpay_leaf.pem");
    const UNIONPAY_MIDDLE: &str = include_str!("fixtures/unionpay_middle.cer");
    const UNIONPAY_ROOT: &str = include_str!("fixtures/unionpay_root.cer");

    #[test]
    fn a_certificate_tells_whose_it_is_until_when_and_its_number() {
        let leaf = Certificate::read(UNIONPAY_LEAF).unwrap();
        assert_eq!(leaf.serial_decimal(), "69678957876");
        assert_eq!(leaf.serial_hex(), "1039308534");
        assert_eq!(leaf.common_name().unwrap(), "041@8310000000083040@中国银联股份有限公司@00016495");
        assert!(leaf.issuer().starts_with("CN=CFCA TEST OCA1,"), "{}", leaf.issuer());
        assert!(leaf.not_before() < leaf.not_after());
        assert!(leaf.is_valid_at(leaf.not_before()) && leaf.is_valid_at(leaf.not_after()));
        let second = crate::domain::time::Duration::from_seconds(1);
        assert!(!leaf.is_valid_at(leaf.not_before().minus(second)));
        assert!(!leaf.is_valid_at(leaf.not_after().plus(second)));
        assert_eq!(leaf.public_key().unwrap().fingerprint().len(), 32);
    }

    #[test]
    fn names_and_numbers_make_the_providers_serials() {
        let [leaf, middle] = &Certificate::read_bundle(ALIPAY_CHAIN)[..] else { panic!() };
        assert_eq!(leaf, &Certificate::read(ALIPAY_CHAIN).unwrap(), "the first of several is the leaf");
        let name =
            "CN=Ant Financial Certification Authority Class 2 R1,OU=Certification Authority,O=Ant Financial,C=CN";
        assert_eq!(leaf.issuer(), name);
        assert_eq!(middle.subject(), name);
        assert!(middle.is_authority() && !leaf.is_authority(), "a leaf must not vouch for others");
    }

    #[test]
    fn a_member_with_a_fault_does_not_spoil_its_bundle() {
        let roots = Certificate::read_bundle(ALIPAY_ROOTS);
        let rsa: Vec<String> = roots.iter().filter(|c| c.is_signed_with_rsa()).map(Certificate::subject).collect();
        assert_eq!(rsa.len(), 2, "{rsa:?}");
        let middle = &Certificate::read_bundle(ALIPAY_CHAIN)[1];
        assert_eq!(roots.iter().filter(|root| middle.is_signed_by(root)).count(), 1);
    }

    #[test]
    fn a_chain_holds_from_link_to_link_only() {
        let [leaf, middle, root] =
            [UNIONPAY_LEAF, UNIONPAY_MIDDLE, UNIONPAY_ROOT].map(|text| Certificate::read(text).unwrap());
        assert!(leaf.is_signed_by(&middle) && middle.is_signed_by(&root) && root.is_signed_by(&root));
        assert!(!leaf.is_signed_by(&root) && !root.is_signed_by(&middle) && !leaf.is_signed_by(&leaf));
        // One bit of the signed part, or of the signature.
        for at in [leaf.to_der().len() - 1, 300] {
            let mut bent = leaf.to_der().to_vec();
            bent[at] ^= 1;
            assert!(!Certificate::from_der(&bent).is_ok_and(|bent| bent.is_signed_by(&middle)), "{at}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let leaf = Certificate::read(UNIONPAY_LEAF).unwrap();
        for at in (0..leaf.to_der().len()).step_by(7) {
            assert_eq!(Certificate::from_der(&leaf.to_der()[..at]), Err(BadCertificate));
        }
        for text in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"] {
            assert_eq!(Certificate::read(text), Err(BadCertificate));
        }
        assert!(Certificate::read_bundle("no certificates here").is_empty());
    }
}
