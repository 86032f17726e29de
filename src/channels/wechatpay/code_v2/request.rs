//! What is sent: a charge, a question, a reversal.

use super::super::request::{fen, plain_text, unfit};
use super::super::sign::nonce;
use super::sign::{SignType, sign};
use super::{Call, CodeV2, Fields, WechatPay, xml};
use crate::channels::{ChannelError, CreateOrder, OrderRef, Sealing};
use crate::domain::method::Method;
use crate::domain::money::Currency;
use crate::env::transport::{Method as Verb, OutgoingRequest};

/// Bytes of `body`. The manual says String(128) and does not say of what; bytes fit either way.
/// Source: WeChat Pay V2, "提交付款码支付".
const BODY_MAX_BYTES: usize = 128;
/// The machine that charges, where nobody told its address.
const OWN_MACHINE: &str = "127.0.0.1";

pub(super) fn build(
    wechat: &WechatPay,
    v2: &CodeV2,
    call: Call<'_>,
    sealing: &Sealing,
) -> Result<OutgoingRequest, ChannelError> {
    let (path, mut fields, identity) = match call {
        Call::Charge(create) => ("/pay/micropay", charge(create)?, None),
        Call::Query(about) => ("/pay/orderquery", named(about), None),
        // Our own number always: it is known from the beginning.
        Call::Reverse(_) => ("/secapi/pay/reverse", own_number(call.number()), Some(v2.identity.clone())),
    };
    let app_id = wechat.app_ids.for_method(call.method()).ok_or(ChannelError::Unsupported)?;
    for (name, value) in [
        ("appid", app_id),
        ("mch_id", &wechat.mch_id),
        ("nonce_str", &nonce(sealing)),
        ("sign_type", SignType::HmacSha256.code()),
    ] {
        fields.insert(name.to_owned(), value.to_owned());
    }
    let signature = sign(SignType::HmacSha256, &fields, &v2.key);
    fields.insert("sign".to_owned(), signature);
    let headers = [
        ("content-type", "text/xml; charset=utf-8"),
        ("accept", "text/xml, */*"),
        ("user-agent", concat!("coffer/", env!("CARGO_PKG_VERSION"))),
    ];
    Ok(OutgoingRequest {
        method: Verb::Post,
        url: format!("{}{path}", wechat.base_url),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        body: xml::write(&fields),
        identity,
    })
}

/// Always in the same words for the same order.
fn charge(create: &CreateOrder) -> Result<Fields, ChannelError> {
    let code = create.auth_code.as_deref().filter(|code| Method::of_shown_code(code) == Some(create.method));
    let code = code.ok_or_else(|| unfit("the 18 digits of the customer's payment code are needed"))?;
    let number = create.attempt.bare();
    let about = plain_text(&create.description, BODY_MAX_BYTES).map(|text| within(text, BODY_MAX_BYTES));
    let machine = create.customer_ip.map_or_else(|| OWN_MACHINE.to_owned(), |ip| ip.to_canonical().to_string());
    let mut fields = own_number(number.clone());
    for (name, value) in [
        ("body", about.unwrap_or(number)),
        ("total_fee", fen(create.amount)?.to_string()),
        ("fee_type", Currency::CNY.code().to_owned()),
        ("spbill_create_ip", machine),
        ("auth_code", code.to_owned()),
    ] {
        fields.insert(name.to_owned(), value);
    }
    Ok(fields)
}

fn named(about: &OrderRef) -> Fields {
    match &about.transaction_id {
        Some(id) => Fields::from([("transaction_id".to_owned(), id.clone())]),
        None => own_number(about.attempt.bare()),
    }
}

fn own_number(number: String) -> Fields {
    Fields::from([("out_trade_no".to_owned(), number)])
}

/// Cut between characters.
fn within(mut text: String, max_bytes: usize) -> String {
    let end = (0..=max_bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.truncate(end.unwrap_or(0));
    text
}
