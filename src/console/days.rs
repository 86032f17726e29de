//! Days as people type them, in the merchant's zone.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::domain::time::Timestamp;

/// Midnight of a day; `None` when the text is not `2026-11-23`.
pub fn day_start(zone: &str, text: &str) -> Option<Timestamp> {
    let date: Date = (text.len() == 10).then(|| text.parse().ok())??;
    start_of(zone, date)
}

/// From the first moment of one day to the last of the other, the end excluded. What cannot be read bounds nothing.
pub fn day_range(zone: &str, from: &str, to: &str) -> (Timestamp, Timestamp) {
    let start = day_start(zone, from).unwrap_or(Timestamp::MIN);
    let end = (to.len() == 10).then(|| to.parse::<Date>().ok()).flatten();
    let end = end.and_then(|date| date.tomorrow().ok()).and_then(|date| start_of(zone, date));
    (start, end.unwrap_or(Timestamp::MAX))
}

/// `2026-11-23` for a number of days since 1970-01-01, as day totals are keyed.
pub fn date_of(day: u32) -> Date {
    let epoch = Date::constant(1970, 1, 1);
    let days = jiff::Span::new().try_days(i64::from(day)).unwrap_or_default();
    epoch.checked_add(days).unwrap_or(epoch)
}

fn start_of(zone: &str, date: Date) -> Option<Timestamp> {
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    let start = date.to_zoned(zone).ok()?;
    Some(Timestamp::from_millis(start.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_cut_in_the_merchants_zone() {
        let (from, to) = day_range("Asia/Shanghai", "2026-11-23", "2026-11-23");
        assert_eq!(from.to_rfc3339(), "2026-11-22T16:00:00.000Z");
        assert_eq!(to.to_rfc3339(), "2026-11-23T16:00:00.000Z");
    }

    #[test]
    fn what_is_not_a_day_bounds_nothing() {
        for bad in ["", "2026-13-01", "' or 1=1", "2026-11-23T00:00", "2026-1-1"] {
            assert_eq!(day_range("Asia/Shanghai", bad, bad), (Timestamp::MIN, Timestamp::MAX), "{bad:?}");
        }
    }

    #[test]
    fn day_numbers_are_dates() {
        assert_eq!(date_of(0).to_string(), "1970-01-01");
        assert_eq!(date_of(20_780).to_string(), "2026-11-23");
    }
}
