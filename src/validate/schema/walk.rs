//! A value held against its schema, as an API server does it when it takes an object in: with the words for the author of a manifest.

use std::collections::HashMap;

use formula::nearest;
use jiff::Timestamp;
use serde_json::{Map, Number, Value};

use super::super::finding::About;
use super::super::yaml::{Content, Entry, Node, Scalar};
use super::{Format, ListType, Schema, Type};

/// Characters of a value that a message shows.
const SHOWN: usize = 60;
/// Names that a message lists.
const LISTED: usize = 16;

/// What came of it.
#[derive(Default)]
pub(in crate::validate) struct Checked {
    pub(in crate::validate) findings: Vec<About>,
    /// An API server does not ask the rules about such an object: they rely on types, lengths, and what must be there.
    pub(in crate::validate) blocks_rules: bool,
}

impl Checked {
    fn tell(&mut self, path: &str, message: String) {
        self.findings.push(About::error(path, message));
    }

    fn block(&mut self, path: &str, message: String) {
        self.blocks_rules = true;
        self.tell(path, message);
    }
}

/// Adds what is wrong with the value, and returns it as the API server keeps it: without what the schema does not know.
pub(in crate::validate) fn check(node: &Node, schema: &Schema, path: &str, checked: &mut Checked) -> Value {
    match (schema.kind, &node.content) {
        (Type::Object, Content::Map(entries)) => Value::Object(object(entries, schema, path, checked)),
        (Type::Array, Content::List(items)) => {
            within(items.len(), (schema.min_items, schema.max_items), "entries", path, checked);
            distinct(items, schema, path, checked);
            let Some(of_item) = &schema.items else { return node.to_value() };
            items.iter().enumerate().map(|(at, item)| check(item, of_item, &format!("{path}[{at}]"), checked)).collect()
        }
        (Type::String, Content::Scalar(Scalar { value: Value::String(text), .. })) => {
            string(text, schema, path, checked);
            Value::String(text.clone())
        }
        (Type::Integer, Content::Scalar(Scalar { value: Value::Number(number), .. })) => {
            integer(number, schema, path, checked);
            Value::Number(number.clone())
        }
        (Type::Boolean, Content::Scalar(Scalar { value: Value::Bool(truth), .. })) => Value::Bool(*truth),
        _ => {
            checked.block(path, wrong_type(node, schema));
            node.to_value()
        }
    }
}

fn object(entries: &[Entry], schema: &Schema, path: &str, checked: &mut Checked) -> Map<String, Value> {
    let mut kept = Map::new();
    for entry in entries {
        let field = join(path, &entry.key);
        let of_value = schema.properties.get(&*entry.key).or(schema.additional_properties.as_deref());
        match of_value {
            // As if it were not there.
            Some(_) if entry.value.is_null() => {}
            Some(of_value) => {
                kept.insert(String::from(&*entry.key), check(&entry.value, of_value, &field, checked));
            }
            None => checked.findings.push(About::error(field, unknown_field(&entry.key, schema)).at(entry.at)),
        }
    }
    for name in schema.required.iter().filter(|name| !kept.contains_key(*name)) {
        let what = schema.properties.get(name).map(described).unwrap_or_default();
        checked.block(&join(path, name), format!("is missing{what}"));
    }
    kept
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// ` (Name of the bucket)`: the first sentence of what the schema says of a field.
fn described(schema: &Schema) -> String {
    let text = schema.description.replace('\n', " ");
    let sentence = text.split_once(". ").map_or(text.as_str(), |(first, _)| first).trim_end_matches('.');
    if sentence.is_empty() { String::new() } else { format!(" ({sentence})") }
}

fn unknown_field(key: &str, schema: &Schema) -> String {
    let names: Vec<&str> = schema.properties.keys().map(String::as_str).collect();
    match nearest(key, names.iter().copied()) {
        Some(near) => format!("there is no such field, did you mean {near}?"),
        None if names.is_empty() => "there is no such field: this object has none".to_owned(),
        None if names.len() <= LISTED => format!("there is no such field, only {}", names.join(", ")),
        None => "there is no such field".to_owned(),
    }
}

fn wrong_type(node: &Node, schema: &Schema) -> String {
    let wanted = match schema.kind {
        Type::Object => "an object",
        Type::Array => "a list",
        Type::String => "a text",
        Type::Integer => "a whole number",
        Type::Boolean => "true or false",
    };
    match &node.content {
        Content::Scalar(Scalar { written: Some(written), value: Value::Bool(_) | Value::Number(_) }) if schema.kind == Type::String => {
            let written = shown(written);
            format!("{written} is no text to readers of YAML; write it in quotes: \"{written}\"")
        }
        Content::Scalar(Scalar { value: Value::String(text), written: None })
            if schema.kind == Type::Integer && text.parse::<i64>().is_ok()
                || schema.kind == Type::Boolean && ["true", "false"].contains(&text.as_str()) =>
        {
            format!("must be {wanted}, and \"{text}\" is a text: write it without quotes")
        }
        content => format!("must be {wanted}, not {}{}", found(content), described(schema)),
    }
}

fn found(content: &Content) -> &'static str {
    match content {
        Content::Map(_) => "an object",
        Content::List(_) => "a list",
        Content::Scalar(scalar) => match &scalar.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(number) if number.is_f64() => "a number with a fraction",
            Value::Number(_) => "a number",
            _ => "a text",
        },
    }
}

