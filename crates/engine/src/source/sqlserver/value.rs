//! SQL Server's values → Salesforce's texts: ISO 8601, plain digits. And the texts that keys are known by, which lose nothing.

use std::fmt::Write;

use connect::{SqlServerKind, SqlServerValue};

use crate::source::Zoneless;
use crate::source::values::{clock, day, plain};

/// Of a millisecond, in 100 ns.
const MILLISECOND: u64 = 10_000;

/// Of a second, in 100 ns.
const SECOND: u64 = 10_000_000;

const TOO_MUCH_MONEY: &str =
    "money of more than 225,179,981,368, which is read with a loss: write CAST(column AS decimal(19, 4)) in the query";

/// Columns whose values are no texts, and what to write in the query instead.
pub(super) fn no_cell(kind: SqlServerKind) -> Option<(&'static str, &'static str)> {
    match kind {
        SqlServerKind::Binary => {
            Some(("bytes", "write CONVERT(varchar(max), column, 2) for hexadecimal digits, or leave it out of the job"))
        }
        SqlServerKind::Variant => Some(("sql_variant", "write CAST(column AS nvarchar(4000)), or the type that it holds")),
        SqlServerKind::Clr => Some(("of a type made of code (CLR)", "write column.ToString()")),
        SqlServerKind::Bit
        | SqlServerKind::Integer
        | SqlServerKind::Decimal
        | SqlServerKind::Money
        | SqlServerKind::Approximate
        | SqlServerKind::Date
        | SqlServerKind::Time
        | SqlServerKind::DateTime
        | SqlServerKind::DateTime2
        | SqlServerKind::DateTimeOffset
        | SqlServerKind::Text
        | SqlServerKind::PaddedText
        | SqlServerKind::LongText
        | SqlServerKind::Guid
        | SqlServerKind::Xml => None,
    }
}

