//! Sends notifications until they are heard, up a ladder of its own, and lets happen what was planned.

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::records::Letter;
use super::{Inner, Wallet, desk};
use crate::channels::Sealing;
use crate::channels::test_wallet::sign;
use crate::domain::time::{Duration, Timestamp};
use crate::env::transport::{Limits, Method, OutgoingRequest};
use crate::store::tables::{WALLET_LETTERS, WALLET_WAKES};
use crate::store::{Order, Read, Span, StoreError};

/// Gaps before each further try. Source: WeChat Pay API v3, payment notification: 24 h 4 min in all.
pub const LADDER: [Duration; 15] = [
    Duration::from_seconds(15),
    Duration::from_seconds(15),
    Duration::from_seconds(30),
    Duration::from_minutes(3),
    Duration::from_minutes(10),
    Duration::from_minutes(20),
    Duration::from_minutes(30),
    Duration::from_minutes(30),
    Duration::from_minutes(30),
    Duration::from_minutes(60),
    Duration::from_hours(3),
    Duration::from_hours(3),
    Duration::from_hours(3),
    Duration::from_hours(6),
    Duration::from_hours(6),
];

/// Notifications sent at the same time.
const AT_ONCE_MAX: usize = 32;
/// Planned things that happen in one commit.
const WAKES_PER_COMMIT_MAX: usize = 64;
/// How long to wait when nothing is on its way; the bell ends it.
const IDLE: Duration = Duration::from_minutes(10);
/// How long to wait after the store refused.
const AFTER_TROUBLE: Duration = Duration::from_seconds(1);
/// A provider waits five seconds for its answer. Source: WeChat Pay API v3, payment notification.
const LIMITS: Limits =
    Limits { connect: Duration::from_seconds(3), total: Duration::from_seconds(5), reply_max: 4 * 1024 };

type LetterKey = (Timestamp, [u8; 16]);

impl Wallet {
    /// Runs until `stop` turns true or its sender is gone.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let wait = match self.work().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!("the test wallet's messenger could not reach the store: {error}");
                    AFTER_TROUBLE
                }
            };
            tokio::select! {
                () = self.0.env.sleep(wait) => {}
                () = self.0.bell.notified() => {}
                changed = stop.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Does everything that is due now; answers how long there is nothing to do.
    pub async fn work(&self) -> Result<Duration, StoreError> {
        let inner = &self.0;
        loop {
            let now = inner.env.now();
            let Agenda { wake, letters, next } = inner.store.read(move |tx| agenda(tx, now)).await?;
            if !wake && letters.is_empty() {
                return Ok(next.map_or(IDLE, |next| next.since(now).min(IDLE)));
            }
            if wake {
                inner.store.write(move |tx| desk::wake(tx, now, WAKES_PER_COMMIT_MAX)).await?;
            }
            let mut sending = JoinSet::new();
            for (key, letter) in letters {
                let inner = inner.clone();
                sending.spawn(async move {
                    let heard = inner.send(&letter).await;
                    (key, letter, heard)
                });
            }
            let mut outcomes = Vec::new();
            while let Some(outcome) = sending.join_next().await {
                // A panic leaves the letter where it was; it is sent again.
                outcomes.extend(outcome.ok());
            }
            let now = inner.env.now();
            inner.store.write(move |tx| record(tx, &outcomes, now)).await?;
        }
    }
}

impl Inner {
    /// Whether the merchant heard it.
    async fn send(&self, letter: &Letter) -> bool {
        let body = letter.body.as_bytes();
        let sealing = Sealing { now: self.env.now(), nonce: self.env.random() };
        let mut headers = vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("user-agent".to_owned(), concat!("coffer-test-wallet/", env!("CARGO_PKG_VERSION")).to_owned()),
        ];
        let signature = sign::provider_headers(self.keys.signer(letter.forged), body, &sealing);
        headers.extend(signature.into_iter().map(|(name, value)| (name.to_owned(), value)));
        let request =
            OutgoingRequest { method: Method::Post, url: letter.notify_url.clone(), headers, body: body.to_vec() };
        match self.transport.send(request, &self.policy, LIMITS).await {
            Ok(answer) => (200..300).contains(&answer.status),
            Err(error) => {
                tracing::debug!("a notification of the test wallet did not arrive: {error}");
                false
            }
        }
    }
}

/// What there is to do.
struct Agenda {
    /// Something planned is due.
    wake: bool,
    /// Letters that are due.
    letters: Vec<(LetterKey, Letter)>,
    /// When the next thing will be.
    next: Option<Timestamp>,
}

fn agenda(tx: &impl Read, now: Timestamp) -> Result<Agenda, StoreError> {
    let wake = tx.scan(&WALLET_WAKES, &Span::all(), Order::Ascending, 1)?.pop().map(|((at, _), ())| at);
    let mut letters = tx.scan(&WALLET_LETTERS, &Span::all(), Order::Ascending, AT_ONCE_MAX)?;
    let later = letters.iter().position(|((at, _), _)| *at > now);
    let first_later = later.and_then(|place| letters.get(place)).map(|((at, _), _)| *at);
    letters.truncate(later.unwrap_or(letters.len()));
    let next = [wake, first_later].into_iter().flatten().min();
    Ok(Agenda { wake: wake.is_some_and(|at| at <= now), letters, next })
}

/// What was heard is gone; the rest climbs the ladder, and falls off its end.
fn record(
    tx: &mut crate::store::WriteTx<'_>,
    outcomes: &[(LetterKey, Letter, bool)],
    now: Timestamp,
) -> Result<(), StoreError> {
    for (key, letter, heard) in outcomes {
        tx.delete(&WALLET_LETTERS, key)?;
        let gap = usize::try_from(letter.tries).ok().and_then(|tries| LADDER.get(tries));
        if let (false, Some(gap)) = (*heard, gap) {
            let again = Letter { tries: letter.tries + 1, ..letter.clone() };
            tx.put(&WALLET_LETTERS, &(now.plus(*gap), key.1), &again)?;
        }
    }
    Ok(())
}
