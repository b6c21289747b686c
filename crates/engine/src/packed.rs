//! Rows kept in memory, compressed block by block: they are what a load's memory consists of. LZ4, because each row is packed twice and
//! opened twice within seconds (docs/decisions/2026-11-25-rows-kept-as-lz4.md).

use std::io;

use bytes::Bytes;
use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};

/// How much is compressed at a time: no match reaches farther, and it is opened without a thought.
pub(crate) const BLOCK: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct Packed {
    bytes: Bytes,
    raw: usize,
}

impl Packed {
    /// What was packed, in place of what `out` holds.
    pub(crate) fn open(&self, out: &mut Vec<u8>) -> io::Result<()> {
        // Not cleared: what is overwritten need not be zero first.
        out.resize(self.raw, 0);
        let opened = decompress_into(&self.bytes, out).map_err(io::Error::other)?;
        if opened == self.raw { Ok(()) } else { Err(io::Error::other("packed rows open to another length")) }
    }
}

/// Packs blocks, with the same memory from block to block.
pub(crate) struct Packer {
    table: CompressTable,
    packed: Vec<u8>,
}

impl Packer {
    pub(crate) fn new() -> Self {
        Self { table: CompressTable::default(), packed: Vec::new() }
    }

    pub(crate) fn pack(&mut self, raw: &[u8]) -> io::Result<Packed> {
        let most = get_maximum_output_size(raw.len());
        if self.packed.len() < most {
            self.packed.resize(most, 0);
        }
        let length = compress_into_with_table(raw, &mut self.packed, &mut self.table).map_err(io::Error::other)?;
        Ok(Packed { bytes: Bytes::copy_from_slice(&self.packed[..length]), raw: raw.len() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_repeats_itself_gets_smaller() {
        let raw = b"customer, account, season\n".repeat(4000);
        let packed = Packer::new().pack(&raw).unwrap();
        assert!(packed.bytes.len() * 20 < raw.len());
    }

    #[test]
    fn a_block_that_is_damaged_is_an_error() {
        let packed = Packer::new().pack(&b"abc".repeat(100)).unwrap();
        let cut = Packed { bytes: packed.bytes.slice(..packed.bytes.len() - 1), raw: packed.raw };
        assert!(cut.open(&mut Vec::new()).is_err());
        let longer = Packed { raw: packed.raw + 1, ..packed };
        assert!(longer.open(&mut Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn blocks_of_any_length_open_to_what_they_were(blocks in prop::collection::vec(("[a-c]{0,20}", 0..9000_usize), 1..6)) {
            let (mut packer, mut out) = (Packer::new(), Vec::new());
            let raw: Vec<Vec<u8>> = blocks.iter().map(|(word, times)| word.repeat(*times).into_bytes()).collect();
            let packed: Vec<Packed> = raw.iter().map(|raw| packer.pack(raw).unwrap()).collect();
            for (raw, packed) in raw.iter().zip(&packed).rev() {
                packed.open(&mut out).unwrap();
                prop_assert_eq!(&out, raw);
            }
        }
    }
}
