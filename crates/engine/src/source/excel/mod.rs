//! Rows of a sheet of a workbook (.xlsx, .xlsm, .xlsb, .xls, .ods).
//!
//! bytes → `kind` → `package` (the archive; every byte that inflates is counted) → `xml` → `workbook` (which sheet), `strings`, `styles` →
//! `sheet` (cells as texts: `value`, `serial`, `shape`) → `rows` (header, faults, batches). Other kinds go through `xlsb`, `xls` or
//! `ods` instead, up to the rows of their sheet (`cells`).
//!
//! The list of an archive's parts stands at its end, so any part of the file has to be at hand (`random_access`). The sheet is read once, from its
//! start, on a thread that may block; the rows are never held.

mod binary;
mod cells;
mod error;
mod kind;
mod limits;
mod ods;
mod options;
mod package;
mod place;
mod problem;
mod rows;
mod serial;
mod shape;
mod sheet;
mod strings;
mod styles;
mod value;
mod workbook;
mod xls;
mod xlsb;
mod xml;

use std::collections::BTreeSet;

pub use self::error::{Part, WorkbookError};
pub use self::options::ExcelOptions;
pub use self::place::Place;
pub use self::problem::Problem;
pub use self::rows::SheetRows;
use super::random_access::{Content, HeldRows, Threaded};
use super::{FileError, ReadError};
use crate::Memory;
use crate::row::{Batch, Header};

/// Reads up to the header.
pub(super) async fn open(content: Content, options: ExcelOptions, used: BTreeSet<String>, memory: Memory) -> Result<Threaded, ReadError> {
    let file = content.random_access(memory, |limit| WorkbookError::TooLarge { limit }.into()).await?;
    Threaded::open(file, move |file| SheetRows::of(file, &options, &used, memory)).await
}

impl HeldRows for SheetRows {
    fn header(&self) -> &Header {
        self.header()
    }

    fn next(&mut self, batch: &mut Batch) -> Result<bool, FileError> {
        self.next(batch)
    }

    fn blank_lines(&self) -> u64 {
        self.blank_lines()
    }
}

#[cfg(test)]
mod tests;
