//! What the customer holds in the hand, as far as it decides which ways to pay work there.

use crate::domain::method::{Brand, Flow, Method};

/// The wallet whose own browser shows the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    pub inside: Option<Brand>,
    /// Too small to be scanned by the phone that it is on.
    pub phone: bool,
}

impl Device {
    /// Reads the `User-Agent` header. A forged one only changes what is offered to the forger.
    pub fn read(user_agent: &str) -> Device {
        let inside = if user_agent.contains("MicroMessenger/") {
            Some(Brand::WeChat)
        } else if user_agent.contains("AlipayClient/") {
            Some(Brand::Alipay)
        } else if user_agent.contains("UnionPay/") {
            Some(Brand::UnionPay)
        } else {
            None
        };
        let phone = ["Mobile", "Android", "iPhone", "iPad"].iter().any(|mark| user_agent.contains(mark));
        // WeChat on a computer names itself as well; there a code can be scanned.
        Device { inside, phone }
    }

    /// Of what the merchant offers, what works here, the handiest first.
    pub fn arrange(self, offers: &[Method]) -> Vec<Method> {
        let mut usable: Vec<(u8, Method)> =
            offers.iter().filter_map(|method| Some((self.rank(*method)?, *method))).collect();
        usable.sort();
        let mut arranged: Vec<Method> = Vec::new();
        for (_, method) in usable {
            // On a phone the wallet is opened; a code to scan is only for wallets that cannot be.
            let spare = self.phone && method.flow() == Flow::QrCode;
            if !(spare && arranged.iter().any(|other| other.brand() == method.brand())) {
                arranged.push(method);
            }
        }
        arranged
    }

    /// Lower is handier; `None` does not work here.
    fn rank(self, method: Method) -> Option<u8> {
        // The two large wallets block each other's pages.
        let blocked = match self.inside {
            Some(Brand::WeChat) => method.brand() == Brand::Alipay,
            Some(Brand::Alipay) => method.brand() == Brand::WeChat,
            Some(Brand::UnionPay) | None => false,
        };
        if blocked {
            return None;
        }
        let own = self.inside == Some(method.brand());
        match method {
            // Source: WeChat Pay, H5 payment is refused inside WeChat itself.
            Method::WechatH5 => (self.phone && !own).then_some(0),
            Method::AlipayWap => self.phone.then_some(0),
            Method::AlipayPage | Method::UnionpayGateway => (!self.phone).then_some(1),
            Method::WechatNative | Method::AlipayQr | Method::UnionpayQr => Some(if self.phone { 2 } else { 0 }),
            // These begin in the shop's app, inside a wallet's program, or at a till.
            Method::WechatJsapi
            | Method::WechatMini
            | Method::WechatApp
            | Method::WechatBarcode
            | Method::AlipayApp
            | Method::AlipayBarcode
            | Method::UnionpayApp
            | Method::UnionpayBarcode => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPUTER: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36";
    const PHONE: &str =
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1";
    const WECHAT: &str = "Mozilla/5.0 (Linux; Android 15; 23127PN0CC) AppleWebKit/537.36 XWEB/1300 MMWEBSDK/2024 Mobile Safari/537.36 MicroMessenger/8.0.50";
    const ALIPAY: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Mobile/15E148 AlipayClient/10.6.80";

    fn offered(user_agent: &str) -> Vec<&'static str> {
        Device::read(user_agent).arrange(Method::ALL).into_iter().map(Method::code).collect()
    }

    #[test]
    fn a_computer_shows_codes_first() {
        assert_eq!(offered(COMPUTER), ["wechat_native", "alipay_qr", "unionpay_qr", "alipay_page", "unionpay_gateway"]);
    }

    #[test]
    fn a_phone_opens_the_wallet_where_it_can() {
        assert_eq!(offered(PHONE), ["wechat_h5", "alipay_wap", "unionpay_qr"]);
    }

    #[test]
    fn no_wallet_offers_its_rival() {
        assert_eq!(offered(WECHAT), ["wechat_native", "unionpay_qr"]);
        assert_eq!(offered(ALIPAY), ["alipay_wap", "unionpay_qr"]);
    }

    #[test]
    fn no_header_is_a_computer() {
        assert_eq!(offered(""), offered(COMPUTER));
    }
}
