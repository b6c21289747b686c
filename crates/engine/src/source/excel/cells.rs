//! Rows of a sheet as they are read, whatever kind of file they stand in.

use super::error::WorkbookError;
use super::limits::{MAX_COLUMN, MAX_PIECE};
use super::options::Range;
use super::problem::Problem;

/// A sheet that is read row by row.
pub(super) trait Sheet: Send {
    /// The next row of the range. False: there is none, and the row is not to be looked at.
    fn next(&mut self, row: &mut SheetRow) -> Result<bool, WorkbookError>;

    /// Whether a column is read.
    fn has_column(&self, column: u32) -> bool;
}

/// Whether a column of the sheet is read, before anything is hidden.
pub(super) fn read_columns(range: Range) -> Box<[bool]> {
    (0..MAX_COLUMN).map(|column| (range.columns.0..=range.columns.1).contains(&column)).collect()
}

/// One row of a sheet: its cells that are not empty, from left to right.
#[derive(Clone, Default)]
pub(super) struct SheetRow {
    /// As the sheet shows it.
    pub(super) number: u32,
    pub(super) hidden: bool,
    pub(super) cells: Vec<SheetCell>,
    text: String,
}

/// Copied as one piece with all of its row, where a row stands for many.
#[derive(Clone, Copy)]
pub(super) struct SheetCell {
    /// 0 is `A`.
    pub(super) column: u32,
    start: usize,
    end: usize,
    pub(super) problem: Option<Problem>,
}

impl SheetRow {
    pub(super) fn text(&self, cell: &SheetCell) -> &str {
        &self.text[cell.start..cell.end]
    }

    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Only blanks in every cell, as spreadsheets leave behind.
    pub(super) fn is_blank(&self) -> bool {
        self.cells.iter().all(|cell| self.is_blank_cell(cell))
    }

    pub(super) fn is_blank_cell(&self, cell: &SheetCell) -> bool {
        cell.problem.is_none() && self.text(cell).bytes().all(|byte| matches!(byte, b' ' | b'\t'))
    }

    pub(super) fn begin(&mut self, number: u32, hidden: bool) {
        // A row that was large gives its memory back.
        if self.text.capacity() > 1 << 20 {
            self.text = String::new();
        }
        self.number = number;
        self.hidden = hidden;
        self.cells.clear();
        self.text.clear();
    }

    /// Adds a cell if it has a text, or what is wrong with it.
    pub(super) fn add(&mut self, column: u32, write: impl FnOnce(&mut String) -> Result<(), Problem>) -> Result<(), WorkbookError> {
        let start = self.text.len();
        let told = write(&mut self.text).and_then(|()| if self.text[start..].contains('\0') { Err(Problem::Nul) } else { Ok(()) });
        if let Err(problem) = told {
            self.text.truncate(start);
            self.text.push_str(problem.shown());
        }
        if self.text.len() > MAX_PIECE {
            return Err(WorkbookError::RowTooLong { row: self.number, limit: MAX_PIECE });
        }
        if told.is_err() || self.text.len() > start {
            self.cells.push(SheetCell { column, start, end: self.text.len(), problem: told.err() });
        }
        Ok(())
    }

    /// Puts the cells from left to right. False: two stand in one place.
    pub(super) fn sort(&mut self) -> bool {
        let in_order = |cells: &[SheetCell]| cells.is_sorted_by(|left, right| left.column < right.column);
        if in_order(&self.cells) {
            return true;
        }
        self.cells.sort_by_key(|cell| cell.column);
        in_order(&self.cells)
    }
}
