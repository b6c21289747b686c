//! The cells of a sheet of an .xlsx, row by row, each as the text that it stands for.

use std::ops::Range as Span;

use super::error::WorkbookError;
use super::limits::{MAX_CELLS, MAX_COLUMN, MAX_PIECE, MAX_ROW};
use super::options::{ExcelOptions, Range};
use super::place;
use super::problem::Problem;
use super::serial::{self, Epoch};
use super::shape::Shape;
use super::strings::{RichText, Strings, unescape};
use super::styles::Styles;
use super::value;
use super::xml::{Element, Token, Xml, is_true};

/// One row of a sheet: its cells that are not empty, from left to right.
#[derive(Clone, Default)]
pub(super) struct SheetRow {
    /// As the sheet shows it.
    pub(super) number: u32,
    pub(super) hidden: bool,
    pub(super) cells: Vec<SheetCell>,
    text: String,
}

#[derive(Clone)]
pub(super) struct SheetCell {
    /// 0 is `A`.
    pub(super) column: u32,
    text: Span<usize>,
    pub(super) problem: Option<Problem>,
}

impl SheetRow {
    pub(super) fn text(&self, cell: &SheetCell) -> &str {
        &self.text[cell.text.clone()]
    }

    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Only blanks in every cell, as spreadsheets leave behind.
    pub(super) fn is_blank(&self) -> bool {
        self.cells.iter().all(|cell| self.is_blank_cell(cell))
    }

    pub(super) fn is_blank_cell(&self, cell: &SheetCell) -> bool {
        cell.problem.is_none() && self.text(cell).bytes().all(|byte| matches!(byte, b' ' | b'\t'))
    }

    fn begin(&mut self, number: u32, hidden: bool) {
        // A row that was large gives its memory back.
        if self.text.capacity() > 1 << 20 {
            self.text = String::new();
        }
        self.number = number;
        self.hidden = hidden;
        self.cells.clear();
        self.text.clear();
    }
}

/// What a cell says of its value: its attribute `t`.
#[derive(Clone, Copy, Default)]
enum Kind {
    #[default]
    Number,
    Shared,
    Inline,
    /// The result of a formula.
    Text,
    Bool,
    Error,
    Iso,
}

/// A sheet being read.
pub(super) struct Sheet {
    xml: Xml,
    strings: Strings,
    styles: Styles,
    epoch: Epoch,
    range: Range,
    /// Whether a column is read.
    columns: Box<[bool]>,
    skips_hidden: bool,
    /// The row that was read last.
    row: u32,
    cells: u64,
    value: String,
}

impl Sheet {
    /// Reads up to the first row.
    pub(super) fn open(
        mut xml: Xml,
        strings: Strings,
        styles: Styles,
        epoch: Epoch,
        options: &ExcelOptions,
    ) -> Result<Self, WorkbookError> {
        let (range, skips_hidden) = (options.range, options.skips_hidden);
        let mut columns: Box<[bool]> = (0..MAX_COLUMN).map(|column| (range.columns.0..=range.columns.1).contains(&column)).collect();
        loop {
            match xml.next()? {
                Token::Start(element) => match element.name() {
                    b"col" if skips_hidden && element.says("hidden") => {
                        let number = |name| element.attribute(name).and_then(|number| number.parse::<usize>().ok()).unwrap_or(0);
                        let (first, last) = (number("min").max(1), number("max").min(columns.len()));
                        columns.iter_mut().take(last).skip(first - 1).for_each(|column| *column = false);
                    }
                    b"sheetData" => break,
                    _ => {}
                },
                Token::End(_) | Token::Text(_) | Token::Nothing => {}
                Token::Over => return Err(xml.damaged()),
            }
        }
        Ok(Self { xml, strings, styles, epoch, range, columns, skips_hidden, row: 0, cells: 0, value: String::new() })
    }

    /// Whether a column is read.
    pub(super) fn has_column(&self, column: u32) -> bool {
        self.columns.get(column as usize).copied().unwrap_or(false)
    }

