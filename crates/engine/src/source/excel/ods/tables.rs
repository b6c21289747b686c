//! Which of the sheets is read. They stand one behind the other, and those before it are passed over.

use super::no_spreadsheet;
use super::styles::Styles;
use crate::source::excel::error::WorkbookError;
use crate::source::excel::limits::MAX_PARTS;
use crate::source::excel::options::Wanted;
use crate::source::excel::xml::{Element, Token, Xml};

/// Characters of a sheet's name that a refusal may show.
const SHOWN: usize = 255;

/// The name of the sheet that is wanted. What is read next is what stands in it.
pub(super) fn find(xml: &mut Xml, styles: &Styles, wanted: &Wanted) -> Result<String, WorkbookError> {
    let (mut is_spreadsheet, mut names) = (false, Vec::new());
    loop {
        match xml.next()? {
            Token::Start(element) => match element.name() {
                b"spreadsheet" => is_spreadsheet = true,
                b"table" if is_spreadsheet => {
                    if let Some((name, visible)) = of_table(&element, styles) {
                        if wanted.is(names.len(), &name, visible) {
                            return Ok(name);
                        }
                        if names.len() == MAX_PARTS {
                            return Err(WorkbookError::TooManyParts { limit: MAX_PARTS });
                        }
                        names.push(name.chars().take(SHOWN).collect());
                    }
                    xml.skip()?;
                }
                _ => xml.skip()?,
            },
            Token::End(_) | Token::Text(_) | Token::Nothing => {}
            Token::Over if is_spreadsheet => return Err(wanted.missing(names)),
            Token::Over => return Err(no_spreadsheet()),
        }
    }
}

/// Name of a sheet, and whether it is visible. What LibreOffice remembers of the sheets of other files is none.
fn of_table(element: &Element<'_>, styles: &Styles) -> Option<(String, bool)> {
    let name = element.attribute("name").unwrap_or_default();
    let is_of_another_file = name.starts_with('\'') && name.contains("'#$");
    let visible = element.attribute("style-name").is_none_or(|style| !styles.hides_table(&style));
    (!is_of_another_file).then_some((name, visible))
}
