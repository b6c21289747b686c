//! MySQL's texts → Salesforce's: ISO 8601, plain digits. What Salesforce cannot hold, such as a zero date or a
//! time of more than a day, is told and never sent.

use crate::row::Record;
use connect::MySqlKind;

use crate::source::Zoneless;
use crate::source::values::{check_date, milliseconds, push_plain};

/// Appends the value as a cell (`zoneless`: what a `DATETIME` is), or says what it is that Salesforce has no place for.
pub(super) fn write(kind: MySqlKind, zoneless: Zoneless, value: &[u8], cells: &mut Record) -> Result<(), &'static str> {
    match kind {
        MySqlKind::Bit => {
            let number = value.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            cells.push_field(number.to_string().as_bytes());
            return Ok(());
        }
        MySqlKind::Binary => {
            cells.push_field(format!("\\x{}", hex::encode(value)).as_bytes());
            return Ok(());
        }
        _ => {}
    }
    let text = std::str::from_utf8(value).map_err(|_| "not valid UTF-8")?;
    match kind {
        MySqlKind::Number | MySqlKind::Text | MySqlKind::Choice | MySqlKind::Json | MySqlKind::Bit | MySqlKind::Binary => {
            cells.push_field(value);
        }
        MySqlKind::Approximate => push_plain::<f64>(text, cells)?,
        MySqlKind::Date => {
            check_day(text)?;
            cells.push_field(value);
        }
        MySqlKind::Time => {
            if text.len() < 8 || text.as_bytes()[2] != b':' || text > "23:59:59.999999" {
                return Err("not a time of day");
            }
            cells.push_field(format!("{}Z", milliseconds(text)).as_bytes());
        }
        MySqlKind::DateTime | MySqlKind::Timestamp => {
            let zone = if kind == MySqlKind::Timestamp { Zoneless::Utc } else { zoneless };
            let (date, time) = text.split_once(' ').unwrap_or((text, ""));
            check_day(date)?;
            cells.push_field(format!("{date}T{}{}", milliseconds(time), zone.mark()).as_bytes());
        }
    }
    Ok(())
}

/// MySQL has dates without a day, a month or a year.
fn check_day(text: &str) -> Result<(), &'static str> {
    check_date(text)?;
    let zero = text.starts_with("0000") || text[5..7] == *"00" || text[8..] == *"00";
    if zero { Err("no day: a zero stands for its year, month or day") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kind: MySqlKind, value: &[u8]) -> Result<String, &'static str> {
        written(kind, Zoneless::Utc, value)
    }

    fn written(kind: MySqlKind, zoneless: Zoneless, value: &[u8]) -> Result<String, &'static str> {
        let mut cells = Record::new();
        write(kind, zoneless, value, &mut cells)?;
        Ok(String::from_utf8(cells[0].to_vec()).unwrap())
    }

    #[test]
    fn values_are_written_as_salesforce_reads_them() {
        for (kind, value, expected) in [
            (MySqlKind::Number, b"12345678901234567890.50".as_slice(), "12345678901234567890.50"),
            (MySqlKind::Approximate, b"0.1", "0.1"),
            (MySqlKind::Approximate, b"1e21", "1000000000000000000000"),
            (MySqlKind::Bit, b"\x01", "1"),
            (MySqlKind::Bit, b"\x01\x00", "256"),
            (MySqlKind::Binary, b"\x00\xFF", "\\x00ff"),
            (MySqlKind::Date, b"2026-11-27", "2026-11-27"),
            (MySqlKind::Time, b"23:59:59.999999", "23:59:59.999Z"),
            (MySqlKind::Time, b"09:30:00", "09:30:00.000Z"),
            (MySqlKind::DateTime, b"2026-11-27 06:10:00", "2026-11-27T06:10:00.000Z"),
            (MySqlKind::DateTime, b"2026-11-27 06:10:59.999900", "2026-11-27T06:10:59.999Z"),
            (MySqlKind::Timestamp, b"2026-11-27 06:10:00", "2026-11-27T06:10:00.000Z"),
            (MySqlKind::Text, "Zoë 🛫".as_bytes(), "Zoë 🛫"),
        ] {
            assert_eq!(text(kind, value).as_deref(), Ok(expected), "{kind:?}");
        }
    }

    #[test]
    fn of_a_job_that_names_a_zone_only_instants_say_one() {
        for (kind, value, expected) in [
            (MySqlKind::DateTime, "2026-11-27 06:10:59.999900", "2026-11-27T06:10:59.999"),
            (MySqlKind::Timestamp, "2026-11-27 06:10:00", "2026-11-27T06:10:00.000Z"),
            (MySqlKind::Date, "2026-11-27", "2026-11-27"),
            (MySqlKind::Time, "09:30:00", "09:30:00.000Z"),
        ] {
            assert_eq!(written(kind, Zoneless::Local, value.as_bytes()).as_deref(), Ok(expected), "{kind:?}");
        }
        assert!(written(MySqlKind::DateTime, Zoneless::Local, b"0000-00-00 00:00:00").is_err());
    }

    #[test]
    fn what_salesforce_cannot_hold_is_told() {
        for (kind, value) in [
            (MySqlKind::Date, "0000-00-00"),
            (MySqlKind::Date, "2026-00-00"),
            (MySqlKind::Date, "2026-11-00"),
            (MySqlKind::DateTime, "0000-00-00 00:00:00"),
            (MySqlKind::Time, "24:00:00"),
            (MySqlKind::Time, "838:59:59"),
            (MySqlKind::Time, "-01:00:00"),
        ] {
            assert!(text(kind, value.as_bytes()).is_err(), "{value}");
        }
        assert_eq!(text(MySqlKind::Text, b"\xFF"), Err("not valid UTF-8"));
    }
}
