//! A ring of root keys in the clear, as custody `secret` keeps it.

use jiff::Timestamp;
use rand::CryptoRng;

use super::Ring;
use crate::error::RingError;
use crate::keys::{KeyBytes, Kid, RootKey};

/// A process that can read it can open everything of the region.
pub type RootRing = Ring<RootKey>;

fn generate(rng: &mut dyn CryptoRng) -> RootKey {
    RootKey { kid: Kid::generate(rng), bytes: KeyBytes::generate(rng) }
}

impl RootRing {
    /// The ring of a new region. To be written only where none exists.
    pub fn begin(rng: &mut dyn CryptoRng, now: Timestamp) -> Self {
        let key = generate(rng);
        Self::with_first(key.kid, key, now)
    }

    /// Carries out [`super::Step::Create`].
    ///
    /// # Errors
    /// [`RingError::AlreadyWaiting`] when a key waits for its promotion.
    pub fn create(&mut self, rng: &mut dyn CryptoRng, now: Timestamp) -> Result<Kid, RingError> {
        let key = generate(rng);
        let kid = key.kid;
        self.add(kid, key, now)?;
        Ok(kid)
    }

    pub(crate) fn root_key(&self, kid: Kid) -> Result<&RootKey, RingError> {
        self.material(kid)
    }
}
