//! The provider of the simulation: orders, refunds, signatures, and a temper. Written from the wire protocol alone, so it
//! agrees with the adapter only if both are right. It outlives every crash of the gateway.

use std::collections::BTreeMap;

use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::Deserialize;
use serde_json::{Value, json};

use super::dice::Dice;
use super::model::{Asked, News, RefundWord, Word};
use crate::domain::time::Timestamp;

pub(super) const MERCHANT: &str = "sim1";
pub(super) const APP: &str = "app1";

pub(super) struct Provider {
    key: Ed25519KeyPair,
    forger: Ed25519KeyPair,
    pub(super) orders: BTreeMap<String, Order>,
    pub(super) refunds: BTreeMap<String, Refund>,
    transactions: u64,
    /// The control: money that it took and always denies.
    denies: bool,
    /// Percent of refunds that it refuses at first sight.
    refuses: u64,
}

pub(super) struct Order {
    pub(super) minor: u64,
    state: &'static str,
    pub(super) paid: Option<Paid>,
    pub(super) refunded: u64,
}

#[derive(Clone)]
pub(super) struct Paid {
    pub(super) transaction: String,
    pub(super) minor: u64,
    at: Timestamp,
}

pub(super) struct Refund {
    pub(super) order: String,
    minor: u64,
    pub(super) status: &'static str,
    /// What it becomes in the end.
    fate: &'static str,
    /// Questions that are answered "not yet" before.
    patience: u64,
}

/// What goes back over the wire, and what it means.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    pub(super) says: Option<News>,
}

#[derive(Deserialize)]
struct OrderAsked {
    out_trade_no: String,
    amount: Amount,
}

#[derive(Deserialize)]
struct Amount {
    total: u64,
    currency: String,
}

#[derive(Deserialize)]
struct RefundAsked {
    out_trade_no: String,
    out_refund_no: String,
    amount: RefundAmount,
}

#[derive(Deserialize)]
struct RefundAmount {
    refund: u64,
    total: u64,
}

impl Provider {
    pub(super) fn new(seed: u64, denies: bool, refuses: u64) -> Self {
        let key = |salt: u8| {
            let mut bytes = [salt; 32];
            bytes[..8].copy_from_slice(&seed.to_be_bytes());
            Ed25519KeyPair::from_seed_unchecked(&bytes).expect("any 32 bytes are a seed")
        };
        Self {
            key: key(1),
            forger: key(2),
            orders: BTreeMap::new(),
            refunds: BTreeMap::new(),
            transactions: 0,
            denies,
            refuses,
        }
    }

    pub(super) fn public_key(&self) -> String {
        data_encoding::BASE64.encode(self.key.public_key().as_ref())
    }

    /// The three headers of a message: over time, nonce and body, each with a line feed behind it.
    pub(super) fn sign(&self, body: &[u8], now: Timestamp, forged: bool) -> Vec<(String, String)> {
        let (time, nonce) = (now.as_seconds().to_string(), "0909");
        let mut text = format!("{time}\n{nonce}\n").into_bytes();
        text.extend_from_slice(body);
        text.push(b'\n');
        let key = if forged { &self.forger } else { &self.key };
        let signature = data_encoding::BASE64.encode(key.sign(&text).as_ref());
        [("wallet-timestamp", time), ("wallet-nonce", nonce.to_owned()), ("wallet-signature", signature)]
            .map(|(name, value)| (name.to_owned(), value))
            .into()
    }

    /// Carries a request out.
    pub(super) fn serve(&mut self, path: &str, body: &[u8], dice: &mut Dice) -> Result<Reply, String> {
        let unread = |error| format!("the provider cannot read {path}: {error}");
        let parts: Vec<&str> = path.trim_start_matches("/sandbox/wallet/v1/").split('/').collect();
        match parts.as_slice() {
            ["orders"] => self.create(&serde_json::from_slice(body).map_err(unread)?, dice),
            ["orders", number] => Ok(self.order(number, Asked::Query)),
            ["orders", number, "close"] => Ok(self.close(number)),
            ["refunds"] => Ok(self.refund(serde_json::from_slice(body).map_err(unread)?, dice)),
            ["refunds", number] => Ok(self.query_refund(number)),
            _ => Err(format!("the gateway asked for {path}, which does not exist")),
        }
    }

