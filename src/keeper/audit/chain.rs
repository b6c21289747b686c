//! A line of the audit and how it hangs on the one before. Pure.

use jiff::Timestamp;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Ids and reasons are short. What a caller sends in place of one is cut: a line must stay shorter than what is read back at a start.
const LONGEST_TEXT: usize = 128;

/// What happened, with the ids it happened to.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    name: &'static str,
    fields: Map<String, Value>,
}

impl Event {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, fields: Map::new() }
    }

    pub(crate) fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        let value = match value.into() {
            Value::String(text) => Value::String(text.chars().take(LONGEST_TEXT).collect()),
            value => value,
        };
        self.fields.insert(key.to_owned(), value);
        self
    }
}

/// The end of a chain: number and hash of its last line.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Link {
    seq: u64,
    hash: String,
}

/// Why a chain is not whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Broken {
    #[error("line {0} is not a line of an audit")]
    Unreadable(u64),
    #[error("line {0} was changed, or one before it was removed, added or moved")]
    Hash(u64),
}

impl Link {
    /// The line that follows, and the new end.
    pub(crate) fn next(&self, event: Event, now: Timestamp) -> (String, Self) {
        let mut line = Map::new();
        line.insert("seq".into(), (self.seq + 1).into());
        line.insert("at".into(), now.to_string().into());
        line.insert("event".into(), event.name.into());
        line.extend(event.fields);
        line.insert("prev".into(), self.hash.clone().into());
        let hash = hash_of(&line);
        line.insert("hash".into(), hash.clone().into());
        (format!("{}\n", Value::Object(line)), Self { seq: self.seq + 1, hash })
    }

    /// The end that a line is.
    pub(crate) fn of(line: &[u8]) -> Result<Self, Broken> {
        let line: Map<String, Value> = serde_json::from_slice(line).map_err(|_| Broken::Unreadable(0))?;
        let seq = line.get("seq").and_then(Value::as_u64).ok_or(Broken::Unreadable(0))?;
        let hash = line.get("hash").and_then(Value::as_str).ok_or(Broken::Unreadable(seq))?.to_owned();
        Ok(Self { seq, hash })
    }
}

/// SHA-256 over the line without its own hash, keys in order.
fn hash_of(line: &Map<String, Value>) -> String {
    let sorted: std::collections::BTreeMap<&String, &Value> = line.iter().filter(|(key, _)| *key != "hash").collect();
    hex::encode(Sha256::digest(serde_json::to_vec(&sorted).expect("a map of plain values is JSON")))
}

/// Checks a whole chain; answers how many lines it has.
pub fn verify(text: &str) -> Result<u64, Broken> {
    let mut last = Link::default();
    for line in text.lines() {
        let expected = last.seq + 1;
        let map: Map<String, Value> = serde_json::from_str(line).map_err(|_| Broken::Unreadable(expected))?;
        let link = Link::of(line.as_bytes()).map_err(|_| Broken::Unreadable(expected))?;
        let follows = map.get("prev").and_then(Value::as_str) == Some(last.hash.as_str()) && link.seq == expected;
        if !follows || hash_of(&map) != link.hash {
            return Err(Broken::Hash(expected));
        }
        last = link;
    }
    Ok(last.seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> String {
        let mut link = Link::default();
        let mut text = String::new();
        for file in ["a", "b", "c"] {
            let (line, next) = link.next(Event::new("FileBorn").with("file", file), Timestamp::UNIX_EPOCH);
            text.push_str(&line);
            link = next;
        }
        text
    }

    #[test]
    fn a_line_stays_short_whatever_a_caller_sends() {
        let (line, _) = Link::default().next(Event::new("CallRefused").with("run", "\u{1}".repeat(100_000)), Timestamp::UNIX_EPOCH);
        assert!(line.len() < 2_000, "{}", line.len());
    }

    #[test]
    fn a_whole_chain_is_whole() {
        assert_eq!(verify(&chain()), Ok(3));
    }

    #[test]
    fn a_line_changed_removed_or_moved_is_seen() {
        let text = chain();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(verify(&text.replace(r#""file":"b""#, r#""file":"x""#)), Err(Broken::Hash(2)));
        assert_eq!(verify(&[lines[0], lines[2]].join("\n")), Err(Broken::Hash(2)));
        assert_eq!(verify(&[lines[1], lines[0], lines[2]].join("\n")), Err(Broken::Hash(1)));
        assert_eq!(verify(&[lines[0], "x"].join("\n")), Err(Broken::Unreadable(2)));
    }
}
