//! Texts of databases → Salesforce's, as far as they are alike.

use std::str::FromStr;

use crate::row::Record;

pub(super) const OUT_OF_RANGE: &str = "not between the years 0001 and 9999";

/// `YYYY-MM-DD` and nothing else.
pub(super) fn check_date(text: &str) -> Result<(), &'static str> {
    let fits = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() });
    if fits { Ok(()) } else { Err(OUT_OF_RANGE) }
}

/// Salesforce keeps no finer part of a second; a part is never rounded up into the next one.
pub(super) fn milliseconds(time: &str) -> String {
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
    format!("{seconds}.{:0<3.3}", fraction)
}

/// Appends a number of floating point without an exponent.
pub(super) fn push_plain<F: FromStr + ToString>(text: &str, cells: &mut Record) -> Result<(), &'static str> {
    if !text.contains('e') {
        cells.push_field(text.as_bytes());
        return Ok(());
    }
    let number: F = text.parse().map_err(|_| "not a number")?;
    cells.push_field(number.to_string().as_bytes());
    Ok(())
}
