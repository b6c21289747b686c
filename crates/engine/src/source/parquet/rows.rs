//! A Parquet file → header and rows: row group by row group, a cell of each column at a time. Nothing here waits: it runs where it may take
//! its time.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use parquet::file::metadata::ParquetMetaData;

use super::budget::Budget;
use super::cells::{Cells, cells};
use super::columns::{Column, Columns};
use super::error::{ParquetError, Part};
use super::footer;
use super::limits::{MAX_AHEAD, MAX_COLUMN_AHEAD, MAX_VALUES};
use super::line::Line;
use super::pages::{Pages, continues};
use super::shape::{NoText, Shape};
use super::value::Wrong;
use crate::Memory;
use crate::own;
use crate::row::{Batch, Header, Row, RowError};
use crate::source::FileError;
use crate::source::limits::{MAX_CHARACTERS, MAX_COLUMNS, MAX_RECORD, characters};
use crate::source::random_access::RandomAccess;
use crate::taken::Taken;

/// A Parquet file.
pub struct ParquetRows {
    file: RandomAccess,
    metadata: Arc<ParquetMetaData>,
    header: Header,
    columns: Vec<Column>,
    /// Whether the job uses a column.
    used: Vec<bool>,
    budget: Budget,
    /// The cells of each column in the row group that is read; none for a column that is no text.
    cells: Vec<Option<Box<dyn Cells>>>,
    /// Rows of that group that were not read.
    left: u64,
    /// The row group that comes next.
    group: usize,
    read: u64,
    line: Line,
}

impl ParquetRows {
    /// Reads the footer. `used`: the columns that the job uses, by their names; nobody said means all of them. `memory`: what the file and its
    /// pages may take.
    ///
    /// # Errors
    ///
    /// [`FileError::Parquet`] when the bytes are no Parquet file that can be read, or the job uses a column that is no text.
    pub fn open(file: Bytes, used: &BTreeSet<String>, memory: Memory) -> Result<Self, FileError> {
        Self::of(file.into(), used, memory)
    }

    pub(in crate::source) fn of(file: RandomAccess, used: &BTreeSet<String>, memory: Memory) -> Result<Self, FileError> {
        let budget = Budget::new(memory.held().saturating_sub(file.held()));
        let metadata = footer::read(&file)?;
        let found = Columns::of(metadata.file_metadata().schema_descr());
        if found.columns.is_empty() {
            return Err(ParquetError::NoColumns.into());
        }
        if found.columns.len() > MAX_COLUMNS {
            return Err(FileError::TooManyColumns { found: found.columns.len(), limit: MAX_COLUMNS });
        }
        let rows = metadata.row_groups().iter().try_fold(0_u64, |rows, group| rows.checked_add(u64::try_from(group.num_rows()).ok()?));
        let rows = rows.ok_or_else(|| Part::Footer.damaged())?;
        if rows.saturating_mul(found.columns.len() as u64) > MAX_VALUES {
            let remedy = "fewer rows or columns in a file";
            return Err(ParquetError::TooMuch { what: "too many values", limit: MAX_VALUES, remedy }.into());
        }
        let header = Header::of_file(found.columns.iter().map(|column| column.name.clone()), Taken::Parquet);
        let is_used = is_used(&header, &found, used)?;
        for (column, _) in found.columns.iter().zip(&is_used).filter(|(_, used)| **used) {
            if let Shape::None(NoText { kind, remedy }) = column.shape {
                return Err(ParquetError::Type { name: column.name.clone(), kind, remedy }.into());
            }
        }
        Ok(Self {
            file,
            metadata: Arc::new(metadata),
            header,
            columns: found.columns,
            used: is_used,
            budget,
            cells: Vec::new(),
            left: 0,
            group: 0,
            read: 0,
            line: Line::default(),
        })
    }

    /// Names of the columns.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Clears the batch and fills it. False: the file has ended and the batch is empty.
    ///
    /// # Errors
    ///
    /// When the file turns out to be damaged, or a limit is met. No rows may be asked for after it.
    pub fn next(&mut self, batch: &mut Batch) -> Result<bool, FileError> {
        batch.clear();
        while !batch.is_full() {
            if self.left > 0 {
                self.left -= 1;
                self.row(batch)?;
            } else if self.group < self.metadata.num_row_groups() {
                self.open_group()?;
            } else {
                self.cells.clear();
                break;
            }
        }
        Ok(!batch.is_empty())
    }

