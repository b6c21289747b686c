//! A tenant's ring as stored: states, times, and each key wrapped. Who wraps and unwraps is not its business: it is given wrapped keys to
//! keep, and unwrapped ones to open with.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::wrapped::WrappedKey;
use super::{KeyRing, Ring};
use crate::context::{EncryptionContext, Scope};
use crate::error::RingError;
use crate::keys::{Kid, TenantKey};

/// Holds nothing secret in the clear: it may be kept wherever its changes are guarded.
pub type TenantRing = Ring<WrappedKey>;

impl TenantRing {
    /// What a wrapped key is bound to, so that a ring copied to another tenant, installation or region stays shut.
    pub fn context(scope: &Scope, kid: Kid) -> EncryptionContext {
        EncryptionContext {
            scope: scope.clone(),
            namespace: String::new(),
            kind: "TenantKey".into(),
            name: String::new(),
            uid: kid.to_string(),
            endpoint_digest: String::new(),
            field_set: BTreeSet::new(),
        }
    }

    /// The ring of a new tenant. To be written only where none exists.
    pub fn begin(kid: Kid, wrapped: WrappedKey, now: Timestamp) -> Self {
        Self::with_first(kid, wrapped, now)
    }

    /// Carries out [`super::Step::Create`].
    ///
    /// # Errors
    /// A key waits already, or this one is in the ring.
    pub fn create(&mut self, kid: Kid, wrapped: WrappedKey, now: Timestamp) -> Result<(), RingError> {
        self.add(kid, wrapped, now)
    }

    /// Every key that is not destroyed, as it is wrapped.
    pub fn wrapped(&self) -> impl Iterator<Item = (Kid, &WrappedKey)> {
        self.entries().filter_map(|entry| Some((entry.kid, entry.material.as_ref()?)))
    }

    /// The opened ring. `keys` are those of [`TenantRing::wrapped`], unwrapped.
    ///
    /// # Errors
    /// [`RingError::UnknownKey`] when one of them is missing, or is none of this ring.
    pub fn unlock(&self, scope: &Scope, keys: impl IntoIterator<Item = TenantKey>) -> Result<KeyRing, RingError> {
        let mut given: BTreeMap<Kid, TenantKey> = keys.into_iter().map(|key| (key.kid, key)).collect();
        let mut keys = BTreeMap::new();
        for entry in self.entries() {
            let key = match &entry.material {
                Some(_) => Some(given.remove(&entry.kid).ok_or(RingError::UnknownKey(entry.kid))?),
                None => None,
            };
            keys.insert(entry.kid, key);
        }
        match given.into_keys().next() {
            Some(foreign) => Err(RingError::UnknownKey(foreign)),
            None => Ok(KeyRing::new(scope.clone(), self.active().map(|entry| entry.kid), keys)),
        }
    }

    /// Keeps these keys as they are wrapped now.
    ///
    /// # Errors
    /// [`RingError::UnknownKey`] when one is none of this ring, [`RingError::DestroyedKey`] when it was destroyed; nothing is changed then.
    pub fn rewrapped(&mut self, fresh: BTreeMap<Kid, WrappedKey>) -> Result<(), RingError> {
        for kid in fresh.keys() {
            self.material(*kid)?;
        }
        self.revision += u64::from(!fresh.is_empty());
        for (kid, wrapped) in fresh {
            if let Some(entry) = self.keys.iter_mut().find(|entry| entry.kid == kid) {
                entry.material = Some(wrapped);
            }
        }
        Ok(())
    }

    /// How many keys of this ring each version of a root key wraps.
    pub fn wrapped_under(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for (_, wrapped) in self.wrapped() {
            *counts.entry(wrapped.key_version.clone()).or_default() += 1;
        }
        counts
    }
}

/// How tests wrap: under a root key that they hold, without a wrapper in between.
#[cfg(test)]
pub(crate) mod testing {
    use rand::CryptoRng;

