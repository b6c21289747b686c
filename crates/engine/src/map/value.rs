//! What a typed field takes. Refused is only what Salesforce refuses for certain; where its documentation leaves room, the
//! value goes on its way and the org has the last word.

use jiff::civil;
use salesforce::FieldType;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Typed {
    Boolean,
    Number,
    Date,
    DateTime,
    Time,
}

impl Typed {
    pub(super) fn of(kind: FieldType) -> Option<Self> {
        use FieldType as T;
        Some(match kind {
            T::Boolean => Self::Boolean,
            T::Currency | T::Double | T::Int | T::Long | T::Percent => Self::Number,
            T::Date => Self::Date,
            T::DateTime => Self::DateTime,
            T::Time => Self::Time,
            _ => return None,
        })
    }

    pub(super) fn accepts(self, text: &[u8]) -> bool {
        match self {
            Self::Boolean => [&b"true"[..], b"false", b"1", b"0"].iter().any(|known| known.eq_ignore_ascii_case(text)),
            Self::Number => is_number(text),
            // Whether a date may have a time or a zone behind it is told in two ways.
            Self::Date => date(text).is_some_and(|(_, rest)| matches!(rest, [] | [b'T' | b'Z' | b'+' | b'-', ..])),
            // So it is for an instant without a time or a zone.
            Self::DateTime => date(text).is_some_and(|(_, rest)| match rest {
                [] => true,
                [b'T', clock @ ..] => time(clock).is_some_and(|(_, zone)| zone.is_empty() || is_zone(zone)),
                _ => false,
            }),
            Self::Time => time(text).is_some_and(|(_, zone)| zone.is_empty() || is_zone(zone)),
        }
    }

    /// For the message of a refusal.
    pub(super) fn forms(self) -> &'static str {
        match self {
            Self::Boolean => "true, false, 1 or 0",
            Self::Number => "plain numbers like 1234.5, -12 or 1.2E3, without group separators and signs",
            Self::Date => "dates like 2026-01-31, from the years 1700 to 4000",
            Self::DateTime => "instants like 2026-01-31T09:00:00Z or 2026-01-31T09:00:00.000+01:00, from the years 1700 to 4000",
            Self::Time => "times like 09:00:00.000Z",
        }
    }
}

/// A date with a time and without a zone, in the forms that a field takes. The inner `None`: the time is none of a day.
pub(super) fn local(text: &[u8]) -> Option<Option<civil::DateTime>> {
    let (date, rest) = date(text)?;
    let (clock, []) = time(rest.strip_prefix(b"T")?)? else { return None };
    Some(clock.on(date))
}

/// Digits with at most one point, and perhaps an exponent; a sign before each.
fn is_number(text: &[u8]) -> bool {
    let (whole, rest) = digits(unsigned(text));
    let (part, rest) = match rest {
        [b'.', rest @ ..] => digits(rest),
        _ => (0, rest),
    };
    let exponent = match rest {
        [] => true,
        [b'e' | b'E', rest @ ..] => matches!(digits(unsigned(rest)), (1.., [])),
        _ => false,
    };
    whole + part > 0 && exponent
}

fn unsigned(text: &[u8]) -> &[u8] {
    match text {
        [b'+' | b'-', rest @ ..] => rest,
        _ => text,
    }
}

/// How many digits stand in front, and what stands behind them.
fn digits(text: &[u8]) -> (usize, &[u8]) {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count, &text[count..])
}

/// Between so many digits: their number, and what stands behind them.
fn number(text: &[u8], least: usize, most: usize) -> Option<(u32, &[u8])> {
    let (count, rest) = digits(text);
    let value = || text[..count].iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    (least..=most).contains(&count).then(|| (value(), rest))
}

/// Year, month and day, if there is such a day in the years that Salesforce knows, and what stands behind them.
fn date(text: &[u8]) -> Option<(civil::Date, &[u8])> {
    let (year, rest) = number(text, 4, 4)?;
    let (month, rest) = number(rest.strip_prefix(b"-")?, 1, 2)?;
    let (day, rest) = number(rest.strip_prefix(b"-")?, 1, 2)?;
    let date = civil::Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    (1700..=4000).contains(&year).then_some((date, rest))
}

/// A time of a day. The end of a day and a leap second are among them, for the org to judge.
struct Clock {
    hours: u32,
    minutes: u32,
    seconds: u32,
    milliseconds: u32,
}

impl Clock {
    /// The end of a day is the beginning of the next one; a leap second, and what lies behind the end, is no time of a day.
    fn on(self, date: civil::Date) -> Option<civil::DateTime> {
        let Self { hours, minutes, seconds, milliseconds } = self;
        if hours == 24 {
            let is_end = minutes == 0 && seconds == 0 && milliseconds == 0;
            return date.tomorrow().ok().filter(|_| is_end).map(|date| date.at(0, 0, 0, 0));
        }
        let part = |number: u32| i8::try_from(number).ok();
        let time = civil::Time::new(part(hours)?, part(minutes)?, part(seconds)?, i32::try_from(milliseconds).ok()? * 1_000_000);
        time.ok().map(|time| date.to_datetime(time))
    }
}

