//! A line of the audit, how it hangs on the one before, and who can have written it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use envelope::AuditKey;
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
    pub(crate) seq: u64,
    pub(crate) hash: String,
}

/// Why a chain is not whole.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Broken {
    #[error("line {0} is not a line of an audit")]
    Unreadable(u64),
    #[error("line {0} was changed, or one before it was removed, added or moved")]
    Hash(u64),
    #[error("line {0} was not written by a keeper of this region")]
    Mac(u64),
    #[error("it ends with line {found}, and had {known}: its end was cut off, or an older copy lies in its place")]
    Short { found: u64, known: u64 },
    #[error("line {0} is another one than was written")]
    Head(u64),
}

impl Link {
    /// The line that follows, and the new end.
    pub(crate) fn next(&self, chain: &str, event: Event, now: Timestamp, key: &AuditKey) -> (String, Self) {
        let mut line = Map::new();
        line.insert("chain".into(), chain.into());
        line.insert("seq".into(), (self.seq + 1).into());
        line.insert("at".into(), now.to_string().into());
        line.insert("event".into(), event.name.into());
        line.extend(event.fields);
        line.insert("prev".into(), self.hash.clone().into());
        let digest = hash_of(&line);
        let hash = hex::encode(digest);
        line.insert("hash".into(), hash.clone().into());
        line.insert("mac".into(), hex::encode(key.mac(&digest)).into());
        (format!("{}\n", Value::Object(line)), Self { seq: self.seq + 1, hash })
    }
}

/// SHA-256 over the line without its own hash and MAC, keys in order.
fn hash_of(line: &Map<String, Value>) -> [u8; 32] {
    let sorted: BTreeMap<&String, &Value> = line.iter().filter(|(key, _)| !["hash", "mac"].contains(&key.as_str())).collect();
    Sha256::digest(serde_json::to_vec(&sorted).expect("a map of plain values is JSON")).into()
}

/// A line that was read.
pub(crate) struct Line {
    map: Map<String, Value>,
    pub(crate) link: Link,
}

impl Line {
    pub(crate) fn parse(text: &[u8], expected: u64) -> Result<Self, Broken> {
        let map: Map<String, Value> = serde_json::from_slice(text).map_err(|_| Broken::Unreadable(expected))?;
        let seq = map.get("seq").and_then(Value::as_u64).ok_or(Broken::Unreadable(expected))?;
        let hash = map.get("hash").and_then(Value::as_str).ok_or(Broken::Unreadable(expected))?.to_owned();
        Ok(Self { map, link: Link { seq, hash } })
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.map.get(key).and_then(Value::as_str)
    }
}

/// Follows a chain line by line, from its beginning or from a line that is known.
pub(crate) struct Follower<'k> {
    chain: String,
    /// Absent: only the hashes are looked at, as anybody can.
    key: Option<&'k AuditKey>,
    pub(crate) last: Link,
    /// Lines that are known to have been written.
    known: Vec<Link>,
}

impl<'k> Follower<'k> {
    pub(crate) fn new(chain: &str, key: Option<&'k AuditKey>, known: Vec<Link>) -> Self {
        Self { chain: chain.to_owned(), key, last: Link::default(), known }
    }

    pub(crate) fn take(&mut self, text: &[u8]) -> Result<Line, Broken> {
        let expected = self.last.seq + 1;
        let line = Line::parse(text, expected)?;
        let follows = line.text("prev") == Some(self.last.hash.as_str()) && line.link.seq == expected;
        if !follows || line.text("chain") != Some(self.chain.as_str()) {
            return Err(Broken::Hash(expected));
        }
        self.stands(&line)?;
        self.last = line.link.clone();
        Ok(line)
    }

    /// Begins behind a line in the middle.
    pub(crate) fn begin_at(&mut self, line: &Line) -> Result<(), Broken> {
        self.stands(line)?;
        self.last = line.link.clone();
        Ok(())
    }

