//! One JSON object → cells of its columns. Texts are taken as they are, numbers as they are written, without a way over
//! floating point.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Objects within objects.
const DEEPEST: usize = 32;

/// Digits that a number may take when it is written without an exponent.
const MOST_DIGITS: usize = 400;

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wrong {
    /// The byte at which it stops being JSON, from 1.
    NotJson {
        from: usize,
    },
    /// It is something else than an object.
    NotAnObject {
        class: &'static str,
    },
    TooDeep,
    /// The field of this column comes twice.
    Twice {
        column: usize,
    },
    /// A list.
    List {
        column: usize,
    },
    /// A text with an escape that stands for no character.
    NoCharacter {
        column: usize,
    },
    /// A number that is too large to be written without an exponent.
    NumberTooLong {
        column: usize,
    },
}

/// Where in the text of a record the value of a column stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    values: Vec<Range<usize>>,
    found: Vec<bool>,
}

impl Fields {
    pub(super) fn get(&self, column: usize) -> Option<Range<usize>> {
        self.found[column].then(|| self.values[column].clone())
    }
}

/// The columns by their paths.
pub(super) struct Columns {
    places: HashMap<String, usize>,
    names: Vec<String>,
}

impl Columns {
    pub(super) fn new(names: &[String]) -> Self {
        let places = names.iter().enumerate().map(|(place, name)| (name.clone(), place)).collect();
        Self { places, names: names.to_vec() }
    }

    /// Records mostly have their fields in the same order.
    fn find(&self, path: &str, guess: usize) -> Option<usize> {
        if self.names.get(guess).is_some_and(|name| name == path) { Some(guess) } else { self.places.get(path).copied() }
    }

    /// Finds the values of the columns in a record; `other` gets the paths that are no column.
    pub(super) fn read(&self, record: &str, fields: &mut Fields, mut other: impl FnMut(&str)) -> Result<(), Wrong> {
        fields.values.resize(self.names.len(), 0..0);
        fields.found.clear();
        fields.found.resize(self.names.len(), false);
        let mut next = 0;
        let start = record.as_ptr() as usize;
        walk(record, &mut |path, value| {
            let Some(column) = self.find(path, next) else {
                other(path);
                return Ok(());
            };
            next = column + 1;
            if std::mem::replace(&mut fields.found[column], true) {
                return Err(Wrong::Twice { column });
            }
            let from = value.as_ptr() as usize - start;
            fields.values[column] = from..from + value.len();
            Ok(())
        })
    }
}

/// Calls `take` with the path and the text of each value that is no object; an object without fields is a value.
pub(super) fn walk(record: &str, take: &mut dyn FnMut(&str, &str) -> Result<(), Wrong>) -> Result<(), Wrong> {
    match class(record.trim_start()) {
        Class::Object => {}
        other => {
            check(record)?;
            return Err(Wrong::NotAnObject { class: other.words() });
        }
    }
    let mut path = String::new();
    walk_object(record, record, &mut path, 0, take)
}

fn walk_object(
    whole: &str,
    text: &str,
    path: &mut String,
    depth: usize,
    take: &mut dyn FnMut(&str, &str) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    if depth == DEEPEST {
        return Err(Wrong::TooDeep);
    }
    let mut wrong = None;
    let above = path.len();
    let visitor = Object(&mut |name: &str, value: &str| {
        path.truncate(above);
        if above > 0 {
            path.push('.');
        }
        path.push_str(name);
        let result = match class(value) {
            Class::Object if !is_empty(value) => walk_object(whole, value, path, depth + 1, take),
            _ => take(path, value),
        };
        wrong = result.err();
        wrong.is_none()
    });
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = deserializer.deserialize_map(visitor).and_then(|()| deserializer.end());
    match (wrong, read) {
        (Some(wrong), _) => Err(wrong),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) => Err(Wrong::NotJson { from: text.as_ptr() as usize - whole.as_ptr() as usize + place(text, &error) }),
    }
}

fn check(text: &str) -> Result<(), Wrong> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(Wrong::NotJson { from: place(text, &error) }),
    }
}

/// In bytes from the start; the reader counts lines and columns.
fn place(text: &str, error: &serde_json::Error) -> usize {
    let lines: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    (lines + error.column()).min(text.len())
}

/// Hands each field over; false ends it.
struct Object<'f>(&'f mut dyn FnMut(&str, &str) -> bool);

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some((name, value)) = fields.next_entry::<Name<'de>, &'de RawValue>()? {
            if !(self.0)(&name.0, value.get()) {
                return Err(serde::de::Error::custom("given up"));
            }
        }
        Ok(())
    }
}

/// A name that is copied only if it is escaped.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Visit)
    }
}

/// What a value is, by how it begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Class {
    Object,
    List,
    Text,
    Number,
    Truth,
    Null,
}

impl Class {
    fn words(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::List => "a list",
            Self::Text => "a text",
            Self::Number => "a number",
            Self::Truth => "true or false",
            Self::Null => "null",
        }
    }
}

fn class(value: &str) -> Class {
    match value.as_bytes().first() {
        Some(b'{') => Class::Object,
        Some(b'[') => Class::List,
        Some(b'"') => Class::Text,
        Some(b't' | b'f') => Class::Truth,
        Some(b'n') => Class::Null,
        _ => Class::Number,
    }
}

fn is_empty(object: &str) -> bool {
    object[1..].trim_ascii_start().starts_with('}')
}

