//! What the adapter sends: bodies of the wallet's calls and their addresses.

use serde::{Deserialize, Serialize};

use super::TestWallet;
use super::sign;
use crate::channels::{ChannelError, CreateOrder, Order, OrderRef, RefundOrder, Sealing};
use crate::domain::money::Money;
use crate::env::transport::{Method as Verb, OutgoingRequest};

/// Where the wallet's calls live, below the server's address.
pub const API_PATH: &str = "/sandbox/wallet/v1";

/// An amount: an integer of the currency's smallest unit, as at WeChat Pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmountBody {
    pub total: u64,
    pub currency: String,
}

/// `POST …/orders`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderBody {
    pub mch_id: String,
    pub app_id: String,
    pub out_trade_no: String,
    pub method: String,
    pub description: String,
    pub amount: AmountBody,
    /// RFC 3339.
    pub time_expire: String,
    pub notify_url: String,
    pub return_url: String,
}

/// `POST …/orders/{out_trade_no}/close`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloseBody {
    pub mch_id: String,
}

/// `POST …/refunds`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefundBody {
    pub mch_id: String,
    pub out_trade_no: String,
    pub out_refund_no: String,
    pub reason: String,
    pub amount: RefundAmountBody,
    pub notify_url: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefundAmountBody {
    pub refund: u64,
    /// The whole amount of the order.
    pub total: u64,
    pub currency: String,
}

/// Builds and signs the call for an order.
pub(super) fn build(wallet: &TestWallet, order: &Order, sealing: &Sealing) -> Result<OutgoingRequest, ChannelError> {
    let (verb, path, body) = match order {
        Order::Create(create) => (Verb::Post, format!("{API_PATH}/orders"), json(&order_body(wallet, create)?)),
        Order::Query(order) => (Verb::Get, order_path(order), Vec::new()),
        Order::Close(order) => {
            let body = CloseBody { mch_id: wallet.mch_id().to_owned() };
            (Verb::Post, format!("{}/close", order_path(order)), json(&body))
        }
        Order::Refund(refund) => (Verb::Post, format!("{API_PATH}/refunds"), json(&refund_body(wallet, refund)?)),
        Order::QueryRefund(about) => (Verb::Get, format!("{API_PATH}/refunds/{}", about.refund.bare()), Vec::new()),
        // The wallet gives back to the wallet that paid, and nowhere else.
        Order::RedirectRefund(_) => return Err(ChannelError::Unsupported),
    };
    let authorization = sign::authorization(wallet.hmac_key(), wallet.mch_id(), verb.as_str(), &path, &body, sealing);
    let mut headers = vec![
        ("authorization".to_owned(), authorization),
        ("accept".to_owned(), "application/json".to_owned()),
        ("user-agent".to_owned(), concat!("coffer/", env!("CARGO_PKG_VERSION")).to_owned()),
    ];
    if !body.is_empty() {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    Ok(OutgoingRequest { method: verb, url: format!("{}{path}", wallet.base_url()), headers, body, identity: None })
}

fn order_path(order: &OrderRef) -> String {
    format!("{API_PATH}/orders/{}", order.attempt.bare())
}

fn order_body(wallet: &TestWallet, create: &CreateOrder) -> Result<OrderBody, ChannelError> {
    if !wallet.accepts(create.method) {
        return Err(ChannelError::Unsupported);
    }
    Ok(OrderBody {
        mch_id: wallet.mch_id().to_owned(),
        app_id: wallet.app_id().to_owned(),
        out_trade_no: create.attempt.bare(),
        method: create.method.code().to_owned(),
        description: create.description.clone(),
        amount: amount(create.amount),
        time_expire: create.expires_at.to_rfc3339(),
        notify_url: create.notify_url.clone(),
        return_url: create.return_url.clone(),
    })
}

fn refund_body(wallet: &TestWallet, refund: &RefundOrder) -> Result<RefundBody, ChannelError> {
    if refund.amount.currency() != refund.total.currency() {
        return Err(ChannelError::Unsupported);
    }
    Ok(RefundBody {
        mch_id: wallet.mch_id().to_owned(),
        out_trade_no: refund.about.order.attempt.bare(),
        out_refund_no: refund.about.refund.bare(),
        reason: refund.reason.clone().unwrap_or_default(),
        amount: RefundAmountBody {
            refund: refund.amount.minor(),
            total: refund.total.minor(),
            currency: refund.total.currency().code().to_owned(),
        },
        notify_url: refund.notify_url.clone(),
    })
}

fn amount(money: Money) -> AmountBody {
    AmountBody { total: money.minor(), currency: money.currency().code().to_owned() }
}

fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("plain structs of text and numbers always serialise")
}
