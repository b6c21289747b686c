//! What a file is that is said to be a workbook, by its content. Its name says nothing.

use bytes::Bytes;

use super::error::{Part, WorkbookError};
use super::package::Package;
use super::{ods, workbook};
use crate::Memory;
use crate::source::FileError;
use crate::source::kind::{of_bytes, of_text};
use crate::source::peek::ENOUGH;
use crate::source::random_access::RandomAccess;

/// What workbooks of Excel 97, and encrypted ones of any age, begin with.
const OLE: &[u8] = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1";

/// What workbooks of Excel 95 and before begin with, that have no container.
const BARE: &[u8] = b"\x09\x08";

pub(super) const OLDER: &str = "a workbook of Excel 95 or older";
pub(super) const SAVE: &str = "open it in Excel or LibreOffice and save it as .xlsx";
pub(super) const OTHER: &str = "name the format that it has, or save it as .xlsx";

/// What a workbook is made of.
pub(super) enum Kind {
    /// An archive of XML, and the part in it that is the workbook.
    Xlsx(Package, String),
    /// The same with records in place of XML.
    Xlsb(Package, String),
    /// Records in a container, or an encrypted archive in one.
    Xls(Bytes),
    /// An archive of XML, as OpenDocument has it.
    Ods(Package),
}

pub(super) fn of(file: RandomAccess, memory: Memory) -> Result<Kind, FileError> {
    let head = file.head(ENOUGH as u64).map_err(|_| WorkbookError::Damaged { part: Part::Archive })?;
    if head.starts_with(OLE) {
        return match file {
            RandomAccess::Held(bytes) => Ok(Kind::Xls(bytes)),
            // Its sectors stand in no order, and Excel makes none that is as large.
            RandomAccess::Fetched(_) => Err(WorkbookError::TooLarge { limit: memory.file() }.into()),
        };
    }
    if head.starts_with(BARE) {
        return Err(WorkbookError::NotAWorkbook { what: OLDER, remedy: SAVE }.into());
    }
    if !head.starts_with(b"PK") {
        return Err(other(&head));
    }
    let package = Package::open(file)?;
    match workbook::find(&package)? {
        Some(part) if part.starts_with("word/") || part.starts_with("ppt/") => Err(other(&head)),
        Some(part) if !package.has(&part) => Err(WorkbookError::Damaged { part: Part::Workbook }.into()),
        Some(part) if part.ends_with(".bin") => Ok(Kind::Xlsb(package, part)),
        Some(part) => Ok(Kind::Xlsx(package, part)),
        None if package.has(ods::CONTENT) || package.has(ods::ENCRYPTED) => Ok(Kind::Ods(package)),
        None => Err(other(&head)),
    }
}

/// In the words with which CSV refuses it; what CSV takes is text.
fn other(head: &[u8]) -> FileError {
    let (what, remedy) = match of_bytes(head).or_else(|| of_text(head)) {
        Some(foreign) => (foreign.what, OTHER),
        _ if head.is_empty() => ("empty", SAVE),
        _ => ("text, such as CSV", OTHER),
    };
    WorkbookError::NotAWorkbook { what, remedy }.into()
}
