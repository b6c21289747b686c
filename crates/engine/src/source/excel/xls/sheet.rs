//! The cells of a sheet of an .xls, row by row, each as the text that it stands for.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::damaged;
use super::records::Records;
use super::text::Pieces;
use super::workbook::Workbook;
use crate::source::Zoneless;
use crate::source::excel::binary::{f64_at, rk, u16_at, u32_at};
use crate::source::excel::cells::{Sheet, SheetRow, read_columns};
use crate::source::excel::error::{Part, WorkbookError};
use crate::source::excel::options::{ExcelOptions, Range};
use crate::source::excel::problem::Problem;
use crate::source::excel::value;

const FORMULA: u16 = 0x0006;
const EOF: u16 = 0x000A;
const COL_INFO: u16 = 0x007D;
const MUL_RK: u16 = 0x00BD;
const RICH_STRING: u16 = 0x00D6;
const LABEL_SST: u16 = 0x00FD;
const NUMBER: u16 = 0x0203;
const LABEL: u16 = 0x0204;
const BOOL_ERR: u16 = 0x0205;
const STRING: u16 = 0x0207;
const ROW: u16 = 0x0208;
const ARRAY: u16 = 0x0221;
const TABLE: u16 = 0x0236;
const RK: u16 = 0x027E;
const SHARED_FORMULA: u16 = 0x04BC;
const BOF: u16 = 0x0809;

/// A sheet being read.
pub(super) struct XlsSheet {
    stream: Bytes,
    workbook: Workbook,
    records: Records,
    zoneless: Zoneless,
    range: Range,
    columns: Box<[bool]>,
    /// Rows that are left out, as the sheet shows them.
    hidden: BTreeSet<u32>,
    /// The row that was read last.
    row: u32,
}

impl XlsSheet {
    pub(super) fn open(stream: Bytes, workbook: Workbook, options: &ExcelOptions) -> Result<Self, WorkbookError> {
        let (mut columns, mut hidden) = (read_columns(options.range), BTreeSet::new());
        let mut records = Records { at: workbook.sheet };
        if records.next(&stream).is_none_or(|(kind, _)| kind != BOF) {
            return Err(damaged(Part::Sheet));
        }
        let mut ahead = records;
        while options.skips_hidden
            && let Some((kind, content)) = ahead.next(&stream)
        {
            match kind {
                COL_INFO if u16_at(content, 8).is_some_and(|flags| flags & 1 != 0) => {
                    let (first, last) = (u16_at(content, 0).unwrap_or(0), u16_at(content, 2).unwrap_or(0));
                    let count = usize::from(last.saturating_sub(first)) + 1;
                    columns.iter_mut().skip(first.into()).take(count).for_each(|column| *column = false);
                }
                ROW if u16_at(content, 12).is_some_and(|flags| flags & 0x20 != 0) => {
                    hidden.extend(u16_at(content, 0).map(|row| u32::from(row) + 1));
                }
                EOF => break,
                _ => {}
            }
        }
        Ok(Self { stream, workbook, records, zoneless: options.zoneless, range: options.range, columns, hidden, row: 0 })
    }

    fn read_row(&mut self, stream: &[u8], row: &mut SheetRow) -> Result<bool, WorkbookError> {
        let broken = || damaged(Part::Sheet);
        let mut begun = false;
        loop {
            let mut ahead = self.records;
            let (kind, content) = ahead.next(stream).ok_or_else(broken)?;
            match kind {
                EOF => break,
                // A chart within the sheet.
                BOF => ahead = behind(stream, ahead).ok_or_else(broken)?,
                FORMULA | MUL_RK | RICH_STRING | LABEL_SST | NUMBER | LABEL | BOOL_ERR | RK => {
                    let number = u32::from(u16_at(content, 0).ok_or_else(broken)?) + 1;
                    if begun && number != row.number {
                        break;
                    }
                    if !begun {
                        if number <= self.row {
                            return Err(broken());
                        }
                        if number > self.range.rows.1 {
                            return Ok(false);
                        }
                        self.row = number;
                        row.begin(number, self.hidden.contains(&number));
                        begun = true;
                    }
                    self.records = ahead;
                    self.cells(stream, kind, content, row).ok_or_else(broken)??;
                    continue;
                }
                _ => {}
            }
            self.records = ahead;
        }
        if row.sort() || !begun { Ok(begun) } else { Err(broken()) }
    }

