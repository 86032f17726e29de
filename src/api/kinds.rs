//! The kinds of values that requests hold: amounts, bounded text, words from a list, addresses, times, metadata.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde_json::json;

use super::card_number::contains_card_number;
use super::error::{FieldCode, Words};
use super::fields::{Fields, Here, Kind, Shape, nearest};
use super::json::Value;
use crate::domain::money::{BadAmount, Currency, Money};
use crate::domain::time::Timestamp;
use crate::lang::Text;

/// Bytes of a URL.
pub const URL_BYTES_MAX: usize = 2048;
/// Pairs of one metadata object, and characters of its keys and values.
pub const METADATA_KEYS_MAX: usize = 50;
pub const METADATA_KEY_CHARS_MAX: usize = 40;
pub const METADATA_VALUE_CHARS_MAX: usize = 500;

/// Text of a length in characters. Control characters are refused: they have no business in a shop's texts and would
/// forge lines in logs and exports.
pub struct Chars {
    length: RangeInclusive<usize>,
    /// A number or name that is compared: no blanks at its ends.
    exact: bool,
    cards_refused: bool,
}

impl Chars {
    pub const fn new(length: RangeInclusive<usize>) -> Self {
        Self { length, exact: false, cards_refused: false }
    }

    /// Text that is compared letter by letter, such as an order number.
    pub const fn exact(length: RangeInclusive<usize>) -> Self {
        Self { length, exact: true, cards_refused: false }
    }

    /// Free text, in which people have been seen to put card numbers.
    pub const fn free(length: RangeInclusive<usize>) -> Self {
        Self { length, exact: false, cards_refused: true }
    }

    fn check(&self, text: &str, here: &mut Here<'_>) -> Option<()> {
        let count = text.chars().count();
        let (min, max) = (*self.length.start(), *self.length.end());
        if count < min {
            let en = if min == 1 { "must not be empty".into() } else { format!("must have at least {min} characters") };
            return here.refuse(FieldCode::TooShort, format!("至少 {min} 个字符"), en);
        }
        if count > max {
            let zh = format!("最多 {max} 个字符，收到 {count} 个");
            return here.refuse(FieldCode::TooLong, zh, format!("must have at most {max} characters, not {count}"));
        }
        if text.chars().any(is_forbidden) {
            return here.refuse(FieldCode::BadFormat, "不能含有控制字符", "must not contain control characters");
        }
        if self.exact && text.trim() != text {
            return here.refuse(FieldCode::BadFormat, "首尾不能有空白", "must not begin or end with blanks");
        }
        if self.cards_refused && contains_card_number(text) {
            return here.refuse(
                FieldCode::CardNumber,
                "看起来含有银行卡号，不接受任何卡号",
                "looks like it holds a card number, and card numbers are never accepted",
            );
        }
        Some(())
    }
}

/// Controls, line separators, and the marks that reverse how a line is shown.
fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn text<'v>(value: &'v Value<'_>, here: &mut Here<'_>) -> Option<&'v str> {
    match value {
        Value::Text(text) => Some(text),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::OtherNumber | Value::List(_) | Value::Object(_) => {
            here.wrong_type(value, "字符串", "a string")
        }
    }
}

impl Kind for Chars {
    type Out = String;

    fn read(&self, value: &Value<'_>, here: &mut Here<'_>) -> Option<String> {
        let text = text(value, here)?;
        self.check(text, here)?;
        Some(text.to_owned())
    }

    fn shape(&self) -> Shape {
        let (min, max) = (*self.length.start(), *self.length.end());
        leaf(
            json!({"type": "string", "minLength": min, "maxLength": max}),
            Words::new(format!("字符串，{min}–{max} 个字符"), format!("string, {min} to {max} characters")),
        )
    }
}

/// A whole number within bounds.
pub struct Int(RangeInclusive<i64>);

impl Int {
    pub const fn new(range: RangeInclusive<i64>) -> Self {
        Self(range)
    }
}

impl Kind for Int {
    type Out = i64;

