//! `/sim/phone`: the payer's phone. Paste what it would scan, pay or refuse, or show a code to be scanned. An order's own
//! page opens with its code; whoever has it can pay, as with a real one. Works without script; nothing changes on GET.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use data_encoding::HEXLOWER;

use super::home::phone_glyph;
use super::{Controls, PATH, busy, is_foreign, missing, read_page, respond, see};
use crate::domain::time::{Duration, Timestamp};
use crate::sandbox::provider::fault::{Fault, Faults};
use crate::sandbox::provider::model::{Deed, Order, Planned, TradeState};
use crate::sandbox::provider::records::Mood;
use crate::sandbox::provider::{Dialect, World};
use crate::web::{Icon, Page, QrCode};

/// How soon a page that waits for something looks again, in seconds.
const LOOK_AGAIN_S: u32 = 3;
/// An amount with more characters is set smaller.
const AMOUNT_CHARS_LARGE: usize = 10;
/// Orders on the first page.
const ORDERS_SHOWN: usize = 12;

pub(super) fn routes(scope: &mut web::ServiceConfig, open: bool) {
    if open {
        scope
            .route("/phone", web::get().to(first))
            .route("/phone", web::post().to(scan))
            .route("/phone/show/{provider}", web::post().to(show_code))
            .route("/phone/shown/{provider}/{digits}", web::get().to(shown));
    }
    scope
        .route("/phone/{provider}/{code}", web::get().to(look))
        .route("/phone/{provider}/{code}", web::post().to(act))
        .route("/phone/{provider}/{code}/faults", web::post().to(set_faults));
}

#[derive(Template)]
#[template(path = "sandbox/sim_phone_first.html")]
struct First<'a> {
    page: &'a Page,
    dialects: Vec<Arc<dyn Dialect>>,
    waiting: Vec<(Arc<dyn Dialect>, Order)>,
    not_found: bool,
}

impl First<'_> {
    fn glyph(&self, dialect: &Arc<dyn Dialect>) -> &'static str {
        phone_glyph(dialect.brand())
    }

    fn place(&self, dialect: &Arc<dyn Dialect>, order: &Order) -> String {
        place(dialect.as_ref(), order.code)
    }

    fn moods(&self) -> Vec<(Mood, &'static str)> {
        let t = |zh, en| self.page.lang.t(zh, en);
        vec![
            (Mood::Pays, t("直接付款", "Pays at once")),
            (Mood::AskedForPassword, t("要输密码（约八秒）", "Has to type the password (8 s)")),
            (Mood::BalanceShort, t("余额不足", "Balance too low")),
            (Mood::Refuses, t("拒绝付款", "Refuses")),
        ]
    }
}

#[derive(Template)]
#[template(path = "sandbox/sim_phone_code.html")]
struct Shown<'a> {
    page: &'a Page,
    dialect: Arc<dyn Dialect>,
    digits: String,
    qr: QrCode,
}

impl Shown<'_> {
    fn glyph(&self) -> &'static str {
        phone_glyph(self.dialect.brand())
    }

    /// In groups of four, as wallets print them.
    fn grouped(&self) -> String {
        let digits: Vec<char> = self.digits.chars().collect();
        digits.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
    }
}

#[derive(Template)]
#[template(path = "sandbox/sim_phone.html")]
struct Phone<'a> {
    page: &'a Page,
    dialect: Arc<dyn Dialect>,
    order: &'a Order,
    payee: String,
    place: String,
    /// With a question mark in front; empty without a way back.
    query: String,
    back: Option<String>,
    /// What the payer has just done that leaves the order as it was.
    did: Option<Deed>,
    real_now: Timestamp,
    /// There are other pages than this one.
    controls: Controls,
}

