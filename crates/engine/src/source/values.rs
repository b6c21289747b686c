//! Values of databases and files → Salesforce's texts, as far as they are alike.

use std::fmt::{Display, Write};
use std::str::FromStr;

use api::import_job;

use crate::row::Record;

pub(super) const OUT_OF_RANGE: &str = "not between the years 0001 and 9999";

/// What a date with a time is of which neither its value nor its column says a zone.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Zoneless {
    /// It is taken for one of UTC.
    #[default]
    Utc,
    /// It is one of the zone that the job names, and is written as it stands there: which instant or day that is, is told where its field is
    /// known (`map`).
    Local,
}

impl Zoneless {
    /// What is written behind it.
    pub(super) fn mark(self) -> &'static str {
        match self {
            Self::Utc => "Z",
            Self::Local => "",
        }
    }
}

impl From<&import_job::Source> for Zoneless {
    fn from(source: &import_job::Source) -> Self {
        if source.time_zone.is_some() { Self::Local } else { Self::Utc }
    }
}

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

/// Appends a number of floating point in the fewest digits that stand for it alone, without an exponent. `None`: it is not finite.
pub(super) fn plain<F: Copy + Default + Display + Into<f64>>(number: F, text: &mut String) -> Option<()> {
    let wide: f64 = number.into();
    // There is no minus zero among values.
    wide.is_finite().then(|| _ = write!(text, "{}", if wide == 0.0 { F::default() } else { number }))
}

/// Appends a day, counted from 1970-01-01.
pub(super) fn day(since_1970: i64, text: &mut String) -> Result<(), &'static str> {
    // 0001-01-01 and 9999-12-31.
    if !(-719_162..=2_932_896).contains(&since_1970) {
        return Err(OUT_OF_RANGE);
    }
    let (year, month, day) = civil(since_1970);
    let _ = write!(text, "{year:04}-{month:02}-{day:02}");
    Ok(())
}

/// Of days since 1970-01-01. Years begin with March here, so that the day of a leap year is the last one.
fn civil(since_1970: i64) -> (i64, i64, i64) {
    // Days since 0000-03-01, which begins 400 years that are like any other.
    let day = since_1970 + 719_468;
    let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

/// Appends a time of a day as `09:00:00.000`.
pub(super) fn clock(milliseconds: i64, text: &mut String) {
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    let _ = write!(text, "{:02}:{:02}:{:02}.{rest:03}", seconds / 3600, seconds / 60 % 60, seconds % 60);
}