    fn read(&self, value: &Value<'_>, here: &mut Here<'_>) -> Option<i64> {
        let number = match value {
            Value::Integer(number) => Some(*number),
            Value::Text(digits) if here.in_query() && digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok(),
            Value::Null | Value::Bool(_) | Value::OtherNumber | Value::Text(_) | Value::List(_) | Value::Object(_) => {
                None
            }
        };
        let Some(number) = number else { return here.wrong_type(value, "整数", "a whole number") };
        if number < *self.0.start() {
            let min = self.0.start();
            return here.refuse(FieldCode::TooSmall, format!("不能小于 {min}"), format!("must be at least {min}"));
        }
        if number > *self.0.end() {
            let max = self.0.end();
            return here.refuse(FieldCode::TooLarge, format!("不能大于 {max}"), format!("must be at most {max}"));
        }
        Some(number)
    }

    fn shape(&self) -> Shape {
        let (min, max) = (self.0.start(), self.0.end());
        leaf(
            json!({"type": "integer", "minimum": min, "maximum": max}),
            Words::new(format!("整数，{min}–{max}"), format!("integer, {min} to {max}")),
        )
    }
}

/// `true` or `false`.
pub struct Flag;

impl Kind for Flag {
    type Out = bool;

    fn read(&self, value: &Value<'_>, here: &mut Here<'_>) -> Option<bool> {
        match value {
            Value::Bool(flag) => Some(*flag),
            Value::Text(word) if here.in_query() && word == "true" => Some(true),
            Value::Text(word) if here.in_query() && word == "false" => Some(false),
            Value::Null
            | Value::Integer(_)
            | Value::OtherNumber
            | Value::Text(_)
            | Value::List(_)
            | Value::Object(_) => here.wrong_type(value, "布尔值", "true or false"),
        }
    }

    fn shape(&self) -> Shape {
        leaf(json!({"type": "boolean"}), Words::new("布尔值", "boolean"))
    }
}

/// `{"currency":"CNY","value":"9.90"}`, more than zero.
pub struct Amount;

impl Amount {
    fn members(fields: &mut Fields<'_>) -> Option<(Currency, String)> {
        let codes = || Currency::ALL.iter().map(|c| c.code()).collect();
        let currency = fields.required(
            "currency",
            Text::new("ISO 4217 货币代码。", "ISO 4217 code."),
            OneOf::new(codes, Currency::parse),
        );
        let about = Text::new(
            "十进制字符串，小数位数与货币一致，例如 \"9.90\"。",
            "A decimal string with exactly the currency's digits, such as \"9.90\".",
        );
        let value = fields.required("value", about, Decimal);
        Some((currency?, value?))
    }
}

impl Kind for Amount {
    type Out = Money;

    fn read(&self, value: &Value<'_>, here: &mut Here<'_>) -> Option<Money> {
        let (currency, decimal) = here.object(value, Self::members)?;
        let mut money = None;
        here.key("value", |here| {
            money = match Money::parse(&decimal, currency) {
                Ok(money) if money.is_zero() => {
                    here.refuse(FieldCode::TooSmall, "必须大于零", "must be more than zero")
                }
                Ok(money) => Some(money),
                Err(bad) => {
                    let code = match bad {
                        BadAmount::NotDecimal | BadAmount::WrongDigits { .. } | BadAmount::LeadingZero => {
                            FieldCode::BadFormat
                        }
                        BadAmount::TooLarge => FieldCode::TooLarge,
                    };
                    here.refuse(code, bad_amount_zh(bad), bad.to_string())
                }
            };
        });
        money
    }

    fn shape(&self) -> Shape {
        let mut shape = Fields::shape_of(Self::members);
        shape.label = Words::new("金额", "amount");
        shape
    }
}

fn bad_amount_zh(bad: BadAmount) -> String {
    match bad {
        BadAmount::NotDecimal => "须为十进制数字字符串，例如 \"9.90\"".into(),
        BadAmount::WrongDigits { expected: 0 } => "该货币没有小数位".into(),
        BadAmount::WrongDigits { expected } => format!("小数点后须恰好 {expected} 位"),
        BadAmount::LeadingZero => "不能有多余的前导零".into(),
        BadAmount::TooLarge => "超过单笔上限".into(),
    }
}

/// The text of an amount; a JSON number is refused with a hint, because this is the commonest mistake.
struct Decimal;

impl Kind for Decimal {
    type Out = String;

    fn read(&self, value: &Value<'_>, here: &mut Here<'_>) -> Option<String> {
        match value {
            Value::Integer(_) | Value::OtherNumber => here.refuse(
                FieldCode::WrongType,
                "金额须为字符串，例如 \"9.90\"，不能是数字",
                "must be a string such as \"9.90\", not a number",
            ),
            Value::Null | Value::Bool(_) | Value::Text(_) | Value::List(_) | Value::Object(_) => {
                text(value, here).map(str::to_owned)
            }
        }
    }

