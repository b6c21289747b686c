//! What the numbers of a workbook's styles stand for.

use std::collections::HashMap;

use super::error::{Part, WorkbookError};
use super::limits::MAX_STYLES;
use super::package::Package;
use super::shape::Shape;
use super::xml::{Token, Xml};

/// What a cell's number is, by the style of the cell.
#[derive(Default)]
pub(super) struct Styles {
    /// By their numbers.
    formats: HashMap<u32, Shape>,
    styles: Vec<Shape>,
}

impl Styles {
    /// Those of the part of this name.
    pub(super) fn read(package: &Package, name: Option<&str>) -> Result<Self, WorkbookError> {
        let Some(name) = name else { return Ok(Self::default()) };
        let Some(part) = package.part(name, Part::Styles)? else { return Ok(Self::default()) };
        let (mut xml, mut styles, mut in_cells) = (Xml::new(part), Self::default(), false);
        loop {
            match xml.next()? {
                Token::Start(element) => match element.name() {
                    b"numFmt" => {
                        let id = element.attribute("numFmtId").and_then(|id| id.parse().ok());
                        if let (Some(id), Some(code)) = (id, element.attribute("formatCode")) {
                            styles.add_format(id, &code)?;
                        }
                    }
                    b"cellXfs" => in_cells = true,
                    b"xf" if in_cells => {
                        let id = element.attribute("numFmtId").and_then(|id| id.parse().ok()).unwrap_or(0);
                        styles.add(id)?;
                    }
                    _ => {}
                },
                Token::End(element) if element.name() == b"cellXfs" => in_cells = false,
                Token::End(_) | Token::Text(_) | Token::Nothing => {}
                Token::Over => return Ok(styles),
            }
        }
    }

    /// A format of this number.
    pub(super) fn add_format(&mut self, id: u32, code: &str) -> Result<(), WorkbookError> {
        self.formats.insert(id, Shape::of_code(code));
        self.check()
    }

    /// The next style, whose format has this number.
    pub(super) fn add(&mut self, format: u32) -> Result<(), WorkbookError> {
        self.styles.push(self.formats.get(&format).copied().unwrap_or_else(|| Shape::built_in(format)));
        self.check()
    }

    fn check(&self) -> Result<(), WorkbookError> {
        let is_within = self.formats.len() <= MAX_STYLES && self.styles.len() <= MAX_STYLES;
        if is_within { Ok(()) } else { Err(WorkbookError::TooManyStyles { limit: MAX_STYLES }) }
    }

    pub(super) fn shape(&self, style: usize) -> Shape {
        self.styles.get(style).copied().unwrap_or_default()
    }
}
