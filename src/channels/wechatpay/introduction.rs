//! Who the customer is towards the official account (openid), which an order inside WeChat has to name.
//!
//! The browser goes through WeChat without being asked anything (`snsapi_base`) and comes back with a code, which the
//! account's own secret exchanges. Source: WeChat official accounts platform, 网页授权.

use serde::Deserialize;

use super::bad;
use super::response::{malformed, parse};
use crate::channels::text::{encoded, shortened_to};
use crate::channels::{ChannelError, Introduction};
use crate::crypto::Secret;
use crate::env::transport::{Method as Verb, OutgoingRequest, OutgoingResponse};

/// Where browsers are asked. Source: 网页授权, 第一步.
pub const BROWSER_HOST: &str = "https://open.weixin.qq.com";
/// Where codes are exchanged. Source: the same, 第二步.
pub const EXCHANGE_HOST: &str = "https://api.weixin.qq.com";
/// Bytes of a code; real ones have 32.
const CODE_MAX_BYTES: usize = 128;
/// Bytes of an openid. Source: WeChat Pay API v3, "JSAPI下单".
pub const OPENID_MAX_BYTES: usize = 128;

/// Where the provider is reached, for the three things that it does at hosts of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    /// Payments.
    pub api: String,
    /// Customers' browsers.
    pub browser: String,
    pub exchange: String,
    /// A page that plays WeChat for parameters of an order inside of it.
    pub stand_in: Option<String>,
}

impl Hosts {
    pub fn real() -> Hosts {
        let [api, browser, exchange] = [super::HOST, BROWSER_HOST, EXCHANGE_HOST].map(str::to_owned);
        Hosts { api, browser, exchange, stand_in: None }
    }

    /// All at one address that the account has instead.
    pub fn at(base_url: &str) -> Hosts {
        let base_url = base_url.trim_end_matches('/');
        if base_url == super::HOST {
            return Hosts::real();
        }
        let [api, browser, exchange] = [(); 3].map(|()| base_url.to_owned());
        Hosts { api, browser, exchange, stand_in: None }
    }

    /// The simulator, as this process and as customers' browsers reach it.
    pub fn simulated(own: &str, public: &str) -> Hosts {
        let [own, public] = [own, public].map(|url| url.trim_end_matches('/').to_owned());
        Hosts { api: own.clone(), stand_in: Some(format!("{public}/jsapi")), browser: public, exchange: own }
    }
}

/// An official account that can find out who its visitors are.
pub(super) struct Introducer {
    pub app_id: String,
    pub secret: Secret,
    pub hosts: Hosts,
}

/// What the exchange answers. Errors come with status 200 as well.
#[derive(Deserialize)]
struct Exchanged {
    #[serde(default)]
    openid: Option<String>,
    #[serde(default)]
    errcode: Option<i64>,
    #[serde(default)]
    errmsg: Option<String>,
}

impl Introduction for Introducer {
    fn address(&self, return_to: &str, state: &str) -> String {
        // WeChat wants the parameters in this order and the fragment behind them.
        format!(
            "{}/connect/oauth2/authorize?appid={}&redirect_uri={}&response_type=code&scope=snsapi_base&state={state}#wechat_redirect",
            self.hosts.browser,
            self.app_id,
            encoded(return_to)
        )
    }

    fn request(&self, code: &str) -> Result<OutgoingRequest, ChannelError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        if code.is_empty() || code.len() > CODE_MAX_BYTES || !code.bytes().all(plain) {
            return Err(ChannelError::Unfit { detail: "this is no code of WeChat's".to_owned() });
        }
        let secret = std::str::from_utf8(self.secret.expose()).map_err(|_| bad("the app secret is not text"))?;
        let url = format!(
            "{}/sns/oauth2/access_token?appid={}&secret={}&code={code}&grant_type=authorization_code",
            self.hosts.exchange,
            self.app_id,
            encoded(secret)
        );
        let headers = vec![
            ("accept".to_owned(), "application/json".to_owned()),
            ("user-agent".to_owned(), concat!("coffer/", env!("CARGO_PKG_VERSION")).to_owned()),
        ];
        Ok(OutgoingRequest { method: Verb::Get, url, headers, body: Vec::new(), identity: None })
    }

    fn read(&self, response: &OutgoingResponse) -> Result<String, ChannelError> {
        if response.truncated || response.status != 200 {
            return Err(malformed(&format!("HTTP {} without an openid", response.status)));
        }
        let answer: Exchanged = parse(&response.body)?;
        if let Some(code) = answer.errcode.filter(|code| *code != 0) {
            let detail = format!("{code} {}", shortened_to(&answer.errmsg.unwrap_or_default(), 128));
            return Err(match code {
                // Invalid app id, invalid secret, address not among the allowed. Source: 全局返回码.
                40001 | 40013 | 40125 | 40164 => ChannelError::Credentials { detail },
                // Not a code, expired, or used before.
                _ => ChannelError::NotGenuine { detail },
            });
        }
        let openid = answer.openid.filter(|id| is_openid(id));
        openid.ok_or_else(|| malformed("an answer without an openid"))
    }

    fn stand_in(&self) -> Option<String> {
        self.hosts.stand_in.clone()
    }
}

/// Letters, digits, `-` and `_`; real ones have 28.
pub fn is_openid(text: &str) -> bool {
    (1..=OPENID_MAX_BYTES).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_of_its_own_address_has_everything_there() {
        assert_eq!(Hosts::at("https://api.mch.weixin.qq.com/"), Hosts::real());
        let own = Hosts::at("https://proxy.example/wx/");
        assert_eq!((own.api.as_str(), own.exchange.as_str()), ("https://proxy.example/wx", "https://proxy.example/wx"));
        let simulated = Hosts::simulated("http://127.0.0.1:8080/sim/wechatpay", "https://pay.example/sim/wechatpay");
        assert_eq!(simulated.exchange, "http://127.0.0.1:8080/sim/wechatpay");
        assert_eq!(simulated.browser, "https://pay.example/sim/wechatpay");
        assert_eq!(simulated.stand_in.as_deref(), Some("https://pay.example/sim/wechatpay/jsapi"));
    }
}
