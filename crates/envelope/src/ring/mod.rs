//! A ring of keys and the life of each: which one seals, which ones still open, which ones are gone.
//!
//! [`Ring`] is the states and times, whatever the material of a key is: a wrapped tenant key ([`TenantRing`]) or a root key in the clear ([`RootRing`]).
//! [`KeyRing`] is a tenant ring opened, held in memory by the process that seals and opens.

#[cfg(test)]
mod asked;
mod open;
mod root;
mod rotation;
mod stored;
mod tenant;
mod wrapped;
#[cfg(test)]
mod year;

pub use open::{KeyRing, Opened};
pub use root::RootRing;
pub use rotation::{Observed, Policy, Request, Step};
pub use tenant::TenantRing;
pub use wrapped::WrappedKey;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::RingError;
use crate::keys::Kid;

/// Names of destroyed keys that a ring keeps; older ones are forgotten.
const DESTROYED_KEPT: usize = 16;

/// What a key of a ring may be used for. States only go forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyState {
    /// Stored for every keeper to read, seals nothing yet. Opens: another keeper may have read of its promotion earlier.
    PreActive,
    /// Seals and opens. At most one.
    Active,
    /// Opens what is still sealed under it.
    DecryptOnly,
    /// Declared known to others. Opens, so that its records can be sealed again under another; never seals.
    Compromised,
    /// Its material is gone; only the name is left.
    Destroyed,
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PreActive => "pre-active",
            Self::Active => "active",
            Self::DecryptOnly => "decrypt-only",
            Self::Compromised => "compromised",
            Self::Destroyed => "destroyed",
        })
    }
}

/// One key of a ring.
pub struct Entry<M> {
    kid: Kid,
    state: KeyState,
    created: Timestamp,
    created_at_revision: u64,
    activated: Option<Timestamp>,
    /// When it stopped sealing, and the ring's revision that says so.
    retired: Option<(Timestamp, u64)>,
    /// When every replica had read of that.
    settling_since: Option<Timestamp>,
    destroyed: Option<Timestamp>,
    /// `None` exactly when destroyed.
    material: Option<M>,
}

impl<M> Entry<M> {
    /// The id of the key.
    pub fn kid(&self) -> Kid {
        self.kid
    }

    /// What the key may be used for.
    pub fn state(&self) -> KeyState {
        self.state
    }

    /// When the key was made.
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// When the key began to seal; `None` if it never did.
    pub fn activated(&self) -> Option<Timestamp> {
        self.activated
    }
}

/// Keys in the order they were made, and a revision that grows with every change.
pub struct Ring<M> {
    revision: u64,
    keys: Vec<Entry<M>>,
}

impl<M> Ring<M> {
    /// A ring with its first key, active at once: nothing was sealed before it, and a keeper that loads this ring holds it.
    pub(crate) fn with_first(kid: Kid, material: M, now: Timestamp) -> Self {
        let mut ring = Self { revision: 0, keys: Vec::new() };
        ring.push(kid, KeyState::Active, material, now);
        ring.keys[0].activated = Some(now);
        ring
    }

    /// Adds a key that waits for its promotion.
    pub(crate) fn add(&mut self, kid: Kid, material: M, now: Timestamp) -> Result<(), RingError> {
        if let Some(waiting) = self.waiting() {
            return Err(RingError::AlreadyWaiting(waiting.kid));
        }
        if self.keys.iter().any(|entry| entry.kid == kid) {
            return Err(RingError::RepeatedKey(kid));
        }
        self.push(kid, KeyState::PreActive, material, now);
        Ok(())
    }

    fn push(&mut self, kid: Kid, state: KeyState, material: M, now: Timestamp) {
        self.revision += 1;
        self.keys.push(Entry {
            kid,
            state,
            created: now,
            created_at_revision: self.revision,
            activated: None,
            retired: None,
            settling_since: None,
            destroyed: None,
            material: Some(material),
        });
    }

    /// Grows by one with every change; a ring that was just begun has 1.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Every key, in the order they were made.
    pub fn entries(&self) -> impl Iterator<Item = &Entry<M>> {
        self.keys.iter()
    }

    /// The key that seals.
    pub fn active(&self) -> Option<&Entry<M>> {
        self.keys.iter().find(|entry| entry.state == KeyState::Active)
    }

    fn waiting(&self) -> Option<&Entry<M>> {
        self.keys.iter().find(|entry| entry.state == KeyState::PreActive)
    }

    /// The waiting key starts to seal; the one that sealed until now only opens.
    ///
    /// # Errors
    /// [`RingError::UnknownKey`] when it is not in the ring, [`RingError::Transition`] when it does not wait.
    pub fn promote(&mut self, kid: Kid, now: Timestamp) -> Result<(), RingError> {
        self.find(kid, KeyState::Active, |state| state == KeyState::PreActive)?;
        let revision = self.revision + 1;
        for entry in &mut self.keys {
            if entry.state == KeyState::Active {
                entry.state = KeyState::DecryptOnly;
                entry.retired = Some((now, revision));
            } else if entry.kid == kid {
                entry.state = KeyState::Active;
                entry.activated = Some(now);
            }
        }
        self.revision = revision;
        Ok(())
    }

