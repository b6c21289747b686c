//! Excel's numbers of days → ISO 8601.

use std::fmt::Write;

use super::problem::Problem;
use super::shape::Shape;
use crate::source::{Zoneless, values};

const DAY: f64 = 86_400_000.0;
pub(super) const DAY_MS: i64 = 86_400_000;

/// Days from 1899-12-30 to 1970-01-01.
const DAYS_TO_1970: i64 = 25_569;

/// Days from 1900-01-00 to 1904-01-01.
const DAYS_TO_1904: i64 = 1462;

/// Where a workbook begins to count.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Epoch {
    /// 1 is 1900-01-01, 60 a day that never was: Excel takes 1900 for a leap year, as Lotus 1-2-3 did.
    #[default]
    From1900,
    /// 0 is 1904-01-01, as old Macs have it.
    From1904,
}

/// Appends the text of a number that stands for a day, a time of a day, both, or a time that passed. Milliseconds are rounded: a number
/// of days holds them only nearly.
pub(super) fn write(days: f64, shape: Shape, epoch: Epoch, zoneless: Zoneless, text: &mut String) -> Result<(), Problem> {
    if days.abs() > 1e8 {
        return Err(Problem::NoDay);
    }
    let milliseconds = (days * DAY).round() as i64;
    if shape == Shape::Duration {
        duration(milliseconds, text);
        return Ok(());
    }
    if milliseconds < 0 {
        return Err(Problem::NoDay);
    }
    let (day, time) = (milliseconds / DAY_MS, milliseconds % DAY_MS);
    match shape {
        Shape::Time | Shape::DateOrTime if day == 0 => clock(time, text),
        Shape::Date | Shape::DateOrTime if time == 0 => date(day, epoch, text)?,
        _ => {
            date(day, epoch, text)?;
            behind_day(time, zoneless.mark(), text);
        }
    }
    Ok(())
}

/// `T09:00:00.000` and the zone, if one is told.
pub(super) fn behind_day(time: i64, zone: &str, text: &mut String) {
    text.push('T');
    values::clock(time, text);
    text.push_str(zone);
}

/// `09:00:00.000Z`, as databases give a time: nothing says which zone it is of, and it is taken for UTC.
pub(super) fn clock(time: i64, text: &mut String) {
    values::clock(time, text);
    text.push('Z');
}

fn date(day: i64, epoch: Epoch, text: &mut String) -> Result<(), Problem> {
    let day = match epoch {
        Epoch::From1904 => day + DAYS_TO_1904,
        // The days before the one that never was.
        Epoch::From1900 if (1..60).contains(&day) => day + 1,
        Epoch::From1900 if day == 0 || day == 60 => return Err(Problem::NoDay),
        Epoch::From1900 => day,
    };
    values::day(day - DAYS_TO_1970, text).map_err(|_| Problem::NoDay)
}

