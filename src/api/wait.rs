//! Waiting for a channel's answer: the effect is committed, the runner acts, and the handler hears of it.

use super::error::Problem;
use super::payments::load;
use super::service::Api;
use crate::domain::ids::{PaymentId, Scope};
use crate::domain::payment::{Attempt, Payment};
use crate::domain::time::Duration;

/// How long a handler waits. After that it answers with what is known.
pub const CHANNEL_WAIT: Duration = Duration::from_seconds(10);
/// Seconds after which it makes sense to ask again.
pub const RETRY_S: u64 = 5;

/// Waits until the payment is as wanted, or the time is over; answers it as it then stands.
pub async fn until(
    api: &Api,
    scope: Scope,
    id: PaymentId,
    settled: impl Fn(&Payment, Option<&Attempt>) -> bool,
) -> Result<(Payment, Option<Attempt>), Problem> {
    let mut watch = api.gateway.changes.watch(id);
    let waiting = async {
        loop {
            let (payment, attempt) = load(api, scope, id)?;
            if settled(&payment, attempt.as_ref()) {
                return Ok((payment, attempt));
            }
            watch.changed().await;
        }
    };
    match tokio::time::timeout(CHANNEL_WAIT.to_std(), waiting).await {
        Ok(settled) => settled,
        Err(_) => load(api, scope, id),
    }
}
