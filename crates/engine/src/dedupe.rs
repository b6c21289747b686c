//! Leaves out rows that repeat earlier ones. Remembers a 128-bit hash for each different row and no text: seven million
//! take about 140 MB. Cells are compared without the blanks around them, and where a column gives a key, as Salesforce
//! compares that key. A row whose columns are all blank says nothing about being the same as another and is kept.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use crate::cells::{NullWords, trim};
use crate::row::{ColumnError, Header, Record, RowError};

/// Just below where the set would double.
const MOST: usize = 7_000_000;

/// When two cells of a column mean the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Compare {
    Exactly,
    /// Keys that do not mind case.
    Folded,
    /// Record ids: the last three of 18 characters only repeat the case of the others.
    Id,
}

pub(crate) struct Dedupe {
    columns: Vec<(usize, Compare)>,
    seen: HashSet<u128>,
    most: usize,
    /// Cells are folded in it; it keeps only its capacity.
    folded: String,
}

impl Dedupe {
    pub(crate) fn compile(by: &[String], header: &Header, compare: impl Fn(usize) -> Compare) -> Result<Self, Vec<ColumnError>> {
        let (found, unknown): (Vec<_>, Vec<_>) = by.iter().map(|name| header.find(name)).partition(Result::is_ok);
        if unknown.is_empty() {
            let columns = found.into_iter().flatten().map(|column| (column, compare(column))).collect();
            Ok(Self { columns, seen: HashSet::new(), most: MOST, folded: String::new() })
        } else {
            Err(unknown.into_iter().filter_map(Result::err).collect())
        }
    }

    /// Whether no earlier row had these cells.
    pub(crate) fn is_new(&mut self, row: &Record, null_words: &NullWords) -> Result<bool, RowError> {
        let mut hash = Sha256::new();
        let mut blank = true;
        for (column, compare) in &self.columns {
            let cell = comparable(trim(null_words.read(row, *column)), *compare, &mut self.folded);
            blank &= cell.is_empty();
            hash.update((cell.len() as u64).to_le_bytes());
            hash.update(cell);
        }
        if blank {
            return Ok(true);
        }
        let mut short = [0; 16];
        short.copy_from_slice(&hash.finalize()[..16]);
        let key = u128::from_le_bytes(short);
        if self.seen.len() >= self.most && !self.seen.contains(&key) {
            return Err(RowError::TooManyToRemember { limit: self.most });
        }
        Ok(self.seen.insert(key))
    }
}

/// What is equal for cells that mean the same.
fn comparable<'c>(cell: &'c [u8], compare: Compare, folded: &'c mut String) -> &'c [u8] {
    match compare {
        Compare::Exactly => cell,
        Compare::Id if cell.len() == 18 && cell.is_ascii() => &cell[..15],
        Compare::Id => cell,
        Compare::Folded => {
            let Ok(text) = std::str::from_utf8(cell) else { return cell };
            folded.clear();
            folded.extend(text.chars().flat_map(char::to_lowercase));
            folded.as_bytes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dedupe(by: &[&str]) -> Dedupe {
        let by: Vec<String> = by.iter().map(|name| name.to_string()).collect();
        Dedupe::compile(&by, &Header::new(["a", "b", "c"]), |_| Compare::Exactly).unwrap()
    }

    fn is_new(dedupe: &mut Dedupe, row: [&str; 3]) -> Result<bool, RowError> {
        dedupe.is_new(&Record::from(row.to_vec()), &NullWords::new(&["NULL".to_owned()]))
    }

    #[test]
    fn the_first_of_equal_rows_is_kept_whatever_the_other_columns_hold() {
        let mut dedupe = dedupe(&["a", "c"]);
        assert_eq!(is_new(&mut dedupe, ["1", "x", "2"]), Ok(true));
        assert_eq!(is_new(&mut dedupe, ["1", "y", "2"]), Ok(false));
        assert_eq!(is_new(&mut dedupe, ["12", "y", ""]), Ok(true));
        assert_eq!(is_new(&mut dedupe, ["", "y", "12"]), Ok(true));
        assert_eq!(is_new(&mut dedupe, ["1", "y", "22"]), Ok(true));
    }

    #[test]
    fn rows_without_any_of_the_values_are_all_kept() {
        let mut dedupe = dedupe(&["a"]);
        assert_eq!(is_new(&mut dedupe, ["", "x", ""]), Ok(true));
        for blank in [" ", "\u{A0}", "\u{3000}\t", "\u{200B}", "\u{1}", "NULL"] {
            assert_eq!(is_new(&mut dedupe, [blank, "y", ""]), Ok(true));
        }
    }

    #[test]
    fn blanks_around_a_cell_make_no_other_row_and_case_does() {
        let mut dedupe = dedupe(&["a"]);
        assert_eq!(is_new(&mut dedupe, ["Key", "", ""]), Ok(true));
        assert_eq!(is_new(&mut dedupe, ["\u{A0}Key ", "", ""]), Ok(false));
        assert_eq!(is_new(&mut dedupe, ["key", "", ""]), Ok(true));
    }

    #[test]
    fn keys_are_compared_as_salesforce_compares_them() {
        let by = ["a", "b"].map(str::to_owned);
        let compare = |column| [Compare::Folded, Compare::Id][column];
        let mut dedupe = Dedupe::compile(&by, &Header::new(["a", "b", "c"]), compare).unwrap();
        assert_eq!(is_new(&mut dedupe, ["ÄB1", "0018c00002DJIpJ", ""]), Ok(true));
        assert_eq!(is_new(&mut dedupe, ["äb1 ", "0018c00002DJIpJAAX", ""]), Ok(false));
        assert_eq!(is_new(&mut dedupe, ["äb1", "0018c00002DJIpj", ""]), Ok(true));
    }

    #[test]
    fn beyond_its_limit_it_says_so_and_still_knows_what_it_has_seen() {
        let mut dedupe = Dedupe { most: 1, ..dedupe(&["a"]) };
        assert_eq!(is_new(&mut dedupe, ["1", "", ""]), Ok(true));
        assert_eq!(is_new(&mut dedupe, ["2", "", ""]), Err(RowError::TooManyToRemember { limit: 1 }));
        assert_eq!(is_new(&mut dedupe, ["1", "", ""]), Ok(false));
    }

    #[test]
    fn every_unknown_column_is_told() {
        let by = ["a", "x", "y"].map(str::to_owned);
        assert_eq!(Dedupe::compile(&by, &Header::new(["a", "b"]), |_| Compare::Exactly).err().unwrap().len(), 2);
    }
}
