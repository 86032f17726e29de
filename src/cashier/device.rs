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

    /// The devices that a tester can pretend to sit at, by the word in the address.
    pub const PRETENDED: [&'static str; 4] = ["wechat", "alipay", "unionpay", "phone"];

    /// The device of a word in [`Self::PRETENDED`].
    pub fn pretended(word: &str) -> Device {
        Device { inside: Brand::ALL.into_iter().find(|brand| brand.code() == word), phone: true }
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

    /// What a customer who came through the wallet's own scanner wants without being asked: to pay with that wallet.
    pub fn obvious(self, offers: &[Method]) -> Option<Method> {
        let inside = self.inside.filter(|_| self.phone)?;
        let first = self.arrange(offers).into_iter().find(|method| method.brand() == inside)?;
        // WeChat reads a code in its own page when it is pressed long; the others do not.
        (first.flow() != Flow::QrCode || inside == Brand::WeChat).then_some(first)
    }

    /// Whether this works here at all.
    pub fn can(self, method: Method) -> bool {
        self.rank(method).is_some()
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
        // The wallet that one is in comes first.
        let page = if own { 0 } else { 1 };
        match method {
            Method::WechatJsapi => (self.phone && own).then_some(0),
            // Source: WeChat Pay, H5 payment is refused inside WeChat itself.
            Method::WechatH5 => (self.phone && !own).then_some(page),
            Method::AlipayWap => self.phone.then_some(page),
            Method::UnionpayWap => self.phone.then_some(if own { 0 } else { 2 }),
            Method::AlipayPage | Method::UnionpayGateway => (!self.phone).then_some(1),
            Method::WechatNative if self.phone && own => Some(1),
            Method::WechatNative | Method::AlipayQr | Method::UnionpayQr => Some(if self.phone { 3 } else { 0 }),
            // These begin in the shop's app, inside a wallet's program, or at a till.
            Method::WechatMini
            | Method::WechatApp
            | Method::WechatBarcode
            | Method::AlipayApp
            | Method::AlipayMini
            | Method::AlipayBarcode
            | Method::UnionpayApp
            | Method::UnionpayBarcode => None,
        }
    }
}

/// The wallets whose scanner may open this page and pay in it: with two or more, one code serves all of them.
pub fn wallets_that_scan(offers: &[Method]) -> Vec<Brand> {
    let pays = |brand: &Brand| Device { inside: Some(*brand), phone: true }.obvious(offers).is_some();
    Brand::ALL.into_iter().filter(pays).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPUTER: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36";
    const PHONE: &str =
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1";
    const WECHAT: &str = "Mozilla/5.0 (Linux; Android 15; 23127PN0CC) AppleWebKit/537.36 XWEB/1300 MMWEBSDK/2024 Mobile Safari/537.36 MicroMessenger/8.0.50";
    const WECHAT_ON_A_COMPUTER: &str =
        "Mozilla/5.0 (Windows NT 10.0; WOW64) AppleWebKit/537.36 Chrome/107.0 Safari/537.36 MicroMessenger/7.0.20.1781";
    const ALIPAY: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Mobile/15E148 AlipayClient/10.6.80";
    const UNIONPAY: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Mobile/15E148/(com.unionpay.chsp) UnionPay/1.0 CloudPay";

    fn offered(user_agent: &str) -> Vec<&'static str> {
        Device::read(user_agent).arrange(Method::ALL).into_iter().map(Method::code).collect()
    }

    #[test]
    fn each_device_is_offered_what_works_there_and_its_own_wallet_first() {
        let computer = ["wechat_native", "alipay_qr", "unionpay_qr", "alipay_page", "unionpay_gateway"];
        for (user_agent, methods) in [
            (COMPUTER, &computer[..]),
            ("", &computer),
            (WECHAT_ON_A_COMPUTER, &["wechat_native", "unionpay_qr", "unionpay_gateway"]),
            (PHONE, &["wechat_h5", "alipay_wap", "unionpay_wap"]),
            (WECHAT, &["wechat_jsapi", "unionpay_wap"]),
            (ALIPAY, &["alipay_wap", "unionpay_wap"]),
            (UNIONPAY, &["unionpay_wap", "wechat_h5", "alipay_wap"]),
        ] {
            assert_eq!(offered(user_agent), methods, "{user_agent}");
        }
    }

    #[test]
    fn who_scanned_with_a_wallet_is_led_to_it_and_nobody_else_is_led() {
        let codes = [Method::WechatNative, Method::AlipayQr, Method::UnionpayQr];
        for (user_agent, offers, obvious) in [
            (WECHAT, Method::ALL, Some(Method::WechatJsapi)),
            (WECHAT, &codes[..], Some(Method::WechatNative)),
            (WECHAT, &[Method::WechatH5, Method::AlipayWap, Method::UnionpayWap], None),
            (ALIPAY, Method::ALL, Some(Method::AlipayWap)),
            (ALIPAY, &codes, None),
            (UNIONPAY, Method::ALL, Some(Method::UnionpayWap)),
            (UNIONPAY, &codes, None),
            (PHONE, Method::ALL, None),
            (COMPUTER, Method::ALL, None),
            (WECHAT_ON_A_COMPUTER, Method::ALL, None),
        ] {
            assert_eq!(Device::read(user_agent).obvious(offers), obvious, "{user_agent}");
        }
    }

    #[test]
    fn one_code_serves_the_wallets_that_can_pay_in_this_page() {
        assert_eq!(wallets_that_scan(Method::ALL), Brand::ALL);
        let two = [Method::WechatNative, Method::AlipayWap, Method::UnionpayQr];
        assert_eq!(wallets_that_scan(&two), [Brand::WeChat, Brand::Alipay]);
        assert_eq!(wallets_that_scan(&[Method::AlipayQr, Method::UnionpayQr, Method::WechatH5]), []);
    }
}
