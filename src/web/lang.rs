//! The two languages of the pages and how one is chosen.

use std::fmt;

/// A language that pages are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lang {
    Zh,
    En,
}

impl Lang {
    /// The text in this language. Both stand beside their use, so that nobody changes one and forgets the other.
    pub const fn t<'a>(self, zh: &'a str, en: &'a str) -> &'a str {
        match self {
            Lang::Zh => zh,
            Lang::En => en,
        }
    }

    /// The value of the `lang` attribute.
    pub const fn tag(self) -> &'static str {
        self.t("zh-CN", "en")
    }

    /// The value of `?lang=` and of the cookie.
    pub const fn code(self) -> &'static str {
        self.t("zh", "en")
    }

    /// What the switch offers.
    pub const fn other(self) -> Lang {
        match self {
            Lang::Zh => Lang::En,
            Lang::En => Lang::Zh,
        }
    }

    /// Reads `zh`, `zh-CN`, `en`, `en_GB` and the like; anything else is not ours.
    pub fn parse(text: &str) -> Option<Lang> {
        let primary = text.split(['-', '_']).next().unwrap_or("").trim();
        if primary.eq_ignore_ascii_case("zh") {
            Some(Lang::Zh)
        } else if primary.eq_ignore_ascii_case("en") {
            Some(Lang::En)
        } else {
            None
        }
    }

    /// The best language of an `Accept-Language` header. Source: RFC 9110, section 12.5.4.
    pub fn accept(header: &str) -> Option<Lang> {
        let mut best: Option<(u16, Lang)> = None;
        for item in header.split(',').take(ACCEPT_ITEMS_MAX) {
            let (tag, quality) = match item.split_once(';') {
                Some((tag, parameter)) => (tag, thousandths(parameter)),
                None => (item, Some(1000)),
            };
            let (Some(lang), Some(quality)) = (Lang::parse(tag), quality) else { continue };
            // The first of equals wins: that is the order the person set.
            if quality > 0 && best.is_none_or(|(most, _)| quality > most) {
                best = Some((quality, lang));
            }
        }
        best.map(|(_, lang)| lang)
    }

    /// An explicit choice first, then the remembered one, then the browser's. Chinese when nobody says anything: that
    /// is what the shops and their customers speak.
    pub fn choose(query: Option<&str>, cookie: Option<&str>, accept: Option<&str>) -> Lang {
        query
            .and_then(Lang::parse)
            .or_else(|| cookie.and_then(Lang::parse))
            .or_else(|| accept.and_then(Lang::accept))
            .unwrap_or(Lang::Zh)
    }
}

impl fmt::Display for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tag())
    }
}

/// Languages read from one header.
const ACCEPT_ITEMS_MAX: usize = 20;

/// `q=0.8` in thousandths; `None` when it is not a quality.
fn thousandths(parameter: &str) -> Option<u16> {
    let value = parameter.trim().strip_prefix("q=")?;
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "1" => Some(1000),
        "0" => Some(fraction),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_beats_a_memory_beats_the_browser() {
        assert_eq!(Lang::choose(Some("en"), Some("zh"), Some("zh-CN")), Lang::En);
        assert_eq!(Lang::choose(None, Some("zh"), Some("en")), Lang::Zh);
        assert_eq!(Lang::choose(Some("fr"), None, Some("en-GB,en;q=0.9")), Lang::En);
        assert_eq!(Lang::choose(None, None, None), Lang::Zh);
    }

    #[test]
    fn the_browsers_order_is_followed() {
        assert_eq!(Lang::accept("fr-CH, fr;q=0.9, en;q=0.8, zh;q=0.7, *;q=0.5"), Some(Lang::En));
        assert_eq!(Lang::accept("en;q=0.2, zh-CN"), Some(Lang::Zh));
        assert_eq!(Lang::accept("zh;q=0, en;q=0.001"), Some(Lang::En));
        assert_eq!(Lang::accept("de, *"), None);
        assert_eq!(Lang::accept("en;q=2, en;q=x, ;;;"), None);
    }
}
