//! Files of any size as they pass by, in bounded memory: bytes in, bytes appended to a buffer of the caller.
//!
//! A sealed file is a record of purpose `file` under its own key. What an [`Opener`] gives out is authentic from the first byte, but complete only
//! once [`Opener::finish`] has said so.

use bytes::BytesMut;
use rand::CryptoRng;

use crate::cobblestone::{Decryptor, Encryptor, PREFIX, Ring, Salt, SingleUse, sealed_len};
use crate::context::EncryptionContext;
use crate::error::{MessageTooLong, OpenError};
use crate::header::{HEADER_LEN, Header, Purpose};
use crate::keys::FileKey;

/// A file is sealed once; only records are sealed again.
const VERSION: u64 = 1;

/// Length of a file of `content` bytes once sealed.
pub fn sealed_file_len(content: usize) -> usize {
    HEADER_LEN + sealed_len(content)
}

/// Seals one file. Consumes the key, so that no second file is sealed under it.
pub struct Sealer(Encryptor<Ring>);

impl Sealer {
    /// Appends the beginning of the sealed file.
    pub fn begin(key: FileKey, context: &EncryptionContext, rng: &mut dyn CryptoRng, out: &mut BytesMut) -> Self {
        let header = Header { purpose: Purpose::File, kid: key.kid, version: VERSION };
        let single_use = SingleUse::derive(&key.bytes, Salt::draw(rng), &context.bind(&header));
        out.extend_from_slice(&header.to_bytes());
        Self(Encryptor::begin(single_use, out))
    }

    /// Appends what `content` completes, in steps of 16 KiB.
    ///
    /// # Errors
    /// [`MessageTooLong`] when the file has more chunks than the format counts.
    pub fn update(&mut self, content: &[u8], out: &mut BytesMut) -> Result<(), MessageTooLong> {
        self.0.update(content, out)
    }

    /// Appends the end. Without it the file counts as cut off.
    ///
    /// # Errors
    /// [`MessageTooLong`] when the file has more chunks than the format counts.
    pub fn finish(self, out: &mut BytesMut) -> Result<(), MessageTooLong> {
        self.0.finish(out)
    }
}

/// Opens one file.
pub struct Opener(OpenerState);

#[expect(clippy::large_enum_variant, reason = "one exists for each file that passes")]
enum OpenerState {
    /// Header, salt and commitment have not arrived in full.
    Beginning {
        key: FileKey,
        context: EncryptionContext,
        seen: Vec<u8>,
    },
    Chunks(Decryptor<Ring>),
    Refused(OpenError),
}

impl Opener {
    /// Waits for the beginning of a file that was sealed under `key` for the object that `context` names.
    pub fn new(key: FileKey, context: EncryptionContext) -> Self {
        Self(OpenerState::Beginning { key, context, seen: Vec::with_capacity(HEADER_LEN + PREFIX) })
    }

    /// Appends the content of every chunk that `sealed` completes. After an error nothing more comes out.
    ///
    /// # Errors
    /// What is wrong with the file so far; the same again from every later call.
    pub fn update(&mut self, sealed: &[u8], out: &mut BytesMut) -> Result<(), OpenError> {
        match &mut self.0 {
            OpenerState::Refused(error) => Err(*error),
            OpenerState::Chunks(decryptor) => decryptor.update(sealed, out),
            OpenerState::Beginning { key, context, seen } => {
                let (head, rest) = sealed.split_at(sealed.len().min(HEADER_LEN + PREFIX - seen.len()));
                seen.extend_from_slice(head);
                if seen.len() < HEADER_LEN + PREFIX {
                    return Ok(());
                }
                match commit(key, context, seen) {
                    Ok(decryptor) => self.0 = OpenerState::Chunks(decryptor),
                    Err(error) => self.0 = OpenerState::Refused(error),
                }
                self.update(rest, out)
            }
        }
    }

