//! The shop's side of the API: create a payment, ask about it. Plain HTTP with a bearer key, as any shop would.

use serde::Deserialize;
use serde_json::json;

use super::order::{PaymentTold, ShopOrder};
use super::{Inner, PATH, goods};
use crate::env::transport::{Limits, Method, OutgoingRequest};

/// The part of a problem (RFC 9457) that is shown.
#[derive(Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
}

impl Inner {
    /// Where the customer comes back to, whatever happened.
    pub(super) fn order_url(&self, number: &str) -> String {
        format!("{}{PATH}/orders/{number}", self.settings.shop_url)
    }

    /// Asks for a payment. Asking again for the same order answers the same payment. `Err` is a sentence for the customer.
    pub(super) async fn create_payment(&self, order: &ShopOrder) -> Result<PaymentTold, String> {
        let name = goods::Item::find(&order.item).map_or(order.item.as_str(), |item| item.name.get(order.lang));
        let back = self.order_url(&order.number);
        let mut body = json!({
            "amount": { "currency": order.amount.currency().code(), "value": order.amount.to_decimal() },
            "order_id": order.number,
            "description": format!("{name} × {}", order.pieces),
            "return_url": back,
            "cancel_url": back,
            "customer": { "locale": order.lang.tag() },
            "metadata": { "item": order.item, "pieces": order.pieces.to_string() },
        });
        if let Some(base) = &self.settings.callback_base {
            body["callback_url"] = format!("{base}{PATH}/callback").into();
        }
        self.call(Method::Post, "/v1/payments", Some((&order.number, body.to_string())), order).await
    }

    /// Asks how a payment stands.
    pub(super) async fn ask(&self, order: &ShopOrder, payment: &str) -> Result<PaymentTold, String> {
        self.call(Method::Get, &format!("/v1/payments/{payment}"), None, order).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, String)>,
        order: &ShopOrder,
    ) -> Result<PaymentTold, String> {
        let key = self.settings.api_key.expose_str().unwrap_or_default();
        let mut headers = vec![
            ("authorization".to_owned(), format!("Bearer {key}")),
            ("accept".to_owned(), "application/json".to_owned()),
            ("accept-language".to_owned(), order.lang.tag().to_owned()),
            ("user-agent".to_owned(), concat!("coffer-demo-shop/", env!("CARGO_PKG_VERSION")).to_owned()),
        ];
        let body = match body {
            Some((idempotency_key, body)) => {
                headers.push(("content-type".to_owned(), "application/json".to_owned()));
                headers.push(("idempotency-key".to_owned(), idempotency_key.to_owned()));
                body.into_bytes()
            }
            None => Vec::new(),
        };
        let request =
            OutgoingRequest { method, url: format!("{}{path}", self.settings.api_url), headers, body, identity: None };
        let answer = self.transport.send(request, &self.settings.policy, Limits::default()).await;
        let answer = answer.map_err(|error| error.sentence(order.lang))?;
        if !(200..300).contains(&answer.status) {
            let problem = serde_json::from_slice(&answer.body).unwrap_or(Problem { title: None, detail: None });
            let words = problem.detail.or(problem.title).unwrap_or_default();
            return Err(format!("HTTP {} {words}", answer.status));
        }
        serde_json::from_slice(&answer.body).map_err(|error| error.to_string())
    }
}