    fn shape(&self) -> Shape {
        leaf(
            json!({"type": "string", "pattern": "^(0|[1-9][0-9]*)(\\.[0-9]+)?$", "examples": ["9.90"]}),
            Words::new("十进制字符串", "decimal string"),
        )
    }
}

/// One word of a list.
pub struct OneOf<T> {
    /// All of them; asked only for refusals and documentation.
    words: fn() -> Vec<&'static str>,
    parse: fn(&str) -> Option<T>,
}

impl<T> OneOf<T> {
    pub const fn new(words: fn() -> Vec<&'static str>, parse: fn(&str) -> Option<T>) -> Self {
        Self { words, parse }
    }
}

impl<T> Kind for OneOf<T> {
    type Out = T;

    fn read(&self, value: &Value<'_>, here: &mut Here<'_>) -> Option<T> {
        let word = text(value, here)?;
        if let Some(known) = (self.parse)(word) {
            return Some(known);
        }
        match nearest(word, &(self.words)()) {
            Some(near) => here.refuse(
                FieldCode::NotAllowed,
                format!("不认识这个值，是不是 {near}？"),
                format!("is not known here; did you mean {near}?"),
            ),
            None => {
                let all = (self.words)().join(", ");
                here.refuse(FieldCode::NotAllowed, format!("须为其中之一：{all}"), format!("must be one of {all}"))
            }
        }
    }

    fn shape(&self) -> Shape {
        let all = (self.words)().join(" | ");
        leaf(json!({"type": "string", "enum": (self.words)()}), Words::new(all.clone(), all))
    }
}

/// An id of this API, such as `pay_…`.
pub struct IdOf<T> {
    prefix: &'static str,
    kind: std::marker::PhantomData<T>,
}

impl<T> IdOf<T> {
    pub const fn new(prefix: &'static str) -> Self {
        Self { prefix, kind: std::marker::PhantomData }
    }
}

impl<T: FromStr> Kind for IdOf<T> {
    type Out = T;

    fn read(&self, value: &Value<'_>, here: &mut Here<'_>) -> Option<T> {
        let id = text(value, here)?;
        let prefix = self.prefix;
        id.parse().ok().or_else(|| {
            here.refuse(
                FieldCode::BadFormat,
                format!("须为 {prefix}_… 形式的编号"),
                format!("must be an id {prefix}_…"),
            )
        })
    }

    fn shape(&self) -> Shape {
        let prefix = self.prefix;
        leaf(
            json!({"type": "string", "pattern": format!("^{prefix}_[0-9A-HJKMNP-TV-Z]{{26}}$")}),
            Words::new(format!("编号 {prefix}_…"), format!("id {prefix}_…")),
        )
    }
}

/// RFC 3339.
pub struct Time;

impl Kind for Time {
    type Out = Timestamp;

    fn read(&self, value: &Value<'_>, here: &mut Here<'_>) -> Option<Timestamp> {
        let time = text(value, here)?;
        let known = Timestamp::parse_rfc3339(time).filter(|t| (Timestamp::MIN..=Timestamp::MAX).contains(t));
        known.or_else(|| {
            here.refuse(
                FieldCode::BadFormat,
                "须为 RFC 3339 时间，例如 2026-11-23T14:05:09Z",
                "must be an RFC 3339 time such as 2026-11-23T14:05:09Z",
            )
        })
    }

    fn shape(&self) -> Shape {
        leaf(json!({"type": "string", "format": "date-time"}), Words::new("RFC 3339 时间", "RFC 3339 time"))
    }
}

/// An absolute http or https address. Whether it may be called is decided where calls are made.
pub struct WebAddress;

impl Kind for WebAddress {
    type Out = String;

