//! PostgreSQL's texts → Salesforce's: ISO 8601, `true`/`false`, plain digits. What Salesforce cannot hold, such
//! as `infinity` or a year before Christ, is told and never sent.

use crate::row::Record;
use connect::PostgresType;

use crate::source::Zoneless;
use crate::source::values::{OUT_OF_RANGE, check_date, milliseconds, push_plain};

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
    /// With a zone it is one of UTC here.
    Timestamp(Zoneless),
}

/// What a column is that no cell can hold, and what the query can do about it.
pub(super) fn no_cell(kind: &PostgresType) -> Option<(&'static str, &'static str)> {
    match kind.built_in.as_deref() {
        Some("bytea") => Some(("bytes (bytea)", "write encode(column, 'base64') for a base64 field, or 'hex' for a text")),
        _ if kind.composite => Some(("a composite type", "take it apart: write (column).field for each field, or to_jsonb(column)")),
        _ => None,
    }
}

impl Shape {
    /// `zoneless`: what a `timestamp` is.
    pub(super) fn of(kind: &PostgresType, zoneless: Zoneless) -> Self {
        match kind.built_in.as_deref() {
            Some("bpchar") => Self::Padded,
            Some("bool") => Self::Bool,
            Some("numeric" | "money") => Self::Number,
            Some("float4") => Self::Float4,
            Some("float8") => Self::Float8,
            Some("date") => Self::Date,
            Some("time") => Self::Time,
            Some("timestamp") => Self::Timestamp(zoneless),
            Some("timestamptz") => Self::Timestamp(Zoneless::Utc),
            _ => Self::Text,
        }
    }

    /// Appends the value as a cell, or says what it is that Salesforce has no place for.
    pub(super) fn write(self, value: &[u8], cells: &mut Record) -> Result<(), &'static str> {
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
            Self::Timestamp(zoneless) => {
                let utc = text.strip_suffix("+00").unwrap_or(text);
                let (date, time) = utc.split_once(' ').ok_or(OUT_OF_RANGE)?;
                check_date(date)?;
                if time.contains(' ') {
                    return Err(OUT_OF_RANGE);
                }
                cells.push_field(format!("{date}T{}{}", milliseconds(time), zoneless.mark()).as_bytes());
            }
        }
        Ok(())
    }
}

fn number(shape: Shape, text: &str, cells: &mut Record) -> Result<(), &'static str> {
    if text.ends_with("NaN") || text.ends_with("Infinity") {
        return Err("not a finite number");
    }
    match shape {
        Shape::Float4 => push_plain::<f32>(text, cells),
        Shape::Float8 => push_plain::<f64>(text, cells),
        _ => {
            cells.push_field(text.as_bytes());
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(kind: &str, value: &str) -> Result<String, &'static str> {
        written(kind, value, Zoneless::Utc)
    }

    fn written(kind: &str, value: &str, zoneless: Zoneless) -> Result<String, &'static str> {
        let mut cells = Record::new();
        let kind = PostgresType { schema: "pg_catalog".into(), name: kind.into(), built_in: Some(kind.into()), composite: false };
        Shape::of(&kind, zoneless).write(value.as_bytes(), &mut cells)?;
        Ok(String::from_utf8(cells[0].to_vec()).unwrap())
    }

    #[test]
    fn values_are_written_as_salesforce_reads_them() {
        for (kind, value, expected) in [
            ("bpchar", "C1        ", "C1"),
            ("bpchar", " a\u{A0}  ", " a\u{A0}"),
            ("bpchar", "   ", ""),
            ("text", "C1  ", "C1  "),
            ("varchar", "C1  ", "C1  "),
            ("bool", "t", "true"),
            ("bool", "f", "false"),
            ("int8", "-42", "-42"),
            ("numeric", "1234.50", "1234.50"),
            ("float8", "0.1", "0.1"),
            ("float8", "1e+21", "1000000000000000000000"),
            ("float8", "1e-07", "0.0000001"),
            ("float4", "1.5e+10", "15000000000"),
            ("date", "2026-11-24", "2026-11-24"),
            ("time", "09:00:00", "09:00:00.000Z"),
            ("timestamptz", "2026-11-24 06:10:00+00", "2026-11-24T06:10:00.000Z"),
            ("timestamptz", "2026-11-24 06:10:59.9999+00", "2026-11-24T06:10:59.999Z"),
            ("timestamp", "2026-11-24 06:10:00.5", "2026-11-24T06:10:00.500Z"),
            ("text", "2026-11-24 06:10:00", "2026-11-24 06:10:00"),
        ] {
            assert_eq!(write(kind, value).as_deref(), Ok(expected), "{kind} {value}");
        }
    }

    #[test]
    fn of_a_job_that_names_a_zone_only_what_has_one_says_so() {
        for (kind, value, expected) in [
            ("timestamp", "2026-11-24 06:10:00.5", "2026-11-24T06:10:00.500"),
            ("timestamptz", "2026-11-24 06:10:00+00", "2026-11-24T06:10:00.000Z"),
            ("date", "2026-11-24", "2026-11-24"),
            ("time", "09:00:00", "09:00:00.000Z"),
        ] {
            assert_eq!(written(kind, value, Zoneless::Local).as_deref(), Ok(expected), "{kind} {value}");
        }
        assert!(written("timestamp", "infinity", Zoneless::Local).is_err());
    }

    #[test]
    fn what_salesforce_cannot_hold_is_told() {
        for (kind, value) in [
            ("numeric", "NaN"),
            ("float8", "-Infinity"),
            ("date", "infinity"),
            ("date", "0044-03-15 BC"),
            ("date", "12026-01-01"),
            ("timestamptz", "infinity"),
            ("timestamp", "-infinity"),
            ("timestamp", "0044-03-15 12:00:00 BC"),
            ("timestamptz", "12026-01-01 00:00:00+00"),
        ] {
            assert!(write(kind, value).is_err(), "{kind} {value}");
        }
        assert_eq!(Shape::Text.write(b"\xFF", &mut Record::new()), Err("not valid UTF-8"));
    }
}
