//! From the text a client sent to the text that is stored, or the reason it cannot be.
//!
//! Stored forms: booleans `true`/`false`, numbers without needless zeros, dates `yyyy-MM-dd`, instants in UTC with
//! milliseconds and `Z`, ids in 18 characters.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

use super::{RowError, id};
use crate::schema::{Field, FieldType};

/// The code of a value that its field's type cannot read.
pub(crate) const WRONG_TYPE: &str = "INVALID_TYPE_ON_FIELD_IN_RECORD";

/// The first and the last day that a field can hold.
const DAYS: (&str, &str) = ("1700-01-01", "4000-12-31");
/// The same of instants: midnight of those days, in milliseconds since 1970.
const INSTANTS: (i64, i64) = (-8_520_336_000_000, 64_092_124_800_000);

/// Without spaces and control characters at both ends, as keys are stored and compared.
pub(crate) fn trimmed(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

/// Refuses what the field's type, length, range or restricted list does not allow. Whether a reference points at a row is
/// not known here.
pub(crate) fn coerce<'a>(field: &Field, text: &'a str) -> Result<Cow<'a, str>, RowError> {
    let text = if field.is_key() { trimmed(text) } else { text };
    match field.kind {
        FieldType::Boolean => boolean(field, text),
        FieldType::Int => int(field, text),
        FieldType::Double | FieldType::Currency | FieldType::Percent => number(field, text),
        FieldType::Date => date(field, text),
        FieldType::Datetime => datetime(field, text),
        FieldType::Time => time(field, text),
        FieldType::Id | FieldType::Reference => id::canonical(text).map(Cow::Owned).ok_or_else(|| wrong_id(field, text)),
        FieldType::Email => email(field, text),
        FieldType::Picklist => {
            if field.restricted {
                one_of(field, text, text)?
            }
            sized(field, text)
        }
        FieldType::Multipicklist => {
            if field.restricted {
                text.split(';').try_for_each(|value| one_of(field, value.trim(), text))?;
            }
            sized(field, text)
        }
        FieldType::String | FieldType::Textarea | FieldType::Phone | FieldType::Url | FieldType::Combobox => sized(field, text),
        FieldType::Base64 => {
            let is_file = BASE64_STANDARD.decode(text).is_ok();
            if is_file { Ok(Cow::Borrowed(text)) } else { Err(wrong_type(field, text)) }
        }
    }
}

pub(crate) fn wrong_id(field: &Field, text: &str) -> RowError {
    RowError::on("MALFORMED_ID", format!("{}: id value of incorrect type: {text}", field.label), &field.name)
}

pub(super) fn wrong_type(field: &Field, text: &str) -> RowError {
    let message = format!("{}: value not of required type: {text}", field.label);
    RowError::on(WRONG_TYPE, message, &field.name)
}

fn sized<'a>(field: &Field, text: &'a str) -> Result<Cow<'a, str>, RowError> {
    let limit = field.length as usize;
    // A character is at most four bytes and at least one, so most cells need no counting.
    if text.len() > limit && text.encode_utf16().count() > limit {
        let message = format!("{}: data value too large: {text} (max length={limit})", field.label);
        return Err(RowError::on("STRING_TOO_LONG", message, &field.name));
    }
    Ok(Cow::Borrowed(text))
}

fn one_of(field: &Field, value: &str, whole: &str) -> Result<(), RowError> {
    if field.values.iter().any(|known| known.eq_ignore_ascii_case(value)) {
        return Ok(());
    }
    let message = format!("{}: bad value for restricted picklist field: {whole}", field.label);
    Err(RowError::on("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, &field.name))
}

fn boolean<'a>(field: &Field, text: &'a str) -> Result<Cow<'a, str>, RowError> {
    if text.eq_ignore_ascii_case("true") || text == "1" {
        Ok(Cow::Borrowed("true"))
    } else if text.eq_ignore_ascii_case("false") || text == "0" {
        Ok(Cow::Borrowed("false"))
    } else {
        Err(wrong_type(field, text))
    }
}

fn int<'a>(field: &Field, text: &'a str) -> Result<Cow<'a, str>, RowError> {
    let value = parse_number(text).filter(|value| value.fract() == 0.0).ok_or_else(|| wrong_type(field, text))?;
    if value.abs() > f64::from(i32::MAX) {
        return Err(out_of_range(field, text));
    }
    Ok(Cow::Owned(format!("{value}")))
}

