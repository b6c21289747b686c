//! Dates with a time that say no zone → what a field gets of them, in the zone that the job names. Which time is none there, and which is one
//! twice, is decided here.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::value::Typed;

/// Why a time is none in its zone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoTime {
    /// The clocks are put forward over it.
    Skipped,
    /// No time of a day, or an instant beyond the years that there are.
    None,
}

/// What a field gets.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Sent {
    pub(super) text: String,
    /// The clocks show this time twice, as they are put back over it; what is sent is the first.
    pub(super) twice: bool,
}

/// What becomes of the times of one entry.
#[derive(Clone)]
pub(super) struct Local {
    takes: Takes,
    zone: TimeZone,
    /// Where they come from, if it is one column.
    pub(super) column: Option<String>,
}

/// What the field takes of a time.
#[derive(Clone, Copy)]
enum Takes {
    Instant,
    Day,
}

impl Local {
    /// `None`: such a field gets what stands in the cell.
    pub(super) fn of(field: Typed, zone: &TimeZone, column: Option<&str>) -> Option<Self> {
        let takes = match field {
            Typed::DateTime => Takes::Instant,
            Typed::Date => Takes::Day,
            Typed::Boolean | Typed::Number | Typed::Time => return None,
        };
        Some(Self { takes, zone: zone.clone(), column: column.map(str::to_owned) })
    }

    /// `None`: the value is no date with a time and without a zone, and is sent as any other.
    pub(super) fn read(&self, value: &[u8]) -> Option<Result<Sent, NoTime>> {
        let local = super::value::local(value)?;
        Some(local.ok_or(NoTime::None).and_then(|local| match self.takes {
            Takes::Instant => instant(local, &self.zone),
            Takes::Day => Ok(Sent { text: local.date().to_string(), twice: false }),
        }))
    }

    /// The name of the zone.
    pub(super) fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or_default()
    }
}

