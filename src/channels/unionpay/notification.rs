//! What UnionPay sends by itself (后台通知): that an order was paid, that a refund went through. Only successes are told.
//!
//! The same fields and signature also reach the customer's browser (前台通知), which proves nothing here: the cashier asks.

use super::UnionPay;
use super::message::Fields;
use super::response::{Verdict, detail, malformed, paid, refunded, verdict};
use crate::channels::text::shortened;
use crate::channels::{ChannelError, Inbound, Observation, Subject, VerifiedNotification};
use crate::domain::ids::{AttemptId, RefundId};
use crate::domain::time::Timestamp;

/// Largest notification that is read, in bytes; real ones have about 4,000.
pub const NOTIFICATION_MAX_BYTES: usize = 64 * 1024;

/// Clearing data that stands in every notification of a success. Answers to calls are signed in the same way and say 00
/// when they were merely accepted; they lack these, so nobody can hand one in as a notification.
const CLEARING: [&str; 4] = ["settleAmt", "settleDate", "traceNo", "traceTime"];

pub(super) fn read(
    account: &UnionPay,
    message: &Inbound<'_>,
    now: Timestamp,
) -> Result<VerifiedNotification, ChannelError> {
    let not_genuine = |detail: String| ChannelError::NotGenuine { detail };
    if message.body.len() > NOTIFICATION_MAX_BYTES {
        return Err(not_genuine(format!("{} bytes", message.body.len())));
    }
    let fields = Fields::read_form(message.body).map_err(|error| not_genuine(error.to_string()))?;
    account.signing.verify(&fields, now).map_err(|error| not_genuine(error.to_string()))?;
    // The answer to a query says 00 for the query, whatever became of the order.
    if fields.get("origRespCode").is_some() {
        return Err(not_genuine("an answer to a query is no notification".to_owned()));
    }
    let code = fields.get("respCode").ok_or_else(|| malformed("a notification without respCode"))?;
    let succeeded = verdict(code) == Some(Verdict::Success);
    if succeeded && CLEARING.iter().any(|name| fields.get(name).is_none()) {
        return Err(malformed("a success without clearing data"));
    }
    let number = fields.get("orderId").unwrap_or_default();
    let not_ours = || malformed(&format!("{} is not a number of ours", shortened(number)));
    // Only successes are told, so anything else is a reason to ask, not an outcome.
    let other = Observation::Unknown { detail: detail(&fields, code) };
    match fields.get("txnType") {
        Some("01") => {
            let attempt = AttemptId::parse_bare(number).map_err(|_| not_ours())?;
            let observation = if succeeded {
                // Money under a foreign number is worth a person's look; anything else is not about us.
                Observation::Paid(paid(account, &fields)?)
            } else {
                account.is_named(&fields)?;
                other
            };
            Ok(VerifiedNotification::checked(Subject::Order(attempt), observation))
        }
        Some("04" | "31") => {
            account.is_named(&fields)?;
            let refund = RefundId::parse_bare(number).map_err(|_| not_ours())?;
            let observation = if succeeded { refunded(&fields)? } else { other };
            Ok(VerifiedNotification::checked(Subject::Refund(refund), observation))
        }
        other => Err(malformed(&format!("txnType {}", shortened(other.unwrap_or_default())))),
    }
}
