//! Keys: one type per rank, each with the id it is found by. A root key wraps tenant keys, a tenant key wraps file keys and seals records, a file key encrypts one file.
//!
//! None can be printed or cloned; all are wiped when dropped.

mod derive;
mod kid;

pub use kid::{Kid, KidError};

pub(crate) use derive::hkdf_expand;

use rand::{CryptoRng, RngCore};
use secrecy::{ExposeSecret, SecretBox};
use zeroize::Zeroizing;

/// 32 bytes of key. On the heap, so that moving it leaves no copy behind.
pub(crate) struct KeyBytes(SecretBox<[u8; 32]>);

impl KeyBytes {
    pub(crate) fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self(SecretBox::init_with_mut(|bytes: &mut [u8; 32]| rng.fill_bytes(bytes)))
    }

    /// `None` unless `bytes` are 32.
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == 32).then(|| Self(SecretBox::init_with_mut(|key: &mut [u8; 32]| key.copy_from_slice(bytes))))
    }

    pub(crate) fn from_hex(digits: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(digits, bytes.as_mut_slice()).ok()?;
        Self::from_slice(bytes.as_slice())
    }

    pub(crate) fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.expose()))
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        self.0.expose_secret()
    }
}

/// A key of the region. Only ever wraps tenant keys.
pub struct RootKey {
    pub(crate) kid: Kid,
    pub(crate) bytes: KeyBytes,
}

/// A key of a tenant: seals its records and wraps its file keys.
pub struct TenantKey {
    pub(crate) kid: Kid,
    pub(crate) bytes: KeyBytes,
}

impl TenantKey {
    /// A random key with a random id.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self { kid: Kid::generate(rng), bytes: KeyBytes::generate(rng) }
    }

    /// The id that its records name.
    pub fn kid(&self) -> Kid {
        self.kid
    }
}

/// The key of one file. Encrypting consumes it.
pub struct FileKey {
    pub(crate) kid: Kid,
    pub(crate) bytes: KeyBytes,
}

impl FileKey {
    /// A random key with a random id.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self { kid: Kid::generate(rng), bytes: KeyBytes::generate(rng) }
    }

    /// The id that the file and its record name.
    pub fn kid(&self) -> Kid {
        self.kid
    }

    /// `kid(16) || key(32)`: the content of a file key record, and how the keeper hands the key to a worker.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 48]> {
        let mut bytes = Zeroizing::new([0; 48]);
        bytes[..16].copy_from_slice(self.kid.as_bytes());
        bytes[16..].copy_from_slice(self.bytes.expose());
        bytes
    }

    /// The reverse of [`FileKey::to_bytes`]; what it was given is wiped. `None` unless they are 48 bytes.
    pub fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        let (kid, key) = bytes.split_first_chunk::<16>()?;
        Some(Self { kid: Kid::from_bytes(*kid), bytes: KeyBytes::from_slice(key)? })
    }
}

/// Bytes from the generator, for salts and ids.
pub(crate) fn draw<const N: usize>(rng: &mut dyn CryptoRng) -> [u8; N] {
    let mut bytes = [0; N];
    RngCore::fill_bytes(rng, &mut bytes);
    bytes
}
