//! The shop's pages: what is for sale, one order, all orders. They work without script.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::goods::{GOODS, Item};
use super::order::{Heard, How, News, ShopOrder, Status};
use super::{Inner, PATH, Shop, callback};
use crate::domain::money::Money;
use crate::store::StoreError;
use crate::web::{ErrorPage, Icon, Page, Trouble};

/// Largest form, in bytes.
const FORM_MAX_BYTES: usize = 1024;
/// Largest callback that is read, in bytes.
const CALLBACK_MAX_BYTES: usize = 128 * 1024;
/// Pieces that one order may have.
const PIECES_MAX: u32 = 9;
/// How soon a page that waits for money looks again, in seconds.
const LOOK_AGAIN_S: u32 = 4;

/// Adds the shop, on its own port or beside other rooms.
pub fn routes(shop: &Shop, config: &mut web::ServiceConfig) {
    config.app_data(web::Data::new(shop.clone())).service(
        web::scope(PATH)
            .app_data(web::PayloadConfig::new(FORM_MAX_BYTES))
            .route("", crate::web::reading().to(front))
            .route("/buy", web::post().to(buy))
            .route("/orders", crate::web::reading().to(orders))
            .route("/orders/{number}", crate::web::reading().to(order))
            .route("/orders/{number}/pay", web::post().to(pay))
            .service(
                web::resource("/callback")
                    .app_data(web::PayloadConfig::new(CALLBACK_MAX_BYTES))
                    .route(web::post().to(callback::receive)),
            ),
    );
}

#[derive(Template)]
#[template(path = "sandbox/shop.html")]
struct Front<'a> {
    page: &'a Page,
    shop: &'a str,
    first: &'static Item,
    rest: &'static [Item],
}

#[derive(Template)]
#[template(path = "sandbox/shop_order.html")]
struct OrderPage<'a> {
    page: &'a Page,
    shop: &'a str,
    order: &'a ShopOrder,
    item: Option<&'static Item>,
    console_url: String,
}

#[derive(Template)]
#[template(path = "sandbox/shop_orders.html")]
struct OrdersPage<'a> {
    page: &'a Page,
    shop: &'a str,
    orders: &'a [ShopOrder],
}

/// How an order's state is shown: class and word.
fn badge(page: &Page, order: &ShopOrder) -> (&'static str, &'static str) {
    let t = |zh, en| page.lang.t(zh, en);
    match order.status {
        Status::New => ("idle", t("未提交", "Not sent yet")),
        Status::Waiting => ("now", t("待付款", "Waiting for payment")),
        Status::Paid if order.fully_refunded() => ("idle", t("已退款", "Refunded")),
        Status::Paid if order.refunded_minor > 0 => ("warn", t("部分退款", "Partly refunded")),
        Status::Paid if order.late => ("warn", t("已付款（迟到）", "Paid late")),
        Status::Paid => ("ok", t("已付款", "Paid")),
        Status::Expired => ("idle", t("已过期", "Expired")),
        Status::Canceled => ("idle", t("已取消", "Canceled")),
        Status::Failed => ("bad", t("付款失败", "Payment failed")),
    }
}

fn item_name(page: &Page, order: &ShopOrder) -> String {
    Item::find(&order.item).map_or_else(|| order.item.clone(), |item| item.name.get(page.lang).to_owned())
}

