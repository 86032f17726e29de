//! Codes that the customer shows (付款码) through the provider's older interface, V2: XML, an API key of its own, and a
//! client certificate to take a charge back.
//!
//! Whether a merchant may use the newer call (v3 `codepay`) is a permission that few have, so an account chooses one of the
//! two. Everything else of the account, refunds of such payments included, goes on over v3: both interfaces know the same
//! orders by the same numbers, which is also why an account may change its choice while orders are under way. Another channel
//! account for V2 alone was the alternative, and with it refunds would have to find out which of the two had taken the money.
//!
//! There is no close: a charge is taken back (撤销), which gives money back that had moved. Source: WeChat Pay V2, "付款码支付",
//! "提交付款码支付", "查询订单", "撤销订单".

pub mod errors;
mod request;
mod response;
pub mod sign;
pub mod xml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{WechatPay, bad};
use crate::channels::{ChannelError, CreateOrder, Observation, Order, OrderRef, Sealing};
use crate::crypto::rsa::der_in;
use crate::crypto::{Certificate, Secret};
use crate::domain::method::Flow;
use crate::env::identity::ClientIdentity;
use crate::env::transport::{OutgoingRequest, OutgoingResponse};

/// Characters of a V2 API key.
pub const KEY_CHARS: usize = 32;

/// The fields of a message by their names, in the order in which they are signed.
pub type Fields = BTreeMap<String, String>;

/// What an account needs for this interface, ready for use.
pub(super) struct CodeV2 {
    key: Secret,
    /// The merchant's API certificate.
    identity: ClientIdentity,
}

/// The part of an account's work that goes this way.
#[derive(Clone, Copy)]
pub(super) enum Call<'a> {
    Charge(&'a CreateOrder),
    Query(&'a OrderRef),
    /// Takes the charge back, and the money with it.
    Reverse(&'a OrderRef),
}

impl<'a> Call<'a> {
    /// `None` for what is about no shown code, and for refunds.
    pub fn of(order: &'a Order) -> Option<Self> {
        let call = match order {
            Order::Create(create) => Call::Charge(create),
            Order::Query(about) => Call::Query(about),
            Order::Close(about) => Call::Reverse(about),
            Order::Refund(_) | Order::QueryRefund(_) | Order::RedirectRefund(_) => return None,
        };
        (call.method().flow() == Flow::BarCode).then_some(call)
    }

    fn method(self) -> crate::domain::method::Method {
        match self {
            Call::Charge(create) => create.method,
            Call::Query(about) | Call::Reverse(about) => about.method,
        }
    }

    /// Our number of the order.
    fn number(self) -> String {
        match self {
            Call::Charge(create) => create.attempt.bare(),
            Call::Query(about) | Call::Reverse(about) => about.attempt.bare(),
        }
    }
}

impl CodeV2 {
    /// `merchant_key` and `certificate` are what the account has for v3; there they sign, here they are shown.
    pub fn open(key: &str, merchant_key: &str, certificate: Option<&str>) -> Result<Self, ChannelError> {
        if !is_key(key) {
            return Err(bad("the V2 API key does not have 32 characters"));
        }
        let certificate = certificate.ok_or_else(|| bad("payment codes through V2 need the merchant's certificate"))?;
        let certificate = Certificate::read(certificate).map_err(|why| bad(&format!("merchant_certificate: {why}")))?;
        let private = der_in(merchant_key).map(Zeroizing::new).map_err(|why| bad(&format!("merchant_key: {why}")))?;
        let identity = ClientIdentity::new(certificate.to_der(), &Secret::new(private.as_slice()));
        let identity = identity.map_err(|why| bad(&format!("merchant_certificate: {why}")))?;
        Ok(Self { key: Secret::new(key.as_bytes()), identity })
    }

    pub fn request(
        &self,
        wechat: &WechatPay,
        call: Call<'_>,
        sealing: &Sealing,
    ) -> Result<OutgoingRequest, ChannelError> {
        request::build(wechat, self, call, sealing)
    }

    pub fn read(
        &self,
        wechat: &WechatPay,
        call: Call<'_>,
        response: &OutgoingResponse,
    ) -> Result<Observation, ChannelError> {
        response::read(wechat, self, call, response)
    }
}

/// Tells keys apart for people. Four bytes under the merchant's number: too few to find a guessed key out with.
pub fn fingerprint(mch_id: &str, key: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, format!("{mch_id} APIv2 {key}").as_bytes());
    data_encoding::HEXLOWER.encode(&hash.as_ref()[..4])
}

/// 32 printable characters, as the merchant platform takes them.
pub(super) fn is_key(text: &str) -> bool {
    text.len() == KEY_CHARS && text.bytes().all(|b| b.is_ascii_graphic())
}
