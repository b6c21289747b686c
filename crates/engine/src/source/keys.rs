//! Watches that `orderBy` does what resuming relies on: each row has a key, no two have the same. The column of a watermark comes before the
//! others: rows then come in its order, and the last one read has its highest value.

use api::import_job::SqlSource;

use super::{QueryError, Start};
use crate::row::{Header, Record, Row};

const WATERMARK: &str = "watermark.column";

/// Values of PostgreSQL beyond which nothing is: behind them, no later run would find a row.
const ENDLESS: [&[u8]; 3] = [b"infinity", b"Infinity", b"NaN"];

pub(super) struct Keys {
    columns: Vec<usize>,
    last: Record,
    /// The first column is a watermark, which has read this far.
    watermark: Option<Option<String>>,
}

impl Keys {
    /// The columns that the job names.
    pub(super) fn find(query: &SqlSource, header: &Header, start: &Start) -> Result<Self, QueryError> {
        let find = |field: &'static str, name: &String| {
            header.find(name).map_err(|problem| QueryError::KeyColumn { field, problem, header: header.described() })
        };
        let watermark = query.watermark.as_ref().map(|watermark| find(WATERMARK, &watermark.column)).transpose()?;
        let mut columns: Vec<usize> = watermark.into_iter().collect();
        for name in &query.order_by {
            let column = find("orderBy", name)?;
            if watermark != Some(column) {
                columns.push(column);
            }
        }
        let reached = match start {
            Start::Behind { key, .. } => key.first().cloned(),
            Start::First | Start::Again { .. } => None,
        };
        Ok(Self { columns, last: Record::new(), watermark: watermark.map(|_| reached) })
    }

    pub(super) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The highest value of the watermark so far, as the database wrote it.
    pub(super) fn watermark(&self) -> Option<String> {
        let reached = self.watermark.as_ref()?;
        match self.last.is_empty() {
            true => reached.clone(),
            false => Some(String::from_utf8_lossy(&self.last[0]).into_owned()),
        }
    }

    /// The columns, each with the field of the job that names it.
    pub(super) fn named(&self) -> Vec<(usize, &'static str)> {
        self.columns.iter().map(|column| (*column, self.field(*column))).collect()
    }

    /// The field of the job that names this one of the columns.
    pub(super) fn field(&self, column: usize) -> &'static str {
        if self.watermark.is_some() && self.columns.first() == Some(&column) { WATERMARK } else { "orderBy" }
    }

    /// Adds a cell to the row's key if it belongs there. Absent: it is NULL.
    #[inline]
    pub(super) fn take(&self, row: &mut Row, column: usize, value: Option<&[u8]>, header: &Header) -> Result<(), QueryError> {
        if self.columns.contains(&column) {
            let Some(value) = value else {
                return Err(QueryError::KeyIsNull { row: row.number, field: self.field(column), column: header.names()[column].clone() });
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
        if self.watermark.is_some() && ENDLESS.contains(&&row.key[0]) {
            return Err(QueryError::WatermarkEndless { row: row.number, column: header.names()[self.columns[0]].clone() });
        }
        if row.key == self.last {
            let columns = self.columns.iter().map(|column| header.names()[*column].as_str()).collect::<Vec<_>>().join(", ");
            return Err(QueryError::KeyRepeats { row: row.number, columns });
        }
        self.last.clone_from(&row.key);
        Ok(())
    }
}