    /// A cell or several, each by its column. `None`: the record is too short for what it is.
    fn cells(&mut self, stream: &[u8], kind: u16, content: &[u8], row: &mut SheetRow) -> Option<Result<(), WorkbookError>> {
        let column = u32::from(u16_at(content, 2)?);
        if kind == MUL_RK {
            // Column by column: style and number.
            for (column, cell) in (column..).zip(content.get(4..content.len().checked_sub(2)?)?.chunks_exact(6)) {
                let number = self.number(u16_at(cell, 0)?, rk(cell, 2)?)?;
                if let Err(error) = self.add(row, column, number) {
                    return Some(Err(error));
                }
            }
            return Some(Ok(()));
        }
        let style = u16_at(content, 4)?;
        let told = match kind {
            NUMBER => self.number(style, f64_at(content, 6)?)?,
            RK => self.number(style, rk(content, 6)?)?,
            LABEL_SST => Ok(self.workbook.strings.get(u32_at(content, 6)? as usize)?.to_owned()),
            LABEL | RICH_STRING => Ok(Pieces::new(vec![content.get(6..)?]).text()?),
            BOOL_ERR => bool_or_error(*content.get(6)?, *content.get(7)? != 0)?,
            _ => self.result(stream, style, content)?,
        };
        Some(self.add(row, column, told))
    }

    fn add(&self, row: &mut SheetRow, column: u32, told: Result<String, Problem>) -> Result<(), WorkbookError> {
        if !self.has_column(column) {
            return Ok(());
        }
        row.add(column, |text| told.map(|told| text.push_str(&told)))
    }

    fn number(&self, style: u16, number: f64) -> Option<Result<String, Problem>> {
        let mut text = String::new();
        let shape = self.workbook.shapes.get(usize::from(style)).copied().unwrap_or_default();
        Some(value::of_number(number, shape, self.workbook.epoch, self.zoneless, &mut text)?.map(|()| text))
    }

    /// The result of a formula: a number, or what it is instead.
    fn result(&mut self, stream: &[u8], style: u16, content: &[u8]) -> Option<Result<String, Problem>> {
        let result: &[u8; 8] = content.get(6..)?.first_chunk()?;
        if result[6..] != [0xFF, 0xFF] {
            return self.number(style, f64::from_le_bytes(*result));
        }
        match result[0] {
            0 => self.text_result(stream),
            1 => bool_or_error(result[2], false),
            2 => bool_or_error(result[2], true),
            // An empty text; of what nobody has calculated yet, too.
            3 if u16_at(content, 14)? & 2 != 0 => Some(Err(Problem::NoResult)),
            3 => Some(Ok(String::new())),
            _ => None,
        }
    }

    /// The text stands in a record behind the formula.
    fn text_result(&mut self, stream: &[u8]) -> Option<Result<String, Problem>> {
        loop {
            let mut ahead = self.records;
            match ahead.next(stream)? {
                (STRING, first) => {
                    let text = Pieces::new(ahead.whole(stream, first)).text()?;
                    self.records = ahead;
                    return Some(Ok(text));
                }
                (ARRAY | TABLE | SHARED_FORMULA, _) => self.records = ahead,
                _ => return Some(Err(Problem::NoResult)),
            }
        }
    }
}

impl Sheet for XlsSheet {
    fn next(&mut self, row: &mut SheetRow) -> Result<bool, WorkbookError> {
        let stream = self.stream.clone();
        while self.read_row(&stream, row)? {
            if row.number >= self.range.rows.0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn has_column(&self, column: u32) -> bool {
        self.columns.get(column as usize).copied().unwrap_or(false)
    }
}

/// Behind what has begun within a sheet.
fn behind(stream: &[u8], mut records: Records) -> Option<Records> {
    let mut depth = 1;
    while depth > 0 {
        match records.next(stream)?.0 {
            BOF => depth += 1,
            EOF => depth -= 1,
            _ => {}
        }
    }
    Some(records)
}

fn bool_or_error(value: u8, is_error: bool) -> Option<Result<String, Problem>> {
    Some(match (is_error, value) {
        (false, 0) => Ok("false".to_owned()),
        (false, 1) => Ok("true".to_owned()),
        (false, _) => return None,
        (true, code) => Err(Problem::of_code(code)),
    })
}