fn within(found: usize, bounds: (Option<usize>, Option<usize>), what: &str, path: &str, checked: &mut Checked) {
    let (least, most) = bounds;
    if most.is_some_and(|most| found > most) {
        checked.block(path, format!("has {found} {what}, more than {}", most.unwrap_or_default()));
    }
    if least.is_some_and(|least| found < least) {
        checked.tell(path, format!("has {found} {what}, fewer than {}", least.unwrap_or_default()));
    }
}

/// The list's keys, or its values, are there once each.
fn distinct(items: &[std::rc::Rc<Node>], schema: &Schema, path: &str, checked: &mut Checked) {
    let Some(list_type) = schema.list_type else { return };
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (at, item) in items.iter().enumerate() {
        let key = match list_type {
            ListType::Set => item.to_value().to_string(),
            ListType::Map => {
                schema.map_keys.iter().map(|key| item.get(key).map_or(Value::Null, |value| value.to_value()).to_string() + " ").collect()
            }
        };
        if let Some(line) = seen.get(&key) {
            let what = match list_type {
                ListType::Set => String::new(),
                ListType::Map => format!("{} ", schema.map_keys.join(" and ")),
            };
            let message = format!("{what}{} is there already, in line {line}: keep one of them", shown(key.trim_end()));
            checked.tell(&format!("{path}[{at}]"), message);
        } else {
            seen.insert(key, item.at.line);
        }
    }
}

fn string(text: &str, schema: &Schema, path: &str, checked: &mut Checked) {
    if let Some(words) = &schema.words
        && !words.iter().any(|word| word == text)
    {
        let near = nearest(text, words.iter().map(String::as_str)).map(|near| format!(", did you mean {near}?"));
        let near = near.unwrap_or_else(|| format!(", only {}", words.join(", ")));
        checked.block(path, format!("\"{}\" is no such word{near}", shown(text)));
    }
    within(text.chars().count(), (schema.min_length, schema.max_length), "characters", path, checked);
    if let Some(pattern) = schema.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
        checked.tell(path, format!("\"{}\" is not of the form {pattern}{}", shown(text), described(schema)));
    }
    if schema.format == Some(Format::DateTime) && text.parse::<Timestamp>().is_err() {
        checked.tell(path, format!("\"{}\" is no time, as in 2026-01-31T09:00:00Z", shown(text)));
    }
}

fn integer(number: &Number, schema: &Schema, path: &str, checked: &mut Checked) {
    let Some(value) = number.as_i64() else {
        let what = if number.is_u64() { "is a larger number than there may be" } else { "must be a whole number, and this has a fraction" };
        checked.block(path, what.to_owned());
        return;
    };
    if schema.format == Some(Format::Int32) && i32::try_from(value).is_err() {
        checked.tell(path, format!("{value} has more than 32 bits"));
    }
    if let Some(least) = schema.minimum.filter(|least| value < *least) {
        checked.tell(path, format!("{value} is less than {least}{}", described(schema)));
    }
    if let Some(most) = schema.maximum.filter(|most| value > *most) {
        checked.tell(path, format!("{value} is more than {most}{}", described(schema)));
    }
}

