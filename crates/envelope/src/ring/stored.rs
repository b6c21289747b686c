//! A ring as JSON. Reading checks what the states promise, so that a ring in memory is always a valid one.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::wrapped::WrappedKey;
use super::{Entry, KeyState, Ring, RootRing, TenantRing};
use crate::error::RingError;
use crate::header::Header;
use crate::keys::{KeyBytes, Kid, RootKey};

/// How the material of a key is written.
trait Material: Sized {
    /// The format that is written, which is the newest one that is read.
    const FORMAT: u32;

    fn write(&self) -> Written;

    /// `None` when it cannot be material of a ring of this format. `unsaid`: who wrapped, where a format does not say it.
    fn read(kid: Kid, format: u32, written: Written, unsaid: &str) -> Option<Self>;
}

/// The material of one key, in the words of any format.
struct Written {
    /// Format 1: a wrapped key as hex, by a wrapper that is not named. In a root ring: the key itself as hex.
    material: Option<Text>,
    /// Format 2: a wrapped key and its wrapper.
    wrapped: Option<StoredWrapped>,
}

impl Material for WrappedKey {
    const FORMAT: u32 = 2;

    fn write(&self) -> Written {
        let Self { provider, key_version, ciphertext } = self.clone();
        let wrapped = StoredWrapped { provider, key_version, ciphertext: hex::encode(ciphertext) };
        Written { material: None, wrapped: Some(wrapped) }
    }

    fn read(_: Kid, format: u32, written: Written, unsaid: &str) -> Option<Self> {
        match (format, written) {
            (1, Written { material: Some(Text(text)), wrapped: None }) => {
                let ciphertext = hex::decode(text.as_str()).ok()?;
                // Only root keys that are held here wrapped then, and what they wrapped names them.
                let key_version = Header::parse(&ciphertext).ok()?.kid.to_string();
                Some(Self { provider: unsaid.to_owned(), key_version, ciphertext })
            }
            (2, Written { material: None, wrapped: Some(StoredWrapped { provider, key_version, ciphertext }) }) => {
                Some(Self { provider, key_version, ciphertext: hex::decode(ciphertext).ok()? })
            }
            _ => None,
        }
    }
}

impl Material for RootKey {
    const FORMAT: u32 = 1;

    fn write(&self) -> Written {
        Written { material: Some(Text(self.bytes.to_hex())), wrapped: None }
    }

