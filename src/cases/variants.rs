//! Cases about callbacks as they come in life: again, at once, out of order, from strangers, from a later version.

use serde_json::{Value, json};

use super::catalogue::Fault;
use super::judge::{forgery, genuine};
use super::run::{Finding, Notes, Said, Weight};
use super::shop::{Message, Seal, Shop};
use super::stage::Stage;
use crate::callbacks::signature::TOLERANCE;
use crate::domain::event::EventType;
use crate::domain::ids::EventId;
use crate::domain::time::Timestamp;

/// Nearly as much metadata as the API takes in a body: so many entries, and so many characters of three bytes in each.
const LARGE_ENTRIES: usize = 42;
const LARGE_ENTRY_CHARS: usize = 500;
/// What a shop cannot do without: paid orders. The rest it should know of.
const NEEDED: [(EventType, Weight); 4] = [
    (EventType::PaymentPaid, Weight::Fail),
    (EventType::PaymentLate, Weight::Look),
    (EventType::RefundSucceeded, Weight::Look),
    (EventType::RefundFailed, Weight::Look),
];

fn fresh(stage: &Stage) -> (EventId, Timestamp) {
    let now = stage.gateway.env.now();
    (EventId::new(now, stage.gateway.env.random()), now)
}

pub fn endpoint(shop: &Shop, notes: &mut Notes) {
    if shop.targets.is_empty() {
        notes.find(Finding { fault: Fault::NoEndpoint, weight: Weight::Fail, url: None, seen: None });
        return;
    }
    for (kind, weight) in NEEDED {
        let wants = |events: &std::collections::BTreeSet<EventType>| events.is_empty() || events.contains(&kind);
        if !shop.targets.iter().any(|target| wants(&target.endpoint.events)) {
            let seen = Said::new(format!("缺少 {}。", kind.code()), format!("Missing: {}.", kind.code()));
            notes.find(Finding { fault: Fault::EventNotWanted, weight, url: None, seen: Some(seen) });
        }
    }
}

pub fn delivery(shop: &Shop, notes: &mut Notes) {
    notes.payment(shop.sample.payment);
    if shop.targets.is_empty() {
        notes.find(Finding { fault: Fault::NoEndpoint, weight: Weight::Fail, url: None, seen: None });
    }
    shop.plain.iter().cloned().for_each(|finding| notes.find(finding));
}

pub async fn repeated(stage: &Stage, shop: &Shop, notes: &mut Notes) {
    for target in shop.judged(notes) {
        for _ in 0..2 {
            let now = stage.gateway.env.now();
            let told = target.tell(stage, Message::new(shop.sample.paid, shop.sample.paid_body.clone(), now)).await;
            genuine(&told, Some(Fault::RepeatRefused)).into_iter().for_each(|finding| notes.find(finding));
        }
    }
}

pub async fn parallel(stage: &Stage, shop: &Shop, notes: &mut Notes) {
    for target in shop.judged(notes) {
        let (id, now) = fresh(stage);
        let tell = || target.tell(stage, Message::new(id, shop.sample.paid_body.clone(), now));
        let (first, second, third) = tokio::join!(tell(), tell(), tell());
        for told in [first, second, third] {
            genuine(&told, Some(Fault::ParallelRefused)).into_iter().for_each(|finding| notes.find(finding));
        }
    }
}

pub async fn reordered(stage: &Stage, shop: &Shop, notes: &mut Notes) {
    for target in shop.judged(notes) {
        // With an id of its own: the shop may have seen the real one before, and it is not repetition that is tried here.
        let (id, now) = fresh(stage);
        let told = target.tell(stage, Message::new(id, shop.sample.processing_body.clone(), now)).await;
        genuine(&told, Some(Fault::OrderRefused)).into_iter().for_each(|finding| notes.find(finding));
    }
}

pub async fn forged(stage: &Stage, shop: &Shop, notes: &mut Notes) {
    sealed_wrongly(stage, shop, notes, Seal::Foreign, Fault::ForgeryBelieved).await;
}

