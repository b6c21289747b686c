//! The cells of the row that is read, as a row takes them over in one piece.

use std::convert::Infallible;

use memchr::memchr;

use super::value::Wrong;
use crate::row::Record;

/// Filled again and again. Texts are taken as they are, and judged once a row: most cells are too short for a look at each of them.
#[derive(Default)]
pub(super) struct Line {
    /// The cells, with a comma between each two.
    joined: Vec<u8>,
    ends: Vec<usize>,
}

impl Line {
    pub(super) fn clear(&mut self) {
        self.joined.clear();
        self.ends.clear();
    }

    /// A cell with the bytes that `fill` appends; with none if they are wrong. The outer error ends the row.
    pub(super) fn cell<E>(&mut self, fill: impl FnOnce(&mut Vec<u8>) -> Result<Result<(), Wrong>, E>) -> Result<Result<(), Wrong>, E> {
        if !self.ends.is_empty() {
            self.joined.push(b',');
        }
        let start = self.joined.len();
        let filled = fill(&mut self.joined)?;
        if filled.is_err() {
            self.joined.truncate(start);
        }
        self.ends.push(self.joined.len());
        Ok(filled)
    }

    /// Bytes of all cells, and of the commas between them.
    pub(super) fn len(&self) -> usize {
        self.joined.len()
    }

    pub(super) fn cells(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|end| end + 1));
        starts.zip(&self.ends).map(|(start, end)| &self.joined[start..*end])
    }

    pub(super) fn give(&self, row: &mut Record) {
        row.set_line(&self.joined, &self.ends);
    }

    /// Empties the cells that are no text, and tells which they are and why.
    pub(super) fn judge(&mut self) -> Vec<(usize, Wrong)> {
        // A cell that ends within a character has a byte of none behind it: the comma.
        if memchr(0, &self.joined).is_none() && std::str::from_utf8(&self.joined).is_ok() {
            return Vec::new();
        }
        let (mut wrong, mut good) = (Vec::new(), Self::default());
        for (at, cell) in self.cells().enumerate() {
            let judged = judged(cell);
            wrong.extend(judged.err().map(|why| (at, why)));
            let Ok(_) = good.cell(|text| {
                text.extend_from_slice(cell);
                Ok::<_, Infallible>(judged)
            });
        }
        *self = good;
        wrong
    }
}

fn judged(cell: &[u8]) -> Result<(), Wrong> {
    let text = std::str::from_utf8(cell).map_err(|_| Wrong::NotText)?;
    if text.contains('\0') { Err(Wrong::Nul) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(line: &mut Line, cell: &[u8], told: Result<(), Wrong>) {
        let Ok(_) = line.cell(|text| {
            text.extend_from_slice(cell);
            Ok::<_, Infallible>(told)
        });
    }

    #[test]
    fn cells_are_judged_one_by_one_wherever_their_row_is_cut() {
        let mut line = Line::default();
        let mut fill = |cells: &[&[u8]]| {
            line.clear();
            cells.iter().for_each(|cell| put(&mut line, cell, Ok(())));
            let wrong = line.judge();
            let mut row = Record::new();
            line.give(&mut row);
            assert!(line.cells().eq(row.iter()));
            (row.iter().map(|cell| String::from_utf8(cell.to_vec()).unwrap()).collect::<Vec<_>>().join("|"), wrong)
        };
        assert_eq!(fill(&[b"Zo\xC3\xAB", b"", b"x,y"]), ("Zoë||x,y".to_owned(), vec![]));
        // Half a character in each of two cells is none.
        assert_eq!(
            fill(&[b"\xC3", b"\xAB", b"a\0", b"b"]),
            ("|||b".to_owned(), vec![(0, Wrong::NotText), (1, Wrong::NotText), (2, Wrong::Nul)])
        );
        assert_eq!(fill(&[b"", b"\xFF"]), ("|".to_owned(), vec![(1, Wrong::NotText)]));
        assert_eq!(fill(&[]), (String::new(), vec![]));
    }

    #[test]
    fn a_cell_that_fails_leaves_nothing() {
        let mut line = Line::default();
        put(&mut line, b"a", Ok(()));
        put(&mut line, b"b", Err(Wrong::Nul));
        assert!(line.cells().eq([&b"a"[..], b""]));
    }
}
