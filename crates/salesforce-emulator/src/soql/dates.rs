//! Named dates: `TODAY`, `LAST_N_DAYS:7` and their kin as spans of days, in UTC.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan};

const PLAIN: [&str; 9] = ["TODAY", "YESTERDAY", "TOMORROW", "THIS_WEEK", "LAST_WEEK", "THIS_MONTH", "LAST_MONTH", "THIS_YEAR", "LAST_YEAR"];
const COUNTED: [&str; 2] = ["LAST_N_DAYS", "NEXT_N_DAYS"];

pub(super) fn is_name(name: &str) -> bool {
    PLAIN.contains(&name) || COUNTED.contains(&name)
}

/// The first day of the span and the first day after it.
pub(super) fn span(name: &str, count: i64, now_ms: i64) -> Option<(Date, Date)> {
    let today = Timestamp::from_millisecond(now_ms).ok()?.to_zoned(TimeZone::UTC).date();
    let add = |date: Date, span: Span| date.checked_add(span).ok();
    let week = add(today, (-i64::from(today.weekday().to_sunday_zero_offset())).days())?;
    let (month, year) = (today.first_of_month(), today.first_of_year());
    let days = |n: i64| Span::new().try_days(n).ok();
    Some(match name {
        "TODAY" => (today, add(today, 1.day())?),
        "YESTERDAY" => (add(today, -1.day())?, today),
        "TOMORROW" => (add(today, 1.day())?, add(today, 2.days())?),
        "THIS_WEEK" => (week, add(week, 7.days())?),
        "LAST_WEEK" => (add(week, -7.days())?, week),
        "THIS_MONTH" => (month, add(month, 1.month())?),
        "LAST_MONTH" => (add(month, -1.month())?, month),
        "THIS_YEAR" => (year, add(year, 1.year())?),
        "LAST_YEAR" => (add(year, -1.year())?, year),
        "LAST_N_DAYS" => (add(today, days(-count)?)?, add(today, 1.day())?),
        "NEXT_N_DAYS" => (add(today, 1.day())?, add(today, days(count + 1)?)?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_start_and_end_where_they_should() {
        let now = "2026-03-15T12:00:00Z".parse::<Timestamp>().unwrap().as_millisecond();
        let span = |name, count| span(name, count, now).map(|(a, b)| (a.to_string(), b.to_string())).unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(span("TODAY", 0), pair("2026-03-15", "2026-03-16"));
        assert_eq!(span("LAST_MONTH", 0), pair("2026-02-01", "2026-03-01"));
        assert_eq!(span("LAST_N_DAYS", 7), pair("2026-03-08", "2026-03-16"));
        assert_eq!(span("NEXT_N_DAYS", 2), pair("2026-03-16", "2026-03-18"));
    }
}
