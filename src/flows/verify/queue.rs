//! The queue: every row has somebody who waits for it, at that very time and in that lane.

use super::{Finding, Run, Snapshots, stray};
use crate::flows::effect::{Effect, Lane};
use crate::store::Read;
use crate::store::tables::{ACCOUNTS, ATTEMPTS, DELIVERIES, DUE, PAYMENTS, REFUNDS};

pub(super) fn verify<S: Snapshots>(run: &mut Run<'_, S>) -> Result<(), Finding> {
    run.each(&DUE, |tx, (lane, at, effect), ()| {
        let (awaited, row) = match effect {
            Effect::FollowAttempt(scope, id) => {
                let attempt = tx.get(&ATTEMPTS, &(scope, id))?;
                let expected = attempt.map(|attempt| (Lane::account(attempt.account), attempt.follow_up));
                (expected == Some((lane, Some(at))), id.to_string())
            }
            Effect::FollowRefund(scope, id) => {
                let refund = tx.get(&REFUNDS, &(scope, id))?;
                let expected = refund.map(|refund| (Lane::account(refund.account), refund.follow_up));
                (expected == Some((lane, Some(at))), id.to_string())
            }
            Effect::Expire(scope, id) => {
                let payment = tx.get(&PAYMENTS, &(scope, id))?;
                let waits = payment.is_some_and(|p| !p.state.is_final() && p.expires_at == at);
                (waits && lane == Lane::OWN, id.to_string())
            }
            Effect::Deliver(scope, event, endpoint) => {
                let delivery = tx.get(&DELIVERIES, &(scope, event, endpoint))?;
                let waits = delivery.is_some_and(|delivery| delivery.due == Some(at));
                (waits && lane == Lane::endpoint(endpoint), event.to_string())
            }
            Effect::Resend(scope, event, endpoint) => {
                let known = tx.contains(&DELIVERIES, &(scope, event, endpoint))?;
                (known && lane == Lane::endpoint(endpoint), event.to_string())
            }
            Effect::Upkeep(scope, id) => {
                let account = tx.get(&ACCOUNTS, &(scope, id))?;
                let waits = account.is_some_and(|account| account.upkeep_at == Some(at));
                (waits && lane == Lane::account(id), id.to_string())
            }
            Effect::Sweep => (lane == Lane::OWN, "sweep".to_owned()),
        };
        if awaited { Ok(()) } else { stray(&DUE, row) }
    })
    .map(drop)
}
