//! Adapter for UnionPay's ACP gateway, version 5.1.0 (银联全渠道), for merchants with a contract of their own.
//!
//! Gateway payments are a form that the browser posts; App, QR and bar-code payments are calls. An order is named by its
//! number *and* its time (`txnTime`), so every question carries the time at which the attempt or refund was created. There
//! is no call to close an order: the end that was told to UnionPay (`payTimeout`) closes it. Only a bar-code payment can be
//! reversed (冲正).

pub mod chain;
pub mod credentials;
pub mod errors;
pub mod keyed;
pub mod message;
pub mod notification;
pub mod request;
pub mod response;
pub mod sign;
pub mod statement;
pub mod time;

#[cfg(test)]
mod tests;

use std::io::Read;
use std::sync::Arc;

use self::credentials::{Contract, Credentials, is_mer_id, is_term_id};
use self::sign::Signing;
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

/// UnionPay's own host.
pub const PRODUCTION: &str = "https://gateway.95516.com";
/// Where the simulator answers, below this server's address.
pub const SIMULATOR_PATH: &str = "/sim/unionpay";

pub const METHODS: [Method; 5] =
    [Method::UnionpayGateway, Method::UnionpayWap, Method::UnionpayQr, Method::UnionpayApp, Method::UnionpayBarcode];

/// Refunds are guaranteed for 90 days and accepted for about eleven months; UnionPay refuses what is too late for the
/// card. Source: UnionPay ACP 5.1.0, refund.
const REFUND_WINDOW: Duration = Duration::from_days(330);

/// One contract with UnionPay.
pub struct UnionPay {
    base_url: String,
    /// Where browsers reach it; the same but for the simulator.
    front_url: String,
    mer_id: String,
    signing: Signing,
    term_id: Option<String>,
    terms: Terms,
}

impl UnionPay {
    /// `credentials` is the opened record of the account; `base_url` is where UnionPay is reached from here, `front_url`
    /// from a customer's browser. Fails with [`ChannelError::Credentials`] when a key or certificate is absent,
    /// unreadable, or of another pair.
    pub fn open(credentials: &[u8], base_url: &str, front_url: &str) -> Result<Self, ChannelError> {
        let bad = |detail: &str| ChannelError::Credentials { detail: detail.to_owned() };
        let record = Credentials::read(credentials).ok_or_else(|| bad("the record cannot be read"))?;
        if !is_mer_id(&record.mer_id) || record.term_id.as_deref().is_some_and(|id| !is_term_id(id)) {
            return Err(bad("mer_id or term_id has another form"));
        }
        let signing = Signing::open(&record).map_err(|detail| bad(&detail))?;
        Ok(Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            front_url: front_url.trim_end_matches('/').to_owned(),
            signing,
            mer_id: record.mer_id,
            term_id: record.term_id,
            terms: terms(),
        })
    }
}

/// The registry's entrance. In live mode only UnionPay's own signer is believed, whatever the record says.
pub fn open(credentials: &[u8], base_url: &str, front_url: &str, mode: Mode) -> Result<Arc<dyn Channel>, ChannelError> {
    let by_test_name = |record: Credentials| {
        record.earlier.iter().any(|earlier| earlier.accept_test_name)
            || matches!(record.contract, Contract::Certificate(own) if own.accept_test_name)
    };
    if mode == Mode::Live && Credentials::read(credentials).is_some_and(by_test_name) {
        return Err(ChannelError::Credentials { detail: "accept_test_name is not for real money".to_owned() });
    }
    Ok(Arc::new(UnionPay::open(credentials, base_url, front_url)?))
}

/// What UnionPay accepts; the same for every account.
pub fn terms() -> Terms {
    let method = |method| MethodTerms { method, min_minor: 1, max_minor: AMOUNT_MAX_MINOR, refundable: true };
    Terms {
        methods: METHODS.into_iter().map(method).collect(),
        currencies: vec![Currency::CNY],
        refund_window: REFUND_WINDOW,
        statements: &[StatementKind::Trades],
        redirect_banks: &[],
    }
}

impl Channel for UnionPay {
    fn kind(&self) -> ChannelKind {
        ChannelKind::Unionpay
    }

    fn terms(&self) -> &Terms {
        &self.terms
    }

    fn request(&self, order: &Order, _sealing: &Sealing) -> Result<Prepared, ChannelError> {
        request::build(self, order)
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

    /// The card is typed in at UnionPay, which needs no name from us.
    fn opened(&self, _: &Inbound<'_>) -> Option<Secret> {
        None
    }

    fn introduction(&self) -> Option<&dyn Introduction> {
        None
    }

    /// UnionPay's certificate travels in its messages, and only a configured root makes it count.
    fn upkeep(&self, _sealing: &Sealing) -> Option<OutgoingRequest> {
        None
    }

    fn read_upkeep(&self, _response: &OutgoingResponse, _now: Timestamp) -> Result<Option<Secret>, ChannelError> {
        Err(ChannelError::Unsupported)
    }

    fn request_statement(&self, wanted: StatementId, sealing: &Sealing) -> Result<OutgoingRequest, ChannelError> {
        statement::request(self, wanted, sealing.now)
    }

    fn read_statement_answer(
        &self,
        wanted: StatementId,
        response: &OutgoingResponse,
        sealing: &Sealing,
    ) -> Result<StatementAnswer, ChannelError> {
        statement::read_answer(self, wanted, response, sealing.now)
    }

    fn read_statement(
        &self,
        wanted: StatementId,
        _promise: &Promise,
        file: &mut dyn Read,
        each: &mut dyn FnMut(StatementLine),
    ) -> Result<Totals, StatementError> {
        statement::read(&self.mer_id, wanted, file, each)
    }

    /// Any body will do; another status makes UnionPay send it again, up to five times.
    fn acknowledge(&self, stored: bool) -> Acknowledgement {
        let (status, body) = if stored { (200, "ok") } else { (500, "send again") };
        Acknowledgement { status, content_type: "text/plain", body }
    }
}
