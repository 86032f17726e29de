//! A shop that is not called back but reads the list of events with a cursor, now and then a page: it sees every event
//! once, however the clock jumps and whenever the process dies.

use super::story::{Checked, Story};
use crate::api::fields::read_query;
use crate::api::page::Window;
use crate::domain::event::Event;
use crate::domain::ids::{EventId, PaymentId};
use crate::store::StoreError;
use crate::store::tables::{EVENTS, Index};

/// Events of a page.
const PAGE: usize = 4;

/// What the shop has read so far, in the order in which it read it.
#[derive(Default)]
pub(super) struct Poller {
    read: Vec<EventId>,
}

impl Story {
    /// One page of what is newer than the last event that was read. Answers whether there is more.
    pub(super) fn poll(&mut self) -> Checked<bool> {
        if self.has_failed() {
            return Ok(false);
        }
        let last = self.poller.read.last().copied();
        let newer_than = last.unwrap_or(EventId::from_bytes([0; 16]));
        let window = read_query(&format!("before={newer_than}&limit={PAGE}"), Window::<EventId>::read);
        let window = window.map_err(|_| "the cursor of a shop that polls was refused")?;
        let scope = self.ground.scope;
        let of_payment = None::<(&Index<PaymentId, EventId>, PaymentId)>;
        let page = self
            .house()?
            .store()
            .read_blocking(|tx| window.rows(tx, scope, &EVENTS, of_payment, |id, stored| stored.open(tx, scope, id)));
        let page = match page {
            Ok(page) => page,
            Err(error) => return self.excused(&error).map(|()| false),
        };
        for Event { id, at, .. } in page.rows.iter().rev() {
            if self.poller.read.last().is_some_and(|last| last >= id) {
                return Err(format!("{id} was read again or out of order"));
            }
            if id.created_at() != *at {
                self.note("an event was told under a later id than its time's");
            }
            self.poller.read.push(*id);
        }
        Ok(page.has_more)
    }

    /// In the end the shop has read everything that there is.
    pub(super) fn check_polled(&mut self) -> Checked {
        while self.poll()? {}
        let all = self.house()?.all(&EVENTS).map_err(|error: StoreError| error.to_string())?;
        let all: Vec<EventId> = all.into_iter().map(|((_, id), _)| id).collect();
        let missed = all.iter().find(|id| !self.poller.read.contains(id));
        match missed {
            Some(missed) => Err(format!("a shop that reads the events with a cursor never saw {missed}")),
            None if all != self.poller.read => Err("a shop that polls has read events that are not there".to_owned()),
            None => Ok(()),
        }
    }
}
