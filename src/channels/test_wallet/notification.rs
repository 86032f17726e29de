//! What the provider sends by itself: that an order was paid or refused, that a refund ended.

use serde::{Deserialize, Serialize};

use super::response::{OrderView, RefundView, observe_order, observe_refund, parse};
use super::{TestWallet, sign};
use crate::channels::text::shortened;
use crate::channels::{ChannelError, Inbound, Subject, VerifiedNotification};
use crate::domain::ids::{AttemptId, RefundId};
use crate::domain::time::Timestamp;

/// Largest notification that is read, in bytes; real ones have about 600.
pub const NOTIFICATION_MAX_BYTES: usize = 64 * 1024;

/// One message. Exactly one of `order` and `refund` is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationBody {
    /// The same each time this fact is told.
    pub id: String,
    /// RFC 3339.
    pub create_time: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderView>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund: Option<RefundView>,
}

pub(super) fn read(
    wallet: &TestWallet,
    message: &Inbound<'_>,
    now: Timestamp,
) -> Result<VerifiedNotification, ChannelError> {
    if message.body.len() > NOTIFICATION_MAX_BYTES {
        return Err(ChannelError::NotGenuine { detail: format!("{} bytes", message.body.len()) });
    }
    sign::verify_provider(wallet.provider_key(), message.headers, message.body, now)
        .map_err(|bad| ChannelError::NotGenuine { detail: bad.to_string() })?;
    let body: NotificationBody = parse(message.body)?;
    match (&body.order, &body.refund) {
        (Some(order), None) => {
            let attempt = AttemptId::parse_bare(&order.out_trade_no).map_err(|_| not_a_number(&order.out_trade_no))?;
            Ok(VerifiedNotification::checked(Subject::Order(attempt), observe_order(wallet, order)?))
        }
        (None, Some(refund)) => {
            let number = RefundId::parse_bare(&refund.out_refund_no);
            let number = number.map_err(|_| not_a_number(&refund.out_refund_no))?;
            Ok(VerifiedNotification::checked(Subject::Refund(number), observe_refund(wallet, refund)?))
        }
        (Some(_), Some(_)) | (None, None) => {
            Err(ChannelError::Malformed { detail: "neither one order nor one refund".to_owned() })
        }
    }
}

fn not_a_number(text: &str) -> ChannelError {
    ChannelError::Malformed { detail: format!("{} is not a number of ours", shortened(text)) }
}