    fn create(&mut self, asked: &OrderAsked, dice: &mut Dice) -> Result<Reply, String> {
        let number = asked.out_trade_no.clone();
        let news = |word| Some(News::Order { number: number.clone(), word, asked: Asked::Create });
        if asked.amount.currency != "CNY" {
            return Err("an order in another currency than the shop's".to_owned());
        }
        if let Some(order) = self.orders.get(&number) {
            if order.minor != asked.amount.total {
                return Err(format!("{number} was asked for with two amounts"));
            }
            return Ok(match order.state {
                "SUCCESS" if !self.denies => error(400, "ORDERPAID", news(Word::Unknown)),
                "CLOSED" => error(400, "ORDERCLOSED", news(Word::Unknown)),
                _ => self.order(&number, Asked::Create),
            });
        }
        if dice.chance(3) {
            return Ok(error(400, "PARAM_ERROR", news(Word::Refused)));
        }
        let order = Order { minor: asked.amount.total, state: "NOTPAY", paid: None, refunded: 0 };
        self.orders.insert(number.clone(), order);
        Ok(self.order(&number, Asked::Create))
    }

    fn order(&self, number: &str, asked: Asked) -> Reply {
        let news = |word| Some(News::Order { number: number.to_owned(), word, asked });
        let Some(order) = self.orders.get(number) else { return error(404, "ORDER_NOT_EXIST", news(Word::NotFound)) };
        let paid = order.paid.as_ref().filter(|_| !self.denies);
        let word = match (paid, order.state) {
            (Some(paid), _) => Word::Paid { minor: paid.minor, transaction: paid.transaction.clone() },
            (None, "CLOSED") => Word::Closed,
            (None, "PAYERROR") => Word::Declined,
            (None, _) if asked == Asked::Create => Word::Accepted,
            (None, _) => Word::NotPaid,
        };
        Reply { status: 200, body: bytes(&self.view(number, order)), says: news(word) }
    }

    fn view(&self, number: &str, order: &Order) -> Value {
        let paid = order.paid.as_ref().filter(|_| !self.denies);
        let state = if paid.is_none() && order.paid.is_some() { "NOTPAY" } else { order.state };
        let mut view = json!({
            "mch_id": MERCHANT,
            "app_id": APP,
            "out_trade_no": number,
            "trade_state": state,
            "amount": {"total": paid.map_or(order.minor, |paid| paid.minor), "currency": "CNY"},
            "pay_url": format!("https://wallet.example/{number}"),
        });
        if let Some(paid) = paid {
            view["transaction_id"] = json!(paid.transaction);
            view["success_time"] = json!(paid.at.to_rfc3339());
        }
        view
    }

    fn close(&mut self, number: &str) -> Reply {
        let news = |word| Some(News::Order { number: number.to_owned(), word, asked: Asked::Close });
        match self.orders.get_mut(number) {
            None => error(404, "ORDER_NOT_EXIST", news(Word::NotFound)),
            Some(order) if order.paid.is_some() && !self.denies => error(400, "ORDERPAID", news(Word::Refused)),
            Some(order) => {
                if order.state == "NOTPAY" {
                    order.state = "CLOSED";
                }
                self.order(number, Asked::Close)
            }
        }
    }

    fn refund(&mut self, asked: RefundAsked, dice: &mut Dice) -> Reply {
        let number = asked.out_refund_no;
        let news = |word| Some(News::Refund { number: number.clone(), word, asked: Asked::Refund });
        if self.refunds.contains_key(&number) {
            return self.refund_reply(&number, Asked::Refund);
        }
        let Some(order) = self.orders.get_mut(&asked.out_trade_no) else {
            return error(404, "ORDER_NOT_EXIST", news(RefundWord::Refused));
        };
        let paid = order.paid.as_ref().map_or(0, |paid| paid.minor);
        let minor = asked.amount.refund;
        if asked.amount.total != paid || order.refunded + minor > paid || dice.chance(self.refuses) {
            return error(400, "NOT_ENOUGH", news(RefundWord::Refused));
        }
        order.refunded += minor;
        let fate = if dice.chance(20) { "ABNORMAL" } else { "SUCCESS" };
        let patience = dice.one_of([0, 0, 1, 1, 2, 12]);
        let refund = Refund { order: asked.out_trade_no, minor, status: "PROCESSING", fate, patience };
        self.refunds.insert(number.clone(), refund);
        self.refund_reply(&number, Asked::Refund)
    }

