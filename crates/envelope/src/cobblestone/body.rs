//! Chunks: push bytes in, sealed or opened bytes are appended to a buffer of the caller. Memory is one chunk, whatever the length.

use bytes::BytesMut;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::cipher::TagMismatch;
use super::{CHUNK, ChunkCipher, MAX_CHUNKS, NONCE, PREFIX, SEALED_CHUNK, SingleUse, TAG};
use crate::error::{MessageTooLong, OpenError};

/// Length of the body of `content` bytes, salt and commitment included.
pub(crate) fn sealed_len(content: usize) -> usize {
    PREFIX + content + (content / CHUNK + 1) * TAG
}

/// Counts chunks and gives each its nonce: base nonce XOR counter.
struct Nonces {
    base: [u8; NONCE],
    next: u64,
}

impl Nonces {
    fn new(base: [u8; NONCE], next: u64) -> Self {
        Self { base, next }
    }

    fn advance(&mut self) -> Result<[u8; NONCE], MessageTooLong> {
        if self.next >= MAX_CHUNKS {
            return Err(MessageTooLong);
        }
        let mut nonce = self.base;
        for (byte, counter) in nonce[NONCE - 8..].iter_mut().zip(self.next.to_be_bytes()) {
            *byte ^= counter;
        }
        self.next += 1;
        Ok(nonce)
    }
}

/// Seals one message.
pub(crate) struct Encryptor<C> {
    cipher: C,
    nonces: Nonces,
    /// Content that does not fill a chunk yet.
    pending: Zeroizing<Vec<u8>>,
}

impl<C: ChunkCipher> Encryptor<C> {
    /// Appends salt and commitment.
    pub(crate) fn begin(single_use: SingleUse, out: &mut BytesMut) -> Self {
        out.extend_from_slice(&single_use.prefix());
        Self {
            cipher: C::new(single_use.key()),
            nonces: Nonces::new(single_use.base_nonce(), 0),
            pending: Zeroizing::new(Vec::with_capacity(CHUNK)),
        }
    }

    /// Appends every chunk that `content` completes.
    pub(crate) fn update(&mut self, mut content: &[u8], out: &mut BytesMut) -> Result<(), MessageTooLong> {
        out.reserve((self.pending.len() + content.len()) / CHUNK * SEALED_CHUNK);
        if !self.pending.is_empty() {
            let (head, rest) = content.split_at(content.len().min(CHUNK - self.pending.len()));
            self.pending.extend_from_slice(head);
            content = rest;
            if self.pending.len() < CHUNK {
                return Ok(());
            }
            seal_chunk(&self.cipher, self.nonces.advance()?, &self.pending, out);
            self.pending.clear();
        }
        while let Some((chunk, rest)) = content.split_at_checked(CHUNK) {
            seal_chunk(&self.cipher, self.nonces.advance()?, chunk, out);
            content = rest;
        }
        self.pending.extend_from_slice(content);
        Ok(())
    }

    /// Appends the last chunk, short or empty: the mark that the message ends here.
    pub(crate) fn finish(mut self, out: &mut BytesMut) -> Result<(), MessageTooLong> {
        seal_chunk(&self.cipher, self.nonces.advance()?, &self.pending, out);
        Ok(())
    }
}

fn seal_chunk(cipher: &impl ChunkCipher, nonce: [u8; NONCE], content: &[u8], out: &mut BytesMut) {
    let start = out.len();
    out.reserve(content.len() + TAG);
    out.extend_from_slice(content);
    let tag = cipher.seal(nonce, &mut out[start..]);
    out.extend_from_slice(&tag);
}

/// Opens one message.
pub(crate) struct Decryptor<C> {
    cipher: C,
    nonces: Nonces,
    /// Sealed bytes that are not a full chunk yet.
    pending: Vec<u8>,
    /// A message that failed once stays refused, whatever follows.
    failed: Option<OpenError>,
}

impl<C: ChunkCipher> Decryptor<C> {
    /// Compares the commitment in constant time, before the cipher sees any byte. `chunk`: which one comes first.
    pub(crate) fn begin(single_use: SingleUse, prefix: &[u8; PREFIX], chunk: u64) -> Result<Self, OpenError> {
        if !bool::from(single_use.prefix().ct_eq(prefix)) {
            return Err(OpenError::Commitment);
        }
        Ok(Self {
            cipher: C::new(single_use.key()),
            nonces: Nonces::new(single_use.base_nonce(), chunk),
            pending: Vec::with_capacity(SEALED_CHUNK),
            failed: None,
        })
    }

