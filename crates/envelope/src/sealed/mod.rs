//! Credentials that lie in Git: sealed by anybody to the public key of a Region, opened by the keeper there, for the one Connection and endpoint that
//! they were sealed for.
//!
//! HPKE (RFC 9180) in base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. The format is written down in `docs/formats/sealed.md`.

mod content;

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::agreement::{PrivateKey, X25519};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256 as SUITE;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey};
use zeroize::Zeroizing;

use crate::context::field;
use crate::error::RingError;
use crate::keys::{Kid, TenantKey, hkdf_expand};
use crate::ring::KeyRing;

/// Stands before what the sender and the receiver agree on.
const LABEL: &[u8] = b"dataimporter.io/sealed@v1";
/// What the private key is derived from a key of the ring by.
const KEY_LABEL: &[u8] = b"dataimporter.io/seal-key@v1";
/// Length of an X25519 key, and of what HPKE encapsulates.
const KEY: usize = 32;

/// Names of the entries of a credential with what each holds; wiped when dropped.
pub type Entries = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// Where a sealed credential opens, and nowhere else.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Destination {
    /// Name of the Region.
    pub region: String,
    /// UID of the installation.
    pub installation_uid: String,
    /// Name of the Tenant. Not its UID: the Tenant may come from the same repository and not be there yet.
    pub tenant: String,
    /// Namespace of the Connection.
    pub namespace: String,
    /// Name of the Connection.
    pub connection: String,
    /// Digest of the one endpoint that the credential may be shown to, as `ConnectionSpec::endpoint_digest` writes it.
    pub endpoint_digest: String,
    /// Names of the entries: exactly those that logging in needs.
    pub entries: BTreeSet<String>,
}

impl Destination {
    /// HPKE's `info`.
    fn info(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        field(&mut bytes, LABEL);
        field(&mut bytes, self.region.as_bytes());
        field(&mut bytes, self.installation_uid.as_bytes());
        bytes
    }

    /// HPKE's `aad`.
    fn aad(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for value in [&self.tenant, &self.namespace, &self.connection, &self.endpoint_digest] {
            field(&mut bytes, value.as_bytes());
        }
        for name in &self.entries {
            field(&mut bytes, name.as_bytes());
        }
        bytes
    }
}

/// A sealed credential, as it stands in a Connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sealed {
    /// The key it was sealed to, 32 hexadecimal digits.
    pub kid: String,
    /// What HPKE encapsulates, base64.
    pub enc: String,
    /// The sealed content, base64.
    pub ciphertext: String,
}

/// A key that credentials are sealed to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicSealKey {
    /// Its id, as a sealed credential names it.
    pub kid: Kid,
    bytes: [u8; KEY],
}

impl PublicSealKey {
    /// Reads it as [`PublicSealKey::to_base64`] writes it. `None` unless it is 32 bytes.
    pub fn from_base64(kid: Kid, text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?.try_into().ok()?;
        Some(Self { kid, bytes })
    }

    /// The 32 bytes of the X25519 key.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.bytes)
    }

    /// Seals entries so that they open at this destination only.
    ///
    /// # Errors
    /// [`SealError::Entries`] when the entries are not those of the destination, [`SealError::BadKey`] when the key is none.
    pub fn seal(&self, destination: &Destination, entries: &Entries) -> Result<Sealed, SealError> {
        if !entries.keys().eq(&destination.entries) {
            return Err(SealError::Entries);
        }
        let key = HpkePublicKey(self.bytes.to_vec());
        let content = content::encode(entries);
        let (enc, ciphertext) = SUITE.seal(&destination.info(), &destination.aad(), &content, &key).map_err(|_| SealError::BadKey)?;
        Ok(Sealed { kid: self.kid.to_string(), enc: STANDARD.encode(enc.0), ciphertext: STANDARD.encode(ciphertext) })
    }
}

/// A key that opens what was sealed to its public half.
pub struct SealKey {
    public: PublicSealKey,
    private: HpkePrivateKey,
}

impl SealKey {
    fn derived(key: &TenantKey) -> Self {
        Self::of(key.kid(), &hkdf_expand(key.bytes.expose(), &[KEY_LABEL]))
    }

    fn of(kid: Kid, private: &[u8; KEY]) -> Self {
        let key = PrivateKey::from_private_key(&X25519, private).expect("any 32 bytes are a private key of X25519");
        let public = key.compute_public_key().expect("and each has a public one");
        let bytes = public.as_ref().try_into().expect("a public key of X25519 is 32 bytes");
        Self { public: PublicSealKey { kid, bytes }, private: HpkePrivateKey::from(private.to_vec()) }
    }

    /// What is published.
    pub fn public(&self) -> &PublicSealKey {
        &self.public
    }

    /// Opens a credential that was sealed for this destination.
    ///
    /// # Errors
    /// [`SealError::Malformed`] when it is none, [`SealError::NotForHere`] when it was sealed for another destination, to another key or was
    /// altered: which of these it is cannot be told.
    pub fn open(&self, destination: &Destination, sealed: &Sealed) -> Result<Entries, SealError> {
        let decoded = |text: &str| STANDARD.decode(text).map_err(|_| SealError::Malformed);
        let (enc, ciphertext) = (decoded(&sealed.enc)?, decoded(&sealed.ciphertext)?);
        if enc.len() != KEY {
            return Err(SealError::Malformed);
        }
        let opened = SUITE.open(&EncapsulatedSecret(enc), &destination.info(), &destination.aad(), &ciphertext, &self.private);
        let content = Zeroizing::new(opened.map_err(|_| SealError::NotForHere)?);
        content::decode(&content).filter(|entries| entries.keys().eq(&destination.entries)).ok_or(SealError::Malformed)
    }
}

impl KeyRing {
    /// The key that credentials are sealed to now. The ring is the Region's own, made for that.
    ///
    /// # Errors
    /// [`RingError::NoActiveKey`] when none is active.
    pub fn seal_key(&self) -> Result<SealKey, RingError> {
        self.active().map(SealKey::derived)
    }

    /// The key that a sealed credential names; no other is tried.
    ///
    /// # Errors
    /// [`RingError::UnknownKey`] when it is not in the ring, [`RingError::DestroyedKey`] when it was destroyed.
    pub fn seal_key_of(&self, kid: Kid) -> Result<SealKey, RingError> {
        self.key(kid).map(SealKey::derived)
    }
}

/// Sealing or opening was refused. No variant carries a byte of key or content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant is documented by its message")]
pub enum SealError {
    #[error("what is to be sealed are not the entries that the Connection logs in with")]
    Entries,
    #[error("the public key is none of X25519")]
    BadKey,
    #[error("what is sealed is not written as a sealed credential is")]
    Malformed,
    #[error("it was sealed for another place, or altered")]
    NotForHere,
}

#[cfg(test)]
mod tests;
