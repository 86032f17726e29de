//! What is answered, and what it means in our words.
//!
//! Three levels: whether the call was understood (`return_code`, unsigned where it was not), whether it was carried out
//! (`result_code`), and how the payment stands (`trade_state`). Each other word than the known ones means unknown.

use super::super::errors::NOT_ENOUGH;
use super::super::response::{Transaction, malformed, observe_transaction, same};
use super::{Call, CodeV2, Fields, WechatPay, errors, sign, xml};
use crate::channels::errors::{Advice, Concerns};
use crate::channels::text::{shortened, shortened_to};
use crate::channels::{Bar, ChannelError, Observation};
use crate::env::transport::OutgoingResponse;

/// How the answer of the provider's front begins to say that it wants a client certificate, or another one.
const NO_CERTIFICATE: &str = "SSL certificate";

pub(super) fn read(
    wechat: &WechatPay,
    v2: &CodeV2,
    call: Call<'_>,
    response: &OutgoingResponse,
) -> Result<Observation, ChannelError> {
    let unknown = |detail: String| Ok(Observation::Unknown { detail });
    if response.truncated {
        return Ok(Observation::no_words(response.status));
    }
    if response.status != 200 {
        let said = String::from_utf8_lossy(&response.body);
        if said.contains(NO_CERTIFICATE) {
            let detail = "WeChat Pay does not accept the merchant certificate for reversals".to_owned();
            return Err(ChannelError::Credentials { detail });
        }
        return Ok(Observation::no_words(response.status));
    }
    let fields = xml::read(&response.body).map_err(|why| malformed(&format!("XML: {why}")))?;
    match text(&fields, "return_code") {
        "SUCCESS" => {}
        // Not signed, so it is believed for what it refuses only.
        code => {
            let said = format!("{}: {}", shortened(code), shortened_to(text(&fields, "return_msg"), 256));
            return if said.contains("签名") {
                match call {
                    Call::Charge(_) => {
                        Ok(Observation::Barred { code: "SIGNERROR".to_owned(), detail: said, bar: Bar::Account })
                    }
                    Call::Query(_) | Call::Reverse(_) => Err(ChannelError::Credentials { detail: said }),
                }
            } else {
                unknown(said)
            };
        }
    }
    if !sign::verifies(&fields, &v2.key) {
        return Err(ChannelError::NotGenuine { detail: "the signature is wrong or missing".to_owned() });
    }
    match text(&fields, "result_code") {
        "SUCCESS" => done(wechat, call, &fields),
        "FAIL" => refused(wechat, call, &fields),
        other => unknown(format!("result_code {}", shortened(other))),
    }
}

fn text<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).map_or("", String::as_str)
}

fn done(wechat: &WechatPay, call: Call<'_>, fields: &Fields) -> Result<Observation, ChannelError> {
    match call {
        // A charge that was carried out is paid; there is no word for its state.
        Call::Charge(_) => paid_or_not(wechat, call, fields, "SUCCESS"),
        Call::Query(_) => paid_or_not(wechat, call, fields, text(fields, "trade_state")),
        Call::Reverse(_) => {
            own(wechat, fields)?;
            if let Some(number) = fields.get("out_trade_no") {
                same("order", number, &call.number())?;
            }
            Ok(match text(fields, "recall") {
                "N" | "" => Observation::Closed,
                _ => Observation::Unknown { detail: "the reversal has to be repeated (recall)".to_owned() },
            })
        }
    }
}

/// Read as v3's transaction is, whose states are the same.
fn paid_or_not(wechat: &WechatPay, call: Call<'_>, fields: &Fields, state: &str) -> Result<Observation, ChannelError> {
    same("order", text(fields, "out_trade_no"), &call.number())?;
    let optional = |name: &str| fields.get(name).filter(|value| !value.is_empty()).cloned();
    let total = match optional("total_fee") {
        Some(digits) => Some(whole(&digits).ok_or_else(|| malformed("total_fee is not a number of fen"))?),
        None => None,
    };
    observe_transaction(
        wechat,
        &Transaction::told(
            [text(fields, "out_trade_no"), text(fields, "mch_id"), text(fields, "appid"), state],
            [optional("trade_state_desc"), optional("transaction_id"), optional("time_end").map(|at| rfc3339(&at))],
            total.map(|total| (total, optional("fee_type"))),
        ),
    )
}

