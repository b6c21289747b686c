//! Events of the parser → nodes. What is bounded here: how deep a document nests, how many values it has, and how many more its aliases make
//! of them.

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::Value;
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span, Tag, options};

use super::{Content, Entry, Node, Place, Scalar, scalar};

/// Lists and objects within each other; objects of an API server nest a dozen times.
const DEEPEST: usize = 100;
/// Values of one document.
const VALUES: usize = 500_000;
/// Values that the aliases of one document stand for.
const ALIASED: usize = 50_000;
/// Faults of one file; behind so many there is nothing to learn.
const FAULTS: usize = 20;

/// Something that keeps a document from being read, or makes it mean two things. Never quotes a value.
#[derive(Debug)]
pub(in crate::validate) struct Fault {
    pub(in crate::validate) at: Place,
    pub(in crate::validate) message: String,
}

pub(in crate::validate) enum Read {
    /// `faults`: keys that are there twice and the like.
    Document { root: Rc<Node>, faults: Vec<Fault> },
    /// A document that is none; the next one is read all the same.
    Broken(Fault),
}

/// Hands on the documents of a text, one by one, so that no more than one is held.
pub(in crate::validate) fn read(text: &str, take: &mut dyn FnMut(Read)) {
    let options = options! { flow_nesting_limit: DEEPEST, block_nesting_limit: DEEPEST, emit_comments: false };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let (mut broken, mut document) = (0, Builder::default());
    loop {
        match parser.next_event() {
            None => return,
            Some(Ok((event, span))) => match document.event(event, span) {
                Ok(None) => {}
                Ok(Some(root)) => take(Read::Document { root, faults: std::mem::take(&mut document).faults }),
                Err(fault) => {
                    // A document that is too large is no place to look for the next one in.
                    take(Read::Broken(fault));
                    return;
                }
            },
            Some(Err(error)) => {
                document = Builder::default();
                let at = place(*error.marker());
                take(Read::Broken(Fault { at, message: format!("this is no YAML: {}", error.info()) }));
                broken += 1;
                if broken == FAULTS || !parser.proceed_next_document().unwrap_or(false) {
                    return;
                }
            }
        }
    }
}

fn place(marker: serde_saphyr::granit_parser::Marker) -> Place {
    Place { line: marker.line(), column: marker.col() + 1 }
}

/// One document as far as it has been read.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Rc<Node>>,
    anchors: HashMap<usize, Rc<Node>>,
    faults: Vec<Fault>,
    values: usize,
    aliased: usize,
}

struct Open {
    at: Place,
    anchor: usize,
    part: Part,
}

enum Part {
    List(Vec<Rc<Node>>),
    Map { entries: Vec<Entry>, seen: HashMap<Box<str>, usize>, key: Option<Key>, merged: Vec<Rc<Node>> },
}

/// A key whose value is still to come.
struct Key {
    /// `None`: one that JSON cannot have.
    text: Option<Box<str>>,
    at: Place,
    is_merge: bool,
}

impl Builder {
    /// The root, when the document is over.
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<Option<Rc<Node>>, Fault> {
        let at = place(span.start);
        match event {
            Event::DocumentStart(..) => *self = Self::default(),
            Event::DocumentEnd => return Ok(self.root.take()),
            Event::MappingStart(_, anchor, _) => {
                let part = Part::Map { entries: Vec::new(), seen: HashMap::new(), key: None, merged: Vec::new() };
                self.open.push(Open { at, anchor, part });
            }
            Event::SequenceStart(_, anchor, _) => self.open.push(Open { at, anchor, part: Part::List(Vec::new()) }),
            Event::MappingEnd | Event::SequenceEnd => {
                if let Some(Open { at, anchor, part }) = self.open.pop() {
                    let content = match part {
                        Part::List(items) => Content::List(items),
                        Part::Map { entries, seen, merged, .. } => Content::Map(self.merge(entries, &seen, &merged)),
                    };
                    self.add(Rc::new(Node::new(at, content)), anchor, false)?;
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_merge = style == ScalarStyle::Plain && text == "<<";
                let scalar = scalar_of(&text, style, tag.as_deref());
                self.add(Rc::new(Node::new(at, Content::Scalar(scalar))), anchor, is_merge)?;
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(Fault { at, message: "this alias stands within what it means".to_owned() });
                };
                self.aliased = self.aliased.saturating_add(node.weight);
                if self.aliased > ALIASED {
                    let message = format!("the aliases of this document stand for more than {ALIASED} values: write it without them");
                    return Err(Fault { at, message });
                }
                self.add(node, 0, false)?;
            }
            _ => {}
        }
        Ok(None)
    }

