//! Writes X.509 certificates for play money, as providers and their merchants have them: RSA keys, any serial and names,
//! signed with whatever digest the protocol still uses. Nothing else has to read them but the adapters and SDKs under test.
//!
//! Source: RFC 5280, 4.1; DER of ITU-T X.690. A crate would be larger than this file and would not sign with SHA-1, which
//! some providers' chains do.

use crate::crypto::rsa::Digest;
use crate::domain::time::Timestamp;

/// Part of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Country,
    Organization,
    Unit,
    Common,
}

impl Part {
    /// The object identifier below 2.5.4.
    const fn last_arc(self) -> u8 {
        match self {
            Part::Country => 6,
            Part::Organization => 10,
            Part::Unit => 11,
            Part::Common => 3,
        }
    }
}

/// A name in the order of its certificate: the widest part first.
pub type Name<'a> = &'a [(Part, &'a str)];

/// What stands in a certificate.
pub struct Contents<'a> {
    /// Big-endian, not zero.
    pub serial: &'a [u8],
    pub issuer: Name<'a>,
    pub subject: Name<'a>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// SubjectPublicKeyInfo, DER.
    pub public_key: &'a [u8],
    /// May certify others.
    pub authority: bool,
    /// What `sign` signs with.
    pub digest: Digest,
}

/// The certificate as DER. `sign` is the issuer's PKCS#1 v1.5 signature.
pub fn write(contents: &Contents<'_>, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let algorithm = algorithm(contents.digest);
    let constraint = if contents.authority { tlv(0x30, &tlv(0x01, &[0xff])) } else { tlv(0x30, &[]) };
    // basicConstraints, critical. Source: RFC 5280, 4.2.1.9.
    let constraints = tlv(0x30, &[tlv(0x06, &[0x55, 0x1d, 0x13]), tlv(0x01, &[0xff]), tlv(0x04, &constraint)].concat());
    let body = tlv(
        0x30,
        &[
            tlv(0xa0, &tlv(0x02, &[2])),
            integer(contents.serial),
            algorithm.clone(),
            name(contents.issuer),
            tlv(0x30, &[time(contents.not_before), time(contents.not_after)].concat()),
            name(contents.subject),
            contents.public_key.to_vec(),
            tlv(0xa3, &tlv(0x30, &constraints)),
        ]
        .concat(),
    );
    let signature = sign(&body);
    tlv(0x30, &[body, algorithm, tlv(0x03, &[&[0], signature.as_slice()].concat())].concat())
}

/// DER as PEM, in lines of 64.
pub fn pem(label: &str, der: &[u8]) -> String {
    let base64 = data_encoding::BASE64.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in base64.as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

/// Source: RFC 8017, A.2.4.
fn algorithm(digest: Digest) -> Vec<u8> {
    let last_arc = match digest {
        Digest::Sha256 => 11,
        Digest::Sha1 => 5,
    };
    let identifier = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last_arc];
    tlv(0x30, &[tlv(0x06, &identifier), tlv(0x05, &[])].concat())
}

fn name(parts: Name<'_>) -> Vec<u8> {
    let part = |(part, text): &(Part, &str)| {
        // Countries are PrintableString by definition.
        let tag = if *part == Part::Country { 0x13 } else { 0x0c };
        let value = [tlv(0x06, &[0x55, 0x04, part.last_arc()]), tlv(tag, text.as_bytes())].concat();
        tlv(0x31, &tlv(0x30, &value))
    };
    tlv(0x30, &parts.iter().flat_map(part).collect::<Vec<u8>>())
}

/// Two digits of the year until 2049, four from then on. Source: RFC 5280, 4.1.2.5.
fn time(at: Timestamp) -> Vec<u8> {
    let at = at.in_zone("UTC");
    if at.year() < 2050 {
        tlv(0x17, at.strftime("%y%m%d%H%M%SZ").to_string().as_bytes())
    } else {
        tlv(0x18, at.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes())
    }
}

fn integer(big_endian: &[u8]) -> Vec<u8> {
    let start = big_endian.iter().position(|byte| *byte != 0).unwrap_or(big_endian.len());
    let digits = big_endian.get(start..).unwrap_or_default();
    let sign = if digits.first().is_none_or(|byte| byte & 0x80 != 0) { &[0][..] } else { &[] };
    tlv(0x02, &[sign, digits].concat())
}

fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(value.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        Ok(_) | Err(_) => {
            let length = value.len().to_be_bytes();
            let start = length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1);
            let digits = &length[start..];
            out.push(0x80 | digits.len() as u8);
            out.extend_from_slice(digits);
        }
    }
    out.extend_from_slice(value);
    out
}
