//! Files of any size as they pass by, in bounded memory: bytes in, bytes appended to a buffer of the caller.
//!
//! A sealed file is a record of purpose `file` under its own key. What an [`Opener`] gives out is authentic from the first byte, but complete only
//! once [`Opener::finish`] has said so. A [`PartOpener`] opens some of the chunks, each of which opens at its own place only.

use std::ops::Range;

use bytes::BytesMut;
use rand::CryptoRng;

use crate::cobblestone::{CHUNK, Decryptor, Encryptor, PREFIX, Ring, SEALED_CHUNK, Salt, SingleUse, sealed_len};
use crate::context::EncryptionContext;
use crate::error::{MessageTooLong, OpenError};
use crate::header::{HEADER_LEN, Header, Purpose};
use crate::keys::FileKey;

/// A file is sealed once; only records are sealed again.
const VERSION: u64 = 1;

/// Bytes at the start of a sealed file without which no part of it opens.
pub const BEGINNING: usize = HEADER_LEN + PREFIX;

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
        Self(OpenerState::Beginning { key, context, seen: Vec::with_capacity(BEGINNING) })
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
                let (head, rest) = sealed.split_at(sealed.len().min(BEGINNING - seen.len()));
                seen.extend_from_slice(head);
                if seen.len() < BEGINNING {
                    return Ok(());
                }
                match commit(key, context, seen, 0) {
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

/// Some of the content of a file, and where it stands once sealed: in whole chunks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SealedPart {
    /// Bytes of the sealed file.
    pub sealed: Range<u64>,
    chunk: u64,
    /// Bytes of the first chunk that are not wanted.
    skipped: usize,
    wanted: u64,
    /// The last chunk is among them, which says that nothing was cut off.
    is_end: bool,
}

impl SealedPart {
    /// `content`: bytes of a file that has `length` of them, and at least one.
    pub fn of(content: Range<u64>, length: u64) -> Self {
        let (chunk_size, sealed_size) = (CHUNK as u64, SEALED_CHUNK as u64);
        // The last chunk opens at the end only.
        let is_end = content.end >= length || content.end.div_ceil(chunk_size) > length / chunk_size;
        let (content, chunk) = (content.start..content.end.min(length), content.start / chunk_size);
        let place = |chunk: u64| BEGINNING as u64 + chunk * sealed_size;
        let end = match is_end {
            true => length + (HEADER_LEN + sealed_len(0)) as u64 + length / chunk_size * (sealed_size - chunk_size),
            false => place(content.end.div_ceil(chunk_size)),
        };
        let skipped = (content.start % chunk_size) as usize;
        Self { sealed: place(chunk)..end, chunk, skipped, wanted: content.end.saturating_sub(content.start), is_end }
    }
}

/// Opens one part of a file.
pub struct PartOpener {
    chunks: Decryptor<Ring>,
    skipped: usize,
    left: u64,
    is_end: bool,
}

impl PartOpener {
    /// `beginning`: the first [`BEGINNING`] bytes of the file, which was sealed under `key` for the object that `context` names.
    ///
    /// # Errors
    /// What is wrong with the beginning.
    pub fn begin(key: &FileKey, context: &EncryptionContext, beginning: &[u8], part: &SealedPart) -> Result<Self, OpenError> {
        let SealedPart { sealed: _, chunk, skipped, wanted: left, is_end } = *part;
        Ok(Self { chunks: commit(key, context, beginning, chunk)?, skipped, left, is_end })
    }

    /// Appends what `sealed` completes of the part. After an error nothing more comes out.
    ///
    /// # Errors
    /// What is wrong with the part so far; the same again from every later call.
    pub fn update(&mut self, sealed: &[u8], out: &mut BytesMut) -> Result<(), OpenError> {
        let mut opened = BytesMut::new();
        self.chunks.update(sealed, &mut opened)?;
        cut(&mut self.skipped, &mut self.left, opened, out);
        Ok(())
    }

    /// Appends the last of the part and confirms that all of it came.
    ///
    /// # Errors
    /// [`OpenError::Truncated`] when some of it is lacking, or what was wrong before.
    pub fn finish(mut self, out: &mut BytesMut) -> Result<(), OpenError> {
        if self.is_end {
            let mut opened = BytesMut::new();
            self.chunks.finish(&mut opened)?;
            cut(&mut self.skipped, &mut self.left, opened, out);
        }
        if self.left == 0 { Ok(()) } else { Err(OpenError::Truncated) }
    }
}

