//! Adapter for the test wallet: the simulated provider in `sandbox`, behind real HTTP with signed messages.
//!
//! In test mode it plays all three brands. Its protocol is our own, shaped after WeChat Pay API v3, so that every rule
//! the real channels need (two kinds of keys, freshness, identity, unknown outcomes) is exercised by it.

pub mod errors;
pub mod notification;
pub mod request;
pub mod response;
pub mod sign;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::statement::{Promise, StatementAnswer, StatementError, StatementId, StatementLine, Totals};
use super::text::shortened;
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

/// What the wallet plays: codes to scan of all three brands, and the two pages that a phone's browser is sent to.
pub const METHODS: [Method; 5] =
    [Method::WechatNative, Method::AlipayQr, Method::UnionpayQr, Method::WechatH5, Method::AlipayWap];

/// Ed25519 public keys have this many bytes. Source: RFC 8032, 5.1.5.
const PROVIDER_KEY_BYTES: usize = 32;

/// The record inside a channel account's sealed credentials, as JSON.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    pub mch_id: String,
    pub app_id: String,
    /// Base64; signs what we send.
    pub hmac_key: String,
    /// Base64; verifies what the provider sends.
    pub provider_public_key: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("mch_id", &self.mch_id).finish_non_exhaustive()
    }
}

impl Credentials {
    /// The bytes that are sealed into the channel account.
    pub fn to_secret(&self) -> Secret {
        Secret::new(serde_json::to_vec(self).expect("plain text always serialises"))
    }
}

/// One contract with the test wallet.
pub struct TestWallet {
    base_url: String,
    mch_id: String,
    app_id: String,
    hmac_key: Secret,
    provider_key: [u8; PROVIDER_KEY_BYTES],
    terms: Terms,
}

impl TestWallet {
    /// `credentials` is the opened record of the account; `base_url` is where this process reaches the provider. Fails
    /// with [`ChannelError::Credentials`] when a key is absent, too short or unreadable.
    pub fn open(credentials: &[u8], base_url: &str) -> Result<Self, ChannelError> {
        let bad = |detail: &str| ChannelError::Credentials { detail: detail.to_owned() };
        let record: Credentials = serde_json::from_slice(credentials).map_err(|_| bad("the record cannot be read"))?;
        // What stands between quotes in the header must not end them.
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !plain(&record.mch_id) || !plain(&record.app_id) {
            return Err(bad("mch_id and app_id must be letters and digits"));
        }
        let hmac_key = BASE64.decode(record.hmac_key.as_bytes()).map_err(|_| bad("hmac_key is not base64"))?;
        if hmac_key.len() < sign::HMAC_KEY_MIN_BYTES {
            return Err(bad("hmac_key is too short"));
        }
        let provider_key = BASE64.decode(record.provider_public_key.as_bytes()).ok();
        let provider_key = provider_key.and_then(|key| key.try_into().ok());
        Ok(Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            mch_id: record.mch_id,
            app_id: record.app_id,
            hmac_key: Secret::new(hmac_key),
            provider_key: provider_key.ok_or_else(|| bad("provider_public_key is not an Ed25519 key"))?,
            terms: terms(),
        })
    }

    fn accepts(&self, method: Method) -> bool {
        METHODS.contains(&method)
    }

    fn base_url(&self) -> &str {
        &self.base_url
    }

    fn mch_id(&self) -> &str {
        &self.mch_id
    }

    fn app_id(&self) -> &str {
        &self.app_id
    }

    fn hmac_key(&self) -> &Secret {
        &self.hmac_key
    }

    fn provider_key(&self) -> &[u8] {
        &self.provider_key
    }

    /// `Err` names the number that is not this account's.
    fn check_identity(&self, mch_id: &str, app_id: &str) -> Result<(), String> {
        for (name, found, ours) in [("mch_id", mch_id, &self.mch_id), ("app_id", app_id, &self.app_id)] {
            if found != ours {
                return Err(format!("{name} {} is not ours", shortened(found)));
            }
        }
        Ok(())
    }
}

/// The registry's entrance.
pub fn open(credentials: &[u8], base_url: &str) -> Result<Arc<dyn Channel>, ChannelError> {
    Ok(Arc::new(TestWallet::open(credentials, base_url)?))
}

/// What the wallet accepts; the same for every account.
pub fn terms() -> Terms {
    let method = |method| MethodTerms { method, min_minor: 1, max_minor: AMOUNT_MAX_MINOR, refundable: true };
    Terms {
        methods: METHODS.into_iter().map(method).collect(),
        currencies: Currency::ALL.to_vec(),
        refund_window: Duration::from_days(365),
        statements: &[],
        redirect_banks: &[],
    }
}

impl Channel for TestWallet {
    fn kind(&self) -> ChannelKind {
        ChannelKind::TestWallet
    }

    fn terms(&self) -> &Terms {
        &self.terms
    }

    fn request(&self, order: &Order, sealing: &Sealing) -> Result<Prepared, ChannelError> {
        request::build(self, order, sealing).map(Prepared::Call)
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

    /// The wallet's customers have no names.
    fn opened(&self, _: &Inbound<'_>) -> Option<Secret> {
        None
    }

    fn introduction(&self) -> Option<&dyn Introduction> {
        None
    }

    /// The wallet's keys stay as they are.
    fn upkeep(&self, _sealing: &Sealing) -> Option<OutgoingRequest> {
        None
    }

    fn read_upkeep(&self, _response: &OutgoingResponse, _now: Timestamp) -> Result<Option<Secret>, ChannelError> {
        Err(ChannelError::Unsupported)
    }

    fn request_statement(&self, _wanted: StatementId, _sealing: &Sealing) -> Result<OutgoingRequest, ChannelError> {
        Err(ChannelError::Unsupported)
    }

    fn read_statement_answer(
        &self,
        _wanted: StatementId,
        _response: &OutgoingResponse,
        _sealing: &Sealing,
    ) -> Result<StatementAnswer, ChannelError> {
        Err(ChannelError::Unsupported)
    }

    fn read_statement(
        &self,
        _wanted: StatementId,
        _promise: &Promise,
        _file: &mut dyn Read,
        _each: &mut dyn FnMut(StatementLine),
    ) -> Result<Totals, StatementError> {
        Err(StatementError::Unsupported)
    }

    fn acknowledge(&self, stored: bool) -> Acknowledgement {
        if stored {
            Acknowledgement { status: 204, content_type: "application/json", body: "" }
        } else {
            let body = r#"{"code":"FAIL","message":"send again"}"#;
            Acknowledgement { status: 500, content_type: "application/json", body }
        }
    }
}
