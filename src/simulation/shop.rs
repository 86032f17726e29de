//! The shops: they take callbacks, check them as the standard says, and are down, slow, confused or gone.

use std::collections::BTreeMap;

use ring::hmac;
use serde_json::Value;

use super::dice::Dice;
use crate::domain::time::Timestamp;
use crate::env::transport::{ConnectFault, OutgoingRequest, Phase, SendError};

/// What a shop did with a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Status(u16),
    /// Busy, and come back after so many seconds.
    Later(u32),
    Failed(Failure),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Down,
    /// Took it and said nothing in time.
    Slow,
}

impl Failure {
    pub(super) fn error(self) -> SendError {
        match self {
            Failure::Down => SendError::Connect { fault: ConnectFault::Refused },
            Failure::Slow => SendError::Timeout { phase: Phase::Reply },
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    /// One in three goes wrong.
    Moody,
    Down,
    Slow,
    /// It moved and answers with a redirect.
    Moved,
    /// 410: never again.
    Gone,
}

impl Mood {
    pub(super) const ALL: [Mood; 6] = [Mood::Well, Mood::Moody, Mood::Down, Mood::Slow, Mood::Moved, Mood::Gone];
}

/// One address of a shop, which knows the secret that signs for it.
pub(super) struct Shop {
    pub(super) host: &'static str,
    secret: Vec<u8>,
    pub(super) mood: Mood,
    /// Bodies by event, with how often each was taken.
    pub(super) taken: BTreeMap<String, (Vec<u8>, u32)>,
    /// The shop's own books: version and status by order.
    pub(super) orders: BTreeMap<String, (u64, String)>,
}

impl Shop {
    pub(super) fn new(host: &'static str, secret: Vec<u8>, mood: Mood) -> Self {
        Self { host, secret, mood, taken: BTreeMap::new(), orders: BTreeMap::new() }
    }

    /// Takes a callback or not. An error is a broken promise of the gateway.
    pub(super) fn receive(
        &mut self,
        request: &OutgoingRequest,
        sent_at: Timestamp,
        dice: &mut Dice,
    ) -> Result<Answer, String> {
        let answer = match self.mood {
            Mood::Well => Answer::Status(dice.one_of([200, 200, 204])),
            Mood::Moody => dice.one_of([
                Answer::Status(200),
                Answer::Status(200),
                Answer::Status(200),
                Answer::Status(500),
                Answer::Failed(Failure::Slow),
                Answer::Later(90),
            ]),
            Mood::Down => dice.one_of([Answer::Failed(Failure::Down), Answer::Status(503)]),
            Mood::Slow => Answer::Failed(Failure::Slow),
            Mood::Moved => Answer::Status(302),
            Mood::Gone => Answer::Status(410),
        };
        if answer != Answer::Failed(Failure::Down) {
            self.check(request, sent_at)?;
        }
        if matches!(answer, Answer::Status(200 | 204) | Answer::Failed(Failure::Slow)) {
            self.take(request)?;
        }
        Ok(answer)
    }

    fn check(&self, request: &OutgoingRequest, sent_at: Timestamp) -> Result<(), String> {
        let id = header(request, "webhook-id")?;
        let time = header(request, "webhook-timestamp")?;
        let mut text = format!("{id}.{time}.").into_bytes();
        text.extend_from_slice(&request.body);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.secret);
        let signed = header(request, "webhook-signature")?.split(' ').any(|signature| {
            let code =
                signature.strip_prefix("v1,").and_then(|code| data_encoding::BASE64.decode(code.as_bytes()).ok());
            code.is_some_and(|code| hmac::verify(&key, &text, &code).is_ok())
        });
        if !signed {
            return Err(format!("callback {id} does not carry the shop's signature"));
        }
        if time != sent_at.as_seconds().to_string() {
            return Err(format!("callback {id} was signed for another time than it was sent at"));
        }
        match self.taken.get(id) {
            Some((body, _)) if *body != request.body => Err(format!("callback {id} came with two contents")),
            Some(_) | None => Ok(()),
        }
    }

    fn take(&mut self, request: &OutgoingRequest) -> Result<(), String> {
        let id = header(request, "webhook-id")?.to_owned();
        let body: Value = serde_json::from_slice(&request.body).map_err(|error| format!("callback {id}: {error}"))?;
        let payment = &body["data"]["payment"];
        if let (Some(order), Some(version), Some(status)) =
            (payment["order_id"].as_str(), payment["version"].as_u64(), payment["status"].as_str())
        {
            let known = self.orders.entry(order.to_owned()).or_default();
            // Callbacks come in any order: what is older than what is known says nothing.
            if version >= known.0 {
                *known = (version, status.to_owned());
            }
        }
        self.taken.entry(id).or_insert_with(|| (request.body.clone(), 0)).1 += 1;
        Ok(())
    }
}

fn header<'a>(request: &'a OutgoingRequest, name: &str) -> Result<&'a str, String> {
    let found = request.headers.iter().find(|(other, _)| other == name);
    found.map(|(_, value)| value.as_str()).ok_or_else(|| format!("a callback without {name}"))
}
