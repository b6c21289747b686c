//! Texts that cells share.

use super::records::{Records, rich_text};
use crate::source::excel::error::{Part, WorkbookError};
use crate::source::excel::package::Package;
use crate::source::excel::strings::Strings;

const ITEM: u16 = 19;

/// Those of the part of this name.
pub(super) fn read(package: &Package, name: Option<&str>, limit: usize) -> Result<Strings, WorkbookError> {
    let mut strings = Strings::within(limit);
    let Some(name) = name else { return Ok(strings) };
    let Some(part) = package.part(name, Part::Strings)? else { return Ok(strings) };
    let mut records = Records::new(part);
    while let Some((kind, content)) = records.next()? {
        if kind == ITEM {
            let text = rich_text(content).ok_or(WorkbookError::Damaged { part: Part::Strings })?;
            strings.push(&text)?;
        }
    }
    Ok(strings)
}
