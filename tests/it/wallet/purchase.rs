//! The whole story over real HTTP: the shop, the API, the cashier, the phone, the books, the callback, the refund.

use coffer::domain::payment::PaymentState;
use coffer::env::transport::{Method as Verb, OutgoingResponse};
use coffer::sandbox::shop::order::{ShopOrder, Status};
use coffer::sandbox::wallet::fault::{Fault, Faults};

use super::site::Site;

impl Site {
    /// Where an answer sends the browser, as an absolute address.
    fn follow(&self, answer: &OutgoingResponse) -> String {
        assert_eq!(answer.status, 303, "{}", String::from_utf8_lossy(&answer.body));
        let location = answer.header("location").unwrap();
        if location.starts_with('/') { format!("{}{location}", self.base) } else { location.to_owned() }
    }

    async fn submit(&self, url: &str, form: &str) -> OutgoingResponse {
        self.send(Verb::Post, url, &[("content-type", "application/x-www-form-urlencoded")], form).await
    }

    /// Puts two mugs into the basket and chooses Alipay at the cashier; the phone page's address.
    async fn go_to_the_phone(&self) -> String {
        let bought = self.submit(&format!("{}/shop/buy", self.base), "item=mist-mug&pieces=2").await;
        let cashier = self.follow(&bought);
        assert!(self.get(&cashier).await.contains("118.00"));
        let chosen = self.submit(&format!("{cashier}/method"), "method=alipay_qr").await;
        let shown = self.get(&self.follow(&chosen)).await;
        let phone = shown.split('"').find(|part| part.contains("/sandbox/wallet/pay/"));
        phone.expect("the cashier links to the test phone").to_owned()
    }

    async fn refund(&self, order: &ShopOrder, body: &str) -> OutgoingResponse {
        let payment = order.payment.as_deref().unwrap();
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        self.send(Verb::Post, &format!("{}/v1/payments/{payment}/refunds", self.base), &headers, body).await
    }
}

#[tokio::test]
async fn a_mug_is_bought_paid_called_back_and_refunded() {
    let site = Site::open().await;
    let phone = site.go_to_the_phone().await;
    assert_eq!(site.tap(&phone, "do=pay").await, 303);
    let order = site.until_shop(|order| order.status == Status::Paid).await;
    let page = site.get(&format!("{}/shop/orders/{}?lang=en", site.base, order.number)).await;
    assert!(page.contains("Paid. Thank you!") && page.contains("Callback payment.paid"), "{page}");

    let part = r#"{"amount":{"currency":"CNY","value":"18.00"},"refund_id":"R1"}"#;
    assert_eq!(site.refund(&order, part).await.status, 201);
    site.until_shop(|order| order.refunded_minor == 1800).await;
    let rest = site.refund(&order, r#"{"refund_id":"R2"}"#).await;
    assert_eq!(rest.status, 201);
    let order = site.until_shop(ShopOrder::fully_refunded).await;
    assert_eq!(order.status, Status::Paid, "refunds never change paid");
    let more = site.refund(&order, r#"{"refund_id":"R3"}"#).await;
    assert!((400..500).contains(&more.status), "nothing is left: {}", more.status);
    site.close().await;
}

#[tokio::test]
async fn a_provider_that_misbehaves_costs_the_shop_nothing() {
    let site = Site::open().await;
    for fault in [Fault::DoubleNotification, Fault::ForgeNotification] {
        site.house.wallet.set_standing_faults(Faults::NONE.with(fault)).await.unwrap();
        let (id, _, phone) = site.charge(fault.code()).await;
        assert_eq!(site.tap(&phone, "do=pay").await, 303);
        let paid = site.until_state(id, PaymentState::Paid).await;
        assert_eq!(paid.amount_paid().minor(), 1230, "{fault:?}");
    }
    assert!(site.cases().await.is_empty());
    site.close().await;
}

#[tokio::test]
async fn a_refund_whose_answer_is_lost_is_carried_out_once_and_learned_from_the_notification() {
    let site = Site::open().await;
    let phone = site.go_to_the_phone().await;
    assert_eq!(site.tap(&phone, "do=pay").await, 303);
    let order = site.until_shop(|order| order.status == Status::Paid).await;
    assert_eq!(site.tap(&format!("{phone}/faults"), "fault=answer_error_after_doing").await, 303);
    assert_eq!(site.refund(&order, "{}").await.status, 201);
    site.until_shop(ShopOrder::fully_refunded).await;
    site.close().await;
}