/// Whole chunks come, and some of the first and the last may not be wanted.
fn cut(skipped: &mut usize, left: &mut u64, mut opened: BytesMut, out: &mut BytesMut) {
    let before = opened.split_to((*skipped).min(opened.len())).len();
    *skipped -= before;
    opened.truncate(usize::try_from(*left).unwrap_or(usize::MAX).min(opened.len()));
    *left -= opened.len() as u64;
    out.unsplit(opened);
}

fn commit(key: &FileKey, context: &EncryptionContext, beginning: &[u8], chunk: u64) -> Result<Decryptor<Ring>, OpenError> {
    let header = Header::expect(beginning, Purpose::File, key.kid)?;
    let prefix = beginning[HEADER_LEN..].first_chunk().ok_or(OpenError::Truncated)?;
    Decryptor::begin(SingleUse::of_message(&key.bytes, prefix, &context.bind(&header)), prefix, chunk)
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

    fn open_part(sealed: &[u8], content: Range<u64>, length: u64, piece: usize) -> Result<BytesMut, OpenError> {
        let part = SealedPart::of(content, length);
        let mut opener = PartOpener::begin(&key(), &samples::context(), &sealed[..BEGINNING], &part)?;
        let mut out = BytesMut::new();
        let there = part.sealed.start.min(sealed.len() as u64) as usize..part.sealed.end.min(sealed.len() as u64) as usize;
        sealed[there].chunks(piece).try_for_each(|piece| opener.update(piece, &mut out))?;
        opener.finish(&mut out)?;
        Ok(out)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_part_of_a_file_comes_back(length in 1..70_000_u64, from in 0..70_000_u64, until in 0..70_000_u64, piece in 1..40_000_usize) {
            let content: Vec<u8> = (0..length).map(|number| ((number * 31) >> 3) as u8).collect();
            let (from, until) = (from % length, until % length + 1);
            prop_assume!(from < until);
            let opened = open_part(&seal(&content), from..until, length, piece).unwrap();
            prop_assert!(opened == content[from as usize..until as usize]);
        }
    }

    #[test]
    fn parts_that_begin_or_end_with_a_chunk_come_back_and_the_end_says_that_nothing_was_cut_off() {
        let chunk = CHUNK as u64;
        for length in [1, chunk - 1, chunk, chunk + 1, 3 * chunk] {
            let content: Vec<u8> = (0..length).map(|number| (number % 251) as u8).collect();
            let sealed = seal(&content);
            assert_eq!(SealedPart::of(0..length, length).sealed, BEGINNING as u64..sealed.len() as u64);
            for from in [0, 1, chunk - 1, chunk, 2 * chunk].into_iter().filter(|from| *from < length) {
                for until in [from + 1, chunk, 2 * chunk, length].into_iter().filter(|until| *until > from && *until <= length) {
                    let opened = open_part(&sealed, from..until, length, 5_000).unwrap();
                    assert!(opened == content[from as usize..until as usize], "{from}..{until} of {length}");
                }
                // One byte less, or a chunk.
                for cut in [1, SEALED_CHUNK + 1] {
                    let cut = &sealed[..sealed.len().saturating_sub(cut).max(BEGINNING)];
                    assert!(open_part(cut, from..length, length, 5_000).is_err(), "{from}.. of {length}");
                }
            }
        }
    }

    #[test]
    fn a_chunk_opens_at_its_own_place_only() {
        let content = vec![7; 3 * CHUNK];
        let mut sealed = seal(&content);
        let [first, second] = [0, 1].map(|chunk| BEGINNING + chunk * SEALED_CHUNK..BEGINNING + (chunk + 1) * SEALED_CHUNK);
        let length = content.len() as u64;
        let is_of = |sealed: &[u8]| open_part(sealed, CHUNK as u64..2 * CHUNK as u64, length, 5_000);
        assert!(is_of(&sealed).is_ok(), "control");
        let moved = sealed[first.clone()].to_vec();
        sealed[second].copy_from_slice(&moved);
        assert_eq!(is_of(&sealed), Err(OpenError::Altered(1)));
        // Of a longer file that begins alike.
        let longer = seal(&vec![7; 4 * CHUNK]);
        assert!(open_part(&longer, 2 * CHUNK as u64..length, length, 5_000).is_err());
        sealed[40] ^= 1;
        assert_eq!(open_part(&sealed, 0..1, length, 5_000), Err(OpenError::Commitment));
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
