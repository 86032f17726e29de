//! Payment methods: what a customer can choose, by the codes the API uses.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::time::Duration;

/// Whose wallet or network moves the money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Brand {
    WeChat,
    Alipay,
    UnionPay,
}

impl Flow {
    /// The customer brings something along that the channel is told once: the digits of a code, or a name in the wallet.
    pub const fn takes_something_along(self) -> bool {
        match self {
            Flow::BarCode | Flow::JsApi => true,
            Flow::QrCode | Flow::Redirect | Flow::App => false,
        }
    }
}

impl Brand {
    pub const ALL: [Brand; 3] = [Brand::WeChat, Brand::Alipay, Brand::UnionPay];

    pub const fn code(self) -> &'static str {
        match self {
            Brand::WeChat => "wechat",
            Brand::Alipay => "alipay",
            Brand::UnionPay => "unionpay",
        }
    }
}

/// How the customer gets from the shop to the wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Flow {
    /// The customer scans a code that we show.
    QrCode,
    /// The browser goes to a page of the channel.
    Redirect,
    /// The shop's app opens the wallet with signed parameters.
    App,
    /// A page inside the wallet calls its script with signed parameters.
    JsApi,
    /// The shop scans a code that the customer shows (付款码).
    BarCode,
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident $code:literal $brand:ident $flow:ident $zh:literal $en:literal;)*) => {
        /// A way to pay. Codes are append-only and never renamed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Method { $($(#[$doc])* #[serde(rename = $code)] $name,)* }

        impl Method {
            pub const ALL: &[Method] = &[$(Method::$name,)*];

            pub const fn code(self) -> &'static str {
                match self { $(Method::$name => $code,)* }
            }

            pub const fn brand(self) -> Brand {
                match self { $(Method::$name => Brand::$brand,)* }
            }

            pub const fn flow(self) -> Flow {
                match self { $(Method::$name => Flow::$flow,)* }
            }

            pub const fn name_zh(self) -> &'static str {
                match self { $(Method::$name => $zh,)* }
            }

            pub const fn name_en(self) -> &'static str {
                match self { $(Method::$name => $en,)* }
            }
        }
    };
}

methods! {
    WechatNative "wechat_native" WeChat QrCode "微信扫码" "WeChat Pay QR";
    WechatJsapi "wechat_jsapi" WeChat JsApi "微信内支付" "WeChat Pay in WeChat";
    WechatMini "wechat_mini" WeChat JsApi "微信小程序" "WeChat mini program";
    WechatH5 "wechat_h5" WeChat Redirect "微信 H5" "WeChat Pay mobile web";
    WechatApp "wechat_app" WeChat App "微信 App" "WeChat Pay in app";
    WechatBarcode "wechat_barcode" WeChat BarCode "微信付款码" "WeChat payment code";
    AlipayQr "alipay_qr" Alipay QrCode "支付宝扫码" "Alipay QR";
    AlipayPage "alipay_page" Alipay Redirect "支付宝网页" "Alipay on the web";
    AlipayWap "alipay_wap" Alipay Redirect "支付宝手机网页" "Alipay mobile web";
    AlipayApp "alipay_app" Alipay App "支付宝 App" "Alipay in app";
    AlipayBarcode "alipay_barcode" Alipay BarCode "支付宝付款码" "Alipay payment code";
    UnionpayGateway "unionpay_gateway" UnionPay Redirect "银联网关" "UnionPay gateway";
    UnionpayQr "unionpay_qr" UnionPay QrCode "云闪付扫码" "UnionPay QR";
    UnionpayApp "unionpay_app" UnionPay App "云闪付 App" "UnionPay in app";
    UnionpayBarcode "unionpay_barcode" UnionPay BarCode "云闪付付款码" "UnionPay payment code";
    AlipayMini "alipay_mini" Alipay JsApi "支付宝小程序" "Alipay mini program";
    UnionpayWap "unionpay_wap" UnionPay Redirect "银联手机网页" "UnionPay mobile web";
}

/// How long the page of an H5 payment can be opened. Source: WeChat Pay API v3, "H5下单", h5_url.
const H5_OPENS: Duration = Duration::from_minutes(5);

impl Method {
    /// How long what the customer was given for it can be used, where that is shorter than the order lives.
    pub fn opens_for(self) -> Option<Duration> {
        (self == Method::WechatH5).then_some(H5_OPENS)
    }

    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|m| m.code() == code)
    }

    /// Whose code a customer shows (付款码), told by its digits. Sources: WeChat Pay, code payment, `auth_code`: 18 digits
    /// that begin with 10 to 15; Alipay, `alipay.trade.pay`, `auth_code`: 16 to 24 digits that begin with 25 to 30;
    /// UnionPay, QR code payment, `qrNo`: begins with 62 and has up to 20 digits, usually 19.
    pub fn of_shown_code(digits: &str) -> Option<Self> {
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let begins = digits.get(..2)?.parse::<u8>().ok()?;
        match (begins, digits.len()) {
            (10..=15, 18) => Some(Method::WechatBarcode),
            (25..=30, 16..=24) => Some(Method::AlipayBarcode),
            (62, 16..=20) => Some(Method::UnionpayBarcode),
            _ => None,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_code_tells_its_wallet() {
        for (digits, method) in [
            ("134567890123456789", Some(Method::WechatBarcode)),
            ("100000000000000000", Some(Method::WechatBarcode)),
            ("159999999999999999", Some(Method::WechatBarcode)),
            ("2812345678901234", Some(Method::AlipayBarcode)),
            ("301234567890123456789012", Some(Method::AlipayBarcode)),
            ("1345678901234567", None),
            ("1634567890123456789", None),
            ("6220485073630469936", Some(Method::UnionpayBarcode)),
            ("622048507363046993612", None),
            ("31123456789012345", None),
            ("28123456789012345678901234", None),
            ("28123456789012x4", None),
            ("１３4567890123456789", None),
            ("", None),
        ] {
            assert_eq!(Method::of_shown_code(digits), method, "{digits}");
        }
    }
}
