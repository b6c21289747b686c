//! Watches that `orderBy` does what resuming relies on: each row has a key, no two have the same.

use super::QueryError;
use crate::row::{Header, Record, Row};

pub(super) struct Keys {
    columns: Vec<usize>,
    last: Record,
}

impl Keys {
    /// The columns that `orderBy` names.
    pub(super) fn find(names: &[String], header: &Header) -> Result<Self, QueryError> {
        let find = |name: &String| header.find(name).map_err(|problem| QueryError::OrderBy { problem, header: header.described() });
        Ok(Self { columns: names.iter().map(find).collect::<Result<_, _>>()?, last: Record::new() })
    }

    pub(super) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Adds a cell to the row's key if it belongs there. Absent: it is NULL.
    #[inline]
    pub(super) fn take(&self, row: &mut Row, column: usize, value: Option<&[u8]>, header: &Header) -> Result<(), QueryError> {
        if self.columns.contains(&column) {
            let Some(value) = value else {
                return Err(QueryError::KeyIsNull { row: row.number, column: header.names()[column].clone() });
            };
            row.key.push_field(value);
        }
        Ok(())
    }

    /// Once a row is whole. Rows that share a key would be lost or doubled behind an interruption.
    pub(super) fn check(&mut self, row: &mut Row, header: &Header) -> Result<(), QueryError> {
        if self.columns.is_empty() {
            return Ok(());
        }
        // The key was gathered in column order; it is told in the order of `orderBy`.
        if !self.columns.is_sorted() {
            let mut found = self.columns.clone();
            found.sort_unstable();
            let place = |column: &usize| found.iter().position(|known| known == column).unwrap_or_default();
            row.key = self.columns.iter().map(|column| &row.key[place(column)]).collect();
        }
        if row.key == self.last {
            let columns = self.columns.iter().map(|column| header.names()[*column].as_str()).collect::<Vec<_>>().join(", ");
            return Err(QueryError::KeyRepeats { row: row.number, columns });
        }
        self.last.clone_from(&row.key);
        Ok(())
    }
}
