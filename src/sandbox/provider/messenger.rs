//! Sends notifications until they are heard, up to the end of a ladder, and lets happen what was planned. Every simulated
//! provider does it this way; whose letters and whose ladder is the [`Office`]'s matter.

use std::future::Future;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::domain::time::{Duration, Timestamp};
use crate::env::Env;
use crate::store::table::Record;
use crate::store::{Order, Read, Span, Store, StoreError, Table, WriteTx};

/// Notifications sent at the same time.
const AT_ONCE_MAX: usize = 32;
/// Planned things that happen in one commit.
const WAKES_PER_COMMIT_MAX: usize = 64;
/// How long to wait when nothing is on its way; the bell ends it.
const IDLE: Duration = Duration::from_minutes(10);
/// How long to wait after the store refused.
const AFTER_TROUBLE: Duration = Duration::from_seconds(1);

/// When a letter is sent next, and what tells it from others of that moment.
pub type LetterKey = (Timestamp, [u8; 16]);

/// Where letters and wake-ups lie, and how a letter is sent.
pub trait Office: Clone + Send + Sync + 'static {
    type Letter: Record + Clone + Send + Sync + 'static;

    fn store(&self) -> &Store;
    fn env(&self) -> &Env;
    /// Rings when something new is on its way.
    fn bell(&self) -> &Notify;
    fn letters(&self) -> &'static Table<LetterKey, Self::Letter>;
    /// The simulated time, as a snapshot has it.
    fn now(&self, tx: &impl Read) -> Result<Timestamp, StoreError>;
    /// When something planned happens next.
    fn next_wake(&self, tx: &impl Read) -> Result<Option<Timestamp>, StoreError>;
    /// Lets everything happen that is due, at most `limit` things.
    fn wake(&self, tx: &mut WriteTx<'_>, now: Timestamp, limit: usize) -> Result<(), StoreError>;
    /// One try; whether the merchant heard it.
    fn send(&self, letter: &Self::Letter) -> impl Future<Output = bool> + Send;
    /// The letter after a try that was not heard and the time until the next; `None` at the ladder's end.
    fn again(&self, letter: &Self::Letter) -> Option<(Self::Letter, Duration)>;
}

/// Runs until `stop` turns true or its sender is gone.
pub async fn run(office: &impl Office, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let wait = match work(office).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::warn!("a simulated provider's messenger could not reach the store: {error}");
                AFTER_TROUBLE
            }
        };
        tokio::select! {
            () = office.env().sleep(wait) => {}
            () = office.bell().notified() => {}
            changed = stop.changed() => if changed.is_err() { return },
        }
    }
}

/// Does everything that is due now; answers how long there is nothing to do.
pub async fn work<O: Office>(office: &O) -> Result<Duration, StoreError> {
    loop {
        let asking = office.clone();
        let Agenda { now, wake, letters, next } = office.store().read(move |tx| agenda(&asking, tx)).await?;
        if !wake && letters.is_empty() {
            return Ok(next.map_or(IDLE, |next| next.since(now).min(IDLE)));
        }
        if wake {
            let waking = office.clone();
            office.store().write(move |tx| waking.wake(tx, now, WAKES_PER_COMMIT_MAX)).await?;
        }
        let mut sending = JoinSet::new();
        for (key, letter) in letters {
            let sender = office.clone();
            sending.spawn(async move {
                let heard = sender.send(&letter).await;
                (key, letter, heard)
            });
        }
        let mut outcomes = Vec::new();
        while let Some(outcome) = sending.join_next().await {
            // A panic leaves the letter where it was; it is sent again.
            outcomes.extend(outcome.ok());
        }
        let recording = office.clone();
        office.store().write(move |tx| record(&recording, tx, &outcomes)).await?;
    }
}

/// What there is to do.
struct Agenda<L> {
    now: Timestamp,
    /// Something planned is due.
    wake: bool,
    /// Letters that are due.
    letters: Vec<(LetterKey, L)>,
    /// When the next thing will be.
    next: Option<Timestamp>,
}

fn agenda<O: Office>(office: &O, tx: &impl Read) -> Result<Agenda<O::Letter>, StoreError> {
    let now = office.now(tx)?;
    let wake = office.next_wake(tx)?;
    let mut letters = tx.scan(office.letters(), &Span::all(), Order::Ascending, AT_ONCE_MAX)?;
    let later = letters.iter().position(|((at, _), _)| *at > now);
    let first_later = later.and_then(|place| letters.get(place)).map(|((at, _), _)| *at);
    letters.truncate(later.unwrap_or(letters.len()));
    let next = [wake, first_later].into_iter().flatten().min();
    Ok(Agenda { now, wake: wake.is_some_and(|at| at <= now), letters, next })
}

/// What was heard is gone; the rest climbs the ladder, and falls off its end.
fn record<O: Office>(
    office: &O,
    tx: &mut WriteTx<'_>,
    outcomes: &[(LetterKey, O::Letter, bool)],
) -> Result<(), StoreError> {
    let now = office.now(tx)?;
    for (key, letter, heard) in outcomes {
        tx.delete(office.letters(), key)?;
        if !heard && let Some((letter, gap)) = office.again(letter) {
            tx.put(office.letters(), &(now.plus(gap), key.1), &letter)?;
        }
    }
    Ok(())
}
