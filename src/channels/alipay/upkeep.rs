//! Follows Alipay's own certificates in certificate mode: finds out that it signs with a new one, and fetches that.
//!
//! Answers name the certificate they were signed with. One that is not here is noted in the record; the next time it is
//! asked for by its number, and believed when it descends from the roots that the merchant entered. Source: Alipay,
//! `alipay.open.app.alipaycert.download`.

use data_encoding::BASE64;
use serde::Serialize;

use super::answer::{Answer, Heard, SUCCESS, hear};
use super::credentials::{Credentials, Trust};
use super::{Alipay, keys, node, request};
use crate::channels::ChannelError;
use crate::crypto::Secret;
use crate::domain::time::Timestamp;
use crate::env::transport::{OutgoingRequest, OutgoingResponse};

pub const DOWNLOAD: &str = "alipay.open.app.alipaycert.download";

#[derive(Serialize)]
struct Content<'a> {
    alipay_cert_sn: &'a str,
}

/// Asks for the certificate that is missing, else for the one in use: its answer shows whether another one signs by now.
pub(super) fn request(alipay: &Alipay, now: Timestamp) -> Option<OutgoingRequest> {
    let sn = alipay.keys.certificate_to_fetch(&alipay.record)?;
    Some(request::call(alipay, DOWNLOAD, Content { alipay_cert_sn: sn }, now))
}

pub(super) fn read(
    alipay: &Alipay,
    response: &OutgoingResponse,
    now: Timestamp,
) -> Result<Option<Secret>, ChannelError> {
    let Trust::Certificate { wanted_sn, .. } = &alipay.record.trust else { return Err(ChannelError::Unsupported) };
    let signed_by = node::cut(&response.body, DOWNLOAD)?.cert_sn;
    let Some(unknown) = signed_by.filter(|sn| !alipay.keys.knows(sn)) else {
        let answer = genuine(alipay, response, now)?;
        let changed = match (wanted_sn, content(&answer)) {
            (None, _) => None,
            (Some(sn), Some(file)) => Some(keys::adopt(&alipay.record, &file, sn, now)?),
            // Alipay does not know what was noted: it is forgotten.
            (Some(_), None) => Some(keys::forget_wanted(&alipay.record)),
        };
        return Ok(changed.as_ref().map(Credentials::to_secret));
    };
    // The answer may bring the very certificate that it was signed with. Its chain is what makes it believed, and then its
    // key has to fit the answer.
    if wanted_sn.as_deref() == Some(&unknown)
        && let Some(file) = unproven_content(response)
    {
        let adopted = keys::adopt(&alipay.record, &file, &unknown, now)?;
        let with_it = Alipay::open(adopted.to_secret().expose(), alipay.gateway.clone())?;
        genuine(&with_it, response, now)?;
        return Ok(Some(adopted.to_secret()));
    }
    Ok(keys::want(&alipay.record, &unknown).as_ref().map(Credentials::to_secret))
}

fn genuine(alipay: &Alipay, response: &OutgoingResponse, now: Timestamp) -> Result<Answer, ChannelError> {
    match hear(alipay, DOWNLOAD, response, now)? {
        Heard::Genuine(answer) => Ok(*answer),
        Heard::Unproven { detail, .. } => Err(ChannelError::NotGenuine { detail }),
    }
}

/// Base64 of a PEM file.
fn content(answer: &Answer) -> Option<String> {
    let file = answer.alipay_cert_content.as_deref().filter(|_| answer.code == SUCCESS)?;
    String::from_utf8(BASE64.decode(file.as_bytes()).ok()?).ok()
}

/// The same, before anything about the answer is proven.
fn unproven_content(response: &OutgoingResponse) -> Option<String> {
    let node = node::cut(&response.body, DOWNLOAD).ok()?.node;
    content(&serde_json::from_slice(node).ok()?)
}