    fn read(&self, value: &Value<'_>, here: &mut Here<'_>) -> Option<String> {
        let address = text(value, here)?;
        if address.len() > URL_BYTES_MAX {
            let (zh, en) = (format!("最多 {URL_BYTES_MAX} 字节"), format!("must have at most {URL_BYTES_MAX} bytes"));
            return here.refuse(FieldCode::TooLong, zh, en);
        }
        // The parser drops tabs and newlines and reads `\` as `/`; what means one thing to it and another to people
        // is refused instead.
        let plain = !address.chars().any(|c| is_forbidden(c) || c.is_whitespace() || c == '\\');
        let good = plain
            && url::Url::parse(address).is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.has_host()
                    && url.username().is_empty()
                    && url.password().is_none()
            });
        if good {
            return Some(address.to_owned());
        }
        here.refuse(
            FieldCode::BadFormat,
            "须为完整的 http 或 https 地址，不含用户名和空白",
            "must be a complete http or https address without user name or blanks",
        )
    }

    fn shape(&self) -> Shape {
        leaf(
            json!({"type": "string", "format": "uri", "maxLength": URL_BYTES_MAX}),
            Words::new("http(s) 地址", "http(s) address"),
        )
    }
}

/// An IPv4 or IPv6 address.
pub struct Ip;

impl Kind for Ip {
    type Out = IpAddr;

    fn read(&self, value: &Value<'_>, here: &mut Here<'_>) -> Option<IpAddr> {
        let address = text(value, here)?;
        address.parse().ok().or_else(|| here.refuse(FieldCode::BadFormat, "须为 IP 地址", "must be an IP address"))
    }

    fn shape(&self) -> Shape {
        leaf(
            json!({"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}),
            Words::new("IP 地址", "IP address"),
        )
    }
}

/// The digits of a code that a customer shows on a phone (付款码). Which wallet's it is, is asked elsewhere.
pub struct ShownCode;

impl Kind for ShownCode {
    type Out = String;

    fn read(&self, value: &Value<'_>, here: &mut Here<'_>) -> Option<String> {
        let digits = text(value, here)?;
        if (16..=24).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) {
            return Some(digits.to_owned());
        }
        here.refuse(FieldCode::BadFormat, "须为 16 到 24 位数字", "must be 16 to 24 digits")
    }

    fn shape(&self) -> Shape {
        leaf(json!({"type": "string", "pattern": "^[0-9]{16,24}$"}), Words::new("16–24 位数字", "16–24 digits"))
    }
}

/// An e-mail address as far as that can be told without sending to it.
pub struct Email;

impl Kind for Email {
    type Out = String;

    fn read(&self, value: &Value<'_>, here: &mut Here<'_>) -> Option<String> {
        /// Source: RFC 5321, 4.5.3.1.3, less the angle brackets.
        const EMAIL_CHARS_MAX: usize = 254;
        let address = text(value, here)?;
        let well_formed = address.len() <= EMAIL_CHARS_MAX
            && !address.chars().any(|c| is_forbidden(c) || c.is_whitespace())
            && address.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'));
        if well_formed {
            return Some(address.to_owned());
        }
        here.refuse(FieldCode::BadFormat, "须为电子邮件地址", "must be an e-mail address")
    }

    fn shape(&self) -> Shape {
        leaf(json!({"type": "string", "format": "email"}), Words::new("电子邮件", "e-mail address"))
    }
}

/// The shop's own notes on an object: flat, bounded, never shown to payers.
pub struct Metadata;

impl Kind for Metadata {
    type Out = BTreeMap<String, String>;

    fn read(&self, value: &Value<'_>, here: &mut Here<'_>) -> Option<Self::Out> {
        let Value::Object(members) = value else { return here.wrong_type(value, "对象", "an object") };
        if members.len() > METADATA_KEYS_MAX {
            let (zh, en) =
                (format!("最多 {METADATA_KEYS_MAX} 个键"), format!("must have at most {METADATA_KEYS_MAX} keys"));
            return here.refuse(FieldCode::TooMany, zh, en);
        }
        let mut pairs = BTreeMap::new();
        for (key, value) in members {
            here.key(key, |here| {
                let keyed = Chars::free(1..=METADATA_KEY_CHARS_MAX).check(key, here);
                let value = Chars::free(0..=METADATA_VALUE_CHARS_MAX).read(value, here);
                if let Some(value) = keyed.and(value) {
                    pairs.insert(key.clone().into_owned(), value);
                }
            });
        }
        (pairs.len() == members.len()).then_some(pairs)
    }

