//! What styles say that values do not: whether a time is one of a day or one that passed, whether a date at midnight shows its time, and
//! which sheets are hidden.

use std::collections::{HashMap, HashSet};

use super::no_spreadsheet;
use crate::source::excel::error::{Part, WorkbookError};
use crate::source::excel::limits::{MAX_DEPTH, MAX_LIST, MAX_STYLES};
use crate::source::excel::package::Package;
use crate::source::excel::shape::Shape;
use crate::source::excel::xml::{Element, Token, Xml};

/// The styles of a workbook.
#[derive(Default)]
pub(super) struct Styles {
    /// Of cells that were formatted by hand: they stand before the sheets.
    own: Scope,
    /// With names that people see: they stand in a part of their own, and may have the names of others.
    common: Scope,
    hidden_tables: HashSet<String>,
    count: usize,
    bytes: usize,
}

#[derive(Default)]
struct Scope {
    cells: HashMap<String, CellStyle>,
    formats: HashMap<String, Shape>,
}

struct CellStyle {
    format: Option<String>,
    parent: Option<String>,
}

impl Styles {
    /// Those of a part of their own, and those before the sheets, up to where the sheets begin.
    pub(super) fn read(package: &Package, xml: &mut Xml) -> Result<Self, WorkbookError> {
        let mut styles = Self::default();
        if let Some(part) = package.part("styles.xml", Part::Styles)? {
            let mut common = Xml::new(part);
            loop {
                match common.next()? {
                    Token::Start(element) if element.name() == b"styles" => {
                        styles.common = styles.section(&mut common, b"styles")?;
                        common.finish()?;
                        break;
                    }
                    Token::Start(_) | Token::End(_) | Token::Text(_) | Token::Nothing => {}
                    Token::Over => break,
                }
            }
        }
        loop {
            match xml.next()? {
                Token::Start(element) => match element.name() {
                    b"document-content" => {}
                    b"automatic-styles" => styles.own = styles.section(xml, b"automatic-styles")?,
                    b"body" => return Ok(styles),
                    _ => xml.skip()?,
                },
                Token::End(_) | Token::Text(_) | Token::Nothing => {}
                Token::Over => return Err(no_spreadsheet()),
            }
        }
    }

    /// Up to the end of the element of this name.
    fn section(&mut self, xml: &mut Xml, end: &[u8]) -> Result<Scope, WorkbookError> {
        let mut scope = Scope::default();
        let (mut format, mut table) = (None, None);
        loop {
            match xml.next()? {
                Token::Start(element) => match element.name() {
                    b"style" => {
                        let name = element.attribute("name").unwrap_or_default();
                        table = None;
                        match element.attribute("family").as_deref() {
                            Some("table-cell") => {
                                let style = CellStyle {
                                    format: element.attribute("data-style-name"),
                                    parent: element.attribute("parent-style-name"),
                                };
                                self.count([Some(&name), style.format.as_ref(), style.parent.as_ref()])?;
                                scope.cells.insert(name, style);
                            }
                            Some("table") => table = Some(name),
                            _ => {}
                        }
                    }
                    b"table-properties" if element.attribute("display").as_deref() == Some("false") => {
                        if let Some(name) = table.take() {
                            self.count([Some(&name), None, None])?;
                            self.hidden_tables.insert(name);
                        }
                    }
                    b"date-style" | b"time-style" => {
                        format = element.attribute("name").map(|name| (name, of_format(&element)));
                    }
                    b"hours" | b"minutes" | b"seconds" => {
                        if let Some((_, shape @ Shape::Date)) = &mut format {
                            *shape = Shape::DateTime;
                        }
                    }
                    _ => {}
                },
                Token::End(element) => match element.name() {
                    name if name == end => return Ok(scope),
                    b"date-style" | b"time-style" => {
                        if let Some((name, shape)) = format.take() {
                            self.count([Some(&name), None, None])?;
                            scope.formats.insert(name, shape);
                        }
                    }
                    _ => {}
                },
                Token::Text(_) | Token::Nothing => {}
                Token::Over => return Err(xml.damaged()),
            }
        }
    }

    /// Their names are the file's own, and are held.
    fn count(&mut self, names: [Option<&String>; 3]) -> Result<(), WorkbookError> {
        self.count += 1;
        self.bytes += names.into_iter().flatten().map(String::len).sum::<usize>();
        let is_within = self.count <= MAX_STYLES && self.bytes as u64 <= MAX_LIST;
        if is_within { Ok(()) } else { Err(WorkbookError::TooManyStyles { limit: MAX_STYLES }) }
    }

    pub(super) fn hides_table(&self, style: &str) -> bool {
        self.hidden_tables.contains(style)
    }

    /// What a value of this style is. A style that names no format has that of its parent.
    pub(super) fn shape(&self, name: &str) -> Shape {
        let (mut scope, mut name) = (&self.own, name);
        for _ in 0..MAX_DEPTH {
            let Some(style) = scope.cells.get(name).or_else(|| {
                scope = &self.common;
                scope.cells.get(name)
            }) else {
                break;
            };
            if let Some(format) = &style.format {
                return scope.formats.get(format).or_else(|| self.common.formats.get(format)).copied().unwrap_or_default();
            }
            let Some(parent) = &style.parent else { break };
            (scope, name) = (&self.common, parent);
        }
        Shape::default()
    }
}

/// What a format is before its parts are known.
fn of_format(element: &Element<'_>) -> Shape {
    match element.name() {
        b"date-style" => Shape::Date,
        // Hours that do not begin anew each day.
        _ if element.attribute("truncate-on-overflow").as_deref() == Some("false") => Shape::Duration,
        _ => Shape::Time,
    }
}
