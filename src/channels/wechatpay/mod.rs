//! Adapter for WeChat Pay API v3 (微信支付), for merchants with a contract of their own (直连商户).
//!
//! Orders by all six ways, questions, closing and reversal, refunds, daily statements, and the provider's changing keys.
//! Sources are the provider's manual and the tests of its own SDKs; where those disagree we read liberally and send
//! strictly. Codes that customers show (付款码) go through v3 or, as the account chooses, through V2 (`code_v2/`).

pub mod banks;
pub mod certificates;
pub mod check;
pub mod code_v2;
pub mod credentials;
pub mod errors;
pub mod introduction;
pub mod notification;
pub mod request;
pub mod response;
pub mod sign;
pub mod statement;

#[cfg(test)]
mod tests;

use std::io::Read;
use std::sync::Arc;

pub use self::credentials::{AnswersBy, AppIds, Credentials};
use self::credentials::{Keys, bad};
pub use self::introduction::Hosts;
use self::introduction::Introducer;
use super::statement::{Promise, StatementAnswer, StatementError, StatementId, StatementKind, StatementLine, Totals};
use super::{
    Acknowledgement, Channel, ChannelError, Inbound, Introduction, MethodTerms, Observation, Order, Prepared, Sealing,
    Terms, VerifiedNotification,
};
use crate::crypto::Secret;
use crate::domain::merchant::ChannelKind;
use crate::domain::method::Method;
use crate::domain::money::{AMOUNT_MAX_MINOR, Currency};
use crate::domain::time::{Duration, Timestamp};
use crate::env::transport::{OutgoingRequest, OutgoingResponse};

/// Where the provider is reached. Source: WeChat Pay API v3, "基本规则".
pub const HOST: &str = "https://api.mch.weixin.qq.com";
/// Where the simulated provider is reached, below this server's own address.
pub const SIMULATOR_PATH: &str = "/sim/wechatpay";

/// Everything that the contract can collect by; an account offers those for which it has an app.
pub const METHODS: [Method; 6] = [
    Method::WechatNative,
    Method::WechatJsapi,
    Method::WechatMini,
    Method::WechatH5,
    Method::WechatApp,
    Method::WechatBarcode,
];

/// One contract with WeChat Pay.
pub struct WechatPay {
    base_url: String,
    mch_id: String,
    app_ids: AppIds,
    answers: AnswersBy,
    keys: Keys,
    introducer: Option<Introducer>,
    /// The record as it was opened: upkeep hands it back with other certificates.
    record: Secret,
    terms: Terms,
}

impl WechatPay {
    /// `record` is the opened record of the account, `base_url` the provider's or another address that speaks for it. Fails with
    /// [`ChannelError::Credentials`] when a key is absent or unreadable.
    pub fn open(record: &[u8], base_url: &str) -> Result<Self, ChannelError> {
        Self::open_at(record, Hosts::at(base_url))
    }

    /// The same with each of the provider's hosts.
    pub fn open_at(record: &[u8], hosts: Hosts) -> Result<Self, ChannelError> {
        let credentials = Credentials::read(record)?;
        let Credentials { mch_id, app_ids, answers, .. } = &credentials;
        // What stands between quotes in the header must not end them.
        if !check::is_merchant_number(mch_id) {
            return Err(bad("mch_id is not a merchant number"));
        }
        let apps = [&app_ids.official_account, &app_ids.mini_program, &app_ids.app];
        if !std::iter::once(&app_ids.default).chain(apps.into_iter().flatten()).all(|app| check::is_app_id(app)) {
            return Err(bad("an app id is not one"));
        }
        let official = app_ids.official_account.clone().zip(credentials.official_account_secret.as_ref());
        Ok(Self {
            base_url: hosts.api.clone(),
            introducer: official.map(|(app_id, secret)| Introducer {
                app_id,
                secret: Secret::new(secret.as_bytes()),
                hosts,
            }),
            mch_id: mch_id.clone(),
            app_ids: app_ids.clone(),
            answers: answers.clone(),
            keys: Keys::open(&credentials)?,
            record: credentials.to_secret(),
            terms: terms(app_ids),
        })
    }

