//! Input rows kept until their results are written: as the lines they will become, compressed, in memory only.

use std::io;

use csv::ByteRecord;

use super::layout::Layout;
use crate::packed::{BLOCK, Packed, Packer};

const LENGTH: usize = 4;

/// Finished rows of one chunk, in input order.
#[derive(Debug, Default)]
pub(crate) struct KeptRows {
    blocks: Vec<Packed>,
}

impl KeptRows {
    pub(crate) fn reader(&self) -> KeptReader<'_> {
        KeptReader { blocks: self.blocks.iter(), raw: Vec::with_capacity(BLOCK) }
    }
}

/// Opens one block after the other.
pub(crate) struct KeptReader<'a> {
    blocks: std::slice::Iter<'a, Packed>,
    raw: Vec<u8>,
}

impl KeptReader<'_> {
    /// The lines of the next block, without their ends, in input order.
    pub(crate) fn next_block(&mut self) -> io::Result<Option<Lines<'_>>> {
        let Some(block) = self.blocks.next() else { return Ok(None) };
        block.open(&mut self.raw)?;
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

/// Collects rows.
pub(crate) struct RowKeeper {
    layout: Layout,
    packer: Packer,
    raw: Vec<u8>,
    blocks: Vec<Packed>,
}

impl RowKeeper {
    pub(crate) fn new(layout: Layout) -> Self {
        Self { layout, packer: Packer::new(), raw: Vec::with_capacity(BLOCK), blocks: Vec::new() }
    }

    /// A row that is sent.
    pub(crate) fn push(&mut self, row: &ByteRecord) -> io::Result<()> {
        self.line(|layout, raw| layout.input(raw, row))
    }

    /// A row that is not.
    pub(crate) fn push_rejected(&mut self, row: &ByteRecord, refused: &str) -> io::Result<()> {
        self.line(|layout, raw| layout.rejected(raw, row, refused))
    }

    fn line(&mut self, write: impl FnOnce(&Layout, &mut Vec<u8>)) -> io::Result<()> {
        let start = self.raw.len();
        self.raw.extend_from_slice(&[0; LENGTH]);
        write(&self.layout, &mut self.raw);
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
            self.blocks.push(self.packer.pack(&self.raw)?);
            self.raw.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Escape;

    #[test]
    fn kept_rows_come_back_in_order_and_whole() {
        let mut keeper = RowKeeper::new(Layout::new(Escape::Formulas, &ByteRecord::from(vec!["n", "text", "blank"])));
        for n in 0..50_000 {
            keeper.push(&ByteRecord::from(vec![n.to_string(), "a,b".into(), String::new()])).unwrap();
        }
        let kept = keeper.finish().unwrap();
        assert!(kept.blocks.len() > 1);
        let (mut reader, mut n) = (kept.reader(), 0);
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
