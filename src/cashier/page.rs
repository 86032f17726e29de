//! What the templates print.

use askama::Template;

use super::device::Device;
use super::stage::{Note, Stage, is_web_address};
use super::wallet::{Wallet, app_name};
use crate::domain::ids::Mode;
use crate::domain::merchant::Merchant;
use crate::domain::method::Brand;
use crate::domain::money::Money;
use crate::domain::payment::Payment;
use crate::domain::time::Timestamp;
use crate::lang::Text;
use crate::web::{Page, QrCode};

/// From this many characters on, an amount is set smaller so that it stays on one line.
const LONG_AMOUNT_CHARS: usize = 11;

/// The page at `/c/{token}`.
#[derive(Template)]
#[template(path = "cashier/page.html")]
pub(super) struct CashierPage {
    page: Page,
    bill: Bill,
    links: Links,
    stage: Stage,
    /// Of the method being paid with.
    wallet: Option<Wallet>,
    /// What can be chosen.
    rows: Vec<Wallet>,
    qr: Option<QrCode>,
    /// The simulated phone, in test mode.
    test_phone: Option<String>,
    /// The wallets that one code serves, and that code.
    served: Vec<Wallet>,
    one_for_all: Option<QrCode>,
    extras: Extras,
    /// Changes whenever the page would look different.
    mark: String,
}

/// What else the page has to know about where it is shown.
pub(super) struct Extras {
    pub device: Device,
    /// The page's whole address, as a code shows it.
    pub address: String,
    /// Phones can open that address.
    pub reachable: bool,
    /// Plays WeChat's own sheet in test mode.
    pub stand_in: Option<String>,
    /// Where the simulated payer's phone is for the code that is shown.
    pub test_phone: Option<String>,
    /// What helps after the last attempt was refused, where the channel's code says it.
    pub advice: Option<Text>,
}

/// What is paid, and to whom.
pub(super) struct Bill {
    merchant: String,
    amount: Money,
    description: String,
    order_id: String,
    expires_at: Timestamp,
    paid_at: Option<Timestamp>,
    test: bool,
}

/// Where one can go from here. The shop's addresses are left out when they are not web addresses.
pub(super) struct Links {
    here: String,
    /// The query that live status repeats, so that it describes the very page that asks.
    query: String,
    /// What forms add to their address, so that it stays.
    kept: String,
    /// After success.
    shop: Option<String>,
    /// Without success.
    back: Option<String>,
    can_change: bool,
}

impl Bill {
    pub fn of(merchant: &Merchant, payment: &Payment, mode: Mode) -> Bill {
        Bill {
            merchant: merchant.name.clone(),
            amount: payment.amount,
            description: payment.description.clone(),
            order_id: payment.order_id.clone(),
            expires_at: payment.expires_at,
            paid_at: payment.paid_at,
            test: mode == Mode::Test,
        }
    }

    /// The first character of the name stands for the logo.
    fn initial(&self) -> String {
        self.merchant.chars().next().map_or_else(|| "·".to_owned(), |c| c.to_uppercase().collect())
    }

    fn is_long(&self) -> bool {
        self.amount.to_display().chars().count() >= LONG_AMOUNT_CHARS
    }
}

impl Links {
    pub fn of(here: String, query: String, kept: String, payment: &Payment) -> Links {
        let web = |address: &Option<String>| address.clone().filter(|address| is_web_address(address));
        let shop = web(&payment.return_url);
        let back = web(&payment.cancel_url).or_else(|| shop.clone());
        Links { here, query, kept, shop, back, can_change: payment.method.is_none() }
    }
}

impl CashierPage {
    pub fn new(page: Page, bill: Bill, links: Links, stage: Stage, extras: Extras, mark: String) -> CashierPage {
        let lang = page.lang;
        let wallet = match &stage {
            Stage::Preparing { method, .. }
            | Stage::Begin { method, .. }
            | Stage::Elsewhere { method, .. }
            | Stage::Scan { method, .. }
            | Stage::Leave { method, .. }
            | Stage::Post { method, .. }
            | Stage::Bridge { method, .. }
            | Stage::InApp { method }
            | Stage::Paid { method: Some(method), .. } => Some(Wallet::of(*method, lang)),
            Stage::Choose { .. }
            | Stage::Ending { .. }
            | Stage::Held
            | Stage::Paid { method: None, .. }
            | Stage::LateHeld
            | Stage::Expired
            | Stage::Canceled
            | Stage::Failed => None,
        };
        let mut rows = Vec::new();
        if let Stage::Choose { methods, .. } = &stage {
            rows.extend(methods.iter().map(|method| Wallet::of(*method, lang)));
        }
        let (mut qr, test_phone) = (None, extras.test_phone.clone().filter(|address| is_web_address(address)));
        if let Stage::Scan { data, .. } = &stage {
            // No wallet can read a simulated code, but every camera can follow the address of the phone that plays it.
            let data = test_phone.as_ref().unwrap_or(data);
            let label = wallet.as_ref().map_or("", |wallet| wallet.scan);
            // A code that cannot be drawn leaves its place empty; the other ways to pay stand below it.
            qr = QrCode::draw(data, label).inspect_err(|why| tracing::error!("no code to show: {why}")).ok();
        }
        let mut served = Vec::new();
        let mut one_for_all = None;
        if let Stage::Choose { scanners: brands, .. } | Stage::Elsewhere { scanners: brands, .. } = &stage
            && !brands.is_empty()
        {
            served.extend(brands.iter().map(|brand| Wallet::of_brand(*brand, lang)));
            let label = lang.t("用手机扫码付款", "Scan with your phone to pay");
            one_for_all = QrCode::draw(&extras.address, label).ok();
        }
        CashierPage { page, bill, links, stage, wallet, rows, qr, test_phone, served, one_for_all, extras, mark }
    }

