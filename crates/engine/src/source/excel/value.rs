//! Numbers and dates that a workbook has as text.

use super::problem::Problem;
use super::serial::{self, DAY_MS, Epoch};
use super::shape::Shape;
use crate::source::Zoneless;
use crate::source::values::{self, check_date, plain};

/// Appends a number in all its digits: without an exponent, without `.0`. `None`: it is no number.
pub(super) fn number(said: &str, text: &mut String) -> Option<()> {
    // As it stands there: it may have more digits than a number of floating point keeps.
    let digits = said.strip_prefix('-').unwrap_or(said);
    let is_whole = digits.bytes().all(|digit| digit.is_ascii_digit()) && matches!(digits.as_bytes(), [b'1'..=b'9', ..]);
    if is_whole {
        text.push_str(said);
        return Some(());
    }
    plain::<f64>(said.parse().ok()?, text)
}

/// Appends what a number of floating point stands for. `None`: it is not finite.
pub(super) fn of_number(number: f64, shape: Shape, epoch: Epoch, zoneless: Zoneless, text: &mut String) -> Option<Result<(), Problem>> {
    Some(match shape {
        Shape::Number => {
            plain(number, text)?;
            Ok(())
        }
        shape => serial::write(Some(number).filter(|number| number.is_finite())?, shape, epoch, zoneless, text),
    })
}

/// What a text says that is a number.
pub(super) fn finite(said: &str) -> Option<f64> {
    said.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A date in ISO 8601, as OpenDocument and few other programs write it: `2024-01-31`, `2024-01-31T09:00:00`, `09:00:00`. Of a day at
/// midnight the shape says whether its time is told.
pub(super) fn iso(said: &str, shape: Shape, zoneless: Zoneless, text: &mut String) -> Result<(), Problem> {
    let (date, time) = match said.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None if said.contains(':') => ("", Some(said)),
        None => (said, None),
    };
    let time = time.map(|time| of_clock(time).ok_or(Problem::NoDay)).transpose()?;
    if date.is_empty() {
        serial::clock(time.ok_or(Problem::NoDay)?.min(DAY_MS - 1), text);
        return Ok(());
    }
    let mut day = of_calendar(date).ok_or(Problem::NoDay)?;
    let time = match (time, shape) {
        (None | Some(0), Shape::Date | Shape::DateOrTime) => None,
        (None, Shape::DateTime | Shape::Time) => Some(0),
        // Rounded up into the next day.
        (Some(DAY_MS), _) => {
            day += 1;
            Some(0)
        }
        (time, _) => time,
    };
    values::day(day, text).map_err(|_| Problem::NoDay)?;
    if let Some(time) = time {
        // Few programs say that it is one of UTC.
        serial::behind_day(time, if said.ends_with('Z') { "Z" } else { zoneless.mark() }, text);
    }
    Ok(())
}

/// `2024-01-31` as days since 1970-01-01.
fn of_calendar(date: &str) -> Option<i64> {
    check_date(date).ok()?;
    let (year, month, day): (i64, i64, i64) = (date[..4].parse().ok()?, date[5..7].parse().ok()?, date[8..].parse().ok()?);
    // Years begin with March here, so that the day of a leap year is the last one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day - 719_469;
    // A day that the calendar does not have becomes another one.
    let mut told = String::new();
    values::day(days, &mut told).ok().filter(|()| told == date)?;
    Some(days)
}

