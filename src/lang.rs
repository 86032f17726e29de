//! The two languages that people read here, and how a browser or an HTTP client asks for one.

use std::borrow::Borrow;

/// A language in which every sentence exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Lang {
    #[serde(rename = "zh-CN")]
    Zh,
    #[serde(rename = "en")]
    En,
}

/// One sentence in both languages, written in each rather than translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    pub zh: &'static str,
    pub en: &'static str,
}

impl Text {
    pub const fn new(zh: &'static str, en: &'static str) -> Self {
        Self { zh, en }
    }

    /// Takes a reference as well, because templates pass their values as such.
    pub fn get(self, lang: impl Borrow<Lang>) -> &'static str {
        match lang.borrow() {
            Lang::Zh => self.zh,
            Lang::En => self.en,
        }
    }
}

/// Entries of one `Accept-Language` header that are looked at.
const RANGES_MAX: usize = 16;

impl Lang {
    pub const ALL: [Lang; 2] = [Lang::Zh, Lang::En];

    /// The BCP 47 tag, for `lang` attributes and `Content-Language`.
    pub const fn tag(self) -> &'static str {
        match self {
            Lang::Zh => "zh-CN",
            Lang::En => "en",
        }
    }

    /// Reads a tag such as `zh`, `zh-Hant-TW` or `en-GB`; `None` for every other language.
    pub fn from_tag(tag: &str) -> Option<Self> {
        let primary = tag.split(['-', '_']).next().unwrap_or("");
        if primary.eq_ignore_ascii_case("zh") {
            Some(Lang::Zh)
        } else if primary.eq_ignore_ascii_case("en") {
            Some(Lang::En)
        } else {
            None
        }
    }

    /// One of two texts that stand beside their use: `lang.t("收款", "Payments")`. Pages write all their texts this way.
    pub const fn t<'a>(self, zh: &'a str, en: &'a str) -> &'a str {
        match self {
            Lang::Zh => zh,
            Lang::En => en,
        }
    }

    /// The language that a switch offers.
    pub const fn other(self) -> Self {
        match self {
            Lang::Zh => Lang::En,
            Lang::En => Lang::Zh,
        }
    }

    /// An explicit choice first, then the remembered one, then the browser's. Chinese when nobody says anything: that
    /// is what the shops and their customers speak.
    pub fn choose(query: Option<&str>, cookie: Option<&str>, accept_language: Option<&str>) -> Self {
        query
            .and_then(Self::from_tag)
            .or_else(|| cookie.and_then(Self::from_tag))
            .or_else(|| accept_language.and_then(Self::from_accept_language))
            .unwrap_or(Lang::Zh)
    }

    /// The best of ours that the header accepts (RFC 9110, 12.5.4); `None` when it names neither.
    pub fn from_accept_language(header: &str) -> Option<Self> {
        let mut best: Option<(u16, Lang)> = None;
        for range in header.split(',').take(RANGES_MAX) {
            let mut parts = range.split(';');
            let Some(lang) = Self::from_tag(parts.next().unwrap_or("").trim()) else { continue };
            let quality = parts.find_map(|p| p.trim().strip_prefix("q=")).map_or(Some(1000), quality_permille);
            if let Some(quality) = quality.filter(|q| *q > 0)
                && best.is_none_or(|(other, _)| quality > other)
            {
                best = Some((quality, lang));
            }
        }
        best.map(|(_, lang)| lang)
    }
}

/// `0.8` as 800. A weight that is not one removes its range.
fn quality_permille(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_weight_wins_and_the_first_of_equals() {
        for (header, expected) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", Some(Lang::Zh)),
            ("en-GB, zh;q=0.9", Some(Lang::En)),
            ("fr, zh;q=0.2, en;q=0.3", Some(Lang::En)),
            ("zh;q=0, en;q=0.1", Some(Lang::En)),
            ("EN", Some(Lang::En)),
            ("zh_TW", Some(Lang::Zh)),
            ("fr, de", None),
            ("", None),
            ("*", None),
            ("en;q=2", None),
            ("en;q=nonsense", None),
        ] {
            assert_eq!(Lang::from_accept_language(header), expected, "{header:?}");
        }
    }

    #[test]
    fn a_choice_beats_a_memory_beats_the_browser() {
        assert_eq!(Lang::choose(Some("en"), Some("zh"), Some("zh-CN")), Lang::En);
        assert_eq!(Lang::choose(None, Some("zh"), Some("en")), Lang::Zh);
        assert_eq!(Lang::choose(Some("fr"), None, Some("en-GB,en;q=0.9")), Lang::En);
        assert_eq!(Lang::choose(None, None, None), Lang::Zh);
    }
}