/// As much of a text as a message has room for, in one line.
fn shown(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN).collect::<String>().escape_debug().collect();
    let cut = cut.replace("\\\"", "\"").replace("\\'", "'");
    if text.chars().nth(SHOWN).is_some() { format!("{cut}…") } else { cut }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::validate::yaml::{Read, read};

    fn told(text: &str) -> (Vec<String>, Value, bool) {
        let words = json!({"type": "string", "enum": ["Keep", "Delete"]});
        let entries = json!({"type": "array", "maxItems": 3, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["to"],
                             "items": {"type": "object", "properties": {"to": {"type": "string"}}}});
        let schema = Schema::deserialize(json!({"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[a-z]+$", "description": "Name of it. More words."},
            "after": words, "entries": entries, "days": {"type": "integer", "format": "int32", "minimum": 0.0, "maximum": 30.0},
            "words": {"type": "array", "minItems": 1, "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "at": {"type": "string", "format": "date-time"}, "on": {"type": "boolean"},
        }}))
        .unwrap();
        let (mut checked, mut kept) = (Checked::default(), Value::Null);
        read(text, &mut |read| match read {
            Read::Document { root, .. } => kept = check(&root, &schema, "", &mut checked),
            Read::Broken(fault) => panic!("{fault:?}"),
        });
        let told = checked.findings.iter().map(|about| format!("{}: {}", about.field, about.message)).collect();
        (told, kept, checked.blocks_rules)
    }

    #[test]
    fn a_value_that_is_right_is_kept_without_what_says_nothing() {
        let (told, kept, blocks) =
            told("{name: abc, days: 3.0, after: null, entries: [{to: a}, {}], \"on\": yes, words: [a, b], at: 2026-01-31T09:00:00+01:00}");
        assert_eq!((told, blocks), (Vec::<String>::new(), false));
        assert_eq!(kept["days"], json!(3));
        assert!(kept.get("after").is_none() && kept["on"] == json!(true));
    }

    #[test]
    fn what_is_wrong_is_told_with_the_way_out() {
        for (text, expected, blocks) in [
            ("{}", "name: is missing (Name of it)", true),
            ("{name: null}", "name: is missing (Name of it)", true),
            ("{name: abcde}", "name: has 5 characters, more than 4", true),
            ("{name: a}", "name: has 1 characters, fewer than 2", false),
            ("{name: A-b}", "name: \"A-b\" is not of the form ^[a-z]+$ (Name of it)", false),
            ("{name: 0047}", "name: 0047 is no text to readers of YAML; write it in quotes: \"0047\"", true),
            ("{name: [a]}", "name: must be a text, not a list (Name of it)", true),
            ("{name: abc, days: \"3\"}", "days: must be a whole number, and \"3\" is a text: write it without quotes", true),
            ("{name: abc, days: 1.5}", "days: must be a whole number, and this has a fraction", true),
            ("{name: abc, days: 31}", "days: 31 is more than 30", false),
            ("{name: abc, days: -1}", "days: -1 is less than 0", false),
            ("{name: abc, after: Keeep}", "after: \"Keeep\" is no such word, did you mean Keep?", true),
            ("{name: abc, after: Never}", "after: \"Never\" is no such word, only Keep, Delete", true),
            ("{name: abc, \"on\": \"true\"}", "on: must be true or false, and \"true\" is a text: write it without quotes", true),
            ("{name: abc, at: soon}", "at: \"soon\" is no time, as in 2026-01-31T09:00:00Z", false),
            ("{name: abc, words: []}", "words: has 0 entries, fewer than 1", false),
            ("{name: abc, words: [a, b,\n a]}", "words[2]: \"a\" is there already, in line 1: keep one of them", false),
            ("{name: abc, entries: [{to: a}, {to: a}]}", "entries[1]: to \"a\" is there already, in line 1: keep one of them", false),
            ("{name: abc, entries: [{}, {}, {}, {}]}", "entries: has 4 entries, more than 3", true),
            ("{name: abc, nam: 1}", "nam: there is no such field, did you mean name?", false),
        ] {
            let (found, _, blocked) = told(text);
            assert!(found.iter().any(|told| told == expected), "{expected}\nin {found:?}");
            assert_eq!(blocked, blocks, "{text}");
        }
    }

    #[test]
    fn a_long_value_is_shown_in_part_and_in_one_line() {
        let (found, ..) = told(&format!("{{name: \"a\\n{}\"}}", "x".repeat(10_000)));
        assert!(found.iter().all(|told| told.len() < 200 && !told.contains('\n')), "{found:?}");
    }
}