pub async fn unsigned(stage: &Stage, shop: &Shop, notes: &mut Notes) {
    sealed_wrongly(stage, shop, notes, Seal::Absent, Fault::UnsignedBelieved).await;
}

async fn sealed_wrongly(stage: &Stage, shop: &Shop, notes: &mut Notes, seal: Seal, believed: Fault) {
    for target in shop.judged(notes) {
        // With an id of its own: who has seen an id may answer 2xx without looking further.
        let (id, now) = fresh(stage);
        let message = Message { seal, ..Message::new(id, shop.sample.paid_body.clone(), now) };
        let told = target.tell(stage, message).await;
        forgery(&told, believed).into_iter().for_each(|finding| notes.find(finding));
    }
}

pub async fn tampered(stage: &Stage, shop: &Shop, notes: &mut Notes) {
    for target in shop.judged(notes) {
        let body = &shop.sample.paid_body;
        let other = changed(body, |event| event["data"]["payment"]["amount"]["value"] = json!("0.01"));
        let (id, now) = fresh(stage);
        let swapped_body = Message { swapped_body: Some(other), ..Message::new(id, body.clone(), now) };
        let (id, now) = fresh(stage);
        let (other_id, _) = fresh(stage);
        let swapped_id = Message { swapped_id: Some(other_id), ..Message::new(id, body.clone(), now) };
        for message in [swapped_body, swapped_id] {
            let told = target.tell(stage, message).await;
            forgery(&told, Fault::TamperedBelieved).into_iter().for_each(|finding| notes.find(finding));
        }
    }
}

pub async fn stale(stage: &Stage, shop: &Shop, notes: &mut Notes) {
    for target in shop.judged(notes) {
        let (id, now) = fresh(stage);
        let long_ago = now.minus(TOLERANCE).minus(TOLERANCE);
        let told = target.tell(stage, Message::new(id, shop.sample.paid_body.clone(), long_ago)).await;
        forgery(&told, Fault::StaleBelieved).into_iter().for_each(|finding| notes.find(finding));
    }
}

pub async fn unknown_event(stage: &Stage, shop: &Shop, notes: &mut Notes) {
    let body = |now: Timestamp| json!({"type": "coffer.something_new", "timestamp": now.to_rfc3339(), "data": {"something_new": {"id": "new_1"}}});
    for target in shop.judged(notes) {
        let (id, now) = fresh(stage);
        let told = target.tell(stage, Message::new(id, body(now).to_string().into_bytes(), now)).await;
        genuine(&told, Some(Fault::UnknownEventRefused)).into_iter().for_each(|finding| notes.find(finding));
    }
}

pub async fn unknown_fields(stage: &Stage, shop: &Shop, notes: &mut Notes) {
    let body = changed(&shop.sample.paid_body, |event| {
        event["something_new"] = json!({"nested": [1, null, true]});
        event["data"]["payment"]["something_new"] = json!("钱匣");
        event["data"]["something_new"] = Value::Null;
    });
    took(stage, shop, notes, body, Fault::UnknownFieldsRefused).await;
}

pub async fn large(stage: &Stage, shop: &Shop, notes: &mut Notes) {
    let body = changed(&shop.sample.paid_body, |event| {
        let metadata = (0..LARGE_ENTRIES).map(|n| (format!("note_{n}"), json!("钱".repeat(LARGE_ENTRY_CHARS))));
        event["data"]["payment"]["metadata"] = Value::Object(metadata.collect());
    });
    took(stage, shop, notes, body, Fault::LargeRefused).await;
}

/// Sends a message that has to be taken.
async fn took(stage: &Stage, shop: &Shop, notes: &mut Notes, body: Vec<u8>, refused: Fault) {
    for target in shop.judged(notes) {
        let (id, now) = fresh(stage);
        let told = target.tell(stage, Message::new(id, body.clone(), now)).await;
        genuine(&told, Some(refused)).into_iter().for_each(|finding| notes.find(finding));
    }
}

/// An event with something else in it.
fn changed(body: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut event: Value = serde_json::from_slice(body).expect("we wrote it");
    change(&mut event);
    event.to_string().into_bytes()
}
