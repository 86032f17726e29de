//! Opens an answer of the gateway: whose it is, whether it is genuine, and its fields.

use serde::Deserialize;

use super::{Alipay, node, wire};
use crate::channels::{ChannelError, no_words};
use crate::domain::time::Timestamp;
use crate::env::transport::OutgoingResponse;

/// Source: Alipay, 网关返回码.
pub const SUCCESS: &str = "10000";
/// The order exists and waits for the customer.
pub const WAITING: &str = "10003";
/// Refused by the business itself; the sub code says why.
pub const BUSINESS: &str = "40004";

/// Fields of all answers that are read here; each method uses its own. Others are ignored, and serde refuses one that
/// comes twice.
#[derive(Debug, Default, Deserialize)]
pub struct Answer {
    pub code: String,
    #[serde(default)]
    pub msg: Option<String>,
    #[serde(default)]
    pub sub_code: Option<String>,
    #[serde(default)]
    pub sub_msg: Option<String>,
    #[serde(default)]
    pub out_trade_no: Option<String>,
    #[serde(default)]
    pub trade_no: Option<String>,
    #[serde(default)]
    pub trade_status: Option<String>,
    #[serde(default)]
    pub total_amount: Option<String>,
    #[serde(default)]
    pub trans_currency: Option<String>,
    #[serde(default)]
    pub send_pay_date: Option<String>,
    #[serde(default)]
    pub gmt_payment: Option<String>,
    #[serde(default)]
    pub qr_code: Option<String>,
    #[serde(default)]
    pub retry_flag: Option<String>,
    #[serde(default)]
    pub action: Option<String>,
    #[serde(default)]
    pub fund_change: Option<String>,
    #[serde(default)]
    pub refund_fee: Option<String>,
    #[serde(default)]
    pub out_request_no: Option<String>,
    #[serde(default)]
    pub refund_status: Option<String>,
    #[serde(default)]
    pub refund_amount: Option<String>,
    #[serde(default)]
    pub bill_download_url: Option<String>,
    #[serde(default)]
    pub alipay_cert_content: Option<String>,
}

impl Answer {
    /// The code that says most: `ACQ.TRADE_NOT_EXIST` rather than `40004`.
    pub fn reason(&self) -> &str {
        self.sub_code.as_deref().filter(|code| !code.is_empty()).unwrap_or(&self.code)
    }

    /// For people: the code and the provider's own words.
    pub fn detail(&self) -> String {
        let words = self.sub_msg.as_deref().or(self.msg.as_deref()).unwrap_or("");
        format!("{}: {}", wire::shortened(self.reason()), wire::shortened(words))
    }
}

/// What an answer is worth.
#[derive(Debug)]
pub enum Heard {
    Genuine(Box<Answer>),
    /// Nobody signed it, or it is none: it says nothing about the order. `code` is what the gateway gives as the reason, if
    /// it speaks at all.
    Unproven {
        detail: String,
        code: Option<String>,
    },
}

/// Opens the answer to `method`. [`ChannelError::NotGenuine`] when its signature is wrong, or missing from a success.
pub fn hear(alipay: &Alipay, method: &str, response: &OutgoingResponse, now: Timestamp) -> Result<Heard, ChannelError> {
    // Alipay answers everything with 200. A cut body cannot verify, and other statuses come from something in between.
    if response.truncated || response.status != 200 {
        return Ok(Heard::Unproven { detail: no_words(response.status).to_string(), code: None });
    }
    let envelope = node::cut(&response.body, method)?;
    let Some(sign) = &envelope.sign else {
        // The gateway cannot sign when it does not know whose key to use. Nothing may be concluded from such an answer, and
        // least of all a success.
        return match serde_json::from_slice::<Answer>(envelope.node) {
            Ok(answer) if answer.code == SUCCESS || answer.code == WAITING => {
                Err(ChannelError::NotGenuine { detail: "a success without a signature".to_owned() })
            }
            Ok(answer) => Ok(Heard::Unproven { detail: answer.detail(), code: Some(answer.reason().to_owned()) }),
            Err(_) => Ok(Heard::Unproven { detail: "an answer without a signature".to_owned(), code: None }),
        };
    };
    verify(alipay, envelope.node, sign, envelope.cert_sn.as_deref(), now)?;
    let plain = opened(alipay, envelope.node)?;
    let answer: Answer = serde_json::from_slice(plain.as_deref().unwrap_or(envelope.node))
        .map_err(|error| ChannelError::Malformed { detail: error.to_string() })?;
    if envelope.is_error && answer.code == SUCCESS {
        return Err(ChannelError::Malformed { detail: "an error that says success".to_owned() });
    }
    Ok(Heard::Genuine(Box::new(answer)))
}

/// Some gateways sign the text with plain slashes and send it with escaped ones. Source: Alipay's PHP client.
fn verify(alipay: &Alipay, node: &[u8], sign: &str, sn: Option<&str>, now: Timestamp) -> Result<(), ChannelError> {
    alipay.keys.verify(node, sign, sn, now).or_else(|error| {
        let text = std::str::from_utf8(node).map_err(|_| error.clone())?;
        let plain = text.replace(r"\/", "/");
        if plain == text { Err(error) } else { alipay.keys.verify(plain.as_bytes(), sign, sn, now) }
    })
}

/// An encrypted node is one text; its quotes belong to what was signed and not to what was encrypted.
fn opened(alipay: &Alipay, node: &[u8]) -> Result<Option<Vec<u8>>, ChannelError> {
    if node.first() != Some(&b'"') {
        return Ok(None);
    }
    let bad = |detail: &str| ChannelError::Credentials { detail: detail.to_owned() };
    let closed: String =
        serde_json::from_slice(node).map_err(|error| ChannelError::Malformed { detail: error.to_string() })?;
    match alipay.keys.open_content(&closed) {
        Some(plain) => Ok(Some(plain)),
        None if alipay.keys.content.is_some() => Err(bad("Alipay's answer does not open with the content key")),
        None => Err(bad("Alipay encrypts its answers, and no content key is here")),
    }
}
