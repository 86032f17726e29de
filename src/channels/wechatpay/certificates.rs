//! Platform certificates: fetched, opened with the APIv3 key, verified, and kept beside those that still count.
//!
//! The first download cannot be verified by anything known, so what was just decrypted verifies it: only the provider and
//! the merchant have that key. Source: WeChat Pay API v3, "下载平台证书". An account that uses the public key and has no
//! certificates left asks for nothing, and where it asks, "there are none" is a normal answer.

use serde::Deserialize;

use super::credentials::{ANCHORS_MAX, PlatformCertificate, same_serial};
use super::notification::Resource;
use super::response::{Refusal, malformed, parse};
use super::{AnswersBy, Credentials, WechatPay, bad, request, sign};
use crate::channels::text::shortened;
use crate::channels::{ChannelError, Sealing};
use crate::crypto::Secret;
use crate::domain::time::Timestamp;
use crate::env::transport::{Method as Verb, OutgoingRequest, OutgoingResponse};

const PATH: &str = "/v3/certificates";

#[derive(Deserialize)]
struct Answer {
    data: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    serial_no: String,
    encrypt_certificate: Resource,
}

pub(super) fn ask(wechat: &WechatPay, sealing: &Sealing) -> Option<OutgoingRequest> {
    let wanted = match &wechat.answers {
        AnswersBy::PlatformCertificate => true,
        // While the provider still signs some notifications with certificates, the next one may be needed.
        AnswersBy::PublicKey { .. } => !wechat.keys.anchors.certificates().is_empty(),
    };
    wanted.then(|| request::signed(wechat, Verb::Get, PATH, Vec::new(), sealing))
}

pub(super) fn read(
    wechat: &WechatPay,
    response: &OutgoingResponse,
    now: Timestamp,
) -> Result<Option<Secret>, ChannelError> {
    match response.status {
        200 if !response.truncated => {}
        // Merchants that were opened with the public key never had certificates.
        404 => {
            return match &wechat.answers {
                AnswersBy::PublicKey { .. } => Ok(None),
                AnswersBy::PlatformCertificate => {
                    Err(bad("this merchant number has no platform certificates: enter the WeChat Pay public key"))
                }
            };
        }
        status => {
            let said =
                Refusal::read(response).map(|refusal| format!("{}: {}", refusal.code, refusal.sentence(response)));
            return Err(malformed(&format!("HTTP {status} {}", said.unwrap_or_default())));
        }
    }
    let fetched = open(wechat, response)?;
    verify(wechat, &fetched, response, now)?;
    let mut record = Credentials::read(wechat.record.expose())?;
    let mut kept: Vec<&PlatformCertificate> = fetched.iter().collect();
    for old in wechat.keys.anchors.certificates() {
        let known = kept.iter().any(|new| same_serial(&new.serial, &old.serial));
        // One that is over can no longer sign anything that is fresh.
        if !known && old.not_after >= now {
            kept.push(old);
        }
    }
    kept.sort_by_key(|certificate| (certificate.not_before, certificate.serial.clone()));
    if kept.len() + record.public_keys.len() > ANCHORS_MAX {
        return Err(malformed("more certificates than any merchant has"));
    }
    let mut old = record.platform_certificates.clone();
    record.platform_certificates = kept.into_iter().map(|certificate| certificate.pem.clone()).collect();
    let mut new = record.platform_certificates.clone();
    old.sort();
    new.sort();
    Ok((old != new).then(|| record.to_secret()))
}

/// Everything in the answer, decrypted. One that cannot be opened spoils the answer: it is not from the provider, or our
/// key is not the one that it has.
fn open(wechat: &WechatPay, response: &OutgoingResponse) -> Result<Vec<PlatformCertificate>, ChannelError> {
    let answer: Answer = parse(&response.body)?;
    let mut opened = Vec::new();
    for entry in answer.data {
        let pem = entry.encrypt_certificate.open(&wechat.keys.api_v3)?;
        let pem = pem.expose_str().map_err(|_| malformed("a certificate that is not text"))?;
        let certificate = PlatformCertificate::read(pem).map_err(|why| malformed(&why.to_string()))?;
        if !same_serial(&certificate.serial, &entry.serial_no) {
            return Err(malformed(&format!("certificate {} under another number", shortened(&entry.serial_no))));
        }
        opened.push(certificate);
    }
    if opened.is_empty() {
        return Err(malformed("an answer without certificates"));
    }
    Ok(opened)
}

/// By a key that we knew, or else by the certificate that was just decrypted and is named as the signer.
fn verify(
    wechat: &WechatPay,
    fetched: &[PlatformCertificate],
    response: &OutgoingResponse,
    now: Timestamp,
) -> Result<(), ChannelError> {
    let known = &wechat.keys.anchors;
    let find = |id: &str| {
        known.find(id, now).or_else(|unknown| {
            let named = fetched.iter().find(|certificate| same_serial(&certificate.serial, id));
            let signer = named.filter(|certificate| certificate.is_valid_at(now));
            signer.map(|certificate| &certificate.key).ok_or(unknown)
        })
    };
    Ok(sign::verify(find, &response.headers, &response.body, now)?)
}