/// `PT26H30M`, as PostgreSQL writes an interval in ISO 8601.
pub(super) fn duration(milliseconds: i64, text: &mut String) {
    let sign = if milliseconds < 0 { "-" } else { "" };
    let (seconds, rest) = (milliseconds.abs() / 1000, milliseconds.abs() % 1000);
    text.push_str("PT");
    for (count, unit) in [(seconds / 3600, 'H'), (seconds / 60 % 60, 'M')] {
        if count > 0 {
            let _ = write!(text, "{sign}{count}{unit}");
        }
    }
    let seconds = seconds % 60;
    match rest {
        0 if seconds == 0 && !text.ends_with('T') => {}
        0 => _ = write!(text, "{}{seconds}S", if seconds > 0 { sign } else { "" }),
        rest => {
            let fraction = format!("{rest:03}");
            let _ = write!(text, "{sign}{seconds}.{}S", fraction.trim_end_matches('0'));
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;
    use jiff::civil::date as day;

    use super::*;

    /// 9999-12-31 in the system of 1900.
    const LAST: i64 = 2_958_465;

    fn told(days: f64, shape: Shape, epoch: Epoch) -> Result<String, Problem> {
        let mut text = String::new();
        write(days, shape, epoch, Zoneless::Utc, &mut text).map(|()| text)
    }

    #[test]
    fn every_day_is_that_of_the_calendar() {
        let mut expected = day(1900, 3, 1);
        for serial in 61..=LAST {
            assert_eq!(told(serial as f64, Shape::Date, Epoch::From1900), Ok(expected.to_string()), "{serial}");
            if serial >= DAYS_TO_1904 {
                assert_eq!(told((serial - DAYS_TO_1904) as f64, Shape::Date, Epoch::From1904), Ok(expected.to_string()));
            }
            if serial < LAST {
                expected = expected.tomorrow().unwrap();
            }
        }
        for serial in 1..60 {
            let expected = day(1899, 12, 31).checked_add(serial.days()).unwrap();
            assert_eq!(told(serial as f64, Shape::Date, Epoch::From1900), Ok(expected.to_string()), "{serial}");
        }
    }

    #[test]
    fn days_that_are_none_are_told() {
        for (serial, epoch) in [
            (0.0, Epoch::From1900),
            (60.0, Epoch::From1900),
            (60.5, Epoch::From1900),
            (-1.0, Epoch::From1904),
            (2_958_466.0, Epoch::From1900),
        ] {
            assert_eq!(told(serial, Shape::Date, epoch), Err(Problem::NoDay), "{serial}");
            assert_eq!(told(serial, Shape::DateTime, epoch), Err(Problem::NoDay), "{serial}");
        }
        for serial in [f64::MAX, f64::MIN, 1e300] {
            assert_eq!(told(serial, Shape::Duration, Epoch::From1900), Err(Problem::NoDay));
        }
        assert_eq!(told(0.0, Shape::Date, Epoch::From1904).as_deref(), Ok("1904-01-01"));
    }

    #[test]
    fn the_format_and_the_number_say_together_what_is_written() {
        for (serial, shape, expected) in [
            (45322.0, Shape::Date, "2024-01-31"),
            (45322.0, Shape::DateTime, "2024-01-31T00:00:00.000Z"),
            // A date that is shown without its time keeps it.
            (45322.75, Shape::Date, "2024-01-31T18:00:00.000Z"),
            (45322.5, Shape::Time, "2024-01-31T12:00:00.000Z"),
            (45_322.999_999_999_9, Shape::DateTime, "2024-02-01T00:00:00.000Z"),
            (0.375, Shape::Time, "09:00:00.000Z"),
            (0.0, Shape::Time, "00:00:00.000Z"),
            (0.375, Shape::DateOrTime, "09:00:00.000Z"),
            (45322.0, Shape::DateOrTime, "2024-01-31"),
            (45322.0 + 1.0 / 86_400_000.0, Shape::DateTime, "2024-01-31T00:00:00.001Z"),
            (1.104_166_666_666_666_7, Shape::Duration, "PT26H30M"),
            (-0.0625, Shape::Duration, "PT-1H-30M"),
            (0.0, Shape::Duration, "PT0S"),
            (1.5 / 86_400.0, Shape::Duration, "PT1.5S"),
            (3600.25 / 86_400.0, Shape::Duration, "PT1H0.25S"),
        ] {
            assert_eq!(told(serial, shape, Epoch::From1900).as_deref(), Ok(expected), "{serial} {shape:?}");
        }
    }

    #[test]
    fn of_a_job_that_names_a_zone_a_day_with_a_time_says_none() {
        for (serial, shape, expected) in [
            (45322.0, Shape::DateTime, "2024-01-31T00:00:00.000"),
            (45322.75, Shape::Date, "2024-01-31T18:00:00.000"),
            (45322.0, Shape::Date, "2024-01-31"),
            (0.375, Shape::Time, "09:00:00.000Z"),
            (1.5, Shape::Duration, "PT36H"),
        ] {
            let mut text = String::new();
            write(serial, shape, Epoch::From1900, Zoneless::Local, &mut text).unwrap();
            assert_eq!(text, expected, "{serial} {shape:?}");
        }
    }
}