    fn shape(&self) -> Shape {
        leaf(
            json!({
                "type": "object",
                "maxProperties": METADATA_KEYS_MAX,
                "propertyNames": {"maxLength": METADATA_KEY_CHARS_MAX},
                "additionalProperties": {"type": "string", "maxLength": METADATA_VALUE_CHARS_MAX},
            }),
            Words::new("键值对", "map of strings"),
        )
    }
}

/// A list of values of one kind; in a query string, words with commas between.
pub struct ListOf<K> {
    pub kind: K,
    pub elements_max: usize,
}

impl<K: Kind> Kind for ListOf<K> {
    type Out = Vec<K::Out>;

    fn read(&self, value: &Value<'_>, here: &mut Here<'_>) -> Option<Self::Out> {
        let split: Vec<Value<'_>>;
        let elements = match value {
            Value::List(elements) => elements,
            Value::Text(words) if here.in_query() => {
                split = words.split(',').map(|word| Value::Text(word.into())).collect();
                &split
            }
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::OtherNumber
            | Value::Text(_)
            | Value::Object(_) => return here.wrong_type(value, "数组", "a list"),
        };
        let max = self.elements_max;
        if elements.len() > max {
            return here.refuse(
                FieldCode::TooMany,
                format!("最多 {max} 个元素"),
                format!("must have at most {max} elements"),
            );
        }
        let mut list = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            here.index(index, |here| list.extend(self.kind.read(element, here)));
        }
        (list.len() == elements.len()).then_some(list)
    }

    fn shape(&self) -> Shape {
        let inner = self.kind.shape();
        Shape {
            schema: json!({"type": "array", "items": inner.schema, "maxItems": self.elements_max}),
            label: Words::new(format!("数组：{}", inner.label.zh), format!("list of: {}", inner.label.en)),
            children: inner.children,
        }
    }
}

