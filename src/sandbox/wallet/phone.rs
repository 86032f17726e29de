//! The page that plays the payer's phone. Its address holds an unguessable code; whoever has it can pay, as with a real
//! code, so no other token is needed. Works without script; nothing changes on GET.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use data_encoding::BASE64URL_NOPAD;

use super::fault::{Fault, Faults};
use super::model::{Deed, Planned, TradeState, WalletOrder};
use super::server::PAY_PATH;
use super::{FAULTS, Wallet};
use crate::domain::method::Brand;
use crate::sandbox::provider::pages::phone::common_mishaps;
use crate::store::StoreError;
use crate::web::{ErrorPage, Icon, Page, Trouble};

/// Largest form, in bytes: every fault ticked takes about 500.
const FORM_MAX_BYTES: usize = 4 * 1024;
/// How soon a page that waits for something looks again, in seconds.
const LOOK_AGAIN_S: u32 = 3;
/// An amount with more characters is set smaller.
const AMOUNT_CHARS_LARGE: usize = 10;

/// Adds the page and its two forms.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(
        web::scope(PAY_PATH)
            .app_data(web::PayloadConfig::new(FORM_MAX_BYTES))
            .route("/{code}", crate::web::reading().to(show))
            .route("/{code}", web::post().to(act))
            .route("/{code}/faults", web::post().to(set_faults)),
    );
}

#[derive(Template)]
#[template(path = "sandbox/phone.html")]
struct Phone<'a> {
    page: &'a Page,
    order: &'a WalletOrder,
    payee: &'a str,
    code: &'a str,
}

impl Phone<'_> {
    fn brand(&self) -> Brand {
        self.order.asked.method.brand()
    }

    fn wallet_name(&self) -> &'static str {
        match self.brand() {
            Brand::WeChat => self.page.lang.t("微信支付", "WeChat Pay"),
            Brand::Alipay => self.page.lang.t("支付宝", "Alipay"),
            Brand::UnionPay => self.page.lang.t("云闪付", "UnionPay"),
        }
    }

    fn glyph(&self) -> &'static str {
        match self.brand() {
            Brand::WeChat => "微",
            Brand::Alipay => "支",
            Brand::UnionPay => "云",
        }
    }

    /// The page changes by itself soon.
    fn waits(&self) -> bool {
        self.order.state == TradeState::UserPaying || matches!(self.order.planned, Planned::At(_)) || self.armed()
    }

    /// Will pay once the order is closed.
    fn armed(&self) -> bool {
        self.order.state == TradeState::NotPay && self.order.planned == Planned::AfterClose
    }

    fn payable(&self) -> bool {
        matches!(self.order.state, TradeState::NotPay | TradeState::UserPaying)
    }

    fn is_long(&self) -> bool {
        self.order.asked.amount.to_display().chars().count() > AMOUNT_CHARS_LARGE
    }

    /// Where the payer goes back to, when the browser came from there.
    fn way_back(&self) -> Option<&str> {
        let url = self.order.asked.return_url.as_str();
        (url.starts_with("https://") || url.starts_with("http://")).then_some(url)
    }

    fn paid_another_amount(&self) -> bool {
        self.order.received.as_ref().is_some_and(|received| received.amount != self.order.asked.amount)
    }

    /// What can go wrong while the order can be paid: title and what it shows.
    fn mishaps(&self) -> Vec<(Deed, &'static str, &'static str)> {
        let t = |zh, en| self.page.lang.t(zh, en);
        common_mishaps(self.page)
            .into_iter()
            .chain([
                (
                    Deed::PaySlowly,
                    t("慢慢输密码", "Take time for the password"),
                    t(
                        "八秒后才付款，这期间不能关单",
                        "Pays after eight seconds; until then the order cannot be closed",
                    ),
                ),
                (
                    Deed::Refuse,
                    t("拒绝付款", "Refuse to pay"),
                    t("钱包拒付，商家可以换一种方式再收", "The wallet declines; another method may be tried"),
                ),
            ])
            .collect()
    }

    fn faults(&self) -> Vec<(&'static str, &'static str, bool)> {
        let lang = self.page.lang;
        let row = |fault: &Fault| (fault.code(), fault.text().get(lang), self.order.faults.has(*fault));
        FAULTS.iter().map(row).collect()
    }

    fn misbehaves(&self) -> bool {
        self.order.faults != Faults::NONE
    }
}

async fn show(request: HttpRequest, code: web::Path<String>, wallet: web::Data<Wallet>) -> HttpResponse {
    let page = Page::read(&request, wallet.0.env.now());
    let Some(opened) = read_code(&code) else { return missing(&page) };
    let order = match wallet.order_by_code(opened).await {
        Ok(Some(order)) => order,
        Ok(None) => return missing(&page),
        Err(error) => return busy(&page, &error),
    };
    let payee = match wallet.0.keys.account(&wallet.0.store, &order.asked.mch_id).await {
        Ok(account) => account.map_or_else(String::new, |account| account.name.clone()),
        Err(error) => return busy(&page, &error),
    };
    page.respond(StatusCode::OK, &Phone { page: &page, order: &order, payee: &payee, code: &code })
}

async fn act(
    request: HttpRequest,
    code: web::Path<String>,
    body: web::Bytes,
    wallet: web::Data<Wallet>,
) -> HttpResponse {
    let page = Page::read(&request, wallet.0.env.now());
    let deed = url::form_urlencoded::parse(&body).find(|(name, _)| name == "do").and_then(|(_, v)| Deed::parse(&v));
    let (Some(opened), Some(deed)) = (read_code(&code), deed) else { return missing(&page) };
    match wallet.act(opened, deed).await {
        // Whether it was done or came too late: the page shows what is.
        Ok(Some(Ok(()) | Err(_))) => back(&code),
        Ok(None) => missing(&page),
        Err(error) => busy(&page, &error),
    }
}

async fn set_faults(
    request: HttpRequest,
    code: web::Path<String>,
    body: web::Bytes,
    wallet: web::Data<Wallet>,
) -> HttpResponse {
    let page = Page::read(&request, wallet.0.env.now());
    let Some(opened) = read_code(&code) else { return missing(&page) };
    let ticked = url::form_urlencoded::parse(&body).filter(|(name, _)| name == "fault");
    let faults: Faults = ticked.filter_map(|(_, value)| Fault::parse(&value)).collect();
    match wallet.set_faults(opened, faults).await {
        Ok(Some(())) => back(&code),
        Ok(None) => missing(&page),
        Err(error) => busy(&page, &error),
    }
}

fn read_code(text: &str) -> Option<[u8; 16]> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()?.try_into().ok()
}

fn back(code: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, format!("{PAY_PATH}/{code}"))).finish()
}

fn missing(page: &Page) -> HttpResponse {
    ErrorPage::new(page, Trouble::NotFound, "/").respond()
}

fn busy(page: &Page, error: &StoreError) -> HttpResponse {
    tracing::warn!("the phone page could not reach the store: {error}");
    ErrorPage::new(page, Trouble::Busy { retry_after_seconds: LOOK_AGAIN_S }, "/").respond()
}
