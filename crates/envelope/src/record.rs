//! Sealing and opening small things in one call: credentials, wrapped keys.

use bytes::BytesMut;
use rand::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use crate::cobblestone::{ChunkCipher, Decryptor, Encryptor, RustCrypto, Salt, SingleUse, sealed_len};
use crate::context::EncryptionContext;
use crate::error::OpenError;
use crate::header::{HEADER_LEN, Header, Purpose};
use crate::keys::{FileKey, KeyBytes, TenantKey};

/// What a record held, and the version it was sealed as. A caller that keeps a ledger of versions compares.
pub struct Content {
    /// How often the content was sealed, from 1.
    pub version: u64,
    /// What was sealed; wiped when dropped.
    pub plaintext: Zeroizing<Vec<u8>>,
}

/// Seals `plaintext` for the object `context` names. Most callers want [`crate::KeyRing::seal`], which picks the active key.
pub fn seal(
    key: &TenantKey,
    purpose: Purpose,
    version: u64,
    context: &EncryptionContext,
    plaintext: &[u8],
    rng: &mut dyn CryptoRng,
) -> Vec<u8> {
    seal_under(&key.bytes, &Header { purpose, kid: key.kid, version }, context, plaintext, rng)
}

/// Opens a record of `purpose` that belongs to the object `context` names and was sealed under `key`.
///
/// # Errors
/// What is wrong with the record, as [`OpenError`] lists it. A record that belongs to another object and one under other key bytes cannot
/// be told apart.
pub fn open(key: &TenantKey, purpose: Purpose, context: &EncryptionContext, record: &[u8]) -> Result<Content, OpenError> {
    let header = Header::expect(record, purpose, key.kid)?;
    open_under(&key.bytes, &header, context, record)
}

/// The record of a file key, to be kept apart from the file.
pub fn seal_file_key(key: &TenantKey, version: u64, context: &EncryptionContext, file_key: &FileKey, rng: &mut dyn CryptoRng) -> Vec<u8> {
    seal(key, Purpose::FileKey, version, context, file_key.to_bytes().as_slice(), rng)
}

/// The file key of a record that [`seal_file_key`] made.
///
/// # Errors
/// As [`open`], and [`OpenError::Malformed`] when what it holds is no file key.
pub fn open_file_key(key: &TenantKey, context: &EncryptionContext, record: &[u8]) -> Result<FileKey, OpenError> {
    FileKey::from_bytes(open(key, Purpose::FileKey, context, record)?.plaintext).ok_or(OpenError::Malformed)
}

pub(crate) fn seal_under(
    key: &KeyBytes,
    header: &Header,
    context: &EncryptionContext,
    plaintext: &[u8],
    rng: &mut dyn CryptoRng,
) -> Vec<u8> {
    seal_with::<RustCrypto>(key, header, context, plaintext, rng)
}

pub(crate) fn open_under(key: &KeyBytes, header: &Header, context: &EncryptionContext, record: &[u8]) -> Result<Content, OpenError> {
    let plaintext = open_with::<RustCrypto>(key, header, context, record)?;
    Ok(Content { version: header.version, plaintext })
}

fn seal_with<C: ChunkCipher>(
    key: &KeyBytes,
    header: &Header,
    context: &EncryptionContext,
    plaintext: &[u8],
    rng: &mut dyn CryptoRng,
) -> Vec<u8> {
    const SHORT_ENOUGH: &str = "a slice is shorter than 4 PiB";
    let single_use = SingleUse::derive(key, Salt::draw(rng), &context.bind(header));
    let mut out = BytesMut::with_capacity(HEADER_LEN + sealed_len(plaintext.len()));
    out.extend_from_slice(&header.to_bytes());
    let mut encryptor = Encryptor::<C>::begin(single_use, &mut out);
    encryptor.update(plaintext, &mut out).expect(SHORT_ENOUGH);
    encryptor.finish(&mut out).expect(SHORT_ENOUGH);
    out.into()
}