fn leaf(schema: serde_json::Value, label: Words) -> Shape {
    Shape { schema, label, children: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::super::fields::{read_body, read_query};
    use super::*;

    /// The code and place of the only fault, or the value.
    fn read<K: Kind>(kind: K, json: &str) -> Result<K::Out, String> {
        let body = format!("{{\"x\":{json}}}");
        read_body(body.as_bytes(), |f| f.required("x", Text::new("一", "x"), kind)).map_err(|problem| {
            let faults: Vec<_> =
                problem.errors().iter().map(|e| format!("{:?} {}", e.place, e.code.as_str())).collect();
            faults.join(", ").replace("Body(\"", "").replace("\")", "")
        })
    }

    #[test]
    fn an_amount_is_a_decimal_string_above_zero_and_nothing_else() {
        let amount = |value: &str| read(Amount, &format!("{{\"currency\":\"CNY\",\"value\":{value}}}"));
        assert_eq!(amount("\"9.90\""), Ok(Money::new(990, Currency::CNY)));
        for (value, code) in [
            ("\"0.00\"", "too_small"),
            ("\"0\"", "bad_format"),
            ("\"-1.00\"", "bad_format"),
            ("\"0.1\"", "bad_format"),
            ("\"1e3\"", "bad_format"),
            ("\"1 \"", "bad_format"),
            ("\"NaN\"", "bad_format"),
            ("\"01.00\"", "bad_format"),
            ("\"18446744073709551615.00\"", "too_large"),
            ("18446744073709551615", "wrong_type"),
            ("9.9", "wrong_type"),
            ("990", "wrong_type"),
            ("[\"9.90\"]", "wrong_type"),
            ("null", "required"),
        ] {
            assert_eq!(amount(value), Err(format!("#/x/value {code}")), "{value}");
        }
        assert_eq!(read(Amount, "\"9.90\""), Err("#/x wrong_type".into()));
        assert_eq!(read(Amount, "{\"currency\":\"cny\",\"value\":\"1.00\"}"), Err("#/x/currency not_allowed".into()));
        assert_eq!(
            read(Amount, "{\"currency\":\"CNY\",\"value\":\"1.00\",\"fee\":\"0.00\"}"),
            Err("#/x/fee unknown_field".into())
        );
    }

    #[test]
    fn text_is_bounded_in_characters_and_free_of_controls() {
        assert_eq!(read(Chars::new(1..=2), "\"钱匣\""), Ok("钱匣".into()));
        for (json, code) in [
            ("\"\"", "too_short"),
            ("\"abc\"", "too_long"),
            ("\"\\n\"", "bad_format"),
            ("\"\\u001b\"", "bad_format"),
            ("\"\\u0000\"", "bad_format"),
            ("\"\\u202e\"", "bad_format"),
            ("1", "wrong_type"),
        ] {
            assert_eq!(read(Chars::new(1..=2), json), Err(format!("#/x {code}")), "{json}");
        }
        assert_eq!(read(Chars::exact(1..=9), "\"A1 \""), Err("#/x bad_format".into()));
    }

    #[test]
    fn web_addresses_mean_the_same_to_people_and_parsers() {
        for good in ["https://shop.example/back?x=1", "http://127.0.0.1:8080/x"] {
            assert_eq!(read(WebAddress, &format!("\"{good}\"")), Ok(good.into()));
        }
        for bad in [
            "shop.example",
            "//shop.example",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "https://good@evil.example/",
            "https://a\\\\b.example",
            "https://a\\tb.example",
            "https:// a.example",
            "https://",
            "ftp://a.example",
        ] {
            assert_eq!(read(WebAddress, &format!("\"{bad}\"")), Err("#/x bad_format".into()), "{bad}");
        }
    }

    #[test]
    fn metadata_is_flat_bounded_and_free_of_card_numbers() {
        assert_eq!(read(Metadata, "{\"a\":\"1\"}").unwrap()["a"], "1");
        let long_key = "k".repeat(METADATA_KEY_CHARS_MAX + 1);
        for (json, fault) in [
            ("{\"a\":1}".to_owned(), "#/x/a wrong_type".to_owned()),
            ("{\"a\":{}}".into(), "#/x/a wrong_type".into()),
            ("{\"\":\"1\"}".into(), "#/x/ too_short".into()),
            (format!("{{\"{long_key}\":\"1\"}}"), format!("#/x/{long_key} too_long")),
            (format!("{{\"a\":\"{}\"}}", "v".repeat(METADATA_VALUE_CHARS_MAX + 1)), "#/x/a too_long".into()),
            ("{\"a\":\"card 4111 1111 1111 1111\"}".into(), "#/x/a card_number".into()),
            ("{\"4111111111111111\":\"a\"}".into(), "#/x/4111111111111111 card_number".into()),
        ] {
            assert_eq!(read(Metadata, &json), Err(fault));
        }
        let pairs: Vec<_> = (0..=METADATA_KEYS_MAX).map(|i| format!("\"k{i}\":\"\"")).collect();
        assert_eq!(read(Metadata, &format!("{{{}}}", pairs.join(","))), Err("#/x too_many".into()));
    }

    #[test]
    fn words_times_ids_and_lists_are_checked() {
        use crate::domain::ids::{Mode, PaymentId};
        let mode =
            || OneOf::new(|| vec!["test", "live"], |w| [Mode::Test, Mode::Live].into_iter().find(|m| m.as_str() == w));
        assert_eq!(read(mode(), "\"live\""), Ok(Mode::Live));
        assert_eq!(read(mode(), "\"Live\"").unwrap_err(), "#/x not_allowed");
        assert_eq!(read(Time, "\"2026-11-23T14:05:09+08:00\"").unwrap().as_seconds(), 1_795_413_909);
        assert!(read(Time, "\"2026-11-23\"").is_err() && read(Time, "\"yesterday\"").is_err());
        let id = PaymentId::from_bytes([7; 16]);
        assert_eq!(read(IdOf::<PaymentId>::new("pay"), &format!("\"{id}\"")), Ok(id));
        assert!(read(IdOf::<PaymentId>::new("pay"), &format!("\"re_{}\"", id.bare())).is_err());
        let list = || ListOf { kind: Int::new(0..=9), elements_max: 2 };
        assert_eq!(read(list(), "[1,2]"), Ok(vec![1, 2]));
        assert_eq!(read(list(), "[1,10]"), Err("#/x/1 too_large".into()));
        assert_eq!(read(list(), "[1,2,3]"), Err("#/x too_many".into()));
        let query = read_query("x=1,2", |f| f.required("x", Text::new("一", "x"), list()));
        assert_eq!(query.unwrap(), [1, 2]);
    }

    #[test]
    fn addresses_of_people_and_machines_are_checked() {
        assert!(read(Email, "\"a@b.example\"").is_ok());
        assert!(read(Email, "\"a b@c.example\"").is_err() && read(Email, "\"@c.example\"").is_err());
        assert!(read(Ip, "\"2001:db8::1\"").is_ok());
        assert!(read(Ip, "\"0x7f.1\"").is_err() && read(Ip, "\"2130706433\"").is_err());
    }
}
