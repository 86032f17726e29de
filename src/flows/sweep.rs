//! Removes what has outlived its use, a bounded piece at a time: nonces, stored answers, what is known about customers. Ends
//! proposals that nobody decided.

use std::ops::ControlFlow;

use super::effect::{Effect, Lane, schedule, unschedule};
use super::{Moment, approvals};
use crate::domain::ids::{Mode, PaymentId, Scope};
use crate::domain::payment::{CUSTOMER_KEPT, Customer};
use crate::domain::time::{Duration, Timestamp};
use crate::store::tables::{ANSWERS, ANSWERS_BY_EXPIRY, CUSTOMERS_FORGOTTEN, DUE, MERCHANTS, NONCES, PAYMENTS};
use crate::store::{Order, Read, Span, StoreError, WriteTx};

/// Rows of each kind that one piece removes.
pub const PIECE_ROWS: usize = 1_000;
/// How often is looked when there was nothing left to do.
const PAUSE: Duration = Duration::from_minutes(1);

/// Nonces are remembered by slices of time, so that one row each is enough to find and to forget them.
pub const NONCE_SLICE: Duration = Duration::from_minutes(10);

/// The slice that a time lies in. Those before now's are forgotten.
pub const fn nonce_slice(at: Timestamp) -> u64 {
    at.as_seconds().unsigned_abs() / NONCE_SLICE.as_seconds()
}

/// Removes one piece and schedules the next: at once while there is more.
pub fn sweep(tx: &mut WriteTx<'_>, due: Timestamp, moment: Moment) -> Result<(), StoreError> {
    unschedule(tx, Lane::OWN, due, Effect::Sweep)?;
    let nonces = tx.scan(&NONCES, &Span::all().until(&nonce_slice(moment.now)), Order::Ascending, PIECE_ROWS)?;
    for (key, ()) in &nonces {
        tx.delete(&NONCES, key)?;
    }
    let until = Span::all().until(&moment.now);
    let answers = tx.scan(&ANSWERS_BY_EXPIRY, &until, Order::Ascending, PIECE_ROWS)?;
    for ((at, scope, name), ()) in &answers {
        tx.delete(&ANSWERS_BY_EXPIRY, &(*at, *scope, *name))?;
        tx.delete(&ANSWERS, &(*scope, *name))?;
    }
    let proposals = approvals::expire_due(tx, moment.now, PIECE_ROWS)?;
    let customers = forget_customers(tx, moment.now)?;
    let more = customers || [nonces.len(), answers.len(), proposals].contains(&PIECE_ROWS);
    let next = if more { moment.now.plus(Duration::from_millis(1)) } else { moment.now.plus(PAUSE) };
    schedule(tx, Lane::OWN, next, Effect::Sweep)
}

/// Takes out of old payments what the shop told about its customers. Answers whether there is more to do.
fn forget_customers(tx: &mut WriteTx<'_>, now: Timestamp) -> Result<bool, StoreError> {
    let end = PaymentId::new(now.minus(CUSTOMER_KEPT), [0; 10]);
    let mut room = PIECE_ROWS;
    for (merchant, _) in tx.scan(&MERCHANTS, &Span::all(), Order::Ascending, PIECE_ROWS)? {
        for mode in [Mode::Test, Mode::Live] {
            let scope = Scope { merchant, mode };
            let mut span = Span::prefix(&scope).until(&(scope, end));
            if let Some(done) = tx.get(&CUSTOMERS_FORGOTTEN, &scope)? {
                span = span.after(&(scope, done));
            }
            let rows = tx.scan(&PAYMENTS, &span, Order::Ascending, room)?;
            room -= rows.len();
            if let Some(((_, last), _)) = rows.last() {
                tx.put(&CUSTOMERS_FORGOTTEN, &scope, last)?;
            }
            for (row, mut payment) in rows {
                if payment.customer != Customer::default() {
                    payment.customer = Customer::default();
                    tx.put(&PAYMENTS, &row, &payment)?;
                }
            }
            if room == 0 {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Makes sure that exactly one sweep is queued; called at start. One that is queued later than it ever is shows that the
/// clock was set back meanwhile; answers by how much at least.
pub fn ensure(tx: &mut WriteTx<'_>, moment: Moment) -> Result<Duration, StoreError> {
    let mut queued = None;
    tx.walk(&DUE, &Span::prefix(&Lane::OWN), |(_, at, effect), ()| {
        queued = (effect == Effect::Sweep).then_some(at);
        Ok::<_, StoreError>(if queued.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    let Some(at) = queued else { return schedule(tx, Lane::OWN, moment.now, Effect::Sweep).map(|()| Duration::ZERO) };
    let ahead = at.since(moment.now.plus(PAUSE));
    if ahead > Duration::ZERO {
        unschedule(tx, Lane::OWN, at, Effect::Sweep)?;
        schedule(tx, Lane::OWN, moment.now, Effect::Sweep)?;
    }
    Ok(ahead)
}
