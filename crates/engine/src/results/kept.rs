//! Input rows kept until their results are written: as the lines they will become, in memory only.

use crate::row::Record;

use super::layout::Layout;

/// Blocks of one size, so that what one chunk gives back fits the next.
const BLOCK: usize = 64 << 10;

const LENGTH: usize = 4;

/// Finished rows of one chunk, in input order.
#[derive(Debug, Default)]
pub(crate) struct KeptRows {
    blocks: Vec<Vec<u8>>,
}

impl KeptRows {
    /// Block by block the lines, without their ends, in input order.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Lines<'_>> {
        self.blocks.iter().map(|block| Lines(block))
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
    block: Vec<u8>,
    blocks: Vec<Vec<u8>>,
}

impl RowKeeper {
    pub(crate) fn new(layout: Layout) -> Self {
        Self { layout, block: Vec::new(), blocks: Vec::new() }
    }

    /// A row that is sent.
    pub(crate) fn push(&mut self, row: &Record) {
        self.line(|layout, block| layout.input(block, row));
    }

    /// A row that is not.
    pub(crate) fn push_rejected(&mut self, row: &Record, refused: &str) {
        self.line(|layout, block| layout.rejected(block, row, refused));
    }

    fn line(&mut self, write: impl FnOnce(&Layout, &mut Vec<u8>)) {
        if self.block.is_empty() {
            self.block.reserve_exact(BLOCK);
        }
        let start = self.block.len();
        self.block.extend_from_slice(&[0; LENGTH]);
        write(&self.layout, &mut self.block);
        let length = (self.block.len() - start - LENGTH) as u32;
        self.block[start..start + LENGTH].copy_from_slice(&length.to_le_bytes());
        if self.block.len() >= BLOCK - (BLOCK >> 4) {
            self.seal();
        }
    }

    /// The rows so far; the keeper is then empty again.
    pub(crate) fn finish(&mut self) -> KeptRows {
        self.seal();
        KeptRows { blocks: std::mem::take(&mut self.blocks) }
    }

    fn seal(&mut self) {
        if !self.block.is_empty() {
            self.blocks.push(std::mem::take(&mut self.block));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Escape;

    #[test]
    fn kept_rows_come_back_in_order_and_whole() {
        let mut keeper = RowKeeper::new(Layout::new(Escape::Formulas, &Record::from(vec!["n", "text", "blank"])));
        for n in 0..50_000 {
            keeper.push(&Record::from(vec![n.to_string(), "a,b".into(), String::new()]));
        }
        let kept = keeper.finish();
        assert!(kept.blocks.len() > 1);
        let mut n = 0;
        for line in kept.blocks().flatten() {
            assert_eq!(line, format!("{n},\"a,b\",").as_bytes());
            n += 1;
        }
        assert_eq!(n, 50_000);
        assert!(keeper.finish().blocks.is_empty());
    }
}
