//! Scalars without quotes, as they stand in a manifest. An author who wrote `0047`, `No` or `true` for a text meant these characters; a
//! reader of YAML has made a number or a boolean of them before any field is looked at.

use std::collections::HashMap;
use std::fmt::Write;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle};

/// What the documents of a text have unquoted, by path: one map a document.
pub(super) fn scalars(text: &str) -> Vec<HashMap<String, String>> {
    let (mut documents, mut open) = (Vec::new(), Vec::<Level>::new());
    for next in Parser::new_from_str(text) {
        // The parser that reads the text as YAML tells what is wrong with it.
        let Ok((event, _)) = next else { break };
        match event {
            Event::DocumentStart(..) => documents.push(HashMap::new()),
            Event::MappingStart(..) => open.push(Level::Key),
            Event::SequenceStart(..) => open.push(Level::Item(0)),
            Event::MappingEnd | Event::SequenceEnd => {
                open.pop();
                step(&mut open, None);
            }
            Event::Scalar(value, style, ..) => {
                let is_value = !matches!(open.last(), Some(Level::Key));
                if let (true, ScalarStyle::Plain, Some(document)) = (is_value, style, documents.last_mut()) {
                    document.insert(path(&open), value.clone().into_owned());
                }
                step(&mut open, Some(&value));
            }
            Event::Alias(_) => step(&mut open, None),
            _ => {}
        }
    }
    documents
}

/// Where the next value stands in the mapping or sequence around it.
enum Level {
    Key,
    Value(String),
    Item(usize),
}

/// A key or a value is over.
fn step(open: &mut [Level], scalar: Option<&str>) {
    if let Some(level) = open.last_mut() {
        *level = match level {
            Level::Key => Level::Value(scalar.unwrap_or_default().to_owned()),
            Level::Value(_) => Level::Key,
            Level::Item(at) => Level::Item(*at + 1),
        };
    }
}

fn path(open: &[Level]) -> String {
    let mut path = String::new();
    for level in open {
        match level {
            Level::Value(key) if path.is_empty() => path.push_str(key),
            Level::Value(key) => write!(path, ".{key}").unwrap_or_default(),
            Level::Item(at) => write!(path, "[{at}]").unwrap_or_default(),
            Level::Key => {}
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unquoted_value_has_its_path() {
        let text = "a: {b: [x, 'y', {c: No}], d: &e 0047}\n---\n- [1]\n- f: *g\n  h: true\n";
        let found = scalars(&text.replace("*g", "~"));
        let sorted = |n: usize| {
            let mut pairs: Vec<_> = found[n].iter().map(|(path, value)| format!("{path}={value}")).collect();
            pairs.sort();
            pairs.join(" ")
        };
        assert_eq!((sorted(0), sorted(1)), ("a.b[0]=x a.b[2].c=No a.d=0047".into(), "[0][0]=1 [1].f=~ [1].h=true".into()));
    }

    #[test]
    fn an_alias_takes_a_place_and_keys_may_be_anything() {
        let found = scalars("a: &x {b: 1}\nc: *x\n? [k, l]\n: off\nd: on\n");
        assert_eq!(found[0].get("a.b").map(String::as_str), Some("1"));
        assert_eq!(found[0].get("d").map(String::as_str), Some("on"));
    }
}
