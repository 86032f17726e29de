//! UnionPay's times: Beijing time without a zone, and dates without a year.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::domain::time::{Duration, Timestamp};

const ZONE: &str = "Asia/Shanghai";
const FORMAT: &str = "%Y%m%d%H%M%S";

/// `YYYYMMDDhhmmss`, what lies below a second dropped.
pub fn beijing(at: Timestamp) -> String {
    at.in_zone(ZONE).strftime(FORMAT).to_string()
}

/// Reads `YYYYMMDDhhmmss`.
pub fn read_beijing(text: &str) -> Option<Timestamp> {
    if text.len() != 14 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let civil = DateTime::strptime(FORMAT, text).ok()?;
    let zone = TimeZone::get(ZONE).ok()?;
    Some(Timestamp::from_millis(civil.to_zoned(zone).ok()?.timestamp().as_millisecond()))
}

/// Reads `MMDDhhmmss`, in the first year in which it lies behind `after`, a day of differing clocks aside.
pub fn read_without_year(text: &str, after: Timestamp) -> Option<Timestamp> {
    let earliest = after.minus(Duration::from_days(1));
    let year = earliest.in_zone(ZONE).year();
    // The 29th of February exists only in some years.
    (year..=year + 4).filter_map(|year| read_beijing(&format!("{year:04}{text}"))).find(|at| *at >= earliest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_beijings() {
        let at = Timestamp::parse_rfc3339("2026-12-31T16:00:05.999Z").unwrap();
        assert_eq!(beijing(at), "20270101000005");
        assert_eq!(read_beijing("20270101000005"), Some(Timestamp::from_seconds(at.as_seconds())));
        for bad in ["", "2027010100000", "202701010000050", "20271301000005", "20270230000005", "2027010100000x"] {
            assert_eq!(read_beijing(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_date_without_a_year_lies_behind_its_order() {
        for (text, after, expected) in [
            ("0908132206", "20220908132206", "20220908132206"),
            ("0101000003", "20261231235959", "20270101000003"),
            ("1231235959", "20270101000003", "20261231235959"),
            ("0229000000", "20260301000000", "20280229000000"),
        ] {
            let after = read_beijing(after).unwrap();
            assert_eq!(read_without_year(text, after).map(beijing).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(read_without_year("1332206", read_beijing("20220908132206").unwrap()), None);
    }
}
