//! One commit for a request that changes something: its nonce is spent, its effect happens, and its answer is stored
//! under its idempotency key, all of it or nothing.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::HeaderMap;
use ring::digest::{Context, SHA256, digest};

use super::error::{ErrorCode, Problem};
use super::service::{Api, Call, Reply, lang_of};
use super::signature::CREATED_WINDOW;
use crate::domain::ids::{KeyId, PaymentId, Scope};
use crate::domain::time::{Duration, Timestamp};
use crate::flows::sweep::{NONCE_SLICE, nonce_slice};
use crate::flows::{FlowError, Moment};
use crate::lang::Lang;
use crate::signals::request_id;
use crate::store::tables::{ANSWERS, ANSWERS_BY_EXPIRY, AnswerState, NONCES, StoredAnswer};
use crate::store::{Read, StoreError, WriteTx};

/// How long an answer is kept for repetitions.
pub const ANSWERS_KEPT: Duration = Duration::from_hours(72);
/// Characters of an idempotency key.
pub const IDEMPOTENCY_KEY_CHARS: std::ops::RangeInclusive<usize> = 1..=255;
/// How long an answer may be in the making: as long as a handler waits for a channel, and time to write it down. After
/// that its handler is gone, and whoever repeats the request gets the payment as it stands.
const RUNNING_MAX: Duration = Duration::from_seconds(15);
/// Seconds after which it makes sense to ask again for an answer in the making.
const RUNNING_RETRY_S: u64 = 2;

/// A nonce as it is remembered.
#[derive(Clone, Copy, Debug)]
pub struct NonceRow {
    pub key: KeyId,
    /// SHA-256, cut to 16 bytes.
    pub hash: [u8; 16],
    pub until: Timestamp,
}

/// How long after now a nonce may have to be remembered: then it stands in this slice of time or in the next.
const REMEMBERED_MAX: Duration = Duration::from_seconds(2 * CREATED_WINDOW.as_seconds());
const _: () = assert!(REMEMBERED_MAX.as_seconds() <= NONCE_SLICE.as_seconds());

/// What became of a request.
pub enum Committed {
    Answered(Reply),
    /// The effect is durable and the answer still to be made, with [`Call::finish`].
    Wait(PaymentId),
}

/// Why nothing was committed.
pub(super) enum Undone {
    Store(StoreError),
    NonceReused,
    Books(String),
}

impl From<StoreError> for Undone {
    fn from(error: StoreError) -> Self {
        Undone::Store(error)
    }
}

impl From<Undone> for Problem {
    fn from(undone: Undone) -> Self {
        match undone {
            Undone::Store(error) => error.into(),
            Undone::NonceReused => Problem::new(ErrorCode::NonceReused),
            Undone::Books(cause) => Problem::new(ErrorCode::InternalError).because(cause),
        }
    }
}

/// Spends a nonce. Refused when it was spent before, in this process or an earlier one.
pub(super) fn use_nonce(tx: &mut WriteTx<'_>, nonce: &NonceRow, now: Timestamp) -> Result<(), Undone> {
    for slice in nonce_slice(now)..=nonce_slice(now.plus(REMEMBERED_MAX)) {
        if tx.contains(&NONCES, &(slice, nonce.key, nonce.hash))? {
            return Err(Undone::NonceReused);
        }
    }
    Ok(tx.put(&NONCES, &(nonce_slice(nonce.until), nonce.key, nonce.hash), &())?)
}

