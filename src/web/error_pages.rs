//! Pages for what went wrong: what happened, whether money is affected, what to do next.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::Page;
use crate::domain::time::Timestamp;

/// What went wrong, as far as a reader is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No such page, or not this reader's.
    NotFound,
    /// The reader may not do this.
    Forbidden,
    /// A bug or a broken machine. The id finds the log line.
    Internal { request_id: String },
    /// Too much at once; worth trying again after so many seconds.
    Busy { retry_after_seconds: u32 },
}

/// The page of a [`Trouble`].
#[derive(Template)]
#[template(path = "error.html")]
pub struct ErrorPage<'a> {
    page: &'a Page,
    trouble: Trouble,
    /// Where the way out leads.
    home: &'a str,
}

impl<'a> ErrorPage<'a> {
    pub fn new(page: &'a Page, trouble: Trouble, home: &'a str) -> Self {
        Self { page, trouble, home }
    }

    pub fn respond(&self) -> HttpResponse {
        let mut response = self.page.respond(self.status(), self);
        if let Trouble::Busy { retry_after_seconds } = self.trouble {
            response.headers_mut().insert(header::RETRY_AFTER, retry_after_seconds.into());
        }
        response
    }

    /// For addresses that nobody serves. Programs, which do not ask for a page, get none.
    pub fn not_found(request: &HttpRequest, now: Timestamp) -> HttpResponse {
        let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
        if !accept.is_some_and(|accept| accept.contains("text/html")) {
            return HttpResponse::NotFound().finish();
        }
        let page = Page::read(request, now);
        ErrorPage::new(&page, Trouble::NotFound, "/console").respond()
    }

    fn status(&self) -> StatusCode {
        match self.trouble {
            Trouble::NotFound => StatusCode::NOT_FOUND,
            Trouble::Forbidden => StatusCode::FORBIDDEN,
            Trouble::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            Trouble::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn title(&self) -> &'static str {
        match self.trouble {
            Trouble::NotFound => self.page.lang.t("没有这个页面", "There is no such page"),
            Trouble::Forbidden => self.page.lang.t("您没有这个权限", "You may not do this"),
            Trouble::Internal { .. } => self.page.lang.t("我们这边出错了", "Something broke on our side"),
            Trouble::Busy { .. } => self.page.lang.t("现在有点忙", "Busy right now"),
        }
    }

    fn what(&self) -> &'static str {
        match self.trouble {
            Trouble::NotFound => self.page.lang.t(
                "地址可能打错了，或者它不属于当前商户。",
                "The address may be mistyped, or it belongs to another merchant.",
            ),
            Trouble::Forbidden => self.page.lang.t(
                "这一步需要别的角色。可以请店主在“设置”里调整，或请他来操作。",
                "This step needs another role. Ask the owner to change it under Settings, or to do it for you.",
            ),
            Trouble::Internal { .. } => self.page.lang.t(
                "请刷新再看一次状态。若仍如此，把下面的编号告诉管理员。",
                "Reload and look at the state again. If it stays, give the number below to whoever runs this system.",
            ),
            Trouble::Busy { .. } => self.page.lang.t(
                "请求太多，这一次没有受理。稍等几秒再试。",
                "There were too many requests, so this one was not accepted. Wait a few seconds and try again.",
            ),
        }
    }

    fn money(&self) -> &'static str {
        match self.trouble {
            Trouble::NotFound | Trouble::Forbidden => self.page.lang.t("没有动过任何款项。", "No money was touched."),
            Trouble::Internal { .. } => self.page.lang.t(
                "已经受理的收款和退款不会丢失，系统会自己查清结果；请先看状态，不要重复付款。",
                "Accepted payments and refunds are not lost; their outcome is found by itself. Look first, do not pay twice.",
            ),
            Trouble::Busy { .. } => self.page.lang.t(
                "这一次请求没有动过款项；之前受理的不受影响。",
                "This request touched no money; what was accepted earlier goes on.",
            ),
        }
    }

    fn number(&self) -> Option<&str> {
        match &self.trouble {
            Trouble::Internal { request_id } => Some(request_id),
            Trouble::NotFound | Trouble::Forbidden | Trouble::Busy { .. } => None,
        }
    }
}
