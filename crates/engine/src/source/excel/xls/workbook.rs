//! What stands before the sheets: where they are, which system of dates, the texts that cells share, and their styles.

use std::collections::HashMap;

use super::damaged;
use super::records::Records;
use super::text::{Pieces, short};
use crate::source::excel::binary::{u16_at, u32_at};
use crate::source::excel::error::{Part, WorkbookError};
use crate::source::excel::kind;
use crate::source::excel::limits::MAX_STYLES;
use crate::source::excel::options::Wanted;
use crate::source::excel::serial::Epoch;
use crate::source::excel::shape::Shape;
use crate::source::excel::strings::Strings;
use crate::source::excel::workbook::{Listed, choose};

const EOF: u16 = 0x000A;
const DATE_MODE: u16 = 0x0022;
const FILE_PASS: u16 = 0x002F;
const BOUND_SHEET: u16 = 0x0085;
const XF: u16 = 0x00E0;
const SST: u16 = 0x00FC;
const FORMAT: u16 = 0x041E;
const BOF: u16 = 0x0809;

/// BIFF8, which all versions from Excel 97 on write.
const VERSION: u16 = 0x0600;

pub(super) struct Workbook {
    pub(super) name: String,
    /// Where the sheet begins in the stream.
    pub(super) sheet: usize,
    pub(super) epoch: Epoch,
    pub(super) strings: Strings,
    /// By the numbers of styles.
    pub(super) shapes: Vec<Shape>,
}

impl Workbook {
    pub(super) fn read(stream: &[u8], wanted: &Wanted, limit: usize) -> Result<Self, WorkbookError> {
        let broken = || damaged(Part::Workbook);
        let mut records = Records { at: 0 };
        match records.next(stream) {
            Some((BOF, content)) if u16_at(content, 0) == Some(VERSION) => {}
            Some((BOF, _)) => {
                return Err(WorkbookError::NotAWorkbook { what: kind::OLDER, remedy: kind::SAVE });
            }
            _ => return Err(broken()),
        }
        let (mut sheets, mut epoch, mut strings) = (Vec::new(), Epoch::From1900, Strings::within(limit));
        let (mut formats, mut styles) = (HashMap::new(), Vec::new());
        loop {
            let (kind, content) = records.next(stream).ok_or_else(broken)?;
            match kind {
                EOF => break,
                FILE_PASS => return Err(WorkbookError::Protected),
                DATE_MODE if u16_at(content, 0) == Some(1) => epoch = Epoch::From1904,
                BOUND_SHEET => sheets.push(sheet(content).ok_or_else(broken)?),
                FORMAT => {
                    let id = u16_at(content, 0).ok_or_else(broken)?;
                    let code = Pieces::new(vec![&content[2..]]).text().ok_or_else(broken)?;
                    formats.insert(id, Shape::of_code(&code));
                }
                XF => styles.push(u16_at(content, 2).ok_or_else(broken)?),
                SST => strings = texts(records.whole(stream, content), limit).ok_or_else(broken)??,
                _ => {}
            }
            if formats.len() > MAX_STYLES || styles.len() > MAX_STYLES {
                return Err(WorkbookError::TooManyStyles { limit: MAX_STYLES });
            }
        }
        let (name, sheet) = choose(&sheets, wanted)?;
        let shape = |id: u16| formats.get(&id).copied().unwrap_or_else(|| Shape::built_in(id.into()));
        Ok(Self { name, sheet, epoch, strings, shapes: styles.into_iter().map(shape).collect() })
    }
}

fn sheet(content: &[u8]) -> Option<Listed<usize>> {
    let (start, [state, kind, ..]) = (u32_at(content, 0)?, content.get(4..)?) else { return None };
    Some(Listed { name: short(&content[6..])?, visible: state & 3 == 0, cells: (*kind == 0).then_some(start as usize) })
}

/// How many texts there are is told, and not believed.
fn texts(record: Vec<&[u8]>, limit: usize) -> Option<Result<Strings, WorkbookError>> {
    let count = u32_at(record.first()?, 4)?;
    let (mut pieces, mut strings) = (Pieces::new(record), Strings::within(limit));
    pieces.skip(8)?;
    for _ in 0..count {
        if let Err(error) = strings.push(&pieces.text()?) {
            return Some(Err(error));
        }
    }
    Some(Ok(strings))
}