fn open_with<C: ChunkCipher>(
    key: &KeyBytes,
    header: &Header,
    context: &EncryptionContext,
    record: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let (prefix, chunks) = record[HEADER_LEN..].split_first_chunk().ok_or(OpenError::Truncated)?;
    let mut decryptor = Decryptor::<C>::begin(SingleUse::of_message(key, prefix, &context.bind(header)), prefix, 0)?;
    // Sealed is longer than content, so the buffer never grows and no copy is left behind.
    let mut out = BytesMut::with_capacity(chunks.len());
    match decryptor.update(chunks, &mut out).and_then(|()| decryptor.finish(&mut out)) {
        Ok(()) => Ok(Zeroizing::new(out.into())),
        Err(error) => {
            out[..].zeroize();
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cobblestone::Ring;
    use crate::context::samples;
    use crate::keys::Kid;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    const SECRET: &[u8] = br#"{"username":"loader","password":"hunter2"}"#;

    fn rng() -> StdRng {
        StdRng::seed_from_u64(5)
    }

    fn key() -> TenantKey {
        TenantKey::generate(&mut rng())
    }

    fn sealed() -> Vec<u8> {
        seal(&key(), Purpose::Credential, 3, &samples::context(), SECRET, &mut rng())
    }

    fn reopen(context: &EncryptionContext, record: &[u8]) -> Result<Vec<u8>, OpenError> {
        open(&key(), Purpose::Credential, context, record).map(|content| content.plaintext.to_vec())
    }

    #[test]
    fn what_was_sealed_opens_again_with_its_version() {
        let record = sealed();
        assert_eq!(record.len(), SECRET.len() + 104);
        let content = open(&key(), Purpose::Credential, &samples::context(), &record).ok().unwrap();
        assert_eq!((content.version, &content.plaintext[..]), (3, SECRET));
    }

    #[test]
    fn sealing_twice_gives_other_bytes() {
        let mut rng = rng();
        let key = key();
        let mut seal = || seal(&key, Purpose::Credential, 3, &samples::context(), SECRET, &mut rng);
        assert_ne!(seal()[HEADER_LEN..], seal()[HEADER_LEN..]);
    }

    #[test]
    fn a_record_of_another_purpose_or_key_is_named_as_such() {
        let record = sealed();
        let error = open(&key(), Purpose::FileKey, &samples::context(), &record).err().unwrap();
        assert_eq!(error, OpenError::WrongPurpose { expected: Purpose::FileKey, found: Purpose::Credential });
        let other = TenantKey::generate(&mut StdRng::seed_from_u64(6));
        let error = open(&other, Purpose::Credential, &samples::context(), &record).err().unwrap();
        assert_eq!(error, OpenError::WrongKey { expected: other.kid, found: key().kid });
        let namesake = TenantKey { kid: key().kid, bytes: other.bytes };
        assert_eq!(open(&namesake, Purpose::Credential, &samples::context(), &record).err(), Some(OpenError::Commitment));
    }

    #[test]
    fn every_byte_of_a_record_counts() {
        let record = sealed();
        for at in 0..record.len() {
            for bit in 0..8 {
                let mut altered = record.clone();
                altered[at] ^= 1 << bit;
                assert!(reopen(&samples::context(), &altered).is_err(), "byte {at} bit {bit}");
            }
        }
        for length in 0..record.len() {
            assert!(reopen(&samples::context(), &record[..length]).is_err(), "cut to {length}");
        }
    }

    /// A header changed on both sides, record and reader, still does not open: it is bound, not only compared.
    #[test]
    fn every_header_byte_is_bound_to_the_key() {
        let record = sealed();
        let header = Header::parse(&record).unwrap();
        let version = Header { version: 4, ..header };
        let purpose = Header { purpose: Purpose::FileKey, ..header };
        let kid = Header { kid: Kid::from_bytes([9; 16]), ..header };
        for altered in [version, purpose, kid] {
            assert_eq!(open_under(&key().bytes, &altered, &samples::context(), &record).err(), Some(OpenError::Commitment));
        }
    }

    /// The text fields of a context, so that a test can change each.
    fn fields(context: &mut EncryptionContext) -> [&mut String; 8] {
        let EncryptionContext { scope, namespace, kind, name, uid, endpoint_digest, field_set: _ } = context;
        [&mut scope.region, &mut scope.installation_uid, &mut scope.tenant_uid, namespace, kind, name, uid, endpoint_digest]
    }

    fn any_context() -> impl Strategy<Value = EncryptionContext> {
        (prop::collection::vec("[a-z0-9:-]{0,20}", 8), prop::collection::btree_set("[a-z]{1,9}", 0..4)).prop_map(|(texts, field_set)| {
            let mut context = EncryptionContext { field_set, ..samples::context() };
            fields(&mut context).into_iter().zip(texts).for_each(|(field, text)| *field = text);
            context
        })
    }

    proptest! {
        #[test]
        fn no_bound_field_can_be_another(context in any_context(), which in 0..8usize, text in "[a-z0-9:-]{0,20}", extra in "[a-z]{10}") {
            let record = seal(&key(), Purpose::Credential, 1, &context, SECRET, &mut rng());
            prop_assert_eq!(reopen(&context, &record), Ok(SECRET.to_vec()));

            let mut altered = context.clone();
            let field = &mut fields(&mut altered)[which];
            if **field != text {
                **field = text;
                prop_assert_eq!(reopen(&altered, &record), Err(OpenError::Commitment));
            }

            let mut widened = context.clone();
            widened.field_set.insert(extra);
            prop_assert_eq!(reopen(&widened, &record), Err(OpenError::Commitment));
            let mut narrowed = context.clone();
            if narrowed.field_set.pop_first().is_some() {
                prop_assert_eq!(reopen(&narrowed, &record), Err(OpenError::Commitment));
            }
        }

        #[test]
        fn either_library_opens_the_records_of_the_other(context in any_context(), content in prop::collection::vec(any::<u8>(), 0..40_000)) {
            let header = Header { purpose: Purpose::Credential, kid: key().kid, version: 7 };
            let ours = seal_with::<RustCrypto>(&key().bytes, &header, &context, &content, &mut rng());
            let theirs = seal_with::<Ring>(&key().bytes, &header, &context, &content, &mut rng());
            prop_assert!(ours == theirs);
            prop_assert!(*open_with::<Ring>(&key().bytes, &header, &context, &ours).unwrap() == content);
            prop_assert!(*open_with::<RustCrypto>(&key().bytes, &header, &context, &theirs).unwrap() == content);
        }
    }

    #[test]
    fn a_file_key_comes_back_with_its_id() {
        let file_key = FileKey::generate(&mut StdRng::seed_from_u64(8));
        let record = seal_file_key(&key(), 1, &samples::context(), &file_key, &mut rng());
        let opened = open_file_key(&key(), &samples::context(), &record).ok().unwrap();
        assert_eq!((opened.kid(), opened.to_bytes()), (file_key.kid(), file_key.to_bytes()));

        let not_a_key = seal(&key(), Purpose::FileKey, 1, &samples::context(), b"short", &mut rng());
        assert_eq!(open_file_key(&key(), &samples::context(), &not_a_key).err(), Some(OpenError::Malformed));
    }
}
