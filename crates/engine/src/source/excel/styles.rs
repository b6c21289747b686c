//! What the numbers of a workbook's styles stand for.

use std::collections::HashMap;

use super::error::{Part, WorkbookError};
use super::limits::MAX_STYLES;
use super::package::Package;
use super::shape::Shape;
use super::xml::{Token, Xml};

/// What a cell's number is, by the style of the cell.
#[derive(Default)]
pub(super) struct Styles(Vec<Shape>);

impl Styles {
    /// Those of the part of this name.
    pub(super) fn read(package: &Package, name: Option<&str>) -> Result<Self, WorkbookError> {
        let Some(part) = name.and_then(|name| package.part(name, Part::Styles)) else { return Ok(Self::default()) };
        let mut xml = Xml::new(part);
        let (mut formats, mut styles, mut in_cells) = (HashMap::new(), Vec::new(), false);
        loop {
            match xml.next()? {
                Token::Start(element) => match element.name() {
                    b"numFmt" => {
                        let id = element.attribute("numFmtId").and_then(|id| id.parse::<u32>().ok());
                        if let (Some(id), Some(code)) = (id, element.attribute("formatCode")) {
                            formats.insert(id, Shape::of_code(&code));
                        }
                    }
                    b"cellXfs" => in_cells = true,
                    b"xf" if in_cells => {
                        let id = element.attribute("numFmtId").and_then(|id| id.parse().ok()).unwrap_or(0);
                        styles.push(formats.get(&id).copied().unwrap_or_else(|| Shape::built_in(id)));
                    }
                    _ => {}
                },
                Token::End(element) if element.name() == b"cellXfs" => in_cells = false,
                Token::End(_) | Token::Text(_) | Token::Nothing => {}
                Token::Over => return Ok(Self(styles)),
            }
            if formats.len() > MAX_STYLES || styles.len() > MAX_STYLES {
                return Err(WorkbookError::TooManyStyles { limit: MAX_STYLES });
            }
        }
    }

    pub(super) fn shape(&self, style: usize) -> Shape {
        self.0.get(style).copied().unwrap_or_default()
    }
}