    fn read(kid: Kid, _: u32, written: Written, _: &str) -> Option<Self> {
        let Written { material: Some(Text(text)), wrapped: None } = written else { return None };
        Some(Self { kid, bytes: KeyBytes::from_hex(&text)? })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoredRing {
    format: u32,
    revision: u64,
    keys: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoredKey {
    kid: Kid,
    state: KeyState,
    created: Timestamp,
    created_at_revision: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    activated: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retired: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retired_at_revision: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settling_since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    destroyed: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    material: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wrapped: Option<StoredWrapped>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoredWrapped {
    provider: String,
    key_version: String,
    ciphertext: String,
}

/// Text that may be a key: wiped when dropped.
struct Text(Zeroizing<String>);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

impl TenantRing {
    /// The ring as it is stored, in the newest format.
    pub fn to_json(&self) -> Vec<u8> {
        encode(self).to_vec()
    }

    /// `unsaid`: who wrapped the keys of a ring of format 1, which does not say it.
    ///
    /// # Errors
    /// [`RingError::Invalid`] when it is no ring, one that breaks a promise of the states, or of a format that a newer version wrote.
    pub fn from_json(content: &[u8], unsaid: &str) -> Result<Self, RingError> {
        decode(content, unsaid)
    }
}

impl RootRing {
    pub(crate) fn to_json(&self) -> Zeroizing<Vec<u8>> {
        encode(self)
    }

    pub(crate) fn from_json(content: &[u8]) -> Result<Self, RingError> {
        decode(content, "")
    }
}

fn encode<M: Material>(ring: &Ring<M>) -> Zeroizing<Vec<u8>> {
    let stored = StoredRing { format: M::FORMAT, revision: ring.revision, keys: ring.keys.iter().map(StoredKey::of).collect() };
    // Large enough from the start: a buffer that grows leaves its old bytes behind, and these may be keys.
    let mut json = Zeroizing::new(Vec::with_capacity(64 + 1024 * ring.keys.len()));
    serde_json::to_writer(&mut *json, &stored).expect("a ring has only string keys and a vector takes every write");
    json
}

fn decode<M: Material>(content: &[u8], unsaid: &str) -> Result<Ring<M>, RingError> {
    // The parser's own words quote what they stumble over, which may be a key.
    let broken = |error: serde_json::Error| invalid(format!("no JSON of a ring at line {} column {}", error.line(), error.column()));
    let stored: StoredRing = serde_json::from_slice(content).map_err(broken)?;
    if !(1..=M::FORMAT).contains(&stored.format) {
        return Err(invalid(format!("format {} is not known to this version", stored.format)));
    }
    let keys = stored.keys.into_iter().map(|key| key.check(stored.format, unsaid)).collect::<Result<Vec<Entry<M>>, _>>()?;
    let ring = Ring { revision: stored.revision, keys };
    check(&ring)?;
    Ok(ring)
}

fn invalid(what: impl Into<String>) -> RingError {
    RingError::Invalid(what.into())
}

/// What no single key can show.
fn check<M>(ring: &Ring<M>) -> Result<(), RingError> {
    let mut kids = BTreeSet::new();
    if let Some(entry) = ring.keys.iter().find(|entry| !kids.insert(entry.kid)) {
        return Err(invalid(format!("key {} is in it twice", entry.kid)));
    }
    for state in [KeyState::Active, KeyState::PreActive] {
        if ring.keys.iter().filter(|entry| entry.state == state).count() > 1 {
            return Err(invalid(format!("more than one key is {state}")));
        }
    }
    let latest =
        ring.keys.iter().flat_map(|entry| [Some(entry.created_at_revision), entry.retired.map(|(_, revision)| revision)]).flatten().max();
    if latest.is_some_and(|latest| latest > ring.revision) {
        return Err(invalid("a key was changed at a later revision than the ring's"));
    }
    Ok(())
}

impl StoredKey {
    fn of<M: Material>(entry: &Entry<M>) -> Self {
        let written = entry.material.as_ref().map(Material::write);
        let (material, wrapped) = written.map_or((None, None), |Written { material, wrapped }| (material, wrapped));
        Self {
            kid: entry.kid,
            state: entry.state,
            created: entry.created,
            created_at_revision: entry.created_at_revision,
            activated: entry.activated,
            retired: entry.retired.map(|(at, _)| at),
            retired_at_revision: entry.retired.map(|(_, revision)| revision),
            settling_since: entry.settling_since,
            destroyed: entry.destroyed,
            material,
            wrapped,
        }
    }

    fn check<M: Material>(self, format: u32, unsaid: &str) -> Result<Entry<M>, RingError> {
        let kid = self.kid;
        let wrong = |what: &str| invalid(format!("key {kid} {what}"));
        let written = Written { material: self.material, wrapped: self.wrapped };
        let material = match (self.state, written.material.is_some() || written.wrapped.is_some()) {
            (KeyState::Destroyed, false) => None,
            (KeyState::Destroyed, true) => return Err(wrong("is destroyed but has material")),
            (_, false) => return Err(wrong("has no material")),
            (_, true) => Some(M::read(kid, format, written, unsaid).ok_or_else(|| wrong("has material that cannot be read"))?),
        };
        let retired = match (self.retired, self.retired_at_revision) {
            (Some(at), Some(revision)) => Some((at, revision)),
            (None, None) => None,
            _ => return Err(wrong("has only half of its retirement")),
        };
        match self.state {
            KeyState::PreActive if self.activated.is_some() || retired.is_some() => Err(wrong("waits but was active or retired")),
            KeyState::Active if self.activated.is_none() || retired.is_some() => Err(wrong("is active without a beginning or with an end")),
            KeyState::DecryptOnly | KeyState::Compromised | KeyState::Destroyed if retired.is_none() => Err(wrong("has no retirement")),
            _ => Ok(Entry {
                kid,
                state: self.state,
                created: self.created,
                created_at_revision: self.created_at_revision,
                activated: self.activated,
                retired,
                settling_since: self.settling_since,
                destroyed: self.destroyed,
                material,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::samples::scope;
    use crate::root::SecretRoot;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use serde_json::{Value, json};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ring() -> (TenantRing, SecretRoot) {
        let mut rng = StdRng::seed_from_u64(1);
        let root = SecretRoot::new(RootRing::begin(&mut rng, at(0)));
        let mut ring = TenantRing::begin_under(&scope(), &root, &mut rng, at(0)).unwrap();
        let second = ring.create_under(&scope(), &root, &mut rng, at(10)).unwrap();
        ring.promote(second, at(20)).unwrap();
        ring.create_under(&scope(), &root, &mut rng, at(30)).unwrap();
        (ring, root)
    }

    #[test]
    fn a_ring_comes_back_as_it_was_written() {
        let (mut ring, root) = ring();
        let first = ring.entries().next().unwrap().kid();
        ring.destroy(first, at(40)).unwrap();
        let json = ring.to_json();
        let again = TenantRing::from_json(&json, "secret").ok().unwrap();
        assert_eq!(String::from_utf8(again.to_json()).unwrap(), String::from_utf8(json).unwrap());
        assert_eq!(again.revision(), 5);
        assert!(again.unlock_under(&scope(), &root).is_ok());

        let json = root.to_json();
        assert_eq!(SecretRoot::parse(&json).ok().unwrap().to_json(), json);
    }

    #[test]
    fn a_ring_with_wrapped_keys_has_no_key_in_the_clear() {
        let (ring, root) = ring();
        let json = String::from_utf8(ring.to_json()).unwrap();
        let keys = ring.unlock_under(&scope(), &root).ok().unwrap();
        for entry in ring.entries() {
            let key = keys.key(entry.kid()).ok().unwrap();
            assert!(!json.contains(key.bytes.to_hex().as_str()));
        }
    }

    fn refusal(change: impl Fn(&mut Value)) -> String {
        let mut json: Value = serde_json::from_slice(&ring().0.to_json()).unwrap();
        change(&mut json);
        TenantRing::from_json(json.to_string().as_bytes(), "secret").err().expect("the ring is wrong").to_string()
    }

    #[test]
    fn a_ring_that_breaks_a_promise_is_refused() {
        assert!(refusal(|ring| ring["format"] = json!(3)).contains("format 3"));
        assert!(refusal(|ring| ring["format"] = json!(0)).contains("format 0"));
        assert!(refusal(|ring| ring["format"] = json!(1)).contains("cannot be read"), "a format has its own words and no others");
        assert!(refusal(|ring| ring["revision"] = json!(1)).contains("later revision"));
        assert!(refusal(|ring| ring["keys"][2]["kid"] = ring["keys"][1]["kid"].clone()).contains("twice"));
        assert!(refusal(|ring| ring["keys"][1].as_object_mut().unwrap().remove("wrapped").map_or((), drop)).contains("no material"));
        assert!(refusal(|ring| ring["keys"][1]["wrapped"]["ciphertext"] = json!("xyz")).contains("cannot be read"));
        assert!(refusal(|ring| ring["keys"][0]["state"] = json!("destroyed")).contains("has material"));
        assert!(refusal(|ring| ring["keys"][1]["state"] = json!("decryptOnly")).contains("no retirement"));
        assert!(refusal(|ring| ring["keys"][0]["retired"] = Value::Null).contains("half"));
        assert!(refusal(|ring| ring["keys"][2]["activated"] = json!("2026-01-01T00:00:00Z")).contains("waits"));
        let two = refusal(|ring| {
            ring["keys"][2]["state"] = json!("active");
            ring["keys"][2]["activated"] = json!("2026-01-01T00:00:00Z");
        });
        assert!(two.contains("more than one key is active"), "{two}");
    }

    #[test]
    fn a_message_about_broken_json_does_not_quote_it() {
        let message = refusal(|ring| ring["revision"] = json!("c0ffee"));
        assert!(message.contains("line 1 column") && !message.contains("c0ffee"), "{message}");
    }
}
