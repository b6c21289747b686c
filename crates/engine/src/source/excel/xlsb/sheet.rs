//! The cells of a sheet of an .xlsb, row by row, each as the text that it stands for.

use super::records::{Records, rich_text, text};
use crate::source::Zoneless;
use crate::source::excel::binary::{f64_at, rk, u32_at};
use crate::source::excel::cells::{Sheet, SheetRow, read_columns};
use crate::source::excel::error::WorkbookError;
use crate::source::excel::limits::{MAX_CELLS, MAX_COLUMN, MAX_ROW};
use crate::source::excel::options::{ExcelOptions, Range};
use crate::source::excel::problem::Problem;
use crate::source::excel::serial::Epoch;
use crate::source::excel::strings::Strings;
use crate::source::excel::styles::Styles;
use crate::source::excel::value;

const ROW: u16 = 0;
const BLANK: u16 = 1;
const RK: u16 = 2;
const ERROR: u16 = 3;
const BOOL: u16 = 4;
const REAL: u16 = 5;
const TEXT: u16 = 6;
const SHARED_TEXT: u16 = 7;
const TEXT_RESULT: u16 = 8;
const NUMBER_RESULT: u16 = 9;
const BOOL_RESULT: u16 = 10;
const ERROR_RESULT: u16 = 11;
/// The same kinds from `BLANK` to `SHARED_TEXT`, of cells that stand behind the one before them and do not say so.
const SHORT_BLANK: u16 = 12;
const SHORT_SHARED_TEXT: u16 = 18;
const COLUMNS: u16 = 60;
const RICH_TEXT: u16 = 62;
const BEGIN_ROWS: u16 = 145;
const END_ROWS: u16 = 146;

/// A sheet being read.
pub(super) struct XlsbSheet {
    records: Records,
    strings: Strings,
    styles: Styles,
    epoch: Epoch,
    zoneless: Zoneless,
    range: Range,
    /// Whether a column is read.
    columns: Box<[bool]>,
    skips_hidden: bool,
    /// The row that was read last.
    row: u32,
    /// What ended it.
    ahead: Ahead,
    cells: u64,
}

/// What was read behind the cells of a row.
enum Ahead {
    Nothing,
    /// Number of a row, and whether it is hidden.
    Row(u32, bool),
    End,
}

impl Sheet for XlsbSheet {
    fn has_column(&self, column: u32) -> bool {
        self.columns.get(column as usize).copied().unwrap_or(false)
    }

    fn next(&mut self, row: &mut SheetRow) -> Result<bool, WorkbookError> {
        loop {
            let Some((number, hidden)) = self.next_row()? else {
                self.records.finish()?;
                return Ok(false);
            };
            if number <= self.row || number > MAX_ROW {
                return Err(self.records.damaged());
            }
            self.row = number;
            if number > self.range.rows.1 {
                return Ok(false);
            }
            row.begin(number, hidden && self.skips_hidden);
            self.cells_of(row)?;
            if number >= self.range.rows.0 {
                return Ok(true);
            }
        }
    }
}

impl XlsbSheet {
    /// Reads up to the first row.
    pub(super) fn open(
        mut records: Records,
        strings: Strings,
        styles: Styles,
        epoch: Epoch,
        options: &ExcelOptions,
    ) -> Result<Self, WorkbookError> {
        let (range, skips_hidden) = (options.range, options.skips_hidden);
        let mut columns = read_columns(range);
        loop {
            match records.must()? {
                (COLUMNS, content) if skips_hidden => {
                    let (first, last) = hidden_columns(content).ok_or_else(|| records.damaged())?;
                    columns.iter_mut().take(last.saturating_add(1)).skip(first).for_each(|column| *column = false);
                }
                (BEGIN_ROWS, _) => break,
                _ => {}
            }
        }
        let (zoneless, ahead) = (options.zoneless, Ahead::Nothing);
        Ok(Self { records, strings, styles, epoch, zoneless, range, columns, skips_hidden, row: 0, ahead, cells: 0 })
    }

    /// Number of the next row, and whether it is hidden.
    fn next_row(&mut self) -> Result<Option<(u32, bool)>, WorkbookError> {
        loop {
            match std::mem::replace(&mut self.ahead, Ahead::Nothing) {
                Ahead::Row(number, hidden) => return Ok(Some((number, hidden))),
                Ahead::End => return Ok(None),
                Ahead::Nothing => {}
            }
            let (kind, content) = self.records.must()?;
            self.ahead = match kind {
                ROW => of_row(content).ok_or_else(|| self.records.damaged())?,
                END_ROWS => Ahead::End,
                // Of no row.
                BLANK..=SHORT_SHARED_TEXT | RICH_TEXT => return Err(self.records.damaged()),
                _ => Ahead::Nothing,
            };
        }
    }

