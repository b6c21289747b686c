//! Numbers in and out of text. Calculations are in binary floating point; like spreadsheets we show 15 digits, so that
//! 0.1 + 0.2 is 0.3.

use std::fmt::Write;

use crate::blank::shown;
use crate::error::EvalError;

/// Every integer below is exact and has at most 15 digits.
const EXACT: f64 = 1e15;

/// A blank is no number but no error either.
pub(crate) fn read(text: &str) -> Result<Option<f64>, EvalError> {
    let trimmed = crate::blank::trim(text);
    if trimmed.is_empty() {
        return Ok(None);
    }
    let plain = trimmed.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    let value: Option<f64> = if plain { trimmed.parse().ok().filter(|value: &f64| value.is_finite()) } else { None };
    let Some(value) = value else { return Err(EvalError::NotANumber { text: shown(text) }) };
    let digits = || trimmed.bytes().take_while(|byte| !matches!(byte, b'e' | b'E')).filter(u8::is_ascii_digit).count();
    if value.abs() >= EXACT && digits() > 15 {
        return Err(EvalError::NotExact { text: shown(text) });
    }
    Ok(Some(value))
}

/// Reads what is compared with a number without being told to be one: `01` and `1` may be different codes.
pub(crate) fn read_to_compare(text: &str) -> Result<Option<f64>, EvalError> {
    let value = read(text)?;
    let digits = crate::blank::trim(text).trim_start_matches(['+', '-']).as_bytes();
    match value {
        Some(number) if matches!(digits, [b'0', b'0'..=b'9', ..]) => {
            Err(EvalError::LikeCode { text: shown(text), number: self::text(number) })
        }
        value => Ok(value),
    }
}

/// Appends the number as plain digits.
pub(crate) fn write(value: f64, out: &mut String) {
    if value.fract() == 0.0 && value.abs() < EXACT {
        append(out, format_args!("{}", value as i64));
        return;
    }
    let start = out.len();
    append(out, format_args!("{value:.14e}"));
    let rounded: f64 = out[start..].parse().unwrap_or(value);
    out.truncate(start);
    append(out, format_args!("{rounded}"));
}

pub(crate) fn text(value: f64) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn append(out: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_plain_digits() {
        for (value, expected) in [
            (0.1 + 0.2, "0.3"),
            (-0.0, "0"),
            (1234.5, "1234.5"),
            (999_999_999_999_999.0, "999999999999999"),
            (1e15, "1000000000000000"),
            (1e21, "1000000000000000000000"),
            (1.0 / 3.0, "0.333333333333333"),
            (1e-7, "0.0000001"),
        ] {
            assert_eq!(text(value), expected);
        }
    }

    #[test]
    fn a_code_is_compared_as_a_number_only_when_told() {
        for text in ["01", " 007", "-01", "00", "00.5"] {
            assert!(matches!(read_to_compare(text), Err(EvalError::LikeCode { .. })), "{text}");
        }
        for (text, expected) in [("0", 0.0), ("0.5", 0.5), ("-0.5", -0.5), ("100", 100.0)] {
            assert_eq!(read_to_compare(text), Ok(Some(expected)), "{text}");
        }
    }

    #[test]
    fn only_plain_numbers_are_read() {
        for (text, expected) in [("12", 12.0), (" -1.5 ", -1.5), ("1.2E3", 1200.0), ("+7", 7.0), (".5", 0.5), ("00123", 123.0)] {
            assert_eq!(read(text), Ok(Some(expected)), "{text}");
        }
        assert_eq!(read("  "), Ok(None));
        for text in ["10,000", "€5", "inf", "nan", "1e999", "12 34", "0x10", "-", "1-2"] {
            assert!(matches!(read(text), Err(EvalError::NotANumber { .. })), "{text}");
        }
        assert!(matches!(read("1234567890123456"), Err(EvalError::NotExact { .. })));
        assert!(read("0.12345678901234567890").is_ok());
    }
}