/// Hours and minutes, and perhaps seconds and a part of one, and what stands behind them.
fn time(text: &[u8]) -> Option<(Clock, &[u8])> {
    let (hours, rest) = number(text, 1, 2)?;
    let (minutes, rest) = number(rest.strip_prefix(b":")?, 2, 2)?;
    let (seconds, milliseconds, rest) = match rest.strip_prefix(b":") {
        None => (0, 0, rest),
        Some(rest) => {
            let (seconds, rest) = number(rest, 2, 2)?;
            let (milliseconds, rest) = match rest {
                [b'.' | b',', part @ ..] => part_of_second(part)?,
                _ => (0, rest),
            };
            (seconds, milliseconds, rest)
        }
    };
    (hours < 25 && minutes < 60 && seconds < 61).then_some((Clock { hours, minutes, seconds, milliseconds }, rest))
}

/// Milliseconds, cut off, and what stands behind their digits.
fn part_of_second(text: &[u8]) -> Option<(u32, &[u8])> {
    let (count, rest) = digits(text);
    let digit = |at: usize| text[..count].get(at).map_or(0, |digit| u32::from(digit - b'0'));
    (count > 0).then(|| (digit(0) * 100 + digit(1) * 10 + digit(2), rest))
}

fn is_zone(text: &[u8]) -> bool {
    match text {
        b"Z" => true,
        [b'+' | b'-', rest @ ..] => match number(rest, 2, 4) {
            Some((_, [])) => true,
            Some((_, [b':', minutes @ ..])) => matches!(number(minutes, 2, 2), Some((_, []))),
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(typed: Typed, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(typed.accepts(text.as_bytes()), "{typed:?} {text}");
        }
        for text in bad {
            assert!(!typed.accepts(text.as_bytes()), "{typed:?} {text}");
        }
    }

    #[test]
    fn booleans() {
        check(Typed::Boolean, &["true", "FALSE", "1", "0"], &["yes", "t", "x", "ja", "2", "null", "01", "#REF!"]);
    }

    #[test]
    fn numbers() {
        let good = ["0", "-1", "+7", "1234.5", "1.2E3", "1e-7", ".5", "5.", "00012", "99999999999999999999"];
        let bad = [
            "1,234.5", "1.234,5", "1 234", "€5", "$5", "50%", "NaN", "INF", "inf", "Infinity", "0x10", ".", "-", "1e", "--1", "1.2.3",
            "null", "#VALUE!", "1d",
        ];
        check(Typed::Number, &good, &bad);
    }

    #[test]
    fn dates() {
        let good =
            ["2026-01-31", "2024-02-29", "2000-02-29", "1700-01-01", "4000-12-31", "2026-1-5", "2026-01-31Z", "2026-01-31T00:00:00Z"];
        let bad = [
            "31.01.2026",
            "01/31/2026",
            "20260131",
            "2026-02-30",
            "2023-02-29",
            "1900-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-01-00",
            "1699-12-31",
            "4001-01-01",
            "26-01-31",
            "2026/01/31",
            "2026-01-31 09:00:00",
            "2026-01-311",
            "#REF!",
            "null",
            "44562",
            "2026-01",
        ];
        check(Typed::Date, &good, &bad);
    }

    #[test]
    fn instants() {
        let good = [
            "2026-01-31T09:00:00Z",
            "2026-01-31T09:00:00.000Z",
            "2026-01-31T09:00:00.123456+01:00",
            "2026-01-31T09:00:00-0800",
            "2026-01-31T09:00:00,5Z",
            "2026-01-31T09:00Z",
            "2026-01-31T09:00:00",
            "2026-01-31",
            "2026-01-31T24:00:00Z",
        ];
        let bad = [
            "2026-01-31 09:00:00",
            "2026-01-31T09",
            "2026-01-31T25:00:00Z",
            "2026-01-31T09:60:00Z",
            "2026-02-30T09:00:00Z",
            "2026-01-31T09:00:00 PST",
            "1/31/2026 9:00",
            "2026-01-31T09:00:00.Z",
            "1706691600",
            "\\N",
            "2026-01-31T",
        ];
        check(Typed::DateTime, &good, &bad);
    }

    #[test]
    fn times() {
        check(Typed::Time, &["09:00:00.000Z", "9:00", "09:00:00", "23:59:59Z"], &["nine", "0900", "09:61", "25:00:00", "#N/A", "9:00 PM"]);
    }
}