    /// Appends the content of every chunk that `sealed` completes. A full chunk is never the last, so none has to wait for what follows.
    pub(crate) fn update(&mut self, sealed: &[u8], out: &mut BytesMut) -> Result<(), OpenError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.open_chunks(sealed, out).inspect_err(|error| self.failed = Some(*error))
    }

    fn open_chunks(&mut self, mut sealed: &[u8], out: &mut BytesMut) -> Result<(), OpenError> {
        out.reserve((self.pending.len() + sealed.len()) / SEALED_CHUNK * CHUNK);
        if !self.pending.is_empty() {
            let (head, rest) = sealed.split_at(sealed.len().min(SEALED_CHUNK - self.pending.len()));
            self.pending.extend_from_slice(head);
            sealed = rest;
            if self.pending.len() < SEALED_CHUNK {
                return Ok(());
            }
            open_chunk(&self.cipher, &mut self.nonces, &self.pending, out)?;
            self.pending.clear();
        }
        while let Some((chunk, rest)) = sealed.split_at_checked(SEALED_CHUNK) {
            open_chunk(&self.cipher, &mut self.nonces, chunk, out)?;
            sealed = rest;
        }
        self.pending.extend_from_slice(sealed);
        Ok(())
    }

    /// Appends the content of the last chunk. Only now is it certain that nothing was cut off.
    pub(crate) fn finish(mut self, out: &mut BytesMut) -> Result<(), OpenError> {
        match self.failed {
            Some(error) => Err(error),
            None => open_chunk(&self.cipher, &mut self.nonces, &self.pending, out),
        }
    }
}

/// Opens a sealed chunk into `out`; leaves nothing of it there when the tag does not match.
fn open_chunk(cipher: &impl ChunkCipher, nonces: &mut Nonces, sealed: &[u8], out: &mut BytesMut) -> Result<(), OpenError> {
    let (ciphertext, tag) = sealed.split_last_chunk::<TAG>().ok_or(OpenError::Truncated)?;
    let number = nonces.next;
    let nonce = nonces.advance()?;
    let start = out.len();
    out.extend_from_slice(ciphertext);
    open_or_wipe(cipher, nonce, &mut out[start..], tag).map_err(|TagMismatch| {
        out.truncate(start);
        OpenError::Altered(number)
    })
}

