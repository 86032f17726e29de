//! Messages from providers: `POST /notify/{account}`. Verified over the raw bytes with the key of the account they claim.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::channels::hurry::NamedBy;
use crate::channels::registry::OpenAccount;
use crate::channels::{Acknowledgement, ChannelError, Inbound};
use crate::crypto::Secret;
use crate::domain::ids::AccountId;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::flows::gateway::Gateway;
use crate::flows::{runner, unbelieved};
use crate::web::address_of;

/// No provider's notification comes near it.
const BODY_MAX: usize = 64 * 1024;

pub fn routes(config: &mut web::ServiceConfig) {
    config.service(
        web::resource("/notify/{account}").app_data(web::PayloadConfig::new(BODY_MAX)).route(web::post().to(receive)),
    );
}

/// The answer reveals nothing: what is not believed and what names nothing of ours look the same. Both leave a trace.
async fn receive(
    gateway: web::Data<Gateway>,
    account: web::Path<String>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    let open = account.parse::<AccountId>().ok().and_then(|id| gateway.channels.get(id));
    let Some(open) = open else { return HttpResponse::NotFound().finish() };
    let headers: Vec<(String, String)> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let message = Inbound { headers: &headers, body: &body };
    let stored = match open.channel.read_notification(&message, gateway.env.now()) {
        Ok(notification) => match runner::notified(&gateway, &open, notification).await {
            Ok(true) => true,
            Ok(false) => {
                refused(&gateway, &open, &request, &message, Trouble::new(TroubleKind::Stranger, "")).await;
                false
            }
            Err(error) => {
                tracing::error!(account = %open.account.id, "a notification could not be stored: {error}");
                return reply(open.channel.acknowledge(false), StatusCode::SERVICE_UNAVAILABLE);
            }
        },
        // Expected now and then, and refused as it should be: nobody has to be woken.
        Err(error @ ChannelError::Probe) => {
            tracing::debug!(account = %open.account.id, "a notification was refused: {error}");
            false
        }
        Err(error) => {
            tracing::warn!(account = %open.account.id, "a notification was not believed: {error}");
            gateway.note_unread(&open.account, &error, NamedBy::Message).await;
            refused(&gateway, &open, &request, &message, error.trouble()).await;
            false
        }
    };
    let otherwise = if stored { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    reply(open.channel.acknowledge(stored), otherwise)
}

/// Leaves a trace of a message that was not believed.
async fn refused(gateway: &Gateway, open: &OpenAccount, request: &HttpRequest, message: &Inbound<'_>, why: Trouble) {
    let opened = open.channel.opened(message);
    let names = opened.as_ref().map_or(message.body, Secret::expose);
    let from = address_of(request);
    unbelieved::note(gateway, &open.account, why, Some(from), names).await;
}

fn reply(acknowledgement: Acknowledgement, otherwise: StatusCode) -> HttpResponse {
    let status = StatusCode::from_u16(acknowledgement.status).unwrap_or(otherwise);
    HttpResponse::build(status).content_type(acknowledgement.content_type).body(acknowledgement.body)
}
