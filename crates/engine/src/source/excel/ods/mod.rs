//! OpenDocument spreadsheets (.ods): all sheets stand one behind the other in one part of XML, where every value is an attribute of its cell.
//!
//! `package` → `styles` (what is a time of a day, what a time that passed) → `tables` (up to the sheet that is wanted) → `sheet` (cells as
//! texts: `head`, `paragraphs`). Cells and rows that are alike stand there once, with how often they are meant; they are never unrolled
//! further than they are asked for.

mod head;
mod paragraphs;
mod sheet;
mod styles;
mod tables;

use super::cells::Sheet;
use super::error::{Part, WorkbookError};
use super::kind;
use super::options::ExcelOptions;
use super::package::Package;
use super::xml::{Token, Xml};

/// The part with the sheets.
pub(super) const CONTENT: &str = "content.xml";

/// Where newer versions of LibreOffice put all of it, when there is a password.
pub(super) const ENCRYPTED: &str = "encrypted-package";

/// The sheet that is wanted, and its name.
pub(super) fn open(package: &Package, options: &ExcelOptions) -> Result<(Box<dyn Sheet>, String), WorkbookError> {
    if package.has(ENCRYPTED) || is_encrypted(package)? {
        return Err(WorkbookError::Protected);
    }
    let mut xml = Xml::new(package.part(CONTENT, Part::Sheet)?.ok_or(WorkbookError::Damaged { part: Part::Sheet })?);
    let styles = styles::Styles::read(package, &mut xml)?;
    let name = tables::find(&mut xml, &styles, &options.sheet)?;
    Ok((Box::new(sheet::OdsSheet::new(xml, styles, options)), name))
}

/// Parts are encrypted one by one, and the list of parts says how.
fn is_encrypted(package: &Package) -> Result<bool, WorkbookError> {
    let Some(list) = package.part("META-INF/manifest.xml", Part::Relations)? else { return Ok(false) };
    let mut xml = Xml::new(list);
    loop {
        match xml.next()? {
            Token::Start(element) if element.name() == b"encryption-data" => return Ok(true),
            Token::Start(_) | Token::End(_) | Token::Text(_) | Token::Nothing => {}
            Token::Over => return Ok(false),
        }
    }
}

/// What an OpenDocument file is that has no sheets.
fn no_spreadsheet() -> WorkbookError {
    WorkbookError::NotAWorkbook { what: "an OpenDocument file that is no spreadsheet", remedy: kind::OTHER }
}
