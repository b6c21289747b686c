//! A header and a row as formulas see them, and what is blank in a cell.

use crate::row::Record;

use crate::row::Header;

pub(crate) struct Columns<'h>(pub(crate) &'h Header);

impl formula::Columns for Columns<'_> {
    fn find(&self, name: &str) -> Result<usize, String> {
        self.0.find(name).map_err(|error| error.to_string())
    }
}

/// Without blanks at both ends, blank as everywhere.
#[inline(always)]
pub(crate) fn trim(cell: &[u8]) -> &[u8] {
    // Most cells begin and end with something that shows: they are looked at no further.
    match (cell.first(), cell.last()) {
        (Some(first), Some(last)) if first.is_ascii_graphic() && last.is_ascii_graphic() => cell,
        _ => trim_blanks(cell),
    }
}

#[inline(never)]
fn trim_blanks(cell: &[u8]) -> &[u8] {
    std::str::from_utf8(cell).map_or(cell.trim_ascii(), |text| formula::trim(text).as_bytes())
}

/// Words that the source writes where it has nothing.
#[derive(Default)]
pub(crate) struct NullWords(Vec<Box<[u8]>>);

impl NullWords {
    pub(crate) fn new(words: &[String]) -> Self {
        Self(words.iter().map(|word| trim(word.as_bytes()).into()).collect())
    }

    /// Whether there is no such word.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The cell, empty if it is one of the words.
    #[inline(always)]
    pub(crate) fn read<'r>(&self, row: &'r Record, column: usize) -> &'r [u8] {
        let cell = row.get(column).unwrap_or_default();
        if !self.0.is_empty() && self.have(cell) { b"" } else { cell }
    }

    #[inline(never)]
    fn have(&self, cell: &[u8]) -> bool {
        self.0.iter().any(|word| **word == *trim(cell))
    }
}

pub(crate) struct Cells<'r> {
    pub(crate) row: &'r Record,
    pub(crate) null_words: &'r NullWords,
}

impl formula::Cells for Cells<'_> {
    fn cell(&self, column: usize) -> &str {
        // Sources hand on nothing but UTF-8; a row that is none carries a fault and never comes here.
        std::str::from_utf8(self.null_words.read(self.row, column)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_trimmed_as_texts_are() {
        for (cell, expected) in [
            ("x", "x"),
            ("x y", "x y"),
            (" x\u{A0}", "x"),
            ("\u{3000}", ""),
            ("\t\u{200B}\u{FEFF}\u{1}", ""),
            ("Zoë", "Zoë"),
            ("ëë", "ëë"),
            ("", ""),
        ] {
            assert_eq!(trim(cell.as_bytes()), expected.as_bytes(), "{cell}");
        }
        assert_eq!(trim(b" \xFF "), b"\xFF");
    }

    #[test]
    fn a_null_word_is_an_empty_cell_and_nothing_else_is() {
        let words = NullWords::new(&["\\N".to_owned(), "NULL".to_owned()]);
        let row = Record::from(vec!["\\N", " NULL ", "null", "NULLS", ""]);
        let read: Vec<&[u8]> = (0..6).map(|column| words.read(&row, column)).collect();
        assert_eq!(read, [&b""[..], b"", b"null", b"NULLS", b"", b""]);
        assert_eq!(NullWords::default().read(&row, 0), b"\\N");
    }
}
