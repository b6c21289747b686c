//! Root keys as a JSON ring in a Kubernetes Secret that the keeper keeps and rotates itself. An account that reads that Secret reads everything: for trials.

use rand::CryptoRng;
use zeroize::Zeroizing;

use super::{RootCustody, unwrap_under, wrap_under};
use crate::context::EncryptionContext;
use crate::error::{CustodyError, RingError};
use crate::header::Header;
use crate::keys::{Kid, TenantKey};
use crate::ring::RootRing;

/// Rotation is that of [`RootRing`]; its records are the wrapped tenant keys.
/// A ring of root keys that the keeper keeps in a Secret.
pub struct SecretRoot(RootRing);

impl SecretRoot {
    /// Root keys of a ring that was just begun, or read.
    pub fn new(ring: RootRing) -> Self {
        Self(ring)
    }

    /// Reads the content of the Secret.
    ///
    /// # Errors
    /// [`CustodyError::BadRing`] when it is no ring of root keys.
    pub fn parse(content: &[u8]) -> Result<Self, CustodyError> {
        RootRing::from_json(content).map(Self).map_err(bad_ring)
    }

    /// The content of the Secret.
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        self.0.to_json()
    }

    /// The ring, to decide on its rotation.
    pub fn ring(&self) -> &RootRing {
        &self.0
    }

    /// The ring, to carry a step of its rotation out. What was changed is to be written back.
    pub fn ring_mut(&mut self) -> &mut RootRing {
        &mut self.0
    }
}

fn bad_ring(error: RingError) -> CustodyError {
    CustodyError::BadRing(Box::new(error))
}

impl RootCustody for SecretRoot {
    fn wrapping_kid(&self) -> Result<Kid, CustodyError> {
        self.0.active().map(|entry| entry.kid()).ok_or(CustodyError::NoActiveRootKey)
    }

    fn wrap(&self, key: &TenantKey, version: u64, context: &EncryptionContext, rng: &mut dyn CryptoRng) -> Result<Vec<u8>, CustodyError> {
        let active = self.0.root_key(self.wrapping_kid()?).map_err(bad_ring)?;
        Ok(wrap_under(active, key, version, context, rng))
    }

    fn unwrap(&self, kid: Kid, context: &EncryptionContext, record: &[u8]) -> Result<TenantKey, CustodyError> {
        let root = Header::parse(record)?.kid;
        let held = self.0.root_key(root).map_err(|_| CustodyError::UnknownRootKey(root))?;
        unwrap_under(held, kid, context, record)
    }
}