/// Replaces the text by that of a cell (`zoneless`: what a time without a zone is), or says what it is that Salesforce has no place for; the text is what people see of it then.
pub(super) fn cell(kind: SqlServerKind, zoneless: Zoneless, value: SqlServerValue<'_>, text: &mut String) -> Result<(), &'static str> {
    text.clear();
    match value {
        SqlServerValue::Null => Ok(()),
        SqlServerValue::Text(found) => {
            text.push_str(if kind == SqlServerKind::PaddedText { found.trim_end_matches(' ') } else { found });
            Ok(())
        }
        SqlServerValue::Real(number) => plain(number, text).ok_or("not a finite number"),
        SqlServerValue::Float(number) => plain(number, text).ok_or("not a finite number"),
        SqlServerValue::TooMuchMoney => Err(TOO_MUCH_MONEY),
        SqlServerValue::Date(since_1970) => day(since_1970, text),
        SqlServerValue::Time(time) => {
            clock((time / MILLISECOND).cast_signed(), text);
            text.push('Z');
            Ok(())
        }
        SqlServerValue::Instant { day: since_1970, time } => {
            day(since_1970, text)?;
            text.push('T');
            clock((time / MILLISECOND).cast_signed(), text);
            let zone = if kind == SqlServerKind::DateTimeOffset { Zoneless::Utc } else { zoneless };
            text.push_str(zone.mark());
            Ok(())
        }
        SqlServerValue::Binary(bytes) => {
            text.push_str("\\x");
            text.push_str(&hex::encode(bytes));
            Ok(())
        }
        SqlServerValue::Bit(bit) => {
            text.push(if bit { '1' } else { '0' });
            Ok(())
        }
        SqlServerValue::Integer(number) => Ok(_ = write!(text, "{number}")),
        SqlServerValue::Decimal { digits, scale } => {
            decimal(digits, scale, text);
            Ok(())
        }
        SqlServerValue::Guid(bytes) => {
            for (at, byte) in bytes.iter().enumerate() {
                let _ = write!(text, "{}{byte:02X}", if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" });
            }
            Ok(())
        }
    }
}

/// Replaces the text by what a key is known by. Where a cell would lose something, spaces or parts of a millisecond, it does not.
pub(super) fn key(kind: SqlServerKind, value: SqlServerValue<'_>, text: &mut String) -> Result<(), &'static str> {
    match value {
        SqlServerValue::Text(found) => {
            text.clear();
            text.push_str(found);
            Ok(())
        }
        SqlServerValue::Time(time) => {
            text.clear();
            exact_clock(time, text);
            Ok(())
        }
        // It has whole milliseconds, and takes no more digits.
        SqlServerValue::Instant { day: since_1970, time } if kind == SqlServerKind::DateTime => {
            text.clear();
            day(since_1970, text)?;
            text.push('T');
            clock((time / MILLISECOND).cast_signed(), text);
            Ok(())
        }
        SqlServerValue::Instant { day: since_1970, time } => {
            text.clear();
            day(since_1970, text)?;
            text.push('T');
            exact_clock(time, text);
            if kind == SqlServerKind::DateTimeOffset {
                text.push('Z');
            }
            Ok(())
        }
        // No time with a day is left.
        other => cell(kind, Zoneless::Utc, other, text),
    }
}

fn exact_clock(time: u64, text: &mut String) {
    let (seconds, rest) = (time / SECOND, time % SECOND);
    let _ = write!(text, "{:02}:{:02}:{:02}.{rest:07}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
}

fn decimal(digits: i128, scale: u8, text: &mut String) {
    let scale = usize::from(scale);
    let written = format!("{:0>width$}", digits.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = written.split_at(written.len() - scale);
    if digits < 0 {
        text.push('-');
    }
    text.push_str(whole);
    if scale > 0 {
        text.push('.');
        text.push_str(fraction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use SqlServerKind as Kind;
    use SqlServerValue as Value;

    fn told(write: fn(Kind, Value<'_>, &mut String) -> Result<(), &'static str>, kind: Kind, value: Value<'_>) -> String {
        let mut text = "what was there before".to_owned();
        write(kind, value, &mut text).unwrap_or_else(|error| panic!("{value:?}: {error}"));
        text
    }

    fn utc(kind: Kind, value: Value<'_>, text: &mut String) -> Result<(), &'static str> {
        cell(kind, Zoneless::Utc, value, text)
    }

    fn local(kind: Kind, value: Value<'_>, text: &mut String) -> Result<(), &'static str> {
        cell(kind, Zoneless::Local, value, text)
    }

    #[test]
    fn of_a_job_that_names_a_zone_only_what_has_an_offset_says_one() {
        let at = Value::Instant { day: 20_785, time: 34_200 * SECOND };
        for (kind, value, expected) in [
            (Kind::DateTime, at, "2026-11-28T09:30:00.000"),
            (Kind::DateTime2, at, "2026-11-28T09:30:00.000"),
            (Kind::DateTimeOffset, at, "2026-11-28T09:30:00.000Z"),
            (Kind::Date, Value::Date(20_785), "2026-11-28"),
            (Kind::Time, Value::Time(34_200 * SECOND), "09:30:00.000Z"),
        ] {
            assert_eq!(told(local, kind, value), expected, "{kind:?}");
        }
    }

    #[test]
    fn values_are_written_as_salesforce_reads_them() {
        let half_past_nine = 34_200 * SECOND;
        for (kind, value, expected) in [
            (Kind::Text, Value::Null, ""),
            (Kind::Bit, Value::Bit(true), "1"),
            (Kind::Bit, Value::Bit(false), "0"),
            (Kind::Integer, Value::Integer(i64::MIN), "-9223372036854775808"),
            (Kind::Decimal, Value::Decimal { digits: 12_345, scale: 2 }, "123.45"),
            (Kind::Decimal, Value::Decimal { digits: -5, scale: 4 }, "-0.0005"),
            (Kind::Decimal, Value::Decimal { digits: 0, scale: 2 }, "0.00"),
            (Kind::Decimal, Value::Decimal { digits: 7, scale: 0 }, "7"),
            (
                Kind::Decimal,
                Value::Decimal { digits: 99_999_999_999_999_999_999_999_999_999_999_999_999, scale: 38 },
                "0.99999999999999999999999999999999999999",
            ),
            (Kind::Approximate, Value::Float(0.1), "0.1"),
            (Kind::Approximate, Value::Float(1e21), "1000000000000000000000"),
            (Kind::Approximate, Value::Float(-0.0), "0"),
            (Kind::Approximate, Value::Real(0.1), "0.1"),
            (Kind::Date, Value::Date(20_785), "2026-11-28"),
            (Kind::Time, Value::Time(half_past_nine + SECOND - 1), "09:30:00.999Z"),
            (Kind::DateTime2, Value::Instant { day: 20_785, time: half_past_nine + 1_234_567 }, "2026-11-28T09:30:00.123Z"),
            (Kind::DateTime, Value::Instant { day: -79_257, time: 0 }, "1753-01-01T00:00:00.000Z"),
            (Kind::Text, Value::Text("Zoë 🛫  "), "Zoë 🛫  "),
            (Kind::PaddedText, Value::Text(" a  "), " a"),
            (Kind::Xml, Value::Text("<a/>"), "<a/>"),
            (
                Kind::Guid,
                Value::Guid([0x6F, 0x96, 0x19, 0xFF, 0x8B, 0x86, 0xD0, 0x11, 0xB4, 0x2D, 0, 0xC0, 0x4F, 0xC9, 0x64, 0xFF]),
                "6F9619FF-8B86-D011-B42D-00C04FC964FF",
            ),
            (Kind::Binary, Value::Binary(&[0, 0xFF]), "\\x00ff"),
        ] {
            assert_eq!(told(utc, kind, value), expected);
        }
    }

    #[test]
    fn a_key_loses_nothing() {
        let time = 34_200 * SECOND + 1_234_567;
        for (kind, value, expected) in [
            (Kind::PaddedText, Value::Text("a  "), "a  "),
            (Kind::Time, Value::Time(time), "09:30:00.1234567"),
            (Kind::DateTime2, Value::Instant { day: 20_785, time }, "2026-11-28T09:30:00.1234567"),
            (Kind::DateTimeOffset, Value::Instant { day: 20_785, time }, "2026-11-28T09:30:00.1234567Z"),
            (Kind::DateTime, Value::Instant { day: 20_785, time: 34_200 * SECOND + 70_000 }, "2026-11-28T09:30:00.007"),
            (Kind::Integer, Value::Integer(-7), "-7"),
        ] {
            assert_eq!(told(key, kind, value), expected);
        }
    }

    #[test]
    fn what_salesforce_cannot_hold_is_told() {
        let mut text = String::new();
        assert_eq!(utc(Kind::Money, Value::TooMuchMoney, &mut text), Err(TOO_MUCH_MONEY));
        assert_eq!(utc(Kind::Approximate, Value::Float(f64::NAN), &mut text), Err("not a finite number"));
        assert!(utc(Kind::Date, Value::Date(i64::from(u32::MAX)), &mut text).is_err());
        for kind in [Kind::Binary, Kind::Variant, Kind::Clr] {
            assert!(no_cell(kind).is_some(), "{kind:?}");
        }
    }
}
