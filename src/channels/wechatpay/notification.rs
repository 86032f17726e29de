//! What the provider sends by itself: that an order was paid, that a refund ended.
//!
//! In this order: size, signature and time over the raw bytes, envelope, decryption, whose it is, what it says. The same
//! message may come many times; whoever books it knows it again by the payment's own number.

use serde::Deserialize;

use super::response::{Refund, Transaction, malformed, observe_refund, observe_transaction, parse};
use super::{WechatPay, bad, sign};
use crate::channels::text::shortened;
use crate::channels::{ChannelError, Inbound, Subject, VerifiedNotification};
use crate::crypto::Secret;
use crate::domain::ids::{AttemptId, RefundId};
use crate::domain::time::Timestamp;

/// Largest notification that is read, in bytes; real ones have about a thousand.
pub const NOTIFICATION_MAX_BYTES: usize = 64 * 1024;

/// The only algorithm of resources. Source: WeChat Pay API v3, "支付成功回调通知".
pub(super) const ALGORITHM: &str = "AEAD_AES_256_GCM";

#[derive(Deserialize)]
pub(super) struct Envelope {
    event_type: String,
    resource: Resource,
}

/// Something encrypted with the merchant's APIv3 key.
#[derive(Deserialize)]
pub(super) struct Resource {
    #[serde(default)]
    original_type: String,
    algorithm: String,
    nonce: String,
    #[serde(default)]
    associated_data: Option<String>,
    ciphertext: String,
}

impl Resource {
    /// Opens it, or says why it stays closed. A key that does not fit is almost always one that was changed at the
    /// provider and not here.
    pub fn open(&self, keys: &[Secret]) -> Result<Secret, ChannelError> {
        if self.algorithm != ALGORITHM {
            return Err(malformed(&format!("algorithm {}", shortened(&self.algorithm))));
        }
        let associated_data = self.associated_data.as_deref().unwrap_or_default();
        sign::open_resource(keys, &self.nonce, associated_data, &self.ciphertext).map_err(|closed| match closed {
            sign::Closed::Unreadable => malformed("a resource that cannot be read"),
            sign::Closed::WrongKey => bad("the APIv3 key does not open what the provider encrypts"),
        })
    }
}

pub(super) fn read(
    wechat: &WechatPay,
    message: &Inbound<'_>,
    now: Timestamp,
) -> Result<VerifiedNotification, ChannelError> {
    let (envelope, plain) = unseal(wechat, message, now)?;
    let kind = (envelope.resource.original_type.as_str(), envelope.event_type.as_str());
    match kind {
        ("transaction", "TRANSACTION.SUCCESS") => {
            let seen: Transaction = parse(plain.expose())?;
            let attempt = AttemptId::parse_bare(&seen.out_trade_no).map_err(|_| not_a_number(&seen.out_trade_no))?;
            Ok(VerifiedNotification::checked(Subject::Order(attempt), observe_transaction(wechat, &seen)?))
        }
        ("refund", event) => {
            let seen: Refund = parse(plain.expose())?;
            if event.strip_prefix("REFUND.") != Some(seen.status.as_str()) {
                return Err(malformed("envelope and content disagree about the refund's state"));
            }
            if seen.mchid.is_none() {
                return Err(malformed("a refund without a merchant number"));
            }
            let refund = RefundId::parse_bare(&seen.out_refund_no).map_err(|_| not_a_number(&seen.out_refund_no))?;
            Ok(VerifiedNotification::checked(Subject::Refund(refund), observe_refund(wechat, &seen)?))
        }
        // Splits and transfers, which we do not ask for.
        (what, event) => Err(malformed(&format!("a notice of {} about {}", shortened(event), shortened(what)))),
    }
}

/// What is sealed in an envelope, whoever closed it: only to find the order that it names.
pub(super) fn opened(wechat: &WechatPay, message: &Inbound<'_>) -> Option<Secret> {
    if message.body.len() > NOTIFICATION_MAX_BYTES {
        return None;
    }
    parse::<Envelope>(message.body).ok()?.resource.open(&wechat.keys.api_v3).ok()
}

/// The envelope and what was sealed in it, after everything about their origin was checked.
pub(super) fn unseal(
    wechat: &WechatPay,
    message: &Inbound<'_>,
    now: Timestamp,
) -> Result<(Envelope, Secret), ChannelError> {
    if message.body.len() > NOTIFICATION_MAX_BYTES {
        return Err(ChannelError::NotGenuine { detail: format!("{} bytes", message.body.len()) });
    }
    wechat.verify(message.headers, message.body, now)?;
    let envelope: Envelope = parse(message.body)?;
    let plain = envelope.resource.open(&wechat.keys.api_v3)?;
    Ok((envelope, plain))
}

fn not_a_number(text: &str) -> ChannelError {
    malformed(&format!("{} is not a number of ours", shortened(text)))
}
