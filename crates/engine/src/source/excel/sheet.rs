//! The cells of a sheet of an .xlsx, row by row, each as the text that it stands for.

use super::cells::{Sheet, SheetRow, read_columns};
use super::error::{Part, WorkbookError};
use super::limits::{MAX_CELLS, MAX_COLUMN, MAX_ROW};
use super::options::{ExcelOptions, Range};
use super::package::Package;
use super::place;
use super::problem::Problem;
use super::serial::{self, Epoch};
use super::shape::Shape;
use super::strings::{RichText, Strings, unescape};
use super::styles::Styles;
use super::value;
use super::workbook::Workbook;
use super::xml::{Element, Token, Xml, is_true};
use crate::Memory;
use crate::source::Zoneless;

/// The sheet that is wanted of an archive, and its name.
pub(super) fn open(
    package: &Package,
    workbook: &str,
    options: &ExcelOptions,
    memory: Memory,
) -> Result<(Box<dyn Sheet>, String), WorkbookError> {
    let workbook = Workbook::read(package, workbook, &options.sheet)?;
    let strings = Strings::read(package, workbook.strings.as_deref(), memory.texts())?;
    let styles = Styles::read(package, workbook.styles.as_deref())?;
    let part = package.part(&workbook.sheet, Part::Sheet)?.ok_or(WorkbookError::Damaged { part: Part::Sheet })?;
    let sheet = XlsxSheet::open(Xml::new(part), strings, styles, workbook.epoch, options)?;
    Ok((Box::new(sheet), workbook.name))
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
pub(super) struct XlsxSheet {
    xml: Xml,
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
    cells: u64,
    /// What the cell says in its `v` and in its `is`.
    value: String,
    inline: RichText,
}

impl Sheet for XlsxSheet {
    fn has_column(&self, column: u32) -> bool {
        self.columns.get(column as usize).copied().unwrap_or(false)
    }

    fn next(&mut self, row: &mut SheetRow) -> Result<bool, WorkbookError> {
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
}

impl XlsxSheet {
    /// Reads up to the first row.
    pub(super) fn open(
        mut xml: Xml,
        strings: Strings,
        styles: Styles,
        epoch: Epoch,
        options: &ExcelOptions,
    ) -> Result<Self, WorkbookError> {
        let (range, skips_hidden) = (options.range, options.skips_hidden);
        let mut columns = read_columns(range);
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
        Ok(Self {
            xml,
            strings,
            styles,
            epoch,
            zoneless: options.zoneless,
            range,
            columns,
            skips_hidden,
            row: 0,
            cells: 0,
            value: String::new(),
            inline: RichText::default(),
        })
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
        if row.sort() { Ok(()) } else { Err(self.xml.damaged()) }
    }

    /// Reads up to the end of the cell, and adds it if it has a text.
    fn cell(&mut self, row: &mut SheetRow, column: u32, head: &Head) -> Result<(), WorkbookError> {
        let (mut in_value, mut formula) = (false, false);
        self.value.clear();
        self.inline.clear();
        loop {
            match self.xml.next()? {
                Token::Start(element) => match element.name() {
                    b"v" => in_value = true,
                    b"f" => formula = true,
                    name => self.inline.start(name),
                },
                Token::Text(piece) => {
                    if in_value {
                        self.value.push_str(&piece);
                    } else {
                        self.inline.piece(&piece);
                    }
                    self.xml.check_text(self.value.len() + self.inline.len())?;
                }
                Token::End(element) => match element.name() {
                    b"v" => in_value = false,
                    b"c" => break,
                    name => self.inline.end(name),
                },
                Token::Nothing => {}
                Token::Over => return Err(self.xml.damaged()),
            }
        }
        if !self.has_column(column) {
            return Ok(());
        }
        let mut is_damaged = false;
        row.add(column, |text| {
            self.write(head, formula, text).unwrap_or_else(|| {
                is_damaged = true;
                Ok(())
            })
        })?;
        if is_damaged { Err(self.xml.damaged()) } else { Ok(()) }
    }

    /// Appends what the cell stands for. `None`: it is none of a workbook.
    fn write(&self, head: &Head, formula: bool, text: &mut String) -> Option<Result<(), Problem>> {
        let said = self.value.as_str();
        Some(match head.kind {
            Kind::Inline => {
                text.push_str(&self.inline.whole());
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
            Kind::Iso => value::iso(said.trim_ascii(), self.styles.shape(head.style), self.zoneless, text),
            Kind::Number => match self.styles.shape(head.style) {
                Shape::Number => {
                    value::number(said.trim_ascii(), text)?;
                    Ok(())
                }
                shape => serial::write(value::finite(said.trim_ascii())?, shape, self.epoch, self.zoneless, text),
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
