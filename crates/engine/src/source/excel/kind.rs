//! What a file is that is said to be a workbook, by its content. Its name says nothing.

use bytes::Bytes;
use memchr::memmem;

use super::error::WorkbookError;
use super::package::Package;
use super::workbook;
use crate::source::FileError;
use crate::source::csv::kind::{of_bytes, of_text};

/// What workbooks of Excel 97, and encrypted ones of any age, begin with.
const OLE: &[u8] = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1";

const XLSX: &str = "open it in Excel or LibreOffice and save it as .xlsx";
const OTHER: &str = "name the format that it has, or save it as .xlsx";

/// The archive of an .xlsx or .xlsm, and the part in it that is the workbook.
pub(super) fn open(bytes: Bytes) -> Result<(Package, String), FileError> {
    if bytes.starts_with(OLE) {
        let name: Vec<u8> = "EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes).collect();
        return Err(if memmem::find(&bytes, &name).is_some() {
            WorkbookError::Protected
        } else {
            WorkbookError::NotAWorkbook { what: "a workbook of Excel 97 (.xls)", remedy: XLSX }
        }
        .into());
    }
    if !bytes.starts_with(b"PK") {
        return Err(other(&bytes));
    }
    let package = Package::open(bytes.clone())?;
    match workbook::find(&package)? {
        Some(part) if part.ends_with(".bin") => Err(WorkbookError::NotAWorkbook { what: "a binary workbook (.xlsb)", remedy: XLSX }.into()),
        Some(part) if package.has(&part) && !part.starts_with("word/") && !part.starts_with("ppt/") => Ok((package, part)),
        _ if package.has("content.xml") => Err(WorkbookError::NotAWorkbook { what: "an OpenDocument file", remedy: XLSX }.into()),
        _ => Err(other(&bytes)),
    }
}

/// In the words with which CSV refuses it; what CSV takes is text.
fn other(bytes: &[u8]) -> FileError {
    let told = of_bytes(bytes).and_then(|()| of_text(&bytes[..bytes.len().min(64 << 10)]));
    let (what, remedy) = match told {
        Err(FileError::NotCsv { what, .. }) => (what, OTHER),
        _ if bytes.is_empty() => ("empty", XLSX),
        _ => ("text, such as CSV", OTHER),
    };
    WorkbookError::NotAWorkbook { what, remedy }.into()
}
