//! The cells of a sheet of an .ods, row by row, each as the text that it stands for.

use super::head::{Head, Kind, Line};
use super::paragraphs::Paragraphs;
use super::styles::Styles;
use crate::source::Zoneless;
use crate::source::excel::cells::{Sheet, SheetRow, read_columns};
use crate::source::excel::error::{Part, WorkbookError};
use crate::source::excel::limits::{MAX_CELLS, MAX_COLUMN, MAX_ROW, MAX_SHEET};
use crate::source::excel::options::{ExcelOptions, Range};
use crate::source::excel::problem::Problem;
use crate::source::excel::serial::{self, DAY_MS};
use crate::source::excel::shape::Shape;
use crate::source::excel::value;
use crate::source::excel::xml::{Token, Xml};

/// A sheet being read.
pub(super) struct OdsSheet {
    xml: Xml,
    styles: Styles,
    range: Range,
    /// Whether a column is read.
    columns: Box<[bool]>,
    skips_hidden: bool,
    /// What cells without a style are, by the columns up to which it holds.
    defaults: Vec<(u32, Shape)>,
    /// Columns that were told of.
    told: u32,
    /// The row that was read last.
    row: u32,
    /// A row that stands for several, and those of them that are still to come.
    again: Option<(SheetRow, std::ops::RangeInclusive<u32>)>,
    cells: u64,
    /// Bytes of the texts of cells, each as often as it is meant, and of blanks that stand there as their number.
    repeated: u64,
    paragraphs: Paragraphs,
    /// The cell as the text that it stands for.
    value: String,
    zoneless: Zoneless,
    ended: bool,
}

impl Sheet for OdsSheet {
    fn has_column(&self, column: u32) -> bool {
        self.columns.get(column as usize).copied().unwrap_or(false)
    }

    fn next(&mut self, row: &mut SheetRow) -> Result<bool, WorkbookError> {
        loop {
            if self.next_again(row)? {
                return Ok(true);
            }
            if self.ended {
                return Ok(false);
            }
            match self.xml.next()? {
                Token::Start(element) => match element.name() {
                    b"table-row" => {
                        let line = Line::of(&element, &self.styles).ok_or_else(|| self.xml.damaged())?;
                        if self.read_row(&line, row)? {
                            return Ok(true);
                        }
                    }
                    b"table-column" => {
                        let line = Line::of(&element, &self.styles).ok_or_else(|| self.xml.damaged())?;
                        self.tell(&line);
                    }
                    b"table-columns" | b"table-column-group" | b"table-header-columns" => {}
                    b"table-rows" | b"table-row-group" | b"table-header-rows" => {}
                    // Drawings, forms, where the sheet came from.
                    _ => self.xml.skip()?,
                },
                Token::End(element) if element.name() == b"table" => {
                    self.xml.finish()?;
                    self.ended = true;
                }
                Token::End(_) | Token::Text(_) | Token::Nothing => {}
                Token::Over => return Err(self.xml.damaged()),
            }
        }
    }
}

impl OdsSheet {
    pub(super) fn new(xml: Xml, styles: Styles, options: &ExcelOptions) -> Self {
        Self {
            xml,
            styles,
            range: options.range,
            columns: read_columns(options.range),
            skips_hidden: options.skips_hidden,
            defaults: Vec::new(),
            told: 0,
            row: 0,
            again: None,
            cells: 0,
            repeated: 0,
            paragraphs: Paragraphs::default(),
            value: String::new(),
            zoneless: options.zoneless,
            ended: false,
        }
    }

    /// Takes note of columns. They stand before the rows.
    fn tell(&mut self, line: &Line) {
        let (first, end) = (self.told, self.told.saturating_add(line.times).min(MAX_COLUMN));
        if first < end {
            self.defaults.push((end, line.shape.unwrap_or_default()));
            if line.hidden && self.skips_hidden {
                self.columns[first as usize..end as usize].fill(false);
            }
        }
        self.told = end;
    }

    /// The next one of rows that are alike.
    fn next_again(&mut self, row: &mut SheetRow) -> Result<bool, WorkbookError> {
        let Some((alike, numbers)) = &mut self.again else { return Ok(false) };
        let Some(number) = numbers.next() else {
            self.again = None;
            return Ok(false);
        };
        row.clone_from(alike);
        row.number = number;
        let (cells, bytes) = (row.cells.len(), row.len());
        self.count(cells as u64, bytes as u64)?;
        Ok(true)
    }

    /// Reads a row that may stand for several. False: none of them has text and is asked for.
    fn read_row(&mut self, line: &Line, row: &mut SheetRow) -> Result<bool, WorkbookError> {
        let (first, last) = (self.row.saturating_add(1), self.row.saturating_add(line.times));
        self.row = last;
        // Below the last row there must be nothing; below the range there may be.
        if first > self.range.rows.1 && self.range.rows.1 < MAX_ROW {
            self.ended = true;
            return Ok(false);
        }
        let (first, end) = (first.max(self.range.rows.0), last.min(self.range.rows.1));
        if last < self.range.rows.0 {
            self.xml.skip()?;
            return Ok(false);
        }
        row.begin(first, line.hidden && self.skips_hidden);
        self.cells_of(row, line.shape)?;
        if row.cells.is_empty() {
            return Ok(false);
        }
        if last > MAX_ROW {
            return Err(WorkbookError::TooManyRows { limit: MAX_ROW });
        }
        if first < end {
            self.again = Some((row.clone(), first + 1..=end));
        }
        Ok(true)
    }