    /// The apps of the one code in a row: "A, B or C".
    fn served_names(&self) -> String {
        let (Stage::Choose { scanners, .. } | Stage::Elsewhere { scanners, .. }) = &self.stage else {
            return String::new();
        };
        let names: Vec<&str> = scanners.iter().map(|brand| app_name(*brand, self.page.lang)).collect();
        match (self.page.zh(), names.split_last()) {
            (true, _) => names.join("、"),
            (false, Some((last, others))) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
            (false, _) => names.join(""),
        }
    }

    /// WeChat on a phone reads a code in the page that is pressed long.
    fn reads_pressed_codes(&self) -> bool {
        let wechat = Some(Brand::WeChat);
        let shows = matches!(&self.stage, Stage::Scan { method, .. } if Some(method.brand()) == wechat);
        shows && self.extras.device.phone && self.extras.device.inside == wechat
    }

    /// What to do after a refusal; `otherwise` where nobody knows better.
    fn advice(&self, otherwise: &'static str) -> &'static str {
        self.extras.advice.map_or(otherwise, |advice| advice.get(self.page.lang))
    }

    /// Devices to try the page on, in test mode.
    fn pretended(&self) -> Vec<(&'static str, &'static str)> {
        let lang = self.page.lang;
        let name = |word| {
            let inside = Device::pretended(word).inside;
            inside.map_or(lang.t("手机浏览器", "A phone's browser"), |brand| app_name(brand, lang))
        };
        Device::PRETENDED.into_iter().map(|word| (word, name(word))).collect()
    }

    /// One parameter of WeChat's sheet.
    fn param(&self, name: &str) -> &str {
        match &self.stage {
            Stage::Bridge { params, .. } => params.get(name).map_or("", String::as_str),
            _ => "",
        }
    }

    /// Name of the wallet in a sentence.
    fn wallet_name(&self) -> &'static str {
        self.wallet.as_ref().map_or(self.page.lang.t("支付渠道", "the wallet"), |wallet| wallet.name)
    }

    /// Where the customer goes to pay.
    fn place(&self) -> &'static str {
        self.wallet.as_ref().map_or(self.page.lang.t("支付页面", "the wallet"), |wallet| wallet.place)
    }

    /// The customer may still give up.
    fn can_cancel(&self) -> bool {
        match self.stage {
            Stage::Choose { .. }
            | Stage::Begin { .. }
            | Stage::Elsewhere { .. }
            | Stage::Preparing { .. }
            | Stage::Scan { .. }
            | Stage::Leave { .. }
            | Stage::Post { .. }
            | Stage::Bridge { .. }
            | Stage::InApp { .. } => true,
            Stage::Ending { .. }
            | Stage::Held
            | Stage::Paid { .. }
            | Stage::LateHeld
            | Stage::Expired
            | Stage::Canceled
            | Stage::Failed => false,
        }
    }

    /// The wallet was opened or a code shown, so the money may be on its way.
    fn may_have_paid(&self) -> bool {
        self.can_cancel() && !matches!(self.stage, Stage::Choose { .. } | Stage::Begin { .. } | Stage::Preparing { .. })
    }

    /// Another way to pay can be chosen.
    fn can_change(&self) -> bool {
        self.links.can_change && self.can_cancel() && !matches!(self.stage, Stage::Choose { .. })
    }

    /// Back to the shop where the order ended without success.
    fn way_back(&self) -> Option<&str> {
        let paid = matches!(self.stage, Stage::Paid { .. });
        self.links.back.as_deref().filter(|_| !paid)
    }

    /// Where the browser goes by itself, and after how many seconds.
    fn forward(&self) -> Option<(u32, &str)> {
        if let Stage::Leave { url, forward: true, .. } = &self.stage {
            return Some((1, url));
        }
        let done = matches!(self.stage, Stage::Paid { fresh: true, late: false, .. });
        self.links.shop.as_deref().filter(|_| done).map(|shop| (3, shop))
    }
}

/// A page without a payment: a wrong link, or trouble on our side.
#[derive(Template)]
#[template(path = "cashier/lost.html")]
pub(super) struct LostPage {
    pub page: Page,
    pub lost: Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// The address names no payment.
    NoSuchLink,
    /// Too much at once.
    Busy,
    /// Something broke.
    Broken,
}

/// Where this face's form leads, when that is not to us.
pub(super) fn form_target<'a>(stage: &'a Stage, extras: &'a Extras) -> Option<&'a str> {
    match stage {
        Stage::Post { url, .. } => Some(url),
        Stage::Bridge { .. } => extras.stand_in.as_deref(),
        _ => None,
    }
}
