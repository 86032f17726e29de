//! A payment's story as it is stored: a row holds a handful of lines, so that a line costs a few bytes and no row of its
//! own, and adding one never rewrites a long story.

use serde::{Deserialize, Serialize};

use crate::domain::event::{Happening, TimelineEntry};
use crate::domain::ids::{PaymentId, Scope};
use crate::domain::time::{Duration, Timestamp};
use crate::store::tables::TIMELINE;
use crate::store::{Order, Read, Span, StoreError, WriteTx};

/// Lines of one row. Every row but the last is full.
pub const LINES_PER_ROW: usize = 16;

/// Lines of questions and messages in one payment's story. Later ones take the place of the last, so that neither a
/// channel nor a forger fills the file.
pub const TIMELINE_CHATTER_MAX: u32 = 1_000;

/// Lines in the order they were told, each with its milliseconds since the payment's id was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines(Vec<(i64, Happening)>);

impl Lines {
    pub fn push(&mut self, payment: PaymentId, line: TimelineEntry) {
        self.0.push((line.at.as_millis().saturating_sub(payment.created_at().as_millis()), line.what));
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lines of a payment's row.
    pub fn of(self, payment: PaymentId) -> impl DoubleEndedIterator<Item = TimelineEntry> {
        let begun = payment.created_at();
        self.0.into_iter().map(move |(after_ms, what)| TimelineEntry { at: after(begun, after_ms), what })
    }
}

fn after(begun: Timestamp, millis: i64) -> Timestamp {
    let span = Duration::from_millis(millis.unsigned_abs());
    if millis < 0 { begun.minus(span) } else { begun.plus(span) }
}

/// Adds a line to the payment's story.
pub fn tell(
    tx: &mut WriteTx<'_>,
    scope: Scope,
    payment: PaymentId,
    at: Timestamp,
    what: Happening,
) -> Result<(), StoreError> {
    let last = tx.scan(&TIMELINE, &Span::prefix(&(scope, payment)), Order::Descending, 1)?.pop();
    let (mut row, mut lines) = last.map_or((0, Lines::default()), |((_, _, row), lines)| (row, lines));
    if let Some((_, last)) = lines.0.last()
        && is_chatter(&what)
    {
        let told = u64::from(row) * LINES_PER_ROW as u64 + lines.len() as u64;
        // Repeated questions with the same answer are one line: it tells when the last one was asked.
        if *last == what || (is_chatter(last) && told > u64::from(TIMELINE_CHATTER_MAX)) {
            lines.0.pop();
        }
    }
    if lines.len() >= LINES_PER_ROW {
        row = row.checked_add(1).expect("what is not chatter is bounded by other limits");
        lines = Lines::default();
    }
    lines.push(payment, TimelineEntry { at, what });
    tx.put(&TIMELINE, &(scope, payment, row), &lines)
}

/// The newest lines, at most so many, in the order they were told.
pub fn newest(
    tx: &impl Read,
    scope: Scope,
    payment: PaymentId,
    limit: usize,
) -> Result<Vec<TimelineEntry>, StoreError> {
    // The last row may hold a single line.
    let rows = limit.div_ceil(LINES_PER_ROW) + 1;
    let rows = tx.scan(&TIMELINE, &Span::prefix(&(scope, payment)), Order::Descending, rows)?;
    let mut lines: Vec<_> = rows.into_iter().flat_map(|(_, lines)| lines.of(payment).rev()).take(limit).collect();
    lines.reverse();
    Ok(lines)
}

/// Questions and messages come as often as a channel, or a stranger, likes.
fn is_chatter(what: &Happening) -> bool {
    match what {
        Happening::Asked { .. }
        | Happening::Notified { .. }
        | Happening::NotificationRefused { .. }
        | Happening::ChannelTrouble { .. } => true,
        Happening::AttemptStarted { .. }
        | Happening::CodeShown { .. }
        | Happening::Paid { .. }
        | Happening::AttemptEnded { .. }
        | Happening::EndRequested { .. }
        | Happening::Ended { .. }
        | Happening::RefundRequested { .. }
        | Happening::RefundFinished { .. }
        | Happening::CaseOpened { .. }
        | Happening::CaseChanged { .. }
        | Happening::Changed { .. }
        | Happening::Routed { .. }
        | Happening::RefundUndeliverable { .. }
        | Happening::RefundRedirected { .. }
        | Happening::RefundReturned { .. }
        | Happening::RefundPaidOutside { .. } => false,
    }
}
