//! Callbacks from Coffer: verified over the raw bytes, heard once each, and answered before anything slow is done.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::order::{How, PaymentTold, RefundTold};
use super::{Shop, update};
use crate::callbacks::signature::{ReceivedHeaders, verify};
use crate::store::tables::SHOP_BY_PAYMENT;
use crate::store::{Read, StoreError, WriteTx};

#[derive(Deserialize)]
struct Body {
    r#type: String,
    data: Data,
}

/// Other kinds of objects are none of the shop's business.
#[derive(Deserialize)]
struct Data {
    payment: Option<PaymentTold>,
    refund: Option<RefundTold>,
}

pub(super) async fn receive(request: HttpRequest, body: web::Bytes, shop: web::Data<Shop>) -> HttpResponse {
    let shop = &shop.0;
    let now = shop.env.now();
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let id = header("webhook-id");
    let headers =
        ReceivedHeaders { id, timestamp: header("webhook-timestamp"), signature: header("webhook-signature") };
    if verify(&shop.settings.callback_secret, headers, &body, now).is_err() {
        return HttpResponse::Unauthorized().finish();
    }
    let Ok(Body { r#type: kind, data }) = serde_json::from_slice(&body) else {
        return HttpResponse::BadRequest().finish();
    };
    let how = How::Callback { id: id.to_owned(), kind };
    let stored = shop.store.write(move |tx| hear(tx, &data, &how, now)).await;
    match stored {
        // Also for orders of others: they were heard, and need not come again.
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(error) => {
            tracing::warn!("the demo's shop could not store a callback: {error}");
            HttpResponse::ServiceUnavailable().finish()
        }
    }
}

fn hear(tx: &mut WriteTx<'_>, data: &Data, how: &How, now: crate::domain::time::Timestamp) -> Result<(), StoreError> {
    if let Some(told) = &data.payment {
        update(tx, &told.order_id, |order| order.hear_payment(told, how.clone(), now))?;
    }
    if let Some(told) = &data.refund
        && let Some(number) = tx.get(&SHOP_BY_PAYMENT, &told.payment)?
    {
        update(tx, &number, |order| order.hear_refund(told, how.clone(), now))?;
    }
    Ok(())
}
