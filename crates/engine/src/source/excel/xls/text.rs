//! Texts of records: a count of characters, how wide they are, and what else is told of them. A text may go on in the next record, where
//! the width is told anew.

use crate::source::excel::binary::{u16_at, u32_at};

/// Pieces of one record, read from its start.
pub(super) struct Pieces<'b> {
    pieces: Vec<&'b [u8]>,
    piece: usize,
    at: usize,
}

impl<'b> Pieces<'b> {
    pub(super) fn new(pieces: Vec<&'b [u8]>) -> Self {
        Self { pieces, piece: 0, at: 0 }
    }

    /// What is left of this piece.
    fn rest(&self) -> &'b [u8] {
        self.pieces.get(self.piece).and_then(|piece| piece.get(self.at..)).unwrap_or_default()
    }

    /// So many bytes, which stand in one piece.
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        if self.rest().is_empty() {
            self.turn()?;
        }
        let found = self.rest().get(..count)?;
        self.at += count;
        Some(found)
    }

    /// To the next piece.
    fn turn(&mut self) -> Option<()> {
        self.piece += 1;
        self.at = 0;
        (self.piece < self.pieces.len()).then_some(())
    }

    pub(super) fn skip(&mut self, mut count: usize) -> Option<()> {
        loop {
            let here = count.min(self.rest().len());
            self.at += here;
            count -= here;
            if count == 0 {
                return Some(());
            }
            self.turn()?;
        }
    }

    /// A text as the table of texts and cells have it. `None`: it breaks off.
    pub(super) fn text(&mut self) -> Option<String> {
        let head = self.take(3)?;
        let (count, flags) = (usize::from(u16_at(head, 0)?), head[2]);
        let runs = if flags & 8 != 0 { usize::from(u16_at(self.take(2)?, 0)?) } else { 0 };
        let more = if flags & 4 != 0 { u32_at(self.take(4)?, 0)? as usize } else { 0 };
        let text = self.characters(count, flags & 1 != 0)?;
        // Fonts, and how it is pronounced.
        self.skip(runs * 4)?;
        self.skip(more)?;
        Some(text)
    }

    fn characters(&mut self, mut count: usize, mut wide: bool) -> Option<String> {
        let mut units: Vec<u16> = Vec::with_capacity(count);
        while count > 0 {
            if self.rest().is_empty() {
                self.turn()?;
                wide = self.take(1)?[0] & 1 != 0;
            }
            if wide {
                let here = count.min(self.rest().len() / 2);
                if here == 0 {
                    return None;
                }
                units.extend(self.take(here * 2)?.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])));
                count -= here;
            } else {
                let here = count.min(self.rest().len());
                units.extend(self.take(here)?.iter().copied().map(u16::from));
                count -= here;
            }
        }
        Some(String::from_utf16_lossy(&units))
    }
}

/// The name of a sheet: its count has one byte.
pub(super) fn short(bytes: &[u8]) -> Option<String> {
    let [count, flags, rest @ ..] = bytes else { return None };
    Pieces::new(vec![rest]).characters(usize::from(*count), flags & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_goes_on_in_the_next_record_with_a_width_of_its_own() {
        let first = [5, 0, 0, b'a', b'b'];
        let second = [1, 0xE9, 0, 0x20, 0xAC, b'z', 0];
        let mut pieces = Pieces::new(vec![&first, &second]);
        assert_eq!(pieces.text().as_deref(), Some("abé\u{AC20}z"));
        assert_eq!(pieces.text(), None);
        // Fonts and pronunciation stand behind it, over several records, without a width.
        let rich = [1, 0, 12, 1, 0, 3, 0, 0, 0, b'x', 1];
        let mut pieces = Pieces::new(vec![&rich, &[2, 3, 4], &[9, 9, 9, 1, 0, 0, b'y']]);
        assert_eq!((pieces.text().as_deref(), pieces.text().as_deref()), (Some("x"), Some("y")));
        for broken in [&[][..], &[1, 0], &[2, 0, 0, b'a'], &[1, 0, 1, b'a'], &[0, 0, 4, 9, 0, 0, 0]] {
            assert_eq!(Pieces::new(vec![broken]).text(), None, "{broken:?}");
        }
    }
}