/// The cell of a value that was read before: null and an object without fields are empty. `used`: a list is refused; else it is shown as it
/// stands.
pub(super) fn cell(value: &str, used: bool, column: usize) -> Result<Cow<'_, str>, Wrong> {
    match class(value) {
        Class::Null | Class::Object => Ok(Cow::Borrowed("")),
        Class::List if used => Err(Wrong::List { column }),
        Class::List | Class::Truth => Ok(Cow::Borrowed(value)),
        Class::Number => plain(value).ok_or(Wrong::NumberTooLong { column }),
        Class::Text => text(value).ok_or(Wrong::NoCharacter { column }),
    }
}

/// Half of a surrogate pair is no character.
fn text(value: &str) -> Option<Cow<'_, str>> {
    let inside = &value[1..value.len() - 1];
    if !inside.contains('\\') {
        return Some(Cow::Borrowed(inside));
    }
    serde_json::from_str(value).ok().map(Cow::Owned)
}

/// The number without an exponent.
fn plain(number: &str) -> Option<Cow<'_, str>> {
    let Some((digits, exponent)) = number.split_once(['e', 'E']) else { return Some(Cow::Borrowed(number)) };
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    if all.bytes().all(|digit| digit == b'0') {
        return Some(Cow::Borrowed("0"));
    }
    let exponent: i64 = exponent.parse().ok()?;
    let point = exponent.checked_add(whole.len() as i64)?;
    if point.unsigned_abs() as usize > MOST_DIGITS || all.len() > MOST_DIGITS {
        return None;
    }
    let (whole, fraction) = match usize::try_from(point) {
        Ok(point) if point >= all.len() => (format!("{all:0<point$}"), String::new()),
        Ok(point) => (all[..point].to_owned(), all[point..].to_owned()),
        Err(_) => (String::new(), format!("{}{all}", "0".repeat(point.unsigned_abs() as usize))),
    };
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    Some(Cow::Owned(format!("{sign}{whole}{point}{fraction}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(record: &str) -> Result<Vec<(String, String)>, Wrong> {
        let mut found = Vec::new();
        walk(record, &mut |path, value| {
            found.push((path.to_owned(), value.to_owned()));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn fields_are_found_by_their_paths() {
        let found = paths(r#"{"a":1, "b": {"c":"x","d":{"e":null}},"f":[1,{"g":2}],"h":{},"i\u0041":true}"#).unwrap();
        let found: Vec<(&str, &str)> = found.iter().map(|(path, value)| (path.as_str(), value.as_str())).collect();
        assert_eq!(found, [("a", "1"), ("b.c", "\"x\""), ("b.d.e", "null"), ("f", "[1,{\"g\":2}]"), ("h", "{}"), ("iA", "true")]);
    }

    #[test]
    fn what_is_no_object_is_called_what_it_is() {
        for (record, expected) in [
            ("[1]", Wrong::NotAnObject { class: "a list" }),
            ("\"x\"", Wrong::NotAnObject { class: "a text" }),
            ("null", Wrong::NotAnObject { class: "null" }),
            ("12", Wrong::NotAnObject { class: "a number" }),
            ("tru", Wrong::NotJson { from: 3 }),
            ("{\"a\":1", Wrong::NotJson { from: 6 }),
            ("{\"a\":1}x", Wrong::NotJson { from: 8 }),
            ("{\"a\":01}", Wrong::NotJson { from: 7 }),
            ("{\n\"a\":\n,}", Wrong::NotJson { from: 8 }),
            ("{\"a\":\"\t\"}", Wrong::NotJson { from: 6 }),
        ] {
            assert_eq!(paths(record), Err(expected), "{record}");
        }
        let deep = format!("{}1{}", "{\"a\":".repeat(33), "}".repeat(33));
        assert_eq!(paths(&deep), Err(Wrong::TooDeep));
        assert_eq!(paths(&format!("{}1{}", "{\"a\":".repeat(32), "}".repeat(32))).unwrap().len(), 1, "control");
    }

    #[test]
    fn a_field_that_comes_twice_is_told_whichever_way_it_is_written() {
        let columns = Columns::new(&["a.b".to_owned(), "c".to_owned()]);
        let mut fields = Fields::default();
        let mut others = Vec::new();
        let mut read = |record: &str| columns.read(record, &mut fields, |path| others.push(path.to_owned()));
        assert_eq!(read(r#"{"a":{"b":1},"a.b":2}"#), Err(Wrong::Twice { column: 0 }));
        assert_eq!(read(r#"{"c":1,"c":1}"#), Err(Wrong::Twice { column: 1 }));
        assert_eq!(read(r#"{"c":1,"d":1,"a":{"b":3,"x":1}}"#), Ok(()));
        assert_eq!((fields.get(0), fields.get(1)), (Some(22..23), Some(5..6)));
        assert_eq!(others, ["d", "a.x"]);
    }

    #[test]
    fn numbers_keep_their_digits() {
        for (number, expected) in [
            ("12", Some("12")),
            ("-0.10", Some("-0.10")),
            ("12345678901234567890.123", Some("12345678901234567890.123")),
            ("1e15", Some("1000000000000000")),
            ("1.5E+3", Some("1500")),
            ("-1.25e1", Some("-12.5")),
            ("125e-4", Some("0.0125")),
            ("1.0e-2", Some("0.01")),
            ("0e9", Some("0")),
            ("0.00e-3", Some("0")),
            ("100e-2", Some("1")),
            ("1e401", None),
            ("1e-402", None),
            ("1e99999999999999999999", None),
        ] {
            assert_eq!(plain(number).as_deref(), expected, "{number}");
        }
    }
}