    use super::*;
    use crate::error::CustodyError;
    use crate::header::Header;
    use crate::root::RootCustody;

    fn refused(kid: Kid) -> impl Fn(CustodyError) -> RingError {
        move |source| RingError::Custody { kid, source }
    }

    fn wrapped_new(scope: &Scope, root: &dyn RootCustody, rng: &mut dyn CryptoRng) -> Result<(Kid, WrappedKey), RingError> {
        let key = TenantKey::generate(rng);
        let ciphertext = root.wrap(&key, 1, &TenantRing::context(scope, key.kid), rng).map_err(refused(key.kid))?;
        let key_version = root.wrapping_kid().map_err(refused(key.kid))?.to_string();
        Ok((key.kid, WrappedKey { provider: "secret".into(), key_version, ciphertext }))
    }

    impl TenantRing {
        pub(crate) fn begin_under(
            scope: &Scope,
            root: &dyn RootCustody,
            rng: &mut dyn CryptoRng,
            now: Timestamp,
        ) -> Result<Self, RingError> {
            let (kid, wrapped) = wrapped_new(scope, root, rng)?;
            Ok(Self::begin(kid, wrapped, now))
        }

        pub(crate) fn create_under(
            &mut self,
            scope: &Scope,
            root: &dyn RootCustody,
            rng: &mut dyn CryptoRng,
            now: Timestamp,
        ) -> Result<Kid, RingError> {
            let (kid, wrapped) = wrapped_new(scope, root, rng)?;
            self.create(kid, wrapped, now).map(|()| kid)
        }

        pub(crate) fn unlock_under(&self, scope: &Scope, root: &dyn RootCustody) -> Result<KeyRing, RingError> {
            let unwrap = |(kid, wrapped): (Kid, &WrappedKey)| {
                root.unwrap(kid, &Self::context(scope, kid), &wrapped.ciphertext).map_err(refused(kid))
            };
            let keys = self.wrapped().map(unwrap).collect::<Result<Vec<_>, _>>()?;
            self.unlock(scope, keys)
        }

        pub(crate) fn rewrap_under(&mut self, scope: &Scope, root: &dyn RootCustody, rng: &mut dyn CryptoRng) -> Result<usize, RingError> {
            let now = root.wrapping_kid().map_err(refused(Kid::from_bytes([0; 16])))?.to_string();
            let mut fresh = BTreeMap::new();
            for (kid, wrapped) in self.wrapped().filter(|(_, wrapped)| wrapped.key_version != now) {
                let context = Self::context(scope, kid);
                let key = root.unwrap(kid, &context, &wrapped.ciphertext).map_err(refused(kid))?;
                let version = Header::parse(&wrapped.ciphertext)?.version + 1;
                let ciphertext = root.wrap(&key, version, &context, rng).map_err(refused(kid))?;
                fresh.insert(kid, WrappedKey { key_version: now.clone(), ciphertext, ..wrapped.clone() });
            }
            let count = fresh.len();
            self.rewrapped(fresh).map(|()| count)
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::context::samples::scope;

    #[test]
    fn a_ring_is_unlocked_with_exactly_its_keys() {
        let mut rng = StdRng::seed_from_u64(5);
        let wrapped = || WrappedKey { provider: "p".into(), key_version: "1".into(), ciphertext: vec![1] };
        let (first, second) = (TenantKey::generate(&mut rng), TenantKey::generate(&mut rng));
        let mut ring = TenantRing::begin(first.kid, wrapped(), Timestamp::UNIX_EPOCH);
        let (kid, other) = (first.kid, second.kid);
        assert_eq!(ring.unlock(&scope(), []).err(), Some(RingError::UnknownKey(kid)));
        assert_eq!(ring.unlock(&scope(), [first, second]).err(), Some(RingError::UnknownKey(other)));
        assert_eq!(ring.rewrapped([(other, wrapped())].into()), Err(RingError::UnknownKey(other)));
        assert_eq!(ring.revision(), 1, "a refused change is none");
    }
}
