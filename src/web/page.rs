//! What a page knows about its reader, how values look in it, and how it becomes an answer.

use std::borrow::Borrow;
use std::fmt;

use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use askama::filters::{Html, HtmlSafe};

use super::Lang;
use crate::domain::money::{Currency, Money, decimal};
use crate::domain::time::Timestamp;

/// Remembers the language, as `zh-CN` or `en`.
const LANG_COOKIE: &str = "coffer_lang";
/// Remembers the colours, as `light` or `dark`. Also written by the script, so both name it.
const THEME_COOKIE: &str = "coffer_theme";
/// How long both are remembered.
const PREFERENCE_DAYS: i64 = 400;
/// Where shops and their customers are, until a merchant says otherwise.
const DEFAULT_ZONE: &str = "Asia/Shanghai";

/// Light or dark, or as the device has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    Device,
    Light,
    Dark,
}

impl Theme {
    /// The value of `data-theme`, of `?theme=` and of the cookie.
    pub const fn code(self) -> &'static str {
        match self {
            Theme::Device => "device",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }

    fn parse(text: &str) -> Option<Theme> {
        [Theme::Device, Theme::Light, Theme::Dark].into_iter().find(|theme| theme.code() == text)
    }
}

/// The reader's language, colours, zone and place. Every template holds one in a field named `page`.
///
/// Methods that format take `impl Borrow<T>`, because a template hands over its fields by reference and results by value.
#[derive(Clone, Debug)]
pub struct Page {
    pub lang: Lang,
    pub theme: Theme,
    pub now: Timestamp,
    zone: String,
    path: String,
    /// The query without `lang` and `theme`, so that a switch keeps everything else.
    query: String,
    /// Chosen in this very request, and therefore to be remembered.
    chose_lang: bool,
    chose_theme: bool,
}

impl Page {
    /// Reads `?lang=` and `?theme=`, then the cookies, then the browser's languages.
    pub fn read(request: &HttpRequest, now: Timestamp) -> Page {
        let mut rest = url::form_urlencoded::Serializer::new(String::new());
        let (mut lang, mut theme) = (None, None);
        for (name, value) in url::form_urlencoded::parse(request.query_string().as_bytes()) {
            match name.as_ref() {
                "lang" => lang = Lang::from_tag(&value),
                "theme" => theme = Theme::parse(&value),
                _ => {
                    rest.append_pair(&name, &value);
                }
            }
        }
        let cookie = |name| request.cookie(name).map(|cookie| cookie.value().to_owned());
        let accept = request.headers().get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        Page {
            lang: lang.unwrap_or_else(|| Lang::choose(None, cookie(LANG_COOKIE).as_deref(), accept)),
            theme: theme.or_else(|| Theme::parse(&cookie(THEME_COOKIE)?)).unwrap_or(Theme::Device),
            now,
            zone: DEFAULT_ZONE.to_owned(),
            path: request.path().to_owned(),
            query: rest.finish(),
            chose_lang: lang.is_some(),
            chose_theme: theme.is_some(),
        }
    }

    /// The page with times in the merchant's zone.
    pub fn in_zone(mut self, zone: &str) -> Page {
        self.zone = zone.to_owned();
        self
    }

    /// The IANA name of the zone that times are shown in.
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// The page in this language when the reader has chosen none: a shop may say which its customer speaks.
    pub fn prefer(mut self, request: &HttpRequest, lang: Lang) -> Page {
        if !self.chose_lang && request.cookie(LANG_COOKIE).is_none() {
            self.lang = lang;
        }
        self
    }

    /// The text in the reader's language.
    pub fn t<'a>(&self, zh: &'a str, en: &'a str) -> &'a str {
        self.lang.t(zh, en)
    }

    /// For sentences with values inside: `{% if page.zh() %}…{% else %}…{% endif %}`.
    pub fn zh(&self) -> bool {
        self.lang == Lang::Zh
    }

    /// This address in another language.
    pub fn in_lang(&self, lang: Lang) -> String {
        self.with("lang", lang.tag())
    }

    /// This address in other colours. A link, so that it works without script; the script does it in place.
    pub fn in_theme(&self, theme: Theme) -> String {
        self.with("theme", theme.code())
    }

    /// This address with one parameter set: for filters, tabs and pages.
    pub fn with(&self, name: &str, value: &str) -> String {
        self.with_instead(name, value, &[])
    }

