//! Which sheets a binary workbook has, and how it counts days.

use super::records::{Records, text};
use crate::source::excel::binary::u32_at;
use crate::source::excel::error::{Part, WorkbookError};
use crate::source::excel::options::Wanted;
use crate::source::excel::package::Package;
use crate::source::excel::serial::Epoch;
use crate::source::excel::workbook::{Listed, Relations, Workbook, choose};

const PROPERTIES: u16 = 153;
const SHEET: u16 = 156;

/// A text that is not there.
const NO_TEXT: u32 = u32::MAX;

pub(super) fn read(package: &Package, part: &str, wanted: &Wanted) -> Result<Workbook, WorkbookError> {
    let damaged = || WorkbookError::Damaged { part: Part::Workbook };
    let mut records = Records::new(package.part(part, Part::Workbook)?.ok_or_else(damaged)?);
    let relations = Relations::read(package, part)?;
    let (mut sheets, mut epoch) = (Vec::new(), Epoch::From1900);
    while let Some((kind, content)) = records.next()? {
        match kind {
            PROPERTIES if u32_at(content, 0).is_some_and(|flags| flags & 1 != 0) => epoch = Epoch::From1904,
            SHEET => sheets.push(sheet(content, &relations).ok_or_else(damaged)?),
            _ => {}
        }
    }
    let (name, sheet) = choose(&sheets, wanted)?;
    Ok(Workbook::new(&relations, epoch, name, sheet))
}

/// State, number, the relation that leads to its part, and name.
fn sheet(content: &[u8], relations: &Relations) -> Option<Listed<String>> {
    let (state, behind) = (u32_at(content, 0)?, content.get(8..)?);
    let (id, behind) = if u32_at(behind, 0)? == NO_TEXT { (String::new(), behind.get(4..)?) } else { text(behind)? };
    Some(Listed { name: text(behind)?.0, visible: state == 0, cells: relations.cells(&id) })
}
