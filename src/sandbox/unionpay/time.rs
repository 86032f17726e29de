//! Beijing time as the provider writes it, and its clearing day, which ends at 23:00. Source: §2 and §7 of the fact sheet.

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};

use crate::domain::time::{Duration, Timestamp};

const BEIJING: Offset = jiff::tz::offset(8);

/// `YYYYMMDDhhmmss`.
pub fn beijing(at: Timestamp) -> String {
    civil(at).strftime("%Y%m%d%H%M%S").to_string()
}

pub fn read_beijing(text: &str) -> Option<Timestamp> {
    if text.len() != 14 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    at(DateTime::strptime("%Y%m%d%H%M%S", text).ok()?)
}

/// The clearing day that a moment belongs to.
pub fn settle_day(at: Timestamp) -> Date {
    civil(at.plus(Duration::from_hours(1))).date()
}

/// First and last moment of a clearing day, the last not included.
pub fn day_span(day: Date) -> Option<(Timestamp, Timestamp)> {
    let end = at(day.at(23, 0, 0, 0))?;
    Some((end.minus(Duration::from_days(1)), end))
}

/// Reads `MMDD` as the last such day until now.
pub fn read_day(text: &str, now: Timestamp) -> Option<Date> {
    let (month, day) = text.split_at_checked(2).filter(|_| text.len() == 4)?;
    let (month, day) = (month.parse().ok()?, day.parse().ok()?);
    let today = civil(now).date();
    (0..=8).filter_map(|back| Date::new(today.year() - back, month, day).ok()).find(|date| *date <= today)
}

fn civil(at: Timestamp) -> DateTime {
    let at = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(jiff::Timestamp::MAX);
    BEIJING.to_datetime(at)
}

fn at(civil: DateTime) -> Option<Timestamp> {
    let zoned = civil.to_zoned(TimeZone::fixed(BEIJING)).ok()?;
    Some(Timestamp::from_millis(zoned.timestamp().as_millisecond()))
}