    fn cells_of(&mut self, row: &mut SheetRow) -> Result<(), WorkbookError> {
        let (mut column, mut count) = (0, 0);
        loop {
            let (kind, content) = self.records.must()?;
            match kind {
                ROW => {
                    self.ahead = of_row(content).ok_or_else(|| self.records.damaged())?;
                    break;
                }
                END_ROWS => {
                    self.ahead = Ahead::End;
                    break;
                }
                BLANK..=SHORT_SHARED_TEXT | RICH_TEXT => {
                    let cell = Cell::of(kind, content, column).filter(|cell| cell.column < MAX_COLUMN);
                    let Some(cell) = cell else { return Err(self.records.damaged()) };
                    column = cell.column + 1;
                    count += 1;
                    self.cells += 1;
                    if self.cells > MAX_CELLS {
                        return Err(WorkbookError::TooManyCells { limit: MAX_CELLS });
                    }
                    if count > MAX_COLUMN {
                        return Err(self.records.damaged());
                    }
                    if !self.columns[cell.column as usize] {
                        continue;
                    }
                    let mut is_damaged = false;
                    row.add(cell.column, |text| {
                        cell.write(&self.strings, &self.styles, self.epoch, self.zoneless, text).unwrap_or_else(|| {
                            is_damaged = true;
                            Ok(())
                        })
                    })?;
                    if is_damaged {
                        return Err(self.records.damaged());
                    }
                }
                _ => {}
            }
        }
        if row.sort() { Ok(()) } else { Err(self.records.damaged()) }
    }
}

/// A cell, and what stands behind its place and style.
struct Cell<'r> {
    kind: u16,
    column: u32,
    style: usize,
    value: &'r [u8],
}

impl<'r> Cell<'r> {
    /// `next`: where it stands if it does not say so. `None`: it breaks off.
    fn of(kind: u16, content: &'r [u8], next: u32) -> Option<Self> {
        let is_short = (SHORT_BLANK..=SHORT_SHARED_TEXT).contains(&kind);
        let (kind, column, behind) =
            if is_short { (kind - SHORT_BLANK + BLANK, next, content) } else { (kind, u32_at(content, 0)?, content.get(4..)?) };
        // A byte of it says whether its pronunciation is shown.
        let style = (u32_at(behind, 0)? & 0x00FF_FFFF) as usize;
        Some(Self { kind, column, style, value: behind.get(4..)? })
    }

    /// Appends what the cell stands for; formulas stand behind their results. `None`: it is none of a workbook.
    fn write(
        &self,
        strings: &Strings,
        styles: &Styles,
        epoch: Epoch,
        zoneless: Zoneless,
        into: &mut String,
    ) -> Option<Result<(), Problem>> {
        let number = |number: f64, into| value::of_number(number, styles.shape(self.style), epoch, zoneless, into);
        match self.kind {
            RK => return number(rk(self.value, 0)?, into),
            REAL | NUMBER_RESULT => return number(f64_at(self.value, 0)?, into),
            ERROR | ERROR_RESULT => return Some(Err(Problem::of_code(*self.value.first()?))),
            BOOL | BOOL_RESULT => into.push_str(match self.value.first()? {
                0 => "false",
                1 => "true",
                _ => return None,
            }),
            TEXT | TEXT_RESULT => into.push_str(&text(self.value)?.0),
            SHARED_TEXT => into.push_str(strings.get(u32_at(self.value, 0)? as usize)?),
            RICH_TEXT => into.push_str(&rich_text(self.value)?),
            _ => {}
        }
        Some(Ok(()))
    }
}

fn of_row(content: &[u8]) -> Option<Ahead> {
    Some(Ahead::Row(u32_at(content, 0)?.checked_add(1)?, content.get(11)? & 0x10 != 0))
}

/// The first and the last column of some that are alike; none if they are not hidden.
fn hidden_columns(content: &[u8]) -> Option<(usize, usize)> {
    let (first, last) = (u32_at(content, 0)? as usize, u32_at(content, 4)? as usize);
    let is_hidden = content.get(16)? & 1 != 0;
    Some(if is_hidden { (first, last) } else { (usize::MAX, 0) })
}