impl OrderPage<'_> {
    fn headline(&self) -> &'static str {
        let t = |zh, en| self.page.lang.t(zh, en);
        match self.order.status {
            Status::New => t("订单还没提交成功", "The order was not sent yet"),
            Status::Waiting => t("等待付款", "Waiting for your payment"),
            Status::Paid if self.order.fully_refunded() => t("已全额退款", "Refunded in full"),
            Status::Paid => t("已付款，谢谢！", "Paid. Thank you!"),
            Status::Expired => t("订单已过期", "The order has expired"),
            Status::Canceled => t("订单已取消", "The order was canceled"),
            Status::Failed => t("付款没有成功", "The payment failed"),
        }
    }

    fn sentence(&self) -> &'static str {
        let t = |zh, en| self.page.lang.t(zh, en);
        match self.order.status {
            Status::New => t("没有扣款，可以放心重试。", "Nothing was charged; it is safe to try again."),
            Status::Waiting => t("付好后本页会自己更新。", "This page updates itself once it is paid."),
            Status::Paid if self.order.fully_refunded() => {
                t("款项已原路退回。", "The money went back the way it came.")
            }
            Status::Paid if self.order.late => t(
                "款项在订单结束后才到，仍然算数。",
                "The money came after the order had ended, and counts all the same.",
            ),
            Status::Paid => t("我们这就包装，一两天内寄出。", "We are wrapping it; it leaves within two days."),
            Status::Expired | Status::Canceled | Status::Failed => {
                t("没有扣款。想要的话，可以重新下单。", "Nothing was charged. You can order again any time.")
            }
        }
    }

    fn waits(&self) -> bool {
        self.order.status == Status::Waiting
    }

    fn mark(&self) -> (&'static str, Icon) {
        match self.order.status {
            Status::New => ("idle", Icon::Alert),
            Status::Waiting => ("now", Icon::Clock),
            Status::Paid if self.order.fully_refunded() => ("idle", Icon::Refunds),
            Status::Paid => ("", Icon::Check),
            Status::Expired | Status::Canceled => ("idle", Icon::Clock),
            Status::Failed => ("bad", Icon::Cross),
        }
    }

    fn source(&self, heard: &Heard) -> String {
        match &heard.how {
            How::Callback { kind, .. } => {
                format!("{} {kind}", self.page.t("收到回调", "Callback"))
            }
            How::Asked => self.page.t("向钱匣查询", "Asked Coffer").to_owned(),
        }
    }

    fn meaning(&self, heard: &Heard) -> String {
        let t = |zh, en| self.page.lang.t(zh, en);
        match heard.news {
            News::Became(Status::New | Status::Waiting) => t("订单待付款", "the order waits for payment").to_owned(),
            News::Became(Status::Paid) => t("标为已付款", "marked as paid").to_owned(),
            News::Became(Status::Expired) => t("标为已过期", "marked as expired").to_owned(),
            News::Became(Status::Canceled) => t("标为已取消", "marked as canceled").to_owned(),
            News::Became(Status::Failed) => t("标为付款失败", "marked as failed").to_owned(),
            News::Refunded(minor) => {
                let amount = Money::new(minor, self.order.amount.currency()).to_display();
                format!("{} {amount}", t("共已退款", "refunded so far:"))
            }
            News::Nothing => t("已经知道", "known already").to_owned(),
            News::Old => t("比已知的旧，忽略", "older than what is known, ignored").to_owned(),
            News::Contradicts => t("与订单不符，不采信", "does not fit the order, not believed").to_owned(),
        }
    }
}

impl OrdersPage<'_> {
    fn badge(&self, order: &ShopOrder) -> (&'static str, &'static str) {
        badge(self.page, order)
    }

    fn item_name(&self, order: &ShopOrder) -> String {
        item_name(self.page, order)
    }
}

async fn front(request: HttpRequest, shop: web::Data<Shop>) -> HttpResponse {
    let inner = &shop.0;
    let page = Page::read(&request, inner.env.now());
    let [first, rest @ ..] = &GOODS;
    let body = Front { page: &page, shop: &inner.settings.name, first, rest };
    inner.guarded(page.respond(StatusCode::OK, &body))
}

async fn orders(request: HttpRequest, shop: web::Data<Shop>) -> HttpResponse {
    let inner = &shop.0;
    let page = Page::read(&request, inner.env.now());
    match inner.newest().await {
        Ok(orders) => {
            let body = OrdersPage { page: &page, shop: &inner.settings.name, orders: &orders };
            inner.guarded(page.respond(StatusCode::OK, &body))
        }
        Err(error) => busy(&page, &error),
    }
}

