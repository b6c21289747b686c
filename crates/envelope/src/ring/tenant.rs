//! A tenant's ring as stored: states, times, and each key wrapped by the root key.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rand::CryptoRng;

use super::{KeyRing, Ring};
use crate::context::{Context, Scope};
use crate::error::{CustodyError, RingError};
use crate::header::Header;
use crate::keys::{Kid, TenantKey};
use crate::root::RootCustody;

/// Holds nothing secret in the clear: it may be kept wherever its changes are guarded.
pub type TenantRing = Ring<Wrapped>;

/// A record of purpose `tenant key`.
pub struct Wrapped(pub(super) Vec<u8>);

/// What a wrapped key is bound to, so that a ring copied to another tenant, installation or region stays shut.
fn bound(scope: &Scope, kid: Kid) -> Context {
    Context {
        scope: scope.clone(),
        namespace: String::new(),
        kind: "TenantKey".into(),
        name: String::new(),
        uid: kid.to_string(),
        endpoint_digest: String::new(),
        field_set: BTreeSet::new(),
    }
}

fn refused(kid: Kid) -> impl Fn(CustodyError) -> RingError {
    move |source| RingError::Custody { kid, source }
}

fn wrapped_new(scope: &Scope, custody: &dyn RootCustody, rng: &mut dyn CryptoRng) -> Result<(Kid, Wrapped), RingError> {
    let key = TenantKey::generate(rng);
    let record = custody.wrap(&key, 1, &bound(scope, key.kid), rng).map_err(refused(key.kid))?;
    Ok((key.kid, Wrapped(record)))
}

impl TenantRing {
    /// The ring of a new tenant. To be written only where none exists.
    pub fn begin(scope: &Scope, custody: &dyn RootCustody, rng: &mut dyn CryptoRng, now: Timestamp) -> Result<Self, RingError> {
        let (kid, wrapped) = wrapped_new(scope, custody, rng)?;
        Ok(Self::with_first(kid, wrapped, now))
    }

    /// Carries out [`super::Step::Create`].
    pub fn create(&mut self, scope: &Scope, custody: &dyn RootCustody, rng: &mut dyn CryptoRng, now: Timestamp) -> Result<Kid, RingError> {
        let (kid, wrapped) = wrapped_new(scope, custody, rng)?;
        self.add(kid, wrapped, now)?;
        Ok(kid)
    }

    /// Unwraps every key that is not destroyed.
    pub fn unlock(&self, scope: &Scope, custody: &dyn RootCustody) -> Result<KeyRing, RingError> {
        let mut keys = BTreeMap::new();
        for entry in self.entries() {
            let key = match &entry.material {
                Some(Wrapped(record)) => Some(custody.unwrap(entry.kid, &bound(scope, entry.kid), record).map_err(refused(entry.kid))?),
                None => None,
            };
            keys.insert(entry.kid, key);
        }
        Ok(KeyRing::new(scope.clone(), self.revision(), self.active().map(|entry| entry.kid), keys))
    }

    /// Wraps again, under the root key that wraps now, every key that is wrapped under another. Answers how many there were.
    pub fn rewrap(&mut self, scope: &Scope, custody: &dyn RootCustody, rng: &mut dyn CryptoRng) -> Result<usize, RingError> {
        let mut rewrapped = 0;
        for entry in &mut self.keys {
            let Some(Wrapped(record)) = &mut entry.material else { continue };
            let header = Header::parse(record)?;
            if header.kid == custody.wrapping_kid().map_err(refused(entry.kid))? {
                continue;
            }
            let context = bound(scope, entry.kid);
            let key = custody.unwrap(entry.kid, &context, record).map_err(refused(entry.kid))?;
            *record = custody.wrap(&key, header.version + 1, &context, rng).map_err(refused(entry.kid))?;
            rewrapped += 1;
        }
        self.revision += u64::from(rewrapped > 0);
        Ok(rewrapped)
    }

    /// How many keys of this ring each root key wraps: the records of the root ring.
    pub fn wrapped_under(&self) -> BTreeMap<Kid, u64> {
        let mut counts = BTreeMap::new();
        for Wrapped(record) in self.keys.iter().filter_map(|entry| entry.material.as_ref()) {
            if let Ok(header) = Header::parse(record) {
                *counts.entry(header.kid).or_default() += 1;
            }
        }
        counts
    }
}