fn number<'a>(field: &Field, text: &'a str) -> Result<Cow<'a, str>, RowError> {
    let value = parse_number(text).ok_or_else(|| wrong_type(field, text))?;
    let whole_digits = i32::try_from(field.precision.saturating_sub(field.scale)).unwrap_or(18);
    if value.abs() >= 10f64.powi(whole_digits) {
        return Err(out_of_range(field, text));
    }
    let factor = 10f64.powi(i32::try_from(field.scale).unwrap_or(0));
    let scaled = value * factor;
    let rounded = if scaled.abs() < 9e15 { scaled.round() / factor } else { value };
    Ok(Cow::Owned(format!("{rounded}")))
}

fn out_of_range(field: &Field, text: &str) -> RowError {
    let message = format!("{}: value outside of valid range on numeric field: {text}", field.label);
    RowError::on("NUMBER_OUTSIDE_VALID_RANGE", message, &field.name)
}

/// Rust's own parser also reads `inf`, `nan` and a leading `+`; a number begins with a digit, a point or a minus.
fn parse_number(text: &str) -> Option<f64> {
    let first = text.strip_prefix('-').unwrap_or(text).as_bytes().first()?;
    if !first.is_ascii_digit() && *first != b'.' {
        return None;
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

fn date<'a>(field: &Field, text: &'a str) -> Result<Cow<'a, str>, RowError> {
    let shaped = text.len() == 10 && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
    let date = shaped.then(|| text.parse::<civil::Date>().ok()).flatten().ok_or_else(|| wrong_type(field, text))?;
    if text < DAYS.0 || text > DAYS.1 {
        return Err(out_of_time(field, date.at(0, 0, 0, 0)));
    }
    Ok(Cow::Borrowed(text))
}

fn out_of_time(field: &Field, at: civil::DateTime) -> RowError {
    let message = format!("{}: invalid date: {}", field.label, at.strftime("%a %b %d %H:%M:%S GMT %-Y"));
    RowError::on("FIELD_INTEGRITY_EXCEPTION", message, &field.name)
}

fn datetime<'a>(field: &Field, text: &'a str) -> Result<Cow<'a, str>, RowError> {
    let Some(ms) = parse_instant(text) else {
        // The last day of 9999 is a favourite of other systems; as an instant it is past what this clock can count.
        let day = text.get(..19).and_then(|text| text.parse::<civil::DateTime>().ok()).filter(|at| at.year() == 9999 && is_instant(text));
        return Err(day.map_or_else(|| wrong_type(field, text), |at| out_of_time(field, at)));
    };
    if ms < INSTANTS.0 || ms > INSTANTS.1 {
        let at = Timestamp::from_millisecond(ms).unwrap_or_default().to_zoned(TimeZone::UTC).datetime();
        return Err(out_of_time(field, at));
    }
    Ok(Cow::Owned(format_instant(ms)))
}

fn time<'a>(field: &Field, text: &'a str) -> Result<Cow<'a, str>, RowError> {
    let clock = text.strip_suffix('Z').unwrap_or(text);
    let shaped = clock.as_bytes().get(2) == Some(&b':') && clock.len() >= 8;
    match clock.parse::<civil::Time>() {
        Ok(time) if shaped => Ok(Cow::Owned(format!("{}Z", time.strftime("%H:%M:%S%.3f")))),
        _ => Err(wrong_type(field, text)),
    }
}

fn email<'a>(field: &Field, text: &'a str) -> Result<Cow<'a, str>, RowError> {
    let plausible = text.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && host.contains('.') && !host.starts_with('.') && !host.ends_with('.') && !host.contains('@')
    }) && !text.contains(char::is_whitespace);
    if !plausible {
        let message = format!("{}: invalid email address: {text}", field.label);
        return Err(RowError::on("INVALID_EMAIL_ADDRESS", message, &field.name));
    }
    sized(field, text)
}