impl Phone<'_> {
    fn glyph(&self) -> &'static str {
        phone_glyph(self.dialect.brand())
    }

    /// The page changes by itself soon.
    fn waits(&self) -> bool {
        self.order.state == TradeState::Paying || matches!(self.order.planned, Planned::At(_)) || self.armed()
    }

    /// Will pay once the order is closed.
    fn armed(&self) -> bool {
        self.order.state == TradeState::NotPaid && self.order.planned == Planned::AfterClose
    }

    fn open(&self) -> bool {
        self.order.state == TradeState::NotPaid
    }

    /// What happened, where the order does not show it.
    fn happened(&self) -> Option<&'static str> {
        let t = |zh, en| self.page.lang.t(zh, en);
        match self.did.filter(|_| self.open())? {
            Deed::BalanceShort => Some(t(
                "余额不足，没有付成。订单还在，可以再付；商家那边看到的仍是未支付。",
                "Balance too low: nothing was paid. The order stands and can be paid; the shop still sees it as unpaid.",
            )),
            Deed::Refuse => Some(t(
                "已关掉付款页，没有付款。订单还在，可以再付；商家那边看到的仍是未支付。",
                "The payment page was closed and nothing was paid. The order stands; the shop still sees it as unpaid.",
            )),
            Deed::Pay
            | Deed::PaySlowly
            | Deed::PayLate
            | Deed::PayWrongAmount
            | Deed::PayUntold
            | Deed::PayTwiceTold => None,
        }
    }

    fn code_is_dead(&self) -> bool {
        self.open() && !self.order.code_works(self.page.now)
    }

    /// The simulated time is not the real one.
    fn time_differs(&self) -> bool {
        self.page.now.since(self.real_now) > Duration::from_minutes(1)
    }

    fn is_long(&self) -> bool {
        self.order.asked.amount.to_display().chars().count() > AMOUNT_CHARS_LARGE
    }

    fn paid_another_amount(&self) -> bool {
        self.order.received.as_ref().is_some_and(|received| received.amount != self.order.asked.amount)
    }

    /// What can go wrong while the order can be paid: title and what it shows.
    fn mishaps(&self) -> Vec<(Deed, &'static str, &'static str)> {
        let t = |zh, en| self.page.lang.t(zh, en);
        vec![
            (
                Deed::PaySlowly,
                t("慢慢输密码", "Take time for the password"),
                t("八秒后才付款", "Pays after eight seconds"),
            ),
            (
                Deed::BalanceShort,
                t("余额不足", "Balance too low"),
                t("没付成，可以再试", "Nothing is paid; the payer may try again"),
            ),
            (
                Deed::Refuse,
                t("放弃付款", "Give up"),
                t("关掉付款页，订单仍未支付", "Closes the page; the order stays unpaid"),
            ),
        ]
        .into_iter()
        .chain(common_mishaps(self.page))
        .collect()
    }

    fn faults(&self) -> Vec<(&'static str, &'static str, bool)> {
        let lang = self.page.lang;
        let row = |fault: &Fault| (fault.code(), fault.text().get(lang), self.order.faults.has(*fault));
        self.dialect.facts().faults.iter().map(row).collect()
    }

    fn misbehaves(&self) -> bool {
        self.order.faults != Faults::NONE
    }
}

/// What can go wrong at every provider.
pub(in crate::sandbox) fn common_mishaps(page: &Page) -> [(Deed, &'static str, &'static str); 4] {
    let t = |zh, en| page.lang.t(zh, en);
    [
        (
            Deed::PayUntold,
            t("付款，但通知丢了", "Pay, but the notification gets lost"),
            t("商家只有主动查询才会知道已付款", "The shop learns of the money only by asking"),
        ),
        (
            Deed::PayTwiceTold,
            t("付款，通知来两次", "Pay, and notify twice"),
            t("只应入账一次", "It must be booked once"),
        ),
        (
            Deed::PayWrongAmount,
            t("付错金额", "Pay a wrong amount"),
            t("差一分钱：不应入账，应转人工处理", "One cent off: not booked, a person has to look"),
        ),
        (
            Deed::PayLate,
            t("关单之后才付款", "Pay after the order is closed"),
            t("先答应商家关单，几秒后钱还是到了", "The close is confirmed, and then the money comes all the same"),
        ),
    ]
}

/// Where an order's own page is, below the server's address.
pub fn place(dialect: &dyn Dialect, code: [u8; 16]) -> String {
    format!("{PATH}/phone/{}/{}", dialect.name(), HEXLOWER.encode(&code))
}

async fn first(request: HttpRequest, world: web::Data<World>) -> HttpResponse {
    show_first(&request, &world, false).await
}

async fn show_first(request: &HttpRequest, world: &World, not_found: bool) -> HttpResponse {
    let page = read_page(request, world).await;
    let dialects = world.dialects();
    let waiting = match world.waiting(ORDERS_SHOWN).await {
        Ok(waiting) => waiting,
        Err(error) => return busy(&page, &error),
    };
    let status = if not_found { StatusCode::NOT_FOUND } else { StatusCode::OK };
    page.respond(status, &First { page: &page, dialects, waiting, not_found })
}

async fn scan(request: HttpRequest, body: web::Bytes, world: web::Data<World>) -> HttpResponse {
    let text = url::form_urlencoded::parse(&body).find(|(name, _)| name == "code").map(|(_, value)| value.into_owned());
    let text = text.unwrap_or_default();
    match world.find(text.trim()).await {
        Ok(Some((dialect, code))) => see(&place(dialect.as_ref(), code)),
        Ok(None) => show_first(&request, &world, true).await,
        Err(error) => busy(&read_page(&request, &world).await, &error),
    }
}

async fn show_code(
    request: HttpRequest,
    provider: web::Path<String>,
    body: web::Bytes,
    world: web::Data<World>,
) -> HttpResponse {
    let page = read_page(&request, &world).await;
    let mood = url::form_urlencoded::parse(&body).find(|(name, _)| name == "mood").and_then(|(_, v)| Mood::parse(&v));
    let dialect = world.dialect(&provider).filter(|_| !is_foreign(&request));
    let (Some(dialect), Some(mood)) = (dialect, mood) else { return missing(&page) };
    match world.show_code(&dialect, mood).await {
        Ok(digits) => see(&format!("{PATH}/phone/shown/{}/{digits}", dialect.name())),
        Err(error) => busy(&page, &error),
    }
}

