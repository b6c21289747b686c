//! PostgreSQL's texts → Salesforce's: ISO 8601 with zone, `true`/`false`, plain digits. What Salesforce cannot hold, such
//! as `infinity` or a year before Christ, is told and never sent.

use csv::ByteRecord;
use tokio_postgres::types::{Kind, Type};

/// How values of a column are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shape {
    Text,
    /// `char(n)`: filled up with blanks, which PostgreSQL itself does not count.
    Padded,
    Bool,
    Number,
    Float4,
    Float8,
    Date,
    Time,
    /// With or without zone; both are UTC here.
    Timestamp,
}

impl Shape {
    pub(super) fn of(kind: &Type) -> Self {
        if let Kind::Domain(base) = kind.kind() {
            return Self::of(base);
        }
        match *kind {
            Type::BPCHAR => Self::Padded,
            Type::BOOL => Self::Bool,
            Type::NUMERIC | Type::MONEY => Self::Number,
            Type::FLOAT4 => Self::Float4,
            Type::FLOAT8 => Self::Float8,
            Type::DATE => Self::Date,
            Type::TIME => Self::Time,
            Type::TIMESTAMP | Type::TIMESTAMPTZ => Self::Timestamp,
            _ => Self::Text,
        }
    }

    /// Appends the value as a cell, or says what it is that Salesforce has no place for.
    pub(super) fn write(self, value: &[u8], cells: &mut ByteRecord) -> Result<(), &'static str> {
        let text = std::str::from_utf8(value).map_err(|_| "not valid UTF-8")?;
        match self {
            Self::Text => cells.push_field(value),
            Self::Padded => cells.push_field(text.trim_end_matches(' ').as_bytes()),
            Self::Bool => cells.push_field(if text == "t" { b"true" } else { b"false" }),
            Self::Number | Self::Float4 | Self::Float8 => number(self, text, cells)?,
            Self::Date => {
                check_date(text)?;
                cells.push_field(value);
            }
            Self::Time => cells.push_field(format!("{}Z", milliseconds(text)).as_bytes()),
            Self::Timestamp => {
                let utc = text.strip_suffix("+00").unwrap_or(text);
                let (date, time) = utc.split_once(' ').ok_or(OUT_OF_RANGE)?;
                check_date(date)?;
                if time.contains(' ') {
                    return Err(OUT_OF_RANGE);
                }
                cells.push_field(format!("{date}T{}Z", milliseconds(time)).as_bytes());
            }
        }
        Ok(())
    }
}

const OUT_OF_RANGE: &str = "not between the years 0001 and 9999";

/// `YYYY-MM-DD` and nothing else.
fn check_date(text: &str) -> Result<(), &'static str> {
    let fits = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() });
    if fits { Ok(()) } else { Err(OUT_OF_RANGE) }
}

/// Salesforce keeps no finer part of a second; a part is never rounded up into the next one.
fn milliseconds(time: &str) -> String {
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
    format!("{seconds}.{:0<3.3}", fraction)
}

fn number(shape: Shape, text: &str, cells: &mut ByteRecord) -> Result<(), &'static str> {
    if text.ends_with("NaN") || text.ends_with("Infinity") {
        return Err("not a finite number");
    }
    let plain = match shape {
        Shape::Float4 if text.contains('e') => text.parse().map(|value: f32| value.to_string()),
        Shape::Float8 if text.contains('e') => text.parse().map(|value: f64| value.to_string()),
        _ => {
            cells.push_field(text.as_bytes());
            return Ok(());
        }
    };
    cells.push_field(plain.map_err(|_| "not a number")?.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(kind: Type, value: &str) -> Result<String, &'static str> {
        let mut cells = ByteRecord::new();
        Shape::of(&kind).write(value.as_bytes(), &mut cells)?;
        Ok(String::from_utf8(cells[0].to_vec()).unwrap())
    }

    #[test]
    fn values_are_written_as_salesforce_reads_them() {
        for (kind, value, expected) in [
            (Type::BPCHAR, "C1        ", "C1"),
            (Type::BPCHAR, " a\u{A0}  ", " a\u{A0}"),
            (Type::BPCHAR, "   ", ""),
            (Type::TEXT, "C1  ", "C1  "),
            (Type::VARCHAR, "C1  ", "C1  "),
            (Type::BOOL, "t", "true"),
            (Type::BOOL, "f", "false"),
            (Type::INT8, "-42", "-42"),
            (Type::NUMERIC, "1234.50", "1234.50"),
            (Type::FLOAT8, "0.1", "0.1"),
            (Type::FLOAT8, "1e+21", "1000000000000000000000"),
            (Type::FLOAT8, "1e-07", "0.0000001"),
            (Type::FLOAT4, "1.5e+10", "15000000000"),
            (Type::DATE, "2026-11-24", "2026-11-24"),
            (Type::TIME, "09:00:00", "09:00:00.000Z"),
            (Type::TIMESTAMPTZ, "2026-11-24 06:10:00+00", "2026-11-24T06:10:00.000Z"),
            (Type::TIMESTAMPTZ, "2026-11-24 06:10:59.9999+00", "2026-11-24T06:10:59.999Z"),
            (Type::TIMESTAMP, "2026-11-24 06:10:00.5", "2026-11-24T06:10:00.500Z"),
            (Type::TEXT, "2026-11-24 06:10:00", "2026-11-24 06:10:00"),
        ] {
            assert_eq!(write(kind.clone(), value).as_deref(), Ok(expected), "{kind} {value}");
        }
    }

    #[test]
    fn what_salesforce_cannot_hold_is_told() {
        for (kind, value) in [
            (Type::NUMERIC, "NaN"),
            (Type::FLOAT8, "-Infinity"),
            (Type::DATE, "infinity"),
            (Type::DATE, "0044-03-15 BC"),
            (Type::DATE, "12026-01-01"),
            (Type::TIMESTAMPTZ, "infinity"),
            (Type::TIMESTAMP, "-infinity"),
            (Type::TIMESTAMP, "0044-03-15 12:00:00 BC"),
            (Type::TIMESTAMPTZ, "12026-01-01 00:00:00+00"),
        ] {
            assert!(write(kind.clone(), value).is_err(), "{kind} {value}");
        }
        assert_eq!(Shape::Text.write(b"\xFF", &mut ByteRecord::new()), Err("not valid UTF-8"));
    }
}