    fn add(&mut self, node: Rc<Node>, anchor: usize, is_merge: bool) -> Result<(), Fault> {
        self.values += 1;
        if self.values > VALUES {
            return Err(Fault { at: node.at, message: format!("this document has more than {VALUES} values: split it") });
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.part {
            Part::List(items) => items.push(node),
            Part::Map { entries, seen, key, merged } => match key.take() {
                None => {
                    let text = match &node.content {
                        Content::Scalar(scalar) => scalar::key(&scalar.value).map(Box::from),
                        Content::List(_) | Content::Map(_) => None,
                    };
                    *key = Some(Key { text, at: node.at, is_merge });
                }
                Some(Key { is_merge: true, .. }) => merged.push(node),
                Some(Key { text: None, at, .. }) => {
                    self.faults.push(Fault { at, message: "a key that is no text: Kubernetes takes texts only".to_owned() });
                }
                Some(Key { text: Some(text), at, .. }) => match seen.get(&text) {
                    Some(line) => {
                        let message = format!("the key {text} is there already, in line {line}: keep one of them");
                        self.faults.push(Fault { at, message });
                    }
                    None => {
                        seen.insert(text.clone(), at.line);
                        entries.push(Entry { key: text, at, value: node });
                    }
                },
            },
        }
        Ok(())
    }

    /// With what `<<` brings: its own entries first, then those of the first mapping that has a key.
    fn merge(&mut self, mut entries: Vec<Entry>, own: &HashMap<Box<str>, usize>, merged: &[Rc<Node>]) -> Vec<Entry> {
        let mut brought: HashMap<Box<str>, ()> = HashMap::new();
        let lists = merged.iter().flat_map(|node| match &node.content {
            Content::List(items) => items.clone(),
            Content::Map(_) | Content::Scalar(_) => vec![node.clone()],
        });
        for node in lists {
            let Content::Map(others) = &node.content else {
                self.faults.push(Fault { at: node.at, message: "<< brings a mapping, or a list of some: this is none".to_owned() });
                continue;
            };
            for entry in others {
                if !own.contains_key(&entry.key) && brought.insert(entry.key.clone(), ()).is_none() {
                    entries.push(entry.clone());
                }
            }
        }
        entries
    }
}

fn scalar_of(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Scalar {
    let is_text = style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.is_custom() || tag.core_suffix() == Some("str"));
    let value = if is_text { Value::String(text.to_owned()) } else { scalar::resolve(text) };
    let written = (!is_text && !value.is_string()).then(|| text.into());
    Scalar { value, written }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Documents as JSON, and faults with their places.
    fn all(text: &str) -> (Vec<String>, Vec<String>) {
        let (mut documents, mut told) = (Vec::new(), Vec::new());
        let fault = |fault: Fault| format!("{}:{} {}", fault.at.line, fault.at.column, fault.message);
        read(text, &mut |read| match read {
            Read::Document { root, faults } => {
                documents.push(root.to_value().to_string());
                told.extend(faults.into_iter().map(fault));
            }
            Read::Broken(broken) => told.push(fault(broken)),
        });
        (documents, told)
    }

    #[test]
    fn aliases_merges_and_quotes_are_understood() {
        let (documents, faults) = all("a: &x {b: 1, c: \"2\"}\nd: *x\ne: {<<: *x, b: 3}\nf: !!str 4\ng: |\n  h\n---\n- \u{e9}\n");
        let expected = r#"{"a":{"b":1,"c":"2"},"d":{"b":1,"c":"2"},"e":{"b":3,"c":"2"},"f":"4","g":"h\n"}"#;
        assert_eq!((documents, faults), (vec![expected.to_owned(), "[\"\u{e9}\"]".to_owned()], vec![]));
    }

    #[test]
    fn a_key_that_is_there_twice_is_told_with_both_lines() {
        let (documents, faults) = all("a: 1\nb: {c: 1, c: 2}\na: 3\n? [x]\n: y\n");
        assert_eq!(documents, [r#"{"a":1,"b":{"c":1}}"#]);
        assert_eq!(
            faults,
            [
                "2:11 the key c is there already, in line 2: keep one of them",
                "3:1 the key a is there already, in line 1: keep one of them",
                "4:3 a key that is no text: Kubernetes takes texts only",
            ]
        );
    }

    #[test]
    fn what_is_no_yaml_is_told_and_the_next_document_is_read() {
        let (documents, faults) = all("a: 1\n---\nb: [hush\nc: d\n---\ne: 2\n");
        assert_eq!(documents, [r#"{"a":1}"#, r#"{"e":2}"#]);
        assert!(faults.len() == 1 && faults[0].contains("this is no YAML: ") && !faults[0].contains("hush"), "{faults:?}");
    }

    #[test]
    fn json_is_yaml_with_pairs_of_surrogates_and_tabs() {
        let (documents, faults) = all("{\n\t\"a\":\"\\ud83d\\ude00\\/\",\"b\":[1,true,null]}");
        assert_eq!((documents, faults), (vec!["{\"a\":\"\u{1F600}/\",\"b\":[1,true,null]}".to_owned()], vec![]));
    }

    #[test]
    fn a_bomb_of_aliases_ends_early() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for n in 1..30 {
            let before = vec![format!("*a{}", n - 1); 10].join(", ");
            bomb.push_str(&format!("a{n}: &a{n} [{before}]\n"));
        }
        let (documents, faults) = all(&bomb);
        assert!(documents.is_empty() && faults.len() == 1 && faults[0].contains("the aliases of this document"), "{faults:?}");
        let (_, faults) = all("a: &a [*a]\n");
        assert!(faults[0].contains("within what it means") || faults[0].contains("this is no YAML"), "{faults:?}");
    }

    #[test]
    fn what_nests_too_deep_or_has_no_end_is_refused() {
        for text in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000)] {
            let (documents, faults) = all(&text);
            assert!(documents.is_empty() && !faults.is_empty() && faults.len() <= FAULTS, "{faults:?}");
        }
        let many = format!("[{}]", "1,".repeat(VALUES));
        assert!(all(&many).1[0].contains("more than 500000 values"));
    }

    fn json() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..5).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest::proptest! {
        #[test]
        fn json_is_read_as_json(value in json()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                // A lone null is a document that holds nothing.
                let (documents, faults) = all(&text);
                proptest::prop_assert_eq!(documents.first().cloned(), Some(value.to_string()), "{:?}", faults);
            }
        }

        #[test]
        fn anything_is_read_or_told(text in "[-?:,{}\\[\\]&*#|>'\"%@!<a-c \n\t0-9.]{0,80}") {
            let (_, faults) = all(&text);
            proptest::prop_assert!(faults.len() <= FAULTS + 80);
        }
    }
}
