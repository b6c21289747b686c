//! YAML with places: what stands in a manifest, where it stands, and how it is written. Read as kubectl and the controllers of GitOps read
//! it, which is YAML 1.1 in its plain scalars (`No` is a boolean, `0047` a number).

mod build;
mod scalar;

use std::rc::Rc;

use serde_json::Value;

pub(in crate::validate) use build::{Fault, Read, read};

/// A line and a column, both counted from 1, as editors do.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::validate) struct Place {
    pub(in crate::validate) line: usize,
    pub(in crate::validate) column: usize,
}

#[derive(Debug)]
pub(in crate::validate) struct Node {
    pub(in crate::validate) at: Place,
    pub(in crate::validate) content: Content,
    /// Values in it, itself included, with those that stand behind an alias counted again.
    weight: usize,
}

#[derive(Debug)]
pub(in crate::validate) enum Content {
    Scalar(Scalar),
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>),
}

#[derive(Debug)]
pub(in crate::validate) struct Scalar {
    /// Never a list or an object.
    pub(in crate::validate) value: Value,
    /// How it is written, if that is without quotes and something else than a text came of it.
    pub(in crate::validate) written: Option<Box<str>>,
}

#[derive(Clone, Debug)]
pub(in crate::validate) struct Entry {
    pub(in crate::validate) key: Box<str>,
    pub(in crate::validate) at: Place,
    pub(in crate::validate) value: Rc<Node>,
}

impl Node {
    pub(in crate::validate) fn new(at: Place, content: Content) -> Self {
        let inside = match &content {
            Content::Scalar(_) => 0,
            Content::List(items) => items.iter().fold(0, |sum: usize, item| sum.saturating_add(item.weight)),
            Content::Map(entries) => entries.iter().fold(0, |sum: usize, entry| sum.saturating_add(entry.value.weight)),
        };
        Self { at, content, weight: inside.saturating_add(1) }
    }

    pub(in crate::validate) fn entry(&self, key: &str) -> Option<&Entry> {
        let Content::Map(entries) = &self.content else { return None };
        entries.iter().find(|entry| &*entry.key == key)
    }

    pub(in crate::validate) fn get(&self, key: &str) -> Option<&Rc<Node>> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub(in crate::validate) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(scalar) => scalar.value.as_str(),
            Content::List(_) | Content::Map(_) => None,
        }
    }

    pub(in crate::validate) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar(Scalar { value: Value::Null, .. }))
    }

    pub(in crate::validate) fn to_value(&self) -> Value {
        match &self.content {
            Content::Scalar(scalar) => scalar.value.clone(),
            Content::List(items) => items.iter().map(|item| item.to_value()).collect(),
            Content::Map(entries) => entries.iter().map(|entry| (String::from(&*entry.key), entry.value.to_value())).collect(),
        }
    }

    /// Where a field stands, by a path as in `spec.target.salesforce.mapping[2].from`: the value, or where a part of the path is missing the
    /// last one that is there, by its key.
    pub(in crate::validate) fn place(&self, path: &str) -> Place {
        let (mut node, mut at) = (self, self.at);
        for step in steps(path) {
            let next = match step {
                Step::Key(key) => node.entry(key).map(|entry| (&entry.value, entry.at)),
                Step::Index(index) => match &node.content {
                    Content::List(items) => items.get(index).map(|item| (item, item.at)),
                    Content::Scalar(_) | Content::Map(_) => None,
                },
            };
            let Some((value, key)) = next else { return at };
            (node, at) = (value, key);
        }
        match &node.content {
            Content::Scalar(_) => node.at,
            Content::List(_) | Content::Map(_) => at,
        }
    }
}

enum Step<'p> {
    Key(&'p str),
    Index(usize),
}

fn steps(path: &str) -> impl Iterator<Item = Step<'_>> {
    path.split(['.', '[']).filter(|part| !part.is_empty()).map(|part| match part.strip_suffix(']').map(str::parse) {
        Some(Ok(index)) => Step::Index(index),
        _ => Step::Key(part),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Rc<Node> {
        let mut documents = Vec::new();
        read(text, &mut |read| match read {
            Read::Document { root, .. } => documents.push(root),
            Read::Broken(fault) => panic!("{fault:?}"),
        });
        documents.remove(0)
    }

    #[test]
    fn a_path_leads_to_its_place_or_to_the_last_part_that_is_there() {
        let node = one("spec:\n  target: {mapping: [{from: a}, {from: b, to: c}]}\n  name: x\n");
        for (path, expected) in [
            ("spec.name", (3, 9)),
            ("spec.target.mapping[1].to", (2, 47)),
            ("spec.target.mapping[1].formula", (2, 33)),
            ("spec.target.mapping[7].from", (2, 12)),
            ("spec.other.deep", (1, 1)),
            ("spec.target", (2, 3)),
            ("", (1, 1)),
        ] {
            let Place { line, column } = node.place(path);
            assert_eq!((line, column), expected, "{path}");
        }
    }
}