    /// As [`Page::with`], and without parameters that make no sense beside it: a filter ends the paging.
    pub fn with_instead(&self, name: &str, value: &str, without: &[&str]) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (other, value) in url::form_urlencoded::parse(self.query.as_bytes()) {
            if other != name && !without.contains(&other.as_ref()) {
                query.append_pair(&other, &value);
            }
        }
        query.append_pair(name, value);
        format!("{}?{}", self.path, query.finish())
    }

    /// `2026-11-23 14:05` in the merchant's zone; the exact UTC on hover.
    pub fn time(&self, at: impl Borrow<Timestamp>) -> TimeTag {
        let at = *at.borrow();
        TimeTag { at, shown: at.in_zone(&self.zone).strftime("%Y-%m-%d %H:%M").to_string() }
    }

    /// `11-23 14:05:09`, for a timeline, where seconds matter and the year does not.
    pub fn clock(&self, at: impl Borrow<Timestamp>) -> TimeTag {
        let at = *at.borrow();
        TimeTag { at, shown: at.in_zone(&self.zone).strftime("%m-%d %H:%M:%S").to_string() }
    }

    /// `2026-11-23`.
    pub fn date(&self, at: impl Borrow<Timestamp>) -> TimeTag {
        let at = *at.borrow();
        TimeTag { at, shown: at.in_zone(&self.zone).strftime("%Y-%m-%d").to_string() }
    }

    /// `5 minutes ago`, `in 3 h`: to stand beside an exact time, never alone.
    pub fn relative(&self, at: impl Borrow<Timestamp>) -> String {
        let at = *at.borrow();
        let (seconds, past) = if at <= self.now {
            (self.now.since(at).as_seconds(), true)
        } else {
            (at.since(self.now).as_seconds(), false)
        };
        let (count, zh, one, many) = match seconds {
            0..=59 => {
                return self
                    .t(if past { "刚刚" } else { "马上" }, if past { "just now" } else { "in a moment" })
                    .into();
            }
            60..=3_599 => (seconds / 60, "分钟", "minute", "minutes"),
            3_600..=86_399 => (seconds / 3_600, "小时", "hour", "hours"),
            _ => (seconds / 86_400, "天", "day", "days"),
        };
        let unit = if count == 1 { one } else { many };
        match (self.lang, past) {
            (Lang::Zh, true) => format!("{count} {zh}前"),
            (Lang::Zh, false) => format!("{count} {zh}后"),
            (Lang::En, true) => format!("{count} {unit} ago"),
            (Lang::En, false) => format!("in {count} {unit}"),
        }
    }

    /// `¥1,234.50` with the currency muted.
    pub fn money(&self, amount: impl Borrow<Money>) -> MoneyTag {
        let amount = *amount.borrow();
        MoneyTag { minor: i128::from(amount.minor()), currency: amount.currency() }
    }

    /// A balance or a sum, which may be negative or beyond one amount.
    pub fn sum(&self, minor: impl Borrow<i128>, currency: impl Borrow<Currency>) -> MoneyTag {
        MoneyTag { minor: *minor.borrow(), currency: *currency.borrow() }
    }

    /// An id, shortened in the middle, with a button that copies all of it.
    pub fn id(&self, id: impl fmt::Display) -> IdTag {
        IdTag { full: id.to_string(), copy: self.t("复制", "Copy").to_owned() }
    }

    /// Renders a page. What the reader has just chosen is remembered with it.
    pub fn respond(&self, status: StatusCode, body: &impl Template) -> HttpResponse {
        let html = match body.render() {
            Ok(html) => html,
            // Writing into a string does not fail, so a `Display` inside did: a bug, and no reason to drop the connection.
            Err(error) => {
                tracing::error!(path = %self.path, %error, "a page could not be rendered");
                return HttpResponse::InternalServerError().content_type("text/plain; charset=utf-8").body("500\n");
            }
        };
        let mut response = HttpResponse::build(status);
        response.content_type("text/html; charset=utf-8");
        response.insert_header((header::CONTENT_LANGUAGE, self.lang.tag()));
        if self.chose_lang {
            response.cookie(preference(LANG_COOKIE, self.lang.tag()));
        }
        if self.chose_theme {
            response.cookie(preference(THEME_COOKIE, self.theme.code()));
        }
        response.body(html)
    }
}

/// Nothing secret: the script reads and writes it too, hence no `HttpOnly`.
fn preference(name: &'static str, value: &'static str) -> Cookie<'static> {
    Cookie::build(name, value)
        .path("/")
        .same_site(SameSite::Lax)
        .max_age(actix_web::cookie::time::Duration::days(PREFERENCE_DAYS))
        .finish()
}

