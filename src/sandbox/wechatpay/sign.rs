//! Signatures of both directions, as the provider checks and makes them.
//! Source: `WeChat Pay APIv3`, request signature, and verification of answers and callbacks.

use data_encoding::BASE64;
use serde_json::json;

use super::error::WireError;
use crate::crypto::rsa::{Digest, RsaSigner, RsaVerifier};
use crate::domain::time::{Duration, Timestamp};

const SCHEME: &str = "WECHATPAY2-SHA256-RSA2048";
/// A timestamp may be so far from the server's clock.
const WINDOW: Duration = Duration::from_minutes(5);
const NONCE_CHARS_MAX: usize = 32;

/// What a request says about its sender, not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    pub mchid: &'a str,
    pub serial_no: &'a str,
    nonce_str: &'a str,
    timestamp: &'a str,
    signature: &'a str,
}

impl<'a> Claim<'a> {
    /// Reads an `Authorization`, whose parameters may come in any order.
    pub fn parse(header: &'a str) -> Result<Self, WireError> {
        let malformed =
            || WireError::sign("Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》", json!({}));
        let (scheme, rest) = header.trim().split_once(' ').ok_or_else(malformed)?;
        if scheme != SCHEME {
            return Err(WireError::sign("Http头Authorization认证类型不正确", json!({ "issue": scheme })));
        }
        let names = ["mchid", "serial_no", "nonce_str", "timestamp", "signature"];
        let mut found = [None; 5];
        for part in rest.split(',') {
            let (name, quoted) = part.trim().split_once('=').ok_or_else(malformed)?;
            let value = quoted.strip_prefix('"').and_then(|value| value.strip_suffix('"')).ok_or_else(malformed)?;
            let place = names.iter().position(|known| *known == name).ok_or_else(malformed)?;
            if found[place].replace(value).is_some() {
                return Err(malformed());
            }
        }
        let [Some(mchid), Some(serial_no), Some(nonce_str), Some(timestamp), Some(signature)] = found else {
            return Err(malformed());
        };
        Ok(Self { mchid, serial_no, nonce_str, timestamp, signature })
    }

    /// Checks the claim against what was sent, byte for byte. `target` is path and query as they came.
    pub fn verify(
        &self,
        key: &RsaVerifier,
        method: &str,
        target: &str,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), WireError> {
        let plain = (1..=NONCE_CHARS_MAX).contains(&self.nonce_str.len())
            && self.nonce_str.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !plain {
            return Err(WireError::sign("Http头Authorization中的nonce_str不正确", json!({ "issue": "nonce_str" })));
        }
        let seconds: Option<i64> = self.timestamp.parse().ok();
        let sent_at = seconds.map(Timestamp::from_seconds).filter(|at| at.since(now).max(now.since(*at)) <= WINDOW);
        if sent_at.is_none() {
            let detail = json!({ "issue": "timestamp", "value": self.timestamp, "server_time": now.as_seconds() });
            return Err(WireError::sign("Http头Authorization中的timestamp与发起请求的时间不得超过5分钟", detail));
        }
        let head = format!("{method}\n{target}\n{}\n{}\n", self.timestamp, self.nonce_str);
        let message = [head.as_bytes(), body, b"\n"].concat();
        if key.verifies_base64(Digest::Sha256, &message, self.signature) {
            return Ok(());
        }
        let detail = json!({
            "issue": "sign not match",
            "location": "authorization",
            "sign_information": {
                "method": method,
                "url": target,
                "truncated_sign_message": String::from_utf8_lossy(&message),
                "sign_message_length": message.len(),
            },
        });
        Err(WireError::sign("错误的签名，验签失败", detail))
    }
}

/// How an answer or a notification is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Properly,
    /// Not a signature, to see who notices.
    Probe,
}

/// The headers with a signature over `body`; `id` names the key.
pub fn headers(
    signer: &RsaSigner,
    id: &str,
    body: &[u8],
    manner: Manner,
    now: Timestamp,
    nonce: [u8; 16],
) -> Vec<(&'static str, String)> {
    let timestamp = now.as_seconds().to_string();
    let nonce = data_encoding::HEXLOWER.encode(&nonce);
    let message = [format!("{timestamp}\n{nonce}\n").as_bytes(), body, b"\n"].concat();
    let signature = match manner {
        Manner::Properly => signer.sign_sha256_base64(&message),
        // What follows the prefix is cut so that it is not even base64.
        Manner::Probe => format!("WECHATPAY/SIGNTEST/{}", &BASE64.encode(&message_digest(&message))[..41]),
    };
    vec![
        ("Wechatpay-Timestamp", timestamp),
        ("Wechatpay-Nonce", nonce),
        ("Wechatpay-Signature", signature),
        ("Wechatpay-Serial", id.to_owned()),
        ("Wechatpay-Signature-Type", SCHEME.to_owned()),
    ]
}

fn message_digest(message: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, message).as_ref().to_vec()
}
