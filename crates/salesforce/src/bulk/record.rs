//! The cells of one row in one piece of memory.

use std::fmt;
use std::ops::{Index, Range};

use memchr::{memchr_iter, memchr3};

/// The cells of one row, with a comma between each two: where no cell holds a comma, a quote or a line end, that is the row as a line of CSV.
/// Made to be filled again and again.
#[derive(Clone, Default)]
pub struct Record {
    joined: Vec<u8>,
    /// Where each cell ends in `joined`.
    ends: Vec<u32>,
    /// No cell holds a comma, a quote or a line end. Otherwise nobody has looked yet.
    known_plain: bool,
}

impl Record {
    /// A row without cells.
    pub const fn new() -> Self {
        Self { joined: Vec::new(), ends: Vec::new(), known_plain: false }
    }

    /// Takes all cells away; the memory stays.
    #[inline]
    pub fn clear(&mut self) {
        self.joined.clear();
        self.ends.clear();
        self.known_plain = false;
    }

    /// Appends a cell. All cells of a row together are at most 4 GiB.
    #[inline]
    pub fn push_field(&mut self, cell: &[u8]) {
        if !self.ends.is_empty() {
            self.joined.push(b',');
        }
        self.joined.extend_from_slice(cell);
        self.ends.push(self.joined.len() as u32);
        self.known_plain = false;
    }

    /// Appends these cells of another row, which has them.
    #[inline]
    pub fn push_cells(&mut self, of: &Self, cells: Range<usize>) {
        let Some(last) = cells.end.checked_sub(1).filter(|last| *last >= cells.start) else { return };
        let start = cells.start.checked_sub(1).map_or(0, |before| of.ends[before] as usize + 1);
        if !self.ends.is_empty() {
            self.joined.push(b',');
        }
        let moved = (self.joined.len() as u32).wrapping_sub(start as u32);
        self.joined.extend_from_slice(&of.joined[start..of.ends[last] as usize]);
        self.ends.extend(of.ends[cells].iter().map(|end| end.wrapping_add(moved)));
        self.known_plain = false;
    }

    /// Takes over a line whose cells have commas between them, in place of what was here. `ends`: where each cell ends.
    #[inline]
    pub fn set_line(&mut self, line: &[u8], ends: &[usize]) {
        self.known_plain = false;
        self.joined.clear();
        self.joined.extend_from_slice(line);
        self.ends.clear();
        self.ends.extend(ends.iter().map(|end| *end as u32));
    }

    /// How many cells there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no cell.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The cell at this place, counted from zero.
    #[inline]
    pub fn get(&self, at: usize) -> Option<&[u8]> {
        let end = *self.ends.get(at)? as usize;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before] as usize + 1);
        Some(&self.joined[start..end])
    }

    /// The cells from the first.
    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        Iter { joined: &self.joined, ends: self.ends.iter(), start: 0 }
    }

    /// The cells, with a comma between each two.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.joined
    }

    /// Where each cell ends in what [`Record::as_slice`] gives.
    #[inline]
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Whether no cell holds a comma, a quote or a line end.
    #[inline]
    pub fn is_plain(&self) -> bool {
        let commas = || memchr_iter(b',', &self.joined).count() < self.ends.len().max(1);
        self.known_plain || memchr3(b'"', b'\n', b'\r', &self.joined).is_none() && commas()
    }

    /// Spares everybody else the look: who filled the row knows that it is plain, as it is now.
    #[inline]
    pub fn mark_plain(&mut self) {
        debug_assert!(self.is_plain());
        self.known_plain = true;
    }

    /// Whether [`Record::mark_plain`] was said of the row as it is now.
    #[inline]
    pub fn is_known_plain(&self) -> bool {
        self.known_plain
    }

    /// Whether all cells are empty.
    #[inline]
    pub fn is_blank(&self) -> bool {
        self.joined.len() < self.ends.len().max(1)
    }

    /// Bytes of all cells together.
    #[inline]
    pub fn content_len(&self) -> usize {
        self.joined.len() - self.ends.len().saturating_sub(1)
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.ends == other.ends && self.joined == other.joined
    }
}

impl Eq for Record {}

impl Index<usize> for Record {
    type Output = [u8];

