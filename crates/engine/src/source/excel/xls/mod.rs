//! Workbooks of Excel 97 to 2003 (.xls): a stream of records (BIFF8, [MS-XLS]) in a container of sectors.
//!
//! bytes → `container` (the stream) → `records` → `workbook` (which sheet, texts, styles) → `sheet` (cells as texts)

mod container;
mod records;
mod sheet;
mod text;
mod workbook;

use bytes::Bytes;

use super::cells::Sheet;
use super::error::{Part, WorkbookError};
use super::options::ExcelOptions;
use crate::Memory;

/// The sheet that is wanted, and its name.
pub(super) fn open(bytes: Bytes, options: &ExcelOptions, memory: Memory) -> Result<(Box<dyn Sheet>, String), WorkbookError> {
    let stream = Bytes::from(container::stream(&bytes)?);
    drop(bytes);
    let workbook = workbook::Workbook::read(&stream, &options.sheet, memory.texts())?;
    let name = workbook.name.clone();
    Ok((Box::new(sheet::XlsSheet::open(stream, workbook, options)?), name))
}

fn damaged(part: Part) -> WorkbookError {
    WorkbookError::Damaged { part }
}
