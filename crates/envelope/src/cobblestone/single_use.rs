//! What one message is sealed with. Derived from a fresh salt, consumed by sealing: there is no way to use one twice.

use rand::CryptoRng;
use zeroize::Zeroizing;

use super::{COMMITMENT, KEY, NONCE, PREFIX, SALT};
use crate::keys::{KeyBytes, draw, hkdf_expand};

const LABEL: &[u8] = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0";

/// Random bytes that never repeat under one key. Neither `Clone` nor `Copy`: deriving consumes it.
pub(crate) struct Salt([u8; SALT]);

impl Salt {
    pub(crate) fn draw(rng: &mut dyn CryptoRng) -> Self {
        Self(draw(rng))
    }

    /// A salt from a published vector.
    #[cfg(test)]
    pub(super) fn fixed(bytes: [u8; SALT]) -> Self {
        Self(bytes)
    }
}

/// `key || base nonce || commitment` of one message, and the salt they came from.
pub(crate) struct SingleUse {
    okm: Zeroizing<[u8; KEY + NONCE + COMMITMENT]>,
    salt: Salt,
}

impl SingleUse {
    /// `HKDF-Expand(input key, label || 00 || salt || context)`.
    pub(crate) fn derive(input_key: &KeyBytes, salt: Salt, context: &[u8]) -> Self {
        Self { okm: hkdf_expand(input_key.expose(), &[LABEL, &salt.0, context]), salt }
    }

    /// The same for a message that exists, from the salt it begins with.
    pub(crate) fn of_message(input_key: &KeyBytes, prefix: &[u8; PREFIX], context: &[u8]) -> Self {
        let mut salt = [0; SALT];
        salt.copy_from_slice(&prefix[..SALT]);
        Self::derive(input_key, Salt(salt), context)
    }

    pub(super) fn key(&self) -> &[u8; KEY] {
        self.okm.first_chunk().expect("the key comes first")
    }

    pub(super) fn base_nonce(&self) -> [u8; NONCE] {
        let mut nonce = [0; NONCE];
        nonce.copy_from_slice(&self.okm[KEY..KEY + NONCE]);
        nonce
    }

    pub(super) fn commitment(&self) -> &[u8; COMMITMENT] {
        self.okm.last_chunk().expect("the commitment comes last")
    }

    /// `salt || commitment`, with which the message begins.
    pub(super) fn prefix(&self) -> [u8; PREFIX] {
        let mut prefix = [0; PREFIX];
        prefix[..SALT].copy_from_slice(&self.salt.0);
        prefix[SALT..].copy_from_slice(self.commitment());
        prefix
    }
}
