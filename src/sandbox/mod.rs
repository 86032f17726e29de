//! What integrators practise with: a simulated provider that misbehaves on request, and a small shop. Both speak to the
//! rest of Coffer over HTTP only, as real ones do.

/// A provider that speaks Alipay's gateway.
pub mod alipay;
/// What simulated providers have in common.
pub mod provider;
/// A small shop that sells mugs through the API.
pub mod shop;
/// All simulated providers together.
pub mod simulators;
/// A provider that speaks UnionPay ACP 5.1.0.
pub mod unionpay;
/// The provider behind the test wallet's channel.
pub mod wallet;
/// A provider that speaks WeChat Pay APIv3.
pub mod wechatpay;