    fn index(&self, at: usize) -> &[u8] {
        self.get(at).expect("a cell that the row has")
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(String::from_utf8_lossy)).finish()
    }
}

impl<T: AsRef<[u8]>> PartialEq<Vec<T>> for Record {
    fn eq(&self, other: &Vec<T>) -> bool {
        self.iter().eq(other.iter().map(AsRef::as_ref))
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for Record {
    fn from_iter<I: IntoIterator<Item = T>>(cells: I) -> Self {
        let mut record = Self::new();
        cells.into_iter().for_each(|cell| record.push_field(cell.as_ref()));
        record
    }
}

impl<T: AsRef<[u8]>> From<Vec<T>> for Record {
    fn from(cells: Vec<T>) -> Self {
        cells.into_iter().collect()
    }
}

impl<T: AsRef<[u8]>> From<&[T]> for Record {
    fn from(cells: &[T]) -> Self {
        cells.iter().collect()
    }
}

impl<'r> IntoIterator for &'r Record {
    type Item = &'r [u8];
    type IntoIter = Iter<'r>;

    #[inline]
    fn into_iter(self) -> Iter<'r> {
        self.iter()
    }
}

/// The cells of a [`Record`], from the first.
#[derive(Clone)]
pub struct Iter<'r> {
    joined: &'r [u8],
    ends: std::slice::Iter<'r, u32>,
    start: usize,
}

impl<'r> Iterator for Iter<'r> {
    type Item = &'r [u8];

    #[inline]
    fn next(&mut self) -> Option<&'r [u8]> {
        let end = *self.ends.next()? as usize;
        let cell = &self.joined[self.start..end];
        self.start = end + 1;
        Some(cell)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ends.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_come_back_as_they_were_pushed() {
        let mut record = Record::new();
        assert!(record.is_empty() && record.is_plain() && record.is_blank() && record.get(0).is_none());
        for cells in [vec!["a"], vec!["", ""], vec!["", "b,c", ""], vec!["x", "", "y\n"]] {
            record.clear();
            cells.iter().for_each(|cell| record.push_field(cell.as_bytes()));
            assert_eq!(record, cells);
            assert_eq!(record, Record::from(cells.clone()));
            assert_eq!(record.as_slice(), cells.join(",").as_bytes());
            assert_eq!((0..cells.len()).map(|at| &record[at]).collect::<Record>(), record);
            assert_eq!((record.get(cells.len()), record.len()), (None, cells.len()));
            assert_eq!(record.content_len(), cells.concat().len());
            assert_eq!(record.is_blank(), cells.concat().is_empty());
            assert_eq!(record.is_plain(), !cells.concat().contains([',', '"', '\n', '\r']));
        }
    }

    #[test]
    fn a_line_is_taken_over_with_its_commas() {
        let mut record = Record::from(vec!["of before"]);
        record.set_line(b"a,,bc", &[1, 2, 5]);
        assert_eq!(record, vec!["a", "", "bc"]);
        record.push_field(b"d");
        assert_eq!(record, Record::from(vec!["a", "", "bc", "d"]));
    }

    #[test]
    fn cells_next_to_each_other_are_taken_over_together() {
        let from = Record::from(vec!["a", "", "c,d", "e"]);
        for start in 0..=from.len() {
            for end in start..=from.len() {
                for before in [vec![], vec![""], vec!["x", "longer than those"]] {
                    let mut record = Record::from(before.clone());
                    record.push_cells(&from, start..end);
                    let one_by_one = before.iter().map(|cell| cell.as_bytes()).chain((start..end).map(|at| &from[at]));
                    assert_eq!(record, one_by_one.collect::<Record>(), "{start}..{end} behind {before:?}");
                }
            }
        }
    }

    #[test]
    fn the_same_text_in_other_cells_is_another_row() {
        assert_ne!(Record::from(vec!["a,b", "c"]), Record::from(vec!["a", "b,c"]));
        let (mut plain, same) = (Record::from(vec!["a", "b"]), Record::from(vec!["a", "b"]));
        plain.mark_plain();
        assert_eq!(plain, same);
        plain.push_field(b"c,");
        assert!(!plain.is_plain() && same.is_plain() && !same.is_known_plain());
    }
}
