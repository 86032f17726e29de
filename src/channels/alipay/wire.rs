//! How Alipay writes values: forms, Beijing time, yuan.
//!
//! Source of all of it: Alipay open platform, version 2 of its gateway (`charset`, `timestamp`, `total_amount`).

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use crate::channels::ChannelError;
use crate::domain::money::{Currency, Money};
use crate::domain::time::Timestamp;

/// Beijing keeps one time all year, and every time without a zone is Beijing's.
const BEIJING: Offset = Offset::constant(8);
const SECONDS: &str = "%Y-%m-%d %H:%M:%S";

/// `yyyy-MM-dd HH:mm:ss` in Beijing.
pub fn beijing(time: Timestamp) -> String {
    civil(time).strftime(SECONDS).to_string()
}

/// The day in Beijing, `yyyy-MM-dd`.
pub fn beijing_day(time: Timestamp) -> String {
    civil(time).strftime("%Y-%m-%d").to_string()
}

fn civil(time: Timestamp) -> DateTime {
    let time = jiff::Timestamp::from_millisecond(time.as_millis()).unwrap_or(jiff::Timestamp::MAX);
    BEIJING.to_datetime(time)
}

/// Reads `yyyy-MM-dd HH:mm:ss`, with or without a fraction of the second (`gmt_refund` has one).
pub fn parse_beijing(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if seconds.len() != 19 || fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let time = DateTime::strptime(SECONDS, seconds).ok()?.to_zoned(TimeZone::fixed(BEIJING)).ok()?;
    Some(Timestamp::from_millis(time.timestamp().as_millisecond()))
}

/// Reads an amount in yuan. Alipay writes two decimals; fewer mean the same amount and are read as well.
pub fn parse_yuan(text: &str, currency: Currency) -> Option<Money> {
    let padded = match text.split_once('.') {
        None => format!("{text}.00"),
        Some((whole, tenths)) if tenths.len() == 1 => format!("{whole}.{tenths}0"),
        Some(_) => text.to_owned(),
    };
    Money::parse(&padded, currency).ok()
}

/// One name with its value in a form or a query.
pub fn pair(name: &str, value: &str) -> String {
    format!("{name}={}", encoded(value))
}

/// As browsers and the providers' own clients encode forms: blanks as `+`, everything but `*-._` and letters and digits
/// as `%XX`.
pub fn encoded(value: &str) -> String {
    url::form_urlencoded::byte_serialize(value.as_bytes()).collect()
}

/// Fields of one form that are read.
const FIELDS_MAX: usize = 128;

/// Decodes a form once, to bytes: a signature covers the bytes in the sender's charset. A name that comes twice, a broken
/// escape or too many fields mean that two readers could read two different forms, so the form is refused.
pub fn parse_form(body: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ChannelError> {
    let refused = |detail: &str| ChannelError::NotGenuine { detail: format!("the form {detail}") };
    let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
    for part in body.split(|b| *b == b'&') {
        let at = part.iter().position(|b| *b == b'=').ok_or_else(|| refused("has a part without a value"))?;
        let name = decoded(&part[..at]).and_then(|name| String::from_utf8(name).ok());
        let name = name.filter(|name| !name.is_empty()).ok_or_else(|| refused("has an unreadable name"))?;
        let value = decoded(&part[at + 1..]).ok_or_else(|| refused("has a broken escape"))?;
        if fields.iter().any(|(other, _)| *other == name) {
            return Err(refused("names a field twice"));
        }
        if fields.len() == FIELDS_MAX {
            return Err(refused("has too many fields"));
        }
        fields.push((name, value));
    }
    Ok(fields)
}

fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => *other,
        });
    }
    Some(bytes)
}

/// Foreign text in our sentences: no control characters, and not much of it.
pub fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_beijings_wherever_the_machine_stands() {
        let noon = Timestamp::from_seconds(1_795_000_000);
        assert_eq!(beijing(noon), "2026-11-18 19:06:40");
        assert_eq!(beijing_day(Timestamp::from_seconds(1_795_017_599)), "2026-11-18");
        assert_eq!(beijing_day(Timestamp::from_seconds(1_795_017_600)), "2026-11-19");
        assert_eq!(parse_beijing("2026-11-18 19:06:40"), Some(noon));
        assert_eq!(parse_beijing("2026-11-18 19:06:40.123"), Some(noon));
        for bad in ["", "2026-11-18", "2026-11-18T19:06:40", "2026-13-18 19:06:40", "2026-11-18 19:06:40Z", "x"] {
            assert_eq!(parse_beijing(bad), None, "{bad}");
        }
    }

    #[test]
    fn yuan_are_read_to_the_fen_and_nothing_else_is() {
        let fen = |text| parse_yuan(text, Currency::CNY).map(Money::minor);
        for (text, expected) in
            [("12.30", 1230), ("12.3", 1230), ("12", 1200), ("0.01", 1), ("100000000.00", 10_000_000_000)]
        {
            assert_eq!(fen(text), Some(expected), "{text}");
        }
        for bad in
            ["", ".", "1.", ".1", "-1.00", "1.005", "1e3", " 1.00", "01.00", "100000000.01", "1,00", "１.00", "1.元"]
        {
            assert_eq!(fen(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_form_has_one_reading_or_none() {
        let read = parse_form(b"a=1+2&b=%E4%BD%A0&c=&d=x=y").unwrap();
        let expected: [(&str, &[u8]); 4] = [("a", b"1 2"), ("b", "你".as_bytes()), ("c", b""), ("d", b"x=y")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_vec())));
        for bad in ["", "a", "a=1&&b=2", "=1", "a=1&a=2", "a=1&%61=2", "a=%", "a=%4", "a=%zz", "a=%+1", "%ff=1"] {
            assert!(parse_form(bad.as_bytes()).is_err(), "{bad}");
        }
        let many: Vec<String> = (0..=FIELDS_MAX).map(|i| format!("f{i}=1")).collect();
        assert!(parse_form(many.join("&").as_bytes()).is_err());
    }
}
