//! The region's root key, wherever it is held. It wraps tenant keys and nothing else.
//!
//! Custody is the edge: what is here is given its bytes and does no I/O.

mod file;
mod secret;

pub use file::FileRoot;
pub use secret::SecretRoot;

use rand::CryptoRng;

use crate::context::EncryptionContext;
use crate::error::{CustodyError, OpenError};
use crate::header::{Header, Purpose};
use crate::keys::{KeyBytes, Kid, RootKey, TenantKey};
use crate::record::{open_under, seal_under};

/// The holder of the root key. `context` names the tenant and the kid of the tenant key.
pub trait RootCustody: Send + Sync {
    /// The root key that wraps now.
    ///
    /// # Errors
    /// [`CustodyError::NoActiveRootKey`] when none wraps.
    fn wrapping_kid(&self) -> Result<Kid, CustodyError>;

    /// Wraps a tenant key as a record of version `version` under the root key that wraps now.
    ///
    /// # Errors
    /// [`CustodyError::NoActiveRootKey`] when none wraps, [`CustodyError::BadRing`] when the ring does not have it.
    fn wrap(&self, key: &TenantKey, version: u64, context: &EncryptionContext, rng: &mut dyn CryptoRng) -> Result<Vec<u8>, CustodyError>;

    /// Unwraps the tenant key `kid`.
    ///
    /// # Errors
    /// [`CustodyError::UnknownRootKey`] when the root key that `record` names is not held, [`CustodyError::Open`] when it does not open.
    fn unwrap(&self, kid: Kid, context: &EncryptionContext, record: &[u8]) -> Result<TenantKey, CustodyError>;
}

fn wrap_under(root: &RootKey, key: &TenantKey, version: u64, context: &EncryptionContext, rng: &mut dyn CryptoRng) -> Vec<u8> {
    let header = Header { purpose: Purpose::TenantKey, kid: root.kid, version };
    seal_under(&root.bytes, &header, context, key.bytes.expose(), rng)
}

fn unwrap_under(root: &RootKey, kid: Kid, context: &EncryptionContext, record: &[u8]) -> Result<TenantKey, CustodyError> {
    let header = Header::expect(record, Purpose::TenantKey, root.kid)?;
    let content = open_under(&root.bytes, &header, context, record)?;
    let bytes = KeyBytes::from_slice(&content.plaintext).ok_or(OpenError::Malformed)?;
    Ok(TenantKey { kid, bytes })
}