/// Text made safe for HTML, for what is written without a template.
pub(super) fn escaped(text: &str) -> impl fmt::Display {
    let Ok(safe) = askama::filters::escape(text, Html);
    safe
}

/// A time; prints itself as `<time>`. In a narrow column it breaks between date and time and nowhere else.
pub struct TimeTag {
    at: Timestamp,
    shown: String,
}

impl fmt::Display for TimeTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = self.at.in_zone("UTC");
        let (first, second) = self.shown.split_once(' ').unwrap_or((&self.shown, ""));
        write!(
            f,
            r#"<time datetime="{}" title="{} UTC"><span>{first}</span> <span>{second}</span></time>"#,
            self.at,
            utc.strftime("%Y-%m-%d %H:%M:%S"),
        )
    }
}

impl HtmlSafe for TimeTag {}

/// An amount; prints itself with a muted currency.
pub struct MoneyTag {
    minor: i128,
    currency: Currency,
}

impl fmt::Display for MoneyTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.minor < 0 { "−" } else { "" };
        let digits = decimal(self.minor.unsigned_abs(), self.currency);
        let (whole, fraction) = digits.split_once('.').map_or((digits.as_str(), None), |(w, x)| (w, Some(x)));
        write!(f, r#"<span class="money">{sign}<span class="cur">{}</span>"#, self.currency.symbol())?;
        for (i, digit) in whole.chars().enumerate() {
            let comma = i > 0 && (whole.len() - i).is_multiple_of(3);
            write!(f, "{}{digit}", if comma { "," } else { "" })?;
        }
        match fraction {
            Some(fraction) => write!(f, ".{fraction}</span>"),
            None => f.write_str("</span>"),
        }
    }
}

impl HtmlSafe for MoneyTag {}

/// An id; prints itself shortened, with a copy button.
pub struct IdTag {
    full: String,
    copy: String,
}

/// Characters kept at either end of a shortened id. The end is the random part, so it tells ids apart.
const ID_HEAD: usize = 8;
const ID_TAIL: usize = 6;

impl fmt::Display for IdTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let full = escaped(&self.full);
        let count = self.full.chars().count();
        write!(f, r#"<span class="id"><code title="{full}">"#)?;
        if count > ID_HEAD + ID_TAIL + 2 {
            let head: String = self.full.chars().take(ID_HEAD).collect();
            let tail: String = self.full.chars().skip(count - ID_TAIL).collect();
            write!(f, "{}…{}", escaped(&head), escaped(&tail))?;
        } else {
            write!(f, "{full}")?;
        }
        let (copy, icon) = (&self.copy, super::Icon::Copy);
        write!(
            f,
            r#"</code><button type="button" class="copy" data-copy="{full}" title="{copy}" aria-label="{copy} {full}">{icon}</button></span>"#
        )
    }
}

impl HtmlSafe for IdTag {}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn page(uri: &str) -> Page {
        let now = Timestamp::parse_rfc3339("2026-11-23T06:05:09Z").unwrap();
        Page::read(&TestRequest::with_uri(uri).to_http_request(), now)
    }

    #[test]
    fn a_switch_keeps_the_rest_of_the_address() {
        let page = page("/console/payments?status=paid&lang=en&q=a%26b");
        assert_eq!(page.lang, Lang::En);
        assert_eq!(page.in_lang(Lang::Zh), "/console/payments?status=paid&q=a%26b&lang=zh-CN");
        assert_eq!(page.with("status", "open"), "/console/payments?q=a%26b&status=open");
    }

    #[test]
    fn times_are_shown_in_the_merchants_zone_with_utc_behind() {
        let page = page("/").in_zone("Asia/Shanghai");
        let tag = page.time(page.now).to_string();
        assert!(
            tag.contains("<span>2026-11-23</span> <span>14:05</span>")
                && tag.contains("title=\"2026-11-23 06:05:09 UTC\""),
            "{tag}"
        );
        assert_eq!(page.relative(page.now.minus(crate::domain::time::Duration::from_hours(49))), "2 天前");
    }

    #[test]
    fn money_is_grouped_and_keeps_its_sign() {
        let page = page("/");
        let text = |minor| page.sum(minor, Currency::CNY).to_string();
        assert_eq!(text(123_456_789), r#"<span class="money"><span class="cur">¥</span>1,234,567.89</span>"#);
        assert!(text(-5).contains("−<span class=\"cur\">¥</span>0.05"));
    }

    #[test]
    fn an_id_cannot_carry_markup() {
        let tag = page("/").id("\"><script>alert(1)</script>").to_string();
        assert!(!tag.contains("<script"), "{tag}");
    }
}
