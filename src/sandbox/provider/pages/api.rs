//! The boards and the phone as JSON, for scripts and tests: `/sim/api/…`. Bodies are JSON, which other sites' forms cannot
//! send.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::board::SKIP_MAX;
use crate::domain::time::Duration;
use crate::sandbox::provider::World;
use crate::sandbox::provider::fault::{Fault, Faults};
use crate::sandbox::provider::model::{Deed, Order, Refusal};
use crate::sandbox::provider::records::Mood;
use crate::store::StoreError;

pub(super) fn routes(scope: &mut web::ServiceConfig) {
    scope
        .route("/api/faults/{provider}", web::get().to(faults))
        .route("/api/faults/{provider}", web::put().to(set_faults))
        .route("/api/clock", web::get().to(clock))
        .route("/api/clock", web::post().to(skip))
        .route("/api/pay", web::post().to(pay))
        .route("/api/payer-codes", web::post().to(payer_code));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultsBody {
    faults: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SkipBody {
    seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PayBody {
    /// What a phone would scan, or what the merchant's page would hand to the wallet.
    code: String,
    #[serde(default = "pay_word")]
    r#do: String,
}

fn pay_word() -> String {
    Deed::Pay.code().to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PayerCodeBody {
    provider: String,
    #[serde(default = "pays_word")]
    mood: String,
}

fn pays_word() -> String {
    Mood::Pays.code().to_owned()
}

/// Reads a body; otherwise status and message of the refusal.
fn read<T: for<'a> Deserialize<'a>>(request: &HttpRequest, body: &[u8]) -> Result<T, (u16, String)> {
    let json = request.headers().get("content-type").and_then(|kind| kind.to_str().ok());
    if !json.is_some_and(|kind| kind.starts_with("application/json")) {
        return Err((415, "send application/json".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| (400, error.to_string()))
}

fn refused(status: u16, message: &str) -> HttpResponse {
    let status = actix_web::http::StatusCode::from_u16(status).expect("a status of ours");
    HttpResponse::build(status).json(json!({ "message": message }))
}

fn unavailable(error: &StoreError) -> HttpResponse {
    tracing::warn!("a simulator's page could not reach the store: {error}");
    refused(503, "try again")
}

async fn faults(provider: web::Path<String>, world: web::Data<World>) -> HttpResponse {
    let Some(dialect) = world.dialect(&provider) else { return refused(404, "no such provider") };
    let board = match world.board(dialect.name()).await {
        Ok(board) => board,
        Err(error) => return unavailable(&error),
    };
    let fault = |fault: &Fault| {
        let (text, on) = (fault.text(), board.faults.has(*fault));
        json!({ "code": fault.code(), "on": on, "zh": text.zh, "en": text.en })
    };
    HttpResponse::Ok().json(json!({ "faults": dialect.facts().faults.iter().map(fault).collect::<Vec<Value>>() }))
}

async fn set_faults(
    request: HttpRequest,
    provider: web::Path<String>,
    body: web::Bytes,
    world: web::Data<World>,
) -> HttpResponse {
    let Some(dialect) = world.dialect(&provider) else { return refused(404, "no such provider") };
    let body: FaultsBody = match read(&request, &body) {
        Ok(body) => body,
        Err((status, message)) => return refused(status, &message),
    };
    let mut faults = Faults::NONE;
    for code in &body.faults {
        match Fault::parse(code).filter(|fault| dialect.facts().faults.contains(fault)) {
            Some(fault) => faults = faults.with(fault),
            None => return refused(400, &format!("{code} is not a fault of this provider")),
        }
    }
    match world.set_faults(dialect.name(), faults).await {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(error) => unavailable(&error),
    }
}

async fn clock(world: web::Data<World>) -> HttpResponse {
    match world.now().await {
        Ok(now) => HttpResponse::Ok().json(json!({ "now": now.to_rfc3339(), "real": world.wire_now().to_rfc3339() })),
        Err(error) => unavailable(&error),
    }
}

async fn skip(request: HttpRequest, body: web::Bytes, world: web::Data<World>) -> HttpResponse {
    let SkipBody { seconds } = match read(&request, &body) {
        Ok(body) => body,
        Err((status, message)) => return refused(status, &message),
    };
    let ahead = Duration::from_seconds(seconds);
    if ahead > SKIP_MAX {
        return refused(400, "that is too far ahead");
    }
    match world.skip(ahead).await {
        Ok(()) => clock(world).await,
        Err(error) => unavailable(&error),
    }
}

async fn pay(request: HttpRequest, body: web::Bytes, world: web::Data<World>) -> HttpResponse {
    let body: PayBody = match read(&request, &body) {
        Ok(body) => body,
        Err((status, message)) => return refused(status, &message),
    };
    let Some(deed) = Deed::parse(&body.r#do) else { return refused(400, "no such deed") };
    let done = match world.find(body.code.trim()).await {
        Ok(Some((dialect, code))) => world.act(&dialect, code, deed).await,
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    };
    match done {
        Ok(Some(Ok(order))) => HttpResponse::Ok().json(view(&order)),
        Ok(Some(Err(why))) => refused(409, reason(why)),
        Ok(None) => refused(404, "no order has this code"),
        Err(error) => unavailable(&error),
    }
}

async fn payer_code(request: HttpRequest, body: web::Bytes, world: web::Data<World>) -> HttpResponse {
    let body: PayerCodeBody = match read(&request, &body) {
        Ok(body) => body,
        Err((status, message)) => return refused(status, &message),
    };
    let Some(dialect) = world.dialect(&body.provider) else { return refused(404, "no such provider") };
    let Some(mood) = Mood::parse(&body.mood) else { return refused(400, "no such mood") };
    match world.show_code(&dialect, mood).await {
        Ok(code) => HttpResponse::Ok().json(json!({ "code": code })),
        Err(error) => unavailable(&error),
    }
}

fn view(order: &Order) -> Value {
    json!({
        "merchant": order.asked.merchant,
        "number": order.asked.number,
        "amount_minor": order.asked.amount.minor(),
        "state": format!("{:?}", order.state),
        "transaction_id": order.received.as_ref().map(|received| received.transaction_id.as_str()),
    })
}

fn reason(why: Refusal) -> &'static str {
    match why {
        Refusal::Paid => "the order is paid already",
        Refusal::Closed => "the order or its code is not valid any more",
        Refusal::Paying => "the payer is typing the password",
        Refusal::UnknownOrder
        | Refusal::UnknownRefund
        | Refusal::NotPaid
        | Refusal::OrderNumberUsed
        | Refusal::RefundNumberUsed
        | Refusal::TooMuch
        | Refusal::BalanceShort
        | Refusal::TooManyRefunds
        | Refusal::TooSoon
        | Refusal::TooLate
        | Refusal::RefundState => "the order does not allow it",
    }
}
