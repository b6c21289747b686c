//! Formats, and the styles that name them.

use super::records::{Records, text};
use crate::source::excel::binary::u16_at;
use crate::source::excel::error::{Part, WorkbookError};
use crate::source::excel::package::Package;
use crate::source::excel::styles::Styles;

const FORMAT: u16 = 44;
const STYLE: u16 = 47;
/// Styles of cells, and not those that styles are based on.
const BEGIN_CELL_STYLES: u16 = 617;
const END_CELL_STYLES: u16 = 618;

/// Those of the part of this name.
pub(super) fn read(package: &Package, name: Option<&str>) -> Result<Styles, WorkbookError> {
    let (mut styles, mut in_cells) = (Styles::default(), false);
    let Some(name) = name else { return Ok(styles) };
    let Some(part) = package.part(name, Part::Styles)? else { return Ok(styles) };
    let mut records = Records::new(part);
    let damaged = || WorkbookError::Damaged { part: Part::Styles };
    while let Some((kind, content)) = records.next()? {
        match kind {
            FORMAT => {
                let (id, code) = (u16_at(content, 0), content.get(2..).and_then(text));
                let (Some(id), Some((code, _))) = (id, code) else { return Err(damaged()) };
                styles.add_format(id.into(), &code)?;
            }
            BEGIN_CELL_STYLES => in_cells = true,
            END_CELL_STYLES => in_cells = false,
            STYLE if in_cells => styles.add(u16_at(content, 2).ok_or_else(damaged)?.into())?,
            _ => {}
        }
    }
    Ok(styles)
}
