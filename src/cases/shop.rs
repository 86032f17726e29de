//! The shop as Coffer meets it: its callback addresses in test mode, what it answers to a message of ours, and what it
//! answered to real callbacks. Messages of ours go out as callbacks do, with the same limits, and are kept nowhere but in
//! the report.

use super::catalogue::{Code, Fault};
use super::judge;
use super::run::{Finding, Notes, Said, Weight};
use super::stage::{Play, Stage, Trouble};
use crate::callbacks::breaker::State as Breaker;
use crate::callbacks::{SigningSecrets, Transcript, Trigger, WebhookSecret, attempt, build_request};
use crate::domain::endpoint::{DeliveryState, ENDPOINTS_MAX, Endpoint, EndpointState};
use crate::domain::event::EventType;
use crate::domain::ids::{EndpointId, EventId, PaymentId};
use crate::domain::payment::PaymentState;
use crate::domain::time::{Duration, Timestamp};
use crate::env::transport::{Limits, OutgoingRequest};
use crate::flows::deliveries;
use crate::flows::{FlowError, events};
use crate::store::tables::{DELIVERIES, DELIVERY_ATTEMPTS, ENDPOINTS};
use crate::store::{Order, Read, Span, StoreError};

/// How long a real callback may take to be sent and answered: its own limit, and a little for the queue.
const DELIVERY_MAX: Duration = Duration::from_seconds(20);
/// Between two looks at what was delivered.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// One address of the shop.
#[derive(Clone)]
pub struct Target {
    pub url: String,
    pub endpoint: Endpoint,
    secrets: SigningSecrets,
    /// It takes a plain callback; only then do other answers mean anything.
    pub well: bool,
}

/// A payment that was paid in this run, to tell about.
pub struct Sample {
    pub payment: PaymentId,
    /// Its `payment.paid`.
    pub paid: EventId,
    pub paid_body: Vec<u8>,
    /// Its `payment.processing`, which is older.
    pub processing_body: Vec<u8>,
}

/// All addresses, and what there is to tell them.
pub struct Shop {
    pub targets: Vec<Target>,
    pub sample: Sample,
    /// What plain callbacks brought to light.
    pub plain: Vec<Finding>,
}

/// How a message is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    Right,
    /// By a secret that the shop does not have.
    Foreign,
    Absent,
}

/// A message to the shop.
#[derive(Clone)]
pub struct Message {
    pub id: EventId,
    pub body: Vec<u8>,
    pub seal: Seal,
    /// When it claims to be sent.
    pub at: Timestamp,
    /// The body or the id that is sent instead of what was signed.
    pub swapped_body: Option<Vec<u8>>,
    pub swapped_id: Option<EventId>,
}

impl Shop {
    /// Finds the addresses, pays an order, and looks how each takes its `payment.paid`: the real callback, or where none is
    /// sent (the address does not want it, or rests after failures) one of ours.
    pub async fn meet(stage: &Stage) -> Result<Shop, Trouble> {
        let mut targets = targets(stage).await?;
        let sample = Sample::make(stage).await?;
        let mut plain = Vec::new();
        for target in &mut targets {
            let heard = first_heard(stage, sample.paid, &target.url).await?;
            let (rests, transcript) = match heard {
                Some(Heard { transcript: Some(transcript), .. }) => (None, transcript),
                other => {
                    let message = Message::new(sample.paid, sample.paid_body.clone(), stage.gateway.env.now());
                    (other.map(|heard| heard.endpoint), target.tell(stage, message).await)
                }
            };
            target.well = transcript.outcome.is_delivered();
            plain.extend(judge::genuine(&transcript, None));
            if let Some(endpoint) = rests.filter(|_| target.well) {
                stage.wake(endpoint).await?;
            }
        }
        Ok(Shop { targets, sample, plain })
    }