/// Only plain digits: `parse` alone would take a sign too.
fn whole(digits: &str) -> Option<u64> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// `20091225091010` is Beijing time. What has another shape stays as it is, and is no time to whoever reads it then.
fn rfc3339(time: &str) -> String {
    let digits = time.len() == 14 && time.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        return time.to_owned();
    }
    let part = |range| &time[range];
    let [day, clock] =
        [[part(0..4), part(4..6), part(6..8)].join("-"), [part(8..10), part(10..12), part(12..14)].join(":")];
    format!("{day}T{clock}+08:00")
}

/// Another merchant's answer is as well signed as ours where two have the same key.
fn own(wechat: &WechatPay, fields: &Fields) -> Result<(), ChannelError> {
    let (mch_id, app_id) = (text(fields, "mch_id"), text(fields, "appid"));
    if mch_id == wechat.mch_id && wechat.app_ids.contains(app_id) {
        return Ok(());
    }
    let detail = format!("mch_id {} or appid {} is not ours", shortened(mch_id), shortened(app_id));
    Err(ChannelError::NotGenuine { detail })
}

fn refused(wechat: &WechatPay, call: Call<'_>, fields: &Fields) -> Result<Observation, ChannelError> {
    own(wechat, fields)?;
    let code = shortened(text(fields, "err_code"));
    let sentence = shortened_to(text(fields, "err_code_des"), 256);
    let unknown = || Observation::Unknown { detail: format!("{code}: {sentence}") };
    let no = || Observation::Refused { code: code.clone(), detail: sentence.clone() };
    let meaning = errors::meaning(&code);
    let advice = meaning.map(|meaning| meaning.advice);
    // What is not enough is the customer's.
    let is_merchants =
        meaning.is_some_and(|meaning| meaning.concerns == Concerns::Merchant && meaning.code != NOT_ENOUGH);
    let barred = |bar| Ok(Observation::Barred { code: code.clone(), detail: format!("{code}: {sentence}"), bar });
    if matches!((call, code.as_str()), (Call::Charge(_), "SIGNERROR" | "SIGN_ERROR" | "MCHID_NOT_EXIST")) {
        return barred(Bar::Account);
    }
    if matches!(code.as_str(), "SIGNERROR" | "SIGN_ERROR") {
        return Err(ChannelError::Credentials { detail: format!("{code}: {sentence}") });
    }
    // The number is known: it must not look as if nothing had been created.
    let there_is_one = ["重复", "重入", "已支付"].iter().any(|words| sentence.contains(words));
    let is_unknown_number = matches!(code.as_str(), "ORDERNOTEXIST" | "ORDER_NOT_EXIST");
    Ok(match call {
        Call::Charge(_) if code == "USERPAYING" => Observation::NotPaid,
        Call::Charge(_) => match advice {
            Some(Advice::Stop) if !there_is_one && is_merchants => return barred(Bar::Product),
            Some(Advice::Stop) if !there_is_one => no(),
            Some(Advice::Stop | Advice::Ask | Advice::Repeat) | None => unknown(),
        },
        Call::Query(_) if is_unknown_number => Observation::NotFound,
        // A question moves nothing, so its refusal says nothing about the order.
        Call::Query(_) => unknown(),
        Call::Reverse(_) if text(fields, "recall") == "Y" => unknown(),
        Call::Reverse(_) if is_unknown_number => Observation::NotFound,
        Call::Reverse(_) if matches!(code.as_str(), "ORDERREVERSED" | "ORDERCLOSED") => Observation::Closed,
        Call::Reverse(_) => match advice {
            Some(Advice::Stop) => no(),
            Some(Advice::Ask | Advice::Repeat) | None => unknown(),
        },
    })
}