    fn cells_of(&mut self, row: &mut SheetRow, shape: Option<Shape>) -> Result<(), WorkbookError> {
        let mut column = 0_u32;
        loop {
            match self.xml.next()? {
                Token::Start(element) => match element.name() {
                    b"table-cell" => {
                        let head = Head::of(&element, &self.styles).ok_or_else(|| self.xml.damaged())?;
                        self.cell(row, column, &head, shape)?;
                        column = column.saturating_add(head.times);
                    }
                    // What a merged cell covers is not shown.
                    b"covered-table-cell" => {
                        let line = Line::of(&element, &self.styles).ok_or_else(|| self.xml.damaged())?;
                        self.xml.skip()?;
                        self.count(1, 0)?;
                        column = column.saturating_add(line.times);
                    }
                    _ => self.xml.skip()?,
                },
                Token::End(_) => return Ok(()),
                Token::Text(_) | Token::Nothing => {}
                Token::Over => return Err(self.xml.damaged()),
            }
        }
    }

    /// Reads up to the end of the cell, and adds it as often as it is meant, if it has a text.
    fn cell(&mut self, row: &mut SheetRow, column: u32, head: &Head, shape: Option<Shape>) -> Result<(), WorkbookError> {
        self.paragraphs.read(&mut self.xml)?;
        self.count(1, self.paragraphs.blanks as u64)?;
        let end = column.saturating_add(head.times);
        if end > MAX_COLUMN && !(self.paragraphs.text.is_empty() && head.value.is_none()) {
            return Err(self.xml.damaged());
        }
        let read = column.min(MAX_COLUMN) as usize..end.min(MAX_COLUMN) as usize;
        if !self.columns[read.clone()].contains(&true) {
            return Ok(());
        }
        let shape = head.shape.or(shape).unwrap_or_else(|| self.default_shape(column));
        self.value.clear();
        let told = write(head, &self.paragraphs, shape, self.zoneless, &mut self.value).ok_or_else(|| self.xml.damaged())?;
        if told.is_ok() && self.value.is_empty() {
            return Ok(());
        }
        let bytes = self.value.len() as u64;
        for at in read {
            if self.columns[at] {
                row.add(at as u32, |text| told.map(|()| text.push_str(&self.value)))?;
                self.count(1, bytes)?;
            }
        }
        Ok(())
    }

    /// What a cell is that has no style, in a row without one.
    fn default_shape(&self, column: u32) -> Shape {
        let at = self.defaults.partition_point(|(end, _)| *end <= column);
        self.defaults.get(at).map(|(_, shape)| *shape).unwrap_or_default()
    }

    fn count(&mut self, cells: u64, repeated: u64) -> Result<(), WorkbookError> {
        self.cells += cells;
        self.repeated += repeated;
        if self.cells > MAX_CELLS {
            return Err(WorkbookError::TooManyCells { limit: MAX_CELLS });
        }
        if self.repeated > MAX_SHEET {
            return Err(WorkbookError::PartTooLarge { part: Part::Sheet, limit: MAX_SHEET });
        }
        Ok(())
    }
}

/// Appends what the cell stands for. `None`: it is none of a workbook.
fn write(head: &Head, paragraphs: &Paragraphs, shape: Shape, zoneless: Zoneless, text: &mut String) -> Option<Result<(), Problem>> {
    if head.is_error {
        return Some(Err(Problem::error(&paragraphs.text)));
    }
    if let Some(problem) = Problem::of_result(&paragraphs.text).filter(|_| head.is_formula) {
        return Some(Err(problem));
    }
    let value = head.value.as_deref();
    Some(match head.kind {
        // An empty result has a paragraph.
        Kind::Unsaid if head.is_formula && paragraphs.count == 0 => Err(Problem::NoResult),
        Kind::Unsaid | Kind::Text => {
            text.push_str(value.unwrap_or(&paragraphs.text));
            Ok(())
        }
        Kind::Number => {
            value::number(value?.trim_ascii(), text)?;
            Ok(())
        }
        Kind::Bool => {
            let value = value?.trim_ascii();
            text.push_str(matches!(value, "true" | "false").then_some(value)?);
            Ok(())
        }
        Kind::Date => value::iso(value?.trim_ascii(), shape, zoneless, text),
        Kind::Time => {
            let passed = value::passed(value?.trim_ascii())?;
            match shape {
                Shape::Duration => serial::duration(passed, text),
                // A day has no such time, whatever its style says.
                _ if !(0..DAY_MS).contains(&passed) => serial::duration(passed, text),
                _ => serial::clock(passed, text),
            }
            Ok(())
        }
    })
}
