//! How this provider's notifications are signed and sent, and its ladder.

use tokio::sync::{Notify, watch};

use super::records::Letter;
use super::{Inner, Wallet, desk};
use crate::channels::Sealing;
use crate::channels::test_wallet::sign;
use crate::domain::time::{Duration, Timestamp};
use crate::env::Env;
use crate::env::transport::{Limits, Method, OutgoingRequest};
use crate::sandbox::provider::messenger::{self, LetterKey, Office};
use crate::store::tables::{WALLET_LETTERS, WALLET_WAKES};
use crate::store::{Order, Read, Span, Store, StoreError, Table, WriteTx};

/// The test wallet keeps the times of the provider that it resembles most.
pub use crate::sandbox::wechatpay::LADDER;

/// A provider waits five seconds for its answer. Source: WeChat Pay API v3, payment notification.
const LIMITS: Limits =
    Limits { connect: Duration::from_seconds(3), total: Duration::from_seconds(5), reply_max: 4 * 1024 };

impl Wallet {
    /// Runs until `stop` turns true or its sender is gone.
    pub async fn run(&self, stop: watch::Receiver<bool>) {
        messenger::run(self, stop).await;
    }

    /// Does everything that is due now; answers how long there is nothing to do.
    pub async fn work(&self) -> Result<Duration, StoreError> {
        messenger::work(self).await
    }
}

impl Office for Wallet {
    type Letter = Letter;

    fn store(&self) -> &Store {
        &self.0.store
    }

    fn env(&self) -> &Env {
        &self.0.env
    }

    fn bell(&self) -> &Notify {
        &self.0.bell
    }

    fn letters(&self) -> &'static Table<LetterKey, Letter> {
        &WALLET_LETTERS
    }

    fn now(&self, _tx: &impl Read) -> Result<Timestamp, StoreError> {
        Ok(self.0.env.now())
    }

    fn next_wake(&self, tx: &impl Read) -> Result<Option<Timestamp>, StoreError> {
        Ok(tx.scan(&WALLET_WAKES, &Span::all(), Order::Ascending, 1)?.pop().map(|((at, _), ())| at))
    }

    fn wake(&self, tx: &mut WriteTx<'_>, now: Timestamp, limit: usize) -> Result<(), StoreError> {
        desk::wake(tx, now, limit)
    }

    async fn send(&self, letter: &Letter) -> bool {
        self.0.send(letter).await
    }

    fn again(&self, letter: &Letter) -> Option<(Letter, Duration)> {
        let gap = usize::try_from(letter.tries).ok().and_then(|tries| LADDER.get(tries))?;
        Some((Letter { tries: letter.tries + 1, ..letter.clone() }, *gap))
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
        let request = OutgoingRequest {
            method: Method::Post,
            url: letter.notify_url.clone(),
            headers,
            body: body.to_vec(),
            identity: None,
        };
        match self.transport.send(request, &self.policy, LIMITS).await {
            Ok(answer) => (200..300).contains(&answer.status),
            Err(error) => {
                tracing::debug!("a notification of the test wallet did not arrive: {error}");
                false
            }
        }
    }
}