/// `09:30` or `09:30:15.999` as milliseconds of a day, rounded.
fn of_clock(time: &str) -> Option<i64> {
    let time = time.trim_end_matches('Z');
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut parts = clock.split(':').map(|part| digits(part).filter(|_| part.len() == 2));
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    if hours > 23 || minutes > 59 || seconds > 59 || parts.next().is_some() {
        return None;
    }
    Some(((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths(fraction)?)
}

/// Milliseconds of a time that passed, such as `PT26H30M15.5S`, rounded.
pub(super) fn passed(said: &str) -> Option<i64> {
    let (sign, rest) = said.strip_prefix('-').map_or((1, said), |rest| (-1, rest));
    let (days, rest) = rest.strip_prefix('P')?.split_once('T')?;
    let mut sum = if days.is_empty() { 0 } else { digits(days.strip_suffix('D')?)?.checked_mul(DAY_MS)? };
    let mut rest = rest;
    for (unit, milliseconds) in [('H', 3_600_000), ('M', 60_000)] {
        if let Some((count, behind)) = rest.split_once(unit) {
            sum = sum.checked_add(digits(count)?.checked_mul(milliseconds)?)?;
            rest = behind;
        }
    }
    if let Some(seconds) = rest.strip_suffix('S') {
        let (seconds, fraction) = seconds.split_once(['.', ',']).unwrap_or((seconds, ""));
        sum = sum.checked_add(digits(seconds)?.checked_mul(1000)?)?.checked_add(thousandths(fraction)?)?;
        rest = "";
    }
    (rest.is_empty()).then_some(sign * sum)
}

/// Thousandths of digits behind a point, rounded.
fn thousandths(fraction: &str) -> Option<i64> {
    let is_number = fraction.bytes().all(|byte| byte.is_ascii_digit());
    digits(&format!("{fraction:0<4.4}")).filter(|_| is_number).map(|count| (count + 5) / 10)
}

fn digits(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_all_their_digits() {
        for (said, expected) in [
            ("1", "1"),
            ("-12", "-12"),
            ("0", "0"),
            ("-0", "0"),
            ("007", "7"),
            ("1E+15", "1000000000000000"),
            ("1.5e3", "1500"),
            ("0.1", "0.1"),
            ("0.10000000000000001", "0.1"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("1234.5", "1234.5"),
            ("1.0", "1"),
            ("1E-7", "0.0000001"),
            ("12345678901234567", "12345678901234567"),
            ("-9007199254740993", "-9007199254740993"),
            ("9.99999999999999E+22", "99999999999999900000000"),
        ] {
            let mut text = String::new();
            assert_eq!(number(said, &mut text).map(|()| text.as_str()), Some(expected), "{said}");
        }
        for said in ["", "-", "NaN", "inf", "1E+999", "1,5", "0x10", "one"] {
            assert_eq!(number(said, &mut String::new()), None, "{said}");
        }
    }

    #[test]
    fn dates_in_iso_8601_are_read() {
        for (said, shape, expected) in [
            ("2024-01-31", Shape::Date, "2024-01-31"),
            ("2024-01-31T00:00:00", Shape::Date, "2024-01-31"),
            ("2024-01-31T00:00:00", Shape::DateTime, "2024-01-31T00:00:00.000Z"),
            ("2024-01-31T09:30", Shape::DateTime, "2024-01-31T09:30:00.000Z"),
            ("2024-01-31T09:30:00.5Z", Shape::Date, "2024-01-31T09:30:00.500Z"),
            ("09:30:00", Shape::Time, "09:30:00.000Z"),
            ("2024-02-29", Shape::DateTime, "2024-02-29T00:00:00.000Z"),
            ("2024-01-31T18:30:15.998999999", Shape::DateTime, "2024-01-31T18:30:15.999Z"),
            ("2023-12-31T23:59:59.99999", Shape::Date, "2024-01-01T00:00:00.000Z"),
            ("23:59:59.9999", Shape::Time, "23:59:59.999Z"),
            ("0001-01-01", Shape::Date, "0001-01-01"),
            ("9999-12-31", Shape::Date, "9999-12-31"),
        ] {
            let mut text = String::new();
            assert_eq!(iso(said, shape, Zoneless::Utc, &mut text).map(|()| text.as_str()), Ok(expected), "{said}");
        }
        for (said, expected) in [
            ("2024-01-31T09:30", "2024-01-31T09:30:00.000"),
            ("2024-01-31T09:30:00.5Z", "2024-01-31T09:30:00.500Z"),
            ("2024-01-31", "2024-01-31"),
            ("09:30:00", "09:30:00.000Z"),
        ] {
            let mut text = String::new();
            assert_eq!(iso(said, Shape::Date, Zoneless::Local, &mut text).map(|()| text.as_str()), Ok(expected), "{said}");
        }
        for said in [
            "31.01.2024",
            "2024-01-31T9",
            "2024-01-31T09:30:0x",
            "T",
            "2024-01-31T09:30:00+01:00",
            "2023-02-29",
            "2024-13-01",
            "0000-01-01",
            "2024-00-10",
            "2024-01-31T24:00:00",
            "2024-01-31T09:3€",
        ] {
            assert_eq!(iso(said, Shape::Date, Zoneless::Utc, &mut String::new()), Err(Problem::NoDay), "{said}");
        }
    }

    #[test]
    fn every_day_is_found() {
        let mut day = jiff::civil::date(1, 1, 1);
        for since_1970 in -719_162..=2_932_896 {
            assert_eq!(of_calendar(&day.to_string()), Some(since_1970), "{day}");
            day = day.tomorrow().unwrap_or(day);
        }
    }

    #[test]
    fn times_that_passed_are_read() {
        for (said, expected) in [
            ("PT26H30M00S", 95_400_000),
            ("PT09H00M00.005S", 32_400_005),
            ("-PT1H", -3_600_000),
            ("P1DT1M", 86_460_000),
            ("PT0,0015S", 2),
            ("PT0S", 0),
            ("PT90M", 5_400_000),
        ] {
            assert_eq!(passed(said), Some(expected), "{said}");
        }
        for said in [
            "",
            "P",
            "PT1",
            "PTH",
            "P1Y",
            "P1MT1S",
            "PT1S1H",
            "PT-1S",
            "PT1.xS",
            "26:30",
            "PT99999999999999999999S",
            "PT9999999999999999H",
            "PT€S",
        ] {
            assert_eq!(passed(said), None, "{said}");
        }
    }
}