    fn merchant(&self) -> sign::Merchant<'_> {
        sign::Merchant { mch_id: &self.mch_id, serial: &self.keys.serial, signer: &self.keys.signer }
    }

    /// What of the account's work goes through the older interface.
    fn by_code_v2<'a>(&'a self, order: &'a Order) -> Option<(&'a code_v2::CodeV2, code_v2::Call<'a>)> {
        self.keys.code_v2.as_ref().zip(code_v2::Call::of(order))
    }

    /// Whether the provider sent exactly this, and just now.
    fn verify(&self, headers: &[(String, String)], body: &[u8], now: Timestamp) -> Result<(), ChannelError> {
        Ok(sign::verify(|id| self.keys.anchors.find(id, now), headers, body, now)?)
    }
}

/// The registry's entrance.
pub fn open(credentials: &[u8], hosts: Hosts) -> Result<Arc<dyn Channel>, ChannelError> {
    Ok(Arc::new(WechatPay::open_at(credentials, hosts)?))
}

/// What an account with these apps accepts. Source: refunds within one year, WeChat Pay API v3, "申请退款".
fn terms(app_ids: &AppIds) -> Terms {
    let method = |method| MethodTerms { method, min_minor: 1, max_minor: AMOUNT_MAX_MINOR, refundable: true };
    Terms {
        methods: METHODS.into_iter().filter(|m| app_ids.for_method(*m).is_some()).map(method).collect(),
        currencies: vec![Currency::CNY],
        refund_window: Duration::from_days(365),
        statements: &[StatementKind::Trades, StatementKind::Funds],
        redirect_banks: banks::DEBIT,
    }
}

impl Channel for WechatPay {
    fn kind(&self) -> ChannelKind {
        ChannelKind::WechatPay
    }

    fn terms(&self) -> &Terms {
        &self.terms
    }

    fn request(&self, order: &Order, sealing: &Sealing) -> Result<Prepared, ChannelError> {
        let request = match self.by_code_v2(order) {
            Some((v2, call)) => v2.request(self, call, sealing)?,
            None => request::build(self, order, sealing)?,
        };
        Ok(Prepared::Call(request))
    }

    fn read_response(
        &self,
        order: &Order,
        response: &OutgoingResponse,
        now: Timestamp,
    ) -> Result<Observation, ChannelError> {
        match self.by_code_v2(order) {
            Some((v2, call)) => v2.read(self, call, response),
            None => response::read(self, order, response, now),
        }
    }

    fn read_notification(&self, message: &Inbound<'_>, now: Timestamp) -> Result<VerifiedNotification, ChannelError> {
        notification::read(self, message, now)
    }

    fn opened(&self, message: &Inbound<'_>) -> Option<Secret> {
        notification::opened(self, message)
    }

    fn introduction(&self) -> Option<&dyn Introduction> {
        self.introducer.as_ref().map(|introducer| introducer as &dyn Introduction)
    }

    fn upkeep(&self, sealing: &Sealing) -> Option<OutgoingRequest> {
        certificates::ask(self, sealing)
    }

    fn read_upkeep(&self, response: &OutgoingResponse, now: Timestamp) -> Result<Option<Secret>, ChannelError> {
        certificates::read(self, response, now)
    }

    fn request_statement(&self, wanted: StatementId, sealing: &Sealing) -> Result<OutgoingRequest, ChannelError> {
        Ok(statement::ask(self, wanted, sealing))
    }

    fn read_statement_answer(
        &self,
        _wanted: StatementId,
        response: &OutgoingResponse,
        sealing: &Sealing,
    ) -> Result<StatementAnswer, ChannelError> {
        statement::read_answer(self, response, sealing)
    }

    fn read_statement(
        &self,
        wanted: StatementId,
        promise: &Promise,
        file: &mut dyn Read,
        each: &mut dyn FnMut(StatementLine),
    ) -> Result<Totals, StatementError> {
        statement::read_file(&self.mch_id, wanted, promise, file, each)
    }

    /// Source: WeChat Pay API v3, "支付成功回调通知": 200 or 204 ends the matter, everything else brings it again.
    fn acknowledge(&self, stored: bool) -> Acknowledgement {
        if stored {
            Acknowledgement { status: 204, content_type: "application/json", body: "" }
        } else {
            let body = r#"{"code":"FAIL","message":"send again"}"#;
            Acknowledgement { status: 500, content_type: "application/json", body }
        }
    }
}