    /// Whether a line is what it says, by itself.
    fn stands(&self, line: &Line) -> Result<(), Broken> {
        let seq = line.link.seq;
        let digest = hash_of(&line.map);
        if hex::encode(digest) != line.link.hash {
            return Err(Broken::Hash(seq));
        }
        let mac = || line.text("mac").and_then(|mac| hex::decode(mac).ok()).unwrap_or_default();
        if self.key.is_some_and(|key| !key.verifies(&digest, &mac())) {
            return Err(Broken::Mac(seq));
        }
        if self.known.iter().any(|known| known.seq == seq && known.hash != line.link.hash) {
            return Err(Broken::Head(seq));
        }
        Ok(())
    }

    /// The end: everything that is known to have been written was there.
    pub(crate) fn end(&self) -> Result<u64, Broken> {
        let known = self.known.iter().map(|known| known.seq).max().unwrap_or_default();
        if self.last.seq < known { Err(Broken::Short { found: self.last.seq, known }) } else { Ok(self.last.seq) }
    }
}

/// Checks the hashes of exported chains, and of those that lie in several files, one behind the other.
#[derive(Default)]
pub(crate) struct Verifier {
    chains: BTreeMap<String, Follower<'static>>,
}

impl Verifier {
    /// Checks one more file; answers with the end of each chain in it, whose lines may lie behind each other. Whether that is all of it, and
    /// from whom, the heads in the Region's status and the keeper's key tell.
    ///
    /// # Errors
    /// The first line that is not what it should be. One with the number 1 begins its chain anew in each file.
    pub(crate) fn take(&mut self, text: &str) -> Result<BTreeMap<String, (u64, String)>, Broken> {
        let mut there = BTreeSet::new();
        for (number, line) in (1..).zip(text.lines()) {
            let read = Line::parse(line.as_bytes(), number)?;
            let chain = read.text("chain").ok_or(Broken::Unreadable(number))?;
            if there.insert(chain.to_owned()) && read.link.seq == 1 {
                self.chains.remove(chain);
            }
            let follower = self.chains.entry(chain.to_owned()).or_insert_with(|| Follower::new(chain, None, Vec::new()));
            follower.take(line.as_bytes())?;
        }
        let ends = self.chains.iter().filter(|(chain, _)| there.contains(*chain));
        Ok(ends.map(|(chain, follower)| (chain.clone(), (follower.last.seq, follower.last.hash.clone()))).collect())
    }
}