impl Call {
    /// Runs an effect. `effect` may run again, so it has no side effects outside its transaction. It answers at once, or
    /// `Running` when the channel has to be heard first. A refusal takes back what it wrote, and is stored as its answer.
    pub async fn commit<F>(&self, effect: F) -> Result<Committed, Problem>
    where
        F: Fn(&Api, &mut WriteTx<'_>, &mut Moment) -> Result<AnswerState, FlowError> + Send + 'static,
    {
        let guard = self.guard()?;
        let moment = Moment::at(self.now, self.api.gateway.env.random());
        let (api, answer) = (self.api.clone(), guard.answer);
        let outcome = self.api.gateway.store.write(move |tx| guard.run(&api, tx, moment, &effect)).await?;
        match outcome {
            Outcome::New(AnswerState::Done { status, body }) => Ok(Committed::Answered(Reply::json(status, body))),
            Outcome::New(AnswerState::Running(payment)) => Ok(Committed::Wait(payment)),
            Outcome::Refused(problem) => Err(problem.kept()),
            Outcome::Known(known) => repeat(known, answer, self.now).map_err(Problem::kept),
        }
    }

    /// Stores a refusal that came before any effect, such as a field with an impossible value, as the answer to its
    /// idempotency key; answers what was stored there before.
    pub async fn keep(&self, problem: Problem) -> Result<Reply, Problem> {
        let guard = self.guard()?;
        let (answer, refusal) = (guard.answer, problem.clone());
        let write = move |tx: &mut WriteTx<'_>| {
            if let Some(known) = guard.begin(tx)? {
                return Ok::<_, Undone>(Some(known));
            }
            guard.remember_refusal(tx, &refusal)?;
            Ok(None)
        };
        match self.api.gateway.store.write(write).await? {
            None => Err(problem),
            Some(known) => match repeat(known, answer, self.now)? {
                Committed::Answered(reply) => Ok(reply),
                Committed::Wait(_) => {
                    Err(Problem::new(ErrorCode::IdempotencyInProgress).retry_after_s(RUNNING_RETRY_S))
                }
            },
        }
    }

    fn guard(&self) -> Result<Guard, Problem> {
        Ok(Guard {
            scope: self.scope(),
            nonce: self.caller.nonce,
            answer: self.answer_key()?,
            now: self.now,
            lang: lang_of(&self.request),
            request_id: request_id(&self.request).map(|id| id.to_string()),
        })
    }

    /// Makes the answer of a request that had to wait, and stores it for repetitions. A repetition may have been faster,
    /// when this one was held up for long: then its answer is given, because a client has it.
    pub async fn finish(&self, status: u16, body: Vec<u8>) -> Result<Reply, Problem> {
        let Some(key) = self.answer_key()? else { return Ok(Reply::json(status, body)) };
        let (scope, at) = (self.scope(), self.now);
        let body = Arc::new(body);
        let stored = body.clone();
        self.api
            .gateway
            .store
            .write(move |tx| {
                let known = tx.get(&ANSWERS, &(scope, key.hash))?;
                let known = known.filter(|known| known.fingerprint == key.fingerprint);
                // Its time is counted from the first request, and so it stands in the index.
                let at = known.as_ref().map_or(at, |known| known.at);
                if let Some(StoredAnswer { reply: AnswerState::Done { status, body }, .. }) = known {
                    return Ok(Some(Reply::stored(status, body)));
                }
                let reply = AnswerState::Done { status, body: stored.as_ref().clone() };
                tx.put(&ANSWERS, &(scope, key.hash), &StoredAnswer { fingerprint: key.fingerprint, at, reply })?;
                Ok(None)
            })
            .await
            .map_err(|error: StoreError| Problem::from(error))
            .map(|faster| faster.unwrap_or_else(|| Reply::json(status, Arc::unwrap_or_clone(body))))
    }

    fn answer_key(&self) -> Result<Option<AnswerKey>, Problem> {
        let Some(key) = idempotency_key(self.request.headers())? else { return Ok(None) };
        let mut hash = Context::new(&SHA256);
        // None of the three holds a line break.
        for part in [self.request.method().as_str(), "\n", self.request.path(), "\n", key] {
            hash.update(part.as_bytes());
        }
        let cut = |digest: ring::digest::Digest| *digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes");
        Ok(Some(AnswerKey { hash: cut(hash.finish()), fingerprint: cut(digest(&SHA256, &self.body)) }))
    }
}

/// Whether the request wants one answer however often it is sent.
pub(super) fn is_idempotent(request: &HttpRequest) -> bool {
    !matches!(*request.method(), Method::GET | Method::HEAD) && request.headers().contains_key("idempotency-key")
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all("idempotency-key");
    let Some(value) = values.next() else { return Ok(None) };
    let key = value
        .to_str()
        .ok()
        .filter(|key| IDEMPOTENCY_KEY_CHARS.contains(&key.len()) && key.bytes().all(|b| (b' '..=b'~').contains(&b)));
    match (key, values.next()) {
        (Some(key), None) => Ok(Some(key)),
        (Some(_) | None, _) => Err(Problem::new(ErrorCode::IdempotencyKeyInvalid)),
    }
}

