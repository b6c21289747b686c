//! Authenticates the lines of a region's audit: a MAC that an attacker who may write the lines, and holds no key, cannot make.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::error::RingError;
use crate::keys::{KeyBytes, hkdf_expand};
use crate::ring::KeyRing;

const LABEL: &[u8] = b"dataimporter.io/audit-line@v1";

/// Derived from a key of the region's own ring; knows nothing of lines.
/// The key that a region's audit is authenticated with.
pub struct AuditKey(KeyBytes);

impl AuditKey {
    /// HMAC-SHA-256 over the hash of a line.
    pub fn mac(&self, hash: &[u8]) -> [u8; 32] {
        self.over(hash).finalize().into_bytes().into()
    }

    /// Compares in constant time.
    /// Whether `mac` is that of the hash of this line.
    pub fn verifies(&self, hash: &[u8], mac: &[u8]) -> bool {
        self.over(hash).verify_slice(mac).is_ok()
    }

    fn over(&self, hash: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose()).expect("HMAC takes a key of any length");
        mac.update(hash);
        mac
    }
}

impl KeyRing {
    /// The key of an audit whose region this ring is of.
    ///
    /// # Errors
    /// [`RingError::NoActiveKey`] when no key of the ring is active.
    pub fn audit_key(&self) -> Result<AuditKey, RingError> {
        let derived = hkdf_expand::<32>(self.active()?.bytes.expose(), &[LABEL]);
        Ok(AuditKey(KeyBytes::from_slice(derived.as_slice()).expect("32 bytes were asked for")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::samples::scope;
    use crate::ring::{RootRing, TenantRing};
    use crate::root::SecretRoot;
    use jiff::Timestamp;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn key(seed: u64) -> AuditKey {
        let mut rng = StdRng::seed_from_u64(seed);
        let root = SecretRoot::new(RootRing::begin(&mut rng, Timestamp::UNIX_EPOCH));
        let ring = TenantRing::begin_under(&scope(), &root, &mut rng, Timestamp::UNIX_EPOCH).unwrap();
        ring.unlock_under(&scope(), &root).ok().unwrap().audit_key().ok().unwrap()
    }

    #[test]
    fn only_the_key_that_made_a_mac_verifies_it_and_only_over_the_same_hash() {
        let (ours, theirs) = (key(1), key(2));
        let mac = ours.mac(b"hash");
        assert!(ours.verifies(b"hash", &mac));
        assert!(!ours.verifies(b"hasg", &mac));
        assert!(!ours.verifies(b"hash", &mac[..31]));
        assert!(!theirs.verifies(b"hash", &mac));
    }
}