    fn query_refund(&mut self, number: &str) -> Reply {
        let Some(refund) = self.refunds.get_mut(number) else {
            let word = RefundWord::NotFound;
            let news = News::Refund { number: number.to_owned(), word, asked: Asked::QueryRefund };
            return error(404, "REFUND_NOT_EXIST", Some(news));
        };
        if refund.status == "PROCESSING" {
            match refund.patience.checked_sub(1) {
                Some(patience) => refund.patience = patience,
                None => {
                    refund.status = refund.fate;
                    if let Some(order) = self.orders.get_mut(&refund.order).filter(|_| refund.status == "ABNORMAL") {
                        order.refunded -= refund.minor;
                    }
                }
            }
        }
        self.refund_reply(number, Asked::QueryRefund)
    }

    fn refund_reply(&self, number: &str, asked: Asked) -> Reply {
        let refund = &self.refunds[number];
        let word = match refund.status {
            "SUCCESS" => RefundWord::Succeeded,
            "ABNORMAL" => RefundWord::Failed,
            _ => RefundWord::Processing,
        };
        let says = Some(News::Refund { number: number.to_owned(), word, asked });
        Reply { status: 200, body: bytes(&refund_view(number, refund)), says }
    }

    /// The customer pays `minor`, also after the close: providers have done that. `false` when there is nothing to pay.
    pub(super) fn pay(&mut self, number: &str, minor: u64, now: Timestamp) -> bool {
        let Some(order) = self.orders.get_mut(number).filter(|order| order.paid.is_none()) else { return false };
        self.transactions += 1;
        order.paid = Some(Paid { transaction: format!("tx{}", self.transactions), minor, at: now });
        order.state = "SUCCESS";
        true
    }

    pub(super) fn decline(&mut self, number: &str) -> bool {
        match self.orders.get_mut(number) {
            Some(order) if order.state == "NOTPAY" => {
                order.state = "PAYERROR";
                true
            }
            Some(_) | None => false,
        }
    }

    pub(super) fn is_unpaid(&self, number: &str) -> bool {
        self.orders.get(number).is_some_and(|order| order.paid.is_none())
    }

    pub(super) fn is_closed(&self, number: &str) -> bool {
        self.orders.get(number).is_some_and(|order| order.state == "CLOSED")
    }

    /// A message about an order or a refund as it is now; nothing when it does not know the number.
    pub(super) fn letter(&self, number: &str, now: Timestamp) -> Option<Letter> {
        let about = |what: &str, view: Value| {
            bytes(&json!({
                "id": format!("n{number}"),
                "create_time": now.to_rfc3339(),
                what: view,
            }))
        };
        if let Some(order) = self.orders.get(number) {
            let says = self.order(number, Asked::Nobody).says?;
            return Some(Letter { body: about("order", self.view(number, order)), says });
        }
        let refund = self.refunds.get(number)?;
        let says = self.refund_reply(number, Asked::Nobody).says?;
        Some(Letter { body: about("refund", refund_view(number, refund)), says })
    }
}

/// A notification on its way. It is signed when it arrives, as a provider signs each try anew.
#[derive(Clone)]
pub(super) struct Letter {
    pub(super) body: Vec<u8>,
    pub(super) says: News,
}

fn refund_view(number: &str, refund: &Refund) -> Value {
    json!({
        "mch_id": MERCHANT,
        "out_trade_no": refund.order,
        "out_refund_no": number,
        "refund_id": format!("r{number}"),
        "status": refund.status,
        "amount": {"total": refund.minor, "currency": "CNY"},
    })
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

pub(super) fn error(status: u16, code: &str, says: Option<News>) -> Reply {
    Reply { status, body: bytes(&json!({"code": code, "message": "simulated"})), says }
}