/// Where an answer is stored, and which body it answers.
#[derive(Clone, Copy)]
struct AnswerKey {
    hash: [u8; 16],
    fingerprint: [u8; 16],
}

/// What surrounds an effect in its commit.
struct Guard {
    scope: Scope,
    nonce: Option<NonceRow>,
    answer: Option<AnswerKey>,
    now: Timestamp,
    lang: Lang,
    request_id: Option<String>,
}

enum Outcome {
    New(AnswerState),
    Refused(Problem),
    Known(StoredAnswer),
}

impl Guard {
    fn run<F>(&self, api: &Api, tx: &mut WriteTx<'_>, mut moment: Moment, effect: &F) -> Result<Outcome, Undone>
    where
        F: Fn(&Api, &mut WriteTx<'_>, &mut Moment) -> Result<AnswerState, FlowError>,
    {
        if let Some(known) = self.begin(tx)? {
            return Ok(Outcome::Known(known));
        }
        match tx.nested(|tx| effect(api, tx, &mut moment)) {
            Ok(answer) => Ok(Outcome::New(self.remember(tx, answer)?)),
            Err(FlowError::Refused(refusal)) => {
                let problem = Problem::from(refusal);
                self.remember_refusal(tx, &problem)?;
                Ok(Outcome::Refused(problem))
            }
            Err(FlowError::Store(error)) => Err(Undone::Store(error)),
            Err(FlowError::Books(cause)) => Err(Undone::Books(cause)),
        }
    }

    /// Spends the nonce, and finds what is stored under the idempotency key.
    fn begin(&self, tx: &mut WriteTx<'_>) -> Result<Option<StoredAnswer>, Undone> {
        if let Some(nonce) = &self.nonce {
            use_nonce(tx, nonce, self.now)?;
        }
        let Some(key) = &self.answer else { return Ok(None) };
        let known = tx.get(&ANSWERS, &(self.scope, key.hash))?;
        Ok(known.filter(|known| self.now < known.at.plus(ANSWERS_KEPT)))
    }

    fn remember_refusal(&self, tx: &mut WriteTx<'_>, problem: &Problem) -> Result<(), StoreError> {
        if self.answer.is_none() {
            return Ok(());
        }
        let body = problem.to_json(self.lang, self.request_id.as_deref());
        self.remember(tx, AnswerState::Done { status: problem.code.status().as_u16(), body }).map(drop)
    }

    /// Gives the answer back, so that its body is not copied.
    fn remember(&self, tx: &mut WriteTx<'_>, reply: AnswerState) -> Result<AnswerState, StoreError> {
        let Some(key) = self.answer else { return Ok(reply) };
        if let Some(old) = tx.get(&ANSWERS, &(self.scope, key.hash))? {
            // Its time is over, but it was not swept yet: the sweep must not take the new one for it.
            tx.delete(&ANSWERS_BY_EXPIRY, &(old.at.plus(ANSWERS_KEPT), self.scope, key.hash))?;
        }
        let answer = StoredAnswer { fingerprint: key.fingerprint, at: self.now, reply };
        tx.put(&ANSWERS, &(self.scope, key.hash), &answer)?;
        tx.put(&ANSWERS_BY_EXPIRY, &(self.now.plus(ANSWERS_KEPT), self.scope, key.hash), &())?;
        Ok(answer.reply)
    }
}

/// The answer to a request whose idempotency key is known.
fn repeat(known: StoredAnswer, key: Option<AnswerKey>, now: Timestamp) -> Result<Committed, Problem> {
    if key.is_none_or(|key| key.fingerprint != known.fingerprint) {
        return Err(Problem::new(ErrorCode::IdempotencyKeyReused));
    }
    match known.reply {
        AnswerState::Done { status, body } => Ok(Committed::Answered(Reply::stored(status, body))),
        // From the future is what was begun before the clock was set back: nobody knows how old it is.
        AnswerState::Running(_) if now < known.at.plus(RUNNING_MAX) && known.at <= now.plus(RUNNING_MAX) => {
            Err(Problem::new(ErrorCode::IdempotencyInProgress).retry_after_s(RUNNING_RETRY_S))
        }
        AnswerState::Running(payment) => Ok(Committed::Wait(payment)),
    }
}