    fn open_group(&mut self) -> Result<(), ParquetError> {
        // What the group before held is free first.
        self.cells.clear();
        let number = self.group;
        let group = self.metadata.row_group(number);
        self.group += 1;
        self.left = group.num_rows().cast_unsigned();
        if self.left == 0 {
            return Ok(());
        }
        let ahead = (MAX_AHEAD / self.columns.len()).clamp(1, MAX_COLUMN_AHEAD);
        for column in &self.columns {
            if let Shape::None(_) = column.shape {
                self.cells.push(None);
                continue;
            }
            let part = Part::Column { column: column.name.clone(), group: number + 1 };
            let chunk = group.columns().get(column.leaf).ok_or_else(|| part.clone().damaged())?;
            // One that has values for more rows than there are is another row group's.
            if chunk.num_values() > group.num_rows() {
                return Err(part.damaged());
            }
            let pages = Pages::of(&self.file, chunk, self.columns.len(), &self.budget, part.clone())?;
            // Texts that are made anew take memory that no page has.
            let ahead = if continues(chunk) { 1 } else { ahead };
            self.cells.push(Some(cells(&chunk.column_descr_ptr(), pages, part, column.shape, ahead)));
        }
        Ok(())
    }

    fn row(&mut self, batch: &mut Batch) -> Result<(), FileError> {
        self.read += 1;
        self.line.clear();
        let mut wrong = Vec::new();
        for (at, cells) in self.cells.iter_mut().enumerate() {
            let told = self.line.cell(|text| cells.as_mut().map_or(Ok(Ok(())), |cells| cells.next(text)))?;
            wrong.extend(told.err().map(|why| (at, why)));
            if self.line.len() > MAX_RECORD {
                return Err(ParquetError::RowTooLong { row: self.read, limit: MAX_RECORD }.into());
            }
        }
        wrong.append(&mut self.line.judge());
        if self.line.len() > MAX_CHARACTERS {
            self.check_length()?;
        }
        let first = wrong.into_iter().filter(|(at, _)| self.used[*at]).min_by_key(|(at, _)| *at);
        batch.push(self.read, |row| {
            self.line.give(&mut row.cells);
            row.fault = first.map(|(at, why)| self.fault(row, at, why));
            if row.fault.is_some() {
                let stood = self.line.cells().collect::<Vec<_>>().join(&b'\t');
                row.refused = own::refused(self.header.cells(), &row.cells, &stood);
            }
        });
        Ok(())
    }

    fn fault(&self, row: &Row, at: usize, why: Wrong) -> RowError {
        let (row, column) = (row.number, self.header.column(at));
        match why {
            Wrong::NotText => RowError::NotUtf8 { row, column },
            Wrong::Nul => RowError::NulInColumn { row, column },
            Wrong::NoSuchValue(value) => RowError::NoSuchValue { row, column: self.columns[at].name.clone(), value: value.to_owned() },
        }
    }

    /// Only what is sent has a limit of Salesforce's.
    fn check_length(&self) -> Result<(), ParquetError> {
        let sent = self.line.cells().zip(&self.used).filter(|(_, used)| **used);
        if sent.map(|(cell, _)| characters(cell)).sum::<usize>() > MAX_CHARACTERS {
            return Err(ParquetError::TooMuchToSend { row: self.read, limit: MAX_CHARACTERS });
        }
        Ok(())
    }
}

/// Whether the job uses a column. A list that it uses is refused here, as the header does not have it.
fn is_used(header: &Header, found: &Columns, used: &BTreeSet<String>) -> Result<Vec<bool>, ParquetError> {
    if used.is_empty() {
        return Ok(vec![true; header.len()]);
    }
    let mut is_used = vec![false; header.len()];
    for name in used {
        match header.find(name) {
            Ok(column) => is_used[column] = true,
            Err(_) => {
                if let Some(list) = found.list(formula::trim(name)) {
                    return Err(ParquetError::List { name: name.clone(), list: list.to_owned() });
                }
            }
        }
    }
    Ok(is_used)
}