    /// The next row of the range. False: there is none, and the row is not to be looked at.
    pub(super) fn next(&mut self, row: &mut SheetRow) -> Result<bool, WorkbookError> {
        loop {
            match self.xml.next()? {
                Token::Start(element) if element.name() == b"row" => {
                    let (number, hidden) = of_row(&element);
                    let number = number.unwrap_or(self.row + 1);
                    if number <= self.row || number > MAX_ROW {
                        return Err(self.xml.damaged());
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
                Token::End(element) if element.name() == b"sheetData" => {
                    self.xml.finish()?;
                    return Ok(false);
                }
                Token::Over => return Err(self.xml.damaged()),
                Token::Start(_) | Token::End(_) | Token::Text(_) | Token::Nothing => {}
            }
        }
    }

    fn cells_of(&mut self, row: &mut SheetRow) -> Result<(), WorkbookError> {
        let (mut column, mut count) = (0, 0);
        loop {
            match self.xml.next()? {
                Token::Start(element) if element.name() == b"c" => {
                    let head = of_cell(&element, row.number).ok_or_else(|| self.xml.damaged())?;
                    let at = head.column.unwrap_or(column);
                    column = at + 1;
                    count += 1;
                    self.cells += 1;
                    if self.cells > MAX_CELLS {
                        return Err(WorkbookError::TooManyCells { limit: MAX_CELLS });
                    }
                    if count > MAX_COLUMN || at >= MAX_COLUMN {
                        return Err(self.xml.damaged());
                    }
                    self.cell(row, at, &head)?;
                }
                Token::End(element) if element.name() == b"row" => break,
                Token::Over => return Err(self.xml.damaged()),
                Token::Start(_) | Token::End(_) | Token::Text(_) | Token::Nothing => {}
            }
        }
        if !row.cells.is_sorted_by(|left, right| left.column < right.column) {
            row.cells.sort_by_key(|cell| cell.column);
            if row.cells.windows(2).any(|two| two[0].column == two[1].column) {
                return Err(self.xml.damaged());
            }
        }
        Ok(())
    }

    /// Reads up to the end of the cell, and adds it if it has a text.
    fn cell(&mut self, row: &mut SheetRow, column: u32, head: &Head) -> Result<(), WorkbookError> {
        let (mut inline, mut in_value, mut formula) = (RichText::default(), false, false);
        self.value.clear();
        loop {
            match self.xml.next()? {
                Token::Start(element) => match element.name() {
                    b"v" => in_value = true,
                    b"f" => formula = true,
                    name => inline.start(name),
                },
                Token::Text(piece) if in_value => self.value.push_str(&piece),
                Token::Text(piece) => inline.piece(&piece),
                Token::End(element) => match element.name() {
                    b"v" => in_value = false,
                    b"c" => break,
                    name => inline.end(name),
                },
                Token::Nothing => {}
                Token::Over => return Err(self.xml.damaged()),
            }
        }
        if !self.has_column(column) {
            return Ok(());
        }
        let start = row.text.len();
        let told = self.write(head, &inline.take(), formula, &mut row.text);
        let problem = match told.ok_or_else(|| self.xml.damaged())? {
            Ok(()) if row.text[start..].contains('\0') => {
                row.text.truncate(start);
                Some(Problem::Nul)
            }
            Ok(()) => None,
            Err(problem) => {
                row.text.truncate(start);
                row.text.push_str(problem.shown());
                Some(problem)
            }
        };
        if row.text.len() > MAX_PIECE {
            return Err(WorkbookError::RowTooLong { row: row.number, limit: MAX_PIECE });
        }
        if problem.is_some() || row.text.len() > start {
            row.cells.push(SheetCell { column, text: start..row.text.len(), problem });
        }
        Ok(())
    }

    /// Appends what the cell stands for. `None`: it is none of a workbook.
    fn write(&self, head: &Head, inline: &str, formula: bool, text: &mut String) -> Option<Result<(), Problem>> {
        let said = self.value.as_str();
        Some(match head.kind {
            Kind::Inline => {
                text.push_str(inline);
                Ok(())
            }
            Kind::Text => {
                text.push_str(&unescape(said));
                Ok(())
            }
            _ if said.trim_ascii().is_empty() => {
                if formula {
                    Err(Problem::NoResult)
                } else {
                    Ok(())
                }
            }
            Kind::Shared => {
                text.push_str(self.strings.get(said.trim_ascii().parse().ok()?)?);
                Ok(())
            }
            Kind::Bool => {
                text.push_str(match said.trim_ascii() {
                    "1" | "true" => "true",
                    "0" | "false" => "false",
                    _ => return None,
                });
                Ok(())
            }
            Kind::Error => Err(Problem::error(said.trim_ascii())),
            Kind::Iso => value::iso(said.trim_ascii(), self.styles.shape(head.style), text),
            Kind::Number => match self.styles.shape(head.style) {
                Shape::Number => {
                    value::number(said.trim_ascii(), text)?;
                    Ok(())
                }
                shape => serial::write(value::finite(said.trim_ascii())?, shape, self.epoch, text),
            },
        })
    }
}

/// Number of a row, if it says one, and whether it is hidden.
fn of_row(element: &Element<'_>) -> (Option<u32>, bool) {
    let (mut number, mut hidden) = (None, false);
    for (name, value) in element.attributes() {
        match name {
            b"r" => number = Some(digits(&value).unwrap_or(0)),
            b"hidden" => hidden = is_true(&value),
            _ => {}
        }
    }
    (number, hidden)
}

/// What a cell says before its value.
struct Head {
    column: Option<u32>,
    style: usize,
    kind: Kind,
}

/// `None`: it is none of this row, or of a kind that there is not.
fn of_cell(element: &Element<'_>, row: u32) -> Option<Head> {
    let mut head = Head { column: None, style: 0, kind: Kind::Number };
    for (name, value) in element.attributes() {
        match name {
            b"r" => {
                let (Some(column), Some(number)) = place::parse(&value)? else { return None };
                if number != row {
                    return None;
                }
                head.column = Some(column);
            }
            b"s" => head.style = digits(&value)? as usize,
            b"t" => {
                head.kind = match value.as_ref() {
                    b"n" => Kind::Number,
                    b"s" => Kind::Shared,
                    b"inlineStr" => Kind::Inline,
                    b"str" => Kind::Text,
                    b"b" => Kind::Bool,
                    b"e" => Kind::Error,
                    b"d" => Kind::Iso,
                    _ => return None,
                };
            }
            _ => {}
        }
    }
    Some(head)
}

fn digits(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