/// `yyyy-MM-ddTHH:mm:ss[.SSS]` with `Z` or an offset, with or without its colon: milliseconds since 1970.
pub(crate) fn parse_instant(text: &str) -> Option<i64> {
    if !is_instant(text) {
        return None;
    }
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

fn is_instant(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || bytes[4] != b'-' || bytes[7] != b'-' || bytes[10] != b'T' || bytes[13] != b':' || bytes[16] != b':' {
        return false;
    }
    text.get(19..).is_some_and(|zone| zone.ends_with('Z') || zone.contains(['+', '-']))
}

pub(crate) fn format_instant(ms: i64) -> String {
    let instant = Timestamp::from_millisecond(ms).unwrap_or_default();
    instant.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The form of instants in JSON answers: an offset without colon instead of `Z`.
pub(crate) fn json_instant(stored: &str) -> String {
    format!("{}+0000", stored.trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{DEFAULT_SCHEMA, Schema};

    fn stored(object: &str, field: &str, text: &str) -> Result<String, String> {
        let schema = Schema::parse(DEFAULT_SCHEMA).unwrap();
        let object = &schema.objects[schema.object(object).unwrap()];
        let field = &object.fields[object.field(field).unwrap()];
        coerce(field, text).map(Cow::into_owned).map_err(|error| error.cell())
    }

    #[test]
    fn values_are_stored_in_one_form() {
        assert_eq!(stored("Account", "Verified__c", "TRUE").unwrap(), "true");
        assert_eq!(stored("Account", "AnnualRevenue", "1.2E3").unwrap(), "1200");
        assert_eq!(stored("Account", "Elevation__c", "13.46").unwrap(), "13.5");
        assert_eq!(stored("Account", "Checked_At__c", "2026-01-31T09:00:00+01:00").unwrap(), "2026-01-31T08:00:00.000Z");
        assert_eq!(stored("Account", "Checked_At__c", "2026-01-31T09:00:00.250+0000").unwrap(), "2026-01-31T09:00:00.250Z");
        assert_eq!(stored("Contact", "AccountId", "0018c00002DJIpJ").unwrap(), "0018c00002DJIpJAAX");
    }

    #[test]
    fn refusals_speak_like_salesforce() {
        assert_eq!(
            stored("Account", "icao__c", "EDDFX").unwrap_err(),
            "STRING_TOO_LONG:ICAO: data value too large: EDDFX (max length=4):icao__c --"
        );
        assert_eq!(
            stored("Account", "Tier__c", "Tin").unwrap_err(),
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST:Tier: bad value for restricted picklist field: Tin:Tier__c --"
        );
        assert!(stored("Contact", "AccountId", "nonsense").unwrap_err().starts_with("MALFORMED_ID:Account ID: id value of incorrect type"));
        assert!(stored("Contact", "Email", "nobody").unwrap_err().starts_with("INVALID_EMAIL_ADDRESS:Email: invalid email address"));
    }

    #[test]
    fn dates_end_where_the_service_ends_them() {
        for text in ["1700-01-01", "4000-12-31"] {
            assert_eq!(stored("Account", "Opened__c", text).unwrap(), text);
            assert!(stored("Account", "Checked_At__c", &format!("{text}T00:00:00Z")).is_ok(), "{text}");
        }
        assert_eq!(
            stored("Account", "Opened__c", "0206-03-01").unwrap_err(),
            "FIELD_INTEGRITY_EXCEPTION:Opened: invalid date: Sat Mar 01 00:00:00 GMT 206:Opened__c --"
        );
        for text in ["1699-12-31T23:59:59Z", "4000-12-31T00:00:01Z", "9999-12-31T00:00:00Z"] {
            assert!(
                stored("Account", "Checked_At__c", text).unwrap_err().starts_with("FIELD_INTEGRITY_EXCEPTION:Checked At: invalid date: ")
            );
        }
    }

    #[test]
    fn only_keys_are_trimmed() {
        assert_eq!(stored("Account", "External_Id__c", " A\u{a0} \t").unwrap(), "A\u{a0}");
        assert_eq!(stored("Contact", "Email", " a@example.org\n").unwrap(), "a@example.org");
        assert_eq!(stored("Account", "Name", " A ").unwrap(), " A ");
    }

    #[test]
    fn dates_are_not_guessed() {
        for text in ["31.01.2026", "2026-1-31", "2026-02-30", "2026-01-31Z", "2026-01-31T00:00:00Z"] {
            assert!(stored("Account", "Opened__c", text).is_err(), "{text}");
        }
        for text in ["2026-01-31", "2026-01-31T09:00:00", "2026-01-31 09:00:00Z", "2026-01-31T09:00:0\u{e9}0Z"] {
            assert!(stored("Account", "Checked_At__c", text).is_err(), "{text}");
        }
        for text in ["inf", "NaN", "+1", "1,5", ""] {
            assert!(stored("Account", "AnnualRevenue", text).is_err(), "{text}");
        }
    }
}
