//! Adapter for Alipay (支付宝), version 2 of its gateway, for merchants with a contract of their own.
//!
//! QR code, web page, phone page, app, mini program and payment code; queries, closing, reversal, refunds, bills.

mod answer;
mod bill;
pub mod credentials;
pub mod errors;
mod keys;
mod node;
mod notification;
mod request;
mod response;
mod sign;
mod upkeep;
mod wire;

#[cfg(test)]
mod tests;

use std::io::Read;
use std::sync::Arc;

use self::credentials::Credentials;
use self::keys::Keys;
use super::statement::{Promise, StatementAnswer, StatementError, StatementId, StatementKind, StatementLine, Totals};
use super::{
    Acknowledgement, Channel, ChannelError, Inbound, Introduction, MethodTerms, Observation, Order, Prepared, Sealing,
    Terms, VerifiedNotification,
};
use crate::crypto::Secret;
use crate::domain::ids::Mode;
use crate::domain::merchant::ChannelKind;
use crate::domain::method::Method;
use crate::domain::money::{AMOUNT_MAX_MINOR, Currency};
use crate::domain::time::{Duration, Timestamp};
use crate::env::transport::{OutgoingRequest, OutgoingResponse};

/// Source: Alipay, 公共请求参数, 请求地址.
pub const GATEWAY: &str = "https://openapi.alipay.com/gateway.do";
/// Behind the address of a server that simulates the provider.
const SIMULATOR_PATH: &str = "/sim/alipay/gateway.do";

pub const METHODS: [Method; 6] = [
    Method::AlipayQr,
    Method::AlipayPage,
    Method::AlipayWap,
    Method::AlipayApp,
    Method::AlipayMini,
    Method::AlipayBarcode,
];

/// One contract with Alipay.
pub struct Alipay {
    gateway: String,
    /// Where customers' browsers are sent.
    pages: String,
    record: Credentials,
    keys: Keys,
    terms: Terms,
}

impl Alipay {
    /// `credentials` is the opened record of the account, `gateway` the address that calls go to.
    pub fn open(credentials: &[u8], gateway: String) -> Result<Self, ChannelError> {
        let bad = |detail: &str| ChannelError::Credentials { detail: detail.to_owned() };
        let record = Credentials::read(credentials).ok_or_else(|| bad("the record cannot be read"))?;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !is_number(&record.app_id) || !is_number(&record.seller_id) {
            return Err(bad("the app's and the seller's numbers must be digits"));
        }
        let keys = Keys::open(&record)?;
        Ok(Self { pages: gateway.clone(), gateway, record, keys, terms: terms() })
    }

    /// `Err` names the number that is not this account's.
    fn check_identity(&self, app_id: &str, seller_id: &str) -> Result<(), String> {
        let ours = [("app_id", app_id, &self.record.app_id), ("seller_id", seller_id, &self.record.seller_id)];
        match ours.into_iter().find(|(_, found, ours)| found != ours) {
            None => Ok(()),
            Some((name, found, _)) => Err(format!("{name} {} is not ours", wire::shortened(found))),
        }
    }
}

/// The registry's entrance. `base_url` is the account's own address of the gateway, with or without `/gateway.do`.
pub fn open(
    credentials: &[u8],
    mode: Mode,
    base_url: Option<&str>,
    own_url: &str,
) -> Result<Arc<dyn Channel>, ChannelError> {
    let gateway = match (base_url.map(|url| url.trim_end_matches('/')), mode) {
        (Some(url), _) if url.ends_with("/gateway.do") => url.to_owned(),
        (Some(url), _) => format!("{url}/gateway.do"),
        (None, Mode::Live) => GATEWAY.to_owned(),
        (None, Mode::Test) => format!("{}{SIMULATOR_PATH}", own_url.trim_end_matches('/')),
    };
    Ok(Arc::new(Alipay::open(credentials, gateway)?))
}

/// An account at the simulator of this server, which customers' browsers reach by another address than it does itself.
pub fn open_simulated(credentials: &[u8], own_url: &str, public_url: &str) -> Result<Arc<dyn Channel>, ChannelError> {
    let at = |url: &str| format!("{}{SIMULATOR_PATH}", url.trim_end_matches('/'));
    Ok(Arc::new(Alipay { pages: at(public_url), ..Alipay::open(credentials, at(own_url))? }))
}

/// What Alipay accepts; the same for every contract, whose own limits it does not tell. Amounts from 0.01 to 100,000,000
/// yuan. Refunds within a year is the usual contract; a shorter one shows as a refusal.
pub fn terms() -> Terms {
    let method = |method| MethodTerms { method, min_minor: 1, max_minor: AMOUNT_MAX_MINOR, refundable: true };
    Terms {
        methods: METHODS.into_iter().map(method).collect(),
        currencies: vec![Currency::CNY],
        refund_window: Duration::from_days(365),
        statements: &[StatementKind::Trades, StatementKind::Funds],
        redirect_banks: &[],
    }
}

impl Channel for Alipay {
    fn kind(&self) -> ChannelKind {
        ChannelKind::Alipay
    }

    fn terms(&self) -> &Terms {
        &self.terms
    }

    fn request(&self, order: &Order, sealing: &Sealing) -> Result<Prepared, ChannelError> {
        request::build(self, order, sealing.now)
    }

    fn read_response(
        &self,
        order: &Order,
        response: &OutgoingResponse,
        now: Timestamp,
    ) -> Result<Observation, ChannelError> {
        response::read(self, order, response, now)
    }

    fn read_notification(&self, message: &Inbound<'_>, now: Timestamp) -> Result<VerifiedNotification, ChannelError> {
        notification::read(self, message, now)
    }

    /// The browser is the wallet's own where it matters: its page knows who pays.
    fn opened(&self, _: &Inbound<'_>) -> Option<Secret> {
        None
    }

    fn introduction(&self) -> Option<&dyn Introduction> {
        None
    }

    fn upkeep(&self, sealing: &Sealing) -> Option<OutgoingRequest> {
        upkeep::request(self, sealing.now)
    }

    fn read_upkeep(&self, response: &OutgoingResponse, now: Timestamp) -> Result<Option<Secret>, ChannelError> {
        upkeep::read(self, response, now)
    }

    fn request_statement(&self, wanted: StatementId, sealing: &Sealing) -> Result<OutgoingRequest, ChannelError> {
        Ok(bill::request(self, wanted, sealing.now))
    }

    fn read_statement_answer(
        &self,
        wanted: StatementId,
        response: &OutgoingResponse,
        sealing: &Sealing,
    ) -> Result<StatementAnswer, ChannelError> {
        bill::read_answer(self, wanted, response, sealing)
    }

    /// Alipay promises nothing about the file; its own totals speak for it.
    fn read_statement(
        &self,
        wanted: StatementId,
        _promise: &Promise,
        file: &mut dyn Read,
        each: &mut dyn FnMut(StatementLine),
    ) -> Result<Totals, StatementError> {
        bill::read(self, wanted, file, each)
    }

    /// Alipay reads the body alone. Source: Alipay, 异步通知: `success`, exactly these seven characters.
    fn acknowledge(&self, stored: bool) -> Acknowledgement {
        let body = if stored { "success" } else { "failure" };
        Acknowledgement { status: 200, content_type: "text/plain; charset=utf-8", body }
    }
}
