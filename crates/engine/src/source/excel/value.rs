//! Numbers and dates that a workbook has as text.

use super::problem::Problem;
use super::shape::Shape;
use crate::source::values::{check_date, milliseconds, plain};

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

/// What a text says that is a number.
pub(super) fn finite(said: &str) -> Option<f64> {
    said.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A date in ISO 8601, as few programs write it: `2024-01-31`, `2024-01-31T09:00:00`, `09:00:00`.
pub(super) fn iso(said: &str, shape: Shape, text: &mut String) -> Result<(), Problem> {
    let (date, time) = match said.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None if said.contains(':') => ("", Some(said)),
        None => (said, None),
    };
    let time = match time.map(|time| time.trim_end_matches('Z')) {
        // A day that is shown as one.
        Some(time) if shape == Shape::Date && !date.is_empty() && time.bytes().all(|byte| matches!(byte, b'0' | b':' | b'.')) => None,
        time => time,
    };
    if !date.is_empty() {
        check_date(date).map_err(|_| Problem::NoDay)?;
        text.push_str(date);
    }
    let Some(time) = time else { return Ok(()) };
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let parts: Vec<&str> = clock.split(':').collect();
    let is_clock =
        (2..=3).contains(&parts.len()) && parts.iter().all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_clock || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::NoDay);
    }
    if !date.is_empty() {
        text.push('T');
    }
    let seconds = if parts.len() == 2 { format!("{clock}:00") } else { time.to_owned() };
    text.push_str(&milliseconds(&seconds));
    text.push('Z');
    Ok(())
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
        ] {
            let mut text = String::new();
            assert_eq!(iso(said, shape, &mut text).map(|()| text.as_str()), Ok(expected), "{said}");
        }
        for said in ["31.01.2024", "2024-01-31T9", "2024-01-31T09:30:0x", "T", "2024-01-31T09:30:00+01:00"] {
            assert_eq!(iso(said, Shape::Date, &mut String::new()), Err(Problem::NoDay), "{said}");
        }
    }
}
