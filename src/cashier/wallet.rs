//! How a way to pay is called towards a customer.

use crate::domain::method::{Brand, Flow, Method};
use crate::lang::Lang;

/// A row or a heading about one method. Texts are in one language already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wallet {
    pub code: &'static str,
    pub name: &'static str,
    /// What opens when the customer leaves for it.
    pub place: &'static str,
    /// How it goes on when this is chosen.
    pub hint: &'static str,
    /// What to do with a code of it.
    pub scan: &'static str,
    /// The wallet's colour in the style sheet.
    pub class: &'static str,
    /// One character of our own; owners' logos are theirs.
    pub glyph: &'static str,
}

/// What the app is called that a customer scans with.
pub fn app_name(brand: Brand, lang: Lang) -> &'static str {
    match brand {
        Brand::WeChat => lang.t("微信", "WeChat"),
        Brand::Alipay => lang.t("支付宝", "Alipay"),
        Brand::UnionPay => lang.t("云闪付", "UnionPay"),
    }
}

impl Wallet {
    /// The wallet itself, whatever the way.
    pub fn of_brand(brand: Brand, lang: Lang) -> Wallet {
        Self::of(
            match brand {
                Brand::WeChat => Method::WechatNative,
                Brand::Alipay => Method::AlipayQr,
                Brand::UnionPay => Method::UnionpayQr,
            },
            lang,
        )
    }

    pub fn of(method: Method, lang: Lang) -> Wallet {
        let brand = method.brand();
        let (class, glyph) = match brand {
            Brand::WeChat => ("wechat", "微"),
            Brand::Alipay => ("alipay", "支"),
            Brand::UnionPay => ("unionpay", "云"),
        };
        let name = match (brand, method) {
            (Brand::UnionPay, Method::UnionpayGateway) => lang.t("银联在线支付", "UnionPay online"),
            (Brand::WeChat, _) => lang.t("微信支付", "WeChat Pay"),
            (Brand::Alipay, _) => lang.t("支付宝", "Alipay"),
            (Brand::UnionPay, _) => lang.t("云闪付", "UnionPay"),
        };
        let place = match brand {
            Brand::WeChat => lang.t("微信", "WeChat Pay"),
            Brand::Alipay => lang.t("支付宝", "Alipay"),
            Brand::UnionPay => lang.t("银联", "UnionPay"),
        };
        let hint = match (method.flow(), brand) {
            (Flow::QrCode, _) => lang.t("扫二维码付款", "Scan a code"),
            (Flow::Redirect, _) if method == Method::AlipayPage => lang.t("登录支付宝付款", "Log in at Alipay"),
            (Flow::Redirect, Brand::WeChat) => lang.t("打开微信付款", "Opens WeChat"),
            (Flow::Redirect, Brand::Alipay) => lang.t("打开支付宝付款", "Opens Alipay"),
            (Flow::Redirect, Brand::UnionPay) if method == Method::UnionpayWap => {
                lang.t("打开云闪付，或用银行卡付款", "Opens UnionPay, or pay by card")
            }
            (Flow::Redirect, Brand::UnionPay) => lang.t("用银行卡在银联页面付款", "Pay by bank card at UnionPay"),
            (Flow::JsApi, Brand::WeChat) => lang.t("在微信里直接付款", "Pay here in WeChat"),
            (Flow::App | Flow::JsApi, _) => lang.t("在应用里付款", "Pay in the app"),
            (Flow::BarCode, _) => lang.t("出示付款码", "Show your payment code"),
        };
        let scan = match brand {
            Brand::WeChat => lang.t("用微信扫一扫", "Scan with WeChat"),
            Brand::Alipay => lang.t("用支付宝扫一扫", "Scan with Alipay"),
            Brand::UnionPay => lang.t("用云闪付扫一扫", "Scan with the UnionPay app"),
        };
        Wallet { code: method.code(), name, place, hint, scan, class, glyph }
    }
}