/// A time that is skipped was never shown by a clock of the zone: it, or the zone, is a mistake, and whichever instant were sent would be one,
/// too. Of one that comes twice both are as good, and rows that nobody could mend would fail every year: the first is taken, as RFC 5545 does.
fn instant(local: DateTime, zone: &TimeZone) -> Result<Sent, NoTime> {
    let found = zone.to_ambiguous_timestamp(local);
    let twice = match found.offset() {
        AmbiguousOffset::Gap { .. } => return Err(NoTime::Skipped),
        AmbiguousOffset::Fold { .. } => true,
        AmbiguousOffset::Unambiguous { .. } => false,
    };
    let at = found.earlier().map_err(|_| NoTime::None)?;
    Ok(Sent { text: format!("{at:.3}"), twice })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(zone: &str, field: Typed, value: &str) -> Option<Result<(String, bool), NoTime>> {
        let local = Local::of(field, &api::zone(zone).unwrap(), None).unwrap();
        local.read(value.as_bytes()).map(|read| read.map(|sent| (sent.text, sent.twice)))
    }

    fn instant_of(zone: &str, value: &str) -> String {
        match told(zone, Typed::DateTime, value) {
            Some(Ok((text, false))) => text,
            other => panic!("{value}: {other:?}"),
        }
    }

    #[test]
    fn a_time_without_a_zone_is_one_of_the_zone_summer_and_winter() {
        for (zone, value, expected) in [
            ("Europe/Berlin", "2026-01-31T09:00:00.000", "2026-01-31T08:00:00.000Z"),
            ("Europe/Berlin", "2026-07-31T09:00:00.000", "2026-07-31T07:00:00.000Z"),
            ("Europe/Berlin", "2026-01-01T00:30:00", "2025-12-31T23:30:00.000Z"),
            ("Australia/Sydney", "2026-01-31T09:00:00.000", "2026-01-30T22:00:00.000Z"),
            ("Australia/Sydney", "2026-07-31T09:00:00.000", "2026-07-30T23:00:00.000Z"),
            ("Asia/Kolkata", "2026-01-31T09:00:00.000", "2026-01-31T03:30:00.000Z"),
            ("UTC", "2026-01-31T09:00:00.000", "2026-01-31T09:00:00.000Z"),
            // Far beyond what tables of changes list.
            ("Europe/Berlin", "2126-07-31T09:00:00", "2126-07-31T07:00:00.000Z"),
            // In all forms that such a field takes; a part of a millisecond is cut off.
            ("Europe/Berlin", "2026-1-31T9:00", "2026-01-31T08:00:00.000Z"),
            ("Europe/Berlin", "2026-01-31T09:00:59,9999", "2026-01-31T08:00:59.999Z"),
            ("Europe/Berlin", "2026-01-31T09:00:00.5", "2026-01-31T08:00:00.500Z"),
            // The end of a day is the beginning of the next one.
            ("Europe/Berlin", "2026-01-31T24:00:00.000", "2026-01-31T23:00:00.000Z"),
            ("Europe/Berlin", "2026-12-31T24:00", "2026-12-31T23:00:00.000Z"),
        ] {
            assert_eq!(instant_of(zone, value), expected, "{zone} {value}");
        }
    }

    #[test]
    fn a_time_that_the_clocks_skip_is_none_and_those_around_it_are() {
        for (zone, before, skipped, after) in [
            (
                "Europe/Berlin",
                ("2026-03-29T01:59:59.999", "2026-03-29T00:59:59.999Z"),
                ["2026-03-29T02:00:00", "2026-03-29T02:30:00", "2026-03-29T02:59:59.999"],
                ("2026-03-29T03:00:00", "2026-03-29T01:00:00.000Z"),
            ),
            (
                "Australia/Sydney",
                ("2026-10-04T01:59:59.999", "2026-10-03T15:59:59.999Z"),
                ["2026-10-04T02:00:00", "2026-10-04T02:30:00", "2026-10-04T02:59:59.999"],
                ("2026-10-04T03:00:00", "2026-10-03T16:00:00.000Z"),
            ),
        ] {
            for value in skipped {
                assert_eq!(told(zone, Typed::DateTime, value), Some(Err(NoTime::Skipped)), "{zone} {value}");
            }
            for (value, expected) in [before, after] {
                assert_eq!(instant_of(zone, value), expected, "{zone} {value}");
            }
        }
        // Where a day begins at one o'clock, its midnight is skipped; the day is not.
        assert_eq!(told("Africa/Cairo", Typed::DateTime, "2026-04-24T00:00:00"), Some(Err(NoTime::Skipped)));
        assert_eq!(told("Africa/Cairo", Typed::Date, "2026-04-24T00:00:00"), Some(Ok(("2026-04-24".to_owned(), false))));
    }

    #[test]
    fn of_a_time_that_the_clocks_show_twice_the_first_is_sent_and_noted() {
        for (zone, value, expected, twice) in [
            ("Europe/Berlin", "2026-10-25T01:59:59.999", "2026-10-24T23:59:59.999Z", false),
            ("Europe/Berlin", "2026-10-25T02:00:00", "2026-10-25T00:00:00.000Z", true),
            ("Europe/Berlin", "2026-10-25T02:59:59.999", "2026-10-25T00:59:59.999Z", true),
            ("Europe/Berlin", "2026-10-25T03:00:00", "2026-10-25T02:00:00.000Z", false),
            ("Australia/Sydney", "2026-04-05T01:59:59.999", "2026-04-04T14:59:59.999Z", false),
            ("Australia/Sydney", "2026-04-05T02:00:00", "2026-04-04T15:00:00.000Z", true),
            ("Australia/Sydney", "2026-04-05T02:59:59.999", "2026-04-04T15:59:59.999Z", true),
            ("Australia/Sydney", "2026-04-05T03:00:00", "2026-04-04T17:00:00.000Z", false),
        ] {
            assert_eq!(told(zone, Typed::DateTime, value), Some(Ok((expected.to_owned(), twice))), "{zone} {value}");
        }
    }

    #[test]
    fn what_says_a_zone_or_has_no_date_or_no_time_is_not_touched() {
        for value in [
            "2026-01-31T09:00:00Z",
            "2026-01-31T09:00:00.000+01:00",
            "2026-01-31T09:00:00-0800",
            "2026-03-29T02:30:00+02:00",
            "2026-01-31",
            "09:00:00",
            "09:00:00.000Z",
            "31.01.2026 09:00",
            "2026-01-31 09:00:00",
            "2026-02-30T09:00:00",
            "2026-01-31T25:00:00",
            "2026-01-31T09:00:00 Europe/Paris",
            "",
        ] {
            assert_eq!(told("Europe/Berlin", Typed::DateTime, value), None, "{value}");
            assert_eq!(told("Europe/Berlin", Typed::Date, value), None, "{value}");
        }
    }

    #[test]
    fn fields_of_other_types_get_what_stands_there() {
        let zone = api::zone("Europe/Berlin").unwrap();
        for field in [Typed::Boolean, Typed::Number, Typed::Time] {
            assert!(Local::of(field, &zone, None).is_none(), "{field:?}");
        }
    }

    #[test]
    fn a_field_of_days_gets_the_day_that_stands_there() {
        for (value, expected) in [
            ("2026-01-31T00:00:00.000", "2026-01-31"),
            ("2026-01-31T23:59:59.999", "2026-01-31"),
            ("2026-1-5T9:00", "2026-01-05"),
            ("2026-03-29T02:30:00", "2026-03-29"),
            ("2026-01-31T24:00:00", "2026-02-01"),
        ] {
            assert_eq!(told("Australia/Sydney", Typed::Date, value), Some(Ok((expected.to_owned(), false))), "{value}");
        }
    }

    #[test]
    fn a_leap_second_and_what_lies_behind_the_end_of_a_day_are_no_times() {
        for value in ["2026-01-31T24:00:01", "2026-01-31T24:30", "2026-01-31T24:00:00.001", "2016-12-31T23:59:60"] {
            assert_eq!(told("Europe/Berlin", Typed::DateTime, value), Some(Err(NoTime::None)), "{value}");
        }
    }
}