async fn shown(request: HttpRequest, path: web::Path<(String, String)>, world: web::Data<World>) -> HttpResponse {
    let page = read_page(&request, &world).await;
    let (provider, digits) = path.into_inner();
    let plain = digits.len() <= 40 && digits.bytes().all(|b| b.is_ascii_alphanumeric());
    let Some(dialect) = world.dialect(&provider).filter(|_| plain) else { return missing(&page) };
    match QrCode::draw(&digits, page.t("付款码", "Payment code")) {
        Ok(qr) => respond(&page, &Shown { page: &page, dialect, digits, qr }),
        Err(_) => missing(&page),
    }
}

type OrderPath = web::Path<(String, String)>;

fn opened(world: &World, path: &OrderPath) -> Option<(Arc<dyn Dialect>, [u8; 16])> {
    let code = HEXLOWER.decode(path.1.as_bytes()).ok()?.try_into().ok()?;
    Some((world.dialect(&path.0)?, code))
}

/// Where the payer goes back to, as the merchant said; only web addresses.
fn way_back(request: &HttpRequest) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(request.query_string().as_bytes());
    let (_, back) = pairs.find(|(name, _)| name == "back")?;
    let parsed = url::Url::parse(&back).ok()?;
    matches!(parsed.scheme(), "http" | "https").then(|| back.into_owned())
}

/// What the payer has just done, for the page that follows.
fn did(request: &HttpRequest) -> Option<Deed> {
    let mut pairs = url::form_urlencoded::parse(request.query_string().as_bytes());
    pairs.find(|(name, _)| name == "did").and_then(|(_, word)| Deed::parse(&word))
}

async fn look(request: HttpRequest, path: OrderPath, world: web::Data<World>) -> HttpResponse {
    let page = read_page(&request, &world).await;
    let Some((dialect, code)) = opened(&world, &path) else { return missing(&page) };
    let found = world.at(&dialect, move |desk| {
        let Some(order) = desk.order_by_code(code)? else { return Ok(None) };
        let payee = desk.member(&order.asked.merchant)?.map(|member| member.name);
        Ok(Some((order, payee)))
    });
    let (order, payee) = match found.await {
        Ok(Some(found)) => found,
        Ok(None) => return missing(&page),
        Err(error) => return busy(&page, &error),
    };
    let back = way_back(&request).or_else(|| order.asked.return_url.clone());
    let query = way_back(&request)
        .map(|back| format!("?back={}", url::form_urlencoded::byte_serialize(back.as_bytes()).collect::<String>()));
    let phone = Phone {
        page: &page,
        place: place(dialect.as_ref(), code),
        dialect,
        order: &order,
        payee: payee.unwrap_or_default(),
        query: query.unwrap_or_default(),
        back,
        did: did(&request),
        real_now: world.wire_now(),
        controls: request.app_data::<Controls>().copied().unwrap_or(Controls::Closed),
    };
    respond(&page, &phone)
}

async fn act(request: HttpRequest, path: OrderPath, body: web::Bytes, world: web::Data<World>) -> HttpResponse {
    let page = read_page(&request, &world).await;
    let deed = url::form_urlencoded::parse(&body).find(|(name, _)| name == "do").and_then(|(_, v)| Deed::parse(&v));
    let (Some((dialect, code)), Some(deed)) = (opened(&world, &path), deed) else { return missing(&page) };
    match world.act(&dialect, code, deed).await {
        // Whether it was done or came too late: the page shows what is, and what was done where that does not show it.
        Ok(Some(Ok(_) | Err(_))) => {
            let did = matches!(deed, Deed::Refuse | Deed::BalanceShort).then(|| ("did", deed.code().to_owned()));
            let back = way_back(&request).map(|back| ("back", back));
            let pairs = did.into_iter().chain(back);
            let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
            let mark = if query.is_empty() { "" } else { "?" };
            see(&format!("{}{mark}{query}", place(dialect.as_ref(), code)))
        }
        Ok(None) => missing(&page),
        Err(error) => busy(&page, &error),
    }
}

async fn set_faults(request: HttpRequest, path: OrderPath, body: web::Bytes, world: web::Data<World>) -> HttpResponse {
    let page = read_page(&request, &world).await;
    let Some((dialect, code)) = opened(&world, &path) else { return missing(&page) };
    let ticked = url::form_urlencoded::parse(&body).filter(|(name, _)| name == "fault");
    let faults: Faults = ticked.filter_map(|(_, value)| Fault::parse(&value)).collect();
    let set = world.at(&dialect, move |desk| match desk.order_by_code(code)? {
        Some(order) => desk.set_faults(&order, faults).map(Some),
        None => Ok(None),
    });
    match set.await {
        Ok(Some(())) => see(&place(dialect.as_ref(), code)),
        Ok(None) => missing(&page),
        Err(error) => busy(&page, &error),
    }
}
