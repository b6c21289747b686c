//! Leaves out rows that repeat earlier ones. Remembers a 128-bit hash for each different row and no text: seven million
//! take about 140 MB. A row whose columns are all blank says nothing about being the same as another and is kept.

use std::collections::HashSet;

use csv::ByteRecord;
use sha2::{Digest, Sha256};

use crate::row::{ColumnError, Header, RowError};

/// Just below where the set would double.
const MOST: usize = 7_000_000;

pub(crate) struct Dedupe {
    columns: Vec<usize>,
    seen: HashSet<u128>,
    most: usize,
}

impl Dedupe {
    pub(crate) fn compile(by: &[String], header: &Header) -> Result<Self, Vec<ColumnError>> {
        let (found, unknown): (Vec<_>, Vec<_>) = by.iter().map(|name| header.find(name)).partition(Result::is_ok);
        if unknown.is_empty() {
            Ok(Self { columns: found.into_iter().flatten().collect(), seen: HashSet::new(), most: MOST })
        } else {
            Err(unknown.into_iter().filter_map(Result::err).collect())
        }
    }

    /// Whether no earlier row had these cells.
    pub(crate) fn is_new(&mut self, row: &ByteRecord) -> Result<bool, RowError> {
        let cells = || self.columns.iter().map(|column| row.get(*column).unwrap_or_default());
        if cells().all(|cell| cell.trim_ascii().is_empty()) {
            return Ok(true);
        }
        let mut hash = Sha256::new();
        for cell in cells() {
            hash.update((cell.len() as u64).to_le_bytes());
            hash.update(cell);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn dedupe(by: &[&str]) -> Dedupe {
        let by: Vec<String> = by.iter().map(|name| name.to_string()).collect();
        Dedupe::compile(&by, &Header::new(["a", "b", "c"])).unwrap()
    }

    fn is_new(dedupe: &mut Dedupe, row: [&str; 3]) -> Result<bool, RowError> {
        dedupe.is_new(&ByteRecord::from(row.to_vec()))
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
        assert_eq!(is_new(&mut dedupe, [" ", "y", ""]), Ok(true));
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
        assert_eq!(Dedupe::compile(&by, &Header::new(["a", "b"])).err().unwrap().len(), 2);
    }
}
