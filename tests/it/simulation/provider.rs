//! The provider of the simulation: written from the wire protocol alone, so that it agrees with ours only if both are right.
//! It outlives every crash of the gateway.

use std::collections::BTreeMap;

use coffer::channels::Sealing;
use coffer::channels::test_wallet::notification::NotificationBody;
use coffer::channels::test_wallet::request::{AmountBody, OrderBody, RefundBody};
use coffer::channels::test_wallet::response::{ErrorBody, OrderView, RefundView};
use coffer::channels::test_wallet::sign;
use coffer::domain::time::Timestamp;
use ring::signature::{Ed25519KeyPair, KeyPair};

pub const MCH: &str = "sim1";
pub const APP: &str = "app1";

pub struct Provider {
    key: Ed25519KeyPair,
    pub orders: BTreeMap<String, Order>,
    pub refunds: BTreeMap<String, Refund>,
    transactions: u64,
}

pub struct Order {
    pub asked: OrderBody,
    pub state: &'static str,
    /// Transaction, minor units, time.
    pub paid: Option<(String, u64, Timestamp)>,
    pub refunded: u64,
}

pub struct Refund {
    pub order: String,
    pub amount: AmountBody,
    pub status: &'static str,
    /// What it will become when it is asked about next.
    pub fate: &'static str,
}

impl Provider {
    pub fn new(seed: [u8; 32]) -> Self {
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        Self { key, orders: BTreeMap::new(), refunds: BTreeMap::new(), transactions: 0 }
    }

    pub fn public_key(&self) -> String {
        data_encoding::BASE64.encode(self.key.public_key().as_ref())
    }

    /// Carries a request out and answers status and body.
    pub fn serve(&mut self, path: &str, body: &[u8], fate: &'static str) -> (u16, Vec<u8>) {
        let parts: Vec<&str> = path.trim_start_matches("/sandbox/wallet/v1/").split('/').collect();
        match parts.as_slice() {
            ["orders"] => self.create(serde_json::from_slice(body).unwrap()),
            ["orders", number] => self.order_answer(number),
            ["orders", number, "close"] => self.close(number),
            ["refunds"] => self.refund(serde_json::from_slice(body).unwrap(), fate),
            ["refunds", number] => self.query_refund(number),
            _ => panic!("no such path: {path}"),
        }
    }

    pub fn headers(&self, body: &[u8], now: Timestamp) -> Vec<(String, String)> {
        let sealing = Sealing { now, nonce: [9; 16] };
        sign::provider_headers(&self.key, body, &sealing).map(|(name, value)| (name.to_owned(), value)).into()
    }

    fn create(&mut self, asked: OrderBody) -> (u16, Vec<u8>) {
        let number = asked.out_trade_no.clone();
        if let Some(order) = self.orders.get(&number) {
            return match order.state {
                "SUCCESS" => error(400, "ORDERPAID"),
                "CLOSED" => error(400, "ORDERCLOSED"),
                _ if order.asked == asked => self.order_answer(&number),
                _ => error(400, "OUT_TRADE_NO_USED"),
            };
        }
        self.orders.insert(number.clone(), Order { asked, state: "NOTPAY", paid: None, refunded: 0 });
        self.order_answer(&number)
    }

    fn order_answer(&self, number: &str) -> (u16, Vec<u8>) {
        match self.view(number) {
            Some(view) => (200, serde_json::to_vec(&view).unwrap()),
            None => error(404, "ORDER_NOT_EXIST"),
        }
    }

    fn view(&self, number: &str) -> Option<OrderView> {
        let order = self.orders.get(number)?;
        let total = order.paid.as_ref().map_or(order.asked.amount.total, |(_, total, _)| *total);
        Some(OrderView {
            mch_id: MCH.to_owned(),
            app_id: APP.to_owned(),
            out_trade_no: number.to_owned(),
            trade_state: order.state.to_owned(),
            amount: AmountBody { total, currency: order.asked.amount.currency.clone() },
            pay_url: Some(format!("https://wallet.example/{number}")),
            transaction_id: order.paid.as_ref().map(|(id, _, _)| id.clone()),
            success_time: order.paid.as_ref().map(|(_, _, at)| at.to_rfc3339()),
        })
    }