/// Checks the hashes of exported chains in one text.
///
/// # Errors
/// See [`Verifier::take`].
pub fn verify(text: &str) -> Result<BTreeMap<String, (u64, String)>, Broken> {
    Verifier::default().take(text)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use envelope::{RootCustody, Scope, SecretRoot, TenantKey, TenantRing, WrappedKey};

    pub(crate) fn key() -> AuditKey {
        let scope = Scope { region: "eu".into(), installation_uid: "i".into(), tenant_uid: "r".into() };
        let key = TenantKey::generate(&mut rand::rng());
        let wrapped = WrappedKey { provider: "none".into(), key_version: "none".into(), ciphertext: Vec::new() };
        let ring = TenantRing::begin(key.kid(), wrapped, Timestamp::UNIX_EPOCH);
        ring.unlock(&scope, [key]).ok().unwrap().audit_key().ok().unwrap()
    }

    /// The key of a ring that the version before format 2 stored.
    pub(crate) fn first_import_key() -> AuditKey {
        let stored = include_str!("../../../crates/envelope/tests/first-import/stored.json");
        let stored: Value = serde_json::from_str(stored).unwrap();
        let scope = Scope {
            region: "eu-frankfurt".into(),
            installation_uid: "5d0c6d0a-1f0e-4b5e-9d57-9b2d7e6f0a11".into(),
            tenant_uid: "9f3b8c52-7d0d-4a27-8c1c-0c6a4d1e2f33".into(),
        };
        let root = SecretRoot::parse(stored["rootKeys"]["secret"].as_str().unwrap().as_bytes()).ok().unwrap();
        let ring = TenantRing::from_json(stored["rings"]["secret"].as_str().unwrap().as_bytes(), "secret").ok().unwrap();
        let unwrap =
            |(kid, wrapped): (_, &WrappedKey)| root.unwrap(kid, &TenantRing::context(&scope, kid), &wrapped.ciphertext).ok().unwrap();
        let keys: Vec<TenantKey> = ring.wrapped().map(unwrap).collect();
        ring.unlock(&scope, keys).ok().unwrap().audit_key().ok().unwrap()
    }

    fn chain(key: &AuditKey) -> (Vec<String>, Link) {
        let mut link = Link::default();
        let mut lines = Vec::new();
        for file in ["a", "b", "c"] {
            let (line, next) = link.next("k", Event::new("FileBorn").with("file", file), Timestamp::UNIX_EPOCH, key);
            lines.push(line.trim_end().to_owned());
            link = next;
        }
        (lines, link)
    }

    fn follow(key: &AuditKey, lines: &[&str], known: Option<Link>) -> Result<u64, Broken> {
        let mut follower = Follower::new("k", Some(key), known.into_iter().collect());
        for line in lines {
            follower.take(line.as_bytes())?;
        }
        follower.end()
    }

    #[test]
    fn a_line_stays_short_whatever_a_caller_sends() {
        let event = Event::new("CallRefused").with("run", "\u{1}".repeat(100_000));
        let (line, _) = Link::default().next("k", event, Timestamp::UNIX_EPOCH, &key());
        assert!(line.len() < 2_000, "{}", line.len());
    }

    #[test]
    fn a_line_changed_removed_added_or_moved_is_seen_and_so_is_an_end_cut_off() {
        let key = key();
        let (lines, end) = chain(&key);
        let [a, b, c] = [&lines[0], &lines[1], &lines[2]].map(String::as_str);
        assert_eq!(follow(&key, &[a, b, c], Some(end.clone())), Ok(3), "control: a whole one is whole");
        assert_eq!(follow(&key, &[a, b, c], None), Ok(3), "control: lines behind the last head are, too");
        assert_eq!(follow(&key, &[a, &b.replace(r#""file":"b""#, r#""file":"x""#), c], None), Err(Broken::Hash(2)));
        assert_eq!(follow(&key, &[a, c], None), Err(Broken::Hash(2)));
        assert_eq!(follow(&key, &[b, a, c], None), Err(Broken::Hash(1)));
        assert_eq!(follow(&key, &[a, "x"], None), Err(Broken::Unreadable(2)));
        for left in [0, 1, 2] {
            assert_eq!(follow(&key, &[a, b, c][..left], Some(end.clone())), Err(Broken::Short { found: left as u64, known: 3 }));
        }
    }

    #[test]
    fn a_chain_that_somebody_else_wrote_whole_is_not_ours() {
        let (ours, theirs) = (key(), key());
        let (lines, _) = chain(&theirs);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert!(verify(&lines.join("\n")).is_ok(), "control: its hashes are right");
        assert_eq!(follow(&ours, &lines, None), Err(Broken::Mac(1)));
        // The same number of other lines, even with the key: the head tells.
        let (known, _) = Link::default().next("k", Event::new("Other"), Timestamp::UNIX_EPOCH, &theirs);
        let known = Line::parse(known.as_bytes(), 1).ok().unwrap().link;
        assert_eq!(follow(&theirs, &lines, Some(known)), Err(Broken::Head(1)));
    }

    #[test]
    fn files_that_lie_one_behind_the_other_are_checked_as_one_chain_and_a_first_line_begins_it_anew() {
        let (lines, end) = chain(&key());
        let (first, rest) = (lines[0].clone(), lines[1..].join("\n"));
        let mut verifier = Verifier::default();
        assert_eq!(verifier.take(&first).unwrap()["k"].0, 1);
        assert_eq!(verifier.take(&rest), Ok(BTreeMap::from([("k".to_owned(), (3, end.hash))])));
        assert_eq!(verifier.take(&first).unwrap()["k"].0, 1, "another export");
        assert_eq!(verifier.take(&lines[2]), Err(Broken::Hash(2)), "the one between is missing");
        assert_eq!(Verifier::default().take(&rest), Err(Broken::Hash(1)));
    }

    #[test]
    fn another_chain_of_ours_does_not_stand_in_for_this_one() {
        let key = key();
        let (line, _) = Link::default().next("other", Event::new("FileBorn"), Timestamp::UNIX_EPOCH, &key);
        assert_eq!(follow(&key, &[line.trim_end()], None), Err(Broken::Hash(1)));
    }
}
