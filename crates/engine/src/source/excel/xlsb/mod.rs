//! Binary workbooks (.xlsb): the parts of an .xlsx, each a stream of records (BIFF12, [MS-XLSB]) instead of XML. Lists of parts are XML all
//! the same.
//!
//! `package` → `records` → `workbook` (which sheet), `strings`, `styles` → `sheet` (cells as texts)

mod records;
mod sheet;
mod strings;
mod styles;
mod workbook;

use super::cells::Sheet;
use super::error::{Part, WorkbookError};
use super::options::ExcelOptions;
use super::package::Package;
use crate::Memory;

/// The sheet that is wanted of an archive, and its name.
pub(super) fn open(
    package: &Package,
    part: &str,
    options: &ExcelOptions,
    memory: Memory,
) -> Result<(Box<dyn Sheet>, String), WorkbookError> {
    let workbook = workbook::read(package, part, &options.sheet)?;
    let strings = strings::read(package, workbook.strings.as_deref(), memory.texts())?;
    let styles = styles::read(package, workbook.styles.as_deref())?;
    let part = package.part(&workbook.sheet, Part::Sheet)?.ok_or(WorkbookError::Damaged { part: Part::Sheet })?;
    let sheet = sheet::XlsbSheet::open(records::Records::new(part), strings, styles, workbook.epoch, options)?;
    Ok((Box::new(sheet), workbook.name))
}
