//! Schema 2, with smaller rows: a row of a timeline holds many lines, the index of the journal by account holds a bit for
//! each entry, and events that are written from now on no longer repeat their payment.

use serde::{Deserialize, Serialize};

use super::super::{
    error::StoreError,
    table::Table,
    tables::{EVENTS, JOURNAL_BY_ACCOUNT, TIMELINE},
};
use super::{Migration, MigrationTx};
use crate::domain::{
    event::{EventObject, EventType, TimelineEntry},
    ids::{EndpointId, EventId, PaymentId, Scope},
    payment::{Attempt, Payment},
    refund::Refund,
    time::Timestamp,
};
use crate::flows::{
    books::block,
    events::StoredEvent,
    timeline::{LINES_PER_ROW, Lines},
};

pub const STEP: Migration = Migration { what: "make rows smaller", apply };

const EVENTS_1: Table<(Scope, EventId), Event1> = Table::new("events", 1);
const TIMELINE_1: Table<(Scope, PaymentId, u32), TimelineEntry> = Table::new("timeline", 1);
const JOURNAL_BY_ACCOUNT_1: Table<(Scope, u16, u64), ()> = Table::new("journal_by_account", 1);

#[derive(Serialize, Deserialize)]
struct Event1 {
    id: EventId,
    kind: EventType,
    at: Timestamp,
    object: Object1,
}

#[derive(Serialize, Deserialize)]
enum Object1 {
    Payment(Box<Payment>, Option<Box<Attempt>>),
    Refund(Box<Refund>),
    Ping(EndpointId),
}

fn apply(tx: &MigrationTx<'_>) -> Result<(), StoreError> {
    tx.rewrite(&EVENTS_1, &EVENTS, |key, event| {
        let object = match event.object {
            Object1::Payment(payment, attempt) => EventObject::Payment(payment, attempt.map(|attempt| attempt.method)),
            Object1::Refund(refund) => EventObject::Refund(refund),
            Object1::Ping(endpoint) => EventObject::Ping(endpoint),
        };
        Some((key, StoredEvent::whole(event.kind, object)))
    })?;

    let mut story: Option<((Scope, PaymentId, u32), Lines)> = None;
    tx.regroup(&TIMELINE_1, &TIMELINE, |line| {
        let Some(((scope, payment, _), line)) = line else { return story.take() };
        let full = match &mut story {
            Some(((of_scope, of, _), lines)) if (*of_scope, *of) == (scope, payment) && lines.len() < LINES_PER_ROW => {
                lines.push(payment, line);
                return None;
            }
            full => full.take(),
        };
        let row = match &full {
            Some(((of_scope, of, row), _)) if (*of_scope, *of) == (scope, payment) => row + 1,
            Some(_) | None => 0,
        };
        let mut lines = Lines::default();
        lines.push(payment, line);
        story = Some(((scope, payment, row), lines));
        full
    })?;

    let mut touched: Option<((Scope, u16, u64), u64)> = None;
    tx.regroup(&JOURNAL_BY_ACCOUNT_1, &JOURNAL_BY_ACCOUNT, |entry| {
        let Some(((scope, code, seq), ())) = entry else { return touched.take() };
        let (block, bit) = block(seq);
        match &mut touched {
            Some((key, bits)) if *key == (scope, code, block) => {
                *bits |= bit;
                None
            }
            full => full.replace(((scope, code, block), bit)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::{ALL, tests::open};
    use super::*;
    use crate::domain::event::Happening;
    use crate::domain::ids::{CaseId, MerchantId, Mode};
    use crate::store::{Order, Read, SimulatedDisk, Span};

    #[test]
    fn rows_of_schema_1_say_the_same_in_schema_2() {
        let scope = Scope { merchant: MerchantId::from_bytes([1; 16]), mode: Mode::Live };
        let created = Timestamp::from_millis(1_700_000_000_000);
        let [first, second] = [1, 2].map(|n| PaymentId::new(created, [n; 10]));
        let line = |n: u32| TimelineEntry {
            at: Timestamp::from_millis(1_700_000_000_005 + i64::from(n)),
            what: Happening::CaseOpened { case: CaseId::from_bytes([n.to_le_bytes()[0]; 16]) },
        };
        let ping = EventId::new(created, [3; 10]);
        let endpoint = EndpointId::from_bytes([9; 16]);
        let disk = SimulatedDisk::new();
        let old = open(&disk, &[]).unwrap();
        old.write_blocking(move |tx| {
            let event = Event1 { id: ping, kind: EventType::WebhookPing, at: created, object: Object1::Ping(endpoint) };
            tx.put(&EVENTS_1, &(scope, ping), &event)?;
            for n in 0..20 {
                tx.put(&TIMELINE_1, &(scope, first, n), &line(n))?;
            }
            tx.put(&TIMELINE_1, &(scope, second, 0), &line(7))?;
            for seq in [1, 63, 64, 200] {
                tx.put(&JOURNAL_BY_ACCOUNT_1, &(scope, 1001, seq), &())?;
            }
            tx.put(&JOURNAL_BY_ACCOUNT_1, &(scope, 2001, 1), &())
        })
        .unwrap();
        old.close();

        let store = open(&disk, ALL).unwrap();
        store
            .read_blocking(|tx| {
                let event = crate::flows::events::event(tx, scope, ping)?.unwrap();
                assert_eq!((event.at, event.kind), (created, EventType::WebhookPing));
                assert_eq!(event.object, EventObject::Ping(endpoint));
                let newest = |payment| crate::flows::timeline::newest(tx, scope, payment, 100);
                assert_eq!(newest(first)?, (0..20).map(line).collect::<Vec<_>>());
                assert_eq!(newest(second)?, [line(7)]);
                assert_eq!(tx.scan(&TIMELINE, &Span::all(), Order::Ascending, 10)?.len(), 3);
                let touching = |code, range, order| crate::flows::books::touching(tx, scope, code, range, order, 3);
                assert_eq!(touching(1001, 0..u64::MAX, Order::Descending)?, [200, 64, 63]);
                assert_eq!(touching(1001, 2..200, Order::Ascending)?, [63, 64]);
                assert_eq!(touching(2001, 0..u64::MAX, Order::Descending)?, [1]);
                Ok::<_, StoreError>(())
            })
            .unwrap();
    }
}