    /// Addresses whose other answers mean something. Why the rest is left out goes to the notes.
    pub fn judged<'a>(&'a self, notes: &mut Notes) -> Vec<&'a Target> {
        self.note_unwell(notes);
        self.targets.iter().filter(|target| target.well).collect()
    }

    fn note_unwell(&self, notes: &mut Notes) {
        if self.targets.is_empty() {
            notes.skip(Said::new(
                "没有回调地址，网店的一侧没有检查。",
                "There is no callback address, so the shop's side was not checked.",
            ));
        } else if let Some(unwell) = self.targets.iter().find(|target| !target.well) {
            notes.skip(Said::new(
                format!("{} 连普通回调都不接受（见 delivery），没有进一步检查。", unwell.url),
                format!(
                    "{} takes not even a plain callback (see delivery), so it was not checked further.",
                    unwell.url
                ),
            ));
        }
    }

    /// Waits for the real callbacks about a payment, and judges what the shop answered to each.
    pub async fn hear(&self, stage: &Stage, payment: PaymentId, notes: &mut Notes) -> Result<(), Trouble> {
        notes.payment(payment);
        self.note_unwell(notes);
        let well = |url: &str| self.targets.iter().any(|target| target.well && target.url == url);
        let told: Vec<EventId> = stage.events(payment).await?.into_iter().map(|(id, _)| id).collect();
        let env = &stage.gateway.env;
        let since = env.clock.monotonic_ms();
        loop {
            let mut waiting = Vec::new();
            for heard in heard(stage, &told).await?.into_iter().filter(|heard| well(&heard.url)) {
                match heard.transcript {
                    Some(transcript) => judge::genuine(&transcript, None).into_iter().for_each(|it| notes.find(it)),
                    None => waiting.push((heard.url, heard.paused)),
                }
            }
            let over = env.clock.monotonic_ms().saturating_sub(since) >= DELIVERY_MAX.as_millis();
            if over || waiting.iter().all(|(_, paused)| *paused) {
                for (url, paused) in waiting {
                    let fault = if paused { Fault::Paused } else { Fault::NotDelivered };
                    notes.find(Finding { fault, weight: Weight::Fail, url: Some(url), seen: None });
                }
                return Ok(());
            }
            env.sleep(LOOK_EVERY).await;
        }
    }
}

impl Sample {
    async fn make(stage: &Stage) -> Result<Sample, Trouble> {
        let (payment, attempt) = stage.charge(Code::Delivery).await?;
        stage.play(attempt, Play::Pay).await?;
        stage.until(payment, |payment, _| payment.state == PaymentState::Paid).await?;
        let told = stage.events(payment).await?;
        let of = |wanted| told.iter().find(|(_, kind)| *kind == wanted).map(|(id, _)| *id).ok_or(Trouble::Stuck);
        let (paid, processing) = (of(EventType::PaymentPaid)?, of(EventType::PaymentProcessing)?);
        Ok(Sample {
            payment,
            paid,
            paid_body: body_of(stage, paid).await?,
            processing_body: body_of(stage, processing).await?,
        })
    }
}

async fn body_of(stage: &Stage, id: EventId) -> Result<Vec<u8>, Trouble> {
    let scope = stage.scope;
    let event = stage.gateway.store.read(move |tx| events::event(tx, scope, id)).await?.ok_or(Trouble::Stuck)?;
    Ok((stage.gateway.render_event)(&stage.gateway, scope, &event))
}

/// The real callback about an event to one address: waits until it was sent, rests, or is over time. None where it is not
/// sent at all.
async fn first_heard(stage: &Stage, event: EventId, url: &str) -> Result<Option<Heard>, Trouble> {
    let env = &stage.gateway.env;
    let since = env.clock.monotonic_ms();
    loop {
        let found = heard(stage, &[event]).await?.into_iter().find(|heard| heard.url == url);
        let over = env.clock.monotonic_ms().saturating_sub(since) >= DELIVERY_MAX.as_millis();
        match found {
            Some(Heard { transcript: None, paused: false, .. }) if !over => env.sleep(LOOK_EVERY).await,
            found => return Ok(found),
        }
    }
}