    fn close(&mut self, number: &str) -> (u16, Vec<u8>) {
        match self.orders.get_mut(number) {
            None => error(404, "ORDER_NOT_EXIST"),
            Some(order) if order.state == "SUCCESS" => error(400, "ORDERPAID"),
            Some(order) => {
                if order.state == "NOTPAY" {
                    order.state = "CLOSED";
                }
                self.order_answer(number)
            }
        }
    }

    fn refund(&mut self, asked: RefundBody, fate: &'static str) -> (u16, Vec<u8>) {
        if self.refunds.contains_key(&asked.out_refund_no) {
            return self.query_refund(&asked.out_refund_no);
        }
        let Some(order) = self.orders.get_mut(&asked.out_trade_no) else { return error(404, "ORDER_NOT_EXIST") };
        let paid = order.paid.as_ref().map_or(0, |(_, total, _)| *total);
        if order.refunded + asked.amount.refund > paid {
            return error(400, "NOT_ENOUGH");
        }
        order.refunded += asked.amount.refund;
        let amount = AmountBody { total: asked.amount.refund, currency: asked.amount.currency };
        let refund = Refund { order: asked.out_trade_no, amount, status: "PROCESSING", fate };
        self.refunds.insert(asked.out_refund_no.clone(), refund);
        self.refund_answer(&asked.out_refund_no)
    }

    fn query_refund(&mut self, number: &str) -> (u16, Vec<u8>) {
        let Some(refund) = self.refunds.get_mut(number) else { return error(404, "REFUND_NOT_EXIST") };
        if refund.status == "PROCESSING" {
            refund.status = refund.fate;
            if refund.status == "ABNORMAL" {
                self.orders.get_mut(&refund.order).unwrap().refunded -= refund.amount.total;
            }
        }
        self.refund_answer(number)
    }

    fn refund_answer(&self, number: &str) -> (u16, Vec<u8>) {
        (200, serde_json::to_vec(&self.refund_view(number)).unwrap())
    }

    fn refund_view(&self, number: &str) -> RefundView {
        let refund = &self.refunds[number];
        RefundView {
            mch_id: MCH.to_owned(),
            out_trade_no: refund.order.clone(),
            out_refund_no: number.to_owned(),
            refund_id: format!("r{number}"),
            status: refund.status.to_owned(),
            amount: refund.amount.clone(),
        }
    }

    /// The customer pays `total`, also after the close: providers have done that.
    pub fn pay(&mut self, number: &str, total: u64, now: Timestamp) -> bool {
        let Some(order) = self.orders.get_mut(number).filter(|order| order.paid.is_none()) else { return false };
        self.transactions += 1;
        order.paid = Some((format!("tx{}", self.transactions), total, now));
        order.state = "SUCCESS";
        true
    }

    pub fn decline(&mut self, number: &str) -> bool {
        match self.orders.get_mut(number) {
            Some(order) if order.state == "NOTPAY" => {
                order.state = "PAYERROR";
                true
            }
            Some(_) | None => false,
        }
    }

    /// The body of a notification about an order as it is now.
    pub fn order_notification(&self, number: &str, now: Timestamp) -> Vec<u8> {
        let body = NotificationBody {
            id: format!("n{number}"),
            create_time: now.to_rfc3339(),
            order: self.view(number),
            refund: None,
        };
        serde_json::to_vec(&body).unwrap()
    }

    pub fn refund_notification(&self, number: &str, now: Timestamp) -> Vec<u8> {
        let body = NotificationBody {
            id: format!("n{number}"),
            create_time: now.to_rfc3339(),
            order: None,
            refund: Some(self.refund_view(number)),
        };
        serde_json::to_vec(&body).unwrap()
    }
}

fn error(status: u16, code: &str) -> (u16, Vec<u8>) {
    let body = ErrorBody { code: code.to_owned(), message: "simulated".to_owned() };
    (status, serde_json::to_vec(&body).unwrap())
}