    /// Appends the last of the content and confirms that the file is complete.
    ///
    /// # Errors
    /// [`OpenError::Truncated`] when the end is lacking, or what was wrong before.
    pub fn finish(self, out: &mut BytesMut) -> Result<(), OpenError> {
        match self.0 {
            OpenerState::Refused(error) => Err(error),
            OpenerState::Chunks(decryptor) => decryptor.finish(out),
            OpenerState::Beginning { seen, .. } => Err(Header::parse(&seen).err().unwrap_or(OpenError::Truncated)),
        }
    }
}

fn commit(key: &FileKey, context: &EncryptionContext, beginning: &[u8]) -> Result<Decryptor<Ring>, OpenError> {
    let header = Header::expect(beginning, Purpose::File, key.kid)?;
    let prefix = beginning[HEADER_LEN..].first_chunk().ok_or(OpenError::Truncated)?;
    Decryptor::begin(SingleUse::of_message(&key.bytes, prefix, &context.bind(&header)), prefix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::samples;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn key() -> FileKey {
        FileKey::generate(&mut StdRng::seed_from_u64(11))
    }

    fn seal(content: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        let mut sealer = Sealer::begin(key(), &samples::context(), &mut StdRng::seed_from_u64(12), &mut out);
        sealer.update(content, &mut out).unwrap();
        sealer.finish(&mut out).unwrap();
        out
    }

    fn open(key: FileKey, context: &EncryptionContext, sealed: &[u8], piece: usize) -> Result<BytesMut, OpenError> {
        let mut out = BytesMut::new();
        let mut opener = Opener::new(key, context.clone());
        sealed.chunks(piece).try_for_each(|piece| opener.update(piece, &mut out))?;
        opener.finish(&mut out)?;
        Ok(out)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_file_comes_back_however_it_is_cut(content in prop::collection::vec(any::<u8>(), 0..70_000), piece in 1..40_000usize) {
            let sealed = seal(&content);
            prop_assert_eq!(sealed.len(), sealed_file_len(content.len()));
            prop_assert!(open(key(), &samples::context(), &sealed, piece).unwrap() == content);
        }
    }

    #[test]
    fn a_byte_at_a_time_is_enough() {
        assert_eq!(open(key(), &samples::context(), &seal(b"Id,Name\n"), 1).unwrap(), &b"Id,Name\n"[..]);
    }

    #[test]
    fn a_file_of_another_object_or_under_another_key_gives_out_nothing() {
        let sealed = seal(b"Id,Name\n");
        let mut renamed = samples::context();
        renamed.name = "erp".into();
        assert_eq!(open(key(), &renamed, &sealed, 100), Err(OpenError::Commitment));
        let other = FileKey::generate(&mut StdRng::seed_from_u64(13));
        let expected = OpenError::WrongKey { expected: other.kid(), found: key().kid() };
        assert_eq!(open(other, &samples::context(), &sealed, 100), Err(expected));
    }

    #[test]
    fn another_version_in_the_header_does_not_open() {
        let mut sealed = seal(b"Id,Name\n");
        sealed[HEADER_LEN - 1] ^= 3;
        assert_eq!(open(key(), &samples::context(), &sealed, 100), Err(OpenError::Commitment));
    }

    #[test]
    fn a_file_cut_off_inside_its_beginning_is_cut_off_and_a_plain_file_is_no_record() {
        let sealed = seal(b"Id,Name\n");
        for length in [0, 3, 31, 32, 87, 88, 100] {
            assert_eq!(open(key(), &samples::context(), &sealed[..length], 10), Err(OpenError::Truncated), "cut to {length}");
        }
        assert_eq!(open(key(), &samples::context(), b"Id,Name\n", 10), Err(OpenError::NotARecord));
    }

    #[test]
    fn an_opener_that_refused_stays_closed() {
        let mut sealed = seal(b"Id,Name\n");
        sealed[60] ^= 1;
        let mut opener = Opener::new(key(), samples::context());
        let mut out = BytesMut::new();
        assert_eq!(opener.update(&sealed, &mut out), Err(OpenError::Commitment));
        assert_eq!(opener.update(b"more", &mut out), Err(OpenError::Commitment));
        assert_eq!(opener.finish(&mut out), Err(OpenError::Commitment));
        assert!(out.is_empty());
    }
}