/// What became of one real callback.
struct Heard {
    url: String,
    endpoint: EndpointId,
    /// Of its first attempt.
    transcript: Option<Transcript>,
    /// Its address rests after failures.
    paused: bool,
}

async fn heard(stage: &Stage, events: &[EventId]) -> Result<Vec<Heard>, Trouble> {
    let (scope, now) = (stage.scope, stage.gateway.env.now());
    let ids = events.to_vec();
    let read = stage.gateway.store.read(move |tx| {
        let mut found = Vec::new();
        for id in ids {
            let rows = tx.scan(&DELIVERIES, &Span::prefix(&(scope, id)), Order::Ascending, ENDPOINTS_MAX + 1)?;
            for ((_, _, to), delivery) in rows {
                let Some(endpoint) = deliveries::endpoint(tx, scope, to)? else { continue };
                let first = tx.get(&DELIVERY_ATTEMPTS, &(scope, id, to, 1))?;
                let paused = match endpoint.breaker.state(now) {
                    Breaker::Closed | Breaker::HalfOpen => delivery.state == DeliveryState::Held,
                    Breaker::Open { .. } | Breaker::Disabled(_) => true,
                };
                found.push(Heard {
                    url: delivery.url.unwrap_or(endpoint.url),
                    endpoint: to,
                    transcript: first.map(|first| first.transcript),
                    paused,
                });
            }
        }
        Ok::<_, StoreError>(found)
    });
    Ok(read.await?)
}

/// The addresses that the run's callbacks go to.
async fn targets(stage: &Stage) -> Result<Vec<Target>, Trouble> {
    let (gateway, scope, now) = (stage.gateway.clone(), stage.scope, stage.gateway.env.now());
    let named = stage.callback_url().map(|url| Endpoint::implicit(EndpointId::new(now, [0; 10]), url.to_owned(), now));
    let read = stage.gateway.store.read(move |tx| {
        let rows = tx.scan(&ENDPOINTS, &Span::prefix(&scope), Order::Ascending, ENDPOINTS_MAX)?;
        let own = rows.into_iter().map(|(_, endpoint)| endpoint);
        let mut targets = Vec::new();
        for endpoint in own.chain(named.clone()).filter(|endpoint| endpoint.state == EndpointState::Enabled) {
            let secrets = deliveries::secrets(&gateway, tx, scope, &endpoint, now)?;
            targets.push(Target { url: endpoint.url.clone(), endpoint, secrets, well: false });
        }
        Ok::<_, FlowError>(targets)
    });
    Ok(read.await?)
}

impl Message {
    pub fn new(id: EventId, body: Vec<u8>, at: Timestamp) -> Self {
        Self { id, body, seal: Seal::Right, at, swapped_body: None, swapped_id: None }
    }
}

impl Target {
    /// Sends a message as a callback is sent, and writes down what came back.
    pub async fn tell(&self, stage: &Stage, message: Message) -> Transcript {
        let gateway = &stage.gateway;
        let request = self.sealed(stage, message);
        let (transport, clock) = (gateway.transport.as_ref(), gateway.env.clock.as_ref());
        attempt(transport, clock, request, Trigger::Test, &gateway.settings.callbacks, Limits::default()).await
    }

    fn sealed(&self, stage: &Stage, message: Message) -> OutgoingRequest {
        let Message { id, body, seal, at, swapped_body, swapped_id } = message;
        let foreign;
        let secrets = match seal {
            Seal::Right | Seal::Absent => &self.secrets,
            Seal::Foreign => {
                foreign = SigningSecrets::from(WebhookSecret::generate(stage.gateway.env.entropy.as_ref()));
                &foreign
            }
        };
        let mut request = build_request(id, body, &self.url, secrets, at);
        if seal == Seal::Absent {
            request.headers.retain(|(name, _)| name != "webhook-signature");
        }
        if let Some(swapped) = swapped_id {
            for (_, value) in request.headers.iter_mut().filter(|(name, _)| name == "webhook-id") {
                *value = swapped.to_string();
            }
        }
        if let Some(swapped) = swapped_body {
            request.body = swapped;
        }
        request
    }
}