    /// The key never seals again. If it was active, nothing is sealed until the next is promoted.
    ///
    /// # Errors
    /// [`RingError::UnknownKey`] when it is not in the ring, [`RingError::Transition`] when it is compromised or destroyed already.
    pub fn declare_compromised(&mut self, kid: Kid, now: Timestamp) -> Result<(), RingError> {
        let revision = self.revision + 1;
        let usable = |state| matches!(state, KeyState::PreActive | KeyState::Active | KeyState::DecryptOnly);
        let entry = self.find(kid, KeyState::Compromised, usable)?;
        entry.state = KeyState::Compromised;
        entry.retired.get_or_insert((now, revision));
        self.revision = revision;
        Ok(())
    }

    /// Every replica has read of the retirement of this key.
    ///
    /// # Errors
    /// [`RingError::UnknownKey`] when it is not in the ring, [`RingError::Transition`] when it was not retired.
    pub fn settle(&mut self, kid: Kid, now: Timestamp) -> Result<(), RingError> {
        let retired = |state| matches!(state, KeyState::DecryptOnly | KeyState::Compromised);
        let entry = self.find(kid, KeyState::Destroyed, retired)?;
        entry.settling_since.get_or_insert(now);
        self.revision += 1;
        Ok(())
    }

    /// Drops the material for good, and the names of keys that were destroyed long before. When that may happen is [`Ring::decide`]'s to say.
    ///
    /// # Errors
    /// [`RingError::UnknownKey`] when it is not in the ring, [`RingError::Transition`] when it was not retired.
    pub fn destroy(&mut self, kid: Kid, now: Timestamp) -> Result<(), RingError> {
        let retired = |state| matches!(state, KeyState::DecryptOnly | KeyState::Compromised);
        let entry = self.find(kid, KeyState::Destroyed, retired)?;
        entry.state = KeyState::Destroyed;
        entry.destroyed = Some(now);
        entry.material = None;
        self.revision += 1;
        self.forget_destroyed();
        Ok(())
    }

    /// What is destroyed opens nothing, so only its name goes.
    fn forget_destroyed(&mut self) {
        let destroyed = self.keys.iter().filter(|entry| entry.state == KeyState::Destroyed).count();
        let mut surplus = destroyed.saturating_sub(DESTROYED_KEPT);
        self.keys.retain(|entry| {
            let goes = surplus > 0 && entry.state == KeyState::Destroyed;
            surplus -= usize::from(goes);
            !goes
        });
    }

    fn find(&mut self, kid: Kid, wanted: KeyState, allowed: impl Fn(KeyState) -> bool) -> Result<&mut Entry<M>, RingError> {
        match self.keys.iter_mut().find(|entry| entry.kid == kid) {
            None => Err(RingError::UnknownKey(kid)),
            Some(entry) if allowed(entry.state) => Ok(entry),
            Some(entry) => Err(RingError::Transition { kid, state: entry.state, wanted }),
        }
    }

    fn material(&self, kid: Kid) -> Result<&M, RingError> {
        let entry = self.keys.iter().find(|entry| entry.kid == kid).ok_or(RingError::UnknownKey(kid))?;
        entry.material.as_ref().ok_or(RingError::DestroyedKey(kid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kid(byte: u8) -> Kid {
        Kid::from_bytes([byte; 16])
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn states(ring: &Ring<()>) -> Vec<KeyState> {
        ring.entries().map(Entry::state).collect()
    }

    #[test]
    fn a_key_passes_through_its_states_and_every_change_is_a_revision() {
        use KeyState::*;
        let mut ring = Ring::with_first(kid(1), (), at(0));
        assert_eq!((states(&ring), ring.revision()), (vec![Active], 1));
        ring.add(kid(2), (), at(1)).unwrap();
        assert_eq!((states(&ring), ring.revision()), (vec![Active, PreActive], 2));
        ring.promote(kid(2), at(2)).unwrap();
        assert_eq!((states(&ring), ring.revision()), (vec![DecryptOnly, Active], 3));
        ring.destroy(kid(1), at(3)).unwrap();
        assert_eq!((states(&ring), ring.revision()), (vec![Destroyed, Active], 4));
        assert_eq!(ring.material(kid(1)), Err(RingError::DestroyedKey(kid(1))));
        assert_eq!(ring.material(kid(3)), Err(RingError::UnknownKey(kid(3))));
        ring.declare_compromised(kid(2), at(4)).unwrap();
        assert_eq!((states(&ring), ring.active().is_none()), (vec![Destroyed, Compromised], true));
    }

    #[test]
    fn a_change_out_of_turn_is_refused_and_changes_nothing() {
        let mut ring = Ring::with_first(kid(1), (), at(0));
        let refused = |state, wanted| Err(RingError::Transition { kid: kid(1), state, wanted });
        assert_eq!(ring.promote(kid(1), at(1)), refused(KeyState::Active, KeyState::Active));
        assert_eq!(ring.destroy(kid(1), at(1)), refused(KeyState::Active, KeyState::Destroyed));
        assert_eq!(ring.destroy(kid(9), at(1)), Err(RingError::UnknownKey(kid(9))));
        assert_eq!(ring.add(kid(1), (), at(1)), Err(RingError::RepeatedKey(kid(1))));
        assert_eq!(ring.revision(), 1);
        ring.add(kid(2), (), at(1)).unwrap();
        assert_eq!(ring.add(kid(3), (), at(1)), Err(RingError::AlreadyWaiting(kid(2))));
        ring.promote(kid(2), at(2)).unwrap();
        ring.declare_compromised(kid(1), at(3)).unwrap();
        ring.destroy(kid(1), at(4)).unwrap();
        assert_eq!(ring.declare_compromised(kid(1), at(5)), refused(KeyState::Destroyed, KeyState::Compromised));
    }
}