/// Also where the cashier sends the customer back to. Nothing in the address is believed: Coffer is asked.
async fn order(request: HttpRequest, number: web::Path<String>, shop: web::Data<Shop>) -> HttpResponse {
    let inner = &shop.0;
    let page = Page::read(&request, inner.env.now());
    match inner.look(&number).await {
        Ok(Some(order)) => {
            let payment = order.payment.as_deref().unwrap_or_default();
            let body = OrderPage {
                page: &page,
                shop: &inner.settings.name,
                order: &order,
                item: Item::find(&order.item),
                console_url: format!("{}/console/payments/{payment}", inner.settings.gateway_url),
            };
            inner.guarded(page.respond(StatusCode::OK, &body))
        }
        Ok(None) => missing(&page),
        Err(error) => busy(&page, &error),
    }
}

async fn buy(request: HttpRequest, body: web::Bytes, shop: web::Data<Shop>) -> HttpResponse {
    let inner = &shop.0;
    let page = Page::read(&request, inner.env.now());
    let field = |wanted: &str| url::form_urlencoded::parse(&body).find(|(name, _)| name == wanted).map(|(_, v)| v);
    let item = field("item").and_then(|slug| Item::find(&slug));
    let pieces = field("pieces").map_or(Some(1), |text| text.parse().ok());
    let (Some(item), Some(pieces @ 1..=PIECES_MAX)) = (item, pieces) else { return missing(&page) };
    match inner.place(item, pieces, page.lang).await {
        Ok(Some(order)) => inner.to_cashier(&page, &order).await,
        Ok(None) => missing(&page),
        Err(error) => busy(&page, &error),
    }
}

/// Tries again to reach the cashier with an order that is there already.
async fn pay(request: HttpRequest, number: web::Path<String>, shop: web::Data<Shop>) -> HttpResponse {
    let inner = &shop.0;
    let page = Page::read(&request, inner.env.now());
    match inner.order(&number).await {
        Ok(Some(order)) if order.status.is_final() => see_other(&inner.order_url(&order.number)),
        Ok(Some(order)) => inner.to_cashier(&page, &order).await,
        Ok(None) => missing(&page),
        Err(error) => busy(&page, &error),
    }
}

impl Inner {
    /// Asks for the payment, and sends the customer where it can be paid; without an answer, back to the order.
    async fn to_cashier(&self, page: &Page, order: &ShopOrder) -> HttpResponse {
        let (target, stored) = match self.create_payment(order).await {
            Ok(told) => (told.checkout_url.clone(), self.heard(&order.number, told).await),
            Err(trouble) => (self.order_url(&order.number), self.troubled(&order.number, trouble).await),
        };
        match stored {
            Ok(()) => see_other(&target),
            Err(error) => busy(page, &error),
        }
    }

    /// The order, after Coffer was asked about it if it can still change.
    async fn look(&self, number: &str) -> Result<Option<ShopOrder>, StoreError> {
        let Some(order) = self.order(number).await? else { return Ok(None) };
        let Some(payment) = &order.payment else { return Ok(Some(order)) };
        match self.ask(&order, payment).await {
            Ok(told) => self.heard(number, told).await?,
            // The page shows what is known; the callback or the next look will tell.
            Err(trouble) => tracing::info!(number, "the demo's shop could not ask: {trouble}"),
        }
        self.order(number).await
    }

    /// A form of this shop leads to the cashier, which may be another origin: browsers follow only where the policy allows.
    fn guarded(&self, mut response: HttpResponse) -> HttpResponse {
        let policy = format!(
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' {}; base-uri 'none'; \
             frame-ancestors 'none'",
            self.settings.gateway_url
        );
        if let Ok(policy) = header::HeaderValue::from_str(&policy) {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}

fn see_other(url: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, url)).finish()
}

fn missing(page: &Page) -> HttpResponse {
    ErrorPage::new(page, Trouble::NotFound, PATH).respond()
}

fn busy(page: &Page, error: &StoreError) -> HttpResponse {
    tracing::warn!("the demo's shop could not reach the store: {error}");
    ErrorPage::new(page, Trouble::Busy { retry_after_seconds: LOOK_AGAIN_S }, PATH).respond()
}
