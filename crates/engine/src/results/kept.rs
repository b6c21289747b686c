//! Input rows kept until their results are written: as the lines they will become, compressed, in memory only.

use std::io;

use bytes::Bytes;
use csv::ByteRecord;
use zstd::bulk::{Compressor, Decompressor};

use super::escape::Escape;

/// Rows are compressed this much at a time: enough to compress well, little enough to open again without a thought.
const BLOCK: usize = 256 << 10;
const LEVEL: i32 = 1;
const LENGTH: usize = 4;

/// Finished rows of one chunk, in input order.
#[derive(Debug, Default)]
pub(crate) struct KeptRows {
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    compressed: Bytes,
    raw: usize,
}

impl KeptRows {
    pub(crate) fn reader(&self) -> io::Result<KeptReader<'_>> {
        Ok(KeptReader { blocks: self.blocks.iter(), open: Decompressor::new()?, raw: Vec::with_capacity(BLOCK) })
    }
}

/// Opens one block after the other.
pub(crate) struct KeptReader<'a> {
    blocks: std::slice::Iter<'a, Block>,
    open: Decompressor<'static>,
    raw: Vec<u8>,
}

impl KeptReader<'_> {
    /// The lines of the next block, without their ends, in input order.
    pub(crate) fn next_block(&mut self) -> io::Result<Option<Lines<'_>>> {
        let Some(block) = self.blocks.next() else { return Ok(None) };
        self.raw.clear();
        self.raw.reserve(block.raw);
        self.open.decompress_to_buffer(&block.compressed, &mut self.raw)?;
        Ok(Some(Lines(&self.raw)))
    }
}

pub(crate) struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, after) = self.0.split_first_chunk::<LENGTH>()?;
        let (line, next) = after.split_at(u32::from_le_bytes(*length) as usize);
        self.0 = next;
        Some(line)
    }
}

/// Collects rows. The compressor is used again from chunk to chunk.
pub(crate) struct RowKeeper {
    escape: Escape,
    compressor: Compressor<'static>,
    raw: Vec<u8>,
    compressed: Vec<u8>,
    blocks: Vec<Block>,
}

impl RowKeeper {
    pub(crate) fn new(escape: Escape) -> io::Result<Self> {
        let (raw, compressed) = (Vec::with_capacity(BLOCK), Vec::new());
        Ok(Self { escape, compressor: Compressor::new(LEVEL)?, raw, compressed, blocks: Vec::new() })
    }

    pub(crate) fn push(&mut self, row: &ByteRecord) -> io::Result<()> {
        let start = self.raw.len();
        self.raw.extend_from_slice(&[0; LENGTH]);
        for (place, cell) in row.iter().enumerate() {
            if place > 0 {
                self.raw.push(b',');
            }
            self.escape.cell(&mut self.raw, cell);
        }
        let length = (self.raw.len() - start - LENGTH) as u32;
        self.raw[start..start + LENGTH].copy_from_slice(&length.to_le_bytes());
        if self.raw.len() >= BLOCK - (BLOCK >> 4) {
            self.seal()?;
        }
        Ok(())
    }

    /// The rows so far; the keeper is then empty again.
    pub(crate) fn finish(&mut self) -> io::Result<KeptRows> {
        self.seal()?;
        Ok(KeptRows { blocks: std::mem::take(&mut self.blocks) })
    }

    fn seal(&mut self) -> io::Result<()> {
        if !self.raw.is_empty() {
            self.compressed.clear();
            self.compressed.reserve(zstd::zstd_safe::compress_bound(self.raw.len()));
            self.compressor.compress_to_buffer(&self.raw, &mut self.compressed)?;
            self.blocks.push(Block { compressed: Bytes::copy_from_slice(&self.compressed), raw: self.raw.len() });
            self.raw.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_rows_come_back_in_order_and_whole() {
        let mut keeper = RowKeeper::new(Escape::Formulas).unwrap();
        for n in 0..50_000 {
            keeper.push(&ByteRecord::from(vec![n.to_string(), "a,b".into(), String::new()])).unwrap();
        }
        let kept = keeper.finish().unwrap();
        assert!(kept.blocks.len() > 1);
        let (mut reader, mut n) = (kept.reader().unwrap(), 0);
        while let Some(lines) = reader.next_block().unwrap() {
            for line in lines {
                assert_eq!(line, format!("{n},\"a,b\",").as_bytes());
                n += 1;
            }
        }
        assert_eq!(n, 50_000);
        assert!(keeper.finish().unwrap().blocks.is_empty());
    }
}