/// Wipes the output when the tag does not match: some libraries decrypt before they know.
fn open_or_wipe(cipher: &impl ChunkCipher, nonce: [u8; NONCE], chunk: &mut [u8], tag: &[u8; TAG]) -> Result<(), TagMismatch> {
    cipher.open(nonce, chunk, tag).inspect_err(|TagMismatch| chunk.zeroize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cobblestone::{Ring, RustCrypto, Salt};
    use crate::keys::KeyBytes;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn key() -> KeyBytes {
        KeyBytes::generate(&mut StdRng::seed_from_u64(1))
    }

    /// Pushes `content` in pieces of the given sizes, over and over.
    fn pieces<'a>(mut content: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
        let mut sizes = sizes.iter().cycle();
        std::iter::from_fn(move || {
            let (piece, rest) = content.split_at((*sizes.next()?).min(content.len()));
            content = rest;
            (!piece.is_empty()).then_some(piece)
        })
    }

    fn seal<C: ChunkCipher>(content: &[u8], sizes: &[usize]) -> BytesMut {
        let mut out = BytesMut::new();
        let single_use = SingleUse::derive(&key(), Salt::draw(&mut StdRng::seed_from_u64(2)), b"context");
        let mut encryptor = Encryptor::<C>::begin(single_use, &mut out);
        pieces(content, sizes).for_each(|piece| encryptor.update(piece, &mut out).unwrap());
        encryptor.finish(&mut out).unwrap();
        out
    }

    fn open<C: ChunkCipher>(sealed: &[u8], sizes: &[usize]) -> (BytesMut, Result<(), OpenError>) {
        let mut out = BytesMut::new();
        let (prefix, chunks) = sealed.split_first_chunk().unwrap();
        let mut decryptor = Decryptor::<C>::begin(SingleUse::of_message(&key(), prefix, b"context"), prefix, 0).unwrap();
        let result = pieces(chunks, sizes).try_for_each(|piece| decryptor.update(piece, &mut out));
        let result = result.and_then(|()| decryptor.finish(&mut out));
        (out, result)
    }

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|i| ((i * 31) >> 3) as u8).collect()
    }

    fn sizes() -> impl Strategy<Value = Vec<usize>> {
        prop::collection::vec(prop_oneof![1..200usize, Just(CHUNK), Just(SEALED_CHUNK), 8_000..40_000usize], 1..4)
    }

    fn lengths() -> impl Strategy<Value = usize> {
        prop_oneof![0..40usize, CHUNK - 2..CHUNK + 2, 2 * CHUNK - 1..2 * CHUNK + 2, 0..100_000usize]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn either_library_opens_what_the_other_sealed_however_it_is_cut((length, sizes) in (lengths(), sizes())) {
            let content = content(length);
            let by_ring = seal::<Ring>(&content, &sizes);
            prop_assert!(by_ring == seal::<RustCrypto>(&content, &[usize::MAX]));
            prop_assert_eq!(by_ring.len(), sealed_len(length));
            for (out, result) in [open::<RustCrypto>(&by_ring, &sizes), open::<Ring>(&by_ring, &sizes)] {
                prop_assert_eq!(result, Ok(()));
                prop_assert!(out == content);
            }
        }

        #[test]
        fn a_flipped_bit_gives_out_only_the_chunks_before_it((length, at) in (lengths(), any::<prop::sample::Index>())) {
            let content = content(length);
            let mut sealed = seal::<Ring>(&content, &[CHUNK]);
            let at = PREFIX + at.index(sealed.len() - PREFIX);
            sealed[at] ^= 1;
            let chunk = (at - PREFIX) / SEALED_CHUNK;
            for (out, result) in [open::<RustCrypto>(&sealed, &[usize::MAX]), open::<Ring>(&sealed, &[5_000])] {
                prop_assert_eq!(result, Err(OpenError::Altered(chunk as u64)));
                prop_assert!(out == content[..chunk * CHUNK]);
            }
        }

        #[test]
        fn cutting_anywhere_is_noticed((length, at) in (lengths(), any::<prop::sample::Index>())) {
            let sealed = seal::<Ring>(&content(length), &[CHUNK]);
            let cut = PREFIX + at.index(sealed.len() - PREFIX);
            prop_assert!(open::<Ring>(&sealed[..cut], &[CHUNK]).1.is_err());
        }
    }

    /// Decrypts first and finds the tag wrong afterwards, as some libraries do.
    struct Careless;

    impl ChunkCipher for Careless {
        fn new(_: &[u8; 32]) -> Self {
            Self
        }
        fn seal(&self, _: [u8; NONCE], _: &mut [u8]) -> [u8; TAG] {
            [0; TAG]
        }
        fn open(&self, _: [u8; NONCE], chunk: &mut [u8], _: &[u8; TAG]) -> Result<(), TagMismatch> {
            chunk.fill(b'p');
            Err(TagMismatch)
        }
    }

    #[test]
    fn nothing_of_a_failed_chunk_is_left_in_the_buffer() {
        let mut buffer = content(10_000);
        assert!(open_or_wipe(&Careless, [0; NONCE], &mut buffer, &[0; TAG]).is_err());
        assert!(buffer.iter().all(|byte| *byte == 0));

        let mut out = BytesMut::from("earlier");
        let mut nonces = Nonces::new([0; NONCE], 0);
        assert_eq!(open_chunk(&Careless, &mut nonces, &content(10_000), &mut out), Err(OpenError::Altered(0)));
        assert_eq!(out, "earlier");
    }

    #[test]
    fn a_decryptor_that_failed_keeps_failing() {
        let content = content(3 * CHUNK);
        let mut sealed = seal::<Ring>(&content, &[CHUNK]);
        sealed[PREFIX] ^= 1;
        let (prefix, chunks) = sealed.split_first_chunk().unwrap();
        let mut decryptor = Decryptor::<Ring>::begin(SingleUse::of_message(&key(), prefix, b"context"), prefix, 0).unwrap();
        let mut out = BytesMut::new();
        assert_eq!(decryptor.update(&chunks[..SEALED_CHUNK], &mut out), Err(OpenError::Altered(0)));
        assert_eq!(decryptor.update(&chunks[SEALED_CHUNK..], &mut out), Err(OpenError::Altered(0)));
        assert_eq!(decryptor.finish(&mut out), Err(OpenError::Altered(0)));
        assert!(out.is_empty());
    }

    #[test]
    fn the_counter_ends_at_four_pebibytes() {
        let mut nonces = Nonces { base: [0xff; NONCE], next: MAX_CHUNKS - 1 };
        let mut expected = [0xff; NONCE];
        expected[7..].copy_from_slice(&[0xc0, 0, 0, 0, 0]);
        assert_eq!(nonces.advance(), Ok(expected));
        assert_eq!(nonces.advance(), Err(MessageTooLong));
        assert_eq!(nonces.advance(), Err(MessageTooLong));
    }
}
